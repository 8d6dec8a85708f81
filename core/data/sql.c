#include "core/data/sql.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/data/show.h"

#include <sqlite3.h>

#include <stdio.h>
#include <string.h>

enum { STEPS_BETWEEN_CHECKS = 10000, CELL_MAX = 256, NAME_BYTES = 64 * 1024 };

// --- frames as virtual tables ---

typedef struct table {
    sqlite3_vtab base;   // first
    const fr_frame *f;
    fr_show *show;       // per column
} table;

typedef struct cursor {
    sqlite3_vtab_cursor base;   // first
    int64_t row;
} cursor;

static void put_quoted(fr_buf *b, const char *name)
{
    fr_buf_put_str(b, "\"");
    for (const char *c = name; *c != '\0'; c++) {
        fr_buf_printf(b, *c == '"' ? "\"\"" : "%c", *c);
    }
    fr_buf_put_str(b, "\"");
}

static const char *affinity_of(fr_kind kind)
{
    bool floats = kind == FR_FLOAT64 || kind == FR_FLOAT32;
    return floats ? "REAL" : fr_kind_integer(kind) || kind == FR_BOOL ? "INTEGER" : "TEXT";
}

static int table_free(sqlite3_vtab *base)
{
    table *t = (table *)(void *)base;
    for (size_t i = 0; t->show != NULL && i < t->f->columns; i++) {
        fr_show_fini(&t->show[i]);
    }
    fr_free(t->show);
    fr_free(t);
    return SQLITE_OK;
}

static int table_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
                         sqlite3_vtab **out, char **message)
{
    (void)argc, (void)argv;
    const fr_frame *f = aux;
    table *t = fr_zalloc(sizeof *t);
    t->f = f;
    t->show = fr_zalloc((f->columns + 1) * sizeof *t->show);
    fr_err err = FR_ERR_INIT;
    int rc = FR_OK;
    fr_buf b;
    fr_buf_init(&b, 1 << 24);
    fr_buf_put_str(&b, "CREATE TABLE x(");
    for (size_t i = 0; i < f->columns && rc == FR_OK; i++) {
        put_quoted(&b, f->names[i]);
        fr_buf_printf(&b, " %s%s", affinity_of(f->cols[i]->type.kind),
                      i + 1 < f->columns ? ", " : ")");
        rc = fr_show_init(&t->show[i], f->cols[i], &err);
    }
    int code = rc == FR_OK ? sqlite3_declare_vtab(db, fr_buf_text(&b)) : SQLITE_ERROR;
    fr_buf_fini(&b);
    if (code != SQLITE_OK) {
        *message = sqlite3_mprintf("%s", rc != FR_OK ? err.text : sqlite3_errmsg(db));
        (void)table_free(&t->base);
        return code;
    }
    *out = &t->base;
    return SQLITE_OK;
}

// Every query reads all rows; SQLite makes its own index for a join.
static int table_plan(sqlite3_vtab *base, sqlite3_index_info *info)
{
    int64_t rows = ((table *)(void *)base)->f->rows;
    info->estimatedRows = rows;
    info->estimatedCost = (double)rows + 1;
    return SQLITE_OK;
}

static int cursor_open(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
    (void)base;
    cursor *c = fr_zalloc(sizeof *c);
    *out = &c->base;
    return SQLITE_OK;
}

static int cursor_close(sqlite3_vtab_cursor *base)
{
    fr_free(base);
    return SQLITE_OK;
}

static int cursor_filter(sqlite3_vtab_cursor *base, int plan, const char *name, int argc,
                         sqlite3_value **argv)
{
    (void)plan, (void)name, (void)argc, (void)argv;
    ((cursor *)(void *)base)->row = 0;
    return SQLITE_OK;
}

static int cursor_next(sqlite3_vtab_cursor *base)
{
    ((cursor *)(void *)base)->row++;
    return SQLITE_OK;
}

static int cursor_eof(sqlite3_vtab_cursor *base)
{
    return ((cursor *)(void *)base)->row >= ((table *)(void *)base->pVtab)->f->rows;
}

static int cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
    *out = ((cursor *)(void *)base)->row + 1;
    return SQLITE_OK;
}

static int cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *c, int column)
{
    const table *t = (table *)(void *)base->pVtab;
    const fr_array *a = t->f->cols[column];
    int64_t i = ((cursor *)(void *)base)->row;
    fr_kind kind = a->type.kind;
    if (!fr_array_has(a, i)) {
        sqlite3_result_null(c);
    } else if (kind == FR_UTF8 || kind == FR_CATEGORY) {
        size_t n;
        const char *s = fr_array_text(a, i, &n);
        sqlite3_result_text64(c, s, n, SQLITE_TRANSIENT, SQLITE_UTF8);
    } else if (kind == FR_FLOAT64 || kind == FR_FLOAT32) {
        sqlite3_result_double(c, fr_array_number(a, i));
    } else if (kind == FR_UINT64 && fr_array_int(a, i) < 0) {
        sqlite3_result_error(c, "an unsigned integer above 2^63 - 1", -1);
    } else if (fr_kind_integer(kind) || kind == FR_BOOL) {
        sqlite3_result_int64(c, fr_array_int(a, i));
    } else {
        fr_buf b;
        fr_buf_init(&b, CELL_MAX);
        fr_show_cell(&t->show[column], i, &b);
        sqlite3_result_text64(c, fr_buf_text(&b), b.size, SQLITE_TRANSIENT, SQLITE_UTF8);
        fr_buf_fini(&b);
    }
    return SQLITE_OK;
}

static const sqlite3_module module = {
    .iVersion = 1,
    .xConnect = table_connect,
    .xCreate = table_connect,
    .xBestIndex = table_plan,
    .xDisconnect = table_free,
    .xDestroy = table_free,
    .xOpen = cursor_open,
    .xClose = cursor_close,
    .xFilter = cursor_filter,
    .xNext = cursor_next,
    .xEof = cursor_eof,
    .xColumn = cursor_column,
    .xRowid = cursor_rowid,
};

// --- results ---

typedef struct result {   // of one column
    fr_builder *values;
    fr_kind kind;         // 0 until a value is there
    int64_t rows;         // in `values` and before it
    int64_t nulls;        // before the first value
    fr_array *earlier;    // integers from before the first float
} result;

static int put_nulls(result *r, fr_err *err)
{
    int rc = FR_OK;
    for (; r->nulls > 0 && rc == FR_OK; r->nulls--) {
        rc = fr_builder_null(r->values, err);
    }
    return rc;
}

// The column takes values of `kind` from here on.
static int become(result *r, fr_kind kind, fr_err *err)
{
    int rc = FR_OK;
    if (r->kind == FR_INT64 && kind == FR_FLOAT64) {
        rc = fr_builder_finish(r->values, &r->earlier, err);
        fr_builder_free(r->values);
        r->values = NULL;
    }
    r->kind = kind;
    r->values = r->values != NULL ? r->values : fr_builder_new(fr_type_of(kind), 0);
    return rc == FR_OK ? put_nulls(r, err) : rc;
}

static fr_kind kind_of(int type)
{
    return type == SQLITE_INTEGER ? FR_INT64 : type == SQLITE_FLOAT ? FR_FLOAT64 : FR_UTF8;
}

static int put_value(result *r, sqlite3_stmt *s, int column, fr_err *err)
{
    int type = sqlite3_column_type(s, column);
    const char *name = sqlite3_column_name(s, column);
    r->rows++;
    if (type == SQLITE_NULL) {
        r->nulls += r->kind == 0;
        return r->kind == 0 ? FR_OK : fr_builder_null(r->values, err);
    }
    fr_kind kind = kind_of(type);
    bool mixed = r->kind != 0 && (r->kind == FR_UTF8) != (kind == FR_UTF8);
    if (type == SQLITE_BLOB || mixed) {
        return fr_fail(err, FR_ETYPE, "row %lld, column \"%.60s\": %s; cast it in the query",
                       (long long)r->rows, name,
                       type == SQLITE_BLOB ? "a blob" : "texts and numbers in one column");
    }
    int rc = FR_OK;
    if ((int)r->kind == 0 || (r->kind == FR_INT64 && kind == FR_FLOAT64)) {
        rc = become(r, kind, err);
    }
    if (rc != FR_OK) {
        return rc;
    }
    if (r->kind == FR_INT64) {
        return fr_builder_int(r->values, sqlite3_column_int64(s, column), err);
    }
    if (r->kind == FR_FLOAT64) {
        return fr_builder_float(r->values, sqlite3_column_double(s, column), err);
    }
    const char *text = (const char *)sqlite3_column_text(s, column);
    size_t n = (size_t)sqlite3_column_bytes(s, column);
    return fr_builder_text(r->values, text != NULL ? text : "", n, err);
}

static int finish(result *r, const char *name, fr_array **out, fr_err *err)
{
    fr_array *last = NULL;
    if ((int)r->kind == 0) {
        r->kind = FR_UTF8; // nothing but nulls
        r->values = fr_builder_new(fr_type_of(FR_UTF8), 0);
    }
    int rc = put_nulls(r, err);
    rc = rc == FR_OK ? fr_builder_finish(r->values, &last, err) : rc;
    if (rc != FR_OK || r->earlier == NULL) {
        *out = last;
        return rc;
    }
    const fr_array *parts[2] = {r->earlier, last};
    rc = fr_compute_concat(parts, 2, name, out, err);
    fr_array_unref(last);
    return rc;
}

static int step_rows(sqlite3_stmt *s, result *columns, int n, fr_err *err)
{
    int code, rc = FR_OK;
    int64_t rows = 0;
    while ((code = sqlite3_step(s)) == SQLITE_ROW && rc == FR_OK) {
        rc = fr_compute_check_rows(++rows, err);
        for (int i = 0; i < n && rc == FR_OK; i++) {
            rc = put_value(&columns[i], s, i, err);
        }
    }
    if (rc == FR_OK && code != SQLITE_DONE) {
        if (fr_cancelled()) {
            return fr_compute_failed(err, fr_cancel_code());
        }
        bool full = (code & 0xff) == SQLITE_NOMEM;
        rc = fr_fail(err, full ? FR_ENOMEM : FR_EINVAL, "%s", sqlite3_errmsg(sqlite3_db_handle(s)));
    }
    return rc;
}

static int read_rows(sqlite3_stmt *s, fr_frame **out, fr_err *err)
{
    int n = sqlite3_column_count(s);
    size_t size = (size_t)n + 1;
    result *columns = fr_zalloc(size * sizeof *columns);
    fr_array **arrays = fr_zalloc(size * sizeof *arrays);
    const char **names = fr_zalloc(size * sizeof *names);
    int rc = step_rows(s, columns, n, err);
    for (int i = 0; i < n && rc == FR_OK; i++) {
        names[i] = sqlite3_column_name(s, i);
        rc = finish(&columns[i], names[i], &arrays[i], err);
    }
    rc = rc == FR_OK ? fr_frame_new((size_t)n, names, arrays, out, err) : rc;
    for (int i = 0; i < n; i++) {
        fr_builder_free(columns[i].values);
        fr_array_unref(columns[i].earlier);
        fr_array_unref(arrays[i]);
    }
    fr_free(columns);
    fr_free(arrays);
    fr_free((void *)names);
    return rc;
}

// --- running ---

static int stop_when_cancelled(void *unused)
{
    (void)unused;
    return fr_cancelled();
}

static int bind_param(sqlite3_stmt *s, int at, const fr_scalar *v)
{
    if (v->null) {
        return sqlite3_bind_null(s, at);
    }
    if (v->type.kind == FR_FLOAT64) {
        return sqlite3_bind_double(s, at, v->number);
    }
    if (v->type.kind == FR_UTF8) {
        return sqlite3_bind_text64(s, at, v->text, v->n, SQLITE_STATIC, SQLITE_UTF8);
    }
    return sqlite3_bind_int64(s, at, v->integer);
}

static int bind_params(sqlite3_stmt *s, const fr_sql_query *q, fr_err *err)
{
    for (int at = 1; at <= sqlite3_bind_parameter_count(s); at++) {
        const char *name = sqlite3_bind_parameter_name(s, at);
        size_t k = 0;
        while (name != NULL && k < q->n_params && strcmp(q->params[k].name, name + 1) != 0) {
            k++;
        }
        if (name == NULL || k == q->n_params) {
            return fr_fail(err, FR_EINVAL, "parameter %.60s is not given: $name is taken from "
                                           "params", name != NULL ? name : "?");
        }
        if (bind_param(s, at, &q->params[k].value) != SQLITE_OK) {
            return fr_fail(err, FR_EINVAL, "parameter %.60s: %s", name,
                           sqlite3_errmsg(sqlite3_db_handle(s)));
        }
    }
    return FR_OK;
}

static int prepare(sqlite3 *db, const fr_sql_query *q, sqlite3_stmt **out, fr_err *err)
{
    const char *rest;
    if (q->size > INT32_MAX) {
        return fr_fail(err, FR_ELIMIT, "a query of %zu bytes", q->size);
    }
    if (sqlite3_prepare_v2(db, q->text, (int)q->size, out, &rest) != SQLITE_OK) {
        return fr_fail(err, FR_EPARSE, "%s", sqlite3_errmsg(db));
    }
    while (rest < q->text + q->size && strchr(" \t\r\n;", *rest) != NULL) {
        rest++;
    }
    if (*out == NULL || rest < q->text + q->size) {
        return fr_fail(err, FR_EPARSE, "expected one statement, found %s",
                       *out == NULL ? "none" : "more text behind it");
    }
    if (!sqlite3_stmt_readonly(*out) || sqlite3_column_count(*out) == 0) {
        return fr_fail(err, FR_EINVAL, "only queries that read, such as select");
    }
    return bind_params(*out, q, err);
}

static int add_table(sqlite3 *db, const fr_sql_table *t, fr_err *err)
{
    if (t->frame->columns == 0) {
        return fr_fail(err, FR_EINVAL, "table \"%.60s\" is a frame without columns", t->name);
    }
    fr_buf b;
    fr_buf_init(&b, NAME_BYTES);
    fr_buf_put_str(&b, "CREATE VIRTUAL TABLE temp.");
    put_quoted(&b, t->name);
    fr_buf_put_str(&b, " USING ");
    put_quoted(&b, t->name);
    int code = sqlite3_create_module(db, t->name, &module, (void *)(uintptr_t)t->frame);
    code = code == SQLITE_OK ? sqlite3_exec(db, fr_buf_text(&b), NULL, NULL, NULL) : code;
    fr_buf_fini(&b);
    return code == SQLITE_OK ? FR_OK
                             : fr_fail(err, FR_EINVAL, "table \"%.60s\": %s", t->name,
                                       sqlite3_errmsg(db));
}

int fr_sql_run(const fr_sql_query *q, fr_frame **out, fr_err *err)
{
    *out = NULL;
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    int flags = q->path != NULL ? SQLITE_OPEN_READONLY
                                : SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_CREATE;
    int rc = FR_OK;
    int code = sqlite3_open_v2(q->path != NULL ? q->path : ":memory:", &db,
                               flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK) {
        rc = fr_fail(err, FR_EIO, "%s", db != NULL ? sqlite3_errmsg(db) : "out of memory");
    }
    if (rc == FR_OK) {
        (void)sqlite3_busy_timeout(db, 10000); // another program may be writing
        sqlite3_progress_handler(db, STEPS_BETWEEN_CHECKS, stop_when_cancelled, NULL);
    }
    for (size_t i = 0; i < q->n_tables && rc == FR_OK; i++) {
        rc = add_table(db, &q->tables[i], err);
    }
    rc = rc == FR_OK ? prepare(db, q, &s, err) : rc;
    rc = rc == FR_OK ? read_rows(s, out, err) : rc;
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
    return rc;
}
