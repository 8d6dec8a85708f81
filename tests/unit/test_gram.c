// Means and products in one pass: what two passes give, also when the guess of a mean misses.
#include "core/base/mem.h"
#include "core/base/rand.h"
#include "core/ml/gram.h"
#include "core/ml/standard.h"

#include "check.h"

#include <math.h>

enum { ROWS = 40000, COLUMNS = 5, STEP = ROWS / 1024 };

static double data[COLUMNS][ROWS];

static void fill(void)
{
    fr_rand r;
    fr_rand_init(&r, 31, 0);
    for (size_t i = 0; i < ROWS; i++) {
        double u = fr_rand_unit(&r), v = fr_rand_unit(&r);
        data[0][i] = 1e7 + u;
        data[1][i] = 1e-100 * (v - u);
        data[2][i] = 0.1; // constant
        data[3][i] = i % STEP == 0 ? 0 : 1e9 + v; // every row of the guess misses
        data[4][i] = u * v;
    }
}

static void one_pass_gives_what_two_give(void)
{
    const double *column[COLUMNS];
    long double exact[COLUMNS];
    for (size_t j = 0; j < COLUMNS; j++) {
        column[j] = data[j];
        exact[j] = 0;
        for (size_t i = 0; i < ROWS; i++) {
            exact[j] += data[j][i];
        }
        exact[j] /= ROWS;
    }
    fr_columns x = {ROWS, COLUMNS - 1, column, NULL, false};
    double mean[COLUMNS], product[COLUMNS * COLUMNS];
    CHECK_INT(fr_gram_run(&x, data[4], true, mean, product, "test", NULL), FR_OK);
    fr_standard s;
    CHECK_INT(fr_standard_init(&s, &x, true, "test", NULL), FR_OK);
    for (size_t a = 0; a < COLUMNS; a++) {
        double size = fabs((double)exact[a]) * 1e-15 + 1e-116;
        CHECK_NEAR(mean[a], (double)exact[a], size);
        for (size_t b = 0; b <= a; b++) {
            long double sum = 0, left = 0, right = 0;
            for (size_t i = 0; i < ROWS; i++) {
                long double u = data[a][i] - exact[a], v = data[b][i] - exact[b];
                sum += u * v;
                left += u * u;
                right += v * v;
            }
            double scale = sqrt((double)left) * sqrt((double)right);
            CHECK_NEAR(product[a * COLUMNS + b], (double)sum, scale * 1e-11 + (a == 2 || b == 2 ? 1e-20 : 0));
            if (a == b && a < x.count && a != 2) {
                CHECK_NEAR(s.scale[a] / sqrt((double)left / ROWS), 1, 1e-11);
                CHECK_NEAR(s.mean[a], (double)exact[a], size);
            }
        }
    }
    fr_standard_fini(&s);
    CHECK(product[2 * COLUMNS + 2] == 0 && mean[2] == 0.1);
    CHECK_INT(fr_gram_run(&x, NULL, false, mean, product, "test", NULL), FR_OK);
    CHECK(mean[0] == 0);
    CHECK_NEAR(product[2 * (COLUMNS - 1) + 2], 0.01 * ROWS, 1e-9);
}

int main(void)
{
    fill();
    CASE(one_pass_gives_what_two_give);
    return check_end();
}
