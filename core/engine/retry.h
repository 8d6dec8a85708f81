#pragma once
// retry -- when a failed attempt is tried again. Pure: a function of plan, attempt, seed, key.

#include "core/base/hash.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum fr_backoff {
    FR_BACKOFF_FIXED = 0,         // base
    FR_BACKOFF_LINEAR = 1,        // base * attempt
    FR_BACKOFF_EXPONENTIAL = 2,   // base * factor^(attempt - 1)
    FR_BACKOFF_DECORRELATED = 3,  // uniform(base, 3 * previous), as in AWS's "decorrelated jitter"
    FR_BACKOFF_LIST = 4,          // list[attempt], the last value repeats
} fr_backoff;

enum { FR_RETRY_LIST = 16 };

typedef struct fr_retry_plan {
    uint32_t retries;             // attempts allowed = 1 + retries
    fr_backoff backoff;
    int64_t base_ns, cap_ns;      // cap 0 = none
    double factor;                // EXPONENTIAL; 0 means 2
    double jitter;                // 0..1: the delay is multiplied by uniform(1 - j, 1 + j)
    int64_t list_ns[FR_RETRY_LIST];
    uint32_t n_list;
} fr_retry_plan;

// Nanoseconds to wait after failed attempt `attempt` (from 1), counted from its end.
// Deterministic from (seed, key, attempt); never negative, never above the cap.
int64_t fr_retry_delay(const fr_retry_plan *p, uint32_t attempt, uint64_t seed, fr_hash key);
static inline bool fr_retry_allowed(const fr_retry_plan *p, uint32_t attempts_made)
{
    return attempts_made <= p->retries;
}
