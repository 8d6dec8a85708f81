#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/join_int.h"

#include <stdio.h>
#include <string.h>

// --- which rows, side by side ---

typedef struct pairing {
    const fr_matches *m;
    int64_t nl;
    bool keep;      // left rows without a match stay
    int64_t *start; // per chunk of left rows: where its pairs go
    uint32_t *l, *r;
} pairing;

static void count_chunk(void *ctx, size_t c)
{
    pairing *p = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS, end = FR_MIN(at + FR_CHUNK_ROWS, p->nl),
            n = 0;
    const uint32_t *head = p->m->head, *next = p->m->next;
    for (int64_t i = at; i < end; i++) {
        n += head[i] != NO_ROW || p->keep;
        if (next != NULL && head[i] != NO_ROW) {
            for (uint32_t row = next[head[i]]; row != NO_ROW; row = next[row]) {
                n++;
            }
        }
    }
    p->start[c] = n;
}

static void pair_chunk(void *ctx, size_t c)
{
    pairing *p = ctx;
    int64_t at = (int64_t)c * FR_CHUNK_ROWS, end = FR_MIN(at + FR_CHUNK_ROWS, p->nl);
    const uint32_t *head = p->m->head, *next = p->m->next;
    int64_t to = p->start[c], last = p->start[c + 1];
    if (next == NULL) { // branch-free: about half may match
        for (int64_t i = at; i < end && to < last; i++) {
            p->l[to] = (uint32_t)i;
            p->r[to] = head[i];
            to += head[i] != NO_ROW || p->keep;
        }
        return;
    }
    for (int64_t i = at; i < end; i++) {
        if (head[i] == NO_ROW && !p->keep) {
            continue;
        }
        uint32_t row = head[i];
        do {
            p->l[to] = (uint32_t)i;
            p->r[to++] = row;
            row = row != NO_ROW ? next[row] : NO_ROW;
        } while (row != NO_ROW);
    }
}

// Right rows that no left row matched, in order, from `to` on; returns how many.
static int64_t only_right(const fr_matches *m, int64_t nl, int64_t nr, uint32_t *to)
{
    uint8_t *seen = fr_zalloc((size_t)nr + 1);
    for (int64_t i = 0; i < nl; i++) {
        if (m->head[i] != NO_ROW) {
            seen[m->head[i]] = 1;
        }
    }
    // A list is entered at its head, so the rest of it is seen with it.
    for (int64_t i = 0; i < nr && m->next != NULL; i++) {
        if (seen[i] && m->next[i] != NO_ROW) {
            seen[m->next[i]] = 1;
        }
    }
    int64_t n = 0;
    for (int64_t i = 0; i < nr; i++) {
        if (!seen[i]) {
            to[n++] = (uint32_t)i;
        }
    }
    fr_free(seen);
    return n;
}

static int pair_rows(const fr_matches *m, const fr_frame *left, const fr_frame *right,
                     fr_join_how how, fr_block **pairs, int64_t *n, int64_t *extra,
                     fr_err *err)
{
    size_t chunks = fr_compute_chunks(left->rows);
    pairing p = {
        .m = m, .nl = left->rows, .keep = how == FR_JOIN_LEFT || how == FR_JOIN_FULL};
    p.start = fr_alloc((chunks + 1) * sizeof *p.start);
    int rc = fr_compute_failed(err, fr_pool_run(chunks, count_chunk, &p));
    int64_t total = 0;
    for (size_t c = 0; c < chunks && rc == FR_OK; c++) {
        int64_t count = p.start[c];
        p.start[c] = total;
        total += count;
    }
    p.start[chunks] = total;
    bool both = how == FR_JOIN_RIGHT || how == FR_JOIN_FULL;
    int64_t most = total + (both ? right->rows : 0);
    rc = rc == FR_OK ? fr_compute_check_rows(most, err) : rc;
    // Room for one more: the branch-free loop writes before it knows.
    rc = rc == FR_OK ? fr_block_new((size_t)(most + 1) * 2 * sizeof(uint32_t), pairs, err)
                     : rc;
    if (rc == FR_OK) {
        p.l = (uint32_t *)(void *)(*pairs)->data;
        p.r = p.l + most + 1;
        rc = fr_compute_failed(err, fr_pool_run(chunks, pair_chunk, &p));
    }
    if (rc == FR_OK) {
        *extra = both ? only_right(m, left->rows, right->rows, p.r + total) : 0;
        memset(p.l + total, 0xff, (size_t)*extra * sizeof *p.l);
        memmove(p.l + total + *extra, p.r, (size_t)(total + *extra) * sizeof *p.r);
        *n = total + *extra;
    }
    fr_free(p.start);
    return rc;
}

// --- the result ---

static bool is_key(const char *const *names, size_t n, const char *name)
{
    for (size_t k = 0; k < n; k++) {
        if (strcmp(names[k], name) == 0) {
            return true;
        }
    }
    return false;
}

typedef struct assembling {
    const fr_frame *left, *right;
    fr_join_on on;
    const uint32_t *l, *r;
    int64_t n, only_right;
    char **names;
    fr_array **cols;
    const fr_array **from;
    size_t count;
} assembling;

// A left key column continues with the right's values in rows that only the right has.
static int take_key(const assembling *a, size_t k, const fr_array *mine, fr_array **out)
{
    const fr_array *theirs;
    int64_t own = a->n - a->only_right;
    fr_array *parts[2] = {NULL, NULL};
    int rc = fr_frame_column(a->right, a->on.right[k], &theirs, NULL);
    rc = rc == FR_OK ? fr_compute_take(mine, a->l, own, false, &parts[0], NULL) : rc;
    rc = rc == FR_OK
             ? fr_compute_take(theirs, a->r + own, a->only_right, false, &parts[1], NULL)
             : rc;
    if (rc == FR_OK) {
        rc = fr_compute_concat((const fr_array *const *)parts, 2, "key", out, NULL);
    }
    fr_array_unref(parts[0]);
    fr_array_unref(parts[1]);
    return rc;
}

static int take_column(void *ctx, size_t i)
{
    assembling *a = ctx;
    const fr_array *from = a->from[i];
    if (i >= a->left->columns) {
        return fr_compute_take(from, a->r, a->n, true, &a->cols[i], NULL);
    }
    if (a->l == NULL) {
        a->cols[i] = fr_array_ref(from);
        return FR_OK;
    }
    for (size_t k = 0; k < a->on.n && a->only_right > 0; k++) {
        if (strcmp(a->on.left[k], a->left->names[i]) == 0) {
            return take_key(a, k, from, &a->cols[i]);
        }
    }
    return fr_compute_take(from, a->l, a->n, a->only_right > 0, &a->cols[i], NULL);
}

// Names of the result; a right one that is taken gets the suffix.
static void name_columns(assembling *a, const char *suffix)
{
    for (size_t i = 0; i < a->left->columns; i++) {
        a->names[a->count] = fr_strdup(a->left->names[i]);
        a->from[a->count++] = a->left->cols[i];
    }
    for (size_t i = 0; i < a->right->columns; i++) {
        const char *name = a->right->names[i];
        if (is_key(a->on.right, a->on.n, name)) {
            continue;
        }
        if (fr_frame_find(a->left, name) >= 0) {
            size_t size = strlen(name) + strlen(suffix) + 1;
            a->names[a->count] = fr_alloc(size);
            (void)snprintf(a->names[a->count], size, "%s%s", name, suffix);
        } else {
            a->names[a->count] = fr_strdup(name);
        }
        a->from[a->count++] = a->right->cols[i];
    }
}

int fr_join_assemble(const fr_frame *left, const fr_frame *right, fr_join_on on,
                     const char *suffix, const uint32_t *l, const uint32_t *r, int64_t n,
                     int64_t extra, fr_frame **out, fr_err *err)
{
    size_t most = left->columns + right->columns;
    assembling a = {.left = left,
                    .right = right,
                    .on = on,
                    .l = l,
                    .r = r,
                    .n = n,
                    .only_right = extra};
    a.names = fr_zalloc((most + 1) * sizeof *a.names);
    a.cols = fr_zalloc((most + 1) * sizeof *a.cols);
    a.from = fr_zalloc((most + 1) * sizeof(fr_array *));
    name_columns(&a, suffix);
    int rc = fr_compute_failed(err, fr_pool_try(a.count, take_column, &a));
    if (rc == FR_OK) {
        rc = fr_frame_new(a.count, (const char *const *)a.names, a.cols, out, err);
        if (rc != FR_OK) {
            (void)fr_wrap(err, rc, "join: give another suffix");
        }
    }
    for (size_t i = 0; i < a.count; i++) {
        fr_free(a.names[i]);
        fr_array_unref(a.cols[i]);
    }
    fr_free(a.names);
    fr_free(a.cols);
    fr_free((void *)a.from);
    return rc;
}

// Left rows that have, or have not, a match.
static int keep_left(const fr_matches *m, const fr_frame *left, bool matched,
                     fr_frame **out, fr_err *err)
{
    fr_array *mask;
    int rc = fr_array_new(fr_type_of(FR_BOOL), left->rows, 0, &mask, err);
    if (rc != FR_OK) {
        return rc;
    }
    for (int64_t i = 0; i < left->rows; i++) {
        if ((m->head[i] != NO_ROW) == matched) {
            fr_bits_set(mask->values->data, i);
        }
    }
    rc = fr_compute_filter(left, mask, out, err);
    fr_array_unref(mask);
    return rc;
}

static int join_all(const fr_frame *left, const fr_frame *right, const char *suffix,
                    fr_frame **out, fr_err *err)
{
    int64_t n;
    fr_block *pairs;
    if (__builtin_mul_overflow(left->rows, right->rows, &n)) {
        n = INT64_MAX;
    }
    int rc = fr_compute_check_rows(n, err);
    rc = rc == FR_OK ? fr_block_new((size_t)n * 2 * sizeof(uint32_t), &pairs, err) : rc;
    if (rc != FR_OK) {
        return fr_wrap(err, rc, "join: cross");
    }
    uint32_t *l = (uint32_t *)(void *)pairs->data, *r = l + n;
    for (int64_t i = 0, k = 0; i < left->rows; i++) {
        for (int64_t j = 0; j < right->rows; j++, k++) {
            l[k] = (uint32_t)i;
            r[k] = (uint32_t)j;
        }
    }
    rc = fr_join_assemble(left, right, (fr_join_on){0}, suffix, l, r, n, 0, out, err);
    fr_block_unref(pairs);
    return rc;
}

int fr_join(const fr_frame *left, const fr_frame *right, fr_join_on on, fr_join_how how,
            const char *suffix, fr_frame **out, fr_err *err)
{
    *out = NULL;
    if (how == FR_JOIN_CROSS) {
        return join_all(left, right, suffix, out, err);
    }
    if (on.n == 0) {
        return fr_fail(err, FR_EINVAL, "join: no key columns");
    }
    fr_matches m;
    int rc = fr_matches_init(&m, left, right, on, err);
    if (rc != FR_OK) {
        return rc;
    }
    if (how == FR_JOIN_SEMI || how == FR_JOIN_ANTI) {
        rc = keep_left(&m, left, how == FR_JOIN_SEMI, out, err);
    } else if (how == FR_JOIN_LEFT && m.next == NULL) {
        // At most one match each: the left columns are shared as they are.
        rc = fr_join_assemble(left, right, on, suffix, NULL, m.head, left->rows, 0, out,
                              err);
    } else {
        fr_block *pairs = NULL;
        int64_t n, extra;
        rc = pair_rows(&m, left, right, how, &pairs, &n, &extra, err);
        if (rc == FR_OK) {
            const uint32_t *l = (const uint32_t *)(const void *)pairs->data;
            rc = fr_join_assemble(left, right, on, suffix, l, l + n, n, extra, out, err);
        }
        fr_block_unref(pairs);
    }
    fr_matches_fini(&m);
    return rc;
}
