#pragma once
// shape -- models of features without a target: groups of rows (kmeans) and directions in
// which they vary most (pca), as bindings show them.

#include "core/ml/model.h"

typedef struct fr_kmeans {
    size_t clusters, features;
    uint64_t iterations;
    double inertia;       // sum of squared distances to the closest centre
    const double *centre; // [clusters][features]
} fr_kmeans;

typedef struct fr_pca {
    size_t components, features;
    const double *mean;            // [features]
    const double *variance, *share; // [components]; share of the whole variance
    const double *direction;       // [components][features], of length 1
} fr_pca;

extern const fr_model_ops fr_kmeans_ops, fr_pca_ops;

// NULL when the model is of another kind.
const fr_kmeans *fr_kmeans_of(const fr_model *m);
const fr_pca *fr_pca_of(const fr_model *m);
