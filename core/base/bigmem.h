#pragma once
// bigmem -- buffers for columns (frames.md B2).
//
// From 4 MiB up: 2 MiB-aligned, MADV_HUGEPAGE, kept for reuse (capped; trimmed when idle),
// because page faults of fresh memory are most of a frame operation's cost. Smaller ones
// are 64-byte aligned from malloc. A block is refcounted and immutable once shared. Any thread.

#include "core/base/err.h"

#include <stdatomic.h>
#include <stdint.h>

typedef struct fr_block {
    uint8_t *data;           // 64-byte aligned
    size_t size;             // asked for; readable up to the next multiple of 64 (zero padded)
    size_t capacity;
    atomic_uint refs;
    int kind;                // private: malloc, pooled, mmap, view
    struct fr_block *parent; // of a view, referenced
} fr_block;

FR_NODISCARD int fr_block_new(size_t size, fr_block **out, fr_err *err);   // FR_ENOMEM; not zeroed
FR_NODISCARD int fr_block_new_zero(size_t size, fr_block **out, fr_err *err);
// Makes an unshared block smaller; gives memory back when much would be wasted.
FR_NODISCARD int fr_block_shrink(fr_block *b, size_t size, fr_err *err);
// A read-only private mapping of our own content-addressed file (frames.md B3).
FR_NODISCARD int fr_block_map_file(const char *path, fr_block **out, fr_err *err);
// Part of another block, which it keeps alive; offset + size must lie inside. Readable up to
// the next multiple of 64 only if the parent is.
fr_block *fr_block_view(fr_block *parent, size_t offset, size_t size);
fr_block *fr_block_ref(fr_block *b);
void fr_block_unref(fr_block *b);                      // NULL is fine
void fr_bigmem_trim(void);                             // gives kept memory back to the system
size_t fr_bigmem_kept(void);                           // bytes kept for reuse
