#pragma once
// expr_box -- parameters of expressions from Lua, for every binding that takes them.

#include "core/data/expr.h"
#include "lua/bind/bind.h"

// The parameters in the table at idx (nil: none), which keeps texts alive; what is made stays
// on the stack.
fr_expr_param *bind_expr_params(lua_State *L, int idx, size_t *n);
