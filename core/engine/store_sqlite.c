#include "core/engine/store_sqlite.h"

#include "core/base/fault.h"
#include "core/base/mem.h"
#include "core/base/sys.h"

#include <sqlite3.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    APPLICATION = 0x666c7772,                  // "flwr"
    CACHE_KIB = 16 * 1024,
    WAL_FILE_BYTES = 32 << 20,                 // kept of a file that had to grow longer
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
    "ended INTEGER,result BLOB,error BLOB,options TEXT,records INTEGER)STRICT;"
    "CREATE TABLE task(" ROW_COLUMNS ")STRICT;"
    "CREATE TABLE running(" ROW_COLUMNS ")STRICT;"
    "CREATE TABLE journal(" ROW_COLUMNS ",type INTEGER NOT NULL,due INTEGER,data BLOB)"
    "STRICT;"
    "CREATE TABLE map_part(id INTEGER PRIMARY KEY,row INTEGER NOT NULL,n INTEGER NOT NULL,"
    "how INTEGER NOT NULL,sum INTEGER NOT NULL,items BLOB NOT NULL)STRICT;"
    "CREATE TABLE seal(id INTEGER PRIMARY KEY,hash BLOB NOT NULL)STRICT;"
    "CREATE TABLE request(id INTEGER PRIMARY KEY AUTOINCREMENT,run INTEGER NOT NULL,"
    "kind TEXT NOT NULL,payload TEXT,at INTEGER NOT NULL,taken INTEGER NOT NULL DEFAULT 0)"
    "STRICT;"
    "CREATE INDEX request_open ON request(run) WHERE taken=0;"
    "CREATE TABLE anchor(id INTEGER PRIMARY KEY,run INTEGER NOT NULL,seq INTEGER NOT NULL,"
    "at INTEGER NOT NULL,chain BLOB NOT NULL,head BLOB NOT NULL)STRICT;"
    "CREATE TABLE blob(id INTEGER PRIMARY KEY,key BLOB NOT NULL,bytes BLOB NOT NULL)STRICT;"
    "CREATE VIEW tasks AS SELECT task.id>>32 AS run,task.id&0xffffffff AS seq,row,"
    "text AS task,what&15 AS state,what>>4&255 AS reason,what>>12&15 AS kind,"
    "what>>16 AS attempt,queued,queued+wait AS started,"
    "queued+ifnull(wait,0)+took AS ended,hex(substr(ids,1,16)) AS key "
    "FROM task JOIN name ON name.id=task.name;",
    // Rows of slot are few and short-lived, so they may have indexes on what changes.
    //   granted: 0 = waits, > 0 = holds since then, < 0 = can never be had (-2: of this limit)
    "CREATE TABLE limits(id INTEGER PRIMARY KEY,name TEXT NOT NULL UNIQUE,capacity INTEGER,"
    "rate INTEGER,period INTEGER,source INTEGER NOT NULL,starts BLOB)STRICT;"
    "CREATE TABLE slot(id INTEGER PRIMARY KEY,lim INTEGER NOT NULL,run INTEGER NOT NULL,"
    "ask INTEGER NOT NULL,row INTEGER NOT NULL,name TEXT NOT NULL,n INTEGER NOT NULL,"
    "priority INTEGER NOT NULL,since INTEGER NOT NULL,rank INTEGER NOT NULL,"
    "granted INTEGER NOT NULL)STRICT;"
    "CREATE UNIQUE INDEX slot_ask ON slot(run,ask,lim);"
    "CREATE INDEX slot_waits ON slot(lim,rank,id)WHERE granted=0;"
    "CREATE INDEX slot_holds ON slot(lim,run)WHERE granted>0;"
    "CREATE INDEX slot_told ON slot(run)WHERE granted<>0;"
    "CREATE TABLE slot_run(run INTEGER PRIMARY KEY)STRICT;",
    // Results to be found by key: see store_sqlite_cache.c. key is NULL in rows that only say
    // where a result came from.
    "CREATE TABLE cache(id INTEGER PRIMARY KEY,record INTEGER NOT NULL,item INTEGER NOT NULL,"
    "what INTEGER NOT NULL,name INTEGER NOT NULL,key INTEGER,hi INTEGER NOT NULL,"
    "origin INTEGER NOT NULL,at INTEGER NOT NULL,sum INTEGER NOT NULL,parts BLOB)STRICT;"
    "CREATE UNIQUE INDEX cache_record ON cache(record,item,what);"
    "CREATE INDEX cache_key ON cache(key) WHERE key IS NOT NULL;"
    "CREATE INDEX cache_name ON cache(name,record);",
    // Messages to other systems. record, n: the record they came with, and which of its; owner:
    // the run whose process delivers it; state: core/engine/outbox.h.
    "CREATE TABLE outbox(id INTEGER PRIMARY KEY AUTOINCREMENT,record INTEGER NOT NULL,"
    "n INTEGER NOT NULL,owner INTEGER NOT NULL,task TEXT NOT NULL,name TEXT NOT NULL,"
    "key TEXT NOT NULL,message BLOB NOT NULL,state INTEGER NOT NULL,attempts INTEGER NOT NULL,"
    "due INTEGER NOT NULL,made INTEGER NOT NULL,changed INTEGER NOT NULL,error TEXT)STRICT;"
    "CREATE UNIQUE INDEX outbox_record ON outbox(record,n);"
    "CREATE INDEX outbox_open ON outbox(owner,due) WHERE state=0;",
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
        db->wal_new = 0;                       // the next commit starts it from the front
        db->wal_pages = truncate ? 0 : db->wal_pages;
    }
    return injected(db, FR_FAULT("store.checkpoint.after"), err);
}

static int wal_grew(void *ctx, sqlite3 *handle, const char *name, int pages)
{
    (void)handle;
    (void)name;
    ((fr_db *)ctx)->wal_pages = ((fr_db *)ctx)->wal_new = pages;
    return SQLITE_OK;
}

// --- opening ---

// A database gets its name when it is complete and on disk, so one that is too short was cut
// off; SQLite would take it for a new one and throw its WAL away.
static int check_size(const fr_store *s, bool *absent, fr_err *err)
{
    struct stat st;
    *absent = stat(s->path, &st) != 0 && errno == ENOENT;
    if (*absent || st.st_size >= 512) {
        return FR_OK;
    }
    return fr_fail(err, FR_ECORRUPT,
                   "%s is damaged (cut off after %lld bytes): put back a copy, or move it "
                   "away to start anew",
                   s->path, (long long)st.st_size);
}

static int check_version(fr_db *db, int64_t *version, fr_err *err)
{
    int64_t application = 0;
    int rc = query_int(db, "PRAGMA user_version", version, err);
    if (rc == FR_OK) {
        rc = query_int(db, "PRAGMA application_id", &application, err);
    }
    if (rc == FR_OK && (application != APPLICATION || *version < 1)) {
        return fr_fail(err, FR_ECORRUPT, "%s is another program's database, not a flowrun store",
                       db->path);
    }
    if (rc == FR_OK && *version > FR_STORE_SCHEMA) {
        return fr_fail(err, FR_EVERSION,
                       "%s was made by a newer flowrun (format %lld, this one knows %d): use "
                       "that version, or another folder with --home DIR",
                       db->path, (long long)*version, FR_STORE_SCHEMA);
    }
    return rc;
}

// Runs the migrations behind `version`, in one transaction.
static int migrate(fr_db *db, int64_t version, fr_err *err)
{
    int rc = fr_db_begin(db, err);
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
    return rc;
}

static int upgrade(const fr_store *s, fr_db *db, fr_err *err)
{
    int rc = fr_store_lock_take(s->locks, err);
    if (rc != FR_OK) {
        return rc;
    }
    int64_t version = 0;
    rc = check_version(db, &version, err);     // again: another process may have been here
    if (rc == FR_OK && version < FR_STORE_SCHEMA) {
        rc = migrate(db, version, err);
    }
    fr_store_lock_release(s->locks);
    return rc;
}

// Makes a new, empty database under another name.
static int make(const char *path, fr_err *err)
{
    fr_db *db = fr_zalloc(sizeof *db);
    db->path = fr_strdup(path);
    int code = sqlite3_open_v2(path, &db->handle,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                               NULL);
    int rc = code == SQLITE_OK ? exec(db, "PRAGMA synchronous=OFF;PRAGMA journal_mode=OFF", err)
                               : fr_db_fail(db, code, err);
    if (rc == FR_OK) {
        rc = migrate(db, 0, err);
    }
    if (rc == FR_OK) {
        rc = exec(db, "PRAGMA journal_mode=WAL", err);
    }
    fr_db_close(db);
    int fd = -1;
    if (rc == FR_OK) {
        rc = fr_sys_open(path, O_RDWR, 0, &fd, err);
    }
    if (rc == FR_OK) {
        rc = fr_sys_sync(fd, path, err);
    }
    fr_sys_close(fd);
    return rc;
}

static int create(const fr_store *s, fr_err *err)
{
    int rc = fr_store_lock_take(s->locks, err);
    if (rc != FR_OK) {
        return rc;
    }
    char fresh[FR_STORE_PATH];
    bool absent;
    fr_store_path(s, fresh, "flowrun.db.new");
    rc = check_size(s, &absent, err);          // again: another process may have been here
    if (rc == FR_OK && absent) {
        rc = fr_sys_unlink(fresh, err);
        if (rc == FR_OK) {
            rc = make(fresh, err);
        }
        if (rc == FR_OK) {                     // each process's first commit syncs the folder
            rc = fr_sys_rename(fresh, s->path, err);
        }
    }
    fr_store_lock_release(s->locks);
    return rc;
}

// SQLite syncs the header of a new WAL by itself before the first commit that syncs; written
// by a commit that does not, it gets to the disk together with the first one that counts.
static int start_wal(const fr_store *s, fr_db *db, fr_err *err)
{
    int rc = fr_store_lock_take(s->locks, err);
    if (rc != FR_OK) {
        return rc;
    }
    char text[160];
    (void)snprintf(text, sizeof text,
                   "PRAGMA synchronous=OFF;BEGIN IMMEDIATE;PRAGMA application_id=%d;COMMIT;"
                   "PRAGMA synchronous=%s",
                   APPLICATION, s->env.relaxed ? "NORMAL" : "FULL");
    rc = exec(db, text, err);
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
        if (s->locks == NULL) {                // looking into a folder that cannot be written
            return fr_fail(err, FR_EVERSION, "%s was made by an older flowrun (format %lld, "
                           "this one knows %d): look once as a user who may write it",
                           db->path, (long long)version, FR_STORE_SCHEMA);
        }
        rc = upgrade(s, db, err);
    }
    if (rc != FR_OK) {
        return rc;
    }
    char pragmas[256];
    (void)snprintf(pragmas, sizeof pragmas,
                   "PRAGMA synchronous=%s;PRAGMA cache_size=-%d;PRAGMA temp_store=MEMORY;"
                   "PRAGMA journal_size_limit=%d;PRAGMA query_only=%d",
                   s->env.relaxed ? "NORMAL" : "FULL", CACHE_KIB, WAL_FILE_BYTES, look_up);
    return exec(db, pragmas, err);
}

int fr_db_open(const fr_store *s, bool look_up, fr_db **out, fr_err *err)
{
    *out = NULL;
    bool absent;
    int rc = check_size(s, &absent, err);
    if (rc == FR_OK && absent && look_up) {
        rc = fr_fail(err, FR_ENOTFOUND, "%s has no runs yet (%s does not exist)", s->home, s->path);
    }
    if (rc != FR_OK) {
        return rc;
    }
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);    // refused, harmlessly, later on
    if (absent) {
        rc = create(s, err);
        if (rc != FR_OK) {
            return rc;
        }
    }
    fr_db *db = fr_zalloc(sizeof *db);
    db->path = fr_strdup(s->path);
    int code = sqlite3_open_v2(s->path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                               NULL);
    rc = code == SQLITE_OK ? set_up(s, db, look_up, err) : fr_db_fail(db, code, err);
    if (rc == FR_OK && absent) {
        rc = start_wal(s, db, err);
    }
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
