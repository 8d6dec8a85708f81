#include "core/ml/kernel_block.h"

#include <math.h>
#include <string.h>

enum { LANES = 32, EIGHT_ROWS = 8 };

#define W       2
#define SIDE    2 // columns of a tile: what the registers hold
#define TARGET
#define NAME(x) x##_2
#include "core/ml/kernel_block.inc"

static const fr_block_kernel TWO = {dot_2, moments_2, nearest_2, scale_2, combine_2,
    gram_2, weigh_2};

#if defined(__x86_64__)
#define W       4
#define SIDE    2
#define TARGET  __attribute__((target("avx2")))
#define NAME(x) x##_4
#include "core/ml/kernel_block.inc"

#define W       8
#define SIDE    4
#define TARGET  __attribute__((target("avx512f,avx512dq,avx512vl")))
#define NAME(x) x##_8
#include "core/ml/kernel_block.inc"

static const fr_block_kernel FOUR = {dot_4, moments_4, nearest_4, scale_4, combine_4,
    gram_4, weigh_4};
static const fr_block_kernel EIGHT = {dot_8, moments_8, nearest_8, scale_8, combine_8,
    gram_8, weigh_8};
#endif

const fr_block_kernel *fr_block_kernel_of(int width)
{
#if defined(__x86_64__)
    if (width == 8) {
        bool most = __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
        return most ? &EIGHT : NULL;
    }
    if (width == 4) {
        return __builtin_cpu_supports("avx2") ? &FOUR : NULL;
    }
#endif
    return width == 2 ? &TWO : NULL;
}

static const fr_block_kernel *best(void)
{
    for (int width = 8; width > 2; width /= 2) {
        const fr_block_kernel *k = fr_block_kernel_of(width);
        if (k != NULL) {
            return k;
        }
    }
    return &TWO;
}

double fr_block_dot(const double *a, const double *b, size_t n)
{
    return best()->dot(a, b, n);
}

void fr_block_moments(const double *v, size_t n, double from, double *sum,
                      double *squares)
{
    best()->moments(v, n, from, sum, squares);
}

void fr_block_nearest(const double *z, size_t stride, size_t rows, size_t columns,
                      const double *points, size_t count, double *near, double *second,
                      int32_t *label)
{
    size_t i = 0;
    for (; i + LANES <= rows; i += LANES) {
        best()->nearest(z + i, stride, columns, points, count, near + i, second + i,
                        label + i);
    }
    if (i < rows) { // the last rows again, beside some that are done
        double d[LANES], e[LANES];
        int32_t of[LANES];
        size_t from = rows >= LANES ? rows - LANES : 0;
        best()->nearest(z + from, stride, columns, points, count, d, e, of);
        memcpy(near + i, d + (i - from), (rows - i) * sizeof *near);
        memcpy(second + i, e + (i - from), (rows - i) * sizeof *second);
        memcpy(label + i, of + (i - from), (rows - i) * sizeof *label);
    }
}

void fr_block_scale(const double *v, size_t n, double mean, double by, double *out)
{
    best()->scale(v, n, mean, by, out);
}

void fr_block_combine(const double *z, size_t stride, size_t rows, size_t columns,
                      const double *by, double *out)
{
    size_t i = 0;
    for (; i + LANES <= rows; i += LANES) {
        best()->combine(z + i, stride, columns, by, out + i);
    }
    if (i < rows) {
        double rest[LANES];
        best()->combine(z + i, stride, columns, by, rest);
        memcpy(out + i, rest, (rows - i) * sizeof *out);
    }
}

static size_t fill_up(double *z, size_t stride, size_t rows, size_t columns)
{
    size_t whole = (rows + EIGHT_ROWS - 1) / EIGHT_ROWS * EIGHT_ROWS;
    for (size_t j = 0; j < columns && rows < whole; j++) {
        memset(z + j * stride + rows, 0, (whole - rows) * sizeof *z);
    }
    return whole;
}

void fr_block_gram(double *z, size_t stride, size_t rows, size_t columns, double *out)
{
    rows = fill_up(z, stride, rows, columns);
    best()->gram(z, stride, rows, columns, out);
}

void fr_block_weigh(double *z, size_t stride, size_t rows, size_t columns, double *by)
{
    rows = fill_up(by, rows, rows, 1);
    best()->weigh(z, stride, rows, columns, by);
}
