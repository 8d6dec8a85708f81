#include "core/engine/retry.h"
#include "tests/unit/check.h"

#include "core/base/base.h"

enum { MS = 1000000 };
static const fr_hash key = {.hi = 0x1234, .lo = 0x9876};

static int64_t delay(const fr_retry_plan *p, uint32_t attempt)
{
    return fr_retry_delay(p, attempt, 42, key);
}

static void each_curve_has_its_closed_form(void)
{
    fr_retry_plan p = {.backoff = FR_BACKOFF_FIXED, .base_ns = 100 * MS};
    for (uint32_t i = 1; i <= 8; i++) {
        p.backoff = FR_BACKOFF_FIXED;
        CHECK_INT(delay(&p, i), 100 * MS);
        p.backoff = FR_BACKOFF_LINEAR;
        CHECK_INT(delay(&p, i), 100LL * MS * i);
        p.backoff = FR_BACKOFF_EXPONENTIAL;
        p.factor = 0;                          // means 2
        CHECK_INT(delay(&p, i), (100LL * MS) << (i - 1));
    }
    p.factor = 3;
    CHECK_INT(delay(&p, 4), 2700LL * MS);
}

static void a_list_repeats_its_last(void)
{
    fr_retry_plan p = {.backoff = FR_BACKOFF_LIST, .list_ns = {5, 7, 11}, .n_list = 3};
    const int64_t want[] = {5, 7, 11, 11, 11};
    for (uint32_t i = 0; i < FR_COUNT(want); i++) {
        CHECK_INT(delay(&p, i + 1), want[i]);
    }
    p.n_list = 0;                              // no list: the base
    p.base_ns = 3;
    CHECK_INT(delay(&p, 2), 3);
}

static void nothing_is_above_the_cap(void)
{
    fr_retry_plan p = {.base_ns = 100 * MS, .cap_ns = 250 * MS, .jitter = 1};
    for (int b = FR_BACKOFF_FIXED; b <= FR_BACKOFF_DECORRELATED; b++) {
        p.backoff = (fr_backoff)b;
        for (uint32_t i = 1; i < 200; i++) {
            int64_t d = delay(&p, i);
            CHECK(d >= 0 && d <= 250 * MS);
        }
    }
}

// However often and long: no overflow, no negative wait.
static void huge_delays_stay_in_range(void)
{
    fr_retry_plan p = {.backoff = FR_BACKOFF_EXPONENTIAL, .base_ns = 3600LL * 1000 * MS};
    CHECK(delay(&p, UINT32_MAX) > delay(&p, 10));
    p.backoff = FR_BACKOFF_LINEAR;
    p.base_ns = INT64_MAX;
    CHECK(delay(&p, UINT32_MAX) > 0);
    p.jitter = 1;
    CHECK(delay(&p, UINT32_MAX) >= 0);
}

static void jitter_spreads_evenly_about_the_delay(void)
{
    fr_retry_plan p = {.backoff = FR_BACKOFF_FIXED, .base_ns = 1000000, .jitter = 0.3};
    enum { N = 4000 };
    double sum = 0, low = 1e9, high = 0;
    for (uint32_t i = 0; i < N; i++) {
        double d = (double)fr_retry_delay(&p, 1, i, key);
        sum += d;
        low = d < low ? d : low;
        high = d > high ? d : high;
    }
    CHECK(low >= 700000 && low < 702000);
    CHECK(high <= 1300000 && high > 1298000);
    CHECK_NEAR(sum / N, 1000000, 4 * 173205 / sqrt(N));      // sd of the uniform: .3e6/√3
}

// AWS's: uniform(base, 3 · previous), so each is in [base, 3 · the one before].
static void decorrelated_walks_from_the_one_before(void)
{
    fr_retry_plan p = {.backoff = FR_BACKOFF_DECORRELATED, .base_ns = 1000};
    for (uint64_t seed = 0; seed < 200; seed++) {
        int64_t previous = p.base_ns;
        for (uint32_t i = 1; i <= 6; i++) {
            int64_t d = fr_retry_delay(&p, i, seed, key);
            CHECK(d >= p.base_ns && d <= 3 * previous + 3);
            previous = d;
        }
    }
}

static void it_depends_on_seed_key_and_attempt_only(void)
{
    fr_retry_plan p = {.backoff = FR_BACKOFF_FIXED, .base_ns = 1LL << 40, .jitter = 0.5};
    int64_t d = delay(&p, 1);
    CHECK_INT(delay(&p, 1), d);
    CHECK(delay(&p, 2) != d);
    CHECK(fr_retry_delay(&p, 1, 43, key) != d);
    CHECK(fr_retry_delay(&p, 1, 42, (fr_hash){.hi = 1, .lo = 2}) != d);
}

static void attempts_are_one_more_than_retries(void)
{
    fr_retry_plan p = {.retries = 2};
    CHECK(fr_retry_allowed(&p, 1) && fr_retry_allowed(&p, 2) && !fr_retry_allowed(&p, 3));
    p.retries = 0;
    CHECK(!fr_retry_allowed(&p, 1));
}

int main(void)
{
    CASE(each_curve_has_its_closed_form);
    CASE(a_list_repeats_its_last);
    CASE(nothing_is_above_the_cap);
    CASE(huge_delays_stay_in_range);
    CASE(jitter_spreads_evenly_about_the_delay);
    CASE(decorrelated_walks_from_the_one_before);
    CASE(it_depends_on_seed_key_and_attempt_only);
    CASE(attempts_are_one_more_than_retries);
    return check_end();
}
