// Timers as a binary heap with a tie-break, and the FIFO of numbers used all over sched.
#include "core/engine/sched_int.h"

void queue32_push(queue32 *q, uint32_t v)
{
    if (q->tail - q->head == q->capacity) {
        size_t capacity = q->capacity == 0 ? 64 : q->capacity * 2, n = q->tail - q->head;
        uint32_t *data = fr_alloc(capacity * sizeof *data);
        for (size_t i = 0; i < n; i++) {
            data[i] = q->data[(q->head + i) & (q->capacity - 1)];
        }
        fr_free(q->data);
        *q = (queue32){.data = data, .tail = n, .capacity = capacity};
    }
    q->data[q->tail++ & (q->capacity - 1)] = v;
}

bool queue32_pop(queue32 *q, uint32_t *v)
{
    if (queue32_empty(q)) {
        return false;
    }
    *v = q->data[q->head++ & (q->capacity - 1)];
    return true;
}

static bool before(const timer_entry *a, const timer_entry *b)
{
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

void sched_timer_add(fr_sched *s, timer_kind kind, int64_t due_mono, uint32_t id, uint32_t fence,
                     uint32_t item)
{
    if (s->n_timers == s->cap_timers) {
        s->cap_timers = s->cap_timers == 0 ? 16 : s->cap_timers * 2;
        s->timers = fr_realloc(s->timers, s->cap_timers * sizeof *s->timers);
    }
    timer_entry e = {due_mono, s->timer_order++, id, fence, item, kind};
    size_t i = s->n_timers++;
    while (i > 0 && before(&e, &s->timers[(i - 1) / 2])) {
        s->timers[i] = s->timers[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->timers[i] = e;
}

static void remove_top(fr_sched *s)
{
    timer_entry last = s->timers[--s->n_timers];
    size_t i = 0;
    for (;;) {
        size_t kid = 2 * i + 1;
        if (kid >= s->n_timers) {
            break;
        }
        if (kid + 1 < s->n_timers && before(&s->timers[kid + 1], &s->timers[kid])) {
            kid++;
        }
        if (!before(&s->timers[kid], &last)) {
            break;
        }
        s->timers[i] = s->timers[kid];
        i = kid;
    }
    s->timers[i] = last;
}

bool sched_timer_pop(fr_sched *s, timer_entry *out)
{
    if (s->n_timers == 0 || s->timers[0].due > s->mono) {
        return false;
    }
    *out = s->timers[0];
    remove_top(s);
    return true;
}

void sched_timer_arm(fr_sched *s)
{
    int64_t due = s->n_timers > 0 ? s->timers[0].due : INT64_MAX;
    if (due != s->timer_armed) {
        s->timer_armed = due;
        s->io.timer(s->io.ctx, due);
    }
}
