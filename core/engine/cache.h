#pragma once
// cache -- results that are used again: what identifies them, and what crosses between the
// scheduler (sched_cache.c), the engine (engine_cache.c) and the store (store_sqlite_cache.c).
//
// Pure data; everything is borrowed but what fr_found says.

#include "core/data/value.h"

typedef enum fr_cache_scope {         // stored in parts: append only
    FR_CACHE_RUN = 1,                 // of this run
    FR_CACHE_FLOW = 2,                // of runs of this flow
    FR_CACHE_GLOBAL = 3,              // of all runs of the store
    FR_CACHE_SESSION = 4,             // of this `flowrun watch`
} fr_cache_scope;

typedef struct fr_cache_opts {        // lives as long as the scheduler
    fr_cache_scope scope;
    fr_hash version;                  // of the user's version; zero = none
    int64_t expires_ns;               // 0 = never
    bool refresh;                     // computes anew, and keeps that
    const char *const *files;         // absolute paths; their content counts
    uint32_t n_files;
} fr_cache_opts;

typedef enum fr_cache_mode { FR_CACHE_USE, FR_CACHE_REFRESH, FR_CACHE_OFF } fr_cache_mode;

// How a call came by its result. Stored: append only.
typedef enum fr_cache_verdict {
    FR_CACHE_NONE = 0,
    FR_CACHE_HIT = 1,                 // found
    FR_CACHE_MISS = 2,                // computed: nothing was found
    FR_CACHE_EXPIRED = 3,             // computed: what was found is too old
    FR_CACHE_REFRESHED = 4,           // computed: asked for
    FR_CACHE_DAMAGED = 5,             // computed: what was found cannot be read
    FR_CACHE_SAME = 6,                // the same call of this run
    FR_CACHE_GOOD = 7,                // kept for the fallback "last_good"
    FR_CACHE_LAST_GOOD = 8,           // the fallback found it
} fr_cache_verdict;

typedef struct fr_lookup {            // results wanted: one, or one per item of a map
    uint32_t node;
    const char *task;                 // they must be of this task
    const fr_hash *keys;              // lives until the answer; a zero key is not looked for
    uint32_t n;
    const char *const *files;         // the keys are completed by their content
    uint32_t n_files;
    int64_t oldest;                   // wall ns; 0 = any age
} fr_lookup;

typedef struct fr_found {
    fr_cache_verdict verdict;         // HIT, MISS, EXPIRED, DAMAGED
    fr_value *result;                 // HIT; the receiver owns it
    uint64_t run, seq;                // HIT: the record that has it
    int64_t at;                       // HIT: when it was computed
} fr_found;

typedef struct fr_kept {              // how a call came by its result, for the table `cache`
    uint64_t seq;                     // its record
    uint32_t item;                    // 1 + index of the item of a map; 0 = the whole
    const char *task;
    fr_hash key;                      // by which others find it; zero = not at all
    fr_cache_verdict verdict;
    uint64_t run, origin;             // HIT, SAME, LAST_GOOD: run and record it came from
    int64_t at;                       // when it was computed
    const fr_value *parts;            // what the key was made of; may be NULL
} fr_kept;
