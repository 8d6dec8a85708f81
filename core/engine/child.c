#include "core/engine/child.h"

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/sys.h"
#include "core/engine/reaper_int.h"

#include <uv.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    READ_BYTES = 64 * 1024,
    SPEC_BYTES = 32 << 20,
    DRAIN_MS = 200, // a process that left the group may keep the output open
};

struct fr_children {
    uv_loop_t *loop;
    uv_poll_t poll;
    int fd;
    uint32_t last_id;
    fr_child *list;
    bool lost, closing;
    char room[READ_BYTES]; // what is being read
};

struct fr_child {
    fr_children *owner;
    fr_child *next;
    uint32_t id;
    fr_child_spec spec; // only the callbacks and numbers
    uv_pipe_t in, out[2];
    uv_timer_t timer; // time limit, then grace, then drain
    uv_write_t write;
    void *input;
    int open_handles, open_outputs;
    bool ended, closed; // the process; our handles
    fr_child_end end;
};

static void close_fd(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

// --- the end ---

static void unlink_child(fr_child *p)
{
    for (fr_child **at = &p->owner->list; *at != NULL; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            return;
        }
    }
}

static void on_closed(uv_handle_t *h)
{
    fr_child *p = h->data;
    if (--p->open_handles == 0) {
        fr_free(p->input);
        fr_free(p);
    }
}

static void close_handle(uv_handle_t *h)
{
    if (!uv_is_closing(h)) {
        uv_close(h, on_closed);
    }
}

static void close_child(fr_child *p)
{
    p->closed = true;
    unlink_child(p);
    close_handle((uv_handle_t *)&p->in);
    close_handle((uv_handle_t *)&p->out[0]);
    close_handle((uv_handle_t *)&p->out[1]);
    close_handle((uv_handle_t *)&p->timer);
}

static void finish(fr_child *p)
{
    if (!p->closed) {
        close_child(p);
        p->spec.ended(p->spec.ctx, &p->end);
    }
}

static void on_drained(uv_timer_t *t) { finish(t->data); }

static void process_ended(fr_child *p)
{
    p->ended = true;
    if (p->open_outputs == 0) {
        finish(p);
    } else {
        (void)uv_timer_start(&p->timer, on_drained, DRAIN_MS, 0);
    }
}

static void lose_all(fr_children *c)
{
    c->lost = true;
    (void)uv_poll_stop(&c->poll);
    while (c->list != NULL) {
        fr_child *p = c->list;
        p->end.lost = true;
        finish(p);
    }
}

// --- messages ---

static fr_child *find(fr_children *c, uint32_t id)
{
    fr_child *p = c->list;
    while (p != NULL && p->id != id) {
        p = p->next;
    }
    return p;
}

static void take_reply(fr_children *c, const fr_reaper_reply *m)
{
    fr_child *p = find(c, m->id);
    if (p == NULL) {
        return;
    }
    if (m->news == FR_REAPER_FAILED) {
        p->end.start_errno = m->value;
        finish(p);
    } else if (m->news == FR_REAPER_ENDED) {
        p->end.code = WIFEXITED(m->value) ? WEXITSTATUS(m->value) : -1;
        p->end.signal = WIFSIGNALED(m->value) ? WTERMSIG(m->value) : 0;
        p->end.cpu_ns = m->cpu_ns;
        p->end.max_rss_kib = m->max_rss_kib;
        process_ended(p);
    }
}

static void on_message(uv_poll_t *h, int status, int events)
{
    (void)events;
    fr_children *c = h->data;
    bool open = status == 0; // else the reaper died with our packets unread
    while (open && !c->closing && !c->lost) {
        fr_reaper_reply m;
        ssize_t got = recv(c->fd, &m, sizeof m, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        open = got == (ssize_t)sizeof m;
        if (open) {
            take_reply(c, &m);
        }
    }
    if (!open && !c->closing && !c->lost) {
        lose_all(c);
    }
}

static void send_kill(fr_child *p, int signal)
{
    fr_reaper_request m = {.op = FR_REAPER_KILL, .id = p->id, .value = signal};
    (void)fr_reaper_send(p->owner->fd, &m, sizeof m, NULL, 0);
}

static void on_grace_over(uv_timer_t *t) { send_kill(t->data, SIGKILL); }

void fr_child_stop(fr_child *p)
{
    if (p->end.stopped || p->ended) {
        return;
    }
    p->end.stopped = true;
    send_kill(p, SIGTERM);
    uv_update_time(p->owner->loop);
    (void)uv_timer_start(&p->timer, on_grace_over, (uint64_t)p->spec.grace_ms, 0);
}

static void no_output(void *ctx, int stream, const char *bytes, size_t n)
{
    (void)ctx;
    (void)stream;
    (void)bytes;
    (void)n;
}

static void no_end(void *ctx, const fr_child_end *end)
{
    (void)ctx;
    (void)end;
}

void fr_child_kill(fr_child *p) { send_kill(p, SIGKILL); }

void fr_child_drop(fr_child *p)
{
    p->spec.output = no_output;
    p->spec.ended = no_end;
    send_kill(p, SIGKILL);
}

static void on_time_limit(uv_timer_t *t)
{
    fr_child *p = t->data;
    p->end.timed_out = true;
    fr_child_stop(p);
}

// --- streams ---

static void on_room(uv_handle_t *h, size_t wanted, uv_buf_t *out)
{
    (void)wanted;
    fr_child *p = h->data;
    *out = uv_buf_init(p->owner->room, READ_BYTES);
}

static void on_output(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    fr_child *p = s->data;
    if (n > 0) {
        p->spec.output(p->spec.ctx, s == (uv_stream_t *)&p->out[0] ? 1 : 2, buf->base,
                       (size_t)n);
    } else if (n < 0) {
        (void)uv_read_stop(s);
        p->open_outputs--;
        if (p->ended && p->open_outputs == 0) {
            finish(p);
        }
    }
}

static void on_written(uv_write_t *w, int status)
{
    (void)status; // it may close its input early
    fr_child *p = w->handle->data;
    close_handle((uv_handle_t *)&p->in);
}

// --- starting ---

static void put_list(fr_buf *b, const char *const *list)
{
    uint32_t n = 0;
    while (list != NULL && list[n] != NULL) {
        n++;
    }
    fr_buf_put_u32(b, n);
    for (uint32_t i = 0; i < n; i++) {
        fr_buf_put(b, list[i], strlen(list[i]) + 1);
    }
}

static int spec_file(const fr_child_spec *spec, int *fd, fr_err *err)
{
    fr_buf b;
    fr_buf_init(&b, SPEC_BYTES);
    put_list(&b, spec->argv);
    put_list(&b, spec->env);
    put_list(&b, spec->dir != NULL ? (const char *const[]){spec->dir, NULL} : NULL);
    int rc = fr_buf_check(&b, err);
    if (rc == FR_OK) {
        *fd = memfd_create("flowrun-child", MFD_CLOEXEC);
        rc = *fd < 0 ? fr_fail_errno(err, FR_EIO, "the arguments of %s", spec->argv[0])
                     : fr_sys_write(*fd, b.data, b.size, "the arguments of a child", err);
    }
    fr_buf_fini(&b);
    return rc;
}

enum { SPEC, OUT, ERR, IN, FDS }; // as sent to the reaper

static void close_all(const int *fds, int n)
{
    for (int i = 0; i < n; i++) {
        close_fd(fds[i]);
    }
}

// theirs: what the child gets; ours: our ends, at the same places.
static int make_pipes(const fr_child_spec *spec, int *theirs, int *ours, fr_err *err)
{
    for (int i = OUT; i <= (spec->input != NULL ? IN : ERR); i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) {
            return fr_fail_errno(err, FR_EIO, "a pipe to %s", spec->argv[0]);
        }
        theirs[i] = ends[i == IN ? 0 : 1];
        ours[i] = ends[i == IN ? 1 : 0];
    }
    return FR_OK;
}

static fr_child *new_child(fr_children *c, const fr_child_spec *spec, const int *ours)
{
    fr_child *p = fr_zalloc(sizeof *p);
    p->owner = c;
    p->id = ++c->last_id;
    p->spec = *spec;
    p->next = c->list;
    c->list = p;
    (void)uv_pipe_init(c->loop, &p->in, 0);
    (void)uv_pipe_init(c->loop, &p->out[0], 0);
    (void)uv_pipe_init(c->loop, &p->out[1], 0);
    (void)uv_timer_init(c->loop, &p->timer);
    p->in.data = p->out[0].data = p->out[1].data = p->timer.data = p;
    p->open_handles = 4;
    for (int i = 0; i < 2; i++) {
        (void)uv_pipe_open(&p->out[i], ours[OUT + i]);
        (void)uv_read_start((uv_stream_t *)&p->out[i], on_room, on_output);
    }
    p->open_outputs = 2;
    if (spec->background) {
        uv_unref((uv_handle_t *)&p->out[0]);
        uv_unref((uv_handle_t *)&p->out[1]);
    }
    if (spec->input != NULL) {
        (void)uv_pipe_open(&p->in, ours[IN]);
        p->input = fr_alloc(FR_MAX(spec->input_size, 1));
        memcpy(p->input, spec->input, spec->input_size);
        uv_buf_t bytes = uv_buf_init(p->input, (unsigned)spec->input_size);
        (void)uv_write(&p->write, (uv_stream_t *)&p->in, &bytes, 1, on_written);
    }
    if (spec->timeout_ms > 0) {
        uv_update_time(c->loop);
        (void)uv_timer_start(&p->timer, on_time_limit, (uint64_t)spec->timeout_ms, 0);
    }
    return p;
}

int fr_child_start(fr_children *c, const fr_child_spec *spec, fr_child **out, fr_err *err)
{
    *out = NULL;
    int theirs[FDS] = {-1, -1, -1, -1}, ours[FDS] = {-1, -1, -1, -1};
    fr_reaper_request m = {.op = FR_REAPER_START, .id = c->last_id + 1};
    int rc = spec_file(spec, &theirs[SPEC], err);
    if (rc == FR_OK) {
        rc = make_pipes(spec, theirs, ours, err);
    }
    if (rc == FR_OK) {
        if (spec->socket > 0) {
            theirs[IN] = spec->socket;
        }
        size_t n = theirs[IN] >= 0 ? FDS : IN;
        int e = c->lost ? EPIPE : fr_reaper_send(c->fd, &m, sizeof m, theirs, n);
        if (e != 0) {
            c->lost = true;
            rc = fr_fail(err, FR_ELOST, "asking the reaper to start %s: %s",
                         spec->argv[0], strerror(e));
        }
    }
    close_all(theirs, spec->socket > 0 ? IN : FDS);
    if (rc != FR_OK) {
        close_all(ours, FDS);
        return rc;
    }
    *out = new_child(c, spec, ours);
    return FR_OK;
}

// --- the channel ---

int fr_children_open(uv_loop_t *loop, fr_reaper *reaper, const char *const reaper_argv[],
                     fr_children **out, fr_err *err)
{
    *out = NULL;
    int fd;
    int rc = fr_reaper_channel(reaper, reaper_argv, &fd, err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_children *c = fr_zalloc(sizeof *c);
    c->loop = loop;
    c->fd = fd;
    c->poll.data = c;
    (void)uv_poll_init(loop, &c->poll, fd);
    (void)uv_poll_start(&c->poll, UV_READABLE | UV_DISCONNECT, on_message);
    *out = c;
    return FR_OK;
}

void fr_children_unref(fr_children *c) { uv_unref((uv_handle_t *)&c->poll); }

bool fr_children_lost(const fr_children *c) { return c->lost; }

static void on_channel_closed(uv_handle_t *h) { fr_free(h->data); }

void fr_children_close(fr_children *c)
{
    if (c == NULL) {
        return;
    }
    c->closing = true;
    while (c->list != NULL) {
        close_child(c->list);
    }
    uv_close((uv_handle_t *)&c->poll, on_channel_closed);
    (void)close(c->fd); // now: the children are to end at once
}
