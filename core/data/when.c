#include "core/data/when.h"

#include <stdio.h>
#include <string.h>

enum { DAY = 86400, YEAR_MAX = 9999 };

static const int64_t NANOS = 1000000000;

int64_t fr_when_days(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

void fr_when_civil(int64_t days, int64_t *year, int *month, int *day)
{
    int64_t z = days + 719468;
    int64_t era = fr_floor_div(z, 146097), doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = era * 400 + yoe + (*month <= 2);
}

static int month_length(int64_t y, int m)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return lengths[m - 1] + (m == 2 && leap);
}

bool fr_when_valid(int64_t y, int m, int d)
{
    return m >= 1 && m <= 12 && d >= 1 && d <= month_length(y, m);
}

int64_t fr_unit_per_second(fr_unit unit)
{
    static const int64_t per[] = {1, 1000, 1000000, 1000000000};
    return per[unit];
}

// Reading. A cursor over the text; every read says whether it matched.
typedef struct cursor {
    const char *at, *end;
} cursor;

static inline bool is_digit(char c) { return (unsigned char)(c - '0') < 10; }

static bool digits_of(cursor *c, int least, int most, int *out)
{
    int v = 0, n = 0;
    while (n < most && c->at < c->end && is_digit(*c->at)) {
        v = v * 10 + (*c->at++ - '0');
        n++;
    }
    *out = v;
    return n >= least;
}

static bool take(cursor *c, char wanted)
{
    if (c->at < c->end && *c->at == wanted) {
        c->at++;
        return true;
    }
    return false;
}

static bool fraction_of(cursor *c, int32_t *nanos, int8_t *digits)
{
    int32_t v = 0;
    int n = 0;
    for (; c->at < c->end && is_digit(*c->at); c->at++, n++) {
        if (n < 9) {
            v = v * 10 + (*c->at - '0');
        }
    }
    for (int i = n; i < 9; i++) {
        v *= 10;
    }
    *nanos = v;
    *digits = (int8_t)(n > 9 ? 9 : n);
    return n > 0;
}

static bool offset_of(cursor *c, int32_t *offset_s)
{
    *offset_s = 0;
    if (take(c, 'Z') || take(c, 'z')) {
        return true;
    }
    int sign = take(c, '-') ? -1 : take(c, '+') ? 1 : 0, h, m = 0;
    if (sign == 0 || !digits_of(c, 2, 2, &h)) {
        return false;
    }
    bool colon = take(c, ':');
    if (colon || (c->at < c->end && is_digit(*c->at))) {
        if (!digits_of(c, 2, 2, &m)) {
            return false;
        }
    }
    *offset_s = sign * (h * 3600 + m * 60);
    return h < 24 && m < 60;
}

static bool clock_of(cursor *c, int32_t *seconds, int32_t *nanos, int8_t *digits)
{
    int h, m, s = 0;
    *nanos = 0;
    *digits = 0;
    if (!digits_of(c, 2, 2, &h) || !take(c, ':') || !digits_of(c, 2, 2, &m)) {
        return false;
    }
    if (take(c, ':')) {
        if (!digits_of(c, 2, 2, &s)) {
            return false;
        }
        if ((take(c, '.') || take(c, ',')) && !fraction_of(c, nanos, digits)) {
            return false;
        }
    }
    *seconds = h * 3600 + m * 60 + s;
    return h < 24 && m < 60 && s < 60;
}

bool fr_when_parse(const char *s, size_t n, fr_when *out)
{
    cursor c = {s, s + n};
    int y, m, d;
    fr_when w = {0};
    if (!digits_of(&c, 4, 4, &y) || !take(&c, '-') || !digits_of(&c, 2, 2, &m) ||
        !take(&c, '-') || !digits_of(&c, 2, 2, &d) || !fr_when_valid(y, m, d)) {
        return false;
    }
    w.seconds = fr_when_days(y, m, d) * DAY;
    if (c.at < c.end) {
        int32_t clock;
        if (!(take(&c, 'T') || take(&c, ' ') || take(&c, 't')) ||
            !clock_of(&c, &clock, &w.nanos, &w.digits)) {
            return false;
        }
        w.seconds += clock;
        w.has_time = true;
        if (c.at < c.end) {
            (void)take(&c, ' ');
            w.has_offset = offset_of(&c, &w.offset_s);
            if (!w.has_offset) {
                return false;
            }
        }
    }
    *out = w;
    return c.at == c.end;
}

bool fr_when_parse_time(const char *s, size_t n, int64_t *out)
{
    cursor c = {s, s + n};
    int32_t seconds, nanos;
    int8_t digits;
    if (!clock_of(&c, &seconds, &nanos, &digits) || c.at != c.end) {
        return false;
    }
    *out = (int64_t)seconds * NANOS + nanos;
    return true;
}

// Formats.
typedef struct parts {
    int year, month, day, yearday, hour, minute, second;
    int afternoon;           // -1 none, 0 AM, 1 PM
    bool twelve, epoch;
    int64_t epoch_s;
    fr_when *w;
} parts;

static const char *const month_names[] = {"january", "february", "march",     "april",
                                          "may",     "june",     "july",      "august",
                                          "september", "october", "november", "december"};

static bool month_name(cursor *c, int *month)
{
    size_t left = (size_t)(c->end - c->at);
    for (int m = 0; m < 12; m++) {
        size_t full = strlen(month_names[m]), same = 0;
        while (same < left && same < full && (c->at[same] | 32) == month_names[m][same]) {
            same++;
        }
        if (same >= 3) {
            c->at += same == full ? full : 3;
            *month = m + 1;
            return true;
        }
    }
    return false;
}

static bool half_day(cursor *c, int *afternoon)
{
    if (c->end - c->at < 2 || (c->at[1] | 32) != 'm') {
        return false;
    }
    *afternoon = (c->at[0] | 32) == 'p';
    bool known = *afternoon || (c->at[0] | 32) == 'a';
    c->at += 2;
    return known;
}

static bool epoch_of(cursor *c, parts *p)
{
    bool minus = take(c, '-');
    int64_t v = 0;
    int n = 0;
    for (; c->at < c->end && is_digit(*c->at) && n < 12; n++) {
        v = v * 10 + (*c->at++ - '0');
    }
    p->epoch = true;
    p->epoch_s = minus ? -v : v;
    return n > 0;
}

static const char *compound(char directive)
{
    switch (directive) {
    case 'F':
        return "%Y-%m-%d";
    case 'T':
        return "%H:%M:%S";
    case 'D':
        return "%m/%d/%y";
    case 'R':
        return "%H:%M";
    default:
        return NULL;
    }
}

static bool scan_directive(char d, cursor *c, parts *p)
{
    switch (d) {
    case 'Y':
        return digits_of(c, 1, 4, &p->year);
    case 'y':
        if (!digits_of(c, 1, 2, &p->year)) {
            return false;
        }
        p->year += p->year < 69 ? 2000 : 1900;
        return true;
    case 'm':
        return digits_of(c, 1, 2, &p->month);
    case 'd':
    case 'e':
        (void)take(c, ' ');
        return digits_of(c, 1, 2, &p->day);
    case 'j':
        return digits_of(c, 1, 3, &p->yearday) && p->yearday > 0;
    case 'H':
        return digits_of(c, 1, 2, &p->hour);
    case 'I':
        p->twelve = true;
        return digits_of(c, 1, 2, &p->hour);
    case 'M':
        return digits_of(c, 1, 2, &p->minute);
    case 'S':
        return digits_of(c, 1, 2, &p->second);
    case 'f':
        return fraction_of(c, &p->w->nanos, &p->w->digits);
    case 'p':
        return half_day(c, &p->afternoon);
    case 'b':
    case 'B':
        return month_name(c, &p->month);
    case 'z':
        p->w->has_offset = offset_of(c, &p->w->offset_s);
        return p->w->has_offset;
    case 's':
        return epoch_of(c, p);
    case '%':
        return take(c, '%');
    default:
        return false;
    }
}

static bool scan_format(const char *format, cursor *c, parts *p)
{
    for (const char *f = format; *f != '\0'; f++) {
        if (*f == ' ') {
            while (c->at < c->end && (*c->at == ' ' || *c->at == '\t')) {
                c->at++;
            }
        } else if (*f != '%') {
            if (!take(c, *f)) {
                return false;
            }
        } else {
            f++;
            const char *inner = compound(*f);
            if (inner != NULL ? !scan_format(inner, c, p) : !scan_directive(*f, c, p)) {
                return false;
            }
        }
    }
    return true;
}

static bool assemble(parts *p, fr_when *w)
{
    if (p->epoch) {
        w->seconds = p->epoch_s;
        w->has_time = true;
        return true;
    }
    if (p->twelve || p->afternoon >= 0) {
        if (p->hour < 1 || p->hour > 12) {
            return false;
        }
        p->hour = p->hour % 12 + (p->afternoon == 1 ? 12 : 0);
    }
    if (p->hour > 23 || p->minute > 59 || p->second > 59) {
        return false;
    }
    int64_t days;
    if (p->yearday > 0) {
        days = fr_when_days(p->year, 1, 1) + p->yearday - 1;
        if (days >= fr_when_days(p->year + 1, 1, 1)) {
            return false;
        }
    } else {
        if (!fr_when_valid(p->year, p->month, p->day)) {
            return false;
        }
        days = fr_when_days(p->year, p->month, p->day);
    }
    w->seconds = days * DAY + p->hour * 3600 + p->minute * 60 + p->second;
    return true;
}

bool fr_when_scan(const char *format, const char *s, size_t n, fr_when *out)
{
    fr_when w = {.has_time = true};
    parts p = {.year = 1970, .month = 1, .day = 1, .afternoon = -1, .w = &w};
    cursor c = {s, s + n};
    if (!scan_format(format, &c, &p) || c.at != c.end || !assemble(&p, &w)) {
        return false;
    }
    *out = w;
    return true;
}

int fr_when_check(const char *format, bool *has_time, bool *has_offset, fr_err *err)
{
    *has_time = *has_offset = false;
    bool any = false;
    for (const char *f = format; *f != '\0'; f++) {
        if (*f != '%') {
            continue;
        }
        f++;
        if (*f == '\0' || strchr("YymdeHIMSfpbBjzsFTDR%", *f) == NULL) {
            return fr_fail(err, FR_EINVAL,
                           "time format \"%s\": unknown directive %%%.1s; there are %%Y %%y "
                           "%%m %%d %%e %%j %%b %%B %%H %%I %%p %%M %%S %%f %%z %%s %%F %%T "
                           "%%D %%R",
                           format, f);
        }
        any = any || *f != '%';
        *has_time = *has_time || strchr("HITRs", *f) != NULL;
        *has_offset = *has_offset || strchr("zs", *f) != NULL;
    }
    return any ? FR_OK
               : fr_fail(err, FR_EINVAL,
                         "time format \"%s\" has no directive: expected something like "
                         "\"%%d/%%m/%%Y %%H:%%M\"",
                         format);
}

bool fr_when_value(const fr_when *w, fr_unit unit, int64_t *out)
{
    int64_t per = fr_unit_per_second(unit), v;
    if (__builtin_mul_overflow(w->seconds - w->offset_s, per, &v) ||
        __builtin_add_overflow(v, w->nanos / (NANOS / per), &v)) {
        return false;
    }
    *out = v;
    return true;
}

// Writing.
static char *put_two(char *at, int v)
{
    *at++ = (char)('0' + v / 10 % 10);
    *at++ = (char)('0' + v % 10);
    return at;
}

static char *put_date(char *at, int64_t days)
{
    int64_t y;
    int m, d;
    fr_when_civil(days, &y, &m, &d);
    if (y >= 0 && y <= YEAR_MAX) {
        at = put_two(at, (int)(y / 100));
        at = put_two(at, (int)(y % 100));
    } else {
        at += snprintf(at, 16, "%lld", (long long)y);
    }
    *at++ = '-';
    at = put_two(at, m);
    *at++ = '-';
    return put_two(at, d);
}

static char *put_clock(char *at, int32_t seconds, int32_t nanos)
{
    at = put_two(at, seconds / 3600);
    *at++ = ':';
    at = put_two(at, seconds / 60 % 60);
    *at++ = ':';
    at = put_two(at, seconds % 60);
    if (nanos != 0) {
        int digits = nanos % 1000000 == 0 ? 3 : nanos % 1000 == 0 ? 6 : 9;
        int32_t v = digits == 3 ? nanos / 1000000 : digits == 6 ? nanos / 1000 : nanos;
        *at++ = '.';
        for (int i = digits - 1; i >= 0; i--) {
            at[i] = (char)('0' + v % 10);
            v /= 10;
        }
        at += digits;
    }
    return at;
}

size_t fr_when_print_date(int64_t days, char out[FR_WHEN_MAX])
{
    char *end = put_date(out, days);
    *end = '\0';
    return (size_t)(end - out);
}

size_t fr_when_print(int64_t value, fr_unit unit, bool zoned, int32_t offset_s,
                     char out[FR_WHEN_MAX])
{
    int64_t per = fr_unit_per_second(unit);
    int64_t whole = fr_floor_div(value, per);
    int32_t nanos = (int32_t)((value - whole * per) * (NANOS / per));
    int64_t local = whole > INT64_MAX - DAY ? whole : whole + offset_s;
    int64_t days = fr_floor_div(local, DAY);
    char *at = put_date(out, days);
    *at++ = ' ';
    at = put_clock(at, (int32_t)(local - days * DAY), nanos);
    if (zoned && offset_s == 0) {
        *at++ = 'Z';
    } else if (zoned) {
        int32_t minutes = (offset_s < 0 ? -offset_s : offset_s) / 60;
        *at++ = offset_s < 0 ? '-' : '+';
        at = put_two(at, minutes / 60);
        *at++ = ':';
        at = put_two(at, minutes % 60);
    }
    *at = '\0';
    return (size_t)(at - out);
}

size_t fr_when_print_time(int64_t nanos, char out[FR_WHEN_MAX])
{
    char *at = put_clock(out, (int32_t)(nanos / NANOS), (int32_t)(nanos % NANOS));
    *at = '\0';
    return (size_t)(at - out);
}

static const struct {
    const char *name;
    int64_t nanos;
} duration_units[] = {
    {"ns", 1},          {"us", 1000},        {"ms", 1000000},
    {"s", 1000000000},  {"min", 60000000000}, {"m", 60000000000},
    {"h", 3600000000000}, {"d", 86400000000000}, {"w", 604800000000000},
};

size_t fr_when_print_duration(int64_t value, fr_unit unit, char out[FR_WHEN_MAX])
{
    static const struct {
        const char *name;
        int64_t seconds;
    } parts_of[] = {{"d", DAY}, {"h", 3600}, {"m", 60}};
    int64_t per = fr_unit_per_second(unit);
    uint64_t v = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    uint64_t whole = v / (uint64_t)per;
    int32_t nanos = (int32_t)(v % (uint64_t)per) * (int32_t)(NANOS / per);
    size_t n = 0;
    if (value < 0) {
        out[n++] = '-';
    }
    size_t start = n;
    for (size_t i = 0; i < FR_COUNT(parts_of); i++) {
        uint64_t s = (uint64_t)parts_of[i].seconds;
        if (whole >= s) {
            n += (size_t)snprintf(out + n, FR_WHEN_MAX - n, "%llu%s",
                                  (unsigned long long)(whole / s), parts_of[i].name);
            whole %= s;
        }
    }
    if (whole != 0 || (nanos == 0 && n == start)) {
        n += (size_t)snprintf(out + n, FR_WHEN_MAX - n, "%llus", (unsigned long long)whole);
    }
    static const char *const small[] = {"ms", "us", "ns"};
    for (int32_t i = 0, size = 1000000; i < 3; i++, size /= 1000) {
        if (nanos / size % 1000 != 0) {
            n += (size_t)snprintf(out + n, FR_WHEN_MAX - n, "%d%s", nanos / size % 1000,
                                  small[i]);
        }
    }
    out[n] = '\0';
    return n;
}

static int64_t unit_of(cursor *c)
{
    const char *from = c->at;
    while (c->at < c->end && (*c->at | 32) >= 'a' && (*c->at | 32) <= 'z') {
        c->at++;
    }
    size_t n = (size_t)(c->at - from);
    for (size_t i = 0; i < FR_COUNT(duration_units); i++) {
        if (strlen(duration_units[i].name) == n &&
            memcmp(duration_units[i].name, from, n) == 0) {
            return duration_units[i].nanos;
        }
    }
    return 0;
}

bool fr_when_parse_duration(const char *s, size_t n, int64_t *nanos)
{
    cursor c = {s, s + n};
    bool minus = take(&c, '-');
    int64_t total = 0;
    if (c.at == c.end) {
        return false;
    }
    while (c.at < c.end) {
        int64_t v = 0, part;
        const char *from = c.at;
        for (; c.at < c.end && is_digit(*c.at); c.at++) {
            if (__builtin_mul_overflow(v, 10, &v) ||
                __builtin_add_overflow(v, *c.at - '0', &v)) {
                return false;
            }
        }
        int64_t unit = c.at > from ? unit_of(&c) : 0;
        if (unit == 0 || __builtin_mul_overflow(v, unit, &part) ||
            __builtin_add_overflow(total, part, &total)) {
            return false;
        }
    }
    *nanos = minus ? -total : total;
    return true;
}
