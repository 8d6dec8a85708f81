#include "core/base/rand.h"
#include "core/base/zone.h"
#include "core/data/type.h"
#include "core/data/when.h"

#include "check.h"

#include <stdlib.h>
#include <time.h>

static void calendar_agrees_with_the_system(void)
{
    fr_rand r;
    fr_rand_init(&r, 3, 0);
    int wrong = 0;
    for (int i = 0; i < 100000; i++) {
        int64_t days = (int64_t)fr_rand_below(&r, 4000000) - 2000000;
        time_t t = (time_t)(days * 86400);
        struct tm tm;
        (void)gmtime_r(&t, &tm);
        int64_t y;
        int m, d;
        fr_when_civil(days, &y, &m, &d);
        wrong += y != tm.tm_year + 1900 || m != tm.tm_mon + 1 || d != tm.tm_mday ||
                 fr_when_days(y, m, d) != days || !fr_when_valid(y, m, d);
    }
    CHECK_INT(wrong, 0);
    CHECK(!fr_when_valid(2023, 2, 29) && fr_when_valid(2024, 2, 29) && !fr_when_valid(1900, 2, 29));
}

static void iso_texts(void)
{
    static const struct {
        const char *text, *back;
    } good[] = {
        {"2024-01-31", "2024-01-31 00:00:00"},
        {"2024-02-29T23:59:59", "2024-02-29 23:59:59"},
        {"2024-02-29 23:59", "2024-02-29 23:59:00"},
        {"1969-12-31 23:59:59.999", "1969-12-31 23:59:59.999"},
        {"2024-06-01T12:00:00Z", "2024-06-01 12:00:00"},
        {"2024-06-01T12:00:00+05:30", "2024-06-01 06:30:00"},
        {"2024-06-01T12:00:00-0200", "2024-06-01 14:00:00"},
        {"2024-06-01 12:00:00.123456789+00", "2024-06-01 12:00:00.123456789"},
        {"0001-01-01", "0001-01-01 00:00:00"},
    };
    static const char *const bad[] = {
        "",          "2024",        "2024-1-31",         "2024-13-01",          "2024-02-30",
        "2024-01-3", "2024-01-311", "2024-01-31 24:00",  "2024-01-31 12",       "2024-01-31T",
        "2024/01/31", "2024-01-31 12:60", "2024-01-31 12:00:00.", "2024-01-31 12:00 x",
        "2024-01-31Z",
        "2024-01-31 12:00+5", "2024-01-31 12:00+99:00"};
    for (size_t i = 0; i < FR_COUNT(good); i++) {
        fr_when w;
        int64_t v = 0;
        char out[FR_WHEN_MAX];
        fr_unit unit = good[i].text[0] == '0' ? FR_MICRO : FR_NANO;
        CHECK(fr_when_parse(good[i].text, strlen(good[i].text), &w));
        CHECK(fr_when_value(&w, unit, &v));
        (void)fr_when_print(v, unit, false, 0, out);
        CHECK_STR(out, good[i].back);
    }
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        fr_when w;
        if (fr_when_parse(bad[i], strlen(bad[i]), &w)) {
            (void)fprintf(stderr, "accepted %s\n", bad[i]);
            CHECK(false);
        }
    }
}

static void formats(void)
{
    static const struct {
        const char *format, *text, *back;
    } good[] = {
        {"%m/%d/%y %H:%M", "1/1/17 0:00", "2017-01-01 00:00:00"},
        {"%d.%m.%Y", "31.01.2024", "2024-01-31 00:00:00"},
        {"%d %b %Y %I:%M %p", "3 Mar 1999 12:05 AM", "1999-03-03 00:05:00"},
        {"%d-%B-%y %I%p", "07-september-68 3PM", "2068-09-07 15:00:00"},
        {"%Y%m%d%H%M%S", "20240229235958", "2024-02-29 23:59:58"},
        {"%F %T.%f", "2024-01-02 03:04:05.25", "2024-01-02 03:04:05.250"},
        {"%Y-%j", "2024-366", "2024-12-31 00:00:00"},
        {"%s", "1700000000", "2023-11-14 22:13:20"},
        {"%Y-%m-%dT%H:%M:%S%z", "2024-01-01T00:00:00+01:00", "2023-12-31 23:00:00"},
        {"%D %R", "12/31/99  23:59", "1999-12-31 23:59:00"},
    };
    for (size_t i = 0; i < FR_COUNT(good); i++) {
        fr_when w;
        int64_t v = 0;
        char out[FR_WHEN_MAX] = "";
        fr_err err = FR_ERR_INIT;
        bool t, o;
        CHECK_INT(fr_when_check(good[i].format, &t, &o, &err), FR_OK);
        CHECK(fr_when_scan(good[i].format, good[i].text, strlen(good[i].text), &w) &&
              fr_when_value(&w, FR_MICRO, &v));
        (void)fr_when_print(v, FR_MICRO, false, 0, out);
        CHECK_STR(out, good[i].back);
    }
    fr_when w;
    fr_err err = FR_ERR_INIT;
    bool t, o;
    CHECK(!fr_when_scan("%d/%m/%Y", "31/02/2024", 10, &w));
    CHECK(!fr_when_scan("%d/%m/%Y", "1/1/2024 ", 9, &w));
    CHECK(!fr_when_scan("%Y-%j", "2023-366", 8, &w));
    CHECK_INT(fr_when_check("%Y %Q", &t, &o, &err), FR_EINVAL);
    CHECK(strstr(err.text, "%Q") != NULL);
    CHECK_INT(fr_when_check("yyyy-mm-dd", &t, &o, &err), FR_EINVAL);
}

static void durations(void)
{
    int64_t v = 0;
    CHECK(fr_when_parse_duration("1h30m", 5, &v) && v == 5400000000000);
    CHECK(fr_when_parse_duration("15min", 5, &v) && v == 900000000000);
    CHECK(fr_when_parse_duration("-2d", 3, &v) && v == -172800000000000);
    CHECK(fr_when_parse_duration("250ms", 5, &v) && v == 250000000);
    CHECK(!fr_when_parse_duration("", 0, &v) && !fr_when_parse_duration("5", 1, &v) &&
          !fr_when_parse_duration("h", 1, &v) && !fr_when_parse_duration("5y", 2, &v) &&
          !fr_when_parse_duration("99999999999w", 12, &v));
    char out[FR_WHEN_MAX];
    (void)fr_when_print_duration(93784500, FR_MILLI, out);
    CHECK_STR(out, "1d2h3m4s500ms");
    (void)fr_when_print_duration(-60, FR_SECOND, out);
    CHECK_STR(out, "-1m");
    (void)fr_when_print_duration(0, FR_NANO, out);
    CHECK_STR(out, "0s");
    (void)fr_when_print_duration(INT64_MIN, FR_NANO, out);
    CHECK_STR(out, "-106751d23h47m16s854ms775us808ns");
}

static void type_names(void)
{
    static const char *const good[] = {"int64", "timestamp[ns, Europe/Paris]", "timestamp[us]",
                                       "duration[s]", "category", "date", "float32"};
    for (size_t i = 0; i < FR_COUNT(good); i++) {
        fr_type t = {0};
        char name[64];
        fr_err err = FR_ERR_INIT;
        CHECK_INT(fr_type_parse(good[i], &t, &err), FR_OK);
        CHECK_STR(fr_type_name(&t, name), good[i]);
    }
    static const char *const bad[] = {"", "in64", "int64[us]", "timestamp[", "timestamp[us",
                                      "timestamp[us,]", "timestamp[h]", "duration[s, UTC]"};
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        fr_type t;
        fr_err err = FR_ERR_INIT;
        CHECK_INT(fr_type_parse(bad[i], &t, &err), FR_EINVAL);
    }
    fr_type t;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_type_parse("flaot64", &t, &err), FR_EINVAL);
    CHECK(strstr(err.text, "did you mean \"float64\"") != NULL);
}

// Against the C library, hour by hour over the years around every kind of change.
static void zones_agree_with_the_system(void)
{
    static const char *const zones[] = {"Europe/Paris", "America/New_York", "Australia/Sydney",
                                        "Asia/Kolkata", "Africa/Casablanca", "UTC"};
    for (size_t i = 0; i < FR_COUNT(zones); i++) {
        fr_zone *z = NULL;
        fr_err err = FR_ERR_INIT;
        if (fr_zone_open(zones[i], &z, &err) != FR_OK) {
            (void)printf("skip %s: %s\n", zones[i], err.text);
            continue;
        }
        (void)setenv("TZ", zones[i], 1);
        tzset();
        int wrong = 0, gaps = 0, twice = 0;
        for (int64_t t = -2000000000; t < 6000000000; t += 3600 * 37 + 1799) {
            time_t s = (time_t)t;
            struct tm tm;
            (void)localtime_r(&s, &tm);
            wrong += tm.tm_gmtoff != fr_zone_offset(z, t);
        }
        for (int64_t t = 1600000000; t < 1800000000; t += 900) {
            int64_t u[2];
            int n = fr_zone_from_local(z, t, u);
            gaps += n == 0;
            twice += n == 2;
            for (int k = 0; k < n; k++) {
                wrong += u[k] + fr_zone_offset(z, u[k]) != t;
            }
        }
        CHECK_INT(wrong, 0);
        CHECK_INT(gaps > 0, i != 3 && i != 5);
        CHECK_INT(twice > 0, gaps > 0);
        fr_zone_unref(z);
    }
    fr_zone *z = NULL;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_zone_open("+05:30", &z, &err), FR_OK);
    CHECK_INT(fr_zone_offset(z, 0), 19800);
    fr_zone_unref(z);
    CHECK_INT(fr_zone_open("Mars/Base", &z, &err), FR_ENOTFOUND);
    CHECK_INT(fr_zone_open("../../etc/passwd", &z, &err), FR_ENOTFOUND);
}

int main(void)
{
    CASE(calendar_agrees_with_the_system);
    CASE(iso_texts);
    CASE(formats);
    CASE(durations);
    CASE(type_names);
    CASE(zones_agree_with_the_system);
    return check_end();
}
