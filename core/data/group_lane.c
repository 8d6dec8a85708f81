// Accumulators of one column, per group. Float sums run in plain doubles for a few
// thousand rows and are then folded into compensated totals; moments are taken about a
// value of the group itself (a shift common to all groups loses every digit of some) and
// folded by the rule of Chan, Golub and LeVeque (1983). Both orders depend on row numbers
// only.

#include "core/base/mem.h"
#include "core/data/bits.h"
#include "core/data/compress.h"
#include "core/data/group_int.h"

#include <math.h>
#include <string.h>

// The totals that a fold adds to.
typedef struct total {
    double high, low;  // sum
    double n, m2;      // moments
    double mean, rest; // the mean is mean + rest: a rounded mean costs m2 digits
    double count;
} total;

enum {
    DIVERT_SHARE = 4,   // of the rows: with more nulls, moving values together is faster
    DIVERT_SLOTS = 4096 // twice as many accumulators still are near
};

struct fr_lane {
    const fr_array *input;
    unsigned stats;
    // Few nulls are not moved out of the way: their rows go to slots behind the others, one
    // for all or, where rows are counted, one for each. `room` is all slots of a segment.
    bool diverts, counts_nulls;
    size_t slots, room, segments, stride;
    fr_block *block;  // doubles: stride per slot per segment
    fr_block *totals; // of sums, moments, counts: per slot per segment
    fr_block *ints;   // int64-like inputs instead: `whole` per slot per segment
    bool integers;
    bool nans;           // NaN is known to be there: min and max look for it
    atomic_bool suspect; // a sum became NaN while min and max did not look
};

typedef struct whole {
    fr_i128 sum;
    int64_t least, most;
    int64_t count;
} whole;

// Where a field of the accumulator of one slot is, in the order of the STAT_ bits.
#define AT_SUM(stats)     ((size_t)((stats)&STAT_COUNT ? 1 : 0))
#define AT_MOMENTS(stats) (AT_SUM(stats) + (size_t)((stats)&STAT_SUM ? 1 : 0))
#define AT_MIN(stats)     (AT_MOMENTS(stats) + (size_t)((stats)&STAT_MOMENTS ? 3 : 0))
#define AT_MAX(stats)     (AT_MIN(stats) + (size_t)((stats)&STAT_MIN ? 1 : 0))

static size_t fields(unsigned stats)
{
    return AT_MAX(stats) + (stats & STAT_MAX ? 1U : 0U);
}

static double *slots_of(const fr_lane *l, size_t segment)
{
    return (double *)(void *)l->block->data + segment * l->room * l->stride;
}

static total *totals_of(const fr_lane *l, size_t segment)
{
    return (total *)(void *)l->totals->data + segment * l->slots;
}

static whole *wholes_of(const fr_lane *l, size_t segment)
{
    return (whole *)(void *)l->ints->data + segment * l->room;
}

static void reset(const fr_lane *l)
{
    size_t n = l->segments * l->room;
    if (l->integers) {
        whole *w = wholes_of(l, 0);
        for (size_t i = 0; i < n; i++) {
            w[i] = (whole){0, INT64_MAX, INT64_MIN, 0};
        }
        return;
    }
    double *a = slots_of(l, 0);
    for (size_t i = 0; i < n; i++, a += l->stride) {
        for (size_t k = 0; k < l->stride; k++) {
            a[k] = 0;
        }
        if (l->stats & STAT_MOMENTS) {
            a[AT_MOMENTS(l->stats)] = (double)NAN; // the shift is not known yet
        }
        if (l->stats & STAT_MIN) {
            a[AT_MIN(l->stats)] = (double)INFINITY;
        }
        if (l->stats & STAT_MAX) {
            a[AT_MAX(l->stats)] = -(double)INFINITY;
        }
    }
}

int fr_lane_new(const fr_group *g, const fr_array *input, unsigned stats, bool rows,
                fr_lane **out, fr_err *err)
{
    fr_lane *l = fr_zalloc(sizeof *l);
    l->input = input;
    l->integers = input->type.kind != FR_FLOAT64;
    // A count of its own is needed for moments, and where nulls make it differ.
    l->stats = stats | (input->nulls > 0 || (stats & STAT_MOMENTS) ? STAT_COUNT : 0U);
    l->stride = fields(l->stats);
    l->slots = g->slots;
    l->segments = fr_group_segments(g);
    l->diverts = input->nulls > 0 && input->nulls < input->length / DIVERT_SHARE;
    l->counts_nulls = l->diverts && rows && l->slots <= DIVERT_SLOTS;
    l->room = l->slots + (l->counts_nulls ? l->slots : l->diverts ? 1 : 0);
    size_t n = l->room * l->segments;
    int rc;
    if (l->integers) {
        rc = fr_block_new(n * sizeof(whole), &l->ints, err);
    } else {
        rc = fr_block_new(n * l->stride * sizeof(double), &l->block, err);
        n = l->slots * l->segments;
        rc = rc == FR_OK ? fr_block_new_zero(n * sizeof(total), &l->totals, err) : rc;
    }
    if (rc != FR_OK) {
        fr_lane_free(l);
        *out = NULL;
        return rc;
    }
    reset(l);
    *out = l;
    return FR_OK;
}

void fr_lane_free(fr_lane *l)
{
    if (l != NULL) {
        fr_block_unref(l->block);
        fr_block_unref(l->totals);
        fr_block_unref(l->ints);
        fr_free(l);
    }
}

bool fr_lane_counts_rows(const fr_lane *l)
{
    bool all = l->counts_nulls || l->input->nulls == 0;
    return all && (l->integers || (l->stats & STAT_COUNT));
}

int64_t fr_lane_rows(const fr_lane *l, size_t slot)
{
    size_t other = l->slots + slot;
    if (l->integers) {
        const whole *w = wholes_of(l, 0);
        return w[slot].count + (l->counts_nulls ? w[other].count : 0);
    }
    double nulls = l->counts_nulls ? slots_of(l, 0)[other * l->stride] : 0;
    return (int64_t)(totals_of(l, 0)[slot].count + nulls);
}

// `stats` is a constant in every call, so that each gets a loop of its own. With NANS a
// NaN wins as min and max, and stays; without, the rows are known to have none.
enum { NANS = 32 };

static inline void add_floats(const double *x, const uint32_t *ids, size_t n,
                              double *slots, unsigned stats)
{
    const size_t stride = AT_MAX(stats) + (stats & STAT_MAX ? 1U : 0U);
    for (size_t i = 0; i < n; i++) {
        double v = x[i], *a = slots + ids[i] * stride;
        if (stats & STAT_COUNT) {
            a[0] += 1;
        }
        if (stats & STAT_SUM) {
            a[AT_SUM(stats)] += v;
        }
        if (stats & STAT_MOMENTS) {
            double *m = a + AT_MOMENTS(stats);
            if (m[0] != m[0]) {
                m[0] = v;
            }
            double d = v - m[0];
            m[1] += d;
            m[2] += d * d;
        }
        if (stats & STAT_MIN) { // NaN wins and stays
            double *m = a + AT_MIN(stats);
            *m = v < *m || ((stats & NANS) && v != v) ? v : *m;
        }
        if (stats & STAT_MAX) {
            double *m = a + AT_MAX(stats);
            *m = v > *m || ((stats & NANS) && v != v) ? v : *m;
        }
    }
}

#define CASE_OF(k)                                                                       \
    case (k):                                                                            \
        add_floats(x, ids, n, slots, (k));                                               \
        break;
#define FOUR_OF(k) CASE_OF(k) CASE_OF((k) + 1) CASE_OF((k) + 2) CASE_OF((k) + 3)

static void add_floats_of(const double *x, const uint32_t *ids, size_t n, double *slots,
                          unsigned stats)
{
    switch (stats) {
        FOUR_OF(0)
        FOUR_OF(4)
        FOUR_OF(8)
        FOUR_OF(12)
        FOUR_OF(16)
        FOUR_OF(20)
        FOUR_OF(24)
        FOUR_OF(28)
        FOUR_OF(32)
        FOUR_OF(36)
        FOUR_OF(40)
        FOUR_OF(44)
        FOUR_OF(48)
        FOUR_OF(52)
        FOUR_OF(56)
        FOUR_OF(60)
    default:
        break;
    }
}

// A lane that sums finds NaN for free, when it folds: min and max then start again.
static bool sums(const fr_lane *l) { return (l->stats & (STAT_SUM | STAT_MOMENTS)) != 0; }

static bool any_nan(const double *x, size_t n)
{
    bool nan = false;
    for (size_t i = 0; i < n; i++) {
        nan |= x[i] != x[i];
    }
    return nan;
}

static void add_integers(const int64_t *x, const uint32_t *ids, size_t n, whole *slots)
{
    for (size_t i = 0; i < n; i++) {
        whole *w = slots + ids[i];
        w->sum += x[i];
        w->least = x[i] < w->least ? x[i] : w->least;
        w->most = x[i] > w->most ? x[i] : w->most;
        w->count++;
    }
}

void fr_lane_run(fr_lane *l, size_t segment, int64_t at, int64_t n, const uint32_t *ids)
{
    uint32_t kept_ids[MORSEL];
    uint64_t kept[MORSEL];
    const uint64_t *x = (const uint64_t *)fr_array_data(l->input) + at;
    size_t k = (size_t)n;
    if (l->input->nulls > 0) {
        uint64_t words[MORSEL / 64];
        int64_t from = l->input->offset + at;
        for (int64_t i = 0; i < n; i += 64) {
            words[i / 64] = fr_bits_word(l->input->validity->data, from + i, from + n);
        }
        if (l->diverts) {
            fr_compress_divert(ids, words, k, l->counts_nulls ? UINT32_MAX : 0,
                               (uint32_t)l->slots, kept_ids);
        } else {
            k = fr_compress_64(x, words, (size_t)n, kept);
            (void)fr_compress_32(ids, words, (size_t)n, kept_ids);
            x = kept;
        }
        ids = kept_ids;
    }
    if (l->integers) {
        add_integers((const int64_t *)(const void *)x, ids, k, wholes_of(l, segment));
    } else {
        const double *v = (const double *)(const void *)x;
        bool extremes = (l->stats & (STAT_MIN | STAT_MAX)) != 0;
        bool nans = extremes && (l->nans || (!sums(l) && any_nan(v, k)));
        add_floats_of(v, ids, k, slots_of(l, segment), l->stats | (nans ? NANS : 0U));
    }
}

// Knuth's two-sum: high + low stays exactly what it was plus v.
static inline void add_exactly(total *t, double v)
{
    double sum = t->high + v, back = sum - t->high;
    double lost = (t->high - (sum - back)) + (v - back);
    t->low += isfinite(sum) ? lost : 0;
    t->high = sum;
}

static void add_moments(total *t, double n, double mean, double rest, double m2)
{
    if (n == 0) {
        return;
    }
    if (t->n == 0) {
        t->mean = mean;
        t->rest = rest;
        t->m2 = m2;
        t->n = n;
        return;
    }
    double all = t->n + n, d = (mean - t->mean) + (rest - t->rest);
    double off = t->rest + d * (n / all), rounded = t->mean + off;
    t->m2 += m2 + d * d * (t->n * n / all);
    t->rest = (t->mean - rounded) + off;
    t->mean = rounded;
    t->n = all;
}

void fr_lane_fold(fr_lane *l, size_t segment)
{
    unsigned folds = l->stats & (STAT_COUNT | STAT_SUM | STAT_MOMENTS);
    if (l->integers || folds == 0) {
        return;
    }
    total *t = totals_of(l, segment);
    double *a = slots_of(l, segment);
    bool nan = false;
    for (size_t s = 0; s < l->slots; s++, t++, a += l->stride) {
        double n = l->stats & STAT_COUNT ? a[0] : 1;
        if (n == 0) {
            continue;
        }
        if (l->stats & STAT_COUNT) {
            t->count += n;
            a[0] = 0;
        }
        if (l->stats & STAT_SUM) {
            nan |= isnan(a[AT_SUM(l->stats)]) != 0;
            add_exactly(t, a[AT_SUM(l->stats)]);
            a[AT_SUM(l->stats)] = 0;
        }
        if (l->stats & STAT_MOMENTS) {
            double *m = a + AT_MOMENTS(l->stats);
            double m2 = m[2] - m[1] * m[1] / n;
            nan |= isnan(m[1]) != 0;
            add_moments(t, n, m[0], m[1] / n, m2 < 0 ? 0 : m2);
            m[0] = t->mean; // the next shift: closer than any row
            m[1] = m[2] = 0;
        }
    }
    if (nan && !l->nans && (l->stats & (STAT_MIN | STAT_MAX))) {
        atomic_store(&l->suspect, true);
    }
}

bool fr_lane_again(fr_lane *l)
{
    if (!atomic_load(&l->suspect)) {
        return false;
    }
    l->nans = true;
    atomic_store(&l->suspect, false);
    if (l->totals != NULL) {
        memset(l->totals->data, 0, l->totals->size);
    }
    reset(l);
    return true;
}

// Rows with null, which were counted in slots of their own.
static void merge_nulls(fr_lane *l, size_t segment)
{
    for (size_t s = l->slots; s < l->room; s++) {
        if (l->integers) {
            wholes_of(l, 0)[s].count += wholes_of(l, segment)[s].count;
        } else {
            slots_of(l, 0)[s * l->stride] += slots_of(l, segment)[s * l->stride];
        }
    }
}

static void merge_floats(fr_lane *l, size_t segment)
{
    total *t = totals_of(l, 0);
    const total *u = totals_of(l, segment);
    double *a = slots_of(l, 0);
    const double *b = slots_of(l, segment);
    for (size_t s = 0; s < l->slots; s++, t++, u++, a += l->stride, b += l->stride) {
        t->count += u->count;
        add_exactly(t, u->high);
        t->low += u->low;
        add_moments(t, u->n, u->mean, u->rest, u->m2);
        if (l->stats & STAT_MIN) {
            double *m = a + AT_MIN(l->stats), v = b[AT_MIN(l->stats)];
            *m = v < *m || v != v ? v : *m;
        }
        if (l->stats & STAT_MAX) {
            double *m = a + AT_MAX(l->stats), v = b[AT_MAX(l->stats)];
            *m = v > *m || v != v ? v : *m;
        }
    }
}

void fr_lane_merge(fr_lane *l, size_t segments)
{
    for (size_t k = 1; k < segments; k++) {
        if (l->counts_nulls) {
            merge_nulls(l, k);
        }
        if (!l->integers) {
            merge_floats(l, k);
            continue;
        }
        whole *w = wholes_of(l, 0);
        const whole *v = wholes_of(l, k);
        for (size_t s = 0; s < l->slots; s++) {
            w[s].sum += v[s].sum;
            w[s].count += v[s].count;
            w[s].least = FR_MIN(w[s].least, v[s].least);
            w[s].most = FR_MAX(w[s].most, v[s].most);
        }
    }
}

void fr_lane_get(const fr_lane *l, size_t slot, fr_lane_value *out)
{
    *out = (fr_lane_value){.count = -1};
    if (l->integers) {
        const whole *w = wholes_of(l, 0) + slot;
        out->count = w->count;
        out->whole = w->sum;
        out->least = w->least;
        out->most = w->most;
        return;
    }
    const total *t = totals_of(l, 0) + slot;
    const double *a = slots_of(l, 0) + slot * l->stride;
    out->count = l->stats & STAT_COUNT ? (int64_t)t->count : -1;
    out->sum = isfinite(t->high) ? t->high + t->low : t->high;
    out->var = t->n > 1 ? t->m2 / (t->n - 1) : (double)NAN;
    out->min = l->stats & STAT_MIN ? a[AT_MIN(l->stats)] : 0;
    out->max = l->stats & STAT_MAX ? a[AT_MAX(l->stats)] : 0;
}
