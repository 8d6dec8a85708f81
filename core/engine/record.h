#pragma once
// record -- what the scheduler tells the store, and what a resume reads back.
//
// The log of a run is the sequence of its records with seq 1, 2, 3 …; commit order is log
// order (engine.md B3). START is advice for people and has no place in the log (seq 0).
// Pure data; a record borrows everything it points to.

#include "core/data/value.h"
#include "core/engine/state.h"

// Stored: append only.
typedef enum fr_record_type {
    FR_REC_TASK = 1,         // a call reached a terminal state; an observation of the flow body
    FR_REC_START = 2,        // (seq 0) an attempt is running
    FR_REC_RETRY = 3,        // an attempt failed, the next is due at `due`
    FR_REC_VALUE = 4,        // now(), random(), uuid(), state(): a value handed to the body
    FR_REC_TIMER = 5,        // a wait (wall deadline in `due`), a subflow or a map began
    FR_REC_MAP_PART = 6,     // packed finished items of a map (core/engine/item.h)
    FR_REC_REQUEST = 7,      // a cancel (an observation) or what arrived for a wait was taken
    FR_REC_ADDENDUM = 8,     // a late require: name; data: bundle, file hash, path
} fr_record_type;

// What kind of call a TASK record ends. Stored: append only.
typedef enum fr_call_kind {
    FR_CALL_TASK = 1,
    FR_CALL_MAP = 2,
    FR_CALL_SLEEP = 3,
    FR_CALL_FLOW = 4,
    FR_CALL_ITEM = 5,        // an item of a map that needs a row of its own (failed, or an object)
    FR_CALL_SIGNAL = 6,      // waits for what arrives from outside: a signal, an approval
    FR_CALL_HOOK = 8,        // a hook or undo of a call or of the run; nobody waits for it
    FR_CALL_POKE = 7,        // a task asked again and again until it says something
    FR_CALL_GROUP = 9,       // fr.group: its body is part of the flow's and is replayed with it
} fr_call_kind;

typedef struct fr_record {
    fr_record_type type;
    fr_call_kind kind;
    uint64_t seq;            // place in the log of this run; 0 for START
    uint32_t row;            // number of the call within the run, from 1, stable over resumes
    uint32_t parent;         // row of the subflow whose body made the call; 0 = the flow itself
    fr_hash key;             // branch path, task, n-th use -- or the user's key
    fr_hash args;            // fingerprint of the packed arguments
    const char *name;        // "storm_prep:fetch_weather"; of VALUE: "now", …
    const char *label;       // readable key: "0.2/fetch_weather#1"; may be NULL
    fr_state state;          // TASK: terminal; START: RUNNING
    fr_reason reason;
    uint32_t attempt;        // attempts made so far, this one included; 0 = never ran
    int64_t queued, started, ended;   // wall ns; 0 = not
    int64_t due;             // RETRY, TIMER: wall ns
    const fr_value *result;  // SUCCESS; of several outputs a table in order; MAP: NULL; VALUE
    const fr_value *error;   // FAILED, STOPPED, RETRY: {code=, message=, where=, traceback=}
    const fr_hash *outputs;  // hash per named output
    uint32_t n_outputs;
    const void *data;        // MAP_PART: packed items · REQUEST, ADDENDUM: text · TASK, only when
                             // written: messages (core/engine/outbox.h)
    size_t size;
    uint32_t items;          // MAP_PART: items in data; TASK of a map: number of items
    uint32_t failed_items;   // TASK of a map
    uint64_t log_from, log_to;   // byte range of this attempt's lines in the run's log
    uint32_t slot;           // the ask (core/engine/limit.h) that this end gives back; 0 = none
} fr_record;
