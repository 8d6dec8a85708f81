#include "core/data/bits.h"
#include "core/data/parquet_int.h"

#include <string.h>

enum { MINIBLOCKS_MAX = 1 << 16 };

static bool varint(const uint8_t **at, const uint8_t *end, uint64_t *v)
{
    *v = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        *v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

pq_runs pq_runs_of(const uint8_t *at, const uint8_t *end, unsigned width)
{
    return (pq_runs){.at = at, .end = end, .width = width};
}

// The head of the next run.
static bool next_run(pq_runs *r)
{
    uint64_t head;
    if (!varint(&r->at, r->end, &head)) {
        return false;
    }
    size_t left = (size_t)(r->end - r->at);
    r->packed = head & 1;
    if (r->packed) { // groups of eight
        uint64_t groups = FR_MIN(head >> 1, (uint64_t)1 << 40), bytes = groups * r->width;
        r->bits = r->at;
        r->bit = 0;
        r->left = (size_t)groups * 8;
        if (bytes > left) { // some writers end the last group early
            r->left = left * 8 / r->width;
            bytes = left;
        }
        r->at += bytes;
        return true;
    }
    size_t width = (r->width + 7) / 8;
    if (width > left) {
        return false;
    }
    r->value = 0;
    memcpy(&r->value, r->at, width);
    r->at += width;
    r->left = (size_t)FR_MIN(head >> 1, (uint64_t)1 << 40);
    return true;
}

// Groups of eight numbers; with a constant width all shifts are known.
__attribute__((always_inline)) static inline void
unpack_groups(const uint8_t *bits, size_t groups, uint32_t *to, unsigned width)
{
    uint64_t mask = (UINT64_C(1) << width) - 1;
    for (size_t g = 0; g < groups; g++, bits += width, to += 8) {
        for (unsigned i = 0; i < 8; i++) {
            uint64_t v;
            memcpy(&v, bits + (i * width >> 3), 8); // PQ_PAD
            to[i] = (uint32_t)(v >> (i * width & 7) & mask);
        }
    }
}

#define WIDTH(w)                                                                         \
    case w:                                                                              \
        unpack_groups(bits, groups, to, w);                                              \
        return;

static void unpack_aligned(const uint8_t *bits, size_t groups, unsigned width, uint32_t *to)
{
    switch (width) {
        WIDTH(1) WIDTH(2) WIDTH(3) WIDTH(4) WIDTH(5) WIDTH(6) WIDTH(7) WIDTH(8) WIDTH(9) WIDTH(10)
        WIDTH(11) WIDTH(12) WIDTH(13) WIDTH(14) WIDTH(15) WIDTH(16) WIDTH(17) WIDTH(18) WIDTH(19)
        WIDTH(20)
    default:
        unpack_groups(bits, groups, to, width);
        break;
    }
}

static void unpack(const uint8_t *bits, size_t bit, unsigned width, uint32_t *to, size_t n)
{
    uint64_t mask = (UINT64_C(1) << width) - 1;
    size_t done = 0;
    if ((bit & 7) == 0) {
        unpack_aligned(bits + (bit >> 3), n / 8, width, to);
        done = n / 8 * 8;
        bit += done * width;
    }
    for (size_t i = done; i < n; i++, bit += width) {
        uint64_t v;
        memcpy(&v, bits + (bit >> 3), 8); // PQ_PAD
        to[i] = (uint32_t)(v >> (bit & 7) & mask);
    }
}

size_t pq_runs_read(pq_runs *r, uint32_t *to, size_t n)
{
    size_t done = 0;
    while (done < n) {
        if (r->left == 0) {
            if (!next_run(r)) {
                break;
            }
            continue;
        }
        size_t take = FR_MIN(r->left, n - done);
        if (r->packed) {
            unpack(r->bits, r->bit, r->width, to + done, take);
            r->bit += take * r->width;
        } else {
            for (size_t i = 0; i < take; i++) {
                to[done + i] = r->value;
            }
        }
        r->left -= take;
        done += take;
    }
    return done;
}

bool pq_runs_bits(pq_runs *r, uint8_t *bits, int64_t at, size_t n)
{
    while (n > 0) {
        if (r->left == 0) {
            if (!next_run(r)) {
                return false;
            }
            continue;
        }
        size_t take = FR_MIN(r->left, n);
        if (r->packed) {
            fr_bits_copy(bits, at, r->bits, (int64_t)r->bit, (int64_t)take);
            r->bit += take;
        } else if (r->value & 1) {
            fr_bits_fill(bits, at, (int64_t)take, true);
        }
        r->left -= take;
        at += (int64_t)take;
        n -= take;
    }
    return true;
}

// The head of a delta block: numbers per block, miniblocks, numbers in all, the first.
typedef struct delta {
    const uint8_t *at, *end;
    uint64_t block, minis, count;
    uint64_t last;
} delta;

static uint64_t unzigzag(uint64_t v) { return v >> 1 ^ (0 - (v & 1)); }

static bool delta_open(delta *d)
{
    uint64_t first;
    if (!varint(&d->at, d->end, &d->block) || !varint(&d->at, d->end, &d->minis) ||
        !varint(&d->at, d->end, &d->count) || !varint(&d->at, d->end, &first)) {
        return false;
    }
    d->last = unzigzag(first);
    return d->minis > 0 && d->minis <= MINIBLOCKS_MAX && d->block <= UINT32_MAX &&
           d->block % d->minis == 0 && d->block / d->minis % 8 == 0 && d->block > 0;
}

static void store(void *to, size_t i, size_t width, uint64_t v)
{
    if (width == 4) {
        ((uint32_t *)to)[i] = (uint32_t)v;
    } else {
        ((uint64_t *)to)[i] = v;
    }
}

// Up to n numbers of one miniblock; the bytes are there.
static uint64_t delta_mini(const uint8_t *bits, unsigned width, uint64_t least, uint64_t last,
                           size_t n, size_t size, void *to, size_t at)
{
    uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
    size_t bit = 0;
    for (size_t i = 0; i < n; i++, bit += width) {
        uint64_t v;
        unsigned shift = bit & 7;
        memcpy(&v, bits + (bit >> 3), 8); // PQ_PAD
        v >>= shift;
        if (shift + width > 64) {
            v |= (uint64_t)bits[(bit >> 3) + 8] << (64 - shift);
        }
        last += least + (v & mask);
        store(to, at + i, size, last);
    }
    return last;
}

// One block: its least delta, the widths of its miniblocks, these. False: damaged.
static bool delta_block(delta *d, size_t n, size_t size, void *to, size_t *done)
{
    uint64_t least, per = d->block / d->minis;
    if (!varint(&d->at, d->end, &least) || (uint64_t)(d->end - d->at) < d->minis) {
        return false;
    }
    const uint8_t *widths = d->at;
    d->at += d->minis;
    for (uint64_t m = 0; m < d->minis && *done < n; m++) {
        unsigned width = widths[m];
        size_t take = FR_MIN((size_t)per, n - *done);
        uint64_t bytes = per / 8 * width, left = (uint64_t)(d->end - d->at);
        // The last miniblock may be cut behind its last number.
        if (width > 64 || (bytes > left && ((uint64_t)take * width + 7) / 8 > left)) {
            return false;
        }
        d->last = delta_mini(d->at, width, unzigzag(least), d->last, take, size, to, *done);
        *done += take;
        d->at += FR_MIN(bytes, left);
    }
    return true;
}

const uint8_t *pq_delta_read(const uint8_t *at, const uint8_t *end, size_t n, size_t width,
                             void *to)
{
    delta d = {.at = at, .end = end};
    if (!delta_open(&d) || d.count < n) {
        return NULL;
    }
    size_t done = 0;
    if (n > 0) {
        store(to, done++, width, d.last);
    }
    while (done < n) {
        if (!delta_block(&d, n, width, to, &done)) {
            return NULL;
        }
    }
    return d.at;
}

bool pq_delta_count(const uint8_t *at, const uint8_t *end, size_t *n)
{
    delta d = {.at = at, .end = end};
    *n = 0;
    if (!delta_open(&d) || d.count > UINT32_MAX) {
        return false;
    }
    *n = (size_t)d.count;
    return true;
}
