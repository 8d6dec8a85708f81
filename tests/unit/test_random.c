// Distributions over Philox: moments, tails, exact probabilities, reproducibility.
#include "check.h"
#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/random.h"
#include "core/ml/special.h"

enum { N = 200000 };

static double real[N];
static int64_t whole[N];

static fr_random_arg one(const double *v) { return (fr_random_arg){v, 0}; }

static double ulps(double got, double want)
{
    return fabs(got - want) / fabs(nextafter(want, HUGE_VAL) - want);
}

static void log_and_exp_are_within_two_ulp(void)
{
    fr_rand r;
    fr_rand_init(&r, 1, 0);
    double worst_log = 0, worst_exp = 0;
    for (int i = 0; i < 100000; i++) {
        double x = ldexp(1 + fr_rand_unit(&r), (int)fr_rand_below(&r, 2040) - 1060);
        double near_one = 1 + (fr_rand_unit(&r) - 0.5) * 1e-3;
        double y = (fr_rand_unit(&r) - 0.5) * 1400;
        worst_log = fmax(worst_log, ulps(fr_special_log(x), log(x)));
        worst_log = fmax(worst_log, ulps(fr_special_log(near_one), log(near_one)));
        worst_exp = fmax(worst_exp, ulps(fr_special_exp(y), exp(y)));
    }
    CHECK(worst_log < 2);
    CHECK(worst_exp < 2);
    CHECK(fr_special_log(0) == -HUGE_VAL && isnan(fr_special_log(-1)));
    CHECK(fr_special_log(HUGE_VAL) == HUGE_VAL && isnan(fr_special_log(nan(""))));
    CHECK(fr_special_exp(-HUGE_VAL) == 0 && fr_special_exp(HUGE_VAL) == HUGE_VAL);
    CHECK(fr_special_exp(0) == 1 && isnan(fr_special_exp(nan(""))));
    CHECK(fr_special_exp(-744) > 0 && fr_special_exp(709.7) < HUGE_VAL);
}

static void normal_quantile_inverts_the_distribution(void)
{
    CHECK_NEAR(fr_special_normal_quantile(0.975), 1.959963984540054, 1e-15);
    CHECK_NEAR(fr_special_normal_quantile(0.5), 0, 0);
    double worst = 0;
    for (double p = 0x1p-60; p < 0.9999999; p = p < 1e-3 ? p * 1.7 : p + 1e-3) {
        double z = fr_special_normal_quantile(p);
        worst = fmax(worst, fabs(0.5 * erfc(-z / sqrt(2)) / p - 1));
    }
    CHECK(worst < 1e-13);
    CHECK(isnan(fr_special_normal_quantile(0)) && isnan(fr_special_normal_quantile(1)));
}

static void stirling_rest_completes_the_factorial(void)
{
    for (int k = 0; k < 60; k++) {
        double lead = 0.5 * log(2 * M_PI) + (k + 0.5) * log(k + 1) - (k + 1);
        int sign;
        CHECK_NEAR(lead + fr_special_stirling_rest(k), lgamma_r(k + 1, &sign),
                   2e-13 * (k + 1));
    }
}

// Blocks of many are the values one by one, wherever in the stream they begin.
static void blocks_are_the_stream(void)
{
    static double many[1000];
    double zero = 0, unit = 1;
    for (unsigned odd = 0; odd < 4; odd++) {
        fr_rand a, b;
        fr_rand_init(&a, 99, 5);
        for (unsigned i = 0; i < odd; i++) {
            (void)fr_rand_u32(&a);
        }
        b = a;
        CHECK_INT(fr_random_normal(&a, one(&zero), one(&unit), many, 1000, NULL), FR_OK);
        CHECK_INT(fr_random_uniform(&a, one(&zero), one(&unit), many + 990, 10, NULL),
                  FR_OK);
        int differ = 0;
        for (int i = 0; i < 990; i++) {
            double p = ((double)(fr_rand_u64(&b) >> 11) + 0.5) * 0x1p-53;
            differ += many[i] != fr_special_normal_quantile(p);
        }
        for (int i = 0; i < 10; i++) {
            (void)fr_rand_u64(&b);
        }
        for (int i = 990; i < 1000; i++) {
            differ += many[i] != fr_rand_unit(&b);
        }
        CHECK_INT(differ, 0);
        CHECK(fr_rand_u64(&a) == fr_rand_u64(&b));
    }
}

static void moments(const double *x, size_t n, double *mean, double *var)
{
    double s = 0, q = 0;
    for (size_t i = 0; i < n; i++) {
        s += x[i];
    }
    *mean = s / (double)n;
    for (size_t i = 0; i < n; i++) {
        q += (x[i] - *mean) * (x[i] - *mean);
    }
    *var = q / (double)(n - 1);
}

static void normal_fits_by_chi_square(void)
{
    fr_rand r;
    fr_rand_init(&r, 7, 0);
    double zero = 0, unit = 1, chi = 0;
    CHECK_INT(fr_random_normal(&r, one(&zero), one(&unit), real, N, NULL), FR_OK);
    int cells[64] = {0};
    for (int i = 0; i < N; i++) {
        cells[(int)(0.5 * erfc(-real[i] / sqrt(2)) * 64)]++;
    }
    for (int c = 0; c < 64; c++) {
        double expected = N / 64.0;
        chi += (cells[c] - expected) * (cells[c] - expected) / expected;
    }
    CHECK(chi > 33 && chi < 103); // 63 degrees of freedom: .001 each side
}

// The 1-in-1000 bounds for a mean of N draws.
static void check_mean(const double *x, double mean, double sd, const char *what)
{
    double m, v;
    moments(x, N, &m, &v);
    if (!(fabs(m - mean) <= 3.3 * sd / sqrt(N) && fabs(v / (sd * sd) - 1) < 0.05)) {
        (void)fprintf(stderr, "%s: mean %g (%g), variance %g (%g)\n", what, m, mean, v,
                      sd * sd);
        CHECK(false);
    }
    CHECK(isfinite(m));
}

static void moments_of_every_distribution(void)
{
    fr_rand r;
    fr_rand_init(&r, 11, 3);
    double a = 60, b = 5, lo = -2, hi = 6;
    CHECK_INT(fr_random_normal(&r, one(&a), one(&b), real, N, NULL), FR_OK);
    check_mean(real, 60, 5, "normal");
    CHECK_INT(fr_random_uniform(&r, one(&lo), one(&hi), real, N, NULL), FR_OK);
    check_mean(real, 2, 8 / sqrt(12), "uniform");
    CHECK_INT(fr_random_exponential(&r, one(&b), real, N, NULL), FR_OK);
    check_mean(real, 5, 5, "exponential");
    const double cases[][2] = {{1, .3},     {10, .5},  {40, .2},      {100, .4},
                               {1000, .97}, {1e6, .5}, {1e15, 3e-15}, {1e12, .25}};
    for (size_t c = 0; c < FR_COUNT(cases); c++) {
        double n = cases[c][0], p = cases[c][1];
        CHECK_INT(fr_random_binomial(&r, one(&n), one(&p), whole, N, NULL), FR_OK);
        for (int i = 0; i < N; i++) {
            CHECK(c != 0 || (whole[i] >= 0 && whole[i] <= 1));
            real[i] = (double)whole[i];
        }
        check_mean(real, n * p, sqrt(n * p * (1 - p)), "binomial");
    }
    const double means[] = {0.5, 9, 11, 1000, 1e9};
    for (size_t c = 0; c < FR_COUNT(means); c++) {
        CHECK_INT(fr_random_poisson(&r, one(&means[c]), whole, N, NULL), FR_OK);
        for (int i = 0; i < N; i++) {
            real[i] = (double)whole[i];
        }
        check_mean(real, means[c], sqrt(means[c]), "poisson");
    }
}

// Against the probabilities themselves, on both sides of the switch of algorithms.
static void binomial_fits_by_chi_square(void)
{
    const double cases[][2] = {{12, .4}, {30, .5}, {60, .3}};
    for (size_t c = 0; c < FR_COUNT(cases); c++) {
        double n = cases[c][0], p = cases[c][1], chi = 0, cells = 0, seen[64] = {0};
        fr_rand r;
        fr_rand_init(&r, 5, c);
        CHECK_INT(fr_random_binomial(&r, one(&n), one(&p), whole, N, NULL), FR_OK);
        for (int i = 0; i < N; i++) {
            seen[whole[i]]++;
        }
        for (int k = 0; k <= (int)n; k++) {
            double mass = N * exp(lgamma(n + 1) - lgamma(k + 1.0) - lgamma(n - k + 1) +
                                  k * log(p) + (n - k) * log(1 - p));
            if (mass >= 5) {
                chi += (seen[k] - mass) * (seen[k] - mass) / mass;
                cells++;
            }
        }
        CHECK(chi < cells + 4 * sqrt(2 * cells));
    }
}

static void integers_include_both_bounds(void)
{
    fr_rand r;
    fr_rand_init(&r, 9, 0);
    int seen[8] = {0};
    CHECK_INT(fr_random_integers(&r, -3, 4, whole, N, NULL), FR_OK);
    for (int i = 0; i < N; i++) {
        seen[whole[i] + 3]++;
    }
    for (int k = 0; k < 8; k++) {
        CHECK_NEAR(seen[k], N / 8.0, 3.5 * sqrt(N / 8.0));
    }
    CHECK_INT(fr_random_integers(&r, INT64_MIN, INT64_MAX, whole, 8, NULL), FR_OK);
    CHECK_INT(fr_random_integers(&r, 2, 2, whole, 8, NULL), FR_OK);
    CHECK_INT(whole[7], 2);
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_random_integers(&r, 2, 1, whole, 8, &err), FR_EINVAL);
}

static void arrays_are_parameters(void)
{
    double mean[3] = {0, 1e6, -1e6}, sd[3] = {0, 0, 0}, p[3] = {0, 1, 0}, unit = 1;
    fr_rand r, same;
    fr_rand_init(&r, 1, 0);
    CHECK_INT(fr_random_normal(&r, (fr_random_arg){mean, 1}, (fr_random_arg){sd, 1}, real,
                               3, NULL),
              FR_OK);
    CHECK(real[0] == 0 && real[1] == 1e6 && real[2] == -1e6);
    CHECK_INT(fr_random_binomial(&r, one(&unit), (fr_random_arg){p, 1}, whole, 3, NULL),
              FR_OK);
    CHECK(whole[0] == 0 && whole[1] == 1 && whole[2] == 0);
    // One draw per normal whatever the parameters: the next values agree.
    fr_rand_init(&same, 1, 0);
    for (int i = 0; i < 6; i++) {
        (void)fr_rand_unit(&same);
    }
    CHECK(fr_rand_u64(&r) == fr_rand_u64(&same));
}

static void wrong_parameters_are_named(void)
{
    fr_rand r;
    fr_rand_init(&r, 1, 0);
    fr_err err = FR_ERR_INIT;
    double zero = 0, minus = -1, bad[] = {1, nan("")}, half = .5;
    CHECK_INT(fr_random_normal(&r, one(&zero), one(&minus), real, 2, &err), FR_EINVAL);
    CHECK(strstr(err.text, "standard deviation is -1") != NULL);
    CHECK_INT(fr_random_normal(&r, (fr_random_arg){bad, 1}, one(&half), real, 2, &err),
              FR_EINVAL);
    CHECK(strstr(err.text, "value 2 of the mean") != NULL &&
          strstr(err.text, "null") != NULL);
    CHECK_INT(fr_random_binomial(&r, one(&minus), one(&half), whole, 2, &err), FR_EINVAL);
    CHECK_INT(fr_random_poisson(&r, one(&minus), whole, 2, &err), FR_EINVAL);
    CHECK_INT(fr_random_normal(&r, one(&zero), one(&minus), real, 0, NULL), FR_OK);
}

static void shuffles_are_permutations(void)
{
    fr_rand r;
    fr_rand_init(&r, 4, 0);
    int64_t v[100], sum = 0;
    int fixed = 0;
    for (int i = 0; i < 100; i++) {
        v[i] = i;
    }
    fr_random_shuffle(&r, v, 100);
    char seen[100] = {0};
    for (int i = 0; i < 100; i++) {
        CHECK(v[i] >= 0 && v[i] < 100 && !seen[v[i]]);
        seen[v[i]] = 1;
        sum += v[i];
        fixed += v[i] == i;
    }
    CHECK(sum == 4950 && fixed < 10);
}

static void a_cancelled_draw_stops(void)
{
    fr_rand r;
    fr_rand_init(&r, 1, 0);
    fr_cancel token = {FR_ETIMEOUT};
    fr_cancel *before = fr_cancel_enter(&token);
    double unit = 1;
    CHECK_INT(fr_random_normal(&r, one(&unit), one(&unit), real, 4, NULL), FR_ETIMEOUT);
    CHECK_INT(fr_random_integers(&r, 1, 2, whole, 4, NULL), FR_ETIMEOUT);
    (void)fr_cancel_enter(before);
}

int main(void)
{
    CASE(log_and_exp_are_within_two_ulp);
    CASE(normal_quantile_inverts_the_distribution);
    CASE(stirling_rest_completes_the_factorial);
    CASE(blocks_are_the_stream);
    CASE(normal_fits_by_chi_square);
    CASE(moments_of_every_distribution);
    CASE(binomial_fits_by_chi_square);
    CASE(integers_include_both_bounds);
    CASE(arrays_are_parameters);
    CASE(wrong_parameters_are_named);
    CASE(shuffles_are_permutations);
    CASE(a_cancelled_draw_stops);
    return check_end();
}
