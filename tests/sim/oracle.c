// What must hold (engine.md, Invariants), judged from outside: by the log, the executions
// and what flow code saw. Every result is a number that occurs once (a nonce), so that
// wherever one turns up -- in arguments, in dependencies, in flow code -- it can be asked
// whether it is on record and on disk.
#include "tests/sim/world.h"

#include <string.h>

enum { MOST_DEATHS = 3, MOST_LOSSES = 3 };

facts *oracle_facts(fr_hash key)
{
    bool first;
    uint64_t *i = fr_map_put(&W.keys, key, &first);
    if (first) {
        if (W.n_facts == W.cap_facts) {
            W.cap_facts = W.cap_facts == 0 ? 64 : W.cap_facts * 2;
            W.facts = fr_realloc(W.facts, W.cap_facts * sizeof *W.facts);
        }
        W.facts[W.n_facts] = (facts){0};
        *i = W.n_facts++;
    }
    return &W.facts[*i];
}

static const fr_record *terminal(const facts *f) // NULL when there is none
{
    return f->last != 0 ? &W.log[f->last - 1].r : NULL;
}

// --- nonces ---

typedef void (*int_fn)(int64_t v, uint64_t arg);

static bool each_int(fr_reader *r, int_fn fn, uint64_t arg)
{
    fr_item item;
    if (!fr_value_next(r, &item)) {
        return false;
    }
    if (item.tag == FR_INT && item.integer >= NONCE_BASE) {
        fn(item.integer, arg);
    }
    if (item.tag != FR_TABLE) {
        return true;
    }
    bool ok = true;
    for (size_t i = 0; ok && i < item.n; i++) {
        ok = each_int(r, fn, arg);
    }
    for (uint64_t left = ok ? 2 * fr_read_varint(r) : 0; ok && left > 0; left--) {
        ok = each_int(r, fn, arg);
    }
    return ok;
}

static void in_value(const fr_value *v, int_fn fn, uint64_t arg)
{
    if (v != NULL) {
        fr_reader r = fr_reader_of(v->bytes, v->size);
        (void)each_int(&r, fn, arg);
    }
}

static fr_hash nonce_key(int64_t v) { return (fr_hash){.lo = (uint64_t)v, .hi = 1}; }

static void is_recorded(int64_t v, uint64_t seq)
{
    bool first;                        // a result used again is on record where it was computed
    uint64_t *at = fr_map_put(&W.nonces, nonce_key(v), &first);
    *at = first ? seq : *at;
}

static void must_be_recorded(int64_t v, uint64_t row)
{
    if (fr_map_find(&W.nonces, nonce_key(v)) == NULL) {
        sim_fail("row %" PRIu64 " starts with a value that is not on record", row);
    }
}

static void must_be_durable(int64_t v, uint64_t row)
{
    const uint64_t *seq = fr_map_find(&W.nonces, nonce_key(v));
    if (seq == NULL || *seq > W.synced) {
        sim_fail("the effect of row %" PRIu64
                 " goes out before what it was made from is durable",
                 row);
    }
}

void oracle_saw(int64_t v)
{
    const uint64_t *seq = fr_map_find(&W.nonces, nonce_key(v));
    if (v >= NONCE_BASE && seq == NULL) {
        sim_fail("the flow saw a result that is not on record");
    } else if (v >= NONCE_BASE && W.strict && *seq > W.synced) {
        sim_fail("durable = strict: the flow saw a result that is not on disk");
    }
}

// --- what the log says ---

// The i-th item of a record (a call has one): ended, made from the arguments it had then.
static void learn_end(size_t place, uint32_t i, uint32_t n, fr_hash key, bool failed)
{
    rec *to = &W.log[place];
    facts *f = oracle_facts(key);
    if (to->args == NULL) {
        to->args = fr_zalloc(n * sizeof *to->args);
    }
    if (fr_hash_is_zero(to->args[i])) {
        to->args[i] = f->args;
    }
    f->made_from = to->args[i];
    f->last = (uint32_t)place + 1;
    f->retries = f->losses = 0;
    f->due = 0;
    f->item_failed = failed;
}

static void learn_part(const fr_record *r, size_t place)
{
    fr_reader at = fr_reader_of(r->data, r->size);
    fr_item_done item;
    for (uint32_t i = 0; fr_item_next(&at, &item); i++) {
        learn_end(place, i, r->items, fr_item_key(r->key, item.args, item.duplicate),
                  (item.flags & FR_ITEM_FAILED) != 0);
        fr_reader v = fr_reader_of(item.value, item.size);
        (void)each_int(&v, is_recorded, r->seq);
    }
}

// A rerun drops every failure named since the rerun before it.
static void learn_rerun(size_t place)
{
    uint64_t before = W.rerun_seq;
    W.rerun_seq = W.log[place].r.seq;
    for (uint32_t i = 0; i < W.n_facts; i++) {
        W.facts[i].retries = W.facts[i].losses = 0;    // attempts are counted anew
        W.facts[i].due = 0;
    }
    for (size_t i = (size_t)before; i < place; i++) {
        const fr_record *r = &W.log[i].r;
        if (r->type != FR_REC_REQUEST || strcmp(r->name, "unhandled") != 0) {
            continue;
        }
        for (size_t at = 0; at + 16 <= r->size; at += 16) {
            oracle_facts(fr_hash_load((const uint8_t *)r->data + at))->dropped =
                W.rerun_seq;
        }
    }
}

static uint64_t *suspect_of(fr_hash call, uint32_t item)
{
    return fr_map_find(&W.suspects, fr_hash_mix(call, (uint64_t)item + 2));
}

// The first death without a signal only makes it suspect; later it ran alone.
static void learn_death(const fr_record *r)
{
    fr_reader at = fr_reader_of(r->data, r->size);
    uint32_t item = fr_read_u32(&at), signal = fr_read_u32(&at);
    bool fresh;
    uint64_t *n = fr_map_put(&W.suspects, fr_hash_mix(r->key, (uint64_t)item + 2), &fresh);
    *n += fresh ? 1 + (uint64_t)(signal != 0) : 1;
}

static void forgive(void)
{
    for (size_t i = 0; i < W.suspects.capacity; i++) {
        W.suspects.slots[i].value = 1;
    }
}

static void learn_retry(const fr_record *r, facts *f)
{
    bool lost = r->reason == FR_BECAUSE_INTERRUPTED;
    f->retries += !lost;
    f->losses += lost;
    f->due = r->due;
    f->delay = r->due - r->ended;
}

void oracle_learn(size_t place)
{
    const fr_record *r = &W.log[place].r;
    outside_learn(r);
    switch (r->type) {
    case FR_REC_TASK:
        learn_end(place, 0, 1, r->key, r->state != FR_SUCCESS);
        in_value(r->result, is_recorded, r->seq);
        break;
    case FR_REC_RETRY:
        learn_retry(r, oracle_facts(r->key));
        break;
    case FR_REC_MAP_PART:
        learn_part(r, place);
        break;
    case FR_REC_REQUEST:
        if (strcmp(r->name, "rerun") == 0) {
            learn_rerun(place);
            forgive();
        } else if (strcmp(r->name, "death") == 0) {
            learn_death(r);
        }
        break;
    case FR_REC_START:
    case FR_REC_VALUE:
    case FR_REC_TIMER:
    case FR_REC_ADDENDUM:
        break;
    }
}

void oracle_relearn(void)
{
    for (uint32_t i = 0; i < W.n_facts; i++) {
        W.facts[i].last = W.facts[i].retries = W.facts[i].losses = 0;
        W.facts[i].due = 0;
        W.facts[i].dropped = 0;
    }
    fr_map_fini(&W.nonces);
    fr_map_init(&W.nonces);
    fr_map_fini(&W.suspects);
    fr_map_init(&W.suspects);
    W.rerun_seq = 0;
    outside_unlearn();
    for (size_t i = 0; i < W.n_log; i++) {
        oracle_learn(i);
    }
}

// --- calls, by row ---

static bool node_of(uint32_t row, uint32_t *node)
{
    fr_node_info info;
    for (; W.rows_known < fr_sched_count(W.s); W.rows_known++) {
        fr_sched_info(W.s, W.rows_known, &info);
        if (info.row != 0) {
            *fr_map_put(&W.rows, (fr_hash){.lo = info.row, .hi = 1}, NULL) = W.rows_known;
        }
    }
    uint64_t *at = fr_map_find(&W.rows, (fr_hash){.lo = row, .hi = 1});
    *node = at != NULL ? (uint32_t)*at : FR_NO_NODE;
    return at != NULL;
}

// Something that the call needs was made anew after `seq`.
static bool needs_newer(uint32_t row, uint64_t seq)
{
    uint32_t node, dep;
    if (!node_of(row, &node)) {
        return false;
    }
    for (uint32_t i = 0; fr_sched_dep(W.s, node, i, &dep); i++) {
        fr_node_info d;
        fr_sched_info(W.s, dep, &d);
        const facts *f = oracle_facts(d.key);
        const fr_record *r = terminal(f);
        bool again = !fr_state_is_final(d.state) || (r != NULL && f->dropped > r->seq);
        if (d.row == 0 || r == NULL || r->seq > seq || again || needs_newer(d.row, r->seq)) {
            return true; // row 0: what fr.spawn started; again: it is being done
        }
    }
    return false;
}

// Rules let calls start behind others that did not succeed; check_rule judges them as a whole.
static bool may_start_behind(const fr_attempt *a, const fr_node_info *d)
{
    bool setup = strcmp(d->name, "sim:setup") == 0;
    return strncmp(a->task + 4, "rule_", 5) == 0 || (world_is(a, "teardown") && !setup);
}

static void check_rule(const fr_attempt *a, uint32_t node)
{
    if (world_is(a, "gated") && a->n_deps > 0 && a->deps[0]->bytes[0] != FR_TRUE) {
        sim_fail("%s (row %u) starts though its condition is false", a->task, a->row);
    }
    if (world_is(a, "teardown")) {
        sim_count(torn_down);
        W.totals.events[EV_torn_down_late] += W.cancelled;
    }
    if (strncmp(a->task + 4, "rule_", 5) != 0) {
        return;
    }
    fr_before b = {0};
    uint32_t dep;
    for (uint32_t i = 0; fr_sched_dep(W.s, node, i, &dep); i++) {
        fr_node_info d;
        fr_sched_info(W.s, dep, &d);
        bool failed = d.state == FR_FAILED || d.state == FR_STOPPED;
        bool upstream = failed && d.reason == FR_BECAUSE_UPSTREAM;
        b.all++;
        b.success += d.state == FR_SUCCESS;
        b.skipped += d.state == FR_SKIPPED;
        b.upstream += upstream;
        b.failed += failed && !upstream;
    }
    sim_count(ran_by_rule);
    if (fr_rule_judge(fr_rule_from_name(a->task + 9), &b) != FR_RULE_RUN) {
        sim_fail("%s (row %u) starts against its rule: of %u before it %u succeeded, %u failed, %u "
                 "upstream, %u were skipped", a->task, a->row, b.all, b.success, b.failed,
                 b.upstream, b.skipped);
    }
}

static void check_needs(const fr_attempt *a)
{
    uint32_t node, dep;
    if (!node_of(a->row, &node)) {
        sim_fail("%s starts as row %u, which no call has", a->task, a->row);
        return;
    }
    for (uint32_t i = 0; fr_sched_dep(W.s, node, i, &dep); i++) {
        fr_node_info d;
        fr_sched_info(W.s, dep, &d);
        const fr_record *r = terminal(oracle_facts(d.key));
        if (may_start_behind(a, &d)) {
            continue;
        }
        if (d.state != FR_SUCCESS ||
            (d.row != 0 && (r == NULL || r->state != FR_SUCCESS))) {
            sim_fail("%s (row %u) starts before %s (row %u), which it needs, is done",
                     a->task, a->row, d.name, d.row);
        } else if (i < a->n_deps && d.row != 0 && r->result != NULL &&
                   r->n_outputs <= 1 && !fr_hash_eq(r->result->hash, a->deps[i]->hash)) {
            sim_fail("%s (row %u) starts with another result of %s than the recorded one",
                     a->task, a->row, d.name);
        }
    }
    check_rule(a, node);
    in_value(a->args, must_be_recorded, a->row);
    in_value(a->list, must_be_recorded, a->row);
    for (uint32_t i = 0; i < a->n_deps; i++) {
        in_value(a->deps[i], must_be_recorded, a->row);
    }
}

// --- starts ---

fr_hash oracle_args(const fr_attempt *a)
{
    fr_hash h = a->args != NULL ? a->args->hash : (fr_hash){.lo = 1, .hi = 1};
    for (uint32_t i = 0; i < a->n_deps; i++) {
        h = fr_hash_pair(h, a->deps[i]->hash);
    }
    return h;
}

// Invariant 1: what is on record does not run again, unless a rerun says why.
static void check_again(const fr_attempt *a, const facts *f, fr_hash args, bool dropped)
{
    const fr_record *old = terminal(f);
    if (old == NULL) {
        return;
    }
    if (old->seq > W.rerun_seq) {
        sim_fail("%s (row %u) starts although its result is recorded", a->task, a->row);
    } else if (dropped) {
        sim_count(again_dropped);
    } else if (!fr_hash_eq(f->made_from, args) || needs_newer(a->row, old->seq)) {
        sim_count(again_changed);
    } else {
        sim_fail("%s (row %u) runs again in a rerun though it did not fail and nothing "
                 "it needs "
                 "has changed",
                 a->task, a->row);
    }
}

static void check_attempt(const fr_attempt *a, facts *f, fr_hash args, bool dropped)
{
    check_again(a, f, args, dropped);
    if (world_sensor(a)) {               // pokes are not counted in the log
        if (f->boot == W.boots && W.now < f->not_before) {
            sim_fail("%s (row %u) is poked again before it is time", a->task, a->row);
        }
        f->args = args;
        return;
    }
    uint32_t most = 1 + world_retries(a);
    bool fallback = a->option != NULL;
    f->runs += !fallback;
    f->lost_now = false;
    if (f->runs > most * (1 + W.reruns) + W.crashes + f->lost_runs) {
        sim_fail("%s (row %u) runs %u times with %u attempts allowed, %u reruns and %u "
                 "crashes",
                 a->task, a->row, f->runs, most, W.reruns, W.crashes);
    }
    if (!fallback && a->attempt != 1 + f->retries) {
        sim_fail(
            "%s (row %u) is started as attempt %u, and %u failed attempts are on record",
            a->task, a->row, a->attempt, f->retries);
    }
    if (a->attempt > most) {
        sim_fail("%s (row %u) is started as attempt %u of %u", a->task, a->row,
                 a->attempt, most);
    }
    if (!fallback && f->boot == W.boots && W.now < f->not_before) {
        sim_fail("%s (row %u) is tried again before its delay is over", a->task, a->row);
    }
    // After a crash only what is left of a delay, but that.
    int64_t left = FR_MIN(f->due - W.boot_wall, f->delay);
    if (!fallback && f->due != 0 && !W.jumped && world_wall() < W.boot_wall + left) {
        sim_fail("%s (row %u) is tried again before what was left of its delay is over", a->task,
                 a->row);
    }
    f->args = args;
    f->plain = a->args != NULL ? a->args->hash : (fr_hash){.lo = 1, .hi = 1};
}

// Whether it may have taken a process down (ENGINE.md D4); 1 + deaths that count, 0 = no.
static uint64_t suspicion(const fr_attempt *a)
{
    uint64_t most = 0;
    for (uint32_t k = a->first; a->list != NULL && k < a->first + a->count; k++) {
        uint64_t *n = suspect_of(a->key, a->indexes != NULL ? a->indexes[k] : k);
        most = n != NULL ? FR_MAX(most, *n) : most;
    }
    uint64_t *n = a->list == NULL ? suspect_of(a->key, FR_NO_NODE) : NULL;
    return n != NULL ? *n : most;
}

static void check_alone(const fr_attempt *a)
{
    if (W.suspects.count == 0) {
        return;
    }
    uint64_t suspect = suspicion(a);
    W.totals.events[EV_io_start_alone] += suspect > 0;
    if (suspect > 0 && (W.n_fly > 0 || (a->list != NULL && a->count > 1))) {
        sim_fail("%s (row %u) may have taken a process down and does not run alone", a->task,
                 a->row);
    }
    if (suspect > MOST_DEATHS) {
        sim_fail("%s (row %u) starts though it took the process down %" PRIu64 " times", a->task,
                 a->row, suspect - 1);
    }
    for (uint32_t i = 0; i < W.n_fly; i++) {
        if (suspicion(W.fly[i].a) > 0) {
            sim_fail("%s (row %u) starts beside one that may take the process down", a->task, a->row);
        }
    }
}

// Equal calls compute once: one at a time.
static void check_equal(const fr_attempt *a, fr_hash args)
{
    for (uint32_t i = 0; i < W.n_fly && world_is(a, "shared"); i++) {
        const fr_attempt *b = W.fly[i].a;
        if (world_is(b, "shared") && fr_hash_eq(oracle_args(b), args)) {
            sim_fail("row %u computes what row %u computes just now", a->row, b->row);
        }
    }
}

void oracle_start(const fr_attempt *a)
{
    if (!world_hook(a)) {              // a hook is given what is there
        check_needs(a);
    }
    check_alone(a);
    checkpoints_start(a);
    fr_hash args = oracle_args(a);
    check_equal(a, args);
    facts *map = oracle_facts(a->key);
    uint64_t dropped = map->dropped;
    if (a->list == NULL) {
        check_attempt(a, map, args,
                      map->dropped > 0 && map->last != 0 &&
                          terminal(map)->seq < map->dropped);
        return;
    }
    for (uint32_t k = a->first; k < a->first + a->count; k++) {
        uint32_t i = a->indexes != NULL ? a->indexes[k] : k;
        uint32_t dup = a->duplicates != NULL ? a->duplicates[i] : 0;
        facts *f = oracle_facts(fr_item_key(a->key, a->item_args[i], dup));
        check_attempt(a, f, fr_hash_pair(args, a->item_args[i]),
                      dropped > 0 && f->last != 0 && f->item_failed &&
                          terminal(f)->seq < dropped);
    }
}

// Invariant 8 and engine.md D5: the world never sees an effect of a past that can be
// lost.
void oracle_goes_out(const fr_attempt *a)
{
    facts *f = oracle_facts(a->key);
    fr_hash args = oracle_args(a);
    if (W.synced < a->need) {
        sim_fail("the effect of %s (row %u) goes out before record %" PRIu64
                 " is durable",
                 a->task, a->row, a->need);
    }
    in_value(a->args, must_be_durable, a->row);
    for (uint32_t i = 0; i < a->n_deps; i++) {
        in_value(a->deps[i], must_be_durable, a->row);
    }
    if (f->went_out && f->out_epoch == W.reruns && !fr_hash_eq(f->out_args, args) &&
        W.change == 0) {
        sim_fail("the effect of %s (row %u) goes out again with other arguments", a->task,
                 a->row);
    }
    f->went_out = true;
    f->out_args = args;
    f->out_epoch = W.reruns;
}

void oracle_cancel(const fr_attempt *a, const flying *f, int code)
{
    if (f == NULL) {
        sim_fail("cancel of %s (row %u), which does not run", a->task, a->row);
        return;
    }
    bool hurried = world_is(a, "hurried") || world_is(a, "hurried_backed");
    if (hurried && code == FR_ETIMEOUT && !f->started) {
        sim_count(queue_over);
        return;
    }
    int64_t limit = (world_is(a, "slow_item") ? 30 : 20) * INT64_C(1000000000);
    bool has_limit = world_is(a, "slow_item") || world_is(a, "timed");
    bool due = has_limit && f->started && W.now >= f->since + limit;
    due = due || world_sensor(a);        // the wait's own, which no execution knows
    due = due || W.stops || strncmp(a->task, "sim:dated", 9) == 0;
    if (code == FR_ETIMEOUT && !W.cancelled && !due) {
        sim_fail("%s (row %u) is stopped by a timeout that is not its own", a->task,
                 a->row);
    }
}

// --- records ---

static bool in_flight(fr_hash key)
{
    for (uint32_t i = 0; i < W.n_fly; i++) {
        if (fr_hash_eq(W.fly[i].a->key, key)) {
            return true;
        }
    }
    return false;
}

// Inside a group that is being stopped nothing is tried again, not even what tears down.
static bool is_stopping(uint32_t row)
{
    uint32_t node;
    fr_node_info n;
    if (!node_of(row, &node)) {
        return false;
    }
    fr_sched_info(W.s, node, &n);
    return fr_sched_cancelled(W.s, n.branch) != FR_OK;
}

// A result and the messages of its body are one record.
static void check_messages(const fr_record *r)
{
    bool item = r->kind == FR_CALL_ITEM && strcmp(r->name, "sim:posted_item") == 0;
    bool left = item || (r->kind == FR_CALL_TASK && strcmp(r->name, "sim:posted") == 0);
    bool ran = left && r->state == FR_SUCCESS && r->reason == FR_BECAUSE_RAN;
    char text[32] = "";
    if (ran) {
        fr_reader at = fr_reader_of(r->result->bytes, r->result->size);
        fr_item v;
        (void)fr_value_next(&at, &v);
        (void)snprintf(text, sizeof text, "%" PRId64, v.integer);
        W.totals.events[item ? EV_posted_item : EV_posted]++;
    }
    if (strlen(text) != r->size || (r->size > 0 && memcmp(text, r->data, r->size) != 0)) {
        sim_fail("%s (row %u) is recorded with %zu bytes of messages, not with '%s'", r->name,
                 r->row, r->size, text);
    }
}

static void check_end(const fr_record *r, const facts *f)
{
    const fr_record *old = terminal(f);
    bool row_of_part =
        r->kind == FR_CALL_ITEM && old != NULL && old->type == FR_REC_MAP_PART;
    if (old != NULL && old->seq > W.rerun_seq && !row_of_part) {
        sim_fail("%s (row %u) is recorded twice", r->name, r->row);
    } else if (old != NULL && old->seq < W.rerun_seq && r->kind != FR_CALL_ITEM &&
               f->dropped <= old->seq && // what was taken back is done again
               r->kind != FR_CALL_GROUP && old->state == FR_SUCCESS && fr_hash_eq(old->args, r->args) &&
               !needs_newer(r->row, old->seq)) {
        sim_fail("%s (row %u) had succeeded; a rerun records it again", r->name, r->row);
    }
    if (r->state == FR_STOPPED && r->kind <= FR_CALL_MAP && in_flight(r->key)) {
        sim_fail("%s (row %u) is recorded as stopped while it still runs", r->name,
                 r->row);
    }
    if (r->reason == FR_BECAUSE_QUARANTINED && r->kind == FR_CALL_TASK) {
        const uint64_t *deaths = suspect_of(r->key, FR_NO_NODE);
        if (deaths == NULL || *deaths <= MOST_DEATHS) {
            sim_fail("%s (row %u) is quarantined without cause", r->name, r->row);
        }
    }
    W.stops = W.stops || r->reason == FR_BECAUSE_FAIL_FAST || r->reason == FR_BECAUSE_DEADLINE;
    if (r->reason == FR_BECAUSE_CRASHED && f->losses < MOST_LOSSES && !W.cancelled &&
        r->kind == FR_CALL_TASK && !is_stopping(r->row)) {
        sim_fail("%s (row %u) fails after %u lost attempts", r->name, r->row, f->losses);
    }
    if (!fr_state_is_final(r->state)) {
        sim_fail("%s ends in state %s", r->name, fr_state_name(r->state));
    }
    if (r->kind == FR_CALL_SLEEP && r->state == FR_SUCCESS && f->boot == W.boots &&
        W.now < f->not_before) {
        sim_fail("a sleep ends before its time");
    }
}

static void check_part(const fr_record *r)
{
    fr_reader at = fr_reader_of(r->data, r->size);
    fr_item_done item;
    uint32_t n = 0;
    for (; fr_item_next(&at, &item); n++) {
        const facts *f = oracle_facts(fr_item_key(r->key, item.args, item.duplicate));
        if (f->last != 0 && terminal(f)->seq > W.rerun_seq) {
            sim_fail("item %u of %s (row %u) is recorded twice", item.index, r->name,
                     r->row);
        }
    }
    if (n != r->items || at.failed) {
        sim_fail("a part of %s says %u items and holds %u", r->name, r->items, n);
    }
}

// A lost attempt counts against a budget of its own.
static void check_retry(const fr_record *r, const facts *f)
{
    bool lost = r->reason == FR_BECAUSE_INTERRUPTED;
    if (lost != f->lost_now) {
        sim_fail("%s (row %u) is tried again as %s", r->name, r->row,
                 lost ? "lost, and was not" : "failed, and was lost with its process");
    } else if (r->attempt != f->retries + (lost ? 0 : 1)) {
        sim_fail("attempt %u of %s is recorded as failed after %u others", r->attempt, r->name,
                 f->retries);
    } else if (lost && f->losses >= MOST_LOSSES) {
        sim_fail("%s (row %u) is tried again after %u losses", r->name, r->row, f->losses);
    }
}

void oracle_append(const fr_record *r)
{
    if (r->seq != W.n_log + 1) {
        sim_fail("record %" PRIu64 " is written at place %zu", r->seq, W.n_log + 1);
    }
    if (r->type == FR_REC_REQUEST) {
        return; // it belongs to no call
    }
    facts *f = oracle_facts(r->key);
    switch (r->type) {
    case FR_REC_TASK:
        check_end(r, f);
        check_messages(r);
        break;
    case FR_REC_MAP_PART:
        check_part(r);
        break;
    case FR_REC_RETRY:
        check_retry(r, f);             // the clock may have been set since the attempt ended
        f->not_before = W.now + FR_MIN(r->due - world_wall(), r->due - r->ended);
        f->boot = W.boots;
        break;
    case FR_REC_TIMER:
        if (r->reason == FR_BECAUSE_DEADLINE) {
            break;
        }
        W.stops = W.stops || world_stops(r);
        if (r->reason == FR_BECAUSE_RETRY && f->boot == W.boots && W.now < f->not_before) {
            sim_fail("%s (row %u) begins again before its delay is over", r->name, r->row);
        }
        if (r->kind == FR_CALL_SLEEP) {
            f->not_before = W.now + r->due - world_wall();
            f->boot = W.boots;
        }
        break;
    case FR_REC_START:
    case FR_REC_VALUE:
    case FR_REC_REQUEST:
    case FR_REC_ADDENDUM:
        break;
    }
}

void oracle_end(void)
{
    if (W.n_fly > 0) {
        sim_fail("the run ended while %u executions are under way", W.n_fly);
    }
    limits_end();
    for (size_t i = 0; i < W.keys.capacity; i++) {
        const fr_map_slot *slot = &W.keys.slots[i];
        if (fr_hash_is_zero(slot->key)) {
            continue;
        }
        const facts *f = &W.facts[slot->value];
        if (f->went_out && f->out_epoch == W.reruns && f->last == 0 && !W.cancelled && !W.stops &&
            W.change == 0) {
            sim_fail("an effect went out that the log does not know");
        }
    }
}
