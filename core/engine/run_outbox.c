#include "core/engine/run_outbox.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/engine/sched_int.h"

#include <uv.h>

#include <stdio.h>
#include <string.h>

enum {
    SLOTS = 16,                        // deliveries at once
    WARN = 30,
    LONGEST_MS = 3600 * 1000,          // a clock that is set is noticed after this
    BLIND_MS = 1000,                   // the store could not be read
};

// A delivery. Taken until what became of it is on disk: before that its row looks untouched.
typedef struct delivery {
    fr_attempt a;
    uint64_t id;                       // of the row; 0 = free
    uint64_t settled;                  // entry of the store that says so; 0 = under way
    fr_outbox_message message;
    void *bytes;                       // that it points into
    size_t size;
    fr_value *args;
} delivery;

struct fr_run_outbox {
    fr_run_outbox_env env;
    delivery slots[SLOTS];
    uv_timer_t timer;
    uint64_t need, adoption;           // record and entry that must be on disk before a look
    uint64_t durable;
    int64_t next;                      // wall ns at which something is due; INT64_MAX = nothing
    int64_t until;                     // the run's end waits until then; 0 = it has not ended
    bool news, hasty, stopped;         // hasty: only what is due when the run ends
};

static void on_timer(uv_timer_t *t)
{
    fr_run_outbox *o = t->data;
    o->news = true;
    o->env.moved(o->env.ctx);
}

static void arm(fr_run_outbox *o, int64_t at)
{
    if (o->until != 0 && !o->hasty) {
        at = FR_MIN(at, o->until);
    }
    int64_t ms = (at - fr_clock_wall_ns()) / 1000000 + 1;
    uv_update_time(o->env.loop);
    (void)uv_timer_start(&o->timer, on_timer, (uint64_t)FR_MIN(FR_MAX(ms, 1), LONGEST_MS), 0);
}

fr_run_outbox *fr_run_outbox_open(const fr_run_outbox_env *env)
{
    fr_run_outbox *o = fr_zalloc(sizeof *o);
    o->env = *env;
    o->next = INT64_MAX;
    (void)uv_timer_init(env->loop, &o->timer);
    o->timer.data = o;
    return o;
}

void fr_run_outbox_adopt(fr_run_outbox *o)
{
    o->adoption = fr_store_outbox_adopt(o->env.run);
    o->news = true;
    fr_store_flush(o->env.store);
}

void fr_run_outbox_note(fr_run_outbox *o, uint64_t seq)
{
    o->need = seq;
    o->news = true;
}

void fr_run_outbox_told(fr_run_outbox *o) { o->news = true; }

// --- one delivery ---

static void clear(delivery *d)
{
    fr_value_unref(d->args);
    fr_free(d->bytes);
    memset(d, 0, sizeof *d);
}

// What became of the attempt; the row says so before it is looked at again.
static void settle(fr_run_outbox *o, delivery *d, bool ok, bool again, const char *why)
{
    int64_t now = fr_clock_wall_ns();
    uint32_t made = d->a.attempt;
    fr_outbox_verdict v = fr_outbox_judge(&d->message, made, ok, again, now);
    fr_outbox_row row = {.id = d->id, .state = v.state, .attempts = made, .due = v.due,
                         .changed = now, .error = ok ? NULL : why};
    if (v.state == FR_OUTBOX_DEAD) {
        char text[FR_ERR_MAX + FR_OUTBOX_TEXT + 100];
        int n = snprintf(text, sizeof text,
                         "message %llu (%s) is given up after %u attempt%s: %s; "
                         "flowrun outbox retry %llu",
                         (unsigned long long)d->id, d->message.name, made, made == 1 ? "" : "s",
                         why, (unsigned long long)d->id);
        (void)fr_store_log(o->env.run, 0, 0, 0, WARN, text, FR_MIN((size_t)n, sizeof text - 1));
    }
    d->settled = fr_store_outbox_set(o->env.run, &row);
    fr_store_flush(o->env.store);
    o->news = true;
}

static delivery *free_slot(fr_run_outbox *o)
{
    for (int i = 0; i < SLOTS; i++) {
        if (o->slots[i].id == 0) {
            return &o->slots[i];
        }
    }
    return NULL;
}

static bool taken(const fr_run_outbox *o, uint64_t id)
{
    for (int i = 0; i < SLOTS; i++) {
        if (o->slots[i].id == id) {
            return true;
        }
    }
    return false;
}

static int take_row(void *ctx, const fr_outbox_row *row, fr_err *err)
{
    fr_run_outbox *o = ctx;
    delivery *d = free_slot(o);
    if (d == NULL || taken(o, row->id)) {
        return FR_OK;
    }
    d->id = row->id;
    d->size = row->size;
    d->bytes = fr_alloc(row->size + 1);
    memcpy(d->bytes, row->message, row->size);
    d->a = (fr_attempt){.code = o->env.code, .attempt = row->attempts + 1, .n_outputs = 1,
                        .cpu = 1, .aside = true, .owner = d, .queued = fr_clock_wall_ns(),
                        .key = fr_hash_str(row->key)};
    (void)err;
    return FR_OK;
}

// A row's message is read outside of the snapshot: a damaged one is settled at once.
static void hand_over(fr_run_outbox *o, delivery *d)
{
    fr_reader r = fr_reader_of(d->bytes, d->size);
    fr_err err = FR_ERR_INIT;
    bool ok = fr_outbox_next(&r, &d->message, NULL, NULL) &&
              fr_value_parse(d->message.args, d->message.args_size, NULL, 0, &d->args, &err) ==
                  FR_OK;
    if (!ok) {
        d->message = (fr_outbox_message){.task = "", .name = "?", .key = ""};
        settle(o, d, false, false, "its row is damaged");
        return;
    }
    d->a.task = d->message.task;
    d->a.args = d->args;
    d->a.n_args = d->message.n_args;
    o->env.start(o->env.ctx, &d->a);
}

void fr_run_outbox_done(fr_run_outbox *o, fr_attempt *a, const fr_done *done)
{
    delivery *d = a->owner;
    if (!done->last) {
        return;
    }
    if (done->code == FR_ECANCELLED && o->until != 0) {   // stopped by the run's end: not counted
        clear(d);
    } else {
        char why[FR_ERR_MAX];
        sched_error_text(done->error, why, sizeof why);
        settle(o, d, done->code == FR_OK, sched_error_retry(done->error), why);
    }
    o->env.moved(o->env.ctx);
}

// --- looking ---

static bool busy(const fr_run_outbox *o)
{
    for (int i = 0; i < SLOTS; i++) {
        if (o->slots[i].id != 0) {
            return true;
        }
    }
    return false;
}

static void free_settled(fr_run_outbox *o)
{
    uint64_t done = fr_store_outbox_done(o->env.run);
    for (int i = 0; i < SLOTS; i++) {
        delivery *d = &o->slots[i];
        if (d->settled != 0 && d->settled <= done) {
            clear(d);
            o->news = true;
        }
    }
}

void fr_run_outbox_look(fr_run_outbox *o, uint64_t durable)
{
    o->durable = durable;
    free_settled(o);
    if (!o->news || durable < o->need || fr_store_outbox_done(o->env.run) < o->adoption) {
        return;
    }
    if (o->until != 0 && fr_clock_wall_ns() >= o->until) {
        return;                        // nothing new is begun any more
    }
    o->news = false;
    int64_t now = o->hasty ? o->until - INT64_MAX / 2 : fr_clock_wall_ns();
    int rc = fr_store_outbox_due(o->env.run, now, (size_t)2 * SLOTS, take_row, o, &o->next, NULL);
    if (rc != FR_OK) {                 // the store's trouble is told elsewhere
        o->news = true;
        arm(o, fr_clock_wall_ns() + BLIND_MS * INT64_C(1000000));
        return;
    }
    for (int i = 0; i < SLOTS; i++) {
        delivery *d = &o->slots[i];
        if (d->id != 0 && d->settled == 0 && d->a.task == NULL) {
            hand_over(o, d);
        }
    }
    if (o->next != INT64_MAX) {
        arm(o, o->next);
    }
}

// --- the end of the run ---

static void stop_all(fr_run_outbox *o)
{
    for (int i = 0; i < SLOTS; i++) {
        delivery *d = &o->slots[i];
        if (d->id != 0 && d->settled == 0 && !o->stopped) {
            o->env.cancel(o->env.ctx, &d->a, FR_ECANCELLED);
        }
    }
    o->stopped = true;                 // each is asked once
}

bool fr_run_outbox_holds(fr_run_outbox *o, int64_t wait_ns)
{
    int64_t now = fr_clock_wall_ns();
    if (o->until == 0) {
        o->hasty = wait_ns < 0;
        o->until = o->hasty ? INT64_MAX / 2 + now : now + wait_ns;
        if (!o->hasty) {
            arm(o, o->next);
        }
    }
    if (now >= o->until) {
        stop_all(o);                   // what is left is counted when its rows are there
        return busy(o) || o->durable < o->need ||
               fr_store_outbox_done(o->env.run) < o->adoption;
    }
    return busy(o) || o->news || (!o->hasty && o->next < o->until);
}

static void on_closed(uv_handle_t *h) { fr_free(h->data); }

void fr_run_outbox_close(fr_run_outbox *o)
{
    if (o != NULL) {
        for (int i = 0; i < SLOTS; i++) {
            clear(&o->slots[i]);
        }
        uv_close((uv_handle_t *)&o->timer, on_closed);
    }
}
