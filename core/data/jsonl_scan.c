#include "core/base/decimal.h"
#include "core/base/mem.h"
#include "core/data/jsonl_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 200, SHOWN = 40 };

typedef struct scanner {
    const jsonl_table *t;
    jsonl_region *r;
    const uint8_t *start, *at, *end;  // of the region; readable CSV_PAD bytes behind
    size_t next;                      // column that the next key probably is
    fr_err *err;
} scanner;

int jsonl_fail(const jsonl_region *r, size_t at, fr_err *err, int code, const char *format, ...)
{
    char what[FR_ERR_MAX];
    size_t line = 1, start = 0, place = r->from + at, column = 1;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    for (size_t i = 0; i < place; i++) {
        if (r->text[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    for (size_t i = start; i < place; i++) { // in characters
        column += (r->text[i] & 0xc0) != 0x80;
    }
    return fr_fail(err, code, "%s: line %zu, column %zu: %s", r->file, line, column, what);
}

static int wrong(scanner *s, const uint8_t *at, const char *what)
{
    return jsonl_fail(s->r, (size_t)(at - s->start), s->err, FR_EPARSE, "%s", what);
}

static int expected(scanner *s, const char *what)
{
    uint8_t c = s->at < s->end ? *s->at : '\n';
    size_t at = (size_t)(s->at - s->start);
    if (c == '\n' || c == '\r') {
        return jsonl_fail(s->r, at, s->err, FR_EPARSE, "expected %s, found the end of the line",
                          what);
    }
    if (c < 0x20 || c >= 0x7f) {
        return jsonl_fail(s->r, at, s->err, FR_EPARSE, "expected %s, found byte 0x%02x", what, c);
    }
    return jsonl_fail(s->r, at, s->err, FR_EPARSE, "expected %s, found %c", what, c);
}

static void skip_blanks(scanner *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r')) {
        s->at++;
    }
}

static int hex4(const uint8_t *s)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = s[i], d = c | 0x20;
        int x = c >= '0' && c <= '9' ? c - '0' : d >= 'a' && d <= 'f' ? d - 'a' + 10 : -1;
        if (x < 0) {
            return -1;
        }
        v = v << 4 | x;
    }
    return v;
}

// At a backslash; moves behind the escape.
static int scan_escape(scanner *s)
{
    const uint8_t *at = s->at;
    if (at[1] != 'u') {
        if (at[1] == 0 || strchr("\"\\/bfnrt", at[1]) == NULL) {
            return wrong(s, at, "an escape that JSON does not have");
        }
        s->at += 2;
        return FR_OK;
    }
    int v = hex4(at + 2);
    if (v < 0) {
        return wrong(s, at, "expected four hexadecimal digits behind \\u");
    }
    s->at += 6;
    if (v >= 0xd800 && v < 0xe000) {
        int low = v < 0xdc00 && at[6] == '\\' && at[7] == 'u' ? hex4(at + 8) : -1;
        if (low < 0xdc00 || low >= 0xe000) {
            return wrong(s, at, "half of a surrogate pair, which is no character");
        }
        s->at += 6;
    }
    return FR_OK;
}

// At a quote; *from and *n are what is between, s->at moves behind the closing one.
static int scan_text(scanner *s, const uint8_t **from, size_t *n, bool *escaped)
{
    const uint8_t *open = s->at++;
    *from = s->at;
    *escaped = false;
    for (;;) {
        uint64_t w, ones = 0x0101010101010101, high = 0x8080808080808080;
        memcpy(&w, s->at, 8); // CSV_PAD
        uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\';
        uint64_t found = ((quote - ones) & ~quote) | ((slash - ones) & ~slash) |
                         ((w - ones * 0x20) & ~w);
        if ((found & high) == 0) {
            s->at += 8;
            continue;
        }
        uint8_t c = *s->at;
        if (c == '"' && s->at < s->end) {
            *n = (size_t)(s->at - *from);
            s->at++;
            return FR_OK;
        }
        if (s->at >= s->end || c == '\n') {
            return wrong(s, open, "a string that does not end in its line");
        }
        if (c < 0x20) {
            return wrong(s, s->at, "a control character inside a string: it is written \\u00..");
        }
        if (c == '\\') {
            *escaped = true;
            int rc = scan_escape(s);
            if (rc != FR_OK) {
                return rc;
            }
        } else {
            s->at++;
        }
    }
}

static bool digit(const uint8_t *s) { return *s >= '0' && *s <= '9'; }

static const uint8_t *digits(const uint8_t *s)
{
    while (digit(s)) {
        s++;
    }
    return s;
}

// By the grammar of JSON; *whole: without fraction and exponent.
static int scan_number(scanner *s, bool *whole)
{
    const uint8_t *at = s->at, *start = at;
    at += *at == '-';
    if (!digit(at)) {
        return wrong(s, start, "expected digits");
    }
    if (*at == '0' && digit(at + 1)) {
        return wrong(s, start, "a number with a leading zero: text is written in quotes");
    }
    at = digits(at);
    *whole = true;
    if (*at == '.') {
        *whole = false;
        if (!digit(at + 1)) {
            return wrong(s, start, "expected digits behind the point");
        }
        at = digits(at + 1);
    }
    if (*at == 'e' || *at == 'E') {
        *whole = false;
        at += at[1] == '+' || at[1] == '-' ? 2 : 1;
        if (!digit(at)) {
            return wrong(s, start, "expected digits in the exponent");
        }
        at = digits(at);
    }
    s->at = at;
    return FR_OK;
}

static unsigned saw_number(const uint8_t *s, size_t n, bool whole)
{
    enum { SMALL = 15 };              // digits that surely fit 2^53
    int64_t v;
    double x;
    char back[64];
    if (!whole) {
        return JSONL_SAW_FLOAT;
    }
    if (n <= SMALL) {
        return JSONL_SAW_INT;
    }
    if (fr_decimal_parse_int((const char *)s, n, &v)) {
        x = (double)v;
        return x < 0x1p63 && (int64_t)x == v ? JSONL_SAW_INT : JSONL_SAW_BIG;
    }
    bool exact = n < sizeof back && fr_decimal_parse((const char *)s, n, &x) &&
                 snprintf(back, sizeof back, "%.0f", x) == (int)n && memcmp(back, s, n) == 0;
    return exact ? JSONL_SAW_FLOAT : JSONL_SAW_HUGE;
}

static int scan_nested(scanner *s, int depth);

// Any value, of which nothing is kept.
static int skip_value(scanner *s, int depth)
{
    const uint8_t *from;
    size_t n;
    bool flag;
    switch (*s->at) {
    case '"':
        return scan_text(s, &from, &n, &flag);
    case '{':
    case '[':
        return scan_nested(s, depth);
    case 't':
    case 'n':
    case 'f':
        n = *s->at == 'f' ? 5 : 4;
        if (memcmp(s->at, *s->at == 't' ? "true" : *s->at == 'n' ? "null" : "false", n) != 0) {
            return expected(s, "a value");
        }
        s->at += n;
        return FR_OK;
    default:
        return digit(s->at) || *s->at == '-' ? scan_number(s, &flag) : expected(s, "a value");
    }
}

static int scan_nested(scanner *s, int depth)
{
    bool object = *s->at++ == '{';
    uint8_t close = object ? '}' : ']';
    const uint8_t *from;
    size_t n;
    bool escaped;
    if (depth >= DEPTH_MAX) {
        return wrong(s, s->at - 1, "nested too deep");
    }
    skip_blanks(s);
    if (*s->at == close && s->at < s->end) {
        s->at++;
        return FR_OK;
    }
    for (;;) {
        int rc = FR_OK;
        skip_blanks(s);
        if (object) {
            rc = *s->at == '"' ? scan_text(s, &from, &n, &escaped) : expected(s, "a key");
            skip_blanks(s);
            if (rc == FR_OK && *s->at++ != ':') {
                s->at--;
                rc = expected(s, ": behind a key");
            }
            skip_blanks(s);
        }
        rc = rc == FR_OK ? skip_value(s, depth + 1) : rc;
        if (rc != FR_OK) {
            return rc;
        }
        skip_blanks(s);
        if (s->at < s->end && *s->at == close) {
            s->at++;
            return FR_OK;
        }
        if (s->at >= s->end || *s->at != ',') {
            return expected(s, object ? ", or }" : ", or ]");
        }
        s->at++;
    }
}

static size_t put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t heads[] = {0, 0xc0, 0xe0, 0xf0};
    to[0] = (char)(heads[more] | c >> (6 * more));
    for (size_t i = 1; i <= more; i++) {
        to[i] = (char)(0x80 | (c >> (6 * (more - i)) & 63));
    }
    return more + 1;
}

size_t jsonl_unescape(const uint8_t *s, size_t n, char *to)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const uint8_t *end = s + n;
    size_t size = 0;
    while (s < end) {
        const uint8_t *slash = memchr(s, '\\', (size_t)(end - s));
        size_t plain = (size_t)((slash != NULL ? slash : end) - s);
        memmove(to + size, s, plain);
        size += plain;
        s += plain;
        if (s < end && s[1] == 'u') { // checked when it was scanned
            uint32_t c = (uint32_t)hex4(s + 2);
            s += 6;
            if (c >= 0xd800 && c < 0xdc00) {
                c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)hex4(s + 2) - 0xdc00);
                s += 6;
            }
            size += put_utf8(to + size, c);
        } else if (s < end) {
            to[size++] = values[strchr(names, s[1]) - names];
            s += 2;
        }
    }
    return size;
}

static bool is_wanted(const jsonl_table *t, const char *name)
{
    return t->o->columns == NULL ||
           fr_map_find(&t->wanted, fr_hash_bytes(name, strlen(name))) != NULL;
}

// The column of a key that is not where it was expected.
static jsonl_column *look_up(scanner *s, const uint8_t *raw, size_t n, bool escaped)
{
    jsonl_region *r = s->r;
    char *name = fr_alloc(n + 1);
    size_t size = n;
    bool fresh;
    if (escaped) {
        size = jsonl_unescape(raw, n, name);
    } else {
        memcpy(name, raw, n);
    }
    name[size] = '\0';
    uint64_t *at = fr_map_put(&r->names, fr_hash_bytes(name, size), &fresh);
    if (!fresh) {
        fr_free(name);
        s->next = (size_t)*at + 1;
        return &r->columns[*at];
    }
    *at = r->n_columns;
    if (r->n_columns == r->capacity) {
        r->capacity = r->capacity * 2 + 8;
        r->columns = fr_realloc(r->columns, r->capacity * sizeof *r->columns);
    }
    s->next = r->n_columns + 1;
    r->columns[r->n_columns] =
        (jsonl_column){.raw = raw, .n_raw = n, .name = name, .wanted = is_wanted(s->t, name)};
    return &r->columns[r->n_columns++];
}

// The column of a key; keys mostly come in the order of the line before, some left out.
static jsonl_column *column_of(scanner *s, const uint8_t *raw, size_t n, bool escaped)
{
    enum { NEAR = 4 };
    jsonl_region *r = s->r;
    for (size_t k = s->next; k < r->n_columns && k < s->next + NEAR; k++) {
        jsonl_column *c = &r->columns[k];
        if (c->n_raw == n && memcmp(c->raw, raw, n) == 0) {
            s->next = k + 1;
            return c;
        }
    }
    return look_up(s, raw, n, escaped);
}

static void add_cell(scanner *s, jsonl_column *c, jsonl_kind kind, const uint8_t *from, size_t n,
                     unsigned saw)
{
    c->saw |= saw;
    c->text += n;
    if (c->n_cells == c->capacity) {
        c->capacity = c->capacity * 2 + 64;
        c->cells = fr_realloc(c->cells, c->capacity * sizeof *c->cells);
    }
    c->cells[c->n_cells++] = (jsonl_cell){.row = (uint32_t)s->r->rows & (JSONL_ROWS_MAX - 1),
                                          .kind = (unsigned)kind & 15,
                                          .at = (uint32_t)(from - s->start),
                                          .n = (uint32_t)n};
}

static int scan_value(scanner *s, jsonl_column *c)
{
    const uint8_t *start = s->at, *from;
    size_t n;
    bool flag;
    int rc;
    if (*start == '"') {
        rc = scan_text(s, &from, &n, &flag);
        if (rc == FR_OK && c->wanted) {
            add_cell(s, c, flag ? JSONL_ESCAPED : JSONL_TEXT, from, n, JSONL_SAW_TEXT);
        }
        return rc;
    }
    if (*start == '-' || digit(start)) {
        rc = scan_number(s, &flag);
        n = (size_t)(s->at - start);
        if (rc == FR_OK && c->wanted) {
            add_cell(s, c, JSONL_NUMBER, start, n, saw_number(start, n, flag));
        }
        return rc;
    }
    rc = skip_value(s, 1);
    n = (size_t)(s->at - start);
    if (rc != FR_OK || !c->wanted || *start == 'n') {
        return rc;
    }
    bool nested = *start == '{' || *start == '[';
    if (nested && (c->saw & JSONL_SAW_NESTED) == 0) {
        c->nested.at = (uint32_t)(start - s->start);
    }
    add_cell(s, c, nested ? JSONL_NESTED : *start == 't' ? JSONL_TRUE : JSONL_FALSE, start, n,
             nested ? JSONL_SAW_NESTED : JSONL_SAW_BOOL);
    return FR_OK;
}

// The key at s->at when it is the one that came next in the line before: no need to scan it.
static jsonl_column *expected_column(scanner *s)
{
    jsonl_column *c = s->next < s->r->n_columns ? &s->r->columns[s->next] : NULL;
    if (c == NULL || (size_t)(s->end - s->at) < c->n_raw + 2 || s->at[c->n_raw + 1] != '"' ||
        memcmp(s->at + 1, c->raw, c->n_raw) != 0) {
        return NULL;
    }
    s->next++;
    s->at += c->n_raw + 2;
    return c;
}

static int scan_key(scanner *s, jsonl_column **out)
{
    const uint8_t *raw, *key = s->at;
    size_t n;
    bool escaped;
    if (s->at >= s->end || *s->at != '"') {
        return expected(s, "a key in quotes");
    }
    *out = expected_column(s);
    int rc = *out == NULL ? scan_text(s, &raw, &n, &escaped) : FR_OK;
    if (rc != FR_OK) {
        return rc;
    }
    if (*out == NULL && escaped && memmem(raw, n, "\\u0000", 6) != NULL) {
        return wrong(s, key, "a key with a zero byte");
    }
    *out = *out != NULL ? *out : column_of(s, raw, n, escaped);
    if ((*out)->last == s->r->rows + 1) {
        return jsonl_fail(s->r, (size_t)(key - s->start), s->err, FR_EPARSE,
                          "key \"%.60s\" stands twice in one object", (*out)->name);
    }
    (*out)->last = (uint32_t)s->r->rows + 1;
    return FR_OK;
}

static int scan_pair(scanner *s)
{
    jsonl_column *c = NULL;
    int rc = scan_key(s, &c);
    if (rc != FR_OK) {
        return rc;
    }
    skip_blanks(s);
    if (s->at >= s->end || *s->at != ':') {
        return expected(s, ": behind a key");
    }
    s->at++;
    skip_blanks(s);
    return s->at < s->end ? scan_value(s, c) : expected(s, "a value");
}

static int scan_object(scanner *s)
{
    if (*s->at != '{') {
        return expected(s, "an object in braces: one per line");
    }
    s->at++;
    skip_blanks(s);
    bool empty = s->at < s->end && *s->at == '}';
    s->at += empty;
    s->next = 0;
    while (!empty) {
        skip_blanks(s);
        int rc = scan_pair(s);
        if (rc != FR_OK) {
            return rc;
        }
        skip_blanks(s);
        if (s->at < s->end && *s->at == '}') {
            s->at++;
            break;
        }
        if (s->at >= s->end || *s->at != ',') {
            return expected(s, ", or }");
        }
        s->at++;
    }
    skip_blanks(s);
    return s->at >= s->end || *s->at == '\n' ? FR_OK
                                             : expected(s, "the end of the line behind the object");
}

int jsonl_scan(const jsonl_table *t, jsonl_region *r, fr_err *err)
{
    scanner s = {.t = t, .r = r, .start = r->text + r->from, .at = r->text + r->from,
                 .end = r->text + r->to, .err = err};
    size_t bad = csv_utf8_bad(s.start, r->to - r->from);
    if (bad != SIZE_MAX) {
        return wrong(&s, s.start + bad, "the text is not UTF-8 here");
    }
    int rc = FR_OK;
    while (rc == FR_OK) {
        skip_blanks(&s);
        if (s.at >= s.end) {
            break;
        }
        if (*s.at == '\n') {
            s.at++;
            continue;
        }
        rc = r->rows < JSONL_ROWS_MAX - 1 ? scan_object(&s)
                                          : fr_fail(err, FR_ELIMIT, "too many lines in a region");
        r->rows++;
    }
    return rc;
}
