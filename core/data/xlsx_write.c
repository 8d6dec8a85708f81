#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/zone.h"
#include "core/data/outfile.h"
#include "core/data/when.h"
#include "core/data/xlsx_int.h"

#include <xlsxwriter.h>

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_CHARS = 31, TEXT_MAX_CHARS = 32767, ROWS_PER_LOOK = 4096 };

static const int64_t WHOLE_MAX = INT64_C(1) << 53; // integers a double holds
static const int64_t DAY_S = 86400;
static const time_t MADE = 315532800; // 1980-01-01: the same frame gives the same bytes

#define FUNCTIONS(X)                                                                     \
    X(workbook_new_opt) X(workbook_add_worksheet) X(workbook_add_format)                   \
    X(workbook_set_properties) X(workbook_close) X(lxw_workbook_free)                      \
    X(format_set_num_format) X(worksheet_write_number) X(worksheet_write_string)           \
    X(worksheet_write_boolean) X(lxw_strerror)

static struct {
    pthread_once_t once;
    bool open;
#define X(name) __typeof__(name) *name;
    FUNCTIONS(X)
#undef X
    char why[160]; // it could not be opened
} lib = {.once = PTHREAD_ONCE_INIT};

static void open_library(void)
{
    void *handle = dlopen("libxlsxwriter.so.4", RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        (void)snprintf(lib.why, sizeof lib.why, "libxlsxwriter.so.4 is not there");
        return;
    }
    const char *missing = NULL;
#define X(name)                                                                          \
    void *p_##name = dlsym(handle, #name);                                               \
    memcpy(&lib.name, &p_##name, sizeof lib.name);                                       \
    missing = p_##name == NULL ? #name : missing;
    FUNCTIONS(X)
#undef X
    if (missing != NULL) {
        (void)snprintf(lib.why, sizeof lib.why, "it lacks %s", missing);
    }
    lib.open = missing == NULL;
}

static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s != '\0'; s++) {
        n += ((unsigned char)*s & 0xc0) != 0x80;
    }
    return n;
}

static int check_sheet(const fr_xlsx_sheet *sheets, size_t i, fr_err *err)
{
    const char *name = sheets[i].name;
    const fr_frame *f = sheets[i].frame;
    bool good = name[0] != '\0' && characters(name) <= NAME_MAX_CHARS &&
                strpbrk(name, "[]:*?/\\") == NULL && name[0] != '\'' &&
                name[strlen(name) - 1] != '\'';
    if (!good) {
        return fr_fail(err, FR_EINVAL,
                       "sheet \"%.60s\": a sheet's name has 1 to 31 characters, none of []:*?/\\, "
                       "and no ' at its ends",
                       name);
    }
    for (size_t k = 0; k < i; k++) {
        if (strcasecmp(name, sheets[k].name) == 0) {
            return fr_fail(err, FR_EINVAL, "two sheets named \"%.60s\" (case does not matter)",
                           name);
        }
    }
    if (f->rows >= FR_XLSX_ROWS || f->columns > FR_XLSX_COLUMNS) {
        return fr_fail(err, FR_ELIMIT,
                       "sheet \"%.60s\": %lld rows x %zu columns; Excel ends at %d x %d, header "
                       "included",
                       name, (long long)f->rows, f->columns, FR_XLSX_ROWS, FR_XLSX_COLUMNS);
    }
    return FR_OK;
}

// One sheet in the making.
typedef struct writing {
    lxw_worksheet *sheet;
    lxw_format *date, *stamp, *time, *elapsed;
    const char *name;
    const fr_frame *frame;
    fr_zone **zones;                  // per column, NULL: not zoned
    fr_buf text;
    fr_err *err;
} writing;

static int refuse(const writing *w, int64_t row, size_t column, int code, const char *what)
{
    char at[XLSX_PLACE_MAX];
    return fr_fail(w->err, code, "sheet \"%.60s\", cell %s, column \"%.60s\": %s", w->name,
                   xlsx_place(row + 1, (int64_t)column, at), w->frame->names[column], what);
}

// Excel's number of a day, which has a 29 February in 1900.
static bool serial_of(int64_t seconds, int64_t nanos, double *out)
{
    int64_t day = fr_floor_div(seconds, DAY_S);
    int64_t number = day + (day < -25508 ? 25568 : 25569);
    *out = (double)number + ((double)(seconds - day * DAY_S) + (double)nanos / 1e9) / (double)DAY_S;
    return number >= 1 && number < 2958466;
}

static int put_time(writing *w, int64_t row, size_t column, double *x, lxw_format **format)
{
    const fr_array *a = w->frame->cols[column];
    int64_t v = fr_array_int(a, row);
    bool good = true;
    if (a->type.kind == FR_DATE) {
        good = serial_of(v * DAY_S, 0, x);
        *format = w->date;
    } else if (a->type.kind == FR_TIME) {
        *x = (double)v / 1e9 / (double)DAY_S;
        *format = w->time;
    } else if (a->type.kind == FR_DURATION) {
        *x = (double)v / (double)fr_unit_per_second(a->type.unit) / (double)DAY_S;
        *format = w->elapsed;
    } else {
        int64_t per = fr_unit_per_second(a->type.unit), s = fr_floor_div(v, per);
        int64_t nanos = (v - s * per) * (1000000000 / per);
        s += w->zones[column] != NULL ? fr_zone_offset(w->zones[column], s) : 0;
        good = serial_of(s, nanos, x);
        *format = w->stamp;
    }
    return good ? FR_OK
                : refuse(w, row, column, FR_EOVERFLOW,
                         "Excel's days are from 1900-01-01 to 9999-12-31: write it as text");
}

static int put_text(writing *w, int64_t row, size_t column, const char *s, size_t n)
{
    fr_buf *b = &w->text;
    fr_buf_clear(b);
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        count += (c & 0xc0) != 0x80;
        // What XML cannot hold, and what looks like its escape, is written as _xHHHH_.
        bool escape = (c < 32 && c != '\t' && c != '\n') ||
                      (c == '_' && n - i >= 7 && s[i + 1] == 'x' && s[i + 6] == '_');
        if (escape) {
            fr_buf_printf(b, "_x%04X_", c);
        } else {
            fr_buf_put_u8(b, c);
        }
    }
    if (count > TEXT_MAX_CHARS) {
        return refuse(w, row, column, FR_ELIMIT, "a text of over 32,767 characters");
    }
    if (count == 0) {
        return FR_OK;                 // an empty cell; Excel has no other
    }
    lxw_error e = lib.worksheet_write_string(w->sheet, (lxw_row_t)(row + 1), (lxw_col_t)column,
                                             fr_buf_text(b), NULL);
    return e == LXW_NO_ERROR ? FR_OK : refuse(w, row, column, FR_EIO, lib.lxw_strerror(e));
}

static int put_number(writing *w, int64_t row, size_t column, double *x, bool *empty)
{
    const fr_array *a = w->frame->cols[column];
    *x = fr_array_number(a, row);
    if (a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32) {
        *empty = isnan(*x);
        return isinf(*x) ? refuse(w, row, column, FR_EOVERFLOW, "Excel has no infinity") : FR_OK;
    }
    int64_t v = fr_array_int(a, row);
    bool fits = v <= WHOLE_MAX && v >= -WHOLE_MAX;
    return fits ? FR_OK
                : refuse(w, row, column, FR_EOVERFLOW,
                         "Excel holds integers up to 2^53: write it as text");
}

static int put_cell(writing *w, int64_t row, size_t column)
{
    const fr_array *a = w->frame->cols[column];
    lxw_format *format = NULL;
    double x = 0;
    size_t n;
    bool empty = false;
    int rc = FR_OK;
    if (!fr_array_has(a, row)) {
        return FR_OK;
    }
    if (a->type.kind == FR_UTF8 || a->type.kind == FR_CATEGORY) {
        const char *s = fr_array_text(a, row, &n);
        return put_text(w, row, column, s, n);
    }
    lxw_error e = LXW_NO_ERROR;
    if (a->type.kind == FR_BOOL) {
        e = lib.worksheet_write_boolean(w->sheet, (lxw_row_t)(row + 1), (lxw_col_t)column,
                                        fr_array_bool(a, row), NULL);
        return e == LXW_NO_ERROR ? FR_OK : refuse(w, row, column, FR_EIO, lib.lxw_strerror(e));
    }
    rc = fr_kind_temporal(a->type.kind) ? put_time(w, row, column, &x, &format)
                                        : put_number(w, row, column, &x, &empty);
    if (rc != FR_OK || empty) {
        return rc;
    }
    e = lib.worksheet_write_number(w->sheet, (lxw_row_t)(row + 1), (lxw_col_t)column, x, format);
    return e == LXW_NO_ERROR ? FR_OK : refuse(w, row, column, FR_EIO, lib.lxw_strerror(e));
}

static int write_rows(writing *w)
{
    const fr_frame *f = w->frame;
    int rc = FR_OK;
    for (size_t i = 0; i < f->columns && rc == FR_OK; i++) {
        rc = put_text(w, -1, i, f->names[i], strlen(f->names[i]));
    }
    for (int64_t row = 0; row < f->rows && rc == FR_OK; row++) {
        if (row % ROWS_PER_LOOK == 0 && fr_cancelled()) {
            return fr_fail(w->err, fr_cancel_code(), "writing stopped");
        }
        for (size_t i = 0; i < f->columns && rc == FR_OK; i++) {
            rc = put_cell(w, row, i);
        }
    }
    return rc;
}

static int write_sheet(writing *w, lxw_workbook *book, const fr_xlsx_sheet *s)
{
    const fr_frame *f = s->frame;
    int rc = FR_OK;
    w->sheet = lib.workbook_add_worksheet(book, s->name);
    w->name = s->name;
    w->frame = f;
    w->zones = fr_zalloc((f->columns + 1) * sizeof *w->zones);
    if (w->sheet == NULL) {
        rc = fr_fail(w->err, FR_EINVAL, "sheet \"%.60s\" is refused by libxlsxwriter", s->name);
    }
    for (size_t i = 0; i < f->columns && rc == FR_OK; i++) {
        const fr_type *t = &f->cols[i]->type;
        if (t->kind == FR_TIMESTAMP && t->zone[0] != '\0') {
            rc = fr_zone_open(t->zone, &w->zones[i], w->err);
        }
    }
    rc = rc == FR_OK ? write_rows(w) : rc;
    for (size_t i = 0; i < f->columns; i++) {
        fr_zone_unref(w->zones[i]);
    }
    fr_free(w->zones);
    return rc;
}

static lxw_format *format_of(lxw_workbook *book, const char *code)
{
    lxw_format *f = lib.workbook_add_format(book);
    lib.format_set_num_format(f, code);
    return f;
}

static int write_book(const fr_xlsx_sheet *sheets, size_t n, const char *path, fr_err *err)
{
    lxw_workbook_options options = {.constant_memory = LXW_TRUE};
    lxw_doc_properties made = {.created = MADE};
    lxw_workbook *book = lib.workbook_new_opt(path, &options);
    if (book == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for a workbook");
    }
    (void)lib.workbook_set_properties(book, &made);
    writing w = {.date = format_of(book, "yyyy-mm-dd"),
                 .stamp = format_of(book, "yyyy-mm-dd hh:mm:ss"),
                 .time = format_of(book, "hh:mm:ss"),
                 .elapsed = format_of(book, "[h]:mm:ss"),
                 .err = err};
    fr_buf_init(&w.text, (size_t)1 << 31);
    int rc = FR_OK;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        rc = write_sheet(&w, book, &sheets[i]);
    }
    fr_buf_fini(&w.text);
    if (rc != FR_OK) {
        lib.lxw_workbook_free(book);
        return rc;
    }
    errno = 0;
    lxw_error e = lib.workbook_close(book); // frees it
    if (e == LXW_NO_ERROR) {
        return FR_OK;
    }
    // Of a full disk its own words say only that the archive failed.
    return errno != 0 ? fr_fail_errno(err, FR_EIO, "writing the workbook")
                      : fr_fail(err, FR_EIO, "%s", lib.lxw_strerror(e));
}

int fr_xlsx_write(const fr_xlsx_sheet *sheets, size_t n, const char *path, fr_err *err)
{
    (void)pthread_once(&lib.once, open_library);
    if (!lib.open) {
        return fr_fail(err, FR_EMISSING,
                       "writing Excel files needs libxlsxwriter (%s): apt install libxlsxwriter4",
                       lib.why);
    }
    int rc = n == 0 ? fr_fail(err, FR_EINVAL, "a workbook without sheets") : FR_OK;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        rc = check_sheet(sheets, i, err);
    }
    fr_outfile out;
    if (rc == FR_OK) {
        rc = fr_outfile_open(path, &out, err);
        if (rc != FR_OK) {
            return rc;
        }
        rc = write_book(sheets, n, out.part != NULL ? out.part : path, err);
        rc = fr_outfile_close(&out, rc, err);
    }
    return rc == FR_OK ? rc : fr_wrap(err, rc, "%s", path);
}
