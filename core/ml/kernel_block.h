#pragma once
// kernel_block -- sums over columns of a block of rows, per instruction set. Pure, any
// thread; the same bits on every machine, because 32 lanes always advance together and are
// added up in one order.

#include "core/base/base.h"

#include <stdbool.h>
#include <stdint.h>

// Sum of a[i] * b[i].
double fr_block_dot(const double *a, const double *b, size_t n);
// Adds the sums of v[i] - from and of its square.
void fr_block_moments(const double *v, size_t n, double from, double *sum,
                      double *squares);
// For each of the rows the closest of `count` points (of equals the first) and its squared
// distance; second: that of the next one, infinite if there is none. z: [columns][stride];
// points: [count][columns].
void fr_block_nearest(const double *z, size_t stride, size_t rows, size_t columns,
                      const double *points, size_t count, double *near, double *second,
                      int32_t *label);
// out[i] = (v[i] - mean) * by.
void fr_block_scale(const double *v, size_t n, double mean, double by, double *out);
// out[i] = the sum over columns of by[j] * z[j * stride + i], in their order. z may be read
// up to the next multiple of 32 rows; stride is one.
void fr_block_combine(const double *z, size_t stride, size_t rows, size_t columns,
                      const double *by, double *out);
// Adds to out[a * columns + b], b <= a, the sum of products of columns a and b. The columns
// are filled up with zeros to the next multiple of 8 rows; stride is one.
void fr_block_gram(double *z, size_t stride, size_t rows, size_t columns, double *out);
// z[j * stride + i] *= by[i], up to the next multiple of 8 rows, as above.
void fr_block_weigh(double *z, size_t stride, size_t rows, size_t columns, double *by);

// The same by the width of vectors, for tests. z of nearest and combine: 32 rows;
// rows of gram and weigh: a multiple of 8.
typedef struct fr_block_kernel {
    double (*dot)(const double *a, const double *b, size_t n);
    void (*moments)(const double *v, size_t n, double from, double *sum, double *squares);
    void (*nearest)(const double *z, size_t stride, size_t columns, const double *points,
                    size_t count, double *near, double *second, int32_t *label);
    void (*scale)(const double *v, size_t n, double mean, double by, double *out);
    void (*combine)(const double *z, size_t stride, size_t columns, const double *by,
                    double *out);
    void (*gram)(const double *z, size_t stride, size_t rows, size_t columns, double *out);
    void (*weigh)(double *z, size_t stride, size_t rows, size_t columns, const double *by);
} fr_block_kernel;
// Of 2, 4 or 8 doubles; NULL when this machine lacks it.
const fr_block_kernel *fr_block_kernel_of(int width);
