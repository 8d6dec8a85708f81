// labels: threads
#include "check.h"
#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/base/rand.h"
#include "core/ml/metric.h"
#include "core/ml/model.h"
#include "core/ml/target.h"
#include "tests/fixtures/tree.h"

#include <stdlib.h>
#include <unistd.h>

static fr_array *doubles(const double *x, int64_t n)
{
    fr_builder *b = fr_builder_new(fr_type_of(FR_FLOAT64), n);
    int rc = FR_OK;
    for (int64_t i = 0; i < n && rc == FR_OK; i++) {
        rc = isnan(x[i]) ? fr_builder_null(b, NULL) : fr_builder_float(b, x[i], NULL);
    }
    fr_array *a = NULL;
    CHECK_INT(rc, FR_OK);
    CHECK_INT(fr_builder_finish(b, &a, NULL), FR_OK);
    fr_builder_free(b);
    return a;
}

static fr_array *integers(fr_kind kind, const int32_t *x, int64_t n)
{
    fr_builder *b = fr_builder_new(fr_type_of(kind), n);
    int rc = FR_OK;
    for (int64_t i = 0; i < n && rc == FR_OK; i++) {
        rc = kind == FR_BOOL ? fr_builder_bool(b, x[i] != 0, NULL)
                             : fr_builder_int(b, x[i], NULL);
    }
    fr_array *a = NULL;
    CHECK_INT(rc, FR_OK);
    CHECK_INT(fr_builder_finish(b, &a, NULL), FR_OK);
    fr_builder_free(b);
    return a;
}

static fr_array *texts(fr_kind kind, const char *const *x, int64_t n)
{
    fr_builder *b = fr_builder_new(fr_type_of(kind), n);
    int rc = FR_OK;
    for (int64_t i = 0; i < n && rc == FR_OK; i++) {
        rc = x[i] == NULL ? fr_builder_null(b, NULL)
                          : fr_builder_text(b, x[i], strlen(x[i]), NULL);
    }
    fr_array *a = NULL;
    CHECK_INT(rc, FR_OK);
    CHECK_INT(fr_builder_finish(b, &a, NULL), FR_OK);
    fr_builder_free(b);
    return a;
}

static fr_frame *frame_of(const char *const *names, fr_array *const *cols, size_t n)
{
    fr_frame *f = NULL;
    CHECK_INT(fr_frame_new(n, names, cols, &f, NULL), FR_OK);
    for (size_t i = 0; i < n; i++) {
        fr_array_unref(cols[i]);
    }
    return f;
}

static fr_frame *transformers(void)
{
    fr_array *const cols[] = {doubles(TREE_X0, TREE_ROWS), doubles(TREE_X1, TREE_ROWS),
                              doubles(TREE_X2, TREE_ROWS), doubles(TREE_X3, TREE_ROWS)};
    return frame_of((const char *const[]){"temp", "age", "oil", "load"}, cols, 4);
}

static fr_model *fit(const fr_frame *x, const fr_array *y, double trees, double seed,
                     double threads)
{
    double option[FR_MODEL_OPTIONS];
    fr_model_presets(&fr_forest_ops, option);
    option[fr_model_option_find(&fr_forest_ops, "n_estimators")] = trees;
    option[fr_model_option_find(&fr_forest_ops, "random_state")] = seed;
    option[fr_model_option_find(&fr_forest_ops, "n_jobs")] = threads;
    fr_model *m = NULL;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_model_fit(&fr_forest_ops, option, x, "failure", y, &m, &err), FR_OK);
    CHECK_STR(err.text, "");
    return m;
}

static fr_hash hash_of(const fr_model *m) { return m->object.ops->hash(&m->object); }

static void equal_calls_give_equal_models_at_any_thread_count(void)
{
    fr_pool_setup(8);
    fr_frame *x = transformers();
    const int32_t *targets[] = {TREE_Y, TREE_Y3};
    for (int k = 0; k < 2; k++) {
        fr_array *y = integers(FR_INT64, targets[k], TREE_ROWS);
        fr_model *first = fit(x, y, 20, 7, 1);
        const double threads[] = {1, 2, 3, 8, 0};
        for (size_t i = 0; i < FR_COUNT(threads); i++) {
            fr_model *m = fit(x, y, 20, 7, threads[i]);
            CHECK(fr_hash_eq(hash_of(m), hash_of(first)));
            fr_model_unref(m);
        }
        fr_model *other = fit(x, y, 20, 8, 0);
        CHECK(!fr_hash_eq(hash_of(other), hash_of(first)));
        fr_model_unref(other);
        fr_model_unref(first);
        fr_array_unref(y);
    }
    fr_frame_unref(x);
}

static void probabilities_sum_to_one_and_fit_the_data(void)
{
    fr_frame *x = transformers();
    const int32_t *targets[] = {TREE_Y, TREE_Y3};
    for (size_t k = 0; k < 2; k++) {
        fr_array *y = integers(FR_INT64, targets[k], TREE_ROWS);
        fr_model *m = fit(x, y, 50, 1, 0);
        size_t classes = fr_model_classes(m);
        CHECK_INT(classes, k + 2);
        double *p = fr_alloc(classes * TREE_ROWS * sizeof *p);
        CHECK_INT(fr_model_predict(m, x, p, NULL), FR_OK);
        int32_t code[TREE_ROWS];
        fr_model_choose(p, TREE_ROWS, classes, code);
        int right = 0;
        for (size_t i = 0; i < TREE_ROWS; i++) {
            double sum = 0;
            for (size_t c = 0; c < classes; c++) {
                sum += p[c * TREE_ROWS + i];
            }
            CHECK_NEAR(sum, 1, 1e-6);
            right += code[i] == targets[k][i];
        }
        CHECK(right > TREE_ROWS * 0.98); // unlimited trees know their own rows
        double importance[4], all = 0;
        m->ops->importances(m, importance);
        for (int f = 0; f < 4; f++) {
            CHECK(importance[f] > 0);
            all += importance[f];
        }
        CHECK_NEAR(all, 1, 1e-12);
        fr_free(p);
        fr_model_unref(m);
        fr_array_unref(y);
    }
    fr_frame_unref(x);
}

static void columns_are_matched_by_name(void)
{
    fr_frame *x = transformers();
    fr_array *y = integers(FR_INT64, TREE_Y, TREE_ROWS);
    fr_model *m = fit(x, y, 10, 1, 0);
    fr_array *const cols[] = {fr_array_ref(x->cols[3]), fr_array_ref(x->cols[0]),
                              fr_array_ref(x->cols[2]), fr_array_ref(x->cols[2]),
                              fr_array_ref(x->cols[1])};
    fr_frame *turned =
        frame_of((const char *const[]){"load", "temp", "other", "oil", "age"}, cols, 5);
    double a[2 * TREE_ROWS], b[2 * TREE_ROWS];
    CHECK_INT(fr_model_predict(m, x, a, NULL), FR_OK);
    CHECK_INT(fr_model_predict(m, turned, b, NULL), FR_OK);
    CHECK(memcmp(a, b, sizeof a) == 0);
    fr_frame *part;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_frame_new(3, (const char *const[]){"load", "tmp", "oil"}, x->cols, &part,
                           NULL),
              FR_OK);
    CHECK_INT(fr_model_predict(m, part, a, &err), FR_ENOTFOUND);
    CHECK_STR(err.text,
              "the random forest needs column `temp`, which the frame lacks: did you "
              "mean `tmp`?");
    fr_frame_unref(part);
    fr_frame_unref(turned);
    fr_frame_unref(x);
    fr_array_unref(y);
    fr_model_unref(m);
}

// Rows of a prediction do not depend on which other rows are asked for with them.
static void predictions_of_subsets_are_the_same(void)
{
    fr_frame *x = transformers(), *part;
    fr_array *y = integers(FR_INT64, TREE_Y3, TREE_ROWS);
    fr_model *m = fit(x, y, 10, 1, 0);
    double all[3 * TREE_ROWS], few[3 * 37];
    CHECK_INT(fr_model_predict(m, x, all, NULL), FR_OK);
    CHECK_INT(fr_frame_slice(x, 101, 37, &part, NULL), FR_OK);
    CHECK_INT(fr_model_predict(m, part, few, NULL), FR_OK);
    for (int c = 0; c < 3; c++) {
        CHECK(memcmp(all + c * TREE_ROWS + 101, few + c * 37, 37 * sizeof *few) == 0);
    }
    fr_frame_unref(part);
    fr_frame_unref(x);
    fr_array_unref(y);
    fr_model_unref(m);
}

static void labels_keep_their_type(void)
{
    fr_frame *x = transformers();
    const char *word[TREE_ROWS];
    for (int i = 0; i < TREE_ROWS; i++) {
        word[i] = TREE_Y[i] == 1 ? "bad" : "ok";
    }
    fr_array *const ys[] = {
        integers(FR_INT64, TREE_Y, TREE_ROWS), integers(FR_BOOL, TREE_Y, TREE_ROWS),
        integers(FR_UINT8, TREE_Y, TREE_ROWS), texts(FR_UTF8, word, TREE_ROWS),
        texts(FR_CATEGORY, word, TREE_ROWS)};
    const char *const positive[] = {"1", "True", "1", "ok", "ok"};
    for (size_t k = 0; k < FR_COUNT(ys); k++) {
        fr_model *m = fit(x, ys[k], 5, 1, 0);
        CHECK(m->labels->type.kind == ys[k]->type.kind);
        fr_buf text;
        fr_buf_init(&text, 100);
        fr_target_print(m->labels, 1, &text);
        CHECK_STR(fr_buf_text(&text), positive[k]);
        fr_buf_fini(&text);
        int32_t code[2] = {1, 0};
        fr_array *back;
        CHECK_INT(fr_target_decode(m->labels, code, 2, &back, NULL), FR_OK);
        CHECK(fr_type_eq(&back->type, &ys[k]->type));
        fr_array_unref(back);
        fr_model_unref(m);
        fr_array_unref(ys[k]);
    }
    fr_frame_unref(x);
}

// ---- files

static char *temporary(char *path)
{
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    (void)close(fd);
    return path;
}

static void saved_models_come_back(void)
{
    fr_frame *x = transformers();
    const int32_t *targets[] = {TREE_Y, TREE_Y3};
    for (size_t k = 0; k < 2; k++) {
        fr_array *y = integers(FR_INT64, targets[k], TREE_ROWS);
        fr_model *m = fit(x, y, 10, 1, 0), *again;
        char path[] = "/tmp/flowrun_model_XXXXXX";
        CHECK_INT(fr_model_save(m, temporary(path), NULL), FR_OK);
        CHECK_INT(fr_model_load(path, &again, NULL), FR_OK);
        CHECK(fr_hash_eq(hash_of(m), hash_of(again)));
        CHECK(fr_hash_eq(m->training, again->training));
        CHECK_STR(again->target, "failure");
        CHECK_STR(again->feature[2], "oil");
        CHECK_STR(again->version, FLOWRUN_VERSION);
        CHECK_INT(again->rows, TREE_ROWS);
        CHECK_NEAR(again->option[0], 10, 0);
        double a[3 * TREE_ROWS], b[3 * TREE_ROWS];
        CHECK_INT(fr_model_predict(m, x, a, NULL), FR_OK);
        CHECK_INT(fr_model_predict(again, x, b, NULL), FR_OK);
        CHECK(memcmp(a, b, (k + 2) * TREE_ROWS * sizeof *a) == 0);
        fr_object *o;
        CHECK_INT(fr_model_object_ops.save(&m->object, path, NULL), FR_OK);
        CHECK_INT(fr_model_object_ops.load(path, &o, NULL), FR_OK);
        CHECK(fr_hash_eq(o->ops->hash(o), hash_of(m)));
        fr_object_unref(o);
        (void)unlink(path);
        fr_model_unref(again);
        fr_model_unref(m);
        fr_array_unref(y);
    }
    fr_frame_unref(x);
}

static int open_bytes(const uint8_t *bytes, size_t n, bool mend, fr_err *err)
{
    fr_block *b;
    CHECK_INT(fr_block_new(n, &b, NULL), FR_OK);
    memcpy(b->data, bytes, n);
    if (mend && n > 48) { // a wrong file with a right checksum
        fr_hash_store(fr_hash_bytes(b->data + 32, n - 32), b->data + 16);
    }
    fr_model *m;
    int rc = fr_model_open(b, "x.flm", &m, err);
    if (rc == FR_OK) { // whatever it opened must be safe to use
        fr_frame *x = transformers();
        double *p = fr_alloc((fr_model_classes(m) + 1) * TREE_ROWS * sizeof *p);
        int used = fr_model_predict(m, x, p, NULL);
        CHECK(used == FR_OK || used == FR_ENOTFOUND);
        fr_free(p);
        fr_frame_unref(x);
        fr_model_unref(m);
    }
    return rc;
}

static void damaged_and_newer_files_are_refused(void)
{
    fr_frame *x = transformers();
    fr_array *y = integers(FR_INT64, TREE_Y3, TREE_ROWS);
    fr_model *m = fit(x, y, 3, 1, 0);
    size_t n = m->image->size;
    uint8_t *p = fr_alloc(n);
    fr_err err = FR_ERR_INIT;
    memcpy(p, m->image->data, n);
    CHECK_INT(open_bytes(p, n, false, &err), FR_OK);
    p[n / 2] ^= 1;
    CHECK_INT(open_bytes(p, n, false, &err), FR_ECORRUPT);
    CHECK_STR(err.text, "x.flm is damaged: its checksum is wrong");
    p[n / 2] ^= 1;
    CHECK_INT(open_bytes(p, n - 1, false, &err), FR_ECORRUPT);
    CHECK(strstr(err.text, "bytes of") != NULL);
    CHECK_INT(open_bytes(p, 20, false, &err), FR_EPARSE);
    CHECK_STR(err.text, "x.flm is not a model file");
    p[8] = 2;
    CHECK_INT(open_bytes(p, n, true, &err), FR_EVERSION);
    CHECK_STR(err.text,
              "x.flm has model format 2, this program reads up to 1: use a newer one");
    p[8] = 1;
    p[12] = 9;
    CHECK_INT(open_bytes(p, n, true, &err), FR_EVERSION);
    CHECK(strstr(err.text, "random_forest 9, this program reads up to 2") != NULL);
    fr_free(p);
    fr_model_unref(m);
    fr_array_unref(y);
    fr_frame_unref(x);
}

static void hostile_files_never_harm(void)
{
    fr_frame *x = transformers();
    fr_array *y = integers(FR_INT64, TREE_Y3, TREE_ROWS);
    fr_model *m = fit(x, y, 2, 1, 0);
    size_t n = m->image->size, refused = 0;
    uint8_t *p = fr_alloc(n);
    fr_rand r;
    fr_rand_init(&r, 99, 0);
    for (int round = 0; round < 3000; round++) {
        memcpy(p, m->image->data, n);
        size_t head = round % 3 == 0 ? n : 400;
        for (uint64_t k = 1 + fr_rand_below(&r, 3); k > 0; k--) {
            size_t at = 40 + (size_t)fr_rand_below(&r, head - 40);
            p[at] = (uint8_t)(round % 2 == 0 ? fr_rand_u32(&r) : p[at] ^ 1U << (at & 7));
        }
        refused += open_bytes(p, n, true, NULL) != FR_OK;
    }
    CHECK(refused > 500);
    fr_free(p);
    fr_model_unref(m);
    fr_array_unref(y);
    fr_frame_unref(x);
}

// ---- what cannot be fitted

static int try_fit(fr_array *x, fr_array *y, fr_err *err)
{
    double option[FR_MODEL_OPTIONS];
    fr_model_presets(&fr_forest_ops, option);
    fr_frame *f = frame_of((const char *const[]){"Type"}, (fr_array *const[]){x}, 1);
    fr_model *m;
    int rc = fr_model_fit(&fr_forest_ops, option, f, "failure", y, &m, err);
    CHECK((m == NULL) == (rc != FR_OK));
    fr_model_unref(m);
    fr_frame_unref(f);
    fr_array_unref(y);
    return rc;
}

static void what_cannot_be_fitted_is_explained(void)
{
    const double v[] = {1, 2, 3, 4}, gap[] = {1, nan(""), 3, 4}, half[] = {0, 0.5, 1, 0};
    const int32_t y[] = {0, 1, 0, 1}, same[] = {3, 3, 3, 3};
    const char *const word[] = {"L", "M", "H", "L"}, *const gone[] = {"a", "b", NULL,
                                                                      "a"};
    fr_err err = FR_ERR_INIT;
    CHECK_INT(try_fit(doubles(v, 4), integers(FR_INT64, y, 4), &err), FR_OK);
    CHECK_INT(try_fit(doubles(v, 2), integers(FR_INT64, y, 2), &err), FR_OK);
    CHECK_INT(try_fit(texts(FR_UTF8, word, 4), integers(FR_INT64, y, 4), &err), FR_ETYPE);
    CHECK_STR(err.text,
              "column `Type` is utf8, and a feature must be a number: code it with "
              "ml.ordinal{…} or ml.one_hot{…}, or leave it out with features = {…}");
    CHECK_INT(try_fit(integers(FR_DATE, y, 4), integers(FR_INT64, y, 4), &err), FR_ETYPE);
    CHECK(strstr(err.text, "column `Type` is date") != NULL);
    CHECK_INT(try_fit(doubles(gap, 4), integers(FR_INT64, y, 4), &err), FR_OK);
    CHECK_INT(try_fit(doubles(v, 4), integers(FR_INT64, same, 4), &err), FR_EINVAL);
    CHECK_STR(err.text, "random forest needs two classes or more, `failure` has only 3");
    CHECK_INT(try_fit(doubles(v, 4), texts(FR_UTF8, gone, 4), &err), FR_EINVAL);
    CHECK_STR(err.text, "`failure` is null in row 3: drop such rows first, as "
                        "df:dropna{\"failure\"} does");
    CHECK_INT(try_fit(doubles(v, 4), doubles(half, 4), &err), FR_EINVAL);
    CHECK(strstr(err.text, "`failure` has the number 0.5 in row 2") != NULL);
    CHECK_INT(try_fit(doubles(v, 4), integers(FR_DATE, y, 4), &err), FR_ETYPE);
    CHECK_INT(try_fit(doubles(v, 4), integers(FR_INT64, y, 3), &err), FR_EINVAL);
    CHECK_STR(err.text, "the features have 4 rows, the target 3");
    CHECK_INT(try_fit(doubles(v, 0), integers(FR_INT64, y, 0), &err), FR_EINVAL);
    CHECK_STR(err.text, "random forest cannot be fitted on no rows");
}

static void options_are_checked_by_their_rows(void)
{
    fr_err err = FR_ERR_INIT;
    int trees = fr_model_option_find(&fr_forest_ops, "trees");
    CHECK(trees >= 0 && trees == fr_model_option_find(&fr_forest_ops, "n_estimators"));
    CHECK_INT(fr_model_option_find(&fr_forest_ops, "tree"), -1);
    CHECK_INT(fr_model_option_check(&fr_forest_ops, trees, 0, &err), FR_EINVAL);
    CHECK_STR(err.text,
              "ml.random_forest: trees must be a whole number from 1 to 1000000, got 0");
    CHECK_INT(fr_model_option_check(&fr_forest_ops, trees, 2.5, &err), FR_EINVAL);
    CHECK_INT(fr_model_option_check(&fr_forest_ops, trees, 2, &err), FR_OK);
    int tried = fr_model_option_find(&fr_forest_ops, "max_features");
    const fr_model_option *o = &fr_forest_ops.options[tried];
    CHECK_INT(fr_model_option_choice(o, "log2", 4), 1);
    CHECK_INT(fr_model_option_choice(o, "log", 3), -1);
}

static void cancelling_stops_a_fit(void)
{
    fr_frame *x = transformers();
    fr_array *y = integers(FR_INT64, TREE_Y, TREE_ROWS);
    fr_cancel token = {0};
    fr_cancel *before = fr_cancel_enter(&token);
    fr_cancel_set(&token, FR_ECANCELLED);
    double option[FR_MODEL_OPTIONS];
    fr_model_presets(&fr_forest_ops, option);
    fr_model *m;
    CHECK_INT(fr_model_fit(&fr_forest_ops, option, x, "failure", y, &m, NULL),
              FR_ECANCELLED);
    CHECK(m == NULL);
    (void)fr_cancel_enter(before);
    fr_array_unref(y);
    fr_frame_unref(x);
}

static void labels_are_matched_across_types(void)
{
    const int32_t y[] = {0, 1, 1}, p[] = {1, 1, 0};
    const double q[] = {1, 1, 0};
    int32_t a[3], b[3];
    fr_array *labels, *ya = integers(FR_INT64, y, 3), *pa = integers(FR_UINT8, p, 3),
                      *qa = doubles(q, 3);
    CHECK_INT(fr_target_encode_pair(ya, pa, a, b, &labels, NULL), FR_OK);
    CHECK_INT(labels->length, 2);
    CHECK(a[0] == 0 && a[2] == 1 && b[0] == 1 && b[2] == 0);
    fr_array_unref(labels);
    CHECK_INT(fr_target_encode_pair(ya, qa, a, b, &labels, NULL), FR_OK);
    fr_buf text;
    fr_buf_init(&text, 100);
    fr_target_print(labels, 1, &text);
    CHECK_STR(fr_buf_text(&text), "1.0");
    fr_buf_fini(&text);
    const int32_t seven[] = {0, 7, 1};
    fr_array *odd = integers(FR_INT64, seven, 3);
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_target_match(odd, "y", labels, a, &err), FR_EINVAL);
    CHECK_STR(err.text,
              "`y` has the class 7 in row 2, which the model was not fitted on");
    CHECK_INT(fr_target_match(pa, "y", labels, a, &err), FR_OK);
    CHECK(a[0] == 1 && a[1] == 1 && a[2] == 0);
    fr_array_unref(labels);
    fr_array_unref(ya);
    fr_array_unref(pa);
    fr_array_unref(qa);
    fr_array_unref(odd);
}

static void labels_print_as_python_does(void)
{
    const double v[] = {1, -3, 1e16, 12345678901234567000., 1e15, 123456789012345., 2e16};
    const char *const want[] = {"1.0",
                                "-3.0",
                                "1e+16",
                                "1.2345678901234567e+19",
                                "1000000000000000.0",
                                "123456789012345.0",
                                "2e+16"};
    fr_array *a = doubles(v, FR_COUNT(v));
    for (size_t i = 0; i < FR_COUNT(v); i++) {
        fr_buf text;
        fr_buf_init(&text, 100);
        fr_target_print(a, (int64_t)i, &text);
        CHECK_STR(fr_buf_text(&text), want[i]);
        fr_buf_fini(&text);
    }
    fr_array_unref(a);
}

int main(void)
{
    CASE(equal_calls_give_equal_models_at_any_thread_count);
    CASE(probabilities_sum_to_one_and_fit_the_data);
    CASE(columns_are_matched_by_name);
    CASE(predictions_of_subsets_are_the_same);
    CASE(labels_keep_their_type);
    CASE(saved_models_come_back);
    CASE(damaged_and_newer_files_are_refused);
    CASE(hostile_files_never_harm);
    CASE(what_cannot_be_fitted_is_explained);
    CASE(options_are_checked_by_their_rows);
    CASE(cancelling_stops_a_fit);
    CASE(labels_are_matched_across_types);
    CASE(labels_print_as_python_does);
    fr_pool_shutdown();
    return check_end();
}
