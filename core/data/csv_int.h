#pragma once
// csv_int -- what the parts of the CSV reader share. Private to core/data/csv*.c.
//
// csv_load: bytes of a file, decompressed, as UTF-8, padded on both sides. csv_recast: fixed
// widths, escapes and comments as the scanners know them.
// csv_scan: where records and fields end. csv_parse: fields of one column to values.
// csv_infer: which type a column has. csv.c: the plan and the frame. csv_sieve: bad records.

#include "core/data/csv.h"

enum {
    CSV_PAD = 128,                    // readable bytes before and behind a text
    CSV_CHUNK = 512 * 1024,           // a region is about this long
    CSV_SAMPLE = 1000,                // records that types are guessed from
    CSV_COLUMNS_MAX = 1 << 20,
    CSV_RECORD_MAX = 1 << 30,
    CSV_CUT = 0x1f,                   // separates what was cut by widths
};

typedef struct csv_dialect {
    uint8_t sep, quote;
    bool quoting;
    uint8_t newline;                  // '\n', or '\r' when a file has no '\n' at all
} csv_dialect;

// csv_load.
typedef struct csv_text {
    fr_block *block;
    uint8_t *at;                      // CSV_PAD bytes into the block
    size_t size;
} csv_text;

FR_NODISCARD int csv_text_new(size_t capacity, csv_text *out, fr_err *err);   // size 0
void csv_text_free(csv_text *t);
// The encoding CSV_BINARY leaves the bytes as they are (gzip and zstd included).
extern const char CSV_BINARY[];
int csv_load_file(const char *path, const char *encoding, csv_text *out, fr_err *err);
int csv_load_bytes(const char *name, const void *bytes, size_t n, const char *encoding,
                   csv_text *out, fr_err *err);
// SIZE_MAX when s[0..n) is UTF-8, else where it is not.
size_t csv_utf8_bad(const uint8_t *s, size_t n);

// csv_scan. A survey looks at raw bytes without knowing whether they start inside quotes:
// index 0 of the pairs assumes "outside", index 1 "inside".
typedef struct csv_survey {
    size_t quotes;
    size_t first[2];                  // position of the first record end, SIZE_MAX: none
    size_t rows[2];                   // record ends, blank lines not counted
    bool high;                        // bytes beyond ASCII
    bool lone_cr;                     // a \r that no newline follows
} csv_survey;

void csv_scan_survey(const uint8_t *text, size_t n, const csv_dialect *d, csv_survey *out);
// Ends of fields of text[0, n), which starts at a record and ends behind one, to pos[1..]
// (pos[0] is set so that pos[i - 1] + 1 is the start of a field). False when quotes stand in
// odd places, or there are not exactly `fields` ends (room for fields + CSV_PAD is needed)
// or not exactly `rows` record ends.
bool csv_scan_fields(const uint8_t *text, size_t n, const csv_dialect *d, bool quotes,
                     uint32_t *pos, size_t fields, size_t rows);
// One record by the book, from s: ends of fields to pos[0..max) counted from s; *fields is
// their true number. Returns the start of the next record. `closed` false: quote not closed.
size_t csv_scan_record(const uint8_t *s, size_t n, const csv_dialect *d, uint32_t *pos,
                       size_t max, size_t *fields, bool *closed);
size_t csv_scan_blank(const uint8_t *s, size_t n);   // bytes of newlines at s

// csv_infer.
typedef enum csv_kind {
    CSV_EMPTY,                        // only nulls so far
    CSV_BOOL, CSV_INT, CSV_FLOAT, CSV_DATE, CSV_STAMP, CSV_TEXT,
    CSV_TIME, CSV_DURATION,           // only when asked for
} csv_kind;

enum {                                // what was seen in a column, to be united
    CSV_SAW_BOOL = 1, CSV_SAW_INT = 2, CSV_SAW_ZEROS = 4, CSV_SAW_BIG = 8, CSV_SAW_FLOAT = 16,
    CSV_SAW_DATE = 32, CSV_SAW_STAMP = 64, CSV_SAW_NANOS = 128, CSV_SAW_ZONE = 256,
    CSV_SAW_TEXT = 512,
    CSV_SAW_FAR = 2048,               // a time that nanoseconds do not reach
    CSV_SAW_QUOTED = 1024,            // a null word in quotes: text if nothing else was seen
};

typedef struct csv_nulls {
    const char *const *words;
    size_t n;
    size_t longest;
    bool empty;                       // "" is null
    bool numeric;                     // some word starts as numbers do
    uint64_t starts[4];               // bit per first byte
} csv_nulls;

void csv_nulls_init(csv_nulls *nulls, const char *const *words, size_t n);
static inline bool csv_nulls_may(const csv_nulls *nulls, uint8_t first)
{
    return nulls->starts[first >> 6] >> (first & 63) & 1;
}
bool csv_nulls_has(const csv_nulls *nulls, const uint8_t *s, size_t n);
unsigned csv_infer_value(const uint8_t *s, size_t n);          // CSV_SAW_* of one value
unsigned csv_infer_bits(csv_kind kind, const fr_type *type);   // what the kind's values are
csv_kind csv_infer_resolve(unsigned saw, fr_type *type);
csv_kind csv_infer_kind_of(const fr_type *type);               // how a wanted type is parsed

// csv_parse: one column of one region.
typedef struct csv_cells {
    const uint8_t *text;              // of the region
    const uint32_t *pos;              // pos[0] of the region
    size_t column, stride, rows;      // cell (r): ends at pos[1 + r * stride + column]
    const csv_dialect *dialect;
    const csv_nulls *nulls;
    csv_kind kind;
    const fr_type *type;
    const char *format;               // or NULL
} csv_cells;

typedef struct csv_part {             // what came out
    void *values;                     // where the region's first value goes (not for bool)
    uint64_t *valid;                  // rows bits, or NULL: all present
    uint8_t *bytes;                   // text: owned; bool: one byte each
    size_t n_bytes, capacity;
    int64_t nulls;
    size_t misfit;                    // first row that does not fit, SIZE_MAX: none
    unsigned saw;
} csv_part;

void csv_part_fini(csv_part *p);      // frees valid and bytes
int csv_parse_column(const csv_cells *c, csv_part *out, fr_err *err);
// The cell as it stands, with quotes.
static inline const uint8_t *csv_cell(const csv_cells *c, size_t r, size_t *n)
{
    const uint32_t *p = c->pos + r * c->stride + c->column;
    uint32_t from = p[0] + 1, to = p[1];
    if (c->column == 0) {             // behind blank lines
        while (from < to && (c->text[from] == '\n' || c->text[from] == '\r')) {
            from++;
        }
    }
    if (c->column + 1 == c->stride && to > from && c->text[to - 1] == '\r') {
        to--;
    }
    *n = to - from;
    return c->text + from;
}
// Takes the quotes off: s and n move to what is between them. Returns whether it was quoted;
// *doubled: quotes inside are doubled. *good false: text behind the closing quote.
bool csv_unquote(const uint8_t **s, size_t *n, uint8_t quote, bool *doubled, bool *good);
// CSV_SAW_* of a cell as it stands.
unsigned csv_infer_cell(const csv_dialect *d, const csv_nulls *nulls, const uint8_t *s, size_t n);
// For everything that is not text, quotes and blanks around it do not matter.
void csv_strip(const csv_dialect *d, const uint8_t **s, size_t *n);

// csv_write: rows as lines, formatted on all cores and written in order behind `head`, to a
// file (.gz: compressed; complete or not at all) or, when path is NULL, to buf.
typedef void csv_put_rows(void *ctx, fr_buf *to, int64_t from, int64_t end);
int csv_write_lines(const char *path, fr_buf *buf, const fr_buf *head, int64_t rows,
                    csv_put_rows *put, void *ctx, fr_err *err);
