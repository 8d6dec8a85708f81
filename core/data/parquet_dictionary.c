#include "core/base/mem.h"
#include "core/data/parquet_int.h"

#include <string.h>

enum {
    SLOTS_FIRST = 1 << 10,
    BYTES_MAX = 1 << 20,              // of a dictionary; over that texts are stored themselves
    SAMPLE = 1 << 14,                 // rows after which a column with few repetitions gives up
};

typedef struct slot {
    uint64_t hash;
    uint32_t code;                    // UINT32_MAX: free
    uint32_t n;
    const char *s;
} slot;

typedef struct table {
    slot *slots;
    size_t mask;
} table;

static void table_init(table *t, size_t slots)
{
    t->slots = fr_alloc(slots * sizeof *t->slots);
    t->mask = slots - 1;
    for (size_t i = 0; i < slots; i++) {
        t->slots[i].code = UINT32_MAX;
    }
}

static void table_grow(table *t)
{
    table bigger;
    table_init(&bigger, (t->mask + 1) * 4);
    for (size_t i = 0; i <= t->mask; i++) {
        const slot *s = &t->slots[i];
        if (s->code == UINT32_MAX) {
            continue;
        }
        size_t at = s->hash & bigger.mask;
        while (bigger.slots[at].code != UINT32_MAX) {
            at = (at + 1) & bigger.mask;
        }
        bigger.slots[at] = *s;
    }
    fr_free(t->slots);
    *t = bigger;
}

static void put_text(fr_buf *to, const char *s, size_t n)
{
    fr_buf_put_u32(to, (uint32_t)n);
    fr_buf_put(to, s, n);
}

static uint32_t code_of(table *t, pq_dictionary *d, const char *s, size_t n)
{
    uint64_t hash = fr_hash_bytes(s, n).lo;
    size_t at = hash & t->mask;
    for (slot *x = &t->slots[at]; x->code != UINT32_MAX; x = &t->slots[at]) {
        if (x->hash == hash && x->n == n && memcmp(x->s, s, n) == 0) {
            return x->code;
        }
        at = (at + 1) & t->mask;
    }
    uint32_t code = (uint32_t)d->n++;
    t->slots[at] = (slot){hash, code, (uint32_t)n, s};
    put_text(&d->plain, s, n);
    if (d->n * 2 > t->mask) {
        table_grow(t);
    }
    return code;
}

static void from_texts(const fr_array *a, int64_t at, int64_t n, pq_dictionary *d)
{
    table t;
    table_init(&t, SLOTS_FIRST);
    for (int64_t i = 0; i < n && d->good; i++) {
        size_t size;
        if (!fr_array_has(a, at + i)) {
            continue;
        }
        const char *s = fr_array_text(a, at + i, &size);
        d->codes[d->n_codes++] = code_of(&t, d, s, size);
        d->good = d->plain.size <= BYTES_MAX && (i < SAMPLE || d->n * 2 <= d->n_codes);
    }
    fr_free(t.slots);
}

// The categories themselves, in their order, also those that no row has.
static void from_category(const fr_array *a, int64_t at, int64_t n, pq_dictionary *d)
{
    for (int64_t i = 0; i < a->dict->length; i++) {
        size_t size;
        const char *s = fr_array_text(a->dict, i, &size);
        put_text(&d->plain, s, size);
    }
    d->n = (size_t)a->dict->length;
    const int32_t *codes = fr_array_i32(a) + at;
    for (int64_t i = 0; i < n; i++) {
        d->codes[d->n_codes] = (uint32_t)codes[i];
        d->n_codes += fr_array_has(a, at + i);
    }
}

int pq_dictionary_make(const fr_array *a, int64_t at, int64_t n, pq_dictionary *out, fr_err *err)
{
    *out = (pq_dictionary){.good = true};
    fr_buf_init(&out->plain, INT32_MAX);
    out->codes = fr_try_alloc(((size_t)n + 1) * sizeof *out->codes);
    if (out->codes == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for a dictionary");
    }
    if (a->type.kind == FR_CATEGORY) {
        from_category(a, at, n, out);
    } else {
        from_texts(a, at, n, out);
    }
    return fr_buf_check(&out->plain, err);
}

void pq_dictionary_fini(pq_dictionary *d)
{
    fr_free(d->codes);
    fr_buf_fini(&d->plain);
    *d = (pq_dictionary){0};
}
