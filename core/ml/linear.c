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

static void put(const fr_least_squares *s, fr_buf *payload)
{
    fr_coefficients c = {s->count,
                         s->intercept,
                         s->intercept_se,
                         s->coef,
                         s->se,
                         {s->residual_ss, s->total_ss, s->degrees, (double)s->rank,
                          s->condition}};
    fr_coefficients_put(payload, &c);
}

// Rows times the roots of their weights, around weighted means; the last column is the
// roots, and after them comes the target.
typedef struct heavy {
    const fr_fit *fit;
    size_t rows, count; // rows of weight above 0; columns without the last
    double *memory, **column, *y;
    double *mean; // [count + 1], of the target last
} heavy;

static double mean_of(const fr_fit *fit, const double *v)
{
    double sum = 0, weight = 0, mean = 0;
    for (int again = 0; again < 2; again++, mean += sum / weight) {
        sum = weight = 0;
        for (size_t i = 0; i < fit->x->rows; i++) {
            sum += fit->weight[i] * (v[i] - mean);
            weight += fit->weight[i];
        }
    }
    return mean;
}

static void fill(const heavy *h, const double *v, double mean, double *out)
{
    size_t k = 0;
    for (size_t i = 0; i < h->fit->x->rows; i++) {
        double w = h->fit->weight[i];
        out[k] = sqrt(w) * (v == NULL ? 1 : v[i] - mean);
        k += w > 0;
    }
}

static int heavy_init(heavy *h, const fr_fit *fit, fr_err *err)
{
    size_t p = fit->x->count, n = fit->x->rows;
    *h = (heavy){.fit = fit, .count = p};
    for (size_t i = 0; i < n; i++) {
        h->rows += fit->weight[i] > 0;
    }
    h->memory = fr_try_alloc((p + 2) * (n + 1) * sizeof *h->memory);
    h->column = fr_alloc((p + 1) * sizeof *h->column);
    h->mean = fr_zalloc((p + 1) * sizeof *h->mean);
    if (h->memory == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu x %zu values", n, p);
    }
    for (size_t j = 0; j <= p; j++) {
        h->column[j] = h->memory + j * (n + 1);
    }
    h->y = h->memory + (p + 1) * (n + 1);
    return FR_OK;
}

static void heavy_fini(heavy *h)
{
    fr_free(h->memory);
    fr_free(h->column);
    fr_free(h->mean);
}

// By centred columns, or as they are with the roots as a column of their own.
static int heavy_solve(heavy *h, bool centred, bool roots, double l2, fr_least_squares *s,
                       fr_err *err)
{
    const fr_columns *x = h->fit->x;
    const double *y = h->fit->y->number;
    for (size_t j = 0; j < h->count; j++) {
        h->mean[j] = centred ? mean_of(h->fit, x->column[j]) : 0;
        fill(h, x->column[j], h->mean[j], h->column[j]);
    }
    h->mean[h->count] = centred ? mean_of(h->fit, y) : 0;
    fill(h, y, h->mean[h->count], h->y);
    fill(h, NULL, 0, h->column[h->count]);
    fr_columns c = {h->rows, h->count + roots, (const double *const *)h->column, x->name,
                    false};
    return fr_least_squares_fit(&c, h->y, false, l2, s, err);
}

// Weighted least squares: the sum of w r^2 is least squares of rows times the root of w.
static int fit_weighted(const fr_fit *fit, fr_least_squares *s, fr_err *err)
{
    heavy h;
    bool intercept = fit->option[INTERCEPT] != 0;
    int rc = heavy_init(&h, fit, err);
    rc = rc != FR_OK ? rc : heavy_solve(&h, intercept, false, fit->option[L2], s, err);
    if (rc == FR_OK && intercept) {
        double was = s->degrees;
        s->degrees--;
        s->intercept = h.mean[h.count];
        for (size_t j = 0; j < h.count; j++) {
            s->intercept -= s->coef[j] * h.mean[j];
            s->se[j] *= sqrt(was / s->degrees);
        }
        fr_least_squares whole; // only for the error of the constant
        rc = heavy_solve(&h, false, true, 0, &whole, err);
        s->intercept_se = rc == FR_OK && fit->option[L2] == 0 && s->degrees > 0
                              ? whole.se[h.count]
                              : (double)NAN;
        fr_least_squares_fini(&whole);
    }
    heavy_fini(&h);
    return rc;
}

static int linear_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    fr_least_squares s = {0};
    int rc = fit->weight != NULL
                 ? fit_weighted(fit, &s, err)
                 : fr_least_squares_fit(fit->x, fit->y->number,
                                        fit->option[INTERCEPT] != 0, fit->option[L2], &s,
                                        err);
    if (rc == FR_OK) {
        put(&s, payload);
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
    .takes_weights = true,
    .options = OPTIONS,
    .option_count = FR_COUNT(OPTIONS),
    .fit = linear_fit,
    .open = fr_coefficients_open,
    .close = fr_free,
    .predict = fr_coefficients_predict,
};
