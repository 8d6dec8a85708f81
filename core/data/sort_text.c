// Order of distinct texts: eight bytes at a time as a big-endian number; texts that share
// them go on with the next eight.

#include "core/base/mem.h"
#include "core/data/sort.h"

#include <stdlib.h>
#include <string.h>

enum { SMALL = 24 };

typedef struct item {
    uint64_t key;
    uint32_t row;
    uint32_t left; // bytes of the text at this depth, at most 9
} item;

static uint64_t prefix(const fr_array *a, uint32_t row, size_t depth, uint32_t *left)
{
    size_t n;
    const char *s = fr_array_text(a, row, &n);
    uint64_t key = 0;
    n = n > depth ? n - depth : 0;
    *left = (uint32_t)FR_MIN(n, 9);
    if (n > 0) {
        memcpy(&key, s + depth, FR_MIN(n, 8));
    }
    return __builtin_bswap64(key);
}

// Shorter first where the padding hides a difference: "a" before "a\0".
static int by_item(const void *a, const void *b)
{
    item x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    if (x.key != y.key) {
        return x.key < y.key ? -1 : 1;
    }
    return (x.left > y.left) - (x.left < y.left);
}

static int compare(const fr_array *a, uint32_t i, uint32_t j)
{
    size_t n, m;
    const char *s = fr_array_text(a, i, &n), *t = fr_array_text(a, j, &m);
    int c = memcmp(s, t, FR_MIN(n, m));
    return c != 0 ? c : (n > m) - (n < m);
}

static void insertion(const fr_array *a, uint32_t *rows, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        uint32_t row = rows[i];
        size_t j = i;
        for (; j > 0 && compare(a, rows[j - 1], row) > 0; j--) {
            rows[j] = rows[j - 1];
        }
        rows[j] = row;
    }
}

// Bytes that all the texts start with.
static size_t common(const fr_array *a, const uint32_t *rows, size_t n, size_t depth)
{
    size_t size;
    const char *s = fr_array_text(a, rows[0], &size);
    for (size_t i = 1; i < n && size > depth; i++) {
        size_t m, k = depth;
        const char *t = fr_array_text(a, rows[i], &m);
        size = FR_MIN(size, m);
        while (k < size && s[k] == t[k]) {
            k++;
        }
        size = k;
    }
    return FR_MAX(size, depth);
}

static void sort_from(const fr_array *a, uint32_t *rows, size_t n, size_t depth,
                      item *items)
{
    while (n > SMALL) {
        depth = common(a, rows, n, depth);
        for (size_t i = 0; i < n; i++) {
            items[i].row = rows[i];
            items[i].key = prefix(a, rows[i], depth, &items[i].left);
        }
        qsort(items, n, sizeof *items, by_item);
        for (size_t i = 0; i < n; i++) {
            rows[i] = items[i].row;
        }
        // Only texts with more than eight bytes left can still be undecided. All runs but
        // the last are sorted by a call, the last by another turn of this loop.
        size_t at = 0, last_at = 0, last_n = 0;
        uint64_t *ends = fr_alloc((n + 1) * sizeof *ends);
        size_t nends = 0;
        while (at < n) {
            size_t end = at + 1;
            while (end < n && items[end].key == items[at].key) {
                end++;
            }
            while (at < end && items[at].left <= 8) {
                at++;
            }
            if (end - at > 1) {
                ends[nends++] = (uint64_t)at << 32 | (uint64_t)end;
            }
            at = end;
        }
        for (size_t k = 0; k + 1 < nends; k++) {
            size_t from = (size_t)(ends[k] >> 32), end = (size_t)(ends[k] & UINT32_MAX);
            sort_from(a, rows + from, end - from, depth + 8, items);
        }
        if (nends > 0) {
            last_at = (size_t)(ends[nends - 1] >> 32);
            last_n = (size_t)(ends[nends - 1] & UINT32_MAX) - last_at;
        }
        fr_free(ends);
        rows += last_at;
        n = last_n;
        depth += 8;
    }
    insertion(a, rows, n);
}

void fr_sort_texts(const fr_array *text, uint32_t *rows, size_t n)
{
    item *items = fr_alloc(FR_MAX(n, 1) * sizeof *items);
    sort_from(text, rows, n, 0, items);
    fr_free(items);
}

int fr_sort_dictionary(const fr_array *category, uint32_t *rank, fr_err *err)
{
    const fr_array *dict = category->dict;
    size_t n = (size_t)dict->length;
    (void)err;
    if (category->type.ordered) {
        for (size_t i = 0; i < n; i++) {
            rank[i] = (uint32_t)i;
        }
        return FR_OK;
    }
    uint32_t *order = fr_alloc(FR_MAX(n, 1) * sizeof *order);
    for (size_t i = 0; i < n; i++) {
        order[i] = (uint32_t)i;
    }
    fr_sort_texts(dict, order, n);
    uint32_t place = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && compare(dict, order[i - 1], order[i]) != 0) {
            place = (uint32_t)i;
        }
        rank[order[i]] = place;
    }
    fr_free(order);
    return FR_OK;
}
