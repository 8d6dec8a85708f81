// Bodies that may have taken a process down (ENGINE.md D4): their next attempt runs with
// nothing beside it, so that a further death is theirs; after MOST_DEATHS they are not run.
#include "core/engine/sched_int.h"

#include <string.h>

enum { MOST_DEATHS = 3 };

static fr_hash suspect_key(fr_hash call, uint32_t item)
{
    return fr_hash_mix(call, (uint64_t)item + 1);      // a whole call: FR_NO_NODE
}

static suspect *find(const fr_sched *s, fr_hash call, uint32_t item)
{
    uint64_t *at = s->n_suspects > 0 ? fr_map_find(&s->suspect_index, suspect_key(call,
        item)) : NULL;
    return at != NULL ? &s->suspects[*at] : NULL;
}

void sched_load_death(fr_sched *s, const fr_record *r)
{
    const uint8_t *data = r->data;
    if (r->size != 8) {
        return;
    }
    fr_reader at = fr_reader_of(data, 8);
    uint32_t item = fr_read_u32(&at), signal = fr_read_u32(&at);
    bool fresh;
    uint64_t *i = fr_map_put(&s->suspect_index, suspect_key(r->key, item), &fresh);
    if (fresh) {
        *i = s->n_suspects++;
        s->suspects = fr_realloc(s->suspects, s->n_suspects * sizeof *s->suspects);
        s->suspects[*i] = (suspect){.call = r->key, .item = item};
    }
    suspect *p = &s->suspects[*i];
    // Without a signal the first death only makes it suspect; afterwards it ran alone.
    p->deaths += !fresh || signal != 0;
    p->signal = (int)signal;
    s->deaths_seq = r->seq;
}

void fr_sched_suspect(fr_sched *s, fr_hash call, uint32_t item, int signal)
{
    FR_ASSERT(!s->begun);
    uint8_t data[8];
    fr_buf b;
    fr_buf_init(&b, sizeof data);
    fr_buf_put_u32(&b, item);
    fr_buf_put_u32(&b, (uint32_t)signal);
    fr_record r = {.type = FR_REC_REQUEST, .name = "death", .key = call, .data = b.data,
                   .size = b.size, .ended = s->wall};
    sched_record(s, &r);
    r.seq = s->seq;
    sched_load_death(s, &r);
    fr_buf_fini(&b);
}

void sched_forgive(fr_sched *s)
{
    for (uint32_t i = 0; i < s->n_suspects; i++) {
        s->suspects[i].deaths = 0;                     // still alone, but tried again
    }
}

bool sched_is_suspect(const fr_sched *s, fr_hash call, uint32_t item)
{
    if (item != FR_ANY_ITEM) {
        return find(s, call, item) != NULL;
    }
    for (uint32_t i = 0; i < s->n_suspects; i++) {
        if (fr_hash_eq(s->suspects[i].call, call)) {
            return true;
        }
    }
    return false;
}

static const char *signal_name(int signal)
{
    static const struct {
        int number;
        const char *text;
    } names[] = {{4, "SIGILL (a wrong instruction)"},
                 {6, "SIGABRT (it gave up)"},
                 {7, "SIGBUS (a wrong address, or a file that shrank)"},
                 {8, "SIGFPE (an arithmetic trap)"},
                 {11, "SIGSEGV (a wrong address)"}};
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        if (names[i].number == signal) {
            return names[i].text;
        }
    }
    return "no signal was seen: it exits the process, is killed (SIGKILL) or runs out of memory";
}

fr_value *sched_quarantine(const fr_sched *s, fr_hash call, uint32_t item)
{
    const suspect *p = find(s, call, item);
    if (p == NULL || p->deaths < MOST_DEATHS) {
        return NULL;
    }
    return sched_error(fr_err_name(FR_EPOISON),
                       "quarantined: it took its process down %u times; "
                       "%s; `flowrun rerun RUN --failed` tries it again",
                       p->deaths, signal_name(p->signal));
}

// --- the gate: once there is a suspect, or a most for the run, every attempt passes here ---

static bool gated(const fr_sched *s)
{
    return s->n_suspects > 0 || s->env.max_running > 0 || s->draining;
}

static void go(fr_sched *s, run_attempt *ra)
{
    ra->held = false;
    s->n_out++;
    s->alone = ra->alone;
    if (ra->told != 0) {
        sched_will_look(s);
    }
    s->io.start(s->io.ctx, &ra->a);
}

static bool may_go(const fr_sched *s, const run_attempt *ra)
{
    // A death must be on disk before what caused it can cause another.
    return !s->draining && s->durable >= s->deaths_seq && !s->alone &&
           (s->n_out == 0 || !ra->alone) &&
           (s->env.max_running == 0 || s->n_out < s->env.max_running ||
            (SEEDED(BUG_MOST_EXCEEDED) && ra->a.attempt > 1));
}

void sched_gate(fr_sched *s, run_attempt *ra)
{
    if (FR_UNLIKELY(sched_drain_hold(s, ra))) {
        return;
    }
    if (FR_LIKELY(!gated(s))) {
        s->io.start(s->io.ctx, &ra->a);
        return;
    }
    ra->alone = sched_is_suspect(s, ra->a.key, ra->single_item ? ra->item : FR_NO_NODE);
    if (queue32_empty(&s->held) && may_go(s, ra)) {
        go(s, ra);
    } else {
        ra->held = true;
        s->held_mixed = s->held_mixed || ra->a.priority != 0;
        queue32_push(&s->held, ra->slot);
    }
}

static run_attempt *held_at(const fr_sched *s, size_t i)
{
    return s->slots[s->held.data[i & (s->held.capacity - 1)]];
}

// As the executors do: who has waited longest, priority counted.
static run_attempt *first_held(const fr_sched *s)
{
    run_attempt *best = held_at(s, s->held.head);
    for (size_t i = s->held.head + 1; i != s->held.tail && s->held_mixed; i++) {
        run_attempt *ra = held_at(s, i);
        int64_t ahead = fr_limit_rank(best->a.queued, best->a.priority) -
                        fr_limit_rank(ra->a.queued, ra->a.priority);
        if (ahead > 0 || (ahead == 0 && ra->a.priority > best->a.priority)) {
            best = ra;
        }
    }
    return best;
}

void sched_release(fr_sched *s)
{
    while (!queue32_empty(&s->held)) {
        run_attempt *ra = first_held(s);
        if (!may_go(s, ra)) {
            return;
        }
        if (s->held_mixed) {
            sched_take_back(s, ra);
            s->held_mixed = !queue32_empty(&s->held);
        } else {
            s->held.head++;
        }
        go(s, ra);
    }
}

void sched_returned(fr_sched *s, const run_attempt *ra)
{
    if (gated(s) && !ra->held) {
        s->n_out--;
        s->alone = s->alone && s->n_out > 0;
        sched_release(s);
    }
}

void sched_take_back(fr_sched *s, run_attempt *ra)
{
    uint32_t left = (uint32_t)(s->held.tail - s->held.head), v;
    for (; left > 0; left--) {
        (void)queue32_pop(&s->held, &v);
        if (v != ra->slot) {
            queue32_push(&s->held, v);
        }
    }
}

void sched_cancel_attempt(fr_sched *s, run_attempt *ra, int code)
{
    if (!ra->held) {
        s->io.cancel(s->io.ctx, &ra->a, code);
        return;
    }
    sched_take_back(s, ra);
    sched_limit_drop(s, ra);
    fr_done d = {.code = code, .last = true};
    fr_sched_done(s, &ra->a, &d);
}
