#include "lua/bind/running.h"

#include "core/base/cancel.h"
#include "core/engine/exec.h"
#include "lua/bind/bind.h"

static const int every = LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT;

static int raise_cancelled(lua_State *L, int code)
{
    return bind_fail(L, code, "%s",
                     code == FR_ETIMEOUT ? "stopped: it took longer than its timeout"
                                         : "cancelled");
}

// Raises once and lets cleanup work: the hook is gone until the canceller asks again.
static void stop_once(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    lua_sethook(L, NULL, 0, 0);
    int code = fr_cancel_code();
    if (code != 0) { // a hook that came late meets another body
        (void)raise_cancelled(L, code);
    }
}

static void stop_for_good(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    int code = fr_cancel_code();
    if (code != 0) {
        (void)raise_cancelled(L, code);
    }
    lua_sethook(L, NULL, 0, 0);
}

void bind_running_interrupt(bind_running *r, int how)
{
    lua_State *L = atomic_load(&r->now);
    atomic_store(&r->how, how);
    if (L != NULL) {
        lua_sethook(L, how == FR_INTERRUPT_STICKY ? stop_for_good : stop_once, every, 1);
    }
}

void bind_running_enter(bind_running *r, lua_State *co)
{
    atomic_store(&r->how, 0);
    r->engine_yield = false;
    r->refused = false;
    atomic_store(&r->now, co);
}

void bind_running_pause(bind_running *r, lua_State *co)
{
    atomic_store(&r->now, NULL);
    if (lua_gethook(co) != NULL) { // came too late
        lua_sethook(co, NULL, 0, 0);
    }
}

void bind_running_go_on(bind_running *r, lua_State *co) { atomic_store(&r->now, co); }

void bind_running_leave(bind_running *r, lua_State *co) { bind_running_pause(r, co); }

// --- the replaced functions, after lcorolib.c of Lua 5.4 ---

static bind_running *running_of(lua_State *L, int upvalue)
{
    return lua_touserdata(L, lua_upvalueindex(upvalue));
}

static int failed(lua_State *L, const char *message)
{
    lua_pushstring(L, message);
    return -1;
}

// Resumes co with the n arguments on top of L. Returns the number of results now on top
// of L, or -1 with an error object on top, or -2 when the coroutine waits for the engine.
static int resume(lua_State *L, lua_State *co, int n, bind_running *r)
{
    if (!lua_checkstack(co, n)) {
        return failed(L, "too many arguments to resume");
    }
    lua_xmove(L, co, n);
    int results;
    for (;;) {
        atomic_store(&r->now, co);
        int status = lua_resume(co, L, n, &results);
        atomic_store(&r->now, L);
        if (atomic_load(&r->how) == FR_INTERRUPT_STICKY && lua_gethook(L) == NULL) {
            lua_sethook(L, stop_for_good, every,
                        1); // the cancel follows the stack outwards
        }
        if (status == LUA_YIELD && r->engine_yield) {
            if (lua_isyieldable(L)) {
                return -2;
            }
            r->engine_yield = false;
            r->refused = true; // back into co, where the wait raises
            n = 0;
            continue;
        }
        if (status != LUA_OK && status != LUA_YIELD) {
            lua_xmove(co, L, 1);
            return -1;
        }
        if (!lua_checkstack(L, results + 1)) {
            lua_pop(co, results);
            return failed(L, "too many results to resume");
        }
        lua_xmove(co, L, results);
        return results;
    }
}

static lua_State *coroutine_arg(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co != NULL, 1, "coroutine");
    return co;
}

static int after_resume(lua_State *L, int n);

static int resume_again(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    bind_running *r = (bind_running *)ctx;
    r->engine_yield = false;
    lua_settop(L, 1);
    return after_resume(L, resume(L, coroutine_arg(L), 0, r));
}

static int after_resume(lua_State *L, int n)
{
    if (n == -2) {
        bind_running *r = running_of(L, 1);
        return lua_yieldk(L, 0, (lua_KContext)r, resume_again);
    }
    lua_pushboolean(L, n >= 0);
    lua_insert(L, n >= 0 ? -(n + 1) : -2);
    return n >= 0 ? n + 1 : 2;
}

static int coroutine_resume(lua_State *L)
{
    lua_State *co = coroutine_arg(L);
    if (lua_status(co) == LUA_OK && lua_gettop(co) == 0) {
        lua_pushboolean(L, false);
        lua_pushliteral(L, "cannot resume dead coroutine");
        return 2;
    }
    return after_resume(L, resume(L, co, lua_gettop(L) - 1, running_of(L, 1)));
}

static int after_wrap(lua_State *L, int n);

static int wrap_again(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    bind_running *r = (bind_running *)ctx;
    r->engine_yield = false;
    lua_settop(L, 0);
    return after_wrap(L, resume(L, lua_tothread(L, lua_upvalueindex(2)), 0, r));
}

static int after_wrap(lua_State *L, int n)
{
    bind_running *r = running_of(L, 1);
    if (n == -2) {
        return lua_yieldk(L, 0, (lua_KContext)r, wrap_again);
    }
    if (n >= 0) {
        return n;
    }
    lua_State *co = lua_tothread(L, lua_upvalueindex(2));
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) { // an error in the coroutine: close it
        atomic_store(&r->now, co);
        status = lua_resetthread(co);
        atomic_store(&r->now, L);
        lua_xmove(co, L, 1);
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int call_wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(2));
    if (lua_status(co) == LUA_OK && lua_gettop(co) == 0) {
        return after_wrap(L, failed(L, "cannot resume dead coroutine"));
    }
    return after_wrap(L, resume(L, co, lua_gettop(L), running_of(L, 1)));
}

static int coroutine_wrap(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, call_wrapped, 2);
    return 1;
}

static int coroutine_close(lua_State *L)
{
    lua_State *co = coroutine_arg(L);
    int status = lua_status(co);
    lua_Debug ar;
    if (co == L || (status == LUA_OK && lua_getstack(co, 0, &ar) > 0)) {
        return luaL_error(L, "cannot close a %s coroutine",
                          co == L ? "running" : "normal");
    }
    bind_running *r = running_of(L, 1);
    atomic_store(&r->now, co);
    status = lua_resetthread(co);
    atomic_store(&r->now, L);
    if (status == LUA_OK) {
        lua_pushboolean(L, true);
        return 1;
    }
    lua_pushboolean(L, false);
    lua_xmove(co, L, 1);
    return 2;
}

void bind_running_install(lua_State *L, bind_running *r)
{
    static const luaL_Reg functions[] = {
        {"resume", coroutine_resume},
        {"wrap", coroutine_wrap},
        {"close", coroutine_close},
        {NULL, NULL},
    };
    lua_getglobal(L, "coroutine");
    lua_pushlightuserdata(L, r);
    luaL_setfuncs(L, functions, 1);
    lua_pop(L, 1);
}
