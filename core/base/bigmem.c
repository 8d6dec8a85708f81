#include "core/base/bigmem.h"

#include "core/base/mem.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISONING 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONING 1
#endif
#endif
#ifdef POISONING
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   __asan_poison_memory_region((p), (n))
#define UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define POISON(p, n)   ((void)0)
#define UNPOISON(p, n) ((void)0)
#endif

enum { KIND_MALLOC, KIND_POOLED, KIND_MAPPED, KIND_VIEW };

static const size_t ALIGN = 64;
static const size_t HUGE = (size_t)2 << 20;
static const size_t BIG_FROM = (size_t)4 << 20;
static const size_t KEPT_MOST = (size_t)2
                                << 30; // bytes; and never over 1/8 of the memory

enum { KEPT_SLOTS = 64 };

typedef struct kept {
    uint8_t *data;
    size_t capacity;
} kept;

// Listed in tests/tidy as allowed writable state: one pool of free buffers per process.
static struct {
    pthread_mutex_t lock;
    kept slots[KEPT_SLOTS]; // oldest first
    size_t n, bytes, most;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static size_t kept_most(void)
{
    if (pool.most == 0) {
        long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
        size_t memory = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : 0;
        pool.most = FR_MIN(KEPT_MOST, FR_MAX(memory / 8, HUGE));
    }
    return pool.most;
}

static void release(uint8_t *data, size_t capacity)
{
    UNPOISON(data, capacity);
    (void)munmap(data, capacity);
}

static void forget_slot(size_t i)
{
    pool.bytes -= pool.slots[i].capacity;
    memmove(&pool.slots[i], &pool.slots[i + 1], (pool.n - i - 1) * sizeof(kept));
    pool.n--;
}

// The tightest kept buffer that wastes at most a quarter, or NULL.
static uint8_t *take_kept(size_t capacity, size_t *got)
{
    uint8_t *data = NULL;
    (void)pthread_mutex_lock(&pool.lock);
    size_t best = pool.n;
    for (size_t i = 0; i < pool.n; i++) {
        size_t c = pool.slots[i].capacity;
        if (c >= capacity && c <= capacity + capacity / 4 + HUGE &&
            (best == pool.n || c < pool.slots[best].capacity)) {
            best = i;
        }
    }
    if (best < pool.n) {
        data = pool.slots[best].data;
        *got = pool.slots[best].capacity;
        forget_slot(best);
    }
    (void)pthread_mutex_unlock(&pool.lock);
    return data;
}

// Keeps the buffer; what no longer fits under the cap, oldest first, goes to the system.
static void keep(uint8_t *data, size_t capacity)
{
    kept out[KEPT_SLOTS];
    size_t n = 0;
    POISON(data, capacity);
    (void)pthread_mutex_lock(&pool.lock);
    if (capacity > kept_most()) {
        (void)pthread_mutex_unlock(&pool.lock);
        release(data, capacity);
        return;
    }
    while (pool.n == KEPT_SLOTS || pool.bytes + capacity > pool.most) {
        out[n++] = pool.slots[0];
        forget_slot(0);
    }
    pool.slots[pool.n++] = (kept){data, capacity};
    pool.bytes += capacity;
    (void)pthread_mutex_unlock(&pool.lock);
    for (size_t i = 0; i < n; i++) {
        release(out[i].data, out[i].capacity);
    }
}

static uint8_t *map_huge(size_t capacity)
{
    size_t all = capacity + HUGE;
    uint8_t *p =
        mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        return NULL;
    }
    size_t head = round_up((uintptr_t)p, HUGE) - (uintptr_t)p;
    if (head > 0) {
        (void)munmap(p, head);
    }
    if (HUGE - head > 0) {
        (void)munmap(p + head + capacity, HUGE - head);
    }
    (void)madvise(p + head, capacity, MADV_HUGEPAGE); // a kernel without them still works
    return p + head;
}

static fr_block *block_of(uint8_t *data, size_t size, size_t capacity, int kind)
{
    fr_block *b = fr_alloc(sizeof *b);
    b->data = data;
    b->size = size;
    b->capacity = capacity;
    atomic_init(&b->refs, 1);
    b->kind = kind;
    b->parent = NULL;
    return b;
}

static int new_block(size_t size, bool zero, fr_block **out, fr_err *err)
{
    *out = NULL;
    if (size > SIZE_MAX / 4) {
        return fr_fail(err, FR_ENOMEM, "a buffer of %zu bytes is too large", size);
    }
    size_t padded = FR_MAX(round_up(size, ALIGN), ALIGN), capacity = padded;
    uint8_t *data;
    int kind = KIND_MALLOC;
    bool fresh = false;
    if (size < BIG_FROM) {
        data = aligned_alloc(ALIGN, padded);
    } else {
        kind = KIND_POOLED;
        capacity = round_up(padded, HUGE);
        data = take_kept(capacity, &capacity);
        if (data == NULL) {
            data = map_huge(capacity);
            fresh = true;
        }
    }
    if (data == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for a buffer of %zu bytes", size);
    }
    if (kind == KIND_POOLED) {
        UNPOISON(data, padded);
        POISON(data + padded, capacity - padded);
    }
    if (zero && !fresh) {
        memset(data, 0, padded);
    } else if (!fresh) {
        memset(data + size, 0, padded - size);
    }
    *out = block_of(data, size, capacity, kind);
    return FR_OK;
}

int fr_block_new(size_t size, fr_block **out, fr_err *err)
{
    return new_block(size, false, out, err);
}

int fr_block_new_zero(size_t size, fr_block **out, fr_err *err)
{
    return new_block(size, true, out, err);
}

int fr_block_shrink(fr_block *b, size_t size, fr_err *err)
{
    FR_ASSERT(size <= b->size && atomic_load(&b->refs) == 1 && b->kind < KIND_MAPPED);
    size_t padded = FR_MAX(round_up(size, ALIGN), ALIGN);
    bool wasteful = b->capacity - padded > b->capacity / 4 + ALIGN;
    if (wasteful) {
        fr_block *copy;
        int rc = fr_block_new(size, &copy, err);
        if (rc != FR_OK) {
            return rc;
        }
        memcpy(copy->data, b->data, size);
        fr_block old = *b;
        b->data = copy->data;
        b->capacity = copy->capacity;
        b->kind = copy->kind;
        copy->data = old.data;
        copy->capacity = old.capacity;
        copy->kind = old.kind;
        fr_block_unref(copy);
    }
    b->size = size;
    memset(b->data + size, 0, padded - size);
    return FR_OK;
}

int fr_block_map_file(const char *path, fr_block **out, fr_err *err)
{
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fr_fail_errno(err, FR_EIO, "%s", path);
    }
    struct stat st;
    int rc = FR_OK;
    if (fstat(fd, &st) != 0) {
        rc = fr_fail_errno(err, FR_EIO, "%s", path);
    } else if (!S_ISREG(st.st_mode)) {
        rc = fr_fail(err, FR_EIO, "%s is not a regular file", path);
    } else if (st.st_size == 0) {
        rc = fr_block_new_zero(0, out, err);
    } else {
        // The kernel zero-fills the rest of the last page: reading the padding is safe.
        size_t size = (size_t)st.st_size;
        void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            rc = fr_fail_errno(err, FR_EIO, "%s", path);
        } else {
            *out = block_of(p, size, size, KIND_MAPPED);
        }
    }
    (void)close(fd);
    return rc;
}

fr_block *fr_block_view(fr_block *parent, size_t offset, size_t size)
{
    FR_ASSERT(offset <= parent->size && size <= parent->size - offset);
    fr_block *b = block_of(parent->data + offset, size, 0, KIND_VIEW);
    b->parent = fr_block_ref(parent);
    return b;
}

fr_block *fr_block_ref(fr_block *b)
{
    (void)atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void fr_block_unref(fr_block *b)
{
    if (b == NULL || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    switch (b->kind) {
    case KIND_POOLED:
        keep(b->data, b->capacity);
        break;
    case KIND_MAPPED:
        (void)munmap(b->data, b->capacity);
        break;
    case KIND_VIEW:
        fr_block_unref(b->parent);
        break;
    default:
        free(b->data);
        break;
    }
    fr_free(b);
}

void fr_bigmem_trim(void)
{
    kept out[KEPT_SLOTS];
    (void)pthread_mutex_lock(&pool.lock);
    size_t n = pool.n;
    memcpy(out, pool.slots, n * sizeof(kept));
    pool.n = 0;
    pool.bytes = 0;
    (void)pthread_mutex_unlock(&pool.lock);
    for (size_t i = 0; i < n; i++) {
        release(out[i].data, out[i].capacity);
    }
}

size_t fr_bigmem_kept(void)
{
    (void)pthread_mutex_lock(&pool.lock);
    size_t bytes = pool.bytes;
    (void)pthread_mutex_unlock(&pool.lock);
    return bytes;
}
