#include "core/ml/tree_shap.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"

#include <string.h>

enum { BLOCK = 16, MOST_DEPTH = 1000 };

// One feature of the path to a node: the share of training rows that would go this way
// without knowing it, whether the row at hand does, and the weight of subsets of this
// size.
typedef struct step {
    size_t feature;
    double share, own, weight;
} step;

typedef struct shap_job {
    const fr_model_trees *trees;
    const fr_columns *x;
    size_t output;
    double *out;
    size_t depth; // greatest of any tree
} shap_job;

// One row in one tree.
typedef struct descent {
    const fr_forest_view *view;
    const fr_node *tree;
    size_t number;
    size_t output;
    const float *row;
    double *phi;
} descent;

static void extend(step *p, size_t n, double share, double own, size_t feature)
{
    p[n] = (step){feature, share, own, n == 0 ? 1 : 0};
    for (size_t i = n; i-- > 0;) {
        p[i + 1].weight += own * p[i].weight * (double)(i + 1) / (double)(n + 1);
        p[i].weight = share * p[i].weight * (double)(n - i) / (double)(n + 1);
    }
}

// Takes step `at` out of a path of n + 1 steps.
static void unwind(step *p, size_t n, size_t at)
{
    double own = p[at].own, share = p[at].share, next = p[n].weight;
    for (size_t i = n; i-- > 0;) {
        if (own != 0) {
            double was = p[i].weight;
            p[i].weight = next * (double)(n + 1) / ((double)(i + 1) * own);
            next = was - p[i].weight * share * (double)(n - i) / (double)(n + 1);
        } else {
            p[i].weight = p[i].weight * (double)(n + 1) / (share * (double)(n - i));
        }
    }
    for (size_t i = at; i < n; i++) {
        p[i].feature = p[i + 1].feature;
        p[i].share = p[i + 1].share;
        p[i].own = p[i + 1].own;
    }
}

// The sum of weights that unwinding step `at` would leave.
static double unwound_sum(const step *p, size_t n, size_t at)
{
    double own = p[at].own, share = p[at].share, next = p[n].weight, sum = 0;
    for (size_t i = n; i-- > 0;) {
        if (own != 0) {
            double w = next * (double)(n + 1) / ((double)(i + 1) * own);
            sum += w;
            next = p[i].weight - w * share * (double)(n - i) / (double)(n + 1);
        } else {
            sum += p[i].weight * (double)(n + 1) / (share * (double)(n - i));
        }
    }
    return sum;
}

static double leaf_value(const fr_forest_view *v, size_t tree, const fr_node *n,
                         size_t output)
{
    if (v->classes > 2) {
        return (double)v->value[(v->value_root[tree] + n->left) * v->classes + output];
    }
    return (double)n->cut;
}

static double share_of(const fr_node *tree, uint32_t child, uint32_t left)
{
    double a = tree[left].weight, b = tree[left + 1].weight;
    return a + b > 0 ? (double)tree[child].weight / (a + b) : 0.5;
}

// p holds the n steps so far, and room for those below.
static void descend(const descent *d, uint32_t k, const step *above, size_t n,
                    double share, double own, size_t feature)
{
    step *p = (step *)above + n; // a path of its own behind that of its parent
    memcpy(p, above, n * sizeof *p);
    extend(p, n, share, own, feature);
    const fr_node *node = &d->tree[k];
    if (node->feature < 0) {
        double value = leaf_value(d->view, d->number, node, d->output);
        for (size_t i = 1; i <= n; i++) {
            double w = unwound_sum(p, n, i);
            d->phi[p[i].feature] += w * (p[i].own - p[i].share) * value;
        }
        return;
    }
    size_t f = fr_node_feature(node), seen = 1;
    uint32_t hot = node->left + fr_forest_right(d->view, node, d->row[f]);
    uint32_t cold = node->left + (hot == node->left);
    double was_share = 1, was_own = 1;
    while (seen <= n && p[seen].feature != f) {
        seen++;
    }
    if (seen <= n) {
        was_share = p[seen].share;
        was_own = p[seen].own;
        unwind(p, n, seen);
        n--;
    }
    double hot_share = share_of(d->tree, hot, node->left) * was_share;
    double cold_share = share_of(d->tree, cold, node->left) * was_share;
    descend(d, hot, p, n + 1, hot_share, was_own, f);
    descend(d, cold, p, n + 1, cold_share, 0, f);
}

static int explain_block(void *ctx, size_t block)
{
    const shap_job *job = ctx;
    const fr_forest_view *v = &job->trees->view;
    size_t p = v->features, rows = job->x->rows;
    size_t begin = block * BLOCK, end = FR_MIN(rows, begin + BLOCK);
    size_t room = (job->depth + 2) * (job->depth + 3) / 2 + job->depth + 2;
    float *row = fr_alloc(p * sizeof *row);
    double *phi = fr_alloc(p * sizeof *phi);
    step *path = fr_try_alloc(room * sizeof *path);
    int rc = path == NULL ? FR_ENOMEM : FR_OK;
    for (size_t i = begin; i < end && rc == FR_OK; i++) {
        for (size_t f = 0; f < p; f++) {
            row[f] = (float)job->x->column[f][i];
            phi[f] = 0;
        }
        for (size_t t = 0; t < v->trees && rc == FR_OK; t++) {
            if (v->outputs > 1 && t % v->outputs != job->output) {
                continue;
            }
            descent d = {v, v->node + v->root[t], t, job->output, row, phi};
            descend(&d, 0, path, 0, 1, 1, 0);
            rc = fr_cancel_code();
        }
        for (size_t f = 0; f < p; f++) {
            job->out[f * rows + i] = phi[f] * job->trees->scale;
        }
    }
    fr_free(row);
    fr_free(phi);
    fr_free(path);
    return rc;
}

// The mean of a tree's leaves, weighted as its paths are. Children follow their parents.
static double mean_of(const fr_forest_view *v, size_t t, size_t output, size_t *depth)
{
    const fr_node *tree = v->node + v->root[t];
    size_t nodes = (size_t)(v->root[t + 1] - v->root[t]);
    double *share = fr_zalloc(nodes * sizeof *share), sum = 0;
    size_t *level = fr_zalloc(nodes * sizeof *level);
    share[0] = 1;
    for (size_t k = 0; k < nodes; k++) {
        const fr_node *n = &tree[k];
        if (n->feature < 0) {
            sum += share[k] * leaf_value(v, t, n, output);
            *depth = FR_MAX(*depth, level[k]);
            continue;
        }
        for (uint32_t child = n->left; child <= n->left + 1; child++) {
            share[child] = share[k] * share_of(tree, child, n->left);
            level[child] = level[k] + 1;
        }
    }
    fr_free(share);
    fr_free(level);
    return sum;
}

int fr_tree_shap(const fr_model_trees *trees, const fr_columns *x, size_t output,
                 double *out, double *base, fr_err *err)
{
    const fr_forest_view *v = &trees->view;
    shap_job job = {.trees = trees, .x = x, .output = output, .out = out};
    double sum = 0;
    for (size_t t = 0; t < v->trees; t++) {
        if (v->outputs <= 1 || t % v->outputs == output) {
            sum += mean_of(v, t, output, &job.depth);
        }
    }
    if (job.depth > MOST_DEPTH) {
        return fr_fail(err, FR_ELIMIT, "explaining: a tree is %zu deep, at most %d",
                       job.depth, MOST_DEPTH);
    }
    *base = sum * trees->scale + trees->base[v->outputs > 1 ? output : 0];
    int rc = fr_pool_try((x->rows + BLOCK - 1) / BLOCK, explain_block, &job);
    return rc == FR_OK ? rc : fr_fail(err, rc, "explaining: %s", fr_err_text(rc));
}
