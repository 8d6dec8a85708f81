#include "core/base/pool.h"

#include "core/base/cancel.h"
#include "core/base/err.h"
#include "core/base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { MAX_HELPERS = 255 };

typedef struct job {
    struct job *next;
    fr_pool_fn fn;
    void *ctx;
    size_t n;
    atomic_size_t taken;     // chunks handed out
    fr_cancel *cancel;
    unsigned helpers, most;  // under the pool's lock: helping now, and allowed
    unsigned limit;          // the caller's fr_pool_limit, inherited by nested calls
} job;

// Listed in tests/tidy as allowed writable state: one pool per process.
static struct {
    pthread_mutex_t lock;
    pthread_cond_t work, left;
    job *jobs;
    pthread_t threads[MAX_HELPERS];
    atomic_uint size;
    unsigned started, idle;
    bool stop;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .work = PTHREAD_COND_INITIALIZER,
          .left = PTHREAD_COND_INITIALIZER};

static _Thread_local unsigned my_limit;

static unsigned cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (unsigned)FR_MIN(n, MAX_HELPERS);
}

static void work_on(job *j)
{
    for (;;) {
        size_t i = atomic_fetch_add_explicit(&j->taken, 1, memory_order_relaxed);
        if (i >= j->n || fr_cancelled()) {
            return;
        }
        j->fn(j->ctx, i);
    }
}

static job *find_job(void)
{
    for (job *j = pool.jobs; j != NULL; j = j->next) {
        if (j->helpers < j->most &&
            atomic_load_explicit(&j->taken, memory_order_relaxed) < j->n) {
            return j;
        }
    }
    return NULL;
}

static void *helper(void *unused)
{
    (void)unused;
    (void)pthread_mutex_lock(&pool.lock);
    while (!pool.stop) {
        job *j = find_job();
        if (j == NULL) {
            pool.idle++;
            (void)pthread_cond_wait(&pool.work, &pool.lock);
            pool.idle--;
            continue;
        }
        j->helpers++;
        (void)pthread_mutex_unlock(&pool.lock);
        fr_cancel *before = fr_cancel_enter(j->cancel);
        my_limit = j->limit;
        work_on(j);
        (void)fr_cancel_enter(before);
        (void)pthread_mutex_lock(&pool.lock);
        if (--j->helpers == 0) {
            (void)pthread_cond_broadcast(&pool.left);
        }
    }
    (void)pthread_mutex_unlock(&pool.lock);
    return NULL;
}

// Called with the lock held. Threads that cannot start are done without.
static void start_helpers(unsigned wanted)
{
    if (pool.size == 0) {
        pool.size = cores();
    }
    unsigned want = FR_MIN(wanted, pool.size - 1);
    while (pool.started < want) {
        if (pthread_create(&pool.threads[pool.started], NULL, helper, NULL) != 0) {
            break;
        }
        pool.started++;
    }
}

int fr_pool_run(size_t n, fr_pool_fn fn, void *ctx)
{
    unsigned threads = fr_pool_threads();
    job j = {.fn = fn, .ctx = ctx, .n = n, .cancel = fr_cancel_current(), .limit = my_limit};
    j.most = (unsigned)FR_MIN((size_t)threads - 1, n > 0 ? n - 1 : 0);
    if (j.most == 0) {
        work_on(&j);
        return fr_cancel_code();
    }
    (void)pthread_mutex_lock(&pool.lock);
    start_helpers(j.most);
    j.next = pool.jobs;
    pool.jobs = &j;
    (void)pthread_cond_broadcast(&pool.work);
    (void)pthread_mutex_unlock(&pool.lock);
    work_on(&j);
    (void)pthread_mutex_lock(&pool.lock);
    for (job **p = &pool.jobs; *p != NULL; p = &(*p)->next) {
        if (*p == &j) {
            *p = j.next;
            break;
        }
    }
    while (j.helpers > 0) {
        (void)pthread_cond_wait(&pool.left, &pool.lock);
    }
    (void)pthread_mutex_unlock(&pool.lock);
    return fr_cancel_code();
}

typedef struct trial {
    fr_pool_try_fn fn;
    void *ctx;
    pthread_mutex_t lock;
    size_t first;
    int code;
} trial;

static void try_chunk(void *ctx, size_t i)
{
    trial *t = ctx;
    int rc = t->fn(t->ctx, i);
    if (rc != FR_OK) {
        (void)pthread_mutex_lock(&t->lock);
        if (t->code == FR_OK || i < t->first) {
            t->first = i;
            t->code = rc;
        }
        (void)pthread_mutex_unlock(&t->lock);
    }
}

int fr_pool_try(size_t n, fr_pool_try_fn fn, void *ctx)
{
    trial t = {.fn = fn, .ctx = ctx, .lock = PTHREAD_MUTEX_INITIALIZER};
    int rc = fr_pool_run(n, try_chunk, &t);
    return rc != FR_OK ? rc : t.code;
}

unsigned fr_pool_limit(unsigned threads)
{
    unsigned before = my_limit;
    my_limit = threads;
    return before;
}

unsigned fr_pool_threads(void)
{
    unsigned size = pool.size != 0 ? pool.size : cores();
    return my_limit != 0 ? FR_MIN(my_limit, size) : size;
}

void fr_pool_setup(unsigned threads)
{
    (void)pthread_mutex_lock(&pool.lock);
    pool.size = FR_MIN(FR_MAX(threads, 1), MAX_HELPERS);
    (void)pthread_mutex_unlock(&pool.lock);
}

void fr_pool_shutdown(void)
{
    (void)pthread_mutex_lock(&pool.lock);
    pool.stop = true;
    (void)pthread_cond_broadcast(&pool.work);
    unsigned n = pool.started;
    (void)pthread_mutex_unlock(&pool.lock);
    for (unsigned i = 0; i < n; i++) {
        (void)pthread_join(pool.threads[i], NULL);
    }
    pool.started = 0;
    pool.stop = false;
}
