#include "core/data/spread.h"

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/compute.h"
#include "core/data/factor.h"

#include <string.h>

void fr_spread_fini(fr_spread *s)
{
    for (size_t i = 0; i < s->n; i++) {
        fr_array_unref(s->cols[i]);
    }
    fr_free(s->cols);
    fr_array_unref(s->keys);
    fr_block_unref(s->first);
    *s = (fr_spread){0};
}

static int sorted_factor(fr_factor *f, const fr_array *const *keys, size_t n, fr_err *err)
{
    int rc = fr_factor_init(f, keys, n, true, err);
    return rc == FR_OK ? fr_factor_sort(f, keys, n, err) : rc;
}

// No index: all rows are one line.
static int one_line(fr_factor *f, int64_t rows, fr_err *err)
{
    f->rows = rows;
    f->groups = rows > 0;
    int rc = fr_block_new_zero((size_t)rows * sizeof(uint32_t), &f->ids, err);
    return rc == FR_OK ? fr_block_new_zero(sizeof(uint32_t), &f->first, err) : rc;
}

typedef struct spreading {
    const fr_array *values;
    const uint32_t *cells; // lines of each key, FR_TAKE_NULL where there is no row
    fr_spread *s;
} spreading;

static int take_column(void *ctx, size_t k)
{
    spreading *x = ctx;
    const uint32_t *rows = x->cells + k * (size_t)x->s->lines;
    return fr_compute_take(x->values, rows, x->s->lines, true, &x->s->cols[k], NULL);
}

static int place_rows(const fr_factor *lines, const fr_factor *keys, uint32_t *cells, fr_err *err)
{
    memset(cells, 0xff, (size_t)lines->groups * (size_t)keys->groups * sizeof *cells);
    const uint32_t *line = fr_factor_ids(lines), *key = fr_factor_ids(keys);
    for (int64_t i = 0; i < lines->rows; i++) {
        uint32_t *cell = &cells[(size_t)key[i] * (size_t)lines->groups + line[i]];
        if (*cell != FR_TAKE_NULL) {
            return fr_fail(err, FR_EINVAL,
                           "rows %lld and %lld fall into one cell: say how they become one "
                           "value, agg = \"sum\" or \"mean\"",
                           (long long)*cell + 1, (long long)i + 1);
        }
        *cell = (uint32_t)i;
    }
    return FR_OK;
}

int fr_spread_init(fr_spread *s, const fr_array *const *index, size_t n, const fr_array *key,
                   const fr_array *values, fr_err *err)
{
    *s = (fr_spread){0};
    fr_factor lines = {0}, keys = {0};
    fr_block *cells = NULL;
    int rc = n > 0 ? sorted_factor(&lines, index, n, err) : one_line(&lines, key->length, err);
    rc = rc == FR_OK ? sorted_factor(&keys, &key, 1, err) : rc;
    if (rc == FR_OK && keys.groups > FR_SPREAD_MAX) {
        rc = fr_fail(err, FR_ELIMIT, "%lld different keys would be columns; at most %d",
                     (long long)keys.groups, FR_SPREAD_MAX);
    }
    size_t size = (size_t)lines.groups * (size_t)keys.groups * sizeof(uint32_t);
    rc = rc == FR_OK ? fr_block_new(size, &cells, err) : rc;
    if (rc == FR_OK) {
        rc = place_rows(&lines, &keys, (uint32_t *)(void *)cells->data, err);
    }
    if (rc == FR_OK) {
        rc = fr_compute_take(key, fr_factor_first(&keys), keys.groups, false, &s->keys, err);
    }
    if (rc == FR_OK) {
        s->lines = lines.groups;
        s->first = fr_block_ref(lines.first);
        s->n = (size_t)keys.groups;
        s->cols = fr_zalloc((s->n + 1) * sizeof *s->cols);
        spreading x = {values, (const uint32_t *)(const void *)cells->data, s};
        rc = fr_compute_failed(err, fr_pool_try(s->n, take_column, &x));
    }
    fr_block_unref(cells);
    fr_factor_fini(&lines);
    fr_factor_fini(&keys);
    if (rc != FR_OK) {
        fr_spread_fini(s);
    }
    return rc;
}
