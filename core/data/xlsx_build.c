#include "core/base/decimal.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/nearest.h"
#include "core/data/compute.h"
#include "core/data/csv_int.h"
#include "core/data/when.h"
#include "core/data/xlsx_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN = 40, SPARSE = 1000, FEW = 1 << 22 };

static const double DAY_MS = 86400000;
static const double WHOLE_MAX = 9007199254740992; // 2^53: integers a double holds

// Excel's day numbers. 1900 has a 29 February there (number 60).
static int64_t days_of(const xlsx_book *b, double serial)
{
    int64_t day = (int64_t)floor(serial);
    if (b->from_1904) {
        return day - 24107;
    }
    return day - (day < 60 ? 25568 : 25569);
}

static bool in_range(const xlsx_book *b, double serial)
{
    bool leap = !b->from_1904 && serial >= 60 && serial < 61;
    return serial >= 0 && serial < 2958466 && !leap;
}

static int64_t stamp_of(const xlsx_book *b, double serial) // milliseconds
{
    double rest = rint((serial - floor(serial)) * DAY_MS);
    return days_of(b, serial) * (int64_t)DAY_MS + (int64_t)rest;
}

// What a column holds, to be united.
enum { SAW_INT = 1, SAW_FLOAT = 2, SAW_BOOL = 4, SAW_TEXT = 8, SAW_DATE = 16, SAW_STAMP = 32,
       SAW_TIME = 64, SAW_ELAPSED = 128 };

static unsigned saw_of(const xlsx_book *b, const xlsx_cell *cell)
{
    double x = cell->number;
    bool whole = cell->kind == XLSX_NUMBER && x == floor(x);
    if (cell->kind != XLSX_NUMBER) {
        return cell->kind == XLSX_TEXT ? SAW_TEXT : SAW_BOOL;
    }
    switch ((xlsx_style)cell->style) {
    case XLSX_DATE:
    case XLSX_STAMP:
        if (in_range(b, x)) {
            return cell->style == XLSX_DATE && whole ? SAW_DATE : SAW_STAMP;
        }
        break;
    case XLSX_TIME:
        if (x >= 0 && x < 1) {
            return SAW_TIME;
        }
        return in_range(b, x) ? SAW_STAMP : SAW_FLOAT;
    case XLSX_ELAPSED:
        if (fabs(x) < 1e9) {
            return SAW_ELAPSED;
        }
        break;
    case XLSX_PLAIN:
        break;
    }
    return whole && fabs(x) <= WHOLE_MAX ? SAW_INT : SAW_FLOAT;
}

static fr_type resolve(unsigned saw)
{
    switch (saw) {
    case SAW_INT:
        return fr_type_of(FR_INT64);
    case SAW_FLOAT:
    case SAW_INT | SAW_FLOAT:
        return fr_type_of(FR_FLOAT64);
    case SAW_BOOL:
        return fr_type_of(FR_BOOL);
    case SAW_DATE:
        return fr_type_of(FR_DATE);
    case SAW_STAMP:
    case SAW_STAMP | SAW_DATE:
        return (fr_type){.kind = FR_TIMESTAMP, .unit = FR_MILLI};
    case SAW_TIME:
        return fr_type_of(FR_TIME);
    case SAW_ELAPSED:
    case SAW_ELAPSED | SAW_TIME:
        return (fr_type){.kind = FR_DURATION, .unit = FR_MILLI};
    default:
        return fr_type_of(FR_UTF8);
    }
}

// The cell as text, as its column alone would print it.
static const char *text_of(const xlsx_cells *c, const xlsx_cell *cell, char room[FR_WHEN_MAX],
                           size_t *n)
{
    double x = cell->number;
    if (cell->kind == XLSX_TEXT) {
        return xlsx_text(&c->book->texts, cell->text, n);
    }
    switch (saw_of(c->book, cell)) {
    case SAW_BOOL:
        (void)snprintf(room, FR_WHEN_MAX, "%s", x != 0 ? "true" : "false");
        break;
    case SAW_INT:
        (void)fr_decimal_print_int((int64_t)x, room);
        break;
    case SAW_DATE:
        (void)fr_when_print_date(days_of(c->book, x), room);
        break;
    case SAW_STAMP:
        (void)fr_when_print(stamp_of(c->book, x), FR_MILLI, false, 0, room);
        break;
    case SAW_TIME:
        (void)fr_when_print_time((int64_t)rint(x * DAY_MS) % (int64_t)DAY_MS * 1000000, room);
        break;
    case SAW_ELAPSED:
        (void)fr_when_print_duration((int64_t)rint(x * DAY_MS), FR_MILLI, room);
        break;
    default:
        (void)fr_decimal_print(x, room);
        break;
    }
    *n = strlen(room);
    return room;
}

static int put_own(fr_builder *b, const xlsx_cells *c, const xlsx_cell *cell, fr_type type,
                   fr_err *err)
{
    char room[FR_WHEN_MAX];
    double x = cell->number;
    size_t n;
    switch ((int)type.kind) {
    case FR_INT64:
        return fr_builder_int(b, (int64_t)x, err);
    case FR_FLOAT64:
        return fr_builder_float(b, x, err);
    case FR_BOOL:
        return fr_builder_bool(b, x != 0, err);
    case FR_DATE:
        return fr_builder_int(b, days_of(c->book, x), err);
    case FR_TIMESTAMP:
        return fr_builder_int(b, stamp_of(c->book, x), err);
    case FR_TIME:
        return fr_builder_int(b, (int64_t)rint(x * DAY_MS) % (int64_t)DAY_MS * 1000000, err);
    case FR_DURATION:
        return fr_builder_int(b, (int64_t)rint(x * DAY_MS), err);
    default: {
        const char *s = text_of(c, cell, room, &n);
        return fr_builder_text(b, s, n, err);
    }
    }
}

// A wanted type: the cell's text, read as CSV's are.
typedef struct wanting {
    const xlsx_cells *cells;
    int64_t column;
    const char *name;
    fr_type type;
} wanting;

static int refuse(const wanting *w, const xlsx_cell *cell, const char *s, size_t n, fr_err *err)
{
    char type[64], at[XLSX_PLACE_MAX];
    return fr_fail(err, FR_EPARSE, "sheet \"%.60s\", cell %s, column \"%.60s\": expected %s, got "
                                   "%.*s%s",
                   w->cells->sheet, xlsx_place(cell->row, w->column, at), w->name,
                   fr_type_name(&w->type, type), (int)FR_MIN(n, (size_t)SHOWN), s,
                   n > SHOWN ? "..." : "");
}

static int put_wanted(fr_builder *b, const wanting *w, const xlsx_cell *cell, fr_err *err)
{
    static const csv_dialect dialect = {.sep = CSV_CUT, .newline = '\n'};
    static const csv_nulls nulls = {0};
    char room[FR_WHEN_MAX];
    size_t n;
    const char *s = text_of(w->cells, cell, room, &n);
    if (w->type.kind == FR_UTF8 || w->type.kind == FR_CATEGORY) {
        return fr_builder_text(b, s, n, err);
    }
    if (w->type.kind == FR_BOOL && cell->kind == XLSX_BOOL) {
        return fr_builder_bool(b, cell->number != 0, err);
    }
    char padded[2 * CSV_PAD + SHOWN + 8] = {0};
    if (n >= SHOWN + 8) {
        return refuse(w, cell, s, n, err); // no number or time is so long
    }
    memcpy(padded + CSV_PAD, s, n);
    uint32_t pos[2] = {UINT32_MAX, (uint32_t)n};
    uint64_t value = 0;
    csv_part part = {.values = &value};
    csv_cells one = {.text = (const uint8_t *)padded + CSV_PAD, .pos = pos, .stride = 1, .rows = 1,
                     .dialect = &dialect, .nulls = &nulls, .kind = csv_infer_kind_of(&w->type),
                     .type = &w->type};
    int rc = csv_parse_column(&one, &part, err);
    bool fits = rc == FR_OK && part.misfit == SIZE_MAX, yes = fits && part.bytes != NULL &&
                                                              part.bytes[0] != 0;
    csv_part_fini(&part);
    if (rc != FR_OK || !fits) {
        return rc != FR_OK ? rc : refuse(w, cell, s, n, err);
    }
    if (w->type.kind == FR_BOOL) {
        return fr_builder_bool(b, yes, err);
    }
    // The value as it lies, by an array of one.
    fr_block *block;
    rc = fr_block_new(sizeof value, &block, err);
    if (rc != FR_OK) {
        return rc;
    }
    memcpy(block->data, &value, sizeof value);
    fr_array a = {.type = w->type, .length = 1, .values = block};
    if (w->type.kind == FR_FLOAT64 || w->type.kind == FR_FLOAT32) {
        rc = fr_builder_float(b, fr_array_number(&a, 0), err);
    } else {
        rc = fr_builder_int(b, fr_array_int(&a, 0), err);
    }
    fr_block_unref(block);
    return rc;
}

static int build_column(const xlsx_cells *c, int64_t column, const char *name,
                        const fr_type *wanted, xlsx_area area, fr_array **out, fr_err *err)
{
    const xlsx_column *from = &c->columns[column];
    size_t first = 0;
    unsigned saw = 0;
    while (first < from->n && from->cells[first].row < area.top) {
        first++;
    }
    for (size_t i = first; i < from->n && wanted == NULL; i++) {
        saw |= saw_of(c->book, &from->cells[i]);
    }
    wanting w = {c, column, name, wanted != NULL ? *wanted : resolve(saw)};
    fr_builder *b = fr_builder_new(w.type, area.bottom - area.top + 1);
    int rc = FR_OK;
    for (int64_t row = area.top; row <= area.bottom && rc == FR_OK; row++) {
        const xlsx_cell *cell = first < from->n ? &from->cells[first] : NULL;
        if (cell == NULL || cell->row != row) {
            rc = fr_builder_null(b, err);
            continue;
        }
        first++;
        rc = wanted != NULL ? put_wanted(b, &w, cell, err)
                            : put_own(b, c, cell, w.type, err);
    }
    rc = rc == FR_OK ? fr_builder_finish(b, out, err) : rc;
    fr_builder_free(b);
    return rc;
}

// Names from the header's cells: empty ones are numbered, second ones too (with a note).
static void name_columns(const xlsx_cells *c, xlsx_area area, bool header, char **names, size_t n,
                         const char *path, fr_buf *notes)
{
    fr_map seen;
    fr_map_init(&seen);
    for (size_t i = 0; i < n; i++) {
        const xlsx_column *column = &c->columns[area.left + (int64_t)i];
        char room[FR_WHEN_MAX];
        size_t size = 0;
        const char *s = header && column->n > 0 && column->cells[0].row == area.top
                            ? text_of(c, &column->cells[0], room, &size)
                            : "";
        char *name = size > 0 ? fr_strndup(s, size) : fr_alloc(32);
        if (size == 0) {
            (void)snprintf(name, 32, "column_%zu", i + 1);
        }
        bool fresh;
        (void)fr_map_put(&seen, fr_hash_str(name), &fresh);
        for (int k = 2; !fresh; k++) {
            size_t more = strlen(name) + 16;
            char *made = fr_alloc(more);
            (void)snprintf(made, more, "%s_%d", name, k);
            (void)fr_map_put(&seen, fr_hash_str(made), &fresh);
            if (fresh && notes != NULL) {
                fr_buf_printf(notes,
                              "%s: sheet \"%s\": column %zu: another \"%s\" is named \"%s\"\n",
                              path, c->sheet, i + 1, name, made);
            }
            char *gone = fresh ? name : made;
            name = fresh ? made : name;
            fr_free(gone);
        }
        names[i] = name;
    }
    fr_map_fini(&seen);
}

static int check_types(const fr_xlsx_options *o, char *const *names, size_t n, fr_err *err)
{
    for (size_t t = 0; t < o->n_types; t++) {
        bool found = false;
        for (size_t i = 0; i < n; i++) {
            found = found || strcmp(names[i], o->types[t].column) == 0;
        }
        if (!found) {
            const char *near = fr_nearest(o->types[t].column, (const char *const *)names, n);
            return fr_fail(err, FR_ENOTFOUND, "types: no column \"%.60s\"%s%.60s%s",
                           o->types[t].column, near != NULL ? ": did you mean \"" : "",
                           near != NULL ? near : "", near != NULL ? "\"?" : "");
        }
    }
    return FR_OK;
}

static const fr_type *wanted_type(const fr_xlsx_options *o, const char *name)
{
    for (size_t t = 0; t < o->n_types; t++) {
        if (strcmp(o->types[t].column, name) == 0) {
            return &o->types[t].type;
        }
    }
    return NULL;
}

// A few cells far apart would make a frame of nothing but nulls.
static int check_area(const xlsx_cells *c, fr_err *err)
{
    const xlsx_area *a = &c->used;
    int64_t size = (a->bottom - a->top + 1) * (a->right - a->left + 1), kept = 0;
    for (int64_t i = a->left; i <= a->right; i++) {
        kept += (int64_t)c->columns[i].n;
    }
    if (size > FEW && size / SPARSE > kept) {
        char from[XLSX_PLACE_MAX], to[XLSX_PLACE_MAX];
        return fr_fail(err, FR_ELIMIT,
                       "sheet \"%.60s\": %lld values between %s and %s: give a range", c->sheet,
                       (long long)kept, xlsx_place(a->top, a->left, from),
                       xlsx_place(a->bottom, a->right, to));
    }
    return FR_OK;
}

int xlsx_build(xlsx_cells *c, const char *path, const fr_xlsx_options *o, fr_frame **out,
               fr_buf *notes, fr_err *err)
{
    xlsx_area area = c->used;
    if (area.bottom < area.top) {
        return fr_frame_empty(0, out, err);
    }
    int rc = check_area(c, err);
    if (rc != FR_OK) {
        return rc;
    }
    size_t n = (size_t)(area.right - area.left + 1);
    char **names = fr_zalloc(n * sizeof *names);
    fr_array **columns = fr_zalloc(n * sizeof *columns);
    name_columns(c, area, o->header, names, n, path, notes);
    area.top += o->header;
    rc = check_types(o, names, n, err);
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        rc = build_column(c, area.left + (int64_t)i, names[i], wanted_type(o, names[i]), area,
                          &columns[i], err);
    }
    if (rc == FR_OK) {
        rc = fr_frame_new(n, (const char *const *)names, columns, out, err);
    }
    for (size_t i = 0; i < n; i++) {
        fr_free(names[i]);
        fr_array_unref(columns[i]);
    }
    fr_free(names);
    fr_free(columns);
    return rc;
}
