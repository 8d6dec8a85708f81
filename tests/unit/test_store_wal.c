// The WAL stays short: checkpoints by the committer, readers kept out when it outgrows, and
// names that many processes intern at once.
#include "core/engine/store_priv.h"
#include "tests/unit/store_util.h"

#include <sqlite3.h>

enum { MIB = 1 << 20, NAMES = 700 };

static fr_err err;
static char megabyte[MIB];

static uint64_t wal_bytes(const home *h)
{
    char path[128];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/flowrun.db-wal", h->path);
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void queue_megabytes(fr_store *s, int n)
{
    static uint64_t serial;
    for (int i = 0; i < n; i++) {
        serial++;
        CHECK_INT(fr_store_blob_put(s, (fr_hash){serial, 7}, megabyte, MIB, &err), FR_OK);
        fr_store_flush(s);
    }
}

static void put_megabytes(fr_store *s, int n)
{
    queue_megabytes(s, n);
    while (fr_store_backlog(s) > 0) {
        (void)usleep(300);
    }
}

static void it_is_checkpointed_at_16_mib(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    put_megabytes(s, 60);
    CHECK(wal_bytes(&h) < 40 * (uint64_t)MIB);  // one commit may be 8 MiB long
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    s = home_open(&h);
    CHECK_INT(wal_bytes(&h), 0);                // for a quick next start
    fr_store_stats stats;
    CHECK_INT(fr_store_stat(s, &stats, &err), FR_OK);
    CHECK(stats.database_bytes > 60 * (uint64_t)MIB);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

static void a_foreign_reader_delays_but_stops_nobody(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run_close(home_begin(s));
    char path[128];
    (void)snprintf(path, sizeof path, "%s/flowrun.db", h.path);
    sqlite3 *foreign;
    CHECK_INT(sqlite3_open(path, &foreign), SQLITE_OK);
    (void)sqlite3_db_config(foreign, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    CHECK_INT(sqlite3_exec(foreign, "BEGIN;SELECT count(*) FROM run", NULL, NULL, NULL), SQLITE_OK);
    put_megabytes(s, 75);
    CHECK(wal_bytes(&h) > 70 * (uint64_t)MIB);  // could not be cut
    (void)sqlite3_close(foreign);
    put_megabytes(s, 1);
    put_megabytes(s, 1);                       // starts it from the front
    CHECK(wal_bytes(&h) <= 32 * (uint64_t)MIB);
    CHECK_INT(atomic_load(&h.troubles), 0);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

static int64_t query(const home *h, const char *sql)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/flowrun.db", h->path);
    sqlite3 *db;
    sqlite3_stmt *st = NULL;
    int64_t got = -1;
    if (sqlite3_open(path, &db) == SQLITE_OK &&
        sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW) {
        got = sqlite3_column_int64(st, 0);
    }
    (void)sqlite3_finalize(st);
    (void)sqlite3_close(db);
    return got;
}

static void our_readers_are_waited_for(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run_close(home_begin(s));
    fr_store_lock *lock;
    CHECK_INT(fr_store_lock_open(h.path, NULL, 1000, NULL, &lock, &err), FR_OK);
    CHECK_INT(fr_store_lock_readers(lock, false, &err), FR_OK);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/flowrun.db", h.path);
    sqlite3 *reader;
    CHECK_INT(sqlite3_open(path, &reader), SQLITE_OK);
    (void)sqlite3_db_config(reader, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    CHECK_INT(sqlite3_exec(reader, "BEGIN;SELECT count(*) FROM run", NULL, NULL, NULL), SQLITE_OK);
    queue_megabytes(s, 90);                    // over 64 MiB it waits for us
    while (wal_bytes(&h) < 64 * (uint64_t)MIB) {
        (void)usleep(300);
    }
    CHECK_INT(sqlite3_exec(reader, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    fr_store_lock_readers_release(lock);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    CHECK_INT(query(&h, "SELECT count(*) FROM blob"), 90);
    (void)sqlite3_close(reader);
    fr_store_lock_close(lock);
    home_fini(&h);
}

// --- names ---

static int name_tasks(const home *h)
{
    fr_store_env env = {.home = h->path};
    fr_store *s;
    if (fr_store_open(&env, &s, &err) != FR_OK) {
        return 1;
    }
    fr_store_run *r = home_begin(s);
    for (uint32_t i = 1; i <= NAMES; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "module:task_%u", i % 350);
        fr_record rec = {.type = FR_REC_TASK, .seq = i, .row = i, .name = name,
                         .state = FR_SUCCESS};
        fr_store_append(r, &rec);
        if (i % 50 == 0) {
            fr_store_flush(s);
        }
    }
    fr_store_run_close(r);
    return fr_store_close(s, NULL) == FR_OK ? 0 : 1;
}

static int check_name(void *ctx, const fr_record *rec, fr_err *e)
{
    char name[32];
    (void)e;
    (void)snprintf(name, sizeof name, "module:task_%u", rec->row % 350);
    *(int *)ctx += strcmp(rec->name, name) == 0;
    return FR_OK;
}

static void names_are_stored_once(void)
{
    home h;
    home_init(&h);
    CHECK_INT(fr_store_close(home_open(&h), NULL), FR_OK);
    (void)fflush(NULL);
    pid_t children[2];
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            _exit(name_tasks(&h));
        }
    }
    for (int i = 0; i < 2; i++) {
        int status = 0;
        CHECK_INT(waitpid(children[i], &status, 0), children[i]);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    fr_store *s = home_open(&h);
    for (uint64_t run = 1; run <= 2; run++) {
        int right = 0;
        CHECK_INT(fr_store_records(s, run, check_name, &right, &err), FR_OK);
        CHECK_INT(right, NAMES);
    }
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    CHECK_INT(query(&h, "SELECT count(*) FROM name"), 351);   // and the flow's
    CHECK_INT(query(&h, "SELECT count(*) FROM tasks WHERE task='module:task_7' AND state=9"), 4);
    home_fini(&h);
}

int main(void)
{
    memset(megabyte, 'm', sizeof megabyte);
    CASE(it_is_checkpointed_at_16_mib);
    CASE(a_foreign_reader_delays_but_stops_nobody);
    CASE(our_readers_are_waited_for);
    CASE(names_are_stored_once);
    return check_end();
}
