#include "core/engine/store_sqlite.h"

#include "core/base/fault.h"
#include "core/base/mem.h"
#include "core/base/sys.h"

#include <sqlite3.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    APPLICATION = 0x666c7772,                  // "flwr"
    CACHE_KIB = 16 * 1024,
    BUSY_MS = 5000,                            // somebody's sqlite3 shell
};

static const char *const sql_texts[] = {
#define X(name, sql) [FR_SQL_##name] = (sql),
    FR_SQL_LIST(X)
#undef X
};

// Columns are packed because there are millions of rows; the views say what they mean.
//   id of task, journal, map_part: run << 32 | seq · of running: run << 32 | row
//   what: state | reason << 4 | kind << 12 | attempt << 16
//   started = queued + wait, ended = (started or queued) + took, in ns
//   ids: key (16) · args (16) · checksum of the row (4) · extra: store_sqlite.h
#define ROW_COLUMNS                                                                      \
    "id INTEGER PRIMARY KEY,row INTEGER NOT NULL,name INTEGER NOT NULL,"                 \
    "what INTEGER NOT NULL,queued INTEGER NOT NULL,wait INTEGER,took INTEGER,"           \
    "ids BLOB NOT NULL,result BLOB,extra BLOB"

// migrations[i] brings a store of version i to version i + 1. Append only.
static const char *const migrations[] = {
    "CREATE TABLE name(id INTEGER PRIMARY KEY,text TEXT NOT NULL UNIQUE)STRICT;"
    "CREATE TABLE run(id INTEGER PRIMARY KEY AUTOINCREMENT,flow INTEGER NOT NULL,file TEXT,"
    "bundle BLOB NOT NULL,params BLOB,seed INTEGER NOT NULL,state INTEGER NOT NULL,"
    "reason INTEGER NOT NULL,attempt INTEGER NOT NULL,started INTEGER NOT NULL,"
    "ended INTEGER,result BLOB,error BLOB,options TEXT)STRICT;"
    "CREATE TABLE task(" ROW_COLUMNS ")STRICT;"
    "CREATE TABLE running(" ROW_COLUMNS ")STRICT;"
    "CREATE TABLE journal(" ROW_COLUMNS ",type INTEGER NOT NULL,due INTEGER,data BLOB,"
    "chain BLOB NOT NULL)STRICT;"
    "CREATE TABLE map_part(id INTEGER PRIMARY KEY,row INTEGER NOT NULL,n INTEGER NOT NULL,"
    "how INTEGER NOT NULL,sum INTEGER NOT NULL,items BLOB NOT NULL)STRICT;"
    "CREATE TABLE request(id INTEGER PRIMARY KEY AUTOINCREMENT,run INTEGER NOT NULL,"
    "kind TEXT NOT NULL,payload TEXT,at INTEGER NOT NULL,taken INTEGER NOT NULL DEFAULT 0)"
    "STRICT;"
    "CREATE TABLE anchor(id INTEGER PRIMARY KEY,run INTEGER NOT NULL,seq INTEGER NOT NULL,"
    "at INTEGER NOT NULL,chain BLOB NOT NULL,head BLOB NOT NULL)STRICT;"
    "CREATE TABLE blob(id INTEGER PRIMARY KEY,key BLOB NOT NULL,bytes BLOB NOT NULL)STRICT;"
    "CREATE VIEW tasks AS SELECT task.id>>32 AS run,task.id&0xffffffff AS seq,row,"
    "text AS task,what&15 AS state,what>>4&255 AS reason,what>>12&15 AS kind,"
    "what>>16 AS attempt,queued,queued+wait AS started,"
    "queued+ifnull(wait,0)+took AS ended,hex(substr(ids,1,16)) AS key "
    "FROM task JOIN name ON name.id=task.name;",
};

_Static_assert(FR_COUNT(migrations) == FR_STORE_SCHEMA, "one migration per version");

// --- errors ---

// SQLite says only "disk I/O error"; the kind decides whether we may go on. A failed sync
// is fatal whatever comes after it: the kernel may have dropped the pages and a second sync
// would then lie (fsyncgate).
int fr_db_fail(fr_db *db, int rc, fr_err *err)
{
    int extended = db->handle != NULL ? sqlite3_extended_errcode(db->handle) : rc;
    const char *text = db->handle != NULL ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc);
    int system = db->handle != NULL ? sqlite3_system_errno(db->handle) : 0;
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return fr_fail(err, FR_EFULL, "no space left for %s", db->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return fr_fail(err, FR_EBUSY, "%s is locked by a program other than flowrun", db->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return fr_fail(err, FR_ECORRUPT,
                       "%s is damaged (%s): put back a copy, or move it away to start anew",
                       db->path, text);
    case SQLITE_NOMEM:
        return fr_fail(err, FR_ENOMEM, "no memory for %s", db->path);
    case SQLITE_CANTOPEN:
        return fr_fail(err, FR_EIO, "%s cannot be opened (%s)", db->path,
                       system != 0 ? strerror(system) : text);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return fr_fail(err, FR_EIO, "%s may not be written (%s)", db->path, text);
    case SQLITE_IOERR:
        if (extended != SQLITE_IOERR_FSYNC && extended != SQLITE_IOERR_DIR_FSYNC &&
            (system == ENOSPC || system == EDQUOT)) {
            return fr_fail(err, FR_EFULL, "no space left for %s", db->path);
        }
        return fr_fail(err, FR_EIO, "%s: %s%s%s", db->path,
                       extended == SQLITE_IOERR_FSYNC ? "syncing failed" : text,
                       system != 0 ? ": " : "", system != 0 ? strerror(system) : "");
    default:
        return fr_fail(err, FR_EIO, "%s: %s", db->path, text);
    }
}

static int exec(fr_db *db, const char *sql, fr_err *err)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? FR_OK : fr_db_fail(db, rc, err);
}

// The integer a pragma or query answers.
static int query_int(fr_db *db, const char *sql, int64_t *out, fr_err *err)
{
    sqlite3_stmt *st;
    int rc = sqlite3_prepare_v2(db->handle, sql, -1, &st, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(st);
        *out = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
        int end = sqlite3_finalize(st);
        rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : end;
    }
    return rc == SQLITE_OK ? FR_OK : fr_db_fail(db, rc, err);
}

// --- statements and transactions ---

sqlite3_stmt *fr_db_statement(fr_db *db, fr_sql which, fr_err *err)
{
    sqlite3_stmt **st = &db->statements[which];
    if (FR_UNLIKELY(*st == NULL)) {
        int rc = sqlite3_prepare_v3(db->handle, sql_texts[which], -1, SQLITE_PREPARE_PERSISTENT,
                                    st, NULL);
        if (rc != SQLITE_OK) {
            (void)fr_db_fail(db, rc, err);
        }
    }
    return *st;
}

int fr_db_step(fr_db *db, sqlite3_stmt *st, fr_err *err)
{
    int rc = sqlite3_step(st);
    if (FR_UNLIKELY(rc != SQLITE_DONE && rc != SQLITE_ROW)) {
        int code = fr_db_fail(db, rc, err);
        (void)sqlite3_reset(st);
        return code;
    }
    (void)sqlite3_reset(st);
    return FR_OK;
}

int fr_db_run(fr_db *db, fr_sql which, fr_err *err)
{
    sqlite3_stmt *st = fr_db_statement(db, which, err);
    return st != NULL ? fr_db_step(db, st, err) : err != NULL ? err->code : FR_EIO;
}

static int injected(fr_db *db, int e, fr_err *err)
{
    if (e == 0) {
        return FR_OK;
    }
    errno = e;
    return fr_fail_errno(err, FR_EIO, "%s", db->path);
}

int fr_db_begin(fr_db *db, fr_err *err)
{
    int rc = injected(db, FR_FAULT("store.begin.before"), err);
    if (rc == FR_OK) {
        rc = fr_db_run(db, FR_SQL_BEGIN, err);
    }
    if (rc == FR_OK) {
        rc = injected(db, FR_FAULT("store.begin.after"), err);
    }
    return rc;
}

int fr_db_commit(fr_db *db, fr_err *err)
{
    int rc = injected(db, FR_FAULT("store.commit.before"), err);
    if (rc == FR_OK) {
        rc = fr_db_run(db, FR_SQL_COMMIT, err);
    }
    if (rc == FR_OK) {
        rc = injected(db, FR_FAULT("store.commit.after"), err);
    }
    return rc;
}

// After an error SQLite may have rolled back itself, or may have failed to (no memory) and
// left the transaction open: then the next reader of this connection would see half a batch.
void fr_db_rollback(fr_db *db)
{
    for (int i = 0; i < FR_SQL_COUNT; i++) {
        if (db->statements[i] != NULL) {
            (void)sqlite3_reset(db->statements[i]);
        }
    }
    for (int tries = 0; sqlite3_get_autocommit(db->handle) == 0; tries++) {
        FR_ASSERT(tries < 100);                // a process that cannot roll back must not go on
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    }
}

int fr_db_checkpoint(fr_db *db, bool truncate, fr_err *err)
{
    int rc = injected(db, FR_FAULT("store.checkpoint.before"), err);
    if (rc != FR_OK) {
        return rc;
    }
    int pages = 0, done = 0;
    (void)sqlite3_busy_timeout(db->handle, 0);  // a foreign reader must not stop everybody
    rc = sqlite3_wal_checkpoint_v2(db->handle, NULL,
                                   truncate ? SQLITE_CHECKPOINT_TRUNCATE
                                            : SQLITE_CHECKPOINT_PASSIVE,
                                   &pages, &done);
    (void)sqlite3_busy_timeout(db->handle, BUSY_MS);
    if (rc == SQLITE_BUSY) {                   // a reader: another time
        return FR_OK;
    }
    if (rc != SQLITE_OK) {
        return fr_db_fail(db, rc, err);
    }
    if (truncate || pages == done) {
        db->wal_pages = 0;                     // the next commit starts it from the front
    }
    return injected(db, FR_FAULT("store.checkpoint.after"), err);
}

static int wal_grew(void *ctx, sqlite3 *handle, const char *name, int pages)
{
    (void)handle;
    (void)name;
    ((fr_db *)ctx)->wal_pages = pages;
    return SQLITE_OK;
}

// --- opening ---

// A database of no bytes is a new one, unless the folder runs/ is there, which is made only
// after the database is on disk: then it was cut off, and SQLite would throw its WAL away.
static int check_size(const fr_store *s, bool look_up, fr_err *err)
{
    struct stat st, other;
    if (stat(s->path, &st) != 0) {
        if (look_up && errno == ENOENT) {
            return fr_fail(err, FR_ENOTFOUND, "%s has no runs yet (%s does not exist)", s->home,
                           s->path);
        }
        return FR_OK;
    }
    char runs[FR_STORE_PATH];
    fr_store_path(s, runs, "runs");
    if (st.st_size >= 512 || (st.st_size == 0 && stat(runs, &other) != 0)) {
        return FR_OK;
    }
    return fr_fail(err, FR_ECORRUPT,
                   "%s is damaged (cut off after %lld bytes): put back a copy, or move it "
                   "away to start anew",
                   s->path, (long long)st.st_size);
}

static int check_version(fr_db *db, int64_t *version, fr_err *err)
{
    int64_t application = 0, tables = 0;
    int rc = query_int(db, "PRAGMA user_version", version, err);
    if (rc == FR_OK && *version > FR_STORE_SCHEMA) {
        return fr_fail(err, FR_EVERSION,
                       "%s was made by a newer flowrun (format %lld, this one knows %d): use "
                       "that version, or another folder with --home DIR",
                       db->path, (long long)*version, FR_STORE_SCHEMA);
    }
    if (rc == FR_OK) {
        rc = query_int(db, "PRAGMA application_id", &application, err);
    }
    if (rc == FR_OK && application != APPLICATION) {
        rc = query_int(db, "SELECT count(*) FROM sqlite_schema", &tables, err);
        if (rc == FR_OK && (tables > 0 || *version != 0)) {
            return fr_fail(err, FR_ECORRUPT, "%s is another program's database, not a flowrun "
                           "store", db->path);
        }
    }
    return rc;
}

// The new file and its name must be on disk before anything in its WAL counts.
static int sync_new(const fr_store *s, fr_db *db, fr_err *err)
{
    sqlite3_file *file = NULL;
    int rc = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (rc == SQLITE_OK && file != NULL && file->pMethods != NULL) {
        rc = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
    }
    if (rc != SQLITE_OK) {
        return fr_db_fail(db, rc, err);
    }
    return fr_sys_sync_dir(s->home, err);
}

static int migrate(const fr_store *s, fr_db *db, fr_err *err)
{
    int rc = fr_store_lock_take(s->locks, err);
    if (rc != FR_OK) {
        return rc;
    }
    int64_t version = 0;
    bool fresh = false;
    rc = check_version(db, &version, err);     // again: another process may have been here
    if (rc == FR_OK && version == 0) {
        fresh = true;
        rc = exec(db, "PRAGMA synchronous=OFF;PRAGMA journal_mode=WAL", err);
    }
    if (rc == FR_OK && version < FR_STORE_SCHEMA) {
        rc = fr_db_begin(db, err);
        for (int64_t v = version; rc == FR_OK && v < FR_STORE_SCHEMA; v++) {
            rc = exec(db, migrations[v], err);
        }
        char pragmas[96];
        (void)snprintf(pragmas, sizeof pragmas, "PRAGMA user_version=%d;PRAGMA application_id=%d",
                       FR_STORE_SCHEMA, APPLICATION);
        if (rc == FR_OK) {
            rc = exec(db, pragmas, err);
        }
        if (rc == FR_OK) {
            rc = fr_db_commit(db, err);
        }
        if (rc != FR_OK) {
            fr_db_rollback(db);
        }
    }
    if (rc == FR_OK && fresh) {
        rc = sync_new(s, db, err);
    }
    fr_store_lock_release(s->locks);
    return rc;
}

static int set_up(const fr_store *s, fr_db *db, bool look_up, fr_err *err)
{
    sqlite3 *h = db->handle;
    (void)sqlite3_extended_result_codes(h, 1);
    (void)sqlite3_busy_timeout(h, BUSY_MS);
    (void)sqlite3_db_config(h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_db_config(h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_wal_autocheckpoint(h, 0);
    (void)sqlite3_wal_hook(h, wal_grew, db);
    int64_t version = 0;
    int rc = check_version(db, &version, err);
    if (rc == FR_OK && version < FR_STORE_SCHEMA) {
        if (look_up) {
            return fr_fail(err, version == 0 ? FR_ENOTFOUND : FR_EVERSION,
                           version == 0 ? "%s has no runs yet"
                                        : "%s was made by an older flowrun and is brought up to "
                                          "date by the next run",
                           s->home);
        }
        rc = migrate(s, db, err);
    }
    if (rc != FR_OK) {
        return rc;
    }
    char pragmas[192];
    (void)snprintf(pragmas, sizeof pragmas,
                   "PRAGMA synchronous=%s;PRAGMA cache_size=-%d;PRAGMA temp_store=MEMORY;"
                   "PRAGMA query_only=%d",
                   s->env.relaxed ? "NORMAL" : "FULL", CACHE_KIB, look_up);
    return exec(db, pragmas, err);
}

int fr_db_open(const fr_store *s, bool look_up, fr_db **out, fr_err *err)
{
    *out = NULL;
    int rc = check_size(s, look_up, err);
    if (rc != FR_OK) {
        return rc;
    }
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);    // refused, harmlessly, later on
    fr_db *db = fr_zalloc(sizeof *db);
    db->path = fr_strdup(s->path);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (look_up ? 0 : SQLITE_OPEN_CREATE);
    int code = sqlite3_open_v2(s->path, &db->handle, flags, NULL);
    rc = code == SQLITE_OK ? set_up(s, db, look_up, err) : fr_db_fail(db, code, err);
    if (rc != FR_OK) {
        fr_db_close(db);
        db = NULL;
    }
    *out = db;
    return rc;
}

void fr_db_close(fr_db *db)
{
    if (db == NULL) {
        return;
    }
    for (int i = 0; i < FR_SQL_COUNT; i++) {
        (void)sqlite3_finalize(db->statements[i]);
    }
    (void)sqlite3_close(db->handle);
    for (size_t i = 0; i < db->n_names; i++) {
        fr_free(db->names[i]);
    }
    fr_free(db->names);
    fr_free(db->path);
    fr_free(db);
}
