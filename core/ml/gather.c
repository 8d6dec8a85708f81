#include "core/ml/gather.h"

#include "core/base/mem.h"

#include <math.h>

void fr_gathered_fini(fr_gathered *g)
{
    for (size_t f = 0; g->owned != NULL && f < g->x.count; f++) {
        fr_free(g->owned[f]);
    }
    fr_free(g->owned);
    fr_free(g->column);
}

static int not_a_feature(const fr_array *a, const char *name, fr_err *err)
{
    char type[64];
    const char *hint = "use hour(when), weekday(when), … in df:with, or leave it out";
    if (a->type.kind == FR_UTF8 || a->type.kind == FR_CATEGORY) {
        hint = "code it with ml.ordinal{…} or ml.one_hot{…}, or leave it out with "
               "features = {…}";
    }
    return fr_fail(err, FR_ETYPE, "column `%s` is %s, and a feature must be a number: %s",
                   name, fr_type_name(&a->type, type), hint);
}

static bool any_missing(const double *v, size_t n)
{
    size_t missing = 0;
    for (size_t i = 0; i < n; i++) {
        missing += v[i] != v[i];
    }
    return missing > 0;
}

int fr_gather_check(const fr_array *a, const double *v, const char *name, fr_err *err)
{
    size_t n = (size_t)a->length, i = 0;
    double sum[8] = {0}; // NaN as soon as one is NaN or infinite
    for (; i + 8 <= n; i += 8) {
        for (size_t l = 0; l < 8; l++) {
            sum[l] += v[i + l] - v[i + l];
        }
    }
    for (; i < n; i++) {
        sum[0] += v[i] - v[i];
    }
    i = 0;
    if (sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7] == 0) {
        return FR_OK;
    }
    while (i < n && !isnan(v[i])) {
        i++;
    }
    if (i == n) {
        return FR_OK;
    }
    return fr_fail(err, FR_EINVAL,
                   "column `%s` is %s in row %zu: use df:fill or df:dropna first", name,
                   fr_array_has(a, (int64_t)i) ? "NaN" : "null", i + 1);
}

static int gather_one(fr_gathered *g, size_t f, const fr_array *a, const char *name,
                      bool missing, fr_err *err)
{
    bool coded = a->type.kind == FR_CATEGORY && a->type.ordered;
    if (!fr_kind_number(a->type.kind) && a->type.kind != FR_BOOL && !coded) {
        return not_a_feature(a, name, err);
    }
    if (a->type.kind == FR_FLOAT64 && a->nulls == 0) {
        g->column[f] = fr_array_f64(a);
    } else {
        g->owned[f] = fr_try_alloc(((size_t)a->length + 1) * sizeof(double));
        if (g->owned[f] == NULL) {
            return fr_fail(err, FR_ENOMEM, "no memory for %lld values",
                           (long long)a->length);
        }
        int rc = fr_array_to_f64(a, g->owned[f], err);
        if (rc != FR_OK) {
            return fr_wrap(err, rc, "column `%s`", name);
        }
        g->column[f] = g->owned[f];
    }
    if (missing) {
        g->x.missing |= any_missing(g->column[f], (size_t)a->length);
        return FR_OK;
    }
    return fr_gather_check(a, g->column[f], name, err);
}

int fr_gather(const fr_frame *x, const char *const *feature, size_t n, bool missing,
              fr_gathered *g, fr_err *err)
{
    *g = (fr_gathered){.column = fr_zalloc((n + 1) * sizeof *g->column),
                    .owned = fr_zalloc((n + 1) * sizeof *g->owned)};
    g->x = (fr_columns){(size_t)x->rows, n, g->column, feature, false};
    int rc = FR_OK;
    for (size_t f = 0; f < n && rc == FR_OK; f++) {
        const fr_array *a;
        rc = fr_frame_column(x, feature[f], &a, err);
        rc = rc != FR_OK ? rc : gather_one(g, f, a, feature[f], missing, err);
    }
    if (rc != FR_OK) {
        fr_gathered_fini(g);
    }
    return rc;
}
