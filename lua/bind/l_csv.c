// flowrun.core.csv -- delimited text to frames and back. Options come as one table, whose
// strings the table itself keeps alive; vectors of them live in userdata on the stack.

#include "core/data/csv.h"
#include "core/data/csv_stream.h"
#include "core/data/type.h"
#include "lua/bind/frame_box.h"

#include <glob.h>
#include <string.h>

enum { NOTES_MAX = 64 * 1024 };

// A userdata of n + 1 slots, so that errors raised later leak nothing.
static void *vector(lua_State *L, size_t n, size_t each)
{
    void *p = lua_newuserdatauv(L, (n + 1) * each, 0);
    memset(p, 0, (n + 1) * each);
    return p;
}

static bool field(lua_State *L, int arg, const char *name)
{
    if (lua_getfield(L, arg, name) == LUA_TNIL) {
        lua_pop(L, 1);
        return false;
    }
    return true;
}

// Leaves the list and its vector on the stack.
static const char *const *names_field(lua_State *L, int arg, const char *name, size_t *n)
{
    *n = 0;
    if (!field(L, arg, name)) {
        return NULL;
    }
    return bind_names(L, lua_gettop(L), n, name);
}

static const char *const *nulls_field(lua_State *L, int arg, size_t *n)
{
    int type = lua_getfield(L, arg, "null");
    lua_pop(L, 1);
    if (type != LUA_TNIL && type != LUA_TTABLE) {
        (void)bind_fail(L, FR_ETYPE, "null: expected a list of texts such as {\"NA\", \"-\"}, "
                                     "got a %s", lua_typename(L, type));
    }
    return names_field(L, arg, "null", n);
}

static char char_field(lua_State *L, int arg, const char *name, char standard, bool may_lack)
{
    if (!field(L, arg, name)) {
        return standard;
    }
    size_t n = 0;
    const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
    if (s == NULL || n > 1 || (n == 0 && !may_lack)) {
        bind_fail(L, FR_EINVAL, "%s: expected one character, got %s%s%s", name,
                  s != NULL ? "\"" : "a ", s != NULL ? s : luaL_typename(L, -1),
                  s != NULL ? "\"" : "");
    }
    char c = n == 0 ? '\0' : s[0];
    lua_pop(L, 1);
    return c;
}

static bool bool_field(lua_State *L, int arg, const char *name, bool standard)
{
    if (!field(L, arg, name)) {
        return standard;
    }
    if (!lua_isboolean(L, -1)) {
        bind_fail(L, FR_EINVAL, "%s: expected true or false, got a %s", name,
                  luaL_typename(L, -1));
    }
    bool v = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

static const char *text_field(lua_State *L, int arg, const char *name, const char *standard)
{
    if (!field(L, arg, name)) {
        return standard;
    }
    if (lua_type(L, -1) != LUA_TSTRING) {
        bind_fail(L, FR_EINVAL, "%s: expected a string, got a %s", name, luaL_typename(L, -1));
    }
    const char *s = lua_tostring(L, -1); // the options table keeps it
    lua_pop(L, 1);
    return s;
}

// {column = text}: calls `put` with the i-th pair. Leaves the table on the stack.
static size_t each_pair(lua_State *L, int table, const char *what, void *to,
                        void (*put)(lua_State *L, void *to, size_t i, const char *column,
                                    const char *text))
{
    size_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, table) != 0) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) {
            bind_fail(L, FR_EINVAL, "%s: expected {column = \"text\"}, found a %s for a %s key",
                      what, luaL_typename(L, -1), luaL_typename(L, -2));
        }
        if (put != NULL) {
            put(L, to, n, lua_tostring(L, -2), lua_tostring(L, -1));
        }
        n++;
        lua_pop(L, 1);
    }
    return n;
}

static void put_type(lua_State *L, void *to, size_t i, const char *column, const char *text)
{
    fr_csv_type *t = (fr_csv_type *)to + i;
    fr_err err = FR_ERR_INIT;
    t->column = column;
    int rc = fr_type_parse(text, &t->type, &err);
    if (rc != FR_OK) {
        (void)fr_wrap(&err, rc, "types: column \"%s\"", column);
        bind_raise_error(L, &err);
    }
}

static void put_format(lua_State *L, void *to, size_t i, const char *column, const char *text)
{
    (void)L;
    ((fr_csv_format *)to)[i] = (fr_csv_format){column, text};
}

static void *pairs_field(lua_State *L, int arg, const char *name, size_t each, size_t *n,
                         void (*put)(lua_State *, void *, size_t, const char *, const char *))
{
    *n = 0;
    if (!field(L, arg, name)) {
        return NULL;
    }
    if (!lua_istable(L, -1)) {
        bind_fail(L, FR_EINVAL, "%s: expected {column = \"text\"}, got a %s", name,
                  luaL_typename(L, -1));
    }
    int table = lua_gettop(L);
    *n = each_pair(L, table, name, NULL, NULL);
    void *to = vector(L, *n, each);
    (void)each_pair(L, table, name, to, put);
    return to;
}

static const int64_t *widths_field(lua_State *L, int arg, size_t *n)
{
    *n = 0;
    if (!field(L, arg, "widths")) {
        return NULL;
    }
    int list = lua_gettop(L);
    if (!lua_istable(L, list) || lua_rawlen(L, list) == 0) {
        bind_fail(L, FR_EINVAL, "widths: expected a list of widths in characters");
    }
    *n = lua_rawlen(L, list);
    int64_t *widths = vector(L, *n, sizeof *widths);
    for (size_t i = 0; i < *n; i++) {
        int whole;
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        widths[i] = lua_tointegerx(L, -1, &whole);
        if (!whole) {
            bind_fail(L, FR_EINVAL, "widths: item %zu is a %s, expected a number of characters",
                      i + 1, luaL_typename(L, -1));
        }
        lua_pop(L, 1);
    }
    return widths;
}

static void read_options(lua_State *L, int arg, const char *what, fr_csv_options *o)
{
    static const char *const known[] = {"sep",   "quote",   "header", "names",   "skip", "encoding",
                                        "null",  "types",   "formats", "columns", "escape",
                                        "comment", "widths", "quarantine", NULL};
    fr_csv_defaults(o);
    if (lua_isnoneornil(L, arg)) {
        return;
    }
    luaL_checktype(L, arg, LUA_TTABLE);
    luaL_checkstack(L, 20, NULL);
    bind_options(L, arg, what, known);
    o->sep = char_field(L, arg, "sep", o->sep, false);
    o->quote = char_field(L, arg, "quote", o->quote, true);
    o->header = bool_field(L, arg, "header", o->header);
    o->encoding = text_field(L, arg, "encoding", o->encoding);
    o->names = names_field(L, arg, "names", &o->n_names);
    o->nulls = nulls_field(L, arg, &o->n_nulls);
    o->columns = names_field(L, arg, "columns", &o->n_columns);
    o->types = pairs_field(L, arg, "types", sizeof *o->types, &o->n_types, put_type);
    o->formats = pairs_field(L, arg, "formats", sizeof *o->formats, &o->n_formats, put_format);
    o->escape = char_field(L, arg, "escape", '\0', true);
    o->comment = char_field(L, arg, "comment", '\0', true);
    o->widths = widths_field(L, arg, &o->n_widths);
    if (field(L, arg, "skip")) {
        int whole;
        o->skip = lua_tointegerx(L, -1, &whole);
        if (!whole) {
            bind_fail(L, FR_EINVAL, "skip: expected a number of lines, got %s",
                      luaL_tolstring(L, -1, NULL));
        }
        lua_pop(L, 1);
    }
}

// A box for the bad records when they are wanted, on the stack; else nil.
static fr_frame **bad_box(lua_State *L, int arg)
{
    if (!lua_isnoneornil(L, arg) && bool_field(L, arg, "quarantine", false)) {
        return bind_frame_box(L);
    }
    lua_pushnil(L);
    return NULL;
}

// The stack ends with bad's box (or nil) and the frame's.
static int finish_read(lua_State *L, int rc, fr_frame *const *slot, const fr_csv_options *o,
                       fr_buf *notes, const fr_err *err)
{
    int box = lua_gettop(L);
    if (rc != FR_OK) {
        return bind_raise(L, rc, err);
    }
    bind_frame_sealed(L, *slot);
    if (o->bad != NULL) {
        bind_frame_sealed(L, *o->bad);
    }
    lua_pushvalue(L, box);
    lua_pushvalue(L, box - 1);
    if (notes->size == 0) {
        lua_pushnil(L);
    } else {
        bind_push_buffer(L, notes);
    }
    return 3;
}

// read(paths, options, what) -> frame, bad, notes
static int csv_read(lua_State *L)
{
    size_t n;
    lua_settop(L, 3);
    const char *what = luaL_checkstring(L, 3);
    const char *const *paths = bind_names(L, 1, &n, "files");
    fr_csv_options o;
    read_options(L, 2, what, &o);
    fr_buf *notes = bind_buffer(L, NOTES_MAX);
    o.bad = bad_box(L, 2);
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_csv_read(paths, n, &o, slot, notes, &err);
    return finish_read(L, rc, slot, &o, notes, &err);
}

// parse(text, options, what) -> frame, bad, notes
static int csv_parse(lua_State *L)
{
    size_t n;
    lua_settop(L, 3);
    const char *text = luaL_checklstring(L, 1, &n);
    fr_csv_options o;
    read_options(L, 2, luaL_checkstring(L, 3), &o);
    fr_buf *notes = bind_buffer(L, NOTES_MAX);
    o.bad = bad_box(L, 2);
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    int rc = fr_csv_read_bytes("text", text, n, &o, slot, notes, &err);
    return finish_read(L, rc, slot, &o, notes, &err);
}

static void write_options(lua_State *L, int arg, const char *what, fr_csv_write_options *o)
{
    static const char *const known[] = {"sep", "header", "crlf", "bom", "null", NULL};
    fr_csv_write_defaults(o);
    if (lua_isnoneornil(L, arg)) {
        return;
    }
    luaL_checktype(L, arg, LUA_TTABLE);
    bind_options(L, arg, what, known);
    o->sep = char_field(L, arg, "sep", o->sep, false);
    o->header = bool_field(L, arg, "header", o->header);
    o->crlf = bool_field(L, arg, "crlf", o->crlf);
    o->bom = bool_field(L, arg, "bom", o->bom);
    o->null = text_field(L, arg, "null", o->null);
}

// write(frame, path, options)
static int csv_write(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    const char *path = luaL_checkstring(L, 2);
    fr_csv_write_options o;
    write_options(L, 3, "write_csv", &o);
    fr_err err = FR_ERR_INIT;
    int rc = fr_csv_write(f, path, &o, &err);
    return rc == FR_OK ? 0 : bind_raise(L, rc, &err);
}

// format(frame, options) -> string
static int csv_format(lua_State *L)
{
    const fr_frame *f = bind_frame_check(L, 1);
    fr_csv_write_options o;
    write_options(L, 2, "to_csv", &o);
    fr_buf *b = bind_buffer(L, (size_t)1 << 31);
    fr_err err = FR_ERR_INIT;
    int rc = fr_csv_write_buf(f, &o, b, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    bind_push_buffer(L, b);
    return 1;
}

// --- pieces ---

#define STREAM "flowrun.CsvStream"
#define OUT    "flowrun.CsvOut"

// All that is on the stack below the box at `box` lives as long as it.
static void keep_below(lua_State *L, int box)
{
    lua_createtable(L, box, 0);
    for (int i = 1; i < box; i++) {
        lua_pushvalue(L, i);
        lua_rawseti(L, -2, i);
    }
    lua_setiuservalue(L, box, 1);
}

static int stream_gc(lua_State *L)
{
    fr_csv_stream **slot = luaL_checkudata(L, 1, STREAM);
    fr_csv_stream_free(*slot);
    *slot = NULL;
    return 0;
}

// stream(paths, options, what, bytes of a piece or 0)
static int csv_stream(lua_State *L)
{
    size_t n;
    lua_settop(L, 4);
    const char *what = luaL_checkstring(L, 3);
    lua_Integer piece = luaL_checkinteger(L, 4);
    const char *const *paths = bind_names(L, 1, &n, "files");
    fr_csv_options *o = lua_newuserdatauv(L, sizeof *o, 0);
    read_options(L, 2, what, o);
    if (!lua_isnoneornil(L, 2) && bool_field(L, 2, "quarantine", false)) {
        return bind_fail(L, FR_EUNSUPPORTED,
                         "quarantine is not for reading in pieces: use read_csv");
    }
    fr_csv_stream **slot = (fr_csv_stream **)bind_box(L, STREAM);
    keep_below(L, lua_gettop(L));
    fr_err err = FR_ERR_INIT;
    int rc = fr_csv_stream_open(paths, n, o, (size_t)piece, slot, &err);
    return rc == FR_OK ? 1 : bind_raise(L, rc, &err);
}

// stream:next() -> frame; nil at the end; nil, true to start again
static int stream_next(lua_State *L)
{
    fr_csv_stream *s = bind_check(L, 1, STREAM);
    fr_frame **slot = bind_frame_box(L);
    fr_err err = FR_ERR_INIT;
    bool again;
    int rc = fr_csv_stream_next(s, slot, &again, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    if (*slot != NULL) {
        bind_frame_sealed(L, *slot);
        return 1;
    }
    lua_pushnil(L);
    lua_pushboolean(L, again);
    return 2;
}

static int out_gc(lua_State *L)
{
    fr_csv_out **slot = luaL_checkudata(L, 1, OUT);
    if (*slot != NULL) {
        int rc = fr_csv_out_close(*slot, FR_ECANCELLED, NULL); // nothing to tell it to
        (void)rc;
    }
    *slot = NULL;
    return 0;
}

// out(path, options)
static int csv_out(lua_State *L)
{
    lua_settop(L, 2);
    const char *path = luaL_checkstring(L, 1);
    fr_csv_write_options *o = lua_newuserdatauv(L, sizeof *o, 0);
    write_options(L, 2, "write_csv", o);
    fr_csv_out **slot = (fr_csv_out **)bind_box(L, OUT);
    keep_below(L, lua_gettop(L));
    fr_err err = FR_ERR_INIT;
    int rc = fr_csv_out_open(path, o, slot, &err);
    return rc == FR_OK ? 1 : bind_raise(L, rc, &err);
}

// out:put(frame)
static int out_put(lua_State *L)
{
    fr_csv_out *o = bind_check(L, 1, OUT);
    fr_err err = FR_ERR_INIT;
    int rc = fr_csv_out_put(o, bind_frame_check(L, 2), &err);
    return rc == FR_OK ? 0 : bind_raise(L, rc, &err);
}

// out:close(done): with done the file gets its name
static int out_close(lua_State *L)
{
    (void)bind_check(L, 1, OUT);
    fr_csv_out **slot = luaL_checkudata(L, 1, OUT), *o = *slot;
    *slot = NULL;
    fr_err err = FR_ERR_INIT;
    bool done = lua_toboolean(L, 2);
    int rc = fr_csv_out_close(o, done ? FR_OK : FR_ECANCELLED, &err);
    return rc == FR_OK || !done ? 0 : bind_raise(L, rc, &err);
}

static int glob_gc(lua_State *L)
{
    globfree(lua_touserdata(L, 1));
    return 0;
}

// glob(pattern) -> sorted list of the files that match; the pattern itself when it has no
// wildcard or a file of just that name is there
static int csv_glob(lua_State *L)
{
    const char *pattern = luaL_checkstring(L, 1);
    lua_newtable(L);
    glob_t *g = lua_newuserdatauv(L, sizeof *g, 0);
    memset(g, 0, sizeof *g);
    if (luaL_newmetatable(L, "flowrun.csv.glob")) {
        lua_pushcfunction(L, glob_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    int rc = glob(pattern, GLOB_BRACE | GLOB_TILDE, NULL, g);
    if (rc == GLOB_NOSPACE) {
        return bind_fail(L, FR_ENOMEM, "no memory for the files of %s", pattern);
    }
    for (size_t i = 0; i < g->gl_pathc; i++) {
        lua_pushstring(L, g->gl_pathv[i]);
        lua_rawseti(L, 2, (lua_Integer)i + 1);
    }
    lua_settop(L, 2);
    return 1;
}

int luaopen_flowrun_core_csv(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"read", csv_read},     {"parse", csv_parse}, {"write", csv_write},
        {"format", csv_format}, {"glob", csv_glob},   {"stream", csv_stream},
        {"out", csv_out},       {NULL, NULL},
    };
    static const luaL_Reg streams[] = {{"next", stream_next}, {NULL, NULL}};
    static const luaL_Reg outs[] = {{"put", out_put}, {"close", out_close}, {NULL, NULL}};
    static const luaL_Reg none[] = {{NULL, NULL}};
    bind_class(L, STREAM, streams, none, stream_gc);
    bind_class(L, OUT, outs, none, out_gc);
    luaL_newlib(L, functions);
    return 1;
}
