#include "core/data/radix.h"

#include "core/base/mem.h"
#include "core/base/pool.h"

#include <stdbool.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// Each pass counts the digits of every run of rows, turns the counts into places, and
// scatters the runs. A scatter to a thousand places at once would touch a cache line per
// record; so records gather in a line per digit that is written when full, past the
// cache.
enum { DIGIT_MOST = 11, DIGITS_MOST = 1 << DIGIT_MOST, RUN_ROWS = 1 << 18, LINE = 64 };

typedef struct passing {
    const void *from;
    void *to;
    uint32_t *rows; // the last pass writes these instead of `to`
    size_t n, runs, run_rows, digits;
    int shift;
    uint32_t *places; // digits per run
} passing;

static void write_line(void *to, const void *from)
{
#if defined(__SSE2__)
    const __m128i *x = from;
    __m128i *y = to;
    for (int i = 0; i < LINE / 16; i++) {
        _mm_stream_si128(y + i, _mm_load_si128(x + i));
    }
#else
    memcpy(to, from, LINE);
#endif
}

static void end_lines(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

#define PASSES(type)                                                                     \
    static void count_##type(void *ctx, size_t r)                                        \
    {                                                                                    \
        passing *p = ctx;                                                                \
        const type *x = p->from;                                                         \
        size_t end = FR_MIN((r + 1) * p->run_rows, p->n), mask = p->digits - 1;          \
        uint32_t *count = p->places + r * p->digits;                                     \
        memset(count, 0, p->digits * sizeof *count);                                     \
        for (size_t i = r * p->run_rows; i < end; i++) {                                 \
            count[x[i].key >> p->shift & mask]++;                                        \
        }                                                                                \
    }                                                                                    \
    static void rows_##type(void *ctx, size_t r)                                         \
    {                                                                                    \
        passing *p = ctx;                                                                \
        const type *x = p->from;                                                         \
        size_t end = FR_MIN((r + 1) * p->run_rows, p->n), mask = p->digits - 1;          \
        uint32_t *place = p->places + r * p->digits;                                     \
        for (size_t i = r * p->run_rows; i < end; i++) {                                 \
            p->rows[place[x[i].key >> p->shift & mask]++] = x[i].row;                    \
        }                                                                                \
    }                                                                                    \
    static void copy_##type(void *ctx, size_t r)                                         \
    {                                                                                    \
        passing *p = ctx;                                                                \
        const type *x = p->from;                                                         \
        size_t end = FR_MIN((r + 1) * p->run_rows, p->n);                                \
        for (size_t i = r * p->run_rows; i < end; i++) {                                 \
            p->rows[i] = x[i].row;                                                       \
        }                                                                                \
    }                                                                                    \
    static void scatter_##type(void *ctx, size_t r)                                      \
    {                                                                                    \
        enum { PER_LINE = LINE / sizeof(type) };                                         \
        passing *p = ctx;                                                                \
        const type *x = p->from;                                                         \
        type *y = p->to;                                                                 \
        _Alignas(LINE) type lines[DIGITS_MOST][PER_LINE];                                \
        uint32_t start[DIGITS_MOST];                                                     \
        size_t end = FR_MIN((r + 1) * p->run_rows, p->n), mask = p->digits - 1;          \
        uint32_t *place = p->places + r * p->digits;                                     \
        memcpy(start, place, p->digits * sizeof *start);                                 \
        for (size_t i = r * p->run_rows; i < end; i++) {                                 \
            size_t d = x[i].key >> p->shift & mask, at = place[d]++;                     \
            lines[d][at % PER_LINE] = x[i];                                              \
            if (at % PER_LINE == PER_LINE - 1) {                                         \
                size_t line = at - (PER_LINE - 1);                                       \
                if (line >= start[d]) {                                                  \
                    write_line(&y[line], lines[d]);                                      \
                } else {                                                                 \
                    size_t skip = start[d] - line;                                       \
                    memcpy(&y[start[d]], &lines[d][skip],                                \
                           (PER_LINE - skip) * sizeof *y);                               \
                }                                                                        \
            }                                                                            \
        }                                                                                \
        for (size_t d = 0; d < p->digits; d++) {                                         \
            size_t line = place[d] / PER_LINE * PER_LINE, from = FR_MAX(line, start[d]); \
            memcpy(&y[from], &lines[d][from - line], (place[d] - from) * sizeof *y);     \
        }                                                                                \
        end_lines();                                                                     \
    }

PASSES(fr_radix32)
PASSES(fr_radix64)

// Counts to places; false when all keys share the digit, so that the pass is not needed.
static bool make_places(passing *p)
{
    uint32_t at = 0;
    for (size_t d = 0; d < p->digits; d++) {
        uint32_t before = at;
        for (size_t r = 0; r < p->runs; r++) {
            uint32_t n = p->places[r * p->digits + d];
            p->places[r * p->digits + d] = at;
            at += n;
        }
        if (at - before == p->n) {
            return false;
        }
    }
    return true;
}

typedef struct kernels {
    fr_pool_fn count, scatter, rows, copy;
} kernels;

static int run_passes(passing *p, void *a, void *b, int bits, const kernels *k)
{
    int passes = (bits + DIGIT_MOST - 1) / DIGIT_MOST;
    int digit = passes > 0 ? (bits + passes - 1) / passes : 0;
    p->digits = (size_t)1 << digit;
    void *from = a, *to = b;
    int rc = FR_OK;
    bool written = false;
    for (int i = 0; i < passes && rc == FR_OK; i++) {
        p->shift = i * digit;
        p->from = from;
        p->to = to;
        rc = fr_pool_run(p->runs, k->count, p);
        if (rc != FR_OK || !make_places(p)) {
            continue;
        }
        written = i + 1 == passes;
        rc = fr_pool_run(p->runs, written ? k->rows : k->scatter, p);
        void *swap = from;
        from = written ? from : to;
        to = written ? to : swap;
    }
    p->from = from;
    return rc == FR_OK && !written ? fr_pool_run(p->runs, k->copy, p) : rc;
}

static int sort(void *a, void *b, size_t n, int bits, uint32_t *rows, const kernels *k,
                fr_err *err)
{
    bool alone = fr_pool_threads() == 1;
    passing p = {.rows = rows, .n = n, .run_rows = alone ? FR_MAX(n, 1) : RUN_ROWS};
    p.runs = (n + p.run_rows - 1) / p.run_rows;
    p.places = fr_try_alloc((p.runs + 1) * DIGITS_MOST * sizeof *p.places);
    if (p.places == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory to sort");
    }
    int rc = run_passes(&p, a, b, bits, k);
    fr_free(p.places);
    return rc == FR_OK ? rc : fr_fail(err, rc, "%s", fr_err_text(rc));
}

int fr_radix32_sort(fr_radix32 *a, fr_radix32 *b, size_t n, int bits, uint32_t *rows,
                    fr_err *err)
{
    static const kernels k = {count_fr_radix32, scatter_fr_radix32, rows_fr_radix32,
                              copy_fr_radix32};
    return sort(a, b, n, bits, rows, &k, err);
}

int fr_radix64_sort(fr_radix64 *a, fr_radix64 *b, size_t n, int bits, uint32_t *rows,
                    fr_err *err)
{
    static const kernels k = {count_fr_radix64, scatter_fr_radix64, rows_fr_radix64,
                              copy_fr_radix64};
    return sort(a, b, n, bits, rows, &k, err);
}
