#include "core/data/range.h"

#include "core/base/zone.h"
#include "core/data/compute.h"
#include "core/data/when.h"

#include <stdlib.h>
#include <string.h>

static const int64_t NANOS = 1000000000;

typedef struct making {
    fr_type type;
    fr_zone *zone;
    fr_step by;
    int64_t per;      // units per second
    int64_t first;    // elapsed steps: the value; calendar steps: local seconds
    int64_t fraction; // units below the second
} making;

int fr_step_parse(const char *what, const char *text, fr_step *out, fr_err *err)
{
    char *unit;
    *out = (fr_step){0};
    long long n = strtoll(text, &unit, 10);
    bool number = unit != text;
    n = number ? n : 1; // "h" is "1h"
    unit += strspn(unit, " ");
    static const struct {
        const char *name;
        int64_t days, months;
    } calendar[] = {{"d", 1, 0}, {"D", 1, 0},  {"w", 7, 0},
                    {"W", 7, 0}, {"mo", 0, 1}, {"month", 0, 1},
                    {"q", 0, 3}, {"y", 0, 12}, {"year", 0, 12}};
    for (size_t i = 0; i < FR_COUNT(calendar); i++) {
        if (strcmp(unit, calendar[i].name) == 0 && n > 0 && n < 1000000) {
            out->days = n * calendar[i].days;
            out->months = n * calendar[i].months;
            return FR_OK;
        }
    }
    static const struct {
        const char *name;
        int64_t nanos;
    } pandas[] = {{"H", 3600 * 1000000000LL}, {"T", 60 * 1000000000LL},
                  {"S", 1000000000LL},        {"h", 3600 * 1000000000LL},
                  {"min", 60 * 1000000000LL}, {"s", 1000000000LL}};
    for (size_t i = 0; i < FR_COUNT(pandas); i++) {
        if (strcmp(unit, pandas[i].name) == 0 && n > 0 &&
            !__builtin_mul_overflow(n, pandas[i].nanos, &out->nanos)) {
            return FR_OK;
        }
    }
    if (fr_when_parse_duration(text, strlen(text), &out->nanos) && out->nanos > 0) {
        return FR_OK;
    }
    return fr_fail(
        err, FR_EINVAL,
        "%sfreq '%s' is not a step such as \"15min\", \"1h\", \"1d\", \"1w\", "
        "\"1mo\", \"1y\"",
        what, text);
}

static int parse_time(const making *m, const char *what, const char *text, int64_t *value,
                      int64_t *local, fr_err *err)
{
    fr_when w;
    if (!fr_when_parse(text, strlen(text), &w)) {
        return fr_fail(err, FR_EPARSE,
                       "date_range: %s '%s' is not a time such as 2023-01-01 06:00", what,
                       text);
    }
    if (w.has_offset && m->zone == NULL) {
        return fr_fail(err, FR_EINVAL, "date_range: %s '%s' has an offset: give tz", what,
                       text);
    }
    if (!fr_when_value(&w, m->type.unit, value)) {
        return fr_fail(err, FR_EOVERFLOW, "date_range: %s '%s' is out of range", what,
                       text);
    }
    int64_t seconds = fr_floor_div(*value, m->per);
    *local = seconds;
    if (m->zone == NULL) {
        return FR_OK;
    }
    if (w.has_offset) {
        *local = seconds + fr_zone_offset(m->zone, seconds);
        return FR_OK;
    }
    int64_t utc[2];
    int n = fr_zone_from_local(m->zone, seconds, utc);
    if (n != 1) {
        return fr_fail(err, FR_EINVAL, "date_range: %s '%s' %s in %s", what, text,
                       n == 0 ? "does not exist"
                              : "exists twice: write it with an offset",
                       m->type.zone);
    }
    *value += (utc[0] - seconds) * m->per;
    return FR_OK;
}

static int64_t add_months(int64_t local, int64_t months)
{
    int64_t day = fr_floor_div(local, 86400), clock = local - day * 86400, year;
    int month, dom;
    fr_when_civil(day, &year, &month, &dom);
    int64_t all = year * 12 + month - 1 + months;
    year = fr_floor_div(all, 12);
    month = (int)(all - year * 12) + 1;
    while (!fr_when_valid(year, month, dom)) {
        dom--;
    }
    return fr_when_days(year, month, dom) * 86400 + clock;
}

// The k-th time, or false when it is out of range.
static bool time_at(const making *m, int64_t k, int64_t *out)
{
    if (m->by.nanos != 0) {
        int64_t nanos;
        return !__builtin_mul_overflow(k, m->by.nanos, &nanos) &&
               !__builtin_add_overflow(m->first, nanos / (NANOS / m->per), out);
    }
    int64_t local = m->by.months != 0 ? add_months(m->first, k * m->by.months)
                                      : m->first + k * m->by.days * 86400;
    if (m->zone != NULL) {
        int64_t utc[2];
        int n = fr_zone_from_local(m->zone, local, utc);
        // In a gap the offset from before it holds: the clock jumps past by its width.
        local = n > 0 ? utc[0] : local - fr_zone_offset(m->zone, local - 86400);
    }
    return !__builtin_mul_overflow(local, m->per, out) &&
           !__builtin_add_overflow(*out, m->fraction, out);
}

static int make(const making *m, int64_t periods, int64_t last, fr_array **out,
                fr_err *err)
{
    fr_builder *b = fr_builder_new(m->type, periods);
    int rc = FR_OK;
    for (int64_t k = 0; rc == FR_OK && (periods < 0 || k < periods); k++) {
        int64_t value;
        if (!time_at(m, k, &value)) {
            rc = fr_fail(err, FR_EOVERFLOW, "date_range: out of range");
        } else if (periods < 0 && value > last) {
            break;
        } else {
            rc = fr_builder_int(b, value, err);
        }
        rc = rc == FR_OK ? fr_compute_check_rows(k + 1, err) : rc;
    }
    rc = rc == FR_OK ? fr_builder_finish(b, out, err) : rc;
    fr_builder_free(b);
    return rc;
}

int fr_range_times(const fr_range *spec, fr_array **out, fr_err *err)
{
    *out = NULL;
    making m = {.type = {.kind = FR_TIMESTAMP, .unit = spec->unit}};
    m.per = fr_unit_per_second(spec->unit);
    if (strlen(spec->zone) >= FR_ZONE_MAX) {
        return fr_fail(err, FR_ENOTFOUND, "date_range: no time zone '%s'", spec->zone);
    }
    memcpy(m.type.zone, spec->zone, strlen(spec->zone) + 1);
    int rc = fr_step_parse("date_range: ", spec->freq, &m.by, err);
    if (rc == FR_OK && m.by.nanos % (NANOS / m.per) != 0) {
        rc = fr_fail(err, FR_EINVAL, "date_range: freq '%s' is finer than the unit",
                     spec->freq);
    }
    if (rc == FR_OK && spec->zone[0] != 0) {
        rc = fr_zone_open(spec->zone, &m.zone, err);
    }
    int64_t value = 0, local = 0, last = 0, unused;
    rc = rc == FR_OK ? parse_time(&m, "start", spec->start, &value, &local, err) : rc;
    if (rc == FR_OK && spec->end != NULL) {
        rc = parse_time(&m, "end", spec->end, &last, &unused, err);
    }
    if (rc == FR_OK) {
        m.first = m.by.nanos != 0 ? value : local;
        m.fraction = value - fr_floor_div(value, m.per) * m.per;
        rc = make(&m, spec->end != NULL ? -1 : spec->periods, last, out, err);
    }
    fr_zone_unref(m.zone);
    return rc;
}
