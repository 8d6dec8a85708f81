// The fake fr_io: the log, the executions and how they end.
#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

world W;

void sim_fail(const char *format, ...)
{
    if (W.problem[0] == '\0') {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(W.problem, sizeof W.problem, format, args);
        va_end(args);
        sim_note("FAILED: %s", W.problem);
    }
}

void sim_note(const char *format, ...)
{
    if (W.trace) {
        va_list args;
        va_start(args, format);
        (void)printf("%10.1f  ", (double)W.now / 1e9);
        (void)vprintf(format, args);
        (void)printf("\n");
        va_end(args);
    }
}

uint64_t sim_pick(uint64_t n) { return fr_rand_below(&W.rand, n); }

// --- the log ---

static bool of_scope(const fr_record *r)
{
    return r->type == FR_REC_TIMER && (r->kind == FR_CALL_FLOW || r->kind == FR_CALL_GROUP);
}

bool world_stops(const fr_record *r) { return of_scope(r) && r->reason == FR_BECAUSE_TIMEOUT; }

static bool again_begins(const fr_record *r)
{
    return of_scope(r) && r->reason == FR_BECAUSE_RETRY;
}

static void count_record(const fr_record *r)
{
    static const int ends[] = {[FR_CALL_TASK] = EV_rec_task,
                               [FR_CALL_MAP] = EV_rec_map,
                               [FR_CALL_SLEEP] = EV_rec_sleep,
                               [FR_CALL_FLOW] = EV_rec_flow,
                               [FR_CALL_GROUP] = EV_rec_flow,
                               [FR_CALL_ITEM] = EV_rec_item,
                               [FR_CALL_SIGNAL] = EV_rec_signal,
                               [FR_CALL_POKE] = EV_rec_poke,
                               [FR_CALL_HOOK] = EV_rec_hook};
    static const int types[] = {[FR_REC_START] = EV_rec_start,
                                [FR_REC_RETRY] = EV_rec_retry,
                                [FR_REC_VALUE] = EV_rec_value,
                                [FR_REC_TIMER] = EV_rec_timer,
                                [FR_REC_MAP_PART] = EV_rec_map_part};
    int event = EV_rec_cancel;
    if (r->type == FR_REC_TASK) {
        event = ends[r->kind];
    } else if (r->type != FR_REC_REQUEST) {
        event = types[r->type];
    } else if (strcmp(r->name, "unhandled") == 0) {
        event = EV_rec_unhandled;
    } else if (strcmp(r->name, "rerun") == 0) {
        event = EV_rec_rerun;
    } else if (strcmp(r->name, "death") == 0) {
        event = EV_rec_death;
    } else if (strcmp(r->name, "arrival") == 0) {
        event = EV_rec_arrival;
    }
    W.totals.events[EV_hook_failed] += r->kind == FR_CALL_HOOK && r->state == FR_FAILED;
    W.totals.events[EV_late] += r->kind != FR_CALL_TASK && r->state == FR_SUCCESS &&
                                r->reason == FR_BECAUSE_TIMEOUT;
    W.totals.events[event]++;
    W.totals.events[EV_io_append]++;
    W.totals.events[EV_degraded] += r->reason == FR_BECAUSE_DEGRADED;
    W.totals.events[EV_upstream] += r->reason == FR_BECAUSE_UPSTREAM;
    W.totals.events[EV_group] += r->type == FR_REC_TASK && r->kind == FR_CALL_GROUP;
    W.totals.events[EV_group_again] += again_begins(r);
    W.totals.events[EV_group_stopped] += world_stops(r);
    W.totals.events[EV_group_fast] += r->reason == FR_BECAUSE_FAIL_FAST;
    W.totals.events[EV_expired] += r->type == FR_REC_TASK && r->reason == FR_BECAUSE_DEADLINE;
    W.totals.events[EV_skipped_itself] += r->reason == FR_BECAUSE_ITSELF;
    W.totals.events[EV_skipped_behind] += r->reason == FR_BECAUSE_UPSTREAM_SKIPPED;
    W.totals.events[EV_skipped_by_rule] += r->reason == FR_BECAUSE_RULE;
    W.totals.events[EV_skipped_by_when] += r->reason == FR_BECAUSE_CONDITION;
    W.totals.events[EV_empty_map] += r->reason == FR_BECAUSE_EMPTY_MAP;
    W.totals.events[EV_quarantined] += r->reason == FR_BECAUSE_QUARANTINED;
    W.totals.events[EV_outputs] += r->n_outputs > 1;
}

static void note_unhandled(const fr_record *r)
{
    for (size_t at = 0; W.trace && at + 16 <= r->size; at += 16) {
        const facts *f = oracle_facts(fr_hash_load((const uint8_t *)r->data + at));
        if (f->last != 0) {
            sim_note("    %s row %u", W.log[f->last - 1].r.name,
                     W.log[f->last - 1].r.row);
        }
    }
}

static void io_append(void *ctx, const fr_record *r)
{
    (void)ctx;
    count_record(r);
    sim_note("record %" PRIu64 " type %d %s row %u %s", r->seq, (int)r->type,
             r->name != NULL ? r->name : "", r->row, fr_state_name(r->state));
    if (r->type == FR_REC_START) {
        return;
    }
    if (r->type == FR_REC_REQUEST && strcmp(r->name, "unhandled") == 0) {
        note_unhandled(r);
    }
    oracle_append(r);
    if (W.n_log == W.cap_log) {
        W.cap_log = W.cap_log == 0 ? 256 : W.cap_log * 2;
        W.log = fr_realloc(W.log, W.cap_log * sizeof *W.log);
    }
    rec *to = &W.log[W.n_log];
    *to = (rec){.r = *r, .name = fr_strdup(r->name != NULL ? r->name : "")};
    to->r.name = to->name;
    to->label = r->label != NULL ? fr_strdup(r->label) : NULL;
    to->r.label = to->label;
    to->r.outputs = NULL;
    to->r.result = r->result != NULL ? fr_value_ref(r->result) : NULL;
    to->r.error = r->error != NULL ? fr_value_ref(r->error) : NULL;
    to->data = fr_alloc(r->size + 1);
    if (r->size > 0) {
        memcpy(to->data, r->data, r->size);
    }
    to->r.data = to->data;
    oracle_learn(W.n_log++);
    if (r->slot != 0) {
        limits_release(r->slot);
    }
}

static void free_rec(rec *r)
{
    fr_value_unref(r->r.result);
    fr_value_unref(r->r.error);
    fr_free(r->name);
    fr_free(r->label);
    fr_free(r->data);
    fr_free(r->args);
}

static void cut_log(size_t keep)
{
    while (W.n_log > keep) {
        free_rec(&W.log[--W.n_log]);
    }
    W.synced = FR_MIN(W.synced, keep);
}

void world_commit(void)
{
    W.synced += W.synced < W.n_log ? 1 + sim_pick(W.n_log - W.synced) : 0;
    limits_committed();
    sim_count(commit);
    W.committing = true;
    fr_sched_durable(W.s, W.synced);
    W.committing = false;
}

// All items of a mapped execution are known, but it has not said that it is over.
static bool lingers(const flying *f)
{
    return f->a->list != NULL && f->at == f->a->first + f->a->count;
}

static uint32_t item_on_cpu(const flying *f)
{
    const fr_attempt *a = f->a;
    uint32_t i = a->indexes != NULL && a->list != NULL ? a->indexes[f->at] : f->at;
    return a->list != NULL ? i : FR_NO_NODE;
}

static void leave_mark(const flying *f, int signal)
{
    if (W.n_marks < MAX_SUSPECTS && !lingers(f)) {
        W.marks[W.n_marks++] = (on_cpu){f->a->key, item_on_cpu(f), signal};
        sim_count(suspect);
    }
}

// A body takes its process down, with a signal that its thread sees or without.
static void body_kills(const flying *f)
{
    bool seen = sim_pick(2) == 0;
    sim_note("%s row %u takes the process down", f->a->task, f->a->row);
    W.totals.events[seen ? EV_killed_by_signal : EV_killed_unseen]++;
    W.dead = true;
    W.n_marks = 0;
    leave_mark(f, seen ? 11 : 0);
    for (uint32_t i = 0; !seen && i < W.n_fly; i++) {
        if (&W.fly[i] != f && W.fly[i].started && sim_pick(2) == 0) {
            leave_mark(&W.fly[i], 0);
        }
    }
}

// The process dies: what was not on disk is lost from some place on.
void world_crash(void)
{
    if (!W.dead) {                                 // some of what ran was on a CPU
        W.n_marks = 0;
        for (uint32_t i = 0; i < W.n_fly; i++) {
            if (W.fly[i].started && sim_pick(8) == 0) {
                leave_mark(&W.fly[i], 0);
            }
        }
    }
    W.dead = false;
    size_t keep = W.synced + sim_pick(W.n_log - W.synced + 1);
    sim_note("crash, %zu records lost", W.n_log - keep);
    W.crashes++;
    limits_crash(keep);
    sim_count(crash);
    if (W.n_log > keep) {
        W.totals.events[EV_lost_records] += W.n_log - keep;
        cut_log(keep);
        oracle_relearn();
    }
    kept_crash(keep);
    checkpoints_crash(keep);
}

void world_drained(void)
{
    sim_note("drained");
    while (W.synced < W.n_log) {
        world_commit();
    }
    W.crashes++;
    W.n_marks = 0;
    limits_crash(W.n_log);
    sim_count(drained);
    kept_crash(W.n_log);
}

void world_forget(void)
{
    kept_forget();
    checkpoints_forget();
    cut_log(0);
    fr_map_fini(&W.keys);
    fr_map_init(&W.keys);
    fr_map_fini(&W.nonces);
    fr_map_init(&W.nonces);
    fr_map_fini(&W.suspects);
    fr_map_init(&W.suspects);
    outside_forget();
    W.n_marks = 0;
    W.n_facts = 0;
    W.rerun_seq = W.nonce = W.executions = 0;
    W.boots = W.crashes = W.reruns = W.change = 0;
    W.cancelled = W.committing = false;
    W.now = 1000000000000;
    W.skew = 1600000000000000000;
    limits_forget();
}

// --- what the scheduler wants ---

bool world_is(const fr_attempt *a, const char *kind)
{
    return strcmp(a->task + 4, kind) == 0; // behind "sim:"
}

bool world_hook(const fr_attempt *a)
{
    return a->option != NULL && (strncmp(a->option, "on_", 3) == 0 || strcmp(a->option, "undo") == 0);
}

bool world_sensor(const fr_attempt *a)
{
    return world_is(a, "sensor") || world_is(a, "sensor_asked");
}

bool world_asked(const fr_attempt *a)
{
    return a->option != NULL && strcmp(a->option, "fallback") != 0;
}

uint32_t world_retries(const fr_attempt *a)
{
    static const char *const once[] = {"hooked", "timed", "effect",    "mailer",     "helped",
                                       "item",  "slow_item", "helped_item",
                                       "limited", "teardown", "greedy",   "limited_item",
                                       "posted", "posted_item", "keeper_item"};
    static const char *const twice[] = {"retried", "asked", "asked_item", "keeper", "dated",
                                        "dated_backed", "dated_good", "dated_item"};
    for (size_t i = 0; i < FR_COUNT(once); i++) {
        if (world_is(a, once[i])) {
            return 1;
        }
    }
    for (size_t i = 0; i < FR_COUNT(twice); i++) {
        if (world_is(a, twice[i])) {
            return 2;
        }
    }
    return 0;
}

uint32_t world_most(void)
{
    return W.seed % 5 == 0 ? 1 + (uint32_t)(W.seed / 5 % 3) : 0;
}

static void io_start(void *ctx, fr_attempt *a)
{
    (void)ctx;
    W.totals.events[EV_io_hook] += world_hook(a);
    W.totals.events[EV_io_undo] += a->option != NULL && strcmp(a->option, "undo") == 0;
    W.totals.events[world_asked(a)      ? EV_io_ask
                    : a->option != NULL ? EV_io_start_fallback
                    : a->list != NULL   ? EV_io_start_map
                                        : EV_io_start]++;
    W.executions++;
    sim_note("start %s row %u attempt %u %s", a->task, a->row, a->attempt,
             a->option != NULL ? a->option : "");
    W.totals.events[EV_barrier_held] += a->effect && W.committing;
    oracle_start(a);
    limits_started(a);
    if (a->effect) {
        oracle_goes_out(a);
    }
    if (W.n_fly == MAX_FLYING || (world_most() > 0 && W.n_fly >= world_most())) {
        sim_fail("too many executions at once");
        return;
    }
    W.fly[W.n_fly++] = (flying){.a = a, .at = a->first};
}

static flying *flying_of(const fr_attempt *a)
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
    sim_note("cancel %s row %u code %d", a->task, a->row, code);
    W.totals.events[code == FR_ETIMEOUT && !W.cancelled ? EV_io_timeout : EV_io_cancel]++;
    flying *f = flying_of(a);
    oracle_cancel(a, f, code);
    if (f != NULL) {
        f->stop = code;
        f->recalled = f->recalled || (W.drains && W.pure);     // it does not end in another way
    }
}

// What a worker has begun cannot be given back; a map's rest always can.
static void io_recall(void *ctx, fr_attempt *a)
{
    (void)ctx;
    flying *f = flying_of(a);
    if (f == NULL) {
        sim_fail("%s (row %u), which does not run, is to be given back", a->task, a->row);
    } else if (a->list != NULL || (!f->started && sim_pick(2) == 0)) {
        f->recalled = true;
    }
}

static void io_slot_ask(void *ctx, const fr_slot_ask *a)
{
    (void)ctx;
    sim_note("ask %u for %s row %u", a->ask, a->name, a->row);
    limits_ask(a);
}

static void io_slot_release(void *ctx, uint32_t ask)
{
    (void)ctx;
    sim_note("release %u", ask);
    limits_release(ask);
}

static void io_timer(void *ctx, int64_t due)
{
    (void)ctx;
    sim_count(io_timer);
    W.due = due;
}

static fr_ran io_resume(void *ctx, uint32_t branch)
{
    (void)ctx;
    sim_count(io_resume);
    fr_flow_host ops = flow_host_ops(W.host);
    return ops.resume(ops.ctx, branch);
}

static void io_again(void *ctx, uint32_t node, uint32_t branch)
{
    (void)ctx;
    fr_flow_host ops = flow_host_ops(W.host);
    ops.again(ops.ctx, node, branch);
}

const fr_io world_io = {.append = io_append,
                        .start = io_start,
                        .cancel = io_cancel,
                        .recall = io_recall,
                        .timer = io_timer,
                        .slot_ask = io_slot_ask,
                        .slot_release = io_slot_release,
                        .resume = io_resume,
                        .again = io_again,
                        .lookup = kept_ask,
                        .keep = kept_put};

// --- executions end ---

enum { FAILED, TIMED_OUT, CANCELLED, LOST, SKIPPED };

static fr_value *error_of(int which) // borrowed
{
    static const struct {
        const char *code, *text;
    } all[] = {
        {"error", "the body failed"}, {"timeout", "stopped"}, {"cancelled", "stopped"}, {"lost", "lost"},
        {"skipped", "not today"}};
    if (W.errors[which] == NULL) {
        fr_err err = FR_ERR_INIT;
        (void)fr_fail(&err, fr_err_from_name(all[which].code), "%s", all[which].text);
        bind_push_error(W.L, err.code, err.text, NULL);
        W.errors[which] = bind_error_pack(W.L, -1, NULL, NULL);
        lua_pop(W.L, 1);
    }
    return W.errors[which];
}

static fr_value *stop_error(int code)
{
    return error_of(code == FR_ETIMEOUT ? TIMED_OUT : CANCELLED);
}

// One of n, at random; of a pure flow always the same for the same attempt.
static bool one_of(uint64_t n, fr_hash key, uint32_t attempt)
{
    return W.pure ? fr_hash_mix(key, attempt).lo % n == 0 : sim_pick(n) == 0;
}

static int64_t fresh(fr_hash key, uint32_t i)
{
    return W.pure ? (int64_t)(fr_hash_mix(key, i).lo % NONCE_BASE)
                  : NONCE_BASE + (int64_t)++W.nonce;
}

static bool body_fails(const fr_attempt *a)
{
    if (world_hook(a)) {
        return one_of(5, a->key, a->attempt);
    }
    if (a->option != NULL || world_is(a, "plain") || world_is(a, "pair") ||
        world_is(a, "teller") || world_is(a, "gated") || strncmp(a->task + 4, "rule_", 5) == 0) {
        return false;
    }
    if (world_is(a, "failing")) {
        return W.reruns == 0 || sim_pick(3) == 0;
    }
    bool often = world_is(a, "backed") || world_is(a, "helped") || world_is(a, "shared") ||
                 world_is(a, "goody");
    return one_of(often ? 2 : 4, a->key, a->attempt);
}

// What a function given as an option says: whether to try again, how long to wait.
static fr_value *answer_of(const fr_attempt *a, fr_hash key)
{
    if (one_of(16, key, a->attempt + 100)) {
        sim_count(bad_answer);
        return fr_value_nil();
    }
    if (strcmp(a->option, "delay") == 0) {
        return fr_value_int(W.pure ? 3 : 1 + (int64_t)sim_pick(10));
    }
    uint8_t tag = one_of(3, key, a->attempt + 200) ? FR_FALSE : FR_TRUE;
    return fr_value_new(&tag, 1, NULL, 0);
}

// An execution that goes with its process while ours lives on.
static bool is_lost(const fr_attempt *a, facts *f)
{
    f->lost_now = !W.pure && a->option == NULL && sim_pick(25) == 0;
    f->lost_runs += f->lost_now;
    return f->lost_now;
}

static fr_value *result_of(const fr_attempt *a)
{
    if (world_asked(a)) {
        return answer_of(a, a->key);
    }
    if (world_sensor(a) && sim_pick(2) == 0) {
        sim_count(poke_nothing);
        facts *f = oracle_facts(a->key);       // the shortest time between two pokes
        f->not_before = W.now + 1000000000;
        f->boot = W.boots;
        uint8_t tag = sim_pick(2) == 0 ? FR_NIL : FR_FALSE;
        return fr_value_new(&tag, 1, NULL, 0);
    }
    if (world_is(a, "teller")) {
        uint8_t tag = one_of(2, a->key, 0) ? FR_TRUE : FR_FALSE;
        return fr_value_new(&tag, 1, NULL, 0);
    }
    bool list = world_is(a, "lister");
    if (!list && a->n_outputs == 1) {
        return fr_value_int(fresh(a->key, 0));
    }
    uint32_t n = !list ? a->n_outputs : W.pure ? 3 : (uint32_t)sim_pick(5);
    fr_buf b;
    fr_buf_init(&b, 1 << 20);
    fr_buf_put_u8(&b, FR_TABLE);
    fr_buf_put_varint(&b, n);
    for (uint32_t i = 0; i < n; i++) {
        fr_value_put_int(&b, fresh(a->key, i));
    }
    fr_buf_put_varint(&b, 0);
    fr_value *v = fr_value_new(b.data, b.size, NULL, 0);
    fr_buf_fini(&b);
    return v;
}

// What a body leaves for others with its result, which it names.
static fr_value *message_of(const fr_value *result)
{
    fr_reader r = fr_reader_of(result->bytes, result->size);
    fr_item v;
    char text[32];
    (void)fr_value_next(&r, &v);
    (void)snprintf(text, sizeof text, "%" PRId64, v.integer);
    return fr_value_text(text, strlen(text));
}

static void remove_flying(uint32_t i) { W.fly[i] = W.fly[--W.n_fly]; }

static void end_single(uint32_t i)
{
    flying f = W.fly[i];
    int64_t wall = world_wall();
    fr_done d = {.started = wall - 1000, .ended = wall, .last = true};
    fr_value *v = NULL;
    bool stopped = f.stop != FR_OK && (f.recalled || sim_pick(3) > 0);
    if (!stopped && world_is(f.a, "mailer")) { // the effect inside it goes out now
        if (W.synced < f.a->need) {
            W.totals.events[EV_barrier_held_inside] += !W.fly[i].held;
            W.fly[i].held = true;
            return;
        }
        oracle_goes_out(f.a);
    }
    remove_flying(i);
    if (stopped) {
        d.code = f.stop;
        d.error = stop_error(f.stop);
        d.started = f.started ? d.started : 0;
        sim_count(done_stopped);
    } else if (f.stop == FR_OK && is_lost(f.a, oracle_facts(f.a->key))) {
        d.code = FR_ELOST;
        d.error = error_of(LOST);
        sim_count(lost);
    } else if ((world_is(f.a, "skipper") || world_is(f.a, "setup")) &&
               (f.stop != FR_OK || one_of(3, f.a->key, 77))) {
        d.code = FR_ESKIPPED;
        d.error = error_of(SKIPPED);
    } else if (body_fails(f.a)) {
        d.code = FR_ETASK;
        d.error = error_of(FAILED);
        sim_count(done_failed);
    } else {
        d.result = v = result_of(f.a);
        sim_count(done_ok);
    }
    fr_value *message = v != NULL && world_is(f.a, "posted") ? message_of(v) : NULL;
    d.outbox = message;
    sim_note("done %s row %u code %d", f.a->task, f.a->row, d.code);
    fr_sched_done(W.s, f.a, &d);
    fr_value_unref(v);
    fr_value_unref(message);
}

static void put_item(fr_buf *b, const fr_attempt *a, uint32_t i, int stop)
{
    uint32_t dup = a->duplicates != NULL ? a->duplicates[i] : 0;
    fr_item_done item = {
        .index = i, .attempt = a->attempt, .args = a->item_args[i], .duplicate = dup};
    fr_hash key = fr_item_key(a->key, item.args, dup);
    fr_value *v;
    if (stop != FR_OK) {
        item.flags = FR_ITEM_FAILED | (stop == FR_ECANCELLED ? FR_ITEM_CANCELLED : 0);
        v = fr_value_ref(stop_error(stop));
    } else if (is_lost(a, oracle_facts(key))) {
        item.flags = FR_ITEM_FAILED;
        v = fr_value_ref(error_of(LOST));
        sim_count(lost_item);
    } else if (world_asked(a)) {
        v = answer_of(a, key);
    } else if (world_is(a, "skip_item") && one_of(2, key, 77)) {
        item.flags = FR_ITEM_SKIPPED;
        v = fr_value_ref(error_of(SKIPPED));
        sim_count(skipped_item);
    } else if (a->option == NULL && !world_is(a, "poison_item") &&
               one_of(6, key, a->attempt)) {
        item.flags = FR_ITEM_FAILED;
        v = fr_value_ref(error_of(FAILED));
        sim_count(items_failed);
    } else {
        v = fr_value_int(fresh(key, 0));
    }
    item.value = v->bytes;
    item.size = v->size;
    fr_item_put(b, &item);
    fr_value_unref(v);
}

// The worker lets go of an attempt whose items it has all delivered.
static void let_go(uint32_t i)
{
    fr_attempt *a = W.fly[i].a;
    remove_flying(i);
    sim_note("end of %s row %u", a->task, a->row);
    sim_count(let_go_late);
    fr_sched_done(W.s, a, &(fr_done){.last = true});
}

// An item with a message comes by itself.
static void end_posted(uint32_t i)
{
    flying *f = &W.fly[i];
    fr_attempt *a = f->a;
    uint32_t index = a->indexes != NULL ? a->indexes[f->at] : f->at;
    uint32_t dup = a->duplicates != NULL ? a->duplicates[index] : 0;
    fr_value *v = fr_value_int(fresh(fr_item_key(a->key, a->item_args[index], dup), 0));
    fr_value *message = message_of(v);
    int64_t wall = world_wall();
    fr_done d = {.started = wall - 1000, .ended = wall, .result = v, .outbox = message,
                 .index = index, .n_items = 1,
                 .last = ++f->at == a->first + a->count && sim_pick(4) > 0};
    sim_count(items);
    if (d.last) {
        remove_flying(i);
    }
    sim_note("item %u of %s row %u with a message", index, a->task, a->row);
    fr_sched_done(W.s, a, &d);
    fr_value_unref(v);
    fr_value_unref(message);
}

static bool posts(const flying *f)
{
    const fr_attempt *a = f->a;
    if (!world_is(a, "posted_item") || f->stop != FR_OK) {
        return false;
    }
    uint32_t index = a->indexes != NULL ? a->indexes[f->at] : f->at;
    uint32_t dup = a->duplicates != NULL ? a->duplicates[index] : 0;
    return !one_of(3, fr_item_key(a->key, a->item_args[index], dup), a->attempt);
}

static void end_chunk(uint32_t i)
{
    flying *f = &W.fly[i];
    fr_attempt *a = f->a;
    uint32_t end = a->first + a->count, n = 1 + (uint32_t)sim_pick(end - f->at);
    fr_buf b;
    fr_buf_init(&b, 1 << 20);
    if (f->stop != FR_OK) {
        n = end - f->at;
    }
    for (uint32_t k = 0; k < n; k++, f->at++) {
        put_item(&b, a, a->indexes != NULL ? a->indexes[f->at] : f->at, f->stop);
    }
    int64_t wall = world_wall();
    fr_done d = {.started = wall - 1000,
                 .ended = wall,
                 .items = b.data,
                 .size = b.size,
                 .n_items = n,
                 .last = f->at == end && sim_pick(4) > 0};
    W.totals.events[EV_items] += n;
    if (d.last) {
        remove_flying(i);
    }
    sim_note("items of %s row %u: %u", a->task, a->row, n);
    fr_sched_done(W.s, a, &d);
    fr_buf_fini(&b);
}

// Of the deadly bodies a third always kills, a third only the first time.
static bool kills(const flying *f)
{
    bool item = world_is(f->a, "poison_item");
    if (!W.deadly || f->stop != FR_OK || lingers(f) || (!item && !world_is(f->a, "poison"))) {
        return false;
    }
    fr_hash key = fr_hash_mix(f->a->key, item ? item_on_cpu(f) : 0);
    facts *k = oracle_facts(key);
    return key.lo % 3 == 0 || (key.lo % 3 == 1 && k->runs++ == 0);
}

void world_step(void)
{
    uint32_t i = (uint32_t)sim_pick(W.n_fly);
    flying *f = &W.fly[i];
    if (f->recalled && f->stop == FR_OK && (f->a->list == NULL || sim_pick(2) == 0)) {
        f->stop = FR_ECANCELLED;
    }
    if (f->stop == FR_OK && !lingers(f)) {
        checkpoints_keep(f->a, f->at);
    }
    if (f->a->report_start && !f->started && f->stop == FR_OK) {
        f->started = true;
        f->since = W.now;
        sim_count(started);
        fr_sched_started(W.s, f->a, world_wall());
    } else if (kills(f)) {
        body_kills(f);
    } else if (lingers(f)) {
        let_go(i);
    } else if (f->a->list != NULL && posts(f)) {
        end_posted(i);
    } else if (f->a->list != NULL) {
        end_chunk(i);
    } else {
        end_single(i);
    }
}
