// logistic -- logistic regression, of two classes by Newton's method (iteratively
// reweighted least squares) with an l2 penalty, of more by softmax.c. Columns are centred
// and scaled inside; the penalty is on the coefficients in the user's units, as in
// scikit-learn (l2 = 1 / C), the intercept is free. Sums are made in segments of fixed
// size: the bits do not depend on threads.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/coefficients.h"
#include "core/ml/kernel_block.h"
#include "core/ml/kernel_logistic.h"
#include "core/ml/pass.h"
#include "core/ml/softmax.h"
#include "core/ml/special.h"
#include "core/ml/standard.h"

#include <math.h>
#include <string.h>

enum { L2, INTERCEPT, MAX_ITERATIONS, THREADS };

enum {
    BLOCK = 256,
    MOST_FEATURES = 8192,
    HALVINGS = 30,
    SAMPLE = 16,      // of so many blocks one shows where to start
    MOST_GUESSES = 8, // steps there
};

static const double small = 1e-10; // greatest gradient per row at the optimum
static const double rounding = 1e-12; // of a loss: what a step may seem to add to it
static const double near = 1e-2;   // length of a step that ends the guessing

static const fr_model_option OPTIONS[] = {
    [L2] = {"l2", NULL, FR_MODEL_NUMBER, 1, 0, 1e300, NULL,
            "half the weight of the sum of squared coefficients; 1 / C of scikit-learn"},
    [INTERCEPT] = {"intercept", "fit_intercept", FR_MODEL_BOOL, 1, 0, 1, NULL,
                   "a constant besides the features"},
    [MAX_ITERATIONS] = {"max_iterations", "max_iter", FR_MODEL_INT, 1000, 1, 1e6, NULL,
                        "most steps; of two classes about 10 are usual"},
    [THREADS] = {"threads", "n_jobs", FR_MODEL_INT, 0, -1, 4096, NULL,
                 "most threads; 0 and -1: what the task may use. The model is the same"},
};

// Parameters are [0] the intercept, then one per column; all in scaled units.
typedef struct work {
    const fr_columns *x;
    const int32_t *truth;
    const double *weight; // of each row; NULL: 1
    size_t n, p, q;       // q = p + 1
    bool intercept;
    double *mean, *scale;     // [p]
    double *penalty;          // [q]
    double *b, *step, *trial; // [q]
    double *sums;             // loss, gradient[q], hessian[q * q]
    bool curvature;           // whether a pass makes the hessian too
    size_t every;             // of so many blocks a pass takes one
} work;

// One block of rows: columns 1, z_1 ... z_p.
static void load_block(const work *w, size_t from, size_t rows, double *z)
{
    for (size_t i = 0; i < rows; i++) {
        z[i] = w->intercept;
    }
    for (size_t j = 0; j < w->p; j++) {
        fr_block_scale(w->x->column[j] + from, rows, w->mean[j], 1 / w->scale[j],
                       z + (j + 1) * BLOCK);
    }
}

// Adds loss, gradient and, if wanted, the hessian of one block at w->trial, which multiplies
// z by the roots of weights. `work_` holds log-odds, probabilities and residuals: 3 blocks.
static void add_block(const work *w, double *z, size_t from, size_t rows,
                      double *work_, double *out)
{
    const int32_t *truth = w->truth + from;
    double *odds = work_, *p = odds + BLOCK, *r = p + BLOCK;
    fr_block_combine(z, BLOCK, rows, w->q, w->trial, odds);
    for (size_t i = 0; i < rows; i++) {
        odds[i] = fmin(700, fmax(-700, odds[i]));
        r[i] = truth[i] ? odds[i] : -odds[i];
    }
    fr_logistic(r, p, rows); // probability of the true class
    for (size_t i = 0; i < rows; i++) {
        double heavy = w->weight != NULL ? w->weight[from + i] : 1;
        out[0] -= heavy * fr_special_log(p[i]);
        r[i] = heavy * (truth[i] ? p[i] - 1 : 1 - p[i]);
        p[i] *= heavy * (1 - p[i]);
    }
    for (size_t j = 0; j < w->q; j++) {
        out[1 + j] += fr_pass_dot(z + j * BLOCK, r, rows);
    }
    if (w->curvature) {
        for (size_t i = 0; i < rows; i++) {
            p[i] = sqrt(p[i]);
        }
        fr_block_weigh(z, BLOCK, rows, w->q, p);
        fr_block_gram(z, BLOCK, rows, w->q, out + 1 + w->q);
    }
}

static int sums_pass(void *ctx, size_t from, size_t to, double *out)
{
    const work *w = ctx;
    double *z = fr_try_alloc((w->q + 3) * BLOCK * sizeof *z);
    if (z == NULL) {
        return FR_ENOMEM;
    }
    for (size_t i = from; i < to; i += BLOCK * w->every) {
        size_t rows = FR_MIN(to - i, (size_t)BLOCK);
        load_block(w, i, rows, z);
        add_block(w, z, i, rows, z + w->q * BLOCK, out);
        if (fr_cancelled()) {
            fr_free(z);
            return fr_cancel_code();
        }
    }
    fr_free(z);
    return FR_OK;
}

// Loss (with penalty) at w->trial; gradient and perhaps hessian in w->sums.
static int evaluate(work *w, bool curvature, double *loss, fr_err *err)
{
    w->curvature = curvature;
    size_t size = 1 + w->q + (curvature ? w->q * w->q : 0);
    int rc = fr_pass_run(w->n, size, sums_pass, w, w->sums, "logistic regression", err);
    *loss = w->sums[0];
    for (size_t j = 0; j < w->q; j++) {
        *loss += 0.5 * w->penalty[j] * w->trial[j] * w->trial[j];
        w->sums[1 + j] += w->penalty[j] * w->trial[j];
        if (curvature) {
            w->sums[1 + w->q + j * w->q + j] += w->penalty[j];
        }
    }
    return rc;
}

static double longest(const work *w)
{
    double most = 0;
    for (size_t j = 0; j < w->q; j++) {
        most = fmax(most, fabs(w->step[j]));
    }
    return most;
}

static int separated(fr_err *err)
{
    return fr_fail(err, FR_ENUMERIC,
                   "logistic regression: the columns separate the classes perfectly, so "
                   "the best coefficients are infinite; set l2 > 0");
}

static int singular(fr_err *err)
{
    return fr_fail(err, FR_ENUMERIC,
                   "logistic regression: some columns are combinations of others; set "
                   "l2 > 0 or leave them out");
}

// H step = -g; the factor stays in sums for the standard errors.
static bool newton_step(work *w)
{
    double *g = w->sums + 1, *H = g + w->q;
    if (!w->intercept) {
        H[0] = 1; // its row and column are 0
    }
    if (!fr_pass_cholesky(w->q, H)) {
        return false;
    }
    for (size_t j = 0; j < w->q; j++) {
        w->step[j] = -g[j];
    }
    fr_pass_solve(w->q, H, w->step);
    return true;
}

// Of many rows: moves b to the optimum of some of them, from where few steps are left, if
// that is found at once.
static int guess(work *w, fr_err *err)
{
    double before = HUGE_VAL, loss, length = HUGE_VAL;
    int rc = FR_OK;
    w->every = SAMPLE;
    for (size_t j = 0; j < w->q; j++) {
        w->penalty[j] /= SAMPLE;
        w->trial[j] = w->b[j];
    }
    for (int k = 0; k < MOST_GUESSES && length > near && rc == FR_OK; k++) {
        rc = evaluate(w, true, &loss, err);
        if (rc != FR_OK || !(loss < before) || !newton_step(w)) {
            length = HUGE_VAL;
            break;
        }
        before = loss;
        length = longest(w);
        for (size_t j = 0; j < w->q; j++) {
            w->trial[j] += w->step[j];
        }
    }
    for (size_t j = 0; j < w->q; j++) {
        w->penalty[j] *= SAMPLE;
        w->b[j] = length <= near ? w->trial[j] : w->b[j];
    }
    w->every = 1;
    return rc;
}

// Loss, gradient and hessian at the start. flat: the loss there without coefficients.
static int begin(work *w, double flat, double *loss, fr_err *err)
{
    double constant = w->b[0];
    int rc = w->n >= FR_STANDARD_MANY ? guess(w, err) : FR_OK;
    memcpy(w->trial, w->b, w->q * sizeof *w->b);
    rc = rc == FR_OK ? evaluate(w, true, loss, err) : rc;
    if (rc == FR_OK && w->n >= FR_STANDARD_MANY && !(*loss <= flat)) {
        memset(w->b, 0, w->q * sizeof *w->b);
        w->b[0] = constant;
        memcpy(w->trial, w->b, w->q * sizeof *w->b);
        rc = evaluate(w, true, loss, err);
    }
    return rc;
}

static int search(work *w, double flat, int most, double *loss, int *iterations, fr_err *err)
{
    int rc = begin(w, flat, loss, err);
    for (*iterations = 0; rc == FR_OK; ++*iterations) {
        double largest = 0;
        for (size_t j = 0; j < w->q; j++) {
            largest = fmax(largest, fabs(w->sums[1 + j]));
        }
        if (!newton_step(w)) {
            return singular(err);
        }
        if (largest <= small * (double)w->n) {
            // Flat, but still going: some coefficients are on their way to infinity.
            return longest(w) > 1e-3 ? separated(err) : FR_OK;
        }
        if (*iterations == most) {
            return fr_fail(err, FR_ENUMERIC,
                           "logistic regression did not converge in %d steps: raise "
                           "max_iterations or l2",
                           most);
        }
        double now = HUGE_VAL, length = 1, most_loss = *loss * (1 + rounding);
        for (int k = 0; k < HALVINGS && rc == FR_OK && !(now <= most_loss);
             k++, length /= 2) {
            for (size_t j = 0; j < w->q; j++) {
                w->trial[j] = w->b[j] + length * w->step[j];
            }
            rc = evaluate(w, k == 0, &now, err);
            if (k > 0 && now <= most_loss && rc == FR_OK) {
                rc = evaluate(w, true, &now, err);
            }
        }
        if (rc == FR_OK && !(now <= most_loss)) { // no way down: rounding, at the optimum
            memcpy(w->trial, w->b, w->q * sizeof *w->b);
            rc = evaluate(w, true, loss, err);
            return rc == FR_OK && !newton_step(w) ? singular(err) : rc;
        }
        memcpy(w->b, w->trial, w->q * sizeof *w->b);
        *loss = now;
    }
    return rc;
}

static int centre_and_scale(work *w, fr_err *err)
{
    fr_standard s;
    int rc = fr_standard_init(&s, w->x, w->intercept, "logistic regression", err);
    memcpy(w->mean, s.mean, w->p * sizeof *w->mean);
    memcpy(w->scale, s.scale, w->p * sizeof *w->scale);
    for (size_t j = 0; j < w->p; j++) {
        w->penalty[j + 1] /= w->scale[j] * w->scale[j];
    }
    fr_standard_fini(&s);
    return rc;
}

// The inverse's diagonal and the intercept's variance, from the factor of the hessian.
static void fill_errors(work *w, fr_coefficients *c, double *se)
{
    const double *L = w->sums + 1 + w->q;
    for (size_t j = 0; j < w->q; j++) {
        memset(w->step, 0, w->q * sizeof *w->step);
        // The intercept in the user's units is b0 - sum b_j m_j / s_j.
        w->step[j] = 1;
        for (size_t k = 1; k < w->q && j == 0; k++) {
            w->step[k] = -w->mean[k - 1] / w->scale[k - 1];
        }
        memcpy(w->trial, w->step, w->q * sizeof *w->step);
        fr_pass_solve(w->q, L, w->step);
        double variance = fr_pass_dot(w->trial, w->step, w->q);
        if (j == 0) {
            c->intercept_se = w->intercept ? sqrt(variance) : (double)NAN;
        } else {
            se[j - 1] = sqrt(variance) / w->scale[j - 1];
        }
    }
}

static int work_init(work *w, const fr_fit *fit, fr_err *err)
{
    size_t p = fit->x->count, q = p + 1;
    *w = (work){.x = fit->x, .truth = fit->y->code, .weight = fit->weight,
                .every = 1};
    w->n = fit->x->rows;
    w->p = p;
    w->q = q;
    w->intercept = fit->option[INTERCEPT] != 0;
    if (p > MOST_FEATURES) {
        return fr_fail(err, FR_ELIMIT, "logistic regression takes %d features, got %zu",
                       MOST_FEATURES, p);
    }
    w->mean = fr_try_alloc((2 * p + 4 * q + 1 + q + q * q) * sizeof *w->mean);
    if (w->mean == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu features", p);
    }
    memset(w->mean, 0, (2 * p + 4 * q) * sizeof *w->mean);
    w->scale = w->mean + p;
    w->penalty = w->scale + p;
    w->b = w->penalty + q;
    w->step = w->b + q;
    w->trial = w->step + q;
    w->sums = w->trial + q;
    for (size_t j = 1; j < q; j++) {
        w->penalty[j] = fit->option[L2];
    }
    return FR_OK;
}

static int logistic_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    if (fit->y->classes > 2 && fit->weight != NULL) {
        return fr_fail(err, FR_EUNSUPPORTED,
                       "logistic regression of more than two classes takes no weights");
    }
    if (fit->y->classes > 2) {
        return fr_softmax_fit(fit->x, fit->y->code, fit->y->classes, fit->option[L2],
                              fit->option[INTERCEPT] != 0,
                              (int)fit->option[MAX_ITERATIONS], payload, err);
    }
    work w;
    int iterations = 0;
    double loss = 0, ones = 0, n = 0;
    int rc = work_init(&w, fit, err);
    rc = rc == FR_OK ? centre_and_scale(&w, err) : rc;
    for (size_t i = 0; i < w.n; i++) {
        double heavy = w.weight != NULL ? w.weight[i] : 1;
        ones += heavy * w.truth[i];
        n += heavy;
    }
    double share = ones / n;
    if (rc == FR_OK && !(share > 0 && share < 1)) {
        rc = fr_fail(err, FR_EINVAL, "logistic regression: one class has no weight");
    }
    if (rc == FR_OK) {
        w.b[0] = w.intercept ? fr_special_log(share / (1 - share)) : 0;
        double flat = -n * (share * fr_special_log(share) +
                            (1 - share) * fr_special_log(1 - share));
        flat = w.intercept ? flat * (1 + 1e-9) : n * fr_special_log(2);
        rc = search(&w, flat, (int)fit->option[MAX_ITERATIONS], &loss, &iterations, err);
    }
    if (rc == FR_OK) {
        double *coef = fr_alloc(2 * w.p * sizeof *coef + 1), *se = coef + w.p;
        double constant =
            n * (share * fr_special_log(share) + (1 - share) * fr_special_log(1 - share));
        fr_coefficients c = {.count = w.p,
                             .intercept = w.b[0],
                             .coef = coef,
                             .se = se,
                             .stats = {-w.sums[0], constant, iterations}};
        for (size_t j = 0; j < w.p; j++) {
            coef[j] = w.b[j + 1] / w.scale[j];
            c.intercept -= coef[j] * w.mean[j];
        }
        c.intercept = w.intercept ? c.intercept : 0;
        fill_errors(&w, &c, se);
        fr_coefficients_put(payload, &c);
        fr_free(coef);
    }
    fr_free(w.mean);
    return rc;
}

static int logistic_predict(const fr_model *m, const fr_columns *x, double *out,
                            fr_err *err)
{
    (void)err;
    size_t n = x->rows;
    if (fr_model_classes(m) > 2) {
        fr_softmax_predict(m->state, x, out);
        return FR_OK;
    }
    fr_coefficients_apply(m->state, x, out);
    for (size_t i = 0; i < n; i++) {
        out[i] = fmin(700, fmax(-700, out[i]));
    }
    fr_logistic(out, out + n, n);
    for (size_t i = 0; i < n; i++) {
        out[i] = 1 - out[n + i];
    }
    return FR_OK;
}

static int logistic_open(const fr_model *m, void **state, fr_err *err)
{
    return fr_model_classes(m) > 2 ? fr_softmax_open(m, state, err)
                                   : fr_coefficients_open(m, state, err);
}

const fr_model_ops fr_logistic_ops = {
    .name = "logistic",
    .title = "logistic regression",
    .takes_weights = true, // of two classes
    .version = 2, // 2: more than two classes
    .classifies = true,
    .options = OPTIONS,
    .option_count = FR_COUNT(OPTIONS),
    .fit = logistic_fit,
    .open = logistic_open,
    .close = fr_free,
    .predict = logistic_predict,
};
