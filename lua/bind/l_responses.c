// flowrun.core.responses -- linear regression of many targets at once.

#include "core/ml/responses.h"
#include "lua/bind/frame_box.h"

#include <math.h>

static const fr_responses *check_responses(lua_State *L, int arg)
{
    const fr_model *m = (const fr_model *)bind_object_check(L, arg, FR_KIND_MODEL);
    const fr_responses *r = fr_responses_of(m);
    if (r == NULL) {
        (void)bind_fail(L, FR_EUNSUPPORTED, "a %s has one target", m->ops->title);
    }
    return r;
}

// fit(l2, intercept, threads, features, targets, skip nulls): a model
static int responses_fit(lua_State *L)
{
    const double option[FR_MODEL_OPTIONS] = {
        luaL_checknumber(L, 1), lua_toboolean(L, 2), luaL_checknumber(L, 3)};
    const fr_frame *x = bind_frame_check(L, 4), *y = bind_frame_check(L, 5);
    bool skip = lua_toboolean(L, 6);
    fr_model **slot = (fr_model **)(void *)bind_object_box(L, FR_KIND_MODEL);
    fr_err err = FR_ERR_INIT;
    int rc = fr_responses_fit(option, x, y, skip, slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_object_sealed(L, fr_model_object_ops.size(&(*slot)->object));
    return 1;
}

// predict(model, frame): {{name, array}, …}
static int responses_predict(lua_State *L)
{
    const fr_responses *r = check_responses(L, 1);
    const fr_model *m = (const fr_model *)bind_object_check(L, 1, FR_KIND_MODEL);
    const fr_frame *x = bind_frame_check(L, 2);
    lua_createtable(L, (int)r->targets, 0);
    fr_array ***slots = lua_newuserdatauv(L, r->targets * sizeof *slots, 0);
    fr_array **made = lua_newuserdatauv(L, r->targets * sizeof(fr_array *), 0);
    for (size_t t = 0; t < r->targets; t++) {
        lua_createtable(L, 2, 0);
        lua_pushstring(L, r->name[t]);
        lua_rawseti(L, -2, 1);
        slots[t] = bind_array_box(L);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, 3, (lua_Integer)t + 1);
    }
    fr_err err = FR_ERR_INIT;
    int rc = fr_responses_predict(m, x, made, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    for (size_t t = 0; t < r->targets; t++) {
        *slots[t] = made[t];
    }
    lua_settop(L, 3);
    return 1;
}

// targets(model): {{name =, intercept =, r2 =, rmse =, rows =}, …}; nil for other models
static int responses_targets(lua_State *L)
{
    const fr_model *m = (const fr_model *)bind_object_check(L, 1, FR_KIND_MODEL);
    const fr_responses *r = fr_responses_of(m);
    if (r == NULL) {
        lua_pushnil(L);
        return 1;
    }
    lua_createtable(L, (int)r->targets, 0);
    for (size_t t = 0; t < r->targets; t++) {
        double left = r->residual_ss[t], all = r->total_ss[t];
        lua_createtable(L, 0, 4);
        lua_pushstring(L, r->name[t]);
        lua_setfield(L, -2, "name");
        lua_pushnumber(L, all > 0 ? 1 - left / all : left == 0);
        lua_setfield(L, -2, "r2");
        lua_pushnumber(L, sqrt(left / r->rows[t]));
        lua_setfield(L, -2, "rmse");
        lua_pushinteger(L, (lua_Integer)r->rows[t]);
        lua_setfield(L, -2, "rows");
        lua_rawseti(L, -2, (lua_Integer)t + 1);
    }
    return 1;
}

// coefficients(model): {intercept, one per feature} by target
static int responses_coefficients(lua_State *L)
{
    const fr_responses *r = check_responses(L, 1);
    lua_createtable(L, (int)r->targets, 0);
    for (size_t t = 0; t < r->targets; t++) {
        lua_createtable(L, (int)r->features + 1, 0);
        lua_pushnumber(L, r->intercept[t]);
        lua_rawseti(L, -2, 1);
        for (size_t j = 0; j < r->features; j++) {
            lua_pushnumber(L, r->coef[t * r->features + j]);
            lua_rawseti(L, -2, (lua_Integer)j + 2);
        }
        lua_rawseti(L, -2, (lua_Integer)t + 1);
    }
    return 1;
}

int luaopen_flowrun_core_responses(lua_State *L)
{
    static const luaL_Reg functions[] = {{"fit", responses_fit},
                                         {"predict", responses_predict},
                                         {"targets", responses_targets},
                                         {"coefficients", responses_coefficients},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
