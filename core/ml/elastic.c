// elastic -- lasso and elastic net: least squares with a penalty on the absolute values of
// the coefficients, minimised by coordinate descent on the products of centred columns.
//
// Objective (scikit-learn's): |y - X b|^2 / (2 n) + alpha (l1_ratio |b|_1 +
// (1 - l1_ratio) |b|^2 / 2), in the user's units; the intercept is free. Descent finds
// which coefficients are not 0; their values are then those of the linear system that the
// conditions of the optimum (Karush, Kuhn, Tucker) leave, so these hold to rounding.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/coefficients.h"
#include "core/ml/pass.h"
#include "core/ml/standard.h"

#include <math.h>
#include <string.h>

// Lasso has no ratio: its rows end before it.
enum { ALPHA, INTERCEPT, MAX_ITERATIONS, THREADS, L1_RATIO };

enum { MOST_FEATURES = 8192, POLISH_EVERY = 5 };

static const double small = 1e-11; // greatest violation, relative to the gradient at 0

static const fr_model_option OPTIONS[] = {
    [ALPHA] = {"alpha", "penalty", FR_MODEL_NUMBER, 1, 0, 1e300, NULL,
               "weight of the penalty"},
    [INTERCEPT] = {"intercept", "fit_intercept", FR_MODEL_BOOL, 1, 0, 1, NULL,
                   "a constant besides the features"},
    [MAX_ITERATIONS] = {"max_iterations", "max_iter", FR_MODEL_INT, 10000, 1, 1e9, NULL,
                        "most passes over the coefficients"},
    [THREADS] = {"threads", "n_jobs", FR_MODEL_INT, 0, -1, 4096, NULL,
                 "most threads; 0 and -1: what the task may use. The model is the same"},
    [L1_RATIO] = {"l1_ratio", NULL, FR_MODEL_NUMBER, 0.5, 0, 1, NULL,
                  "share of the penalty on absolute values; the rest is on squares"},
};

// In units of the centred, scaled columns; products are divided by the rows.
typedef struct work {
    fr_standard s;
    const double *y;
    size_t n, p;
    double y_mean, yy;
    double *gram;       // [p][p]
    double *c;          // [p], columns times y
    double *l1, *l2;    // [p], the penalties
    double *b, *q;      // [p], coefficients; gram times them
    double *kept;       // [p], before polishing
    double *system;     // [p][p], of the coefficients that are not 0
    size_t *active;     // [p]
} work;

static int mean_pass(void *ctx, size_t from, size_t to, double *out)
{
    const work *w = ctx;
    for (size_t i = from; i < to; i++) {
        out[0] += w->y[i] - w->y_mean;
    }
    return FR_OK;
}

// Sums: lower triangle of the products of p columns and the target, row by row.
static int gram_pass(void *ctx, size_t from, size_t to, double *out)
{
    const work *w = ctx;
    size_t p = w->p;
    double *z = fr_try_alloc((p + 1) * FR_STANDARD_BLOCK * sizeof *z);
    if (z == NULL) {
        return FR_ENOMEM;
    }
    double *r = z + p * FR_STANDARD_BLOCK;
    int rc = FR_OK;
    for (size_t i = from; i < to && rc == FR_OK; i += FR_STANDARD_BLOCK) {
        size_t rows = FR_MIN(to - i, (size_t)FR_STANDARD_BLOCK);
        fr_standard_block(&w->s, i, rows, z);
        for (size_t k = 0; k < rows; k++) {
            r[k] = w->y[i + k] - w->y_mean;
        }
        for (size_t a = 0; a <= p; a++) {
            for (size_t b = 0; b <= a; b++) {
                out[a * (p + 1) + b] += fr_pass_dot(z + a * FR_STANDARD_BLOCK,
                                                    z + b * FR_STANDARD_BLOCK, rows);
            }
        }
        rc = fr_cancelled() ? fr_cancel_code() : FR_OK;
    }
    fr_free(z);
    return rc;
}

static int make_products(work *w, bool intercept, fr_err *err)
{
    size_t p = w->p, width = p + 1;
    double *sum = fr_try_alloc(width * width * sizeof *sum), n = (double)w->n;
    if (sum == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu columns", p);
    }
    int rc = FR_OK;
    for (int again = 0; again < 2 && intercept && rc == FR_OK; again++) {
        rc = fr_pass_run(w->n, 1, mean_pass, w, sum, "elastic net", err);
        w->y_mean += sum[0] / n;
    }
    rc = rc == FR_OK
             ? fr_pass_run(w->n, width * width, gram_pass, w, sum, "elastic net", err)
             : rc;
    for (size_t a = 0; a < p && rc == FR_OK; a++) {
        for (size_t b = 0; b <= a; b++) {
            w->gram[a * p + b] = w->gram[b * p + a] = sum[a * width + b] / n;
        }
        w->c[a] = sum[p * width + a] / n;
    }
    w->yy = rc == FR_OK ? sum[p * width + p] / n : 0;
    fr_free(sum);
    return rc;
}

static void add_column(work *w, size_t j, double by)
{
    const double *g = w->gram + j * w->p;
    for (size_t k = 0; k < w->p; k++) {
        w->q[k] += by * g[k];
    }
}

// One pass of coordinate descent.
static void sweep(work *w)
{
    for (size_t j = 0; j < w->p; j++) {
        double own = w->gram[j * w->p + j], was = w->b[j];
        double pull = w->c[j] - w->q[j] + own * was;
        double left = fabs(pull) - w->l1[j], next = 0;
        // A copy of a column that is in already has a pull of l1, up to rounding.
        if (left > 1e-13 * w->l1[j] && own + w->l2[j] > 0) {
            next = copysign(left, pull) / (own + w->l2[j]);
        }
        if (next != was) {
            w->b[j] = next;
            add_column(w, j, next - was);
        }
    }
}

// How far the conditions of the optimum are from holding; q is made anew, without the
// rounding of its updates.
static double violation(work *w)
{
    memset(w->q, 0, w->p * sizeof *w->q);
    for (size_t j = 0; j < w->p; j++) {
        if (w->b[j] != 0) {
            add_column(w, j, w->b[j]);
        }
    }
    double most = 0;
    for (size_t j = 0; j < w->p; j++) {
        double g = w->c[j] - w->q[j] - w->l2[j] * w->b[j];
        double v = w->b[j] == 0 ? fmax(0, fabs(g) - w->l1[j])
                                : fabs(g - copysign(w->l1[j], w->b[j]));
        most = fmax(most, v);
    }
    return most;
}

// The coefficients that are not 0, from the linear system that holds when their signs are
// right. False leaves them as they were.
static bool polish(work *w, double limit)
{
    size_t k = 0, p = w->p;
    for (size_t j = 0; j < p; j++) {
        if (w->b[j] != 0) {
            w->active[k++] = j;
        }
    }
    double *rhs = fr_alloc((k + 1) * sizeof *rhs);
    for (size_t i = 0; i < k; i++) {
        size_t a = w->active[i];
        for (size_t j = 0; j <= i; j++) {
            w->system[i * k + j] = w->gram[a * p + w->active[j]];
        }
        w->system[i * k + i] += w->l2[a];
        rhs[i] = w->c[a] - copysign(w->l1[a], w->b[a]);
    }
    bool good = fr_pass_cholesky(k, w->system);
    if (good) {
        fr_pass_solve(k, w->system, rhs);
    }
    for (size_t i = 0; i < k && good; i++) {
        good = rhs[i] * w->b[w->active[i]] > 0;
    }
    if (good) {
        memcpy(w->kept, w->b, p * sizeof *w->b);
        for (size_t i = 0; i < k; i++) {
            w->b[w->active[i]] = rhs[i];
        }
        good = violation(w) <= limit;
        if (!good) {
            memcpy(w->b, w->kept, p * sizeof *w->b);
            (void)violation(w); // q again
        }
    }
    fr_free(rhs);
    return good;
}

static int descend(work *w, int most, int *sweeps, fr_err *err)
{
    double limit = 0;
    for (size_t j = 0; j < w->p; j++) {
        limit = fmax(limit, small * fabs(w->c[j]));
    }
    for (*sweeps = 1; *sweeps <= most; ++*sweeps) {
        sweep(w);
        if (fr_cancelled()) {
            return fr_fail(err, fr_cancel_code(), "elastic net: stopped");
        }
        if (*sweeps % POLISH_EVERY == 0 || *sweeps == most) {
            if (polish(w, limit) || violation(w) <= limit) {
                return FR_OK;
            }
        }
    }
    return fr_fail(err, FR_ENUMERIC,
                   "elastic net did not converge in %d passes: raise max_iterations or "
                   "alpha",
                   most);
}

static int work_init(work *w, const fr_fit *fit, double ratio, fr_err *err)
{
    size_t p = fit->x->count;
    bool intercept = fit->option[INTERCEPT] != 0;
    *w = (work){.y = fit->y->number, .n = fit->x->rows, .p = p};
    if (p > MOST_FEATURES) {
        return fr_fail(err, FR_ELIMIT, "%s takes %d features, got %zu", fit->ops->title,
                       MOST_FEATURES, p);
    }
    w->gram = fr_try_alloc((2 * p * p + 6 * p + 1) * sizeof *w->gram);
    w->active = fr_try_alloc((p + 1) * sizeof *w->active);
    if (w->gram == NULL || w->active == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu columns", p);
    }
    memset(w->gram, 0, (2 * p * p + 6 * p + 1) * sizeof *w->gram);
    w->system = w->gram + p * p;
    w->c = w->system + p * p;
    w->l1 = w->c + p;
    w->l2 = w->l1 + p;
    w->b = w->l2 + p;
    w->q = w->b + p;
    w->kept = w->q + p;
    int rc = fr_standard_init(&w->s, fit->x, intercept, "elastic net", err);
    rc = rc == FR_OK ? make_products(w, intercept, err) : rc;
    for (size_t j = 0; j < p && rc == FR_OK; j++) {
        double s = w->s.scale[j], alpha = fit->option[ALPHA];
        w->l1[j] = alpha * ratio / s;
        w->l2[j] = alpha * (1 - ratio) / (s * s);
    }
    return rc;
}

static void put(work *w, bool intercept, int sweeps, fr_buf *payload)
{
    size_t p = w->p;
    double *coef = fr_alloc((2 * p + 1) * sizeof *coef), *se = coef + p, left = w->yy;
    fr_coefficients c = {.count = p, .coef = coef, .se = se, .intercept_se = (double)NAN};
    double used = 0, n = (double)w->n;
    c.intercept = w->y_mean;
    for (size_t j = 0; j < p; j++) {
        coef[j] = w->b[j] / w->s.scale[j];
        se[j] = NAN;
        c.intercept -= coef[j] * w->s.mean[j];
        left += w->b[j] * (w->q[j] - 2 * w->c[j]);
        used += w->b[j] != 0;
    }
    c.stats[0] = fmax(0, left) * n;
    c.stats[1] = w->yy * n;
    c.stats[2] = n - used - intercept;
    c.stats[3] = used;
    c.stats[5] = sweeps;
    fr_coefficients_put(payload, &c);
    fr_free(coef);
}

static int fit_ratio(const fr_fit *fit, double ratio, fr_buf *payload, fr_err *err)
{
    work w;
    int sweeps = 0;
    int rc = work_init(&w, fit, ratio, err);
    rc = rc == FR_OK ? descend(&w, (int)fit->option[MAX_ITERATIONS], &sweeps, err) : rc;
    if (rc == FR_OK) {
        put(&w, fit->option[INTERCEPT] != 0, sweeps, payload);
    }
    fr_standard_fini(&w.s);
    fr_free(w.gram);
    fr_free(w.active);
    return rc;
}

static int lasso_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    return fit_ratio(fit, 1, payload, err);
}

static int net_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    return fit_ratio(fit, fit->option[L1_RATIO], payload, err);
}

const fr_model_ops fr_lasso_ops = {
    .name = "lasso",
    .title = "lasso",
    .version = 1,
    .options = OPTIONS,
    .option_count = L1_RATIO,
    .fit = lasso_fit,
    .open = fr_coefficients_open,
    .close = fr_free,
    .predict = fr_coefficients_predict,
};

const fr_model_ops fr_elastic_net_ops = {
    .name = "elastic_net",
    .title = "elastic net",
    .version = 1,
    .options = OPTIONS,
    .option_count = FR_COUNT(OPTIONS),
    .fit = net_fit,
    .open = fr_coefficients_open,
    .close = fr_free,
    .predict = fr_coefficients_predict,
};
