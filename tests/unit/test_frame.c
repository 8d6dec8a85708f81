#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/frame.h"
#include "tests/unit/check.h"

static fr_array *ints(int64_t n, int64_t first)
{
    fr_array *a;
    CHECK_INT(fr_array_new(fr_type_of(FR_INT64), n, 0, &a, NULL), FR_OK);
    for (int64_t i = 0; i < n; i++) {
        ((int64_t *)(void *)a->values->data)[i] = first + i;
    }
    return a;
}

static void columns_are_found_by_name(void)
{
    for (size_t n = 1; n < 3000; n = n * 3 + 1) {
        fr_array *col = ints(4, 0);
        char **names = fr_alloc(n * sizeof *names);
        fr_array **cols = fr_alloc(n * sizeof *cols);
        for (size_t i = 0; i < n; i++) {
            char text[24];
            (void)snprintf(text, sizeof text, "c%zu", i);
            names[i] = fr_strdup(text);
            cols[i] = col;
        }
        fr_frame *f;
        fr_err err = FR_ERR_INIT;
        CHECK_INT(fr_frame_new(n, (const char *const *)names, cols, &f, &err), FR_OK);
        bool found = true;
        for (size_t i = 0; i < n; i++) {
            found = found && fr_frame_find(f, names[i]) == (ptrdiff_t)i;
        }
        CHECK(found);
        CHECK_INT(fr_frame_find(f, "nope"), -1);
        fr_frame_unref(f);
        if (n > 1) {
            fr_free(names[n - 1]);
            names[n - 1] = fr_strdup("c0");
            CHECK_INT(fr_frame_new(n, (const char *const *)names, cols, &f, &err),
                      FR_EINVAL);
            CHECK(f == NULL && strstr(err.text, "both named \"c0\"") != NULL);
        }
        for (size_t i = 0; i < n; i++) {
            fr_free(names[i]);
        }
        fr_free(names);
        fr_free(cols);
        fr_array_unref(col);
    }
}

static void errors_name_columns(void)
{
    fr_array *a = ints(4, 0), *b = ints(5, 0);
    const char *names[] = {"amount", "zone"};
    fr_array *cols[] = {a, b}, *good[] = {a, a};
    fr_frame *f;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_frame_new(2, names, cols, &f, &err), FR_EINVAL);
    CHECK_STR(err.text, "column \"zone\" has 5 rows, but \"amount\" has 4: "
                        "columns of a frame have one length");
    CHECK_INT(fr_frame_new(2, names, good, &f, &err), FR_OK);
    const fr_array *found;
    CHECK_INT(fr_frame_column(f, "amonut", &found, &err), FR_ENOTFOUND);
    CHECK_STR(err.text, "no column \"amonut\": did you mean \"amount\"?");
    CHECK_INT(fr_frame_column(f, "temperature", &found, &err), FR_ENOTFOUND);
    CHECK_STR(err.text, "no column \"temperature\"; there are: amount, zone");
    fr_frame_unref(f);
    fr_array_unref(a);
    fr_array_unref(b);
}

static void slices_share_and_hash_by_value(void)
{
    fr_array *a = ints(100, 0), *b = ints(10, 50);
    const char *names[] = {"x"};
    fr_frame *f, *s, *g;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_frame_new(1, names, &a, &f, &err), FR_OK);
    CHECK_INT(fr_frame_slice(f, 50, 10, &s, &err), FR_OK);
    CHECK(s->cols[0]->values == a->values);
    CHECK_INT(fr_frame_new(1, names, &b, &g, &err), FR_OK);
    CHECK(fr_hash_eq(fr_frame_hash(s), fr_frame_hash(g)));
    CHECK(!fr_hash_eq(fr_frame_hash(s), fr_frame_hash(f)));
    fr_frame_unref(s);
    CHECK_INT(fr_frame_slice(f, 50, 51, &s, &err), FR_EINVAL);
    CHECK_STR(err.text, "rows 51 to 101 of a frame of 100");
    fr_frame_unref(f);
    fr_frame_unref(g);
    CHECK_INT(fr_frame_empty(7, &f, &err), FR_OK);
    CHECK_INT(fr_frame_slice(f, 2, 3, &s, &err), FR_OK);
    CHECK_INT(s->rows, 3);
    fr_frame_unref(s);
    fr_frame_unref(f);
    fr_array_unref(a);
    fr_array_unref(b);
}

// What crosses a task boundary does not keep a much larger parent alive.
static void small_slices_are_compacted(void)
{
    fr_array *a = ints(100000, 0);
    const char *names[] = {"x"};
    fr_frame *f, *s;
    CHECK_INT(fr_frame_new(1, names, &a, &f, NULL), FR_OK);
    for (int64_t n = 10000; n <= 90000; n += 40000) {
        CHECK_INT(fr_frame_slice(f, 5000, n, &s, NULL), FR_OK);
        fr_frame *c = (fr_frame *)fr_object_compact(&s->object);
        CHECK((c->cols[0]->values != a->values) == (n < 25000));
        CHECK(fr_hash_eq(fr_frame_hash(c), fr_frame_hash(s)));
        CHECK_INT(fr_array_i64(c->cols[0])[n - 1], 5000 + n - 1);
        fr_frame_unref(c);
        fr_frame_unref(s);
    }
    fr_frame_unref(f);
    fr_array_unref(a);
}

int main(void)
{
    CASE(columns_are_found_by_name);
    CASE(errors_name_columns);
    CASE(slices_share_and_hash_by_value);
    CASE(small_slices_are_compacted);
    fr_pool_shutdown();
    return check_end();
}
