#pragma once
// err -- codes and messages of failures.
//
// A fallible function returns an int code (FR_OK is 0) and takes a nullable fr_err last.
// The retry engine branches on codes, people read messages. fr_err lives on the caller's
// stack and owns nothing; each level adds context in front with fr_wrap.

#include "core/base/base.h"

// Append only: the numbers are stored. X(name, number, Lua-visible code, text)
#define FR_ERR_LIST(X)                                                                   \
    X(OK, 0, "ok", "no error")                                                           \
    X(ENOMEM, 1, "no_memory", "out of memory")                                           \
    X(EINVAL, 2, "invalid", "invalid argument")                                          \
    X(ETYPE, 3, "type", "wrong type")                                                    \
    X(EPARSE, 4, "parse", "cannot be parsed")                                            \
    X(EIO, 5, "io", "input/output failed")                                               \
    X(ENOTFOUND, 6, "not_found", "not found")                                            \
    X(EEXIST, 7, "exists", "exists already")                                             \
    X(ECORRUPT, 8, "corrupt", "damaged data")                                            \
    X(ELIMIT, 9, "too_large", "over a limit")                                            \
    X(EOVERFLOW, 10, "overflow", "number out of range")                                  \
    X(EUNSUPPORTED, 11, "unsupported", "not supported")                                  \
    X(EMISSING, 12, "missing_library", "a library is not installed")                     \
    X(ECANCELLED, 13, "cancelled", "cancelled")                                          \
    X(ETIMEOUT, 14, "timeout", "took too long")                                          \
    X(ESTATE, 15, "state", "not allowed in this state")                                  \
    X(EDIVERGED, 16, "diverged", "the flow does something else than was recorded")       \
    X(ETASK, 17, "error", "the task raised an error")                                    \
    X(EUPSTREAM, 18, "upstream", "something it depends on failed")                       \
    X(EQUALITY, 19, "quality", "a quality gate refused the data")                        \
    X(ELOST, 20, "lost", "the process that ran it died")                                 \
    X(EBUSY, 21, "busy", "in use by another process")                                    \
    X(EFULL, 22, "disk_full", "no space left")                                           \
    X(EVERSION, 23, "version", "made by a newer version")                                \
    X(ENUMERIC, 24, "numeric", "no numeric solution")                                    \
    X(ENETWORK, 25, "network", "the network or server failed")                           \
    X(EPARAM, 26, "parameter", "wrong flow parameter")                                   \
    X(ELOAD, 27, "load", "the script does not load")                                     \
    X(EPOISON, 28, "quarantined", "it killed its process repeatedly")                    \
    X(ECRASHED, 29, "crashed", "it took its own process down")                           \
    X(ESKIPPED, 30, "skipped", "it was skipped")

enum {
#define X(name, number, code, text) FR_##name = (number),
    FR_ERR_LIST(X)
#undef X
};

enum { FR_ERR_MAX = 256 };

typedef struct fr_err {
    int code;
    char text[FR_ERR_MAX];   // always terminated; cut with "..." when too long
} fr_err;

#define FR_ERR_INIT {0, ""}

// Sets code and message and returns code, so that `return fr_fail(err, FR_EIO, ...)` works.
int fr_fail(fr_err *err, int code, const char *format, ...) FR_PRINTF(3, 4);
// As fr_fail with ": strerror(errno)" appended; ENOSPC and EDQUOT become FR_EFULL.
int fr_fail_errno(fr_err *err, int code, const char *format, ...) FR_PRINTF(3, 4);
// Puts "context: " in front of the message already there; returns code.
int fr_wrap(fr_err *err, int code, const char *format, ...) FR_PRINTF(3, 4);
const char *fr_err_name(int code);             // the Lua-visible code: "timeout"
const char *fr_err_text(int code);             // its general sentence
int fr_err_from_name(const char *name);        // -1 when unknown
