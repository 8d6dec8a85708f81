#include "lua/bind/object_box.h"

#include "core/data/frame.h"
#include "core/ml/forecaster.h"
#include "core/ml/model.h"

#include <stdbool.h>

static const struct {
    uint8_t kind;
    const char *class, *module;
} classes[] = {
    {FR_KIND_FRAME, "flowrun.Frame", "flowrun.frame"},
    {FR_KIND_ARRAY, "flowrun.Array", "flowrun.frame"},
    {FR_KIND_MODEL, "flowrun.Model", "flowrun.ml"},
    {FR_KIND_FORECASTER, "flowrun.Forecaster", "flowrun.ts"},
};

static const fr_object_ops *const kinds[] = {&fr_frame_ops, &fr_array_ops,
                                             &fr_model_object_ops, &fr_forecaster_ops,
                                             NULL};

static const char mark = 0; // key in a metatable: its userdata are object boxes

fr_object_kinds bind_object_kinds(void) { return kinds; }

const char *bind_object_class_name(uint8_t kind)
{
    for (size_t i = 0; i < FR_COUNT(classes); i++) {
        if (classes[i].kind == kind) {
            return classes[i].class;
        }
    }
    return NULL;
}

fr_object *bind_object_test(lua_State *L, int arg)
{
    fr_object **slot = lua_touserdata(L, arg);
    if (slot == NULL || lua_islightuserdata(L, arg) || !lua_getmetatable(L, arg)) {
        return NULL;
    }
    bool ours = lua_rawgetp(L, -1, &mark) != LUA_TNIL;
    lua_pop(L, 2);
    return ours ? *slot : NULL;
}

fr_object *bind_object_check(lua_State *L, int arg, uint8_t kind)
{
    return bind_check(L, arg, bind_object_class_name(kind));
}

fr_object **bind_object_box(lua_State *L, uint8_t kind)
{
    const char *class = bind_object_class_name(kind);
    luaL_checkstack(L, 4, "object");
    if (class == NULL) {
        (void)bind_fail(L, FR_EUNSUPPORTED, "an object of unknown kind %d", (int)kind);
    }
    if (luaL_getmetatable(L, class) != LUA_TTABLE) {
        for (size_t i = 0; i < FR_COUNT(classes); i++) {
            if (classes[i].kind == kind) {
                lua_getglobal(L, "require");
                lua_pushstring(L, classes[i].module);
                lua_call(L, 1, 0);
            }
        }
    }
    lua_pop(L, 1);
    return (fr_object **)bind_box(L, class);
}

void bind_object_sealed(lua_State *L, size_t bytes) { bind_pressure(L, bytes); }

// The table object -> box of this state; its values are weak.
static void push_boxes(lua_State *L)
{
    static const char key = 0;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TTABLE) {
        return;
    }
    lua_pop(L, 1);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
}

// An object that is pushed again while its box lives gets that box: a frame that a map hands
// to each of its items must not count as new memory every time.
void bind_object_push(lua_State *L, const fr_object *o)
{
    luaL_checkstack(L, 8, "object");
    push_boxes(L);
    if (lua_rawgetp(L, -1, o) == LUA_TUSERDATA && bind_object_test(L, -1) == o) {
        lua_remove(L, -2);
        return;
    }
    lua_pop(L, 1);
    fr_object **slot = bind_object_box(L, o->ops->kind);
    *slot = fr_object_ref(o);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, -3, o);
    lua_remove(L, -2);
    bind_pressure(L, o->ops->size(o));
}

static int object_gc(lua_State *L)
{
    fr_object **slot = lua_touserdata(L, 1);
    fr_object *o = *slot;
    *slot = NULL;
    fr_object_unref(o);
    return 0;
}

static int object_eq(lua_State *L)
{
    fr_object *a = bind_object_test(L, 1), *b = bind_object_test(L, 2);
    bool equal = a == b;
    if (!equal && a != NULL && b != NULL && a->ops == b->ops && a->ops->hash != NULL) {
        equal = fr_hash_eq(a->ops->hash(a), b->ops->hash(b));
    }
    lua_pushboolean(L, equal);
    return 1;
}

void bind_object_class(lua_State *L, uint8_t kind, const luaL_Reg *methods,
                       const luaL_Reg *meta)
{
    const char *class = bind_object_class_name(kind);
    bind_class(L, class, methods, meta, object_gc);
    luaL_getmetatable(L, class);
    lua_pushboolean(L, true);
    lua_rawsetp(L, -2, &mark);
    lua_pushcfunction(L, object_eq);
    lua_setfield(L, -2, "__eq");
    lua_pop(L, 1);
}
