#include "core/base/decimal.h"

#include "core/base/mem.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    POWER_MIN = -342,
    POWER_MAX = 308,          // larger ones are infinite even for one digit
    TABLE_MAX = 324,
    MANTISSA_BITS = 52,
    EXPONENT_BIAS = 1023,
    EXACT_POWER = 22,         // 10^22 is a double
    DIGITS_MAX = 19,          // of a uint64 that may hold any digits
};

static const double exact_powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

typedef struct wide {
    uint64_t hi, lo;
} wide;

static inline wide multiply(uint64_t a, uint64_t b)
{
#if defined(__SIZEOF_INT128__)
    __extension__ unsigned __int128 p = (unsigned __int128)a * b;
    return (wide){(uint64_t)(p >> 64), (uint64_t)p};
#else
    uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
    uint64_t ll = al * bl, lh = al * bh, hl = ah * bl;
    uint64_t mid = (ll >> 32) + (uint32_t)lh + (uint32_t)hl;
    return (wide){ah * bh + (lh >> 32) + (hl >> 32) + (mid >> 32),
                  (mid << 32) | (uint32_t)ll};
#endif
}

static inline double from_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// w * 10^q, q in [POWER_MIN, POWER_MAX], w > 0: section 5 and 6 of Lemire's paper.
static uint64_t eisel_lemire(uint64_t w, int q)
{
    int zeros = __builtin_clzll(w);
    w <<= zeros;
    const uint64_t *power = fr_decimal_powers[q - POWER_MIN];
    wide p = multiply(w, power[0]);
    if ((p.hi & 0x1ff) == 0x1ff) {
        wide more = multiply(w, power[1]);
        p.lo += more.hi;
        p.hi += p.lo < more.hi;
    }
    int upper = (int)(p.hi >> 63);
    uint64_t m = p.hi >> (upper + 64 - MANTISSA_BITS - 3);
    int exponent = (int)(((152170 + 65536) * (int64_t)q) >> 16) + 63 + upper - zeros +
                   EXPONENT_BIAS;
    if (exponent <= 0) { // subnormal, or zero
        if (1 - exponent >= 64) {
            return 0;
        }
        m >>= 1 - exponent;
        m += m & 1;
        m >>= 1;
        return m; // the carry into the exponent field is the smallest normal number
    }
    if (p.lo <= 1 && q >= -4 && q <= 23 && (m & 3) == 1 &&
        m << (upper + 64 - MANTISSA_BITS - 3) == p.hi) {
        m &= ~UINT64_C(1); // exactly half way: to even
    }
    m += m & 1;
    m >>= 1;
    if (m >= UINT64_C(2) << MANTISSA_BITS) {
        m = UINT64_C(1) << MANTISSA_BITS;
        exponent++;
    }
    if (exponent >= 0x7ff) {
        return UINT64_C(0x7ff) << MANTISSA_BITS;
    }
    return (m & ~(UINT64_C(1) << MANTISSA_BITS)) | (uint64_t)exponent << MANTISSA_BITS;
}

double fr_decimal_scale(uint64_t w, int q)
{
    if (w <= UINT64_C(1) << 53 && q >= -EXACT_POWER && q <= EXACT_POWER) {
        return q < 0 ? (double)w / exact_powers[-q] : (double)w * exact_powers[q];
    }
    if (w == 0 || q < POWER_MIN) {
        return 0;
    }
    return q > POWER_MAX ? (double)INFINITY : from_bits(eisel_lemire(w, q));
}

// The exact path: more digits than a uint64 holds, and rounding depends on them. With
// `narrow` the result is rounded to a float at once.
static double exact_slow(const char *s, size_t n, bool narrow)
{
    char small[128];
    char *text = n < sizeof small ? small : fr_try_alloc(n + 1);
    if (text == NULL) {
        return (double)NAN;
    }
    memcpy(text, s, n);
    text[n] = '\0';
    double x;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c != (locale_t)0) {
        x = narrow ? (double)strtof_l(text, NULL, c) : strtod_l(text, NULL, c);
        freelocale(c);
    } else {
        x = narrow ? (double)strtof(text, NULL) : strtod(text, NULL);
    }
    if (text != small) {
        fr_free(text);
    }
    return x;
}

static bool word(const char *s, size_t n, const char *lower)
{
    if (strlen(lower) != n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if ((s[i] | 32) != lower[i]) {
            return false;
        }
    }
    return true;
}

static bool special(const char *s, size_t n, double *out)
{
    if (word(s, n, "inf") || word(s, n, "infinity")) {
        *out = (double)INFINITY;
        return true;
    }
    if (word(s, n, "nan")) {
        *out = (double)NAN;
        return true;
    }
    return false;
}

// What was read of a number: w * 10^power, and whether digits were left out of w.
typedef struct scan {
    uint64_t w;
    int64_t power;
    bool cut;
} scan;

static inline bool is_digit(char c) { return (unsigned char)(c - '0') < 10; }

// Digits and a point from s; returns where they end, or NULL when there is no digit.
static const char *scan_digits(const char *s, const char *end, scan *out)
{
    uint64_t w = 0;
    int64_t power = 0;
    int kept = 0;
    bool any = false, cut = false, point = false;
    for (; s < end; s++) {
        if (is_digit(*s)) {
            any = true;
            unsigned digit = (unsigned)(*s - '0');
            if (kept < DIGITS_MAX) {
                w = w * 10 + digit;
                kept += w != 0;
                power -= point;
            } else {
                cut |= digit != 0;
                power += !point;
            }
        } else if (*s == '.' && !point) {
            point = true;
        } else {
            break;
        }
    }
    *out = (scan){w, power, cut};
    return any ? s : NULL;
}

static bool scan_exponent(const char *s, const char *end, int64_t *power)
{
    bool minus = s < end && *s == '-';
    if (s < end && (*s == '-' || *s == '+')) {
        s++;
    }
    if (s == end) {
        return false;
    }
    int64_t e = 0;
    for (; s < end; s++) {
        if (!is_digit(*s)) {
            return false;
        }
        e = e < 1000000000 ? e * 10 + (*s - '0') : e;
    }
    *power += minus ? -e : e;
    return true;
}

bool fr_decimal_parse(const char *s, size_t n, double *out)
{
    const char *at = s, *end = s + n;
    bool minus = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) {
        at++;
    }
    scan d;
    double x;
    const char *after = scan_digits(at, end, &d);
    if (after == NULL) {
        if (!special(at, (size_t)(end - at), &x)) {
            return false;
        }
        *out = minus ? -x : x;
        return true;
    }
    if (after < end &&
        ((*after | 32) != 'e' || !scan_exponent(after + 1, end, &d.power))) {
        return false;
    }
    int q = (int)(d.power < -2000 ? -2000 : d.power > 2000 ? 2000 : d.power);
    x = fr_decimal_scale(d.w, q);
    // With digits left out the number lies between w and w + 1: when both round to the same
    // double, so does it. Far exponents were clamped above, with long digit strings too.
    if (d.cut && (x != fr_decimal_scale(d.w + 1, q) || q != d.power)) {
        x = exact_slow(at, (size_t)(end - at), false);
    }
    *out = minus ? -x : x;
    return true;
}

bool fr_decimal_parse_float(const char *s, size_t n, float *out)
{
    double x;
    if (!fr_decimal_parse(s, n, &x)) {
        return false;
    }
    float f = (float)x;
    // Rounding twice differs from rounding once only where the double is half-way between
    // two floats: the digits decide.
    double step = isfinite(f) ? x - (double)f : 0;
    float next = nextafterf(f, step > 0 ? INFINITY : -INFINITY);
    bool half = step != 0 && step == (double)next - x;
    bool edge = fabs(x) >= 0x1.ffffffp127 && fabs(x) <= 0x1.ffffff0000001p127;
    *out = half || edge ? (float)exact_slow(s, n, true) : f;
    return true;
}

bool fr_decimal_parse_int(const char *s, size_t n, int64_t *out)
{
    const char *end = s + n;
    bool minus = s < end && *s == '-';
    if (s < end && (*s == '-' || *s == '+')) {
        s++;
    }
    while (s + 1 < end && *s == '0') {
        s++;
    }
    if (s == end || end - s > DIGITS_MAX) {
        return false;
    }
    uint64_t v = 0;
    for (; s < end; s++) {
        if (!is_digit(*s)) {
            return false;
        }
        v = v * 10 + (uint64_t)(*s - '0');
    }
    if (v > (uint64_t)INT64_MAX + minus) {
        return false;
    }
    *out = minus ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

// floor(log10(2^e)) and floor(log2(10^e)), exact in the ranges used (Giulietti, section 9).
static inline int floor_log10_pow2(int e, bool closer)
{
    return (e * 1262611 - (closer ? 524031 : 0)) >> 22;
}
static inline int floor_log2_pow10(int e) { return (e * 1741647) >> 19; }

static inline uint64_t round_to_odd(wide g, uint64_t cp)
{
    wide x = multiply(g.lo, cp), y = multiply(g.hi, cp);
    y.lo += x.hi;
    y.hi += y.lo < x.hi;
    return y.hi | (y.lo > 1);
}

// 10^k from the table, rounded up when it is inexact, as Schubfach wants it.
static inline wide power_up(int k)
{
    const uint64_t *t = fr_decimal_powers[k - POWER_MIN];
    wide g = {t[0], t[1]};
    if (k > 55) { // beyond 10^55 five's power does not fit and the table is cut
        g.lo++;
        g.hi += g.lo == 0;
    }
    return g;
}

// Schubfach: the shortest digits in the rounding interval of x, nearest to x.
static uint64_t shortest(uint64_t bits, int *exponent)
{
    uint64_t fraction = bits & ((UINT64_C(1) << MANTISSA_BITS) - 1);
    int biased = (int)(bits >> MANTISSA_BITS & 0x7ff);
    uint64_t c = biased != 0 ? fraction | UINT64_C(1) << MANTISSA_BITS : fraction;
    int q = (biased != 0 ? biased : 1) - EXPONENT_BIAS - MANTISSA_BITS;
    if (q <= 0 && q > -MANTISSA_BITS - 1 && (c & ((UINT64_C(1) << -q) - 1)) == 0) {
        *exponent = 0; // a whole number below 2^53
        return c >> -q;
    }
    bool odd = c & 1, closer = fraction == 0 && biased > 1;
    int k = floor_log10_pow2(q, closer);
    int h = q + floor_log2_pow10(-k) + 1;
    wide g = power_up(-k);
    uint64_t lower = round_to_odd(g, (4 * c - 2 + closer) << h) + odd;
    uint64_t v = round_to_odd(g, (4 * c) << h);
    uint64_t upper = round_to_odd(g, (4 * c + 2) << h) - odd;
    uint64_t s = v / 4;
    if (s >= 10) {
        uint64_t t = s / 10;
        bool down = lower <= 40 * t, up = 40 * t + 40 <= upper;
        if (down != up) {
            *exponent = k + 1;
            return t + up;
        }
    }
    *exponent = k;
    bool down = lower <= 4 * s, up = 4 * s + 4 <= upper;
    if (down != up) {
        return s + up;
    }
    uint64_t middle = 4 * s + 2;
    return s + (v > middle || (v == middle && (s & 1) != 0));
}

static int print_digits(uint64_t v, char *end) // backwards; returns how many
{
    char *at = end;
    do {
        *--at = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    return (int)(end - at);
}

// digits * 10^exponent with a point, or in scientific form when that is shorter to read.
static size_t layout(const char *digits, int n, int exponent, char *out)
{
    char *at = out;
    int point = n + exponent; // digits before the point
    if (point > 0 && point <= 17) {
        for (int i = 0; i < point; i++) {
            *at++ = i < n ? digits[i] : '0';
        }
        *at++ = '.';
        if (point >= n) {
            *at++ = '0';
        }
        for (int i = point; i < n; i++) {
            *at++ = digits[i];
        }
    } else if (point <= 0 && point > -5) {
        *at++ = '0';
        *at++ = '.';
        for (int i = point; i < 0; i++) {
            *at++ = '0';
        }
        memcpy(at, digits, (size_t)n);
        at += n;
    } else {
        *at++ = digits[0];
        if (n > 1) {
            *at++ = '.';
            memcpy(at, digits + 1, (size_t)n - 1);
            at += n - 1;
        }
        int e = point - 1;
        *at++ = 'e';
        *at++ = e < 0 ? '-' : '+';
        char tail[8];
        int m = print_digits((uint64_t)(e < 0 ? -e : e), tail + sizeof tail);
        if (m < 2) {
            *at++ = '0';
        }
        memcpy(at, tail + sizeof tail - m, (size_t)m);
        at += m;
    }
    return (size_t)(at - out);
}

size_t fr_decimal_print(double x, char out[FR_DECIMAL_MAX])
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    char *at = out;
    if (isnan(x)) {
        memcpy(out, "nan", 4);
        return 3;
    }
    if (bits >> 63) {
        *at++ = '-';
    }
    bits &= ~(UINT64_C(1) << 63);
    if (isinf(x)) {
        memcpy(at, "inf", 4);
        return (size_t)(at - out) + 3;
    }
    if (bits == 0) {
        memcpy(at, "0.0", 4);
        return (size_t)(at - out) + 3;
    }
    int exponent;
    uint64_t v = shortest(bits, &exponent);
    while (v % 10 == 0) {
        v /= 10;
        exponent++;
    }
    char digits[24];
    int n = print_digits(v, digits + sizeof digits);
    at += layout(digits + sizeof digits - n, n, exponent, at);
    *at = '\0';
    return (size_t)(at - out);
}

size_t fr_decimal_print_int(int64_t v, char out[FR_DECIMAL_MAX])
{
    char digits[24];
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    int n = print_digits(u, digits + sizeof digits);
    char *at = out;
    if (v < 0) {
        *at++ = '-';
    }
    memcpy(at, digits + sizeof digits - n, (size_t)n);
    at[n] = '\0';
    return (size_t)(at - out) + (size_t)n;
}
