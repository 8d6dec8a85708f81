#include "core/base/nearest.h"
#include "core/data/expr_int.h"

#include <string.h>
#include <strings.h>

typedef struct parser {
    expr_compiler *c;
    const expr_token *t;          // the next token
    int depth;
    bool too_high;                // a tree higher than EXPR_HEIGHT_MAX was made
} parser;

expr_node *expr_node_new(expr_compiler *c, expr_op op, size_t at, size_t end, size_t n_args)
{
    expr_node *n = fr_arena_zalloc(c->arena, sizeof *n);
    n->op = op;
    n->at = (uint32_t)at;
    n->end = (uint32_t)end;
    n->id = c->n_nodes;
    n->n_args = (uint32_t)n_args;
    n->only_source = -1;
    n->args = fr_arena_zalloc(c->arena, FR_MAX(n_args, 1) * sizeof *n->args);
    if (c->n_nodes == c->nodes_capacity) {
        c->nodes_capacity = c->nodes_capacity * 2 + 32;
        c->nodes = fr_realloc(c->nodes, c->nodes_capacity * sizeof *c->nodes);
    }
    c->nodes[c->n_nodes++] = n;
    return n;
}

// Chains such as a + b + c make high trees without nesting: they are bounded here.
static expr_node *closed(parser *p, expr_node *n)
{
    for (uint32_t i = 0; i < n->n_args; i++) {
        n->height = FR_MAX(n->height, n->args[i]->height + 1);
    }
    p->too_high = p->too_high || n->height > EXPR_HEIGHT_MAX;
    return n;
}

static expr_node *unary(parser *p, expr_op op, size_t at, expr_node *a)
{
    expr_node *n = expr_node_new(p->c, op, at, a->end, 1);
    n->args[0] = a;
    return closed(p, n);
}

static int parse_or(parser *p, expr_node **out);
static int parse_sum(parser *p, expr_node **out);
static int parse_unary(parser *p, expr_node **out);

static bool at_symbol(const parser *p, const char *symbol)
{
    return p->t->kind == EXPR_SYMBOL && strcmp(p->t->symbol, symbol) == 0;
}

static bool at_word(const parser *p, const char *word)
{
    return p->t->kind == EXPR_NAME && strcasecmp(p->t->s, word) == 0;
}

static bool take_symbol(parser *p, const char *symbol)
{
    bool there = at_symbol(p, symbol);
    p->t += there;
    return there;
}

static bool take_word(parser *p, const char *word)
{
    bool there = at_word(p, word);
    p->t += there;
    return there;
}

static int unexpected(parser *p, const char *wanted)
{
    const expr_token *t = p->t;
    if (t->kind == EXPR_END) {
        return expr_fail(p->c, FR_EPARSE, t->at, 1, "expected %s, but the expression ends",
                         wanted);
    }
    return expr_fail(p->c, FR_EPARSE, t->at, t->n, "expected %s, found \"%.*s\"", wanted,
                     (int)FR_MIN(t->n, 40), p->c->text + t->at);
}

static int too_deep(parser *p)
{
    return expr_fail(p->c, FR_ELIMIT, p->t->at, 1, "nested more than %d deep", EXPR_DEPTH_MAX);
}

static int check_size(parser *p)
{
    return p->c->n_nodes < EXPR_NODES_MAX
               ? FR_OK
               : fr_fail(p->c->err, FR_ELIMIT, "an expression of more than %d parts",
                         EXPR_NODES_MAX);
}

// Commas and expressions up to ")", the opening one already taken.
static int parse_list(parser *p, expr_node ***items, size_t *n)
{
    size_t capacity = 0;
    *items = NULL;
    *n = 0;
    if (take_symbol(p, ")")) {
        return FR_OK;
    }
    for (;;) {
        if (*n == EXPR_ARGS_MAX) {
            return expr_fail(p->c, FR_ELIMIT, p->t->at, 1, "more than %d items", EXPR_ARGS_MAX);
        }
        if (*n == capacity) {
            capacity = capacity * 2 + 8;
            expr_node **more = fr_arena_alloc(p->c->arena, capacity * sizeof *more);
            if (*n > 0) {
                memcpy(more, *items, *n * sizeof *more);
            }
            *items = more;
        }
        int rc = parse_or(p, &(*items)[*n]);
        if (rc != FR_OK) {
            return rc;
        }
        (*n)++;
        if (take_symbol(p, ")")) {
            return FR_OK;
        }
        if (!take_symbol(p, ",")) {
            return unexpected(p, "\",\" or \")\"");
        }
    }
}

static expr_node *parse_param_value(parser *p, const expr_token *t, const fr_expr_param *v)
{
    expr_node *n = expr_node_new(p->c, v->kind == FR_PARAM_LIST ? EXPR_LIST : EXPR_CONST, t->at,
                                 t->at + t->n, 0);
    n->s = (expr_str){t->s, t->size};
    switch (v->kind) {
    case FR_PARAM_NULL:
        n->null = true;
        break;
    case FR_PARAM_BOOL:
        n->type.kind = FR_BOOL;
        n->i = v->integer != 0;
        break;
    case FR_PARAM_INT:
        n->type.kind = FR_INT64;
        n->i = v->integer;
        break;
    case FR_PARAM_FLOAT:
        n->type.kind = FR_FLOAT64;
        n->x = v->number;
        break;
    case FR_PARAM_TEXT:
        n->type.kind = FR_UTF8;
        n->s.s = fr_arena_strndup(p->c->arena, v->text, v->size);
        n->s.n = v->size;
        break;
    case FR_PARAM_LIST:
        n->type = v->list->type;
        n->list = fr_array_ref(v->list);
        break;
    }
    return n;
}

static int parse_param(parser *p, expr_node **out)
{
    const expr_token *t = p->t++;
    for (size_t i = 0; i < p->c->n_params; i++) {
        if (strcmp(p->c->params[i].name, t->s) == 0) {
            *out = parse_param_value(p, t, &p->c->params[i]);
            return FR_OK;
        }
    }
    const char *names[64];
    size_t n = FR_MIN(p->c->n_params, FR_COUNT(names));
    for (size_t i = 0; i < n; i++) {
        names[i] = p->c->params[i].name;
    }
    const char *near = fr_nearest(t->s, names, n);
    if (near != NULL) {
        return expr_fail(p->c, FR_ENOTFOUND, t->at, t->n, "no parameter $%.60s: did you mean $%s?",
                         t->s, near);
    }
    return expr_fail(p->c, FR_ENOTFOUND, t->at, t->n,
                     "no parameter $%.60s: give it as in filter(\"kw > $%.30s\", {%.30s = 5})",
                     t->s, t->s, t->s);
}

static int parse_call(parser *p, expr_node **out)
{
    const expr_token *t = p->t;
    p->t += 2; // name and (
    expr_node **args;
    size_t n;
    int rc = parse_list(p, &args, &n);
    if (rc != FR_OK) {
        return rc;
    }
    expr_node *call = expr_node_new(p->c, EXPR_CALL, t->at, p->t[-1].at + 1, 0);
    call->args = args;
    call->n_args = (uint32_t)n;
    call->s = (expr_str){t->s, t->size};
    *out = closed(p, call);
    return FR_OK;
}

static bool literal_word(parser *p, expr_node **out)
{
    const expr_token *t = p->t;
    bool yes = at_word(p, "true"), no = at_word(p, "false"), null = at_word(p, "null");
    if (!yes && !no && !null) {
        return false;
    }
    p->t++;
    expr_node *n = expr_node_new(p->c, EXPR_CONST, t->at, t->at + t->n, 0);
    n->null = null;
    n->i = yes;
    n->type.kind = null ? (fr_kind)0 : FR_BOOL;
    *out = n;
    return true;
}

static bool reserved(const parser *p)
{
    static const char *const words[] = {"and", "or", "not", "in", "between", "like", "is"};
    for (size_t i = 0; i < FR_COUNT(words); i++) {
        if (at_word(p, words[i])) {
            return true;
        }
    }
    return false;
}

static int parse_name(parser *p, expr_node **out)
{
    const expr_token *t = p->t;
    bool call = p->t[1].kind == EXPR_SYMBOL && strcmp(p->t[1].symbol, "(") == 0;
    if (t->kind == EXPR_NAME && call && !reserved(p)) {
        return parse_call(p, out);
    }
    if (t->kind == EXPR_NAME && literal_word(p, out)) {
        return FR_OK;
    }
    if (t->kind == EXPR_NAME && reserved(p)) {
        return unexpected(p, "a value");
    }
    p->t++;
    expr_node *n = expr_node_new(p->c, EXPR_COLUMN, t->at, t->at + t->n, 0);
    n->s = (expr_str){t->s, t->size};
    *out = n;
    return FR_OK;
}

static int parse_primary(parser *p, expr_node **out)
{
    const expr_token *t = p->t;
    int rc = check_size(p);
    if (rc != FR_OK) {
        return rc;
    }
    switch (t->kind) {
    case EXPR_NUMBER:
        p->t++;
        *out = expr_node_new(p->c, EXPR_CONST, t->at, t->at + t->n, 0);
        (*out)->type.kind = t->integer ? FR_INT64 : FR_FLOAT64;
        (*out)->i = t->i;
        (*out)->x = t->x;
        return FR_OK;
    case EXPR_STRING:
        p->t++;
        *out = expr_node_new(p->c, EXPR_CONST, t->at, t->at + t->n, 0);
        (*out)->type.kind = FR_UTF8;
        (*out)->s = (expr_str){t->s, t->size};
        return FR_OK;
    case EXPR_PARAM:
        return parse_param(p, out);
    case EXPR_NAME:
    case EXPR_QUOTED:
        return parse_name(p, out);
    case EXPR_SYMBOL:
        if (!take_symbol(p, "(")) {
            break;
        }
        rc = parse_or(p, out);
        if (rc == FR_OK && !take_symbol(p, ")")) {
            rc = unexpected(p, "\")\"");
        }
        return rc;
    case EXPR_END:
        break;
    }
    return unexpected(p, "a value");
}

static expr_node *binary(parser *p, expr_op op, expr_node *a, expr_node *b)
{
    expr_node *n = expr_node_new(p->c, op, a->at, b->end, 2);
    n->args[0] = a;
    n->args[1] = b;
    return closed(p, n);
}

static int parse_power(parser *p, expr_node **out)
{
    int rc = parse_primary(p, out);
    if (rc == FR_OK && take_symbol(p, "^")) { // to the right: 2 ^ 3 ^ 2, 2 ^ -1
        expr_node *b;
        rc = parse_unary(p, &b);
        if (rc == FR_OK) {
            *out = binary(p, EXPR_POW, *out, b);
        }
    }
    return rc;
}

static int parse_unary(parser *p, expr_node **out)
{
    size_t at = p->t->at;
    if (p->depth >= EXPR_DEPTH_MAX) {
        return too_deep(p);
    }
    p->depth++;
    int rc;
    if (take_symbol(p, "-")) { // weaker than ^, as in Lua: -x ^ 2 is -(x ^ 2)
        rc = parse_unary(p, out);
        if (rc == FR_OK) {
            *out = unary(p, EXPR_NEG, at, *out);
        }
    } else if (take_symbol(p, "+")) {
        rc = parse_unary(p, out);
    } else {
        rc = parse_power(p, out);
    }
    p->depth--;
    return rc;
}

static int parse_product(parser *p, expr_node **out)
{
    static const struct {
        const char *symbol;
        expr_op op;
    } ops[] = {{"*", EXPR_MUL}, {"/", EXPR_DIV}, {"//", EXPR_IDIV}, {"%", EXPR_MOD}};
    int rc = parse_unary(p, out);
    while (rc == FR_OK) {
        size_t i = 0;
        while (i < FR_COUNT(ops) && !take_symbol(p, ops[i].symbol)) {
            i++;
        }
        if (i == FR_COUNT(ops)) {
            break;
        }
        expr_node *b;
        rc = parse_unary(p, &b);
        if (rc == FR_OK) {
            *out = binary(p, ops[i].op, *out, b);
        }
    }
    return rc;
}

static int parse_sum(parser *p, expr_node **out)
{
    int rc = parse_product(p, out);
    while (rc == FR_OK && (at_symbol(p, "+") || at_symbol(p, "-"))) {
        expr_op op = at_symbol(p, "+") ? EXPR_ADD : EXPR_SUB;
        p->t++;
        expr_node *b;
        rc = parse_product(p, &b);
        if (rc == FR_OK) {
            *out = binary(p, op, *out, b);
        }
    }
    return rc;
}

static int parse_in(parser *p, expr_node **out)
{
    expr_node **items;
    size_t n, at = p->t->at;
    int rc;
    if (p->t->kind == EXPR_PARAM) { // in $list
        items = fr_arena_alloc(p->c->arena, sizeof *items);
        n = 1;
        rc = parse_param(p, items);
    } else if (take_symbol(p, "(")) {
        rc = parse_list(p, &items, &n);
        if (rc == FR_OK && n == 0) {
            rc = expr_fail(p->c, FR_EPARSE, at, 1, "the list is empty");
        }
    } else {
        rc = unexpected(p, "a list such as ('N', 'S') or a parameter such as $zones");
    }
    if (rc == FR_OK) {
        expr_node *in = expr_node_new(p->c, EXPR_IN, (*out)->at, p->t[-1].at + p->t[-1].n, n + 1);
        in->args[0] = *out;
        memcpy(in->args + 1, items, n * sizeof *items);
        *out = closed(p, in);
    }
    return rc;
}

static int parse_between(parser *p, expr_node **out)
{
    expr_node *low, *high;
    int rc = parse_sum(p, &low);
    if (rc == FR_OK && !take_word(p, "and")) {
        rc = unexpected(p, "\"and\" of between");
    }
    if (rc == FR_OK) {
        rc = parse_sum(p, &high);
    }
    if (rc == FR_OK) {
        expr_node *n = expr_node_new(p->c, EXPR_BETWEEN, (*out)->at, high->end, 3);
        n->args[0] = *out;
        n->args[1] = low;
        n->args[2] = high;
        *out = closed(p, n);
    }
    return rc;
}

static int parse_is(parser *p, expr_node **out)
{
    bool negated = take_word(p, "not");
    if (!take_word(p, "null")) {
        return unexpected(p, "\"null\"");
    }
    *out = unary(p, EXPR_IS_NULL, (*out)->at, *out);
    (*out)->end = (uint32_t)(p->t[-1].at + p->t[-1].n);
    if (negated) {
        *out = unary(p, EXPR_NOT, (*out)->at, *out);
    }
    return FR_OK;
}

static bool take_comparison(parser *p, expr_op *op)
{
    static const struct {
        const char *symbol;
        expr_op op;
    } ops[] = {{"==", EXPR_EQ}, {"=", EXPR_EQ},  {"~=", EXPR_NE}, {"!=", EXPR_NE},
               {"<>", EXPR_NE}, {"<=", EXPR_LE}, {">=", EXPR_GE}, {"<", EXPR_LT},
               {">", EXPR_GT}};
    for (size_t i = 0; i < FR_COUNT(ops); i++) {
        if (take_symbol(p, ops[i].symbol)) {
            *op = ops[i].op;
            return true;
        }
    }
    return false;
}

static int parse_word_operator(parser *p, expr_node **out, bool *took)
{
    bool negated = at_word(p, "not") &&
                   p->t[1].kind == EXPR_NAME &&
                   (strcasecmp(p->t[1].s, "in") == 0 || strcasecmp(p->t[1].s, "like") == 0 ||
                    strcasecmp(p->t[1].s, "between") == 0);
    p->t += negated;
    int rc = FR_OK;
    *took = true;
    if (take_word(p, "in")) {
        rc = parse_in(p, out);
    } else if (take_word(p, "between")) {
        rc = parse_between(p, out);
    } else if (take_word(p, "like")) {
        expr_node *b;
        rc = parse_sum(p, &b);
        if (rc == FR_OK) {
            *out = binary(p, EXPR_LIKE, *out, b);
        }
    } else if (take_word(p, "is")) {
        rc = parse_is(p, out);
    } else {
        *took = false;
    }
    if (rc == FR_OK && negated) {
        *out = unary(p, EXPR_NOT, (*out)->at, *out);
    }
    return rc;
}

static int parse_comparison(parser *p, expr_node **out)
{
    int rc = parse_sum(p, out);
    if (rc != FR_OK) {
        return rc;
    }
    expr_op op;
    bool took;
    size_t at = p->t->at;
    if (take_comparison(p, &op)) {
        expr_node *b;
        rc = parse_sum(p, &b);
        if (rc == FR_OK) {
            *out = binary(p, op, *out, b);
        }
        took = true;
    } else {
        rc = parse_word_operator(p, out, &took);
    }
    at = p->t->at;
    if (rc == FR_OK && took && take_comparison(p, &op)) {
        return expr_fail(p->c, FR_EPARSE, at, 1,
                         "comparisons do not chain: write a < b and b < c, or b between a and c");
    }
    return rc;
}

static int parse_not(parser *p, expr_node **out)
{
    size_t at = p->t->at;
    if (!take_word(p, "not")) {
        return parse_comparison(p, out);
    }
    if (p->depth >= EXPR_DEPTH_MAX) {
        return too_deep(p);
    }
    p->depth++;
    int rc = parse_not(p, out);
    p->depth--;
    if (rc == FR_OK) {
        *out = unary(p, EXPR_NOT, at, *out);
    }
    return rc;
}

static int parse_and(parser *p, expr_node **out)
{
    int rc = parse_not(p, out);
    while (rc == FR_OK && take_word(p, "and")) {
        expr_node *b;
        rc = parse_not(p, &b);
        if (rc == FR_OK) {
            *out = binary(p, EXPR_AND, *out, b);
        }
    }
    return rc;
}

static int parse_or(parser *p, expr_node **out)
{
    if (p->depth >= EXPR_DEPTH_MAX) {
        return too_deep(p);
    }
    p->depth++;
    int rc = parse_and(p, out);
    while (rc == FR_OK && take_word(p, "or")) {
        expr_node *b;
        rc = parse_and(p, &b);
        if (rc == FR_OK) {
            *out = binary(p, EXPR_OR, *out, b);
        }
    }
    p->depth--;
    return rc;
}

int expr_parse(expr_compiler *c, expr_node **out)
{
    expr_token *tokens;
    int rc = expr_lex(c, &tokens);
    if (rc != FR_OK) {
        return rc;
    }
    parser p = {.c = c, .t = tokens};
    if (p.t->kind == EXPR_END) {
        return fr_fail(c->err, FR_EPARSE, "the expression is empty");
    }
    rc = parse_or(&p, out);
    if (rc == FR_OK && p.t->kind != EXPR_END) {
        rc = unexpected(&p, "an operator or the end");
    }
    if (rc == FR_OK && p.too_high) {
        rc = fr_fail(c->err, FR_ELIMIT,
                     "more than %d operators in a row: use in (...) or split the expression",
                     EXPR_HEIGHT_MAX);
    }
    return rc;
}
