// flowrun.core.option -- the option table as a list of Lua tables.

#include "core/engine/option.h"
#include "lua/bind/bind.h"

#include <string.h>

static void set_text(lua_State *L, const char *field, const char *text)
{
    if (text != NULL) {
        lua_pushstring(L, text);
        lua_setfield(L, -2, field);
    }
}

static void push_choices(lua_State *L, const char *choices)
{
    lua_newtable(L);
    for (lua_Integer n = 1; *choices != '\0'; n++) {
        size_t size = strcspn(choices, "|");
        lua_pushlstring(L, choices, size);
        lua_seti(L, -2, n);
        choices += size + (choices[size] == '|');
    }
}

static void push_option(lua_State *L, const fr_option *o)
{
    static const struct {
        unsigned scope;
        const char *name;
    } scopes[] = {
        {FR_OPTION_TASK, "task"}, {FR_OPTION_FLOW, "flow"}, {FR_OPTION_WITH, "with"},
        {FR_OPTION_GROUP, "group"}};
    lua_createtable(L, 0, 12);
    set_text(L, "name", o->name);
    set_text(L, "within", o->within);
    set_text(L, "type", fr_option_type_name(o->type));
    set_text(L, "preset", o->preset);
    set_text(L, "doc", o->doc);
    for (size_t i = 0; i < FR_COUNT(scopes); i++) {
        lua_pushboolean(L, (o->scopes & scopes[i].scope) != 0);
        lua_setfield(L, -2, scopes[i].name);
    }
    lua_pushboolean(L, o->built);
    lua_setfield(L, -2, "built");
    if (o->min < o->max) {
        lua_pushnumber(L, o->min);
        lua_setfield(L, -2, "min");
        lua_pushnumber(L, o->max);
        lua_setfield(L, -2, "max");
    }
    if (o->choices != NULL) {
        push_choices(L, o->choices);
        lua_setfield(L, -2, "choices");
    }
}

static int option_list(lua_State *L)
{
    lua_createtable(L, (int)fr_option_count(), 0);
    for (size_t i = 0; i < fr_option_count(); i++) {
        push_option(L, fr_option_at(i));
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

int luaopen_flowrun_core_option(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"list", option_list},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
