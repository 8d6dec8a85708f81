#include "core/ml/tree.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/tree_grow.h"

#include <stdlib.h>
#include <string.h>

uint32_t fr_tree_pair(fr_tree *t)
{
    if (t->count + 2 > t->capacity) {
        size_t capacity = t->capacity + t->capacity / 2 + 64;
        fr_node *node = capacity < UINT32_MAX
                            ? fr_try_realloc(t->node, capacity * sizeof *node)
                            : NULL;
        if (node == NULL) {
            t->failed = true;
            return 0;
        }
        t->node = node;
        t->capacity = capacity;
    }
    uint32_t first = (uint32_t)t->count;
    t->count += 2;
    return first;
}

uint32_t fr_tree_set(fr_tree *t)
{
    if (t->sets == t->set_capacity) {
        size_t capacity = t->set_capacity * 2 + 16;
        uint32_t *set =
            fr_try_realloc(t->set, capacity * FR_TREE_SET_WORDS * sizeof *set);
        if (set == NULL) {
            t->failed = true;
            return 0;
        }
        t->set = set;
        t->set_capacity = capacity;
    }
    memset(t->set + t->sets * FR_TREE_SET_WORDS, 0, FR_TREE_SET_WORDS * sizeof *t->set);
    return (uint32_t)t->sets++;
}

void fr_tree_fini(fr_tree *t)
{
    fr_free(t->set);
    fr_free(t->node);
    fr_free(t->value);
    *t = (fr_tree){0};
}

static void find_faces(const fr_sample *s, const uint16_t *rank, size_t begin,
                       size_t middle, size_t end, fr_cut *c)
{
    c->left = 0;
    c->right = UINT32_MAX;
    for (size_t i = begin; i < middle; i++) {
        c->left = FR_MAX(c->left, (uint32_t)rank[s[i].row]);
    }
    for (size_t i = middle; i < end; i++) {
        c->right = FR_MIN(c->right, (uint32_t)rank[s[i].row]);
    }
}

// Stable and without branches: half of all directions are surprises.
size_t fr_grower_partition(fr_grower *g, const fr_open_node *n, fr_cut *c)
{
    const uint16_t *rank = g->rank[c->feature];
    fr_sample *s = g->samples, *spare = g->spare;
    size_t l = n->begin, r = 0;
    uint32_t limit = c->left;
    for (size_t i = n->begin; i < n->end; i++) {
        fr_sample x = s[i];
        size_t goes_left = rank[x.row] <= limit;
        s[l] = x;
        spare[r] = x;
        l += goes_left;
        r += 1 - goes_left;
    }
    memcpy(s + l, spare, r * sizeof *s);
    if (c->right == 0) {
        find_faces(s, rank, n->begin, l, n->end, c);
    }
    return l;
}

void fr_grower_push(fr_grower *g, fr_open_node n)
{
    if (g->open == g->stack_capacity) {
        g->stack_capacity = g->stack_capacity * 2 + 64;
        g->stack = fr_realloc(g->stack, g->stack_capacity * sizeof *g->stack);
    }
    g->stack[g->open++] = n;
}

static uint32_t most_bins(const fr_ranks *r)
{
    uint32_t most = 1;
    for (size_t f = 0; f < r->features; f++) {
        most = FR_MAX(most, r->bins[f]);
    }
    return most;
}

void *fr_grower_zeroed(size_t n, size_t size, bool *ok)
{
    void *p = fr_try_alloc(n * size);
    if (p == NULL) {
        *ok = false;
    } else {
        memset(p, 0, n * size);
    }
    return p;
}

static void *zeroed(size_t n, size_t size, bool *ok)
{
    return fr_grower_zeroed(n, size, ok);
}

static bool room_for_binary(fr_grower *g, size_t bins)
{
    bool ok = true;
    size_t p = g->data->ranks->features;
    // Whole vectors are read and written, and buckets of ranks are full to the last one: they
    // hold at most 2 / 64 of the ranks each (tree_coarse.c).
    bins += bins / 32 + 128;
    g->hist = zeroed(bins, sizeof *g->hist, &ok);
    g->used = zeroed(bins / 64 + 1, sizeof *g->used, &ok);
    g->used_words = zeroed(bins / 4096 + 1, sizeof *g->used_words, &ok);
    g->bin = zeroed(bins, sizeof *g->bin, &ok);
    g->below = zeroed(bins, sizeof *g->below, &ok);
    g->score = zeroed(bins, sizeof *g->score, &ok);
    g->list = zeroed(FR_MAX(bins, g->data->ranks->rows + 1), sizeof *g->list, &ok);
    g->lane_filled = zeroed(FR_SMALL_LEVELS * (p / 64 + 1), sizeof *g->lane_filled, &ok);
    g->lane = aligned_alloc(64, FR_SMALL_LEVELS * p * FR_LANES_MOST * sizeof *g->lane);
    if (g->options->min_leaf > 1) {
        g->rows = zeroed(bins, sizeof *g->rows, &ok);
    } else if (most_bins(g->data->ranks) > FR_COARSE_BUCKETS) {
        g->at = zeroed(g->data->ranks->rows, sizeof *g->at, &ok);
        g->fine = zeroed(bins, sizeof *g->fine, &ok);
    }
    if (g->data->ranks->by_row != NULL) {
        g->packed = zeroed(FR_PACKED_STRIDE * p, sizeof *g->packed, &ok);
        g->packed_rank = zeroed(p, sizeof *g->packed_rank, &ok);
        for (size_t f = 0; f < p && ok; f++) {
            g->packed_rank[f] = g->packed + f * FR_PACKED_STRIDE;
        }
    }
    if (g->data->ranks->rows >= 65536) {
        g->wide = zeroed(bins, sizeof *g->wide, &ok);
    }
    return ok && g->lane != NULL;
}

static bool make_room(fr_grower *g)
{
    bool ok = true;
    size_t n = g->data->ranks->rows + 1, bins = most_bins(g->data->ranks);
    g->order = zeroed(g->data->ranks->features, sizeof *g->order, &ok);
    g->drawn = zeroed(n, sizeof *g->drawn, &ok);
    if (fr_grower_is_general(g->data, g->options)) {
        return ok && fr_grower_general_room(g, bins);
    }
    g->samples = zeroed(n, sizeof *g->samples, &ok);
    g->spare = zeroed(n, sizeof *g->spare, &ok);
    return ok && room_for_binary(g, bins);
}

int fr_grower_new(const fr_tree_data *data, const fr_tree_options *options,
                  fr_grower **out, fr_err *err)
{
    *out = NULL;
    fr_grower *g = fr_zalloc(sizeof *g);
    g->data = data;
    g->options = options;
    g->kernel = fr_lanes_kernel_best();
    if (!make_room(g)) {
        fr_grower_free(g);
        return fr_fail(err, FR_ENOMEM, "no memory to grow a tree on %zu rows",
                       data->ranks->rows);
    }
    *out = g;
    return FR_OK;
}

void fr_grower_free(fr_grower *g)
{
    if (g == NULL) {
        return;
    }
    void *const blocks[] = {g->order, g->samples, g->spare,       g->drawn,
                            g->stack, g->hist,    g->used,        g->used_words,
                            g->wide,  g->bin,     g->below,       g->score,
                            g->list,  g->rows,    g->lane,        g->lane_filled,
                            g->items, g->place,   g->spare_items, g->start,
                            g->sums,  g->at,      g->fine,        g->packed,
                            g->packed_rank};
    for (size_t i = 0; i < FR_COUNT(blocks); i++) {
        fr_free(blocks[i]);
    }
    fr_free(g);
}

// Draws the rows of a tree with replacement.
static void draw_rows(fr_draw *draw, uint32_t n, const fr_tree_options *o,
                      uint16_t *drawn)
{
    if (!o->bootstrap) {
        for (uint32_t i = 0; i < n; i++) {
            drawn[i] = 1;
        }
        return;
    }
    memset(drawn, 0, n * sizeof *drawn);
    uint32_t draws = fr_tree_draws(o, n);
    for (uint32_t i = 0; i < draws; i++) {
        uint16_t *d = &drawn[fr_draw_below(draw, n)];
        *d = (uint16_t)(*d + (*d < UINT16_MAX));
    }
}

int fr_tree_drawn(size_t rows, const fr_tree_options *options, uint32_t index,
                  uint16_t *drawn)
{
    fr_draw draw;
    fr_draw_init(&draw, options->seed, index);
    draw_rows(&draw, (uint32_t)rows, options, drawn);
    return fr_cancel_code();
}

// Turns draws into samples; returns how many distinct ones.
static size_t make_samples(fr_grower *g, uint32_t *weight, uint32_t *positive)
{
    uint32_t n = (uint32_t)g->data->ranks->rows;
    const int32_t *code = g->data->code;
    size_t kept = 0;
    *positive = *weight = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint16_t w = g->drawn[i], y = (uint16_t)code[i];
        g->samples[kept] = (fr_sample){i, w, (uint16_t)(w * y)};
        kept += w != 0;
        *weight += w;
        *positive += (uint32_t)w * y;
    }
    return kept;
}

int fr_grower_grow(fr_grower *g, uint32_t index, fr_tree *out, double *importance)
{
    const fr_ranks *ranks = g->data->ranks;
    fr_draw_init(&g->draw, g->options->seed, index);
    g->tree = out;
    g->importance = importance;
    for (uint32_t f = 0; f < ranks->features; f++) {
        g->order[f] = f;
    }
    draw_rows(&g->draw, (uint32_t)ranks->rows, g->options, g->drawn);
    (void)fr_tree_pair(out); // the root; the second one is given back
    if (!out->failed) {
        out->count = 1;
        if (g->items != NULL) {
            fr_grower_general(g);
        } else {
            uint32_t weight, positive;
            size_t samples = make_samples(g, &weight, &positive);
            fr_grower_binary(g, samples, weight, positive);
        }
    }
    int stopped = fr_cancel_code();
    return stopped != FR_OK ? stopped : out->failed ? FR_ENOMEM : FR_OK;
}
