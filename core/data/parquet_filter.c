#include "core/base/mem.h"
#include "core/data/compute.h"
#include "core/data/parquet_int.h"
#include "core/data/when.h"

#include <string.h>

// A frame without rows, of the columns that frames can have: what the filter is compiled
// against before anything is read.
static int empty_frame(const pq_meta *m, size_t *column_of, fr_frame **out, fr_err *err)
{
    const char **names = fr_alloc((m->n_columns + 1) * sizeof *names);
    fr_array **cols = fr_zalloc((m->n_columns + 1) * sizeof *cols);
    size_t n = 0;
    int rc = FR_OK;
    for (size_t i = 0; i < m->n_columns && rc == FR_OK; i++) {
        if (m->columns[i].problem != NULL) {
            continue;
        }
        fr_builder *b = fr_builder_new(m->columns[i].type, 0);
        names[n] = m->columns[i].name;
        column_of[n] = i;
        rc = fr_builder_finish(b, &cols[n++], err);
        fr_builder_free(b);
    }
    if (rc == FR_OK) {
        rc = fr_frame_new(n, names, cols, out, err);
    }
    for (size_t i = 0; i < n; i++) {
        fr_array_unref(cols[i]);
    }
    fr_free(names);
    fr_free(cols);
    return rc;
}

static int compile(const fr_parquet_options *o, const fr_frame *f, fr_expr **out, fr_err *err)
{
    int rc = fr_expr_compile(o->filter, strlen(o->filter), f, o->params, o->n_params, out, err);
    char type[64];
    if (rc == FR_OK && fr_expr_type(*out)->kind != FR_BOOL) {
        rc = fr_fail(err, FR_ETYPE, "\"%.80s\" is %s, not true or false; compare it, as in "
                     "\"kw > 5\"", o->filter, fr_type_name(fr_expr_type(*out), type));
    }
    if (rc == FR_OK && !fr_expr_by_rows(*out)) {
        rc = fr_fail(err, FR_EINVAL, "\"%.80s\" looks at other rows, some of which are not read: "
                     "read first, then df:filter(…)", o->filter);
    }
    return rc == FR_OK ? FR_OK : fr_wrap(err, rc, "filter");
}

int pq_filter_open(const pq_meta *m, const fr_parquet_options *o, pq_filter *out, fr_err *err)
{
    *out = (pq_filter){.meta = m};
    if (o->filter == NULL) {
        return FR_OK;
    }
    fr_frame *f = NULL;
    out->column_of = fr_zalloc((m->n_columns + 1) * sizeof *out->column_of);
    int rc = empty_frame(m, out->column_of, &f, err);
    if (rc == FR_OK) {
        out->n = f->columns;
        rc = compile(o, f, &out->expr, err);
    }
    fr_frame_unref(f);
    if (rc != FR_OK) {
        pq_filter_fini(out);
    }
    return rc;
}

void pq_filter_fini(pq_filter *f)
{
    fr_expr_free(f->expr);
    fr_free(f->column_of);
    *f = (pq_filter){0};
}

bool pq_filter_uses(const pq_filter *f, const pq_column *c)
{
    for (size_t i = 0; f->expr != NULL && i < f->n; i++) {
        if (&f->meta->columns[f->column_of[i]] == c) {
            return fr_expr_uses(f->expr, i);
        }
    }
    return false;
}

// A bound of a chunk as the column has its values; false: unknown.
static bool value_of(const pq_column *c, const pq_bytes *b, fr_expr_value *out)
{
    *out = (fr_expr_value){0};
    float small;
    if (c->layout == PQ_AS_TEXT || c->layout == PQ_AS_CATEGORY) {
        out->s = (const char *)b->at;
        out->n = b->n;
        return true;
    }
    if (b->n != c->width || c->type.kind == FR_UINT64) {
        return false;
    }
    if (c->type.kind == FR_FLOAT64 && c->layout == PQ_AS_IS) {
        memcpy(&out->x, b->at, 8);
        return out->x == out->x;
    }
    if (c->type.kind == FR_FLOAT32 && c->layout == PQ_AS_IS) {
        memcpy(&small, b->at, 4);
        out->x = (double)small;
        return small == small;
    }
    if (c->layout == PQ_AS_IS || c->layout == PQ_AS_NARROW) {
        memcpy(&out->i, b->at, b->n);
        out->i = b->n == 4 && c->type.kind != FR_UINT32 ? (int32_t)out->i : out->i;
        return true;
    }
    return (c->layout == PQ_AS_TIME || c->layout == PQ_AS_SECONDS) &&
           pq_page_convert(c, b->at, b->n, (uint8_t *)&out->i);
}

bool pq_filter_may(const pq_filter *f, const pq_group *g)
{
    if (f->expr == NULL) {
        return true;
    }
    fr_expr_bounds *b = fr_zalloc((f->n + 1) * sizeof *b);
    for (size_t i = 0; i < f->n; i++) {
        const pq_column *c = &f->meta->columns[f->column_of[i]];
        const pq_chunk *k = &g->chunks[c->leaf];
        b[i].full = k->nulls == 0 || !c->optional;
        b[i].empty = k->nulls == g->rows || c->layout == PQ_AS_NULL;
        b[i].known = k->least.at != NULL && k->most.at != NULL &&
                     value_of(c, &k->least, &b[i].least) && value_of(c, &k->most, &b[i].most);
    }
    bool may = fr_expr_may(f->expr, b);
    fr_free(b);
    return may;
}

// Rows of *f for which the filter is true; then only its first n columns.
int pq_filter_apply(const fr_parquet_options *o, size_t n, fr_frame **f, fr_err *err)
{
    fr_expr *e = NULL;
    fr_array *mask = NULL;
    fr_frame *kept = NULL, *picked = NULL;
    int rc = compile(o, *f, &e, err);
    if (rc == FR_OK) {
        rc = fr_expr_eval(e, &mask, err);
    }
    if (rc == FR_OK) {
        rc = fr_compute_filter(*f, mask, &kept, err);
    }
    if (rc == FR_OK && n == 0) {
        rc = fr_frame_empty(kept->rows, &picked, err);
    } else if (rc == FR_OK && n < kept->columns) {
        rc = fr_frame_new(n, (const char *const *)kept->names, kept->cols, &picked, err);
    }
    fr_expr_free(e);
    fr_array_unref(mask);
    fr_frame_unref(*f);
    *f = picked != NULL ? picked : kept;
    if (picked != NULL) {
        fr_frame_unref(kept);
    }
    if (rc != FR_OK) {
        fr_frame_unref(*f);
        *f = NULL;
    }
    return rc;
}
