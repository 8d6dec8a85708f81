// tree_classes -- growing trees of more than two classes, exact: the Gini impurity from
// counts per class, kept as running sums of squares in integers.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/tree_grow.h"

#include <string.h>

enum { CANCEL_ROWS = 1024 };

typedef struct cut {
    double score;                  // negative: none found
    uint32_t feature, left, right; // the facing bins
    uint32_t weight;               // of the left side
} cut;

// The counts of a node's classes; the left side's while its cuts are swept.
static uint32_t *total_of(fr_grower *g) { return g->counts; }
static uint32_t *left_of(fr_grower *g) { return g->counts + g->data->classes; }

static void count_classes(fr_grower *g, const fr_open_node *n)
{
    uint32_t *total = total_of(g);
    memset(total, 0, g->data->classes * sizeof *total);
    for (size_t i = n->begin; i < n->end; i++) {
        total[g->samples[i].positive] += g->samples[i].weight;
    }
}

static void fill(fr_grower *g, const uint16_t *rank, const fr_open_node *n)
{
    size_t classes = g->data->classes;
    for (size_t i = n->begin; i < n->end; i++) {
        const fr_sample *s = &g->samples[i];
        uint32_t b = rank[s->row];
        g->class_hist[b * classes + s->positive] += s->weight;
        g->rows[b]++;
        g->used[b >> 6] |= 1ULL << (b & 63);
        g->used_words[b >> 12] |= 1ULL << (b >> 6 & 63);
    }
}

typedef struct sweep {
    uint64_t left_squares, right_squares;
    uint32_t weight, rows; // of the left side
    uint32_t last;         // the bin before
} sweep;

// Moves one bin to the left side and empties it.
static void take(fr_grower *g, uint32_t b, sweep *s)
{
    size_t classes = g->data->classes;
    uint32_t *h = g->class_hist + b * classes, *left = left_of(g);
    const uint32_t *total = total_of(g);
    for (size_t k = 0; k < classes; k++) {
        uint64_t c = h[k], l = left[k], r = total[k] - l;
        s->left_squares += c * (2 * l + c);
        s->right_squares -= c * (2 * r - c);
        left[k] += h[k];
        s->weight += h[k];
        h[k] = 0;
    }
    s->rows += g->rows[b];
    s->last = b;
    g->rows[b] = 0;
}

static void weigh(const fr_grower *g, const fr_open_node *n, const sweep *s, uint32_t f,
                  uint32_t b, cut *best)
{
    uint32_t least = g->options->min_leaf, rows = (uint32_t)(n->end - n->begin);
    if (s->rows < least || rows - s->rows < least) {
        return;
    }
    double l = s->weight, r = n->weight - s->weight;
    double v = ((double)s->left_squares * r + (double)s->right_squares * l) / (l * r);
    if (v > best->score) {
        *best = (cut){v, f, s->last, b, s->weight};
    }
}

// Weighs all cuts of one feature. False when the feature is constant in the node.
static bool try_feature(fr_grower *g, uint32_t f, const fr_open_node *n, cut *best)
{
    const fr_ranks *ranks = g->data->ranks;
    size_t classes = g->data->classes;
    sweep s = {0};
    for (size_t k = 0; k < classes; k++) {
        s.right_squares += (uint64_t)total_of(g)[k] * total_of(g)[k];
    }
    memset(left_of(g), 0, classes * sizeof(uint32_t));
    fill(g, ranks->rank[f], n);
    bool varied = false;
    for (uint32_t z = 0; z <= (ranks->bins[f] - 1) >> 12; z++) {
        uint64_t block = g->used_words[z];
        g->used_words[z] = 0;
        for (; block != 0; block &= block - 1) {
            uint32_t w = z << 6 | (uint32_t)__builtin_ctzll(block);
            uint64_t word = g->used[w];
            g->used[w] = 0;
            for (; word != 0; word &= word - 1) {
                uint32_t b = w << 6 | (uint32_t)__builtin_ctzll(word);
                if (s.rows > 0) {
                    varied = true;
                    weigh(g, n, &s, f, b, best);
                }
                take(g, b, &s);
            }
        }
    }
    return varied;
}

static cut find_cut(fr_grower *g, const fr_open_node *n)
{
    cut best = {.score = -1};
    uint32_t left = (uint32_t)g->data->ranks->features, tried = 0;
    bool varied = false;
    while (left > 0 && (tried < g->options->max_features || !varied)) {
        varied |= try_feature(g, fr_grower_feature(g, &left), n, &best);
        tried++;
    }
    return best;
}

static void leaf(fr_grower *g, const fr_open_node *n)
{
    fr_tree *t = g->tree;
    size_t classes = g->data->classes;
    if (t->values == t->value_capacity) {
        size_t capacity = t->value_capacity + t->value_capacity / 2 + 64;
        float *value = fr_try_realloc(t->value, capacity * classes * sizeof *value);
        if (value == NULL) {
            t->failed = true;
            return;
        }
        t->value = value;
        t->value_capacity = capacity;
    }
    float *value = t->value + t->values * classes;
    for (size_t k = 0; k < classes; k++) {
        value[k] = (float)((double)total_of(g)[k] / n->weight);
    }
    fr_tree_leaf(t, n->node, 0, n->weight);
    t->node[n->node].left = (uint32_t)t->values++;
}

static void split(fr_grower *g, const fr_open_node *n, const cut *c)
{
    size_t middle = fr_grower_partition(g, n, c->feature, c->left);
    uint32_t child = fr_tree_pair(g->tree);
    if (g->tree->failed) {
        return;
    }
    double squares = 0;
    for (size_t k = 0; k < g->data->classes; k++) {
        squares += (double)total_of(g)[k] * total_of(g)[k];
    }
    g->importance[c->feature] += c->score - squares / n->weight;
    g->tree->node[n->node] =
        (fr_node){.cut = fr_ranks_cut(g->data->ranks, c->feature, c->left, c->right),
                  .feature = (int32_t)c->feature,
                  .left = child,
                  .weight = n->weight};
    fr_grower_push(g, (fr_open_node){.begin = middle,
                                     .end = n->end,
                                     .node = child + 1,
                                     .depth = n->depth + 1,
                                     .weight = n->weight - c->weight});
    fr_grower_push(g, (fr_open_node){.begin = n->begin,
                                     .end = middle,
                                     .node = child,
                                     .depth = n->depth + 1,
                                     .weight = c->weight});
}

static bool pure(fr_grower *g, uint32_t weight)
{
    for (size_t k = 0; k < g->data->classes; k++) {
        if (total_of(g)[k] == weight) {
            return true;
        }
    }
    return false;
}

void fr_grower_classes(fr_grower *g, size_t samples, uint32_t weight)
{
    const fr_tree_options *o = g->options;
    g->open = 0;
    fr_grower_push(g, (fr_open_node){.end = samples, .weight = weight});
    while (g->open > 0 && !g->tree->failed) {
        fr_open_node n = g->stack[--g->open];
        size_t rows = n.end - n.begin;
        if (rows > CANCEL_ROWS && fr_cancelled()) {
            return;
        }
        g->tree->depth = FR_MAX(g->tree->depth, n.depth);
        count_classes(g, &n);
        cut c = {.score = -1};
        if (!pure(g, n.weight) && rows >= o->min_split && n.depth < o->max_depth) {
            c = find_cut(g, &n);
        }
        if (c.score < 0) {
            leaf(g, &n);
        } else {
            split(g, &n, &c);
        }
    }
}
