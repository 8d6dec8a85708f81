// fuzz_value -- hostile bytes against the decoder of packed values.

#include "core/base/mem.h"
#include "core/data/value.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *ctx, uint8_t kind, fr_hash hash)
{
    (void)kind;
    *(uint64_t *)ctx += hash.lo;
}

// Writes the value again from what the reader says; it must give the same bytes.
static void rewrite(fr_reader *r, fr_buf *out)
{
    fr_item item;
    FR_ASSERT(fr_value_next(r, &item));
    uint64_t m = 0;
    switch (item.tag) {
    case FR_NIL:
        fr_value_put_nil(out);
        break;
    case FR_NULL:
        fr_value_put_null(out);
        break;
    case FR_FALSE:
        fr_value_put_bool(out, false);
        break;
    case FR_TRUE:
        fr_value_put_bool(out, true);
        break;
    case FR_INT:
        fr_value_put_int(out, item.integer);
        break;
    case FR_DOUBLE:
        fr_value_put_double(out, item.number);
        break;
    case FR_STRING:
        fr_value_put_string(out, item.text, item.n);
        break;
    case FR_TABLE:
        fr_buf_put_u8(out, FR_TABLE);
        fr_buf_put_varint(out, item.n);
        for (size_t i = 0; i < item.n; i++) {
            rewrite(r, out);
        }
        m = fr_read_varint(r);
        fr_buf_put_varint(out, m);
        for (; m > 0; m--) {
            rewrite(r, out);
            rewrite(r, out);
        }
        break;
    case FR_REF:
        break; // no objects are given: never accepted
    case FR_HANDLE:
        fr_buf_put_u8(out, FR_HANDLE);
        fr_buf_put_varint(out, item.n);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_err err = FR_ERR_INIT;
    fr_value *v = NULL;
    uint64_t sum = 0;
    (void)fr_value_scan_refs(data, size, ignore, &sum, &err);
    fr_reader r = fr_reader_of(data, size);
    (void)fr_value_skip(&r);
    FR_ASSERT(r.at <= r.end);
    if (fr_value_parse(data, size, NULL, 0, &v, &err) != FR_OK) {
        FR_ASSERT(v == NULL && err.text[0] != '\0');
        return 0;
    }
    fr_buf b;
    fr_buf_init(&b, FR_VALUE_MAX);
    r = fr_reader_of(v->bytes, v->size);
    rewrite(&r, &b);
    FR_ASSERT(b.size == size && memcmp(b.data, data, size) == 0); // canonical
    fr_buf_clear(&b);
    fr_value_json(v, &b, 200);
    FR_ASSERT(b.size <= 200);
    fr_value_json(v, &b, FR_VALUE_MAX / 2);
    fr_buf_fini(&b);
    fr_value_unref(v);
    return 0;
}
