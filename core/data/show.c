#include "core/data/show.h"

#include "core/base/decimal.h"
#include "core/base/mem.h"
#include "core/data/when.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CELL_MOST = 40, DIGITS = 6 };

int fr_show_init(fr_show *s, const fr_array *a, fr_err *err)
{
    *s = (fr_show){.array = a};
    if (a->type.kind == FR_TIMESTAMP && a->type.zone[0] != 0) {
        return fr_zone_open(a->type.zone, &s->zone, err);
    }
    return FR_OK;
}

void fr_show_fini(fr_show *s)
{
    fr_zone_unref(s->zone);
    s->zone = NULL;
}

static void show_time(const fr_show *s, int64_t i, fr_buf *out)
{
    const fr_array *a = s->array;
    char text[FR_WHEN_MAX];
    int64_t v = fr_array_int(a, i);
    switch ((int)a->type.kind) {
    case FR_DATE:
        (void)fr_when_print_date(v, text);
        break;
    case FR_TIME:
        (void)fr_when_print_time(v, text);
        break;
    case FR_DURATION:
        (void)fr_when_print_duration(v, a->type.unit, text);
        break;
    default: {
        int64_t seconds = fr_floor_div(v, fr_unit_per_second(a->type.unit));
        int32_t offset = s->zone != NULL ? fr_zone_offset(s->zone, seconds) : 0;
        (void)fr_when_print(v, a->type.unit, a->type.zone[0] != 0, offset, text);
        break;
    }
    }
    fr_buf_put_str(out, text);
}

void fr_show_cell(const fr_show *s, int64_t i, fr_buf *out)
{
    const fr_array *a = s->array;
    char text[FR_DECIMAL_MAX];
    size_t n;
    const char *t;
    if (!fr_array_has(a, i)) {
        fr_buf_put_str(out, "null");
        return;
    }
    switch (a->type.kind) {
    case FR_BOOL:
        fr_buf_put_str(out, fr_array_bool(a, i) ? "true" : "false");
        break;
    case FR_FLOAT32:
    case FR_FLOAT64:
        (void)fr_decimal_print(fr_array_number(a, i), text);
        fr_buf_put_str(out, text);
        break;
    case FR_UTF8:
    case FR_CATEGORY:
        t = fr_array_text(a, i, &n);
        fr_buf_put(out, t, n);
        break;
    case FR_DATE:
    case FR_TIME:
    case FR_TIMESTAMP:
    case FR_DURATION:
        show_time(s, i, out);
        break;
    case FR_UINT64:
        fr_buf_printf(out, "%llu", (unsigned long long)fr_array_int(a, i));
        break;
    case FR_INT8:
    case FR_INT16:
    case FR_INT32:
    case FR_INT64:
    case FR_UINT8:
    case FR_UINT16:
    case FR_UINT32:
        fr_buf_printf(out, "%lld", (long long)fr_array_int(a, i));
        break;
    }
}

// --- tables ---

// How the floats of one column are written: all with `decimals`, or all with an exponent.
typedef struct style {
    bool scientific;
    int decimals;
} style;

static style style_of(const fr_array *a, const int64_t *rows, size_t n)
{
    style s = {false, 0};
    double most = 0, least = (double)INFINITY;
    for (size_t k = 0; k < n; k++) {
        double v = fr_array_has(a, rows[k]) ? fabs(fr_array_number(a, rows[k])) : 0;
        if (isfinite(v) && v > 0) {
            most = FR_MAX(most, v);
            least = FR_MIN(least, v);
        }
    }
    s.scientific =
        most >= 1e12 || (most > 0 && most < 1e-4) || (least < 1e-6 && most >= 1e6);
    for (size_t k = 0; k < n && !s.scientific; k++) {
        double v = fr_array_has(a, rows[k]) ? fr_array_number(a, rows[k]) : 0;
        char text[64];
        if (!isfinite(v)) {
            continue;
        }
        int room = v == 0 ? 0 : DIGITS - 1 - (int)floor(log10(fabs(v)));
        room = FR_MIN(FR_MAX(room, 0), 9);
        (void)snprintf(text, sizeof text, "%.*f", room, v);
        size_t size = strlen(text);
        const char *dot = strchr(text, '.');
        while (dot != NULL && text[size - 1] == '0') {
            size--;
        }
        int used = dot != NULL ? (int)(text + size - dot) - 1 : 0;
        s.decimals = FR_MAX(s.decimals, used);
    }
    return s;
}

static void put_float(const style *s, double v, fr_buf *out)
{
    if (!isfinite(v)) {
        fr_buf_put_str(out, isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
    } else if (s->scientific) {
        fr_buf_printf(out, "%.*e", DIGITS - 1, v);
    } else {
        fr_buf_printf(out, "%.*f", s->decimals, v);
    }
}

// Columns a text takes on a terminal; wide East Asian characters count as one.
static size_t width_of(const char *s, size_t n)
{
    size_t width = 0;
    for (size_t i = 0; i < n; i++) {
        width += ((unsigned char)s[i] & 0xc0) != 0x80;
    }
    return width;
}

// One line, control characters visible, cut with an ellipsis.
static void put_text(const char *s, size_t n, fr_buf *out)
{
    size_t width = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        bool starts = (c & 0xc0) != 0x80;
        if (starts && ++width >= CELL_MOST && i + 1 < n) {
            fr_buf_put_str(out, "…");
            return;
        }
        if (c == '\n' || c == '\t' || c == '\r') {
            fr_buf_put_str(out, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r");
        } else if (c < 32 || c == 127) {
            fr_buf_printf(out, "\\x%02x", c);
        } else {
            fr_buf_put_u8(out, c);
        }
    }
}

typedef struct column {
    char **cells; // of the shown rows, then name and type
    size_t *widths;
    size_t width;
    bool right;
} column;

static char *take_text(fr_buf *b, size_t *width)
{
    const char *text = fr_buf_text(b);
    *width = width_of(text, b->size);
    char *copy = fr_strndup(text, b->size);
    fr_buf_clear(b);
    return copy;
}

static void column_init(column *c, const fr_frame *f, size_t i, const int64_t *rows,
                        size_t n)
{
    const fr_array *a = f->cols[i];
    fr_buf b;
    fr_buf_init(&b, 1 << 20);
    fr_show show;
    bool floats = a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32;
    bool known = fr_show_init(&show, a, NULL) == FR_OK; // else: as UTC
    style s = floats ? style_of(a, rows, n) : (style){false, 0};
    c->right = fr_kind_number(a->type.kind) || a->type.kind == FR_DURATION;
    c->cells = fr_alloc((n + 2) * sizeof *c->cells);
    c->widths = fr_alloc((n + 2) * sizeof *c->widths);
    for (size_t k = 0; k < n; k++) {
        if (floats && fr_array_has(a, rows[k])) {
            put_float(&s, fr_array_number(a, rows[k]), &b);
        } else if ((a->type.kind == FR_UTF8 || a->type.kind == FR_CATEGORY) &&
                   fr_array_has(a, rows[k])) {
            size_t size;
            const char *text = fr_array_text(a, rows[k], &size);
            put_text(text, size, &b);
        } else {
            fr_show_cell(&show, rows[k], &b);
        }
        c->cells[k] = take_text(&b, &c->widths[k]);
    }
    if (known) {
        fr_show_fini(&show);
    }
    char type[64];
    put_text(f->names[i], strlen(f->names[i]), &b);
    c->cells[n] = take_text(&b, &c->widths[n]);
    fr_buf_put_str(&b, fr_type_name(&a->type, type));
    c->cells[n + 1] = take_text(&b, &c->widths[n + 1]);
    c->width = 0;
    for (size_t k = 0; k < n + 2; k++) {
        c->width = FR_MAX(c->width, c->widths[k]);
    }
    fr_buf_fini(&b);
}

static void column_fini(column *c, size_t n)
{
    for (size_t k = 0; k < n + 2; k++) {
        fr_free(c->cells[k]);
    }
    fr_free(c->cells);
    fr_free(c->widths);
}

static void put_spaces(fr_buf *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fr_buf_put_u8(out, ' ');
    }
}

// Line k of all shown columns; `gap` (when < n) is where columns were left out.
static void put_line(const column *c, size_t n, size_t gap, size_t k, fr_buf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (i == gap) {
            fr_buf_put_str(out, "  …");
        }
        put_spaces(out, i > 0 ? 2 : 0);
        size_t pad = c[i].width - c[i].widths[k];
        put_spaces(out, c[i].right ? pad : 0);
        fr_buf_put_str(out, c[i].cells[k]);
        put_spaces(out, c[i].right || i + 1 == n ? 0 : pad);
    }
    fr_buf_put_u8(out, '\n');
}

static void put_dots(const column *c, size_t n, size_t gap, fr_buf *out)
{
    for (size_t i = 0; i < n; i++) {
        size_t space = i > 0 ? 2 : 0;
        space += i == gap ? 3 : 0;
        put_spaces(out, space + (c[i].right ? c[i].width - 1 : 0));
        fr_buf_put_str(out, "…");
        put_spaces(out, c[i].right || i + 1 == n ? 0 : c[i].width - 1);
    }
    fr_buf_put_u8(out, '\n');
}

static size_t choose_rows(int64_t rows, int64_t most, int64_t *shown)
{
    int64_t n = rows <= most ? rows : FR_MAX(most, 2),
            head = rows <= most ? n : (n + 1) / 2;
    for (int64_t k = 0; k < n; k++) {
        shown[k] = k < head ? k : rows - (n - k);
    }
    return (size_t)n;
}

static const char *thousands(int64_t n, char out[32])
{
    char digits[32];
    int size = snprintf(digits, sizeof digits, "%lld", (long long)n), at = 0;
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) {
            out[at++] = ',';
        }
        out[at++] = digits[i];
    }
    out[at] = 0;
    return out;
}

static void put_shape(const fr_frame *f, fr_buf *out)
{
    char rows[32], columns[32];
    fr_buf_printf(out, "%s row%s x %s column%s", thousands(f->rows, rows),
                  f->rows == 1 ? "" : "s", thousands((int64_t)f->columns, columns),
                  f->columns == 1 ? "" : "s");
}

void fr_show_frame(const fr_frame *f, int64_t most_rows, size_t width, fr_buf *out)
{
    int64_t *rows = fr_alloc((size_t)(FR_MAX(most_rows, 2) + 1) * sizeof *rows);
    size_t n = choose_rows(f->rows, most_rows, rows);
    column *left = NULL, *right = NULL;
    size_t nleft = 0, nright = 0, used = 0, most = width / 3 + 2;
    left = fr_alloc(most * sizeof *left);
    right = fr_alloc(most * sizeof *right);
    // From both ends towards the middle, two left for each right one, while there is
    // room.
    while (nleft + nright < f->columns) {
        bool take_right = nright * 2 < nleft;
        size_t i = take_right ? f->columns - 1 - nright : nleft;
        column *c = take_right ? &right[nright] : &left[nleft];
        column_init(c, f, i, rows, n);
        size_t room = nleft + nright + 1 < f->columns ? 3 : 0;
        if (used > 0 && used + 2 + c->width + room > width) {
            column_fini(c, n);
            break;
        }
        used += c->width + (used > 0 ? 2 : 0);
        nright += take_right;
        nleft += !take_right;
    }
    size_t shown = nleft + nright, gap = shown < f->columns ? nleft : SIZE_MAX;
    column *all = fr_alloc((shown + 1) * sizeof *all);
    memcpy(all, left, nleft * sizeof *all);
    for (size_t i = 0; i < nright; i++) {
        all[nleft + i] = right[nright - 1 - i];
    }
    if (shown > 0) {
        put_line(all, shown, gap, n, out);
        put_line(all, shown, gap, n + 1, out);
    }
    for (size_t k = 0; k < n && shown > 0; k++) {
        if (k > 0 && rows[k] != rows[k - 1] + 1) {
            put_dots(all, shown, gap, out);
        }
        put_line(all, shown, gap, k, out);
    }
    put_shape(f, out);
    for (size_t i = 0; i < shown; i++) {
        column_fini(&all[i], n);
    }
    fr_free(all);
    fr_free(left);
    fr_free(right);
    fr_free(rows);
}

void fr_show_array(const fr_array *a, int64_t most, fr_buf *out)
{
    char type[64], length[32];
    fr_show s;
    bool known = fr_show_init(&s, a, NULL) == FR_OK;
    fr_buf_printf(out, "%s[%s]:", fr_type_name(&a->type, type),
                  thousands(a->length, length));
    for (int64_t i = 0; i < FR_MIN(a->length, most); i++) {
        fr_buf_put_str(out, i > 0 ? ", " : " ");
        if ((a->type.kind == FR_UTF8 || a->type.kind == FR_CATEGORY) &&
            fr_array_has(a, i)) {
            size_t n;
            const char *text = fr_array_text(a, i, &n);
            put_text(text, n, out);
        } else {
            fr_show_cell(&s, i, out);
        }
    }
    if (a->length > most) {
        fr_buf_put_str(out, ", …");
    }
    if (known) {
        fr_show_fini(&s);
    }
}
