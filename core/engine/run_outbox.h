#pragma once
// run_outbox -- delivers the messages that a run owns (engine.md D7): those of its tasks, once
// their record is on disk, and what dead processes left.
//
// Made when there is something to deliver, so that runs without messages pay nothing. A delivery
// is an attempt beside the scheduler's, marked `aside`; it has no record, only its row. Belongs
// to the engine's thread.

#include "core/engine/exec.h"
#include "core/engine/store.h"

typedef struct fr_run_outbox fr_run_outbox;

typedef struct fr_run_outbox_env {
    struct uv_loop_s *loop;
    fr_store *store;
    fr_store_run *run;
    fr_code *code;
    void (*start)(void *ctx, fr_attempt *a);
    void (*cancel)(void *ctx, fr_attempt *a, int code);
    void (*moved)(void *ctx);     // look again soon
    void *ctx;
} fr_run_outbox_env;

fr_run_outbox *fr_run_outbox_open(const fr_run_outbox_env *env);
void fr_run_outbox_adopt(fr_run_outbox *o);              // takes over what the dead left
void fr_run_outbox_note(fr_run_outbox *o, uint64_t seq); // record seq brings messages
void fr_run_outbox_told(fr_run_outbox *o);               // a person has changed rows
// Starts what is due; durable: place of the log that is on disk.
void fr_run_outbox_look(fr_run_outbox *o, uint64_t durable);
void fr_run_outbox_done(fr_run_outbox *o, fr_attempt *a, const fr_done *d);
// The run is over otherwise: true while it waits for deliveries, at most wait_ns longer. Negative:
// every message that is due now is tried once, however long that takes. When the time is over,
// what is under way is stopped and stays pending.
bool fr_run_outbox_holds(fr_run_outbox *o, int64_t wait_ns);
// The loop frees it. Nothing is under way.
void fr_run_outbox_close(fr_run_outbox *o);
