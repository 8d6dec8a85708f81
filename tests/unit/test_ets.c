// The derivatives of exponential smoothing against differences, and the minimiser.
#include "core/base/base.h"
#include "core/ml/ets_int.h"
#include "core/ml/lbfgs.h"
#include "tests/unit/check.h"

#include <math.h>
#include <string.h>

enum { ROWS = 40, PERIOD = 4 };

static double series[ROWS];

static void make_series(void)
{
    for (int t = 0; t < ROWS; t++) {
        series[t] = 50 + 0.4 * t + 6 * sin(1.5707963 * t) + (t * 37 % 11) * 0.3;
    }
    series[17] = (double)NAN;
}

// Parameters and first states as one vector: alpha, beta, gamma, phi, level, slope, season.
static double objective(const fr_ets_form *form, const double *v, ets_path *path,
                        ets_gradient *g)
{
    double season[PERIOD], start[PERIOD];
    memcpy(season, v + 6, sizeof season);
    memcpy(start, season, sizeof start);
    ets_state first = {v[0], v[1], v[2], v[3], v[4], v[5], start, 0}, s = first;
    s.season = season;
    ets_sums sums = ets_forward(form, series, ROWS, &s, path);
    CHECK(sums.valid);
    if (g != NULL) {
        ets_backward(form, series, ROWS, &first, path, &sums, ROWS - 1, g);
    }
    return log(sums.squares / (ROWS - 1)) / 2 + sums.logs / (ROWS - 1);
}

static void test_gradient(void)
{
    double memory[4 * ROWS], by_season[PERIOD];
    ets_path path = {memory, memory + ROWS, memory + 2 * ROWS, memory + 3 * ROWS};
    for (int k = 0; k < 12; k++) {
        fr_ets_form form = {"AM"[k / 6], "NA"[k / 3 % 2], "NAM"[k % 3], false, PERIOD};
        form.period = form.season == 'N' ? 1 : PERIOD;
        double v[6 + PERIOD] = {0.3, 0.1, 0.2, 0.9, 52, 0.5, 1, 4, -1, -4};
        for (int i = 0; form.season == 'M' && i < PERIOD; i++) {
            v[6 + i] = 1 + v[6 + i] / 50;
        }
        ets_gradient g = {.season = by_season};
        (void)objective(&form, v, &path, &g);
        const double exact[] = {g.alpha, g.beta, g.gamma, g.phi, g.level, g.slope,
                                by_season[0], by_season[1], by_season[2], by_season[3]};
        for (int i = 0; i < 6 + form.period; i++) {
            bool absent = (form.trend == 'N' && (i == 1 || i == 3 || i == 5)) ||
                          (form.season == 'N' && (i == 2 || i >= 6));
            if (absent) {
                continue;
            }
            double h = 1e-5 * fmax(1, fabs(v[i])), at = v[i];
            v[i] = at + h;
            double up = objective(&form, v, &path, NULL);
            v[i] = at - h;
            double down = objective(&form, v, &path, NULL);
            v[i] = at;
            CHECK_NEAR(exact[i], (up - down) / (2 * h), 1e-6);
        }
    }
}

static double rosenbrock(void *ctx, const double *x, double *g)
{
    int *calls = ctx;
    ++*calls;
    double a = 1 - x[0], b = x[1] - x[0] * x[0];
    g[0] = -2 * a - 400 * x[0] * b;
    g[1] = 200 * b;
    return x[0] > 3 ? (double)INFINITY : a * a + 100 * b * b; // not allowed beyond 3
}

static void test_minimum(void)
{
    double x[] = {-1.2, 1};
    int calls = 0;
    fr_lbfgs_result r;
    CHECK_INT(fr_lbfgs(2, x, rosenbrock, &calls, 500, 1e-14, &r), FR_OK);
    CHECK(r.converged);
    CHECK_NEAR(x[0], 1, 1e-6);
    CHECK_NEAR(x[1], 1, 1e-6);
    double far[] = {2.9, -5};
    CHECK_INT(fr_lbfgs(2, far, rosenbrock, &calls, 2, 1e-14, &r), FR_OK);
    CHECK(!r.converged);
    CHECK_INT(r.iterations, 2);
}

int main(void)
{
    make_series();
    CASE(test_gradient);
    CASE(test_minimum);
    return check_end();
}
