// fuzz_jsonl -- hostile bytes against the reader of JSON lines. What is accepted reads back
// the same from what we write of it, and at any size of region.

#include "core/base/mem.h"
#include "core/data/jsonl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static fr_frame *read(const void *data, size_t size, const fr_jsonl_options *o)
{
    fr_frame *f = NULL;
    fr_err err = FR_ERR_INIT;
    int rc = fr_jsonl_read_bytes("f", data, size, o, &f, &err);
    FR_ASSERT((rc == FR_OK) == (f != NULL) && (rc == FR_OK || err.text[0] != '\0'));
    return f;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_jsonl_options o = {.nested = true, .chunk = 16}, whole = {.nested = true};
    fr_frame *f = read(data, size, &o), *g = read(data, size, &whole);
    FR_ASSERT((f != NULL) == (g != NULL));
    if (f == NULL) {
        return 0;
    }
    FR_ASSERT(fr_hash_eq(fr_frame_hash(f), fr_frame_hash(g)));
    fr_jsonl_write_options w = {.nan_null = true};
    fr_err err = FR_ERR_INIT;
    fr_buf b;
    fr_buf_init(&b, 1 << 22);
    int rc = fr_jsonl_write_buf(f, &w, &b, &err);
    FR_ASSERT(rc == FR_OK || rc == FR_ELIMIT);
    if (rc == FR_OK) {
        fr_frame *back = read(b.data, b.size, &o);
        FR_ASSERT(back != NULL && back->rows == f->rows && back->columns == f->columns);
        fr_frame_unref(back);
    }
    fr_buf_fini(&b);
    fr_frame_unref(f);
    fr_frame_unref(g);
    return 0;
}
