// flowrun.core.flow -- what flow code calls: tasks, handles, waits, recorded values.
//
// A callable (task, or what task:with{} made) is a table with integer fields: [1] name
// "module:task", [2] its flow_opts, [3] the function, [4] key (string, function or nil),
// [5] list of handles to wait for, [6] how a sensor waits, [7] condition (a handle or function),
// [8] list of handles of what it tears down. lua/flowrun/task.lua and wait.lua make them.
#include "lua/bind/error_value.h"
#include "lua/bind/flow_host.h"

#include <stdio.h>
#include <string.h>

enum {
    FIELD_NAME = 1, FIELD_OPTS, FIELD_FN, FIELD_KEY, FIELD_AFTER, FIELD_WAIT, FIELD_WHEN,
    FIELD_SETUPS,
};
enum { OUTPUT_BITS = 16 };

static const char flow_handle_kind[] = FLOW_HANDLE;

// Handles are looked at for every call: comparing names of metatables was 4 % of a resume.
static flow_handle *test_handle(lua_State *L, int idx)
{
    flow_handle *h = lua_touserdata(L, idx);
    bool is = h != NULL && lua_type(L, idx) == LUA_TUSERDATA &&
              lua_rawlen(L, idx) == sizeof *h && h->kind == flow_handle_kind;
    return is ? h : NULL;
}

static flow_handle *check_handle(lua_State *L, int idx)
{
    flow_handle *h = test_handle(L, idx);
    return h != NULL ? h : luaL_checkudata(L, idx, FLOW_HANDLE);
}

static bool handle_id(void *ctx, lua_State *L, int idx, uint64_t *id)
{
    flow_handle *h = test_handle(L, idx);
    if (h == NULL || h->host != ctx) {
        return false;
    }
    *id = (uint64_t)h->node << OUTPUT_BITS | h->output;
    return true;
}

static fr_dep dep_of(uint64_t id)
{
    return (fr_dep){.node = (uint32_t)(id >> OUTPUT_BITS),
                    .output = id & ((1u << OUTPUT_BITS) - 1)};
}

static void push_handle(lua_State *L, fr_host *host, uint32_t node, uint32_t output)
{
    flow_handle *h = lua_newuserdatauv(L, sizeof *h, 0);
    *h = (flow_handle){flow_handle_kind, host, node, output};
    luaL_setmetatable(L, FLOW_HANDLE);
}

// The host whose branch this very coroutine is; raises otherwise.
static fr_host *in_branch(lua_State *L, const char *what)
{
    fr_host *h = flow_host_current(L);
    if (h == NULL || h->branch == FR_NO_BRANCH) {
        (void)bind_fail(L, FR_ESTATE, "%s works only in the body of a flow", what);
    }
    if (h->running != L) {
        (void)bind_fail(L, FR_ESTATE,
                        "%s inside a coroutine of your own: use fr.spawn(function() ... end), "
                        "which the engine records", what);
    }
    return h;
}

fr_host *flow_in_branch(lua_State *L, const char *what) { return in_branch(L, what); }

void flow_push_handle(lua_State *L, fr_host *host, uint32_t node, uint32_t output)
{
    push_handle(L, host, node, output);
}

static int give_way_k(lua_State *L, int status, lua_KContext n)
{
    (void)status;
    (void)L;
    return (int)n;
}

// Every 1,024 calls the loop gets its turn, so that Ctrl-C, timers and progress live.
static int return_handles(lua_State *L, fr_host *h, int n)
{
    if (++h->calls < HOST_CALLS || !lua_isyieldable(L)) {
        return n;
    }
    h->calls = 0;
    h->gave_way = true;
    return lua_yieldk(L, 0, n, give_way_k);
}

// --- task calls ---

static int plain_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return lua_gettop(L);
}

// Outside a flow branch a call just runs the function (engine.md C5).
static int plain_call(lua_State *L)
{
    lua_rawgeti(L, 1, FIELD_FN);
    lua_replace(L, 1);
    lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, plain_k);
    return plain_k(L, LUA_OK, 0);
}

static const char *user_key(lua_State *L, int first, int n)
{
    switch (lua_rawgeti(L, 1, FIELD_KEY)) {
    case LUA_TNIL:
        return NULL;
    case LUA_TFUNCTION:
        luaL_checkstack(L, n + 1, "too many arguments");
        for (int i = 0; i < n; i++) {
            lua_pushvalue(L, first + i);
        }
        lua_call(L, n, 1);
        break;
    default:
        break;
    }
    if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER) {
        (void)bind_fail(L, FR_ETYPE, "key: expected a string, got %s", luaL_typename(L, -1));
    }
    return lua_tostring(L, -1);
}

static void fill_deps(lua_State *L, const marshal *m, fr_call *c)
{
    if (m->deps == 0) {
        return;
    }
    fr_dep *deps = lua_newuserdatauv(L, m->deps * sizeof *deps, 0);
    for (uint32_t i = 0; i < m->deps; i++) {
        deps[i] = dep_of(m->dep[i]);
    }
    c->deps = deps;
    c->n_deps = m->deps;
}

// Appends the handles of a list in a field of the callable to `after`.
static uint32_t add_handles(lua_State *L, fr_host *h, int field, const char *name, fr_dep *after,
                            uint32_t at)
{
    uint32_t n = lua_rawgeti(L, 1, field) == LUA_TTABLE ? (uint32_t)lua_rawlen(L, -1) : 0;
    for (uint32_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        flow_handle *d = test_handle(L, -1);
        if (d == NULL || d->host != h) {
            (void)bind_fail(L, FR_ETYPE, "%s[%d]: expected a handle of this run, got %s", name,
                            (int)i + 1, luaL_typename(L, -1));
        }
        after[at + i] = (fr_dep){d->node, d->output};
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return n;
}

static size_t field_length(lua_State *L, int field)
{
    size_t n = lua_rawgeti(L, 1, field) == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
    lua_pop(L, 1);
    return n;
}

static void fill_after(lua_State *L, fr_host *h, fr_call *c)
{
    size_t n = field_length(L, FIELD_AFTER) + field_length(L, FIELD_SETUPS);
    if (n == 0) {
        return;
    }
    fr_dep *after = lua_newuserdatauv(L, n * sizeof *after, 0);
    c->n_setups = add_handles(L, h, FIELD_SETUPS, "teardown", after, 0);
    c->n_after = c->n_setups + add_handles(L, h, FIELD_AFTER, "after", after, c->n_setups);
    c->after = after;
}

// The condition: a handle is waited for, a function decides here and now about the arguments.
static void fill_when(lua_State *L, fr_host *h, int first, int n, fr_call *c)
{
    int type = lua_rawgeti(L, 1, FIELD_WHEN);
    if (type == LUA_TFUNCTION) {
        luaL_checkstack(L, n + 1, "too many arguments");
        for (int i = 0; i < n; i++) {
            lua_pushvalue(L, first + i);
        }
        lua_call(L, n, 1);
        c->skip = !lua_toboolean(L, -1);
        lua_pop(L, 1);
        return;
    }
    flow_handle *d = test_handle(L, -1);
    lua_pop(L, 1);
    if (d != NULL) {
        if (d->host != h) {
            (void)bind_fail(L, FR_ESTATE, "when: this handle belongs to another run");
        }
        fr_dep *when = lua_newuserdatauv(L, sizeof *when, 0);
        *when = (fr_dep){d->node, d->output};
        c->when = when;
    }
}

// Pushes the options of the callable, with the defaults of the flow whose branch runs.
static flow_opts *options_of(lua_State *L, fr_host *h)
{
    int defaults = h->defaults[h->branch];
    if (defaults != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, h->held);
        lua_rawgeti(L, -1, defaults);
        lua_pushvalue(L, 1);
        (void)lua_gettable(L, -2);
        lua_replace(L, -3);
        lua_pop(L, 1);
    } else {
        lua_rawgeti(L, 1, FIELD_OPTS);
    }
    return luaL_checkudata(L, -1, FLOW_OPTS);
}

static const char source_key;         // its address: registry key of flow.sources(fn)

// The hash of the task's code is needed by caches only: taken at the first call that has one.
static void know_source(lua_State *L, fr_host *h, flow_opts *o)
{
    int top = lua_gettop(L);
    size_t n, size;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &source_key) == LUA_TFUNCTION) {
        lua_pushvalue(L, 1);
        lua_call(L, 1, 2);
        const char *hex = lua_tolstring(L, -2, &n), *parts = lua_tolstring(L, -1, &size);
        if (hex != NULL && !fr_hash_parse(hex, n, &o->o.source)) {
            (void)bind_fail(L, FR_EINVAL, "the source of a task: expected 32 hex digits");
        }
        if (parts != NULL && h->run != NULL) {
            fr_run_keep_source(h->run, o->o.source, parts, size);
        }
    }
    lua_settop(L, top);
}

static void begin_call(lua_State *L, fr_host *h, fr_call_kind kind, fr_call *c)
{
    *c = (fr_call){.kind = kind, .branch = h->branch, .list_dep = {FR_NO_NODE, 0}};
    lua_rawgeti(L, 1, FIELD_NAME);
    c->task = fr_sched_task(h->sched, luaL_checkstring(L, -1));
    lua_pop(L, 1);
    flow_opts *o = options_of(L, h);
    flow_host_keep(h, L, -1, o);
    lua_pop(L, 1);
    if ((o->o.cache != NULL || h->cache_all) && kind != FR_CALL_FLOW &&
        fr_hash_is_zero(o->o.source)) {
        know_source(L, h, o);
    }
    c->opts = &o->o;
    lua_rawgeti(L, 1, FIELD_WAIT);
    flow_every *w = luaL_testudata(L, -1, FLOW_EVERY);
    lua_pop(L, 1);
    if (w != NULL && kind == FR_CALL_TASK) {
        c->kind = FR_CALL_POKE;
        c->wait = &w->spec;
    }
    c->where = flow_host_place(h, L, 1);
}

static int raise_packing(lua_State *L, marshal *m, const fr_err *err)
{
    marshal_clear(m);
    return bind_raise(L, err->code, err);
}

static int push_handles(lua_State *L, fr_host *h, uint32_t node, uint32_t outputs)
{
    if (outputs <= 1) {
        push_handle(L, h, node, 0);
        return return_handles(L, h, 1);
    }
    luaL_checkstack(L, (int)outputs, "too many outputs");
    for (uint32_t i = 1; i <= outputs; i++) {
        push_handle(L, h, node, i);
    }
    return return_handles(L, h, (int)outputs);
}

// task(...): in a flow branch makes a call and returns its handles, at once.
static int task_call(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    fr_host *h = flow_host_current(L);
    if (h == NULL || h->branch == FR_NO_BRANCH || h->running != L) {
        if (h != NULL && h->branch != FR_NO_BRANCH) {
            (void)in_branch(L, "a task call");
        }
        return plain_call(L);
    }
    int n = lua_gettop(L) - 1;
    fr_call c;
    begin_call(L, h, FR_CALL_TASK, &c);
    c.key = user_key(L, 2, n);
    fill_after(L, h, &c);
    fill_when(L, h, 2, n, &c);
    fr_value **args = flow_host_slot(h);
    marshal *m = marshal_scratch(L);
    m->handle = handle_id;
    m->ctx = h;
    fr_err err = FR_ERR_INIT;
    if (n > 0) {
        if (marshal_pack_list(L, 2, n, "argument", m, &err) != FR_OK) {
            return raise_packing(L, m, &err);
        }
        fill_deps(L, m, &c);
        *args = marshal_take(m);
    }
    c.args = *args;
    c.n_args = (uint32_t)n;
    uint32_t node;
    int rc = fr_sched_call(h->sched, &c, &node, &err);
    (void)flow_host_slot(h);                           // the scheduler keeps what it needs
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    return push_handles(L, h, node, c.opts->n_outputs);
}

// Why a task with these options is not mapped, and what to do instead; NULL: it is.
static const char *not_mapped(const fr_task_opts *o)
{
    if (o->n_outputs > 1) {
        return "a task with several outputs cannot be mapped; return one table";
    }
    if (o->no_store) {
        return "a task with store = false cannot be mapped: items are kept in the log; map "
               "task:with{store = true}, or call it in a loop";
    }
    if ((o->asks & FR_ASKS(FR_ASK_CACHE_KEY)) != 0) {
        return "the option cache.key serves single calls; items are found by their own values: "
               "leave it out with task:with{cache = {...}}, or call the task in a loop";
    }
    return o->n_fallbacks > 0 ? "a task, \"last_good\" or a list of them as fallback serve single "
                                "calls; give a value or a function"
                              : NULL;
}

// map(task, list, ...): the list may be a handle; further arguments are constants.
static int make_map(lua_State *L, bool tuples)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    fr_host *h = in_branch(L, "map");
    int n = lua_gettop(L) - 2;
    fr_call c;
    begin_call(L, h, FR_CALL_MAP, &c);
    c.tuples = tuples;
    const char *refused = not_mapped(c.opts);
    if (refused != NULL) {
        return bind_fail(L, FR_EUNSUPPORTED, "map: %s", refused);
    }
    flow_handle *list = test_handle(L, 2);
    if (list == NULL && !lua_istable(L, 2)) {
        return bind_fail(L, FR_ETYPE, "map: expected a list or a handle of one, got %s",
                         luaL_typename(L, 2));
    }
    c.key = user_key(L, 2, 1);
    fill_after(L, h, &c);
    if (c.n_setups > 0) {
        return bind_fail(L, FR_EUNSUPPORTED, "map: what tears down is one call, not a map: give "
                                             "one task the list");
    }
    fill_when(L, h, 2, n + 1, &c);
    fr_value **both = marshal_box(L), **args = marshal_box(L);
    marshal *m = marshal_scratch(L);
    m->handle = handle_id;
    m->ctx = h;
    fr_err err = FR_ERR_INIT;
    if (n > 0) {
        if (marshal_pack_list(L, 3, n, "argument", m, &err) != FR_OK) {
            return raise_packing(L, m, &err);
        }
        fill_deps(L, m, &c);
        *args = marshal_take(m);
        m->handle = handle_id;
        m->ctx = h;
    }
    if (list != NULL) {
        c.list_dep = (fr_dep){list->node, list->output};
    } else {
        if (c.n_deps > 0) {
            m->handle = NULL;                          // one numbering of handles: the constants'
        }
        if (marshal_value(L, 2, "list", m, both, &err) != FR_OK) {
            return raise_packing(L, m, &err);
        }
        c.list = *both;
    }
    c.args = *args;
    c.n_args = (uint32_t)n;
    uint32_t node;
    int rc = fr_sched_call(h->sched, &c, &node, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    push_handle(L, h, node, 0);
    return return_handles(L, h, 1);
}

static int task_map(lua_State *L) { return make_map(L, false); }

// map_tuples(task, list, ...): every item is a list of arguments.
static int map_tuples(lua_State *L) { return make_map(L, true); }

// The body of a scope that may run again, held.
static int hold_body(lua_State *L, fr_host *h)
{
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, 3);
    lua_rawseti(L, -2, 2);
    return flow_host_hold(h, L);
}

static int open_scope(lua_State *L, fr_call_kind kind, const char *what)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 4);
    fr_host *h = in_branch(L, what);
    fr_call c;
    begin_call(L, h, kind, &c);
    fr_value **args = marshal_box(L);
    marshal *m = marshal_scratch(L);
    fr_err err = FR_ERR_INIT;
    if (marshal_value(L, 3, "params", m, args, &err) != FR_OK) {
        return raise_packing(L, m, &err);
    }
    c.args = *args;
    c.n_args = 1;
    int body = c.opts->retry.retries > 0 ? hold_body(L, h) : LUA_NOREF, defaults = LUA_NOREF;
    if (lua_istable(L, 4)) {
        lua_pushvalue(L, 4);
        defaults = flow_host_hold(h, L);
    }
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    int thread = flow_host_thread(L, 1);
    uint32_t node, branch = FR_NO_BRANCH;
    int rc = fr_sched_subflow(h->sched, &c, &node, &branch, &err);
    if (branch != FR_NO_BRANCH) {
        flow_host_branch(h, branch, thread);
        if (defaults != LUA_NOREF) {
            flow_host_defaults(h, branch, defaults);
        }
        if (body != LUA_NOREF) {
            flow_host_body(h, node, branch, body);
        }
    } else {
        luaL_unref(L, LUA_REGISTRYINDEX, thread);
    }
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    push_handle(L, h, node, 0);
    return return_handles(L, h, 1);
}

// subflow(callable, fn, params, defaults or nil): runs fn(params) in a branch of its own.
static int flow_subflow(lua_State *L) { return open_scope(L, FR_CALL_FLOW, "a flow call"); }

// group(callable, fn, nil, defaults or nil): fn belongs to the flow's own code.
static int flow_group(lua_State *L) { return open_scope(L, FR_CALL_GROUP, "fr.group"); }

static int flow_spawn(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    fr_host *h = in_branch(L, "spawn");
    int n = lua_gettop(L) - 1;
    int thread = flow_host_thread(L, n);
    uint32_t node, branch = fr_sched_spawn(h->sched, h->branch, &node);
    flow_host_branch(h, branch, thread);
    push_handle(L, h, node, 0);
    return return_handles(L, h, 1);
}

// --- handles ---

static int push_output(lua_State *L, flow_handle *d)
{
    const fr_value *v;
    fr_err err = FR_ERR_INIT;
    int rc = fr_sched_result(d->host->sched, (fr_dep){d->node, d->output}, &v, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    flow_push_value(L, v);
    if (d->output > 0 && lua_istable(L, -1)) {
        (void)lua_geti(L, -1, d->output);
    }
    return 1;
}

static fr_state seen_state(flow_handle *d)
{
    fr_reason why;
    return fr_sched_state(d->host->sched, d->node, &why);
}

static int raise_cancelled(lua_State *L, int code)
{
    return bind_fail(L, code, code == FR_ETIMEOUT ? "the flow's own timeout is over"
                     : code == FR_EDIVERGED       ? "the run diverged from its record"
                                                  : "the run was cancelled");
}

// 0, or raises: the run is being cancelled (or diverged) and the wait will not be answered.
static void check_stopped(lua_State *L, fr_host *h, uint32_t node)
{
    if (fr_sched_seen(h->sched, node)) {
        return;
    }
    int code = fr_sched_cancelled(h->sched, h->branch);
    const char *why = fr_sched_divergence(h->sched);
    if (why != NULL) {
        fr_err err = FR_ERR_INIT;
        (void)fr_fail(&err, FR_EDIVERGED, "%s", why);
        bind_raise_error(L, &err);
    }
    (void)raise_cancelled(L, code != FR_OK ? code : FR_ECANCELLED);
}

static void same_run(lua_State *L, fr_host *h, const flow_handle *d)
{
    if (d->host != h) {
        (void)bind_fail(L, FR_ESTATE, "this handle belongs to another run");
    }
}

enum { AS_GET, AS_TRY };              // what a failure becomes: raised, or returned

static int waited(lua_State *L, int status, lua_KContext how)
{
    (void)status;
    flow_handle *d = check_handle(L, 1);
    fr_host *h = d->host;
    check_stopped(L, h, d->node);
    fr_state state = seen_state(d);
    if (state == FR_SUCCESS || state == FR_SKIPPED) {
        lua_pushboolean(L, true);
        return (how == AS_TRY) + push_output(L, d);
    }
    const fr_value *error = fr_sched_error(h->sched, d->node);
    if (how == AS_GET) {
        fr_sched_raised(h->sched, h->branch, d->node);
        bind_error_push(L, error);
        return lua_error(L);
    }
    fr_sched_handled(h->sched, d->node);
    lua_pushnil(L);
    bind_error_push(L, error);
    return 2;
}

static int wait_for(lua_State *L, const char *what, lua_KContext how)
{
    flow_handle *d = check_handle(L, 1);
    lua_settop(L, 1);
    fr_host *h = in_branch(L, what);
    same_run(L, h, d);
    if (!fr_sched_wait(h->sched, h->branch, &d->node, 1, false)) {
        return lua_yieldk(L, 0, how, waited);
    }
    return waited(L, LUA_OK, how);
}

static int handle_get(lua_State *L)
{
    return wait_for(L, "handle:get()", AS_GET);
}

static int handle_try(lua_State *L)
{
    return wait_for(L, "handle:try()", AS_TRY);
}

// Recorded, because what it says depends on when it is asked.
static int handle_state(lua_State *L)
{
    flow_handle *d = check_handle(L, 1);
    fr_host *h = in_branch(L, "handle:state()");
    same_run(L, h, d);
    fr_reason why;
    fr_value **fresh = marshal_box(L);
    const char *name = fr_state_name(fr_sched_state(h->sched, d->node, &why));
    *fresh = fr_value_text(name, strlen(name));
    const fr_value *v;
    fr_err err = FR_ERR_INIT;
    int rc = fr_sched_value(h->sched, h->branch, "state", *fresh, &v, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    flow_push_value(L, v);
    return 1;
}

static int handle_hint(lua_State *L)
{
    lua_Debug ar;
    const char *what = "used as a value";
    if (lua_getstack(L, 0, &ar) && lua_getinfo(L, "n", &ar) && ar.name != NULL) {
        what = ar.name;
    }
    return bind_fail(L, FR_ETYPE,
                     "this is a handle (of a task that may still run), not its value (%s); "
                     "write h:get() to wait for the value", what);
}

static int handle_index(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 2);
    if (lua_rawget(L, -2) != LUA_TNIL) {
        return 1;
    }
    return bind_fail(L, FR_ETYPE,
                     "this is a handle, not its value: '%s' is not one of its methods (get, try, "
                     "state); write h:get().%s",
                     luaL_tolstring(L, 2, NULL), luaL_tolstring(L, 2, NULL));
}

static int handle_tostring(lua_State *L)
{
    flow_handle *d = check_handle(L, 1);
    if (d->host->dead) {
        lua_pushliteral(L, "handle of a closed run");
        return 1;
    }
    fr_node_info info;
    fr_sched_info(d->host->sched, d->node, &info);
    lua_pushfstring(L, "handle of %s", info.name);
    return 1;
}

static int handle_eq(lua_State *L)
{
    flow_handle *a = test_handle(L, 1), *b = test_handle(L, 2);
    if (a == NULL || b == NULL) {
        return handle_hint(L);
    }
    lua_pushboolean(L, a->host == b->host && a->node == b->node && a->output == b->output);
    return 1;
}

// --- waits on several, sleep, recorded values ---

static uint32_t *collect(lua_State *L, fr_host *h, uint32_t *n)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    *n = (uint32_t)lua_rawlen(L, 1);
    uint32_t *nodes = lua_newuserdatauv(L, (*n + 1) * sizeof *nodes, 0);
    for (uint32_t i = 0; i < *n; i++) {
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        flow_handle *d = test_handle(L, -1);
        if (d == NULL) {
            (void)bind_fail(L, FR_ETYPE, "[%d]: expected a handle, got %s", (int)i + 1,
                            luaL_typename(L, -1));
        }
        same_run(L, h, d);
        nodes[i] = d->node;
        lua_pop(L, 1);
    }
    return nodes;
}

static int wait_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    fr_host *h = in_branch(L, "wait");
    int code = fr_sched_cancelled(h->sched, h->branch);
    if (code != FR_OK) {
        return raise_cancelled(L, code);
    }
    return 0;
}

// wait(list, any): until all (or any unseen one) of the handles were observed.
static int flow_wait(lua_State *L)
{
    fr_host *h = in_branch(L, "wait");
    bool any = lua_toboolean(L, 2);
    uint32_t n, *nodes = collect(L, h, &n);
    if (n == 0 || fr_sched_wait(h->sched, h->branch, nodes, n, any)) {
        return wait_k(L, LUA_OK, 0);
    }
    return lua_yieldk(L, 0, 0, wait_k);
}

static int item_k(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    flow_handle *d = check_handle(L, 1);
    fr_host *h = in_branch(L, "fr.collect");
    uint64_t at = (uint64_t)luaL_checkinteger(L, 2);
    fr_value **slot = marshal_box(L);
    fr_map_item item;
    for (;;) {
        if (fr_sched_next_item(h->sched, d->node, &at, &item)) {
            *slot = item.value;
            lua_pushinteger(L, (lua_Integer)at);
            lua_pushinteger(L, (lua_Integer)item.index + 1);
            lua_pushboolean(L, !item.failed);
            if (item.failed) {
                bind_error_push(L, item.value);
            } else {
                flow_push_value(L, item.value);
            }
            return 4;
        }
        if (fr_sched_seen(h->sched, d->node)) {
            if (!fr_sched_items_over(h->sched, d->node)) {
                return waited(L, LUA_OK, AS_GET);      // what stopped the map as a whole
            }
            fr_sched_handled(h->sched, d->node);
            return 0;
        }
        if (!fr_sched_wait_item(h->sched, h->branch, d->node, at)) {
            lua_settop(L, 2);
            lua_pushinteger(L, (lua_Integer)at);
            lua_replace(L, 2);
            return lua_yieldk(L, 0, 0, item_k);
        }
        check_stopped(L, h, d->node);
    }
}

// item(map, at): the next item of a map that has ended, in the order of their ends, behind place
// `at` (0 = the first): the place behind it, its index, true and its value or false and its
// error. Nothing: there are no more. Waits where one may come.
static int flow_item(lua_State *L)
{
    flow_handle *d = check_handle(L, 1);
    fr_host *h = in_branch(L, "fr.collect");
    same_run(L, h, d);
    fr_node_info info;
    fr_sched_info(h->sched, d->node, &info);
    if (info.kind != FR_CALL_MAP) {
        return bind_fail(L, FR_ETYPE, "fr.collect: expected the handle of a map or a list of "
                         "handles, got the handle of %s, which is no map; write "
                         "fr.collect{handle}", info.name);
    }
    (void)luaL_checkinteger(L, 2);
    lua_settop(L, 2);
    return item_k(L, LUA_OK, 0);
}

// peek(handle): nil (not observed), true (succeeded) or false (did not). Deterministic.
static int flow_peek(lua_State *L)
{
    flow_handle *d = check_handle(L, 1);
    same_run(L, in_branch(L, "peek"), d);
    if (!fr_sched_seen(d->host->sched, d->node)) {
        lua_pushnil(L);
    } else {
        fr_state state = seen_state(d);
        lua_pushboolean(L, state == FR_SUCCESS || state == FR_SKIPPED);
    }
    return 1;
}

// forgive(handle): whatever becomes of it, nobody has to handle it: the losers of fr.any.
static int flow_forgive(lua_State *L)
{
    flow_handle *d = check_handle(L, 1);
    same_run(L, in_branch(L, "fr.any"), d);
    fr_sched_handled(d->host->sched, d->node);
    return 0;
}

static int sleep_k(lua_State *L, int status, lua_KContext node)
{
    (void)status;
    fr_host *h = in_branch(L, "sleep");
    check_stopped(L, h, (uint32_t)node);
    return 0;
}

static int flow_sleep(lua_State *L)
{
    double seconds = luaL_checknumber(L, 1);
    luaL_argcheck(L, seconds >= 0 && seconds < 3.0e9, 1, "expected a duration of 0 or more");
    fr_host *h = in_branch(L, "sleep");
    fr_call c = {.kind = FR_CALL_SLEEP, .branch = h->branch,
                 .task = fr_sched_task(h->sched, "sleep"), .list_dep = {FR_NO_NODE, 0},
                 .where = flow_host_place(h, L, 1), .sleep_ns = (int64_t)(seconds * 1e9)};
    fr_value **args = marshal_box(L);
    *args = fr_value_int(c.sleep_ns);
    c.args = *args;
    c.n_args = 1;
    uint32_t node;
    fr_err err = FR_ERR_INIT;
    int rc = fr_sched_call(h->sched, &c, &node, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    if (!fr_sched_wait(h->sched, h->branch, &node, 1, false)) {
        return lua_yieldk(L, 0, node, sleep_k);
    }
    return sleep_k(L, LUA_OK, node);
}

// record(name, value): the value recorded for this use of name; in a first run, `value`.
static int flow_record(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    fr_host *h = in_branch(L, name);
    fr_value **fresh = flow_host_slot(h);
    fr_err err = FR_ERR_INIT;
    int rc = marshal_value(L, 2, name, marshal_scratch(L), fresh, &err);
    const fr_value *v = NULL;
    if (rc == FR_OK) {
        rc = fr_sched_value(h->sched, h->branch, name, *fresh, &v, &err);
    }
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    flow_push_value(L, v);
    return 1;
}

// draw(name): two integers that depend on the run's seed and this use of name only.
static int flow_draw(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    fr_host *h = in_branch(L, name);
    fr_hash key = fr_sched_draw(h->sched, h->branch, name);
    key = fr_hash_mix(key, h->info.seed);
    lua_pushinteger(L, (lua_Integer)key.hi);
    lua_pushinteger(L, (lua_Integer)key.lo);
    return 2;
}

// rollback(): the run is undone when it does not succeed.
static int flow_rollback(lua_State *L)
{
    fr_sched_ask_rollback(in_branch(L, "fr.rollback")->sched);
    return 0;
}

static int flow_inside(lua_State *L)
{
    fr_host *h = flow_host_current(L);
    lua_pushboolean(L, h != NULL && h->branch != FR_NO_BRANCH);
    return 1;
}

static int flow_replaying(lua_State *L)
{
    fr_host *h = flow_host_current(L);
    lua_pushboolean(L, h != NULL && fr_sched_replaying(h->sched));
    return 1;
}

// run_info(): {id, flow, attempt, seed, params} of the run whose body runs.
static int flow_run_info(lua_State *L)
{
    fr_host *h = in_branch(L, "fr.run");
    lua_newtable(L);
    lua_pushinteger(L, (lua_Integer)h->info.id);
    lua_setfield(L, -2, "id");
    lua_pushstring(L, h->info.name);
    lua_setfield(L, -2, "flow");
    lua_pushinteger(L, h->info.flow_attempt);
    lua_setfield(L, -2, "attempt");
    lua_pushinteger(L, (lua_Integer)h->info.seed);
    lua_setfield(L, -2, "seed");
    flow_push_value(L, h->info.params);
    lua_setfield(L, -2, "params");
    return 1;
}

// log(level, text): a line of the flow body; nothing while replaying (engine.md B4).
static int flow_log(lua_State *L)
{
    lua_Integer level = luaL_checkinteger(L, 1);
    size_t n;
    const char *text = luaL_checklstring(L, 2, &n);
    fr_host *h = flow_host_current(L);
    bool keep = h != NULL && !fr_sched_replaying(h->sched);
    if (keep && h->info.log != NULL) {
        (void)fr_store_log(h->info.log, 0, 0, 0, (int)level, text, n);
    }
    lua_pushboolean(L, keep);
    return 1;
}

// sources(fn): fn(callable) gives the hash of a task's code, 32 hex digits, and its
// parts, packed, when a cache needs them.
static int flow_sources(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &source_key);
    return 0;
}

static const luaL_Reg handle_methods[] = {
    {"get", handle_get},
    {"try", handle_try},
    {"state", handle_state},
    {NULL, NULL},
};

static const luaL_Reg handle_meta[] = {
    {"__tostring", handle_tostring}, {"__eq", handle_eq},       {"__newindex", handle_hint},
    {"__call", handle_hint},         {"__len", handle_hint},    {"__pairs", handle_hint},
    {"__add", handle_hint},          {"__sub", handle_hint},    {"__mul", handle_hint},
    {"__div", handle_hint},          {"__mod", handle_hint},    {"__pow", handle_hint},
    {"__unm", handle_hint},          {"__idiv", handle_hint},   {"__concat", handle_hint},
    {"__lt", handle_hint},           {"__le", handle_hint},     {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"call", task_call},     {"map", task_map},         {"subflow", flow_subflow},
    {"group", flow_group},
    {"map_tuples", map_tuples},
    {"spawn", flow_spawn},   {"wait", flow_wait},       {"peek", flow_peek},
    {"item", flow_item},
    {"forgive", flow_forgive},
    {"sleep", flow_sleep},   {"record", flow_record},   {"draw", flow_draw},
    {"inside", flow_inside}, {"rollback", flow_rollback},
    {"replaying", flow_replaying}, {"log", flow_log},
    {"options", flow_opts_new}, {"sources", flow_sources},
    {"run_info", flow_run_info}, {NULL, NULL},
};

int luaopen_flowrun_core_flow(lua_State *L)
{
    if (luaL_newmetatable(L, FLOW_HANDLE)) {
        luaL_setfuncs(L, handle_meta, 0);
        luaL_newlib(L, handle_methods);
        lua_pushcclosure(L, handle_index, 1);
        lua_setfield(L, -2, "__index");
        lua_pushliteral(L, "locked");
        lua_setfield(L, -2, "__metatable");
    }
    flow_opts_class(L);
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
