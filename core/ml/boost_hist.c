// boost_hist -- boosted trees on histograms of at most 256 bins, grown leaf by leaf: the
// leaf with the greatest gain is split next (Ke et al. 2017, LightGBM).
//
// A histogram has one 64-bit cell per bin, gradient << shift | rows, so a row costs one
// addition per feature; of two children only the smaller is counted, the other is the
// difference to the parent.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/ml/boost_grow.h"
#include "core/ml/kernel_gain.h"

#include <string.h>

enum { BINS = 256, PARALLEL_CELLS = 1 << 17, BLOCK_ROWS = 1 << 14 };

typedef struct leaf {
    size_t begin, end; // of the entries
    uint32_t node, depth;
    int64_t gradient;
    int64_t *hist;         // [feature][BINS]
    double gain;           // 0: cannot be split
    uint32_t feature, bin; // rows with bin <= this go left
    size_t left_rows;
    bool pair; // split for the last time: two leaves, node and node + 1
    int64_t left_gradient;
} leaf;

struct fr_boost_hist {
    fr_ranks *ranks; // u16, of at most BINS bins
    size_t rows, features;
    uint8_t *row_major;      // [row][feature], for counting
    uint8_t **column;        // [feature][row], for partitioning
    uint64_t *entry, *spare; // rows by leaf: gradient << 32 | row
    leaf *leaves;
    size_t count, room, pairs;
    int64_t **pool;    // histograms, one per leaf
    int64_t *partial;  // of parallel counting: [thread][feature][BINS]
    unsigned row_bits; // of a cell
    unsigned drop;     // low bits of gradients that do not fit into one
};

// A cell has room for all rows: as many bits as their number needs for counting, the
// others for the sum of gradients, |g| <= 1 / unit.
static void share_bits(fr_boost_hist *g, double unit)
{
    g->row_bits = 1;
    while ((size_t)1 << g->row_bits <= g->rows) {
        g->row_bits++;
    }
    g->drop = 0;
    while ((double)g->rows / unit >= 0x1p62 / (double)((uint64_t)1 << g->row_bits) *
                                         (double)((uint64_t)1 << g->drop)) {
        g->drop++;
    }
}

static int make_bytes(fr_boost_hist *g)
{
    size_t n = g->rows, p = g->features;
    for (size_t f = 0; f < p; f++) {
        g->column[f] = fr_try_alloc(n);
        if (g->column[f] == NULL) {
            return FR_ENOMEM;
        }
        for (size_t i = 0; i < n; i++) {
            g->column[f][i] = (uint8_t)g->ranks->rank[f][i];
        }
    }
    for (size_t at = 0; at < n; at += BLOCK_ROWS) {
        size_t end = FR_MIN(n, at + BLOCK_ROWS);
        for (size_t f = 0; f < p; f++) {
            for (size_t i = at; i < end; i++) {
                g->row_major[i * p + f] = g->column[f][i];
            }
        }
    }
    return FR_OK;
}

int fr_boost_hist_new(const fr_columns *x, const fr_boost_options *o, fr_boost_hist **out,
                      fr_err *err)
{
    *out = NULL;
    fr_boost_hist *g = fr_zalloc(sizeof *g);
    int rc = fr_ranks_new(x, BINS, &g->ranks, err);
    if (rc != FR_OK) {
        fr_free(g);
        return rc;
    }
    size_t n = x->rows, p = x->count;
    g->rows = n;
    g->features = p;
    g->room = FR_MIN((size_t)o->leaves, n) + 1;
    g->column = fr_zalloc(p * sizeof *g->column);
    g->row_major = fr_try_alloc(n * p + 64);
    g->entry = fr_try_alloc((n + 64) * sizeof *g->entry);
    g->spare = fr_try_alloc((n + 64) * sizeof *g->spare);
    g->leaves = fr_try_alloc(g->room * sizeof *g->leaves);
    g->pool = fr_zalloc(g->room * sizeof *g->pool);
    bool ok =
        g->row_major != NULL && g->entry != NULL && g->spare != NULL && g->leaves != NULL;
    if (!ok || make_bytes(g) != FR_OK) {
        fr_boost_hist_free(g);
        return fr_fail(err, FR_ENOMEM, "no memory to bin %zu x %zu values", n, p);
    }
    *out = g;
    return FR_OK;
}

void fr_boost_hist_free(fr_boost_hist *g)
{
    if (g == NULL) {
        return;
    }
    for (size_t f = 0; f < g->features && g->column != NULL; f++) {
        fr_free(g->column[f]);
    }
    for (size_t i = 0; i < g->room; i++) {
        fr_free(g->pool[i]);
    }
    void *const blocks[] = {g->column, g->row_major, g->entry,  g->spare,
                            g->leaves, g->pool,      g->partial};
    for (size_t i = 0; i < FR_COUNT(blocks); i++) {
        fr_free(blocks[i]);
    }
    fr_ranks_free(g->ranks);
    fr_free(g);
}

static inline size_t row_of(uint64_t entry) { return (uint32_t)entry; }
static inline int64_t cell_of(uint64_t entry, unsigned row_bits)
{
    return (int64_t)((uint64_t)((int64_t)entry >> 32) << row_bits) + 1;
}

// ---- counting

static inline __attribute__((always_inline)) void count_rows(const fr_boost_hist *g,
                                                             size_t begin, size_t end,
                                                             int64_t *hist,
                                                             size_t features)
{
    const uint8_t *rows = g->row_major;
    for (size_t i = begin; i < end; i++) {
        const uint8_t *row = rows + row_of(g->entry[i]) * features;
        __builtin_prefetch(rows + row_of(g->entry[i + 16]) * features);
        int64_t cell = cell_of(g->entry[i], g->row_bits);
        for (size_t f = 0; f < features; f++) {
            hist[f * BINS + row[f]] += cell;
        }
    }
}

static void count_range(const fr_boost_hist *g, size_t begin, size_t end, int64_t *hist)
{
    memset(hist, 0, g->features * BINS * sizeof *hist);
    if (g->features == 4) { // constant counts unroll the loop over features
        count_rows(g, begin, end, hist, 4);
    } else if (g->features == 20) {
        count_rows(g, begin, end, hist, 20);
    } else {
        count_rows(g, begin, end, hist, g->features);
    }
}

typedef struct count_job {
    const fr_boost_hist *g;
    size_t begin, end, parts;
    int64_t *hist;
} count_job;

static void count_part(void *ctx, size_t k)
{
    const count_job *job = ctx;
    size_t n = job->end - job->begin, cells = job->g->features * BINS;
    count_range(job->g, job->begin + n * k / job->parts,
                job->begin + n * (k + 1) / job->parts,
                k == 0 ? job->hist : job->g->partial + (k - 1) * cells);
}

// Integer sums do not depend on how the rows are shared out, so parts follow the threads.
static int count(fr_boost_hist *g, size_t begin, size_t end, int64_t *hist)
{
    size_t parts = FR_MIN((size_t)fr_pool_threads(), 16), cells = g->features * BINS;
    if (parts < 2 || (end - begin) * g->features < PARALLEL_CELLS) {
        count_range(g, begin, end, hist);
        return fr_cancel_code();
    }
    if (g->partial == NULL) {
        g->partial = fr_alloc(15 * cells * sizeof *g->partial);
    }
    count_job job = {g, begin, end, parts, hist};
    int rc = fr_pool_run(parts, count_part, &job);
    for (size_t k = 1; k < parts && rc == FR_OK; k++) {
        const int64_t *part = g->partial + (k - 1) * cells;
        for (size_t i = 0; i < cells; i++) {
            hist[i] += part[i];
        }
    }
    return rc;
}

// ---- splitting

// The best cut of one feature when it scores above `best`; its score, or `best`.
static int32_t best_cut(const int64_t *hist, uint32_t bins, const fr_gain_bins *node,
                        int32_t best, leaf *out, uint32_t feature)
{
    int64_t prefix[BINS], sum = 0;
    int32_t score[BINS];
    for (uint32_t b = 0; b < bins; b++) {
        sum += hist[b];
        prefix[b] = sum;
    }
    int32_t top = fr_gain_of_bins(prefix, bins - 1, node, score);
    if (top <= best) {
        return best;
    }
    uint32_t b = 0;
    while (score[b] != top) {
        b++;
    }
    out->feature = feature;
    out->bin = b;
    out->left_rows = (size_t)((uint64_t)prefix[b] & (((uint64_t)1 << node->shift) - 1));
    out->left_gradient = prefix[b] >> node->shift;
    return top;
}

static double side_score(double gradient, double rows, double l2)
{
    return gradient * gradient / (rows + l2);
}

static void find_split(const fr_boost_hist *g, const fr_boost_options *o, leaf *l)
{
    size_t rows = l->end - l->begin;
    l->gain = 0;
    if (rows < 2 * (size_t)o->min_leaf || l->depth >= o->depth) {
        return;
    }
    int32_t best = 0, least = (int32_t)FR_MIN(o->min_leaf, INT32_MAX);
    const fr_gain_bins node = {g->row_bits, (int32_t)rows, least, l->gradient,
                               (float)o->l2};
    for (uint32_t f = 0; f < g->features; f++) {
        if (g->ranks->bins[f] > 1) {
            best = best_cut(l->hist + f * BINS, g->ranks->bins[f], &node, best, l, f);
        }
    }
    if (best > 0) {
        double left = (double)l->left_rows, sum = (double)l->left_gradient;
        double own = side_score((double)l->gradient, (double)rows, o->l2);
        double gain = side_score(sum, left, o->l2) +
                      side_score((double)l->gradient - sum, (double)rows - left, o->l2) -
                      own;
        l->gain = gain > own * 1e-12 ? gain : 0;
    }
}

// Stable and without branches; the gradients move with their rows, so that counting reads
// both in order.
static size_t partition(fr_boost_hist *g, const leaf *l)
{
    const uint8_t *column = g->column[l->feature];
    uint64_t *restrict entry = g->entry, *restrict spare = g->spare;
    size_t left = l->begin, right = 0, end = l->end;
    uint32_t bin = l->bin;
    for (size_t i = left; i < end; i++) {
        uint64_t e = entry[i];
        size_t goes_left = column[row_of(e)] <= bin;
        entry[left] = e;
        spare[right] = e;
        left += goes_left;
        right += 1 - goes_left;
    }
    memcpy(entry + left, spare, right * sizeof *entry);
    return left;
}

static leaf *best_leaf(fr_boost_hist *g)
{
    leaf *best = NULL;
    for (size_t i = 0; i < g->count; i++) {
        leaf *l = &g->leaves[i];
        if (l->gain > 0 && (best == NULL || l->gain > best->gain)) {
            best = l;
        }
    }
    return best;
}

static int64_t *histogram(fr_boost_hist *g, size_t k)
{
    if (g->pool[k] == NULL) {
        g->pool[k] = fr_alloc(g->features * BINS * sizeof **g->pool);
    }
    return g->pool[k];
}

// Histograms of both children of a leaf: the smaller is counted, the other is the rest.
static int count_children(fr_boost_hist *g, leaf *left, leaf *right, int64_t *parent)
{
    leaf *few = left->end - left->begin < right->end - right->begin ? left : right;
    leaf *many = few == left ? right : left;
    few->hist = histogram(g, g->count - 1);
    many->hist = parent;
    int rc = count(g, few->begin, few->end, few->hist);
    for (size_t i = 0; i < g->features * BINS; i++) {
        parent[i] -= few->hist[i];
    }
    return rc;
}

static void set_node(const fr_boost_hist *g, const leaf *l, uint32_t child, fr_tree *tree)
{
    tree->node[l->node] =
        (fr_node){.cut = fr_ranks_cut(g->ranks, l->feature, l->bin, l->bin + 1),
                  .feature = (int32_t)l->feature,
                  .left = child,
                  .weight = (uint32_t)(l->end - l->begin)};
}

static int split(fr_boost_hist *g, const fr_boost_options *o, leaf *l, fr_tree *tree)
{
    uint32_t child = fr_tree_pair(tree);
    if (tree->failed) {
        return FR_ENOMEM;
    }
    set_node(g, l, child, tree);
    tree->depth = FR_MAX(tree->depth, l->depth + 1);
    if (g->count + g->pairs + 1 >= o->leaves || l->depth + 1 >= o->depth) {
        l->pair = true;  // neither child is split, so the rows can stay where
        l->node = child; // they are and nobody needs histograms
        l->gain = 0;
        g->pairs++;
        return fr_cancel_code();
    }
    leaf parent = *l;
    size_t middle = partition(g, l);
    leaf *r = &g->leaves[g->count++];
    *l = (leaf){.begin = parent.begin,
                .end = middle,
                .node = child,
                .depth = parent.depth + 1,
                .gradient = parent.left_gradient};
    *r = (leaf){.begin = middle,
                .end = parent.end,
                .node = child + 1,
                .depth = l->depth,
                .gradient = parent.gradient - parent.left_gradient};
    int rc = count_children(g, l, r, parent.hist);
    find_split(g, o, l);
    find_split(g, o, r);
    return rc;
}

static void make_leaf(const fr_boost_hist *g, fr_boost_rows *rows,
                      const fr_boost_options *o, const leaf *l, fr_tree *tree)
{
    int64_t gradient = 0, hessian = 0;
    for (size_t i = l->begin; i < l->end; i++) {
        gradient += rows->gradient[row_of(g->entry[i])];
        hessian += rows->hessian[row_of(g->entry[i])];
    }
    float step = fr_boost_step(rows, o, gradient, hessian);
    fr_tree_leaf(tree, l->node, step, (uint32_t)(l->end - l->begin));
    for (size_t i = l->begin; i < l->end; i++) {
        rows->raw[row_of(g->entry[i])] += (double)step;
    }
}

static void make_pair(const fr_boost_hist *g, fr_boost_rows *rows,
                      const fr_boost_options *o, const leaf *l, fr_tree *tree)
{
    const uint8_t *column = g->column[l->feature];
    int64_t gradient = 0, hessian = 0, left_gradient = 0, left_hessian = 0;
    for (size_t i = l->begin; i < l->end; i++) {
        size_t row = row_of(g->entry[i]);
        int64_t left = -(int64_t)(column[row] <= l->bin);
        gradient += rows->gradient[row];
        hessian += rows->hessian[row];
        left_gradient += rows->gradient[row] & left;
        left_hessian += rows->hessian[row] & left;
    }
    const float step[2] = {
        fr_boost_step(rows, o, gradient - left_gradient, hessian - left_hessian),
        fr_boost_step(rows, o, left_gradient, left_hessian),
    };
    fr_tree_leaf(tree, l->node, step[1], (uint32_t)l->left_rows);
    fr_tree_leaf(tree, l->node + 1, step[0],
                 (uint32_t)(l->end - l->begin - l->left_rows));
    for (size_t i = l->begin; i < l->end; i++) {
        size_t row = row_of(g->entry[i]);
        rows->raw[row] += (double)step[column[row] <= l->bin];
    }
}

static int64_t begin_round(fr_boost_hist *g, const fr_boost_rows *rows)
{
    const int32_t *gradient = rows->gradient;
    uint64_t *restrict entry = g->entry;
    unsigned drop = g->drop;
    int64_t sum = 0, half = drop > 0 ? (int64_t)1 << (drop - 1) : 0;
    size_t n = g->rows;
    for (size_t i = 0; i < n; i++) {
        int64_t q = (gradient[i] + half) >> drop;
        sum += q;
        entry[i] = (uint64_t)q << 32 | i;
    }
    memset(entry + n, 0, 64 * sizeof *entry); // read ahead by the prefetch
    return sum;
}

int fr_boost_hist_grow(fr_boost_hist *g, fr_boost_rows *rows, const fr_boost_options *o,
                       fr_tree *tree, double *importance)
{
    (void)fr_tree_pair(tree);
    if (tree->failed) {
        return FR_ENOMEM;
    }
    tree->count = 1;
    share_bits(g, rows->unit);
    g->count = 1;
    g->pairs = 0;
    leaf *root = &g->leaves[0];
    *root =
        (leaf){.end = g->rows, .gradient = begin_round(g, rows), .hist = histogram(g, 0)};
    int rc = count(g, 0, g->rows, root->hist);
    find_split(g, o, root);
    double unit = rows->unit * (double)((uint64_t)1 << g->drop);
    while (rc == FR_OK && g->count + g->pairs < o->leaves) {
        leaf *l = best_leaf(g);
        if (l == NULL) {
            break;
        }
        importance[l->feature] += l->gain * unit * unit;
        rc = split(g, o, l, tree);
    }
    for (size_t i = 0; i < g->count && rc == FR_OK; i++) {
        (g->leaves[i].pair ? make_pair : make_leaf)(g, rows, o, &g->leaves[i], tree);
    }
    return rc;
}
