// Results that later calls find by their key (engine.md E2): rows of the table `cache` name
// the record that has the result, so a record that goes takes its entry with it.

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/engine/store_sqlite.h"

#include <sqlite3.h>

#include <string.h>

enum { SNAPSHOT_NS = 250 * 1000 * 1000, CLOCK_KEYS = 256 };

static int code_of(const fr_err *err) { return err->code != FR_OK ? err->code : FR_EIO; }

static int64_t signed_of(uint64_t v)
{
    int64_t out;
    memcpy(&out, &v, sizeof out);
    return out;
}

static uint64_t unsigned_of(int64_t v) { return (uint64_t)v; }

typedef struct cache_sum {                     // no padding: it is hashed
    int64_t key, hi, record, item, what, at;
} cache_sum;

static int64_t sum_of(const cache_sum *x)
{
    return (int64_t)(fr_hash_bytes(x, sizeof *x).lo & INT64_MAX);
}

// --- writing: the queue's side and the thread's ---

void fr_store_keep(fr_store_run *r, const fr_kept *k)
{
    uint64_t origin = k->run << 32 | k->origin;
    fr_queue_cache(r, k, origin);
}

int fr_write_kept(fr_store *s, const fr_queued *q, uint64_t name, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_CACHE_PUT, err);
    if (st == NULL) {
        return code_of(err);
    }
    cache_sum x = {.key = signed_of(q->key.lo), .hi = signed_of(q->key.hi), .item = q->items,
                   .record = fr_row_first(q->run->id) + (int64_t)q->seq, .what = q->kind,
                   .at = q->ended};
    bool found = !fr_hash_is_zero(q->key);
    (void)sqlite3_bind_int64(st, 1, x.record);
    (void)sqlite3_bind_int64(st, 2, x.item);
    (void)sqlite3_bind_int64(st, 3, x.what);
    (void)sqlite3_bind_int64(st, 4, signed_of(name));
    if (found) {
        (void)sqlite3_bind_int64(st, 5, x.key);
    } else {
        (void)sqlite3_bind_null(st, 5);
    }
    (void)sqlite3_bind_int64(st, 6, x.hi);
    (void)sqlite3_bind_int64(st, 7, q->due);
    (void)sqlite3_bind_int64(st, 8, x.at);
    (void)sqlite3_bind_int64(st, 9, sum_of(&x));
    if (q->data_size > 0) {
        (void)sqlite3_bind_blob64(st, 10, fr_queued_open(q).data, q->data_size, SQLITE_STATIC);
    } else {
        (void)sqlite3_bind_null(st, 10);
    }
    return fr_db_step(s->db, st, err);
}

// --- looking up ---

typedef struct finder {
    fr_store *store;
    fr_loader load;
    const char *task;
    int64_t oldest;
} finder;

// The newest entry of a key; its result is read from the record that it names.
static int find_one(finder *f, sqlite3_stmt *st, fr_hash key, fr_found *out, fr_err *err)
{
    *out = (fr_found){.verdict = FR_CACHE_MISS};
    (void)sqlite3_reset(st);
    (void)sqlite3_bind_int64(st, 1, signed_of(key.lo));
    (void)sqlite3_bind_int64(st, 2, signed_of(key.hi));
    int step = sqlite3_step(st);
    if (step != SQLITE_ROW) {
        (void)sqlite3_reset(st);
        return step == SQLITE_DONE ? FR_OK : fr_db_fail(f->store->reader, step, err);
    }
    cache_sum x = {.key = signed_of(key.lo), .hi = signed_of(key.hi),
                   .record = sqlite3_column_int64(st, 0), .item = sqlite3_column_int64(st, 1),
                   .what = sqlite3_column_int64(st, 2), .at = sqlite3_column_int64(st, 3)};
    bool right = sum_of(&x) == sqlite3_column_int64(st, 4);
    (void)sqlite3_reset(st);
    if (!right) {
        out->verdict = FR_CACHE_DAMAGED;
        return fr_fail(err, FR_ECORRUPT, "an entry of the cache is damaged");
    }
    if (x.at < f->oldest) {
        out->verdict = FR_CACHE_EXPIRED;
        return FR_OK;
    }
    int rc = fr_read_result(&f->load, x.record, (uint32_t)x.item, f->task, &out->result, err);
    if (rc == FR_ENOTFOUND) {                  // the record went with its run
        return FR_OK;
    }
    out->verdict = rc == FR_OK ? FR_CACHE_HIT : FR_CACHE_DAMAGED;
    out->run = unsigned_of(x.record) >> 32;
    out->seq = unsigned_of(x.record) & UINT32_MAX;
    out->at = x.at;
    return rc;
}

int fr_store_find(fr_store *s, const fr_lookup *l, const fr_hash *keys, fr_found *out, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    for (uint32_t i = 0; i < l->n; i++) {
        out[i] = (fr_found){.verdict = FR_CACHE_MISS};
    }
    int rc = fr_read_open(s, err);
    sqlite3_stmt *st = rc == FR_OK ? fr_db_statement(s->reader, FR_SQL_CACHE_FIND, err) : NULL;
    if (st == NULL) {
        return rc != FR_OK ? rc : code_of(err);
    }
    finder f = {.store = s, .load.store = s, .task = l->task, .oldest = l->oldest};
    for (uint32_t i = 0; i < l->n;) {
        int begun = fr_read_begin(s, err);
        if (begun != FR_OK) {
            rc = begun;
            break;
        }
        int64_t until = fr_clock_mono_ns() + SNAPSHOT_NS;
        do {
            if (!fr_hash_is_zero(keys[i])) {
                int one = find_one(&f, st, keys[i], &out[i], err);
                rc = one != FR_OK ? one : rc;
            }
        } while (++i < l->n && (i % CLOCK_KEYS != 0 || fr_clock_mono_ns() < until));
        fr_read_end(s);
    }
    fr_loader_fini(&f.load);
    return rc;
}

// --- what people ask ---

static int deliver(fr_store *s, sqlite3_stmt *st, fr_cache_fn fn, void *ctx, fr_err *err)
{
    uint64_t record = unsigned_of(sqlite3_column_int64(st, 0));
    uint64_t origin = unsigned_of(sqlite3_column_int64(st, 4));
    const void *bytes = sqlite3_column_blob(st, 6);
    fr_value *parts = NULL;
    int rc = FR_OK;
    if (bytes != NULL) {
        size_t n = (size_t)sqlite3_column_bytes(st, 6);
        rc = fr_value_parse(bytes, n, NULL, 0, &parts, err);
    }
    if (rc != FR_OK) {
        return fr_wrap(err, rc, "%s is damaged (an entry of the cache)", s->path);
    }
    fr_kept k = {.seq = record & UINT32_MAX, .item = (uint32_t)sqlite3_column_int64(st, 1),
                 .verdict = (fr_cache_verdict)sqlite3_column_int(st, 2),
                 .task = (const char *)sqlite3_column_text(st, 3), .run = origin >> 32,
                 .origin = origin & UINT32_MAX, .at = sqlite3_column_int64(st, 5),
                 .parts = parts};
    rc = fn(ctx, record >> 32, &k, err);
    fr_value_unref(parts);
    return rc;
}

int fr_store_cache_rows(fr_store *s, uint64_t run, const char *task, uint64_t before, size_t limit,
                        fr_cache_fn fn, void *ctx, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    int rc = fr_read_open(s, err);
    fr_sql which = task != NULL ? FR_SQL_CACHE_OF_TASK : FR_SQL_CACHE_OF_RUN;
    sqlite3_stmt *st = rc == FR_OK ? fr_db_statement(s->reader, which, err) : NULL;
    if (st == NULL) {
        return rc != FR_OK ? rc : code_of(err);
    }
    rc = fr_read_begin(s, err);
    if (rc != FR_OK) {
        return rc;
    }
    if (task != NULL) {
        (void)sqlite3_bind_text(st, 1, task, -1, SQLITE_STATIC);
        (void)sqlite3_bind_int64(st, 2, fr_row_first(run) + (int64_t)before);
    } else {
        (void)sqlite3_bind_int64(st, 1, fr_row_first(run));
        (void)sqlite3_bind_int64(st, 2, fr_row_last(run));
    }
    (void)sqlite3_bind_int64(st, 3, (int64_t)FR_MIN(limit, (size_t)INT32_MAX));
    int step;
    while (rc == FR_OK && (step = sqlite3_step(st)) != SQLITE_DONE) {
        rc = step == SQLITE_ROW ? deliver(s, st, fn, ctx, err) : fr_db_fail(s->reader, step, err);
    }
    fr_read_end(s);
    return rc;
}
