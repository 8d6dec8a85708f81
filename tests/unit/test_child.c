// Children through the reaper: output, ends, groups, and that nothing outlives its run.
#include "check.h"
#include "core/base/mem.h"
#include "core/engine/child.h"

#include <uv.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const reaper_argv[] = {"/proc/self/exe", "--reaper", "%d", NULL};
static uv_loop_t loop;
static fr_reaper *reaper;
static fr_children *children;
static char folder[] = "/tmp/flowrun-child-XXXXXX";

typedef struct seen {
    char out[2][4096];
    size_t n[2], total[2];
    int ends;
    fr_child_end end;
} seen;

static void on_output(void *ctx, int stream, const char *bytes, size_t n)
{
    seen *s = ctx;
    size_t room = sizeof s->out[0] - 1 - s->n[stream - 1];
    memcpy(s->out[stream - 1] + s->n[stream - 1], bytes, FR_MIN(n, room));
    s->n[stream - 1] += FR_MIN(n, room);
    s->total[stream - 1] += n;
}

static void on_ended(void *ctx, const fr_child_end *end)
{
    seen *s = ctx;
    s->ends++;
    s->end = *end;
}

static fr_child *start_spec(seen *s, fr_child_spec spec)
{
    memset(s, 0, sizeof *s);
    spec.output = on_output;
    spec.ended = on_ended;
    spec.ctx = s;
    fr_err err = FR_ERR_INIT;
    fr_child *p;
    CHECK_INT(fr_child_start(children, &spec, &p, &err), FR_OK);
    return p;
}

static void wait_for(const seen *s)
{
    while (s->ends == 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    CHECK_INT(s->ends, 1);
}

static void run(seen *s, const char *line)
{
    (void)start_spec(
        s, (fr_child_spec){.argv = (const char *const[]){"sh", "-c", line, NULL}});
    wait_for(s);
}

static bool gone(pid_t pid) { return kill(pid, 0) != 0 && errno == ESRCH; }

static void wait_gone(pid_t pid)
{
    CHECK(pid > 1);
    while (pid > 1 && !gone(pid)) {
        (void)sched_yield();
    }
}

// --- cases ---

static void output_and_code_come_back(void)
{
    seen s;
    run(&s, "echo out; echo err >&2; exit 3");
    CHECK_STR(s.out[0], "out\n");
    CHECK_STR(s.out[1], "err\n");
    CHECK_INT(s.end.code, 3);
    CHECK_INT(s.end.signal, 0);
    run(&s, "kill -9 $$");
    CHECK_INT(s.end.code, -1);
    CHECK_INT(s.end.signal, SIGKILL);
    run(&s, "true");
    CHECK_INT(s.end.code, 0);
}

static void large_output_is_complete(void)
{
    seen s;
    run(&s, "head -c 3000000 /dev/zero; head -c 100000 /dev/zero >&2");
    CHECK_INT(s.total[0], 3000000);
    CHECK_INT(s.total[1], 100000);
}

static void input_folder_and_environment_are_given(void)
{
    seen s;
    const char *const cat[] = {"cat", NULL};
    (void)start_spec(&s, (fr_child_spec){.argv = cat, .input = "hello", .input_size = 5});
    wait_for(&s);
    CHECK_STR(s.out[0], "hello");
    const char *const line[] = {"/bin/sh", "-c", "pwd; echo $A $B; cat", NULL};
    const char *const env[] = {"A=1 2", "B=x", NULL};
    (void)start_spec(&s, (fr_child_spec){.argv = line, .env = env, .dir = "/"});
    wait_for(&s);
    CHECK_STR(s.out[0], "/\n1 2 x\n");
    const char *const deaf[] = {"true", NULL};
    static char much[1 << 20];
    (void)start_spec(
        &s, (fr_child_spec){.argv = deaf, .input = much, .input_size = sizeof much});
    wait_for(&s);
    CHECK_INT(s.end.code, 0);
}

static void what_cannot_start_says_why(void)
{
    seen s;
    const char *const none[] = {"/no/such/program", NULL};
    (void)start_spec(&s, (fr_child_spec){.argv = none});
    wait_for(&s);
    CHECK_INT(s.end.start_errno, ENOENT);
    const char *const folder_argv[] = {"/tmp", NULL};
    (void)start_spec(&s, (fr_child_spec){.argv = folder_argv});
    wait_for(&s);
    CHECK_INT(s.end.start_errno, EACCES);
}

static void many_run_at_once(void)
{
    enum { N = 50 };
    static seen s[N];
    for (int i = 0; i < N; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "read x; echo %d; exit %d", i, i);
        const char *const argv[] = {"sh", "-c", line, NULL};
        (void)start_spec(&s[i],
                         (fr_child_spec){.argv = argv, .input = "\n", .input_size = 1});
    }
    for (int i = 0; i < N; i++) {
        wait_for(&s[i]);
        CHECK_INT(s[i].end.code, i);
        CHECK_INT(strtol(s[i].out[0], NULL, 10), i);
    }
}

// The grandchild ignores SIGTERM and has its pid printed by the shell.
static const char family[] = "(trap '' TERM; echo $$; exec sleep 1000) & "
                             "sh -c 'echo $PPID; trap \"\" TERM; sleep 1000' & wait";

static void read_pids(const seen *s, pid_t *a)
{
    while (s->n[0] < 2 || strchr(s->out[0], '\n') == NULL) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    *a = (pid_t)strtol(s->out[0], NULL, 10);
}

static void stopping_ends_the_whole_group(void)
{
    seen s;
    const char *const argv[] = {"sh", "-c", family, NULL};
    fr_child *p = start_spec(&s, (fr_child_spec){.argv = argv, .grace_ms = 1});
    pid_t leader;
    read_pids(&s, &leader);
    fr_child_stop(p);
    wait_for(&s);
    CHECK(s.end.stopped);
    CHECK(s.end.signal == SIGTERM || s.end.signal == SIGKILL);
    wait_gone(leader);
    while (kill(-leader, 0) == 0) { // the group is empty
        (void)sched_yield();
    }
}

static void a_time_limit_stops(void)
{
    seen s;
    const char *const argv[] = {"sleep", "1000", NULL};
    (void)start_spec(&s,
                     (fr_child_spec){.argv = argv, .timeout_ms = 1, .grace_ms = 1000});
    wait_for(&s);
    CHECK(s.end.timed_out);
    CHECK_INT(s.end.signal, SIGTERM);
}

static void what_a_child_leaves_in_its_group_is_killed(void)
{
    seen s;
    run(&s, "sleep 1000 & echo $!");
    CHECK_INT(s.end.code, 0);
    wait_gone((pid_t)strtol(s.out[0], NULL, 10));
}

static void dropped_children_are_killed(void)
{
    seen s;
    const char *const argv[] = {"sh", "-c", "echo $$; exec sleep 1000", NULL};
    fr_child *p = start_spec(&s, (fr_child_spec){.argv = argv});
    pid_t pid;
    read_pids(&s, &pid);
    fr_child_drop(p);
    wait_gone(pid);
    run(&s, "echo next");
    CHECK_STR(s.out[0], "next\n");
}

static void a_closed_channel_kills_its_children(void)
{
    seen s;
    fr_children *ours = children;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_children_open(&loop, reaper, reaper_argv, &children, &err), FR_OK);
    const char *const argv[] = {"sh", "-c", "echo $$; exec sleep 1000", NULL};
    (void)start_spec(&s, (fr_child_spec){.argv = argv});
    pid_t pid;
    read_pids(&s, &pid);
    fr_children_close(children);
    children = ours;
    wait_gone(pid);
    CHECK_INT(s.ends, 0);
}

static void a_killed_reaper_is_noticed_and_replaced(void)
{
    seen s;
    fr_reaper *other = fr_reaper_new(NULL);
    fr_children *ours = children;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_children_open(&loop, other, reaper_argv, &children, &err), FR_OK);
    const char *const argv[] = {"sh", "-c", "echo $PPID; kill -9 $PPID; exec sleep 0",
                                NULL};
    (void)start_spec(&s, (fr_child_spec){.argv = argv});
    wait_for(&s);
    CHECK(s.end.lost);
    CHECK(fr_children_lost(children));
    do { // the dying one may still take the next
        fr_children_close(children);
        CHECK_INT(fr_children_open(&loop, other, reaper_argv, &children, &err), FR_OK);
        run(&s, "echo again");
    } while (s.end.lost);
    CHECK_STR(s.out[0], "again\n");
    fr_children_close(children);
    children = ours;
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    fr_reaper_free(other);
}

// A process that starts children, one of which leaves its group and session, tells their
// pids and then waits to be killed: the "run" of the next case.
static int be_victim(void)
{
    (void)uv_loop_init(&loop);
    reaper = fr_reaper_new(getenv("TEST_LOCK"));
    fr_err err = FR_ERR_INIT;
    if (fr_children_open(&loop, reaper, reaper_argv, &children, &err) != FR_OK) {
        return 1;
    }
    seen s;
    const char *const argv[] = {"sh", "-c",
                                "echo $$; setsid sh -c 'echo $$; exec sleep 1000' & "
                                "sleep 1000",
                                NULL};
    (void)start_spec(&s, (fr_child_spec){.argv = argv});
    for (size_t shown = 0;;) {
        (void)uv_run(&loop, UV_RUN_ONCE);
        if (s.n[0] > shown && write(1, s.out[0] + shown, s.n[0] - shown) < 0) {
            return 1;
        }
        shown = s.n[0];
    }
}

static void nothing_outlives_a_killed_run(void)
{
    char lock[64];
    (void)snprintf(lock, sizeof lock, "%s/reaper", folder);
    CHECK_INT(setenv("TEST_LOCK", lock, 1), 0);
    int ends[2];
    CHECK_INT(pipe(ends), 0);
    posix_spawn_file_actions_t actions;
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    char *argv[] = {(char *)(uintptr_t) "/proc/self/exe", (char *)(uintptr_t) "--victim",
                    NULL};
    pid_t victim;
    CHECK_INT(posix_spawn(&victim, argv[0], &actions, NULL, argv, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(ends[1]);
    FILE *f = fdopen(ends[0], "r");
    int leader = 0, daemon = 0;
    CHECK_INT(fscanf(f, "%d %d", &leader, &daemon), 2);
    CHECK(!gone(leader) && !gone(daemon));
    struct flock held = {.l_type = F_WRLCK};
    int fd = open(lock, O_RDWR);
    CHECK(fd >= 0);
    CHECK(fd >= 0 && fcntl(fd, F_OFD_GETLK, &held) == 0 && held.l_type != F_UNLCK);
    CHECK_INT(kill(victim, SIGKILL), 0);
    CHECK_INT(waitpid(victim, NULL, 0), victim);
    wait_gone(leader);
    wait_gone(daemon);
    (void)fclose(f);
    do { // the reaper ends last, and its lock with it
        held = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    } while (fd >= 0 && fcntl(fd, F_OFD_GETLK, &held) == 0 && held.l_type != F_UNLCK);
    (void)close(fd);
    CHECK(access(lock, F_OK) != 0); // it has removed the file
}

static void open_all(void)
{
    CHECK(mkdtemp(folder) != NULL);
    (void)uv_loop_init(&loop);
    fr_err err = FR_ERR_INIT;
    reaper = fr_reaper_new(NULL);
    CHECK_INT(fr_children_open(&loop, reaper, reaper_argv, &children, &err), FR_OK);
}

static void close_all(void)
{
    fr_children_close(children);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&loop), 0);
    fr_reaper_free(reaper);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); // the reaper has been waited for
    CHECK_INT(rmdir(folder), 0);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--reaper") == 0) {
        return fr_reaper_main((int)strtol(argv[2], NULL, 10), argv[3]);
    }
    if (argc == 2 && strcmp(argv[1], "--victim") == 0) {
        return be_victim();
    }
    (void)signal(SIGPIPE, SIG_IGN);
    CASE(open_all);
    CASE(output_and_code_come_back);
    CASE(large_output_is_complete);
    CASE(input_folder_and_environment_are_given);
    CASE(what_cannot_start_says_why);
    CASE(many_run_at_once);
    CASE(stopping_ends_the_whole_group);
    CASE(a_time_limit_stops);
    CASE(what_a_child_leaves_in_its_group_is_killed);
    CASE(dropped_children_are_killed);
    CASE(a_closed_channel_kills_its_children);
    CASE(a_killed_reaper_is_noticed_and_replaced);
    CASE(nothing_outlives_a_killed_run);
    CASE(close_all);
    return check_end();
}
