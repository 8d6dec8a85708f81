// kmeans -- groups of rows around centres: greedy k-means++ (Arthur 2007) chooses where to
// start, Lloyd's steps move the centres to the means of their rows. Steps leave out rows
// that the triangle inequality keeps where they are (Hamerly 2010).
//
// Payload: u64 clusters, iterations; doubles inertia, centre[clusters][features]. Means are
// taken away inside. Sums are made in segments of fixed size: the bits do not depend on
// threads.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/rand.h"
#include "core/ml/kernel_block.h"
#include "core/ml/pass.h"
#include "core/ml/special.h"
#include "core/ml/shape.h"
#include "core/ml/standard.h"

#include <math.h>
#include <string.h>

enum { CLUSTERS, RUNS, MAX_ITERATIONS, TOLERANCE, SEED, THREADS };

enum {
    BLOCK = FR_STANDARD_BLOCK,
    HEAD = 3,
    MOST_TRIALS = 16,
    FEW_CENTRES = 64,
    FAR_CENTRES = 512, // of more, their distances from each other are not worth making
};

static const double UP = 1 + 1e-12;   // rounding of a way, with room
static const double SLACK = 1 + 1e-9; // of a sum of up to a million ways

static const fr_model_option OPTIONS[] = {
    [CLUSTERS] = {"clusters", "n_clusters k", FR_MODEL_INT, 8, 1, 65535, NULL,
                  "how many groups"},
    [RUNS] = {"runs", "n_init", FR_MODEL_INT, 1, 1, 10000, NULL,
              "starts, of which the one with the least inertia is kept"},
    [MAX_ITERATIONS] = {"max_iterations", "max_iter", FR_MODEL_INT, 300, 1, 1e9, NULL,
                        "most steps of a run"},
    [TOLERANCE] = {"tolerance", "tol", FR_MODEL_NUMBER, 1e-4, 0, 1e300, NULL,
                   "ends when centres move less, squared, by the mean variance"},
    [SEED] = {"seed", "random_state", FR_MODEL_INT, 0, 0, 9007199254740992, NULL,
              "equal seeds give equal models"},
    [THREADS] = {"threads", "n_jobs", FR_MODEL_INT, 0, -1, 4096, NULL,
                 "most threads; 0 and -1: what the task may use. The model is the same"},
};

typedef struct work {
    fr_standard s;
    size_t n, p, k;
    double *centre, *best; // [k][p], means taken away
    // [n], squared distance to the closest centre; between steps a bound of the distance
    double *near;
    int32_t *label; // [n]
    double *sums;   // inertia, changed, count[k], sum[k][p]
    double *row;    // [n][p], means taken away, of many rows; NULL: read from the columns
    double *change; // of these, in a step within bounds
    // For bounds in a step: how far each centre moved, the most that any other moved, and
    // half the distance to the closest other centre.
    double *moved, *others, *half; // [k]
    // candidates of k-means++
    size_t trials;
    double *candidate; // [trials][p]
    double *trial;     // [trials][n]; then the first n are bounds of the next distance
    fr_rand random;
} work;

typedef void (*block_fn)(const work *w, const double *z, size_t from, size_t rows,
                         double *space, double *out);

static int each_block(const work *w, size_t from, size_t to, double *out, block_fn fn)
{
    double *z = fr_try_alloc((w->p + 1) * BLOCK * sizeof *z);
    if (z == NULL) {
        return FR_ENOMEM;
    }
    int rc = FR_OK;
    for (size_t i = from; i < to && rc == FR_OK; i += BLOCK) {
        size_t rows = FR_MIN(to - i, (size_t)BLOCK);
        fr_standard_block(&w->s, i, rows, z);
        fn(w, z, i, rows, z + w->p * BLOCK, out);
        rc = fr_cancelled() ? fr_cancel_code() : FR_OK;
    }
    fr_free(z);
    return rc;
}

// Four sums per centre take turns, as rows of one centre often follow each other.
static void add_by_label(const work *w, const double *z, const int32_t *label, size_t rows,
                         double *sum)
{
    double four[4 * FEW_CENTRES];
    for (size_t j = 0; j < w->p; j++) {
        const double *v = z + j * BLOCK;
        if (w->k > FEW_CENTRES) {
            for (size_t i = 0; i < rows; i++) {
                sum[(size_t)label[i] * w->p + j] += v[i];
            }
            continue;
        }
        memset(four, 0, 4 * w->k * sizeof *four);
        for (size_t i = 0; i < rows; i++) {
            four[(size_t)label[i] * 4 + (i & 3)] += v[i];
        }
        for (size_t c = 0; c < w->k; c++) {
            const double *s = four + 4 * c;
            sum[c * w->p + j] += (s[0] + s[1]) + (s[2] + s[3]);
        }
    }
}

static void assign_block(const work *w, const double *z, size_t from, size_t rows,
                         double *d, double *out)
{
    double *near = w->near + from;
    int32_t was[BLOCK], *label = w->label + from;
    memcpy(was, label, rows * sizeof *was);
    fr_block_nearest(z, BLOCK, rows, w->p, w->centre, w->k, near, d, label);
    double *count = out + 2, *sum = count + w->k;
    for (size_t i = 0; i < rows; i++) {
        out[0] += near[i];
        out[1] += was[i] != label[i];
        count[label[i]]++;
        w->trial[from + i] = sqrt(d[i]);
    }
    add_by_label(w, z, label, rows, sum);
}

static int assign_pass(void *ctx, size_t from, size_t to, double *out)
{
    return each_block(ctx, from, to, out, assign_block);
}

// Moves the bounds of a block and lists the rows whose closest centre may be another one.
static size_t list_doubtful(const work *w, size_t from, size_t rows, uint8_t *list)
{
    double *near = w->near + from, *next = w->trial + from;
    const int32_t *label = w->label + from;
    size_t count = 0;
    for (size_t i = 0; i < rows; i++) {
        size_t c = (size_t)label[i];
        near[i] += w->moved[c];
        next[i] -= w->others[c];
        list[count] = (uint8_t)i;
        count += !(near[i] * SLACK < FR_MAX(next[i], w->half[c]));
    }
    return count;
}

// The listed rows, centred: few rows of many columns are few lines of the cache where rows
// lie together.
static void take_rows(const work *w, size_t from, const uint8_t *list, size_t count,
                      double *z)
{
    for (size_t t = 0; t < count && w->row != NULL; t++) {
        const double *v = w->row + (from + list[t]) * w->p;
        for (size_t j = 0; j < w->p; j++) {
            z[j * BLOCK + t] = v[j];
        }
    }
    if (w->row != NULL) {
        return;
    }
    for (size_t j = 0; j < w->p; j++) {
        const double *v = w->s.x->column[j] + from;
        double mean = w->s.mean[j], *to = z + j * BLOCK;
        for (size_t t = 0; t < count; t++) {
            to[t] = v[list[t]] - mean;
        }
    }
}

static void move_row(const work *w, const double *z, int32_t from, int32_t to, double *out)
{
    double *count = out + 2, *sum = count + w->k;
    out[1]++;
    count[from]--;
    count[to]++;
    for (size_t j = 0; j < w->p; j++) {
        sum[(size_t)from * w->p + j] -= z[j * BLOCK];
        sum[(size_t)to * w->p + j] += z[j * BLOCK];
    }
}

// As assign_pass within bounds; the sums are changes of counts and sums.
static int bounded_pass(void *ctx, size_t from, size_t to, double *out)
{
    const work *w = ctx;
    double *z = fr_try_alloc((w->p + 2) * BLOCK * sizeof *z);
    if (z == NULL) {
        return FR_ENOMEM;
    }
    double *near = z + w->p * BLOCK, *next = near + BLOCK;
    int32_t label[BLOCK];
    uint8_t list[BLOCK + 1];
    int rc = FR_OK;
    for (size_t i = from; i < to && rc == FR_OK; i += BLOCK) {
        size_t count = list_doubtful(w, i, FR_MIN(to - i, (size_t)BLOCK), list);
        take_rows(w, i, list, count, z);
        fr_block_nearest(z, BLOCK, count, w->p, w->centre, w->k, near, next, label);
        for (size_t t = 0; t < count; t++) {
            size_t row = i + list[t];
            if (label[t] != w->label[row]) {
                move_row(w, z + t, w->label[row], label[t], out);
                w->label[row] = label[t];
            }
            w->near[row] = sqrt(near[t]);
            w->trial[row] = sqrt(next[t]);
        }
        rc = fr_cancelled() ? fr_cancel_code() : FR_OK;
    }
    fr_free(z);
    return rc;
}

static void lay_rows(const work *w, const double *z, size_t from, size_t rows, double *d,
                     double *out)
{
    (void)d;
    (void)out;
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < w->p; j++) {
            w->row[(from + i) * w->p + j] = z[j * BLOCK + i];
        }
    }
}

static int lay_pass(void *ctx, size_t from, size_t to, double *out)
{
    return each_block(ctx, from, to, out, lay_rows);
}

static void trial_block(const work *w, const double *z, size_t from, size_t rows,
                        double *d, double *out)
{
    for (size_t t = 0; t < w->trials; t++) {
        double *own = w->trial + t * w->n + from;
        double next[BLOCK];
        int32_t label[BLOCK];
        fr_block_nearest(z, BLOCK, rows, w->p, w->candidate + t * w->p, 1, d, next, label);
        for (size_t i = 0; i < rows; i++) {
            own[i] = FR_MIN(d[i], w->near[from + i]);
            out[t] += own[i];
        }
    }
}

static int trial_pass(void *ctx, size_t from, size_t to, double *out)
{
    return each_block(ctx, from, to, out, trial_block);
}

static void take_row(const work *w, size_t i, double *out)
{
    for (size_t j = 0; j < w->p; j++) {
        out[j] = w->s.x->column[j][i] - w->s.mean[j];
    }
}

// A row drawn with a chance that grows with its distance from the centres.
static size_t draw(work *w, double total)
{
    double at = fr_rand_unit(&w->random) * total, sum = 0;
    for (size_t i = 0; i < w->n; i++) {
        sum += w->near[i];
        if (sum > at) {
            return i;
        }
    }
    return (size_t)fr_rand_below(&w->random, w->n); // all rows are centres already
}

static int start(work *w, fr_err *err)
{
    size_t first = (size_t)fr_rand_below(&w->random, w->n), trials = w->trials;
    for (size_t i = 0; i < w->n; i++) {
        w->near[i] = HUGE_VAL;
    }
    double total = 0;
    for (size_t c = 0; c < w->k; c++) {
        w->trials = c == 0 ? 1 : trials;
        for (size_t t = 0; t < w->trials; t++) {
            take_row(w, c == 0 ? first : draw(w, total), w->candidate + t * w->p);
        }
        double sums[MOST_TRIALS];
        int rc = fr_pass_run(w->n, w->trials, trial_pass, w, sums, "k-means", err);
        if (rc != FR_OK) {
            w->trials = trials;
            return rc;
        }
        size_t best = 0;
        for (size_t t = 1; t < w->trials; t++) {
            best = sums[t] < sums[best] ? t : best;
        }
        total = sums[best];
        memcpy(w->near, w->trial + best * w->n, w->n * sizeof *w->near);
        memcpy(w->centre + c * w->p, w->candidate + best * w->p, w->p * sizeof(double));
    }
    w->trials = trials;
    return FR_OK;
}

// Centres without rows take the rows that are farthest from theirs.
static void relocate(work *w)
{
    double *count = w->sums + 2, *sum = count + w->k;
    for (size_t c = 0; c < w->k; c++) {
        if (count[c] > 0) {
            continue;
        }
        size_t far = 0;
        for (size_t i = 1; i < w->n; i++) {
            far = w->near[i] > w->near[far] ? i : far;
        }
        size_t from = (size_t)w->label[far];
        take_row(w, far, sum + c * w->p);
        for (size_t j = 0; j < w->p; j++) {
            sum[from * w->p + j] -= sum[c * w->p + j];
        }
        count[from]--;
        count[c] = 1;
        w->near[far] = 0;
        w->label[far] = (int32_t)c;
    }
}

static int assign(work *w, double *inertia, bool *changed, fr_err *err)
{
    size_t size = 2 + w->k * (1 + w->p);
    int rc = fr_pass_run(w->n, size, assign_pass, w, w->sums, "k-means", err);
    *inertia = w->sums[0];
    *changed = w->sums[1] > 0;
    return rc;
}

static int assign_bounded(work *w, bool *changed, fr_err *err)
{
    size_t size = 2 + w->k * (1 + w->p);
    int rc = fr_pass_run(w->n, size, bounded_pass, w, w->change, "k-means", err);
    for (size_t i = 2; i < size; i++) {
        w->sums[i] += w->change[i];
    }
    *changed = w->change[1] > 0;
    return rc;
}

static bool has_empty(const work *w)
{
    for (size_t c = 0; c < w->k; c++) {
        if (!(w->sums[2 + c] > 0)) {
            return true;
        }
    }
    return false;
}

// Moves the centres to the means of their rows; the return value is the squared way of all.
static double move_centres(work *w)
{
    double all = 0, most = 0, next = 0;
    size_t farthest = 0;
    for (size_t c = 0; c < w->k; c++) {
        double squares = 0;
        for (size_t j = 0; j < w->p; j++) {
            double *at = &w->centre[c * w->p + j], count = w->sums[2 + c];
            double to = count > 0 ? w->sums[2 + w->k + c * w->p + j] / count : *at;
            squares += (to - *at) * (to - *at);
            *at = to;
        }
        all += squares;
        double way = w->moved[c] = sqrt(squares) * UP;
        next = fmax(next, fmin(way, most));
        farthest = way > most ? c : farthest;
        most = fmax(most, way);
    }
    for (size_t c = 0; c < w->k; c++) {
        w->others[c] = c == farthest ? next : most;
    }
    return all;
}

static void halve_distances(work *w)
{
    for (size_t c = 0; c < w->k; c++) {
        double least = w->k > FAR_CENTRES ? 0 : HUGE_VAL;
        for (size_t o = 0; o < w->k && w->k <= FAR_CENTRES; o++) {
            double d = 0;
            for (size_t j = 0; j < w->p; j++) {
                double a = w->centre[c * w->p + j] - w->centre[o * w->p + j];
                d += a * a;
            }
            least = o != c ? fmin(least, d) : least;
        }
        w->half[c] = sqrt(least) / 2;
    }
}

static int lloyd(work *w, int most, double limit, double *inertia, int *steps, fr_err *err)
{
    memset(w->label, 0xFF, w->n * sizeof *w->label);
    if (w->n >= FR_STANDARD_MANY && w->row == NULL) {
        w->row = fr_try_alloc(w->n * w->p * sizeof *w->row);
        int rc = w->row == NULL
                     ? FR_OK // slower without
                     : fr_pass_run(w->n, 0, lay_pass, w, w->change, "k-means", err);
        if (rc != FR_OK) {
            return rc;
        }
    }
    bool whole = true; // whether the pass was over all rows, so that `near` holds squares
    for (*steps = 1;; ++*steps) {
        bool changed;
        int rc = whole ? assign(w, inertia, &changed, err)
                       : assign_bounded(w, &changed, err);
        if (rc != FR_OK || !changed || *steps > most) {
            *steps = *steps > most ? most : *steps;
            return rc == FR_OK && !whole ? assign(w, inertia, &changed, err) : rc;
        }
        bool relocates = has_empty(w);
        if (relocates) {
            rc = whole ? FR_OK : assign(w, inertia, &changed, err);
            relocate(w);
        }
        if (rc != FR_OK) {
            return rc;
        }
        for (size_t i = 0; i < w->n && whole && !relocates; i++) {
            w->near[i] = sqrt(w->near[i]);
        }
        whole = relocates;
        if (move_centres(w) <= limit) {
            return assign(w, inertia, &changed, err);
        }
        halve_distances(w);
    }
}

static int work_init(work *w, const fr_fit *fit, fr_err *err)
{
    size_t n = fit->x->rows, p = fit->x->count, k = (size_t)fit->option[CLUSTERS];
    *w = (work){.n = n, .p = p, .k = k};
    if (k > n) {
        return fr_fail(err, FR_EINVAL, "k-means: %zu clusters of %zu rows", k, n);
    }
    w->trials = 2 + (size_t)fr_special_log((double)k);
    size_t sums = 2 + k * (1 + p), numbers = k * (2 * p + 3) + n + 2 * sums + w->trials * (p + n);
    w->centre = fr_try_alloc((numbers + 1) * sizeof *w->centre);
    w->label = fr_try_alloc((n + 1) * sizeof *w->label);
    if (w->centre == NULL || w->label == NULL) {
        return fr_fail(err, FR_ENOMEM, "k-means: no memory for %zu rows", n);
    }
    w->best = w->centre + k * p;
    w->near = w->best + k * p;
    w->sums = w->near + n;
    w->change = w->sums + sums;
    w->moved = w->change + sums;
    w->others = w->moved + k;
    w->half = w->others + k;
    w->candidate = w->half + k;
    w->trial = w->candidate + w->trials * p;
    return fr_standard_init(&w->s, fit->x, true, "k-means", err);
}

static int search(work *w, const fr_fit *fit, double *inertia, int *steps, fr_err *err)
{
    double variance = 0;
    for (size_t j = 0; j < w->p; j++) { // distances are in the user's units
        variance += w->s.scale[j] * w->s.scale[j] / (double)w->p;
        w->s.scale[j] = 1;
    }
    *inertia = HUGE_VAL;
    for (int run = 0; run < (int)fit->option[RUNS]; run++) {
        double now;
        int taken;
        fr_rand_init(&w->random, (uint64_t)fit->option[SEED], (uint64_t)run);
        int rc = start(w, err);
        rc = rc == FR_OK ? lloyd(w, (int)FR_MIN(fit->option[MAX_ITERATIONS], 1e9),
                                 fit->option[TOLERANCE] * variance, &now, &taken, err)
                         : rc;
        if (rc != FR_OK) {
            return rc;
        }
        if (now < *inertia) {
            *inertia = now;
            *steps = taken;
            memcpy(w->best, w->centre, w->k * w->p * sizeof *w->best);
        }
    }
    return FR_OK;
}

static int kmeans_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    work w;
    double inertia;
    int steps = 0;
    int rc = work_init(&w, fit, err);
    rc = rc == FR_OK ? search(&w, fit, &inertia, &steps, err) : rc;
    if (rc == FR_OK) {
        fr_buf_put_u64(payload, w.k);
        fr_buf_put_u64(payload, (uint64_t)steps);
        fr_buf_put(payload, &inertia, sizeof inertia);
        for (size_t i = 0; i < w.k * w.p; i++) {
            double v = w.best[i] + w.s.mean[i % w.p];
            fr_buf_put(payload, &v, sizeof v);
        }
    }
    fr_standard_fini(&w.s);
    fr_free(w.centre);
    fr_free(w.label);
    fr_free(w.row);
    return rc;
}

static int kmeans_open(const fr_model *m, void **state, fr_err *err)
{
    *state = NULL;
    fr_reader in = fr_reader_of(m->payload, m->payload_size);
    uint64_t k = fr_read_u64(&in), steps = fr_read_u64(&in);
    const double *word = (const double *)(const void *)m->payload;
    size_t words = m->payload_size / sizeof *word;
    bool fits = !in.failed && m->payload_size % sizeof *word == 0 && k > 0 &&
                k <= words && words == HEAD + (size_t)k * m->features;
    for (size_t i = 2; fits && i < words; i++) {
        fits = isfinite(word[i]);
    }
    if (!fits) {
        return fr_fail(err, FR_ECORRUPT, "the centres do not fit the features");
    }
    fr_kmeans *c = fr_zalloc(sizeof *c);
    *c = (fr_kmeans){(size_t)k, m->features, steps, word[2], word + HEAD};
    *state = c;
    return FR_OK;
}

static int kmeans_predict(const fr_model *m, const fr_columns *x, double *out, fr_err *err)
{
    (void)err;
    const fr_kmeans *c = m->state;
    double d[BLOCK], near[BLOCK];
    for (size_t from = 0; from < x->rows; from += BLOCK) {
        size_t rows = FR_MIN(x->rows - from, (size_t)BLOCK);
        for (size_t k = 0; k < c->clusters; k++) {
            memset(d, 0, rows * sizeof *d);
            for (size_t j = 0; j < c->features; j++) {
                double to = c->centre[k * c->features + j];
                for (size_t i = 0; i < rows; i++) {
                    double a = x->column[j][from + i] - to;
                    d[i] += a * a;
                }
            }
            for (size_t i = 0; i < rows; i++) {
                bool closer = k == 0 || d[i] < near[i];
                near[i] = closer ? d[i] : near[i];
                out[from + i] = closer ? (double)k + 1 : out[from + i];
            }
        }
    }
    return FR_OK;
}

const fr_kmeans *fr_kmeans_of(const fr_model *m)
{
    return m->ops == &fr_kmeans_ops ? m->state : NULL;
}

const fr_model_ops fr_kmeans_ops = {
    .name = "kmeans",
    .title = "k-means",
    .version = 1,
    .alone = true,
    .options = OPTIONS,
    .option_count = FR_COUNT(OPTIONS),
    .fit = kmeans_fit,
    .open = kmeans_open,
    .close = fr_free,
    .predict = kmeans_predict,
};
