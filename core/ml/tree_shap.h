#pragma once
// tree_shap -- how much each feature adds to a prediction of trees (Lundberg and others
// 2018: the exact Shapley values of a tree's own conditional means).

#include "core/ml/model.h"

// out[f * rows + i]: what feature f adds for row i to output `output` of the trees; *base
// the mean they are added to. base + the sum over features is the prediction, of classes
// in boosting its log-odds. FR_ELIMIT for trees deeper than 1000.
FR_NODISCARD int fr_tree_shap(const fr_model_trees *trees, const fr_columns *x,
                              size_t output, double *out, double *base, fr_err *err);
