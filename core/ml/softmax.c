#include "core/ml/softmax.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/lbfgs.h"
#include "core/ml/pass.h"
#include "core/ml/special.h"
#include "core/ml/standard.h"

#include <math.h>
#include <string.h>

enum { BLOCK = FR_STANDARD_BLOCK, MOST_PARAMETERS = 1 << 22 };

static const double settled = 1e-16; // change of the loss, relative

// Parameters by class: p coefficients in scaled units, then the intercept.
typedef struct work {
    fr_standard s;
    const int32_t *code;
    size_t n, p, q, classes; // q = p + 1
    bool intercept;
    const double *at; // [classes][q]
    double *penalty;  // [p]
    double *sums;     // loss, gradient[classes][q]
    int rc;           // of the pass that failed
    fr_err *err;
} work;

// Probabilities of one block, in place of the log-odds odds[k * stride + i].
static void normalise(double *odds, size_t classes, size_t stride, size_t rows)
{
    for (size_t i = 0; i < rows; i++) {
        double most = odds[i], sum = 0;
        for (size_t k = 1; k < classes; k++) {
            most = fmax(most, odds[k * stride + i]);
        }
        for (size_t k = 0; k < classes; k++) {
            double e = fr_special_exp(odds[k * stride + i] - most);
            odds[k * stride + i] = e;
            sum += e;
        }
        for (size_t k = 0; k < classes; k++) {
            odds[k * stride + i] /= sum;
        }
    }
}

static void add_block(const work *w, const double *z, const int32_t *code, size_t rows,
                      double *odds, double *out)
{
    for (size_t k = 0; k < w->classes; k++) {
        double *o = odds + k * BLOCK;
        memset(o, 0, rows * sizeof *o);
        for (size_t j = 0; j < w->q; j++) {
            double b = w->at[k * w->q + j];
            for (size_t i = 0; i < rows; i++) {
                o[i] += b * z[j * BLOCK + i];
            }
        }
    }
    normalise(odds, w->classes, BLOCK, rows);
    for (size_t i = 0; i < rows; i++) {
        double *own = odds + (size_t)code[i] * BLOCK + i;
        out[0] -= fr_special_log(fmax(*own, 1e-300));
        *own -= 1;
    }
    for (size_t k = 0; k < w->classes; k++) {
        for (size_t j = 0; j < w->q; j++) {
            out[1 + k * w->q + j] += fr_pass_dot(z + j * BLOCK, odds + k * BLOCK, rows);
        }
    }
}

static int sums_pass(void *ctx, size_t from, size_t to, double *out)
{
    const work *w = ctx;
    double *z = fr_try_alloc((w->q + w->classes) * BLOCK * sizeof *z);
    if (z == NULL) {
        return FR_ENOMEM;
    }
    for (size_t i = 0; i < BLOCK; i++) {
        z[w->p * BLOCK + i] = w->intercept;
    }
    int rc = FR_OK;
    for (size_t i = from; i < to && rc == FR_OK; i += BLOCK) {
        size_t rows = FR_MIN(to - i, (size_t)BLOCK);
        fr_standard_block(&w->s, i, rows, z);
        add_block(w, z, w->code + i, rows, z + w->q * BLOCK, out);
        rc = fr_cancelled() ? fr_cancel_code() : FR_OK;
    }
    fr_free(z);
    return rc;
}

// Loss and gradient per row, so that the search's first steps have a fitting size.
static double loss_at(void *ctx, const double *at, double *gradient)
{
    work *w = ctx;
    size_t size = w->classes * w->q;
    w->at = at;
    if (w->rc == FR_OK) {
        w->rc = fr_pass_run(w->n, 1 + size, sums_pass, w, w->sums, "logistic regression",
                            w->err);
    }
    if (w->rc != FR_OK) {
        memset(gradient, 0, size * sizeof *gradient); // ends the search
        return 0;
    }
    double loss = w->sums[0], n = (double)w->n;
    for (size_t k = 0; k < w->classes; k++) {
        for (size_t j = 0; j < w->q; j++) {
            double b = at[k * w->q + j], penalty = j < w->p ? w->penalty[j] : 0;
            loss += 0.5 * penalty * b * b;
            gradient[k * w->q + j] = (w->sums[1 + k * w->q + j] + penalty * b) / n;
        }
    }
    return loss / n;
}

static void put(const work *w, const double *b, fr_buf *payload)
{
    double *coef = fr_alloc((w->p + 1) * sizeof *coef);
    fr_buf_put_u64(payload, w->classes);
    for (size_t k = 0; k < w->classes; k++) {
        double intercept = w->intercept ? b[k * w->q + w->p] : 0;
        for (size_t j = 0; j < w->p && w->intercept; j++) {
            intercept -= b[k * w->q + j] / w->s.scale[j] * w->s.mean[j];
        }
        fr_buf_put(payload, &intercept, sizeof intercept);
    }
    for (size_t k = 0; k < w->classes; k++) {
        for (size_t j = 0; j < w->p; j++) {
            coef[j] = b[k * w->q + j] / w->s.scale[j];
        }
        fr_buf_put(payload, coef, w->p * sizeof *coef);
    }
    fr_free(coef);
}

static int search(work *w, int most, double *b, fr_buf *payload, fr_err *err)
{
    fr_lbfgs_result result;
    int rc = fr_lbfgs(w->classes * w->q, b, loss_at, w, most, settled, &result);
    if (w->rc != FR_OK) {
        return w->rc; // said why already
    }
    if (rc != FR_OK) {
        return fr_fail(err, rc, "logistic regression: stopped");
    }
    if (!result.converged) {
        return fr_fail(err, FR_ENUMERIC,
                       "logistic regression did not converge in %d steps: raise "
                       "max_iterations or l2",
                       most);
    }
    put(w, b, payload);
    return FR_OK;
}

int fr_softmax_fit(const fr_columns *x, const int32_t *code, size_t classes, double l2,
                   bool intercept, int most, fr_buf *payload, fr_err *err)
{
    size_t p = x->count, q = p + 1;
    work w = {.code = code, .n = x->rows, .p = p, .q = q, .classes = classes,
              .intercept = intercept, .err = err};
    if (q * classes > MOST_PARAMETERS) {
        return fr_fail(err, FR_ELIMIT, "%zu classes of %zu features are %zu coefficients, "
                       "at most %d can be fitted", classes, p, q * classes,
                       MOST_PARAMETERS);
    }
    double *memory = fr_try_alloc((p + 2 * q * classes + 1) * sizeof *memory);
    if (memory == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu coefficients", q * classes);
    }
    memset(memory, 0, (p + q * classes) * sizeof *memory);
    double *b = memory + p;
    w.penalty = memory;
    w.sums = b + q * classes;
    int rc = fr_standard_init(&w.s, x, intercept, "logistic regression", err);
    for (size_t j = 0; j < p; j++) {
        w.penalty[j] = l2 / (w.s.scale[j] * w.s.scale[j]);
    }
    rc = rc == FR_OK ? search(&w, most, b, payload, err) : rc;
    fr_standard_fini(&w.s);
    fr_free(memory);
    return rc;
}

int fr_softmax_open(const fr_model *m, void **state, fr_err *err)
{
    *state = NULL;
    size_t classes = fr_model_classes(m), p = m->features;
    const double *word = (const double *)(const void *)m->payload;
    uint64_t count = 0;
    bool fits = m->payload_size == (1 + classes * (p + 1)) * sizeof *word;
    if (fits) {
        memcpy(&count, m->payload, sizeof count);
    }
    fits = fits && count == classes;
    for (size_t i = 0; fits && i < classes * (p + 1); i++) {
        fits = isfinite(word[1 + i]);
    }
    if (!fits) {
        return fr_fail(err, FR_ECORRUPT, "the coefficients do not fit the features");
    }
    fr_softmax *s = fr_zalloc(sizeof *s);
    *s = (fr_softmax){classes, p, word + 1, word + 1 + classes};
    *state = s;
    return FR_OK;
}

void fr_softmax_predict(const fr_softmax *s, const fr_columns *x, double *out)
{
    size_t n = x->rows;
    for (size_t k = 0; k < s->classes; k++) {
        double *o = out + k * n;
        for (size_t i = 0; i < n; i++) {
            o[i] = s->intercept[k];
        }
        for (size_t j = 0; j < s->features; j++) {
            double b = s->coef[k * s->features + j];
            for (size_t i = 0; i < n; i++) {
                o[i] += b * x->column[j][i];
            }
        }
    }
    normalise(out, s->classes, n, n);
}

const fr_softmax *fr_softmax_of(const fr_model *m)
{
    return m->ops == &fr_logistic_ops && fr_model_classes(m) > 2 ? m->state : NULL;
}
