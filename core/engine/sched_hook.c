// Hooks and undo: functions given as options that nobody waits for.
//
// Each is a call of its own, of kind hook: it has a key made from that of the call (or run) it
// belongs to, an attempt of (task, option) and a record. It never changes a result. One that
// has no record when its occasion is found in the log is run then, so that the death of the
// process loses none: each runs at least once, and after its record never again.
#include "core/engine/sched_int.h"

#include <stdlib.h>
#include <string.h>

// Whose hook it is: a call, or the run.
typedef struct occasion {
    fr_hash key, args;
    uint32_t branch, task;
    uint64_t nth;                     // which of several: reruns before it, then attempts
    const fr_task_opts *opts;
    const fr_value *argv;
    uint32_t n_args, n_deps;
    const fr_dep *deps;
    fr_ask ask;
    fr_value *lead;                   // first argument, or NULL; taken
    bool lead_error;
} occasion;

static bool wants(const fr_task_opts *o, fr_ask ask)
{
    return o != NULL && (o->asks & FR_ASKS(ask)) != 0;
}

static fr_hash hook_key(const occasion *o)
{
    return fr_hash_mix(fr_hash_pair(o->key, fr_hash_str(fr_ask_option(o->ask))), o->nth);
}

static void send_hook(fr_sched *s, uint32_t id, const occasion *o)
{
    node *n = node_at(s, id);
    n->queued = s->wall;
    n->need = s->seq;                          // what it tells the world must be on disk
    sched_move(s, n, FR_QUEUED, FR_BECAUSE_WORKER);
    run_attempt *ra = sched_attempt_new(s, id);
    ra->a.option = fr_ask_option(o->ask);
    ra->ask = o->ask;
    ra->a.n_outputs = 1;
    if (o->lead != NULL) {
        ra->own_lead[0] = fr_value_ref(o->lead);
        ra->a.lead[0] = (fr_lead){.value = ra->own_lead[0], .error = o->lead_error};
        ra->a.n_lead = 1;
    }
    n->slot = ra->slot;
    sched_gate(s, ra);                         // hooks hold no slots of limits
}

// Makes the call; what the log has of it is taken.
static void make_hook(fr_sched *s, const occasion *o)
{
    uint32_t id = sched_new_node(s);
    node *n = node_at(s, id);
    n->kind = FR_CALL_HOOK;
    n->branch = o->branch;
    n->task = o->task;
    n->opts = o->opts;
    n->list_dep.node = FR_NO_NODE;
    n->key = hook_key(o);
    n->args = o->args;
    n->label = fr_strdup(fr_ask_option(o->ask));
    n->argv = o->argv != NULL ? fr_value_ref(o->argv) : NULL;
    n->n_args = o->n_args;
    n->n_deps = o->n_deps;
    n->handled = true;
    if (o->n_deps > 0) {
        n->deps = fr_alloc(o->n_deps * sizeof *n->deps);
        memcpy(n->deps, o->deps, o->n_deps * sizeof *n->deps);
    }
    sched_move(s, n, FR_WAITING, FR_BECAUSE_DEPS);
    s->stats.calls++;
    past *p = sched_past(s, n->key);
    if (p != NULL && p->kind == FR_CALL_HOOK && p->seq != 0 && !SEEDED(BUG_HOOK_AGAIN)) {
        n->row = p->row;
        n->recorded = n->seen = true;
        n->seq = p->seq;
        n->started = p->started;
        n->ended = p->ended;
        n->error = p->error != NULL ? fr_value_ref(p->error) : NULL;
        p->node = id;
        s->stats.replayed++;
        sched_move(s, n, (fr_state)p->state, (fr_reason)p->reason);
        sched_free_args(n);
        return;
    }
    n->row = s->next_row++;
    sched_live_add(s, id);
    send_hook(s, id, o);
}

static fr_value *list_of(const fr_value *v)
{
    size_t size = 0;
    const uint8_t *none = NULL;
    fr_value *whole[1] = {(fr_value *)(uintptr_t)v};
    return sched_list(&none, &size, whole, 1, NULL);
}

// A hook of a call; takes lead. What its arguments were may be gone when the call failed
// because of them: they are nil then.
static void call_hook(fr_sched *s, uint32_t id, fr_ask ask, uint32_t attempt, fr_value *lead,
                      bool error)
{
    const node *n = node_at(s, id);
    if (s->divergence == NULL && !s->freeing) {
        bool flow = n->kind == FR_CALL_FLOW;       // its arguments are its table of parameters
        fr_value *params = flow && n->argv != NULL ? list_of(n->argv) : NULL;
        occasion o = {.key = n->key, .args = n->args, .branch = n->branch, .task = n->task,
                      .nth = (uint64_t)n->epoch << 32 | attempt, .opts = n->opts,
                      .argv = flow ? params : n->argv, .n_args = n->n_args,
                      .n_deps = n->n_deps, .deps = n->deps, .ask = ask,
                      .lead = lead, .lead_error = error};
        make_hook(s, &o);
        fr_value_unref(params);
    }
    fr_value_unref(lead);
}

// --- occasions of calls ---

void sched_hook_start(fr_sched *s, uint32_t id)
{
    const node *n = node_at(s, id);
    if (wants(n->opts, FR_ASK_ON_START) && n->attempt + n->lost == 0) {
        call_hook(s, id, FR_ASK_ON_START, 0, NULL, false);
    }
}

void sched_hook_retry(fr_sched *s, uint32_t id, const fr_value *error)
{
    const node *n = node_at(s, id);
    if (wants(n->opts, FR_ASK_ON_RETRY)) {
        call_hook(s, id, FR_ASK_ON_RETRY, n->attempt + n->lost,
                  error != NULL ? fr_value_ref(error) : fr_value_nil(), true);
    }
}

void sched_hook_end(fr_sched *s, uint32_t id)
{
    const node *n = node_at(s, id);
    if (!sched_keeps_args(n) || n->kind == FR_CALL_HOOK) {
        return;
    }
    fr_ask ask = n->state == FR_SUCCESS   ? FR_ASK_ON_SUCCESS
                 : n->state == FR_SKIPPED ? FR_ASK_ON_SKIP
                 : n->state == FR_STOPPED ? FR_ASK_ON_CANCEL
                                          : FR_ASK_ON_FAILURE;
    // What failed before it did not run: the hook of what failed speaks for it.
    if (!wants(n->opts, ask) || n->reason == FR_BECAUSE_UPSTREAM) {
        return;
    }
    bool error = n->state == FR_FAILED || n->state == FR_STOPPED;
    fr_value *lead = NULL;
    if (error) {
        lead = n->error != NULL ? fr_value_ref(n->error) : fr_value_nil();
    } else if (n->state == FR_SUCCESS) {
        lead = sched_dep_value(s, (fr_dep){id, 0});
    }
    call_hook(s, id, ask, 0, lead, error);
}

void sched_hook_recorded(fr_sched *s, uint32_t id)
{
    const node *n = node_at(s, id);
    if (!sched_keeps_args(n)) {
        return;
    }
    uint32_t made = n->attempt + n->lost, retried = node_final(n) && made > 0 ? made - 1 : made;
    if (wants(n->opts, FR_ASK_ON_START) && made > 0) {
        call_hook(s, id, FR_ASK_ON_START, 0, NULL, false);
    }
    bool retries = n->kind == FR_CALL_TASK && wants(n->opts, FR_ASK_ON_RETRY);
    for (uint32_t k = 1; retries && k <= retried; k++) {
        const fr_value *why = sched_past_why(s, node_at(s, id), k);
        call_hook(s, id, FR_ASK_ON_RETRY, k, why != NULL ? fr_value_ref(why) : fr_value_nil(),
                  true);
    }
    if (node_final(n)) {
        sched_hook_end(s, id);
    }
}

void sched_hook_done(fr_sched *s, uint32_t id, const fr_done *d)
{
    node *n = node_at(s, id);
    n->started = d->started;
    n->ended = d->ended;
    if (d->code == FR_OK) {
        sched_finish(s, id, FR_SUCCESS, FR_BECAUSE_RAN, fr_value_nil(), NULL);
        return;
    }
    fr_value *error = d->error != NULL ? fr_value_ref(d->error)
                                       : sched_error(fr_err_name(d->code), "%s",
                                                     fr_err_text(d->code));
    sched_finish(s, id, FR_FAILED, sched_reason_of(d->code), NULL, error);
}

// --- the end of the run: undo, then its own hooks ---

void fr_sched_ask_rollback(fr_sched *s)
{
    s->rollback = true;
}

static int later_first(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return x[0] < y[0] ? 1 : x[0] > y[0] ? -1 : 0;
}

// What succeeded and can be taken back, latest end first: pairs of seq and node.
static void list_undo(fr_sched *s)
{
    uint32_t all = fr_sched_count(s);
    for (uint32_t id = 0; id < all; id++) {
        const node *n = node_at(s, id);
        bool did = n->state == FR_SUCCESS && n->reason != FR_BECAUSE_CACHED;
        if (!did || n->kind == FR_CALL_HOOK || !wants(n->opts, FR_ASK_UNDO)) {
            continue;
        }
        s->undo = fr_realloc(s->undo, (s->n_undo + 1) * 2 * sizeof *s->undo);
        s->undo[2 * s->n_undo] = n->seq;
        s->undo[2 * s->n_undo + 1] = id;
        s->n_undo++;
    }
    if (s->n_undo > 1 && !SEEDED(BUG_UNDO_FORWARD)) {
        qsort(s->undo, s->n_undo, 2 * sizeof *s->undo, later_first);
    }
}

static void run_hook(fr_sched *s, fr_ask ask, const fr_outcome *o)
{
    if (s->env.flow == NULL || (s->env.flow_asks & FR_ASKS(ask)) == 0) {
        return;
    }
    bool error = ask != FR_ASK_ON_START && ask != FR_ASK_ON_SUCCESS;
    const fr_value *lead = o == NULL ? NULL : error ? o->error : o->result;
    fr_value *params = s->env.params != NULL ? list_of(s->env.params) : NULL;
    occasion c = {.key = fr_hash_str("run"), .branch = FR_ROOT_BRANCH, .nth = s->reruns,
                  .task = fr_sched_task(s, s->env.flow), .opts = &s->flow_opts,
                  .argv = params, .n_args = 1, .ask = ask, .lead_error = error,
                  .lead = o == NULL      ? NULL
                          : lead != NULL ? fr_value_ref(lead)
                                         : fr_value_nil()};
    make_hook(s, &c);
    fr_value_unref(c.lead);
    fr_value_unref(params);
}

void sched_hook_begin(fr_sched *s)
{
    s->flow_opts = (fr_task_opts){.asks = s->env.flow_asks, .cpu = 1, .n_outputs = 1};
    if (s->reruns == 0) {
        run_hook(s, FR_ASK_ON_START, NULL);
    }
}

bool fr_sched_closing(fr_sched *s, bool again)
{
    fr_outcome o;
    if (s->divergence != NULL) {
        return false;
    }
    while (s->n_live == 0 && s->closing != CLOSED) {
        fr_sched_outcome(s, &o);
        if (s->closing == CLOSING_NOT) {
            bool asked = s->rollback || s->env.rollback;
            if (asked && !again && o.state != FR_SUCCESS) {
                list_undo(s);
            }
            s->closing = CLOSING_UNDO;
        } else if (s->next_undo < s->n_undo) { // one after the other
            uint32_t id = (uint32_t)s->undo[2 * s->next_undo++ + 1];
            call_hook(s, id, FR_ASK_UNDO, 0, sched_dep_value(s, (fr_dep){id, 0}), false);
        } else {
            s->closing = CLOSED;
            run_hook(s, o.state == FR_SUCCESS   ? FR_ASK_ON_SUCCESS
                        : again                 ? FR_ASK_ON_RETRY
                        : o.state == FR_STOPPED ? FR_ASK_ON_CANCEL
                                                : FR_ASK_ON_FAILURE, &o);
        }
    }
    return s->n_live > 0;
}
