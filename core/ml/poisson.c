// poisson -- regression of counts: the logarithm of their mean is linear in the features.
// Newton's method on mean(mu - y log mu) + alpha |b|^2 / 2 (scikit-learn's objective,
// coefficients in the user's units, the intercept free).

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/coefficients.h"
#include "core/ml/pass.h"
#include "core/ml/special.h"
#include "core/ml/standard.h"

#include <math.h>
#include <string.h>

enum { ALPHA, INTERCEPT, MAX_ITERATIONS, THREADS };

enum { BLOCK = FR_STANDARD_BLOCK, MOST_FEATURES = 4096, HALVINGS = 40 };

static const double small = 1e-11; // greatest gradient per row at the optimum
static const double rounding = 1e-13; // of the loss, relative
static const double largest_odds = 600;

static const fr_model_option OPTIONS[] = {
    [ALPHA] = {"alpha", "l2", FR_MODEL_NUMBER, 0, 0, 1e300, NULL,
               "weight of half the sum of squared coefficients beside the mean loss"},
    [INTERCEPT] = {"intercept", "fit_intercept", FR_MODEL_BOOL, 1, 0, 1, NULL,
                   "a constant besides the features"},
    [MAX_ITERATIONS] = {"max_iterations", "max_iter", FR_MODEL_INT, 100, 1, 1e6, NULL,
                        "most Newton steps; about 10 are usual"},
    [THREADS] = {"threads", "n_jobs", FR_MODEL_INT, 0, -1, 4096, NULL,
                 "most threads; 0 and -1: what the task may use. The model is the same"},
};

// Parameters are one per column, then the intercept; in scaled units.
typedef struct work {
    fr_standard s;
    const double *y;
    size_t n, p, q; // q = p + 1
    bool intercept;
    double *penalty, *b, *step, *trial; // [q]
    double *sums;                       // loss, gradient[q], hessian[q * q]
    bool curvature;                     // whether a pass makes the hessian too
} work;

static void add_block(const work *w, const double *z, size_t from, size_t rows,
                      double *space, double *out)
{
    double *mu = space, *r = mu + BLOCK, *weighted = r + BLOCK;
    memset(mu, 0, rows * sizeof *mu);
    for (size_t j = 0; j < w->q; j++) {
        for (size_t i = 0; i < rows; i++) {
            mu[i] += w->trial[j] * z[j * BLOCK + i];
        }
    }
    for (size_t i = 0; i < rows; i++) {
        double odds = fmin(largest_odds, fmax(-largest_odds, mu[i])), y = w->y[from + i];
        mu[i] = fr_special_exp(odds);
        out[0] += mu[i] - y * odds;
        r[i] = mu[i] - y;
    }
    for (size_t j = 0; j < w->q; j++) {
        out[1 + j] += fr_pass_dot(z + j * BLOCK, r, rows);
        for (size_t i = 0; i < rows && w->curvature; i++) {
            weighted[i] = z[j * BLOCK + i] * mu[i];
        }
        for (size_t k = 0; k <= j && w->curvature; k++) {
            out[1 + w->q + j * w->q + k] += fr_pass_dot(z + k * BLOCK, weighted, rows);
        }
    }
}

static int sums_pass(void *ctx, size_t from, size_t to, double *out)
{
    const work *w = ctx;
    double *z = fr_try_alloc((w->q + 3) * BLOCK * sizeof *z);
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
        add_block(w, z, i, rows, z + w->q * BLOCK, out);
        rc = fr_cancelled() ? fr_cancel_code() : FR_OK;
    }
    fr_free(z);
    return rc;
}

static int evaluate(work *w, bool curvature, double *loss, fr_err *err)
{
    w->curvature = curvature;
    size_t q = w->q, size = 1 + q + (curvature ? q * q : 0);
    int rc = fr_pass_run(w->n, size, sums_pass, w, w->sums, "poisson regression", err);
    *loss = w->sums[0];
    for (size_t j = 0; j < q; j++) {
        *loss += 0.5 * w->penalty[j] * w->trial[j] * w->trial[j];
        w->sums[1 + j] += w->penalty[j] * w->trial[j];
        if (curvature) {
            w->sums[1 + q + j * q + j] += w->penalty[j];
        }
    }
    return rc;
}

// The hessian's factor stays in sums, for the standard errors.
static int newton_step(work *w, fr_err *err)
{
    double *g = w->sums + 1, *H = g + w->q;
    if (!w->intercept) {
        H[w->p * w->q + w->p] = 1; // its row is 0
    }
    if (!fr_pass_cholesky(w->q, H)) {
        return fr_fail(err, FR_ENUMERIC,
                       "poisson regression: some columns are combinations of others; set "
                       "alpha > 0 or leave them out");
    }
    for (size_t j = 0; j < w->q; j++) {
        w->step[j] = -g[j];
    }
    fr_pass_solve(w->q, H, w->step);
    return FR_OK;
}

// The longest of the halved steps that does not raise the loss by more than its rounding
// (at the optimum a good step changes less than that); *found says whether there is one.
static int line_search(work *w, double *loss, bool *found, fr_err *err)
{
    double now = HUGE_VAL, length = 1;
    int rc = FR_OK;
    *found = false;
    for (int k = 0; k < HALVINGS && rc == FR_OK && !*found; k++, length /= 2) {
        for (size_t j = 0; j < w->q; j++) {
            w->trial[j] = w->b[j] + length * w->step[j];
        }
        rc = evaluate(w, false, &now, err);
        *found = rc == FR_OK && now <= *loss + rounding * (1 + fabs(*loss));
    }
    if (*found) {
        memcpy(w->b, w->trial, w->q * sizeof *w->b);
    }
    return rc;
}

static int search(work *w, int most, double *loss, int *iterations, fr_err *err)
{
    for (*iterations = 0;; ++*iterations) {
        memcpy(w->trial, w->b, w->q * sizeof *w->b);
        int rc = evaluate(w, true, loss, err);
        double largest = 0;
        for (size_t j = 0; j < w->q; j++) {
            largest = fmax(largest, fabs(w->sums[1 + j]));
        }
        rc = rc == FR_OK ? newton_step(w, err) : rc;
        if (rc != FR_OK || largest <= small * (double)w->n) {
            return rc;
        }
        if (*iterations == most) {
            return fr_fail(err, FR_ENUMERIC,
                           "poisson regression did not converge in %d steps: raise "
                           "max_iterations or alpha",
                           most);
        }
        bool found;
        rc = line_search(w, loss, &found, err);
        if (rc == FR_OK && !found) { // rounding, at the optimum
            memcpy(w->trial, w->b, w->q * sizeof *w->b);
            rc = evaluate(w, true, loss, err);
            return rc == FR_OK ? newton_step(w, err) : rc;
        }
        if (rc != FR_OK) {
            return rc;
        }
    }
}

static void put(work *w, double loss, int iterations, fr_buf *payload)
{
    const double *L = w->sums + 1 + w->q;
    double *coef = fr_alloc((2 * w->p + 1) * sizeof *coef), *se = coef + w->p;
    fr_coefficients c = {.count = w->p, .coef = coef, .se = se, .stats = {loss, iterations}};
    c.intercept = w->intercept ? w->b[w->p] : 0;
    for (size_t j = 0; j < w->q; j++) {
        memset(w->step, 0, w->q * sizeof *w->step);
        // The intercept in the user's units is b0 - sum b_j m_j / s_j.
        w->step[j] = 1;
        for (size_t k = 0; k < w->p && j == w->p; k++) {
            w->step[k] = -w->s.mean[k] / w->s.scale[k];
        }
        memcpy(w->trial, w->step, w->q * sizeof *w->step);
        fr_pass_solve(w->q, L, w->step);
        double error = sqrt(fr_pass_dot(w->trial, w->step, w->q));
        if (j == w->p) {
            c.intercept_se = w->intercept ? error : (double)NAN;
        } else {
            coef[j] = w->b[j] / w->s.scale[j];
            se[j] = error / w->s.scale[j];
            c.intercept -= w->intercept ? coef[j] * w->s.mean[j] : 0;
        }
    }
    fr_coefficients_put(payload, &c);
    fr_free(coef);
}

static int check_counts(const double *y, size_t n, double *mean, fr_err *err)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(y[i] >= 0)) {
            return fr_fail(err, FR_EINVAL,
                           "poisson regression predicts counts, 0 or more: the target is "
                           "%g in row %zu",
                           y[i], i + 1);
        }
        sum += y[i];
    }
    *mean = sum / (double)n;
    return sum > 0 ? FR_OK
                   : fr_fail(err, FR_EINVAL, "poisson regression: all counts are 0");
}

static int poisson_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    size_t p = fit->x->count, q = p + 1, n = fit->x->rows;
    work w = {.y = fit->y->number, .n = n, .p = p, .q = q};
    w.intercept = fit->option[INTERCEPT] != 0;
    double mean = 0, loss = 0;
    int iterations = 0;
    int rc = check_counts(w.y, n, &mean, err);
    if (rc == FR_OK && p > MOST_FEATURES) {
        rc = fr_fail(err, FR_ELIMIT, "poisson regression takes %d features, got %zu",
                     MOST_FEATURES, p);
    }
    if (rc != FR_OK) {
        return rc;
    }
    w.penalty = fr_try_alloc((5 * q + 1 + q * q) * sizeof *w.penalty);
    if (w.penalty == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu columns", p);
    }
    memset(w.penalty, 0, 4 * q * sizeof *w.penalty);
    w.b = w.penalty + q;
    w.step = w.b + q;
    w.trial = w.step + q;
    w.sums = w.trial + q;
    rc = fr_standard_init(&w.s, fit->x, w.intercept, "poisson regression", err);
    for (size_t j = 0; j < p; j++) {
        double s = w.s.scale[j];
        w.penalty[j] = (double)n * fit->option[ALPHA] / (s * s);
    }
    w.b[p] = w.intercept ? fr_special_log(mean) : 0;
    if (rc == FR_OK) {
        rc = search(&w, (int)fit->option[MAX_ITERATIONS], &loss, &iterations, err);
    }
    if (rc == FR_OK) {
        put(&w, loss, iterations, payload);
    }
    fr_standard_fini(&w.s);
    fr_free(w.penalty);
    return rc;
}

static int poisson_predict(const fr_model *m, const fr_columns *x, double *out,
                           fr_err *err)
{
    (void)err;
    fr_coefficients_apply(m->state, x, out);
    for (size_t i = 0; i < x->rows; i++) {
        out[i] = fr_special_exp(out[i]);
    }
    return FR_OK;
}

const fr_model_ops fr_poisson_ops = {
    .name = "poisson",
    .title = "poisson regression",
    .version = 1,
    .options = OPTIONS,
    .option_count = FR_COUNT(OPTIONS),
    .fit = poisson_fit,
    .open = fr_coefficients_open,
    .close = fr_free,
    .predict = poisson_predict,
};
