// The audit chain (engine.md E5): what is hashed, and the check that nothing was changed.

#include "core/engine/store_sqlite.h"

#include <sqlite3.h>

#include <inttypes.h>
#include <string.h>

// What is hashed of a record, little endian like all numbers here: a head of fixed size, then
// the bytes it tells the sizes of. Assembled first, because small pieces are hashed slowly.
enum { TEXT_MAX = 256 };

typedef struct text {
    fr_sha256_state *hash;
    size_t n;
    uint8_t bytes[TEXT_MAX];
} text;

static void put_end(text *t)
{
    fr_sha256_put(t->hash, t->bytes, t->n);
    t->n = 0;
}

static void put(text *t, const void *bytes, size_t n)
{
    if (n > TEXT_MAX - t->n) {
        put_end(t);
    }
    if (n > TEXT_MAX) {
        fr_sha256_put(t->hash, bytes, n);
    } else if (n > 0) {
        memcpy(t->bytes + t->n, bytes, n);
        t->n += n;
    }
}

static void put_u32(text *t, uint64_t v)
{
    uint32_t x = (uint32_t)v;
    put(t, &x, sizeof x);
}

static void put_i64(text *t, int64_t v) { put(t, &v, sizeof v); }

void fr_audit_begin(fr_sha256_state *h, const uint8_t chain[FR_SHA256_SIZE])
{
    fr_sha256_begin(h);
    fr_sha256_put(h, chain, FR_SHA256_SIZE);
}

void fr_audit_row(fr_sha256_state *h, int type, const fr_row_sum *sum, const fr_row_bytes *b)
{
    text t;
    t.hash = h;
    t.n = 0;
    put_u32(&t, (uint64_t)type);
    put_u32(&t, (uint64_t)sum->id);            // the seal's place tells the run
    put_u32(&t, (uint64_t)sum->row);
    put_u32(&t, (uint64_t)sum->name);
    put_i64(&t, sum->what);
    put_i64(&t, sum->queued);
    put_i64(&t, sum->wait);
    put_i64(&t, sum->took);
    put(&t, sum->ids, sizeof sum->ids);
    put_u32(&t, b->result_size);
    put_u32(&t, b->extra_size);
    put(&t, b->result, b->result_size);
    put(&t, b->extra, b->extra_size);
    if (type != FR_REC_TASK) {                 // which has no such columns
        put_u32(&t, b->data_size);
        put_i64(&t, b->due);
        put(&t, b->data, b->data_size);
    }
    put_end(&t);
}

void fr_audit_part(fr_sha256_state *h, int64_t id, int64_t row, int64_t n, int how,
                   const void *items, size_t size)
{
    text t;
    t.hash = h;
    t.n = 0;
    put_u32(&t, FR_REC_MAP_PART);
    put_u32(&t, (uint64_t)id);
    put_u32(&t, (uint64_t)row);
    put_u32(&t, (uint64_t)n);
    put_u32(&t, (uint64_t)how);
    put_u32(&t, size);
    put(&t, items, size);
    put_end(&t);
}

void fr_audit_anchor(const uint8_t before[FR_SHA256_SIZE], const uint8_t chain[FR_SHA256_SIZE],
                     uint64_t run, uint64_t seq, uint8_t head[FR_SHA256_SIZE])
{
    fr_sha256_state h;
    fr_sha256_begin(&h);
    fr_sha256_put(&h, before, FR_SHA256_SIZE);
    fr_sha256_put(&h, chain, FR_SHA256_SIZE);
    fr_sha256_put(&h, &run, sizeof run);
    fr_sha256_put(&h, &seq, sizeof seq);
    fr_sha256_end(&h, head);
}

// --- checking ---

static int changed(const fr_store *s, uint64_t run, const char *what, int64_t id, fr_err *err)
{
    return fr_fail(err, FR_ECORRUPT, "%s: run %" PRIu64 " is not as it was recorded: %s %" PRId64
                   " differs", s->path, run, what, id & UINT32_MAX);
}

static int code_of(const fr_err *err) { return err->code != FR_OK ? err->code : FR_EIO; }

typedef struct checker {
    fr_store *store;
    uint64_t run;
    fr_sha256_state hash;
    uint8_t chain[FR_SHA256_SIZE];             // the last seal
    uint64_t last, sealed;                     // last record; last one with a seal
    bool anchored;
    uint64_t anchor_seq;                       // of the run's last anchor
    uint8_t anchor[FR_SHA256_SIZE];
} checker;

// The chain of the anchors of all runs; remembers this run's last one.
static int check_anchors(checker *c, fr_err *err)
{
    fr_store *s = c->store;
    sqlite3_stmt *st = fr_db_statement(s->reader, FR_SQL_ANCHORS, err);
    if (st == NULL) {
        return code_of(err);
    }
    uint8_t before[FR_SHA256_SIZE] = {0}, head[FR_SHA256_SIZE];
    int step, rc = FR_OK;
    while (rc == FR_OK && (step = sqlite3_step(st)) != SQLITE_DONE) {
        if (step != SQLITE_ROW) {
            return fr_db_fail(s->reader, step, err);
        }
        uint64_t run = (uint64_t)sqlite3_column_int64(st, 0);
        uint64_t seq = (uint64_t)sqlite3_column_int64(st, 1);
        if (sqlite3_column_bytes(st, 2) != FR_SHA256_SIZE ||
            sqlite3_column_bytes(st, 3) != FR_SHA256_SIZE) {
            return changed(s, run, "its anchor behind record", (int64_t)seq, err);
        }
        fr_audit_anchor(before, sqlite3_column_blob(st, 2), run, seq, head);
        if (memcmp(head, sqlite3_column_blob(st, 3), FR_SHA256_SIZE) != 0) {
            rc = changed(s, run, "its anchor behind record", (int64_t)seq, err);
        }
        memcpy(before, head, sizeof before);
        if (run == c->run) {
            c->anchored = true;
            c->anchor_seq = seq;
            memcpy(c->anchor, sqlite3_column_blob(st, 2), FR_SHA256_SIZE);
        }
    }
    return rc;
}

// The seal behind a record, when its commit ended there.
static int check_seal(checker *c, int64_t id, fr_err *err)
{
    fr_store *s = c->store;
    sqlite3_stmt *st = fr_db_statement(s->reader, FR_SQL_SEAL_GET, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, id);
    int step = sqlite3_step(st), rc = FR_OK;
    if (step == SQLITE_ROW) {
        fr_sha256_end(&c->hash, c->chain);
        if (sqlite3_column_bytes(st, 0) != FR_SHA256_SIZE ||
            memcmp(c->chain, sqlite3_column_blob(st, 0), FR_SHA256_SIZE) != 0) {
            rc = changed(s, c->run, "something up to record", id, err);
        }
        c->sealed = (uint64_t)id & UINT32_MAX;
        fr_audit_begin(&c->hash, c->chain);
    } else if (step != SQLITE_DONE) {
        rc = fr_db_fail(s->reader, step, err);
    }
    (void)sqlite3_reset(st);
    if (rc == FR_OK && c->anchored && c->anchor_seq == ((uint64_t)id & UINT32_MAX) &&
        (c->sealed != c->anchor_seq || memcmp(c->chain, c->anchor, FR_SHA256_SIZE) != 0)) {
        rc = changed(s, c->run, "its anchor behind record", id, err);
    }
    return rc;
}

static int check_record(void *ctx, int table, sqlite3_stmt *st, fr_err *err)
{
    checker *c = ctx;
    int64_t id = sqlite3_column_int64(st, 0);
    if (table == FR_TABLE_MAP_PART) {
        fr_audit_part(&c->hash, id, sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 2),
                      sqlite3_column_int(st, 3), sqlite3_column_blob(st, 5),
                      (size_t)sqlite3_column_bytes(st, 5));
    } else {
        fr_row_sum sum;
        fr_row_bytes bytes;
        (void)fr_row_columns(st, &sum, &bytes);
        bytes.due = FR_ROW_NULL;
        int type = FR_REC_TASK;
        if (table == FR_TABLE_JOURNAL) {
            type = sqlite3_column_int(st, 10);
            bytes.due = sqlite3_column_type(st, 11) == SQLITE_NULL ? FR_ROW_NULL
                                                                   : sqlite3_column_int64(st, 11);
            bytes.data = sqlite3_column_blob(st, 12);
            bytes.data_size = (size_t)sqlite3_column_bytes(st, 12);
        }
        fr_audit_row(&c->hash, type, &sum, &bytes);
    }
    c->last = (uint64_t)id & UINT32_MAX;
    return check_seal(c, id, err);
}

int fr_store_audit(fr_store *s, uint64_t run, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    checker c = {.store = s, .run = run};
    int rc = fr_read_open(s, err);
    if (rc == FR_OK) {
        rc = fr_read_begin(s, err);
    }
    if (rc != FR_OK) {
        return rc;
    }
    rc = check_anchors(&c, err);
    fr_read_end(s);
    fr_audit_begin(&c.hash, c.chain);
    bool ended = false;
    if (rc == FR_OK) {
        rc = fr_read_raw(s, run, check_record, &c, &ended, err);
    }
    if (rc == FR_OK && (c.sealed != c.last || (c.anchored && c.anchor_seq > c.last) ||
                        (ended && (!c.anchored || c.anchor_seq != c.last)))) {
        rc = changed(s, run, "the end, behind record", (int64_t)c.last, err);
    }
    return rc;
}
