#pragma once
// parquet_int -- numbers of the Parquet format (parquet.thrift, format 2.11) and what the
// parts share. Private to core/data/parquet*.c.
//
// parquet_meta: the footer. parquet_type: which of our types a column gets. parquet_codec:
// compression. parquet_bits: packed numbers. parquet_page: values of one page.
// parquet_chunk: one column of one row group. parquet_read: files, the plan, the frame.
// parquet_filter: rows, and row groups that bounds rule out. parquet_stats: bounds.
// parquet_encode, parquet_write: writing.

#include "core/base/buf.h"
#include "core/base/map.h"
#include "core/data/expr.h"
#include "core/data/parquet.h"

enum {
    PQ_PAD = 64,                      // readable bytes behind whatever is decoded
    PQ_SCALE_MAX = 400,               // of decimals
};

typedef enum pq_physical {            // Type
    PQ_BOOLEAN, PQ_INT32, PQ_INT64, PQ_INT96, PQ_FLOAT, PQ_DOUBLE, PQ_BYTES, PQ_FIXED,
} pq_physical;

enum {                                // ConvertedType
    PQ_C_NONE = -1, PQ_C_UTF8 = 0, PQ_C_MAP = 1, PQ_C_LIST = 3, PQ_C_ENUM = 4, PQ_C_DECIMAL = 5,
    PQ_C_DATE = 6, PQ_C_TIME_MILLIS = 7, PQ_C_TIME_MICROS = 8, PQ_C_STAMP_MILLIS = 9,
    PQ_C_STAMP_MICROS = 10, PQ_C_UINT8 = 11, PQ_C_UINT16 = 12, PQ_C_UINT32 = 13,
    PQ_C_UINT64 = 14, PQ_C_INT8 = 15, PQ_C_INT16 = 16, PQ_C_INT32 = 17, PQ_C_INT64 = 18,
    PQ_C_JSON = 19, PQ_C_BSON = 20, PQ_C_INTERVAL = 21,
};

enum {                                // fields of the union LogicalType
    PQ_L_STRING = 1, PQ_L_MAP = 2, PQ_L_LIST = 3, PQ_L_ENUM = 4, PQ_L_DECIMAL = 5, PQ_L_DATE = 6,
    PQ_L_TIME = 7, PQ_L_STAMP = 8, PQ_L_INTEGER = 10, PQ_L_UNKNOWN = 11, PQ_L_JSON = 12,
    PQ_L_BSON = 13, PQ_L_UUID = 14, PQ_L_HALF = 15, PQ_L_VARIANT = 16,
};

enum {                                // Encoding
    PQ_PLAIN = 0, PQ_PLAIN_DICTIONARY = 2, PQ_RLE = 3, PQ_BIT_PACKED = 4,
    PQ_DELTA_BINARY_PACKED = 5, PQ_DELTA_LENGTH = 6, PQ_DELTA_BYTES = 7, PQ_RLE_DICTIONARY = 8,
    PQ_STREAM_SPLIT = 9,
};

typedef enum pq_codec {               // CompressionCodec
    PQ_NONE = 0, PQ_SNAPPY = 1, PQ_GZIP = 2, PQ_LZO = 3, PQ_BROTLI = 4, PQ_LZ4 = 5, PQ_ZSTD = 6,
    PQ_LZ4_RAW = 7,
} pq_codec;

enum { PQ_DATA_PAGE = 0, PQ_INDEX_PAGE = 1, PQ_DICTIONARY_PAGE = 2, PQ_DATA_PAGE_2 = 3 };

// How stored values become ours.
typedef enum pq_layout {
    PQ_AS_NOTHING,                    // it does not; why is in `problem`
    PQ_AS_NULL,                       // every value is null
    PQ_AS_BOOL,
    PQ_AS_IS,                         // same bytes
    PQ_AS_NARROW,                     // int32 to 8 or 16 bits
    PQ_AS_TIME,                       // to nanoseconds since midnight
    PQ_AS_SECONDS,                    // milliseconds that were seconds
    PQ_AS_INT96,                      // nanoseconds of a day and a Julian day
    PQ_AS_HALF,
    PQ_AS_SCALED,                     // decimal to int64
    PQ_AS_CATEGORY,                   // text to codes
    PQ_AS_TEXT,                       // from here on: to text
    PQ_AS_BINARY, PQ_AS_HEX, PQ_AS_UUID, PQ_AS_DECIMAL,
} pq_layout;

typedef struct pq_column {            // a field of the schema's root
    char *name;
    pq_physical physical;
    size_t width;                     // bytes of a stored value; 0: varies (BYTES), or bits
    bool optional;
    int converted, logical;           // PQ_C_NONE, 0: none
    fr_unit unit;                     // TIME, STAMP
    bool adjusted;                    // STAMP: UTC
    int bits;                         // INTEGER
    bool is_signed;
    int scale, precision;             // DECIMAL
    fr_type type;
    pq_layout layout;
    const char *problem;
    size_t leaf;                      // its chunk in each row group
    bool wanted;
} pq_column;

typedef struct pq_bytes {             // in the footer
    const uint8_t *at;                // NULL: absent
    size_t n;
} pq_bytes;

typedef struct pq_chunk {
    int codec;
    bool present, elsewhere;          // elsewhere: in another file, or encrypted
    int64_t values, size;             // size: of the pages in the file
    int64_t data_at, dictionary_at;   // dictionary_at 0: none
    pq_bytes least, most;             // of Statistics; exact or not, they bound the values
    int64_t nulls;                    // -1: unknown
} pq_chunk;

typedef struct pq_group {
    pq_chunk *chunks;                 // one per leaf
    int64_t rows;
    int64_t first_row;                // in the result, when wanted
} pq_group;

typedef struct pq_meta {
    pq_column *columns;
    size_t n_columns, n_leaves;
    pq_group *groups;
    size_t n_groups;
    pq_bytes arrow;                   // value of the key ARROW:schema, base64
} pq_meta;

int pq_meta_read(const uint8_t *footer, size_t n, pq_meta *out, fr_err *err);
void pq_meta_fini(pq_meta *m);

// Fills type, layout and problem of every column.
void pq_type_all(pq_meta *m, const fr_parquet_options *o);
static inline bool pq_layout_text(pq_layout l) { return l >= PQ_AS_TEXT; }

// Corrects types by the schema that Arrow's libraries put beside, where it fits.
void pq_arrow_hints(pq_meta *m);

// parquet_filter: rows by an expression, and row groups of which the bounds say that they
// have none.
typedef struct pq_filter {
    const pq_meta *meta;
    fr_expr *expr;                    // NULL: there is no filter
    size_t *column_of;                // columns of the expression's frame -> of the file
    size_t n;
} pq_filter;

int pq_filter_open(const pq_meta *m, const fr_parquet_options *o, pq_filter *out, fr_err *err);
void pq_filter_fini(pq_filter *f);
bool pq_filter_uses(const pq_filter *f, const pq_column *c);
bool pq_filter_may(const pq_filter *f, const pq_group *g);
int pq_filter_apply(const fr_parquet_options *o, size_t n, fr_frame **f, fr_err *err);

// parquet_codec. What zstd keeps between the pages of a chunk; start it zeroed.
typedef struct pq_zstd {
    void *in, *out;
} pq_zstd;

void pq_zstd_fini(pq_zstd *z);
// Exactly `size` bytes come out of from[0, n), or FR_ECORRUPT; FR_EMISSING when the library
// is not installed.
int pq_unpack(int codec, pq_zstd *z, const uint8_t *from, size_t n, uint8_t *to, size_t size,
              fr_err *err);

// parquet_bits. Runs of equal or packed numbers of `width` bits, as levels and indexes are.
typedef struct pq_runs {
    const uint8_t *at, *end;
    unsigned width;
    size_t left;                      // of the run we are in
    bool packed;
    uint32_t value;                   // of a run of equal numbers
    const uint8_t *bits;              // of a packed run
    size_t bit;
} pq_runs;

pq_runs pq_runs_of(const uint8_t *at, const uint8_t *end, unsigned width);
// Numbers to `to`; less than n come when the bytes end.
size_t pq_runs_read(pq_runs *r, uint32_t *to, size_t n);
// n one-bit numbers to a bitmap at bit `at`, whose bits were zero; false when bytes end.
bool pq_runs_bits(pq_runs *r, uint8_t *bits, int64_t at, size_t n);

// DELTA_BINARY_PACKED: n numbers, wrapped to `width` (4 or 8) bytes. Returns where they end,
// NULL when damaged.
const uint8_t *pq_delta_read(const uint8_t *at, const uint8_t *end, size_t n, size_t width,
                             void *to);
// How many numbers such a block says it holds.
bool pq_delta_count(const uint8_t *at, const uint8_t *end, size_t *n);

// parquet_page. A piece of values as they lie in a page or dictionary.
typedef struct pq_values {
    const uint8_t *at, *end;
    int encoding;
    size_t n;                         // values that are not null
} pq_values;

typedef struct pq_text {              // one text
    const uint8_t *s;
    size_t n;
} pq_text;

// n fixed-width values of the column's stored width, densely; false: damaged.
bool pq_page_fixed(const pq_column *c, const pq_values *v, uint8_t *to);
bool pq_page_bools(const pq_values *v, uint8_t *bits, int64_t at);     // bits were zero
// One stored value of n bytes to the column's own type. False when it does not fit.
bool pq_page_convert(const pq_column *c, const uint8_t *s, size_t n, uint8_t *to);
int pq_page_misfit(const pq_column *c, fr_err *err);   // the message for that
// n byte arrays; what they point to are the page's bytes or `made`, which the caller frees.
int pq_page_texts(const pq_values *v, pq_text *to, fr_block **made, fr_err *err);
// The text of a stored value, for layouts UUID, HEX and DECIMAL; room for
// 3 * n + 4 + scale. SIZE_MAX: a decimal that is too long.
size_t pq_page_print(const pq_column *c, const uint8_t *s, size_t n, char *to);

// parquet_category: texts numbered by first appearance.
typedef struct pq_categories {
    fr_map codes;                     // text hash -> code
    fr_builder *texts;                // NULL: not in use
    int32_t n;
} pq_categories;

void pq_categories_init(pq_categories *k);
void pq_categories_fini(pq_categories *k);
int pq_categories_code(pq_categories *k, const void *s, size_t n, int32_t *out, fr_err *err);

// parquet_chunk: one column of one row group.
typedef struct pq_part {
    const pq_column *column;
    int64_t rows;
    uint8_t *values;                  // where the first value goes; of BOOL: a bitmap of its own
    int64_t *offsets;                 // of text: where the end of the first goes, from 0
    fr_block *validity;               // NULL: no nulls; bits of this part
    int64_t nulls;
    fr_block *text;                   // bytes
    size_t n_text, text_room;
    pq_categories categories;         // of CATEGORY
} pq_part;

int pq_chunk_decode(const pq_chunk *chunk, const uint8_t *bytes, size_t n, pq_part *part,
                    fr_err *err);
// One dictionary for the codes of n parts, `stride` apart.
int pq_categories_join(pq_part *parts, size_t n, size_t stride, fr_array **dict, fr_err *err);

// parquet_encode: values of rows [at, at + n) of an array, without the nulls, behind what is
// in `to`. `scratch` is reused between calls.
void pq_put_levels(const fr_array *a, int64_t at, int64_t n, fr_buf *to);
void pq_put_bools(const fr_array *a, int64_t at, int64_t n, fr_buf *to);
// Fixed-width kinds as numbers of `width` (4 or 8) bytes; whole ones as deltas, others plain.
void pq_put_fixed(const fr_array *a, int64_t at, int64_t n, size_t width, bool deltas,
                  fr_buf *scratch, fr_buf *to);
void pq_put_delta(const void *values, size_t n, size_t width, fr_buf *to);
void pq_put_texts(const fr_array *a, int64_t at, int64_t n, fr_buf *scratch, fr_buf *to);
void pq_put_indexes(const uint32_t *codes, size_t n, unsigned width, fr_buf *to);

// parquet_dictionary: the distinct texts of rows [at, at + n) by first appearance, or given up.
typedef struct pq_dictionary {
    uint32_t *codes;                  // of the rows that are not null, one after the other
    size_t n_codes, n;                // n: distinct ones
    fr_buf plain;                     // they as a PLAIN page
    bool good;                        // false: too many are distinct
} pq_dictionary;

int pq_dictionary_make(const fr_array *a, int64_t at, int64_t n, pq_dictionary *out, fr_err *err);
void pq_dictionary_fini(pq_dictionary *d);

// parquet_stats.
enum { PQ_BOUND_MAX = 64 };           // longer texts have no bounds
typedef struct pq_bounds {
    uint8_t least[PQ_BOUND_MAX], most[PQ_BOUND_MAX];
    size_t n_least, n_most;
    bool known;
    int64_t nulls;
} pq_bounds;

void pq_bounds_of(const fr_array *a, int64_t at, int64_t n, size_t width, pq_bounds *out);

// What pages of a writer are packed with; appends to `to`.
int pq_pack(int codec, int level, pq_zstd *z, const uint8_t *from, size_t n, fr_buf *to,
            fr_err *err);

// The value of ARROW:schema for f.
void pq_arrow_note(const fr_frame *f, fr_buf *to);
