#pragma once
// flow_host -- runs flow bodies as coroutines of one Lua state for the engine's scheduler.
//
// One fr_host per run; it belongs to the thread of its Lua state. l_flow.c binds what flow
// code calls (tasks, handles, waits); l_engine.c makes runs and reads them.

#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/engine/engine.h"
#include "lua/bind/bind.h"
#include "lua/bind/marshal.h"

#define FLOW_HANDLE "flowrun.Handle"
#define FLOW_OPTS   "flowrun.TaskOptions"
#define FLOW_RUN    "flowrun.Run"

enum { HOST_MOMENTS = 512, HOST_CALLS = 1024 };

typedef struct host_moment {
    fr_moment what;
    uint32_t node;
} host_moment;

typedef struct fr_host {
    lua_State *L;                     // the state's main thread
    fr_run *run;                      // NULL in simulations
    fr_sched *sched;
    struct {                          // what flow code may ask
        uint64_t id, seed;
        const char *name;
        uint32_t flow_attempt;
        const fr_value *params;
        fr_store_run *log;            // NULL: lines are shown, not kept
    } info;
    int kept;                         // registry reference of the options that calls use
    int *co;                          // by branch: registry reference of its coroutine
    uint32_t n_co;
    int *defaults;                    // by branch: reference of its task options, LUA_NOREF
    int64_t born;                     // monotonic: tells it from a freed one at the same place
    int held;                         // reference of a table: bodies and defaults, for the run
    fr_map bodies;                    // node -> its body in held; its defaults
    uint32_t branch;                  // the one that runs, FR_NO_BRANCH between
    lua_State *running;               // its coroutine
    uint32_t calls;                   // since it last gave way
    bool cache_all;                   // `flowrun watch`: tasks without the option, too
    bool gave_way, cut, ticks, ended, dead;   // cut: unasked
    uint32_t stops;                   // that were raised in code that computes
    fr_outcome outcome;
    int64_t retry_ns;                 // -1: the run is over
    host_moment moments[HOST_MOMENTS];   // not yet shown; the oldest are dropped
    uint32_t moment_head, moment_tail;
    uint64_t moments_lost;
    fr_arena places;                  // interned "file:line"
    fr_map place_index;
    void *sources;                    // the packed bundle
    char *hooks_of;                   // see fr_run_spec
    fr_value *packed;                 // arguments on their way into the scheduler
    char *arrival, *arrival_by;       // name of the wait that a request is for; who asks
} fr_host;

// Task options as the scheduler wants them, made by flow.options{…}; kept by the task.
typedef struct flow_opts {
    fr_task_opts o;
    fr_value *fallback;
    int64_t kept_by;                  // `born` of its host: a call outlives task:with{}
    char *limit_names;                // what o.limits points to
    fr_limit_need limits[FR_LIMIT_NEEDS];
    fr_cache_opts cache;
    char **files;                     // of the cache
    fr_fallback *fallbacks;           // its texts and values are owned
} flow_opts;
// options{...} of flowrun.core.flow: a new object (flow_opts.c), and its class.
int flow_opts_new(lua_State *L);
void flow_opts_class(lua_State *L);

// How a sensor waits, made by wait.every{…}; kept by the callable.
#define FLOW_EVERY "flowrun.Every"
typedef struct flow_every {
    fr_wait spec;
    fr_value *late;
} flow_every;

typedef struct flow_handle {          // userdata; user value 1 is the Run
    const char *kind;                 // flow_handle_kind: told without a look at metatables
    fr_host *host;
    uint32_t node, output;
} flow_handle;

fr_host *flow_host_new(lua_State *L);
void flow_host_free(fr_host *h);                       // after its run was freed
fr_flow_host flow_host_ops(fr_host *h);
// A coroutine of the function and its n arguments on top of L, which it pops: a reference in
// the registry. It may raise, so it stands before the scheduler knows of a branch.
int flow_host_thread(lua_State *L, int nargs);
void flow_host_branch(fr_host *h, uint32_t branch, int thread);   // takes it as the branch's body
// Keeps the value on top of L (popped) for the run; the number is for the two below.
int flow_host_hold(fr_host *h, lua_State *L);
// The held table gives the options of tasks that are called in the branch.
void flow_host_defaults(fr_host *h, uint32_t branch, int held);
// The held {function, argument} is the body of a subflow or group that may run again.
void flow_host_body(fr_host *h, uint32_t node, uint32_t branch, int held);
// The host whose flow code runs in this state now; NULL outside flow code.
fr_host *flow_host_current(lua_State *L);
// While on, flow code that computes gives way (flow_tick.h); off when the run has ended.
void flow_host_tick(fr_host *h, bool on);
const char *flow_host_place(fr_host *h, lua_State *L, int level);   // "file.lua:12" of a caller
// Keeps the options at `idx` for as long as the host lives.
void flow_host_keep(fr_host *h, lua_State *L, int idx, flow_opts *o);
void flow_push_value(lua_State *L, const fr_value *v); // nil for NULL
// An empty slot that the host owns, until its next use: holds a value over code that may raise,
// without a box of Lua's for every call.
fr_value **flow_host_slot(fr_host *h);
// l_flow.c: the host whose branch this very coroutine is; raises otherwise, naming `what`.
fr_host *flow_in_branch(lua_State *L, const char *what);
void flow_push_handle(lua_State *L, fr_host *host, uint32_t node, uint32_t output);
// l_wait.c: see fr_flow_host.arrival.
bool flow_read_arrival(fr_host *h, const char *kind, const char *json, fr_arrival *out,
                       fr_value **value);
