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

// The sum and the mean of floats, as above but for a strip of rows at a time: values with
// zeros for nulls and counts lie in small buffers, so that the loops have no branches.
enum { STRIP = 2048 };

typedef struct strip {
    double *x, *tail;   // n rows before the strip, then the strip; totals of a block's end
    int32_t *count;     // values up to a row, one more than x
} strip;

// Eight bits as eight bytes of 0 or 1.
static inline uint64_t spread_bits(uint64_t bits)
{
    uint64_t ones = ((bits & 0xff) * 0x0101010101010101) & 0x8040201008040201;
    return ((ones + 0x7f7f7f7f7f7f7f7f) >> 7) & 0x0101010101010101;
}

static void load_strip(const window_job *j, const strip *s, int64_t from, int64_t to)
{
    const double *v = fr_array_f64(j->in) + from;
    int64_t rows = to - from;
    s->count[0] = 0;
    if (j->in->validity == NULL) {
        memcpy(s->x, v, (size_t)rows * sizeof *v);
        for (int64_t i = 0; i < rows; i++) {
            s->count[i + 1] = (int32_t)i + 1;
        }
        return;
    }
    uint64_t words[2 * ANCHOR / 64 + 1]; // a strip has at most ANCHOR rows, and n before
    int64_t at = j->in->offset + from, count = 0;
    for (int64_t i = 0; i < rows; i += 64) {
        words[i / 64] = fr_bits_word(j->in->validity->data, at + i, at + rows);
    }
    fr_compress_zero(v, words, (size_t)rows, s->x);
    for (int64_t i = 0; i < rows; i += 8) { // s->count has room for whole eights
        uint64_t sums = spread_bits(words[i / 64] >> (i % 64)) * 0x0101010101010101;
        for (int k = 0; k < 8; k++) { // byte k: ones up to row k
            s->count[i + k + 1] = (int32_t)count + (int32_t)(sums >> (8 * k) & 0xff);
        }
        count += (int64_t)(sums >> 56);
    }
}

// Rows [p, p + rows) of the block at x; x[-n, 0) is the block before, when there is one.
static void sum_block(const double *x, double *restrict tail, int64_t n, int64_t rows, bool before,
                      double *restrict out)
{
    double s = 0;
    for (int64_t k = 1; before && k < n; k++) {
        s = x[-k] + s;
        tail[n - k] = s;
    }
    s = 0;
    int64_t both = before ? FR_MIN(rows, n - 1) : 0;
    for (int64_t k = 0; k < both; k++) {
        s += x[k];
        out[k] = tail[k + 1] + s;
    }
    for (int64_t k = both; k < rows; k++) {
        s += x[k];
        out[k] = s;
    }
}

// Windows at the start of a part begin with it; the others have n rows.
static void divide_strip(const window_job *j, const strip *s, int64_t at, int64_t rows,
                         int64_t before, int64_t n)
{
    bool mean = j->call->op == FR_WINDOW_MEAN;
    int64_t wanted = mean ? FR_MAX(j->call->least, 1) : j->call->least;
    int32_t least = (int32_t)FR_MIN(wanted, INT32_MAX);
    double *restrict out = j->number + at;
    uint8_t *restrict valid = j->valid + at;
    int64_t k = 0;
    for (; k < rows && k + before < n; k++) {
        int32_t values = s->count[before + k + 1];
        valid[k] = values >= least;
        out[k] = mean ? out[k] / (double)values : out[k];
    }
    const int32_t *restrict to = s->count + before + 1, *restrict from = to - n;
    for (int64_t i = k; i < rows; i++) {
        valid[i] = to[i] - from[i] >= least;
    }
    for (int64_t i = k; mean && i < rows; i++) {
        out[i] /= (double)(to[i] - from[i]);
    }
    for (int64_t i = 0; i < rows; i++) { // frames.md B4, while it is near
        out[i] = valid[i] ? out[i] : 0;
    }
}

static int roll_strips(window_job *j, const unit *u, int64_t n)
{
    int64_t step = FR_MAX(STRIP / n, 1) * n;
    size_t room = (size_t)(step + n);
    strip s = {.x = fr_try_alloc((room + (size_t)n + 1) * sizeof(double) +
                                 (room + 9) * sizeof(int32_t))};
    if (s.x == NULL) {
        return FR_ENOMEM;
    }
    s.tail = s.x + room;
    s.count = (int32_t *)(void *)(s.tail + n + 1);
    for (int64_t at = u->from; at < u->to; at += step) {
        int64_t end = FR_MIN(at + step, u->to), before = FR_MIN(n, at - u->start);
        load_strip(j, &s, at - before, end);
        for (int64_t p = at; p < end; p += n) {
            sum_block(s.x + before + (p - at), s.tail, n, FR_MIN(n, end - p), p > u->start,
                      j->number + p);
        }
        divide_strip(j, &s, at, end - at, before, n);
    }
    fr_free(s.x);
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
