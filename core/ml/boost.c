// boost -- gradient boosting of two classes (Friedman 2001): each tree is fitted to the
// gradient of log loss, its leaves hold Newton steps.
//
// Payload: u64 trees, features, nodes; double base, importance[features]; u64
// root[trees+1]; nodes. The score of a row is base plus its leaf in every tree; the
// probability of class 1 is its logistic.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/ml/boost_grow.h"
#include "core/ml/kernel_logistic.h"
#include "core/ml/model.h"

#include <math.h>
#include <string.h>

enum {
    ROUNDS,
    LEAVES,
    DEPTH,
    RATE,
    MIN_LEAF,
    L2,
    COMPAT,
    SEED,
    THREADS,
};

enum { COMPAT_NONE, COMPAT_SKLEARN };

static const fr_model_option OPTIONS[] = {
    [ROUNDS] = {"rounds", "n_estimators num_iterations max_iter", FR_MODEL_INT, 100, 1,
                1e6, NULL, "how many trees"},
    [LEAVES] = {"leaves", "num_leaves max_leaf_nodes", FR_MODEL_INT, 0, 2, 1e6, NULL,
                "most leaves of a tree: 31, no limit when depth is given or with compat"},
    [DEPTH] = {"depth", "max_depth", FR_MODEL_INT, 0, 1, 64, NULL,
               "greatest number of splits above a leaf: no limit, 3 with compat"},
    [RATE] = {"learning_rate", NULL, FR_MODEL_NUMBER, 0.1, 1e-9, 1e3, NULL,
              "how much of each tree's step is taken"},
    [MIN_LEAF] = {"min_samples_leaf", "min_leaf min_data_in_leaf", FR_MODEL_INT, 0, 1,
                  1e9, NULL, "fewest rows of a leaf: 20, 1 with compat"},
    [L2] = {"l2", "l2_regularization lambda_l2", FR_MODEL_NUMBER, 0, 0, 1e9, NULL,
            "pulls the leaves' steps towards 0"},
    [COMPAT] = {"compat", NULL, FR_MODEL_CHOICE, COMPAT_NONE, 0, 1, "none sklearn",
                "\"sklearn\": grow the trees of its GradientBoostingClassifier"},
    [SEED] = {"seed", "random_state", FR_MODEL_INT, 0, 0, 9007199254740992.0, NULL,
              "accepted; nothing here is random"},
    [THREADS] = {"threads", "n_jobs", FR_MODEL_INT, 0, -1, 4096, NULL,
                 "most threads; 0 and -1: what the task may use. The model is the same"},
};

enum { HEAD = 3, CHUNK_ROWS = 1 << 15 };

typedef struct boosted {
    fr_forest_view view;
    double base;
    const double *importance;
} boosted;

static fr_boost_options options_of(const double *o)
{
    bool compat = o[COMPAT] == COMPAT_SKLEARN;
    bool limited = o[DEPTH] > 0 || compat;
    fr_boost_options b = {
        .rounds = (uint32_t)o[ROUNDS],
        .leaves = o[LEAVES] > 0 ? (uint32_t)o[LEAVES]
                  : limited     ? UINT32_MAX
                                : 31,
        .depth = o[DEPTH] > 0 ? (uint32_t)o[DEPTH]
                 : compat     ? 3
                              : UINT32_MAX,
        .min_leaf = o[MIN_LEAF] > 0 ? (uint32_t)o[MIN_LEAF]
                    : compat        ? 1
                                    : 20,
        .learning_rate = o[RATE],
        .l2 = o[L2],
    };
    if (b.depth < 24) {
        b.leaves = FR_MIN(b.leaves, 1U << b.depth);
    }
    return b;
}

static void gradient_chunk(void *ctx, size_t chunk)
{
    fr_boost_rows *r = ctx;
    size_t at = chunk * CHUNK_ROWS, n = FR_MIN(r->rows - at, CHUNK_ROWS);
    if (r->unit == FR_BOOST_COARSE) {
        fr_logistic_gradients_float(r->raw + at, r->code + at, n, r->gradient + at,
                                    r->hessian + at);
    } else {
        fr_logistic_gradients(r->raw + at, r->code + at, n, 1 / r->unit, r->gradient + at,
                              r->hessian + at);
    }
}

int fr_boost_gradients(fr_boost_rows *r)
{
    return fr_pool_run((r->rows + CHUNK_ROWS - 1) / CHUNK_ROWS, gradient_chunk, r);
}

typedef struct fit_state {
    fr_boost_rows rows;
    fr_boost_options options;
    fr_boost_exact *exact;
    fr_boost_hist *hist;
    fr_tree *tree; // [rounds]
    double *importance, base;
} fit_state;

static int start(fit_state *s, const fr_fit *fit, fr_err *err)
{
    size_t n = fit->x->rows;
    s->options = options_of(fit->option);
    bool compat = fit->option[COMPAT] == COMPAT_SKLEARN;
    s->rows = (fr_boost_rows){
        .rows = n,
        .unit = !compat       ? FR_BOOST_COARSE
                : n < 1 << 20 ? 0x1p-30
                              : 0x1p-19,
        .code = fit->y->code,
    };
    s->rows.gradient = fr_try_alloc(n * sizeof(int32_t));
    s->rows.hessian = fr_try_alloc(n * sizeof(int32_t));
    s->rows.raw = fr_try_alloc(n * sizeof(double));
    s->tree = fr_zalloc(s->options.rounds * sizeof *s->tree);
    s->importance = fr_zalloc(fit->x->count * sizeof *s->importance);
    if (s->rows.gradient == NULL || s->rows.hessian == NULL || s->rows.raw == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory to boost %zu rows", n);
    }
    size_t positive = 0;
    for (size_t i = 0; i < n; i++) {
        positive += fit->y->code[i] == 1;
    }
    s->base = log((double)positive / (double)(n - positive));
    for (size_t i = 0; i < n; i++) {
        s->rows.raw[i] = s->base;
    }
    return compat ? fr_boost_exact_new(fit->x, &s->exact, err)
                  : fr_boost_hist_new(fit->x, &s->options, &s->hist, err);
}

static int grow(fit_state *s, size_t t)
{
    int rc = fr_boost_gradients(&s->rows);
    if (rc != FR_OK) {
        return rc;
    }
    return s->exact != NULL ? fr_boost_exact_grow(s->exact, &s->rows, &s->options,
                                                  &s->tree[t], s->importance)
                            : fr_boost_hist_grow(s->hist, &s->rows, &s->options,
                                                 &s->tree[t], s->importance);
}

static void finish(fit_state *s)
{
    for (size_t t = 0; t < s->options.rounds && s->tree != NULL; t++) {
        fr_tree_fini(&s->tree[t]);
    }
    fr_free(s->tree);
    fr_free(s->importance);
    fr_free(s->rows.gradient);
    fr_free(s->rows.hessian);
    fr_free(s->rows.raw);
    fr_boost_exact_free(s->exact);
    fr_boost_hist_free(s->hist);
}

static int write_payload(const fit_state *s, size_t features, fr_buf *out, fr_err *err)
{
    size_t trees = s->options.rounds, nodes = 0;
    double sum = 0;
    for (size_t t = 0; t < trees; t++) {
        nodes += s->tree[t].count;
    }
    for (size_t f = 0; f < features; f++) {
        sum += s->importance[f];
    }
    for (size_t f = 0; f < features && sum > 0; f++) {
        s->importance[f] /= sum;
    }
    size_t size = (HEAD + 1 + features + trees + 1) * 8 + nodes * sizeof(fr_node);
    int rc = fr_buf_reserve(out, size, err);
    if (rc != FR_OK) {
        return rc;
    }
    const uint64_t head[HEAD] = {trees, features, nodes};
    fr_buf_put(out, head, sizeof head);
    fr_buf_put(out, &s->base, sizeof s->base);
    fr_buf_put(out, s->importance, features * sizeof(double));
    uint64_t at = 0;
    for (size_t t = 0; t <= trees; t++) {
        fr_buf_put_u64(out, at);
        at += t < trees ? s->tree[t].count : 0;
    }
    for (size_t t = 0; t < trees; t++) {
        fr_buf_put(out, s->tree[t].node, s->tree[t].count * sizeof(fr_node));
    }
    return fr_buf_check(out, err);
}

static int boost_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    fit_state s = {0};
    int rc = start(&s, fit, err);
    if (rc == FR_OK) {
        for (size_t t = 0; t < s.options.rounds && rc == FR_OK; t++) {
            rc = grow(&s, t);
        }
        rc = rc == FR_OK ? write_payload(&s, fit->x->count, payload, err)
                         : fr_fail(err, rc, "gradient boosting: %s", fr_err_text(rc));
    }
    finish(&s);
    return rc;
}

static bool lay_out(const fr_model *m, boosted *b)
{
    const uint64_t *word = (const uint64_t *)(const void *)m->payload;
    size_t words = m->payload_size / 8;
    if (words < HEAD + 1) {
        return false;
    }
    uint64_t trees = word[0], p = word[1], nodes = word[2];
    if (trees == 0 || trees > words || p != m->features || nodes > words ||
        fr_model_classes(m) != 2) {
        return false;
    }
    uint64_t head = (HEAD + 1 + p + trees + 1) * 8;
    if (head + nodes * sizeof(fr_node) != m->payload_size) {
        return false;
    }
    memcpy(&b->base, word + HEAD, sizeof b->base);
    b->importance = (const double *)(const void *)(word + HEAD + 1);
    b->view = (fr_forest_view){.node = (const fr_node *)(const void *)(m->payload + head),
                               .root = word + HEAD + 1 + p,
                               .trees = (size_t)trees,
                               .features = (size_t)p};
    return fr_forest_fits(b->view.root, (size_t)trees, nodes);
}

static int boost_open(const fr_model *m, void **state, fr_err *err)
{
    boosted *b = fr_zalloc(sizeof *b);
    int rc = lay_out(m, b)
                 ? fr_forest_check(&b->view, err)
                 : fr_fail(err, FR_ECORRUPT, "the parts of the trees do not fit");
    if (rc != FR_OK) {
        fr_free(b);
        return rc;
    }
    *state = b;
    return FR_OK;
}

static int boost_predict(const fr_model *m, const fr_columns *x, double *out, fr_err *err)
{
    const boosted *b = m->state;
    size_t n = x->rows;
    int rc = fr_forest_walk(&b->view, x, out + n, err);
    if (rc != FR_OK) {
        return rc;
    }
    for (size_t i = 0; i < n; i++) {
        out[n + i] += b->base;
    }
    fr_logistic(out + n, out + n, n);
    for (size_t i = 0; i < n; i++) {
        out[i] = 1 - out[n + i];
    }
    return FR_OK;
}

static void boost_importances(const fr_model *m, double *out)
{
    const boosted *b = m->state;
    memcpy(out, b->importance, b->view.features * sizeof *out);
}

const fr_model_ops fr_boost_ops = {
    .name = "gradient_boosting",
    .title = "gradient boosting",
    .version = 1,
    .classifies = true,
    .most_classes = 2,
    .options = OPTIONS,
    .option_count = FR_COUNT(OPTIONS),
    .fit = boost_fit,
    .open = boost_open,
    .close = fr_free,
    .predict = boost_predict,
    .importances = boost_importances,
};
