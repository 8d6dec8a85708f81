// Fitted models as objects: names and times around the forecast, files, damaged files.
#include "check.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/ml/arima.h"
#include "core/ml/forecaster.h"

#include <stdlib.h>
#include <unistd.h>

enum { ROWS = 60 };

static fr_array *column(fr_type type, const double *v, int64_t n)
{
    fr_builder *b = fr_builder_new(type, n);
    fr_array *a;
    for (int64_t i = 0; i < n; i++) {
        int rc = isnan(v[i])               ? fr_builder_null(b, NULL)
                 : type.kind == FR_FLOAT64 ? fr_builder_float(b, v[i], NULL)
                                           : fr_builder_int(b, (int64_t)v[i], NULL);
        CHECK_INT(rc, FR_OK);
    }
    CHECK_INT(fr_builder_finish(b, &a, NULL), FR_OK);
    fr_builder_free(b);
    return a;
}

typedef struct sample {
    fr_array *y, *when, *x, *next_x;
    fr_forecaster_data data;
    const fr_array *exog[1];
    const char *names[1];
} sample;

static void sample_init(sample *s, bool gap)
{
    double y[ROWS], t[ROWS], x[ROWS];
    for (int i = 0; i < ROWS; i++) {
        x[i] = (i * 7919 % 13) - 6;
        y[i] = 5 + 2 * x[i] + sin(i * 1.7) + 0.3 * cos(i * 0.9);
        t[i] = 19000 + i + (gap && i >= 30 ? 2 : 0);
    }
    s->y = column(fr_type_of(FR_FLOAT64), y, ROWS);
    s->when = column(fr_type_of(FR_DATE), t, ROWS);
    s->x = column(fr_type_of(FR_FLOAT64), x, ROWS);
    s->next_x = column(fr_type_of(FR_FLOAT64), x, 5);
    s->exog[0] = s->x;
    s->names[0] = "temp_c";
    s->data = (fr_forecaster_data){s->y, "kw", s->when, "day", 1, s->exog, s->names};
}

static void sample_fini(sample *s)
{
    fr_array_unref(s->y);
    fr_array_unref(s->when);
    fr_array_unref(s->x);
    fr_array_unref(s->next_x);
}

static fr_forecaster *fit(const sample *s)
{
    fr_arima_spec spec = {.order = {1, 0, 1, 0, 0, 0, 0}};
    fr_forecaster *f = NULL;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_forecaster_fit(&fr_series_arima, &spec, "ARIMA(1,0,1)", &s->data, &f, &err), FR_OK);
    return f;
}

static fr_frame *forecast(const fr_forecaster *f, const fr_array *x, fr_err *err)
{
    static const char *const names[] = {"temp_c"};
    static const double levels[] = {80, 97.5};
    fr_frame *exog = NULL, *out = NULL;
    fr_array *cols[] = {(fr_array *)(void *)x};
    if (x != NULL) {
        CHECK_INT(fr_frame_new(1, names, cols, &exog, NULL), FR_OK);
    }
    (void)!fr_forecaster_forecast(f, 5, exog, levels, 2, &out, err);
    fr_frame_unref(exog);
    return out;
}

static void forecasts_have_times_and_levels(void)
{
    sample s;
    sample_init(&s, true);
    fr_forecaster *f = fit(&s);
    CHECK_INT(f->facts.n, ROWS + 2);
    CHECK_INT(f->facts.used, ROWS);
    fr_frame *fc = forecast(f, s.next_x, NULL);
    static const char *const names[] = {"day",  "mean",   "lo80",
                                        "hi80", "lo97.5", "hi97.5"};
    CHECK_INT(fc->columns, 6);
    for (size_t i = 0; i < 6; i++) {
        CHECK_STR(fc->names[i], names[i]);
    }
    CHECK_INT(fr_array_int(fc->cols[0], 0), 19000 + ROWS + 2);
    CHECK_INT(fc->cols[0]->type.kind, FR_DATE);
    double mean[5], sd[5], x[5];
    const double *column_of_x = x;
    CHECK_INT(fr_array_to_f64(s.next_x, x, NULL), FR_OK);
    CHECK_INT(fr_arima_forecast(f->model, 5, &column_of_x, mean, sd, NULL), FR_OK);
    for (int64_t i = 0; i < 5; i++) {
        CHECK(fr_array_f64(fc->cols[1])[i] == mean[i]);
        CHECK_NEAR(fr_array_f64(fc->cols[3])[i], mean[i] + 1.2815515655446004 * sd[i],
                   1e-12);
        CHECK_NEAR(fr_array_f64(fc->cols[4])[i], mean[i] - 2.241402727604945 * sd[i],
                   1e-12);
    }
    fr_frame_unref(fc);
    fr_forecaster_unref(f);
    sample_fini(&s);
}

static void what_the_future_needs_is_said(void)
{
    sample s;
    sample_init(&s, false);
    fr_forecaster *f = fit(&s);
    fr_err err = FR_ERR_INIT;
    CHECK(forecast(f, NULL, &err) == NULL);
    CHECK(strstr(err.text, "`temp_c`") != NULL);
    CHECK(forecast(f, s.x, &err) == NULL);
    CHECK(strstr(err.text, "60 rows for 5 steps") != NULL);
    fr_frame *out;
    double level = 100;
    CHECK_INT(fr_forecaster_forecast(f, 0, NULL, NULL, 0, &out, &err), FR_EINVAL);
    CHECK_INT(fr_forecaster_forecast(f, 5, NULL, &level, 1, &out, &err), FR_EINVAL);
    fr_forecaster_unref(f);
    sample_fini(&s);
}

static void files_give_the_same_model(void)
{
    sample s;
    sample_init(&s, true);
    fr_forecaster *f = fit(&s), *again = fit(&s), *read;
    char path[] = "/tmp/flowrun-test-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    (void)close(fd);
    CHECK(fr_hash_eq(f->hash, again->hash));
    CHECK_INT(fr_forecaster_save(f, path, NULL), FR_OK);
    CHECK_INT(fr_forecaster_load(path, &read, NULL), FR_OK);
    CHECK(fr_hash_eq(f->hash, read->hash) && fr_hash_eq(f->training, read->training));
    CHECK_STR(read->title, "ARIMA(1,0,1)");
    CHECK_STR(read->exog[0], "temp_c");
    fr_frame *a = forecast(f, s.next_x, NULL), *b = forecast(read, s.next_x, NULL);
    for (size_t c = 0; c < 6; c++) {
        CHECK(fr_hash_eq(fr_array_hash(a->cols[c]), fr_array_hash(b->cols[c])));
    }
    fr_frame_unref(a);
    fr_frame_unref(b);
    fr_forecaster_unref(read);
    fr_forecaster_unref(again);
    fr_forecaster_unref(f);
    CHECK_INT(unlink(path), 0);
    sample_fini(&s);
}

static uint8_t *bytes_of(const fr_forecaster *f, size_t *n)
{
    char path[] = "/tmp/flowrun-test-XXXXXX";
    int fd = mkstemp(path);
    (void)close(fd);
    CHECK_INT(fr_forecaster_save(f, path, NULL), FR_OK);
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = fr_alloc(1 << 16);
    *n = fread(bytes, 1, 1 << 16, file);
    (void)fclose(file);
    CHECK_INT(unlink(path), 0);
    return bytes;
}

// Every byte changed, with and without a right checksum, and every length: never a crash,
// and without the checksum never a model.
static void damage_is_found(void)
{
    sample s;
    sample_init(&s, false);
    fr_forecaster *f = fit(&s), *got;
    size_t n;
    uint8_t *bytes = bytes_of(f, &n), keep[16];
    memcpy(keep, bytes + 16, 16);
    int accepted = 0;
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= (uint8_t)(1 + i % 255);
        CHECK(fr_forecaster_parse(bytes, n, &got, NULL) != FR_OK);
        if (i >= 32) {
            fr_hash_store(fr_hash_bytes(bytes + 32, n - 32), bytes + 16);
            if (fr_forecaster_parse(bytes, n, &got, NULL) == FR_OK) {
                fr_frame *fc = forecast(got, got->exogs == 1 ? s.next_x : NULL, NULL);
                fr_frame_unref(fc);
                fr_forecaster_unref(got);
                accepted++;
            }
            memcpy(bytes + 16, keep, 16);
        }
        bytes[i] ^= (uint8_t)(1 + i % 255);
    }
    CHECK(accepted > 0); // numbers may be others and still be numbers
    for (size_t size = 0; size < n; size += size < 300 ? 1 : 37) {
        uint8_t *part = malloc(size + 1); // of its own, so that ASan sees an overrun
        memcpy(part, bytes, size);
        if (size > 32) {
            fr_hash_store(fr_hash_bytes(part + 32, size - 32), part + 16);
        }
        CHECK(fr_forecaster_parse(part, size, &got, NULL) != FR_OK);
        free(part);
    }
    fr_free(bytes);
    fr_forecaster_unref(f);
    sample_fini(&s);
}

static void wrong_columns_are_named(void)
{
    sample s;
    sample_init(&s, false);
    fr_forecaster *f;
    fr_err err = FR_ERR_INIT;
    fr_arima_spec spec = {.order = {1, 0, 0, 0, 0, 0, 0}};
    double hole[ROWS] = {1, 2, nan("")};
    fr_array *bad = column(fr_type_of(FR_FLOAT64), hole, ROWS);
    s.exog[0] = bad;
    CHECK_INT(fr_forecaster_fit(&fr_series_arima, &spec, "", &s.data, &f, &err), FR_EINVAL);
    CHECK(strstr(err.text, "`temp_c` is null in row 3") != NULL);
    s.exog[0] = s.x;
    s.data.time = s.y;
    CHECK_INT(fr_forecaster_fit(&fr_series_arima, &spec, "", &s.data, &f, &err), FR_ETYPE);
    CHECK(strstr(err.text, "`day`") != NULL);
    fr_array_unref(bad);
    sample_fini(&s);
}

int main(void)
{
    CASE(forecasts_have_times_and_levels);
    CASE(what_the_future_needs_is_said);
    CASE(files_give_the_same_model);
    CASE(damage_is_found);
    CASE(wrong_columns_are_named);
    return check_end();
}
