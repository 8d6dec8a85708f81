#include "core/base/decimal.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/base/sys.h"
#include "core/base/zone.h"
#include "core/data/csv_int.h"
#include "core/data/outfile.h"
#include "core/data/when.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum { ROWS = 4096, WAVE = 32, GZIP_OUT = 1 << 18 };

static const size_t TEXT_MAX = (size_t)1 << 40;

void fr_csv_write_defaults(fr_csv_write_options *o)
{
    *o = (fr_csv_write_options){.sep = ',', .header = true, .null = ""};
}

typedef struct writer {
    const fr_frame *f;
    const fr_csv_write_options *o;
    const char *null;             // as written; never empty when a line would be blank
    size_t null_size;
    csv_nulls nulls;              // what a reader takes for null
    fr_zone **zones;              // per column, NULL: none
    uint64_t special[4];          // bytes that need quotes
} writer;

static void mark(uint64_t *set, uint8_t c) { set[c >> 6] |= UINT64_C(1) << (c & 63); }
static bool marked(const uint64_t *set, uint8_t c) { return set[c >> 6] >> (c & 63) & 1; }

static bool needs_quotes(const writer *w, const char *s, size_t n)
{
    if (n == 0 || csv_nulls_has(&w->nulls, (const uint8_t *)s, n) ||
        (n == w->null_size && memcmp(s, w->null, n) == 0)) {
        return true;
    }
    if (s[0] == ' ' || s[0] == '\t' || s[n - 1] == ' ' || s[n - 1] == '\t') {
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        if (marked(w->special, (uint8_t)s[i])) {
            return true;
        }
    }
    return false;
}

static void put_text(const writer *w, fr_buf *b, const char *s, size_t n)
{
    if (!needs_quotes(w, s, n)) {
        fr_buf_put(b, s, n);
        return;
    }
    fr_buf_put_u8(b, '"');
    const char *end = s + n;
    for (;;) {
        const char *q = s < end ? memchr(s, '"', (size_t)(end - s)) : NULL;
        if (q == NULL) {
            break;
        }
        fr_buf_put(b, s, (size_t)(q - s) + 1);
        fr_buf_put_u8(b, '"');
        s = q + 1;
    }
    fr_buf_put(b, s, (size_t)(end - s));
    fr_buf_put_u8(b, '"');
}

static void put_double(fr_buf *b, double x)
{
    char text[FR_DECIMAL_MAX];
    size_t n = fr_decimal_print(x, text);
    if (isnan(x)) {
        memcpy(text, "NaN", 3);
    }
    fr_buf_put(b, text, n);
}

static void put_stamp(const writer *w, fr_buf *b, size_t column, int64_t v)
{
    const fr_type *t = &w->f->cols[column]->type;
    const fr_zone *z = w->zones[column];
    int32_t offset = 0;
    if (z != NULL) {
        offset = fr_zone_offset(z, fr_floor_div(v, fr_unit_per_second(t->unit)));
    }
    char text[FR_WHEN_MAX];
    fr_buf_put(b, text, fr_when_print(v, t->unit, z != NULL, offset, text));
}

static void put_value(const writer *w, fr_buf *b, size_t column, int64_t row)
{
    const fr_array *a = w->f->cols[column];
    char text[FR_WHEN_MAX];
    size_t n;
    const char *s;
    switch (a->type.kind) {
    case FR_BOOL:
        fr_buf_put_str(b, fr_array_bool(a, row) ? "true" : "false");
        break;
    case FR_FLOAT64:
        put_double(b, fr_array_f64(a)[row]);
        break;
    case FR_FLOAT32:
        put_double(b, fr_array_number(a, row));
        break;
    case FR_UTF8:
    case FR_CATEGORY:
        s = fr_array_text(a, row, &n);
        put_text(w, b, s, n);
        break;
    case FR_DATE:
        fr_buf_put(b, text, fr_when_print_date(fr_array_int(a, row), text));
        break;
    case FR_TIMESTAMP:
        put_stamp(w, b, column, fr_array_int(a, row));
        break;
    case FR_TIME:
        fr_buf_put(b, text, fr_when_print_time(fr_array_int(a, row), text));
        break;
    case FR_DURATION:
        n = fr_when_print_duration(fr_array_int(a, row), a->type.unit, text);
        fr_buf_put(b, text, n);
        break;
    case FR_UINT64:
        n = (size_t)snprintf(text, sizeof text, "%llu",
                             (unsigned long long)fr_array_int(a, row));
        fr_buf_put(b, text, n);
        break;
    case FR_INT64:
    case FR_INT8:
    case FR_INT16:
    case FR_INT32:
    case FR_UINT8:
    case FR_UINT16:
    case FR_UINT32:
        fr_buf_put(b, text, fr_decimal_print_int(fr_array_int(a, row), text));
        break;
    }
}

static void put_end(const writer *w, fr_buf *b)
{
    fr_buf_put_str(b, w->o->crlf ? "\r\n" : "\n");
}

static void put_header(const writer *w, fr_buf *b)
{
    if (w->o->bom) {
        fr_buf_put_str(b, "\xef\xbb\xbf");
    }
    for (size_t i = 0; w->o->header && i < w->f->columns; i++) {
        if (i > 0) {
            fr_buf_put_u8(b, (uint8_t)w->o->sep);
        }
        put_text(w, b, w->f->names[i], strlen(w->f->names[i]));
    }
    if (w->o->header) {
        put_end(w, b);
    }
}

static void put_rows(void *ctx, fr_buf *b, int64_t from, int64_t to)
{
    const writer *w = ctx;
    for (int64_t row = from; row < to; row++) {
        for (size_t i = 0; i < w->f->columns; i++) {
            if (i > 0) {
                fr_buf_put_u8(b, (uint8_t)w->o->sep);
            }
            if (fr_array_has(w->f->cols[i], row)) {
                put_value(w, b, i, row);
            } else {
                fr_buf_put(b, w->null, w->null_size);
            }
        }
        put_end(w, b);
    }
}

// Where the bytes go.
typedef struct sink {
    fr_buf *buf;                  // or
    int fd;
    const char *path;
    z_stream *gzip;               // NULL: as they are
} sink;

static int sink_put(sink *to, const uint8_t *s, size_t n, bool last, fr_err *err)
{
    if (to->buf != NULL) {
        fr_buf_put(to->buf, s, n);
        return fr_buf_check(to->buf, err);
    }
    if (to->gzip == NULL) {
        return fr_sys_write(to->fd, s, n, to->path, err);
    }
    uint8_t *out = fr_alloc(GZIP_OUT);
    int rc = FR_OK;
    do { // at least once: the last call has no bytes but must finish the stream
        size_t give = FR_MIN(n, (size_t)1 << 30);
        to->gzip->next_in = (Bytef *)(uintptr_t)s;
        to->gzip->avail_in = (uInt)give;
        do {
            to->gzip->next_out = out;
            to->gzip->avail_out = GZIP_OUT;
            (void)deflate(to->gzip, last && give == n ? Z_FINISH : Z_NO_FLUSH);
            rc = fr_sys_write(to->fd, out, GZIP_OUT - to->gzip->avail_out, to->path, err);
        } while (rc == FR_OK && to->gzip->avail_out == 0);
        n -= give;
        s = n > 0 ? s + give : s;
    } while (rc == FR_OK && n > 0);
    fr_free(out);
    return rc;
}

// Rows are formatted in waves of chunks on all cores and written in order.
typedef struct wave {
    csv_put_rows *put;
    void *ctx;
    int64_t rows, from;           // of all; first row
    fr_buf bufs[WAVE];
} wave;

static int format_chunk(void *ctx, size_t i)
{
    wave *v = ctx;
    int64_t from = v->from + (int64_t)i * ROWS;
    fr_buf_clear(&v->bufs[i]);
    v->put(v->ctx, &v->bufs[i], from, FR_MIN(from + ROWS, v->rows));
    return v->bufs[i].failed ? FR_ENOMEM : FR_OK;
}

static int write_rows(sink *to, const fr_buf *head, int64_t rows, csv_put_rows *put, void *ctx,
                      bool last, fr_err *err)
{
    wave v = {.put = put, .ctx = ctx, .rows = rows};
    for (size_t i = 0; i < WAVE; i++) {
        fr_buf_init(&v.bufs[i], TEXT_MAX);
    }
    int rc = sink_put(to, head->data, head->size, false, err);
    for (; rc == FR_OK && v.from < rows; v.from += (int64_t)WAVE * ROWS) {
        size_t left = (size_t)(rows - v.from), n = FR_MIN((left + ROWS - 1) / ROWS, WAVE);
        rc = fr_pool_try(n, format_chunk, &v);
        if (rc != FR_OK) {
            rc = fr_fail(err, rc, "writing stopped");
        }
        for (size_t i = 0; i < n && rc == FR_OK; i++) {
            rc = sink_put(to, v.bufs[i].data, v.bufs[i].size, false, err);
        }
    }
    if (rc == FR_OK && last) {
        rc = sink_put(to, NULL, 0, true, err);
    }
    for (size_t i = 0; i < WAVE; i++) {
        fr_buf_fini(&v.bufs[i]);
    }
    return rc;
}

static int writer_init(writer *w, const fr_frame *f, const fr_csv_write_options *o,
                       fr_err *err)
{
    *w = (writer){.f = f, .o = o, .null = o->null != NULL ? o->null : ""};
    if (o->sep == '\0' || o->sep == '"' || o->sep == '\n' || o->sep == '\r') {
        return fr_fail(err, FR_EINVAL, "sep: expected one character, not a quote or line end");
    }
    if (f->columns == 1 && w->null[0] == '\0') {
        w->null = "NA"; // a blank line would be no row
    }
    w->null_size = strlen(w->null);
    csv_nulls_init(&w->nulls, fr_csv_nulls, FR_COUNT(fr_csv_nulls));
    mark(w->special, (uint8_t)o->sep);
    mark(w->special, '"');
    mark(w->special, '\n');
    mark(w->special, '\r');
    w->zones = fr_zalloc(FR_MAX(f->columns, 1) * sizeof *w->zones);
    for (size_t i = 0; i < f->columns; i++) {
        const fr_type *t = &f->cols[i]->type;
        if (t->kind == FR_TIMESTAMP && t->zone[0] != '\0') {
            int rc = fr_zone_open(t->zone, &w->zones[i], err);
            if (rc != FR_OK) {
                return fr_wrap(err, rc, "column \"%s\"", f->names[i]);
            }
        }
    }
    return FR_OK;
}

static void writer_fini(writer *w)
{
    for (size_t i = 0; w->zones != NULL && i < w->f->columns; i++) {
        fr_zone_unref(w->zones[i]);
    }
    fr_free(w->zones);
}

static int start_gzip(z_stream *z, fr_err *err)
{
    int code = deflateInit2(z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    return code == Z_OK ? FR_OK : fr_fail(err, FR_ENOMEM, "starting zlib");
}

static bool is_gzip(const char *path)
{
    size_t n = strlen(path);
    return n > 3 && strcmp(path + n - 3, ".gz") == 0;
}

static int write_fd(int fd, const char *path, bool gzip, const fr_buf *head, int64_t rows,
                    csv_put_rows *put, void *ctx, fr_err *err)
{
    z_stream z = {0};
    sink to = {.fd = fd, .path = path, .gzip = gzip ? &z : NULL};
    int rc = gzip ? start_gzip(&z, err) : FR_OK;
    if (rc != FR_OK) {
        return rc;
    }
    rc = write_rows(&to, head, rows, put, ctx, true, err);
    if (gzip) {
        (void)deflateEnd(&z);
    }
    return rc;
}

int csv_write_lines(const char *path, fr_buf *buf, const fr_buf *head, int64_t rows,
                    csv_put_rows *put, void *ctx, fr_err *err)
{
    if (path == NULL) {
        sink to = {.buf = buf};
        return write_rows(&to, head, rows, put, ctx, true, err);
    }
    bool gzip = is_gzip(path);
    fr_outfile o;
    int rc = fr_outfile_open(path, &o, err);
    if (rc == FR_OK) {
        rc = fr_outfile_close(&o, write_fd(o.fd, path, gzip, head, rows, put, ctx, err), err);
    }
    return rc;
}

static int write_csv(const fr_frame *f, const fr_csv_write_options *o, const char *path,
                     fr_buf *buf, fr_err *err)
{
    writer w;
    fr_buf head;
    fr_buf_init(&head, TEXT_MAX);
    int rc = writer_init(&w, f, o, err);
    if (rc == FR_OK) {
        put_header(&w, &head);
        rc = csv_write_lines(path, buf, &head, f->rows, put_rows, &w, err);
    }
    writer_fini(&w);
    fr_buf_fini(&head);
    return rc;
}

int fr_csv_write_buf(const fr_frame *f, const fr_csv_write_options *o, fr_buf *out, fr_err *err)
{
    return write_csv(f, o, NULL, out, err);
}

int fr_csv_write(const fr_frame *f, const char *path, const fr_csv_write_options *o, fr_err *err)
{
    return write_csv(f, o, path, NULL, err);
}

// Piece by piece.
struct fr_csv_out {
    fr_outfile file;
    const fr_csv_write_options *options;
    char *path;
    sink to;
    z_stream gzip;
    bool started;                 // the header is written
};

int fr_csv_out_open(const char *path, const fr_csv_write_options *o, fr_csv_out **out,
                    fr_err *err)
{
    *out = NULL;
    fr_csv_out *w = fr_zalloc(sizeof *w);
    w->path = fr_strdup(path);
    w->options = o;
    int rc = fr_outfile_open(w->path, &w->file, err);
    if (rc != FR_OK) {
        fr_free(w->path);
        fr_free(w);
        return rc;
    }
    w->to = (sink){.fd = w->file.fd, .path = w->path};
    if (is_gzip(path)) {
        rc = start_gzip(&w->gzip, err);
        w->to.gzip = rc == FR_OK ? &w->gzip : NULL;
    }
    if (rc != FR_OK) {
        return fr_csv_out_close(w, rc, err);
    }
    *out = w;
    return FR_OK;
}

int fr_csv_out_put(fr_csv_out *o, const fr_frame *f, fr_err *err)
{
    writer w;
    fr_buf head;
    fr_buf_init(&head, TEXT_MAX);
    int rc = writer_init(&w, f, o->options, err);
    if (rc == FR_OK && !o->started) {
        put_header(&w, &head);
    }
    if (rc == FR_OK) {
        rc = write_rows(&o->to, &head, f->rows, put_rows, &w, false, err);
        o->started = true;
    }
    writer_fini(&w);
    fr_buf_fini(&head);
    return rc;
}

int fr_csv_out_close(fr_csv_out *o, int rc, fr_err *err)
{
    if (rc == FR_OK) {
        rc = sink_put(&o->to, NULL, 0, true, err);
    }
    if (o->to.gzip != NULL) {
        (void)deflateEnd(o->to.gzip);
    }
    rc = fr_outfile_close(&o->file, rc, err);
    fr_free(o->path);
    fr_free(o);
    return rc;
}
