#include "core/data/frame.h"

#include "core/base/mem.h"
#include "core/base/nearest.h"
#include "core/data/arrow.h"

#include <string.h>

enum { INDEX_FROM = 12 };

static void frame_destroy(fr_object *o)
{
    fr_frame *f = (fr_frame *)o;
    for (size_t i = 0; i < f->columns; i++) {
        fr_free(f->names[i]);
        fr_array_unref(f->cols[i]);
    }
    fr_free(f->names);
    fr_free(f->cols);
    fr_free(f->index);
    fr_free(f);
}

static fr_frame *frame_alloc(int64_t rows, size_t columns)
{
    fr_frame *f = fr_zalloc(sizeof *f);
    fr_object_init(&f->object, &fr_frame_ops);
    f->rows = rows;
    f->names = fr_zalloc(FR_MAX(columns, 1) * sizeof *f->names);
    f->cols = fr_zalloc(FR_MAX(columns, 1) * sizeof *f->cols);
    return f;
}

static size_t slot_of(const fr_frame *f, const char *name)
{
    size_t at = (size_t)fr_hash_str(name).lo & (f->index_size - 1);
    while (f->index[at] != 0 && strcmp(f->names[f->index[at] - 1], name) != 0) {
        at = (at + 1) & (f->index_size - 1);
    }
    return at;
}

ptrdiff_t fr_frame_find(const fr_frame *f, const char *name)
{
    if (f->index_size > 0) {
        return (ptrdiff_t)f->index[slot_of(f, name)] - 1;
    }
    for (size_t i = 0; i < f->columns; i++) {
        if (strcmp(f->names[i], name) == 0) {
            return (ptrdiff_t)i;
        }
    }
    return -1;
}

static int add_column(fr_frame *f, const char *name, const fr_array *col, fr_err *err)
{
    ptrdiff_t before = fr_frame_find(f, name);
    if (before >= 0) {
        return fr_fail(err, FR_EINVAL, "columns %td and %zu are both named \"%s\"",
                       before + 1, f->columns + 1, name);
    }
    if (col->length != f->rows) {
        return fr_fail(
            err, FR_EINVAL,
            "column \"%s\" has %lld rows, but \"%s\" has %lld: columns of a frame "
            "have one length",
            name, (long long)col->length, f->columns > 0 ? f->names[0] : "the frame",
            (long long)f->rows);
    }
    if (f->index_size > 0) {
        f->index[slot_of(f, name)] = (uint32_t)f->columns + 1;
    }
    f->names[f->columns] = fr_strdup(name);
    f->cols[f->columns] = fr_array_ref(col);
    f->columns++;
    return FR_OK;
}

int fr_frame_new(size_t columns, const char *const *names, fr_array *const *cols,
                 fr_frame **out, fr_err *err)
{
    *out = NULL;
    if (columns >= UINT32_MAX / 4) {
        return fr_fail(err, FR_ELIMIT, "a frame of %zu columns", columns);
    }
    fr_frame *f = frame_alloc(columns > 0 ? cols[0]->length : 0, columns);
    if (columns >= INDEX_FROM) {
        f->index_size = 16;
        while (f->index_size < columns * 2) {
            f->index_size *= 2;
        }
        f->index = fr_zalloc(f->index_size * sizeof *f->index);
    }
    for (size_t i = 0; i < columns; i++) {
        int rc = add_column(f, names[i], cols[i], err);
        if (rc != FR_OK) {
            fr_frame_unref(f);
            return rc;
        }
    }
    *out = f;
    return FR_OK;
}

int fr_frame_empty(int64_t rows, fr_frame **out, fr_err *err)
{
    *out = NULL;
    if (rows < 0) {
        return fr_fail(err, FR_EINVAL, "a frame of %lld rows", (long long)rows);
    }
    *out = frame_alloc(rows, 0);
    return FR_OK;
}

fr_frame *fr_frame_ref(const fr_frame *f)
{
    return (fr_frame *)fr_object_ref(&f->object);
}

void fr_frame_unref(const fr_frame *f)
{
    if (f != NULL) {
        fr_object_unref(&f->object);
    }
}

static int no_column(const fr_frame *f, const char *name, fr_err *err)
{
    const char *near = fr_nearest(name, (const char *const *)f->names, f->columns);
    if (near != NULL) {
        return fr_fail(err, FR_ENOTFOUND, "no column \"%s\": did you mean \"%s\"?", name,
                       near);
    }
    char list[160];
    size_t n = 0;
    for (size_t i = 0; i < f->columns; i++) {
        size_t more = strlen(f->names[i]) + 2;
        if (n + more + 5 > sizeof list) {
            memcpy(list + n, ", ...", 5);
            n += 5;
            break;
        }
        memcpy(list + n, i > 0 ? ", " : "", i > 0 ? 2 : 0);
        n += i > 0 ? 2 : 0;
        memcpy(list + n, f->names[i], more - 2);
        n += more - 2;
    }
    list[n] = 0;
    return fr_fail(err, FR_ENOTFOUND, "no column \"%s\"; there are: %s", name,
                   n > 0 ? list : "none");
}

int fr_frame_column(const fr_frame *f, const char *name, const fr_array **out,
                    fr_err *err)
{
    *out = NULL;
    ptrdiff_t i = fr_frame_find(f, name);
    if (i < 0) {
        return no_column(f, name, err);
    }
    *out = f->cols[i];
    return FR_OK;
}

int fr_frame_slice(const fr_frame *f, int64_t start, int64_t length, fr_frame **out,
                   fr_err *err)
{
    *out = NULL;
    if (start < 0 || length < 0 || start > f->rows - length) {
        return fr_fail(err, FR_EINVAL, "rows %lld to %lld of a frame of %lld",
                       (long long)start + 1, (long long)(start + length),
                       (long long)f->rows);
    }
    if (f->columns == 0) {
        return fr_frame_empty(length, out, err);
    }
    fr_array **cols = fr_alloc(f->columns * sizeof *cols);
    for (size_t i = 0; i < f->columns; i++) {
        cols[i] = fr_array_slice(f->cols[i], start, length);
    }
    int rc = fr_frame_new(f->columns, (const char *const *)f->names, cols, out, err);
    for (size_t i = 0; i < f->columns; i++) {
        fr_array_unref(cols[i]);
    }
    fr_free(cols);
    return rc;
}

fr_hash fr_frame_hash(const fr_frame *f)
{
    fr_frame *mine = (fr_frame *)(uintptr_t)f; // the cache is not part of the value
    uint64_t lo = atomic_load_explicit(&mine->hash_lo, memory_order_acquire);
    if (lo != 0) {
        return (fr_hash){lo, atomic_load_explicit(&mine->hash_hi, memory_order_relaxed)};
    }
    fr_hash h = fr_hash_mix(fr_hash_str("frame"), (uint64_t)f->rows);
    for (size_t i = 0; i < f->columns; i++) {
        h = fr_hash_pair(h, fr_hash_str(f->names[i]));
        h = fr_hash_pair(h, fr_array_hash(f->cols[i]));
    }
    if (h.lo == 0) {
        h.lo = 1;
    }
    atomic_store_explicit(&mine->hash_hi, h.hi, memory_order_relaxed);
    atomic_store_explicit(&mine->hash_lo, h.lo, memory_order_release);
    return h;
}

static fr_object *frame_compact(const fr_object *o)
{
    const fr_frame *f = (const fr_frame *)o;
    fr_array **cols = fr_alloc((f->columns + 1) * sizeof *cols);
    bool changed = false;
    for (size_t i = 0; i < f->columns; i++) {
        cols[i] = fr_array_compact(f->cols[i]);
        changed = changed || cols[i] != f->cols[i];
    }
    fr_frame *copy = NULL;
    if (changed && fr_frame_new(f->columns, (const char *const *)f->names, cols, &copy,
                                NULL) == FR_OK) {
        atomic_store(&copy->hash_hi, atomic_load(&f->hash_hi));
        atomic_store(&copy->hash_lo, atomic_load(&f->hash_lo));
    }
    for (size_t i = 0; i < f->columns; i++) {
        fr_array_unref(cols[i]);
    }
    fr_free(cols);
    return copy != NULL ? &copy->object : fr_object_ref(o);
}

static fr_hash frame_hash(const fr_object *o)
{
    return fr_frame_hash((const fr_frame *)o);
}

static size_t frame_size(const fr_object *o)
{
    const fr_frame *f = (const fr_frame *)o;
    size_t n = sizeof *f;
    for (size_t i = 0; i < f->columns; i++) {
        n += fr_array_bytes(f->cols[i]) + strlen(f->names[i]) + 1;
    }
    return n;
}

static int frame_save(const fr_object *o, const char *path, fr_err *err)
{
    return fr_arrow_save((const fr_frame *)o, path, err);
}

static int frame_load(const char *path, fr_object **out, fr_err *err)
{
    fr_frame *f;
    int rc = fr_arrow_load(path, &f, err);
    *out = rc == FR_OK ? &f->object : NULL;
    return rc;
}

const fr_object_ops fr_frame_ops = {
    .name = "frame",
    .kind = FR_KIND_FRAME,
    .destroy = frame_destroy,
    .hash = frame_hash,
    .size = frame_size,
    .save = frame_save,
    .load = frame_load,
    .compact = frame_compact,
};
