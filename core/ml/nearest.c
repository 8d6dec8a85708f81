// nearest -- predictions from the k rows that are most like a row: their classes' shares,
// or the mean of their numbers. Every fitted row is compared; of equally distant rows the
// first ones count.
//
// Payload: u64 rows; doubles target[rows] (codes of classes, or numbers),
// column[features][rows].

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/ml/model.h"

#include <math.h>
#include <string.h>

enum { NEIGHBOURS, WEIGHTS, METRIC };
enum { UNIFORM, DISTANCE };
enum { EUCLIDEAN, MANHATTAN };

enum { BLOCK = 512, ROWS = 64 }; // fitted rows compared at once; rows of a pool job

static const fr_model_option OPTIONS[] = {
    [NEIGHBOURS] = {"neighbours", "n_neighbors neighbors k", FR_MODEL_INT, 5, 1, 1e6, NULL,
                    "how many rows are asked"},
    [WEIGHTS] = {"weights", NULL, FR_MODEL_CHOICE, UNIFORM, 0, 1, "uniform distance",
                 "whether closer rows count more, by 1 / distance"},
    [METRIC] = {"metric", NULL, FR_MODEL_CHOICE, EUCLIDEAN, 0, 1, "euclidean manhattan",
                "how far apart two rows are"},
};

static int nearest_fit(const fr_fit *fit, fr_buf *payload, fr_err *err)
{
    size_t n = fit->x->rows;
    if (fit->option[NEIGHBOURS] > (double)n) {
        return fr_fail(err, FR_EINVAL, "nearest neighbours: %g of %zu rows",
                       fit->option[NEIGHBOURS], n);
    }
    fr_buf_put_u64(payload, n);
    for (size_t i = 0; i < n; i++) {
        double y = fit->y->classes > 0 ? (double)fit->y->code[i] : fit->y->number[i];
        fr_buf_put(payload, &y, sizeof y);
    }
    for (size_t j = 0; j < fit->x->count; j++) {
        fr_buf_put(payload, fit->x->column[j], n * sizeof(double));
    }
    return FR_OK;
}

typedef struct state {
    size_t rows;
    const double *target, *column;
} state;

static int nearest_open(const fr_model *m, void **out, fr_err *err)
{
    *out = NULL;
    fr_reader in = fr_reader_of(m->payload, m->payload_size);
    uint64_t n = fr_read_u64(&in);
    const double *word = (const double *)(const void *)m->payload;
    size_t words = m->payload_size / sizeof *word, classes = fr_model_classes(m);
    bool fits = !in.failed && m->payload_size % sizeof *word == 0 && n > 0 && n <= words &&
                words == 1 + (size_t)n * (1 + m->features) &&
                m->option[NEIGHBOURS] >= 1 && m->option[NEIGHBOURS] <= (double)n;
    for (size_t i = 1; fits && i < words; i++) {
        bool code = i <= n && classes > 0;
        fits = isfinite(word[i]) &&
               (!code || (word[i] >= 0 && word[i] < (double)classes &&
                          word[i] == floor(word[i])));
    }
    if (!fits) {
        return fr_fail(err, FR_ECORRUPT, "the rows do not fit the features");
    }
    state *s = fr_zalloc(sizeof *s);
    *s = (state){(size_t)n, word + 1, word + 1 + n};
    *out = s;
    return FR_OK;
}

typedef struct asked {
    const fr_model *m;
    const fr_columns *x;
    double *out;
} asked;

// The k closest so far, in the order of distance, then of rows.
typedef struct closest {
    size_t count, most;
    double *distance;
    size_t *row;
} closest;

static void consider(closest *c, double d, size_t row)
{
    if (c->count == c->most && d >= c->distance[c->most - 1]) {
        return;
    }
    size_t at = c->count < c->most ? c->count++ : c->most - 1;
    while (at > 0 && c->distance[at - 1] > d) {
        c->distance[at] = c->distance[at - 1];
        c->row[at] = c->row[at - 1];
        at--;
    }
    c->distance[at] = d;
    c->row[at] = row;
}

static void find(const asked *a, size_t row, closest *c)
{
    const state *s = a->m->state;
    bool manhattan = a->m->option[METRIC] == MANHATTAN;
    double d[BLOCK];
    c->count = 0;
    for (size_t from = 0; from < s->rows; from += BLOCK) {
        size_t rows = FR_MIN(s->rows - from, (size_t)BLOCK);
        memset(d, 0, rows * sizeof *d);
        for (size_t j = 0; j < a->m->features; j++) {
            const double *v = s->column + j * s->rows + from;
            double at = a->x->column[j][row];
            for (size_t i = 0; i < rows; i++) {
                double by = v[i] - at;
                d[i] += manhattan ? fabs(by) : by * by;
            }
        }
        for (size_t i = 0; i < rows; i++) {
            consider(c, d[i], from + i);
        }
    }
}

// What each neighbour counts: all 1, or 1 / distance; rows at distance 0 alone if any.
static void weigh(const asked *a, const closest *c, double *weight)
{
    bool by_distance = a->m->option[WEIGHTS] == DISTANCE;
    bool root = a->m->option[METRIC] == EUCLIDEAN, same = c->distance[0] == 0;
    for (size_t i = 0; i < c->count; i++) {
        double d = root ? sqrt(c->distance[i]) : c->distance[i];
        weight[i] = !by_distance ? 1 : same ? d == 0 : 1 / d;
    }
}

static int ask_rows(void *ctx, size_t block)
{
    const asked *a = ctx;
    const state *s = a->m->state;
    size_t classes = fr_model_classes(a->m), k = (size_t)a->m->option[NEIGHBOURS];
    size_t from = block * ROWS, to = FR_MIN(from + ROWS, a->x->rows);
    double *memory = fr_try_alloc((2 * k + 1) * sizeof *memory), *weight = memory + k;
    size_t *row = fr_try_alloc((k + 1) * sizeof *row);
    int rc = memory == NULL || row == NULL ? FR_ENOMEM : FR_OK;
    closest c = {0, k, memory, row};
    for (size_t i = from; i < to && rc == FR_OK; i++) {
        find(a, i, &c);
        weigh(a, &c, weight);
        double all = 0, sum = 0;
        for (size_t h = 0; h < c.count; h++) {
            all += weight[h];
        }
        for (size_t q = 0; q < classes; q++) {
            a->out[q * a->x->rows + i] = 0;
        }
        for (size_t h = 0; h < c.count; h++) {
            double y = s->target[c.row[h]];
            if (classes > 0) {
                a->out[(size_t)y * a->x->rows + i] += weight[h] / all;
            } else {
                sum += weight[h] * y;
            }
        }
        if (classes == 0) {
            a->out[i] = sum / all;
        }
        rc = fr_cancelled() ? fr_cancel_code() : FR_OK;
    }
    fr_free(memory);
    fr_free(row);
    return rc;
}

static int nearest_predict(const fr_model *m, const fr_columns *x, double *out, fr_err *err)
{
    int rc = fr_pool_try((x->rows + ROWS - 1) / ROWS, ask_rows, &(asked){m, x, out});
    return rc == FR_OK ? rc : fr_fail(err, rc, "nearest neighbours: %s", fr_err_text(rc));
}

const fr_model_ops fr_nearest_ops = {
    .name = "nearest",
    .title = "nearest neighbours",
    .version = 1,
    .classifies = true,
    .options = OPTIONS,
    .option_count = FR_COUNT(OPTIONS),
    .fit = nearest_fit,
    .open = nearest_open,
    .close = fr_free,
    .predict = nearest_predict,
};

const fr_model_ops fr_nearest_regressor_ops = {
    .name = "nearest_regressor",
    .title = "nearest neighbours of numbers",
    .version = 1,
    .options = OPTIONS,
    .option_count = FR_COUNT(OPTIONS),
    .fit = nearest_fit,
    .open = nearest_open,
    .close = fr_free,
    .predict = nearest_predict,
};
