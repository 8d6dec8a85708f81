#pragma once
// limit -- who gets a slot of a named limit: the rules, over any table of limits and slots.
//
// An *ask* is what one attempt wants: some slots of one or more limits, all at once or none,
// so nobody holds one limit while it waits for another. Asks wait in the order of their rank:
// the time they were made, moved forward by FR_LIMIT_AGE_NS per point of priority; a waiting
// ask grows older than every newcomer, so none starves. An ask that only lacks free slots
// keeps those behind it from overtaking; one that waits for a rate or for a closed limit does
// not. Pure; the table's thread. store_sqlite_limit.c and limit_memory.c are such tables.

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    FR_LIMIT_NAME = 128,          // bytes of a name, the end included
    FR_LIMIT_NEEDS = 16,          // limits that one ask may name
    FR_LIMIT_RATE = 1000,         // starts per period at most: their times are kept
    FR_LIMIT_SLOTS = 1000000000,  // largest capacity
};
#define FR_LIMIT_AGE_NS INT64_C(60000000000)   // of waiting that a point of priority is worth

// Who said what the limit is. A later word of a script does not change a command's.
typedef enum fr_limit_source { FR_LIMIT_UNSET, FR_LIMIT_SCRIPT, FR_LIMIT_COMMAND } fr_limit_source;

typedef struct fr_limit {
    int64_t id;
    char name[FR_LIMIT_NAME];
    int64_t capacity;             // slots; -1 = nobody said; 0 = closed
    uint32_t rate;                // starts per period; 0 = no rate
    int64_t period_ns;
    fr_limit_source source;
    int64_t used, waiting;        // slots that are held; asks that wait (only in lists)
    uint32_t n_starts;
    int64_t starts[FR_LIMIT_RATE];    // wall ns of the latest starts, oldest first
} fr_limit;

typedef struct fr_limit_need {    // what an ask wants of one limit
    const char *name;
    uint32_t n;                   // slots
    uint32_t rate;                // what the script says of a limit that is its own; 0 = nothing
    int64_t period_ns;
} fr_limit_need;

typedef struct fr_slot_ask {
    uint32_t ask;                 // number within the run's process; never used again there
    uint32_t row;                 // of the call; 0 = the run itself
    const char *name;             // of the task
    int32_t priority;
    int64_t since;                // wall ns
    const fr_limit_need *needs;
    uint32_t n_needs;
} fr_slot_ask;

typedef struct fr_slot {          // an ask has one for each limit it needs
    int64_t id, limit;
    uint64_t run;
    uint32_t ask, n;
    int64_t rank;
} fr_slot;

// Slots that can be had when nobody waits; -1 = any number.
int64_t fr_limit_capacity(const fr_limit *l);
int64_t fr_limit_rank(int64_t since, int32_t priority);
// Wall ns from which the rate allows the next start; `now` or earlier: it may start.
int64_t fr_limit_next_start(const fr_limit *l, int64_t now);
void fr_limit_note_start(fr_limit *l, int64_t now);
// More than there can be: such an ask is refused when it is made, or when its turn comes.
bool fr_limit_too_much(const fr_limit *l, uint32_t n);
// Why n slots can never be had, for people.
void fr_limit_never(const fr_limit *l, uint32_t n, char *out, size_t size);

typedef void (*fr_limit_touch_fn)(void *ctx, int64_t limit);
typedef struct fr_limit_table {
    void *ctx;
    int (*limit)(void *ctx, int64_t id, fr_limit *out, fr_err *err);      // `used` included
    // The first ask that waits for the limit behind (rank, id).
    int (*next)(void *ctx, int64_t limit, int64_t rank, int64_t id, fr_slot *out, bool *found,
                fr_err *err);
    int (*slots)(void *ctx, uint64_t run, uint32_t ask, fr_slot out[FR_LIMIT_NEEDS], uint32_t *n,
                 fr_err *err);
    int (*grant)(void *ctx, uint64_t run, uint32_t ask, int64_t now, fr_err *err);
    int (*refuse)(void *ctx, const fr_slot *slot, fr_err *err);           // it can never be had
    int (*started)(void *ctx, const fr_limit *l, fr_err *err);            // its starts changed
    bool (*alive)(void *ctx, uint64_t run);
    // Removes all that a dead run had; touch is called with each limit concerned.
    int (*bury)(void *ctx, uint64_t run, fr_limit_touch_fn touch, void *touch_ctx, fr_err *err);
    // The runs that hold slots of a limit, the smallest number above `after`; 0 = no more.
    int (*holder)(void *ctx, int64_t limit, uint64_t after, uint64_t *run, fr_err *err);
} fr_limit_table;

// Gives out what can be given of these limits, after asks, releases or changes. Dead owners
// that stand in the way are removed.
FR_NODISCARD int fr_limit_settle(const fr_limit_table *t, const int64_t *limits, uint32_t n,
                                 int64_t now, fr_err *err);

// --- a table in memory: engines without a store, simulations (limit_memory.c) ---

typedef struct fr_limits fr_limits;
fr_limits *fr_limits_new(bool (*alive)(void *ctx, uint64_t run), void *ctx);   // NULL: all are
void fr_limits_free(fr_limits *l);
// Settles as a side effect, as do the others.
void fr_limits_set(fr_limits *l, const fr_limit *what, int64_t now);
void fr_limits_ask(fr_limits *l, uint64_t run, const fr_slot_ask *a, int64_t now);
void fr_limits_release(fr_limits *l, uint64_t run, uint32_t ask, int64_t now);
void fr_limits_forget(fr_limits *l, uint64_t run, int64_t now);                // all of a run's
void fr_limits_look(fr_limits *l, int64_t now);                                // sweeps the dead
// The next answer that nobody took yet, of any run; false when there is none. `why` is empty
// when it was granted.
bool fr_limits_answer(fr_limits *l, uint64_t *run, uint32_t *ask, char why[FR_ERR_MAX]);
// Wall ns of the next start that a rate holds up; INT64_MAX = none.
int64_t fr_limits_next(const fr_limits *l, int64_t now);
// The i-th limit, with what is used and waits; false when there are fewer.
bool fr_limits_at(const fr_limits *l, uint32_t i, fr_limit *out);
