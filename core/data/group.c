#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/group_int.h"

#include <math.h>
#include <string.h>

// A direct table up to this many slots: their accumulators stay in the second-level
// cache.
enum {
    DIRECT_SLOTS = 1 << 15,
    SEGMENT_ROWS = 1 << 18,
    SEGMENTS_MOST = 64,
    SAMPLE = 4096
};

#define INLINE static inline __attribute__((always_inline))

// --- numbers of rows ---

typedef struct ranging {
    const int64_t *x;
    int64_t n, *low, *high;
} ranging;

static void range_chunk(void *ctx, size_t c)
{
    ranging *r = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS, end = FR_MIN(at + FR_CHUNK_ROWS, r->n);
    int64_t low = INT64_MAX, high = INT64_MIN;
    for (int64_t i = at; i < end; i++) {
        low = r->x[i] < low ? r->x[i] : low;
        high = r->x[i] > high ? r->x[i] : high;
    }
    r->low[c] = low;
    r->high[c] = high;
}

static int find_range(const fr_group *g, int64_t *low, int64_t *high, fr_err *err)
{
    size_t n = fr_compute_chunks(g->rows);
    int64_t *ends = fr_alloc(2 * n * sizeof *ends);
    ranging r = {fr_array_i64(g->keys[0]), g->rows, ends, ends + n};
    int rc = fr_compute_failed(err, fr_pool_run(n, range_chunk, &r));
    *low = INT64_MAX;
    *high = INT64_MIN;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        *low = FR_MIN(*low, r.low[i]);
        *high = FR_MAX(*high, r.high[i]);
    }
    fr_free(ends);
    return rc;
}

static bool use_range(fr_group *g, int64_t low, int64_t high)
{
    if ((uint64_t)high - (uint64_t)low >= DIRECT_SLOTS) {
        return false;
    }
    g->direct = true;
    g->low = low;
    g->slots = (size_t)(high - low) + 1;
    return true;
}

// Guesses the range from some rows, with room at both ends, which saves a pass over all
// of them; the pass that follows finds out when a key is outside.
static bool guess_range(fr_group *g)
{
    const int64_t *x = fr_array_i64(g->keys[0]);
    int64_t low = x[0], high = x[0], step = g->rows / SAMPLE;
    for (int64_t i = 0; i < g->rows; i += step) {
        low = FR_MIN(low, x[i]);
        high = FR_MAX(high, x[i]);
    }
    uint64_t width = (uint64_t)high - (uint64_t)low;
    int64_t room = (int64_t)(width / 8) + 16;
    return width < DIRECT_SLOTS && low > INT64_MIN + room && high < INT64_MAX - room &&
           use_range(g, low - room, high + room);
}

// One integer key of a small range needs no numbering at all.
static int try_direct(fr_group *g, bool guess, fr_err *err)
{
    const fr_array *key = g->nkeys == 1 ? g->keys[0] : NULL;
    g->direct = false;
    if (key == NULL || key->type.kind != FR_INT64 || key->nulls > 0 || g->rows == 0) {
        return FR_OK;
    }
    g->checked = !(guess && g->rows >= 16 * SAMPLE && guess_range(g));
    if (!g->checked) {
        return FR_OK;
    }
    int64_t low, high;
    int rc = find_range(g, &low, &high, err);
    if (rc == FR_OK) {
        (void)use_range(g, low, high);
    }
    return rc;
}

static int number_rows(fr_group *g, bool guess, fr_err *err)
{
    atomic_store(&g->escaped, false);
    if (g->nkeys == 0) {
        return FR_OK;
    }
    int rc = try_direct(g, guess, err);
    if (rc == FR_OK && !g->direct) {
        rc = fr_factor_init(&g->factor, g->keys, g->nkeys, true, err);
        rc = rc == FR_OK ? fr_factor_sort(&g->factor, g->keys, g->nkeys, err) : rc;
        g->slots = (size_t)g->factor.groups;
    }
    return rc;
}

int fr_group_new(const fr_array *const *keys, size_t n, int64_t rows, fr_group **out,
                 fr_err *err)
{
    *out = NULL;
    fr_group *g = fr_zalloc(sizeof *g);
    *g = (fr_group){.nkeys = n, .rows = rows, .slots = 1};
    g->keys = fr_alloc((n + 1) * sizeof(fr_array *));
    for (size_t k = 0; k < n; k++) {
        g->keys[k] = fr_array_ref(keys[k]);
    }
    int rc = fr_compute_check_rows(rows, err);
    rc = rc == FR_OK ? number_rows(g, true, err) : rc;
    if (rc != FR_OK) {
        fr_group_free(g);
        return rc;
    }
    *out = g;
    return FR_OK;
}

void fr_group_free(fr_group *g)
{
    if (g != NULL) {
        fr_factor_fini(&g->factor);
        for (size_t k = 0; k < g->nkeys; k++) {
            fr_array_unref(g->keys[k]);
        }
        fr_free((void *)g->keys);
        fr_free(g->sizes);
        fr_free(g->used);
        fr_free(g);
    }
}

// Whether all keys have a slot; the numbers of those without mean nothing.
INLINE bool number_keys(const int64_t *restrict x, size_t n, int64_t low, uint64_t slots,
                        uint32_t *restrict to)
{
    uint64_t most = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t id = (uint64_t)x[i] - (uint64_t)low;
        most = id > most ? id : most;
        to[i] = (uint32_t)id;
    }
    return most < slots;
}

static bool number_keys_plain(const int64_t *x, size_t n, int64_t low, uint64_t slots, uint32_t *to)
{
    return number_keys(x, n, low, slots, to);
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vl"))) static bool
number_keys_wide(const int64_t *x, size_t n, int64_t low, uint64_t slots, uint32_t *to)
{
    return number_keys(x, n, low, slots, to);
}

static bool has_wide(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
}
#else
#define number_keys_wide number_keys_plain
static bool has_wide(void) { return false; }
#endif

const uint32_t *fr_group_ids(const fr_group *g, int64_t at, int64_t n, uint32_t *buffer)
{
    if (g->nkeys == 0) {
        memset(buffer, 0, (size_t)n * sizeof *buffer);
        return buffer;
    }
    if (!g->direct) {
        return fr_factor_ids(&g->factor) + at;
    }
    const int64_t *x = fr_array_i64(g->keys[0]) + at;
    bool inside = has_wide() ? number_keys_wide(x, (size_t)n, g->low, g->slots, buffer)
                         : number_keys_plain(x, (size_t)n, g->low, g->slots, buffer);
    if (!inside) { // only while the range is a guess
        atomic_store(&((fr_group *)(uintptr_t)g)->escaped, true);
        memset(buffer, 0, (size_t)n * sizeof *buffer);
    }
    return buffer;
}

size_t fr_group_segments(const fr_group *g)
{
    int64_t rows = FR_MAX(SEGMENT_ROWS, (int64_t)g->slots * 16);
    return (size_t)FR_MIN(FR_MAX(g->rows / rows, 1), SEGMENTS_MOST);
}

size_t fr_lane_fold_rows(const fr_group *g)
{
    return (FR_MAX(g->slots * 64, MORSEL) + MORSEL - 1) / MORSEL * MORSEL;
}

// --- the pass over all rows ---

typedef struct passing {
    fr_group *g;
    fr_lane **lanes;
    size_t nlanes, segments, fold;
    int64_t *sizes; // slots per segment, when they are not known yet
} passing;

static void run_segment(void *ctx, size_t k)
{
    passing *p = ctx;
    int64_t per = (p->g->rows / (int64_t)p->segments + MORSEL) / MORSEL * MORSEL;
    int64_t at = FR_MIN((int64_t)k * per, p->g->rows), end = FR_MIN(at + per, p->g->rows);
    end = k + 1 == p->segments ? p->g->rows : end;
    uint32_t buffer[MORSEL];
    size_t since = 0;
    for (; at < end && !atomic_load_explicit(&p->g->escaped, memory_order_relaxed);
         at += MORSEL) {
        int64_t n = FR_MIN(end - at, MORSEL);
        const uint32_t *ids = fr_group_ids(p->g, at, n, buffer);
        if (p->sizes != NULL) {
            int64_t *sizes = p->sizes + k * p->g->slots;
            for (int64_t i = 0; i < n; i++) {
                sizes[ids[i]]++;
            }
        }
        since += MORSEL;
        for (size_t l = 0; l < p->nlanes; l++) {
            fr_lane_run(p->lanes[l], k, at, n, ids);
            if (since >= p->fold) {
                fr_lane_fold(p->lanes[l], k);
            }
        }
        since = since >= p->fold ? 0 : since;
    }
    for (size_t l = 0; l < p->nlanes; l++) {
        fr_lane_fold(p->lanes[l], k);
    }
}

static void keep_sizes(fr_group *g, int64_t *sizes, size_t segments)
{
    for (size_t k = 1; k < segments; k++) {
        for (size_t s = 0; s < g->slots; s++) {
            sizes[s] += sizes[k * g->slots + s];
        }
    }
    g->sizes = sizes;
    g->used = fr_alloc(FR_MAX(g->slots, 1) * sizeof *g->used);
    for (size_t s = 0; s < g->slots; s++) {
        if (sizes[s] > 0 || g->nkeys == 0) {
            g->used[g->groups++] = (uint32_t)s;
        }
    }
    g->counted = true;
}

static const fr_lane *counting_lane(fr_lane *const *lanes, size_t n)
{
    for (size_t l = 0; l < n; l++) {
        if (fr_lane_counts_rows(lanes[l])) {
            return lanes[l];
        }
    }
    return NULL;
}

// Lanes that met NaN without looking for it run once more.
static int run_again(const passing *first, fr_err *err)
{
    passing p = *first;
    p.lanes = fr_alloc((p.nlanes + 1) * sizeof(fr_lane *));
    p.nlanes = 0;
    p.sizes = NULL;
    for (size_t l = 0; l < first->nlanes; l++) {
        if (fr_lane_again(first->lanes[l])) {
            p.lanes[p.nlanes++] = first->lanes[l];
        }
    }
    int rc = p.nlanes > 0 ? fr_pool_run(p.segments, run_segment, &p) : FR_OK;
    fr_free(p.lanes);
    return fr_compute_failed(err, rc);
}

// One pass over all rows. When a key was outside of the guessed range nothing is kept and
// g->escaped tells.
static int pass(fr_group *g, fr_lane **lanes, size_t nlanes, fr_err *err)
{
    passing p = {g, lanes, nlanes, fr_group_segments(g), fr_lane_fold_rows(g), NULL};
    const fr_lane *counts = counting_lane(lanes, nlanes);
    if (!g->counted && counts == NULL) {
        p.sizes = fr_zalloc(FR_MAX(p.segments * g->slots, 1) * sizeof *p.sizes);
    }
    int rc = fr_compute_failed(err, fr_pool_run(p.segments, run_segment, &p));
    if (rc != FR_OK || atomic_load(&g->escaped)) {
        fr_free(p.sizes);
        return rc;
    }
    rc = run_again(&p, err);
    if (rc != FR_OK) {
        fr_free(p.sizes);
        return rc;
    }
    for (size_t l = 0; l < nlanes; l++) {
        fr_lane_merge(lanes[l], p.segments);
    }
    if (p.sizes != NULL) {
        keep_sizes(g, p.sizes, p.segments);
    } else if (!g->counted) {
        int64_t *sizes = fr_alloc(FR_MAX(g->slots, 1) * sizeof *sizes);
        for (size_t s = 0; s < g->slots; s++) {
            sizes[s] = fr_lane_rows(counts, s);
        }
        keep_sizes(g, sizes, 1);
    }
    return FR_OK;
}

int fr_group_count_slots(fr_group *g, fr_err *err)
{
    int rc = g->counted ? FR_OK : pass(g, NULL, 0, err);
    if (rc == FR_OK && atomic_load(&g->escaped)) {
        rc = number_rows(g, false, err);
        rc = rc == FR_OK ? pass(g, NULL, 0, err) : rc;
    }
    return rc;
}

int fr_group_count(fr_group *g, int64_t *groups, fr_err *err)
{
    int rc = fr_group_count_slots(g, err);
    *groups = (int64_t)g->groups;
    return rc;
}

int fr_group_key(fr_group *g, size_t k, fr_array **out, fr_err *err)
{
    *out = NULL;
    FR_ASSERT(k < g->nkeys);
    int rc = fr_group_count_slots(g, err);
    if (rc != FR_OK) {
        return rc;
    }
    if (!g->direct) {
        return fr_compute_take(g->keys[k], fr_factor_first(&g->factor), g->factor.groups,
                               false, out, err);
    }
    rc = fr_array_new(g->keys[0]->type, (int64_t)g->groups, 0, out, err);
    for (size_t i = 0; i < g->groups && rc == FR_OK; i++) {
        ((int64_t *)(void *)(*out)->values->data)[i] = g->low + (int64_t)g->used[i];
    }
    return rc;
}

// --- calls that need rows, not sums ---

// Extreme, first or last row of each slot; FR_TAKE_NULL where there is none.
static int choose_rows(fr_group *g, const fr_group_call *c, uint32_t *best, fr_err *err)
{
    const fr_array *a = c->input;
    uint32_t buffer[MORSEL];
    memset(best, 0xff, g->slots * sizeof *best);
    for (int64_t at = 0; at < g->rows; at += MORSEL) {
        int64_t n = FR_MIN(g->rows - at, MORSEL);
        const uint32_t *ids = fr_group_ids(g, at, n, buffer);
        if (fr_cancelled()) {
            return fr_compute_failed(err, fr_cancel_code());
        }
        for (int64_t i = 0; i < n; i++) {
            uint32_t *b = &best[ids[i]], row = (uint32_t)(at + i);
            bool fresh = *b == FR_TAKE_NULL;
            if (c->op == FR_OP_FIRST || c->op == FR_OP_LAST) {
                *b = fresh || c->op == FR_OP_LAST ? row : *b;
            } else if (fr_array_has(a, row)) {
                int order = fresh ? 0 : fr_compute_compare(a, row, a, *b);
                bool better = c->op == FR_OP_MIN ? order < 0 : order > 0;
                *b = fresh || better ? row : *b;
            }
        }
    }
    return FR_OK;
}

static int by_rows(fr_group *g, const fr_group_call *c, fr_array **out, fr_err *err)
{
    uint32_t *best = fr_try_alloc((g->slots + 1) * sizeof *best);
    if (best == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu groups", g->slots);
    }
    int rc = fr_group_count_slots(g, err);
    rc = rc == FR_OK ? choose_rows(g, c, best, err) : rc;
    for (size_t i = 0; i < g->groups && rc == FR_OK; i++) {
        best[i] = best[g->used[i]];
    }
    rc = rc == FR_OK ? fr_compute_take(c->input, best, (int64_t)g->groups, true, out, err)
                     : rc;
    fr_free(best);
    return rc;
}

// Group numbers (places in the result, not slots) as a column.
static int numbers_column(fr_group *g, fr_array **out, fr_err *err)
{
    int rc = fr_group_count_slots(g, err);
    rc = rc == FR_OK ? fr_array_new(fr_type_of(FR_UINT32), g->rows, 0, out, err) : rc;
    if (rc != FR_OK) {
        return rc;
    }
    uint32_t *place = fr_alloc((g->slots + 1) * sizeof *place), buffer[MORSEL];
    uint32_t *to = (uint32_t *)(void *)(*out)->values->data;
    for (size_t i = 0; i < g->groups; i++) {
        place[g->used[i]] = (uint32_t)i;
    }
    for (int64_t at = 0; at < g->rows; at += MORSEL) {
        int64_t n = FR_MIN(g->rows - at, MORSEL);
        const uint32_t *ids = fr_group_ids(g, at, n, buffer);
        for (int64_t i = 0; i < n; i++) {
            to[at + i] = place[ids[i]];
        }
    }
    fr_free(place);
    return FR_OK;
}

// Distinct (group, value) pairs, counted per group.
static int count_distinct(fr_group *g, const fr_array *a, fr_array **out, fr_err *err)
{
    fr_array *numbers = NULL;
    fr_factor pairs = {0};
    int rc = numbers_column(g, &numbers, err);
    if (rc == FR_OK) {
        const fr_array *keys[] = {numbers, a};
        rc = fr_factor_init(&pairs, keys, 2, false, err);
    }
    rc = rc == FR_OK ? fr_array_new(fr_type_of(FR_INT64), (int64_t)g->groups, 0, out, err)
                     : rc;
    if (rc == FR_OK) {
        int64_t *count = (int64_t *)(void *)(*out)->values->data;
        memset(count, 0, g->groups * sizeof *count);
        const uint32_t *number = (const uint32_t *)(const void *)numbers->values->data;
        for (int64_t p = 0; p < pairs.groups; p++) {
            count[number[fr_factor_first(&pairs)[p]]]++;
        }
    }
    fr_factor_fini(&pairs);
    fr_array_unref(numbers);
    return rc;
}

typedef struct listing {
    const fr_array *values; // of all groups, one after another
    const uint32_t *start;
    const fr_group_call *call;
    fr_scalar *results;
    size_t groups;
} listing;

enum { LISTS_PER_CHUNK = 256 };

static int aggregate_lists(void *ctx, size_t c)
{
    listing *l = ctx;
    size_t end = FR_MIN((c + 1) * LISTS_PER_CHUNK, l->groups);
    for (size_t i = c * LISTS_PER_CHUNK; i < end; i++) {
        fr_array *part =
            fr_array_slice(l->values, l->start[i], l->start[i + 1] - l->start[i]);
        int rc =
            fr_compute_aggregate(part, l->call->op, l->call->q, &l->results[i], NULL);
        fr_array_unref(part);
        if (rc != FR_OK) {
            return rc;
        }
    }
    return FR_OK;
}

static int floats_of(const fr_scalar *v, size_t n, fr_array **out, fr_err *err)
{
    fr_builder *b = fr_builder_new(fr_type_of(FR_FLOAT64), (int64_t)n);
    int rc = FR_OK;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        rc = v[i].null ? fr_builder_null(b, err) : fr_builder_float(b, v[i].number, err);
    }
    rc = rc == FR_OK ? fr_builder_finish(b, out, err) : rc;
    fr_builder_free(b);
    return rc;
}

// Quantiles: the values of each group brought together, then one by one.
static int by_lists(fr_group *g, const fr_group_call *c, fr_array **out, fr_err *err)
{
    fr_array *numbers = NULL, *values = NULL;
    fr_block *rows = NULL, *start = NULL;
    int rc = numbers_column(g, &numbers, err);
    if (rc == FR_OK) {
        fr_factor f = {
            .ids = numbers->values, .rows = g->rows, .groups = (int64_t)g->groups};
        rc = fr_factor_lists(&f, &rows, &start, err);
    }
    if (rc == FR_OK) {
        rc = fr_compute_take(c->input, (const uint32_t *)(const void *)rows->data,
                             g->rows, false, &values, err);
    }
    if (rc == FR_OK) {
        listing l = {values, (const uint32_t *)(const void *)start->data, c,
                     fr_zalloc((g->groups + 1) * sizeof(fr_scalar)), g->groups};
        size_t chunks = (g->groups + LISTS_PER_CHUNK - 1) / LISTS_PER_CHUNK;
        rc = fr_compute_failed(err, fr_pool_try(chunks, aggregate_lists, &l));
        rc = rc == FR_OK ? floats_of(l.results, g->groups, out, err) : rc;
        fr_free(l.results);
    }
    fr_block_unref(rows);
    fr_block_unref(start);
    fr_array_unref(numbers);
    fr_array_unref(values);
    return rc;
}

// --- calls that lanes answer ---

typedef struct plan {
    const fr_array *input; // what the call names
    fr_array *cast;        // the same as FLOAT64 or int64
    unsigned stats;
    fr_lane *lane;
} plan;

static bool wide(fr_kind k) // stored as int64
{
    return k == FR_INT64 || k == FR_TIMESTAMP || k == FR_TIME || k == FR_DURATION;
}

static unsigned stats_of(fr_op op)
{
    switch ((int)op) {
    case FR_OP_SUM:
        return STAT_SUM;
    case FR_OP_MEAN:
        return STAT_SUM;
    case FR_OP_VAR:
    case FR_OP_STD:
        return STAT_MOMENTS;
    case FR_OP_MIN:
        return STAT_MIN;
    case FR_OP_MAX:
        return STAT_MAX;
    default:
        return 0;
    }
}

// Which representation a call's lane works on; 0 when it is none.
static fr_kind lane_kind(const fr_group_call *c)
{
    fr_kind k = c->input->type.kind;
    bool extreme = c->op == FR_OP_MIN || c->op == FR_OP_MAX;
    if (stats_of(c->op) == 0) {
        return (fr_kind)0;
    }
    if (k == FR_FLOAT64 || k == FR_FLOAT32 || c->op == FR_OP_VAR || c->op == FR_OP_STD) {
        return FR_FLOAT64;
    }
    if (extreme) {
        return wide(k) ? FR_INT64 : (fr_kind)0;
    }
    return k == FR_UINT64 && c->op == FR_OP_MEAN ? FR_FLOAT64 : FR_INT64;
}

static int add_plan(plan *plans, size_t *n, const fr_group_call *c, fr_err *err)
{
    fr_kind kind = lane_kind(c);
    if (kind == 0) {
        return FR_OK;
    }
    for (size_t i = 0; i < *n; i++) {
        bool floats = plans[i].cast->type.kind == FR_FLOAT64;
        if (plans[i].input == c->input && floats == (kind == FR_FLOAT64)) {
            plans[i].stats |= stats_of(c->op);
            return FR_OK;
        }
    }
    plan *p = &plans[(*n)++];
    p->input = c->input;
    p->stats = stats_of(c->op);
    if (kind == FR_INT64 && wide(c->input->type.kind)) {
        p->cast = fr_array_ref(c->input);
        return FR_OK;
    }
    return fr_compute_cast(c->input, fr_type_of(kind), &p->cast, err);
}

static const fr_lane *lane_of(const plan *plans, size_t n, const fr_group_call *c)
{
    bool floats = lane_kind(c) == FR_FLOAT64;
    if (lane_kind(c) == 0) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        if (plans[i].input == c->input &&
            (plans[i].cast->type.kind == FR_FLOAT64) == floats) {
            return plans[i].lane;
        }
    }
    return NULL;
}

// One group's value into b. FR_EOVERFLOW for an integer sum that does not fit.
static int put_value(fr_builder *b, const fr_group_call *c, const fr_lane_value *v,
                     bool floats, size_t group, fr_err *err)
{
    if (c->op == FR_OP_SUM && !floats) {
        if (v->whole > INT64_MAX || v->whole < INT64_MIN) {
            return fr_fail(err, FR_EOVERFLOW,
                           "the sum of group %zu, %.17g, does not fit int64", group + 1,
                           (double)v->whole);
        }
        return fr_builder_int(b, (int64_t)v->whole, err);
    }
    if (c->op == FR_OP_SUM) {
        return fr_builder_float(b, v->sum, err);
    }
    bool spread = c->op == FR_OP_VAR || c->op == FR_OP_STD;
    if (v->count < (spread ? 2 : 1)) {
        return fr_builder_null(b, err);
    }
    switch ((int)c->op) {
    case FR_OP_MEAN:
        return fr_builder_float(
            b, (floats ? v->sum : (double)v->whole) / (double)v->count, err);
    case FR_OP_VAR:
        return fr_builder_float(b, v->var, err);
    case FR_OP_STD:
        return fr_builder_float(b, sqrt(v->var), err);
    case FR_OP_MIN:
        return floats ? fr_builder_float(b, v->min, err)
                      : fr_builder_int(b, v->least, err);
    default:
        return floats ? fr_builder_float(b, v->max, err)
                      : fr_builder_int(b, v->most, err);
    }
}

static int by_lane(fr_group *g, const fr_group_call *c, const fr_lane *lane,
                   fr_array **out, fr_err *err)
{
    fr_type type;
    int rc = fr_op_type(c->op, &c->input->type, &type, err);
    if (rc != FR_OK) {
        return rc;
    }
    bool floats = lane_kind(c) == FR_FLOAT64;
    fr_builder *b = fr_builder_new(type, (int64_t)g->groups);
    for (size_t i = 0; i < g->groups && rc == FR_OK; i++) {
        fr_lane_value v;
        fr_lane_get(lane, g->used[i], &v);
        v.count = v.count < 0 ? g->sizes[g->used[i]] : v.count;
        rc = put_value(b, c, &v, floats, i, err);
    }
    rc = rc == FR_OK ? fr_builder_finish(b, out, err) : rc;
    fr_builder_free(b);
    return rc;
}

static int count_values(fr_group *g, const fr_array *a, fr_array **out, fr_err *err)
{
    int rc = fr_array_new(fr_type_of(FR_INT64), (int64_t)g->groups, 0, out, err);
    if (rc != FR_OK) {
        return rc;
    }
    int64_t *count = (int64_t *)(void *)(*out)->values->data;
    int64_t *nulls = fr_zalloc((g->slots + 1) * sizeof *nulls);
    uint32_t buffer[MORSEL];
    for (int64_t at = 0; at < g->rows && a != NULL && a->nulls > 0; at += MORSEL) {
        int64_t n = FR_MIN(g->rows - at, MORSEL);
        const uint32_t *ids = fr_group_ids(g, at, n, buffer);
        for (int64_t i = 0; i < n; i++) {
            nulls[ids[i]] += !fr_array_has(a, at + i);
        }
    }
    for (size_t i = 0; i < g->groups; i++) {
        count[i] = g->sizes[g->used[i]] - nulls[g->used[i]];
    }
    fr_free(nulls);
    return FR_OK;
}

static int answer(fr_group *g, const fr_group_call *c, const plan *plans, size_t n,
                  fr_array **out, fr_err *err)
{
    switch (c->op) {
    case FR_OP_ROWS:
        return count_values(g, NULL, out, err);
    case FR_OP_COUNT:
        return count_values(g, c->input, out, err);
    case FR_OP_NUNIQUE:
        return count_distinct(g, c->input, out, err);
    case FR_OP_MEDIAN:
    case FR_OP_QUANTILE:
        return by_lists(g, c, out, err);
    case FR_OP_FIRST:
    case FR_OP_LAST:
        return by_rows(g, c, out, err);
    case FR_OP_SUM:
    case FR_OP_MEAN:
    case FR_OP_MIN:
    case FR_OP_MAX:
    case FR_OP_STD:
    case FR_OP_VAR:
        break;
    case FR_OP_MAX_:
        return fr_fail(err, FR_EINVAL, "unknown aggregate");
    }
    const fr_lane *lane = lane_of(plans, n, c);
    return lane != NULL ? by_lane(g, c, lane, out, err) : by_rows(g, c, out, err);
}

static int check_calls(const fr_group *g, const fr_group_call *calls, size_t n,
                       fr_err *err)
{
    for (size_t i = 0; i < n; i++) {
        fr_type type;
        if (calls[i].op == FR_OP_ROWS) {
            continue;
        }
        int rc = fr_op_type(calls[i].op, &calls[i].input->type, &type, err);
        if (rc == FR_OK && calls[i].input->length != g->rows) {
            rc = fr_fail(err, FR_EINVAL, "a column of %lld rows for groups of %lld",
                         (long long)calls[i].input->length, (long long)g->rows);
        }
        if (rc == FR_OK && calls[i].op == FR_OP_QUANTILE &&
            !(calls[i].q >= 0 && calls[i].q <= 1)) {
            rc = fr_fail(err, FR_EINVAL, "a quantile is between 0 and 1, got %g",
                         calls[i].q);
        }
        if (rc != FR_OK) {
            return rc;
        }
    }
    return FR_OK;
}

// The plan whose lane counts rows by the way: the one with the fewest accumulators.
static const plan *counting_plan(const plan *plans, size_t n)
{
    const plan *best = NULL;
    for (size_t i = 0; i < n; i++) {
        bool fewer = best == NULL || __builtin_popcount(plans[i].stats) <
                                         __builtin_popcount(best->stats);
        best = fewer ? &plans[i] : best;
    }
    return best;
}

static int run_plans(fr_group *g, plan *plans, size_t n, fr_err *err)
{
    const plan *counts = counting_plan(plans, n);
    fr_lane **lanes = fr_zalloc((n + 1) * sizeof(fr_lane *));
    int rc = FR_OK;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        fr_lane_free(plans[i].lane);
        plans[i].lane = NULL;
        rc = fr_lane_new(g, plans[i].cast, plans[i].stats, &plans[i] == counts, &plans[i].lane,
                         err);
        lanes[i] = plans[i].lane;
    }
    rc = rc == FR_OK ? pass(g, lanes, n, err) : rc;
    fr_free(lanes);
    return rc;
}

int fr_group_aggregate_numbers(fr_group *g, const fr_group_call *calls, size_t n,
                               fr_array **results, fr_err *err)
{
    memset(results, 0, n * sizeof *results);
    int rc = check_calls(g, calls, n, err);
    plan *plans = fr_zalloc((n + 1) * sizeof *plans);
    size_t nplans = 0;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        rc = calls[i].input != NULL ? add_plan(plans, &nplans, &calls[i], err) : rc;
    }
    rc = rc == FR_OK ? run_plans(g, plans, nplans, err) : rc;
    if (rc == FR_OK && atomic_load(&g->escaped)) {
        rc = number_rows(g, false, err);
        rc = rc == FR_OK ? run_plans(g, plans, nplans, err) : rc;
    }
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        rc = answer(g, &calls[i], plans, nplans, &results[i], err);
    }
    for (size_t i = 0; i < nplans; i++) {
        fr_lane_free(plans[i].lane);
        fr_array_unref(plans[i].cast);
    }
    for (size_t i = 0; i < n && rc != FR_OK; i++) {
        fr_array_unref(results[i]);
        results[i] = NULL;
    }
    fr_free(plans);
    return rc;
}
