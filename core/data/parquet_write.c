#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/base/sys.h"
#include "core/data/compute.h"
#include "core/data/outfile.h"
#include "core/data/parquet_int.h"
#include "core/data/thrift.h"

#include <string.h>

enum {
    PAGE_ROWS = 1 << 16, PAGE_BYTES = 1 << 20,
    GROUPS_AT_ONCE = 4,               // row groups that are packed side by side, then written
    VERSION = 2,
};

// One column of one row group, packed.
typedef struct packed {
    fr_buf bytes;
    int64_t plain, size;              // bytes before packing, headers included; after it
    int64_t data_at;                  // of the first data page; the dictionary is before it
    int64_t at;                       // in the file
    bool dictionary;
    int encoding;                     // of the data pages
    pq_zstd zstd;
    pq_bounds bounds;
} packed;

typedef struct writing {
    const fr_frame *f;
    const fr_parquet_write_options *o;
    packed *chunks;                   // [group * columns + column]
    fr_err **errors;
    size_t n_groups, first;           // first: of the groups in work
    fr_err *err;
} writing;

// How our kinds are stored. logical 0: as the physical type says.
typedef struct stored {
    pq_physical physical;
    int converted, logical, bits;
    bool is_signed;
} stored;

static const stored kinds[] = {
    [FR_BOOL] = {PQ_BOOLEAN, PQ_C_NONE, 0, 0, false},
    [FR_INT8] = {PQ_INT32, PQ_C_INT8, PQ_L_INTEGER, 8, true},
    [FR_INT16] = {PQ_INT32, PQ_C_INT16, PQ_L_INTEGER, 16, true},
    [FR_INT32] = {PQ_INT32, PQ_C_NONE, 0, 0, true},
    [FR_INT64] = {PQ_INT64, PQ_C_NONE, 0, 0, true},
    [FR_UINT8] = {PQ_INT32, PQ_C_UINT8, PQ_L_INTEGER, 8, false},
    [FR_UINT16] = {PQ_INT32, PQ_C_UINT16, PQ_L_INTEGER, 16, false},
    [FR_UINT32] = {PQ_INT32, PQ_C_UINT32, PQ_L_INTEGER, 32, false},
    [FR_UINT64] = {PQ_INT64, PQ_C_UINT64, PQ_L_INTEGER, 64, false},
    [FR_FLOAT32] = {PQ_FLOAT, PQ_C_NONE, 0, 0, false},
    [FR_FLOAT64] = {PQ_DOUBLE, PQ_C_NONE, 0, 0, false},
    [FR_UTF8] = {PQ_BYTES, PQ_C_UTF8, PQ_L_STRING, 0, false},
    [FR_CATEGORY] = {PQ_BYTES, PQ_C_UTF8, PQ_L_STRING, 0, false},
    [FR_DATE] = {PQ_INT32, PQ_C_DATE, PQ_L_DATE, 0, true},
    [FR_TIME] = {PQ_INT64, PQ_C_NONE, PQ_L_TIME, 0, true},
    [FR_TIMESTAMP] = {PQ_INT64, PQ_C_NONE, PQ_L_STAMP, 0, true},
    [FR_DURATION] = {PQ_INT64, PQ_C_NONE, 0, 0, true},
};

static const stored *stored_of(const fr_type *t) { return &kinds[t->kind]; }

static size_t width_of(const fr_type *t)
{
    pq_physical p = stored_of(t)->physical;
    return p == PQ_INT32 || p == PQ_FLOAT ? 4 : 8;
}

// Pages.
typedef struct page {
    int type, encoding;
    size_t values;
    const uint8_t *bytes;
    size_t n;
} page;

static int put_page(const writing *w, packed *out, const page *p, fr_buf *scratch, fr_err *err)
{
    if (p->n > INT32_MAX) {
        return fr_fail(err, FR_ELIMIT, "more than 2 GiB in a page");
    }
    fr_buf_clear(scratch);
    int rc = pq_pack(w->o->codec, w->o->level, &out->zstd, p->bytes, p->n, scratch, err);
    if (rc != FR_OK) {
        return rc;
    }
    size_t before = out->bytes.size;
    thrift_writer t = thrift_writer_of(&out->bytes);
    thrift_begin(&t, 0);
    thrift_put_int(&t, 1, THRIFT_I32, p->type);
    thrift_put_int(&t, 2, THRIFT_I32, (int64_t)p->n);
    thrift_put_int(&t, 3, THRIFT_I32, (int64_t)scratch->size);
    thrift_begin(&t, p->type == PQ_DICTIONARY_PAGE ? 7 : 5);
    thrift_put_int(&t, 1, THRIFT_I32, (int64_t)p->values);
    thrift_put_int(&t, 2, THRIFT_I32, p->encoding);
    if (p->type == PQ_DATA_PAGE) {
        thrift_put_int(&t, 3, THRIFT_I32, PQ_RLE);
        thrift_put_int(&t, 4, THRIFT_I32, PQ_RLE);
    }
    thrift_end(&t);
    thrift_end(&t);
    out->plain += (int64_t)(out->bytes.size - before + p->n);
    fr_buf_put(&out->bytes, scratch->data, scratch->size);
    return fr_buf_check(&out->bytes, err);
}

// Rows of the next page: at most PAGE_ROWS, and about PAGE_BYTES of text.
static int64_t page_rows(const fr_array *a, int64_t at, int64_t end)
{
    int64_t n = FR_MIN(end - at, PAGE_ROWS);
    if (a->type.kind != FR_UTF8) {
        return n;
    }
    const int64_t *o = fr_array_offsets(a);
    while (n > 1 && o[at + n] - o[at] > PAGE_BYTES) {
        n /= 2;
    }
    return n;
}

static int put_dictionary(const writing *w, packed *out, const pq_dictionary *d, fr_buf *scratch,
                          fr_err *err)
{
    page p = {PQ_DICTIONARY_PAGE, PQ_PLAIN, d->n, d->plain.data, d->plain.size};
    out->dictionary = true;
    out->encoding = PQ_RLE_DICTIONARY;
    return put_page(w, out, &p, scratch, err);
}

static int put_pages(const writing *w, const fr_array *a, int64_t at, int64_t end,
                     const pq_dictionary *d, packed *out, fr_err *err)
{
    const stored *s = stored_of(&a->type);
    fr_buf values, scratch, pack;
    size_t code = 0;
    int rc = FR_OK;
    fr_buf_init(&values, UINT32_MAX);
    fr_buf_init(&scratch, UINT32_MAX);
    fr_buf_init(&pack, UINT32_MAX);
    if (out->encoding == PQ_RLE_DICTIONARY) {
        rc = put_dictionary(w, out, d, &pack, err);
    }
    out->data_at = (int64_t)out->bytes.size;
    unsigned width = d->n > 1 ? 64 - (unsigned)__builtin_clzll(d->n - 1) : 0;
    while (at < end && rc == FR_OK) {
        int64_t n = page_rows(a, at, end);
        fr_buf_clear(&values);
        pq_put_levels(a, at, n, &values);
        if (out->encoding == PQ_RLE_DICTIONARY) {
            size_t first = code;
            for (int64_t i = at; i < at + n; i++) {
                code += fr_array_has(a, i);
            }
            pq_put_indexes(d->codes + first, code - first, width, &values);
        } else if (s->physical == PQ_BYTES) {
            pq_put_texts(a, at, n, &scratch, &values);
        } else if (s->physical == PQ_BOOLEAN) {
            pq_put_bools(a, at, n, &values);
        } else {
            bool deltas = out->encoding != PQ_PLAIN;
            pq_put_fixed(a, at, n, width_of(&a->type), deltas, &scratch, &values);
        }
        rc = values.failed ? fr_fail(err, FR_ENOMEM, "no memory for a page") : FR_OK;
        page p = {PQ_DATA_PAGE, out->encoding, (size_t)n, values.data, values.size};
        rc = rc == FR_OK ? put_page(w, out, &p, &pack, err) : rc;
        at += n;
        if (rc == FR_OK && fr_cancelled()) {
            rc = fr_fail(err, fr_cancel_code(), "writing stopped");
        }
    }
    fr_buf_fini(&values);
    fr_buf_fini(&scratch);
    fr_buf_fini(&pack);
    return rc;
}

static int encode(writing *w, size_t i, fr_err *err)
{
    const fr_array *a = w->f->cols[i % w->f->columns];
    int64_t at = (int64_t)(i / w->f->columns) * w->o->group_rows;
    int64_t end = FR_MIN(at + w->o->group_rows, w->f->rows);
    const stored *s = stored_of(&a->type);
    bool text = s->physical == PQ_BYTES, whole = s->physical == PQ_INT32 || s->physical == PQ_INT64;
    packed *out = &w->chunks[i];
    pq_dictionary d = {0};
    int rc = FR_OK;
    fr_buf_init(&out->bytes, (size_t)1 << 40);
    if (a->type.kind == FR_CATEGORY || (text && w->o->dictionary)) {
        rc = pq_dictionary_make(a, at, end - at, &d, err);
    }
    out->encoding = d.good ? PQ_RLE_DICTIONARY
                    : text ? PQ_DELTA_LENGTH
                    : whole ? PQ_DELTA_BINARY_PACKED : PQ_PLAIN;
    pq_bounds_of(a, at, end - at, width_of(&a->type), &out->bounds);
    if (rc == FR_OK) {
        rc = put_pages(w, a, at, end, &d, out, err);
    }
    pq_dictionary_fini(&d);
    pq_zstd_fini(&out->zstd);
    return rc;
}

static int encode_job(void *ctx, size_t i)
{
    writing *w = ctx;
    fr_err err = FR_ERR_INIT;
    size_t job = w->first * w->f->columns + i;
    int rc = encode(w, job, &err);
    if (rc != FR_OK) {
        rc = fr_wrap(&err, rc, "column \"%.60s\"", w->f->names[job % w->f->columns]);
        w->errors[job] = fr_alloc(sizeof err);
        *w->errors[job] = err;
    }
    return rc;
}

// Metadata.
static void put_unit(thrift_writer *t, int id, fr_unit unit)
{
    thrift_begin(t, id);
    thrift_begin(t, (int)FR_MAX(unit, FR_MILLI));
    thrift_end(t);
    thrift_end(t);
}

static void put_logical(thrift_writer *t, const fr_type *type, const stored *s)
{
    thrift_begin(t, 10);
    thrift_begin(t, s->logical);
    if (s->logical == PQ_L_INTEGER) {
        thrift_put_int(t, 1, THRIFT_I8, s->bits);
        thrift_put_bool(t, 2, s->is_signed);
    } else if (s->logical == PQ_L_TIME || s->logical == PQ_L_STAMP) {
        thrift_put_bool(t, 1, type->zone[0] != '\0');
        put_unit(t, 2, s->logical == PQ_L_TIME ? FR_NANO : type->unit);
    }
    thrift_end(t);
    thrift_end(t);
}

static void put_element(thrift_writer *t, const char *name, const fr_type *type)
{
    const stored *s = stored_of(type);
    int converted = s->converted;
    if (type->kind == FR_TIMESTAMP && type->zone[0] != '\0' && type->unit != FR_NANO) {
        converted = type->unit == FR_MICRO ? PQ_C_STAMP_MICROS : PQ_C_STAMP_MILLIS;
    }
    thrift_begin(t, 0);
    thrift_put_int(t, 1, THRIFT_I32, s->physical);
    thrift_put_int(t, 3, THRIFT_I32, 1); // OPTIONAL
    thrift_put_bytes(t, 4, name, strlen(name));
    if (converted != PQ_C_NONE) {
        thrift_put_int(t, 6, THRIFT_I32, converted);
    }
    if (s->logical != 0) {
        put_logical(t, type, s);
    }
    thrift_end(t);
}

static void put_schema(thrift_writer *t, const fr_frame *f)
{
    thrift_put_list(t, 2, THRIFT_STRUCT, f->columns + 1);
    thrift_begin(t, 0);
    thrift_put_bytes(t, 4, "schema", 6);
    thrift_put_int(t, 5, THRIFT_I32, (int64_t)f->columns);
    thrift_end(t);
    for (size_t i = 0; i < f->columns; i++) {
        put_element(t, f->names[i], &f->cols[i]->type);
    }
}

static void put_chunk(thrift_writer *t, const writing *w, const packed *c, const fr_array *a,
                      const char *name, int64_t rows)
{
    thrift_begin(t, 0);
    thrift_put_int(t, 2, THRIFT_I64, 0);
    thrift_begin(t, 3);
    thrift_put_int(t, 1, THRIFT_I32, stored_of(&a->type)->physical);
    thrift_put_list(t, 2, THRIFT_I32, c->dictionary ? 3 : 2);
    thrift_item_int(t, PQ_RLE);
    thrift_item_int(t, c->encoding);
    if (c->dictionary) {
        thrift_item_int(t, PQ_PLAIN);
    }
    thrift_put_list(t, 3, THRIFT_BINARY, 1);
    thrift_item_bytes(t, name, strlen(name));
    thrift_put_int(t, 4, THRIFT_I32, w->o->codec);
    thrift_put_int(t, 5, THRIFT_I64, rows);
    thrift_put_int(t, 6, THRIFT_I64, c->plain);
    thrift_put_int(t, 7, THRIFT_I64, c->size);
    thrift_put_int(t, 9, THRIFT_I64, c->at + c->data_at);
    if (c->dictionary) {
        thrift_put_int(t, 11, THRIFT_I64, c->at);
    }
    thrift_begin(t, 12);
    thrift_put_int(t, 3, THRIFT_I64, c->bounds.nulls);
    if (c->bounds.known) {
        thrift_put_bytes(t, 5, c->bounds.most, c->bounds.n_most);
        thrift_put_bytes(t, 6, c->bounds.least, c->bounds.n_least);
    }
    thrift_end(t);
    thrift_end(t);
    thrift_end(t);
}

static void put_groups(thrift_writer *t, const writing *w)
{
    const fr_frame *f = w->f;
    thrift_put_list(t, 4, THRIFT_STRUCT, w->n_groups);
    for (size_t g = 0; g < w->n_groups; g++) {
        int64_t rows = FR_MIN(w->o->group_rows, f->rows - (int64_t)g * w->o->group_rows), plain = 0;
        thrift_begin(t, 0);
        thrift_put_list(t, 1, THRIFT_STRUCT, f->columns);
        for (size_t i = 0; i < f->columns; i++) {
            const packed *c = &w->chunks[g * f->columns + i];
            put_chunk(t, w, c, f->cols[i], f->names[i], rows);
            plain += c->plain;
        }
        thrift_put_int(t, 2, THRIFT_I64, plain);
        thrift_put_int(t, 3, THRIFT_I64, rows);
        thrift_end(t);
    }
}

static void put_footer(const writing *w, fr_buf *to)
{
    static const char by[] = "flowrun " FLOWRUN_VERSION, key[] = "ARROW:schema";
    const fr_frame *f = w->f;
    fr_buf note;
    thrift_writer t = thrift_writer_of(to);
    fr_buf_init(&note, UINT32_MAX);
    pq_arrow_note(f, &note);
    thrift_begin(&t, 0);
    thrift_put_int(&t, 1, THRIFT_I32, VERSION);
    put_schema(&t, f);
    thrift_put_int(&t, 3, THRIFT_I64, f->rows);
    put_groups(&t, w);
    thrift_put_list(&t, 5, THRIFT_STRUCT, 1);
    thrift_begin(&t, 0);
    thrift_put_bytes(&t, 1, key, sizeof key - 1);
    thrift_put_bytes(&t, 2, note.data, note.size);
    thrift_end(&t);
    thrift_put_bytes(&t, 6, by, sizeof by - 1);
    thrift_put_list(&t, 7, THRIFT_STRUCT, f->columns); // bounds are in the order of the type
    for (size_t i = 0; i < f->columns; i++) {
        thrift_begin(&t, 0);
        thrift_begin(&t, 1);
        thrift_end(&t);
        thrift_end(&t);
    }
    thrift_end(&t);
    fr_buf_fini(&note);
}

// Packs some groups at once, then writes them in order and forgets their bytes.
static int write_groups(writing *w, const fr_outfile *file, int64_t *at)
{
    size_t columns = w->f->columns;
    int rc = FR_OK;
    for (w->first = 0; w->first < w->n_groups && rc == FR_OK; w->first += GROUPS_AT_ONCE) {
        size_t jobs = FR_MIN(w->n_groups - w->first, (size_t)GROUPS_AT_ONCE) * columns;
        rc = fr_pool_try(jobs, encode_job, w);
        for (size_t i = w->first * columns; i < w->first * columns + jobs; i++) {
            packed *c = &w->chunks[i];
            if (rc != FR_OK && w->errors[i] != NULL) {
                return fr_fail(w->err, rc, "%s", w->errors[i]->text);
            }
            if (rc != FR_OK) {
                continue;
            }
            c->at = *at;
            rc = fr_sys_write(file->fd, c->bytes.data, c->bytes.size, file->path, w->err);
            c->size = (int64_t)c->bytes.size;
            *at += c->size;
            fr_buf_fini(&c->bytes);
        }
        rc = fr_compute_failed(w->err, rc);
    }
    return rc;
}

static int check_frame(const fr_frame *f, fr_err *err)
{
    if (f->columns == 0 && f->rows > 0) {
        return fr_fail(err, FR_EINVAL, "a frame without columns: Parquet keeps no rows of nothing");
    }
    for (size_t i = 0; i < f->columns; i++) {
        const fr_array *a = f->cols[i];
        bool seconds = a->type.kind == FR_TIMESTAMP && a->type.unit == FR_SECOND;
        for (int64_t k = 0; seconds && k < a->length; k++) {
            int64_t v = fr_array_has(a, k) ? fr_array_i64(a)[k] : 0;
            if (v > INT64_MAX / 1000 || v < INT64_MIN / 1000) {
                return fr_fail(err, FR_EOVERFLOW, "column \"%.60s\", row %lld: Parquet stores "
                               "seconds as milliseconds, which do not reach it", f->names[i],
                               (long long)k + 1);
            }
        }
    }
    return FR_OK;
}

static int write_file(writing *w, const fr_outfile *file)
{
    fr_buf footer;
    int64_t at = 4;
    fr_buf_init(&footer, INT32_MAX);
    int rc = fr_sys_write(file->fd, "PAR1", 4, file->path, w->err);
    if (rc == FR_OK) {
        rc = write_groups(w, file, &at);
    }
    if (rc == FR_OK) {
        put_footer(w, &footer);
        fr_buf_put_u32(&footer, (uint32_t)footer.size);
        fr_buf_put_str(&footer, "PAR1");
        rc = fr_buf_check(&footer, w->err);
    }
    if (rc == FR_OK) {
        rc = fr_sys_write(file->fd, footer.data, footer.size, file->path, w->err);
    }
    fr_buf_fini(&footer);
    return rc;
}

void fr_parquet_write_defaults(fr_parquet_write_options *o)
{
    *o = (fr_parquet_write_options){.codec = PQ_ZSTD, .dictionary = true, .group_rows = 1 << 18};
}

int fr_parquet_codec(const char *name)
{
    static const struct {
        const char *name;
        int codec;
    } codecs[] = {{"zstd", PQ_ZSTD}, {"snappy", PQ_SNAPPY}, {"gzip", PQ_GZIP}, {"none", PQ_NONE}};
    for (size_t i = 0; i < FR_COUNT(codecs); i++) {
        if (strcmp(codecs[i].name, name) == 0) {
            return codecs[i].codec;
        }
    }
    return -1;
}

int fr_parquet_write(const fr_frame *f, const char *path, const fr_parquet_write_options *o,
                     fr_err *err)
{
    writing w = {.f = f, .o = o, .err = err};
    fr_outfile file;
    w.n_groups = (size_t)((f->rows + o->group_rows - 1) / o->group_rows);
    size_t jobs = w.n_groups * f->columns;
    int rc = check_frame(f, err);
    if (rc == FR_OK) {
        rc = fr_outfile_open(path, &file, err);
    }
    if (rc != FR_OK) {
        return rc;
    }
    w.chunks = fr_zalloc((jobs + 1) * sizeof *w.chunks);
    w.errors = fr_zalloc((jobs + 1) * sizeof *w.errors);
    rc = fr_outfile_close(&file, write_file(&w, &file), err);
    for (size_t i = 0; i < jobs; i++) {
        fr_buf_fini(&w.chunks[i].bytes);
        fr_free(w.errors[i]);
    }
    fr_free(w.chunks);
    fr_free(w.errors);
    return rc;
}
