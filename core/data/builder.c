#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/data/array.h"
#include "core/data/bits.h"

#include <string.h>

struct fr_builder {
    fr_type type;
    int64_t length, nulls;
    fr_block *validity, *values, *offsets; // capacities are the blocks' sizes
    size_t bytes;                          // UTF8: text bytes so far
    fr_map codes;                          // CATEGORY: text hash -> code
    fr_builder *dict;                      // CATEGORY
};

fr_builder *fr_builder_new(fr_type type, int64_t expected)
{
    (void)expected;
    fr_builder *b = fr_zalloc(sizeof *b);
    b->type = type;
    fr_map_init(&b->codes);
    if (type.kind == FR_CATEGORY) {
        b->dict = fr_builder_new(fr_type_of(FR_UTF8), 0);
    }
    return b;
}

static void empty(fr_builder *b)
{
    fr_block_unref(b->validity);
    fr_block_unref(b->values);
    fr_block_unref(b->offsets);
    b->validity = b->values = b->offsets = NULL;
    b->length = b->nulls = 0;
    b->bytes = 0;
    fr_map_fini(&b->codes);
    fr_map_init(&b->codes);
    if (b->dict != NULL) {
        empty(b->dict);
    }
}

void fr_builder_free(fr_builder *b)
{
    if (b == NULL) {
        return;
    }
    empty(b);
    fr_map_fini(&b->codes);
    fr_builder_free(b->dict);
    fr_free(b);
}

// Makes room for `need` bytes in all, doubling.
static int grow(fr_block **block, size_t need, fr_err *err)
{
    size_t have = *block != NULL ? (*block)->size : 0;
    if (need <= have) {
        return FR_OK;
    }
    fr_block *bigger;
    int rc = fr_block_new(FR_MAX(need, FR_MAX(have * 2, 256)), &bigger, err);
    if (rc != FR_OK) {
        return rc;
    }
    if (have > 0) {
        memcpy(bigger->data, (*block)->data, have);
    }
    fr_block_unref(*block);
    *block = bigger;
    return FR_OK;
}

// Room for one more value, present or not. Bitmaps grow zeroed behind the last bit.
static int grow_bits(fr_block **block, int64_t bits, fr_err *err)
{
    size_t have = *block != NULL ? (*block)->size : 0;
    int rc = grow(block, fr_bits_bytes(bits), err);
    if (rc == FR_OK && (*block)->size > have) {
        memset((*block)->data + have, 0, (*block)->size - have);
    }
    return rc;
}

static int room(fr_builder *b, fr_err *err)
{
    size_t n = (size_t)b->length;
    int rc = FR_OK;
    if (b->type.kind == FR_BOOL) {
        rc = grow_bits(&b->values, b->length + 1, err);
    } else if (b->type.kind == FR_UTF8) {
        rc = grow(&b->offsets, (n + 2) * sizeof(int64_t), err);
    } else {
        rc = grow(&b->values, (n + 1) * fr_kind_width(b->type.kind), err);
    }
    if (rc == FR_OK && b->nulls > 0) {
        rc = grow_bits(&b->validity, b->length + 1, err);
    }
    return rc;
}

static void set_offset(fr_builder *b)
{
    int64_t *o = (int64_t *)(void *)b->offsets->data;
    if (b->length == 0) {
        o[0] = 0;
    }
    o[b->length + 1] = (int64_t)b->bytes;
}

static void present(fr_builder *b)
{
    if (b->nulls > 0) {
        fr_bits_set(b->validity->data, b->length);
    }
    b->length++;
}

int fr_builder_null(fr_builder *b, fr_err *err)
{
    int rc = room(b, err);
    if (rc != FR_OK) {
        return rc;
    }
    if (b->nulls == 0) {
        rc = grow_bits(&b->validity, b->length + 1, err);
        if (rc != FR_OK) {
            return rc;
        }
        fr_bits_fill(b->validity->data, 0, b->length, true);
    }
    if (b->type.kind == FR_UTF8) {
        set_offset(b);
    } else if (b->type.kind != FR_BOOL) {
        size_t width = fr_kind_width(b->type.kind);
        memset(b->values->data + (size_t)b->length * width, 0, width);
    }
    b->nulls++;
    b->length++;
    return FR_OK;
}

static int wrong(const fr_builder *b, const char *what, fr_err *err)
{
    char name[64];
    return fr_fail(err, FR_ETYPE, "row %lld: expected %s, got %s",
                   (long long)b->length + 1, fr_type_name(&b->type, name), what);
}

int fr_builder_bool(fr_builder *b, bool v, fr_err *err)
{
    if (b->type.kind != FR_BOOL) {
        return wrong(b, "a boolean", err);
    }
    int rc = room(b, err);
    if (rc == FR_OK) {
        if (v) {
            fr_bits_set(b->values->data, b->length);
        }
        present(b);
    }
    return rc;
}

#define STORE(type)                                                                      \
    do {                                                                                 \
        type *at = (type *)(void *)b->values->data + b->length;                          \
        *at = (type)v;                                                                   \
        fits = (int64_t)*at == v;                                                        \
    } while (0)

int fr_builder_int(fr_builder *b, int64_t v, fr_err *err)
{
    if (b->type.kind == FR_FLOAT64) {
        return fr_builder_float(b, (double)v, err);
    }
    int rc = room(b, err);
    if (rc != FR_OK) {
        return rc;
    }
    bool fits = true;
    switch (b->type.kind) {
    case FR_INT8:
        STORE(int8_t);
        break;
    case FR_INT16:
        STORE(int16_t);
        break;
    case FR_INT32:
    case FR_DATE:
        STORE(int32_t);
        break;
    case FR_UINT8:
        STORE(uint8_t);
        break;
    case FR_UINT16:
        STORE(uint16_t);
        break;
    case FR_UINT32:
        STORE(uint32_t);
        break;
    case FR_UINT64:
        STORE(uint64_t);
        fits = v >= 0;
        break;
    case FR_INT64:
    case FR_TIMESTAMP:
    case FR_TIME:
    case FR_DURATION:
        STORE(int64_t);
        break;
    case FR_BOOL:
    case FR_FLOAT32:
    case FR_FLOAT64:
    case FR_UTF8:
    case FR_CATEGORY:
        return wrong(b, "an integer", err);
    }
    if (!fits) {
        char name[64];
        return fr_fail(err, FR_EOVERFLOW, "row %lld: %lld does not fit %s",
                       (long long)b->length + 1, (long long)v,
                       fr_type_name(&b->type, name));
    }
    present(b);
    return FR_OK;
}

int fr_builder_float(fr_builder *b, double v, fr_err *err)
{
    if (b->type.kind != FR_FLOAT64 && b->type.kind != FR_FLOAT32) {
        return wrong(b, "a float", err);
    }
    int rc = room(b, err);
    if (rc == FR_OK) {
        if (b->type.kind == FR_FLOAT64) {
            ((double *)(void *)b->values->data)[b->length] = v;
        } else {
            ((float *)(void *)b->values->data)[b->length] = (float)v;
        }
        present(b);
    }
    return rc;
}

static int put_code(fr_builder *b, const char *s, size_t n, fr_err *err)
{
    bool fresh;
    fr_hash key = fr_hash_bytes(s, n);
    uint64_t *code = fr_map_put(&b->codes, key, &fresh);
    if (fresh) {
        *code = (uint64_t)b->dict->length;
        int rc = b->dict->length < INT32_MAX
                     ? fr_builder_text(b->dict, s, n, err)
                     : fr_fail(err, FR_ELIMIT, "more than 2^31 categories");
        if (rc != FR_OK) {
            (void)fr_map_remove(&b->codes, key);
            return rc;
        }
    }
    ((int32_t *)(void *)b->values->data)[b->length] = (int32_t)*code;
    present(b);
    return FR_OK;
}

int fr_builder_text(fr_builder *b, const char *s, size_t n, fr_err *err)
{
    if (b->type.kind != FR_UTF8 && b->type.kind != FR_CATEGORY) {
        return wrong(b, "text", err);
    }
    int rc = room(b, err);
    if (rc != FR_OK) {
        return rc;
    }
    if (b->type.kind == FR_CATEGORY) {
        return put_code(b, s, n, err);
    }
    rc = grow(&b->values, b->bytes + n, err);
    if (rc == FR_OK) {
        if (n > 0) {
            memcpy(b->values->data + b->bytes, s, n);
        }
        b->bytes += n;
        set_offset(b);
        present(b);
    }
    return rc;
}

static int finish_block(fr_block **block, size_t size, fr_err *err)
{
    if (*block == NULL) {
        return fr_block_new_zero(size, block, err);
    }
    return fr_block_shrink(*block, size, err);
}

static int finish_blocks(fr_builder *b, fr_err *err)
{
    size_t n = (size_t)b->length, size;
    int rc = FR_OK;
    switch ((int)b->type.kind) {
    case FR_BOOL:
        size = fr_bits_bytes(b->length);
        break;
    case FR_UTF8:
        size = b->bytes;
        rc = finish_block(&b->offsets, (n + 1) * sizeof(int64_t), err);
        break;
    default:
        size = n * fr_kind_width(b->type.kind);
        break;
    }
    if (rc == FR_OK) {
        rc = finish_block(&b->values, size, err);
    }
    if (rc == FR_OK && b->nulls > 0) {
        rc = finish_block(&b->validity, fr_bits_bytes(b->length), err);
    }
    return rc;
}

int fr_builder_finish(fr_builder *b, fr_array **out, fr_err *err)
{
    *out = NULL;
    int rc = finish_blocks(b, err);
    fr_array *dict = NULL;
    if (rc == FR_OK && b->dict != NULL) {
        rc = fr_builder_finish(b->dict, &dict, err);
    }
    if (rc != FR_OK) {
        empty(b);
        return rc;
    }
    fr_array *a = fr_zalloc(sizeof *a);
    fr_object_init(&a->object, &fr_array_ops);
    a->type = b->type;
    a->length = b->length;
    a->nulls = b->nulls;
    a->validity = b->validity;
    a->values = b->values;
    a->offsets = b->offsets;
    a->dict = dict;
    b->validity = b->values = b->offsets = NULL;
    empty(b);
    *out = a;
    return FR_OK;
}
