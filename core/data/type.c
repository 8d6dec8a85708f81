#include "core/data/type.h"

#include "core/base/nearest.h"

#include <string.h>

static const struct {
    const char *name;
    fr_kind kind;
} names[] = {
    {"bool", FR_BOOL},       {"boolean", FR_BOOL},     {"int64", FR_INT64},
    {"int", FR_INT64},       {"integer", FR_INT64},    {"float64", FR_FLOAT64},
    {"float", FR_FLOAT64},   {"double", FR_FLOAT64},   {"number", FR_FLOAT64},
    {"utf8", FR_UTF8},       {"text", FR_UTF8},        {"string", FR_UTF8},
    {"category", FR_CATEGORY}, {"date", FR_DATE},      {"timestamp", FR_TIMESTAMP},
    {"int8", FR_INT8},       {"int16", FR_INT16},      {"int32", FR_INT32},
    {"uint8", FR_UINT8},     {"uint16", FR_UINT16},    {"uint32", FR_UINT32},
    {"uint64", FR_UINT64},   {"float32", FR_FLOAT32},  {"time", FR_TIME},
    {"duration", FR_DURATION},
};

static int unknown(const char *text, fr_err *err)
{
    const char *list[FR_COUNT(names)];
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        list[i] = names[i].name;
    }
    const char *near = fr_nearest(text, list, FR_COUNT(names));
    return fr_fail(err, FR_EINVAL,
                   "unknown type \"%s\"%s%s%s; types are int64, float64, bool, utf8, "
                   "category, date, timestamp[us], time, duration[us]",
                   text, near != NULL ? ": did you mean \"" : "", near != NULL ? near : "",
                   near != NULL ? "\"?" : "");
}

static bool unit_named(const char *s, size_t n, fr_unit *out)
{
    static const char *const units[] = {"s", "ms", "us", "ns"};
    for (size_t i = 0; i < FR_COUNT(units); i++) {
        if (strlen(units[i]) == n && memcmp(units[i], s, n) == 0) {
            *out = (fr_unit)i;
            return true;
        }
    }
    return false;
}

int fr_type_parse(const char *text, fr_type *out, fr_err *err)
{
    const char *bracket = strchr(text, '[');
    size_t n = bracket != NULL ? (size_t)(bracket - text) : strlen(text);
    fr_type t = {.unit = FR_MICRO};
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        if (strlen(names[i].name) == n && memcmp(names[i].name, text, n) == 0) {
            t.kind = names[i].kind;
        }
    }
    bool timed = t.kind == FR_TIMESTAMP || t.kind == FR_DURATION;
    if ((int)t.kind == 0 || (bracket != NULL && !timed)) {
        return unknown(text, err);
    }
    if (!timed) {
        t.unit = FR_SECOND;
    }
    if (bracket != NULL) {
        const char *unit = bracket + 1, *close = strchr(unit, ']');
        const char *comma = strchr(unit, ',');
        const char *end = comma != NULL ? comma : close;
        if (close == NULL || close[1] != '\0' || (comma != NULL && t.kind == FR_DURATION) ||
            !unit_named(unit, (size_t)(end - unit), &t.unit)) {
            return unknown(text, err);
        }
        if (comma != NULL) {
            comma += 1 + strspn(comma + 1, " ");
            size_t zone = (size_t)(close - comma);
            if (zone == 0 || zone >= FR_ZONE_MAX) {
                return unknown(text, err);
            }
            memcpy(t.zone, comma, zone);
            t.zone[zone] = '\0';
        }
    }
    *out = t;
    return FR_OK;
}
