// Limits as rows: the same answers as the table in memory, and what dead processes leave.
#include "core/base/rand.h"
#include "core/engine/store_priv.h"
#include "tests/unit/store_util.h"

#include <signal.h>
#include <sqlite3.h>

static fr_err err;

static void ask(fr_store_run *r, uint32_t number, const char *name, uint32_t n, int64_t since)
{
    fr_limit_need need = {.name = name, .n = n};
    fr_slot_ask a = {.ask = number, .row = number, .name = "m:t", .since = since, .needs = &need,
                     .n_needs = 1};
    fr_store_slot_ask(r, &a);
}

static void set(fr_store *s, const char *name, int64_t capacity)
{
    fr_limit *l = fr_zalloc(sizeof *l);
    (void)snprintf(l->name, sizeof l->name, "%s", name);
    l->capacity = capacity;
    l->source = FR_LIMIT_COMMAND;
    CHECK_INT(fr_store_limit_set(s, l, &err), FR_OK);
    fr_free(l);
}

static int wait_job(fr_store *s, fr_store_job *job, fr_err *e)
{
    (void)s;
    (void)job;
    (void)e;
    return FR_OK;
}

static void sync_store(fr_store *s)            // all that was queued is committed
{
    fr_store_job job = {.run = wait_job, .transact = true};
    CHECK_INT(fr_store_call(s, &job, &err), FR_OK);
}

typedef struct told {
    uint64_t asks;                             // bits
    char why[FR_ERR_MAX];
} told;

static void note(void *ctx, uint32_t number, const char *refused)
{
    told *t = ctx;
    t->asks |= UINT64_C(1) << number;
    if (refused[0] != '\0') {
        (void)snprintf(t->why, sizeof t->why, "%s", refused);
    }
}

static uint64_t granted(fr_store_run *r, char why[FR_ERR_MAX])
{
    told t = {0};
    int64_t next;
    CHECK_INT(fr_store_slots(r, note, &t, &next, &err), FR_OK);
    if (why != NULL) {
        memcpy(why, t.why, FR_ERR_MAX);
    }
    return t.asks;
}

static void slots_are_given_in_order_and_back_with_the_record(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *a = home_begin(s), *b = home_begin(s);
    set(s, "oms", 2);
    ask(a, 1, "oms", 1, 10);
    ask(b, 1, "oms", 1, 11);
    ask(b, 2, "oms", 1, 12);
    ask(a, 2, "oms", 3, 13);
    sync_store(s);
    char why[FR_ERR_MAX];
    CHECK_INT(granted(a, why), 1 << 1 | 1 << 2);
    CHECK(strstr(why, "it wants 3 slots of limit \"oms\", which has 2") != NULL);
    CHECK_INT(granted(b, NULL), 1 << 1);
    CHECK(fr_store_slots_moved(a) && fr_store_slots_moved(b) && !fr_store_slots_moved(b));
    fr_record end = {.type = FR_REC_TASK, .kind = FR_CALL_TASK, .seq = 1, .row = 1,
                     .name = "m:t", .state = FR_SUCCESS, .queued = 5, .ended = 6, .slot = 1};
    fr_store_append(a, &end);
    sync_store(s);
    CHECK_INT(granted(b, NULL), 1 << 1 | 1 << 2);
    fr_store_slot_release(b, 1);
    fr_store_slot_release(b, 2);
    sync_store(s);
    CHECK_INT(granted(b, NULL), 0);
    fr_store_run_close(a);
    fr_store_run_close(b);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

static int count_slot(void *ctx, const fr_slot_info *info, fr_err *e)
{
    (void)info;
    (void)e;
    ++*(int *)ctx;
    return FR_OK;
}

static int slots(fr_store *s)
{
    int n = 0;
    CHECK_INT(fr_store_slot_list(s, 1000, count_slot, &n, &err), FR_OK);
    return n;
}

static void the_end_of_a_run_gives_everything_back(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *a = home_begin(s), *b = home_begin(s);
    ask(a, 1, "oms", 1, 1);
    ask(a, 2, "oms", 1, 2);
    ask(b, 1, "oms", 1, 3);
    sync_store(s);
    CHECK_INT(slots(s), 3);
    fr_run_info info = {.state = FR_FAILED, .ended = 7};
    fr_store_run_update(a, &info);
    fr_store_run_close(a);
    CHECK_INT(slots(s), 1);
    CHECK_INT(granted(b, NULL), 1 << 1);
    CHECK_INT(fr_store_limit_remove(s, "nothing", &err), FR_ENOTFOUND);
    CHECK_INT(fr_store_limit_remove(s, "oms", &err), FR_OK);
    fr_store_run_close(b);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

// A process that takes slots and stops, until it is killed.
static pid_t start_holder(home *h, uint32_t n)
{
    int ready[2];
    CHECK(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        fr_store *s = home_open(h);
        fr_store_run *r = home_begin(s);
        for (uint32_t i = 1; i <= n; i++) {
            ask(r, i, "oms", 1, i);
        }
        sync_store(s);
        (void)!write(ready[1], "x", 1);
        for (;;) {
            (void)pause();
        }
    }
    (void)close(ready[1]);
    char byte;
    CHECK(read(ready[0], &byte, 1) == 1);
    (void)close(ready[0]);
    return pid;
}

static void note_run(void *ctx, uint64_t run)
{
    *(uint64_t *)ctx = run;
}

static void a_killed_owner_leaks_nothing(void)
{
    home h;
    home_init(&h);
    pid_t pid = start_holder(&h, 3);           // holds one, waits for two more
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    ask(r, 1, "oms", 1, 100);
    sync_store(s);
    CHECK_INT(granted(r, NULL), 0);
    uint64_t owner = 0;
    CHECK_INT(fr_store_slot_runs(r, note_run, &owner, &err), FR_OK);
    CHECK_INT(owner, 1);
    CHECK_INT(fr_store_run_pid(s, owner), pid);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    CHECK_INT(fr_store_run_pid(s, owner), -1);
    fr_store_slot_look(r);
    sync_store(s);
    CHECK_INT(granted(r, NULL), 1 << 1);
    CHECK_INT(slots(s), 1);
    fr_store_run_close(r);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

// --- the same as in memory ---

static bool of_memory(fr_limits *l, uint64_t *bits)    // bits per run, answers so far
{
    uint64_t run;
    uint32_t number;
    char why[FR_ERR_MAX];
    bool any = false;
    while (fr_limits_answer(l, &run, &number, why)) {
        bits[run] |= UINT64_C(1) << number;
        any = true;
    }
    return any;
}

static void rows_answer_as_memory_does(void)
{
    static const char *const names[] = {"a", "b", "c"};
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *runs[4] = {NULL, home_begin(s), home_begin(s), home_begin(s)};
    fr_rand rand;
    fr_rand_init(&rand, 5, 1);
    fr_limits *memory = fr_limits_new(NULL, NULL);
    uint64_t memory_bits[4] = {0}, done[4] = {0};
    uint32_t made[4] = {0};
    int given = 0;
    for (int step = 0; step < 300; step++) {
        uint32_t i = 1 + (uint32_t)fr_rand_below(&rand, 3);
        if (fr_rand_below(&rand, 8) == 0) {
            fr_limit *l = fr_zalloc(sizeof *l);
            (void)snprintf(l->name, sizeof l->name, "%s", names[fr_rand_below(&rand, 3)]);
            l->capacity = (int64_t)fr_rand_below(&rand, 4);
            l->source = FR_LIMIT_COMMAND;
            fr_limits_set(memory, l, step);
            CHECK_INT(fr_store_limit_set(s, l, &err), FR_OK);
            fr_free(l);
        } else if (fr_rand_below(&rand, 2) == 0 && made[i] < 60) {
            uint32_t first = (uint32_t)fr_rand_below(&rand, 3);
            fr_limit_need needs[] = {
                {.name = names[first], .n = 1 + (uint32_t)fr_rand_below(&rand, 2)},
                {.name = names[(first + 1) % 3], .n = 1}};
            fr_slot_ask a = {.ask = ++made[i], .row = 1, .name = "m:t", .since = step,
                             .priority = (int32_t)fr_rand_below(&rand, 3), .needs = needs,
                             .n_needs = 1 + (uint32_t)fr_rand_below(&rand, 2)};
            fr_limits_ask(memory, i, &a, step);
            fr_store_slot_ask(runs[i], &a);
        } else {
            uint64_t held = memory_bits[i] & ~done[i];
            if (held == 0) {
                continue;
            }
            uint32_t number = (uint32_t)__builtin_ctzll(held);
            done[i] |= UINT64_C(1) << number;
            fr_limits_release(memory, i, number, step);
            fr_store_slot_release(runs[i], number);
        }
        sync_store(s);
        given += of_memory(memory, memory_bits);
        for (int k = 1; k < 4; k++) {
            CHECK_INT(granted(runs[k], NULL), memory_bits[k] & ~done[k]);
        }
    }
    CHECK(given > 30);
    for (int k = 1; k < 4; k++) {
        fr_store_run_close(runs[k]);
    }
    fr_limits_free(memory);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

// A store as the first version made it is brought up to date, its runs are still there.
static void an_older_store_opens(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    append_task(r, 1);
    fr_store_run_close(r);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/flowrun.db", h.path);
    sqlite3 *db;
    CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
    CHECK_INT(sqlite3_exec(db, "DROP TABLE limits;DROP TABLE slot;DROP TABLE slot_run;DROP TABLE cache;"
                               "DROP TABLE outbox;"
                               "PRAGMA user_version=1", NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
    s = home_open(&h);
    counted c = {0};
    CHECK_INT(fr_store_records(s, 1, count_tasks, &c, &err), FR_OK);
    CHECK_INT(c.n, 1);
    CHECK_INT(slots(s), 0);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

int main(void)
{
    CASE(slots_are_given_in_order_and_back_with_the_record);
    CASE(the_end_of_a_run_gives_everything_back);
    CASE(a_killed_owner_leaks_nothing);
    CASE(rows_answer_as_memory_does);
    CASE(an_older_store_opens);
    return check_end();
}
