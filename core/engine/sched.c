// The state machine itself: nodes, records, ends, starts. See sched.h for the words.
#include "core/engine/sched_int.h"

#include <string.h>

static const int64_t SLOW_TASK_NS = 1000000;   // above it a start is worth a message

fr_sched *fr_sched_new(const fr_sched_env *env)
{
    fr_sched *s = fr_zalloc(sizeof *s);
    s->env = *env;
    s->io = *env->io;
    s->next_row = env->next_row > 0 ? env->next_row : 1;
    s->n_edges = 1;                            // edge 0 ends lists
    s->next_past = 1;
    s->yielded = FR_NO_BRANCH;
    s->live_head = s->live_tail = FR_NO_NODE;
    s->root_cause = s->root_fast = FR_NO_NODE;
    s->timer_armed = INT64_MAX;
    return s;
}

static void free_node(node *n)
{
    sched_free_args(n);
    fr_free(n->deps);
    fr_value_unref(n->result);
    fr_value_unref(n->error);
    fr_free((void *)(uintptr_t)n->label);
    if (n->map != NULL) {
        sched_map_free(n->map);
    }
    sched_wait_free(n->wait);
    sched_cache_free(n->cache);
}

void fr_sched_free(fr_sched *s)
{
    if (s == NULL) {
        return;
    }
    s->freeing = true;
    for (uint32_t i = 0; i < s->nodes.n; i++) {
        free_node(node_at(s, i));
    }
    fr_grow_fini(&s->nodes);
    for (uint32_t i = 0; i < s->n_branches; i++) {
        fr_free(s->branches[i].label);
        fr_free(s->branches[i].uses);
    }
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        fr_free(s->tasks[i].name);
        sched_line_free(s->tasks[i].line);
    }
    for (uint32_t i = 0; i < s->n_slots; i++) {
        if (s->slots[i] != NULL) {
            sched_attempt_free(s, s->slots[i]);
        }
    }
    sched_past_free(s);
    fr_map_fini(&s->task_index);
    fr_map_fini(&s->used_keys);
    fr_map_fini(&s->same_calls);
    fr_map_fini(&s->suspect_index);
    fr_map_fini(&s->asks);
    fr_free(s->suspects);
    fr_free(s->held.data);
    fr_free(s->ready.data);
    fr_free(s->seen_queue.data);
    fr_free(s->free_slots.data);
    fr_free(s->branches);
    fr_free(s->tasks);
    fr_free(s->edges);
    fr_free(s->barriers);
    fr_free(s->timers);
    fr_free(s->slots);
    fr_free(s->failures);
    fr_free(s->divergence);
    fr_free(s->running);
    fr_free(s->undo);
    fr_free(s->ends);
    fr_value_unref(s->root_result);
    fr_value_unref(s->root_error);
    fr_free(s);
}

void fr_sched_now(fr_sched *s, int64_t mono_ns, int64_t wall_ns)
{
    s->mono = mono_ns;
    s->wall = wall_ns;
}

bool sched_stopping_run(const fr_sched *s)
{
    // A recorded cancel stops what it finds unfinished even before the cursor reaches it.
    return s->cancel_code != FR_OK || s->past_cancel != 0 || s->divergence != NULL;
}

bool sched_stopped(const fr_sched *s, const node *n)
{
    // What was computed before a recorded cancel is computed again before it is seen.
    bool now = s->cancel_code != FR_OK || s->divergence != NULL;
    return now || (s->past_cancel != 0 && !n->redo) ||
           sched_scope_stopped(s, n->branch) != FR_NO_NODE;
}

bool sched_stopping(const fr_sched *s, const node *n)
{
    return n->expired || sched_stopped(s, n);
}

uint32_t fr_sched_task(fr_sched *s, const char *name)
{
    if (s->last_task < s->n_tasks && strcmp(s->tasks[s->last_task].name, name) == 0) {
        return s->last_task;
    }
    fr_hash h = fr_hash_str(name);
    bool fresh;
    uint64_t *i = fr_map_put(&s->task_index, h, &fresh);
    if (fresh) {
        *i = s->n_tasks++;
        s->tasks = fr_realloc(s->tasks, s->n_tasks * sizeof *s->tasks);
        s->tasks[*i] = (task_name){.name = fr_strdup(name), .hash = h};
    }
    s->last_task = (uint32_t)*i;
    return s->last_task;
}

// --- nodes, edges, branches ---

uint32_t sched_new_node(fr_sched *s)
{
    uint32_t id = s->nodes.n;
    node *n = fr_grow_add(&s->nodes, sizeof *n);
    *n = (node){.slot = FR_NO_NODE, .cause = FR_NO_NODE, .body = FR_NO_BRANCH,
                .failures = FR_NO_NODE, .next_failure = FR_NO_NODE, .fast = FR_NO_NODE};
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
    uint32_t flow = s->branches[n->branch].flow_node;
    if (flow != FR_NO_NODE) {
        node_at(s, flow)->inside++;
    }
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

uint32_t sched_new_edge(fr_sched *s, uint32_t next, uint32_t target, uint32_t serial)
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

uint32_t sched_take_edge(fr_sched *s, uint32_t i, uint32_t *target, uint32_t *serial)
{
    edge *e = &s->edges[i];
    uint32_t next = e->next;
    *target = e->target;
    *serial = e->serial;
    e->next = s->free_edge;
    s->free_edge = i;
    return next;
}

uint32_t sched_new_branch(fr_sched *s, fr_hash path, char *label)
{
    if (s->n_branches == s->cap_branches) {
        s->cap_branches = s->cap_branches == 0 ? 8 : s->cap_branches * 2;
        s->branches = fr_realloc(s->branches, s->cap_branches * sizeof *s->branches);
    }
    s->branches[s->n_branches] = (branch){.path = path, .label = label,   .node = FR_NO_NODE,
                                          .flow_node = FR_NO_NODE, .raising = FR_NO_NODE,
                                          .serial = 1};
    s->branches_alive++;
    return s->n_branches++;
}

void sched_make_ready(fr_sched *s, uint32_t b)
{
    branch *br = &s->branches[b];
    if (!br->ready && !br->ended) {
        br->ready = true;
        br->blocked = false;
        br->serial++;
        queue32_push(&s->ready, b);
    }
}

// --- records ---

static void append_late(fr_sched *s);

void sched_record(fr_sched *s, fr_record *r)
{
    if (s->divergence != NULL) {
        return;                                // the log keeps what was true
    }
    r->seq = ++s->seq;
    r->slot = s->releasing;
    s->releasing = 0;
    s->io.append(s->io.ctx, r);
    if (SEEDED(BUG_COMMIT_ORDER)) {
        append_late(s);
    }
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
    if (n->kind != CALL_SPAWN) {               // a branch is no call
        if (n->state != FR_STATE_NONE) {
            --*count[n->state];
        }
        ++*count[to];
    }
    s->moves[n->state][to]++;
    n->state = (uint8_t)to;
    n->reason = (uint8_t)why;
}

// --- ends ---

void sched_note_failure(fr_sched *s, uint32_t id)
{
    if (s->n_failures == s->cap_failures) {
        s->cap_failures = s->cap_failures == 0 ? 16 : s->cap_failures * 2;
        s->failures = fr_realloc(s->failures, s->cap_failures * sizeof *s->failures);
    }
    s->failures[s->n_failures++] = id;
    node *n = node_at(s, id);
    uint32_t flow = s->branches[n->branch].flow_node;
    if (flow != FR_NO_NODE) {
        n->next_failure = node_at(s, flow)->failures;
        node_at(s, flow)->failures = id;
    }
}

// A fallback makes the subflow around it degraded, or the run; one inside a subflow that fails
// goes no further.
void sched_degraded(fr_sched *s, const node *n)
{
    s->stats.degraded++;
    s->tasks[n->task].stats.degraded++;
    uint32_t flow = s->branches[n->branch].flow_node;
    if (flow != FR_NO_NODE) {
        node_at(s, flow)->degraded = true;
    } else {
        s->degraded = true;
    }
}

void sched_free_args(node *n)
{
    fr_value_unref(n->argv);
    fr_value_unref(n->list);
    n->argv = n->list = NULL;
}

uint32_t sched_output_hashes(const node *n, fr_hash *out)
{
    uint32_t k = n->opts != NULL && n->opts->n_outputs > 1 ? n->opts->n_outputs : 0;
    for (uint32_t i = 0; i < k && n->result != NULL; i++) {
        fr_value *v = sched_element(n->result, i + 1);
        out[i] = v->hash;
        fr_value_unref(v);
    }
    return n->result != NULL ? k : 0;
}

void sched_take_outbox(fr_sched *s, fr_record *r)
{
    fr_item text;
    fr_reader in = s->outbox != NULL ? fr_reader_of(s->outbox->bytes, s->outbox->size)
                                     : fr_reader_of("", 0);
    if (r->state == FR_SUCCESS && fr_value_next(&in, &text) && text.tag == FR_STRING) {
        r->data = text.text;
        r->size = text.n;
    }
    s->outbox = NULL;
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
        r.n_outputs = sched_output_hashes(n, hashes);
        r.outputs = hashes;
    }
    sched_redo_record(n, &r, hashes);
    if (n->map != NULL) {
        r.items = n->map->n;
        r.failed_items = n->map->failed;
    }
    s->late = 0;
    sched_take_outbox(s, &r);
    sched_record(s, &r);
    n->seq = s->seq;
}

static void append_late(fr_sched *s)
{
    if (s->late != 0) {
        append_end(s, node_at(s, s->late - 1));
    }
}

// A call ended; its subflow ends when its body has and nothing it started is left.
static void left_flow(fr_sched *s, const node *n)
{
    uint32_t flow = s->branches[n->branch].flow_node;
    if (flow == FR_NO_NODE) {
        return;
    }
    const node *f = node_at(s, flow);
    if (--node_at(s, flow)->inside == 0 && f->body_over && !node_final(f)) {   // final: an undo
        sched_end_flow(s, flow);
    }
}

void sched_finish(fr_sched *s, uint32_t id, fr_state state, fr_reason why, fr_value *result,
                  fr_value *error)
{
    node *n = node_at(s, id);
    sched_move(s, n, state, why);
    n->result = result;
    if (n->error != error) {
        fr_value_unref(n->error);              // of an attempt that was to be tried again
    }
    n->error = error;
    n->slot = FR_NO_NODE;
    if (n->ended == 0) {
        n->ended = s->wall;
    }
    if ((state == FR_FAILED || state == FR_STOPPED) && n->kind != FR_CALL_HOOK) {
        sched_note_failure(s, id);
    }
    if (why == FR_BECAUSE_DEGRADED) {
        sched_degraded(s, n);
    }
    sched_count_end(s, n);
    live_remove(s, n);
    if (n->kind == CALL_SPAWN) {
        n->seq = s->branches[n->body].newest;
        sched_arrived(s, id);
        sched_observe(s, id);
        left_flow(s, n);
        return;
    }
    if (sched_redo_ended(s, n)) {              // it is on record, and seen in its place
        s->outbox = NULL;                      // so are its messages
        sched_event(s, FR_MOMENT_ENDED, id);
        sched_arrived(s, id);
        left_flow(s, n);
        return;
    }
    if (SEEDED(BUG_COMMIT_ORDER) && s->late == 0 && n->kind == FR_CALL_TASK && s->n_live > 0) {
        s->late = id + 1;
    } else if (!sched_recall_end(s, n)) {
        append_end(s, n);
    }
    s->outbox = NULL;                          // no other record may take it
    if (SEEDED(BUG_RECORDED_TWICE) && n->attempt > 1) {
        append_end(s, n);
    }
    if (n->opts != NULL && n->opts->n_fallbacks > 0) {
        sched_keep_good(s, n);                 // by its arguments, which go now
    }
    sched_hook_end(s, id);
    if (state == FR_SUCCESS && !s->env.keep_args && !sched_keeps_args(n)) {
        sched_free_args(n);
    }
    if (!n->recorded) {
        queue32_push(&s->seen_queue, id);
    }
    sched_event(s, FR_MOMENT_ENDED, id);
    sched_cache_ended(s, id);
    sched_arrived(s, id);
    left_flow(s, n);
}

void sched_arrived(fr_sched *s, uint32_t id)
{
    uint32_t e = node_at(s, id)->dependents, target, serial;
    node_at(s, id)->dependents = 0;
    while (e != 0) {
        e = sched_take_edge(s, e, &target, &serial);
        node *d = node_at(s, target);
        if ((--d->pending == 0 || sched_early(s, d, id)) && !d->begun && !node_final(d)) {
            sched_ready_to_start(s, target);
        }
    }
}

void sched_observe(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    n->seen = true;
    if (n->state == FR_FAILED) {
        sched_failed_fast(s, id);
    }
    uint32_t e = n->waiters, b, serial;
    n->waiters = 0;
    while (e != 0) {
        e = sched_take_edge(s, e, &b, &serial);
        branch *br = &s->branches[b];
        if (br->blocked && br->serial == serial) {
            br->newest = FR_MAX(br->newest, n->seq);
            if (br->any || --br->pending == 0) {
                sched_make_ready(s, b);
            }
        }
    }
    if (n->watchers != 0) {
        (void)sched_items_wake(s, id, n->seq);
    }
}

// --- starts ---

bool sched_failed(const fr_sched *s, uint32_t id)
{
    return node_final(node_at(s, id)) && node_at(s, id)->state != FR_SUCCESS;
}

static uint32_t failed_dep(const fr_sched *s, const node *n)
{
    for (uint32_t i = 0; i < sched_before(n); i++) {
        uint32_t dep = sched_before_at(n, i);
        if (sched_failed(s, dep) && node_at(s, dep)->state != FR_SKIPPED) {
            return dep;
        }
    }
    return FR_NO_NODE;
}

// A call that was adopted from the log has the same dependencies, so the same one failed.
uint32_t sched_cause(const fr_sched *s, uint32_t id)
{
    const node *n = node_at(s, id);
    bool look = n->cause == FR_NO_NODE && n->recorded &&
                (n->reason == FR_BECAUSE_UPSTREAM || n->state == FR_STOPPED);
    return look ? failed_dep(s, n) : n->cause;
}

void sched_wait_durable(fr_sched *s, uint64_t need, uint32_t id, uint32_t item)
{
    if (s->n_barriers == s->cap_barriers) {
        s->cap_barriers = s->cap_barriers == 0 ? 64 : s->cap_barriers * 2;
        s->barriers = fr_realloc(s->barriers, s->cap_barriers * sizeof *s->barriers);
    }
    s->barriers[s->n_barriers++] = (barrier){need, id, item};
}

void sched_ready_to_start(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    n->begun = true;
    n->queued = s->wall;
    n->need = s->seq;                          // all that led to this call
    if (!sched_let(s, id)) {
        return;
    }
    bool cleanup = n->n_setups > 0 && s->divergence == NULL;
    bool stop = sched_stopping(s, n) && !cleanup;
    if (n->kind == FR_CALL_MAP && n->known) {
        sched_map_recall(s, id);
    }
    if (stop && n->map != NULL) {
        sched_move(s, n, FR_QUEUED, FR_BECAUSE_WORKER);
        sched_map_start(s, id);
        return;
    }
    if (n->kind == FR_CALL_POKE && !stop) {
        sched_wait_start(s, id);
        n->need = s->seq;
    }
    if (stop) {
        sched_finish(s, id, FR_STOPPED, FR_BECAUSE_CANCELLED, NULL,
                     sched_error("cancelled", "the run was cancelled before it started"));
    } else if (n->kind == FR_CALL_SLEEP || n->kind == FR_CALL_SIGNAL) {
        sched_wait_start(s, id);
    } else if (n->due > s->wall && n->kind != FR_CALL_POKE && !SEEDED(BUG_DELAY_FORGOTTEN)) {
        // A retry that a crash interrupted: only what is left of its delay.
        sched_move(s, n, FR_SCHEDULED, FR_BECAUSE_RETRY);
        int64_t due = s->mono + FR_MIN(n->due - s->wall, n->sleep_ns);
        sched_timer_add(s, TIMER_RETRY, due, id, n->attempt + n->lost, 0);
    } else if (n->opts != NULL && n->opts->effect && s->durable < s->seq &&
               !SEEDED(BUG_NO_BARRIER)) {
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
                         .n_outputs = n->opts->n_outputs, .n_deps = n->n_deps, .need = n->need,
                         .cpu = n->opts->cpu, .priority = n->opts->priority,
                         .memory = n->opts->memory, .gpu = n->opts->gpu,
                         .where = n->opts->executor, .effect = n->opts->effect,
                         .report_start = n->opts->timeout_ns > 0 || n->opts->queue_timeout_ns > 0 ||
                                         mean == 0 ||
                                         mean > (double)SLOW_TASK_NS,
                         .queued = n->queued, .owner = ra};
    if (n->n_deps > 0) {
        ra->own_deps = fr_alloc(n->n_deps * sizeof(fr_value *));
        for (uint32_t i = 0; i < n->n_deps; i++) {
            ra->own_deps[i] = sched_dep_value(s, n->deps[i]);
        }
        ra->a.deps = ra->own_deps;
    }
    if (n->kind != FR_CALL_MAP) {
        sched_give_checkpoint(s, ra, NO_ITEM);
    }
    return ra;
}

void sched_attempt_free(fr_sched *s, run_attempt *ra)
{
    for (uint32_t i = 0; ra->own_deps != NULL && i < ra->a.n_deps; i++) {
        fr_value_unref(ra->own_deps[i]);
    }
    sched_limit_drop(s, ra);
    fr_free(ra->own_deps);
    fr_value_unref(ra->own_checkpoint);
    fr_free(ra->own_indexes);
    for (uint32_t i = 0; i < FR_LEADS; i++) {
        fr_value_unref(ra->own_lead[i]);
    }
    s->slots[ra->slot] = NULL;
    queue32_push(&s->free_slots, ra->slot);
    if (!s->freeing) {
        sched_returned(s, ra);
    }
    fr_free(ra);
}

void sched_dispatch(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    fr_value *poison = sched_quarantine(s, n->key, FR_NO_NODE);
    if (poison != NULL) {
        sched_finish(s, id, FR_FAILED, FR_BECAUSE_QUARANTINED, NULL, poison);
        return;
    }
    if (sched_cache_first(s, id)) {
        return;
    }
    sched_move(s, n, FR_QUEUED, FR_BECAUSE_WORKER);
    sched_hook_start(s, id);
    if (n->kind == FR_CALL_MAP) {
        sched_map_start(s, id);
        return;
    }
    run_attempt *ra = sched_attempt_new(s, id);
    n->slot = ra->slot;
    sched_send(s, ra);
}
