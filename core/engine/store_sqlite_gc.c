// Collecting files that no row names any more, and counting rows (engine.md E6).
//
// What rows name is read from snapshots, without the store's lock; only removing needs it.
// That is sound because the committer touches each file that its rows name while it holds
// the lock: a file that got a row since the snapshot is not older than an hour.

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/sys.h"
#include "core/engine/item.h"
#include "core/engine/store_sqlite.h"

#include <sqlite3.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SNAPSHOT_ROWS = 50000 };

typedef struct collector {
    fr_store *store;
    fr_map named;                              // hash and kind
    int64_t before_s;
    bool removing;
    uint64_t old;                              // files old enough
    fr_store_gc_result result;
} collector;

static int code_of(const fr_err *err) { return err->code != FR_OK ? err->code : FR_EIO; }

// --- what rows name ---

static void name_file(void *ctx, uint8_t kind, fr_hash hash)
{
    bool fresh;
    (void)fr_map_put(&((collector *)ctx)->named, fr_hash_mix(hash, kind), &fresh);
}

static int name_objects(collector *c, const uint8_t *bytes, size_t n, fr_err *err)
{
    return fr_value_scan_refs(bytes, n, name_file, c, err);
}

static int name_value(collector *c, const uint8_t *bytes, size_t n, uint8_t how, fr_err *err)
{
    if (how == 0) {
        return FR_OK;
    }
    if ((how & FR_STORED_FILE) == 0) {
        return name_objects(c, bytes, n, err);
    }
    if (n != 16) {
        return fr_fail(err, FR_ECORRUPT, "%s is damaged (a hash of %zu bytes)", c->store->path, n);
    }
    fr_hash hash = fr_hash_load(bytes);
    name_file(c, 0, hash);
    if ((how & FR_STORED_OBJECTS) == 0) {
        return FR_OK;
    }
    char path[FR_STORE_PATH];
    fr_store_object_path(c->store, 0, hash, path);
    fr_buf text;
    fr_buf_init(&text, FR_VALUE_MAX);
    int rc = fr_read_file(path, FR_VALUE_MAX - 1, &text, err);
    if (rc == FR_OK) {
        rc = name_objects(c, text.data, text.size, err);
    } else if (rc == FR_ENOTFOUND) {           // then what it names cannot be reached either
        rc = FR_OK;
    }
    fr_buf_fini(&text);
    return rc;
}

static int name_of_row(collector *c, sqlite3_stmt *st, fr_err *err)
{
    const uint8_t *result = sqlite3_column_blob(st, 1), *extra = sqlite3_column_blob(st, 2);
    fr_extra x;
    if (!fr_extra_parse(extra, (size_t)sqlite3_column_bytes(st, 2), &x)) {
        return fr_fail(err, FR_ECORRUPT, "%s is damaged: nothing is removed", c->store->path);
    }
    int rc = name_value(c, result, (size_t)sqlite3_column_bytes(st, 1), x.result_how, err);
    return rc == FR_OK ? name_value(c, x.error, x.error_size, x.error_how, err) : rc;
}

static int name_of_part(collector *c, sqlite3_stmt *st, fr_err *err)
{
    fr_reader r = fr_reader_of(sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1));
    fr_item_done item;
    int rc = FR_OK;
    while (rc == FR_OK && fr_item_next(&r, &item)) {
        rc = name_objects(c, item.value, item.size, err);
    }
    return rc;
}

static int name_of_run(collector *c, sqlite3_stmt *st, fr_err *err)
{
    int rc = FR_OK;
    for (int i = 1; i <= 3 && rc == FR_OK; i++) {
        const uint8_t *bytes = sqlite3_column_blob(st, i);
        size_t n = (size_t)sqlite3_column_bytes(st, i);
        rc = n < 1 ? FR_OK : name_value(c, bytes + 1, n - 1, bytes[0], err);
    }
    return rc;
}

// All rows of one query, some thousands per snapshot.
static int name_all(collector *c, fr_sql which,
                    int (*row)(collector *, sqlite3_stmt *, fr_err *), fr_err *err)
{
    fr_store *s = c->store;
    sqlite3_stmt *st = fr_db_statement(s->reader, which, err);
    if (st == NULL) {
        return code_of(err);
    }
    int64_t last = -1;
    int step = SQLITE_ROW, rc = FR_OK;
    while (rc == FR_OK && step == SQLITE_ROW) {
        rc = fr_read_begin(s, err);
        if (rc != FR_OK) {
            return rc;
        }
        (void)sqlite3_bind_int64(st, 1, last);
        int rows = 0;
        while (rc == FR_OK && rows++ < SNAPSHOT_ROWS && (step = sqlite3_step(st)) == SQLITE_ROW) {
            last = sqlite3_column_int64(st, 0);
            rc = row(c, st, err);
        }
        if (rc == FR_OK && step != SQLITE_ROW && step != SQLITE_DONE) {
            rc = fr_db_fail(s->reader, step, err);
        }
        fr_read_end(s);
    }
    return rc;
}

// --- the folder objects/aa/<hash>.<kind> ---

static uint8_t kind_of(const fr_store *s, const char *extension)
{
    if (strcmp(extension, "value") == 0) {
        return 0;
    }
    for (fr_object_kinds k = s->env.kinds; k != NULL && *k != NULL; k++) {
        if (strcmp((*k)->name, extension) == 0) {
            return (*k)->kind;
        }
    }
    return UINT8_MAX;
}

// Half-written files of dead processes go too; what we do not know stays.
static bool is_garbage(const collector *c, const char *name)
{
    const char *dot = strchr(name, '.');
    fr_hash hash;
    if (dot == NULL || !fr_hash_parse(name, (size_t)(dot - name), &hash)) {
        return false;
    }
    size_t n = strlen(name);
    if (n > 4 && strcmp(name + n - 4, ".tmp") == 0) {
        return true;
    }
    uint8_t kind = kind_of(c->store, dot + 1);
    return kind != UINT8_MAX && fr_map_find(&c->named, fr_hash_mix(hash, kind)) == NULL;
}

static int visit_file(collector *c, const char *folder, const char *name, fr_err *err)
{
    char path[FR_STORE_PATH + 300];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return FR_OK;
    }
    bool old = st.st_mtime <= c->before_s;
    c->old += old;
    if (!c->removing) {
        return FR_OK;
    }
    if (!old || !is_garbage(c, name)) {
        c->result.kept++;
        return FR_OK;
    }
    c->result.files++;
    c->result.bytes += (uint64_t)st.st_size;
    return fr_sys_unlink(path, err);
}

static int visit_files(collector *c, fr_err *err)
{
    char objects[FR_STORE_PATH], folder[FR_STORE_PATH];
    fr_store_path(c->store, objects, "objects");
    DIR *top = opendir(objects);
    int rc = FR_OK;
    for (const struct dirent *e; top != NULL && rc == FR_OK && (e = readdir(top)) != NULL;) {
        if (e->d_name[0] == '.' || strlen(e->d_name) != 2) {
            continue;
        }
        fr_store_path(c->store, folder, "objects/%.2s", e->d_name);
        DIR *d = opendir(folder);
        for (const struct dirent *f; d != NULL && rc == FR_OK && (f = readdir(d)) != NULL;) {
            if (f->d_name[0] != '.') {
                rc = visit_file(c, folder, f->d_name, err);
            }
        }
        if (d != NULL) {
            (void)closedir(d);
        }
    }
    if (top != NULL) {
        (void)closedir(top);
    }
    return rc;
}

// On the store's thread, inside a transaction: under the store's lock.
static int remove_files(fr_store *s, fr_store_job *job, fr_err *err)
{
    (void)s;
    collector *c = job->ctx;
    c->removing = true;
    return visit_files(c, err);
}

int fr_store_gc(fr_store *s, int64_t age_s, fr_store_gc_result *out, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    *out = (fr_store_gc_result){0};
    collector c = {.store = s, .before_s = fr_clock_wall_ns() / 1000000000 - age_s};
    fr_map_init(&c.named);
    int rc = visit_files(&c, err);
    if (rc == FR_OK && c.old > 0) {
        rc = fr_read_open(s, err);
        if (rc == FR_OK) {
            rc = name_all(&c, FR_SQL_EXTRAS, name_of_row, err);
        }
        if (rc == FR_OK) {
            rc = name_all(&c, FR_SQL_JOURNAL_EXTRAS, name_of_row, err);
        }
        if (rc == FR_OK) {
            rc = name_all(&c, FR_SQL_PART_OBJECTS, name_of_part, err);
        }
        if (rc == FR_OK) {
            rc = name_all(&c, FR_SQL_RUN_VALUES, name_of_run, err);
        }
        if (rc == FR_OK) {
            fr_store_job job = {.run = remove_files, .transact = true, .ctx = &c};
            rc = fr_store_call(s, &job, err);
        }
    }
    fr_map_fini(&c.named);
    *out = c.result;
    return rc;
}

int fr_store_stat(fr_store *s, fr_store_stats *out, fr_err *err)
{
    fr_err local = FR_ERR_INIT;
    err = err != NULL ? err : &local;
    *out = (fr_store_stats){0};
    int rc = fr_read_open(s, err);
    sqlite3_stmt *st = rc == FR_OK ? fr_db_statement(s->reader, FR_SQL_COUNTS, err) : NULL;
    if (st == NULL) {
        return rc != FR_OK ? rc : code_of(err);
    }
    rc = fr_read_begin(s, err);
    if (rc != FR_OK) {
        return rc;
    }
    int step = sqlite3_step(st);
    uint64_t *const counts[] = {&out->runs, &out->tasks, &out->journal, &out->map_parts,
                                &out->running, &out->requests};
    for (int i = 0; step == SQLITE_ROW && i < (int)FR_COUNT(counts); i++) {
        *counts[i] = (uint64_t)sqlite3_column_int64(st, i);
    }
    rc = step == SQLITE_ROW ? FR_OK : fr_db_fail(s->reader, step, err);
    fr_read_end(s);
    char wal[FR_STORE_PATH];
    struct stat file;
    fr_store_path(s, wal, "flowrun.db-wal");
    out->database_bytes = stat(s->path, &file) == 0 ? (uint64_t)file.st_size : 0;
    out->wal_bytes = stat(wal, &file) == 0 ? (uint64_t)file.st_size : 0;
    return rc;
}
