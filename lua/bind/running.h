#pragma once
// running -- which coroutine of a Lua state runs now, so that a signal can stop it (engine.md
// D3). coroutine.resume, wrap and close are replaced by versions that keep a bind_running.
//
// A bind_running belongs to one Lua state and its thread; bind_running_interrupt is for a
// signal handler on that thread (in TSan builds for any thread). It must outlive the state.

#include <lua.h>

#include <stdatomic.h>
#include <stdbool.h>

typedef struct bind_running {
    _Atomic(lua_State *) now;        // NULL: no Lua code that may be interrupted
    atomic_int how;                  // FR_INTERRUPT_* asked for since bind_running_enter
    bool engine_yield;               // the yield under way is a wait of ours: it passes through
    bool refused;                    // ... and somewhere on its way nothing can yield
} bind_running;

// Replaces the functions in L's table `coroutine`. Raises.
void bind_running_install(lua_State *L, bind_running *r);
// Around lua_resume of a body's coroutine by C.
void bind_running_enter(bind_running *r, lua_State *co);
void bind_running_leave(bind_running *r, lua_State *co);
// Between pause and go_on nothing is interrupted.
void bind_running_pause(bind_running *r, lua_State *co);
void bind_running_go_on(bind_running *r, lua_State *co);
void bind_running_interrupt(bind_running *r, int how);
