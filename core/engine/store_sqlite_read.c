// Look-ups through a second, read-only connection (engine.md E2). A snapshot is held for a
// quarter of a second at most: logs only grow, so a long scan goes on from where it was.

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/engine/item.h"
#include "core/engine/store_sqlite.h"

#include <sqlite3.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SNAPSHOT_NS = 250 * 1000 * 1000, CLOCK_ROWS = 512, MAX_NAMES = 1 << 24 };

static int code_of(const fr_err *err) { return err->code != FR_OK ? err->code : FR_EIO; }

// --- snapshots ---

int fr_read_open(fr_store *s, fr_err *err)
{
    return s->reader != NULL ? FR_OK : fr_db_open(s, true, &s->reader, err);
}

int fr_read_begin(fr_store *s, fr_err *err)
{
    int rc = fr_store_lock_readers(s->locks, false, err);
    if (rc != FR_OK) {
        return rc;
    }
    rc = fr_db_run(s->reader, FR_SQL_BEGIN_READ, err);
    if (rc != FR_OK) {
        fr_store_lock_readers_release(s->locks);
    }
    return rc;
}

void fr_read_end(fr_store *s)
{
    fr_db_rollback(s->reader);
    fr_store_lock_readers_release(s->locks);
}

// --- names ---

static int name_text(fr_db *db, int64_t id, const char **out, fr_err *err)
{
    *out = "";
    if (id <= 0 || id > MAX_NAMES) {
        return fr_fail(err, FR_ECORRUPT, "%s is damaged (name %" PRId64 ")", db->path, id);
    }
    size_t at = (size_t)id;
    if (at >= db->n_names) {
        size_t n = at * 2 + 64;
        db->names = fr_realloc(db->names, n * sizeof *db->names);
        memset(db->names + db->n_names, 0, (n - db->n_names) * sizeof *db->names);
        db->n_names = n;
    }
    if (db->names[at] == NULL) {
        sqlite3_stmt *st = fr_db_statement(db, FR_SQL_NAME_TEXT, err);
        if (st == NULL) {
            return code_of(err);
        }
        (void)sqlite3_bind_int64(st, 1, id);
        int rc = sqlite3_step(st);
        const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
        db->names[at] = text != NULL ? fr_strdup(text) : NULL;
        (void)sqlite3_reset(st);
        if (db->names[at] == NULL) {
            return rc == SQLITE_ROW || rc == SQLITE_DONE
                       ? fr_fail(err, FR_ECORRUPT, "%s is damaged (name %" PRId64 " is missing)",
                                 db->path, id)
                       : fr_db_fail(db, rc, err);
        }
    }
    *out = db->names[at];
    return FR_OK;
}

// --- one row ---

typedef struct row {
    fr_record rec;
    fr_value *result, *error;
    fr_buf label;
    fr_hash outputs[FR_STORE_OUTPUTS];
} row;

static int damaged(const fr_store *s, int64_t id, const char *what, fr_err *err)
{
    return fr_fail(err, FR_ECORRUPT,
                   "%s is damaged (%s of record %" PRId64 " of run %" PRId64
                   "): put back a copy, or move it away to start anew",
                   s->path, what, id & UINT32_MAX, id >> 32);
}

static void put_number(fr_buf *b, uint64_t n)
{
    char text[24];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    fr_buf_put(b, text + at, sizeof text - at);
}

bool fr_extra_parse(const uint8_t *bytes, size_t n, fr_extra *out)
{
    *out = (fr_extra){0};
    fr_reader r = fr_reader_of(bytes, n);
    uint64_t flags = n > 0 ? fr_read_varint(&r) : 0;
    out->flags = (uint32_t)flags;
    out->result_how = (uint8_t)(((flags & FR_X_RESULT_FILE) != 0 ? FR_STORED_FILE : 0) |
                                ((flags & FR_X_RESULT_OBJECTS) != 0 ? FR_STORED_OBJECTS : 0));
    out->error_how = (uint8_t)(((flags & FR_X_ERROR_FILE) != 0 ? FR_STORED_FILE : 0) |
                               ((flags & FR_X_ERROR_OBJECTS) != 0 ? FR_STORED_OBJECTS : 0));
    if ((flags & FR_X_LABEL_N) != 0) {
        out->number = fr_read_varint(&r);
    }
    if ((flags & (FR_X_LABEL_N | FR_X_LABEL)) != 0) {
        out->label_size = fr_read_varint(&r);
        out->label = fr_read_bytes(&r, out->label_size);
    }
    if ((flags & FR_X_LOG) != 0) {
        out->log_from = fr_read_varint(&r);
        out->log_to = out->log_from + fr_read_varint(&r);
    }
    if ((flags & FR_X_ERROR) != 0) {
        out->error_size = fr_read_varint(&r);
        out->error = fr_read_bytes(&r, out->error_size);
    }
    if ((flags & FR_X_OUTPUTS) != 0) {
        out->n_outputs = fr_read_varint(&r);
        r.failed = r.failed || out->n_outputs > FR_STORE_OUTPUTS;
        out->outputs = fr_read_bytes(&r, r.failed ? 0 : out->n_outputs * 16);
    }
    if ((flags & FR_X_ITEMS) != 0) {
        out->items = fr_read_varint(&r);
        out->failed_items = fr_read_varint(&r);
    }
    if ((flags & FR_X_PARENT) != 0) {
        out->parent = fr_read_varint(&r);
    }
    return !r.failed && r.at == r.end && out->items <= UINT32_MAX &&
           out->failed_items <= UINT32_MAX && out->parent <= UINT32_MAX;
}

static void make_label(const fr_extra *x, row *out)
{
    fr_buf *b = &out->label;
    fr_buf_clear(b);
    fr_buf_put(b, x->label, x->label_size);
    if ((x->flags & FR_X_LABEL_N) != 0) {
        const char *colon = strrchr(out->rec.name, ':');
        fr_buf_put_u8(b, '/');
        fr_buf_put_str(b, colon != NULL ? colon + 1 : out->rec.name);
        fr_buf_put_u8(b, '#');
        put_number(b, x->number);
    }
    out->rec.label = fr_buf_text(b);
}

// What most rows do not have. Gives how the result is stored.
static int read_extra(fr_loader *l, const uint8_t *bytes, size_t n, int64_t id, row *out,
                      uint8_t *how, fr_err *err)
{
    fr_extra x;
    if (!fr_extra_parse(bytes, n, &x)) {
        return damaged(l->store, id, "the details", err);
    }
    *how = x.result_how;
    if (x.label != NULL) {
        make_label(&x, out);
    }
    out->rec.log_from = x.log_from;
    out->rec.log_to = x.log_to;
    out->rec.parent = (uint32_t)x.parent;
    out->rec.items = (uint32_t)x.items;
    out->rec.failed_items = (uint32_t)x.failed_items;
    for (size_t i = 0; i < x.n_outputs; i++) {
        out->outputs[i] = fr_hash_load(x.outputs + 16 * i);
    }
    out->rec.outputs = x.n_outputs > 0 ? out->outputs : NULL;
    out->rec.n_outputs = (uint32_t)x.n_outputs;
    if (x.error == NULL) {
        return FR_OK;
    }
    return fr_loader_value(l, x.error, x.error_size, x.error_how, &out->error, err);
}

static int64_t column_delta(sqlite3_stmt *st, int column)
{
    return sqlite3_column_type(st, column) == SQLITE_NULL ? FR_ROW_NULL
                                                          : sqlite3_column_int64(st, column);
}

uint32_t fr_row_columns(sqlite3_stmt *st, fr_row_sum *sum, fr_row_bytes *b)
{
    *sum = (fr_row_sum){
        .id = sqlite3_column_int64(st, 0), .row = sqlite3_column_int64(st, 1),
        .name = sqlite3_column_int64(st, 2), .what = sqlite3_column_int64(st, 3),
        .queued = sqlite3_column_int64(st, 4), .wait = column_delta(st, 5),
        .took = column_delta(st, 6),
    };
    const uint8_t *ids = sqlite3_column_blob(st, 7);
    *b = (fr_row_bytes){.result = sqlite3_column_blob(st, 8), .extra = sqlite3_column_blob(st, 9)};
    b->result_size = (size_t)sqlite3_column_bytes(st, 8);
    b->extra_size = (size_t)sqlite3_column_bytes(st, 9);
    if (ids == NULL || sqlite3_column_bytes(st, 7) != 36) {
        return 0;                              // no sum of a whole row, but for one in 2^32
    }
    memcpy(sum->ids, ids, 32);
    sum->result = b->result != NULL ? fr_hash_bytes(b->result, b->result_size).lo : 0;
    sum->extra = b->extra != NULL ? fr_hash_bytes(b->extra, b->extra_size).lo : 0;
    return (uint32_t)ids[32] | (uint32_t)ids[33] << 8 | (uint32_t)ids[34] << 16 |
           (uint32_t)ids[35] << 24;
}

static int read_row(fr_loader *l, sqlite3_stmt *st, row *out, fr_err *err)
{
    fr_store *s = l->store;
    fr_row_sum sum;
    fr_row_bytes b;
    if (fr_row_columns(st, &sum, &b) != fr_row_sum_of(&sum)) {
        return damaged(s, sum.id, "the checksum", err);
    }
    out->rec = (fr_record){
        .seq = (uint64_t)sum.id & UINT32_MAX, .row = (uint32_t)sum.row,
        .state = (fr_state)(sum.what & 15), .reason = (fr_reason)(sum.what >> 4 & 255),
        .kind = (fr_call_kind)(sum.what >> 12 & 15), .attempt = (uint32_t)(sum.what >> 16),
        .key = fr_hash_load(sum.ids), .args = fr_hash_load(sum.ids + 16), .queued = sum.queued,
    };
    out->rec.started = sum.wait != FR_ROW_NULL ? sum.queued + sum.wait : 0;
    out->rec.ended = sum.took == FR_ROW_NULL  ? 0
                     : out->rec.started != 0 ? out->rec.started + sum.took
                                             : sum.queued + sum.took;
    int rc = name_text(s->reader, sum.name, &out->rec.name, err);
    uint8_t how = 0;
    if (rc == FR_OK && b.extra != NULL) {
        rc = read_extra(l, b.extra, b.extra_size, sum.id, out, &how, err);
    }
    if (rc == FR_OK && b.result != NULL) {
        rc = fr_loader_value(l, b.result, b.result_size, how, &out->result, err);
    }
    out->rec.result = out->result;
    out->rec.error = out->error;
    return rc != FR_OK ? fr_wrap(err, rc, "record %" PRIu64 " of run %" PRId64 " (%s)",
                                 out->rec.seq, sum.id >> 32, out->rec.name)
                       : FR_OK;
}

static int read_map_part(fr_loader *l, sqlite3_stmt *st, row *out, fr_err *err)
{
    int64_t id = sqlite3_column_int64(st, 0);
    out->rec = (fr_record){
        .type = FR_REC_MAP_PART, .kind = FR_CALL_MAP, .seq = (uint64_t)id & UINT32_MAX,
        .row = (uint32_t)sqlite3_column_int64(st, 1),
        .items = (uint32_t)sqlite3_column_int64(st, 2), .data = sqlite3_column_blob(st, 5),
        .size = (size_t)sqlite3_column_bytes(st, 5), .name = "",
    };
    const void *data = out->rec.data != NULL ? out->rec.data : "";
    if ((int64_t)(fr_hash_bytes(data, out->rec.size).lo & INT64_MAX) !=
        sqlite3_column_int64(st, 4)) {
        return damaged(l->store, id, "the checksum", err);
    }
    if (sqlite3_column_int(st, 3) == 0) {
        return FR_OK;
    }
    fr_reader r = fr_reader_of(data, out->rec.size);
    fr_item_done item;
    if (!fr_item_next(&r, &item)) {
        return damaged(l->store, id, "the items", err);
    }
    int rc = fr_loader_value(l, item.value, item.size, FR_STORED_OBJECTS, &out->result, err);
    out->rec.result = out->result;
    return rc;
}

static int read_journal(fr_loader *l, sqlite3_stmt *st, row *out, fr_err *err)
{
    int rc = read_row(l, st, out, err);
    out->rec.type = (fr_record_type)sqlite3_column_int(st, 10);
    out->rec.due = sqlite3_column_int64(st, 11);
    out->rec.data = sqlite3_column_blob(st, 12);
    out->rec.size = (size_t)sqlite3_column_bytes(st, 12);
    return rc;
}

// --- a run's log ---

typedef struct scan {
    fr_loader load;
    row row;
    fr_db *db;
    uint64_t run;
    unsigned types;                            // bits; 0 = all
    uint64_t last;                             // seq of the last record
    int64_t next;                              // id to go on from; INT64_MAX = all is read
    sqlite3_stmt *cursors[FR_TABLES];            // tasks, journal, map parts
    int64_t at[FR_TABLES];                       // id each stands on; INT64_MAX = at its end
    fr_record_fn fn;
    fr_raw_fn raw;                             // instead of fn
    void *ctx;
    bool ended;                                // the run says so
} scan;

static int advance(scan *c, int i, fr_err *err)
{
    int rc = sqlite3_step(c->cursors[i]);
    c->at[i] = rc == SQLITE_ROW ? sqlite3_column_int64(c->cursors[i], 0) : INT64_MAX;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? FR_OK : fr_db_fail(c->db, rc, err);
}

static int start_cursors(scan *c, fr_err *err)
{
    static const fr_sql which[FR_TABLES] = {FR_SQL_TASKS, FR_SQL_JOURNALS, FR_SQL_MAP_PARTS};
    static const unsigned tables[FR_TABLES] = {
        1u << FR_REC_TASK,
        ~(1u << FR_REC_TASK | 1u << FR_REC_START | 1u << FR_REC_MAP_PART),
        1u << FR_REC_MAP_PART,
    };
    int rc = FR_OK;
    for (int i = 0; i < FR_TABLES && rc == FR_OK; i++) {
        c->at[i] = INT64_MAX;
        if (c->types != 0 && (c->types & tables[i]) == 0) {
            continue;
        }
        c->cursors[i] = fr_db_statement(c->db, which[i], err);
        if (c->cursors[i] == NULL) {
            return code_of(err);
        }
        (void)sqlite3_bind_int64(c->cursors[i], 1, c->next);
        (void)sqlite3_bind_int64(c->cursors[i], 2, fr_row_last(c->run));
        rc = advance(c, i, err);
    }
    return rc;
}

static int deliver(scan *c, int rc, fr_err *err)
{
    if (rc == FR_OK && (c->types == 0 || (c->types >> c->row.rec.type & 1) != 0)) {
        rc = c->fn(c->ctx, &c->row.rec, err);
    }
    fr_value_unref(c->row.result);
    fr_value_unref(c->row.error);
    c->row.result = c->row.error = NULL;
    return rc;
}

static int next_record(scan *c, int from, fr_err *err)
{
    int rc;
    if (c->raw != NULL) {
        return c->raw(c->ctx, from, c->cursors[from], err);
    }
    switch (from) {
    case FR_TABLE_TASK:
        rc = read_row(&c->load, c->cursors[0], &c->row, err);
        c->row.rec.type = FR_REC_TASK;
        break;
    case FR_TABLE_JOURNAL:
        rc = read_journal(&c->load, c->cursors[1], &c->row, err);
        break;
    default:
        rc = read_map_part(&c->load, c->cursors[2], &c->row, err);
        break;
    }
    return deliver(c, rc, err);
}

// Delivers records in log order until the end, an error, or the snapshot is old.
static int scan_part(scan *c, fr_err *err)
{
    int64_t until = fr_clock_mono_ns() + SNAPSHOT_NS;
    int rc = start_cursors(c, err);
    for (unsigned n = 1; rc == FR_OK; n++) {
        int from = c->at[1] < c->at[0] ? 1 : 0;
        from = c->at[2] < c->at[from] ? 2 : from;
        if (c->at[from] == INT64_MAX) {
            c->next = INT64_MAX;
            break;
        }
        if (c->types == 0 && c->at[from] != c->next) {   // the log has no gaps
            return damaged(c->load.store, c->next, "the absence", err);
        }
        c->next = c->at[from] + 1;
        c->last = (uint64_t)c->at[from] & UINT32_MAX;
        rc = next_record(c, from, err);
        if (rc == FR_OK) {
            rc = advance(c, from, err);
        }
        if (n % CLOCK_ROWS == 0 && fr_clock_mono_ns() > until) {
            break;
        }
    }
    return rc;
}

// A run that has ended says how many records it has: nothing else notices a lost end.
static int check_end(scan *c, uint64_t n, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(c->db, FR_SQL_RUN_RECORDS, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, (int64_t)c->run);
    int rc = sqlite3_step(st);
    c->ended = rc == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL;
    uint64_t want = c->ended ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
    (void)sqlite3_reset(st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        return fr_db_fail(c->db, rc, err);
    }
    return c->ended && want != n
               ? damaged(c->load.store, fr_row_first(c->run) + (int64_t)n + 1, "the absence", err)
               : FR_OK;
}

static int scan_running(scan *c, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(c->db, FR_SQL_RUNNINGS, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, fr_row_first(c->run));
    (void)sqlite3_bind_int64(st, 2, fr_row_last(c->run));
    int step, rc = FR_OK;
    bool wanted = c->types == 0 || (c->types & 1u << FR_REC_START) != 0;
    while (wanted && rc == FR_OK && (step = sqlite3_step(st)) != SQLITE_DONE) {
        if (step != SQLITE_ROW) {
            return fr_db_fail(c->db, step, err);
        }
        rc = read_row(&c->load, st, &c->row, err);
        c->row.rec.type = FR_REC_START;
        c->row.rec.seq = 0;
        rc = deliver(c, rc, err);
    }
    return rc;
}

int fr_store_records(fr_store *s, uint64_t run, fr_record_fn fn, void *ctx, fr_err *err)
{
    return fr_store_scan(s, run, 0, 1, fn, ctx, err);
}

// Runs over a log in pieces, one snapshot each.
static int run_scan(scan *c, fr_err *err)
{
    fr_store *s = c->load.store;
    int rc = FR_OK;
    while (rc == FR_OK && c->next != INT64_MAX) {
        rc = fr_read_begin(s, err);
        if (rc != FR_OK) {
            break;
        }
        rc = scan_part(c, err);
        if (rc == FR_OK && c->next == INT64_MAX && c->types == 0) {
            rc = check_end(c, c->last, err);
        }
        if (rc == FR_OK && c->next == INT64_MAX && c->raw == NULL) {
            rc = scan_running(c, err);
        }
        fr_read_end(s);
    }
    return rc;
}

int fr_store_scan(fr_store *s, uint64_t run, unsigned types, uint64_t from, fr_record_fn fn,
                  void *ctx, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    int rc = fr_read_open(s, err);
    if (rc != FR_OK || run == 0 || run > INT32_MAX) {
        return rc;
    }
    scan *c = fr_zalloc(sizeof *c);
    from = FR_MAX(FR_MIN(from, UINT32_MAX), (uint64_t)1);
    *c = (scan){.load.store = s, .db = s->reader, .run = run, .types = types, .fn = fn,
                .ctx = ctx, .next = fr_row_first(run) + (int64_t)from, .last = from - 1};
    fr_buf_init(&c->row.label, FR_VALUE_MAX);
    rc = run_scan(c, err);
    fr_loader_fini(&c->load);
    fr_buf_fini(&c->row.label);
    fr_free(c);
    return rc;
}

int fr_read_raw(fr_store *s, uint64_t run, fr_raw_fn fn, void *ctx, bool *ended, fr_err *err)
{
    *ended = false;
    if (run == 0 || run > INT32_MAX) {
        return FR_OK;
    }
    scan *c = fr_zalloc(sizeof *c);
    *c = (scan){.load.store = s, .db = s->reader, .run = run, .raw = fn, .ctx = ctx,
                .next = fr_row_first(run) + 1};
    int rc = run_scan(c, err);
    *ended = c->ended;
    fr_free(c);
    return rc;
}

// --- one result ---

// The item of a part: a result without objects.
static int item_result(fr_loader *l, int64_t record, uint32_t item, fr_value **out, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(l->store->reader, FR_SQL_MAP_PARTS, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, record);
    (void)sqlite3_bind_int64(st, 2, record);
    row *r = fr_zalloc(sizeof *r);
    int step = sqlite3_step(st);
    int rc = step == SQLITE_ROW    ? read_map_part(l, st, r, err)
             : step == SQLITE_DONE ? FR_ENOTFOUND
                                   : fr_db_fail(l->store->reader, step, err);
    fr_reader at = fr_reader_of(r->rec.data, rc == FR_OK ? r->rec.size : 0);
    for (fr_item_done d; rc == FR_OK && *out == NULL && fr_item_next(&at, &d);) {
        bool good = d.index + 1 == item && (d.flags & (FR_ITEM_FAILED | FR_ITEM_CANCELLED)) == 0;
        *out = good ? fr_value_new(d.value, d.size, NULL, 0) : NULL;
    }
    fr_value_unref(r->result);
    fr_free(r);
    (void)sqlite3_reset(st);
    return rc == FR_OK && *out == NULL ? damaged(l->store, record, "an item", err) : rc;
}

static int row_result(fr_loader *l, int64_t record, const char *task, fr_value **out, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(l->store->reader, FR_SQL_TASKS, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, record);
    (void)sqlite3_bind_int64(st, 2, record);
    row *r = fr_zalloc(sizeof *r);
    fr_buf_init(&r->label, FR_VALUE_MAX);
    int step = sqlite3_step(st);
    int rc = step == SQLITE_ROW    ? read_row(l, st, r, err)
             : step == SQLITE_DONE ? FR_ENOTFOUND
                                   : fr_db_fail(l->store->reader, step, err);
    if (rc == FR_OK) {
        bool right = r->rec.state == FR_SUCCESS && r->result != NULL &&
                     strcmp(r->rec.name, task) == 0;
        *out = right ? fr_value_ref(r->result) : NULL;
        rc = right ? FR_OK : damaged(l->store, record, "the result", err);
    }
    fr_value_unref(r->result);
    fr_value_unref(r->error);
    fr_buf_fini(&r->label);
    fr_free(r);
    (void)sqlite3_reset(st);
    return rc;
}

int fr_read_result(fr_loader *l, int64_t record, uint32_t item, const char *task, fr_value **out,
                   fr_err *err)
{
    *out = NULL;
    int rc = row_result(l, record, task, out, err);
    return rc == FR_ENOTFOUND && item > 0 ? item_result(l, record, item, out, err) : rc;
}

// --- runs ---

static int run_value(fr_loader *l, sqlite3_stmt *st, int column, fr_value **out, fr_err *err)
{
    const uint8_t *bytes = sqlite3_column_blob(st, column);
    size_t n = (size_t)sqlite3_column_bytes(st, column);
    *out = NULL;
    return n < 1 ? FR_OK : fr_loader_value(l, bytes + 1, n - 1, bytes[0], out, err);
}

static int one_run(fr_loader *l, sqlite3_stmt *st, fr_run_fn fn, void *ctx, fr_err *err)
{
    fr_value *params = NULL, *result = NULL, *error = NULL;
    const uint8_t *bundle = sqlite3_column_blob(st, 3);
    fr_run_info info = {
        .id = (uint64_t)sqlite3_column_int64(st, 0),
        .file = (const char *)sqlite3_column_text(st, 2),
        .seed = (uint64_t)sqlite3_column_int64(st, 5),
        .state = (fr_state)sqlite3_column_int(st, 6),
        .reason = (fr_reason)sqlite3_column_int(st, 7),
        .attempt = (uint32_t)sqlite3_column_int64(st, 8),
        .started = sqlite3_column_int64(st, 9), .ended = sqlite3_column_int64(st, 10),
        .options = (const char *)sqlite3_column_text(st, 13),
    };
    if (bundle != NULL && sqlite3_column_bytes(st, 3) == 16) {
        info.bundle = fr_hash_load(bundle);
    }
    int rc = name_text(l->store->reader, sqlite3_column_int64(st, 1), &info.flow, err);
    if (rc == FR_OK) {
        rc = run_value(l, st, 4, &params, err);
    }
    if (rc == FR_OK) {
        rc = run_value(l, st, 11, &result, err);
    }
    if (rc == FR_OK) {
        rc = run_value(l, st, 12, &error, err);
    }
    if (rc == FR_OK) {
        info.params = params;
        info.result = result;
        info.error = error;
        rc = fn(ctx, &info, err);
    } else {
        rc = fr_wrap(err, rc, "run %" PRIu64, info.id);
    }
    fr_value_unref(params);
    fr_value_unref(result);
    fr_value_unref(error);
    return rc;
}

int fr_store_runs(fr_store *s, uint64_t run, size_t limit, fr_run_fn fn, void *ctx, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    int rc = fr_read_open(s, err);
    sqlite3_stmt *st = rc == FR_OK ? fr_db_statement(s->reader, FR_SQL_RUNS, err) : NULL;
    if (st == NULL) {
        return rc != FR_OK ? rc : code_of(err);
    }
    rc = fr_read_begin(s, err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_loader l = {.store = s};
    (void)sqlite3_bind_int64(st, 1, (int64_t)run);
    (void)sqlite3_bind_int64(st, 2, (int64_t)FR_MIN(limit, (size_t)INT32_MAX));
    int step;
    while (rc == FR_OK && (step = sqlite3_step(st)) != SQLITE_DONE) {
        rc = step == SQLITE_ROW ? one_run(&l, st, fn, ctx, err) : fr_db_fail(s->reader, step, err);
    }
    fr_read_end(s);
    fr_loader_fini(&l);
    return rc;
}

// --- blobs and requests ---

int fr_store_blob_get(fr_store *s, fr_hash key, fr_buf *out, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    int rc = fr_read_open(s, err);
    sqlite3_stmt *st = rc == FR_OK ? fr_db_statement(s->reader, FR_SQL_BLOB_GET, err) : NULL;
    if (st == NULL) {
        return rc != FR_OK ? rc : code_of(err);
    }
    rc = fr_read_begin(s, err);
    if (rc != FR_OK) {
        return rc;
    }
    uint8_t bytes[16];
    int64_t id;
    fr_hash_store(key, bytes);
    memcpy(&id, &key.lo, sizeof id);
    (void)sqlite3_bind_int64(st, 1, id);
    (void)sqlite3_bind_blob(st, 2, bytes, sizeof bytes, SQLITE_STATIC);
    int step = sqlite3_step(st);
    if (step == SQLITE_ROW) {
        size_t n = (size_t)sqlite3_column_bytes(st, 0);
        rc = fr_buf_reserve(out, n, err);
        if (rc == FR_OK) {
            fr_buf_put(out, sqlite3_column_blob(st, 0), n);
        }
    } else if (step == SQLITE_DONE) {
        char hex[FR_HASH_TEXT];
        fr_hash_text(key, hex);
        rc = fr_fail(err, FR_ENOTFOUND, "there is no source bundle %s in %s", hex, s->home);
    } else {
        rc = fr_db_fail(s->reader, step, err);
    }
    fr_read_end(s);
    return rc;
}

int fr_store_requests(fr_store_run *r, fr_request_fn fn, void *ctx, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    fr_store *s = r->store;
    fr_wake_drain(r->wake_fd);                 // before looking: what comes later wakes again
    int rc = fr_read_open(s, err);
    sqlite3_stmt *st = rc == FR_OK ? fr_db_statement(s->reader, FR_SQL_REQUESTS, err) : NULL;
    if (st == NULL) {
        return rc != FR_OK ? rc : code_of(err);
    }
    rc = fr_read_begin(s, err);
    if (rc != FR_OK) {
        return rc;
    }
    (void)sqlite3_bind_int64(st, 1, (int64_t)r->id);
    (void)sqlite3_bind_int64(st, 2, (int64_t)r->request_seen);
    int step;
    while ((step = sqlite3_step(st)) == SQLITE_ROW) {
        const char *json = (const char *)sqlite3_column_text(st, 2);
        r->request_seen = (uint64_t)sqlite3_column_int64(st, 0);
        fn(ctx, r->request_seen, (const char *)sqlite3_column_text(st, 1),
           json != NULL ? json : "");
    }
    rc = step == SQLITE_DONE ? FR_OK : fr_db_fail(s->reader, step, err);
    fr_read_end(s);
    return rc;
}
