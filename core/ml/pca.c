// pca -- principal components: directions of the greatest variance, from the products of
// centred columns. A transformer: fitted columns are replaced by pc1, pc2, …
//
// Signs are scikit-learn's: the element of a direction with the greatest absolute value is
// positive. The eigenvectors are LAPACK's, so last bits may depend on the machine.
// Payload: u64 components; doubles mean[p], variance[k], share[k], direction[k][p].

#include "core/base/mem.h"
#include "core/ml/gather.h"
#include "core/ml/gram.h"
#include "core/ml/linalg.h"
#include "core/ml/shape.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { COMPONENTS, WHITEN, THREADS };

enum { MOST_FEATURES = 4096 };

static const fr_model_option OPTIONS[] = {
    [COMPONENTS] = {"components", "n_components", FR_MODEL_NUMBER, 0, 1e-9, 65535, NULL,
                    "how many; below 1: as many as explain that share of the variance"},
    [WHITEN] = {"whiten", NULL, FR_MODEL_BOOL, 0, 0, 1, NULL,
                "divides each by its standard deviation"},
    [THREADS] = {"threads", "n_jobs", FR_MODEL_INT, 0, -1, 4096, NULL,
                 "most threads; 0 and -1: what the task may use. The model is the same"},
};

// Eigenvalues ascending in w, vectors in the columns of a.
static int eigen(size_t p, double *a, double *w, fr_err *err)
{
    const fr_linalg *la;
    int rc = fr_linalg_open(&la, err);
    if (rc != FR_OK) {
        return rc;
    }
    int n = (int)p, info, lwork = 1 + 6 * n + 2 * n * n, liwork = 3 + 5 * n;
    double *work = fr_try_alloc((size_t)lwork * sizeof *work);
    int *iwork = fr_try_alloc((size_t)liwork * sizeof *iwork);
    if (work == NULL || iwork == NULL) {
        rc = fr_fail(err, FR_ENOMEM, "pca: no memory for %zu features", p);
    } else {
        la->dsyevd("V", "U", &n, a, &n, w, work, &lwork, iwork, &liwork, &info);
        rc = info == 0 ? FR_OK : fr_fail(err, FR_ENUMERIC, "pca: no eigenvectors found");
    }
    fr_free(work);
    fr_free(iwork);
    return rc;
}

static size_t how_many(double given, const double *w, size_t most, double whole)
{
    if (given == 0 || given >= 1) {
        return given == 0 ? most : FR_MIN((size_t)given, most);
    }
    double sum = 0;
    size_t k = 0;
    while (k < most && !(sum / whole > given)) {
        sum += w[k++];
    }
    return k;
}

// Turns eigenvectors (columns, ascending) into directions (rows, descending), signed.
static void put(const fr_fit *fit, const double *mean, const double *a, const double *w,
                fr_buf *payload)
{
    size_t p = fit->x->count, n = fit->x->rows, most = FR_MIN(n, p);
    double *value = fr_alloc((2 * p + 1) * sizeof *value), *share = value + p, whole = 0;
    for (size_t k = 0; k < p; k++) {
        value[k] = fmax(0, w[p - 1 - k]) / (double)(n - 1);
        whole += value[k];
    }
    for (size_t k = 0; k < p; k++) {
        share[k] = whole > 0 ? value[k] / whole : 0;
    }
    size_t count = how_many(fit->option[COMPONENTS], value, most, whole);
    fr_buf_put_u64(payload, count);
    fr_buf_put(payload, mean, p * sizeof *mean);
    fr_buf_put(payload, value, count * sizeof *value);
    fr_buf_put(payload, share, count * sizeof *share);
    for (size_t k = 0; k < count; k++) {
        const double *v = a + (p - 1 - k) * p;
        size_t most_at = 0;
        for (size_t j = 1; j < p; j++) {
            most_at = fabs(v[j]) > fabs(v[most_at]) ? j : most_at;
        }
        for (size_t j = 0; j < p; j++) {
            double d = v[most_at] < 0 ? -v[j] : v[j];
            fr_buf_put(payload, &d, sizeof d);
        }
    }
    fr_free(value);
}

static int pca_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    size_t p = fit->x->count, n = fit->x->rows;
    if (n < 2 || p > MOST_FEATURES) {
        return fr_fail(err, n < 2 ? FR_EINVAL : FR_ELIMIT,
                       "pca takes two rows or more and at most %d features, got %zu and "
                       "%zu",
                       MOST_FEATURES, n, p);
    }
    if (fit->option[COMPONENTS] > (double)FR_MIN(n, p)) {
        return fr_fail(err, FR_EINVAL, "pca: %zu rows of %zu features have no %g components",
                       n, p, fit->option[COMPONENTS]);
    }
    // The lower triangle by rows is the upper one of LAPACK's columns.
    double *a = fr_try_alloc((p * p + 2 * p) * sizeof *a), *mean = a + p * p + p;
    if (a == NULL) {
        return fr_fail(err, FR_ENOMEM, "pca: no memory for %zu features", p);
    }
    int rc = fr_gram_run(fit->x, NULL, true, mean, a, "pca", err);
    rc = rc == FR_OK ? eigen(p, a, a + p * p, err) : rc;
    if (rc == FR_OK) {
        put(fit, mean, a, a + p * p, payload);
    }
    fr_free(a);
    return rc;
}

static int pca_open(const fr_model *m, void **state, fr_err *err)
{
    *state = NULL;
    size_t p = m->features, words = m->payload_size / sizeof(double);
    fr_reader in = fr_reader_of(m->payload, m->payload_size);
    uint64_t k = fr_read_u64(&in);
    const double *word = (const double *)(const void *)m->payload;
    bool fits = !in.failed && m->payload_size % sizeof *word == 0 && k > 0 && k <= p &&
                words == 1 + p + (size_t)k * (2 + p);
    for (size_t i = 1; fits && i < words; i++) {
        fits = isfinite(word[i]);
    }
    if (!fits) {
        return fr_fail(err, FR_ECORRUPT, "the components do not fit the features");
    }
    fr_pca *s = fr_zalloc(sizeof *s);
    *s = (fr_pca){(size_t)k, p, word + 1, word + 1 + p, word + 1 + p + k,
                  word + 1 + p + 2 * k};
    *state = s;
    return FR_OK;
}

static void project(const fr_pca *s, const fr_columns *x, size_t k, bool whiten,
                    double *out)
{
    memset(out, 0, x->rows * sizeof *out);
    double scale = whiten && s->variance[k] > 0 ? 1 / sqrt(s->variance[k]) : 1;
    for (size_t j = 0; j < s->features; j++) {
        double by = s->direction[k * s->features + j] * scale;
        const double *v = x->column[j];
        for (size_t i = 0; i < x->rows; i++) {
            out[i] += (v[i] - s->mean[j]) * by;
        }
    }
}

static bool is_fitted(const fr_model *m, const char *name)
{
    for (size_t f = 0; f < m->features; f++) {
        if (strcmp(m->feature[f], name) == 0) {
            return true;
        }
    }
    return false;
}

static int pca_transform(const fr_model *m, const fr_frame *x, fr_frame **out, fr_err *err)
{
    const fr_pca *s = m->state;
    fr_gathered g;
    int rc = fr_gather(x, (const char *const *)m->feature, m->features, false, &g, err);
    if (rc != FR_OK) {
        return rc;
    }
    size_t most = x->columns + s->components, count = 0;
    const char **name = fr_zalloc((most + 1) * sizeof *name);
    fr_array **column = fr_zalloc((most + 1) * sizeof *column);
    char (*label)[32] = fr_zalloc((s->components + 1) * sizeof *label);
    for (size_t c = 0; c < x->columns; c++) {
        if (!is_fitted(m, x->names[c])) {
            name[count] = x->names[c];
            column[count++] = fr_array_ref(x->cols[c]);
        }
    }
    for (size_t k = 0; k < s->components && rc == FR_OK; k++) {
        (void)snprintf(label[k], sizeof label[k], "pc%zu", k + 1);
        name[count] = label[k];
        rc = fr_array_new(fr_type_of(FR_FLOAT64), x->rows, 0, &column[count], err);
        if (rc == FR_OK) {
            project(s, &g.x, k, m->option[WHITEN] != 0,
                    (double *)(void *)column[count]->values->data);
            count++;
        }
    }
    rc = rc == FR_OK ? fr_frame_new(count, name, column, out, err) : rc;
    for (size_t c = 0; c < count; c++) {
        fr_array_unref(column[c]);
    }
    fr_free(label);
    fr_free(name);
    fr_free(column);
    fr_gathered_fini(&g);
    return rc;
}

const fr_pca *fr_pca_of(const fr_model *m)
{
    return m->ops == &fr_pca_ops ? m->state : NULL;
}

const fr_model_ops fr_pca_ops = {
    .name = "pca",
    .title = "principal components",
    .version = 1,
    .alone = true,
    .options = OPTIONS,
    .option_count = FR_COUNT(OPTIONS),
    .fit = pca_fit,
    .open = pca_open,
    .close = fr_free,
    .transform = pca_transform,
};
