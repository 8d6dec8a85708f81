#pragma once
// csv_stream -- delimited files larger than memory, as frames of some rows at a time.
//
// Plain, gzip or zstd files in UTF-8, Latin-1 or windows-1252. A piece of the file, what it
// parses to and the longest record are in memory, no more. Types come from the first piece;
// when a later value does not fit, its column widens as in fr_csv_read and the caller has to
// start again (the stream is back at the beginning): in the end the types are those that
// reading all at once gives.
// Lifetime: owned by one thread. Paths, options and what they point to are borrowed.

#include "core/data/csv.h"

typedef struct fr_csv_stream fr_csv_stream;

enum { FR_CSV_PIECE = 16 << 20 };

// `piece`: bytes of text at a time, 0: FR_CSV_PIECE.
FR_NODISCARD int fr_csv_stream_open(const char *const *paths, size_t n, const fr_csv_options *o,
                                    size_t piece, fr_csv_stream **out, fr_err *err);
// The next rows; *out = NULL at the end. The first call always gives a frame, perhaps without
// rows. *again: forget all frames so far.
FR_NODISCARD int fr_csv_stream_next(fr_csv_stream *s, fr_frame **out, bool *again, fr_err *err);
void fr_csv_stream_free(fr_csv_stream *s); // NULL is fine
