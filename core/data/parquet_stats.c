#include "core/data/bits.h"
#include "core/data/parquet_int.h"

#include <string.h>

typedef struct range {                // of whole numbers, of unsigned ones, of floats
    int64_t least, most;
    uint64_t uleast, umost;
    double fleast, fmost;
    bool any;
} range;

static void look_at_floats(const fr_array *a, int64_t at, int64_t n, range *r)
{
    for (int64_t i = at; i < at + n; i++) {
        double x = fr_array_has(a, i) ? fr_array_number(a, i) : 0;
        if (!fr_array_has(a, i) || x != x) { // NaN has no place in bounds
            continue;
        }
        r->fleast = !r->any || x < r->fleast ? x : r->fleast;
        r->fmost = !r->any || x > r->fmost ? x : r->fmost;
        r->any = true;
    }
    // Either zero may be there: the format asks for the outer one.
    r->fleast = r->fleast == 0 ? -0.0 : r->fleast;
    r->fmost = r->fmost == 0 ? 0.0 : r->fmost;
}

#define LOOK(type)                                                                       \
    do {                                                                                 \
        const type *x = (const type *)fr_array_data(a) + at;                             \
        for (int64_t i = 0; i < n; i++) {                                                \
            int64_t v = (int64_t)x[i];                                                   \
            bool has = a->nulls == 0 || fr_array_has(a, at + i);                         \
            r->least = has && v < r->least ? v : r->least;                               \
            r->most = has && v > r->most ? v : r->most;                                  \
            r->any |= has;                                                               \
        }                                                                                \
    } while (0)

static void look_at_wholes(const fr_array *a, int64_t at, int64_t n, range *r)
{
    r->least = INT64_MAX;
    r->most = INT64_MIN;
    switch ((int)a->type.kind) {
    case FR_INT8:
        LOOK(int8_t);
        break;
    case FR_INT16:
        LOOK(int16_t);
        break;
    case FR_INT32:
    case FR_DATE:
        LOOK(int32_t);
        break;
    case FR_UINT8:
        LOOK(uint8_t);
        break;
    case FR_UINT16:
        LOOK(uint16_t);
        break;
    case FR_UINT32:
        LOOK(uint32_t);
        break;
    default:
        LOOK(int64_t);
        break;
    }
}

static void look_at_unsigned(const fr_array *a, int64_t at, int64_t n, range *r)
{
    for (int64_t i = at; i < at + n; i++) {
        if (fr_array_has(a, i)) {
            uint64_t v = (uint64_t)fr_array_int(a, i);
            r->uleast = !r->any || v < r->uleast ? v : r->uleast;
            r->umost = !r->any || v > r->umost ? v : r->umost;
            r->any = true;
        }
    }
    r->least = (int64_t)r->uleast;
    r->most = (int64_t)r->umost;
}

static int compare(const char *s, size_t n, const char *t, size_t m)
{
    int c = memcmp(s, t, FR_MIN(n, m));
    return c != 0 ? c : (n > m) - (n < m);
}

static void bounds_of_texts(const fr_array *a, int64_t at, int64_t n, pq_bounds *out)
{
    const char *least = NULL, *most = NULL;
    size_t n_least = 0, n_most = 0, size;
    for (int64_t i = at; i < at + n; i++) {
        if (!fr_array_has(a, i)) {
            continue;
        }
        const char *s = fr_array_text(a, i, &size);
        if (least == NULL || compare(s, size, least, n_least) < 0) {
            least = s;
            n_least = size;
        }
        if (most == NULL || compare(s, size, most, n_most) > 0) {
            most = s;
            n_most = size;
        }
    }
    out->known = least != NULL && n_least <= PQ_BOUND_MAX && n_most <= PQ_BOUND_MAX;
    if (out->known) {
        memcpy(out->least, least, n_least);
        memcpy(out->most, most, n_most);
        out->n_least = n_least;
        out->n_most = n_most;
    }
}

static void put_float(double x, size_t width, uint8_t *to)
{
    float small = (float)x;
    memcpy(to, width == 4 ? (const void *)&small : (const void *)&x, width);
}

void pq_bounds_of(const fr_array *a, int64_t at, int64_t n, size_t width, pq_bounds *out)
{
    range r = {0};
    *out = (pq_bounds){0};
    out->nulls = a->nulls == 0 ? 0 : n - fr_bits_count(a->validity->data, a->offset + at, n);
    if (a->type.kind == FR_UTF8 || a->type.kind == FR_CATEGORY) {
        bounds_of_texts(a, at, n, out);
        return;
    }
    if (a->type.kind == FR_BOOL) {
        return;
    }
    if (a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32) {
        look_at_floats(a, at, n, &r);
        put_float(r.fleast, width, out->least);
        put_float(r.fmost, width, out->most);
    } else {
        if (a->type.kind == FR_UINT64) {
            look_at_unsigned(a, at, n, &r);
        } else {
            look_at_wholes(a, at, n, &r);
        }
        bool seconds = a->type.kind == FR_TIMESTAMP && a->type.unit == FR_SECOND;
        r.least *= seconds && r.any ? 1000 : 1;
        r.most *= seconds && r.any ? 1000 : 1;
        memcpy(out->least, &r.least, width); // little endian
        memcpy(out->most, &r.most, width);
    }
    out->known = r.any;
    out->n_least = out->n_most = width;
}
