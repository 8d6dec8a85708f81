// Sums over blocks: what a plain loop gives, and the same bits from every instruction set.
#include "check.h"
#include "core/base/rand.h"
#include "core/ml/kernel_block.h"

#include <math.h>
#include <string.h>

enum { ROWS = 100, STRIDE = 128, COLUMNS = 5, POINTS = 4 };

static void fill(fr_rand *r, double *x, size_t n, bool whole)
{
    for (size_t i = 0; i < n; i++) {
        double u = fr_rand_unit(r);
        x[i] = whole ? floor(200 * u) - 100 : u - 0.3;
    }
}

// Whole numbers make every order of adding exact.
static void sums_are_those_of_a_loop(void)
{
    fr_rand r;
    fr_rand_init(&r, 4, 0);
    double a[ROWS], b[ROWS];
    for (size_t n = 0; n <= ROWS; n++) {
        fill(&r, a, ROWS, true);
        fill(&r, b, ROWS, true);
        double dot = 0, sum = 0, squares = 0, got = 1, got_squares = 2;
        for (size_t i = 0; i < n; i++) {
            dot += a[i] * b[i];
            sum += a[i] - 3;
            squares += (a[i] - 3) * (a[i] - 3);
        }
        CHECK(fr_block_dot(a, b, n) == dot);
        fr_block_moments(a, n, 3, &got, &got_squares);
        CHECK(got == 1 + sum && got_squares == 2 + squares);
    }
}

static void rows_find_their_closest_point(void)
{
    fr_rand r;
    fr_rand_init(&r, 5, 0);
    double z[COLUMNS * STRIDE], points[POINTS * COLUMNS], near[ROWS],
        second[ROWS], out[ROWS];
    int32_t label[ROWS];
    const size_t sizes[] = {1, 31, 32, 33, 64, ROWS};
    for (size_t s = 0; s < FR_COUNT(sizes); s++) {
        size_t n = sizes[s];
        fill(&r, z, COLUMNS * STRIDE, true);
        fill(&r, points, POINTS * COLUMNS, true);
        memcpy(points + 3 * COLUMNS, points, COLUMNS * sizeof *points); // a tie: the first
        fr_block_nearest(z, STRIDE, n, COLUMNS, points, POINTS, near, second, label);
        fr_block_combine(z, STRIDE, n, COLUMNS, points, out);
        for (size_t i = 0; i < n; i++) {
            double least = HUGE_VAL, next = HUGE_VAL, sum = 0;
            int32_t which = -1;
            for (int32_t c = 0; c < POINTS; c++) {
                double d = 0;
                for (size_t j = 0; j < COLUMNS; j++) {
                    double off = z[j * STRIDE + i] - points[(size_t)c * COLUMNS + j];
                    d += off * off;
                }
                which = d < least ? c : which;
                next = fmin(next, fmax(d, least));
                least = fmin(d, least);
            }
            for (size_t j = 0; j < COLUMNS; j++) {
                sum += points[j] * z[j * STRIDE + i];
            }
            CHECK(near[i] == least && second[i] == next && label[i] == which && out[i] == sum);
        }
    }
}

static void products_are_those_of_pairs(void)
{
    enum { MOST = 11 };
    static double z[MOST * STRIDE], by[STRIDE], out[MOST * MOST], want[MOST * MOST];
    fr_rand r;
    fr_rand_init(&r, 7, 0);
    for (size_t p = 0; p <= MOST; p++) {
        size_t n = 9 * p;
        fill(&r, z, MOST * STRIDE, true);
        fill(&r, by, STRIDE, true);
        for (size_t a = 0; a < p; a++) {
            for (size_t b = 0; b < p; b++) {
                double sum = 5;
                for (size_t i = 0; i < n && b <= a; i++) {
                    sum += z[a * STRIDE + i] * z[b * STRIDE + i] * by[i] * by[i];
                }
                want[a * p + b] = sum;
                out[a * p + b] = 5; // above the diagonal nothing is touched
            }
        }
        fr_block_weigh(z, STRIDE, n, p, by);
        fr_block_gram(z, STRIDE, n, p, out);
        CHECK(memcmp(out, want, p * p * sizeof *out) == 0);
    }
}

static void every_width_gives_the_same_bits(void)
{
    fr_rand r;
    fr_rand_init(&r, 6, 0);
    double z[COLUMNS * STRIDE], points[POINTS * COLUMNS], first[6 * 32 + 4], out[6 * 32 + 4],
        w[COLUMNS * STRIDE];
    fill(&r, z, COLUMNS * STRIDE, false);
    fill(&r, points, POINTS * COLUMNS, false);
    int tried = 0;
    for (int width = 2; width <= 8; width *= 2) {
        const fr_block_kernel *k = fr_block_kernel_of(width);
        if (k == NULL) {
            continue;
        }
        int32_t label[32];
        memset(out, 0, sizeof out);
        out[0] = k->dot(z, z + STRIDE, 77);
        k->moments(z, 77, 0.1, &out[1], &out[2]);
        k->nearest(z, STRIDE, COLUMNS, points, POINTS, out + 4, out + 5 * 32 + 4, label);
        for (int i = 0; i < 32; i++) {
            out[4 + 32 + i] = label[i];
        }
        k->scale(z, 29, 0.2, 1.7, out + 4 + 64);
        k->combine(z, STRIDE, COLUMNS, points, out + 4 + 96);
        memcpy(w, z, sizeof w);
        k->weigh(w, STRIDE, 88, COLUMNS, z + STRIDE);
        k->gram(w, STRIDE, 88, COLUMNS, out + 4 + 128);
        if (tried++ == 0) {
            memcpy(first, out, sizeof out);
        }
        CHECK(memcmp(first, out, sizeof out) == 0);
    }
    CHECK(tried >= 1);
}

int main(void)
{
    CASE(sums_are_those_of_a_loop);
    CASE(rows_find_their_closest_point);
    CASE(products_are_those_of_pairs);
    CASE(every_width_gives_the_same_bits);
    return check_end();
}
