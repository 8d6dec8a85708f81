#pragma once
// tree_grow -- what the growers of trees share. Private to core/ml/tree_*.c.

#include "core/base/rand.h"
#include "core/ml/tree.h"
#include "core/ml/tree_lanes.h"

#include <string.h>

// A row in play: how often the bootstrap drew it, and how often as class 1.
typedef struct fr_sample {
    uint32_t row;
    uint16_t weight, positive;
} fr_sample;

// xoshiro256** (Blackman, Vigna), seeded from the tree's fr_rand stream: the many small
// draws of a tree cost a third of Philox's.
typedef struct fr_draw {
    uint64_t s[4];
} fr_draw;

static inline void fr_draw_init(fr_draw *d, uint64_t seed, uint64_t stream)
{
    fr_rand r;
    fr_rand_init(&r, seed, stream);
    for (int i = 0; i < 4; i++) {
        d->s[i] = fr_rand_u64(&r);
    }
    d->s[0] |= d->s[0] == 0; // never the all-zero state
}

static inline uint64_t fr_draw_turn(uint64_t x, int k) { return x << k | x >> (64 - k); }

static inline uint64_t fr_draw_u64(fr_draw *d)
{
    uint64_t *s = d->s, t = s[1] << 17;
    uint64_t result = fr_draw_turn(s[1] * 5, 7) * 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = fr_draw_turn(s[3], 45);
    return result;
}

// Uniform below n; the bias of n / 2^32 does not matter for drawing rows and features.
static inline uint32_t fr_draw_below(fr_draw *d, uint32_t n)
{
    return (uint32_t)(((fr_draw_u64(d) >> 32) * n) >> 32);
}

static inline double fr_draw_unit(fr_draw *d) // [0, 1)
{
    return (double)(fr_draw_u64(d) >> 11) * 0x1p-53;
}

// A node that still has to be split.
typedef struct fr_open_node {
    size_t begin, end; // of its samples
    uint32_t node, depth;
    uint32_t weight, positive;
} fr_open_node;

// A row in play of a general tree: its weight times how often it was drawn, and its
// number or class.
typedef struct fr_item {
    double weight, y;
    uint32_t row, drawn;
} fr_item;

typedef struct fr_wide_bin {
    uint32_t weight, positive, rows;
} fr_wide_bin;

// While a tree grows, a node keeps the facing ranks of its cut where the cut will be:
// their values would be misses of the cache, one after the other; at the end they are
// independent of each other.
static inline float fr_cut_ranks(uint32_t left, uint32_t right)
{
    uint32_t both = right << 16 | left;
    float held;
    memcpy(&held, &both, sizeof held);
    return held;
}

// The best cut of a node so far, of two classes.
typedef struct fr_cut {
    double score;                  // negative: none found
    uint32_t feature, left, right; // the facing bins
    uint32_t weight, positive;     // of the left side
} fr_cut;

// Sum over both sides of positives^2 / weight: the part of the Gini decrease that depends
// on the cut. Exact enough in double to tell any two different cuts of 65,535 apart.
static inline double fr_cut_score(double wl, double pl, double weight, double positive)
{
    double wr = weight - wl, pr = positive - pl;
    return (pl * pl * wr + pr * pr * wl) / (wl * wr);
}

enum {
    FR_COARSE_BUCKETS = 256,
    FR_PACKED_ROWS = 1024,
    FR_PACKED_STRIDE = FR_PACKED_ROWS + 32, // not all features in one set of the cache
};

enum { FR_SMALL_LEVELS = 3 }; // groups of 128, 64 and 32 lanes

struct fr_grower {
    const fr_lanes_kernel *kernel; // the trees do not depend on which
    const fr_tree_data *data;
    const fr_tree_options *options;
    fr_draw draw;
    fr_tree *tree;
    double *importance;
    uint32_t *order; // permutation of the features
    fr_sample *samples, *spare;
    uint16_t *drawn; // bootstrap counts by row
    fr_open_node *stack;
    size_t open, stack_capacity;
    // Histogram of one feature: positives << 16 | weight by bin, and two levels of bits
    // that say which bins are in use. All zero between uses.
    uint32_t *hist;
    uint64_t *used, *used_words;
    fr_wide_bin *wide;     // instead, when a node may weigh 65,536
    uint16_t *bin;         // the bins in use, in order,
    uint32_t *below;       // with running sums,
    float *score;          // scores of the cuts between them,
    uint32_t *list;        // and the best of those
    uint32_t *rows;        // distinct rows by bin, when needed
    const uint16_t *const *rank; // [feature][row], of the data or of a packed subtree
    uint16_t *packed;            // ranks of a subtree's rows, see fr_grower_binary
    const uint16_t **packed_rank;
    uint16_t *at;          // of a feature with many values: each sample's rank
    uint64_t *fine;        // and a histogram of some of them
    uint16_t *lane;        // small nodes: [level][feature][128] ranks
    uint64_t *lane_filled; // [level], a bit per feature
    fr_item *items, *spare_items; // general trees, instead of samples
    uint32_t *place;              // a node's items in order of one feature
    uint32_t *start;              // where each of the bins in use begins there
    double *sums;                 // by class: of the node, its left side, its missing
};

// The next feature to try: Fisher-Yates over the first *left entries of order.
static inline uint32_t fr_grower_feature(fr_grower *g, uint32_t *left)
{
    uint32_t k = fr_draw_below(&g->draw, *left);
    uint32_t f = g->order[k];
    g->order[k] = g->order[--*left];
    g->order[*left] = f;
    return f;
}

// Moves the samples with rank <= c->left to the front; returns where the others begin.
// When c->right is 0, c->left and c->right become the ranks that face each other.
size_t fr_grower_partition(fr_grower *g, const fr_open_node *n, fr_cut *c);
// Weighs all cuts of one feature of many values, see tree_coarse.c; in `best`, left is any
// rank between what the cut parts and right is 0. False when the feature is constant in the node.
bool fr_grower_coarse(fr_grower *g, uint32_t feature, const fr_open_node *n,
                      fr_cut *best);
void fr_grower_push(fr_grower *g, fr_open_node n);
void fr_grower_binary(fr_grower *g, size_t samples, uint32_t weight, uint32_t positive);
// Any criterion, weights, missing values, random cuts: tree_general.c.
void *fr_grower_zeroed(size_t n, size_t size, bool *ok); // clears *ok without memory
bool fr_grower_is_general(const fr_tree_data *data, const fr_tree_options *options);
bool fr_grower_general_room(fr_grower *g, size_t bins);
void fr_grower_general(fr_grower *g);

// Grows the whole subtree of a node of few samples (kernel->most_parts * 32) and weight
// below 256, of two classes.
void fr_grower_small(fr_grower *g, const fr_open_node *n);
