#pragma once
// pipeline -- fitted transformers and a last model as one model: the images of its steps.
//
// Payload: u64 steps; u64 size of each; their images, each 64-byte aligned from the
// payload's start. A step is no pipeline itself, so opening a file ends.

#include "core/ml/model.h"

enum { FR_PIPELINE_STEPS = 64 };

typedef struct fr_pipeline {
    size_t count;
    fr_model *step[FR_PIPELINE_STEPS]; // one reference each
} fr_pipeline;

extern const fr_model_ops fr_pipeline_ops;

// All steps but the last transform. `feature` names the columns that the first one sees.
FR_NODISCARD int fr_pipeline_new(const fr_model *const *step, size_t count,
                                 const char *const *feature, size_t features,
                                 fr_model **out, fr_err *err);
// NULL when the model is of another kind.
const fr_pipeline *fr_pipeline_of(const fr_model *m);
