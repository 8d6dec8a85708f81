#pragma once
// run_limit -- a run's asks for slots of limits: from the scheduler to the store (or, without
// one, to a table in memory), and the answers back (engine.md E4).
//
// Made at the first ask, so that runs without limits pay nothing. While asks wait it keeps a
// pidfd of each process that uses limits: a death wakes it, it then removes what the dead left
// and takes its turn. Belongs to the engine's thread.

#include "core/engine/store.h"

typedef struct fr_run_limit fr_run_limit;

typedef struct fr_run_limit_env {
    struct uv_loop_s *loop;
    fr_store *store;              // NULL: memory is used
    fr_store_run *run;
    fr_limits *memory;
    void (*answer)(void *ctx, uint32_t ask, const char *refused);   // see fr_sched_slot
    void (*moved)(void *ctx);     // look again soon
    void *ctx;
} fr_run_limit_env;

fr_run_limit *fr_run_limit_open(const fr_run_limit_env *env);
void fr_run_limit_ask(fr_run_limit *l, const fr_slot_ask *a);
void fr_run_limit_release(fr_run_limit *l, uint32_t ask);
void fr_run_limit_told(fr_run_limit *l);      // another process says that something moved
// Hands over the answers there are; true when there were any.
bool fr_run_limit_look(fr_run_limit *l);
// Its slots in memory are given back; those in the store go with the run's end. The loop frees it.
void fr_run_limit_close(fr_run_limit *l);
