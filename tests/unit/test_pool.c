// labels: threads

#include "core/base/cancel.h"
#include "core/base/err.h"
#include "core/base/pool.h"
#include "tests/unit/check.h"

#include <pthread.h>

enum { CHUNKS = 500 };

static void add_one(void *ctx, size_t i)
{
    ((int *)ctx)[i]++;
}

static void each_chunk_runs_once(void)
{
    int done[CHUNKS] = {0};
    CHECK_INT(fr_pool_run(CHUNKS, add_one, done), FR_OK);
    int once = 0;
    for (int i = 0; i < CHUNKS; i++) {
        once += done[i] == 1;
    }
    CHECK_INT(once, CHUNKS);
    CHECK_INT(fr_pool_run(0, add_one, done), FR_OK);
    CHECK_INT(fr_pool_run(1, add_one, done), FR_OK);
    CHECK_INT(done[0], 2);
    CHECK_INT(done[1], 1);
}

typedef struct sums {
    double part[CHUNKS];
} sums;

static void sum_chunk(void *ctx, size_t i)
{
    double s = 0;
    for (size_t k = 1; k <= 200; k++) {
        s += 1.0 / (double)(i * 200 + k);
    }
    ((sums *)ctx)->part[i] = s;
}

static double harmonic(unsigned threads)
{
    sums s;
    unsigned before = fr_pool_limit(threads);
    (void)fr_pool_run(CHUNKS, sum_chunk, &s);
    (void)fr_pool_limit(before);
    double total = 0;
    for (size_t i = 0; i < CHUNKS; i++) {
        total += s.part[i];
    }
    return total;
}

static void any_number_of_threads_gives_the_same_bits(void)
{
    double one = harmonic(1), n = CHUNKS * 200;
    CHECK_NEAR(one, log(n) + 0.57721566490153286 + 1 / (2 * n), 1e-9);
    for (unsigned threads = 2; threads <= 8; threads++) {
        double many = harmonic(threads);
        CHECK(memcmp(&one, &many, sizeof one) == 0);
    }
}

static void outer(void *ctx, size_t i)
{
    (void)fr_pool_run(CHUNKS / 10, add_one, (int *)ctx + i * (CHUNKS / 10));
}

static void nested_calls_finish(void)
{
    int done[CHUNKS] = {0};
    CHECK_INT(fr_pool_run(10, outer, done), FR_OK);
    int once = 0;
    for (int i = 0; i < CHUNKS; i++) {
        once += done[i] == 1;
    }
    CHECK_INT(once, CHUNKS);
}

static int fail_some(void *ctx, size_t i)
{
    (void)ctx;
    return i == 7 ? FR_EPARSE : i > 7 ? FR_EIO : FR_OK;
}

static void the_lowest_failing_chunk_decides(void)
{
    for (int round = 0; round < 50; round++) {
        CHECK_INT(fr_pool_try(CHUNKS, fail_some, NULL), FR_EPARSE);
    }
    CHECK_INT(fr_pool_try(5, fail_some, NULL), FR_OK);
}

typedef struct stop {
    fr_cancel token;
    atomic_int ran;
} stop;

static void cancel_at_ten(void *ctx, size_t i)
{
    stop *s = ctx;
    (void)i;
    CHECK(fr_cancel_current() == &s->token);         // helpers inherit the caller's token
    if (atomic_fetch_add(&s->ran, 1) == 10) {
        fr_cancel_set(&s->token, FR_ETIMEOUT);
        fr_cancel_set(&s->token, FR_ECANCELLED);     // the first reason stays
    }
}

static void a_cancel_skips_the_rest_and_says_why(void)
{
    stop s = {0};
    fr_cancel *before = fr_cancel_enter(&s.token);
    unsigned limit = fr_pool_limit(1);               // one thread: the count is exact
    CHECK_INT(fr_pool_run(CHUNKS, cancel_at_ten, &s), FR_ETIMEOUT);
    CHECK_INT(atomic_load(&s.ran), 11);
    CHECK_INT(fr_pool_run(CHUNKS, cancel_at_ten, &s), FR_ETIMEOUT);
    CHECK_INT(atomic_load(&s.ran), 11);
    (void)fr_pool_limit(limit);
    CHECK(fr_cancelled());
    CHECK(fr_cancel_enter(before) == &s.token);
    CHECK(!fr_cancelled());
}

static void mark(void *ctx, size_t i)
{
    (void)i;
    (void)atomic_fetch_add_explicit(&((stop *)ctx)->ran, fr_cancelled() ? 1000000 : 1,
                                    memory_order_relaxed);
}

static void *call_often(void *ctx)
{
    for (int i = 0; i < 100; i++) {
        (void)fr_pool_run(20, mark, ctx);
    }
    return NULL;
}

static void callers_on_several_threads_share_the_pool(void)
{
    stop s = {0};
    pthread_t threads[4];
    for (size_t i = 0; i < FR_COUNT(threads); i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, call_often, &s), 0);
    }
    for (size_t i = 0; i < FR_COUNT(threads); i++) {
        (void)pthread_join(threads[i], NULL);
    }
    CHECK_INT(atomic_load(&s.ran), 4 * 100 * 20);
}

static void limits_are_per_thread(void)
{
    CHECK_INT(fr_pool_limit(3), 0);
    CHECK_INT(fr_pool_threads(), 3);
    CHECK_INT(fr_pool_limit(0), 3);
    CHECK_INT(fr_pool_threads(), 6);
}

int main(void)
{
    fr_pool_setup(6);
    CASE(each_chunk_runs_once);
    CASE(any_number_of_threads_gives_the_same_bits);
    CASE(nested_calls_finish);
    CASE(the_lowest_failing_chunk_decides);
    CASE(a_cancel_skips_the_rest_and_says_why);
    CASE(callers_on_several_threads_share_the_pool);
    CASE(limits_are_per_thread);
    fr_pool_shutdown();
    CASE(each_chunk_runs_once);                      // it starts again after a shutdown
    fr_pool_shutdown();
    return check_end();
}
