// Power fails at a random operation: writes that were not synced are lost, or torn at
// sectors, in any combination. Acknowledged records are there, the database is sound, and the
// log is a prefix. With `relaxed` the last ones may be lost, but nothing else may happen.
#include "tests/unit/store_util.h"
#include "tests/unit/vfs_util.h"

// An argument is the number of lives instead of LIVES: `make power SEEDS=10000`.
enum { SECTOR = 512, TASKS = 600, LIVES = 60 };
static uint64_t lives = LIVES;

// What a write has overwritten since the last sync of its file.
typedef struct undo {
    struct undo *next;
    char name[128];
    sqlite3_int64 at, size;                    // size of the file before
    int n;
    unsigned char old[];
} undo;

static struct {
    pthread_mutex_t mutex;
    undo *last;
    long left;                                 // operations until the power fails
    bool off;
    uint64_t random;
} power = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static fr_err err;
static atomic_ullong acknowledged;

static uint64_t draw(uint64_t n)
{
    power.random ^= power.random << 13;
    power.random ^= power.random >> 7;
    power.random ^= power.random << 17;
    return power.random % n;
}

static void remember(vfs_file *f, int n, sqlite3_int64 at)
{
    undo *u = calloc(1, sizeof *u + (size_t)n);
    if (u == NULL) {
        abort();
    }
    (void)snprintf(u->name, sizeof u->name, "%s", f->name);
    u->at = at;
    u->n = n;
    (void)f->real->pMethods->xFileSize(f->real, &u->size);
    (void)f->real->pMethods->xRead(f->real, u->old, n, at);   // zeros behind the end
    u->next = power.last;
    power.last = u;
}

static void forget(const char *name)
{
    for (undo **at = &power.last; *at != NULL;) {
        undo *u = *at;
        if (name == NULL || strcmp(u->name, name) == 0) {
            *at = u->next;
            free(u);
        } else {
            at = &u->next;
        }
    }
}

static int watch(vfs_file *f, vfs_operation op, const void *p, int n, sqlite3_int64 at)
{
    (void)p;
    if (f->name == NULL || op == VFS_READ || op == VFS_OPEN) {
        return SQLITE_OK;
    }
    int rc = SQLITE_OK;
    (void)pthread_mutex_lock(&power.mutex);
    if (power.off || --power.left <= 0) {
        power.off = true;                      // nothing is done, nobody notices
        rc = VFS_SWALLOW;
    } else if (op == VFS_WRITE) {
        remember(f, n, at);
    } else if (op == VFS_SYNC) {
        forget(f->name);
    } else {                                   // a shorter file counts at once
        forget(f->name);
    }
    (void)pthread_mutex_unlock(&power.mutex);
    return rc;
}

// Puts back, from the last write to the first, some of the sectors that were not synced.
static void lose_writes(void)
{
    for (undo *u = power.last; u != NULL; u = u->next) {
        FILE *f = fopen(u->name, "r+");
        if (f == NULL) {
            continue;
        }
        uint64_t how = draw(3);                // kept, lost, torn
        for (int i = 0; i < u->n && how > 0; i += SECTOR) {
            if (how == 1 || draw(2) == 0) {
                (void)fseek(f, (long)(u->at + i), SEEK_SET);
                (void)fwrite(u->old + i, 1, (size_t)FR_MIN(SECTOR, u->n - i), f);
            }
        }
        (void)fclose(f);
    }
    forget(NULL);
}

static void acknowledge(void *ctx, fr_store_run *run, uint64_t seq)
{
    (void)ctx;
    (void)run;
    (void)pthread_mutex_lock(&power.mutex);
    if (!power.off) {
        atomic_store(&acknowledged, seq);
    }
    (void)pthread_mutex_unlock(&power.mutex);
}

static void work(const home *h, bool relaxed)
{
    fr_store_env env = {.home = h->path, .durable = acknowledge, .relaxed = relaxed};
    fr_store *s;
    if (fr_store_open(&env, &s, &err) != FR_OK) {
        return;
    }
    fr_run_info info = {.flow = "storm"};
    fr_store_run *r;
    if (fr_store_run_begin(s, &info, &r, &err) == FR_OK) {
        for (uint64_t seq = 1; seq <= TASKS; seq++) {
            append_task(r, seq);
            if (seq % 50 == 0) {
                fr_store_flush(s);
                while (fr_store_durable(r) < seq) {
                    (void)usleep(20);
                }
            }
        }
        fr_store_run_close(r);
    }
    (void)!fr_store_close(s, NULL);
}

// Returns how many acknowledged records are gone.
static uint64_t live(uint64_t seed, bool relaxed)
{
    home h;
    home_init(&h);
    power.random = seed * 0x9e3779b97f4a7c15ULL + 1;
    (void)draw(2);
    power.left = (long)draw(120) + 2;
    power.off = false;
    atomic_store(&acknowledged, 0);
    work(&h, relaxed);
    CHECK(power.off || atomic_load(&acknowledged) == TASKS);
    uint64_t known = atomic_load(&acknowledged);
    lose_writes();
    power.off = false;
    power.left = 1L << 40;
    counted c = {0};
    char path[128];
    (void)snprintf(path, sizeof path, "%s/flowrun.db", h.path);
    struct stat st;
    if (known > 0 || stat(path, &st) == 0) {
        fr_store *s = home_open(&h);
        int rc = fr_store_records(s, 1, count_tasks, &c, &err);
        CHECK_INT(rc, FR_OK);
        CHECK_INT(fr_store_close(s, NULL), FR_OK);
        CHECK(vfs_is_sound(h.path));
    }
    CHECK_INT(c.wrong, 0);
    if (c.n < known && !relaxed) {
        (void)fprintf(stderr, "seed %llu: %llu of %llu\n", (unsigned long long)seed,
                      (unsigned long long)c.n, (unsigned long long)known);
    }
    forget(NULL);
    home_fini(&h);
    return c.n < known ? known - c.n : 0;
}

static void acknowledged_records_survive(void)
{
    uint64_t lost = 0;
    for (uint64_t seed = 1; seed <= lives; seed++) {
        lost += live(seed, false);
    }
    CHECK_INT(lost, 0);
}

static void relaxed_loses_only_the_last_ones(void)
{
    uint64_t lost = 0;
    for (uint64_t seed = 1; seed <= lives; seed++) {
        lost += live(seed, true);
    }
    CHECK(lost > 0);                           // or this test would not notice anything
}

int main(int argc, char **argv)
{
    lives = argc > 1 ? strtoull(argv[1], NULL, 10) : LIVES;
    vfs_install(watch);
    CASE(acknowledged_records_survive);
    CASE(relaxed_loses_only_the_last_ones);
    return check_end();
}
