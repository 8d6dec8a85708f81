#pragma once
// coefficients -- what linear, logistic, poisson regression and the elastic net have in
// common as models: intercept, coefficients, standard errors. Private to the files of
// these, and read by the binding that shows them.

#include "core/ml/model.h"

enum { FR_COEFFICIENTS_STATS = 6 };

typedef struct fr_coefficients {
    size_t count; // the model's features
    double intercept, intercept_se;
    const double *coef, *se; // [count]; NaN se: left out, or not known
    // linear: residual and total sum of squares, degrees of freedom, rank, condition, 0.
    // logistic: log-likelihood, that of the constant alone, iterations, 0, 0, 0.
    // elastic net: as linear, with the coefficients that are not 0 as rank; passes.
    // poisson: loss with penalty, iterations, 0, 0, 0, 0.
    double stats[FR_COEFFICIENTS_STATS];
} fr_coefficients;

void fr_coefficients_put(fr_buf *payload, const fr_coefficients *c);
// The payload of a model as coefficients that point into it; FR_ECORRUPT.
FR_NODISCARD int fr_coefficients_open(const fr_model *m, void **state, fr_err *err);
// out[i] = intercept + x[i] coef, columns added in their order.
void fr_coefficients_apply(const fr_coefficients *c, const fr_columns *x, double *out);
// The same as `predict` of a kind.
int fr_coefficients_predict(const fr_model *m, const fr_columns *x, double *out,
                            fr_err *err);
// NULL when the model is of another kind.
const fr_coefficients *fr_coefficients_of(const fr_model *m);
