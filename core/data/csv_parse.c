#include "core/base/decimal.h"
#include "core/base/mem.h"
#include "core/data/csv_int.h"
#include "core/data/when.h"

#include <string.h>

enum { DAY = 86400, COPY = 16 };

static const int64_t MICROS = 1000000;

typedef enum cell_state { CELL_GOOD, CELL_NULL, CELL_MISFIT } cell_state;

static inline uint64_t load8(const uint8_t *s)
{
    uint64_t v;
    memcpy(&v, s, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static inline bool all_digits(uint64_t v)
{
    return ((v & 0xf0f0f0f0f0f0f0f0) |
            ((v + 0x0606060606060606) & 0xf0f0f0f0f0f0f0f0) >> 4) == 0x3333333333333333;
}

// Eight digits, the first one in the lowest byte.
static inline uint64_t eight_digits(uint64_t v)
{
    v = (v & 0x0f0f0f0f0f0f0f0f) * (256 * 10 + 1) >> 8;
    v = (v & 0x00ff00ff00ff00ff) * (65536 * 100 + 1) >> 16;
    return (v & 0x0000ffff0000ffff) * (4294967296 * 10000 + 1) >> 32;
}

// The n <= 8 characters at s, right-aligned with zeros in front.
static inline uint64_t aligned8(const uint8_t *s, size_t n)
{
    uint64_t v = load8(s) << (64 - 8 * n);
    return n == 8 ? v : v | 0x3030303030303030 >> (8 * n);
}

static inline bool fast_int(const uint8_t *s, size_t n, int64_t *out)
{
    bool minus = *s == '-';
    s += minus;
    n -= minus;
    if (n - 1 >= 16 || (*s == '0' && n > 1)) { // n == 0 wraps: no digits
        return false;
    }
    uint64_t v = 0;
    if (n > 8) {
        uint64_t high = aligned8(s, n - 8);
        if (!all_digits(high)) {
            return false;
        }
        v = eight_digits(high) * 100000000;
        s += n - 8;
        n = 8;
    }
    uint64_t low = aligned8(s, n);
    if (!all_digits(low)) {
        return false;
    }
    v += eight_digits(low);
    *out = minus ? -(int64_t)v : (int64_t)v;
    return true;
}

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

// At most eight characters: digits and perhaps one point.
static inline bool short_float(const uint8_t *s, size_t n, double *out)
{
    uint64_t v = aligned8(s, n);
    uint64_t x = v ^ 0x2e2e2e2e2e2e2e2e;
    uint64_t point = (x - 0x0101010101010101) & ~x & 0x8080808080808080;
    unsigned fraction = 0;
    if (point != 0) {
        unsigned at = (unsigned)__builtin_ctzll(point) & ~7U; // bit of the point's byte
        fraction = 7 - at / 8;
        uint64_t below = (UINT64_C(1) << at) - 1;
        uint64_t above = at == 56 ? 0 : ~UINT64_C(0) << (at + 8);
        v = (v & above) | (v & below) << 8 | 0x30;
        if (n == 1) {
            return false; // a lone point
        }
    }
    if (!all_digits(v)) {
        return false;
    }
    *out = (double)eight_digits(v) / powers[fraction];
    return true;
}

static inline bool is_digit(uint8_t c) { return (uint8_t)(c - '0') < 10; }

// Digits with a point, without an exponent, of which a uint64 holds all.
static bool long_float(const uint8_t *s, size_t n, double *out)
{
    const uint8_t *p = s, *end = s + n;
    uint64_t w = 0;
    while (p < end && is_digit(*p)) {
        w = w * 10 + (uint64_t)(*p++ - '0');
    }
    size_t digits = (size_t)(p - s), fraction = 0;
    size_t most = digits == 1 && w == 0 ? 20 : 19;
    if (p < end && *p == '.') {
        const uint8_t *from = ++p;
        while (end - p >= 8 && all_digits(load8(p))) {
            w = w * 100000000 + eight_digits(load8(p));
            p += 8;
        }
        while (p < end && is_digit(*p)) {
            w = w * 10 + (uint64_t)(*p++ - '0');
        }
        fraction = (size_t)(p - from);
    }
    digits += fraction;
    if (p != end || digits == 0 || digits > most) {
        return false;
    }
    if (w < UINT64_C(1) << 53) {
        *out = (double)w / powers[fraction]; // fraction <= 19
    } else {
        *out = fr_decimal_scale(w, -(int)fraction);
    }
    return true;
}

static inline bool fast_float(const uint8_t *s, size_t n, double *out)
{
    bool minus = *s == '-';
    s += minus;
    n -= minus;
    double x = 0;
    if (n - 1 < 8 ? !short_float(s, n, &x) : !long_float(s, n, &x)) {
        return false;
    }
    *out = minus ? -x : x;
    return true;
}

// Days of the date of the row before: neighbours mostly share it.
typedef struct day_cache {
    uint64_t head;
    uint16_t tail;
    bool set;
    int64_t days;
} day_cache;

static inline bool cached_day(const uint8_t *s, day_cache *cache)
{
    uint64_t head;
    uint16_t tail;
    memcpy(&head, s, 8);
    memcpy(&tail, s + 8, 2);
    if (cache->set && head == cache->head && tail == cache->tail) {
        return true;
    }
    fr_when w;
    if (!fr_when_parse((const char *)s, 10, &w)) {
        return false;
    }
    *cache = (day_cache){head, tail, true, w.seconds / DAY};
    return true;
}

// 2024-01-31 10:00:00 without more.
static inline bool fast_stamp(const uint8_t *s, size_t n, day_cache *cache, int64_t *seconds)
{
    if (n != 19 || (s[10] != ' ' && s[10] != 'T') || !cached_day(s, cache)) {
        return false;
    }
    uint64_t x = load8(s + 11) ^ 0x30303a30303a3030; // "00:00:00"
    if (((x | (x + 0x76767f76767f7676)) & 0x8080808080808080) != 0) {
        return false;
    }
    int64_t h = (int64_t)((x & 0xff) * 10 + (x >> 8 & 0xff));
    int64_t m = (int64_t)((x >> 24 & 0xff) * 10 + (x >> 32 & 0xff));
    int64_t sec = (int64_t)((x >> 48 & 0xff) * 10 + (x >> 56));
    *seconds = cache->days * DAY + h * 3600 + m * 60 + sec;
    return h < 24 && m < 60 && sec < 60;
}

bool csv_unquote(const uint8_t **s, size_t *n, uint8_t quote, bool *doubled, bool *good)
{
    const uint8_t *from = *s + 1, *end = *s + *n, *at = from;
    *doubled = false;
    *good = true;
    if (*n == 0 || **s != quote) {
        return false;
    }
    for (;;) {
        const uint8_t *q = at < end ? memchr(at, quote, (size_t)(end - at)) : NULL;
        if (q == NULL) {
            *good = false;
            return true;
        }
        if (q + 1 < end && q[1] == quote) {
            *doubled = true;
            at = q + 2;
            continue;
        }
        for (at = q + 1; at < end; at++) {
            *good = *good && (*at == ' ' || *at == '\t');
        }
        *s = from;
        *n = (size_t)(q - from);
        return true;
    }
}

static void part_null(csv_part *p, size_t rows, size_t r)
{
    if (p->valid == NULL) {
        p->valid = fr_alloc((rows + 63) / 64 * 8);
        memset(p->valid, 0xff, (rows + 63) / 64 * 8);
    }
    p->valid[r / 64] &= ~(UINT64_C(1) << (r % 64));
    p->nulls++;
}

void csv_strip(const csv_dialect *d, const uint8_t **s, size_t *n)
{
    bool doubled, good;
    const uint8_t *at = *s;
    size_t left = *n;
    if (d->quoting && left > 0 && *at == d->quote) {
        (void)csv_unquote(&at, &left, d->quote, &doubled, &good);
        if (!good || doubled) {
            return; // not a number for sure
        }
    }
    while (left > 0 && (*at == ' ' || *at == '\t')) {
        at++;
        left--;
    }
    while (left > 0 && (at[left - 1] == ' ' || at[left - 1] == '\t')) {
        left--;
    }
    *s = at;
    *n = left;
}

static bool store_int(const fr_type *t, void *values, size_t r, int64_t v)
{
    switch ((int)t->kind) {
    case FR_INT8:
        ((int8_t *)values)[r] = (int8_t)v;
        return v == (int8_t)v;
    case FR_INT16:
        ((int16_t *)values)[r] = (int16_t)v;
        return v == (int16_t)v;
    case FR_INT32:
    case FR_DATE:
        ((int32_t *)values)[r] = (int32_t)v;
        return v == (int32_t)v;
    case FR_UINT8:
        ((uint8_t *)values)[r] = (uint8_t)v;
        return v == (uint8_t)v;
    case FR_UINT16:
        ((uint16_t *)values)[r] = (uint16_t)v;
        return v == (uint16_t)v;
    case FR_UINT32:
        ((uint32_t *)values)[r] = (uint32_t)v;
        return v == (uint32_t)v;
    default:
        ((int64_t *)values)[r] = v;
        return t->kind != FR_UINT64 || v >= 0;
    }
}

static bool parse_stamp(const csv_cells *c, const uint8_t *s, size_t n, int64_t *out)
{
    fr_when w;
    bool read = c->format != NULL ? fr_when_scan(c->format, (const char *)s, n, &w)
                                  : fr_when_parse((const char *)s, n, &w);
    bool zoned = c->type->zone[0] != '\0';
    if (!read || (c->format == NULL && zoned != w.has_offset) ||
        (w.digits > 6 && c->type->unit != FR_NANO)) {
        return false;
    }
    return fr_when_value(&w, c->type->unit, out);
}

static bool parse_bool(const uint8_t *s, size_t n, bool *out)
{
    *out = n == 4;
    return csv_infer_value(s, n) == CSV_SAW_BOOL;
}

// Above 2^63 - 1: a uint64 column keeps it as Arrow does.
static bool parse_big(const uint8_t *s, size_t n, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = s[0] == '+'; i < n; i++) {
        if (!is_digit(s[i]) || __builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v)) {
            return false;
        }
    }
    *out = v;
    return true;
}

// One stripped value of any type but text, stored. The slow way, for what the loops below
// do not take.
static bool parse_value(const csv_cells *c, csv_part *p, const uint8_t *s, size_t n, size_t r)
{
    int64_t v = 0;
    double x;
    bool b;
    fr_when w;
    const char *t = (const char *)s;
    switch (c->kind) {
    case CSV_BOOL:
        if (!parse_bool(s, n, &b)) {
            return false;
        }
        p->bytes[r] = b;
        return true;
    case CSV_INT:
        if (c->type->kind == FR_UINT64 && csv_infer_value(s, n) == CSV_SAW_BIG) {
            return parse_big(s, n, (uint64_t *)p->values + r);
        }
        return csv_infer_value(s, n) == CSV_SAW_INT && fr_decimal_parse_int(t, n, &v) &&
               store_int(c->type, p->values, r, v);
    case CSV_FLOAT:
        if (c->type->kind == FR_FLOAT32) {
            return fr_decimal_parse_float(t, n, (float *)p->values + r);
        }
        if (!fr_decimal_parse(t, n, &x)) {
            return false;
        }
        ((double *)p->values)[r] = x;
        return true;
    case CSV_DATE:
        if (c->format != NULL ? !fr_when_scan(c->format, t, n, &w)
                              : !fr_when_parse(t, n, &w) || w.has_time) {
            return false;
        }
        return store_int(c->type, p->values, r, fr_floor_div(w.seconds, DAY));
    case CSV_STAMP:
        return parse_stamp(c, s, n, &v) && store_int(c->type, p->values, r, v);
    case CSV_TIME:
        return fr_when_parse_time(t, n, &v) && store_int(c->type, p->values, r, v);
    case CSV_DURATION:
        if (!fr_when_parse_duration(t, n, &v)) {
            return false;
        }
        b = v % (1000000000 / fr_unit_per_second(c->type->unit)) == 0;
        return b && store_int(c->type, p->values, r,
                              v / (1000000000 / fr_unit_per_second(c->type->unit)));
    case CSV_EMPTY:
    case CSV_TEXT:
        break;
    }
    return false;
}

static void store_zero(const csv_cells *c, csv_part *p, size_t r)
{
    if (c->kind == CSV_BOOL) {
        p->bytes[r] = 0;
    } else if (p->values != NULL) {
        size_t width = fr_kind_width(c->type->kind);
        memset((uint8_t *)p->values + r * width, 0, width);
    }
}

static cell_state slow_cell(const csv_cells *c, csv_part *p, const uint8_t *s, size_t n,
                            size_t r)
{
    bool quoted = c->dialect->quoting && n > 0 && *s == c->dialect->quote;
    csv_strip(c->dialect, &s, &n);
    if (csv_nulls_has(c->nulls, s, n)) {
        if (quoted && c->kind == CSV_EMPTY) {
            return CELL_MISFIT; // text, unless other rows say otherwise
        }
        store_zero(c, p, r);
        part_null(p, c->rows, r);
        return CELL_NULL;
    }
    return n > 0 && parse_value(c, p, s, n, r) ? CELL_GOOD : CELL_MISFIT;
}

// The loops. Each tries the common spelling in line and leaves the rest to slow_cell.
#define LOOP(type, fast)                                                                 \
    do {                                                                                 \
        type *to = p->values;                                                            \
        bool words = c->nulls->numeric;                                                  \
        for (size_t r = 0; r < c->rows; r++) {                                           \
            size_t n;                                                                    \
            const uint8_t *s = csv_cell(c, r, &n);                                       \
            if ((words || !(fast)) && slow_cell(c, p, s, n, r) == CELL_MISFIT) {         \
                return r;                                                                \
            }                                                                            \
        }                                                                                \
        return SIZE_MAX;                                                                 \
    } while (0)

static size_t loop_int(const csv_cells *c, csv_part *p)
{
    LOOP(int64_t, fast_int(s, n, to + r));
}

static size_t loop_float(const csv_cells *c, csv_part *p)
{
    LOOP(double, fast_float(s, n, to + r));
}

static size_t loop_stamp(const csv_cells *c, csv_part *p)
{
    day_cache cache = {0};
    const int64_t per = c->type->unit == FR_NANO ? MICROS * 1000 : MICROS;
    LOOP(int64_t, fast_stamp(s, n, &cache, to + r) &&
                      !__builtin_mul_overflow(to[r], per, to + r));
}

static size_t loop_date(const csv_cells *c, csv_part *p)
{
    day_cache cache = {0};
    LOOP(int32_t, n == 10 && cached_day(s, &cache) && (to[r] = (int32_t)cache.days, true));
}

static size_t loop_any(const csv_cells *c, csv_part *p)
{
    for (size_t r = 0; r < c->rows; r++) {
        size_t n;
        const uint8_t *s = csv_cell(c, r, &n);
        if (slow_cell(c, p, s, n, r) == CELL_MISFIT) {
            return r;
        }
    }
    return SIZE_MAX;
}

static int text_room(csv_part *p, size_t more, fr_err *err)
{
    size_t need = p->n_bytes + more + COPY;
    if (need <= p->capacity) {
        return FR_OK;
    }
    size_t capacity = FR_MAX(p->capacity + p->capacity / 2, need + 1024);
    uint8_t *bytes = fr_try_realloc(p->bytes, capacity);
    if (bytes == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu bytes of text", capacity);
    }
    p->bytes = bytes;
    p->capacity = capacity;
    return FR_OK;
}

static size_t copy_undoubled(uint8_t *to, const uint8_t *s, size_t n, uint8_t quote)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        to[k++] = s[i];
        i += s[i] == quote && i + 1 < n && s[i + 1] == quote;
    }
    return k;
}

static int loop_text(const csv_cells *c, csv_part *p, size_t *misfit, fr_err *err)
{
    int64_t *offsets = p->values;
    *misfit = SIZE_MAX;
    for (size_t r = 0; r < c->rows; r++) {
        size_t n;
        const uint8_t *s = csv_cell(c, r, &n);
        bool doubled = false, good = true, null = false;
        if (n == 0) {
            null = c->nulls->empty;
        } else if (c->dialect->quoting && *s == c->dialect->quote) {
            (void)csv_unquote(&s, &n, c->dialect->quote, &doubled, &good);
        } else {
            null = csv_nulls_may(c->nulls, *s) && csv_nulls_has(c->nulls, s, n);
        }
        if (!good) {
            *misfit = r;
            return FR_OK;
        }
        if (null) {
            part_null(p, c->rows, r);
        } else {
            int rc = text_room(p, n, err);
            if (rc != FR_OK) {
                return rc;
            }
            uint8_t *to = p->bytes + p->n_bytes;
            if (doubled) {
                n = copy_undoubled(to, s, n, c->dialect->quote);
            } else if (n <= COPY) {
                memcpy(to, s, COPY); // both sides have room
            } else {
                memcpy(to, s, n);
            }
            p->n_bytes += n;
        }
        offsets[r] = (int64_t)p->n_bytes;
    }
    return FR_OK;
}

unsigned csv_infer_cell(const csv_dialect *d, const csv_nulls *nulls, const uint8_t *s, size_t n)
{
    bool quoted = d->quoting && n > 0 && *s == d->quote;
    csv_strip(d, &s, &n);
    if (csv_nulls_has(nulls, s, n)) {
        return quoted ? CSV_SAW_QUOTED : 0;
    }
    return csv_infer_value(s, n);
}

// What else is in the column, from the misfit on: decides the wider type.
static void classify(const csv_cells *c, csv_part *p)
{
    p->saw = csv_infer_bits(c->kind, c->type);
    for (size_t r = p->misfit; r < c->rows && (p->saw & CSV_SAW_TEXT) == 0; r++) {
        size_t n;
        const uint8_t *s = csv_cell(c, r, &n);
        p->saw |= csv_infer_cell(c->dialect, c->nulls, s, n);
    }
}

int csv_parse_column(const csv_cells *c, csv_part *out, fr_err *err)
{
    out->misfit = SIZE_MAX;
    out->saw = csv_infer_bits(c->kind, c->type);
    if (c->kind == CSV_TEXT) {
        return loop_text(c, out, &out->misfit, err);
    }
    if (c->kind == CSV_BOOL) {
        out->bytes = fr_try_alloc(c->rows + 1);
        if (out->bytes == NULL) {
            return fr_fail(err, FR_ENOMEM, "no memory for %zu values", c->rows);
        }
    }
    bool iso = c->format == NULL;
    if (c->type->kind == FR_INT64) {
        out->misfit = loop_int(c, out);
    } else if (c->type->kind == FR_FLOAT64) {
        out->misfit = loop_float(c, out);
    } else if (c->kind == CSV_STAMP && iso && c->type->zone[0] == '\0' &&
               c->type->unit >= FR_MICRO) {
        out->misfit = loop_stamp(c, out);
    } else if (c->kind == CSV_DATE && iso) {
        out->misfit = loop_date(c, out);
    } else {
        out->misfit = loop_any(c, out);
    }
    if (out->misfit != SIZE_MAX) {
        classify(c, out);
    }
    return FR_OK;
}

void csv_part_fini(csv_part *p)
{
    fr_free(p->valid);
    fr_free(p->bytes);
    *p = (csv_part){.misfit = SIZE_MAX};
}
