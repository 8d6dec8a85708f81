#pragma once
// series_file -- numbers of a time-series model as bytes, and back from bytes that may be
// hostile. Private to core/ml.

#include "core/ml/series.h"

void series_put_doubles(fr_buf *b, const double *v, size_t n);
void series_put_coefs(fr_buf *b, const fr_series_coef *c, size_t n);
double series_read_double(fr_reader *r);
uint64_t series_read_count(fr_reader *r);                  // at most INT32_MAX
double *series_read_doubles(fr_reader *r, uint64_t n);     // NULL when too few are left
fr_series_coef *series_read_coefs(fr_reader *r, size_t *n); // never NULL
