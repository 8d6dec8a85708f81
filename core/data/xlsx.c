#include "core/data/xlsx.h"

#include "core/base/mem.h"
#include "core/base/nearest.h"
#include "core/data/xlsx_int.h"

#include <string.h>

void fr_xlsx_defaults(fr_xlsx_options *o)
{
    *o = (fr_xlsx_options){.number = 1, .header = true};
}

static int choose_sheet(const xlsx_book *b, const fr_xlsx_options *o, size_t *out, fr_err *err)
{
    if (o->sheet == NULL && o->number >= 1 && (uint64_t)o->number <= b->n_sheets) {
        *out = (size_t)o->number - 1;
        return FR_OK;
    }
    if (o->sheet == NULL) {
        return fr_fail(err, FR_ENOTFOUND, "sheet %lld; the file has %zu", (long long)o->number,
                       b->n_sheets);
    }
    const char **names = fr_alloc(b->n_sheets * sizeof *names);
    size_t found = b->n_sheets;
    for (size_t i = 0; i < b->n_sheets; i++) {
        names[i] = b->sheets[i].name;
        found = strcmp(names[i], o->sheet) == 0 ? i : found;
    }
    int rc = FR_OK;
    if (found == b->n_sheets) {
        const char *near = fr_nearest(o->sheet, names, b->n_sheets);
        rc = fr_fail(err, FR_ENOTFOUND, "no sheet \"%.60s\": %s\"%.60s\"%s", o->sheet,
                     near != NULL ? "did you mean " : "the first one is ",
                     near != NULL ? near : names[0], near != NULL ? "?" : "");
    }
    fr_free(names);
    *out = found;
    return rc;
}

static int read_sheet(xlsx_book *b, const char *path, const fr_xlsx_options *o, fr_frame **out,
                      fr_buf *notes, fr_err *err)
{
    size_t k = 0;
    int rc = choose_sheet(b, o, &k, err);
    if (rc == FR_OK && b->sheets[k].part == NULL) {
        rc = fr_fail(err, FR_ECORRUPT, "sheet \"%.60s\": no part of the file has it",
                     b->sheets[k].name);
    }
    if (rc == FR_OK) {
        rc = xlsx_book_read(b, err);
    }
    xlsx_cells c = {.book = b};
    if (rc == FR_OK) {
        c.sheet = b->sheets[k].name;
        rc = xlsx_range(o->range, &c.wanted, err);
    }
    if (rc == FR_OK) {
        rc = xlsx_cells_read(&c, b->sheets[k].part, err);
    }
    if (rc == FR_OK) {
        rc = xlsx_build(&c, path, o, out, notes, err);
    }
    xlsx_cells_fini(&c);
    return rc;
}

int fr_xlsx_read(const char *path, const fr_xlsx_options *o, fr_frame **out, fr_buf *notes,
                 fr_err *err)
{
    *out = NULL;
    xlsx_book b;
    int rc = xlsx_book_open(path, &b, err);
    if (rc == FR_OK) {
        rc = read_sheet(&b, path, o, out, notes, err);
    }
    xlsx_book_close(&b);
    return rc == FR_OK ? rc : fr_wrap(err, rc, "%s", path);
}

int fr_xlsx_sheets(const char *path, fr_buf *names, fr_err *err)
{
    xlsx_book b;
    int rc = xlsx_book_open(path, &b, err);
    for (size_t i = 0; i < b.n_sheets && rc == FR_OK; i++) {
        fr_buf_put(names, b.sheets[i].name, strlen(b.sheets[i].name) + 1);
    }
    rc = rc == FR_OK ? fr_buf_check(names, err) : rc;
    xlsx_book_close(&b);
    return rc == FR_OK ? rc : fr_wrap(err, rc, "%s", path);
}
