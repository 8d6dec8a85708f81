#pragma once
// forecaster -- a fitted time-series model with the names and times around it: what a
// task returns, a file holds and `fit:forecast{…}` uses.
//
// Lifetime: an fr_object of kind FORECASTER, immutable, any thread. Kinds of models fill
// the table in series.h. The seasonal naive forecast is the model ARIMA(0,0,0)(0,1,0)s
// under another title.

#include "core/data/frame.h"
#include "core/ml/series.h"
#include "core/ml/spacing.h"

typedef struct fr_forecaster {
    fr_object object; // first
    const fr_series_ops *ops;
    void *model;
    fr_series_facts facts; // of model
    char *title;         // "ARIMA(2,1,2)(1,0,1)[24]"
    char *target, *time; // column names; "" for a bare array, or without times
    size_t exogs;
    char **exog;
    fr_spacing spacing; // when there are times
    fr_hash training;   // of the series, times and regressors fitted on
    fr_hash hash;       // of all of this
    char version[32];   // of the library that fitted it
} fr_forecaster;

extern const fr_object_ops fr_forecaster_ops;

// What to fit on; borrowed. Nulls of y are missing values.
typedef struct fr_forecaster_data {
    const fr_array *y;
    const char *target;   // "" for a bare array
    const fr_array *time; // NULL: rows are the times
    const char *time_name;
    size_t exogs;
    const fr_array *const *exog;
    const char *const *exog_names;
} fr_forecaster_data;

FR_NODISCARD int fr_forecaster_fit(const fr_series_ops *ops, const void *spec,
                                   const char *title, const fr_forecaster_data *data,
                                   fr_forecaster **out, fr_err *err);
// The kind of that name or tag; NULL when there is none.
const fr_series_ops *fr_forecaster_kind(const char *name, int tag);
// time (or step, from 1), mean, and lo/hi per level (0 < level < 100). `exog` holds the
// regressors for the steps to come, matched by name; NULL when the model has none.
FR_NODISCARD int fr_forecaster_forecast(const fr_forecaster *f, int64_t steps,
                                        const fr_frame *exog, const double *levels,
                                        size_t level_count, fr_frame **out, fr_err *err);
// time (or step), then residuals: one-step errors on the training rows, null where there
// are none.
FR_NODISCARD int fr_forecaster_residuals(const fr_forecaster *f, fr_frame **out,
                                         fr_err *err);
FR_NODISCARD int fr_forecaster_save(const fr_forecaster *f, const char *path,
                                    fr_err *err);
FR_NODISCARD int fr_forecaster_load(const char *path, fr_forecaster **out, fr_err *err);
FR_NODISCARD int fr_forecaster_parse(const void *bytes, size_t n, fr_forecaster **out,
                                     fr_err *err);
static inline void fr_forecaster_unref(const fr_forecaster *f)
{
    fr_object_unref((fr_object *)(void *)f);
}
