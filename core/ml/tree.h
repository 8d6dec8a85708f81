#pragma once
// tree -- decision trees as flat arrays of 16-byte nodes, and how they are grown.
//
// Growing one tree is a function of (data, options, seed, tree number): it never depends
// on threads or on the instruction set, so a forest has the same bytes everywhere.
// fr_tree_data is shared read-only; a fr_grower belongs to one thread at a time.

#include "core/ml/ranks.h"

#include <stdbool.h>

enum {
    FR_TREE_LEAF = -1,
    FR_TREE_MISSING_RIGHT = 1 << 30, // NaN goes to left + 1, else to left
    FR_TREE_CATEGORY = 1 << 29,      // the bits of `cut` number a set of codes that go left
    FR_TREE_SET_WORDS = 8,           // of 32 bits: codes 0 .. 255
    FR_TREE_FEATURES = 1 << 24,      // more than any number of features
};

// value <= cut goes to `left`, else to left + 1. Little-endian in files, as in memory.
typedef struct fr_node {
    float cut;       // leaf: its value (binary: share of class 1; regression: mean)
    int32_t feature; // FR_TREE_LEAF, or a feature and flags
    uint32_t left;   // within the tree; leaf of many classes: its row of
    uint32_t weight; // values. Rows that reached the node
} fr_node;

static inline size_t fr_node_feature(const fr_node *n)
{
    return (size_t)n->feature & (FR_TREE_FEATURES - 1);
}

// The feature of a node that had no missing values: later ones go where most rows went.
static inline int32_t fr_node_flagged(uint32_t feature, size_t left_rows,
                                      size_t right_rows)
{
    return (int32_t)(feature |
                     (left_rows > right_rows ? 0 : (uint32_t)FR_TREE_MISSING_RIGHT));
}

typedef struct fr_tree {
    fr_node *node;
    size_t count, capacity;
    float *value;                  // many classes: [leaf][classes], else NULL
    size_t values, value_capacity; // rows of it
    uint32_t *set;                 // categories: [set][FR_TREE_SET_WORDS], else NULL
    size_t sets, set_capacity;
    uint32_t depth;
    bool failed; // out of memory; everything after it was dropped
} fr_tree;

// Appends two nodes; returns the first's number. On memory failure marks the tree failed.
uint32_t fr_tree_pair(fr_tree *t);
// Appends an empty set; returns its number. Marks the tree failed without memory.
uint32_t fr_tree_set(fr_tree *t);
// Makes node n a leaf.
static inline void fr_tree_leaf(fr_tree *t, uint32_t n, float value, uint32_t weight)
{
    t->node[n] = (fr_node){.cut = value, .feature = FR_TREE_LEAF, .weight = weight};
}

typedef enum fr_tree_criterion { FR_TREE_GINI, FR_TREE_ENTROPY } fr_tree_criterion;

typedef struct fr_tree_options {
    uint32_t trees;
    uint32_t max_depth;           // UINT32_MAX: no limit
    uint32_t min_split, min_leaf; // distinct rows
    uint32_t max_features;        // tried per node
    bool bootstrap;
    uint32_t draws;   // rows of a bootstrap sample; 0: as many as there are
    bool random_cuts; // one uniform cut per feature tried: extra trees
    fr_tree_criterion criterion;
    double min_decrease; // of the impurity, as a share of all weight
    uint64_t seed;
} fr_tree_options;

static inline uint32_t fr_tree_draws(const fr_tree_options *o, uint32_t rows)
{
    return o->draws > 0 ? o->draws : rows;
}

typedef struct fr_tree_data {
    const fr_ranks *ranks;
    const int32_t *code; // class of each row
    size_t classes;
    const double *number; // regression (classes 0): of each row, around 0
    const double *weight; // of each row; NULL: all 1
} fr_tree_data;

typedef struct fr_grower fr_grower;

FR_NODISCARD int fr_grower_new(const fr_tree_data *data, const fr_tree_options *options,
                               fr_grower **out, fr_err *err);
void fr_grower_free(fr_grower *g); // NULL is fine
// Grows tree number `index` into *out (zeroed by the caller, freed with fr_tree_fini) and
// adds each feature's decrease of impurity to importance[features].
// FR_ENOMEM, FR_ECANCELLED or FR_ETIMEOUT.
FR_NODISCARD int fr_grower_grow(fr_grower *g, uint32_t index, fr_tree *out,
                                double *importance);
void fr_tree_fini(fr_tree *t);
// Which rows tree number `index` was grown on: how often each was drawn.
FR_NODISCARD int fr_tree_drawn(size_t rows, const fr_tree_options *options, uint32_t index,
                               uint16_t *drawn);

// A forest as one flat piece: root[t] is the first node of tree t (child numbers count
// from there), value_root[t] its first row of values.
typedef struct fr_forest_view {
    const fr_node *node;
    const uint64_t *root;       // [trees + 1]
    const float *value;         // many classes: [row][classes]
    const uint64_t *value_root; // many classes: [trees + 1]
    size_t trees, features, classes;
    const uint32_t *set; // categories: [set][FR_TREE_SET_WORDS], of all trees; NULL: none
    size_t sets;
    size_t outputs; // boosting: tree t adds to row t % outputs of out; 0: as classes say
} fr_forest_view;

// out[k * rows + i]: the mean over trees of the share of class k where row i ends; one
// row of out (class 1's, or the sum of values for `classes` 0) unless there are more
// classes.
FR_NODISCARD int fr_forest_walk(const fr_forest_view *v, const fr_columns *x, double *out,
                                fr_err *err);
// The same over the trees that did not draw the row: skip[t * words + i / 64] has bit
// i % 64 set where row i was drawn, words = (rows + 63) / 64.
FR_NODISCARD int fr_forest_walk_some(const fr_forest_view *v, const fr_columns *x,
                                     const uint64_t *skip, double *out, fr_err *err);
// Rows of out.
static inline size_t fr_forest_outputs(const fr_forest_view *v)
{
    return v->classes > 2 ? v->classes : v->outputs > 1 ? v->outputs : 1;
}
// Whether a row with this value goes to the second child of a node; NaN: missing.
bool fr_forest_right(const fr_forest_view *v, const fr_node *n, float value);
// Whether trees begin in order and end at `end`.
bool fr_forest_fits(const uint64_t *root, size_t trees, uint64_t end);
// Whether every number in it is in range, so that walking it ends: FR_ECORRUPT otherwise.
FR_NODISCARD int fr_forest_check(const fr_forest_view *v, fr_err *err);
