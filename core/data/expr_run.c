// Runs a compiled expression over a frame: jobs of FR_CHUNK_ROWS rows write their part of the
// result.
#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/expr_int.h"

#include <string.h>

static void bump_free(struct expr_bump *b)
{
    for (size_t i = 0; i < b->n; i++) {
        fr_free(b->blocks[i]);
    }
    fr_free(b->blocks);
    fr_free(b->sizes);
}

typedef struct part {
    char *bytes;                  // text of the job's rows
    size_t n, capacity;
    fr_err *error;
} part;

typedef struct run {
    const fr_expr *x;
    const expr_node *root;
    const fr_array *const *sources;
    const char *const *names;
    fr_array *const *lifted;
    int64_t rows;
    fr_array *out;
    part *parts;
} run;

static int put_text(part *p, int64_t *offsets, const expr_vec *v, size_t n, fr_err *err)
{
    const expr_str *s = v->data;
    for (size_t i = 0; i < n; i++) {
        bool present = v->valid == NULL || (v->valid[i / 64] >> (i % 64) & 1);
        size_t size = present ? s[i].n : 0;
        if (p->n + size > p->capacity) {
            size_t capacity = FR_MAX(p->capacity * 2, p->n + size + 4096);
            char *more = fr_try_realloc(p->bytes, capacity);
            if (more == NULL) {
                return fr_fail(err, FR_ENOMEM, "no memory for %zu bytes of text", capacity);
            }
            p->bytes = more;
            p->capacity = capacity;
        }
        if (size > 0) {
            memcpy(p->bytes + p->n, s[i].s, size);
        }
        p->n += size;
        offsets[i] = (int64_t)p->n;
    }
    return FR_OK;
}

static int put_dates(expr_eval *e, const expr_node *root, int32_t *to, const expr_vec *v,
                     size_t n)
{
    const int64_t *from = v->data;
    for (size_t i = 0; i < n; i++) {
        to[i] = (int32_t)from[i];
        if (to[i] != from[i] && expr_row_counts(e, v, i)) {
            return expr_fail_row(e, root, i, FR_EOVERFLOW, "a date out of range");
        }
    }
    return FR_OK;
}

static void zero_nulls(int64_t *to, const uint64_t *valid, size_t n)
{
    for (size_t i = 0; valid != NULL && i < n; i++) {
        to[i] = valid[i / 64] >> (i % 64) & 1 ? to[i] : 0;
    }
}

// One morsel's result into the array. Rows start at a multiple of 64.
static int put_result(const run *r, expr_eval *e, part *p, const expr_vec *v, size_t n)
{
    fr_array *a = r->out;
    size_t at = (size_t)e->row;
    uint64_t words[EXPR_WORDS];
    size_t bitmap_bytes = fr_bits_bytes((int64_t)n);
    for (size_t w = 0; w < expr_words_of(n); w++) {
        words[w] = expr_word_of(v->valid, w) & expr_tail_word(n, w);
    }
    memcpy(a->validity->data + at / 8, words, bitmap_bytes);
    switch (expr_phys_of(&a->type)) {
    case EXPR_P_BOOL: {
        uint64_t bits[EXPR_WORDS];
        expr_pack(v->data, n, bits);
        for (size_t w = 0; w < expr_words_of(n); w++) {
            bits[w] &= words[w];
        }
        memcpy(a->values->data + at / 8, bits, bitmap_bytes);
        return FR_OK;
    }
    case EXPR_P_TEXT:
        return put_text(p, (int64_t *)(void *)a->offsets->data + 1 + at, v, n, e->err);
    case EXPR_P_I64:
        if (a->type.kind == FR_DATE) {
            return put_dates(e, r->root, (int32_t *)(void *)a->values->data + at, v, n);
        }
        break;
    case EXPR_P_F64:
        break;
    }
    int64_t *to = (int64_t *)(void *)a->values->data + at;
    memcpy(to, v->data, n * 8);
    zero_nulls(to, v->valid, n);
    return FR_OK;
}

// How many slots an evaluation of n uses: argument i runs at depth 1 + i, the items of `in`
// all at 2, with one more for the result of a comparison.
static size_t max_slots(const expr_node *n)
{
    size_t most = 4;
    for (uint32_t i = 0; i < n->n_args; i++) {
        size_t at = n->op == EXPR_IN ? FR_MIN(i + 1, 2U) : i + 1;
        size_t need = at + max_slots(n->args[i]); // the macro would walk the tree twice
        most = FR_MAX(most, need);
    }
    return most;
}

static int run_job(void *ctx, size_t job)
{
    run *r = ctx;
    fr_err err = FR_ERR_INIT;
    struct expr_bump text = {0};
    size_t slots = max_slots(r->root);
    bool folding = r->sources == NULL;
    expr_eval e = {.expr = r->x,
                   .sources = folding ? NULL : r->sources,
                   .source_names = r->names,
                   .lifted = r->lifted,
                   .err = &err,
                   .slots = fr_zalloc(slots * sizeof *e.slots),
                   .constants = fr_zalloc(r->x->n_nodes * sizeof *e.constants),
                   .text = &text};
    int64_t from = (int64_t)job * FR_CHUNK_ROWS, to = FR_MIN(from + FR_CHUNK_ROWS, r->rows);
    int rc = FR_OK;
    for (e.row = from; e.row < to && rc == FR_OK; e.row += EXPR_MORSEL) {
        expr_vec v;
        size_t n = (size_t)FR_MIN(to - e.row, (int64_t)EXPR_MORSEL);
        text.at = text.used = 0;
        rc = expr_eval_node(&e, r->root, 0, n, &v);
        if (rc == FR_OK) {
            rc = put_result(r, &e, &r->parts[job], &v, n);
        }
    }
    if (rc != FR_OK) {
        r->parts[job].error = fr_alloc(sizeof err);
        *r->parts[job].error = err;
    }
    for (size_t i = 0; i < slots; i++) {
        fr_free(e.slots[i]);
    }
    for (size_t i = 0; i < r->x->n_nodes; i++) {
        fr_free(e.constants[i].data);
    }
    fr_free(e.slots);
    fr_free(e.constants);
    bump_free(&text);
    return rc;
}

static void join_job(void *ctx, size_t job)
{
    const run *r = ctx;
    size_t before = 0;
    for (size_t i = 0; i < job; i++) {
        before += r->parts[i].n;
    }
    const part *p = &r->parts[job];
    if (p->n > 0) {
        memcpy(r->out->values->data + before, p->bytes, p->n);
    }
    int64_t from = (int64_t)job * FR_CHUNK_ROWS, to = FR_MIN(from + FR_CHUNK_ROWS, r->rows);
    int64_t *offsets = (int64_t *)(void *)r->out->offsets->data + 1;
    for (int64_t i = from; i < to; i++) {
        offsets[i] += (int64_t)before;
    }
}

static fr_type result_type(const fr_type *t)
{
    if ((int)t->kind == 0) {
        return fr_type_of(FR_BOOL);
    }
    if (fr_kind_integer(t->kind)) {
        return fr_type_of(FR_INT64);
    }
    if (fr_kind_number(t->kind)) {
        return fr_type_of(FR_FLOAT64);
    }
    return t->kind == FR_CATEGORY ? fr_type_of(FR_UTF8) : *t;
}

static int new_result(const expr_node *root, int64_t rows, fr_array **out, fr_err *err)
{
    int rc = fr_array_new(result_type(&root->type), rows, 0, out, err);
    if (rc == FR_OK) {
        rc = fr_array_add_validity(*out, err);
    }
    if (rc == FR_OK && (*out)->offsets != NULL) {
        ((int64_t *)(void *)(*out)->offsets->data)[0] = 0;
    }
    return rc;
}

static int join_text(run *r, size_t jobs, fr_err *err)
{
    size_t total = 0;
    for (size_t i = 0; i < jobs; i++) {
        total += r->parts[i].n;
    }
    fr_block_unref(r->out->values);
    r->out->values = NULL;
    int rc = fr_block_new(total, &r->out->values, err);
    if (rc == FR_OK) {
        rc = fr_compute_failed(err, fr_pool_run(jobs, join_job, r));
    }
    return rc;
}

static int run_all(run *r, fr_err *err)
{
    size_t jobs = fr_compute_chunks(r->rows);
    r->parts = fr_zalloc((jobs + 1) * sizeof *r->parts);
    int rc = new_result(r->root, r->rows, &r->out, err);
    if (rc == FR_OK) {
        rc = fr_pool_try(jobs, run_job, r);
        bool told = false;
        for (size_t i = 0; i < jobs && !told && rc != FR_OK; i++) {
            if (r->parts[i].error != NULL) {
                rc = r->parts[i].error->code;
                if (err != NULL) {
                    *err = *r->parts[i].error;
                }
                told = true;
            }
        }
        if (rc != FR_OK && !told) {
            rc = fr_compute_failed(err, rc);
        }
    }
    if (rc == FR_OK && r->out->offsets != NULL) {
        rc = join_text(r, jobs, err);
    }
    for (size_t i = 0; i < jobs; i++) {
        fr_free(r->parts[i].bytes);
        fr_free(r->parts[i].error);
    }
    fr_free(r->parts);
    if (rc == FR_OK) {
        fr_array_count_nulls(r->out);
    }
    return rc;
}

// Categories: the highest subtrees of one category column run over its dictionary.
static int dictionary_with_null(const fr_array *dict, fr_array **out)
{
    fr_builder *b = fr_builder_new(fr_type_of(FR_UTF8), dict->length + 1);
    int rc = FR_OK;
    for (int64_t i = 0; i < dict->length && rc == FR_OK; i++) {
        size_t n;
        const char *s = fr_array_text(dict, i, &n);
        rc = fr_builder_text(b, s, n, NULL);
    }
    if (rc == FR_OK) {
        rc = fr_builder_null(b, NULL);
    }
    if (rc == FR_OK) {
        rc = fr_builder_finish(b, out, NULL);
    }
    fr_builder_free(b);
    return rc;
}

static bool worth_lifting(const run *r, const expr_node *n)
{
    if (!n->liftable || n->op == EXPR_COLUMN || n->op == EXPR_CONST || r->sources == NULL) {
        return false;
    }
    const fr_array *a = r->sources[n->only_source];
    return a->type.kind == FR_CATEGORY && a->dict->length < r->rows / 2;
}

static void lift(const run *r, const expr_node *n, size_t n_sources, fr_array **lifted)
{
    if (!worth_lifting(r, n)) {
        for (uint32_t i = 0; i < n->n_args; i++) {
            lift(r, n->args[i], n_sources, lifted);
        }
        return;
    }
    fr_array *dict = NULL;
    if (lifted[n->id] != NULL ||
        dictionary_with_null(r->sources[n->only_source]->dict, &dict) != FR_OK) {
        return;
    }
    const fr_array **sources = fr_alloc(n_sources * sizeof *sources);
    memcpy(sources, r->sources, n_sources * sizeof *sources);
    sources[n->only_source] = dict;
    // A failure is left to the run by rows, which knows the row and whether it counts.
    if (expr_run(r->x, n, sources, r->names, dict->length, &lifted[n->id], NULL) != FR_OK) {
        lifted[n->id] = NULL;
    }
    fr_free(sources);
    fr_array_unref(dict);
}

static size_t last_source(const expr_node *n)
{
    size_t last = n->op == EXPR_COLUMN ? n->source + 1 : 0;
    for (uint32_t i = 0; i < n->n_args; i++) {
        size_t inner = last_source(n->args[i]);
        last = FR_MAX(last, inner);
    }
    return last;
}

int expr_run(const fr_expr *x, const expr_node *root, const fr_array *const *sources,
             const char *const *names, int64_t rows, fr_array **out, fr_err *err)
{
    *out = NULL;
    run r = {.x = x, .root = root, .sources = sources, .names = names,
             .rows = rows < 0 ? 1 : rows};
    fr_array **lifted = NULL;
    if (sources != NULL) {
        lifted = fr_zalloc((x->n_nodes + 1) * sizeof(fr_array *));
        lift(&r, root, last_source(root), lifted);
        r.lifted = lifted;
    }
    int rc = run_all(&r, err);
    for (size_t i = 0; lifted != NULL && i < x->n_nodes; i++) {
        fr_array_unref(lifted[i]);
    }
    fr_free(lifted);
    if (rc != FR_OK) {
        fr_array_unref(r.out);
        return rc;
    }
    *out = r.out;
    return FR_OK;
}
