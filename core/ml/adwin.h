#pragma once
// adwin -- ADWIN2 (Bifet, Gavalda 2007): a window over a stream that grows while its mean
// stays, and drops its oldest part when two parts differ. Private to monitor.c.
//
// The window is kept as an exponential histogram: buckets of 1, 2, 4, … numbers, at most
// six of a size, each its sum and its squared deviations; memory is logarithmic.

#include "core/ml/monitor.h"

enum { FR_ADWIN_OPTIONS = 5 };
enum {
    FR_ADWIN_HEAD = 5,  // width, sum, squared deviations, numbers seen, levels
    FR_ADWIN_LEVELS = 48,
    FR_ADWIN_BUCKETS = 6,
    // Of a level: how many buckets, then their sums and squared deviations, oldest first.
    FR_ADWIN_LEVEL = 1 + 2 * FR_ADWIN_BUCKETS,
    FR_ADWIN_SIZE = FR_ADWIN_HEAD + FR_ADWIN_LEVELS * FR_ADWIN_LEVEL,
};

extern const fr_model_option fr_adwin_options[FR_ADWIN_OPTIONS];

void fr_adwin_start(const double *option, const fr_monitor_base *base, double *state);
void fr_adwin_step(const double *option, const fr_monitor_base *base, double *state,
                   double x, double *out);
bool fr_adwin_sound(const double *state);
