// flowrun.core.linear -- coefficients of linear and logistic regressions.

#include "core/ml/coefficients.h"
#include "core/ml/softmax.h"
#include "lua/bind/frame_box.h"

#include <math.h>

static const fr_model *check_model(lua_State *L, int arg)
{
    return (const fr_model *)bind_object_check(L, arg, FR_KIND_MODEL);
}

static void set_row(lua_State *L, int table, lua_Integer row, const char *name,
                    double value, double se)
{
    lua_pushstring(L, name);
    lua_rawseti(L, table, row);
    lua_pushnumber(L, value);
    lua_rawseti(L, table + 1, row);
    if (isfinite(se)) {
        lua_pushnumber(L, se);
        lua_rawseti(L, table + 2, row);
        lua_pushnumber(L, value / se);
    } else {
        lua_pushvalue(L, 2); // null
        lua_rawseti(L, table + 2, row);
        lua_pushvalue(L, 2);
    }
    lua_rawseti(L, table + 3, row);
}

// coefficients(model, null): {{"name", list}, {"value", list}, {"std_error", …}, {"z",
// …}}
static int linear_coefficients(lua_State *L)
{
    static const char *const names[] = {"name", "value", "std_error", "z"};
    static const char *const types[] = {"utf8", "float64", "float64", "float64"};
    const fr_model *m = check_model(L, 1);
    const fr_coefficients *c = fr_coefficients_of(m);
    if (c == NULL) {
        return bind_fail(L, FR_EUNSUPPORTED, "a %s has no coefficients", m->ops->title);
    }
    lua_settop(L, 2);
    int first = 3;
    for (int i = 0; i < 4; i++) {
        lua_createtable(L, (int)c->count + 1, 0);
    }
    set_row(L, first, 1, "intercept", c->intercept, c->intercept_se);
    for (size_t j = 0; j < c->count; j++) {
        set_row(L, first, (lua_Integer)j + 2, m->feature[j], c->coef[j], c->se[j]);
    }
    lua_createtable(L, 4, 0);
    for (int i = 0; i < 4; i++) {
        lua_createtable(L, 3, 0);
        lua_pushstring(L, names[i]);
        lua_rawseti(L, -2, 1);
        lua_pushvalue(L, first + i);
        lua_rawseti(L, -2, 2);
        lua_pushstring(L, types[i]);
        lua_rawseti(L, -2, 3);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

// classes(model): {{intercept, coefficient, …} by class}; nil for models of another kind
static int linear_classes(lua_State *L)
{
    const fr_softmax *s = fr_softmax_of(check_model(L, 1));
    if (s == NULL) {
        lua_pushnil(L);
        return 1;
    }
    lua_createtable(L, (int)s->classes, 0);
    for (size_t k = 0; k < s->classes; k++) {
        lua_createtable(L, (int)s->features + 1, 0);
        lua_pushnumber(L, s->intercept[k]);
        lua_rawseti(L, -2, 1);
        for (size_t j = 0; j < s->features; j++) {
            lua_pushnumber(L, s->coef[k * s->features + j]);
            lua_rawseti(L, -2, (lua_Integer)j + 2);
        }
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    return 1;
}

static int linear_is(lua_State *L)
{
    lua_pushboolean(L, check_model(L, 1)->ops == &fr_linear_ops);
    return 1;
}

int luaopen_flowrun_core_linear(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"coefficients", linear_coefficients},
        {"classes", linear_classes},
        {"is_linear", linear_is},
        {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
