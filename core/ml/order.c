#include "core/ml/order.h"

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

static void sort_few(uint64_t *keys, size_t n, unsigned low)
{
    for (size_t i = 1; i < n; i++) {
        uint64_t x = keys[i];
        size_t k = i;
        for (; k > 0 && keys[k - 1] >> low > x >> low; k--) {
            keys[k] = keys[k - 1];
        }
        keys[k] = x;
    }
}

uint64_t *fr_order_sort(uint64_t *keys, uint64_t *scratch, size_t n, unsigned low)
{
    if (n <= 32) {
        sort_few(keys, n, low);
        return keys;
    }
    for (unsigned shift = low; shift < 64; shift += DIGIT_BITS) {
        size_t start[DIGITS] = {0};
        for (size_t i = 0; i < n; i++) {
            start[keys[i] >> shift & (DIGITS - 1)]++;
        }
        if (start[keys[0] >> shift & (DIGITS - 1)] == n) {
            continue; // all keys have this digit in common
        }
        size_t sum = 0;
        for (size_t d = 0; d < DIGITS; d++) {
            size_t count = start[d];
            start[d] = sum;
            sum += count;
        }
        for (size_t i = 0; i < n; i++) {
            scratch[start[keys[i] >> shift & (DIGITS - 1)]++] = keys[i];
        }
        uint64_t *t = keys;
        keys = scratch;
        scratch = t;
    }
    return keys;
}
