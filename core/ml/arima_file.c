// A fitted model as bytes, and back from bytes that may be hostile.
#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/ml/arima_core.h"
#include "core/ml/series_file.h"

#include <math.h>
#include <string.h>

void fr_arima_put(fr_buf *b, const fr_arima *m)
{
    const fr_arima_order *o = &m->order;
    const int order[] = {o->p, o->d, o->q, o->P, o->D, o->Q, o->period};
    for (size_t i = 0; i < FR_COUNT(order); i++) {
        fr_buf_put_varint(b, (uint64_t)order[i]);
    }
    fr_buf_put_u8(b, (uint8_t)(m->has_constant | m->has_drift << 1 | m->converged << 2));
    fr_buf_put_varint(b, m->exogs);
    for (size_t i = 0; i < m->coefs; i++) {
        size_t n = strlen(m->coef[i].name);
        fr_buf_put_varint(b, n);
        fr_buf_put(b, m->coef[i].name, n);
        series_put_doubles(b, &m->coef[i].value, 1);
        series_put_doubles(b, &m->coef[i].se, 1);
    }
    const double numbers[] = {m->sigma2, m->sigma2_se, m->llf, m->aic, m->aicc, m->bic};
    series_put_doubles(b, numbers, FR_COUNT(numbers));
    const int64_t counts[] = {m->n,          m->observed, m->used,          m->first,
                              m->iterations, m->passes,   m->covariance_dim};
    for (size_t i = 0; i < FR_COUNT(counts); i++) {
        fr_buf_put_varint(b, (uint64_t)counts[i]);
    }
    series_put_doubles(b, m->state, (size_t)m->dim);
    series_put_doubles(b, m->covariance, (size_t)m->covariance_dim * (size_t)m->covariance_dim);
    series_put_doubles(b, m->residuals, (size_t)m->n);
}

static void read_coefs(fr_reader *r, fr_arima *m)
{
    m->coef = fr_zalloc((m->coefs + 1) * sizeof *m->coef);
    for (size_t i = 0; i < m->coefs && !r->failed; i++) {
        uint64_t n = fr_read_varint(r);
        const uint8_t *name = n < FR_ARIMA_NAME ? fr_read_bytes(r, (size_t)n) : NULL;
        if (name == NULL) {
            r->failed = true;
            return;
        }
        memcpy(m->coef[i].name, name, (size_t)n);
        m->coef[i].value = series_read_double(r);
        m->coef[i].se = series_read_double(r);
        r->failed = r->failed || !isfinite(m->coef[i].value);
    }
}

static bool read_order(fr_reader *r, fr_arima *m)
{
    int *order[] = {&m->order.p, &m->order.d, &m->order.q,     &m->order.P,
                    &m->order.D, &m->order.Q, &m->order.period};
    for (size_t i = 0; i < FR_COUNT(order); i++) {
        uint64_t v = fr_read_varint(r);
        if (v > FR_ARIMA_STATE) {
            return false;
        }
        *order[i] = (int)v;
    }
    uint8_t flags = fr_read_u8(r);
    m->has_constant = flags & 1;
    m->has_drift = flags >> 1 & 1;
    m->converged = flags >> 2 & 1;
    fr_arima_spec spec = {.order = m->order};
    return !r->failed && !(m->has_constant && m->has_drift) &&
           fr_arima_check(&spec, NULL) == FR_OK;
}

static void read_numbers(fr_reader *r, fr_arima *m)
{
    double *numbers[] = {&m->sigma2, &m->sigma2_se, &m->llf, &m->aic, &m->aicc, &m->bic};
    int64_t counts[7];
    for (size_t i = 0; i < FR_COUNT(numbers); i++) {
        *numbers[i] = series_read_double(r);
    }
    for (size_t i = 0; i < FR_COUNT(counts); i++) {
        uint64_t v = fr_read_varint(r);
        r->failed = r->failed || v > INT32_MAX;
        counts[i] = r->failed ? 0 : (int64_t)v;
    }
    m->n = counts[0];
    m->observed = counts[1];
    m->used = counts[2];
    m->first = counts[3];
    m->iterations = (int)counts[4];
    m->passes = (int)counts[5];
    m->covariance_dim = (int)counts[6];
    r->failed = r->failed || m->first > m->n || !(m->sigma2 >= 0);
}

int fr_arima_get(fr_reader *r, fr_arima **out, fr_err *err)
{
    *out = NULL;
    fr_arima *m = fr_zalloc(sizeof *m);
    fr_arima_problem shape = {0};
    bool ok = read_order(r, m);
    if (ok) {
        shape.order = m->order;
        fr_arima_shape(&shape);
        m->dim = shape.r + shape.lost;
        uint64_t exogs = fr_read_varint(r);
        ok = exogs <= (uint64_t)(r->end - r->at) / 17; // a coefficient's least size
        m->exogs = ok ? (size_t)exogs : 0;
        m->coefs = (size_t)shape.params + m->has_constant + m->has_drift + m->exogs;
    }
    if (ok) {
        read_coefs(r, m);
        read_numbers(r, m);
        int c = m->covariance_dim;
        ok = !r->failed && (c == 0 || c == shape.r || c == m->dim);
    }
    if (ok) {
        uint64_t square = (uint64_t)m->covariance_dim * (uint64_t)m->covariance_dim;
        m->state = series_read_doubles(r, (uint64_t)m->dim);
        m->covariance = square > 0 ? series_read_doubles(r, square) : NULL;
        m->residuals = series_read_doubles(r, (uint64_t)m->n);
    }
    if (!ok || r->failed) {
        fr_arima_free(m);
        return fr_fail(err, FR_ECORRUPT, "the fitted model is damaged");
    }
    *out = m;
    return FR_OK;
}
