// boost_hist -- boosted trees on histograms of at most 256 bins, grown leaf by leaf: the
// leaf with the greatest gain is split next (Ke et al. 2017, LightGBM).
//
// A histogram has one 64-bit cell per bin, gradient << shift | rows, so a row costs one
// addition per feature; of two children only the smaller is counted, the other is the
// difference to the parent. Threads share out the features: each counts, subtracts and
// searches its own, so one fork per split is enough and nothing is added up afterwards.

#include "core/ml/boost_hist.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"

#include <math.h>
#include <string.h>

enum {
    BINS = FR_BOOST_BINS,
    PARALLEL_CELLS = 1 << 15, // rows x features that are worth waking threads
    PARALLEL_ROWS = 1 << 14,
    BLOCK_ROWS = 1 << 14,
    MOST_PARTS = 16,
    COUNTED = 10, // features counted at a time: 20 KiB, so that L1 keeps the rows too
};

typedef fr_boost_leaf leaf;

// A cell has room for all rows: as many bits as their number needs for counting, the
// others for the sum of gradients.
static void share_bits(fr_boost_hist *g, const fr_boost_rows *rows)
{
    g->row_bits = 1;
    while ((size_t)1 << g->row_bits <= g->rows) {
        g->row_bits++;
    }
    g->drop = 0;
    while ((double)g->rows * rows->most >= 0x1p62 / (double)((uint64_t)1 << g->row_bits) *
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
    g->cells = p * BINS;
    g->room = FR_MIN((size_t)o->leaves, n) + 1;
    g->column = fr_zalloc(p * sizeof *g->column);
    g->row_major = fr_try_alloc(n * p + 64);
    g->entry = fr_try_alloc((n + 64) * sizeof *g->entry);
    g->spare = fr_try_alloc((n + 64) * sizeof *g->spare);
    g->leaves = fr_try_alloc(g->room * sizeof *g->leaves);
    g->pool = fr_zalloc(g->room * sizeof *g->pool);
    g->general = o->monotone != NULL || o->categorical != NULL;
    for (size_t f = 0; f < p; f++) {
        g->general |= g->ranks->missing[f];
    }
    g->sides = o->categorical != NULL ? fr_try_alloc(g->room * BINS) : NULL;
    bool ok = g->row_major != NULL && g->entry != NULL && g->spare != NULL &&
              g->leaves != NULL && (o->categorical == NULL || g->sides != NULL);
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
    void *const blocks[] = {g->column, g->row_major, g->entry, g->spare,
                            g->leaves, g->pool,      g->sides};
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
                                                             int64_t *hist, size_t first,
                                                             size_t features)
{
    const uint8_t *rows = g->row_major + first;
    size_t stride = g->features;
    for (size_t i = begin; i < end; i++) {
        const uint8_t *row = rows + row_of(g->entry[i]) * stride;
        __builtin_prefetch(rows + row_of(g->entry[i + 16]) * stride);
        int64_t cell = cell_of(g->entry[i], g->row_bits);
        for (size_t f = 0; f < features; f++) {
            hist[f * BINS + row[f]] += cell;
        }
    }
}

static void count_weights(const fr_boost_hist *g, const int32_t *weight, const leaf *l,
                          size_t first, size_t end)
{
    int64_t *hist = l->hist + g->cells;
    for (size_t i = l->begin; i < l->end; i++) {
        size_t at = row_of(g->entry[i]);
        const uint8_t *row = g->row_major + at * g->features;
        for (size_t f = first; f < end; f++) {
            hist[f * BINS + row[f]] += weight[at];
        }
    }
}

static void count_features(const fr_boost_hist *g, const fr_boost_rows *rows,
                           const leaf *l, size_t first, size_t end)
{
    size_t n = end - first;
    int64_t *hist = l->hist + first * BINS;
    memset(hist, 0, n * BINS * sizeof *hist);
    if (n == 4) { // constant counts unroll the loop over features
        count_rows(g, l->begin, l->end, hist, first, 4);
    } else if (n == COUNTED) {
        count_rows(g, l->begin, l->end, hist, first, COUNTED);
    } else {
        count_rows(g, l->begin, l->end, hist, first, n);
    }
    if (rows->weight != NULL) {
        memset(hist + g->cells, 0, n * BINS * sizeof *hist);
        count_weights(g, rows->weight, l, first, end);
    }
}

// What one thread finds for the two children of a split, or for the root.
typedef struct found {
    leaf leaf[2];
    uint8_t side[2][BINS];
} found;

typedef struct search_job {
    const fr_boost_hist *g;
    const fr_boost_rows *rows;
    const fr_boost_options *o;
    leaf *few, *many; // many: NULL for the root
    bool may[2];
    size_t parts;
    found part[MOST_PARTS];
} search_job;

static void search_part(void *ctx, size_t k)
{
    search_job *job = ctx;
    const fr_boost_hist *g = job->g;
    size_t first = g->features * k / job->parts, end = g->features * (k + 1) / job->parts;
    leaf *const both[2] = {job->few, job->many};
    for (size_t f = first; f < end; f += COUNTED) {
        count_features(g, job->rows, job->few, f, FR_MIN(end, f + COUNTED));
    }
    if (job->many != NULL) {
        int64_t *hist = job->many->hist;
        const int64_t *less = job->few->hist;
        for (size_t i = first * BINS; i < end * BINS; i++) {
            hist[i] -= less[i];
        }
        for (size_t i = first * BINS; i < end * BINS && job->rows->weight != NULL; i++) {
            hist[g->cells + i] -= less[g->cells + i];
        }
    }
    for (int i = 0; i < 2; i++) {
        if (job->may[i]) {
            job->part[k].leaf[i] = *both[i];
            job->part[k].leaf[i].side = job->part[k].side[i];
            fr_boost_find(g, job->rows, job->o, &job->part[k].leaf[i], first, end);
        }
    }
}

// Counts the smaller of two children and finds the best splits of both. Which thread has
// which features does not change what is found: of equal splits the first feature's wins.
static int search(const fr_boost_hist *g, const fr_boost_rows *rows,
                  const fr_boost_options *o, leaf *few, leaf *many)
{
    search_job job = {.g = g, .rows = rows, .o = o, .few = few, .many = many};
    leaf *const both[2] = {few, many};
    for (int i = 0; i < 2; i++) {
        job.may[i] = both[i] != NULL && fr_boost_may_split(o, both[i]);
    }
    if (!job.may[0] && !job.may[1]) {
        return fr_cancel_code();
    }
    size_t work = (few->end - few->begin + 2048) * g->features; // bins count as well
    job.parts = work < PARALLEL_CELLS
                    ? 1
                    : FR_MIN(FR_MIN((size_t)fr_pool_threads(), MOST_PARTS), g->features);
    int rc = fr_pool_run(job.parts, search_part, &job);
    for (int i = 0; i < 2 && rc == FR_OK; i++) {
        for (size_t k = 0; k < job.parts && job.may[i]; k++) {
            if (job.part[k].leaf[i].gain > both[i]->gain) {
                uint8_t *side = both[i]->side;
                *both[i] = job.part[k].leaf[i];
                both[i]->side = side;
                if (both[i]->by_side) {
                    memcpy(side, job.part[k].side[i], BINS);
                }
            }
        }
        if (job.may[i]) {
            fr_boost_settle(rows, g, o, both[i]);
        }
    }
    return rc;
}

// ---- moving rows

typedef struct move_job {
    fr_boost_hist *g;
    const leaf *l;
    size_t parts, left[MOST_PARTS];
    bool by_side;
    uint8_t side[BINS];
} move_job;

static size_t part_begin(const move_job *job, size_t k)
{
    return job->l->begin + (job->l->end - job->l->begin) * k / job->parts;
}

// Stable and without branches; the gradients move with their rows, so that counting reads
// both in order.
static void move_part(void *ctx, size_t k)
{
    move_job *job = ctx;
    const leaf *l = job->l;
    const uint8_t *column = job->g->column[l->feature], *side = job->side;
    size_t begin = part_begin(job, k), end = part_begin(job, k + 1);
    uint64_t *restrict entry = job->g->entry, *restrict spare = job->g->spare;
    size_t left = begin, right = begin;
    uint32_t bin = l->bin;
    for (size_t i = begin; i < end && !job->by_side; i++) {
        uint64_t e = entry[i];
        size_t goes_left = column[row_of(e)] <= bin;
        entry[left] = e;
        spare[right] = e;
        left += goes_left;
        right += 1 - goes_left;
    }
    for (size_t i = begin; i < end && job->by_side; i++) {
        uint64_t e = entry[i];
        size_t goes_left = side[column[row_of(e)]];
        entry[left] = e;
        spare[right] = e;
        left += goes_left;
        right += 1 - goes_left;
    }
    job->left[k] = left - begin;
}

// Which side each bin takes, where the bin alone does not say.
static void fill_sides(const fr_boost_hist *g, const leaf *l, uint8_t *side)
{
    if (l->by_side) {
        memcpy(side, l->side, BINS);
        return;
    }
    for (uint32_t b = 0; b < BINS; b++) {
        side[b] = b <= l->bin;
    }
    side[g->ranks->bins[l->feature] - 1] = l->missing_left;
}

static int partition(fr_boost_hist *g, const leaf *l, size_t *middle)
{
    size_t n = l->end - l->begin;
    move_job job = {.g = g, .l = l, .parts = 1};
    job.by_side = l->by_side || g->ranks->missing[l->feature];
    if (job.by_side) {
        fill_sides(g, l, job.side);
    }
    if (n >= PARALLEL_ROWS) {
        job.parts = FR_MIN((size_t)fr_pool_threads(), MOST_PARTS);
    }
    int rc = fr_pool_run(job.parts, move_part, &job);
    size_t left = l->begin;
    for (size_t k = 0; k < job.parts && rc == FR_OK; k++) {
        memmove(g->entry + left, g->entry + part_begin(&job, k),
                job.left[k] * sizeof *g->entry);
        left += job.left[k];
    }
    *middle = left;
    for (size_t k = 0; k < job.parts && rc == FR_OK; k++) {
        size_t begin = part_begin(&job, k),
               right = part_begin(&job, k + 1) - begin - job.left[k];
        memcpy(g->entry + left, g->spare + begin, right * sizeof *g->entry);
        left += right;
    }
    return rc;
}

// ---- growing

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
        g->pool[k] = fr_alloc(2 * g->cells * sizeof **g->pool);
    }
    return g->pool[k];
}

static void set_node(const fr_boost_hist *g, const leaf *l, uint32_t child, fr_tree *tree)
{
    size_t rows = l->end - l->begin;
    uint32_t f = l->feature, numbers = g->ranks->bins[f] - g->ranks->missing[f];
    float cut = l->bin + 1 < numbers ? fr_ranks_cut(g->ranks, f, l->bin, l->bin + 1)
                                     : g->ranks->high[f][l->bin];
    bool missing_left = g->general ? l->missing_left : 2 * l->left_rows > rows;
    fr_node *n = &tree->node[l->node];
    *n = (fr_node){
        .cut = cut,
        .feature = (int32_t)(f | (missing_left ? 0 : (uint32_t)FR_TREE_MISSING_RIGHT)),
        .left = child,
        .weight = (uint32_t)rows};
    if (l->by_side) {
        uint32_t set = fr_tree_set(tree);
        for (uint32_t b = 0; b < numbers && !tree->failed; b++) {
            uint32_t code = (uint32_t)g->ranks->low[f][b];
            tree->set[set * FR_TREE_SET_WORDS + code / 32] |= (uint32_t)l->side[b]
                                                              << code % 32;
        }
        bool none_left = g->ranks->missing[f] && l->side[numbers] != 0;
        n->feature = (int32_t)(f | FR_TREE_CATEGORY |
                               (none_left ? 0 : (uint32_t)FR_TREE_MISSING_RIGHT));
        memcpy(&n->cut, &set, sizeof set);
    }
}

// The bounds of the children's steps: they meet in the middle of what both would take.
static void set_bounds(const fr_boost_rows *rows, const fr_boost_options *o,
                       const fr_boost_hist *g, const leaf *parent, leaf *l, leaf *r)
{
    l->low = r->low = parent->low;
    l->high = r->high = parent->high;
    if (o->monotone == NULL || o->monotone[parent->feature] == 0) {
        return;
    }
    double unit = rows->unit * (double)((uint64_t)1 << g->drop), step[2];
    const leaf *const both[2] = {l, r};
    for (int i = 0; i < 2; i++) {
        double h = (double)both[i]->weight * rows->weight_unit + o->l2;
        double v = h < 1e-150 ? 0 : (double)both[i]->gradient * unit / h;
        step[i] = FR_MIN(FR_MAX(v, parent->low), parent->high);
    }
    double middle = (step[0] + step[1]) / 2;
    if (o->monotone[parent->feature] > 0) {
        l->high = r->low = middle;
    } else {
        l->low = r->high = middle;
    }
}

static int split(fr_boost_hist *g, const fr_boost_rows *rows, const fr_boost_options *o,
                 leaf *l, fr_tree *tree)
{
    uint32_t child = fr_tree_pair(tree);
    if (tree->failed) {
        return FR_ENOMEM;
    }
    set_node(g, l, child, tree);
    if (tree->failed) {
        return FR_ENOMEM;
    }
    tree->depth = FR_MAX(tree->depth, l->depth + 1);
    bool last = g->count + g->pairs + 1 >= o->leaves || l->depth + 1 >= o->depth;
    if (last && !g->general && rows->renew < 0) {
        l->pair = true;  // neither child is split, so the rows can stay where
        l->node = child; // they are and nobody needs histograms
        l->gain = 0;
        g->pairs++;
        return fr_cancel_code();
    }
    leaf parent = *l;
    size_t middle;
    int rc = partition(g, l, &middle);
    if (rc != FR_OK) {
        return rc;
    }
    leaf *r = &g->leaves[g->count++];
    *l = (leaf){.begin = parent.begin,
                .end = middle,
                .node = child,
                .depth = parent.depth + 1,
                .gradient = parent.left_gradient,
                .weight = parent.left_weight,
                .side = parent.side};
    *r = (leaf){.begin = middle,
                .end = parent.end,
                .node = child + 1,
                .depth = l->depth,
                .gradient = parent.gradient - parent.left_gradient,
                .weight = parent.weight - parent.left_weight,
                .side = g->sides != NULL ? g->sides + (g->count - 1) * BINS : NULL};
    set_bounds(rows, o, g, &parent, l, r);
    if (last) {
        return rc;
    }
    leaf *few = l->end - l->begin < r->end - r->begin ? l : r, *many = few == l ? r : l;
    few->hist = histogram(g, g->count - 1);
    many->hist = parent.hist;
    return search(g, rows, o, few, many);
}

// ---- leaves

typedef struct leaf_job {
    const fr_boost_hist *g;
    fr_boost_rows *rows;
    const fr_boost_options *o;
    fr_tree *tree;
} leaf_job;

static void make_leaf(const leaf_job *job, const leaf *l)
{
    const fr_boost_hist *g = job->g;
    fr_boost_rows *rows = job->rows;
    float step;
    if (rows->renew >= 0) {
        step = fr_boost_renewed(rows, job->o, g->entry + l->begin, l->end - l->begin);
    } else {
        int64_t gradient = 0, hessian = 0;
        for (size_t i = l->begin; i < l->end; i++) {
            gradient += rows->gradient[row_of(g->entry[i])];
            hessian += rows->hessian[row_of(g->entry[i])];
        }
        double v = fr_boost_newton(rows, job->o, gradient, hessian);
        v = FR_MIN(FR_MAX(v, l->low), l->high);
        step = (float)(job->o->learning_rate * v);
    }
    fr_tree_leaf(job->tree, l->node, step, (uint32_t)(l->end - l->begin));
    for (size_t i = l->begin; i < l->end; i++) {
        rows->raw[row_of(g->entry[i])] += (double)step;
    }
}

static void make_pair(const leaf_job *job, const leaf *l)
{
    const fr_boost_hist *g = job->g;
    fr_boost_rows *rows = job->rows;
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
        fr_boost_step(rows, job->o, gradient - left_gradient, hessian - left_hessian),
        fr_boost_step(rows, job->o, left_gradient, left_hessian),
    };
    fr_tree_leaf(job->tree, l->node, step[1], (uint32_t)l->left_rows);
    fr_tree_leaf(job->tree, l->node + 1, step[0],
                 (uint32_t)(l->end - l->begin - l->left_rows));
    for (size_t i = l->begin; i < l->end; i++) {
        size_t row = row_of(g->entry[i]);
        rows->raw[row] += (double)step[column[row] <= l->bin];
    }
}

static void make_one(void *ctx, size_t i)
{
    const leaf_job *job = ctx;
    const leaf *l = &job->g->leaves[i];
    (l->pair ? make_pair : make_leaf)(job, l);
}

// ---- a round

typedef struct begin_job {
    fr_boost_hist *g;
    const fr_boost_rows *rows;
    size_t count;
    int64_t *gradient, *weight; // sums by block
} begin_job;

static void begin_block(void *ctx, size_t k)
{
    const begin_job *job = ctx;
    const fr_boost_rows *rows = job->rows;
    const int32_t *gradient = rows->gradient;
    const uint32_t *chosen = rows->chosen;
    uint64_t *restrict entry = job->g->entry;
    unsigned drop = job->g->drop;
    int64_t sum = 0, weight = 0, half = drop > 0 ? (int64_t)1 << (drop - 1) : 0;
    size_t begin = k * BLOCK_ROWS, end = FR_MIN(begin + BLOCK_ROWS, job->count);
    for (size_t i = begin; i < end && chosen == NULL; i++) {
        int64_t q = (gradient[i] + half) >> drop;
        sum += q;
        entry[i] = (uint64_t)q << 32 | i;
    }
    for (size_t i = begin; i < end && chosen != NULL; i++) {
        int64_t q = (gradient[chosen[i]] + half) >> drop;
        sum += q;
        entry[i] = (uint64_t)q << 32 | chosen[i];
    }
    for (size_t i = begin; i < end && rows->weight != NULL; i++) {
        weight += rows->weight[row_of(entry[i])];
    }
    job->gradient[k] = sum;
    job->weight[k] = weight;
}

static int begin_round(fr_boost_hist *g, const fr_boost_rows *rows, leaf *root)
{
    size_t count = rows->chosen != NULL ? rows->chosen_count : g->rows;
    size_t blocks = (count + BLOCK_ROWS - 1) / BLOCK_ROWS;
    begin_job job = {.g = g, .rows = rows, .count = count};
    job.gradient = fr_alloc(2 * blocks * sizeof *job.gradient);
    job.weight = job.gradient + blocks;
    int rc = fr_pool_run(blocks, begin_block, &job);
    memset(g->entry + count, 0, 64 * sizeof *g->entry); // read ahead by the prefetch
    *root = (leaf){.end = count,
                   .hist = histogram(g, 0),
                   .low = -INFINITY,
                   .high = INFINITY,
                   .side = g->sides};
    for (size_t k = 0; k < blocks && rc == FR_OK; k++) {
        root->gradient += job.gradient[k];
        root->weight += job.weight[k];
    }
    fr_free(job.gradient);
    return rc;
}

int fr_boost_hist_grow(fr_boost_hist *g, fr_boost_rows *rows, const fr_boost_options *o,
                       fr_tree *tree, double *importance)
{
    (void)fr_tree_pair(tree);
    if (tree->failed) {
        return FR_ENOMEM;
    }
    tree->count = 1;
    share_bits(g, rows);
    g->general |= rows->weight != NULL;
    g->count = 1;
    g->pairs = 0;
    leaf *root = &g->leaves[0];
    int rc = begin_round(g, rows, root);
    rc = rc != FR_OK ? rc : search(g, rows, o, root, NULL);
    while (rc == FR_OK && g->count + g->pairs < o->leaves) {
        leaf *l = best_leaf(g);
        if (l == NULL) {
            break;
        }
        importance[l->feature] += l->gain;
        rc = split(g, rows, o, l, tree);
    }
    leaf_job job = {g, rows, o, tree};
    return rc != FR_OK ? rc : fr_pool_run(g->count, make_one, &job);
}
