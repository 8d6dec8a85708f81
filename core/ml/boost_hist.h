#pragma once
// boost_hist -- the state of the histogram grower, which boost_hist.c moves rows in and
// boost_split.c finds splits in. Private to these two.

#include "core/ml/boost_grow.h"

enum { FR_BOOST_BINS = 256 };

typedef struct fr_boost_leaf {
    size_t begin, end; // of the entries
    uint32_t node, depth;
    int64_t gradient, weight;
    int64_t *hist;         // [feature][bin], then the same for weights
    double low, high;      // bounds of its step, by monotone features
    double gain;           // 0: cannot be split
    uint32_t feature, bin; // rows with bin <= this go left, unless `sides` says more
    bool missing_left;     // where the feature's last bin goes, if it is that of NaN
    size_t left_rows;
    int64_t left_gradient, left_weight;
    bool pair;       // split for the last time: two leaves, node and node + 1
    uint8_t *side;   // categorical: [bin], 1 for left; owned by the grower
    bool by_side;
} fr_boost_leaf;

struct fr_boost_hist {
    fr_ranks *ranks; // u16, of at most FR_BOOST_BINS bins
    size_t rows, features;
    size_t cells;            // of a histogram: features * bins
    uint8_t *row_major;      // [row][feature], for counting
    uint8_t **column;        // [feature][row], for partitioning
    uint64_t *entry, *spare; // rows by leaf: gradient << 32 | row
    fr_boost_leaf *leaves;
    uint8_t *sides; // [leaf][bin]
    size_t count, room, pairs;
    int64_t **pool;    // histograms, one per leaf
    int64_t *partial;  // of parallel counting: [thread][feature][bin]
    unsigned row_bits; // of a cell
    unsigned drop;     // low bits of gradients that do not fit into one
    bool general;      // weights, missing values, shapes: the slower search
};

// Finds the best split of a leaf among features first .. end - 1, better than what it
// has.
void fr_boost_find(const fr_boost_hist *g, const fr_boost_rows *rows,
                   const fr_boost_options *o, fr_boost_leaf *l, size_t first, size_t end);
// Whether it can be split at all; its gain is cleared.
bool fr_boost_may_split(const fr_boost_options *o, fr_boost_leaf *l);
// The true gain of what was found, 0 when it is none.
void fr_boost_settle(const fr_boost_rows *rows, const fr_boost_hist *g,
                     const fr_boost_options *o, fr_boost_leaf *l);
