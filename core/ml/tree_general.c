// tree_general -- growing trees of any kind: regression and any number of classes, row
// weights, missing values, other criteria, random cuts (extra trees).
//
// A node puts its rows into the order of a feature by counting ranks (or, when it is
// small, by comparing them), then sweeps them once. Missing values are the last bin: each
// cut is weighed with them on either side, as scikit-learn does. A tree is grown by one
// thread in a fixed order, so sums of doubles have the same bits everywhere.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/special.h"
#include "core/ml/tree_grow.h"

#include <math.h>
#include <string.h>

enum { CANCEL_ROWS = 1024, SMALL_ROWS = 32 };

static const double NO_CUT = -1e300;

// Sums over one side of a cut. `squares` is the sum over classes of their weight squared.
typedef struct side {
    double weight, number, squares;
    size_t rows;
} side;

typedef struct cut {
    double score; // NO_CUT: none found
    uint32_t feature, left;
    float value;
    bool missing_left;
} cut;

typedef struct node {
    size_t begin, end;
    side all;
    uint32_t drawn;
    bool pure;
} node;

// A feature of a node, in order: bins [0, groups) with their items, missing ones last.
typedef struct ordered {
    uint32_t feature, groups;
    bool missing; // the last group is that of missing values
    side none;    // their sums
} ordered;

bool fr_grower_is_general(const fr_tree_data *data, const fr_tree_options *options)
{
    bool missing = false;
    for (size_t f = 0; f < data->ranks->features; f++) {
        missing |= data->ranks->missing[f];
    }
    return missing || data->classes != 2 || data->weight != NULL ||
           options->random_cuts || options->criterion != FR_TREE_GINI ||
           options->min_decrease > 0;
}

bool fr_grower_general_room(fr_grower *g, size_t bins)
{
    bool ok = true;
    size_t n = g->data->ranks->rows + 1, k = FR_MAX(g->data->classes, 1);
    g->items = fr_grower_zeroed(n, sizeof *g->items, &ok);
    g->spare_items = fr_grower_zeroed(n, sizeof *g->spare_items, &ok);
    g->place = fr_grower_zeroed(n, sizeof *g->place, &ok);
    g->start = fr_grower_zeroed(FR_MIN(n, bins) + 2, sizeof *g->start, &ok);
    g->bin = fr_grower_zeroed(FR_MIN(n, bins) + 2, sizeof *g->bin, &ok);
    g->sums = fr_grower_zeroed(3 * k, sizeof *g->sums, &ok);
    g->rows = fr_grower_zeroed(bins, sizeof *g->rows, &ok);
    g->used = fr_grower_zeroed(bins / 64 + 1, sizeof *g->used, &ok);
    g->used_words = fr_grower_zeroed(bins / 4096 + 1, sizeof *g->used_words, &ok);
    return ok;
}

// By class: weights of the whole node, of the left side, of the missing values.
static double *total_of(fr_grower *g) { return g->sums; }
static double *left_of(fr_grower *g) { return g->sums + g->data->classes; }
static double *none_of(fr_grower *g) { return g->sums + 2 * g->data->classes; }

static bool classifies(const fr_grower *g) { return g->data->classes > 0; }

// ---- order

static void order_few(fr_grower *g, const node *n, const uint16_t *rank)
{
    uint32_t key[SMALL_ROWS], sorted[SMALL_ROWS];
    uint32_t count = (uint32_t)(n->end - n->begin);
    for (uint32_t i = 0; i < count; i++) {
        key[i] = (uint32_t)rank[g->items[n->begin + i].row] << 16 | i;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t before = 0;
        for (uint32_t k = 0; k < count; k++) {
            before += key[k] < key[i];
        }
        sorted[before] = key[i];
    }
    uint32_t groups = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t b = (uint16_t)(sorted[i] >> 16);
        if (i == 0 || b != g->bin[groups - 1]) {
            g->bin[groups] = b;
            g->start[groups++] = i;
        }
        g->place[i] = sorted[i] & 0xffff;
    }
    g->start[groups] = count;
}

// Counts ranks, with two levels of bits that say which occur; then hands out places.
static void order_many(fr_grower *g, const node *n, const uint16_t *rank, uint32_t bins)
{
    uint32_t *rows = g->rows, groups = 0, sum = 0;
    uint32_t count = (uint32_t)(n->end - n->begin);
    const fr_item *item = g->items + n->begin;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t b = rank[item[i].row];
        rows[b]++;
        g->used[b >> 6] |= 1ULL << (b & 63);
        g->used_words[b >> 12] |= 1ULL << (b >> 6 & 63);
    }
    for (uint32_t z = 0; z <= (bins - 1) >> 12; z++) {
        uint64_t block = g->used_words[z];
        g->used_words[z] = 0;
        for (; block != 0; block &= block - 1) {
            uint32_t w = z << 6 | (uint32_t)__builtin_ctzll(block);
            uint64_t word = g->used[w];
            g->used[w] = 0;
            for (; word != 0; word &= word - 1) {
                uint32_t b = w << 6 | (uint32_t)__builtin_ctzll(word);
                g->bin[groups] = (uint16_t)b;
                g->start[groups++] = sum;
                sum += rows[b];
                rows[b] = g->start[groups - 1];
            }
        }
    }
    g->start[groups] = sum;
    for (uint32_t i = 0; i < count; i++) {
        g->place[rows[rank[item[i].row]]++] = i;
    }
    for (uint32_t k = 0; k < groups; k++) {
        rows[g->bin[k]] = 0;
    }
}

static void add(side *s, double *by_class, const fr_item *item)
{
    s->weight += item->weight;
    s->rows++;
    if (by_class == NULL) {
        s->number += item->weight * item->y;
        return;
    }
    double *c = &by_class[(size_t)item->y];
    s->squares += item->weight * (2 * *c + item->weight);
    *c += item->weight;
}

// Puts the items of a node in order of a feature, and sums the missing ones.
static ordered arrange(fr_grower *g, const node *n, uint32_t f)
{
    const fr_ranks *r = g->data->ranks;
    if (n->end - n->begin <= SMALL_ROWS) {
        order_few(g, n, r->rank[f]);
    } else {
        order_many(g, n, r->rank[f], r->bins[f]);
    }
    uint32_t count = (uint32_t)(n->end - n->begin), groups = 0;
    while (g->start[groups] < count) {
        groups++;
    }
    ordered o = {.feature = f, .groups = groups};
    o.missing = r->missing[f] && g->bin[groups - 1] == r->bins[f] - 1;
    if (o.missing) {
        double *none = classifies(g) ? none_of(g) : NULL;
        if (none != NULL) {
            memset(none, 0, g->data->classes * sizeof *none);
        }
        for (uint32_t i = g->start[groups - 1]; i < count; i++) {
            add(&o.none, none, &g->items[n->begin + g->place[i]]);
        }
    }
    return o;
}

// ---- scores: the greater, the purer. The node's own is the same function of all.

static double log_sum(const double *a, const double *b, const double *minus, size_t n)
{
    double sum = 0;
    for (size_t k = 0; k < n; k++) {
        double v = a[k] + (b != NULL ? b[k] : 0);
        v = minus != NULL ? minus[k] - v : v;
        sum += v > 0 ? v * fr_special_log(v) : 0;
    }
    return sum;
}

static double side_score(double squares, double weight)
{
    return weight > 0 ? squares / weight : 0;
}

static double node_score(fr_grower *g, const node *n)
{
    if (!classifies(g)) {
        return n->all.number * n->all.number / n->all.weight;
    }
    if (g->options->criterion == FR_TREE_ENTROPY) {
        return log_sum(total_of(g), NULL, NULL, g->data->classes) -
               n->all.weight * fr_special_log(n->all.weight);
    }
    return n->all.squares / n->all.weight;
}

// Sum of both sides' scores; `l` is the left one, with the missing values if `none`.
static double cut_score(fr_grower *g, const node *n, const side *l, double right_squares,
                        const double *none)
{
    double right = n->all.weight - l->weight;
    if (!classifies(g)) {
        double number = n->all.number - l->number;
        return side_score(l->number * l->number, l->weight) +
               side_score(number * number, right);
    }
    if (g->options->criterion == FR_TREE_ENTROPY) {
        size_t k = g->data->classes;
        return log_sum(left_of(g), none, NULL, k) -
               l->weight * fr_special_log(FR_MAX(l->weight, 1e-300)) +
               log_sum(left_of(g), none, total_of(g), k) -
               right * fr_special_log(FR_MAX(right, 1e-300));
    }
    return side_score(l->squares, l->weight) + side_score(right_squares, right);
}

static double right_squares(fr_grower *g, const double *none)
{
    double sum = 0;
    const double *total = total_of(g), *left = left_of(g);
    for (size_t k = 0; k < g->data->classes; k++) {
        double r = total[k] - left[k] - (none != NULL ? none[k] : 0);
        sum += r * r;
    }
    return sum;
}

static bool roomy(const fr_grower *g, const node *n, size_t left_rows)
{
    size_t rows = n->end - n->begin, least = g->options->min_leaf;
    return left_rows >= least && rows - left_rows >= least;
}

// The squares of the right side, kept up to date while items move to the left.
typedef struct sweep {
    side left;
    double right;      // squares, missing values on the right
    side left_none;    // the same with missing values on the left
    double right_none; // and its right
} sweep;

static void pass_item(fr_grower *g, sweep *s, const fr_item *item, bool missing)
{
    if (!classifies(g)) {
        add(&s->left, NULL, item);
        return;
    }
    size_t k = (size_t)item->y;
    double w = item->weight, l = left_of(g)[k], total = total_of(g)[k];
    s->right -= w * (2 * (total - l) - w);
    if (missing) {
        double none = none_of(g)[k];
        s->left_none.squares += w * (2 * (l + none) + w);
        s->right_none -= w * (2 * (total - l - none) - w);
    }
    add(&s->left, left_of(g), item);
}

static void weigh(fr_grower *g, const node *n, const ordered *o, uint32_t k,
                  const sweep *s, cut *best)
{
    const fr_ranks *r = g->data->ranks;
    uint32_t last = o->groups - o->missing;
    if (roomy(g, n, s->left.rows)) {
        double v = cut_score(g, n, &s->left, s->right, NULL);
        float value = k + 1 < last
                          ? fr_ranks_cut(r, o->feature, g->bin[k], g->bin[k + 1])
                          : r->high[o->feature][g->bin[k]];
        if (v > best->score && !isinf(value)) {
            *best = (cut){v, o->feature, g->bin[k], value, false};
            if (!o->missing) {
                best->missing_left = 2 * s->left.rows > n->end - n->begin;
            }
        }
    }
    if (o->missing && k + 1 < last && roomy(g, n, s->left.rows + o->none.rows)) {
        side left = s->left;
        left.weight += o->none.weight;
        left.number += o->none.number;
        left.squares = s->left_none.squares;
        double v = cut_score(g, n, &left, s->right_none, none_of(g));
        if (v > best->score) {
            *best = (cut){v, o->feature, g->bin[k],
                          fr_ranks_cut(r, o->feature, g->bin[k], g->bin[k + 1]), true};
        }
    }
}

// Weighs all cuts of one feature. False when the feature is constant in the node.
static bool try_feature(fr_grower *g, uint32_t f, const node *n, cut *best)
{
    ordered o = arrange(g, n, f);
    if (o.groups < 2) {
        return false;
    }
    sweep s = {0};
    if (classifies(g)) {
        memset(left_of(g), 0, g->data->classes * sizeof(double));
        s.right = n->all.squares;
        s.left_none.squares = o.none.squares;
        s.right_none = o.missing ? right_squares(g, none_of(g)) : 0;
    }
    uint32_t last = o.groups - o.missing;
    for (uint32_t k = 0; k + 1 < o.groups && k < last; k++) {
        for (uint32_t i = g->start[k]; i < g->start[k + 1]; i++) {
            pass_item(g, &s, &g->items[n->begin + g->place[i]], o.missing);
        }
        weigh(g, n, &o, k, &s, best);
    }
    return true;
}

// ---- random cuts

// The greatest bin whose values are all at most `value`, among first .. last - 1.
static uint32_t bin_below(const fr_ranks *r, uint32_t f, uint32_t first, uint32_t last,
                          float value)
{
    while (first + 1 < last) {
        uint32_t middle = first + (last - first) / 2;
        if (r->low[f][middle] <= value) {
            first = middle;
        } else {
            last = middle;
        }
    }
    return first;
}

// One cut, uniform between the least and the greatest value in the node; missing values
// go to a random side.
static bool try_random(fr_grower *g, uint32_t f, const node *n, cut *best)
{
    const fr_ranks *r = g->data->ranks;
    const uint16_t *rank = r->rank[f];
    uint32_t none = r->missing[f] ? r->bins[f] - 1 : UINT32_MAX;
    uint32_t first = UINT32_MAX, last = 0;
    bool missing = false;
    for (size_t i = n->begin; i < n->end; i++) {
        uint32_t b = rank[g->items[i].row];
        if (b == none) {
            missing = true;
            continue;
        }
        first = FR_MIN(first, b);
        last = FR_MAX(last, b);
    }
    if (first == UINT32_MAX || (first == last && !missing)) {
        return false;
    }
    cut c = {NO_CUT, f, first, r->high[f][first], false};
    if (first < last) {
        double low = (double)r->low[f][first], high = (double)r->low[f][last];
        float value = (float)(low + fr_draw_unit(&g->draw) * (high - low));
        value = isfinite(value) ? value : r->high[f][first];
        c.left = bin_below(r, f, first, last, value);
        c.value = FR_MAX(value, r->high[f][c.left]);
        c.missing_left = missing && fr_draw_below(&g->draw, 2) == 0;
    }
    side left = {0};
    double *by_class = classifies(g) ? left_of(g) : NULL;
    if (by_class != NULL) {
        memset(by_class, 0, g->data->classes * sizeof *by_class);
    }
    for (size_t i = n->begin; i < n->end; i++) {
        uint32_t b = rank[g->items[i].row];
        if (b == none ? c.missing_left : b <= c.left) {
            add(&left, by_class, &g->items[i]);
        }
    }
    if (roomy(g, n, left.rows)) {
        double squares = by_class != NULL ? right_squares(g, NULL) : 0;
        c.score = cut_score(g, n, &left, squares, NULL);
        if (!missing) {
            c.missing_left = 2 * left.rows > n->end - n->begin;
        }
        if (c.score > best->score) {
            *best = c;
        }
    }
    return true;
}

static cut find_cut(fr_grower *g, const node *n)
{
    cut best = {.score = NO_CUT};
    uint32_t left = (uint32_t)g->data->ranks->features, tried = 0;
    bool varied = false;
    while (left > 0 && (tried < g->options->max_features || !varied)) {
        uint32_t f = fr_grower_feature(g, &left);
        varied |= g->options->random_cuts ? try_random(g, f, n, &best)
                                          : try_feature(g, f, n, &best);
        tried++;
    }
    return best;
}

// ---- nodes

static node look_at(fr_grower *g, const fr_open_node *open)
{
    node n = {.begin = open->begin, .end = open->end, .pure = true};
    double *by_class = classifies(g) ? total_of(g) : NULL;
    if (by_class != NULL) {
        memset(by_class, 0, g->data->classes * sizeof *by_class);
    }
    double first = g->items[open->begin].y;
    for (size_t i = n.begin; i < n.end; i++) {
        const fr_item *item = &g->items[i];
        add(&n.all, by_class, item);
        n.drawn += item->drawn;
        n.pure &= item->y == first;
    }
    return n;
}

static void leaf(fr_grower *g, const node *n, uint32_t number)
{
    fr_tree *t = g->tree;
    size_t classes = g->data->classes;
    if (classes <= 2) {
        double v = classes == 0 ? n->all.number : total_of(g)[1];
        fr_tree_leaf(t, number, (float)(v / n->all.weight), n->drawn);
        return;
    }
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
        value[k] = (float)(total_of(g)[k] / n->all.weight);
    }
    fr_tree_leaf(t, number, 0, n->drawn);
    t->node[number].left = (uint32_t)t->values++;
}

static size_t partition(fr_grower *g, const node *n, const cut *c)
{
    const fr_ranks *r = g->data->ranks;
    const uint16_t *rank = r->rank[c->feature];
    uint32_t none = r->missing[c->feature] ? r->bins[c->feature] - 1 : UINT32_MAX;
    size_t left = n->begin, right = 0;
    for (size_t i = n->begin; i < n->end; i++) {
        fr_item x = g->items[i];
        uint32_t b = rank[x.row];
        size_t goes_left = b == none ? c->missing_left : b <= c->left;
        g->items[left] = x;
        g->spare_items[right] = x;
        left += goes_left;
        right += 1 - goes_left;
    }
    memcpy(g->items + left, g->spare_items, right * sizeof *g->items);
    return left;
}

static void split(fr_grower *g, const fr_open_node *open, const node *n, const cut *c,
                  double gain)
{
    size_t middle = partition(g, n, c);
    uint32_t child = fr_tree_pair(g->tree);
    if (g->tree->failed) {
        return;
    }
    g->importance[c->feature] += gain;
    g->tree->node[open->node] =
        (fr_node){.cut = c->value,
                  .feature = (int32_t)(c->feature | (c->missing_left
                                                         ? 0
                                                         : (uint32_t)FR_TREE_MISSING_RIGHT)),
                  .left = child,
                  .weight = n->drawn};
    fr_grower_push(g, (fr_open_node){.begin = middle,
                                     .end = n->end,
                                     .node = child + 1,
                                     .depth = open->depth + 1});
    fr_grower_push(g, (fr_open_node){.begin = n->begin,
                                     .end = middle,
                                     .node = child,
                                     .depth = open->depth + 1});
}

static size_t make_items(fr_grower *g)
{
    const fr_tree_data *d = g->data;
    size_t kept = 0;
    for (uint32_t i = 0; i < d->ranks->rows; i++) {
        double w = d->weight != NULL ? d->weight[i] : 1;
        g->items[kept] = (fr_item){.weight = w * g->drawn[i],
                                   .y = d->classes > 0 ? d->code[i] : d->number[i],
                                   .row = i,
                                   .drawn = g->drawn[i]};
        kept += g->drawn[i] > 0 && w > 0;
    }
    if (kept == 0) { // only rows without weight were drawn: as if none had
        g->items[0] = (fr_item){.weight = 1,
                                .y = d->classes > 0 ? d->code[0] : d->number[0],
                                .drawn = 1};
        kept = 1;
    }
    return kept;
}

void fr_grower_general(fr_grower *g)
{
    const fr_tree_options *o = g->options;
    size_t items = make_items(g);
    double whole = 0;
    g->open = 0;
    fr_grower_push(g, (fr_open_node){.end = items});
    while (g->open > 0 && !g->tree->failed) {
        fr_open_node open = g->stack[--g->open];
        size_t rows = open.end - open.begin;
        if (rows > CANCEL_ROWS && fr_cancelled()) {
            return;
        }
        g->tree->depth = FR_MAX(g->tree->depth, open.depth);
        node n = look_at(g, &open);
        whole = whole == 0 ? n.all.weight : whole;
        cut c = {.score = NO_CUT};
        if (!n.pure && rows >= o->min_split && rows >= 2 * (size_t)o->min_leaf &&
            open.depth < o->max_depth) {
            c = find_cut(g, &n);
        }
        double gain = c.score > NO_CUT ? c.score - node_score(g, &n) : 0;
        double unit = o->criterion == FR_TREE_ENTROPY ? 0.6931471805599453 : 1; // bits
        if (c.score == NO_CUT || gain < o->min_decrease * whole * unit) {
            leaf(g, &n, open.node);
        } else {
            split(g, &open, &n, &c, FR_MAX(gain, 0));
        }
    }
}
