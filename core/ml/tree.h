#pragma once
// tree -- decision trees as flat arrays of 16-byte nodes, and how they are grown.
//
// Growing one tree is a function of (data, options, seed, tree number): it never depends
// on threads or on the instruction set, so a forest has the same bytes everywhere.
// fr_tree_data is shared read-only; a fr_grower belongs to one thread at a time.

#include "core/ml/ranks.h"

#include <stdbool.h>

enum { FR_TREE_LEAF = -1 };

// value <= cut goes to `left`, else to left + 1. Little-endian in files, as in memory.
typedef struct fr_node {
    float cut;       // leaf: its value (binary: share of class 1)
    int32_t feature; // FR_TREE_LEAF
    uint32_t left;   // within the tree; leaf of many classes: its row of
    uint32_t weight; // values. Rows that reached the node
} fr_node;

typedef struct fr_tree {
    fr_node *node;
    size_t count, capacity;
    float *value;                  // many classes: [leaf][classes], else NULL
    size_t values, value_capacity; // rows of it
    uint32_t depth;
    bool failed; // out of memory; everything after it was dropped
} fr_tree;

// Appends two nodes; returns the first's number. On memory failure marks the tree failed.
uint32_t fr_tree_pair(fr_tree *t);
// Makes node n a leaf.
static inline void fr_tree_leaf(fr_tree *t, uint32_t n, float value, uint32_t weight)
{
    t->node[n] = (fr_node){.cut = value, .feature = FR_TREE_LEAF, .weight = weight};
}

typedef struct fr_tree_options {
    uint32_t trees;
    uint32_t max_depth;           // UINT32_MAX: no limit
    uint32_t min_split, min_leaf; // distinct rows
    uint32_t max_features;        // tried per node
    bool bootstrap;
    uint64_t seed;
} fr_tree_options;

typedef struct fr_tree_data {
    const fr_ranks *ranks;
    const int32_t *code; // class of each row
    size_t classes;
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

// A forest as one flat piece: root[t] is the first node of tree t (child numbers count
// from there), value_root[t] its first row of values.
typedef struct fr_forest_view {
    const fr_node *node;
    const uint64_t *root;       // [trees + 1]
    const float *value;         // many classes: [row][classes]
    const uint64_t *value_root; // many classes: [trees + 1]
    size_t trees, features, classes;
} fr_forest_view;

// out[k * rows + i]: the mean over trees of the share of class k where row i ends; one
// row of out (class 1's, or the sum of values for `classes` 0) unless there are more
// classes.
FR_NODISCARD int fr_forest_walk(const fr_forest_view *v, const fr_columns *x, double *out,
                                fr_err *err);
// Whether trees begin in order and end at `end`.
bool fr_forest_fits(const uint64_t *root, size_t trees, uint64_t end);
// Whether every number in it is in range, so that walking it ends: FR_ECORRUPT otherwise.
FR_NODISCARD int fr_forest_check(const fr_forest_view *v, fr_err *err);
