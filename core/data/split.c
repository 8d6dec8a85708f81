#include "core/data/split.h"

#include "core/base/mem.h"
#include "core/base/rand.h"
#include "core/data/compute.h"
#include "core/data/factor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_SPLIT = 0x5eed, STREAM_SAMPLE = 0x5a };

// Moves k random items of x to its front (Fisher and Yates).
static void draw(fr_rand *r, uint32_t *x, size_t n, size_t k)
{
    for (size_t i = 0; i < k; i++) {
        size_t j = i + (size_t)fr_rand_below(r, n - i);
        uint32_t t = x[i];
        x[i] = x[j];
        x[j] = t;
    }
}

static int descending(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x < y) - (x > y);
}

// How many of each class when `draws` of all are taken: the most probable outcome.
// Classes are floored first; what is missing goes to the largest remainders, ties by the
// seed.
static void approximate_mode(const int64_t *counts, size_t n, int64_t draws, fr_rand *r,
                             int64_t *out)
{
    int64_t all = 0, missing = draws;
    for (size_t i = 0; i < n; i++) {
        all += counts[i];
    }
    double *rest = fr_alloc((n + 1) * sizeof *rest),
           *order = fr_alloc((n + 1) * sizeof *order);
    uint32_t *equal = fr_alloc((n + 1) * sizeof *equal);
    for (size_t i = 0; i < n; i++) {
        double share = (double)counts[i] / (double)all * (double)draws;
        out[i] = (int64_t)floor(share);
        rest[i] = order[i] = share - floor(share);
        missing -= out[i];
    }
    qsort(order, n, sizeof *order, descending);
    for (size_t i = 0; i < n && missing > 0; i++) {
        if (i > 0 && order[i] == order[i - 1]) {
            continue;
        }
        size_t k = 0;
        for (size_t c = 0; c < n; c++) {
            if (rest[c] == order[i]) {
                equal[k++] = (uint32_t)c;
            }
        }
        size_t add = FR_MIN(k, (size_t)missing);
        draw(r, equal, k, add);
        for (size_t c = 0; c < add; c++) {
            out[equal[c]]++;
        }
        missing -= (int64_t)add;
    }
    fr_free(rest);
    fr_free(order);
    fr_free(equal);
}

static int test_size(int64_t rows, double test, int64_t *n, fr_err *err)
{
    if (!(test > 0) || (test >= 1 && test != floor(test)) || test >= (double)rows) {
        return fr_fail(
            err, FR_EINVAL,
            "split: test is a share between 0 and 1 or a number of rows below %lld, "
            "got %g",
            (long long)rows, test);
    }
    *n = test < 1 ? (int64_t)ceil(test * (double)rows) : (int64_t)test;
    if (*n < 1 || *n >= rows) {
        return fr_fail(err, FR_EINVAL, "split: %lld rows cannot be split with test = %g",
                       (long long)rows, test);
    }
    return FR_OK;
}

static void draw_plain(fr_rand *r, int64_t rows, int64_t ntest, uint8_t *part)
{
    uint32_t *row = fr_alloc((size_t)rows * sizeof *row);
    for (int64_t i = 0; i < rows; i++) {
        row[i] = (uint32_t)i;
    }
    draw(r, row, (size_t)rows, (size_t)ntest);
    for (int64_t i = 0; i < ntest; i++) {
        part[row[i]] = 1;
    }
    fr_free(row);
}

static int check_classes(const int64_t *counts, const fr_factor *f, int64_t ntrain,
                         int64_t ntest, fr_err *err)
{
    for (int64_t c = 0; c < f->groups; c++) {
        if (counts[c] < 2) {
            return fr_fail(
                err, FR_EINVAL,
                "split: a class has one row only (row %lld): it cannot be in both parts",
                (long long)fr_factor_first(f)[c] + 1);
        }
    }
    if (FR_MIN(ntrain, ntest) < f->groups) {
        return fr_fail(err, FR_EINVAL, "split: %lld rows cannot represent %lld classes",
                       (long long)FR_MIN(ntrain, ntest), (long long)f->groups);
    }
    return FR_OK;
}

static int draw_classes(fr_rand *r, const fr_array *by, int64_t ntest, uint8_t *part,
                        fr_err *err)
{
    fr_factor f;
    fr_block *rows = NULL, *start = NULL;
    int rc = fr_factor_init(&f, &by, 1, true, err);
    rc = rc == FR_OK ? fr_factor_sort(&f, &by, 1, err) : rc;
    rc = rc == FR_OK ? fr_factor_lists(&f, &rows, &start, err) : rc;
    if (rc == FR_OK) {
        size_t n = (size_t)f.groups;
        int64_t *counts = fr_alloc(3 * (n + 1) * sizeof *counts), *train = counts + n + 1,
                *test = train + n + 1, ntrain = by->length - ntest;
        const uint32_t *s = (const uint32_t *)(const void *)start->data;
        uint32_t *row = (uint32_t *)(void *)rows->data;
        for (size_t c = 0; c < n; c++) {
            counts[c] = s[c + 1] - s[c];
        }
        rc = check_classes(counts, &f, ntrain, ntest, err);
        if (rc == FR_OK) {
            approximate_mode(counts, n, ntrain, r, train);
            for (size_t c = 0; c < n; c++) {
                counts[c] -= train[c];
            }
            approximate_mode(counts, n, ntest, r, test);
        }
        for (size_t c = 0; c < n && rc == FR_OK; c++) {
            draw(r, row + s[c], s[c + 1] - s[c], (size_t)test[c]);
            for (int64_t i = 0; i < test[c]; i++) {
                part[row[s[c] + (size_t)i]] = 1;
            }
        }
        fr_free(counts);
    }
    fr_block_unref(rows);
    fr_block_unref(start);
    fr_factor_fini(&f);
    return rc;
}

static int list_part(const uint8_t *part, int64_t rows, uint8_t which, int64_t n,
                     fr_block **out, fr_err *err)
{
    int rc = fr_block_new((size_t)n * sizeof(uint32_t), out, err);
    if (rc == FR_OK) {
        uint32_t *to = (uint32_t *)(void *)(*out)->data;
        for (int64_t i = 0; i < rows; i++) {
            if (part[i] == which) {
                *to++ = (uint32_t)i;
            }
        }
    }
    return rc;
}

int fr_split_rows(int64_t rows, const fr_array *stratify, double test, uint64_t seed,
                  fr_split *out, fr_err *err)
{
    *out = (fr_split){0};
    int rc = fr_compute_check_rows(rows, err);
    rc = rc == FR_OK ? test_size(rows, test, &out->ntest, err) : rc;
    if (rc != FR_OK) {
        return rc;
    }
    out->ntrain = rows - out->ntest;
    uint8_t *part = fr_zalloc((size_t)rows);
    fr_rand r;
    fr_rand_init(&r, seed, STREAM_SPLIT);
    if (stratify != NULL) {
        rc = draw_classes(&r, stratify, out->ntest, part, err);
    } else {
        draw_plain(&r, rows, out->ntest, part);
    }
    rc = rc == FR_OK ? list_part(part, rows, 0, out->ntrain, &out->train, err) : rc;
    rc = rc == FR_OK ? list_part(part, rows, 1, out->ntest, &out->test, err) : rc;
    fr_free(part);
    if (rc != FR_OK) {
        fr_split_fini(out);
    }
    return rc;
}

void fr_split_fini(fr_split *s)
{
    fr_block_unref(s->train);
    fr_block_unref(s->test);
    *s = (fr_split){0};
}

int fr_split_sample(int64_t rows, int64_t n, uint64_t seed, fr_block **out, fr_err *err)
{
    *out = NULL;
    int rc = fr_compute_check_rows(rows, err);
    if (rc == FR_OK && (n < 0 || n > rows)) {
        rc = fr_fail(err, FR_EINVAL, "sample: %lld of %lld rows", (long long)n,
                     (long long)rows);
    }
    if (rc != FR_OK) {
        return rc;
    }
    uint8_t *part = fr_zalloc((size_t)rows + 1);
    fr_rand r;
    fr_rand_init(&r, seed, STREAM_SAMPLE);
    draw_plain(&r, rows, n, part);
    rc = list_part(part, rows, 1, n, out, err);
    fr_free(part);
    return rc;
}
