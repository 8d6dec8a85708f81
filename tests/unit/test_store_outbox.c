// Messages in the store: made with their record, owned by one living run at a time, what becomes
// of them, what people change; and a store from before there were any.
#include "tests/unit/store_util.h"

#include <sqlite3.h>

static fr_err err;
enum { OUTBOX_SCHEMA = 4, ALL = 15, OPEN = 1 };   // the first version with messages; state bits

static void append_with(fr_store_run *r, uint64_t seq, const char *task, int n)
{
    static const uint8_t args[] = {6, 0, 0};               // {}
    fr_buf b;
    fr_buf_init(&b, 1 << 16);
    for (int i = 1; i <= n; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "k%d-o%d", (int)seq, i);
        fr_outbox_message m = {.task = task, .name = "order", .key = key, .args = args,
                               .args_size = sizeof args, .retry = {.retries = 3}};
        fr_outbox_put(&b, &m);
    }
    fr_value *v = fr_value_int(1);
    fr_record rec = {.type = FR_REC_TASK, .kind = FR_CALL_TASK, .seq = seq, .row = (uint32_t)seq,
                     .name = "storm:order", .state = FR_SUCCESS, .attempt = 1, .ended = 77,
                     .result = v, .data = b.data, .size = b.size};
    fr_store_append(r, &rec);
    fr_value_unref(v);
    fr_buf_fini(&b);
}

// Everything handed over is on disk when a further transaction is.
static void settle(fr_store *s)
{
    fr_store_flush(s);
    CHECK_INT(fr_store_outbox_change(s, 0, FR_OUTBOX_DELIVERED, &err), FR_OK);
}

typedef struct seen {
    int n, mine;
    fr_outbox_row last;
    char key[32], why[64];
} seen;

static int see(void *ctx, const fr_outbox_row *row, fr_err *e)
{
    seen *x = ctx;
    (void)e;
    x->n++;
    x->last = *row;
    (void)snprintf(x->key, sizeof x->key, "%s", row->key);
    (void)snprintf(x->why, sizeof x->why, "%s", row->error != NULL ? row->error : "");
    return FR_OK;
}

static seen list(fr_store *s, uint64_t run, uint64_t id, unsigned states)
{
    seen x = {.n = 0};
    CHECK_INT(fr_store_outbox(s, run, id, states, 100, see, &x, &err), FR_OK);
    return x;
}

static seen due(fr_store_run *r, int64_t now, int64_t *next)
{
    seen x = {.n = 0};
    CHECK_INT(fr_store_outbox_due(r, now, 100, see, &x, next, &err), FR_OK);
    return x;
}

static void a_record_brings_its_messages_once(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    CHECK(!fr_store_outbox_left(r));
    append_with(r, 1, FR_OUTBOX_HTTP, 3);
    append_task(r, 2);
    settle(s);
    seen x = list(s, 1, 0, ALL);
    CHECK_INT(x.n, 3);
    CHECK(strcmp(x.key, "k1-o3") == 0);
    CHECK_INT(x.last.n, 3);
    CHECK_INT(x.last.seq, 1);
    CHECK_INT(x.last.owner, 1);
    CHECK_INT(x.last.made, 77);
    CHECK_INT(list(s, 2, 0, ALL).n, 0);
    fr_store_run_close(r);
    CHECK_INT(fr_store_audit(s, 1, &err), FR_OK);
    CHECK_INT(fr_store_run_resume(s, 1, &r, &err), FR_OK);  // the log is as it was
    CHECK(fr_store_outbox_left(r));
    fr_store_run_close(r);
    CHECK_INT(list(s, 1, 0, ALL).n, 3);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

static void what_became_of_one_is_kept(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    append_with(r, 1, FR_OUTBOX_HTTP, 3);
    settle(s);
    int64_t next;
    CHECK_INT(due(r, 100, &next).n, 3);
    CHECK(next == INT64_MAX);
    fr_outbox_row later = {.id = 1, .attempts = 1, .due = 500, .changed = 90, .error = "HTTP 503"};
    fr_outbox_row dead = {.id = 2, .attempts = 4, .state = FR_OUTBOX_DEAD, .error = "HTTP 404"};
    fr_outbox_row good = {.id = 3, .attempts = 1, .state = FR_OUTBOX_DELIVERED};
    uint64_t last = 0;
    const fr_outbox_row *rows[] = {&later, &dead, &good};
    for (int i = 0; i < 3; i++) {
        uint64_t entry = fr_store_outbox_set(r, rows[i]);
        CHECK(entry > last);
        last = entry;
    }
    fr_store_flush(s);
    CHECK_INT(fr_store_outbox_change(s, 99, FR_OUTBOX_PENDING, &err), FR_ENOTFOUND);   // waits
    CHECK_INT(fr_store_outbox_done(r), last);
    CHECK_INT(due(r, 499, &next).n, 0);
    CHECK_INT(next, 500);
    seen x = due(r, 500, &next);
    CHECK_INT(x.n, 1);
    CHECK_INT(x.last.id, 1);
    CHECK_INT(x.last.attempts, 1);
    CHECK(strcmp(x.why, "HTTP 503") == 0);
    CHECK_INT(list(s, 0, 0, 1 << FR_OUTBOX_DEAD).last.id, 2);
    fr_store_run_close(r);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

// What the owner of a row is decides who delivers it: never two.
static void only_what_the_dead_left_is_taken_over(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *a = home_begin(s);
    append_with(a, 1, FR_OUTBOX_HTTP, 2);
    append_with(a, 2, "storm:sender", 1);
    settle(s);
    int64_t next;
    fr_store_run *b = home_begin(s);
    CHECK(fr_store_outbox_left(b));
    (void)fr_store_outbox_adopt(b);
    settle(s);
    CHECK_INT(due(b, 100, &next).n, 0);                    // a lives
    CHECK_INT(due(a, 100, &next).n, 3);
    fr_store_run_close(a);
    (void)fr_store_outbox_adopt(b);
    settle(s);
    CHECK_INT(due(b, 100, &next).n, 3);                    // the same flow: its sender, too
    CHECK_INT(fr_store_run_resume(s, 1, &a, &err), FR_OK);
    (void)fr_store_outbox_adopt(a);
    settle(s);
    CHECK_INT(due(a, 100, &next).n, 0);                    // b lives, and has them
    fr_outbox_row good = {.id = 1, .state = FR_OUTBOX_DELIVERED};
    (void)fr_store_outbox_set(a, &good);                   // not its row
    settle(s);
    CHECK_INT(list(s, 0, 1, OPEN).n, 1);
    fr_store_run_close(b);
    (void)fr_store_outbox_adopt(a);
    settle(s);
    CHECK_INT(due(a, 100, &next).n, 3);
    fr_store_run_close(a);
    fr_run_info info = {.flow = "other", .file = "/x/other.lua", .bundle = {9, 9}, .started = 1};
    fr_store_run *c;
    CHECK_INT(fr_store_run_begin(s, &info, &c, &err), FR_OK);
    (void)fr_store_outbox_adopt(c);
    settle(s);
    CHECK_INT(due(c, 100, &next).n, 2);                    // it does not have the sender's code
    fr_store_run_close(c);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

// Another process that lives keeps what it owns; its death gives it away.
static void another_process_keeps_its_messages(void)
{
    home h;
    home_init(&h);
    int ready[2];
    CHECK_INT(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        fr_store *s = home_open(&h);
        fr_store_run *r = home_begin(s);
        append_with(r, 1, FR_OUTBOX_HTTP, 2);
        settle(s);
        (void)!write(ready[1], "x", 1);
        (void)pause();
        _exit(0);
    }
    char one;
    CHECK_INT(read(ready[0], &one, 1), 1);
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    int64_t next;
    (void)fr_store_outbox_adopt(r);
    settle(s);
    CHECK_INT(due(r, 100, &next).n, 0);
    CHECK_INT(list(s, 1, 0, OPEN).n, 2);
    CHECK_INT(kill(pid, SIGKILL), 0);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    (void)fr_store_outbox_adopt(r);
    settle(s);
    CHECK_INT(due(r, 100, &next).n, 2);
    fr_store_run_close(r);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    (void)close(ready[0]);
    (void)close(ready[1]);
    home_fini(&h);
}

static void people_try_again_and_drop(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    append_with(r, 1, FR_OUTBOX_HTTP, 2);
    fr_outbox_row dead = {.id = 1, .attempts = 4, .state = FR_OUTBOX_DEAD, .error = "HTTP 404"};
    fr_outbox_row good = {.id = 2, .attempts = 1, .state = FR_OUTBOX_DELIVERED};
    (void)fr_store_outbox_set(r, &dead);
    (void)fr_store_outbox_set(r, &good);
    settle(s);
    CHECK_INT(fr_store_outbox_change(s, 2, FR_OUTBOX_PENDING, &err), FR_ENOTFOUND);
    CHECK_INT(fr_store_outbox_change(s, 2, FR_OUTBOX_DROPPED, &err), FR_ENOTFOUND);
    CHECK_INT(fr_store_outbox_change(s, 9, FR_OUTBOX_PENDING, &err), FR_ENOTFOUND);
    CHECK_INT(fr_store_outbox_change(s, 1, FR_OUTBOX_PENDING, &err), FR_OK);
    seen x = list(s, 0, 1, OPEN);
    CHECK_INT(x.n, 1);
    CHECK_INT(x.last.attempts, 0);
    CHECK_INT(x.last.due, 0);
    CHECK_INT(fr_store_outbox_change(s, 1, FR_OUTBOX_DROPPED, &err), FR_OK);
    (void)fr_store_outbox_set(r, &(fr_outbox_row){.id = 1, .state = FR_OUTBOX_DELIVERED});
    settle(s);                                             // it was under way: dropped stays
    CHECK_INT(list(s, 0, 1, 1 << FR_OUTBOX_DROPPED).n, 1);
    fr_store_run_close(r);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

static void a_store_from_before_opens(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    append_task(r, 1);
    fr_store_run_close(r);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    char text[128];
    (void)snprintf(text, sizeof text, "%s/flowrun.db", h.path);
    sqlite3 *db;
    CHECK_INT(sqlite3_open(text, &db), SQLITE_OK);
    (void)snprintf(text, sizeof text, "DROP TABLE outbox;PRAGMA user_version=%d", OUTBOX_SCHEMA - 1);
    CHECK_INT(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
    s = home_open(&h);
    CHECK_INT(fr_store_run_resume(s, 1, &r, &err), FR_OK);
    append_with(r, 2, FR_OUTBOX_HTTP, 1);
    settle(s);
    CHECK_INT(list(s, 1, 0, OPEN).n, 1);
    fr_store_run_close(r);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

int main(void)
{
    CASE(a_record_brings_its_messages_once);
    CASE(what_became_of_one_is_kept);
    CASE(only_what_the_dead_left_is_taken_over);
    CASE(another_process_keeps_its_messages);
    CASE(people_try_again_and_drop);
    CASE(a_store_from_before_opens);
    return check_end();
}
