#include "core/base/decimal.h"
#include "core/data/expr_int.h"
#include "core/data/when.h"

#include <math.h>
#include <string.h>

#define I64(v) ((const int64_t *)(v).data)
#define F64(v) ((const double *)(v).data)
#define STR(v) ((const expr_str *)(v).data)

// UTF-8. Columns hold valid text; damage from elsewhere only makes odd results.
static size_t decode(const char *s, size_t n, uint32_t *out)
{
    uint8_t c = (uint8_t)s[0];
    size_t length = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (length > n || c < 0x80 || (c & 0xc0) == 0x80) {
        *out = c < 0x80 ? c : 0xfffd;
        return 1;
    }
    uint32_t v = c & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        v = v << 6 | ((uint8_t)s[i] & 0x3f);
    }
    *out = v;
    return length;
}

static size_t encode(uint32_t c, char *to)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    to[0] = (char)(0xe0 | c >> 12); // the mapped letters are below U+10000
    to[1] = (char)(0x80 | (c >> 6 & 63));
    to[2] = (char)(0x80 | (c & 63));
    return 3;
}

// Simple case mapping of the alphabets that asset and place names are written in: Latin
// (Latin-1, Extended-A), Greek, Cyrillic. Letters that change their number of characters
// (German sharp s) stay.
static uint32_t to_upper(uint32_t c)
{
    if (c < 0x80) {
        return c >= 'a' && c <= 'z' ? c - 32 : c;
    }
    if ((c >= 0xe0 && c <= 0xfe && c != 0xf7) || (c >= 0x3b1 && c <= 0x3c9 && c != 0x3c2) ||
        (c >= 0x430 && c <= 0x44f)) {
        return c - 32;
    }
    if (c >= 0x450 && c <= 0x45f) {
        return c - 80;
    }
    bool even_upper = (c >= 0x100 && c <= 0x137 && c != 0x131) || (c >= 0x14a && c <= 0x177) ||
                      (c >= 0x460 && c <= 0x481);
    bool odd_upper = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e);
    if ((even_upper && (c & 1) == 1) || (odd_upper && (c & 1) == 0)) {
        return c - 1;
    }
    return c == 0xff ? 0x178 : c == 0x3c2 ? 0x3a3 : c == 0x131 ? 'I' : c;
}

static uint32_t to_lower(uint32_t c)
{
    if (c < 0x80) {
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    }
    if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3a9 && c != 0x3a2) ||
        (c >= 0x410 && c <= 0x42f)) {
        return c + 32;
    }
    if (c >= 0x400 && c <= 0x40f) {
        return c + 80;
    }
    bool even_upper = (c >= 0x100 && c <= 0x137 && c != 0x130) || (c >= 0x14a && c <= 0x177) ||
                      (c >= 0x460 && c <= 0x481);
    bool odd_upper = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e);
    if ((even_upper && (c & 1) == 0) || (odd_upper && (c & 1) == 1)) {
        return c + 1;
    }
    return c == 0x178 ? 0xff : c == 0x130 ? 'i' : c;
}

static expr_str map_case(expr_eval *e, expr_str t, uint32_t (*map)(uint32_t))
{
    char *to = expr_text_alloc(e, t.n * 3 + 1);
    size_t n = 0;
    for (size_t i = 0; i < t.n;) {
        uint32_t c;
        size_t length = decode(t.s + i, t.n - i, &c), made = 0;
        uint32_t mapped = map(c);
        if (mapped == c) { // the bytes as they are, damaged ones too
            memcpy(to + n, t.s + i, length);
            made = length;
        } else {
            made = encode(mapped, to + n);
        }
        n += made;
        i += length;
    }
    return (expr_str){to, n};
}

EXPR_TYPER(map_text)
{
    node->type = fr_type_of(FR_UTF8);
    return expr_want(c, node, 0, FR_UTF8);
}

#define TEXTS(name, value)                                                               \
    EXPR_KERNEL(name)                                                                    \
    {                                                                                    \
        (void)node;                                                                      \
        expr_str *r = out->data;                                                         \
        for (size_t i = 0; i < n; i++) {                                                 \
            if (expr_row_counts(e, out, i)) {                                            \
                expr_str t = STR(args[0])[i];                                            \
                r[i] = (value);                                                          \
            }                                                                            \
        }                                                                                \
        return FR_OK;                                                                    \
    }

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static expr_str trimmed(expr_str t)
{
    while (t.n > 0 && is_space(t.s[0])) {
        t.s++;
        t.n--;
    }
    while (t.n > 0 && is_space(t.s[t.n - 1])) {
        t.n--;
    }
    return t;
}

TEXTS(upper, map_case(e, t, to_upper))
TEXTS(lower, map_case(e, t, to_lower))
TEXTS(trim, ((void)e, trimmed(t)))

static int64_t characters(expr_str t)
{
    int64_t count = 0;
    for (size_t i = 0; i < t.n; i++) {
        count += ((uint8_t)t.s[i] & 0xc0) != 0x80;
    }
    return count;
}

static int kernel_len(expr_eval *e, const expr_node *node, const expr_vec *args, expr_vec *out,
                      size_t n)
{
    (void)node;
    for (size_t i = 0; i < n; i++) {
        bool counts = expr_row_counts(e, out, i);
        ((int64_t *)out->data)[i] = counts ? characters(STR(args[0])[i]) : 0;
    }
    return FR_OK;
}

EXPR_TYPER(len)
{
    node->type = fr_type_of(FR_INT64);
    node->kernel = kernel_len;
    return expr_want(c, node, 0, FR_UTF8);
}

// contains, starts, ends: aux 0, 1, 2.
static int kernel_find(expr_eval *e, const expr_node *node, const expr_vec *args, expr_vec *out,
                       size_t n)
{
    uint8_t *r = out->data;
    for (size_t i = 0; i < n; i++) {
        r[i] = 0;
        if (!expr_row_counts(e, out, i)) {
            continue;
        }
        expr_str t = STR(args[0])[i], p = STR(args[1])[i];
        if (p.n > t.n) {
            continue;
        }
        if (node->i == 0) {
            r[i] = p.n == 0 || memmem(t.s, t.n, p.s, p.n) != NULL;
        } else {
            r[i] = memcmp(node->i == 1 ? t.s : t.s + t.n - p.n, p.s, p.n) == 0;
        }
    }
    return FR_OK;
}

EXPR_TYPER(find)
{
    node->type = fr_type_of(FR_BOOL);
    node->kernel = kernel_find;
    int rc = expr_want(c, node, 0, FR_UTF8);
    return rc == FR_OK ? expr_want(c, node, 1, FR_UTF8) : rc;
}

static expr_str replaced(expr_eval *e, expr_str t, expr_str from, expr_str to)
{
    size_t count = 0;
    const char *end = t.s + t.n, *at = t.s;
    while (from.n > 0 && (at = memmem(at, (size_t)(end - at), from.s, from.n)) != NULL) {
        count++;
        at += from.n;
    }
    if (count == 0) {
        return t;
    }
    char *made = expr_text_alloc(e, t.n + count * to.n), *put = made;
    at = t.s;
    for (;;) {
        const char *next = memmem(at, (size_t)(end - at), from.s, from.n);
        size_t keep = (size_t)((next != NULL ? next : end) - at);
        memcpy(put, at, keep);
        put += keep;
        if (next == NULL) {
            break;
        }
        memcpy(put, to.s, to.n);
        put += to.n;
        at = next + from.n;
    }
    return (expr_str){made, (size_t)(put - made)};
}

static int kernel_replace(expr_eval *e, const expr_node *node, const expr_vec *args,
                          expr_vec *out, size_t n)
{
    (void)node;
    for (size_t i = 0; i < n; i++) {
        if (expr_row_counts(e, out, i)) {
            ((expr_str *)out->data)[i] =
                replaced(e, STR(args[0])[i], STR(args[1])[i], STR(args[2])[i]);
        }
    }
    return FR_OK;
}

EXPR_TYPER(replace)
{
    node->type = fr_type_of(FR_UTF8);
    node->kernel = kernel_replace;
    int rc = FR_OK;
    for (size_t i = 0; i < 3 && rc == FR_OK; i++) {
        rc = expr_want(c, node, i, FR_UTF8);
    }
    return rc;
}

static int kernel_concat(expr_eval *e, const expr_node *node, const expr_vec *args,
                         expr_vec *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!expr_row_counts(e, out, i)) {
            continue;
        }
        size_t size = 0;
        for (uint32_t k = 0; k < node->n_args; k++) {
            size += STR(args[k])[i].n;
        }
        char *to = expr_text_alloc(e, size);
        ((expr_str *)out->data)[i] = (expr_str){to, size};
        for (uint32_t k = 0; k < node->n_args; k++) {
            expr_str t = STR(args[k])[i];
            memcpy(to, t.s, t.n);
            to += t.n;
        }
    }
    return FR_OK;
}

// sub(text, first, last): characters counted as Lua does, negative ones from the end.
static expr_str part_of(expr_str t, int64_t first, int64_t last)
{
    int64_t n = characters(t), at = 0;
    first = first < 0 ? FR_MAX(n + first + 1, 1) : FR_MAX(first, 1);
    last = last < 0 ? n + last + 1 : FR_MIN(last, n);
    size_t from = t.n, to = t.n;
    for (size_t i = 0; i < t.n; i++) {
        if (((uint8_t)t.s[i] & 0xc0) == 0x80) {
            continue;
        }
        at++;
        if (at == first) {
            from = i;
        }
        if (at == last + 1) {
            to = i;
            break;
        }
    }
    return last < first ? (expr_str){t.s, 0} : (expr_str){t.s + from, to - from};
}

static int kernel_sub(expr_eval *e, const expr_node *node, const expr_vec *args, expr_vec *out,
                      size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (expr_row_counts(e, out, i)) {
            int64_t last = node->n_args > 2 ? I64(args[2])[i] : -1;
            ((expr_str *)out->data)[i] = part_of(STR(args[0])[i], I64(args[1])[i], last);
        }
    }
    return FR_OK;
}

EXPR_TYPER(sub)
{
    node->type = fr_type_of(FR_UTF8);
    node->kernel = kernel_sub;
    int rc = expr_want(c, node, 0, FR_UTF8);
    for (size_t i = 1; i < node->n_args && rc == FR_OK; i++) {
        rc = expr_want(c, node, i, FR_INT64);
    }
    return rc;
}

// like: % is any text, _ one character, \ takes the next one as it is.
static bool like(expr_str t, expr_str p)
{
    size_t i = 0, k = 0, star_i = 0, star_k = SIZE_MAX;
    while (i < t.n || k < p.n) {
        if (k < p.n && p.s[k] == '%') {
            star_k = k++;
            star_i = i;
            continue;
        }
        if (k < p.n && i < t.n) {
            bool escaped = p.s[k] == '\\' && k + 1 < p.n;
            uint32_t c;
            if (!escaped && p.s[k] == '_') {
                i += decode(t.s + i, t.n - i, &c);
                k++;
                continue;
            }
            if (p.s[k + escaped] == t.s[i]) {
                i++;
                k += 1 + escaped;
                continue;
            }
        }
        if (star_k == SIZE_MAX || star_i >= t.n) {
            return false;
        }
        i = ++star_i; // the last % takes one byte more
        k = star_k + 1;
    }
    return true;
}

EXPR_KERNEL(like)
{
    (void)node;
    for (size_t i = 0; i < n; i++) {
        bool counts = expr_row_counts(e, out, i);
        ((uint8_t *)out->data)[i] = counts && like(STR(args[0])[i], STR(args[1])[i]);
    }
    return FR_OK;
}

// Conversions.
static expr_str own(expr_eval *e, const char *s, size_t n)
{
    char *to = expr_text_alloc(e, n);
    memcpy(to, s, n);
    return (expr_str){to, n};
}

static expr_str shown_time(expr_eval *e, const expr_node *from, const fr_zone *zone, int64_t v)
{
    char text[FR_WHEN_MAX];
    const fr_type *t = &from->type;
    size_t n = 0;
    switch ((int)t->kind) {
    case FR_DATE:
        n = fr_when_print_date(v, text);
        break;
    case FR_TIME:
        n = fr_when_print_time(v, text);
        break;
    case FR_DURATION:
        n = fr_when_print_duration(v, t->unit, text);
        break;
    case FR_TIMESTAMP: {
        int64_t s = fr_floor_div(v, fr_unit_per_second(t->unit));
        int32_t offset = zone != NULL ? fr_zone_offset(zone, s) : 0;
        n = fr_when_print(v, t->unit, zone != NULL, offset, text);
        break;
    }
    default:
        n = fr_decimal_print_int(v, text);
        break;
    }
    return own(e, text, n);
}

static int kernel_to_text(expr_eval *e, const expr_node *node, const expr_vec *args,
                          expr_vec *out, size_t n)
{
    const expr_node *from = node->args[0];
    expr_str *r = out->data;
    for (size_t i = 0; i < n; i++) {
        if (!expr_row_counts(e, out, i)) {
            continue;
        }
        char text[FR_DECIMAL_MAX];
        switch (expr_phys_of(&from->type)) {
        case EXPR_P_BOOL:
            r[i] = ((const uint8_t *)args[0].data)[i] ? (expr_str){"true", 4}
                                                      : (expr_str){"false", 5};
            break;
        case EXPR_P_F64:
            r[i] = own(e, text, fr_decimal_print(F64(args[0])[i], text));
            break;
        case EXPR_P_I64:
            r[i] = shown_time(e, from, node->zone, I64(args[0])[i]);
            break;
        case EXPR_P_TEXT:
            r[i] = STR(args[0])[i];
            break;
        }
    }
    return FR_OK;
}

EXPR_TYPER(to_text)
{
    const fr_type *t = &node->args[0]->type;
    node->kernel = kernel_to_text;
    node->type = fr_type_of(FR_UTF8);
    if ((int)t->kind == 0) {
        return expr_want(c, node, 0, FR_UTF8);
    }
    if (t->kind == FR_TIMESTAMP && t->zone[0] != '\0') {
        return fr_zone_open(t->zone, &node->zone, c->err);
    }
    return FR_OK;
}

EXPR_TYPER(concat)
{
    int rc = FR_OK;
    node->type = fr_type_of(FR_UTF8);
    node->kernel = kernel_concat;
    for (size_t i = 0; i < node->n_args && rc == FR_OK; i++) {
        if (!expr_is_text(node->args[i])) {
            expr_node *call = expr_node_new(c, EXPR_CALL, node->args[i]->at, node->args[i]->end, 1);
            call->args[0] = node->args[i];
            call->s = (expr_str){"text", 4};
            node->args[i] = call;
            rc = expr_type(c, &node->args[i]);
        }
    }
    return rc;
}

static int not_a_number(expr_eval *e, const expr_node *node, size_t i, expr_str t)
{
    return expr_fail_row(e, node, i, FR_EPARSE, "'%.*s' is not a %s", (int)FR_MIN(t.n, 40), t.s,
                         node->type.kind == FR_INT64 ? "whole number" : "number");
}

static int kernel_text_to_int(expr_eval *e, const expr_node *node, const expr_vec *args,
                              expr_vec *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (expr_row_counts(e, out, i)) {
            expr_str t = trimmed(STR(args[0])[i]);
            if (!fr_decimal_parse_int(t.s, t.n, (int64_t *)out->data + i)) {
                return not_a_number(e, node, i, t);
            }
        }
    }
    return FR_OK;
}

static int kernel_text_to_float(expr_eval *e, const expr_node *node, const expr_vec *args,
                                expr_vec *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (expr_row_counts(e, out, i)) {
            expr_str t = trimmed(STR(args[0])[i]);
            if (!fr_decimal_parse(t.s, t.n, (double *)out->data + i)) {
                return not_a_number(e, node, i, t);
            }
        }
    }
    return FR_OK;
}

static int kernel_float_to_int(expr_eval *e, const expr_node *node, const expr_vec *args,
                               expr_vec *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double x = trunc(F64(args[0])[i]);
        bool fits = x >= -9223372036854775808.0 && x < 9223372036854775808.0;
        if (!fits && expr_row_counts(e, out, i)) {
            return expr_fail_row(e, node, i, FR_EOVERFLOW, "%g does not fit a 64-bit integer",
                                 F64(args[0])[i]);
        }
        ((int64_t *)out->data)[i] = fits ? (int64_t)x : 0;
    }
    return FR_OK;
}

static int kernel_same(expr_eval *e, const expr_node *node, const expr_vec *args, expr_vec *out,
                       size_t n)
{
    (void)e, (void)node;
    memcpy(out->data, args[0].data, n * sizeof(int64_t));
    return FR_OK;
}

// int(x), float(x): text is read, floats are cut towards zero, true is 1. Durations and
// dates give their number.
EXPR_TYPER(to_int)
{
    expr_node *x = node->args[0];
    fr_type t = fr_type_of(FR_INT64);
    node->type = t;
    if (expr_is_text(x)) {
        node->kernel = kernel_text_to_int;
        return FR_OK;
    }
    if (fr_kind_number(x->type.kind) && !fr_kind_integer(x->type.kind)) {
        node->kernel = kernel_float_to_int;
        return FR_OK;
    }
    node->kernel = kernel_same;
    return expr_cast(c, &node->args[0], &t);
}

EXPR_TYPER(to_float)
{
    expr_node *x = node->args[0];
    fr_type t = fr_type_of(FR_FLOAT64), whole = fr_type_of(FR_INT64);
    node->type = t;
    if (expr_is_text(x)) {
        node->kernel = kernel_text_to_float;
        return FR_OK;
    }
    node->kernel = kernel_same;
    int rc = x->type.kind == FR_BOOL ? expr_cast(c, &node->args[0], &whole) : FR_OK;
    return rc == FR_OK ? expr_cast(c, &node->args[0], &t) : rc;
}
