#pragma once
// value -- what crosses a thread, a pipe or a crash: immutable canonical packed bytes.
//
// The same bytes are the thread message, the pipe message, the stored result, part of the
// cache key and the fingerprint that replay checks; equal values have equal bytes.
//   0 nil · 1 false · 2 true · 3 integer: zigzag varint · 4 double: 8 bytes LE, one NaN
//   5 string: varint length, bytes
//   6 table: varint n, n values for keys 1..n; varint m, m (key, value) pairs sorted by key:
//     integers by number, then doubles, strings by bytes, false, true. n is maximal.
//   7 object: kind u8, content hash 16 bytes, varint index into refs (first appearance order)
//   8 handle: varint index into the call's dependencies (arguments only, never in results;
//     first appearance order)
//   9 null: JSON's null (json.null in Lua), which keeps its place where nil would be absent
// Table values are never nil, save that the array part of the outermost table may hold nils:
// that is how a list of arguments or results is packed. A double key is never a whole number
// that fits an integer (Lua turns those into integers) and never NaN.
// Lifetime: refcounted, any thread; decoding never trusts the bytes.

#include "core/base/buf.h"
#include "core/data/object.h"

enum {
    FR_VALUE_DEPTH = 100,                       // nested tables
    FR_VALUE_MAX = 1 << 30,                     // bytes of one value
};

typedef enum fr_tag {
    FR_NIL = 0, FR_FALSE = 1, FR_TRUE = 2, FR_INT = 3, FR_DOUBLE = 4,
    FR_STRING = 5, FR_TABLE = 6, FR_REF = 7, FR_HANDLE = 8, FR_NULL = 9,
} fr_tag;

typedef struct fr_value {
    atomic_uint refs;
    uint32_t objects;                           // number of object references
    uint32_t handles;                           // number of dependencies it mentions
    size_t size;                                // packed bytes
    fr_object **object;                         // referenced; in order of first appearance
    fr_hash hash;                               // Merkle: objects count by their content hash
    uint8_t bytes[];
} fr_value;

// Copies `size` canonical bytes; references the objects. The bytes are trusted (our own writer).
fr_value *fr_value_new(const void *bytes, size_t size, fr_object *const *objects, uint32_t n);
// As above for a writer that knows how many dependencies the bytes mention.
fr_value *fr_value_new_counted(const void *bytes, size_t size, fr_object *const *objects,
                               uint32_t n, uint32_t handles);
// Checks hostile bytes completely: tags, lengths, depth, order of keys, shortest numbers, one
// NaN, object indexes. FR_ECORRUPT with the offset. Object *content* comes from `objects`.
FR_NODISCARD int fr_value_parse(const void *bytes, size_t size, fr_object *const *objects,
                                uint32_t n, fr_value **out, fr_err *err);
fr_value *fr_value_ref(const fr_value *v);
void fr_value_unref(const fr_value *v);         // NULL is fine
fr_value *fr_value_nil(void);                   // new references to small constants
fr_value *fr_value_int(int64_t i);
fr_value *fr_value_text(const char *s, size_t n);
// The hash of a value whose handles stand for results with the hashes `deps`; without handles
// it is v->hash. So the arguments of a call are known without loading what they mention.
fr_hash fr_value_hash_with(const fr_value *v, const fr_hash *deps);

// Walking packed bytes (used by marshal, JSON output, show). After fr_value_next the reader
// stands behind the scalar, or behind the header of a table (then `n` array items and, after
// them, a varint count of pairs follow).
typedef struct fr_item {
    fr_tag tag;
    int64_t integer;
    double number;
    const char *text;                           // STRING
    size_t n;                                   // STRING length, TABLE array part, REF/HANDLE index
    uint8_t kind;                               // REF
    fr_hash hash;                               // REF
} fr_item;
bool fr_value_next(fr_reader *r, fr_item *out); // false at end or on damage (r->failed)
bool fr_value_skip(fr_reader *r);               // over one whole value
// Readable: lists as [], other tables as {} with text keys, exact numbers (a double always has a
// point or exponent; nan and infinities as text), objects as {"$frame":"hash"}. Longer than
// `max` bytes it is cut and ends in "...".
void fr_value_json(const fr_value *v, fr_buf *out, size_t max);
// The objects a packed value mentions, in order, without loading them.
typedef void (*fr_value_ref_fn)(void *ctx, uint8_t kind, fr_hash hash);
int fr_value_scan_refs(const void *bytes, size_t size, fr_value_ref_fn fn, void *ctx, fr_err *err);

// Writing. A writer checks sizes and depth; sorting of keys is the caller's (marshal sorts).
void fr_value_put_nil(fr_buf *b);
void fr_value_put_null(fr_buf *b);
void fr_value_put_bool(fr_buf *b, bool v);
void fr_value_put_int(fr_buf *b, int64_t v);
void fr_value_put_double(fr_buf *b, double v);  // any NaN becomes the one NaN
void fr_value_put_string(fr_buf *b, const char *s, size_t n);
