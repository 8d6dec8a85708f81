// labels: slow
// The process executor with bodies written in C: what dies takes its own attempt only, and
// says why. That bodies behave as on threads is shown by tests/bind/test_body.c, which runs
// on both.
#include "check.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/engine/exec.h"
#include "core/engine/exec_child.h"
#include "core/engine/reaper.h"

#include <uv.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

// --- bodies: the task's name says what it does; the first argument is in `row` ---

struct fr_body {
    fr_body_env env;
};

static int open_body(fr_body **out, const fr_body_env *env, fr_err *err)
{
    (void)err;
    *out = fr_zalloc(sizeof **out);
    (*out)->env = *env;
    return FR_OK;
}

static void close_body(fr_body *b) { fr_free(b); }

static uint32_t waiting(fr_body *b)
{
    (void)b;
    return 0;
}

static void look(fr_body *b) { (void)b; }

static void interrupt(fr_body *b, int how)
{
    (void)b;
    (void)how;
}

static bool is(const fr_attempt *a, const char *task)
{
    return strcmp(a->task, task) == 0;
}

static void fill_memory(void)
{
    for (;;) {
        char *p = fr_try_alloc(1 << 20);
        if (p == NULL) {
            abort();
        }
        memset(p, 1, 1 << 20);
    }
}

static int64_t run(const fr_attempt *a, uint32_t item)
{
    if (is(a, "signal7") && item == 7) {
        (void)raise((int)a->row);
    } else if (is(a, "signal") && a->row != SIGTERM) {
        (void)raise((int)a->row);
    } else if (is(a, "signal")) {
        (void)kill(getpid(), (int)a->row); // SIGTERM is the main thread's
        (void)pause();
    } else if (is(a, "exit")) {
        (void)fprintf(stderr, "enough is enough\n");
        exit((int)a->row);
    } else if (is(a, "fill")) {
        fill_memory();
    } else if (is(a, "stone")) { // ignores every wish
        FILE *f = fopen(getenv("FLOWRUN_TEST_NOTE"), "we");
        FR_ASSERT(f != NULL);
        (void)fclose(f);
        for (;;) {
            (void)sched_yield();
        }
    } else if (is(a, "hangup")) { // closes what it does not own
        for (int fd = 3; fd < 100; fd++) {
            (void)close(fd);
        }
        for (;;) {
            (void)pause();
        }
    } else if (is(a, "line") && a->code->line != NULL) {
        (void)a->code->line(a->code->line_ctx, a, item, 20, "a line", 6);
    }
    return (int64_t)getpid();
}

static void start(fr_body *b, fr_attempt *a)
{
    uint32_t item = 0;
    int64_t now = fr_clock_wall_ns();
    (void)b->env.enter(b->env.ctx, a, 0);
    if (a->list == NULL) {
        fr_value *v = fr_value_int(run(a, 0));
        b->env.leave(b->env.ctx, a, 1000, 1);
        b->env.done(b->env.ctx, a, &(fr_done){.result = v, .started = now, .ended = now});
        fr_value_unref(v);
        return;
    }
    while (b->env.claim(b->env.ctx, a, now, &item)) {
        fr_buf value;
        fr_buf_init(&value, 64);
        fr_value_put_int(&value, run(a, item));
        b->env.item(b->env.ctx, a,
                    &(fr_item_done){.index = item, .value = value.data, .size = value.size});
        fr_buf_fini(&value);
    }
    b->env.leave(b->env.ctx, a, 1000, 1);
}

static const fr_body_ops bodies = {.open = open_body,
                                   .start = start,
                                   .look = look,
                                   .waiting = waiting,
                                   .interrupt = interrupt,
                                   .close = close_body};

// --- the engine's side ---

static const char *const reaper_argv[] = {"/proc/self/exe", "--reaper", "%d", NULL};
static const char *const worker_argv[] = {"/proc/self/exe", "--worker", NULL};
static const char *const broken_argv[] = {"/proc/self/exe", "--broken", NULL};
static const char *const absent_argv[] = {"/no/such/program", NULL};
static uv_loop_t loop;
static fr_exec *exec;
static fr_code code;
static int n_done, n_last, n_items, n_started, codes[64];
static int64_t result, pids[64];
static char error[2000];

static void on_started(void *ctx, fr_attempt *a, int64_t wall_ns)
{
    (void)ctx;
    CHECK(wall_ns > 0);
    n_started++;
    (void)a;
}

static void note_error(const fr_value *v)
{
    fr_buf b;
    fr_buf_init(&b, sizeof error);
    fr_value_json(v, &b, sizeof error - 10);
    (void)snprintf(error, sizeof error, "%s", fr_buf_text(&b));
    fr_buf_fini(&b);
}

static void on_done(void *ctx, fr_attempt *a, const fr_done *d)
{
    (void)ctx;
    n_done++;
    n_last += d->last;
    fr_reader r = fr_reader_of(d->items, d->size);
    fr_item_done item;
    while (d->items != NULL && fr_item_next(&r, &item)) {
        n_items++;
        codes[(item.flags & FR_ITEM_CANCELLED) != 0 ? FR_ECANCELLED : FR_OK]++;
        fr_reader v = fr_reader_of(item.value, item.size);
        fr_item value = {.integer = 0};
        CHECK(fr_value_next(&v, &value));
        pids[item.index % 64] = value.integer;
    }
    if (d->items == NULL && (a->list == NULL || d->n_items == 1)) {
        codes[d->code]++;
        CHECK_INT(d->code == FR_OK, d->error == NULL);
        CHECK(a->list != NULL || d->code == FR_ECANCELLED || d->started > 0);
    }
    if (d->error != NULL) {
        note_error(d->error);
    }
    if (d->result != NULL) {
        fr_reader v = fr_reader_of(d->result->bytes, d->result->size);
        fr_item value = {.integer = 0};
        CHECK(fr_value_next(&v, &value));
        result = value.integer;
    }
}

static void begin_with(uint32_t workers, const char *const *argv)
{
    memset(codes, 0, sizeof codes);
    n_done = n_last = n_items = n_started = 0;
    error[0] = '\0';
    code = (fr_code){.name = "test", .reaper = fr_reaper_new(NULL)};
    (void)uv_loop_init(&loop);
    fr_exec_env env = {.loop = &loop,
                       .bodies = &bodies,
                       .workers = workers,
                       .started = on_started,
                       .done = on_done,
                       .sticky_ms = 20,
                       .reaper_argv = reaper_argv,
                       .worker_argv = argv};
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_exec_process.open(&exec, &env, &err), FR_OK);
}

static void begin(uint32_t workers) { begin_with(workers, worker_argv); }

static void finish(void)
{
    fr_exec_process.close(exec);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&loop), 0);
    fr_reaper_free(code.reaper);
}

static void submit(fr_attempt *a, const char *task)
{
    a->code = &code;
    a->task = task;
    a->cpu = 1;
    a->report_start = true;
    fr_exec_process.start(exec, a);
}

static void run_until_idle(void)
{
    (void)uv_run(&loop, UV_RUN_DEFAULT); // attempts keep the loop alive, idle workers do not
    CHECK_INT(fr_exec_process.running(exec), 0);
}

static int64_t call(const char *task, int number)
{
    fr_attempt a = {.row = (uint32_t)number};
    result = -1;
    submit(&a, task);
    run_until_idle();
    return result;
}

static bool says(const char *part)
{
    bool found = strstr(error, part) != NULL;
    if (!found) {
        (void)fprintf(stderr, "not in it: %s\n  %s\n", part, error);
    }
    return found;
}

// --- cases ---

static void a_warm_process_serves_the_next_attempt(void)
{
    begin(1);
    int64_t pid = call("pid", 1);
    CHECK(pid > 0 && pid != getpid());
    CHECK_INT(call("pid", 2), pid);
    CHECK_INT(call("line", 3), pid);
    CHECK_INT(n_started, 3);
    fr_exec_process.forget(exec, &code); // the run has ended
    CHECK(call("pid", 4) != pid);
    finish();
}

static void a_fatal_signal_harms_its_attempt_only(void)
{
    begin(2);
    int64_t before = call("pid", 1);
    (void)call("signal", SIGSEGV);
    CHECK_INT(codes[FR_ECRASHED], 1);
    CHECK(says("\"code\":\"crashed\"") && says("SIGSEGV (a wrong address)"));
    CHECK(says("\"signal\":11") && says("\"signal_name\":\"SIGSEGV\"") && says("\"peak_memory\":"));
    int64_t after = call("pid", 2);
    CHECK(after > 0 && after != before);
    (void)call("signal", SIGABRT);
    CHECK_INT(codes[FR_ECRASHED], 2);
    CHECK(says("SIGABRT (it gave up)"));
    finish();
}

static void an_exit_harms_its_attempt_only(void)
{
    begin(1);
    (void)call("exit", 3);
    CHECK_INT(codes[FR_ECRASHED], 1);
    CHECK(says("exited with code 3") && says("\"exit_code\":3") && says("enough is enough"));
    (void)call("exit", 0);
    CHECK_INT(codes[FR_ECRASHED], 2);
    CHECK(call("pid", 1) > 0);
    finish();
}

static void a_killed_process_is_a_loss(void)
{
    begin(1);
    (void)call("signal", SIGKILL);
    CHECK_INT(codes[FR_ELOST], 1);
    CHECK(says("\"code\":\"lost\"") && says("SIGKILL (by somebody, or by the system"));
    (void)call("signal", SIGTERM);
    CHECK_INT(codes[FR_ELOST], 2);
    CHECK(call("pid", 1) > 0);
    finish();
}

static void an_item_that_dies_leaves_the_others(void)
{
    begin(2);
    fr_buf list;
    fr_buf_init(&list, 1000);
    fr_buf_put_u8(&list, FR_TABLE);
    fr_buf_put_varint(&list, 20);
    uint64_t offsets[21];
    for (int i = 0; i < 20; i++) {
        offsets[i] = list.size;
        fr_value_put_int(&list, i);
    }
    offsets[20] = list.size;
    fr_buf_put_varint(&list, 0);
    fr_value *v = fr_value_new(list.data, list.size, NULL, 0);
    fr_attempt a = {.row = SIGSEGV, .list = v, .offsets = offsets, .count = 20};
    submit(&a, "signal7");
    run_until_idle();
    CHECK_INT(codes[FR_OK], 19);
    CHECK_INT(codes[FR_ECRASHED], 1);
    CHECK_INT(n_last, 1);
    CHECK_INT(n_started, 1);
    for (int i = 0; i < 20; i++) {
        CHECK(i == 7 || pids[i] > 0);
    }
    finish();
    fr_buf_fini(&list);
    fr_value_unref(v);
}

static char note[] = "/tmp/flowrun-note-XXXXXX";

// Returns when the body of "stone" has begun.
static void start_stone(fr_attempt *a)
{
    (void)unlink(note);
    submit(a, "stone");
    while (access(note, F_OK) != 0) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
}

static void what_does_not_stop_is_killed(void)
{
    begin(1);
    fr_attempt stone = {.row = 1};
    start_stone(&stone);
    fr_exec_process.cancel(exec, &stone, FR_ETIMEOUT);
    run_until_idle();
    CHECK_INT(codes[FR_ETIMEOUT], 1);
    CHECK(says("longer than its timeout") && says("did not stop and was killed"));
    CHECK(call("pid", 1) > 0);
    finish();
}

static void a_queued_attempt_can_be_cancelled(void)
{
    begin(1);
    fr_attempt stone = {.row = 1}, queued = {.row = 2};
    start_stone(&stone);
    submit(&queued, "pid");
    fr_exec_process.cancel(exec, &stone, FR_ETIMEOUT);
    fr_exec_process.cancel(exec, &queued, FR_ECANCELLED);
    run_until_idle();
    CHECK_INT(codes[FR_ECANCELLED], 1);
    CHECK_INT(codes[FR_ETIMEOUT], 1);
    CHECK_INT(n_started, 1);
    finish();
}

static void memory_is_limited(void)
{
    begin(1);
    fr_attempt a = {.memory = 64 << 20};
    submit(&a, "fill");
    run_until_idle();
    CHECK_INT(codes[FR_ENOMEM], 1);
    CHECK(says("resources.memory = 64 MiB") && says("\"code\":\"no_memory\""));
    CHECK(call("pid", 1) > 0);
    finish();
}

static void a_process_that_hangs_up_is_ended(void)
{
    begin(1);
    (void)call("hangup", 1);
    // Killed by us, or its own loop noticed first that its descriptors are gone, and aborted.
    CHECK_INT(codes[FR_ELOST] + codes[FR_ECRASHED], 1);
    CHECK(call("pid", 1) > 0);
    finish();
}

static void what_cannot_start_is_a_loss(void)
{
    begin_with(1, absent_argv);
    (void)call("pid", 1);
    CHECK_INT(codes[FR_ELOST], 1);
    CHECK(says("could not be started: No such file"));
    finish();
    begin_with(1, broken_argv);
    (void)call("pid", 1);
    CHECK_INT(codes[FR_ELOST], 1);
    CHECK(says("before it was ready") && says("cannot begin"));
    finish();
}

static bool gone(pid_t pid) { return kill(pid, 0) != 0 && errno == ESRCH; }

static void kill_reaper(void)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "re");
    int pid = 0;
    CHECK(f != NULL && fscanf(f, "%d", &pid) == 1);
    if (f != NULL) {
        (void)fclose(f);
    }
    (void)kill(pid, SIGKILL);
}

static void a_killed_reaper_loses_its_workers_only(void)
{
    begin(1);
    fr_attempt a = {.row = 1};
    start_stone(&a);
    kill_reaper();
    run_until_idle();
    CHECK_INT(codes[FR_ELOST], 1);
    CHECK(says("the process that starts and watches workers was killed"));
    while (call("pid", 1) < 0) { // lost again while the old one is not quite dead
        CHECK_INT(codes[FR_ELOST], n_done);
    }
    finish();
}

static void close_ends_what_runs(void)
{
    begin(2);
    int64_t pid = call("pid", 1);
    static fr_attempt stone;
    stone = (fr_attempt){.row = 1};
    start_stone(&stone);
    finish(); // waits for the reaper, which waits for them
    CHECK(gone((pid_t)pid));
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--reaper") == 0) {
        return fr_reaper_main((int)strtol(argv[2], NULL, 10), argv[3]);
    }
    if (argc == 2 && strcmp(argv[1], "--worker") == 0) {
        return fr_exec_child_main(&bodies, NULL, NULL);
    }
    if (argc == 2 && strcmp(argv[1], "--broken") == 0) {
        (void)fprintf(stderr, "cannot begin\n");
        return 1;
    }
    (void)close(mkstemp(note));
    (void)setenv("FLOWRUN_TEST_NOTE", note, 1);
    CASE(a_warm_process_serves_the_next_attempt);
    CASE(a_fatal_signal_harms_its_attempt_only);
    CASE(an_exit_harms_its_attempt_only);
    CASE(a_killed_process_is_a_loss);
    CASE(an_item_that_dies_leaves_the_others);
    CASE(what_does_not_stop_is_killed);
    CASE(a_queued_attempt_can_be_cancelled);
    CASE(memory_is_limited);
    CASE(a_process_that_hangs_up_is_ended);
    CASE(what_cannot_start_is_a_loss);
    CASE(a_killed_reaper_loses_its_workers_only);
    CASE(close_ends_what_runs);
    (void)unlink(note);
    return check_end();
}
