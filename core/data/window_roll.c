// Rolling windows of n rows, without subtracting what leaves. Rows are cut into blocks of n
// from the start of the part; a window is then the end of one block and the beginning of the
// next, so two running totals, one backwards and one forwards, give all of them. Nothing
// drifts, and a NaN is gone when it has left.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/compress.h"
#include "core/data/window_int.h"

#include <math.h>
#include <string.h>

enum { ANCHOR = 4096 }; // rows after which a float sum starts anew

#define INLINE static inline __attribute__((always_inline))

typedef struct moments { // count, mean, squared differences from it
    double n, mean, m2;
} moments;

typedef struct unit {   // a stretch of blocks that one job computes
    int64_t start;      // of the part
    int64_t from, to;
    int64_t bad;
} unit;

typedef struct rolling {
    window_job *j;
    unit *units;
    size_t n_units;
} rolling;

typedef struct total { // a sum in two levels
    double all, part;
} total;

static inline double less(double a, double b) { return isnan(a) || a < b ? a : b; }
static inline double more(double a, double b) { return isnan(a) || a > b ? a : b; }
static inline double least_of(double a, double b) { return isnan(b) ? b : less(a, b); }
static inline double most_of(double a, double b) { return isnan(b) ? b : more(a, b); }

static inline moments merge(moments a, moments b)
{
    double n = a.n + b.n, d = b.mean - a.mean;
    if (a.n == 0 || b.n == 0) {
        return a.n == 0 ? b : a;
    }
    return (moments){n, a.mean + d * (b.n / n), a.m2 + b.m2 + d * d * (a.n * b.n / n)};
}

// The totals of the last n rows for every row of the unit: `put` gets row i and total w.
// `anchor` runs after each step with the number of steps so far.
#define ROLL(type, none, load, join, anchor, put)                                        \
    do {                                                                                 \
        type start = none, *tail = fr_try_alloc((size_t)(n + 1) * sizeof *tail); \
        if (tail == NULL) {                                                              \
            return FR_ENOMEM;                                                            \
        }                                                                                \
        for (int64_t p = u->from; p < u->to; p += n) {                                   \
            type s = start;                                                              \
            bool before = p > u->start;                                                  \
            for (int64_t i = p - 1; before && i > p - n; i--) {                          \
                type x = (load), a = x, b = s;                                           \
                s = (join);                                                              \
                anchor(s, p - i);                                                        \
                tail[n - (p - i)] = s;                                                   \
            }                                                                            \
            s = start;                                                                   \
            for (int64_t i = p; i < FR_MIN(p + n, u->to); i++) {                         \
                type x = (load), a = s, b = x, w;                                        \
                s = (join);                                                              \
                anchor(s, i - p + 1);                                                    \
                w = b = s;                                                               \
                if (before && i - p + 1 < n) {                                           \
                    a = tail[i - p + 1];                                                 \
                    w = (join);                                                          \
                }                                                                        \
                put;                                                                     \
            }                                                                            \
        }                                                                                \
        fr_free(tail);                                                                   \
    } while (0)

#define NO_ANCHOR(s, steps) (void)0
#define ANCHOR_SUM(s, steps)                                                             \
    do {                                                                                 \
        if ((steps) % ANCHOR == 0) {                                                     \
            (s).all += (s).part;                                                         \
            (s).part = 0;                                                                \
        }                                                                                \
    } while (0)
#define NO_TOTAL ((total){0, 0})
#define NO_MOMENTS ((moments){0, 0, 0})

static int roll_float_sum(window_job *j, const unit *u, int64_t n)
{
    const double *v = fr_array_f64(j->in);
    ROLL(total, NO_TOTAL, ((total){0, window_has(j, i) ? v[i] : 0}),
         ((total){a.all + b.all, a.part + b.part}), ANCHOR_SUM,
         j->number[i] = w.all + w.part);
    return FR_OK;
}

static int roll_integer_sum(window_job *j, unit *u, int64_t n)
{
    const int64_t *v = fr_array_i64(j->in);
    ROLL(window_i128, 0, window_has(j, i) ? v[i] : 0, a + b, NO_ANCHOR, {
        j->integer[i] = (int64_t)w;
        u->bad = u->bad < 0 && j->integer[i] != w ? i : u->bad;
    });
    return u->bad < 0 ? FR_OK : FR_EOVERFLOW;
}

static int roll_float_extreme(window_job *j, const unit *u, int64_t n)
{
    const double *v = fr_array_f64(j->in);
    if (j->call->op == FR_WINDOW_MIN) {
        ROLL(double, (double)INFINITY, window_has(j, i) ? v[i] : (double)INFINITY, least_of(a, b),
             NO_ANCHOR, j->number[i] = w);
    } else {
        ROLL(double, -(double)INFINITY, window_has(j, i) ? v[i] : -(double)INFINITY, most_of(a, b),
             NO_ANCHOR, j->number[i] = w);
    }
    return FR_OK;
}

static int roll_integer_extreme(window_job *j, const unit *u, int64_t n)
{
    const int64_t *v = fr_array_i64(j->in);
    if (j->call->op == FR_WINDOW_MIN) {
        ROLL(int64_t, INT64_MAX, window_has(j, i) ? v[i] : INT64_MAX, FR_MIN(a, b),
             NO_ANCHOR, j->integer[i] = w);
    } else {
        ROLL(int64_t, INT64_MIN, window_has(j, i) ? v[i] : INT64_MIN, FR_MAX(a, b),
             NO_ANCHOR, j->integer[i] = w);
    }
    return FR_OK;
}

static int roll_moments(window_job *j, const unit *u, int64_t n)
{
    const double *v = fr_array_f64(j->in);
    ROLL(moments, NO_MOMENTS,
         (window_has(j, i) ? (moments){1, v[i], 0} : NO_MOMENTS), merge(a, b), NO_ANCHOR,
         j->number[i] = w.n > 1 ? w.m2 / (w.n - 1) : (double)NAN);
    for (int64_t i = u->from; j->call->op == FR_WINDOW_STD && i < u->to; i++) {
        j->number[i] = sqrt(j->number[i]);
    }
    return FR_OK;
}

// How many values each window has, and which windows have enough.
static void count_values(window_job *j, const unit *u, int64_t n)
{
    fr_window_op op = j->call->op;
    bool counts = op == FR_WINDOW_COUNT, mean = op == FR_WINDOW_MEAN;
    bool two = op == FR_WINDOW_STD || op == FR_WINDOW_VAR;
    int64_t least = two ? FR_MAX(j->call->least, 2) : j->call->least, values = 0;
    for (int64_t i = FR_MAX(u->from - n, u->start); i < u->from; i++) {
        values += window_has(j, i);
    }
    for (int64_t i = u->from; i < u->to; i++) {
        values += window_has(j, i);
        values -= i - n >= u->start && window_has(j, i - n);
        int64_t rows = FR_MIN(i - u->start + 1, n);
        j->valid[i] = (counts ? rows : values) >= least;
        if (counts) {
            j->integer[i] = values;
        } else if (mean) {
            j->number[i] /= (double)values;
        }
        if (!counts && values == 0) { // an infinity or 0 / 0 is not seen behind a null
            j->valid[i] = op == FR_WINDOW_SUM && least == 0;
        }
    }
}

// The sum and the mean of floats go another way, a strip of rows at a time. The sum of 2 rows
// comes from two of 1, that of 4 from two of 2 and so on, and n is put together of the powers
// it is made of: no sum waits for the one before it, so that the loops run in vectors, and a
// window's sum depends on nothing but its rows. Nulls are zeros, and so are the rows before a
// part; how many values there are is summed in the same way.
enum { STRIP = 1024, LINE = 8 };

typedef struct strip {
    double *x[3];       // `lead` rows, of which n count, then the strip; and room for sums
    uint16_t *count[3]; // the same of 1 for a value and 0 for a null
    size_t n, lead, rows;
    const double *next; // what the strip after this one will read, and how much
    size_t next_rows;
} strip;

// A part of the next strip on its way from memory while this one is computed.
INLINE void fetch(const strip *s, size_t part)
{
    enum { PARTS = 6 };
    size_t end = s->next_rows * (part + 1) / PARTS;
    for (size_t i = s->next_rows * part / PARTS; i < end; i += LINE) {
        __builtin_prefetch(s->next + i);
    }
}

// A sum of n rows is a[i] + b[i]: the last step is left to the loop that uses it. The loops
// begin at a whole line; what they make of rows before the n that count is not used.
#define SUMS_OF(type, name)                                                              \
    typedef struct name##_result {                                                       \
        const type *a, *b;                                                               \
    } name##_result;                                                                     \
    INLINE void name##_quads(const type *restrict x, type *restrict to, size_t rows)     \
    {                                                                                    \
        for (size_t i = LINE; i < rows; i++) {                                           \
            type near = (type)(x[i] + x[i - 1]), far = (type)(x[i - 2] + x[i - 3]);      \
            to[i] = (type)(near + far);                                                  \
        }                                                                                \
    }                                                                                    \
    INLINE void name##_pairs(const type *restrict x, type *restrict to, size_t half,     \
                             size_t rows)                                                \
    {                                                                                    \
        for (size_t i = FR_MAX(half, LINE); i < rows; i++) {                             \
            to[i] = (type)(x[i] + x[i - half]);                                          \
        }                                                                                \
    }                                                                                    \
    INLINE void name##_join(type *restrict sum, const type *restrict x, size_t rows)     \
    {                                                                                    \
        for (size_t i = 0; i < rows; i++) {                                              \
            sum[i] = (type)(sum[i] + x[i]);                                              \
        }                                                                                \
    }                                                                                    \
    INLINE name##_result name(const strip *s, type *const buffers[3], bool fetches)      \
    {                                                                                    \
        type *x = buffers[0], *next = buffers[1], *sum = NULL;                           \
        size_t n = s->n, at = s->lead, all = s->lead + s->rows, length = 0, half = 1;    \
        if (n == 1) {                                                                    \
            return (name##_result){x + at, next + at}; /* zeros */                       \
        }                                                                                \
        if (n > 4 && n % 4 == 0) {                                                       \
            name##_quads(x, next, all);                                                  \
            type *old = x;                                                               \
            x = next;                                                                    \
            next = old;                                                                  \
            half = 4;                                                                    \
        }                                                                                \
        for (size_t part = 0;; half *= 2, part++) {                                      \
            if (fetches && part < 5) {                                                   \
                fetch(s, part);                                                          \
            }                                                                            \
            if (n == 2 * half) {                                                         \
                return (name##_result){x + at, x + at - half};                           \
            }                                                                            \
            if (n & half) {                                                              \
                if (length + half == n) {                                                \
                    return (name##_result){sum + at, x + at - length};                   \
                }                                                                        \
                if (sum != NULL) {                                                       \
                    name##_join(sum + at, x + at - length, s->rows);                     \
                }                                                                        \
                sum = sum != NULL ? sum : x;                                             \
                length += half;                                                          \
            }                                                                            \
            name##_pairs(x, next, half, all);                                            \
            type *old = x == sum ? buffers[2] : x;                                       \
            x = next;                                                                    \
            next = old;                                                                  \
        }                                                                                \
    }
SUMS_OF(double, sums)
SUMS_OF(uint16_t, counts)

INLINE void sum_strip(const strip *s, bool mean, uint16_t least, double *restrict out,
                      uint8_t *restrict valid)
{
    sums_result sum = sums(s, s->x, true);
    counts_result count = counts(s, s->count, false);
    for (size_t i = 0; i < s->rows; i++) {
        valid[i] = (uint16_t)(count.a[i] + count.b[i]) >= least;
    }
    for (size_t i = 0; i < s->rows; i++) {
        double v = sum.a[i] + sum.b[i] + 0.0; // -0 counts as the zeros beside it
        uint16_t values = (uint16_t)(count.a[i] + count.b[i]);
        v = mean ? v / (double)values : v;
        out[i] = values >= least ? v : 0; // frames.md B4, while it is near
    }
}

// Plain and, as the same code, for wide registers: no operation differs.
static void sum_strip_plain(const strip *s, bool mean, uint16_t least, double *out, uint8_t *valid)
{
    sum_strip(s, mean, least, out, valid);
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq"))) static void
sum_strip_wide(const strip *s, bool mean, uint16_t least, double *out, uint8_t *valid)
{
    sum_strip(s, mean, least, out, valid);
}

static bool wide(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}
#else
#define sum_strip_wide sum_strip_plain
static bool wide(void) { return false; }
#endif

static void load_strip(const window_job *j, const strip *s, int64_t from, size_t rows, size_t pad)
{
    const double *v = fr_array_f64(j->in) + from;
    double *x = s->x[0] + pad;
    uint16_t *count = s->count[0] + pad;
    memset(s->x[0], 0, pad * sizeof *x);
    memset(s->count[0], 0, pad * sizeof *count);
    if (j->in->validity == NULL) {
        memcpy(x, v, rows * sizeof *v);
        for (size_t i = 0; i < rows; i++) {
            count[i] = 1;
        }
        return;
    }
    uint64_t words[2 * ANCHOR / 64 + 1]; // a strip has at most ANCHOR rows, and n before
    // Bits behind the strip do no harm; whole words are single loads.
    int64_t at = j->in->offset + from, end = j->in->offset + j->in->length;
    for (size_t i = 0; i < rows; i += 64) {
        words[i / 64] = fr_bits_word(j->in->validity->data, at + (int64_t)i, end);
    }
    fr_compress_zero(v, words, rows, x);
    fr_compress_flags(words, rows, count);
}

static int roll_strips(window_job *j, const unit *u, int64_t n)
{
    int64_t step = FR_MAX(STRIP, n);
    size_t lead = ((size_t)n + 2 * LINE - 1) / LINE * LINE;
    size_t room = (lead + (size_t)step + 4 * LINE - 1) / (4 * LINE) * (4 * LINE); // whole lines
    size_t size = 3 * room * (sizeof(double) + sizeof(uint16_t)) + 64;
    uint8_t *block = fr_try_alloc(size);
    if (block == NULL) {
        return FR_ENOMEM;
    }
    memset(block, 0, size);
    double *x = (double *)(void *)(block + (64 - ((uintptr_t)block & 63)));
    uint16_t *count = (uint16_t *)(void *)(x + 3 * room);
    bool mean = j->call->op == FR_WINDOW_MEAN, fast = wide();
    int64_t least = mean ? FR_MAX(j->call->least, 1) : j->call->least;
    for (int64_t at = u->from; at < u->to; at += step) {
        int64_t end = FR_MIN(at + step, u->to), before = FR_MIN(n, at - u->start);
        strip s = {{x, x + room, x + 2 * room},
                   {count, count + room, count + 2 * room},
                   (size_t)n,
                   lead,
                   (size_t)(end - at),
                   fr_array_f64(j->in) + end,
                   (size_t)FR_MIN(step, u->to - end)};
        load_strip(j, &s, at - before, (size_t)(before + end - at), lead - (size_t)before);
        (fast ? sum_strip_wide : sum_strip_plain)(&s, mean, (uint16_t)FR_MIN(least, UINT16_MAX),
                                                  j->number + at, j->valid + at);
    }
    fr_free(block);
    return FR_OK;
}

static int roll_unit(void *ctx, size_t k)
{
    rolling *r = ctx;
    window_job *j = r->j;
    unit *u = &r->units[k];
    int64_t n = j->call->n;
    bool floats = j->in->type.kind == FR_FLOAT64;
    int rc = FR_OK;
    if (j->zeroed) {
        return roll_strips(j, u, n);
    }
    switch ((int)j->call->op) {
    case FR_WINDOW_SUM:
    case FR_WINDOW_MEAN:
        rc = floats ? roll_float_sum(j, u, n) : roll_integer_sum(j, u, n);
        break;
    case FR_WINDOW_MIN:
    case FR_WINDOW_MAX:
        rc = floats ? roll_float_extreme(j, u, n) : roll_integer_extreme(j, u, n);
        break;
    case FR_WINDOW_STD:
    case FR_WINDOW_VAR:
        rc = roll_moments(j, u, n);
        break;
    default:
        break;
    }
    if (rc == FR_OK) {
        count_values(j, u, n);
    }
    return rc;
}

// Blocks together until they fill a chunk. A window as long as the part has one block.
static void cut_units(rolling *r, int64_t n)
{
    const window_job *j = r->j;
    int64_t step = n >= FR_CHUNK_ROWS ? n : FR_CHUNK_ROWS / n * n;
    for (size_t p = 0; p < j->parts; p++) {
        int64_t start = j->start[p], end = j->start[p + 1];
        for (int64_t at = start; at < end; at += FR_MIN(step, end - at)) {
            r->units[r->n_units++] = (unit){start, at, at + FR_MIN(step, end - at), -1};
        }
    }
}

int window_roll(window_job *j, fr_err *err)
{
    // A window longer than all rows is as long as they are.
    fr_window_call call = *j->call;
    call.n = FR_MAX(FR_MIN(call.n, j->rows), 1);
    const fr_window_call *given = j->call;
    size_t most = j->parts + 2 * fr_compute_chunks(j->rows) + 1;
    rolling r = {.j = j, .units = fr_try_alloc(most * sizeof(unit))};
    if (r.units == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu parts", most);
    }
    j->call = &call;
    bool adds = call.op == FR_WINDOW_SUM || call.op == FR_WINDOW_MEAN;
    j->zeroed = adds && j->in->type.kind == FR_FLOAT64 && call.n <= ANCHOR;
    cut_units(&r, call.n);
    FR_ASSERT(r.n_units <= most);
    int rc = fr_pool_try(r.n_units, roll_unit, &r);
    for (size_t k = 0; k < r.n_units && j->overflow < 0; k++) {
        j->overflow = r.units[k].bad;
    }
    j->call = given;
    fr_free(r.units);
    return rc;
}
