#include "core/engine/exec_child.h"
#include "core/engine/gpu.h"

#include "core/base/clock.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/sys.h"
#include "core/engine/exec_wire.h"
#include "core/engine/reaper.h"

#include <uv.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KILLED_FIRST = 500 };

typedef struct call {            // the attempt and all it refers to
    fr_attempt a;
    char *task, *option;
    fr_value *args, *lead[FR_LEADS], *list, **deps, *checkpoint;
    uint32_t n_deps;
    uint64_t *offsets;
    fr_hash *item_args;
    uint32_t *duplicates;
    uint32_t index;
    bool told;                   // that it has started
} call;

typedef struct child {
    int fd;
    uv_loop_t loop;
    uv_poll_t poll;
    const struct fr_body_ops *bodies;
    const void *bodies_config;
    fr_object_kinds kinds;
    fr_exec *exec;               // NULL before WIRE_CODE
    fr_code code;
    char *name;
    void *sources;
    fr_value *params;
    fr_map objects;              // hash -> fr_object *
    call call;
    fr_buf answer;               // of an item, until its attempt has ended
    wire_in in;
} child;

// --- to the engine ---

// The engine is gone: nothing is left to do, and its reaper ends what is left.
FR_NORETURN static void leave(void) { _exit(EXIT_SUCCESS); }

static void tell(const child *c, wire_type type, const fr_buf *b)
{
    fr_err err = FR_ERR_INIT;
    wire_packet *p;
    int rc = fr_buf_check(b, &err);
    if (rc == FR_OK) {
        rc = fr_wire_packet(type, b->data, b->size, -1, &p, &err);
    }
    if (rc != FR_OK) {
        (void)fprintf(stderr, "a worker process cannot answer: %s\n", err.text);
        _exit(EXIT_FAILURE);
    }
    if (fr_wire_send(c->fd, p, 0) != 0) {
        leave();
    }
    fr_wire_packet_free(p);
}

static uint64_t on_line(void *ctx, const fr_attempt *a, uint32_t item, int level,
                        const char *text, size_t n)
{
    (void)a;
    fr_buf b;
    fr_buf_init(&b, WIRE_MOST);
    fr_buf_put_u32(&b, item);
    fr_buf_put_u32(&b, (uint32_t)level);
    fr_buf_put(&b, text, n);
    tell(ctx, WIRE_LINE, &b);
    fr_buf_fini(&b);
    return 0;
}

static void on_started(void *ctx, fr_attempt *a, int64_t wall_ns)
{
    (void)a;
    child *c = ctx;
    if (c->call.told) {
        return;
    }
    c->call.told = true;
    fr_buf b;
    fr_buf_init(&b, 16);
    fr_buf_put_u64(&b, (uint64_t)wall_ns);
    tell(c, WIRE_STARTED, &b);
    fr_buf_fini(&b);
}

static bool send_objects(const child *c, const fr_value *v, fr_err *err)
{
    for (uint32_t i = 0; v != NULL && i < v->objects; i++) {
        wire_packet *p;
        if (fr_wire_object(v->object[i], &p, err) != FR_OK) {
            return false;
        }
        if (fr_wire_send(c->fd, p, 0) != 0) {
            leave();
        }
        fr_wire_packet_free(p);
    }
    return true;
}

// Bytes of memory: in use, and of which a limit counts (data and stack).
static void memory(uint64_t *resident, uint64_t *data)
{
    unsigned long long pages[6] = {0};
    FILE *f = fopen("/proc/self/statm", "re");
    if (f != NULL) {
        if (fscanf(f, "%llu %llu %llu %llu %llu %llu", &pages[0], &pages[1], &pages[2],
                   &pages[3], &pages[4], &pages[5]) != 6) {
            pages[1] = pages[5] = 0;
        }
        (void)fclose(f);
    }
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    *resident = pages[1] * page;
    *data = pages[5] * page;
}

static void limit_memory(uint64_t most)
{
    struct rlimit limit;
    (void)getrlimit(RLIMIT_DATA, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (most > 0) {
        uint64_t resident, data;
        memory(&resident, &data);
        limit.rlim_cur = FR_MIN(data + most, limit.rlim_max);
    }
    (void)setrlimit(RLIMIT_DATA, &limit);
}

// --- an attempt ---

static void free_call(child *c)
{
    call *k = &c->call;
    fr_value_unref(k->args);
    fr_value_unref(k->list);
    fr_value_unref(k->checkpoint);
    for (uint32_t i = 0; i < FR_LEADS; i++) {
        fr_value_unref(k->lead[i]);
    }
    for (uint32_t i = 0; i < k->n_deps; i++) {
        fr_value_unref(k->deps[i]);
    }
    fr_free(k->deps);
    fr_free(k->offsets);
    fr_free(k->item_args);
    fr_free(k->duplicates);
    fr_free(k->task);
    fr_free(k->option);
    *k = (call){.index = 0};
}

// Before its attempt's answer, on the same way.
static void on_checkpoint(void *ctx, fr_attempt *a, uint32_t item, const fr_value *v)
{
    (void)a;
    (void)item;
    child *c = ctx;
    fr_err err = FR_ERR_INIT;
    if (!send_objects(c, v, &err)) {
        const char *text = err.text;
        (void)on_line(c, a, item, 30, text, strlen(text));     // it goes on without
        return;
    }
    fr_buf b;
    fr_buf_init(&b, WIRE_MOST);
    fr_wire_put_value(&b, v);
    tell(c, WIRE_KEEP, &b);
    fr_buf_fini(&b);
}

static void put_answer(child *c, const fr_done *d)
{
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    uint64_t resident, data;
    memory(&resident, &data);
    fr_err err = FR_ERR_INIT;
    const fr_value *result = d->result, *error = d->error;
    fr_value *failed = NULL;
    int code = d->code;
    if (!send_objects(c, result, &err) || !send_objects(c, error, &err)) {
        code = err.code;
        result = NULL;
        error = failed = fr_exec_error(code, err.text);
    }
    fr_buf *b = &c->answer;
    fr_buf_clear(b);
    fr_buf_put_u32(b, (uint32_t)code);
    fr_buf_put_u64(b, (uint64_t)d->started);
    fr_buf_put_u64(b, (uint64_t)d->ended);
    fr_buf_put_u64(b, (uint64_t)d->cpu_ns);
    fr_buf_put_u64(b, resident);
    fr_buf_put_u64(b, (uint64_t)use.ru_maxrss * 1024);
    fr_wire_put_value(b, result);
    fr_wire_put_value(b, error);
    fr_wire_put_value(b, failed == NULL ? d->outbox : NULL);
    fr_buf_put(b, d->items != NULL ? d->items : "", d->items != NULL ? d->size : 0);
    fr_value_unref(failed);
}

// The engine hears of it when the executor is through with the attempt: its answer may be
// the next one.
static void on_done(void *ctx, fr_attempt *a, const fr_done *d)
{
    child *c = ctx;
    limit_memory(0);
    if (a->list == NULL || d->n_items > 0) {
        put_answer(c, d);
    }
    if (d->last) {
        tell(c, WIRE_DONE, &c->answer);
    }
}

static fr_object *find_object(void *ctx, fr_hash hash)
{
    const child *c = ctx;
    const uint64_t *at = fr_map_find(&c->objects, hash);
    return at != NULL ? fr_object_ref((fr_object *)(uintptr_t)*at) : NULL;
}

static char *read_text(fr_reader *r)
{
    const char *text = fr_wire_read_text(r);
    return text != NULL ? fr_strdup(text) : NULL;
}

static fr_hash read_hash(fr_reader *r)
{
    const uint8_t *bytes = fr_read_bytes(r, 16);
    return bytes != NULL ? fr_hash_load(bytes) : (fr_hash){0, 0};
}

static int read_list(child *c, fr_reader *r, fr_err *err)
{
    call *k = &c->call;
    int rc = fr_wire_read_value(r, find_object, c, false, &k->list, err);
    if (rc != FR_OK) {
        return rc;
    }
    uint32_t n = fr_read_u32(r);
    k->offsets = fr_alloc(((size_t)n + 1) * sizeof *k->offsets);
    for (uint32_t i = 0; i <= n; i++) {
        k->offsets[i] = fr_read_u64(r);
    }
    if (fr_read_u8(r) != 0) {
        k->item_args = fr_alloc(FR_MAX(n, 1) * sizeof *k->item_args);
        for (uint32_t i = 0; i < n; i++) {
            k->item_args[i] = read_hash(r);
        }
    }
    if (fr_read_u8(r) != 0) {
        k->duplicates = fr_alloc(FR_MAX(n, 1) * sizeof *k->duplicates);
        for (uint32_t i = 0; i < n; i++) {
            k->duplicates[i] = fr_read_u32(r);
        }
    }
    return FR_OK;
}

static int read_values(child *c, fr_reader *r, fr_err *err)
{
    call *k = &c->call;
    int rc = FR_OK;
    k->a.tuples = fr_read_u8(r) != 0;
    uint32_t leads = fr_read_u32(r);
    k->a.n_lead = FR_MIN(leads, FR_LEADS);
    for (uint32_t i = 0; i < k->a.n_lead && rc == FR_OK; i++) {
        k->a.lead[i].error = fr_read_u8(r) != 0;
        rc = fr_wire_read_value(r, find_object, c, false, &k->lead[i], err);
        k->a.lead[i].value = k->lead[i];
    }
    if (rc == FR_OK) {
        rc = fr_wire_read_value(r, find_object, c, false, &k->args, err);
    }
    if (rc == FR_OK) {
        rc = fr_wire_read_value(r, find_object, c, false, &k->checkpoint, err);
        k->a.checkpoint = k->checkpoint;
    }
    uint32_t n = fr_read_u32(r);
    k->deps = fr_zalloc(FR_MAX(n, 1) * sizeof *k->deps);
    for (; k->n_deps < n && rc == FR_OK; k->n_deps++) {
        rc = fr_wire_read_value(r, find_object, c, false, &k->deps[k->n_deps], err);
    }
    return rc;
}

static int take_call(child *c, fr_reader *r, fr_err *err)
{
    free_call(c);
    call *k = &c->call;
    k->task = read_text(r);
    k->option = read_text(r);
    k->a = (fr_attempt){.code = &c->code, .task = k->task, .option = k->option};
    k->a.row = fr_read_u32(r);
    k->a.attempt = fr_read_u32(r);
    k->a.key = read_hash(r);
    k->a.n_args = fr_read_u32(r);
    k->a.n_outputs = fr_read_u32(r);
    k->a.need = fr_read_u64(r);
    k->a.cpu = fr_read_u32(r);
    k->a.memory = fr_read_u64(r);
    k->a.gpus = fr_read_u64(r);
    k->a.effect = fr_read_u8(r) != 0;
    k->a.queued = (int64_t)fr_read_u64(r);
    k->a.report_start = true;
    int rc = read_values(c, r, err);
    bool mapped = fr_read_u8(r) != 0;
    if (rc == FR_OK && mapped) {
        rc = read_list(c, r, err);
    }
    k->a.args = k->args;
    k->a.deps = k->deps;
    k->a.n_deps = k->n_deps;
    k->a.list = k->list;
    k->a.offsets = k->offsets;
    k->a.item_args = k->item_args;
    k->a.duplicates = k->duplicates;
    k->a.indexes = mapped ? &k->index : NULL;
    k->a.count = mapped ? 1 : 0;
    return rc != FR_OK ? rc : r->failed ? fr_fail(err, FR_ECORRUPT, "a damaged call") : FR_OK;
}

static void set_durable(child *c, uint64_t seq)
{
    if (seq > atomic_load(&c->code.durable)) {
        atomic_store(&c->code.durable, seq);
        fr_exec_thread.durable(c->exec);
    }
}

static int start(child *c, fr_reader *r, fr_err *err)
{
    call *k = &c->call;
    k->index = fr_read_u32(r);
    set_durable(c, fr_read_u64(r));
    if (c->exec == NULL || k->task == NULL || r->failed) {
        return fr_fail(err, FR_ECORRUPT, "a start without a call");
    }
    atomic_store(&k->a.cancel.flag, 0);
    limit_memory(k->a.memory);
    if (k->a.gpus != 0) { // this process runs nothing else after it
        char text[4 * FR_GPUS];
        fr_gpus_text(k->a.gpus, text, sizeof text);
        (void)setenv("CUDA_VISIBLE_DEVICES", text, 1);
    }
    k->told = false;
    if (!k->a.effect || atomic_load(&c->code.durable) >= k->a.need) {
        on_started(c, &k->a, fr_clock_wall_ns()); // before it can take the process down
    }
    fr_exec_thread.start(c->exec, &k->a);
    return FR_OK;
}

// --- from the engine ---

static int take_code(child *c, wire_in *in, fr_err *err)
{
    fr_reader r = fr_reader_of(in->bytes, in->size);
    c->code.bundle = read_hash(&r);
    c->name = read_text(&r);
    c->code.name = c->name;
    c->code.run = fr_read_u64(&r);
    c->code.seed = fr_read_u64(&r);
    c->code.flow_attempt = fr_read_u32(&r);
    int rc = fr_wire_read_value(&r, find_object, c, false, &c->params, err);
    if (rc != FR_OK) {
        return rc;
    }
    c->code.params = c->params;
    c->code.size = (size_t)fr_read_u64(&r);
    const uint8_t *sources = fr_read_bytes(&r, c->code.size);
    if (sources == NULL) {
        return fr_fail(err, FR_ECORRUPT, "damaged code");
    }
    c->sources = fr_alloc(FR_MAX(c->code.size, 1));
    memcpy(c->sources, sources, c->code.size);
    c->code.sources = c->sources;
    c->code.line = on_line;
    c->code.line_ctx = c;
    c->code.reaper = in->fd >= 0 ? fr_reaper_adopt(in->fd) : fr_reaper_new(NULL);
    in->fd = -1;
    fr_exec_env env = {.loop = &c->loop,
                       .bodies = c->bodies,
                       .bodies_config = c->bodies_config,
                       .workers = 1,
                       .started = on_started,
                       .done = on_done,
                       .checkpoint = on_checkpoint,
                       .ctx = c};
    return fr_exec_thread.open(&c->exec, &env, err);
}

static void forget_objects(child *c)
{
    for (size_t i = 0; i < c->objects.capacity; i++) {
        if (!fr_hash_is_zero(c->objects.slots[i].key)) {
            fr_object_unref((fr_object *)(uintptr_t)c->objects.slots[i].value);
        }
    }
    fr_map_fini(&c->objects);
    fr_map_init(&c->objects);
}

static int take_object(child *c, fr_err *err)
{
    fr_hash hash;
    fr_object *o;
    int rc = fr_wire_load(&c->in, c->kinds, &hash, &o, err);
    if (rc != FR_OK) {
        return rc;
    }
    bool fresh;
    uint64_t *at = fr_map_put(&c->objects, hash, &fresh);
    if (!fresh) {
        fr_object_unref((fr_object *)(uintptr_t)*at);
    }
    *at = (uint64_t)(uintptr_t)o;
    return FR_OK;
}

static int take(child *c, fr_err *err)
{
    fr_reader r = fr_reader_of(c->in.bytes, c->in.size);
    switch ((wire_type)c->in.type) {
    case WIRE_CODE:
        return take_code(c, &c->in, err);
    case WIRE_OBJECT:
        return take_object(c, err);
    case WIRE_FORGET:
        forget_objects(c);
        return FR_OK;
    case WIRE_CALL:
        return take_call(c, &r, err);
    case WIRE_START:
        return start(c, &r, err);
    case WIRE_CANCEL:
        if (c->call.a.slot != NULL) {
            fr_exec_thread.cancel(c->exec, &c->call.a, (int)fr_read_u64(&r));
        }
        return FR_OK;
    case WIRE_DURABLE:
        set_durable(c, fr_read_u64(&r));
        return FR_OK;
    case WIRE_STARTED:
    case WIRE_LINE:
    case WIRE_DONE:
    case WIRE_KEEP:
        break;
    }
    return fr_fail(err, FR_ECORRUPT, "an unknown message %u", c->in.type);
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    (void)events;
    child *c = h->data;
    fr_err err = FR_ERR_INIT;
    int got = status == 0 ? fr_wire_receive(c->fd, &c->in, MSG_DONTWAIT) : -1;
    if (got < 0) {
        leave();
    }
    if (got > 0 && take(c, &err) != FR_OK) {
        (void)fprintf(stderr, "a worker process does not understand its engine: %s\n", err.text);
        _exit(EXIT_FAILURE);
    }
    fr_wire_in_fini(&c->in);
}

// Bodies must not find the socket as their standard input; and when memory is short the
// system is to take this process, not the engine.
static int prepare(void)
{
    (void)prctl(PR_SET_NAME, "flowrun-worker");
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3), null = -1;
    if (fr_sys_open("/dev/null", O_RDONLY, 0, &null, NULL) == FR_OK) {
        (void)dup2(null, STDIN_FILENO);
        fr_sys_close(null);
    }
    int score = -1;
    if (fr_sys_open("/proc/self/oom_score_adj", O_WRONLY, 0, &score, NULL) == FR_OK) {
        char text[16];
        int n = snprintf(text, sizeof text, "%d", KILLED_FIRST);
        (void)!fr_sys_write(score, text, (size_t)n, "oom_score_adj", NULL);
        fr_sys_close(score);
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    return fd;
}

int fr_exec_child_main(const struct fr_body_ops *bodies, const void *bodies_config,
                       fr_object_kinds kinds)
{
    child *c = fr_zalloc(sizeof *c);
    c->fd = prepare();
    c->bodies = bodies;
    c->bodies_config = bodies_config;
    c->kinds = kinds;
    c->in.fd = -1;
    fr_map_init(&c->objects);
    fr_buf_init(&c->answer, WIRE_MOST);
    if (c->fd < 0 || uv_loop_init(&c->loop) != 0 ||
        uv_poll_init(&c->loop, &c->poll, c->fd) != 0) {
        (void)fprintf(stderr, "flowrun --worker is started by flowrun itself\n");
        return EXIT_FAILURE;
    }
    c->poll.data = c;
    (void)uv_poll_start(&c->poll, UV_READABLE, on_readable);
    return uv_run(&c->loop, UV_RUN_DEFAULT); // until leave()
}
