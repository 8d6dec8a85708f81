#pragma once
// model -- fitted models as immutable values, and the registry of their kinds.
//
// A model is one flat image: what it was fitted on (features, target, classes, options,
// seed, hash of the training data, version of the library) and the payload of its kind.
// The file is that image with a checksum, the content hash is that checksum; there is no
// code in it. Fitting depends on data and options only, so equal calls give equal bytes.
// Lifetime: an fr_object, any thread.

#include "core/base/bigmem.h"
#include "core/base/buf.h"
#include "core/data/frame.h"
#include "core/ml/columns.h"
#include "core/ml/tree.h"

enum { FR_MODEL_OPTIONS = 24 }; // most options of one kind

typedef enum fr_model_option_type {
    FR_MODEL_INT,
    FR_MODEL_NUMBER,
    FR_MODEL_BOOL,
    FR_MODEL_CHOICE,           // the number of a choice
    FR_MODEL_NUMBER_OR_CHOICE, // a choice k is the number -1 - k
} fr_model_option_type;

// One row is the whole definition of an option: parser, documentation and "did you mean"
// read it. A value of 0 that lies outside min..max means "not set".
typedef struct fr_model_option {
    const char *name;
    const char *alias; // NULL, or the names peers use, with blanks between
    fr_model_option_type type;
    double preset, min, max;
    const char *choices; // with blanks between
    const char *doc;
} fr_model_option;

typedef struct fr_model fr_model;

// Trees whose values add up to what a model predicts, or (boosting of classes) to the
// log-odds or logarithm that it is a function of.
typedef struct fr_model_trees {
    fr_forest_view view;
    const double *base; // of each output
    double scale;       // what the trees' values are multiplied with before adding
    size_t outputs;     // numbers per row
} fr_model_trees;

typedef struct fr_model_ops fr_model_ops;

typedef struct fr_fit {
    const fr_model_ops *ops;
    const fr_columns *x; // no NaN is promised unless the kind takes missing values
    const fr_target *y;
    const double *option;     // by row of the kind's options
    const double *weight;     // of each row, positive or 0; NULL: all 1
    const int8_t *monotone;   // of each feature, -1, 0 or 1; NULL: all 0
    const bool *categorical;  // whether a feature's whole numbers have no order; NULL
} fr_fit;

struct fr_model_ops {
    const char *name;  // "random_forest"
    const char *title; // for people: "random forest"
    uint32_t version;  // of the payload
    bool classifies;
    uint32_t most_classes; // 0: any number
    bool takes_missing;    // nulls and NaN among the features
    bool takes_weights;
    bool takes_shapes; // monotone and categorical features
    bool alone;        // fitted without a target
    const fr_model_option *options;
    size_t option_count;
    int (*fit)(const fr_fit *fit, fr_buf *payload, fr_err *err);
    // Checks the payload completely (it may come from a hostile file) and returns what
    // predicting needs; freed with close.
    int (*open)(const fr_model *m, void **state, fr_err *err);
    void (*close)(void *state);
    // Classification: out[k * rows + i], the probability of class k. Else out[i].
    int (*predict)(const fr_model *m, const fr_columns *x, double *out, fr_err *err);
    void (*importances)(const fr_model *m, double *out); // (optional) sums to 1
    // (optional) transformers have this instead of fit and predict, see preprocess.h: a
    // new frame with the fitted columns changed.
    int (*transform)(const fr_model *m, const fr_frame *x, fr_frame **out, fr_err *err);
    // (optional) what predict gives for the rows fitted on, from trees that did not see
    // them; NaN for a row that all trees saw.
    int (*out_of_bag)(const fr_model *m, const fr_columns *x, double *out, fr_err *err);
    // (optional) streams: predicts rows and then learns from them; the payload of the model
    // that has.
    int (*learn)(const fr_model *m, const fr_columns *x, double *out, fr_buf *payload,
                 fr_err *err);
    // (optional) the same for classes: the probability of the last one before each row is
    // learnt; code[i] is the row's class.
    int (*update)(const fr_model *m, const fr_columns *x, const int32_t *code,
                  double *out, fr_buf *payload, fr_err *err);
    double (*threshold)(const fr_model *m); // (optional) above it a row is an anomaly
    // (optional) the trees, for drawing and explaining.
    void (*trees)(const fr_model *m, fr_model_trees *out);
};

struct fr_model {
    fr_object object; // first
    const fr_model_ops *ops;
    fr_block *image;        // the file's bytes
    const uint8_t *payload; // in the image, 64-byte aligned
    size_t payload_size;
    void *state; // of the kind
    size_t features;
    char **feature; // their names
    char *target;
    fr_array *labels; // classification: sorted; the last is positive
    double option[FR_MODEL_OPTIONS];
    uint32_t payload_version;
    int64_t rows;     // fitted on
    fr_hash training; // of the features and the target fitted on
    char version[32]; // of the library that fitted it
};

extern const fr_object_ops fr_model_object_ops;
extern const fr_model_ops fr_forest_ops, fr_forest_regressor_ops, fr_extra_trees_ops,
    fr_extra_trees_regressor_ops, fr_decision_tree_ops, fr_decision_tree_regressor_ops;
extern const fr_model_ops fr_boost_ops, fr_boost_regressor_ops;
extern const fr_model_ops fr_half_space_ops, fr_isolation_ops, fr_linear_ops, fr_logistic_ops;
extern const fr_model_ops fr_lasso_ops, fr_elastic_net_ops, fr_poisson_ops;
extern const fr_model_ops fr_online_logistic_ops;
extern const fr_model_ops fr_nearest_ops, fr_nearest_regressor_ops;

// Weights of rows that give all classes the same sum.
void fr_model_balance(const fr_fit *fit, double *weight);
// The value of the option of that name; `otherwise` when the kind lacks it.
double fr_model_given(const fr_model_ops *ops, const double *option, const char *name,
                      double otherwise);

// The kind of a name; NULL when unknown. The list ends with NULL.
const fr_model_ops *fr_model_kind(const char *name);
extern const fr_model_ops *const fr_model_kinds[];
// Every option's preset.
void fr_model_presets(const fr_model_ops *ops, double *option);
// The row of an option by name or alias; -1 when there is none.
int fr_model_option_find(const fr_model_ops *ops, const char *name);
// Checks a value against its row; FR_EINVAL says what is expected.
FR_NODISCARD int fr_model_option_check(const fr_model_ops *ops, int row, double value,
                                       fr_err *err);
// The number of `text` among a row's choices; -1 when it is none of them.
int fr_model_option_choice(const fr_model_option *o, const char *text, size_t n);

// Fits on all columns of `x`; y has as many rows. Nulls and columns that are not numbers
// are errors that name them.
FR_NODISCARD int fr_model_fit(const fr_model_ops *ops, const double *option,
                              const fr_frame *x, const char *target, const fr_array *y,
                              fr_model **out, fr_err *err);
// The same with more than features and target.
typedef struct fr_model_rows {
    const fr_frame *x;
    const char *target; // "" and NULL for kinds that are fitted alone
    const fr_array *y;
    const fr_array *weight;  // NULL, or one number per row
    const int8_t *monotone;  // NULL, or as in fr_fit
    const bool *categorical; // NULL, or as in fr_fit
} fr_model_rows;
FR_NODISCARD int fr_model_fit_rows(const fr_model_ops *ops, const double *option,
                                   const fr_model_rows *rows, fr_model **out,
                                   fr_err *err);
// What fr_model_predict gives for the rows fitted on, by trees that did not see them.
FR_NODISCARD int fr_model_out_of_bag(const fr_model *m, const fr_frame *x, double *out,
                                     fr_err *err);
// Predicts a stream's next rows, then learns from them: a new model, the old one stays.
FR_NODISCARD int fr_model_learn(const fr_model *m, const fr_frame *x, double *score,
                                fr_model **out, fr_err *err);
// The same for a classifier that learns row by row. score: of the last class.
FR_NODISCARD int fr_model_update(const fr_model *m, const fr_frame *x, const fr_array *y,
                                 double *score, fr_model **out, fr_err *err);
// What each feature adds to a prediction (tree_shap.h): out[feature][row] for one class, 0
// when there is one output only; *base is what they are added to.
FR_NODISCARD int fr_model_explain(const fr_model *m, const fr_frame *x, size_t output,
                                  double *out, double *base, fr_err *err);
// A model from parts that are there already: named features, no target, a payload.
FR_NODISCARD int fr_model_make(const fr_model_ops *ops, const double *option,
                               const char *const *feature, size_t features, int64_t rows,
                               const fr_buf *payload, fr_model **out, fr_err *err);
// The same with what people see of it; borrowed.
typedef struct fr_model_face {
    const char *const *feature;
    size_t features;
    const char *target;
    fr_array *labels; // NULL: it does not classify
    int64_t rows;
} fr_model_face;
FR_NODISCARD int fr_model_make_as(const fr_model_ops *ops, const double *option,
                                  const fr_model_face *face, const fr_buf *payload,
                                  fr_model **out, fr_err *err);
fr_model *fr_model_ref(const fr_model *m);
void fr_model_unref(const fr_model *m);
static inline size_t fr_model_classes(const fr_model *m)
{
    return m->labels == NULL ? 0 : (size_t)m->labels->length;
}
// Columns are matched by name, others ignored. out: [classes][rows], or [rows].
FR_NODISCARD int fr_model_predict(const fr_model *m, const fr_frame *x, double *out,
                                  fr_err *err);
// The most probable class of each row; of equal ones the first.
void fr_model_choose(const double *probability, size_t rows, size_t classes,
                     int32_t *code);
// The hash that `training` would be after fitting on these columns of x and y.
FR_NODISCARD int fr_model_training_hash(const char *const *feature, size_t features,
                                        const fr_frame *x, const char *target,
                                        const fr_array *y, fr_hash *out, fr_err *err);
// A new file; FR_EEXIST never: an old one is replaced in one step.
FR_NODISCARD int fr_model_save(const fr_model *m, const char *path, fr_err *err);
FR_NODISCARD int fr_model_load(const char *path, fr_model **out, fr_err *err);
// From the bytes of a file; takes the block's reference, also on failure.
FR_NODISCARD int fr_model_open(fr_block *image, const char *path, fr_model **out,
                               fr_err *err);
