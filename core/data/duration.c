#include "core/data/duration.h"

#include "core/base/mem.h"
#include "core/data/group_int.h"

#include <math.h>
#include <string.h>

bool fr_duration_rounds(fr_op op, const fr_type *in)
{
    return in->kind == FR_DURATION && (op == FR_OP_MEAN || op == FR_OP_STD ||
                                       op == FR_OP_MEDIAN || op == FR_OP_QUANTILE);
}

fr_array *fr_duration_numbers(const fr_array *a)
{
    fr_array *view = fr_zalloc(sizeof *view);
    fr_object_init(&view->object, &fr_array_ops);
    view->type = fr_type_of(FR_INT64);
    view->length = a->length;
    view->offset = a->offset;
    view->nulls = a->nulls;
    view->values = fr_block_ref(a->values);
    view->validity = a->validity != NULL ? fr_block_ref(a->validity) : NULL;
    return view;
}

static int round_to(double x, int64_t row, int64_t *out, fr_err *err)
{
    double whole = rint(x);
    if (!(whole >= -0x1p63 && whole < 0x1p63)) {
        return fr_fail(err, FR_EOVERFLOW, "row %lld: %g units are no duration",
                       (long long)row + 1, x);
    }
    *out = (int64_t)whole;
    return FR_OK;
}

int fr_duration_round(const fr_array *x, fr_type type, fr_array **out, fr_err *err)
{
    fr_builder *b = fr_builder_new(type, x->length);
    int rc = FR_OK;
    for (int64_t i = 0; i < x->length && rc == FR_OK; i++) {
        int64_t v = 0;
        if (!fr_array_has(x, i)) {
            rc = fr_builder_null(b, err);
            continue;
        }
        rc = round_to(fr_array_f64(x)[i], i, &v, err);
        rc = rc == FR_OK ? fr_builder_int(b, v, err) : rc;
    }
    rc = rc == FR_OK ? fr_builder_finish(b, out, err) : rc;
    fr_builder_free(b);
    return rc;
}

int fr_duration_round_one(fr_scalar *v, fr_type type, fr_err *err)
{
    v->type = type;
    return v->null ? FR_OK : round_to(v->number, 0, &v->integer, err);
}

// Durations of such calls become numbers, one view per column, so that calls on the same
// column still share a pass.
static void plain_calls(const fr_group_call *calls, size_t n, fr_group_call *plain,
                        fr_array **views)
{
    for (size_t i = 0; i < n; i++) {
        plain[i] = calls[i];
        if (calls[i].input == NULL || !fr_duration_rounds(calls[i].op, &calls[i].input->type)) {
            continue;
        }
        for (size_t k = 0; k < i && plain[i].input == calls[i].input; k++) {
            bool same = views[k] != NULL && calls[k].input == calls[i].input;
            plain[i].input = same ? views[k] : plain[i].input;
        }
        if (plain[i].input == calls[i].input) {
            views[i] = fr_duration_numbers(calls[i].input);
            plain[i].input = views[i];
        }
    }
}

int fr_group_aggregate(fr_group *g, const fr_group_call *calls, size_t n, fr_array **results,
                       fr_err *err)
{
    fr_group_call *plain = fr_zalloc((n + 1) * sizeof *plain);
    fr_array **views = fr_zalloc((n + 1) * sizeof *views);
    plain_calls(calls, n, plain, views);
    int rc = fr_group_aggregate_numbers(g, plain, n, results, err);
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        if (plain[i].input != calls[i].input) {
            fr_array *numbers = results[i];
            results[i] = NULL;
            rc = fr_duration_round(numbers, calls[i].input->type, &results[i], err);
            fr_array_unref(numbers);
        }
    }
    for (size_t i = 0; i < n; i++) {
        fr_array_unref(views[i]);
        if (rc != FR_OK) {
            fr_array_unref(results[i]);
            results[i] = NULL;
        }
    }
    fr_free(views);
    fr_free(plain);
    return rc;
}
