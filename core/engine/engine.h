#pragma once
// engine -- wires the scheduler, the store and the executor to a libuv loop (ARCHITECTURE.md).
//
// An engine holds R >= 1 runs; the command line uses one per process. Everything here belongs
// to the thread of the loop. Flow bodies are run by a host (lua/bind/l_flow.c) through
// fr_flow_host; the engine decides when.

#include "core/engine/run_turn.h"
#include "core/engine/sched.h"
#include "core/engine/store.h"

typedef struct fr_engine fr_engine;
typedef struct fr_run fr_run;

typedef struct fr_engine_env {
    struct uv_loop_s *loop;
    const char *home;                 // NULL: nothing is durable (tests, plain calls)
    bool relaxed;                     // synchronous=NORMAL
    uint32_t workers;                 // 0 = one per core
    const struct fr_body_ops *bodies;
    const void *bodies_config;        // see fr_exec_env; lives as long as the engine
    fr_object_kinds kinds;
    const char *const *reaper_argv, *const *worker_argv;   // see fr_exec_env; may be NULL
    // The store or a worker is in trouble that a run cannot survive (fatal), or the disk is
    // full (code FR_EFULL) or free again (FR_OK).
    void (*trouble)(void *ctx, int code, const fr_err *err);
    // What does not stop by itself: execute the program anew as `resume` (engine.md D3).
    void (*stuck)(void *ctx, fr_run *run);
    void *ctx;
} fr_engine_env;

FR_NODISCARD int fr_engine_open(const fr_engine_env *env, fr_engine **out, fr_err *err);
// Ends workers and the store; everything queued is committed first. The loop turns inside.
void fr_engine_close(fr_engine *e);
fr_store *fr_engine_store(fr_engine *e);          // NULL without a home

typedef struct fr_flow_host {         // flow bodies, on the engine's thread
    void *ctx;
    fr_ran (*resume)(void *ctx, uint32_t branch);
    void (*again)(void *ctx, uint32_t node, uint32_t branch);   // see fr_io
    void (*moment)(void *ctx, fr_moment what, uint32_t node);   // (optional)
    // Reads a request that brings something for a wait: kind "signal", "approve", "reject" and
    // its JSON. false: it is none, or damaged. The value is a new reference; name and the
    // others live until the next call. (optional)
    bool (*arrival)(void *ctx, const char *kind, const char *json, fr_arrival *out,
                    fr_value **value);
    // Everything ended and is durable. The outcome's pointers live as long as the run.
    // retry_ns: -1, or how long to wait before the run goes on by itself (flow retries): make
    // a new run with resume and rerun then; its row says SCHEDULED (retry) meanwhile.
    void (*ended)(void *ctx, const fr_outcome *outcome, int64_t retry_ns);
} fr_flow_host;

typedef struct fr_run_spec {
    fr_run_info info;                 // flow, file, bundle, params, seed, options
    const void *sources;              // the packed bundle; referenced until the run is freed
    size_t sources_size;
    bool strict;                      // durable = "strict"
    int64_t timeout_ns;               // of the flow; 0 = none
    bool fail_fast;                   // of the flow
    uint64_t resume;                  // run to go on with; 0 = a new one
    bool rerun;                       // with resume: continue a finished run (rerun --failed)
    // rerun: what else is made again; params: they differ from those recorded.
    const fr_hash *again;
    uint32_t n_again;
    bool only, new_params;
    // A new run that takes the records of run `fork` before place `fork_at` of its log.
    uint64_t fork, fork_at;
    fr_retry_plan retry;              // of the flow: a failed run goes on as a rerun
    // Hooks of the flow: "module:flow", FR_ASKS of them; whether it asks for undo. The text lives
    // as long as the run.
    const char *hooks_of;
    uint32_t hooks;
    bool rollback;
    int64_t outbox_wait_ns;           // see fr_run_outbox_holds
    // Looks only: nothing is executed or recorded. The flow runs as far as records of `resume`
    // (0 = none) carry it; then it ends as "planned" (fr_flow_host.ended is called).
    bool plan;
    fr_cache_mode cache;
    fr_hash cache_session;            // of `flowrun watch`; zero = none
    fr_flow_host host;
    const fr_limit *limits;           // what the script says of named limits
    size_t n_limits;
    fr_full full;                     // of the limit "flow:NAME"; it then waits to begin
    uint32_t max_running;             // bodies at once, wherever they run; 0 = any number
} fr_run_spec;

// Makes the run (a new row, or the lock and log of an old one). Nothing runs before
// fr_run_start, so that the host can prepare.
FR_NODISCARD int fr_engine_run(fr_engine *e, const fr_run_spec *spec, fr_run **out, fr_err *err);
void fr_run_start(fr_run *r);
void fr_run_free(fr_run *r);                      // after it ended
fr_sched *fr_run_sched(fr_run *r);
fr_store_run *fr_run_store(fr_run *r);            // NULL without a home
// Keeps the parts of a task's code under its hash: they say later what has changed.
void fr_run_keep_source(fr_run *r, fr_hash source, const void *bytes, size_t n);
uint64_t fr_run_id(const fr_run *r);
fr_code *fr_run_code(fr_run *r);
void fr_run_cancel(fr_run *r, int code, const char *why);
// For flow code that keeps the loop from turning: its timeout, when it is over, acts now.
void fr_run_look(fr_run *r);
// The process is to end: what runs may finish, nothing else starts; then the run is let go and is
// PAUSED until a resume. Asked again what still runs is stopped. It ends as usual for the host.
void fr_run_drain(fr_run *r);
bool fr_run_ended(const fr_run *r);
bool fr_run_waits(const fr_run *r);               // its flow runs often enough already
uint32_t fr_run_undelivered(const fr_run *r);     // messages it left pending when it ended
// Host: flow code changed something outside resume (REPL); look again soon.
void fr_run_kick(fr_run *r);
