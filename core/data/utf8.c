#include "core/data/utf8.h"

#include <stdint.h>
#include <string.h>

// Bytes of the sequence that starts at s, 0 when it is not one.
static size_t sequence(const unsigned char *s, size_t n)
{
    unsigned c = s[0];
    size_t size = c < 0x80   ? 1
                  : c < 0xc2 ? 0
                  : c < 0xe0 ? 2
                  : c < 0xf0 ? 3
                  : c < 0xf5 ? 4
                             : 0;
    if (size == 0 || size > n) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool bad = (c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] > 0x9f) ||
               (c == 0xf0 && s[1] < 0x90) || (c == 0xf4 && s[1] > 0x8f);
    return bad ? 0 : size;
}

bool fr_utf8_valid(const char *s, size_t n, size_t *bad)
{
    size_t i = 0;
    while (i < n) {
        uint64_t w;
        if (n - i >= 8) {
            memcpy(&w, s + i, 8);
            if ((w & UINT64_C(0x8080808080808080)) == 0) {
                i += 8; // eight ASCII bytes
                continue;
            }
        }
        size_t size = sequence((const unsigned char *)s + i, n - i);
        if (size == 0) {
            if (bad != NULL) {
                *bad = i;
            }
            return false;
        }
        i += size;
    }
    return true;
}
