#include "lua/bind/line.h"

#include "core/base/buf.h"
#include "core/base/mem.h"

#include <histedit.h>
#include <uv.h>

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

enum { HISTORY_SIZE = 2000, CANDIDATES = 256 };

struct fr_line {
    uv_loop_t *loop;
    uv_poll_t input;
    EditLine *edit;
    History *history;
    char *history_file, *prompt;
    fr_line_complete_fn complete;
    void *user;
    bool readable, reading, tty, closed;
    bool ahead;                       // bytes typed before the prompt stood may still come
    struct sigaction before;          // what SIGINT did before this line was opened
    fr_buf text;                      // the line handed out
    char *candidates[CANDIDATES];
    size_t n_candidates;
};

// Ctrl-C at the prompt, or between it and what catches the signal while input runs.
static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

static void on_input(uv_poll_t *p, int status, int events)
{
    (void)status;
    (void)events;
    fr_line *l = p->data;
    l->readable = true;
    uv_stop(l->loop);
}

static bool input_waits(void)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

static char *prompt_of(EditLine *edit)
{
    fr_line *l = NULL;
    (void)el_get(edit, EL_CLIENTDATA, &l);
    return l->prompt;
}

// --- completion ---

static void add_candidate(void *ctx, const char *candidate)
{
    fr_line *l = ctx;
    if (l->n_candidates < CANDIDATES) {
        l->candidates[l->n_candidates++] = fr_strdup(candidate);
    }
}

static size_t common_prefix(const fr_line *l)
{
    size_t n = strlen(l->candidates[0]);
    for (size_t i = 1; i < l->n_candidates; i++) {
        size_t k = 0;
        while (k < n && l->candidates[i][k] == l->candidates[0][k]) {
            k++;
        }
        n = k;
    }
    return n;
}

static void show_candidates(fr_line *l)
{
    (void)printf("\n");
    for (size_t i = 0; i < l->n_candidates; i++) {
        (void)printf("%s%s", l->candidates[i], i + 1 < l->n_candidates ? "  " : "\n");
    }
    (void)fflush(stdout);
}

// Tab is handled here and not as a command of libedit, which never frees what such commands
// are called.
static void on_tab(fr_line *l)
{
    const LineInfo *info = el_line(l->edit);
    size_t cursor = (size_t)(info->cursor - info->buffer);
    char *line = fr_strndup(info->buffer, cursor);
    l->n_candidates = 0;
    size_t word = l->complete(l->user, line, cursor, add_candidate, l);
    fr_free(line);
    size_t n = l->n_candidates > 0 ? common_prefix(l) : 0;
    if (n > word) {
        l->candidates[0][n] = '\0';
        (void)el_insertstr(l->edit, l->candidates[0] + word);
    } else if (l->n_candidates > 1) {
        show_candidates(l);
    } else {
        (void)printf("\a");
        (void)fflush(stdout);
    }
    (void)el_set(l->edit, EL_REFRESH);
    for (size_t i = 0; i < l->n_candidates; i++) {
        fr_free(l->candidates[i]);
    }
    l->n_candidates = 0;
}

// --- reading ---

// Ctrl-D typed before the prompt stood was taken by the terminal's own line editing, which leaves
// a NUL in its place; one typed at the prompt (Ctrl-Space) would set a mark that nothing uses.
static char typed_char(const fr_line *l, char c)
{
    return c == '\0' && l->ahead ? '\4' : c;
}

// libedit asks for a character: the loop turns until one is there.
static int get_character(EditLine *edit, wchar_t *out)
{
    fr_line *l = NULL;
    (void)el_get(edit, EL_CLIENTDATA, &l);
    static mbstate_t state;           // of one terminal; bytes of a character come one by one
    for (;;) {
        l->readable = l->readable || (l->ahead && input_waits());
        while (!l->readable && !interrupted) {
            l->ahead = false;
            (void)uv_run(l->loop, UV_RUN_ONCE);
        }
        if (interrupted) {
            return -1;
        }
        char c;
        ssize_t n = read(STDIN_FILENO, &c, 1);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return (int)n;
        }
        l->readable = input_waits();
        c = typed_char(l, c);
        if (c == '\0') {
            continue;
        }
        if (c == '\t' && l->complete != NULL) {
            on_tab(l);
            continue;
        }
        size_t used = mbrtowc(out, &c, 1, &state);
        if (used == (size_t)-1) {
            memset(&state, 0, sizeof state);
        } else if (used != (size_t)-2) {
            return 1;
        }
    }
}

// --- open and close ---

static void open_editor(fr_line *l)
{
    l->edit = el_init("flowrun", stdin, stdout, stderr);
    l->history = history_init();
    HistEvent ev;
    (void)history(l->history, &ev, H_SETSIZE, HISTORY_SIZE);
    (void)history(l->history, &ev, H_SETUNIQUE, 1);
    if (l->history_file != NULL) {
        (void)history(l->history, &ev, H_LOAD, l->history_file);
    }
    (void)el_set(l->edit, EL_CLIENTDATA, l);
    (void)el_set(l->edit, EL_PROMPT, prompt_of);
    (void)el_set(l->edit, EL_EDITOR, "emacs");
    (void)el_set(l->edit, EL_SIGNAL, 0);
    (void)el_set(l->edit, EL_HIST, history, l->history);
    (void)el_wset(l->edit, EL_GETCFN, get_character);
    (void)el_set(l->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
}

fr_line *fr_line_open(uv_loop_t *loop, const char *history_file, fr_line_complete_fn complete,
                      void *user)
{
    fr_line *l = fr_zalloc(sizeof *l);
    l->loop = loop;
    l->complete = complete;
    l->user = user;
    l->prompt = fr_strdup("");
    l->history_file = history_file != NULL ? fr_strdup(history_file) : NULL;
    l->tty = isatty(STDIN_FILENO) != 0;
    interrupted = 0;
    struct sigaction mine = {.sa_handler = on_interrupt};
    (void)sigaction(SIGINT, &mine, &l->before);
    fr_buf_init(&l->text, 1 << 24);
    if (l->tty) {
        (void)setlocale(LC_CTYPE, "C.UTF-8");
        open_editor(l);
    }
    if (uv_poll_init(loop, &l->input, STDIN_FILENO) == 0) {
        l->input.data = l;
    } else {
        l->input.data = NULL;         // a regular file: always readable
    }
    return l;
}

static void on_closed(uv_handle_t *h)
{
    fr_line *l = h->data;
    l->closed = true;
}

void fr_line_close(fr_line *l)
{
    if (l == NULL) {
        return;
    }
    if (l->input.data != NULL) {
        uv_close((uv_handle_t *)&l->input, on_closed);
        while (!l->closed) {
            (void)uv_run(l->loop, UV_RUN_NOWAIT);
        }
    }
    if (l->edit != NULL) {
        HistEvent ev;
        if (l->history_file != NULL) {
            (void)history(l->history, &ev, H_SAVE, l->history_file);
        }
        history_end(l->history);
        el_end(l->edit);
    }
    (void)sigaction(SIGINT, &l->before, NULL);
    fr_buf_fini(&l->text);
    fr_free(l->history_file);
    fr_free(l->prompt);
    fr_free(l);
}

// --- reading ---

// Input that is no terminal: a line of plain text; the loop turns while nothing is there.
static const char *read_plain(fr_line *l)
{
    fr_buf_clear(&l->text);
    for (;;) {
        while (l->input.data != NULL && !l->readable && !interrupted) {
            (void)uv_run(l->loop, UV_RUN_ONCE);
        }
        char c;
        ssize_t n = interrupted ? -1 : read(STDIN_FILENO, &c, 1);
        if (n < 0 && errno == EINTR && !interrupted) {
            continue;
        }
        if (n <= 0) {
            return n == 0 && l->text.size > 0 ? fr_buf_text(&l->text) : NULL;
        }
        l->readable = l->input.data == NULL || input_waits();
        if (c == '\n') {
            return fr_buf_text(&l->text);
        }
        fr_buf_put_u8(&l->text, (uint8_t)c);
    }
}

static const char *read_edited(fr_line *l)
{
    int n = 0;
    const char *s = el_gets(l->edit, &n);
    if (s == NULL || n <= 0) {
        return NULL;
    }
    fr_buf_clear(&l->text);
    fr_buf_put(&l->text, s, (size_t)n);
    while (l->text.size > 0 && l->text.data[l->text.size - 1] == '\n') {
        l->text.size--;
    }
    return fr_buf_text(&l->text);
}

const char *fr_line_read(fr_line *l, const char *prompt, bool *was_interrupted)
{
    fr_free(l->prompt);
    l->prompt = fr_strdup(prompt);
    l->ahead = true;
    if (l->input.data != NULL) {
        (void)uv_poll_start(&l->input, UV_READABLE, on_input);
        l->readable = input_waits();
    }
    l->reading = true;
    const char *s = l->tty ? read_edited(l) : read_plain(l);
    l->reading = false;
    if (l->input.data != NULL) {
        (void)uv_poll_stop(&l->input);
    }
    *was_interrupted = interrupted != 0;
    if (interrupted) {
        interrupted = 0;
        if (l->tty) {
            (void)printf("^C\n");
            el_reset(l->edit);
        }
        return "";
    }
    return s;
}

void fr_line_remember(fr_line *l, const char *entry)
{
    if (l->history != NULL && entry[0] != '\0') {
        HistEvent ev;
        (void)history(l->history, &ev, H_ENTER, entry);
    }
}

void fr_line_above(fr_line *l, const char *text)
{
    if (l->reading && l->tty) {
        (void)printf("\r\033[K%s\n", text);
        (void)fflush(stdout);
        (void)el_set(l->edit, EL_REFRESH);
    } else {
        (void)printf("%s\n", text);
        (void)fflush(stdout);
    }
}
