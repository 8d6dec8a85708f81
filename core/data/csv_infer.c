#include "core/base/decimal.h"
#include "core/data/csv_int.h"
#include "core/data/when.h"

#include <string.h>

const char *const fr_csv_nulls[7] = {"", "NA", "N/A", "NaN", "nan", "null", "NULL"};

void csv_nulls_init(csv_nulls *nulls, const char *const *words, size_t n)
{
    *nulls = (csv_nulls){.words = words, .n = n};
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(words[i]);
        nulls->longest = FR_MAX(nulls->longest, length);
        if (length == 0) {
            nulls->empty = true;
            continue;
        }
        uint8_t first = (uint8_t)words[i][0];
        nulls->starts[first >> 6] |= UINT64_C(1) << (first & 63);
        nulls->numeric = nulls->numeric || strchr("+-.0123456789", first) != NULL;
    }
}

bool csv_nulls_has(const csv_nulls *nulls, const uint8_t *s, size_t n)
{
    if (n == 0) {
        return nulls->empty;
    }
    if (n > nulls->longest || !csv_nulls_may(nulls, s[0])) {
        return false;
    }
    for (size_t i = 0; i < nulls->n; i++) {
        if (strlen(nulls->words[i]) == n && memcmp(nulls->words[i], s, n) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_bool(const uint8_t *s, size_t n)
{
    static const char *const words[] = {"true",  "false", "True",
                                        "False", "TRUE",  "FALSE"};
    for (size_t i = 0; i < FR_COUNT(words); i++) {
        if (strlen(words[i]) == n && memcmp(words[i], s, n) == 0) {
            return true;
        }
    }
    return false;
}

static unsigned infer_integer(const uint8_t *s, size_t n)
{
    size_t sign = s[0] == '-' || s[0] == '+';
    for (size_t i = sign; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return 0;
        }
    }
    if (n == sign) {
        return 0;
    }
    if (s[sign] == '0' && n > sign + 1) {
        return CSV_SAW_ZEROS; // an identifier (frames.md A4)
    }
    int64_t v;
    return fr_decimal_parse_int((const char *)s, n, &v) ? CSV_SAW_INT : CSV_SAW_BIG;
}

unsigned csv_infer_value(const uint8_t *s, size_t n)
{
    while (n > 0 && (s[0] == ' ' || s[0] == '\t')) { // blanks around numbers do not count
        s++, n--;
    }
    while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t')) {
        n--;
    }
    if (n == 0) {
        return CSV_SAW_TEXT;
    }
    unsigned saw = infer_integer(s, n);
    double x;
    if (saw != 0) {
        return saw;
    }
    if (fr_decimal_parse((const char *)s, n, &x)) {
        return CSV_SAW_FLOAT;
    }
    if (is_bool(s, n)) {
        return CSV_SAW_BOOL;
    }
    fr_when w;
    if (!fr_when_parse((const char *)s, n, &w)) {
        return CSV_SAW_TEXT;
    }
    int64_t nanos;
    saw = fr_when_value(&w, FR_NANO, &nanos) ? 0 : CSV_SAW_FAR;
    if (!w.has_time) {
        return saw | CSV_SAW_DATE;
    }
    return saw | (w.has_offset ? CSV_SAW_ZONE : CSV_SAW_STAMP) |
           (w.digits > 6 ? CSV_SAW_NANOS : 0U);
}

unsigned csv_infer_bits(csv_kind kind, const fr_type *type)
{
    static const unsigned bits[] = {
        [CSV_EMPTY] = 0,
        [CSV_BOOL] = CSV_SAW_BOOL,
        [CSV_INT] = CSV_SAW_INT,
        [CSV_FLOAT] = CSV_SAW_FLOAT,
        [CSV_DATE] = CSV_SAW_DATE,
        [CSV_STAMP] = CSV_SAW_STAMP,
        [CSV_TEXT] = CSV_SAW_TEXT,
        [CSV_TIME] = 0,
        [CSV_DURATION] = 0,
    };
    unsigned saw = bits[kind];
    if (kind == CSV_STAMP) {
        saw = (type->zone[0] != '\0' ? CSV_SAW_ZONE : CSV_SAW_STAMP) |
              (type->unit == FR_NANO ? CSV_SAW_NANOS : 0U);
    }
    return saw;
}

static csv_kind resolve_times(unsigned saw, fr_type *type)
{
    if ((saw & ~(unsigned)CSV_SAW_FAR) == CSV_SAW_DATE) {
        *type = fr_type_of(FR_DATE);
        return CSV_DATE;
    }
    *type = (fr_type){.kind = FR_TIMESTAMP, .unit = FR_MICRO};
    if (saw & CSV_SAW_NANOS) {
        type->unit = FR_NANO;
    }
    if (saw & CSV_SAW_ZONE) {
        memcpy(type->zone, "UTC", 4);
    }
    return CSV_STAMP;
}

// The narrowest type that holds all that was seen without loss.
csv_kind csv_infer_resolve(unsigned saw, fr_type *type)
{
    bool quoted = (saw & CSV_SAW_QUOTED) != 0;
    saw &= ~(unsigned)CSV_SAW_QUOTED;
    const unsigned numbers = CSV_SAW_INT | CSV_SAW_ZEROS | CSV_SAW_BIG | CSV_SAW_FLOAT;
    const unsigned times =
        CSV_SAW_DATE | CSV_SAW_STAMP | CSV_SAW_NANOS | CSV_SAW_ZONE | CSV_SAW_FAR;
    if (saw == CSV_SAW_BOOL) {
        *type = fr_type_of(FR_BOOL);
        return CSV_BOOL;
    }
    if (saw == CSV_SAW_INT) {
        *type = fr_type_of(FR_INT64);
        return CSV_INT;
    }
    if ((saw & CSV_SAW_FLOAT) && (saw & ~numbers) == 0) {
        *type = fr_type_of(FR_FLOAT64);
        return CSV_FLOAT;
    }
    bool mixed = ((saw & CSV_SAW_ZONE) && (saw & (CSV_SAW_DATE | CSV_SAW_STAMP))) ||
                 ((saw & CSV_SAW_NANOS) && (saw & CSV_SAW_FAR));
    if ((saw & times) != 0 && (saw & ~times) == 0 && !mixed) {
        return resolve_times(saw, type);
    }
    *type = fr_type_of(FR_UTF8);
    return saw == 0 && !quoted ? CSV_EMPTY : CSV_TEXT;
}

csv_kind csv_infer_kind_of(const fr_type *type)
{
    switch (type->kind) {
    case FR_BOOL:
        return CSV_BOOL;
    case FR_INT8:
    case FR_INT16:
    case FR_INT32:
    case FR_INT64:
    case FR_UINT8:
    case FR_UINT16:
    case FR_UINT32:
    case FR_UINT64:
        return CSV_INT;
    case FR_FLOAT32:
    case FR_FLOAT64:
        return CSV_FLOAT;
    case FR_DATE:
        return CSV_DATE;
    case FR_TIMESTAMP:
        return CSV_STAMP;
    case FR_TIME:
        return CSV_TIME;
    case FR_DURATION:
        return CSV_DURATION;
    case FR_UTF8:
    case FR_CATEGORY:
        break;
    }
    return CSV_TEXT;
}
