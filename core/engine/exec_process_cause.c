// Why a worker process died, in words and as fields of the error that its attempt gets.
//
// A death by the body itself -- a fatal signal, an exit -- is a failure of the attempt
// ("crashed"): it counts against `retries`. A death that came from outside -- SIGKILL, the
// system's killer when memory is short, a reaper that is gone -- is a loss ("lost").
#include "core/base/mem.h"
#include "core/engine/exec_process.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef struct cause {
    int code;
    int exit_code, signal;       // -1, 0: none
    uint64_t peak;               // bytes; 0: not known
    const char *message;
} cause;

static void put_text(fr_buf *b, const char *key, const char *text)
{
    fr_value_put_string(b, key, strlen(key));
    fr_value_put_string(b, text, strlen(text));
}

static void put_int(fr_buf *b, const char *key, int64_t v)
{
    fr_value_put_string(b, key, strlen(key));
    fr_value_put_int(b, v);
}

static fr_value *to_value(const cause *c)
{
    char name[32] = "";
    const char *known = c->signal != 0 ? sigabbrev_np(c->signal) : NULL;
    (void)snprintf(name, sizeof name, "SIG%s", known != NULL ? known : "?");
    fr_buf b;
    fr_buf_init(&b, 4096);
    fr_buf_put_u8(&b, FR_TABLE);
    fr_buf_put_varint(&b, 0);
    fr_buf_put_varint(&b, 2U + (c->exit_code >= 0 ? 1 : 0) + (c->peak > 0 ? 1 : 0) +
                              (c->signal != 0 ? 2 : 0));
    put_text(&b, "code", fr_err_name(c->code)); // keys in the order of their bytes
    if (c->exit_code >= 0) {
        put_int(&b, "exit_code", c->exit_code);
    }
    put_text(&b, "message", c->message);
    if (c->peak > 0) {
        put_int(&b, "peak_memory", (int64_t)c->peak);
    }
    if (c->signal != 0) {
        put_int(&b, "signal", c->signal);
        put_text(&b, "signal_name", name);
    }
    fr_value *v = fr_value_new(b.data, b.size, NULL, 0);
    fr_buf_fini(&b);
    return v;
}

static const char *meaning(int signal)
{
    switch (signal) {
    case SIGSEGV:
        return "a wrong address";
    case SIGBUS:
        return "a wrong address, or a file that shrank";
    case SIGILL:
        return "a wrong instruction";
    case SIGFPE:
        return "an arithmetic trap";
    case SIGABRT:
        return "it gave up";
    case SIGKILL:
        return "by somebody, or by the system because memory was short";
    default:
        return "sent to it";
    }
}

static bool from_outside(int signal)
{
    return signal == SIGKILL || signal == SIGTERM || signal == SIGINT || signal == SIGHUP ||
           signal == SIGQUIT;
}

static void describe(const proc_worker *w, cause *c, fr_buf *text)
{
    const fr_child_end *e = &w->end;
    char memory[64] = "";
    if (c->peak > 0) {
        (void)snprintf(memory, sizeof memory, "; it used %.1f MiB of memory at most",
                       (double)c->peak / (1024.0 * 1024.0));
    }
    const char *name = e->signal != 0 ? sigabbrev_np(e->signal) : NULL;
    if (e->lost) {
        fr_buf_put_str(text, "the process that starts and watches workers was killed, and "
                             "they with it");
    } else if (e->start_errno != 0) {
        fr_buf_printf(text, "its process could not be started: %s", strerror(e->start_errno));
    } else if (e->signal == SIGKILL && w->hung_up && w->tail[0] != '\0' && !w->killed) {
        fr_buf_printf(text, "its process was killed: %s", w->tail);
        return;
    } else if (e->signal != 0) {
        fr_buf_printf(text, "its process was ended by SIG%s (%s)%s", name != NULL ? name : "?",
                      meaning(e->signal), memory);
    } else {
        fr_buf_printf(text, "its process exited with code %d%s", e->code, memory);
        fr_buf_put_str(text, w->started_ns == 0 ? ", before it was ready"
                             : e->code == 0     ? " (os.exit?)"
                                                : " (os.exit, or a library that gave up)");
    }
    if (w->tail[0] != '\0') {
        fr_buf_printf(text, "; its last words: %s", w->tail);
    }
}

static void describe_memory(const proc_worker *w, uint64_t peak, fr_buf *text)
{
    uint64_t most = w->u->a->memory;
    double mib = 1024.0 * 1024.0;
    if (most > 0) {
        fr_buf_printf(text, "it needs more memory than resources.memory = %.0f MiB lets it "
                            "have; its process used %.1f MiB at most",
                      (double)most / mib, (double)peak / mib);
    } else {
        fr_buf_printf(text, "out of memory; its process used %.1f MiB at most",
                      (double)peak / mib);
    }
}

fr_value *proc_cause(const proc_worker *w, int *code)
{
    const fr_child_end *e = &w->end;
    cause c = {.code = FR_ELOST, .exit_code = -1, .signal = e->signal};
    c.peak = (uint64_t)FR_MAX(e->max_rss_kib, 0) * 1024;
    if (!e->lost && e->start_errno == 0 && e->signal == 0) {
        c.exit_code = e->code;
    }
    fr_buf text;
    fr_buf_init(&text, 2048);
    if (w->u->code != 0) {
        c.code = w->u->code;
        fr_buf_printf(&text, "%s", c.code == FR_ETIMEOUT
                                       ? "stopped: it took longer than its timeout"
                                       : "cancelled");
        fr_buf_put_str(&text, w->killed ? "; its process did not stop and was killed" : "");
    } else {
        bool its_own = w->started_ns != 0 && !e->lost && e->start_errno == 0 &&
                       !from_outside(e->signal);
        uint64_t most = w->u->a->memory;
        bool full = its_own && most > 0 && c.peak >= most; // few survive that unharmed
        c.code = full ? FR_ENOMEM : its_own ? FR_ECRASHED : FR_ELOST;
        if (full) {
            describe_memory(w, c.peak, &text);
        } else {
            describe(w, &c, &text);
        }
    }
    c.message = fr_buf_text(&text);
    *code = c.code;
    fr_value *v = to_value(&c);
    fr_buf_fini(&text);
    return v;
}

static void put_message(fr_buf *b, const fr_value *error)
{
    const char key[] = "message";
    fr_reader r = fr_reader_of(error->bytes, error->size);
    fr_item item;
    bool here = false;
    if (!fr_value_next(&r, &item) || item.tag != FR_TABLE || item.n != 0) {
        return;
    }
    uint64_t pairs = fr_read_varint(&r);
    for (uint64_t i = 0; i < pairs && fr_value_next(&r, &item); i++) {
        here = item.tag == FR_STRING && item.n == sizeof key - 1 &&
               memcmp(item.text, key, item.n) == 0;
        if (here && fr_value_next(&r, &item) && item.tag == FR_STRING) {
            fr_buf_printf(b, " (%.*s)", (int)FR_MIN(item.n, 200), item.text);
            return;
        }
        if (here || !fr_value_skip(&r)) {
            return;
        }
    }
}

fr_value *proc_no_memory(const proc_worker *w, uint64_t peak, const fr_value *before)
{
    fr_buf text;
    fr_buf_init(&text, 2048);
    describe_memory(w, peak, &text);
    put_message(&text, before);
    cause c = {.code = FR_ENOMEM, .exit_code = -1, .peak = peak};
    c.message = fr_buf_text(&text);
    fr_value *v = to_value(&c);
    fr_buf_fini(&text);
    return v;
}
