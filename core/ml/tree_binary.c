// tree_binary -- growing trees of two classes, exact: every cut between two values of a
// node is weighed by the decrease of Gini impurity, without sorting in the nodes.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/tree_grow.h"

#include <string.h>

enum { CANCEL_ROWS = 4096 };

// positives << 16 | weight, for nodes of weight below 65,536.
static inline uint32_t packed(const fr_sample *s)
{
    return (uint32_t)s->positive << 16 | s->weight;
}

// The three sweeps fill bin[] with the bins in use, in order, and below[] with the sums
// up to and including each; they return how many. Every bin is visited here: right when
// most are in use.
static uint32_t sweep_dense(fr_grower *g, const uint16_t *rank, uint32_t bins,
                            const fr_sample *s, const fr_sample *end)
{
    uint32_t *hist = g->hist, *below = g->below;
    uint16_t *bin = g->bin;
    for (; s < end; s++) {
        hist[rank[s->row]] += packed(s);
    }
    uint32_t used = 0, sum = 0;
    for (uint32_t b = 0; b < bins; b++) {
        uint32_t h = hist[b];
        hist[b] = 0;
        sum += h;
        bin[used] = (uint16_t)b;
        below[used] = sum;
        used += h != 0;
    }
    return used;
}

static inline uint32_t drain(fr_grower *g, uint32_t w, uint32_t used, uint32_t *sum)
{
    uint32_t *hist = g->hist, running = *sum;
    uint64_t word = g->used[w];
    g->used[w] = 0;
    for (; word != 0; word &= word - 1) {
        uint32_t b = w << 6 | (uint32_t)__builtin_ctzll(word);
        running += hist[b];
        hist[b] = 0;
        g->bin[used] = (uint16_t)b;
        g->below[used] = running;
        used++;
    }
    *sum = running;
    return used;
}

// Bits say which bins are in use, so that clearing and scanning stay proportional to the
// node: one level of them here,
static uint32_t sweep_words(fr_grower *g, const uint16_t *rank, uint32_t bins,
                            const fr_sample *s, const fr_sample *end)
{
    uint32_t *hist = g->hist;
    uint64_t *words = g->used;
    for (; s < end; s++) {
        uint32_t b = rank[s->row];
        hist[b] += packed(s);
        words[b >> 6] |= 1ULL << (b & 63);
    }
    uint32_t used = 0, sum = 0;
    for (uint32_t w = 0; w <= (bins - 1) >> 6; w++) {
        used = drain(g, w, used, &sum);
    }
    return used;
}

// and two for few samples among many bins.
static uint32_t sweep_blocks(fr_grower *g, const uint16_t *rank, uint32_t bins,
                             const fr_sample *s, const fr_sample *end)
{
    uint32_t *hist = g->hist;
    uint64_t *words = g->used, *blocks = g->used_words;
    for (; s < end; s++) {
        uint32_t b = rank[s->row];
        hist[b] += packed(s);
        words[b >> 6] |= 1ULL << (b & 63);
        blocks[b >> 12] |= 1ULL << (b >> 6 & 63);
    }
    uint32_t used = 0, sum = 0;
    for (uint32_t z = 0; z <= (bins - 1) >> 12; z++) {
        uint64_t block = blocks[z];
        blocks[z] = 0;
        for (; block != 0; block &= block - 1) {
            used = drain(g, z << 6 | (uint32_t)__builtin_ctzll(block), used, &sum);
        }
    }
    return used;
}

// Cuts first .. end-1 keep min_leaf distinct rows on both sides.
static void keep_min_leaf(fr_grower *g, const uint16_t *rank, const fr_open_node *n,
                          uint32_t *first, uint32_t *end)
{
    for (size_t i = n->begin; i < n->end; i++) {
        g->rows[rank[g->samples[i].row]]++;
    }
    uint32_t left = 0, rows = (uint32_t)(n->end - n->begin), least = g->options->min_leaf;
    uint32_t cuts = *end;
    *end = 0;
    for (uint32_t i = 0; i <= cuts; i++) {
        left += g->rows[g->bin[i]];
        g->rows[g->bin[i]] = 0;
        *first += left < least;
        *end += i < cuts && rows - left >= least;
    }
}

// Weighs all cuts of one feature. False when the feature is constant in the node.
static bool try_feature(fr_grower *g, uint32_t f, const fr_open_node *n, fr_cut *best)
{
    const fr_ranks *ranks = g->data->ranks;
    const uint16_t *rank = g->rank[f];
    const fr_sample *s = g->samples + n->begin, *end = g->samples + n->end;
    uint32_t bins = ranks->bins[f], rows = (uint32_t)(n->end - n->begin);
    uint32_t used = rows * 2 > bins || bins <= 64 ? sweep_dense(g, rank, bins, s, end)
                    : rows > bins >> 6            ? sweep_words(g, rank, bins, s, end)
                                                  : sweep_blocks(g, rank, bins, s, end);
    if (used < 2) {
        return false;
    }
    uint32_t first = 0, last = used - 1;
    if (g->rows != NULL) {
        keep_min_leaf(g, rank, n, &first, &last);
    }
    if (first >= last) {
        return true;
    }
    uint32_t near = g->kernel->peaks(g->below + first, last - first, n->weight,
                                     n->positive, g->score, g->list);
    for (uint32_t k = 0; k < near; k++) {
        uint32_t i = first + g->list[k], wl = g->below[i] & 0xffff,
                 pl = g->below[i] >> 16;
        double v = fr_cut_score(wl, pl, n->weight, n->positive);
        if (v > best->score) {
            *best = (fr_cut){v, f, g->bin[i], g->bin[i + 1], wl, pl};
        }
    }
    return true;
}

// The same for the few nodes of weight 65,536 and more.
static bool try_feature_wide(fr_grower *g, uint32_t f, const fr_open_node *n, fr_cut *best)
{
    const uint16_t *rank = g->rank[f];
    uint32_t bins = g->data->ranks->bins[f], rows = (uint32_t)(n->end - n->begin);
    for (size_t i = n->begin; i < n->end; i++) {
        const fr_sample *s = &g->samples[i];
        fr_wide_bin *h = &g->wide[rank[s->row]];
        h->weight += s->weight;
        h->positive += s->positive;
        h->rows++;
    }
    uint32_t last = 0, wl = 0, pl = 0, left = 0;
    bool varied = false;
    for (uint32_t b = 0; b < bins; b++) {
        fr_wide_bin h = g->wide[b];
        g->wide[b] = (fr_wide_bin){0};
        if (h.rows == 0) {
            continue;
        }
        varied |= left > 0;
        if (left >= g->options->min_leaf && rows - left >= g->options->min_leaf) {
            double v = fr_cut_score(wl, pl, n->weight, n->positive);
            if (v > best->score) {
                *best = (fr_cut){v, f, last, b, wl, pl};
            }
        }
        last = b;
        wl += h.weight;
        pl += h.positive;
        left += h.rows;
    }
    return varied;
}

// As scikit-learn draws: at least one feature that is not constant here, otherwise
// max_features in all.
static fr_cut find_cut(fr_grower *g, const fr_open_node *n)
{
    fr_cut best = {.score = -1};
    uint32_t left = (uint32_t)g->data->ranks->features, tried = 0;
    bool varied = false;
    while (left > 0 && (tried < g->options->max_features || !varied)) {
        uint32_t f = fr_grower_feature(g, &left);
        bool coarse = g->at != NULL && g->data->ranks->bins[f] > FR_COARSE_BUCKETS;
        varied |= coarse               ? fr_grower_coarse(g, f, n, &best)
                  : n->weight < 65536 ? try_feature(g, f, n, &best)
                                      : try_feature_wide(g, f, n, &best);
        tried++;
    }
    return best;
}

static void split(fr_grower *g, const fr_open_node *n, fr_cut *c)
{
    size_t middle = fr_grower_partition(g, n, c);
    uint32_t child = fr_tree_pair(g->tree);
    if (g->tree->failed) {
        return;
    }
    double p = n->positive, w = n->weight;
    g->importance[c->feature] += 2 * (c->score - p * p / w);
    g->tree->node[n->node] =
        (fr_node){.cut = fr_cut_ranks(c->left, c->right),
                  .feature = fr_node_flagged(c->feature, middle - n->begin,
                                             n->end - middle),
                  .left = child,
                  .weight = n->weight};
    fr_grower_push(g, (fr_open_node){middle, n->end, child + 1, n->depth + 1,
                                     n->weight - c->weight, n->positive - c->positive});
    fr_grower_push(
        g, (fr_open_node){n->begin, middle, child, n->depth + 1, c->weight, c->positive});
}

// Copies the ranks of a node's rows together and numbers its samples anew: its subtree
// then works in cache, where each row of all data would be a miss.
static void pack(fr_grower *g, const fr_open_node *n)
{
    size_t p = g->data->ranks->features, rows = n->end - n->begin;
    fr_sample *s = g->samples + n->begin;
    for (size_t i = 0; i < rows; i++) {
        const uint16_t *from = g->data->ranks->by_row + (size_t)s[i].row * p;
        for (size_t f = 0; f < p; f++) {
            g->packed[f * FR_PACKED_STRIDE + i] = from[f];
        }
        s[i].row = (uint32_t)i;
    }
    g->rank = g->packed_rank;
}

static void place_cuts(fr_grower *g)
{
    for (size_t k = 0; k < g->tree->count; k++) {
        fr_node *n = &g->tree->node[k];
        if (n->feature >= 0) {
            uint32_t both;
            memcpy(&both, &n->cut, sizeof both);
            n->cut = fr_ranks_cut(g->data->ranks, (size_t)fr_node_feature(n),
                                  both & 0xffff, both >> 16);
        }
    }
}

// Splits the node on top of the stack, or makes it a leaf.
static void grow_next(fr_grower *g, size_t small)
{
    const fr_tree_options *o = g->options;
    fr_open_node n = g->stack[--g->open];
    size_t rows = n.end - n.begin;
    if (rows <= small && n.weight < 256) {
        fr_grower_small(g, &n);
        return;
    }
    g->tree->depth = FR_MAX(g->tree->depth, n.depth);
    fr_cut c = {.score = -1};
    if (n.positive > 0 && n.positive < n.weight && rows >= o->min_split &&
        n.depth < o->max_depth) {
        c = find_cut(g, &n);
    }
    if (c.score < 0) {
        fr_tree_leaf(g->tree, n.node, (float)((double)n.positive / n.weight), n.weight);
    } else {
        split(g, &n, &c);
    }
}

void fr_grower_binary(fr_grower *g, size_t samples, uint32_t weight, uint32_t positive)
{
    const uint16_t *const *all = (const uint16_t *const *)g->data->ranks->rank;
    size_t small = (size_t)g->kernel->most_parts * FR_LANES_PART, packed = SIZE_MAX;
    g->open = 0;
    g->rank = all;
    fr_grower_push(g, (fr_open_node){0, samples, 0, 0, weight, positive});
    while (g->open > 0 && !g->tree->failed) {
        const fr_open_node *next = &g->stack[g->open - 1];
        size_t rows = next->end - next->begin;
        if (g->open <= packed) { // the packed subtree is done
            packed = SIZE_MAX;
            g->rank = all;
        }
        if (g->packed != NULL && g->rank == all && rows <= FR_PACKED_ROWS) {
            packed = g->open - 1;
            pack(g, next);
        }
        if (rows > CANCEL_ROWS && fr_cancelled()) {
            return;
        }
        grow_next(g, small);
    }
    if (!g->tree->failed) {
        place_cuts(g);
    }
}
