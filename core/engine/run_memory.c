#include "core/engine/run_memory.h"

#include "core/base/base.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// Bytes that the process has in memory, now and at most so far.
static void measure(uint64_t *now, uint64_t *most)
{
    char line[256];
    *now = *most = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        uint64_t kib = 0;
        if (sscanf(line, "VmHWM: %" SCNu64, &kib) == 1) {
            *most = kib * 1024;
        } else if (sscanf(line, "VmRSS: %" SCNu64, &kib) == 1) {
            *now = kib * 1024;
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
}

void fr_memory_begin(fr_memory_watch *w, fr_attempt *a)
{
    measure(&a->resident, &a->peak);
    w->declared += a->memory;
}

bool fr_memory_end(fr_memory_watch *w, const fr_attempt *a, char *out, size_t size)
{
    uint64_t now, most, together = w->declared;
    measure(&now, &most);
    w->declared -= FR_MIN(a->memory, w->declared);
    uint64_t top = most > a->peak ? most : now;
    if (top <= a->resident || top - a->resident <= together) {
        return false;
    }
    const double mib = 1 << 20;
    bool alone = together == a->memory;
    (void)snprintf(out, size,
                   "the run's process grew by %.1f MiB while this ran%s; resources.memory = %.1f "
                   "MiB may be too little (isolate = true measures and bounds a task by itself)",
                   (double)(top - a->resident) / mib, alone ? "" : " beside others",
                   (double)a->memory / mib);
    return true;
}
