#pragma once
// kernel_logistic -- the logistic function of whole arrays, the same bits on every
// machine. Pure, any thread.

#include "core/base/base.h"

#include <stdint.h>

// probability[i] = 1 / (1 + exp(-x[i])), within 2 ulp; x must be finite.
void fr_logistic(const double *x, double *probability, size_t n);
// gradient = truth - p and hessian = p (1 - p) of log loss at log-odds x, times scale
// (2^30 at most), rounded to nearest. truth is 0 or 1.
void fr_logistic_gradients(const double *x, const int32_t *truth, size_t n, double scale,
                           int32_t *gradient, int32_t *hessian);
// The same as multiples of 2^-21, computed in floats: three times as fast, within 2 of
// them.
void fr_logistic_gradients_float(const double *x, const int32_t *truth, size_t n,
                                 int32_t *gradient, int32_t *hessian);
