#pragma once
// run_memory -- whether tasks in threads keep to the memory that they declared: nothing can stop
// them, so the growth of the process is measured while they run and a line of the log says when it
// was more. Belongs to the engine's thread.

#include "core/engine/exec.h"

typedef struct fr_memory_watch {
    uint64_t declared;             // by the attempts that run now, together
} fr_memory_watch;

void fr_memory_begin(fr_memory_watch *w, fr_attempt *a);
// Writes to out what there is to say; false: nothing.
bool fr_memory_end(fr_memory_watch *w, const fr_attempt *a, char *out, size_t size);
