// labels: threads
#include "check.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/base/rand.h"
#include "core/ml/boost_grow.h"
#include "core/ml/kernel_gain.h"
#include "core/ml/kernel_logistic.h"
#include "core/ml/metric.h"
#include "core/ml/model.h"
#include "core/ml/tree.h"
#include "tests/fixtures/boost.h"
#include "tests/fixtures/tree.h"

static fr_array *doubles(const double *x, size_t n)
{
    fr_array *a = NULL;
    CHECK_INT(fr_array_new(fr_type_of(FR_FLOAT64), (int64_t)n, 0, &a, NULL), FR_OK);
    memcpy(a->values->data, x, n * sizeof *x);
    return a;
}

static fr_array *codes(const int32_t *x, size_t n)
{
    fr_array *a = NULL;
    CHECK_INT(fr_array_new(fr_type_of(FR_INT32), (int64_t)n, 0, &a, NULL), FR_OK);
    memcpy(a->values->data, x, n * sizeof *x);
    return a;
}

static fr_frame *frame_of(const double *const *x, size_t features, size_t n)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    fr_array *cols[4] = {NULL};
    fr_frame *f = NULL;
    for (size_t i = 0; i < features; i++) {
        cols[i] = doubles(x[i], n);
    }
    CHECK_INT(fr_frame_new(features, names, cols, &f, NULL), FR_OK);
    for (size_t i = 0; i < features; i++) {
        fr_array_unref(cols[i]);
    }
    return f;
}

typedef struct setting {
    const char *name;
    double value;
} setting;

static fr_model *fit(const fr_frame *x, const fr_array *y, const setting *s)
{
    double option[FR_MODEL_OPTIONS];
    fr_model_presets(&fr_boost_ops, option);
    for (; s->name != NULL; s++) {
        option[fr_model_option_find(&fr_boost_ops, s->name)] = s->value;
    }
    fr_model *m = NULL;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_model_fit(&fr_boost_ops, option, x, "y", y, &m, &err), FR_OK);
    CHECK_STR(err.text, "");
    return m;
}

static void compat_predicts_what_scikit_learn_predicts(void)
{
    const double *const x[] = {TREE_X0, TREE_X1, TREE_X2, TREE_X3};
    fr_frame *f = frame_of(x, 4, TREE_ROWS);
    fr_array *y = codes(TREE_Y, TREE_ROWS);
    for (size_t i = 0; i < FR_COUNT(BOOSTS); i++) {
        const boost_case *b = &BOOSTS[i];
        fr_model *m = fit(f, y,
                          (setting[]){{"compat", 1},
                                      {"n_estimators", b->rounds},
                                      {"max_depth", b->depth},
                                      {"min_samples_leaf", b->min_leaf},
                                      {"learning_rate", b->learning_rate},
                                      {NULL, 0}});
        double p[2 * TREE_ROWS];
        CHECK_INT(fr_model_predict(m, f, p, NULL), FR_OK);
        int equal = 0;
        for (int k = 0; k < TREE_ROWS; k++) {
            equal += fabs(p[TREE_ROWS + k] - b->probability[k]) < 1e-6;
            CHECK_NEAR(p[k] + p[TREE_ROWS + k], 1, 1e-15);
        }
        (void)printf("%s: %d of %d rows equal\n", b->name, equal, TREE_ROWS);
        // Exactly tied cuts may be decided otherwise, which moves some rows.
        CHECK(equal > TREE_ROWS * 9 / 10);
        fr_model_unref(m);
    }
    fr_array_unref(y);
    fr_frame_unref(f);
}

// ---- one stump against brute force

static double logit(double p) { return log(p / (1 - p)); }

// The loss of one round of depth 1 at learning rate 1 is decided by the best cut; returns
// its score, sum over both sides of gradient^2 / rows.
static double best_score(const double *const *x, size_t features, const int32_t *y,
                         size_t n, size_t least)
{
    double share = 0, best = 0;
    for (size_t i = 0; i < n; i++) {
        share += y[i];
    }
    share /= (double)n;
    for (size_t f = 0; f < features; f++) {
        for (size_t c = 0; c < n; c++) {
            double left = 0, g = 0;
            for (size_t i = 0; i < n; i++) {
                bool in = (float)x[f][i] <= (float)x[f][c];
                left += in;
                g += in ? y[i] - share : 0;
            }
            double right = (double)n - left;
            if (left >= (double)least && right >= (double)least) {
                best = fmax(best, g * g / left + g * g / right);
            }
        }
    }
    return best;
}

static void stump_of(const fr_model *m, const double *const *x, const int32_t *y,
                     size_t n, double *score, size_t *left_rows)
{
    fr_model_trees t;
    m->ops->trees(m, &t);
    const fr_node *node = t.view.node;
    double share = 0, g = 0, h = 0;
    size_t left = 0;
    for (size_t i = 0; i < n; i++) {
        share += y[i];
    }
    share /= (double)n;
    *score = 0;
    *left_rows = 0;
    if (t.view.root[1] != 3) {
        CHECK_INT(t.view.root[1], 1);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        bool in = (float)x[fr_node_feature(node)][i] <= node->cut;
        left += in;
        g += in ? y[i] - share : 0;
        h += in ? share * (1 - share) : 0;
    }
    CHECK_NEAR((double)node[1].cut, g / h, 1e-5 * fabs(g / h) + 1e-6); // Newton's step
    CHECK_INT(node[1].weight, left);
    *score = g * g / (double)left + g * g / (double)(n - left);
    *left_rows = left;
}

static void stumps_are_the_best_possible(void)
{
    enum { MOST = 200 };
    static double column[3][MOST];
    static int32_t y[MOST];
    const double *const x[] = {column[0], column[1], column[2]};
    fr_rand r;
    fr_rand_init(&r, 11, 0);
    for (int round = 0; round < 60; round++) {
        size_t n = 4 + (size_t)fr_rand_below(&r, MOST - 4);
        for (size_t i = 0; i < n; i++) {
            column[0][i] = fr_rand_unit(&r);
            column[1][i] = (double)fr_rand_below(&r, 4);
            column[2][i] = round % 5 == 0 ? 1 : (double)fr_rand_below(&r, 50) / 7;
            y[i] = i < 2 ? (int32_t)i : fr_rand_unit(&r) < 0.2 + 0.5 * column[0][i];
        }
        size_t least = 1 + (size_t)fr_rand_below(&r, n / 4);
        fr_frame *f = frame_of(x, 3, n);
        fr_array *target = codes(y, n);
        double want = best_score(x, 3, y, n, least);
        for (int compat = 0; compat < 2; compat++) {
            fr_model *m = fit(f, target,
                              (setting[]){{"rounds", 1},
                                          {"depth", 1},
                                          {"learning_rate", 1},
                                          {"compat", compat},
                                          {"min_leaf", (double)least},
                                          {NULL, 0}});
            double got;
            size_t left;
            stump_of(m, x, y, n, &got, &left);
            CHECK_NEAR(got, want, 1e-3 * want + 1e-6);
            CHECK(left == 0 || (left >= least && n - left >= least));
            fr_model_unref(m);
        }
        fr_array_unref(target);
        fr_frame_unref(f);
    }
}

// ---- kernels

static void logistic_is_that_of_libm(void)
{
    enum { N = 4001 };
    static double x[N], p[N];
    static int32_t y[N], g[N], h[N];
    for (int i = 0; i < N; i++) {
        x[i] = (i - 2000) / 40.0;
        y[i] = i & 1;
    }
    x[0] = -800;
    x[N - 1] = 800;
    fr_logistic(x, p, N);
    fr_logistic_gradients(x, y, N, 0x1p30, g, h);
    for (int i = 0; i < N; i++) {
        double want = 1 / (1 + exp(-x[i]));
        CHECK_NEAR(p[i], want, 1e-15 * want + 1e-300);
        CHECK_NEAR(g[i] * 0x1p-30, y[i] - want, 0x1p-30);
        CHECK_NEAR(h[i] * 0x1p-30, want * (1 - want), 0x1p-30);
    }
    fr_logistic_gradients_float(x, y, N, g, h);
    for (int i = 0; i < N; i++) {
        double want = 1 / (1 + exp(-x[i]));
        CHECK_NEAR(g[i] * 0x1p-21, y[i] - want, 0x1p-20);
        CHECK_NEAR(h[i] * 0x1p-21, want * (1 - want), 0x1p-20);
    }
}

static float score_bits(int32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void gains_are_within_their_slack(void)
{
    enum { N = 1024 };
    static int64_t sum[N], prefix[N];
    static int32_t score[N];
    fr_rand r;
    fr_rand_init(&r, 4, 0);
    for (int round = 0; round < 100; round++) {
        size_t n = 1 + (size_t)fr_rand_below(&r, N);
        int32_t below = 1 + (int32_t)fr_rand_below(&r, 1000000),
                rows = below + (int32_t)n + 5;
        int64_t s = (int64_t)fr_rand_below(&r, 1ULL << 40) - (1LL << 39), total = s / 3;
        for (size_t i = 0; i < n; i++) {
            s += (int64_t)fr_rand_below(&r, 1U << 31) - (1 << 30);
            sum[i] = s;
        }
        int32_t top = fr_gain_of_sums(sum, below, n, rows, total, score), most = 0;
        for (size_t i = 0; i < n; i++) {
            double a = below + (double)i, x = (double)sum[i],
                   y = (double)(total - sum[i]);
            double want = x * x / a + y * y / (rows - a),
                   got = (double)score_bits(score[i]);
            CHECK(fabs(got - want) <= want * (FR_GAIN_SLACK - 1));
            most = FR_MAX(most, score[i]);
        }
        CHECK_INT(top, most);
        int32_t count = 0;
        int64_t gradient = 0;
        unsigned shift = 11 + (unsigned)fr_rand_below(&r, 20);
        for (size_t i = 0; i < n; i++) {
            count += (int32_t)fr_rand_below(&r, shift > 16 ? 50 : 2);
            gradient += (int64_t)fr_rand_below(&r, 2001) - 1000;
            prefix[i] = (int64_t)((uint64_t)gradient << shift) + count;
        }
        fr_gain_bins node = {shift, count + 7, 6, gradient + 3, 0.5F};
        top = fr_gain_of_bins(prefix, n, &node, score);
        most = 0;
        for (size_t i = 0; i < n; i++) {
            double x = (double)(prefix[i] >> shift), y = (double)gradient + 3 - x;
            double a =
                (double)(prefix[i] - (int64_t)((uint64_t)(prefix[i] >> shift) << shift));
            double b = count + 7 - a;
            double want = a < 6 || b < 6 ? 0 : x * x / (a + 0.5) + y * y / (b + 0.5);
            CHECK_NEAR((double)score_bits(score[i]), want, want * (FR_GAIN_SLACK - 1));
            most = FR_MAX(most, score[i]);
        }
        CHECK_INT(top, most);
    }
}

// ---- behaviour

static void make_rows(double *const *x, int32_t *y, size_t n)
{
    fr_rand r;
    fr_rand_init(&r, 3, 0);
    for (size_t i = 0; i < n; i++) {
        x[0][i] = fr_rand_unit(&r);
        x[1][i] = (double)fr_rand_below(&r, 30);
        x[2][i] = fr_rand_unit(&r) * 100;
        double z = sin(7 * x[0][i]) + (x[1][i] > 12 ? x[2][i] / 100 : 0) - 0.6;
        y[i] = fr_rand_unit(&r) < 1 / (1 + exp(-4 * z));
    }
}

static void equal_calls_give_equal_models_at_any_thread_count(void)
{
    enum { N = 60000 };
    fr_pool_setup(8);
    double *a = fr_alloc(3 * N * sizeof *a), *const x[] = {a, a + N, a + 2 * N};
    int32_t *y = fr_alloc(N * sizeof *y);
    make_rows(x, y, N);
    fr_frame *f = frame_of((const double *const *)x, 3, N);
    fr_array *target = codes(y, N);
    for (int compat = 0; compat < 2; compat++) {
        fr_hash first = {0};
        const double threads[] = {1, 2, 3, 8, 0};
        for (size_t i = 0; i < FR_COUNT(threads); i++) {
            fr_model *m = fit(f, target,
                              (setting[]){{"rounds", 4},
                                          {"compat", compat},
                                          {"threads", threads[i]},
                                          {NULL, 0}});
            fr_hash h = m->object.ops->hash(&m->object);
            first = i == 0 ? h : first;
            CHECK(fr_hash_eq(h, first));
            fr_model_unref(m);
        }
    }
    fr_array_unref(target);
    fr_frame_unref(f);
    fr_free(a);
    fr_free(y);
}

// ---- trees from buckets are those from lists, node for node

enum { BUCKET_ROWS = 3200, BUCKET_FEATURES = 11 };

static void make_gradients(fr_rand *r, int round, double *const *x, int32_t *gradient,
                           int32_t *hessian)
{
    for (size_t i = 0; i < BUCKET_ROWS; i++) {
        double noise = fr_rand_unit(r) - 0.5, v = noise * (round % 2 == 0 ? 1 : 0.02);
        v += round < 4 ? 0.3 * (x[1][i] > 0.7) - 0.2 * x[2][i] : 0;
        gradient[i] = (int32_t)floor(ldexp(v, 29));
        hessian[i] = 1 << 28;
    }
}

static fr_tree grown(fr_boost_exact *g, int32_t *gradient, int32_t *hessian,
                     uint32_t min_leaf, double *importance)
{
    double *raw = fr_zalloc(BUCKET_ROWS * sizeof *raw);
    fr_boost_rows rows = {.rows = BUCKET_ROWS,
                          .gradient = gradient,
                          .hessian = hessian,
                          .unit = 0x1p-30,
                          .hessian_unit = 0x1p-30,
                          .most = 0x1p30,
                          .raw = raw,
                          .renew = -1,
                          .factor = 1};
    fr_boost_options o = {
        .leaves = UINT32_MAX, .depth = 4, .min_leaf = min_leaf, .learning_rate = 0.1};
    fr_tree t = {0};
    CHECK_INT(fr_boost_exact_grow(g, &rows, &o, &t, importance), FR_OK);
    importance[BUCKET_FEATURES] = 0;
    for (size_t i = 0; i < BUCKET_ROWS; i++) {
        importance[BUCKET_FEATURES] += raw[i] * (double)(i + 1);
    }
    fr_free(raw);
    return t;
}

static void buckets_grow_what_lists_grow(void)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f",
                                        "g", "h", "i", "j", "k"};
    double *x[BUCKET_FEATURES];
    int32_t *gradient = fr_alloc(2 * BUCKET_ROWS * sizeof *gradient);
    fr_rand r;
    fr_rand_init(&r, 77, 0);
    for (size_t f = 0; f < BUCKET_FEATURES; f++) {
        x[f] = fr_alloc(BUCKET_ROWS * sizeof **x);
        for (size_t i = 0; i < BUCKET_ROWS; i++) {
            double u = fr_rand_unit(&r);
            x[f][i] = f == 3 ? 1 : f == 4 ? floor(3 * u) : f == 5 ? floor(300 * u * u) : u;
            x[f][i] = f == 6 ? x[1][i] : x[f][i]; // ties between features
        }
    }
    fr_columns columns = {BUCKET_ROWS, BUCKET_FEATURES, (const double *const *)x, names,
                          false};
    fr_boost_exact *buckets, *lists;
    CHECK_INT(fr_boost_exact_new(&columns, 4, &buckets, NULL), FR_OK);
    CHECK_INT(fr_boost_exact_new(&columns, UINT32_MAX, &lists, NULL), FR_OK);
    for (int round = 0; round < 10; round++) {
        double a[BUCKET_FEATURES + 1] = {0}, b[BUCKET_FEATURES + 1] = {0};
        uint32_t least = round % 3 == 0 ? 1 : 150;
        make_gradients(&r, round, x, gradient, gradient + BUCKET_ROWS);
        fr_tree t = grown(buckets, gradient, gradient + BUCKET_ROWS, least, a);
        fr_tree u = grown(lists, gradient, gradient + BUCKET_ROWS, least, b);
        CHECK(t.count > 10);
        CHECK(t.count == u.count &&
              memcmp(t.node, u.node, t.count * sizeof *t.node) == 0);
        CHECK(memcmp(a, b, sizeof a) == 0);
        fr_tree_fini(&t);
        fr_tree_fini(&u);
    }
    fr_boost_exact_free(buckets);
    fr_boost_exact_free(lists);
    for (size_t f = 0; f < BUCKET_FEATURES; f++) {
        fr_free(x[f]);
    }
    fr_free(gradient);
}

static void trees_keep_their_limits_and_learn(void)
{
    enum { N = 4000 };
    static double a[N], b[N], c[N];
    static int32_t y[N];
    double *const x[] = {a, b, c};
    make_rows(x, y, N);
    fr_frame *f = frame_of((const double *const *)x, 3, N);
    fr_array *target = codes(y, N);
    fr_model *m = fit(f, target, (setting[]){{"leaves", 7}, {"min_leaf", 40}, {NULL, 0}});
    fr_model_trees t;
    m->ops->trees(m, &t);
    CHECK_INT(t.view.trees, 100);
    CHECK_INT(t.view.root[100], 100 * 13);
    for (uint64_t k = 0; k < t.view.root[100]; k++) {
        CHECK(t.view.node[k].weight >= 40);
    }
    double p[2 * N], auc, importance[3];
    CHECK_INT(fr_model_predict(m, f, p, NULL), FR_OK);
    CHECK_INT(fr_metric_roc_auc(y, p + N, N, &auc, NULL), FR_OK);
    CHECK(auc > 0.9);
    m->ops->importances(m, importance);
    CHECK_NEAR(importance[0] + importance[1] + importance[2], 1, 1e-12);
    fr_model_unref(m);
    fr_array_unref(target);
    fr_frame_unref(f);
}

static void constant_features_leave_the_share(void)
{
    const double v[] = {5, 5, 5, 5}, *const x[] = {v};
    const int32_t y[] = {0, 1, 1, 1};
    fr_frame *f = frame_of(x, 1, 4);
    fr_array *target = codes(y, 4);
    for (int compat = 0; compat < 2; compat++) {
        fr_model *m =
            fit(f, target, (setting[]){{"compat", compat}, {"min_leaf", 1}, {NULL, 0}});
        double p[8];
        CHECK_INT(fr_model_predict(m, f, p, NULL), FR_OK);
        for (int i = 0; i < 4; i++) {
            CHECK_NEAR(p[4 + i], 0.75, 1e-6);
        }
        CHECK_NEAR(logit(p[4]), log(3), 1e-6);
        fr_model_unref(m);
    }
    fr_array_unref(target);
    fr_frame_unref(f);
}

// Damage of the parts that version 2 added, with a right checksum around it.
static void damaged_parts_are_refused(void)
{
    const double *const x[] = {TREE_X1, TREE_X0};
    fr_frame *f = frame_of(x, 2, TREE_ROWS);
    fr_array *y = codes(TREE_Y3, TREE_ROWS);
    double option[FR_MODEL_OPTIONS];
    fr_model_presets(&fr_boost_ops, option);
    option[fr_model_option_find(&fr_boost_ops, "rounds")] = 3;
    const bool categorical[] = {true, false};
    fr_model *m;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_model_fit_rows(&fr_boost_ops, option,
                                &(fr_model_rows){.x = f,
                                                 .target = "y",
                                                 .y = y,
                                                 .categorical = categorical},
                                &m, &err),
              FR_OK);
    CHECK_STR(err.text, "");
    fr_model_trees t;
    m->ops->trees(m, &t);
    CHECK(t.view.sets > 0);
    const uint64_t values[] = {0, 1, 2, 4, 1ULL << 40, UINT64_MAX};
    uint64_t *word = fr_alloc(m->payload_size);
    memcpy(word, m->payload, m->payload_size);
    const uint8_t *was = m->payload;
    m->payload = (const uint8_t *)word;
    for (int at = 0; at < 6; at++) { // the words of the head
        for (size_t i = 0; i < FR_COUNT(values); i++) {
            uint64_t before = word[at];
            if (before == values[i]) {
                continue;
            }
            word[at] = values[i];
            void *state = NULL;
            CHECK_INT(m->ops->open(m, &state, NULL), FR_ECORRUPT);
            word[at] = before;
        }
    }
    for (size_t k = 0; k < t.view.root[t.view.trees]; k++) {
        if ((t.view.node[k].feature & FR_TREE_CATEGORY) != 0 &&
            t.view.node[k].feature >= 0) {
            size_t at = (size_t)((const uint8_t *)&t.view.node[k] - was);
            uint32_t set = (uint32_t)t.view.sets;
            memcpy((uint8_t *)word + at, &set, sizeof set);
            break;
        }
    }
    void *state = NULL;
    CHECK_INT(m->ops->open(m, &state, NULL), FR_ECORRUPT);
    m->payload = was;
    fr_free(word);
    fr_model_unref(m);
    fr_array_unref(y);
    fr_frame_unref(f);
}

int main(void)
{
    CASE(compat_predicts_what_scikit_learn_predicts);
    CASE(stumps_are_the_best_possible);
    CASE(logistic_is_that_of_libm);
    CASE(gains_are_within_their_slack);
    CASE(equal_calls_give_equal_models_at_any_thread_count);
    CASE(buckets_grow_what_lists_grow);
    CASE(trees_keep_their_limits_and_learn);
    CASE(constant_features_leave_the_share);
    CASE(damaged_parts_are_refused);
    fr_pool_shutdown();
    return check_end();
}
