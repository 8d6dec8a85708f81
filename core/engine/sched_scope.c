// Subflows and groups as wholes: their attempts, timeouts, fail_fast; and deadlines of any call.
//
// What the flow's code notices of it is an observation with its place in the log: that a further
// attempt begins, that the time of one is over. Both are TIMER records, which replay hands over
// in their place. A failed attempt of an unfinished group is replayed too: its body is part of
// the flow's code and may have changed the variables around it.
#include "core/engine/sched_int.h"

uint32_t sched_scope_stopped(const fr_sched *s, uint32_t b)
{
    if (s->n_scopes_stopping == 0) {
        return FR_NO_NODE;
    }
    uint32_t id = s->branches[b].flow_node;
    while (id != FR_NO_NODE && node_at(s, id)->stop_code == FR_OK) {
        id = s->branches[node_at(s, id)->branch].flow_node;
    }
    return id;
}

bool sched_inside(const fr_sched *s, uint32_t b, uint32_t scope)
{
    uint32_t id = s->branches[b].flow_node;
    while (id != FR_NO_NODE && id != scope) {
        id = s->branches[node_at(s, id)->branch].flow_node;
    }
    return id == scope;
}

fr_value *sched_stop_error(const fr_sched *s, const node *n)
{
    const char *name = s->tasks[n->task].name;
    if (n->expired) {
        return sched_error("timeout", "the deadline of %s is over (%.3g s from the call)", name,
                           (double)n->opts->deadline_ns / 1e9);
    }
    if (n->fast != FR_NO_NODE) {
        const fr_value *error = node_at(s, n->fast)->error;
        return error != NULL ? fr_value_ref(error) : sched_error("error", "%s failed", name);
    }
    return sched_error("timeout", "the timeout of %s is over (%.3g s)", name,
                       (double)n->opts->timeout_ns / 1e9);
}

// --- attempts ---

static past *past_of(fr_sched *s, const node *n)
{
    return n->known ? sched_past(s, n->key) : NULL;
}

void sched_scope_opened(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    uint32_t attempt = ++n->attempt, parent = n->branch;
    bool same = SEEDED(BUG_GROUP_SAME_BRANCH);
    fr_hash path = fr_hash_pair(n->key, (fr_hash){.lo = same ? 1 : attempt, .hi = 0});
    uint32_t b = sched_new_branch(s, path,
                                  sched_branch_label(s, parent, s->tasks[n->task].name, n->use));
    s->branches[b].node = id;
    s->branches[b].flow_row = n->row;
    s->branches[b].flow_node = id;
    s->branches[b].newest = s->branches[parent].newest;
    n->body = b;
    n->body_over = false;
    n->started = s->wall;
    sched_move(s, n, FR_QUEUED, FR_BECAUSE_WORKER);
    sched_move(s, n, FR_RUNNING, attempt > 1 ? FR_BECAUSE_RETRY : FR_BECAUSE_FIRST);
    sched_make_ready(s, b);
    const past *p = past_of(s, n);
    bool gone = p != NULL && (p->again >= attempt || p->seq != 0 || p->stop_attempt == attempt);
    if (n->opts->timeout_ns > 0 && !gone) {    // else the log says how it went on
        int64_t used = p != NULL && p->begun == attempt ? FR_MAX(s->wall - p->queued, 0) : 0;
        int64_t left = FR_MAX(n->opts->timeout_ns - used, 0);
        sched_timer_add(s, TIMER_SCOPE, s->mono + left, id, attempt, 0);
    }
}

static void mark(fr_sched *s, uint32_t id, fr_reason why, uint32_t attempt, uint32_t flag)
{
    const node *n = node_at(s, id);
    fr_record r;
    sched_record_of(s, n, &r);
    r.type = FR_REC_TIMER;
    r.reason = why;
    r.attempt = attempt;
    r.queued = s->wall;
    r.due = 0;
    sched_record(s, &r);
    queue32_push(&s->seen_queue, id | flag);
}

static bool retry_listed(const node *n, const fr_value *error)
{
    int code = sched_error_code(error);
    uint64_t codes = n->opts->retry_codes;
    return codes == 0 || (code < 64 && (codes >> code & 1) != 0);
}

bool sched_scope_again(fr_sched *s, uint32_t id, const fr_value *error)
{
    node *n = node_at(s, id);
    past *p = past_of(s, n);
    bool known = p != NULL && p->again >= n->attempt;
    bool allowed = !n->expired && fr_retry_allowed(&n->opts->retry, n->attempt) &&
                   sched_error_retry(error) && retry_listed(n, error);
    bool stopping = n->stop_code != FR_OK;
    if (stopping) {                            // of this attempt; what is around is another matter
        n->stop_code = FR_OK;
        s->n_scopes_stopping--;
    }
    if ((!known && !allowed) || (!known && sched_stopping(s, n))) {
        return false;
    }
    for (uint32_t i = 0; i < s->n_failures; i++) {
        node *f = node_at(s, s->failures[i]);
        if (!f->gone && sched_inside(s, f->branch, id)) {
            fr_sched_handled(s, s->failures[i]);   // the retry has consumed it
            f->gone = true;
        }
    }
    n->failures = n->fast = n->cause = FR_NO_NODE;
    n->degraded = false;
    int64_t delay = fr_retry_delay(&n->opts->retry, n->attempt, s->env.seed, n->key);
    bool latest = known && p->again == n->attempt;
    n->due = latest ? p->due : s->wall + (known ? 0 : delay);
    n->ended = s->wall;
    sched_move(s, n, FR_SCHEDULED, FR_BECAUSE_RETRY);
    if (!known) {
        s->stats.retries++;
        s->tasks[n->task].stats.retries++;
        fr_record r;
        sched_record_of(s, n, &r);
        r.type = FR_REC_RETRY;
        r.error = error;
        sched_record(s, &r);
        sched_event(s, FR_MOMENT_RETRY, id);
    }
    n->ended = 0;
    // Else the log says when it begins; in a rerun it may have said so too early.
    if (p == NULL || p->begun <= n->attempt || p->passed >= n->attempt) {
        int64_t left = FR_MAX(FR_MIN(n->due - s->wall, delay), 0);
        sched_timer_add(s, TIMER_AGAIN, s->mono + (SEEDED(BUG_GROUP_EARLY) ? 0 : left), id, 0, 0);
    }
    return true;
}

void sched_scope_due(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    if (n->state == FR_SCHEDULED) {
        mark(s, id, FR_BECAUSE_RETRY, n->attempt + 1, BEGIN_MARK);
    }
}

void sched_scope_begin(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    const past *p = past_of(s, n);
    bool never = p != NULL && p->seq != 0 && p->attempt <= n->attempt;
    if (n->state != FR_SCHEDULED || never) {
        return;                                // it was stopped meanwhile, now or as recorded
    }
    sched_scope_opened(s, id);
    s->io.again(s->io.ctx, id, node_at(s, id)->body);
}

// Between two attempts, and the log has another one.
bool sched_scope_goes_on(fr_sched *s, const node *n)
{
    const past *p = is_scope(n) && n->state == FR_SCHEDULED ? past_of(s, n) : NULL;
    return p != NULL && p->begun > n->attempt && fr_sched_replaying(s);
}

// --- stops ---

void sched_scope_time(fr_sched *s, uint32_t id, uint32_t attempt)
{
    const node *n = node_at(s, id);
    bool over = s->divergence != NULL;         // all of it is being stopped already
    if (over || n->state != FR_RUNNING || n->attempt != attempt || n->stop_code != FR_OK) {
        return;
    }
    if (SEEDED(BUG_STOP_UNRECORDED)) {
        sched_scope_stop(s, id);
    } else {
        mark(s, id, FR_BECAUSE_TIMEOUT, attempt, STOP_MARK);
    }
}

static void stop_inside(fr_sched *s, uint32_t id, int code)
{
    node *n = node_at(s, id);
    n->stop_code = code;
    s->n_scopes_stopping++;
    uint32_t count = 0, *ids = fr_alloc((s->n_live + 1) * sizeof *ids);
    for (uint32_t i = s->live_head; i != FR_NO_NODE; i = node_at(s, i)->live_next) {
        if (sched_inside(s, node_at(s, i)->branch, id)) {
            ids[count++] = i;
        }
    }
    for (uint32_t i = 0; i < count; i++) {     // stopping one may end others
        if (node_at(s, ids[i])->live) {
            sched_stop_node(s, ids[i]);
        }
    }
    fr_free(ids);
    for (uint32_t b = 0; b < s->n_branches; b++) {
        if (s->branches[b].blocked && sched_inside(s, b, id)) {
            sched_make_ready(s, b);
        }
    }
}

void sched_scope_stop(fr_sched *s, uint32_t id)
{
    const node *n = node_at(s, id);
    if (n->state != FR_RUNNING || n->stop_code != FR_OK) {
        return;
    }
    bool held = n->body_over && n->inside == 0;    // by sched_scope_early
    stop_inside(s, id, FR_ETIMEOUT);
    if (held) {
        sched_end_flow(s, id);
    }
}

// In replay what a call inside gave is there at once, so that the whole may end before it is
// stopped, as it was while that call ran.
bool sched_scope_early(fr_sched *s, const node *n)
{
    const past *p = is_scope(n) && n->stop_code == FR_OK ? past_of(s, n) : NULL;
    return p != NULL && p->again >= n->attempt && (p->stops >> (n->attempt & 63) & 1) != 0 &&
           fr_sched_replaying(s);
}

// Deterministic: it follows an observation, so it needs no record. (Hooks change nothing.)
void sched_failed_fast(fr_sched *s, uint32_t id)
{
    const node *n = node_at(s, id);
    if (n->kind == FR_CALL_HOOK) {
        return;
    }
    uint32_t scope = s->branches[n->branch].flow_node;
    if (scope == FR_NO_NODE) {
        if (s->env.fail_fast && !s->cancel_seen && n->kind != CALL_SPAWN) {
            s->root_fast = id;
            s->cancel_code = FR_ECANCELLED;
            sched_stop_all(s);
            sched_see_cancel(s);
        }
        return;
    }
    node *around = node_at(s, scope);
    if (around->opts->fail_fast && around->state == FR_RUNNING && around->stop_code == FR_OK) {
        around->fast = id;
        stop_inside(s, scope, FR_ECANCELLED);
    }
}

// --- deadlines ---

void sched_deadline_set(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    if (n->opts == NULL || n->opts->deadline_ns == 0) {
        return;
    }
    past *p = past_of(s, n);
    int64_t wall = p != NULL ? p->deadline : 0;
    if (wall == 0) {                           // after a crash it still counts from the call
        wall = s->wall + n->opts->deadline_ns;
        fr_record r;
        sched_record_of(s, n, &r);
        r.type = FR_REC_TIMER;
        r.reason = FR_BECAUSE_DEADLINE;
        r.due = wall;
        sched_record(s, &r);
    }
    int64_t left = FR_MIN(FR_MAX(wall - s->wall, 0), n->opts->deadline_ns);
    sched_timer_add(s, TIMER_DEADLINE, s->mono + left, id, 0, 0);
}

void sched_deadline(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    if (node_final(n) || n->expired || s->divergence != NULL) {
        return;
    }
    n->expired = true;
    if (is_scope(n)) {
        if (n->state == FR_SCHEDULED) {
            sched_finish(s, id, FR_FAILED, FR_BECAUSE_DEADLINE, NULL, sched_stop_error(s, n));
        } else {
            mark(s, id, FR_BECAUSE_TIMEOUT, n->attempt, STOP_MARK);
        }
    } else if (n->kind == FR_CALL_MAP && (n->state == FR_QUEUED || n->state == FR_RUNNING)) {
        sched_map_stop(s, id);
    } else if (n->slot != FR_NO_NODE) {
        if (n->state == FR_RUNNING) {
            sched_move(s, n, FR_CANCELLING, FR_BECAUSE_DEADLINE);
        }
        sched_cancel_attempt(s, sched_slot(s, n->slot), FR_ETIMEOUT);
    } else if (n->state != FR_CANCELLING && !n->looks) {
        sched_fall_back_late(s, id);
    }
}
