#include "core/ml/series_file.h"

#include "core/base/mem.h"

#include <math.h>
#include <string.h>

static void put_double(fr_buf *b, double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    fr_buf_put_u64(b, u);
}

void series_put_doubles(fr_buf *b, const double *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        put_double(b, v[i]);
    }
}

void series_put_coefs(fr_buf *b, const fr_series_coef *c, size_t n)
{
    fr_buf_put_varint(b, n);
    for (size_t i = 0; i < n; i++) {
        size_t size = strlen(c[i].name);
        fr_buf_put_varint(b, size);
        fr_buf_put(b, c[i].name, size);
        put_double(b, c[i].value);
        put_double(b, c[i].se);
    }
}

double series_read_double(fr_reader *r)
{
    uint64_t u = fr_read_u64(r);
    double v;
    memcpy(&v, &u, sizeof v);
    return v;
}

uint64_t series_read_count(fr_reader *r)
{
    uint64_t v = fr_read_varint(r);
    r->failed = r->failed || v > INT32_MAX;
    return r->failed ? 0 : v;
}

double *series_read_doubles(fr_reader *r, uint64_t n)
{
    if (r->failed || n > (uint64_t)(r->end - r->at) / 8) {
        r->failed = true;
        return NULL;
    }
    double *v = fr_try_alloc((size_t)n * sizeof *v + 1);
    for (uint64_t i = 0; v != NULL && i < n; i++) {
        v[i] = series_read_double(r);
    }
    r->failed = r->failed || v == NULL;
    return v;
}

fr_series_coef *series_read_coefs(fr_reader *r, size_t *n)
{
    *n = 0;
    uint64_t count = fr_read_varint(r);
    if (r->failed || count > (uint64_t)(r->end - r->at) / 17) { // a coefficient's least size
        r->failed = true;
        return fr_zalloc(1);
    }
    fr_series_coef *c = fr_zalloc(((size_t)count + 1) * sizeof *c);
    for (; *n < count && !r->failed; (*n)++) {
        uint64_t size = fr_read_varint(r);
        const uint8_t *name =
            size < FR_SERIES_NAME ? fr_read_bytes(r, (size_t)size) : NULL;
        if (name == NULL) {
            r->failed = true;
            break;
        }
        memcpy(c[*n].name, name, (size_t)size);
        c[*n].value = series_read_double(r);
        c[*n].se = series_read_double(r);
    }
    return c;
}
