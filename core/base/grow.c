#include "core/base/grow.h"

#include "core/base/mem.h"

void *fr_grow_add(fr_grow *g, size_t size)
{
    if (g->n == g->n_chunks * FR_GROW_CHUNK) {
        g->chunk = fr_realloc(g->chunk, (g->n_chunks + 1) * sizeof *g->chunk);
        g->chunk[g->n_chunks++] = fr_alloc(FR_GROW_CHUNK * size);
    }
    return fr_grow_at(g, g->n++, size);
}

void fr_grow_fini(fr_grow *g)
{
    for (uint32_t i = 0; i < g->n_chunks; i++) {
        fr_free(g->chunk[i]);
    }
    fr_free(g->chunk);
    *g = (fr_grow){0};
}
