#pragma once
// engine_loop -- the event loop and the runs of a flowrun.Engine, for bindings that share them.

#include <lua.h>

struct uv_loop_s *bind_engine_loop(lua_State *L, int arg);   // argument error when it is none
struct fr_run *bind_engine_run(lua_State *L, int arg);       // of a flowrun.Run that is open
