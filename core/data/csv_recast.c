// csv_recast -- texts in other habits, rewritten into what the scanners know: fixed widths,
// quotes escaped by a backslash, comment lines. Lines stay lines, so that numbers of lines
// in messages are those of the file.

#include "core/base/mem.h"
#include "core/data/csv_plan.h"

#include <string.h>

// Lines that start with the comment character become empty; escaped quotes become doubled
// ones. Nothing grows: in place.
typedef struct habit {
    uint8_t sep, quote, escape, comment;
    bool quoting, escapes, comments;
} habit;

// From the opening quote at s[i] to behind the closing one; writes at *to.
static size_t copy_quoted(const habit *h, uint8_t *s, size_t i, size_t n, size_t *to)
{
    s[(*to)++] = s[i++];
    while (i < n) {
        uint8_t c = s[i];
        if (h->escapes && c == h->escape && i + 1 < n) { // what follows is meant as it stands
            c = s[i + 1];
            i += 2;
            s[(*to)++] = c;
            if (c == h->quote) {
                s[(*to)++] = c;
            }
            continue;
        }
        s[(*to)++] = s[i++];
        if (c == h->quote) {
            if (i >= n || s[i] != h->quote) {
                return i;
            }
            s[(*to)++] = s[i++];
        }
    }
    return i;
}

static void recast_lines(const habit *h, csv_text *t)
{
    uint8_t *s = t->at;
    size_t n = t->size, i = 0, to = 0;
    bool line = true, field = true;
    while (i < n) {
        if (line && h->comments && s[i] == h->comment) {
            while (i < n && s[i] != '\n' && s[i] != '\r') {
                i++;
            }
            line = field = false;
            continue;
        }
        if (field && h->quoting && s[i] == h->quote) {
            i = copy_quoted(h, s, i, n, &to);
            line = field = false;
            continue;
        }
        line = s[i] == '\n' || s[i] == '\r';
        field = line || s[i] == h->sep;
        s[to++] = s[i++];
    }
    t->size = to;
}

// Fixed widths, counted in characters: fields without the blanks around them, separated by
// a character that the text does not have.
typedef struct cutting {
    const int64_t *widths;
    size_t n;
    const uint8_t *s, *end;           // what is left of the line
} cutting;

static size_t next_cut(cutting *c, int64_t width, const uint8_t **from)
{
    const uint8_t *start = c->s;
    for (int64_t k = 0; k < width && c->s < c->end; k++) {
        c->s++;
        while (c->s < c->end && (*c->s & 0xc0) == 0x80) {
            c->s++;
        }
    }
    const uint8_t *stop = c->s;
    while (start < stop && (*start == ' ' || *start == '\t')) {
        start++;
    }
    while (stop > start && (stop[-1] == ' ' || stop[-1] == '\t')) {
        stop--;
    }
    *from = start;
    return (size_t)(stop - start);
}

static int cut_line(cutting *c, int64_t line, csv_text *out, fr_err *err)
{
    for (size_t k = 0; k < c->n; k++) {
        const uint8_t *from;
        size_t size = next_cut(c, c->widths[k], &from);
        if (k > 0) {
            out->at[out->size++] = CSV_CUT;
        }
        memcpy(out->at + out->size, from, size);
        out->size += size;
    }
    const uint8_t *rest;
    if (next_cut(c, INT64_MAX, &rest) > 0) {
        return fr_fail(err, FR_EPARSE, "line %lld is longer than the widths: \"%.*s\" is left",
                       (long long)line, (int)FR_MIN(c->end - rest, 20), (const char *)rest);
    }
    return FR_OK;
}

static bool is_empty(const uint8_t *s, const uint8_t *end)
{
    while (s < end && (*s == ' ' || *s == '\t')) {
        s++;
    }
    return s == end;
}

static int cut_text(csv_text *t, const fr_csv_options *o, fr_err *err)
{
    const uint8_t *s = t->at, *end = t->at + t->size;
    size_t lines = 2;
    for (const uint8_t *p = s; p < end; p++) {
        lines += *p == '\n' || *p == '\r';
        if (*p == CSV_CUT) {
            return fr_fail(err, FR_EPARSE, "byte 0x1f in a text of fixed widths");
        }
    }
    csv_text out;
    int rc = csv_text_new(t->size + lines * o->n_widths, &out, err);
    for (int64_t line = 1; rc == FR_OK && s < end; line++) {
        const uint8_t *stop = s;
        while (stop < end && *stop != '\n' && *stop != '\r') {
            stop++;
        }
        cutting c = {o->widths, o->n_widths, s, stop};
        if (line <= o->skip) {
            memcpy(out.at + out.size, s, (size_t)(stop - s));
            out.size += (size_t)(stop - s);
        } else if (!is_empty(s, stop)) {
            rc = cut_line(&c, line, &out, err);
        }
        stop += stop < end && *stop == '\r' && stop + 1 < end && stop[1] == '\n';
        s = stop + (stop < end);
        out.at[out.size++] = '\n';
    }
    csv_text_free(rc == FR_OK ? t : &out);
    if (rc == FR_OK) {
        *t = out;
        memset(t->at + t->size, 0, CSV_PAD);
    }
    return rc;
}

int csv_recast(csv_text *t, const fr_csv_options *o, fr_err *err)
{
    habit h = {.sep = (uint8_t)o->sep,
               .quote = (uint8_t)o->quote,
               .escape = (uint8_t)o->escape,
               .comment = (uint8_t)o->comment,
               .quoting = o->quote != '\0' && o->n_widths == 0,
               .escapes = o->escape != '\0' && o->escape != o->quote,
               .comments = o->comment != '\0'};
    if (h.comments || (h.quoting && h.escapes)) {
        recast_lines(&h, t);
        memset(t->at + t->size, 0, CSV_PAD);
    }
    return o->n_widths > 0 ? cut_text(t, o, err) : FR_OK;
}
