// The scanners with 32-byte registers; this file alone is compiled for AVX2 and BMI, and
// csv_scan.c asks the processor before it calls in here.

#if defined(__AVX2__)

#include "core/data/csv_int.h"

#include <immintrin.h>

#define SCAN_NAME(name) csv_scan_##name##_avx2
void csv_scan_survey_avx2(const uint8_t *text, size_t n, const csv_dialect *d,
                          csv_survey *out);
bool csv_scan_fields_avx2(const uint8_t *text, size_t n, const csv_dialect *d, bool quotes,
                          uint32_t *pos, size_t fields, size_t rows);

#include "core/data/csv_scan.inc"

static inline uint64_t equal64(__m256i low, __m256i high, uint8_t c)
{
    __m256i v = _mm256_set1_epi8((char)c);
    uint64_t a = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, v));
    uint64_t b = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, v));
    return a | b << 32;
}

static inline block load_block(const uint8_t *p, const csv_dialect *d, uint64_t tail)
{
    __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
    uint64_t beyond = (uint32_t)_mm256_movemask_epi8(low) |
                      (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
    return (block){
        .sep = equal64(low, high, d->sep) & tail,
        .newline = equal64(low, high, d->newline) & tail,
        .quote = d->quoting ? equal64(low, high, d->quote) & tail : 0,
        .cr = d->newline != '\r' ? equal64(low, high, '\r') & tail : 0,
        .high = beyond & tail,
    };
}

#else
typedef int csv_scan_avx2_is_empty; // a translation unit holds at least one declaration
#endif
