#include "core/base/mem.h"
#include "core/data/csv_int.h"
#include "core/data/jsonl.h"
#include "core/data/show.h"

#include <math.h>
#include <string.h>

typedef struct writer {
    const fr_frame *f;
    const fr_jsonl_write_options *o;
    fr_show *shows;                   // per column
    fr_buf *keys;                     // per column: "key": as written
} writer;

static void put_text(fr_buf *b, const char *s, size_t n)
{
    static const char hex[] = "0123456789abcdef", names[] = "\b\f\n\r\t", letters[] = "bfnrt";
    size_t from = 0;
    fr_buf_put_u8(b, '"');
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)s[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        fr_buf_put(b, s + from, i - from);
        from = i + 1;
        const char *known = c != 0 && c < 0x20 ? strchr(names, c) : NULL;
        fr_buf_put_u8(b, '\\');
        if (known != NULL) {
            fr_buf_put_u8(b, (uint8_t)letters[known - names]);
        } else if (c >= 0x20) {
            fr_buf_put_u8(b, c);
        } else {
            fr_buf_put_str(b, "u00");
            fr_buf_put_u8(b, (uint8_t)hex[c >> 4]);
            fr_buf_put_u8(b, (uint8_t)hex[c & 15]);
        }
    }
    fr_buf_put(b, s + from, n - from);
    fr_buf_put_u8(b, '"');
}

static void put_value(const writer *w, fr_buf *b, size_t column, int64_t row)
{
    enum { DATE = 10 };               // bytes before the blank of a timestamp
    const fr_array *a = w->f->cols[column];
    bool number = fr_kind_number(a->type.kind) || a->type.kind == FR_BOOL;
    size_t n;
    if (a->type.kind == FR_UTF8 || a->type.kind == FR_CATEGORY) {
        const char *s = fr_array_text(a, row, &n);
        put_text(b, s, n);
        return;
    }
    if ((a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32) &&
        !isfinite(fr_array_number(a, row))) {
        fr_buf_put_str(b, "null");
        return;
    }
    if (!number) {
        fr_buf_put_u8(b, '"');
    }
    size_t start = b->size;
    fr_show_cell(&w->shows[column], row, b);
    if (a->type.kind == FR_TIMESTAMP && !b->failed && b->size - start > DATE) {
        uint8_t *blank = memchr(b->data + start, ' ', b->size - start);
        if (blank != NULL) {
            *blank = 'T';
        }
    }
    if (!number) {
        fr_buf_put_u8(b, '"');
    }
}

static void put_rows(void *ctx, fr_buf *b, int64_t from, int64_t to)
{
    const writer *w = ctx;
    for (int64_t row = from; row < to; row++) {
        bool first = true;
        fr_buf_put_u8(b, '{');
        for (size_t i = 0; i < w->f->columns; i++) {
            bool has = fr_array_has(w->f->cols[i], row);
            if (!has && w->o->omit) {
                continue;
            }
            if (!first) {
                fr_buf_put_u8(b, ',');
            }
            first = false;
            fr_buf_put(b, w->keys[i].data, w->keys[i].size);
            if (has) {
                put_value(w, b, i, row);
            } else {
                fr_buf_put_str(b, "null");
            }
        }
        fr_buf_put_str(b, "}\n");
    }
}

// JSON has no NaN and no infinities.
static int check_numbers(const fr_frame *f, fr_err *err)
{
    for (size_t i = 0; i < f->columns; i++) {
        const fr_array *a = f->cols[i];
        bool floats = a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32;
        for (int64_t k = 0; floats && k < a->length; k++) {
            if (fr_array_has(a, k) && !isfinite(fr_array_number(a, k))) {
                return fr_fail(err, FR_EINVAL, "column \"%.60s\", row %lld: JSON has no %s: nan = "
                               "\"null\" writes null instead", f->names[i], (long long)k + 1,
                               isnan(fr_array_number(a, k)) ? "NaN" : "infinities");
            }
        }
    }
    return FR_OK;
}

static void writer_fini(writer *w)
{
    for (size_t i = 0; i < w->f->columns; i++) {
        fr_show_fini(&w->shows[i]);
        fr_buf_fini(&w->keys[i]);
    }
    fr_free(w->shows);
    fr_free(w->keys);
}

static int writer_init(writer *w, const fr_frame *f, const fr_jsonl_write_options *o, fr_err *err)
{
    *w = (writer){.f = f, .o = o};
    w->shows = fr_zalloc((f->columns + 1) * sizeof *w->shows);
    w->keys = fr_zalloc((f->columns + 1) * sizeof *w->keys);
    int rc = o->nan_null ? FR_OK : check_numbers(f, err);
    for (size_t i = 0; i < f->columns && rc == FR_OK; i++) {
        fr_buf_init(&w->keys[i], UINT32_MAX);
        put_text(&w->keys[i], f->names[i], strlen(f->names[i]));
        fr_buf_put_u8(&w->keys[i], ':');
        rc = fr_show_init(&w->shows[i], f->cols[i], err);
    }
    return rc;
}

static int write_lines(const fr_frame *f, const fr_jsonl_write_options *o, const char *path,
                       fr_buf *buf, fr_err *err)
{
    writer w;
    fr_buf head = {0};
    int rc = writer_init(&w, f, o, err);
    if (rc == FR_OK) {
        rc = csv_write_lines(path, buf, &head, f->rows, put_rows, &w, err);
    }
    writer_fini(&w);
    return rc;
}

int fr_jsonl_write(const fr_frame *f, const char *path, const fr_jsonl_write_options *o,
                   fr_err *err)
{
    return write_lines(f, o, path, NULL, err);
}

int fr_jsonl_write_buf(const fr_frame *f, const fr_jsonl_write_options *o, fr_buf *out,
                       fr_err *err)
{
    return write_lines(f, o, NULL, out, err);
}
