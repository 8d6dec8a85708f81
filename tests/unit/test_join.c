// Joins of random frames against nested loops.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/compute.h"
#include "core/data/join.h"
#include "tests/unit/check.h"
#include "tests/unit/data_make.h"

#define OK(x) CHECK_INT((x), FR_OK)

static fr_array *row_numbers(int64_t n)
{
    fr_array *a;
    OK(fr_array_new(fr_type_of(FR_INT64), n, 0, &a, NULL));
    for (int64_t i = 0; i < n; i++) {
        ((int64_t *)(void *)a->values->data)[i] = i;
    }
    return a;
}

static const char *const left_names[] = {"k1", "k2", "l"};
static const char *const right_names[] = {"k1", "k2", "r"};

// A frame of nkeys random keys and a column of row numbers.
static fr_frame *make_side(fr_rand *r, const fr_kind *kinds, size_t nkeys, int64_t rows,
                           uint64_t distinct, bool left)
{
    fr_array *cols[3];
    const char *names[3];
    for (size_t k = 0; k < nkeys; k++) {
        cols[k] = make_random(r, kinds[k], rows, distinct, 6);
        names[k] = left_names[k];
    }
    cols[nkeys] = row_numbers(rows);
    names[nkeys] = left ? left_names[2] : right_names[2];
    fr_frame *f;
    OK(fr_frame_new(nkeys + 1, names, cols, &f, NULL));
    for (size_t k = 0; k <= nkeys; k++) {
        fr_array_unref(cols[k]);
    }
    return f;
}

static bool match(const fr_frame *l, const fr_frame *r, size_t nkeys, int64_t i,
                  int64_t j)
{
    for (size_t k = 0; k < nkeys; k++) {
        if (!fr_array_has(l->cols[k], i) || !fr_array_has(r->cols[k], j) ||
            !make_equal(l->cols[k], i, r->cols[k], j)) {
            return false;
        }
    }
    return true;
}

typedef struct expected {
    int64_t n, l[4000], r[4000]; // -1: none
} expected;

static void put(expected *e, int64_t l, int64_t r)
{
    if (e->n < 4000) {
        e->l[e->n] = l;
        e->r[e->n++] = r;
    }
}

static void nested_loops(const fr_frame *l, const fr_frame *r, size_t nkeys,
                         fr_join_how how, expected *e)
{
    e->n = 0;
    for (int64_t i = 0; i < l->rows; i++) {
        bool found = false;
        for (int64_t j = 0; j < r->rows; j++) {
            if (match(l, r, nkeys, i, j)) {
                if (how < FR_JOIN_SEMI || (how == FR_JOIN_SEMI && !found)) {
                    put(e, i, how == FR_JOIN_SEMI ? -1 : j);
                }
                found = true;
            }
        }
        if (!found &&
            (how == FR_JOIN_LEFT || how == FR_JOIN_FULL || how == FR_JOIN_ANTI)) {
            put(e, i, -1);
        }
    }
    for (int64_t j = 0; j < r->rows && (how == FR_JOIN_RIGHT || how == FR_JOIN_FULL);
         j++) {
        bool found = false;
        for (int64_t i = 0; i < l->rows; i++) {
            found = found || match(l, r, nkeys, i, j);
        }
        if (!found) {
            put(e, -1, j);
        }
    }
}

static bool is_row(const fr_frame *f, const char *name, int64_t i, int64_t want)
{
    ptrdiff_t c = fr_frame_find(f, name);
    if (c < 0) {
        return want == -1;
    }
    return want < 0 ? !fr_array_has(f->cols[c], i)
                    : fr_array_has(f->cols[c], i) && fr_array_int(f->cols[c], i) == want;
}

static void joins_equal_nested_loops(void)
{
    static const fr_kind kinds[] = {FR_INT64,     FR_UTF8, FR_CATEGORY, FR_FLOAT64,
                                    FR_TIMESTAMP, FR_BOOL, FR_INT16,    FR_DATE};
    fr_rand r;
    fr_rand_init(&r, 31, 1);
    expected *e = fr_alloc(sizeof *e);
    for (int round = 0; round < 300; round++) {
        fr_kind kind[2] = {round % 3 == 0 ? FR_INT64
                                          : kinds[fr_rand_below(&r, FR_COUNT(kinds))],
                           kinds[fr_rand_below(&r, FR_COUNT(kinds))]};
        size_t nkeys = 1 + (round % 4 == 0);
        uint64_t distinct = round % 2 ? 6 : 80;
        fr_frame *l =
            make_side(&r, kind, nkeys, (int64_t)fr_rand_below(&r, 50), distinct, true);
        fr_frame *s = make_side(&r, kind, nkeys, (int64_t)fr_rand_below(&r, 50), distinct,
                                false),
                 *j;
        fr_join_how how = (fr_join_how)(round % 6);
        fr_join_on on = {left_names, right_names, nkeys};
        nested_loops(l, s, nkeys, how, e);
        fr_err err = FR_ERR_INIT;
        OK(fr_join(l, s, on, how, "_right", &j, &err));
        CHECK_INT(j->rows, e->n);
        bool good = j->rows == e->n;
        for (int64_t i = 0; good && i < e->n; i++) {
            good = is_row(j, "l", i, e->l[i]) && is_row(j, "r", i, e->r[i]);
            for (size_t k = 0; good && k < nkeys; k++) {
                const fr_frame *side = e->l[i] >= 0 ? l : s;
                good = make_equal(j->cols[k], i, side->cols[k],
                                  e->l[i] >= 0 ? e->l[i] : e->r[i]);
            }
        }
        CHECK(good);
        fr_frame_unref(l);
        fr_frame_unref(s);
        fr_frame_unref(j);
    }
    fr_free(e);
}

static void many_rows_join_alike_on_any_threads(void)
{
    fr_rand r;
    fr_rand_init(&r, 32, 1);
    const fr_kind kind[] = {FR_INT64};
    fr_frame *l = make_side(&r, kind, 1, 200000, 50000, true);
    fr_frame *s = make_side(&r, kind, 1, 70000, 50000, false);
    for (int how = 0; how <= FR_JOIN_ANTI; how++) {
        fr_hash want = {0, 0};
        for (unsigned t = 1; t <= 8; t = t == 3 ? 8 : t + 1) {
            unsigned before = fr_pool_limit(t);
            fr_frame *j;
            OK(fr_join(l, s, (fr_join_on){left_names, left_names, 1}, (fr_join_how)how,
                       "_r", &j, NULL));
            CHECK(t == 1 || fr_hash_eq(fr_frame_hash(j), want));
            want = fr_frame_hash(j);
            fr_frame_unref(j);
            (void)fr_pool_limit(before);
        }
    }
    fr_frame_unref(l);
    fr_frame_unref(s);
}

static void names_and_types_are_checked(void)
{
    fr_rand r;
    fr_rand_init(&r, 33, 1);
    fr_frame *l = make_side(&r, (const fr_kind[]){FR_INT64}, 1, 5, 9, true), *j;
    fr_frame *s = make_side(&r, (const fr_kind[]){FR_UTF8}, 1, 5, 9, false);
    fr_err err = FR_ERR_INIT;
    fr_join_on on = {left_names, right_names, 1};
    CHECK_INT(fr_join(l, s, on, FR_JOIN_INNER, "_r", &j, &err), FR_ETYPE);
    CHECK_STR(err.text, "join: key \"k1\" is int64 on the left and utf8 on the right");
    const char *none[] = {"k9"};
    CHECK_INT(fr_join(l, l, (fr_join_on){none, none, 1}, FR_JOIN_INNER, "_r", &j, &err),
              FR_ENOTFOUND);
    CHECK_STR(err.text, "join: left: no column \"k9\": did you mean \"k1\"?");
    OK(fr_join(l, l, on, FR_JOIN_LEFT, "_right", &j, &err));
    CHECK_INT(j->columns, 3);
    CHECK_STR(j->names[2], "l_right");
    fr_frame_unref(j);
    fr_frame_unref(l);
    fr_frame_unref(s);
}

static void asof_finds_the_nearest_row(void)
{
    fr_rand r;
    fr_rand_init(&r, 34, 1);
    for (int round = 0; round < 200; round++) {
        const fr_kind kinds[] = {FR_UTF8, round % 2 ? FR_INT64 : FR_FLOAT64};
        bool by = round % 3 != 0;
        fr_frame *l = make_side(&r, kinds, 2, 30, 12, true),
                 *s = make_side(&r, kinds, 2, 30, 12, false);
        double tolerance = round % 4 == 0 ? -1 : 2;
        fr_asof way = (fr_asof)(round % 3);
        fr_frame *j;
        OK(fr_join_asof(l, s, "k2", "k2",
                        (fr_join_on){left_names, left_names, by ? 1U : 0U}, way,
                        tolerance, "_r", &j, NULL));
        CHECK_INT(j->rows, 30);
        for (int64_t i = 0; i < 30; i++) {
            int64_t best = -1;
            double near = 0;
            for (int64_t k = 0; k < 30 && fr_array_has(l->cols[1], i); k++) {
                if (!fr_array_has(s->cols[1], k) || (by && !match(l, s, 1, i, k)) ||
                    isnan(fr_array_number(s->cols[1], k)) ||
                    isnan(fr_array_number(l->cols[1], i))) {
                    continue;
                }
                double a = fr_array_number(l->cols[1], i),
                       b = fr_array_number(s->cols[1], k);
                double d = way == FR_ASOF_BACKWARD  ? a - b
                           : way == FR_ASOF_FORWARD ? b - a
                                                    : fabs(a - b);
                d = a == b ? 0 : d;
                if (d < 0 || (tolerance >= 0 && d > tolerance)) {
                    continue;
                }
                // Of equally near ones the earlier `at`, of equal `at` the last row.
                bool back = best >= 0 && b < fr_array_number(s->cols[1], best);
                bool same = best >= 0 && b == fr_array_number(s->cols[1], best);
                if (best < 0 || d < near || (d == near && (back || same))) {
                    best = k;
                    near = d;
                }
            }
            double a = fr_array_number(l->cols[1], i);
            if (!isnan(a) && !isinf(a)) { // with those a distance means nothing
                CHECK(is_row(j, "r", i, best));
            }
        }
        fr_frame_unref(l);
        fr_frame_unref(s);
        fr_frame_unref(j);
    }
}

int main(void)
{
    CASE(joins_equal_nested_loops);
    CASE(many_rows_join_alike_on_any_threads);
    CASE(names_and_types_are_checked);
    CASE(asof_finds_the_nearest_row);
    fr_pool_shutdown();
    return check_end();
}
