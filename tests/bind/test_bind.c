#include "lua/bind/bind.h"
#include "lua/bind/embed.h"
#include "lua/bind/vm.h"
#include "tests/bind/failing.h"
#include "tests/unit/check.h"

#include <stdlib.h>

#define CLASS "test.Thing"

static int alive;                            // things made and not yet freed

static int thing_gc(lua_State *L)
{
    void **slot = luaL_checkudata(L, 1, CLASS);
    if (*slot != NULL) {
        free(*slot);
        *slot = NULL;
        alive--;
    }
    return 0;
}

static int thing_new(lua_State *L)
{
    void **slot = bind_box(L, CLASS);
    *slot = malloc(16);
    alive++;
    bind_pressure(L, 100000);
    lua_newtable(L);                         // may fail after the box owns
    lua_setiuservalue(L, -2, 1);
    return 1;
}

static int thing_touch(lua_State *L)
{
    (void)bind_check(L, 1, CLASS);
    lua_pushboolean(L, bind_test(L, 2, CLASS) != NULL);
    return 1;
}

static int thing_options(lua_State *L)
{
    static const char *const known[] = {"retries", "timeout", "backoff", NULL};
    bind_options(L, 1, "thing", known);
    return 0;
}

static int thing_fail(lua_State *L)
{
    return bind_fail(L, FR_EPARSE, "line %d: %s", 12, "no number");
}

static int thing_raise(lua_State *L)
{
    fr_err err = FR_ERR_INIT;
    int rc = fr_fail(&err, FR_ETIMEOUT, "took %d s", 3);
    return bind_raise(L, rc, &err);
}

static int open_things(lua_State *L)
{
    static const luaL_Reg methods[] = {{"touch", thing_touch}, {"close", thing_gc}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"new", thing_new},   {"options", thing_options}, {"fail", thing_fail},
        {"raise", thing_raise}, {NULL, NULL},
    };
    bind_class(L, CLASS, methods, NULL, thing_gc);
    bind_class(L, CLASS, methods, NULL, thing_gc);       // a second time changes nothing
    luaL_newlib(L, functions);
    lua_setglobal(L, "thing");
    return 0;
}

// Runs a script; returns its first result or the error as text, kept until the next call.
static const char *say(lua_State *L, const char *script)
{
    lua_settop(L, 0);
    if (luaL_loadbuffer(L, script, strlen(script), "=user.lua") != LUA_OK ||
        lua_pcall(L, 0, 1, 0) != LUA_OK) {
        return luaL_tolstring(L, -1, NULL);
    }
    return luaL_tolstring(L, -1, NULL);
}

static lua_State *make(void)
{
    lua_State *L = fr_vm_new(NULL);
    lua_pushcfunction(L, open_things);
    lua_call(L, 0, 0);
    return L;
}

static void a_box_is_freed_once_and_says_when_it_is_closed(void)
{
    lua_State *L = make();
    CHECK_STR(say(L, "local a, b = thing.new(), thing.new() return a:touch(b)"), "true");
    CHECK_STR(say(L, "return thing.new():touch(1)"), "false");
    CHECK_STR(say(L, "local a = thing.new() a:close() a:close() a:touch()"),
              "user.lua:1: calling 'touch' on bad self (test.Thing is closed)");
    CHECK_STR(say(L, "local a <close> = thing.new() return getmetatable(a)"), "locked");
    CHECK_STR(say(L, "return thing.new().touch(io.stdout)"),
              "user.lua:1: bad argument #1 to 'touch' (test.Thing expected, got FILE*)");
    lua_close(L);
    CHECK_INT(alive, 0);
}

static void pressure_makes_the_collector_work(void)
{
    lua_State *L = make();
    int most = 0;
    for (int i = 0; i < 2000; i++) {
        (void)say(L, "thing.new()");
        most = alive > most ? alive : most;
    }
    CHECK(most < 1000);                      // 2,000 boxes alone would not start a cycle so early
    lua_close(L);
    CHECK_INT(alive, 0);
}

static void options_are_checked_with_a_hint(void)
{
    lua_State *L = make();
    CHECK_STR(say(L, "thing.options() thing.options{retries = 1, backoff = 2} return 'fine'"),
              "fine");
    CHECK_STR(say(L, "thing.options{retrys = 1}"),
              "user.lua:1: thing: unknown option 'retrys'; did you mean 'retries'?");
    CHECK_STR(say(L, "thing.options{colour = 1}"), "user.lua:1: thing: unknown option 'colour'; "
                                                   "it knows retries, timeout, backoff");
    CHECK_STR(say(L, "thing.options{5}"),
              "user.lua:1: thing: options are named, found one with key 1");
    lua_close(L);
}

static void errors_go_out_and_come_back(void)
{
    lua_State *L = make();
    CHECK_STR(say(L, "thing.fail()"), "user.lua:1: line 12: no number");
    CHECK_STR(say(L, "local _, e = pcall(thing.raise) return e.code"), "timeout");
    CHECK_STR(say(L, "local _, e = pcall(thing.raise) local _, f = pcall(error, e) "
                     "return tostring(rawequal(e, f))"),
              "true");
    fr_err err = FR_ERR_INIT;
    (void)say(L, "thing.raise()");
    CHECK_INT(bind_take_error(L, 1, &err), FR_ETIMEOUT);
    CHECK_STR(err.text, "user.lua:1: took 3 s");
    (void)say(L, "error('plain')");
    CHECK_INT(bind_take_error(L, 1, &err), FR_ETASK);
    CHECK_STR(err.text, "user.lua:1: plain");
    (void)say(L, "error({code = 'nonsense'})");
    CHECK_INT(bind_take_error(L, 1, &err), FR_ETASK);
    (void)say(L, "error(print)");
    CHECK_INT(bind_take_error(L, 1, &err), FR_ETASK);
    CHECK_STR(err.text, "error value is a function");
    lua_close(L);
}

static void sources_in_the_program_are_found(void)
{
    CHECK(fr_embed_module("flowrun.test") != NULL);
    CHECK(fr_embed_module("flowrun.cli") == fr_embed_find("lua/flowrun/cli/init.lua"));
    CHECK(fr_embed_module("flowrun.nothing") == NULL);
    CHECK(fr_embed_module("flowrunner") == NULL);
    CHECK(fr_embed_module("") == NULL);
    char name[400] = "flowrun.";
    memset(name + 8, 'x', sizeof name - 9);
    name[sizeof name - 1] = '\0';
    CHECK(fr_embed_module(name) == NULL);
    const fr_embedded *before = NULL, *file;
    for (size_t i = 0; (file = fr_embed_at(i)) != NULL; i++) {
        CHECK(before == NULL || strcmp(before->name, file->name) < 0);
        CHECK(fr_embed_find(file->name) == file);
        CHECK_INT(file->bytes[file->size], 0);
        before = file;
    }
    CHECK(before != NULL);
}

static void modules_are_required_from_the_program(void)
{
    lua_State *L = make();
    CHECK_STR(say(L, "return (select(2, require 'flowrun.test'))"), "lua/flowrun/test.lua");
    CHECK_STR(say(L, "return type(require 'flowrun.core.error'.new)"), "function");
    CHECK_STR(say(L, "return require 'cjson'.encode({1})"), "[1]");
    CHECK(strstr(say(L, "require 'flowrun.nothing'"), "in the program") != NULL);
    lua_close(L);
}

static void a_development_tree_replaces_the_sources(void)
{
    lua_State *L = fr_vm_new(FLOWRUN_SOURCE);
    CHECK_STR(fr_vm_dev(L), FLOWRUN_SOURCE);
    CHECK_STR(say(L, "return type(require 'flowrun.test'.it)"), "function");
    lua_close(L);
    L = fr_vm_new("/nowhere");
    CHECK(strstr(say(L, "require 'flowrun.test'"), "--dev: /nowhere/lua/flowrun/test.lua") != NULL);
    lua_close(L);
}

// --- the n-th allocation fails ---

static int run_all(lua_State *L)
{
    luaL_openlibs(L);
    fr_vm_prepare(L, NULL);
    (void)open_things(L);
    static const char script[] =
        "local e = require 'flowrun.core.error' "
        "local things = {} for i = 1, 5 do things[i] = thing.new() end "
        "pcall(thing.fail) pcall(thing.options, {retrys = 1}) "
        "return tostring(e.new('io', 'x', e.new('timeout', 'y'))) .. tostring(things[1]:touch())";
    if (luaL_loadstring(L, script) != LUA_OK) {
        return lua_error(L);
    }
    lua_call(L, 0, 1);
    return 1;
}

static void every_failing_allocation_is_survived(void)
{
    failing f = {.failed = true};
    long n = 0, failures = 0;
    int rc = LUA_ERRMEM;
    for (; f.failed && n < 100000; n++) {
        f = (failing){.left = n};
        lua_State *L = lua_newstate(failing_alloc, &f);
        if (L == NULL) {
            continue;
        }
        lua_pushcfunction(L, run_all);
        rc = lua_pcall(L, 0, 1, 0);
        failures += rc != LUA_OK;
        lua_close(L);
        FR_ASSERT(alive == 0 && f.bytes == 0);
    }
    CHECK(failures > 300);                   // it really swept
    CHECK(!f.failed && rc == LUA_OK);        // and came to an undisturbed run
}

int main(void)
{
    CASE(a_box_is_freed_once_and_says_when_it_is_closed);
    CASE(pressure_makes_the_collector_work);
    CASE(options_are_checked_with_a_hint);
    CASE(errors_go_out_and_come_back);
    CASE(sources_in_the_program_are_found);
    CASE(modules_are_required_from_the_program);
    CASE(a_development_tree_replaces_the_sources);
    CASE(every_failing_allocation_is_survived);
    return check_end();
}
