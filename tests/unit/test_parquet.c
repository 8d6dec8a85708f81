// labels: threads
// Parquet: packed numbers against loops, and what is written comes back, with the same bytes
// at any number of threads.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/expr.h"
#include "core/data/parquet_int.h"
#include "core/data/when.h"
#include "tests/unit/check.h"
#include "tests/unit/data_make.h"

#include <stdlib.h>
#include <unistd.h>

#define OK(x) CHECK_INT((x), FR_OK)

static uint64_t some_bits(fr_rand *r, unsigned width)
{
    return width == 0 ? 0 : fr_rand_u64(r) >> (64 - width);
}

static void deltas_of_every_width_come_back(void)
{
    fr_rand r;
    fr_rand_init(&r, 3, 1);
    for (unsigned width = 0; width <= 64; width++) {
        uint64_t x[700], y[700];
        size_t n = fr_rand_below(&r, FR_COUNT(x) + 1);
        for (size_t i = 0; i < n; i++) {
            x[i] = some_bits(&r, width) * (fr_rand_below(&r, 2) == 0 ? UINT64_MAX : 1);
        }
        fr_buf b;
        fr_buf_init(&b, 1 << 20);
        pq_put_delta(x, n, 8, &b);
        size_t used = b.size, count;
        CHECK(pq_delta_count(b.data, b.data + used, &count));
        CHECK_INT(count, n);
        OK(fr_buf_reserve(&b, PQ_PAD, NULL));
        CHECK(pq_delta_read(b.data, b.data + used, n, 8, y) == b.data + used);
        CHECK(memcmp(x, y, n * 8) == 0);
        if (n >= 256 && width > 0) { // cut off before the last block
            CHECK(pq_delta_read(b.data, b.data + used / 2, n, 8, y) == NULL);
        }
        fr_buf_clear(&b);
        pq_put_delta(x, n, 4, &b); // twice as many halves, which wrap
        used = b.size;
        OK(fr_buf_reserve(&b, PQ_PAD, NULL));
        CHECK(pq_delta_read(b.data, b.data + used, n, 4, y) == b.data + used);
        CHECK(memcmp(x, y, n * 4) == 0);
        fr_buf_fini(&b);
    }
}

static void indexes_of_every_width_come_back(void)
{
    fr_rand r;
    fr_rand_init(&r, 5, 1);
    for (unsigned width = 0; width <= 32; width++) {
        uint32_t x[300], y[300];
        size_t n = 1 + fr_rand_below(&r, FR_COUNT(x));
        bool same = fr_rand_below(&r, 4) == 0;
        for (size_t i = 0; i < n; i++) {
            x[i] = same && i > 0 ? x[0] : (uint32_t)some_bits(&r, width);
        }
        fr_buf b;
        fr_buf_init(&b, 1 << 20);
        pq_put_indexes(x, n, width, &b);
        size_t used = b.size;
        OK(fr_buf_reserve(&b, PQ_PAD, NULL));
        CHECK_INT(b.data[0], width);
        pq_runs runs = pq_runs_of(b.data + 1, b.data + used, width);
        size_t half = n / 2; // in two goes
        CHECK_INT(pq_runs_read(&runs, y, half), half);
        CHECK_INT(pq_runs_read(&runs, y + half, n - half), n - half);
        CHECK(memcmp(x, y, n * 4) == 0);
        fr_buf_fini(&b);
    }
}

static void damaged_runs_end_early(void)
{
    uint8_t bits[PQ_PAD + 4] = {0xff, 0xff, 0xff, 0xff}; // a head that never ends
    uint32_t to[8];
    pq_runs r = pq_runs_of(bits, bits + 4, 8);
    CHECK_INT(pq_runs_read(&r, to, 8), 0);
    bits[0] = 4; // two equal numbers, whose byte is missing
    r = pq_runs_of(bits, bits + 1, 8);
    CHECK_INT(pq_runs_read(&r, to, 8), 0);
    bits[0] = 3; // eight packed ones, of which four are there
    r = pq_runs_of(bits, bits + 5, 8);
    CHECK_INT(pq_runs_read(&r, to, 8), 4);
}

static fr_frame *random_frame(fr_rand *r, int64_t rows)
{
    enum { KINDS = FR_COUNT(make_kinds) };
    fr_array *cols[KINDS];
    char names[KINDS][16];
    const char *name[KINDS];
    fr_frame *f;
    for (size_t i = 0; i < KINDS; i++) {
        cols[i] = make_random(r, make_kinds[i], rows, 1 + fr_rand_below(r, 3000),
                              fr_rand_below(r, 4));
        (void)snprintf(names[i], sizeof names[i], "c%zu", i);
        name[i] = names[i];
    }
    OK(fr_frame_new(KINDS, name, cols, &f, NULL));
    for (size_t i = 0; i < KINDS; i++) {
        fr_array_unref(cols[i]);
    }
    return f;
}

static fr_hash file_hash(const char *path)
{
    fr_buf b;
    fr_buf_init(&b, 1 << 26);
    FILE *f = fopen(path, "rb");
    uint8_t piece[4096];
    for (size_t n; f != NULL && (n = fread(piece, 1, sizeof piece, f)) > 0;) {
        fr_buf_put(&b, piece, n);
    }
    CHECK(f != NULL && fclose(f) == 0);
    fr_hash h = fr_hash_bytes(b.data, b.size);
    fr_buf_fini(&b);
    return h;
}

static void frames_come_back_at_any_number_of_threads(void)
{
    static const char *const codecs[] = {"zstd", "gzip", "none"};
    char path[] = "/tmp/flowrun-parquet-XXXXXX";
    int fd = mkstemp(path);
    fr_rand r;
    fr_rand_init(&r, 7, 1);
    CHECK(fd >= 0 && close(fd) == 0);
    for (int round = 0; round < 24; round++) {
        fr_frame *f = random_frame(&r, (int64_t)fr_rand_below(&r, 3) * 700 * (round % 3));
        fr_parquet_write_options w;
        fr_parquet_options o;
        fr_parquet_write_defaults(&w);
        fr_parquet_defaults(&o);
        w.codec = fr_parquet_codec(codecs[round % 3]);
        w.dictionary = round % 4 != 0;
        w.group_rows = 1 + (int64_t)fr_rand_below(&r, 2000);
        fr_hash one = {0};
        for (unsigned threads = 1; threads <= 3; threads += 2) {
            fr_frame *back = NULL;
            fr_err err = FR_ERR_INIT;
            unsigned before = fr_pool_limit(threads);
            OK(fr_parquet_write(f, path, &w, &err));
            OK(fr_parquet_read(path, &o, &back, &err));
            (void)fr_pool_limit(before);
            CHECK_STR(err.text, "");
            CHECK(back != NULL && fr_hash_eq(fr_frame_hash(back), fr_frame_hash(f)));
            fr_hash h = file_hash(path);
            CHECK(threads == 1 || fr_hash_eq(one, h));
            one = h;
            fr_frame_unref(back);
        }
        fr_frame_unref(f);
    }
    (void)unlink(path);
}

// A comparison of column `i` with a value of some row, or of none.
static void some_condition(fr_rand *r, const fr_frame *f, char *to, size_t room)
{
    static const char *const ops[] = {"<", "<=", "=", "~=", ">", ">="};
    size_t i = fr_rand_below(r, f->columns);
    const fr_array *a = f->cols[i];
    int64_t row = (int64_t)fr_rand_below(r, (uint64_t)f->rows);
    const char *op = ops[fr_rand_below(r, FR_COUNT(ops))];
    fr_scalar v;
    fr_compute_get(a, row, &v);
    if (v.null || fr_rand_below(r, 8) == 0) {
        (void)snprintf(to, room, "c%zu is null", i);
    } else if (fr_kind_integer(a->type.kind) && a->type.kind != FR_UINT64) {
        int64_t x = v.integer;
        switch (fr_rand_below(r, 4)) {
        case 0:
            (void)snprintf(to, room, "c%zu between %lld and %lld", i, (long long)x - 3, (long long)x);
            break;
        case 1:
            (void)snprintf(to, room, "c%zu in (%lld, %lld)", i, (long long)x, (long long)x * 2);
            break;
        case 2:
            (void)snprintf(to, room, "%lld.5 %s c%zu", (long long)x, op, i);
            break;
        default:
            (void)snprintf(to, room, "c%zu %s %lld", i, op, (long long)x);
            break;
        }
    } else if ((a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32) && isfinite(v.number)) {
        (void)snprintf(to, room, "c%zu %s %.17g", i, op, v.number);
    } else if (a->type.kind == FR_UTF8 || a->type.kind == FR_CATEGORY) {
        (void)snprintf(to, room, "c%zu %s '%.*s'", i, op, (int)v.n, v.text);
    } else if (a->type.kind == FR_DATE) {
        char day[FR_WHEN_MAX];
        (void)fr_when_print_date(v.integer, day);
        (void)snprintf(to, room, "c%zu %s date('%s')", i, op, day);
    } else {
        (void)snprintf(to, room, "not (c%zu is null)", i);
    }
}

// What bounds rule out is never missed: a filter while reading gives what it gives afterwards.
static void skipped_groups_have_no_row_of_the_filter(void)
{
    char path[] = "/tmp/flowrun-parquet-XXXXXX";
    int fd = mkstemp(path);
    fr_rand r;
    fr_rand_init(&r, 17, 1);
    CHECK(fd >= 0 && close(fd) == 0);
    size_t skipped = 0;
    for (int round = 0; round < 150; round++) {
        fr_frame *f = random_frame(&r, 1 + (int64_t)fr_rand_below(&r, 40)), *got = NULL, *want = NULL;
        char one[200], two[200], filter[500];
        some_condition(&r, f, one, sizeof one);
        some_condition(&r, f, two, sizeof two);
        (void)snprintf(filter, sizeof filter, "%s %s %s", one, round % 2 == 0 ? "and" : "or", two);
        fr_parquet_write_options w;
        fr_parquet_options o;
        size_t read = 0;
        fr_err err = FR_ERR_INIT;
        fr_parquet_write_defaults(&w);
        fr_parquet_defaults(&o);
        w.group_rows = 1 + (int64_t)fr_rand_below(&r, 5);
        OK(fr_parquet_write(f, path, &w, &err));
        o.filter = filter;
        o.groups_read = &read;
        OK(fr_parquet_read(path, &o, &got, &err));
        skipped += (size_t)((f->rows + w.group_rows - 1) / w.group_rows) - read;
        fr_expr *e = NULL;
        fr_array *mask = NULL;
        OK(fr_expr_compile(filter, strlen(filter), f, NULL, 0, &e, &err));
        CHECK_STR(err.text, "");
        if (e != NULL && got != NULL) {
            OK(fr_expr_eval(e, &mask, &err));
            OK(fr_compute_filter(f, mask, &want, &err));
            bool same = fr_hash_eq(fr_frame_hash(got), fr_frame_hash(want));
            CHECK_STR(same ? "" : filter, "");
        }
        fr_expr_free(e);
        fr_array_unref(mask);
        fr_frame_unref(f);
        fr_frame_unref(got);
        fr_frame_unref(want);
    }
    CHECK(skipped > 250);
    (void)unlink(path);
}

int main(void)
{
    fr_pool_setup(3);
    CASE(deltas_of_every_width_come_back);
    CASE(indexes_of_every_width_come_back);
    CASE(damaged_runs_end_early);
    CASE(frames_come_back_at_any_number_of_threads);
    CASE(skipped_groups_have_no_row_of_the_filter);
    fr_pool_shutdown();
    return check_end();
}
