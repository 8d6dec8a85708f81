// Which rows match. One integer key goes through a hash table of the right side, probed
// in batches whose slots are asked for ahead; everything else is numbered by fr_factor
// first.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/factor.h"
#include "core/data/join_int.h"

#include <string.h>

enum { BATCH = 128 };

static bool is_text(fr_kind k) { return k == FR_UTF8 || k == FR_CATEGORY; }

int fr_join_keys(const fr_frame *left, const fr_frame *right, fr_join_on on,
                 fr_array **lk, fr_array **rk, fr_err *err)
{
    memset(lk, 0, on.n * sizeof *lk);
    memset(rk, 0, on.n * sizeof *rk);
    for (size_t k = 0; k < on.n; k++) {
        const fr_array *a, *b;
        int rc = fr_frame_column(left, on.left[k], &a, err);
        if (rc != FR_OK) {
            return fr_wrap(err, rc, "join: left");
        }
        rc = fr_frame_column(right, on.right[k], &b, err);
        if (rc != FR_OK) {
            return fr_wrap(err, rc, "join: right");
        }
        fr_type type = a->type;
        bool numbers = fr_kind_number(a->type.kind) && fr_kind_number(b->type.kind);
        if (numbers && a->type.kind != b->type.kind) {
            bool whole = fr_kind_integer(a->type.kind) && fr_kind_integer(b->type.kind);
            type = fr_type_of(whole ? FR_INT64 : FR_FLOAT64);
        } else if (!fr_type_eq(&a->type, &b->type) &&
                   !(is_text(a->type.kind) && is_text(b->type.kind))) {
            char x[64], y[64];
            return fr_fail(
                err, FR_ETYPE, "join: key \"%s\" is %s on the left and %s on the right",
                on.left[k], fr_type_name(&a->type, x), fr_type_name(&b->type, y));
        }
        if (is_text(type.kind)) {
            lk[k] = fr_array_ref(a);
            rk[k] = fr_array_ref(b);
            continue;
        }
        rc = fr_compute_cast(a, type, &lk[k], err);
        rc = rc == FR_OK ? fr_compute_cast(b, type, &rk[k], err) : rc;
        if (rc != FR_OK) {
            return fr_wrap(err, rc, "join: key \"%s\"", on.left[k]);
        }
    }
    return FR_OK;
}

// --- any keys: numbers of both sides together ---

static int number_both(fr_array *const *lk, fr_array *const *rk, size_t n, fr_factor *f,
                       fr_err *err)
{
    fr_array **both = fr_zalloc(n * sizeof *both);
    int rc = FR_OK;
    for (size_t k = 0; k < n && rc == FR_OK; k++) {
        fr_array *a = NULL, *b = NULL;
        if (is_text(lk[k]->type.kind)) { // also an ordered and another category
            rc = fr_compute_cast(lk[k], fr_type_of(FR_UTF8), &a, err);
            rc = rc == FR_OK ? fr_compute_cast(rk[k], fr_type_of(FR_UTF8), &b, err) : rc;
        } else {
            a = fr_array_ref(lk[k]);
            b = fr_array_ref(rk[k]);
        }
        if (rc == FR_OK) {
            const fr_array *parts[] = {a, b};
            rc = fr_compute_concat(parts, 2, "key", &both[k], err);
        }
        fr_array_unref(a);
        fr_array_unref(b);
    }
    rc = rc == FR_OK ? fr_factor_init(f, (const fr_array *const *)both, n, false, err)
                     : rc;
    for (size_t k = 0; k < n; k++) {
        fr_array_unref(both[k]);
    }
    fr_free(both);
    return rc;
}

static int match_numbers(fr_matches *m, fr_array *const *lk, fr_array *const *rk,
                         size_t n, int64_t nl, int64_t nr, fr_err *err)
{
    fr_factor f;
    int rc = number_both(lk, rk, n, &f, err);
    if (rc != FR_OK) {
        return rc;
    }
    uint32_t *first = fr_try_alloc(((size_t)f.groups + 1) * sizeof *first);
    if (first == NULL) {
        fr_factor_fini(&f);
        return fr_fail(err, FR_ENOMEM, "no memory to join");
    }
    memset(first, 0xff, ((size_t)f.groups + 1) * sizeof *first);
    const uint32_t *id = fr_factor_ids(&f), *right = id + nl;
    bool twice = false;
    for (int64_t i = nr; i-- > 0;) { // backwards: lists come in right order
        if (right[i] == FR_FACTOR_NULL) {
            m->next[i] = NO_ROW;
            continue;
        }
        m->next[i] = first[right[i]];
        twice = twice || first[right[i]] != NO_ROW;
        first[right[i]] = (uint32_t)i;
    }
    for (int64_t i = 0; i < nl; i++) {
        m->head[i] = id[i] == FR_FACTOR_NULL ? NO_ROW : first[id[i]];
    }
    m->next = twice ? m->next : NULL;
    fr_free(first);
    fr_factor_fini(&f);
    return FR_OK;
}

// --- one integer key ---

typedef struct slot {
    int64_t key;
    uint32_t row, unused;
} slot;

typedef struct probing {
    const fr_array *left, *right;
    slot *slots;
    fr_block *block;
    int shift;
    size_t mask;
    uint32_t *head;
    bool twice;
} probing;

static inline size_t place(const probing *p, int64_t key)
{
    return (size_t)(((uint64_t)key * UINT64_C(0x9e3779b97f4a7c15)) >> p->shift);
}

static int build(probing *p, uint32_t *next, fr_err *err)
{
    int64_t n = p->right->length;
    size_t capacity = 16;
    while (capacity < (size_t)n * 2) {
        capacity *= 2;
    }
    int rc = fr_block_new(capacity * sizeof(slot), &p->block, err);
    if (rc != FR_OK) {
        return rc;
    }
    p->slots = (slot *)(void *)p->block->data;
    p->mask = capacity - 1;
    p->shift = __builtin_clzll((uint64_t)capacity) + 1;
    memset(p->slots, 0xff, capacity * sizeof(slot));
    const int64_t *x = fr_array_i64(p->right);
    for (int64_t i = n; i-- > 0;) {
        if (i >= BATCH) {
            __builtin_prefetch(&p->slots[place(p, x[i - BATCH])], 1);
        }
        next[i] = NO_ROW;
        if (!fr_array_has(p->right, i)) {
            continue;
        }
        size_t at = place(p, x[i]);
        while (p->slots[at].row != NO_ROW && p->slots[at].key != x[i]) {
            at = (at + 1) & p->mask;
        }
        next[i] = p->slots[at].row;
        p->twice = p->twice || next[i] != NO_ROW;
        p->slots[at] = (slot){x[i], (uint32_t)i, 0};
    }
    return fr_compute_failed(err, fr_cancel_code());
}

static void probe_chunk(void *ctx, size_t c)
{
    probing *p = ctx;
    int64_t from = (int64_t)c * FR_CHUNK_ROWS,
            end = FR_MIN(from + FR_CHUNK_ROWS, p->left->length);
    const int64_t *x = fr_array_i64(p->left);
    size_t at[BATCH];
    for (; from < end; from += BATCH) {
        int64_t n = FR_MIN(end - from, BATCH);
        for (int64_t i = 0; i < n; i++) {
            at[i] = place(p, x[from + i]);
            __builtin_prefetch(&p->slots[at[i]]);
        }
        for (int64_t i = 0; i < n; i++) {
            const slot *s = &p->slots[at[i]];
            while (s->row != NO_ROW && s->key != x[from + i]) {
                at[i] = (at[i] + 1) & p->mask;
                s = &p->slots[at[i]];
            }
            p->head[from + i] = s->row;
        }
        for (int64_t i = 0; i < n && p->left->nulls > 0; i++) {
            if (!fr_array_has(p->left, from + i)) {
                p->head[from + i] = NO_ROW;
            }
        }
    }
}

static int match_integers(fr_matches *m, const fr_array *left, const fr_array *right,
                          fr_err *err)
{
    probing p = {.left = left, .right = right, .head = m->head};
    int rc = build(&p, m->next, err);
    if (rc == FR_OK) {
        rc = fr_pool_run(fr_compute_chunks(left->length), probe_chunk, &p);
        rc = fr_compute_failed(err, rc);
    }
    m->next = p.twice ? m->next : NULL;
    fr_block_unref(p.block);
    return rc;
}

int fr_matches_init(fr_matches *m, const fr_frame *left, const fr_frame *right,
                    fr_join_on on, fr_err *err)
{
    *m = (fr_matches){0};
    fr_array **keys = fr_zalloc((2 * on.n + 1) * sizeof *keys), **lk = keys,
             **rk = keys + on.n;
    int rc = fr_compute_check_rows(left->rows + right->rows, err);
    rc = rc == FR_OK ? fr_join_keys(left, right, on, lk, rk, err) : rc;
    size_t nl = (size_t)left->rows, nr = (size_t)right->rows;
    rc = rc == FR_OK ? fr_block_new(nl * sizeof(uint32_t), &m->head_block, err) : rc;
    rc = rc == FR_OK ? fr_block_new(nr * sizeof(uint32_t), &m->next_block, err) : rc;
    if (rc == FR_OK) {
        m->head = (uint32_t *)(void *)m->head_block->data;
        m->next = (uint32_t *)(void *)m->next_block->data;
        fr_kind k = lk[0]->type.kind;
        bool plain = on.n == 1 && (k == FR_INT64 || k == FR_TIMESTAMP || k == FR_TIME ||
                                   k == FR_DURATION);
        rc = plain ? match_integers(m, lk[0], rk[0], err)
                   : match_numbers(m, lk, rk, on.n, left->rows, right->rows, err);
    }
    for (size_t k = 0; k < 2 * on.n; k++) {
        fr_array_unref(keys[k]);
    }
    fr_free(keys);
    if (rc != FR_OK) {
        fr_matches_fini(m);
    }
    return rc;
}

void fr_matches_fini(fr_matches *m)
{
    fr_block_unref(m->head_block);
    fr_block_unref(m->next_block);
    *m = (fr_matches){0};
}
