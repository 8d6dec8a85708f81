#include "core/base/mem.h"
#include "core/base/sys.h"
#include "core/data/arrow_int.h"
#include "core/data/bits.h"
#include "core/data/outfile.h"

#include <fcntl.h>
#include <string.h>

enum { PIECE = 1 << 16 };             // values converted at a time

typedef struct sink {
    int fd;
    const char *path;
    int64_t at;                       // in the file
    fr_err *err;
} sink;

static int put(sink *s, const void *bytes, size_t n)
{
    s->at += (int64_t)n;
    return fr_sys_write(s->fd, bytes, n, s->path, s->err);
}

static size_t padded(size_t n) { return (n + ARROW_ALIGN - 1) / ARROW_ALIGN * ARROW_ALIGN; }

static int put_padding(sink *s, size_t n)
{
    static const uint8_t zeros[ARROW_ALIGN] = {0};
    return put(s, zeros, padded(n) - n);
}

// Buffers of an array, in Arrow's order.
static size_t text_bytes(const fr_array *a)
{
    const int64_t *o = fr_array_offsets(a);
    return a->length > 0 ? (size_t)(o[a->length] - o[0]) : 0;
}

typedef struct span {                 // Arrow's Buffer
    int64_t offset, length;
} span;

typedef struct node {                 // Arrow's FieldNode
    int64_t length, nulls;
} node;

typedef struct batch {
    node *nodes;
    span *spans;
    size_t n_nodes, n_spans;
    int64_t size;                     // of the body
} batch;

static void add_span(batch *b, size_t n)
{
    b->spans[b->n_spans++] = (span){b->size, (int64_t)n};
    b->size += (int64_t)padded(n);
}

static void plan(batch *b, const fr_array *a)
{
    size_t n = (size_t)a->length;
    b->nodes[b->n_nodes++] = (node){a->length, a->nulls};
    add_span(b, a->nulls > 0 ? fr_bits_bytes(a->length) : 0);
    if (a->type.kind == FR_UTF8) {
        add_span(b, (n + 1) * sizeof(int64_t));
        add_span(b, text_bytes(a));
    } else if (a->type.kind == FR_BOOL) {
        add_span(b, fr_bits_bytes(a->length));
    } else {
        add_span(b, n * fr_kind_width(a->type.kind));
    }
}

static int put_bits(sink *s, const uint8_t *bits, int64_t offset, int64_t n)
{
    uint8_t piece[PIECE / 8];
    int rc = FR_OK;
    for (int64_t at = 0; at < n && rc == FR_OK; at += PIECE) {
        int64_t count = FR_MIN(n - at, (int64_t)PIECE);
        memset(piece, 0, sizeof piece);
        fr_bits_copy(piece, 0, bits, offset + at, count);
        rc = put(s, piece, fr_bits_bytes(count));
    }
    return rc == FR_OK ? put_padding(s, fr_bits_bytes(n)) : rc;
}

static int put_offsets(sink *s, const fr_array *a)
{
    const int64_t *o = fr_array_offsets(a);
    int64_t first = a->length > 0 ? o[0] : 0, piece[PIECE / 8], n = a->length + 1;
    int rc = FR_OK;
    for (int64_t at = 0; at < n && rc == FR_OK; at += (int64_t)FR_COUNT(piece)) {
        int64_t count = FR_MIN(n - at, (int64_t)FR_COUNT(piece));
        for (int64_t i = 0; i < count; i++) {
            piece[i] = a->length > 0 ? o[at + i] - first : 0;
        }
        rc = put(s, piece, (size_t)count * sizeof *piece);
    }
    return rc == FR_OK ? put_padding(s, (size_t)n * sizeof(int64_t)) : rc;
}

static int put_array(sink *s, const fr_array *a)
{
    int rc = FR_OK;
    if (a->nulls > 0) {
        rc = put_bits(s, a->validity->data, a->offset, a->length);
    }
    if (rc == FR_OK && a->type.kind == FR_BOOL) {
        return put_bits(s, a->values->data, a->offset, a->length);
    }
    const void *values = a->type.kind == FR_UTF8 ? NULL : fr_array_data(a);
    size_t n = a->type.kind == FR_UTF8 ? text_bytes(a)
                                       : (size_t)a->length * fr_kind_width(a->type.kind);
    if (rc == FR_OK && a->type.kind == FR_UTF8) {
        rc = put_offsets(s, a);
        values = a->values->data + (a->length > 0 ? fr_array_offsets(a)[0] : 0);
    }
    if (rc == FR_OK && n > 0) {
        rc = put(s, values, n);
    }
    return rc == FR_OK ? put_padding(s, n) : rc;
}

// Messages.
typedef struct place {                // Arrow's Block
    int64_t offset;
    int32_t metadata, pad;
    int64_t body;
} place;

static flat_ref write_batch(flat_writer *w, const batch *b, int64_t rows)
{
    flat_ref spans = flat_structs(w, b->spans, sizeof *b->spans, b->n_spans);
    flat_ref nodes = flat_structs(w, b->nodes, sizeof *b->nodes, b->n_nodes);
    flat_table(w, 3);
    flat_put(w, 0, (uint64_t)rows, 8);
    flat_put_ref(w, 1, nodes);
    flat_put_ref(w, 2, spans);
    return flat_end(w);
}

// The metadata, padded so that the body starts at a multiple of 64.
static int put_message(sink *s, flat_writer *w, int kind, flat_ref header, int64_t body,
                       place *where)
{
    flat_table(w, 4);
    flat_put(w, 3, (uint64_t)body, 8);
    flat_put_ref(w, 2, header);
    flat_put(w, 0, ARROW_V5, 2);
    flat_put(w, 1, (uint64_t)kind, 1);
    flat_ref root = flat_end(w);
    size_t n;
    const uint8_t *bytes = flat_finish(w, root, &n);
    size_t start = (size_t)s->at, total = padded(start + 8 + n) - start - 8;
    uint32_t head[2] = {0xffffffff, (uint32_t)total};
    *where = (place){(int64_t)start, (int32_t)(total + 8), 0, body};
    int rc = put(s, head, sizeof head);
    if (rc == FR_OK) {
        rc = put(s, bytes, n);
    }
    return rc == FR_OK ? put_padding(s, start + 8 + n) : rc;
}

static int put_schema(sink *s, const fr_frame *f)
{
    flat_writer w;
    place ignored;
    flat_init(&w);
    int rc = put_message(s, &w, ARROW_SCHEMA, arrow_schema_write(&w, f), 0, &ignored);
    flat_fini(&w);
    return rc;
}

static int put_dictionary(sink *s, const fr_array *dict, size_t id, place *where)
{
    node nodes[1];
    span spans[3];
    batch b = {nodes, spans, 0, 0, 0};
    flat_writer w;
    plan(&b, dict);
    flat_init(&w);
    flat_ref data = write_batch(&w, &b, dict->length);
    flat_table(&w, 2);
    flat_put(&w, 0, id, 8);
    flat_put_ref(&w, 1, data);
    flat_ref header = flat_end(&w);
    int rc = put_message(s, &w, ARROW_DICTIONARY, header, b.size, where);
    flat_fini(&w);
    return rc == FR_OK ? put_array(s, dict) : rc;
}

static int put_batch(sink *s, const fr_frame *f, place *where)
{
    batch b = {fr_alloc((f->columns + 1) * sizeof(node)),
               fr_alloc((f->columns * 3 + 1) * sizeof(span)), 0, 0, 0};
    flat_writer w;
    flat_init(&w);
    for (size_t i = 0; i < f->columns; i++) {
        plan(&b, f->cols[i]);
    }
    flat_ref header = write_batch(&w, &b, f->rows);
    int rc = put_message(s, &w, ARROW_BATCH, header, b.size, where);
    for (size_t i = 0; i < f->columns && rc == FR_OK; i++) {
        rc = put_array(s, f->cols[i]);
    }
    flat_fini(&w);
    fr_free(b.nodes);
    fr_free(b.spans);
    return rc;
}

static int put_footer(sink *s, const fr_frame *f, const place *dictionaries, size_t n,
                      const place *records)
{
    static const uint32_t end[2] = {0xffffffff, 0};
    flat_writer w;
    size_t size;
    flat_init(&w);
    flat_ref batches = flat_structs(&w, records, sizeof *records, 1);
    flat_ref dicts = flat_structs(&w, dictionaries, sizeof *dictionaries, n);
    flat_ref schema = arrow_schema_write(&w, f);
    flat_table(&w, 4);
    flat_put_ref(&w, 1, schema);
    flat_put_ref(&w, 2, dicts);
    flat_put_ref(&w, 3, batches);
    flat_put(&w, 0, ARROW_V5, 2);
    flat_ref root = flat_end(&w);
    const uint8_t *bytes = flat_finish(&w, root, &size);
    uint32_t length = (uint32_t)size;
    int rc = put(s, end, sizeof end);
    if (rc == FR_OK) {
        rc = put(s, bytes, size);
    }
    if (rc == FR_OK) {
        rc = put(s, &length, sizeof length);
    }
    flat_fini(&w);
    return rc == FR_OK ? put(s, "ARROW1", ARROW_MAGIC) : rc;
}

static int write_frame(const fr_frame *f, int fd, const char *path, fr_err *err)
{
    sink s = {.fd = fd, .path = path, .err = err};
    place *dictionaries = fr_alloc((f->columns + 1) * sizeof *dictionaries), records;
    size_t n = 0;
    int rc = put(&s, "ARROW1\0", 8);
    if (rc == FR_OK) {
        rc = put_schema(&s, f);
    }
    for (size_t i = 0; i < f->columns && rc == FR_OK; i++) {
        if (f->cols[i]->type.kind == FR_CATEGORY) {
            rc = put_dictionary(&s, f->cols[i]->dict, i, &dictionaries[n++]);
        }
    }
    if (rc == FR_OK) {
        rc = put_batch(&s, f, &records);
    }
    if (rc == FR_OK) {
        rc = put_footer(&s, f, dictionaries, n, &records);
    }
    fr_free(dictionaries);
    return rc;
}

int fr_arrow_save(const fr_frame *f, const char *path, fr_err *err)
{
    int fd;
    int rc = fr_sys_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666, &fd, err);
    if (rc == FR_OK) {
        rc = write_frame(f, fd, path, err);
        fr_sys_close(fd);
    }
    return rc;
}

int fr_arrow_write(const fr_frame *f, const char *path, fr_err *err)
{
    fr_outfile o;
    int rc = fr_outfile_open(path, &o, err);
    if (rc == FR_OK) {
        rc = fr_outfile_close(&o, write_frame(f, o.fd, path, err), err);
    }
    return rc;
}

int fr_arrow_save_array(const fr_array *a, const char *path, fr_err *err)
{
    const char *name = "";
    fr_array *column = fr_array_ref(a);
    fr_frame *f = NULL;
    int rc = fr_frame_new(1, &name, &column, &f, err);
    if (rc == FR_OK) {
        rc = fr_arrow_save(f, path, err);
    }
    fr_frame_unref(f);
    fr_array_unref(column);
    return rc;
}
