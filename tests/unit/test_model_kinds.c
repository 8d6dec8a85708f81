// Every kind of model: the same bytes at any thread count on data of several segments, and
// hostile files that never harm. A kind that cannot be made here fails both.

#include "check.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/base/rand.h"
#include "core/ml/imported.h"
#include "core/ml/monitor.h"
#include "core/ml/pipeline.h"
#include "core/ml/preprocess.h"
#include "core/ml/responses.h"
#include "core/ml/shape.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MANY = 34000, FEW = 60, FEW_TO_PREDICT = 200, MANY_FOR_TREES = 3000, COLUMNS = 3 };

static const char *const NAMES[] = {"a", "b", "c"};

static fr_array *column_of(size_t n, uint64_t stream, int classes)
{
    fr_rand r;
    fr_rand_init(&r, 5, stream);
    fr_builder *b = fr_builder_new(fr_type_of(classes > 0 ? FR_INT64 : FR_FLOAT64),
                                   (int64_t)n);
    int rc = FR_OK;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        double u = fr_rand_unit(&r);
        rc = classes > 0 ? fr_builder_int(b, (int64_t)(u * classes), NULL)
                         : fr_builder_float(b, 10 * u + (double)stream, NULL);
    }
    CHECK_INT(rc, FR_OK);
    fr_array *a = NULL;
    CHECK_INT(fr_builder_finish(b, &a, NULL), FR_OK);
    fr_builder_free(b);
    return a;
}

static fr_frame *features(size_t n)
{
    fr_array *cols[COLUMNS];
    for (size_t j = 0; j < COLUMNS; j++) {
        cols[j] = column_of(n, j, 0);
    }
    fr_frame *f = NULL;
    CHECK_INT(fr_frame_new(COLUMNS, NAMES, cols, &f, NULL), FR_OK);
    for (size_t j = 0; j < COLUMNS; j++) {
        fr_array_unref(cols[j]);
    }
    return f;
}

static void set(const fr_model_ops *ops, double *option, const char *name, double value)
{
    int row = fr_model_option_find(ops, name);
    if (row >= 0) {
        option[row] = value;
    }
}

// A model of the kind on n rows; targets have three classes (also as numbers).
static fr_model *fit(const fr_model_ops *ops, size_t n, double threads)
{
    fr_frame *x = features(n);
    fr_array *y = column_of(n, 9, ops->most_classes == 2 ? 2 : 3);
    double option[FR_MODEL_OPTIONS];
    fr_model_presets(ops, option);
    int row = fr_model_option_find(ops, "threads");
    if (row >= 0) {
        option[row] = threads;
    }
    set(ops, option, "trees", 3);
    set(ops, option, "rounds", 4);
    set(ops, option, "l2", ops == &fr_logistic_ops ? 3000 : 0); // few steps
    row = fr_model_option_find(ops, "alpha");
    if (row >= 0 && ops != &fr_poisson_ops) {
        option[row] = 0.001;
    }
    fr_model *m = NULL;
    fr_err err = FR_ERR_INIT;
    int rc;
    if (ops == &fr_responses_ops) {
        fr_frame *targets = features(n);
        rc = fr_responses_fit(option, x, targets, false, &m, &err);
        fr_frame_unref(targets);
    } else {
        fr_model_rows rows = {.x = x, .target = ops->alone ? "" : "y",
                              .y = ops->alone ? NULL : y};
        rc = fr_model_fit_rows(ops, option, &rows, &m, &err);
    }
    CHECK_INT(rc, FR_OK);
    CHECK_STR(err.text, "");
    fr_array_unref(y);
    fr_frame_unref(x);
    return m;
}

static fr_hash hash_of(const fr_model *m) { return m->object.ops->hash(&m->object); }

static fr_model *monitor(const fr_monitor *kind, size_t n)
{
    double option[FR_MODEL_OPTIONS];
    fr_model_presets(kind->model, option);
    fr_array *x = column_of(n, 1, 0);
    double *out = fr_alloc((n + 1) * kind->outputs * sizeof *out);
    fr_monitor_base base;
    fr_model *m = NULL, *next = NULL;
    CHECK_INT(fr_monitor_base_of(fr_array_f64(x), n, &base, NULL), FR_OK);
    CHECK_INT(fr_monitor_new(kind, option, &base, &m, NULL), FR_OK);
    CHECK_INT(fr_monitor_update(m, fr_array_f64(x), n, out, &next, NULL), FR_OK);
    fr_model_unref(m);
    fr_free(out);
    fr_array_unref(x);
    return next;
}

// Transformers; minmax, robust and imputer are given their numbers.
static fr_model *columns_only(const fr_model_ops *ops, size_t n)
{
    fr_frame *x = features(n);
    fr_array *names = column_of(n, 2, 40);
    double option[FR_MODEL_OPTIONS];
    const double number[2 * COLUMNS] = {1, 2, 3, 4, 5, 6};
    fr_model_presets(ops, option);
    fr_model *m = NULL;
    int rc;
    if (ops == &fr_scaler_ops) {
        rc = fr_scaler_fit(option, x, &m, NULL);
    } else if (ops == &fr_ordinal_ops || ops == &fr_one_hot_ops) {
        const fr_array *category[] = {NULL};
        fr_frame *one = NULL;
        CHECK_INT(fr_frame_new(1, NAMES, &names, &one, NULL), FR_OK);
        rc = fr_coder_new(ops, option, one, NAMES, category, 1, &m, NULL);
        fr_frame_unref(one);
    } else {
        size_t each = ops == &fr_imputer_ops ? 1 : 2;
        rc = fr_numbers_new(ops, NAMES, COLUMNS, number, each * COLUMNS, (int64_t)n, &m,
                            NULL);
    }
    CHECK_INT(rc, FR_OK);
    fr_array_unref(names);
    fr_frame_unref(x);
    return m;
}

// A cut, and a set of numbers, each with two leaves.
static fr_model *imported(const fr_model_ops *ops)
{
    const fr_imported_node node[] = {
        {5, 0, 1, 2, FR_IMPORTED_LEFT | FR_IMPORTED_NAN, 0, 0}, {1.5, -1, 0, 0, 0, 0, 0},
        {-2, -1, 0, 0, 0, 0, 0},  {0, 1, 1, 2, FR_IMPORTED_SET, 0, 1},
        {0.5, -1, 0, 0, 0, 0, 0}, {3, -1, 0, 0, 0, 0, 0},
    };
    const uint32_t root[] = {0, 3}, output[] = {0, 0}, set[] = {5};
    const double base = 0.25;
    fr_imported parts = {2, 6, 1, 1, FR_LINK_LOGISTIC, 0.5, &base, root, output, node, set};
    fr_model *m = NULL;
    size_t classes = ops == &fr_imported_ops ? 2 : 0;
    CHECK_INT(fr_imported_new(&parts, classes, NAMES, COLUMNS, &m, NULL), FR_OK);
    return m;
}

static fr_model *make_pipeline(size_t n);

// Any kind; one that cannot be made here fails the test.
static fr_model *make(const fr_model_ops *ops, size_t n, double threads)
{
    const fr_monitor *watch = fr_monitor_of(ops);
    if (watch != NULL) {
        return monitor(watch, n);
    }
    if (ops == &fr_imported_ops || ops == &fr_imported_regressor_ops) {
        return imported(ops);
    }
    if (ops == &fr_pipeline_ops) {
        return make_pipeline(n);
    }
    if (ops->fit != NULL || ops == &fr_responses_ops) {
        return fit(ops, n, threads);
    }
    if (ops == &fr_scaler_ops || ops == &fr_ordinal_ops || ops == &fr_one_hot_ops ||
        ops == &fr_minmax_ops || ops == &fr_robust_ops || ops == &fr_imputer_ops) {
        return columns_only(ops, n);
    }
    (void)fprintf(stderr, "say here how a %s is made\n", ops->name);
    CHECK(ops->fit != NULL);
    return NULL;
}

static void predictions_are_equal(const fr_model *m, const fr_model *one,
                                  const fr_frame *x)
{
    size_t n = (fr_model_classes(m) + 1) * (size_t)x->rows;
    if (m->ops->predict == NULL) {
        return;
    }
    double *a = fr_zalloc(n * sizeof *a), *b = fr_zalloc(n * sizeof *b);
    CHECK_INT(fr_model_predict(m, x, a, NULL), FR_OK);
    unsigned before = fr_pool_limit(1);
    CHECK_INT(fr_model_predict(one, x, b, NULL), FR_OK);
    (void)fr_pool_limit(before);
    CHECK(memcmp(a, b, n * sizeof *a) == 0);
    fr_free(a);
    fr_free(b);
}

// Every kind there is: models and predictions, at 1, 2, 3 and 8 threads.
static void bytes_do_not_depend_on_threads(void)
{
    fr_pool_setup(8);
    fr_frame *x = features(FEW_TO_PREDICT);
    for (size_t k = 0; fr_model_kinds[k] != NULL; k++) {
        const fr_model_ops *ops = fr_model_kinds[k];
        bool trees = fr_model_option_find(ops, "trees") >= 0 ||
                     fr_model_option_find(ops, "rounds") >= 0 ||
                     fr_model_option_find(ops, "max_depth") >= 0;
        size_t n = trees ? MANY_FOR_TREES : MANY;
        unsigned before = fr_pool_limit(1);
        fr_model *one = make(ops, n, 1);
        CHECK(one != NULL);
        const double threads[] = {2, 3, 8};
        for (size_t i = 0; i < FR_COUNT(threads) && one != NULL; i++) {
            (void)fr_pool_limit((unsigned)threads[i]);
            fr_model *m = make(ops, n, threads[i]);
            bool same = m != NULL && fr_hash_eq(hash_of(m), hash_of(one));
            if (!same) {
                (void)fprintf(stderr, "%s differs at %g threads\n", ops->name, threads[i]);
            }
            CHECK(same);
            predictions_are_equal(m, one, x);
            fr_model_unref(m);
        }
        (void)fr_pool_limit(before);
        fr_model_unref(one);
    }
    fr_frame_unref(x);
}

static fr_model *make_pipeline(size_t n)
{
    fr_frame *x = features(n);
    double option[FR_MODEL_OPTIONS];
    fr_model_presets(&fr_scaler_ops, option);
    fr_model *scaler = NULL, *m = NULL, *last = fit(&fr_logistic_ops, n, 1);
    CHECK_INT(fr_scaler_fit(option, x, &scaler, NULL), FR_OK);
    const fr_model *const steps[] = {scaler, last};
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_pipeline_new(steps, 2, NAMES, COLUMNS, &m, &err), FR_OK);
    fr_model *nested = NULL;
    const fr_model *const inner[] = {m};
    CHECK_INT(fr_pipeline_new(inner, 1, NAMES, COLUMNS, &nested, &err), FR_EUNSUPPORTED);
    const fr_model *const turned[] = {last, scaler};
    CHECK_INT(fr_pipeline_new(turned, 2, NAMES, COLUMNS, &nested, &err), FR_EINVAL);
    CHECK(strstr(err.text, "step 1") != NULL);
    fr_model_unref(scaler);
    fr_model_unref(last);
    fr_frame_unref(x);
    return m;
}

static void use(const fr_model *m, const fr_frame *x)
{
    int rc = FR_OK;
    const fr_responses *r = fr_responses_of(m);
    if (r != NULL) {
        fr_array **out = fr_zalloc(r->targets * sizeof(fr_array *));
        rc = fr_responses_predict(m, x, out, NULL);
        for (size_t t = 0; t < r->targets; t++) {
            fr_array_unref(out[t]);
        }
        fr_free(out);
    } else if (m->ops->transform != NULL) {
        fr_frame *out;
        rc = fr_model_transform(m, x, &out, NULL);
        if (rc == FR_OK) {
            fr_frame_unref(out);
        }
    } else if (m->ops->predict != NULL) {
        double *p = fr_alloc((fr_model_classes(m) + 1) * (size_t)x->rows * sizeof *p);
        rc = fr_model_predict(m, x, p, NULL);
        fr_free(p);
    }
    CHECK(rc == FR_OK || rc == FR_ENOTFOUND || rc == FR_EINVAL);
}

// Opens the bytes with a right checksum; what opens must be safe to use.
static bool opens(const uint8_t *bytes, size_t n, const fr_frame *x)
{
    fr_block *b;
    CHECK_INT(fr_block_new(n, &b, NULL), FR_OK);
    memcpy(b->data, bytes, n);
    fr_hash_store(fr_hash_bytes(b->data + 32, n - 32), b->data + 16);
    fr_model *m;
    if (fr_model_open(b, "x.flm", &m, NULL) != FR_OK) {
        return false;
    }
    use(m, x);
    fr_model_unref(m);
    return true;
}

static void hostile_files_never_harm(void)
{
    fr_frame *x = features(FEW);
    fr_rand r;
    fr_rand_init(&r, 17, 0);
    for (size_t k = 0; fr_model_kinds[k] != NULL; k++) {
        fr_model *m = make(fr_model_kinds[k], FEW, 1);
        size_t n = m->image->size, refused = 0, payload = n - m->payload_size;
        uint8_t *p = fr_alloc(n);
        CHECK(opens(m->image->data, n, x));
        for (int round = 0; round < 150; round++) {
            memcpy(p, m->image->data, n);
            bool head = round % 2 == 0; // of the payload, where its counts are
            size_t from = head ? payload : 48, range = head ? FR_MIN(32, n - payload) : n - 48;
            size_t at = from + (size_t)fr_rand_below(&r, range);
            p[at] = (uint8_t)(round % 3 == 0 ? 0xFF : fr_rand_u32(&r));
            refused += !opens(p, n, x);
        }
        // Any numbers are sums or coefficients; elsewhere most damage shows.
        CHECK(refused > (fr_model_kinds[k]->fit == NULL || m->payload_size < 200 ? 0 : 10));
        fr_free(p);
        fr_model_unref(m);
    }
    fr_frame_unref(x);
}

int main(void)
{
    CASE(bytes_do_not_depend_on_threads);
    CASE(hostile_files_never_harm);
    fr_pool_shutdown();
    return check_end();
}
