#include "core/engine/run_turn.h"

#include "core/base/mem.h"

#include <stdio.h>
#include <string.h>

enum { MOST_AHEAD = 1000, MOST_SLOTS = 100000 };

fr_slot_ask fr_turn_ask(fr_turn *t, fr_full full, const char *flow, int64_t now)
{
    *t = (fr_turn){.full = full, .state = FR_TURN_WAITS};
    (void)snprintf(t->limit, sizeof t->limit, "flow:%s", flow);
    t->need = (fr_limit_need){.name = t->limit, .n = 1};
    return (fr_slot_ask){.ask = FR_TURN_ASK, .name = flow, .since = now, .needs = &t->need,
                         .n_needs = 1};
}

void fr_turn_fini(fr_turn *t)
{
    fr_value_unref(t->error);
    t->error = NULL;
}

void fr_turn_answer(fr_turn *t, const char *refused)
{
    if (t->state != FR_TURN_WAITS) {
        return;                        // it was cancelled meanwhile
    }
    if (refused[0] == '\0') {
        t->state = FR_TURN_HAS;
    } else {
        fr_turn_over(t, FR_FAILED, FR_BECAUSE_LIMIT, FR_EINVAL, refused);
    }
}

void fr_turn_over(fr_turn *t, fr_state end, fr_reason reason, int code, const char *text)
{
    t->state = FR_TURN_NEVER;
    t->end = end;
    t->reason = reason;
    fr_value_unref(t->error);
    t->error = fr_exec_error(code, text);
}

void fr_turn_outcome(const fr_turn *t, fr_outcome *out)
{
    *out = (fr_outcome){.state = t->end, .reason = t->reason, .error = t->error,
                        .failed_node = FR_NO_NODE};
}

// --- who is ahead ---

typedef struct ahead {
    const fr_turn *t;
    uint64_t me, runs[MOST_AHEAD];     // that hold the limit, then those before us in its line
    uint32_t n;
    bool mine, waits;                  // our ask is there; it has no slot
} ahead;

static int see(void *ctx, const fr_slot_info *s, fr_err *err)
{
    ahead *a = ctx;
    (void)err;
    if (strcmp(s->limit, a->t->limit) != 0 || a->mine) {
        return FR_OK;
    }
    if (s->run == a->me && s->ask == FR_TURN_ASK) {
        a->mine = true;
        a->waits = s->granted == 0;
    } else if (s->granted >= 0 && a->n < MOST_AHEAD) {
        a->runs[a->n++] = s->run;
    }
    return FR_OK;
}

typedef struct size {
    const char *name;
    uint32_t slots;
} size;

static int see_limit(void *ctx, const fr_limit *l, fr_err *err)
{
    size *s = ctx;
    (void)err;
    if (strcmp(l->name, s->name) == 0 && l->capacity > 0) {
        s->slots = (uint32_t)FR_MIN(l->capacity, (int64_t)UINT32_MAX);
    }
    return FR_OK;
}

// Those that must go for us to be among the newest that the limit lets run.
static void stop_oldest(const fr_turn *t, fr_store *store, const ahead *a)
{
    size s = {t->limit, 1};
    (void)!fr_store_limits(store, see_limit, &s, NULL);
    for (uint32_t i = 0; i + s.slots <= a->n; i++) {
        (void)!fr_store_request_put(store, a->runs[i], "cancel", "{}", NULL);
    }
}

// A dead one makes room as soon as what it had started is gone.
static bool all_live(fr_store *store, const ahead *a)
{
    for (uint32_t i = 0; i < a->n; i++) {
        if (fr_store_run_pid(store, a->runs[i]) <= 0) {
            return false;
        }
    }
    return true;
}

static void give_way(fr_turn *t, const ahead *a)
{
    const char *flow = t->limit + strlen("flow:");
    char by[64] = "", text[FR_ERR_MAX];
    if (a->n > 0) {
        (void)snprintf(by, sizeof by, " (run %llu)", (unsigned long long)a->runs[0]);
    }
    bool skip = t->full == FR_FULL_SKIP;
    (void)snprintf(text, sizeof text,
                   "flow %s runs already%s, as often as its option concurrency lets it; "
                   "concurrency.full = \"%s\"",
                   flow, by, skip ? "skip" : "cancel_new");
    fr_turn_over(t, skip ? FR_SKIPPED : FR_STOPPED, FR_BECAUSE_LIMIT,
                 skip ? FR_EBUSY : FR_ECANCELLED, text);
}

bool fr_turn_full(fr_turn *t, fr_store *store, fr_store_run *run)
{
    if (t->told || t->state != FR_TURN_WAITS) {
        return false;
    }
    ahead a = {.t = t, .me = run != NULL ? fr_store_run_id(run) : 0};
    if (store != NULL) {
        bool seen = fr_store_slot_list(store, MOST_SLOTS, see, &a, NULL) == FR_OK && a.mine;
        if (!seen || !a.waits) {
            return false;              // not committed yet, or its answer is on the way
        }
    }
    bool waits = t->full == FR_FULL_QUEUE || t->full == FR_FULL_CANCEL_OLD;
    if (store != NULL && !waits && !all_live(store, &a)) {
        return false;
    }
    t->told = true;
    if (!waits) {
        give_way(t, &a);
    } else if (t->full == FR_FULL_CANCEL_OLD && store != NULL) {
        stop_oldest(t, store, &a);
    }
    return waits;
}
