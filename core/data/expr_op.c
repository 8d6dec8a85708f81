#include "core/data/expr_int.h"

#include "core/base/hash.h"

#include <math.h>
#include <string.h>

#define I64(v) ((const int64_t *)(v).data)
#define F64(v) ((const double *)(v).data)
#define STR(v) ((const expr_str *)(v).data)

// Integer arithmetic. The loops note only whether something went wrong anywhere; if so, a
// second look finds the first row that counts.
static bool int_op(expr_op op, int64_t a, int64_t b, int64_t *out)
{
    int64_t q;
    switch ((int)op) {
    case EXPR_ADD:
        return !__builtin_add_overflow(a, b, out);
    case EXPR_SUB:
        return !__builtin_sub_overflow(a, b, out);
    case EXPR_MUL:
        return !__builtin_mul_overflow(a, b, out);
    default:
        if (b == 0 || (a == INT64_MIN && b == -1)) {
            *out = 0;
            return false;
        }
        q = a / b;
        if (op == EXPR_IDIV) {
            *out = q - (a % b != 0 && (a % b < 0) != (b < 0));
        } else {
            int64_t m = a % b;
            *out = m != 0 && (m < 0) != (b < 0) ? m + b : m;
        }
        return true;
    }
}

static const char *symbol_of(expr_op op)
{
    static const char *const symbols[] = {[EXPR_ADD] = "+", [EXPR_SUB] = "-", [EXPR_MUL] = "*",
                                          [EXPR_IDIV] = "//", [EXPR_MOD] = "%"};
    return symbols[op];
}

static int explain(expr_eval *e, const expr_node *node, const expr_vec *args,
                   const expr_vec *out, size_t n, expr_op op)
{
    for (size_t i = 0; i < n; i++) {
        int64_t a = I64(args[0])[i], b = I64(args[1])[i], r;
        if (int_op(op, a, b, &r) || !expr_row_counts(e, out, i)) {
            continue;
        }
        if (b == 0 && (op == EXPR_IDIV || op == EXPR_MOD)) {
            return expr_fail_row(e, node, i, FR_EINVAL, "%lld %s 0: division by zero",
                                 (long long)a, symbol_of(op));
        }
        return expr_fail_row(e, node, i, FR_EOVERFLOW,
                             "%lld %s %lld does not fit a 64-bit integer: use float(x)",
                             (long long)a, symbol_of(op), (long long)b);
    }
    return FR_OK;
}

static int kernel_add(expr_eval *e, const expr_node *node, const expr_vec *args, expr_vec *out,
                      size_t n)
{
    const int64_t *a = I64(args[0]), *b = I64(args[1]);
    int64_t *r = out->data, wrong = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t v = (int64_t)((uint64_t)a[i] + (uint64_t)b[i]);
        wrong |= (a[i] ^ v) & (b[i] ^ v);
        r[i] = v;
    }
    return wrong < 0 ? explain(e, node, args, out, n, EXPR_ADD) : FR_OK;
}

static int kernel_sub(expr_eval *e, const expr_node *node, const expr_vec *args, expr_vec *out,
                      size_t n)
{
    const int64_t *a = I64(args[0]), *b = I64(args[1]);
    int64_t *r = out->data, wrong = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t v = (int64_t)((uint64_t)a[i] - (uint64_t)b[i]);
        wrong |= (a[i] ^ b[i]) & (a[i] ^ v);
        r[i] = v;
    }
    return wrong < 0 ? explain(e, node, args, out, n, EXPR_SUB) : FR_OK;
}

#define CHECKED(name, op)                                                                \
    static int kernel_##name(expr_eval *e, const expr_node *node, const expr_vec *args,  \
                             expr_vec *out, size_t n)                                    \
    {                                                                                    \
        int64_t *r = out->data;                                                          \
        bool good = true;                                                                \
        for (size_t i = 0; i < n; i++) {                                                 \
            good &= int_op(op, I64(args[0])[i], I64(args[1])[i], &r[i]);                 \
        }                                                                                \
        return good ? FR_OK : explain(e, node, args, out, n, op);                        \
    }
CHECKED(mul, EXPR_MUL)
CHECKED(idiv, EXPR_IDIV)
CHECKED(mod, EXPR_MOD)

// Doubles, as Lua has them.
static double float_mod(double a, double b)
{
    double m = fmod(a, b);
    return m * b < 0 ? m + b : m;
}

#define FLOATS(name, value)                                                              \
    static int kernel_##name(expr_eval *e, const expr_node *node, const expr_vec *args,  \
                             expr_vec *out, size_t n)                                    \
    {                                                                                    \
        (void)e, (void)node;                                                             \
        const double *x = F64(args[0]), *y = F64(args[1]);                               \
        double *r = out->data;                                                           \
        for (size_t i = 0; i < n; i++) {                                                 \
            double a = x[i], b = y[i];                                                   \
            r[i] = (value);                                                              \
        }                                                                                \
        return FR_OK;                                                                    \
    }
FLOATS(fadd, a + b)
FLOATS(fsub, a - b)
FLOATS(fmul, a *b)
FLOATS(fdiv, a / b)
FLOATS(fidiv, floor(a / b))
FLOATS(fmod, float_mod(a, b))
FLOATS(fpow, b == 2 ? a * a : pow(a, b))

expr_kernel expr_kernel_arith(expr_op op, expr_phys p)
{
    static const expr_kernel ints[] = {[EXPR_ADD] = kernel_add,   [EXPR_SUB] = kernel_sub,
                                       [EXPR_MUL] = kernel_mul,   [EXPR_IDIV] = kernel_idiv,
                                       [EXPR_MOD] = kernel_mod};
    static const expr_kernel floats[] = {[EXPR_ADD] = kernel_fadd,   [EXPR_SUB] = kernel_fsub,
                                         [EXPR_MUL] = kernel_fmul,   [EXPR_DIV] = kernel_fdiv,
                                         [EXPR_IDIV] = kernel_fidiv, [EXPR_MOD] = kernel_fmod,
                                         [EXPR_POW] = kernel_fpow};
    return p == EXPR_P_I64 ? ints[op] : floats[op];
}

EXPR_KERNEL(neg_int)
{
    const int64_t *a = I64(args[0]);
    int64_t *r = out->data;
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        r[i] = (int64_t)(0 - (uint64_t)a[i]);
        good &= a[i] != INT64_MIN;
    }
    for (size_t i = 0; i < n && !good; i++) {
        if (a[i] == INT64_MIN && expr_row_counts(e, out, i)) {
            return expr_fail_row(e, node, i, FR_EOVERFLOW,
                                 "-(%lld) does not fit a 64-bit integer", (long long)a[i]);
        }
    }
    return FR_OK;
}

EXPR_KERNEL(neg_float)
{
    (void)e, (void)node;
    const double *a = F64(args[0]);
    double *r = out->data;
    for (size_t i = 0; i < n; i++) {
        r[i] = -a[i];
    }
    return FR_OK;
}

// Casts.
EXPR_KERNEL(bool_to_int)
{
    (void)e, (void)node;
    const uint8_t *a = args[0].data;
    int64_t *r = out->data;
    for (size_t i = 0; i < n; i++) {
        r[i] = a[i];
    }
    return FR_OK;
}

EXPR_KERNEL(int_to_float)
{
    (void)e, (void)node;
    const int64_t *a = I64(args[0]);
    double *r = out->data;
    for (size_t i = 0; i < n; i++) {
        r[i] = (double)a[i];
    }
    return FR_OK;
}

EXPR_KERNEL(scale)
{
    const int64_t *a = I64(args[0]);
    int64_t *r = out->data;
    for (size_t i = 0; i < n; i++) {
        if (__builtin_mul_overflow(a[i], node->i, &r[i]) && expr_row_counts(e, out, i)) {
            return expr_fail_row(e, node, i, FR_EOVERFLOW,
                                 "a time out of range of the finer unit");
        }
    }
    return FR_OK;
}

// Comparisons.
static inline int compare_text(expr_str a, expr_str b)
{
    int c = memcmp(a.s, b.s, FR_MIN(a.n, b.n));
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

static inline bool equal_text(expr_str a, expr_str b)
{
    return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

#define COMPARE(name, type, value)                                                       \
    static int kernel_##name(expr_eval *e, const expr_node *node, const expr_vec *args,  \
                             expr_vec *out, size_t n)                                    \
    {                                                                                    \
        (void)e, (void)node;                                                             \
        const type *x = args[0].data, *y = args[1].data;                                 \
        uint8_t *r = out->data;                                                          \
        for (size_t i = 0; i < n; i++) {                                                 \
            type a = x[i], b = y[i];                                                     \
            r[i] = (value);                                                              \
        }                                                                                \
        return FR_OK;                                                                    \
    }

// Numbers: the loops run in vectors, where the processor has them in wide ones. The result
// is a slot of its own, never an argument's.
#if defined(__x86_64__)
#define WIDE __attribute__((target("avx512f,avx512vl,avx512bw")))
static bool has_wide(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw");
}
#else
#define WIDE
static bool has_wide(void) { return false; }
#endif

#define COMPARE_LOOP(name, type, value)                                                  \
    static void name(const type *restrict x, const type *restrict y, size_t n,           \
                     uint8_t *restrict r)                                                \
    {                                                                                    \
        for (size_t i = 0; i < n; i++) {                                                 \
            type a = x[i], b = y[i];                                                     \
            r[i] = (value);                                                              \
        }                                                                                \
    }
#define COMPARE_NUMBERS(name, type, value)                                               \
    COMPARE_LOOP(name##_plain, type, value)                                              \
    WIDE COMPARE_LOOP(name##_wide, type, value) static int kernel_##name(                \
        expr_eval *e, const expr_node *node, const expr_vec *args, expr_vec *out,        \
        size_t n)                                                                        \
    {                                                                                    \
        (void)e, (void)node;                                                             \
        (has_wide() ? name##_wide : name##_plain)(args[0].data, args[1].data, n,         \
                                                  out->data);                            \
        return FR_OK;                                                                    \
    }
COMPARE_NUMBERS(ieq, int64_t, a == b)
COMPARE_NUMBERS(ine, int64_t, a != b)
COMPARE_NUMBERS(ilt, int64_t, a < b)
COMPARE_NUMBERS(ile, int64_t, a <= b)
COMPARE_NUMBERS(feq, double, a == b)
COMPARE_NUMBERS(fne, double, a != b)
COMPARE_NUMBERS(flt, double, a < b)
COMPARE_NUMBERS(fle, double, a <= b)
COMPARE_NUMBERS(igt, int64_t, a > b)
COMPARE_NUMBERS(ige, int64_t, a >= b)
COMPARE_NUMBERS(fgt, double, a > b)
COMPARE_NUMBERS(fge, double, a >= b)
COMPARE(seq, expr_str, equal_text(a, b))
COMPARE(sne, expr_str, !equal_text(a, b))
COMPARE(slt, expr_str, compare_text(a, b) < 0)
COMPARE(sle, expr_str, compare_text(a, b) <= 0)
COMPARE(sgt, expr_str, compare_text(a, b) > 0)
COMPARE(sge, expr_str, compare_text(a, b) >= 0)
COMPARE(beq, uint8_t, a == b)
COMPARE(bne, uint8_t, a != b)

expr_kernel expr_kernel_compare(expr_op op, expr_phys p)
{
    static const expr_kernel table[4][6] = {
        [EXPR_P_BOOL] = {kernel_beq, kernel_bne, kernel_beq, kernel_beq, kernel_beq, kernel_beq},
        [EXPR_P_I64] = {kernel_ieq, kernel_ine, kernel_ilt, kernel_ile, kernel_igt, kernel_ige},
        [EXPR_P_F64] = {kernel_feq, kernel_fne, kernel_flt, kernel_fle, kernel_fgt, kernel_fge},
        [EXPR_P_TEXT] = {kernel_seq, kernel_sne, kernel_slt, kernel_sle, kernel_sgt, kernel_sge},
    };
    return table[p][op >= EXPR_EQ && op <= EXPR_GE ? op - EXPR_EQ : 0];
}

// Sets: open addressing; few items are looked at one after the other.
struct expr_set {
    expr_phys p;
    size_t n, mask;
    uint32_t *slots;              // 1 + index of the item, 0: free
    uint64_t *bits;               // I64, F64 (bit pattern), BOOL
    expr_str *text;
};

expr_set *expr_set_new(expr_phys p, size_t n)
{
    expr_set *s = fr_zalloc(sizeof *s);
    s->p = p;
    s->mask = 15;
    while (s->mask < n * 2) {
        s->mask = s->mask * 2 + 1;
    }
    s->slots = fr_zalloc((s->mask + 1) * sizeof *s->slots);
    if (p == EXPR_P_TEXT) {
        s->text = fr_alloc(FR_MAX(n, 1) * sizeof *s->text);
    } else {
        s->bits = fr_alloc(FR_MAX(n, 1) * sizeof *s->bits);
    }
    return s;
}

void expr_set_free(expr_set *s)
{
    if (s != NULL) {
        fr_free(s->slots);
        fr_free(s->bits);
        fr_free(s->text);
        fr_free(s);
    }
}

static inline uint64_t mix(uint64_t v)
{
    v *= 0x9e3779b97f4a7c15;
    return v ^ v >> 32;
}

static inline uint64_t float_bits(double x)
{
    uint64_t v;
    x += 0.0; // -0 becomes 0
    memcpy(&v, &x, sizeof v);
    return v;
}

static inline bool has_bits(const expr_set *s, uint64_t v)
{
    for (size_t at = mix(v) & s->mask; s->slots[at] != 0; at = (at + 1) & s->mask) {
        if (s->bits[s->slots[at] - 1] == v) {
            return true;
        }
    }
    return false;
}

static inline uint64_t text_hash(expr_str t) { return fr_hash_bytes(t.s, t.n).lo; }

static bool has_text(const expr_set *s, expr_str t)
{
    if (s->n <= 4) {
        for (size_t i = 0; i < s->n; i++) {
            if (equal_text(s->text[i], t)) {
                return true;
            }
        }
        return false;
    }
    for (size_t at = text_hash(t) & s->mask; s->slots[at] != 0; at = (at + 1) & s->mask) {
        if (equal_text(s->text[s->slots[at] - 1], t)) {
            return true;
        }
    }
    return false;
}

void expr_set_put(expr_set *s, int64_t i, double x, expr_str t)
{
    uint64_t v = s->p == EXPR_P_F64 ? float_bits(x) : (uint64_t)i, h;
    if (s->p == EXPR_P_TEXT) {
        if (has_text(s, t)) {
            return;
        }
        h = text_hash(t);
        s->text[s->n++] = t;
    } else {
        if (has_bits(s, v) || (s->p == EXPR_P_F64 && isnan(x))) {
            return;
        }
        h = mix(v);
        s->bits[s->n++] = v;
    }
    size_t at = h & s->mask;
    while (s->slots[at] != 0) {
        at = (at + 1) & s->mask;
    }
    s->slots[at] = (uint32_t)s->n;
}

bool expr_set_item(const expr_set *s, size_t i, fr_expr_value *out)
{
    if (i >= s->n) {
        return false;
    }
    *out = (fr_expr_value){0};
    if (s->p == EXPR_P_TEXT) {
        out->s = s->text[i].s;
        out->n = s->text[i].n;
    } else if (s->p == EXPR_P_F64) {
        memcpy(&out->x, &s->bits[i], sizeof out->x);
    } else {
        out->i = (int64_t)s->bits[i];
    }
    return true;
}

EXPR_KERNEL(in)
{
    (void)e;
    const expr_set *s = node->set;
    uint8_t *r = out->data;
    for (size_t i = 0; i < n; i++) {
        switch (s->p) {
        case EXPR_P_BOOL:
            r[i] = has_bits(s, ((const uint8_t *)args[0].data)[i]);
            break;
        case EXPR_P_I64:
            r[i] = has_bits(s, (uint64_t)I64(args[0])[i]);
            break;
        case EXPR_P_F64:
            r[i] = has_bits(s, float_bits(F64(args[0])[i]));
            break;
        case EXPR_P_TEXT:
            r[i] = has_text(s, STR(args[0])[i]);
            break;
        }
    }
    return FR_OK;
}
