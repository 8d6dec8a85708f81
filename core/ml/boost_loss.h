#pragma once
// boost_loss -- the losses that boosting descends: where it starts, gradients by score,
// the loss itself, scores as predictions. Private to core/ml/boost*.c; any thread.

#include "core/ml/columns.h"

#include "core/base/err.h"

typedef enum fr_boost_loss {
    FR_LOSS_LOG,     // two classes; the score is the log-odds
    FR_LOSS_SOFTMAX, // more; a score per class
    FR_LOSS_SQUARED,
    FR_LOSS_ABSOLUTE,
    FR_LOSS_QUANTILE,
    FR_LOSS_POISSON, // the score is the logarithm of the mean,
    FR_LOSS_TWEEDIE, // here too; the variance is a power of the mean
} fr_boost_loss;

typedef struct fr_boost_truth {
    fr_boost_loss loss;
    double quantile, power;
    size_t rows, outputs;
    const fr_target *y;
    const double *weight;  // NULL: 1
    const uint32_t *train; // the rows that count at the start; NULL: all
    size_t train_count;
} fr_boost_truth;

// The constant scores that fit best. FR_EINVAL when the loss cannot take the target.
FR_NODISCARD int fr_boost_base(const fr_boost_truth *t, double *base, fr_err *err);
// Gradients and hessians [outputs][rows] of scores [outputs][rows], as integers of at
// most `bits` bits; their units. Scratch has 2 * outputs * rows. FR_OK or the cancel
// code.
typedef struct fr_boost_units {
    double gradient, hessian;
} fr_boost_units;
FR_NODISCARD int fr_boost_gradients(const fr_boost_truth *t, const double *raw, int bits,
                                    double *scratch, int32_t *gradient, int32_t *hessian,
                                    fr_boost_units *unit);
// Mean loss of some rows.
double fr_boost_mean_loss(const fr_boost_truth *t, const double *raw,
                          const uint32_t *rows, size_t n);
// Scores [outputs][n] to predictions, in place; FR_LOSS_LOG gives the second class's
// probability.
void fr_boost_link(fr_boost_loss loss, size_t outputs, double *raw, size_t n);
