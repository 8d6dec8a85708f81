// Linear regression: NIST's reference datasets (digits), closed forms, ridge, lost columns.
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/base/rand.h"
#include "core/ml/linalg.h"
#include "core/ml/least_squares.h"

#include "check.h"

#include <stdlib.h>
#include <unistd.h>

enum { ROWS = 128, COLUMNS = 16 };

static double data[COLUMNS][ROWS];     // data[0] is y

static const char *shared(void)
{
    const char *home = getenv("FLOWRUN_SHARED");
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/data/torture/nist_strd",
                   home != NULL ? home : FLOWRUN_SOURCE "/../shared");
    return path;
}

static size_t read_csv(const char *name, size_t *columns)
{
    char path[600], line[4096];
    (void)snprintf(path, sizeof path, "%s/%s.csv", shared(), name);
    FILE *f = fopen(path, "r");
    size_t rows = 0;
    *columns = 0;
    CHECK(f != NULL && fgets(line, sizeof line, f) != NULL);
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        char *at = line;
        for (*columns = 0; *columns < COLUMNS && *at != 0 && *at != '\n'; ++*columns) {
            data[*columns][rows] = strtod(at, &at);
            at += *at == ',';
        }
        rows++;
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return rows;
}

static double digits(double got, double want)
{
    double error = want == 0 ? fabs(got) : fabs(got / want - 1);
    return error == 0 ? 16 : fmin(16, -log10(error));
}

// The least number of digits of coefficients (errors too, if they are not 0).
static double nist(const char *name, bool poly, size_t p, bool intercept, double *se_digits)
{
    static double powers[COLUMNS][ROWS];
    const double *columns[COLUMNS];
    size_t count, rows = read_csv(name, &count);
    for (size_t j = 0; j < p; j++) {
        columns[j] = poly ? powers[j] : data[j + 1];
        for (size_t i = 0; i < rows && poly; i++) {
            powers[j][i] = j == 0 ? data[1][i] : powers[j - 1][i] * data[1][i];
        }
    }
    fr_columns x = {rows, p, columns, NULL, false};
    fr_least_squares s;
    CHECK_INT(fr_least_squares_fit(&x, data[0], intercept, 0, &s, NULL), FR_OK);
    char path[600], line[512];
    (void)snprintf(path, sizeof path, "%s/exact_ols.csv", shared());
    FILE *f = fopen(path, "r");
    double least = 16, least_se = 16;
    int found = 0;
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        char set[32], model[32];
        int n, columns_of_it, index;
        double beta, se, sigma, r2;
        if (sscanf(line, "%31[^,],%31[^,],%d,%d,%d,%lf,%lf,%lf,%lf", set, model, &n,
                   &columns_of_it, &index, &beta, &se, &sigma, &r2) != 9 ||
            strcmp(set, name) != 0) {
            continue;
        }
        int j = intercept ? index - 1 : found;         // counted from 1 without an intercept
        double got = j < 0 ? s.intercept : s.coef[j], spread = j < 0 ? s.intercept_se : s.se[j];
        least = fmin(least, digits(got, beta));
        if (se > 0) {
            least_se = fmin(least_se, digits(spread, se));
            least_se = fmin(least_se, digits(sqrt(s.residual_ss / s.degrees), sigma));
            least_se = fmin(least_se, digits(1 - s.residual_ss / s.total_ss, r2));
        }
        found++;
    }
    CHECK_INT(found, (int)p + intercept);
    if (f != NULL) {
        (void)fclose(f);
    }
    fr_least_squares_fini(&s);
    *se_digits = least_se;
    return least;
}

static void nist_datasets_keep_their_digits(void)
{
    static const struct {
        const char *name;
        bool poly;
        size_t p;
        bool intercept;
        double digits;
    } sets[] = {{"norris", false, 1, true, 9},    {"pontius", true, 2, true, 9},
                {"noint1", false, 1, false, 9},   {"noint2", false, 1, false, 9},
                {"longley", false, 6, true, 9},   {"wampler1", true, 5, true, 9},
                {"wampler2", true, 5, true, 9},   {"wampler3", true, 5, true, 9},
                {"wampler4", true, 5, true, 8},   {"wampler5", true, 5, true, 6},
                {"filip", true, 10, true, 7.5}};
    if (access(shared(), R_OK) != 0) {
        (void)printf("skipped: no %s\n", shared());
        CHECK(true);
        return;
    }
    for (size_t i = 0; i < FR_COUNT(sets); i++) {
        double se, got = nist(sets[i].name, sets[i].poly, sets[i].p, sets[i].intercept, &se);
        (void)printf("  %-9s %4.1f digits, errors %4.1f\n", sets[i].name, got, se);
        CHECK(got >= sets[i].digits);
        CHECK(se >= 6);
    }
}

static double noise(fr_rand *r)
{
    return fr_rand_unit(r) + fr_rand_unit(r) + fr_rand_unit(r) - 1.5;
}

typedef struct made {
    fr_columns x;
    double *memory, *y;
    const double **column;
} made;

static made make(size_t rows, size_t p, uint64_t seed)
{
    made m = {.memory = fr_alloc((p + 1) * rows * sizeof(double)),
              .column = fr_alloc((p + 1) * sizeof(double *))};
    fr_rand r;
    fr_rand_init(&r, seed, 0);
    m.y = m.memory + p * rows;
    for (size_t j = 0; j < p; j++) {
        m.column[j] = m.memory + j * rows;
        for (size_t i = 0; i < rows; i++) {
            m.memory[j * rows + i] = noise(&r) * (double)(j + 1) + 10.0 * (double)j;
        }
    }
    for (size_t i = 0; i < rows; i++) {
        m.y[i] = 3 + noise(&r);
        for (size_t j = 0; j < p; j++) {
            m.y[i] += (j % 2 ? -1.0 : 1.0) * m.column[j][i];
        }
    }
    m.x = (fr_columns){rows, p, m.column, NULL, false};
    return m;
}

static void made_fini(made *m)
{
    fr_free(m->memory);
    fr_free(m->column);
}

// The gradient of the sum of squares (and the penalty) vanishes at the solution.
static void gradient_vanishes_with_and_without_ridge(void)
{
    made m = make(500, 6, 1);
    const double weights[] = {0, 7.5};
    for (int c = 0; c < 4; c++) {
        double l2 = weights[c / 2];
        fr_least_squares s;
        CHECK_INT(fr_least_squares_fit(&m.x, m.y, c % 2, l2, &s, NULL), FR_OK);
        double sum = 0;
        for (size_t j = 0; j < 6; j++) {
            double g = -l2 * s.coef[j];
            for (size_t i = 0; i < 500; i++) {
                double e = m.y[i] - (c % 2 ? s.intercept : 0);
                for (size_t k = 0; k < 6; k++) {
                    e -= s.coef[k] * m.column[k][i];
                }
                g += e * m.column[j][i];
                sum += j == 0 ? e : 0;
            }
            CHECK_NEAR(g, 0, 1e-6);
        }
        if (c % 2) {
            CHECK_NEAR(sum, 0, 1e-8);
        }
        CHECK(s.rank == 6 && !s.by_qr);
        fr_least_squares_fini(&s);
    }
    made_fini(&m);
}

static void columns_that_others_explain_are_left_out(void)
{
    made m = make(200, 4, 2);
    for (size_t i = 0; i < 200; i++) {
        m.memory[3 * 200 + i] = m.column[0][i] + 2 * m.column[1][i] - 5;
    }
    fr_least_squares s, three;
    CHECK_INT(fr_least_squares_fit(&m.x, m.y, true, 0, &s, NULL), FR_OK);
    CHECK_INT(s.rank, 3);
    CHECK(s.by_qr);
    int zero = 0;
    for (size_t j = 0; j < 4; j++) {
        zero += s.coef[j] == 0 && isnan(s.se[j]);
    }
    CHECK_INT(zero, 1);
    m.x.count = 3;
    CHECK_INT(fr_least_squares_fit(&m.x, m.y, true, 0, &three, NULL), FR_OK);
    CHECK_NEAR(s.residual_ss / three.residual_ss, 1, 1e-10);
    fr_least_squares_fini(&three);
    fr_least_squares_fini(&s);
    for (size_t i = 0; i < 200; i++) {
        m.memory[i] = 1e6;                       // a constant beside the intercept
    }
    CHECK_INT(fr_least_squares_fit(&m.x, m.y, true, 0, &s, NULL), FR_OK);
    CHECK(s.rank == 2 && s.coef[0] == 0);
    fr_least_squares_fini(&s);
    made_fini(&m);
}

static void threads_do_not_change_a_bit(void)
{
    made m = make(150000, 3, 3);
    fr_least_squares first, s;
    unsigned before = fr_pool_limit(1);
    CHECK_INT(fr_least_squares_fit(&m.x, m.y, true, 0, &first, NULL), FR_OK);
    (void)fr_pool_limit(3);
    CHECK_INT(fr_least_squares_fit(&m.x, m.y, true, 0, &s, NULL), FR_OK);
    (void)fr_pool_limit(before);
    CHECK(memcmp(first.coef, s.coef, 3 * sizeof(double)) == 0);
    CHECK(first.intercept == s.intercept && first.residual_ss == s.residual_ss);
    fr_least_squares_fini(&first);
    fr_least_squares_fini(&s);
    made_fini(&m);
}

static void few_rows_and_none(void)
{
    double y[] = {2, 4}, x[] = {1, 2};
    const double *columns[] = {x};
    fr_columns one = {2, 1, columns, NULL, false};
    fr_least_squares s;
    CHECK_INT(fr_least_squares_fit(&one, y, true, 0, &s, NULL), FR_OK);
    CHECK_NEAR(s.coef[0], 2, 1e-15);
    CHECK_NEAR(s.intercept, 0, 1e-15);
    CHECK(isnan(s.se[0]));
    fr_least_squares_fini(&s);
    one.rows = 0;
    CHECK_INT(fr_least_squares_fit(&one, y, true, 0, &s, NULL), FR_EINVAL);
    fr_least_squares_fini(&s);
    one = (fr_columns){2, 0, columns, NULL, false};
    CHECK_INT(fr_least_squares_fit(&one, y, true, 0, &s, NULL), FR_OK);
    CHECK_NEAR(s.intercept, 3, 0);
    fr_least_squares_fini(&s);
}

// Four copies of some rows have their coefficients and four times their squares, though
// so many rows are summed in one pass.
static void many_rows_are_fitted_as_few(void)
{
    enum { FEW = 10000, MANY = 4 * FEW };
    double *memory = fr_alloc(4 * MANY * sizeof *memory);
    double *x[3] = {memory, memory + MANY, memory + 2 * MANY}, *y = memory + 3 * MANY;
    fr_rand r;
    fr_rand_init(&r, 12, 0);
    for (size_t i = 0; i < MANY; i++) {
        bool copy = i >= FEW;
        double u = fr_rand_unit(&r), v = fr_rand_unit(&r), e = fr_rand_unit(&r);
        x[0][i] = copy ? x[0][i - FEW] : 1e6 + u;
        x[1][i] = copy ? x[1][i - FEW] : v - u;
        x[2][i] = copy ? x[2][i - FEW] : (double)(i % 7 == 3); // mostly missed by a guess
        y[i] = copy ? y[i - FEW] : 3 * u - v + x[2][i] + e;
    }
    for (int ridge = 0; ridge <= 1; ridge++) {
        fr_columns few = {FEW, 3, (const double *const *)x, NULL, false}, many = few;
        many.rows = MANY;
        fr_least_squares a, b;
        CHECK_INT(fr_least_squares_fit(&few, y, true, 50 * ridge, &a, NULL), FR_OK);
        CHECK_INT(fr_least_squares_fit(&many, y, true, 200 * ridge, &b, NULL), FR_OK);
        for (size_t j = 0; j < 3; j++) {
            CHECK_NEAR(b.coef[j], a.coef[j], 1e-10);
        }
        CHECK_NEAR(b.intercept / a.intercept, 1, 1e-10);
        CHECK_NEAR(b.residual_ss / a.residual_ss, 4, 1e-9);
        CHECK_NEAR(b.total_ss / a.total_ss, 4, 1e-9);
        fr_least_squares_fini(&a);
        fr_least_squares_fini(&b);
    }
    fr_free(memory);
}

static void openblas_opens_or_says_how_to_install_it(void)
{
    const fr_linalg *la, *again;
    fr_err err = FR_ERR_INIT;
    int rc = fr_linalg_open(&la, &err);
    if (rc == FR_EMISSING) {
        CHECK(strstr(err.text, "apt install libopenblas0") != NULL);
        return;
    }
    CHECK_INT(rc, FR_OK);
    CHECK_INT(fr_linalg_open(&again, NULL), FR_OK);
    CHECK(la == again && strstr(la->config(), "OpenBLAS") != NULL);
    double a[] = {1, 2, 3, 4}, b[] = {5, 6, 7, 8}, c[] = {0, 0, 0, 0};   // by columns
    la->dgemm(FR_LINALG_COLUMNS, FR_LINALG_PLAIN, FR_LINALG_PLAIN, 2, 2, 2, 1, a, 2, b, 2, 0, c, 2);
    CHECK(c[0] == 23 && c[1] == 34 && c[2] == 31 && c[3] == 46);
    double s[] = {4, 2, 2, 3};
    int n = 2, info = -1;
    la->dpotrf("L", &n, s, &n, &info);
    CHECK_INT(info, 0);
    CHECK_NEAR(s[0], 2, 1e-15);
    CHECK_NEAR(s[3], sqrt(2), 1e-15);
}

int main(void)
{
    CASE(nist_datasets_keep_their_digits);
    CASE(gradient_vanishes_with_and_without_ridge);
    CASE(columns_that_others_explain_are_left_out);
    CASE(threads_do_not_change_a_bit);
    CASE(few_rows_and_none);
    CASE(many_rows_are_fitted_as_few);
    CASE(openblas_opens_or_says_how_to_install_it);
    return check_end();
}
