#include "core/data/factor.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/compute.h"
#include "core/data/sort.h"
#include "core/data/sortkey.h"

#include <string.h>

// Codes: every row's key as one uint64 below `range`. Direct tables are used up to this
// size.
static const uint64_t DIRECT_MOST = UINT64_C(1) << 22;

enum { BATCH = 64 }; // rows whose hash slots are asked for together

typedef struct codes {
    uint64_t *code;
    fr_block *block;
    int64_t rows;
    uint64_t range; // codes are below it
    bool ordered;   // code order is key order
} codes;

#define NO_CODE UINT64_MAX

static void codes_fini(codes *c) { fr_block_unref(c->block); }

static int codes_init(codes *c, int64_t rows, fr_err *err)
{
    *c = (codes){.rows = rows};
    int rc = fr_block_new((size_t)rows * sizeof(uint64_t), &c->block, err);
    if (rc == FR_OK) {
        c->code = (uint64_t *)(void *)c->block->data;
    }
    return rc;
}

// --- one column to codes ---

typedef struct coding {
    const fr_array *a;
    uint64_t *code;
    uint64_t low, null;     // smallest key; the code of null
    const uint32_t *rank;   // CATEGORY: code -> rank by text
    uint64_t *lows, *highs; // per chunk
} coding;

static void range_chunk(void *ctx, size_t c)
{
    coding *g = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS,
            end = FR_MIN(at + FR_CHUNK_ROWS, g->a->length);
    uint64_t low = UINT64_MAX, high = 0;
    if (g->a->type.kind == FR_INT64 && g->a->nulls == 0) {
        const int64_t *x = fr_array_i64(g->a);
        int64_t least = INT64_MAX, most = INT64_MIN;
        for (int64_t i = at; i < end; i++) {
            least = x[i] < least ? x[i] : least;
            most = x[i] > most ? x[i] : most;
        }
        low = fr_sortkey_i64(least);
        high = fr_sortkey_i64(most);
    } else {
        for (int64_t i = at; i < end; i++) {
            if (fr_array_has(g->a, i)) {
                uint64_t k = fr_sortkey_of(g->a, i);
                low = FR_MIN(low, k);
                high = FR_MAX(high, k);
            }
        }
    }
    g->lows[c] = low;
    g->highs[c] = high;
}

static void code_chunk(void *ctx, size_t c)
{
    coding *g = ctx;
    const fr_array *a = g->a;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS, end = FR_MIN(at + FR_CHUNK_ROWS, a->length);
    if (a->type.kind == FR_INT64 && a->nulls == 0) {
        const int64_t *x = fr_array_i64(a);
        for (int64_t i = at; i < end; i++) {
            g->code[i] = fr_sortkey_i64(x[i]) - g->low;
        }
        return;
    }
    for (int64_t i = at; i < end; i++) {
        if (!fr_array_has(a, i)) {
            g->code[i] = g->null;
        } else if (g->rank != NULL) {
            g->code[i] = g->rank[fr_array_i32(a)[i]];
        } else {
            g->code[i] = fr_sortkey_of(a, i) - g->low;
        }
    }
}

static int code_wide(const fr_array *a, bool nulls, codes *c, fr_err *err);

static int code_numbers(const fr_array *a, bool nulls, codes *c, fr_err *err)
{
    size_t n = fr_compute_chunks(a->length);
    uint64_t *ends = fr_alloc(FR_MAX(2 * n, 1) * sizeof *ends);
    coding g = {.a = a, .code = c->code, .lows = ends, .highs = ends + n};
    int rc = fr_pool_run(n, range_chunk, &g);
    uint64_t low = UINT64_MAX, high = 0;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        low = FR_MIN(low, g.lows[i]);
        high = FR_MAX(high, g.highs[i]);
    }
    fr_free(ends);
    if (rc == FR_OK) {
        g.low = low > high ? 0 : low;
        high = low > high ? 0 : high;
        uint64_t width = high - g.low;
        if (width >= NO_CODE - 2) {
            return code_wide(a, nulls, c, err);
        }
        g.null = nulls ? width + 1 : NO_CODE;
        c->range = width + 2;
        c->ordered = true;
        rc = fr_pool_run(n, code_chunk, &g);
    }
    return fr_compute_failed(err, rc);
}

static int code_category(const fr_array *a, bool nulls, codes *c, fr_err *err)
{
    uint32_t *rank = fr_alloc(FR_MAX((size_t)a->dict->length, 1) * sizeof *rank);
    int rc = fr_sort_dictionary(a, rank, err);
    if (rc == FR_OK) {
        uint64_t n = (uint64_t)a->dict->length;
        coding g = {.a = a, .code = c->code, .rank = rank, .null = nulls ? n : NO_CODE};
        c->range = n + 1;
        c->ordered = true;
        rc = fr_compute_failed(err,
                               fr_pool_run(fr_compute_chunks(a->length), code_chunk, &g));
    }
    fr_free(rank);
    return rc;
}

// --- hashing ---

typedef struct slot {
    uint64_t key;
    uint32_t id, row; // id + 1; 0 is free
} slot;

typedef struct table {
    slot *slots;
    fr_block *block;
    size_t mask;
    uint32_t count;
} table;

static uint64_t mix(uint64_t k)
{
    k *= UINT64_C(0x9e3779b97f4a7c15);
    return k ^ k >> 32;
}

static int table_init(table *t, size_t slots, fr_err *err)
{
    *t = (table){.mask = slots - 1};
    int rc = fr_block_new_zero(slots * sizeof(slot), &t->block, err);
    if (rc == FR_OK) {
        t->slots = (slot *)(void *)t->block->data;
    }
    return rc;
}

static int table_grow(table *t, fr_err *err)
{
    table bigger;
    int rc = table_init(&bigger, (t->mask + 1) * 4, err);
    if (rc != FR_OK) {
        return rc;
    }
    for (size_t i = 0; i <= t->mask; i++) {
        if (t->slots[i].id != 0) {
            size_t at = mix(t->slots[i].key) & bigger.mask;
            while (bigger.slots[at].id != 0) {
                at = (at + 1) & bigger.mask;
            }
            bigger.slots[at] = t->slots[i];
        }
    }
    bigger.count = t->count;
    fr_block_unref(t->block);
    *t = bigger;
    return FR_OK;
}

static bool same_text(const fr_array *a, int64_t i, int64_t j)
{
    size_t n, m;
    const char *s = fr_array_text(a, i, &n), *t = fr_array_text(a, j, &m);
    return n == m && memcmp(s, t, n) == 0;
}

// Numbers keys by first appearance. text: keys are hashes of its rows, which are
// compared.
static int number_keys(const uint64_t *key, int64_t n, const fr_array *text,
                       uint32_t *ids, table *t, fr_err *err)
{
    for (int64_t from = 0; from < n; from += BATCH) {
        int64_t end = FR_MIN(from + BATCH, n);
        if ((size_t)t->count + BATCH > (t->mask + 1) / 2) {
            int rc = table_grow(t, err);
            if (rc != FR_OK) {
                return rc;
            }
        }
        for (int64_t i = from; i < end; i++) {
            __builtin_prefetch(&t->slots[mix(key[i]) & t->mask]);
        }
        for (int64_t i = from; i < end; i++) {
            if (key[i] == NO_CODE) {
                ids[i] = FR_FACTOR_NULL;
                continue;
            }
            size_t at = mix(key[i]) & t->mask;
            while (t->slots[at].id != 0 &&
                   (t->slots[at].key != key[i] ||
                    (text != NULL && !same_text(text, i, t->slots[at].row)))) {
                at = (at + 1) & t->mask;
            }
            if (t->slots[at].id == 0) {
                t->slots[at] = (slot){key[i], ++t->count, (uint32_t)i};
            }
            ids[i] = t->slots[at].id - 1;
        }
        if (from % FR_CHUNK_ROWS == 0 && fr_cancelled()) {
            return fr_compute_failed(err, fr_cancel_code());
        }
    }
    return FR_OK;
}

static int hash_codes(const codes *c, const fr_array *text, fr_factor *f, fr_err *err)
{
    table t;
    int rc = table_init(&t, 1 << 12, err);
    if (rc == FR_OK) {
        rc = number_keys(c->code, c->rows, text, fr_factor_ids(f), &t, err);
    }
    if (rc == FR_OK) {
        f->groups = t.count;
        rc = fr_block_new(t.count * sizeof(uint32_t), &f->first, err);
    }
    if (rc == FR_OK) {
        for (size_t i = 0; i <= t.mask; i++) {
            if (t.slots[i].id != 0) {
                fr_factor_first(f)[t.slots[i].id - 1] = t.slots[i].row;
            }
        }
    }
    fr_block_unref(t.block);
    return rc;
}

static void hash_text_chunk(void *ctx, size_t c)
{
    coding *g = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS,
            end = FR_MIN(at + FR_CHUNK_ROWS, g->a->length);
    for (int64_t i = at; i < end; i++) {
        if (fr_array_has(g->a, i)) {
            size_t n;
            const char *s = fr_array_text(g->a, i, &n);
            g->code[i] = fr_hash_bytes(s, n).lo & ~UINT64_C(1); // never NO_CODE
        } else {
            g->code[i] = NO_CODE;
        }
    }
}

// Text to codes 0, 1, 2 by first appearance, null last.
static int code_text(const fr_array *a, bool nulls, codes *c, fr_err *err)
{
    coding g = {.a = a, .code = c->code};
    fr_factor f = {.rows = a->length};
    int rc = fr_compute_failed(
        err, fr_pool_run(fr_compute_chunks(a->length), hash_text_chunk, &g));
    rc = rc == FR_OK ? fr_block_new((size_t)a->length * sizeof(uint32_t), &f.ids, err)
                     : rc;
    rc = rc == FR_OK ? hash_codes(c, a, &f, err) : rc;
    if (rc == FR_OK) {
        const uint32_t *id = fr_factor_ids(&f);
        uint64_t null = nulls ? (uint64_t)f.groups : NO_CODE;
        for (int64_t i = 0; i < a->length; i++) {
            c->code[i] = id[i] == FR_FACTOR_NULL ? null : id[i];
        }
        c->range = (uint64_t)f.groups + 1;
    }
    fr_factor_fini(&f);
    return rc;
}

static int code_column(const fr_array *a, bool nulls, codes *c, fr_err *err)
{
    int rc = codes_init(c, a->length, err);
    if (rc != FR_OK) {
        return rc;
    }
    switch ((int)a->type.kind) {
    case FR_UTF8:
        return code_text(a, nulls, c, err);
    case FR_CATEGORY:
        return code_category(a, nulls, c, err);
    default:
        return code_numbers(a, nulls, c, err);
    }
}

// --- codes to ids ---

static int direct_codes(const codes *c, fr_factor *f, fr_err *err)
{
    fr_block *block;
    size_t range = (size_t)c->range;
    int rc = fr_block_new(range * sizeof(uint32_t), &block, err);
    if (rc != FR_OK) {
        return rc;
    }
    uint32_t *slots = (uint32_t *)(void *)block->data, *ids = fr_factor_ids(f);
    memset(slots, 0xff, range * sizeof *slots);
    int64_t groups = 0;
    for (int64_t i = 0; i < c->rows; i++) {
        if (c->code[i] != NO_CODE && slots[c->code[i]] == UINT32_MAX) {
            slots[c->code[i]] = (uint32_t)i;
            groups++;
        }
    }
    rc = fr_block_new((size_t)groups * sizeof(uint32_t), &f->first, err);
    if (rc == FR_OK) {
        uint32_t id = 0;
        for (size_t s = 0; s < range; s++) {
            if (slots[s] != UINT32_MAX) {
                fr_factor_first(f)[id] = slots[s];
                slots[s] = id++;
            }
        }
        for (int64_t i = 0; i < c->rows; i++) {
            ids[i] = c->code[i] == NO_CODE ? FR_FACTOR_NULL : slots[c->code[i]];
        }
        f->groups = groups;
        f->sorted = c->ordered;
    }
    fr_block_unref(block);
    return rc;
}

static int number_codes(const codes *c, fr_factor *f, fr_err *err)
{
    f->rows = c->rows;
    int rc = fr_block_new((size_t)c->rows * sizeof(uint32_t), &f->ids, err);
    if (rc != FR_OK) {
        return rc;
    }
    // A direct table pays while it is not much larger than the rows that fill it.
    uint64_t most = FR_MIN(DIRECT_MOST, FR_MAX((uint64_t)c->rows * 4, 1024));
    bool direct = c->range <= most;
    rc = direct ? direct_codes(c, f, err) : hash_codes(c, NULL, f, err);
    if (rc != FR_OK) {
        fr_factor_fini(f);
    }
    return rc;
}

// Makes codes small enough to be combined with those of the next column.
static int densify(codes *c, fr_err *err)
{
    fr_factor f = {0};
    int rc = number_codes(c, &f, err);
    if (rc != FR_OK) {
        return rc;
    }
    const uint32_t *id = fr_factor_ids(&f);
    for (int64_t i = 0; i < c->rows; i++) {
        c->code[i] = id[i] == FR_FACTOR_NULL ? NO_CODE : id[i];
    }
    c->range = (uint64_t)f.groups + 1;
    c->ordered = f.sorted;
    fr_factor_fini(&f);
    return FR_OK;
}

// Integers from end to end of 64 bits leave no code for null: the upper half is numbered.
static int code_wide(const fr_array *a, bool nulls, codes *c, fr_err *err)
{
    uint64_t null = UINT64_C(1) << 32;
    for (int64_t i = 0; i < a->length; i++) {
        bool there = fr_array_has(a, i);
        c->code[i] = there ? fr_sortkey_of(a, i) >> 32 : nulls ? null : NO_CODE;
    }
    c->range = null + 1;
    int rc = densify(c, err);
    for (int64_t i = 0; rc == FR_OK && i < a->length; i++) {
        uint64_t low = fr_array_has(a, i) ? fr_sortkey_of(a, i) & UINT32_MAX : 0;
        c->code[i] = c->code[i] == NO_CODE ? NO_CODE : c->code[i] << 32 | low;
    }
    c->range <<= 32;
    c->ordered = false;
    return rc;
}

static bool product_fits(const codes *a, const codes *b)
{
    uint64_t p;
    return !__builtin_mul_overflow(a->range, b->range, &p) && p < UINT64_C(1) << 63;
}

static int combine(codes *all, const fr_array *key, bool nulls, fr_err *err)
{
    codes next;
    int rc = code_column(key, nulls, &next, err);
    if (rc == FR_OK && !product_fits(all, &next)) {
        rc = densify(all, err);
    }
    if (rc == FR_OK && !product_fits(all, &next)) {
        rc = densify(&next, err);
    }
    if (rc == FR_OK && !product_fits(all, &next)) {
        rc = fr_fail(err, FR_ELIMIT, "too many different keys");
    }
    if (rc == FR_OK) {
        for (int64_t i = 0; i < all->rows; i++) {
            bool none = all->code[i] == NO_CODE || next.code[i] == NO_CODE;
            all->code[i] = none ? NO_CODE : all->code[i] * next.range + next.code[i];
        }
        all->range *= next.range;
        all->ordered = all->ordered && next.ordered;
    }
    codes_fini(&next);
    return rc;
}

int fr_factor_init(fr_factor *f, const fr_array *const *keys, size_t n, bool nulls,
                   fr_err *err)
{
    FR_ASSERT(n > 0);
    *f = (fr_factor){0};
    int rc = fr_compute_check_rows(keys[0]->length, err);
    if (rc != FR_OK) {
        return rc;
    }
    codes all;
    rc = code_column(keys[0], nulls, &all, err);
    for (size_t k = 1; k < n && rc == FR_OK; k++) {
        rc = combine(&all, keys[k], nulls, err);
    }
    if (rc == FR_OK) {
        rc = number_codes(&all, f, err);
    }
    codes_fini(&all);
    return rc;
}

void fr_factor_fini(fr_factor *f)
{
    fr_block_unref(f->ids);
    fr_block_unref(f->first);
    *f = (fr_factor){0};
}

int fr_factor_sort(fr_factor *f, const fr_array *const *keys, size_t n, fr_err *err)
{
    if (f->sorted || f->groups < 2) {
        f->sorted = true;
        return FR_OK;
    }
    size_t groups = (size_t)f->groups;
    fr_array **picked = fr_zalloc(n * sizeof(fr_array *));
    fr_sort_key *by = fr_zalloc(n * sizeof *by);
    uint32_t *rank = fr_alloc(groups * sizeof *rank),
             *first = fr_alloc(groups * sizeof *first);
    fr_block *order = NULL;
    int rc = FR_OK;
    for (size_t k = 0; k < n && rc == FR_OK; k++) {
        rc = fr_compute_take(keys[k], fr_factor_first(f), f->groups, false, &picked[k],
                             err);
        by[k].array = picked[k];
    }
    if (rc == FR_OK) {
        rc = fr_sort_order(by, n, &order, err);
    }
    if (rc == FR_OK) {
        const uint32_t *o = (const uint32_t *)(const void *)order->data;
        uint32_t *ids = fr_factor_ids(f);
        for (size_t g = 0; g < groups; g++) {
            rank[o[g]] = (uint32_t)g;
            first[g] = fr_factor_first(f)[o[g]];
        }
        for (int64_t i = 0; i < f->rows; i++) {
            ids[i] = ids[i] == FR_FACTOR_NULL ? FR_FACTOR_NULL : rank[ids[i]];
        }
        memcpy(f->first->data, first, groups * sizeof *first);
        f->sorted = true;
    }
    for (size_t k = 0; k < n; k++) {
        fr_array_unref(picked[k]);
    }
    fr_free(picked);
    fr_free(by);
    fr_free(rank);
    fr_free(first);
    fr_block_unref(order);
    return rc;
}

int fr_factor_count(const fr_array *a, int64_t *distinct, fr_err *err)
{
    fr_factor f;
    const fr_array *key = a;
    int rc = fr_factor_init(&f, &key, 1, false, err);
    *distinct = rc == FR_OK ? f.groups : 0;
    fr_factor_fini(&f);
    return rc;
}

int fr_factor_lists(const fr_factor *f, fr_block **rows, fr_block **start, fr_err *err)
{
    *rows = *start = NULL;
    size_t groups = (size_t)f->groups;
    int rc = fr_block_new((size_t)f->rows * sizeof(uint32_t), rows, err);
    rc =
        rc == FR_OK ? fr_block_new_zero((groups + 2) * sizeof(uint32_t), start, err) : rc;
    if (rc != FR_OK) {
        fr_block_unref(*rows);
        *rows = NULL;
        return rc;
    }
    const uint32_t *ids = fr_factor_ids(f);
    uint32_t *to = (uint32_t *)(void *)(*rows)->data,
             *s = (uint32_t *)(void *)(*start)->data;
    // s[g + 2] counts, then s[g + 1] is where g goes on, and in the end s[g] where it
    // starts.
    for (int64_t i = 0; i < f->rows; i++) {
        if (ids[i] != FR_FACTOR_NULL) {
            s[ids[i] + (size_t)2]++;
        }
    }
    for (size_t g = 0; g < groups; g++) {
        s[g + 2] += s[g + 1];
    }
    for (int64_t i = 0; i < f->rows; i++) {
        if (ids[i] != FR_FACTOR_NULL) {
            to[s[ids[i] + (size_t)1]++] = (uint32_t)i;
        }
    }
    return FR_OK;
}
