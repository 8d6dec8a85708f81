#include "core/ml/spacing.h"

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/zone.h"
#include "core/data/show.h"
#include "core/data/when.h"

#include <stdio.h>
#include <string.h>

enum { DAY_S = 86400 };

static int64_t per_second(const fr_type *t)
{
    return t->kind == FR_DATE ? 1 : fr_unit_per_second(t->unit);
}

// Local clock of a UTC value, in the unit; the same when there is no zone.
static int64_t to_local(const fr_zone *zone, int64_t unit, int64_t v)
{
    return zone == NULL ? v
                        : v + (int64_t)fr_zone_offset(zone, fr_floor_div(v, unit)) * unit;
}

static int64_t from_local(const fr_zone *zone, int64_t unit, int64_t v)
{
    int64_t utc[2], seconds = fr_floor_div(v, unit), rest = v - seconds * unit;
    if (zone == NULL) {
        return v;
    }
    // A local time that the clock jumped over is taken an hour on, by the offset before
    // it.
    if (fr_zone_from_local(zone, seconds, utc) == 0) {
        utc[0] = seconds - fr_zone_offset(zone, seconds - DAY_S);
    }
    return utc[0] * unit + rest;
}

// --- months ---

typedef struct civil {
    int64_t month; // since year 0
    int day, last; // of the month
    int64_t time;  // within the day, in the unit
} civil;

static civil civil_of(const fr_type *t, int64_t v)
{
    int64_t unit = t->kind == FR_DATE ? 1 : per_second(t) * DAY_S, year;
    int64_t days = fr_floor_div(v, unit);
    int month, day;
    fr_when_civil(days, &year, &month, &day);
    int64_t next =
        month == 12 ? fr_when_days(year + 1, 1, 1) : fr_when_days(year, month + 1, 1);
    int last = (int)(next - fr_when_days(year, month, 1));
    return (civil){year * 12 + month - 1, day, last, v - days * unit};
}

static int64_t add_months(const fr_spacing *s, int64_t v, int64_t months)
{
    civil c = civil_of(&s->type, v);
    int64_t month = c.month + months, year = fr_floor_div(month, 12);
    int64_t first = fr_when_days(year, (int)(month - year * 12) + 1, 1);
    int64_t after =
        fr_when_days(fr_floor_div(month + 1, 12),
                     (int)(month + 1 - fr_floor_div(month + 1, 12) * 12) + 1, 1);
    int64_t day = s->month_end ? after - first : c.day;
    int64_t unit = s->type.kind == FR_DATE ? 1 : per_second(&s->type) * DAY_S;
    return (first + day - 1) * unit + c.time;
}

static bool find_months(const int64_t *t, int64_t n, fr_spacing *s, int64_t *at)
{
    civil first = civil_of(&s->type, t[0]), before = first;
    bool same = true, ends = true;
    int64_t least = INT64_MAX;
    for (int64_t i = 0; i < n; i++) {
        civil c = civil_of(&s->type, t[i]);
        same = same && c.day == first.day && c.time == first.time;
        ends = ends && c.day == c.last && c.time == first.time;
        at[i] = c.month - first.month;
        if (i > 0 && c.month - before.month < least) {
            least = c.month - before.month;
        }
        before = c;
    }
    if ((!same && !ends) || least < 1 || least > INT32_MAX) {
        return false;
    }
    for (int64_t i = 0; i < n; i++) {
        if (at[i] % least != 0) {
            return false;
        }
        at[i] /= least;
    }
    s->months = (int32_t)least;
    s->month_end = !same || (ends && first.day < 31 && first.day > 27);
    return true;
}

// --- ticks ---

// The first row whose distance is no multiple of the smallest one; n when there is none.
static int64_t find_ticks(const int64_t *t, int64_t n, fr_spacing *s, int64_t *at)
{
    int64_t least = t[1] - t[0];
    for (int64_t i = 2; i < n; i++) {
        least = t[i] - t[i - 1] < least ? t[i] - t[i - 1] : least;
    }
    s->step = least;
    for (int64_t i = 0; i < n; i++) {
        if ((t[i] - t[0]) % least != 0) {
            return i;
        }
        at[i] = (t[i] - t[0]) / least;
    }
    return n;
}

static const char *print(const fr_array *time, int64_t i, fr_buf *b)
{
    fr_show show;
    fr_buf_clear(b);
    if (fr_show_init(&show, time, NULL) == FR_OK) {
        fr_show_cell(&show, i, b);
        fr_show_fini(&show);
    }
    return fr_buf_text(b);
}

static int check_order(const fr_array *time, const int64_t *t, fr_err *err)
{
    fr_buf b;
    fr_buf_init(&b, 200);
    int rc = FR_OK;
    for (int64_t i = 0; i < time->length && rc == FR_OK; i++) {
        if (!fr_array_has(time, i)) {
            rc = fr_fail(err, FR_EINVAL, "row %lld of the time column is null",
                         (long long)i + 1);
        } else if (i > 0 && t[i] == t[i - 1]) {
            rc = fr_fail(err, FR_EINVAL,
                         "rows %lld and %lld have the same time %s: aggregate them first",
                         (long long)i, (long long)i + 1, print(time, i, &b));
        } else if (i > 0 && t[i] < t[i - 1]) {
            rc = fr_fail(err, FR_EINVAL,
                         "row %lld (%s) is before the row above it: sort by time first",
                         (long long)i + 1, print(time, i, &b));
        }
    }
    fr_buf_fini(&b);
    return rc;
}

static int irregular(const fr_array *time, const fr_spacing *s, int64_t row, fr_err *err)
{
    char step[64];
    fr_buf b;
    fr_buf_init(&b, 200);
    fr_spacing_text(s, step);
    int rc =
        fr_fail(err, FR_EINVAL,
                "the times are not regular: the smallest step is %s, but row %lld (%s) "
                "does not stand on it; bring them to a grid first",
                step, (long long)row + 1, print(time, row, &b));
    fr_buf_fini(&b);
    return rc;
}

static int find(const fr_array *time, int64_t *t, const fr_zone *zone, fr_spacing *s,
                int64_t *at, fr_err *err)
{
    int64_t n = time->length, unit = per_second(&s->type);
    int64_t month = 28 * (s->type.kind == FR_DATE ? 1 : DAY_S * unit);
    int64_t bad = find_ticks(t, n, s, at);
    int64_t step = s->step;
    if (bad == n && step < month) {
        return FR_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        t[i] = to_local(zone, unit, t[i]);
    }
    s->local = zone != NULL;
    if (step >= month - DAY_S * (zone != NULL) * unit && find_months(t, n, s, at)) {
        s->step = 0;
        return FR_OK;
    }
    bool rises = true; // an hour may come twice on the clock
    for (int64_t i = 1; i < n; i++) {
        rises = rises && t[i] > t[i - 1];
    }
    if (zone != NULL && rises && find_ticks(t, n, s, at) == n) {
        return FR_OK;
    }
    s->local = false;
    for (int64_t i = 0; i < n; i++) {
        t[i] = fr_array_int(time, i);
    }
    bad = find_ticks(t, n, s, at);
    return bad == n ? FR_OK : irregular(time, s, bad, err);
}

int fr_spacing_find(const fr_array *time, fr_spacing *out, int64_t *at, int64_t *rows,
                    fr_err *err)
{
    int64_t n = time->length;
    char type[64];
    *out = (fr_spacing){.type = time->type};
    if (time->type.kind != FR_DATE && time->type.kind != FR_TIMESTAMP) {
        return fr_fail(err, FR_ETYPE, "a time column is a date or a timestamp, not %s",
                       fr_type_name(&time->type, type));
    }
    if (n < 2) {
        return fr_fail(err, FR_EINVAL, "%lld times are too few to see their step",
                       (long long)n);
    }
    int64_t *t = fr_try_alloc((size_t)n * sizeof *t);
    if (t == NULL) {
        return fr_fail(err, FR_ENOMEM, "no memory for %lld times", (long long)n);
    }
    for (int64_t i = 0; i < n; i++) {
        t[i] = fr_array_has(time, i) ? fr_array_int(time, i) : 0;
    }
    out->first = t[0];
    fr_zone *zone = NULL;
    int rc = check_order(time, t, err);
    if (rc == FR_OK && time->type.zone[0] != 0 && strcmp(time->type.zone, "UTC") != 0) {
        rc = fr_zone_open(time->type.zone, &zone, err);
    }
    rc = rc == FR_OK ? find(time, t, zone, out, at, err) : rc;
    if (rc == FR_OK) {
        *rows = at[n - 1] + 1;
        if (*rows > 8 * n + 1000) {
            char step[64];
            fr_spacing_text(out, step);
            rc = fr_fail(err, FR_EINVAL,
                         "of %lld steps of %s only %lld have a row: too many gaps",
                         (long long)*rows, step, (long long)n);
        }
    }
    fr_zone_unref(zone);
    fr_free(t);
    return rc;
}

int fr_spacing_times(const fr_spacing *s, int64_t from, int64_t n, fr_array **out,
                     fr_err *err)
{
    *out = NULL;
    fr_zone *zone = NULL;
    int rc = s->local ? fr_zone_open(s->type.zone, &zone, err) : FR_OK;
    rc = rc == FR_OK ? fr_array_new(s->type, n, 0, out, err) : rc;
    int64_t unit = per_second(&s->type), first = to_local(zone, unit, s->first);
    for (int64_t i = 0; i < n && rc == FR_OK; i++) {
        int64_t v = s->months > 0 ? add_months(s, first, (from + i) * s->months)
                                  : first + (from + i) * s->step;
        v = from_local(zone, unit, v);
        if (s->type.kind == FR_DATE) {
            ((int32_t *)(void *)(*out)->values->data)[i] = (int32_t)v;
        } else {
            ((int64_t *)(void *)(*out)->values->data)[i] = v;
        }
    }
    fr_zone_unref(zone);
    return rc;
}

void fr_spacing_text(const fr_spacing *s, char out[64])
{
    if (s->months > 0) {
        (void)snprintf(out, 64, "%d month%s", (int)s->months, s->months == 1 ? "" : "s");
    } else if (s->type.kind == FR_DATE) {
        (void)snprintf(out, 64, "%lldd", (long long)s->step);
    } else {
        char text[FR_WHEN_MAX];
        (void)fr_when_print_duration(s->step, s->type.unit, text);
        (void)snprintf(out, 64, "%s", text);
    }
}
