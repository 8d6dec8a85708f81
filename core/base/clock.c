#include "core/base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    (void)clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t fr_clock_mono_ns(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

int64_t fr_clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t fr_clock_thread_cpu_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}
