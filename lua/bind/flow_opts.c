// The scheduler's options of a task, read from the table that lua/flowrun/task.lua makes.
#include "lua/bind/flow_host.h"

#include <stdio.h>
#include <string.h>

static int opts_gc(lua_State *L)
{
    flow_opts *o = luaL_checkudata(L, 1, FLOW_OPTS);
    for (uint32_t i = 0; i < o->cache.n_files; i++) {
        fr_free(o->files[i]);
    }
    fr_free(o->files);
    o->files = NULL;
    o->cache.n_files = 0;
    for (uint32_t i = 0; i < o->o.n_fallbacks; i++) {
        fr_value_unref(o->fallbacks[i].value);
        fr_free((void *)(uintptr_t)o->fallbacks[i].option);
        fr_free((void *)(uintptr_t)o->fallbacks[i].task);
    }
    fr_free(o->fallbacks);
    o->fallbacks = NULL;
    o->o.n_fallbacks = 0;
    fr_value_unref(o->fallback);
    fr_free(o->limit_names);
    o->fallback = NULL;
    o->limit_names = NULL;
    return 0;
}

static double field_number(lua_State *L, const char *name, double otherwise)
{
    lua_getfield(L, 1, name);
    double v = luaL_optnumber(L, -1, otherwise);
    lua_pop(L, 1);
    return v;
}

static int64_t field_ns(lua_State *L, const char *name)
{
    double s = field_number(L, name, 0);
    return s >= 9.0e9 ? INT64_MAX / 2 : (int64_t)(s * 1e9);
}

static void fill_functions(lua_State *L, fr_task_opts *o)
{
    if (lua_getfield(L, 1, "functions") == LUA_TTABLE) {
        for (lua_Integer i = 1; lua_geti(L, -1, i) == LUA_TSTRING; i++) {
            fr_ask ask = fr_ask_from_option(lua_tostring(L, -1));
            luaL_argcheck(L, ask != FR_ASK_NOTHING, 1, "an option that cannot be a function");
            o->asks |= FR_ASKS(ask);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void fill_codes(lua_State *L, fr_task_opts *o)
{
    if (lua_getfield(L, 1, "retry_codes") == LUA_TTABLE) {
        for (lua_Integer i = 1; lua_geti(L, -1, i) == LUA_TSTRING; i++) {
            int code = fr_err_from_name(lua_tostring(L, -1));
            luaL_argcheck(L, code > 0 && code < 64, 1, "unknown error code");
            o->retry_codes |= UINT64_C(1) << code;
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

// limits = {{name=, n=, rate=, period= (s)} ...}
static void fill_limits(lua_State *L, flow_opts *o)
{
    if (lua_getfield(L, 1, "limits") != LUA_TTABLE) {
        lua_pop(L, 1);
        return;
    }
    lua_Unsigned n = lua_rawlen(L, -1);
    luaL_argcheck(L, n <= FR_LIMIT_NEEDS, 1, "too many limits");
    o->limit_names = fr_zalloc((size_t)n * FR_LIMIT_NAME + 1);
    for (lua_Unsigned i = 0; i < n; i++) {
        char *name = o->limit_names + i * FR_LIMIT_NAME;
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        lua_getfield(L, -1, "name");
        (void)snprintf(name, FR_LIMIT_NAME, "%s", luaL_checkstring(L, -1));
        lua_getfield(L, -2, "n");
        lua_getfield(L, -3, "rate");
        lua_getfield(L, -4, "period");
        o->limits[i] = (fr_limit_need){.name = name, .n = (uint32_t)luaL_optinteger(L, -3, 1),
                                       .rate = (uint32_t)luaL_optinteger(L, -2, 0),
                                       .period_ns = (int64_t)(luaL_optnumber(L, -1, 0) * 1e9)};
        lua_pop(L, 5);
    }
    lua_pop(L, 1);
    o->o.limits = o->limits;
    o->o.n_limits = (uint32_t)n;
}

static void fill_list(lua_State *L, fr_retry_plan *p)
{
    if (lua_getfield(L, 1, "delays") == LUA_TTABLE) {
        p->backoff = FR_BACKOFF_LIST;
        for (lua_Integer i = 1; i <= luaL_len(L, -1) && i <= FR_RETRY_LIST; i++) {
            lua_geti(L, -1, i);
            p->list_ns[p->n_list++] = (int64_t)(luaL_checknumber(L, -1) * 1e9);
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
}

// cache = {scope = 1 …, expires= (s), version= (32 hex digits), refresh=, files = {path, …}}
static void fill_cache(lua_State *L, flow_opts *o)
{
    if (lua_getfield(L, 1, "cache") != LUA_TTABLE) {
        lua_pop(L, 1);
        return;
    }
    int t = lua_gettop(L);
    fr_cache_opts *c = &o->cache;
    lua_getfield(L, t, "scope");
    c->scope = (fr_cache_scope)luaL_optinteger(L, -1, FR_CACHE_FLOW);
    lua_getfield(L, t, "expires");
    double expires = luaL_optnumber(L, -1, 0);
    c->expires_ns = expires >= 9.0e9 ? 0 : (int64_t)(expires * 1e9);
    lua_getfield(L, t, "version");
    size_t n = 0;
    const char *hex = luaL_optlstring(L, -1, "", &n);
    (void)fr_hash_parse(hex, n, &c->version);
    lua_getfield(L, t, "refresh");
    c->refresh = lua_toboolean(L, -1);
    if (lua_getfield(L, t, "files") == LUA_TTABLE) {
        uint32_t files = (uint32_t)luaL_len(L, -1);
        o->files = fr_zalloc((files + 1) * sizeof *o->files);
        for (uint32_t i = 0; i < files; i++) {
            lua_geti(L, -1, (lua_Integer)i + 1);
            o->files[c->n_files++] = fr_strdup(luaL_checkstring(L, -1));
            lua_pop(L, 1);
        }
        c->files = (const char *const *)o->files;
    }
    o->o.cache = c;
    lua_settop(L, t - 1);
}

static char *text_field(lua_State *L, int t, const char *name)
{
    lua_getfield(L, t, name);
    const char *text = luaL_optstring(L, -1, NULL);
    char *copy = text != NULL ? fr_strdup(text) : NULL;
    lua_pop(L, 1);
    return copy;
}

static void fill_fallback(lua_State *L, flow_opts *o, int t)
{
    static const char *const kinds[] = {"value", "function", "task", "last_good", NULL};
    lua_getfield(L, t, "kind");
    fr_fallback f = {.kind = (fr_fallback_kind)luaL_checkoption(L, -1, NULL, kinds)};
    lua_getfield(L, t, "max_age");
    f.max_age_ns = (int64_t)(FR_MIN(luaL_optnumber(L, -1, 0), 9.0e9) * 1e9);
    lua_getfield(L, t, "any");
    f.any_arguments = lua_toboolean(L, -1);
    fr_fallback *to = &o->fallbacks[o->o.n_fallbacks++];
    *to = f;
    to->option = text_field(L, t, "option");
    to->task = text_field(L, t, "task");
    if (f.kind == FR_FALLBACK_VALUE) {
        fr_value *v = NULL;
        fr_err err = FR_ERR_INIT;
        lua_getfield(L, t, "value");
        int rc = marshal_value(L, -1, "fallback", marshal_scratch(L), &v, &err);
        to->value = v;
        if (rc != FR_OK) {
            bind_raise_error(L, &err);
        }
    }
    lua_settop(L, t);
}

// fallbacks = {{kind = "value", value=} | {kind = "function", option=} | {kind = "task", task=} |
// {kind = "last_good", max_age= (s), any=}, …}
static void fill_fallbacks(lua_State *L, flow_opts *o)
{
    if (lua_getfield(L, 1, "fallbacks") == LUA_TTABLE) {
        uint32_t n = (uint32_t)luaL_len(L, -1);
        int t = lua_gettop(L);
        o->fallbacks = fr_zalloc((n + 1) * sizeof *o->fallbacks);
        o->o.fallbacks = o->fallbacks;
        for (uint32_t i = 0; i < n; i++) {
            lua_geti(L, t, (lua_Integer)i + 1);
            fill_fallback(L, o, t + 1);
            lua_settop(L, t);
        }
    }
    lua_pop(L, 1);
}

static void fill_executor(lua_State *L, fr_task_opts *o)
{
    lua_getfield(L, 1, "executor");
    const char *name = luaL_optstring(L, -1, "thread");
    int kind = fr_exec_find(name);
    if (kind < 0) {
        (void)bind_fail(L, FR_EINVAL, "executor: there is none named '%s'", name);
    }
    o->executor = (fr_exec_kind)kind;
    lua_pop(L, 1);
}

// options{retries=, backoff= (name), base=, factor=, cap=, jitter=, delays=, timeout= (s),
// cpu=, memory= (bytes), gpu=, executor= (name), outputs= (count), effect=, rule=, has_fallback=,
// fallback= (value), infra_retries=, limits=, priority=, queue_timeout= (s),
// retry_codes= (list), functions= (names of the options that are functions), cache=,
// fallbacks=, no_store=}
int flow_opts_new(lua_State *L)
{
    static const char *const curves[] = {"fixed", "linear", "exponential", "decorrelated", NULL};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    flow_opts *o = lua_newuserdatauv(L, sizeof *o, 0);
    *o = (flow_opts){0};
    luaL_setmetatable(L, FLOW_OPTS);
    fr_retry_plan *p = &o->o.retry;
    p->retries = (uint32_t)field_number(L, "retries", 0);
    lua_getfield(L, 1, "backoff");
    p->backoff = (fr_backoff)luaL_checkoption(L, -1, "fixed", curves);
    lua_pop(L, 1);
    p->base_ns = field_ns(L, "base");
    p->cap_ns = field_ns(L, "cap");
    p->factor = field_number(L, "factor", 2);
    p->jitter = field_number(L, "jitter", 0);
    fill_list(L, p);
    o->o.timeout_ns = field_ns(L, "timeout");
    o->o.deadline_ns = field_ns(L, "deadline");
    lua_getfield(L, 1, "fail_fast");
    o->o.fail_fast = lua_toboolean(L, -1);
    o->o.queue_timeout_ns = field_ns(L, "queue_timeout");
    o->o.priority = (int32_t)field_number(L, "priority", 0);
    fill_limits(L, o);
    o->o.cpu = (uint32_t)field_number(L, "cpu", 1);
    o->o.n_outputs = (uint32_t)field_number(L, "outputs", 1);
    lua_getfield(L, 1, "no_store");
    o->o.no_store = lua_toboolean(L, -1);
    fill_cache(L, o);
    fill_fallbacks(L, o);
    o->o.memory = (uint64_t)field_number(L, "memory", 0);
    o->o.gpu = (uint32_t)field_number(L, "gpu", 0);
    fill_executor(L, &o->o);
    lua_getfield(L, 1, "effect");
    o->o.effect = lua_toboolean(L, -1);
    o->o.infra_retries = (uint32_t)field_number(L, "infra_retries", 3);
    lua_getfield(L, 1, "rule");
    o->o.rule = fr_rule_from_name(luaL_optstring(L, -1, fr_rule_name(FR_RULE_ALL_SUCCESS)));
    luaL_argcheck(L, o->o.rule != FR_RULE_COUNT, 1, "unknown trigger rule");
    fill_functions(L, &o->o);
    fill_codes(L, &o->o);
    lua_getfield(L, 1, "has_fallback");
    if (lua_toboolean(L, -1) && (o->o.asks & FR_ASKS(FR_ASK_FALLBACK)) == 0) {
        lua_getfield(L, 1, "fallback");
        fr_err err = FR_ERR_INIT;
        int rc = marshal_value(L, -1, "fallback", marshal_scratch(L), &o->fallback, &err);
        if (rc != FR_OK) {
            return bind_raise(L, rc, &err);
        }
        o->o.fallback = o->fallback;
    }
    lua_settop(L, 2);
    return 1;
}

void flow_opts_class(lua_State *L)
{
    if (luaL_newmetatable(L, FLOW_OPTS)) {
        lua_pushcfunction(L, opts_gc);
        lua_setfield(L, -2, "__gc");
        lua_pushliteral(L, "locked");
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
}
