#include "core/base/zone.h"

#include "core/base/buf.h"
#include "core/base/mem.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    TZIF_HEADER = 44,
    TZIF_MAX = 1 << 20,
    DAY = 86400,
    WEEK = 7,
    NAME_MAX_BYTES = 64,
};

// When a rule of the footer changes the clock: "M3.2.0/2", "J60", "59".
typedef struct change {
    char form;                  // 'M', 'J', or 'N' (zero-based day of the year)
    int month, week, day;       // day alone for J and N
    int32_t at_s;               // local seconds after midnight; may be negative or > 24 h
} change;

struct fr_zone {
    atomic_uint refs;
    size_t count;               // transitions: from at[i] on, offset[i] holds
    int64_t *at;
    int32_t *offset;
    int32_t first;              // before the first transition
    bool has_rule, has_summer;  // after the last transition
    int32_t winter, summer;
    change to_summer, to_winter;
};

static int64_t days_from_civil(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a % b < 0) != (b < 0));
}

static bool leap(int64_t y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }

static int64_t year_of(int64_t seconds)
{
    int64_t z = floor_div(seconds, DAY) + 719468;
    int64_t era = floor_div(z, 146097), doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    return era * 400 + yoe + (doy >= 306); // the era's years start in March
}

// The POSIX rule string, "CET-1CEST,M3.5.0,M10.5.0/3".
static const char *rule_name(const char *s)
{
    const char *from = s;
    if (*s == '<') {
        while (*s != '\0' && *s != '>') {
            s++;
        }
        return *s == '>' ? s + 1 : NULL;
    }
    while ((*s | 32) >= 'a' && (*s | 32) <= 'z') {
        s++;
    }
    return s - from >= 3 ? s : NULL;
}

static const char *rule_number(const char *s, int *out)
{
    int v = 0;
    const char *from = s;
    for (; *s >= '0' && *s <= '9' && s - from < 4; s++) {
        v = v * 10 + (*s - '0');
    }
    *out = v;
    return s > from ? s : NULL;
}

static const char *rule_time(const char *s, int32_t *out)
{
    int sign = *s == '-' ? -1 : 1, h, m = 0, sec = 0;
    if (*s == '-' || *s == '+') {
        s++;
    }
    s = rule_number(s, &h);
    if (s != NULL && *s == ':') {
        s = rule_number(s + 1, &m);
    }
    if (s != NULL && *s == ':') {
        s = rule_number(s + 1, &sec);
    }
    if (s != NULL) {
        *out = sign * (h * 3600 + m * 60 + sec);
    }
    return s;
}

static const char *rule_change(const char *s, change *c)
{
    if (*s == 'M') {
        c->form = 'M';
        s = rule_number(s + 1, &c->month);
        s = s != NULL && *s == '.' ? rule_number(s + 1, &c->week) : NULL;
        s = s != NULL && *s == '.' ? rule_number(s + 1, &c->day) : NULL;
        if (s == NULL || c->month < 1 || c->month > 12 || c->week < 1 || c->week > 5 ||
            c->day > 6) {
            return NULL;
        }
    } else {
        c->form = *s == 'J' ? 'J' : 'N';
        s = rule_number(s + (*s == 'J'), &c->day);
        if (s == NULL || c->day > 366) {
            return NULL;
        }
    }
    c->at_s = 2 * 3600;
    return *s == '/' ? rule_time(s + 1, &c->at_s) : s;
}

static bool parse_rule(fr_zone *z, const char *s)
{
    int32_t west;
    s = rule_name(s);
    s = s != NULL ? rule_time(s, &west) : NULL;
    if (s == NULL) {
        return false;
    }
    z->winter = -west;
    z->has_rule = true;
    if (*s == '\0') {
        return true;
    }
    s = rule_name(s);
    if (s == NULL) {
        return false;
    }
    z->summer = z->winter + 3600;
    if (*s != ',' && *s != '\0') {
        s = rule_time(s, &west);
        if (s == NULL) {
            return false;
        }
        z->summer = -west;
    }
    s = *s == ',' ? rule_change(s + 1, &z->to_summer) : NULL;
    s = s != NULL && *s == ',' ? rule_change(s + 1, &z->to_winter) : NULL;
    z->has_summer = s != NULL && *s == '\0';
    return z->has_summer;
}

// UTC second of a change in a year; `before` is the offset that held until then.
static int64_t change_at(const change *c, int64_t year, int32_t before)
{
    int64_t day;
    if (c->form == 'M') {
        day = days_from_civil(year, c->month, 1);
        int64_t weekday = (day + 4) % WEEK; // 1970-01-01 was a Thursday; Sunday is 0
        weekday = weekday < 0 ? weekday + WEEK : weekday;
        day += (c->day - weekday + WEEK) % WEEK + (c->week - 1) * WEEK;
        int64_t next = c->month == 12 ? days_from_civil(year + 1, 1, 1)
                                      : days_from_civil(year, c->month + 1, 1);
        while (day >= next) {
            day -= WEEK;
        }
    } else if (c->form == 'J') { // 1..365, 29 February never counted
        day = days_from_civil(year, 1, 1) + c->day - 1 + (leap(year) && c->day >= 60);
    } else {
        day = days_from_civil(year, 1, 1) + c->day;
    }
    return day * DAY + c->at_s - before;
}

static int32_t rule_offset(const fr_zone *z, int64_t utc_s)
{
    if (!z->has_summer) {
        return z->winter;
    }
    int64_t year = year_of(utc_s + z->winter);
    int64_t on = change_at(&z->to_summer, year, z->winter);
    int64_t off = change_at(&z->to_winter, year, z->summer);
    bool summer = on < off ? utc_s >= on && utc_s < off : utc_s >= on || utc_s < off;
    return summer ? z->summer : z->winter;
}

int32_t fr_zone_offset(const fr_zone *z, int64_t utc_s)
{
    if (z->count == 0 || utc_s < z->at[0]) {
        return z->count == 0 && z->has_rule ? rule_offset(z, utc_s) : z->first;
    }
    if (utc_s >= z->at[z->count - 1] && z->has_rule) {
        return rule_offset(z, utc_s);
    }
    size_t low = 0, high = z->count; // at[low] <= utc_s < at[high]
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (z->at[middle] <= utc_s) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return z->offset[low];
}

int fr_zone_from_local(const fr_zone *z, int64_t local_s, int64_t utc_s[2])
{
    // Offsets a day before and after cover any single change near local_s.
    int32_t candidates[2] = {fr_zone_offset(z, local_s - DAY),
                             fr_zone_offset(z, local_s + DAY)};
    int n = 0;
    for (int i = 0; i < 2; i++) {
        int64_t t = local_s - candidates[i];
        if (fr_zone_offset(z, t) == candidates[i] && (n == 0 || utc_s[0] != t)) {
            utc_s[n++] = t;
        }
    }
    if (n == 2 && utc_s[0] > utc_s[1]) {
        int64_t t = utc_s[0];
        utc_s[0] = utc_s[1];
        utc_s[1] = t;
    }
    return n;
}

static uint64_t big_endian(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

typedef struct tzif {
    size_t isut, isstd, leaps, times, types, chars;
} tzif;

static bool read_header(fr_reader *r, tzif *h, int *version)
{
    const uint8_t *p = fr_read_bytes(r, TZIF_HEADER);
    if (p == NULL || memcmp(p, "TZif", 4) != 0) {
        return false;
    }
    *version = p[4] == 0 ? 1 : p[4] - '0';
    size_t *fields[] = {&h->isut, &h->isstd, &h->leaps, &h->times, &h->types, &h->chars};
    for (size_t i = 0; i < FR_COUNT(fields); i++) {
        *fields[i] = (size_t)big_endian(p + 20 + 4 * i, 4);
        if (*fields[i] > TZIF_MAX) {
            return false;
        }
    }
    return h->types > 0;
}

static bool read_body(fr_zone *z, fr_reader *r, const tzif *h, size_t width)
{
    const uint8_t *times = fr_read_bytes(r, h->times * width);
    const uint8_t *index = fr_read_bytes(r, h->times);
    const uint8_t *types = fr_read_bytes(r, h->types * 6);
    (void)fr_read_bytes(r, h->chars + h->leaps * (width + 4) + h->isstd + h->isut);
    if (r->failed || times == NULL || index == NULL || types == NULL) {
        return false;
    }
    z->count = h->times;
    z->at = fr_alloc(FR_MAX(h->times, 1) * sizeof *z->at);
    z->offset = fr_alloc(FR_MAX(h->times, 1) * sizeof *z->offset);
    z->first = (int32_t)big_endian(types, 4);
    for (size_t i = 0; i < h->times; i++) {
        uint64_t t = big_endian(times + i * width, width);
        z->at[i] = width == 8 ? (int64_t)t : (int64_t)(int32_t)t;
        if (index[i] >= h->types || (i > 0 && z->at[i] <= z->at[i - 1])) {
            return false;
        }
        z->offset[i] = (int32_t)big_endian(types + (size_t)index[i] * 6, 4);
    }
    return true;
}

static bool read_footer(fr_zone *z, fr_reader *r)
{
    char rule[128];
    size_t n = (size_t)(r->end - r->at);
    if (n < 2 || n - 1 > sizeof rule || r->at[0] != '\n' || r->at[n - 1] != '\n') {
        return n == 0;
    }
    memcpy(rule, r->at + 1, n - 2);
    rule[n - 2] = '\0';
    return rule[0] == '\0' || parse_rule(z, rule);
}

static bool parse_tzif(fr_zone *z, const uint8_t *bytes, size_t n)
{
    fr_reader r = fr_reader_of(bytes, n);
    tzif h;
    int version;
    if (!read_header(&r, &h, &version)) {
        return false;
    }
    if (version == 1) {
        return read_body(z, &r, &h, 4);
    }
    // The first body repeats the second one in 32 bits.
    (void)fr_read_bytes(&r, h.times * 5 + h.types * 6 + h.chars + h.leaps * 8 + h.isstd +
                                h.isut);
    return read_header(&r, &h, &version) && read_body(z, &r, &h, 8) && read_footer(z, &r);
}

static bool fixed_offset(const char *name, int32_t *out)
{
    if (strcmp(name, "UTC") == 0 || strcmp(name, "Z") == 0 || strcmp(name, "GMT") == 0) {
        *out = 0;
        return true;
    }
    if (strlen(name) != 6 || (name[0] != '+' && name[0] != '-') || name[3] != ':') {
        return false;
    }
    for (int i = 1; i < 6; i++) {
        if (i != 3 && (name[i] < '0' || name[i] > '9')) {
            return false;
        }
    }
    int h = (name[1] - '0') * 10 + name[2] - '0', m = (name[4] - '0') * 10 + name[5] - '0';
    *out = (name[0] == '-' ? -1 : 1) * (h * 3600 + m * 60);
    return h < 24 && m < 60;
}

static bool safe_name(const char *name)
{
    if (name[0] == '\0' || name[0] == '/' || strlen(name) > NAME_MAX_BYTES ||
        strstr(name, "..") != NULL) {
        return false;
    }
    for (const char *c = name; *c != '\0'; c++) {
        bool letter = (*c | 32) >= 'a' && (*c | 32) <= 'z';
        if (!letter && (*c < '0' || *c > '9') && strchr("/_+-", *c) == NULL) {
            return false;
        }
    }
    return true;
}

static int read_zone(fr_zone *z, const char *name, fr_err *err)
{
    char path[160];
    (void)snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    FILE *f = safe_name(name) ? fopen(path, "rbe") : NULL;
    if (f == NULL) {
        return fr_fail(err, FR_ENOTFOUND,
                       "unknown time zone \"%s\": expected UTC, a name like Europe/Paris "
                       "(from the tzdata package) or an offset like +05:30",
                       name);
    }
    uint8_t *bytes = fr_alloc(TZIF_MAX);
    size_t n = fread(bytes, 1, TZIF_MAX, f);
    (void)fclose(f);
    bool good = n < TZIF_MAX && parse_tzif(z, bytes, n);
    fr_free(bytes);
    return good ? FR_OK : fr_fail(err, FR_ECORRUPT, "damaged time zone file %s", path);
}

int fr_zone_open(const char *name, fr_zone **out, fr_err *err)
{
    *out = NULL;
    fr_zone *z = fr_zalloc(sizeof *z);
    atomic_init(&z->refs, 1);
    int rc = FR_OK;
    if (fixed_offset(name, &z->winter)) {
        z->has_rule = true;
    } else {
        rc = read_zone(z, name, err);
    }
    if (rc != FR_OK) {
        fr_zone_unref(z);
        return rc;
    }
    *out = z;
    return FR_OK;
}

fr_zone *fr_zone_ref(fr_zone *z)
{
    atomic_fetch_add_explicit(&z->refs, 1, memory_order_relaxed);
    return z;
}

void fr_zone_unref(fr_zone *z)
{
    if (z != NULL && atomic_fetch_sub_explicit(&z->refs, 1, memory_order_acq_rel) == 1) {
        fr_free(z->at);
        fr_free(z->offset);
        fr_free(z);
    }
}
