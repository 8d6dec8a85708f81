#include "core/base/nearest.h"

#include <stdbool.h>
#include <string.h>

enum { LONGEST = 64 };

static char fold(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c; }

size_t fr_nearest_distance(const char *a, const char *b, size_t most)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST || (n > m ? n - m : m - n) > most) {
        return most + 1;
    }
    size_t rows[3][LONGEST + 1];
    size_t *two = rows[0], *before = rows[1], *now = rows[2];
    for (size_t j = 0; j <= m; j++) {
        before[j] = two[j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            bool same = fold(a[i - 1]) == fold(b[j - 1]);
            size_t d = FR_MIN(FR_MIN(now[j - 1], before[j]) + 1, before[j - 1] + !same);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                fold(a[i - 2]) == fold(b[j - 1])) {
                d = FR_MIN(d, two[j - 2] + 1);
            }
            now[j] = d;
        }
        size_t *spare = two;
        two = before;
        before = now;
        now = spare;
    }
    return FR_MIN(before[m], most + 1);
}

const char *fr_nearest(const char *name, const char *const *names, size_t n)
{
    size_t best = FR_MAX(strlen(name) / 3, 1) + 1;
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = fr_nearest_distance(name, names[i], best);
        if (d < best) {
            best = d;
            found = names[i];
        }
    }
    return found;
}
