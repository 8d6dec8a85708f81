#pragma once
// outfile -- a file that appears complete or not at all: written beside its place, renamed
// at the end. Pipes and devices are written directly. Owned by one thread.

#include "core/base/err.h"

#include <stdbool.h>

typedef struct fr_outfile {
    const char *path;             // borrowed
    char *part;                   // NULL: direct
    int fd;
} fr_outfile;

FR_NODISCARD int fr_outfile_open(const char *path, fr_outfile *out, fr_err *err);
// With rc FR_OK puts the file into its place, else removes what was written. Returns rc or
// the failure of closing and renaming.
FR_NODISCARD int fr_outfile_close(fr_outfile *o, int rc, fr_err *err);
