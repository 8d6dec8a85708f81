#include "core/base/mem.h"
#include "core/base/nearest.h"
#include "core/data/arrow_int.h"
#include "core/data/compute.h"
#include "core/data/csv_int.h"

#include <string.h>

enum { FIRST_MESSAGE = 8, BATCHES_MAX = 1 << 24, BLOCK_BYTES = 24 };
enum { FOOTER_SCHEMA = 1, FOOTER_DICTIONARIES = 2, FOOTER_BATCHES = 3 };

// One encapsulated message.
typedef struct message {
    flat_reader meta;
    int kind;
    size_t header;                // table in the metadata
    size_t body, body_size;       // in the file
} message;

typedef struct dictionary {
    int64_t id;
    const arrow_field *field;
    fr_array *values;
} dictionary;

typedef struct reading {
    const char *name;
    fr_block *block;              // the file is [from, from + size) of it
    size_t from, size, at, used;
    bool file, trusted;
    arrow_schema schema;
    dictionary *dictionaries;
    size_t n_dictionaries;
    fr_array ***columns;          // [column][batch]
    size_t *column_of;            // wanted columns: index of the field
    size_t n_columns, n_batches;
    int64_t rows;
    fr_err *err;
} reading;

static int damaged(reading *r, const char *what)
{
    return fr_fail(r->err, FR_ECORRUPT, "%s", what);
}

static const uint8_t *bytes_of(const reading *r) { return r->block->data + r->from; }

static uint32_t u32_at(const reading *r, size_t at)
{
    uint32_t v;
    memcpy(&v, bytes_of(r) + at, 4);
    return v;
}

// The next message; *end when the stream says so or ends between messages.
static int next_message(reading *r, message *m, bool *end)
{
    *end = false;
    if (r->size - r->at < 4) {
        *end = true; // streams may end without a mark
        return r->file || r->at != r->size ? damaged(r, "it ends too early") : FR_OK;
    }
    uint32_t length = u32_at(r, r->at);
    r->at += 4;
    if (length == UINT32_MAX) { // since Arrow 0.15
        if (r->size - r->at < 4) {
            return damaged(r, "it ends too early");
        }
        length = u32_at(r, r->at);
        r->at += 4;
    }
    if (length == 0) {
        *end = true;
        return FR_OK;
    }
    if (length > r->size - r->at) {
        return damaged(r, "it ends too early");
    }
    *m = (message){.meta = {bytes_of(r) + r->at, length, false}};
    size_t root = flat_root(&m->meta);
    m->kind = (int)flat_get(&m->meta, root, 1, 1, 0);
    m->header = flat_child(&m->meta, root, 2);
    uint64_t body = flat_get(&m->meta, root, 3, 8, 0);
    uint64_t version = flat_get(&m->meta, root, 0, 2, 0);
    r->at += length;
    if (m->meta.bad || m->header == 0) {
        return damaged(r, "a damaged message");
    }
    if (version < 3) {
        return fr_fail(r->err, FR_EUNSUPPORTED, "written by Arrow before 0.8");
    }
    if (body > r->size - r->at) {
        return damaged(r, "it ends too early");
    }
    m->body = r->at;
    m->body_size = (size_t)body;
    r->at += (size_t)body;
    return FR_OK;
}

static int open_body(reading *r, message *m, size_t batch, arrow_body *b, int64_t *rows)
{
    *b = (arrow_body){.r = &m->meta,
                      .block = r->block,
                      .from = r->from + m->body,
                      .size = m->body_size,
                      .trusted = r->trusted,
                      .err = r->err};
    return arrow_body_open(b, batch, rows);
}

static dictionary *dictionary_of(reading *r, int64_t id)
{
    for (size_t i = 0; i < r->n_dictionaries; i++) {
        if (r->dictionaries[i].id == id) {
            return &r->dictionaries[i];
        }
    }
    return NULL;
}

static int read_dictionary(reading *r, message *m)
{
    int64_t id = (int64_t)flat_get(&m->meta, m->header, 0, 8, 0), rows;
    bool delta = flat_get(&m->meta, m->header, 2, 1, 0) != 0;
    dictionary *d = dictionary_of(r, id);
    if (d == NULL) {
        return FR_OK; // of a column that nobody wants
    }
    arrow_body body;
    fr_array *values = NULL;
    int rc = open_body(r, m, flat_child(&m->meta, m->header, 1), &body, &rows);
    if (rc == FR_OK) {
        rc = arrow_column(&body, d->field, &values);
    }
    if (rc == FR_OK && delta && d->values != NULL) {
        const fr_array *parts[2] = {d->values, values};
        fr_array *all = NULL;
        rc = fr_compute_concat(parts, 2, d->field->name, &all, r->err);
        fr_array_unref(values);
        values = all;
    }
    if (rc != FR_OK) {
        return fr_wrap(r->err, rc, "the dictionary of column \"%.60s\"", d->field->name);
    }
    fr_array_unref(d->values);
    d->values = values;
    return FR_OK;
}

static int read_column(reading *r, arrow_body *b, const arrow_field *f, fr_array **out)
{
    if (!f->dictionary) {
        return arrow_column(b, f, out);
    }
    const dictionary *d = dictionary_of(r, f->dictionary_id);
    if (d == NULL || d->values == NULL) {
        return damaged(r, "its dictionary is missing");
    }
    return arrow_column_coded(b, f, d->values, out);
}

static int read_batch(reading *r, message *m)
{
    arrow_body body;
    int64_t rows;
    if (r->n_batches >= BATCHES_MAX) {
        return fr_fail(r->err, FR_ELIMIT, "more than %d batches", BATCHES_MAX);
    }
    int rc = open_body(r, m, m->header, &body, &rows);
    if ((r->n_batches & (r->n_batches - 1)) == 0) {
        for (size_t i = 0; i < r->n_columns; i++) {
            size_t capacity = FR_MAX(r->n_batches * 2, 1);
            r->columns[i] = fr_realloc(r->columns[i], capacity * sizeof **r->columns);
        }
    }
    for (size_t i = 0; i < r->n_columns; i++) {
        r->columns[i][r->n_batches] = NULL;
    }
    r->n_batches++;
    for (size_t i = 0; i < r->schema.n && rc == FR_OK; i++) {
        const arrow_field *f = &r->schema.fields[i];
        if (!f->wanted) {
            rc = arrow_skip(&body, f);
            continue;
        }
        fr_array **slot = &r->columns[f->column][r->n_batches - 1];
        rc = read_column(r, &body, f, slot);
        if (rc == FR_OK && (*slot)->length != rows) {
            rc = damaged(r, "its length differs from the batch's");
        }
        if (rc != FR_OK) {
            rc = fr_wrap(r->err, rc, "column \"%.60s\"", f->name);
        }
    }
    if (rc == FR_OK) {
        r->rows += rows;
        rc = fr_compute_check_rows(r->rows, r->err);
    }
    return rc;
}

static int no_column(reading *r, const char *name)
{
    const char **names = fr_alloc((r->schema.n + 1) * sizeof *names);
    for (size_t i = 0; i < r->schema.n; i++) {
        names[i] = r->schema.fields[i].name;
    }
    const char *near = fr_nearest(name, names, r->schema.n);
    int rc = fr_fail(r->err, FR_ENOTFOUND, "no column \"%.60s\"%s%.60s%s", name,
                     near != NULL ? ": did you mean \"" : "", near != NULL ? near : "",
                     near != NULL ? "\"?" : "");
    fr_free(names);
    return rc;
}

static int choose_columns(reading *r, const char *const *columns, size_t n)
{
    r->n_columns = columns != NULL ? n : r->schema.n;
    r->column_of = fr_alloc((r->n_columns + 1) * sizeof *r->column_of);
    r->columns = fr_zalloc((r->n_columns + 1) * sizeof *r->columns);
    r->dictionaries = fr_zalloc((r->n_columns + 1) * sizeof *r->dictionaries);
    for (size_t i = 0; i < r->n_columns; i++) {
        size_t at = columns != NULL ? 0 : i;
        while (columns != NULL && at < r->schema.n &&
               strcmp(r->schema.fields[at].name, columns[i]) != 0) {
            at++;
        }
        if (at == r->schema.n) {
            return no_column(r, columns[i]);
        }
        arrow_field *f = &r->schema.fields[at];
        if (f->wanted) {
            return fr_fail(r->err, FR_EINVAL, "column \"%.60s\" is named twice", f->name);
        }
        if (f->layout == ARROW_L_NONE) {
            return fr_fail(r->err, FR_EUNSUPPORTED,
                           "column \"%.60s\" is %s that frames do not have: choose others with "
                           "columns = {...}",
                           f->name, f->problem);
        }
        f->wanted = true;
        f->column = i;
        r->column_of[i] = at;
        if (f->dictionary && dictionary_of(r, f->dictionary_id) == NULL) {
            r->dictionaries[r->n_dictionaries++] = (dictionary){f->dictionary_id, f, NULL};
        }
    }
    return FR_OK;
}

static int read_stream_schema(reading *r, const char *const *columns, size_t n)
{
    message m;
    bool end;
    int rc = next_message(r, &m, &end);
    if (rc != FR_OK) {
        return rc;
    }
    if (end || m.kind != ARROW_SCHEMA) {
        return damaged(r, "it does not start with a schema: not an Arrow IPC file");
    }
    rc = arrow_schema_read(&m.meta, m.header, &r->schema, r->err);
    return rc == FR_OK ? choose_columns(r, columns, n) : rc;
}

static int use_message(reading *r, message *m, bool dictionaries, bool batches)
{
    int rc = FR_OK;
    if (m->kind == ARROW_DICTIONARY && dictionaries) {
        rc = read_dictionary(r, m);
    } else if (m->kind == ARROW_BATCH && batches) {
        rc = read_batch(r, m);
    }
    return rc == FR_OK && m->meta.bad ? damaged(r, "a damaged message") : rc;
}

static int read_stream(reading *r, const char *const *columns, size_t n)
{
    int rc = read_stream_schema(r, columns, n);
    while (rc == FR_OK) {
        message m;
        bool end;
        rc = next_message(r, &m, &end);
        if (rc != FR_OK || end) {
            break;
        }
        rc = use_message(r, &m, true, true);
    }
    return rc;
}

// The messages at the places that a vector of the footer names.
static int read_blocks(reading *r, flat_reader *footer, size_t root, size_t field)
{
    size_t n, blocks = flat_vector(footer, root, field, BLOCK_BYTES, &n);
    for (size_t i = 0; i < n; i++) {
        uint64_t at = flat_at(footer, blocks + i * BLOCK_BYTES, 8);
        message m;
        bool end;
        if (at > r->size) {
            return damaged(r, "a batch beyond the file");
        }
        r->at = (size_t)at;
        int rc = next_message(r, &m, &end);
        if (rc == FR_OK && end) {
            rc = damaged(r, "a missing message");
        }
        // Blocks that overlap would let a small file ask for any amount of memory.
        r->used += rc == FR_OK ? m.body_size : 0;
        if (rc == FR_OK && r->used > r->size) {
            rc = damaged(r, "batches that overlap");
        }
        if (rc == FR_OK) {
            rc = use_message(r, &m, field == FOOTER_DICTIONARIES, field == FOOTER_BATCHES);
        }
        if (rc != FR_OK) {
            return rc;
        }
    }
    return FR_OK;
}

// Files are read by their footer: some writers put other things in between, and dictionaries
// may stand behind the batches that use them.
static int read_file(reading *r, const char *const *columns, size_t n)
{
    if (r->size < FIRST_MESSAGE + 4 + ARROW_MAGIC ||
        memcmp(bytes_of(r) + r->size - ARROW_MAGIC, "ARROW1", ARROW_MAGIC) != 0) {
        return damaged(r, "it ends too early");
    }
    size_t end = r->size - ARROW_MAGIC - 4, length = u32_at(r, end);
    if (length > end - FIRST_MESSAGE) {
        return damaged(r, "a footer longer than the file");
    }
    flat_reader footer = {bytes_of(r) + end - length, length, false};
    size_t root = flat_root(&footer), schema = flat_child(&footer, root, FOOTER_SCHEMA);
    if (footer.bad || schema == 0) {
        return damaged(r, "a damaged footer");
    }
    int rc = arrow_schema_read(&footer, schema, &r->schema, r->err);
    if (rc == FR_OK) {
        rc = choose_columns(r, columns, n);
    }
    if (rc == FR_OK) {
        rc = read_blocks(r, &footer, root, FOOTER_DICTIONARIES);
    }
    if (rc == FR_OK) {
        rc = read_blocks(r, &footer, root, FOOTER_BATCHES);
    }
    return rc == FR_OK && footer.bad ? damaged(r, "a damaged footer") : rc;
}

static int empty_column(const arrow_field *f, fr_array **out, fr_err *err)
{
    fr_type t = f->type;
    if (f->dictionary && t.kind == FR_UTF8) {
        t = (fr_type){.kind = FR_CATEGORY, .ordered = f->ordered};
    }
    fr_builder *b = fr_builder_new(t, 0);
    int rc = fr_builder_finish(b, out, err);
    fr_builder_free(b);
    return rc;
}

static int to_frame(reading *r, fr_frame **out)
{
    if (r->n_columns == 0) {
        return fr_frame_empty(r->rows, out, r->err);
    }
    fr_array **cols = fr_zalloc(r->n_columns * sizeof *cols);
    const char **names = fr_alloc(r->n_columns * sizeof *names);
    int rc = FR_OK;
    for (size_t i = 0; i < r->n_columns && rc == FR_OK; i++) {
        const arrow_field *f = &r->schema.fields[r->column_of[i]];
        names[i] = f->name;
        if (r->n_batches == 0) {
            rc = empty_column(f, &cols[i], r->err);
        } else {
            rc = fr_compute_concat((const fr_array *const *)r->columns[i], r->n_batches, f->name,
                                   &cols[i], r->err);
        }
    }
    if (rc == FR_OK) {
        rc = fr_frame_new(r->n_columns, names, cols, out, r->err);
    }
    for (size_t i = 0; i < r->n_columns; i++) {
        fr_array_unref(cols[i]);
    }
    fr_free(cols);
    fr_free(names);
    return rc;
}

static void reading_fini(reading *r)
{
    for (size_t i = 0; r->columns != NULL && i < r->n_columns; i++) {
        for (size_t k = 0; k < r->n_batches; k++) {
            fr_array_unref(r->columns[i][k]);
        }
        fr_free(r->columns[i]);
    }
    for (size_t i = 0; i < r->n_dictionaries; i++) {
        fr_array_unref(r->dictionaries[i].values);
    }
    fr_free(r->columns);
    fr_free(r->column_of);
    fr_free(r->dictionaries);
    arrow_schema_fini(&r->schema);
}

static int read_all(reading *r, const char *const *columns, size_t n, fr_frame **out)
{
    *out = NULL;
    r->file = r->size >= ARROW_MAGIC && memcmp(bytes_of(r), "ARROW1", ARROW_MAGIC) == 0;
    int rc = r->file ? read_file(r, columns, n) : read_stream(r, columns, n);
    return rc == FR_OK ? to_frame(r, out) : rc;
}

static int read_text(const char *name, csv_text *t, const char *const *columns, size_t n,
                     fr_frame **out, fr_err *err)
{
    reading r = {.name = name,
                 .block = t->block,
                 .from = (size_t)(t->at - t->block->data),
                 .size = t->size,
                 .err = err};
    int rc = read_all(&r, columns, n, out);
    reading_fini(&r);
    return rc == FR_OK ? FR_OK : fr_wrap(err, rc, "%s", name);
}

int fr_arrow_read(const char *path, const char *const *columns, size_t n_columns,
                  fr_frame **out, fr_err *err)
{
    csv_text t;
    *out = NULL;
    int rc = csv_load_file(path, CSV_BINARY, &t, err);
    if (rc == FR_OK) {
        rc = read_text(path, &t, columns, n_columns, out, err);
        fr_block_unref(t.block);
    }
    return rc;
}

int fr_arrow_read_bytes(const char *name, const void *bytes, size_t n,
                        const char *const *columns, size_t n_columns, fr_frame **out,
                        fr_err *err)
{
    csv_text t;
    *out = NULL;
    int rc = csv_load_bytes(name, bytes, n, CSV_BINARY, &t, err);
    if (rc == FR_OK) {
        rc = read_text(name, &t, columns, n_columns, out, err);
        fr_block_unref(t.block);
    }
    return rc;
}

int fr_arrow_load(const char *path, fr_frame **out, fr_err *err)
{
    *out = NULL;
    reading r = {.name = path, .trusted = true, .err = err};
    int rc = fr_block_map_file(path, &r.block, err);
    if (rc != FR_OK) {
        return rc;
    }
    r.size = r.block->size;
    rc = read_all(&r, NULL, 0, out);
    reading_fini(&r);
    fr_block_unref(r.block);
    return rc == FR_OK ? FR_OK : fr_wrap(err, rc, "%s", path);
}

int fr_arrow_load_array(const char *path, fr_array **out, fr_err *err)
{
    fr_frame *f;
    *out = NULL;
    int rc = fr_arrow_load(path, &f, err);
    if (rc == FR_OK && f->columns != 1) {
        rc = fr_fail(err, FR_ECORRUPT, "%s: %zu columns where an array has one", path,
                     f->columns);
    }
    if (rc == FR_OK) {
        *out = fr_array_ref(f->cols[0]);
    }
    fr_frame_unref(f);
    return rc;
}
