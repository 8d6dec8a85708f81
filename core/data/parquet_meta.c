#include "core/base/mem.h"
#include "core/data/parquet_int.h"
#include "core/data/thrift.h"

#include <string.h>

enum { REQUIRED = 0, OPTIONAL = 1, REPEATED = 2, DEPTH_MAX = 64 };

// One element of the flattened tree of the schema.
typedef struct element {
    pq_column column;
    int64_t children;                 // 0: a leaf
    int repetition;
} element;

static int damaged(fr_err *err, const char *what)
{
    return fr_fail(err, FR_ECORRUPT, "damaged metadata: %s", what);
}

static void read_unit(thrift_reader *r, pq_column *c)
{
    thrift_field f = {0};
    while (thrift_next(r, &f)) {
        if (f.id >= 1 && f.id <= 3) {
            c->unit = (fr_unit)f.id; // MILLIS, MICROS, NANOS are 1, 2, 3, as ours
        }
        thrift_skip(r, &f);
    }
}

// The parameters of one member of the union LogicalType.
static void read_parameters(thrift_reader *r, pq_column *c)
{
    thrift_field f = {0};
    while (thrift_next(r, &f)) {
        bool flag = f.type == THRIFT_TRUE;
        if (c->logical == PQ_L_DECIMAL && f.id == 1) {
            c->scale = (int)thrift_int(r, &f);
        } else if (c->logical == PQ_L_DECIMAL && f.id == 2) {
            c->precision = (int)thrift_int(r, &f);
        } else if ((c->logical == PQ_L_TIME || c->logical == PQ_L_STAMP) && f.id == 1) {
            c->adjusted = flag;
        } else if ((c->logical == PQ_L_TIME || c->logical == PQ_L_STAMP) && f.id == 2) {
            if (thrift_enter(r, &f)) {
                read_unit(r, c);
            }
        } else if (c->logical == PQ_L_INTEGER && f.id == 1) {
            c->bits = (int)thrift_int(r, &f);
        } else if (c->logical == PQ_L_INTEGER && f.id == 2) {
            c->is_signed = flag;
        } else {
            thrift_skip(r, &f);
        }
    }
}

static void read_logical(thrift_reader *r, pq_column *c)
{
    thrift_field f = {0};
    while (thrift_next(r, &f)) {
        c->logical = f.id;
        if (thrift_enter(r, &f)) {
            read_parameters(r, c);
        }
    }
}

static void read_element(thrift_reader *r, element *e)
{
    thrift_field f = {0};
    size_t n;
    const uint8_t *s;
    pq_column *c = &e->column;
    *e = (element){.column = {.converted = PQ_C_NONE}};
    int64_t physical = -1, width = 0;
    while (thrift_next(r, &f)) {
        switch (f.id) {
        case 1:
            physical = thrift_int(r, &f);
            break;
        case 2:
            width = thrift_int(r, &f);
            break;
        case 3:
            e->repetition = (int)thrift_int(r, &f);
            break;
        case 4:
            s = thrift_bytes(r, &f, &n);
            fr_free(c->name);
            c->name = fr_strndup((const char *)s, n);
            break;
        case 5:
            e->children = thrift_int(r, &f);
            break;
        case 6:
            c->converted = (int)thrift_int(r, &f);
            break;
        case 7:
            c->scale = (int)thrift_int(r, &f);
            break;
        case 8:
            c->precision = (int)thrift_int(r, &f);
            break;
        case 10:
            if (thrift_enter(r, &f)) {
                read_logical(r, c);
            }
            break;
        default:
            thrift_skip(r, &f);
            break;
        }
    }
    static const size_t widths[] = {0, 4, 8, 12, 4, 8, 0, 0};
    bool leaf = e->children == 0;
    if (leaf && (physical < 0 || physical > PQ_FIXED)) {
        // Groups of nothing are written by some; they have no chunk, so they are no leaf.
        e->children = physical < 0 ? -1 : 0;
        r->bad = r->bad || physical > PQ_FIXED;
    }
    if (leaf && !r->bad && e->children == 0) {
        c->physical = (pq_physical)physical;
        c->width = widths[physical];
        if (physical == PQ_FIXED) {
            r->bad = r->bad || width < 0 || width > INT32_MAX;
            c->width = (size_t)width;
        }
    }
    c->optional = e->repetition == OPTIONAL;
}

// Leaves of the subtree at `at`; moves behind it.
static size_t count_leaves(const element *e, size_t n, size_t *at)
{
    int64_t left[DEPTH_MAX] = {1};
    size_t leaves = 0;
    int depth = 0;
    while (depth >= 0) {
        if (left[depth] == 0) {
            depth--;
            continue;
        }
        left[depth]--;
        if (*at >= n) {
            return SIZE_MAX;
        }
        const element *x = &e[(*at)++];
        if (x->children == 0) {
            leaves++;
        } else if (x->children > 0) {
            if (depth + 1 == DEPTH_MAX) {
                return SIZE_MAX;
            }
            left[++depth] = x->children;
        }
    }
    return leaves;
}

static const char *nested(const element *e)
{
    const pq_column *c = &e->column;
    if (c->converted == PQ_C_LIST || c->logical == PQ_L_LIST || e->repetition == REPEATED) {
        return "a list";
    }
    if (c->converted == PQ_C_MAP || c->converted == PQ_C_MAP + 1 || c->logical == PQ_L_MAP) {
        return "a map";
    }
    return c->logical == PQ_L_VARIANT ? "a variant" : "a struct";
}

// The children of the root become columns.
static int take_columns(element *e, size_t n, pq_meta *out, fr_err *err)
{
    if (n == 0 || e[0].children < -1 || (uint64_t)FR_MAX(e[0].children, 0) > n - 1) {
        return damaged(err, "a schema without a root");
    }
    size_t wanted = (size_t)FR_MAX(e[0].children, 0);
    out->columns = fr_zalloc((wanted + 1) * sizeof *out->columns);
    for (size_t at = 1; out->n_columns < wanted;) {
        element *x = &e[at];
        size_t leaves = at < n ? count_leaves(e, n, &at) : SIZE_MAX;
        if (leaves == SIZE_MAX || x->column.name == NULL) {
            return damaged(err, "a schema that ends too early");
        }
        pq_column *c = &out->columns[out->n_columns++];
        *c = x->column;
        x->column.name = NULL;
        c->leaf = out->n_leaves;
        c->problem = x->children != 0 || x->repetition == REPEATED ? nested(x) : NULL;
        out->n_leaves += leaves;
    }
    return FR_OK;
}

static int read_schema(thrift_reader *r, const thrift_field *f, pq_meta *out, fr_err *err)
{
    size_t n = thrift_list(r, f, THRIFT_STRUCT);
    if (out->columns != NULL) {
        return damaged(err, "two schemas");
    }
    element *e = fr_try_alloc((n + 1) * sizeof *e);
    if (e == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for a schema of %zu columns", n);
    }
    size_t made = 0;
    for (; made < n && !r->bad; made++) {
        read_element(r, &e[made]);
    }
    int rc = r->bad ? damaged(err, "the schema") : take_columns(e, n, out, err);
    for (size_t i = 0; i < made; i++) {
        fr_free(e[i].column.name);
    }
    fr_free(e);
    return rc;
}

static pq_bytes read_bytes(thrift_reader *r, const thrift_field *f)
{
    pq_bytes b;
    b.at = thrift_bytes(r, f, &b.n);
    return b;
}

// min and max of old writers (fields 1 and 2) compare in unspecified ways: not used.
static void read_statistics(thrift_reader *r, pq_chunk *c)
{
    thrift_field f = {0};
    while (thrift_next(r, &f)) {
        switch (f.id) {
        case 3:
            c->nulls = thrift_int(r, &f);
            break;
        case 5:
            c->most = read_bytes(r, &f);
            break;
        case 6:
            c->least = read_bytes(r, &f);
            break;
        default:
            thrift_skip(r, &f);
            break;
        }
    }
}

static void read_column_meta(thrift_reader *r, pq_chunk *c)
{
    thrift_field f = {0};
    c->present = true;
    while (thrift_next(r, &f)) {
        switch (f.id) {
        case 4:
            c->codec = (int)thrift_int(r, &f);
            break;
        case 5:
            c->values = thrift_int(r, &f);
            break;
        case 7:
            c->size = thrift_int(r, &f);
            break;
        case 9:
            c->data_at = thrift_int(r, &f);
            break;
        case 11:
            c->dictionary_at = thrift_int(r, &f);
            break;
        case 12:
            if (thrift_enter(r, &f)) {
                read_statistics(r, c);
            }
            break;
        default:
            thrift_skip(r, &f);
            break;
        }
    }
}

static void read_chunk(thrift_reader *r, pq_chunk *c)
{
    thrift_field f = {0};
    *c = (pq_chunk){.nulls = -1};
    while (thrift_next(r, &f)) {
        if (f.id == 3 && f.type == THRIFT_STRUCT) {
            read_column_meta(r, c);
            continue;
        }
        c->elsewhere = c->elsewhere || f.id == 1 || f.id == 8 || f.id == 9;
        thrift_skip(r, &f);
    }
}

static int read_group(thrift_reader *r, pq_group *g, size_t n_leaves, fr_err *err)
{
    thrift_field f = {0};
    *g = (pq_group){.rows = -1};
    while (thrift_next(r, &f)) {
        if (f.id == 3) {
            g->rows = thrift_int(r, &f);
        } else if (f.id == 1 && g->chunks == NULL) {
            size_t n = thrift_list(r, &f, THRIFT_STRUCT);
            if (n != n_leaves) {
                return damaged(err, "a row group with another number of columns");
            }
            g->chunks = fr_zalloc((n + 1) * sizeof *g->chunks);
            for (size_t i = 0; i < n && !r->bad; i++) {
                read_chunk(r, &g->chunks[i]);
            }
        } else {
            thrift_skip(r, &f);
        }
    }
    if (r->bad || g->rows < 0 || (g->chunks == NULL && n_leaves > 0)) {
        return damaged(err, "a row group");
    }
    return FR_OK;
}

static int read_groups(thrift_reader *r, const thrift_field *f, pq_meta *out, fr_err *err)
{
    size_t n = thrift_list(r, f, THRIFT_STRUCT);
    if (out->columns == NULL || out->groups != NULL) {
        return damaged(err, "row groups before the schema");
    }
    out->groups = fr_zalloc((n + 1) * sizeof *out->groups);
    int rc = FR_OK;
    while (out->n_groups < n && rc == FR_OK) {
        rc = read_group(r, &out->groups[out->n_groups++], out->n_leaves, err);
    }
    return rc;
}

static void read_keys(thrift_reader *r, const thrift_field *f, pq_meta *out)
{
    static const char arrow[] = "ARROW:schema";
    for (size_t n = thrift_list(r, f, THRIFT_STRUCT); n > 0 && !r->bad; n--) {
        thrift_field g = {0};
        pq_bytes key = {0}, value = {0};
        while (thrift_next(r, &g)) {
            if (g.id == 1) {
                key = read_bytes(r, &g);
            } else if (g.id == 2) {
                value = read_bytes(r, &g);
            } else {
                thrift_skip(r, &g);
            }
        }
        if (key.n == sizeof arrow - 1 && memcmp(key.at, arrow, key.n) == 0) {
            out->arrow = value;
        }
    }
}

int pq_meta_read(const uint8_t *footer, size_t n, pq_meta *out, fr_err *err)
{
    thrift_reader r = {footer, footer + n, false};
    thrift_field f = {0};
    int rc = FR_OK;
    *out = (pq_meta){0};
    while (rc == FR_OK && thrift_next(&r, &f)) {
        if (f.id == 2) {
            rc = read_schema(&r, &f, out, err);
        } else if (f.id == 4) {
            rc = read_groups(&r, &f, out, err);
        } else if (f.id == 5) {
            read_keys(&r, &f, out);
        } else {
            thrift_skip(&r, &f);
        }
    }
    if (rc == FR_OK && (r.bad || out->columns == NULL)) {
        rc = damaged(err, "the footer");
    }
    if (rc != FR_OK) {
        pq_meta_fini(out);
    }
    return rc;
}

void pq_meta_fini(pq_meta *m)
{
    for (size_t i = 0; i < m->n_columns; i++) {
        fr_free(m->columns[i].name);
    }
    for (size_t i = 0; i < m->n_groups; i++) {
        fr_free(m->groups[i].chunks);
    }
    fr_free(m->columns);
    fr_free(m->groups);
    *m = (pq_meta){0};
}
