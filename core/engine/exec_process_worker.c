// One worker process, as the engine sees it: starting it, what is said to it, what it says.
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/engine/exec_process.h"
#include "core/engine/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LEVEL_OUT = 20, LEVEL_ERR = 30 };

// --- sending ---

static void watch(proc_worker *w);

static void flush(proc_worker *w)
{
    while (w->out != NULL) {
        wire_packet *p = w->out;
        int e = w->hung_up ? EPIPE : fr_wire_send(w->fd, p, MSG_DONTWAIT);
        if (e == EAGAIN || e == ENOBUFS || e == ETOOMANYREFS) {
            break;
        }
        w->out = p->next; // other failures: its end is being told elsewhere
        if (w->out == NULL) {
            w->out_end = &w->out;
        }
        fr_wire_packet_free(p);
    }
    watch(w);
}

static void queue(proc_worker *w, wire_packet *p)
{
    *w->out_end = p;
    while (*w->out_end != NULL) {
        w->out_end = &(*w->out_end)->next;
    }
}

void proc_worker_tell(proc_worker *w, wire_type type, uint64_t value)
{
    uint8_t bytes[8];
    fr_buf b = {.data = bytes, .capacity = sizeof bytes, .max = sizeof bytes};
    fr_buf_put_u64(&b, value);
    wire_packet *p;
    if (fr_wire_packet(type, bytes, sizeof bytes, -1, &p, NULL) == FR_OK) {
        queue(w, p);
        flush(w);
    }
}

void proc_worker_kill(proc_worker *w)
{
    if (!w->ended && !w->killed) {
        w->killed = true;
        fr_child_kill(w->child);
    }
}

// --- an attempt as packets; perhaps on a thread of the pool ---

typedef struct packing {
    uv_work_t work;
    proc_worker *w;
    proc_unit *u;
    wire_packet *list, **end;
    int rc;
    fr_err err;
} packing;

static int add(packing *p, uint32_t type, const fr_buf *b)
{
    int rc = fr_buf_check(b, &p->err);
    if (rc == FR_OK) {
        rc = fr_wire_packet(type, b->data, b->size, -1, p->end, &p->err);
    }
    if (rc == FR_OK) {
        p->end = &(*p->end)->next;
    }
    return rc;
}

static int add_objects(packing *p, const fr_value *v)
{
    proc_worker *w = p->w;
    int rc = FR_OK;
    for (uint32_t i = 0; v != NULL && i < v->objects && rc == FR_OK; i++) {
        const fr_object *o = v->object[i];
        bool fresh;
        (void)fr_map_put(&w->sent, o->ops->hash(o), &fresh);
        if (!fresh) {
            continue;
        }
        w->sent_bytes += o->ops->size(o);
        rc = fr_wire_object(o, p->end, &p->err);
        if (rc == FR_OK) {
            p->end = &(*p->end)->next;
        }
    }
    return rc;
}

static int add_all_objects(packing *p, const fr_attempt *a)
{
    int rc = FR_OK;
    if (p->w->sent_bytes > PROC_OBJECT_BYTES) {
        fr_map_fini(&p->w->sent);
        fr_map_init(&p->w->sent);
        p->w->sent_bytes = 0;
        rc = add(p, WIRE_FORGET, &(fr_buf){.max = 1});
    }
    const fr_value *values[] = {a->args, a->list, a->checkpoint};
    for (size_t i = 0; i < FR_COUNT(values) && rc == FR_OK; i++) {
        rc = add_objects(p, values[i]);
    }
    for (uint32_t i = 0; i < a->n_lead && rc == FR_OK; i++) {
        rc = add_objects(p, a->lead[i].value);
    }
    for (uint32_t i = 0; i < a->n_deps && rc == FR_OK; i++) {
        rc = add_objects(p, a->deps[i]);
    }
    return rc;
}

static void put_hash(fr_buf *b, fr_hash hash)
{
    uint8_t bytes[16];
    fr_hash_store(hash, bytes);
    fr_buf_put(b, bytes, sizeof bytes);
}

static uint32_t items_of(const fr_attempt *a)
{
    fr_reader r = fr_reader_of(a->list->bytes, a->list->size);
    fr_item head;
    return fr_value_next(&r, &head) ? (uint32_t)head.n : 0;
}

static void put_list(fr_buf *b, const fr_attempt *a)
{
    uint32_t n = items_of(a);
    fr_wire_put_value(b, a->list);
    fr_buf_put_u32(b, n);
    for (uint32_t i = 0; i <= n; i++) {
        fr_buf_put_u64(b, a->offsets[i]);
    }
    fr_buf_put_u8(b, a->item_args != NULL);
    for (uint32_t i = 0; a->item_args != NULL && i < n; i++) {
        put_hash(b, a->item_args[i]);
    }
    fr_buf_put_u8(b, a->duplicates != NULL);
    for (uint32_t i = 0; a->duplicates != NULL && i < n; i++) {
        fr_buf_put_u32(b, a->duplicates[i]);
    }
}

static void put_call(fr_buf *b, const fr_attempt *a)
{
    fr_wire_put_text(b, a->task);
    fr_wire_put_text(b, a->option);
    fr_buf_put_u32(b, a->row);
    fr_buf_put_u32(b, a->attempt);
    put_hash(b, a->key);
    fr_buf_put_u32(b, a->n_args);
    fr_buf_put_u32(b, a->n_outputs);
    fr_buf_put_u64(b, a->need);
    fr_buf_put_u32(b, a->cpu);
    fr_buf_put_u64(b, a->memory);
    fr_buf_put_u64(b, a->gpus);
    fr_buf_put_u8(b, a->effect);
    fr_buf_put_u64(b, (uint64_t)a->queued);
    fr_buf_put_u8(b, a->tuples);
    fr_buf_put_u32(b, a->n_lead);
    for (uint32_t i = 0; i < a->n_lead; i++) {
        fr_buf_put_u8(b, a->lead[i].error);
        fr_wire_put_value(b, a->lead[i].value);
    }
    fr_wire_put_value(b, a->args);
    fr_wire_put_value(b, a->checkpoint);
    fr_buf_put_u32(b, a->n_deps);
    for (uint32_t i = 0; i < a->n_deps; i++) {
        fr_wire_put_value(b, a->deps[i]);
    }
    fr_buf_put_u8(b, a->list != NULL);
    if (a->list != NULL) {
        put_list(b, a);
    }
}

static void pack(packing *p)
{
    proc_worker *w = p->w;
    const fr_attempt *a = p->u->a;
    fr_buf b;
    fr_buf_init(&b, WIRE_MOST);
    if (w->call != p->u->serial) {
        p->rc = add_all_objects(p, a);
        if (p->rc == FR_OK) {
            put_call(&b, a);
            p->rc = add(p, WIRE_CALL, &b);
        }
        fr_buf_clear(&b);
    }
    if (p->rc == FR_OK) {
        fr_buf_put_u32(&b, w->index);
        fr_buf_put_u64(&b, atomic_load(&a->code->durable));
        p->rc = add(p, WIRE_START, &b);
    }
    fr_buf_fini(&b);
}

static void free_packets(wire_packet *p)
{
    while (p != NULL) {
        wire_packet *next = p->next;
        fr_wire_packet_free(p);
        p = next;
    }
}

static void send_packing(packing *p)
{
    proc_worker *w = p->w;
    proc_unit *u = p->u;
    if (p->rc == FR_OK && !w->ended) {
        w->call = u->serial;
        queue(w, p->list);
        if (u->code != 0) {
            proc_worker_tell(w, WIRE_CANCEL, (uint64_t)u->code);
        }
        flush(w);
        return;
    }
    free_packets(p->list);
    if (!w->ended) { // what it has been told is unclear now
        w->retire = true;
        uint32_t at = w->at;
        proc_answered(w);
        proc_worker_fail(w->x, NULL, u, at, p->rc, fr_exec_error(p->rc, p->err.text));
    }
}

static void on_work(uv_work_t *work) { pack(work->data); }

static void die(proc_worker *w);

static void on_worked(uv_work_t *work, int status)
{
    (void)status;
    packing *p = work->data;
    proc_worker *w = p->w;
    process_exec *x = w->x;
    w->preparing = false;
    x->preparing--;
    send_packing(p);
    fr_free(p);
    if (w->ended) {
        die(w);
    }
    proc_turn(x);
}

static bool has_objects(const fr_attempt *a)
{
    uint32_t n = (a->args != NULL ? a->args->objects : 0) +
                 (a->list != NULL ? a->list->objects : 0);
    for (uint32_t i = 0; i < a->n_lead; i++) {
        n += a->lead[i].value->objects;
    }
    for (uint32_t i = 0; i < a->n_deps; i++) {
        n += a->deps[i] != NULL ? a->deps[i]->objects : 0;
    }
    return n > 0;
}

void proc_worker_run(proc_worker *w)
{
    process_exec *x = w->x;
    w->sent_ns = fr_clock_wall_ns();
    packing *p = fr_zalloc(sizeof *p);
    *p = (packing){.w = w, .u = w->u, .end = &p->list};
    p->work.data = p;
    bool heavy = w->call != w->u->serial && has_objects(w->u->a);
    if (heavy && uv_queue_work(x->env.loop, &p->work, on_work, on_worked) == 0) {
        w->preparing = true;
        x->preparing++;
        return;
    }
    pack(p);
    send_packing(p);
    fr_free(p);
}

// --- what it says ---

static void log_line(proc_worker *w, uint32_t item, int level, const char *text, size_t n)
{
    const fr_attempt *a = w->u->a;
    if (a->code->log == NULL) {
        (void)fprintf(stderr, "%s: %.*s\n", a->task, (int)FR_MIN(n, 1U << 20), text);
        return;
    }
    uint64_t at = fr_store_log(a->code->log, a->row, item, a->attempt, level, text, n);
    if (w->log_to == 0) {
        w->log_from = at;
    }
    w->log_to = at + n + 1;
}

static void take_line(proc_worker *w, fr_reader *r)
{
    uint32_t item = fr_read_u32(r);
    int level = (int)fr_read_u32(r);
    if (!r->failed && w->u != NULL) {
        log_line(w, item, level, (const char *)r->at, (size_t)(r->end - r->at));
    }
}

static void on_output(void *ctx, int stream, const char *bytes, size_t n)
{
    proc_worker *w = ctx;
    fr_buf *line = &w->line[stream - 1];
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != '\n' && line->size < PROC_LINE) {
            fr_buf_put_u8(line, (uint8_t)bytes[i]);
            continue;
        }
        if (stream == 2) {
            (void)snprintf(w->tail, sizeof w->tail, "%s", fr_buf_text(line));
        }
        if (w->u != NULL) {
            log_line(w, w->index, stream == 1 ? LEVEL_OUT : LEVEL_ERR, fr_buf_text(line),
                     line->size);
        }
        fr_buf_clear(line);
        if (bytes[i] != '\n') {
            fr_buf_put_u8(line, (uint8_t)bytes[i]);
        }
    }
}

static fr_object *find_got(void *ctx, fr_hash hash)
{
    const proc_worker *w = ctx;
    uint64_t *at = fr_map_find(&w->got, hash);
    return at != NULL ? fr_object_ref((fr_object *)(uintptr_t)*at) : NULL;
}

static void forget_got(proc_worker *w)
{
    for (size_t i = 0; i < w->got.capacity; i++) {
        if (!fr_hash_is_zero(w->got.slots[i].key)) {
            fr_object_unref((fr_object *)(uintptr_t)w->got.slots[i].value);
        }
    }
    fr_map_fini(&w->got);
    fr_map_init(&w->got);
}

static int take_object(proc_worker *w, const wire_in *in, fr_err *err)
{
    fr_hash hash;
    fr_object *o;
    int rc = fr_wire_load(in, w->x->env.kinds, &hash, &o, err);
    if (rc == FR_OK) {
        bool fresh;
        uint64_t *at = fr_map_put(&w->got, hash, &fresh);
        if (!fresh) {
            fr_object_unref((fr_object *)(uintptr_t)*at);
        }
        *at = (uint64_t)(uintptr_t)o;
    }
    return rc;
}

// An item's packed bytes, with what only the engine knows. False: damaged.
static bool item_of(const proc_worker *w, const void *bytes, size_t n, fr_item_done *item)
{
    const fr_attempt *a = w->u->a;
    fr_reader r = fr_reader_of(bytes, n);
    fr_value *value = NULL;
    if (!fr_item_next(&r, item) || r.at != r.end || item->index != w->index ||
        fr_value_parse(item->value, item->size, NULL, 0, &value, NULL) != FR_OK) {
        return false;
    }
    fr_value_unref(value);
    item->attempt = a->attempt;
    item->args = a->item_args != NULL ? a->item_args[item->index] : (fr_hash){0, 0};
    item->duplicate = a->duplicates != NULL ? a->duplicates[item->index] : 0;
    item->log_offset = w->log_from;
    return true;
}

static bool deliver_item(proc_worker *w, proc_unit *u, const void *bytes, size_t n)
{
    fr_item_done item;
    if (!item_of(w, bytes, n, &item)) {
        return false;
    }
    fr_buf b;
    fr_buf_init(&b, SIZE_MAX);
    fr_item_put(&b, &item);
    process_exec *x = w->x;
    proc_answered(w);
    proc_deliver(x, u, &(fr_done){.items = b.data, .size = b.size, .n_items = 1});
    fr_buf_fini(&b);
    return true;
}

typedef struct answer {
    fr_done d;
    fr_value *result, *error, *outbox;
    uint64_t bytes, peak;        // memory now and at most
} answer;

static int read_answer(proc_worker *w, fr_reader *r, answer *out, fr_err *err)
{
    fr_done *d = &out->d;
    d->code = (int)fr_read_u32(r);
    d->started = (int64_t)fr_read_u64(r);
    d->ended = (int64_t)fr_read_u64(r);
    d->cpu_ns = (int64_t)fr_read_u64(r);
    out->bytes = fr_read_u64(r);
    out->peak = fr_read_u64(r);
    int rc = fr_wire_read_value(r, find_got, w, true, &out->result, err);
    if (rc == FR_OK) {
        rc = fr_wire_read_value(r, find_got, w, true, &out->error, err);
    }
    if (rc == FR_OK) {
        rc = fr_wire_read_value(r, find_got, w, true, &out->outbox, err);
    }
    bool known = strcmp(fr_err_name(d->code), "unknown") != 0;
    if (rc == FR_OK && (r->failed || !known || d->code < 0)) {
        rc = fr_fail(err, FR_ECORRUPT, "a damaged answer");
    }
    return rc;
}

static void deliver_answer(proc_worker *w, proc_unit *u, answer *v)
{
    fr_done d = v->d;
    d.result = v->result;
    if (d.code != FR_OK && v->error == NULL) {
        v->error = fr_exec_error(d.code, fr_err_text(d.code));
    }
    if (d.code == FR_ENOMEM) {
        fr_value *error = proc_no_memory(w, v->peak, v->error);
        fr_value_unref(v->error);
        v->error = error;
        w->retire = true;
    }
    d.error = v->error;
    d.outbox = v->outbox;
    if (d.started == 0) { // cancelled before its body began, but told as started
        d.started = d.ended = w->started_ns;
    }
    d.log_from = w->log_from;
    d.log_to = w->log_to;
    d.index = w->index;
    d.n_items = u->a->list != NULL ? 1 : 0;
    process_exec *x = w->x;
    proc_answered(w);
    proc_deliver(x, u, &d);
}

static int take_done(proc_worker *w, fr_reader *r, fr_err *err)
{
    proc_unit *u = w->u;
    if (u == NULL) {
        return fr_fail(err, FR_ECORRUPT, "an answer without a question");
    }
    answer v = {.result = NULL};
    int rc = read_answer(w, r, &v, err);
    if (rc == FR_OK) {
        w->first_bytes = w->first_bytes == 0 ? v.bytes : w->first_bytes;
        w->retire = w->retire || v.bytes > w->first_bytes + PROC_GROWTH;
        if (u->a->list != NULL && r->at < r->end) {
            rc = deliver_item(w, u, r->at, (size_t)(r->end - r->at))
                     ? FR_OK
                     : fr_fail(err, FR_ECORRUPT, "a damaged item");
        } else {
            deliver_answer(w, u, &v);
        }
    }
    fr_value_unref(v.result);
    fr_value_unref(v.error);
    fr_value_unref(v.outbox);
    forget_got(w);
    return rc;
}

static void take_started(proc_worker *w, fr_reader *r)
{
    proc_unit *u = w->u;
    int64_t wall = (int64_t)fr_read_u64(r);
    if (u == NULL || r->failed) {
        return;
    }
    w->started_ns = wall;
    if (u->a->report_start && !u->announced) {
        u->announced = true;
        w->x->delivered = true;
        if (w->x->env.started != NULL) {
            w->x->env.started(w->x->env.ctx, u->a, wall);
        }
    }
}

static int take_kept(proc_worker *w, fr_reader *r, fr_err *err)
{
    const proc_unit *u = w->u;
    fr_value *v = NULL;
    int rc = fr_wire_read_value(r, find_got, w, true, &v, err);
    if (rc == FR_OK && (r->failed || v == NULL)) {
        rc = fr_fail(err, FR_ECORRUPT, "a damaged checkpoint");
    }
    if (rc == FR_OK && u != NULL && w->x->env.checkpoint != NULL) {
        w->x->delivered = true;
        w->x->env.checkpoint(w->x->env.ctx, u->a, w->index, v);
    }
    fr_value_unref(v);
    forget_got(w);
    return rc;
}

static int take(proc_worker *w, const wire_in *in, fr_err *err)
{
    fr_reader r = fr_reader_of(in->bytes, in->size);
    switch (in->type) {
    case WIRE_OBJECT:
        return take_object(w, in, err);
    case WIRE_STARTED:
        take_started(w, &r);
        return FR_OK;
    case WIRE_LINE:
        take_line(w, &r);
        return FR_OK;
    case WIRE_DONE:
        return take_done(w, &r, err);
    case WIRE_KEEP:
        return take_kept(w, &r, err);
    default:
        return fr_fail(err, FR_ECORRUPT, "an unknown message %u", in->type);
    }
}

// Takes all that is there; false: nothing more will come.
static bool receive_all(proc_worker *w)
{
    wire_in *in = &w->x->in;
    for (;;) {
        int got = fr_wire_receive(w->fd, in, MSG_DONTWAIT);
        if (got <= 0) {
            return got == 0;
        }
        fr_err err = FR_ERR_INIT;
        int rc = take(w, in, &err);
        fr_wire_in_fini(in);
        if (rc != FR_OK) {
            (void)snprintf(w->tail, sizeof w->tail, "it sent %s", err.text);
            return false;
        }
    }
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    proc_worker *w = h->data;
    process_exec *x = w->x;
    if ((events & UV_WRITABLE) != 0) {
        flush(w);
    }
    if (status != 0 || (events & (UV_READABLE | UV_DISCONNECT)) != 0) {
        if (!receive_all(w)) { // dying, or out of its mind
            w->hung_up = true;
            (void)uv_poll_stop(w->poll);
            fr_child_kill(w->child);
        }
    }
    proc_turn(x);
}

static void watch(proc_worker *w)
{
    if (!w->hung_up && !w->ended) {
        int events = UV_READABLE | UV_DISCONNECT | (w->out != NULL ? UV_WRITABLE : 0);
        (void)uv_poll_start(w->poll, events, on_poll);
    }
}

// --- its end ---

// An item of a map that was stopped by force: it counts as stopped, not as failed.
static void deliver_stopped(process_exec *x, proc_worker *w, proc_unit *u, uint32_t at,
                            const fr_value *error)
{
    fr_item_done item = fr_exec_item_cancelled(u->a, at);
    item.flags = FR_ITEM_FAILED | FR_ITEM_CANCELLED;
    item.value = error->bytes;
    item.size = error->size;
    item.log_offset = w != NULL ? w->log_from : 0;
    fr_buf b;
    fr_buf_init(&b, SIZE_MAX);
    fr_item_put(&b, &item);
    proc_deliver(x, u, &(fr_done){.items = b.data, .size = b.size, .n_items = 1});
    fr_buf_fini(&b);
}

void proc_worker_fail(process_exec *x, proc_worker *w, proc_unit *u, uint32_t at, int code,
                      fr_value *error)
{
    const fr_attempt *a = u->a;
    int64_t now = fr_clock_wall_ns();
    fr_done d = {.code = code, .error = error, .started = now, .ended = now};
    if (w != NULL) {
        d.started = w->started_ns != 0 ? w->started_ns : w->sent_ns;
        d.cpu_ns = w->end.cpu_ns;
        d.log_from = w->log_from;
        d.log_to = w->log_to;
    }
    if (a->list != NULL && (code == FR_ECANCELLED || code == FR_ETIMEOUT)) {
        deliver_stopped(x, w, u, at, error);
    } else {
        if (a->list != NULL) {
            d.n_items = 1;
            d.index = a->indexes != NULL ? a->indexes[at] : at;
        }
        proc_deliver(x, u, &d);
    }
    fr_value_unref(error);
}

static void die(proc_worker *w)
{
    process_exec *x = w->x;
    proc_unit *u = w->u;
    if (u != NULL) {
        int code;
        fr_value *error = proc_cause(w, &code);
        proc_worker copy = *w; // what proc_answered clears
        w->retire = false;
        proc_answered(w);
        proc_worker_fail(x, &copy, u, copy.at, code, error);
    }
    proc_gone(w);
}

static void on_ended(void *ctx, const fr_child_end *end)
{
    proc_worker *w = ctx;
    process_exec *x = w->x;
    if (!w->hung_up) {
        (void)receive_all(w); // what it said before
        w->hung_up = true;
        (void)uv_poll_stop(w->poll);
    }
    w->ended = true;
    w->end = *end;
    w->child = NULL;
    if (!w->preparing) {
        die(w);
        proc_turn(x);
    }
}

// --- starting ---

static wire_packet *code_packet(const fr_code *code, int channel)
{
    fr_buf b;
    fr_buf_init(&b, WIRE_MOST);
    put_hash(&b, code->bundle);
    fr_wire_put_text(&b, code->name);
    fr_buf_put_u64(&b, code->run);
    fr_buf_put_u64(&b, code->seed);
    fr_buf_put_u32(&b, code->flow_attempt);
    fr_wire_put_value(&b, code->params);
    fr_buf_put_u64(&b, code->size);
    fr_buf_put(&b, code->sources, code->size);
    wire_packet *p;
    (void)!fr_wire_packet(WIRE_CODE, b.data, b.size, channel, &p, NULL);
    fr_buf_fini(&b);
    return p;
}

static int children_of(process_exec *x, proc_home *home, fr_err *err)
{
    if (home->children != NULL && fr_children_lost(home->children)) {
        fr_children_close(home->children);
        home->children = NULL;
    }
    if (home->children != NULL) {
        return FR_OK;
    }
    int rc = fr_children_open(x->env.loop, home->code->reaper, x->env.reaper_argv,
                              &home->children, err);
    if (rc == FR_OK) {
        fr_children_unref(home->children);
    }
    return rc;
}

static int start(proc_worker *w, int theirs, fr_err *err)
{
    process_exec *x = w->x;
    fr_child_spec spec = {.argv = x->env.worker_argv,
                          .socket = theirs,
                          .background = true,
                          .output = on_output,
                          .ended = on_ended,
                          .ctx = w};
    int rc = FR_ELOST;
    for (int i = 0; i < 2 && rc == FR_ELOST; i++) {
        rc = children_of(x, w->home, err);
        if (rc == FR_OK) {
            rc = fr_child_start(w->home->children, &spec, &w->child, err);
        }
    }
    return rc;
}

int proc_worker_new(process_exec *x, proc_home *home, proc_worker **out, fr_err *err)
{
    *out = NULL;
    int pair[2], channel = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return fr_fail_errno(err, FR_EIO, "a socket to a worker process");
    }
    proc_worker *w = fr_zalloc(sizeof *w);
    w->x = x;
    w->home = home;
    w->fd = pair[0];
    w->out_end = &w->out;
    fr_map_init(&w->sent);
    fr_map_init(&w->got);
    fr_buf_init(&w->line[0], PROC_LINE + 1);
    fr_buf_init(&w->line[1], PROC_LINE + 1);
    w->poll = fr_alloc(sizeof *w->poll);
    (void)uv_poll_init(x->env.loop, w->poll, w->fd);
    uv_unref((uv_handle_t *)w->poll);
    w->poll->data = w;
    int rc = start(w, pair[1], err);
    (void)close(pair[1]);
    if (rc == FR_OK) {
        rc = fr_reaper_channel(home->code->reaper, x->env.reaper_argv, &channel, err);
    }
    if (rc != FR_OK) {
        if (w->child != NULL) {
            fr_child_drop(w->child);
        }
        proc_worker_free(w);
        return rc;
    }
    w->next = x->workers;
    x->workers = w;
    x->n_workers++;
    w->idle_ns = fr_clock_mono_ns();
    wire_packet *p = code_packet(home->code, channel);
    if (p != NULL) {
        queue(w, p);
    }
    flush(w);
    *out = w;
    return FR_OK;
}

static void on_poll_closed(uv_handle_t *h) { fr_free(h); }

void proc_worker_free(proc_worker *w)
{
    uv_close((uv_handle_t *)w->poll, on_poll_closed);
    (void)close(w->fd);
    free_packets(w->out);
    forget_got(w);
    fr_map_fini(&w->got);
    fr_map_fini(&w->sent);
    fr_buf_fini(&w->line[0]);
    fr_buf_fini(&w->line[1]);
    fr_free(w);
}
