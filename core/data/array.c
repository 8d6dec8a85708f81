#include "core/data/array.h"

#include "core/base/mem.h"
#include "core/data/arrow.h"
#include "core/data/bits.h"
#include "core/data/compute.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const int64_t LENGTH_MAX = INT64_C(1) << 40;

static const struct {
    const char *name;
    uint8_t width;
    uint8_t flags;
} kinds[] = {
#define INTEGER  1
#define NUMBER   2
#define TEMPORAL 4
    [FR_BOOL] = {"bool", 0, 0},
    [FR_INT64] = {"int64", 8, INTEGER | NUMBER},
    [FR_FLOAT64] = {"float64", 8, NUMBER},
    [FR_UTF8] = {"utf8", 0, 0},
    [FR_CATEGORY] = {"category", 4, 0},
    [FR_DATE] = {"date", 4, TEMPORAL},
    [FR_TIMESTAMP] = {"timestamp", 8, TEMPORAL},
    [FR_INT8] = {"int8", 1, INTEGER | NUMBER},
    [FR_INT16] = {"int16", 2, INTEGER | NUMBER},
    [FR_INT32] = {"int32", 4, INTEGER | NUMBER},
    [FR_UINT8] = {"uint8", 1, INTEGER | NUMBER},
    [FR_UINT16] = {"uint16", 2, INTEGER | NUMBER},
    [FR_UINT32] = {"uint32", 4, INTEGER | NUMBER},
    [FR_UINT64] = {"uint64", 8, INTEGER | NUMBER},
    [FR_FLOAT32] = {"float32", 4, NUMBER},
    [FR_TIME] = {"time", 8, TEMPORAL},
    [FR_DURATION] = {"duration", 8, TEMPORAL},
};

size_t fr_kind_width(fr_kind kind)
{
    return (size_t)kind < FR_COUNT(kinds) ? kinds[kind].width : 0;
}

// A kind read from a damaged file is none of them.
static bool has(fr_kind kind, unsigned flag)
{
    return (size_t)kind < FR_COUNT(kinds) && (kinds[kind].flags & flag) != 0;
}

bool fr_kind_integer(fr_kind kind) { return has(kind, INTEGER); }
bool fr_kind_number(fr_kind kind) { return has(kind, NUMBER); }
bool fr_kind_temporal(fr_kind kind) { return has(kind, TEMPORAL); }

const char *fr_type_name(const fr_type *t, char out[64])
{
    static const char *const units[] = {"s", "ms", "us", "ns"};
    if ((size_t)t->kind >= FR_COUNT(kinds) || kinds[t->kind].name == NULL) {
        (void)snprintf(out, 64, "unknown");
    } else if (t->kind == FR_TIMESTAMP && t->zone[0] != 0) {
        (void)snprintf(out, 64, "timestamp[%s, %s]", units[t->unit & 3], t->zone);
    } else if (t->kind == FR_TIMESTAMP || t->kind == FR_DURATION) {
        (void)snprintf(out, 64, "%s[%s]", kinds[t->kind].name, units[t->unit & 3]);
    } else {
        (void)snprintf(out, 64, "%s", kinds[t->kind].name);
    }
    return out;
}

bool fr_type_eq(const fr_type *a, const fr_type *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    if (a->kind == FR_CATEGORY) {
        return a->ordered == b->ordered;
    }
    if (a->kind == FR_TIMESTAMP) {
        return a->unit == b->unit && strcmp(a->zone, b->zone) == 0;
    }
    return a->kind != FR_DURATION || a->unit == b->unit;
}

static void array_destroy(fr_object *o)
{
    fr_array *a = (fr_array *)o;
    fr_block_unref(a->validity);
    fr_block_unref(a->values);
    fr_block_unref(a->offsets);
    fr_array_unref(a->dict);
    fr_free(a);
}

static fr_array *array_alloc(fr_type type, int64_t length)
{
    fr_array *a = fr_zalloc(sizeof *a);
    fr_object_init(&a->object, &fr_array_ops);
    a->type = type;
    a->length = length;
    return a;
}

int fr_array_new(fr_type type, int64_t length, size_t bytes, fr_array **out, fr_err *err)
{
    *out = NULL;
    if (length < 0 || length > LENGTH_MAX) {
        return fr_fail(err, FR_ELIMIT, "a column of %lld rows", (long long)length);
    }
    fr_array *a = array_alloc(type, length);
    int rc;
    if (type.kind == FR_BOOL) {
        rc = fr_block_new_zero(fr_bits_bytes(length), &a->values, err);
    } else if (type.kind == FR_UTF8) {
        rc = fr_block_new(bytes, &a->values, err);
        if (rc == FR_OK) {
            rc = fr_block_new(((size_t)length + 1) * sizeof(int64_t), &a->offsets, err);
        }
        if (rc == FR_OK) {
            memset(a->offsets->data, 0, sizeof(int64_t));
        }
    } else {
        rc = fr_block_new((size_t)length * fr_kind_width(type.kind), &a->values, err);
    }
    if (rc != FR_OK) {
        fr_array_unref(a);
        return rc;
    }
    *out = a;
    return FR_OK;
}

fr_array *fr_array_ref(const fr_array *a)
{
    return (fr_array *)fr_object_ref(&a->object);
}

void fr_array_unref(const fr_array *a)
{
    if (a != NULL) {
        fr_object_unref(&a->object);
    }
}

int fr_array_add_validity(fr_array *a, fr_err *err)
{
    FR_ASSERT(a->offset == 0 && a->validity == NULL);
    int rc = fr_block_new_zero(fr_bits_bytes(a->length), &a->validity, err);
    if (rc == FR_OK) {
        fr_bits_fill(a->validity->data, 0, a->length, true);
    }
    return rc;
}

void fr_array_count_nulls(fr_array *a)
{
    if (a->validity == NULL) {
        a->nulls = 0;
        return;
    }
    a->nulls = a->length - fr_bits_count(a->validity->data, a->offset, a->length);
    if (a->nulls == 0) {
        fr_block_unref(a->validity);
        a->validity = NULL;
    }
}

fr_array *fr_array_slice(const fr_array *a, int64_t start, int64_t length)
{
    FR_ASSERT(start >= 0 && length >= 0 && start <= a->length - length);
    if (start == 0 && length == a->length) {
        return fr_array_ref(a);
    }
    fr_array *s = array_alloc(a->type, length);
    s->offset = a->offset + start;
    s->values = fr_block_ref(a->values);
    s->offsets = a->offsets != NULL ? fr_block_ref(a->offsets) : NULL;
    s->dict = a->dict != NULL ? fr_array_ref(a->dict) : NULL;
    s->validity = a->validity != NULL ? fr_block_ref(a->validity) : NULL;
    fr_array_count_nulls(s);
    return s;
}

static size_t block_bytes(const fr_block *b) { return b != NULL ? b->capacity : 0; }

size_t fr_array_bytes(const fr_array *a)
{
    return sizeof *a + block_bytes(a->validity) + block_bytes(a->values) +
           block_bytes(a->offsets) + (a->dict != NULL ? fr_array_bytes(a->dict) : 0);
}

fr_array *fr_array_compact(const fr_array *a)
{
    enum { NOT_WORTH_IT = 64 << 10 };
    size_t kept = block_bytes(a->values) + block_bytes(a->offsets), used;
    if (a->type.kind == FR_UTF8) {
        const int64_t *o = fr_array_offsets(a);
        used = (size_t)(o[a->length] - o[0]) + (size_t)a->length * sizeof *o;
    } else {
        used = (size_t)a->length * FR_MAX(fr_kind_width(a->type.kind) * 8, 1) / 8;
    }
    fr_array *copy;
    if (kept < NOT_WORTH_IT || used >= kept / 4 ||
        fr_compute_copy(a, &copy, NULL) != FR_OK) {
        return fr_array_ref(a);
    }
    atomic_store(&copy->hash_hi, atomic_load(&a->hash_hi));
    atomic_store(&copy->hash_lo, atomic_load(&a->hash_lo));
    return copy;
}

static fr_object *array_compact(const fr_object *o)
{
    return &fr_array_compact((const fr_array *)o)->object;
}

static size_t array_size(const fr_object *o)
{
    return fr_array_bytes((const fr_array *)o);
}

const char *fr_array_text(const fr_array *a, int64_t i, size_t *n)
{
    if (a->type.kind == FR_CATEGORY) {
        i = fr_array_i32(a)[i];
        a = a->dict;
    }
    FR_ASSERT(a->type.kind == FR_UTF8);
    const int64_t *o = fr_array_offsets(a);
    *n = (size_t)(o[i + 1] - o[i]);
    return (const char *)a->values->data + o[i];
}

int64_t fr_array_int(const fr_array *a, int64_t i)
{
    const void *p = fr_array_data(a);
    switch (a->type.kind) {
    case FR_BOOL:
        return fr_array_bool(a, i);
    case FR_INT8:
        return ((const int8_t *)p)[i];
    case FR_UINT8:
        return ((const uint8_t *)p)[i];
    case FR_INT16:
        return ((const int16_t *)p)[i];
    case FR_UINT16:
        return ((const uint16_t *)p)[i];
    case FR_INT32:
    case FR_DATE:
    case FR_CATEGORY:
        return ((const int32_t *)p)[i];
    case FR_UINT32:
        return ((const uint32_t *)p)[i];
    case FR_INT64:
    case FR_UINT64:
    case FR_TIMESTAMP:
    case FR_TIME:
    case FR_DURATION:
        return ((const int64_t *)p)[i];
    case FR_FLOAT32:
    case FR_FLOAT64:
    case FR_UTF8:
        break;
    }
    fr_panic(__FILE__, __LINE__, "an integer of a column of floats or text");
}

double fr_array_number(const fr_array *a, int64_t i)
{
    switch ((int)a->type.kind) {
    case FR_FLOAT64:
        return fr_array_f64(a)[i];
    case FR_FLOAT32:
        return (double)((const float *)fr_array_data(a))[i];
    case FR_UINT64:
        return (double)(uint64_t)fr_array_int(a, i);
    default:
        return (double)fr_array_int(a, i);
    }
}

int fr_array_to_f64(const fr_array *a, double *out, fr_err *err)
{
    bool coded = a->type.kind == FR_CATEGORY && a->type.ordered;
    if (!fr_kind_number(a->type.kind) && a->type.kind != FR_BOOL && !coded) {
        char name[64];
        return fr_fail(err, FR_ETYPE, "a column of %s is not numeric",
                       fr_type_name(&a->type, name));
    }
    if (a->type.kind == FR_FLOAT64) {
        memcpy(out, fr_array_f64(a), (size_t)a->length * sizeof(double));
    } else if (a->type.kind == FR_INT64) {
        const int64_t *x = fr_array_i64(a);
        for (int64_t i = 0; i < a->length; i++) {
            out[i] = (double)x[i];
        }
    } else {
        for (int64_t i = 0; i < a->length; i++) {
            out[i] = fr_array_number(a, i);
        }
    }
    if (a->nulls > 0) {
        for (int64_t i = 0; i < a->length; i++) {
            if (!fr_array_has(a, i)) {
                out[i] = (double)NAN;
            }
        }
    }
    return FR_OK;
}

static fr_hash array_hash(const fr_object *o)
{
    return fr_array_hash((const fr_array *)o);
}

static int array_save(const fr_object *o, const char *path, fr_err *err)
{
    return fr_arrow_save_array((const fr_array *)o, path, err);
}

static int array_load(const char *path, fr_object **out, fr_err *err)
{
    fr_array *a;
    int rc = fr_arrow_load_array(path, &a, err);
    *out = rc == FR_OK ? &a->object : NULL;
    return rc;
}

const fr_object_ops fr_array_ops = {
    .name = "array",
    .kind = FR_KIND_ARRAY,
    .destroy = array_destroy,
    .hash = array_hash,
    .size = array_size,
    .save = array_save,
    .load = array_load,
    .compact = array_compact,
};
