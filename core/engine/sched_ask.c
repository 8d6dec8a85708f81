// Functions given as options, asked in a worker, and what follows a failed attempt.
//
// A question is an attempt of (task, option): its first arguments are the lead values, then
// those of the task. It takes the place of the body's attempt, so that a call has one attempt
// out at a time, and is stopped like one. The answer is on record by what follows from it: the
// retry with its delay, the end. A crash in between asks again.
#include "core/engine/sched_int.h"

#include <string.h>

static const char *const names[] = {
    [FR_ASK_NOTHING] = NULL,
#define X(id, option) [FR_ASK_##id] = (option),
    FR_ASK_LIST(X)
#undef X
};

const char *fr_ask_option(fr_ask ask)
{
    return (size_t)ask < FR_COUNT(names) ? names[ask] : NULL;
}

fr_ask fr_ask_from_option(const char *option)
{
    for (size_t i = 1; i < FR_COUNT(names); i++) {
        if (strcmp(names[i], option) == 0) {
            return (fr_ask)i;
        }
    }
    return FR_ASK_NOTHING;
}

static bool asks(const fr_task_opts *o, fr_ask ask)
{
    return (o->asks & FR_ASKS(ask)) != 0;
}

// --- questions ---

void sched_ask(fr_sched *s, run_attempt *ra, fr_ask ask, const fr_value *error)
{
    (void)s;
    uint32_t n = 0;
    ra->a.option = fr_ask_option(ask);
    ra->ask = ask;
    if (ask == FR_ASK_CACHE_KEY) {             // nothing has failed
        ra->a.n_outputs = 1;
        return;
    }
    bool counts = ask == FR_ASK_RETRY_IF || ask == FR_ASK_DELAY, first = ask == FR_ASK_DELAY;
    if (counts && first) {
        ra->own_lead[n++] = fr_value_int(ra->a.attempt);
    }
    ra->a.lead[n].error = true;
    ra->own_lead[n++] = error != NULL ? fr_value_ref(error) : fr_value_nil();
    if (counts && !first) {
        ra->own_lead[n++] = fr_value_int(ra->a.attempt);
    }
    for (uint32_t i = 0; i < n; i++) {
        ra->a.lead[i].value = ra->own_lead[i];
    }
    ra->a.n_lead = n;
    if (counts) {
        ra->a.n_outputs = 1;
    }
}

const fr_value *sched_asked_about(const run_attempt *ra)
{
    return ra->own_lead[ra->ask == FR_ASK_DELAY ? 1 : 0];
}

// About the attempt that was made; of a sensor: about so many failures in a row.
static void ask_single(fr_sched *s, uint32_t id, fr_ask ask, uint32_t attempt,
                       const fr_value *error)
{
    node *n = node_at(s, id);
    run_attempt *ra = sched_attempt_new(s, id);
    ra->a.attempt = attempt;
    sched_ask(s, ra, ask, error);
    n->slot = ra->slot;
    sched_send(s, ra);
}

bool sched_answer_yes(const fr_value *answer)
{
    return answer != NULL && answer->size > 0 && answer->bytes[0] != FR_NIL &&
           answer->bytes[0] != FR_FALSE;
}

bool sched_answer_delay(const fr_value *answer, int64_t *ns)
{
    fr_item item;
    fr_reader r = fr_reader_of(answer->bytes, answer->size);
    if (!fr_value_next(&r, &item)) {
        return false;
    }
    double seconds = item.tag == FR_INT     ? (double)item.integer
                     : item.tag == FR_DOUBLE ? item.number
                                            : -1;
    if (!(seconds >= 0)) {
        return false;
    }
    *ns = seconds >= 9.0e9 ? INT64_MAX / 2 : (int64_t)(seconds * 1e9);
    return true;
}

fr_value *sched_bad_answer(const fr_sched *s, uint32_t id, const run_attempt *ra,
                           const fr_value *error)
{
    char why[300] = "it must return seconds", about[300];
    if (error != NULL) {
        sched_error_text(error, why, sizeof why);
    }
    const fr_value *failure = sched_asked_about(ra);
    sched_error_text(failure, about, sizeof about);
    return sched_error(fr_err_name(sched_error_code(failure)),
                       "%s\n  and option '%s' of %s, asked whether to try again, failed: %s", about,
                       ra->a.option, s->tasks[node_at(s, id)->task].name, why);
}

// --- after a failure ---

fr_reason sched_reason_of(int code)
{
    switch (code) {
    case FR_ETIMEOUT:
        return FR_BECAUSE_TIMEOUT;
    case FR_EQUALITY:
        return FR_BECAUSE_QUALITY;
    case FR_ELOST:
    case FR_ECRASHED:
        return FR_BECAUSE_CRASHED;
    case FR_EPOISON:
        return FR_BECAUSE_QUARANTINED;
    default:
        return FR_BECAUSE_ERROR;
    }
}

bool sched_may_retry(const fr_sched *s, const node *n, uint32_t attempt, uint32_t lost,
                     const fr_value *error, int code, bool *lost_one)
{
    const fr_task_opts *o = n->opts;
    *lost_one = code == FR_ELOST && !SEEDED(BUG_LOSS_COUNTS);
    if (sched_stopping(s, n)) {
        return false;
    }
    if (*lost_one) {
        return lost < o->infra_retries;
    }
    bool listed = o->retry_codes == 0 || (code < 64 && (o->retry_codes >> code & 1) != 0);
    return fr_retry_allowed(&o->retry, attempt) && listed && sched_error_retry(error);
}

static void start_retry(fr_sched *s, uint32_t id, const fr_value *error, int64_t delay,
                        fr_reason why)
{
    node *n = node_at(s, id);
    if (n->kind == FR_CALL_POKE) {
        sched_poke_again(s, id, delay);
        return;
    }
    n->due = n->ended + delay;
    n->sleep_ns = delay;
    sched_move(s, n, FR_SCHEDULED, why);
    s->stats.retries++;
    s->tasks[n->task].stats.retries++;
    s->tasks[n->task].stats.running -= n->counted;
    n->counted = false;
    fr_record r;
    sched_record_of(s, n, &r);
    r.type = FR_REC_RETRY;
    r.error = error;
    if (!n->redo) {                            // else its success is on record
        sched_record(s, &r);
    }
    n->need = s->seq;
    fr_value_unref(n->error);
    n->error = error != NULL ? fr_value_ref(error) : NULL;
    sched_event(s, FR_MOMENT_RETRY, id);
    sched_hook_retry(s, id, error);
    int64_t left = FR_MAX(n->due - s->wall, 0);
    n->ended = 0;
    sched_timer_add(s, TIMER_RETRY, s->mono + FR_MIN(left, delay), id, n->attempt + n->lost, 0);
}

static void retry_after_curve(fr_sched *s, uint32_t id, const fr_value *error)
{
    const node *n = node_at(s, id);
    bool poke = n->kind == FR_CALL_POKE;       // it counts its failures itself
    int64_t delay = poke ? -1 : fr_retry_delay(&n->opts->retry, n->attempt, s->env.seed, n->key);
    start_retry(s, id, error, delay, FR_BECAUSE_RETRY);
}

static fr_value *own_error(const fr_value *error, int code)
{
    return error != NULL ? fr_value_ref(error)
                         : sched_error(fr_err_name(code), "%s", fr_err_text(code));
}

static void finish_failed(fr_sched *s, uint32_t id, fr_value *error, int code)
{
    bool queue = node_at(s, id)->queue_over && code == FR_ETIMEOUT;
    sched_finish(s, id, FR_FAILED, queue ? FR_BECAUSE_QUEUE_TIMEOUT : sched_reason_of(code), NULL,
                 error);
}

// No further attempt: the fallback, or the end.
static void give_up(fr_sched *s, uint32_t id, const fr_value *error, int code)
{
    node *n = node_at(s, id);
    if (n->opts->n_fallbacks > 0) {
        if (!sched_fall_back(s, id, error, code)) {
            finish_failed(s, id, own_error(error, code), code);
        }
    } else if (asks(n->opts, FR_ASK_FALLBACK)) {
        n->timed_out = false;
        ask_single(s, id, FR_ASK_FALLBACK, n->attempt, error);
    } else if (n->opts->fallback != NULL) {
        sched_finish(s, id, FR_SUCCESS, FR_BECAUSE_DEGRADED, fr_value_ref(n->opts->fallback), NULL);
    } else {
        finish_failed(s, id, own_error(error, code), code);
    }
}

static bool stopped_by_cancel(fr_sched *s, uint32_t id, const fr_value *error, int code)
{
    const node *n = node_at(s, id);
    if (n->expired) {
        sched_fall_back_late(s, id);
        return true;
    }
    if (!sched_stopping(s, n) || (code != FR_ECANCELLED && code != FR_ETIMEOUT)) {
        return false;
    }
    sched_finish(s, id, FR_STOPPED, FR_BECAUSE_CANCELLED, NULL,
                 error != NULL ? fr_value_ref(error)
                               : sched_error("cancelled", "the run was cancelled"));
    return true;
}

// Its own time was up; the call itself goes on.
static void go_on(node *n)
{
    if (n->state == FR_CANCELLING) {
        n->state = FR_RUNNING;
    }
}

bool sched_ask_first(fr_sched *s, uint32_t id, uint32_t n, const fr_value *error)
{
    const fr_task_opts *o = node_at(s, id)->opts;
    fr_ask ask = asks(o, FR_ASK_RETRY_IF) ? FR_ASK_RETRY_IF
                 : asks(o, FR_ASK_DELAY)  ? FR_ASK_DELAY
                                          : FR_ASK_NOTHING;
    if (ask != FR_ASK_NOTHING) {
        ask_single(s, id, ask, n, error);
    }
    return ask != FR_ASK_NOTHING;
}

// The body said fr.skip(): no failure.
static bool skips(fr_sched *s, uint32_t id, const fr_value *error, int code)
{
    if (code != FR_ESKIPPED) {
        return false;
    }
    sched_skip(s, id, FR_BECAUSE_ITSELF, own_error(error, code));
    return true;
}

void sched_attempt_failed(fr_sched *s, uint32_t id, const fr_value *error, int code)
{
    node *n = node_at(s, id);
    code = n->timed_out ? FR_ETIMEOUT : code;
    if (skips(s, id, error, code) || stopped_by_cancel(s, id, error, code)) {
        return;
    }
    bool lost;
    bool again = sched_may_retry(s, n, n->attempt, n->lost, error, code, &lost);
    if (lost && n->attempt > 0) {
        n->attempt--;                          // it does not count, its budget is another
        n->lost++;
    }
    if (sched_stopping(s, n)) {
        finish_failed(s, id, own_error(error, code), code);
        return;
    }
    go_on(n);
    if (!again) {
        give_up(s, id, error, code);
        return;
    }
    n->timed_out = false;
    if (lost) {
        int64_t delay = fr_retry_delay(&n->opts->retry, n->lost, s->env.seed, n->key);
        start_retry(s, id, error, delay, FR_BECAUSE_INTERRUPTED);
    } else if (!sched_ask_first(s, id, n->attempt, error)) {
        retry_after_curve(s, id, error);
    }
}

static void decided(fr_sched *s, uint32_t id, const run_attempt *ra, const fr_done *d)
{
    const fr_value *error = sched_asked_about(ra);
    int code = sched_error_code(error);
    int64_t delay;
    if (d->code != FR_OK) {
        finish_failed(s, id, sched_bad_answer(s, id, ra, d->error), code);
    } else if (ra->ask == FR_ASK_DELAY) {
        if (sched_answer_delay(d->result, &delay)) {
            start_retry(s, id, error, delay, FR_BECAUSE_RETRY);
        } else {
            finish_failed(s, id, sched_bad_answer(s, id, ra, NULL), code);
        }
    } else if (!sched_answer_yes(d->result)) {
        give_up(s, id, error, code);
    } else if (asks(node_at(s, id)->opts, FR_ASK_DELAY)) {
        ask_single(s, id, FR_ASK_DELAY, ra->a.attempt, error);
    } else {
        retry_after_curve(s, id, error);
    }
}

void sched_answered(fr_sched *s, uint32_t id, const run_attempt *ra, const fr_done *d)
{
    node *n = node_at(s, id);
    int code = n->timed_out ? FR_ETIMEOUT : d->code;
    if (d->code != FR_OK && stopped_by_cancel(s, id, d->error, code)) {
        return;
    }
    if (ra->ask == FR_ASK_CACHE_KEY) {
        sched_cache_key(s, id, d);
        return;
    }
    if (ra->ask != FR_ASK_FALLBACK) {
        if (sched_poke_unasked(s, id)) {
            return;
        }
        go_on(n);
        n->timed_out = false;
        decided(s, id, ra, d);
        return;
    }
    if (d->code == FR_OK) {
        fr_value *result = d->result != NULL ? fr_value_ref(d->result) : fr_value_nil();
        sched_finish(s, id, FR_SUCCESS, FR_BECAUSE_DEGRADED, result, NULL);
        return;
    }
    if (skips(s, id, d->error, code)) {
        return;
    }
    go_on(n);
    if (sched_stopping(s, n) || n->opts->n_fallbacks == 0 ||
        !sched_fall_back(s, id, d->error, code)) {
        finish_failed(s, id, own_error(d->error, code), code);
    }
}
