#pragma once
// run_turn -- whether a run may begin: its flow's own limit, "flow:NAME", and what becomes of
// the run when that is full (engine.md E4). The run asks as row 0 before the flow's body starts,
// and holds its slot until it ends. Belongs to the engine's thread.

#include "core/engine/sched.h"
#include "core/engine/store.h"

#define FR_TURN_ASK UINT32_MAX     // the number of the run's own ask

typedef enum fr_full {             // what a run does when its flow runs often enough already
    FR_FULL_NONE,                  // the flow has no limit
    FR_FULL_QUEUE,                 // it waits
    FR_FULL_SKIP,                  // it ends SKIPPED
    FR_FULL_CANCEL_NEW,            // it ends STOPPED
    FR_FULL_CANCEL_OLD,            // the oldest are asked to stop, and it waits for that
} fr_full;

typedef enum fr_turn_state {
    FR_TURN_FREE,                  // the run needs no slot, or has begun with one
    FR_TURN_WAITS,
    FR_TURN_HAS,
    FR_TURN_NEVER,
} fr_turn_state;

typedef struct fr_turn {
    fr_full full;
    fr_turn_state state;
    bool told;                     // that it is full
    char limit[FR_LIMIT_NAME];
    fr_limit_need need;
    fr_state end;                  // NEVER: how the run ends
    fr_reason reason;
    fr_value *error;
} fr_turn;

// The ask of a run of this flow; it lives as long as the turn.
fr_slot_ask fr_turn_ask(fr_turn *t, fr_full full, const char *flow, int64_t now);
void fr_turn_answer(fr_turn *t, const char *refused);
// The run will not begin.
void fr_turn_over(fr_turn *t, fr_state end, fr_reason reason, int code, const char *text);
void fr_turn_outcome(const fr_turn *t, fr_outcome *out);
// The ask waits: decides once what becomes of it. True when the run waits from now on and its
// row should say so. store, run: NULL for limits in memory.
bool fr_turn_full(fr_turn *t, fr_store *store, fr_store_run *run);
void fr_turn_fini(fr_turn *t);
