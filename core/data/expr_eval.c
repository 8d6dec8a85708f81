#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/expr_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    ARGS_MAX = 32,
    SLOT_BYTES = EXPR_MORSEL * (int)sizeof(expr_str) + EXPR_WORDS * 8,
    BUMP_BYTES = 64 * 1024,
};

char *expr_text_alloc(expr_eval *e, size_t n)
{
    struct expr_bump *b = e->text;
    while (b->at < b->n && b->used + n > b->sizes[b->at]) {
        b->at++;
        b->used = 0;
    }
    if (b->at == b->n) {
        b->blocks = fr_realloc(b->blocks, (b->n + 1) * sizeof *b->blocks);
        b->sizes = fr_realloc(b->sizes, (b->n + 1) * sizeof *b->sizes);
        b->sizes[b->n] = FR_MAX(n, (size_t)BUMP_BYTES);
        b->blocks[b->n] = fr_alloc(b->sizes[b->n]);
        b->n++;
        b->used = 0;
    }
    char *s = b->blocks[b->at] + b->used;
    b->used += n;
    return s;
}

// Errors.
bool expr_row_counts(const expr_eval *e, const expr_vec *v, size_t i)
{
    bool present = v->valid == NULL || (v->valid[i / 64] >> (i % 64) & 1);
    return present && (e->active == NULL || (e->active[i / 64] >> (i % 64) & 1));
}

static const expr_node *first_column(const expr_node *n)
{
    if (n->op == EXPR_COLUMN) {
        return n;
    }
    for (uint32_t i = 0; i < n->n_args; i++) {
        const expr_node *found = first_column(n->args[i]);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

int expr_fail_row(expr_eval *e, const expr_node *node, size_t i, int code, const char *format,
                  ...)
{
    char message[FR_ERR_MAX], excerpt[192];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    expr_excerpt(e->expr->text, e->expr->size, node->at, excerpt);
    const expr_node *column = first_column(node);
    if (column == NULL || e->sources == NULL) {
        return fr_fail(e->err, code, "%s%s", message, excerpt);
    }
    return fr_fail(e->err, code, "row %lld, column \"%.60s\": %s%s",
                   (long long)(e->row + (int64_t)i + 1), column->s.s, message, excerpt);
}

// Slots: one per depth of the running evaluation.
static uint8_t *slot_data(expr_eval *e, size_t depth) { return e->slots[depth]; }

static uint64_t *slot_words(expr_eval *e, size_t depth)
{
    return (uint64_t *)(void *)(e->slots[depth] + EXPR_MORSEL * sizeof(expr_str));
}

static void need_slot(expr_eval *e, size_t depth)
{
    if (e->slots[depth] == NULL) {
        e->slots[depth] = fr_alloc(SLOT_BYTES);
    }
}

// Masks.
static void unpack(const uint64_t *words, size_t n, uint8_t *bytes)
{
    for (size_t w = 0; w * 64 < n; w++) {
        for (size_t k = 0; k < 8; k++) {
            uint64_t v = words[w] >> (k * 8) & 0xff;
            v = (v * 0x8040201008040201 >> 7) & 0x0101010101010101;
            // The multiplication leaves bit 0 in the highest byte.
            v = __builtin_bswap64(v);
            memcpy(bytes + w * 64 + k * 8, &v, 8);
        }
    }
}

static bool none(const uint64_t *words, size_t n)
{
    uint64_t any = 0;
    for (size_t w = 0; w < expr_words_of(n); w++) {
        any |= words[w];
    }
    return any == 0;
}

// Loading columns.
static void load_valid(const fr_array *a, int64_t row, size_t n, uint64_t *words, expr_vec *out)
{
    out->valid = NULL;
    if (a->nulls == 0) {
        return;
    }
    int64_t at = a->offset + row, end = at + (int64_t)n;
    for (size_t w = 0; w < expr_words_of(n); w++) {
        words[w] = fr_bits_word(a->validity->data, at + (int64_t)w * 64, end);
    }
    out->valid = words;
}

#define WIDEN(from_type, to_type)                                                        \
    do {                                                                                 \
        const from_type *from = (const from_type *)fr_array_data(a) + row;               \
        to_type *to = out->data;                                                         \
        for (size_t i = 0; i < n; i++) {                                                 \
            to[i] = (to_type)from[i];                                                    \
        }                                                                                \
    } while (0)

static int load_uint64(expr_eval *e, const expr_node *node, const fr_array *a, int64_t row,
                       size_t n, expr_vec *out)
{
    const uint64_t *from = (const uint64_t *)fr_array_data(a) + row;
    int64_t *to = out->data;
    for (size_t i = 0; i < n; i++) {
        to[i] = (int64_t)from[i];
        if (to[i] < 0 && expr_row_counts(e, out, i)) {
            return expr_fail_row(e, node, i, FR_EOVERFLOW,
                                 "%llu does not fit a signed 64-bit integer",
                                 (unsigned long long)from[i]);
        }
    }
    return FR_OK;
}

static void load_text(const fr_array *a, int64_t row, size_t n, expr_vec *out)
{
    const int64_t *o = fr_array_offsets(a) + row;
    const char *bytes = (const char *)a->values->data;
    expr_str *to = out->data;
    for (size_t i = 0; i < n; i++) {
        to[i] = (expr_str){bytes + o[i], (size_t)(o[i + 1] - o[i])};
    }
}

static void load_category(const fr_array *a, int64_t row, size_t n, expr_vec *out)
{
    const int32_t *codes = fr_array_i32(a) + row;
    const int64_t *o = fr_array_offsets(a->dict);
    const char *bytes = (const char *)a->dict->values->data;
    expr_str *to = out->data;
    for (size_t i = 0; i < n; i++) {
        bool present = out->valid == NULL || (out->valid[i / 64] >> (i % 64) & 1);
        int32_t k = codes[i];
        to[i] = present ? (expr_str){bytes + o[k], (size_t)(o[k + 1] - o[k])}
                        : (expr_str){"", 0};
    }
}

static void load_bool(const fr_array *a, int64_t row, size_t n, expr_vec *out)
{
    int64_t at = a->offset + row, end = at + (int64_t)n;
    uint64_t words[EXPR_WORDS];
    for (size_t w = 0; w < expr_words_of(n); w++) {
        words[w] = fr_bits_word(a->values->data, at + (int64_t)w * 64, end);
    }
    unpack(words, n, out->data);
}

static int load_column(expr_eval *e, const expr_node *node, const fr_array *a, int64_t row,
                       size_t depth, size_t n, expr_vec *out)
{
    need_slot(e, depth);
    out->data = slot_data(e, depth);
    load_valid(a, row, n, slot_words(e, depth), out);
    switch (a->type.kind) {
    case FR_BOOL:
        load_bool(a, row, n, out);
        break;
    case FR_INT8:
        WIDEN(int8_t, int64_t);
        break;
    case FR_INT16:
        WIDEN(int16_t, int64_t);
        break;
    case FR_INT32:
    case FR_DATE:
        WIDEN(int32_t, int64_t);
        break;
    case FR_UINT8:
        WIDEN(uint8_t, int64_t);
        break;
    case FR_UINT16:
        WIDEN(uint16_t, int64_t);
        break;
    case FR_UINT32:
        WIDEN(uint32_t, int64_t);
        break;
    case FR_UINT64:
        return load_uint64(e, node, a, row, n, out);
    case FR_FLOAT32:
        WIDEN(float, double);
        break;
    case FR_UTF8:
        load_text(a, row, n, out);
        break;
    case FR_CATEGORY:
        if (node->codes) {
            WIDEN(int32_t, int64_t);
        } else {
            load_category(a, row, n, out);
        }
        break;
    case FR_INT64:
    case FR_FLOAT64:
    case FR_TIMESTAMP:
    case FR_TIME:
    case FR_DURATION: // as they lie; kernels do not write to arguments
        out->data = (void *)(uintptr_t)((const int64_t *)fr_array_data(a) + row);
        break;
    }
    return FR_OK;
}

#define GATHER(type, from_type)                                                          \
    do {                                                                                 \
        const from_type *from = fr_array_data(values);                                   \
        type *to = out->data;                                                            \
        for (size_t i = 0; i < n; i++) {                                                 \
            to[i] = (type)from[index[i]];                                                \
        }                                                                                \
    } while (0)

// The value for each row's category, from the values for the whole dictionary; the last
// value is the one for null.
static void gather_lifted(expr_eval *e, const expr_node *node, const fr_array *values,
                          size_t depth, size_t n, expr_vec *out)
{
    const fr_array *a = e->sources[node->only_source];
    const int32_t *codes = fr_array_i32(a) + e->row;
    int32_t index[EXPR_MORSEL];
    need_slot(e, depth);
    for (size_t i = 0; i < n; i++) {
        index[i] = fr_array_has(a, e->row + (int64_t)i) ? codes[i] : (int32_t)a->dict->length;
    }
    uint64_t *words = slot_words(e, depth);
    *out = (expr_vec){slot_data(e, depth), NULL};
    if (values->nulls > 0) {
        memset(words, 0, EXPR_WORDS * 8);
        for (size_t i = 0; i < n; i++) {
            words[i / 64] |= (uint64_t)fr_array_has(values, index[i]) << (i % 64);
        }
        out->valid = words;
    }
    if (values->type.kind == FR_BOOL) {
        uint8_t *to = out->data;
        for (size_t i = 0; i < n; i++) {
            to[i] = fr_array_bool(values, index[i]);
        }
    } else if (values->type.kind == FR_UTF8) {
        expr_str *to = out->data;
        for (size_t i = 0; i < n; i++) {
            to[i].s = fr_array_text(values, index[i], &to[i].n);
        }
    } else if (values->type.kind == FR_DATE) {
        GATHER(int64_t, int32_t);
    } else {
        GATHER(int64_t, int64_t);
    }
}

static void fill_constant(const expr_node *node, expr_vec *out)
{
    expr_phys p = expr_phys_of(&node->type);
    size_t bytes = EXPR_MORSEL * expr_phys_size(p);
    uint8_t *data = fr_alloc(bytes + EXPR_WORDS * 8);
    uint64_t *words = (uint64_t *)(void *)(data + bytes);
    memset(words, 0, EXPR_WORDS * 8);
    for (size_t i = 0; i < EXPR_MORSEL; i++) {
        switch (p) {
        case EXPR_P_BOOL:
            data[i] = node->i != 0;
            break;
        case EXPR_P_I64:
            ((int64_t *)(void *)data)[i] = node->i;
            break;
        case EXPR_P_F64:
            ((double *)(void *)data)[i] = node->x;
            break;
        case EXPR_P_TEXT:
            ((expr_str *)(void *)data)[i] = node->null ? (expr_str){"", 0} : node->s;
            break;
        }
    }
    *out = (expr_vec){data, node->null ? words : NULL};
}

static int eval_masked(expr_eval *e, const expr_node *node, const uint64_t *active,
                       size_t depth, size_t n, expr_vec *out)
{
    const uint64_t *before = e->active;
    e->active = active;
    int rc = expr_eval_node(e, node, depth, n, out);
    e->active = before;
    return rc;
}

// Rows that do not count hold values all the same: kernels further up look at every row.
static void clear_values(expr_phys p, uint8_t *to, size_t n)
{
    if (p != EXPR_P_TEXT) {
        memset(to, 0, n * expr_phys_size(p));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        ((expr_str *)(void *)to)[i] = (expr_str){"", 0};
    }
}

// Kernels whose result is null where any argument is.
static int eval_strict(expr_eval *e, const expr_node *node, size_t depth, size_t n,
                       expr_vec *out)
{
    expr_vec args[ARGS_MAX];
    bool nulls = false;
    for (uint32_t i = 0; i < node->n_args; i++) {
        int rc = expr_eval_node(e, node->args[i], depth + 1 + i, n, &args[i]);
        if (rc != FR_OK) {
            return rc;
        }
        nulls = nulls || args[i].valid != NULL;
    }
    need_slot(e, depth);
    *out = (expr_vec){slot_data(e, depth), NULL};
    if (nulls) {
        uint64_t *words = slot_words(e, depth);
        for (size_t w = 0; w < expr_words_of(n); w++) {
            words[w] = expr_tail_word(n, w);
            for (uint32_t i = 0; i < node->n_args; i++) {
                words[w] &= expr_word_of(args[i].valid, w);
            }
        }
        out->valid = words;
    }
    if (expr_phys_of(&node->type) == EXPR_P_TEXT && (nulls || e->active != NULL)) {
        clear_values(EXPR_P_TEXT, out->data, n); // text kernels leave such rows alone
    }
    return node->kernel(e, node, args, out, n);
}

// What is known of a bool: words of true and of false; null is neither.
typedef struct known {
    uint64_t yes[EXPR_WORDS], no[EXPR_WORDS];
} known;

static void known_of(const expr_vec *v, size_t n, known *k)
{
    expr_pack(v->data, n, k->yes);
    for (size_t w = 0; w < expr_words_of(n); w++) {
        uint64_t present = expr_word_of(v->valid, w) & expr_tail_word(n, w);
        k->no[w] = present & ~k->yes[w];
        k->yes[w] &= present;
    }
}

static void from_known(expr_eval *e, const known *k, size_t depth, size_t n, expr_vec *out)
{
    need_slot(e, depth);
    uint64_t *words = slot_words(e, depth), nulls = 0;
    for (size_t w = 0; w < expr_words_of(n); w++) {
        words[w] = k->yes[w] | k->no[w];
        nulls |= words[w] ^ expr_tail_word(n, w);
    }
    unpack(k->yes, n, slot_data(e, depth));
    *out = (expr_vec){slot_data(e, depth), nulls != 0 ? words : NULL};
}

// and, or in three values. The right side only counts where the left one does not decide,
// so `b != 0 and a // b > 2` raises nothing.
static int eval_logic(expr_eval *e, const expr_node *node, size_t depth, size_t n,
                      expr_vec *out)
{
    expr_vec v;
    known a, b;
    uint64_t open[EXPR_WORDS];
    int rc = expr_eval_node(e, node->args[0], depth + 1, n, &v);
    if (rc != FR_OK) {
        return rc;
    }
    known_of(&v, n, &a);
    bool is_and = node->op == EXPR_AND;
    for (size_t w = 0; w < expr_words_of(n); w++) {
        open[w] = expr_word_of(e->active, w) & ~(is_and ? a.no[w] : a.yes[w]) &
                  expr_tail_word(n, w);
    }
    if (none(open, n)) {
        from_known(e, &a, depth, n, out);
        return FR_OK;
    }
    rc = eval_masked(e, node->args[1], open, depth + 1, n, &v);
    if (rc != FR_OK) {
        return rc;
    }
    known_of(&v, n, &b);
    for (size_t w = 0; w < expr_words_of(n); w++) {
        a.yes[w] = is_and ? a.yes[w] & b.yes[w] : a.yes[w] | b.yes[w];
        a.no[w] = is_and ? a.no[w] | b.no[w] : a.no[w] & b.no[w];
    }
    from_known(e, &a, depth, n, out);
    return FR_OK;
}

static int eval_not(expr_eval *e, const expr_node *node, size_t depth, size_t n, expr_vec *out)
{
    expr_vec v;
    int rc = expr_eval_node(e, node->args[0], depth + 1, n, &v);
    if (rc == FR_OK) {
        need_slot(e, depth);
        uint8_t *to = slot_data(e, depth);
        const uint8_t *from = v.data;
        for (size_t i = 0; i < n; i++) {
            to[i] = !from[i];
        }
        *out = (expr_vec){to, v.valid}; // words of the slot below stay until we are done
        if (v.valid != NULL) {
            memcpy(slot_words(e, depth), v.valid, EXPR_WORDS * 8);
            out->valid = slot_words(e, depth);
        }
    }
    return rc;
}

static int eval_is_null(expr_eval *e, const expr_node *node, size_t depth, size_t n,
                        expr_vec *out)
{
    expr_vec v;
    known k;
    int rc = expr_eval_node(e, node->args[0], depth + 1, n, &v);
    if (rc == FR_OK) {
        for (size_t w = 0; w < expr_words_of(n); w++) {
            k.no[w] = expr_word_of(v.valid, w) & expr_tail_word(n, w);
            k.yes[w] = ~k.no[w] & expr_tail_word(n, w);
        }
        from_known(e, &k, depth, n, out);
    }
    return rc;
}

// compare(x, args[at]) by a kernel, as known.
static int compare_item(expr_eval *e, const expr_node *node, expr_kernel kernel,
                        const expr_vec *x, uint32_t at, size_t depth, size_t n, known *k)
{
    expr_vec args[2] = {*x}, result;
    uint64_t words[EXPR_WORDS];
    int rc = expr_eval_node(e, node->args[at], depth + 2, n, &args[1]);
    if (rc != FR_OK) {
        return rc;
    }
    need_slot(e, depth + 3);
    for (size_t w = 0; w < expr_words_of(n); w++) {
        words[w] = expr_word_of(x->valid, w) & expr_word_of(args[1].valid, w) &
                   expr_tail_word(n, w);
    }
    result = (expr_vec){slot_data(e, depth + 3), words};
    rc = kernel(e, node, args, &result, n);
    known_of(&result, n, k);
    return rc;
}

static int eval_between(expr_eval *e, const expr_node *node, size_t depth, size_t n,
                        expr_vec *out)
{
    expr_phys p = expr_phys_of(&node->args[0]->type);
    expr_vec x;
    known a, b;
    int rc = expr_eval_node(e, node->args[0], depth + 1, n, &x);
    if (rc == FR_OK) {
        rc = compare_item(e, node, expr_kernel_compare(EXPR_GE, p), &x, 1, depth, n, &a);
    }
    if (rc == FR_OK) {
        rc = compare_item(e, node, expr_kernel_compare(EXPR_LE, p), &x, 2, depth, n, &b);
    }
    for (size_t w = 0; w < expr_words_of(n) && rc == FR_OK; w++) {
        a.yes[w] &= b.yes[w];
        a.no[w] |= b.no[w];
    }
    if (rc == FR_OK) {
        from_known(e, &a, depth, n, out);
    }
    return rc;
}

static int eval_in(expr_eval *e, const expr_node *node, size_t depth, size_t n, expr_vec *out)
{
    if (node->set != NULL) {
        return eval_strict(e, node, depth, n, out);
    }
    expr_vec x;
    known all = {{0}, {0}}, item;
    for (size_t w = 0; w < expr_words_of(n); w++) {
        all.no[w] = expr_tail_word(n, w);
    }
    int rc = expr_eval_node(e, node->args[0], depth + 1, n, &x);
    for (uint32_t i = 1; i < node->n_args && rc == FR_OK; i++) {
        rc = compare_item(e, node, node->kernel, &x, i, depth, n, &item);
        for (size_t w = 0; w < expr_words_of(n); w++) {
            all.yes[w] |= item.yes[w];
            all.no[w] &= item.no[w];
        }
    }
    if (rc == FR_OK) {
        from_known(e, &all, depth, n, out);
    }
    return rc;
}

// Copies the values of the chosen rows.
static void blend(expr_phys p, void *to, const void *from, const uint64_t *chosen, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((chosen[i / 64] >> (i % 64) & 1) == 0) {
            continue;
        }
        switch (p) {
        case EXPR_P_BOOL:
            ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
            break;
        case EXPR_P_I64:
        case EXPR_P_F64:
            ((int64_t *)to)[i] = ((const int64_t *)from)[i];
            break;
        case EXPR_P_TEXT:
            ((expr_str *)to)[i] = ((const expr_str *)from)[i];
            break;
        }
    }
}

static int eval_if(expr_eval *e, const expr_node *node, size_t depth, size_t n, expr_vec *out)
{
    expr_vec v;
    known k;
    uint64_t chosen[2][EXPR_WORDS], valid[EXPR_WORDS] = {0};
    expr_phys p = expr_phys_of(&node->type);
    int rc = expr_eval_node(e, node->args[0], depth + 1, n, &v);
    if (rc != FR_OK) {
        return rc;
    }
    known_of(&v, n, &k);
    for (size_t w = 0; w < expr_words_of(n); w++) { // null chooses the second value, as SQL's case
        uint64_t active = expr_word_of(e->active, w) & expr_tail_word(n, w);
        chosen[0][w] = active & k.yes[w];
        chosen[1][w] = active & ~k.yes[w];
    }
    need_slot(e, depth);
    uint8_t *to = slot_data(e, depth);
    clear_values(p, to, n);
    for (uint32_t i = 0; i < 2; i++) {
        if (none(chosen[i], n)) {
            continue;
        }
        rc = eval_masked(e, node->args[1 + i], chosen[i], depth + 1, n, &v);
        if (rc != FR_OK) {
            return rc;
        }
        blend(p, to, v.data, chosen[i], n);
        for (size_t w = 0; w < expr_words_of(n); w++) {
            valid[w] |= chosen[i][w] & expr_word_of(v.valid, w);
        }
    }
    memcpy(slot_words(e, depth), valid, sizeof valid);
    *out = (expr_vec){to, slot_words(e, depth)};
    return FR_OK;
}

static int eval_coalesce(expr_eval *e, const expr_node *node, size_t depth, size_t n,
                         expr_vec *out)
{
    uint64_t open[EXPR_WORDS], valid[EXPR_WORDS] = {0};
    expr_phys p = expr_phys_of(&node->type);
    need_slot(e, depth);
    uint8_t *to = slot_data(e, depth);
    clear_values(p, to, n);
    for (size_t w = 0; w < expr_words_of(n); w++) {
        open[w] = expr_word_of(e->active, w) & expr_tail_word(n, w);
    }
    for (uint32_t i = 0; i < node->n_args && !none(open, n); i++) {
        expr_vec v;
        uint64_t fresh[EXPR_WORDS];
        int rc = eval_masked(e, node->args[i], open, depth + 1, n, &v);
        if (rc != FR_OK) {
            return rc;
        }
        for (size_t w = 0; w < expr_words_of(n); w++) {
            fresh[w] = open[w] & expr_word_of(v.valid, w);
            valid[w] |= fresh[w];
            open[w] &= ~fresh[w];
        }
        blend(p, to, v.data, fresh, n);
    }
    memcpy(slot_words(e, depth), valid, sizeof valid);
    *out = (expr_vec){to, slot_words(e, depth)};
    return FR_OK;
}

int expr_eval_node(expr_eval *e, const expr_node *node, size_t depth, size_t n, expr_vec *out)
{
    if (e->lifted != NULL && e->lifted[node->id] != NULL) {
        gather_lifted(e, node, e->lifted[node->id], depth, n, out);
        return FR_OK;
    }
    switch ((int)node->op) {
    case EXPR_CONST:
        if (e->constants[node->id].data == NULL) {
            fill_constant(node, &e->constants[node->id]);
        }
        *out = e->constants[node->id];
        return FR_OK;
    case EXPR_COLUMN:
        return load_column(e, node, e->sources[node->source], e->row, depth, n, out);
    case EXPR_ROW:
        need_slot(e, depth);
        *out = (expr_vec){slot_data(e, depth), NULL};
        for (size_t i = 0; i < n; i++) {
            ((int64_t *)out->data)[i] = e->row + (int64_t)i + 1;
        }
        return FR_OK;
    case EXPR_AND:
    case EXPR_OR:
        return eval_logic(e, node, depth, n, out);
    case EXPR_NOT:
        return eval_not(e, node, depth, n, out);
    case EXPR_IS_NULL:
        return eval_is_null(e, node, depth, n, out);
    case EXPR_BETWEEN:
        return eval_between(e, node, depth, n, out);
    case EXPR_IN:
        return eval_in(e, node, depth, n, out);
    case EXPR_IF:
        return eval_if(e, node, depth, n, out);
    case EXPR_COALESCE:
        return eval_coalesce(e, node, depth, n, out);
    default:
        return eval_strict(e, node, depth, n, out);
    }
}
