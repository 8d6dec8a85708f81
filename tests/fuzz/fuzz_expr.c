// fuzz_expr -- expression texts against a small frame with every kind of column.
//
// Beyond not crashing: a category column must behave as the same text column does, although
// it runs over its dictionary.

#include "core/base/mem.h"
#include "core/data/csv.h"
#include "core/data/expr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static fr_frame *make(fr_kind zone)
{
    fr_buf b;
    fr_buf_init(&b, 1 << 20);
    fr_buf_put_str(&b, "a,b,x,y,s,z,ok,d,t,u,o\n");
    for (int i = 0; i < 67; i++) {
        if (i % 13 == 5) {
            fr_buf_put_str(&b, ",,,,,,,,,,\n");
            continue;
        }
        fr_buf_printf(&b, "%d,%d,%d.%d,%d,s%d%s,%c,%s,2024-%02d-%02d,%d-01-31 %02d:30:15.5,%dh,%s\n", i,
                      (i * 7919) % 11 - 5, i, i % 10, i % 3 - 1, i % 7, i % 2 ? " x" : "\xc3\xa4",
                      'A' + i % 4, i % 2 ? "true" : "false", i % 12 + 1, i % 28 + 1, 1960 + i * 2,
                      i % 24, i - 30, i % 2 ? "9223372036854775807" : "-9223372036854775808");
    }
    const fr_csv_type types[] = {
        {"z", {.kind = zone}}, {"u", {.kind = FR_DURATION, .unit = FR_SECOND}}};
    fr_csv_options o;
    fr_csv_defaults(&o);
    o.types = types;
    o.n_types = 2;
    fr_frame *f = NULL;
    FR_ASSERT(fr_csv_read_bytes("f", b.data, b.size, &o, &f, NULL, NULL) == FR_OK);
    fr_buf_fini(&b);
    return f;
}

static int run(const char *text, size_t n, const fr_frame *f, bool agg, fr_array **out, fr_err *err)
{
    static const char *const keys[] = {"z", "d"};
    static const fr_expr_param params[] = {
        {.name = "i", .kind = FR_PARAM_INT, .integer = 3},
        {.name = "f", .kind = FR_PARAM_FLOAT, .number = .5},
        {.name = "s", .kind = FR_PARAM_TEXT, .text = "s1 x", .size = 4},
        {.name = "n", .kind = FR_PARAM_NULL}};
    fr_expr *e = NULL;
    *out = NULL;
    int rc = agg ? fr_expr_compile_agg(text, n, f, keys, 2, params, FR_COUNT(params), &e, err)
                 : fr_expr_compile(text, n, f, params, FR_COUNT(params), &e, err);
    for (size_t i = 0; rc == FR_OK && i < fr_expr_agg_count(e); i++) {
        rc = fr_expr_agg_input(e, i, out, err);
        fr_array_unref(*out);
        *out = NULL;
    }
    if (rc == FR_OK && !agg) {
        rc = fr_expr_eval(e, out, err);
    }
    fr_expr_free(e);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    static fr_frame *text, *category; // made once: they never change
    if (text == NULL) {
        text = make(FR_UTF8);
        category = make(FR_CATEGORY);
    }
    bool agg = data[0] == '!';
    const char *s = (const char *)data + agg;
    fr_array *a, *b;
    fr_err err = FR_ERR_INIT, err2 = FR_ERR_INIT;
    int rc = run(s, size - agg, text, agg, &a, &err);
    int rc2 = run(s, size - agg, category, agg, &b, &err2);
    FR_ASSERT((rc == FR_OK) || (a == NULL && err.text[0] != '\0'));
    bool same = rc == rc2 && (a == NULL || a->type.kind != b->type.kind ||
                              fr_hash_eq(fr_array_hash(a), fr_array_hash(b)));
    if (!same) {
        (void)fprintf(stderr, "%.*s\n%d %s\n%d %s\n", (int)(size - agg), s, rc, err.text, rc2,
                      err2.text);
        abort();
    }
    fr_array_unref(a);
    fr_array_unref(b);
    return 0;
}
