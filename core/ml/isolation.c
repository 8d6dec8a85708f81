// isolation -- isolation forests (Liu, Ting, Zhou 2008): rows that random cuts part from
// the others early are anomalies.
//
// Payload: u64 trees, features, nodes, samples; double threshold; u64 root[trees + 1];
// nodes, whose leaves hold the length of the path to them. The score of a row is
// 2^(-mean length / c(samples)), as in the paper; scikit-learn's score_samples is minus
// this.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/ml/boost_grow.h"
#include "core/ml/model.h"
#include "core/ml/special.h"
#include "core/ml/tree_grow.h"

#include <math.h>
#include <string.h>

enum { TREES, MAX_SAMPLES, CONTAMINATION, SEED, THREADS };

static const fr_model_option OPTIONS[] = {
    [TREES] = {"trees", "n_estimators", FR_MODEL_INT, 100, 1, 1e6, NULL,
               "how many trees"},
    [MAX_SAMPLES] = {"max_samples", NULL, FR_MODEL_NUMBER, 256, 1e-6, 1e6, NULL,
                     "rows that a tree draws: a number, or a share up to 1"},
    [CONTAMINATION] = {"contamination", NULL, FR_MODEL_NUMBER_OR_CHOICE, -1, 1e-9, 0.5,
                       "auto",
                       "share of rows that are anomalies; auto: those that score above 0.5"},
    [SEED] = {"seed", "random_state", FR_MODEL_INT, 0, 0, 9007199254740992.0, NULL,
              "equal seeds give equal models"},
    [THREADS] = {"threads", "n_jobs", FR_MODEL_INT, 0, -1, 4096, NULL,
                 "most threads; 0 and -1: what the task may use. The model is the same"},
};

enum { HEAD = 5, MOST_DEPTH = 64 };

typedef struct isolation {
    fr_forest_view view;
    double samples, threshold;
} isolation;

// Mean length of the path of an unsuccessful search in a binary search tree of n.
static double mean_path(double n)
{
    const double euler = 0.5772156649015329;
    return n > 2 ? 2 * (fr_special_log(n - 1) + euler) - 2 * (n - 1) / n : n == 2;
}

// ---- fitting

typedef struct fit_job {
    const fr_columns *x;
    uint32_t samples, depth;
    uint64_t seed;
    fr_tree *tree;
} fit_job;

typedef struct growing {
    const fit_job *job;
    fr_draw draw;
    fr_tree *tree;
    uint32_t *row;   // in play, by node
    uint32_t *order; // of features
} growing;

static float value_of(const growing *g, uint32_t f, uint32_t i)
{
    return (float)g->job->x->column[f][g->row[i]];
}

// Draws rows without replacement (Floyd's algorithm; a bit per row says who is drawn).
static void draw_rows(growing *g, uint64_t *drawn)
{
    uint32_t n = (uint32_t)g->job->x->rows, count = g->job->samples, k = 0;
    for (uint32_t i = n - count; i < n; i++) {
        uint32_t r = fr_draw_below(&g->draw, i + 1);
        r = (drawn[r / 64] >> r % 64 & 1) != 0 ? i : r;
        drawn[r / 64] |= 1ULL << r % 64;
        g->row[k++] = r;
    }
}

typedef struct random_cut {
    uint32_t feature;
    float value;
    bool missing_right, found;
} random_cut;

// A uniform cut of a random feature that varies here.
static random_cut draw_cut(growing *g, const fr_open_node *n)
{
    random_cut c = {0};
    for (uint32_t left = (uint32_t)g->job->x->count; left > 0 && !c.found;) {
        uint32_t k = fr_draw_below(&g->draw, left), f = g->order[k];
        g->order[k] = g->order[--left];
        g->order[left] = f;
        float low = INFINITY, high = -INFINITY;
        bool missing = false;
        for (size_t i = n->begin; i < n->end; i++) {
            float v = value_of(g, f, (uint32_t)i);
            missing |= isnan(v);
            low = v < low ? v : low;
            high = v > high ? v : high;
        }
        if (!(low < high) || isinf(low) || isinf(high)) {
            continue;
        }
        double at = (double)low + fr_draw_unit(&g->draw) * ((double)high - (double)low);
        float value = (float)at;
        c = (random_cut){f, value < high ? value : low, false, true};
        c.missing_right = missing && fr_draw_below(&g->draw, 2) == 1;
    }
    return c;
}

static size_t part(growing *g, const fr_open_node *n, const random_cut *c)
{
    size_t left = n->begin, right = n->end;
    while (left < right) {
        float v = value_of(g, c->feature, (uint32_t)left);
        if (isnan(v) ? !c->missing_right : v <= c->value) {
            left++;
        } else {
            uint32_t t = g->row[left];
            g->row[left] = g->row[--right];
            g->row[right] = t;
        }
    }
    return left;
}

static void grow(growing *g)
{
    fr_open_node stack[MOST_DEPTH + 2];
    size_t open = 0;
    (void)fr_tree_pair(g->tree);
    g->tree->count = 1;
    stack[open++] = (fr_open_node){.end = g->job->samples};
    while (open > 0 && !g->tree->failed) {
        fr_open_node n = stack[--open];
        size_t rows = n.end - n.begin;
        random_cut c = {0};
        if (rows > 1 && n.depth < g->job->depth) {
            c = draw_cut(g, &n);
        }
        if (!c.found) {
            double length = (double)n.depth + mean_path((double)rows);
            fr_tree_leaf(g->tree, n.node, (float)length, (uint32_t)rows);
            continue;
        }
        size_t middle = part(g, &n, &c);
        uint32_t child = fr_tree_pair(g->tree);
        if (g->tree->failed) {
            return;
        }
        uint32_t flag = c.missing_right ? (uint32_t)FR_TREE_MISSING_RIGHT : 0;
        g->tree->node[n.node] = (fr_node){.cut = c.value,
                                          .feature = (int32_t)(c.feature | flag),
                                          .left = child,
                                          .weight = (uint32_t)rows};
        stack[open++] = (fr_open_node){
            .begin = middle, .end = n.end, .node = child + 1, .depth = n.depth + 1};
        stack[open++] = (fr_open_node){
            .begin = n.begin, .end = middle, .node = child, .depth = n.depth + 1};
    }
}

static int grow_one(void *ctx, size_t t)
{
    const fit_job *job = ctx;
    size_t words = job->x->rows / 64 + 1;
    growing g = {.job = job, .tree = &job->tree[t]};
    uint64_t *drawn = fr_try_alloc(words * sizeof *drawn);
    g.row = fr_try_alloc(((size_t)job->samples + 1) * sizeof *g.row);
    g.order = fr_alloc(job->x->count * sizeof *g.order);
    int rc = drawn == NULL || g.row == NULL ? FR_ENOMEM : FR_OK;
    if (rc == FR_OK) {
        memset(drawn, 0, words * sizeof *drawn);
        fr_draw_init(&g.draw, job->seed, t);
        for (uint32_t f = 0; f < job->x->count; f++) {
            g.order[f] = f;
        }
        draw_rows(&g, drawn);
        grow(&g);
        rc = g.tree->failed ? FR_ENOMEM : fr_cancel_code();
    }
    fr_free(drawn);
    fr_free(g.row);
    fr_free(g.order);
    return rc;
}

static int write_payload(const fit_job *job, size_t trees, double threshold, fr_buf *out,
                         fr_err *err)
{
    size_t nodes = 0;
    for (size_t t = 0; t < trees; t++) {
        nodes += job->tree[t].count;
    }
    int rc = fr_buf_reserve(out, (HEAD + trees + 1) * 8 + nodes * sizeof(fr_node), err);
    if (rc != FR_OK) {
        return rc;
    }
    const uint64_t head[HEAD - 1] = {trees, job->x->count, nodes, job->samples};
    fr_buf_put(out, head, sizeof head);
    fr_buf_put(out, &threshold, sizeof threshold);
    uint64_t at = 0;
    for (size_t t = 0; t <= trees; t++) {
        fr_buf_put_u64(out, at);
        at += t < trees ? job->tree[t].count : 0;
    }
    for (size_t t = 0; t < trees; t++) {
        fr_buf_put(out, job->tree[t].node, job->tree[t].count * sizeof(fr_node));
    }
    return fr_buf_check(out, err);
}

static bool lay_out(const uint8_t *payload, size_t size, size_t features, isolation *f)
{
    const uint64_t *word = (const uint64_t *)(const void *)payload;
    size_t words = size / 8;
    if (words < HEAD) {
        return false;
    }
    uint64_t trees = word[0], p = word[1], nodes = word[2], samples = word[3];
    if (trees == 0 || trees > words || p != features || nodes > words || samples == 0 ||
        samples > INT32_MAX) {
        return false;
    }
    uint64_t head = (HEAD + trees + 1) * 8;
    if (head + nodes * sizeof(fr_node) != size) {
        return false;
    }
    f->samples = (double)samples;
    memcpy(&f->threshold, word + HEAD - 1, sizeof f->threshold);
    f->view = (fr_forest_view){.node = (const fr_node *)(const void *)(payload + head),
                               .root = word + HEAD,
                               .trees = (size_t)trees,
                               .features = (size_t)p};
    return isfinite(f->threshold) && fr_forest_fits(f->view.root, (size_t)trees, nodes);
}

static int score(const isolation *f, const fr_columns *x, double *out, fr_err *err)
{
    int rc = fr_forest_walk(&f->view, x, out, err);
    double norm = (double)f->view.trees * mean_path(f->samples);
    for (size_t i = 0; i < x->rows && rc == FR_OK; i++) {
        out[i] = norm > 0 ? fr_special_exp(-out[i] / norm * 0.6931471805599453) : 1;
    }
    return rc;
}

// The score that a share of the rows fitted on lies above.
static int find_threshold(const fr_fit *fit, const fr_buf *payload, double *threshold,
                          fr_err *err)
{
    isolation f;
    double *s = fr_try_alloc((fit->x->rows + 1) * sizeof *s);
    if (s == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %zu scores", fit->x->rows);
    }
    int rc = lay_out(payload->data, payload->size, fit->x->count, &f)
                 ? score(&f, fit->x, s, err)
                 : fr_fail(err, FR_ECORRUPT, "the trees do not fit together");
    if (rc == FR_OK) {
        *threshold =
            fr_boost_quantile(s, NULL, fit->x->rows, 1 - fit->option[CONTAMINATION]);
    }
    fr_free(s);
    return rc;
}

static int isolation_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    const double *o = fit->option;
    double rows = (double)fit->x->rows;
    double samples = o[MAX_SAMPLES] <= 1 ? o[MAX_SAMPLES] * rows : o[MAX_SAMPLES];
    if (fit->x->rows > INT32_MAX) {
        return fr_fail(err, FR_ELIMIT, "%zu rows: a tree takes 1 to 2147483647",
                       fit->x->rows);
    }
    fit_job job = {.x = fit->x,
                   .samples = (uint32_t)FR_MAX(FR_MIN(floor(samples), rows), 1),
                   .seed = (uint64_t)o[SEED]};
    while ((uint64_t)1 << job.depth < job.samples) {
        job.depth++;
    }
    job.depth = FR_MAX(job.depth, 1);
    size_t trees = (size_t)o[TREES];
    job.tree = fr_zalloc(trees * sizeof *job.tree);
    int rc = fr_pool_try(trees, grow_one, &job);
    if (rc != FR_OK) {
        rc = fr_fail(err, rc, "fitting an isolation forest: %s", fr_err_text(rc));
    }
    double threshold = 0.5;
    rc = rc != FR_OK ? rc : write_payload(&job, trees, threshold, payload, err);
    if (rc == FR_OK && o[CONTAMINATION] > 0) {
        rc = find_threshold(fit, payload, &threshold, err);
        memcpy(payload->data + (HEAD - 1) * 8, &threshold, sizeof threshold);
    }
    for (size_t t = 0; t < trees; t++) {
        fr_tree_fini(&job.tree[t]);
    }
    fr_free(job.tree);
    return rc;
}

// ---- using

static int isolation_open(const fr_model *m, void **state, fr_err *err)
{
    isolation *f = fr_zalloc(sizeof *f);
    int rc = lay_out(m->payload, m->payload_size, m->features, f)
                 ? fr_forest_check(&f->view, err)
                 : fr_fail(err, FR_ECORRUPT, "the parts of the forest do not fit");
    if (rc != FR_OK) {
        fr_free(f);
        return rc;
    }
    *state = f;
    return FR_OK;
}

static int isolation_predict(const fr_model *m, const fr_columns *x, double *out,
                             fr_err *err)
{
    return score(m->state, x, out, err);
}

static double isolation_threshold(const fr_model *m)
{
    return ((const isolation *)m->state)->threshold;
}

const fr_model_ops fr_isolation_ops = {
    .name = "isolation_forest",
    .title = "isolation forest",
    .version = 1,
    .alone = true,
    .takes_missing = true,
    .options = OPTIONS,
    .option_count = FR_COUNT(OPTIONS),
    .fit = isolation_fit,
    .open = isolation_open,
    .close = fr_free,
    .predict = isolation_predict,
    .threshold = isolation_threshold,
};
