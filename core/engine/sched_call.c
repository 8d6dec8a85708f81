// What flow code calls: tasks, subflows, branches, waits, recorded values, results.
#include "core/engine/sched_int.h"

#include <stdio.h>
#include <string.h>

static uint32_t next_use(fr_sched *s, uint32_t b, uint32_t task)
{
    branch *br = &s->branches[b];
    if (task >= br->n_uses) {
        uint32_t n = FR_MAX(task + 1, s->n_tasks);
        br->uses = fr_realloc(br->uses, n * sizeof *br->uses);
        memset(br->uses + br->n_uses, 0, (n - br->n_uses) * sizeof *br->uses);
        br->n_uses = n;
    }
    if (SEEDED(BUG_GLOBAL_INDEX)) {
        return ++s->all_calls;
    }
    return ++br->uses[task];
}

static fr_hash use_key(const fr_sched *s, uint32_t b, uint32_t task, uint32_t use)
{
    fr_hash path = SEEDED(BUG_GLOBAL_INDEX) ? s->branches[0].path : s->branches[b].path;
    return fr_hash_mix(fr_hash_pair(path, s->tasks[task].hash), use);
}

// A branch that goes on after get() raised has caught the error.
static void went_on(fr_sched *s, uint32_t b)
{
    branch *br = &s->branches[b];
    if (br->raising != FR_NO_NODE) {
        uint32_t n = br->raising;
        br->raising = FR_NO_NODE;
        fr_sched_handled(s, n);
    }
}

// --- calls ---

static int link_dep(fr_sched *s, uint32_t id, uint32_t dep)
{
    node *d = node_at(s, dep);
    if (!node_final(d)) {
        node_at(s, id)->pending++;
        uint32_t e = sched_new_edge(s, d->dependents, id, 0);
        d->dependents = e;
    }
    return 0;
}

static void link_deps(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    for (uint32_t i = 0; i < n->n_deps + n->n_after; i++) {
        (void)link_dep(s, id, n->deps[i].node);
    }
    if (n->list_dep.node != FR_NO_NODE) {
        (void)link_dep(s, id, n->list_dep.node);
    }
}

static void copy_call(node *n, const fr_call *c)
{
    n->opts = c->opts;
    n->n_args = c->n_args;
    n->n_deps = c->n_deps;
    n->n_after = c->n_after + (c->when != NULL);
    n->n_setups = c->n_setups;
    n->has_when = c->when != NULL;
    n->tuples = c->tuples;
    n->argv = c->args != NULL ? fr_value_ref(c->args) : NULL;
    n->list = c->list != NULL ? fr_value_ref(c->list) : NULL;
    n->list_dep = c->kind == FR_CALL_MAP && c->list == NULL ? c->list_dep : (fr_dep){FR_NO_NODE, 0};
    n->where = c->where;
    n->sleep_ns = c->sleep_ns;
    sched_wait_copy(n, c->wait);
    if (n->n_deps + n->n_after > 0) {
        n->deps = fr_alloc((n->n_deps + n->n_after) * sizeof *n->deps);
        if (c->n_deps > 0) {
            memcpy(n->deps, c->deps, c->n_deps * sizeof *n->deps);
        }
        if (c->n_after > 0) {
            memcpy(n->deps + c->n_deps, c->after, c->n_after * sizeof *n->deps);
        }
        if (c->when != NULL) {
            n->deps[c->n_deps + c->n_after] = *c->when;
        }
    }
}

static int call_key(fr_sched *s, const fr_call *c, node *n, fr_err *err)
{
    n->use = next_use(s, c->branch, c->task);
    n->key = use_key(s, c->branch, c->task, n->use);
    if (c->key == NULL) {
        return FR_OK;
    }
    n->key = fr_hash_pair(fr_hash_str(c->key), s->tasks[c->task].hash);
    n->user_key = true;
    n->label = fr_strdup(c->key);
    bool fresh;
    (void)fr_map_put(&s->used_keys, n->key, &fresh);
    if (!fresh) {
        return fr_fail(err, FR_EEXIST,
                       "%s: key \"%s\" is used twice for task %s in this run; keys must differ",
                       c->where != NULL ? c->where : "?", c->key, s->tasks[c->task].name);
    }
    return FR_OK;
}

// Makes the node and claims what the log has of it. *recorded: nothing is left to run.
static int make_call(fr_sched *s, const fr_call *c, uint32_t *out, bool *recorded, fr_err *err)
{
    *out = FR_NO_NODE;
    went_on(s, c->branch);
    if (s->divergence != NULL) {
        return fr_fail(err, FR_EDIVERGED, "%s", s->divergence);
    }
    int stopped = fr_sched_cancelled(s, c->branch);
    if (stopped != FR_OK) {
        return fr_fail(err, stopped, "%s", s->cancel_seen ? "the run is being cancelled"
                                                          : "what is around this call was stopped");
    }
    uint32_t id = sched_new_node(s);
    node *n = node_at(s, id);
    n->kind = (uint8_t)c->kind;
    n->branch = c->branch;
    n->task = c->task;
    n->list_dep.node = FR_NO_NODE;
    sched_move(s, n, FR_WAITING, FR_BECAUSE_DEPS);
    s->stats.calls++;
    s->tasks[c->task].stats.calls++;
    n->queued = s->wall;
    n->epoch = s->reruns;
    int rc = call_key(s, c, n, err);
    if (rc != FR_OK) {
        n->live = false;
        s->stats.waiting--;
        n->state = FR_STATE_NONE;
        return rc;
    }
    copy_call(n, c);
    n->args = sched_fingerprint(s, c);
    *out = id;
    past *p = sched_past(s, n->key);
    n->known = p != NULL;
    if (p != NULL) {
        rc = sched_adopt(s, id, p, err);
        if (rc != FR_OK) {
            return rc;
        }
    }
    *recorded = node_final(n);
    if (!*recorded) {
        if (n->row == 0) {
            n->row = s->next_row++;
        }
        sched_live_add(s, id);
    }
    if (p != NULL && !SEEDED(BUG_HOOK_FORGOTTEN)) {
        sched_hook_recorded(s, id);
    }
    return FR_OK;
}

int fr_sched_call(fr_sched *s, const fr_call *c, uint32_t *out, fr_err *err)
{
    bool recorded = false;
    int rc = make_call(s, c, out, &recorded, err);
    if (rc != FR_OK || recorded) {
        return rc;
    }
    if (c->skip) {
        sched_skip(s, *out, FR_BECAUSE_CONDITION, sched_skip_note("its condition `when` said no"));
        return rc;
    }
    link_deps(s, *out);
    sched_deadline_set(s, *out);
    node *n = node_at(s, *out);
    if (n->pending == 0 || sched_early(s, n, FR_NO_NODE)) {
        sched_ready_to_start(s, *out);
    }
    for (uint32_t i = 0; !n->begun && i < sched_before(n); i++) {   // one that has ended may do
        uint32_t dep = sched_before_at(n, i);
        if (node_final(node_at(s, dep)) && sched_early(s, n, dep)) {
            sched_ready_to_start(s, *out);
        }
    }
    return rc;
}

char *sched_branch_label(const fr_sched *s, uint32_t parent, const char *what, uint32_t kid)
{
    char text[256];
    (void)snprintf(text, sizeof text, "%s.%s%u", s->branches[parent].label, what, kid);
    return fr_strdup(text);
}

int fr_sched_subflow(fr_sched *s, const fr_call *c, uint32_t *id, uint32_t *out, fr_err *err)
{
    bool recorded = false;
    *out = FR_NO_BRANCH;
    int rc = make_call(s, c, id, &recorded, err);
    if (rc != FR_OK || recorded) {
        return rc;
    }
    node *n = node_at(s, *id);
    if (!n->known) {                           // its row must stay: calls inside name it
        fr_record r;
        sched_record_of(s, n, &r);
        r.type = FR_REC_TIMER;
        sched_record(s, &r);
    }
    sched_deadline_set(s, *id);
    n->attempt = 0;
    sched_hook_start(s, *id);
    sched_scope_opened(s, *id);
    *out = node_at(s, *id)->body;
    return FR_OK;
}

uint32_t fr_sched_spawn(fr_sched *s, uint32_t parent, uint32_t *out)
{
    went_on(s, parent);
    uint32_t task = fr_sched_task(s, "spawn");
    uint32_t kid = ++s->branches[parent].kids, id = sched_new_node(s);
    node *n = node_at(s, id);
    n->kind = CALL_SPAWN;
    n->branch = parent;
    n->task = task;
    n->list_dep.node = FR_NO_NODE;
    n->key = fr_hash_mix(fr_hash_pair(s->branches[parent].path, s->tasks[task].hash), kid);
    uint32_t b = sched_new_branch(s, n->key, sched_branch_label(s, parent, "", kid));
    s->branches[b].node = id;
    s->branches[b].flow_row = s->branches[parent].flow_row;
    s->branches[b].flow_node = s->branches[parent].flow_node;
    n->body = b;
    sched_move(s, n, FR_WAITING, FR_BECAUSE_DEPS);
    sched_move(s, n, FR_QUEUED, FR_BECAUSE_WORKER);
    sched_move(s, n, FR_RUNNING, FR_BECAUSE_FIRST);
    sched_live_add(s, id);
    sched_make_ready(s, b);
    *out = id;
    return b;
}

fr_hash fr_sched_draw(fr_sched *s, uint32_t b, const char *name)
{
    went_on(s, b);
    uint32_t task = fr_sched_task(s, name);
    return use_key(s, b, task, next_use(s, b, task));
}

int fr_sched_value(fr_sched *s, uint32_t b, const char *name, fr_value *fresh, const fr_value **out,
                   fr_err *err)
{
    fr_hash key = fr_sched_draw(s, b, name);
    past *p = sched_past_other(s, key);
    *out = NULL;
    if (p != NULL && p->value_only) {
        *out = p->result;
        return FR_OK;
    }
    if (fr_sched_cancelled(s, b) != FR_OK) {
        return fr_fail(err, fr_sched_cancelled(s, b), "the run is being cancelled");
    }
    fr_record r = {.type = FR_REC_VALUE, .key = key, .name = name, .result = fresh,
                   .parent = s->branches[b].flow_row, .ended = s->wall};
    sched_record(s, &r);
    s->branches[b].newest = s->seq;
    *out = fresh;
    return FR_OK;
}

bool fr_sched_wait(fr_sched *s, uint32_t b, const uint32_t *nodes, uint32_t n, bool any)
{
    went_on(s, b);
    uint32_t missing = 0;
    for (uint32_t i = 0; i < n; i++) {
        const node *d = node_at(s, nodes[i]);
        missing += !d->seen;
        s->branches[b].newest = FR_MAX(s->branches[b].newest, d->seen ? d->seq : 0);
    }
    if (missing == 0 || (any && missing < n) || fr_sched_cancelled(s, b) != FR_OK ||
        s->divergence != NULL) {
        return true;
    }
    branch *br = &s->branches[b];
    br->any = any;
    br->pending = missing;
    br->blocked = true;
    for (uint32_t i = 0; i < n; i++) {
        node *d = node_at(s, nodes[i]);
        if (!d->seen) {
            uint32_t e = sched_new_edge(s, d->waiters, b, br->serial);
            d->waiters = e;
        }
    }
    return false;
}

bool fr_sched_wait_item(fr_sched *s, uint32_t b, uint32_t id, uint64_t at)
{
    went_on(s, b);
    node *n = node_at(s, id);
    branch *br = &s->branches[b];
    br->newest = FR_MAX(br->newest, n->map != NULL ? n->map->shown_seq : 0);
    br->newest = FR_MAX(br->newest, n->seen ? n->seq : 0);
    bool more = n->seen || (n->map != NULL && at < n->map->shown);
    if (more || fr_sched_cancelled(s, b) != FR_OK || s->divergence != NULL) {
        return true;
    }
    br->any = true;
    br->pending = 1;
    br->blocked = true;
    n->watchers = sched_new_edge(s, n->watchers, b, br->serial);
    return false;
}

// What failed first in a subflow and was not handled; FR_NO_NODE = nothing.
static uint32_t unhandled_inside(const fr_sched *s, const node *flow)
{
    uint32_t first = FR_NO_NODE;
    for (uint32_t i = flow->failures; i != FR_NO_NODE; i = node_at(s, i)->next_failure) {
        first = node_at(s, i)->handled ? first : i;
    }
    return first;
}

// A failure that was handled before it happened: so is what failed inside.
void sched_handled_inside(fr_sched *s, uint32_t id)
{
    const node *n = node_at(s, id);
    for (uint32_t i = n->failures; n->handled && i != FR_NO_NODE;
         i = node_at(s, i)->next_failure) {
        fr_sched_handled(s, i);
    }
}

// A subflow is one record: it ends when everything it started has, and fails when something
// in it failed that nobody handled, as a run does. (spawn: what its body says.)
void sched_end_flow(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    fr_value *result = n->result, *error = n->error;
    n->result = n->error = NULL;
    int code = error != NULL ? sched_error_code(error) : FR_OK;
    fr_reason why = FR_BECAUSE_ERROR;
    if (sched_recall(s, id, error != NULL)) {
        fr_value_unref(result);
        fr_value_unref(error);
        return;
    }
    if (error == NULL && sched_scope_early(s, n)) {
        n->result = result;
        return;
    }
    if (is_scope(n) && n->stop_code != FR_OK && !s->cancel_seen) {
        fr_value_unref(error);
        fr_value_unref(result);
        result = NULL;
        error = sched_stop_error(s, n);
        code = sched_error_code(error);
        n->cause = n->fast;
        why = n->expired                  ? FR_BECAUSE_DEADLINE
              : n->stop_code == FR_ETIMEOUT ? FR_BECAUSE_TIMEOUT
                                            : FR_BECAUSE_FAIL_FAST;
    }
    bool stopped = s->cancel_seen && (code == FR_ECANCELLED || code == FR_ETIMEOUT);
    if (is_scope(n) && error == NULL) {
        n->cause = unhandled_inside(s, n);
        if (n->cause != FR_NO_NODE) {
            const node *c = node_at(s, n->cause);
            error = fr_value_ref(c->error);
            stopped = c->state == FR_STOPPED;
            fr_value_unref(result);
            result = NULL;
        }
    }
    if (code == FR_ESKIPPED && n->cause == FR_NO_NODE) {
        sched_skip(s, id, FR_BECAUSE_ITSELF, error);
        return;
    }
    if (error == NULL) {
        sched_finish(s, id, FR_SUCCESS, n->degraded ? FR_BECAUSE_DEGRADED : FR_BECAUSE_RAN, result,
                     NULL);
        return;
    }
    if (is_scope(n) && !stopped && sched_scope_again(s, id, error)) {
        fr_value_unref(error);
        return;
    }
    sched_handled_inside(s, id);
    if (n->kind == FR_CALL_FLOW) {             // (the calls of a group are seen by whoever resumes)
        sched_record_unhandled(s, id);
    }
    why = stopped ? FR_BECAUSE_CANCELLED : why;
    sched_finish(s, id, stopped ? FR_STOPPED : FR_FAILED, why, NULL, error);
}

void fr_sched_branch_end(fr_sched *s, uint32_t b, fr_value *result, fr_value *error)
{
    branch *br = &s->branches[b];
    uint32_t cause = br->raising, id = br->node;
    if (error == NULL) {
        went_on(s, b);
    }
    br = &s->branches[b];
    br->ended = true;
    s->branches_alive--;
    if (id == FR_NO_NODE) {
        s->root_result = result;
        s->root_error = error;
        s->root_cause = error != NULL ? cause : FR_NO_NODE;
        return;
    }
    node *n = node_at(s, id);
    n->cause = error != NULL ? cause : FR_NO_NODE;
    n->result = result;
    n->error = error;
    n->body_over = true;
    if (n->inside == 0) {
        sched_end_flow(s, id);
    }
}

// --- reading what was observed ---

bool fr_sched_seen(const fr_sched *s, uint32_t id)
{
    return node_at(s, id)->seen;
}

fr_state fr_sched_state(const fr_sched *s, uint32_t id, fr_reason *reason)
{
    const node *n = node_at(s, id);
    // Before it is observed an end is not visible: the flow would act on a race.
    bool hidden = node_final(n) && !n->seen;
    *reason = hidden ? FR_BECAUSE_FIRST : (fr_reason)n->reason;
    return hidden ? FR_RUNNING : (fr_state)n->state;
}

int fr_sched_result(fr_sched *s, fr_dep d, const fr_value **out, fr_err *err)
{
    node *n = node_at(s, d.node);
    FR_ASSERT(n->seen);
    if (n->map != NULL && n->result == NULL) {
        n->result = sched_map_result(s, n, err);
        if (n->result == NULL) {
            return err != NULL ? err->code : FR_ECORRUPT;
        }
    }
    *out = n->result;
    return FR_OK;
}

const fr_value *fr_sched_error(const fr_sched *s, uint32_t id)
{
    return node_at(s, id)->error;
}

void fr_sched_handled(fr_sched *s, uint32_t id)
{
    // A queue, not recursion: chains of upstream failures can be long.
    queue32 todo = {0};
    queue32_push(&todo, id);
    while (queue32_pop(&todo, &id)) {
        node *n = node_at(s, id);
        if (n->handled) {
            continue;
        }
        n->handled = true;
        if (!node_final(n)) {
            continue;                          // what fails in it is its own affair until it ends
        }
        uint32_t cause = sched_cause(s, id);
        if (cause != FR_NO_NODE) {
            queue32_push(&todo, cause);
        }
        for (uint32_t i = n->failures; i != FR_NO_NODE; i = node_at(s, i)->next_failure) {
            queue32_push(&todo, i);
        }
        bool upstream = n->reason == FR_BECAUSE_UPSTREAM;
        for (uint32_t i = 0, d; upstream && fr_sched_dep(s, id, i, &d); i++) {
            if (sched_failed(s, d)) {
                queue32_push(&todo, d);
            }
        }
    }
    fr_free(todo.data);
}

void fr_sched_raised(fr_sched *s, uint32_t b, uint32_t id)
{
    s->branches[b].raising = id;
}

int fr_sched_cancelled(const fr_sched *s, uint32_t b)
{
    uint32_t scope = s->cancel_seen ? FR_NO_NODE : sched_scope_stopped(s, b);
    return s->cancel_seen         ? s->cancel_code
           : scope != FR_NO_NODE ? node_at(s, scope)->stop_code
                                 : FR_OK;
}
