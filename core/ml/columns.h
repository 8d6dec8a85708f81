#pragma once
// columns -- what a model is fitted on and predicts from: float64 features by column, and
// a target already turned into codes or numbers. Borrowed views; nobody here owns memory.

#include "core/base/base.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct fr_columns {
    size_t rows, count;
    const double *const *column; // [count][rows]
    const char *const *name;     // [count], for messages
    bool missing;                // whether values may be NaN, which stands for null
} fr_columns;

typedef struct fr_target {
    const int32_t *code;  // classification: 0 .. classes-1
    size_t classes;       // 0 for regression
    const double *number; // regression
} fr_target;
