// flowrun.core.store -- looking into a store: userdata of class flowrun.Store. The module
// flowrun.store makes iterators of these lists and documents the fields.
//
// Callbacks of the store must not raise: each row is pushed in a pcall, and what that raised
// waits on the stack until the look-up has ended and its snapshot is closed.

#include "core/engine/item.h"
#include "core/engine/store.h"
#include "lua/bind/bind.h"
#include "lua/bind/marshal.h"
#include "lua/bind/object_box.h"

#include <string.h>

#define CLASS "flowrun.Store"

enum { LIST = 2, LIST_MAX = 100000 };        // stack slot of the list being filled

typedef struct fill {
    lua_State *L;
    lua_Integer n, limit;
    const void *row;                         // what the protected function pushes
    uint64_t next;                           // place to go on from; 0 = the end
    fr_store *store;
    // items
    uint32_t map_row;
    fr_hash map_key;
    int64_t queued;
    bool keyed, raised;
} fill;

static fr_store *check_store(lua_State *L) { return bind_check(L, 1, CLASS); }

// --- fields ---

static void set_text(lua_State *L, const char *key, const char *text)
{
    if (text != NULL && *text != '\0') {
        lua_pushstring(L, text);
        lua_setfield(L, -2, key);
    }
}

static void set_int(lua_State *L, const char *key, int64_t v)
{
    lua_pushinteger(L, v);
    lua_setfield(L, -2, key);
}

static void set_some(lua_State *L, const char *key, int64_t v)
{
    if (v != 0) {
        set_int(L, key, v);
    }
}

static void set_hash(lua_State *L, const char *key, fr_hash h)
{
    if (!fr_hash_is_zero(h)) {
        char text[FR_HASH_TEXT];
        fr_hash_text(h, text);
        set_text(L, key, text);
    }
}

static void set_value(lua_State *L, const char *key, const fr_value *v)
{
    if (v != NULL) {
        fr_value **slot = marshal_box(L);
        *slot = fr_value_ref(v);
        lua_setfield(L, -2, key);
    }
}

static const char *const types[] = {
    [FR_REC_TASK] = "task",   [FR_REC_START] = "start",       [FR_REC_RETRY] = "retry",
    [FR_REC_VALUE] = "value", [FR_REC_TIMER] = "timer",       [FR_REC_MAP_PART] = "map_part",
    [FR_REC_REQUEST] = "request", [FR_REC_ADDENDUM] = "addendum",
};
static const char *const kinds[] = {
    [FR_CALL_TASK] = "task", [FR_CALL_MAP] = "map", [FR_CALL_SLEEP] = "sleep",
    [FR_CALL_FLOW] = "flow", [FR_CALL_GROUP] = "group",
     [FR_CALL_SIGNAL] = "signal", [FR_CALL_POKE] = "poke",
    [FR_CALL_HOOK] = "hook",
};

static void set_outputs(lua_State *L, const fr_record *r)
{
    if (r->n_outputs == 0) {
        return;
    }
    lua_createtable(L, (int)r->n_outputs, 0);
    for (uint32_t i = 0; i < r->n_outputs; i++) {
        char text[FR_HASH_TEXT];
        fr_hash_text(r->outputs[i], text);
        lua_pushstring(L, text);
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "outputs");
}

static int push_record(lua_State *L)
{
    const fr_record *r = lua_touserdata(L, 1);
    lua_createtable(L, 0, 20);
    set_text(L, "type", (size_t)r->type < FR_COUNT(types) ? types[r->type] : NULL);
    set_text(L, "kind", (size_t)r->kind < FR_COUNT(kinds) ? kinds[r->kind] : NULL);
    set_int(L, "seq", (int64_t)r->seq);
    set_int(L, "row", r->row);
    set_text(L, "name", r->name);
    set_text(L, "label", r->label);
    if (r->state != FR_STATE_NONE) {
        set_text(L, "state", fr_state_name(r->state));
    }
    set_text(L, "reason", fr_reason_name(r->reason));
    set_int(L, "attempt", r->attempt);
    set_hash(L, "key", r->key);
    set_hash(L, "args", r->args);
    set_some(L, "queued", r->queued);
    set_some(L, "started", r->started);
    set_some(L, "ended", r->ended);
    set_some(L, "due", r->due);
    if (r->type == FR_REC_MAP_PART || r->kind == FR_CALL_MAP) {
        set_int(L, "items", r->items);
        set_int(L, "failed_items", r->failed_items);
    }
    if (r->log_to > r->log_from) {
        set_int(L, "log_from", (int64_t)r->log_from);
        set_int(L, "log_to", (int64_t)r->log_to);
    }
    if (r->size > 0 && r->type != FR_REC_MAP_PART) {
        lua_pushlstring(L, r->data, r->size);
        lua_setfield(L, -2, "data");
    }
    set_outputs(L, r);
    set_value(L, "result", r->result);
    set_value(L, "error", r->error);
    return 1;
}

static int push_run(lua_State *L)
{
    const fill *f = lua_touserdata(L, 1);
    const fr_run_info *info = f->row;
    lua_createtable(L, 0, 16);
    set_int(L, "id", (int64_t)info->id);
    set_text(L, "flow", info->flow);
    set_text(L, "file", info->file);
    set_hash(L, "bundle", info->bundle);
    set_int(L, "seed", (int64_t)info->seed);
    set_text(L, "state", fr_state_name(info->state));
    set_text(L, "reason", fr_reason_name(info->reason));
    set_int(L, "attempt", info->attempt);
    set_some(L, "started", info->started);
    set_some(L, "ended", info->ended);
    set_text(L, "options", info->options);
    set_value(L, "params", info->params);
    set_value(L, "result", info->result);
    set_value(L, "error", info->error);
    int pid = 0;
    bool alive = fr_store_run_alive(f->store, info->id, &pid);
    lua_pushboolean(L, alive);
    lua_setfield(L, -2, "alive");
    set_some(L, "pid", pid);
    return 1;
}

// --- lists ---

typedef struct addition {
    lua_CFunction push;
    void *row;
    lua_Integer at;
} addition;

// (addition, list): runs protected.
static int add(lua_State *L)
{
    const addition *a = lua_touserdata(L, 1);
    lua_pushcfunction(L, a->push);
    lua_pushlightuserdata(L, a->row);
    lua_call(L, 1, 1);
    lua_rawseti(L, 2, a->at);
    return 0;
}

// Appends what push(row) returns to the list.
static int append(fill *f, lua_CFunction push, void *row, fr_err *err)
{
    lua_State *L = f->L;
    addition a = {push, row, ++f->n};
    lua_pushcfunction(L, add);               // slots were reserved by start_list
    lua_pushlightuserdata(L, &a);
    lua_pushvalue(L, LIST);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        f->raised = true;                    // the error value stays on the stack
        return fr_fail(err, FR_ECANCELLED, "stopped");
    }
    return FR_OK;
}

static void start_list(lua_State *L, fill *f)
{
    lua_settop(L, 1);
    luaL_checkstack(L, 16, "store");
    lua_newtable(L);
    f->L = L;
}

// Returns the list and where to go on; raises what happened in between.
static int end_list(lua_State *L, fill *f, int rc, const fr_err *err)
{
    if (f->raised) {
        return lua_error(L);
    }
    if (rc != FR_OK && !(rc == FR_ECANCELLED && f->next != 0)) {
        return bind_raise(L, rc, err);
    }
    lua_settop(L, LIST);
    if (f->next == 0) {
        return 1;
    }
    lua_pushinteger(L, (lua_Integer)f->next);
    return 2;
}

static lua_Integer check_limit(lua_State *L, int arg)
{
    lua_Integer limit = luaL_optinteger(L, arg, 1000);
    luaL_argcheck(L, limit >= 1 && limit <= LIST_MAX, arg, "a number from 1 to 100000 expected");
    return limit;
}

static uint64_t check_natural(lua_State *L, int arg, lua_Integer or_else)
{
    lua_Integer v = or_else < 0 ? luaL_checkinteger(L, arg) : luaL_optinteger(L, arg, or_else);
    luaL_argcheck(L, v >= 0, arg, "a number of 0 or more expected");
    return (uint64_t)v;
}

static int on_run(void *ctx, const fr_run_info *info, fr_err *err)
{
    fill *f = ctx;
    f->row = info;
    return append(f, push_run, f, err);
}

// store:runs([run, limit]): newest first; run 0 = all
static int store_runs(lua_State *L)
{
    fr_store *s = check_store(L);
    uint64_t run = check_natural(L, 2, 0);
    lua_Integer limit = check_limit(L, 3);
    fill f = {.store = s};
    start_list(L, &f);
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_runs(s, run, (size_t)limit, on_run, &f, &err);
    return end_list(L, &f, rc, &err);
}

// When the list is full, remembers the place of this record and stops.
static bool is_full(fill *f, const fr_record *r)
{
    if (f->n < f->limit || r->seq == 0) {
        return false;
    }
    f->next = r->seq;
    return true;
}

static int on_record(void *ctx, const fr_record *r, fr_err *err)
{
    fill *f = ctx;
    if (is_full(f, r)) {
        return fr_fail(err, FR_ECANCELLED, "enough");
    }
    fr_record copy = *r;
    return append(f, push_record, &copy, err);
}

// store:scan(run, types [, from, limit]) -> list, next
static int store_scan(lua_State *L)
{
    fr_store *s = check_store(L);
    uint64_t run = check_natural(L, 2, -1), mask = check_natural(L, 3, 0);
    uint64_t from = check_natural(L, 4, 1);
    fill f = {.store = s, .limit = check_limit(L, 5)};
    start_list(L, &f);
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_scan(s, run, (unsigned)mask, from, on_record, &f, &err);
    return end_list(L, &f, rc, &err);
}

static const char *const verdicts[] = {
    [FR_CACHE_NONE] = "none",           [FR_CACHE_HIT] = "hit",
    [FR_CACHE_MISS] = "miss",           [FR_CACHE_EXPIRED] = "expired",
    [FR_CACHE_REFRESHED] = "refreshed", [FR_CACHE_DAMAGED] = "damaged",
    [FR_CACHE_SAME] = "same",           [FR_CACHE_GOOD] = "good",
    [FR_CACHE_LAST_GOOD] = "last_good",
};

typedef struct cache_row {
    uint64_t run;
    const fr_kept *kept;
} cache_row;

static int push_kept(lua_State *L)
{
    const cache_row *r = lua_touserdata(L, 1);
    const fr_kept *k = r->kept;
    lua_createtable(L, 0, 9);
    set_int(L, "run", (int64_t)r->run);
    set_int(L, "seq", (int64_t)k->seq);
    set_int(L, "item", k->item);
    set_text(L, "name", k->task);
    set_text(L, "verdict", (size_t)k->verdict < FR_COUNT(verdicts) ? verdicts[k->verdict] : "?");
    if (k->origin != 0) {
        set_int(L, "origin_run", (int64_t)k->run);
        set_int(L, "origin", (int64_t)k->origin);
    }
    set_int(L, "at", k->at);
    set_value(L, "parts", k->parts);
    return 1;
}

static int on_kept(void *ctx, uint64_t run, const fr_kept *k, fr_err *err)
{
    cache_row row = {run, k};
    return append(ctx, push_kept, &row, err);
}

// store:cache(run [, task, before, limit]) -> list: of a run; or of a task before record `before`
static int store_cache(lua_State *L)
{
    fr_store *s = check_store(L);
    uint64_t run = check_natural(L, 2, -1);
    const char *task = luaL_optstring(L, 3, NULL);
    uint64_t before = check_natural(L, 4, 0);
    fill f = {.store = s, .limit = check_limit(L, 5)};
    start_list(L, &f);
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_cache_rows(s, run, task, before, (size_t)f.limit, on_kept, &f, &err);
    return end_list(L, &f, rc, &err);
}

typedef struct item_row {
    const fill *f;
    const fr_item_done *item;
    const fr_value *value;                   // with its objects, or NULL
} item_row;

static int push_item(lua_State *L)
{
    const item_row *r = lua_touserdata(L, 1);
    const fr_item_done *d = r->item;
    bool failed = (d->flags & FR_ITEM_FAILED) != 0, stopped = (d->flags & FR_ITEM_CANCELLED) != 0;
    int64_t started = r->f->queued + (int64_t)d->start_us * 1000;
    lua_createtable(L, 0, 12);
    set_int(L, "index", (int64_t)d->index + 1);
    bool skipped = (d->flags & FR_ITEM_SKIPPED) != 0;
    set_text(L, "state", stopped ? "STOPPED" : failed ? "FAILED" : skipped ? "SKIPPED" : "SUCCESS");
    set_text(L, "reason", stopped ? "cancelled" : failed ? "error" : skipped ? "itself"
                          : (d->flags & FR_ITEM_DEGRADED) != 0 ? "degraded"
                          : (d->flags & FR_ITEM_CACHED) != 0   ? "cached"
                                                               : "ran");
    set_int(L, "attempt", d->attempt);
    set_int(L, "started", started);
    set_int(L, "ended", started + (int64_t)d->duration_us * 1000);
    set_hash(L, "args", d->args);
    if (r->f->keyed) {
        set_hash(L, "key", fr_item_key(r->f->map_key, d->args, d->duplicate));
    }
    set_some(L, "log", (int64_t)d->log_offset);
    fr_value **slot = marshal_box(L);
    *slot = r->value != NULL ? fr_value_ref(r->value) : fr_value_new(d->value, d->size, NULL, 0);
    lua_setfield(L, -2, failed || stopped || skipped ? "error" : "result");
    return 1;
}

static int on_part(void *ctx, const fr_record *r, fr_err *err)
{
    fill *f = ctx;
    if (r->row != f->map_row) {
        return FR_OK;
    }
    if (is_full(f, r)) {
        return fr_fail(err, FR_ECANCELLED, "enough");
    }
    fr_reader reader = fr_reader_of(r->data, r->size);
    fr_item_done item;
    int rc = FR_OK;
    while (rc == FR_OK && fr_item_next(&reader, &item)) {
        item_row row = {.f = f, .item = &item, .value = r->result};
        rc = append(f, push_item, &row, err);
    }
    if (rc == FR_OK && reader.failed) {
        rc = fr_fail(err, FR_ECORRUPT, "the items of record %llu are damaged",
                     (unsigned long long)r->seq);
    }
    return rc;
}

// store:items(run, row [, key, queued, from, limit]) -> list, next
static int store_items(lua_State *L)
{
    fr_store *s = check_store(L);
    uint64_t run = check_natural(L, 2, -1), row = check_natural(L, 3, -1);
    size_t n = 0;
    const char *key = luaL_optlstring(L, 4, NULL, &n);
    fill f = {.store = s, .map_row = (uint32_t)row};
    f.keyed = key != NULL;
    luaL_argcheck(L, key == NULL || fr_hash_parse(key, n, &f.map_key), 4, "32 hex digits expected");
    f.queued = luaL_optinteger(L, 5, 0);
    uint64_t from = check_natural(L, 6, 1);
    f.limit = check_limit(L, 7);
    start_list(L, &f);
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_scan(s, run, 1u << FR_REC_MAP_PART, from, on_part, &f, &err);
    return end_list(L, &f, rc, &err);
}

static int push_line(lua_State *L)
{
    const fr_log_line *line = lua_touserdata(L, 1);
    lua_createtable(L, 0, 8);
    set_int(L, "offset", (int64_t)line->offset);
    set_int(L, "time", line->time_us * 1000);
    set_int(L, "row", line->row);
    set_int(L, "item", line->item);
    set_int(L, "attempt", line->attempt);
    set_int(L, "level", line->level);
    lua_pushlstring(L, line->text, line->n);
    lua_setfield(L, -2, "text");
    return 1;
}

static int on_line(void *ctx, const fr_log_line *line, fr_err *err)
{
    fill *f = ctx;
    if (f->n >= f->limit) {
        f->next = line->offset;
        return fr_fail(err, FR_ECANCELLED, "enough");
    }
    fr_log_line copy = *line;
    return append(f, push_line, &copy, err);
}

// store:log(run [, from, limit]) -> list, offset to go on from, whether there is more now
static int store_log(lua_State *L)
{
    fr_store *s = check_store(L);
    uint64_t run = check_natural(L, 2, -1), from = check_natural(L, 3, 0);
    fill f = {.store = s, .limit = check_limit(L, 4)};
    start_list(L, &f);
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_log_read(s, run, &from, on_line, &f, &err);
    bool more = f.next != 0;
    f.next = more ? f.next : from;
    (void)end_list(L, &f, rc, &err);
    lua_settop(L, LIST);
    lua_pushinteger(L, (lua_Integer)f.next);
    lua_pushboolean(L, more);
    return 3;
}

// --- messages ---

static int push_message(lua_State *L)
{
    const fr_outbox_row *row = lua_touserdata(L, 1);
    lua_createtable(L, 0, 16);
    set_int(L, "id", (int64_t)row->id);
    set_int(L, "run", (int64_t)row->run);
    set_int(L, "seq", (int64_t)row->seq);
    set_int(L, "n", row->n);
    set_int(L, "owner", (int64_t)row->owner);
    set_text(L, "state", fr_outbox_state_name(row->state));
    set_int(L, "attempts", row->attempts);
    set_some(L, "due", row->due);
    set_int(L, "made", row->made);
    set_int(L, "changed", row->changed);
    set_text(L, "task", row->task);
    set_text(L, "name", row->name);
    set_text(L, "key", row->key);
    set_text(L, "error", row->error);
    fr_reader r = fr_reader_of(row->message, row->size);
    fr_outbox_message m;
    fr_value **args = marshal_box(L);
    if (fr_outbox_next(&r, &m, NULL, NULL) &&
        fr_value_parse(m.args, m.args_size, NULL, 0, args, NULL) == FR_OK) {
        lua_setfield(L, -2, "args");
        set_int(L, "retries", m.retry.retries);
    } else {
        lua_pop(L, 1);
    }
    return 1;
}

static int on_message(void *ctx, const fr_outbox_row *row, fr_err *err)
{
    fr_outbox_row copy = *row;
    return append(ctx, push_message, &copy, err);
}

// store:outbox(run, id, states [, limit]) -> list; states: a bit for each
static int store_outbox(lua_State *L)
{
    fr_store *s = check_store(L);
    uint64_t run = check_natural(L, 2, 0), id = check_natural(L, 3, 0);
    uint64_t states = check_natural(L, 4, 0);
    fill f = {.store = s, .limit = check_limit(L, 5)};
    start_list(L, &f);
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_outbox(s, run, id, (unsigned)states, (size_t)f.limit, on_message, &f, &err);
    return end_list(L, &f, rc, &err);
}

// store:outbox_change(id, what): "retry", "drop"; "now" of all that are pending
static int store_outbox_change(lua_State *L)
{
    static const char *const words[] = {"retry", "drop", "now", NULL};
    static const fr_outbox_state to[] = {FR_OUTBOX_PENDING, FR_OUTBOX_DROPPED,
                                         FR_OUTBOX_DELIVERED};
    fr_store *s = check_store(L);
    uint64_t id = check_natural(L, 2, 0);
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_outbox_change(s, id, to[luaL_checkoption(L, 3, NULL, words)], &err);
    return rc == FR_OK ? 0 : bind_raise(L, rc, &err);
}

// --- the rest ---

static int store_alive(lua_State *L)
{
    fr_store *s = check_store(L);
    int pid = 0;
    if (!fr_store_run_alive(s, check_natural(L, 2, -1), &pid)) {
        return 0;
    }
    lua_pushinteger(L, pid);
    return 1;
}

static int store_request(lua_State *L)
{
    fr_store *s = check_store(L);
    uint64_t run = check_natural(L, 2, -1);
    const char *kind = luaL_checkstring(L, 3), *json = luaL_optstring(L, 4, NULL);
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_request_put(s, run, kind, json, &err);
    return rc == FR_OK ? 0 : bind_raise(L, rc, &err);
}

static int store_bundle(lua_State *L)
{
    fr_store *s = check_store(L);
    size_t n;
    const char *hex = luaL_checklstring(L, 2, &n);
    fr_hash key;
    luaL_argcheck(L, fr_hash_parse(hex, n, &key), 2, "32 hex digits expected");
    marshal *m = marshal_scratch(L);         // its buffer goes with the state
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_blob_get(s, key, &m->out, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    lua_pushlstring(L, fr_buf_text(&m->out), m->out.size);
    return 1;
}

static int find_rerun(void *ctx, const fr_record *r, fr_err *err)
{
    (void)err;
    if (strcmp(r->name, "code") == 0 && r->size == 16) {
        *(fr_hash *)ctx = fr_hash_load(r->data);
    }
    return FR_OK;
}

// store:rerun_code(run) -> hash of the bundle that its latest rerun brought; nil: it had none
static int store_rerun_code(lua_State *L)
{
    fr_store *s = check_store(L);
    fr_hash code = {0};
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_scan(s, check_natural(L, 2, -1), 1u << FR_REC_REQUEST, 1, find_rerun, &code,
                           &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    char text[FR_HASH_TEXT];
    fr_hash_text(code, text);
    lua_pushstring(L, fr_hash_is_zero(code) ? NULL : text);
    return 1;
}

static int store_audit(lua_State *L)
{
    fr_store *s = check_store(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_audit(s, check_natural(L, 2, -1), &err);
    return rc == FR_OK ? 0 : bind_raise(L, rc, &err);
}

static int store_gc(lua_State *L)
{
    fr_store *s = check_store(L);
    lua_Integer age = luaL_optinteger(L, 2, FR_STORE_GC_AGE_S);
    fr_store_gc_result got;
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_gc(s, age, &got, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    lua_createtable(L, 0, 3);
    set_int(L, "files", (int64_t)got.files);
    set_int(L, "bytes", (int64_t)got.bytes);
    set_int(L, "kept", (int64_t)got.kept);
    return 1;
}

static int store_stats(lua_State *L)
{
    fr_store *s = check_store(L);
    fr_store_stats got;
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_stat(s, &got, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    lua_createtable(L, 0, 8);
    set_int(L, "runs", (int64_t)got.runs);
    set_int(L, "tasks", (int64_t)got.tasks);
    set_int(L, "journal", (int64_t)got.journal);
    set_int(L, "map_parts", (int64_t)got.map_parts);
    set_int(L, "running", (int64_t)got.running);
    set_int(L, "requests", (int64_t)got.requests);
    set_int(L, "database_bytes", (int64_t)got.database_bytes);
    set_int(L, "wal_bytes", (int64_t)got.wal_bytes);
    return 1;
}

// --- limits ---

static int push_limit(lua_State *L)
{
    const fr_limit *l = ((const fill *)lua_touserdata(L, 1))->row;
    lua_createtable(L, 0, 8);
    set_text(L, "name", l->name);
    if (l->capacity >= 0) {
        set_int(L, "slots", l->capacity);
    }
    set_some(L, "rate", l->rate);
    set_some(L, "period", l->period_ns);
    set_int(L, "source", l->source);
    set_int(L, "used", l->used);
    set_int(L, "waiting", l->waiting);
    return 1;
}

static int take_limit(void *ctx, const fr_limit *l, fr_err *err)
{
    fill *f = ctx;
    f->row = l;
    return append(f, push_limit, f, err);
}

// limits(): by name; period in ns, source 0 = nobody set it, 1 = a script, 2 = the command.
static int store_limits(lua_State *L)
{
    fill f = {.L = L, .store = check_store(L)};
    start_list(L, &f);
    fr_err err = FR_ERR_INIT;
    return end_list(L, &f, fr_store_limits(f.store, take_limit, &f, &err), &err);
}

static int push_slot(lua_State *L)
{
    const fill *f = lua_touserdata(L, 1);
    const fr_slot_info *s = f->row;
    lua_createtable(L, 0, 10);
    set_text(L, "limit", s->limit);
    set_text(L, "name", s->name);
    set_int(L, "run", (int64_t)s->run);
    set_int(L, "row", s->row);
    set_int(L, "slots", s->n);
    set_int(L, "priority", s->priority);
    set_int(L, "since", s->since);
    if (s->granted > 0) {
        set_int(L, "granted", s->granted);
    }
    lua_pushboolean(L, s->granted < 0);
    lua_setfield(L, -2, "refused");
    lua_pushboolean(L, fr_store_run_pid(f->store, s->run) >= 0);
    lua_setfield(L, -2, "alive");
    return 1;
}

static int take_slot(void *ctx, const fr_slot_info *s, fr_err *err)
{
    fill *f = ctx;
    f->row = s;
    return append(f, push_slot, f, err);
}

// slots(): by limit, who holds before who waits, these in the order of service.
static int store_slots(lua_State *L)
{
    fill f = {.L = L, .store = check_store(L)};
    start_list(L, &f);
    fr_err err = FR_ERR_INIT;
    return end_list(L, &f, fr_store_slot_list(f.store, LIST_MAX, take_slot, &f, &err), &err);
}

static int64_t natural_field(lua_State *L, int t, const char *key, int64_t otherwise)
{
    lua_getfield(L, t, key);
    int64_t v = luaL_optinteger(L, -1, otherwise);
    lua_pop(L, 1);
    return v;
}

// set_limit(name, {slots=, rate=, period= (ns)})
static int store_set_limit(lua_State *L)
{
    fr_store *s = check_store(L);
    size_t n;
    const char *name = luaL_checklstring(L, 2, &n);
    luaL_argcheck(L, n > 0 && n < FR_LIMIT_NAME, 2, "a name of 1 to 127 bytes expected");
    luaL_checktype(L, 3, LUA_TTABLE);
    fr_limit *l = lua_newuserdatauv(L, sizeof *l, 0);
    memset(l, 0, sizeof *l);
    memcpy(l->name, name, n);
    l->source = FR_LIMIT_COMMAND;
    l->capacity = natural_field(L, 3, "slots", -1);
    int64_t rate = natural_field(L, 3, "rate", 0);
    l->period_ns = natural_field(L, 3, "period", 0);
    luaL_argcheck(L, l->capacity <= FR_LIMIT_SLOTS, 3, "too many slots");
    luaL_argcheck(L, rate >= 0 && rate <= FR_LIMIT_RATE && (rate == 0) == (l->period_ns <= 0), 3,
                  "a rate needs rate (1 to 1000) and period");
    l->rate = (uint32_t)rate;
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_limit_set(s, l, &err);
    return rc == FR_OK ? 0 : bind_raise(L, rc, &err);
}

static int store_remove_limit(lua_State *L)
{
    fr_store *s = check_store(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_limit_remove(s, luaL_checkstring(L, 2), &err);
    return rc == FR_OK ? 0 : bind_raise(L, rc, &err);
}

static int store_close(lua_State *L)
{
    fr_store **slot = luaL_checkudata(L, 1, CLASS);
    fr_store *s = *slot;
    *slot = NULL;
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_close(s, &err);
    return rc == FR_OK ? 0 : bind_raise(L, rc, &err);
}

static int store_gc_box(lua_State *L)
{
    fr_store **slot = lua_touserdata(L, 1);
    fr_store *s = *slot;
    *slot = NULL;
    (void)!fr_store_close(s, NULL);
    return 0;
}

// open(home [, read_only])
static int store_open(lua_State *L)
{
    const char *home = luaL_checkstring(L, 1);
    bool read_only = lua_toboolean(L, 2);
    fr_store **slot = (fr_store **)bind_box(L, CLASS);
    fr_store_env env = {.home = home, .read_only = read_only, .kinds = bind_object_kinds()};
    fr_err err = FR_ERR_INIT;
    int rc = fr_store_open(&env, slot, &err);
    return rc == FR_OK ? 1 : bind_raise(L, rc, &err);
}

int luaopen_flowrun_core_store(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"open", store_open},
        {NULL, NULL},
    };
    static const luaL_Reg methods[] = {
        {"runs", store_runs},       {"scan", store_scan},     {"items", store_items},
        {"log", store_log},         {"alive", store_alive},   {"request", store_request},
        {"bundle", store_bundle},   {"gc", store_gc},         {"stats", store_stats},
        {"audit", store_audit},     {"cache", store_cache},   {"close", store_close},
        {"limits", store_limits},   {"slots", store_slots},   {"set_limit", store_set_limit},
        {"remove_limit", store_remove_limit}, {"rerun_code", store_rerun_code},
        {"outbox", store_outbox},   {"outbox_change", store_outbox_change},
        {NULL, NULL},
    };
    bind_class(L, CLASS, methods, NULL, store_gc_box);
    luaL_requiref(L, "flowrun.core.value", luaopen_flowrun_core_value, 0);   // class Value
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    lua_createtable(L, 0, (int)FR_COUNT(types));
    for (size_t i = 1; i < FR_COUNT(types); i++) {
        lua_pushinteger(L, (lua_Integer)1 << i);
        lua_setfield(L, -2, types[i]);
    }
    lua_setfield(L, -2, "types");
    return 1;
}
