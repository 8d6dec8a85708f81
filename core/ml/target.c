#include "core/ml/target.h"

#include "core/base/decimal.h"
#include "core/base/mem.h"
#include "core/data/compute.h"
#include "core/data/factor.h"

#include <math.h>
#include <string.h>

static bool is_text(fr_kind k) { return k == FR_UTF8 || k == FR_CATEGORY; }
static bool is_float(fr_kind k) { return k == FR_FLOAT64 || k == FR_FLOAT32; }

static int first_null(const fr_array *y, const char *name, fr_err *err)
{
    int64_t i = 0;
    while (i < y->length && fr_array_has(y, i)) {
        i++;
    }
    return fr_fail(
        err, FR_EINVAL,
        "`%s` is null in row %lld: drop such rows first, as df:dropna{\"%s\"} does", name,
        (long long)i + 1, name);
}

// Whether the array can hold class labels at all.
static int check_labels(const fr_array *y, const char *name, fr_err *err)
{
    char type[64];
    if (y->nulls > 0) {
        return first_null(y, name, err);
    }
    if (!fr_kind_number(y->type.kind) && !is_text(y->type.kind) &&
        y->type.kind != FR_BOOL) {
        return fr_fail(err, FR_ETYPE,
                       "`%s` is %s: class labels are integers, booleans or text", name,
                       fr_type_name(&y->type, type));
    }
    for (int64_t i = 0; is_float(y->type.kind) && i < y->length; i++) {
        double v = fr_array_number(y, i);
        if (!(v == floor(v)) || isinf(v)) {
            return fr_fail(err, FR_EINVAL,
                           "`%s` has the number %g in row %lld: class labels are whole "
                           "numbers, booleans or text",
                           name, v, (long long)i + 1);
        }
    }
    return FR_OK;
}

static int factor(const fr_array *y, const char *name, int32_t *code, fr_array **labels,
                  fr_err *err)
{
    fr_factor f;
    int rc = fr_factor_init(&f, &y, 1, false, err);
    if (rc != FR_OK) {
        return rc;
    }
    rc = fr_factor_sort(&f, &y, 1, err);
    if (rc == FR_OK && f.groups > FR_TARGET_CLASSES) {
        rc = fr_fail(err, FR_ELIMIT, "`%s` has %lld different values: at most %d classes",
                     name, (long long)f.groups, FR_TARGET_CLASSES);
    }
    if (rc == FR_OK) {
        rc = fr_compute_take(y, fr_factor_first(&f), f.groups, false, labels, err);
    }
    if (rc == FR_OK) {
        const uint32_t *id = fr_factor_ids(&f);
        for (int64_t i = 0; i < y->length; i++) {
            code[i] = (int32_t)id[i];
        }
    }
    fr_factor_fini(&f);
    return rc;
}

int fr_target_encode(const fr_array *y, const char *name, int32_t *code,
                     fr_array **labels, fr_err *err)
{
    *labels = NULL;
    int rc = check_labels(y, name, err);
    return rc != FR_OK ? rc : factor(y, name, code, labels, err);
}

// The type in which two label arrays can be compared.
static int common_type(const fr_array *a, const fr_array *b, fr_type *out, fr_err *err)
{
    fr_kind x = a->type.kind, y = b->type.kind;
    if (x == FR_BOOL && y == FR_BOOL) {
        *out = fr_type_of(FR_BOOL);
    } else if (is_text(x) && is_text(y)) {
        *out = fr_type_of(FR_UTF8);
    } else if (is_text(x) || is_text(y)) {
        char s[64], t[64];
        return fr_fail(err, FR_ETYPE, "labels of type %s cannot be compared with %s",
                       fr_type_name(&a->type, s), fr_type_name(&b->type, t));
    } else {
        *out = fr_type_of(is_float(x) || is_float(y) ? FR_FLOAT64 : FR_INT64);
    }
    return FR_OK;
}

static int cast_both(const fr_array *y, const fr_array *p, fr_array *both[2], fr_err *err)
{
    fr_type type;
    bool same = y->type.kind != FR_CATEGORY && fr_type_eq(&y->type, &p->type);
    if (same) {
        both[0] = fr_array_ref(y);
        both[1] = fr_array_ref(p);
        return FR_OK;
    }
    int rc = common_type(y, p, &type, err);
    rc = rc != FR_OK ? rc : fr_compute_cast(y, type, &both[0], err);
    return rc != FR_OK ? rc : fr_compute_cast(p, type, &both[1], err);
}

int fr_target_encode_pair(const fr_array *y, const fr_array *p, int32_t *code_y,
                          int32_t *code_p, fr_array **labels, fr_err *err)
{
    *labels = NULL;
    if (y->length != p->length) {
        return fr_fail(err, FR_EINVAL, "%lld labels but %lld predictions",
                       (long long)y->length, (long long)p->length);
    }
    fr_array *both[2] = {NULL, NULL}, *all = NULL;
    int32_t *code = fr_try_alloc(((size_t)y->length * 2 + 1) * sizeof *code);
    int rc = code == NULL ? fr_fail(err, FR_ENOMEM, "no memory for labels")
                          : check_labels(y, "y", err);
    rc = rc != FR_OK ? rc : check_labels(p, "p", err);
    rc = rc != FR_OK ? rc : cast_both(y, p, both, err);
    const fr_array *const parts[] = {both[0], both[1]};
    rc = rc != FR_OK ? rc : fr_compute_concat(parts, 2, "labels", &all, err);
    rc = rc != FR_OK ? rc : factor(all, "labels", code, labels, err);
    if (rc == FR_OK && y->length > 0) {
        memcpy(code_y, code, (size_t)y->length * sizeof *code);
        memcpy(code_p, code + y->length, (size_t)y->length * sizeof *code);
    }
    fr_free(code);
    fr_array_unref(both[0]);
    fr_array_unref(both[1]);
    fr_array_unref(all);
    return rc;
}

// Which of all distinct values each label is; -1 for values that are no label.
static void number_labels(const int32_t *label_code, size_t labels, int32_t *number,
                          size_t n)
{
    for (size_t i = 0; i < n; i++) {
        number[i] = -1;
    }
    for (size_t k = 0; k < labels; k++) {
        number[label_code[k]] = (int32_t)k;
    }
}

static int renumber(const fr_array *y, const char *name, int32_t *code,
                    const int32_t *number, fr_err *err)
{
    for (int64_t i = 0; i < y->length; i++) {
        int32_t k = number[code[i]];
        if (k < 0) {
            fr_buf text;
            fr_buf_init(&text, 100);
            fr_target_print(y, i, &text);
            int rc = fr_fail(err, FR_EINVAL,
                             "`%s` has the class %s in row %lld, which the model was not "
                             "fitted on",
                             name, fr_buf_text(&text), (long long)i + 1);
            fr_buf_fini(&text);
            return rc;
        }
        code[i] = k;
    }
    return FR_OK;
}

int fr_target_match(const fr_array *y, const char *name, const fr_array *labels,
                    int32_t *code, fr_err *err)
{
    fr_array *both[2] = {NULL, NULL}, *all = NULL, *distinct = NULL;
    size_t n = (size_t)y->length, k = (size_t)labels->length;
    int32_t *scratch = fr_try_alloc(2 * (n + k + 1) * sizeof *scratch);
    int rc = scratch == NULL ? fr_fail(err, FR_ENOMEM, "no memory for labels")
                             : check_labels(y, name, err);
    rc = rc != FR_OK ? rc : cast_both(y, labels, both, err);
    const fr_array *const parts[] = {both[0], both[1]};
    rc = rc != FR_OK ? rc : fr_compute_concat(parts, 2, name, &all, err);
    rc = rc != FR_OK ? rc : factor(all, name, scratch, &distinct, err);
    if (rc == FR_OK) {
        int32_t *number = scratch + n + k;
        number_labels(scratch + n, k, number, n + k);
        if (n > 0) {
            memcpy(code, scratch, n * sizeof *code);
        }
        rc = renumber(y, name, code, number, err);
    }
    fr_free(scratch);
    fr_array_unref(both[0]);
    fr_array_unref(both[1]);
    fr_array_unref(all);
    fr_array_unref(distinct);
    return rc;
}

int fr_target_decode(const fr_array *labels, const int32_t *code, size_t n,
                     fr_array **out, fr_err *err)
{
    return fr_compute_take(labels, (const uint32_t *)(const void *)code, (int64_t)n,
                           false, out, err);
}

// Python turns to exponents one digit earlier than fr_decimal_print: at 1e16.
static void print_float(double v, fr_buf *out)
{
    char text[FR_DECIMAL_MAX];
    size_t n = fr_decimal_print(v, text);
    if (fabs(v) < 1e16 || fabs(v) >= 1e17) {
        fr_buf_put(out, text, n);
        return;
    }
    const char *digit = text;
    if (*digit == '-') {
        fr_buf_put_u8(out, '-');
        digit++;
    }
    size_t digits = strcspn(digit, ".");
    while (digits > 1 && digit[digits - 1] == '0') {
        digits--;
    }
    fr_buf_printf(out, "%c%s%.*se+16", digit[0], digits > 1 ? "." : "", (int)digits - 1,
                  digit + 1);
}

void fr_target_print(const fr_array *labels, int64_t i, fr_buf *out)
{
    fr_kind kind = labels->type.kind;
    if (is_text(kind)) {
        size_t n;
        const char *s = fr_array_text(labels, i, &n);
        fr_buf_put(out, s, n);
    } else if (kind == FR_BOOL) {
        fr_buf_put_str(out, fr_array_bool(labels, i) ? "True" : "False");
    } else if (is_float(kind)) {
        print_float(fr_array_number(labels, i), out);
    } else if (kind == FR_UINT64) {
        fr_buf_printf(out, "%llu", (unsigned long long)fr_array_int(labels, i));
    } else {
        fr_buf_printf(out, "%lld", (long long)fr_array_int(labels, i));
    }
}
