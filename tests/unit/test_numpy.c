// numpy's legacy stream against draws recorded by tests/fixtures/make_numpy.py.
#include "check.h"
#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/numpy.h"

#include <stdlib.h>

enum { MOST = 4096, LINE = 8192 };

static const char *fixture;

typedef struct draws {
    bool real;
    double d[MOST];
    int64_t k[MOST];
} draws;

static fr_random_arg one(const double *v) { return (fr_random_arg){v, 0}; }

static uint64_t digest(const draws *v, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = (uint64_t)v->k[i];
        if (v->real) {
            memcpy(&bits, &v->d[i], sizeof bits);
        }
        sum += bits * (2 * i + 1);
    }
    return sum;
}

static int draw(fr_numpy *r, const char *kind, double a, double b, int64_t lo, int64_t hi,
                size_t n, draws *out)
{
    static const double zero = 0, unit = 1;
    out->real = true;
    if (strcmp(kind, "unit") == 0) {
        return fr_numpy_uniform(r, one(&zero), one(&unit), out->d, n, NULL);
    } else if (strcmp(kind, "uniform") == 0) {
        return fr_numpy_uniform(r, one(&a), one(&b), out->d, n, NULL);
    } else if (strcmp(kind, "normal") == 0) {
        return fr_numpy_normal(r, one(&a), one(&b), out->d, n, NULL);
    } else if (strcmp(kind, "exponential") == 0) {
        return fr_numpy_exponential(r, one(&a), out->d, n, NULL);
    }
    out->real = false;
    if (strcmp(kind, "integers") == 0) {
        return fr_numpy_integers(r, lo, hi, out->k, n, NULL);
    } else if (strcmp(kind, "binomial") == 0) {
        return fr_numpy_binomial(r, one(&a), one(&b), out->k, n, NULL);
    } else if (strcmp(kind, "poisson") == 0) {
        return fr_numpy_poisson(r, one(&a), out->k, n, NULL);
    }
    for (size_t i = 0; i < n; i++) {
        out->k[i] = (int64_t)i;
    }
    fr_numpy_shuffle(r, out->k, n);
    return strcmp(kind, "permutation") == 0 ? FR_OK : FR_EINVAL;
}

// Compares `got` with the values and the digest that follow at `text`.
static bool same(const draws *got, size_t n, char *text)
{
    bool ok = true;
    for (size_t i = 0; i < 6 && i < n; i++) {
        const char *word = text;
        ok = ok && (got->real ? strtod(word, &text) == got->d[i]
                              : strtoll(word, &text, 10) == got->k[i]);
    }
    return ok && strtoull(text, NULL, 10) == digest(got, n);
}

static void seed_line(fr_numpy *r, char *text)
{
    uint32_t seeds[1024];
    size_t n = 0;
    bool list = strncmp(text, "seeds", 5) == 0;
    char *at = strchr(text, ' ');
    while (at != NULL && n < FR_COUNT(seeds)) {
        seeds[n++] = (uint32_t)strtoul(at, &at, 10);
        at = *at == ' ' ? at : NULL;
    }
    if (list) {
        fr_numpy_init_list(r, seeds, n);
    } else {
        fr_numpy_init(r, seeds[0]);
    }
}

static void every_recorded_draw_is_equal(void)
{
    FILE *f = fopen(fixture, "r");
    CHECK(f != NULL);
    char line[LINE];
    fr_numpy r;
    draws *got = fr_zalloc(sizeof *got);
    int lines = 0;
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (line[0] == '#' || strncmp(line, "column", 6) == 0) {
            continue;
        }
        if (strncmp(line, "seed", 4) == 0) {
            seed_line(&r, line);
            continue;
        }
        char kind[32], *at = line + strcspn(line, " ");
        (void)snprintf(kind, sizeof kind, "%.*s", (int)(at - line), line);
        char *integer = at;
        double a = strtod(at, &at), b = strtod(at, &at);
        int64_t lo = strtoll(integer, &integer, 10), hi = strtoll(integer, &integer, 10);
        size_t n = strtoul(at, &at, 10);
        CHECK_INT(draw(&r, kind, a, b, lo, hi, n, got), FR_OK);
        if (!same(got, n, at)) {
            (void)fprintf(stderr, "differs: %.60s\n", line);
            CHECK(false);
        }
        lines++;
    }
    CHECK(lines > 100);
    fr_free(got);
    if (f != NULL) {
        (void)fclose(f);
    }
}

static void logistic(const double *x, double xs, double xc, const double *y, double ys,
                     double yc, double *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = 1 / (1 + exp(-(xs * (x[i] - xc) + ys * (y[i] - yc))));
    }
}

static void check_column(const char *name, const double *d, const int64_t *k, size_t n)
{
    FILE *f = fopen(fixture, "r");
    char line[LINE];
    draws *got = fr_zalloc(sizeof *got);
    got->real = d != NULL;
    memcpy(got->real ? (void *)got->d : (void *)got->k, got->real ? (const void *)d : k,
           n * 8);
    bool found = false;
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        char *at = line + 7;
        size_t size = strlen(name);
        if (strncmp(line, "column ", 7) == 0 && strncmp(at, name, size) == 0 &&
            at[size] == ' ') {
            found = true;
            CHECK_INT(strtoul(at + size, &at, 10), n);
            if (!same(got, n, at)) {
                (void)fprintf(stderr, "column %s differs\n", name);
                CHECK(false);
            }
        }
    }
    CHECK(found);
    fr_free(got);
    if (f != NULL) {
        (void)fclose(f);
    }
}

// The draws of the chapter's three tasks, in its order, give the chapter's own tables.
static void chapter_data_are_reproduced(void)
{
    enum { N = 1000, HOURS = 720 };
    static double temp[N], vibration[N], oil[N], p[N], noise[HOURS], wind[N], trees[N],
        rain[N];
    static int64_t age[N], failure[N], outage[N];
    static const double c[] = {60, 5, 0.2, 0.05, 70, 10, 0, 30, 20, 7, 0, 1, 50, 15, 1};
    fr_numpy r;
    fr_numpy_init(&r, 42);
    int rc = fr_numpy_normal(&r, one(c), one(c + 1), temp, N, NULL);
    rc += fr_numpy_normal(&r, one(c + 2), one(c + 3), vibration, N, NULL);
    rc += fr_numpy_normal(&r, one(c + 4), one(c + 5), oil, N, NULL);
    rc += fr_numpy_integers(&r, 1, 30, age, N, NULL);
    logistic(temp, 0.05, 65, vibration, 8, 0.25, p, N);
    rc += fr_numpy_binomial(&r, one(c + 14), (fr_random_arg){p, 1}, failure, N, NULL);
    rc += fr_numpy_normal(&r, one(c + 6), one(c + 7), noise, HOURS, NULL);
    rc += fr_numpy_normal(&r, one(c + 8), one(c + 9), wind, N, NULL);
    rc += fr_numpy_uniform(&r, one(c + 10), one(c + 11), trees, N, NULL);
    rc += fr_numpy_normal(&r, one(c + 12), one(c + 13), rain, N, NULL);
    logistic(wind, 0.15, 25, trees, 2, 0.5, p, N);
    rc += fr_numpy_binomial(&r, one(c + 14), (fr_random_arg){p, 1}, outage, N, NULL);
    CHECK_INT(rc, FR_OK);
    check_column("temp", temp, NULL, N);
    check_column("vibration", vibration, NULL, N);
    check_column("oil", oil, NULL, N);
    check_column("age", NULL, age, N);
    check_column("failure", NULL, failure, N);
    check_column("noise", noise, NULL, HOURS);
    check_column("wind", wind, NULL, N);
    check_column("trees", trees, NULL, N);
    check_column("rainfall", rain, NULL, N);
    check_column("outage", NULL, outage, N);
}

static void wrong_parameters_are_named(void)
{
    fr_numpy r;
    fr_numpy_init(&r, 1);
    double half = 0.5, minus = -1, p[] = {0.5, 1.5}, out[2];
    int64_t k[2];
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_numpy_normal(&r, one(&half), one(&minus), out, 2, &err), FR_EINVAL);
    CHECK(strstr(err.text, "standard deviation") != NULL);
    CHECK_INT(fr_numpy_binomial(&r, one(&half), (fr_random_arg){p, 1}, k, 2, &err),
              FR_EINVAL);
    CHECK(strstr(err.text, "value 2 of the probability is 1.5") != NULL);
    CHECK_INT(fr_numpy_integers(&r, 3, 3, k, 2, &err), FR_EINVAL);
}

static void a_cancelled_draw_stops(void)
{
    fr_numpy r;
    fr_numpy_init(&r, 1);
    fr_cancel token = {FR_ECANCELLED};
    fr_cancel *before = fr_cancel_enter(&token);
    double zero = 0, unit = 1, out[4];
    CHECK_INT(fr_numpy_normal(&r, one(&zero), one(&unit), out, 4, NULL), FR_ECANCELLED);
    (void)fr_cancel_enter(before);
}

int main(int argc, char **argv)
{
    fixture = argc > 1 ? argv[1] : FLOWRUN_SOURCE "/tests/fixtures/numpy.txt";
    CASE(every_recorded_draw_is_equal);
    CASE(chapter_data_are_reproduced);
    CASE(wrong_parameters_are_named);
    CASE(a_cancelled_draw_stops);
    return check_end();
}
