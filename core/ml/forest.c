// forest -- random forests (trees on bootstrap samples, a few features tried per node,
// Breiman 2001), extra trees (random cuts, Geurts 2006) and single trees, for classes and
// for numbers, as scikit-learn has them: the trees' shares or means are averaged.
//
// Payload: u64 trees, features, classes, nodes, values; double base (version 2: numbers
// are means relative to it), importance[features];
// u64 root[trees + 1], value_root[trees + 1]; nodes; values. Offsets as in
// fr_forest_view.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/ml/model.h"
#include "core/ml/tree.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

static const double WHOLE = 9007199254740992.0; // 2^53

// Rows of options; the kinds below choose among them.
#define TREES_ROW                                                                        \
    {"trees", "n_estimators", FR_MODEL_INT, 100, 1, 1e6, NULL, "how many trees"}
#define MAX_DEPTH_ROW                                                                    \
    {"max_depth", NULL, FR_MODEL_INT, 0, 1, 1e6, NULL,                                   \
     "greatest number of splits above a leaf; no limit unless given"}
#define MIN_SPLIT_ROW                                                                    \
    {"min_samples_split", "min_split", FR_MODEL_INT, 2, 2, 1e9, NULL,                    \
     "fewest rows of a node that is split"}
#define MIN_LEAF_ROW                                                                     \
    {"min_samples_leaf", "min_leaf", FR_MODEL_INT, 1, 1, 1e9, NULL,                      \
     "fewest rows of a leaf"}
#define MAX_FEATURES_ROW(preset)                                                         \
    {"max_features", NULL, FR_MODEL_NUMBER_OR_CHOICE, preset, 0.000001, 1e6,             \
     "sqrt log2 all", "features tried per node: a number, a share below 1, or a rule"}
#define BOOTSTRAP_ROW(preset)                                                            \
    {"bootstrap", NULL, FR_MODEL_BOOL, preset, 0, 1, NULL,                               \
     "each tree draws its rows with replacement"}
#define MAX_SAMPLES_ROW                                                                  \
    {"max_samples", NULL, FR_MODEL_NUMBER, 0, 0.000001, 2e9, NULL,                       \
     "rows that a tree draws: a number, or a share up to 1; as many as there are"}
#define CRITERION_ROW                                                                    \
    {"criterion", NULL, FR_MODEL_CHOICE, 0, 0, 1, "gini entropy",                        \
     "impurity of a node: Gini's index or entropy"}
#define CLASS_WEIGHT_ROW                                                                 \
    {"class_weight", NULL, FR_MODEL_CHOICE, 0, 0, 1, "none balanced",                    \
     "\"balanced\": all classes weigh the same; or a table of weights by class"}
#define BINS_ROW                                                                         \
    {"bins", "max_bins", FR_MODEL_INT, 0, 2, 65536, NULL,                                \
     "most different values of a feature, the others are grouped; exact unless given"}
#define MIN_DECREASE_ROW                                                                 \
    {"min_impurity_decrease", "min_decrease", FR_MODEL_NUMBER, 0, 0, 1e300, NULL,        \
     "least decrease of impurity, weighted by the node's share of rows"}
#define SEED_ROW                                                                         \
    {"seed", "random_state", FR_MODEL_INT, 0, 0, 9007199254740992.0, NULL,               \
     "equal seeds give equal models"}
#define THREADS_ROW                                                                      \
    {"threads", "n_jobs", FR_MODEL_INT, 0, -1, 4096, NULL,                               \
     "most threads; 0 and -1: what the task may use. The model is the same"}

enum { SQRT = -1, ALL = -3 }; // of max_features

#define FOREST_ROWS(max_features, bootstrap)                                             \
    TREES_ROW, MAX_DEPTH_ROW, MIN_SPLIT_ROW, MIN_LEAF_ROW,                               \
        MAX_FEATURES_ROW(max_features), BOOTSTRAP_ROW(bootstrap), MAX_SAMPLES_ROW,       \
        MIN_DECREASE_ROW, BINS_ROW, SEED_ROW, THREADS_ROW
#define TREE_ROWS                                                                        \
    MAX_DEPTH_ROW, MIN_SPLIT_ROW, MIN_LEAF_ROW, MAX_FEATURES_ROW(ALL), MIN_DECREASE_ROW, \
        BINS_ROW, SEED_ROW, THREADS_ROW

static const fr_model_option FOREST[] = {FOREST_ROWS(SQRT, 1), CRITERION_ROW,
                                         CLASS_WEIGHT_ROW};
static const fr_model_option FOREST_REGRESSOR[] = {FOREST_ROWS(ALL, 1)};
static const fr_model_option EXTRA[] = {FOREST_ROWS(SQRT, 0), CRITERION_ROW,
                                        CLASS_WEIGHT_ROW};
static const fr_model_option EXTRA_REGRESSOR[] = {FOREST_ROWS(ALL, 0)};
static const fr_model_option TREE[] = {TREE_ROWS, CRITERION_ROW, CLASS_WEIGHT_ROW};
static const fr_model_option TREE_REGRESSOR[] = {TREE_ROWS};

enum { HEAD = 6, HEAD_OF_VERSION_1 = 5 };

typedef struct forest {
    fr_forest_view view;
    const double *importance;
    double base; // added to what the trees predict
} forest;

typedef struct fit_job {
    fr_tree_data data;
    fr_tree_options options;
    fr_tree *tree;      // [trees]
    double *importance; // [trees][features]
    pthread_mutex_t lock;
    fr_grower *idle[64]; // growers nobody uses now, under the lock
    size_t idles;
    double base, *number, *weight; // what data points to
} fit_job;

static uint32_t tried_features(double option, size_t features)
{
    double p = (double)features, n = option;
    if (option < 0) {
        n = option == -1 ? sqrt(p) : option == -2 ? log2(p) : p;
    } else if (option < 1) {
        n = option * p;
    }
    return (uint32_t)FR_MIN(FR_MAX(floor(n), 1), p);
}

static uint32_t draws_of(double samples, size_t rows)
{
    double n = samples <= 1 ? samples * (double)rows : samples;
    return samples == 0 ? 0 : (uint32_t)FR_MAX(FR_MIN(round(n), (double)rows), 1);
}

static fr_tree_options options_of(const fr_model_ops *ops, const double *o,
                                  size_t features, size_t rows)
{
    double depth = fr_model_given(ops, o, "max_depth", 0);
    return (fr_tree_options){
        .trees = (uint32_t)fr_model_given(ops, o, "trees", 1),
        .max_depth = depth == 0 ? UINT32_MAX : (uint32_t)depth,
        .min_split = (uint32_t)fr_model_given(ops, o, "min_samples_split", 2),
        .min_leaf = (uint32_t)fr_model_given(ops, o, "min_samples_leaf", 1),
        .max_features = tried_features(fr_model_given(ops, o, "max_features", ALL), features),
        .bootstrap = fr_model_given(ops, o, "bootstrap", 0) != 0,
        .draws = draws_of(fr_model_given(ops, o, "max_samples", 0), rows),
        .random_cuts = ops == &fr_extra_trees_ops || ops == &fr_extra_trees_regressor_ops,
        .criterion = (fr_tree_criterion)fr_model_given(ops, o, "criterion", 0),
        .min_decrease = fr_model_given(ops, o, "min_impurity_decrease", 0),
        .seed = (uint64_t)FR_MIN(fr_model_given(ops, o, "seed", 0), WHOLE),
    };
}

static int borrow_grower(fit_job *job, fr_grower **out)
{
    *out = NULL;
    (void)pthread_mutex_lock(&job->lock);
    if (job->idles > 0) {
        *out = job->idle[--job->idles];
    }
    (void)pthread_mutex_unlock(&job->lock);
    return *out != NULL ? FR_OK : fr_grower_new(&job->data, &job->options, out, NULL);
}

static void return_grower(fit_job *job, fr_grower *g)
{
    (void)pthread_mutex_lock(&job->lock);
    if (job->idles < FR_COUNT(job->idle)) {
        job->idle[job->idles++] = g;
        g = NULL;
    }
    (void)pthread_mutex_unlock(&job->lock);
    fr_grower_free(g);
}

static int grow_one(void *ctx, size_t i)
{
    fit_job *job = ctx;
    fr_grower *g;
    int rc = borrow_grower(job, &g);
    if (rc != FR_OK) {
        return rc;
    }
    double *importance = job->importance + i * job->data.ranks->features;
    rc = fr_grower_grow(g, (uint32_t)i, &job->tree[i], importance);
    return_grower(job, g);
    return rc;
}

// Mean over the trees of each tree's importances, which sum to 1 unless it is a leaf.
static void mean_importance(const fit_job *job, double *out)
{
    size_t p = job->data.ranks->features;
    double all = 0;
    memset(out, 0, p * sizeof *out);
    for (size_t t = 0; t < job->options.trees; t++) {
        const double *one = job->importance + t * p;
        double sum = 0;
        for (size_t f = 0; f < p; f++) {
            sum += one[f];
        }
        for (size_t f = 0; f < p && sum > 0; f++) {
            out[f] += one[f] / sum;
        }
        all += sum > 0;
    }
    for (size_t f = 0; f < p && all > 0; f++) {
        out[f] /= all;
    }
}

static int write_payload(const fit_job *job, fr_buf *out, fr_err *err)
{
    size_t trees = job->options.trees, p = job->data.ranks->features;
    size_t classes = job->data.classes, nodes = 0, values = 0;
    for (size_t t = 0; t < trees; t++) {
        nodes += job->tree[t].count;
        values += job->tree[t].values;
    }
    size_t size = (HEAD + p + 2 * (trees + 1)) * 8 + nodes * sizeof(fr_node) +
                  values * classes * sizeof(float);
    int rc = fr_buf_reserve(out, size, err);
    if (rc != FR_OK) {
        return rc;
    }
    uint64_t head[HEAD] = {trees, p, classes, nodes, values};
    memcpy(&head[HEAD - 1], &job->base, sizeof job->base);
    fr_buf_put(out, head, sizeof head);
    double *importance = fr_alloc(p * sizeof *importance);
    mean_importance(job, importance);
    fr_buf_put(out, importance, p * sizeof *importance);
    fr_free(importance);
    uint64_t at = 0, value_at = 0;
    for (size_t t = 0; t <= trees; t++) {
        fr_buf_put_u64(out, at);
        at += t < trees ? job->tree[t].count : 0;
    }
    for (size_t t = 0; t <= trees; t++) {
        fr_buf_put_u64(out, value_at);
        value_at += t < trees ? job->tree[t].values : 0;
    }
    for (size_t t = 0; t < trees; t++) {
        fr_buf_put(out, job->tree[t].node, job->tree[t].count * sizeof(fr_node));
    }
    for (size_t t = 0; t < trees; t++) {
        const fr_tree *tree = &job->tree[t];
        fr_buf_put(out, tree->value, tree->values * classes * sizeof(float));
    }
    return fr_buf_check(out, err);
}

static double mean_of(const fr_fit *fit)
{
    double sum = 0, weight = 0;
    for (size_t i = 0; i < fit->x->rows; i++) {
        double w = fit->weight != NULL ? fit->weight[i] : 1;
        sum += w * fit->y->number[i];
        weight += w;
    }
    return sum / weight;
}

// The target and the weights as the growers want them.
static int prepare(fit_job *job, const fr_fit *fit, fr_err *err)
{
    size_t n = fit->x->rows;
    bool balanced = fr_model_given(fit->ops, fit->option, "class_weight", 0) != 0;
    job->number = fit->y->classes == 0 ? fr_try_alloc(n * sizeof(double)) : NULL;
    job->weight = balanced ? fr_try_alloc(n * sizeof(double)) : NULL;
    if ((fit->y->classes == 0 && job->number == NULL) ||
        (balanced && job->weight == NULL)) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu rows", n);
    }
    if (job->number != NULL) {
        job->base = mean_of(fit);
        for (size_t i = 0; i < n; i++) {
            job->number[i] = fit->y->number[i] - job->base;
        }
    }
    if (balanced) {
        fr_model_balance(fit, job->weight);
    }
    job->data.number = job->number;
    job->data.weight = balanced ? job->weight : fit->weight;
    return FR_OK;
}

static int forest_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    fr_ranks *ranks;
    double bins = fr_model_given(fit->ops, fit->option, "bins", 0);
    int rc = fr_ranks_new(fit->x, bins > 0 ? (uint32_t)bins : FR_RANKS_EXACT, &ranks, err);
    if (rc != FR_OK) {
        return rc;
    }
    fit_job job = {.data = {.ranks = ranks,
                            .code = fit->y->code,
                            .classes = fit->y->classes},
                   .options = options_of(fit->ops, fit->option, fit->x->count,
                                         fit->x->rows),
                   .lock = PTHREAD_MUTEX_INITIALIZER};
    size_t trees = job.options.trees;
    job.tree = fr_zalloc(trees * sizeof *job.tree);
    job.importance = fr_zalloc(trees * fit->x->count * sizeof *job.importance);
    rc = prepare(&job, fit, err);
    if (fit->y->classes == 2 && !(bins > 0)) {
        fr_ranks_turn(ranks);
    }
    if (rc == FR_OK) {
        rc = fr_pool_try(trees, grow_one, &job);
        rc = rc == FR_OK ? write_payload(&job, payload, err)
                         : fr_fail(err, rc, "fitting a %s: %s", fit->ops->title,
                                   fr_err_text(rc));
    }
    for (size_t t = 0; t < trees; t++) {
        fr_tree_fini(&job.tree[t]);
    }
    while (job.idles > 0) {
        fr_grower_free(job.idle[--job.idles]);
    }
    fr_free(job.tree);
    fr_free(job.importance);
    fr_free(job.number);
    fr_free(job.weight);
    fr_ranks_free(ranks);
    return rc;
}

// Finds the parts of the payload; false when they do not fit together.
static bool lay_out(const fr_model *m, forest *f)
{
    const uint64_t *word = (const uint64_t *)(const void *)m->payload;
    size_t words = m->payload_size / 8;
    size_t own = m->payload_version == 1 ? HEAD_OF_VERSION_1 : HEAD;
    if (words < own) {
        return false;
    }
    uint64_t trees = word[0], p = word[1], classes = word[2], nodes = word[3],
             values = word[4];
    if (trees == 0 || trees > words || p != m->features ||
        classes != fr_model_classes(m) || nodes > words || values > words ||
        (classes <= 2 && values != 0) || (classes > 2 && classes > m->payload_size)) {
        return false;
    }
    uint64_t head = (own + p + 2 * (trees + 1)) * 8;
    __uint128_t size = (__uint128_t)head + nodes * sizeof(fr_node) +
                       (__uint128_t)values * classes * sizeof(float);
    if (size != m->payload_size) {
        return false;
    }
    if (own == HEAD) {
        memcpy(&f->base, word + HEAD - 1, sizeof f->base);
    }
    f->importance = (const double *)(const void *)(word + own);
    f->view = (fr_forest_view){
        .node = (const fr_node *)(const void *)(m->payload + head),
        .root = word + own + p,
        .value_root = word + own + p + trees + 1,
        .value =
            (const float *)(const void *)(m->payload + head + nodes * sizeof(fr_node)),
        .trees = (size_t)trees,
        .features = (size_t)p,
        .classes = (size_t)classes,
    };
    return isfinite(f->base) && fr_forest_fits(f->view.root, (size_t)trees, nodes) &&
           fr_forest_fits(f->view.value_root, (size_t)trees, values);
}

static int forest_open(const fr_model *m, void **state, fr_err *err)
{
    forest *f = fr_zalloc(sizeof *f);
    int rc = lay_out(m, f)
                 ? fr_forest_check(&f->view, err)
                 : fr_fail(err, FR_ECORRUPT, "the parts of the forest do not fit");
    if (rc != FR_OK) {
        fr_free(f);
        return rc;
    }
    *state = f;
    return FR_OK;
}

// Sums of the trees as predictions; seen[i] trees have added to row i, NULL: all.
static void finish(const forest *f, size_t n, const uint32_t *seen, double *out)
{
    size_t classes = f->view.classes, rows = classes > 2 ? classes : 1;
    double *sum = classes == 2 ? out + n : out; // of two, the second's share is walked
    for (size_t k = 0; k < rows; k++) {
        for (size_t i = 0; i < n; i++) {
            double trees = seen != NULL ? seen[i] : (double)f->view.trees;
            double v = sum[k * n + i] / trees; // NaN when no tree did
            sum[k * n + i] = classes == 0 ? v + f->base : v;
        }
    }
    for (size_t i = 0; i < n && classes == 2; i++) {
        out[i] = 1 - sum[i];
    }
}

static int forest_predict(const fr_model *m, const fr_columns *x, double *out,
                          fr_err *err)
{
    const forest *f = m->state;
    double *sum = f->view.classes == 2 ? out + x->rows : out;
    int rc = fr_forest_walk(&f->view, x, sum, err);
    if (rc == FR_OK) {
        finish(f, x->rows, NULL, out);
    }
    return rc;
}

typedef struct bag_job {
    const fr_tree_options *options;
    size_t rows, words;
    uint64_t *skip;
} bag_job;

static int mark_drawn(void *ctx, size_t t)
{
    const bag_job *job = ctx;
    uint16_t *drawn = fr_try_alloc((job->rows + 1) * sizeof *drawn);
    if (drawn == NULL) {
        return FR_ENOMEM;
    }
    int rc = fr_tree_drawn(job->rows, job->options, (uint32_t)t, drawn);
    uint64_t *bits = job->skip + t * job->words;
    memset(bits, 0, job->words * sizeof *bits);
    for (size_t i = 0; i < job->rows; i++) {
        bits[i / 64] |= (uint64_t)(drawn[i] > 0) << i % 64;
    }
    fr_free(drawn);
    return rc;
}

// Which rows a tree drew follows from the seed, so nothing need be kept for this.
static int forest_out_of_bag(const fr_model *m, const fr_columns *x, double *out,
                             fr_err *err)
{
    const forest *f = m->state;
    size_t n = x->rows, trees = f->view.trees, words = (n + 63) / 64;
    fr_tree_options o = options_of(m->ops, m->option, m->features, n);
    if (!o.bootstrap) {
        return fr_fail(err, FR_EINVAL,
                       "out of bag: every tree saw every row, fit with bootstrap = true");
    }
    bag_job job = {&o, n, words, fr_try_alloc(trees * words * sizeof(uint64_t))};
    uint32_t *seen = fr_try_alloc((n + 1) * sizeof *seen);
    int rc = job.skip == NULL || seen == NULL ? FR_ENOMEM : FR_OK;
    rc = rc != FR_OK ? rc : fr_pool_try(trees, mark_drawn, &job);
    if (rc != FR_OK) {
        rc = fr_fail(err, rc, "out of bag: %s", fr_err_text(rc));
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        seen[i] = 0;
        for (size_t t = 0; t < trees; t++) {
            seen[i] += (job.skip[t * words + i / 64] >> i % 64 & 1) == 0;
        }
    }
    rc = fr_forest_walk_some(&f->view, x, job.skip, f->view.classes == 2 ? out + n : out,
                             err);
    if (rc == FR_OK) {
        finish(f, n, seen, out);
    }
done:
    fr_free(job.skip);
    fr_free(seen);
    return rc;
}

static void forest_importances(const fr_model *m, double *out)
{
    const forest *f = m->state;
    memcpy(out, f->importance, f->view.features * sizeof *out);
}

static void forest_trees(const fr_model *m, fr_model_trees *out)
{
    const forest *f = m->state;
    *out = (fr_model_trees){f->view, &f->base, 1 / (double)f->view.trees,
                            fr_forest_outputs(&f->view)};
}

#define FOREST_OPS(called, says, classes, rows)                                          \
    {                                                                                    \
        .name = called, .title = says, .version = 2, .classifies = classes,              \
        .takes_missing = true, .takes_weights = true, .options = rows,                   \
        .option_count = FR_COUNT(rows), .fit = forest_fit, .open = forest_open,          \
        .close = fr_free, .predict = forest_predict, .importances = forest_importances,  \
        .out_of_bag = forest_out_of_bag, .trees = forest_trees,                          \
    }

const fr_model_ops fr_forest_ops =
    FOREST_OPS("random_forest", "random forest", true, FOREST);
const fr_model_ops fr_forest_regressor_ops =
    FOREST_OPS("random_forest_regressor", "random forest", false, FOREST_REGRESSOR);
const fr_model_ops fr_extra_trees_ops =
    FOREST_OPS("extra_trees", "extra trees", true, EXTRA);
const fr_model_ops fr_extra_trees_regressor_ops =
    FOREST_OPS("extra_trees_regressor", "extra trees", false, EXTRA_REGRESSOR);
const fr_model_ops fr_decision_tree_ops =
    FOREST_OPS("decision_tree", "decision tree", true, TREE);
const fr_model_ops fr_decision_tree_regressor_ops =
    FOREST_OPS("decision_tree_regressor", "decision tree", false, TREE_REGRESSOR);
