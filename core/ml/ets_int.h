#pragma once
// ets_int -- what the ets*.c files share. Private to them.

#include "core/ml/ets.h"

typedef struct ets_state { // borrowed season
    double alpha, beta, gamma, phi;
    double level, slope;
    double *season; // of the rows to come, season[at] of the next
    int at;
} ets_state;

typedef struct ets_path { // what a pass leaves for the pass back; n values each
    double *error, *base, *season, *slope; // y - mean; level + trend; season used; slope
} ets_path;

typedef struct ets_sums {
    double squares;  // of the form's errors
    double logs;     // sum of log |mean| (multiplicative error)
    double absolute; // squares of y - mean
    bool valid;      // false: a mean, level or season left the positive numbers
} ets_sums;

typedef struct ets_gradient {
    double alpha, beta, gamma, phi, level, slope;
    double *season; // period values
} ets_gradient;

// Runs over y[n] and leaves the state after the last row.
ets_sums ets_forward(const fr_ets_form *form, const double *y, int64_t n, ets_state *s,
                     const ets_path *path);
// Gradient of log(squares / observed) / 2 + logs / observed in parameters and first
// states, from what ets_forward left.
void ets_backward(const fr_ets_form *form, const double *y, int64_t n,
                  const ets_state *first, const ets_path *path, const ets_sums *sums,
                  int64_t observed, ets_gradient *out);
// One step without data: the mean of the next row, which the error e (of the form's kind,
// 0: none) then moves. For forecasts and simulations.
double ets_step(const fr_ets_form *form, ets_state *s, double e);

// A first guess of level, slope and season from the first rows.
void ets_guess(const fr_ets_form *form, const double *y, int64_t n, double *initial);
