// half_space -- half-space trees (Tan, Ting, Liu 2011): anomalies in streams, without
// keeping rows. Random cuts of the features' ranges; a row is odd when few of the last
// window's rows reached the same nodes.
//
// Payload: u64 trees, depth, features, window, seen; double low[features],
// high[features]; then by tree 2^depth - 1 cuts {float, u32 feature} and 2^(depth+1) - 1
// nodes {u32 reference, u32 latest}. Node k has the children 2k + 1 and 2k + 2.

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/model.h"
#include "core/ml/tree_grow.h"

#include <math.h>
#include <string.h>

enum { TREES, DEPTH, WINDOW, SEED };

static const fr_model_option OPTIONS[] = {
    [TREES] = {"trees", "n_trees n_estimators", FR_MODEL_INT, 25, 1, 10000, NULL,
               "how many trees"},
    [DEPTH] = {"depth", "height max_depth", FR_MODEL_INT, 8, 1, 20, NULL,
               "cuts above a leaf"},
    [WINDOW] = {"window", "window_size", FR_MODEL_INT, 250, 1, 1e9, NULL,
                "rows after which what was counted becomes the reference"},
    [SEED] = {"seed", "random_state", FR_MODEL_INT, 0, 0, 9007199254740992.0, NULL,
              "equal seeds give equal cuts"},
};

enum { HEAD = 5, BLOCK = 64, LANES = 8 };

typedef struct half_cut {
    float at;
    uint32_t feature;
} half_cut;

typedef struct mass {
    uint32_t reference, latest;
} mass;

typedef struct half_space {
    size_t trees, depth, features;
    uint64_t window, seen;
    const half_cut *cut; // [trees][2^depth - 1]
    mass *mass;          // [trees][2^(depth+1) - 1]
} half_space;

static size_t cuts_of(size_t depth) { return ((size_t)1 << depth) - 1; }
static size_t nodes_of(size_t depth) { return ((size_t)2 << depth) - 1; }

static bool lay_out(const uint8_t *payload, size_t size, size_t features, half_space *h)
{
    const uint64_t *word = (const uint64_t *)(const void *)payload;
    if (size / 8 < HEAD) {
        return false;
    }
    uint64_t trees = word[0], depth = word[1];
    if (trees == 0 || trees > 10000 || depth == 0 || depth > 20 || word[2] != features ||
        word[3] == 0) {
        return false;
    }
    uint64_t head = (HEAD + 2 * (uint64_t)features) * 8;
    uint64_t cuts = trees * cuts_of((size_t)depth), nodes = trees * nodes_of((size_t)depth);
    if (head + 8 * (cuts + nodes) != size) {
        return false;
    }
    *h = (half_space){.trees = (size_t)trees,
                      .depth = (size_t)depth,
                      .features = features,
                      .window = word[3],
                      .seen = word[4],
                      .cut = (const half_cut *)(const void *)(payload + head),
                      .mass = (mass *)(void *)(payload + head + 8 * cuts)};
    for (uint64_t k = 0; k < cuts; k++) {
        if (h->cut[k].feature >= features) {
            return false;
        }
    }
    return true;
}

// ---- fitting: the cuts

// The paper's work range: a random place in the range of the rows seen, and twice the
// greater distance to its ends around it.
static void draw_ranges(fr_draw *d, const double *low, const double *high, size_t p,
                        double *from, double *to)
{
    for (size_t f = 0; f < p; f++) {
        double middle = low[f] + fr_draw_unit(d) * (high[f] - low[f]);
        double reach = 2 * FR_MAX(middle - low[f], high[f] - middle);
        from[f] = middle - reach;
        to[f] = middle + reach;
    }
}

static void draw_cuts(fr_draw *d, size_t k, size_t cuts, size_t p, double *from,
                      double *to, half_cut *out)
{
    if (k >= cuts) {
        return;
    }
    uint32_t f = fr_draw_below(d, (uint32_t)p);
    double a = from[f], b = to[f], middle = a + (b - a) / 2;
    out[k] = (half_cut){(float)middle, f};
    to[f] = middle;
    draw_cuts(d, 2 * k + 1, cuts, p, from, to, out);
    to[f] = b;
    from[f] = middle;
    draw_cuts(d, 2 * k + 2, cuts, p, from, to, out);
    from[f] = a;
}

typedef struct walk {
    const half_cut *cut;
    mass *mass;
    size_t depth, features;
    uint32_t few; // nodes of fewer rows are the last that count
    bool learns;
} walk;

// LANES rows through one tree at once: each waits for its own loads, not for the others'.
static inline __attribute__((always_inline)) void
walk_rows(const walk *w, const float *x, size_t lanes, double *sum)
{
    size_t node[LANES] = {0};
    bool counts[LANES];
    for (size_t r = 0; r < lanes; r++) {
        counts[r] = true;
    }
    double weight = 1;
    for (size_t level = 0; level <= w->depth; level++, weight *= 2) {
        for (size_t r = 0; r < lanes; r++) {
            mass *m = &w->mass[node[r]];
            sum[r] += counts[r] ? weight * (double)m->reference : 0;
            counts[r] &= m->reference >= w->few;
            m->latest += w->learns;
        }
        for (size_t r = 0; r < lanes && level < w->depth; r++) {
            half_cut c = w->cut[node[r]];
            node[r] = 2 * node[r] + 1 + (x[r * w->features + c.feature] >= c.at);
        }
    }
}

// A block of rows through every tree: a tree's cuts and counts stay close to the core.
static void walk_block(half_space *h, const float *x, size_t rows, bool learns, double *sum)
{
    size_t cuts = cuts_of(h->depth), nodes = nodes_of(h->depth);
    for (size_t t = 0; t < h->trees; t++) {
        walk w = {h->cut + t * cuts, h->mass + t * nodes,          h->depth,
                  h->features,       (uint32_t)(h->window / 10), learns};
        size_t i = 0;
        for (; i + LANES <= rows; i += LANES) {
            walk_rows(&w, x + i * h->features, LANES, sum + i);
        }
        for (; i < rows; i++) {
            walk_rows(&w, x + i * h->features, 1, sum + i);
        }
    }
}

static void turn_window(half_space *h)
{
    for (size_t k = 0; k < h->trees * nodes_of(h->depth); k++) {
        h->mass[k] = (mass){h->mass[k].latest, 0};
    }
    h->seen = 0;
}

// Counts rows and, with `score`, says how odd they were before they were counted. Only
// `reference` makes scores, so the rows of a block do not wait for each other; a block
// ends where the window does.
static int stream(half_space *h, const fr_columns *x, bool learns, double *score)
{
    double most = (double)h->trees * (double)h->window *
                  ((double)((uint64_t)2 << h->depth) - 1);
    float *block = fr_alloc(BLOCK * h->features * sizeof *block);
    double sum[BLOCK];
    int rc = FR_OK;
    for (size_t from = 0; from < x->rows && rc == FR_OK;) {
        size_t rows = FR_MIN((size_t)BLOCK, x->rows - from);
        rows = learns ? (size_t)FR_MIN(rows, h->window - h->seen) : rows;
        for (size_t f = 0; f < h->features; f++) {
            for (size_t i = 0; i < rows; i++) {
                block[i * h->features + f] = (float)x->column[f][from + i];
            }
        }
        memset(sum, 0, rows * sizeof *sum);
        walk_block(h, block, rows, learns, sum);
        for (size_t i = 0; i < rows && score != NULL; i++) {
            score[from + i] = 1 - sum[i] / most;
        }
        from += rows;
        h->seen += learns ? rows : 0;
        if (learns && h->seen == h->window) {
            turn_window(h);
        }
        rc = fr_cancelled() ? fr_cancel_code() : FR_OK;
    }
    fr_free(block);
    return rc;
}

static int half_space_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    const double *o = fit->option;
    size_t trees = (size_t)o[TREES], depth = (size_t)o[DEPTH], p = fit->x->count;
    size_t head = (HEAD + 2 * p) * 8, cuts = cuts_of(depth), nodes = nodes_of(depth);
    size_t size = head + 8 * trees * (cuts + nodes);
    int rc = fr_buf_reserve(payload, size, err);
    if (rc != FR_OK) {
        return rc;
    }
    memset(payload->data, 0, size);
    payload->size = size;
    const uint64_t words[HEAD] = {trees, depth, p, (uint64_t)o[WINDOW], 0};
    memcpy(payload->data, words, sizeof words);
    double *low = (double *)(void *)(payload->data + (size_t)HEAD * 8), *high = low + p;
    for (size_t f = 0; f < p; f++) {
        low[f] = INFINITY;
        high[f] = -INFINITY;
        for (size_t i = 0; i < fit->x->rows; i++) {
            low[f] = FR_MIN(low[f], fit->x->column[f][i]);
            high[f] = FR_MAX(high[f], fit->x->column[f][i]);
        }
    }
    double *range = fr_alloc(2 * p * sizeof *range);
    half_cut *cut = (half_cut *)(void *)(payload->data + head);
    for (size_t t = 0; t < trees; t++) {
        fr_draw d;
        fr_draw_init(&d, (uint64_t)o[SEED], t);
        draw_ranges(&d, low, high, p, range, range + p);
        draw_cuts(&d, 0, cuts, p, range, range + p, cut + t * cuts);
    }
    fr_free(range);
    half_space h;
    rc = lay_out(payload->data, size, p, &h)
             ? stream(&h, fit->x, true, NULL)
             : fr_fail(err, FR_ECORRUPT, "the parts of the trees do not fit");
    memcpy(payload->data + (HEAD - 1) * 8, &h.seen, sizeof h.seen);
    return rc;
}

// ---- using

static int half_space_open(const fr_model *m, void **state, fr_err *err)
{
    half_space *h = fr_zalloc(sizeof *h);
    if (!lay_out(m->payload, m->payload_size, m->features, h)) {
        fr_free(h);
        return fr_fail(err, FR_ECORRUPT, "the parts of the trees do not fit");
    }
    *state = h;
    return FR_OK;
}

static int half_space_predict(const fr_model *m, const fr_columns *x, double *out,
                              fr_err *err)
{
    half_space h = *(const half_space *)m->state;
    int rc = stream(&h, x, false, out);
    return rc == FR_OK ? rc : fr_fail(err, rc, "half-space trees: %s", fr_err_text(rc));
}

static int half_space_learn(const fr_model *m, const fr_columns *x, double *out,
                            fr_buf *payload, fr_err *err)
{
    int rc = fr_buf_reserve(payload, m->payload_size, err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_buf_put(payload, m->payload, m->payload_size);
    half_space h;
    rc = lay_out(payload->data, payload->size, m->features, &h)
             ? stream(&h, x, true, out)
             : fr_fail(err, FR_ECORRUPT, "the parts of the trees do not fit");
    memcpy(payload->data + (HEAD - 1) * 8, &h.seen, sizeof h.seen);
    return rc;
}

const fr_model_ops fr_half_space_ops = {
    .name = "half_space_trees",
    .title = "half-space trees",
    .version = 1,
    .alone = true,
    .options = OPTIONS,
    .option_count = FR_COUNT(OPTIONS),
    .fit = half_space_fit,
    .open = half_space_open,
    .close = fr_free,
    .predict = half_space_predict,
    .learn = half_space_learn,
};
