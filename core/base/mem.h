#pragma once
// mem -- memory for control structures.
//
// Small control allocations abort when memory is gone (untested error paths are worse);
// allocations whose size a user decides use fr_try_* and return FR_ENOMEM. Large column
// buffers come from core/base/bigmem.h. Any thread.

#include "core/base/base.h"

void *fr_alloc(size_t size);                     // never NULL; contents undefined
void *fr_zalloc(size_t size);                    // never NULL; zeroed
void *fr_realloc(void *p, size_t size);          // never NULL
void *fr_try_alloc(size_t size);                 // NULL when memory is gone
void *fr_try_realloc(void *p, size_t size);
void fr_free(void *p);                           // NULL is fine
char *fr_strdup(const char *s);
char *fr_strndup(const char *s, size_t n);

// Arena: many small objects with one end of life. Owned by one thread.
typedef struct fr_arena_block fr_arena_block;
typedef struct fr_arena {
    fr_arena_block *head;
    char *at, *end;
    size_t total;            // bytes taken from the system
} fr_arena;

void fr_arena_init(fr_arena *a);
void fr_arena_fini(fr_arena *a);                 // frees everything at once
void *fr_arena_alloc(fr_arena *a, size_t size);  // 16-byte aligned, not zeroed
void *fr_arena_zalloc(fr_arena *a, size_t size);
char *fr_arena_strndup(fr_arena *a, const char *s, size_t n);
