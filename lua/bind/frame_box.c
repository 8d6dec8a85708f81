#include "lua/bind/frame_box.h"

#include "core/base/mem.h"
#include "core/data/when.h"

#include <stdbool.h>
#include <string.h>

const fr_frame *bind_frame_check(lua_State *L, int arg)
{
    return (const fr_frame *)bind_object_check(L, arg, FR_KIND_FRAME);
}

const fr_array *bind_array_check(lua_State *L, int arg)
{
    return (const fr_array *)bind_object_check(L, arg, FR_KIND_ARRAY);
}

const fr_frame *bind_frame_test(lua_State *L, int arg)
{
    const fr_object *o = bind_object_test(L, arg);
    return o != NULL && o->ops == &fr_frame_ops ? (const fr_frame *)o : NULL;
}

const fr_array *bind_array_test(lua_State *L, int arg)
{
    const fr_object *o = bind_object_test(L, arg);
    return o != NULL && o->ops == &fr_array_ops ? (const fr_array *)o : NULL;
}

fr_frame **bind_frame_box(lua_State *L)
{
    return (fr_frame **)(void *)bind_object_box(L, FR_KIND_FRAME);
}

fr_array **bind_array_box(lua_State *L)
{
    return (fr_array **)(void *)bind_object_box(L, FR_KIND_ARRAY);
}

static size_t own(const fr_block *b)
{
    return b != NULL && atomic_load(&b->refs) == 1 ? b->capacity : 0;
}

static size_t own_array(const fr_array *a)
{
    return sizeof *a + own(a->values) + own(a->offsets) + own(a->validity);
}

void bind_array_sealed(lua_State *L, const fr_array *a)
{
    bind_object_sealed(L, own_array(a));
}

void bind_frame_sealed(lua_State *L, const fr_frame *f)
{
    size_t bytes = sizeof *f + f->columns * 2 * sizeof(void *);
    for (size_t i = 0; i < f->columns; i++) {
        bytes += atomic_load(&f->cols[i]->object.refs) == 1 ? own_array(f->cols[i]) : 0;
    }
    bind_object_sealed(L, bytes);
}

#define SHOW_CLASS "flowrun.Show"

static int show_gc(lua_State *L)
{
    fr_show_fini(lua_touserdata(L, 1));
    return 0;
}

void bind_show(lua_State *L, const fr_array *a, fr_show *show)
{
    *show = (fr_show){.array = a};
    if (a->type.kind != FR_TIMESTAMP || a->type.zone[0] == 0) {
        lua_pushnil(L); // nothing to free
        return;
    }
    bind_class(L, SHOW_CLASS, NULL, NULL, show_gc);
    fr_show *kept = lua_newuserdatauv(L, sizeof *kept, 0);
    *kept = *show;
    luaL_setmetatable(L, SHOW_CLASS);
    fr_err err = FR_ERR_INIT;
    if (fr_show_init(kept, a, &err) != FR_OK) {
        bind_raise_error(L, &err);
    }
    *show = *kept;
}

static void push_shown(lua_State *L, const fr_show *show, int64_t i)
{
    uint8_t room[FR_WHEN_MAX + 16]; // no heap: lua_pushlstring may raise
    fr_buf b = {.data = room, .capacity = sizeof room, .max = sizeof room};
    fr_show_cell(show, i, &b);
    lua_pushlstring(L, (const char *)b.data, b.size);
}

void bind_cell_push(lua_State *L, const fr_show *show, int64_t i)
{
    const fr_array *a = show->array;
    size_t n;
    if (!fr_array_has(a, i)) {
        lua_pushnil(L);
        return;
    }
    switch (a->type.kind) {
    case FR_BOOL:
        lua_pushboolean(L, fr_array_bool(a, i));
        break;
    case FR_FLOAT32:
    case FR_FLOAT64:
        lua_pushnumber(L, fr_array_number(a, i));
        break;
    case FR_UTF8:
    case FR_CATEGORY: {
        const char *s = fr_array_text(a, i, &n);
        lua_pushlstring(L, s, n);
        break;
    }
    case FR_DATE:
    case FR_TIME:
    case FR_TIMESTAMP:
    case FR_DURATION:
        push_shown(L, show, i);
        break;
    case FR_UINT64:
        if (fr_array_int(a, i) < 0) {
            bool named = show->name != NULL;
            (void)bind_fail(L, FR_EOVERFLOW,
                            "row %lld%s%.60s%s: %llu does not fit a Lua integer", (long long)i + 1,
                            named ? ", column \"" : "", named ? show->name : "", named ? "\"" : "",
                            (unsigned long long)fr_array_int(a, i));
        }
        lua_pushinteger(L, fr_array_int(a, i));
        break;
    case FR_INT8:
    case FR_INT16:
    case FR_INT32:
    case FR_INT64:
    case FR_UINT8:
    case FR_UINT16:
    case FR_UINT32:
        lua_pushinteger(L, fr_array_int(a, i));
        break;
    }
}

const char **bind_names(lua_State *L, int idx, size_t *n, const char *what)
{
    idx = lua_absindex(L, idx);
    if (lua_type(L, idx) != LUA_TTABLE) {
        (void)bind_fail(L, FR_ETYPE, "%s: expected a list of column names, got %s", what,
                        luaL_typename(L, idx));
    }
    *n = (size_t)lua_rawlen(L, idx);
    const char **names = lua_newuserdatauv(L, (*n + 1) * sizeof *names, 1);
    for (size_t i = 0; i < *n; i++) {
        if (lua_rawgeti(L, idx, (lua_Integer)i + 1) != LUA_TSTRING) {
            (void)bind_fail(L, FR_ETYPE, "%s: item %zu is a %s, expected a column name",
                            what, i + 1, luaL_typename(L, -1));
        }
        size_t size;
        names[i] = lua_tolstring(L, -1, &size); // the table keeps the string
        if (strlen(names[i]) != size) {
            (void)bind_fail(L, FR_EINVAL, "%s: a name with a zero byte", what);
        }
        lua_pop(L, 1);
    }
    names[*n] = NULL;
    lua_pushvalue(L, idx);
    lua_setiuservalue(L, -2, 1); // the userdata keeps the table
    return names;
}
