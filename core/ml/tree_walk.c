// tree_walk -- predicting: rows walk down trees several at a time, because one row's walk
// is a chain of cache misses that others can fill.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/ml/tree.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Rows per chunk of the pool: with a tree of some thousand nodes they fit into L1.
enum { BLOCK = 512, PACK_ROWS = 64 };

// A node in 8 bytes: next = feature << shift | left; a leaf is its own left and has its
// value as cut.
typedef struct packed {
    float cut;
    uint32_t next;
} packed;

// The leaves of `rows` rows of x (row-major).
typedef void (*leaves_fn)(const packed *tree, unsigned shift, const float *x,
                          size_t features, size_t rows, uint32_t *leaf);

static void leaves_plain(const packed *tree, unsigned shift, const float *x,
                         size_t features, size_t rows, uint32_t *leaf)
{
    uint32_t mask = ((uint32_t)1 << shift) - 1;
    for (size_t i = 0; i < rows; i++) {
        const float *row = x + i * features;
        uint32_t k = 0;
        for (uint32_t left = tree[k].next & mask; left != k; left = tree[k].next & mask) {
            k = left + (row[tree[k].next >> shift] > tree[k].cut);
        }
        leaf[i] = k;
    }
}

#if defined(__x86_64__)

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,bmi,popcnt")))
#define AVX2   __attribute__((target("avx2,bmi,popcnt")))
#define ALWAYS inline __attribute__((always_inline))

typedef struct wide_walk {
    __m512i at, row; // node of each lane; first value of its row
    __mmask16 active;
} wide_walk;

AVX512 static ALWAYS void step_512(wide_walk *w, const char *tree, __m512i mask,
                                   __m128i shift, const float *x)
{
    __m512i zero = _mm512_setzero_si512();
    __m512i next = _mm512_mask_i32gather_epi32(zero, w->active, w->at, tree + 4, 8);
    __m512i left = _mm512_and_si512(next, mask);
    w->active = _mm512_mask_cmpneq_epi32_mask(w->active, left, w->at);
    __m512 none = _mm512_castsi512_ps(zero);
    __m512 cut = _mm512_mask_i32gather_ps(none, w->active, w->at, tree, 8);
    __m512i place = _mm512_add_epi32(w->row, _mm512_srl_epi32(next, shift));
    __m512 v = _mm512_mask_i32gather_ps(none, w->active, place, x, 4);
    __mmask16 right = _mm512_mask_cmp_ps_mask(w->active, v, cut, _CMP_GT_OQ);
    left = _mm512_mask_add_epi32(left, right, left, _mm512_set1_epi32(1));
    w->at = _mm512_mask_mov_epi32(w->at, w->active, left);
}

AVX512 static void leaves_avx512(const packed *tree, unsigned shift, const float *x,
                                 size_t features, size_t rows, uint32_t *leaf)
{
    const __m512i lane =
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i p = _mm512_set1_epi32((int)features);
    __m512i mask = _mm512_set1_epi32((int)(((uint32_t)1 << shift) - 1));
    __m128i by = _mm_cvtsi32_si128((int)shift);
    size_t i = 0;
    for (; i + 32 <= rows; i += 32) {
        wide_walk a = {.active = 0xffff}, b = a;
        a.at = b.at = _mm512_setzero_si512();
        a.row = _mm512_mullo_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32((int)i)), p);
        b.row = _mm512_add_epi32(a.row, _mm512_slli_epi32(p, 4));
        while ((a.active | b.active) != 0) {
            step_512(&a, (const char *)tree, mask, by, x);
            step_512(&b, (const char *)tree, mask, by, x);
        }
        _mm512_storeu_si512(leaf + i, a.at);
        _mm512_storeu_si512(leaf + i + 16, b.at);
    }
    leaves_plain(tree, shift, x + i * features, features, rows - i, leaf + i);
}

typedef struct half_walk {
    __m256i at, row, active;
} half_walk;

AVX2 static ALWAYS void step_256(half_walk *w, const packed *tree, __m256i mask,
                                 __m128i shift, const float *x)
{
    const int *base = (const int *)(const void *)tree;
    __m256i next = _mm256_i32gather_epi32(base + 1, w->at, 8);
    __m256i left = _mm256_and_si256(next, mask);
    w->active = _mm256_andnot_si256(_mm256_cmpeq_epi32(left, w->at), w->active);
    __m256 cut = _mm256_i32gather_ps((const float *)(const void *)base, w->at, 8);
    __m256i place = _mm256_add_epi32(w->row, _mm256_srl_epi32(next, shift));
    place = _mm256_and_si256(place, w->active); // leaves have no feature
    __m256 v = _mm256_i32gather_ps(x, place, 4);
    left = _mm256_sub_epi32(left, _mm256_castps_si256(_mm256_cmp_ps(v, cut, _CMP_GT_OQ)));
    w->at = _mm256_blendv_epi8(w->at, left, w->active);
}

AVX2 static void leaves_avx2(const packed *tree, unsigned shift, const float *x,
                             size_t features, size_t rows, uint32_t *leaf)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i p = _mm256_set1_epi32((int)features);
    __m256i mask = _mm256_set1_epi32((int)(((uint32_t)1 << shift) - 1));
    __m128i by = _mm_cvtsi32_si128((int)shift);
    size_t i = 0;
    for (; i + 16 <= rows; i += 16) {
        half_walk a, b;
        a.at = b.at = _mm256_setzero_si256();
        a.active = b.active = _mm256_set1_epi32(-1);
        a.row = _mm256_mullo_epi32(_mm256_add_epi32(lane, _mm256_set1_epi32((int)i)), p);
        b.row = _mm256_add_epi32(a.row, _mm256_slli_epi32(p, 3));
        do {
            step_256(&a, tree, mask, by, x);
            step_256(&b, tree, mask, by, x);
        } while (!_mm256_testz_si256(a.active, a.active) ||
                 !_mm256_testz_si256(b.active, b.active));
        _mm256_storeu_si256((__m256i *)(void *)(leaf + i), a.at);
        _mm256_storeu_si256((__m256i *)(void *)(leaf + i + 8), b.at);
    }
    leaves_plain(tree, shift, x + i * features, features, rows - i, leaf + i);
}

#endif

static leaves_fn best_leaves(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq")) {
        return leaves_avx512;
    }
    if (__builtin_cpu_supports("avx2")) {
        return leaves_avx2;
    }
#endif
    return leaves_plain;
}

typedef struct walk_job {
    const fr_forest_view *view;
    const fr_columns *x;
    double *out;
    const uint64_t *skip; // NULL, or as in fr_forest_walk_some
    size_t width;         // values of a row: features, twice that for missing values
    packed *nodes;        // of all trees; NULL: walk the nodes as they are
    unsigned shift;
    leaves_fn leaves;
} walk_job;

// Which value of a row a node compares. A row with missing values holds each feature
// twice: NaN, which no cut is below, stands in the first place for going left, and
// infinity in the second for going right.
static inline uint32_t place_of(const fr_node *n, size_t features, size_t width)
{
    bool second = width > features && (n->feature & FR_TREE_MISSING_RIGHT) != 0;
    return (uint32_t)(fr_node_feature(n) + (second ? features : 0));
}

// Whether a row goes to the second child of a node on categories. Codes that training did
// not have go there.
static bool goes_right(const fr_node *n, const uint32_t *sets, float code)
{
    uint32_t set;
    memcpy(&set, &n->cut, sizeof set);
    if (isnan(code)) {
        return (n->feature & FR_TREE_MISSING_RIGHT) != 0;
    }
    if (!(code >= 0 && code < 32 * FR_TREE_SET_WORDS) || code != floorf(code)) {
        return true;
    }
    uint32_t k = (uint32_t)code;
    return (sets[set * FR_TREE_SET_WORDS + k / 32] >> k % 32 & 1) == 0;
}

bool fr_forest_right(const fr_forest_view *v, const fr_node *n, float value)
{
    if ((n->feature & FR_TREE_CATEGORY) != 0) {
        return goes_right(n, v->set, value);
    }
    return isnan(value) ? (n->feature & FR_TREE_MISSING_RIGHT) != 0 : value > n->cut;
}

static void leaves_of_sets(const fr_forest_view *v, const fr_node *tree, const float *x,
                           size_t width, size_t rows, uint32_t *leaf)
{
    for (size_t i = 0; i < rows; i++) {
        const float *row = x + i * width;
        uint32_t k = 0;
        while (tree[k].feature >= 0) {
            const fr_node *n = &tree[k];
            bool right = (n->feature & FR_TREE_CATEGORY) != 0
                             ? goes_right(n, v->set, row[fr_node_feature(n)])
                             : row[place_of(n, v->features, width)] > n->cut;
            k = n->left + right;
        }
        leaf[i] = k;
    }
}

static void leaves_of_nodes(const fr_node *tree, const float *x, size_t features,
                            size_t width, size_t rows, uint32_t *leaf)
{
    for (size_t i = 0; i < rows; i++) {
        const float *row = x + i * width;
        uint32_t k = 0;
        while (tree[k].feature >= 0) {
            k = tree[k].left + (row[place_of(&tree[k], features, width)] > tree[k].cut);
        }
        leaf[i] = k;
    }
}

// Packing pays when many rows are walked, and is possible when feature and left fit 32
// bits.
static void pack(walk_job *job)
{
    const fr_forest_view *v = job->view;
    unsigned bits = 1;
    while (((size_t)1 << bits) < job->width) {
        bits++;
    }
    job->shift = 32 - bits;
    uint64_t nodes = v->root[v->trees], most = 0;
    for (size_t t = 0; t < v->trees; t++) {
        most = FR_MAX(most, v->root[t + 1] - v->root[t]);
    }
    if (job->x->rows < PACK_ROWS || v->set != NULL || bits > 16 ||
        most >= (uint64_t)1 << job->shift) {
        return;
    }
    job->nodes = fr_try_alloc(nodes * sizeof *job->nodes);
    for (size_t t = 0; t < v->trees && job->nodes != NULL; t++) {
        for (uint64_t k = v->root[t]; k < v->root[t + 1]; k++) {
            const fr_node *n = &v->node[k];
            uint32_t next = n->feature < 0 ? (uint32_t)(k - v->root[t])
                                           : place_of(n, v->features, job->width)
                                                     << job->shift |
                                                 n->left;
            job->nodes[k] = (packed){n->cut, next};
        }
    }
}

static void add_some(const walk_job *job, size_t t, const uint32_t *leaf, size_t begin,
                     size_t n)
{
    const fr_forest_view *v = job->view;
    const fr_node *tree = v->node + v->root[t];
    const uint64_t *skip = job->skip + t * ((job->x->rows + 63) / 64);
    for (size_t i = 0; i < n; i++) {
        size_t row = begin + i;
        if ((skip[row / 64] >> row % 64 & 1) != 0) {
            continue;
        }
        if (v->classes <= 2) {
            job->out[row] += (double)tree[leaf[i]].cut;
            continue;
        }
        const float *value =
            v->value + (v->value_root[t] + tree[leaf[i]].left) * v->classes;
        for (size_t k = 0; k < v->classes; k++) {
            job->out[k * job->x->rows + row] += (double)value[k];
        }
    }
}

static void add_values(const walk_job *job, size_t t, const uint32_t *leaf, size_t begin,
                       size_t n)
{
    const fr_forest_view *v = job->view;
    const fr_node *tree = v->node + v->root[t];
    double *out = job->out + begin;
    if (job->skip != NULL) {
        add_some(job, t, leaf, begin, n);
        return;
    }
    if (v->outputs > 1) {
        out += t % v->outputs * job->x->rows;
    }
    if (v->classes <= 2 && job->nodes != NULL) {
        const packed *leaves = job->nodes + v->root[t];
        for (size_t i = 0; i < n; i++) {
            out[i] += (double)leaves[leaf[i]].cut;
        }
        return;
    }
    for (size_t i = 0; i < n && v->classes <= 2; i++) {
        out[i] += (double)tree[leaf[i]].cut;
    }
    for (size_t i = 0; i < n && v->classes > 2; i++) {
        const float *value =
            v->value + (v->value_root[t] + tree[leaf[i]].left) * v->classes;
        for (size_t k = 0; k < v->classes; k++) {
            out[k * job->x->rows + i] += (double)value[k];
        }
    }
}

static int walk_block(void *ctx, size_t chunk)
{
    walk_job *job = ctx;
    const fr_forest_view *v = job->view;
    size_t p = v->features, begin = chunk * BLOCK,
           n = FR_MIN(job->x->rows - begin, BLOCK);
    size_t width = job->width;
    float *x = fr_try_alloc((n * width + 16) * sizeof *x);
    if (x == NULL) {
        return FR_ENOMEM;
    }
    for (size_t f = 0; f < p; f++) {
        const double *from = job->x->column[f] + begin;
        for (size_t i = 0; i < n; i++) {
            x[i * width + f] = (float)from[i];
        }
        for (size_t i = 0; i < n && width > p; i++) {
            x[i * width + p + f] = isnan(from[i]) ? INFINITY : (float)from[i];
        }
    }
    uint32_t leaf[BLOCK];
    for (size_t t = 0; t < v->trees; t++) {
        if (job->nodes != NULL) {
            job->leaves(job->nodes + v->root[t], job->shift, x, width, n, leaf);
        } else if (v->set != NULL) {
            leaves_of_sets(v, v->node + v->root[t], x, width, n, leaf);
        } else {
            leaves_of_nodes(v->node + v->root[t], x, p, width, n, leaf);
        }
        add_values(job, t, leaf, begin, n);
    }
    fr_free(x);
    return FR_OK;
}

int fr_forest_walk(const fr_forest_view *v, const fr_columns *x, double *out, fr_err *err)
{
    return fr_forest_walk_some(v, x, NULL, out, err);
}

int fr_forest_walk_some(const fr_forest_view *v, const fr_columns *x,
                        const uint64_t *skip, double *out, fr_err *err)
{
    walk_job job = {.view = v,
                    .x = x,
                    .out = out,
                    .skip = skip,
                    .width = x->missing ? 2 * v->features : v->features,
                    .leaves = best_leaves()};
    size_t rows = fr_forest_outputs(v) * x->rows;
    memset(out, 0, rows * sizeof *out);
    pack(&job);
    int rc = fr_pool_try((x->rows + BLOCK - 1) / BLOCK, walk_block, &job);
    fr_free(job.nodes);
    return rc == FR_OK ? FR_OK : fr_fail(err, rc, "predicting: %s", fr_err_text(rc));
}

bool fr_forest_fits(const uint64_t *root, size_t trees, uint64_t end)
{
    bool ok = root[0] == 0 && root[trees] == end;
    for (size_t i = 0; i < trees; i++) {
        ok &= root[i] <= root[i + 1];
    }
    return ok;
}

static const int32_t KNOWN_BITS =
    FR_TREE_MISSING_RIGHT | FR_TREE_CATEGORY | (FR_TREE_FEATURES - 1);

// Whether a node on categories names a set that is there.
static bool set_fits(const fr_forest_view *v, const fr_node *n)
{
    uint32_t set;
    memcpy(&set, &n->cut, sizeof set);
    return (n->feature & FR_TREE_CATEGORY) == 0 || set < v->sets;
}

int fr_forest_check(const fr_forest_view *v, fr_err *err)
{
    for (size_t t = 0; t < v->trees; t++) {
        uint64_t nodes = v->root[t + 1] - v->root[t];
        uint64_t values =
            v->classes > 2 ? v->value_root[t + 1] - v->value_root[t] : UINT64_MAX;
        const fr_node *tree = v->node + v->root[t];
        if (nodes == 0) {
            return fr_fail(err, FR_ECORRUPT, "tree %zu is empty", t + 1);
        }
        for (uint64_t k = 0; k < nodes; k++) {
            const fr_node *n = &tree[k];
            bool leaf =
                n->feature == FR_TREE_LEAF && (v->classes <= 2 || n->left < values);
            bool inner = n->feature >= 0 && fr_node_feature(n) < v->features &&
                         (n->feature & ~KNOWN_BITS) == 0 && set_fits(v, n) &&
                         n->left > k && n->left < nodes - 1;
            if (!leaf && !inner) {
                return fr_fail(err, FR_ECORRUPT, "tree %zu, node %llu is impossible",
                               t + 1, (unsigned long long)k);
            }
        }
    }
    return FR_OK;
}
