// Columns made from columns or constants: end to end, other types, nulls filled.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/compute.h"

#include <math.h>
#include <string.h>

static bool is_text(fr_kind k) { return k == FR_UTF8 || k == FR_CATEGORY; }

static const int64_t per_second[] = {1, 1000, 1000000, 1000000000};

// --- casts ---

static int no_cast(const fr_array *a, const fr_type *to, fr_err *err)
{
    char from[64], name[64];
    return fr_fail(err, FR_ETYPE, "%s cannot become %s", fr_type_name(&a->type, from),
                   fr_type_name(to, name));
}

// Validity is shared when a is not a slice, copied otherwise.
static int copy_validity(const fr_array *a, fr_array *to, fr_err *err)
{
    if (a->nulls == 0) {
        return FR_OK;
    }
    to->nulls = a->nulls;
    if (a->offset == 0) {
        to->validity = fr_block_ref(a->validity);
        return FR_OK;
    }
    int rc = fr_block_new_zero(fr_bits_bytes(a->length), &to->validity, err);
    if (rc == FR_OK) {
        fr_bits_copy(to->validity->data, 0, a->validity->data, a->offset, a->length);
    }
    return rc;
}

static int not_fitting(const fr_array *a, int64_t i, const fr_type *to, fr_err *err)
{
    char name[64];
    if (a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32) {
        return fr_fail(err, FR_EOVERFLOW, "row %lld: %.17g does not fit %s",
                       (long long)i + 1, fr_array_number(a, i), fr_type_name(to, name));
    }
    return fr_fail(err, FR_EOVERFLOW, "row %lld: %lld does not fit %s", (long long)i + 1,
                   (long long)fr_array_int(a, i), fr_type_name(to, name));
}

// Value i of a as an integer; false when it has none (a fraction, NaN, too large).
static bool whole(const fr_array *a, int64_t i, int64_t *v)
{
    if (a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32) {
        double x = fr_array_number(a, i);
        if (!(x >= -0x1p63 && x < 0x1p63) || x != floor(x)) {
            return false;
        }
        *v = (int64_t)x;
        return true;
    }
    *v = fr_array_int(a, i);
    return a->type.kind != FR_UINT64 || *v >= 0;
}

static int cast_by_builder(const fr_array *a, fr_type type, fr_array **out, fr_err *err)
{
    fr_builder *b = fr_builder_new(type, a->length);
    int rc = FR_OK;
    for (int64_t i = 0; i < a->length && rc == FR_OK; i++) {
        int64_t v;
        size_t n;
        if (!fr_array_has(a, i)) {
            rc = fr_builder_null(b, err);
        } else if (is_text(type.kind)) {
            const char *s = fr_array_text(a, i, &n);
            rc = fr_builder_text(b, s, n, err);
        } else if (type.kind == FR_FLOAT32 || type.kind == FR_FLOAT64) {
            rc = fr_builder_float(b, fr_array_number(a, i), err);
        } else if (!whole(a, i, &v) || (type.kind == FR_BOOL && v != 0 && v != 1)) {
            rc = not_fitting(a, i, &type, err);
        } else if (type.kind == FR_BOOL) {
            rc = fr_builder_bool(b, v != 0, err);
        } else {
            rc = fr_builder_int(b, v, err);
        }
    }
    if (rc == FR_OK) {
        rc = fr_builder_finish(b, out, err);
    }
    fr_builder_free(b);
    return rc;
}

static int cast_to_f64(const fr_array *a, fr_array **out, fr_err *err)
{
    fr_array *to;
    int rc = fr_array_new(fr_type_of(FR_FLOAT64), a->length, 0, &to, err);
    if (rc == FR_OK) {
        rc = fr_array_to_f64(a, (double *)(void *)to->values->data, err);
    }
    if (rc == FR_OK) {
        rc = copy_validity(a, to, err);
    }
    if (rc != FR_OK) {
        fr_array_unref(to);
        return rc;
    }
    *out = to;
    return FR_OK;
}

// DATE to TIMESTAMP, TIMESTAMP and DURATION to another unit (a finer one, or without
// loss).
static int cast_time(const fr_array *a, fr_type type, fr_array **out, fr_err *err)
{
    bool date = a->type.kind == FR_DATE;
    int64_t mul = date ? 86400 * per_second[type.unit] : per_second[type.unit], div = 1;
    if (!date) {
        int64_t from = per_second[a->type.unit];
        div = from > mul ? from / mul : 1;
        mul = from > mul ? 1 : mul / from;
    }
    fr_array *to;
    int rc = fr_array_new(type, a->length, 0, &to, err);
    rc = rc == FR_OK ? copy_validity(a, to, err) : rc;
    for (int64_t i = 0; i < a->length && rc == FR_OK; i++) {
        int64_t *v = (int64_t *)(void *)to->values->data + i;
        *v = 0;
        if (!fr_array_has(a, i)) {
            continue;
        }
        int64_t x = fr_array_int(a, i);
        if (x % div != 0 || __builtin_mul_overflow(x / div, mul, v)) {
            rc = not_fitting(a, i, &type, err);
        }
    }
    if (rc != FR_OK) {
        fr_array_unref(to);
        return rc;
    }
    *out = to;
    return FR_OK;
}

int fr_compute_cast(const fr_array *a, fr_type type, fr_array **out, fr_err *err)
{
    *out = NULL;
    fr_kind from = a->type.kind, to = type.kind;
    if (fr_type_eq(&a->type, &type)) {
        *out = fr_array_ref(a);
        return FR_OK;
    }
    bool numbers = (fr_kind_number(from) || from == FR_BOOL) &&
                   (fr_kind_number(to) || to == FR_BOOL);
    if (numbers) {
        return to == FR_FLOAT64 ? cast_to_f64(a, out, err)
                                : cast_by_builder(a, type, out, err);
    }
    if (is_text(from) && is_text(to) && !type.ordered) {
        return cast_by_builder(a, type, out, err);
    }
    bool zone = from == FR_TIMESTAMP && strcmp(a->type.zone, type.zone) != 0;
    if ((to == FR_TIMESTAMP && type.zone[0] == 0 && from == FR_DATE) ||
        (from == to && (to == FR_TIMESTAMP || to == FR_DURATION) && !zone)) {
        return cast_time(a, type, out, err);
    }
    return no_cast(a, &type, err);
}

typedef struct mapping {
    const fr_array *from;
    double (*fn)(double);
    double *to;
} mapping;

static void map_chunk(void *ctx, size_t c)
{
    mapping *m = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS,
            end = FR_MIN(at + FR_CHUNK_ROWS, m->from->length);
    for (int64_t i = at; i < end; i++) {
        m->to[i] = fr_array_has(m->from, i) ? m->fn(fr_array_number(m->from, i)) : 0;
    }
}

int fr_compute_map(const fr_array *a, double (*fn)(double), fr_array **out, fr_err *err)
{
    *out = NULL;
    if (!fr_kind_number(a->type.kind) && a->type.kind != FR_BOOL) {
        char name[64];
        return fr_fail(err, FR_ETYPE, "%s is not numeric", fr_type_name(&a->type, name));
    }
    fr_array *to;
    int rc = fr_array_new(fr_type_of(FR_FLOAT64), a->length, 0, &to, err);
    if (rc == FR_OK) {
        mapping m = {a, fn, (double *)(void *)to->values->data};
        rc = fr_compute_failed(err,
                               fr_pool_run(fr_compute_chunks(a->length), map_chunk, &m));
    }
    rc = rc == FR_OK ? copy_validity(a, to, err) : rc;
    if (rc != FR_OK) {
        fr_array_unref(to);
        return rc;
    }
    *out = to;
    return FR_OK;
}

// --- end to end ---

static bool common_type(const fr_array *const *parts, size_t n, fr_type *type)
{
    *type = parts[0]->type;
    for (size_t i = 1; i < n; i++) {
        const fr_type *t = &parts[i]->type;
        if (is_text(type->kind) && is_text(t->kind)) {
            bool same = fr_type_eq(type, t) && t->kind == FR_CATEGORY && !t->ordered;
            *type = same ? *type : fr_type_of(FR_UTF8);
        } else if (fr_kind_number(type->kind) && fr_kind_number(t->kind) &&
                   type->kind != t->kind) {
            bool floats = !fr_kind_integer(type->kind) || !fr_kind_integer(t->kind);
            *type = fr_type_of(floats ? FR_FLOAT64 : FR_INT64);
        } else if (!fr_type_eq(type, t)) {
            return false;
        }
    }
    return true;
}

static int concat_fixed(const fr_array *const *parts, size_t n, fr_array *to)
{
    size_t width = fr_kind_width(to->type.kind);
    int64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const fr_array *a = parts[i];
        if (to->type.kind == FR_BOOL) {
            fr_bits_copy(to->values->data, at, a->values->data, a->offset, a->length);
        } else if (a->length > 0) {
            memcpy(to->values->data + (size_t)at * width, fr_array_data(a),
                   (size_t)a->length * width);
        }
        at += a->length;
    }
    return FR_OK;
}

static void concat_text(const fr_array *const *parts, size_t n, fr_array *to)
{
    int64_t at = 0, bytes = 0;
    int64_t *p = (int64_t *)(void *)to->offsets->data;
    for (size_t i = 0; i < n; i++) {
        const int64_t *o = fr_array_offsets(parts[i]);
        int64_t length = parts[i]->length;
        if (length > 0) {
            memcpy(to->values->data + bytes, parts[i]->values->data + o[0],
                   (size_t)(o[length] - o[0]));
        }
        for (int64_t k = 0; k < length; k++) {
            p[at + k] = bytes + o[k] - o[0];
        }
        at += length;
        bytes += o[length] - o[0];
        p[at] = bytes;
    }
}

static int concat_validity(const fr_array *const *parts, size_t n, fr_array *to,
                           fr_err *err)
{
    int64_t at = 0, nulls = 0;
    for (size_t i = 0; i < n; i++) {
        nulls += parts[i]->nulls;
    }
    if (nulls == 0) {
        return FR_OK;
    }
    int rc = fr_array_add_validity(to, err);
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        if (parts[i]->nulls > 0) {
            fr_bits_copy(to->validity->data, at, parts[i]->validity->data,
                         parts[i]->offset, parts[i]->length);
        }
        at += parts[i]->length;
    }
    to->nulls = nulls;
    return rc;
}

static int concat_same(const fr_array *const *parts, size_t n, fr_array **out,
                       fr_err *err)
{
    int64_t length = 0, bytes = 0;
    for (size_t i = 0; i < n; i++) {
        length += parts[i]->length;
        if (parts[i]->type.kind == FR_UTF8) {
            const int64_t *o = fr_array_offsets(parts[i]);
            bytes += o[parts[i]->length] - o[0];
        }
    }
    fr_array *to;
    int rc = fr_array_new(parts[0]->type, length, (size_t)bytes, &to, err);
    if (rc != FR_OK) {
        return rc;
    }
    if (to->type.kind == FR_UTF8) {
        concat_text(parts, n, to);
    } else {
        rc = concat_fixed(parts, n, to);
    }
    rc = rc == FR_OK ? concat_validity(parts, n, to, err) : rc;
    if (rc != FR_OK) {
        fr_array_unref(to);
        return rc;
    }
    to->dict = parts[0]->dict != NULL ? fr_array_ref(parts[0]->dict) : NULL;
    *out = to;
    return FR_OK;
}

int fr_compute_copy(const fr_array *a, fr_array **out, fr_err *err)
{
    *out = NULL;
    return concat_same(&a, 1, out, err);
}

static bool same_dictionary(const fr_array *a, const fr_array *b)
{
    return a->dict == b->dict ||
           (a->dict != NULL && b->dict != NULL && a->dict->length == b->dict->length &&
            fr_hash_eq(fr_array_hash(a->dict), fr_array_hash(b->dict)));
}

// Categories with different dictionaries: numbered anew, by first appearance.
static int concat_categories(const fr_array *const *parts, size_t n, fr_array **out,
                             fr_err *err)
{
    fr_builder *b = fr_builder_new(parts[0]->type, 0);
    int rc = FR_OK;
    for (size_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < parts[i]->length && rc == FR_OK; k++) {
            size_t size;
            if (fr_array_has(parts[i], k)) {
                const char *s = fr_array_text(parts[i], k, &size);
                rc = fr_builder_text(b, s, size, err);
            } else {
                rc = fr_builder_null(b, err);
            }
        }
    }
    rc = rc == FR_OK ? fr_builder_finish(b, out, err) : rc;
    fr_builder_free(b);
    return rc;
}

int fr_compute_concat(const fr_array *const *parts, size_t n, const char *name,
                      fr_array **out, fr_err *err)
{
    *out = NULL;
    FR_ASSERT(n > 0);
    fr_type type;
    if (n == 1) {
        *out = fr_array_ref(parts[0]);
        return FR_OK;
    }
    if (!common_type(parts, n, &type)) {
        char a[64], b[64];
        for (size_t i = 1; i < n; i++) {
            if (!common_type(parts, i + 1, &type)) {
                return fr_fail(err, FR_ETYPE, "\"%s\" is %s in part %zu and %s before",
                               name, fr_type_name(&parts[i]->type, a), i + 1,
                               fr_type_name(&parts[0]->type, b));
            }
        }
    }
    fr_array **cast = fr_zalloc(n * sizeof *cast);
    int rc = FR_OK;
    bool one_dict = true;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        rc = fr_compute_cast(parts[i], type, &cast[i], err);
        one_dict = one_dict && rc == FR_OK && same_dictionary(cast[0], cast[i]);
    }
    if (rc == FR_OK && one_dict) {
        rc = concat_same((const fr_array *const *)cast, n, out, err);
    } else if (rc == FR_OK && !type.ordered) {
        rc = concat_categories((const fr_array *const *)cast, n, out, err);
    } else if (rc == FR_OK) {
        rc = fr_fail(err, FR_ETYPE, "\"%s\": ordered categories of different orders",
                     name);
    }
    for (size_t i = 0; i < n; i++) {
        fr_array_unref(cast[i]);
    }
    fr_free(cast);
    return rc;
}

static int check_same_columns(const fr_frame *const *parts, size_t n, fr_err *err)
{
    for (size_t k = 1; k < n; k++) {
        for (size_t i = 0; i < parts[0]->columns; i++) {
            if (fr_frame_find(parts[k], parts[0]->names[i]) < 0) {
                return fr_fail(err, FR_EINVAL, "frame %zu has no column \"%s\"", k + 1,
                               parts[0]->names[i]);
            }
        }
        for (size_t i = 0; i < parts[k]->columns; i++) {
            if (fr_frame_find(parts[0], parts[k]->names[i]) < 0) {
                return fr_fail(err, FR_EINVAL,
                               "frame %zu has a column \"%s\" that frame 1 lacks", k + 1,
                               parts[k]->names[i]);
            }
        }
    }
    return FR_OK;
}

int fr_compute_concat_frames(const fr_frame *const *parts, size_t n, fr_frame **out,
                             fr_err *err)
{
    *out = NULL;
    if (n == 0) {
        return fr_frame_empty(0, out, err);
    }
    const fr_frame *first = parts[0];
    int rc = check_same_columns(parts, n, err);
    if (rc == FR_OK && first->columns == 0) {
        int64_t rows = 0;
        for (size_t k = 0; k < n; k++) {
            rows += parts[k]->rows;
        }
        return fr_frame_empty(rows, out, err);
    }
    fr_array **cols = fr_zalloc(FR_MAX(first->columns, 1) * sizeof *cols);
    const fr_array **column = fr_zalloc(n * sizeof(fr_array *));
    for (size_t i = 0; i < first->columns && rc == FR_OK; i++) {
        for (size_t k = 0; k < n; k++) {
            column[k] = parts[k]->cols[fr_frame_find(parts[k], first->names[i])];
        }
        rc = fr_compute_concat(column, n, first->names[i], &cols[i], err);
    }
    if (rc == FR_OK) {
        rc = fr_frame_new(first->columns, (const char *const *)first->names, cols, out,
                          err);
    }
    for (size_t i = 0; i < first->columns; i++) {
        fr_array_unref(cols[i]);
    }
    fr_free(cols);
    fr_free((void *)column);
    return rc;
}

// --- constants ---

static int put_scalar(fr_builder *b, const fr_type *type, const fr_scalar *v, fr_err *err)
{
    bool floats = v->type.kind == FR_FLOAT64 || v->type.kind == FR_FLOAT32;
    if (v->null) {
        return fr_builder_null(b, err);
    }
    if (is_text(v->type.kind)) {
        return fr_builder_text(b, v->text, v->n, err);
    }
    if (type->kind == FR_BOOL && v->type.kind == FR_BOOL) {
        return fr_builder_bool(b, v->integer != 0, err);
    }
    if (type->kind == FR_FLOAT64 || type->kind == FR_FLOAT32) {
        return fr_builder_float(b, floats ? v->number : (double)v->integer, err);
    }
    int64_t i = v->integer;
    if (floats) {
        if (!(v->number >= -0x1p63 && v->number < 0x1p63) ||
            v->number != floor(v->number)) {
            char name[64];
            return fr_fail(err, FR_ETYPE, "%.17g does not fit %s", v->number,
                           fr_type_name(type, name));
        }
        i = (int64_t)v->number;
    }
    return fr_builder_int(b, i, err);
}

// One constant as an array of length 1 of `type`.
static int one(const fr_type *type, const fr_scalar *v, fr_array **out, fr_err *err)
{
    bool text = is_text(v->type.kind), number = fr_kind_number(v->type.kind);
    bool fits = v->null || (text && is_text(type->kind)) ||
                (number && fr_kind_number(type->kind)) || fr_type_eq(&v->type, type);
    if (!fits) {
        char a[64], b[64];
        return fr_fail(err, FR_ETYPE, "a value of %s in a column of %s",
                       fr_type_name(&v->type, a), fr_type_name(type, b));
    }
    fr_builder *b = fr_builder_new(*type, 1);
    int rc = put_scalar(b, type, v, err);
    rc = rc == FR_OK ? fr_builder_finish(b, out, err) : rc;
    fr_builder_free(b);
    return rc;
}

int fr_compute_repeat(const fr_scalar *v, int64_t n, fr_array **out, fr_err *err)
{
    *out = NULL;
    fr_array *single;
    int rc = one(&v->type, v, &single, err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_block *zeros;
    rc = fr_block_new_zero((size_t)n * sizeof(uint32_t), &zeros, err);
    if (rc == FR_OK) {
        rc = fr_compute_take(single, (const uint32_t *)(const void *)zeros->data, n,
                             false, out, err);
        fr_block_unref(zeros);
    }
    fr_array_unref(single);
    return rc;
}

int fr_compute_fill(const fr_array *a, const fr_scalar *v, fr_array **out, fr_err *err)
{
    *out = NULL;
    if (a->nulls == 0 || v->null) {
        *out = fr_array_ref(a);
        return FR_OK;
    }
    fr_array *value = NULL, *both = NULL;
    fr_block *index = NULL;
    int rc = fr_compute_check_rows(a->length + 1, err);
    if (rc == FR_OK && a->type.ordered) {
        rc = fr_fail(err, FR_EUNSUPPORTED,
                     "fill of an ordered category: fill before ordering");
    }
    rc = rc == FR_OK ? one(&a->type, v, &value, err) : rc;
    if (rc == FR_OK) {
        const fr_array *parts[] = {a, value};
        rc = fr_compute_concat(parts, 2, "fill", &both, err);
    }
    rc = rc == FR_OK ? fr_block_new((size_t)a->length * sizeof(uint32_t), &index, err)
                     : rc;
    if (rc == FR_OK) {
        uint32_t *row = (uint32_t *)(void *)index->data;
        for (int64_t i = 0; i < a->length; i++) {
            row[i] = (uint32_t)(fr_array_has(a, i) ? i : a->length);
        }
        rc = fr_compute_take(both, row, a->length, false, out, err);
    }
    fr_array_unref(value);
    fr_array_unref(both);
    fr_block_unref(index);
    return rc;
}
