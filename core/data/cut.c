#include "core/data/cut.h"

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/compute.h"

#include <math.h>
#include <string.h>

typedef struct cutting {
    const fr_cut *spec;
    const fr_array *in;
    fr_array *out;
} cutting;

// The interval of x, or -1.
static int32_t interval_of(const fr_cut *s, double x)
{
    size_t lo = 0, hi = s->n + 1; // edges before lo are below x, or at x when `left`
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        bool below = s->left ? s->edges[mid] <= x : s->edges[mid] < x;
        lo = below ? mid + 1 : lo;
        hi = below ? hi : mid;
    }
    if (lo == 0) {
        return s->whole && !s->left && x == s->edges[0] ? 0 : -1;
    }
    if (lo == s->n + 1) {
        return s->whole && s->left && x == s->edges[s->n] ? (int32_t)s->n - 1 : -1;
    }
    return (int32_t)lo - 1;
}

static void cut_chunk(void *ctx, size_t c)
{
    const cutting *k = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS, end = FR_MIN(at + FR_CHUNK_ROWS, k->in->length);
    const double *x = fr_array_f64(k->in);
    int32_t *code = (int32_t *)(void *)k->out->values->data;
    for (int64_t i = at; i < end; i++) {
        bool there = fr_array_has(k->in, i) && !isnan(x[i]);
        int32_t v = there ? interval_of(k->spec, x[i]) : -1;
        code[i] = v < 0 ? 0 : v;
        if (v < 0) { // chunks start at whole bytes
            fr_bits_clear(k->out->validity->data, i);
        }
    }
}

static int dictionary(const fr_cut *spec, fr_array **out, fr_err *err)
{
    fr_builder *b = fr_builder_new(fr_type_of(FR_UTF8), (int64_t)spec->n);
    int rc = FR_OK;
    for (size_t i = 0; i < spec->n && rc == FR_OK; i++) {
        for (size_t j = 0; j < i && rc == FR_OK; j++) {
            if (strcmp(spec->labels[i], spec->labels[j]) == 0) {
                rc = fr_fail(err, FR_EINVAL, "label \"%.60s\" is there twice", spec->labels[i]);
            }
        }
        rc = rc == FR_OK ? fr_builder_text(b, spec->labels[i], strlen(spec->labels[i]), err) : rc;
    }
    rc = rc == FR_OK ? fr_builder_finish(b, out, err) : rc;
    fr_builder_free(b);
    return rc;
}

int fr_cut_values(const fr_array *a, const fr_cut *spec, fr_array **out, fr_err *err)
{
    *out = NULL;
    for (size_t i = 0; i < spec->n; i++) {
        if (!(spec->edges[i] < spec->edges[i + 1])) {
            return fr_fail(err, FR_EINVAL, "edges must rise: edge %zu is %.15g, edge %zu %.15g",
                           i + 1, spec->edges[i], i + 2, spec->edges[i + 1]);
        }
    }
    char name[64];
    if (!fr_kind_number(a->type.kind)) {
        return fr_fail(err, FR_ETYPE, "expected numbers, got %s", fr_type_name(&a->type, name));
    }
    cutting k = {.spec = spec};
    fr_array *in = NULL, *dict = NULL;
    int rc = dictionary(spec, &dict, err);
    rc = rc == FR_OK ? fr_compute_cast(a, fr_type_of(FR_FLOAT64), &in, err) : rc;
    fr_type type = {.kind = FR_CATEGORY, .ordered = true};
    rc = rc == FR_OK ? fr_array_new(type, a->length, 0, &k.out, err) : rc;
    rc = rc == FR_OK ? fr_array_add_validity(k.out, err) : rc;
    if (rc == FR_OK) {
        k.in = in;
        k.out->dict = dict;
        dict = NULL;
        rc = fr_compute_failed(err, fr_pool_run(fr_compute_chunks(a->length), cut_chunk, &k));
    }
    fr_array_unref(in);
    fr_array_unref(dict);
    if (rc != FR_OK) {
        fr_array_unref(k.out);
        return rc;
    }
    fr_array_count_nulls(k.out);
    *out = k.out;
    return FR_OK;
}
