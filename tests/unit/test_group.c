// Aggregates per group against one aggregate of each group's own rows.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/group.h"
#include "tests/unit/check.h"
#include "tests/unit/data_make.h"

#include <stdlib.h>

#define OK(x) CHECK_INT((x), FR_OK)

static bool same_key(fr_array *const *keys, size_t n, int64_t i, fr_array *const *groups,
                     int64_t g)
{
    for (size_t k = 0; k < n; k++) {
        if (!make_equal(keys[k], i, groups[k], g)) {
            return false;
        }
    }
    return true;
}

// The rows of one group as an array of their own, by a plain loop.
static fr_array *rows_of(fr_array *const *keys, size_t n, fr_array *const *groups,
                         int64_t g, const fr_array *input)
{
    uint32_t *rows = fr_alloc(((size_t)input->length + 1) * sizeof *rows);
    int64_t count = 0;
    for (int64_t i = 0; i < input->length; i++) {
        if (same_key(keys, n, i, groups, g)) {
            rows[count++] = (uint32_t)i;
        }
    }
    fr_array *part;
    OK(fr_compute_take(input, rows, count, false, &part, NULL));
    fr_free(rows);
    return part;
}

static bool close_to(const fr_scalar *want, const fr_array *got, int64_t g)
{
    if (want->null || !fr_array_has(got, g)) {
        return want->null == !fr_array_has(got, g);
    }
    if (want->text != NULL) {
        size_t n;
        const char *s = fr_array_text(got, g, &n);
        return n == want->n && memcmp(s, want->text, n) == 0;
    }
    if (got->type.kind == FR_FLOAT64 || got->type.kind == FR_FLOAT32) {
        double x = fr_array_number(got, g), y = want->number;
        return (isnan(x) && isnan(y)) || x == y ||
               fabs(x - y) <= 1e-9 * (fabs(x) + fabs(y)) + 1e-9;
    }
    return fr_array_int(got, g) == want->integer;
}

static void check_group(fr_array *const *keys, size_t n, const fr_array *input)
{
    fr_group *g;
    OK(fr_group_new((const fr_array *const *)keys, n, input->length, &g, NULL));
    fr_group_call calls[FR_OP_MAX_];
    size_t ncalls = 0;
    for (int op = 0; op < FR_OP_MAX_; op++) {
        fr_type type;
        if (fr_op_type((fr_op)op, &input->type, &type, NULL) == FR_OK) {
            calls[ncalls++] =
                (fr_group_call){(fr_op)op, op == FR_OP_ROWS ? NULL : input, .3};
        }
    }
    fr_array *results[FR_OP_MAX_], *groups[3];
    fr_err err = FR_ERR_INIT;
    int rc = fr_group_aggregate(g, calls, ncalls, results, &err);
    CHECK_INT(rc, FR_OK);
    CHECK_STR(err.text, "");
    int64_t count;
    OK(fr_group_count(g, &count, NULL));
    for (size_t k = 0; k < n; k++) {
        OK(fr_group_key(g, k, &groups[k], NULL));
        CHECK_INT(groups[k]->length, count);
    }
    int64_t rows = 0;
    for (int64_t i = 0; i < count && rc == FR_OK; i++) {
        fr_array *part = rows_of(keys, n, groups, i, input);
        rows += part->length;
        CHECK(part->length > 0);
        for (size_t c = 0; c < ncalls; c++) {
            fr_scalar want;
            OK(fr_compute_aggregate(part, calls[c].op, .3, &want, NULL));
            bool good = close_to(&want, results[c], i);
            CHECK(good);
            if (!good) {
                char name[64];
                (void)fprintf(stderr, "  %s of %s, group %d of %d\n",
                              fr_op_name(calls[c].op), fr_type_name(&input->type, name),
                              (int)i, (int)count);
            }
        }
        fr_array_unref(part);
    }
    CHECK_INT(rows, input->length);
    for (size_t k = 0; k < n; k++) {
        fr_array_unref(groups[k]);
    }
    for (size_t c = 0; c < ncalls && rc == FR_OK; c++) {
        fr_array_unref(results[c]);
    }
    fr_group_free(g);
}

static void every_aggregate_equals_that_of_the_rows(void)
{
    fr_rand r;
    fr_rand_init(&r, 21, 1);
    for (int round = 0; round < 120; round++) {
        fr_array *keys[2];
        size_t n = 1 + fr_rand_below(&r, 2);
        int64_t rows = (int64_t)fr_rand_below(&r, 120);
        for (size_t k = 0; k < n; k++) {
            fr_kind kind = round % 3 == 0
                               ? FR_INT64
                               : make_kinds[fr_rand_below(&r, FR_COUNT(make_kinds))];
            keys[k] = make_random(&r, kind, rows, 1 + fr_rand_below(&r, 20),
                                  fr_rand_below(&r, 3));
        }
        fr_kind kind = round % 2 == 0
                           ? FR_FLOAT64
                           : make_kinds[fr_rand_below(&r, FR_COUNT(make_kinds))];
        fr_array *input = make_random(&r, kind, rows, 1000, fr_rand_below(&r, 4));
        check_group(keys, n, input);
        for (size_t k = 0; k < n; k++) {
            fr_array_unref(keys[k]);
        }
        fr_array_unref(input);
    }
}

static void no_keys_are_one_group(void)
{
    fr_rand r;
    fr_rand_init(&r, 22, 1);
    for (int64_t rows = 0; rows < 3; rows++) {
        fr_array *x = make_random(&r, FR_INT64, rows, 100, 0), *out[2];
        fr_group *g;
        OK(fr_group_new(NULL, 0, rows, &g, NULL));
        fr_group_call calls[] = {{FR_OP_SUM, x, 0}, {FR_OP_ROWS, NULL, 0}};
        OK(fr_group_aggregate(g, calls, 2, out, NULL));
        CHECK_INT(out[0]->length, 1);
        fr_scalar want;
        OK(fr_compute_aggregate(x, FR_OP_SUM, 0, &want, NULL));
        CHECK_INT(fr_array_int(out[0], 0), want.integer);
        CHECK_INT(fr_array_int(out[1], 0), rows);
        fr_array_unref(out[0]);
        fr_array_unref(out[1]);
        fr_array_unref(x);
        fr_group_free(g);
    }
}

// Groups whose means are far apart: a shift that they share loses every digit.
static void variance_keeps_its_digits_in_every_group(void)
{
    int64_t rows = 300000, groups = 10;
    fr_array *key, *x;
    OK(fr_array_new(fr_type_of(FR_INT64), rows, 0, &key, NULL));
    OK(fr_array_new(fr_type_of(FR_FLOAT64), rows, 0, &x, NULL));
    for (int64_t i = 0; i < rows; i++) {
        int64_t k = i % groups;
        ((int64_t *)(void *)key->values->data)[i] = k;
        ((double *)(void *)x->values->data)[i] =
            pow(10, (double)k) + (double)(i / groups % 2) * .5;
    }
    const fr_array *keys[] = {key};
    fr_group *g;
    OK(fr_group_new(keys, 1, rows, &g, NULL));
    fr_group_call calls[] = {{FR_OP_VAR, x, 0}, {FR_OP_MEAN, x, 0}};
    fr_array *out[2];
    OK(fr_group_aggregate(g, calls, 2, out, NULL));
    double n = (double)(rows / groups);
    for (int64_t k = 0; k < groups; k++) {
        CHECK_NEAR(fr_array_f64(out[0])[k], .0625 * n / (n - 1), 1e-12);
        CHECK_NEAR(fr_array_f64(out[1])[k], pow(10, (double)k) + .25, 0);
    }
    fr_array_unref(out[0]);
    fr_array_unref(out[1]);
    fr_group_free(g);
    fr_array_unref(key);
    fr_array_unref(x);
}

static void the_same_bits_on_any_threads(void)
{
    fr_rand r;
    fr_rand_init(&r, 23, 1);
    int64_t rows = 600000;
    fr_array *x;
    OK(fr_array_new(fr_type_of(FR_FLOAT64), rows, 0, &x, NULL));
    for (int64_t i = 0; i < rows; i++) {
        ((double *)(void *)x->values->data)[i] =
            fr_rand_unit(&r) * exp(9 * fr_rand_unit(&r));
    }
    static const uint64_t distinct[] = {5, 3000, 200000};
    for (size_t d = 0; d < 3; d++) {
        fr_array *key;
        OK(fr_array_new(fr_type_of(FR_INT64), rows, 0, &key, NULL));
        for (int64_t i = 0; i < rows; i++) {
            ((int64_t *)(void *)key->values->data)[i] =
                (int64_t)fr_rand_below(&r, distinct[d]) * 977;
        }
        const fr_array *keys[] = {key};
        fr_hash want = {0, 0};
        for (unsigned t = 1; t <= 8; t = t == 3 ? 8 : t + 1) {
            unsigned before = fr_pool_limit(t);
            fr_group *g;
            fr_array *out[3];
            fr_group_call calls[] = {
                {FR_OP_SUM, x, 0}, {FR_OP_STD, x, 0}, {FR_OP_MEDIAN, x, 0}};
            OK(fr_group_new(keys, 1, rows, &g, NULL));
            OK(fr_group_aggregate(g, calls, d == 2 ? 2 : 3, out, NULL));
            fr_hash h = fr_hash_pair(fr_array_hash(out[0]), fr_array_hash(out[1]));
            CHECK(t == 1 || fr_hash_eq(h, want));
            want = h;
            for (int i = 0; i < (d == 2 ? 2 : 3); i++) {
                fr_array_unref(out[i]);
            }
            fr_group_free(g);
            (void)fr_pool_limit(before);
        }
        fr_array_unref(key);
    }
    fr_array_unref(x);
}

// The range of keys is guessed from every n-th row; a row between has another key.
static void a_key_outside_of_the_guess_is_found(void)
{
    int64_t rows = 100000;
    fr_array *key;
    OK(fr_array_new(fr_type_of(FR_INT64), rows, 0, &key, NULL));
    int64_t *x = (int64_t *)(void *)key->values->data;
    for (int64_t far = 1000; far <= 1000000; far *= 1000) {
        for (int64_t i = 0; i < rows; i++) {
            x[i] = i % 10;
        }
        x[rows - 1] = far;
        const fr_array *keys[] = {key};
        fr_group *g;
        fr_array *out[2], *groups;
        fr_group_call calls[] = {{FR_OP_SUM, key, 0}, {FR_OP_ROWS, NULL, 0}};
        for (int counted = 0; counted < 2; counted++) {
            int64_t n = 0;
            OK(fr_group_new(keys, 1, rows, &g, NULL));
            if (counted) {
                OK(fr_group_count(g, &n, NULL));
                CHECK_INT(n, 11);
            }
            OK(fr_group_aggregate(g, calls, 2, out, NULL));
            OK(fr_group_key(g, 0, &groups, NULL));
            CHECK_INT(groups->length, 11);
            CHECK_INT(fr_array_int(groups, 10), far);
            CHECK_INT(fr_array_int(out[0], 10), far);
            CHECK_INT(fr_array_int(out[0], 9), 9 * (rows / 10 - 1));
            CHECK_INT(fr_array_int(out[1], 3), rows / 10);
            fr_array_unref(out[0]);
            fr_array_unref(out[1]);
            fr_array_unref(groups);
            fr_group_free(g);
        }
    }
    fr_array_unref(key);
}

static void what_is_not_defined_is_refused(void)
{
    fr_rand r;
    fr_rand_init(&r, 24, 1);
    fr_array *key = make_random(&r, FR_INT64, 9, 3, 0),
             *text = make_random(&r, FR_UTF8, 9, 3, 0);
    const fr_array *keys[] = {key};
    fr_group *g;
    fr_array *out;
    fr_err err = FR_ERR_INIT;
    OK(fr_group_new(keys, 1, 9, &g, &err));
    CHECK_INT(fr_group_aggregate(g, &(fr_group_call){FR_OP_MEAN, text, 0}, 1, &out, &err),
              FR_ETYPE);
    CHECK_STR(err.text, "mean of utf8 is not defined");
    CHECK(out == NULL);
    for (int64_t i = 0; i < 9; i++) {
        ((int64_t *)(void *)key->values->data)[key->offset + i] = INT64_MAX;
    }
    fr_group_free(g);
    OK(fr_group_new(keys, 1, 9, &g, &err));
    CHECK_INT(fr_group_aggregate(g, &(fr_group_call){FR_OP_SUM, key, 0}, 1, &out, &err),
              FR_EOVERFLOW);
    CHECK(strstr(err.text,
                 "the sum of group 1, 8.3010348331692982e+19, does not fit int64") !=
          NULL);
    fr_group_free(g);
    fr_array_unref(key);
    fr_array_unref(text);
}

int main(void)
{
    CASE(every_aggregate_equals_that_of_the_rows);
    CASE(no_keys_are_one_group);
    CASE(variance_keeps_its_digits_in_every_group);
    CASE(the_same_bits_on_any_threads);
    CASE(a_key_outside_of_the_guess_is_found);
    CASE(what_is_not_defined_is_refused);
    fr_pool_shutdown();
    return check_end();
}
