#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/nearest.h"
#include "core/data/csv_plan.h"
#include "core/data/when.h"

#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 4096 };

int64_t csv_line(const csv_file *f, size_t at)
{
    const uint8_t *s = f->text.at;
    int64_t line = 1;
    for (size_t i = 0; i < at && i < f->text.size; i++) {
        line += s[i] == '\n' || (s[i] == '\r' && s[i + 1] != '\n');
    }
    return line + f->lines_before;
}

// Names of the header's fields, owned strings.
typedef struct names {
    char **at;
    size_t n;
} names;

static void names_free(names *list)
{
    for (size_t i = 0; i < list->n; i++) {
        fr_free(list->at[i]);
    }
    fr_free(list->at);
    *list = (names){0};
}

static char *cell_name(const uint8_t *s, size_t n, uint8_t quote, bool quoting)
{
    bool doubled = false, good;
    if (quoting) {
        (void)csv_unquote(&s, &n, quote, &doubled, &good);
    }
    char *name = fr_alloc(n + 1);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        name[k++] = (char)s[i];
        i += doubled && s[i] == quote && i + 1 < n && s[i + 1] == quote;
    }
    name[k] = '\0';
    return name;
}

static void skip_lines(csv_file *f, int64_t lines)
{
    const uint8_t *s = f->text.at;
    while (lines > 0 && f->body < f->text.size) {
        uint8_t c = s[f->body++];
        if (c == '\n' || (c == '\r' && s[f->body] != '\n')) {
            lines--;
        }
    }
}

// The first record's ends; grows until all fit.
static int first_record(const csv_file *f, uint32_t **pos, size_t *fields, size_t *next,
                        fr_err *err)
{
    const uint8_t *s = f->text.at + f->body;
    size_t left = FR_MIN(f->text.size - f->body, (size_t)CSV_RECORD_MAX);
    bool closed;
    *pos = NULL;
    *next = csv_scan_record(s, left, &f->dialect, NULL, 0, fields, &closed);
    if (!closed) {
        return fr_fail(err, FR_EPARSE, "line %lld: a quote is opened and never closed",
                       (long long)csv_line(f, f->body));
    }
    if (*fields > CSV_COLUMNS_MAX) {
        return fr_fail(err, FR_ELIMIT, "%zu columns; at most %d", *fields, CSV_COLUMNS_MAX);
    }
    *pos = fr_alloc(*fields * sizeof **pos);
    (void)csv_scan_record(s, left, &f->dialect, *pos, *fields, fields, &closed);
    return FR_OK;
}

static int read_header(csv_plan *p, csv_file *f, names *out, fr_err *err)
{
    uint32_t *pos;
    size_t next;
    int rc = first_record(f, &pos, &f->fields, &next, err);
    if (rc != FR_OK) {
        return rc;
    }
    if (!p->options->header) {
        fr_free(pos);
        return FR_OK;
    }
    out->at = fr_zalloc(f->fields * sizeof *out->at);
    out->n = f->fields;
    const uint8_t *s = f->text.at + f->body;
    for (size_t i = 0; i < f->fields; i++) {
        size_t from = i == 0 ? 0 : pos[i - 1] + 1;
        size_t n = pos[i] - from;
        if (n > NAME_MAX_BYTES) {
            rc = fr_fail(err, FR_EPARSE, "line %lld: a column name of %zu bytes",
                         (long long)csv_line(f, f->body), n);
            break;
        }
        if (memchr(s + from, '\0', n) != NULL) {
            rc = fr_fail(err, FR_EPARSE,
                         "line %lld: the name of column %zu holds a zero byte: give names = {...}"
                         " and skip = 1, header = false",
                         (long long)csv_line(f, f->body), i + 1);
            break;
        }
        if (csv_utf8_bad(s + from, n) != SIZE_MAX) {
            rc = fr_fail(err, FR_EPARSE,
                         "line %lld: the name of column %zu is not UTF-8: try encoding = "
                         "\"latin-1\"",
                         (long long)csv_line(f, f->body), i + 1);
            break;
        }
        out->at[i] = cell_name(s + from, n, f->dialect.quote, f->dialect.quoting);
    }
    fr_free(pos);
    f->body += next;
    return rc;
}

static int given_names(const csv_plan *p, const csv_file *f, names *list, fr_err *err)
{
    const fr_csv_options *o = p->options;
    if (o->n_names == 0 && list->n > 0) {
        return FR_OK;
    }
    if (o->n_names > 0 && o->n_names != f->fields) {
        return fr_fail(err, FR_EINVAL, "%zu names for %zu columns", o->n_names, f->fields);
    }
    names_free(list);
    list->at = fr_zalloc(f->fields * sizeof *list->at);
    list->n = f->fields;
    for (size_t i = 0; i < f->fields; i++) {
        char made[32];
        (void)snprintf(made, sizeof made, "column_%zu", i + 1);
        list->at[i] = fr_strdup(o->n_names > 0 ? o->names[i] : made);
    }
    return FR_OK;
}

// Empty names get one, second ones a number; both are noted.
static void unique_names(csv_plan *p, names *list)
{
    fr_map seen;
    fr_map_init(&seen);
    for (size_t i = 0; i < list->n; i++) {
        bool fresh;
        char made[64];
        if (list->at[i][0] == '\0') {
            (void)snprintf(made, sizeof made, "column_%zu", i + 1);
            fr_free(list->at[i]);
            list->at[i] = fr_strdup(made);
        }
        (void)fr_map_put(&seen, fr_hash_str(list->at[i]), &fresh);
        for (int k = 2; !fresh; k++) {
            size_t room = strlen(list->at[i]) + 16;
            char *name = fr_alloc(room);
            (void)snprintf(name, room, "%s_%d", list->at[i], k);
            (void)fr_map_put(&seen, fr_hash_str(name), &fresh);
            if (fresh && p->notes != NULL) {
                fr_buf_printf(p->notes, "%s: column %zu: another \"%s\" is named \"%s\"\n",
                              p->files[0].name, i + 1, list->at[i], name);
            }
            if (fresh) {
                fr_free(list->at[i]);
                list->at[i] = name;
            } else {
                fr_free(name);
            }
        }
    }
    fr_map_fini(&seen);
}

static void index_names(fr_map *index, const names *list)
{
    fr_map_init(index);
    for (size_t i = 0; i < list->n; i++) {
        bool fresh;
        *fr_map_put(index, fr_hash_str(list->at[i]), &fresh) = i;
    }
}

static int no_column(const char *what, const char *name, const names *list, fr_err *err)
{
    const char *near = fr_nearest(name, (const char *const *)list->at, list->n);
    if (near != NULL) {
        return fr_fail(err, FR_ENOTFOUND, "%s: no column \"%s\": did you mean \"%s\"?", what,
                       name, near);
    }
    return fr_fail(err, FR_ENOTFOUND, "%s: no column \"%s\"; the first of %zu is \"%s\"", what,
                   name, list->n, list->n > 0 ? list->at[0] : "");
}

// Which columns of the first file are wanted, in the order asked for.
static int choose_columns(csv_plan *p, const names *list, const fr_map *index, fr_err *err)
{
    const fr_csv_options *o = p->options;
    csv_file *f = &p->files[0];
    p->n_columns = o->columns != NULL ? o->n_columns : list->n;
    p->columns = fr_zalloc(FR_MAX(p->n_columns, 1) * sizeof *p->columns);
    f->column_of = fr_alloc(FR_MAX(f->fields, 1) * sizeof *f->column_of);
    for (size_t i = 0; i < f->fields; i++) {
        f->column_of[i] = -1;
    }
    for (size_t i = 0; i < p->n_columns; i++) {
        size_t field = i;
        if (o->columns != NULL) {
            uint64_t *at = fr_map_find(index, fr_hash_str(o->columns[i]));
            if (at == NULL) {
                return no_column("columns", o->columns[i], list, err);
            }
            field = (size_t)*at;
        }
        if (f->column_of[field] >= 0) {
            return fr_fail(err, FR_EINVAL, "columns: \"%s\" is named twice", list->at[field]);
        }
        f->column_of[field] = (int32_t)i;
        p->columns[i] = (csv_column){.name = fr_strdup(list->at[field]),
                                     .type = fr_type_of(FR_UTF8),
                                     .pending = true};
    }
    return FR_OK;
}

static csv_column *column_of(csv_plan *p, const fr_map *index, const char *name)
{
    uint64_t *at = fr_map_find(index, fr_hash_str(name));
    int32_t column = at != NULL ? p->files[0].column_of[*at] : -1;
    return column >= 0 ? &p->columns[column] : NULL;
}

static int wanted_types(csv_plan *p, const names *list, const fr_map *index, fr_err *err)
{
    const fr_csv_options *o = p->options;
    for (size_t i = 0; i < o->n_types; i++) {
        if (fr_map_find(index, fr_hash_str(o->types[i].column)) == NULL) {
            return no_column("types", o->types[i].column, list, err);
        }
        csv_column *c = column_of(p, index, o->types[i].column);
        if (c != NULL) {
            c->type = o->types[i].type;
            c->kind = csv_infer_kind_of(&c->type);
            c->fixed = true;
        }
    }
    for (size_t i = 0; i < o->n_formats; i++) {
        bool timed, zoned;
        int rc = fr_when_check(o->formats[i].format, &timed, &zoned, err);
        if (rc != FR_OK) {
            return rc;
        }
        if (fr_map_find(index, fr_hash_str(o->formats[i].column)) == NULL) {
            return no_column("formats", o->formats[i].column, list, err);
        }
        csv_column *c = column_of(p, index, o->formats[i].column);
        if (c == NULL) {
            continue;
        }
        c->format = o->formats[i].format;
        if (!c->fixed) {
            c->type = timed ? (fr_type){.kind = FR_TIMESTAMP, .unit = FR_MICRO}
                            : fr_type_of(FR_DATE);
            if (zoned) {
                memcpy(c->type.zone, "UTC", 4);
            }
            c->kind = csv_infer_kind_of(&c->type);
            c->fixed = true;
        } else if (c->kind != CSV_DATE && c->kind != CSV_STAMP) {
            char type[64];
            return fr_fail(err, FR_EINVAL,
                           "column \"%s\": a time format needs the type date or timestamp, "
                           "not %s",
                           c->name, fr_type_name(&c->type, type));
        }
    }
    return FR_OK;
}

// The columns of a further file, by name.
static int match_file(csv_plan *p, csv_file *f, const names *mine, const names *first,
                      const fr_map *index, fr_err *err)
{
    const csv_file *model = &p->files[0];
    if (f->fields != model->fields) {
        return fr_fail(err, FR_EINVAL, "%zu columns, but %s has %zu", f->fields, model->name,
                       model->fields);
    }
    f->column_of = fr_alloc(f->fields * sizeof *f->column_of);
    for (size_t i = 0; i < f->fields; i++) {
        uint64_t *at = fr_map_find(index, fr_hash_str(mine->at[i]));
        if (at == NULL) {
            return fr_fail(err, FR_EINVAL, "column \"%s\" is not in %s (which has \"%s\" there)",
                           mine->at[i], model->name, first->at[i]);
        }
        f->column_of[i] = model->column_of[*at];
    }
    return FR_OK;
}

static void prepare_file(csv_plan *p, csv_file *f)
{
    const fr_csv_options *o = p->options;
    csv_text *t = &f->text;
    f->lines_before = o->lines_before;
    bool unix_lines = t->size == 0 || memchr(t->at, '\n', t->size) != NULL ||
                      memchr(t->at, '\r', t->size) == NULL;
    f->dialect = (csv_dialect){.sep = o->n_widths > 0 ? CSV_CUT : (uint8_t)o->sep,
                               .quote = (uint8_t)o->quote,
                               .quoting = o->quote != '\0' && o->n_widths == 0,
                               .newline = unix_lines ? '\n' : '\r'};
    if (t->size > 0 && t->at[t->size - 1] != f->dialect.newline) {
        t->at[t->size++] = f->dialect.newline; // into the padding
    }
    skip_lines(f, o->skip);
    f->body += csv_scan_blank(t->at + f->body, t->size - f->body);
}

static int head_of(csv_plan *p, size_t i, names *first, fr_map *index, fr_err *err)
{
    csv_file *f = &p->files[i];
    names mine = {0};
    prepare_file(p, f);
    if (f->body == f->text.size && p->options->n_names == 0) {
        return fr_fail(err, FR_EPARSE, "no columns: the file %s",
                       f->text.size == 0 ? "is empty" : "has only blank or skipped lines");
    }
    if (f->body == f->text.size) {
        f->fields = p->options->n_names;
    }
    int rc = f->body == f->text.size ? FR_OK : read_header(p, f, &mine, err);
    if (rc == FR_OK) {
        rc = given_names(p, f, &mine, err);
    }
    if (rc == FR_OK) {
        unique_names(p, &mine);
        f->body += csv_scan_blank(f->text.at + f->body, f->text.size - f->body);
        if (i == 0) {
            index_names(index, &mine);
            rc = choose_columns(p, &mine, index, err);
            if (rc == FR_OK) {
                rc = wanted_types(p, &mine, index, err);
            }
            *first = mine;
            return rc;
        }
        rc = match_file(p, f, &mine, first, index, err);
    }
    names_free(&mine);
    return rc;
}

int csv_head(csv_plan *p, fr_err *err)
{
    names first = {0};
    fr_map index = {0};
    int rc = FR_OK;
    for (size_t i = 0; i < p->n_files && rc == FR_OK; i++) {
        rc = head_of(p, i, &first, &index, err);
        if (rc != FR_OK) {
            rc = fr_wrap(err, rc, "%s", p->files[i].name);
        }
    }
    names_free(&first);
    fr_map_fini(&index);
    return rc;
}
