#include "core/ml/least_squares.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/gram.h"
#include "core/ml/pass.h"
#include "core/ml/standard.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK = 1024, // rows centred and scaled at a time
};

static const double doubtful = 1e2;  // beyond it refinement pays for itself
static const double ill = 1e4;       // beyond it the normal equations lose digits
static const double enough = 1e-3;    // of the squares left over: the products give it
static const double nothing = 1e-13; // of a pivot, relative to the first

// One regression: where the columns stand, and what the passes over the rows compute. The
// target is column p of the products.
typedef struct work {
    const fr_columns *x;
    const double *y;
    size_t n, p, width; // width = p + 1
    bool intercept;
    bool many;            // rows: a pass costs more than the digits it adds
    double *mean, *scale; // [width]
    double *gram;         // [width * width], of centred, scaled columns
    double *beta;         // [p], in those units
} work;

static const double *column(const work *w, size_t j)
{
    return j < w->p ? w->x->column[j] : w->y;
}

// --- passes over the rows ---

static int sum_segment(void *ctx, size_t from, size_t to, double *out)
{
    work *w = ctx;
    for (size_t j = 0; j < w->width; j++) {
        const double *v = column(w, j);
        double total = 0;
        for (size_t i = from; i < to; i += BLOCK) {
            double sum = 0;
            for (size_t k = i; k < to && k < i + BLOCK; k++) {
                sum += v[k] - w->mean[j];
            }
            total += sum;
        }
        out[j] += total;
    }
    return FR_OK;
}

static int square_segment(void *ctx, size_t from, size_t to, double *out)
{
    work *w = ctx;
    for (size_t j = 0; j < w->width; j++) {
        const double *v = column(w, j);
        double total = 0;
        for (size_t i = from; i < to; i += BLOCK) {
            double sum = 0;
            for (size_t k = i; k < to && k < i + BLOCK; k++) {
                double d = v[k] - w->mean[j];
                sum += d * d;
            }
            total += sum;
        }
        out[j] += total;
    }
    return FR_OK;
}

static void load_block(const work *w, size_t from, size_t rows, double *to)
{
    for (size_t j = 0; j < w->width; j++) {
        const double *v = column(w, j) + from;
        double mean = w->mean[j], inverse = 1 / w->scale[j], *out = to + j * BLOCK;
        for (size_t i = 0; i < rows; i++) {
            out[i] = (v[i] - mean) * inverse;
        }
    }
}

static int gram_segment(void *ctx, size_t from, size_t to, double *out)
{
    work *w = ctx;
    size_t width = w->width;
    double *block = fr_try_alloc(width * BLOCK * sizeof *block);
    if (block == NULL) {
        return FR_ENOMEM;
    }
    for (size_t i = from; i < to; i += BLOCK) {
        size_t rows = FR_MIN(to - i, (size_t)BLOCK);
        load_block(w, i, rows, block);
        for (size_t a = 0; a < width; a++) {
            for (size_t b = 0; b <= a; b++) {
                out[a * width + b] +=
                    fr_pass_dot(block + a * BLOCK, block + b * BLOCK, rows);
            }
        }
        if (fr_cancelled()) {
            fr_free(block);
            return fr_cancel_code();
        }
    }
    fr_free(block);
    return FR_OK;
}

// Z' r and r' r for r = target - Z beta, all scaled: [p], then one.
static int residual_segment(void *ctx, size_t from, size_t to, double *out)
{
    work *w = ctx;
    size_t width = w->width;
    double *block = fr_try_alloc(width * BLOCK * sizeof *block);
    if (block == NULL) {
        return FR_ENOMEM;
    }
    for (size_t i = from; i < to; i += BLOCK) {
        size_t rows = FR_MIN(to - i, (size_t)BLOCK);
        load_block(w, i, rows, block);
        double *r = block + w->p * BLOCK;
        for (size_t j = 0; j < w->p; j++) {
            const double *z = block + j * BLOCK;
            for (size_t k = 0; k < rows; k++) {
                r[k] -= w->beta[j] * z[k];
            }
        }
        for (size_t j = 0; j < width; j++) {
            out[j] += fr_pass_dot(block + j * BLOCK, r, rows);
        }
    }
    fr_free(block);
    return FR_OK;
}

static int pass(work *w, fr_pass_fn fn, size_t size, double *total, fr_err *err)
{
    return fr_pass_run(w->n, size, fn, w, total, "least squares", err);
}

// Means twice: the second sum is of small differences and takes the rounding of the
// first.
static int centre_and_scale(work *w, fr_err *err)
{
    double *sum = fr_alloc(w->width * sizeof *sum);
    int rc = FR_OK;
    memset(w->mean, 0, w->width * sizeof *w->mean);
    for (int again = 0; again < 2 && w->intercept && rc == FR_OK; again++) {
        rc = pass(w, sum_segment, w->width, sum, err);
        for (size_t j = 0; j < w->width && rc == FR_OK; j++) {
            w->mean[j] += sum[j] / (double)w->n;
        }
    }
    rc = rc == FR_OK ? pass(w, square_segment, w->width, sum, err) : rc;
    for (size_t j = 0; j < w->width && rc == FR_OK; j++) {
        double size = fabs(w->mean[j]) * 1e-15 * sqrt((double)w->n);
        // A constant column (up to rounding) keeps scale 1; QR then finds no pivot in it.
        w->scale[j] = sqrt(sum[j]) > size ? sqrt(sum[j]) : 1;
    }
    fr_free(sum);
    return rc;
}

// The same and the products in one pass, for many rows.
static int take_products(work *w, fr_err *err)
{
    size_t width = w->width;
    int rc = fr_gram_run(w->x, w->y, w->intercept, w->mean, w->gram, "least squares", err);
    for (size_t a = 0; a < width && rc == FR_OK; a++) {
        double root = sqrt(fmax(0, w->gram[a * width + a]));
        double size = fabs(w->mean[a]) * 1e-15 * sqrt((double)w->n);
        w->scale[a] = root > size ? root : 1;
        for (size_t b = 0; b <= a; b++) {
            w->gram[a * width + b] = w->gram[a * width + b] / w->scale[a] / w->scale[b];
        }
    }
    return rc;
}

static int prepare(work *w, fr_err *err)
{
    w->many = w->n >= FR_STANDARD_MANY;
    if (w->many) {
        return take_products(w, err);
    }
    int rc = centre_and_scale(w, err);
    return rc == FR_OK ? pass(w, gram_segment, w->width * w->width, w->gram, err) : rc;
}

// The residual sum of squares, scaled, from the products.
static double residual_of_products(const work *w)
{
    const double *target = w->gram + w->p * w->width;
    double sum = target[w->p];
    for (size_t i = 0; i < w->p; i++) {
        const double *row = w->gram + i * w->width;
        double half = -target[i] + row[i] * w->beta[i] / 2;
        for (size_t j = 0; j < i; j++) {
            half += row[j] * w->beta[j];
        }
        sum += 2 * half * w->beta[i];
    }
    return sum;
}

// Coefficients and intercept in the user's units from w->beta. The intercept is summed
// with the errors kept: large terms of both signs cancel there (Filip, Wampler).
static void to_user_units(const work *w, fr_least_squares *out)
{
    double sum = w->mean[w->p], lost = 0;
    for (size_t j = 0; j < w->p; j++) {
        out->coef[j] = w->beta[j] * w->scale[w->p] / w->scale[j];
        double term = -out->coef[j] * w->mean[j];
        double error = fma(-out->coef[j], w->mean[j], -term);
        double next = sum + term, part = next - sum;
        lost += (sum - (next - part)) + (term - part) + error;
        sum = next;
    }
    out->intercept = sum + lost;
}

// Unevaluated sums of two doubles: about 32 digits (Dekker 1971).
typedef struct pair {
    double hi, lo;
} pair;

static pair pair_add(pair a, double hi, double lo)
{
    double sum = a.hi + hi, part = sum - a.hi;
    double error = (a.hi - (sum - part)) + (hi - part) + a.lo + lo;
    double top = sum + error;
    return (pair){top, error - (top - sum)};
}

static pair pair_add_product(pair a, double x, double y)
{
    double product = x * y;
    return pair_add(a, product, fma(x, y, -product));
}

// g[j] = sum of (x_j - mean_j) r, g[p] = sum of r, for the residuals r of the user's
// columns.
static void exact_gradient(const work *w, const fr_least_squares *s, pair *g)
{
    memset(g, 0, w->width * sizeof *g);
    for (size_t i = 0; i < w->n; i++) {
        pair r = {w->y[i], 0};
        r = pair_add(r, -s->intercept, 0);
        for (size_t j = 0; j < w->p; j++) {
            r = pair_add_product(r, -s->coef[j], w->x->column[j][i]);
        }
        for (size_t j = 0; j < w->p; j++) {
            double v = w->x->column[j][i], d = v - w->mean[j], part = d - v;
            double rest = (v - (d - part)) + (-w->mean[j] - part);
            g[j] = pair_add_product(g[j], d, r.hi);
            g[j] = pair_add(g[j], d * r.lo + rest * r.hi, 0);
        }
        g[w->p] = pair_add(g[w->p], r.hi, r.lo);
    }
}

// Corrected semi-normal equations: residuals in twice the precision, the solution by the
// factors at hand. `solve` replaces the gradient in scaled units by the step. Without it
// Wampler's polynomials keep 7 digits.
static int refine(const work *w, void (*solve)(const void *factor, double *b),
                  const void *factor, fr_least_squares *out, fr_err *err)
{
    pair *g = fr_alloc(w->width * sizeof *g);
    double *b = fr_alloc(w->width * sizeof *b);
    int rc = FR_OK;
    for (int step = 0; step < 3 && rc == FR_OK; step++) {
        exact_gradient(w, out, g);
        for (size_t j = 0; j < w->p; j++) {
            b[j] = g[j].hi / w->scale[j];
        }
        solve(factor, b);
        double shift = w->intercept ? g[w->p].hi / (double)w->n : 0;
        for (size_t j = 0; j < w->p; j++) {
            double change = b[j] / w->scale[j];
            out->coef[j] += change;
            shift -= w->intercept ? change * w->mean[j] : 0;
        }
        out->intercept += shift;
        if (fr_cancelled()) {
            rc = fr_fail(err, fr_cancel_code(), "least squares: stopped");
        }
    }
    for (size_t j = 0; j < w->p; j++) {
        w->beta[j] = out->coef[j] * w->scale[j] / w->scale[w->p];
    }
    fr_free(g);
    fr_free(b);
    return rc;
}

// --- normal equations ---

// inverse[i] = i-th diagonal element of (L L')^-1; the return value is the greatest
// column sum of the inverse.
static double invert_diagonal(size_t k, const double *L, double *inverse)
{
    double *b = fr_alloc((k + 1) * sizeof *b), largest = 0;
    for (size_t j = 0; j < k; j++) {
        double sum = 0;
        memset(b, 0, k * sizeof *b);
        b[j] = 1;
        fr_pass_solve(k, L, b);
        inverse[j] = b[j];
        for (size_t i = 0; i < k; i++) {
            sum += fabs(b[i]);
        }
        largest = fmax(largest, sum);
    }
    fr_free(b);
    return largest;
}

static double column_sum(size_t k, size_t width, const double *gram)
{
    double largest = 0;
    for (size_t j = 0; j < k; j++) {
        double sum = 0;
        for (size_t i = 0; i < k; i++) {
            sum += fabs(i >= j ? gram[i * width + j] : gram[j * width + i]);
        }
        largest = fmax(largest, sum);
    }
    return largest;
}

// 1/n + m' (Z'Z)^-1 m with m the scaled means: the intercept's variance per sigma^2.
static double normal_intercept_variance(const work *w, const double *L, double *b)
{
    double sum = 1 / (double)w->n;
    for (size_t j = 0; j < w->p; j++) {
        b[j] = w->mean[j] / w->scale[j];
    }
    fr_pass_solve(w->p, L, b);
    for (size_t j = 0; j < w->p; j++) {
        sum += w->mean[j] / w->scale[j] * b[j];
    }
    return sum;
}

typedef struct triangle {
    size_t p;
    const double *L;
} triangle;

static void normal_solve(const void *factor_, double *b)
{
    const triangle *t = factor_;
    fr_pass_solve(t->p, t->L, b);
}

// Solves by Cholesky if the condition allows; *done says so. inverse: diagonal of the
// inverse of the (penalised) products.
static int solve_normal(work *w, const double *penalty, fr_least_squares *out,
                        double *inverse, double *mean_variance, bool *done, fr_err *err)
{
    size_t p = w->p, width = w->width;
    double *A = fr_try_alloc((p * p + width + 1) * sizeof *A), *r = A + p * p;
    *done = false;
    if (A == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu columns", p);
    }
    for (size_t i = 0; i < p; i++) {
        memcpy(A + i * p, w->gram + i * width, (i + 1) * sizeof *A);
        A[i * p + i] += penalty[i];
        w->beta[i] = w->gram[p * width + i];
    }
    int rc = FR_OK;
    if (fr_pass_cholesky(p, A)) {
        double norm = invert_diagonal(p, A, inverse) * column_sum(p, width, w->gram);
        out->condition = sqrt(norm);
        *done = out->condition <= ill;
    }
    if (*done) {
        fr_pass_solve(p, A, w->beta);
        *mean_variance = normal_intercept_variance(w, A, r);
        if (!w->many || out->condition > doubtful) { // one step of refinement
            rc = pass(w, residual_segment, width, r, err);
            for (size_t j = 0; j < p; j++) {
                r[j] -= penalty[j] * w->beta[j];
            }
            fr_pass_solve(p, A, r);
            for (size_t j = 0; j < p && rc == FR_OK; j++) {
                w->beta[j] += r[j];
            }
        }
        out->rank = p;
        to_user_units(w, out);
        triangle t = {p, A};
        if (rc == FR_OK && out->condition > doubtful && !(penalty[0] > 0)) {
            rc = refine(w, normal_solve, &t, out, err);
        }
    }
    fr_free(A);
    return rc;
}

// --- QR ---

typedef struct qr {
    size_t rows, p, rank;
    double *a;     // rows x (p + 1), by columns; the last is the target
    size_t *order; // column of the problem that stands at place k
    double *tau;
} qr;

// Applies reflection k (stored below the diagonal of column k) to column c.
static void reflect(const qr *f, size_t k, double *c)
{
    const double *v = f->a + k * f->rows;
    double sum = c[k] + fr_pass_dot(v + k + 1, c + k + 1, f->rows - k - 1);
    sum *= f->tau[k];
    c[k] -= sum;
    for (size_t i = k + 1; i < f->rows; i++) {
        c[i] -= sum * v[i];
    }
}

static void swap_columns(qr *f, size_t i, size_t j)
{
    double *a = f->a + i * f->rows, *b = f->a + j * f->rows;
    for (size_t k = 0; k < f->rows && i != j; k++) {
        double v = a[k];
        a[k] = b[k];
        b[k] = v;
    }
    size_t o = f->order[i];
    f->order[i] = f->order[j];
    f->order[j] = o;
}

// Householder with column pivoting; returns the rank.
static size_t factor(qr *f)
{
    double first = 0;
    for (size_t k = 0; k < f->p; k++) {
        size_t best = k;
        double most = -1;
        for (size_t j = k; j < f->p && k < f->rows; j++) {
            const double *c = f->a + j * f->rows + k;
            double norm = fr_pass_dot(c, c, f->rows - k);
            if (norm > most) {
                most = norm;
                best = j;
            }
        }
        double norm = sqrt(most);
        first = k == 0 ? norm : first;
        if (k >= f->rows || !(norm > nothing * first)) {
            return k;
        }
        swap_columns(f, k, best);
        double *v = f->a + k * f->rows, alpha = v[k] > 0 ? -norm : norm,
               head = v[k] - alpha;
        f->tau[k] = -head / alpha;
        for (size_t i = k + 1; i < f->rows; i++) {
            v[i] /= head;
        }
        v[k] = alpha;
        for (size_t j = k + 1; j <= f->p; j++) {
            reflect(f, k, f->a + j * f->rows);
        }
    }
    return f->p;
}

static void back_substitute(const qr *f, size_t rank, double *b)
{
    for (size_t i = rank; i-- > 0;) {
        for (size_t j = i + 1; j < rank; j++) {
            b[i] -= f->a[j * f->rows + i] * b[j];
        }
        b[i] /= f->a[i * f->rows + i];
    }
}

// Rows of (R^-1): their squared lengths are the diagonal of (R'R)^-1.
static void qr_inverse(const qr *f, size_t rank, double *inverse)
{
    double *b = fr_alloc((rank + 1) * sizeof *b);
    for (size_t j = 0; j < f->p; j++) {
        inverse[j] = j < rank ? 0 : (double)NAN;
    }
    for (size_t j = 0; j < rank; j++) {
        memset(b, 0, rank * sizeof *b);
        b[j] = 1;
        back_substitute(f, rank, b);
        for (size_t i = 0; i < rank; i++) {
            inverse[i] += b[i] * b[i];
        }
    }
    fr_free(b);
}

static void qr_load(const work *w, const double *penalty, qr *f)
{
    for (size_t j = 0; j < w->width; j++) {
        const double *v = column(w, j);
        double *out = f->a + j * f->rows;
        for (size_t i = 0; i < w->n; i++) {
            out[i] = (v[i] - w->mean[j]) / w->scale[j];
        }
        for (size_t i = w->n; i < f->rows; i++) { // ridge: one more row per column
            out[i] = i - w->n == j ? sqrt(penalty[j]) : 0;
        }
    }
}

// R'R b = g through the pivots, in the order of the problem's columns.
static void qr_solve(const void *factor_, double *b)
{
    const qr *f = factor_;
    double *z = f->tau; // no longer needed
    for (size_t k = 0; k < f->rank; k++) {
        z[k] = b[f->order[k]];
        for (size_t i = 0; i < k; i++) {
            z[k] -= f->a[k * f->rows + i] * z[i];
        }
        z[k] /= f->a[k * f->rows + k];
    }
    back_substitute(f, f->rank, z);
    for (size_t k = 0; k < f->p; k++) {
        b[f->order[k]] = k < f->rank ? z[k] : 0;
    }
}

// 1/n + m' (R'R)^-1 m with m the scaled means.
static double qr_intercept_variance(const work *w, const qr *f, size_t rank)
{
    double sum = 1 / (double)w->n, *z = fr_alloc((rank + 1) * sizeof *z);
    for (size_t k = 0; k < rank; k++) {
        size_t j = f->order[k];
        z[k] = w->mean[j] / w->scale[j];
        for (size_t i = 0; i < k; i++) {
            z[k] -= f->a[k * f->rows + i] * z[i];
        }
        z[k] /= f->a[k * f->rows + k];
        sum += z[k] * z[k];
    }
    fr_free(z);
    return sum;
}

static int solve_qr(work *w, const double *penalty, fr_least_squares *out,
                    double *inverse, double *mean_variance, fr_err *err)
{
    size_t p = w->p;
    bool ridge = p > 0 && penalty[0] > 0;
    qr f = {.rows = w->n + (ridge ? p : 0), .p = p};
    f.a = fr_try_alloc(f.rows * w->width * sizeof *f.a);
    if (f.a == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu rows of %zu columns", f.rows,
                       p);
    }
    f.order = fr_alloc((p + 1) * sizeof *f.order);
    f.tau = fr_alloc((2 * p + 1) * sizeof *f.tau);
    for (size_t j = 0; j < p; j++) {
        f.order[j] = j;
        w->beta[j] = 0;
    }
    qr_load(w, penalty, &f);
    size_t rank = f.rank = factor(&f);
    double *b = f.a + p * f.rows, *sorted = f.tau + p;
    back_substitute(&f, rank, b);
    for (size_t k = 0; k < rank; k++) {
        w->beta[f.order[k]] = b[k];
    }
    qr_inverse(&f, rank, sorted);
    for (size_t k = 0; k < p; k++) {
        inverse[f.order[k]] = sorted[k];
    }
    if (rank > 0) {
        out->condition = fabs(f.a[0] / f.a[(rank - 1) * f.rows + rank - 1]);
    }
    out->rank = rank;
    out->by_qr = true;
    *mean_variance = qr_intercept_variance(w, &f, rank);
    to_user_units(w, out);
    int rc = ridge ? FR_OK : refine(w, qr_solve, &f, out, err);
    fr_free(f.tau);
    fr_free(f.order);
    fr_free(f.a);
    return rc;
}

// --- results ---

// From scaled units to the user's; `inverse` is the diagonal of the inverse products.
static int finish(work *w, const double *inverse, double mean_variance,
                  fr_least_squares *out, fr_err *err)
{
    size_t p = w->p;
    double *r = fr_alloc(w->width * sizeof *r), s = w->scale[p];
    r[p] = residual_of_products(w);
    bool known = w->many && !out->by_qr && out->condition <= doubtful &&
                 r[p] > enough * w->gram[p * w->width + p];
    int rc = known ? FR_OK : pass(w, residual_segment, w->width, r, err);
    out->degrees = (double)w->n - (double)out->rank - w->intercept;
    out->residual_ss = rc == FR_OK ? r[p] * s * s : 0;
    out->total_ss = w->gram[p * w->width + p] * s * s;
    double sigma2 = out->degrees > 0 ? out->residual_ss / out->degrees : (double)NAN;
    for (size_t j = 0; j < p; j++) {
        out->se[j] = sqrt(sigma2 * inverse[j]) / w->scale[j];
    }
    out->intercept_se = w->intercept ? sqrt(sigma2 * mean_variance) : (double)NAN;
    fr_free(r);
    return rc;
}

static int run(work *w, double l2, fr_least_squares *out, fr_err *err)
{
    size_t p = w->p;
    int rc = prepare(w, err);
    if (rc != FR_OK) {
        return rc;
    }
    double *penalty = fr_alloc((2 * p + 1) * sizeof *penalty), *inverse = penalty + p;
    for (size_t j = 0; j < p; j++) {
        penalty[j] = l2 / (w->scale[j] * w->scale[j]);
    }
    bool done;
    double variance = 0;
    rc = solve_normal(w, penalty, out, inverse, &variance, &done, err);
    if (rc == FR_OK && !done) {
        rc = solve_qr(w, penalty, out, inverse, &variance, err);
    }
    rc = rc == FR_OK ? finish(w, inverse, variance, out, err) : rc;
    fr_free(penalty);
    return rc;
}

int fr_least_squares_fit(const fr_columns *x, const double *y, bool intercept, double l2,
                         fr_least_squares *out, fr_err *err)
{
    *out = (fr_least_squares){.count = x->count};
    out->coef = fr_zalloc((2 * x->count + 1) * sizeof *out->coef);
    out->se = out->coef + x->count;
    if (x->rows == 0) {
        return fr_fail(err, FR_EINVAL, "a regression needs rows, there are none");
    }
    work w = {.x = x, .y = y, .n = x->rows, .p = x->count, .intercept = intercept};
    w.width = w.p + 1;
    double *memory = fr_try_alloc((w.width * w.width + 3 * w.width) * sizeof *memory);
    if (memory == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu columns", w.p);
    }
    w.gram = memory;
    w.mean = w.gram + w.width * w.width;
    w.scale = w.mean + w.width;
    w.beta = w.scale + w.width;
    int rc = run(&w, l2, out, err);
    fr_free(memory);
    return rc;
}

void fr_least_squares_fini(fr_least_squares *s)
{
    fr_free(s->coef);
    s->coef = s->se = NULL;
}
