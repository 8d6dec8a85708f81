// Random draws of rows, evenly spaced times, UTF-8, and what a cancel does to kernels.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/group.h"
#include "core/data/join.h"
#include "core/data/range.h"
#include "core/data/show.h"
#include "core/data/sort.h"
#include "core/data/split.h"
#include "core/data/utf8.h"
#include "tests/unit/check.h"
#include "tests/unit/data_make.h"

#include <pthread.h>
#include <time.h>

#define OK(x) CHECK_INT((x), FR_OK)

static fr_array *classes(const int64_t *counts, size_t n)
{
    fr_builder *b = fr_builder_new(fr_type_of(FR_INT64), 0);
    int64_t left[8];
    memcpy(left, counts, n * sizeof *counts);
    for (bool any = true; any;) { // interleaved, so that order is mixed
        any = false;
        for (size_t c = 0; c < n; c++) {
            if (left[c]-- > 0) {
                OK(fr_builder_int(b, (int64_t)c, NULL));
                any = true;
            }
        }
    }
    fr_array *a;
    OK(fr_builder_finish(b, &a, NULL));
    fr_builder_free(b);
    return a;
}

// Counts per class of scikit-learn 1.9's StratifiedShuffleSplit on the same labels.
static void classes_are_allocated_as_scikit_learn_does(void)
{
    static const struct {
        int64_t counts[3];
        double test;
        int64_t want[3];
    } cases[] = {
        {{10, 20, 33}, .3, {3, 6, 10}}, {{100, 3, 50}, .2, {20, 1, 10}},
        {{7, 11, 13}, .5, {3, 6, 7}},   {{500, 20, 3}, .25, {125, 5, 1}},
        {{63, 5, 2}, 10, {9, 1, 0}},
    };
    for (size_t k = 0; k < FR_COUNT(cases); k++) {
        fr_array *a = classes(cases[k].counts, 3);
        for (uint64_t seed = 0; seed < 5; seed++) {
            fr_split s;
            OK(fr_split_rows(a->length, a, cases[k].test, seed, &s, NULL));
            int64_t got[3] = {0};
            const uint32_t *row = (const uint32_t *)(const void *)s.test->data;
            for (int64_t i = 0; i < s.ntest; i++) {
                got[fr_array_i64(a)[row[i]]]++;
                CHECK(i == 0 || row[i] > row[i - 1]);
            }
            for (size_t c = 0; c < 3; c++) {
                CHECK_INT(got[c], cases[k].want[c]);
            }
            CHECK_INT(s.ntrain + s.ntest, a->length);
            fr_split_fini(&s);
        }
        fr_array_unref(a);
    }
}

static void every_row_is_drawn_equally_often(void)
{
    int64_t times[20] = {0};
    for (uint64_t seed = 0; seed < 20000; seed++) {
        fr_block *rows;
        OK(fr_split_sample(20, 5, seed, &rows, NULL));
        for (size_t i = 0; i < 5; i++) {
            times[((const uint32_t *)(const void *)rows->data)[i]]++;
        }
        fr_block_unref(rows);
    }
    double chi = 0; // expected 5,000 each; 19 degrees
    for (size_t i = 0; i < 20; i++) {
        chi += (double)((times[i] - 5000) * (times[i] - 5000)) / (5000 * .75);
    }
    CHECK(chi < 43.8); // 99.9 %
}

static void seeds_differ_and_repeat(void)
{
    fr_split a, b, c;
    OK(fr_split_rows(1000, NULL, .2, 1, &a, NULL));
    OK(fr_split_rows(1000, NULL, .2, 1, &b, NULL));
    OK(fr_split_rows(1000, NULL, .2, 2, &c, NULL));
    CHECK(memcmp(a.test->data, b.test->data, 800) == 0);
    CHECK(memcmp(a.test->data, c.test->data, 800) != 0);
    fr_split_fini(&a);
    fr_split_fini(&b);
    fr_split_fini(&c);
}

static void times_are_evenly_spaced(void)
{
    fr_range spec = {"2024-01-31", NULL, 14, "1mo", "", FR_SECOND};
    fr_array *a;
    fr_err err = FR_ERR_INIT;
    OK(fr_range_times(&spec, &a, &err));
    CHECK_INT(a->length, 14);
    fr_show show;
    OK(fr_show_init(&show, a, &err));
    fr_buf b;
    fr_buf_init(&b, 1000);
    fr_show_cell(&show, 13, &b);
    CHECK_STR(fr_buf_text(&b), "2025-02-28 00:00:00");
    fr_buf_fini(&b);
    fr_show_fini(&show);
    fr_array_unref(a);
    spec = (fr_range){"2023-01-01", "2023-12-31 23:00", -1, "1h", "UTC", FR_MICRO};
    OK(fr_range_times(&spec, &a, &err));
    CHECK_INT(a->length, 8760);
    for (int64_t i = 1; i < a->length; i++) {
        CHECK_INT(fr_array_i64(a)[i] - fr_array_i64(a)[i - 1], INT64_C(3600000000));
    }
    fr_array_unref(a);
    spec.freq = "1ns";
    CHECK_INT(fr_range_times(&spec, &a, &err), FR_EINVAL);
    CHECK_STR(err.text, "date_range: freq '1ns' is finer than the unit");
    spec = (fr_range){"9999-01-01", NULL, INT64_C(1) << 40, "1y", "", FR_NANO};
    CHECK(fr_range_times(&spec, &a, &err) != FR_OK);
    CHECK(a == NULL);
}

static void utf8_is_told_from_other_bytes(void)
{
    static const struct {
        const char *text;
        size_t n;
        int64_t bad; // -1: it is UTF-8
    } cases[] = {
        {"", 0, -1},
        {"plain ascii text", 16, -1},
        {"h\xc3\xa9", 3, -1},
        {"\xe2\x82\xac", 3, -1},
        {"\xf0\x9f\x98\x80", 4, -1},
        {"\xff", 1, 0},
        {"ab\xc3", 3, 2},
        {"\xc0\x80", 2, 0},
        {"\xed\xa0\x80", 3, 0},
        {"\xf4\x90\x80\x80", 4, 0},
        {"\xe0\x80\x80", 3, 0},
        {"12345678\x80", 9, 8},
        {"\xf0\x80\x80\x80", 4, 0},
        {"a\0b", 3, -1},
    };
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        size_t bad = 99;
        bool valid = fr_utf8_valid(cases[i].text, cases[i].n, &bad);
        CHECK(valid == (cases[i].bad < 0));
        CHECK(valid || bad == (size_t)cases[i].bad);
    }
}

// --- cancel ---

typedef struct late {
    fr_cancel *token;
    long nanos;
} late;

static void *cancel_later(void *ctx)
{
    const late *l = ctx;
    (void)nanosleep(&(struct timespec){.tv_nsec = l->nanos}, NULL);
    fr_cancel_set(l->token, FR_ECANCELLED);
    return NULL;
}

static int work(const fr_frame *f, int which)
{
    fr_frame *out = NULL;
    fr_array *results[2] = {NULL, NULL};
    fr_err err = FR_ERR_INIT;
    int rc;
    if (which == 0) {
        rc = fr_sort_frame(f, &(fr_sort_key){.array = f->cols[0]}, 1, &out, &err);
    } else if (which == 1) {
        const char *const names[] = {"k"};
        rc = fr_join(f, f, (fr_join_on){names, names, 1}, FR_JOIN_FULL, "_r", &out, &err);
    } else {
        fr_group *g;
        const fr_array *key = f->cols[1];
        fr_group_call calls[] = {{FR_OP_STD, f->cols[0], 0},
                                 {FR_OP_MEDIAN, f->cols[0], 0}};
        rc = fr_group_new(&key, 1, f->rows, &g, &err);
        rc = rc == FR_OK ? fr_group_aggregate(g, calls, 2, results, &err) : rc;
        fr_group_free(g);
    }
    CHECK(rc == FR_OK || (rc == FR_ECANCELLED && out == NULL && err.text[0] != 0));
    CHECK(rc == FR_OK || (results[0] == NULL && results[1] == NULL));
    fr_frame_unref(out);
    fr_array_unref(results[0]);
    fr_array_unref(results[1]);
    return rc;
}

// Whenever the cancel comes, a kernel ends with the whole result or with none, and frees
// all.
static void a_cancel_at_any_time_leaves_nothing_behind(void)
{
    fr_rand r;
    fr_rand_init(&r, 41, 1);
    fr_array *cols[] = {make_random(&r, FR_FLOAT64, 100000, 1 << 20, 9),
                        make_random(&r, FR_INT64, 100000, 60000, 9)};
    fr_frame *f;
    OK(fr_frame_new(2, (const char *const[]){"x", "k"}, cols, &f, NULL));
    int cancelled = 0;
    for (int i = 0; i < 60; i++) {
        fr_cancel token = {0};
        pthread_t thread;
        late l = {&token, i < 3 ? 0 : (long)fr_rand_below(&r, 8000000)};
        fr_cancel *before = fr_cancel_enter(&token);
        if (i < 3) {
            fr_cancel_set(&token, FR_ECANCELLED);
        }
        CHECK(pthread_create(&thread, NULL, cancel_later, &l) == 0);
        cancelled += work(f, i % 3) != FR_OK;
        (void)pthread_join(thread, NULL);
        (void)fr_cancel_enter(before);
    }
    CHECK(cancelled >= 3);
    fr_frame_unref(f);
    fr_array_unref(cols[0]);
    fr_array_unref(cols[1]);
}

int main(void)
{
    CASE(classes_are_allocated_as_scikit_learn_does);
    CASE(every_row_is_drawn_equally_often);
    CASE(seeds_differ_and_repeat);
    CASE(times_are_evenly_spaced);
    CASE(utf8_is_told_from_other_bytes);
    CASE(a_cancel_at_any_time_leaves_nothing_behind);
    fr_pool_shutdown();
    return check_end();
}
