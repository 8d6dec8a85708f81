#pragma once
// clock -- the only place that reads clocks. Engine code takes times as arguments. Any thread.

#include <stdint.h>

int64_t fr_clock_mono_ns(void);    // CLOCK_BOOTTIME: goes on while the machine sleeps
int64_t fr_clock_wall_ns(void);    // since 1970 UTC; for display and persisted deadlines
int64_t fr_clock_thread_cpu_ns(void);
