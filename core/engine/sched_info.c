// How a run ended, and what displays ask. Reads the scheduler, changes nothing else.
#include "core/engine/sched_int.h"

static bool run_failed(const fr_sched *s, uint32_t *which)
{
    for (uint32_t i = 0; i < s->n_failures; i++) {
        if (!node_at(s, s->failures[i])->handled) {
            *which = s->failures[i];
            return true;
        }
    }
    return false;
}

// A task's timeout makes the flow fail like any error; the flow's own timeout is a cancel.
static fr_reason because(const fr_value *error)
{
    return sched_error_code(error) == FR_EQUALITY ? FR_BECAUSE_QUALITY : FR_BECAUSE_ERROR;
}

// What failed first: the end of a chain of upstream failures.
static uint32_t root_cause(const fr_sched *s, uint32_t id)
{
    for (uint32_t next = id; next != FR_NO_NODE; next = sched_cause(s, next)) {
        id = next;
    }
    return id;
}

void fr_sched_outcome(fr_sched *s, fr_outcome *out)
{
    *out = (fr_outcome){.state = FR_SUCCESS, .reason = FR_BECAUSE_RAN, .result = s->root_result,
                        .error = s->root_error, .failed_node = FR_NO_NODE};
    if (s->divergence != NULL) {
        out->state = FR_FAILED;
        out->reason = FR_BECAUSE_DIVERGED;
        if (s->root_error == NULL) {
            s->root_error = sched_error("diverged", "%s", s->divergence);
        }
        out->error = s->root_error;
    } else if (s->root_fast != FR_NO_NODE) {
        out->state = FR_FAILED;
        out->failed_node = root_cause(s, s->root_fast);
        out->error = node_at(s, out->failed_node)->error;
        out->reason = because(out->error);
    } else if (s->cancel_code == FR_ETIMEOUT) {
        out->state = FR_FAILED;
        out->reason = FR_BECAUSE_TIMEOUT;
        if (s->root_error == NULL) {
            s->root_error = sched_error("timeout", "the flow's own timeout is over");
        }
        out->error = s->root_error;
    } else if (s->cancel_code != FR_OK) {
        out->state = FR_STOPPED;
        out->reason = FR_BECAUSE_CANCELLED;
    } else if (s->root_error != NULL && s->root_cause == FR_NO_NODE &&
               sched_error_code(s->root_error) == FR_ESKIPPED) {
        out->state = FR_SKIPPED;
        out->reason = FR_BECAUSE_ITSELF;
    } else if (s->root_error != NULL) {
        out->state = FR_FAILED;
        out->failed_node = root_cause(s, s->root_cause);
        if (out->failed_node != FR_NO_NODE) {
            out->error = node_at(s, out->failed_node)->error;
        }
        out->reason = because(out->error);
    } else if (run_failed(s, &out->failed_node)) {
        out->failed_node = root_cause(s, out->failed_node);
        out->state = FR_FAILED;
        out->error = node_at(s, out->failed_node)->error;
        out->reason = because(out->error);
    } else if (s->degraded) {
        out->reason = FR_BECAUSE_DEGRADED;
    }
}

// What a rerun must run again. A subflow's calls are named when it ends: once it is recorded,
// a later process does not see them any more.
void sched_record_unhandled(fr_sched *s, uint32_t flow)
{
    uint8_t *keys = fr_alloc(((size_t)s->n_failures + s->n_undo + 1) * 16);
    size_t n = 0;
    for (uint32_t i = 0; i < s->n_failures; i++) {
        const node *f = node_at(s, s->failures[i]);
        bool inside = flow == FR_NO_NODE || sched_inside(s, f->branch, flow);
        bool again = (!f->handled || f->state == FR_STOPPED) && !f->gone && f->kind != CALL_SPAWN &&
                     fr_hash_is_zero(f->made);
        if (inside && again) {
            fr_hash_store(f->key, keys + 16 * n++);
        }
    }
    for (uint32_t i = 0; flow == FR_NO_NODE && i < s->n_undo; i++) {   // taken back: done again
        fr_hash_store(node_at(s, (uint32_t)s->undo[2 * i + 1])->key, keys + 16 * n++);
    }
    if (n > 0 || flow == FR_NO_NODE) {
        fr_record r = {.type = FR_REC_REQUEST, .name = "unhandled", .data = keys, .size = 16 * n,
                       .ended = s->wall};
        sched_record(s, &r);
    }
    fr_free(keys);
}

void fr_sched_close_log(fr_sched *s)
{
    fr_outcome o;
    fr_sched_outcome(s, &o);
    if (!s->log_closed && o.state != FR_SUCCESS && s->divergence == NULL) {
        s->log_closed = true;
        sched_record_unhandled(s, FR_NO_NODE);
    }
}

uint64_t fr_sched_seq(const fr_sched *s)
{
    return s->seq;
}

void fr_sched_get_stats(const fr_sched *s, fr_sched_stats *out)
{
    *out = s->stats;
}

void fr_sched_info(const fr_sched *s, uint32_t id, fr_node_info *out)
{
    const node *n = node_at(s, id);
    *out = (fr_node_info){.key = n->key, .row = n->row, .attempt = n->attempt, .branch = n->branch,
                          .kind = (fr_call_kind)n->kind, .name = s->tasks[n->task].name,
                          .label = n->label, .where = n->where, .state = (fr_state)n->state,
                          .reason = (fr_reason)n->reason, .queued = n->queued,
                          .started = n->started, .ended = n->ended, .due = n->due,
                          .args = n->argv, .error = n->error, .handled = n->handled,
                          .recorded = n->recorded};
    out->retries = n->opts != NULL ? n->opts->retry.retries : 0;
    out->flow = s->branches[n->branch].flow_node;
    if (n->map != NULL) {
        out->items = n->map->n;
        out->items_done = n->map->done;
        out->items_failed = n->map->failed;
    }
}

bool fr_sched_dep(const fr_sched *s, uint32_t id, uint32_t i, uint32_t *dep)
{
    const node *n = node_at(s, id);
    uint32_t all = n->n_deps + n->n_after;
    if (i < all) {
        *dep = n->deps[i].node;
        return true;
    }
    *dep = n->list_dep.node;
    return i == all && *dep != FR_NO_NODE;
}

const fr_value *fr_sched_arguments(fr_sched *s, uint32_t id, fr_value **deps, uint32_t most,
                                   uint32_t *n)
{
    node *d = node_at(s, id);
    *n = 0;
    if (d->argv == NULL || d->n_deps > most) {
        return NULL;
    }
    for (; *n < d->n_deps; ++*n) {
        deps[*n] = sched_dep_value(s, d->deps[*n]);
    }
    return d->argv;
}

void sched_count_end(fr_sched *s, const node *n)
{
    fr_task_stats *t = &s->tasks[n->task].stats;
    t->ended++;
    t->running -= n->counted;
    t->failed += n->state == FR_FAILED || n->state == FR_STOPPED;
    if (n->started != 0) {
        int64_t ns = FR_MAX(n->ended - n->started, 0);
        t->busy_ns += ns;
        t->longest_ns = FR_MAX(t->longest_ns, ns);
        int64_t first = t->first_started;
        t->first_started = first == 0 ? n->started : FR_MIN(first, n->started);
    }
    t->last_ended = FR_MAX(t->last_ended, n->ended);
}

bool fr_sched_task_stats(const fr_sched *s, uint32_t i, fr_task_stats *out)
{
    if (i >= s->n_tasks) {
        return false;
    }
    *out = s->tasks[i].stats;
    out->name = s->tasks[i].name;
    return true;
}

uint32_t fr_sched_count(const fr_sched *s)
{
    return s->nodes.n;
}

uint32_t fr_sched_running(const fr_sched *s, uint32_t *nodes, uint32_t max)
{
    fr_sched *mine = (fr_sched *)(uintptr_t)s;  // drops entries that ended; nothing visible
    uint32_t kept = 0, n = 0;
    for (uint32_t i = 0; i < mine->n_running; i++) {
        uint32_t id = mine->running[i];
        fr_state state = (fr_state)node_at(s, id)->state;
        bool live = state == FR_RUNNING || state == FR_CANCELLING;
        if (!live || (kept > 0 && mine->running[kept - 1] == id)) {
            continue;
        }
        mine->running[kept++] = id;
        if (n < max) {
            nodes[n] = id;
        }
        n++;
    }
    mine->n_running = kept;
    return n;
}

const char *fr_sched_divergence(const fr_sched *s)
{
    return s->divergence;
}

uint32_t fr_sched_moves(const fr_sched *s, fr_state from, fr_state to)
{
    return s->moves[from][to];
}
