#pragma once
// option -- every option of task{}, flow{} and with{}, as rows.
//
// The parser (lua/flowrun/options.lua), "did you mean", the documentation and completion all
// read this table: a new option is one row in option.c. Constant data, any thread.

#include <stdbool.h>
#include <stddef.h>

enum { FR_OPTION_TASK = 1, FR_OPTION_FLOW = 2, FR_OPTION_WITH = 4, FR_OPTION_GROUP = 8 };

typedef enum fr_option_type {
    FR_OPTION_FLAG,              // true or false
    FR_OPTION_COUNT,             // whole number in [min, max]
    FR_OPTION_NUMBER,            // number in [min, max]
    FR_OPTION_TEXT,
    FR_OPTION_NAMES,             // one name or a list of names
    FR_OPTION_DURATION,          // seconds or "1h30m"
    FR_OPTION_DELAY,             // duration, list of durations, or function
    FR_OPTION_BACKOFF,           // name of a curve or flowrun.backoff.*
    FR_OPTION_ENUM,              // one of `choices`
    FR_OPTION_FUNCTION,
    FR_OPTION_CODES,             // error codes: one, a list, or function
    FR_OPTION_FUNCTION_OR_TEXT,
    FR_OPTION_VALUE,             // anything that can cross, or a function
    FR_OPTION_HANDLES,           // a handle or a list of handles
    FR_OPTION_LIMITS,            // names of limits, {name = slots}, {rate = "100/min"}
    FR_OPTION_FALLBACK,          // value, function, task, "last_good", or a list of these
    FR_OPTION_CACHE,             // true, a duration, or named sub-options
    FR_OPTION_CONCURRENCY,       // a number, or {max=, full=}
    FR_OPTION_SIZE,              // bytes, or "512MB", "4GiB"
    FR_OPTION_CONDITION,         // a handle or a function
    FR_OPTION_TABLE,             // named sub-options, see `within`
} fr_option_type;

typedef struct fr_option {
    const char *name;
    const char *within;          // NULL, or the table option it belongs to: "resources"
    unsigned scopes;             // FR_OPTION_TASK | ...
    fr_option_type type;
    double min, max;             // COUNT and NUMBER
    const char *choices;         // ENUM: "a|b|c"
    const char *preset;          // what holds when it is not set, as text; NULL = nothing
    bool built;                  // false: refused with "not built yet"
    const char *doc;             // one sentence
} fr_option;

size_t fr_option_count(void);
const fr_option *fr_option_at(size_t i);
// within is NULL for options of the first level. NULL when there is none.
const fr_option *fr_option_find(const char *within, const char *name);
const char *fr_option_type_name(fr_option_type type);     // "duration"
