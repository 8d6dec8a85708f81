#include "core/ml/forecaster.h"

#include "core/base/mem.h"
#include "core/base/nearest.h"
#include "core/ml/forecaster_file.h"
#include "core/ml/special.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void forecaster_destroy(fr_object *o)
{
    fr_forecaster *f = (fr_forecaster *)o;
    if (f->model != NULL) {
        f->ops->free(f->model);
    }
    for (size_t i = 0; i < f->exogs && f->exog != NULL; i++) {
        fr_free(f->exog[i]);
    }
    fr_free(f->exog);
    fr_free(f->title);
    fr_free(f->target);
    fr_free(f->time);
    fr_free(f);
}

static fr_hash forecaster_hash(const fr_object *o)
{
    return ((const fr_forecaster *)o)->hash;
}

static size_t forecaster_size(const fr_object *o)
{
    const fr_forecaster *f = (const fr_forecaster *)o;
    return sizeof *f + f->ops->size(f->model);
}

static int forecaster_save(const fr_object *o, const char *path, fr_err *err)
{
    return fr_forecaster_write((const fr_forecaster *)o, path, err);
}

static int forecaster_load(const char *path, fr_object **out, fr_err *err)
{
    fr_forecaster *f;
    int rc = fr_forecaster_load(path, &f, err);
    *out = (fr_object *)f;
    return rc;
}

// Kinds of models: append only.
static const fr_series_ops *const kinds[] = {&fr_series_arima, &fr_series_ets,
                                             &fr_series_theta, &fr_series_mstl};

const fr_series_ops *fr_forecaster_kind(const char *name, int tag)
{
    for (size_t i = 0; i < FR_COUNT(kinds); i++) {
        if (name != NULL ? strcmp(kinds[i]->name, name) == 0 : kinds[i]->tag == tag) {
            return kinds[i];
        }
    }
    return NULL;
}

int fr_series_alone(const char *name, const fr_series_data *data, fr_err *err)
{
    return data->exogs == 0
               ? FR_OK
               : fr_fail(err, FR_EINVAL,
                         "%s takes no regressors, got `%s`: use ts.arima with exog", name,
                         data->exog_names[0]);
}

const fr_object_ops fr_forecaster_ops = {
    .name = "forecaster",
    .kind = FR_KIND_FORECASTER,
    .destroy = forecaster_destroy,
    .hash = forecaster_hash,
    .size = forecaster_size,
    .save = forecaster_save,
    .load = forecaster_load,
};

fr_forecaster *fr_forecaster_new(void)
{
    fr_forecaster *f = fr_zalloc(sizeof *f);
    fr_object_init(&f->object, &fr_forecaster_ops);
    return f;
}

// --- fitting ---

// The columns of one fit on the grid of times: gaps are NaN in y; regressors are never
// looked at where y is missing, so they are 0 there.
typedef struct grid {
    int64_t rows;
    double *y, **exog, *memory;
    int64_t *at; // grid row of each row, when there are times
} grid;

static void grid_fini(grid *g)
{
    fr_free(g->memory);
    fr_free(g->exog);
    fr_free(g->at);
}

static int spread(const grid *g, const fr_array *a, const char *name, bool regressor,
                  double *work, double *to, fr_err *err)
{
    int rc = fr_array_to_f64(a, work, err);
    if (rc != FR_OK) {
        return fr_wrap(err, rc, "column `%s`", name);
    }
    for (int64_t i = 0; i < g->rows; i++) {
        to[i] = regressor ? 0 : (double)NAN;
    }
    for (int64_t i = 0; i < a->length; i++) {
        if (regressor && !isfinite(work[i])) {
            return fr_fail(
                err, FR_EINVAL,
                "column `%s` is %s in row %lld: a regressor needs every value; use "
                "df:fill first",
                name, fr_array_has(a, i) ? "not finite" : "null", (long long)i + 1);
        }
        if (!regressor && isinf(work[i])) {
            return fr_fail(err, FR_EINVAL, "column `%s` is infinite in row %lld", name,
                           (long long)i + 1);
        }
        to[g->at == NULL ? i : g->at[i]] = work[i];
    }
    return FR_OK;
}

static int grid_init(grid *g, const fr_forecaster_data *d, fr_spacing *spacing,
                     fr_err *err)
{
    int64_t n = d->y->length;
    *g = (grid){.rows = n};
    if (d->time != NULL) {
        g->at = fr_try_alloc((size_t)n * sizeof *g->at + 1);
        if (g->at == NULL) {
            return fr_fail(err, FR_ENOMEM, "no memory for %lld rows", (long long)n);
        }
        int rc = fr_spacing_find(d->time, spacing, g->at, &g->rows, err);
        if (rc != FR_OK) {
            return fr_wrap(err, rc, "column `%s`", d->time_name);
        }
    }
    size_t rows = (size_t)g->rows;
    g->memory = fr_try_alloc((rows * (d->exogs + 1) + (size_t)n + 1) * sizeof *g->memory);
    g->exog = fr_zalloc((d->exogs + 1) * sizeof *g->exog);
    if (g->memory == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu columns of %zu rows",
                       d->exogs + 1, rows);
    }
    double *work = g->memory + rows * (d->exogs + 1);
    g->y = g->memory;
    const char *name = d->target[0] == 0 ? "series" : d->target;
    int rc = spread(g, d->y, name, false, work, g->y, err);
    for (size_t j = 0; j < d->exogs && rc == FR_OK; j++) {
        g->exog[j] = g->memory + rows * (j + 1);
        rc = spread(g, d->exog[j], d->exog_names[j], true, work, g->exog[j], err);
    }
    return rc;
}

static fr_hash training_hash(const fr_forecaster_data *d)
{
    fr_hash h = fr_hash_pair(fr_hash_str(d->target), fr_array_hash(d->y));
    if (d->time != NULL) {
        h = fr_hash_pair(h,
                         fr_hash_pair(fr_hash_str(d->time_name), fr_array_hash(d->time)));
    }
    for (size_t j = 0; j < d->exogs; j++) {
        h = fr_hash_pair(
            h, fr_hash_pair(fr_hash_str(d->exog_names[j]), fr_array_hash(d->exog[j])));
    }
    return h;
}

int fr_forecaster_fit(const fr_series_ops *ops, const void *spec, const char *title,
                      const fr_forecaster_data *d, fr_forecaster **out, fr_err *err)
{
    *out = NULL;
    fr_forecaster *f = fr_forecaster_new();
    f->ops = ops;
    f->title = fr_strdup(title);
    f->target = fr_strdup(d->target);
    f->time = fr_strdup(d->time == NULL ? "" : d->time_name);
    f->exogs = d->exogs;
    f->exog = fr_zalloc((d->exogs + 1) * sizeof *f->exog);
    for (size_t j = 0; j < d->exogs; j++) {
        f->exog[j] = fr_strdup(d->exog_names[j]);
    }
    (void)snprintf(f->version, sizeof f->version, "%s", FLOWRUN_VERSION);
    grid g;
    int rc = grid_init(&g, d, &f->spacing, err);
    if (rc == FR_OK) {
        fr_series_data data = {g.y, g.rows, d->exogs, (const double *const *)g.exog,
                              d->exog_names};
        rc = ops->fit(spec, &data, &f->model, err);
    }
    grid_fini(&g);
    if (rc == FR_OK) {
        ops->facts(f->model, &f->facts);
        f->training = training_hash(d);
        rc = fr_forecaster_seal(f, err);
    }
    if (rc != FR_OK) {
        fr_forecaster_unref(f);
        return rc;
    }
    *out = f;
    return FR_OK;
}

// --- forecasting ---

static int check_future_times(const fr_forecaster *f, const fr_frame *x, fr_err *err)
{
    const fr_array *have = x->cols[fr_frame_find(x, f->time)];
    fr_array *want;
    if (have->type.kind != f->spacing.type.kind ||
        have->type.unit != f->spacing.type.unit) {
        return FR_OK; // another resolution: nothing to compare
    }
    int rc = fr_spacing_times(&f->spacing, f->facts.n, x->rows, &want, err);
    for (int64_t i = 0; i < x->rows && rc == FR_OK; i++) {
        if (!fr_array_has(have, i) || fr_array_int(have, i) != fr_array_int(want, i)) {
            rc = fr_fail(
                err, FR_EINVAL,
                "exog: `%s` in row %lld is not the time of step %lld: the first step "
                "is the one after the last row fitted on",
                f->time, (long long)i + 1, (long long)i + 1);
        }
    }
    fr_array_unref(want);
    return rc;
}

static int gather_exog(const fr_forecaster *f, int64_t steps, const fr_frame *x,
                       double **out, fr_err *err)
{
    if (f->exogs == 0) {
        return FR_OK;
    }
    if (x == NULL) {
        return fr_fail(
            err, FR_EINVAL,
            "the model has %zu regressor%s (`%s`%s): give their values for the steps "
            "to come, forecast{steps = %lld, exog = frame}",
            f->exogs, f->exogs == 1 ? "" : "s", f->exog[0], f->exogs > 1 ? ", …" : "",
            (long long)steps);
    }
    if (x->rows != steps) {
        return fr_fail(err, FR_EINVAL, "exog has %lld rows for %lld steps",
                       (long long)x->rows, (long long)steps);
    }
    for (size_t j = 0; j < f->exogs; j++) {
        const fr_array *a;
        int rc = fr_frame_column(x, f->exog[j], &a, err);
        rc = rc == FR_OK ? fr_array_to_f64(a, out[j], err) : rc;
        if (rc != FR_OK) {
            return fr_wrap(err, rc, "exog");
        }
    }
    bool timed = f->time[0] != 0 && fr_frame_find(x, f->time) >= 0;
    return timed ? check_future_times(f, x, err) : FR_OK;
}

// The first column of a result: times, or steps from `from` + 1.
static int index_column(const fr_forecaster *f, int64_t from, int64_t n, int64_t label,
                        fr_array **out, fr_err *err)
{
    if (f->time[0] != 0) {
        return fr_spacing_times(&f->spacing, from, n, out, err);
    }
    int rc = fr_array_new(fr_type_of(FR_INT64), n, 0, out, err);
    for (int64_t i = 0; i < n && rc == FR_OK; i++) {
        ((int64_t *)(void *)(*out)->values->data)[i] = label + i;
    }
    return rc;
}

typedef struct table {
    size_t count;
    fr_array **col;
    char (*name)[48];
} table;

static int table_double(table *t, const char *name, double level, int64_t n,
                        double **values, fr_err *err)
{
    if (level > 0) {
        (void)snprintf(t->name[t->count], sizeof t->name[0], "%s%.10g", name, level);
    } else {
        (void)snprintf(t->name[t->count], sizeof t->name[0], "%s", name);
    }
    int rc = fr_array_new(fr_type_of(FR_FLOAT64), n, 0, &t->col[t->count], err);
    if (rc == FR_OK) {
        *values = (double *)(void *)t->col[t->count++]->values->data;
    }
    return rc;
}

static int table_frame(table *t, const char *first, fr_frame **out, fr_err *err)
{
    const char **names = fr_alloc((t->count + 1) * sizeof *names);
    for (size_t i = 0; i < t->count; i++) {
        names[i] = i == 0 ? first : t->name[i];
    }
    int rc = fr_frame_new(t->count, names, t->col, out, err);
    fr_free(names);
    return rc;
}

static void table_fini(table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        fr_array_unref(t->col[i]);
    }
    fr_free(t->col);
    fr_free(t->name);
}

// Bounds of one level, of a normal distribution.
static void normal_bounds(double level, int64_t steps, const double *mean,
                          const double *sd, double *lo, double *hi)
{
    double z = fr_special_normal_quantile(0.5 + level / 200);
    for (int64_t i = 0; i < steps; i++) {
        lo[i] = mean[i] - z * sd[i];
        hi[i] = mean[i] + z * sd[i];
    }
}

// The models' own quantiles at the bounds of all levels: lo of the first, hi of the first
// … FR_EUNSUPPORTED: there are none.
static int own_bounds(const fr_forecaster *f, int64_t steps, const double *levels,
                      size_t count, double **out, fr_err *err)
{
    *out = NULL;
    if (f->ops->quantiles == NULL || count == 0) {
        return FR_EUNSUPPORTED;
    }
    double *p = fr_alloc(2 * count * sizeof *p);
    double *q = fr_try_alloc(2 * count * (size_t)steps * sizeof *q);
    int rc = q == NULL ? fr_fail(err, FR_ENOMEM, "no memory for %lld steps",
                                 (long long)steps)
                       : FR_OK;
    for (size_t l = 0; l < count; l++) {
        p[2 * l] = 0.5 - levels[l] / 200;
        p[2 * l + 1] = 0.5 + levels[l] / 200;
    }
    rc = rc == FR_OK ? f->ops->quantiles(f->model, steps, p, 2 * count, q, err) : rc;
    fr_free(p);
    if (rc != FR_OK) {
        fr_free(q);
        return rc;
    }
    *out = q;
    return FR_OK;
}

static int fill_bounds(const fr_forecaster *f, int64_t steps, const double *mean,
                       const double *sd, const double *levels, size_t count, table *t,
                       fr_err *err)
{
    double *own, *lo, *hi;
    int rc = own_bounds(f, steps, levels, count, &own, err);
    if (rc != FR_OK && rc != FR_EUNSUPPORTED) {
        return rc;
    }
    rc = FR_OK;
    for (size_t l = 0; l < count && rc == FR_OK; l++) {
        rc = table_double(t, "lo", levels[l], steps, &lo, err);
        rc = rc == FR_OK ? table_double(t, "hi", levels[l], steps, &hi, err) : rc;
        if (rc == FR_OK && own == NULL) {
            normal_bounds(levels[l], steps, mean, sd, lo, hi);
        } else if (rc == FR_OK) {
            size_t bytes = (size_t)steps * sizeof *lo;
            memcpy(lo, own + 2 * (int64_t)l * steps, bytes);
            memcpy(hi, own + (2 * (int64_t)l + 1) * steps, bytes);
        }
    }
    fr_free(own);
    return rc;
}

static int fill_forecast(const fr_forecaster *f, int64_t steps, const double *const *exog,
                         const double *levels, size_t level_count, table *t, fr_err *err)
{
    double *mean = NULL, *sd = fr_try_alloc((size_t)steps * sizeof *sd + 1);
    int rc = sd == NULL
                 ? fr_fail(err, FR_ENOMEM, "no memory for %lld steps", (long long)steps)
                 : FR_OK;
    rc = rc == FR_OK ? index_column(f, f->facts.n, steps, 1, &t->col[0], err) : rc;
    t->count = t->col[0] != NULL;
    rc = rc == FR_OK ? table_double(t, "mean", 0, steps, &mean, err) : rc;
    if (rc == FR_OK) {
        double *wanted = level_count > 0 ? sd : NULL;
        rc = f->ops->forecast(f->model, steps, exog, mean, wanted, err);
    }
    if (rc == FR_OK) {
        rc = fill_bounds(f, steps, mean, sd, levels, level_count, t, err);
    }
    fr_free(sd);
    return rc;
}

int fr_forecaster_forecast(const fr_forecaster *f, int64_t steps, const fr_frame *exog,
                           const double *levels, size_t level_count, fr_frame **out,
                           fr_err *err)
{
    *out = NULL;
    if (steps < 1 || steps > (1 << 24)) {
        return fr_fail(err, FR_EINVAL, "forecast: steps must be 1 to %d, got %lld",
                       1 << 24, (long long)steps);
    }
    for (size_t l = 0; l < level_count; l++) {
        if (!(levels[l] > 0 && levels[l] < 100)) {
            return fr_fail(err, FR_EINVAL,
                           "forecast: a level is a percentage between 0 and 100, got %g",
                           levels[l]);
        }
    }
    size_t n = (size_t)steps;
    double *memory = fr_try_alloc(f->exogs * n * sizeof *memory + 1);
    double **columns = fr_zalloc((f->exogs + 1) * sizeof *columns);
    size_t most = 2 + 2 * level_count;
    table t = {0, fr_zalloc(most * sizeof *t.col), fr_zalloc(most * sizeof *t.name)};
    int rc =
        memory == NULL ? fr_fail(err, FR_ENOMEM, "no memory for %zu steps", n) : FR_OK;
    for (size_t j = 0; j < f->exogs && memory != NULL; j++) {
        columns[j] = memory + j * n;
    }
    rc = rc == FR_OK ? gather_exog(f, steps, exog, columns, err) : rc;
    if (rc == FR_OK) {
        rc = fill_forecast(f, steps, (const double *const *)columns, levels, level_count,
                           &t, err);
    }
    rc = rc == FR_OK ? table_frame(&t, f->time[0] != 0 ? f->time : "step", out, err) : rc;
    table_fini(&t);
    fr_free(columns);
    fr_free(memory);
    return rc;
}

int fr_forecaster_residuals(const fr_forecaster *f, fr_frame **out, fr_err *err)
{
    *out = NULL;
    int64_t n = f->facts.n;
    table t = {0, fr_zalloc(2 * sizeof *t.col), fr_zalloc(2 * sizeof *t.name)};
    int rc = index_column(f, 0, n, 1, &t.col[0], err);
    t.count = t.col[0] != NULL;
    fr_builder *b = fr_builder_new(fr_type_of(FR_FLOAT64), n);
    for (int64_t i = 0; i < n && rc == FR_OK; i++) {
        double e = f->facts.residuals[i];
        rc = isnan(e) ? fr_builder_null(b, err) : fr_builder_float(b, e, err);
    }
    rc = rc == FR_OK ? fr_builder_finish(b, &t.col[1], err) : rc;
    t.count += rc == FR_OK;
    (void)snprintf(t.name[1], sizeof t.name[1], "residual");
    rc = rc == FR_OK ? table_frame(&t, f->time[0] != 0 ? f->time : "step", out, err) : rc;
    fr_builder_free(b);
    table_fini(&t);
    return rc;
}
