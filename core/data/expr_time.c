#include "core/data/expr_int.h"
#include "core/data/when.h"

#include <math.h>
#include <string.h>

enum { DAY = 86400, WEEK_DAYS = 7 };

static const int64_t NANOS = 1000000000;

#define I64(v) ((const int64_t *)(v).data)
#define F64(v) ((const double *)(v).data)
#define STR(v) ((const expr_str *)(v).data)

// Constants.
static bool zoned_constant(const fr_when *w, const fr_type *t, int64_t *out)
{
    fr_zone *z = NULL;
    int64_t utc[2];
    if (fr_zone_open(t->zone, &z, NULL) != FR_OK) {
        return false;
    }
    int found = fr_zone_from_local(z, w->seconds, utc);
    fr_zone_unref(z);
    fr_when shifted = *w;
    if (found == 0) {
        return false;
    }
    shifted.seconds = utc[0];
    return fr_when_value(&shifted, t->unit, out);
}

bool expr_time_constant(const char *s, size_t n, const fr_type *t, int64_t *out)
{
    fr_when w;
    int64_t per = NANOS / fr_unit_per_second(t->unit);
    switch ((int)t->kind) {
    case FR_DATE:
        if (!fr_when_parse(s, n, &w) || w.has_time) {
            return false;
        }
        *out = fr_floor_div(w.seconds, DAY);
        return true;
    case FR_TIMESTAMP:
        if (!fr_when_parse(s, n, &w)) {
            return false;
        }
        if (t->zone[0] != '\0' && !w.has_offset) {
            return zoned_constant(&w, t, out);
        }
        return (t->zone[0] != '\0') == w.has_offset && fr_when_value(&w, t->unit, out);
    case FR_TIME:
        return fr_when_parse_time(s, n, out);
    case FR_DURATION:
        if (!fr_when_parse_duration(s, n, out) || *out % per != 0) {
            return false;
        }
        *out /= per;
        return true;
    default:
        return false;
    }
}

// Arithmetic.
int expr_no_operation(expr_compiler *c, const expr_node *node)
{
    char a[64], b[64];
    const expr_node *x = node->args[0], *y = node->args[1];
    bool whole = fr_kind_integer(y->type.kind) || fr_kind_integer(x->type.kind);
    const char *hint = "";
    if (whole && (x->type.kind == FR_TIMESTAMP || y->type.kind == FR_TIMESTAMP)) {
        hint = ": durations are written '1h', '15min', '2d'";
    }
    return expr_fail(c, FR_ETYPE, node->at, node->end - node->at,
                     "%s and %s have no such operation%s", expr_type_text(&x->type, a),
                     expr_type_text(&y->type, b), hint);
}

// '15min' beside a time: a duration in a unit that holds both.
static int read_duration(expr_compiler *c, expr_node *node, size_t i, fr_unit least)
{
    expr_node *n = node->args[i];
    int64_t nanos;
    if (n->op != EXPR_CONST || n->type.kind != FR_UTF8 || n->null) {
        return FR_OK;
    }
    if (!fr_when_parse_duration(n->s.s, n->s.n, &nanos)) {
        fr_when w;
        bool clock = node->args[1 - i]->type.kind == FR_TIME;
        if (node->op == EXPR_SUB && (clock ? fr_when_parse_time(n->s.s, n->s.n, &nanos)
                                           : fr_when_parse(n->s.s, n->s.n, &w))) {
            return FR_OK; // when - '2024-01-01', at - '10:30': handled as a time
        }
        return expr_fail(c, FR_ETYPE, n->at, n->end - n->at,
                         "'%.*s' is not a duration: write '1h30m', '15min', '2d'",
                         (int)FR_MIN(n->s.n, 40), n->s.s);
    }
    fr_unit unit = least;
    while (unit < FR_NANO && nanos % (NANOS / fr_unit_per_second(unit)) != 0) {
        unit = (fr_unit)(unit + 1);
    }
    expr_node *made = expr_node_new(c, EXPR_CONST, n->at, n->end, 0);
    made->type = (fr_type){.kind = FR_DURATION, .unit = unit};
    made->i = nanos / (NANOS / fr_unit_per_second(unit));
    made->typed = made->constant = true;
    node->args[i] = made;
    return FR_OK;
}

// Both sides to one unit, then integers.
int expr_in_unit(expr_compiler *c, expr_node *node, fr_unit unit, fr_type result)
{
    for (size_t i = 0; i < 2; i++) {
        fr_type t = node->args[i]->type;
        if (t.kind == FR_DATE) {
            t = (fr_type){.kind = FR_TIMESTAMP};
        }
        t.unit = unit;
        int rc = expr_cast(c, &node->args[i], &t);
        if (rc != FR_OK) {
            return rc;
        }
    }
    node->type = result;
    node->kernel = expr_kernel_arith(node->op, EXPR_P_I64);
    return FR_OK;
}

static fr_unit finer(const expr_node *node)
{
    const fr_type *a = &node->args[0]->type, *b = &node->args[1]->type;
    fr_unit x = a->kind == FR_DATE ? FR_SECOND : a->unit;
    fr_unit y = b->kind == FR_DATE ? FR_SECOND : b->unit;
    return FR_MAX(x, y);
}

static int shift_time(expr_compiler *c, expr_node *node, const fr_type *time)
{
    const expr_node *other = node->args[node->args[0]->type.kind == FR_DURATION ? 0 : 1];
    int64_t day = DAY * fr_unit_per_second(other->type.unit);
    bool whole_days = other->op == EXPR_CONST && !other->null && other->i % day == 0;
    fr_type result = *time;
    if (time->kind == FR_DATE && whole_days) {
        size_t at = node->args[0] == other ? 0 : 1;
        expr_node *days = expr_node_new(c, EXPR_CONST, other->at, other->end, 0);
        days->type = fr_type_of(FR_INT64);
        days->i = other->i / day;
        days->typed = days->constant = true;
        node->args[at] = days;
        node->type = result;
        node->kernel = expr_kernel_arith(node->op, EXPR_P_I64);
        return FR_OK;
    }
    if (time->kind == FR_DATE) {
        result = (fr_type){.kind = FR_TIMESTAMP};
    }
    result.unit = finer(node);
    return expr_in_unit(c, node, result.unit, result);
}

static int kernel_float_duration(expr_eval *e, const expr_node *node, const expr_vec *args,
                                 expr_vec *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double a = F64(args[0])[i], b = F64(args[1])[i];
        double x = rint(node->op == EXPR_MUL ? a * b : a / b);
        bool fits = x >= -9223372036854775808.0 && x < 9223372036854775808.0;
        if (!fits && expr_row_counts(e, out, i)) {
            return expr_fail_row(e, node, i, FR_EOVERFLOW, "a duration out of range");
        }
        ((int64_t *)out->data)[i] = fits ? (int64_t)x : 0;
    }
    return FR_OK;
}

static int both_floats(expr_compiler *c, expr_node *node)
{
    fr_type t = fr_type_of(FR_FLOAT64);
    int rc = expr_cast(c, &node->args[0], &t);
    return rc == FR_OK ? expr_cast(c, &node->args[1], &t) : rc;
}

static int scale_duration(expr_compiler *c, expr_node *node)
{
    expr_node *a = node->args[0], *b = node->args[1];
    bool first = a->type.kind == FR_DURATION;
    fr_type result = first ? a->type : b->type;
    const expr_node *number = first ? b : a;
    if (a->type.kind == b->type.kind && node->op == EXPR_DIV) {
        int rc = expr_in_unit(c, node, finer(node), result);
        node->type = fr_type_of(FR_FLOAT64);
        node->kernel = expr_kernel_arith(EXPR_DIV, EXPR_P_F64);
        return rc == FR_OK ? both_floats(c, node) : rc;
    }
    if (node->op == EXPR_IDIV || node->op == EXPR_MOD) {
        return expr_divide_duration(c, node);
    }
    bool scales = node->op == EXPR_MUL || (node->op == EXPR_DIV && first);
    if (!expr_is_number(number) || !scales) {
        return expr_no_operation(c, node);
    }
    node->type = result;
    if (node->op == EXPR_MUL && fr_kind_integer(number->type.kind)) {
        node->kernel = expr_kernel_arith(EXPR_MUL, EXPR_P_I64);
        return FR_OK;
    }
    node->kernel = kernel_float_duration;
    return both_floats(c, node);
}

static int add_times(expr_compiler *c, expr_node *node)
{
    expr_node *a = node->args[0], *b = node->args[1];
    fr_kind x = a->type.kind, y = b->type.kind;
    bool stamp_a = x == FR_TIMESTAMP || x == FR_DATE, stamp_b = y == FR_TIMESTAMP || y == FR_DATE;
    if (x == FR_DURATION && y == FR_DURATION) {
        fr_type t = {.kind = FR_DURATION, .unit = finer(node)};
        return expr_in_unit(c, node, t.unit, t);
    }
    if (stamp_a && y == FR_DURATION) {
        return shift_time(c, node, &a->type);
    }
    if (stamp_b && x == FR_DURATION && node->op == EXPR_ADD) {
        return shift_time(c, node, &b->type);
    }
    if (x == FR_DATE && fr_kind_integer(y)) { // days, as SQL counts
        node->type = a->type;
        node->kernel = expr_kernel_arith(node->op, EXPR_P_I64);
        return FR_OK;
    }
    if (y == FR_DATE && fr_kind_integer(x) && node->op == EXPR_ADD) {
        node->type = b->type;
        node->kernel = expr_kernel_arith(node->op, EXPR_P_I64);
        return FR_OK;
    }
    if (x == FR_TIME || y == FR_TIME) {
        return expr_clock_arith(c, node);
    }
    if (!stamp_a || !stamp_b || node->op != EXPR_SUB) {
        return expr_no_operation(c, node);
    }
    if (x == FR_DATE && y == FR_DATE) {
        node->type = fr_type_of(FR_INT64);
        node->kernel = expr_kernel_arith(EXPR_SUB, EXPR_P_I64);
        return FR_OK;
    }
    int rc = expr_unify(c, node, 0, 2, "a difference of times");
    fr_type t = {.kind = FR_DURATION, .unit = node->type.unit};
    return rc == FR_OK ? expr_in_unit(c, node, t.unit, t) : rc;
}

int expr_time_arith(expr_compiler *c, expr_node *node)
{
    fr_unit least = FR_SECOND;
    for (size_t i = 0; i < 2; i++) {
        fr_kind k = node->args[i]->type.kind;
        if (k == FR_TIMESTAMP || k == FR_DURATION) {
            least = FR_MAX(least, node->args[i]->type.unit);
        }
    }
    for (size_t i = 0; i < 2; i++) {
        const expr_node *n = node->args[i];
        if ((int)n->type.kind == 0) {
            return expr_type_fail(c, n, "a value whose type is known");
        }
        int rc = read_duration(c, node, i, least);
        if (rc != FR_OK) {
            return rc;
        }
        n = node->args[i];
        if (n->op == EXPR_CONST && n->type.kind == FR_UTF8) { // when - '2024-01-01'
            return add_times(c, node) == FR_OK ? FR_OK : expr_no_operation(c, node);
        }
    }
    if (node->op == EXPR_ADD || node->op == EXPR_SUB) {
        return add_times(c, node);
    }
    if (node->args[0]->type.kind == FR_DURATION || node->args[1]->type.kind == FR_DURATION) {
        return scale_duration(c, node);
    }
    return expr_no_operation(c, node);
}

// Parts of a time, in local time of its zone.
static int64_t local_seconds(const expr_node *node, const fr_type *t, int64_t v)
{
    int64_t s = t->kind == FR_TIMESTAMP ? fr_floor_div(v, fr_unit_per_second(t->unit))
                                        : fr_floor_div(v, NANOS);
    return node->zone != NULL ? s + fr_zone_offset(node->zone, s) : s;
}

static int64_t weekday_of(int64_t days) // Monday is 1, Sunday 7 (ISO 8601)
{
    int64_t k = (days + 3) % WEEK_DAYS; // 1970-01-01 was a Thursday
    return (k < 0 ? k + WEEK_DAYS : k) + 1;
}

static int64_t yearday_of(int64_t days)
{
    int64_t y;
    int m, d;
    fr_when_civil(days, &y, &m, &d);
    return days - fr_when_days(y, 1, 1) + 1;
}

static int64_t week_of(int64_t days) // ISO 8601: the week belongs to its Thursday's year
{
    return (yearday_of(days - weekday_of(days) + 4) - 1) / WEEK_DAYS + 1;
}

static int64_t date_part(int64_t days, int64_t part)
{
    int64_t y;
    int m, d;
    switch (part) {
    case 'u':
        return weekday_of(days);
    case 'j':
        return yearday_of(days);
    case 'V':
        return week_of(days);
    default:
        fr_when_civil(days, &y, &m, &d);
        return part == 'Y' ? y : part == 'm' ? m : part == 'q' ? (m + 2) / 3 : d;
    }
}

// Neighbouring rows mostly share the day: the last one's answer is kept.
static int kernel_date_part(expr_eval *e, const expr_node *node, const expr_vec *args,
                            expr_vec *out, size_t n)
{
    (void)e;
    const fr_type *t = &node->args[0]->type;
    int64_t last = INT64_MIN, value = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t v = I64(args[0])[i];
        int64_t days = t->kind == FR_DATE ? v : fr_floor_div(local_seconds(node, t, v), DAY);
        if (days != last) {
            last = days;
            value = date_part(days, node->i);
        }
        ((int64_t *)out->data)[i] = value;
    }
    return FR_OK;
}

static int kernel_clock_part(expr_eval *e, const expr_node *node, const expr_vec *args,
                             expr_vec *out, size_t n)
{
    (void)e;
    const fr_type *t = &node->args[0]->type;
    for (size_t i = 0; i < n; i++) {
        int64_t s = local_seconds(node, t, I64(args[0])[i]);
        s -= fr_floor_div(s, DAY) * DAY;
        ((int64_t *)out->data)[i] = node->i == 'H'   ? s / 3600
                                    : node->i == 'M' ? s / 60 % 60
                                                     : s % 60;
    }
    return FR_OK;
}

static int open_zone(expr_compiler *c, expr_node *node, const fr_type *t)
{
    if (t->kind != FR_TIMESTAMP || t->zone[0] == '\0') {
        return FR_OK;
    }
    int rc = fr_zone_open(t->zone, &node->zone, c->err);
    return rc;
}

// A text constant where a time is wanted: date('2024-01-31'), year('2024-01-31').
static int constant_time(expr_compiler *c, expr_node *node, size_t i)
{
    expr_node *n = node->args[i];
    fr_when w;
    if ((int)n->type.kind == 0) {
        n->type = fr_type_of(FR_DATE);
        return FR_OK;
    }
    if (n->op != EXPR_CONST || n->type.kind != FR_UTF8 || n->null) {
        return FR_OK;
    }
    if (!fr_when_parse(n->s.s, n->s.n, &w)) {
        return expr_fail(c, FR_ETYPE, n->at, n->end - n->at,
                         "'%.*s' is not a date or time such as '2024-01-31 10:00'",
                         (int)FR_MIN(n->s.n, 40), n->s.s);
    }
    fr_type t = fr_type_of(FR_DATE);
    if (w.has_time) {
        t = (fr_type){.kind = FR_TIMESTAMP, .unit = w.digits > 6 ? FR_NANO : FR_MICRO};
        memcpy(t.zone, "UTC", w.has_offset ? 4 : 0);
    }
    expr_node *made = expr_node_new(c, EXPR_CONST, n->at, n->end, 0);
    made->type = t;
    made->typed = made->constant = true;
    if (!expr_time_constant(n->s.s, n->s.n, &t, &made->i)) {
        return expr_type_fail(c, n, "a time in range");
    }
    node->args[i] = made;
    return FR_OK;
}

EXPR_TYPER(part)
{
    bool clock = node->i == 'H' || node->i == 'M' || node->i == 'S';
    int rc = constant_time(c, node, 0);
    if (rc != FR_OK) {
        return rc;
    }
    const expr_node *x = node->args[0];
    fr_kind k = x->type.kind;
    bool fits = k == FR_TIMESTAMP || (clock ? k == FR_TIME : k == FR_DATE);
    if (!fits) {
        return expr_type_fail(c, x, clock ? "a timestamp or time of day; text becomes one with "
                                            "timestamp(x)"
                                          : "a date or timestamp; text becomes one with date(x)");
    }
    node->type = fr_type_of(FR_INT64);
    node->kernel = clock ? kernel_clock_part : kernel_date_part;
    return open_zone(c, node, &x->type);
}

// Conversions.
static int kernel_to_date(expr_eval *e, const expr_node *node, const expr_vec *args,
                          expr_vec *out, size_t n)
{
    (void)e;
    const fr_type *t = &node->args[0]->type;
    for (size_t i = 0; i < n; i++) {
        int64_t v = I64(args[0])[i];
        ((int64_t *)out->data)[i] =
            t->kind == FR_DATE ? v : fr_floor_div(local_seconds(node, t, v), DAY);
    }
    return FR_OK;
}

static int kernel_civil(expr_eval *e, const expr_node *node, const expr_vec *args,
                        expr_vec *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int64_t y = I64(args[0])[i], m = I64(args[1])[i], d = I64(args[2])[i];
        bool real = y > -100000 && y < 100000 && m >= 1 && m <= 12 && d >= 1 && d <= 31 &&
                    fr_when_valid(y, (int)m, (int)d);
        if (!real && expr_row_counts(e, out, i)) {
            return expr_fail_row(e, node, i, FR_EINVAL, "there is no day %lld-%lld-%lld",
                                 (long long)y, (long long)m, (long long)d);
        }
        ((int64_t *)out->data)[i] = real ? fr_when_days(y, (int)m, (int)d) : 0;
    }
    return FR_OK;
}

static int kernel_parse(expr_eval *e, const expr_node *node, const expr_vec *args,
                        expr_vec *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        expr_str t = STR(args[0])[i];
        int64_t *r = (int64_t *)out->data + i;
        if (!expr_row_counts(e, out, i)) {
            continue;
        }
        fr_when w;
        bool good = fr_when_parse(t.s, t.n, &w) && !w.has_offset &&
                    (node->type.kind == FR_TIMESTAMP || !w.has_time) &&
                    (node->type.kind == FR_DATE || fr_when_value(&w, node->type.unit, r));
        if (!good) {
            return expr_fail_row(e, node, i, FR_EPARSE, "'%.*s' is not a %s such as '2024-01-31%s'",
                                 (int)FR_MIN(t.n, 40), t.s,
                                 node->type.kind == FR_DATE ? "date" : "time",
                                 node->type.kind == FR_DATE ? "" : " 10:00");
        }
        if (node->type.kind == FR_DATE) {
            *r = fr_floor_div(w.seconds, DAY);
        }
    }
    return FR_OK;
}

EXPR_TYPER(date)
{
    node->type = fr_type_of(FR_DATE);
    if (node->n_args == 2) {
        return expr_fail(c, FR_EINVAL, node->at, node->end - node->at, "usage: %s",
                         node->function->usage);
    }
    if (node->n_args == 3) {
        int rc = FR_OK;
        node->kernel = kernel_civil;
        for (size_t i = 0; i < 3 && rc == FR_OK; i++) {
            rc = expr_want(c, node, i, FR_INT64);
        }
        return rc;
    }
    int rc = constant_time(c, node, 0);
    const expr_node *x = node->args[0];
    if (rc != FR_OK || expr_is_text(x)) {
        node->kernel = kernel_parse;
        return rc;
    }
    if (x->type.kind != FR_DATE && x->type.kind != FR_TIMESTAMP) {
        return expr_type_fail(c, x, "a timestamp, a date or text");
    }
    node->kernel = kernel_to_date;
    return open_zone(c, node, &x->type);
}

EXPR_TYPER(timestamp)
{
    fr_type t = {.kind = FR_TIMESTAMP, .unit = FR_MICRO};
    node->type = t;
    int rc = constant_time(c, node, 0);
    const expr_node *x = node->args[0];
    if (rc != FR_OK || expr_is_text(x)) {
        node->kernel = kernel_parse;
        return rc;
    }
    if (x->type.kind == FR_TIMESTAMP) {
        node->type = x->type;
    } else if (x->type.kind != FR_DATE) {
        return expr_type_fail(c, x, "a date or text");
    } else {
        rc = expr_cast(c, &node->args[0], &t);
    }
    node->kernel = expr_kernel_scale;
    node->i = 1;
    return rc;
}

// trunc(time, unit): calendar units have letters, fixed lengths are durations.
static int64_t trunc_days(int64_t days, int64_t unit)
{
    int64_t y;
    int m, d;
    if (unit == 'd') {
        return days;
    }
    if (unit == 'V') {
        return days - weekday_of(days) + 1;
    }
    fr_when_civil(days, &y, &m, &d);
    m = unit == 'Y' ? 1 : unit == 'q' ? (m - 1) / 3 * 3 + 1 : m;
    return fr_when_days(y, m, 1);
}

static int64_t to_utc(const fr_zone *z, int64_t local_s)
{
    int64_t utc[2];
    if (z == NULL) {
        return local_s;
    }
    // A day that starts in a gap starts when the gap ends.
    for (int64_t s = local_s; s < local_s + 4 * 3600; s += 900) {
        if (fr_zone_from_local(z, s, utc) > 0) {
            return utc[0];
        }
    }
    return local_s - fr_zone_offset(z, local_s);
}

static int kernel_trunc_calendar(expr_eval *e, const expr_node *node, const expr_vec *args,
                                 expr_vec *out, size_t n)
{
    (void)e;
    const fr_type *t = &node->args[0]->type;
    int64_t per = fr_unit_per_second(t->unit), last = INT64_MIN, value = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t v = I64(args[0])[i];
        if (t->kind == FR_DATE) {
            ((int64_t *)out->data)[i] = trunc_days(v, node->i);
            continue;
        }
        int64_t days = fr_floor_div(local_seconds(node, t, v), DAY);
        if (days != last) {
            last = days;
            // Texts of years beyond the unit's range cannot be here: the row itself is in it,
            // and only a year's first days may lie below it; wrapping is then the null row's.
            value = (int64_t)((uint64_t)to_utc(node->zone, trunc_days(days, node->i) * DAY) *
                              (uint64_t)per);
        }
        ((int64_t *)out->data)[i] = value;
    }
    return FR_OK;
}

static int kernel_trunc_fixed(expr_eval *e, const expr_node *node, const expr_vec *args,
                              expr_vec *out, size_t n)
{
    (void)e;
    const fr_type *t = &node->args[0]->type;
    int64_t per = t->kind == FR_TIME ? NANOS : fr_unit_per_second(t->unit);
    for (size_t i = 0; i < n; i++) {
        int64_t v = I64(args[0])[i], shift = 0, r;
        if (node->zone != NULL) {
            shift = fr_zone_offset(node->zone, fr_floor_div(v, per)) * per;
        }
        int64_t local = (int64_t)((uint64_t)v + (uint64_t)shift);
        int64_t rest = local % node->i;
        r = v - (rest < 0 ? rest + node->i : rest);
        ((int64_t *)out->data)[i] = r;
    }
    return FR_OK;
}

static bool unit_word(expr_str s, const char *word)
{
    size_t n = strlen(word);
    return s.n >= n && memcmp(s.s, word, n) == 0 &&
           (s.n == n || (s.n == n + 1 && s.s[n] == 's'));
}

// 'hour', 'hours', '15min': nanoseconds, or the letter of a calendar unit.
static bool time_unit(expr_str s, int64_t *nanos, char *calendar)
{
    static const struct {
        const char *word;
        int64_t nanos;
        char calendar;
    } units[] = {{"second", 1000000000, 0},   {"minute", 60000000000, 0},
                 {"hour", 3600000000000, 0},  {"day", 86400000000000, 'd'},
                 {"week", 604800000000000, 'V'}, {"month", 0, 'm'},
                 {"quarter", 0, 'q'},         {"year", 0, 'Y'},
                 {"millisecond", 1000000, 0}, {"microsecond", 1000, 0}};
    for (size_t i = 0; i < FR_COUNT(units); i++) {
        if (unit_word(s, units[i].word)) {
            *nanos = units[i].nanos;
            *calendar = units[i].calendar;
            return true;
        }
    }
    *calendar = 0;
    return fr_when_parse_duration(s.s, s.n, nanos) && *nanos > 0;
}

int expr_want_unit(expr_compiler *c, const expr_node *n, int64_t *nanos, char *calendar)
{
    if (n->op == EXPR_CONST && n->type.kind == FR_UTF8 && !n->null &&
        time_unit(n->s, nanos, calendar)) {
        return FR_OK;
    }
    return expr_fail(c, FR_EINVAL, n->at, n->end - n->at,
                     "expected a unit: 'second', 'minute', 'hour', 'day', 'week', 'month', "
                     "'quarter', 'year' or a duration such as '15min'");
}

EXPR_TYPER(trunc)
{
    int64_t nanos;
    char calendar;
    int rc = constant_time(c, node, 0);
    if (rc == FR_OK) {
        rc = expr_want_unit(c, node->args[1], &nanos, &calendar);
    }
    if (rc != FR_OK) {
        return rc;
    }
    const expr_node *x = node->args[0];
    fr_kind k = x->type.kind;
    bool fits = k == FR_TIMESTAMP || (k == FR_DATE && calendar != 0) ||
                (k == FR_TIME && calendar == 0);
    if (!fits) {
        return expr_type_fail(c, x, k == FR_DATE ? "a timestamp: a date has no parts of a day"
                                                 : "a date or timestamp");
    }
    node->type = x->type;
    node->kernel = calendar != 0 ? kernel_trunc_calendar : kernel_trunc_fixed;
    int64_t per = k == FR_TIME ? 1 : NANOS / fr_unit_per_second(x->type.unit);
    node->i = calendar != 0 ? calendar : FR_MAX(nanos / per, 1);
    node->n_args = 1;
    return open_zone(c, node, &x->type);
}

static int kernel_diff(expr_eval *e, const expr_node *node, const expr_vec *args, expr_vec *out,
                       size_t n)
{
    (void)e;
    double unit = (double)node->i;
    for (size_t i = 0; i < n; i++) {
        // Exact below 2^53 units; wider ones lose what a double cannot hold.
        double d = (double)I64(args[0])[i] - (double)I64(args[1])[i];
        int64_t whole;
        if (!__builtin_sub_overflow(I64(args[0])[i], I64(args[1])[i], &whole)) {
            d = (double)whole;
        }
        ((double *)out->data)[i] = d / unit;
    }
    return FR_OK;
}

EXPR_TYPER(diff)
{
    int64_t nanos;
    char calendar;
    int rc = expr_want_unit(c, node->args[2], &nanos, &calendar);
    if (rc == FR_OK && nanos == 0) {
        const expr_node *n = node->args[2];
        return expr_fail(c, FR_EINVAL, n->at, n->end - n->at,
                         "months and years differ in length: use 'day', or year(a) - year(b)");
    }
    for (size_t i = 0; i < 2 && rc == FR_OK; i++) {
        rc = constant_time(c, node, i);
    }
    if (rc == FR_OK) {
        rc = expr_unify(c, node, 0, 2, "diff");
    }
    if (rc != FR_OK) {
        return rc;
    }
    fr_type t = node->type;
    if (t.kind == FR_DATE) {
        t = (fr_type){.kind = FR_TIMESTAMP, .unit = FR_SECOND};
    } else if (t.kind != FR_TIMESTAMP && t.kind != FR_TIME) {
        return expr_type_fail(c, node->args[0], "dates or timestamps");
    }
    int64_t per = t.kind == FR_TIME ? 1 : NANOS / fr_unit_per_second(t.unit);
    if (t.kind == FR_TIMESTAMP && nanos % per != 0) {
        t.unit = FR_NANO;
        per = 1;
    }
    for (size_t i = 0; i < 2 && rc == FR_OK && t.kind == FR_TIMESTAMP; i++) {
        rc = expr_cast(c, &node->args[i], &t);
    }
    node->i = nanos / per;
    node->n_args = 2;
    node->type = fr_type_of(FR_FLOAT64);
    node->kernel = kernel_diff;
    return rc;
}
