#pragma once
// preprocess -- transformers: models that change columns of a frame instead of
// predicting.
//
// "scaler": (x - mean) / standard deviation (of n, as scikit-learn's StandardScaler).
// "minmax", "robust": (x - a) / b with other a and b; "imputer": a number where null.
// "ordinal": a column's values as their places 0, 1, … in a list of categories.
// "one_hot": a column as one column of 0 and 1 per category, named column_category.
// Nulls stay null; columns that were not fitted pass through. Any thread.

#include "core/ml/model.h"

extern const fr_model_ops fr_scaler_ops, fr_ordinal_ops, fr_one_hot_ops;
extern const fr_model_ops fr_minmax_ops, fr_robust_ops, fr_imputer_ops;

// Means and deviations of all columns of x, which must be numbers; nulls do not count.
FR_NODISCARD int fr_scaler_fit(const double *option, const fr_frame *x, fr_model **out,
                               fr_err *err);
// A coder of the given columns; category[i] lists the values of column i in order (NULL:
// the distinct values of that column of x, sorted).
FR_NODISCARD int fr_coder_new(const fr_model_ops *ops, const double *option,
                              const fr_frame *x, const char *const *column,
                              const fr_array *const *category, size_t n, fr_model **out,
                              fr_err *err);
// A minmax, robust (a, b per column) or imputer (a number per column) of `columns` columns.
FR_NODISCARD int fr_numbers_new(const fr_model_ops *ops, const char *const *column,
                                size_t columns, const double *number, size_t count,
                                int64_t rows, fr_model **out, fr_err *err);
FR_NODISCARD int fr_model_transform(const fr_model *m, const fr_frame *x, fr_frame **out,
                                    fr_err *err);
