#pragma once
// gpu -- which graphics processors an attempt uses. How many there are to share is the limit
// "gpu"; which ones is said by locks on files in the store's folder, so that no two processes
// of a store have the same one and a dead process has none. Belongs to the engine's thread.

#include "core/base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { FR_GPUS = 64 };             // of one machine, at most

typedef struct fr_gpus fr_gpus;
fr_gpus *fr_gpus_new(const char *home);           // NULL: of this process alone
void fr_gpus_free(fr_gpus *g);
// n that nobody has, as bits; fewer when there are not so many.
uint64_t fr_gpus_take(fr_gpus *g, uint32_t n);
void fr_gpus_give(fr_gpus *g, uint64_t bits);
// "0,3": what CUDA_VISIBLE_DEVICES wants.
void fr_gpus_text(uint64_t bits, char *out, size_t size);
