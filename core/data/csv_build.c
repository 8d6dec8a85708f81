#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/compute.h"
#include "core/data/csv_plan.h"

#include <string.h>

static csv_part *part_of(const csv_plan *p, size_t region, size_t column)
{
    return &p->parts[region * p->n_columns + column];
}

static int build_validity(const csv_plan *p, size_t column, fr_array *a, fr_err *err)
{
    int64_t nulls = 0;
    for (size_t i = 0; i < p->n_regions; i++) {
        nulls += part_of(p, i, column)->nulls;
    }
    a->nulls = nulls;
    if (nulls == 0) {
        return FR_OK;
    }
    int rc = fr_block_new_zero(fr_bits_bytes(a->length), &a->validity, err);
    for (size_t i = 0; i < p->n_regions && rc == FR_OK; i++) {
        const csv_region *r = &p->regions[i];
        const csv_part *part = part_of(p, i, column);
        int64_t at = (int64_t)r->first_row, n = (int64_t)r->rows;
        if (part->valid == NULL) {
            fr_bits_fill(a->validity->data, at, n, true);
        } else {
            fr_bits_copy(a->validity->data, at, (const uint8_t *)part->valid, 0, n);
        }
    }
    return rc;
}

static int build_bools(const csv_plan *p, size_t column, fr_array *a, fr_err *err)
{
    int rc = fr_block_new_zero(fr_bits_bytes(a->length), &a->values, err);
    for (size_t i = 0; i < p->n_regions && rc == FR_OK; i++) {
        const csv_region *r = &p->regions[i];
        const uint8_t *bytes = part_of(p, i, column)->bytes;
        for (size_t k = 0; k < r->rows; k++) {
            if (bytes[k] != 0) {
                fr_bits_set(a->values->data, (int64_t)(r->first_row + k));
            }
        }
    }
    return rc;
}

// Text: bytes of the regions one after the other, offsets moved by what comes before.
typedef struct joining {
    const csv_plan *p;
    size_t column;
    fr_array *a;
    size_t *before;              // bytes before each region
} joining;

static void join_region(void *ctx, size_t i)
{
    const joining *j = ctx;
    const csv_region *r = &j->p->regions[i];
    const csv_part *part = part_of(j->p, i, j->column);
    if (part->n_bytes > 0) {
        memcpy(j->a->values->data + j->before[i], part->bytes, part->n_bytes);
    }
    int64_t *offsets = (int64_t *)(void *)j->a->offsets->data + 1 + r->first_row;
    for (size_t k = 0; k < r->rows; k++) {
        offsets[k] += (int64_t)j->before[i];
    }
}

static int build_text(const csv_plan *p, size_t column, fr_array *a, fr_err *err)
{
    joining j = {p, column, a, fr_alloc((p->n_regions + 1) * sizeof(size_t))};
    size_t total = 0;
    for (size_t i = 0; i < p->n_regions; i++) {
        j.before[i] = total;
        total += part_of(p, i, column)->n_bytes;
    }
    a->offsets = p->columns[column].values;
    p->columns[column].values = NULL;
    ((int64_t *)(void *)a->offsets->data)[0] = 0;
    int rc = fr_block_new(total, &a->values, err);
    if (rc == FR_OK) {
        rc = fr_pool_run(p->n_regions, join_region, &j);
        if (rc != FR_OK) {
            rc = fr_fail(err, rc, "reading stopped");
        }
    }
    fr_free(j.before);
    return rc;
}

static int build_nulls(fr_array *a, fr_err *err)
{
    size_t n = (size_t)a->length;
    int rc = fr_block_new_zero((n + 1) * sizeof(int64_t), &a->offsets, err);
    if (rc == FR_OK) {
        rc = fr_block_new(0, &a->values, err);
    }
    return rc;
}

int csv_build(csv_plan *p, size_t column, fr_array **out, fr_err *err)
{
    csv_column *c = &p->columns[column];
    fr_array *a = fr_zalloc(sizeof *a);
    fr_object_init(&a->object, &fr_array_ops);
    a->length = (int64_t)p->rows;
    a->type = c->type.kind == FR_CATEGORY ? fr_type_of(FR_UTF8) : c->type;
    *out = NULL;
    int rc = build_validity(p, column, a, err);
    if (rc != FR_OK) {
        goto done;
    }
    if (c->kind == CSV_EMPTY) {
        rc = build_nulls(a, err);
    } else if (c->kind == CSV_BOOL) {
        rc = build_bools(p, column, a, err);
    } else if (c->kind == CSV_TEXT) {
        rc = build_text(p, column, a, err);
    } else {
        a->values = c->values;
        c->values = NULL;
    }
    if (rc == FR_OK && c->type.kind == FR_CATEGORY) {
        fr_array *text = a;
        rc = fr_compute_cast(text, c->type, &a, err);
        fr_array_unref(text);
    }
done:
    if (rc != FR_OK) {
        fr_array_unref(a);
        return rc;
    }
    *out = a;
    return FR_OK;
}
