#include "lua/bind/bind.h"
#include "lua/bind/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct decoder {
    lua_State *L;
    const char *start, *at, *end;
    fr_buf *scratch;
    fr_err *err;
} decoder;

// The length of the UTF-8 character at s (n > 0 bytes left), or 0 when it is none (RFC
// 3629).
static size_t utf8_size(const unsigned char *s, size_t n)
{
    if (s[0] < 0x80) {
        return 1;
    }
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len > n) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool wrong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
                 (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f);
    return wrong ? 0 : len;
}

// --- errors: line and column (in characters) of `at` ---

static bool fail_at(decoder *d, const char *at, const char *what)
{
    int line = 1, column = 1;
    for (const char *p = d->start; p < at; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xc0) != 0x80) {
            column++;
        }
    }
    (void)fr_fail(d->err, FR_EPARSE, "JSON, line %d, column %d: %s", line, column, what);
    return false;
}

static bool expected(decoder *d, const char *what)
{
    char found[32], text[160];
    unsigned char c = d->at < d->end ? (unsigned char)*d->at : 0;
    if (d->at >= d->end) {
        (void)snprintf(found, sizeof found, "the end");
    } else if (c < 0x20 || c >= 0x7f) {
        (void)snprintf(found, sizeof found, "byte 0x%02x", c);
    } else {
        (void)snprintf(found, sizeof found, "'%c'", c);
    }
    (void)snprintf(text, sizeof text, "expected %s, found %s", what, found);
    return fail_at(d, d->at, text);
}

static char peek(const decoder *d) { return d->at < d->end ? *d->at : '\0'; }

static void skip_space(decoder *d)
{
    while (d->at < d->end &&
           (*d->at == ' ' || *d->at == '\n' || *d->at == '\t' || *d->at == '\r')) {
        d->at++;
    }
}

// --- strings ---

static int hex4(const decoder *d, const char *s)
{
    int v = 0;
    if (d->end - s < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            return -1;
        }
        v = v << 4 | digit;
    }
    return v;
}

static void put_utf8(fr_buf *b, unsigned c)
{
    if (c < 0x80) {
        fr_buf_put_u8(b, (uint8_t)c);
    } else if (c < 0x800) {
        fr_buf_put_u8(b, (uint8_t)(0xc0 | c >> 6));
        fr_buf_put_u8(b, (uint8_t)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        fr_buf_put_u8(b, (uint8_t)(0xe0 | c >> 12));
        fr_buf_put_u8(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        fr_buf_put_u8(b, (uint8_t)(0x80 | (c & 0x3f)));
    } else {
        fr_buf_put_u8(b, (uint8_t)(0xf0 | c >> 18));
        fr_buf_put_u8(b, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        fr_buf_put_u8(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        fr_buf_put_u8(b, (uint8_t)(0x80 | (c & 0x3f)));
    }
}

// \uXXXX, with its second half when it is a surrogate. d->at stands behind the backslash.
static bool read_unicode(decoder *d)
{
    int high = hex4(d, d->at + 1);
    if (high < 0) {
        return fail_at(d, d->at, "expected four hex digits behind \\u");
    }
    unsigned c = (unsigned)high;
    size_t used = 5;
    if (c >= 0xd800 && c < 0xe000) {
        int low = d->end - d->at > 7 && d->at[5] == '\\' && d->at[6] == 'u'
                      ? hex4(d, d->at + 7)
                      : -1;
        if (c >= 0xdc00 || low < 0xdc00 || low > 0xdfff) {
            return fail_at(d, d->at - 1,
                           "half of a surrogate pair, which is no character");
        }
        c = 0x10000 + ((c - 0xd800) << 10) + ((unsigned)low - 0xdc00);
        used = 11;
    }
    put_utf8(d->scratch, c);
    d->at += used;
    return true;
}

static bool read_escape(decoder *d)
{
    static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    d->at++;
    if (peek(d) == 'u') {
        return read_unicode(d);
    }
    const char *which = d->at < d->end && *d->at != '\0' ? strchr(names, *d->at) : NULL;
    if (which == NULL) {
        return expected(d, "one of \" \\ / b f n r t u behind a backslash");
    }
    fr_buf_put_u8(d->scratch, (uint8_t)means[which - names]);
    d->at++;
    return true;
}

// The run of plain characters at d->at; stops at a quote or backslash.
static bool skip_plain(decoder *d)
{
    while (d->at < d->end) {
        unsigned char c = (unsigned char)*d->at;
        if (c == '"' || c == '\\') {
            return true;
        }
        if (c < 0x20) {
            return fail_at(d, d->at,
                           "a control character inside a string; write it as \\n, \\t "
                           "or \\u00XX");
        }
        size_t len = utf8_size((const unsigned char *)d->at, (size_t)(d->end - d->at));
        if (len == 0) {
            return fail_at(d, d->at, "the text is not UTF-8 here");
        }
        d->at += len;
    }
    return fail_at(d, d->at, "the string has no end");
}

static bool read_string(decoder *d)
{
    const char *from = ++d->at;
    if (!skip_plain(d)) {
        return false;
    }
    if (*d->at == '"') { // no escapes: the common case
        lua_pushlstring(d->L, from, (size_t)(d->at - from));
        d->at++;
        return true;
    }
    fr_buf_clear(d->scratch);
    for (;;) {
        fr_buf_put(d->scratch, from, (size_t)(d->at - from));
        if (*d->at == '"') {
            break;
        }
        if (!read_escape(d)) {
            return false;
        }
        from = d->at;
        if (!skip_plain(d)) {
            return false;
        }
    }
    d->at++;
    lua_pushlstring(d->L, fr_buf_text(d->scratch), d->scratch->size);
    return true;
}

// --- numbers ---

static size_t skip_digits(decoder *d)
{
    const char *from = d->at;
    while (d->at < d->end && *d->at >= '0' && *d->at <= '9') {
        d->at++;
    }
    return (size_t)(d->at - from);
}

// A whole number that fits 64 bits stays an integer, but -0 is a double: integers have
// none.
static bool push_integer(decoder *d, const char *from)
{
    bool negative = *from == '-';
    uint64_t v = 0, limit = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    for (const char *p = from + negative; p < d->at; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (v > (limit - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    if (negative && v == 0) {
        return false;
    }
    lua_pushinteger(d->L, (lua_Integer)(negative ? 0 - v : v));
    return true;
}

static bool push_double(decoder *d, const char *from)
{
    size_t n = (size_t)(d->at - from);
    fr_buf_clear(d->scratch); // strtod wants an end
    fr_buf_put(d->scratch, from, n);
    double x = strtod(fr_buf_text(d->scratch), NULL);
    if (isinf(x)) {
        return fail_at(d, from, "the number is larger than a double can be");
    }
    lua_pushnumber(d->L, x);
    return true;
}

static bool read_number(decoder *d)
{
    const char *from = d->at;
    bool whole = true;
    d->at += peek(d) == '-';
    if (peek(d) == '0') {
        d->at++;
        if (peek(d) >= '0' && peek(d) <= '9') {
            return fail_at(d, from, "a number does not begin with 0");
        }
    } else if (skip_digits(d) == 0) {
        return expected(d, "a digit");
    }
    if (peek(d) == '.') {
        whole = false;
        d->at++;
        if (skip_digits(d) == 0) {
            return expected(d, "a digit behind the point");
        }
    }
    if (peek(d) == 'e' || peek(d) == 'E') {
        whole = false;
        d->at++;
        d->at += peek(d) == '+' || peek(d) == '-';
        if (skip_digits(d) == 0) {
            return expected(d, "a digit in the exponent");
        }
    }
    return (whole && push_integer(d, from)) || push_double(d, from);
}

// --- values ---

static bool read_value(decoder *d, int depth);

static bool read_word(decoder *d, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(d->end - d->at) < n || memcmp(d->at, word, n) != 0) {
        return expected(d, "a value");
    }
    d->at += n;
    return true;
}

static bool read_array(decoder *d, int depth)
{
    lua_newtable(d->L);
    d->at++;
    skip_space(d);
    if (peek(d) == ']' && d->at < d->end) {
        d->at++;
        return true;
    }
    for (lua_Integer i = 1;; i++) {
        if (!read_value(d, depth + 1)) {
            return false;
        }
        lua_rawseti(d->L, -2, i);
        skip_space(d);
        if (peek(d) == ']') {
            d->at++;
            return true;
        }
        if (peek(d) != ',') {
            return expected(d, "',' or ']'");
        }
        d->at++;
    }
}

static bool read_object(decoder *d, int depth)
{
    lua_newtable(d->L);
    d->at++;
    skip_space(d);
    if (peek(d) == '}') {
        d->at++;
        return true;
    }
    for (;;) {
        skip_space(d);
        if (peek(d) != '"') {
            return expected(d, "a name in quotes");
        }
        if (!read_string(d)) {
            return false;
        }
        skip_space(d);
        if (peek(d) != ':') {
            return expected(d, "':'");
        }
        d->at++;
        if (!read_value(d, depth + 1)) {
            return false;
        }
        lua_rawset(d->L, -3); // of equal names the last one counts
        skip_space(d);
        if (peek(d) == '}') {
            d->at++;
            return true;
        }
        if (peek(d) != ',') {
            return expected(d, "',' or '}'");
        }
        d->at++;
    }
}

static bool read_value(decoder *d, int depth)
{
    skip_space(d);
    luaL_checkstack(d->L, 4, "JSON");
    if (depth >= JSON_DEPTH) {
        return fail_at(d, d->at, "nested deeper than 1000 levels");
    }
    switch (peek(d)) {
    case '{':
        return read_object(d, depth);
    case '[':
        return read_array(d, depth);
    case '"':
        return read_string(d);
    case 't':
        lua_pushboolean(d->L, true);
        return read_word(d, "true");
    case 'f':
        lua_pushboolean(d->L, false);
        return read_word(d, "false");
    case 'n':
        lua_pushlightuserdata(d->L, NULL);
        return read_word(d, "null");
    default:
        if (peek(d) == '-' || (peek(d) >= '0' && peek(d) <= '9')) {
            return read_number(d);
        }
        return expected(d, "a value");
    }
}

bool fr_json_decode(lua_State *L, const char *text, size_t size, fr_buf *scratch,
                    fr_err *err)
{
    decoder d = {.L = L,
                 .start = text,
                 .at = text,
                 .end = text + size,
                 .scratch = scratch,
                 .err = err};
    int top = lua_gettop(L);
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        d.at += 3; // a byte order mark, as Windows programs write it
    }
    bool ok = read_value(&d, 0);
    skip_space(&d);
    if (ok && d.at < d.end) {
        ok = expected(&d, "the end of the text");
    }
    if (!ok) {
        lua_settop(L, top);
    }
    return ok;
}
