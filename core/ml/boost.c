// boost -- gradient boosting (Friedman 2001) for classes and for numbers: each tree is
// fitted to the gradient of a loss, its leaves hold Newton steps, or quantiles of the
// residuals where the loss has no curvature.
//
// Payload: u64 trees, features, nodes, outputs, sets, loss; double base[outputs],
// importance[features]; u64 root[trees + 1]; nodes; sets of categories. Version 1 has
// neither outputs nor sets. Tree t adds to the score of output t % outputs.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/base/rand.h"
#include "core/ml/boost_grow.h"
#include "core/ml/boost_loss.h"
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
    SUBSAMPLE,
    COLSAMPLE,
    EARLY,
    VALIDATION,
    COMPAT,
    SEED,
    THREADS,
    OWN, // the first of the kind's own
    CLASS_WEIGHT = OWN,
    LOSS = OWN,
    QUANTILE,
    POWER,
};

enum { COMPAT_NONE, COMPAT_SKLEARN };

#define BOOST_ROWS                                                                       \
    [ROUNDS] = {"rounds", "n_estimators num_iterations max_iter", FR_MODEL_INT, 100, 1,  \
                1e6, NULL, "how many trees, or sets of a tree per class"},               \
    [LEAVES] = {"leaves", "num_leaves max_leaf_nodes", FR_MODEL_INT, 0, 2, 1e6, NULL,    \
                "most leaves of a tree: 31, no limit when depth is given or with "       \
                "compat"},                                                               \
    [DEPTH] = {"depth", "max_depth", FR_MODEL_INT, 0, 1, 64, NULL,                       \
               "greatest number of splits above a leaf: no limit, 3 with compat"},       \
    [RATE] = {"learning_rate", "eta", FR_MODEL_NUMBER, 0.1, 1e-9, 1e3, NULL,             \
              "how much of each tree's step is taken"},                                  \
    [MIN_LEAF] = {"min_samples_leaf", "min_leaf min_data_in_leaf", FR_MODEL_INT, 0, 1,   \
                  1e9, NULL, "fewest rows of a leaf: 20, 1 with compat"},                \
    [L2] = {"l2", "l2_regularization lambda_l2 reg_lambda", FR_MODEL_NUMBER, 0, 0, 1e9,  \
            NULL, "pulls the leaves' steps towards 0"},                                  \
    [SUBSAMPLE] = {"subsample", "bagging_fraction", FR_MODEL_NUMBER, 1, 1e-6, 1, NULL,   \
                   "share of the rows that each round draws, without replacement"},      \
    [COLSAMPLE] = {"colsample", "colsample_bytree feature_fraction", FR_MODEL_NUMBER, 1, \
                   1e-6, 1, NULL, "share of the features that each tree may use"},       \
    [EARLY] = {"early_stopping", "n_iter_no_change early_stopping_rounds",               \
               FR_MODEL_INT, 0, 1, 1e6, NULL,                                            \
               "stops when the loss on held-out rows has not fallen for so many "        \
               "rounds, and keeps the best; not unless given"},                          \
    [VALIDATION] = {"validation", "validation_fraction", FR_MODEL_NUMBER, 0.1, 1e-6,     \
                    0.999, NULL, "share of the rows that early stopping holds out"},     \
    [COMPAT] = {"compat", NULL, FR_MODEL_CHOICE, COMPAT_NONE, 0, 1, "none sklearn",      \
                "\"sklearn\": grow the trees of its GradientBoosting"},                  \
    [SEED] = {"seed", "random_state", FR_MODEL_INT, 0, 0, 9007199254740992.0, NULL,      \
              "of subsample, colsample and early_stopping"},                             \
    [THREADS] = {"threads", "n_jobs", FR_MODEL_INT, 0, -1, 4096, NULL,                   \
                 "most threads; 0 and -1: what the task may use. The model is the same"}

static const fr_model_option CLASSES[] = {
    BOOST_ROWS,
    [CLASS_WEIGHT] = {"class_weight", NULL, FR_MODEL_CHOICE, 0, 0, 1, "none balanced",
                      "\"balanced\": all classes weigh the same; or a table of weights "
                      "by class"},
};

static const fr_model_option NUMBERS[] = {
    BOOST_ROWS,
    [LOSS] = {"loss", "objective", FR_MODEL_CHOICE, 0, 0, 4,
              "squared_error absolute_error quantile poisson tweedie",
              "what is made small"},
    [QUANTILE] = {"quantile", "alpha", FR_MODEL_NUMBER, 0.5, 1e-6, 1 - 1e-6, NULL,
                  "which quantile loss = \"quantile\" predicts"},
    [POWER] = {"tweedie_power", "tweedie_variance_power variance_power", FR_MODEL_NUMBER,
               1.5, 1.0001, 1.9999, NULL,
               "of the mean that the variance grows with, for loss = \"tweedie\": near 1 "
               "as counts, near 2 as amounts"},
};

enum { HEAD = 6, HEAD_OF_VERSION_1 = 3, STREAM_ROWS = 1, STREAM_COLUMNS, STREAM_HELD };

typedef struct boosted {
    fr_forest_view view;
    fr_boost_loss loss;
    const double *base; // [outputs]
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

typedef struct fit_state {
    const fr_fit *fit;
    fr_boost_truth truth;
    fr_boost_options options;
    fr_boost_exact *exact;
    fr_boost_hist *hist;
    fr_tree *tree; // [rounds][outputs]
    size_t rounds; // grown, then kept
    double *importance, *base;
    double *raw, *scratch;         // [outputs][rows]; twice that
    int32_t *gradient, *hessian;   // [outputs][rows]
    int32_t *heavy;                // weights in units
    double *balanced, heavy_unit;
    uint32_t *train, *held, *chosen; // rows; held out for early stopping
    size_t trains, helds, chosens;
    bool *closed;  // features
    double *delta; // what a tree adds to rows it was not grown on
    uint8_t *grown_on;
    int bits;
} fit_state;

// ---- what goes together

static int check_shapes(const fr_fit *fit, fr_err *err)
{
    for (size_t f = 0; fit->categorical != NULL && f < fit->x->count; f++) {
        const double *v = fit->x->column[f];
        for (size_t i = 0; fit->categorical[f] && i < fit->x->rows; i++) {
            if (!isnan(v[i]) && !(v[i] >= 0 && v[i] <= 254 && v[i] == floor(v[i]))) {
                return fr_fail(err, FR_EINVAL,
                               "categorical: `%s` is %g in row %zu: codes are whole "
                               "numbers from 0 to 254, as ml.ordinal makes them",
                               fit->x->name[f], v[i], i + 1);
            }
        }
        if (fit->categorical[f] && fit->monotone != NULL && fit->monotone[f] != 0) {
            return fr_fail(err, FR_EINVAL, "`%s` cannot be both categorical and monotone",
                           fit->x->name[f]);
        }
    }
    return FR_OK;
}

static int check_together(const fr_fit *fit, const fit_state *s, fr_err *err)
{
    const double *o = fit->option;
    bool more = fit->weight != NULL || s->balanced != NULL || fit->monotone != NULL ||
                fit->categorical != NULL || fit->x->missing || o[SUBSAMPLE] < 1 ||
                o[COLSAMPLE] < 1 || o[EARLY] > 0;
    if (more && o[COMPAT] == COMPAT_SKLEARN) {
        return fr_fail(err, FR_EUNSUPPORTED,
                       "compat = \"sklearn\" takes no weights, missing values, monotone or "
                       "categorical features, subsample, colsample or early_stopping: "
                       "leave compat out");
    }
    fr_boost_loss loss = s->truth.loss;
    if (fit->monotone != NULL &&
        (loss == FR_LOSS_ABSOLUTE || loss == FR_LOSS_QUANTILE || loss == FR_LOSS_SOFTMAX)) {
        return fr_fail(err, FR_EUNSUPPORTED,
                       "monotone features need two classes, or loss = \"squared_error\" or "
                       "\"poisson\" or \"tweedie\"");
    }
    return check_shapes(fit, err);
}

// ---- draws

// The rows of [0, n) or of a list, `count` of them without replacement, in order (Knuth's
// algorithm S).
static void draw_rows(fr_rand *r, const uint32_t *list, size_t n, size_t count,
                      uint32_t *out, uint32_t *others)
{
    size_t taken = 0, left = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t row = list != NULL ? list[i] : (uint32_t)i;
        if (fr_rand_below(r, n - i) < count - taken) {
            out[taken++] = row;
        } else if (others != NULL) {
            others[left++] = row;
        }
    }
}

static size_t share_of(double share, size_t n)
{
    return FR_MAX(FR_MIN((size_t)llround(share * (double)n), n), 1);
}

static uint64_t seed_of(const fit_state *s)
{
    return (uint64_t)FR_MIN(s->fit->option[SEED], 9007199254740992.0);
}

static int hold_out(fit_state *s, fr_err *err)
{
    const double *o = s->fit->option;
    size_t n = s->truth.rows, count = share_of(o[VALIDATION], n);
    if (o[EARLY] == 0) {
        return FR_OK;
    }
    if (n < 2 || count >= n) {
        return fr_fail(err, FR_EINVAL, "early_stopping: %zu rows are too few to hold some out",
                       n);
    }
    s->held = fr_try_alloc(n * sizeof *s->held);
    s->train = fr_try_alloc(n * sizeof *s->train);
    if (s->held == NULL || s->train == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu rows", n);
    }
    fr_rand r;
    fr_rand_init(&r, seed_of(s), STREAM_HELD);
    draw_rows(&r, NULL, n, count, s->held, s->train);
    s->helds = count;
    s->trains = n - count;
    s->truth.train = s->train;
    s->truth.train_count = s->trains;
    return FR_OK;
}

static void draw_round(fit_state *s, size_t round)
{
    const double *o = s->fit->option;
    fr_rand r;
    if (o[SUBSAMPLE] < 1) {
        size_t n = s->train != NULL ? s->trains : s->truth.rows;
        s->chosens = share_of(o[SUBSAMPLE], n);
        fr_rand_init(&r, seed_of(s), (uint64_t)round << 2 | STREAM_ROWS);
        draw_rows(&r, s->train, n, s->chosens, s->chosen, NULL);
    }
}

static void draw_columns(fit_state *s, size_t tree)
{
    size_t p = s->fit->x->count, open = share_of(s->fit->option[COLSAMPLE], p);
    if (open == p) {
        return;
    }
    fr_rand r;
    fr_rand_init(&r, seed_of(s), (uint64_t)tree << 2 | STREAM_COLUMNS);
    uint32_t *out = fr_alloc(p * sizeof *out);
    draw_rows(&r, NULL, p, open, out, NULL);
    memset(s->closed, true, p * sizeof *s->closed);
    for (size_t i = 0; i < open; i++) {
        s->closed[out[i]] = false;
    }
    s->options.closed = s->closed;
    fr_free(out);
}

// ---- fitting

static fr_boost_loss loss_of(const fr_fit *fit)
{
    static const fr_boost_loss losses[] = {FR_LOSS_SQUARED, FR_LOSS_ABSOLUTE,
                                           FR_LOSS_QUANTILE, FR_LOSS_POISSON,
                                           FR_LOSS_TWEEDIE};
    if (fit->ops == &fr_boost_ops) {
        return fit->y->classes == 2 ? FR_LOSS_LOG : FR_LOSS_SOFTMAX;
    }
    return losses[(int)fit->option[LOSS]];
}

static bool make_room(fit_state *s)
{
    size_t n = s->truth.rows, k = s->truth.outputs, p = s->fit->x->count;
    const double *o = s->fit->option;
    bool plain = s->truth.loss == FR_LOSS_LOG && s->truth.weight == NULL;
    bool some = s->train != NULL || o[SUBSAMPLE] < 1;
    s->gradient = fr_try_alloc(n * k * sizeof(int32_t));
    s->hessian = fr_try_alloc(n * k * sizeof(int32_t));
    s->raw = fr_try_alloc(n * k * sizeof(double));
    s->scratch = plain ? NULL : fr_try_alloc(2 * n * k * sizeof(double));
    s->heavy = s->truth.weight != NULL ? fr_try_alloc(n * sizeof(int32_t)) : NULL;
    s->chosen = o[SUBSAMPLE] < 1 ? fr_try_alloc(n * sizeof *s->chosen) : NULL;
    s->delta = some ? fr_try_alloc(n * sizeof(double)) : NULL;
    s->grown_on = some ? fr_try_alloc(n) : NULL;
    s->closed = fr_zalloc(p * sizeof *s->closed);
    s->tree = fr_zalloc(s->options.rounds * k * sizeof *s->tree);
    s->importance = fr_zalloc(p * sizeof *s->importance);
    s->base = fr_zalloc(k * sizeof *s->base);
    return s->gradient != NULL && s->hessian != NULL && s->raw != NULL &&
           (plain || s->scratch != NULL) && (!some || s->delta != NULL) &&
           (!some || s->grown_on != NULL) && (o[SUBSAMPLE] == 1 || s->chosen != NULL) &&
           (s->truth.weight == NULL || s->heavy != NULL);
}

static void weigh(fit_state *s)
{
    double top = 0;
    for (size_t i = 0; i < s->truth.rows; i++) {
        top = FR_MAX(top, s->truth.weight[i]);
    }
    int exponent;
    (void)frexp(top, &exponent);
    s->heavy_unit = ldexp(1, exponent - 30);
    for (size_t i = 0; i < s->truth.rows; i++) {
        s->heavy[i] = (int32_t)floor(s->truth.weight[i] / s->heavy_unit + 0.5);
    }
}

// scikit-learn's quantiles are those of weights, also when all are 1: not interpolated.
static int use_ones(fit_state *s, fr_err *err)
{
    size_t n = s->truth.rows;
    if (s->truth.loss != FR_LOSS_ABSOLUTE && s->truth.loss != FR_LOSS_QUANTILE) {
        return FR_OK;
    }
    s->balanced = fr_try_alloc(n * sizeof(double));
    if (s->balanced == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu rows", n);
    }
    for (size_t i = 0; i < n; i++) {
        s->balanced[i] = 1;
    }
    s->truth.weight = s->balanced;
    return FR_OK;
}

static int start(fit_state *s, const fr_fit *fit, fr_err *err)
{
    size_t n = fit->x->rows;
    bool compat = fit->option[COMPAT] == COMPAT_SKLEARN;
    s->fit = fit;
    s->options = options_of(fit->option);
    s->options.monotone = fit->monotone;
    s->options.categorical = fit->categorical;
    s->truth = (fr_boost_truth){.loss = loss_of(fit), .rows = n, .y = fit->y};
    s->truth.outputs = s->truth.loss == FR_LOSS_SOFTMAX ? fit->y->classes : 1;
    s->truth.quantile = fit->ops == &fr_boost_ops ? 0 : fit->option[QUANTILE];
    s->truth.power = fit->ops == &fr_boost_ops ? 0 : fit->option[POWER];
    s->truth.weight = fit->weight;
    if (fit->ops == &fr_boost_ops && fit->option[CLASS_WEIGHT] != 0) {
        s->balanced = fr_try_alloc(n * sizeof(double));
        if (s->balanced == NULL) {
            return fr_fail(err, FR_ENOMEM, "no memory for %zu rows", n);
        }
        fr_model_balance(fit, s->balanced);
        s->truth.weight = s->balanced;
    }
    int rc = check_together(fit, s, err);
    rc = rc != FR_OK ? rc : hold_out(s, err);
    rc = rc != FR_OK || !compat ? rc : use_ones(s, err);
    if (rc == FR_OK && !make_room(s)) {
        rc = fr_fail(err, FR_ENOMEM, "no memory to boost %zu rows", n);
    }
    rc = rc != FR_OK ? rc : fr_boost_base(&s->truth, s->base, err);
    if (rc != FR_OK) {
        return rc;
    }
    for (size_t i = 0; i < n * s->truth.outputs; i++) {
        s->raw[i] = s->base[i / n];
    }
    if (s->heavy != NULL) {
        weigh(s);
    }
    bool coarse = s->truth.loss == FR_LOSS_LOG && s->truth.weight == NULL && !compat;
    s->bits = coarse ? 21 : compat && n >= 1 << 20 ? 19 : 30;
    return compat ? fr_boost_exact_new(fit->x, s->options.depth, &s->exact, err)
                  : fr_boost_hist_new(fit->x, &s->options, &s->hist, err);
}

// Adds a tree to the scores of the rows that it was not grown on.
static int add_others(fit_state *s, const fr_tree *tree, const fr_boost_rows *rows)
{
    if (s->delta == NULL) {
        return FR_OK;
    }
    const uint64_t root[2] = {0, tree->count};
    fr_forest_view v = {.node = tree->node,
                        .root = root,
                        .trees = 1,
                        .features = s->fit->x->count,
                        .set = tree->set,
                        .sets = tree->sets};
    int rc = fr_forest_walk(&v, s->fit->x, s->delta, NULL);
    memset(s->grown_on, 0, s->truth.rows);
    for (size_t i = 0; i < rows->chosen_count; i++) {
        s->grown_on[rows->chosen[i]] = 1;
    }
    for (size_t i = 0; i < s->truth.rows && rc == FR_OK; i++) {
        rows->raw[i] += s->grown_on[i] ? 0 : s->delta[i];
    }
    return rc;
}

static int grow_tree(fit_state *s, size_t round, size_t k, const fr_boost_units *unit)
{
    size_t n = s->truth.rows, t = round * s->truth.outputs + k;
    fr_boost_loss loss = s->truth.loss;
    double classes = (double)s->truth.outputs;
    fr_boost_rows rows = {
        .rows = n,
        .gradient = s->gradient + k * n,
        .hessian = s->hessian + k * n,
        .unit = unit->gradient,
        .hessian_unit = unit->hessian,
        .most = ldexp(1, s->bits),
        .raw = s->raw + k * n,
        .chosen = s->chosen != NULL ? s->chosen : s->train,
        .chosen_count = s->chosen != NULL ? s->chosens : s->trains,
        .weight = s->heavy,
        .weight_unit = s->heavy_unit,
        .renew = loss == FR_LOSS_ABSOLUTE   ? 0.5
                 : loss == FR_LOSS_QUANTILE ? s->truth.quantile
                                            : -1,
        .factor = s->exact != NULL && loss == FR_LOSS_SOFTMAX ? (classes - 1) / classes : 1,
        .number = s->truth.y->number,
        .share = s->truth.weight,
    };
    // Steps of monotone features must be in order, and means of counts differ by factors:
    // there gains are Newton's too. Elsewhere rows are as good as hessians, and faster.
    if (s->exact == NULL && (s->options.monotone != NULL || loss == FR_LOSS_POISSON ||
                             loss == FR_LOSS_TWEEDIE)) {
        rows.weight = rows.hessian;
        rows.weight_unit = unit->hessian;
    }
    draw_columns(s, t);
    fr_tree *tree = &s->tree[t];
    int rc = s->exact != NULL
                 ? fr_boost_exact_grow(s->exact, &rows, &s->options, tree, s->importance)
                 : fr_boost_hist_grow(s->hist, &rows, &s->options, tree, s->importance);
    rc = rc == FR_OK && tree->failed ? FR_ENOMEM : rc;
    return rc != FR_OK ? rc : add_others(s, tree, &rows);
}

static int grow_rounds(fit_state *s)
{
    size_t best_round = 0, patience = (size_t)s->fit->option[EARLY];
    double best = INFINITY;
    int rc = FR_OK;
    for (size_t round = 0; round < s->options.rounds && rc == FR_OK; round++) {
        fr_boost_units unit;
        draw_round(s, round);
        rc = fr_boost_gradients(&s->truth, s->raw, s->bits, s->scratch, s->gradient,
                                s->hessian, &unit);
        for (size_t k = 0; k < s->truth.outputs && rc == FR_OK; k++) {
            rc = grow_tree(s, round, k, &unit);
        }
        s->rounds = round + 1;
        if (patience == 0 || rc != FR_OK) {
            continue;
        }
        double loss = fr_boost_mean_loss(&s->truth, s->raw, s->held, s->helds);
        if (loss < best) {
            best = loss;
            best_round = round;
        } else if (round - best_round >= patience) {
            break;
        }
    }
    s->rounds = patience > 0 ? best_round + 1 : s->rounds;
    return rc;
}

static void finish(fit_state *s)
{
    for (size_t t = 0; s->tree != NULL && t < s->options.rounds * s->truth.outputs; t++) {
        fr_tree_fini(&s->tree[t]);
    }
    void *const blocks[] = {s->tree,  s->importance, s->base,   s->raw,    s->scratch,
                            s->heavy, s->gradient,   s->hessian, s->train, s->held,
                            s->chosen, s->closed,    s->delta,  s->grown_on,
                            s->balanced};
    for (size_t i = 0; i < FR_COUNT(blocks); i++) {
        fr_free(blocks[i]);
    }
    fr_boost_exact_free(s->exact);
    fr_boost_hist_free(s->hist);
}

// Nodes on categories number their sets within the tree; in the payload, within all.
static void put_tree(fr_buf *out, const fr_tree *tree, size_t sets)
{
    for (size_t i = 0; sets > 0 && i < tree->count; i++) {
        fr_node *n = &tree->node[i];
        if (n->feature >= 0 && (n->feature & FR_TREE_CATEGORY) != 0) {
            uint32_t set;
            memcpy(&set, &n->cut, sizeof set);
            set += (uint32_t)sets;
            memcpy(&n->cut, &set, sizeof set);
        }
    }
    fr_buf_put(out, tree->node, tree->count * sizeof(fr_node));
}

static int write_payload(const fit_state *s, fr_buf *out, fr_err *err)
{
    size_t features = s->fit->x->count, outputs = s->truth.outputs;
    size_t trees = s->rounds * outputs, nodes = 0, sets = 0;
    double sum = 0;
    for (size_t t = 0; t < trees; t++) {
        nodes += s->tree[t].count;
        sets += s->tree[t].sets;
    }
    for (size_t f = 0; f < features; f++) {
        sum += s->importance[f];
    }
    for (size_t f = 0; f < features && sum > 0; f++) {
        s->importance[f] /= sum;
    }
    size_t size = (HEAD + outputs + features + trees + 1) * 8 + nodes * sizeof(fr_node) +
                  sets * FR_TREE_SET_WORDS * sizeof(uint32_t);
    int rc = fr_buf_reserve(out, size, err);
    if (rc != FR_OK) {
        return rc;
    }
    const uint64_t head[HEAD] = {trees, features, nodes, outputs, sets, s->truth.loss};
    fr_buf_put(out, head, sizeof head);
    fr_buf_put(out, s->base, outputs * sizeof(double));
    fr_buf_put(out, s->importance, features * sizeof(double));
    uint64_t at = 0;
    for (size_t t = 0; t <= trees; t++) {
        fr_buf_put_u64(out, at);
        at += t < trees ? s->tree[t].count : 0;
    }
    size_t before = 0;
    for (size_t t = 0; t < trees; t++) {
        put_tree(out, &s->tree[t], before);
        before += s->tree[t].sets;
    }
    for (size_t t = 0; t < trees; t++) {
        fr_buf_put(out, s->tree[t].set,
                   s->tree[t].sets * FR_TREE_SET_WORDS * sizeof(uint32_t));
    }
    return fr_buf_check(out, err);
}

static int boost_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    fit_state s = {0};
    int rc = start(&s, fit, err);
    if (rc == FR_OK) {
        rc = grow_rounds(&s);
        rc = rc == FR_OK ? write_payload(&s, payload, err)
                         : fr_fail(err, rc, "gradient boosting: %s", fr_err_text(rc));
    }
    finish(&s);
    return rc;
}

// ---- using

// Whether the loss is one of the kind's, with as many outputs as it has.
static bool loss_fits(const fr_model *m, uint64_t loss, uint64_t outputs)
{
    size_t classes = fr_model_classes(m);
    return loss == FR_LOSS_LOG       ? classes == 2 && outputs == 1
           : loss == FR_LOSS_SOFTMAX ? classes > 2 && outputs == classes
                                     : loss <= FR_LOSS_TWEEDIE && classes == 0 &&
                                           outputs == 1;
}

static bool lay_out(const fr_model *m, boosted *b)
{
    const uint64_t *word = (const uint64_t *)(const void *)m->payload;
    size_t words = m->payload_size / 8;
    bool old = m->payload_version == 1;
    uint64_t head_words = old ? HEAD_OF_VERSION_1 : HEAD;
    if (words < head_words + 1) {
        return false;
    }
    uint64_t trees = word[0], p = word[1], nodes = word[2], outputs = old ? 1 : word[3],
             sets = old ? 0 : word[4], loss = old ? FR_LOSS_LOG : word[5];
    if (trees == 0 || trees > words || p != m->features || nodes > words ||
        sets > words || outputs == 0 || outputs > words || trees % outputs != 0 ||
        !loss_fits(m, loss, outputs)) {
        return false;
    }
    uint64_t head = (head_words + outputs + p + trees + 1) * 8;
    uint64_t set_bytes = sets * FR_TREE_SET_WORDS * sizeof(uint32_t);
    if (head + nodes * sizeof(fr_node) + set_bytes != m->payload_size) {
        return false;
    }
    b->loss = (fr_boost_loss)loss;
    b->base = (const double *)(const void *)(word + head_words);
    b->importance = b->base + outputs;
    const uint8_t *node = m->payload + head;
    b->view = (fr_forest_view){.node = (const fr_node *)(const void *)node,
                               .root = word + head_words + outputs + p,
                               .trees = (size_t)trees,
                               .features = (size_t)p,
                               .sets = (size_t)sets,
                               .outputs = (size_t)outputs};
    if (sets > 0) {
        b->view.set = (const uint32_t *)(const void *)(node + nodes * sizeof(fr_node));
    }
    for (size_t k = 0; k < outputs; k++) {
        if (!isfinite(b->base[k])) {
            return false;
        }
    }
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
    size_t n = x->rows, outputs = b->view.outputs;
    double *raw = b->loss == FR_LOSS_LOG ? out + n : out;
    int rc = fr_forest_walk(&b->view, x, raw, err);
    if (rc != FR_OK) {
        return rc;
    }
    for (size_t i = 0; i < n * outputs; i++) {
        raw[i] += b->base[i / n];
    }
    fr_boost_link(b->loss, outputs, raw, n);
    for (size_t i = 0; i < n && b->loss == FR_LOSS_LOG; i++) {
        out[i] = 1 - raw[i];
    }
    return FR_OK;
}

static void boost_importances(const fr_model *m, double *out)
{
    const boosted *b = m->state;
    memcpy(out, b->importance, b->view.features * sizeof *out);
}

static void boost_trees(const fr_model *m, fr_model_trees *out)
{
    const boosted *b = m->state;
    *out = (fr_model_trees){b->view, b->base, 1, b->view.outputs};
}

#define BOOST_OPS(called, classes, rows)                                                 \
    {                                                                                    \
        .name = called, .title = "gradient boosting", .version = 2,                      \
        .classifies = classes, .takes_missing = true, .takes_weights = true,             \
        .takes_shapes = true, .options = rows, .option_count = FR_COUNT(rows),           \
        .fit = boost_fit, .open = boost_open, .close = fr_free,                          \
        .predict = boost_predict, .importances = boost_importances,                      \
        .trees = boost_trees,                                                            \
    }

const fr_model_ops fr_boost_ops = BOOST_OPS("gradient_boosting", true, CLASSES);
const fr_model_ops fr_boost_regressor_ops =
    BOOST_OPS("gradient_boosting_regressor", false, NUMBERS);
