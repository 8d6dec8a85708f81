#pragma once
// engine_loop -- the event loop of a flowrun.Engine, for bindings that share it.

#include <lua.h>

struct uv_loop_s *bind_engine_loop(lua_State *L, int arg);   // argument error when it is none
