#pragma once
// boost_grow -- what the two growers of boosted trees share. Private to core/ml/boost*.c.
//
// Gradients are integers: sums then do not depend on the order of rows, so a model has
// the same bits at any thread count and on any machine.

#include "core/ml/tree.h"

// Gradient (truth - probability) and hessian (p (1 - p)) of each row, in units of `unit`.
#define FR_BOOST_COARSE 0x1p-21 // the unit that floats are exact enough for

typedef struct fr_boost_rows {
    size_t rows;
    int32_t *gradient, *hessian;
    double unit;         // sums of all rows stay below 2^50 of them
    double *raw;         // the model's log-odds so far
    const int32_t *code; // 0 or 1
} fr_boost_rows;

typedef struct fr_boost_options {
    uint32_t rounds, leaves, depth; // UINT32_MAX: no limit
    uint32_t min_leaf;
    double learning_rate, l2;
} fr_boost_options;

// Raw scores to gradients, by fixed chunks on the pool. FR_OK or the cancel code.
FR_NODISCARD int fr_boost_gradients(fr_boost_rows *r);
// Newton's step of a leaf from its sums, times the learning rate.
static inline float fr_boost_step(const fr_boost_rows *r, const fr_boost_options *o,
                                  int64_t gradient, int64_t hessian)
{
    double h = (double)hessian * r->unit + o->l2;
    return h < 1e-150 ? 0 : (float)(o->learning_rate * ((double)gradient * r->unit) / h);
}

// A grower makes one tree per call: appends nodes to *tree, adds to raw and importance.
typedef struct fr_boost_exact fr_boost_exact;
FR_NODISCARD int fr_boost_exact_new(const fr_columns *x, fr_boost_exact **out,
                                    fr_err *err);
FR_NODISCARD int fr_boost_exact_grow(fr_boost_exact *g, fr_boost_rows *rows,
                                     const fr_boost_options *o, fr_tree *tree,
                                     double *importance);
void fr_boost_exact_free(fr_boost_exact *g);

typedef struct fr_boost_hist fr_boost_hist;
FR_NODISCARD int fr_boost_hist_new(const fr_columns *x, const fr_boost_options *o,
                                   fr_boost_hist **out, fr_err *err);
FR_NODISCARD int fr_boost_hist_grow(fr_boost_hist *g, fr_boost_rows *rows,
                                    const fr_boost_options *o, fr_tree *tree,
                                    double *importance);
void fr_boost_hist_free(fr_boost_hist *g);
