#pragma once
// metric -- scores of predictions. Pure functions of arrays; any thread.
//
// Classes are codes 0 .. classes-1 in the sorted order of their labels; of two, class 1
// is the positive one. Definitions and the order of sums are scikit-learn's, so that
// scores agree to the last digit that a report prints.

#include "core/base/buf.h"

#include <stdint.h>

// One row of a report. What has no denominator is 0, as scikit-learn's zero_division has
// it.
typedef struct fr_score {
    double precision, recall, f1;
    int64_t support; // rows whose true class it is
} fr_score;

typedef enum fr_average {
    FR_AVERAGE_MICRO,
    FR_AVERAGE_MACRO,
    FR_AVERAGE_WEIGHTED,
} fr_average;

// count[t * classes + p] = rows of true class t predicted as p.
void fr_metric_confusion(const int32_t *truth, const int32_t *predicted, size_t n,
                         size_t classes, int64_t *count);
double fr_metric_accuracy(const int64_t *count, size_t classes);
void fr_metric_class(const int64_t *count, size_t classes, size_t k, fr_score *out);
void fr_metric_average(const int64_t *count, size_t classes, fr_average how,
                       fr_score *out);
// scikit-learn's classification_report(digits=2), byte for byte. labels are UTF-8.
void fr_metric_report(const int64_t *count, size_t classes, const char *const *labels,
                      fr_buf *out);

// Area under the ROC curve: the chance that a positive row scores above a negative one,
// ties counting one half. FR_EINVAL when a class is absent or a score is NaN.
FR_NODISCARD int fr_metric_roc_auc(const int32_t *truth, const double *score, size_t n,
                                   double *out, fr_err *err);
// probability[k * n + i]: of class k for row i. Clipped to [eps, 1 - eps].
double fr_metric_log_loss(const int32_t *truth, const double *probability, size_t n);
double fr_metric_brier(const int32_t *truth, const double *probability, size_t n);

// Errors of numbers. Percentages are fractions (0.05 is 5 %).
typedef struct fr_errors {
    double mae, mse, rmse, mape, smape, r2;
} fr_errors;
void fr_metric_errors(const double *truth, const double *predicted, size_t n,
                      fr_errors *out);
