// Waits of the engine: sleeps, what arrives from outside, pokes. They hold nothing while they
// are DEFERRED, and their ends are observations like any other.
//
// A signal or a decision is recorded when it arrives and taken by a wait later, so that one
// that comes early or to a dead process is not lost. Which wait took which is not recorded:
// each record of an end that an arrival caused takes the oldest one that fits, in log order.
#include "core/engine/sched_int.h"

#include <stdio.h>
#include <string.h>

// A time of day is looked at again so often: somebody may set the clock.
static const int64_t LOOK_AGAIN_NS = INT64_C(60000000000);
static const int64_t TELL_NS = 1000000000;     // pokes are shown at most so often

void sched_wait_copy(node *n, const fr_wait *w)
{
    if (w != NULL) {
        n->wait = fr_zalloc(sizeof *n->wait);
        n->wait->spec = *w;
        n->wait->spec.late = w->late != NULL ? fr_value_ref(w->late) : NULL;
        n->wait->spec.late_code = w->late_code != NULL ? fr_strdup(w->late_code) : NULL;
    }
}

void sched_wait_free(wait_state *w)
{
    if (w != NULL) {
        fr_value_unref(w->spec.late);
        fr_free((void *)(uintptr_t)w->spec.late_code);
        fr_free(w);
    }
}

static wait_line *line_of(fr_sched *s, uint32_t task)
{
    task_name *t = &s->tasks[task];
    if (t->line == NULL) {
        t->line = fr_zalloc(sizeof *t->line);
    }
    return t->line;
}

void sched_line_free(wait_line *l)
{
    if (l == NULL) {
        return;
    }
    for (size_t i = l->first; i < l->n_came; i++) {
        fr_value_unref(l->came[i].value);
    }
    fr_free(l->came);
    fr_free(l->waiting.data);
    fr_free(l);
}

// --- what arrived ---

static void put_arrival(wait_line *l, const fr_arrival *a)
{
    if (l->n_came == l->cap_came) {
        l->cap_came = l->cap_came == 0 ? 4 : l->cap_came * 2;
        l->came = fr_realloc(l->came, l->cap_came * sizeof *l->came);
    }
    fr_value *v = a->value != NULL ? fr_value_ref(a->value) : fr_value_nil();
    l->came[l->n_came++] = (arrival){.key = a->key, .value = v, .rejects = a->rejects};
}

// The oldest that is meant for this wait; the caller gets its value.
static fr_value *take_arrival(wait_line *l, fr_hash key, bool *rejects)
{
    for (size_t i = l->first; i < l->n_came; i++) {
        arrival *a = &l->came[SEEDED(BUG_NEWEST_FIRST) ? l->n_came - 1 - (i - l->first) : i];
        bool fits = fr_hash_is_zero(a->key) || fr_hash_eq(a->key, key) ||
                    SEEDED(BUG_ANY_DECISION);
        if (a->value == NULL || !fits) {
            continue;
        }
        fr_value *v = a->value;
        *rejects = a->rejects;
        a->value = NULL;
        while (l->first < l->n_came && l->came[l->first].value == NULL) {
            l->first++;
        }
        return v;
    }
    return NULL;
}

void sched_load_arrival(fr_sched *s, const fr_record *r)
{
    fr_arrival a = {.name = r->label, .key = r->key, .value = r->result,
                    .rejects = r->state == FR_FAILED};
    if (a.name != NULL) {
        put_arrival(line_of(s, fr_sched_task(s, a.name)), &a);
    }
}

void sched_load_taken(fr_sched *s, const fr_record *r)
{
    bool by_arrival = r->reason == FR_BECAUSE_SIGNAL || r->reason == FR_BECAUSE_HUMAN;
    if (by_arrival && !SEEDED(BUG_TAKEN_AGAIN)) {
        bool rejects;
        fr_value_unref(take_arrival(line_of(s, fr_sched_task(s, r->name)), r->key, &rejects));
    }
}

// A packed string of a table, as a C text.
static void text_field(const fr_value *v, const char *key, char *out, size_t size)
{
    fr_item item;
    bool is = sched_field(v, key, &item) && item.tag == FR_STRING;
    (void)snprintf(out, size, "%.*s", is ? (int)FR_MIN(item.n, size) : 0, is ? item.text : "");
}

static fr_value *rejection(const fr_sched *s, const node *n, const fr_value *decision)
{
    char by[100], comment[400];
    text_field(decision, "by", by, sizeof by);
    text_field(decision, "comment", comment, sizeof comment);
    return sched_error("rejected", "%s was rejected%s%s%s%s", s->tasks[n->task].name,
                       by[0] != '\0' ? " by " : "", by, comment[0] != '\0' ? ": " : "", comment);
}

// Ends the wait with what came for it; false when nothing did.
static bool match(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    bool rejects = false;
    fr_value *v = take_arrival(line_of(s, n->task), n->key, &rejects);
    if (v == NULL) {
        return false;
    }
    fr_reason why = n->wait->spec.human ? FR_BECAUSE_HUMAN : FR_BECAUSE_SIGNAL;
    if (rejects) {
        fr_value *error = rejection(s, n, v);
        fr_value_unref(v);
        sched_finish(s, id, FR_FAILED, why, NULL, error);
    } else {
        sched_finish(s, id, FR_SUCCESS, why, v, NULL);
    }
    return true;
}

static bool waits(const node *n)
{
    return n->kind == FR_CALL_SIGNAL && n->state == FR_DEFERRED;
}

void fr_sched_arrival(fr_sched *s, const fr_arrival *a)
{
    if (sched_stopping_run(s)) {
        return;                                // its row is taken with the end of the run
    }
    fr_record r = {.type = FR_REC_REQUEST, .name = "arrival", .label = a->name, .key = a->key,
                   .row = a->id, .result = a->value, .ended = s->wall,
                   .state = a->rejects ? FR_FAILED : FR_SUCCESS, .data = a->by,
                   .size = a->by != NULL ? strlen(a->by) : 0};
    sched_record(s, &r);
    wait_line *l = line_of(s, fr_sched_task(s, a->name));
    put_arrival(l, a);
    while (!queue32_empty(&l->waiting)) {      // those that ended meanwhile go
        uint32_t oldest = l->waiting.data[l->waiting.head & (l->waiting.capacity - 1)];
        if (waits(node_at(s, oldest))) {
            break;
        }
        (void)queue32_pop(&l->waiting, &oldest);
    }
    for (size_t i = l->waiting.head; i < l->waiting.tail; i++) {
        uint32_t id = l->waiting.data[i & (l->waiting.capacity - 1)];
        if (waits(node_at(s, id)) && match(s, id)) {
            return;
        }
    }
    if (SEEDED(BUG_EARLY_LOST)) {
        bool rejects;
        fr_value_unref(take_arrival(l, a->key, &rejects));
    }
}

// --- waiting ---

// The wall time until which it waits is recorded once; what is left of it after a crash.
static int64_t left_of(fr_sched *s, node *n, int64_t longest)
{
    if (n->due == 0) {
        n->due = s->wall + longest;
        fr_record r;
        sched_record_of(s, n, &r);
        r.type = FR_REC_TIMER;
        sched_record(s, &r);
    }
    // The wall clock may have jumped: never wait longer than was asked for.
    return FR_MIN(FR_MAX(n->due - s->wall, 0), longest);
}

// Advice for people who ask what waits; the row goes when the wait ends.
static void tell(fr_sched *s, const node *n, const fr_value *details)
{
    fr_record r;
    sched_record_of(s, n, &r);
    r.type = FR_REC_START;
    r.result = details;
    s->io.append(s->io.ctx, &r);
}

static void start_sleep(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    int64_t at = n->wait != NULL ? n->wait->spec.at_ns : 0;
    int64_t left = at != 0 ? FR_MIN(FR_MAX(at - s->wall, 0), LOOK_AGAIN_NS)
                           : left_of(s, n, n->sleep_ns);
    sched_move(s, n, FR_DEFERRED, FR_BECAUSE_TIMER);
    tell(s, n, n->argv);
    sched_timer_add(s, TIMER_WAIT, s->mono + left, id, 0, 0);
}

void sched_wait_start(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    if (n->kind == FR_CALL_SLEEP) {
        start_sleep(s, id);
        return;
    }
    int64_t timeout = n->wait->spec.timeout_ns, left = 0;
    if (timeout >= 0) {
        left = left_of(s, n, timeout);
        sched_timer_add(s, TIMER_WAIT, s->mono + left, id, 0, 0);
    }
    if (n->kind == FR_CALL_POKE) {
        return;                                // the first one follows at once
    }
    sched_move(s, n, FR_DEFERRED, n->wait->spec.human ? FR_BECAUSE_HUMAN : FR_BECAUSE_SIGNAL);
    if (!match(s, id)) {
        tell(s, n, n->argv);
        queue32_push(&line_of(s, n->task)->waiting, id);
    }
}

static void finish_late(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    const fr_wait *w = &n->wait->spec;
    if (w->late != NULL) {
        sched_finish(s, id, FR_SUCCESS, FR_BECAUSE_TIMEOUT, fr_value_ref(w->late), NULL);
        return;
    }
    bool rejected = w->late_code != NULL && strcmp(w->late_code, "rejected") == 0;
    const char *name = s->tasks[n->task].name;
    double after = (double)w->timeout_ns / 1e9;
    fr_value *error =
        rejected ? sched_error("rejected", "%s was not approved within %g s", name, after)
        : n->kind == FR_CALL_POKE
            ? sched_error("timeout", "%s said nothing within %g s (%u pokes)", name, after,
                          n->attempt)
            : sched_error("timeout", "%s did not arrive within %g s", name, after);
    sched_finish(s, id, FR_FAILED, FR_BECAUSE_TIMEOUT, NULL, error);
}

void sched_wait_due(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    if (node_final(n)) {
        return;
    }
    if (n->kind == FR_CALL_SLEEP) {
        int64_t more = n->wait != NULL ? n->wait->spec.at_ns - s->wall : 0;
        if (more > 0) {
            int64_t left = FR_MIN(more, LOOK_AGAIN_NS);
            sched_timer_add(s, TIMER_WAIT, s->mono + left, id, 0, 0);
        } else {
            sched_finish(s, id, FR_SUCCESS, FR_BECAUSE_TIMER, fr_value_nil(), NULL);
        }
    } else if (n->slot == FR_NO_NODE) {
        finish_late(s, id);
    } else {                                   // a poke runs: its end ends the call
        n->wait->over = true;
        if (n->state == FR_RUNNING) {
            sched_move(s, n, FR_CANCELLING, FR_BECAUSE_TIMEOUT);
        }
        sched_cancel_attempt(s, sched_slot(s, n->slot), FR_ETIMEOUT);
    }
}

// --- pokes ---

// The count survives a crash to the last power of two: few records, however long it waits.
static void record_poke(fr_sched *s, node *n)
{
    bool power = (n->attempt & (n->attempt - 1)) == 0;
    if (power || n->wait->failures != n->wait->recorded) {
        n->wait->recorded = n->wait->failures;
        fr_record r;
        sched_record_of(s, n, &r);
        r.type = FR_REC_TIMER;
        r.failed_items = n->wait->failures;
        sched_record(s, &r);
    }
}

static void poke_later(fr_sched *s, uint32_t id, int64_t delay)
{
    node *n = node_at(s, id);
    if (n->state == FR_CANCELLING) {
        n->state = FR_RUNNING;                 // that poke's time was up, not the call's
    }
    n->timed_out = false;
    n->ended = 0;
    if (n->state == FR_QUEUED) {               // it ended before it was seen to start
        sched_move(s, n, FR_RUNNING, FR_BECAUSE_FIRST);
    }
    sched_move(s, n, FR_DEFERRED, FR_BECAUSE_POKE);
    record_poke(s, n);
    delay = SEEDED(BUG_POKE_AT_ONCE) ? 0 : delay;
    if (n->wait->told == 0 || s->wall - n->wait->told >= TELL_NS || s->wall < n->wait->told) {
        n->wait->told = s->wall;
        fr_value *next = fr_value_int(s->wall + delay);
        tell(s, n, next);
        fr_value_unref(next);
    }
    sched_timer_add(s, TIMER_POKE, s->mono + delay, id, n->attempt + n->lost, 0);
}

static bool says_nothing(const fr_done *d)
{
    uint8_t tag = d->result != NULL && d->result->size > 0 ? d->result->bytes[0] : FR_NIL;
    return d->code == FR_OK && (tag == FR_NIL || tag == FR_FALSE);
}

// Nobody waits any more for what it or its question says: the run stops, or its time is over.
static bool poke_ends(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    if (sched_stopping(s, n)) {
        sched_finish(s, id, FR_STOPPED, FR_BECAUSE_CANCELLED, NULL,
                     sched_error("cancelled", "the run was cancelled"));
        return true;
    }
    if (n->wait->over) {
        finish_late(s, id);
        return true;
    }
    return false;
}

static void poke_failed(fr_sched *s, uint32_t id, bool lost, int64_t delay)
{
    node *n = node_at(s, id);
    n->lost += lost;
    n->wait->failures += !lost;
    s->stats.retries++;
    if (delay < 0) {
        delay = fr_retry_delay(&n->opts->retry, n->wait->failures, s->env.seed, n->key);
    }
    poke_later(s, id, delay);
}

void sched_poke_again(fr_sched *s, uint32_t id, int64_t delay)
{
    poke_failed(s, id, false, delay);
}

bool sched_poke_unasked(fr_sched *s, uint32_t id)
{
    return node_at(s, id)->kind == FR_CALL_POKE && poke_ends(s, id);
}

bool sched_poke_done(fr_sched *s, uint32_t id, const fr_done *d)
{
    node *n = node_at(s, id);
    wait_state *w = n->wait;
    if (d->code == FR_OK && !says_nothing(d)) {
        return false;
    }
    s->outbox = NULL;                          // only what it says leaves messages
    if (sched_stopping(s, n) && d->code != FR_OK) {
        return false;
    }
    if (poke_ends(s, id)) {
        return true;
    }
    if (d->code == FR_OK) {
        w->failures = 0;
        poke_later(s, id, fr_retry_delay(&w->spec.every, n->attempt, s->env.seed, n->key));
        return true;
    }
    bool lost;
    int code = n->timed_out ? FR_ETIMEOUT : d->code;
    if (!sched_may_retry(s, n, w->failures + 1, n->lost, d->error, code, &lost)) {
        return false;
    }
    if (!lost && sched_ask_first(s, id, w->failures + 1, d->error)) {
        n->timed_out = false;
        return true;
    }
    poke_failed(s, id, lost, -1);
    return true;
}

void sched_poke_due(fr_sched *s, const timer_entry *e)
{
    node *n = node_at(s, e->node);
    if (n->state == FR_DEFERRED && n->attempt + n->lost == e->fence) {
        n->queued = s->wall;
        sched_move(s, n, FR_SCHEDULED, FR_BECAUSE_TIMER);
        sched_dispatch(s, e->node);
    }
}
