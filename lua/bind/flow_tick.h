#pragma once
// flow_tick -- flow code that computes gives way: the loop turns, timeouts and cancels act.
//
// While runs are open a timer counts the CPU time of the loop's thread; every 100 ms of it a
// signal sets a hook in the coroutine that runs. The hook suspends the flow's branch, which the
// scheduler resumes before anything else (so that replay is the same), or raises the error of
// what stops the branch. Idle processes are not woken. One per process, on the loop's thread.

#include "lua/bind/flow_host.h"

// Counted: the signal's handler is as it was when the last one is released.
void flow_tick_hold(void);
void flow_tick_release(void);
// Async-signal-safe: the flow code that runs gives way now. false: none runs.
bool flow_tick_now(void);
// coroutine.resume, wrap and close of L know what runs inside them (running.h).
void flow_tick_coroutines(lua_State *L);

// Around code of L that may be interrupted; NULL: none. enter returns the one before, for leave.
lua_State *flow_tick_enter(lua_State *L);
void flow_tick_leave(lua_State *before);
// Before a branch that gave way unasked goes on in co: a stop that came is raised at once.
void flow_tick_cut(fr_host *h, lua_State *co);
