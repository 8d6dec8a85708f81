#pragma once
// monitor -- what watches one column of numbers as it streams by: the control charts EWMA
// and CUSUM, and the drift detectors Page-Hinkley and ADWIN. They keep sums, never rows.
//
// A monitor is a model: updating gives a new one, the old stays, so a monitor crosses
// tasks and is a checkpoint. The same numbers give the same monitor in one batch or in
// many. Payload: u64 numbers seen, double mean and sd in control, then doubles of the kind.

#include "core/ml/model.h"

enum { FR_MONITOR_OUTPUTS = 4 };

// How a column behaves in control; charts are drawn around it.
typedef struct fr_monitor_base {
    double mean, sd;
} fr_monitor_base;

typedef struct fr_monitor {
    const fr_model_ops *model;
    bool charts; // needs a base
    size_t outputs;
    const char *output[FR_MONITOR_OUTPUTS]; // names; the last is "alarm", 0 or 1
    size_t size;                            // of the state, in doubles
    void (*start)(const double *option, const fr_monitor_base *base, double *state);
    void (*step)(const double *option, const fr_monitor_base *base, double *state,
                 double x, double *out);
    bool (*sound)(const double *state); // whether a state from a file can be used
} fr_monitor;

extern const fr_model_ops fr_ewma_ops, fr_cusum_ops, fr_page_hinkley_ops, fr_adwin_ops;

// NULL when the kind is no monitor.
const fr_monitor *fr_monitor_of(const fr_model_ops *ops);
// One that has seen nothing. base: NULL for kinds without charts.
FR_NODISCARD int fr_monitor_new(const fr_monitor *kind, const double *option,
                                const fr_monitor_base *base, fr_model **out, fr_err *err);
// Mean and standard deviation (n - 1) of x, NaN left out; FR_EINVAL when there are fewer
// than two numbers or they are all equal.
FR_NODISCARD int fr_monitor_base_of(const double *x, size_t n, fr_monitor_base *out,
                                    fr_err *err);
// Goes on with n numbers: out[output][i] after number i; NaN for NaN, which is passed over.
FR_NODISCARD int fr_monitor_update(const fr_model *m, const double *x, size_t n,
                                   double *out, fr_model **next, fr_err *err);
