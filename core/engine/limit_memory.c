// Limits in memory, for engines without a store and for simulations. Lists are short there: a
// look at all slots is good enough (below some thousand asks that wait at once).
#include "core/base/mem.h"
#include "core/engine/limit.h"

#include <stdio.h>
#include <string.h>

typedef struct held {
    fr_slot s;
    bool granted;
} held;

typedef struct answer {
    uint64_t run;
    uint32_t ask;
    char why[FR_ERR_MAX];
} answer;

struct fr_limits {
    fr_limit **limits;                 // by id - 1
    uint32_t n_limits;
    held *slots;
    uint32_t n, room;
    answer *answers;
    uint32_t n_answers, answers_room;
    int64_t last_id;
    bool (*alive)(void *ctx, uint64_t run);
    void *ctx;
};

fr_limits *fr_limits_new(bool (*alive)(void *ctx, uint64_t run), void *ctx)
{
    fr_limits *l = fr_zalloc(sizeof *l);
    l->alive = alive;
    l->ctx = ctx;
    return l;
}

void fr_limits_free(fr_limits *l)
{
    if (l == NULL) {
        return;
    }
    for (uint32_t i = 0; i < l->n_limits; i++) {
        fr_free(l->limits[i]);
    }
    fr_free(l->limits);
    fr_free(l->slots);
    fr_free(l->answers);
    fr_free(l);
}

static fr_limit *limit_named(fr_limits *l, const char *name)
{
    for (uint32_t i = 0; i < l->n_limits; i++) {
        if (strcmp(l->limits[i]->name, name) == 0) {
            return l->limits[i];
        }
    }
    fr_limit *made = fr_zalloc(sizeof *made);
    made->id = (int64_t)l->n_limits + 1;
    made->capacity = -1;
    (void)snprintf(made->name, sizeof made->name, "%s", name);
    l->limits = fr_realloc(l->limits, (l->n_limits + 1) * sizeof *l->limits);
    l->limits[l->n_limits++] = made;
    return made;
}

// --- the table ---

static int table_limit(void *ctx, int64_t id, fr_limit *out, fr_err *err)
{
    const fr_limits *l = ctx;
    (void)err;
    *out = *l->limits[id - 1];
    out->used = out->waiting = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        bool mine = l->slots[i].s.limit == id;
        out->used += mine && l->slots[i].granted ? l->slots[i].s.n : 0;
        out->waiting += mine && !l->slots[i].granted;
    }
    return FR_OK;
}

static bool behind(const fr_slot *s, int64_t rank, int64_t id)
{
    return s->rank != rank ? s->rank > rank : s->id > id;
}

static int table_next(void *ctx, int64_t limit, int64_t rank, int64_t id, fr_slot *out,
                      bool *found, fr_err *err)
{
    const fr_limits *l = ctx;
    const held *best = NULL;
    (void)err;
    for (uint32_t i = 0; i < l->n; i++) {
        const held *h = &l->slots[i];
        if (!h->granted && h->s.limit == limit && behind(&h->s, rank, id) &&
            (best == NULL || behind(&best->s, h->s.rank, h->s.id))) {
            best = h;
        }
    }
    *found = best != NULL;
    if (best != NULL) {
        *out = best->s;
    }
    return FR_OK;
}

static int table_slots(void *ctx, uint64_t run, uint32_t ask, fr_slot out[FR_LIMIT_NEEDS],
                       uint32_t *n, fr_err *err)
{
    const fr_limits *l = ctx;
    (void)err;
    *n = 0;
    for (uint32_t i = 0; i < l->n && *n < FR_LIMIT_NEEDS; i++) {
        if (l->slots[i].s.run == run && l->slots[i].s.ask == ask) {
            out[(*n)++] = l->slots[i].s;
        }
    }
    return FR_OK;
}

static answer *answer_new(fr_limits *l, uint64_t run, uint32_t ask)
{
    if (l->n_answers == l->answers_room) {
        l->answers_room = l->answers_room * 2 + 8;
        l->answers = fr_realloc(l->answers, l->answers_room * sizeof *l->answers);
    }
    answer *a = &l->answers[l->n_answers++];
    *a = (answer){.run = run, .ask = ask};
    return a;
}

static int table_grant(void *ctx, uint64_t run, uint32_t ask, int64_t now, fr_err *err)
{
    fr_limits *l = ctx;
    (void)now;
    (void)err;
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->slots[i].s.run == run && l->slots[i].s.ask == ask) {
            l->slots[i].granted = true;
        }
    }
    (void)answer_new(l, run, ask);
    return FR_OK;
}

typedef bool (*match_fn)(const held *h, uint64_t run, uint32_t ask);

static bool of_run(const held *h, uint64_t run, uint32_t ask)
{
    (void)ask;
    return h->s.run == run;
}

static bool of_ask(const held *h, uint64_t run, uint32_t ask)
{
    return h->s.run == run && h->s.ask == ask;
}

static void remove_slots(fr_limits *l, uint64_t run, uint32_t ask, match_fn match,
                         fr_limit_touch_fn touch, void *touch_ctx)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        if (match(&l->slots[i], run, ask)) {
            touch(touch_ctx, l->slots[i].s.limit);
        } else {
            l->slots[kept++] = l->slots[i];
        }
    }
    l->n = kept;
}

static void touch_nothing(void *ctx, int64_t limit)
{
    (void)ctx;
    (void)limit;
}

static int table_refuse(void *ctx, const fr_slot *s, fr_err *err)
{
    fr_limits *l = ctx;
    (void)err;
    answer *a = answer_new(l, s->run, s->ask);
    fr_limit_never(l->limits[s->limit - 1], s->n, a->why, sizeof a->why);
    remove_slots(l, s->run, s->ask, of_ask, touch_nothing, NULL);
    return FR_OK;
}

static int table_started(void *ctx, const fr_limit *what, fr_err *err)
{
    fr_limits *l = ctx;
    (void)err;
    *l->limits[what->id - 1] = *what;
    return FR_OK;
}

static bool table_alive(void *ctx, uint64_t run)
{
    const fr_limits *l = ctx;
    return l->alive == NULL || l->alive(l->ctx, run);
}

static int table_bury(void *ctx, uint64_t run, fr_limit_touch_fn touch, void *touch_ctx,
                      fr_err *err)
{
    (void)err;
    remove_slots(ctx, run, 0, of_run, touch, touch_ctx);
    return FR_OK;
}

static int table_holder(void *ctx, int64_t limit, uint64_t after, uint64_t *run, fr_err *err)
{
    const fr_limits *l = ctx;
    (void)err;
    *run = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        const held *h = &l->slots[i];
        if (h->granted && h->s.limit == limit && h->s.run > after &&
            (*run == 0 || h->s.run < *run)) {
            *run = h->s.run;
        }
    }
    return FR_OK;
}

typedef struct touched {
    int64_t *ids;
    uint32_t n;
} touched;

static void note(void *ctx, int64_t limit)
{
    touched *t = ctx;
    t->ids = fr_realloc(t->ids, (t->n + 1) * sizeof *t->ids);
    t->ids[t->n++] = limit;
}

static void settle(fr_limits *l, touched *t, int64_t now)
{
    const fr_limit_table table = {.ctx = l, .limit = table_limit, .next = table_next,
                                  .slots = table_slots, .grant = table_grant,
                                  .refuse = table_refuse, .started = table_started,
                                  .alive = table_alive, .bury = table_bury,
                                  .holder = table_holder};
    int rc = fr_limit_settle(&table, t->ids, t->n, now, NULL);
    FR_ASSERT(rc == FR_OK);                    // nothing here fails
    fr_free(t->ids);
}

static void refuse_too_much(fr_limits *l, const fr_slot *a)
{
    fr_slot all[FR_LIMIT_NEEDS];
    uint32_t n;
    (void)table_slots(l, a->run, a->ask, all, &n, NULL);
    for (uint32_t i = 0; i < n; i++) {
        if (fr_limit_too_much(l->limits[all[i].limit - 1], all[i].n)) {
            (void)table_refuse(l, &all[i], NULL);
            return;
        }
    }
}

// --- what callers do ---

void fr_limits_set(fr_limits *l, const fr_limit *what, int64_t now)
{
    fr_limit *mine = limit_named(l, what->name);
    if (what->source < mine->source) {
        return;
    }
    mine->source = what->source;
    mine->capacity = what->capacity;
    mine->rate = what->rate;
    mine->period_ns = what->period_ns;
    touched t = {0};
    note(&t, mine->id);
    settle(l, &t, now);
}

void fr_limits_ask(fr_limits *l, uint64_t run, const fr_slot_ask *a, int64_t now)
{
    touched t = {0};
    for (uint32_t i = 0; i < a->n_needs; i++) {
        const fr_limit_need *need = &a->needs[i];
        fr_limit *mine = limit_named(l, need->name);
        if (need->rate > 0 && mine->source != FR_LIMIT_COMMAND) {
            mine->source = FR_LIMIT_SCRIPT;
            mine->rate = need->rate;
            mine->period_ns = need->period_ns;
        }
        if (l->n == l->room) {
            l->room = l->room * 2 + 16;
            l->slots = fr_realloc(l->slots, l->room * sizeof *l->slots);
        }
        l->slots[l->n++] = (held){.s = {.id = ++l->last_id, .limit = mine->id, .run = run,
                                        .ask = a->ask, .n = need->n,
                                        .rank = fr_limit_rank(a->since, a->priority)}};
        note(&t, mine->id);
    }
    const fr_slot mine = {.run = run, .ask = a->ask};
    refuse_too_much(l, &mine);
    settle(l, &t, now);
}

void fr_limits_release(fr_limits *l, uint64_t run, uint32_t ask, int64_t now)
{
    touched t = {0};
    remove_slots(l, run, ask, of_ask, note, &t);
    settle(l, &t, now);
}

void fr_limits_forget(fr_limits *l, uint64_t run, int64_t now)
{
    touched t = {0};
    remove_slots(l, run, 0, of_run, note, &t);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->n_answers; i++) {
        if (l->answers[i].run != run) {
            l->answers[kept++] = l->answers[i];
        }
    }
    l->n_answers = kept;
    settle(l, &t, now);
}

void fr_limits_look(fr_limits *l, int64_t now)
{
    touched t = {0};
    for (uint32_t i = 0; i < l->n_limits; i++) {
        note(&t, l->limits[i]->id);
    }
    settle(l, &t, now);
}

bool fr_limits_answer(fr_limits *l, uint64_t *run, uint32_t *ask, char why[FR_ERR_MAX])
{
    if (l->n_answers == 0) {
        return false;
    }
    answer *a = &l->answers[0];
    *run = a->run;
    *ask = a->ask;
    memcpy(why, a->why, FR_ERR_MAX);
    memmove(a, a + 1, --l->n_answers * sizeof *a);
    return true;
}

int64_t fr_limits_next(const fr_limits *l, int64_t now)
{
    int64_t next = INT64_MAX;
    for (uint32_t i = 0; i < l->n; i++) {
        const fr_limit *of = l->limits[l->slots[i].s.limit - 1];
        if (!l->slots[i].granted && of->rate > 0) {
            next = FR_MIN(next, fr_limit_next_start(of, now));
        }
    }
    return next;
}

bool fr_limits_at(const fr_limits *l, uint32_t i, fr_limit *out)
{
    if (i >= l->n_limits) {
        return false;
    }
    return table_limit((void *)(uintptr_t)l, (int64_t)i + 1, out, NULL) == FR_OK;
}
