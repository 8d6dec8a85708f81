// sim -- random flows against the real scheduler, in a world where everything can go wrong.
//
// One seed makes a flow (flows.lua), the outcomes of its bodies, the order of all events and
// up to six crashes. Flow bodies run on the shipped handle, key and replay code; only fr_io is
// fake: a log whose suffix can be lost, executions that end in any order, a virtual clock.
// Usage: sim [--from N] [--seeds N] [--seed N (one, with a trace)] [--expect-failure]
#include "core/base/clock.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/rand.h"
#include "core/engine/item.h"
#include "lua/bind/error_value.h"
#include "lua/bind/flow_host.h"
#include "lua/bind/vm.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CRASHES = 6, MAX_STEPS = 20000, MAX_BOOTS = 60, MAX_FLYING = 4096, MAX_ITEMS = 16 };

#define EVENTS(X)                                                                        \
    X(boot) X(crash) X(lost_records) X(commit) X(start) X(start_map) X(started) X(done_ok)  \
    X(done_failed) X(done_cancelled) X(items) X(timer) X(io_cancel) X(io_timeout)        \
    X(user_cancel) X(replayed_all) X(divergence) X(barrier_held) X(rec_task) X(rec_start) \
    X(rec_retry) X(rec_value) X(rec_timer) X(rec_map_part) X(rec_request) X(ended_success) \
    X(ended_failed) X(ended_stopped) X(degraded) X(upstream)

enum {
#define X(name) EV_##name,
    EVENTS(X)
#undef X
        EV_COUNT
};

static const char *const event_names[] = {
#define X(name) #name,
    EVENTS(X)
#undef X
};

typedef struct rec {                  // a record in the log of the world
    fr_record r;
    char *name;
    void *data;
} rec;

typedef struct key_facts {            // what the world has seen of one call; survives crashes
    fr_hash args;
    uint32_t runs, retries;
    bool effect, failed_kind;
} key_facts;

typedef struct flying {               // an execution under way
    fr_attempt *a;
    bool started;
    int64_t since;
    uint32_t at;                      // mapped: next position
    int stop;
} flying;

typedef struct world {
    fr_rand rand;
    uint64_t seed;
    bool trace;
    lua_State *L;
    fr_host *host;
    fr_sched *s;
    fr_code code;
    rec *log;
    size_t n_log, cap_log, synced;
    flying fly[MAX_FLYING];
    uint32_t n_fly;
    int64_t now, due;
    fr_map keys;                      // key -> index of facts
    key_facts *facts;
    uint32_t n_facts, cap_facts;
    uint64_t nonce, executions;
    uint32_t boots, crashes;
    bool cancelled;
    char problem[400];
    uint64_t events[EV_COUNT];
    uint64_t moves[FR_STOPPED + 1][FR_STOPPED + 1];
} world;

static world W;                       // one simulation at a time
static int64_t wall_skew;

static void fail(const char *format, ...) FR_PRINTF(1, 2);
static void fail(const char *format, ...)
{
    if (W.problem[0] == '\0') {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(W.problem, sizeof W.problem, format, args);
        va_end(args);
    }
}

static void note(const char *format, ...) FR_PRINTF(1, 2);
static void note(const char *format, ...)
{
    if (W.trace) {
        va_list args;
        va_start(args, format);
        (void)printf("%8.1f  ", (double)W.now / 1e9);
        (void)vprintf(format, args);
        (void)printf("\n");
        va_end(args);
    }
}

static uint64_t pick(uint64_t n)
{
    return fr_rand_below(&W.rand, n);
}

static key_facts *facts_of(fr_hash key)
{
    bool fresh;
    uint64_t *i = fr_map_put(&W.keys, key, &fresh);
    if (fresh) {
        if (W.n_facts == W.cap_facts) {
            W.cap_facts = W.cap_facts == 0 ? 64 : W.cap_facts * 2;
            W.facts = fr_realloc(W.facts, W.cap_facts * sizeof *W.facts);
        }
        W.facts[W.n_facts] = (key_facts){0};
        *i = W.n_facts++;
    }
    return &W.facts[*i];
}

// --- the log ---

static void free_rec(rec *r)
{
    fr_value_unref(r->r.result);
    fr_value_unref(r->r.error);
    fr_free(r->name);
    fr_free(r->data);
}

static bool ends_call(const fr_record *r)
{
    return r->type == FR_REC_TASK;
}

// A terminal record of `key` in the first n records.
static const fr_record *recorded(fr_hash key, size_t n)
{
    for (size_t i = n; i > 0; i--) {
        const fr_record *r = &W.log[i - 1].r;
        if (ends_call(r) && fr_hash_eq(r->key, key)) {
            return r;
        }
    }
    return NULL;
}

static bool in_flight(fr_hash key)
{
    for (uint32_t i = 0; i < W.n_fly; i++) {
        if (fr_hash_eq(W.fly[i].a->key, key)) {
            return true;
        }
    }
    return false;
}

static void check_append(const fr_record *r)
{
    if (ends_call(r) && recorded(r->key, W.n_log) != NULL) {
        fail("%s (row %u) is recorded twice", r->name, r->row);
    }
    if (ends_call(r) && r->state == FR_STOPPED && r->kind == FR_CALL_TASK && in_flight(r->key)) {
        fail("%s (row %u) is recorded as stopped while it still runs", r->name, r->row);
    }
    if (ends_call(r) && !fr_state_is_final(r->state)) {
        fail("%s ends in state %s", r->name, fr_state_name(r->state));
    }
}

static void count_record(const fr_record *r)
{
    static const int event[] = {[FR_REC_TASK] = EV_rec_task, [FR_REC_START] = EV_rec_start,
                                [FR_REC_RETRY] = EV_rec_retry, [FR_REC_VALUE] = EV_rec_value,
                                [FR_REC_TIMER] = EV_rec_timer,
                                [FR_REC_MAP_PART] = EV_rec_map_part,
                                [FR_REC_REQUEST] = EV_rec_request};
    W.events[event[r->type]]++;
    W.events[EV_degraded] += r->reason == FR_BECAUSE_DEGRADED;
    W.events[EV_upstream] += r->reason == FR_BECAUSE_UPSTREAM;
}

static void io_append(void *ctx, const fr_record *r)
{
    (void)ctx;
    count_record(r);
    note("record %" PRIu64 " type %d %s row %u %s", r->seq, (int)r->type,
         r->name != NULL ? r->name : "", r->row, fr_state_name(r->state));
    if (r->type == FR_REC_START) {
        return;
    }
    check_append(r);
    if (W.n_log == W.cap_log) {
        W.cap_log = W.cap_log == 0 ? 256 : W.cap_log * 2;
        W.log = fr_realloc(W.log, W.cap_log * sizeof *W.log);
    }
    rec *to = &W.log[W.n_log++];
    *to = (rec){.r = *r, .name = fr_strdup(r->name != NULL ? r->name : "")};
    to->r.name = to->name;
    to->r.label = NULL;
    to->r.outputs = NULL;
    to->r.result = r->result != NULL ? fr_value_ref(r->result) : NULL;
    to->r.error = r->error != NULL ? fr_value_ref(r->error) : NULL;
    to->data = fr_alloc(r->size + 1);
    if (r->size > 0) {
        memcpy(to->data, r->data, r->size);
    }
    to->r.data = to->data;
}

static void lose_suffix(void)
{
    size_t keep = W.synced + pick(W.n_log - W.synced + 1);
    W.events[EV_lost_records] += W.n_log - keep;
    while (W.n_log > keep) {
        free_rec(&W.log[--W.n_log]);
    }
    W.synced = W.n_log;
}

// --- what the scheduler wants ---

static bool is_kind(const fr_attempt *a, const char *kind)
{
    return strcmp(a->task + 4, kind) == 0;
}

static fr_hash args_hash(const fr_attempt *a)
{
    fr_hash h = a->args != NULL ? a->args->hash : (fr_hash){.lo = 1, .hi = 1};
    for (uint32_t i = 0; i < a->n_deps; i++) {
        h = fr_hash_pair(h, a->deps[i]->hash);
    }
    return h;
}

static uint32_t retries_of(const fr_attempt *a)
{
    if (is_kind(a, "retried")) {
        return 2;
    }
    return is_kind(a, "timed") || is_kind(a, "effect") || is_kind(a, "helped");
}

static void check_start(fr_attempt *a)
{
    if (recorded(a->key, W.n_log) != NULL) {
        fail("%s (row %u) starts although its result is recorded", a->task, a->row);
    }
    if (a->list != NULL || a->option != NULL) {
        return;
    }
    key_facts *k = facts_of(a->key);
    k->runs++;
    if (k->runs > 1 + retries_of(a) + W.crashes) {
        fail("%s (row %u) runs %u times with %u retries and %u crashes", a->task, a->row, k->runs,
             retries_of(a), W.crashes);
    }
    if (a->attempt > 1 + retries_of(a)) {
        fail("%s is started as attempt %u of %u", a->task, a->attempt, 1 + retries_of(a));
    }
    if (a->effect) {
        k->effect = true;
        if (W.synced < a->need || W.synced < W.n_log) {
            // Everything consumed before it became ready must be on disk.
            if (W.synced < a->need) {
                fail("effect %s (row %u) starts before record %" PRIu64 " is durable", a->task,
                     a->row, a->need);
            }
        }
        if (k->runs > 1 && !fr_hash_eq(k->args, args_hash(a))) {
            fail("effect %s (row %u) goes out again with other arguments", a->task, a->row);
        }
        k->args = args_hash(a);
    }
}

static void io_start(void *ctx, fr_attempt *a)
{
    (void)ctx;
    W.events[a->list != NULL ? EV_start_map : EV_start]++;
    W.executions++;
    note("start %s row %u attempt %u%s", a->task, a->row, a->attempt, a->option ? " (option)" : "");
    check_start(a);
    if (W.n_fly == MAX_FLYING) {
        fail("too many executions at once");
        return;
    }
    W.fly[W.n_fly++] = (flying){.a = a, .at = a->first};
}

static flying *flying_of(fr_attempt *a)
{
    for (uint32_t i = 0; i < W.n_fly; i++) {
        if (W.fly[i].a == a) {
            return &W.fly[i];
        }
    }
    return NULL;
}

static void io_cancel(void *ctx, fr_attempt *a, int code)
{
    (void)ctx;
    W.events[code == FR_ETIMEOUT && !W.cancelled ? EV_io_timeout : EV_io_cancel]++;
    flying *f = flying_of(a);
    if (f == NULL) {
        fail("cancel of %s, which does not run", a->task);
        return;
    }
    int64_t limit = is_kind(a, "slow_item") ? 30 : 20;
    if (code == FR_ETIMEOUT && !W.cancelled && (!f->started || W.now < f->since + limit * 1000000000)) {
        fail("%s (row %u) is stopped by a timeout that is not its own", a->task, a->row);
    }
    note("cancel %s row %u code %d", a->task, a->row, code);
    f->stop = code;
}

static void io_timer(void *ctx, int64_t due)
{
    (void)ctx;
    W.due = due;
}

static fr_ran io_resume(void *ctx, uint32_t branch)
{
    (void)ctx;
    fr_flow_host ops = flow_host_ops(W.host);
    return ops.resume(ops.ctx, branch);
}

// --- executions end ---

static fr_value *error_of(const char *code, const char *message)
{
    fr_err err = FR_ERR_INIT;
    (void)fr_fail(&err, fr_err_from_name(code), "%s", message);
    bind_push_error(W.L, err.code, message, NULL);
    fr_value *v = bind_error_pack(W.L, -1, NULL, NULL);
    lua_pop(W.L, 1);
    return v;
}

static bool body_fails(const fr_attempt *a)
{
    if (a->option != NULL) {
        return false;
    }
    if (is_kind(a, "failing")) {
        return true;
    }
    if (is_kind(a, "backed") || is_kind(a, "helped")) {
        return pick(2) == 0;
    }
    return !is_kind(a, "plain") && pick(4) == 0;
}

static void remove_flying(uint32_t i)
{
    W.fly[i] = W.fly[--W.n_fly];
}

static void end_single(uint32_t i)
{
    flying f = W.fly[i];
    remove_flying(i);
    fr_done d = {.started = W.now - 1000, .ended = W.now, .last = true};
    fr_value *v = NULL;
    bool stopped = f.stop != FR_OK && pick(3) > 0;
    if (stopped) {
        d.code = f.stop;
        d.error = v = error_of(f.stop == FR_ETIMEOUT ? "timeout" : "cancelled", "stopped");
        d.started = f.started ? d.started : 0;
        W.events[EV_done_cancelled]++;
    } else if (body_fails(f.a)) {
        d.code = FR_ETASK;
        d.error = v = error_of("error", "the body failed");
        W.events[EV_done_failed]++;
    } else {
        d.result = v = fr_value_int((int64_t)++W.nonce);
        W.events[EV_done_ok]++;
    }
    note("done %s row %u code %d", f.a->task, f.a->row, d.code);
    fr_sched_done(W.s, f.a, &d);
    fr_value_unref(v);
}

static void put_item(fr_buf *b, const fr_attempt *a, uint32_t i, int stop)
{
    fr_item_done item = {.index = i, .attempt = a->attempt, .args = a->item_args[i],
                         .duplicate = a->duplicates != NULL ? a->duplicates[i] : 0};
    fr_value *v;
    if (stop != FR_OK) {
        item.flags = FR_ITEM_FAILED | (stop == FR_ECANCELLED ? FR_ITEM_CANCELLED : 0);
        v = error_of(stop == FR_ETIMEOUT ? "timeout" : "cancelled", "stopped");
    } else if (pick(6) == 0) {
        item.flags = FR_ITEM_FAILED;
        v = error_of("error", "the item failed");
    } else {
        v = fr_value_int((int64_t)++W.nonce);
    }
    item.value = v->bytes;
    item.size = v->size;
    fr_item_put(b, &item);
    fr_value_unref(v);
}

static void end_chunk(uint32_t i)
{
    flying *f = &W.fly[i];
    fr_attempt *a = f->a;
    uint32_t end = a->first + a->count, n = 1 + (uint32_t)pick(end - f->at);
    fr_buf b;
    fr_buf_init(&b, 1 << 20);
    if (f->stop != FR_OK) {
        n = end - f->at;
    }
    for (uint32_t k = 0; k < n; k++, f->at++) {
        put_item(&b, a, a->indexes != NULL ? a->indexes[f->at] : f->at, f->stop);
    }
    fr_done d = {.started = W.now - 1000, .ended = W.now, .items = b.data, .size = b.size,
                 .n_items = n, .last = f->at == end};
    W.events[EV_items] += n;
    if (d.last) {
        remove_flying(i);
    }
    note("items of %s row %u: %u", a->task, a->row, n);
    fr_sched_done(W.s, a, &d);
    fr_buf_fini(&b);
}

static void step_execution(void)
{
    uint32_t i = (uint32_t)pick(W.n_fly);
    flying *f = &W.fly[i];
    if (f->a->report_start && !f->started && f->stop == FR_OK) {
        f->started = true;
        f->since = W.now;
        W.events[EV_started]++;
        fr_sched_started(W.s, f->a, W.now);
    } else if (f->a->list != NULL) {
        end_chunk(i);
    } else {
        end_single(i);
    }
}

// --- one process life ---

static int load_flow(lua_State *L)     // pushes sim.body(sim.make(seed))
{
    lua_getfield(L, LUA_REGISTRYINDEX, "sim");
    lua_getfield(L, -1, "body");
    lua_getfield(L, -2, "make");
    lua_pushinteger(L, (lua_Integer)W.seed);
    lua_call(L, 1, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int sim_now(lua_State *L)
{
    lua_pushnumber(L, (double)(W.now + wall_skew) / 1e9);
    return 1;
}

static void boot(void)
{
    static const fr_io io = {.append = io_append, .start = io_start, .cancel = io_cancel,
                             .timer = io_timer, .resume = io_resume};
    fr_sched_env env = {.io = &io, .code = &W.code, .seed = W.seed};
    W.boots++;
    W.events[EV_boot]++;
    W.due = INT64_MAX;
    W.n_fly = 0;
    W.host = flow_host_new(W.L);
    W.host->info.seed = W.seed;
    W.s = W.host->sched = fr_sched_new(&env);
    fr_sched_now(W.s, W.now, W.now + wall_skew);
    fr_err err = FR_ERR_INIT;
    for (size_t i = 0; i < W.n_log; i++) {
        if (fr_sched_load(W.s, &W.log[i].r, &err) != FR_OK) {
            fail("the log does not load: %s", err.text);
            return;
        }
    }
    W.synced = W.n_log;
    (void)load_flow(W.L);
    lua_remove(W.L, -2);
    flow_host_branch(W.host, W.L, FR_ROOT_BRANCH, 0);
    fr_sched_begin(W.s);
}

static void shut_down(void)
{
    for (int from = 0; from <= FR_STOPPED; from++) {
        for (int to = 0; to <= FR_STOPPED; to++) {
            W.moves[from][to] += fr_sched_moves(W.s, (fr_state)from, (fr_state)to);
        }
    }
    fr_sched_free(W.s);
    flow_host_free(W.host);
    W.s = NULL;
    W.host = NULL;
    lua_settop(W.L, 0);
}

static void commit_some(void)
{
    W.synced += 1 + pick(W.n_log - W.synced);
    W.events[EV_commit]++;
    fr_sched_durable(W.s, W.synced);
}

static void fire_timer(void)
{
    W.now = FR_MAX(W.now, W.due);
    W.events[EV_timer]++;
    fr_sched_now(W.s, W.now, W.now + wall_skew);
    fr_sched_timer(W.s);
}

// One thing that happens next; false: nothing can.
static bool happen(void)
{
    fr_sched_now(W.s, W.now, W.now + wall_skew);
    bool busy = fr_sched_busy(W.s);
    fr_sched_run(W.s, 1 + (uint32_t)pick(8));      // as the engine does after every input
    if (busy) {
        return true;
    }
    int can[4], n = 0;
    if (W.synced < W.n_log) {
        can[n++] = 0;
    }
    if (W.n_fly > 0) {
        can[n++] = 1;
        can[n++] = 1;
    }
    if (W.due != INT64_MAX && (W.n_fly == 0 || pick(4) == 0)) {
        can[n++] = 2;
    }
    if (n == 0) {
        return false;
    }
    W.now += (int64_t)pick(2000000000);
    fr_sched_now(W.s, W.now, W.now + wall_skew);
    switch (can[pick((uint64_t)n)]) {
    case 0:
        commit_some();
        break;
    case 1:
        step_execution();
        break;
    default:
        fire_timer();
        break;
    }
    return true;
}

static bool over(void)
{
    return fr_sched_ended(W.s) && !fr_sched_busy(W.s) && W.synced == W.n_log;
}

// Runs until the end or a crash; true when it ended.
static bool live(bool may_crash, bool may_cancel)
{
    for (int step = 0; step < MAX_STEPS && W.problem[0] == '\0'; step++) {
        if (over()) {
            return true;
        }
        if (may_crash && pick(14) == 0) {
            note("crash");
            W.crashes++;
            W.events[EV_crash]++;
            lose_suffix();
            return false;
        }
        if (may_cancel && !W.cancelled && pick(40) == 0) {
            W.cancelled = true;
            W.events[EV_user_cancel]++;
            note("cancel asked");
            fr_sched_cancel(W.s, pick(3) == 0 ? FR_ETIMEOUT : FR_ECANCELLED, "simulated");
        }
        if (!happen()) {
            fail("nothing can happen, yet the run has not ended");
        }
    }
    fail("no end after %d steps", MAX_STEPS);
    return false;
}

static char *outcome_text(void)
{
    fr_outcome o;
    fr_sched_outcome(W.s, &o);
    fr_buf b;
    fr_buf_init(&b, 1 << 20);
    fr_buf_printf(&b, "%s/%s ", fr_state_name(o.state), fr_reason_name(o.reason));
    if (o.result != NULL) {
        fr_value_json(o.result, &b, 100000);
    }
    if (fr_sched_divergence(W.s) != NULL) {
        W.events[EV_divergence]++;
        fail("%s", fr_sched_divergence(W.s));
    }
    char *text = fr_strdup(fr_buf_text(&b));
    fr_buf_fini(&b);
    return text;
}

// Every execution of an effect that counts had the arguments that were recorded in the end.
static void check_effects(void)
{
    for (size_t i = 0; i < W.keys.capacity; i++) {
        const fr_map_slot *slot = &W.keys.slots[i];
        if (fr_hash_is_zero(slot->key) || !W.facts[slot->value].effect) {
            continue;
        }
        if (recorded(slot->key, W.n_log) == NULL && !W.cancelled) {
            fail("an effect went out that the log does not know");
        }
    }
}

static void count_end(void)
{
    fr_outcome o;
    fr_sched_outcome(W.s, &o);
    W.events[o.state == FR_SUCCESS  ? EV_ended_success
             : o.state == FR_FAILED ? EV_ended_failed
                                    : EV_ended_stopped]++;
}

static void forget(void)
{
    while (W.n_log > 0) {
        free_rec(&W.log[--W.n_log]);
    }
    fr_map_fini(&W.keys);
    fr_map_init(&W.keys);
    W.n_facts = 0;
    W.synced = 0;
    W.boots = W.crashes = 0;
    W.cancelled = false;
    W.nonce = W.executions = 0;
    W.now = 1000000000000;
}

// Replaying the finished run executes nothing and ends the same way.
static void check_replay(const char *first)
{
    uint64_t before = W.executions;
    size_t records = W.n_log;
    boot();
    if (W.problem[0] == '\0' && live(false, false)) {
        char *again = outcome_text();
        if (strcmp(first, again) != 0) {
            fail("the replay ends with %s, the run ended with %s", again, first);
        }
        fr_free(again);
        if (W.executions != before || W.n_log != records) {
            fail("the replay of the finished run executed %" PRIu64 " bodies, wrote %zu records",
                 W.executions - before, W.n_log - records);
        }
        W.events[EV_replayed_all]++;
    }
    shut_down();
}

static bool simulate(uint64_t seed, bool trace)
{
    forget();
    W.seed = seed;
    W.trace = trace;
    W.problem[0] = '\0';
    fr_rand_init(&W.rand, seed, 77);
    uint32_t crashes = 2 + (uint32_t)pick(MAX_CRASHES - 1);
    bool may_cancel = pick(8) == 0;
    for (bool ended = false; !ended && W.problem[0] == '\0';) {
        boot();
        ended = W.problem[0] == '\0' && live(W.crashes < crashes, may_cancel);
        if (!ended || W.problem[0] != '\0') {
            shut_down();
            W.now += (int64_t)pick(100) * 1000000000;
            continue;
        }
        char *first = outcome_text();
        count_end();
        check_effects();
        bool diverged = W.problem[0] != '\0';
        shut_down();
        if (!diverged && !W.cancelled) {
            check_replay(first);
        }
        fr_free(first);
    }
    return W.problem[0] == '\0';
}

static void open_lua(const char *script)
{
    W.L = fr_vm_new(NULL);
    lua_pushcfunction(W.L, sim_now);
    lua_setglobal(W.L, "simnow");
    if (luaL_dofile(W.L, script) != LUA_OK) {
        (void)fprintf(stderr, "sim: %s\n", lua_tostring(W.L, -1));
        exit(2);
    }
    lua_setfield(W.L, LUA_REGISTRYINDEX, "sim");
}

static bool report(uint64_t seeds, double seconds)
{
    bool whole = true;
    (void)printf("%" PRIu64 " seeds, %.0f seeds/s, %.2f crashes per seed\n", seeds,
                 (double)seeds / seconds, (double)W.events[EV_crash] / (double)seeds);
    for (int i = 0; i < EV_COUNT; i++) {
        (void)printf("  %-16s %12" PRIu64 "\n", event_names[i], W.events[i]);
        whole = whole && (W.events[i] > 0 || i == EV_divergence);
    }
    for (int from = 0; from <= FR_STOPPED; from++) {
        for (int to = 0; to <= FR_STOPPED; to++) {
            if (W.moves[from][to] > 0) {
                (void)printf("  move %-10s -> %-10s %12" PRIu64 "\n", fr_state_name((fr_state)from),
                             fr_state_name((fr_state)to), W.moves[from][to]);
            }
        }
    }
    return whole;
}

int main(int argc, char **argv)
{
    uint64_t from = 1, seeds = 1000, one = 0;
    bool expect = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--expect-failure") == 0) {
            expect = true;
        } else if (i + 1 < argc) {
            uint64_t v = strtoull(argv[i + 1], NULL, 10);
            *(strcmp(argv[i], "--from") == 0 ? &from : strcmp(argv[i], "--seed") == 0 ? &one : &seeds) = v;
            i++;
        }
    }
    fr_map_init(&W.keys);
    open_lua(FR_SIM_FLOWS);
    int64_t start = fr_clock_mono_ns();
    if (one != 0) {
        bool ok = simulate(one, true);
        (void)printf("seed %" PRIu64 ": %s\n", one, ok ? "ok" : W.problem);
        return !ok;
    }
    for (uint64_t seed = from; seed < from + seeds; seed++) {
        if (!simulate(seed, false)) {
            (void)printf("seed %" PRIu64 ": %s\n  replay it: %s --seed %" PRIu64 "\n", seed,
                         W.problem, argv[0], seed);
            return expect ? 0 : 1;
        }
    }
    bool whole = report(seeds, (double)(fr_clock_mono_ns() - start) / 1e9);
    if (expect) {
        (void)printf("the planted bug was not found\n");
        return 1;
    }
    if (!whole && seeds >= 1000) {
        (void)printf("an event never happened: the simulation does not test it\n");
        return 1;
    }
    return 0;
}
