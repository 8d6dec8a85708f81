// Entries of the queue become rows. On the store's thread, inside a write transaction.

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/engine/store_sqlite.h"

#include <sqlite3.h>

#include <inttypes.h>
#include <string.h>

// The code of a failed preparation or bind.
static int code_of(const fr_err *err) { return err->code != FR_OK ? err->code : FR_EIO; }

static sqlite3_int64 as_signed(uint64_t v)
{
    int64_t out;
    memcpy(&out, &v, sizeof out);
    return out;
}

// --- names ---

static void know_name(fr_store *s, const fr_queued *q)
{
    if (q->name >= s->name_ids_room) {
        uint32_t room = q->name * 2 + 64;
        s->name_ids = fr_realloc(s->name_ids, room * sizeof *s->name_ids);
        s->name_known = fr_realloc(s->name_known, room * sizeof *s->name_known);
        for (uint32_t i = s->name_ids_room; i < room; i++) {
            s->name_ids[i] = 0;
            s->name_known[i] = NULL;
        }
        s->name_ids_room = room;
    }
    if (s->name_known[q->name] == NULL) {
        s->name_known[q->name] = fr_strdup(fr_queued_open(q).label);
    }
}

static int intern(fr_store *s, const char *text, uint64_t *id, fr_err *err)
{
    sqlite3_stmt *get = fr_db_statement(s->db, FR_SQL_NAME_ID, err);
    sqlite3_stmt *add = fr_db_statement(s->db, FR_SQL_NAME_PUT, err);
    if (get == NULL || add == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_text(get, 1, text, -1, SQLITE_STATIC);
    int rc = sqlite3_step(get);
    if (rc == SQLITE_ROW) {
        *id = (uint64_t)sqlite3_column_int64(get, 0);
        (void)sqlite3_reset(get);
        return FR_OK;
    }
    (void)sqlite3_reset(get);
    if (rc != SQLITE_DONE) {
        return fr_db_fail(s->db, rc, err);
    }
    (void)sqlite3_bind_text(add, 1, text, -1, SQLITE_STATIC);
    rc = fr_db_step(s->db, add, err);
    *id = (uint64_t)sqlite3_last_insert_rowid(s->db->handle);
    return rc;
}

static int name_id(fr_store *s, uint32_t index, uint64_t *id, fr_err *err)
{
    *id = s->name_ids[index];
    if (FR_LIKELY(*id != 0)) {
        return FR_OK;
    }
    int rc = intern(s, s->name_known[index], id, err);
    s->name_ids[index] = rc == FR_OK ? *id : 0;
    return rc;
}

// --- packing ---

// A label "0.2/fetch#17" of the task "mod:fetch" is its branch and its number.
static bool short_label(const char *label, size_t n, const char *name, size_t *branch,
                        uint64_t *number)
{
    const char *colon = strrchr(name, ':');
    const char *task = colon != NULL ? colon + 1 : name;
    size_t digits = 0;
    while (digits < n && digits < 18 && label[n - 1 - digits] >= '0' &&
           label[n - 1 - digits] <= '9') {
        digits++;
    }
    size_t length = strlen(task), tail = 1 + length + 1 + digits;   // "/" task "#" digits
    if (digits == 0 || n < tail || label[n - digits - 1] != '#' ||
        (label[n - digits] == '0' && digits > 1) || label[n - tail] != '/' ||
        memcmp(label + n - tail + 1, task, length) != 0) {
        return false;
    }
    *branch = n - tail;
    *number = 0;
    for (size_t i = n - digits; i < n; i++) {
        *number = *number * 10 + (uint64_t)(label[i] - '0');
    }
    return true;
}

static void pack_extra(fr_buf *b, const fr_queued *q, const fr_queued_parts *p, const char *name)
{
    size_t branch = 0, label = q->has_label ? q->label_size - 1 : 0;
    uint64_t number = 0;
    uint32_t flags = 0;
    if (q->has_label) {
        flags |= short_label(p->label, label, name, &branch, &number) ? FR_X_LABEL_N : FR_X_LABEL;
    }
    flags |= q->log_to > q->log_from ? FR_X_LOG : 0;
    flags |= (q->result_how & FR_STORED_FILE) != 0 ? FR_X_RESULT_FILE : 0;
    flags |= (q->result_how & FR_STORED_OBJECTS) != 0 ? FR_X_RESULT_OBJECTS : 0;
    flags |= q->has_error ? FR_X_ERROR : 0;
    flags |= (q->error_how & FR_STORED_FILE) != 0 ? FR_X_ERROR_FILE : 0;
    flags |= (q->error_how & FR_STORED_OBJECTS) != 0 ? FR_X_ERROR_OBJECTS : 0;
    flags |= q->n_outputs > 0 ? FR_X_OUTPUTS : 0;
    flags |= (q->items | q->failed_items) != 0 ? FR_X_ITEMS : 0;
    flags |= q->parent != 0 ? FR_X_PARENT : 0;
    fr_buf_clear(b);
    if (flags == 0) {
        return;
    }
    fr_buf_put_varint(b, flags);
    if ((flags & FR_X_LABEL_N) != 0) {
        fr_buf_put_varint(b, number);
        fr_buf_put_varint(b, branch);
        fr_buf_put(b, p->label, branch);
    } else if ((flags & FR_X_LABEL) != 0) {
        fr_buf_put_varint(b, label);
        fr_buf_put(b, p->label, label);
    }
    if ((flags & FR_X_LOG) != 0) {
        fr_buf_put_varint(b, q->log_from);
        fr_buf_put_varint(b, q->log_to - q->log_from);
    }
    if ((flags & FR_X_ERROR_FILE) != 0) {
        uint8_t hash[16];
        fr_hash_store(q->error->hash, hash);
        fr_buf_put_varint(b, sizeof hash);
        fr_buf_put(b, hash, sizeof hash);
    } else if ((flags & FR_X_ERROR) != 0) {
        fr_buf_put_varint(b, q->error_size);
        fr_buf_put(b, p->error, q->error_size);
    }
    if ((flags & FR_X_OUTPUTS) != 0) {
        fr_buf_put_varint(b, q->n_outputs);
        fr_buf_put(b, p->outputs, (size_t)q->n_outputs * 16);
    }
    if ((flags & FR_X_ITEMS) != 0) {
        fr_buf_put_varint(b, q->items);
        fr_buf_put_varint(b, q->failed_items);
    }
    if ((flags & FR_X_PARENT) != 0) {
        fr_buf_put_varint(b, q->parent);
    }
}

static void bind_delta(sqlite3_stmt *st, int column, int64_t value)
{
    if (value == FR_ROW_NULL) {
        (void)sqlite3_bind_null(st, column);
    } else {
        (void)sqlite3_bind_int64(st, column, value);
    }
}

// What a statement is bound to until it has been stepped.
typedef struct bound {
    fr_row_sum sum;
    fr_row_bytes bytes;
    uint8_t ids[36], hash[16];
} bound;

static void bind_bytes(sqlite3_stmt *st, int column, bool has, const uint8_t *bytes, size_t n)
{
    if (has) {
        (void)sqlite3_bind_blob64(st, column, bytes, n, SQLITE_STATIC);
    } else {
        (void)sqlite3_bind_null(st, column);
    }
}

static void bind_columns(sqlite3_stmt *st, const bound *b, bool has_result)
{
    (void)sqlite3_bind_int64(st, 1, b->sum.id);
    (void)sqlite3_bind_int64(st, 2, b->sum.row);
    (void)sqlite3_bind_int64(st, 3, b->sum.name);
    (void)sqlite3_bind_int64(st, 4, b->sum.what);
    (void)sqlite3_bind_int64(st, 5, b->sum.queued);
    bind_delta(st, 6, b->sum.wait);
    bind_delta(st, 7, b->sum.took);
    (void)sqlite3_bind_blob(st, 8, b->ids, sizeof b->ids, SQLITE_STATIC);
    bind_bytes(st, 9, has_result, b->bytes.result, b->bytes.result_size);
    bind_bytes(st, 10, b->bytes.extra_size > 0, b->bytes.extra, b->bytes.extra_size);
}

// Binds the ten columns that task, running and journal share.
static int bind_row(fr_store *s, sqlite3_stmt *st, const fr_queued *q, int64_t id, bound *b,
                    fr_err *err)
{
    fr_queued_parts p = fr_queued_open(q);
    uint64_t name;
    int rc = name_id(s, q->name, &name, err);
    if (rc != FR_OK) {
        return rc;
    }
    int64_t started = q->started != 0 ? q->started : q->queued;
    b->sum = (fr_row_sum){
        .id = id, .row = q->row, .name = as_signed(name), .queued = q->queued,
        .what = (int64_t)q->state | (int64_t)q->reason << 4 | (int64_t)q->kind << 12 |
                (int64_t)q->attempt << 16,
        .wait = q->started != 0 ? q->started - q->queued : FR_ROW_NULL,
        .took = q->ended != 0 ? q->ended - started : FR_ROW_NULL,
    };
    b->bytes = (fr_row_bytes){.result = p.result, .result_size = q->result_size,
                              .data = p.data, .data_size = q->data_size,
                              .due = q->due != 0 ? q->due : FR_ROW_NULL};
    if ((q->result_how & FR_STORED_FILE) != 0) {
        fr_hash_store(q->result->hash, b->hash);
        b->bytes.result = b->hash;
        b->bytes.result_size = sizeof b->hash;
    }
    pack_extra(&s->scratch, q, &p, s->name_known[q->name]);
    b->bytes.extra = s->scratch.data;
    b->bytes.extra_size = s->scratch.size;
    fr_hash_store(q->key, b->ids);
    fr_hash_store(q->args, b->ids + 16);
    memcpy(b->sum.ids, b->ids, 32);
    b->sum.result = q->has_result ? fr_hash_bytes(b->bytes.result, b->bytes.result_size).lo : 0;
    b->sum.extra = s->scratch.size > 0 ? fr_hash_bytes(s->scratch.data, s->scratch.size).lo : 0;
    uint32_t check = fr_row_sum_of(&b->sum);
    for (int i = 0; i < 4; i++) {
        b->ids[32 + i] = (uint8_t)(check >> (8 * i));
    }
    bind_columns(st, b, q->has_result);
    return FR_OK;
}

// --- START: advice for people, in a table of its own ---

static fr_hash row_key(uint32_t row)
{
    return (fr_hash){.lo = (uint64_t)row * 0x9e3779b97f4a7c15ULL, .hi = 1};
}

enum { ON_DISK = 0 };                          // value of fr_store_run.running; else offset + 1

// What was running has ended or failed: a START of this batch is never written, one of an
// earlier batch goes.
static int not_running(fr_store *s, fr_store_run *r, uint32_t row, fr_err *err)
{
    if (r->running.count == 0) {
        return FR_OK;
    }
    fr_hash key = row_key(row);
    const uint64_t *where = fr_map_find(&r->running, key);
    if (where == NULL) {
        return FR_OK;
    }
    int rc = FR_OK;
    if (*where == ON_DISK) {
        sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_NOT_RUNNING, err);
        if (st == NULL) {
            return code_of(err);
        }
        (void)sqlite3_bind_int64(st, 1, fr_row_first(r->id) + row);
        rc = fr_db_step(s->db, st, err);
    }
    (void)fr_map_remove(&r->running, key);
    return rc;
}

static int write_start(fr_store *s, const fr_queued *q, size_t offset, fr_err *err)
{
    bool fresh;
    uint64_t *where = fr_map_put(&q->run->running, row_key(q->row), &fresh);
    if (!fresh && *where == ON_DISK) {         // the next attempt: replaced at once
        sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_RUNNING, err);
        bound b;
        int rc = st == NULL ? code_of(err)
                            : bind_row(s, st, q, fr_row_first(q->run->id) + q->row, &b, err);
        return rc == FR_OK ? fr_db_step(s->db, st, err) : rc;
    }
    *where = offset + 1;
    fr_buf_put(&s->starts, &offset, sizeof offset);
    return FR_OK;
}

static int write_starts(fr_store *s, fr_err *err)
{
    int rc = FR_OK;
    for (size_t i = 0; i + sizeof(size_t) <= s->starts.size && rc == FR_OK;
         i += sizeof(size_t)) {
        size_t offset;
        memcpy(&offset, s->starts.data + i, sizeof offset);
        const fr_queued *q = (const fr_queued *)(const void *)(s->work.data + offset);
        uint64_t *where = fr_map_find(&q->run->running, row_key(q->row));
        if (where == NULL || *where != offset + 1) {
            continue;                          // ended in this batch, or started again
        }
        sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_RUNNING, err);
        bound b;
        rc = st == NULL ? code_of(err)
                        : bind_row(s, st, q, fr_row_first(q->run->id) + q->row, &b, err);
        if (rc == FR_OK) {
            rc = fr_db_step(s->db, st, err);
        }
        *where = ON_DISK;
    }
    return rc;
}

// --- records ---

static fr_sha256_state *audit_of(fr_store_run *r)
{
    if (!r->audited) {
        fr_audit_begin(&r->audit, r->chain);
        r->audited = true;
    }
    return &r->audit;
}

static int write_task(fr_store *s, const fr_queued *q, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_TASK, err);
    bound b;
    int rc = st == NULL ? code_of(err)
                        : bind_row(s, st, q, fr_row_first(q->run->id) + (int64_t)q->seq, &b, err);
    if (rc == FR_OK) {
        rc = fr_db_step(s->db, st, err);
    }
    if (rc == FR_OK && q->data_size > 0) {     // rows of their own: not in the record's sum
        b.bytes.data = NULL;
        b.bytes.data_size = 0;
        rc = fr_outbox_insert(s, q, err);
    }
    if (rc != FR_OK) {
        return rc;
    }
    fr_audit_row(audit_of(q->run), FR_REC_TASK, &b.sum, &b.bytes);
    return not_running(s, q->run, q->row, err);
}

static int request_taken(fr_store *s, uint32_t id, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_REQUEST_TAKEN, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, id);
    return fr_db_step(s->db, st, err);
}

static int write_journal(fr_store *s, const fr_queued *q, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_JOURNAL, err);
    bound b;
    int rc = st == NULL ? code_of(err)
                        : bind_row(s, st, q, fr_row_first(q->run->id) + (int64_t)q->seq, &b, err);
    if (rc != FR_OK) {
        return rc;
    }
    (void)sqlite3_bind_int(st, 11, q->type);
    bind_delta(st, 12, b.bytes.due);
    bind_bytes(st, 13, q->data_size > 0, b.bytes.data, q->data_size);
    rc = fr_db_step(s->db, st, err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_audit_row(audit_of(q->run), q->type, &b.sum, &b.bytes);
    if (q->type == FR_REC_RETRY) {
        return not_running(s, q->run, q->row, err);
    }
    return q->type == FR_REC_REQUEST && q->row != 0 ? request_taken(s, q->row, err) : FR_OK;
}

static int write_map_part(fr_store *s, const fr_queued *q, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_MAP_PART, err);
    if (st == NULL) {
        return code_of(err);
    }
    const uint8_t *items = q->data_size > 0 ? fr_queued_open(q).data : (const uint8_t *)"";
    int64_t id = fr_row_first(q->run->id) + (int64_t)q->seq;
    int how = q->result_how & FR_STORED_OBJECTS;
    (void)sqlite3_bind_int64(st, 1, id);
    (void)sqlite3_bind_int64(st, 2, q->row);
    (void)sqlite3_bind_int64(st, 3, q->items);
    (void)sqlite3_bind_int(st, 4, how);
    (void)sqlite3_bind_int64(st, 5, (int64_t)(fr_hash_bytes(items, q->data_size).lo & INT64_MAX));
    (void)sqlite3_bind_blob64(st, 6, items, q->data_size, SQLITE_STATIC);
    int rc = fr_db_step(s->db, st, err);
    if (rc == FR_OK) {
        fr_audit_part(audit_of(q->run), id, q->row, q->items, how, items, q->data_size);
    }
    return rc;
}

static int write_record(fr_store *s, const fr_queued *q, size_t offset, fr_err *err)
{
    fr_store_run *r = q->run;
    if (q->seq != 0 && q->seq <= r->disk_seq) {
        return FR_OK;                          // an attempt to commit did succeed after all
    }
    if (q->seq != 0) {
        r->batch_seq = q->seq;
    }
    int rc = FR_OK;
    switch ((fr_record_type)q->type) {
    case FR_REC_TASK:
        rc = write_task(s, q, err);
        break;
    case FR_REC_START:
        return write_start(s, q, offset, err);
    case FR_REC_MAP_PART:
        rc = write_map_part(s, q, err);
        break;
    case FR_REC_RETRY:
    case FR_REC_VALUE:
    case FR_REC_TIMER:
    case FR_REC_REQUEST:
    case FR_REC_ADDENDUM:
        rc = write_journal(s, q, err);
        break;
    default:
        fr_panic(__FILE__, __LINE__, "a record of an unknown type");
    }
    return rc == FR_OK && q->slot != 0 ? fr_slot_release(s, r->id, q->slot, err) : rc;
}

// --- runs ---

// Values of a run's row: one byte FR_STORED_*, then the bytes or the hash of the file.
static void bind_value(sqlite3_stmt *st, int column, fr_buf *b, bool has, uint8_t how,
                       const fr_value *v, const uint8_t *bytes, size_t n)
{
    if (!has) {
        (void)sqlite3_bind_null(st, column);
        return;
    }
    uint8_t hash[16];
    if ((how & FR_STORED_FILE) != 0) {
        fr_hash_store(v->hash, hash);
        bytes = hash;
        n = sizeof hash;
    }
    fr_buf_clear(b);
    fr_buf_put_u8(b, how);
    fr_buf_put(b, bytes, n);
    (void)sqlite3_bind_blob64(st, column, b->data, b->size, SQLITE_TRANSIENT);
}

static void bind_some(sqlite3_stmt *st, int column, int64_t value)
{
    bind_delta(st, column, value != 0 ? value : FR_ROW_NULL);
}

static uint64_t last_of(const fr_store_run *r) { return FR_MAX(r->batch_seq, r->disk_seq); }

static int write_seal(fr_store *s, fr_store_run *r, fr_err *err)
{
    if (!r->audited) {
        return FR_OK;
    }
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_SEAL, err);
    if (st == NULL) {
        return code_of(err);
    }
    fr_sha256_end(&r->audit, r->chain);
    r->audited = false;
    (void)sqlite3_bind_int64(st, 1, fr_row_first(r->id) + (int64_t)last_of(r));
    (void)sqlite3_bind_blob(st, 2, r->chain, FR_SHA256_SIZE, SQLITE_STATIC);
    return fr_db_step(s->db, st, err);
}

int fr_write_end(fr_store *s, fr_err *err)
{
    int rc = write_starts(s, err);
    for (fr_store_run *r = s->runs; r != NULL && rc == FR_OK; r = r->next) {
        rc = write_seal(s, r, err);
    }
    return rc == FR_OK ? fr_slot_settle(s, err) : rc;
}

// The heads of all runs' chains are chained in turn, so that neither a run's log nor a whole
// run can be changed unnoticed, and old runs can be removed.
static int write_anchor(fr_store *s, fr_store_run *r, fr_err *err)
{
    sqlite3_stmt *last = fr_db_statement(s->db, FR_SQL_ANCHOR_LAST, err);
    sqlite3_stmt *add = fr_db_statement(s->db, FR_SQL_ANCHOR_PUT, err);
    if (last == NULL || add == NULL) {
        return code_of(err);
    }
    uint8_t before[FR_SHA256_SIZE] = {0}, head[FR_SHA256_SIZE];
    int rc = sqlite3_step(last);
    if (rc == SQLITE_ROW && sqlite3_column_bytes(last, 0) == FR_SHA256_SIZE) {
        memcpy(before, sqlite3_column_blob(last, 0), FR_SHA256_SIZE);
    }
    (void)sqlite3_reset(last);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        return fr_db_fail(s->db, rc, err);
    }
    rc = write_seal(s, r, err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_audit_anchor(before, r->chain, r->id, last_of(r), head);
    (void)sqlite3_bind_int64(add, 1, as_signed(r->id));
    (void)sqlite3_bind_int64(add, 2, as_signed(last_of(r)));
    (void)sqlite3_bind_int64(add, 3, fr_clock_wall_ns());
    (void)sqlite3_bind_blob(add, 4, r->chain, FR_SHA256_SIZE, SQLITE_STATIC);
    (void)sqlite3_bind_blob(add, 5, head, FR_SHA256_SIZE, SQLITE_STATIC);
    return fr_db_step(s->db, add, err);
}

// A run that has ended has heard what was said to it.
static int requests_taken(fr_store *s, const fr_queued *q, fr_err *err)
{
    sqlite3_stmt *st = q->seq > 0 ? fr_db_statement(s->db, FR_SQL_REQUESTS_TAKEN, err) : NULL;
    if (st == NULL) {
        return q->seq > 0 ? code_of(err) : FR_OK;
    }
    (void)sqlite3_bind_int64(st, 1, as_signed(q->run->id));
    (void)sqlite3_bind_int64(st, 2, as_signed(q->seq));
    return fr_db_step(s->db, st, err);
}

static int write_run(fr_store *s, const fr_queued *q, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_RUN_SET, err);
    if (st == NULL) {
        return code_of(err);
    }
    fr_queued_parts p = fr_queued_open(q);
    (void)sqlite3_bind_int64(st, 1, as_signed(q->run->id));
    (void)sqlite3_bind_int(st, 2, q->state);
    (void)sqlite3_bind_int(st, 3, q->reason);
    bind_some(st, 4, q->attempt);
    bind_some(st, 5, q->started);
    bind_some(st, 6, q->ended);
    bind_value(st, 7, &s->scratch, q->has_result, q->result_how, q->result, p.result,
               q->result_size);
    bind_value(st, 8, &s->scratch, q->has_error, q->error_how, q->error, p.error, q->error_size);
    bool final = fr_state_is_final((fr_state)q->state);
    bind_delta(st, 9, final ? (int64_t)last_of(q->run) : FR_ROW_NULL);
    int rc = fr_db_step(s->db, st, err);
    if (rc == FR_OK && final) {
        rc = write_anchor(s, q->run, err);
        if (rc == FR_OK) {
            rc = requests_taken(s, q, err);
        }
    }
    bool over = final || q->state == FR_SCHEDULED;     // or it goes on later by itself
    if (rc == FR_OK && over && q->run->limited) {
        rc = fr_slot_forget(s, q->run->id, err);
    }
    return rc;
}

static int write_blob(fr_store *s, const fr_queued *q, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_BLOB_PUT, err);
    if (st == NULL) {
        return code_of(err);
    }
    uint8_t key[16];
    fr_hash_store(q->key, key);
    (void)sqlite3_bind_int64(st, 1, as_signed(q->key.lo));
    (void)sqlite3_bind_blob(st, 2, key, sizeof key, SQLITE_STATIC);
    (void)sqlite3_bind_blob64(st, 3, fr_queued_open(q).data, q->data_size, SQLITE_STATIC);
    return fr_db_step(s->db, st, err);
}

static int write_kept(fr_store *s, const fr_queued *q, fr_err *err)
{
    uint64_t name;
    int rc = name_id(s, q->name, &name, err);
    return rc == FR_OK ? fr_write_kept(s, q, name, err) : rc;
}

int fr_write_entry(fr_store *s, const fr_queued *q, size_t offset, fr_err *err)
{
    int rc = FR_OK;
    if (q->files != NULL) {
        rc = fr_files_touch(s->files, q->files, err);
    }
    if (rc != FR_OK) {
        return rc;
    }
    switch ((fr_entry)q->entry) {
    case FR_ENTRY_NAME:
        know_name(s, q);
        return FR_OK;
    case FR_ENTRY_RECORD:
        return write_record(s, q, offset, err);
    case FR_ENTRY_RUN:
        return write_run(s, q, err);
    case FR_ENTRY_BLOB:
        return write_blob(s, q, err);
    case FR_ENTRY_SLOT:
        return fr_slot_write(s, q, err);
    case FR_ENTRY_CACHE:
        return write_kept(s, q, err);
    case FR_ENTRY_OUTBOX:
        return fr_outbox_write(s, q, err);
    }
    return FR_OK;
}

static int last_seq(fr_store *s, fr_store_run *r, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_LAST_SEQ, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, fr_row_first(r->id));
    (void)sqlite3_bind_int64(st, 2, fr_row_last(r->id));
    int rc = sqlite3_step(st);
    uint64_t id = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
    (void)sqlite3_reset(st);
    r->disk_seq = id & UINT32_MAX;
    return rc == SQLITE_ROW ? FR_OK : fr_db_fail(s->db, rc, err);
}

static int load_chain(fr_store *s, fr_store_run *r, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_CHAIN_LAST, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, fr_row_first(r->id));
    (void)sqlite3_bind_int64(st, 2, fr_row_last(r->id));
    int rc = sqlite3_step(st);
    memset(r->chain, 0, sizeof r->chain);
    if (rc == SQLITE_ROW && sqlite3_column_bytes(st, 0) == FR_SHA256_SIZE) {
        memcpy(r->chain, sqlite3_column_blob(st, 0), FR_SHA256_SIZE);
    }
    r->audited = false;
    (void)sqlite3_reset(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? FR_OK : fr_db_fail(s->db, rc, err);
}

static int load_running(fr_store *s, fr_store_run *r, fr_err *err)
{
    fr_map_fini(&r->running);
    fr_map_init(&r->running);
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_RUNNING_IDS, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, fr_row_first(r->id));
    (void)sqlite3_bind_int64(st, 2, fr_row_last(r->id));
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        bool fresh;
        *fr_map_put(&r->running, row_key((uint32_t)sqlite3_column_int64(st, 0)), &fresh) = ON_DISK;
    }
    (void)sqlite3_reset(st);
    return rc == SQLITE_DONE ? FR_OK : fr_db_fail(s->db, rc, err);
}

int fr_write_reload(fr_store *s, fr_err *err)
{
    for (uint32_t i = 0; i < s->name_ids_room; i++) {
        s->name_ids[i] = 0;
    }
    int rc = FR_OK;
    for (fr_store_run *r = s->runs; r != NULL && rc == FR_OK; r = r->next) {
        r->outbox_batch = atomic_load(&r->outbox_done);
        rc = last_seq(s, r, err);
        if (rc == FR_OK) {
            rc = load_chain(s, r, err);
        }
        if (rc == FR_OK) {
            rc = load_running(s, r, err);
        }
    }
    return rc;
}

int fr_write_run_begin(fr_store *s, const fr_run_info *info, fr_store_run *r, fr_err *err)
{
    uint64_t flow;
    uint8_t how, bundle[16];
    int rc = fr_files_save(s->files, info->params, &how, err);
    if (rc == FR_OK) {
        rc = intern(s, info->flow != NULL ? info->flow : "", &flow, err);
    }
    sqlite3_stmt *st = rc == FR_OK ? fr_db_statement(s->db, FR_SQL_RUN_PUT, err) : NULL;
    if (st == NULL) {
        return rc != FR_OK ? rc : code_of(err);
    }
    const fr_value *v = info->params;
    fr_hash_store(info->bundle, bundle);
    (void)sqlite3_bind_int64(st, 1, as_signed(flow));
    (void)sqlite3_bind_text(st, 2, info->file, -1, SQLITE_STATIC);
    (void)sqlite3_bind_blob(st, 3, bundle, sizeof bundle, SQLITE_STATIC);
    bind_value(st, 4, &s->scratch, v != NULL, how, v, v != NULL ? v->bytes : NULL,
               v != NULL ? v->size : 0);
    (void)sqlite3_bind_int64(st, 5, as_signed(info->seed));
    (void)sqlite3_bind_int(st, 6, info->state != FR_STATE_NONE ? (int)info->state : FR_RUNNING);
    (void)sqlite3_bind_int(st, 7, (int)info->reason);
    (void)sqlite3_bind_int64(st, 8, info->attempt > 0 ? info->attempt : 1);
    (void)sqlite3_bind_int64(st, 9, info->started);
    (void)sqlite3_bind_text(st, 10, info->options, -1, SQLITE_STATIC);
    rc = fr_db_step(s->db, st, err);
    if (rc == FR_OK) {
        r->id = (uint64_t)sqlite3_last_insert_rowid(s->db->handle);
        if (r->id > INT32_MAX) {
            rc = fr_fail(err, FR_ELIMIT, "the store is full: %" PRIu64 " runs", r->id);
        }
    }
    return rc == FR_OK ? fr_outbox_begin(s, r, err) : rc;
}

static int bind_again(fr_store *s, fr_store_run *r, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_RUN_AGAIN, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, as_signed(r->id));
    (void)sqlite3_bind_int(st, 2, FR_RUNNING);
    (void)sqlite3_bind_int(st, 3, FR_BECAUSE_RESUME);
    return fr_db_step(s->db, st, err);
}

static int run_exists(fr_store *s, uint64_t id, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(s->db, FR_SQL_RUN_IS, err);
    if (st == NULL) {
        return code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, as_signed(id));
    int rc = sqlite3_step(st);
    (void)sqlite3_reset(st);
    if (rc == SQLITE_DONE) {
        return fr_fail(err, FR_ENOTFOUND, "there is no run %" PRIu64 " in %s", id, s->home);
    }
    return rc == SQLITE_ROW ? FR_OK : fr_db_fail(s->db, rc, err);
}

int fr_write_run_resume(fr_store *s, fr_store_run *r, fr_err *err)
{
    int rc = run_exists(s, r->id, err);
    sqlite3_stmt *st = rc == FR_OK ? fr_db_statement(s->db, FR_SQL_NONE_RUNNING, err) : NULL;
    if (st == NULL) {
        return rc != FR_OK ? rc : code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, fr_row_first(r->id));
    (void)sqlite3_bind_int64(st, 2, fr_row_last(r->id));
    rc = fr_db_step(s->db, st, err);
    if (rc == FR_OK) {
        rc = bind_again(s, r, err);
    }
    if (rc == FR_OK) {
        rc = last_seq(s, r, err);
    }
    if (rc == FR_OK) {                         // slots of its dead process
        rc = fr_slot_forget(s, r->id, err);
    }
    if (rc == FR_OK) {
        rc = fr_slot_settle(s, err);
    }
    if (rc == FR_OK) {
        rc = fr_outbox_begin(s, r, err);
    }
    return rc == FR_OK ? load_chain(s, r, err) : rc;
}

int fr_write_request(fr_store *s, uint64_t run, const char *kind, const char *json, fr_err *err)
{
    int rc = run_exists(s, run, err);
    sqlite3_stmt *st = rc == FR_OK ? fr_db_statement(s->db, FR_SQL_REQUEST_PUT, err) : NULL;
    if (st == NULL) {
        return rc != FR_OK ? rc : code_of(err);
    }
    (void)sqlite3_bind_int64(st, 1, as_signed(run));
    (void)sqlite3_bind_text(st, 2, kind, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 3, json, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(st, 4, fr_clock_wall_ns());
    return fr_db_step(s->db, st, err);
}
