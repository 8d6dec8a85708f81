// csv_sieve -- bad records out of a text and into a frame: file, line, reason, text. Runs
// only when a reading has failed; what is left reads without errors.

#include "core/base/mem.h"
#include "core/data/csv_plan.h"

#include <stdio.h>
#include <string.h>

enum { REASON_MAX = 256, SHOWN = 40 };

struct csv_sieve {
    fr_builder *file, *line, *reason, *text;
};

csv_sieve *csv_sieve_new(void)
{
    csv_sieve *s = fr_zalloc(sizeof *s);
    s->file = fr_builder_new(fr_type_of(FR_UTF8), 0);
    s->line = fr_builder_new(fr_type_of(FR_INT64), 0);
    s->reason = fr_builder_new(fr_type_of(FR_UTF8), 0);
    s->text = fr_builder_new(fr_type_of(FR_UTF8), 0);
    return s;
}

void csv_sieve_free(csv_sieve *s)
{
    if (s != NULL) {
        fr_builder_free(s->file);
        fr_builder_free(s->line);
        fr_builder_free(s->reason);
        fr_builder_free(s->text);
        fr_free(s);
    }
}

// Bytes that are no UTF-8 become U+FFFD: the quarantine must hold any record.
static int put_clean(fr_builder *b, const uint8_t *s, size_t n, fr_err *err)
{
    static const char mark[] = "\xef\xbf\xbd";
    char *clean = fr_try_alloc(3 * n + 1);
    if (clean == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for a record of %zu bytes", n);
    }
    size_t at = 0;
    while (n > 0) {
        size_t good = FR_MIN(csv_utf8_bad(s, n), n);
        memcpy(clean + at, s, good);
        at += good;
        s += good;
        n -= good;
        if (n > 0) {
            memcpy(clean + at, mark, sizeof mark - 1);
            at += sizeof mark - 1;
            s++;
            n--;
        }
    }
    int rc = fr_builder_text(b, clean, at, err);
    fr_free(clean);
    return rc;
}

static int put_bad(csv_sieve *q, const csv_file *f, int64_t line, const char *reason,
                   uint8_t *s, size_t n, fr_err *err)
{
    while (n > 0 && (s[n - 1] == '\n' || s[n - 1] == '\r')) {
        n--;
    }
    for (size_t i = 0; i < n && f->dialect.sep == CSV_CUT; i++) {
        s[i] = s[i] == CSV_CUT ? ' ' : s[i];
    }
    int rc = fr_builder_text(q->file, f->name, strlen(f->name), err);
    if (rc == FR_OK) {
        rc = fr_builder_int(q->line, line, err);
    }
    if (rc == FR_OK) {
        rc = put_clean(q->reason, (const uint8_t *)reason, strlen(reason), err);
    }
    return rc == FR_OK ? put_clean(q->text, s, n, err) : rc;
}

// Is the cell what its column wants? The reason when it is not.
static int check_cell(const csv_plan *p, const csv_file *f, csv_cells *cells, size_t field,
                      char reason[REASON_MAX], fr_err *err)
{
    const csv_column *c = &p->columns[f->column_of[field]];
    size_t n, left;
    bool doubled, good = true;
    cells->column = field;
    const uint8_t *s = csv_cell(cells, 0, &n), *at = s;
    left = n;
    if (f->dialect.quoting && n > 0 && *s == f->dialect.quote) {
        (void)csv_unquote(&at, &left, f->dialect.quote, &doubled, &good);
    }
    if (!good) {
        (void)snprintf(reason, REASON_MAX, "column \"%.60s\": text behind a closing quote",
                       c->name);
        return FR_OK;
    }
    if (!c->fixed || c->kind == CSV_TEXT) {
        return FR_OK;
    }
    uint64_t value = 0;
    csv_part part = {.values = &value};
    cells->kind = c->kind;
    cells->type = &c->type;
    cells->format = c->format;
    int rc = csv_parse_column(cells, &part, err);
    if (rc == FR_OK && part.misfit != SIZE_MAX) {
        char type[64];
        (void)snprintf(reason, REASON_MAX, "column \"%.60s\": expected %s%s%.40s, got %s%.*s%s",
                       c->name, fr_type_name(&c->type, type), c->format != NULL ? " as " : "",
                       c->format != NULL ? c->format : "", n == 0 ? "nothing" : "",
                       (int)FR_MIN(n, (size_t)SHOWN), (const char *)s, n > SHOWN ? "..." : "");
    }
    csv_part_fini(&part);
    return rc;
}

// One record at s; pos[0] is set, pos[1..] has room for the file's fields.
static int check_record(const csv_plan *p, const csv_file *f, const uint8_t *s, size_t n,
                        uint32_t *pos, size_t *next, char reason[REASON_MAX], fr_err *err)
{
    size_t fields;
    bool closed;
    *next = csv_scan_record(s, n, &f->dialect, pos + 1, f->fields, &fields, &closed);
    reason[0] = '\0';
    if (!closed) {
        const uint8_t *end = memchr(s, f->dialect.newline, n);
        *next = end != NULL ? (size_t)(end - s) + 1 : n;
        (void)snprintf(reason, REASON_MAX, "a quote is opened and never closed");
        return FR_OK;
    }
    if (fields != f->fields) {
        (void)snprintf(reason, REASON_MAX, "%zu fields, expected %zu", fields, f->fields);
        return FR_OK;
    }
    if (*next > CSV_RECORD_MAX) {
        (void)snprintf(reason, REASON_MAX, "a record of %zu bytes", *next);
        return FR_OK;
    }
    size_t bad = csv_utf8_bad(s, *next);
    if (bad != SIZE_MAX) {
        (void)snprintf(reason, REASON_MAX, "byte 0x%02x is not UTF-8", s[bad]);
        return FR_OK;
    }
    csv_cells cells = {.text = s, .pos = pos, .stride = f->fields, .rows = 1,
                       .dialect = &f->dialect, .nulls = &p->nulls};
    int rc = FR_OK;
    for (size_t i = 0; i < f->fields && rc == FR_OK && reason[0] == '\0'; i++) {
        if (f->column_of[i] >= 0) {
            rc = check_cell(p, f, &cells, i, reason, err);
        }
    }
    return rc;
}

static int64_t lines_of(const uint8_t *s, size_t n)
{
    int64_t lines = 0;
    for (size_t i = 0; i < n; i++) {
        lines += s[i] == '\n' || (s[i] == '\r' && s[i + 1] != '\n');
    }
    return lines;
}

// Good records move together, in place.
static int sieve_file(csv_sieve *q, const csv_plan *p, csv_file *f, fr_err *err)
{
    uint8_t *s = f->text.at;
    size_t at = f->body, to = f->body, next;
    int64_t line = csv_line(f, f->body);
    char reason[REASON_MAX];
    uint32_t *pos = fr_alloc((f->fields + 1) * sizeof *pos);
    pos[0] = UINT32_MAX;
    int rc = FR_OK;
    while (rc == FR_OK) {
        size_t blank = csv_scan_blank(s + at, f->text.size - at);
        line += lines_of(s + at, blank);
        at += blank;
        if (at == f->text.size) {
            break;
        }
        rc = check_record(p, f, s + at, f->text.size - at, pos, &next, reason, err);
        int64_t lines = rc == FR_OK ? lines_of(s + at, next) : 0;
        if (rc == FR_OK && reason[0] != '\0') {
            rc = put_bad(q, f, line, reason, s + at, next, err);
        } else if (rc == FR_OK) {
            memmove(s + to, s + at, next);
            to += next;
        }
        line += lines;
        at += next;
    }
    if (rc == FR_OK) {
        f->text.size = to;
        memset(s + to, 0, CSV_PAD);
    }
    fr_free(pos);
    return rc;
}

int csv_sieve_run(csv_sieve *q, csv_plan *p, fr_err *err)
{
    int rc = FR_OK;
    for (size_t i = 0; i < p->n_files && rc == FR_OK; i++) {
        rc = sieve_file(q, p, &p->files[i], err);
    }
    return rc;
}

int csv_sieve_finish(csv_sieve *q, fr_frame **out, fr_err *err)
{
    static const char *const names[] = {"file", "line", "reason", "text"};
    fr_builder *builders[] = {q->file, q->line, q->reason, q->text};
    fr_array *columns[FR_COUNT(names)] = {NULL};
    int rc = FR_OK;
    for (size_t i = 0; i < FR_COUNT(names) && rc == FR_OK; i++) {
        rc = fr_builder_finish(builders[i], &columns[i], err);
    }
    if (rc == FR_OK) {
        rc = fr_frame_new(FR_COUNT(names), names, columns, out, err);
    }
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        fr_array_unref(columns[i]);
    }
    return rc;
}
