#pragma once
// responses -- least squares of many targets on one set of features, as one model.
//
// The products of the features are made and factored once; targets are solved in blocks on
// the compute pool. A target with gaps has the products of its missing rows taken from the
// shared ones. Each has one step of refinement or two. Features that the others explain
// get the coefficient 0. Uses OpenBLAS (linalg.h), so the last bits depend on the machine,
// not on threads.
//
// Payload: u64 targets; doubles intercept, residual and total sum of squares, rows, each
// [targets]; coef[targets][features]; then the targets' names as varint length and text.

#include "core/ml/model.h"

typedef struct fr_responses {
    size_t targets, features;
    const double *intercept, *residual_ss, *total_ss, *rows; // [targets]
    const double *coef;                                      // [targets][features]
    char **name;                                             // [targets]
} fr_responses;

extern const fr_model_ops fr_responses_ops;

// Fits all columns of y on all of x. Nulls in y are an error, or with `skip` rows that the
// target leaves out.
FR_NODISCARD int fr_responses_fit(const double *option, const fr_frame *x,
                                  const fr_frame *y, bool skip, fr_model **out,
                                  fr_err *err);
// out: one array per target, [targets], with references to the caller; all NULL after a
// failure.
FR_NODISCARD int fr_responses_predict(const fr_model *m, const fr_frame *x,
                                      fr_array **out, fr_err *err);
// NULL when the model is of another kind.
const fr_responses *fr_responses_of(const fr_model *m);
