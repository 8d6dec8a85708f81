// The search for the maximum of the likelihood, and its curvature there.
//
// BFGS on unconstrained parameters. A gradient by central differences costs one pass of
// the filter for up to four parameters, because the shifted vectors are its lanes.
#include "core/base/mem.h"
#include "core/ml/arima_core.h"

#include <math.h>
#include <string.h>

enum {
    MAX_ITERATIONS = 200,
    MAX_HALVINGS = 30,
    EXPLORE_ITERATIONS = 25,
    EXPLORE_ROWS = 1000, // on so many rows, if there are more
};

static const double shift = 1e-6; // of an unconstrained parameter, for gradients
static const double bend = 1e-3;  // the same for second derivatives

typedef struct point {
    double f;
    double u[FR_ARIMA_PARAMS], g[FR_ARIMA_PARAMS];
} point;

typedef struct search {
    const fr_arima_problem *m;
    size_t k;
    double *natural; // up to 2 k + 1 vectors
    fr_arima_value *values;
    int passes;
    double H[FR_ARIMA_PARAMS * FR_ARIMA_PARAMS]; // inverse Hessian, estimated
    bool fresh; // H is the identity: its scale is unknown
    double enough; // a step that gains less ends the search
} search;

static double step_of(double u, double size) { return size * fmax(1, fabs(u)); }

// Objective and gradient at p->u. Without room for the centre in the last group of lanes
// its value is the mean of the pairs, which is off by shift^2 times the curvature:
// nothing.
static int evaluate(search *s, point *p, fr_err *err)
{
    size_t k = s->k, count = 0;
    bool centre = k == 0 || 2 * k % FR_ARIMA_LANES != 0;
    double u[FR_ARIMA_PARAMS] = {0};
    memcpy(u, p->u, k * sizeof *u);
    for (size_t i = 0; i < 2 * k; i++) {
        double h = step_of(p->u[i / 2], shift);
        u[i / 2] = p->u[i / 2] + (i & 1 ? -h : h);
        fr_arima_natural(&s->m->order, u, s->natural + count++ * k);
        u[i / 2] = p->u[i / 2];
    }
    if (centre) {
        fr_arima_natural(&s->m->order, u, s->natural + count++ * k);
    }
    int rc = fr_arima_eval(s->m, count, s->natural, s->values, FR_ARIMA_ISA_AUTO, err);
    s->passes += (int)((count + FR_ARIMA_LANES - 1) / FR_ARIMA_LANES);
    double mean = 0;
    for (size_t i = 0; i < k; i++) {
        double up = s->values[2 * i].objective, down = s->values[2 * i + 1].objective;
        p->g[i] = (up - down) / (2 * step_of(p->u[i], shift));
        mean += (up + down) / (double)(2 * k);
    }
    p->f = centre ? s->values[2 * k].objective : mean;
    return rc;
}

static double slope(search *s, const point *p, double *direction)
{
    double sum = 0;
    for (size_t i = 0; i < s->k; i++) {
        direction[i] = 0;
        for (size_t j = 0; j < s->k; j++) {
            direction[i] -= s->H[i * s->k + j] * p->g[j];
        }
        sum += direction[i] * p->g[i];
    }
    return sum;
}

static void reset(search *s)
{
    memset(s->H, 0, sizeof s->H);
    for (size_t i = 0; i < s->k; i++) {
        s->H[i * s->k + i] = 1;
    }
    s->fresh = true;
}

static void learn(search *s, const point *from, const point *to)
{
    size_t k = s->k;
    double d[FR_ARIMA_PARAMS], y[FR_ARIMA_PARAMS], Hy[FR_ARIMA_PARAMS];
    double dy = 0, yy = 0, yHy = 0;
    for (size_t i = 0; i < k; i++) {
        d[i] = to->u[i] - from->u[i];
        y[i] = to->g[i] - from->g[i];
        dy += d[i] * y[i];
        yy += y[i] * y[i];
    }
    if (!(dy > 1e-14 * yy) || !(dy > 0)) {
        return;
    }
    for (size_t i = 0; i < k && s->fresh; i++) {
        s->H[i * k + i] = dy / yy;
    }
    s->fresh = false;
    for (size_t i = 0; i < k; i++) {
        Hy[i] = 0;
        for (size_t j = 0; j < k; j++) {
            Hy[i] += s->H[i * k + j] * y[j];
        }
        yHy += y[i] * Hy[i];
    }
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j < k; j++) {
            s->H[i * k + j] +=
                (1 + yHy / dy) * d[i] * d[j] / dy - (Hy[i] * d[j] + d[i] * Hy[j]) / dy;
        }
    }
}

// Backtracks until the objective falls enough; *moved tells whether it did.
static int line(search *s, const point *from, const double *direction, double descent,
                point *to, bool *moved, fr_err *err)
{
    // No parameter moves by more than its size (or 1) at once; far out, towards a unit
    // root, that lets it double.
    double longest = 0, step = 1;
    for (size_t i = 0; i < s->k; i++) {
        longest = fmax(longest, fabs(direction[i]) / fmax(1, fabs(from->u[i])));
    }
    if (longest > 1) {
        step = 1 / longest;
    } else if (s->fresh && longest < 0.1) {
        step = fmin(10, 0.1 / longest);
    }
    *moved = false;
    for (int tries = 0; tries < MAX_HALVINGS; tries++) {
        for (size_t i = 0; i < s->k; i++) {
            to->u[i] = from->u[i] + step * direction[i];
        }
        int rc = evaluate(s, to, err);
        if (rc != FR_OK) {
            return rc;
        }
        if (to->f <= from->f + 1e-4 * step * descent) {
            *moved = true;
            return FR_OK;
        }
        step *= 0.4;
    }
    return FR_OK;
}

static double largest(const double *v, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs(v[i]));
    }
    return most;
}

// From p downhill; s->H says what is known about the curvature there.
static int descend(search *s, point *p, int max_iterations, int *iterations,
                   bool *converged, fr_err *err)
{
    double direction[FR_ARIMA_PARAMS];
    int rc = evaluate(s, p, err);
    *converged = false;
    for (*iterations = 0; rc == FR_OK && *iterations < max_iterations; ++*iterations) {
        if (largest(p->g, s->k) < 1e-8) {
            *converged = true;
            break;
        }
        double descent = slope(s, p, direction);
        if (!(descent < 0)) {
            reset(s);
            descent = slope(s, p, direction);
        }
        point next = *p;
        bool moved;
        rc = line(s, p, direction, descent, &next, &moved, err);
        if (rc != FR_OK) {
            break;
        }
        if (!moved) {
            if (s->fresh) { // no way down even along the gradient
                *converged = largest(p->g, s->k) < 1e-5;
                break;
            }
            reset(s);
            continue;
        }
        double gain = p->f - next.f;
        learn(s, p, &next);
        *p = next;
        bool still = gain < 1e-12 * fmax(1, fabs(p->f)) && largest(p->g, s->k) < 1e-5;
        if (still || gain < s->enough) {
            *converged = true;
            ++*iterations;
            break;
        }
    }
    return rc;
}

static int rank(search *s, size_t count, const double *u, fr_err *err)
{
    for (size_t i = 0; i < count; i++) {
        fr_arima_natural(&s->m->order, u + i * s->k, s->natural + i * s->k);
    }
    s->passes += (int)((count + FR_ARIMA_LANES - 1) / FR_ARIMA_LANES);
    return fr_arima_eval(s->m, count, s->natural, s->values, FR_ARIMA_ISA_AUTO, err);
}

// The index of the least objective that is not taken yet.
static size_t best_of(const double *objective, size_t count, const bool *taken)
{
    size_t best = count;
    for (size_t i = 0; i < count; i++) {
        if (!taken[i] && (best == count || objective[i] < objective[best])) {
            best = i;
        }
    }
    return best;
}

// Follows the first guess and the best others downhill on s->m; found holds `count`
// points and H the curvature at each.
static int follow(search *s, const double *u, size_t count, double *found, double *H,
                  fr_err *err)
{
    size_t k = s->k, pick = 0;
    bool taken[FR_ARIMA_STARTS] = {false};
    double objective[FR_ARIMA_STARTS];
    int rc = rank(s, FR_ARIMA_STARTS, u, err);
    for (size_t i = 0; i < FR_ARIMA_STARTS; i++) {
        objective[i] = s->values[i].objective;
    }
    for (size_t i = 0; i < count && rc == FR_OK; i++) {
        int iterations;
        bool converged;
        point p = {0};
        taken[pick] = true;
        memcpy(p.u, u + pick * k, k * sizeof *u);
        reset(s);
        rc = descend(s, &p, EXPLORE_ITERATIONS, &iterations, &converged, err);
        memcpy(found + i * k, p.u, k * sizeof *u);
        memcpy(H + i * k * k, s->H, k * k * sizeof *H);
        pick = best_of(objective, FR_ARIMA_STARTS, taken);
    }
    return rc;
}

// Likelihoods of ARMA models have several maxima. The best of many starts are followed
// downhill on the first rows; the best point on all rows is where the real search begins.
static int explore(search *s, size_t count, point *p, fr_err *err)
{
    size_t k = s->k, candidates = count + 1;
    double *u = fr_alloc((FR_ARIMA_STARTS + candidates) * k * sizeof *u);
    double *found = u + FR_ARIMA_STARTS * k, *H = fr_alloc(count * k * k * sizeof *H);
    fr_arima_starts(s->m, FR_ARIMA_STARTS, u);
    const fr_arima_problem *whole = s->m;
    fr_arima_problem part = *whole;
    int64_t rows = FR_MAX(EXPLORE_ROWS, 30 * (int64_t)whole->r);
    if (rows < whole->n && !whole->gaps) {
        part.n = part.used = rows;
    }
    s->m = &part;
    int rc = follow(s, u, count, found, H, err);
    s->m = whole;
    memcpy(found + count * k, u, k * sizeof *u);
    rc = rc == FR_OK ? rank(s, candidates, found, err) : rc;
    size_t best = count;
    for (size_t i = 0; i < count; i++) {
        best = s->values[i].objective < s->values[best].objective ? i : best;
    }
    memcpy(p->u, found + best * k, k * sizeof *u);
    if (best < count) {
        memcpy(s->H, H + best * k * k, k * k * sizeof *H);
        s->fresh = false;
    }
    fr_free(H);
    fr_free(u);
    return rc;
}

static int search_init(search *s, const fr_arima_problem *m, size_t count, fr_err *err)
{
    *s = (search){.m = m, .k = (size_t)m->params};
    count = FR_MAX(count, (size_t)FR_ARIMA_STARTS + 1);
    s->natural = fr_alloc((count * s->k + 1) * sizeof *s->natural);
    return fr_arima_values_new(m, count, &s->values, err);
}

static void search_fini(search *s)
{
    fr_free(s->natural);
    fr_arima_values_free(s->values);
}

static int search_from(search *s, const fr_arima_spec *spec, point *p,
                       fr_arima_found *found, fr_err *err)
{
    int most = spec->max_iterations > 0 ? spec->max_iterations : MAX_ITERATIONS, rc;
    size_t starts = (size_t)FR_MIN(spec->starts, FR_ARIMA_STARTS);
    s->enough = spec->quick ? 2e-6 : 0;
    reset(s);
    if (starts > 1) {
        rc = explore(s, starts, p, err);
    } else {
        fr_arima_starts(s->m, 1, p->u);
        rc = FR_OK;
    }
    return rc != FR_OK ? rc
                       : descend(s, p, most, &found->iterations, &found->converged, err);
}

int fr_arima_search(const fr_arima_problem *m, const fr_arima_spec *spec,
                    fr_arima_found *found, fr_err *err)
{
    search s;
    point p = {0};
    int rc = search_init(&s, m, 2 * (size_t)m->params + 1, err);
    found->iterations = 0;
    found->converged = true;
    if (rc == FR_OK && s.k == 0) {
        rc = evaluate(&s, &p, err);
    } else if (rc == FR_OK) {
        rc = search_from(&s, spec, &p, found, err);
        if (rc == FR_OK && !(p.f < 1e99) && spec->starts < 2) {
            fr_arima_spec wide = *spec; // the guess was no use: look around
            wide.starts = 4;
            rc = search_from(&s, &wide, &p, found, err);
        }
    }
    if (rc == FR_OK && !(p.f < 1e99)) {
        rc = fr_fail(err, FR_ENUMERIC,
                     "arima: no parameters with a finite likelihood were found");
    }
    fr_arima_natural(&m->order, p.u, found->params);
    found->objective = p.f;
    found->passes = s.passes;
    search_fini(&s);
    return rc;
}

// --- curvature ---

// The inverse of a symmetric positive matrix, in place. False when it is not positive.
static bool invert(size_t k, double *A)
{
    double L[FR_ARIMA_PARAMS * FR_ARIMA_PARAMS] = {0};
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = A[i * k + j];
            for (size_t l = 0; l < j; l++) {
                sum -= L[i * k + l] * L[j * k + l];
            }
            if (i == j && !(sum > 0)) {
                return false;
            }
            L[i * k + j] = i == j ? sqrt(sum) : sum / L[j * k + j];
        }
    }
    for (size_t c = 0; c < k; c++) {
        double x[FR_ARIMA_PARAMS];
        for (size_t i = 0; i < k; i++) {
            double sum = i == c;
            for (size_t l = 0; l < i; l++) {
                sum -= L[i * k + l] * x[l];
            }
            x[i] = sum / L[i * k + i];
        }
        for (size_t i = k; i-- > 0;) {
            for (size_t l = i + 1; l < k; l++) {
                x[i] -= L[l * k + i] * x[l];
            }
            x[i] /= L[i * k + i];
            A[i * k + c] = x[i];
        }
    }
    return true;
}

// out (rows x rows) = D C D' for D rows x k.
static void sandwich(size_t rows, size_t k, const double *D, const double *C, double *out)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < rows; j++) {
            double sum = 0;
            for (size_t a = 0; a < k; a++) {
                for (size_t b = 0; b < k; b++) {
                    sum += D[i * k + a] * C[a * k + b] * D[j * k + b];
                }
            }
            out[i * rows + j] = sum;
        }
    }
}

// Vectors 0: centre; 1 + 2i, 2 + 2i: +-h_i; then +-(h_i, h_j) for each pair i > j.
static size_t stencil(search *s, const double *u, const double *h)
{
    size_t k = s->k, count = 0;
    double v[FR_ARIMA_PARAMS];
    memcpy(v, u, k * sizeof *v);
    fr_arima_natural(&s->m->order, v, s->natural);
    count++;
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j <= i; j++) {
            for (int sign = 1; sign >= -1; sign -= 2) {
                v[i] = u[i] + sign * h[i];
                v[j] = u[j] + sign * h[j];
                size_t pair = 1 + 2 * k + i * (i - 1) + 2 * j;
                size_t at = (i == j ? 1 + 2 * i : pair) + (sign < 0);
                fr_arima_natural(&s->m->order, v, s->natural + at * k);
                v[i] = u[i];
                v[j] = u[j];
                count++;
            }
        }
    }
    return count;
}

static void fill_hessian(const search *s, const double *h, double *H)
{
    size_t k = s->k;
    const fr_arima_value *v = s->values;
    double n = (double)s->m->used, f0 = v[0].objective;
    for (size_t i = 0; i < k; i++) {
        double fi = v[1 + 2 * i].objective + v[2 + 2 * i].objective;
        H[i * k + i] = n * (fi - 2 * f0) / (h[i] * h[i]);
        for (size_t j = 0; j < i; j++) {
            double fj = v[1 + 2 * j].objective + v[2 + 2 * j].objective;
            size_t pair = 1 + 2 * k + i * (i - 1) + 2 * j;
            double both = v[pair].objective + v[pair + 1].objective;
            H[i * k + j] = H[j * k + i] =
                n * (both - fi - fj + 2 * f0) / (2 * h[i] * h[j]);
        }
    }
}

static void fill_unknown(size_t count, double *v)
{
    for (size_t i = 0; i < count; i++) {
        v[i] = (double)NAN;
    }
}

int fr_arima_information(const fr_arima_problem *m, const double *params,
                         double *covariance, double *beta_extra, fr_err *err)
{
    search s;
    size_t k = (size_t)m->params, betas = m->series - 1;
    double u[FR_ARIMA_PARAMS], h[FR_ARIMA_PARAMS], H[FR_ARIMA_PARAMS * FR_ARIMA_PARAMS];
    memset(beta_extra, 0, betas * betas * sizeof *beta_extra);
    if (k == 0) {
        return FR_OK;
    }
    int rc = search_init(&s, m, 1 + 2 * k + k * (k - 1), err);
    bool ok = rc == FR_OK && fr_arima_unbound(&m->order, params, u);
    if (ok) {
        for (size_t i = 0; i < k; i++) {
            h[i] = step_of(u[i], bend);
        }
        size_t count = stencil(&s, u, h);
        rc = fr_arima_eval(m, count, s.natural, s.values, FR_ARIMA_ISA_AUTO, err);
        fill_hessian(&s, h, H);
        ok = rc == FR_OK && invert(k, H);
    }
    if (ok) {
        double *D = fr_alloc((k + betas) * k * sizeof *D), *B = D + k * k;
        for (size_t i = 0; i < k; i++) {
            const double *up = s.natural + (1 + 2 * i) * k, *down = up + k;
            for (size_t j = 0; j < k; j++) {
                D[j * k + i] = (up[j] - down[j]) / (2 * h[i]);
            }
            for (size_t j = 0; j < betas; j++) {
                double rise = s.values[1 + 2 * i].beta[j] - s.values[2 + 2 * i].beta[j];
                B[j * k + i] = rise / (2 * h[i]);
            }
        }
        sandwich(k, k, D, H, covariance);
        sandwich(betas, k, B, H, beta_extra);
        fr_free(D);
    } else {
        fill_unknown(k * k, covariance);
        fill_unknown(betas * betas, beta_extra);
    }
    search_fini(&s);
    return rc;
}
