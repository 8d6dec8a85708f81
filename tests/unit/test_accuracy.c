// Scores of forecasts against hand-made sums.
#include "check.h"
#include "core/ml/accuracy.h"

static const double y[] = {10, -20, 0, 40}, f[] = {12, -15, 1, 40};

static double score(fr_accuracy_kind kind, int64_t n, double q)
{
    double out = -1;
    CHECK_INT(fr_accuracy(kind, y, f, n, q, &out, NULL), FR_OK);
    return out;
}

static void scores_are_their_definitions(void)
{
    CHECK_NEAR(score(FR_ACCURACY_MAE, 4, 0), (2 + 5 + 1 + 0) / 4.0, 1e-15);
    CHECK_NEAR(score(FR_ACCURACY_RMSE, 4, 0), sqrt((4 + 25 + 1) / 4.0), 1e-15);
    CHECK_NEAR(score(FR_ACCURACY_BIAS, 4, 0), (2 + 5 + 1) / 4.0, 1e-15);
    CHECK_NEAR(score(FR_ACCURACY_MAPE, 2, 0), (.20 + .25) / 2.0, 1e-12);
    CHECK_NEAR(score(FR_ACCURACY_SMAPE, 4, 0),
               (2 * 2 / 22.0 + 2 * 5 / 35.0 + 2) / 4, 1e-12);
    // Below the forecast by 2, 5, 1: each costs 1 - q.
    CHECK_NEAR(score(FR_ACCURACY_PINBALL, 4, 0.9), 0.1 * 8 / 4, 1e-15);
    CHECK_NEAR(score(FR_ACCURACY_PINBALL, 4, 0.5), 0.5 * 8 / 4, 1e-15);
}

static void missing_values_are_left_out(void)
{
    double actual[] = {1, nan(""), 3}, guess[] = {2, nan(""), 3}, out;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_accuracy(FR_ACCURACY_MAE, actual, guess, 3, 0, &out, NULL), FR_OK);
    CHECK_NEAR(out, 0.5, 0);
    CHECK_INT(fr_accuracy(FR_ACCURACY_MAE, guess, actual, 1, 0, &out, &err), FR_OK);
    guess[0] = nan("");
    CHECK_INT(fr_accuracy(FR_ACCURACY_MAE, actual, guess, 3, 0, &out, &err), FR_EINVAL);
    CHECK(strstr(err.text, "row 1") != NULL);
    CHECK_INT(fr_accuracy(FR_ACCURACY_MAE, actual + 1, guess, 1, 0, &out, &err),
              FR_EINVAL);
    CHECK_INT(fr_accuracy(FR_ACCURACY_MAPE, y, f, 4, 0, &out, &err), FR_EINVAL);
    CHECK(strstr(err.text, "row 3 is 0") != NULL);
    CHECK_INT(fr_accuracy(FR_ACCURACY_PINBALL, y, f, 4, 1.5, &out, &err), FR_EINVAL);
}

static void coverage_counts_the_bounds(void)
{
    double lo[] = {10, -30, 1, 0}, hi[] = {12, -10, 2, 39}, out;
    CHECK_INT(fr_accuracy_coverage(y, lo, hi, 4, &out, NULL), FR_OK);
    CHECK_NEAR(out, 0.5, 0);
}

static void scale_is_the_seasonal_change(void)
{
    double train[] = {1, 2, 5, nan(""), 9}, out;
    CHECK_INT(fr_accuracy_scale(train, 5, 1, &out, NULL), FR_OK);
    CHECK_NEAR(out, (1 + 3) / 2.0, 0);
    CHECK_INT(fr_accuracy_scale(train, 5, 2, &out, NULL), FR_OK);
    CHECK_NEAR(out, (4 + 4) / 2.0, 0);
    CHECK_INT(fr_accuracy_scale(train, 5, 5, &out, NULL), FR_EINVAL);
    CHECK_INT(fr_accuracy_scale(train, 5, 0, &out, NULL), FR_EINVAL);
}

int main(void)
{
    CASE(scores_are_their_definitions);
    CASE(missing_values_are_left_out);
    CASE(coverage_counts_the_bounds);
    CASE(scale_is_the_seasonal_change);
    return check_end();
}
