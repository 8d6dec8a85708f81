#include "core/ml/monitor.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/ml/adwin.h"

#include <math.h>
#include <string.h>

enum { HEAD = 3, CANCEL_ROWS = 1 << 16, MOST_BYTES = 1 << 20 };

// ---- EWMA: exponentially weighted means (Roberts 1959)

enum { LAMBDA, LIMIT, ASYMPTOTIC };

static const fr_model_option EWMA_OPTIONS[] = {
    [LAMBDA] = {"lambda", "alpha", FR_MODEL_NUMBER, 0.2, 1e-9, 1, NULL,
                "weight of the latest number"},
    [LIMIT] = {"limit", "L width", FR_MODEL_NUMBER, 3, 1e-9, 1e9, NULL,
               "distance of the limits from the mean, in the chart's standard deviations"},
    [ASYMPTOTIC] = {"asymptotic", NULL, FR_MODEL_BOOL, 0, 0, 1, NULL,
                    "the limits are wide from the start, not only after some numbers"},
};

enum { EWMA_MEAN, EWMA_FADE, EWMA_SIZE };

static void ewma_start(const double *option, const fr_monitor_base *base, double *state)
{
    (void)option;
    state[EWMA_MEAN] = base->mean;
    state[EWMA_FADE] = 1; // (1 - lambda)^(2 t)
}

static void ewma_step(const double *option, const fr_monitor_base *base, double *state,
                      double x, double *out)
{
    double a = option[LAMBDA];
    state[EWMA_MEAN] += a * (x - state[EWMA_MEAN]);
    state[EWMA_FADE] *= (1 - a) * (1 - a);
    double share = option[ASYMPTOTIC] != 0 ? 1 : 1 - state[EWMA_FADE];
    double reach = option[LIMIT] * base->sd * sqrt(a / (2 - a) * share);
    out[0] = state[EWMA_MEAN];
    out[1] = base->mean - reach;
    out[2] = base->mean + reach;
    out[3] = out[0] < out[1] || out[0] > out[2];
}

// ---- CUSUM: sums of what lies beyond a slack on either side (Page 1954)

enum { SLACK, DECISION, RESET };

static const fr_model_option CUSUM_OPTIONS[] = {
    [SLACK] = {"k", "slack", FR_MODEL_NUMBER, 0.5, 0, 1e9, NULL,
               "what is taken off each deviation, in standard deviations: half the shift "
               "to be found"},
    [DECISION] = {"h", "threshold", FR_MODEL_NUMBER, 5, 1e-9, 1e12, NULL,
                  "sum that is an alarm, in standard deviations"},
    [RESET] = {"reset", NULL, FR_MODEL_BOOL, 0, 0, 1, NULL,
               "the sums start again after an alarm"},
};

enum { CUSUM_UP, CUSUM_DOWN, CUSUM_SIZE };

static void cusum_start(const double *option, const fr_monitor_base *base, double *state)
{
    (void)option;
    (void)base;
    state[CUSUM_UP] = 0;
    state[CUSUM_DOWN] = 0;
}

static void cusum_step(const double *option, const fr_monitor_base *base, double *state,
                       double x, double *out)
{
    double slack = option[SLACK] * base->sd, most = option[DECISION] * base->sd;
    double off = x - base->mean;
    out[0] = state[CUSUM_UP] = fmax(0, state[CUSUM_UP] + off - slack);
    out[1] = state[CUSUM_DOWN] = fmax(0, state[CUSUM_DOWN] - off - slack);
    bool alarm = out[0] > most || out[1] > most;
    out[2] = alarm;
    if (alarm && option[RESET] != 0) {
        cusum_start(option, base, state);
    }
}

// ---- Page-Hinkley: how far a sum of deviations from the running mean has come from its
// extreme (Page 1954, Hinkley 1971)

enum { TOLERANCE, THRESHOLD, FORGETTING, LEAST, SIDE };
enum { BOTH, UP, DOWN };

static const fr_model_option PAGE_OPTIONS[] = {
    [TOLERANCE] = {"delta", NULL, FR_MODEL_NUMBER, 0.005, 0, 1e300, NULL,
                   "change of the mean that does not matter, in the column's units"},
    [THRESHOLD] = {"threshold", "lambda", FR_MODEL_NUMBER, 50, 0, 1e300, NULL,
                   "sum above which the mean has drifted, in the column's units"},
    [FORGETTING] = {"alpha", "forgetting", FR_MODEL_NUMBER, 0.9999, 0, 1, NULL,
                    "what each number leaves of the sums before it"},
    [LEAST] = {"min_instances", "min_rows", FR_MODEL_INT, 30, 1, 1e9, NULL,
               "numbers before the first alarm, and after each"},
    [SIDE] = {"mode", "side", FR_MODEL_CHOICE, BOTH, 0, 2, "both up down",
              "which changes of the mean count"},
};

enum { PAGE_N, PAGE_MEAN, PAGE_UP, PAGE_LOW, PAGE_DOWN, PAGE_HIGH, PAGE_SIZE };

static void page_start(const double *option, const fr_monitor_base *base, double *state)
{
    (void)option;
    (void)base;
    memset(state, 0, PAGE_SIZE * sizeof *state);
}

static void page_step(const double *option, const fr_monitor_base *base, double *state,
                      double x, double *out)
{
    double n = state[PAGE_N] += 1, fade = option[FORGETTING], slack = option[TOLERANCE];
    state[PAGE_MEAN] += (x - state[PAGE_MEAN]) / n;
    double off = x - state[PAGE_MEAN];
    double up = state[PAGE_UP] = fade * state[PAGE_UP] + off - slack;
    double down = state[PAGE_DOWN] = fade * state[PAGE_DOWN] + off + slack;
    state[PAGE_LOW] = n > 1 ? fmin(state[PAGE_LOW], up) : up;
    state[PAGE_HIGH] = n > 1 ? fmax(state[PAGE_HIGH], down) : down;
    out[0] = state[PAGE_MEAN];
    out[1] = up - state[PAGE_LOW];
    out[2] = state[PAGE_HIGH] - down;
    int side = (int)option[SIDE];
    bool alarm = (side != DOWN && out[1] > option[THRESHOLD]) ||
                 (side != UP && out[2] > option[THRESHOLD]);
    out[3] = alarm && n >= option[LEAST];
    if (out[3] != 0) {
        page_start(option, base, state);
    }
}

// ---- the kinds

static bool sound_always(const double *state)
{
    (void)state;
    return true;
}

static const fr_monitor KINDS[] = {
    {&fr_ewma_ops, true, 4, {"ewma", "lower", "upper", "alarm"}, EWMA_SIZE, ewma_start,
     ewma_step, sound_always},
    {&fr_cusum_ops, true, 3, {"up", "down", "alarm"}, CUSUM_SIZE, cusum_start, cusum_step,
     sound_always},
    {&fr_page_hinkley_ops, false, 4, {"mean", "up", "down", "alarm"}, PAGE_SIZE,
     page_start, page_step, sound_always},
    {&fr_adwin_ops, false, 3, {"mean", "width", "alarm"}, FR_ADWIN_SIZE, fr_adwin_start,
     fr_adwin_step, fr_adwin_sound},
};

const fr_monitor *fr_monitor_of(const fr_model_ops *ops)
{
    for (size_t k = 0; k < FR_COUNT(KINDS); k++) {
        if (KINDS[k].model == ops) {
            return &KINDS[k];
        }
    }
    return NULL;
}

// ---- life

int fr_monitor_base_of(const double *x, size_t n, fr_monitor_base *out, fr_err *err)
{
    double count = 0, mean = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i])) {
            continue;
        }
        if (isinf(x[i])) {
            return fr_fail(err, FR_EINVAL, "number %zu is infinite", i + 1);
        }
        count++;
        double off = x[i] - mean;
        mean += off / count;
        squares += off * (x[i] - mean);
    }
    if (count < 2 || !(squares > 0)) {
        return fr_fail(err, FR_EINVAL,
                       "a chart needs two different numbers at least, in control, to take "
                       "its mean and standard deviation from; got %.0f%s",
                       count, count < 2 ? "" : ", all equal");
    }
    *out = (fr_monitor_base){mean, sqrt(squares / (count - 1))};
    return FR_OK;
}

static const char *const COLUMN[] = {"x"};

static int make(const fr_monitor *kind, const double *option, uint64_t seen,
                const fr_monitor_base *base, const double *state, fr_model **out,
                fr_err *err)
{
    fr_buf payload;
    fr_buf_init(&payload, MOST_BYTES);
    fr_buf_put(&payload, &seen, sizeof seen);
    fr_buf_put(&payload, base, sizeof *base);
    fr_buf_put(&payload, state, kind->size * sizeof *state);
    int rc = fr_model_make(kind->model, option, COLUMN, 1, (int64_t)seen, &payload, out,
                           err);
    fr_buf_fini(&payload);
    return rc;
}

int fr_monitor_new(const fr_monitor *kind, const double *option,
                   const fr_monitor_base *base, fr_model **out, fr_err *err)
{
    *out = NULL;
    fr_monitor_base none = {0, 1};
    if (kind->charts &&
        (base == NULL || !isfinite(base->mean) || !isfinite(base->sd) || !(base->sd > 0))) {
        return fr_fail(err, FR_EINVAL,
                       "ml.%s: the mean and a positive standard deviation in control are "
                       "needed: fit it on numbers in control, or on {mean =, sd =}",
                       kind->model->name);
    }
    double *state = fr_zalloc(kind->size * sizeof *state);
    base = kind->charts ? base : &none;
    kind->start(option, base, state);
    int rc = make(kind, option, 0, base, state, out, err);
    fr_free(state);
    return rc;
}

static int run(const fr_monitor *kind, const fr_model *m, const fr_monitor_base *base,
               double *state, uint64_t *seen, const double *x, size_t n, double *out,
               fr_err *err)
{
    double row[FR_MONITOR_OUTPUTS];
    for (size_t i = 0; i < n; i++) {
        if (i % CANCEL_ROWS == 0 && fr_cancelled()) {
            return fr_fail(err, fr_cancel_code(), "%s: %s", kind->model->title,
                           fr_err_text(fr_cancel_code()));
        }
        if (isinf(x[i])) {
            return fr_fail(err, FR_EINVAL,
                           "%s: number %zu is infinite; filter such values, or clip them",
                           kind->model->title, i + 1);
        }
        bool known = !isnan(x[i]);
        if (known) {
            kind->step(m->option, base, state, x[i], row);
            ++*seen;
        }
        for (size_t k = 0; k < kind->outputs; k++) {
            out[k * n + i] = known ? row[k] : (double)NAN;
        }
    }
    return FR_OK;
}

int fr_monitor_update(const fr_model *m, const double *x, size_t n, double *out,
                      fr_model **next, fr_err *err)
{
    *next = NULL;
    const fr_monitor *kind = fr_monitor_of(m->ops);
    FR_ASSERT(kind != NULL);
    uint64_t seen;
    fr_monitor_base base;
    double *state = fr_alloc(kind->size * sizeof *state);
    memcpy(&seen, m->payload, sizeof seen);
    memcpy(&base, m->payload + sizeof seen, sizeof base);
    memcpy(state, m->payload + HEAD * sizeof(double), kind->size * sizeof *state);
    int rc = run(kind, m, &base, state, &seen, x, n, out, err);
    rc = rc != FR_OK ? rc : make(kind, m->option, seen, &base, state, next, err);
    fr_free(state);
    return rc;
}

static int monitor_open(const fr_model *m, void **state, fr_err *err)
{
    const fr_monitor *kind = fr_monitor_of(m->ops);
    const double *word = (const double *)(const void *)m->payload;
    if (m->payload_size != (HEAD + kind->size) * sizeof *word || m->features != 1 ||
        !kind->sound(word + HEAD)) {
        return fr_fail(err, FR_ECORRUPT, "the sums of the %s do not fit", m->ops->title);
    }
    *state = NULL;
    return FR_OK;
}

#define MONITOR(NAME, TITLE, OPTIONS)                                                    \
    {                                                                                    \
        .name = (NAME), .title = (TITLE), .version = 1, .alone = true,                   \
        .options = (OPTIONS), .option_count = FR_COUNT(OPTIONS), .open = monitor_open,   \
        .close = fr_free                                                                 \
    }

const fr_model_ops fr_ewma_ops = MONITOR("ewma", "EWMA chart", EWMA_OPTIONS);
const fr_model_ops fr_cusum_ops = MONITOR("cusum", "CUSUM chart", CUSUM_OPTIONS);
const fr_model_ops fr_page_hinkley_ops =
    MONITOR("page_hinkley", "Page-Hinkley detector", PAGE_OPTIONS);
const fr_model_ops fr_adwin_ops = {
    .name = "adwin",
    .title = "ADWIN detector",
    .version = 1,
    .alone = true,
    .options = fr_adwin_options,
    .option_count = FR_ADWIN_OPTIONS,
    .open = monitor_open,
    .close = fr_free,
};
