// linear -- linear regression as a model (least squares, ridge), and what it shares with
// logistic regression.
//
// Payload: u64 count; doubles intercept, its error, stats[6], coef[count], se[count].

#include "core/base/mem.h"
#include "core/ml/coefficients.h"
#include "core/ml/least_squares.h"

#include <math.h>
#include <string.h>

enum { L2, INTERCEPT, THREADS };

enum { HEAD = 3 + FR_COEFFICIENTS_STATS }; // words before the coefficients

static const fr_model_option OPTIONS[] = {
    [L2] = {"l2", "alpha", FR_MODEL_NUMBER, 0, 0, 1e300, NULL,
            "weight of the sum of squared coefficients beside that of the residuals"},
    [INTERCEPT] = {"intercept", "fit_intercept", FR_MODEL_BOOL, 1, 0, 1, NULL,
                   "a constant besides the features"},
    [THREADS] = {"threads", "n_jobs", FR_MODEL_INT, 0, -1, 4096, NULL,
                 "most threads; 0 and -1: what the task may use. The model is the same"},
};

void fr_coefficients_put(fr_buf *b, const fr_coefficients *c)
{
    const double head[2] = {c->intercept, c->intercept_se};
    fr_buf_put_u64(b, c->count);
    fr_buf_put(b, head, sizeof head);
    fr_buf_put(b, c->stats, sizeof c->stats);
    fr_buf_put(b, c->coef, c->count * sizeof *c->coef);
    fr_buf_put(b, c->se, c->count * sizeof *c->se);
}

int fr_coefficients_open(const fr_model *m, void **state, fr_err *err)
{
    *state = NULL;
    const double *word = (const double *)(const void *)m->payload;
    uint64_t count;
    bool fits = m->payload_size == (HEAD + 2 * m->features) * sizeof *word;
    if (fits) {
        memcpy(&count, m->payload, sizeof count);
        fits = count == m->features && isfinite(word[1]);
    }
    for (size_t i = 0; fits && i < m->features; i++) {
        fits = isfinite(word[HEAD + i]);
    }
    if (!fits) {
        return fr_fail(err, FR_ECORRUPT, "the coefficients do not fit the features");
    }
    fr_coefficients *c = fr_zalloc(sizeof *c);
    c->count = m->features;
    c->intercept = word[1];
    c->intercept_se = word[2];
    memcpy(c->stats, word + 3, sizeof c->stats);
    c->coef = word + HEAD;
    c->se = c->coef + c->count;
    *state = c;
    return FR_OK;
}

void fr_coefficients_apply(const fr_coefficients *c, const fr_columns *x, double *out)
{
    for (size_t i = 0; i < x->rows; i++) {
        out[i] = c->intercept;
    }
    for (size_t j = 0; j < c->count; j++) {
        const double *v = x->column[j];
        for (size_t i = 0; i < x->rows; i++) {
            out[i] += c->coef[j] * v[i];
        }
    }
}

const fr_coefficients *fr_coefficients_of(const fr_model *m)
{
    bool has = m->ops->open == fr_coefficients_open ||
               (m->ops == &fr_logistic_ops && fr_model_classes(m) == 2);
    return has ? m->state : NULL;
}

static int linear_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    fr_least_squares s;
    int rc = fr_least_squares_fit(fit->x, fit->y->number, fit->option[INTERCEPT] != 0,
                                  fit->option[L2], &s, err);
    if (rc == FR_OK) {
        fr_coefficients c = {
            s.count,
            s.intercept,
            s.intercept_se,
            s.coef,
            s.se,
            {s.residual_ss, s.total_ss, s.degrees, (double)s.rank, s.condition}};
        fr_coefficients_put(payload, &c);
    }
    fr_least_squares_fini(&s);
    return rc;
}

int fr_coefficients_predict(const fr_model *m, const fr_columns *x, double *out,
                            fr_err *err)
{
    (void)err;
    fr_coefficients_apply(m->state, x, out);
    return FR_OK;
}

const fr_model_ops fr_linear_ops = {
    .name = "linear",
    .title = "linear regression",
    .version = 1,
    .options = OPTIONS,
    .option_count = FR_COUNT(OPTIONS),
    .fit = linear_fit,
    .open = fr_coefficients_open,
    .close = fr_free,
    .predict = fr_coefficients_predict,
};
