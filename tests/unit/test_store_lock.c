// labels: threads
// The store's lock: exclusive, fair, and it tells who holds it.
#include "core/engine/store_priv.h"
#include "tests/unit/store_util.h"

#include <signal.h>
#include <sys/mman.h>

static fr_err err;

typedef struct told {
    atomic_int times, pid, stopped;
} told;

static void tell(void *ctx, int pid, const char *what)
{
    told *t = ctx;
    atomic_store(&t->pid, pid);
    atomic_store(&t->stopped, strcmp(what, "stopped") == 0);
    (void)atomic_fetch_add(&t->times, 1);
    (void)kill(pid, SIGCONT);
}

static fr_store_lock *open_lock(const home *h, told *t)
{
    fr_store_lock *l = NULL;
    CHECK_INT(fr_store_lock_open(h->path, tell, 30, t, &l, &err), FR_OK);
    return l;
}

typedef struct waiter {
    fr_store_lock *lock;
    atomic_bool has;
} waiter;

static void *wait_for(void *arg)
{
    waiter *w = arg;
    if (fr_store_lock_take(w->lock, NULL) == FR_OK) {
        atomic_store(&w->has, true);
        fr_store_lock_release(w->lock);
    }
    return NULL;
}

static void one_holder_at_a_time(void)
{
    home h;
    home_init(&h);
    told t = {0};
    fr_store_lock *a = open_lock(&h, &t);
    waiter w = {.lock = open_lock(&h, &t)};
    CHECK_INT(fr_store_lock_take(a, &err), FR_OK);
    CHECK(!fr_store_lock_wanted(a));
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, wait_for, &w), 0);
    while (!fr_store_lock_wanted(a)) {
        (void)usleep(200);
    }
    CHECK(!atomic_load(&w.has));
    while (atomic_load(&t.times) == 0) {
        (void)usleep(1000);
    }
    CHECK_INT(atomic_load(&t.pid), getpid());
    CHECK_INT(atomic_load(&t.stopped), 0);
    fr_store_lock_release(a);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK(atomic_load(&w.has));
    CHECK_INT(atomic_load(&t.times), 1);       // once per wait
    CHECK_INT(fr_store_lock_take(a, &err), FR_OK);
    fr_store_lock_release(a);
    fr_store_lock_close(a);
    fr_store_lock_close(w.lock);
    home_fini(&h);
}

static void a_stopped_holder_is_named(void)
{
    home h;
    home_init(&h);
    told t = {0};
    int ready[2];
    CHECK_INT(pipe(ready), 0);
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        fr_store_lock *l;
        bool ok = fr_store_lock_open(h.path, NULL, 1000, NULL, &l, NULL) == FR_OK &&
                  fr_store_lock_take(l, NULL) == FR_OK && write(ready[1], "x", 1) == 1;
        (void)raise(SIGSTOP);
        _exit(ok ? 0 : 1);                     // the kernel lets go of the lock
    }
    char byte;
    int status = 0;
    CHECK_INT(read(ready[0], &byte, 1), 1);
    CHECK_INT(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    fr_store_lock *l = open_lock(&h, &t);
    CHECK_INT(fr_store_lock_take(l, &err), FR_OK);   // tell() let it go on
    CHECK_INT(atomic_load(&t.pid), child);
    CHECK_INT(atomic_load(&t.stopped), 1);
    fr_store_lock_release(l);
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    fr_store_lock_close(l);
    (void)close(ready[0]);
    (void)close(ready[1]);
    home_fini(&h);
}

static void *read_a_little(void *arg)
{
    waiter *w = arg;
    if (fr_store_lock_readers(w->lock, true, NULL) == FR_OK) {
        atomic_store(&w->has, true);
        fr_store_lock_readers_release(w->lock);
    }
    return NULL;
}

static void readers_share_until_somebody_wants_them_out(void)
{
    home h;
    home_init(&h);
    told t = {0};
    fr_store_lock *a = open_lock(&h, &t), *b = open_lock(&h, &t);
    waiter w = {.lock = open_lock(&h, &t)};
    CHECK_INT(fr_store_lock_readers(a, false, &err), FR_OK);
    CHECK_INT(fr_store_lock_readers(b, false, &err), FR_OK);
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, read_a_little, &w), 0);
    fr_store_lock_readers_release(a);
    CHECK(!atomic_load(&w.has));
    fr_store_lock_readers_release(b);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK(atomic_load(&w.has));
    fr_store_lock_close(a);
    fr_store_lock_close(b);
    fr_store_lock_close(w.lock);
    home_fini(&h);
}

// --- two processes with more to commit than one commit takes ---

enum { TASKS = 30000, LOG = 4096 };

typedef struct shared {
    atomic_int ready, n;
    atomic_int who[LOG];
    atomic_ulong largest[2];
} shared;

static shared *common;
static int self;

static void note_commit(void *ctx, fr_store_run *run, uint64_t seq)
{
    static uint64_t last;                      // of this process
    (void)ctx;
    (void)run;
    int at = atomic_fetch_add(&common->n, 1);
    if (at < LOG) {
        atomic_store(&common->who[at], self);
    }
    if (seq - last > atomic_load(&common->largest[self])) {
        atomic_store(&common->largest[self], seq - last);
    }
    last = seq;
}

static int child_of(const home *h, int me)
{
    self = me;
    fr_store_env env = {.home = h->path, .durable = note_commit};
    fr_store *s;
    if (fr_store_open(&env, &s, &err) != FR_OK) {
        return 1;
    }
    fr_store_run *r = home_begin(s);
    for (uint64_t seq = 1; seq <= TASKS; seq++) {
        append_task(r, seq);
    }
    (void)atomic_fetch_add(&common->ready, 1);
    while (atomic_load(&common->ready) < 2) {
        (void)usleep(100);
    }
    fr_store_flush(s);
    fr_store_run_close(r);
    return fr_store_close(s, NULL) == FR_OK ? 0 : 1;
}

static void processes_take_turns(void)
{
    home h;
    home_init(&h);
    common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (common == MAP_FAILED) {
        abort();
    }
    CHECK_INT(fr_store_close(home_open(&h), NULL), FR_OK);
    (void)fflush(NULL);
    pid_t children[2];
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            _exit(child_of(&h, i));
        }
    }
    for (int i = 0; i < 2; i++) {
        int status = 0;
        CHECK_INT(waitpid(children[i], &status, 0), children[i]);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    // While both had work the lock changed hands again and again.
    int n = atomic_load(&common->n), first[2] = {-1, -1}, last[2] = {-1, -1};
    for (int i = 0; i < n; i++) {
        int who = atomic_load(&common->who[i]);
        first[who] = first[who] < 0 ? i : first[who];
        last[who] = i;
    }
    int from = FR_MAX(first[0], first[1]), to = FR_MIN(last[0], last[1]), changes = 0;
    for (int i = from; i < to; i++) {
        changes += atomic_load(&common->who[i]) != atomic_load(&common->who[i + 1]);
    }
    (void)printf("     %d commits, %d together, %d changes\n", n, to - from, changes);
    CHECK(to > from && changes * 4 >= to - from);
    CHECK(atomic_load(&common->largest[0]) <= FR_STORE_ROWS &&
          atomic_load(&common->largest[1]) <= FR_STORE_ROWS);
    fr_store *s = home_open(&h);
    for (uint64_t run = 1; run <= 2; run++) {
        counted c = {0};
        CHECK_INT(fr_store_records(s, run, count_tasks, &c, &err), FR_OK);
        CHECK(c.n == TASKS && c.wrong == 0);
    }
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    (void)munmap(common, sizeof *common);
    home_fini(&h);
}

int main(void)
{
    CASE(one_holder_at_a_time);
    CASE(a_stopped_holder_is_named);
    CASE(readers_share_until_somebody_wants_them_out);
    CASE(processes_take_turns);
    return check_end();
}
