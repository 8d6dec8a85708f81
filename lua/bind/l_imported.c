// flowrun.core.imported -- models from the parts of trees that lua/flowrun/ml_import.lua has
// read from files of other libraries.

#include "core/ml/imported.h"
#include "lua/bind/frame_box.h"

// The list at field `name` of the table at arg, as scratch of `size` bytes each.
static size_t field_list(lua_State *L, int arg, const char *name)
{
    if (lua_getfield(L, arg, name) != LUA_TTABLE) {
        (void)luaL_error(L, "%s: a list is expected", name);
    }
    return (size_t)lua_rawlen(L, -1);
}

static double *numbers(lua_State *L, int arg, const char *name, size_t *n)
{
    *n = field_list(L, arg, name);
    double *v = lua_newuserdatauv(L, (*n + 1) * sizeof *v, 0);
    for (size_t i = 0; i < *n; i++) {
        lua_rawgeti(L, -2, (lua_Integer)i + 1);
        v[i] = luaL_checknumber(L, -1);
        lua_pop(L, 1);
    }
    return v;
}

static uint32_t *wholes(lua_State *L, int arg, const char *name, size_t *n)
{
    *n = field_list(L, arg, name);
    uint32_t *v = lua_newuserdatauv(L, (*n + 1) * sizeof *v, 0);
    for (size_t i = 0; i < *n; i++) {
        lua_rawgeti(L, -2, (lua_Integer)i + 1);
        lua_Integer k = luaL_checkinteger(L, -1);
        luaL_argcheck(L, k >= -1 && k <= (lua_Integer)UINT32_MAX, arg, name);
        v[i] = (uint32_t)k;
        lua_pop(L, 1);
    }
    return v;
}

// new(parts, classes, features): parts = {value, feature, left, right, flags, set, words by
// node; root, output by tree; base by output; sets; link, scale}
static int imported_new(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    size_t classes = (size_t)luaL_checkinteger(L, 2), features;
    const char **feature = bind_names(L, 3, &features, "ml.read");
    size_t count[8], outputs, trees, roots, words;
    const double *value = numbers(L, 1, "value", &count[0]);
    const uint32_t *of = wholes(L, 1, "feature", &count[1]);
    const uint32_t *left = wholes(L, 1, "left", &count[2]);
    const uint32_t *right = wholes(L, 1, "right", &count[3]);
    const uint32_t *flags = wholes(L, 1, "flags", &count[4]);
    const uint32_t *set = wholes(L, 1, "set", &count[5]);
    const uint32_t *size = wholes(L, 1, "words", &count[6]);
    fr_imported parts = {.nodes = count[0]};
    parts.root = wholes(L, 1, "root", &roots);
    parts.output = wholes(L, 1, "output", &trees);
    parts.base = numbers(L, 1, "base", &outputs);
    parts.set = wholes(L, 1, "sets", &words);
    for (int i = 1; i < 7; i++) {
        luaL_argcheck(L, count[i] == count[0], 1, "lists of nodes differ in length");
    }
    luaL_argcheck(L, roots == trees, 1, "root and output differ in length");
    fr_imported_node *node = lua_newuserdatauv(L, (count[0] + 1) * sizeof *node, 0);
    for (size_t k = 0; k < count[0]; k++) {
        node[k] = (fr_imported_node){value[k], (int32_t)of[k], left[k], right[k],
                                     flags[k], set[k],         size[k]};
    }
    parts.node = node;
    parts.trees = trees;
    parts.outputs = outputs;
    parts.words = words;
    lua_getfield(L, 1, "link");
    parts.link = (fr_imported_link)luaL_checkinteger(L, -1);
    lua_getfield(L, 1, "scale");
    parts.scale = luaL_checknumber(L, -1);
    fr_model **slot = (fr_model **)(void *)bind_object_box(L, FR_KIND_MODEL);
    fr_err err = FR_ERR_INIT;
    int rc = fr_imported_new(&parts, classes, feature, features, slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_object_sealed(L, fr_model_object_ops.size(&(*slot)->object));
    return 1;
}

int luaopen_flowrun_core_imported(lua_State *L)
{
    static const luaL_Reg functions[] = {{"new", imported_new}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
