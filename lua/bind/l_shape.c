// flowrun.core.shape -- what k-means and principal components found.

#include "core/ml/shape.h"
#include "lua/bind/object_box.h"

static const fr_model *check_model(lua_State *L, int arg)
{
    return (const fr_model *)bind_object_check(L, arg, FR_KIND_MODEL);
}

static void push_list(lua_State *L, const double *v, size_t n, size_t step)
{
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushnumber(L, v[i * step]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

// kmeans(model): inertia, iterations, {centres by feature, …}; nil for other models
static int shape_kmeans(lua_State *L)
{
    const fr_kmeans *c = fr_kmeans_of(check_model(L, 1));
    if (c == NULL) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushnumber(L, c->inertia);
    lua_pushinteger(L, (lua_Integer)c->iterations);
    lua_createtable(L, (int)c->features, 0);
    for (size_t j = 0; j < c->features; j++) {
        push_list(L, c->centre + j, c->clusters, c->features);
        lua_rawseti(L, -2, (lua_Integer)j + 1);
    }
    return 3;
}

// pca(model): variances, shares, {elements by feature, …}, means; nil for other models
static int shape_pca(lua_State *L)
{
    const fr_pca *s = fr_pca_of(check_model(L, 1));
    if (s == NULL) {
        lua_pushnil(L);
        return 1;
    }
    push_list(L, s->variance, s->components, 1);
    push_list(L, s->share, s->components, 1);
    lua_createtable(L, (int)s->features, 0);
    for (size_t j = 0; j < s->features; j++) {
        push_list(L, s->direction + j, s->components, s->features);
        lua_rawseti(L, -2, (lua_Integer)j + 1);
    }
    push_list(L, s->mean, s->features, 1);
    return 4;
}

int luaopen_flowrun_core_shape(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"kmeans", shape_kmeans}, {"pca", shape_pca}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
