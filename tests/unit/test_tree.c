#include "check.h"
#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/rand.h"
#include "core/ml/tree.h"
#include "core/ml/tree_grow.h"
#include "tests/fixtures/tree.h"

#include <math.h>
#include <string.h>

static const char *const NAMES[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

static fr_tree_options plain(uint32_t features)
{
    return (fr_tree_options){.trees = 1,
                             .max_depth = UINT32_MAX,
                             .min_split = 2,
                             .min_leaf = 1,
                             .max_features = features};
}

static fr_ranks *ranks_of(const double *const *x, size_t rows, size_t features)
{
    fr_columns c = {rows, features, x, NAMES, false};
    fr_ranks *r = NULL;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_ranks_new(&c, FR_RANKS_EXACT, &r, &err), FR_OK);
    return r;
}

static void grow(const fr_ranks *r, const int32_t *y, size_t classes,
                 const fr_tree_options *o, fr_lanes_isa isa, fr_tree *out,
                 double *importance)
{
    fr_tree_data data = {.ranks = r, .code = y, .classes = classes};
    fr_grower *g;
    *out = (fr_tree){0};
    CHECK_INT(fr_grower_new(&data, o, &g, NULL), FR_OK);
    g->kernel = fr_lanes_kernel_of(isa);
    CHECK_INT(fr_grower_grow(g, 0, out, importance), FR_OK);
    fr_grower_free(g);
}

// ---- against scikit-learn: the same split at every node, except exact ties

typedef struct walk {
    const tree_case *theirs;
    const fr_tree *ours;
    const double *const *x;
    int same, ties;
} walk;

// Sum over both sides and classes of count^2 / rows as an exact fraction: num / (nl *
// nr).
static void gain_of(const walk *w, const bool *in, int feature, double cut, uint64_t *num,
                    uint64_t *den)
{
    uint64_t left[4] = {0}, right[4] = {0}, nl = 0, nr = 0;
    for (int i = 0; i < TREE_ROWS; i++) {
        if (in[i]) {
            bool l = (double)(float)w->x[feature][i] <= cut;
            (l ? left : right)[w->theirs->y[i]]++;
            nl += l;
            nr += !l;
        }
    }
    *num = 0;
    *den = nl * nr;
    for (int k = 0; k < 4; k++) {
        *num += left[k] * left[k] * nr + right[k] * right[k] * nl;
    }
}

static void compare(walk *w, uint32_t mine, int theirs, const bool *in)
{
    const fr_node *n = &w->ours->node[mine];
    const tree_case *t = w->theirs;
    int f = t->feature[theirs];
    int rows = 0;
    for (int i = 0; i < TREE_ROWS; i++) {
        rows += in[i];
    }
    CHECK_INT(rows, t->rows[theirs]);
    CHECK_INT(n->weight, rows);
    if (f < 0 || n->feature < 0) {
        CHECK(f < 0 && n->feature < 0);
        return;
    }
    if ((int)fr_node_feature(n) != f || (double)n->cut > t->threshold[theirs] ||
        t->threshold[theirs] - (double)n->cut > 1e-6 * fabs(t->threshold[theirs])) {
        uint64_t a, b, c, d;
        gain_of(w, in, (int)fr_node_feature(n), (double)n->cut, &a, &b);
        gain_of(w, in, f, t->threshold[theirs], &c, &d);
        CHECK(a * d == c * b); // a tie: below it the trees may differ
        w->ties++;
        return;
    }
    w->same++;
    bool side[2][TREE_ROWS];
    for (int i = 0; i < TREE_ROWS; i++) {
        bool left = (float)w->x[f][i] <= n->cut;
        CHECK(left == ((double)(float)w->x[f][i] <= t->threshold[theirs]));
        side[0][i] = in[i] && left;
        side[1][i] = in[i] && !left;
    }
    compare(w, n->left, t->left[theirs], side[0]);
    compare(w, n->left + 1, t->right[theirs], side[1]);
}

static void splits_are_those_of_scikit_learn(void)
{
    const double *const x[] = {TREE_X0, TREE_X1, TREE_X2, TREE_X3};
    fr_ranks *r = ranks_of(x, TREE_ROWS, TREE_FEATURES);
    for (size_t i = 0; i < FR_COUNT(TREES); i++) {
        const tree_case *t = &TREES[i];
        fr_tree_options o = plain(TREE_FEATURES);
        o.max_depth = t->max_depth > 0 ? (uint32_t)t->max_depth : UINT32_MAX;
        o.min_split = (uint32_t)t->min_split;
        o.min_leaf = (uint32_t)t->min_leaf;
        for (int isa = FR_LANES_PLAIN; isa <= FR_LANES_AVX512; isa++) {
            if (fr_lanes_kernel_of((fr_lanes_isa)isa) == NULL) {
                continue;
            }
            fr_tree tree;
            double importance[TREE_FEATURES] = {0};
            grow(r, t->y, (size_t)t->classes, &o, (fr_lanes_isa)isa, &tree, importance);
            walk w = {t, &tree, x, 0, 0};
            bool all[TREE_ROWS];
            memset(all, true, sizeof all);
            compare(&w, 0, 0, all);
            CHECK(w.same >= 10); // the walk really compared something
            (void)printf("%s: %d equal splits, %d ties\n", t->name, w.same, w.ties);
            if (w.ties == 0) {
                double sum =
                    importance[0] + importance[1] + importance[2] + importance[3];
                for (int f = 0; f < TREE_FEATURES; f++) {
                    CHECK_NEAR(importance[f] / sum, t->importance[f], 1e-12);
                }
            }
            fr_tree_fini(&tree);
        }
    }
    fr_ranks_free(r);
}

// ---- against brute force: the best cut of a stump

typedef struct stump {
    uint64_t num, den;
} stump;

static stump best_stump(const double *const *x, size_t features, const int32_t *y,
                        size_t n, uint32_t least)
{
    stump best = {0, 1};
    for (size_t f = 0; f < features; f++) {
        for (size_t c = 0; c < n; c++) {
            uint64_t nl = 0, pl = 0, p = 0;
            for (size_t i = 0; i < n; i++) {
                bool left = (float)x[f][i] <= (float)x[f][c];
                nl += left;
                pl += left && y[i] == 1;
                p += y[i] == 1;
            }
            uint64_t nr = n - nl, pr = p - pl;
            if (nl < least || nr < least || nr == 0) {
                continue;
            }
            uint64_t num = pl * pl * nr + pr * pr * nl, den = nl * nr;
            if (num * best.den > best.num * den) {
                best = (stump){num, den};
            }
        }
    }
    return best;
}

static void stumps_are_the_best_possible(void)
{
    enum { MOST = 400, FEATURES = 3 };
    static double column[FEATURES][MOST];
    static int32_t y[MOST];
    const double *const x[] = {column[0], column[1], column[2]};
    fr_rand r;
    fr_rand_init(&r, 5, 0);
    for (int round = 0; round < 150; round++) {
        size_t n = 2 + fr_rand_below(&r, round % 3 == 0 ? MOST - 2 : 140);
        for (size_t i = 0; i < n; i++) {
            column[0][i] = fr_rand_unit(&r);
            column[1][i] = (double)fr_rand_below(&r, 5);
            column[2][i] = (double)fr_rand_below(&r, 90) / 7 - 5;
            y[i] = (int32_t)fr_rand_below(&r, 2);
        }
        uint32_t least = round % 2 == 0 ? 1 : 1 + (uint32_t)fr_rand_below(&r, n / 2);
        fr_ranks *ranks = ranks_of(x, n, FEATURES);
        fr_tree_options o = plain(FEATURES);
        o.max_depth = 1;
        o.min_leaf = least;
        stump want = best_stump(x, FEATURES, y, n, least);
        for (int isa = FR_LANES_PLAIN; isa <= FR_LANES_AVX512; isa++) {
            if (fr_lanes_kernel_of((fr_lanes_isa)isa) == NULL) {
                continue;
            }
            fr_tree t;
            double importance[FEATURES] = {0};
            grow(ranks, y, 2, &o, (fr_lanes_isa)isa, &t, importance);
            uint64_t nl = 0, pl = 0, p = 0;
            for (size_t i = 0; i < n; i++) {
                p += y[i] == 1;
                if (t.count == 3 && (float)x[fr_node_feature(&t.node[0])][i] <= t.node[0].cut) {
                    nl++;
                    pl += y[i] == 1;
                }
            }
            bool can = want.num > 0 && p > 0 && p < n;
            CHECK_INT(t.count, can ? 3 : 1);
            if (can && t.count == 3) {
                uint64_t nr = n - nl, pr = p - pl;
                uint64_t num = pl * pl * nr + pr * pr * nl, den = nl * nr;
                CHECK(num * want.den == want.num * den);
                CHECK_INT(t.node[1].weight, nl);
                CHECK_NEAR((double)t.node[1].cut, (double)pl / (double)nl, 1e-7);
            }
            fr_tree_fini(&t);
        }
        fr_ranks_free(ranks);
    }
}

// ---- the same tree from every kernel, also when weights pass 255 and 65,535

static void make_rows(double *a, double *b, double *c, int32_t *y, size_t n,
                      uint64_t seed)
{
    fr_rand r;
    fr_rand_init(&r, seed, 9);
    for (size_t i = 0; i < n; i++) {
        a[i] = fr_rand_unit(&r);
        b[i] = (double)fr_rand_below(&r, 30);
        c[i] = fr_rand_unit(&r) - 0.5;
        y[i] = fr_rand_unit(&r) < 0.3 + 0.3 * a[i];
    }
}

static void kernels_grow_the_same_tree(void)
{
    const size_t sizes[] = {1, 2, 31, 32, 33, 64, 65, 127, 128, 129, 1000, 20000, 70000};
    double *a = fr_alloc(3 * 70000 * sizeof *a), *b = a + 70000, *c = b + 70000;
    int32_t *y = fr_alloc(70000 * sizeof *y);
    const double *const x[] = {a, b, c};
    for (size_t s = 0; s < FR_COUNT(sizes); s++) {
        size_t n = sizes[s];
        make_rows(a, b, c, y, n, s);
        fr_ranks *r = ranks_of(x, n, 3);
        fr_tree_options o = plain(2);
        o.bootstrap = true;
        o.seed = s;
        fr_tree first;
        double unused[3] = {0};
        grow(r, y, 2, &o, FR_LANES_PLAIN, &first, unused);
        uint32_t leaves = 0;
        for (size_t i = 0; i < first.count; i++) {
            leaves += first.node[i].feature == FR_TREE_LEAF ? first.node[i].weight : 0;
        }
        CHECK_INT(leaves, n); // every draw ends in one leaf
        for (int isa = FR_LANES_AVX2; isa <= FR_LANES_AVX512; isa++) {
            if (fr_lanes_kernel_of((fr_lanes_isa)isa) == NULL) {
                continue;
            }
            fr_tree t;
            grow(r, y, 2, &o, (fr_lanes_isa)isa, &t, unused);
            CHECK_INT(t.count, first.count);
            CHECK(t.count == first.count &&
                  memcmp(t.node, first.node, t.count * sizeof *t.node) == 0);
            fr_tree_fini(&t);
        }
        fr_tree_fini(&first);
        fr_ranks_free(r);
    }
    fr_free(a);
    fr_free(y);
}

// ---- buckets and packed subtrees against weighing every cut

static void grow_by(const fr_ranks *r, const int32_t *y, const fr_tree_options *o,
                    bool buckets, fr_tree *out)
{
    fr_tree_data data = {.ranks = r, .code = y, .classes = 2};
    double importance[6] = {0};
    fr_grower *g;
    *out = (fr_tree){0};
    CHECK_INT(fr_grower_new(&data, o, &g, NULL), FR_OK);
    CHECK(g->at != NULL);
    if (!buckets) {
        fr_free(g->at);
        g->at = NULL;
    }
    CHECK_INT(fr_grower_grow(g, 3, out, importance), FR_OK);
    fr_grower_free(g);
}

// Many values, ties, a constant, equal columns, and classes that follow some of them.
static void make_many(fr_rand *r, size_t n, double *const *x, int32_t *y)
{
    for (size_t i = 0; i < n; i++) {
        double u = fr_rand_unit(r), v = fr_rand_unit(r);
        x[0][i] = u;
        x[1][i] = floor(700 * v) + (u > 0.9);
        x[2][i] = u < 0.5 ? 1 : fr_rand_unit(r); // half of the rows share one value
        x[3][i] = x[0][i];
        x[4][i] = fr_rand_unit(r);
        x[5][i] = (double)i;
        double p = u > 0.3 && v > 0.4 ? 0.8 : 0.15;
        y[i] = fr_rand_unit(r) < p;
    }
}

// Of noise all buckets of a small node are promising, up to the last one.
static void buckets_of_noise_stay_in_their_room(void)
{
    enum { N = 32 * 256 + 100 }; // the last bucket is less than half full
    double *x[2] = {fr_alloc(N * sizeof **x), fr_alloc(N * sizeof **x)};
    int32_t *y = fr_alloc(N * sizeof *y);
    fr_rand r;
    fr_rand_init(&r, 29, 0);
    for (size_t i = 0; i < N; i++) {
        x[0][i] = fr_rand_unit(&r);
        x[1][i] = fr_rand_unit(&r);
        y[i] = fr_rand_unit(&r) < 0.5;
    }
    fr_ranks *ranks = ranks_of((const double *const *)x, N, 2);
    fr_tree_options o = plain(1);
    o.bootstrap = true;
    for (uint64_t seed = 0; seed < 40; seed++) {
        fr_tree all, some;
        o.seed = seed;
        grow_by(ranks, y, &o, false, &all);
        grow_by(ranks, y, &o, true, &some);
        CHECK(all.count == some.count &&
              memcmp(all.node, some.node, all.count * sizeof *all.node) == 0);
        fr_tree_fini(&all);
        fr_tree_fini(&some);
    }
    fr_free(x[0]);
    fr_free(x[1]);
    fr_free(y);
    fr_ranks_free(ranks);
}

static void buckets_find_what_weighing_every_cut_finds(void)
{
    static const size_t SIZES[] = {700, 12000, 70000}; // the second is packed, the last wide
    fr_rand r;
    fr_rand_init(&r, 23, 0);
    for (size_t k = 0; k < FR_COUNT(SIZES); k++) {
        size_t n = SIZES[k];
        double *x[6];
        int32_t *y = fr_alloc(n * sizeof *y);
        for (int f = 0; f < 6; f++) {
            x[f] = fr_alloc(n * sizeof **x);
        }
        make_many(&r, n, x, y);
        fr_ranks *ranks = ranks_of((const double *const *)x, n, 6);
        fr_tree_options o = plain(2);
        o.bootstrap = true;
        fr_tree all, some, packed;
        grow_by(ranks, y, &o, false, &all);
        grow_by(ranks, y, &o, true, &some);
        fr_ranks_turn(ranks);
        CHECK((ranks->by_row != NULL) == (n >= 12000));
        grow_by(ranks, y, &o, true, &packed);
        CHECK(all.count > n / 8);
        CHECK_INT(some.count, all.count);
        CHECK_INT(packed.count, all.count);
        CHECK(memcmp(all.node, some.node, all.count * sizeof *all.node) == 0);
        CHECK(memcmp(all.node, packed.node, all.count * sizeof *all.node) == 0);
        fr_tree *const trees[] = {&all, &some, &packed};
        for (size_t t = 0; t < 3; t++) {
            fr_tree_fini(trees[t]);
        }
        for (int f = 0; f < 6; f++) {
            fr_free(x[f]);
        }
        fr_free(y);
        fr_ranks_free(ranks);
    }
}

static void leaves_of_many_classes_hold_shares(void)
{
    const double v[] = {1, 1, 2, 3, 3, 3};
    const int32_t y[] = {0, 1, 2, 1, 1, 0};
    const double *const x[] = {v};
    fr_ranks *r = ranks_of(x, 6, 1);
    fr_tree_options o = plain(1);
    fr_tree t;
    double unused = 0;
    grow(r, y, 3, &o, FR_LANES_PLAIN, &t, &unused);
    CHECK_INT(t.values, 3);
    const float want[3][3] = {{0.5F, 0.5F, 0}, {0, 0, 1}, {1 / 3.F, 2 / 3.F, 0}};
    for (int i = 0; i < 6; i++) {
        const fr_node *n = t.node;
        while (n->feature >= 0) {
            n = t.node + n->left + ((float)v[i] > n->cut);
        }
        for (int k = 0; k < 3; k++) {
            CHECK(t.value[n->left * 3 + (uint32_t)k] == want[(int)v[i] - 1][k]);
        }
    }
    fr_tree_fini(&t);
    fr_ranks_free(r);
}

static void extreme_values_are_parted(void)
{
    const double v[] = {-HUGE_VAL,          -1e308,  -0.0, 0.0, 1e-320, 1.0,
                        1.0000001192092896, HUGE_VAL};
    const int32_t y[] = {0, 1, 0, 0, 0, 1, 0, 1};
    const double *const x[] = {v};
    fr_ranks *r = ranks_of(x, 8, 1);
    CHECK_INT(r->bins[0], 5); // as floats -1e308 is -inf and 1e-320 is 0
    fr_tree_options o = plain(1);
    fr_tree t;
    double unused = 0;
    grow(r, y, 2, &o, FR_LANES_PLAIN, &t, &unused);
    for (int i = 2; i < 8; i++) {
        const fr_node *n = t.node;
        while (n->feature >= 0) {
            n = t.node + n->left + ((float)v[i] > n->cut);
        }
        CHECK_NEAR((double)n->cut, y[i], 0);
    }
    fr_tree_fini(&t);
    fr_ranks_free(r);
}

static void missing_values_are_named(void)
{
    const double v[] = {1, 2, nan("")};
    const double *const x[] = {v, v};
    const char *const names[] = {"temp_c", "wind"};
    fr_columns c = {3, 2, x, names, false};
    fr_ranks *r;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_ranks_new(&c, FR_RANKS_EXACT, &r, &err), FR_EINVAL);
    CHECK_STR(err.text, "column `temp_c` is missing in row 3: use fill or dropna first");
    CHECK(r == NULL);
}

static void missing_values_have_the_last_bin(void)
{
    const double v[] = {nan(""), 2, 1, -nan(""), 2}, none[] = {nan(""), nan(""), nan(""),
                                                               nan(""), nan("")};
    const double *const x[] = {v, none};
    fr_columns c = {5, 2, x, NAMES, true};
    fr_ranks *r;
    CHECK_INT(fr_ranks_new(&c, FR_RANKS_EXACT, &r, NULL), FR_OK);
    const uint16_t want[] = {2, 1, 0, 2, 1};
    CHECK(memcmp(r->rank[0], want, sizeof want) == 0);
    CHECK_INT(r->bins[0], 3);
    CHECK_INT(r->bins[1], 1);
    CHECK(r->missing[0] && r->missing[1]);
    fr_ranks_free(r);
}

// A tree on the rows' own values: what is missing goes where that is purer.
static void missing_values_take_the_purer_side(void)
{
    const double v[] = {1, 2, 3, 4, nan(""), nan("")};
    const double *const x[] = {v};
    const int32_t low[] = {1, 1, 0, 0, 1, 1}, high[] = {1, 1, 0, 0, 0, 0};
    const int32_t apart[] = {0, 0, 0, 0, 1, 1};
    const int32_t *const cases[] = {low, high, apart};
    const int32_t flags[] = {0, FR_TREE_MISSING_RIGHT, FR_TREE_MISSING_RIGHT};
    fr_columns c = {6, 1, x, NAMES, true};
    fr_ranks *r;
    CHECK_INT(fr_ranks_new(&c, FR_RANKS_EXACT, &r, NULL), FR_OK);
    for (int i = 0; i < 3; i++) {
        fr_tree_options o = plain(1);
        fr_tree t;
        double unused = 0;
        grow(r, cases[i], 2, &o, FR_LANES_PLAIN, &t, &unused);
        CHECK_INT(t.count, 3);
        CHECK_INT(t.node[0].feature, flags[i]);
        CHECK_NEAR((double)t.node[0].cut, i < 2 ? 2.5 : 4, 0);
        fr_tree_fini(&t);
    }
    fr_ranks_free(r);
}

static void quantile_bins_keep_equal_values_together(void)
{
    enum { N = 5000 };
    static double v[N];
    fr_rand rand;
    fr_rand_init(&rand, 3, 3);
    for (int i = 0; i < N; i++) {
        v[i] = i % 3 == 0 ? 7 : fr_rand_unit(&rand) * 20;
    }
    const double *const x[] = {v};
    fr_columns c = {N, 1, x, NAMES, false};
    fr_ranks *r;
    CHECK_INT(fr_ranks_new(&c, 64, &r, NULL), FR_OK);
    CHECK(r->bins[0] > 32 && r->bins[0] <= 64);
    for (int i = 0; i < N; i++) {
        uint32_t b = r->rank[0][i];
        CHECK(r->low[0][b] <= (float)v[i] && (float)v[i] <= r->high[0][b]);
    }
    for (uint32_t b = 1; b < r->bins[0]; b++) {
        CHECK(r->high[0][b - 1] < r->low[0][b]);
    }
    fr_ranks_free(r);
}

static void a_cancelled_tree_stops(void)
{
    enum { N = 20000 };
    double *a = fr_alloc(3 * N * sizeof *a);
    int32_t *y = fr_alloc(N * sizeof *y);
    const double *const x[] = {a, a + N, a + 2 * N};
    make_rows(a, a + N, a + 2 * N, y, N, 1);
    fr_ranks *r = ranks_of(x, N, 3);
    fr_tree_options o = plain(3);
    fr_tree_data data = {.ranks = r, .code = y, .classes = 2};
    fr_grower *g;
    CHECK_INT(fr_grower_new(&data, &o, &g, NULL), FR_OK);
    fr_cancel token = {0};
    fr_cancel *before = fr_cancel_enter(&token);
    fr_cancel_set(&token, FR_ETIMEOUT);
    fr_tree t = {0};
    double unused[3] = {0};
    CHECK_INT(fr_grower_grow(g, 0, &t, unused), FR_ETIMEOUT);
    CHECK(t.count < 10);
    (void)fr_cancel_enter(before);
    fr_tree_fini(&t);
    fr_grower_free(g);
    fr_ranks_free(r);
    fr_free(a);
    fr_free(y);
}

int main(void)
{
    CASE(splits_are_those_of_scikit_learn);
    CASE(stumps_are_the_best_possible);
    CASE(kernels_grow_the_same_tree);
    CASE(buckets_find_what_weighing_every_cut_finds);
    CASE(buckets_of_noise_stay_in_their_room);
    CASE(leaves_of_many_classes_hold_shares);
    CASE(extreme_values_are_parted);
    CASE(missing_values_are_named);
    CASE(missing_values_have_the_last_bin);
    CASE(missing_values_take_the_purer_side);
    CASE(quantile_bins_keep_equal_values_together);
    CASE(a_cancelled_tree_stops);
    return check_end();
}
