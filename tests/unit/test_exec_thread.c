// labels: threads
// The thread executor with bodies written in C: what is promised about order of results,
// batches, cores, waiting, durability and cancel, without any Lua.
#include "check.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/engine/exec.h"
#include "core/engine/limit.h"

#include <uv.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

// --- bodies: the task's name says what it does ---

enum { WAITS = 64, BLOCKED_NS = 30000000 };

static struct { // what bodies and the test tell each other
    atomic_int inside, most_inside, wide_with_others, waiting, most_waiting;
    atomic_int gate; // "gate" bodies return when it is 0
    atomic_int ran;
} shared;

struct fr_body {
    fr_body_env env;
    atomic_int interrupted;
    fr_attempt *wait[WAITS];
    uint32_t item[WAITS];
    uint32_t waits;
};

static int open_body(fr_body **out, const fr_body_env *env, fr_err *err)
{
    (void)err;
    *out = fr_zalloc(sizeof **out);
    (*out)->env = *env;
    return FR_OK;
}

static void close_body(fr_body *b) { fr_free(b); }

static uint32_t waiting(fr_body *b) { return b->waits; }

static void each(fr_body *b, void (*fn)(void *ctx, fr_attempt *a, uint32_t item),
                 void *ctx)
{
    for (uint32_t i = 0; i < b->waits; i++) {
        fn(ctx, b->wait[i], b->item[i]);
    }
}

static void interrupt(fr_body *b, int how) { atomic_store(&b->interrupted, how); }

static bool is(const fr_attempt *a, const char *task)
{
    return strcmp(a->task, task) == 0;
}

static void raise_to(atomic_int *most, int value)
{
    int before = atomic_load(most);
    while (before < value && !atomic_compare_exchange_weak(most, &before, value)) {
    }
}

// Returns the code the body ends with, or -1 when it waits.
static int run(fr_body *b, const fr_attempt *a, uint32_t item)
{
    int code = FR_OK;
    int inside = atomic_fetch_add(&shared.inside, 1) + 1;
    raise_to(&shared.most_inside, inside);
    if (is(a, "kernel")) {
        while (!fr_cancelled()) {
            sched_yield();
        }
        code = fr_cancel_code();
    } else if (is(a, "loop")) { // stands for Lua that only a hook can stop
        while (atomic_load(&b->interrupted) == 0) {
            sched_yield();
        }
        code = fr_cancel_code();
    } else if (is(a, "stubborn")) { // swallows the first interrupts
        while (atomic_load(&b->interrupted) != FR_INTERRUPT_STICKY) {
            sched_yield();
        }
        code = fr_cancel_code();
    } else if (is(a, "wait")) {
        code = -1;
    } else if (is(a, "crash")) {
        (void)raise((int)a->row);
    } else if (is(a, "gate") || (is(a, "gate7") && item == 7)) {
        while (atomic_load(&shared.gate) != 0) {
            sched_yield();
        }
    } else if (is(a, "wide")) {
        for (int i = 0; i < 1000; i++) {
            sched_yield();
            atomic_fetch_add(&shared.wide_with_others, atomic_load(&shared.inside) > 1);
        }
    } else if (is(a, "pool")) {
        code = (int)fr_pool_threads();
    }
    atomic_fetch_add(&shared.ran, 1);
    atomic_fetch_sub(&shared.inside, 1);
    return code;
}

static void end(fr_body *b, fr_attempt *a, uint32_t item, int code)
{
    if (a->list == NULL) {
        fr_value *v = fr_value_int(code);
        b->env.done(b->env.ctx, a,
                    &(fr_done){.code = is(a, "pool") ? FR_OK : code, .result = v});
        fr_value_unref(v);
        return;
    }
    fr_buf value;
    fr_buf_init(&value, 64);
    fr_value_put_int(&value, (int64_t)item + 1);
    b->env.item(b->env.ctx, a,
                &(fr_item_done){.index = item,
                                .flags = code != 0 ? FR_ITEM_FAILED : 0,
                                .attempt = a->attempt,
                                .value = value.data,
                                .size = value.size});
    fr_buf_fini(&value);
}

static bool suspend(fr_body *b, fr_attempt *a, uint32_t item)
{
    FR_ASSERT(b->waits < WAITS);
    b->wait[b->waits] = a;
    b->item[b->waits++] = item;
    raise_to(&shared.most_waiting, atomic_fetch_add(&shared.waiting, 1) + 1);
    b->env.barrier(b->env.ctx, true);
    return atomic_load(&a->code->durable) >= a->need;
}

static void look(fr_body *b)
{
    for (uint32_t i = 0; i < b->waits;) {
        fr_attempt *a = b->wait[i];
        int code = atomic_load(&a->cancel.flag);
        if (code == 0 && atomic_load(&a->code->durable) < a->need) {
            i++;
            continue;
        }
        uint32_t item = b->item[i];
        b->wait[i] = b->wait[--b->waits];
        b->item[i] = b->item[b->waits];
        atomic_fetch_sub(&shared.waiting, 1);
        b->env.barrier(b->env.ctx, false);
        bool go = b->env.enter(b->env.ctx, a, item);
        FR_ASSERT(go == (code == 0));
        b->env.leave(b->env.ctx, a, 1000, 1);
        end(b, a, item, code);
    }
}

static void start(fr_body *b, fr_attempt *a)
{
    uint32_t item = 0, n = 0;
    if (!b->env.enter(b->env.ctx, a, 0)) {
        b->env.leave(b->env.ctx, a, 0, 1);
        if (a->list == NULL) {
            end(b, a, 0, atomic_load(&a->cancel.flag));
        }
        return;
    }
    atomic_store(&b->interrupted, 0);
    if (a->list == NULL) {
        int code = run(b, a, 0);
        b->env.leave(b->env.ctx, a, is(a, "blocks") ? BLOCKED_NS : 1000, 1);
        if (code >= 0) {
            end(b, a, 0, code);
        } else if (suspend(b, a, 0)) {
            look(b);
        }
        return;
    }
    while (b->env.claim(b->env.ctx, a, fr_clock_wall_ns(), &item)) {
        n++;
        int code = run(b, a, item);
        if (code >= 0) {
            end(b, a, item, code);
        } else {
            (void)suspend(b, a, item);
        }
    }
    b->env.leave(b->env.ctx, a, 1000 * (int64_t)n, n);
}

static const fr_body_ops bodies = {
    .open = open_body,
    .start = start,
    .look = look,
    .waiting = waiting,
    .each = each,
    .interrupt = interrupt,
    .close = close_body,
};

static int refuse_open(fr_body **out, const fr_body_env *env, fr_err *err)
{
    (void)env;
    *out = NULL;
    return fr_fail(err, FR_ELOAD, "no Lua today");
}

static const fr_body_ops broken_bodies = {.open = refuse_open};

// --- the engine's side ---

enum { MOST = 20000 };
static uv_loop_t loop;
static fr_exec *exec;
static fr_code code = {.name = "test"};
static int done_calls, last_calls, items, cancelled_items, codes[32];
static int64_t sum;
static int seen[MOST];
static void (*on_event)(fr_attempt *a, const fr_done *d);

static void on_done(void *ctx, fr_attempt *a, const fr_done *d)
{
    (void)ctx;
    done_calls++;
    last_calls += d->last;
    if (a->list == NULL || (d->n_items == 1 && d->items == NULL)) {
        CHECK(d->code >= 0 && d->code < 32);
        codes[d->code]++;
    }
    fr_reader r = fr_reader_of(d->items, d->size);
    fr_item_done item;
    uint32_t n = 0;
    while (d->items != NULL && fr_item_next(&r, &item)) {
        n++;
        items++;
        CHECK(item.index < MOST);
        seen[item.index]++;
        cancelled_items += (item.flags & FR_ITEM_CANCELLED) != 0;
        fr_reader v = fr_reader_of(item.value, item.size);
        fr_item value;
        CHECK(fr_value_next(&v, &value));
        sum += value.tag == FR_INT ? value.integer : 0;
    }
    CHECK(d->items == NULL || n == d->n_items);
    if (on_event != NULL) {
        on_event(a, d);
    }
}

static uint32_t sticky_ms, stuck_ms;
static const char *marker;
static void (*on_stuck)(void *ctx, fr_attempt *a);

static void begin_with(uint32_t workers, const fr_body_ops *ops)
{
    memset(&shared, 0, sizeof shared);
    memset(codes, 0, sizeof codes);
    memset(seen, 0, sizeof seen);
    done_calls = last_calls = items = cancelled_items = 0;
    sum = 0;
    on_event = NULL;
    atomic_store(&code.durable, 0);
    (void)uv_loop_init(&loop);
    fr_exec_env env = {.loop = &loop, .bodies = ops, .workers = workers, .done = on_done};
    env.sticky_ms = sticky_ms;
    env.stuck_ms = stuck_ms;
    env.marker = marker;
    env.stuck = on_stuck;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_exec_thread.open(&exec, &env, &err), FR_OK);
    fr_exec_thread.watch(exec, true);
}

static void begin(uint32_t workers) { begin_with(workers, &bodies); }

static void finish(void)
{
    fr_exec_thread.close(exec);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&loop), 0);
}

static void run_until_idle(void)
{
    (void)uv_run(&loop, UV_RUN_DEFAULT); // in-flight attempts keep the loop alive
    CHECK_INT(fr_exec_thread.running(exec), 0);
}

static void submit(fr_attempt *a, const char *task)
{
    a->code = &code;
    a->task = task;
    a->cpu = FR_MAX(a->cpu, 1);
    fr_exec_thread.start(exec, a);
}

static void submit_map(fr_attempt *a, const char *task, const fr_value *list, uint32_t n)
{
    a->list = list;
    a->count = n;
    submit(a, task);
}

// --- cases ---

static void single_calls_end_once_each(void)
{
    begin(2);
    fr_attempt *a = fr_zalloc(1000 * sizeof *a);
    for (int i = 0; i < 1000; i++) {
        submit(&a[i], "noop");
    }
    run_until_idle();
    CHECK_INT(codes[FR_OK], 1000);
    CHECK_INT(last_calls, 1000);
    CHECK_INT(atomic_load(&shared.ran), 1000);
    finish();
    fr_free(a);
}

static void every_item_of_a_map_comes_back_once(void)
{
    begin(2);
    fr_value *list = fr_value_nil();
    fr_attempt a = {.row = 1};
    submit_map(&a, "noop", list, MOST);
    run_until_idle();
    CHECK_INT(items, MOST);
    CHECK_INT(last_calls, 1);
    CHECK_INT(sum, (int64_t)MOST * (MOST + 1) / 2);
    for (int i = 0; i < MOST; i++) {
        CHECK(seen[i] == 1);
    }
    finish();
    fr_value_unref(list);
}

static void a_map_may_name_its_items(void)
{
    begin(2);
    fr_value *list = fr_value_nil();
    static const uint32_t indexes[] = {900, 3, 3000, 17, 5};
    fr_attempt a = {.indexes = indexes, .first = 1};
    submit_map(&a, "noop", list, 4);
    run_until_idle();
    CHECK_INT(items, 4);
    CHECK_INT(seen[900], 0);
    CHECK_INT(seen[3] + seen[3000] + seen[17] + seen[5], 4);
    finish();
    fr_value_unref(list);
}

static void an_empty_map_ends(void)
{
    begin(1);
    fr_value *list = fr_value_nil();
    fr_attempt a = {.row = 1};
    submit_map(&a, "noop", list, 0);
    run_until_idle();
    CHECK_INT(done_calls, 1);
    CHECK_INT(last_calls, 1);
    finish();
    fr_value_unref(list);
}

static int others;
static void open_gate(fr_attempt *a, const fr_done *d)
{
    others += (int)d->n_items;
    if (is(a, "gate7") && items >= 499 && seen[7] == 0) {
        atomic_store(&shared.gate, 0);
    }
}

// Item 7 returns only after the engine has the other 499: with one worker stuck in it,
// the rest of its batch must be taken back, and what is finished must reach the engine.
static void a_slow_item_holds_nothing_back(void)
{
    begin(2);
    fr_value *list = fr_value_nil();
    fr_attempt learn = {.row = 1};
    submit_map(&learn, "gate7", list, 500); // gate open: the task is known to be quick
    run_until_idle();
    memset(seen, 0, sizeof seen);
    items = others = 0;
    on_event = open_gate;
    atomic_store(&shared.gate, 1);
    fr_attempt a = {.row = 2};
    submit_map(&a, "gate7", list, 500);
    run_until_idle();
    CHECK_INT(items, 500);
    CHECK_INT(others, 500);
    finish();
    fr_value_unref(list);
}

static void wide_attempts_have_their_cores_alone(void)
{
    begin(2);
    uv_cpu_info_t *info;
    int cores;
    CHECK_INT(uv_cpu_info(&info, &cores), 0);
    uv_free_cpu_info(info, cores);
    fr_attempt *a = fr_zalloc(60 * sizeof *a);
    for (int i = 0; i < 60; i++) {
        a[i].cpu =
            i % 3 == 0 ? (uint32_t)cores + 7 : 1; // more than there are: all of them
        submit(&a[i], i % 3 == 0 ? "wide" : "noop");
    }
    run_until_idle();
    CHECK_INT(codes[FR_OK], 60);
    CHECK_INT(atomic_load(&shared.wide_with_others), 0);
    finish();
    fr_free(a);
}

static int64_t threads_seen;
static void see_threads(fr_attempt *a, const fr_done *d)
{
    (void)a;
    fr_reader r = fr_reader_of(d->result->bytes, d->result->size);
    fr_item v;
    CHECK(fr_value_next(&r, &v));
    threads_seen = v.integer;
}

static void kernels_use_as_many_threads_as_the_task_holds_cores(void)
{
    begin(1);
    on_event = see_threads;
    fr_attempt one = {.cpu = 1};
    submit(&one, "pool");
    run_until_idle();
    CHECK_INT(threads_seen, 1);
    finish();
}

static void cancel_one(const char *task, bool let_start, int why)
{
    begin(1);
    fr_attempt a = {.row = 1, .need = 1};
    submit(&a, task);
    while (let_start && atomic_load(&shared.inside) == 0 &&
           atomic_load(&shared.waiting) == 0) {
        sched_yield();
    }
    fr_exec_thread.cancel(exec, &a, why);
    fr_exec_thread.cancel(exec, &a, FR_ELOST); // the first one counts
    run_until_idle();
    CHECK_INT(codes[why], 1);
    CHECK_INT(done_calls, 1);
    finish();
}

static void a_queued_attempt_can_be_cancelled(void)
{
    begin(1);
    atomic_store(&shared.gate, 1);
    fr_attempt busy = {.row = 1}, a = {.row = 2};
    submit(&busy, "gate");
    while (atomic_load(&shared.inside) == 0) {
        sched_yield();
    }
    submit(&a, "noop");
    fr_exec_thread.cancel(exec, &a, FR_ECANCELLED);
    atomic_store(&shared.gate, 0);
    run_until_idle();
    CHECK_INT(codes[FR_ECANCELLED], 1);
    CHECK_INT(codes[FR_OK], 1);
    CHECK_INT(atomic_load(&shared.ran), 1);
    finish();
}

static void a_kernel_can_be_cancelled(void)
{
    cancel_one("kernel", true, FR_ECANCELLED);
    cancel_one("kernel", false, FR_ETIMEOUT);
}

static void a_loop_is_interrupted(void)
{
    cancel_one("loop", true, FR_ETIMEOUT);
    cancel_one("loop", false, FR_ECANCELLED);
}

static void a_stubborn_loop_is_interrupted_for_good(void)
{
    sticky_ms = 50;
    cancel_one("stubborn", true, FR_ECANCELLED);
    sticky_ms = 0;
}

static int stuck_calls;
static void give_up(void *ctx, fr_attempt *a)
{
    (void)ctx;
    stuck_calls++;
    fr_exec_thread.abandon(exec, a);
}

// The body ignores everything; what waits on the same worker is lost with it, what had
// not started runs on the new worker.
static void a_stuck_worker_is_replaced(void)
{
    sticky_ms = stuck_ms = 1;
    on_stuck = give_up;
    stuck_calls = 0;
    begin(1);
    static fr_attempt stone, later[3], waits; // its thread may look at it for ever
    stone = waits = (fr_attempt){.need = 1};
    submit(&waits, "wait");
    while (atomic_load(&shared.waiting) == 0) {
        sched_yield();
    }
    atomic_store(&shared.gate, 1);
    submit(&stone, "gate");
    while (atomic_load(&shared.inside) == 0) {
        sched_yield();
    }
    for (int i = 0; i < 3; i++) {
        later[i] = (fr_attempt){.row = 9};
        submit(&later[i], "noop");
    }
    fr_exec_thread.cancel(exec, &stone, FR_ECANCELLED);
    run_until_idle();
    CHECK_INT(stuck_calls, 1);
    CHECK_INT(codes[FR_ELOST], 2);
    CHECK_INT(codes[FR_OK], 3);
    atomic_store(&shared.gate, 0);
    fr_attempt more = {.row = 10};
    submit(&more, "noop");
    run_until_idle();
    CHECK_INT(codes[FR_OK], 4);
    finish();
    sticky_ms = stuck_ms = 0;
    on_stuck = NULL;
}

static void a_blocked_worker_does_not_use_up_timeouts(void)
{
    begin(1);
    fr_attempt waits = {.need = 1}, blocks = {.row = 2}, other = {.need = 1};
    submit(&waits, "wait");
    while (atomic_load(&shared.waiting) == 0) {
        sched_yield();
    }
    submit(&blocks, "blocks"); // says that it ran for 30 ms
    while (done_calls == 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    submit(&other, "wait");
    while (atomic_load(&shared.waiting) < 2) {
        sched_yield();
    }
    fr_exec_thread.cancel(exec, &waits, FR_ETIMEOUT);
    fr_exec_thread.cancel(exec, &other, FR_ETIMEOUT);
    CHECK_INT(atomic_load(&waits.cancel.flag), 0);           // put off
    CHECK_INT(atomic_load(&other.cancel.flag), FR_ETIMEOUT); // began afterwards
    run_until_idle();
    CHECK_INT(codes[FR_ETIMEOUT], 2);
    finish();
}

static int before_small;
static void note_small(fr_attempt *a, const fr_done *d)
{
    if (a->row == 2 && d->last) {
        before_small = items;
    }
}

// While item 7 of a large map holds the only worker a small one comes: they alternate.
static void maps_take_turns(void)
{
    begin(1);
    on_event = note_small;
    fr_value *list = fr_value_nil();
    fr_attempt large = {.row = 1}, small = {.row = 2, .first = MOST - 10};
    atomic_store(&shared.gate, 1);
    submit_map(&large, "gate7", list, MOST - 10);
    while (atomic_load(&shared.ran) < 7) {
        sched_yield();
    }
    submit_map(&small, "noop", list, 10);
    atomic_store(&shared.gate, 0);
    run_until_idle();
    CHECK_INT(items, MOST);
    CHECK(before_small < MOST);
    finish();
    fr_value_unref(list);
}

static uint32_t order[16], n_order;
static void note_order(fr_attempt *a, const fr_done *d)
{
    if (d->last && n_order < FR_COUNT(order)) {
        order[n_order++] = a->row;
    }
}

// While a body holds the only worker others come. A point of priority is worth a minute in the
// queue; what is equal keeps its order.
static void priority_goes_first_and_waiting_counts(void)
{
    const int64_t minute = FR_LIMIT_AGE_NS;
    fr_attempt a[] = {{.row = 1, .queued = 100 * minute}, {.row = 2, .queued = 100 * minute},
                      {.row = 3, .queued = 101 * minute, .priority = -2},
                      {.row = 4, .queued = 101 * minute, .priority = 5},
                      {.row = 5, .queued = 101 * minute, .priority = 5},
                      {.row = 6, .queued = 102 * minute, .priority = 900},
                      {.row = 7, .queued = 103 * minute, .priority = 1},
                      {.row = 8, .queued = 103 * minute, .priority = 3},
                      {.row = 9, .queued = 104 * minute}};
    const uint32_t expected[] = {6, 4, 5, 8, 1, 2, 7, 3, 9};
    begin(1);
    on_event = note_order;
    n_order = 0;
    fr_attempt first = {.row = 10};
    atomic_store(&shared.gate, 1);
    submit(&first, "gate");
    while (atomic_load(&shared.inside) == 0) {
        sched_yield();
    }
    for (size_t i = 0; i < FR_COUNT(a); i++) {
        submit(&a[i], "noop");
    }
    atomic_store(&shared.gate, 0);
    run_until_idle();
    CHECK_INT(n_order, FR_COUNT(expected) + 1);
    for (size_t i = 0; i < FR_COUNT(expected); i++) {
        CHECK_INT(order[i + 1], expected[i]);
    }
    finish();
}

// --- markers of a process that dies ---

static int be_crasher(const char *path, int signal)
{
    marker = path;
    code.run = 77;
    begin(1);
    fr_attempt a = {.row = (uint32_t)signal, .attempt = 3};
    submit(&a, "crash");
    run_until_idle();
    return 0;
}

static fr_marker marker_after(int signal)
{
    char path[] = "/tmp/flowrun-marker-XXXXXX", number[16];
    int fd = mkstemp(path);
    (void)close(fd);
    (void)snprintf(number, sizeof number, "%d", signal);
    char *argv[] = {(char *)(uintptr_t) "/proc/self/exe", (char *)(uintptr_t) "--crash",
                    path, number, NULL};
    pid_t pid;
    int status = 0;
    posix_spawn_file_actions_t quiet;            // sanitizers describe the crash at length
    (void)posix_spawn_file_actions_init(&quiet);
    (void)posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
    CHECK_INT(posix_spawn(&pid, argv[0], &quiet, NULL, argv, environ), 0);
    (void)posix_spawn_file_actions_destroy(&quiet);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
    fr_marker m[4] = {{0}};
    CHECK_INT(fr_marker_read(path, m, 4), 1);
    (void)unlink(path);
    return m[0];
}

static void a_marker_tells_what_ran_when_the_process_died(void)
{
    fr_marker m = marker_after(SIGSEGV);
    CHECK_INT(m.run, 77);
    CHECK_INT(m.row, SIGSEGV);
    CHECK_INT(m.attempt, 3);
    CHECK_INT(m.signal, SIGSEGV);
    m = marker_after(SIGKILL);
    CHECK_INT(m.row, SIGKILL);
    CHECK_INT(m.signal, 0);
    m = marker_after(SIGABRT);
    CHECK_INT(m.signal, SIGABRT);
}

static void a_clean_end_leaves_no_marker(void)
{
    char path[] = "/tmp/flowrun-marker-XXXXXX";
    (void)close(mkstemp(path));
    marker = path;
    begin(2);
    fr_attempt a = {.row = 1};
    submit(&a, "noop");
    run_until_idle();
    fr_marker m[4];
    CHECK_INT(fr_marker_read(path, m, 4), 0);
    finish();
    CHECK(access(path, F_OK) != 0);
    marker = NULL;
}

static void a_waiting_body_can_be_cancelled(void)
{
    cancel_one("wait", true, FR_ECANCELLED);
}

static void a_cancelled_map_accounts_for_every_item(void)
{
    begin(2);
    fr_value *list = fr_value_nil();
    fr_attempt a = {.row = 1};
    atomic_store(&shared.gate, 1);
    submit_map(&a, "gate7", list, MOST);
    while (atomic_load(&shared.ran) < 7) {
        sched_yield();
    }
    fr_exec_thread.cancel(exec, &a, FR_ECANCELLED);
    atomic_store(&shared.gate, 0);
    run_until_idle();
    CHECK_INT(items, MOST);
    CHECK_INT(last_calls, 1);
    CHECK_INT(cancelled_items + atomic_load(&shared.ran), MOST);
    for (int i = 0; i < MOST; i++) {
        CHECK(seen[i] == 1);
    }
    finish();
    fr_value_unref(list);
}

static void effects_wait_until_durable(void)
{
    begin(2);
    fr_attempt a = {.effect = true, .need = 5}, b = {.need = 5},
               c = {.effect = true, .need = 9};
    submit(&a, "noop");
    submit(&b, "wait"); // waits inside the body
    submit(&c, "noop");
    while (atomic_load(&shared.waiting) == 0) {
        sched_yield();
    }
    CHECK_INT(atomic_load(&shared.ran), 1);
    atomic_store(&code.durable, 7);
    fr_exec_thread.durable(exec);
    while (done_calls < 2) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    CHECK_INT(codes[FR_OK], 2);
    CHECK_INT(done_calls, 2);
    fr_exec_thread.cancel(exec, &c, FR_ECANCELLED);
    run_until_idle();
    CHECK_INT(codes[FR_ECANCELLED], 1);
    CHECK_INT(atomic_load(&shared.ran), 2);
    finish();
}

static void at_most_64_bodies_wait_on_a_worker(void)
{
    begin(1);
    fr_value *list = fr_value_nil();
    fr_attempt map = {.row = 1, .need = 1};
    fr_attempt *a = fr_zalloc(100 * sizeof *a);
    for (int i = 0; i < 100; i++) {
        a[i].need = 1;
        submit(&a[i], "wait");
    }
    submit_map(&map, "wait", list, 100);
    while (atomic_load(&shared.waiting) < WAITS) {
        sched_yield();
    }
    atomic_store(&code.durable, 1);
    fr_exec_thread.durable(exec);
    while (last_calls < 101) {
        fr_exec_thread.durable(exec); // bodies that begin to wait meanwhile
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    CHECK_INT(atomic_load(&shared.most_waiting), WAITS);
    CHECK_INT(items, 100);
    CHECK_INT(codes[FR_OK], 100);
    finish();
    fr_free(a);
    fr_value_unref(list);
}

static void without_a_lua_state_attempts_fail(void)
{
    begin_with(1, &broken_bodies);
    fr_value *list = fr_value_nil();
    fr_attempt a = {.row = 1}, map = {.row = 2};
    submit(&a, "noop");
    submit_map(&map, "noop", list, 10);
    run_until_idle();
    CHECK_INT(codes[FR_ELOAD], 11);
    CHECK_INT(last_calls, 2);
    finish();
    fr_value_unref(list);
}

static void close_ends_what_is_left(void)
{
    begin(2);
    static fr_attempt a[6];
    memset(a, 0, sizeof a);
    static const char *const tasks[] = {"kernel", "loop",   "wait",
                                        "noop",   "kernel", "noop"};
    for (int i = 0; i < 6; i++) {
        a[i].need = 1;
        submit(&a[i], tasks[i]);
    }
    finish();
    CHECK_INT(atomic_load(&shared.inside), 0);
}

static int chain;
static void next_link(fr_attempt *a, const fr_done *d)
{
    (void)d;
    if (++chain < 2000) {
        fr_exec_thread.start(exec, a); // done may start the same attempt again
    }
}

static void a_chain_hands_over_and_back(void)
{
    begin(1);
    on_event = next_link;
    chain = 0;
    fr_attempt a = {.row = 1};
    submit(&a, "noop");
    run_until_idle();
    CHECK_INT(chain, 2000);
    finish();
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--crash") == 0) {
        return be_crasher(argv[2], (int)strtol(argv[3], NULL, 10));
    }
    CASE(single_calls_end_once_each);
    CASE(every_item_of_a_map_comes_back_once);
    CASE(a_map_may_name_its_items);
    CASE(an_empty_map_ends);
    CASE(a_slow_item_holds_nothing_back);
    CASE(wide_attempts_have_their_cores_alone);
    CASE(kernels_use_as_many_threads_as_the_task_holds_cores);
    CASE(a_queued_attempt_can_be_cancelled);
    CASE(a_kernel_can_be_cancelled);
    CASE(a_loop_is_interrupted);
    CASE(a_waiting_body_can_be_cancelled);
    CASE(a_cancelled_map_accounts_for_every_item);
    CASE(effects_wait_until_durable);
    CASE(at_most_64_bodies_wait_on_a_worker);
    CASE(without_a_lua_state_attempts_fail);
    CASE(close_ends_what_is_left);
    CASE(a_chain_hands_over_and_back);
    CASE(a_stubborn_loop_is_interrupted_for_good);
    CASE(a_stuck_worker_is_replaced);
    CASE(a_blocked_worker_does_not_use_up_timeouts);
    CASE(maps_take_turns);
    CASE(priority_goes_first_and_waiting_counts);
    CASE(a_marker_tells_what_ran_when_the_process_died);
    CASE(a_clean_end_leaves_no_marker);
    return check_end();
}
