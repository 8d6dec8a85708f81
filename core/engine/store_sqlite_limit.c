// Limits in the store (engine.md E4): the table of core/engine/limit.h as rows. A batch first
// takes all asks and releases, then gives out once; what it gave is told after the commit.

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/engine/store_sqlite.h"

#include <sqlite3.h>

#include <inttypes.h>
#include <string.h>

enum { LIST_MAX = 100000 };

static int code_of(const fr_err *err) { return err->code != FR_OK ? err->code : FR_EIO; }

// --- what a batch leads to ---

void fr_slot_begin(fr_store *s)
{
    s->slots.n_limits = s->slots.n_runs = s->slots.n_probed = 0;
}

void fr_slot_fini(fr_store *s)
{
    fr_free(s->slots.limits);
    fr_free(s->slots.runs);
    fr_free(s->slots.probed);
}

static void touch(void *ctx, int64_t limit)
{
    fr_slot_batch *b = &((fr_store *)ctx)->slots;
    for (uint32_t i = 0; i < b->n_limits; i++) {
        if (b->limits[i] == limit) {
            return;
        }
    }
    if (b->n_limits == b->limits_room) {
        b->limits_room = b->limits_room * 2 + 8;
        b->limits = fr_realloc(b->limits, b->limits_room * sizeof *b->limits);
    }
    b->limits[b->n_limits++] = limit;
}

static fr_store_run *own_run(const fr_store *s, uint64_t id)
{
    fr_store_run *r = s->runs;
    while (r != NULL && r->id != id) {
        r = r->next;
    }
    return r;
}

// Something became of this run's asks.
static void tell(fr_store *s, uint64_t id)
{
    fr_store_run *r = own_run(s, id);
    fr_slot_batch *b = &s->slots;
    if (r != NULL) {
        r->slots_news = true;
        return;
    }
    for (uint32_t i = 0; i < b->n_runs; i++) {
        if (b->runs[i] == id) {
            return;
        }
    }
    if (b->n_runs == b->runs_room) {
        b->runs_room = b->runs_room * 2 + 8;
        b->runs = fr_realloc(b->runs, b->runs_room * sizeof *b->runs);
    }
    b->runs[b->n_runs++] = id;
}

void fr_slot_tell(fr_store *s)
{
    for (uint32_t i = 0; i < s->slots.n_runs; i++) {
        fr_wake_send(s, s->slots.runs[i]);
    }
    s->slots.n_runs = 0;
}

// --- statements ---

// Steps a statement whose rows say which limits are concerned.
static int touch_each(fr_store *s, sqlite3_stmt *st, fr_limit_touch_fn fn, void *ctx, fr_err *err)
{
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        fn(ctx, sqlite3_column_int64(st, 0));
    }
    int code = rc == SQLITE_DONE ? FR_OK : fr_db_fail(s->db, rc, err);
    (void)sqlite3_reset(st);
    return code;
}

// Runs `which` with up to three integers.
static int run3(fr_store *s, fr_sql which, int64_t a, int64_t b, int64_t c, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, which, err);
    if (st == NULL) {
        return code_of(err);
    }
    const int64_t v[] = {a, b, c};
    for (int i = 0; i < sqlite3_bind_parameter_count(st) && i < 3; i++) {
        (void)sqlite3_bind_int64(st, i + 1, v[i]);
    }
    return fr_db_step(s->db, st, err);
}

// The columns that LIMIT_GET and LIMITS share.
static void read_limit(sqlite3_stmt *st, fr_limit *l)
{
    const char *name = (const char *)sqlite3_column_text(st, 1);
    size_t size = name != NULL ? strlen(name) : 0, bytes = (size_t)sqlite3_column_bytes(st, 6);
    memset(l, 0, offsetof(fr_limit, starts));
    memcpy(l->name, name != NULL ? name : "", FR_MIN(size, (size_t)FR_LIMIT_NAME - 1));
    l->id = sqlite3_column_int64(st, 0);
    l->capacity = sqlite3_column_type(st, 2) == SQLITE_NULL ? -1 : sqlite3_column_int64(st, 2);
    l->rate = (uint32_t)FR_MIN(FR_MAX(sqlite3_column_int64(st, 3), 0), FR_LIMIT_RATE);
    l->period_ns = sqlite3_column_int64(st, 4);
    l->source = (fr_limit_source)sqlite3_column_int(st, 5);
    l->used = sqlite3_column_int64(st, 7);
    l->waiting = sqlite3_column_int64(st, 8);
    l->n_starts = (uint32_t)FR_MIN(bytes / sizeof l->starts[0], (size_t)FR_LIMIT_RATE);
    if (l->n_starts > 0) {
        memcpy(l->starts, sqlite3_column_blob(st, 6), l->n_starts * sizeof l->starts[0]);
    }
}

static int get_limit(fr_db *db, int64_t id, fr_limit *out, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(db, FR_SQL_LIMIT_GET, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, id);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        read_limit(st, out);
    }
    int code = rc == SQLITE_ROW    ? FR_OK
               : rc == SQLITE_DONE ? fr_fail(err, FR_ECORRUPT, "%s is damaged (limit %" PRId64 ")",
                                             db->path, id)
                                   : fr_db_fail(db, rc, err);
    (void)sqlite3_reset(st);
    return code;
}

// --- the table of limit.h ---

static int table_limit(void *ctx, int64_t id, fr_limit *out, fr_err *err)
{
    return get_limit(((fr_store *)ctx)->db, id, out, err);
}

static int table_next(void *ctx, int64_t limit, int64_t rank, int64_t id, fr_slot *out,
                      bool *found, fr_err *err)
{
    fr_store *s = ctx;
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_SLOT_NEXT, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, limit);
    (void)sqlite3_bind_int64(st, 2, rank);
    (void)sqlite3_bind_int64(st, 3, id);
    int rc = sqlite3_step(st);
    *found = rc == SQLITE_ROW;
    if (*found) {
        *out = (fr_slot){.id = sqlite3_column_int64(st, 0), .limit = limit,
                         .run = (uint64_t)sqlite3_column_int64(st, 1),
                         .ask = (uint32_t)sqlite3_column_int64(st, 2),
                         .n = (uint32_t)sqlite3_column_int64(st, 3),
                         .rank = sqlite3_column_int64(st, 4)};
    }
    (void)sqlite3_reset(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? FR_OK : fr_db_fail(s->db, rc, err);
}

static int table_slots(void *ctx, uint64_t run, uint32_t ask, fr_slot out[FR_LIMIT_NEEDS],
                       uint32_t *n, fr_err *err)
{
    fr_store *s = ctx;
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_SLOT_OF, err);
    *n = 0;
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, (int64_t)run);
    (void)sqlite3_bind_int64(st, 2, ask);
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW && *n < FR_LIMIT_NEEDS) {
        out[(*n)++] = (fr_slot){.id = sqlite3_column_int64(st, 0),
                                .limit = sqlite3_column_int64(st, 1), .run = run, .ask = ask,
                                .n = (uint32_t)sqlite3_column_int64(st, 2),
                                .rank = sqlite3_column_int64(st, 3)};
    }
    (void)sqlite3_reset(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? FR_OK : fr_db_fail(s->db, rc, err);
}

static int table_grant(void *ctx, uint64_t run, uint32_t ask, int64_t now, fr_err *err)
{
    fr_store *s = ctx;
    tell(s, run);
    return run3(s, FR_SQL_SLOT_GRANT, (int64_t)run, ask, FR_MAX(now, 1), err);
}

static int table_refuse(void *ctx, const fr_slot *slot, fr_err *err)
{
    fr_store *s = ctx;
    tell(s, slot->run);
    int rc = run3(s, FR_SQL_SLOT_GRANT, (int64_t)slot->run, slot->ask, -1, err);
    return rc == FR_OK ? run3(s, FR_SQL_SLOT_REFUSE, slot->id, 0, 0, err) : rc;
}

static int table_started(void *ctx, const fr_limit *l, fr_err *err)
{
    fr_store *s = ctx;
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_LIMIT_STARTS, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, l->id);
    (void)sqlite3_bind_blob(st, 2, l->starts, (int)(l->n_starts * sizeof l->starts[0]),
                            SQLITE_STATIC);
    return fr_db_step(s->db, st, err);
}

// A run lives while its lock is held, and until its reaper has killed what it started.
static bool table_alive(void *ctx, uint64_t run)
{
    fr_store *s = ctx;
    fr_slot_batch *b = &s->slots;
    if (own_run(s, run) != NULL) {
        return true;
    }
    for (uint32_t i = 0; i < b->n_probed; i++) {
        if (b->probed[i] >> 1 == run) {
            return (b->probed[i] & 1) != 0;
        }
    }
    if (b->n_probed == b->probed_room) {
        b->probed_room = b->probed_room * 2 + 8;
        b->probed = fr_realloc(b->probed, b->probed_room * sizeof *b->probed);
    }
    bool alive = fr_run_lock_probe(s, run, NULL) || fr_run_reaper_probe(s, run);
    b->probed[b->n_probed++] = run << 1 | alive;
    return alive;
}

static int remove_run(fr_store *s, uint64_t run, fr_limit_touch_fn fn, void *ctx, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_SLOTS_END, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, (int64_t)run);
    int rc = touch_each(s, st, fn, ctx, err);
    return rc == FR_OK ? run3(s, FR_SQL_SLOT_LEAVE, (int64_t)run, 0, 0, err) : rc;
}

static int table_bury(void *ctx, uint64_t run, fr_limit_touch_fn fn, void *touch_ctx, fr_err *err)
{
    return remove_run(ctx, run, fn, touch_ctx, err);
}

static int table_holder(void *ctx, int64_t limit, uint64_t after, uint64_t *run, fr_err *err)
{
    fr_store *s = ctx;
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_SLOT_HOLDER, err);
    *run = 0;
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, limit);
    (void)sqlite3_bind_int64(st, 2, (int64_t)after);
    int rc = sqlite3_step(st);
    *run = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
    (void)sqlite3_reset(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? FR_OK : fr_db_fail(s->db, rc, err);
}

int fr_slot_settle(fr_store *s, fr_err *err)
{
    if (s->slots.n_limits == 0) {
        return FR_OK;
    }
    const fr_limit_table table = {.ctx = s, .limit = table_limit, .next = table_next,
                                  .slots = table_slots, .grant = table_grant,
                                  .refuse = table_refuse, .started = table_started,
                                  .alive = table_alive, .bury = table_bury,
                                  .holder = table_holder};
    int rc = fr_limit_settle(&table, s->slots.limits, s->slots.n_limits, fr_clock_wall_ns(), err);
    s->slots.n_limits = 0;
    return rc;
}

// --- entries of the queue ---

static int limit_named(fr_store *s, const char *name, bool make, int64_t *id, fr_err *err)
{
    *id = 0;
    const fr_sql order[] = {FR_SQL_LIMIT_ID, FR_SQL_LIMIT_PUT};
    for (int i = 0; i < (make ? 2 : 1) && *id == 0; i++) {
        sqlite3_stmt *st = fr_db_statement(s->db, order[i], err);
        if (st == NULL) {
            return code_of(err);
        }
        (void)sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
        int rc = sqlite3_step(st);
        *id = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0)
              : i == 1         ? sqlite3_last_insert_rowid(s->db->handle)
                               : 0;
        (void)sqlite3_reset(st);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
            return fr_db_fail(s->db, rc, err);
        }
    }
    return FR_OK;
}

static int put_slot(fr_store *s, const fr_queued *q, const char *task, const fr_limit_need *need,
                    const char *limit, fr_err *err)
{
    int64_t id;
    int rc = limit_named(s, limit, true, &id, err);
    if (rc == FR_OK && need->rate > 0) {
        rc = run3(s, FR_SQL_LIMIT_RATE, id, need->rate, need->period_ns, err);
    }
    sqlite3_stmt *st = rc == FR_OK ? fr_db_statement(s->db, FR_SQL_SLOT_PUT, err) : NULL;
    if (st == NULL) {
        return rc != FR_OK ? rc : code_of(err);
    }
    int32_t priority = (int32_t)q->attempt;
    touch(s, id);
    (void)sqlite3_bind_int64(st, 1, id);
    (void)sqlite3_bind_int64(st, 2, (int64_t)q->run->id);
    (void)sqlite3_bind_int64(st, 3, q->slot);
    (void)sqlite3_bind_int64(st, 4, q->row);
    (void)sqlite3_bind_text(st, 5, task, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(st, 6, need->n);
    (void)sqlite3_bind_int64(st, 7, priority);
    (void)sqlite3_bind_int64(st, 8, q->queued);
    (void)sqlite3_bind_int64(st, 9, fr_limit_rank(q->queued, priority));
    return fr_db_step(s->db, st, err);
}

// A run that uses limits for the first time: those that wait shall watch it, too.
static int join(fr_store *s, fr_store_run *r, fr_err *err)
{
    int rc = run3(s, FR_SQL_SLOT_JOIN, (int64_t)r->id, 0, 0, err);
    sqlite3_stmt *st = rc == FR_OK ? fr_db_statement(s->db, FR_SQL_SLOT_WAITERS, err) : NULL;
    if (st == NULL) {
        return rc != FR_OK ? rc : code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, (int64_t)r->id);
    int step;
    while ((step = sqlite3_step(st)) == SQLITE_ROW) {
        tell(s, (uint64_t)sqlite3_column_int64(st, 0));
    }
    (void)sqlite3_reset(st);
    r->limited = true;
    return step == SQLITE_DONE ? FR_OK : fr_db_fail(s->db, step, err);
}

static int refuse_too_much(fr_store *s, const fr_queued *q, fr_err *err)
{
    fr_slot all[FR_LIMIT_NEEDS];
    uint32_t n;
    int rc = table_slots(s, q->run->id, q->slot, all, &n, err);
    fr_limit *l = fr_alloc(sizeof *l);
    for (uint32_t i = 0; i < n && rc == FR_OK; i++) {
        rc = get_limit(s->db, all[i].limit, l, err);
        if (rc == FR_OK && fr_limit_too_much(l, all[i].n)) {
            rc = table_refuse(s, &all[i], err);
            break;
        }
    }
    fr_free(l);
    return rc;
}

static int write_ask(fr_store *s, const fr_queued *q, fr_err *err)
{
    fr_queued_parts p = fr_queued_open(q);
    const uint8_t *at = p.data;
    bool many = false;
    int rc = q->run->limited ? FR_OK : join(s, q->run, err);
    for (uint32_t i = 0; i < q->items && rc == FR_OK; i++) {
        fr_limit_need need;
        memcpy(&need, at, sizeof need);
        const char *limit = (const char *)at + sizeof need;
        at += sizeof need + strlen(limit) + 1;
        rc = put_slot(s, q, p.label, &need, limit, err);
        many |= need.n > 1;
    }
    if (rc == FR_OK && many) {                 // one slot can always be had, one day
        rc = refuse_too_much(s, q, err);
    }
    q->run->slots_news = true;                 // it waits, or it has it
    return rc;
}

int fr_slot_release(fr_store *s, uint64_t run, uint32_t ask, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_SLOT_END, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, (int64_t)run);
    (void)sqlite3_bind_int64(st, 2, ask);
    return touch_each(s, st, touch, s, err);
}

int fr_slot_forget(fr_store *s, uint64_t run, fr_err *err)
{
    return remove_run(s, run, touch, s, err);
}

static int look(fr_store *s, fr_store_run *r, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_SLOT_WAITED, err);
    r->slots_news = true;
    return st != NULL ? touch_each(s, st, touch, s, err) : code_of(err);
}

int fr_slot_write(fr_store *s, const fr_queued *q, fr_err *err)
{
    switch (q->type) {
    case FR_SLOT_ASK:
        return write_ask(s, q, err);
    case FR_SLOT_RELEASE:
        return fr_slot_release(s, q->run->id, q->slot, err);
    default:
        return look(s, q->run, err);
    }
}

// --- limits themselves ---

typedef struct limit_call {
    const fr_limit *what;
    const char *name;
} limit_call;

static int set_limit(fr_store *s, int64_t id, const fr_limit *l, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_LIMIT_SET, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_clear_bindings(st);
    (void)sqlite3_bind_int64(st, 1, id);
    if (l->capacity >= 0) {
        (void)sqlite3_bind_int64(st, 2, l->capacity);
    }
    if (l->rate > 0) {
        (void)sqlite3_bind_int64(st, 3, l->rate);
        (void)sqlite3_bind_int64(st, 4, l->period_ns);
    }
    (void)sqlite3_bind_int(st, 5, (int)l->source);
    touch(s, id);
    return fr_db_step(s->db, st, err);
}

static int do_set(fr_store *s, fr_store_job *job, fr_err *err)
{
    const fr_limit *what = ((limit_call *)job->ctx)->what;
    int64_t id;
    int rc = limit_named(s, what->name, true, &id, err);
    fr_limit *now = fr_alloc(sizeof *now);
    if (rc == FR_OK) {
        rc = get_limit(s->db, id, now, err);
    }
    if (rc == FR_OK && what->source >= now->source) {
        rc = set_limit(s, id, what, err);
    }
    fr_free(now);
    return rc == FR_OK ? fr_slot_settle(s, err) : rc;
}

int fr_store_limit_set(fr_store *s, const fr_limit *what, fr_err *err)
{
    limit_call c = {.what = what};
    fr_store_job job = {.run = do_set, .transact = true, .ctx = &c};
    return fr_store_call(s, &job, err);
}

static int do_remove(fr_store *s, fr_store_job *job, fr_err *err)
{
    const char *name = ((limit_call *)job->ctx)->name;
    const fr_limit unset = {.capacity = -1};
    int64_t id;
    int rc = limit_named(s, name, false, &id, err);
    if (rc == FR_OK && id == 0) {
        return fr_fail(err, FR_ENOTFOUND, "there is no limit \"%s\" in %s", name, s->home);
    }
    if (rc == FR_OK) {
        rc = set_limit(s, id, &unset, err);
    }
    if (rc == FR_OK) {
        rc = fr_slot_settle(s, err);
    }
    return rc == FR_OK ? run3(s, FR_SQL_LIMIT_DROP, id, 0, 0, err) : rc;
}

int fr_store_limit_remove(fr_store *s, const char *name, fr_err *err)
{
    limit_call c = {.name = name};
    fr_store_job job = {.run = do_remove, .transact = true, .ctx = &c};
    return fr_store_call(s, &job, err);
}

// --- looking (the engine's thread) ---

bool fr_store_slots_moved(fr_store_run *r)
{
    return atomic_load_explicit(&r->slots_moved, memory_order_relaxed) &&
           atomic_exchange(&r->slots_moved, false);
}

// A snapshot with the statement ready; NULL and no snapshot on failure.
static sqlite3_stmt *begin(fr_store *s, fr_sql which, int *rc, fr_err *err)
{
    *rc = fr_read_open(s, err);
    sqlite3_stmt *st = *rc == FR_OK ? fr_db_statement(s->reader, which, err) : NULL;
    if (st == NULL) {
        *rc = *rc != FR_OK ? *rc : code_of(err);
        return NULL;
    }
    *rc = fr_read_begin(s, err);
    return *rc == FR_OK ? st : NULL;
}

static int end(fr_store *s, int step, fr_err *err)
{
    int rc = step == SQLITE_DONE || step == SQLITE_ROW ? FR_OK : fr_db_fail(s->reader, step, err);
    fr_read_end(s);
    return rc;
}

// When the first of those that wait for a rate may start.
static int next_start(fr_store *s, fr_limit *scratch, int64_t *next, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->reader, FR_SQL_LIMITS, err);
    if (st == NULL) {
        return code_of(err);
    }
    int64_t now = fr_clock_wall_ns();
    int step;
    *next = INT64_MAX;
    while ((step = sqlite3_step(st)) == SQLITE_ROW) {
        if (sqlite3_column_int64(st, 3) > 0 && sqlite3_column_int64(st, 8) > 0) {
            read_limit(st, scratch);
            int64_t at = fr_limit_next_start(scratch, now);
            *next = at > now ? FR_MIN(*next, at) : *next;
        }
    }
    (void)sqlite3_reset(st);
    return step == SQLITE_DONE ? FR_OK : fr_db_fail(s->reader, step, err);
}

typedef struct news {
    uint32_t ask, n;
    int64_t granted, limit;
} news;

int fr_store_slots(fr_store_run *r, fr_slot_fn fn, void *ctx, int64_t *next, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    fr_store *s = r->store;
    int rc, step;
    *next = INT64_MAX;
    sqlite3_stmt *st = begin(s, FR_SQL_SLOT_NEWS, &rc, err);
    if (st == NULL) {
        return rc;
    }
    fr_limit *l = fr_alloc(sizeof *l);
    fr_buf all;
    fr_buf_init(&all, SIZE_MAX / 4);
    (void)sqlite3_bind_int64(st, 1, (int64_t)r->id);
    while ((step = sqlite3_step(st)) == SQLITE_ROW) {
        news n = {.ask = (uint32_t)sqlite3_column_int64(st, 0),
                  .granted = sqlite3_column_int64(st, 1), .limit = sqlite3_column_int64(st, 2),
                  .n = (uint32_t)sqlite3_column_int64(st, 3)};
        if (n.granted != -1) {
            fr_buf_put(&all, &n, sizeof n);
        }
    }
    (void)sqlite3_reset(st);
    if (step == SQLITE_DONE) {
        rc = next_start(s, l, next, err);
    }
    for (size_t at = 0; at < all.size && rc == FR_OK; at += sizeof(news)) {
        news n;
        memcpy(&n, all.data + at, sizeof n);
        char why[FR_ERR_MAX] = "";
        if (n.granted < 0 && get_limit(s->reader, n.limit, l, err) == FR_OK) {
            fr_limit_never(l, n.n, why, sizeof why);
        }
        fn(ctx, n.ask, why);
    }
    fr_buf_fini(&all);
    fr_free(l);
    int ended = end(s, step, err);
    return rc != FR_OK ? rc : ended;
}

int fr_store_slot_runs(fr_store_run *r, fr_slot_run_fn fn, void *ctx, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    fr_store *s = r->store;
    int rc, step;
    sqlite3_stmt *st = begin(s, FR_SQL_SLOT_RUNS, &rc, err);
    if (st == NULL) {
        return rc;
    }
    (void)sqlite3_bind_int64(st, 1, (int64_t)r->id);
    while ((step = sqlite3_step(st)) == SQLITE_ROW) {
        fn(ctx, (uint64_t)sqlite3_column_int64(st, 0));
    }
    (void)sqlite3_reset(st);
    return end(s, step, err);
}

int fr_store_run_pid(fr_store *s, uint64_t run)
{
    int pid = 0;
    return fr_run_lock_probe(s, run, &pid) ? pid : fr_run_reaper_probe(s, run) ? 0 : -1;
}

int fr_store_limits(fr_store *s, fr_limit_fn fn, void *ctx, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    int rc, step;
    sqlite3_stmt *st = begin(s, FR_SQL_LIMITS, &rc, err);
    if (st == NULL) {
        return rc;
    }
    fr_limit *l = fr_alloc(sizeof *l);
    while ((step = sqlite3_step(st)) == SQLITE_ROW && rc == FR_OK) {
        read_limit(st, l);
        rc = fn(ctx, l, err);
    }
    (void)sqlite3_reset(st);
    fr_free(l);
    int ended = end(s, step, err);
    return rc != FR_OK ? rc : ended;
}

int fr_store_slot_list(fr_store *s, size_t limit, fr_slot_info_fn fn, void *ctx, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    int rc, step;
    sqlite3_stmt *st = begin(s, FR_SQL_SLOT_LIST, &rc, err);
    if (st == NULL) {
        return rc;
    }
    (void)sqlite3_bind_int64(st, 1, (int64_t)FR_MIN(limit, (size_t)LIST_MAX));
    while ((step = sqlite3_step(st)) == SQLITE_ROW && rc == FR_OK) {
        const fr_slot_info info = {
            .limit = (const char *)sqlite3_column_text(st, 0),
            .run = (uint64_t)sqlite3_column_int64(st, 1),
            .row = (uint32_t)sqlite3_column_int64(st, 2),
            .name = (const char *)sqlite3_column_text(st, 3),
            .n = (uint32_t)sqlite3_column_int64(st, 4), .priority = sqlite3_column_int(st, 5),
            .since = sqlite3_column_int64(st, 6), .granted = sqlite3_column_int64(st, 7),
            .ask = (uint32_t)sqlite3_column_int64(st, 8)};
        rc = fn(ctx, &info, err);
    }
    (void)sqlite3_reset(st);
    int ended = end(s, step, err);
    return rc != FR_OK ? rc : ended;
}
