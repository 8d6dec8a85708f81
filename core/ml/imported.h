#pragma once
// imported -- trees of other libraries (XGBoost, LightGBM), for predicting only. Cuts and
// leaves are doubles, and each node has the rules of the library it came from.
//
// Payload: u64 trees, nodes, outputs, set words, link, double scale, base[outputs]; u32 root
// by tree, output by tree; nodes; u32 set words.

#include "core/ml/model.h"

typedef enum fr_imported_link {
    FR_LINK_IDENTITY,
    FR_LINK_LOGISTIC, // the probability of the second class (or the number itself)
    FR_LINK_SOFTMAX,
    FR_LINK_EXP,
} fr_imported_link;

enum {                               // flags of a node
    FR_IMPORTED_LEFT = 1,            // what counts as missing goes left
    FR_IMPORTED_NAN = 2,             // NaN counts as missing, else it is 0
    FR_IMPORTED_ZERO = 4,            // 0 counts as missing
    FR_IMPORTED_BELOW = 8,           // float32(x) < cut goes left, else x <= cut
    FR_IMPORTED_SET = 16,            // whole numbers in the set go left; NaN goes right
    FR_IMPORTED_SET_RIGHT = 32,      // numbers in the set go right; other missing as flagged
};

typedef struct fr_imported_node {
    double value;        // the cut, or what a leaf adds
    int32_t feature;     // negative: a leaf
    uint32_t left, right; // in the tree
    uint32_t flags, set, words; // set: first of the words, a bit per number
} fr_imported_node;

// Borrowed parts of a model.
typedef struct fr_imported {
    size_t trees, nodes, outputs, words;
    fr_imported_link link;
    double scale; // what the sum of the trees is multiplied with, before base is added
    const double *base;
    const uint32_t *root, *output;
    const fr_imported_node *node;
    const uint32_t *set;
} fr_imported;

extern const fr_model_ops fr_imported_ops, fr_imported_regressor_ops;

// Checks the parts and makes a model; classes 0: a regressor. Labels are 0 .. classes - 1.
FR_NODISCARD int fr_imported_new(const fr_imported *parts, size_t classes,
                                 const char *const *feature, size_t features,
                                 fr_model **out, fr_err *err);
