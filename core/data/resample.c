#include "core/data/resample.h"

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/base/zone.h"
#include "core/data/bits.h"
#include "core/data/compute.h"
#include "core/data/factor.h"
#include "core/data/range.h"
#include "core/data/when.h"

#include <string.h>

enum { HOUR = 3600, DAY = 86400, MONDAY = 4 }; // 1970-01-05 was one

static const int64_t NANOS = 1000000000;

typedef struct steps {
    fr_type type;
    fr_step by;
    int64_t per;      // units per second; DATE: 0
    int64_t unit;     // a step below a second, in units; else 0
    int64_t seconds;  // a step within a day, else 0
    fr_zone *zone;
} steps;

static int steps_init(steps *s, const fr_type *type, const char *freq, fr_err *err)
{
    *s = (steps){.type = *type};
    char name[64];
    if (type->kind != FR_DATE && type->kind != FR_TIMESTAMP) {
        return fr_fail(err, FR_ETYPE, "resample: expected times, got %s", fr_type_name(type, name));
    }
    int rc = fr_step_parse("resample: ", freq, &s->by, err);
    if (rc != FR_OK) {
        return rc;
    }
    s->per = type->kind == FR_DATE ? 0 : fr_unit_per_second(type->unit);
    if (s->by.nanos >= DAY * NANOS && s->by.nanos % (DAY * NANOS) == 0) {
        s->by = (fr_step){.days = s->by.nanos / (DAY * NANOS)}; // "24h"
    }
    if (s->by.nanos != 0) {
        if (DAY * NANOS % s->by.nanos != 0) {
            return fr_fail(err, FR_EINVAL, "resample: '%s' does not divide a day", freq);
        }
        if (s->per == 0 || s->by.nanos % (NANOS / s->per) != 0) {
            return fr_fail(err, FR_EINVAL, "resample: '%s' is finer than %s", freq,
                           fr_type_name(type, name));
        }
        s->seconds = s->by.nanos / NANOS;
        s->unit = s->by.nanos % NANOS == 0 ? 0 : s->by.nanos / (NANOS / s->per);
        if (s->unit != 0 && s->per % s->unit != 0) {
            return fr_fail(err, FR_EINVAL, "resample: '%s' does not divide a second", freq);
        }
    }
    return type->kind == FR_TIMESTAMP && type->zone[0] != '\0'
               ? fr_zone_open(type->zone, &s->zone, err)
               : FR_OK;
}

static int64_t to_utc(const steps *s, int64_t local)
{
    int64_t utc[2];
    if (s->zone == NULL) {
        return local;
    }
    int n = fr_zone_from_local(s->zone, local, utc);
    // A start that the clock jumped over is where it jumped to.
    return n > 0 ? utc[0] : local - fr_zone_offset(s->zone, local - DAY);
}

static int64_t floor_day(const steps *s, int64_t day)
{
    if (s->by.months == 0) {
        bool weeks = s->by.days % 7 == 0;
        int64_t origin = weeks ? MONDAY : 0;
        return origin + fr_floor_div(day - origin, s->by.days) * s->by.days;
    }
    int64_t year;
    int month, dom;
    fr_when_civil(day, &year, &month, &dom);
    int64_t all = year * 12 + month - 1;
    all = fr_floor_div(all, s->by.months) * s->by.months;
    year = fr_floor_div(all, 12);
    return fr_when_days(year, (int)(all - year * 12) + 1, 1);
}

static int64_t start_of(const steps *s, int64_t v)
{
    if (s->per == 0) {
        return floor_day(s, v);
    }
    if (s->unit != 0) {
        return fr_floor_div(v, s->unit) * s->unit;
    }
    int64_t utc = fr_floor_div(v, s->per);
    int64_t local = s->zone != NULL ? utc + fr_zone_offset(s->zone, utc) : utc;
    if (s->seconds != 0 && s->seconds <= HOUR) {
        return (utc - (local - fr_floor_div(local, s->seconds) * s->seconds)) * s->per;
    }
    if (s->seconds != 0) {
        return to_utc(s, fr_floor_div(local, s->seconds) * s->seconds) * s->per;
    }
    return to_utc(s, floor_day(s, fr_floor_div(local, DAY)) * DAY) * s->per;
}

static int64_t days_later(const steps *s, int64_t day)
{
    if (s->by.months == 0) {
        return day + s->by.days;
    }
    int64_t year;
    int month, dom;
    fr_when_civil(day, &year, &month, &dom);
    int64_t all = year * 12 + month - 1 + s->by.months;
    year = fr_floor_div(all, 12);
    return fr_when_days(year, (int)(all - year * 12) + 1, 1);
}

// The start after this one.
static int64_t next_start(const steps *s, int64_t start)
{
    if (s->per == 0) {
        return days_later(s, floor_day(s, start));
    }
    if (s->unit != 0) {
        return start + s->unit;
    }
    int64_t utc = fr_floor_div(start, s->per);
    int64_t local = s->zone != NULL ? utc + fr_zone_offset(s->zone, utc) : utc;
    if (s->seconds != 0 && s->seconds <= HOUR) { // zones may shift by half an hour
        int64_t next = start_of(s, start + s->seconds * s->per);
        return next > start ? next : start_of(s, start + 2 * s->seconds * s->per);
    }
    if (s->seconds != 0) {
        return to_utc(s, fr_floor_div(local, s->seconds) * s->seconds + s->seconds) * s->per;
    }
    return to_utc(s, days_later(s, floor_day(s, fr_floor_div(local, DAY))) * DAY) * s->per;
}

typedef struct flooring {
    const steps *s;
    const fr_array *in;
    fr_array *out;
} flooring;

static void floor_chunk(void *ctx, size_t c)
{
    const flooring *f = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS, end = FR_MIN(at + FR_CHUNK_ROWS, f->in->length);
    bool date = f->in->type.kind == FR_DATE;
    for (int64_t i = at; i < end; i++) {
        bool there = fr_array_has(f->in, i);
        int64_t v = there ? start_of(f->s, fr_array_int(f->in, i)) : 0;
        if (date) {
            ((int32_t *)(void *)f->out->values->data)[i] = (int32_t)v;
        } else {
            ((int64_t *)(void *)f->out->values->data)[i] = v;
        }
        if (!there) { // chunks start at whole bytes
            fr_bits_clear(f->out->validity->data, i);
        }
    }
}

int fr_resample_floor(const fr_array *times, const char *freq, fr_array **out, fr_err *err)
{
    *out = NULL;
    steps s;
    fr_array *made = NULL;
    int rc = steps_init(&s, &times->type, freq, err);
    rc = rc == FR_OK ? fr_array_new(times->type, times->length, 0, &made, err) : rc;
    rc = rc == FR_OK ? fr_array_add_validity(made, err) : rc;
    if (rc == FR_OK) {
        flooring f = {&s, times, made};
        size_t chunks = fr_compute_chunks(times->length);
        rc = fr_compute_failed(err, fr_pool_run(chunks, floor_chunk, &f));
    }
    fr_zone_unref(s.zone);
    if (rc != FR_OK) {
        fr_array_unref(made);
        return rc;
    }
    fr_array_count_nulls(made);
    *out = made;
    return FR_OK;
}

// --- steps without rows ---

static int put_gap(fr_builder *times, fr_builder *rows, int64_t value, int64_t row, int64_t *n,
                   fr_err *err)
{
    int rc = fr_builder_int(times, value, err);
    rc = rc == FR_OK ? fr_builder_int(rows, row, err) : rc;
    return rc == FR_OK ? fr_compute_check_rows(++*n, err) : rc;
}

static int find_gaps(const steps *s, const uint32_t *part, const fr_array *starts,
                     fr_builder *times, fr_builder *rows, fr_err *err)
{
    int64_t n = 0;
    for (int64_t i = 1; i < starts->length; i++) {
        bool together = part == NULL || part[i] == part[i - 1];
        if (!together || !fr_array_has(starts, i) || !fr_array_has(starts, i - 1)) {
            continue;
        }
        int64_t end = fr_array_int(starts, i), at = next_start(s, fr_array_int(starts, i - 1));
        for (; at < end; at = next_start(s, at)) {
            int rc = put_gap(times, rows, at, i - 1, &n, err);
            if (rc != FR_OK) {
                return rc;
            }
        }
    }
    return FR_OK;
}

int fr_resample_gaps(const fr_array *const *by, size_t n, const fr_array *starts,
                     const char *freq, fr_array **row, fr_array **out, fr_err *err)
{
    *out = NULL;
    *row = NULL;
    steps s;
    fr_factor f = {0};
    int rc = steps_init(&s, &starts->type, freq, err);
    rc = rc == FR_OK && n > 0 ? fr_factor_init(&f, by, n, true, err) : rc;
    fr_builder *times = fr_builder_new(starts->type, 0);
    fr_builder *before = fr_builder_new(fr_type_of(FR_UINT32), 0);
    if (rc == FR_OK) {
        rc = find_gaps(&s, n > 0 ? fr_factor_ids(&f) : NULL, starts, times, before, err);
    }
    rc = rc == FR_OK ? fr_builder_finish(before, row, err) : rc;
    rc = rc == FR_OK ? fr_builder_finish(times, out, err) : rc;
    fr_builder_free(times);
    fr_builder_free(before);
    fr_factor_fini(&f);
    fr_zone_unref(s.zone);
    return rc;
}
