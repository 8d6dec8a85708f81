// What is in the store cannot be changed unnoticed.
#include "core/engine/item.h"
#include "tests/unit/store_util.h"

#include <sqlite3.h>

enum { TASKS = 60, PART = 30, VALUE = 31 };

static fr_err err;

static void append_others(fr_store_run *r)
{
    fr_buf b;
    fr_buf_init(&b, 4096);
    fr_item_done d = {.index = 3, .attempt = 1, .value = (const uint8_t *)"\3\4", .size = 2};
    fr_item_put(&b, &d);
    fr_record part = {.type = FR_REC_MAP_PART, .seq = PART, .row = 5, .data = b.data,
                      .size = b.size, .items = 1};
    fr_store_append(r, &part);
    fr_buf_fini(&b);
    fr_value *v = fr_value_int(5);
    fr_record now = {.type = FR_REC_VALUE, .seq = VALUE, .name = "now", .result = v, .due = 77,
                     .data = "text", .size = 4};
    fr_store_append(r, &now);
    fr_value_unref(v);
}

static void write_run(fr_store *s, bool end)
{
    fr_store_run *r = home_begin(s);
    for (uint64_t seq = 1; seq <= TASKS; seq++) {
        if (seq == PART) {
            append_others(r);
            seq = VALUE;
            continue;
        }
        append_task(r, seq);
        if (seq % 10 == 0) {                   // several commits
            fr_store_flush(s);
            while (fr_store_durable(r) < seq) {
                (void)usleep(50);
            }
        }
    }
    fr_run_info info = {.state = FR_SUCCESS, .ended = 9};
    if (end) {
        fr_store_run_update(r, &info);
    }
    fr_store_run_close(r);
}

static void change(const home *h, const char *sql)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/flowrun.db", h->path);
    sqlite3 *db;
    CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    CHECK_INT(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    if (strncmp(sql, "BEGIN", 5) != 0) {
        CHECK(sqlite3_changes(db) > 0);
    }
    (void)sqlite3_close(db);
}

static int audit(home *h, uint64_t run)
{
    fr_store *s = home_open(h);
    err = (fr_err)FR_ERR_INIT;
    int rc = fr_store_audit(s, run, &err);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    return rc;
}

static void an_untouched_store_passes(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    write_run(s, true);
    write_run(s, false);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    CHECK_INT(audit(&h, 1), FR_OK);
    CHECK_INT(audit(&h, 2), FR_OK);
    CHECK_INT(audit(&h, 99), FR_OK);
    s = home_open(&h);                         // goes on after its end
    fr_store_run *r;
    CHECK_INT(fr_store_run_resume(s, 1, &r, &err), FR_OK);
    append_task(r, TASKS + 1);
    fr_store_run_close(r);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    CHECK_INT(audit(&h, 1), FR_OK);
    home_fini(&h);
}

// ids are run << 32 | seq.
#define ID(seq) "((1<<32)+" #seq ")"

static void each_change_is_noticed(void)
{
    static const char *const changes[] = {
        "UPDATE task SET result=x'0302' WHERE id=" ID(5),
        "UPDATE task SET what=what+1 WHERE id=" ID(5),
        "UPDATE task SET queued=queued+1 WHERE id=" ID(60),
        "UPDATE task SET took=NULL WHERE id=" ID(60),
        "UPDATE task SET row=row+1 WHERE id=" ID(7),
        "UPDATE task SET extra=NULL WHERE id=" ID(7),
        "UPDATE task SET ids=zeroblob(36) WHERE id=" ID(7),
        "UPDATE journal SET data=x'00' WHERE id=" ID(31),
        "UPDATE journal SET due=1 WHERE id=" ID(31),
        "UPDATE journal SET type=2 WHERE id=" ID(31),
        "UPDATE map_part SET items=x'00' WHERE id=" ID(30),
        "UPDATE map_part SET n=2 WHERE id=" ID(30),
        "DELETE FROM task WHERE id=" ID(5),
        "DELETE FROM task WHERE id=" ID(60),
        "DELETE FROM seal WHERE id=" ID(60),
        "DELETE FROM seal WHERE id=" ID(10),
        "UPDATE seal SET hash=zeroblob(32) WHERE id=" ID(10),
        "UPDATE anchor SET chain=zeroblob(32) WHERE run=1",
        "UPDATE anchor SET head=zeroblob(32) WHERE run=1",
        "UPDATE anchor SET seq=50 WHERE run=1",
        "DELETE FROM anchor WHERE run=1",
        "UPDATE run SET records=59 WHERE id=1",
        // the whole end of the run at once
        "BEGIN;DELETE FROM task WHERE id>" ID(50) ";DELETE FROM seal WHERE id>" ID(50)
        ";UPDATE run SET records=50 WHERE id=1;COMMIT",
    };
    for (size_t i = 0; i < FR_COUNT(changes); i++) {
        home h;
        home_init(&h);
        fr_store *s = home_open(&h);
        write_run(s, true);
        write_run(s, true);
        CHECK_INT(fr_store_close(s, NULL), FR_OK);
        change(&h, changes[i]);
        int rc = audit(&h, 1);
        CHECK_INT(rc, FR_ECORRUPT);
        CHECK(strstr(err.text, "run ") != NULL);
        if (rc != FR_ECORRUPT) {
            (void)fprintf(stderr, "  after %s\n", changes[i]);
        }
        home_fini(&h);
    }
}

int main(void)
{
    CASE(an_untouched_store_passes);
    CASE(each_change_is_noticed);
    return check_end();
}
