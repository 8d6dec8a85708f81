#include "core/base/decimal.h"
#include "core/base/mem.h"
#include "core/data/xlsx_int.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_MAX = 32767 * 4 + 64 };

const char *xlsx_place(int64_t row, int64_t column, char out[XLSX_PLACE_MAX])
{
    char letters[8];
    int n = 0;
    for (int64_t c = column + 1; c > 0 && n < 7; c = (c - 1) / 26) {
        letters[n++] = (char)('A' + (c - 1) % 26);
    }
    int at = 0;
    while (n > 0) {
        out[at++] = letters[--n];
    }
    (void)snprintf(out + at, XLSX_PLACE_MAX - 8, "%lld", (long long)row + 1);
    return out;
}

// "B3": row -1 where no number follows. False when it is no place.
static bool place(const char **at, int64_t *row, int64_t *column)
{
    const char *s = *at;
    int64_t c = 0, r = 0;
    s += *s == '$';
    while (isalpha((unsigned char)*s) && c <= FR_XLSX_COLUMNS) {
        c = c * 26 + toupper((unsigned char)*s++) - 'A' + 1;
    }
    s += *s == '$';
    const char *digits = s;
    while (isdigit((unsigned char)*s) && r <= FR_XLSX_ROWS) {
        r = r * 10 + *s++ - '0';
    }
    bool row_zero = s > digits && r == 0; // "A0" is no cell
    *at = s;
    *column = c - 1;
    *row = r - 1;
    return c >= 1 && c <= FR_XLSX_COLUMNS && r <= FR_XLSX_ROWS && !row_zero;
}

int xlsx_range(const char *range, xlsx_area *out, fr_err *err)
{
    *out = (xlsx_area){0, 0, FR_XLSX_ROWS - 1, FR_XLSX_COLUMNS - 1};
    if (range == NULL) {
        return FR_OK;
    }
    const char *s = range;
    int64_t row, column;
    bool good = place(&s, &row, &column);
    out->top = FR_MAX(row, 0);
    out->left = column;
    if (good && *s == ':') {
        s++;
        good = place(&s, &row, &column);
        out->bottom = row < 0 ? FR_XLSX_ROWS - 1 : row;
        out->right = column;
    }
    good = good && *s == '\0' && out->bottom >= out->top && out->right >= out->left;
    if (!good) {
        return fr_fail(err, FR_EINVAL,
                       "range: expected places such as \"B3:F20\", \"B3\" or \"B:F\", got "
                       "\"%.40s\"",
                       range);
    }
    return FR_OK;
}

// The sheet's rows: <row r><c r s t><v>, <is><t>.
typedef struct reading {
    xlsx_cells *cells;
    int64_t row, column;              // of the cell, and of the one before
    char type;                        // of the cell: n s b t(ext) e d
    xlsx_style style;
    int value, inside, spoken;        // in <v>, in <is>'s <t>, in <rPh>
    bool has;
    fr_buf text;
} reading;

static int fail_cell(const reading *r, int code, fr_err *err, const char *what, const char *text)
{
    char at[XLSX_PLACE_MAX];
    return fr_fail(err, code, "sheet \"%.60s\", cell %s: %s%.60s", r->cells->sheet,
                   xlsx_place(r->row, r->column, at), what, text);
}

static int start_row(reading *r, const char *const *attributes, fr_err *err)
{
    const char *ref = xlsx_attribute(attributes, "r");
    int64_t row = ref != NULL ? strtoll(ref, NULL, 10) - 1 : r->row + 1;
    if (row <= r->row || row >= FR_XLSX_ROWS) {
        return fr_fail(err, FR_ECORRUPT, "sheet \"%.60s\": row %lld follows row %lld",
                       r->cells->sheet, (long long)row + 1, (long long)r->row + 1);
    }
    r->row = row;
    r->column = -1;
    return FR_OK;
}

static int start_cell(reading *r, const char *const *attributes, fr_err *err)
{
    const char *ref = xlsx_attribute(attributes, "r");
    const char *type = xlsx_attribute(attributes, "t");
    const char *style = xlsx_attribute(attributes, "s");
    int64_t row = r->row, column = r->column + 1;
    const char *at = ref;
    if (ref != NULL && (!place(&at, &row, &column) || *at != '\0' || row != r->row)) {
        return fr_fail(err, FR_ECORRUPT, "sheet \"%.60s\", row %lld: a cell at \"%.20s\"",
                       r->cells->sheet, (long long)r->row + 1, ref);
    }
    if (column <= r->column || column >= FR_XLSX_COLUMNS) {
        return fr_fail(err, FR_ECORRUPT, "sheet \"%.60s\", row %lld: cells are out of order",
                       r->cells->sheet, (long long)r->row + 1);
    }
    r->column = column;
    r->type = type == NULL                       ? 'n'
              : strcmp(type, "str") == 0         ? 't'
              : strcmp(type, "inlineStr") == 0   ? 't'
                                                 : type[0];
    const xlsx_book *b = r->cells->book;
    size_t k = style != NULL ? (size_t)strtoul(style, NULL, 10) : 0;
    r->style = k < b->n_styles ? (xlsx_style)b->styles[k] : XLSX_PLAIN;
    r->has = false;
    fr_buf_clear(&r->text);
    return FR_OK;
}

static int on_start(void *ctx, const char *name, const char *const *attributes, fr_err *err)
{
    reading *r = ctx;
    if (strcmp(name, "row") == 0) {
        return start_row(r, attributes, err);
    }
    if (strcmp(name, "c") == 0) {
        return r->row < 0 ? fr_fail(err, FR_ECORRUPT, "a cell outside of a row")
                          : start_cell(r, attributes, err);
    }
    bool value = strcmp(name, "v") == 0, inside = strcmp(name, "t") == 0;
    r->value += value;
    r->inside += inside;
    r->has = r->has || value || (inside && r->spoken == 0);
    r->spoken += strcmp(name, "rPh") == 0;
    return FR_OK;
}

static int on_text(void *ctx, const char *s, size_t n, fr_err *err)
{
    reading *r = ctx;
    bool counts = r->value > 0 || (r->inside > 0 && r->spoken == 0);
    if (counts && r->text.size + n > VALUE_MAX) {
        return fail_cell(r, FR_ELIMIT, err, "a value of too many characters", "");
    }
    if (counts) {
        fr_buf_put(&r->text, s, n);
    }
    return FR_OK;
}

static int keep(reading *r, xlsx_cell cell, fr_err *err)
{
    xlsx_cells *c = r->cells;
    xlsx_column *column = &c->columns[r->column];
    if (column->n == column->capacity) {
        size_t capacity = column->capacity * 2 + 16;
        xlsx_cell *cells = fr_try_realloc(column->cells, capacity * sizeof *cells);
        if (cells == NULL) {
            return fr_fail(err, FR_ENOMEM, "no memory for %zu cells", capacity);
        }
        column->cells = cells;
        column->capacity = capacity;
    }
    cell.row = (uint32_t)r->row;
    column->cells[column->n++] = cell;
    xlsx_area *u = &c->used;
    bool first = u->bottom < u->top;
    u->top = first ? r->row : u->top;
    u->bottom = r->row;
    u->left = first ? r->column : FR_MIN(u->left, r->column);
    u->right = first ? r->column : FR_MAX(u->right, r->column);
    return FR_OK;
}

static int keep_number(reading *r, const char *s, fr_err *err)
{
    xlsx_cell cell = {.kind = XLSX_NUMBER, .style = (uint8_t)r->style};
    if (!fr_decimal_parse(s, r->text.size, &cell.number)) {
        return fail_cell(r, FR_ECORRUPT, err, "expected a number, got ", s);
    }
    return keep(r, cell, err);
}

// An ISO date in the file (t="d") stays text here: a wanted type reads it.
static int keep_text(reading *r, const char *s, fr_err *err)
{
    xlsx_cell cell = {.kind = XLSX_TEXT};
    xlsx_book *b = r->cells->book;
    if (r->type == 's') {
        cell.text = (size_t)strtoull(s, NULL, 10);
        if (cell.text >= b->n_shared || !isdigit((unsigned char)s[0])) {
            return fail_cell(r, FR_ECORRUPT, err, "there is no shared text ", s);
        }
        size_t n;
        (void)xlsx_text(&b->texts, cell.text, &n);
        return n == 0 ? FR_OK : keep(r, cell, err);
    }
    if (r->text.size == 0) {
        return FR_OK;
    }
    cell.text = b->texts.n;
    int rc = xlsx_texts_add(&b->texts, s, r->text.size, false, err);
    xlsx_texts_end(&b->texts);
    return rc == FR_OK ? keep(r, cell, err) : rc;
}

static int end_cell(reading *r, fr_err *err)
{
    const xlsx_area *w = &r->cells->wanted;
    bool inside = r->row >= w->top && r->row <= w->bottom && r->column >= w->left &&
                  r->column <= w->right;
    const char *s = fr_buf_text(&r->text);
    if (!inside || !r->has) {
        return FR_OK;
    }
    switch (r->type) {
    case 'n':
        return r->text.size == 0 ? FR_OK : keep_number(r, s, err);
    case 'b':
        return keep(r, (xlsx_cell){.kind = XLSX_BOOL, .number = s[0] == '1' || s[0] == 't'}, err);
    case 's':
    case 't':
    case 'd':
        return keep_text(r, s, err);
    case 'e':
        if (strcmp(s, "#N/A") == 0) {
            return FR_OK; // missing, said in Excel's way
        }
        return fail_cell(r, FR_EPARSE, err, "the formula's result is ", s);
    default:
        return fail_cell(r, FR_ECORRUPT, err, "a value of an unknown kind", "");
    }
}

static int on_end(void *ctx, const char *name, fr_err *err)
{
    reading *r = ctx;
    r->value -= strcmp(name, "v") == 0;
    r->inside -= strcmp(name, "t") == 0;
    r->spoken -= strcmp(name, "rPh") == 0;
    return strcmp(name, "c") == 0 ? end_cell(r, err) : FR_OK;
}

int xlsx_cells_read(xlsx_cells *c, const char *part, fr_err *err)
{
    static const xlsx_sink sink = {on_start, on_end, on_text};
    bool found;
    reading r = {.cells = c, .row = -1, .column = -1};
    fr_buf_init(&r.text, VALUE_MAX);
    c->used = (xlsx_area){0, 0, -1, -1};
    c->columns = fr_zalloc(FR_XLSX_COLUMNS * sizeof *c->columns);
    int rc = xlsx_parse(&c->book->zip, part, &sink, &r, &found, err);
    if (rc == FR_OK && !found) {
        rc = fr_fail(err, FR_ECORRUPT, "sheet \"%.60s\": there is no part %.80s", c->sheet, part);
    }
    fr_buf_fini(&r.text);
    return rc;
}

void xlsx_cells_fini(xlsx_cells *c)
{
    for (size_t i = 0; c->columns != NULL && i < FR_XLSX_COLUMNS; i++) {
        fr_free(c->columns[i].cells);
    }
    fr_free(c->columns);
    c->columns = NULL;
}
