#include "check.h"
#include "core/base/mem.h"
#include "core/base/rand.h"
#include "core/ml/metric.h"
#include "core/ml/order.h"
#include "tests/fixtures/metrics.h"

static void reports_are_those_of_scikit_learn(void)
{
    for (size_t i = 0; i < FR_COUNT(METRICS); i++) {
        const metrics_case *m = &METRICS[i];
        size_t k = (size_t)m->classes;
        int64_t *count = fr_alloc(k * k * sizeof *count);
        fr_metric_confusion(m->truth, m->predicted, (size_t)m->n, k, count);
        fr_buf text;
        fr_buf_init(&text, 1 << 20);
        fr_metric_report(count, k, m->labels, &text);
        fr_buf want;
        fr_buf_init(&want, 1 << 20);
        for (const char *const *line = m->report; *line != NULL; line++) {
            fr_buf_put_str(&want, *line);
        }
        if (strcmp(fr_buf_text(&text), fr_buf_text(&want)) != 0) {
            (void)fprintf(stderr, "in case \"%s\"\n", m->name);
        }
        CHECK_STR(fr_buf_text(&text), fr_buf_text(&want));
        fr_buf_fini(&want);
        CHECK_NEAR(fr_metric_accuracy(count, k), m->accuracy, 0);
        fr_score s;
        fr_metric_average(count, k, FR_AVERAGE_MACRO, &s);
        CHECK_NEAR(s.precision, m->macro[0], 0);
        CHECK_NEAR(s.recall, m->macro[1], 0);
        CHECK_NEAR(s.f1, m->macro[2], 0);
        fr_metric_average(count, k, FR_AVERAGE_WEIGHTED, &s);
        CHECK_NEAR(s.precision, m->weighted[0], 0);
        CHECK_NEAR(s.recall, m->weighted[1], 0);
        CHECK_NEAR(s.f1, m->weighted[2], 0);
        CHECK_INT(s.support, m->n);
        fr_buf_fini(&text);
        fr_free(count);
    }
}

static void scores_of_probabilities_are_those_of_scikit_learn(void)
{
    for (size_t i = 0; i < FR_COUNT(SCORES); i++) {
        const scores_case *s = &SCORES[i];
        size_t n = (size_t)s->n;
        double auc, *both = fr_alloc(2 * n * sizeof *both);
        CHECK_INT(fr_metric_roc_auc(s->truth, s->score, n, &auc, NULL), FR_OK);
        CHECK_NEAR(auc, s->auc, 1e-12);
        CHECK_NEAR(fr_metric_brier(s->truth, s->score, n), s->brier, 1e-14);
        for (size_t k = 0; k < n; k++) {
            both[k] = 1 - s->score[k];
            both[n + k] = s->score[k];
        }
        CHECK_NEAR(fr_metric_log_loss(s->truth, both, n), s->log_loss,
                   1e-12 * s->log_loss);
        fr_free(both);
    }
}

// The definition: the share of (positive, negative) pairs in the right order.
static double auc_by_pairs(const int32_t *y, const double *s, size_t n)
{
    double won = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            if (y[i] == 1 && y[j] == 0) {
                all++;
                won += s[i] > s[j] ? 1 : s[i] == s[j] ? 0.5 : 0;
            }
        }
    }
    return won / all;
}

static void auc_counts_pairs(void)
{
    fr_rand r;
    fr_rand_init(&r, 7, 0);
    for (int round = 0; round < 50; round++) {
        int32_t y[200];
        double s[200], got;
        size_t n = 2 + fr_rand_below(&r, 198);
        for (size_t i = 0; i < n; i++) {
            y[i] = i < 2 ? (int32_t)i : (int32_t)fr_rand_below(&r, 2);
            s[i] = (double)fr_rand_below(&r, 1 + fr_rand_below(&r, 40)) - 20;
            s[i] = round % 3 == 0 ? s[i] * 1e300 : s[i];
        }
        CHECK_INT(fr_metric_roc_auc(y, s, n, &got, NULL), FR_OK);
        CHECK_NEAR(got, auc_by_pairs(y, s, n), 1e-12);
    }
}

static void auc_refuses_what_has_no_answer(void)
{
    fr_err err = FR_ERR_INIT;
    double out;
    CHECK_INT(fr_metric_roc_auc((int32_t[]){1, 1}, (double[]){0, 1}, 2, &out, &err),
              FR_EINVAL);
    CHECK_STR(err.text,
              "roc_auc needs rows of both classes: found 2 positive and 0 negative");
    CHECK_INT(fr_metric_roc_auc((int32_t[]){0, 1}, (double[]){0, nan("")}, 2, &out, &err),
              FR_EINVAL);
    CHECK_STR(err.text, "roc_auc: a score is NaN");
}

static void errors_of_numbers_are_those_of_scikit_learn(void)
{
    fr_errors e;
    fr_metric_errors(NUMBERS_TRUE, NUMBERS_PREDICTED, FR_COUNT(NUMBERS_TRUE), &e);
    const double got[] = {e.mae, e.mse, e.rmse, e.mape, e.smape, e.r2};
    for (size_t i = 0; i < FR_COUNT(got); i++) {
        CHECK_NEAR(got[i], NUMBERS_ERRORS[i], 1e-13 * fabs(NUMBERS_ERRORS[i]));
    }
}

static void radix_sort_orders_doubles(void)
{
    enum { N = 3000 };
    static uint64_t key[N], scratch[N];
    fr_rand r;
    fr_rand_init(&r, 1, 2);
    for (size_t n = 0; n <= N; n += 1 + n / 2) {
        for (size_t i = 0; i < n; i++) {
            double x =
                (fr_rand_unit(&r) - 0.5) * pow(10, (double)fr_rand_below(&r, 600) - 300);
            key[i] = fr_order_key64(i % 50 == 0 ? (i % 100 == 0 ? HUGE_VAL : -0.0) : x);
        }
        const uint64_t *sorted = fr_order_sort(key, scratch, n, 0);
        for (size_t i = 1; i < n; i++) {
            CHECK(sorted[i - 1] <= sorted[i]);
        }
    }
    CHECK(fr_order_key64(-0.0) == fr_order_key64(0.0));
    CHECK(fr_order_key64(-HUGE_VAL) < fr_order_key64(-1e308));
    CHECK(fr_order_key32(1.5F) > fr_order_key32(-2.0F));
    CHECK(fr_order_value32(fr_order_key32(-3.25F)) == -3.25F);
}

int main(void)
{
    CASE(reports_are_those_of_scikit_learn);
    CASE(scores_of_probabilities_are_those_of_scikit_learn);
    CASE(auc_counts_pairs);
    CASE(auc_refuses_what_has_no_answer);
    CASE(errors_of_numbers_are_those_of_scikit_learn);
    CASE(radix_sort_orders_doubles);
    return check_end();
}
