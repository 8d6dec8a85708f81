#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/base/rand.h"
#include "core/data/csv.h"
#include "core/data/expr.h"

#include "check.h"

#include <stdlib.h>

static fr_err err;

static fr_frame *table(const char *csv, const fr_csv_type *types, size_t n)
{
    fr_csv_options o;
    fr_csv_defaults(&o);
    o.types = types;
    o.n_types = n;
    fr_frame *f = NULL;
    if (fr_csv_read_bytes("t", csv, strlen(csv), &o, &f, NULL, &err) != FR_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return f;
}

// "int64|1|2|~|", or "error: …".
static char *column_text(fr_array *a)
{
    fr_buf b;
    fr_buf_init(&b, 1 << 22);
    char type[64];
    const char *name = "x";
    fr_frame *f = NULL;
    fr_csv_write_options w;
    fr_csv_write_defaults(&w);
    w.header = false;
    w.null = "~";
    fr_buf_printf(&b, "%s|", fr_type_name(&a->type, type));
    if (fr_frame_new(1, &name, &a, &f, &err) != FR_OK ||
        fr_csv_write_buf(f, &w, &b, &err) != FR_OK) {
        fr_buf_printf(&b, "error: %s", err.text);
    }
    for (size_t i = 0; i < b.size; i++) {
        b.data[i] = b.data[i] == '\n' ? '|' : b.data[i];
    }
    char *s = fr_strdup(fr_buf_text(&b));
    fr_frame_unref(f);
    fr_buf_fini(&b);
    return s;
}

static const fr_expr_param *params;
static size_t n_params;

static char *value_of(const fr_frame *f, const char *text)
{
    fr_expr *e = NULL;
    fr_array *a = NULL;
    char message[300];
    if (fr_expr_compile(text, strlen(text), f, params, n_params, &e, &err) != FR_OK ||
        fr_expr_eval(e, &a, &err) != FR_OK) {
        (void)snprintf(message, sizeof message, "error: %s", err.text);
        fr_expr_free(e);
        return fr_strdup(message);
    }
    char *s = column_text(a);
    if (!fr_type_eq(fr_expr_type(e), &a->type)) {
        char x[64], y[64];
        (void)fprintf(stderr, "%s: says %s, is %s\n", text, fr_type_name(fr_expr_type(e), x),
                      fr_type_name(&a->type, y));
        check_failures++;
    }
    fr_array_unref(a);
    fr_expr_free(e);
    return s;
}

typedef struct expectation {
    const char *text, *want;
} expectation;

static void check_all(const fr_frame *f, const expectation *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char *got = value_of(f, cases[i].text);
        check_count++;
        if (strcmp(got, cases[i].want) != 0) {
            check_failures++;
            (void)fprintf(stderr, "%s\n  gives    %s\n  expected %s\n", cases[i].text, got,
                          cases[i].want);
        }
        fr_free(got);
    }
}

static fr_frame *small_frame(void)
{
    static const fr_csv_type types[] = {{"zone", {.kind = FR_CATEGORY}}};
    return table("a,b,x,y,name,zone,ok,day,when,`odd`,U.S._STATE\n"
                 "1,2,1.5,-2,Alpha,N,true,2024-01-31,2024-01-31 10:30:15,7,TX\n"
                 "7,-3,,4,beta gamma,S,false,2024-02-29,2024-03-01 00:00:00,8,CA\n"
                 ",5,2.25,NA,,N,,,,9,\n"
                 "-8,3,-0.5,0.5,\xc3\x84pfel,,true,1969-12-31,1969-12-31 23:59:59.5,10,NY\n",
                 types, 1);
}

static void arithmetic(void)
{
    static const expectation cases[] = {
        {"a + b", "int64|3|4|~|-5|"},
        {"a - b * 2", "int64|-3|13|~|-14|"},
        {"a * x", "float64|1.5|~|~|4.0|"},
        {"a / b", "float64|0.5|-2.3333333333333335|~|-2.6666666666666665|"},
        {"a // b", "int64|0|-3|~|-3|"},
        {"a % b", "int64|1|-2|~|1|"},
        {"x // 2", "float64|0.0|~|1.0|-1.0|"},
        {"x % 2", "float64|1.5|~|0.25|1.5|"},
        {"-a ^ 2", "float64|-1.0|-49.0|~|-64.0|"},
        {"2 ^ 3 ^ 2 + 0 * a", "float64|512.0|512.0|~|512.0|"},
        {"2 ^ -1 + 0 * b", "float64|0.5|0.5|0.5|0.5|"},
        {"- - b", "int64|2|-3|5|3|"},
        {"(a + b) * (a - b)", "int64|-3|40|~|55|"},
        {"1 + 2 * 3 - 4 // 3 + 0 * b", "int64|6|6|6|6|"},
        {"abs(a)", "int64|1|7|~|8|"},
        {"abs(y)", "float64|2.0|4.0|~|0.5|"},
        {"sign(y)", "float64|-1.0|1.0|~|1.0|"},
        {"round(x)", "float64|2.0|~|2.0|-0.0|"},
        {"round(x * 1.111, 1)", "float64|1.7|~|2.5|-0.6|"},
        {"floor(x)", "float64|1.0|~|2.0|-1.0|"},
        {"ceil(a)", "int64|1|7|~|-8|"},
        {"sqrt(b * b)", "float64|2.0|3.0|5.0|3.0|"},
        {"round(exp(log(b * b)), 9)", "float64|4.0|9.0|25.0|9.0|"},
        {"min(a, b)", "int64|1|-3|~|-8|"},
        {"max(a, b, 2.5)", "float64|2.5|7.0|~|3.0|"},
        {"clip(b, 0, 4)", "int64|2|0|4|3|"},
        {"int(x)", "int64|1|~|2|0|"},
        {"int(ok)", "int64|1|0|~|1|"},
        {"float(a)", "float64|1.0|7.0|~|-8.0|"},
        {"int('12') + b", "int64|14|9|17|15|"},
        {"row()", "int64|1|2|3|4|"},
        {"row() % 2 == 1", "bool|true|false|true|false|"},
        {"`odd`", "error: no column \"odd\"; text is written in single quotes\n  `odd`\n  ^"},
        {"```odd``` + 1", "int64|8|9|10|11|"},
        {"`U.S._STATE`", "utf8|TX|CA|~|NY|"},
    };
    fr_frame *f = small_frame();
    check_all(f, cases, FR_COUNT(cases));
    fr_frame_unref(f);
}

static void logic_in_three_values(void)
{
    static const expectation cases[] = {
        {"a > 0", "bool|true|true|~|false|"},
        {"a >= 1 and x < 2", "bool|true|~|false|false|"},
        {"a >= 1 or x < 2", "bool|true|true|~|true|"},
        {"not (a > 0)", "bool|false|false|~|true|"},
        {"ok and null", "bool|~|false|~|~|"},
        {"ok or null", "bool|true|~|~|true|"},
        {"a == 1", "bool|true|false|~|false|"},
        {"a = 1", "bool|true|false|~|false|"},
        {"a ~= 1", "bool|false|true|~|true|"},
        {"a != 1 and a <> 7", "bool|false|false|~|true|"},
        {"a between 1 and 7", "bool|true|true|~|false|"},
        {"a not between 1 and 3", "bool|false|true|~|true|"},
        {"b between a and 10", "bool|true|false|~|true|"},
        {"not (b between 100 and a)", "bool|true|true|true|true|"},
        {"a in (1, -8)", "bool|true|false|~|true|"},
        {"a not in (1, -8)", "bool|false|true|~|false|"},
        {"x in (1.5, 2.25)", "bool|true|~|true|false|"},
        {"b in (a, 5, 3)", "bool|false|false|true|true|"},
        {"b in (a, 6)", "bool|false|false|~|false|"},
        {"is_null(a)", "bool|false|false|true|false|"},
        {"not is_null(x)", "bool|true|false|true|true|"},
        {"x is null", "bool|false|true|false|false|"},
        {"x is not null", "bool|true|false|true|true|"},
        {"if_else(a > 0, 'up', 'down')", "utf8|up|up|down|down|"},
        {"if_else(ok, a, 0.5)", "float64|1.0|0.5|0.5|-8.0|"},
        {"if_else(a > 2, null, b)", "int64|2|~|5|3|"},
        {"coalesce(a, b)", "int64|1|7|5|-8|"},
        {"coalesce(x, y, 0)", "float64|1.5|4.0|2.25|-0.5|"},
        {"coalesce(zone, '?')", "utf8|N|S|N|?|"},
        {"true", "bool|true|true|true|true|"},
        {"AND_ = 1", "error: no column \"AND_\"; text is written in single quotes\n  AND_ = 1\n  ^"},
        {"a > 0 AND NOT ok", "bool|false|true|~|false|"},
        {"is_nan(x / 0 - x / 0)", "bool|true|~|true|true|"},
        {"ok == true", "bool|true|false|~|true|"},
    };
    fr_frame *f = small_frame();
    check_all(f, cases, FR_COUNT(cases));
    fr_frame_unref(f);
}

static void text(void)
{
    static const expectation cases[] = {
        {"upper(name)", "utf8|ALPHA|BETA GAMMA|~|\xc3\x84PFEL|"},
        {"lower(name)", "utf8|alpha|beta gamma|~|\xc3\xa4pfel|"},
        {"len(name)", "int64|5|10|~|5|"},
        {"trim(concat('  ', name, ' '))", "utf8|Alpha|beta gamma|~|\xc3\x84pfel|"},
        {"concat(name, '-', a)", "utf8|Alpha-1|beta gamma-7|~|\xc3\x84pfel--8|"},
        {"replace(name, 'a', 'AA')", "utf8|AlphAA|betAA gAAmmAA|~|\xc3\x84pfel|"},
        {"contains(name, 'ph')", "bool|true|false|~|false|"},
        {"starts(name, 'beta')", "bool|false|true|~|false|"},
        {"ends(name, 'a')", "bool|true|true|~|false|"},
        {"name like '%a'", "bool|true|true|~|false|"},
        {"name like '_____'", "bool|true|false|~|true|"},
        {"name like 'b%g_mm%'", "bool|false|true|~|false|"},
        {"name not like '%\\_%'", "bool|true|true|~|true|"},
        {"name == 'Alpha'", "bool|true|false|~|false|"},
        {"name < 'a'", "bool|true|false|~|false|"},
        {"name in ('Alpha', 'x')", "bool|true|false|~|false|"},
        {"zone == 'N'", "bool|true|false|true|~|"},
        {"zone in ('S', 'W')", "bool|false|true|false|~|"},
        {"upper(concat(zone, 'x'))", "utf8|NX|SX|NX|~|"},
        {"is_null(zone)", "bool|false|false|false|true|"},
        {"zone", "category|N|S|N|~|"},
        {"sub(name, 2, 3)", "utf8|lp|et|~|pf|"},
        {"sub(name, -2)", "utf8|ha|ma|~|el|"},
        {"'it''s'", "utf8|it's|it's|it's|it's|"},
        {"text(x)", "utf8|1.5|~|2.25|-0.5|"},
        {"text(ok)", "utf8|true|false|~|true|"},
        {"text(day)", "utf8|2024-01-31|2024-02-29|~|1969-12-31|"},
        {"max(name, 'b')", "utf8|b|beta gamma|~|\xc3\x84pfel|"},
    };
    fr_frame *f = small_frame();
    check_all(f, cases, FR_COUNT(cases));
    fr_frame_unref(f);
}

static void times(void)
{
    static const expectation cases[] = {
        {"year(when)", "int64|2024|2024|~|1969|"},
        {"month(day)", "int64|1|2|~|12|"},
        {"day(when)", "int64|31|1|~|31|"},
        {"hour(when) * 60 + minute(when)", "int64|630|0|~|1439|"},
        {"second(when)", "int64|15|0|~|59|"},
        {"weekday(day)", "int64|3|4|~|3|"},
        {"yearday(day)", "int64|31|60|~|365|"},
        {"week(day)", "int64|5|9|~|1|"},
        {"quarter(when)", "int64|1|1|~|4|"},
        {"date(when)", "date|2024-01-31|2024-03-01|~|1969-12-31|"},
        {"trunc(when, 'hour')", "timestamp[us]|2024-01-31 10:00:00|2024-03-01 00:00:00|~|1969-12-31 23:00:00|"},
        {"trunc(when, '15min')", "timestamp[us]|2024-01-31 10:30:00|2024-03-01 00:00:00|~|1969-12-31 23:45:00|"},
        {"trunc(day, 'month')", "date|2024-01-01|2024-02-01|~|1969-12-01|"},
        {"trunc(when, 'week')", "timestamp[us]|2024-01-29 00:00:00|2024-02-26 00:00:00|~|1969-12-29 00:00:00|"},
        {"trunc(day, 'quarter')", "date|2024-01-01|2024-01-01|~|1969-10-01|"},
        {"trunc(day, 'year')", "date|2024-01-01|2024-01-01|~|1969-01-01|"},
        {"diff(when, '2024-01-31', 'hour')", "float64|10.504166666666666|720.0|~|-474072.0001388889|"},
        {"diff(day, '2024-01-01', 'day')", "float64|30.0|59.0|~|-19724.0|"},
        {"day > '2024-01-31'", "bool|false|true|~|false|"},
        {"when >= '2024-01-31 10:30:15'", "bool|true|true|~|false|"},
        {"when == '2024-03-01'", "bool|false|true|~|false|"},
        {"'2024-03-01' == when", "bool|false|true|~|false|"},
        {"day == '2024-01-31 00:00:00.000'", "bool|true|false|~|false|"},
        {"day in ('2024-02-29', '1969-12-31')", "bool|false|true|~|true|"},
        {"when between '2024-01-01' and '2024-02-01'", "bool|true|false|~|false|"},
        {"day < when", "bool|true|true|~|true|"},
        {"day + 1", "date|2024-02-01|2024-03-01|~|1970-01-01|"},
        {"day - '2d'", "date|2024-01-29|2024-02-27|~|1969-12-29|"},
        {"day + '90min'", "timestamp[s]|2024-01-31 01:30:00|2024-02-29 01:30:00|~|1969-12-31 01:30:00|"},
        {"when + '1h'", "timestamp[us]|2024-01-31 11:30:15|2024-03-01 01:00:00|~|1970-01-01 00:59:59.500|"},
        {"day - date('2024-01-01')", "int64|30|59|~|-19724|"},
        {"when - day", "duration[us]|10h30m15s|1d|~|23h59m59s500ms|"},
        {"(when - day) / '1h'", "float64|10.504166666666666|24.0|~|23.999861111111112|"},
        {"(when - day) * 2 > '1d'", "bool|false|true|~|true|"},
        {"when - day > '12h'", "bool|false|true|~|true|"},
        {"timestamp(day)", "timestamp[us]|2024-01-31 00:00:00|2024-02-29 00:00:00|~|1969-12-31 00:00:00|"},
        {"date(year(day), month(day), 1)", "date|2024-01-01|2024-02-01|~|1969-12-01|"},
        {"date(text(day)) == day", "bool|true|true|~|true|"},
        {"coalesce(day, '2000-01-01')", "date|2024-01-31|2024-02-29|2000-01-01|1969-12-31|"},
        {"if_else(is_null(day), '2000-01-01', day)", "date|2024-01-31|2024-02-29|2000-01-01|1969-12-31|"},
        {"weekday('2023-01-02') + 0 * b", "int64|1|1|1|1|"},
    };
    fr_frame *f = small_frame();
    check_all(f, cases, FR_COUNT(cases));
    fr_frame_unref(f);
}

static void zones_are_local_time(void)
{
    static const fr_csv_type types[] = {
        {"t", {.kind = FR_TIMESTAMP, .unit = FR_SECOND, .zone = "Europe/Paris"}}};
    // 2023-03-26 01:00 UTC is the change to summer time, 2023-10-29 01:00 UTC back.
    fr_frame *f = table("t\n2023-03-26T00:30:00Z\n2023-03-26T01:30:00Z\n2023-10-29T00:30:00Z\n"
                        "2023-10-29T01:30:00Z\n2023-12-31T23:30:00Z\n",
                        types, 1);
    static const expectation cases[] = {
        {"hour(t)", "int64|1|3|2|2|0|"},
        {"year(t)", "int64|2023|2023|2023|2023|2024|"},
        {"date(t)", "date|2023-03-26|2023-03-26|2023-10-29|2023-10-29|2024-01-01|"},
        {"trunc(t, 'day')", "timestamp[s, Europe/Paris]|2023-03-26 00:00:00+01:00|"
                            "2023-03-26 00:00:00+01:00|2023-10-29 00:00:00+02:00|"
                            "2023-10-29 00:00:00+02:00|2024-01-01 00:00:00+01:00|"},
        {"t >= '2024-01-01'", "bool|false|false|false|false|true|"},
        {"t == '2023-03-26T00:30:00Z'", "bool|true|false|false|false|false|"},
        {"text(t)", "utf8|2023-03-26 01:30:00+01:00|2023-03-26 03:30:00+02:00|"
                    "2023-10-29 02:30:00+02:00|2023-10-29 02:30:00+01:00|2024-01-01 00:30:00+01:00|"},
    };
    check_all(f, cases, FR_COUNT(cases));
    fr_frame_unref(f);
}

static void parameters(void)
{
    fr_frame *f = small_frame(), *lists = table("z,n,d\nN,1,2024-01-31\nW,7,2020-01-01\n", NULL, 0);
    const fr_expr_param list[] = {
        {.name = "lo", .kind = FR_PARAM_INT, .integer = 2},
        {.name = "f", .kind = FR_PARAM_FLOAT, .number = .5},
        {.name = "who", .kind = FR_PARAM_TEXT, .text = "Alpha!", .size = 5},
        {.name = "yes", .kind = FR_PARAM_BOOL, .integer = 1},
        {.name = "none", .kind = FR_PARAM_NULL},
        {.name = "zones", .kind = FR_PARAM_LIST, .list = lists->cols[0]},
        {.name = "ids", .kind = FR_PARAM_LIST, .list = lists->cols[1]},
        {.name = "days", .kind = FR_PARAM_LIST, .list = lists->cols[2]},
    };
    static const expectation cases[] = {
        {"a > $lo", "bool|false|true|~|false|"},
        {"b * $f", "float64|1.0|-1.5|2.5|1.5|"},
        {"name == $who", "bool|true|false|~|false|"},
        {"ok == $yes", "bool|true|false|~|true|"},
        {"coalesce(a, $none, 0)", "int64|1|7|0|-8|"},
        {"zone in $zones", "bool|true|false|true|~|"},
        {"zone not in ($zones)", "bool|false|true|false|~|"},
        {"a in $ids", "bool|true|true|~|false|"},
        {"x in $ids", "bool|false|~|false|false|"},
        {"day in $days", "bool|true|false|~|false|"},
        {"a > $ids", "error: $ids is a list of 2: lists go into `x in $ids`\n  a > $ids\n      ^"},
        {"a > $low", "error: no parameter $low: did you mean $lo?\n  a > $low\n      ^"},
        {"zone in $ids", "error: in: category and a list of int64 do not go together\n"
                         "  zone in $ids\n          ^"},
    };
    params = list;
    n_params = FR_COUNT(list);
    check_all(f, cases, FR_COUNT(cases));
    params = NULL;
    n_params = 0;
    fr_frame_unref(f);
    fr_frame_unref(lists);
}

static void errors_point_at_the_place(void)
{
    static const expectation cases[] = {
        {"amuont > 3", "error: no column \"amuont\"; text is written in single quotes\n  amuont > 3\n  ^"},
        {"nam == 'x'", "error: no column \"nam\": did you mean \"name\"?\n  nam == 'x'\n  ^"},
        {"a > ", "error: expected a value, but the expression ends\n  a > \n      ^"},
        {"a > 3)", "error: expected an operator or the end, found \")\"\n  a > 3)\n       ^"},
        {"(a > 3", "error: expected \")\", but the expression ends\n  (a > 3\n        ^"},
        {"a b", "error: expected an operator or the end, found \"b\"\n  a b\n    ^"},
        {"upperr(name)", "error: no function upperr(): did you mean upper()?\n  upperr(name)\n  ^"},
        {"upper(name, 2)", "error: usage: upper(text)\n  upper(name, 2)\n  ^"},
        {"upper(a)", "error: expected text, got int64\n  upper(a)\n        ^"},
        {"name > 5", "error: a comparison: utf8 and int64 do not go together\n  name > 5\n         ^"},
        {"a > '5'", "error: a comparison: int64 and utf8 do not go together: numbers are written "
                    "without quotes\n  a > '5'\n      ^"},
        {"name + 1", "error: arithmetic with text: concat(a, b) joins texts, float(x) reads a "
                     "number\n  name + 1\n  ^"},
        {"ok + 1", "error: arithmetic with true and false: write if_else(x, 1, 0) or int(x)\n"
                   "  ok + 1\n  ^"},
        {"a and ok", "error: expected true or false, got int64\n  a and ok\n  ^"},
        {"a < b < 3", "error: comparisons do not chain: write a < b and b < c, or b between a and "
                      "c\n  a < b < 3\n        ^"},
        {"name == \"x\"", "error: text is written in single quotes: 'text'; a column in "
                          "back-quotes\n  name == \"x\"\n          ^"},
        {"U.S._STATE == 'TX'", "error: a name with a dot is written in back-quotes: "
                               "`U.S._STATE`\n  U.S._STATE == 'TX'\n   ^"},
        {"a && b", "error: write and\n  a && b\n    ^"},
        {"day > 'soon'", "error: 'soon' is not a date such as '2024-01-31'\n  day > 'soon'\n        ^"},
        {"when + 1", "error: timestamp[us] and int64 have no such operation: durations are written "
                     "'1h', '15min', '2d'\n  when + 1\n  ^"},
        {"when + '1 hour'", "error: '1 hour' is not a duration: write '1h30m', '15min', '2d'\n"
                            "  when + '1 hour'\n         ^"},
        {"trunc(when, 'fortnight')", "error: expected a unit: 'second', 'minute', 'hour', 'day', "
                                     "'week', 'month', 'quarter', 'year' or a duration such as "
                                     "'15min'\n  trunc(when, 'fortnight')\n              ^"},
        {"sum(a)", "error: sum() is for group{...}:agg; here compute it first and give it as a "
                   "parameter, as in {m = df.kw:sum()}\n  sum(a)\n  ^"},
        {"'open", "error: this text has no closing '\n  'open\n  ^"},
        {"", "error: the expression is empty"},
        {"null", "error: the type of null is not known here: write float(null) or another "
                 "conversion\n  null\n  ^"},
        {"a in (1, null)", "error: null in a list never matches: write is_null(x) or ...\n"
                           "  a in (1, null)\n           ^"},
        {"1.2.3 > a", "error: \"1.2.\" is not a number; a column whose name starts with a digit is "
                      "written in `back-quotes`\n  1.2.3 > a\n     ^"},
        {"a // 0", "error: row 1, column \"a\": 1 // 0: division by zero\n  a // 0\n  ^"},
        {"b % (b - 5)", "error: row 3, column \"b\": 5 % 0: division by zero\n  b % (b - 5)\n  ^"},
        {"1 + 9223372036854775800 + b * 4 + b", "error: row 1, column \"b\": 9223372036854775801 + "
                                                "8 does not fit a 64-bit integer: use float(x)\n"
                                                "  1 + 9223372036854775800 + b * 4 + b\n  ^"},
        {"9223372036854775807 + 1", "error: 9223372036854775807 + 1 does not fit a 64-bit integer: "
                                    "use float(x)\n  9223372036854775807 + 1\n  ^"},
        {"int(name)", "error: row 1, column \"name\": 'Alpha' is not a whole number\n  int(name)\n  ^"},
        {"b != 5 and 10 // (b - 5) > 0", "bool|false|false|false|false|"},
        {"if_else(b == 5, 0, 10 // (b - 5))", "int64|-4|-2|0|-5|"},
        {"a between 1", "error: expected \"and\" of between, but the expression ends\n"
                        "  a between 1\n             ^"},
        {"not", "error: expected a value, but the expression ends\n  not\n     ^"},
        {"in = 3", "error: expected a value, found \"in\"\n  in = 3\n  ^"},
        {"diff(day, when, 'month')", "error: months and years differ in length: use 'day', or "
                                     "year(a) - year(b)\n  diff(day, when, 'month')\n"
                                     "                  ^"},
    };
    fr_frame *f = small_frame();
    check_all(f, cases, FR_COUNT(cases));
    fr_frame_unref(f);
}

static void deep_and_long_texts_are_refused(void)
{
    fr_frame *f = small_frame();
    fr_expr *e = NULL;
    fr_buf b;
    fr_buf_init(&b, 1 << 20);
    for (int i = 0; i < 5000; i++) {
        fr_buf_put_str(&b, "(");
    }
    CHECK_INT(fr_expr_compile((char *)b.data, b.size, f, NULL, 0, &e, &err), FR_ELIMIT);
    fr_buf_clear(&b);
    fr_buf_put_str(&b, "a");
    for (int i = 0; i < 5000; i++) {
        fr_buf_put_str(&b, "+a");
    }
    CHECK_INT(fr_expr_compile((char *)b.data, b.size, f, NULL, 0, &e, &err), FR_ELIMIT);
    fr_buf_clear(&b);
    for (int i = 0; i < 5000; i++) {
        fr_buf_put_str(&b, i % 2 ? "- " : "not ");
    }
    CHECK_INT(fr_expr_compile((char *)b.data, b.size, f, NULL, 0, &e, &err), FR_EPARSE);
    fr_buf_clear(&b);
    for (int i = 0; i < 150; i++) {
        fr_buf_put_str(&b, "- ");
    }
    fr_buf_put_str(&b, "a");
    fr_array *many = NULL; // linear in the depth
    CHECK_INT(fr_expr_compile((char *)b.data, b.size, f, NULL, 0, &e, &err), FR_OK);
    CHECK_INT(fr_expr_eval(e, &many, &err), FR_OK);
    CHECK(many != NULL && fr_array_i64(many)[0] == 1);
    fr_array_unref(many);
    fr_expr_free(e);
    fr_buf_clear(&b);
    fr_buf_put_str(&b, "a in (0");
    for (int i = 0; i < 9000; i++) {
        fr_buf_printf(&b, ",%d", i);
    }
    fr_buf_put_str(&b, ")");
    CHECK_INT(fr_expr_compile((char *)b.data, b.size, f, NULL, 0, &e, &err), FR_OK);
    fr_expr_free(e);
    fr_buf_fini(&b);
    fr_frame_unref(f);
}

// Many rows: categories by dictionary, text, all thread counts, against a plain loop.
static void many_rows_by_any_threads(void)
{
    enum { ROWS = 150000 };
    fr_buf b;
    fr_buf_init(&b, 1 << 26);
    fr_rand r;
    fr_rand_init(&r, 9, 9);
    fr_buf_put_str(&b, "i,x,f\n");
    for (int i = 0; i < ROWS; i++) {
        int n = (int)fr_rand_below(&r, 40);
        if (n == 0) {
            fr_buf_printf(&b, "%d,,\n", i);
        } else {
            fr_buf_printf(&b, "%d,%.3f,Feeder %d\n", i, fr_rand_unit(&r) * 10, n);
        }
    }
    fr_frame *frames[2];
    static const fr_csv_type types[] = {{"f", {.kind = FR_UTF8}}, {"f", {.kind = FR_CATEGORY}}};
    frames[0] = table(fr_buf_text(&b), &types[0], 1);
    frames[1] = table(fr_buf_text(&b), &types[1], 1);
    fr_buf_fini(&b);
    static const char *const texts[] = {
        "x * 2 + i / 3 - x ^ 2", "f == 'Feeder 7' or x > 9.5", "upper(f)", "concat(f, i)",
        "if_else(f like '%1', len(f), -1)", "coalesce(f, 'none')", "f in ('Feeder 1', 'Feeder 2')",
        "is_null(f) and is_null(x)", "i % 7 == row() % 7", "sub(f, 8)"};
    static const unsigned threads[] = {1, 2, 3, 8};
    for (size_t k = 0; k < FR_COUNT(texts); k++) {
        fr_hash first = {0, 0};
        for (size_t j = 0; j < FR_COUNT(threads) * 2; j++) {
            unsigned before = fr_pool_limit(threads[j / 2]);
            fr_expr *e = NULL;
            fr_array *a = NULL;
            CHECK_INT(fr_expr_compile(texts[k], strlen(texts[k]), frames[j % 2], NULL, 0, &e, &err), FR_OK);
            CHECK_INT(fr_expr_eval(e, &a, &err), FR_OK);
            fr_hash h = fr_array_hash(a);
            first = j == 0 ? h : first;
            CHECK(fr_hash_eq(h, first));
            fr_array_unref(a);
            fr_expr_free(e);
            (void)fr_pool_limit(before);
        }
    }
    fr_expr *e = NULL;
    fr_array *a = NULL;
    CHECK_INT(fr_expr_compile(texts[0], strlen(texts[0]), frames[0], NULL, 0, &e, &err), FR_OK);
    CHECK_INT(fr_expr_eval(e, &a, &err), FR_OK);
    int wrong = 0;
    for (int64_t i = 0; i < ROWS; i++) {
        double x = fr_array_f64(frames[0]->cols[1])[i];
        bool has = fr_array_has(frames[0]->cols[1], i);
        wrong += fr_array_has(a, i) != has ||
                 (has && fr_array_f64(a)[i] != x * 2 + (double)i / 3 - x * x);
    }
    CHECK_INT(wrong, 0);
    fr_array_unref(a);
    fr_expr_free(e);
    e = NULL; // the lowest row is named, at any thread count
    const char *bad = "100 // (i - 70000) + 100 // (i - 140000)";
    CHECK_INT(fr_expr_compile(bad, strlen(bad), frames[0], NULL, 0, &e, &err), FR_OK);
    CHECK_INT(fr_expr_eval(e, &a, &err), FR_EINVAL);
    CHECK(strncmp(err.text, "row 70001, column \"i\": 100 // 0", 31) == 0);
    fr_expr_free(e);
    fr_frame_unref(frames[0]);
    fr_frame_unref(frames[1]);
}

static void slices_and_narrow_types(void)
{
    static const fr_csv_type types[] = {{"a", {.kind = FR_INT8}},   {"b", {.kind = FR_UINT32}},
                                        {"c", {.kind = FR_FLOAT32}}, {"d", {.kind = FR_CATEGORY}},
                                        {"t", {.kind = FR_TIME}}};
    fr_frame *f = table("a,b,c,d,e,t\n0,0,0,q,true,00:00\n-5,4000000000,.5,x,false,10:30\n,,,,,\n"
                        "7,1,2.5,y,true,23:59:59\n",
                        types, 5), *s = NULL;
    CHECK_INT(fr_frame_slice(f, 1, 3, &s, &err), FR_OK);
    static const expectation cases[] = {
        {"a + b", "int64|3999999995|~|8|"},
        {"c * 2", "float64|1.0|~|5.0|"},
        {"concat(d, a)", "utf8|x-5|~|y7|"},
        {"not e", "bool|true|~|false|"},
        {"d == 'y'", "bool|false|~|true|"},
        {"hour(t)", "int64|10|~|23|"},
        {"t > '12:00'", "bool|false|~|true|"},
        {"a", "int8|-5|~|7|"},
    };
    check_all(s, cases, FR_COUNT(cases));
    fr_frame_unref(s);
    fr_frame_unref(f);
}

static void aggregates(void)
{
    fr_frame *f = small_frame();
    fr_expr *e = NULL;
    const char *key = "zone", *text = "sum(a * 2) / count() + quantile(x, 0.25) * len(zone)";
    CHECK_INT(fr_expr_compile_agg(text, strlen(text), f, &key, 1, NULL, 0, &e, &err), FR_OK);
    CHECK_INT(fr_expr_agg_count(e), 3);
    CHECK(fr_expr_agg_at(e, 0)->op == FR_OP_SUM && fr_expr_agg_at(e, 1)->op == FR_OP_ROWS &&
          fr_expr_agg_at(e, 2)->op == FR_OP_QUANTILE);
    CHECK_NEAR(fr_expr_agg_at(e, 2)->quantile, .25, 0);
    CHECK_INT(fr_expr_agg_at(e, 0)->input.kind, FR_INT64);
    fr_array *in = NULL, *out = NULL;
    CHECK_INT(fr_expr_agg_input(e, 0, &in, &err), FR_OK);
    char *s = column_text(in);
    CHECK_STR(s, "int64|2|14|~|-16|");
    fr_free(s);
    fr_array_unref(in);
    CHECK_INT(fr_expr_agg_input(e, 1, &in, &err), FR_OK);
    CHECK(in == NULL);
    fr_frame *g = table("sum,count,q,zone\n2,2,1.0,N\n14,1,3.0,SW\n", NULL, 0);
    CHECK_INT(fr_expr_agg_input(e, 2, &in, &err), FR_OK);
    CHECK(in == f->cols[2]);
    fr_array_unref(in);
    fr_array *results[3] = {g->cols[0], g->cols[1], g->cols[2]}, *keys[1] = {g->cols[3]};
    CHECK_INT(fr_expr_agg_finish(e, results, keys, 2, &out, &err), FR_OK);
    s = column_text(out);
    CHECK_STR(s, "float64|2.0|20.0|");
    fr_free(s);
    fr_array_unref(out);
    fr_frame_unref(g);
    fr_expr_free(e);
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"a + 1", "\"a\" has many values per group"},
        {"sum(mean(a))", "an aggregate inside an aggregate"},
        {"mean(name)", "mean"},
        {"quantile(a)", "quantile takes a column and a number"},
        {"quantile(a, 2)", "from 0 to 1"},
        {"median()", "median takes one column"},
        {"row()", "row() has many values"},
    };
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        CHECK(fr_expr_compile_agg(bad[i].text, strlen(bad[i].text), f, &key, 1, NULL, 0, &e, &err) !=
              FR_OK);
        if (strstr(err.text, bad[i].message) == NULL) {
            CHECK_STR(err.text, bad[i].message);
        }
    }
    const char *flag = "sum(a > 0) + max(b, 1) * 0";
    CHECK(fr_expr_compile_agg(flag, strlen(flag), f, &key, 1, NULL, 0, &e, &err) != FR_OK);
    flag = "sum(a > 0) + min(max(a, b))";
    CHECK_INT(fr_expr_compile_agg(flag, strlen(flag), f, &key, 1, NULL, 0, &e, &err), FR_OK);
    CHECK_INT(fr_expr_type(e)->kind, FR_INT64);
    CHECK_INT(fr_expr_agg_input(e, 0, &in, &err), FR_OK);
    s = column_text(in);
    CHECK_STR(s, "int64|1|1|~|0|");
    fr_free(s);
    fr_array_unref(in);
    fr_expr_free(e);
    fr_frame_unref(f);
}

int main(void)
{
    CASE(arithmetic);
    CASE(logic_in_three_values);
    CASE(text);
    CASE(times);
    CASE(zones_are_local_time);
    CASE(parameters);
    CASE(errors_point_at_the_place);
    CASE(deep_and_long_texts_are_refused);
    CASE(many_rows_by_any_threads);
    CASE(slices_and_narrow_types);
    CASE(aggregates);
    fr_pool_shutdown();
    return check_end();
}
