#include "core/ml/boost_bucket.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/ml/kernel_bucket.h"

#include <string.h>

enum {
    BUCKETS = 256,
    ROWS_PER_BUCKET = 40, // about: visiting one costs what bounding a hundred does
    MOST_DEPTH = 6,
    LEAST_ROWS = 3000, // of fewer, lists are faster
    LEAST_FEATURES = 8, // of fewer, too: the first few have no good cut to beat
    BLOCK = 8,             // features counted at a time: 32 KiB of cells
    PARALLEL_ROWS = 1 << 17, // of all features: worth waking threads
    ROW_BITS = 22,         // of a cell's count; the rest is for magnitudes
    COARSER = 10,          // bits that magnitudes leave out
};
static const size_t MOST_ROWS = (size_t)1 << 20;

static const double CLOSE = 1 + 1e-12;  // rounding, with room
static const double NO_CUT = 1 + 1e-12; // times what a node scores without one

// Sum of gradients, and magnitudes << ROW_BITS | rows: one addition per row and feature.
typedef int64_t cell __attribute__((vector_size(16)));

typedef struct bucket_cut {
    double score;
    size_t rows;      // on the left; 0: none found
    int64_t gradient; // of the left
    uint32_t feature;
    uint32_t place; // in the feature's sorted rows, where the right side begins
} bucket_cut;

typedef struct bucket_node {
    size_t begin, end; // of the rows
    uint32_t node;
    int64_t gradient;
    cell *hist; // [feature][BUCKETS]
    bucket_cut best;
} bucket_node;

struct fr_boost_bucket {
    const fr_ranks *ranks;
    uint64_t *const *sorted;
    size_t rows, features, blocks;
    uint8_t *code;   // [row][feature]: its bucket
    uint32_t *edge;  // [feature][BUCKETS + 1]: where buckets begin in `sorted`
    uint32_t *count; // [feature]: of buckets
    uint64_t *row, *spare; // by node; the row in the low half
    uint8_t *at;           // [row]: which of the open nodes
    cell *value;           // [row]
    cell **hist;           // one per open node
    bucket_node *open, *made;
    bucket_cut *found; // [block][open node]
    size_t opens, mades, hists;
};

// ---- making

// Ends of buckets of about `each` rows, never between equal values.
static uint32_t place_edges(const uint64_t *sorted, size_t n, size_t each, uint32_t *edge)
{
    uint32_t count = 0;
    edge[0] = 0;
    for (size_t i = 1; i <= n; i++) {
        bool parts = i == n || sorted[i - 1] >> 32 != sorted[i] >> 32;
        if (parts && (i == n || i - edge[count] >= each)) {
            edge[++count] = (uint32_t)i;
        }
    }
    return count;
}

static void fill_codes(fr_boost_bucket *g, size_t f)
{
    const uint32_t *edge = g->edge + f * (BUCKETS + 1);
    for (uint32_t b = 0; b < g->count[f]; b++) {
        for (size_t i = edge[b]; i < edge[b + 1]; i++) {
            g->code[(uint32_t)g->sorted[f][i] * g->features + f] = (uint8_t)b;
        }
    }
}

fr_boost_bucket *fr_boost_bucket_new(const fr_ranks *ranks, uint64_t *const *sorted,
                                     uint32_t depth)
{
    size_t n = ranks->rows, p = ranks->features;
    if (depth > MOST_DEPTH || n < LEAST_ROWS || n >= MOST_ROWS || p < LEAST_FEATURES) {
        return NULL;
    }
    fr_boost_bucket *g = fr_zalloc(sizeof *g);
    size_t nodes = (size_t)1 << depth;
    *g = (fr_boost_bucket){.ranks = ranks,
                           .sorted = sorted,
                           .rows = n,
                           .features = p,
                           .blocks = (p + BLOCK - 1) / BLOCK,
                           .hists = nodes};
    g->code = fr_try_alloc(n * p + BLOCK);
    g->edge = fr_try_alloc(p * (BUCKETS + 1) * sizeof *g->edge);
    g->count = fr_try_alloc(p * sizeof *g->count);
    g->row = fr_try_alloc((n + 1) * sizeof *g->row);
    g->spare = fr_try_alloc((n + 1) * sizeof *g->spare);
    g->at = fr_try_alloc(n);
    g->value = fr_try_alloc(n * sizeof *g->value);
    g->hist = fr_zalloc(nodes * sizeof *g->hist);
    g->open = fr_try_alloc(nodes * sizeof *g->open);
    g->made = fr_try_alloc(2 * nodes * sizeof *g->made);
    g->found = fr_try_alloc(g->blocks * nodes * sizeof *g->found);
    bool ok = g->code != NULL && g->edge != NULL && g->count != NULL && g->row != NULL &&
              g->spare != NULL && g->at != NULL && g->value != NULL && g->open != NULL &&
              g->made != NULL && g->found != NULL;
    for (size_t k = 0; k < nodes && ok; k++) {
        g->hist[k] = fr_try_alloc(g->blocks * BLOCK * BUCKETS * sizeof **g->hist);
        ok = g->hist[k] != NULL;
    }
    if (!ok) {
        fr_boost_bucket_free(g);
        return NULL;
    }
    size_t each = FR_MAX((size_t)ROWS_PER_BUCKET, (n + BUCKETS - 2) / (BUCKETS - 1));
    for (size_t f = 0; f < p; f++) {
        g->count[f] = place_edges(sorted[f], n, each, g->edge + f * (BUCKETS + 1));
        fill_codes(g, f);
    }
    return g;
}

void fr_boost_bucket_free(fr_boost_bucket *g)
{
    if (g == NULL) {
        return;
    }
    for (size_t k = 0; k < g->hists; k++) {
        fr_free(g->hist[k]);
    }
    void *const blocks[] = {g->code, g->edge,  g->count, g->row,  g->spare, g->at,
                            g->hist, g->value, g->open,  g->made, g->found};
    for (size_t i = 0; i < FR_COUNT(blocks); i++) {
        fr_free(blocks[i]);
    }
    fr_free(g);
}

// ---- searching

typedef struct bucket_job {
    fr_boost_bucket *g;
    const fr_boost_rows *rows;
    const fr_boost_options *o;
    bool in_turn; // blocks one after the other: each knows the best so far
} bucket_job;

static inline uint32_t row_of(uint64_t entry) { return (uint32_t)entry; }

static inline double score_of(double rows, double total, double left, double sum)
{
    double l = left, m = rows - l, x = sum, y = total - x;
    return (x * x * m + y * y * l) / (l * m);
}

// Of equal cuts the first feature's wins, and in a feature that of the least values.
static bool is_better(double score, uint32_t feature, size_t rows, const bucket_cut *best)
{
    if (score != best->score || best->rows == 0) {
        return score > best->score;
    }
    return feature != best->feature ? feature < best->feature : rows < best->rows;
}

// constant `n` unrolls.
static inline __attribute__((always_inline)) void
add_rows(const fr_boost_bucket *g, const bucket_node *k, size_t first, size_t n)
{
    cell *hist = k->hist + first * BUCKETS;
    const uint8_t *code = g->code + first;
    size_t p = g->features;
    for (size_t i = k->begin; i < k->end; i++) {
        uint32_t row = row_of(g->row[i]);
        const uint8_t *c = code + (size_t)row * p;
        cell v = g->value[row];
        for (size_t f = 0; f < n; f++) {
            hist[f * BUCKETS + c[f]] += v;
        }
    }
}

static void count_block(const fr_boost_bucket *g, const bucket_node *k, size_t first,
                        size_t n)
{
    memset(k->hist + first * BUCKETS, 0, n * BUCKETS * sizeof *k->hist);
    if (n == BLOCK) {
        add_rows(g, k, first, BLOCK);
    } else if (n == 4) {
        add_rows(g, k, first, 4);
    } else {
        add_rows(g, k, first, n);
    }
}

static void sum_up(const bucket_node *k, uint32_t f, uint32_t count, fr_bucket_sums *s)
{
    const cell *hist = k->hist + f * BUCKETS;
    const int64_t mask = ((int64_t)1 << ROW_BITS) - 1;
    int64_t gradient = 0, rows = 0;
    s->gradient[0] = s->rows[0] = 0;
    s->count = count;
    for (uint32_t b = 0; b < count; b++) {
        cell v = hist[b];
        gradient += v[0];
        rows += v[1] & mask;
        s->reach[b] = (v[1] >> ROW_BITS) << COARSER;
        s->gradient[b + 1] = gradient;
        s->rows[b + 1] = (int32_t)rows;
    }
}

static fr_bucket_node kernel_node(const bucket_job *job, const bucket_node *k, double best)
{
    return (fr_bucket_node){.rows = (float)(k->end - k->begin),
                            .total = (float)k->gradient,
                            .limit = (float)best,
                            .most = (float)job->rows->most};
}

// The numbers of flagged buckets, in order.
static uint32_t list_flagged(const uint8_t *flag, uint32_t count, uint8_t *list)
{
    uint32_t n = 0;
    for (uint32_t b = 0; b < count; b += 8) {
        uint64_t eight;
        memcpy(&eight, flag + b, sizeof eight);
        for (; eight != 0; eight &= eight - 1) {
            uint32_t at = b + (uint32_t)__builtin_ctzll(eight) / 8;
            list[n] = (uint8_t)at;
            n += at < count;
        }
    }
    return n;
}

static void weigh_buckets(const bucket_job *job, const bucket_node *k, uint32_t f,
                          const fr_bucket_sums *s, bucket_cut *best)
{
    int64_t n = (int64_t)(k->end - k->begin), least = (int64_t)job->o->min_leaf;
    fr_bucket_node node = kernel_node(job, k, best->score);
    uint8_t flag[BUCKETS] = {0}, list[BUCKETS];
    fr_bucket_between(s, &node, flag);
    uint32_t flagged = list_flagged(flag, s->count, list);
    for (uint32_t i = 0; i < flagged; i++) {
        int64_t left = s->rows[list[i] + 1], sum = s->gradient[list[i] + 1];
        if (left < least || n - left < least) {
            continue;
        }
        double v = score_of((double)n, (double)k->gradient, (double)left, (double)sum);
        if (is_better(v, f, (size_t)left, best)) {
            uint32_t place = job->g->edge[f * (BUCKETS + 1) + list[i] + 1];
            *best = (bucket_cut){v, (size_t)left, sum, f, place};
        }
    }
}

// Cuts between the values of one bucket.
static void visit(const bucket_job *job, const bucket_node *k, uint8_t number, uint32_t f,
                  uint32_t b, const fr_bucket_sums *s, bucket_cut *best)
{
    const fr_boost_bucket *g = job->g;
    const uint32_t *edge = g->edge + f * (BUCKETS + 1);
    const uint64_t *list = g->sorted[f];
    const int32_t *gradient = job->rows->gradient;
    size_t n = k->end - k->begin, least = job->o->min_leaf;
    size_t left = (size_t)s->rows[b];
    int64_t sum = s->gradient[b];
    uint64_t rank = UINT64_MAX;
    double rows = (double)n, total = (double)k->gradient;
    for (uint32_t i = edge[b]; i < edge[b + 1]; i++) {
        uint32_t row = row_of(list[i]);
        bool in = g->at[row] == number; // a surprise, so no branch depends on it alone
        double l = (double)left, m = rows - l, x = (double)sum, y = total - x;
        if ((x * x * m + y * y * l) * CLOSE >= best->score * (l * m) && in &&
            rank != UINT64_MAX && list[i] >> 32 != rank && left >= least &&
            n - left >= least) {
            double v = score_of(rows, total, l, x);
            if (is_better(v, f, left, best)) {
                *best = (bucket_cut){v, left, sum, f, i};
            }
        }
        rank = in ? list[i] >> 32 : rank;
        sum += gradient[row] & -(int64_t)in;
        left += in;
    }
}

static void search_node(const bucket_job *job, size_t number, size_t first, size_t end,
                        bucket_cut *best)
{
    const fr_boost_bucket *g = job->g;
    const bucket_node *k = &g->open[number];
    fr_bucket_sums s[BLOCK];
    for (size_t f = first; f < end; f++) {
        sum_up(k, (uint32_t)f, g->count[f], &s[f - first]);
        weigh_buckets(job, k, (uint32_t)f, &s[f - first], best);
    }
    for (size_t f = first; f < end; f++) {
        uint8_t flag[BUCKETS] = {0}, list[BUCKETS];
        fr_bucket_node node = kernel_node(job, k, best->score);
        fr_bucket_inside(&s[f - first], &node, flag);
        uint32_t flagged = list_flagged(flag, g->count[f], list);
        for (uint32_t i = 0; i < flagged; i++) {
            visit(job, k, (uint8_t)number, (uint32_t)f, list[i], &s[f - first], best);
        }
    }
}

// The smaller child of each pair is counted, the other is what is left of the parent.
static void count_open(const bucket_job *job, size_t first, size_t n)
{
    const fr_boost_bucket *g = job->g;
    if (g->opens == 1) {
        count_block(g, &g->open[0], first, n);
        return;
    }
    for (size_t i = 0; i + 1 < g->opens; i += 2) {
        const bucket_node *a = &g->open[i], *b = &g->open[i + 1];
        const bucket_node *few = a->end - a->begin < b->end - b->begin ? a : b;
        const bucket_node *many = few == a ? b : a;
        count_block(g, few, first, n);
        for (size_t c = first * BUCKETS; c < (first + n) * BUCKETS; c++) {
            many->hist[c] -= few->hist[c];
        }
    }
}

static void search_block(void *ctx, size_t k)
{
    bucket_job *job = ctx;
    fr_boost_bucket *g = job->g;
    size_t first = k * BLOCK, end = FR_MIN(first + BLOCK, g->features);
    count_open(job, first, end - first);
    for (size_t i = 0; i < g->opens; i++) {
        bucket_cut *best = &g->found[k * g->hists + i];
        *best = job->in_turn && k > 0 ? best[-(ptrdiff_t)g->hists] : g->open[i].best;
        search_node(job, i, first, end, best);
    }
}

static int search(bucket_job *job)
{
    fr_boost_bucket *g = job->g;
    size_t rows = 0;
    for (size_t i = 0; i < g->opens; i++) {
        bucket_node *k = &g->open[i];
        double n = (double)(k->end - k->begin), s = (double)k->gradient;
        k->best = (bucket_cut){.score = s * s / n * NO_CUT};
        rows += k->end - k->begin;
    }
    job->in_turn = rows * g->features < PARALLEL_ROWS;
    int rc = FR_OK;
    if (job->in_turn) {
        for (size_t b = 0; b < g->blocks; b++) {
            search_block(job, b);
        }
        rc = fr_cancel_code();
    } else {
        rc = fr_pool_run(g->blocks, search_block, job);
    }
    for (size_t b = 0; b < g->blocks && rc == FR_OK; b++) {
        for (size_t i = 0; i < g->opens; i++) {
            const bucket_cut *c = &g->found[b * g->hists + i];
            if (c->rows > 0 && is_better(c->score, c->feature, c->rows, &g->open[i].best)) {
                g->open[i].best = *c;
            }
        }
    }
    return rc;
}

// ---- growing

static void make_leaf(const bucket_job *job, fr_boost_rows *rows, const bucket_node *k,
                      fr_tree *tree)
{
    const uint64_t *list = job->g->row;
    int64_t gradient = 0, hessian = 0;
    for (size_t i = k->begin; i < k->end; i++) {
        gradient += rows->gradient[row_of(list[i])];
        hessian += rows->hessian[row_of(list[i])];
    }
    float step = rows->renew >= 0
                     ? fr_boost_renewed(rows, job->o, list + k->begin, k->end - k->begin)
                     : fr_boost_step(rows, job->o, gradient, hessian);
    fr_tree_leaf(tree, k->node, step, (uint32_t)(k->end - k->begin));
    for (size_t i = k->begin; i < k->end; i++) {
        rows->raw[row_of(list[i])] += (double)step;
    }
}

// The facing ranks of a node's best cut.
static void find_faces(const fr_boost_bucket *g, const bucket_node *k, uint8_t number,
                       uint32_t *left, uint32_t *right)
{
    const uint64_t *list = g->sorted[k->best.feature];
    size_t l = k->best.place - 1, r = k->best.place;
    while (g->at[row_of(list[l])] != number) {
        l--;
    }
    while (g->at[row_of(list[r])] != number) {
        r++;
    }
    *left = (uint32_t)(list[l] >> 32);
    *right = (uint32_t)(list[r] >> 32);
}

// Stable and without branches.
static void move_rows(fr_boost_bucket *g, const bucket_node *k, uint32_t limit)
{
    const uint16_t *rank = g->ranks->rank[k->best.feature];
    size_t l = k->begin, r = 0;
    for (size_t i = k->begin; i < k->end; i++) {
        uint64_t row = g->row[i];
        size_t goes_left = rank[row] <= limit;
        g->row[l] = row;
        g->spare[r] = row;
        l += goes_left;
        r += 1 - goes_left;
    }
    memcpy(g->row + l, g->spare, r * sizeof *g->row);
}

static void split(const bucket_job *job, size_t number, fr_tree *tree, double *importance)
{
    fr_boost_bucket *g = job->g;
    const bucket_node *k = &g->open[number];
    uint32_t child = fr_tree_pair(tree), left, right;
    if (tree->failed) {
        return;
    }
    double n = (double)(k->end - k->begin), s = (double)k->gradient;
    double unit = job->rows->unit;
    importance[k->best.feature] += (k->best.score - s * s / n) * unit * unit;
    find_faces(g, k, (uint8_t)number, &left, &right);
    size_t rows = k->best.rows, middle = k->begin + rows;
    tree->node[k->node] =
        (fr_node){.cut = fr_ranks_cut(g->ranks, k->best.feature, left, right),
                  .feature = fr_node_flagged(k->best.feature, rows,
                                             k->end - k->begin - rows),
                  .left = child,
                  .weight = (uint32_t)(k->end - k->begin)};
    move_rows(g, k, left);
    bucket_node *to = g->made + g->mades;
    to[0] = (bucket_node){.begin = k->begin, .end = middle, .node = child};
    to[0].gradient = k->best.gradient;
    to[1] = (bucket_node){.begin = middle, .end = k->end, .node = child + 1};
    to[1].gradient = k->gradient - k->best.gradient;
    to[0].hist = to[1].hist = k->hist; // the larger child's; the other gets a free one
    g->mades += 2;
}

// Numbers the new nodes, and gives the smaller of two children a histogram nobody has.
static void open_made(fr_boost_bucket *g)
{
    uint64_t taken = 0;
    for (size_t i = 0; i < g->mades; i += 2) {
        for (size_t h = 0; h < g->hists; h++) {
            taken |= (uint64_t)(g->hist[h] == g->made[i].hist) << h;
        }
    }
    for (size_t i = 0; i < g->mades; i += 2) {
        bucket_node *a = &g->made[i], *b = &g->made[i + 1];
        bucket_node *few = a->end - a->begin < b->end - b->begin ? a : b;
        int free = __builtin_ctzll(~taken);
        taken |= 1ULL << free;
        few->hist = g->hist[free];
    }
    for (size_t i = 0; i < g->mades; i++) {
        for (size_t r = g->made[i].begin; r < g->made[i].end; r++) {
            g->at[row_of(g->row[r])] = (uint8_t)i;
        }
    }
    memcpy(g->open, g->made, g->mades * sizeof *g->open);
    g->opens = g->mades;
}

static int grow_level(bucket_job *job, fr_boost_rows *rows, fr_tree *tree, bool last,
                      double *importance)
{
    fr_boost_bucket *g = job->g;
    int rc = search(job);
    g->mades = 0;
    for (size_t i = 0; i < g->opens && rc == FR_OK && !tree->failed; i++) {
        if (g->open[i].best.rows == 0) {
            make_leaf(job, rows, &g->open[i], tree);
            for (size_t r = g->open[i].begin; r < g->open[i].end; r++) {
                g->at[row_of(g->row[r])] = UINT8_MAX;
            }
            continue;
        }
        split(job, i, tree, importance);
        if (last && !tree->failed) {
            make_leaf(job, rows, &g->made[g->mades - 2], tree);
            make_leaf(job, rows, &g->made[g->mades - 1], tree);
        }
    }
    if (rc == FR_OK && tree->failed) {
        rc = FR_ENOMEM;
    }
    g->opens = 0;
    if (rc == FR_OK && !last) {
        open_made(g);
    }
    return rc;
}

int fr_boost_bucket_grow(fr_boost_bucket *g, fr_boost_rows *rows,
                         const fr_boost_options *o, fr_tree *tree, double *importance)
{
    int64_t sum = 0;
    (void)fr_tree_pair(tree);
    if (tree->failed) {
        return FR_ENOMEM;
    }
    tree->count = 1;
    for (size_t i = 0; i < g->rows; i++) {
        int64_t v = rows->gradient[i], reach = ((v < 0 ? -v : v) + (1 << COARSER) - 1) >> COARSER;
        sum += v;
        g->value[i] = (cell){v, reach << ROW_BITS | 1};
        g->row[i] = i;
    }
    memset(g->at, 0, g->rows);
    g->open[0] = (bucket_node){.end = g->rows, .gradient = sum, .hist = g->hist[0]};
    g->opens = 1;
    bucket_job job = {.g = g, .rows = rows, .o = o};
    int rc = FR_OK;
    for (uint32_t depth = 1; g->opens > 0 && rc == FR_OK; depth++) {
        tree->depth = depth;
        rc = grow_level(&job, rows, tree, depth >= o->depth, importance);
    }
    return rc;
}
