#include "core/data/window.h"

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/factor.h"
#include "core/data/window_int.h"

#include <string.h>

struct fr_window {
    int64_t rows;
    fr_block *order;   // uint32: the rows, part by part; NULL: as they are
    fr_block *inverse; // uint32: where each row is in `order`
    fr_block *start;   // uint32: where each part starts, and the end
    size_t parts;
};

static uint32_t *u32(const fr_block *b) { return (uint32_t *)(void *)b->data; }

void fr_window_free(fr_window *w)
{
    if (w == NULL) {
        return;
    }
    fr_block_unref(w->order);
    fr_block_unref(w->inverse);
    fr_block_unref(w->start);
    fr_free(w);
}

static int one_part(fr_window *w, fr_err *err)
{
    int rc = fr_block_new(2 * sizeof(uint32_t), &w->start, err);
    if (rc == FR_OK) {
        u32(w->start)[0] = 0;
        u32(w->start)[1] = (uint32_t)w->rows;
        w->parts = 1;
    }
    return rc;
}

// Sorts by the part, then by the keys.
static int order_parts(fr_window *w, const fr_factor *f, const fr_sort_key *order, size_t n,
                       fr_err *err)
{
    fr_array *ids = NULL;
    int rc = FR_OK;
    fr_sort_key *keys = fr_zalloc((n + 1) * sizeof *keys);
    memcpy(keys + 1, order, n * sizeof *keys);
    if (f != NULL) {
        rc = fr_array_new(fr_type_of(FR_UINT32), w->rows, 0, &ids, err);
        if (rc == FR_OK) {
            memcpy(ids->values->data, fr_factor_ids(f), (size_t)w->rows * sizeof(uint32_t));
            keys[0].array = ids;
        }
    }
    fr_block_unref(w->order);
    w->order = NULL;
    if (rc == FR_OK) {
        rc = fr_sort_order(f != NULL ? keys : keys + 1, f != NULL ? n + 1 : n, &w->order,
                           err);
    }
    fr_array_unref(ids);
    fr_free(keys);
    return rc;
}

static int split_parts(fr_window *w, const fr_array *const *by, size_t n_by,
                       const fr_sort_key *order, size_t n_order, fr_err *err)
{
    fr_factor f = {0};
    int rc = fr_factor_init(&f, by, n_by, true, err);
    rc = rc == FR_OK ? fr_factor_lists(&f, &w->order, &w->start, err) : rc;
    if (rc == FR_OK) {
        w->parts = (size_t)f.groups;
        rc = n_order > 0 ? order_parts(w, &f, order, n_order, err) : FR_OK;
    }
    fr_factor_fini(&f);
    return rc;
}

int fr_window_new(const fr_array *const *by, size_t n_by, const fr_sort_key *order,
                  size_t n_order, int64_t rows, fr_window **out, fr_err *err)
{
    *out = NULL;
    int rc = fr_compute_check_rows(rows, err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_window *w = fr_zalloc(sizeof *w);
    w->rows = rows;
    if (n_by > 0) {
        rc = split_parts(w, by, n_by, order, n_order, err);
    } else {
        rc = one_part(w, err);
        rc = rc == FR_OK && n_order > 0 ? order_parts(w, NULL, order, n_order, err) : rc;
    }
    if (rc == FR_OK && w->order != NULL) {
        rc = fr_block_new((size_t)rows * sizeof(uint32_t), &w->inverse, err);
    }
    if (rc != FR_OK) {
        fr_window_free(w);
        return rc;
    }
    for (int64_t i = 0; w->order != NULL && i < rows; i++) {
        u32(w->inverse)[u32(w->order)[i]] = (uint32_t)i;
    }
    *out = w;
    return FR_OK;
}

int fr_window_type(fr_window_op op, fr_type *in, fr_type *out, fr_err *err)
{
    char name[64];
    fr_type given = *in;
    if (op <= FR_WINDOW_BACKWARD) {
        *in = given.kind == FR_CATEGORY ? fr_type_of(FR_UTF8) : given;
        *out = *in;
        return FR_OK;
    }
    bool counts = op == FR_WINDOW_CUM_COUNT || op == FR_WINDOW_COUNT;
    bool ranks = op >= FR_WINDOW_RANK_MIN && op <= FR_WINDOW_RANK_AVERAGE;
    if (op == FR_WINDOW_NUMBER || counts || ranks) {
        *out = fr_type_of(op == FR_WINDOW_RANK_AVERAGE ? FR_FLOAT64 : FR_INT64);
        return FR_OK;
    }
    bool extreme = op == FR_WINDOW_CUM_MIN || op == FR_WINDOW_CUM_MAX ||
                   op == FR_WINDOW_MIN || op == FR_WINDOW_MAX;
    bool whole = fr_kind_integer(given.kind) || given.kind == FR_BOOL;
    if (extreme && fr_kind_temporal(given.kind) && given.kind != FR_DATE) {
        *out = given; // int64 inside
        return FR_OK;
    }
    if (!whole && !fr_kind_number(given.kind)) {
        return fr_fail(err, FR_ETYPE, "expected a number, got %s",
                       fr_type_name(&given, name));
    }
    bool exact = whole && (extreme || op == FR_WINDOW_CUM_SUM || op == FR_WINDOW_SUM);
    *in = fr_type_of(exact ? FR_INT64 : FR_FLOAT64);
    *out = *in;
    return FR_OK;
}

// --- values from another row ---

static void shift_part(const window_job *j, size_t p, uint32_t *index)
{
    int64_t start = j->start[p], end = j->start[p + 1], n = j->call->n;
    for (int64_t i = start; i < end; i++) {
        int64_t from;
        bool inside = !__builtin_sub_overflow(i, n, &from) && from >= start && from < end;
        index[i] = inside ? (uint32_t)from : FR_TAKE_NULL;
    }
}

static void fill_part(const window_job *j, size_t p, uint32_t *index)
{
    bool forward = j->call->op == FR_WINDOW_FORWARD;
    int64_t start = j->start[p], end = j->start[p + 1], last = -1;
    for (int64_t k = 0; k < end - start; k++) {
        int64_t i = forward ? start + k : end - 1 - k;
        if (fr_array_has(j->in, i)) {
            last = i;
        }
        int64_t distance = last > i ? last - i : i - last;
        bool found = last >= 0 && distance <= j->call->n;
        index[i] = found ? (uint32_t)last : FR_TAKE_NULL;
    }
}

static int from_other_rows(const window_job *j, fr_array **out, fr_err *err)
{
    fr_block *block;
    int rc = fr_block_new((size_t)j->rows * sizeof(uint32_t), &block, err);
    if (rc != FR_OK) {
        return rc;
    }
    for (size_t p = 0; p < j->parts; p++) {
        if (j->call->op == FR_WINDOW_LAG) {
            shift_part(j, p, u32(block));
        } else {
            fill_part(j, p, u32(block));
        }
    }
    rc = fr_compute_take(j->in, u32(block), j->rows, true, out, err);
    fr_block_unref(block);
    return rc;
}

// --- values computed ---

typedef struct packing {
    const window_job *j;
    uint8_t *bits;
} packing;

static void pack_chunk(void *ctx, size_t c)
{
    const packing *k = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS, end = FR_MIN(at + FR_CHUNK_ROWS, k->j->rows);
    const uint8_t *valid = k->j->valid;       // 0 or 1
    int64_t *value = k->j->integer;
    for (int64_t i = at; i < end && !k->j->zeroed; i++) {
        value[i] = valid[i] ? value[i] : 0; // frames.md B4
    }
    for (int64_t i = at; i < end; i += 8) {   // 8 more bytes are there
        uint64_t v;
        memcpy(&v, valid + i, sizeof v);
        k->bits[i >> 3] = (uint8_t)((v & 0x0101010101010101) * 0x0102040810204080 >> 56);
    }
}

static int run_kernel(window_job *j, fr_err *err)
{
    fr_window_op op = j->call->op;
    if (op >= FR_WINDOW_SUM) {
        return window_roll(j, err);
    }
    bool ranks = op >= FR_WINDOW_RANK_MIN && op <= FR_WINDOW_RANK_AVERAGE;
    return ranks ? window_rank(j, err) : window_cumulate(j);
}

static int computed(window_job *j, fr_array **out, fr_err *err)
{
    fr_block *valid = NULL;
    fr_array *a = NULL;
    int rc = fr_block_new_zero((size_t)j->rows + 8, &valid, err);
    rc = rc == FR_OK ? fr_array_new(j->type, j->rows, 0, &a, err) : rc;
    rc = rc == FR_OK ? fr_array_add_validity(a, err) : rc;
    if (rc == FR_OK) {
        j->valid = valid->data;
        j->number = (double *)(void *)a->values->data;
        j->integer = (int64_t *)(void *)a->values->data;
        rc = fr_compute_failed(err, run_kernel(j, err));
    }
    if (rc == FR_OK) {
        packing k = {j, a->validity->data};
        rc = fr_compute_failed(err,
                               fr_pool_run(fr_compute_chunks(j->rows), pack_chunk, &k));
    }
    fr_block_unref(valid);
    if (rc != FR_OK) {
        fr_array_unref(a);
        return rc;
    }
    fr_array_count_nulls(a);
    *out = a;
    return FR_OK;
}

// The input in the order of the parts, converted to what the op works on.
static int take_input(const fr_window *w, const fr_window_call *call, fr_type in,
                      fr_array **out, fr_err *err)
{
    *out = NULL;
    if (call->input == NULL) {
        return FR_OK;
    }
    fr_array *cast = NULL;
    int rc = fr_type_eq(&call->input->type, &in)
                 ? (cast = fr_array_ref(call->input), FR_OK)
                 : fr_compute_cast(call->input, in, &cast, err);
    if (rc != FR_OK || w == NULL || w->order == NULL) {
        *out = cast;
        return rc;
    }
    rc = fr_compute_take(cast, u32(w->order), cast->length, false, out, err);
    fr_array_unref(cast);
    return rc;
}

int fr_window_run(const fr_window *w, const fr_window_call *call, int64_t rows,
                  fr_array **out, fr_err *err)
{
    *out = NULL;
    uint32_t whole[2] = {0, (uint32_t)rows};
    window_job j = {.call = call, .start = whole, .parts = 1, .rows = rows, .overflow = -1};
    int rc = fr_compute_check_rows(rows, err);
    if (w != NULL) {
        FR_ASSERT(w->rows == rows);
        j.start = u32(w->start);
        j.parts = w->parts;
    }
    fr_type in = call->input != NULL ? call->input->type : fr_type_of(FR_INT64);
    rc = rc == FR_OK ? fr_window_type(call->op, &in, &j.type, err) : rc;
    fr_array *input = NULL, *made = NULL;
    rc = rc == FR_OK ? take_input(w, call, in, &input, err) : rc;
    if (rc == FR_OK) {
        j.in = input;
        rc = call->op <= FR_WINDOW_BACKWARD ? from_other_rows(&j, &made, err)
                                            : computed(&j, &made, err);
    }
    fr_array_unref(input);
    if (rc == FR_EOVERFLOW && j.overflow >= 0) {
        bool moved = w != NULL && w->order != NULL;
        int64_t row = moved ? u32(w->order)[j.overflow] : j.overflow;
        return fr_fail(err, rc, "row %lld: the sum does not fit a 64-bit integer",
                       (long long)row + 1);
    }
    if (rc != FR_OK || w == NULL || w->order == NULL) {
        *out = made;
        return rc;
    }
    rc = fr_compute_take(made, u32(w->inverse), rows, false, out, err);
    fr_array_unref(made);
    return rc;
}
