#include "core/data/csv_stream.h"

#include "core/base/mem.h"
#include "core/data/csv_int.h"
#include "core/data/csv_source.h"

#include <stdio.h>
#include <string.h>

static const size_t RECORD_MAX = (size_t)1 << 30;

struct fr_csv_stream {
    const char *const *paths;
    size_t n_paths, piece;
    const fr_csv_options *options;
    size_t next;                      // the file to open next
    const char *path;                 // of the open one
    csv_source *source;               // NULL: none is open
    bool source_end;
    bool first;                       // no frame of this file yet
    uint8_t *text;                    // the head of the file, then records
    size_t head, size, capacity;
    int64_t head_lines, line;         // lines of the head; line of the first record in `text`
    // Columns, once the first frame was read.
    bool named;
    size_t n;
    char **names;
    fr_csv_type *types;               // of the names
    bool *known, *asked;              // a value was seen; the options say the type
};

static bool is_utf16(const char *encoding)
{
    return encoding != NULL && strncasecmp(encoding, "utf", 3) == 0 &&
           strstr(encoding, "16") != NULL;
}

int fr_csv_stream_open(const char *const *paths, size_t n, const fr_csv_options *o, size_t piece,
                       fr_csv_stream **out, fr_err *err)
{
    *out = NULL;
    const char *other = o->bad != NULL          ? "quarantine"
                        : o->n_widths > 0       ? "widths"
                        : o->escape != '\0'     ? "escape"
                        : o->comment != '\0'    ? "comment"
                        : is_utf16(o->encoding) ? "encoding = \"utf-16\""
                                                : NULL;
    if (other != NULL) {
        return fr_fail(err, FR_EUNSUPPORTED, "%s is not for reading in pieces: use read_csv",
                       other);
    }
    if (n == 0) {
        return fr_fail(err, FR_EINVAL, "no files to read");
    }
    fr_csv_stream *s = fr_zalloc(sizeof *s);
    s->paths = paths;
    s->n_paths = n;
    s->options = o;
    s->piece = piece != 0 ? piece : FR_CSV_PIECE;
    *out = s;
    return FR_OK;
}

static void rewind_stream(fr_csv_stream *s)
{
    csv_source_close(s->source);
    s->source = NULL;
    s->next = 0;
}

void fr_csv_stream_free(fr_csv_stream *s)
{
    if (s == NULL) {
        return;
    }
    csv_source_close(s->source);
    for (size_t i = 0; i < s->n; i++) {
        fr_free(s->names[i]);
    }
    fr_free(s->names);
    fr_free(s->types);
    fr_free(s->known);
    fr_free(s->asked);
    fr_free(s->text);
    fr_free(s);
}

// Bytes until `text` holds `want` of them or the file ends.
static int fill(fr_csv_stream *s, size_t want, fr_err *err)
{
    if (s->capacity < want + CSV_PAD) {
        uint8_t *text = fr_try_realloc(s->text, want + CSV_PAD);
        if (text == NULL) {
            return fr_fail(err, FR_ENOMEM, "no memory for a piece of %zu bytes", want);
        }
        s->text = text;
        s->capacity = want + CSV_PAD;
    }
    while (s->size < want && !s->source_end) {
        size_t got;
        int rc = csv_source_read(s->source, s->text + s->size, want - s->size, &got, err);
        if (rc != FR_OK) {
            return rc;
        }
        s->source_end = got == 0;
        s->size += got;
    }
    return FR_OK;
}

static csv_dialect dialect_of(const fr_csv_options *o)
{
    return (csv_dialect){.sep = (uint8_t)o->sep, .quote = (uint8_t)o->quote,
                         .quoting = o->quote != '\0', .newline = '\n'};
}

static int64_t lines_of(const uint8_t *s, size_t n)
{
    int64_t lines = 0;
    for (size_t i = 0; i < n; i++) {
        lines += s[i] == '\n' || (s[i] == '\r' && (i + 1 == n || s[i + 1] != '\n'));
    }
    return lines;
}

// Where the records start: behind skipped lines, blank ones and the header.
static size_t head_of(const fr_csv_stream *s)
{
    const fr_csv_options *o = s->options;
    const csv_dialect d = dialect_of(o);
    size_t at = 0, fields;
    for (int64_t left = o->skip; left > 0 && at < s->size;) {
        uint8_t c = s->text[at++];
        left -= c == '\n' || (c == '\r' && (at == s->size || s->text[at] != '\n'));
    }
    if (o->header) {
        bool closed;
        at += csv_scan_blank(s->text + at, s->size - at);
        at += csv_scan_record(s->text + at, s->size - at, &d, NULL, 0, &fields, &closed);
    }
    return at;
}

static int open_next(fr_csv_stream *s, fr_err *err)
{
    s->path = s->paths[s->next++];
    s->size = s->head = 0;
    s->source_end = false;
    s->first = true;
    int rc = csv_source_open(s->path, &s->source, err);
    rc = rc == FR_OK ? fill(s, FR_MAX(s->piece, 3), err) : rc;
    if (rc != FR_OK) {
        return rc;
    }
    if (s->size >= 2 && (memcmp(s->text, "\xff\xfe", 2) == 0 ||
                         memcmp(s->text, "\xfe\xff", 2) == 0)) {
        return fr_fail(err, FR_EUNSUPPORTED,
                       "%s: UTF-16 is not for reading in pieces: use read_csv", s->path);
    }
    if (s->size >= 3 && memcmp(s->text, "\xef\xbb\xbf", 3) == 0) {
        memmove(s->text, s->text + 3, s->size - 3);
        s->size -= 3;
    }
    s->head = head_of(s);
    for (size_t want = s->size * 2 + 64; s->head == s->size && !s->source_end; want *= 2) {
        rc = want > RECORD_MAX ? fr_fail(err, FR_ELIMIT, "%s: a header of over %zu bytes", s->path,
                                         want / 2)
                               : fill(s, want, err);
        if (rc != FR_OK) {
            return rc;
        }
        s->head = head_of(s);
    }
    s->head_lines = lines_of(s->text, s->head);
    s->line = s->head_lines + 1;
    return FR_OK;
}

// The end of the last whole record. 0: there is none.
static size_t last_end(const fr_csv_stream *s)
{
    const csv_dialect d = dialect_of(s->options);
    const uint8_t *from = s->text + s->head;
    size_t n = s->size - s->head, at = 0;
    bool quotes = d.quoting && memchr(from, d.quote, n) != NULL;
    if (!quotes && n > 0) {
        const uint8_t *end = memrchr(from, '\n', n);
        if (end != NULL) {
            return s->head + (size_t)(end - from) + 1;
        }
    }
    while (at < n) {
        size_t fields;
        bool closed;
        size_t next = csv_scan_record(from + at, n - at, &d, NULL, 0, &fields, &closed);
        if (!closed || at + next >= n) { // it may go on behind what is read
            break;
        }
        at += next;
    }
    return at > 0 ? s->head + at : 0;
}

// Reads text[0, end) with the types that are known, or with those asked for only.
static int parse(const fr_csv_stream *s, size_t end, bool guess, fr_frame **out, fr_err *err)
{
    fr_csv_options o = *s->options;
    o.lines_before = s->line - s->head_lines - 1;
    fr_csv_type *types = NULL;
    if (s->named) {
        o.columns = (const char *const *)s->names;
        o.n_columns = s->n;
    }
    if (s->named && !guess) {
        types = fr_alloc((s->n + 1) * sizeof *types);
        o.n_types = 0;
        for (size_t i = 0; i < s->n; i++) {
            if (s->known[i]) {
                types[o.n_types++] = s->types[i];
            }
        }
        o.types = types;
    }
    int rc = fr_csv_read_bytes(s->path, s->text, end, &o, out, NULL, err);
    fr_free(types);
    return rc;
}

static bool all_null(const fr_array *a)
{
    return a->type.kind == FR_UTF8 && a->nulls == a->length;
}

static void learn(fr_csv_stream *s, const fr_frame *f)
{
    const fr_csv_options *o = s->options;
    s->n = f->columns;
    s->names = fr_zalloc((s->n + 1) * sizeof *s->names);
    s->types = fr_zalloc((s->n + 1) * sizeof *s->types);
    s->known = fr_zalloc(s->n + 1);
    s->asked = fr_zalloc(s->n + 1);
    for (size_t i = 0; i < s->n; i++) {
        s->names[i] = fr_strdup(f->names[i]);
        s->types[i] = (fr_csv_type){s->names[i], f->cols[i]->type};
        for (size_t k = 0; k < o->n_types; k++) {
            s->asked[i] = s->asked[i] || strcmp(o->types[k].column, s->names[i]) == 0;
        }
        for (size_t k = 0; k < o->n_formats; k++) {
            s->asked[i] = s->asked[i] || strcmp(o->formats[k].column, s->names[i]) == 0;
        }
        s->known[i] = s->asked[i] || !all_null(f->cols[i]);
    }
    s->named = true;
}

// The type that holds the values of both.
static fr_type wider(const fr_type *a, const fr_type *b)
{
    bool numbers = fr_kind_number(a->kind) && fr_kind_number(b->kind);
    if (fr_type_eq(a, b)) {
        return *a;
    }
    if (numbers) {
        return fr_type_of(FR_FLOAT64);
    }
    bool times = (a->kind == FR_DATE || a->kind == FR_TIMESTAMP) &&
                 (b->kind == FR_DATE || b->kind == FR_TIMESTAMP);
    const fr_type *stamp = a->kind == FR_TIMESTAMP ? a : b;
    bool naive = a->zone[0] == '\0' && b->zone[0] == '\0';
    bool same = a->kind == b->kind && strcmp(a->zone, b->zone) == 0;
    if (times && (naive || same)) {
        fr_type t = *stamp;
        t.unit = FR_MAX(a->unit, b->unit);
        return t;
    }
    return fr_type_of(FR_UTF8);
}

// What f shows beyond the types so far. True: some column widened.
static bool widen(fr_csv_stream *s, const fr_frame *f)
{
    bool changed = false;
    for (size_t i = 0; i < s->n; i++) {
        if (s->asked[i] || all_null(f->cols[i])) {
            continue;
        }
        fr_type t = s->known[i] ? wider(&s->types[i].type, &f->cols[i]->type) : f->cols[i]->type;
        changed = changed || !s->known[i] || !fr_type_eq(&t, &s->types[i].type);
        s->types[i].type = t;
        s->known[i] = true;
    }
    return changed;
}

// A further file has as many columns as the first one.
static int check_columns(fr_csv_stream *s, fr_err *err)
{
    fr_csv_options o = *s->options;
    fr_frame *f;
    if (o.columns != NULL || !o.header || s->next == 1) {
        return FR_OK;
    }
    o.n_types = o.n_formats = 0;
    int rc = fr_csv_read_bytes(s->path, s->text, s->head, &o, &f, NULL, err);
    if (rc == FR_OK && f->columns != s->n) {
        rc = fr_fail(err, FR_EINVAL, "%s: %zu columns, but %s has %zu", s->path, f->columns,
                     s->paths[0], s->n);
    }
    fr_frame_unref(f);
    return rc;
}

static int read_piece(fr_csv_stream *s, size_t end, fr_frame **out, bool *again, fr_err *err)
{
    fr_err first = FR_ERR_INIT;
    int rc = parse(s, end, !s->named, out, &first);
    if (rc == FR_OK && !s->named) {
        learn(s, *out);
        return FR_OK;
    }
    fr_frame *guessed = NULL;
    if (rc == FR_EPARSE && s->named) { // perhaps a value for which a column is too narrow
        rc = parse(s, end, true, &guessed, &first);
        *again = rc == FR_OK && widen(s, guessed);
        fr_frame_unref(guessed);
    } else if (rc == FR_OK) {
        *again = widen(s, *out);
    }
    if (rc != FR_OK && err != NULL) {
        *err = first;
    }
    if (*again) {
        fr_frame_unref(*out);
        *out = NULL;
        rewind_stream(s);
    }
    return rc;
}

// Whole records into `text`: a piece of them, or one longer than a piece.
static int gather(fr_csv_stream *s, size_t *end, fr_err *err)
{
    *end = 0;
    for (size_t want = s->head + s->piece; *end == 0; want *= 2) {
        if (want > RECORD_MAX) {
            return fr_fail(err, FR_ELIMIT, "%s: line %lld: a record of over %zu bytes", s->path,
                           (long long)s->line, want / 2);
        }
        int rc = fill(s, want, err);
        if (rc != FR_OK) {
            return rc;
        }
        *end = s->source_end ? s->size : last_end(s);
        if (s->source_end) {
            break;
        }
    }
    return FR_OK;
}

static void drop_read(fr_csv_stream *s, size_t end)
{
    s->first = false;
    s->line += lines_of(s->text + s->head, end - s->head);
    memmove(s->text + s->head, s->text + end, s->size - end);
    s->size -= end - s->head;
    if (s->source_end && s->size == s->head) {
        csv_source_close(s->source);
        s->source = NULL;
    }
}

int fr_csv_stream_next(fr_csv_stream *s, fr_frame **out, bool *again, fr_err *err)
{
    *out = NULL;
    *again = false;
    while (*out == NULL && (s->source != NULL || s->next < s->n_paths)) {
        int rc = FR_OK;
        size_t end = 0;
        if (s->source == NULL) {
            rc = open_next(s, err);
            rc = rc == FR_OK && s->named ? check_columns(s, err) : rc;
        }
        rc = rc == FR_OK ? gather(s, &end, err) : rc;
        if (rc == FR_OK && (end > s->head || (s->first && s->next == 1))) {
            rc = read_piece(s, end, out, again, err);
        }
        if (rc != FR_OK || *again) {
            return rc;
        }
        drop_read(s, end);
    }
    return FR_OK;
}
