#pragma once
// csv_source -- the bytes of a file in order, decompressed piece by piece. Private to
// core/data/csv*.c. Owned by one thread.

#include "core/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct csv_source csv_source;
int csv_source_open(const char *path, csv_source **out, fr_err *err);
void csv_source_close(csv_source *s);                       // NULL is fine
// Up to n bytes; *got = 0 at the end. A file that changed meanwhile is an error.
int csv_source_read(csv_source *s, uint8_t *to, size_t n, size_t *got, fr_err *err);
