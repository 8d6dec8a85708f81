// Results found by key: those of calls and of items, the newest one, what is too old, damaged or
// gone with its run; and a store from before there was a cache.
#include "core/engine/item.h"
#include "tests/unit/store_util.h"

#include <sqlite3.h>

static fr_err err;
enum { CACHE_SCHEMA = 3 };             // the first version with a cache

static const fr_hash key_a = {1, 11}, key_b = {2, 22};

static void keep(fr_store_run *r, uint64_t seq, uint32_t item, fr_hash key, int64_t at)
{
    fr_kept k = {.seq = seq, .item = item, .task = "storm:fetch", .key = key, .at = at,
                 .verdict = FR_CACHE_MISS};
    fr_store_keep(r, &k);
}

static fr_found find(fr_store *s, const char *task, fr_hash key, int64_t oldest, int want)
{
    fr_lookup l = {.task = task, .n = 1, .oldest = oldest};
    fr_found f;
    err = (fr_err)FR_ERR_INIT;
    CHECK_INT(fr_store_find(s, &l, &key, &f, &err), want);
    return f;
}

static void check_found(fr_store *s, fr_hash key, int64_t value, uint64_t seq)
{
    fr_found f = find(s, "storm:fetch", key, 0, FR_OK);
    fr_value *v = fr_value_int(value);
    CHECK_INT(f.verdict, FR_CACHE_HIT);
    CHECK(f.result != NULL && fr_hash_eq(f.result->hash, v->hash));
    CHECK_INT(f.seq, seq);
    CHECK_INT(f.run, 1);
    fr_value_unref(f.result);
    fr_value_unref(v);
}

static void append_part(fr_store_run *r, uint64_t seq)
{
    fr_buf b;
    fr_buf_init(&b, 1 << 16);
    for (uint32_t i = 0; i < 3; i++) {
        fr_value *v = fr_value_int(100 + i);
        fr_item_done item = {.index = i, .value = v->bytes, .size = v->size,
                             .flags = i == 2 ? FR_ITEM_FAILED : 0};
        fr_item_put(&b, &item);
        fr_value_unref(v);
    }
    fr_record rec = {.type = FR_REC_MAP_PART, .kind = FR_CALL_MAP, .seq = seq, .row = 9,
                     .name = "storm:fetch", .items = 3, .data = b.data, .size = b.size};
    fr_store_append(r, &rec);
    fr_buf_fini(&b);
}

static void what_was_kept_is_found(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    append_task(r, 1);
    keep(r, 1, 0, key_a, 5000);
    append_task(r, 2);
    append_part(r, 3);
    keep(r, 3, 2, key_b, 6000);
    CHECK_INT(find(s, "storm:fetch", key_a, 0, FR_OK).verdict, FR_CACHE_MISS);   // not yet there
    fr_store_run_close(r);
    check_found(s, key_a, 3, 1);
    check_found(s, key_b, 101, 3);
    CHECK_INT(find(s, "storm:fetch", key_a, 5001, FR_OK).verdict, FR_CACHE_EXPIRED);
    CHECK_INT(find(s, "storm:fetch", (fr_hash){1, 12}, 0, FR_OK).verdict, FR_CACHE_MISS);
    CHECK_INT(find(s, "storm:other", key_a, 0, FR_ECORRUPT).verdict, FR_CACHE_DAMAGED);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

static void the_newest_of_equal_keys_is_found(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    append_task(r, 1);
    keep(r, 1, 0, key_a, 1);
    append_task(r, 2);
    keep(r, 2, 0, key_a, 2);
    append_part(r, 3);
    keep(r, 3, 3, key_b, 3);                   // an item that failed is no result
    fr_store_run_close(r);
    check_found(s, key_a, 6, 2);
    CHECK_INT(find(s, "storm:fetch", key_b, 0, FR_ECORRUPT).verdict, FR_CACHE_DAMAGED);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

static void sql(const home *h, const char *text)
{
    char path[128];
    sqlite3 *db;
    (void)snprintf(path, sizeof path, "%s/flowrun.db", h->path);
    CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
    CHECK_INT(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
}

static void make(home *h)
{
    home_init(h);
    fr_store *s = home_open(h);
    fr_store_run *r = home_begin(s);
    append_task(r, 1);
    append_task(r, 2);
    keep(r, 1, 0, key_a, 5000);
    fr_store_run_close(r);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
}

// An entry says nothing itself: it names a record, and both are checked.
static void entries_that_lie_are_noticed(void)
{
    static const char *const lies[] = {"UPDATE cache SET record=record+1",
                                       "UPDATE cache SET item=1", "UPDATE cache SET at=9000",
                                       "UPDATE task SET result=x'0304' WHERE row=1"};
    for (size_t i = 0; i < FR_COUNT(lies); i++) {
        home h;
        make(&h);
        sql(&h, lies[i]);
        fr_store *s = home_open(&h);
        fr_found f = find(s, "storm:fetch", key_a, 0, FR_ECORRUPT);
        CHECK_INT(f.verdict, FR_CACHE_DAMAGED);
        CHECK(f.result == NULL && strstr(err.text, "damaged") != NULL);
        CHECK_INT(fr_store_close(s, NULL), FR_OK);
        home_fini(&h);
    }
}

static void a_record_that_went_takes_its_entry_with_it(void)
{
    home h;
    make(&h);
    sql(&h, "DELETE FROM task");
    fr_store *s = home_open(&h);
    CHECK_INT(find(s, "storm:fetch", key_a, 0, FR_OK).verdict, FR_CACHE_MISS);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

static int count_rows(void *ctx, uint64_t run, const fr_kept *k, fr_err *e)
{
    (void)e;
    *(int *)ctx += run == 1 && k->seq == 1 && strcmp(k->task, "storm:fetch") == 0;
    return FR_OK;
}

static void a_store_from_before_opens(void)
{
    home h;
    make(&h);
    sql(&h, "DROP TABLE cache;DROP TABLE outbox");
    char version[64];
    (void)snprintf(version, sizeof version, "PRAGMA user_version=%d", CACHE_SCHEMA - 1);
    sql(&h, version);
    fr_store *s = home_open(&h);
    fr_store_run *r;
    CHECK_INT(fr_store_run_resume(s, 1, &r, &err), FR_OK);
    append_task(r, 3);
    keep(r, 3, 0, key_a, 1);
    fr_store_run_close(r);
    check_found(s, key_a, 9, 3);
    int rows = 0;
    CHECK_INT(fr_store_cache_rows(s, 1, NULL, 0, 10, count_rows, &rows, &err), FR_OK);
    CHECK_INT(rows, 0);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

int main(void)
{
    CASE(what_was_kept_is_found);
    CASE(the_newest_of_equal_keys_is_found);
    CASE(entries_that_lie_are_noticed);
    CASE(a_record_that_went_takes_its_entry_with_it);
    CASE(a_store_from_before_opens);
    return check_end();
}
