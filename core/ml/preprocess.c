#include "core/ml/preprocess.h"

#include "core/base/mem.h"
#include "core/base/nearest.h"
#include "core/data/compute.h"
#include "core/data/factor.h"
#include "core/ml/target.h"

#include <math.h>
#include <string.h>

enum { TEXT_MAX = 1 << 28 };

// ---- scaler. Payload: per feature double mean, scale.

enum { WITH_MEAN, WITH_STD };

static const fr_model_option SCALER_OPTIONS[] = {
    [WITH_MEAN] = {"mean", "with_mean", FR_MODEL_BOOL, 1, 0, 1, NULL,
                   "takes the mean away"},
    [WITH_STD] = {"std", "with_std", FR_MODEL_BOOL, 1, 0, 1, NULL,
                  "divides by the standard deviation"},
};

// Mean and deviation of the values that are there, the mean first, so that nothing
// cancels.
static void moments(const double *v, size_t n, double *mean, double *deviation)
{
    double sum = 0, squares = 0, rest = 0, count = 0;
    for (size_t i = 0; i < n; i++) {
        bool there = !isnan(v[i]);
        sum += there ? v[i] : 0;
        count += there;
    }
    *mean = count > 0 ? sum / count : 0;
    for (size_t i = 0; i < n; i++) {
        double d = isnan(v[i]) ? 0 : v[i] - *mean;
        squares += d * d;
        rest += d;
    }
    *deviation = count > 0 ? sqrt((squares - rest * rest / count) / count) : 0;
    *mean += count > 0 ? rest / count : 0;
}

static int numbers_of(const fr_array *a, const char *name, double **out, fr_err *err)
{
    *out = fr_try_alloc(((size_t)a->length + 1) * sizeof **out);
    int rc = *out == NULL ? fr_fail(err, FR_ENOMEM, "no memory for %lld values",
                                    (long long)a->length)
                          : fr_array_to_f64(a, *out, err);
    return rc == FR_ETYPE ? fr_wrap(err, rc, "scaler: column `%s`", name) : rc;
}

int fr_scaler_fit(const double *option, const fr_frame *x, fr_model **out, fr_err *err)
{
    *out = NULL;
    fr_buf payload;
    fr_buf_init(&payload, TEXT_MAX);
    int rc = FR_OK;
    for (size_t f = 0; f < x->columns && rc == FR_OK; f++) {
        double *v, m[2];
        rc = numbers_of(x->cols[f], x->names[f], &v, err);
        if (rc == FR_OK) {
            moments(v, (size_t)x->rows, &m[0], &m[1]);
            m[0] = option[WITH_MEAN] != 0 ? m[0] : 0;
            m[1] = option[WITH_STD] != 0 && m[1] > 0 ? m[1] : 1;
            fr_buf_put(&payload, m, sizeof m);
        }
        fr_free(v);
    }
    rc = rc != FR_OK
             ? rc
             : fr_model_make(&fr_scaler_ops, option, (const char *const *)x->names,
                             x->columns, x->rows, &payload, out, err);
    fr_buf_fini(&payload);
    return rc;
}

static int scaler_open(const fr_model *m, void **state, fr_err *err)
{
    *state = NULL;
    return m->payload_size == m->features * 2 * sizeof(double)
               ? FR_OK
               : fr_fail(err, FR_ECORRUPT, "the scaler has %zu bytes for %zu columns",
                         m->payload_size, m->features);
}

static int scale(const fr_array *a, const char *name, const double *m, fr_array **out,
                 fr_err *err)
{
    double *v;
    int rc = numbers_of(a, name, &v, err);
    fr_builder *b =
        rc == FR_OK ? fr_builder_new(fr_type_of(FR_FLOAT64), a->length) : NULL;
    for (int64_t i = 0; i < a->length && rc == FR_OK; i++) {
        rc = fr_array_has(a, i) ? fr_builder_float(b, (v[i] - m[0]) / m[1], err)
                                : fr_builder_null(b, err);
    }
    rc = rc != FR_OK ? rc : fr_builder_finish(b, out, err);
    fr_builder_free(b);
    fr_free(v);
    return rc;
}

// The place of a frame's column among the model's; -1 when it is none of them.
static ptrdiff_t place_of(const fr_model *m, const char *name)
{
    for (size_t f = 0; f < m->features; f++) {
        if (strcmp(m->feature[f], name) == 0) {
            return (ptrdiff_t)f;
        }
    }
    return -1;
}

// Columns in the making: names and arrays with one reference each.
typedef struct making {
    const char **name;
    fr_array **column;
    size_t count;
} making;

static void making_init(making *k, size_t most)
{
    k->name = fr_zalloc((most + 1) * sizeof *k->name);
    k->column = fr_zalloc((most + 1) * sizeof *k->column);
    k->count = 0;
}

static int making_finish(making *k, int rc, fr_frame **out, fr_err *err)
{
    rc = rc != FR_OK ? rc : fr_frame_new(k->count, k->name, k->column, out, err);
    for (size_t i = 0; i < k->count; i++) {
        fr_array_unref(k->column[i]);
    }
    fr_free(k->name);
    fr_free(k->column);
    return rc;
}

// What becomes of a column by the numbers that the model holds of it.
typedef int (*column_fn)(const fr_array *a, const char *name, const double *number, fr_array **out,
                         fr_err *err);

// The columns that the model knows go through fn with their `each` numbers, others stay.
static int transform(const fr_model *m, const fr_frame *x, size_t each, column_fn fn,
                     fr_frame **out, fr_err *err)
{
    making k;
    making_init(&k, x->columns);
    int rc = FR_OK;
    for (size_t c = 0; c < x->columns && rc == FR_OK; c++) {
        ptrdiff_t f = place_of(m, x->names[c]);
        k.name[c] = x->names[c];
        if (f < 0) {
            k.column[c] = fr_array_ref(x->cols[c]);
        } else {
            double number[2];
            size_t size = each * sizeof *number;
            memcpy(number, m->payload + (size_t)f * size, size);
            rc = fn(x->cols[c], x->names[c], number, &k.column[c], err);
        }
        k.count += rc == FR_OK;
    }
    return making_finish(&k, rc, out, err);
}

static int scaler_transform(const fr_model *m, const fr_frame *x, fr_frame **out,
                            fr_err *err)
{
    return transform(m, x, 2, scale, out, err);
}

// ---- (x - a) / b with numbers that were computed elsewhere, and gaps that are filled.

int fr_numbers_new(const fr_model_ops *ops, const char *const *column, size_t columns,
                   const double *number, size_t count, int64_t rows, fr_model **out,
                   fr_err *err)
{
    *out = NULL;
    fr_buf payload;
    fr_buf_init(&payload, TEXT_MAX);
    fr_buf_put(&payload, number, count * sizeof *number);
    double option[FR_MODEL_OPTIONS] = {0};
    int rc = fr_model_make(ops, option, column, columns, rows, &payload, out, err);
    fr_buf_fini(&payload);
    return rc;
}

static int imputer_open(const fr_model *m, void **state, fr_err *err)
{
    *state = NULL;
    return m->payload_size == m->features * sizeof(double)
               ? FR_OK
               : fr_fail(err, FR_ECORRUPT, "the imputer has %zu bytes for %zu columns",
                         m->payload_size, m->features);
}

static int fill(const fr_array *a, const char *name, const double *with, fr_array **out,
                fr_err *err)
{
    double *v;
    int rc = numbers_of(a, name, &v, err);
    rc = rc != FR_OK ? rc : fr_array_new(fr_type_of(FR_FLOAT64), a->length, 0, out, err);
    double *to = rc == FR_OK ? (double *)(void *)(*out)->values->data : NULL;
    for (int64_t i = 0; i < a->length && rc == FR_OK; i++) {
        to[i] = isnan(v[i]) ? *with : v[i];
    }
    fr_free(v);
    return rc;
}

static int imputer_transform(const fr_model *m, const fr_frame *x, fr_frame **out,
                             fr_err *err)
{
    return transform(m, x, 1, fill, out, err);
}

// ---- coders. Payload: per feature varint n, n times varint length and text.

enum { UNKNOWN };
enum { UNKNOWN_ERROR, UNKNOWN_NULL };

static const fr_model_option CODER_OPTIONS[] = {
    [UNKNOWN] =
        {"unknown", "handle_unknown", FR_MODEL_CHOICE, UNKNOWN_ERROR, 0, 1,
         "error ignore",
         "a value that is no category: an error, or null (one_hot: 0 everywhere)"},
};

typedef struct coder {
    char ***category; // [feature][k]
    size_t *count;    // [feature]
    size_t features;
} coder;

static void coder_close(void *state)
{
    coder *c = state;
    for (size_t f = 0; f < c->features && c->category != NULL; f++) {
        for (size_t k = 0; k < c->count[f] && c->category[f] != NULL; k++) {
            fr_free(c->category[f][k]);
        }
        fr_free(c->category[f]);
    }
    fr_free(c->category);
    fr_free(c->count);
    fr_free(c);
}

static bool read_categories(fr_reader *r, coder *c, size_t f)
{
    uint64_t n = fr_read_varint(r);
    if (r->failed || n > (uint64_t)(r->end - r->at)) {
        return false;
    }
    c->category[f] = fr_zalloc((n + 1) * sizeof **c->category);
    for (; c->count[f] < n; c->count[f]++) {
        uint64_t size = fr_read_varint(r);
        const uint8_t *text = size <= TEXT_MAX ? fr_read_bytes(r, (size_t)size) : NULL;
        if (text == NULL) {
            return false;
        }
        c->category[f][c->count[f]] = fr_strndup((const char *)text, (size_t)size);
    }
    return true;
}

static int coder_open(const fr_model *m, void **state, fr_err *err)
{
    coder *c = fr_zalloc(sizeof *c);
    c->category = fr_zalloc((m->features + 1) * sizeof *c->category);
    c->count = fr_zalloc((m->features + 1) * sizeof *c->count);
    c->features = m->features;
    fr_reader r = fr_reader_of(m->payload, m->payload_size);
    bool ok = true;
    for (size_t f = 0; f < m->features && ok; f++) {
        ok = read_categories(&r, c, f);
    }
    if (!ok || r.at != r.end) {
        coder_close(c);
        return fr_fail(err, FR_ECORRUPT, "its categories are cut");
    }
    *state = c;
    return FR_OK;
}

// The distinct values of an array in order, without nulls.
static int distinct(const fr_array *a, fr_array **out, fr_err *err)
{
    fr_factor f;
    int rc = fr_factor_init(&f, &a, 1, false, err);
    if (rc != FR_OK) {
        return rc;
    }
    rc = fr_factor_sort(&f, &a, 1, err);
    rc = rc != FR_OK ? rc
                     : fr_compute_take(a, fr_factor_first(&f), f.groups, false, out, err);
    fr_factor_fini(&f);
    return rc;
}

static int put_categories(const fr_array *a, const char *column, fr_buf *out, fr_err *err)
{
    if (a->nulls > 0 || a->length == 0) {
        return fr_fail(err, FR_EINVAL, "column `%s`: its categories are %s", column,
                       a->length == 0 ? "none" : "partly null");
    }
    fr_buf_put_varint(out, (uint64_t)a->length);
    fr_buf text;
    fr_buf_init(&text, TEXT_MAX);
    for (int64_t i = 0; i < a->length; i++) {
        fr_buf_clear(&text);
        fr_target_print(a, i, &text);
        fr_buf_put_varint(out, text.size);
        fr_buf_put(out, text.data, text.size);
    }
    fr_buf_fini(&text);
    return FR_OK;
}

int fr_coder_new(const fr_model_ops *ops, const double *option, const fr_frame *x,
                 const char *const *column, const fr_array *const *category, size_t n,
                 fr_model **out, fr_err *err)
{
    *out = NULL;
    fr_buf payload;
    fr_buf_init(&payload, TEXT_MAX);
    int rc = FR_OK;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        fr_array *learnt = NULL;
        const fr_array *a = category[i];
        if (a == NULL) {
            rc = fr_frame_column(x, column[i], &a, err);
            rc = rc != FR_OK ? rc : distinct(a, &learnt, err);
            a = learnt;
        }
        rc = rc != FR_OK ? rc : put_categories(a, column[i], &payload, err);
        fr_array_unref(learnt);
    }
    rc = rc != FR_OK ? rc
                     : fr_model_make(ops, option, column, n, x != NULL ? x->rows : 0,
                                     &payload, out, err);
    fr_buf_fini(&payload);
    return rc;
}

static int unknown_category(const coder *c, size_t f, int64_t row, const char *column,
                            const char *text, fr_err *err)
{
    const char *near =
        strlen(text) < 3
            ? NULL
            : fr_nearest(text, (const char *const *)c->category[f], c->count[f]);
    return fr_fail(
        err, FR_EINVAL,
        "column `%s` has '%s' in row %lld, which is none of its %zu categories%s%s%s",
        column, text, (long long)row + 1, c->count[f],
        near != NULL ? ": did you mean '" : "", near != NULL ? near : "",
        near != NULL ? "'?" : "");
}

// code[i]: the place of each row's value among the categories of feature f; -1 for nulls
// and, if they are ignored, unknown values.
static int code_column(const fr_model *m, size_t f, const fr_array *a, int32_t *code,
                       fr_err *err)
{
    const coder *c = m->state;
    fr_factor g;
    int rc = fr_factor_init(&g, &a, 1, false, err);
    if (rc != FR_OK) {
        return rc;
    }
    int32_t *place = fr_alloc(((size_t)g.groups + 1) * sizeof *place);
    fr_buf text;
    fr_buf_init(&text, TEXT_MAX);
    for (int64_t k = 0; k < g.groups && rc == FR_OK; k++) {
        int64_t row = fr_factor_first(&g)[k];
        fr_buf_clear(&text);
        fr_target_print(a, row, &text);
        place[k] = -1;
        for (size_t j = 0; j < c->count[f] && place[k] < 0; j++) {
            place[k] =
                strcmp(c->category[f][j], fr_buf_text(&text)) == 0 ? (int32_t)j : -1;
        }
        if (place[k] < 0 && m->option[UNKNOWN] == UNKNOWN_ERROR) {
            rc = unknown_category(c, f, row, m->feature[f], fr_buf_text(&text), err);
        }
    }
    for (int64_t i = 0; i < a->length && rc == FR_OK; i++) {
        uint32_t id = fr_factor_ids(&g)[i];
        code[i] = id == FR_FACTOR_NULL ? -1 : place[id];
    }
    fr_buf_fini(&text);
    fr_free(place);
    fr_factor_fini(&g);
    return rc;
}

static int ordinal_column(const int32_t *code, int64_t n, fr_array **out, fr_err *err)
{
    fr_builder *b = fr_builder_new(fr_type_of(FR_INT64), n);
    int rc = FR_OK;
    for (int64_t i = 0; i < n && rc == FR_OK; i++) {
        rc = code[i] < 0 ? fr_builder_null(b, err) : fr_builder_int(b, code[i], err);
    }
    rc = rc != FR_OK ? rc : fr_builder_finish(b, out, err);
    fr_builder_free(b);
    return rc;
}

static int one_hot_column(const int32_t *code, int32_t k, const fr_array *source,
                          fr_array **out, fr_err *err)
{
    fr_builder *b = fr_builder_new(fr_type_of(FR_INT64), source->length);
    int rc = FR_OK;
    for (int64_t i = 0; i < source->length && rc == FR_OK; i++) {
        rc = fr_array_has(source, i) ? fr_builder_int(b, code[i] == k, err)
                                     : fr_builder_null(b, err);
    }
    rc = rc != FR_OK ? rc : fr_builder_finish(b, out, err);
    fr_builder_free(b);
    return rc;
}

static int ordinal_transform(const fr_model *m, const fr_frame *x, fr_frame **out,
                             fr_err *err)
{
    making k;
    making_init(&k, x->columns);
    int32_t *code = fr_try_alloc(((size_t)x->rows + 1) * sizeof *code);
    int rc = code != NULL ? FR_OK : fr_fail(err, FR_ENOMEM, "no memory for codes");
    for (size_t c = 0; c < x->columns && rc == FR_OK; c++) {
        ptrdiff_t f = place_of(m, x->names[c]);
        k.name[c] = x->names[c];
        if (f < 0) {
            k.column[c] = fr_array_ref(x->cols[c]);
        } else {
            rc = code_column(m, (size_t)f, x->cols[c], code, err);
            rc = rc != FR_OK ? rc : ordinal_column(code, x->rows, &k.column[c], err);
        }
        k.count += rc == FR_OK;
    }
    fr_free(code);
    return making_finish(&k, rc, out, err);
}

static int add_one_hot(const fr_model *m, size_t f, const fr_array *a, int32_t *code,
                       making *k, fr_arena *names, fr_err *err)
{
    const coder *c = m->state;
    int rc = code_column(m, f, a, code, err);
    for (size_t j = 0; j < c->count[f] && rc == FR_OK; j++) {
        fr_buf name;
        fr_buf_init(&name, TEXT_MAX);
        fr_buf_printf(&name, "%s_%s", m->feature[f], c->category[f][j]);
        k->name[k->count] = fr_arena_strndup(names, fr_buf_text(&name), name.size);
        rc = one_hot_column(code, (int32_t)j, a, &k->column[k->count], err);
        k->count += rc == FR_OK;
        fr_buf_fini(&name);
    }
    return rc;
}

static int one_hot_transform(const fr_model *m, const fr_frame *x, fr_frame **out,
                             fr_err *err)
{
    const coder *c = m->state;
    size_t most = x->columns;
    for (size_t f = 0; f < c->features; f++) {
        most += c->count[f];
    }
    making k;
    making_init(&k, most);
    fr_arena names;
    fr_arena_init(&names);
    int32_t *code = fr_try_alloc(((size_t)x->rows + 1) * sizeof *code);
    int rc = code != NULL ? FR_OK : fr_fail(err, FR_ENOMEM, "no memory for codes");
    for (size_t i = 0; i < x->columns && rc == FR_OK; i++) {
        ptrdiff_t f = place_of(m, x->names[i]);
        if (f >= 0) {
            rc = add_one_hot(m, (size_t)f, x->cols[i], code, &k, &names, err);
            continue;
        }
        k.name[k.count] = x->names[i];
        k.column[k.count++] = fr_array_ref(x->cols[i]);
    }
    rc = making_finish(&k, rc, out, err);
    fr_free(code);
    fr_arena_fini(&names);
    return rc;
}

static void nothing(void *state) { (void)state; }

const fr_model_ops fr_scaler_ops = {
    .name = "scaler",
    .title = "scaler",
    .version = 1,
    .options = SCALER_OPTIONS,
    .option_count = FR_COUNT(SCALER_OPTIONS),
    .open = scaler_open,
    .close = nothing,
    .transform = scaler_transform,
};

const fr_model_ops fr_ordinal_ops = {
    .name = "ordinal",
    .title = "ordinal coder",
    .version = 1,
    .options = CODER_OPTIONS,
    .option_count = FR_COUNT(CODER_OPTIONS),
    .open = coder_open,
    .close = coder_close,
    .transform = ordinal_transform,
};

const fr_model_ops fr_one_hot_ops = {
    .name = "one_hot",
    .title = "one-hot coder",
    .version = 1,
    .options = CODER_OPTIONS,
    .option_count = FR_COUNT(CODER_OPTIONS),
    .open = coder_open,
    .close = coder_close,
    .transform = one_hot_transform,
};

const fr_model_ops fr_minmax_ops = {
    .name = "minmax",
    .title = "min-max scaler",
    .version = 1,
    .open = scaler_open,
    .close = nothing,
    .transform = scaler_transform,
};

const fr_model_ops fr_robust_ops = {
    .name = "robust",
    .title = "robust scaler",
    .version = 1,
    .open = scaler_open,
    .close = nothing,
    .transform = scaler_transform,
};

const fr_model_ops fr_imputer_ops = {
    .name = "imputer",
    .title = "imputer",
    .version = 1,
    .open = imputer_open,
    .close = nothing,
    .transform = imputer_transform,
};
