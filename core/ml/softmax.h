#pragma once
// softmax -- logistic regression of more than two classes. Private to logistic.c, and read
// by the binding that shows coefficients.
//
// Payload: u64 classes; doubles intercept[classes], coef[classes][features].

#include "core/ml/model.h"

typedef struct fr_softmax {
    size_t classes, features;
    const double *intercept; // [classes], in the model's payload
    const double *coef;      // [classes][features]
} fr_softmax;

// Minimises the sum of -log p(class) + l2 |coef|^2 / 2 by L-BFGS (scikit-learn's objective
// with l2 = 1 / C).
FR_NODISCARD int fr_softmax_fit(const fr_columns *x, const int32_t *code, size_t classes,
                                double l2, bool intercept, int most, fr_buf *payload,
                                fr_err *err);
FR_NODISCARD int fr_softmax_open(const fr_model *m, void **state, fr_err *err);
// out[k * rows + i]: the probability of class k.
void fr_softmax_predict(const fr_softmax *s, const fr_columns *x, double *out);
// NULL when the model is of another kind, or of two classes.
const fr_softmax *fr_softmax_of(const fr_model *m);
