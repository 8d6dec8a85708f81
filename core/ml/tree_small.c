// tree_small -- subtrees of at most 128 samples, where most of a forest's nodes are.
//
// A sample is a lane: a node is a set of lanes, a feature an array of ranks. Running sums
// come from comparing every lane with every sample, so nothing is sorted or moved; below
// 32 samples that is one vector. A group that shrinks is packed into fewer vectors. The
// kernel's float scores only shortlist the cuts; the choice is made in integers, so it is
// exact and the same on every machine.

#include "core/ml/tree_grow.h"

#include <string.h>

enum { PART = FR_LANES_PART };

typedef struct lane_node {
    fr_lanes_set in;
    uint32_t rows, node, depth;
    uint32_t weight, positive;
} lane_node;

// The best cut so far, its score as the fraction num / den.
typedef struct lane_cut {
    uint64_t num, den; // den 0: none found
    uint32_t feature;
    uint16_t at;               // greatest rank on the left
    uint32_t weight, positive; // of the left side
} lane_cut;

typedef struct lane_job {
    fr_grower *g;
    const fr_lanes_kernel *kernel;
    const fr_sample *samples;
    uint32_t count;
    int parts;
    uint16_t *ranks;  // [feature][FR_LANES_MOST], filled as asked for
    uint64_t *filled; // bit per feature
    _Alignas(64) uint16_t pair[FR_LANES_MOST]; // weight << 8 | positives
    _Alignas(64) uint16_t sum[FR_LANES_MOST];
} lane_job;

static const uint16_t *lanes_of(lane_job *job, uint32_t f)
{
    uint16_t *x = job->ranks + (size_t)f * FR_LANES_MOST;
    uint64_t bit = 1ULL << (f & 63);
    if ((job->filled[f >> 6] & bit) == 0) {
        job->filled[f >> 6] |= bit;
        const uint16_t *rank = job->g->rank[f];
        for (uint32_t i = 0; i < job->count; i++) {
            x[i] = rank[job->samples[i].row];
        }
        memset(x + job->count, 0, ((size_t)job->parts * PART - job->count) * sizeof *x);
    }
    return x;
}

// The first of equal cuts in the order of values wins, as in the histograms.
static inline void keep_best(const lane_job *job, const uint16_t *x, uint32_t f,
                             const fr_lanes_set *near, const lane_node *n, lane_cut *best)
{
    for (int i = 0; i < job->parts; i++) {
        for (uint32_t m = near->part[i]; m != 0; m &= m - 1) {
            int l = i * PART + __builtin_ctz(m);
            uint32_t wl = job->sum[l] >> 8, pl = job->sum[l] & 255;
            uint32_t wr = n->weight - wl, pr = n->positive - pl;
            uint64_t num = (uint64_t)pl * pl * wr + (uint64_t)pr * pr * wl;
            uint64_t den = (uint64_t)wl * wr;
            uint64_t a = num * best->den, b = best->num * den;
            if (best->den == 0 || a > b ||
                (a == b && best->feature == f && x[l] < best->at)) {
                *best = (lane_cut){num, den, f, x[l], wl, pl};
            }
        }
    }
}

static void keep_min_leaf(const lane_job *job, const uint16_t *x, const lane_node *n,
                          fr_lanes_set *cuts)
{
    _Alignas(64) uint16_t one[FR_LANES_MOST], rows[FR_LANES_MOST];
    for (int l = 0; l < job->parts * PART; l++) {
        one[l] = 1;
    }
    uint32_t least = job->g->options->min_leaf;
    job->kernel->below(x, one, &n->in, job->parts, rows);
    for (int i = 0; i < job->parts; i++) {
        for (uint32_t m = cuts->part[i]; m != 0; m &= m - 1) {
            int l = __builtin_ctz(m);
            uint32_t left = rows[i * PART + l];
            if (left < least || n->rows - left < least) {
                cuts->part[i] &= ~(1U << l);
            }
        }
    }
}

static inline bool any(const fr_lanes_set *s, int parts)
{
    uint32_t all = 0;
    for (int i = 0; i < parts; i++) {
        all |= s->part[i];
    }
    return all != 0;
}

static lane_cut find_cut(lane_job *job, const lane_node *n)
{
    fr_grower *g = job->g;
    const fr_lanes_kernel *k = job->kernel;
    lane_cut best = {0};
    uint32_t left = (uint32_t)g->data->ranks->features, tried = 0;
    bool varied = false;
    while (left > 0 && (tried < g->options->max_features || !varied)) {
        uint32_t f = fr_grower_feature(g, &left);
        const uint16_t *x = lanes_of(job, f);
        fr_lanes_set cuts, near;
        k->below(x, job->pair, &n->in, job->parts, job->sum);
        k->parting(job->sum, &n->in, job->parts, n->weight, &cuts);
        varied |= any(&cuts, job->parts);
        if (g->options->min_leaf > 1) {
            keep_min_leaf(job, x, n, &cuts);
        }
        if (any(&cuts, job->parts)) {
            k->shortlist(job->sum, &cuts, job->parts, n->weight, n->positive, &near);
            keep_best(job, x, f, &near, n, &best);
        }
        tried++;
    }
    return best;
}

// Writes the two children to `to`, the left one last; returns how many (0 without
// memory).
static int split(lane_job *job, const lane_node *n, const lane_cut *c, lane_node *to)
{
    fr_grower *g = job->g;
    uint32_t child = fr_tree_pair(g->tree);
    if (g->tree->failed) {
        return 0;
    }
    const uint16_t *x = job->ranks + (size_t)c->feature * FR_LANES_MOST;
    lane_node left = {.node = child,
                      .depth = n->depth + 1,
                      .weight = c->weight,
                      .positive = c->positive};
    lane_node right = {.node = child + 1,
                       .depth = n->depth + 1,
                       .weight = n->weight - c->weight,
                       .positive = n->positive - c->positive};
    uint16_t next = job->kernel->divide(x, &n->in, job->parts, c->at, &left.in);
    for (int i = 0; i < job->parts; i++) {
        right.in.part[i] = n->in.part[i] & ~left.in.part[i];
        left.rows += (uint32_t)__builtin_popcount(left.in.part[i]);
    }
    right.rows = n->rows - left.rows;
    double p = n->positive, score = (double)c->num / (double)c->den;
    g->importance[c->feature] += 2 * (score - p * p / n->weight);
    g->tree->node[n->node] =
        (fr_node){.cut = fr_cut_ranks(c->at, next),
                  .feature = fr_node_flagged(c->feature, left.rows, right.rows),
                  .left = child,
                  .weight = n->weight};
    to[0] = right;
    to[1] = left;
    return 2;
}

static void grow(fr_grower *g, const fr_sample *samples, lane_node root, int level);

// Copies the samples of a node that has shrunk into their own, smaller group.
static void grow_packed(lane_job *job, const lane_node *n, int level)
{
    fr_sample packed[FR_LANES_MOST];
    uint32_t count = 0;
    for (int i = 0; i < job->parts; i++) {
        for (uint32_t m = n->in.part[i]; m != 0; m &= m - 1) {
            packed[count++] = job->samples[i * PART + __builtin_ctz(m)];
        }
    }
    grow(job->g, packed, *n, level + 1);
}

static void grow(fr_grower *g, const fr_sample *samples, lane_node root, int level)
{
    const fr_tree_options *o = g->options;
    size_t features = g->data->ranks->features;
    lane_job job;
    job.g = g;
    job.kernel = g->kernel;
    job.samples = samples;
    job.count = root.rows;
    job.parts = ((int)root.rows + PART - 1) / PART;
    job.ranks = g->lane + (size_t)level * features * FR_LANES_MOST;
    job.filled = g->lane_filled + (size_t)level * (features / 64 + 1);
    memset(job.filled, 0, (features / 64 + 1) * sizeof *job.filled);
    memset(job.pair, 0, (size_t)job.parts * PART * sizeof *job.pair);
    for (uint32_t i = 0; i < job.count; i++) {
        job.pair[i] = (uint16_t)(samples[i].weight << 8 | samples[i].positive);
    }
    for (int i = 0; i < job.parts; i++) {
        uint32_t here = root.rows - (uint32_t)i * PART;
        root.in.part[i] = here >= PART ? UINT32_MAX : (1U << here) - 1;
    }
    lane_node stack[FR_LANES_MOST + 2]; // a node has fewer rows than its parent
    int open = 0;
    stack[open++] = root;
    while (open > 0 && !g->tree->failed) {
        lane_node n = stack[--open];
        bool splits = n.positive > 0 && n.positive < n.weight && n.depth < o->max_depth &&
                      n.rows >= o->min_split;
        if (splits && ((int)n.rows + PART - 1) / PART <= job.parts / 2) {
            grow_packed(&job, &n, level);
            continue;
        }
        g->tree->depth = FR_MAX(g->tree->depth, n.depth);
        lane_cut c = {0};
        if (splits) {
            c = find_cut(&job, &n);
        }
        if (c.den == 0) {
            fr_tree_leaf(g->tree, n.node, (float)((double)n.positive / n.weight),
                         n.weight);
        } else {
            open += split(&job, &n, &c, stack + open);
        }
    }
}

void fr_grower_small(fr_grower *g, const fr_open_node *n)
{
    lane_node root = {.rows = (uint32_t)(n->end - n->begin),
                      .node = n->node,
                      .depth = n->depth,
                      .weight = n->weight,
                      .positive = n->positive};
    grow(g, g->samples + n->begin, root, 0);
}
