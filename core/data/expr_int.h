#pragma once
// expr_int -- what the parts of the expression compiler share. Private to core/data/expr*.c.
//
// expr_lex, expr_parse: text to a tree. expr_type: names, types, casts, constants folded.
// expr_func: the functions; expr_op, expr_text, expr_time: their kernels. expr_eval: the
// value of a tree for a morsel; expr_run: all morsels of a frame. expr.c: the public face.
// Everything a compiled expression owns lives in its arena; sets and zones in nodes are
// released by expr_node_fini.

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/zone.h"
#include "core/data/expr.h"

#include <string.h>

enum {
    EXPR_MORSEL = 2048,
    EXPR_WORDS = EXPR_MORSEL / 64,
    EXPR_TEXT_MAX = 64 * 1024,
    EXPR_DEPTH_MAX = 200,             // parentheses and calls
    EXPR_HEIGHT_MAX = 400,            // of the tree
    EXPR_NODES_MAX = 20000,
    EXPR_ARGS_MAX = 10000,
};

typedef struct expr_str {
    const char *s;
    size_t n;
} expr_str;

typedef enum expr_token_kind {
    EXPR_END, EXPR_NUMBER, EXPR_STRING, EXPR_NAME, EXPR_QUOTED, EXPR_PARAM, EXPR_SYMBOL,
} expr_token_kind;

typedef struct expr_token {
    expr_token_kind kind;
    size_t at, n;                 // in the text
    char symbol[3];               // SYMBOL: "<=", "~=" …
    bool integer;                 // NUMBER
    int64_t i;
    double x;
    const char *s;                // STRING, NAME, QUOTED, PARAM: unescaped, NUL-terminated
    size_t size;
} expr_token;

typedef enum expr_op {
    EXPR_CONST, EXPR_LIST, EXPR_COLUMN, EXPR_ROW, EXPR_CALL,
    EXPR_NEG, EXPR_NOT, EXPR_AND, EXPR_OR,
    EXPR_ADD, EXPR_SUB, EXPR_MUL, EXPR_DIV, EXPR_IDIV, EXPR_MOD, EXPR_POW,
    EXPR_EQ, EXPR_NE, EXPR_LT, EXPR_LE, EXPR_GT, EXPR_GE,
    EXPR_BETWEEN,
    EXPR_IN,                      // args[0] in args[1..], or in the set
    EXPR_LIKE, EXPR_IS_NULL, EXPR_IF, EXPR_COALESCE,
    EXPR_AGG,                     // becomes a COLUMN of the outer tree
    EXPR_CAST,                    // made by the typer
} expr_op;

typedef struct expr_vec {
    void *data;                   // uint8_t, int64_t, double or expr_str, EXPR_MORSEL of them
    const uint64_t *valid;        // NULL: all present
} expr_vec;

typedef struct expr_node expr_node;
typedef struct expr_eval expr_eval;
typedef struct expr_set expr_set;
typedef struct expr_compiler expr_compiler;
typedef struct expr_function expr_function;

// Fills out->data from the arguments' for n rows; out->valid is already the intersection.
// Rows that are null or not `active` may hold anything and must not raise errors.
typedef int (*expr_kernel)(expr_eval *e, const expr_node *node, const expr_vec *args,
                           expr_vec *out, size_t n);

struct expr_node {
    expr_op op;
    uint32_t at, end;             // of the text
    uint32_t id;
    uint32_t height;
    uint32_t n_args;
    expr_node **args;
    fr_type type;                 // kind 0: the untyped null
    expr_kernel kernel;
    const expr_function *function;
    size_t source;                // COLUMN: index into the evaluation's sources
    ptrdiff_t only_source;        // the one source of the subtree, -1 none, -2 several
    bool typed, constant, impure; // impure: row(), codes: only by rows
    bool codes;                   // COLUMN: a category's codes as integers
    bool liftable;                // runs over a category's dictionary instead of rows
    bool null;                    // CONST
    int64_t i;                    // CONST; aux of kernels (unit, factor)
    double x;                     // CONST
    expr_str s;                   // CONST; COLUMN, CALL, AGG: the name
    const fr_array *list;         // LIST: referenced
    expr_set *set;                // IN
    fr_zone *zone;                // time functions
};

typedef enum expr_phys { EXPR_P_BOOL, EXPR_P_I64, EXPR_P_F64, EXPR_P_TEXT } expr_phys;
expr_phys expr_phys_of(const fr_type *t);
size_t expr_phys_size(expr_phys p);

struct expr_compiler {
    const char *text;
    size_t size;
    const fr_frame *f;
    const fr_expr_param *params;
    size_t n_params;
    fr_arena *arena;
    fr_err *err;
    bool agg;                     // compile_agg
    const char *const *keys;
    size_t n_keys;
    bool inside_agg;
    fr_expr *expr;
    uint32_t n_nodes;
    expr_node **nodes;            // all of them, for release and lifting
    size_t nodes_capacity;
};

// lag(x, 1) and its kin: computed first; the outer tree sees the result as a column behind
// the frame's.
typedef struct expr_window {
    fr_window_call call;          // without input
    expr_node *arg;               // NULL for row_number()
    const char *name;
} expr_window;

struct fr_expr {
    fr_frame *f;
    fr_arena arena;
    char *text;
    size_t size;
    expr_node *root;
    expr_node **nodes;
    uint32_t n_nodes;
    size_t n_aggs;
    fr_expr_agg *aggs;
    expr_node **agg_args;         // NULL for count()
    size_t n_windows;
    expr_window *windows;         // in the order they are computed: inner ones first
    size_t n_keys;
    char **keys;
};

// expr_lex.
int expr_lex(expr_compiler *c, expr_token **out);       // ends with an EXPR_END token
// Message with the text and a caret at [at, at + n). Returns code.
int expr_fail(expr_compiler *c, int code, size_t at, size_t n, const char *format, ...)
    FR_PRINTF(5, 6);
void expr_excerpt(const char *text, size_t size, size_t at, char out[192]);

// expr_parse.
int expr_parse(expr_compiler *c, expr_node **out);
expr_node *expr_node_new(expr_compiler *c, expr_op op, size_t at, size_t end, size_t n_args);

// expr_type.
int expr_type(expr_compiler *c, expr_node **node);      // types it and may replace it
int expr_cast(expr_compiler *c, expr_node **node, const fr_type *to);
int expr_unify(expr_compiler *c, expr_node *node, size_t from, size_t to, const char *what);
int expr_type_fail(expr_compiler *c, const expr_node *node, const char *wanted);
int expr_fold(expr_compiler *c, expr_node **node);
const char *expr_type_text(const fr_type *t, char out[64]);
static inline bool expr_is_text(const expr_node *n)
{
    return n->type.kind == FR_UTF8 || n->type.kind == FR_CATEGORY;
}
static inline bool expr_is_number(const expr_node *n) { return fr_kind_number(n->type.kind); }

// expr_func.
struct expr_function {
    const char *name;
    uint8_t least, most;          // arguments; 255: any number
    int (*type)(expr_compiler *c, expr_node *node);
    expr_kernel kernel;
    int64_t aux;
    const char *usage;
};
const expr_function *expr_function_find(const char *name);
const char *expr_function_nearest(const char *name);
extern const expr_function expr_functions[];
extern const size_t expr_n_functions;
int expr_want(expr_compiler *c, expr_node *node, size_t i, fr_kind kind);

// expr_window.
bool expr_is_window(const char *name);
size_t expr_window_names(const char **names, size_t max);
int expr_type_window(expr_compiler *c, expr_node *node);
int expr_window_run(const fr_expr *e, const fr_window *w, const expr_node *root, fr_array **out,
                    fr_err *err);

// expr_op.
#define EXPR_KERNEL_OF(name)                                                             \
    int expr_kernel_##name(expr_eval *e, const expr_node *node, const expr_vec *args,     \
                           expr_vec *out, size_t n)
expr_kernel expr_kernel_arith(expr_op op, expr_phys p);
expr_kernel expr_kernel_compare(expr_op op, expr_phys p);
expr_set *expr_set_new(expr_phys p, size_t n);           // room for n
void expr_set_put(expr_set *set, int64_t i, double x, expr_str s);   // text is borrowed
bool expr_set_item(const expr_set *set, size_t i, fr_expr_value *out);    // false: no more
void expr_set_free(expr_set *s);
int expr_kernel_in(expr_eval *e, const expr_node *node, const expr_vec *args, expr_vec *out,
                   size_t n);
EXPR_KERNEL_OF(bool_to_int); EXPR_KERNEL_OF(int_to_float); EXPR_KERNEL_OF(scale);
EXPR_KERNEL_OF(neg_int); EXPR_KERNEL_OF(neg_float);

// expr_math, expr_text, expr_time: typers and kernels named by the table of functions.
#define EXPR_TYPER(name)  int expr_type_##name(expr_compiler *c, expr_node *node)
#define EXPR_KERNEL(name) EXPR_KERNEL_OF(name)
EXPR_TYPER(math); EXPR_TYPER(rounding); EXPR_TYPER(abs); EXPR_TYPER(sign);
EXPR_TYPER(extreme); EXPR_TYPER(clip);
EXPR_TYPER(to_int); EXPR_TYPER(to_float); EXPR_TYPER(to_text);
EXPR_TYPER(map_text); EXPR_TYPER(len); EXPR_TYPER(find); EXPR_TYPER(replace);
EXPR_TYPER(concat); EXPR_TYPER(sub);
EXPR_TYPER(part); EXPR_TYPER(date); EXPR_TYPER(timestamp); EXPR_TYPER(trunc);
EXPR_TYPER(diff); EXPR_TYPER(is_nan); EXPR_TYPER(time); EXPR_TYPER(duration);
EXPR_TYPER(if_else); EXPR_TYPER(coalesce); EXPR_TYPER(is_null); EXPR_TYPER(row);
EXPR_KERNEL(like);
EXPR_KERNEL(exp); EXPR_KERNEL(log); EXPR_KERNEL(log10); EXPR_KERNEL(log2);
EXPR_KERNEL(sqrt); EXPR_KERNEL(sin); EXPR_KERNEL(cos); EXPR_KERNEL(tan);
EXPR_KERNEL(round); EXPR_KERNEL(floor); EXPR_KERNEL(ceil);
EXPR_KERNEL(upper); EXPR_KERNEL(lower); EXPR_KERNEL(trim);
// A constant's value of a wanted temporal type from text, or false.
bool expr_time_constant(const char *s, size_t n, const fr_type *t, int64_t *out);
int expr_time_arith(expr_compiler *c, expr_node *node);  // + - on dates, timestamps …
int expr_no_operation(expr_compiler *c, const expr_node *node);   // "… have no such operation"
// Both sides to one unit, then integers.
int expr_in_unit(expr_compiler *c, expr_node *node, fr_unit unit, fr_type result);
// 'hour', '15min': nanoseconds, or the letter of a calendar unit and 0 or its length.
int expr_want_unit(expr_compiler *c, const expr_node *n, int64_t *nanos, char *calendar);
// expr_clock: times of day, whole parts of durations.
int expr_clock_arith(expr_compiler *c, expr_node *node);
int expr_divide_duration(expr_compiler *c, expr_node *node);      // "//" and "%"
bool expr_is_time(const expr_node *n);

// expr_eval.
// Texts made in a morsel: blocks that are kept for the next one.
struct expr_bump {
    char **blocks;
    size_t *sizes;
    size_t n, at, used;
};

struct expr_eval {
    const fr_expr *expr;
    const fr_array *const *sources;
    const char *const *source_names;
    fr_array *const *lifted;      // by node id
    int64_t first, row;           // of the job, of the morsel (0-based)
    const uint64_t *active;       // NULL: every row counts
    fr_err *err;
    uint8_t **slots;              // [depth]: EXPR_MORSEL * 16 bytes, then EXPR_WORDS words
    expr_vec *constants;          // by node id
    struct expr_bump *text;       // texts made in this morsel
};
// The value of a node for the n rows of the morsel; `depth` is the first slot it may use.
int expr_eval_node(expr_eval *e, const expr_node *node, size_t depth, size_t n, expr_vec *out);
bool expr_row_counts(const expr_eval *e, const expr_vec *v, size_t i);
// "row 17, column "kw": ..." with the place in the text. Returns code.
int expr_fail_row(expr_eval *e, const expr_node *node, size_t i, int code, const char *format,
                  ...) FR_PRINTF(5, 6);
char *expr_text_alloc(expr_eval *e, size_t n);          // lives until the morsel's end

// Masks: a bit per row.
static inline uint64_t expr_tail_word(size_t n, size_t w)
{
    size_t left = n - w * 64;
    return left >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << left) - 1;
}

static inline void expr_pack(const uint8_t *bytes, size_t n, uint64_t *words)
{
    for (size_t w = 0; w * 64 < n; w++) {
        uint64_t word = 0;
        for (size_t k = 0; k < 8; k++) { // slots are whole: reading behind n is fine
            uint64_t v;
            memcpy(&v, bytes + w * 64 + k * 8, 8);
            word |= ((v & 0x0101010101010101) * 0x0102040810204080 >> 56) << (k * 8);
        }
        words[w] = word & expr_tail_word(n, w);
    }
}

static inline size_t expr_words_of(size_t n) { return (n + 63) / 64; }

static inline uint64_t expr_word_of(const uint64_t *words, size_t w)
{
    return words != NULL ? words[w] : ~UINT64_C(0);
}

// expr_run.
int expr_run(const fr_expr *x, const expr_node *root, const fr_array *const *sources,
             const char *const *names, int64_t rows, fr_array **out, fr_err *err);
