// Messages in the store (engine.md D7): rows made in the transaction of the record they came
// with, what became of each, and who delivers them.

#include "core/base/clock.h"
#include "core/engine/store_sqlite.h"

#include <sqlite3.h>

#include <string.h>

static int code_of(const fr_err *err) { return err->code != FR_OK ? err->code : FR_EIO; }

static void bind_text(sqlite3_stmt *st, int column, const char *text)
{
    (void)sqlite3_bind_text(st, column, text, -1, SQLITE_STATIC);
}

// --- writing (the store's thread) ---

int fr_outbox_insert(fr_store *s, const fr_queued *q, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_OUTBOX_PUT, err);
    if (st == NULL) {
        return code_of(err);
    }
    fr_reader r = fr_reader_of(fr_queued_open(q).data, q->data_size);
    fr_outbox_message m;
    const void *bytes;
    size_t size;
    int rc = FR_OK;
    for (int n = 1; rc == FR_OK && fr_outbox_next(&r, &m, &bytes, &size); n++) {
        (void)sqlite3_bind_int64(st, 1, fr_row_first(q->run->id) + (int64_t)q->seq);
        (void)sqlite3_bind_int(st, 2, n);
        (void)sqlite3_bind_int64(st, 3, (int64_t)q->run->id);
        bind_text(st, 4, m.task);
        bind_text(st, 5, m.name);
        bind_text(st, 6, m.key);
        (void)sqlite3_bind_blob64(st, 7, bytes, size, SQLITE_STATIC);
        (void)sqlite3_bind_int64(st, 8, q->ended);
        rc = fr_db_step(s->db, st, err);
    }
    if (rc == FR_OK && r.failed) {             // our own writer made them
        rc = fr_fail(err, FR_ECORRUPT, "the messages of a task are damaged");
    }
    return rc;
}

static int set_row(fr_store *s, const fr_queued *q, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_OUTBOX_SET, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, (int64_t)q->seq);
    (void)sqlite3_bind_int(st, 2, q->state);
    (void)sqlite3_bind_int64(st, 3, q->attempt);
    (void)sqlite3_bind_int64(st, 4, q->due);
    (void)sqlite3_bind_int64(st, 5, q->ended);
    bind_text(st, 6, fr_queued_open(q).label);
    (void)sqlite3_bind_int64(st, 7, (int64_t)q->run->id);
    return fr_db_step(s->db, st, err);
}

// A run of this process, or one whose lock another process holds. A dead one whose children
// are still being killed counts as alive: one of them may deliver right now.
static bool alive(const fr_store *s, uint64_t run)
{
    for (const fr_store_run *r = s->runs; r != NULL; r = r->next) {
        if (r->id == run) {
            return true;
        }
    }
    return fr_run_lock_probe(s, run, NULL) || fr_run_reaper_probe(s, run);
}

static int next_owner(fr_store *s, uint64_t after, uint64_t *owner, fr_err *err)
{
    *owner = 0;
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_OUTBOX_OWNER, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, (int64_t)after);
    int step = sqlite3_step(st);
    *owner = step == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
    (void)sqlite3_reset(st);
    return step == SQLITE_ROW ? FR_OK : fr_db_fail(s->db, step, err);
}

// The owner of a row changes only here, under the store's lock, and only when the one before is
// dead; a run looks at its rows behind its own adoption, with its lock held. So no row has two.
static int adopt(fr_store *s, const fr_store_run *r, fr_err *err)
{
    uint64_t owner = 0;
    int rc = next_owner(s, 0, &owner, err);
    while (rc == FR_OK && owner != 0) {
        sqlite3_stmt *st = owner != r->id && !alive(s, owner)
                               ? fr_db_statement(s->db, FR_SQL_OUTBOX_ADOPT, err)
                               : NULL;
        if (st != NULL) {
            (void)sqlite3_bind_int64(st, 1, (int64_t)r->id);
            (void)sqlite3_bind_int64(st, 2, (int64_t)owner);
            bind_text(st, 3, FR_OUTBOX_HTTP);
            rc = fr_db_step(s->db, st, err);
        }
        if (rc == FR_OK) {
            rc = next_owner(s, owner, &owner, err);
        }
    }
    return rc;
}

int fr_outbox_write(fr_store *s, const fr_queued *q, fr_err *err)
{
    q->run->outbox_batch = q->log_from;
    return q->seq == 0 ? adopt(s, q->run, err) : set_row(s, q, err);
}

int fr_outbox_begin(fr_store *s, fr_store_run *r, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_OUTBOX_ANY, err);
    if (st == NULL) {
        return code_of(err);
    }
    int step = sqlite3_step(st);
    r->outbox_waits = step == SQLITE_ROW;
    (void)sqlite3_reset(st);
    return step == SQLITE_ROW || step == SQLITE_DONE ? FR_OK : fr_db_fail(s->db, step, err);
}

// --- a person's word ---

typedef struct change {
    uint64_t id;
    fr_outbox_state to;
    uint64_t owner;
} change;

static int do_change(fr_store *s, fr_store_job *job, fr_err *err)
{
    const change *c = job->ctx;
    fr_sql which = c->to == FR_OUTBOX_PENDING   ? FR_SQL_OUTBOX_AGAIN
                   : c->to == FR_OUTBOX_DROPPED ? FR_SQL_OUTBOX_DROP
                                                : FR_SQL_OUTBOX_NOW;
    sqlite3_stmt *st = fr_db_statement(s->db, which, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, (int64_t)c->id);
    (void)sqlite3_bind_int64(st, 2, fr_clock_wall_ns());
    int rc = fr_db_step(s->db, st, err);
    if (rc == FR_OK && c->id != 0 && sqlite3_changes(s->db->handle) == 0) {
        return fr_fail(err, FR_ENOTFOUND, "there is no message %llu that is %s; see flowrun outbox "
                       "list --all", (unsigned long long)c->id,
                       c->to == FR_OUTBOX_DROPPED ? "pending or dead" : "not delivered");
    }
    return rc;
}

static int keep_owner(void *ctx, const fr_outbox_row *row, fr_err *err)
{
    (void)err;
    ((change *)ctx)->owner = row->owner;
    return FR_OK;
}

int fr_store_outbox_change(fr_store *s, uint64_t id, fr_outbox_state to, fr_err *err)
{
    change c = {.id = id, .to = to};
    fr_store_job job = {.run = do_change, .transact = true, .ctx = &c};
    int rc = fr_store_call(s, &job, err);
    if (rc == FR_OK && id != 0) {              // a living owner looks again
        rc = fr_store_outbox(s, 0, id, UINT32_MAX, 1, keep_owner, &c, err);
    }
    if (rc == FR_OK && c.owner != 0) {
        fr_wake_send(s, c.owner);
    }
    return rc;
}

// --- looking (the engine's thread) ---

bool fr_store_outbox_left(const fr_store_run *r) { return r->outbox_waits; }
uint64_t fr_store_outbox_done(fr_store_run *r) { return atomic_load(&r->outbox_done); }

static int deliver(sqlite3_stmt *st, fr_outbox_fn fn, void *ctx, fr_err *err)
{
    uint64_t record = (uint64_t)sqlite3_column_int64(st, 1);
    fr_outbox_row row = {
        .id = (uint64_t)sqlite3_column_int64(st, 0), .run = record >> 32,
        .seq = record & UINT32_MAX, .n = (uint32_t)sqlite3_column_int64(st, 2),
        .owner = (uint64_t)sqlite3_column_int64(st, 3),
        .task = (const char *)sqlite3_column_text(st, 4),
        .name = (const char *)sqlite3_column_text(st, 5),
        .key = (const char *)sqlite3_column_text(st, 6), .message = sqlite3_column_blob(st, 7),
        .size = (size_t)sqlite3_column_bytes(st, 7),
        .state = (fr_outbox_state)sqlite3_column_int(st, 8),
        .attempts = (uint32_t)sqlite3_column_int64(st, 9), .due = sqlite3_column_int64(st, 10),
        .made = sqlite3_column_int64(st, 11), .changed = sqlite3_column_int64(st, 12),
        .error = (const char *)sqlite3_column_text(st, 13)};
    return fn(ctx, &row, err);
}

static int each(fr_store *s, sqlite3_stmt *st, fr_outbox_fn fn, void *ctx, fr_err *err)
{
    int rc = FR_OK, step;
    while (rc == FR_OK && (step = sqlite3_step(st)) != SQLITE_DONE) {
        rc = step == SQLITE_ROW ? deliver(st, fn, ctx, err) : fr_db_fail(s->reader, step, err);
    }
    (void)sqlite3_reset(st);
    return rc;
}

int fr_store_outbox(fr_store *s, uint64_t run, uint64_t id, unsigned states, size_t limit,
                    fr_outbox_fn fn, void *ctx, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    int rc = fr_read_open(s, err);
    sqlite3_stmt *st = rc == FR_OK ? fr_db_statement(s->reader, FR_SQL_OUTBOX_LIST, err) : NULL;
    if (st == NULL) {
        return rc != FR_OK ? rc : code_of(err);
    }
    rc = fr_read_begin(s, err);
    if (rc != FR_OK) {
        return rc;
    }
    (void)sqlite3_bind_int64(st, 1, (int64_t)run);
    (void)sqlite3_bind_int64(st, 2, (int64_t)id);
    (void)sqlite3_bind_int64(st, 3, (int64_t)states);
    (void)sqlite3_bind_int64(st, 4, (int64_t)FR_MIN(limit, (size_t)INT32_MAX));
    rc = each(s, st, fn, ctx, err);
    fr_read_end(s);
    return rc;
}

int fr_store_outbox_due(fr_store_run *r, int64_t now, size_t limit, fr_outbox_fn fn, void *ctx,
                        int64_t *next, fr_err *err)
{
    fr_store *s = r->store;
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    *next = INT64_MAX;
    int rc = fr_read_open(s, err);
    sqlite3_stmt *st = rc == FR_OK ? fr_db_statement(s->reader, FR_SQL_OUTBOX_DUE, err) : NULL;
    sqlite3_stmt *later = st != NULL ? fr_db_statement(s->reader, FR_SQL_OUTBOX_NEXT, err) : NULL;
    if (later == NULL) {
        return rc != FR_OK ? rc : code_of(err);
    }
    rc = fr_read_begin(s, err);
    if (rc != FR_OK) {
        return rc;
    }
    (void)sqlite3_bind_int64(st, 1, (int64_t)r->id);
    (void)sqlite3_bind_int64(st, 2, now);
    (void)sqlite3_bind_int64(st, 3, (int64_t)limit);
    rc = each(s, st, fn, ctx, err);
    (void)sqlite3_bind_int64(later, 1, (int64_t)r->id);
    (void)sqlite3_bind_int64(later, 2, now);
    int step = rc == FR_OK ? sqlite3_step(later) : SQLITE_DONE;
    if (step == SQLITE_ROW && sqlite3_column_type(later, 0) != SQLITE_NULL) {
        *next = sqlite3_column_int64(later, 0);
    } else if (step != SQLITE_ROW && step != SQLITE_DONE) {
        rc = fr_db_fail(s->reader, step, err);
    }
    (void)sqlite3_reset(later);
    fr_read_end(s);
    return rc;
}
