// Ranks: rows sorted by part and value; equal values share a place.

#include "core/base/mem.h"
#include "core/data/window_int.h"

#include <string.h>

static bool same(const window_job *j, uint32_t a, uint32_t b)
{
    return fr_compute_compare(j->in, a, j->in, b) == 0;
}

static void put(window_job *j, uint32_t row, int64_t first, int64_t end, int64_t distinct)
{
    j->valid[row] = 1;
    switch ((int)j->call->op) {
    case FR_WINDOW_RANK_MIN:
        j->integer[row] = first + 1;
        break;
    case FR_WINDOW_RANK_MAX:
        j->integer[row] = end;
        break;
    case FR_WINDOW_RANK_DENSE:
        j->integer[row] = distinct;
        break;
    default:
        j->number[row] = (double)(first + 1 + end) / 2;
        break;
    }
}

// order: the part's rows in order of their values, nulls last.
static void rank_part(window_job *j, const uint32_t *order, int64_t n)
{
    int64_t distinct = 0;
    for (int64_t i = 0, end; i < n && window_has(j, order[i]); i = end) {
        for (end = i + 1; end < n && window_has(j, order[end]) && same(j, order[i], order[end]);
             end++) {
        }
        distinct++;
        for (int64_t k = i; k < end; k++) {
            put(j, order[k], i, end, distinct);
        }
    }
}

int window_rank(window_job *j, fr_err *err)
{
    fr_array *parts = NULL;
    fr_block *order = NULL;
    int rc = fr_array_new(fr_type_of(FR_UINT32), j->rows, 0, &parts, err);
    if (rc == FR_OK) {
        uint32_t *id = (uint32_t *)(void *)parts->values->data;
        for (size_t p = 0; p < j->parts; p++) {
            for (uint32_t i = j->start[p]; i < j->start[p + 1]; i++) {
                id[i] = (uint32_t)p;
            }
        }
        fr_sort_key keys[2] = {{.array = parts},
                               {.array = j->in, .desc = j->call->desc}};
        rc = fr_sort_order(keys, 2, &order, err);
    }
    if (rc == FR_OK) {
        const uint32_t *o = (const uint32_t *)(const void *)order->data;
        for (size_t p = 0; p < j->parts; p++) {
            rank_part(j, o + j->start[p], (int64_t)j->start[p + 1] - j->start[p]);
        }
    }
    fr_block_unref(order);
    fr_array_unref(parts);
    return rc;
}
