#pragma once
// line -- the REPL's line editor: libedit reading from a prompt under which a uv loop lives.
//
// One per process, on the thread of the loop. While fr_line_read waits for keys the loop
// turns, so that runs go on; fr_line_above prints a line above the prompt. Behind this
// interface another editor can take libedit's place.

#include <stdbool.h>
#include <stddef.h>

struct uv_loop_s;
typedef struct fr_line fr_line;

// Completion: writes the candidates for the word that ends at `cursor` of `line` by calling
// add(ctx, candidate) and returns the length of the word they replace.
typedef size_t (*fr_line_complete_fn)(void *user, const char *line, size_t cursor,
                                      void (*add)(void *ctx, const char *candidate), void *ctx);

fr_line *fr_line_open(struct uv_loop_s *loop, const char *history_file,
                      fr_line_complete_fn complete, void *user);
void fr_line_close(fr_line *l);                       // saves the history
// A line without its newline, owned by l until the next call; NULL at the end of input.
// *interrupted: Ctrl-C was pressed and the line dropped (the result is then "").
const char *fr_line_read(fr_line *l, const char *prompt, bool *interrupted);
void fr_line_remember(fr_line *l, const char *entry); // into the history
void fr_line_above(fr_line *l, const char *text);     // prints above a waiting prompt
