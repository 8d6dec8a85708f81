#include "core/engine/mailbox.h"

#include "core/base/clock.h"
#include "core/base/mem.h"

#include <uv.h>

#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    LISTENERS = 8,
    PENDING = 1, // fn must run
    SEND = 2,    // the consumer sleeps or may sleep: a wake needs uv_async_send
    ROUNDS = 64, // of fn before the loop gets to poll its other handles
    SPIN_MAX_NS = 50000,
    SPIN_START_NS = 20000,
    SPIN_MIN_NS = 1000,
    SPIN_RETRY = 32, // a spin that stopped paying is tried again after so many sleeps
};

struct fr_mailbox {
    // An eventfd of our own, not uv_async: when a wake preempts its sender, libuv 1.44
    // spins in the woken thread until the sender has returned (measured: 60 % of a
    // chain's time).
    uv_poll_t poll;
    int fd;
    uv_prepare_t prepare;
    uv_idle_t idle; // runs while fn still finds work: keeps the poll from blocking
    struct {
        fr_mailbox_fn fn;
        void *ctx;
    } listener[LISTENERS];
    unsigned listeners;
    atomic_uint state;
    _Atomic(fr_mail *) mail; // newest first
    int64_t expected, kept;
    int64_t spin_ns; // adapts: doubles with success, halves without
    unsigned skipped;
    unsigned open_handles;
    bool warm; // something happened since the last sleep
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

typedef enum answer { NOTHING, STAY, TURN } answer;

static answer run_pending(fr_mailbox *m)
{
    if ((atomic_load_explicit(&m->state, memory_order_relaxed) & PENDING) == 0) {
        return NOTHING;
    }
    (void)atomic_fetch_and(&m->state, ~(unsigned)PENDING);
    m->warm = true;
    uv_update_time(m->poll.loop); // fn may start timers
    bool stay = true;
    for (unsigned i = 0; i < m->listeners; i++) {
        stay = m->listener[i].fn(m->listener[i].ctx) && stay;
    }
    return stay ? STAY : TURN;
}

// No sched_yield here: on a busy machine it gives the core away for milliseconds (a
// chained step cost 23 us with it, 2 us without).
static bool wait_pending(fr_mailbox *m, int64_t limit_ns)
{
    int64_t start = fr_clock_mono_ns();
    for (;;) {
        for (int i = 0; i < 32; i++) {
            if ((atomic_load_explicit(&m->state, memory_order_relaxed) & PENDING) != 0) {
                int64_t took = fr_clock_mono_ns() - start;
                m->spin_ns = FR_MIN(FR_MAX(m->spin_ns, 2 * took), (int64_t)SPIN_MAX_NS);
                return true;
            }
            relax();
        }
        int64_t took = fr_clock_mono_ns() - start;
        if (took > limit_ns) {
            return false;
        }
    }
}

static bool spin(fr_mailbox *m)
{
    if (m->expected <= 0 || !m->warm) {
        return false;
    }
    if (m->spin_ns < SPIN_MIN_NS) {
        if (++m->skipped < SPIN_RETRY) {
            return false;
        }
        m->skipped = 0;
        m->spin_ns = SPIN_START_NS;
    }
    if (wait_pending(m, m->spin_ns)) {
        return true;
    }
    m->spin_ns /= 2;
    m->warm = false;
    return false;
}

bool fr_mailbox_spin(fr_mailbox *m)
{
    (void)atomic_fetch_and(&m->state, ~(unsigned)SEND);
    bool found = run_pending(m) != NOTHING || (spin(m) && run_pending(m) != NOTHING);
    (void)atomic_fetch_or(&m->state,
                          SEND); // a wake in between is seen by the next prepare
    return found;
}

static void on_idle(uv_idle_t *h) { (void)h; }

// Runs last before the loop polls.
static void on_prepare(uv_prepare_t *h)
{
    fr_mailbox *m = h->data;
    (void)atomic_fetch_and(&m->state, ~(unsigned)SEND);
    answer last = NOTHING;
    bool ran = false;
    for (int round = 0; round < ROUNDS && last != TURN; round++) {
        last = run_pending(m);
        ran = ran || last != NOTHING;
        if (last != NOTHING || spin(m)) {
            continue;
        }
        if ((atomic_load(&m->state) & PENDING) == 0) {
            break;
        }
    }
    bool late = (atomic_fetch_or(&m->state, SEND) & PENDING) != 0;
    if (ran || late) {
        (void)uv_idle_start(&m->idle, on_idle); // the loop turns once without blocking
    } else {
        (void)uv_idle_stop(&m->idle);
    }
}

static void on_wake(uv_poll_t *h, int status, int events)
{
    (void)status;
    (void)events;
    fr_mailbox *m = h->data;
    eventfd_t count;
    (void)eventfd_read(m->fd, &count);
    (void)run_pending(m);
}

static void on_closed(uv_handle_t *h)
{
    fr_mailbox *m = h->data;
    if (--m->open_handles == 0) {
        (void)close(m->fd);
        fr_free(m);
    }
}

int fr_mailbox_open(uv_loop_t *loop, fr_mailbox_fn fn, void *ctx, fr_mailbox **out,
                    fr_err *err)
{
    *out = NULL;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        return fr_fail_errno(err, FR_EIO, "no wake-up descriptor");
    }
    fr_mailbox *m = fr_zalloc(sizeof *m);
    m->fd = fd;
    (void)uv_poll_init(loop, &m->poll, fd);
    (void)uv_prepare_init(loop, &m->prepare);
    (void)uv_idle_init(loop, &m->idle);
    m->poll.data = m->prepare.data = m->idle.data = m;
    m->open_handles = 3;
    fr_mailbox_listen(m, fn, ctx);
    m->spin_ns = SPIN_START_NS;
    atomic_init(&m->state, SEND);
    (void)uv_poll_start(&m->poll, UV_READABLE, on_wake);
    (void)uv_prepare_start(&m->prepare, on_prepare);
    uv_unref((uv_handle_t *)&m->poll);
    uv_unref((uv_handle_t *)&m->prepare);
    *out = m;
    return FR_OK;
}

void fr_mailbox_close(fr_mailbox *m)
{
    if (m != NULL) {
        uv_close((uv_handle_t *)&m->poll, on_closed);
        uv_close((uv_handle_t *)&m->prepare, on_closed);
        uv_close((uv_handle_t *)&m->idle, on_closed);
    }
}

void fr_mailbox_wake(fr_mailbox *m)
{
    unsigned before = atomic_fetch_or(&m->state, PENDING);
    if ((before & (PENDING | SEND)) == SEND) {
        (void)eventfd_write(m->fd, 1);
    }
}

void fr_mailbox_post(fr_mailbox *m, fr_mail *mail)
{
    fr_mail *head = atomic_load_explicit(&m->mail, memory_order_relaxed);
    do {
        mail->next = head;
    } while (!atomic_compare_exchange_weak_explicit(
        &m->mail, &head, mail, memory_order_release, memory_order_relaxed));
    fr_mailbox_wake(m);
}

fr_mail *fr_mailbox_take(fr_mailbox *m)
{
    fr_mail *newest = atomic_exchange_explicit(&m->mail, NULL, memory_order_acquire);
    fr_mail *oldest = NULL;
    while (newest != NULL) {
        fr_mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void change_ref(fr_mailbox *m, int64_t *count, int change)
{
    bool before = m->expected + m->kept > 0;
    *count += change;
    bool after = m->expected + m->kept > 0;
    if (before && !after) {
        uv_unref((uv_handle_t *)&m->poll);
    } else if (after && !before) {
        uv_ref((uv_handle_t *)&m->poll);
    }
}

void fr_mailbox_expect(fr_mailbox *m, int change)
{
    m->warm = m->warm || change > 0;
    change_ref(m, &m->expected, change);
}

void fr_mailbox_keep(fr_mailbox *m, int change) { change_ref(m, &m->kept, change); }

void fr_mailbox_listen(fr_mailbox *m, fr_mailbox_fn fn, void *ctx)
{
    FR_ASSERT(m->listeners < LISTENERS);
    m->listener[m->listeners].fn = fn;
    m->listener[m->listeners++].ctx = ctx;
}

void fr_mailbox_unlisten(fr_mailbox *m, void *ctx)
{
    for (unsigned i = 0; i < m->listeners; i++) {
        if (m->listener[i].ctx == ctx) {
            m->listener[i--] = m->listener[--m->listeners];
        }
    }
}

fr_mailbox *fr_mailbox_deaf(void)
{
    fr_mailbox *m = fr_zalloc(sizeof *m);
    atomic_init(&m->state, PENDING);
    return m;
}
