#include "core/ml/lbfgs.h"

#include "core/base/cancel.h"
#include "core/base/err.h"
#include "core/base/mem.h"

#include <math.h>
#include <string.h>

enum { MEMORY = 12, LINE_STEPS = 25, SETTLED = 3 };

typedef struct search {
    size_t n;
    fr_lbfgs_fn fn;
    void *ctx;
    double *x, *g, *direction, *next, *next_g;
    double *s, *y, rho[MEMORY], alpha[MEMORY]; // steps and changes of gradient, a ring
    int kept, newest;
    double value;
} search;

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

// direction = -H g by the two loops over the kept steps.
static void find_direction(search *q)
{
    size_t n = q->n;
    double *d = q->direction;
    for (size_t i = 0; i < n; i++) {
        d[i] = -q->g[i];
    }
    for (int k = 0; k < q->kept; k++) {
        int j = (q->newest - k + MEMORY) % MEMORY;
        q->alpha[j] = q->rho[j] * dot(q->s + (size_t)j * n, d, n);
        for (size_t i = 0; i < n; i++) {
            d[i] -= q->alpha[j] * q->y[(size_t)j * n + i];
        }
    }
    if (q->kept > 0) {
        const double *y = q->y + (size_t)q->newest * n;
        double scale = 1 / (q->rho[q->newest] * dot(y, y, n));
        for (size_t i = 0; i < n; i++) {
            d[i] *= scale;
        }
    }
    for (int k = q->kept - 1; k >= 0; k--) {
        int j = (q->newest - k + MEMORY) % MEMORY;
        double beta = q->rho[j] * dot(q->y + (size_t)j * n, d, n);
        for (size_t i = 0; i < n; i++) {
            d[i] += (q->alpha[j] - beta) * q->s[(size_t)j * n + i];
        }
    }
}

static double try_step(search *q, double step)
{
    for (size_t i = 0; i < q->n; i++) {
        q->next[i] = q->x[i] + step * q->direction[i];
    }
    double v = q->fn(q->ctx, q->next, q->next_g);
    return isnan(v) ? (double)INFINITY : v;
}

// A step that fulfils the strong Wolfe conditions, by bisection of a bracket; 0 when none
// was found. q->next and q->next_g are then at the step.
static double line_search(search *q, double slope, double *value)
{
    double low = 0, high = (double)INFINITY;
    double step = q->kept == 0 ? FR_MIN(1.0, 1 / sqrt(dot(q->g, q->g, q->n))) : 1;
    for (int k = 0; k < LINE_STEPS; k++) {
        double v = try_step(q, step);
        double now = v < (double)INFINITY ? dot(q->next_g, q->direction, q->n) : 0;
        if (!(v <= q->value + 1e-4 * step * slope)) {
            high = step;
        } else if (now < 0.9 * slope) {
            low = step;
        } else {
            *value = v;
            return step;
        }
        step = high < (double)INFINITY ? (low + high) / 2 : 2 * step;
    }
    if (low > 0) { // it went down at least
        *value = try_step(q, low);
        return low;
    }
    return 0;
}

static void remember(search *q)
{
    size_t n = q->n;
    int at = (q->newest + 1) % MEMORY;
    double *s = q->s + (size_t)at * n, *y = q->y + (size_t)at * n;
    for (size_t i = 0; i < n; i++) {
        s[i] = q->next[i] - q->x[i];
        y[i] = q->next_g[i] - q->g[i];
    }
    double product = dot(s, y, n);
    if (product > 1e-300) {
        q->rho[at] = 1 / product;
        q->newest = at;
        q->kept = FR_MIN(q->kept + 1, (int)MEMORY);
    }
    memcpy(q->x, q->next, n * sizeof *q->x);
    memcpy(q->g, q->next_g, n * sizeof *q->g);
}

static int run(search *q, int max_iterations, double tolerance, fr_lbfgs_result *out)
{
    int settled = 0;
    q->value = q->fn(q->ctx, q->x, q->g);
    while (out->iterations < max_iterations && settled < SETTLED &&
           q->value < (double)INFINITY) {
        if (fr_cancelled()) {
            return fr_cancel_code();
        }
        find_direction(q);
        double slope = dot(q->g, q->direction, q->n), value;
        if (!(slope < 0)) { // lost the shape: start again from the gradient
            if (q->kept == 0) {
                settled = SETTLED;
                break;
            }
            q->kept = 0;
            continue;
        }
        if (line_search(q, slope, &value) == 0) {
            settled = q->kept == 0 ? SETTLED : settled;
            if (q->kept == 0) {
                break;
            }
            q->kept = 0;
            continue;
        }
        remember(q);
        settled = q->value - value <= tolerance * (1 + fabs(value)) ? settled + 1 : 0;
        q->value = value;
        out->iterations++;
    }
    out->value = q->value;
    out->converged = settled >= SETTLED;
    return FR_OK;
}

int fr_lbfgs(size_t n, double *x, fr_lbfgs_fn fn, void *ctx, int max_iterations,
             double tolerance, fr_lbfgs_result *out)
{
    *out = (fr_lbfgs_result){0};
    double *memory = fr_alloc((4 + 2 * MEMORY) * n * sizeof *memory + 1);
    search q = {.n = n, .fn = fn, .ctx = ctx, .x = x, .newest = -1};
    q.g = memory;
    q.direction = memory + n;
    q.next = memory + 2 * n;
    q.next_g = memory + 3 * n;
    q.s = memory + 4 * n;
    q.y = q.s + MEMORY * n;
    int rc = run(&q, max_iterations, tolerance, out);
    fr_free(memory);
    return rc;
}
