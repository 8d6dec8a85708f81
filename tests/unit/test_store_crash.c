// Death at every fault point and at random instants: what was acknowledged is there, the log
// is a prefix without gaps, and the run can be resumed.
#include "tests/unit/store_util.h"
#include "tests/unit/vfs_util.h"

#include <signal.h>
#include <sys/mman.h>

enum { TASKS = 400, LARGE_EVERY = 100 };

static fr_err err;
static atomic_ullong *acknowledged;            // shared with the children

static void acknowledge(void *ctx, fr_store_run *run, uint64_t seq)
{
    (void)ctx;
    (void)run;
    atomic_store(acknowledged, seq);
}

static void append_large(fr_store_run *r, uint64_t seq)
{
    static char text[70000];
    memset(text, 'a' + (int)(seq / LARGE_EVERY), sizeof text);
    fr_value *v = fr_value_text(text, sizeof text);
    fr_record rec = {.type = FR_REC_TASK, .kind = FR_CALL_TASK, .seq = seq, .row = (uint32_t)seq,
                     .name = "storm:large", .state = FR_SUCCESS, .result = v};
    fr_store_append(r, &rec);
    fr_value_unref(v);
}

// The whole life of a run, from what is already recorded.
static int work(const home *h, bool resume, uint64_t tasks)
{
    fr_store_env env = {.home = h->path, .durable = acknowledge};
    fr_store *s;
    fr_store_run *r;
    int rc = fr_store_open(&env, &s, &err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_run_info info = {.flow = "storm"};
    rc = resume ? fr_store_run_resume(s, 1, &r, &err) : fr_store_run_begin(s, &info, &r, &err);
    if (rc == FR_OK) {
        for (uint64_t seq = fr_store_durable(r) + 1; seq <= tasks; seq++) {
            if (seq % LARGE_EVERY == 0) {
                append_large(r, seq);
            } else {
                append_task(r, seq);
            }
            if (seq % 20 == 0) {
                (void)fr_store_log(r, 1, 0, 1, 2, "a line", 6);
                fr_store_flush(s);
                (void)usleep(50);
            }
        }
        static char blob[1200000];             // long enough for a checkpoint at the end
        if (fr_store_blob_put(s, (fr_hash){1, 1}, blob, sizeof blob, &err) != FR_OK) {
            return FR_EIO;
        }
        fr_run_info end = {.state = FR_SUCCESS, .ended = 5};
        fr_store_run_update(r, &end);
        fr_store_run_close(r);
    }
    int close = fr_store_close(s, rc == FR_OK ? &err : NULL);
    return rc == FR_OK ? close : rc;
}

typedef struct prefix {
    uint64_t n, wrong;
} prefix;

static int check_prefix(void *ctx, const fr_record *rec, fr_err *e)
{
    prefix *p = ctx;
    (void)e;
    p->n++;
    p->wrong += p->n % LARGE_EVERY == 0
                    ? rec->seq != p->n || rec->result == NULL || rec->result->size < 70000
                    : !is_task(rec, p->n);
    return FR_OK;
}

static uint64_t records_of(home *h, uint64_t *wrong)
{
    fr_store *s = home_open(h);
    prefix p = {0};
    CHECK_INT(fr_store_records(s, 1, check_prefix, &p, &err), FR_OK);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    *wrong = p.wrong;
    return p.n;
}

// What a dead process left behind; then the run is finished.
static void check_and_resume(home *h)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/flowrun.db", h->path);
    uint64_t n = 0, wrong = 0;
    bool begun = false;
    if (access(path, F_OK) == 0) {
        n = records_of(h, &wrong);
        CHECK(vfs_is_sound(h->path));
        fr_store *s = home_open(h);
        fr_store_stats stats;
        CHECK_INT(fr_store_stat(s, &stats, &err), FR_OK);
        begun = stats.runs == 1;
        CHECK(!fr_store_run_alive(s, 1, NULL));
        CHECK_INT(fr_store_close(s, NULL), FR_OK);
    }
    CHECK_INT(wrong, 0);
    CHECK(n >= atomic_load(acknowledged));
    CHECK(begun || n == 0);
    CHECK_INT(work(h, begun, TASKS), FR_OK);
    CHECK_INT(records_of(h, &wrong), TASKS);
    CHECK_INT(wrong, 0);
}

static pid_t start_child(const home *h, const char *plan)
{
    (void)fflush(NULL);
    atomic_store(acknowledged, 0);
    pid_t child = fork();
    if (child == 0) {
        if (plan != NULL && fr_fault_set(plan, NULL) != FR_OK) {
            _exit(9);
        }
        _exit(work(h, false, TASKS) == FR_OK ? 0 : 1);
    }
    return child;
}

// Points that the life of a run in this test does not pass.
static bool is_elsewhere(const char *name)
{
    return strncmp(name, "sys.spawn", 9) == 0 || strncmp(name, "sys.exec", 8) == 0 ||
           strncmp(name, "sys.truncate", 12) == 0;
}

static void killed_at_every_point(void)
{
    static const int hits[] = {1, 2, 4, 9, 30};
    size_t n;
    const char *const *names = fr_fault_names(&n);
    int killed = 0;
    for (size_t i = 0; i < n; i++) {
        int before = killed;
        for (size_t k = 0; k < FR_COUNT(hits); k++) {
            char plan[64];
            (void)snprintf(plan, sizeof plan, "%s:%d=kill", names[i], hits[k]);
            home h;
            home_init(&h);
            pid_t child = start_child(&h, plan);
            int status = 0;
            CHECK_INT(waitpid(child, &status, 0), child);
            bool died = WIFSIGNALED(status);
            killed += died;
            if (died) {
                check_and_resume(&h);
            } else {
                CHECK_INT(WEXITSTATUS(status), 0);
            }
            home_fini(&h);
            if (!died) {
                break;                         // it never gets there so often
            }
        }
        if (killed == before && !is_elsewhere(names[i])) {
            (void)fprintf(stderr, "  %s was never reached\n", names[i]);
            CHECK(killed > before);
        }
    }
    (void)printf("     killed %d times\n", killed);
    CHECK(killed >= 40);
}

static void killed_at_any_instant(void)
{
    int killed = 0;
    uint64_t random = 1442695040888963407ULL;
    for (int i = 0; i < 15; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        home h;
        home_init(&h);
        pid_t child = start_child(&h, NULL);
        (void)usleep((useconds_t)(random % 9000));
        (void)kill(child, SIGKILL);
        int status = 0;
        CHECK_INT(waitpid(child, &status, 0), child);
        killed += WIFSIGNALED(status);
        check_and_resume(&h);
        home_fini(&h);
    }
    CHECK(killed > 3);
}

int main(void)
{
    acknowledged = mmap(NULL, sizeof *acknowledged, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (acknowledged == MAP_FAILED) {
        return 1;
    }
    CASE(killed_at_every_point);
    CASE(killed_at_any_instant);
    return check_end();
}
