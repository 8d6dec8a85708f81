// flowrun.core.script -- what loading a script needs from C: tokens, bytecode, files.

#include "core/base/buf.h"
#include "core/base/hash.h"
#include "lua/bind/bind.h"
#include "lua/bind/dump.h"
#include "lua/bind/lex.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX = 64 << 20 }; // bytes of one source or configuration file

// The span of a `function … end` that debug.getinfo describes by its first and last line.
typedef struct span {
    const char *from, *to;
    int line;
} span;

typedef struct open_block {
    const char *from; // of the keyword `function`, else NULL
    int line, body;   // of the keyword and of its "("
} open_block;

enum { BLOCKS = 200, SPANS = 32 };

// Finds the functions that begin at line `first` and end at line `last`; several when
// they share both lines. Returns how many (at most SPANS).
static size_t find_spans(const char *text, size_t size, int first, int last, span *out)
{
    fr_lex x;
    fr_lex_token t;
    open_block stack[BLOCKS];
    size_t depth = 0, n = 0;
    bool waits = false; // for the "(" of the function just opened
    fr_lex_init(&x, text, size);
    while (fr_lex_next(&x, &t) != FR_LEX_END) {
        bool function = fr_lex_is(&t, "function");
        if (waits && fr_lex_is(&t, "(")) {
            stack[depth - 1].body = t.line;
            waits = false;
        }
        if (function || fr_lex_is(&t, "do") || fr_lex_is(&t, "if") ||
            fr_lex_is(&t, "repeat")) {
            if (depth == BLOCKS) {
                return n;
            }
            stack[depth++] = (open_block){function ? t.text : NULL, t.line, t.line};
            waits = function;
        } else if ((fr_lex_is(&t, "end") || fr_lex_is(&t, "until")) && depth > 0) {
            const open_block *b = &stack[--depth];
            if (b->from != NULL && (b->line == first || b->body == first) &&
                t.line == last && n < SPANS) {
                out[n++] = (span){b->from, t.text + t.size, b->line};
            }
        }
    }
    return n;
}

static void push_tokens(lua_State *L, const char *text, size_t size, int line)
{
    fr_lex x;
    fr_lex_token t;
    lua_newtable(L);
    lua_newtable(L);
    fr_lex_init(&x, text, size);
    for (lua_Integer n = 1; fr_lex_next(&x, &t) != FR_LEX_END; n++) {
        lua_pushlstring(L, t.text, t.size);
        lua_rawseti(L, -3, n);
        lua_pushinteger(L, t.line + line - 1);
        lua_rawseti(L, -2, n);
    }
}

// tokens(text) -> texts, lines; tokens(text, first, last) -> those of the function there.
static int script_tokens(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    if (lua_isnoneornil(L, 2)) {
        push_tokens(L, text, size, 1);
        return 2;
    }
    span spans[SPANS];
    int first = (int)luaL_checkinteger(L, 2), last = (int)luaL_checkinteger(L, 3);
    size_t n = find_spans(text, size, first, last, spans);
    if (n == 0) {
        return 0;
    }
    push_tokens(L, spans[0].from, (size_t)(spans[0].to - spans[0].from), spans[0].line);
    return 2;
}

static void add_spaced_tokens(luaL_Buffer *b, const span *s)
{
    fr_lex x;
    fr_lex_token t;
    fr_lex_init(&x, s->from, (size_t)(s->to - s->from));
    while (fr_lex_next(&x, &t) != FR_LEX_END) {
        luaL_addlstring(b, t.text, t.size);
        luaL_addchar(b, ' ');
    }
}

// code(text, first, last) -> the tokens of the functions there, joined; nil when none.
static int script_code(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    span spans[SPANS];
    int first = (int)luaL_checkinteger(L, 2), last = (int)luaL_checkinteger(L, 3);
    size_t n = find_spans(text, size, first, last, spans);
    if (n == 0) {
        return 0;
    }
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (size_t i = 0; i < n; i++) {
        add_spaced_tokens(&b, &spans[i]);
        luaL_addchar(&b, '\n');
    }
    luaL_pushresult(&b);
    return 1;
}

static int script_inspect(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    fr_dump_inspect(L);
    return 1;
}

static int script_hash(lua_State *L)
{
    size_t size;
    char text[FR_HASH_TEXT];
    const char *bytes = luaL_checklstring(L, 1, &size);
    fr_hash_text(fr_hash_bytes(bytes, size), text);
    lua_pushstring(L, text);
    return 1;
}

// --- files ---

static int fail_io(lua_State *L, const char *path)
{
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", path, strerror(errno));
    lua_pushinteger(L, errno);
    return 3;
}

static int read_all(lua_State *L, FILE *f, const char *path)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    size_t total = 0, n;
    do {
        char *room = luaL_prepbuffer(&b);
        n = fread(room, 1, LUAL_BUFFERSIZE, f);
        luaL_addsize(&b, n);
        total += n;
    } while (n > 0 && total <= FILE_MAX);
    luaL_pushresult(&b);
    if (ferror(f)) {
        return fail_io(L, path);
    }
    if (total > FILE_MAX) {
        lua_pushnil(L);
        lua_pushfstring(L, "%s: larger than %d MiB", path, FILE_MAX >> 20);
        return 2;
    }
    return 1;
}

static int close_file(lua_State *L)
{
    luaL_Stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    FILE *f = s->f;
    s->closef = NULL;
    return luaL_fileresult(L, fclose(f) == 0, NULL);
}

// read_file(path) -> text, or nil, message, errno. A folder is refused.
static int script_read_file(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct stat st;
    luaL_Stream *s = lua_newuserdatauv(L, sizeof *s, 0); // closes the file if we raise
    s->closef = NULL;
    luaL_setmetatable(L, LUA_FILEHANDLE);
    s->f = fopen(path, "rbe");
    if (s->f == NULL) {
        return fail_io(L, path);
    }
    s->closef = close_file;
    if (fstat(fileno(s->f), &st) == 0 && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return fail_io(L, path);
    }
    return read_all(L, s->f, path);
}

static int close_dir(lua_State *L)
{
    DIR **slot = lua_touserdata(L, 1);
    if (*slot != NULL) {
        (void)closedir(*slot);
        *slot = NULL;
    }
    return 0;
}

// list_dir(path) -> names (unsorted, without . and ..), or nil, message, errno.
static int script_list_dir(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    DIR **slot = (DIR **)bind_box(L, "flowrun.Dir");
    lua_toclose(L, -1);
    *slot = opendir(path);
    if (*slot == NULL) {
        return fail_io(L, path);
    }
    lua_newtable(L);
    lua_Integer n = 0;
    const struct dirent *e;
    while ((e = readdir(*slot)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            lua_pushstring(L, e->d_name);
            lua_rawseti(L, -2, ++n);
        }
    }
    return 1;
}

// real_path(path) -> absolute path without links, or nil, message, errno.
static int script_real_path(lua_State *L)
{
    char out[4097];
    const char *path = luaL_checkstring(L, 1);
    if (strlen(path) >= sizeof out || realpath(path, out) == NULL) {
        return fail_io(L, path);
    }
    lua_pushstring(L, out);
    return 1;
}

int luaopen_flowrun_core_script(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"tokens", script_tokens},       {"code", script_code},
        {"inspect", script_inspect},     {"hash", script_hash},
        {"read_file", script_read_file}, {"list_dir", script_list_dir},
        {"real_path", script_real_path}, {NULL, NULL},
    };
    bind_class(L, "flowrun.Dir", NULL, NULL, close_dir);
    luaL_newlib(L, functions);
    return 1;
}
