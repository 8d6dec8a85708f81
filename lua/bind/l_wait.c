// flowrun.core.wait -- waits of flow code for what comes from outside; see lua/flowrun/wait.lua.
//
// Every wait is a call of its own: it returns a handle at once, whose get() waits.
#include "lua/bind/error_value.h"
#include "lua/bind/flow_host.h"
#include "lua/bind/json.h"

#include <string.h>

enum { SPEC = 1, MOST_NAME = 200, JSON_MAX = 1 << 24 };

static int64_t ns_field(lua_State *L, int t, const char *name, int64_t otherwise)
{
    lua_getfield(L, t, name);
    double s = lua_isnil(L, -1) ? -1 : luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return s < 0 ? otherwise : s >= 9.0e9 ? INT64_MAX / 2 : (int64_t)(s * 1e9);
}

// Packs the field, which may be nil; NULL when it is not wanted.
static fr_value *value_field(lua_State *L, int t, const char *name, bool wanted)
{
    lua_getfield(L, t, name);
    fr_value *v = NULL;
    fr_err err = FR_ERR_INIT;
    if (wanted && marshal_value(L, -1, name, marshal_scratch(L), &v, &err) != FR_OK) {
        bind_raise_error(L, &err);
    }
    lua_pop(L, 1);
    return v;
}

static bool flag_field(lua_State *L, int t, const char *name)
{
    lua_getfield(L, t, name);
    bool v = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

// start{kind = "signal" | "approve" | "at", name=, details=, timeout= (s), at= (s since 1970),
// has_late=, late=, late_code=}: a handle of the wait. details is what people are shown, and
// what a replay compares.
static int wait_start(lua_State *L)
{
    static const char *const kinds[] = {"signal", "approve", "at", NULL};
    luaL_checktype(L, SPEC, LUA_TTABLE);
    lua_settop(L, SPEC);
    fr_host *h = flow_in_branch(L, "a wait");
    lua_getfield(L, SPEC, "kind");
    int kind = luaL_checkoption(L, -1, NULL, kinds);
    lua_getfield(L, SPEC, "name");
    const char *name = luaL_checkstring(L, -1);
    lua_getfield(L, SPEC, "late_code");
    const char *code = luaL_optstring(L, -1, "timeout");
    fr_value **args = marshal_box(L), **late = marshal_box(L);
    *args = value_field(L, SPEC, "details", true);
    *late = value_field(L, SPEC, "late", flag_field(L, SPEC, "has_late"));
    fr_wait w = {.human = kind == 1, .at_ns = ns_field(L, SPEC, "at", 0), .late = *late,
                 .late_code = code, .timeout_ns = ns_field(L, SPEC, "timeout", -1)};
    fr_call c = {.kind = kind == 2 ? FR_CALL_SLEEP : FR_CALL_SIGNAL, .branch = h->branch,
                 .task = fr_sched_task(h->sched, name), .list_dep = {FR_NO_NODE, 0},
                 .where = flow_host_place(h, L, 2), .args = *args, .n_args = 1, .wait = &w};
    uint32_t node;
    fr_err err = FR_ERR_INIT;
    int rc = fr_sched_call(h->sched, &c, &node, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    flow_push_handle(L, h, node, 0);
    return 1;
}

static int wait_gc(lua_State *L)
{
    flow_every *w = luaL_checkudata(L, 1, FLOW_EVERY);
    fr_value_unref(w->late);
    w->late = NULL;
    return 0;
}

// every{plan = (what flow.options made), timeout=, has_late=, late=}: how a sensor waits.
static int wait_every(lua_State *L)
{
    luaL_checktype(L, SPEC, LUA_TTABLE);
    lua_settop(L, SPEC);
    lua_getfield(L, SPEC, "plan");
    const flow_opts *o = luaL_checkudata(L, -1, FLOW_OPTS);
    flow_every *w = lua_newuserdatauv(L, sizeof *w, 0);
    *w = (flow_every){.late = NULL};
    luaL_setmetatable(L, FLOW_EVERY);
    w->late = value_field(L, SPEC, "late", flag_field(L, SPEC, "has_late"));
    w->spec = (fr_wait){.every = o->o.retry, .timeout_ns = ns_field(L, SPEC, "timeout", -1),
                        .late = w->late};
    return 1;
}

// --- what arrives ---

typedef struct reading {
    fr_host *h;
    const char *kind, *json;
    fr_arrival *out;
    fr_value *value;
    fr_buf scratch;
} reading;

// Protected: the JSON is what somebody wrote into the store.
static int read_request(lua_State *L)
{
    reading *r = lua_touserdata(L, 1);
    fr_err err = FR_ERR_INIT;
    if (!fr_json_decode(L, r->json, strlen(r->json), &r->scratch, &err)) {
        return bind_raise(L, err.code, &err);
    }
    luaL_checktype(L, -1, LUA_TTABLE);
    int t = lua_gettop(L);
    lua_getfield(L, t, "name");
    size_t n;
    const char *name = luaL_checklstring(L, -1, &n);
    luaL_argcheck(L, n > 0 && n <= MOST_NAME, 1, "the name of a wait");
    lua_pushfstring(L, "%s:%s", strcmp(r->kind, "signal") == 0 ? "signal" : "approve", name);
    fr_free(r->h->arrival);
    r->h->arrival = fr_strdup(lua_tostring(L, -1));
    lua_getfield(L, t, "key");
    const char *key = luaL_optlstring(L, -1, "", &n);
    if (n > 0) {
        luaL_argcheck(L, fr_hash_parse(key, n, &r->out->key), 1, "the key of a wait");
    }
    lua_getfield(L, t, "by");
    const char *by = luaL_optstring(L, -1, "");
    fr_free(r->h->arrival_by);
    r->h->arrival_by = fr_strdup(by);
    lua_getfield(L, t, "value");
    if (lua_islightuserdata(L, -1)) {
        lua_pushnil(L);                        // JSON's null
    }
    if (marshal_value(L, -1, "value", marshal_scratch(L), &r->value, &err) != FR_OK) {
        return bind_raise(L, err.code, &err);
    }
    return 0;
}

bool flow_read_arrival(fr_host *h, const char *kind, const char *json, fr_arrival *out,
                       fr_value **value)
{
    bool known = strcmp(kind, "signal") == 0 || strcmp(kind, "approve") == 0 ||
                 strcmp(kind, "reject") == 0;
    if (!known || !lua_checkstack(h->L, 10)) {
        return false;
    }
    reading r = {.h = h, .kind = kind, .json = json, .out = out};
    *out = (fr_arrival){.rejects = strcmp(kind, "reject") == 0};
    fr_buf_init(&r.scratch, JSON_MAX);
    lua_pushcfunction(h->L, read_request);
    lua_pushlightuserdata(h->L, &r);
    int status = lua_pcall(h->L, 1, 0, 0);
    fr_buf_fini(&r.scratch);
    if (status != LUA_OK) {
        lua_pop(h->L, 1);
        fr_value_unref(r.value);
        return false;
    }
    out->name = h->arrival;
    out->by = h->arrival_by;
    *value = r.value;
    return true;
}

static const luaL_Reg functions[] = {{"start", wait_start}, {"every", wait_every}, {NULL, NULL}};

int luaopen_flowrun_core_wait(lua_State *L)
{
    if (luaL_newmetatable(L, FLOW_EVERY)) {
        lua_pushcfunction(L, wait_gc);
        lua_setfield(L, -2, "__gc");
        lua_pushliteral(L, "locked");
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
