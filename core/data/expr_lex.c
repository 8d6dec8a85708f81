#include "core/base/decimal.h"
#include "core/data/expr_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN = 72, BEFORE = 40 };

static bool name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (uint8_t)c >= 0x80;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool name_part(char c) { return name_start(c) || is_digit(c); }
static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// The text around `at` on one line, and a caret below it.
void expr_excerpt(const char *text, size_t size, size_t at, char out[192])
{
    size_t from = at > BEFORE ? at - BEFORE : 0;
    while (from > 0 && ((uint8_t)text[from] & 0xc0) == 0x80) {
        from--; // not into the middle of a character
    }
    size_t end = FR_MIN(from + SHOWN, size), n = 0, column = 0;
    while (end > from && end < size && ((uint8_t)text[end] & 0xc0) == 0x80) {
        end--;
    }
    n += (size_t)snprintf(out, 192, "\n  %s", from > 0 ? "..." : "");
    size_t indent = n - 1;
    for (size_t i = from; i < end; i++) {
        out[n++] = is_space(text[i]) ? ' ' : text[i];
        column += i < at && ((uint8_t)text[i] & 0xc0) != 0x80;
    }
    n += (size_t)snprintf(out + n, 192 - n, "%s\n", end < size ? "..." : "");
    while (n + 2 < 192 && indent + column > 0) {
        out[n++] = ' ';
        column--;
    }
    out[n++] = '^';
    out[n] = '\0';
}

int expr_fail(expr_compiler *c, int code, size_t at, size_t n, const char *format, ...)
{
    (void)n;
    char message[FR_ERR_MAX], excerpt[192];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    expr_excerpt(c->text, c->size, FR_MIN(at, c->size), excerpt);
    return fr_fail(c->err, code, "%s%s", message, excerpt);
}

typedef struct lexer {
    expr_compiler *c;
    size_t at;
    expr_token *tokens;
    size_t n, capacity;
} lexer;

static char peek(const lexer *l, size_t ahead)
{
    return l->at + ahead < l->c->size ? l->c->text[l->at + ahead] : '\0';
}

static expr_token *add(lexer *l, expr_token_kind kind, size_t from)
{
    if (l->n == l->capacity) {
        size_t capacity = l->capacity * 2 + 16;
        expr_token *more = fr_arena_alloc(l->c->arena, capacity * sizeof *more);
        if (l->n > 0) {
            memcpy(more, l->tokens, l->n * sizeof *more);
        }
        l->tokens = more;
        l->capacity = capacity;
    }
    expr_token *t = &l->tokens[l->n++];
    *t = (expr_token){.kind = kind, .at = from, .n = l->at - from};
    return t;
}

static int number(lexer *l)
{
    size_t from = l->at;
    const char *s = l->c->text + from;
    bool integer = true;
    while (is_digit(peek(l, 0))) {
        l->at++;
    }
    if (peek(l, 0) == '.') {
        integer = false;
        l->at++;
        while (is_digit(peek(l, 0))) {
            l->at++;
        }
    }
    if ((peek(l, 0) | 32) == 'e') {
        size_t sign = peek(l, 1) == '-' || peek(l, 1) == '+';
        if (is_digit(peek(l, 1 + sign))) {
            integer = false;
            l->at += 1 + sign;
            while (is_digit(peek(l, 0))) {
                l->at++;
            }
        }
    }
    size_t n = l->at - from;
    if (name_part(peek(l, 0)) || peek(l, 0) == '.') {
        return expr_fail(l->c, FR_EPARSE, l->at, 1,
                         "\"%.*s\" is not a number; a column whose name starts with a digit is "
                         "written in `back-quotes`",
                         (int)FR_MIN(n + 1, 40), s);
    }
    expr_token *t = add(l, EXPR_NUMBER, from);
    t->integer = integer && fr_decimal_parse_int(s, n, &t->i);
    if (!fr_decimal_parse(s, n, &t->x)) {
        return expr_fail(l->c, FR_EPARSE, from, n, "\"%.*s\" is not a number",
                         (int)FR_MIN(n, 40), s);
    }
    return FR_OK;
}

// 'text' or `name`: a doubled quote stands for one.
static int quoted(lexer *l, char quote)
{
    size_t from = l->at++;
    char *s = fr_arena_alloc(l->c->arena, l->c->size - from + 1);
    size_t n = 0;
    for (;;) {
        if (l->at >= l->c->size) {
            return expr_fail(l->c, FR_EPARSE, from, 1,
                             quote == '\'' ? "this text has no closing '"
                                           : "this column name has no closing `");
        }
        char ch = l->c->text[l->at++];
        if (ch == quote) {
            if (peek(l, 0) != quote) {
                break;
            }
            l->at++;
        }
        s[n++] = ch;
    }
    s[n] = '\0';
    expr_token *t = add(l, quote == '\'' ? EXPR_STRING : EXPR_QUOTED, from);
    t->s = s;
    t->size = n;
    return FR_OK;
}

static int name(lexer *l, bool param)
{
    size_t from = l->at;
    l->at += param;
    size_t start = l->at;
    while (name_part(peek(l, 0))) {
        l->at++;
    }
    if (l->at == start) {
        return expr_fail(l->c, FR_EPARSE, from, 1, "a parameter is written $name");
    }
    if (!param && peek(l, 0) == '.' && name_part(peek(l, 1))) {
        size_t end = l->at;
        while (end < l->c->size &&
               (name_part(l->c->text[end]) || l->c->text[end] == '.')) {
            end++;
        }
        return expr_fail(l->c, FR_EPARSE, l->at, 1,
                         "a name with a dot is written in back-quotes: `%.*s`",
                         (int)FR_MIN(end - start, 60), l->c->text + start);
    }
    expr_token *t = add(l, param ? EXPR_PARAM : EXPR_NAME, from);
    t->size = l->at - start;
    t->s = fr_arena_strndup(l->c->arena, l->c->text + start, t->size);
    return FR_OK;
}

static int symbol(lexer *l)
{
    static const char *const two[] = {"==", "~=", "!=", "<>", "<=", ">=", "//"};
    size_t from = l->at;
    char a = peek(l, 0), b = peek(l, 1);
    for (size_t i = 0; i < FR_COUNT(two); i++) {
        if (a == two[i][0] && b == two[i][1]) {
            l->at += 2;
            expr_token *t = add(l, EXPR_SYMBOL, from);
            memcpy(t->symbol, two[i], 3);
            return FR_OK;
        }
    }
    if (a == '"') {
        return expr_fail(l->c, FR_EPARSE, from, 1,
                         "text is written in single quotes: 'text'; a column in back-quotes");
    }
    if ((a == '&' && b == '&') || (a == '|' && b == '|') || a == '&' || a == '|' || a == '!') {
        return expr_fail(l->c, FR_EPARSE, from, 1, "write %s",
                         a == '&' ? "and" : a == '|' ? "or" : "not");
    }
    if (strchr("=<>+-*/%^(),", a) == NULL) {
        return expr_fail(l->c, FR_EPARSE, from, 1, "unexpected \"%c\"", a);
    }
    l->at++;
    expr_token *t = add(l, EXPR_SYMBOL, from);
    t->symbol[0] = a;
    return FR_OK;
}

int expr_lex(expr_compiler *c, expr_token **out)
{
    lexer l = {.c = c};
    int rc = FR_OK;
    if (c->size > EXPR_TEXT_MAX) {
        return fr_fail(c->err, FR_ELIMIT, "an expression of %zu bytes; at most %d", c->size,
                       EXPR_TEXT_MAX);
    }
    if (memchr(c->text, '\0', c->size) != NULL) {
        return fr_fail(c->err, FR_EPARSE, "an expression with a zero byte");
    }
    while (rc == FR_OK) {
        while (is_space(peek(&l, 0)) && l.at < c->size) {
            l.at++;
        }
        char ch = peek(&l, 0);
        if (l.at >= c->size) {
            break;
        }
        if (is_digit(ch) || (ch == '.' && is_digit(peek(&l, 1)))) {
            rc = number(&l);
        } else if (ch == '\'' || ch == '`') {
            rc = quoted(&l, ch);
        } else if (name_start(ch)) {
            rc = name(&l, false);
        } else if (ch == '$') {
            rc = name(&l, true);
        } else {
            rc = symbol(&l);
        }
    }
    (void)add(&l, EXPR_END, l.at);
    *out = l.tokens;
    return rc;
}
