// The state machine itself: calls, starts, completions, cancel. See sched.h for the words.
#include "core/engine/sched_int.h"

#include <stdio.h>
#include <string.h>

static const int64_t SLOW_TASK_NS = 1000000;   // above it a start is worth a message

fr_sched *fr_sched_new(const fr_sched_env *env)
{
    fr_sched *s = fr_zalloc(sizeof *s);
    s->env = *env;
    s->io = *env->io;
    s->next_row = env->next_row > 0 ? env->next_row : 1;
    s->n_edges = 1;                            // edge 0 ends lists
    s->yielded = FR_NO_BRANCH;
    s->live_head = s->live_tail = FR_NO_NODE;
    s->root_cause = FR_NO_NODE;
    s->timer_armed = INT64_MAX;
    return s;
}

static void free_node(node *n)
{
    sched_free_args(n);
    fr_free(n->deps);
    fr_value_unref(n->result);
    fr_value_unref(n->error);
    fr_free((void *)(uintptr_t)n->where);
    fr_free((void *)(uintptr_t)n->label);
    if (n->map != NULL) {
        sched_map_free(n->map);
    }
}

void fr_sched_free(fr_sched *s)
{
    if (s == NULL) {
        return;
    }
    for (uint32_t i = 0; i < s->n_nodes; i++) {
        free_node(node_at(s, i));
    }
    for (uint32_t i = 0; i * NODE_CHUNK < s->n_nodes; i++) {
        fr_free(s->chunks[i]);
    }
    for (uint32_t i = 0; i < s->n_branches; i++) {
        fr_free(s->branches[i].label);
        fr_free(s->branches[i].uses);
    }
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        fr_free(s->tasks[i].name);
    }
    for (uint32_t i = 0; i < s->n_slots; i++) {
        if (s->slots[i] != NULL) {
            sched_attempt_free(s, s->slots[i]);
        }
    }
    sched_past_free(s);
    fr_map_fini(&s->task_index);
    fr_map_fini(&s->used_keys);
    fr_free(s->ready.data);
    fr_free(s->seen_queue.data);
    fr_free(s->free_slots.data);
    fr_free(s->chunks);
    fr_free(s->branches);
    fr_free(s->tasks);
    fr_free(s->edges);
    fr_free(s->barriers);
    fr_free(s->timers);
    fr_free(s->slots);
    fr_free(s->failures);
    fr_free(s->divergence);
    fr_free(s->running);
    fr_value_unref(s->root_result);
    fr_value_unref(s->root_error);
    fr_free(s);
}

void fr_sched_now(fr_sched *s, int64_t mono_ns, int64_t wall_ns)
{
    s->mono = mono_ns;
    s->wall = wall_ns;
}

bool sched_stopping(const fr_sched *s)
{
    return s->cancel_code != FR_OK || s->divergence != NULL;
}

uint32_t fr_sched_task(fr_sched *s, const char *name)
{
    fr_hash h = fr_hash_str(name);
    bool fresh;
    uint64_t *i = fr_map_put(&s->task_index, h, &fresh);
    if (fresh) {
        *i = s->n_tasks++;
        s->tasks = fr_realloc(s->tasks, s->n_tasks * sizeof *s->tasks);
        s->tasks[*i] = (task_name){.name = fr_strdup(name), .hash = h};
    }
    return (uint32_t)*i;
}

// --- nodes, edges, branches ---

static uint32_t new_node(fr_sched *s)
{
    if (s->n_nodes % NODE_CHUNK == 0) {
        uint32_t chunk = s->n_nodes / NODE_CHUNK;
        s->chunks = fr_realloc(s->chunks, (chunk + 1) * sizeof *s->chunks);
        s->chunks[chunk] = fr_alloc(NODE_CHUNK * sizeof(node));
    }
    uint32_t id = s->n_nodes++;
    *node_at(s, id) = (node){.slot = FR_NO_NODE, .cause = FR_NO_NODE, .body = FR_NO_BRANCH};
    return id;
}

void sched_live_add(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    n->live = true;
    n->live_prev = s->live_tail;
    n->live_next = FR_NO_NODE;
    if (s->live_tail != FR_NO_NODE) {
        node_at(s, s->live_tail)->live_next = id;
    } else {
        s->live_head = id;
    }
    s->live_tail = id;
    s->n_live++;
}

static void live_remove(fr_sched *s, node *n)
{
    if (!n->live) {
        return;
    }
    n->live = false;
    if (n->live_prev != FR_NO_NODE) {
        node_at(s, n->live_prev)->live_next = n->live_next;
    } else {
        s->live_head = n->live_next;
    }
    if (n->live_next != FR_NO_NODE) {
        node_at(s, n->live_next)->live_prev = n->live_prev;
    } else {
        s->live_tail = n->live_prev;
    }
    s->n_live--;
}

static uint32_t new_edge(fr_sched *s, uint32_t next, uint32_t target, uint32_t serial)
{
    uint32_t i = s->free_edge;
    if (i != 0) {
        s->free_edge = s->edges[i].next;
    } else {
        if (s->n_edges >= s->cap_edges) {
            s->cap_edges = s->cap_edges == 0 ? 256 : s->cap_edges * 2;
            s->edges = fr_realloc(s->edges, s->cap_edges * sizeof *s->edges);
        }
        i = s->n_edges++;
    }
    s->edges[i] = (edge){next, target, serial};
    return i;
}

static uint32_t take_edge(fr_sched *s, uint32_t i, uint32_t *target, uint32_t *serial)
{
    edge *e = &s->edges[i];
    uint32_t next = e->next;
    *target = e->target;
    *serial = e->serial;
    e->next = s->free_edge;
    s->free_edge = i;
    return next;
}

static uint32_t new_branch(fr_sched *s, fr_hash path, char *label)
{
    if (s->n_branches == s->cap_branches) {
        s->cap_branches = s->cap_branches == 0 ? 8 : s->cap_branches * 2;
        s->branches = fr_realloc(s->branches, s->cap_branches * sizeof *s->branches);
    }
    s->branches[s->n_branches] = (branch){.path = path, .label = label, .node = FR_NO_NODE,
                                          .raising = FR_NO_NODE, .serial = 1};
    s->branches_alive++;
    return s->n_branches++;
}

static void make_ready(fr_sched *s, uint32_t b)
{
    branch *br = &s->branches[b];
    if (!br->ready && !br->ended) {
        br->ready = true;
        br->blocked = false;
        br->serial++;
        queue32_push(&s->ready, b);
    }
}

static uint32_t next_use(fr_sched *s, uint32_t b, uint32_t task)
{
    branch *br = &s->branches[b];
    if (task >= br->n_uses) {
        uint32_t n = FR_MAX(task + 1, s->n_tasks);
        br->uses = fr_realloc(br->uses, n * sizeof *br->uses);
        memset(br->uses + br->n_uses, 0, (n - br->n_uses) * sizeof *br->uses);
        br->n_uses = n;
    }
    return ++br->uses[task];
}

static fr_hash use_key(const fr_sched *s, uint32_t b, uint32_t task, uint32_t use)
{
    return fr_hash_mix(fr_hash_pair(s->branches[b].path, s->tasks[task].hash), use);
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

// --- records ---

void sched_record(fr_sched *s, fr_record *r)
{
    r->seq = ++s->seq;
    s->io.append(s->io.ctx, r);
}

void sched_record_of(const fr_sched *s, const node *n, fr_record *r)
{
    *r = (fr_record){.kind = (fr_call_kind)n->kind, .row = n->row, .key = n->key, .args = n->args,
                     .parent = s->branches[n->branch].flow_row, .name = s->tasks[n->task].name,
                     .label = n->label, .state = (fr_state)n->state,
                     .reason = (fr_reason)n->reason, .attempt = n->attempt, .queued = n->queued,
                     .started = n->started, .ended = n->ended, .due = n->due};
}

void sched_event(fr_sched *s, fr_moment what, uint32_t id)
{
    if (s->io.moment != NULL) {
        s->io.moment(s->io.ctx, what, id);
    }
}

void sched_move(fr_sched *s, node *n, fr_state to, fr_reason why)
{
    fr_err err = FR_ERR_INIT;
    if (fr_state_check((fr_state)n->state, to, &err) != FR_OK) {
        fr_panic(__FILE__, __LINE__, err.text);
    }
    uint32_t *count[] = {[FR_WAITING] = &s->stats.waiting, [FR_QUEUED] = &s->stats.queued,
                         [FR_RUNNING] = &s->stats.running, [FR_SUCCESS] = &s->stats.succeeded,
                         [FR_SKIPPED] = &s->stats.skipped, [FR_FAILED] = &s->stats.failed,
                         [FR_STOPPED] = &s->stats.stopped, [FR_SCHEDULED] = &s->stats.waiting,
                         [FR_DEFERRED] = &s->stats.waiting, [FR_CANCELLING] = &s->stats.running,
                         [FR_STARTING] = &s->stats.queued, [FR_PAUSED] = &s->stats.waiting};
    if (n->state != FR_STATE_NONE) {
        --*count[n->state];
    }
    ++*count[to];
    n->state = (uint8_t)to;
    n->reason = (uint8_t)why;
}

// --- ends ---

static void note_failure(fr_sched *s, uint32_t id)
{
    if (s->n_failures == s->cap_failures) {
        s->cap_failures = s->cap_failures == 0 ? 16 : s->cap_failures * 2;
        s->failures = fr_realloc(s->failures, s->cap_failures * sizeof *s->failures);
    }
    s->failures[s->n_failures++] = id;
}

void sched_free_args(node *n)
{
    fr_value_unref(n->argv);
    fr_value_unref(n->list);
    n->argv = n->list = NULL;
}

static uint32_t output_hashes(const node *n, fr_hash *out)
{
    uint32_t k = n->opts != NULL && n->opts->n_outputs > 1 ? n->opts->n_outputs : 0;
    for (uint32_t i = 0; i < k && n->result != NULL; i++) {
        fr_value *v = sched_element(n->result, i + 1);
        out[i] = v->hash;
        fr_value_unref(v);
    }
    return n->result != NULL ? k : 0;
}

static void append_end(fr_sched *s, node *n)
{
    fr_record r;
    sched_record_of(s, n, &r);
    r.type = FR_REC_TASK;
    r.result = n->map == NULL ? n->result : NULL;
    r.error = n->error;
    fr_hash hashes[64];
    if (n->opts != NULL && n->opts->n_outputs <= FR_COUNT(hashes)) {
        r.n_outputs = output_hashes(n, hashes);
        r.outputs = hashes;
    }
    if (n->map != NULL) {
        r.items = n->map->n;
        r.failed_items = n->map->failed;
    }
    sched_record(s, &r);
    n->seq = s->seq;
}

void sched_finish(fr_sched *s, uint32_t id, fr_state state, fr_reason why, fr_value *result,
                  fr_value *error)
{
    node *n = node_at(s, id);
    sched_move(s, n, state, why);
    n->result = result;
    n->error = error;
    n->slot = FR_NO_NODE;
    if (n->ended == 0) {
        n->ended = s->wall;
    }
    if (state == FR_FAILED || state == FR_STOPPED) {
        note_failure(s, id);
    }
    s->stats.degraded += why == FR_BECAUSE_DEGRADED;
    live_remove(s, n);
    if (n->kind == CALL_SPAWN) {
        sched_arrived(s, id);
        sched_observe(s, id);
        return;
    }
    append_end(s, n);
    if (state == FR_SUCCESS) {
        sched_free_args(n);
    }
    queue32_push(&s->seen_queue, id);
    sched_event(s, FR_MOMENT_ENDED, id);
    sched_arrived(s, id);
}

static void ready_to_start(fr_sched *s, uint32_t id);

void sched_arrived(fr_sched *s, uint32_t id)
{
    uint32_t e = node_at(s, id)->dependents, target, serial;
    node_at(s, id)->dependents = 0;
    while (e != 0) {
        e = take_edge(s, e, &target, &serial);
        node *d = node_at(s, target);
        if (--d->pending == 0 && !node_final(d)) {
            ready_to_start(s, target);
        }
    }
}

void sched_observe(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    n->seen = true;
    uint32_t e = n->waiters, b, serial;
    n->waiters = 0;
    while (e != 0) {
        e = take_edge(s, e, &b, &serial);
        branch *br = &s->branches[b];
        if (br->blocked && br->serial == serial && (br->any || --br->pending == 0)) {
            make_ready(s, b);
        }
    }
}

// --- starts ---

static uint32_t failed_dep(const fr_sched *s, const node *n)
{
    for (uint32_t i = 0; i < n->n_deps + n->n_after; i++) {
        if (node_at(s, n->deps[i].node)->state != FR_SUCCESS) {
            return n->deps[i].node;
        }
    }
    if (n->list_dep.node != FR_NO_NODE && node_at(s, n->list_dep.node)->state != FR_SUCCESS) {
        return n->list_dep.node;
    }
    return FR_NO_NODE;
}

static void fail_upstream(fr_sched *s, uint32_t id, uint32_t dep)
{
    node *n = node_at(s, id);
    const node *d = node_at(s, dep);
    char why[600];
    sched_error_text(d->error, why, sizeof why);
    n->cause = dep;
    fr_value *error = sched_error("upstream", "%s did not succeed: %s", s->tasks[d->task].name, why);
    bool stopped = d->state == FR_STOPPED;
    sched_finish(s, id, stopped ? FR_STOPPED : FR_FAILED,
                 stopped ? FR_BECAUSE_CANCELLED : FR_BECAUSE_UPSTREAM, NULL, error);
}

void sched_wait_durable(fr_sched *s, uint64_t need, uint32_t node, uint32_t item)
{
    if (s->n_barriers == s->cap_barriers) {
        s->cap_barriers = s->cap_barriers == 0 ? 64 : s->cap_barriers * 2;
        s->barriers = fr_realloc(s->barriers, s->cap_barriers * sizeof *s->barriers);
    }
    s->barriers[s->n_barriers++] = (barrier){need, node, item};
}

static void start_sleep(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    if (n->due == 0) {
        n->due = s->wall + n->sleep_ns;
        fr_record r;
        sched_record_of(s, n, &r);
        r.type = FR_REC_TIMER;
        sched_record(s, &r);
    }
    // The wall clock may have jumped: never wait longer than was asked for.
    int64_t left = FR_MIN(FR_MAX(n->due - s->wall, 0), n->sleep_ns);
    sched_move(s, n, FR_DEFERRED, FR_BECAUSE_TIMER);
    sched_timer_add(s, TIMER_SLEEP, s->mono + left, id, 0, 0);
}

static void ready_to_start(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    uint32_t dep = failed_dep(s, n);
    n->queued = s->wall;
    if (dep != FR_NO_NODE) {
        fail_upstream(s, id, dep);
    } else if (sched_stopping(s)) {
        sched_finish(s, id, FR_STOPPED, FR_BECAUSE_CANCELLED, NULL,
                     sched_error("cancelled", "the run was cancelled before it started"));
    } else if (n->kind == FR_CALL_SLEEP) {
        start_sleep(s, id);
    } else if (n->due > s->wall && n->attempt > 0) {      // a retry that a crash interrupted
        sched_move(s, n, FR_SCHEDULED, FR_BECAUSE_RETRY);
        int64_t longest = fr_retry_delay(&n->opts->retry, n->attempt, s->env.seed, n->key);
        sched_timer_add(s, TIMER_RETRY, s->mono + FR_MIN(n->due - s->wall, longest), id, n->attempt, 0);
    } else if (n->opts != NULL && n->opts->effect && s->durable < s->seq) {
        n->reason = FR_BECAUSE_DURABLE;
        sched_wait_durable(s, s->seq, id, FR_NO_NODE);
    } else {
        sched_dispatch(s, id);
    }
}

run_attempt *sched_slot(const fr_sched *s, uint32_t slot)
{
    return slot < s->n_slots ? s->slots[slot] : NULL;
}

static uint32_t take_slot(fr_sched *s, run_attempt *ra)
{
    uint32_t i;
    if (!queue32_pop(&s->free_slots, &i)) {
        if (s->n_slots == s->cap_slots) {
            s->cap_slots = s->cap_slots == 0 ? 64 : s->cap_slots * 2;
            s->slots = fr_realloc(s->slots, s->cap_slots * sizeof *s->slots);
        }
        i = s->n_slots++;
    }
    s->slots[i] = ra;
    return i;
}

fr_value *sched_dep_value(fr_sched *s, fr_dep d)
{
    node *n = node_at(s, d.node);
    if (n->map != NULL && n->result == NULL) {
        n->result = sched_map_result(s, n, NULL);
    }
    if (n->result == NULL) {
        return fr_value_nil();
    }
    bool whole = d.output == 0 || n->opts == NULL || n->opts->n_outputs <= 1;
    return whole ? fr_value_ref(n->result) : sched_element(n->result, d.output);
}

run_attempt *sched_attempt_new(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    run_attempt *ra = fr_zalloc(sizeof *ra);
    ra->node = id;
    ra->slot = take_slot(s, ra);
    double mean = s->tasks[n->task].mean_ns;
    ra->a = (fr_attempt){.code = s->env.code, .task = s->tasks[n->task].name, .row = n->row,
                         .attempt = n->attempt + 1, .fence = ++s->fence, .key = n->key,
                         .args = n->argv, .n_args = n->n_args,
                         .n_outputs = n->opts->n_outputs, .n_deps = n->n_deps, .need = s->seq,
                         .cpu = n->opts->cpu, .effect = n->opts->effect,
                         .report_start = n->opts->timeout_ns > 0 || mean == 0 ||
                                         mean > (double)SLOW_TASK_NS,
                         .queued = n->queued, .owner = ra};
    if (n->n_deps > 0) {
        ra->own_deps = fr_alloc(n->n_deps * sizeof(fr_value *));
        for (uint32_t i = 0; i < n->n_deps; i++) {
            ra->own_deps[i] = sched_dep_value(s, n->deps[i]);
        }
        ra->a.deps = ra->own_deps;
    }
    return ra;
}

void sched_attempt_free(fr_sched *s, run_attempt *ra)
{
    for (uint32_t i = 0; ra->own_deps != NULL && i < ra->a.n_deps; i++) {
        fr_value_unref(ra->own_deps[i]);
    }
    fr_free(ra->own_deps);
    fr_free(ra->own_indexes);
    s->slots[ra->slot] = NULL;
    queue32_push(&s->free_slots, ra->slot);
    fr_free(ra);
}

void sched_dispatch(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    sched_move(s, n, FR_QUEUED, FR_BECAUSE_WORKER);
    if (n->kind == FR_CALL_MAP) {
        sched_map_start(s, id);
        return;
    }
    run_attempt *ra = sched_attempt_new(s, id);
    n->slot = ra->slot;
    n->delayed = false;
    s->io.start(s->io.ctx, &ra->a);
}

// --- calls ---

static int link_dep(fr_sched *s, uint32_t id, uint32_t dep)
{
    node *d = node_at(s, dep);
    if (!node_final(d)) {
        node_at(s, id)->pending++;
        uint32_t e = new_edge(s, d->dependents, id, 0);
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
    n->n_after = c->n_after;
    n->argv = c->args != NULL ? fr_value_ref(c->args) : NULL;
    n->list = c->list != NULL ? fr_value_ref(c->list) : NULL;
    n->list_dep = c->kind == FR_CALL_MAP && c->list == NULL ? c->list_dep : (fr_dep){FR_NO_NODE, 0};
    n->where = c->where != NULL ? fr_strdup(c->where) : NULL;
    n->sleep_ns = c->sleep_ns;
    if (c->n_deps + c->n_after > 0) {
        n->deps = fr_alloc((c->n_deps + c->n_after) * sizeof *n->deps);
        memcpy(n->deps, c->deps, c->n_deps * sizeof *n->deps);
        if (c->n_after > 0) {
            memcpy(n->deps + c->n_deps, c->after, c->n_after * sizeof *n->deps);
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
    if (s->cancel_seen || (s->past_cancel != 0 && s->cursor + 1 >= s->past_cancel)) {
        return fr_fail(err, FR_ECANCELLED, "the run is being cancelled");
    }
    uint32_t id = new_node(s);
    node *n = node_at(s, id);
    n->kind = (uint8_t)c->kind;
    n->branch = c->branch;
    n->task = c->task;
    n->list_dep.node = FR_NO_NODE;
    sched_move(s, n, FR_WAITING, FR_BECAUSE_DEPS);
    s->stats.calls++;
    n->queued = s->wall;
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
    return FR_OK;
}

int fr_sched_call(fr_sched *s, const fr_call *c, uint32_t *node, fr_err *err)
{
    bool recorded = false;
    int rc = make_call(s, c, node, &recorded, err);
    if (rc == FR_OK && !recorded) {
        link_deps(s, *node);
        if (node_at(s, *node)->pending == 0) {
            ready_to_start(s, *node);
        }
    }
    return rc;
}

static char *branch_label(const fr_sched *s, uint32_t parent, uint32_t kid)
{
    char text[256];
    (void)snprintf(text, sizeof text, "%s.%u", s->branches[parent].label, kid);
    return fr_strdup(text);
}

int fr_sched_subflow(fr_sched *s, const fr_call *c, uint32_t *node, uint32_t *out, fr_err *err)
{
    bool recorded = false;
    *out = FR_NO_BRANCH;
    int rc = make_call(s, c, node, &recorded, err);
    if (rc != FR_OK || recorded) {
        return rc;
    }
    uint32_t kid = ++s->branches[c->branch].kids;
    fr_hash path = fr_hash_pair(node_at(s, *node)->key, (fr_hash){.lo = 1, .hi = 0});
    uint32_t b = new_branch(s, path, branch_label(s, c->branch, kid));
    s->branches[b].node = *node;
    s->branches[b].flow_row = node_at(s, *node)->row;
    node_at(s, *node)->body = b;
    node_at(s, *node)->started = s->wall;
    node_at(s, *node)->attempt = 1;
    sched_move(s, node_at(s, *node), FR_QUEUED, FR_BECAUSE_WORKER);
    sched_move(s, node_at(s, *node), FR_RUNNING, FR_BECAUSE_FIRST);
    make_ready(s, b);
    *out = b;
    return FR_OK;
}

uint32_t fr_sched_spawn(fr_sched *s, uint32_t parent, uint32_t *out)
{
    went_on(s, parent);
    uint32_t task = fr_sched_task(s, "spawn");
    uint32_t kid = ++s->branches[parent].kids, id = new_node(s);
    node *n = node_at(s, id);
    n->kind = CALL_SPAWN;
    n->branch = parent;
    n->task = task;
    n->list_dep.node = FR_NO_NODE;
    n->key = fr_hash_mix(fr_hash_pair(s->branches[parent].path, s->tasks[task].hash), kid);
    uint32_t b = new_branch(s, n->key, branch_label(s, parent, kid));
    s->branches[b].node = id;
    s->branches[b].flow_row = s->branches[parent].flow_row;
    n->body = b;
    sched_move(s, n, FR_WAITING, FR_BECAUSE_DEPS);
    sched_move(s, n, FR_QUEUED, FR_BECAUSE_WORKER);
    sched_move(s, n, FR_RUNNING, FR_BECAUSE_FIRST);
    sched_live_add(s, id);
    make_ready(s, b);
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
    past *p = sched_past(s, key);
    *out = NULL;
    if (p != NULL && p->value_only) {
        *out = p->result;
        return FR_OK;
    }
    if (s->cancel_seen) {
        return fr_fail(err, FR_ECANCELLED, "the run is being cancelled");
    }
    p = NULL;
    fr_record r = {.type = FR_REC_VALUE, .key = key, .name = name, .result = fresh,
                   .parent = s->branches[b].flow_row, .ended = s->wall};
    sched_record(s, &r);
    *out = fresh;
    return FR_OK;
}

bool fr_sched_wait(fr_sched *s, uint32_t b, const uint32_t *nodes, uint32_t n, bool any)
{
    went_on(s, b);
    uint32_t missing = 0;
    for (uint32_t i = 0; i < n; i++) {
        missing += !node_at(s, nodes[i])->seen;
    }
    if (missing == 0 || (any && missing < n) || s->cancel_seen || s->divergence != NULL) {
        return true;
    }
    branch *br = &s->branches[b];
    br->any = any;
    br->pending = missing;
    br->blocked = true;
    for (uint32_t i = 0; i < n; i++) {
        node *d = node_at(s, nodes[i]);
        if (!d->seen) {
            uint32_t e = new_edge(s, d->waiters, b, br->serial);
            d->waiters = e;
        }
    }
    return false;
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
    int code = error != NULL ? sched_error_code(error) : FR_OK;
    if (error == NULL) {
        sched_finish(s, id, FR_SUCCESS, FR_BECAUSE_RAN, result, NULL);
    } else if (s->cancel_seen && (code == FR_ECANCELLED || code == FR_ETIMEOUT)) {
        sched_finish(s, id, FR_STOPPED, FR_BECAUSE_CANCELLED, NULL, error);
    } else {
        sched_finish(s, id, FR_FAILED, FR_BECAUSE_ERROR, NULL, error);
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
    // A loop, not recursion: chains of upstream failures can be long.
    while (id != FR_NO_NODE) {
        node *n = node_at(s, id);
        if (n->handled) {
            return;
        }
        n->handled = true;
        for (uint32_t i = 0; i < n->n_deps + n->n_after; i++) {
            uint32_t d = n->deps[i].node;
            if (d != n->cause && n->reason == FR_BECAUSE_UPSTREAM && node_final(node_at(s, d)) &&
                node_at(s, d)->state != FR_SUCCESS) {
                node_at(s, d)->handled = true;
            }
        }
        id = n->cause;
    }
}

void fr_sched_raised(fr_sched *s, uint32_t b, uint32_t id)
{
    s->branches[b].raising = id;
}

int fr_sched_cancelled(const fr_sched *s)
{
    return s->cancel_seen ? s->cancel_code : FR_OK;
}

// --- completions ---

void fr_sched_started(fr_sched *s, fr_attempt *a, int64_t wall_ns)
{
    run_attempt *ra = a->owner;
    node *n = node_at(s, ra->node);
    if (n->started == 0 || n->kind != FR_CALL_MAP) {
        n->started = wall_ns;
    }
    if (n->state == FR_QUEUED) {
        sched_move(s, n, FR_RUNNING, n->attempt > 0 ? FR_BECAUSE_RETRY : FR_BECAUSE_FIRST);
        fr_record r;
        sched_record_of(s, n, &r);
        r.type = FR_REC_START;
        r.attempt = a->attempt;
        s->io.append(s->io.ctx, &r);
        if (s->n_running == s->cap_running) {
            s->cap_running = s->cap_running == 0 ? 32 : s->cap_running * 2;
            s->running = fr_realloc(s->running, s->cap_running * sizeof *s->running);
        }
        s->running[s->n_running++] = ra->node;
        sched_event(s, FR_MOMENT_STARTED, ra->node);
    }
    if (n->opts->timeout_ns > 0) {
        sched_timer_add(s, TIMER_TIMEOUT, s->mono + n->opts->timeout_ns, ra->slot, a->fence, 0);
    }
}

static fr_reason reason_of(int code)
{
    switch (code) {
    case FR_ETIMEOUT:
        return FR_BECAUSE_TIMEOUT;
    case FR_EQUALITY:
        return FR_BECAUSE_QUALITY;
    case FR_ELOST:
        return FR_BECAUSE_CRASHED;
    case FR_EPOISON:
        return FR_BECAUSE_QUARANTINED;
    default:
        return FR_BECAUSE_ERROR;
    }
}

static void start_retry(fr_sched *s, uint32_t id, const fr_value *error)
{
    node *n = node_at(s, id);
    int64_t delay = fr_retry_delay(&n->opts->retry, n->attempt, s->env.seed, n->key);
    n->due = n->ended + delay;
    sched_move(s, n, FR_SCHEDULED, FR_BECAUSE_RETRY);
    s->stats.retries++;
    fr_record r;
    sched_record_of(s, n, &r);
    r.type = FR_REC_RETRY;
    r.error = error;
    sched_record(s, &r);
    n->need = s->seq;
    fr_value_unref(n->error);
    n->error = fr_value_ref(error);
    sched_event(s, FR_MOMENT_RETRY, id);
    int64_t left = FR_MAX(n->due - s->wall, 0);
    n->ended = 0;
    sched_timer_add(s, TIMER_RETRY, s->mono + FR_MIN(left, delay), id, n->attempt, 0);
}

static void start_fallback(fr_sched *s, uint32_t id, const fr_done *d)
{
    node *n = node_at(s, id);
    if (n->opts->fallback_fn) {
        fr_value_unref(n->error);
        n->error = d->error != NULL ? fr_value_ref(d->error) : NULL;
        n->state = FR_QUEUED;
        s->stats.running--;
        s->stats.queued++;
        n->ended = 0;
        run_attempt *ra = sched_attempt_new(s, id);
        ra->a.option = "fallback";
        ra->a.attempt = n->attempt;
        n->slot = ra->slot;
        s->io.start(s->io.ctx, &ra->a);
        return;
    }
    sched_finish(s, id, FR_SUCCESS, FR_BECAUSE_DEGRADED, fr_value_ref(n->opts->fallback), NULL);
}

static void body_failed(fr_sched *s, uint32_t id, const fr_attempt *a, const fr_done *d)
{
    node *n = node_at(s, id);
    int code = n->timed_out ? FR_ETIMEOUT : d->code;
    bool stopping = sched_stopping(s);
    if (stopping && (code == FR_ECANCELLED || code == FR_ETIMEOUT)) {
        fr_value *error = d->error != NULL ? fr_value_ref(d->error)
                                           : sched_error("cancelled", "the run was cancelled");
        sched_finish(s, id, FR_STOPPED, FR_BECAUSE_CANCELLED, NULL, error);
        return;
    }
    if (a->option == NULL && !stopping) {
        if (fr_retry_allowed(&n->opts->retry, n->attempt) && sched_error_retry(d->error)) {
            if (n->state == FR_CANCELLING) {
                n->state = FR_RUNNING;         // its time was up, the task itself goes on
            }
            n->timed_out = false;
            start_retry(s, id, d->error);
            return;
        }
        if (n->opts->fallback != NULL || n->opts->fallback_fn) {
            if (n->state == FR_CANCELLING) {
                n->state = FR_RUNNING;
            }
            n->timed_out = false;
            start_fallback(s, id, d);
            return;
        }
    }
    fr_value *error = d->error != NULL ? fr_value_ref(d->error)
                                       : sched_error(fr_err_name(code), "%s", fr_err_text(code));
    sched_finish(s, id, FR_FAILED, reason_of(code), NULL, error);
}

static void learn_cost(fr_sched *s, const node *n, const fr_done *d, uint32_t items)
{
    double ns = (double)(d->ended - d->started) / FR_MAX(items, 1);
    double *mean = &s->tasks[n->task].mean_ns;
    *mean = *mean == 0 ? FR_MAX(ns, 1) : *mean + (ns - *mean) / 8;
}

void fr_sched_done(fr_sched *s, fr_attempt *a, const fr_done *d)
{
    run_attempt *ra = a->owner;
    uint32_t id = ra->node;
    node *n = node_at(s, id);
    learn_cost(s, n, d, d->n_items);
    if (n->kind == FR_CALL_MAP) {
        sched_map_done(s, ra, d);
        return;
    }
    FR_ASSERT(n->slot == ra->slot);            // each attempt is answered once
    if (n->state == FR_QUEUED) {
        bool ran = d->started != 0;
        if (ran) {
            sched_move(s, n, FR_RUNNING, FR_BECAUSE_FIRST);
        }
    }
    if (d->started != 0) {
        n->started = d->started;
        n->ended = d->ended;
        n->attempt += a->option == NULL;
    }
    n->slot = FR_NO_NODE;
    if (d->code == FR_OK) {
        fr_reason why = a->option != NULL ? FR_BECAUSE_DEGRADED : FR_BECAUSE_RAN;
        fr_value_unref(n->error);
        n->error = NULL;
        sched_finish(s, id, FR_SUCCESS, why, d->result != NULL ? fr_value_ref(d->result) : fr_value_nil(),
                     NULL);
    } else {
        fr_value *before = n->error;
        n->error = NULL;
        body_failed(s, id, a, d);
        fr_value_unref(before);
    }
    sched_attempt_free(s, ra);
}

void fr_sched_durable(fr_sched *s, uint64_t seq)
{
    if (seq <= s->durable) {
        return;
    }
    s->durable = seq;
    while (s->barrier_head < s->n_barriers && s->barriers[s->barrier_head].need <= seq) {
        barrier b = s->barriers[s->barrier_head++];
        node *n = node_at(s, b.node);
        if (b.item != FR_NO_NODE) {
            sched_map_retry(s, b.node, b.item);
        } else if (!node_final(n) && n->state != FR_CANCELLING) {
            sched_dispatch(s, b.node);
        }
    }
    if (s->barrier_head == s->n_barriers) {
        s->barrier_head = s->n_barriers = 0;
    }
}

static void time_out(fr_sched *s, const timer_entry *e)
{
    run_attempt *ra = sched_slot(s, e->node);
    if (ra == NULL || ra->a.fence != e->fence) {
        return;                                // it ended before; the timer is stale
    }
    node *n = node_at(s, ra->node);
    if (n->kind != FR_CALL_MAP && n->state == FR_RUNNING) {
        sched_move(s, n, FR_CANCELLING, FR_BECAUSE_TIMEOUT);
        n->timed_out = true;
    }
    s->io.cancel(s->io.ctx, &ra->a, FR_ETIMEOUT);
}

static void retry_due(fr_sched *s, const timer_entry *e)
{
    node *n = node_at(s, e->node);
    if (n->state != FR_SCHEDULED || n->attempt != e->fence) {
        return;
    }
    if (s->durable < n->need) {                // an attempt is never lost from the count
        sched_wait_durable(s, s->seq, e->node, FR_NO_NODE);
    } else {
        sched_dispatch(s, e->node);
    }
}

void fr_sched_timer(fr_sched *s)
{
    timer_entry e;
    while (sched_timer_pop(s, &e)) {
        switch (e.kind) {
        case TIMER_RETRY:
            retry_due(s, &e);
            break;
        case TIMER_TIMEOUT:
            time_out(s, &e);
            break;
        case TIMER_SLEEP:
            if (node_at(s, e.node)->state == FR_DEFERRED) {
                sched_finish(s, e.node, FR_SUCCESS, FR_BECAUSE_TIMER, fr_value_nil(), NULL);
            }
            break;
        case TIMER_ITEM:
            sched_wait_durable(s, s->seq, e.node, e.item);
            break;
        }
    }
    s->timer_armed = -1;
    sched_timer_arm(s);
    uint64_t durable = s->durable;
    if (s->barrier_head < s->n_barriers && s->barriers[s->barrier_head].need <= durable) {
        s->durable = 0;
        fr_sched_durable(s, durable);
    }
}

// --- cancel ---

static void stop_node(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    if (n->kind == FR_CALL_MAP && (n->state == FR_QUEUED || n->state == FR_RUNNING)) {
        sched_map_stop(s, id);
        return;
    }
    if (n->slot != FR_NO_NODE) {
        if (n->state == FR_RUNNING) {
            sched_move(s, n, FR_CANCELLING, FR_BECAUSE_USER);
        }
        s->io.cancel(s->io.ctx, &sched_slot(s, n->slot)->a, s->cancel_code);
        return;
    }
    if (n->body != FR_NO_BRANCH) {
        return;                                // its branch is woken with the error
    }
    sched_finish(s, id, FR_STOPPED, FR_BECAUSE_CANCELLED, NULL,
                 sched_error("cancelled", "the run was cancelled"));
}

void fr_sched_cancel(fr_sched *s, int code, const char *why)
{
    if (s->cancel_code != FR_OK) {
        return;
    }
    s->cancel_code = code;
    if (s->past_cancel == 0) {
        fr_record r = {.type = FR_REC_REQUEST, .name = code == FR_ETIMEOUT ? "timeout" : "cancel",
                       .data = why, .size = strlen(why), .ended = s->wall};
        sched_record(s, &r);
    }
    for (uint32_t id = s->live_head, next; id != FR_NO_NODE; id = next) {
        next = node_at(s, id)->live_next;
        if (next != FR_NO_NODE) {
            // Stopping one may end dependents, perhaps the next: stay on a live one.
            node *n = node_at(s, id);
            stop_node(s, id);
            if (!n->live && !node_at(s, next)->live) {
                next = s->live_head == id ? FR_NO_NODE : s->live_head;
            }
        } else {
            stop_node(s, id);
        }
    }
    queue32_push(&s->seen_queue, CANCEL_MARK);
}

static void see_cancel(fr_sched *s)
{
    s->cancel_seen = true;
    for (uint32_t b = 0; b < s->n_branches; b++) {
        if (s->branches[b].blocked) {
            make_ready(s, b);
        }
    }
}

// --- the loop ---

void fr_sched_begin(fr_sched *s)
{
    FR_ASSERT(!s->begun);
    s->begun = true;
    uint32_t root = new_branch(s, fr_hash_str("0"), fr_strdup("0"));
    make_ready(s, root);
}

static bool observe_next(fr_sched *s)
{
    if (queue32_empty(&s->seen_queue)) {
        return false;
    }
    uint32_t id = s->seen_queue.data[s->seen_queue.head & (s->seen_queue.capacity - 1)];
    if (id != CANCEL_MARK && s->env.strict && node_at(s, id)->seq > s->durable) {
        return false;
    }
    (void)queue32_pop(&s->seen_queue, &id);
    if (id == CANCEL_MARK) {
        see_cancel(s);
    } else {
        sched_observe(s, id);
    }
    return true;
}

// Nothing runs, nothing will come, yet a branch waits: the branches wait for each other.
static void break_deadlock(fr_sched *s)
{
    if (s->begun && s->branches_alive > 0 && queue32_empty(&s->ready) &&
        s->yielded == FR_NO_BRANCH && queue32_empty(&s->seen_queue) && !s->cancel_seen) {
        bool bodies_only = true;
        for (uint32_t id = s->live_head; id != FR_NO_NODE && bodies_only;
             id = node_at(s, id)->live_next) {
            bodies_only = node_at(s, id)->body != FR_NO_BRANCH;
        }
        if (bodies_only) {
            sched_diverge(s, "deadlock: every branch of the flow waits for another one");
        }
    }
}

void fr_sched_run(fr_sched *s, uint32_t budget)
{
    bool more = true;
    while (budget > 0 && more) {
        uint32_t b = s->yielded;
        s->yielded = FR_NO_BRANCH;
        if (b != FR_NO_BRANCH || queue32_pop(&s->ready, &b)) {
            s->branches[b].ready = false;
            budget--;
            if (s->io.resume(s->io.ctx, b) == FR_RAN_YIELDED) {
                s->yielded = b;
                break;
            }
            continue;
        }
        more = sched_advance(s) || observe_next(s);
        if (!more && s->n_live < 64) {
            break_deadlock(s);
            more = s->divergence != NULL && !queue32_empty(&s->ready);
        }
    }
    sched_timer_arm(s);
}

bool fr_sched_busy(const fr_sched *s)
{
    if (!queue32_empty(&s->ready) || s->yielded != FR_NO_BRANCH || s->cursor < s->n_order) {
        return true;
    }
    if (queue32_empty(&s->seen_queue)) {
        return false;
    }
    uint32_t id = s->seen_queue.data[s->seen_queue.head & (s->seen_queue.capacity - 1)];
    return id == CANCEL_MARK || !s->env.strict || node_at(s, id)->seq <= s->durable;
}

bool fr_sched_ended(const fr_sched *s)
{
    return s->begun && s->branches_alive == 0 && s->n_live == 0;
}
