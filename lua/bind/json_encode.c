#include "core/data/utf8.h"
#include "lua/bind/bind.h"
#include "lua/bind/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A table on the way down, for the path in messages.
typedef struct level {
    const struct level *up;
    const char *name; // or NULL: item `index` of a list
    size_t n;
    lua_Integer index;
} level;

typedef struct encoder {
    lua_State *L;
    fr_json_style style;
    fr_buf *out;
    fr_err *err;
} encoder;

static void put_path(fr_buf *b, const level *l)
{
    if (l == NULL) {
        return;
    }
    put_path(b, l->up);
    if (l->name != NULL) {
        fr_buf_printf(b, ".%.*s", (int)FR_MIN(l->n, (size_t)40), l->name);
    } else {
        fr_buf_printf(b, "[%lld]", (long long)l->index);
    }
}

static int refuse(const encoder *e, const level *l, const char *what)
{
    enum { LONGEST = 110 };
    fr_buf b;
    fr_buf_init(&b, 1 << 16);
    put_path(&b, l);
    const char *path = fr_buf_text(&b);
    const char *tail = b.size > LONGEST ? path + b.size - LONGEST : path;
    int rc = fr_fail(e->err, FR_ETYPE, "JSON: value%s%s %s",
                     b.size > LONGEST ? "..." : "", tail, what);
    fr_buf_fini(&b);
    return rc;
}

static int put_string(encoder *e, const level *l, const char *s, size_t n)
{
    static const char digits[] = "0123456789abcdef", names[] = "btn?fr";
    size_t bad, from = 0;
    if (!fr_utf8_valid(s, n, &bad)) {
        char says[80];
        (void)snprintf(says, sizeof says, "is text that is not UTF-8 (byte %zu)",
                       bad + 1);
        return refuse(e, l, says);
    }
    fr_buf_put_u8(e->out, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
            continue;
        }
        fr_buf_put(e->out, s + from, i - from);
        from = i + 1;
        fr_buf_put_u8(e->out, '\\');
        if (c >= 8 && c <= 13 && c != 11) {
            fr_buf_put_u8(e->out, (uint8_t)names[c - 8]);
        } else if (c == '"' || c == '\\') {
            fr_buf_put_u8(e->out, c);
        } else {
            const char hex[] = {'u', '0', '0', digits[c >> 4], digits[c & 15]};
            fr_buf_put(e->out, hex, sizeof hex);
        }
    }
    fr_buf_put(e->out, s + from, n - from);
    fr_buf_put_u8(e->out, '"');
    return FR_OK;
}

// The shortest digits that read back as the same double; a whole one ends in ".0" or has
// an exponent, so that it comes back as a double.
static int put_double(encoder *e, const level *l, double x)
{
    char text[40];
    if (!isfinite(x)) {
        if (!e->style.nan_null) {
            return refuse(e, l,
                          isnan(x) ? "is NaN, which JSON cannot say; use json.null"
                                   : "is infinite, which JSON cannot say; use json.null");
        }
        fr_buf_put_str(e->out, "null");
        return FR_OK;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) {
            break;
        }
    }
    fr_buf_put_str(e->out, text);
    if (strpbrk(text, ".e") == NULL) {
        fr_buf_put_str(e->out, ".0");
    }
    return FR_OK;
}

static void new_line(encoder *e, int depth)
{
    if (e->style.indent > 0) {
        fr_buf_put_u8(e->out, '\n');
        for (int i = 0; i < depth * e->style.indent; i++) {
            fr_buf_put_u8(e->out, ' ');
        }
    }
}

static int put_value(encoder *e, int idx, const level *up, int depth);

static int put_array(encoder *e, int idx, const level *up, lua_Integer n, int depth)
{
    level here = {.up = up};
    fr_buf_put_u8(e->out, '[');
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1) {
            fr_buf_put_u8(e->out, ',');
        }
        new_line(e, depth + 1);
        here.index = i;
        lua_rawgeti(e->L, idx, i);
        int rc = put_value(e, lua_gettop(e->L), &here, depth + 1);
        if (rc != FR_OK) {
            return rc;
        }
        lua_pop(e->L, 1);
    }
    if (n > 0) {
        new_line(e, depth);
    }
    fr_buf_put_u8(e->out, ']');
    return FR_OK;
}

typedef struct name {
    const char *text;
    size_t n;
    lua_Integer at; // place in the list of keys
} name;

static int compare_names(const void *left, const void *right)
{
    const name *a = left, *b = right;
    int c = memcmp(a->text, b->text, FR_MIN(a->n, b->n));
    return c != 0 ? c : (a->n > b->n) - (a->n < b->n);
}

// Pushes a list of the keys of the table at idx, their names as a userdata array on top.
// Integer keys become text.
static name *push_names(encoder *e, int idx, lua_Integer n)
{
    lua_State *L = e->L;
    lua_createtable(L, (int)n, 0);
    lua_createtable(L, (int)n, 0); // the texts of integer keys live here
    name *names = lua_newuserdatauv(L, (size_t)n * sizeof *names + 1, 0);
    int keys = lua_gettop(L) - 2;
    lua_Integer i = 0;
    for (lua_pushnil(L); lua_next(L, idx) != 0 && i < n; lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_rawseti(L, keys, ++i);
        lua_pushvalue(L, -2);
        names[i - 1].text = lua_tolstring(L, -1, &names[i - 1].n);
        names[i - 1].at = i;
        lua_rawseti(L, keys + 1, i);
    }
    lua_settop(L, keys + 2);
    qsort(names, (size_t)n, sizeof *names, compare_names);
    return names;
}

static int put_object(encoder *e, int idx, const level *up, lua_Integer n, int depth)
{
    level here = {.up = up};
    lua_State *L = e->L;
    int keys = lua_gettop(L) + 1;
    const name *names = push_names(e, idx, n);
    fr_buf_put_u8(e->out, '{');
    for (lua_Integer i = 0; i < n; i++) {
        if (i > 0) {
            fr_buf_put_u8(e->out, ',');
        }
        new_line(e, depth + 1);
        here.name = names[i].text;
        here.n = names[i].n;
        int rc = put_string(e, &here, names[i].text, names[i].n);
        if (rc != FR_OK) {
            return rc;
        }
        fr_buf_put_str(e->out, e->style.indent > 0 ? ": " : ":");
        lua_rawgeti(L, keys, names[i].at);
        (void)lua_rawget(L, idx);
        rc = put_value(e, lua_gettop(L), &here, depth + 1);
        if (rc != FR_OK) {
            return rc;
        }
        lua_pop(L, 1);
    }
    lua_settop(L, keys - 1);
    if (n > 0) {
        new_line(e, depth);
    }
    fr_buf_put_u8(e->out, '}');
    return FR_OK;
}

static int put_table(encoder *e, int idx, const level *up, int depth)
{
    lua_State *L = e->L;
    lua_Integer n = 0, texts = 0, length = (lua_Integer)lua_rawlen(L, idx);
    bool inside = true; // all integer keys lie in 1 .. length
    for (lua_pushnil(L); lua_next(L, idx) != 0; lua_pop(L, 1)) {
        n++;
        if (lua_type(L, -2) == LUA_TSTRING) {
            texts++;
        } else if (lua_isinteger(L, -2)) {
            lua_Integer k = lua_tointeger(L, -2);
            inside = inside && k >= 1 && k <= length;
        } else {
            int rc = refuse(e, up, "has a key that is neither text nor a whole number");
            lua_pop(L, 2);
            return rc;
        }
    }
    if (texts == 0 && inside && n == length) {
        return put_array(e, idx, up, n, depth);
    }
    if (texts > 0 && texts < n) {
        return refuse(e, up,
                      "has both numbered and named fields; JSON has lists and objects");
    }
    return put_object(e, idx, up, n, depth);
}

// Classes may say what they are in JSON: __json(value) returns plain data.
static int put_classed(encoder *e, int idx, const level *up, int depth)
{
    if (luaL_getmetafield(e->L, idx, "__json") == LUA_TNIL) {
        if (lua_istable(e->L, idx)) {
            return put_table(e, idx, up, depth);
        }
        return refuse(e, up, "is a userdata, which JSON cannot say");
    }
    lua_pushvalue(e->L, idx);
    lua_call(e->L, 1, 1);
    int rc = put_value(e, lua_gettop(e->L), up, depth + 1);
    lua_pop(e->L, 1);
    return rc;
}

static int put_value(encoder *e, int idx, const level *up, int depth)
{
    lua_State *L = e->L;
    size_t n;
    const char *s;
    char says[80];
    luaL_checkstack(L, 12, "JSON");
    if (depth > JSON_DEPTH) {
        return refuse(e, up,
                      "is nested deeper than 1000 tables: does one contain itself?");
    }
    switch (lua_type(L, idx)) {
    case LUA_TNIL:
        fr_buf_put_str(e->out, "null");
        return FR_OK;
    case LUA_TBOOLEAN:
        fr_buf_put_str(e->out, lua_toboolean(L, idx) ? "true" : "false");
        return FR_OK;
    case LUA_TNUMBER:
        if (lua_isinteger(L, idx)) {
            fr_buf_printf(e->out, "%lld", (long long)lua_tointeger(L, idx));
            return FR_OK;
        }
        return put_double(e, up, lua_tonumber(L, idx));
    case LUA_TSTRING:
        s = lua_tolstring(L, idx, &n);
        return put_string(e, up, s, n);
    case LUA_TTABLE:
    case LUA_TUSERDATA:
        return put_classed(e, idx, up, depth);
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, idx) == NULL) {
            fr_buf_put_str(e->out, "null");
            return FR_OK;
        }
        break;
    default:
        break;
    }
    (void)snprintf(says, sizeof says, "is a %s, which JSON cannot say",
                   luaL_typename(L, idx));
    return refuse(e, up, says);
}

int fr_json_encode(lua_State *L, int idx, fr_json_style style, fr_buf *out, fr_err *err)
{
    encoder e = {.L = L, .style = style, .out = out, .err = err};
    int top = lua_gettop(L);
    int rc = put_value(&e, lua_absindex(L, idx), NULL, 0);
    lua_settop(L, top);
    if (rc == FR_OK && out->failed) {
        rc = fr_fail(err, FR_ELIMIT, "JSON: the text is longer than %zu bytes", out->max);
    }
    return rc;
}
