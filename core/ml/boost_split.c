// boost_split -- the best split of a leaf from its histogram. The fast search weighs
// plain cuts by rows; the general one knows weights, missing values, categories and
// monotone features.

#include "core/ml/boost_hist.h"
#include "core/ml/kernel_gain.h"

#include <math.h>
#include <string.h>

enum { BINS = FR_BOOST_BINS };

// Added to a category's weight before it is ranked, so that rare ones do not lead.
static const double RARE = 10;

bool fr_boost_may_split(const fr_boost_options *o, fr_boost_leaf *l)
{
    size_t rows = l->end - l->begin;
    l->gain = 0;
    return rows >= 2 * (size_t)o->min_leaf && l->depth < o->depth;
}

// ---- plain cuts

static float float_of(int32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// The best cut of one feature when it scores above `gain`.
static void best_cut(const int64_t *hist, uint32_t bins, const fr_gain_bins *node,
                     fr_boost_leaf *out, uint32_t feature)
{
    int64_t prefix[BINS], sum = 0;
    int32_t score[BINS];
    for (uint32_t b = 0; b < bins; b++) {
        sum += hist[b];
        prefix[b] = sum;
    }
    int32_t top = fr_gain_of_bins(prefix, bins - 1, node, score);
    if (!((double)float_of(top) > out->gain)) {
        return;
    }
    uint32_t b = 0;
    while (score[b] != top) {
        b++;
    }
    out->gain = (double)float_of(top);
    out->feature = feature;
    out->bin = b;
    out->left_rows = (size_t)((uint64_t)prefix[b] & (((uint64_t)1 << node->shift) - 1));
    out->left_gradient = prefix[b] >> node->shift;
}

static void find_plain(const fr_boost_hist *g, const fr_boost_options *o,
                       fr_boost_leaf *l, size_t first, size_t end)
{
    int32_t least = (int32_t)FR_MIN(o->min_leaf, INT32_MAX);
    const fr_gain_bins node = {g->row_bits, (int32_t)(l->end - l->begin), least,
                               l->gradient, (float)o->l2};
    for (size_t f = first; f < end; f++) {
        if (g->ranks->bins[f] > 1 && (o->closed == NULL || !o->closed[f])) {
            best_cut(l->hist + f * BINS, g->ranks->bins[f], &node, l, (uint32_t)f);
        }
    }
}

// ---- any cuts

typedef struct sums {
    double gradient, weight;
    int64_t whole, heavy; // gradient and weight in units
    size_t rows;
} sums;

typedef struct search {
    const fr_boost_hist *g;
    const fr_boost_options *o;
    fr_boost_leaf *leaf;
    double unit, weight_unit;
    sums all, none; // none: the feature's missing values
    uint32_t feature;
    int8_t monotone;
    bool weighted;
} search;

static sums bin_of(const search *s, uint32_t b)
{
    size_t at = (size_t)s->feature * BINS + b;
    int64_t cell = s->leaf->hist[at];
    sums v = {.whole = cell >> s->g->row_bits,
              .rows = (size_t)((uint64_t)cell & (((uint64_t)1 << s->g->row_bits) - 1))};
    v.heavy = s->weighted ? s->leaf->hist[s->g->cells + at] : (int64_t)v.rows;
    v.gradient = (double)v.whole * s->unit;
    v.weight = (double)v.heavy * s->weight_unit;
    return v;
}

static sums plus(const search *s, sums a, sums b)
{
    a.whole += b.whole;
    a.heavy += b.heavy;
    a.rows += b.rows;
    a.gradient = (double)a.whole * s->unit;
    a.weight = (double)a.heavy * s->weight_unit;
    return a;
}

static double step_of(const search *s, double gradient, double weight)
{
    double h = weight + s->o->l2;
    double v = h < 1e-150 ? 0 : gradient / h;
    return FR_MIN(FR_MAX(v, s->leaf->low), s->leaf->high);
}

static double gain_of(const search *s, double gradient, double weight, double step)
{
    return step * (2 * gradient - (weight + s->o->l2) * step);
}

// The gain of both sides; 0 when the cut is not allowed.
static double score_of(const search *s, const sums *l)
{
    size_t right = s->all.rows - l->rows;
    if (l->rows < s->o->min_leaf || right < s->o->min_leaf) {
        return 0;
    }
    double gradient = s->all.gradient - l->gradient, weight = s->all.weight - l->weight;
    double a = step_of(s, l->gradient, l->weight), b = step_of(s, gradient, weight);
    if ((s->monotone > 0 && a > b) || (s->monotone < 0 && a < b)) {
        return 0;
    }
    return gain_of(s, l->gradient, l->weight, a) + gain_of(s, gradient, weight, b);
}

static bool keep(search *s, const sums *l, uint32_t bin, bool missing_left)
{
    double v = score_of(s, l);
    fr_boost_leaf *out = s->leaf;
    if (!(v > out->gain)) {
        return false;
    }
    out->gain = v;
    out->feature = s->feature;
    out->bin = bin;
    out->missing_left = missing_left;
    out->left_rows = l->rows;
    out->left_gradient = l->whole;
    out->left_weight = l->heavy;
    out->by_side = false;
    return true;
}

static void try_numbers(search *s, uint32_t bins, bool missing)
{
    uint32_t numbers = bins - missing;
    sums left = {0};
    for (uint32_t b = 0; b < numbers; b++) {
        left = plus(s, left, bin_of(s, b));
        if (left.rows == 0) {
            continue;
        }
        bool last = b + 1 == numbers;
        float top = s->g->ranks->high[s->feature][b];
        if (!last || (s->none.rows > 0 && !isinf(top))) {
            bool most = 2 * left.rows > s->all.rows;
            (void)keep(s, &left, b, s->none.rows == 0 && most);
        }
        if (!last && s->none.rows > 0) {
            sums with = plus(s, left, s->none);
            (void)keep(s, &with, b, true);
        }
    }
}

// Categories in order of their mean gradient; the best cut of that order is the best of
// all (Fisher 1958, but for the weight added to rare ones).
static void try_categories(search *s, uint32_t bins)
{
    uint32_t order[BINS], count = 0;
    double mean[BINS];
    for (uint32_t b = 0; b < bins; b++) {
        sums v = bin_of(s, b);
        if (v.rows > 0) {
            mean[b] = v.gradient / (v.weight + RARE);
            uint32_t k = count++;
            for (; k > 0 && mean[order[k - 1]] > mean[b]; k--) {
                order[k] = order[k - 1];
            }
            order[k] = b;
        }
    }
    sums left = {0};
    for (uint32_t k = 0; k + 1 < count; k++) {
        left = plus(s, left, bin_of(s, order[k]));
        if (keep(s, &left, 0, false)) {
            memset(s->leaf->side, 0, BINS);
            for (uint32_t i = 0; i <= k; i++) {
                s->leaf->side[order[i]] = 1;
            }
            s->leaf->by_side = true;
        }
    }
}

static void find_any(const fr_boost_hist *g, const fr_boost_rows *rows,
                     const fr_boost_options *o, fr_boost_leaf *l, size_t first,
                     size_t end)
{
    search s = {.g = g,
                .o = o,
                .leaf = l,
                .unit = rows->unit * (double)((uint64_t)1 << g->drop),
                .weight_unit = rows->weight != NULL ? rows->weight_unit : 1,
                .weighted = rows->weight != NULL};
    s.all = (sums){.whole = l->gradient, .rows = l->end - l->begin};
    s.all.heavy = s.weighted ? l->weight : (int64_t)s.all.rows;
    s.all = plus(&s, s.all, (sums){0});
    for (size_t f = first; f < end; f++) {
        uint32_t bins = g->ranks->bins[f];
        if (bins < 2 || (o->closed != NULL && o->closed[f])) {
            continue;
        }
        s.feature = (uint32_t)f;
        s.monotone = o->monotone != NULL ? o->monotone[f] : 0;
        bool missing = g->ranks->missing[f];
        if (o->categorical != NULL && o->categorical[f]) {
            try_categories(&s, bins);
            continue;
        }
        s.none = missing ? bin_of(&s, bins - 1) : (sums){0};
        try_numbers(&s, bins, missing);
    }
}

void fr_boost_find(const fr_boost_hist *g, const fr_boost_rows *rows,
                   const fr_boost_options *o, fr_boost_leaf *l, size_t first, size_t end)
{
    if (g->general) {
        find_any(g, rows, o, l, first, end);
    } else {
        find_plain(g, o, l, first, end);
    }
}

static double side_score(double gradient, double rows, double l2)
{
    return gradient * gradient / (rows + l2);
}

void fr_boost_settle(const fr_boost_rows *rows, const fr_boost_hist *g,
                     const fr_boost_options *o, fr_boost_leaf *l)
{
    if (!(l->gain > 0)) {
        return;
    }
    double unit = rows->unit * (double)((uint64_t)1 << g->drop);
    double gradient = (double)l->gradient * unit, n = (double)(l->end - l->begin);
    if (g->general) {
        double w = rows->weight != NULL ? (double)l->weight * rows->weight_unit : n;
        search s = {.g = g, .o = o, .leaf = l};
        double own = gain_of(&s, gradient, w, step_of(&s, gradient, w));
        double gain = l->gain - own;
        l->gain = gain > fabs(own) * 1e-12 ? gain : 0;
        return;
    }
    double left = (double)l->left_rows, sum = (double)l->left_gradient * unit;
    double own = side_score(gradient, n, o->l2);
    double gain = side_score(sum, left, o->l2) +
                  side_score(gradient - sum, n - left, o->l2) - own;
    l->gain = gain > own * 1e-12 ? gain : 0;
}
