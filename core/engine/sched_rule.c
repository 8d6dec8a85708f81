// Whether a call runs, given how the calls before it ended: trigger rules, conditions, skips.
//
// A rule that runs early (one of them is enough) is judged at each arrival by the one that
// arrived, so an arrival costs the same as without rules. A refusal waits until all have ended:
// its outcome must not depend on which of them came first.
#include "core/engine/sched_int.h"

#include <stdarg.h>
#include <stdio.h>

uint32_t sched_before(const node *n)
{
    return n->n_deps + n->n_after + (n->list_dep.node != FR_NO_NODE);
}

uint32_t sched_before_at(const node *n, uint32_t i)
{
    return i < n->n_deps + n->n_after ? n->deps[i].node : n->list_dep.node;
}

static fr_rule rule_of(const node *n)
{
    return n->opts != NULL ? n->opts->rule : FR_RULE_ALL_SUCCESS;
}

static void count_end(const node *d, fr_before *b)
{
    switch ((fr_state)d->state) {
    case FR_SUCCESS:
        b->success++;
        break;
    case FR_SKIPPED:
        b->skipped += !SEEDED(BUG_SKIP_LOST);
        b->success += SEEDED(BUG_SKIP_LOST);
        break;
    case FR_FAILED:
    case FR_STOPPED:
        b->upstream += d->reason == FR_BECAUSE_UPSTREAM;
        b->failed += d->reason != FR_BECAUSE_UPSTREAM;
        break;
    case FR_STATE_NONE:
    case FR_WAITING:
    case FR_SCHEDULED:
    case FR_QUEUED:
    case FR_STARTING:
    case FR_RUNNING:
    case FR_DEFERRED:
    case FR_PAUSED:
    case FR_CANCELLING:
        break;
    }
}

bool sched_early(const fr_sched *s, const node *n, uint32_t dep)
{
    fr_rule rule = rule_of(n);
    bool early = rule == FR_RULE_ONE_SUCCESS || rule == FR_RULE_ONE_FAILED ||
                 rule == FR_RULE_ONE_DONE || rule == FR_RULE_ALWAYS ||
                 (rule == FR_RULE_ALL_DONE && SEEDED(BUG_RULE_HASTY));
    if (!early || n->begun || n->has_when || n->n_setups > 0) {
        return false;
    }
    fr_before b = {.all = sched_before(n)};
    if (dep != FR_NO_NODE) {
        count_end(node_at(s, dep), &b);
        b.all = rule == FR_RULE_ALL_DONE ? 1 : b.all;
    }
    return fr_rule_judge(rule, &b) == FR_RULE_RUN;
}

// What tears down runs when its setups have succeeded, however everything else ended.
static fr_ruling judge(const fr_sched *s, const node *n)
{
    bool teardown = n->n_setups > 0;
    uint32_t from = teardown ? n->n_deps : 0, count = teardown ? n->n_setups : sched_before(n);
    fr_before b = {.all = count};
    for (uint32_t i = 0; i < count; i++) {
        count_end(node_at(s, sched_before_at(n, from + i)), &b);
    }
    return fr_rule_judge(teardown ? FR_RULE_ALL_SUCCESS : rule_of(n), &b);
}

fr_value *sched_skip_note(const char *format, ...)
{
    char text[700];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return sched_error(fr_err_name(FR_ESKIPPED), "%s", text);
}

void sched_skip(fr_sched *s, uint32_t id, fr_reason why, fr_value *error)
{
    sched_finish(s, id, FR_SKIPPED, why, NULL, error);
}

// The call before it that explains why it does not run: one that failed, else one skipped.
static uint32_t explains(const fr_sched *s, const node *n)
{
    uint32_t skipped = FR_NO_NODE;
    for (uint32_t i = 0; i < sched_before(n); i++) {
        uint32_t dep = sched_before_at(n, i);
        if (sched_failed(s, dep) && node_at(s, dep)->state != FR_SKIPPED) {
            return dep;
        }
        skipped = node_at(s, dep)->state == FR_SKIPPED ? dep : skipped;
    }
    return skipped;
}

static void fail_upstream(fr_sched *s, uint32_t id, uint32_t dep)
{
    node *n = node_at(s, id);
    const node *d = node_at(s, dep);
    char why[600];
    sched_error_text(d->error, why, sizeof why);
    n->cause = d->state != FR_SKIPPED ? dep : FR_NO_NODE;
    const char *name = s->tasks[d->task].name;
    fr_value *error = sched_error("upstream", "%s did not succeed: %s", name, why);
    bool stopped = d->state == FR_STOPPED;
    bool forgiven = n->handled;                // before it failed: so is its cause
    n->handled = false;
    sched_finish(s, id, stopped ? FR_STOPPED : FR_FAILED,
                 stopped ? FR_BECAUSE_CANCELLED : FR_BECAUSE_UPSTREAM, NULL, error);
    if (forgiven) {
        fr_sched_handled(s, id);
    }
}

static void skip_by_rule(fr_sched *s, uint32_t id, uint32_t dep)
{
    const node *n = node_at(s, id);
    fr_rule rule = rule_of(n);
    const node *d = dep != FR_NO_NODE ? node_at(s, dep) : NULL;
    if (d != NULL && d->state == FR_SKIPPED && rule == FR_RULE_ALL_SUCCESS) {
        char why[600];
        sched_error_text(d->error, why, sizeof why);
        sched_skip(s, id, FR_BECAUSE_UPSTREAM_SKIPPED,
                   sched_skip_note("%s was skipped: %s", s->tasks[d->task].name,
                                   d->error != NULL ? why : fr_reason_name((fr_reason)d->reason)));
        return;
    }
    sched_skip(s, id, FR_BECAUSE_RULE,
               sched_skip_note("trigger_rule %s was not met", fr_rule_name(rule)));
}

void sched_consume(fr_sched *s, uint32_t id)
{
    const node *n = node_at(s, id);
    if (rule_of(n) == FR_RULE_ALL_SUCCESS || n->n_setups > 0) {
        return;
    }
    for (uint32_t i = 0; i < sched_before(n); i++) {
        uint32_t dep = sched_before_at(n, i);
        if (node_at(s, dep)->state != FR_SUCCESS) {
            fr_sched_handled(s, dep);          // of one that goes on: whatever becomes of it
        }
    }
}

// The value of `when`; a call before it that failed and let it run all the same means no.
static bool wanted(fr_sched *s, const node *n)
{
    if (!n->has_when || SEEDED(BUG_WHEN_IGNORED)) {
        return true;
    }
    fr_value *v = sched_dep_value(s, n->deps[n->n_deps + n->n_after - 1]);
    bool yes = sched_answer_yes(v);
    fr_value_unref(v);
    return yes;
}

bool sched_let(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    uint32_t dep = explains(s, n);
    bool plain = dep == FR_NO_NODE && rule_of(n) == FR_RULE_ALL_SUCCESS;
    fr_ruling r = plain || n->pending > 0 ? FR_RULE_RUN : judge(s, n);
    if (r == FR_RULE_UPSTREAM && dep != FR_NO_NODE) {
        fail_upstream(s, id, dep);
        return false;
    }
    if (r != FR_RULE_RUN) {
        skip_by_rule(s, id, dep);
        return false;
    }
    if (!wanted(s, n)) {
        sched_skip(s, id, FR_BECAUSE_CONDITION, sched_skip_note("its condition `when` was false"));
        return false;
    }
    sched_consume(s, id);
    return true;
}
