#include "lua/bind/lex.h"

#include <string.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

void fr_lex_init(fr_lex *x, const char *text, size_t size)
{
    *x = (fr_lex){.at = text, .end = text + size, .line = 1};
    if (size > 0 && *text == '#') { // "#!/usr/bin/env flowrun"
        const char *eol = memchr(text, '\n', size);
        x->at = eol != NULL ? eol : x->end;
    }
}

static char peek(const fr_lex *x, size_t ahead)
{
    return (size_t)(x->end - x->at) > ahead ? x->at[ahead] : '\0';
}

// The level of a long bracket "[==[" at the cursor, or -1.
static int long_level(const fr_lex *x)
{
    size_t n = 1;
    while (peek(x, n) == '=') {
        n++;
    }
    return peek(x, 0) == '[' && peek(x, n) == '[' ? (int)n - 1 : -1;
}

static void skip_long(fr_lex *x, int level)
{
    x->at += level + 2;
    while (x->at < x->end) {
        if (*x->at == '\n') {
            x->line++;
        }
        if (*x->at++ == ']') {
            int n = 0;
            while (peek(x, (size_t)n) == '=') {
                n++;
            }
            if (n == level && peek(x, (size_t)n) == ']') {
                x->at += n + 1;
                return;
            }
        }
    }
}

// Skips spaces and comments.
static void skip_layout(fr_lex *x)
{
    while (x->at < x->end) {
        char c = *x->at;
        if (c == '\n') {
            x->line++;
            x->at++;
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v') {
            x->at++;
        } else if (c == '-' && peek(x, 1) == '-') {
            x->at += 2;
            int level = long_level(x);
            if (level >= 0) {
                skip_long(x, level);
                continue;
            }
            while (x->at < x->end && *x->at != '\n') {
                x->at++;
            }
        } else {
            return;
        }
    }
}

static void skip_string(fr_lex *x)
{
    char quote = *x->at++;
    while (x->at < x->end && *x->at != quote) {
        if (*x->at == '\\' && x->end - x->at > 1) {
            x->at++;
            if (*x->at == 'z') { // skips the spaces and line ends that follow
                x->at++;
                while (x->at < x->end && strchr(" \t\r\f\v\n", *x->at) != NULL) {
                    x->line += *x->at++ == '\n';
                }
                continue;
            }
        }
        x->line += *x->at == '\n';
        x->at++;
    }
    x->at += x->at < x->end;
}

static void skip_number(fr_lex *x)
{
    bool hex = *x->at == '0' && (peek(x, 1) == 'x' || peek(x, 1) == 'X');
    x->at += hex ? 2 : 0;
    while (x->at < x->end) {
        char c = *x->at, lower = (char)(c | 32);
        bool exponent = hex ? lower == 'p' : lower == 'e';
        if (exponent && (peek(x, 1) == '+' || peek(x, 1) == '-')) {
            x->at += 2;
        } else if (is_hex(c) || is_letter(c) || c == '.') {
            x->at++;
        } else {
            return;
        }
    }
}

static size_t symbol_size(const fr_lex *x)
{
    static const char *const longer[] = {
        "...", "..", "==", "~=", "<=", ">=", "//", "::", "<<", ">>", NULL};
    for (const char *const *s = longer; *s != NULL; s++) {
        size_t n = strlen(*s);
        if ((size_t)(x->end - x->at) >= n && memcmp(x->at, *s, n) == 0) {
            return n;
        }
    }
    return 1;
}

fr_lex_kind fr_lex_next(fr_lex *x, fr_lex_token *out)
{
    skip_layout(x);
    *out = (fr_lex_token){.kind = FR_LEX_END, .text = x->at, .line = x->line};
    if (x->at == x->end || *x->at == '\0') {
        out->last = x->line;
        return FR_LEX_END;
    }
    char c = *x->at;
    int level = c == '[' ? long_level(x) : -1;
    if (is_letter(c)) {
        out->kind = FR_LEX_NAME;
        while (x->at < x->end && (is_letter(*x->at) || is_digit(*x->at))) {
            x->at++;
        }
    } else if (is_digit(c) || (c == '.' && is_digit(peek(x, 1)))) {
        out->kind = FR_LEX_NUMBER;
        skip_number(x);
    } else if (c == '"' || c == '\'' || level >= 0) {
        out->kind = FR_LEX_STRING;
        if (level >= 0) {
            skip_long(x, level);
        } else {
            skip_string(x);
        }
    } else {
        out->kind = FR_LEX_SYMBOL;
        x->at += symbol_size(x);
    }
    out->size = (size_t)(x->at - out->text);
    out->last = x->line;
    return out->kind;
}

bool fr_lex_is(const fr_lex_token *t, const char *word)
{
    return (t->kind == FR_LEX_NAME || t->kind == FR_LEX_SYMBOL) &&
           strlen(word) == t->size && memcmp(t->text, word, t->size) == 0;
}
