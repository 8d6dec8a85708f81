// flowrun.core.pipeline -- models made of others: pipelines, and transformers from numbers
// that Lua computed.

#include "core/ml/pipeline.h"
#include "core/ml/preprocess.h"
#include "lua/bind/frame_box.h"

static const fr_model *check_model(lua_State *L, int arg)
{
    return (const fr_model *)bind_object_check(L, arg, FR_KIND_MODEL);
}

static int push_model(lua_State *L, int rc, fr_model *const *slot, const fr_err *err)
{
    if (rc != FR_OK) {
        return bind_raise(L, rc, err);
    }
    bind_object_sealed(L, fr_model_object_ops.size(&(*slot)->object));
    return 1;
}

static fr_model **model_box(lua_State *L)
{
    return (fr_model **)(void *)bind_object_box(L, FR_KIND_MODEL);
}

// new({model, …}, {name of a feature, …}): a pipeline
static int pipeline_new(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    const fr_model *step[FR_PIPELINE_STEPS];
    size_t count = (size_t)luaL_len(L, 1);
    luaL_argcheck(L, count <= FR_PIPELINE_STEPS, 1, "at most 64 steps");
    for (size_t i = 0; i < count; i++) {
        (void)lua_geti(L, 1, (lua_Integer)i + 1);
        step[i] = check_model(L, -1); // the list keeps it
        lua_pop(L, 1);
    }
    size_t features;
    const char **feature = bind_names(L, 2, &features, "pipeline");
    fr_model **slot = model_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_pipeline_new(step, count, feature, features, slot, &err);
    return push_model(L, rc, slot, &err);
}

// steps(model): {model, …}; nil when it is no pipeline
static int pipeline_steps(lua_State *L)
{
    const fr_pipeline *p = fr_pipeline_of(check_model(L, 1));
    if (p == NULL) {
        lua_pushnil(L);
        return 1;
    }
    lua_createtable(L, (int)p->count, 0);
    for (size_t i = 0; i < p->count; i++) {
        fr_model **slot = model_box(L);
        *slot = fr_model_ref(p->step[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

// numbers(kind, names, {number, …}, rows): a transformer whose payload they are
static int pipeline_numbers(lua_State *L)
{
    static const char *const kinds[] = {"minmax", "robust", "imputer", NULL};
    int kind = luaL_checkoption(L, 1, NULL, kinds);
    size_t n;
    const char **names = bind_names(L, 2, &n, kinds[kind]);
    luaL_checktype(L, 3, LUA_TTABLE);
    size_t count = (size_t)luaL_len(L, 3);
    int64_t rows = luaL_checkinteger(L, 4);
    luaL_argcheck(L, count == n * (kind == 2 ? 1 : 2), 3, "one or two numbers per column");
    double *v = lua_newuserdatauv(L, (count + 1) * sizeof *v, 0);
    for (size_t i = 0; i < count; i++) {
        (void)lua_geti(L, 3, (lua_Integer)i + 1);
        v[i] = luaL_checknumber(L, -1);
        lua_pop(L, 1);
    }
    fr_model **slot = model_box(L);
    fr_err err = FR_ERR_INIT;
    const fr_model_ops *ops = fr_model_kind(kinds[kind]);
    int rc = fr_numbers_new(ops, names, n, v, count, rows, slot, &err);
    return push_model(L, rc, slot, &err);
}

int luaopen_flowrun_core_pipeline(lua_State *L)
{
    static const luaL_Reg functions[] = {{"new", pipeline_new},
                                         {"steps", pipeline_steps},
                                         {"numbers", pipeline_numbers},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
