#include "core/ml/responses.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/ml/gather.h"
#include "core/ml/least_squares.h"
#include "core/ml/linalg.h"
#include "core/ml/standard.h"

#include <math.h>
#include <string.h>

enum { L2, INTERCEPT, THREADS };

enum {
    TOGETHER = 128, // targets of one pool job
    PACK = 4096,   // rows that one pool job packs
    HEAD = 4, // numbers per target before the coefficients
    NAME_MAX_BYTES = 1 << 20,
};

static const double explained = 1e-11; // pivot of a column that the others explain
static const double doubtful = 1e2;    // condition beyond which refinement is repeated

// The shared side: rows of z are columns here, because OpenBLAS counts that way.
typedef struct design {
    const fr_linalg *la;
    fr_standard s;
    const fr_columns *x;
    size_t n, p, q;  // q: columns in use, the constant last
    bool intercept;
    size_t *used;    // [q], features in use
    double *z;       // [n][q]
    double *gram;    // [q][q], with the penalty
    double *factor;  // its Cholesky factor
    double *penalty; // [q]
    int steps;       // of refinement
    // the targets
    const fr_frame *y;
    bool skip;
    double *head, *coef; // [HEAD][targets], [targets][p]
} design;

typedef struct block {
    size_t first, count;
    double *y, *r;      // [count][n], 0 in missing rows; residuals
    double *b, *c;      // [count][q], solution; right-hand side
    double *mean;       // [count]
    size_t *gaps;       // [count] how many
    int32_t **gap;      // [count], rows
} block;

// ---- the shared side

static int pack_rows(void *ctx, size_t k)
{
    design *d = ctx;
    size_t from = k * PACK, to = FR_MIN(from + PACK, d->n), features = d->q - d->intercept;
    for (size_t i = from; i < to; i++) {
        double *row = d->z + i * d->q;
        for (size_t j = 0; j < features; j++) {
            size_t f = d->used[j];
            row[j] = (d->x->column[f][i] - d->s.mean[f]) / d->s.scale[f];
        }
        if (d->intercept) {
            row[features] = 1;
        }
    }
    return fr_cancelled() ? fr_cancel_code() : FR_OK;
}

static int pack(design *d, fr_err *err)
{
    int rc = fr_pool_try((d->n + PACK - 1) / PACK, pack_rows, d);
    return rc == FR_OK ? rc : fr_fail(err, rc, "least squares: %s", fr_err_text(rc));
}

static void products(const design *d, double *gram)
{
    int q = (int)d->q;
    memset(gram, 0, d->q * d->q * sizeof *gram);
    for (size_t i = 0; i < d->n; i += PACK) {
        int rows = (int)FR_MIN(d->n - i, (size_t)PACK);
        d->la->dsyrk(FR_LINALG_COLUMNS, FR_LINALG_LOWER, FR_LINALG_PLAIN, q, rows, 1,
                     d->z + i * d->q, q, 1, gram, q);
    }
    for (size_t j = 0; j < d->q; j++) {
        gram[j * d->q + j] += d->penalty[j];
    }
}

// Which features the ones before them do not explain, by Cholesky's pivots in their order.
// *condition gets the ratio of the greatest and the least pivot's roots.
static size_t choose(const design *d, const double *gram, size_t *kept, double *condition)
{
    size_t q = d->q, k = 0;
    double *L = fr_alloc((q * q + 1) * sizeof *L), most = 0, least = HUGE_VAL;
    for (size_t j = 0; j < q; j++) {
        double *row = L + k * q, own = gram[j * q + j], left = own;
        for (size_t i = 0; i < k; i++) {
            double sum = gram[kept[i] * q + j]; // column-major, lower: [column][row]
            for (size_t h = 0; h < i; h++) {
                sum -= row[h] * L[i * q + h];
            }
            row[i] = sum / L[i * q + i];
            left -= row[i] * row[i];
        }
        if (own > 0 && left > explained * own) {
            row[k] = sqrt(left);
            most = fmax(most, left / own);
            least = fmin(least, left / own);
            kept[k++] = j;
        }
    }
    fr_free(L);
    *condition = k > 0 ? sqrt(most / least) : 1;
    return k;
}

static int factor_products(design *d, fr_err *err)
{
    int q = (int)d->q, info = 0;
    memcpy(d->factor, d->gram, d->q * d->q * sizeof *d->gram);
    d->la->dpotrf("L", &q, d->factor, &q, &info);
    return info == 0 ? FR_OK
                     : fr_fail(err, FR_ENUMERIC,
                               "least squares: the features are too close to "
                               "combinations of each other; set l2 > 0 or leave some out");
}

static int design_fill(design *d, fr_err *err)
{
    int rc = pack(d, err);
    if (rc != FR_OK) {
        return rc;
    }
    products(d, d->gram);
    size_t *kept = fr_alloc((d->q + 1) * sizeof *kept), was = d->q;
    double condition;
    size_t count = choose(d, d->gram, kept, &condition);
    d->steps = condition > doubtful ? 2 : 1;
    if (count < was) { // the constant, the last column, is explained when rows are few
        d->intercept = d->intercept && count > 0 && kept[count - 1] == was - 1;
        for (size_t k = 0; k < count; k++) {
            d->used[k] = d->used[kept[k]];
            d->penalty[k] = d->penalty[kept[k]];
        }
        d->q = count;
        rc = pack(d, err);
        products(d, d->gram);
    }
    fr_free(kept);
    return rc == FR_OK ? factor_products(d, err) : rc;
}

static int design_init(design *d, const double *option, const fr_columns *x, fr_err *err)
{
    size_t p = x->count, q = p + (option[INTERCEPT] != 0);
    d->x = x;
    d->n = x->rows;
    d->p = p;
    d->q = q;
    d->intercept = option[INTERCEPT] != 0;
    int rc = fr_linalg_open(&d->la, err);
    rc = rc == FR_OK ? fr_standard_init(&d->s, x, d->intercept, "least squares", err) : rc;
    if (rc != FR_OK) {
        return rc;
    }
    d->used = fr_zalloc((q + 1) * sizeof *d->used);
    d->z = fr_try_alloc((d->n * q + 1) * sizeof *d->z);
    d->gram = fr_try_alloc((2 * q * q + q + 1) * sizeof *d->gram);
    if (d->z == NULL || d->gram == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu rows of %zu columns", d->n, p);
    }
    d->factor = d->gram + q * q;
    d->penalty = d->factor + q * q;
    for (size_t j = 0; j < q; j++) {
        d->used[j] = j;
        d->penalty[j] = j < p ? option[L2] / (d->s.scale[j] * d->s.scale[j]) : 0;
    }
    return design_fill(d, err);
}

static void design_fini(design *d)
{
    fr_standard_fini(&d->s);
    fr_free(d->used);
    fr_free(d->z);
    fr_free(d->gram);
}

// ---- a block of targets

static int load_target(const design *d, block *b, size_t k, fr_err *err)
{
    const fr_array *a = d->y->cols[b->first + k];
    const char *name = d->y->names[b->first + k];
    double *y = b->y + k * d->n, sum = 0, rest = 0;
    int rc = fr_array_to_f64(a, y, err);
    if (rc != FR_OK) {
        return fr_wrap(err, rc, "target `%s`", name);
    }
    if (!d->skip || a->nulls == 0) {
        rc = fr_gather_check(a, y, name, err);
    }
    size_t gaps = 0;
    b->gap[k] = a->nulls > 0 ? fr_alloc((size_t)a->nulls * sizeof **b->gap) : NULL;
    for (size_t i = 0; i < d->n && rc == FR_OK; i++) {
        if (!fr_array_has(a, (int64_t)i)) {
            b->gap[k][gaps++] = (int32_t)i;
            y[i] = 0;
        } else if (!isfinite(y[i])) {
            rc = fr_fail(err, FR_EINVAL, "target `%s` is %g in row %zu", name, y[i], i + 1);
        } else {
            sum += y[i];
        }
    }
    double there = (double)(d->n - gaps);
    if (rc == FR_OK && gaps == d->n) {
        rc = fr_fail(err, FR_EINVAL, "target `%s` has only nulls", name);
    }
    double mean = d->intercept && rc == FR_OK ? sum / there : 0;
    for (size_t i = 0, g = 0; i < d->n && rc == FR_OK; i++) {
        if (g < gaps && (size_t)b->gap[k][g] == i) {
            g++;
        } else {
            y[i] -= mean;
            rest += y[i] * y[i];
        }
    }
    b->mean[k] = mean;
    b->gaps[k] = gaps;
    size_t targets = d->y->columns;
    d->head[2 * targets + b->first + k] = rest;
    d->head[3 * targets + b->first + k] = there;
    return rc;
}

// The factor of the products without the missing rows of target k; false when what is
// left does not determine the coefficients.
static bool downdate(const design *d, const block *b, size_t k, double *factor,
                     double *rows)
{
    int q = (int)d->q, gaps = (int)b->gaps[k], info = 0;
    for (size_t g = 0; g < b->gaps[k]; g++) {
        memcpy(rows + g * d->q, d->z + (size_t)b->gap[k][g] * d->q, d->q * sizeof *rows);
    }
    memcpy(factor, d->gram, d->q * d->q * sizeof *factor);
    d->la->dsyrk(FR_LINALG_COLUMNS, FR_LINALG_LOWER, FR_LINALG_PLAIN, q, gaps, -1, rows, q,
                 1, factor, q);
    d->la->dpotrf("L", &q, factor, &q, &info);
    double least = HUGE_VAL;
    for (size_t j = 0; j < d->q && info == 0; j++) {
        double pivot = factor[j * d->q + j];
        least = fmin(least, pivot * pivot / d->gram[j * d->q + j]);
    }
    return info == 0 && least > 1e-9; // below it the difference has lost its digits
}

// Adds the solution of the right-hand sides c to b, and keeps the residual sums of squares
// up to date.
static void solve_step(const design *d, block *b, double *const *factor)
{
    int q = (int)d->q, one = 1, info;
    double *rss = d->head + d->y->columns + b->first;
    for (size_t k = 0; k < b->count; k++) {
        double *x = b->c + k * d->q, *sum = b->b + k * d->q, gain = 0;
        double *g = fr_alloc((d->q + 1) * sizeof *g);
        for (size_t j = 0; j < d->q; j++) {
            x[j] -= d->penalty[j] * sum[j];
            g[j] = x[j];
        }
        d->la->dpotrs("L", &q, &one, factor[k] != NULL ? factor[k] : d->factor, &q, x, &q,
                      &info);
        for (size_t j = 0; j < d->q; j++) {
            double was = d->penalty[j] * sum[j];
            gain += x[j] * (2 * (g[j] + was) - g[j] + d->penalty[j] * x[j]);
            sum[j] += x[j];
        }
        rss[k] = fmax(0, rss[k] - gain);
        fr_free(g);
    }
}

// r = y - Z b, 0 in missing rows, and its sums of squares.
static void residuals(const design *d, block *b)
{
    memcpy(b->r, b->y, b->count * d->n * sizeof *b->r);
    d->la->dgemm(FR_LINALG_COLUMNS, FR_LINALG_TRANSPOSED, FR_LINALG_PLAIN, (int)d->n,
                 (int)b->count, (int)d->q, -1, d->z, (int)d->q, b->b, (int)d->q, 1, b->r,
                 (int)d->n);
    for (size_t k = 0; k < b->count; k++) {
        double *r = b->r + k * d->n, sum = 0;
        for (size_t g = 0; g < b->gaps[k]; g++) {
            r[b->gap[k][g]] = 0;
        }
        for (size_t i = 0; i < d->n; i++) {
            sum += r[i] * r[i];
        }
        d->head[d->y->columns + b->first + k] = sum;
    }
}

static void project(const design *d, block *b, const double *r)
{
    d->la->dgemm(FR_LINALG_COLUMNS, FR_LINALG_PLAIN, FR_LINALG_PLAIN, (int)d->q,
                 (int)b->count, (int)d->n, 1, d->z, (int)d->q, r, (int)d->n, 0, b->c,
                 (int)d->q);
}

// The coefficients of target k in the user's units.
static void store(const design *d, const block *b, size_t k)
{
    size_t t = b->first + k, features = d->q - d->intercept;
    double *coef = d->coef + t * d->p, *beta = b->b + k * d->q;
    double intercept = b->mean[k] + (d->intercept ? beta[features] : 0);
    for (size_t j = 0; j < features; j++) {
        size_t f = d->used[j];
        coef[f] = beta[j] / d->s.scale[f];
        intercept -= coef[f] * d->s.mean[f];
    }
    d->head[t] = intercept;
}

// Target k by itself, on the rows it has.
static int alone(const design *d, const block *b, size_t k, double l2, fr_err *err)
{
    size_t n = d->n - b->gaps[k], t = b->first + k;
    double *copy = fr_try_alloc(((d->p + 1) * n + 1) * sizeof *copy);
    const double **column = fr_alloc((d->p + 1) * sizeof *column);
    if (copy == NULL) {
        fr_free(column);
        return fr_fail(err, FR_ENOMEM, "no memory for %zu rows", n);
    }
    for (size_t j = 0; j <= d->p; j++) {
        const double *from = j < d->p ? d->x->column[j] : b->y + k * d->n;
        double *to = copy + j * n;
        for (size_t i = 0, g = 0; i < d->n; i++) {
            if (g < b->gaps[k] && (size_t)b->gap[k][g] == i) {
                g++;
            } else {
                *to++ = from[i];
            }
        }
        column[j] = copy + j * n;
    }
    fr_columns x = {n, d->p, column, d->x->name, false};
    fr_least_squares s;
    int rc = fr_least_squares_fit(&x, column[d->p], d->intercept, l2, &s, err);
    if (rc == FR_OK) {
        memcpy(d->coef + t * d->p, s.coef, d->p * sizeof *s.coef);
        d->head[t] = s.intercept + b->mean[k];
        d->head[d->y->columns + t] = s.residual_ss;
    }
    fr_least_squares_fini(&s);
    fr_free(column);
    fr_free(copy);
    return rc;
}

typedef struct job {
    design *d;
    double l2;
    fr_err *err; // of the block with the same number
} job;

static int solve_block(const design *d, block *b, double l2, fr_err *err)
{
    size_t qq = d->q * d->q, most = 1;
    double *factor[TOGETHER] = {NULL};
    bool lone[TOGETHER] = {false};
    int rc = FR_OK;
    for (size_t k = 0; k < b->count; k++) {
        most = FR_MAX(most, b->gaps[k]);
    }
    double *rows = fr_try_alloc(most * (d->q + 1) * sizeof *rows);
    rc = rows == NULL ? fr_fail(err, FR_ENOMEM, "no memory for %zu rows", most) : FR_OK;
    for (size_t k = 0; k < b->count && rc == FR_OK; k++) {
        if (b->gaps[k] > 0) {
            factor[k] = fr_try_alloc((qq + 1) * sizeof **factor);
            rc = factor[k] == NULL ? fr_fail(err, FR_ENOMEM, "no memory for %zu numbers", qq)
                                   : FR_OK;
            lone[k] = rc == FR_OK && !downdate(d, b, k, factor[k], rows);
            if (lone[k]) {
                fr_free(factor[k]);
                factor[k] = NULL;
            }
        }
    }
    if (rc == FR_OK) {
        memcpy(d->head + d->y->columns + b->first, d->head + 2 * d->y->columns + b->first,
               b->count * sizeof *d->head);
        memset(b->b, 0, b->count * d->q * sizeof *b->b);
        project(d, b, b->y);
        solve_step(d, b, factor);
        for (int step = 0; step < d->steps; step++) {
            residuals(d, b);
            project(d, b, b->r);
            solve_step(d, b, factor);
        }
    }
    for (size_t k = 0; k < b->count; k++) {
        if (rc == FR_OK) {
            store(d, b, k);
            rc = lone[k] ? alone(d, b, k, l2, err) : FR_OK;
        }
        fr_free(factor[k]);
    }
    fr_free(rows);
    return rc;
}

static int run_block(void *ctx, size_t i)
{
    const job *j = ctx;
    design *d = j->d;
    fr_err *err = &j->err[i];
    block b = {.first = i * TOGETHER};
    b.count = FR_MIN(d->y->columns - b.first, (size_t)TOGETHER);
    int32_t *gap[TOGETHER] = {NULL};
    size_t gaps[TOGETHER], numbers = b.count * (2 * d->n + 2 * d->q + 1) + 1;
    b.gap = gap;
    b.gaps = gaps;
    b.y = fr_try_alloc(numbers * sizeof *b.y);
    if (b.y == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu numbers", numbers);
    }
    b.r = b.y + b.count * d->n;
    b.b = b.r + b.count * d->n;
    b.c = b.b + b.count * d->q;
    b.mean = b.c + b.count * d->q;
    int rc = FR_OK;
    for (size_t k = 0; k < b.count && rc == FR_OK; k++) {
        rc = load_target(d, &b, k, err);
    }
    rc = rc == FR_OK ? solve_block(d, &b, j->l2, err) : rc;
    for (size_t k = 0; k < b.count; k++) {
        fr_free(gap[k]);
    }
    fr_free(b.y);
    return rc;
}

static int run_blocks(design *d, double l2, fr_err *err)
{
    size_t count = (d->y->columns + TOGETHER - 1) / TOGETHER;
    job j = {d, l2, fr_zalloc((count + 1) * sizeof *j.err)};
    int rc = fr_pool_try(count, run_block, &j);
    if (rc != FR_OK) {
        const fr_err *why = NULL;
        for (size_t i = 0; i < count && why == NULL; i++) {
            why = j.err[i].text[0] != 0 ? &j.err[i] : NULL;
        }
        rc = fr_fail(err, rc, "%s", why != NULL ? why->text : fr_err_text(rc));
    }
    fr_free(j.err);
    return rc;
}

// ---- the model

static int fit_design(const double *option, const fr_columns *x, const fr_frame *y,
                      bool skip, fr_buf *payload, fr_err *err)
{
    size_t targets = y->columns, numbers = targets * (HEAD + x->count);
    design d = {.y = y, .skip = skip};
    d.head = fr_try_alloc((numbers + 1) * sizeof *d.head);
    if (d.head == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu coefficients", numbers);
    }
    memset(d.head, 0, numbers * sizeof *d.head);
    d.coef = d.head + HEAD * targets;
    int rc = design_init(&d, option, x, err);
    rc = rc == FR_OK ? run_blocks(&d, option[L2], err) : rc;
    if (rc == FR_OK) {
        fr_buf_put_u64(payload, targets);
        fr_buf_put(payload, d.head, numbers * sizeof *d.head);
        for (size_t t = 0; t < targets; t++) {
            size_t n = strlen(y->names[t]);
            fr_buf_put_varint(payload, n);
            fr_buf_put(payload, y->names[t], n);
        }
    }
    design_fini(&d);
    fr_free(d.head);
    return rc;
}

static int check_shape(const fr_frame *x, const fr_frame *y, fr_err *err)
{
    if (x->columns == 0 || y->columns == 0) {
        return fr_fail(err, FR_EINVAL, "linear regression needs at least one %s",
                       x->columns == 0 ? "feature" : "target");
    }
    if (x->rows != y->rows || x->rows == 0 || x->rows > INT32_MAX) {
        return fr_fail(err, FR_EINVAL, "the features have %lld rows, the targets %lld",
                       (long long)x->rows, (long long)y->rows);
    }
    return FR_OK;
}

int fr_responses_fit(const double *option, const fr_frame *x, const fr_frame *y, bool skip,
                     fr_model **out, fr_err *err)
{
    *out = NULL;
    fr_gathered g;
    int rc = check_shape(x, y, err);
    rc = rc != FR_OK ? rc
                     : fr_gather(x, (const char *const *)x->names, x->columns, false, &g,
                                 err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_buf payload;
    fr_buf_init(&payload, (size_t)1 << 40);
    double kept[] = {option[L2], option[INTERCEPT], 0}; // threads are no part of a model
    unsigned before = fr_pool_limit(0);
    unsigned most = option[THREADS] > 0 ? (unsigned)option[THREADS] : before;
    (void)fr_pool_limit(before > 0 ? FR_MIN(before, most) : most);
    rc = fit_design(option, &g.x, y, skip, &payload, err);
    (void)fr_pool_limit(before);
    fr_gathered_fini(&g);
    rc = rc != FR_OK ? rc
                     : fr_model_make(&fr_responses_ops, kept,
                                     (const char *const *)x->names, x->columns, x->rows,
                                     &payload, out, err);
    fr_buf_fini(&payload);
    return rc;
}

static void responses_close(void *state)
{
    fr_responses *r = state;
    for (size_t t = 0; t < r->targets && r->name != NULL; t++) {
        fr_free(r->name[t]);
    }
    fr_free(r->name);
    fr_free(r);
}

static bool read_names(fr_responses *r, fr_reader *in)
{
    r->name = fr_zalloc((r->targets + 1) * sizeof *r->name);
    for (size_t t = 0; t < r->targets; t++) {
        uint64_t n = fr_read_varint(in);
        const uint8_t *text =
            n <= NAME_MAX_BYTES ? fr_read_bytes(in, (size_t)n) : NULL;
        if (text == NULL || memchr(text, 0, (size_t)n) != NULL) {
            return false;
        }
        r->name[t] = fr_strndup((const char *)text, (size_t)n);
    }
    return in->at == in->end;
}

static int responses_open(const fr_model *m, void **state, fr_err *err)
{
    *state = NULL;
    fr_reader in = fr_reader_of(m->payload, m->payload_size);
    uint64_t targets = fr_read_u64(&in);
    size_t each = HEAD + m->features, words = m->payload_size / sizeof(double);
    bool fits = !in.failed && targets > 0 && targets <= words / each;
    const double *word = (const double *)(const void *)(m->payload + sizeof(uint64_t));
    for (size_t i = 0; fits && i < targets * each; i++) {
        fits = isfinite(word[i]);
    }
    if (!fits || fr_read_bytes(&in, (size_t)targets * each * sizeof *word) == NULL) {
        return fr_fail(err, FR_ECORRUPT, "the coefficients do not fit the features");
    }
    fr_responses *r = fr_zalloc(sizeof *r);
    size_t n = (size_t)targets;
    *r = (fr_responses){.targets = n,
                        .features = m->features,
                        .intercept = word,
                        .residual_ss = word + n,
                        .total_ss = word + 2 * n,
                        .rows = word + 3 * n,
                        .coef = word + HEAD * n};
    if (!read_names(r, &in)) {
        responses_close(r);
        return fr_fail(err, FR_ECORRUPT, "the names of its targets are cut");
    }
    *state = r;
    return FR_OK;
}

typedef struct prediction {
    const fr_responses *r;
    const fr_columns *x;
    fr_array **out;
} prediction;

static int predict_one(void *ctx, size_t t)
{
    const prediction *p = ctx;
    double *out = (double *)(void *)p->out[t]->values->data;
    for (size_t i = 0; i < p->x->rows; i++) {
        out[i] = p->r->intercept[t];
    }
    for (size_t j = 0; j < p->r->features; j++) {
        double b = p->r->coef[t * p->r->features + j];
        const double *v = p->x->column[j];
        for (size_t i = 0; i < p->x->rows && b != 0; i++) {
            out[i] += b * v[i];
        }
    }
    return fr_cancelled() ? fr_cancel_code() : FR_OK;
}

int fr_responses_predict(const fr_model *m, const fr_frame *x, fr_array **out, fr_err *err)
{
    const fr_responses *r = m->state;
    memset(out, 0, r->targets * sizeof(fr_array *));
    fr_gathered g;
    int rc =
        fr_gather(x, (const char *const *)m->feature, m->features, false, &g, err);
    if (rc != FR_OK) {
        return rc;
    }
    for (size_t t = 0; t < r->targets && rc == FR_OK; t++) {
        rc = fr_array_new(fr_type_of(FR_FLOAT64), x->rows, 0, &out[t], err);
    }
    if (rc == FR_OK) {
        rc = fr_pool_try(r->targets, predict_one, &(prediction){r, &g.x, out});
        rc = rc == FR_OK ? rc : fr_fail(err, rc, "predicting: %s", fr_err_text(rc));
    }
    for (size_t t = 0; t < r->targets && rc != FR_OK; t++) {
        fr_array_unref(out[t]);
        out[t] = NULL;
    }
    fr_gathered_fini(&g);
    return rc;
}

const fr_responses *fr_responses_of(const fr_model *m)
{
    return m->ops == &fr_responses_ops ? m->state : NULL;
}

static const fr_model_option OPTIONS[] = {
    [L2] = {"l2", "alpha", FR_MODEL_NUMBER, 0, 0, 1e300, NULL,
            "weight of the sum of squared coefficients beside that of the residuals"},
    [INTERCEPT] = {"intercept", "fit_intercept", FR_MODEL_BOOL, 1, 0, 1, NULL,
                   "a constant besides the features"},
    [THREADS] = {"threads", "n_jobs", FR_MODEL_INT, 0, -1, 4096, NULL,
                 "most threads; 0 and -1: what the task may use. The model is the same"},
};

const fr_model_ops fr_responses_ops = {
    .name = "linear_responses",
    .title = "linear regression of several targets",
    .version = 1,
    .alone = true, // its targets are in the payload
    .options = OPTIONS,
    .option_count = FR_COUNT(OPTIONS),
    .open = responses_open,
    .close = responses_close,
};
