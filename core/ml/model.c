#include "core/ml/model.h"

#include "core/base/mem.h"
#include "core/base/nearest.h"
#include "core/base/pool.h"
#include "core/base/sys.h"
#include "core/ml/gather.h"
#include "core/ml/imported.h"
#include "core/ml/model_file.h"
#include "core/ml/monitor.h"
#include "core/ml/pipeline.h"
#include "core/ml/preprocess.h"
#include "core/ml/responses.h"
#include "core/ml/shape.h"
#include "core/ml/target.h"
#include "core/ml/tree_shap.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const fr_model_ops *const fr_model_kinds[] = {&fr_forest_ops,
                                              &fr_forest_regressor_ops,
                                              &fr_extra_trees_ops,
                                              &fr_extra_trees_regressor_ops,
                                              &fr_decision_tree_ops,
                                              &fr_decision_tree_regressor_ops,
                                              &fr_boost_ops,
                                              &fr_boost_regressor_ops,
                                              &fr_isolation_ops,
                                              &fr_half_space_ops,
                                              &fr_ewma_ops,
                                              &fr_cusum_ops,
                                              &fr_page_hinkley_ops,
                                              &fr_adwin_ops,
                                              &fr_online_logistic_ops,
                                              &fr_imported_ops,
                                              &fr_imported_regressor_ops,
                                              &fr_linear_ops,
                                              &fr_logistic_ops,
                                              &fr_lasso_ops,
                                              &fr_elastic_net_ops,
                                              &fr_poisson_ops,
                                              &fr_responses_ops,
                                              &fr_kmeans_ops,
                                              &fr_pca_ops,
                                              &fr_nearest_ops,
                                              &fr_nearest_regressor_ops,
                                              &fr_minmax_ops,
                                              &fr_robust_ops,
                                              &fr_imputer_ops,
                                              &fr_pipeline_ops,
                                              &fr_scaler_ops,
                                              &fr_ordinal_ops,
                                              &fr_one_hot_ops,
                                              NULL};

const fr_model_ops *fr_model_kind(const char *name)
{
    for (size_t i = 0; fr_model_kinds[i] != NULL; i++) {
        if (strcmp(fr_model_kinds[i]->name, name) == 0) {
            return fr_model_kinds[i];
        }
    }
    return NULL;
}

// ---- options

void fr_model_presets(const fr_model_ops *ops, double *option)
{
    for (size_t i = 0; i < FR_MODEL_OPTIONS; i++) {
        option[i] = i < ops->option_count ? ops->options[i].preset : 0;
    }
}

// The place of a word in a list with blanks between; -1 when it is not there.
static int word_at(const char *list, const char *word, size_t n)
{
    for (int k = 0; list != NULL && *list != 0; k++) {
        size_t len = strcspn(list, " ");
        if (len == n && memcmp(list, word, n) == 0) {
            return k;
        }
        list += len;
        list += *list == ' ';
    }
    return -1;
}

int fr_model_option_find(const fr_model_ops *ops, const char *name)
{
    for (size_t i = 0; i < ops->option_count; i++) {
        const fr_model_option *o = &ops->options[i];
        if (strcmp(o->name, name) == 0 || word_at(o->alias, name, strlen(name)) >= 0) {
            return (int)i;
        }
    }
    return -1;
}

double fr_model_given(const fr_model_ops *ops, const double *option, const char *name,
                      double otherwise)
{
    int row = fr_model_option_find(ops, name);
    return row < 0 ? otherwise : option[row];
}

int fr_model_option_choice(const fr_model_option *o, const char *text, size_t n)
{
    return word_at(o->choices, text, n);
}

int fr_model_option_check(const fr_model_ops *ops, int row, double value, fr_err *err)
{
    const fr_model_option *o = &ops->options[row];
    bool choice = o->type == FR_MODEL_CHOICE || o->type == FR_MODEL_BOOL ||
                  (o->type == FR_MODEL_NUMBER_OR_CHOICE && value < 0);
    bool whole = o->type != FR_MODEL_INT || value == floor(value);
    if (!choice && !(whole && value >= o->min && value <= o->max)) {
        return fr_fail(err, FR_EINVAL,
                       "ml.%s: %s must be %s from %.15g to %.15g, got %.15g", ops->name,
                       o->name, o->type == FR_MODEL_INT ? "a whole number" : "a number",
                       o->min, o->max, value);
    }
    return FR_OK;
}

// ---- columns

int fr_model_training_hash(const char *const *feature, size_t features, const fr_frame *x,
                           const char *target, const fr_array *y, fr_hash *out,
                           fr_err *err)
{
    fr_hash h = fr_hash_str(target);
    if (y != NULL) {
        h = fr_hash_pair(h, fr_array_hash(y));
    }
    for (size_t f = 0; f < features; f++) {
        const fr_array *a;
        int rc = fr_frame_column(x, feature[f], &a, err);
        if (rc != FR_OK) {
            return rc;
        }
        h = fr_hash_pair(h, fr_hash_pair(fr_hash_str(feature[f]), fr_array_hash(a)));
    }
    *out = h;
    return FR_OK;
}

// ---- life

static fr_model *model_new(void)
{
    fr_model *m = fr_zalloc(sizeof *m);
    fr_object_init(&m->object, &fr_model_object_ops);
    return m;
}

static void model_destroy(fr_object *o)
{
    fr_model *m = (fr_model *)o;
    if (m->state != NULL) {
        m->ops->close(m->state);
    }
    for (size_t f = 0; f < m->features; f++) {
        fr_free(m->feature[f]);
    }
    fr_free(m->feature);
    fr_free(m->target);
    fr_array_unref(m->labels);
    fr_block_unref(m->image);
    fr_free(m);
}

fr_model *fr_model_ref(const fr_model *m)
{
    return (fr_model *)fr_object_ref(&m->object);
}

void fr_model_unref(const fr_model *m)
{
    if (m != NULL) {
        fr_object_unref(&m->object);
    }
}

static int open_payload(fr_model *m, const char *path, fr_err *err)
{
    int rc = m->ops->open(m, &m->state, err);
    return rc == FR_ECORRUPT ? fr_wrap(err, rc, "%s is damaged", path) : rc;
}

int fr_model_open(fr_block *image, const char *path, fr_model **out, fr_err *err)
{
    *out = NULL;
    fr_model *m = model_new();
    m->image = image;
    int rc = fr_model_file_read(m, path, err);
    rc = rc != FR_OK ? rc : open_payload(m, path, err);
    if (rc != FR_OK) {
        fr_model_unref(m);
        return rc;
    }
    *out = m;
    return FR_OK;
}

// ---- fitting

void fr_model_balance(const fr_fit *fit, double *weight)
{
    size_t n = fit->x->rows, classes = fit->y->classes;
    double *sum = fr_zalloc(classes * sizeof *sum), all = 0;
    for (size_t i = 0; i < n; i++) {
        double w = fit->weight != NULL ? fit->weight[i] : 1;
        sum[fit->y->code[i]] += w;
        all += w;
    }
    for (size_t i = 0; i < n; i++) {
        double of = sum[fit->y->code[i]];
        weight[i] = (fit->weight != NULL ? fit->weight[i] : 1) *
                    (of > 0 ? all / ((double)classes * of) : 0);
    }
    fr_free(sum);
}

static int check_target(const fr_model_ops *ops, size_t classes, const char *target,
                        const fr_array *labels, fr_err *err)
{
    if (classes < 2) {
        fr_buf text;
        fr_buf_init(&text, 100);
        if (classes == 1) {
            fr_target_print(labels, 0, &text);
        }
        int rc = fr_fail(err, FR_EINVAL, "%s needs two classes or more, `%s` has %s %s",
                         ops->title, target, classes == 1 ? "only" : "none",
                         fr_buf_text(&text));
        fr_buf_fini(&text);
        return rc;
    }
    if (ops->most_classes > 0 && classes > ops->most_classes) {
        return fr_fail(err, FR_EINVAL, "%s takes %u classes, `%s` has %zu", ops->title,
                       ops->most_classes, target, classes);
    }
    return FR_OK;
}

// Turns y into codes and labels, or into numbers.
static int take_target(fr_model *m, const fr_array *y, int32_t *code, double *number,
                       fr_target *t, fr_err *err)
{
    if (m->ops->alone) {
        *t = (fr_target){0};
        return FR_OK;
    }
    if (!m->ops->classifies) {
        int rc = y->nulls > 0 ? fr_fail(err, FR_EINVAL, "`%s` has nulls", m->target)
                              : fr_array_to_f64(y, number, err);
        *t = (fr_target){.number = number};
        return rc != FR_OK ? rc : fr_gather_check(y, number, m->target, err);
    }
    int rc = fr_target_encode(y, m->target, code, &m->labels, err);
    size_t classes = rc == FR_OK ? fr_model_classes(m) : 0;
    rc = rc != FR_OK ? rc : check_target(m->ops, classes, m->target, m->labels, err);
    *t = (fr_target){.code = code, .classes = classes};
    return rc;
}

static const double WEIGHTS_LEAST = 1e-100, WEIGHTS_MOST = 1e100;

// Weights are positive or 0, and not all 0.
static int take_weights(const fr_array *a, double *weight, fr_err *err)
{
    int rc = fr_array_to_f64(a, weight, err);
    double sum = 0;
    for (int64_t i = 0; i < a->length && rc == FR_OK; i++) {
        if (!(weight[i] >= 0) || isinf(weight[i])) {
            rc = fr_fail(err, FR_EINVAL,
                         "the weight in row %lld is %g: weights are positive or 0",
                         (long long)i + 1, weight[i]);
        }
        sum += weight[i];
    }
    if (rc == FR_OK && !(sum > 0)) {
        rc = fr_fail(err, FR_EINVAL, "all weights are 0");
    }
    // Learners multiply weights with targets and their squares, which must stay finite.
    if (rc == FR_OK && !(sum >= WEIGHTS_LEAST && sum <= WEIGHTS_MOST)) {
        rc = fr_fail(err, FR_EINVAL,
                     "the weights add up to %g, expected %g to %g: only their ratios count, "
                     "so multiply all by the same number",
                     sum, WEIGHTS_LEAST, WEIGHTS_MOST);
    }
    return rc;
}

static int fit_payload(fr_model *m, const fr_model_rows *r, fr_buf *payload, fr_err *err)
{
    fr_gathered g;
    int rc = fr_gather(r->x, (const char *const *)m->feature, m->features,
                    m->ops->takes_missing, &g, err);
    if (rc != FR_OK) {
        return rc;
    }
    size_t n = (size_t)r->x->rows + 1;
    int32_t *code = fr_try_alloc(n * sizeof *code);
    double *number = m->ops->classifies ? NULL : fr_try_alloc(n * sizeof *number);
    double *weight = r->weight == NULL ? NULL : fr_try_alloc(n * sizeof *weight);
    fr_target t = {0};
    if (code == NULL || (!m->ops->classifies && number == NULL) ||
        (r->weight != NULL && weight == NULL)) {
        rc = fr_fail(err, FR_ENOMEM, "no memory for %zu rows", n);
    } else {
        rc = take_target(m, r->y, code, number, &t, err);
    }
    if (rc == FR_OK && weight != NULL) {
        rc = take_weights(r->weight, weight, err);
    }
    if (rc == FR_OK) {
        rc = m->ops->fit(&(fr_fit){m->ops, &g.x, &t, m->option, weight, r->monotone,
                                   r->categorical},
                         payload, err);
    }
    rc = rc != FR_OK ? rc : fr_buf_check(payload, err);
    fr_free(code);
    fr_free(number);
    fr_free(weight);
    fr_gathered_fini(&g);
    return rc;
}

static int check_extras(const fr_model_ops *ops, const fr_model_rows *r, fr_err *err)
{
    if (r->weight != NULL && !ops->takes_weights) {
        return fr_fail(err, FR_EUNSUPPORTED, "%s takes no weights", ops->title);
    }
    if (r->weight != NULL && r->weight->length != r->x->rows) {
        return fr_fail(err, FR_EINVAL, "the features have %lld rows, the weights %lld",
                       (long long)r->x->rows, (long long)r->weight->length);
    }
    if ((r->monotone != NULL || r->categorical != NULL) && !ops->takes_shapes) {
        return fr_fail(err, FR_EUNSUPPORTED,
                       "%s takes no monotone or categorical features, "
                       "gradient_boosting does",
                       ops->title);
    }
    return FR_OK;
}

static int check_shape(const fr_model_ops *ops, const fr_frame *x, const fr_array *y,
                       fr_err *err)
{
    if (ops->fit == NULL) {
        return fr_fail(err, FR_EINVAL, "this %s has no target to fit", ops->title);
    }
    if (x->columns == 0) {
        return fr_fail(err, FR_EINVAL, "%s needs at least one feature", ops->title);
    }
    if (x->rows == 0) {
        return fr_fail(err, FR_EINVAL, "%s cannot be fitted on no rows", ops->title);
    }
    if (ops->alone != (y == NULL)) {
        return fr_fail(err, FR_EINVAL, "%s %s", ops->title,
                       ops->alone ? "is fitted without a target" : "needs a target");
    }
    if (y != NULL && y->length != x->rows) {
        return fr_fail(err, FR_EINVAL, "the features have %lld rows, the target %lld",
                       (long long)x->rows, (long long)y->length);
    }
    return FR_OK;
}

static const size_t PAYLOAD_MAX = (size_t)1 << 40;

static fr_model *model_begin(const fr_model_ops *ops, const double *option,
                             const char *const *feature, size_t features,
                             const char *target, int64_t rows)
{
    fr_model *m = model_new();
    m->ops = ops;
    m->features = features;
    m->feature = fr_zalloc((features + 1) * sizeof *m->feature);
    for (size_t f = 0; f < features; f++) {
        m->feature[f] = fr_strdup(feature[f]);
    }
    m->target = fr_strdup(target);
    m->rows = rows;
    memcpy(m->option, option, ops->option_count * sizeof *option);
    (void)snprintf(m->version, sizeof m->version, "%s", FLOWRUN_VERSION);
    return m;
}

// Makes the image of a model and opens it; on failure the model is gone.
static int model_finish(fr_model *m, const fr_buf *payload, fr_model **out, fr_err *err)
{
    int rc = fr_model_file_write(m, payload, &m->image, err);
    if (rc == FR_OK) {
        m->payload_version = m->ops->version;
        m->payload_size = payload->size;
        m->payload = m->image->data + m->image->size - payload->size;
        rc = open_payload(m, "the model", err);
    }
    if (rc != FR_OK) {
        fr_model_unref(m);
        return rc;
    }
    *out = m;
    return FR_OK;
}

int fr_model_make_as(const fr_model_ops *ops, const double *option,
                     const fr_model_face *face, const fr_buf *payload, fr_model **out,
                     fr_err *err)
{
    *out = NULL;
    int rc = fr_buf_check(payload, err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_model *m = model_begin(ops, option, face->feature, face->features, face->target,
                              face->rows);
    m->labels = face->labels == NULL ? NULL : fr_array_ref(face->labels);
    return model_finish(m, payload, out, err);
}

int fr_model_make(const fr_model_ops *ops, const double *option,
                  const char *const *feature, size_t features, int64_t rows,
                  const fr_buf *payload, fr_model **out, fr_err *err)
{
    const fr_model_face face = {feature, features, "", NULL, rows};
    return fr_model_make_as(ops, option, &face, payload, out, err);
}

int fr_model_fit(const fr_model_ops *ops, const double *option, const fr_frame *x,
                 const char *target, const fr_array *y, fr_model **out, fr_err *err)
{
    return fr_model_fit_rows(ops, option, &(fr_model_rows){x, target, y, NULL, NULL, NULL},
                             out, err);
}

int fr_model_fit_rows(const fr_model_ops *ops, const double *option,
                      const fr_model_rows *r, fr_model **out, fr_err *err)
{
    *out = NULL;
    const fr_frame *x = r->x;
    int rc = check_shape(ops, x, r->y, err);
    rc = rc != FR_OK ? rc : check_extras(ops, r, err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_model *m = model_begin(ops, option, (const char *const *)x->names, x->columns,
                              r->target, x->rows);
    fr_buf payload;
    fr_buf_init(&payload, PAYLOAD_MAX);
    int threads = fr_model_option_find(ops, "threads");
    unsigned before = fr_pool_limit(0);
    unsigned most =
        threads >= 0 && option[threads] > 0 ? (unsigned)option[threads] : before;
    (void)fr_pool_limit(before > 0 ? FR_MIN(before, most) : most);
    rc = fit_payload(m, r, &payload, err);
    (void)fr_pool_limit(before);
    if (threads >= 0) {
        m->option[threads] = ops->options[threads].preset; // no part of what a model is
    }
    if (rc == FR_OK) {
        rc = fr_model_training_hash((const char *const *)m->feature, m->features, x,
                                    r->target, r->y, &m->training, err);
    }
    if (rc == FR_OK) {
        rc = model_finish(m, &payload, out, err);
    } else {
        fr_model_unref(m);
    }
    fr_buf_fini(&payload);
    return rc;
}

// ---- using

static int check_features(const fr_model *m, const fr_frame *x, fr_err *err)
{
    for (size_t f = 0; f < m->features; f++) {
        if (fr_frame_find(x, m->feature[f]) < 0) {
            const char *near =
                fr_nearest(m->feature[f], (const char *const *)x->names, x->columns);
            return fr_fail(err, FR_ENOTFOUND,
                           "the %s needs column `%s`, which the frame lacks%s%s%s",
                           m->ops->title, m->feature[f],
                           near != NULL ? ": did you mean `" : "",
                           near != NULL ? near : "", near != NULL ? "`?" : "");
        }
    }
    return FR_OK;
}

int fr_model_learn(const fr_model *m, const fr_frame *x, double *score, fr_model **out,
                   fr_err *err)
{
    *out = NULL;
    fr_gathered g;
    if (m->ops->learn == NULL) {
        return fr_fail(err, FR_EUNSUPPORTED,
                       "a %s does not learn from streams, half_space_trees do",
                       m->ops->title);
    }
    int rc = check_features(m, x, err);
    rc = rc != FR_OK ? rc
                     : fr_gather(x, (const char *const *)m->feature, m->features,
                              m->ops->takes_missing, &g, err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_buf payload;
    fr_buf_init(&payload, PAYLOAD_MAX);
    rc = m->ops->learn(m, &g.x, score, &payload, err);
    rc = rc != FR_OK ? rc
                     : fr_model_make(m->ops, m->option, (const char *const *)m->feature,
                                     m->features, m->rows + x->rows, &payload, out, err);
    fr_buf_fini(&payload);
    fr_gathered_fini(&g);
    return rc;
}

// The next model of a stream, with the labels and the target of the one before.
static int succeed(const fr_model *m, int64_t more, const fr_buf *payload, fr_model **out,
                   fr_err *err)
{
    const fr_model_face face = {(const char *const *)m->feature, m->features, m->target,
                                m->labels, m->rows + more};
    return fr_model_make_as(m->ops, m->option, &face, payload, out, err);
}

int fr_model_update(const fr_model *m, const fr_frame *x, const fr_array *y, double *score,
                    fr_model **out, fr_err *err)
{
    *out = NULL;
    fr_gathered g;
    if (m->ops->update == NULL) {
        return fr_fail(err, FR_EUNSUPPORTED,
                       "a %s does not learn from streams, online_logistic does",
                       m->ops->title);
    }
    if (y->length != x->rows) {
        return fr_fail(err, FR_EINVAL, "the features have %lld rows, the target %lld",
                       (long long)x->rows, (long long)y->length);
    }
    int rc = check_features(m, x, err);
    rc = rc != FR_OK ? rc
                     : fr_gather(x, (const char *const *)m->feature, m->features,
                              m->ops->takes_missing, &g, err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_buf payload;
    fr_buf_init(&payload, PAYLOAD_MAX);
    int32_t *code = fr_try_alloc(((size_t)x->rows + 1) * sizeof *code);
    rc = code == NULL ? fr_fail(err, FR_ENOMEM, "no memory for %lld rows",
                                (long long)x->rows)
                      : fr_target_match(y, m->target, m->labels, code, err);
    rc = rc != FR_OK ? rc : m->ops->update(m, &g.x, code, score, &payload, err);
    rc = rc != FR_OK ? rc : succeed(m, x->rows, &payload, out, err);
    fr_free(code);
    fr_buf_fini(&payload);
    fr_gathered_fini(&g);
    return rc;
}

int fr_model_explain(const fr_model *m, const fr_frame *x, size_t output, double *out,
                     double *base, fr_err *err)
{
    fr_gathered g;
    fr_model_trees trees;
    if (m->ops->trees == NULL) {
        return fr_fail(err, FR_EUNSUPPORTED, "a %s cannot be explained, trees can",
                       m->ops->title);
    }
    m->ops->trees(m, &trees);
    int rc = check_features(m, x, err);
    rc = rc != FR_OK ? rc
                     : fr_gather(x, (const char *const *)m->feature, m->features,
                              m->ops->takes_missing, &g, err);
    if (rc == FR_OK) {
        rc = fr_tree_shap(&trees, &g.x, output, out, base, err);
        fr_gathered_fini(&g);
    }
    return rc;
}

static int apply(const fr_model *m, const fr_frame *x,
                 int (*use)(const fr_model *m, const fr_columns *x, double *out,
                            fr_err *err),
                 double *out, fr_err *err)
{
    fr_gathered g;
    int rc = check_features(m, x, err);
    rc = rc != FR_OK ? rc
                     : fr_gather(x, (const char *const *)m->feature, m->features,
                              m->ops->takes_missing, &g, err);
    if (rc == FR_OK) {
        rc = use(m, &g.x, out, err);
        fr_gathered_fini(&g);
    }
    return rc;
}

int fr_model_predict(const fr_model *m, const fr_frame *x, double *out, fr_err *err)
{
    return apply(m, x, m->ops->predict, out, err);
}

int fr_model_out_of_bag(const fr_model *m, const fr_frame *x, double *out, fr_err *err)
{
    if (m->ops->out_of_bag == NULL) {
        return fr_fail(err, FR_EUNSUPPORTED, "a %s has no rows out of bag",
                       m->ops->title);
    }
    if (x->rows != m->rows) {
        return fr_fail(err, FR_EINVAL,
                       "out of bag: the model was fitted on %lld rows, the frame has %lld",
                       (long long)m->rows, (long long)x->rows);
    }
    return apply(m, x, m->ops->out_of_bag, out, err);
}

int fr_model_transform(const fr_model *m, const fr_frame *x, fr_frame **out, fr_err *err)
{
    *out = NULL;
    if (m->ops->transform == NULL) {
        return fr_fail(err, FR_EINVAL, "this %s predicts, it does not transform",
                       m->ops->title);
    }
    int rc = check_features(m, x, err);
    return rc != FR_OK ? rc : m->ops->transform(m, x, out, err);
}

void fr_model_choose(const double *probability, size_t rows, size_t classes,
                     int32_t *code)
{
    for (size_t i = 0; i < rows; i++) {
        code[i] = 0;
        for (size_t k = 1; k < classes; k++) {
            if (probability[k * rows + i] > probability[(size_t)code[i] * rows + i]) {
                code[i] = (int32_t)k;
            }
        }
    }
}

// ---- files

static int write_file(const fr_model *m, const char *path, fr_err *err)
{
    int fd;
    int rc = fr_sys_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, err);
    rc = rc != FR_OK ? rc : fr_sys_write(fd, m->image->data, m->image->size, path, err);
    fr_sys_close(fd);
    return rc;
}

int fr_model_save(const fr_model *m, const char *path, fr_err *err)
{
    fr_buf part;
    fr_buf_init(&part, 1 << 16);
    fr_buf_printf(&part, "%s.part", path);
    int rc = fr_buf_check(&part, err);
    rc = rc != FR_OK ? rc : write_file(m, fr_buf_text(&part), err);
    rc = rc != FR_OK ? rc : fr_sys_rename(fr_buf_text(&part), path, err);
    if (rc != FR_OK) {
        int left = fr_sys_unlink(fr_buf_text(&part), NULL);
        (void)left; // the first failure is the one to tell
    }
    fr_buf_fini(&part);
    return rc;
}

static int read_all(int fd, uint8_t *to, size_t n, const char *path, fr_err *err)
{
    while (n > 0) {
        ssize_t k = read(fd, to, n);
        if (k < 0 && errno == EINTR) {
            continue;
        }
        if (k < 0) {
            return fr_fail_errno(err, FR_EIO, "reading %s", path);
        }
        if (k == 0) {
            return fr_fail(err, FR_EIO, "reading %s: it became shorter meanwhile", path);
        }
        to += k;
        n -= (size_t)k;
    }
    return FR_OK;
}

// Users' files are read, not mapped: one that is truncated later would end the process.
int fr_model_load(const char *path, fr_model **out, fr_err *err)
{
    *out = NULL;
    int fd;
    fr_block *image = NULL;
    struct stat st;
    int rc = fr_sys_open(path, O_RDONLY, 0, &fd, err);
    if (rc != FR_OK) {
        return rc;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        rc = fr_fail(err, FR_EIO, "%s is not a regular file", path);
    }
    rc = rc != FR_OK ? rc : fr_block_new((size_t)st.st_size, &image, err);
    rc = rc != FR_OK ? rc : read_all(fd, image->data, image->size, path, err);
    fr_sys_close(fd);
    if (rc != FR_OK) {
        fr_block_unref(image);
        return rc;
    }
    return fr_model_open(image, path, out, err);
}

static fr_hash model_hash(const fr_object *o)
{
    return fr_hash_load(((const fr_model *)o)->image->data + 16);
}

static size_t model_size(const fr_object *o)
{
    return ((const fr_model *)o)->image->size + sizeof(fr_model);
}

static int model_save(const fr_object *o, const char *path, fr_err *err)
{
    return write_file((const fr_model *)o, path, err);
}

static int model_load(const char *path, fr_object **out, fr_err *err)
{
    *out = NULL;
    fr_block *image;
    fr_model *m;
    int rc = fr_block_map_file(path, &image, err);
    rc = rc != FR_OK ? rc : fr_model_open(image, path, &m, err);
    if (rc == FR_OK) {
        *out = &m->object;
    }
    return rc;
}

const fr_object_ops fr_model_object_ops = {
    .name = "model",
    .kind = FR_KIND_MODEL,
    .destroy = model_destroy,
    .hash = model_hash,
    .size = model_size,
    .save = model_save,
    .load = model_load,
};
