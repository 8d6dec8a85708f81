#include "core/engine/limit.h"

#include "core/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// --- one limit ---

int64_t fr_limit_capacity(const fr_limit *l)
{
    return l->capacity >= 0 ? l->capacity : l->rate > 0 ? -1 : 1;
}

int64_t fr_limit_rank(int64_t since, int32_t priority)
{
    return since - (int64_t)priority * FR_LIMIT_AGE_NS;
}

int64_t fr_limit_next_start(const fr_limit *l, int64_t now)
{
    if (l->rate == 0 || l->n_starts < l->rate) {
        return now;
    }
    // The clock may have been set back: a start in the future counts as one of just now.
    return FR_MIN(l->starts[l->n_starts - l->rate], now) + l->period_ns;
}

void fr_limit_note_start(fr_limit *l, int64_t now)
{
    if (l->rate == 0) {
        return;
    }
    for (uint32_t i = 0; i < l->n_starts; i++) {
        l->starts[i] = FR_MIN(l->starts[i], now);
    }
    uint32_t keep = FR_MIN(l->rate, (uint32_t)FR_LIMIT_RATE) - 1;
    if (l->n_starts > keep) {
        memmove(l->starts, l->starts + l->n_starts - keep, keep * sizeof l->starts[0]);
        l->n_starts = keep;
    }
    l->starts[l->n_starts++] = now;
}

bool fr_limit_too_much(const fr_limit *l, uint32_t n)
{
    int64_t capacity = fr_limit_capacity(l);
    return capacity > 0 && n > capacity;
}

void fr_limit_never(const fr_limit *l, uint32_t n, char *out, size_t size)
{
    (void)snprintf(out, size,
                   "it wants %u slots of limit \"%s\", which has %" PRId64 "%s; "
                   "raise it (flowrun limits set %s %u) or ask for less",
                   n, l->name, fr_limit_capacity(l), l->capacity < 0 ? " unless set" : "", l->name,
                   n);
}

// --- giving out ---

typedef struct entry {
    fr_limit l;
    bool fresh, queued, swept;
} entry;

typedef struct work {
    const fr_limit_table *t;
    int64_t now;
    entry **entries;
    uint32_t n, room;
} work;

typedef enum verdict { FITS, FULL, LATER, NEVER } verdict;

static entry *entry_of(work *w, int64_t id)
{
    for (uint32_t i = 0; i < w->n; i++) {
        if (w->entries[i]->l.id == id) {
            return w->entries[i];
        }
    }
    if (w->n == w->room) {
        w->room = w->room * 2 + 4;
        w->entries = fr_realloc(w->entries, w->room * sizeof *w->entries);
    }
    entry *e = fr_alloc(sizeof *e);
    e->l.id = id;
    e->fresh = e->queued = e->swept = false;
    return w->entries[w->n++] = e;
}

static int load(work *w, int64_t id, entry **out, fr_err *err)
{
    entry *e = entry_of(w, id);
    int rc = e->fresh ? FR_OK : w->t->limit(w->t->ctx, id, &e->l, err);
    e->fresh = true;
    *out = e;
    return rc;
}

static void touch(void *ctx, int64_t id)
{
    entry *e = entry_of(ctx, id);
    e->fresh = false;
    e->queued = true;
}

// What keeps an ask waiting, and at which of its limits.
static int judge(work *w, const fr_slot *s, uint32_t n, verdict *v, uint32_t *at, fr_err *err)
{
    *v = FITS;
    *at = 0;
    for (uint32_t i = 0; i < n; i++) {
        entry *e;
        int rc = load(w, s[i].limit, &e, err);
        if (rc != FR_OK) {
            return rc;
        }
        int64_t capacity = fr_limit_capacity(&e->l);
        bool later = capacity == 0 || fr_limit_next_start(&e->l, w->now) > w->now;
        verdict mine = fr_limit_too_much(&e->l, s[i].n)                ? NEVER
                       : later                                         ? LATER
                       : capacity > 0 && e->l.used + s[i].n > capacity ? FULL
                                                                       : FITS;
        if (mine > *v) {
            *v = mine;
            *at = i;
        }
    }
    return FR_OK;
}

static bool is_before(const fr_slot *a, const fr_slot *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->id < b->id;
}

// Whether somebody in front of this slot at its limit is waiting for room, which it must leave.
static int overtakes(work *w, const fr_slot *mine, bool *yes, fr_err *err)
{
    fr_slot other = {.rank = INT64_MIN}, all[FR_LIMIT_NEEDS];
    *yes = false;
    for (;;) {
        bool found;
        int rc = w->t->next(w->t->ctx, mine->limit, other.rank, other.id, &other, &found, err);
        if (rc != FR_OK || !found || !is_before(&other, mine)) {
            return rc;
        }
        uint32_t n, at;
        verdict v;
        rc = w->t->slots(w->t->ctx, other.run, other.ask, all, &n, err);
        if (rc == FR_OK) {
            rc = judge(w, all, n, &v, &at, err);
        }
        if (rc != FR_OK) {
            return rc;
        }
        if (v == FITS || v == FULL) {
            *yes = w->t->alive(w->t->ctx, other.run);
            if (*yes) {
                return FR_OK;
            }
        }
    }
}

static int grant(work *w, const fr_slot *s, uint32_t n, fr_err *err)
{
    int rc = w->t->grant(w->t->ctx, s[0].run, s[0].ask, w->now, err);
    for (uint32_t i = 0; i < n && rc == FR_OK; i++) {
        entry *e = entry_of(w, s[i].limit);
        e->l.used += s[i].n;
        e->queued = true;
        if (e->l.rate > 0) {
            fr_limit_note_start(&e->l, w->now);
            rc = w->t->started(w->t->ctx, &e->l, err);
        }
    }
    return rc;
}

// Removes the dead among those that hold slots of a limit. *some: there were any.
static int sweep(work *w, int64_t limit, bool *some, fr_err *err)
{
    entry *e = entry_of(w, limit);
    uint64_t run = 0;
    int rc = FR_OK;
    *some = false;
    while (!e->swept && rc == FR_OK) {
        rc = w->t->holder(w->t->ctx, limit, run, &run, err);
        if (rc != FR_OK || run == 0) {
            break;
        }
        if (!w->t->alive(w->t->ctx, run)) {
            *some = true;
            rc = w->t->bury(w->t->ctx, run, touch, w, err);
        }
    }
    e->swept = true;
    return rc;
}

// What becomes of one ask that waits. *stop: those behind it must wait, too.
static int settle_one(work *w, int64_t limit, const fr_slot *s, bool *stop, fr_err *err)
{
    fr_slot all[FR_LIMIT_NEEDS];
    uint32_t n, at;
    verdict v = FITS;
    bool again = true, ahead = false;
    int rc = w->t->slots(w->t->ctx, s->run, s->ask, all, &n, err);
    while (rc == FR_OK && again) {
        again = false;
        rc = judge(w, all, n, &v, &at, err);
        if (rc == FR_OK && v == FULL) {
            rc = sweep(w, all[at].limit, &again, err);
        }
    }
    for (uint32_t i = 0; i < n && rc == FR_OK && v == FITS && !ahead; i++) {
        if (all[i].limit != limit) {
            rc = overtakes(w, &all[i], &ahead, err);
        }
    }
    if (rc != FR_OK) {
        return rc;
    }
    *stop = ahead || v == FULL || (v == LATER && all[at].limit == limit);
    if (v == NEVER) {
        for (uint32_t i = 0; i < n; i++) {
            touch(w, all[i].limit);
        }
        return w->t->refuse(w->t->ctx, &all[at], err);
    }
    return v == FITS && !ahead ? grant(w, all, n, err) : FR_OK;
}

static int settle_limit(work *w, int64_t limit, fr_err *err)
{
    fr_slot s = {.rank = INT64_MIN};
    bool stop = false;
    int rc = FR_OK;
    while (rc == FR_OK && !stop) {
        bool found;
        rc = w->t->next(w->t->ctx, limit, s.rank, s.id, &s, &found, err);
        if (rc != FR_OK || !found) {
            break;
        }
        if (!w->t->alive(w->t->ctx, s.run)) {
            rc = w->t->bury(w->t->ctx, s.run, touch, w, err);
        } else {
            rc = settle_one(w, limit, &s, &stop, err);
        }
    }
    return rc;
}

int fr_limit_settle(const fr_limit_table *t, const int64_t *limits, uint32_t n, int64_t now,
                    fr_err *err)
{
    work w = {.t = t, .now = now};
    int rc = FR_OK;
    for (uint32_t i = 0; i < n; i++) {
        touch(&w, limits[i]);
    }
    for (bool more = true; more && rc == FR_OK;) {
        more = false;
        for (uint32_t i = 0; i < w.n && rc == FR_OK; i++) {
            if (w.entries[i]->queued) {
                w.entries[i]->queued = false;
                more = true;
                rc = settle_limit(&w, w.entries[i]->l.id, err);
            }
        }
    }
    for (uint32_t i = 0; i < w.n; i++) {
        fr_free(w.entries[i]);
    }
    fr_free(w.entries);
    return rc;
}
