// Cancel, and the loop that runs branches and hands observations over one at a time.
#include "core/engine/sched_int.h"

#include <string.h>

// --- cancel ---

int sched_stop_code(const fr_sched *s, const node *n)
{
    uint32_t scope = sched_scope_stopped(s, n->branch);
    return n->expired                ? FR_ETIMEOUT
           : s->cancel_code != FR_OK ? s->cancel_code
           : scope != FR_NO_NODE     ? node_at(s, scope)->stop_code
                                     : FR_ECANCELLED;
}

void sched_stop_node(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    if (n->kind == FR_CALL_HOOK && s->divergence == NULL) {
        return;                                // hooks say that it was cancelled
    }
    if (n->redo && s->past_cancel != 0 && s->past_cancel == s->cursor) {
        return;                                // the recorded cancel came before its end, too
    }
    if (n->kind == FR_CALL_MAP && (n->state == FR_QUEUED || n->state == FR_RUNNING)) {
        sched_map_stop(s, id);
        return;
    }
    if (n->kind == FR_CALL_MAP && n->state == FR_CANCELLING) {
        return;                                // it is being stopped already
    }
    if (SEEDED(BUG_EARLY_CANCEL) && n->state == FR_RUNNING && n->slot != FR_NO_NODE) {
        sched_cancel_attempt(s, sched_slot(s, n->slot), sched_stop_code(s, n));
        sched_finish(s, id, FR_STOPPED, FR_BECAUSE_CANCELLED, NULL,
                     sched_error("cancelled", "the run was cancelled"));
        return;
    }
    if (n->slot != FR_NO_NODE && n->n_setups > 0 && s->divergence == NULL) {
        return;
    }
    if (n->slot != FR_NO_NODE) {
        if (n->state == FR_RUNNING) {
            sched_move(s, n, FR_CANCELLING, FR_BECAUSE_USER);
        }
        sched_cancel_attempt(s, sched_slot(s, n->slot), sched_stop_code(s, n));
        return;
    }
    if (n->body != FR_NO_BRANCH && n->state != FR_SCHEDULED) {
        return;                                // its branch is woken with the error
    }
    if (s->divergence == NULL && sched_scope_goes_on(s, n)) {
        return;                                // what the log says of it comes first
    }
    if (n->n_setups > 0 && n->state == FR_WAITING && s->divergence == NULL) {
        return;                                // what was set up is torn down
    }
    sched_finish(s, id, FR_STOPPED, FR_BECAUSE_CANCELLED, NULL,
                 sched_error("cancelled", "the run was cancelled"));
}

void sched_stop_all(fr_sched *s)
{
    // Stopping one may end others: take the list first.
    uint32_t n = 0, *ids = fr_alloc((s->n_live + 1) * sizeof *ids);
    for (uint32_t id = s->live_head; id != FR_NO_NODE; id = node_at(s, id)->live_next) {
        ids[n++] = id;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (node_at(s, ids[i])->live) {
            sched_stop_node(s, ids[i]);
        }
    }
    fr_free(ids);
}

void fr_sched_cancel(fr_sched *s, int code, const char *why)
{
    // Too late once its hooks are told how it ended.
    if (s->cancel_code != FR_OK || s->divergence != NULL || s->closing != CLOSING_NOT) {
        return;
    }
    s->cancel_code = code;
    if (s->past_cancel == 0) {
        fr_record r = {.type = FR_REC_REQUEST, .name = code == FR_ETIMEOUT ? "timeout" : "cancel",
                       .data = why, .size = strlen(why), .ended = s->wall};
        sched_record(s, &r);
    }
    queue32_push(&s->seen_queue, CANCEL_MARK);         // it is seen in log order, too
    sched_stop_all(s);
}

void sched_see_cancel(fr_sched *s)
{
    s->cancel_seen = true;
    for (uint32_t b = 0; b < s->n_branches; b++) {
        if (s->branches[b].blocked) {
            sched_make_ready(s, b);
        }
    }
}

// The recorded cancel is what the log says next.
static bool cancel_is_next(const fr_sched *s)
{
    uint64_t next = s->cursor + 1;
    while (next <= s->n_order && s->order[next] == 0) {
        next++;
    }
    return s->past_cancel == next && next <= s->n_order;
}

// A branch that computes is resumed before anything is observed, so that its stop, which waits
// to be observed, would never come. Here it overtakes the rest of the queue.
int fr_sched_stop_due(fr_sched *s, uint32_t b)
{
    if (s->past_cancel != 0 && cancel_is_next(s)) {
        (void)sched_advance(s);
    }
    for (size_t i = s->seen_queue.head; i != s->seen_queue.tail; i++) {
        uint32_t id = s->seen_queue.data[i & (s->seen_queue.capacity - 1)];
        if (id == CANCEL_MARK) {
            if (!s->cancel_seen) {
                sched_see_cancel(s);
            }
        } else if ((id & BEGIN_MARK) == 0 && (id & STOP_MARK) != 0 &&
                   sched_inside(s, b, id & NO_MARKS)) {
            sched_scope_stop(s, id & NO_MARKS);
        }
    }
    return fr_sched_cancelled(s, b);
}

// --- the loop ---

void fr_sched_begin(fr_sched *s)
{
    FR_ASSERT(!s->begun);
    s->begun = true;
    uint32_t root = sched_new_branch(s, fr_hash_str("0"), fr_strdup("0"));
    sched_make_ready(s, root);
    sched_hook_begin(s);
}

// What comes next in the queue is durable, where it has to be.
static bool may_observe(const fr_sched *s)
{
    uint32_t id = s->seen_queue.data[s->seen_queue.head & (s->seen_queue.capacity - 1)];
    if (!s->env.strict || (id & (BEGIN_MARK | STOP_MARK)) != 0) {
        return true;
    }
    return (id & PART_MARK ? sched_items_next_seq(s) : node_at(s, id)->seq) <= s->durable;
}

static bool observe_next(fr_sched *s)
{
    if (queue32_empty(&s->seen_queue)) {
        return false;
    }
    uint32_t id;
    if (!may_observe(s)) {
        return false;
    }
    (void)queue32_pop(&s->seen_queue, &id);
    if (id == CANCEL_MARK) {
        sched_see_cancel(s);
    } else if (id & BEGIN_MARK) {
        sched_scope_begin(s, id & NO_MARKS);
    } else if (id & STOP_MARK) {
        sched_scope_stop(s, id & NO_MARKS);
    } else if (id & PART_MARK) {
        sched_items_seen(s, id & NO_MARKS);
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
            const node *n = node_at(s, id);
            bodies_only = n->body != FR_NO_BRANCH && n->state != FR_SCHEDULED;
        }
        if (bodies_only) {
            sched_diverge(s, "deadlock: every branch of the flow waits for another one");
        }
    }
}

void fr_sched_run(fr_sched *s, uint32_t budget)
{
    bool more = !s->draining;
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
        more = sched_advance(s) || (!s->redoing && observe_next(s));
        if (!more && s->n_live < 64) {
            break_deadlock(s);
            more = s->divergence != NULL && !queue32_empty(&s->ready);
        }
    }
    sched_timer_arm(s);
}

bool fr_sched_busy(const fr_sched *s)
{
    if (s->draining) {
        return false;
    }
    if (!queue32_empty(&s->ready) || s->yielded != FR_NO_BRANCH) {
        return true;
    }
    if (s->redoing || fr_sched_replaying(s)) {
        return !s->redoing;
    }
    if (queue32_empty(&s->seen_queue)) {
        return false;
    }
    return may_observe(s);
}

bool fr_sched_ended(const fr_sched *s)
{
    return s->begun && s->branches_alive == 0 && s->n_live == 0;
}
