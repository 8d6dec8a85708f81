#include "core/ml/metric.h"

#include "core/base/mem.h"
#include "core/ml/order.h"

#include <float.h>
#include <math.h>
#include <string.h>

static double ratio(double part, double whole) { return whole == 0 ? 0 : part / whole; }

// Sums as numpy does (pairwise with eight running sums), because the second decimal of a
// mean that lies on a rounding boundary depends on it.
static double sum(const double *x, size_t n)
{
    if (n < 8) {
        double s = 0;
        for (size_t i = 0; i < n; i++) {
            s += x[i];
        }
        return s;
    }
    if (n > 128) {
        size_t half = n / 2;
        half -= half % 8;
        return sum(x, half) + sum(x + half, n - half);
    }
    double r[8];
    memcpy(r, x, sizeof r);
    size_t i = 8;
    for (; i < n - n % 8; i += 8) {
        for (size_t k = 0; k < 8; k++) {
            r[k] += x[i + k];
        }
    }
    double s = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (; i < n; i++) {
        s += x[i];
    }
    return s;
}

void fr_metric_confusion(const int32_t *truth, const int32_t *predicted, size_t n,
                         size_t classes, int64_t *count)
{
    memset(count, 0, classes * classes * sizeof *count);
    for (size_t i = 0; i < n; i++) {
        count[(size_t)truth[i] * classes + (size_t)predicted[i]]++;
    }
}

double fr_metric_accuracy(const int64_t *count, size_t classes)
{
    int64_t right = 0, all = 0;
    for (size_t k = 0; k < classes * classes; k++) {
        all += count[k];
        right += k % (classes + 1) == 0 ? count[k] : 0;
    }
    return ratio((double)right, (double)all);
}

void fr_metric_class(const int64_t *count, size_t classes, size_t k, fr_score *out)
{
    int64_t right = count[k * classes + k], predicted = 0, truth = 0;
    for (size_t j = 0; j < classes; j++) {
        predicted += count[j * classes + k];
        truth += count[k * classes + j];
    }
    *out = (fr_score){.precision = ratio((double)right, (double)predicted),
                      .recall = ratio((double)right, (double)truth),
                      .f1 = ratio(2 * (double)right, (double)truth + (double)predicted),
                      .support = truth};
}

static double mean_of(const double *value, const double *weight, size_t n,
                      double *scratch)
{
    for (size_t i = 0; i < n; i++) {
        scratch[i] = value[i] * weight[i];
    }
    return ratio(sum(scratch, n), sum(weight, n));
}

void fr_metric_average(const int64_t *count, size_t classes, fr_average how,
                       fr_score *out)
{
    if (how == FR_AVERAGE_MICRO) { // each row has one class, so all three agree
        double right = fr_metric_accuracy(count, classes);
        int64_t all = 0;
        for (size_t k = 0; k < classes * classes; k++) {
            all += count[k];
        }
        *out = (fr_score){right, right, right, all};
        return;
    }
    double *x = fr_alloc((5 * classes + 1) * sizeof *x);
    double *precision = x, *recall = x + classes, *f1 = x + 2 * classes;
    double *weight = x + 3 * classes, *scratch = x + 4 * classes;
    int64_t all = 0;
    for (size_t k = 0; k < classes; k++) {
        fr_score s;
        fr_metric_class(count, classes, k, &s);
        precision[k] = s.precision;
        recall[k] = s.recall;
        f1[k] = s.f1;
        weight[k] = how == FR_AVERAGE_WEIGHTED ? (double)s.support : 1;
        all += s.support;
    }
    out->precision = mean_of(precision, weight, classes, scratch);
    out->recall = mean_of(recall, weight, classes, scratch);
    out->f1 = mean_of(f1, weight, classes, scratch);
    out->support = all;
    fr_free(x);
}

static size_t width_of(const char *text) // in code points
{
    size_t n = 0;
    for (; *text != 0; text++) {
        n += ((unsigned char)*text & 0xC0) != 0x80;
    }
    return n;
}

static void put_label(fr_buf *out, const char *label, size_t width)
{
    for (size_t n = width_of(label); n < width; n++) {
        fr_buf_put_u8(out, ' ');
    }
    fr_buf_put_str(out, label);
    fr_buf_put_u8(out, ' ');
}

typedef struct report {
    fr_buf *out;
    size_t width;
    // scikit-learn counts in doubles when no row at all is right, and prints 7.0 for 7.
    int support_digits;
} report;

static void put_row(const report *r, const char *label, const fr_score *s)
{
    put_label(r->out, label, r->width);
    fr_buf_printf(r->out, " %9.2f %9.2f %9.2f %9.*f\n", s->precision, s->recall, s->f1,
                  r->support_digits, (double)s->support);
}

void fr_metric_report(const int64_t *count, size_t classes, const char *const *labels,
                      fr_buf *out)
{
    size_t width = strlen("weighted avg");
    for (size_t k = 0; k < classes; k++) {
        width = FR_MAX(width, width_of(labels[k]));
    }
    report r = {out, width, fr_metric_accuracy(count, classes) == 0 ? 1 : 0};
    put_label(out, "", width);
    fr_buf_printf(out, " %9s %9s %9s %9s\n\n", "precision", "recall", "f1-score",
                  "support");
    fr_score s;
    for (size_t k = 0; k < classes; k++) {
        fr_metric_class(count, classes, k, &s);
        put_row(&r, labels[k], &s);
    }
    fr_buf_put_u8(out, '\n');
    fr_metric_average(count, classes, FR_AVERAGE_MICRO, &s);
    put_label(out, "accuracy", width);
    fr_buf_printf(out, " %9s %9s %9.2f %9.*f\n", "", "", s.f1, r.support_digits,
                  (double)s.support);
    fr_metric_average(count, classes, FR_AVERAGE_MACRO, &s);
    put_row(&r, "macro avg", &s);
    fr_metric_average(count, classes, FR_AVERAGE_WEIGHTED, &s);
    put_row(&r, "weighted avg", &s);
}

// Counts pairs of sorted scores: 2 where the positive is above, 1 where they tie. Exact
// in integers up to 2^31 rows of each class.
static double pairs(const uint64_t *pos, size_t npos, const uint64_t *neg, size_t nneg)
{
    uint64_t twice = 0;
    size_t below = 0, not_above = 0;
    for (size_t i = 0; i < npos; i++) {
        while (below < nneg && neg[below] < pos[i]) {
            below++;
        }
        while (not_above < nneg && neg[not_above] <= pos[i]) {
            not_above++;
        }
        twice += below + not_above;
    }
    return (double)twice / 2;
}

int fr_metric_roc_auc(const int32_t *truth, const double *score, size_t n, double *out,
                      fr_err *err)
{
    *out = NAN;
    uint64_t *key = fr_try_alloc((2 * n + 1) * sizeof *key);
    if (key == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu scores", n);
    }
    size_t npos = 0, nneg = 0; // positives grow from the front, others from
    bool bad = false;          // the back
    for (size_t i = 0; i < n; i++) {
        bad |= isnan(score[i]);
        uint64_t k = fr_order_key64(score[i]);
        if (truth[i] == 1) {
            key[npos++] = k;
        } else {
            key[n - ++nneg] = k;
        }
    }
    int rc = FR_OK;
    if (bad) {
        rc = fr_fail(err, FR_EINVAL, "roc_auc: a score is NaN");
    } else if (npos == 0 || nneg == 0) {
        rc = fr_fail(
            err, FR_EINVAL,
            "roc_auc needs rows of both classes: found %zu positive and %zu negative",
            npos, nneg);
    } else {
        const uint64_t *pos = fr_order_sort(key, key + n, npos, 0);
        const uint64_t *neg = fr_order_sort(key + npos, key + n + npos, nneg, 0);
        *out = pairs(pos, npos, neg, nneg) / ((double)npos * (double)nneg);
    }
    fr_free(key);
    return rc;
}

double fr_metric_log_loss(const int32_t *truth, const double *probability, size_t n)
{
    double loss = 0, lost = 0; // compensated: n may be millions
    for (size_t i = 0; i < n; i++) {
        double p = probability[(size_t)truth[i] * n + i];
        p = FR_MIN(FR_MAX(p, DBL_EPSILON), 1 - DBL_EPSILON);
        double y = -log(p) - lost, t = loss + y;
        lost = (t - loss) - y;
        loss = t;
    }
    return ratio(loss, (double)n);
}

double fr_metric_brier(const int32_t *truth, const double *probability, size_t n)
{
    double total = 0;
    for (size_t i = 0; i < n; i++) {
        double d = probability[i] - truth[i];
        total += d * d;
    }
    return ratio(total, (double)n);
}

void fr_metric_errors(const double *truth, const double *predicted, size_t n,
                      fr_errors *out)
{
    double mae = 0, mse = 0, mape = 0, smape = 0, mean = 0, spread = 0;
    for (size_t i = 0; i < n; i++) {
        double e = fabs(truth[i] - predicted[i]), t = fabs(truth[i]);
        double both = t + fabs(predicted[i]);
        mae += e;
        mse += e * e;
        mape += e / FR_MAX(t, DBL_EPSILON); // scikit-learn's guard against a zero truth
        smape += both == 0 ? 0 : 2 * e / both;
        mean += truth[i];
    }
    mean = ratio(mean, (double)n);
    for (size_t i = 0; i < n; i++) {
        spread += (truth[i] - mean) * (truth[i] - mean);
    }
    double left = mse;
    mse = ratio(mse, (double)n);
    *out = (fr_errors){.mae = ratio(mae, (double)n),
                       .mse = mse,
                       .rmse = sqrt(mse),
                       .mape = ratio(mape, (double)n),
                       .smape = ratio(smape, (double)n),
                       .r2 = spread == 0 ? (left == 0 ? 1 : 0) : 1 - left / spread};
}
