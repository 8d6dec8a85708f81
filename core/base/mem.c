#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BLOCK = 4096, LARGEST_BLOCK = 1 << 20 };

struct fr_arena_block {
    fr_arena_block *next;
    size_t size;
};

static void *must(void *p, size_t size)
{
    if (FR_UNLIKELY(p == NULL && size > 0)) {
        fr_panic(__FILE__, __LINE__, "out of memory");
    }
    return p;
}

void *fr_alloc(size_t size)
{
    return must(malloc(size), size);
}

void *fr_zalloc(size_t size)
{
    return must(calloc(1, size), size);
}

void *fr_realloc(void *p, size_t size)
{
    return must(realloc(p, size), size);
}

void *fr_try_alloc(size_t size)
{
    return malloc(size);
}

void *fr_try_realloc(void *p, size_t size)
{
    return realloc(p, size);
}

void fr_free(void *p)
{
    free(p);
}

char *fr_strdup(const char *s)
{
    return fr_strndup(s, strlen(s));
}

char *fr_strndup(const char *s, size_t n)
{
    char *copy = fr_alloc(n + 1);
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

void fr_arena_init(fr_arena *a)
{
    *a = (fr_arena){0};
}

void fr_arena_fini(fr_arena *a)
{
    for (fr_arena_block *b = a->head; b != NULL;) {
        fr_arena_block *next = b->next;
        fr_free(b);
        b = next;
    }
    *a = (fr_arena){0};
}

static void grow(fr_arena *a, size_t size)
{
    size_t want = a->head == NULL ? FIRST_BLOCK : FR_MIN(a->head->size * 2, LARGEST_BLOCK);
    want = FR_MAX(want, size + sizeof(fr_arena_block) + 16);
    fr_arena_block *b = fr_alloc(want);
    b->next = a->head;
    b->size = want;
    a->head = b;
    a->at = (char *)b + ((sizeof *b + 15) & ~(size_t)15);
    a->end = (char *)b + want;
    a->total += want;
}

void *fr_arena_alloc(fr_arena *a, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (FR_UNLIKELY((size_t)(a->end - a->at) < size)) {
        grow(a, size);
    }
    void *p = a->at;
    a->at += size;
    return p;
}

void *fr_arena_zalloc(fr_arena *a, size_t size)
{
    return memset(fr_arena_alloc(a, size), 0, size);
}

char *fr_arena_strndup(fr_arena *a, const char *s, size_t n)
{
    char *copy = fr_arena_alloc(a, n + 1);
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}
