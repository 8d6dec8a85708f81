#include "core/data/drift.h"

#include "core/base/mem.h"
#include "core/data/compute.h"
#include "core/data/sort.h"

#include <math.h>

// Ascending doubles without nulls and NaN, which sort behind all numbers.
static int sorted_numbers(const fr_array *a, fr_array **out, int64_t *n, fr_err *err)
{
    fr_array *x = NULL;
    fr_block *order = NULL;
    *out = NULL;
    int rc = fr_compute_cast(a, fr_type_of(FR_FLOAT64), &x, err);
    if (rc == FR_OK) {
        fr_sort_key key = {.array = x};
        rc = fr_sort_order(&key, 1, &order, err);
    }
    if (rc == FR_OK) {
        const uint32_t *rows = (const uint32_t *)(const void *)order->data;
        rc = fr_compute_take(x, rows, x->length, false, out, err);
    }
    if (rc == FR_OK) {
        *n = (*out)->length;
        while (*n > 0 && (!fr_array_has(*out, *n - 1) || isnan(fr_array_f64(*out)[*n - 1]))) {
            --*n;
        }
    }
    fr_block_unref(order);
    fr_array_unref(x);
    return rc;
}

static double largest_distance(const double *a, int64_t n_a, const double *b, int64_t n_b)
{
    double most = 0;
    for (int64_t i = 0, j = 0; i < n_a && j < n_b;) {
        double x = FR_MIN(a[i], b[j]);
        while (i < n_a && a[i] <= x) {
            i++;
        }
        while (j < n_b && b[j] <= x) {
            j++;
        }
        most = fmax(most, fabs((double)i / (double)n_a - (double)j / (double)n_b));
    }
    return most;
}

int fr_drift_ks(const fr_array *a, const fr_array *b, double *d, int64_t *n_a, int64_t *n_b,
                fr_err *err)
{
    fr_array *x = NULL, *y = NULL;
    int rc = sorted_numbers(a, &x, n_a, err);
    rc = rc == FR_OK ? sorted_numbers(b, &y, n_b, err) : rc;
    if (rc == FR_OK) {
        bool any = *n_a > 0 && *n_b > 0;
        *d = any ? largest_distance(fr_array_f64(x), *n_a, fr_array_f64(y), *n_b) : (double)NAN;
    }
    fr_array_unref(x);
    fr_array_unref(y);
    return rc;
}
