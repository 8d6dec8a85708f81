#include "core/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

FR_PRINTF(3, 0)
static void vset(fr_err *err, int code, const char *format, va_list args)
{
    err->code = code;
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    if (n < 0) {
        err->text[0] = '\0';
    } else if ((size_t)n >= sizeof err->text) {
        memcpy(err->text + sizeof err->text - 4, "...", 4);
    }
}

static void append(fr_err *err, const char *tail)
{
    size_t n = strlen(err->text), room = sizeof err->text - n;
    int more = snprintf(err->text + n, room, ": %s", tail);
    if (more < 0 || (size_t)more >= room) {
        memcpy(err->text + sizeof err->text - 4, "...", 4);
    }
}

void fr_panic(const char *file, int line, const char *what)
{
    // The one place where base writes to a stream: nothing can be trusted any more.
    (void)fprintf(stderr, "flowrun: internal error at %s:%d: %s\n", file, line, what);
    abort();
}

int fr_fail(fr_err *err, int code, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        vset(err, code, format, args);
        va_end(args);
    }
    return code;
}

int fr_fail_errno(fr_err *err, int code, const char *format, ...)
{
    int e = errno;
    if (e == ENOSPC || e == EDQUOT) {
        code = FR_EFULL;
    }
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        vset(err, code, format, args);
        va_end(args);
        append(err, strerror(e));
    }
    return code;
}

int fr_wrap(fr_err *err, int code, const char *format, ...)
{
    if (err != NULL) {
        char inner[FR_ERR_MAX];
        memcpy(inner, err->text, sizeof inner);
        va_list args;
        va_start(args, format);
        vset(err, code, format, args);
        va_end(args);
        append(err, inner);
    }
    return code;
}

const char *fr_err_name(int code)
{
    switch (code) {
#define X(name, number, lua, text)                                                       \
    case number:                                                                         \
        return lua;
        FR_ERR_LIST(X)
#undef X
    default:
        return "unknown";
    }
}

const char *fr_err_text(int code)
{
    switch (code) {
#define X(name, number, lua, text)                                                       \
    case number:                                                                         \
        return text;
        FR_ERR_LIST(X)
#undef X
    default:
        return "unknown error";
    }
}

int fr_err_from_name(const char *name)
{
#define X(id, number, lua, text)                                                         \
    if (strcmp(name, lua) == 0) {                                                        \
        return number;                                                                   \
    }
    FR_ERR_LIST(X)
#undef X
    return -1;
}
