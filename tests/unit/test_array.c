#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/base/rand.h"
#include "core/data/array.h"
#include "core/data/bits.h"
#include "tests/unit/check.h"

static fr_array *finish(fr_builder *b)
{
    fr_array *a = NULL;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_builder_finish(b, &a, &err), FR_OK);
    fr_builder_free(b);
    return a;
}

#define OK(x) CHECK_INT((x), FR_OK)

// Values i, every seventh null from `from` on.
static fr_array *numbers(fr_kind kind, int64_t n, bool nulls)
{
    fr_builder *b = fr_builder_new(fr_type_of(kind), n);
    char text[24];
    for (int64_t i = 0; i < n; i++) {
        if (nulls && i % 7 == 3) {
            OK(fr_builder_null(b, NULL));
        } else if (kind == FR_UTF8 || kind == FR_CATEGORY) {
            int len = snprintf(text, sizeof text, "t%d", (int)(i % 50));
            OK(fr_builder_text(b, text, (size_t)len, NULL));
        } else if (kind == FR_BOOL) {
            OK(fr_builder_bool(b, i % 3 == 0, NULL));
        } else if (kind == FR_FLOAT64 || kind == FR_FLOAT32) {
            OK(fr_builder_float(b, (double)i + .5, NULL));
        } else {
            OK(fr_builder_int(b, i % 100, NULL));
        }
    }
    return finish(b);
}

static const fr_kind all[] = {FR_BOOL,  FR_INT64,     FR_FLOAT64, FR_UTF8,   FR_CATEGORY,
                              FR_DATE,  FR_TIMESTAMP, FR_INT8,    FR_INT16,  FR_INT32,
                              FR_UINT8, FR_UINT16,    FR_UINT32,  FR_UINT64, FR_FLOAT32,
                              FR_TIME,  FR_DURATION};

static void bits_agree_with_one_by_one(void)
{
    fr_rand r;
    fr_rand_init(&r, 1, 1);
    uint8_t from[40], to[40], want[40];
    for (int k = 0; k < 3000; k++) {
        for (size_t i = 0; i < sizeof from; i++) {
            from[i] = (uint8_t)fr_rand_u32(&r);
            to[i] = want[i] = (uint8_t)fr_rand_u32(&r);
        }
        int64_t n = (int64_t)fr_rand_below(&r, 200), at = (int64_t)fr_rand_below(&r, 120),
                to_at = (int64_t)fr_rand_below(&r, 120), ones = 0;
        for (int64_t i = 0; i < n; i++) {
            bool v = fr_bits_get(from, at + i);
            ones += v;
            v ? fr_bits_set(want, to_at + i) : fr_bits_clear(want, to_at + i);
        }
        fr_bits_copy(to, to_at, from, at, n);
        CHECK(memcmp(to, want, sizeof to) == 0);
        CHECK_INT(fr_bits_count(from, at, n), ones);
        fr_bits_fill(to, to_at, n, k % 2 == 0);
        CHECK_INT(fr_bits_count(to, to_at, n), k % 2 == 0 ? n : 0);
    }
}

static void builders_keep_values_and_nulls_of_every_kind(void)
{
    for (size_t k = 0; k < FR_COUNT(all); k++) {
        for (int64_t n = 0; n < 200; n += 33) {
            fr_array *a = numbers(all[k], n, true);
            CHECK_INT(a->length, n);
            int64_t nulls = 0;
            for (int64_t i = 0; i < n; i++) {
                bool there = i % 7 != 3;
                nulls += !there;
                CHECK(fr_array_has(a, i) == there);
                if (!there) {
                    continue;
                }
                char text[24];
                size_t len = 0;
                switch ((int)all[k]) {
                case FR_UTF8:
                case FR_CATEGORY:
                    (void)snprintf(text, sizeof text, "t%d", (int)(i % 50));
                    CHECK(memcmp(fr_array_text(a, i, &len), text, strlen(text)) == 0);
                    CHECK_INT(len, strlen(text));
                    break;
                case FR_BOOL:
                    CHECK(fr_array_bool(a, i) == (i % 3 == 0));
                    break;
                case FR_FLOAT32:
                case FR_FLOAT64:
                    CHECK_NEAR(fr_array_number(a, i), (double)i + .5, 0);
                    break;
                default:
                    CHECK_INT(fr_array_int(a, i), i % 100);
                    break;
                }
            }
            CHECK_INT(a->nulls, nulls);
            CHECK((a->validity == NULL) == (nulls == 0));
            fr_array_unref(a);
        }
    }
}

static void builders_refuse_what_does_not_fit(void)
{
    fr_err err = FR_ERR_INIT;
    fr_builder *b = fr_builder_new(fr_type_of(FR_INT8), 0);
    OK(fr_builder_int(b, -128, &err));
    CHECK_INT(fr_builder_int(b, 128, &err), FR_EOVERFLOW);
    CHECK_STR(err.text, "row 2: 128 does not fit int8");
    CHECK_INT(fr_builder_text(b, "x", 1, &err), FR_ETYPE);
    CHECK_STR(err.text, "row 2: expected int8, got text");
    fr_builder_free(b);
    b = fr_builder_new(fr_type_of(FR_UINT64), 0);
    CHECK_INT(fr_builder_int(b, -1, &err), FR_EOVERFLOW);
    fr_builder_free(b);
}

static void categories_are_numbered_by_first_appearance(void)
{
    fr_builder *b = fr_builder_new(fr_type_of(FR_CATEGORY), 0);
    OK(fr_builder_text(b, "zz", 2, NULL));
    OK(fr_builder_text(b, "a", 1, NULL));
    OK(fr_builder_text(b, "zz", 2, NULL));
    fr_array *a = finish(b);
    CHECK_INT(a->dict->length, 2);
    CHECK_INT(fr_array_i32(a)[0], 0);
    CHECK_INT(fr_array_i32(a)[1], 1);
    CHECK_INT(fr_array_i32(a)[2], 0);
    fr_array_unref(a);
}

// The hash of a slice is that of a fresh array with the same values.
static void hashes_are_of_logical_values(void)
{
    for (size_t k = 0; k < FR_COUNT(all); k++) {
        for (int nulls = 0; nulls < 2; nulls++) {
            fr_array *whole = numbers(all[k], 70000, nulls);
            fr_array *slice = fr_array_slice(whole, 0, 69001);
            fr_array *same = numbers(all[k], 69001, nulls);
            CHECK(fr_hash_eq(fr_array_hash(slice), fr_array_hash(same)));
            CHECK(!fr_hash_eq(fr_array_hash(slice), fr_array_hash(whole)));
            fr_array *late = fr_array_slice(whole, 700, 350),
                     *again = fr_array_slice(same, 700, 350);
            fr_array *other = fr_array_slice(whole, 701, 350);
            CHECK(fr_hash_eq(fr_array_hash(late), fr_array_hash(again)));
            CHECK(!fr_hash_eq(fr_array_hash(late), fr_array_hash(other)));
            CHECK_INT(late->nulls, nulls ? 50 : 0);
            fr_array_unref(late);
            fr_array_unref(again);
            fr_array_unref(other);
            fr_array_unref(whole);
            fr_array_unref(slice);
            fr_array_unref(same);
        }
    }
}

static fr_array *two(double a, double b)
{
    fr_builder *x = fr_builder_new(fr_type_of(FR_FLOAT64), 2);
    OK(fr_builder_float(x, a, NULL));
    OK(fr_builder_float(x, b, NULL));
    return finish(x);
}

static void one_nan_but_two_zeroes(void)
{
    fr_array *a = two(1, (double)NAN), *b = two(1, -(double)NAN), *c = two(0., 1),
             *d = two(-0., 1);
    CHECK(fr_hash_eq(fr_array_hash(a), fr_array_hash(b)));
    CHECK(!fr_hash_eq(fr_array_hash(c), fr_array_hash(d)));
    fr_array_unref(a);
    fr_array_unref(b);
    fr_array_unref(c);
    fr_array_unref(d);
}

static void garbage_under_nulls_does_not_count(void)
{
    fr_array *a = numbers(FR_INT64, 100, true), *b = numbers(FR_INT64, 100, true);
    ((int64_t *)(void *)b->values->data)[3] = 99;
    CHECK(fr_hash_eq(fr_array_hash(a), fr_array_hash(b)));
    fr_array_unref(a);
    fr_array_unref(b);
}

static void hashes_do_not_depend_on_the_dictionary(void)
{
    fr_array *a = numbers(FR_CATEGORY, 100, true);
    fr_builder *x = fr_builder_new(fr_type_of(FR_CATEGORY), 0);
    OK(fr_builder_text(x, "unused", 6, NULL));
    for (int64_t i = 0; i < 100; i++) {
        size_t n;
        if (fr_array_has(a, i)) {
            const char *s = fr_array_text(a, i, &n);
            OK(fr_builder_text(x, s, n, NULL));
        } else {
            OK(fr_builder_null(x, NULL));
        }
    }
    fr_array *b = finish(x), *c = fr_array_slice(b, 1, 100);
    CHECK(fr_hash_eq(fr_array_hash(a), fr_array_hash(c)));
    fr_array_unref(a);
    fr_array_unref(b);
    fr_array_unref(c);
}

static void hashes_do_not_depend_on_threads(void)
{
    fr_hash want = {0, 0};
    for (unsigned t = 1; t <= 8; t = t < 3 ? t + 1 : t + 5) {
        unsigned before = fr_pool_limit(t);
        fr_array *a = numbers(FR_FLOAT64, 200000, true);
        fr_hash h = fr_array_hash(a);
        CHECK(t == 1 || fr_hash_eq(h, want));
        want = h;
        fr_array_unref(a);
        (void)fr_pool_limit(before);
    }
}

static void doubles_for_models(void)
{
    double x[8];
    fr_err err = FR_ERR_INIT;
    fr_array *a = numbers(FR_INT64, 8, true);
    OK(fr_array_to_f64(a, x, &err));
    CHECK(x[2] == 2 && isnan(x[3]) && x[7] == 7);
    fr_array_unref(a);
    a = numbers(FR_UTF8, 8, false);
    CHECK_INT(fr_array_to_f64(a, x, &err), FR_ETYPE);
    CHECK_STR(err.text, "a column of utf8 is not numeric");
    fr_array_unref(a);
}

static void types_have_names(void)
{
    char name[64];
    fr_type t = {.kind = FR_TIMESTAMP, .unit = FR_MICRO, .zone = "UTC"};
    CHECK_STR(fr_type_name(&t, name), "timestamp[us, UTC]");
    fr_type u = t;
    CHECK(fr_type_eq(&t, &u));
    u.zone[0] = 0;
    CHECK(!fr_type_eq(&t, &u));
    CHECK_STR(fr_type_name(&u, name), "timestamp[us]");
    t = fr_type_of(FR_CATEGORY);
    CHECK_STR(fr_type_name(&t, name), "category");
}

int main(void)
{
    CASE(bits_agree_with_one_by_one);
    CASE(builders_keep_values_and_nulls_of_every_kind);
    CASE(builders_refuse_what_does_not_fit);
    CASE(categories_are_numbered_by_first_appearance);
    CASE(hashes_are_of_logical_values);
    CASE(one_nan_but_two_zeroes);
    CASE(garbage_under_nulls_does_not_count);
    CASE(hashes_do_not_depend_on_the_dictionary);
    CASE(hashes_do_not_depend_on_threads);
    CASE(doubles_for_models);
    CASE(types_have_names);
    fr_pool_shutdown();
    return check_end();
}
