#include "core/data/csv_int.h"

#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#define SCAN_NAME(name) csv_scan_##name##_base
void csv_scan_survey_base(const uint8_t *text, size_t n, const csv_dialect *d,
                          csv_survey *out);
bool csv_scan_fields_base(const uint8_t *text, size_t n, const csv_dialect *d, bool quotes,
                          uint32_t *pos, size_t fields, size_t rows);
void csv_scan_survey_avx2(const uint8_t *text, size_t n, const csv_dialect *d,
                          csv_survey *out);
bool csv_scan_fields_avx2(const uint8_t *text, size_t n, const csv_dialect *d, bool quotes,
                          uint32_t *pos, size_t fields, size_t rows);

#include "core/data/csv_scan.inc"

#if defined(__x86_64__)
static inline uint64_t equal16(__m128i v, uint8_t c)
{
    return (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8((char)c)));
}

static inline block load_block(const uint8_t *p, const csv_dialect *d, uint64_t tail)
{
    block b = {0};
    for (int i = 0; i < 4; i++) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
        int shift = 16 * i;
        b.sep |= equal16(v, d->sep) << shift;
        b.newline |= equal16(v, d->newline) << shift;
        b.quote |= equal16(v, d->quote) << shift;
        b.cr |= equal16(v, '\r') << shift;
        b.high |= (uint64_t)(uint32_t)_mm_movemask_epi8(v) << shift;
    }
#else
static inline uint64_t equal8(uint64_t v, uint8_t c)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7f;
    v ^= 0x0101010101010101 * (uint64_t)c;
    uint64_t zero = ~(((v & low) + low) | v | low); // 0x80 where the byte is c
    return (zero >> 7) * 0x0102040810204080 >> 56;
}

static inline block load_block(const uint8_t *p, const csv_dialect *d, uint64_t tail)
{
    block b = {0};
    for (int i = 0; i < 8; i++) {
        uint64_t v = 0;
        for (int k = 7; k >= 0; k--) {
            v = v << 8 | p[8 * i + k];
        }
        int shift = 8 * i;
        b.sep |= equal8(v, d->sep) << shift;
        b.newline |= equal8(v, d->newline) << shift;
        b.quote |= equal8(v, d->quote) << shift;
        b.cr |= equal8(v, '\r') << shift;
        b.high |= ((v >> 7 & 0x0101010101010101) * 0x0102040810204080 >> 56) << shift;
    }
#endif
    b.sep &= tail;
    b.newline &= tail;
    b.quote = d->quoting ? b.quote & tail : 0;
    b.cr &= d->newline != '\r' ? tail : 0;
    b.high &= tail;
    return b;
}

static bool has_avx2(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("popcnt");
#else
    return false;
#endif
}

void csv_scan_survey(const uint8_t *text, size_t n, const csv_dialect *d, csv_survey *out)
{
#if defined(__x86_64__)
    if (has_avx2()) {
        csv_scan_survey_avx2(text, n, d, out);
        return;
    }
#endif
    csv_scan_survey_base(text, n, d, out);
}

bool csv_scan_fields(const uint8_t *text, size_t n, const csv_dialect *d, bool quotes,
                     uint32_t *pos, size_t fields, size_t rows)
{
#if defined(__x86_64__)
    if (has_avx2()) {
        return csv_scan_fields_avx2(text, n, d, quotes, pos, fields, rows);
    }
#endif
    return csv_scan_fields_base(text, n, d, quotes, pos, fields, rows);
}

// Behind the closing quote of a field that starts at i; *closed false at the end of text.
static size_t skip_quoted(const uint8_t *s, size_t i, size_t n, uint8_t quote, bool *closed)
{
    for (i++;;) {
        const uint8_t *q = i < n ? memchr(s + i, quote, n - i) : NULL;
        if (q == NULL) {
            *closed = false;
            return n;
        }
        i = (size_t)(q - s) + 1;
        if (i >= n || s[i] != quote) {
            return i;
        }
        i++;
    }
}

size_t csv_scan_record(const uint8_t *s, size_t n, const csv_dialect *d, uint32_t *pos,
                       size_t max, size_t *fields, bool *closed)
{
    size_t i = 0, count = 0;
    *closed = true;
    for (;;) {
        if (d->quoting && i < n && s[i] == d->quote) {
            i = skip_quoted(s, i, n, d->quote, closed);
        }
        while (i < n && s[i] != d->sep && s[i] != '\n' && s[i] != '\r') {
            i++;
        }
        if (count < max) {
            pos[count] = (uint32_t)i;
        }
        count++;
        if (i >= n || s[i] != d->sep) {
            break;
        }
        i++;
    }
    *fields = count;
    if (i < n) {
        i += s[i] == '\r' && i + 1 < n && s[i + 1] == '\n' ? 2 : 1;
    }
    return i;
}

size_t csv_scan_blank(const uint8_t *s, size_t n)
{
    size_t i = 0;
    while (i < n && (s[i] == '\n' || s[i] == '\r')) {
        i++;
    }
    return i;
}
