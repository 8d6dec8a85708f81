#include "core/ml/imported.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/ml/special.h"

#include <math.h>
#include <string.h>

enum { HEAD = 6, ROWS = 1024 };

// LightGBM's zero.
static const double ZERO = (double)1e-35F;

static size_t padded(size_t bytes) { return (bytes + 7) / 8 * 8; }

static size_t size_of(const fr_imported *p)
{
    return (HEAD + p->outputs) * 8 + padded(2 * p->trees * sizeof(uint32_t)) +
           p->nodes * sizeof(fr_imported_node) + padded(p->words * sizeof(uint32_t));
}

// Whether a walk from any root ends, inside the parts: children follow their parents.
static bool sound(const fr_imported *p, size_t features)
{
    for (size_t t = 0; t < p->trees; t++) {
        size_t end = t + 1 < p->trees ? p->root[t + 1] : p->nodes;
        if (p->root[t] >= end || end > p->nodes || p->output[t] >= p->outputs) {
            return false;
        }
        for (size_t k = p->root[t]; k < end; k++) {
            const fr_imported_node *n = &p->node[k];
            size_t own = k - p->root[t], count = end - p->root[t];
            if (n->feature < 0) {
                continue;
            }
            if ((size_t)n->feature >= features || n->left <= own || n->right <= own ||
                n->left >= count || n->right >= count || n->set > p->words ||
                n->words > p->words - n->set) {
                return false;
            }
        }
    }
    return p->trees == 0 || p->root[0] == 0;
}

static bool lay_out(const fr_model *m, fr_imported *p)
{
    const uint64_t *word = (const uint64_t *)(const void *)m->payload;
    const uint64_t most = (uint64_t)1 << 32;
    size_t size = m->payload_size;
    if (size < HEAD * 8) {
        return false;
    }
    if (word[0] >= most || word[1] >= most || word[2] >= most || word[3] >= most ||
        word[4] > FR_LINK_EXP) {
        return false;
    }
    *p = (fr_imported){.trees = (size_t)word[0],
                       .nodes = (size_t)word[1],
                       .outputs = (size_t)word[2],
                       .words = (size_t)word[3],
                       .link = (fr_imported_link)word[4]};
    size_t classes = fr_model_classes(m);
    size_t outputs = p->link == FR_LINK_SOFTMAX ? classes : 1;
    if (size_of(p) != size || p->outputs != outputs || (classes == 0) == m->ops->classifies ||
        (classes > 0 && p->link != FR_LINK_SOFTMAX &&
         (classes != 2 || p->link != FR_LINK_LOGISTIC))) {
        return false;
    }
    memcpy(&p->scale, &word[5], sizeof p->scale);
    const uint8_t *at = m->payload + HEAD * sizeof(uint64_t);
    p->base = (const double *)(const void *)at;
    at += p->outputs * sizeof(double);
    p->root = (const uint32_t *)(const void *)at;
    p->output = p->root + p->trees;
    at += padded(2 * p->trees * sizeof(uint32_t));
    p->node = (const fr_imported_node *)(const void *)at;
    p->set = (const uint32_t *)(const void *)(at + p->nodes * sizeof(fr_imported_node));
    return sound(p, m->features);
}

static void put(const fr_imported *p, fr_buf *b)
{
    const uint64_t head[HEAD - 1] = {p->trees, p->nodes, p->outputs, p->words, p->link};
    fr_buf_put(b, head, sizeof head);
    fr_buf_put(b, &p->scale, sizeof p->scale);
    fr_buf_put(b, p->base, p->outputs * sizeof *p->base);
    fr_buf_put(b, p->root, p->trees * sizeof *p->root);
    fr_buf_put(b, p->output, p->trees * sizeof *p->output);
    fr_buf_put(b, p->node, p->nodes * sizeof *p->node);
    fr_buf_put(b, p->set, p->words * sizeof *p->set);
    const uint8_t zero[8] = {0};
    fr_buf_put(b, zero, padded(b->size) - b->size);
}

int fr_imported_new(const fr_imported *parts, size_t classes, const char *const *feature,
                    size_t features, fr_model **out, fr_err *err)
{
    *out = NULL;
    if (!sound(parts, features)) {
        return fr_fail(err, FR_ECORRUPT, "its trees lead out of themselves");
    }
    const fr_model_ops *ops = classes > 0 ? &fr_imported_ops : &fr_imported_regressor_ops;
    fr_array *labels = NULL;
    fr_builder *b = fr_builder_new(fr_type_of(FR_INT64), (int64_t)classes);
    int rc = FR_OK;
    for (size_t k = 0; k < classes && rc == FR_OK; k++) {
        rc = fr_builder_int(b, (int64_t)k, err);
    }
    rc = rc == FR_OK && classes > 0 ? fr_builder_finish(b, &labels, err) : rc;
    fr_builder_free(b);
    fr_buf payload;
    fr_buf_init(&payload, (size_t)1 << 36);
    put(parts, &payload);
    const double option[FR_MODEL_OPTIONS] = {0};
    const fr_model_face face = {feature, features, "", labels, 0};
    rc = rc == FR_OK ? fr_model_make_as(ops, option, &face, &payload, out, err) : rc;
    fr_buf_fini(&payload);
    fr_array_unref(labels);
    return rc;
}

static int imported_open(const fr_model *m, void **state, fr_err *err)
{
    fr_imported *p = fr_zalloc(sizeof *p);
    if (!lay_out(m, p)) {
        fr_free(p);
        return fr_fail(err, FR_ECORRUPT, "the parts of the trees do not fit");
    }
    *state = p;
    return FR_OK;
}

static bool in_set(const fr_imported *p, const fr_imported_node *n, double x)
{
    if (!(x >= 0 && x < 32.0 * n->words)) {
        return false;
    }
    uint32_t code = (uint32_t)x;
    return (p->set[n->set + code / 32] >> code % 32 & 1) != 0;
}

static bool goes_left(const fr_imported *p, const fr_imported_node *n, double x)
{
    bool left = (n->flags & FR_IMPORTED_LEFT) != 0;
    if ((n->flags & FR_IMPORTED_SET) != 0) {
        return in_set(p, n, x);
    }
    if (isnan(x)) {
        if ((n->flags & FR_IMPORTED_NAN) != 0) {
            return left;
        }
        x = 0;
    }
    if ((n->flags & FR_IMPORTED_SET_RIGHT) != 0) {
        return x < 0 ? left : !in_set(p, n, x);
    }
    if ((n->flags & FR_IMPORTED_ZERO) != 0 && fabs(x) <= ZERO) {
        return left;
    }
    return (n->flags & FR_IMPORTED_BELOW) != 0 ? (double)(float)x < n->value
                                               : x <= n->value;
}

static void link_row(const fr_imported *p, double *sum, size_t classes, size_t rows,
                     double *out)
{
    if (p->link == FR_LINK_SOFTMAX) {
        double top = -HUGE_VAL, all = 0;
        for (size_t k = 0; k < p->outputs; k++) {
            top = fmax(top, sum[k]);
        }
        for (size_t k = 0; k < p->outputs; k++) {
            sum[k] = fr_special_exp(fmax(-700, sum[k] - top));
            all += sum[k];
        }
        for (size_t k = 0; k < p->outputs; k++) {
            out[k * rows] = sum[k] / all;
        }
        return;
    }
    double v = sum[0];
    if (p->link == FR_LINK_LOGISTIC) {
        v = 1 / (1 + fr_special_exp(fmin(700, fmax(-700, -v))));
    } else if (p->link == FR_LINK_EXP) {
        v = fr_special_exp(fmin(700, fmax(-700, v)));
    }
    if (classes == 2) {
        out[rows] = v;
        out[0] = 1 - v;
    } else {
        out[0] = v;
    }
}

typedef struct walk_job {
    const fr_imported *p;
    const fr_columns *x;
    size_t classes;
    double *out;
} walk_job;

static void walk_block(void *ctx, size_t block)
{
    const walk_job *job = ctx;
    const fr_imported *p = job->p;
    size_t end = FR_MIN((block + 1) * ROWS, job->x->rows);
    double *sum = fr_alloc(p->outputs * sizeof *sum);
    for (size_t i = block * ROWS; i < end; i++) {
        memset(sum, 0, p->outputs * sizeof *sum);
        for (size_t t = 0; t < p->trees; t++) {
            const fr_imported_node *tree = p->node + p->root[t], *n = tree;
            while (n->feature >= 0) {
                double x = job->x->column[n->feature][i];
                n = tree + (goes_left(p, n, x) ? n->left : n->right);
            }
            sum[p->output[t]] += n->value;
        }
        for (size_t k = 0; k < p->outputs; k++) {
            sum[k] = p->base[k] + p->scale * sum[k];
        }
        link_row(p, sum, job->classes, job->x->rows, job->out + i);
    }
    fr_free(sum);
}

static int imported_predict(const fr_model *m, const fr_columns *x, double *out,
                            fr_err *err)
{
    walk_job job = {m->state, x, fr_model_classes(m), out};
    int rc = fr_pool_run((x->rows + ROWS - 1) / ROWS, walk_block, &job);
    return rc == FR_OK ? rc : fr_fail(err, rc, "imported trees: %s", fr_err_text(rc));
}

const fr_model_ops fr_imported_ops = {
    .name = "imported",
    .title = "model of imported trees",
    .version = 1,
    .classifies = true,
    .takes_missing = true,
    .open = imported_open,
    .close = fr_free,
    .predict = imported_predict,
};
const fr_model_ops fr_imported_regressor_ops = {
    .name = "imported_regressor",
    .title = "model of imported trees",
    .version = 1,
    .takes_missing = true,
    .open = imported_open,
    .close = fr_free,
    .predict = imported_predict,
};
