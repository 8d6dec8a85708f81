// online_logistic -- logistic regression of two classes that learns row by row, by
// stochastic gradient descent; columns are scaled by the mean and standard deviation of
// the rows so far.
//
// Payload: u64 rows learnt, double intercept; then by feature double coefficient, mean,
// sum of squared deviations.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/model.h"
#include "core/ml/special.h"

#include <math.h>
#include <string.h>

enum { RATE, L2, INTERCEPT, SCALE };

static const fr_model_option OPTIONS[] = {
    [RATE] = {"learning_rate", "eta0 lr", FR_MODEL_NUMBER, 0.01, 1e-12, 1e6, NULL,
              "length of the step that each row causes"},
    [L2] = {"l2", "alpha", FR_MODEL_NUMBER, 0, 0, 1e6, NULL,
            "pulls the coefficients towards 0 with each row"},
    [INTERCEPT] = {"intercept", "fit_intercept", FR_MODEL_BOOL, 1, 0, 1, NULL,
                   "a constant besides the features"},
    [SCALE] = {"scale", NULL, FR_MODEL_BOOL, 1, 0, 1, NULL,
               "columns are scaled by the rows learnt so far"},
};

enum { CANCEL_ROWS = 4096, HEAD_BYTES = 16 };

typedef struct weight {
    double coef, mean, squares;
} weight;

typedef struct online {
    uint64_t rows;
    double intercept;
    size_t features;
    weight *w; // [features]
} online;

static double scaled(const online *o, const double *option, size_t j, double x)
{
    const weight *w = &o->w[j];
    if (option[SCALE] == 0) {
        return x;
    }
    double var = o->rows > 0 ? w->squares / (double)o->rows : 0;
    return var > 0 ? (x - w->mean) / sqrt(var) : 0;
}

static double probability(const online *o, const double *option, const fr_columns *x,
                          size_t i)
{
    double t = o->intercept;
    for (size_t j = 0; j < o->features; j++) {
        t += o->w[j].coef * scaled(o, option, j, x->column[j][i]);
    }
    return 1 / (1 + fr_special_exp(fmin(700, fmax(-700, -t))));
}

static void learn_row(online *o, const double *option, const fr_columns *x, size_t i,
                      double truth)
{
    o->rows++;
    for (size_t j = 0; j < o->features; j++) {
        weight *w = &o->w[j];
        double off = x->column[j][i] - w->mean;
        w->mean += off / (double)o->rows;
        w->squares += off * (x->column[j][i] - w->mean);
    }
    double slope = probability(o, option, x, i) - truth, rate = option[RATE];
    for (size_t j = 0; j < o->features; j++) {
        weight *w = &o->w[j];
        double z = scaled(o, option, j, x->column[j][i]);
        w->coef -= rate * (slope * z + option[L2] * w->coef);
    }
    o->intercept -= option[INTERCEPT] != 0 ? rate * slope : 0;
}

// out: NULL, or the probability of class 1 of each row, before it is learnt.
static int learn_rows(online *o, const double *option, const fr_columns *x,
                      const int32_t *code, double *out, fr_err *err)
{
    for (size_t i = 0; i < x->rows; i++) {
        if (i % CANCEL_ROWS == 0 && fr_cancelled()) {
            return fr_fail(err, fr_cancel_code(), "online logistic regression: %s",
                           fr_err_text(fr_cancel_code()));
        }
        if (out != NULL) {
            out[i] = probability(o, option, x, i);
        }
        learn_row(o, option, x, i, code[i]);
    }
    double sum = o->intercept;
    for (size_t j = 0; j < o->features; j++) {
        sum += o->w[j].coef;
    }
    if (!isfinite(sum)) {
        return fr_fail(err, FR_ENUMERIC,
                       "online logistic regression has diverged: lower learning_rate, or "
                       "set scale = true");
    }
    return FR_OK;
}

static void put(const online *o, fr_buf *payload)
{
    fr_buf_put(payload, &o->rows, sizeof o->rows);
    fr_buf_put(payload, &o->intercept, sizeof o->intercept);
    fr_buf_put(payload, o->w, o->features * sizeof *o->w);
}

static int online_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    online o = {.features = fit->x->count};
    o.w = fr_zalloc(o.features * sizeof *o.w);
    int rc = learn_rows(&o, fit->option, fit->x, fit->y->code, NULL, err);
    if (rc == FR_OK) {
        put(&o, payload);
    }
    fr_free(o.w);
    return rc;
}

// The numbers of a model; w borrows its payload.
static online of_model(const fr_model *m)
{
    online o = {.features = m->features};
    memcpy(&o.rows, m->payload, sizeof o.rows);
    memcpy(&o.intercept, m->payload + sizeof o.rows, sizeof o.intercept);
    o.w = (weight *)(void *)(m->image->data + (m->payload - m->image->data) + HEAD_BYTES);
    return o;
}

static int online_update(const fr_model *m, const fr_columns *x, const int32_t *code,
                         double *out, fr_buf *payload, fr_err *err)
{
    online o = of_model(m);
    weight *w = fr_alloc(o.features * sizeof *w);
    memcpy(w, o.w, o.features * sizeof *w);
    o.w = w;
    int rc = learn_rows(&o, m->option, x, code, out, err);
    if (rc == FR_OK) {
        put(&o, payload);
    }
    fr_free(w);
    return rc;
}

static int online_open(const fr_model *m, void **state, fr_err *err)
{
    *state = NULL;
    if (m->payload_size != HEAD_BYTES + m->features * sizeof(weight) ||
        fr_model_classes(m) != 2) {
        return fr_fail(err, FR_ECORRUPT, "the coefficients do not fit");
    }
    return FR_OK;
}

static int online_predict(const fr_model *m, const fr_columns *x, double *out,
                          fr_err *err)
{
    (void)err;
    const online o = of_model(m);
    for (size_t i = 0; i < x->rows; i++) {
        out[x->rows + i] = probability(&o, m->option, x, i);
        out[i] = 1 - out[x->rows + i];
    }
    return FR_OK;
}

const fr_model_ops fr_online_logistic_ops = {
    .name = "online_logistic",
    .title = "online logistic regression",
    .version = 1,
    .classifies = true,
    .most_classes = 2,
    .options = OPTIONS,
    .option_count = FR_COUNT(OPTIONS),
    .fit = online_fit,
    .open = online_open,
    .close = fr_free,
    .predict = online_predict,
    .update = online_update,
};
