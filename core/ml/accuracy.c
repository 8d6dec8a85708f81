#include "core/ml/accuracy.h"

#include <math.h>

static double loss(fr_accuracy_kind kind, double y, double f, double q)
{
    double error = y - f, size = fabs(error);
    switch (kind) {
    case FR_ACCURACY_MAE:
        return size;
    case FR_ACCURACY_RMSE:
        return error * error;
    case FR_ACCURACY_BIAS:
        return -error;
    case FR_ACCURACY_MAPE:
        return size / fabs(y);
    case FR_ACCURACY_SMAPE:
        return size == 0 ? 0 : 2 * size / (fabs(y) + fabs(f));
    case FR_ACCURACY_PINBALL:
        break;
    }
    return error >= 0 ? q * error : (q - 1) * error;
}

int fr_accuracy(fr_accuracy_kind kind, const double *y, const double *f, int64_t n,
                double q, double *out, fr_err *err)
{
    double sum = 0;
    int64_t used = 0;
    if (kind == FR_ACCURACY_PINBALL && !(q > 0 && q < 1)) {
        return fr_fail(err, FR_EINVAL, "the quantile must lie between 0 and 1, got %g",
                       q);
    }
    for (int64_t i = 0; i < n; i++) {
        if (isnan(y[i])) {
            continue;
        }
        if (isnan(f[i])) {
            return fr_fail(err, FR_EINVAL, "the forecast of row %lld is missing",
                           (long long)i + 1);
        }
        if (kind == FR_ACCURACY_MAPE && y[i] == 0) {
            return fr_fail(
                err, FR_EINVAL,
                "the actual value of row %lld is 0, where a percentage error has no "
                "meaning: use smape or mase",
                (long long)i + 1);
        }
        sum += loss(kind, y[i], f[i], q);
        used++;
    }
    if (used == 0) {
        return fr_fail(err, FR_EINVAL, "there is no actual value to compare with");
    }
    *out = sum / (double)used;
    if (kind == FR_ACCURACY_RMSE) {
        *out = sqrt(*out);
    }
    return FR_OK;
}

int fr_accuracy_coverage(const double *y, const double *lo, const double *hi, int64_t n,
                         double *out, fr_err *err)
{
    int64_t used = 0, inside = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(y[i])) {
            continue;
        }
        if (isnan(lo[i]) || isnan(hi[i])) {
            return fr_fail(err, FR_EINVAL, "a bound of row %lld is missing",
                           (long long)i + 1);
        }
        used++;
        inside += y[i] >= lo[i] && y[i] <= hi[i];
    }
    if (used == 0) {
        return fr_fail(err, FR_EINVAL, "there is no actual value to compare with");
    }
    *out = (double)inside / (double)used;
    return FR_OK;
}

int fr_accuracy_scale(const double *train, int64_t n, int64_t period, double *out,
                      fr_err *err)
{
    double sum = 0;
    int64_t used = 0;
    if (period < 1) {
        return fr_fail(err, FR_EINVAL, "the period must be 1 or more, got %lld",
                       (long long)period);
    }
    for (int64_t i = period; i < n; i++) {
        if (!isnan(train[i]) && !isnan(train[i - period])) {
            sum += fabs(train[i] - train[i - period]);
            used++;
        }
    }
    if (used == 0 || sum == 0) {
        return fr_fail(err, FR_EINVAL,
                       used == 0 ? "the training series is not longer than its period"
                                 : "the training series repeats itself exactly");
    }
    *out = sum / (double)used;
    return FR_OK;
}
