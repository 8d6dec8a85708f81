// The nearest earlier (or later) row. The right side is sorted by (by keys, at); each
// left row searches its own stretch, so the left needs no order.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/factor.h"
#include "core/data/join_int.h"
#include "core/data/sort.h"
#include "core/data/sortkey.h"
#include "core/data/when.h"

#include <math.h>
#include <string.h>

typedef struct seeking {
    const fr_array *at_left, *at_right; // of one type
    const uint32_t *group_left;         // NULL without `by`
    const uint32_t *order;              // right rows by (group, at)
    const uint32_t *start;              // of each group in `order`
    uint64_t *keys;                     // sortkeys of at_right in that order
    fr_asof direction;
    double tolerance;
    uint32_t *found;
} seeking;

// Null and NaN are near nothing.
static bool usable(const fr_array *a, int64_t i)
{
    bool floats = a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32;
    return fr_array_has(a, i) && !(floats && isnan(fr_array_number(a, i)));
}

// How far b is after a, in the unit of the tolerance.
static double distance(const seeking *s, uint64_t a, uint64_t b)
{
    const fr_type *t = &s->at_right->type;
    if (t->kind == FR_FLOAT64 || t->kind == FR_FLOAT32) {
        return fr_sortkey_to_f64(b) - fr_sortkey_to_f64(a);
    }
    double d = (double)(b - a); // sortkeys of integers keep differences
    bool unit = t->kind == FR_TIMESTAMP || t->kind == FR_DURATION;
    double nanos = unit                 ? 1e9 / (double)fr_unit_per_second(t->unit)
                   : t->kind == FR_DATE ? 86400e9
                                        : 1;
    return d * nanos;
}

// The first place in [low, high) whose key is above `key` (or not below it).
static uint32_t bound(const uint64_t *keys, uint32_t low, uint32_t high, uint64_t key,
                      bool above)
{
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        bool before = above ? keys[mid] <= key : keys[mid] < key;
        low = before ? mid + 1 : low;
        high = before ? high : mid;
    }
    return low;
}

static uint32_t seek(const seeking *s, int64_t i)
{
    uint32_t group = s->group_left != NULL ? s->group_left[i] : 0;
    if (group == FR_FACTOR_NULL || !usable(s->at_left, i)) {
        return NO_ROW;
    }
    uint32_t low = s->start[group], high = s->start[group + 1];
    uint64_t key = fr_sortkey_of(s->at_left, i);
    uint32_t after = bound(s->keys, low, high, key, true), back = NO_ROW, ahead = NO_ROW;
    if (after > low && s->direction != FR_ASOF_FORWARD) {
        back = after - 1;
    }
    if (s->direction != FR_ASOF_BACKWARD) {
        bool same = after > low && s->keys[after - 1] == key;
        ahead = same ? after - 1 : after < high ? after : NO_ROW;
        if (!same && ahead != NO_ROW) { // of equal ones the last
            ahead = bound(s->keys, ahead, high, s->keys[ahead], true) - 1;
        }
    }
    double behind = back != NO_ROW ? distance(s, s->keys[back], key) : (double)INFINITY;
    double before = ahead != NO_ROW ? distance(s, key, s->keys[ahead]) : (double)INFINITY;
    uint32_t best = behind <= before && back != NO_ROW ? back : ahead;
    double far = FR_MIN(behind, before);
    bool near = s->tolerance < 0 || far <= s->tolerance;
    return best != NO_ROW && near ? s->order[best] : NO_ROW;
}

static void seek_chunk(void *ctx, size_t c)
{
    seeking *s = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS,
            end = FR_MIN(at + FR_CHUNK_ROWS, s->at_left->length);
    for (; at < end; at++) {
        s->found[at] = seek(s, at);
    }
}

// Groups of the by keys of left and right rows, one after the other.
static int group_both(const fr_frame *left, const fr_frame *right, fr_join_on by,
                      fr_factor *f, fr_err *err)
{
    fr_array **keys = fr_zalloc((3 * by.n + 1) * sizeof *keys), **both = keys + 2 * by.n;
    int rc = fr_join_keys(left, right, by, keys, keys + by.n, err);
    for (size_t k = 0; k < by.n && rc == FR_OK; k++) {
        const fr_array *parts[] = {keys[k], keys[by.n + k]};
        rc = fr_compute_concat(parts, 2, by.left[k], &both[k], err);
    }
    rc = rc == FR_OK ? fr_factor_init(f, (const fr_array *const *)both, by.n, false, err)
                     : rc;
    for (size_t k = 0; k < 3 * by.n; k++) {
        fr_array_unref(keys[k]);
    }
    fr_free(keys);
    return rc;
}

// Right rows that can match (key and `at` present), sorted by group and `at`.
static int order_right(seeking *s, const uint32_t *group, int64_t groups,
                       fr_block **order, uint32_t **start, fr_err *err)
{
    int64_t n = s->at_right->length;
    fr_array *number;
    int rc = fr_array_new(fr_type_of(FR_UINT32), n, 0, &number, err);
    if (rc != FR_OK) {
        return rc;
    }
    uint32_t *g = (uint32_t *)(void *)number->values->data;
    for (int64_t i = 0; i < n; i++) { // FR_FACTOR_NULL sorts behind all groups
        bool there = usable(s->at_right, i);
        g[i] = !there ? FR_FACTOR_NULL : group != NULL ? group[i] : 0;
    }
    fr_sort_key by[] = {{.array = number}, {.array = s->at_right}};
    rc = fr_sort_order(by, 2, order, err);
    if (rc == FR_OK) {
        const uint32_t *o = (const uint32_t *)(const void *)(*order)->data;
        *start = fr_zalloc(((size_t)groups + 2) * sizeof **start);
        s->keys = fr_alloc(((size_t)n + 1) * sizeof *s->keys);
        for (int64_t i = 0; i < n && g[o[i]] != FR_FACTOR_NULL; i++) {
            (*start)[g[o[i]] + 1]++;
            s->keys[i] = fr_sortkey_of(s->at_right, o[i]);
        }
        for (int64_t k = 0; k < groups; k++) {
            (*start)[k + 1] += (*start)[k];
        }
        s->order = o;
        s->start = *start;
    }
    fr_array_unref(number);
    return rc;
}

static int find_rows(seeking *s, const fr_frame *left, const fr_frame *right,
                     fr_join_on by, fr_block **found, fr_err *err)
{
    fr_factor f = {.groups = 1};
    fr_block *order = NULL;
    uint32_t *start = NULL;
    int rc = by.n > 0 ? group_both(left, right, by, &f, err) : FR_OK;
    const uint32_t *ids = f.ids != NULL ? fr_factor_ids(&f) : NULL;
    s->group_left = ids;
    if (rc == FR_OK) {
        rc = order_right(s, ids != NULL ? ids + left->rows : NULL, f.groups, &order,
                         &start, err);
    }
    rc = rc == FR_OK ? fr_block_new((size_t)left->rows * sizeof(uint32_t), found, err)
                     : rc;
    if (rc == FR_OK) {
        s->found = (uint32_t *)(void *)(*found)->data;
        rc = fr_compute_failed(err,
                               fr_pool_run(fr_compute_chunks(left->rows), seek_chunk, s));
    }
    fr_block_unref(order);
    fr_free(start);
    fr_free(s->keys);
    fr_factor_fini(&f);
    return rc;
}

int fr_join_asof(const fr_frame *left, const fr_frame *right, const char *at_left,
                 const char *at_right, fr_join_on by, fr_asof direction, double tolerance,
                 const char *suffix, fr_frame **out, fr_err *err)
{
    *out = NULL;
    fr_array *at[2] = {NULL, NULL};
    fr_join_on on = {&at_left, &at_right, 1};
    int rc = fr_compute_check_rows(left->rows + right->rows, err);
    rc = rc == FR_OK ? fr_join_keys(left, right, on, &at[0], &at[1], err) : rc;
    fr_kind kind = rc == FR_OK ? at[0]->type.kind : FR_INT64;
    if (rc == FR_OK && !fr_kind_number(kind) && !fr_kind_temporal(kind)) {
        char name[64];
        rc = fr_fail(err, FR_ETYPE, "join_asof: \"%s\" is %s, expected numbers or times",
                     at_left, fr_type_name(&at[0]->type, name));
    }
    fr_block *found = NULL;
    seeking s = {.at_left = at[0],
                 .at_right = at[1],
                 .direction = direction,
                 .tolerance = tolerance};
    rc = rc == FR_OK ? find_rows(&s, left, right, by, &found, err) : rc;
    if (rc == FR_OK) {
        // The right's `at` stays: how old the match is matters. Only `by` keys are
        // dropped.
        const uint32_t *r = (const uint32_t *)(const void *)found->data;
        rc = fr_join_assemble(left, right, by, suffix, NULL, r, left->rows, 0, out, err);
    }
    fr_block_unref(found);
    fr_array_unref(at[0]);
    fr_array_unref(at[1]);
    return rc;
}
