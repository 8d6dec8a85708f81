// boost_exact -- boosted trees as scikit-learn's GradientBoostingClassifier grows them:
// by level, every cut between two values weighed by the gain of Friedman's mean squared
// error.
//
// Each feature keeps its rows in sorted order, partitioned by node as the tree grows, so
// a node is a range of every list and a sweep is sequential.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/ml/boost_bucket.h"
#include "core/ml/kernel_gain.h"

#include <string.h>

enum { BATCH = 256, PARALLEL_ROWS = 1 << 17 }; // of all features: worth waking threads

typedef struct cut {
    double score;         // 0: none found
    size_t rows;          // on the left
    int64_t gradient;     // sum of the left
    uint32_t left, right; // facing ranks
} cut;

typedef struct range {
    size_t begin, end; // of every list
    uint32_t node;
    int64_t gradient;
    uint32_t feature; // of its best cut
    cut best;
} range;

struct fr_boost_exact {
    fr_ranks *ranks;
    size_t rows, features;
    uint64_t **sorted;       // [feature]: rank << 32 | row by value, for the buckets
    uint32_t **order;        // [feature]: rows by value, fixed, without buckets
    uint32_t **list, **next; // [feature]: the same by node, and being made
    uint8_t *goes_right;     // [row]
    cut *found;              // [feature][range]
    range *open, *made;      // this level's and the next's
    size_t opens, mades, room;
    fr_boost_bucket *bucket; // grows the trees when they are shallow
};

typedef struct level_job {
    fr_boost_exact *g;
    const fr_boost_rows *rows;
    const fr_boost_options *options;
    uint32_t **from;
    bool in_turn; // features one after the other: each only looks for better cuts
} level_job;

static void sort_rows(fr_boost_exact *g, size_t f)
{
    const uint16_t *rank = g->ranks->rank[f];
    uint32_t bins = g->ranks->bins[f];
    size_t *at = fr_zalloc((bins + 1) * sizeof *at);
    for (size_t i = 0; i < g->rows; i++) {
        at[rank[i] + 1]++;
    }
    for (uint32_t b = 0; b < bins; b++) {
        at[b + 1] += at[b];
    }
    for (size_t i = 0; i < g->rows; i++) {
        g->sorted[f][at[rank[i]]++] = (uint64_t)rank[i] << 32 | i;
    }
    fr_free(at);
}

// Lists of rows take the place of the sorted entries, which only buckets need.
static bool make_lists(fr_boost_exact *g)
{
    size_t n = g->rows;
    bool ok = true;
    for (size_t f = 0; f < g->features && ok; f++) {
        g->order[f] = fr_try_alloc((n + 1) * sizeof **g->order);
        g->list[f] = fr_try_alloc((n + 1) * sizeof **g->list);
        g->next[f] = fr_try_alloc((n + 1) * sizeof **g->next);
        ok = g->order[f] != NULL && g->list[f] != NULL && g->next[f] != NULL;
        for (size_t i = 0; i < n && ok; i++) {
            g->order[f][i] = (uint32_t)g->sorted[f][i];
        }
        fr_free(g->sorted[f]);
        g->sorted[f] = NULL;
    }
    return ok;
}

int fr_boost_exact_new(const fr_columns *x, uint32_t depth, fr_boost_exact **out,
                       fr_err *err)
{
    *out = NULL;
    fr_boost_exact *g = fr_zalloc(sizeof *g);
    int rc = fr_ranks_new(x, FR_RANKS_EXACT, &g->ranks, err);
    if (rc != FR_OK) {
        fr_free(g);
        return rc;
    }
    size_t n = x->rows, p = x->count;
    g->rows = n;
    g->features = p;
    g->sorted = fr_zalloc(p * sizeof *g->sorted);
    g->order = fr_zalloc(p * sizeof *g->order);
    g->list = fr_zalloc(p * sizeof *g->list);
    g->next = fr_zalloc(p * sizeof *g->next);
    g->goes_right = fr_try_alloc(n);
    bool ok = g->goes_right != NULL;
    for (size_t f = 0; f < p && ok; f++) {
        g->sorted[f] = fr_try_alloc(n * sizeof **g->sorted);
        ok = g->sorted[f] != NULL;
        if (ok) {
            sort_rows(g, f);
        }
    }
    g->bucket = ok ? fr_boost_bucket_new(g->ranks, g->sorted, depth) : NULL;
    if (!ok || (g->bucket == NULL && !make_lists(g))) {
        fr_boost_exact_free(g);
        return fr_fail(err, FR_ENOMEM, "no memory to sort %zu x %zu values", n, p);
    }
    *out = g;
    return FR_OK;
}

void fr_boost_exact_free(fr_boost_exact *g)
{
    if (g == NULL) {
        return;
    }
    for (size_t f = 0; f < g->features; f++) {
        fr_free(g->sorted[f]);
        fr_free(g->order[f]);
        fr_free(g->list[f]);
        fr_free(g->next[f]);
    }
    fr_free(g->sorted);
    fr_free(g->order);
    fr_free(g->list);
    fr_free(g->next);
    fr_free(g->goes_right);
    fr_free(g->found);
    fr_free(g->open);
    fr_free(g->made);
    fr_boost_bucket_free(g->bucket);
    fr_ranks_free(g->ranks);
    fr_free(g);
}

// Cuts of a range after each of its rows, a batch at a time.
typedef struct batch {
    int64_t gradient[BATCH]; // left of the cut
    int32_t score[BATCH];
} batch;

// The floats only shortlist; the choice between cuts is made in double. Between equal
// values there is no cut: their scores were made all the same, as finding out costs more.
static void keep_best(const batch *b, size_t first, size_t n, const uint32_t *list,
                      const uint16_t *rank, const range *r, cut *best)
{
    double rows = (double)(r->end - r->begin), total = (double)r->gradient;
    float limit = (float)(best->score / FR_GAIN_SLACK);
    int32_t floor;
    memcpy(&floor, &limit, sizeof floor);
    for (size_t i = 0; i < n; i++) {
        if (b->score[i] < floor) {
            continue;
        }
        size_t last = first + i;
        double l = (double)(last + 1), m = rows - l, x = (double)b->gradient[i],
               y = total - x;
        double v = (x * x * m + y * y * l) / (l * m);
        if (v > best->score && rank[list[last]] != rank[list[last + 1]]) {
            best->score = v;
            best->rows = last + 1;
            best->gradient = b->gradient[i];
            limit = (float)(v / FR_GAIN_SLACK);
            memcpy(&floor, &limit, sizeof floor);
        }
    }
}

static void sweep(const level_job *job, const range *r, size_t f, double floor, cut *best)
{
    const uint32_t *list = job->from[f];
    const uint16_t *rank = job->g->ranks->rank[f];
    const int32_t *gradient = job->rows->gradient;
    size_t n = r->end - r->begin, least = job->options->min_leaf;
    *best = (cut){.score = floor};
    if (n < 2 * least) {
        return;
    }
    list += r->begin;
    batch b;
    int64_t sum = 0;
    for (size_t i = 0; i + 1 < least; i++) {
        sum += gradient[list[i]];
    }
    for (size_t i = least - 1, end = n - least; i < end;) {
        size_t first = i, stop = FR_MIN(end, i + BATCH);
        for (; i < stop; i++) {
            sum += gradient[list[i]];
            b.gradient[i - first] = sum;
        }
        int32_t top = fr_gain_of_sums(b.gradient, (int32_t)first + 1, i - first,
                                      (int32_t)n, r->gradient, b.score);
        float most;
        memcpy(&most, &top, sizeof most);
        if ((double)most * FR_GAIN_SLACK > best->score) {
            keep_best(&b, first, i - first, list, rank, r, best);
        }
    }
    if (best->rows > 0) {
        best->left = rank[list[best->rows - 1]];
        best->right = rank[list[best->rows]];
    }
}

// Moves a parent's rows to its two children, which follow one another in the list. Both
// places are written each time, without a branch; what is wrong there is written over, by
// this node or, at its end, by the next (the list has room for one more).
static void partition(const uint32_t *from, uint32_t *to, const uint8_t *goes_right,
                      size_t begin, size_t middle, size_t end)
{
    size_t l = begin, r = middle, i = begin;
    while (l < middle) {
        uint32_t row = from[i++];
        size_t right = goes_right[row];
        to[r] = row;
        to[l] = row;
        r += right;
        l += 1 - right;
    }
    memcpy(to + r, from + i, (end - i) * sizeof *to);
}

static void sweep_feature(void *ctx, size_t f)
{
    level_job *job = ctx;
    fr_boost_exact *g = job->g;
    for (size_t k = 0; k < g->opens; k++) {
        cut *best = &g->found[f * g->room + k];
        double floor = f > 0 && job->in_turn ? (best - g->room)->score : 0;
        sweep(job, &g->open[k], f, floor, best);
    }
}

static void partition_feature(void *ctx, size_t f)
{
    level_job *job = ctx;
    fr_boost_exact *g = job->g;
    for (size_t k = 0; k + 1 < g->mades; k += 2) {
        partition(job->from[f], g->next[f], g->goes_right, g->made[k].begin,
                  g->made[k].end, g->made[k + 1].end);
    }
}

static int for_features(fr_boost_exact *g, void (*fn)(void *, size_t), level_job *job)
{
    size_t rows = 0;
    for (size_t k = 0; k < g->opens; k++) {
        rows += g->open[k].end - g->open[k].begin;
    }
    job->in_turn = rows * g->features < PARALLEL_ROWS;
    if (!job->in_turn) {
        return fr_pool_run(g->features, fn, job);
    }
    for (size_t f = 0; f < g->features; f++) {
        fn(job, f);
    }
    return fr_cancel_code();
}

static float renewed(const level_job *job, const fr_boost_rows *rows, const uint32_t *list,
                     size_t n)
{
    uint64_t *entry = fr_alloc((n + 1) * sizeof *entry);
    for (size_t i = 0; i < n; i++) {
        entry[i] = list[i];
    }
    float step = fr_boost_renewed(rows, job->options, entry, n);
    fr_free(entry);
    return step;
}

static void make_leaf(const level_job *job, fr_boost_rows *rows, const uint32_t *list,
                      const range *r, fr_tree *tree)
{
    int64_t gradient = 0, hessian = 0;
    for (size_t i = r->begin; i < r->end; i++) {
        gradient += rows->gradient[list[i]];
        hessian += rows->hessian[list[i]];
    }
    float step = rows->renew >= 0 ? renewed(job, rows, list + r->begin, r->end - r->begin)
                                  : fr_boost_step(rows, job->options, gradient, hessian);
    fr_tree_leaf(tree, r->node, step, (uint32_t)(r->end - r->begin));
    for (size_t i = r->begin; i < r->end; i++) {
        rows->raw[list[i]] += (double)step;
    }
}

static void choose(fr_boost_exact *g)
{
    for (size_t k = 0; k < g->opens; k++) {
        range *r = &g->open[k];
        double n = (double)(r->end - r->begin), s = (double)r->gradient;
        r->best = (cut){.score = s * s / n * (1 + 1e-12)}; // what no cut at all scores
        r->best.rows = 0;
        for (size_t f = 0; f < g->features; f++) {
            const cut *c = &g->found[f * g->room + k];
            if (c->rows > 0 && c->score > r->best.score) {
                r->best = *c;
                r->feature = (uint32_t)f;
            }
        }
    }
}

static void mark_sides(fr_boost_exact *g, const uint32_t *list, size_t begin,
                       size_t middle, size_t end)
{
    uint8_t *goes_right = g->goes_right;
    for (size_t i = begin; i < middle; i++) {
        goes_right[list[i]] = 0;
    }
    for (size_t i = middle; i < end; i++) {
        goes_right[list[i]] = 1;
    }
}

// Splits one range: its node, the side of each row, and two new ranges.
static void split(const level_job *job, const fr_boost_rows *rows, const range *r,
                  bool last, fr_tree *tree, double *importance)
{
    fr_boost_exact *g = job->g;
    uint32_t child = fr_tree_pair(tree);
    if (tree->failed) {
        return;
    }
    double n = (double)(r->end - r->begin), s = (double)r->gradient;
    importance[r->feature] += (r->best.score - s * s / n) * rows->unit * rows->unit;
    tree->node[r->node] =
        (fr_node){.cut = fr_ranks_cut(g->ranks, r->feature, r->best.left, r->best.right),
                  .feature = fr_node_flagged(r->feature, r->best.rows,
                                             r->end - r->begin - r->best.rows),
                  .left = child,
                  .weight = (uint32_t)(r->end - r->begin)};
    size_t middle = r->begin + r->best.rows;
    if (!last) {
        mark_sides(g, job->from[r->feature], r->begin, middle, r->end);
    }
    g->made[g->mades++] = (range){
        .begin = r->begin, .end = middle, .node = child, .gradient = r->best.gradient};
    g->made[g->mades++] = (range){.begin = middle,
                                  .end = r->end,
                                  .node = child + 1,
                                  .gradient = r->gradient - r->best.gradient};
}

static void reserve(fr_boost_exact *g, size_t ranges)
{
    if (ranges > g->room) {
        g->room = ranges * 2;
        g->open = fr_realloc(g->open, g->room * sizeof *g->open);
        g->made = fr_realloc(g->made, g->room * sizeof *g->made);
        g->found = fr_realloc(g->found, g->room * g->features * sizeof *g->found);
    }
}

// One level: finds cuts, splits, turns what cannot be split into leaves. At the last
// level the list of the feature that was cut holds the leaves as ranges, so that nothing
// need be partitioned for them.
static int grow_level(level_job *job, fr_boost_rows *rows, fr_tree *tree, bool last,
                      double *importance)
{
    fr_boost_exact *g = job->g;
    int rc = for_features(g, sweep_feature, job);
    if (rc != FR_OK) {
        return rc;
    }
    choose(g);
    g->mades = 0;
    for (size_t k = 0; k < g->opens && !tree->failed; k++) {
        const range *r = &g->open[k];
        if (r->best.rows == 0) {
            make_leaf(job, rows, job->from[0], r, tree);
            continue;
        }
        split(job, rows, r, last, tree, importance);
        if (last && !tree->failed) {
            make_leaf(job, rows, job->from[r->feature], &g->made[g->mades - 2], tree);
            make_leaf(job, rows, job->from[r->feature], &g->made[g->mades - 1], tree);
        }
    }
    if (tree->failed) {
        return FR_ENOMEM;
    }
    if (last || g->mades == 0) {
        g->opens = 0;
        return FR_OK;
    }
    rc = for_features(g, partition_feature, job);
    range *t = g->open;
    g->open = g->made;
    g->made = t;
    g->opens = g->mades;
    return rc;
}

int fr_boost_exact_grow(fr_boost_exact *g, fr_boost_rows *rows, const fr_boost_options *o,
                        fr_tree *tree, double *importance)
{
    if (g->bucket != NULL) {
        return fr_boost_bucket_grow(g->bucket, rows, o, tree, importance);
    }
    reserve(g, 2);
    int64_t sum = 0;
    for (size_t i = 0; i < g->rows; i++) {
        sum += rows->gradient[i];
    }
    (void)fr_tree_pair(tree);
    if (tree->failed) {
        return FR_ENOMEM;
    }
    tree->count = 1;
    g->open[0] = (range){.end = g->rows, .gradient = sum};
    g->opens = 1;
    level_job job = {g, rows, o, g->order, true};
    int rc = FR_OK;
    for (uint32_t depth = 1; g->opens > 0 && rc == FR_OK; depth++) {
        reserve(g, 2 * g->opens);
        tree->depth = depth;
        rc = grow_level(&job, rows, tree, depth >= o->depth, importance);
        uint32_t **t = g->list; // what was made is now read
        g->list = g->next;
        g->next = t;
        job.from = g->list;
    }
    return rc;
}
