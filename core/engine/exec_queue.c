// The shared queue of exec_thread: who runs what next, and in batches of which size.
#include "core/base/mem.h"
#include "core/engine/exec_thread.h"
#include "core/engine/limit.h"

enum { LOOK_AHEAD = 16 }; // spans that may be passed over for D2

void fr_exec_list_push(exec_list *l, exec_span *s)
{
    s->next = NULL;
    s->prev = l->tail;
    *(l->tail != NULL ? &l->tail->next : &l->head) = s;
    l->tail = s;
}

static void push_front(exec_list *l, exec_span *s)
{
    s->prev = NULL;
    s->next = l->head;
    *(l->head != NULL ? &l->head->prev : &l->tail) = s;
    l->head = s;
}

void fr_exec_list_remove(exec_list *l, exec_span *s)
{
    *(s->prev != NULL ? &s->prev->next : &l->head) = s->next;
    *(s->next != NULL ? &s->next->prev : &l->tail) = s->prev;
    s->prev = s->next = NULL;
}

static void free_list(exec_list *l)
{
    for (exec_span *s = l->head, *next; s != NULL; s = next) {
        next = s->next;
        if (s->extra) {
            fr_free(s);
        }
    }
}

void fr_exec_queue_fini(thread_exec *x)
{
    free_list(&x->queue);
    for (uint32_t i = 0; i < x->n_lanes; i++) {
        free_list(&x->lanes[i].list);
    }
    fr_free(x->lanes);
}

// --- under x->lock ---

static exec_list *lane_of(thread_exec *x, int32_t priority)
{
    if (FR_LIKELY(priority == 0)) {
        return &x->queue;
    }
    uint32_t i = 0;
    while (i < x->n_lanes && x->lanes[i].priority != priority) {
        i++;
    }
    if (i == x->n_lanes) {
        x->n_lanes++;
        x->lanes = fr_realloc(x->lanes, x->n_lanes * sizeof *x->lanes);
        x->lanes[i] = (exec_lane){.priority = priority};
    }
    return &x->lanes[i].list;
}

static int64_t rank_of(const exec_span *s)
{
    return fr_limit_rank(s->u->a->queued, s->u->a->priority);
}

// The first span: of all lanes that whose attempt has waited longest, its priority counted.
static exec_span *first_span(const thread_exec *x)
{
    exec_span *best = x->queue.head;
    for (uint32_t i = 0; i < x->n_lanes; i++) {
        exec_span *s = x->lanes[i].list.head;
        int64_t ahead = s == NULL || best == NULL ? 0 : rank_of(best) - rank_of(s);
        bool tie = ahead == 0 && best != NULL && s != NULL &&
                   s->u->a->priority > best->u->a->priority;
        if (s != NULL && (best == NULL || ahead > 0 || tie)) {
            best = s;
        }
    }
    return best;
}

static bool has_room(const exec_worker *w)
{
    return atomic_load(&w->suspended) < EXEC_SUSPENDED;
}

static bool is_free(const exec_worker *w) // of suspended bodies
{
    return atomic_load(&w->suspended) == 0;
}

static bool any_idle(const thread_exec *x, bool free_only)
{
    for (const exec_worker *w = x->idle; w != NULL; w = w->idle_next) {
        if (free_only ? is_free(w) : has_room(w)) {
            return true;
        }
    }
    return false;
}

static void remove_idle(thread_exec *x, exec_worker *w)
{
    for (exec_worker **p = &x->idle; *p != NULL; p = &(*p)->idle_next) {
        if (*p == w) {
            *p = w->idle_next;
            w->idle = false;
            return;
        }
    }
}

// The idle worker that should look at the queue: the latest to become idle may still
// spin.
static exec_worker *choose(thread_exec *x)
{
    if (x->spans == 0 || x->idle == NULL) {
        return NULL;
    }
    exec_worker *best = NULL;
    for (exec_worker *w = x->idle; w != NULL; w = w->idle_next) {
        if (is_free(w)) {
            best = w;
            break;
        }
        if (best == NULL && has_room(w)) {
            best = w;
        }
    }
    if (best != NULL) {
        remove_idle(x, best);
    }
    return best;
}

static void enqueue(thread_exec *x, exec_span *s, bool front)
{
    s->queued = true;
    x->queued += s->end - s->at;
    x->spans++;
    if (s->extra) {
        s->u->extra++;
    }
    exec_list *lane = lane_of(x, s->u->a->priority);
    if (front) {
        push_front(lane, s);
    } else {
        fr_exec_list_push(lane, s);
    }
}

static void dequeue(thread_exec *x, exec_span *s)
{
    fr_exec_list_remove(lane_of(x, s->u->a->priority), s);
    s->queued = false;
    x->queued -= s->end - s->at;
    x->spans--;
    if (s->extra) {
        s->u->extra--;
    }
}

static uint32_t batch_size(const thread_exec *x, const exec_stat *stat)
{
    uint32_t mean = atomic_load_explicit(&stat->mean_ns, memory_order_relaxed);
    if (mean == 0 || mean > EXEC_LONG_NS) {
        return 1;
    }
    uint64_t n =
        FR_MIN((uint64_t)EXEC_BATCH_NS / mean, x->queued / (2 * (uint64_t)x->most));
    return (uint32_t)FR_MAX(FR_MIN(n, EXEC_BATCH), 1);
}

// The span that w should take from: the first, but a task known to block leaves workers
// with suspended bodies alone while a better one is idle. Cores are not given past the
// first span that waits for them, or wide attempts would starve.
static exec_span *pick(thread_exec *x, const exec_worker *w, bool *wake_other)
{
    exec_span *s = first_span(x);
    for (int i = 0; s != NULL && i < LOOK_AHEAD; i++, s = s->next) {
        if (x->load > 0 && x->load + s->u->tokens > x->cores) {
            return NULL;
        }
        if (atomic_load(&s->u->stat->blocking) && !is_free(w) && any_idle(x, true)) {
            *wake_other = true;
            continue;
        }
        return s;
    }
    return NULL;
}

// Under both locks. Single calls of known small cost that follow each other.
static void take_singles(thread_exec *x, exec_worker *w, exec_span *s, uint32_t most)
{
    uint64_t ns = 0;
    for (uint32_t n = 0; s != NULL && n < most; n++) {
        exec_span *next = s->next;
        uint32_t mean = atomic_load_explicit(&s->u->stat->mean_ns, memory_order_relaxed);
        if (n > 0 && (s->u->a->list != NULL || s->u->tokens != w->load || mean == 0 ||
                      mean > EXEC_LONG_NS || (ns += mean) > EXEC_BATCH_NS ||
                      (x->n_lanes > 0 && first_span(x) != s))) {
            break;
        }
        w->several = n > 0;
        dequeue(x, s);
        s->batch = w;
        s->u->blocked = atomic_load(&w->blocked);
        atomic_store(&s->u->worker, w);
        fr_exec_list_push(&w->batch, s);
        s = next;
    }
}

static void take_chunk(thread_exec *x, exec_worker *w, exec_span *s, uint32_t n)
{
    uint32_t from = s->at, left = s->end - s->at;
    dequeue(x, s);
    n = FR_MIN(n, left);
    s->at += n;
    w->chunk = s->u;
    w->several = n > 1;
    (void)atomic_fetch_add(&s->u->chunks, 1);
    atomic_store(&w->range, from | (uint64_t)(from + n) << 32);
    if (n < left) {
        enqueue(x, s, false); // to the end: other maps have their turn
    } else if (s->extra) {
        fr_free(s);
    }
}

bool fr_exec_queue_take(exec_worker *w)
{
    thread_exec *x = w->x;
    bool wake_other = false;
    exec_span *s = NULL;
    (void)pthread_mutex_lock(&x->lock);
    remove_idle(x, w);
    x->load -= w->load;
    w->load = 0;
    if (has_room(w) && !atomic_load(&x->stopping)) {
        s = pick(x, w, &wake_other);
    }
    if (s != NULL) {
        w->load = s->u->tokens;
        x->load += w->load;
        uint32_t n = batch_size(x, s->u->stat);
        (void)pthread_mutex_lock(&w->lock);
        if (s->u->a->list != NULL) {
            take_chunk(x, w, s, n);
        } else {
            take_singles(x, w, s, n);
        }
        (void)pthread_mutex_unlock(&w->lock);
    }
    exec_worker *other = s != NULL || wake_other || !has_room(w) ? choose(x) : NULL;
    if (s == NULL) {
        w->idle = true;
        w->idle_next = x->idle;
        x->idle = w;
    }
    (void)pthread_mutex_unlock(&x->lock);
    if (other != NULL) {
        fr_mailbox_wake(other->box);
    }
    return s != NULL;
}

uint32_t fr_exec_queue_push(thread_exec *x, exec_span *s, bool front)
{
    (void)pthread_mutex_lock(&x->lock);
    enqueue(x, s, front);
    exec_worker *w = choose(x);
    uint64_t ready = x->booting + (w != NULL) + (x->idle != NULL);
    uint64_t wanted = x->queued > ready ? x->queued - ready : 0;
    uint32_t more = (uint32_t)FR_MIN(wanted, (uint64_t)x->most - x->workers);
    (void)pthread_mutex_unlock(&x->lock);
    if (w != NULL) {
        fr_mailbox_wake(w->box);
    }
    return more;
}

static void remove_extra(thread_exec *x, exec_unit *u, exec_list *out)
{
    exec_span *s = lane_of(x, u->a->priority)->head;
    for (exec_span *next; s != NULL && u->extra > 0; s = next) {
        next = s->next;
        if (s->u == u && s->extra) {
            dequeue(x, s);
            fr_exec_list_push(out, s);
        }
    }
}

// Under x->lock.
static void remove_unit(thread_exec *x, exec_unit *u, exec_list *out)
{
    exec_worker *w = u->span.batch; // only its worker may change it meanwhile, to NULL
    if (u->span.queued) {
        dequeue(x, &u->span);
        fr_exec_list_push(out, &u->span);
    } else if (w != NULL) {
        (void)pthread_mutex_lock(&w->lock);
        if (u->span.batch == w) {
            fr_exec_list_remove(&w->batch, &u->span);
            u->span.batch = NULL;
            fr_exec_list_push(out, &u->span);
        }
        (void)pthread_mutex_unlock(&w->lock);
    }
    remove_extra(x, u, out);
}

void fr_exec_queue_remove(thread_exec *x, exec_unit *u, exec_list *out)
{
    (void)pthread_mutex_lock(&x->lock);
    remove_unit(x, u, out);
    (void)pthread_mutex_unlock(&x->lock);
}

exec_unit *fr_exec_queue_next(exec_worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    exec_span *s = w->batch.head;
    if (s != NULL) {
        fr_exec_list_remove(&w->batch, s);
        s->batch = NULL;
    }
    (void)pthread_mutex_unlock(&w->lock);
    return s != NULL ? s->u : NULL;
}

// Under both locks. Ends w's chunk; its rest, if any, goes to the front of the queue.
static bool requeue_chunk(thread_exec *x, exec_worker *w)
{
    uint64_t range = atomic_load(&w->range);
    do {
        if ((uint32_t)range == (uint32_t)(range >> 32)) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&w->range, &range,
                                           (range & UINT32_MAX) | (range << 32)));
    exec_span *s = fr_zalloc(sizeof *s);
    *s =
        (exec_span){.u = w->chunk, .at = (uint32_t)range, .end = (uint32_t)(range >> 32)};
    s->extra = true;
    enqueue(x, s, true);
    return true;
}

// Under both locks.
static bool requeue_batch(thread_exec *x, exec_worker *w)
{
    bool any = w->batch.tail != NULL;
    while (w->batch.tail != NULL) { // backwards, so that the order stays
        exec_span *s = w->batch.tail;
        fr_exec_list_remove(&w->batch, s);
        s->batch = NULL;
        enqueue(x, s, true);
    }
    return any;
}

// Under x->lock. What w has not started goes to the front of the queue; returns a worker
// to wake for it.
static exec_worker *requeue(thread_exec *x, exec_worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    bool any = requeue_chunk(x, w);
    any = requeue_batch(x, w) || any;
    (void)pthread_mutex_unlock(&w->lock);
    return any ? choose(x) : NULL;
}

void fr_exec_queue_recall(thread_exec *x, exec_unit *u, exec_list *out)
{
    (void)pthread_mutex_lock(&x->lock);
    for (uint32_t i = 0; i < x->workers; i++) {
        exec_worker *w = x->worker[i];
        (void)pthread_mutex_lock(&w->lock);
        if (w->chunk == u) {
            (void)requeue_chunk(x, w);
        }
        (void)pthread_mutex_unlock(&w->lock);
    }
    remove_unit(x, u, out);
    (void)pthread_mutex_unlock(&x->lock);
}

void fr_exec_queue_put_back(exec_worker *w)
{
    thread_exec *x = w->x;
    (void)pthread_mutex_lock(&x->lock);
    exec_worker *other = requeue(x, w);
    (void)pthread_mutex_unlock(&x->lock);
    if (other != NULL) {
        fr_mailbox_wake(other->box);
    }
}

void fr_exec_queue_forget(exec_worker *w)
{
    thread_exec *x = w->x;
    (void)pthread_mutex_lock(&x->lock);
    remove_idle(x, w);
    x->load -= w->load;
    w->load = 0;
    exec_worker *other = requeue(x, w);
    (void)pthread_mutex_unlock(&x->lock);
    if (other != NULL) {
        fr_mailbox_wake(other->box);
    }
}

bool fr_exec_queue_rescue(thread_exec *x, int64_t now, bool *more)
{
    bool several = false;
    *more = false;
    (void)pthread_mutex_lock(&x->lock);
    for (uint32_t i = 0; i < x->workers; i++) {
        exec_worker *w = x->worker[i]; // lost ones have been replaced
        int64_t since = atomic_load(&w->multi_since);
        several = several || since != 0;
        if (since == 0 || now - since < EXEC_BATCH_NS) {
            continue;
        }
        if (!any_idle(x, false)) {
            *more = x->workers < x->most && x->booting == 0;
            continue;
        }
        exec_worker *other = requeue(x, w);
        if (other != NULL) {
            fr_mailbox_wake(other->box);
        }
    }
    (void)pthread_mutex_unlock(&x->lock);
    return several;
}
