#include "core/engine/stream.h"

#include "core/base/mem.h"

enum { BLOCK_SIZE = 64 * 1024 - 64 };

struct fr_stream_block {
    _Atomic(fr_stream_block *) next;
    atomic_size_t committed;
    size_t capacity;
    _Alignas(16) uint8_t bytes[];
};

static fr_stream_block *new_block(size_t capacity)
{
    fr_stream_block *b = fr_alloc(sizeof *b + capacity);
    atomic_init(&b->next, NULL);
    atomic_init(&b->committed, 0);
    b->capacity = capacity;
    return b;
}

static size_t padded(size_t n) { return (n + 7) & ~(size_t)7; }

void fr_stream_init(fr_stream *s)
{
    *s = (fr_stream){.written = 0};
    s->head = s->tail = new_block(BLOCK_SIZE);
}

void fr_stream_fini(fr_stream *s)
{
    for (fr_stream_block *b = s->head; b != NULL;) {
        fr_stream_block *next = atomic_load(&b->next);
        fr_free(b);
        b = next;
    }
    fr_free(atomic_load(&s->spare));
    *s = (fr_stream){.written = 0};
}

void *fr_stream_reserve(fr_stream *s, size_t n)
{
    n = padded(n);
    if (s->tail->capacity - s->written < n) {
        fr_stream_block *b = NULL;
        if (n <= BLOCK_SIZE) {
            b = atomic_exchange_explicit(&s->spare, NULL, memory_order_acquire);
        }
        if (b == NULL) {
            b = new_block(FR_MAX(n, (size_t)BLOCK_SIZE));
        }
        atomic_store_explicit(&s->tail->next, b, memory_order_release);
        s->tail = b;
        s->written = 0;
    }
    return s->tail->bytes + s->written;
}

void fr_stream_commit(fr_stream *s, size_t n)
{
    s->written += padded(n);
    atomic_store_explicit(&s->tail->committed, s->written, memory_order_release);
}

static void recycle(fr_stream *s, fr_stream_block *b)
{
    if (b->capacity == BLOCK_SIZE) {
        atomic_store_explicit(&b->next, NULL, memory_order_relaxed);
        atomic_store_explicit(&b->committed, 0, memory_order_relaxed);
        b = atomic_exchange_explicit(&s->spare, b, memory_order_acq_rel);
    }
    fr_free(b);
}

const void *fr_stream_peek(fr_stream *s)
{
    for (;;) {
        fr_stream_block *b = s->head;
        if (s->read < atomic_load_explicit(&b->committed, memory_order_acquire)) {
            return b->bytes + s->read;
        }
        fr_stream_block *next = atomic_load_explicit(&b->next, memory_order_acquire);
        if (next == NULL) {
            return NULL;
        }
        // The writer left b for good; a last record may have come before it did.
        if (s->read < atomic_load_explicit(&b->committed, memory_order_acquire)) {
            return b->bytes + s->read;
        }
        s->head = next;
        s->read = 0;
        recycle(s, b);
    }
}

void fr_stream_drop(fr_stream *s, size_t n) { s->read += padded(n); }
