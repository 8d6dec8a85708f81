#pragma once
// grow -- an array that grows by chunks, so that its elements stay where they are and nothing
// is ever copied. Owned by one thread; embed it zeroed. The owner knows the type:
//
//     thing *t = fr_grow_add(&a, sizeof *t);            not zeroed
//     thing *t = fr_grow_at(&a, i, sizeof *t);          i < a.n

#include "core/base/base.h"

#include <stdint.h>

enum { FR_GROW_CHUNK = 1024 };           // elements

typedef struct fr_grow {
    uint8_t **chunk;
    uint32_t n, n_chunks;                // n: elements
} fr_grow;

void *fr_grow_add(fr_grow *g, size_t size);
void fr_grow_fini(fr_grow *g);           // owns no more than the memory of the elements

static inline void *fr_grow_at(const fr_grow *g, uint32_t i, size_t size)
{
    return g->chunk[i / FR_GROW_CHUNK] + i % FR_GROW_CHUNK * size;
}
