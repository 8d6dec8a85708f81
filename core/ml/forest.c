// forest -- random forests: trees on bootstrap samples, a few features tried per node,
// their shares averaged (Breiman 2001, as scikit-learn does it).
//
// Payload: u64 trees, features, classes, nodes, values; double importance[features];
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

enum {
    TREES,
    MAX_DEPTH,
    MIN_SPLIT,
    MIN_LEAF,
    MAX_FEATURES,
    BOOTSTRAP,
    SEED,
    THREADS,
};

static const double WHOLE = 9007199254740992.0; // 2^53

static const fr_model_option OPTIONS[] = {
    [TREES] = {"trees", "n_estimators", FR_MODEL_INT, 100, 1, 1e6, NULL,
               "how many trees"},
    [MAX_DEPTH] = {"max_depth", NULL, FR_MODEL_INT, 0, 1, 1e6, NULL,
                   "greatest number of splits above a leaf; no limit unless given"},
    [MIN_SPLIT] = {"min_samples_split", "min_split", FR_MODEL_INT, 2, 2, 1e9, NULL,
                   "fewest rows of a node that is split"},
    [MIN_LEAF] = {"min_samples_leaf", "min_leaf", FR_MODEL_INT, 1, 1, 1e9, NULL,
                  "fewest rows of a leaf"},
    [MAX_FEATURES] = {"max_features", NULL, FR_MODEL_NUMBER_OR_CHOICE, -1, 0.000001, 1e6,
                      "sqrt log2 all",
                      "features tried per node: a number, a share below 1, or a rule"},
    [BOOTSTRAP] = {"bootstrap", NULL, FR_MODEL_BOOL, 1, 0, 1, NULL,
                   "each tree draws its rows with replacement"},
    [SEED] = {"seed", "random_state", FR_MODEL_INT, 0, 0, 9007199254740992.0, NULL,
              "equal seeds give equal models"},
    [THREADS] = {"threads", "n_jobs", FR_MODEL_INT, 0, -1, 4096, NULL,
                 "most threads; 0 and -1: what the task may use. The model is the same"},
};

enum { HEAD = 5 };

typedef struct forest {
    fr_forest_view view;
    const double *importance;
} forest;

typedef struct fit_job {
    fr_tree_data data;
    fr_tree_options options;
    fr_tree *tree;      // [trees]
    double *importance; // [trees][features]
    pthread_mutex_t lock;
    fr_grower *idle[64]; // growers nobody uses now, under the lock
    size_t idles;
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

static fr_tree_options options_of(const double *o, size_t features)
{
    return (fr_tree_options){
        .trees = (uint32_t)o[TREES],
        .max_depth = o[MAX_DEPTH] == 0 ? UINT32_MAX : (uint32_t)o[MAX_DEPTH],
        .min_split = (uint32_t)o[MIN_SPLIT],
        .min_leaf = (uint32_t)o[MIN_LEAF],
        .max_features = tried_features(o[MAX_FEATURES], features),
        .bootstrap = o[BOOTSTRAP] != 0,
        .seed = (uint64_t)FR_MIN(o[SEED], WHOLE),
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
    const uint64_t head[HEAD] = {trees, p, classes, nodes, values};
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

static int forest_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    fr_ranks *ranks;
    int rc = fr_ranks_new(fit->x, FR_RANKS_EXACT, &ranks, err);
    if (rc != FR_OK) {
        return rc;
    }
    fit_job job = {.data = {ranks, fit->y->code, fit->y->classes},
                   .options = options_of(fit->option, fit->x->count),
                   .lock = PTHREAD_MUTEX_INITIALIZER};
    size_t trees = job.options.trees;
    job.tree = fr_zalloc(trees * sizeof *job.tree);
    job.importance = fr_zalloc(trees * fit->x->count * sizeof *job.importance);
    rc = fr_pool_try(trees, grow_one, &job);
    if (rc == FR_OK) {
        rc = write_payload(&job, payload, err);
    } else {
        rc = fr_fail(err, rc, "fitting a random forest: %s", fr_err_text(rc));
    }
    for (size_t t = 0; t < trees; t++) {
        fr_tree_fini(&job.tree[t]);
    }
    while (job.idles > 0) {
        fr_grower_free(job.idle[--job.idles]);
    }
    fr_free(job.tree);
    fr_free(job.importance);
    fr_ranks_free(ranks);
    return rc;
}

// Finds the parts of the payload; false when they do not fit together.
static bool lay_out(const fr_model *m, forest *f)
{
    const uint64_t *word = (const uint64_t *)(const void *)m->payload;
    size_t words = m->payload_size / 8;
    if (words < HEAD) {
        return false;
    }
    uint64_t trees = word[0], p = word[1], classes = word[2], nodes = word[3],
             values = word[4];
    if (trees == 0 || trees > words || p != m->features ||
        classes != fr_model_classes(m) || nodes > words || values > words ||
        (classes <= 2 && values != 0) || (classes > 2 && classes > m->payload_size)) {
        return false;
    }
    uint64_t head = (HEAD + p + 2 * (trees + 1)) * 8;
    __uint128_t size = (__uint128_t)head + nodes * sizeof(fr_node) +
                       (__uint128_t)values * classes * sizeof(float);
    if (size != m->payload_size) {
        return false;
    }
    f->importance = (const double *)(const void *)(word + HEAD);
    f->view = (fr_forest_view){
        .node = (const fr_node *)(const void *)(m->payload + head),
        .root = word + HEAD + p,
        .value_root = word + HEAD + p + trees + 1,
        .value =
            (const float *)(const void *)(m->payload + head + nodes * sizeof(fr_node)),
        .trees = (size_t)trees,
        .features = (size_t)p,
        .classes = (size_t)classes,
    };
    return fr_forest_fits(f->view.root, (size_t)trees, nodes) &&
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

static int forest_predict(const fr_model *m, const fr_columns *x, double *out,
                          fr_err *err)
{
    const forest *f = m->state;
    size_t n = x->rows, classes = f->view.classes;
    double *sum = classes > 2 ? out : out + n; // of two, the second's share is walked
    int rc = fr_forest_walk(&f->view, x, sum, err);
    double trees = (double)f->view.trees;
    for (size_t i = 0; i < (classes > 2 ? classes * n : n); i++) {
        sum[i] /= trees;
    }
    for (size_t i = 0; i < n && classes <= 2; i++) {
        out[i] = 1 - sum[i];
    }
    return rc;
}

static void forest_importances(const fr_model *m, double *out)
{
    const forest *f = m->state;
    memcpy(out, f->importance, f->view.features * sizeof *out);
}

const fr_model_ops fr_forest_ops = {
    .name = "random_forest",
    .title = "random forest",
    .version = 1,
    .classifies = true,
    .options = OPTIONS,
    .option_count = FR_COUNT(OPTIONS),
    .fit = forest_fit,
    .open = forest_open,
    .close = fr_free,
    .predict = forest_predict,
    .importances = forest_importances,
};
