#include "core/base/mem.h"
#include "core/data/compute.h"
#include "core/data/parquet_int.h"

#include <string.h>

void pq_categories_init(pq_categories *k)
{
    fr_map_init(&k->codes);
    k->texts = fr_builder_new(fr_type_of(FR_UTF8), 0);
    k->n = 0;
}

void pq_categories_fini(pq_categories *k)
{
    if (k->texts != NULL) {
        fr_map_fini(&k->codes);
        fr_builder_free(k->texts);
    }
    *k = (pq_categories){0};
}

int pq_categories_code(pq_categories *k, const void *s, size_t n, int32_t *out, fr_err *err)
{
    bool fresh;
    fr_hash key = fr_hash_bytes(s, n);
    uint64_t *code = fr_map_put(&k->codes, key, &fresh);
    *out = (int32_t)*code;
    if (!fresh) {
        return FR_OK;
    }
    *code = (uint64_t)k->n;
    *out = k->n;
    int rc = k->n < INT32_MAX ? fr_builder_text(k->texts, s, n, err)
                              : fr_fail(err, FR_ELIMIT, "more than 2^31 categories");
    k->n += rc == FR_OK;
    return rc;
}

// Codes of `all` instead of the part's own.
static int recode(pq_categories *all, pq_part *part, fr_err *err)
{
    fr_array *texts;
    int rc = fr_builder_finish(part->categories.texts, &texts, err);
    if (rc != FR_OK) {
        return rc;
    }
    int32_t *code = fr_alloc(((size_t)texts->length + 1) * sizeof *code);
    bool same = true;
    for (int64_t i = 0; i < texts->length && rc == FR_OK; i++) {
        size_t n;
        const char *s = fr_array_text(texts, i, &n);
        rc = pq_categories_code(all, s, n, &code[i], err);
        same = same && code[i] == i;
    }
    int32_t *x = (int32_t *)(void *)part->values;
    for (int64_t i = 0; i < part->rows && rc == FR_OK && !same && texts->length > 0; i++) {
        x[i] = code[x[i]]; // null rows have code 0
    }
    fr_free(code);
    fr_array_unref(texts);
    return rc;
}

int pq_categories_join(pq_part *parts, size_t n, size_t stride, fr_array **dict, fr_err *err)
{
    pq_categories all;
    int rc = FR_OK;
    pq_categories_init(&all);
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        if (parts[i * stride].categories.texts != NULL) {
            rc = recode(&all, &parts[i * stride], err);
        }
    }
    if (rc == FR_OK) {
        rc = fr_builder_finish(all.texts, dict, err);
    }
    pq_categories_fini(&all);
    return rc;
}
