#pragma once
// least_squares -- linear regression that keeps its digits.
//
// Columns are centred and scaled; the normal equations with one step of refinement where
// the scaled condition number allows (1e4), Householder QR with column pivoting beyond.
// Columns that the others explain get the coefficient 0. Sums are made in blocks of fixed
// size, so the bits do not depend on threads; no BLAS, so neither on the machine. Pure,
// any thread.

#include "core/base/err.h"
#include "core/ml/columns.h"

#include <stdbool.h>

typedef struct fr_least_squares {
    size_t count; // coefficients
    double intercept, intercept_se;
    double *coef, *se;            // [count]; se is NaN for a column left out
    double residual_ss, total_ss; // sums of squares; total around the mean with intercept
    double degrees;               // of freedom: rows - rank - intercept
    double condition; // of the centred, scaled columns (an estimate from below)
    size_t rank;
    bool by_qr;
} fr_least_squares;

// l2 >= 0 is the weight of sum coef^2 beside the residual sum of squares (ridge).
// FR_EINVAL when there are no rows. The caller calls fr_least_squares_fini, also after a
// failure.
FR_NODISCARD int fr_least_squares_fit(const fr_columns *x, const double *y,
                                      bool intercept, double l2, fr_least_squares *out,
                                      fr_err *err);
void fr_least_squares_fini(fr_least_squares *s);
