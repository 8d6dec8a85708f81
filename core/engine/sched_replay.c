// Replay: the recorded past by key, and the cursor that hands it over in log order.
//
// A call whose key has a terminal record takes its result at once (it has *arrived*), but the
// flow *sees* it only when the cursor reaches its place in the log, as it did the first time.
#include "core/engine/sched_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MOST_ROWS = 1 << 28 };          // calls of one run that are found by row

past *sched_past_of_row(const fr_sched *s, uint32_t row)
{
    uint32_t i = row < s->cap_rows ? s->past_rows[row] : 0;
    return i != 0 ? past_at(s, i - 1) : NULL;
}

// Calls are made in the order in which they got their rows, save where a crash or a race
// changed it. So the keys of calls need an index only when an unexpected one is asked for.
static void index_calls(fr_sched *s)
{
    for (uint32_t i = 0; i < s->pasts.n; i++) {
        past *p = past_at(s, i);
        if (!p->indexed) {
            p->indexed = true;
            *fr_map_put(&s->past_index, p->key, NULL) = i;
        }
    }
    s->n_unindexed = 0;
}

past *sched_past_other(const fr_sched *s, fr_hash key)
{
    uint64_t *i = fr_map_find(&s->past_index, key);
    return i != NULL ? past_at(s, (uint32_t)*i) : NULL;
}

past *sched_past(fr_sched *s, fr_hash key)
{
    past *p = sched_past_of_row(s, s->next_past);
    if (p != NULL && fr_hash_eq(p->key, key)) {
        return p;
    }
    if (s->n_unindexed > 0) {
        index_calls(s);
    }
    return sched_past_other(s, key);
}

static uint32_t new_past(fr_sched *s, fr_hash key, bool indexed)
{
    past *p = fr_grow_add(&s->pasts, sizeof *p);
    *p = (past){.key = key, .node = FR_NO_NODE, .indexed = indexed};
    return s->pasts.n - 1;
}

static uint32_t past_of_key(fr_sched *s, fr_hash key)
{
    bool fresh;
    uint64_t *i = fr_map_put(&s->past_index, key, &fresh);
    if (fresh) {
        *i = new_past(s, key, true);
    }
    return (uint32_t)*i;
}

// A call keeps its row over resumes; what else has a key (values, items) does not.
static uint32_t past_of(fr_sched *s, const fr_record *r)
{
    bool item = r->kind == FR_CALL_ITEM || (r->kind == FR_CALL_MAP && r->type == FR_REC_RETRY);
    if (item || r->type == FR_REC_VALUE || r->row == 0 || r->row >= MOST_ROWS) {
        return past_of_key(s, r->key);
    }
    if (r->row >= s->cap_rows) {
        uint32_t cap = FR_MAX(r->row + 1, s->cap_rows * 2 + 64);
        s->past_rows = fr_realloc(s->past_rows, cap * sizeof *s->past_rows);
        memset(s->past_rows + s->cap_rows, 0, (cap - s->cap_rows) * sizeof *s->past_rows);
        s->cap_rows = cap;
    }
    if (s->past_rows[r->row] == 0) {
        s->past_rows[r->row] = new_past(s, r->key, false) + 1;
        s->n_unindexed++;
    }
    uint32_t i = s->past_rows[r->row] - 1;
    return fr_hash_eq(past_at(s, i)->key, r->key) ? i : past_of_key(s, r->key);
}

past_items *sched_items_of(past *p)
{
    if (p->items == NULL) {
        p->items = fr_zalloc(sizeof *p->items);
        fr_buf_init(&p->items->data, SIZE_MAX / 2);
    }
    return p->items;
}

static void set_order(fr_sched *s, uint64_t seq, uint32_t entry)
{
    if (seq >= s->cap_order) {
        uint64_t cap = FR_MAX(seq + 1, s->cap_order * 2 + 64);
        s->order = fr_realloc(s->order, cap * sizeof *s->order);
        memset(s->order + s->cap_order, 0, (cap - s->cap_order) * sizeof *s->order);
        s->cap_order = cap;
    }
    s->order[seq] = entry;
    s->n_order = FR_MAX(s->n_order, seq);
}

// A rerun counts lost attempts anew.
static void enter_epoch(const fr_sched *s, past *p)
{
    p->lost = p->epoch != s->reruns ? 0 : p->lost;
    p->epoch = s->reruns;
}

static void load_end(fr_sched *s, uint32_t i, const fr_record *r)
{
    past *p = past_at(s, i);
    enter_epoch(s, p);
    fr_value_unref(p->result);
    fr_value_unref(p->error);
    p->kind = (uint8_t)r->kind;
    p->state = (uint8_t)r->state;
    p->reason = (uint8_t)r->reason;
    p->args = r->args;
    p->row = r->row;
    p->parent = r->parent;
    p->attempt = r->attempt;
    p->name = fr_sched_task(s, r->name);
    p->queued = r->queued;
    p->started = r->started;
    p->ended = r->ended;
    p->seq = r->seq;
    p->made = sched_redo_load(r);
    p->result = r->result != NULL ? fr_value_ref(r->result) : NULL;
    p->error = r->error != NULL ? fr_value_ref(r->error) : NULL;
    if (r->kind == FR_CALL_MAP) {
        sched_items_of(p)->n = r->items;
        p->items->ended = s->rerun_seq;
        p->items->failed = r->failed_items;
    }
    if (r->kind == FR_CALL_SIGNAL) {
        sched_load_taken(s, r);
    }
    if (r->kind != FR_CALL_ITEM) {
        set_order(s, r->seq, i + 1);
    } else if (sched_items_load_object(s, r)) {
        set_order(s, r->seq, s->past_rows[r->parent] | PART_MARK);
    }
}

static void load_request(fr_sched *s, const fr_record *r)
{
    bool timeout = strcmp(r->name, "timeout") == 0;
    if (timeout || strcmp(r->name, "cancel") == 0) {
        s->past_cancel = r->seq;
        s->past_cancel_code = timeout ? FR_ETIMEOUT : FR_ECANCELLED;
        set_order(s, r->seq, CANCEL_MARK);
    } else if (strcmp(r->name, "unhandled") == 0) {
        uint32_t n = (uint32_t)(r->size / 16);
        s->unhandled = fr_realloc(s->unhandled, (s->n_unhandled + n + 1) * sizeof(fr_hash));
        for (const uint8_t *at = r->data; n > 0; n--, at += 16) {
            s->unhandled[s->n_unhandled++] = fr_hash_load(at);
        }
    } else if (strcmp(r->name, "death") == 0) {
        sched_load_death(s, r);
    } else if (strcmp(r->name, "arrival") == 0) {
        sched_load_arrival(s, r);
    } else {
        (void)sched_load_rerun(s, r);
    }
}

static void keep_value(past *p, const fr_value *v)
{
    p->value_only = true;
    fr_value_unref(p->result);
    p->result = v != NULL ? fr_value_ref(v) : fr_value_nil();
}

past *sched_past_kept(fr_sched *s, fr_hash key, const fr_value *v)
{
    past *p = past_at(s, past_of_key(s, key));
    keep_value(p, v);
    return p;
}

enum { MOST_WHY = 4096 };

static void keep_why(past *p, uint32_t attempt, const fr_value *error)
{
    if (attempt == 0 || attempt > MOST_WHY || error == NULL) {
        return;
    }
    if (attempt > p->n_why) {
        p->why = fr_realloc(p->why, attempt * sizeof(fr_value *));
        memset(p->why + p->n_why, 0, (attempt - p->n_why) * sizeof(fr_value *));
        p->n_why = attempt;
    }
    fr_value_unref(p->why[attempt - 1]);
    p->why[attempt - 1] = fr_value_ref(error);
}

const fr_value *sched_past_why(fr_sched *s, const node *n, uint32_t attempt)
{
    const past *p = n->known ? sched_past(s, n->key) : NULL;
    return p != NULL && attempt > 0 && attempt <= p->n_why ? p->why[attempt - 1] : NULL;
}

// Of a subflow or group: an attempt began, or its time was over; both are observations.
static void load_mark(fr_sched *s, uint32_t i, const fr_record *r)
{
    past *p = past_at(s, i);
    if (r->kind != FR_CALL_FLOW && r->kind != FR_CALL_GROUP) {
        return;
    }
    if (r->reason == FR_BECAUSE_TIMEOUT) {
        p->stop_attempt = r->attempt;
        p->stops |= UINT64_C(1) << (r->attempt & 63);
        set_order(s, r->seq, (i + 1) | STOP_MARK);
        return;
    }
    p->begun++;
    p->queued = r->queued;
    if (p->begun > 1) {
        set_order(s, r->seq, (i + 1) | BEGIN_MARK);
    }
}

static void load_timer(fr_sched *s, uint32_t i, const fr_record *r)
{
    past *p = past_at(s, i);
    p->row = r->row;
    if (r->reason == FR_BECAUSE_DEADLINE) {
        p->deadline = r->due;
        return;
    }
    p->kind = (uint8_t)r->kind;
    load_mark(s, i, r);
    if (p->begun > 1) {
        return;
    }
    p->due = r->due;
    p->parent = r->parent;
    if (r->kind == FR_CALL_MAP) {
        p->queued = r->queued;
        p->began = true;
        sched_items_of(p)->opened = s->rerun_seq;
    }
    if (r->kind == FR_CALL_POKE) {
        p->attempt = r->attempt;
        p->delay = r->failed_items;
    }
}

int fr_sched_load(fr_sched *s, const fr_record *r, fr_err *err)
{
    if (r->type == FR_REC_START) {
        return FR_OK;
    }
    if (r->seq != s->seq + 1) {
        return fr_fail(err, FR_ECORRUPT, "the log of the run lacks record %llu (found %llu)",
                       (unsigned long long)s->seq + 1, (unsigned long long)r->seq);
    }
    s->seq = s->durable = r->seq;
    if (r->type == FR_REC_REQUEST) {           // its row is that of a request, not of a call
        load_request(s, r);
        return FR_OK;
    }
    s->next_row = FR_MAX(s->next_row, r->row + 1);
    if (r->type == FR_REC_ADDENDUM) {
        return FR_OK;
    }
    if (r->type == FR_REC_MAP_PART) {          // named by the row that the map's TIMER gave
        past *map = sched_past_of_row(s, r->row);
        if (map == NULL || !map->began) {
            return fr_fail(err, FR_ECORRUPT, "record %llu has items of an unknown map (row %u)",
                           (unsigned long long)r->seq, r->row);
        }
        sched_items_load(s, map, r->data, r->size, r->seq);
        set_order(s, r->seq, s->past_rows[r->row] | PART_MARK);
        return FR_OK;
    }
    uint32_t i = past_of(s, r);
    past *p = past_at(s, i);
    switch (r->type) {
    case FR_REC_TASK:
        load_end(s, i, r);
        break;
    case FR_REC_RETRY:
        enter_epoch(s, p);
        p->attempt = r->attempt;
        p->again++;
        p->lost += r->reason == FR_BECAUSE_INTERRUPTED;
        keep_why(p, p->attempt + p->lost, r->error);
        p->retry_seq = r->seq;
        p->due = r->due;
        p->delay = FR_MAX(r->due - r->ended, 0);
        p->row = r->row;
        p->seq = 0;
        break;
    case FR_REC_VALUE:
        keep_value(p, r->result);
        s->n_checkpoints += strcmp(r->name, CHECKPOINT) == 0;
        break;
    case FR_REC_TIMER:
        load_timer(s, i, r);
        break;
    case FR_REC_MAP_PART:
    case FR_REC_START:
    case FR_REC_REQUEST:
    case FR_REC_ADDENDUM:
        break;
    }
    return FR_OK;
}

void sched_diverge(fr_sched *s, const char *format, ...)
{
    if (s->divergence != NULL) {
        return;
    }
    char text[700];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    s->divergence = fr_strdup(text);
    sched_stop_all(s);
    for (uint32_t b = 0; b < s->n_branches; b++) {
        if (s->branches[b].blocked) {
            sched_make_ready(s, b);
        }
    }
}

// Something that the call needs was made after place `seq` of the log, in a rerun: what
// happened there is not the result of this call any more.
bool sched_outdated(const fr_sched *s, const node *n, uint64_t seq)
{
    bool all = n->opts == NULL || (n->opts->rule != FR_RULE_ONE_SUCCESS &&
               n->opts->rule != FR_RULE_ONE_FAILED && n->opts->rule != FR_RULE_ONE_DONE &&
               n->opts->rule != FR_RULE_ALWAYS);
    if (seq > s->rerun_seq || s->only || !all) {   // others: it ran before all had ended
        return false;
    }
    for (uint32_t i = 0; i <= n->n_deps + n->n_after; i++) {
        uint32_t dep = i < n->n_deps + n->n_after ? n->deps[i].node : n->list_dep.node;
        const node *d = dep != FR_NO_NODE ? node_at(s, dep) : NULL;
        if (d != NULL && ((!node_final(d) && !d->redo) || d->seq > seq)) {
            return true;
        }
    }
    return false;
}

static bool same_call(fr_sched *s, const node *n, const past *p)
{
    if (p->name == n->task && fr_hash_eq(p->args, n->args) && p->kind == n->kind) {
        return true;
    }
    if (p->seq < s->rerun_seq) {               // made anew; but not by rerun --only
        return s->only && p->name == n->task && p->kind == n->kind;
    }
    char now[FR_HASH_TEXT], then[FR_HASH_TEXT];
    fr_hash_text(n->args, now);
    fr_hash_text(p->args, then);
    bool name = p->name != n->task;
    sched_diverge(s,
                  "diverged at %s: call %s#%u (row %u) was recorded %s %s, the code now %s %s; "
                  "resume uses the recorded code: run the flow anew, or continue a finished run "
                  "with `flowrun rerun RUN --failed`",
                  n->where != NULL ? n->where : "?", s->tasks[n->task].name, n->use, p->row,
                  name ? "as task" : "with arguments", name ? s->tasks[p->name].name : then,
                  name ? "calls" : "passes", name ? s->tasks[n->task].name : now);
    return false;
}

// Only counts and deadlines.
static void adopt_unfinished(node *n, const past *p)
{
    n->row = p->row;
    n->attempt = SEEDED(BUG_ATTEMPTS_LOST) ? 0 : p->attempt;
    n->lost = p->lost;
    n->due = p->due;
    n->sleep_ns = n->kind == FR_CALL_SLEEP ? n->sleep_ns : p->delay;
    if (n->kind == FR_CALL_POKE && n->wait != NULL) {
        n->wait->failures = n->wait->recorded = (uint32_t)p->delay;
    }
}

static uint32_t *count_of(fr_sched *s, uint8_t state)
{
    return state == FR_SUCCESS   ? &s->stats.succeeded
           : state == FR_SKIPPED ? &s->stats.skipped
           : state == FR_STOPPED ? &s->stats.stopped
                                 : &s->stats.failed;
}

int sched_adopt(fr_sched *s, uint32_t id, past *p, fr_err *err)
{
    node *n = node_at(s, id);
    s->next_past = p->row + 1;
    if (is_scope(n) || n->kind == FR_CALL_MAP) {
        p->node = id;                          // marks of its attempts, its items find it
    }
    if (n->kind == FR_CALL_GROUP) {            // its body runs again in any case
        p->seq = p->seq <= s->rerun_seq ? 0 : p->seq;
        n->row = p->row;
        bool same = p->seq == 0 || same_call(s, n, p);
        return same ? FR_OK : fr_fail(err, FR_EDIVERGED, "%s", s->divergence);
    }
    if (p->seq == 0) {
        adopt_unfinished(n, p);
        return FR_OK;
    }
    if (!same_call(s, n, p) || sched_outdated(s, n, p->seq)) {
        if (s->divergence != NULL) {
            return fr_fail(err, FR_EDIVERGED, "%s", s->divergence);
        }
        n->row = p->row;
        p->seq = 0;
        p->attempt = p->lost = 0;
        p->due = 0;
        return FR_OK;
    }
    if (!fr_hash_is_zero(p->made)) {
        sched_redo_adopt(s, n, id, p);
        return FR_OK;
    }
    n->row = p->row;
    n->recorded = true;
    n->epoch = p->epoch;
    n->lost = p->lost;
    n->attempt = p->attempt;
    n->queued = p->queued;
    n->started = p->started;
    n->ended = p->ended;
    n->seq = p->seq;
    n->result = p->result != NULL ? fr_value_ref(p->result) : NULL;
    n->error = p->error != NULL ? fr_value_ref(p->error) : NULL;
    p->node = id;
    s->n_unindexed -= !p->indexed;
    s->stats.replayed++;
    s->stats.waiting--;
    n->state = p->state;
    n->reason = p->reason;
    ++*count_of(s, p->state);
    if (p->reason == FR_BECAUSE_DEGRADED) {
        sched_degraded(s, n);
    }
    if (p->state == FR_FAILED || p->state == FR_STOPPED) {
        sched_note_failure(s, id);
    }
    if (n->attempt > 0) {
        sched_consume(s, id);
    }
    bool ran = p->reason != FR_BECAUSE_UPSTREAM && p->reason != FR_BECAUSE_UPSTREAM_SKIPPED &&
               p->reason != FR_BECAUSE_RULE && p->reason != FR_BECAUSE_CONDITION;
    if (n->kind == FR_CALL_MAP && ran) {
        sched_items_adopt(s, id, p);
    }
    if (p->state == FR_SUCCESS && !s->env.keep_args && !sched_keeps_args(n)) {
        sched_free_args(n);
    }
    n->seen = p->seq <= s->cursor || SEEDED(BUG_UNORDERED);
    s->tasks[n->task].stats.recorded++;
    sched_count_end(s, n);
    return FR_OK;
}

// Records of calls inside a finished subflow have no node: its body is not run again.
static bool inside_finished(const fr_sched *s, const past *p)
{
    if (p->seq < s->rerun_seq) {
        return true;                           // of an earlier attempt of the flow
    }
    for (uint32_t row = p->parent; row != 0;) {
        const past *flow = sched_past_of_row(s, row);
        if (flow == NULL) {
            return false;
        }
        if (flow->seq != 0 && flow->kind != FR_CALL_GROUP) {
            return true;
        }
        row = flow->parent;
    }
    return false;
}

static past *recalled(fr_sched *s, const node *n)
{
    past *p = n->kind == FR_CALL_GROUP && n->known ? sched_past(s, n->key) : NULL;
    return p != NULL && p->seq != 0 ? p : NULL;
}

bool sched_recall(fr_sched *s, uint32_t id, bool failed)
{
    node *n = node_at(s, id);
    const past *p = recalled(s, n);
    if (p == NULL || p->again >= n->attempt) {
        return false;
    }
    if (p->state == FR_SUCCESS && failed) {
        sched_diverge(s, "diverged at %s: %s (row %u) was recorded as SUCCESS, the code now fails",
                      n->where != NULL ? n->where : "?", s->tasks[n->task].name, p->row);
    }
    sched_handled_inside(s, id);
    sched_finish(s, id, (fr_state)p->state, (fr_reason)p->reason,
                 p->result != NULL ? fr_value_ref(p->result) : NULL,
                 p->error != NULL ? fr_value_ref(p->error) : NULL);
    return true;
}

bool sched_recall_end(fr_sched *s, node *n)
{
    const past *p = recalled(s, n);
    if (p == NULL) {
        return false;
    }
    n->seq = p->seq;
    n->recorded = true;
    n->seen = p->seq <= s->cursor;
    s->stats.replayed++;
    return true;
}

// A mark of an attempt of a subflow or group. True: the flow may have something to do.
static bool pass_mark(fr_sched *s, past *p, uint32_t entry)
{
    bool finished = p->kind == FR_CALL_FLOW && p->seq != 0;
    p->passed += (entry & BEGIN_MARK) != 0;
    if (finished) {
        return false;
    }
    if (p->node == FR_NO_NODE) {
        if (!inside_finished(s, p)) {
            sched_diverge(s, "diverged: the log says that an attempt of row %u began or was "
                          "stopped here, but the flow did not call it", p->row);
        }
        return true;
    }
    if ((entry & BEGIN_MARK) != 0) {
        sched_scope_begin(s, p->node);
    } else {
        sched_scope_stop(s, p->node);
    }
    return true;
}

bool sched_advance(fr_sched *s)
{
    while (s->cursor < s->n_order && s->divergence == NULL) {
        uint32_t entry = s->order[++s->cursor];
        if (entry == 0) {
            continue;
        }
        if (entry == CANCEL_MARK) {
            if (s->past_cancel == s->cursor) {
                s->cancel_code = s->past_cancel_code;
                sched_stop_all(s);
                sched_see_cancel(s);
                return true;
            }
            continue;
        }
        past *p = past_at(s, (entry & NO_MARKS) - 1);
        if ((entry & PART_MARK) != 0) {
            if (sched_items_pass(s, p)) {
                return true;
            }
            continue;
        }
        if ((entry & (BEGIN_MARK | STOP_MARK)) != 0) {
            if (pass_mark(s, p, entry)) {
                return true;
            }
            continue;
        }
        if (p->seq != s->cursor) {
            continue;                          // a later record of the same key replaced it
        }
        if (p->node != FR_NO_NODE && node_at(s, p->node)->redo) {
            s->cursor--;                       // it is being computed again: all else waits
            s->redoing = true;
            return false;
        }
        if (p->node != FR_NO_NODE && node_final(node_at(s, p->node))) {
            sched_observe(s, p->node);
            return true;
        }
        if (p->kind != FR_CALL_HOOK && !inside_finished(s, p)) {
            sched_diverge(s,
                          "diverged: the log says that %s (row %u) ended here, but the flow did "
                          "not call it; its code or what it reads has changed",
                          s->tasks[p->name].name, p->row);
            return true;
        }
    }
    return false;
}

bool fr_sched_replaying(const fr_sched *s)
{
    return s->cursor < s->n_order && s->divergence == NULL;
}

void sched_past_free(fr_sched *s)
{
    for (uint32_t i = 0; i < s->pasts.n; i++) {
        past *p = past_at(s, i);
        fr_value_unref(p->result);
        fr_value_unref(p->error);
        for (uint32_t k = 0; k < p->n_why; k++) {
            fr_value_unref(p->why[k]);
        }
        fr_free(p->why);
        if (p->items != NULL) {
            fr_buf_fini(&p->items->data);
            fr_free(p->items->marks);
            fr_free(p->items);
        }
    }
    fr_grow_fini(&s->pasts);
    fr_free(s->past_rows);
    fr_free(s->order);
    fr_free(s->unhandled);
    fr_map_fini(&s->past_index);
}
