#pragma once
// lex -- the tokens of a Lua source, for checks and hashes that comments and layout must not
// change. The source has been compiled before, so the lexer need not find errors: it ends at
// the first thing that is no Lua. Points into the text; any thread.

#include <stdbool.h>
#include <stddef.h>

typedef enum fr_lex_kind {
    FR_LEX_END,
    FR_LEX_NAME,                         // keywords too
    FR_LEX_NUMBER,
    FR_LEX_STRING,                       // with its quotes or brackets
    FR_LEX_SYMBOL,
} fr_lex_kind;

typedef struct fr_lex_token {
    fr_lex_kind kind;
    const char *text;
    size_t size;
    int line;                            // where it starts
    int last;                            // where it ends (long strings)
} fr_lex_token;

typedef struct fr_lex {
    const char *at, *end;
    int line;
} fr_lex;

void fr_lex_init(fr_lex *x, const char *text, size_t size);
fr_lex_kind fr_lex_next(fr_lex *x, fr_lex_token *out);
bool fr_lex_is(const fr_lex_token *t, const char *word);   // a name or symbol spelled so
