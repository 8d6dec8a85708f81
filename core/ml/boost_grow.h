#pragma once
// boost_grow -- what the growers of boosted trees share. Private to core/ml/boost*.c.
//
// Gradients are integers: sums then do not depend on the order of rows, so a model has
// the same bits at any thread count and on any machine.

#include "core/ml/tree.h"

#define FR_BOOST_COARSE 0x1p-21 // the unit that floats are exact enough for

// What one tree is fitted to: gradient (of minus the loss) and hessian of each row by its
// score, in units.
typedef struct fr_boost_rows {
    size_t rows;
    int32_t *gradient, *hessian;
    double unit, hessian_unit; // sums of all rows stay below 2^50 of them
    double most;               // no gradient is greater, in units
    double *raw;               // the model's score so far
    const uint32_t *chosen;    // rows the tree is grown on, ascending; NULL: all
    size_t chosen_count;
    const int32_t *weight; // what a row counts in gains, in units; NULL: 1
    double weight_unit;
    double renew;               // leaves hold this quantile of residuals; negative:
    double factor;              // Newton's step, times this
    const double *number;       // for residuals: the truth
    const double *share;        // and the weight in the quantile; NULL: 1
} fr_boost_rows;

typedef struct fr_boost_options {
    uint32_t rounds, leaves, depth; // UINT32_MAX: no limit
    uint32_t min_leaf;
    double learning_rate, l2;
    const int8_t *monotone;  // by feature; NULL: none
    const bool *categorical; // by feature; NULL: none
    const bool *closed;      // features this tree may not use; NULL: none
} fr_boost_options;

// Newton's step of a leaf from its sums, before the learning rate.
static inline double fr_boost_newton(const fr_boost_rows *r, const fr_boost_options *o,
                                     int64_t gradient, int64_t hessian)
{
    double h = (double)hessian * r->hessian_unit + o->l2;
    return h < 1e-150 ? 0 : r->factor * ((double)gradient * r->unit) / h;
}

static inline float fr_boost_step(const fr_boost_rows *r, const fr_boost_options *o,
                                  int64_t gradient, int64_t hessian)
{
    return (float)(o->learning_rate * fr_boost_newton(r, o, gradient, hessian));
}

// The quantile r->renew of the residuals of n rows, times the learning rate; entries of a
// list have the row in their low 32 bits.
float fr_boost_renewed(const fr_boost_rows *r, const fr_boost_options *o,
                       const uint64_t *list, size_t n);
// The quantile of values with weights (NULL: 1, interpolated as numpy does).
double fr_boost_quantile(double *value, const double *weight, size_t n, double at);

// A grower makes one tree per call: appends nodes to *tree, adds to raw (of the rows
// chosen) and importance.
typedef struct fr_boost_exact fr_boost_exact;
// depth: of the trees to come.
FR_NODISCARD int fr_boost_exact_new(const fr_columns *x, uint32_t depth,
                                    fr_boost_exact **out, fr_err *err);
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
