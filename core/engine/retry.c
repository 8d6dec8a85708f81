#include "core/engine/retry.h"

#include "core/base/rand.h"

static const double LONGEST_NS = 9.0e18;   // below INT64_MAX, about 285 years

static double capped(const fr_retry_plan *p, double delay)
{
    double cap = p->cap_ns > 0 ? (double)p->cap_ns : LONGEST_NS;
    return delay < cap ? delay : cap;
}

static double decorrelated(const fr_retry_plan *p, uint32_t attempt, fr_rand *r)
{
    double base = (double)p->base_ns, previous = base;
    for (uint32_t i = 0; i < attempt && i < 1000; i++) {
        previous = capped(p, base + fr_rand_unit(r) * (previous * 3 - base));
    }
    return previous;
}

static double exponential(const fr_retry_plan *p, uint32_t attempt)
{
    double delay = (double)p->base_ns, factor = p->factor > 0 ? p->factor : 2.0;
    for (uint32_t i = 1; i < attempt && delay < LONGEST_NS; i++) {
        delay *= factor;
    }
    return delay;
}

int64_t fr_retry_delay(const fr_retry_plan *p, uint32_t attempt, uint64_t seed, fr_hash key)
{
    fr_rand r;
    fr_rand_init(&r, seed ^ key.hi, key.lo ^ attempt);
    double delay = (double)p->base_ns;
    switch (p->backoff) {
    case FR_BACKOFF_FIXED:
        break;
    case FR_BACKOFF_LINEAR:
        delay *= attempt;
        break;
    case FR_BACKOFF_EXPONENTIAL:
        delay = exponential(p, attempt);
        break;
    case FR_BACKOFF_DECORRELATED:
        fr_rand_init(&r, seed ^ key.hi, key.lo);   // the same draws for every attempt
        delay = decorrelated(p, attempt, &r);
        break;
    case FR_BACKOFF_LIST:
        if (p->n_list > 0) {
            uint32_t i = attempt > 0 ? attempt - 1 : 0;
            delay = (double)p->list_ns[i < p->n_list ? i : p->n_list - 1];
        }
        break;
    }
    delay = capped(p, delay);
    if (p->jitter > 0) {
        delay = capped(p, delay * (1 + p->jitter * (2 * fr_rand_unit(&r) - 1)));
    }
    return delay > 0 ? (int64_t)delay : 0;
}
