// The exact likelihood of many parameter vectors at once, for data without gaps.
//
// Chandrasekhar recursions (Morf, Sidhu, Kailath 1974) need O(r) work per time instead of
// the Kalman filter's O(r^2). With one observed series their middle factor M is -1 / F
// throughout (M' = M F / F' and M_1 = -1 / F_1), so that one division per time is left.
// When the gain has converged for all lanes the filter continues as the plain ARMA
// recursion over nonzero lags. All series (y and the regressors) share the gains.
#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/ml/arima_core.h"
#include "core/ml/special.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WIDTH = FR_ARIMA_LANES,
    STEP = 16,   // times between two looks at convergence and log F
    FEW = 3,     // largest state that is kept in registers
    BLOCK = 256, // times of the settled recursion kept in cache
};

static const double converged_below = 1e-17; // relative change of F still to come
static const double impossible = 1e100; // the objective of a vector without likelihood

// All arrays hold WIDTH lanes per element and are 64-byte aligned.
typedef struct fr_lanes {
    const fr_arima_problem *problem;
    double *memory;
    double *phi, *K, *L;    // r each
    double *F, *product;    // of the Fs since the last look
    double *ar, *ma;        // coefficients at the nonzero lags, when settled
    double *gram;           // series * (series + 1) / 2
    double **a;             // state of each series: r
    double **v;             // innovations of each series: keep + BLOCK
    int keep;               // innovations kept from before a block
    double mantissa[WIDTH]; // product of all Fs is mantissa * 2^exponent
    int64_t exponent[WIDTH];
    int64_t settled;  // times whose F is the last one
    bool dead[WIDTH]; // not stationary, or the recursion lost its sign
    bool lost[WIDTH]; // the latter: the Kalman filter may still do it
} fr_lanes;

#define TARGET
#define LANES      2
#define NAME(name) base_##name
#include "core/ml/arima_lanes.inc"
#if defined(__x86_64__)
#define TARGET     __attribute__((target("avx2")))
#define LANES      4
#define NAME(name) avx2_##name
#include "core/ml/arima_lanes.inc"
#define TARGET     __attribute__((target("avx512f")))
#define LANES      8
#define NAME(name) avx512_##name
#include "core/ml/arima_lanes.inc"
#endif

typedef struct kernel {
    int groups;
    void (*advance)(fr_lanes *f, int group, int slot, int64_t t0, int64_t t1);
    void (*settle)(fr_lanes *f, int group, int s, int64_t t0, int64_t t1);
    void (*collect)(fr_lanes *f, int group, int64_t count);
} kernel;

static const kernel base_kernel = {4, base_advance, base_settle, base_collect};
#if defined(__x86_64__)
static const kernel avx2_kernel = {2, avx2_advance, avx2_settle, avx2_collect};
static const kernel avx512_kernel = {1, avx512_advance, avx512_settle, avx512_collect};
#endif

static const kernel *kernel_for(int isa)
{
#if defined(__x86_64__)
    bool can_512 = __builtin_cpu_supports("avx512f"),
         can_2 = __builtin_cpu_supports("avx2");
    if (can_512 && (isa == FR_ARIMA_ISA_AUTO || isa == FR_ARIMA_ISA_AVX512)) {
        return &avx512_kernel;
    }
    if (can_2 && isa != FR_ARIMA_ISA_BASE) {
        return &avx2_kernel;
    }
#else
    (void)isa;
#endif
    return &base_kernel;
}

static double *carve(double **at, size_t elements)
{
    double *p = *at;
    *at += elements * WIDTH;
    return p;
}

static int lanes_init(fr_lanes *f, const fr_arima_problem *m, fr_err *err)
{
    size_t r = (size_t)m->r, series = m->series, half = series * (series + 1) / 2;
    size_t lags = (size_t)m->ar_lags + (size_t)m->ma_lags;
    int longest = m->ar > m->ma ? m->ar : m->ma;
    *f = (fr_lanes){.problem = m, .keep = longest > 1 ? longest : 1};
    size_t kept = (size_t)f->keep + BLOCK;
    size_t elements = 3 * r + 2 + lags + half + series * (r + kept);
    size_t bytes = elements * WIDTH * sizeof(double);
    f->memory = aligned_alloc(64, bytes);
    f->a = fr_try_alloc(2 * series * sizeof *f->a);
    if (f->memory == NULL || f->a == NULL) {
        return fr_fail(err, FR_ENOMEM, "arima: no memory for a state of %d", m->r);
    }
    memset(f->memory, 0, bytes);
    f->v = f->a + series;
    double *at = f->memory;
    f->phi = carve(&at, r);
    f->K = carve(&at, r);
    f->L = carve(&at, r);
    f->F = carve(&at, 1);
    f->product = carve(&at, 1);
    f->ar = carve(&at, (size_t)m->ar_lags);
    f->ma = carve(&at, (size_t)m->ma_lags);
    f->gram = carve(&at, half);
    for (size_t s = 0; s < series; s++) {
        f->a[s] = carve(&at, r);
        f->v[s] = carve(&at, kept);
    }
    return FR_OK;
}

static void lanes_fini(fr_lanes *f)
{
    free(f->memory);
    fr_free(f->a);
}

// Puts one parameter vector into a lane: polynomials, first gain, first variance.
static void load_lane(fr_lanes *f, int lane, const double *params, double *work)
{
    const fr_arima_problem *m = f->problem;
    size_t r = (size_t)m->r;
    double *phi = work, *theta = phi + r + 1, *c = theta + r + 1, *rest = c + r + 1;
    fr_arima_expand(m, params, phi, theta);
    f->dead[lane] = !fr_arima_covariance(m, phi, theta, c, rest);
    f->F[lane] = f->product[lane] = f->mantissa[lane] = 1;
    if (f->dead[lane]) {
        return; // zeros everywhere: harmless to carry along
    }
    for (size_t i = 0; i < r; i++) {
        double p = i < (size_t)m->ar ? phi[i] : 0;
        f->phi[i * WIDTH + (size_t)lane] = p;
        double k = p * c[0] + (i + 1 < r ? c[i + 1] : 0);
        f->K[i * WIDTH + (size_t)lane] = f->L[i * WIDTH + (size_t)lane] = k;
    }
    f->F[lane] = c[0];
}

// x = result * 2^*exponent with the result in [1, 2); x is positive and normal.
static double split(double x, int64_t *exponent)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    *exponent += (int64_t)(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffff) | 0x3ff0000000000000;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// Takes over the Fs of the last steps and says whether the gains of all lanes have
// converged.
static bool look(fr_lanes *f)
{
    size_t r = (size_t)f->problem->r;
    double largest = 0;
    for (int lane = 0; lane < WIDTH; lane++) {
        if (f->dead[lane]) {
            continue;
        }
        // In exact arithmetic F falls towards 1.
        if (!(f->F[lane] > 0.999999) || !isfinite(f->product[lane])) {
            f->dead[lane] = f->lost[lane] = true;
            continue;
        }
        double product = f->mantissa[lane] * f->product[lane];
        f->mantissa[lane] = split(product, &f->exponent[lane]);
        f->product[lane] = 1;
        for (size_t i = 0; i < r; i++) {
            double l = f->L[i * WIDTH + (size_t)lane];
            double change = l * l / f->F[lane];
            largest = change > largest ? change : largest;
        }
    }
    return largest < converged_below;
}

// With F and K fixed, `keep` more steps make the history the sparse recursion starts
// from.
static int64_t fill_history(fr_lanes *f, const kernel *k, int64_t t)
{
    const fr_arima_problem *m = f->problem;
    int64_t end = t + f->keep < m->n ? t + f->keep : m->n;
    memset(f->L, 0, (size_t)m->r * WIDTH * sizeof *f->L);
    while (t < end) {
        int64_t stop = t + STEP < end ? t + STEP : end;
        for (int g = 0; g < k->groups; g++) {
            k->advance(f, g, f->keep - (int)(end - t), t, stop);
        }
        (void)look(f);
        t = stop;
    }
    return end;
}

static int run_settled(fr_lanes *f, const kernel *k, int64_t t, fr_err *err)
{
    const fr_arima_problem *m = f->problem;
    t = fill_history(f, k, t);
    f->settled = m->n - t;
    for (int lane = 0; lane < WIDTH; lane++) {
        for (int i = 0; i < m->ar_lags; i++) {
            f->ar[i * WIDTH + lane] = f->phi[(m->ar_lag[i] - 1) * WIDTH + lane];
        }
        for (int i = 0; i < m->ma_lags; i++) {
            int at = (m->ma_lag[i] - 1) * WIDTH + lane;
            f->ma[i * WIDTH + lane] = f->K[at] / f->F[lane] - f->phi[at];
        }
    }
    while (t < m->n) {
        if (fr_cancelled()) {
            return fr_fail(err, fr_cancel_code(), "arima: stopped");
        }
        int64_t end = t + BLOCK < m->n ? t + BLOCK : m->n, count = end - t;
        for (int g = 0; g < k->groups; g++) {
            for (size_t s = 0; s < m->series; s++) {
                k->settle(f, g, (int)s, t, end);
            }
            k->collect(f, g, count);
        }
        for (size_t s = 0; s < m->series; s++) {
            memmove(f->v[s], f->v[s] + (size_t)count * WIDTH,
                    (size_t)f->keep * WIDTH * sizeof(double));
        }
        t = end;
    }
    return FR_OK;
}

static int run(fr_lanes *f, const kernel *k, fr_err *err)
{
    const fr_arima_problem *m = f->problem;
    bool settled = look(f);
    int64_t t = 0;
    while (t < m->n && !settled) {
        if (t % 64 == 0 && fr_cancelled()) {
            return fr_fail(err, fr_cancel_code(), "arima: stopped");
        }
        int64_t end = t + STEP < m->n ? t + STEP : m->n;
        for (int g = 0; g < k->groups; g++) {
            k->advance(f, g, 0, t, end);
        }
        t = end;
        settled = look(f);
    }
    return t < m->n ? run_settled(f, k, t, err) : FR_OK;
}

static void store_lane(const fr_lanes *f, int lane, fr_arima_value *v)
{
    const fr_arima_problem *m = f->problem;
    double all = (double)f->exponent[lane] * 0.69314718055994530942;
    v->log_det = all + fr_special_log(f->mantissa[lane]) +
                 (double)f->settled * fr_special_log(f->F[lane]);
    for (size_t s = 0, g = 0; s < m->series; s++) {
        for (size_t b = 0; b <= s; b++, g++) {
            double x = f->gram[g * WIDTH + (size_t)lane];
            v->gram[s * m->series + b] = v->gram[b * m->series + s] = x;
        }
    }
    if (f->dead[lane]) {
        v->objective = impossible;
        return;
    }
    fr_arima_concentrate(m, v);
}

void fr_arima_concentrate(const fr_arima_problem *m, fr_arima_value *v)
{
    size_t k = m->series - 1, series = m->series;
    double *g = v->gram, rest = g[0], n = (double)m->used;
    // Cholesky of the regressors' block, in the lower triangle of a copy on top of beta.
    double *beta = v->beta, *c = k > 0 ? beta + k : NULL;
    v->objective = impossible;
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = g[(i + 1) * series + j + 1];
            for (size_t l = 0; l < j; l++) {
                sum -= c[i * k + l] * c[j * k + l];
            }
            if (i == j && !(sum > 0)) {
                return;
            }
            c[i * k + j] = i == j ? sqrt(sum) : sum / c[j * k + j];
        }
        double sum = g[i + 1];
        for (size_t l = 0; l < i; l++) {
            sum -= c[i * k + l] * beta[l];
        }
        beta[i] = sum / c[i * k + i];
        rest -= beta[i] * beta[i];
    }
    for (size_t i = k; i-- > 0;) {
        for (size_t l = i + 1; l < k; l++) {
            beta[i] -= c[l * k + i] * beta[l];
        }
        beta[i] /= c[i * k + i];
    }
    v->sigma2 = rest / n;
    if (v->sigma2 > 0 && isfinite(v->log_det)) {
        double log_variance = fr_special_log(v->sigma2);
        v->objective = 0.5 * (1.8378770664093454836 + 1 + log_variance + v->log_det / n);
    }
}

int fr_arima_values_new(const fr_arima_problem *m, size_t count, fr_arima_value **out,
                        fr_err *err)
{
    size_t k = m->series - 1, each = k + k * k + m->series * m->series;
    *out = fr_try_alloc(count * (sizeof(fr_arima_value) + each * sizeof(double)));
    if (*out == NULL) {
        return fr_fail(err, FR_ENOMEM, "arima: no memory for %zu regressors", k);
    }
    double *at = (double *)(void *)(*out + count);
    memset(*out, 0, count * (sizeof(fr_arima_value) + each * sizeof(double)));
    for (size_t i = 0; i < count; i++) {
        (*out)[i].beta = at;
        (*out)[i].gram = at + k + k * k;
        at += each;
    }
    return FR_OK;
}

void fr_arima_values_free(fr_arima_value *v) { fr_free(v); }

typedef struct batch {
    const fr_arima_problem *problem;
    size_t count;
    const double *params;
    fr_arima_value *out;
    int isa;
} batch;

static int run_batch(const batch *b, size_t first, fr_err *err)
{
    const fr_arima_problem *m = b->problem;
    size_t lanes = b->count - first < WIDTH ? b->count - first : WIDTH;
    fr_lanes f = {0};
    double *work = fr_try_alloc(((size_t)m->r * 3 + 3 + fr_arima_work(m)) * sizeof *work);
    int rc = lanes_init(&f, m, err);
    if (rc == FR_OK && work == NULL) {
        rc = fr_fail(err, FR_ENOMEM, "arima: no memory for a state of %d", m->r);
    }
    for (int lane = 0; lane < WIDTH && rc == FR_OK; lane++) {
        size_t from = first + ((size_t)lane < lanes ? (size_t)lane : 0);
        load_lane(&f, lane, b->params + from * (size_t)m->params, work);
    }
    if (rc == FR_OK) {
        rc = run(&f, kernel_for(b->isa), err);
    }
    for (size_t lane = 0; lane < lanes && rc == FR_OK; lane++) {
        fr_arima_value *v = b->out + first + lane;
        store_lane(&f, (int)lane, v);
        if (f.lost[lane]) {
            const double *params = b->params + (first + lane) * (size_t)m->params;
            rc = fr_arima_kalman(m, params, v, NULL, err);
        }
    }
    fr_free(work);
    lanes_fini(&f);
    return rc;
}

static int run_chunk(void *ctx, size_t i)
{
    const batch *b = ctx;
    if (!b->problem->gaps) {
        return run_batch(b, i * WIDTH, NULL);
    }
    const double *params = b->params + i * (size_t)b->problem->params;
    return fr_arima_kalman(b->problem, params, b->out + i, NULL, NULL);
}

int fr_arima_eval(const fr_arima_problem *m, size_t count, const double *params,
                  fr_arima_value *out, int isa, fr_err *err)
{
    batch b = {m, count, params, out, isa};
    size_t chunks = m->gaps ? count : (count + WIDTH - 1) / WIDTH;
    if (chunks == 1 && !m->gaps) {
        return run_batch(&b, 0, err);
    }
    int rc = fr_pool_try(chunks, run_chunk, &b);
    return rc == FR_OK ? rc : fr_fail(err, rc, "arima: %s", fr_err_text(rc));
}
