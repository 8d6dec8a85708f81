// Kernels over columns against plain loops and closed forms.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/compute.h"
#include "tests/unit/check.h"
#include "tests/unit/data_make.h"

#include <stdlib.h>

#define OK(x) CHECK_INT((x), FR_OK)

static fr_array *f64s(const double *x, size_t n)
{
    fr_array *a;
    OK(fr_array_new(fr_type_of(FR_FLOAT64), (int64_t)n, 0, &a, NULL));
    memcpy(a->values->data, x, n * sizeof *x);
    return a;
}

static fr_array *i64s(const int64_t *x, size_t n)
{
    fr_array *a;
    OK(fr_array_new(fr_type_of(FR_INT64), (int64_t)n, 0, &a, NULL));
    memcpy(a->values->data, x, n * sizeof *x);
    return a;
}

static void rows_by_index_and_by_mask_agree_with_a_loop(void)
{
    fr_rand r;
    fr_rand_init(&r, 11, 1);
    for (int round = 0; round < 300; round++) {
        fr_kind kind = make_kinds[fr_rand_below(&r, FR_COUNT(make_kinds))];
        int64_t n = (int64_t)fr_rand_below(&r, 400);
        fr_array *a = make_random(&r, kind, n, 1000, fr_rand_below(&r, 4));
        fr_array *mask =
            make_random(&r, FR_BOOL, n, 1 + fr_rand_below(&r, 6), fr_rand_below(&r, 5));
        fr_array *kept, *again;
        fr_block *rows;
        int64_t count = 0, at = 0;
        OK(fr_compute_filter_array(a, mask, &kept, NULL));
        bool good = true;
        for (int64_t i = 0; i < n; i++) {
            if (fr_array_has(mask, i) && fr_array_bool(mask, i)) {
                good = good && at < kept->length && make_equal(kept, at, a, i);
                at++;
            }
        }
        CHECK(good && at == kept->length);
        OK(fr_compute_rows(mask, &rows, &count, NULL));
        CHECK_INT(count, at);
        OK(fr_compute_take(a, (const uint32_t *)(const void *)rows->data, count, false,
                           &again, NULL));
        CHECK(fr_hash_eq(fr_array_hash(kept), fr_array_hash(again)));
        CHECK_INT(kept->nulls, again->nulls);
        fr_block_unref(rows);
        fr_array_unref(again);
        fr_array_unref(kept);
        fr_array_unref(mask);
        fr_array_unref(a);
    }
}

static void a_missing_index_gives_a_null(void)
{
    for (size_t k = 0; k < FR_COUNT(make_kinds); k++) {
        fr_rand r;
        fr_rand_init(&r, 12, k);
        fr_array *a = make_random(&r, make_kinds[k], 10, 50, 0), *t;
        const uint32_t index[] = {9, FR_TAKE_NULL, 0, FR_TAKE_NULL};
        OK(fr_compute_take(a, index, 4, true, &t, NULL));
        CHECK_INT(t->nulls, 2);
        CHECK(make_equal(t, 0, a, 9) && make_equal(t, 2, a, 0));
        CHECK(!fr_array_has(t, 1) && !fr_array_has(t, 3));
        fr_array_unref(t);
        fr_array_unref(a);
    }
}

static double number(const fr_array *a, fr_op op, double q)
{
    fr_scalar v;
    fr_err err = FR_ERR_INIT;
    int rc = fr_compute_aggregate(a, op, q, &v, &err);
    if (rc != FR_OK || v.null) {
        return -12345;
    }
    bool floats = v.type.kind == FR_FLOAT64 || v.type.kind == FR_FLOAT32;
    return floats ? v.number : (double)v.integer;
}

static void aggregates_have_their_closed_forms(void)
{
    int64_t n = 200001;
    fr_array *a;
    OK(fr_array_new(fr_type_of(FR_INT64), n, 0, &a, NULL));
    for (int64_t i = 0; i < n; i++) {
        ((int64_t *)(void *)a->values->data)[i] = (i * 7919) % n; // 0..n-1 shuffled
    }
    fr_array *f;
    OK(fr_compute_cast(a, fr_type_of(FR_FLOAT64), &f, NULL));
    const fr_array *both[] = {a, f};
    for (size_t k = 0; k < 2; k++) {
        double m = (double)(n - 1);
        CHECK_NEAR(number(both[k], FR_OP_SUM, 0), m * (m + 1) / 2, 0);
        CHECK_NEAR(number(both[k], FR_OP_MEAN, 0), m / 2, 0);
        CHECK_NEAR(number(both[k], FR_OP_MIN, 0), 0, 0);
        CHECK_NEAR(number(both[k], FR_OP_MAX, 0), m, 0);
        CHECK_NEAR(number(both[k], FR_OP_MEDIAN, 0), m / 2, 0);
        CHECK_NEAR(number(both[k], FR_OP_VAR, 0), (double)n * (m + 2) / 12, 1e-4);
        CHECK_NEAR(number(both[k], FR_OP_STD, 0), sqrt((double)n * (m + 2) / 12), 1e-9);
        CHECK_NEAR(number(both[k], FR_OP_NUNIQUE, 0), (double)n, 0);
        CHECK_NEAR(number(both[k], FR_OP_FIRST, 0), 0, 0);
        for (double q = 0; q <= 1; q += .0625) {
            CHECK_NEAR(number(both[k], FR_OP_QUANTILE, q), q * m, 1e-9 * m);
        }
    }
    fr_array_unref(a);
    fr_array_unref(f);
}

static void sums_of_integers_are_exact_or_an_error(void)
{
    const int64_t big[] = {INT64_MAX, INT64_MAX, -INT64_MAX, 5, -10};
    fr_array *a = i64s(big, 5);
    fr_scalar v;
    fr_err err = FR_ERR_INIT;
    OK(fr_compute_aggregate(a, FR_OP_SUM, 0, &v, &err));
    CHECK(v.integer == INT64_MAX - 5);
    fr_array *over = fr_array_slice(a, 0, 2);
    CHECK_INT(fr_compute_aggregate(over, FR_OP_SUM, 0, &v, &err), FR_EOVERFLOW);
    CHECK(strstr(err.text, "does not fit int64") != NULL);
    CHECK_NEAR(number(over, FR_OP_MEAN, 0), 0x1p63, 0);
    fr_array_unref(over);
    fr_array_unref(a);
}

// The sum and variance of a series whose exact values are known, far from zero.
static void float_sums_keep_their_digits(void)
{
    int64_t n = 300000;
    double *x = fr_alloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        x[i] = 1e9 + (double)(i % 2) * .5; // exact in binary: mean 1e9 + .25
    }
    fr_array *a = f64s(x, (size_t)n);
    CHECK_NEAR(number(a, FR_OP_MEAN, 0), 1e9 + .25, 0);
    CHECK_NEAR(number(a, FR_OP_VAR, 0), .0625 * (double)n / (double)(n - 1), 1e-15);
    for (int64_t i = 0; i < n; i++) {
        ((double *)(void *)a->values->data)[i] = .1;
    }
    // Pairwise: two units in the last place; a running sum is off by thousands.
    CHECK_NEAR(number(a, FR_OP_SUM, 0), (double)n * .1, 1e-11);
    fr_array_unref(a);
    fr_free(x);
}

static void missing_and_nan_follow_the_rules(void)
{
    fr_builder *b = fr_builder_new(fr_type_of(FR_FLOAT64), 0);
    OK(fr_builder_null(b, NULL));
    OK(fr_builder_float(b, 2, NULL));
    OK(fr_builder_null(b, NULL));
    OK(fr_builder_float(b, 6, NULL));
    fr_array *a;
    OK(fr_builder_finish(b, &a, NULL));
    CHECK_NEAR(number(a, FR_OP_COUNT, 0), 2, 0);
    CHECK_NEAR(number(a, FR_OP_ROWS, 0), 4, 0);
    CHECK_NEAR(number(a, FR_OP_SUM, 0), 8, 0);
    CHECK_NEAR(number(a, FR_OP_MEAN, 0), 4, 0);
    CHECK_NEAR(number(a, FR_OP_VAR, 0), 8, 0);
    CHECK_NEAR(number(a, FR_OP_QUANTILE, .25), 3, 0);
    CHECK_NEAR(number(a, FR_OP_FIRST, 0), -12345, 0); // null
    CHECK_NEAR(number(a, FR_OP_LAST, 0), 6, 0);
    fr_array *one = fr_array_slice(a, 1, 1), *none = fr_array_slice(a, 0, 1);
    CHECK_NEAR(number(one, FR_OP_STD, 0), -12345, 0); // null below two values
    CHECK_NEAR(number(none, FR_OP_SUM, 0), 0, 0);
    CHECK_NEAR(number(none, FR_OP_MEAN, 0), -12345, 0);
    CHECK_NEAR(number(none, FR_OP_MIN, 0), -12345, 0);
    CHECK_NEAR(number(none, FR_OP_MEDIAN, 0), -12345, 0);
    CHECK_NEAR(number(none, FR_OP_NUNIQUE, 0), 0, 0);
    fr_array_unref(one);
    fr_array_unref(none);
    fr_array_unref(a);
    const double nan[] = {3, (double)NAN, 1};
    a = f64s(nan, 3);
    static const fr_op poisoned[] = {FR_OP_SUM, FR_OP_MEAN, FR_OP_MIN,
                                     FR_OP_MAX, FR_OP_STD,  FR_OP_MEDIAN};
    for (size_t i = 0; i < FR_COUNT(poisoned); i++) {
        CHECK(isnan(number(a, poisoned[i], 0)));
    }
    fr_array_unref(a);
    fr_builder_free(b);
    fr_scalar v;
    fr_err err = FR_ERR_INIT;
    fr_rand r;
    fr_rand_init(&r, 13, 1);
    a = make_random(&r, FR_UTF8, 5, 4, 0);
    CHECK_INT(fr_compute_aggregate(a, FR_OP_MEAN, 0, &v, &err), FR_ETYPE);
    CHECK_STR(err.text, "mean of utf8 is not defined");
    fr_array_unref(a);
}

static int by_value(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, 8);
    memcpy(&y, b, 8);
    return (x > y) - (x < y);
}

static void quantiles_are_those_of_the_sorted_values(void)
{
    fr_rand r;
    fr_rand_init(&r, 14, 1);
    for (int round = 0; round < 60; round++) {
        size_t n = 1 + fr_rand_below(&r, round % 10 == 0 ? 100000 : 50);
        double *x = fr_alloc(n * sizeof *x);
        for (size_t i = 0; i < n; i++) {
            x[i] = round % 2 ? (double)fr_rand_below(&r, 20) - 10
                             : (fr_rand_unit(&r) - .5) * 1e3;
        }
        fr_array *a = f64s(x, n);
        qsort(x, n, sizeof *x, by_value);
        double q[] = {0, fr_rand_unit(&r), fr_rand_unit(&r), 1}, got[4];
        OK(fr_compute_quantiles(a, q, 4, got, NULL));
        for (size_t i = 0; i < 4; i++) {
            double at = q[i] * (double)(n - 1);
            size_t k = (size_t)at;
            double want = k + 1 < n ? x[k] + (x[k + 1] - x[k]) * (at - (double)k) : x[k];
            CHECK_NEAR(got[i], want, 1e-12 * fabs(want));
        }
        fr_array_unref(a);
        fr_free(x);
    }
    const double bad = 1.5;
    double out;
    fr_err err = FR_ERR_INIT;
    fr_array *a = f64s(&bad, 1);
    CHECK_INT(fr_compute_quantiles(a, &bad, 1, &out, &err), FR_EINVAL);
    CHECK_STR(err.text, "a quantile is between 0 and 1, got 1.5");
    fr_array_unref(a);
}

static int by_integer(const void *a, const void *b)
{
    int64_t x, y;
    memcpy(&x, a, 8);
    memcpy(&y, b, 8);
    return (x > y) - (x < y);
}

// Integers of any width of range, many equal ones, nulls: ranks against a sorted copy.
static void quantiles_of_integers_are_exact(void)
{
    fr_rand r;
    fr_rand_init(&r, 19, 1);
    for (int bits = 0; bits < 64; bits += 7) {
        int64_t n = 30000, count = 0;
        int64_t *x = fr_alloc((size_t)n * sizeof *x);
        fr_builder *b = fr_builder_new(fr_type_of(FR_INT64), n);
        for (int64_t i = 0; i < n; i++) {
            if (i % 11 == 3) {
                OK(fr_builder_null(b, NULL));
                continue;
            }
            x[count] =
                bits == 0 ? 42 : (int64_t)(fr_rand_u64(&r) >> (64 - bits)) - (1 << 20);
            OK(fr_builder_int(b, x[count++], NULL));
        }
        fr_array *a;
        OK(fr_builder_finish(b, &a, NULL));
        fr_builder_free(b);
        qsort(x, (size_t)count, sizeof *x, by_integer);
        double q[5], got[5];
        for (int64_t i = 0; i < 5; i++) {
            q[i] = (double)(i * (count - 1) / 4) / (double)(count - 1);
        }
        OK(fr_compute_quantiles(a, q, 5, got, NULL));
        for (int64_t i = 0; i < 5; i++) {
            CHECK_NEAR(got[i], (double)x[i * (count - 1) / 4], 1e-9 * fabs(got[i]));
        }
        fr_array_unref(a);
        fr_free(x);
    }
}

static void aggregates_are_the_same_on_any_threads(void)
{
    fr_rand r;
    fr_rand_init(&r, 15, 1);
    fr_array *a = make_random(&r, FR_FLOAT64, 0, 1000, 0);
    fr_array_unref(a);
    double *x = fr_alloc(400000 * sizeof *x);
    for (size_t i = 0; i < 400000; i++) {
        x[i] = fr_rand_unit(&r) * exp(20 * fr_rand_unit(&r));
    }
    a = f64s(x, 400000);
    fr_free(x);
    static const unsigned threads[] = {1, 2, 3, 8};
    for (int op = FR_OP_SUM; op < FR_OP_MAX_; op++) {
        double want = 0;
        for (size_t t = 0; t < 4; t++) {
            unsigned before = fr_pool_limit(threads[t]);
            double v = number(a, (fr_op)op, .3);
            CHECK(t == 0 || memcmp(&v, &want, sizeof v) == 0);
            want = v;
            (void)fr_pool_limit(before);
        }
    }
    fr_array_unref(a);
}

static void parts_go_end_to_end(void)
{
    fr_rand r;
    fr_rand_init(&r, 16, 1);
    for (size_t k = 0; k < FR_COUNT(make_kinds); k++) {
        fr_array *part[4], *all;
        int64_t at = 0;
        for (size_t i = 0; i < 4; i++) {
            part[i] =
                make_random(&r, make_kinds[k], (int64_t)fr_rand_below(&r, 40), 30, i);
        }
        OK(fr_compute_concat((const fr_array *const *)part, 4, "x", &all, NULL));
        CHECK_INT(all->type.kind, make_kinds[k]);
        for (size_t i = 0; i < 4; i++) {
            for (int64_t j = 0; j < part[i]->length; j++) {
                CHECK(make_equal(all, at + j, part[i], j));
            }
            at += part[i]->length;
            fr_array_unref(part[i]);
        }
        CHECK_INT(all->length, at);
        fr_array_unref(all);
    }
    fr_array *a = make_random(&r, FR_INT64, 3, 9, 0),
             *b = make_random(&r, FR_UTF8, 3, 9, 0);
    fr_array *c = make_random(&r, FR_FLOAT64, 3, 9, 0), *all;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_compute_concat((const fr_array *const[]){a, b}, 2, "kw", &all, &err),
              FR_ETYPE);
    CHECK_STR(err.text, "\"kw\" is utf8 in part 2 and int64 before");
    OK(fr_compute_concat((const fr_array *const[]){a, c}, 2, "kw", &all, &err));
    CHECK_INT(all->type.kind, FR_FLOAT64);
    fr_array_unref(all);
    fr_array_unref(a);
    fr_array_unref(b);
    fr_array_unref(c);
}

static void casts_are_exact_or_errors(void)
{
    const double x[] = {1, 2, 2.5};
    fr_array *a = f64s(x, 3), *out;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_compute_cast(a, fr_type_of(FR_INT64), &out, &err), FR_EOVERFLOW);
    CHECK_STR(err.text, "row 3: 2.5 does not fit int64");
    fr_array *two = fr_array_slice(a, 0, 2);
    OK(fr_compute_cast(two, fr_type_of(FR_INT8), &out, &err));
    CHECK_INT(fr_array_int(out, 1), 2);
    fr_array_unref(out);
    CHECK_INT(fr_compute_cast(a, fr_type_of(FR_UTF8), &out, &err), FR_ETYPE);
    CHECK_STR(err.text, "float64 cannot become utf8");
    fr_array_unref(two);
    fr_array_unref(a);
    fr_builder *b = fr_builder_new(fr_type_of(FR_DATE), 0);
    OK(fr_builder_int(b, -1, NULL));
    OK(fr_builder_null(b, NULL));
    OK(fr_builder_finish(b, &a, NULL));
    fr_builder_free(b);
    OK(fr_compute_cast(a, (fr_type){.kind = FR_TIMESTAMP, .unit = FR_MILLI}, &out, &err));
    CHECK_INT(fr_array_int(out, 0), -86400000);
    CHECK(!fr_array_has(out, 1));
    fr_array *coarse;
    OK(fr_compute_cast(out, (fr_type){.kind = FR_TIMESTAMP, .unit = FR_SECOND}, &coarse,
                       &err));
    CHECK_INT(fr_array_int(coarse, 0), -86400);
    fr_array_unref(coarse);
    fr_array_unref(out);
    fr_array_unref(a);
}

static void nulls_are_filled(void)
{
    fr_rand r;
    fr_rand_init(&r, 17, 1);
    static const struct {
        fr_kind kind;
        fr_scalar v;
    } cases[] = {
        {FR_INT64, {.type = {.kind = FR_INT64}, .integer = 77}},
        {FR_FLOAT64, {.type = {.kind = FR_INT64}, .integer = 77}},
        {FR_UTF8, {.type = {.kind = FR_UTF8}, .text = "none", .n = 4}},
        {FR_CATEGORY, {.type = {.kind = FR_UTF8}, .text = "none", .n = 4}},
        {FR_BOOL, {.type = {.kind = FR_BOOL}, .integer = 1}},
    };
    for (size_t k = 0; k < FR_COUNT(cases); k++) {
        fr_array *a = make_random(&r, cases[k].kind, 90, 40, 3), *filled;
        OK(fr_compute_fill(a, &cases[k].v, &filled, NULL));
        CHECK_INT(filled->nulls, 0);
        CHECK_INT(filled->type.kind, cases[k].kind);
        for (int64_t i = 0; i < 90; i++) {
            if (fr_array_has(a, i)) {
                CHECK(make_equal(a, i, filled, i));
            } else if (cases[k].v.text != NULL) {
                size_t n;
                CHECK(memcmp(fr_array_text(filled, i, &n), "none", 4) == 0 && n == 4);
            } else {
                CHECK_NEAR(fr_array_number(filled, i), (double)cases[k].v.integer, 0);
            }
        }
        fr_array_unref(filled);
        fr_array_unref(a);
    }
    fr_array *a = make_random(&r, FR_INT64, 9, 40, 2), *filled;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_compute_fill(a, &cases[2].v, &filled, &err), FR_ETYPE);
    CHECK_STR(err.text, "a value of utf8 in a column of int64");
    fr_array_unref(a);
}

static void a_cancelled_kernel_says_so(void)
{
    fr_cancel token = {0};
    fr_cancel *before = fr_cancel_enter(&token);
    fr_cancel_set(&token, FR_ETIMEOUT);
    fr_rand r;
    fr_rand_init(&r, 18, 1);
    fr_array *a = make_random(&r, FR_INT64, 1000, 9, 2), *out;
    const uint32_t index[] = {0};
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_compute_take(a, index, 1, false, &out, &err), FR_ETIMEOUT);
    CHECK(out == NULL && err.text[0] != 0);
    (void)fr_cancel_enter(before);
    fr_array_unref(a);
}

int main(void)
{
    CASE(rows_by_index_and_by_mask_agree_with_a_loop);
    CASE(a_missing_index_gives_a_null);
    CASE(aggregates_have_their_closed_forms);
    CASE(sums_of_integers_are_exact_or_an_error);
    CASE(float_sums_keep_their_digits);
    CASE(missing_and_nan_follow_the_rules);
    CASE(quantiles_are_those_of_the_sorted_values);
    CASE(quantiles_of_integers_are_exact);
    CASE(aggregates_are_the_same_on_any_threads);
    CASE(parts_go_end_to_end);
    CASE(casts_are_exact_or_errors);
    CASE(nulls_are_filled);
    CASE(a_cancelled_kernel_says_so);
    fr_pool_shutdown();
    return check_end();
}
