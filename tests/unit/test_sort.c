// Orders and factors of random columns against plain loops.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/compute.h"
#include "core/data/factor.h"
#include "core/data/sort.h"
#include "tests/unit/check.h"
#include "tests/unit/data_make.h"

#define OK(x) CHECK_INT((x), FR_OK)

static bool is_nan(const fr_array *a, int64_t i)
{
    return (a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32) &&
           fr_array_has(a, i) && isnan(fr_array_number(a, i));
}

// What the documentation says, one pair at a time.
static int wanted(const fr_sort_key *by, size_t n, int64_t i, int64_t j)
{
    for (size_t k = 0; k < n; k++) {
        const fr_array *a = by[k].array;
        bool here = fr_array_has(a, i), there = fr_array_has(a, j);
        int c;
        if (!here || !there) {
            c = by[k].nulls_first ? here - there : there - here;
        } else if (is_nan(a, i) || is_nan(a, j)) {
            c = is_nan(a, i) - is_nan(a, j);
        } else {
            c = fr_compute_compare(a, i, a, j);
            c = by[k].desc ? -c : c;
        }
        if (c != 0) {
            return c;
        }
    }
    return i < j ? -1 : 1; // stable
}

static void check_sorted(const fr_sort_key *by, size_t n)
{
    fr_block *order;
    int64_t rows = by[0].array->length;
    OK(fr_sort_order(by, n, &order, NULL));
    const uint32_t *o = (const uint32_t *)(const void *)order->data;
    bool sorted = true;
    uint8_t *seen = fr_zalloc((size_t)rows + 1);
    for (int64_t i = 0; i < rows; i++) {
        sorted = sorted && o[i] < rows && seen[o[i]]++ == 0;
        sorted = sorted && (i == 0 || wanted(by, n, o[i - 1], o[i]) < 0);
    }
    CHECK(sorted);
    fr_free(seen);
    fr_block_unref(order);
}

static void random_columns_are_sorted_stably(void)
{
    fr_rand r;
    fr_rand_init(&r, 5, 1);
    for (int round = 0; round < 300; round++) {
        fr_array *a[3];
        fr_sort_key by[3];
        size_t n = 1 + fr_rand_below(&r, 3);
        int64_t rows = (int64_t)fr_rand_below(&r, round % 10 == 0 ? 3000 : 60);
        for (size_t k = 0; k < n; k++) {
            fr_kind kind = make_kinds[fr_rand_below(&r, FR_COUNT(make_kinds))];
            uint64_t distinct = 1 + fr_rand_below(&r, round % 3 == 0 ? 10 : 100000);
            a[k] = make_random(&r, kind, rows, distinct, fr_rand_below(&r, 5));
            by[k] = (fr_sort_key){a[k], fr_rand_below(&r, 2), fr_rand_below(&r, 2)};
        }
        check_sorted(by, n);
        for (size_t k = 0; k < n; k++) {
            fr_array_unref(a[k]);
        }
    }
}

static void full_range_integers_are_sorted(void)
{
    static const int64_t values[] = {INT64_MAX, INT64_MIN, 0,         -1,
                                     1,         INT64_MIN, INT64_MAX, 1};
    fr_builder *b = fr_builder_new(fr_type_of(FR_INT64), 0);
    for (size_t i = 0; i < FR_COUNT(values); i++) {
        OK(fr_builder_int(b, values[i], NULL));
        OK(fr_builder_null(b, NULL));
    }
    fr_array *a;
    OK(fr_builder_finish(b, &a, NULL));
    fr_builder_free(b);
    for (int way = 0; way < 4; way++) {
        check_sorted(&(fr_sort_key){a, way & 1, way >> 1}, 1);
    }
    fr_factor f;
    OK(fr_factor_init(&f, (const fr_array *const *)&a, 1, true, NULL));
    CHECK_INT(f.groups, 6);
    OK(fr_factor_sort(&f, (const fr_array *const *)&a, 1, NULL));
    const uint32_t want[] = {4, 0, 2, 1, 3, 0, 4, 3};
    for (size_t i = 0; i < FR_COUNT(want); i++) {
        CHECK_INT(fr_factor_ids(&f)[2 * i], want[i]);
        CHECK_INT(fr_factor_ids(&f)[2 * i + 1], 5);
    }
    fr_factor_fini(&f);
    fr_array_unref(a);
}

static void texts_of_one_start_are_sorted(void)
{
    fr_builder *b = fr_builder_new(fr_type_of(FR_UTF8), 0);
    static const char zero[] = "a\0\0b\0";
    for (int i = 0; i < 300; i++) {
        char text[80];
        int n = snprintf(text, sizeof text, "district_north_feeder_%05d_%s",
                         (i * 7919) % 300, i % 2 ? "abcdefghijklmnopq" : "");
        OK(fr_builder_text(b, text, (size_t)n, NULL));
        OK(fr_builder_text(b, zero, (size_t)i % 6, NULL));
        OK(fr_builder_text(b, "abcdefgh\0\0\0\0\0", (size_t)(8 + i % 6), NULL));
    }
    fr_array *a;
    OK(fr_builder_finish(b, &a, NULL));
    fr_builder_free(b);
    check_sorted(&(fr_sort_key){.array = a}, 1);
    check_sorted(&(fr_sort_key){.array = a, .desc = true}, 1);
    fr_array_unref(a);
}

static bool equal_keys(fr_array *const *keys, size_t n, int64_t i, int64_t j)
{
    for (size_t k = 0; k < n; k++) {
        if (!make_equal(keys[k], i, keys[k], j)) {
            return false;
        }
    }
    return true;
}

static bool has_keys(fr_array *const *keys, size_t n, int64_t i)
{
    for (size_t k = 0; k < n; k++) {
        if (!fr_array_has(keys[k], i)) {
            return false;
        }
    }
    return true;
}

static void check_factor(fr_array *const *keys, size_t n, bool nulls)
{
    fr_factor f;
    const fr_array *const *k = (const fr_array *const *)keys;
    OK(fr_factor_init(&f, k, n, nulls, NULL));
    for (int sorted = 0; sorted < 2; sorted++) {
        const uint32_t *id = fr_factor_ids(&f), *first = fr_factor_first(&f);
        bool good = true;
        for (int64_t i = 0; i < f.rows; i++) {
            if (id[i] == FR_FACTOR_NULL) {
                good = good && !nulls && !has_keys(keys, n, i);
                continue;
            }
            good = good && (nulls || has_keys(keys, n, i)) && id[i] < f.groups &&
                   first[id[i]] <= i && equal_keys(keys, n, first[id[i]], i);
        }
        for (int64_t g = 0; g < f.groups; g++) {
            good = good && id[first[g]] == g;
            for (int64_t h = 0; h < g; h++) {
                good = good && !equal_keys(keys, n, first[g], first[h]);
            }
        }
        CHECK(good);
        if (sorted == 0) {
            OK(fr_factor_sort(&f, k, n, NULL));
        }
    }
    const uint32_t *first = fr_factor_first(&f);
    fr_sort_key by[3];
    bool ascending = true;
    for (size_t i = 0; i < n; i++) {
        by[i] = (fr_sort_key){.array = keys[i]};
    }
    for (int64_t g = 1; g < f.groups; g++) {
        ascending = ascending && wanted(by, n, first[g - 1], first[g]) < 0;
    }
    CHECK(ascending);
    fr_block *rows, *start;
    OK(fr_factor_lists(&f, &rows, &start, NULL));
    const uint32_t *r = (const uint32_t *)(const void *)rows->data,
                   *s = (const uint32_t *)(const void *)start->data;
    bool listed = f.groups == 0 || s[0] == 0;
    for (int64_t g = 0; g < f.groups; g++) {
        listed = listed && s[g] < s[g + 1];
        for (uint32_t i = s[g]; i < s[g + 1]; i++) {
            listed =
                listed && fr_factor_ids(&f)[r[i]] == g && (i == s[g] || r[i - 1] < r[i]);
        }
    }
    CHECK(listed);
    fr_block_unref(rows);
    fr_block_unref(start);
    fr_factor_fini(&f);
}

static void equal_keys_get_equal_numbers(void)
{
    fr_rand r;
    fr_rand_init(&r, 6, 1);
    for (int round = 0; round < 200; round++) {
        fr_array *a[3];
        size_t n = 1 + fr_rand_below(&r, 3);
        int64_t rows = (int64_t)fr_rand_below(&r, 150);
        for (size_t k = 0; k < n; k++) {
            fr_kind kind = make_kinds[fr_rand_below(&r, FR_COUNT(make_kinds))];
            uint64_t distinct = round % 2 ? 8 : UINT64_C(1) << fr_rand_below(&r, 62);
            distinct = kind == FR_INT64 || kind == FR_TIMESTAMP ? distinct
                                                                : FR_MIN(distinct, 9999);
            a[k] = make_random(&r, kind, rows, distinct, fr_rand_below(&r, 5));
        }
        check_factor(a, n, round % 4 < 2);
        for (size_t k = 0; k < n; k++) {
            fr_array_unref(a[k]);
        }
    }
}

static void many_rows_sort_alike_on_any_threads(void)
{
    fr_rand r;
    fr_rand_init(&r, 7, 1);
    fr_array *a = make_random(&r, FR_FLOAT64, 300000, 1 << 20, 9);
    fr_array *b = make_random(&r, FR_INT64, 300000, 300, 0);
    fr_sort_key by[] = {{b, true, false}, {a, false, true}};
    fr_hash want = {0, 0};
    static const unsigned threads[] = {1, 2, 3, 8};
    for (size_t t = 0; t < 4; t++) {
        unsigned before = fr_pool_limit(threads[t]);
        fr_block *order;
        OK(fr_sort_order(by, 2, &order, NULL));
        fr_hash h = fr_hash_bytes(order->data, order->size);
        CHECK(t == 0 || fr_hash_eq(h, want));
        want = h;
        fr_block_unref(order);
        (void)fr_pool_limit(before);
    }
    check_sorted(by, 2);
    check_sorted(by + 1, 1);
    fr_array_unref(a);
    fr_array_unref(b);
}

int main(void)
{
    CASE(random_columns_are_sorted_stably);
    CASE(full_range_integers_are_sorted);
    CASE(texts_of_one_start_are_sorted);
    CASE(equal_keys_get_equal_numbers);
    CASE(many_rows_sort_alike_on_any_threads);
    fr_pool_shutdown();
    return check_end();
}
