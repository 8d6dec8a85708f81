#include "core/base/mem.h"
#include "core/base/nearest.h"
#include "core/base/pool.h"
#include "core/data/bits.h"
#include "core/data/compute.h"
#include "core/data/csv_int.h"
#include "core/data/parquet_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAIL = 8, SLACK = 128 };

static const int64_t NULL_ROWS_MAX = INT64_C(1) << 26;

typedef struct source {
    const char *name;
    int fd;                       // -1: all of it is in memory
    const uint8_t *bytes;         // readable PQ_PAD bytes behind the end
    size_t size;
} source;

typedef struct plan {
    const source *source;
    const fr_parquet_options *o;
    pq_meta meta;
    size_t pages_end;             // where the footer starts
    pq_column **columns;          // the wanted ones, in the result's order
    size_t n_columns, n_asked;    // with and without those that only the filter wants
    pq_filter filter;
    size_t *groups;               // the wanted ones
    size_t n_groups;
    int64_t rows;
    fr_array **arrays;            // in the making
    pq_part *parts;               // [group * n_columns + column]
    fr_err **errors;              // likewise
    fr_err *err;
} plan;

static int damaged(fr_err *err, const char *what) { return fr_fail(err, FR_ECORRUPT, "%s", what); }

// Bytes [at, at + n) of the file, which are there; *block owns them when they were read.
static int read_at(const source *s, size_t at, size_t n, const uint8_t **out, fr_block **block,
                   fr_err *err)
{
    *block = NULL;
    if (s->fd < 0) {
        *out = s->bytes + at;
        return FR_OK;
    }
    int rc = fr_block_new(n + PQ_PAD, block, err);
    for (size_t done = 0; done < n && rc == FR_OK;) {
        ssize_t got = pread(s->fd, (*block)->data + done, n - done, (off_t)(at + done));
        if (got == 0) {
            rc = fr_fail(err, FR_EIO, "the file changed while it was read: read it when its "
                                      "writer is done");
        } else if (got < 0 && errno != EINTR) {
            rc = fr_fail_errno(err, FR_EIO, "reading");
        } else if (got > 0) {
            done += (size_t)got;
        }
    }
    if (rc != FR_OK) {
        fr_block_unref(*block);
        *block = NULL;
        return rc;
    }
    memset((*block)->data + n, 0, PQ_PAD);
    *out = (*block)->data;
    return FR_OK;
}

// The footer; *block keeps alive what the metadata points to.
static int read_footer(plan *p, fr_block **block)
{
    const source *s = p->source;
    const uint8_t *end;
    uint32_t n;
    *block = NULL;
    if (s->size < TAIL + 4) {
        return damaged(p->err, "too short for a Parquet file");
    }
    int rc = read_at(s, s->size - TAIL, TAIL, &end, block, p->err);
    if (rc != FR_OK) {
        return rc;
    }
    memcpy(&n, end, sizeof n);
    bool plain = memcmp(end + 4, "PAR1", 4) == 0, secret = memcmp(end + 4, "PARE", 4) == 0;
    fr_block_unref(*block);
    *block = NULL;
    if (secret) {
        return fr_fail(p->err, FR_EUNSUPPORTED, "it is encrypted");
    }
    if (!plain || n > s->size - TAIL - 4) {
        return damaged(p->err, plain ? "a footer longer than the file"
                                     : "it does not end as a Parquet file does");
    }
    p->pages_end = s->size - TAIL - n;
    rc = read_at(s, p->pages_end, n, &end, block, p->err);
    return rc == FR_OK ? pq_meta_read(end, n, &p->meta, p->err) : rc;
}

static int no_column(plan *p, const char *name)
{
    const char **names = fr_alloc((p->meta.n_columns + 1) * sizeof *names);
    for (size_t i = 0; i < p->meta.n_columns; i++) {
        names[i] = p->meta.columns[i].name;
    }
    const char *near = fr_nearest(name, names, p->meta.n_columns);
    int rc = fr_fail(p->err, FR_ENOTFOUND, "no column \"%.60s\"%s%.60s%s", name,
                     near != NULL ? ": did you mean \"" : "", near != NULL ? near : "",
                     near != NULL ? "\"?" : "");
    fr_free(names);
    return rc;
}

static int choose_column(plan *p, const fr_map *names, size_t i)
{
    size_t at = i;
    if (p->o->columns != NULL) {
        const char *name = p->o->columns[i];
        uint64_t *found = fr_map_find(names, fr_hash_bytes(name, strlen(name)));
        if (found == NULL) {
            return no_column(p, name);
        }
        at = (size_t)*found;
    }
    pq_column *c = &p->meta.columns[at];
    if (c->wanted) {
        return fr_fail(p->err, FR_EINVAL, "column \"%.60s\" is named twice", c->name);
    }
    if (c->problem != NULL) {
        return fr_fail(p->err, FR_EUNSUPPORTED, "column \"%.60s\" is %s, which frames do not "
                       "have: choose others with columns = {...}", c->name, c->problem);
    }
    c->wanted = true;
    p->columns[i] = c;
    return FR_OK;
}

static int choose_columns(plan *p)
{
    p->n_columns = p->o->columns != NULL ? p->o->n_columns : p->meta.n_columns;
    p->columns = fr_zalloc((p->n_columns + p->meta.n_columns + 1) * sizeof *p->columns);
    fr_map names;
    fr_map_init(&names);
    for (size_t i = p->o->columns != NULL ? p->meta.n_columns : 0; i > 0; i--) { // the first wins
        const char *name = p->meta.columns[i - 1].name;
        bool fresh;
        *fr_map_put(&names, fr_hash_bytes(name, strlen(name)), &fresh) = i - 1;
    }
    int rc = FR_OK;
    for (size_t i = 0; i < p->n_columns && rc == FR_OK; i++) {
        rc = choose_column(p, &names, i);
    }
    fr_map_fini(&names);
    p->n_asked = p->n_columns;
    for (size_t i = 0; i < p->meta.n_columns && rc == FR_OK; i++) {
        pq_column *c = &p->meta.columns[i];
        if (!c->wanted && pq_filter_uses(&p->filter, c)) {
            c->wanted = true;
            p->columns[p->n_columns++] = c;
        }
    }
    return rc;
}

static int choose_group(plan *p, size_t i)
{
    size_t at = i;
    if (p->o->groups != NULL) {
        int64_t number = p->o->groups[i];
        if (number < 1 || (uint64_t)number > p->meta.n_groups) {
            return fr_fail(p->err, FR_EINVAL, "row group %lld: the file has %zu, counted from 1",
                           (long long)number, p->meta.n_groups);
        }
        at = (size_t)number - 1;
        for (size_t k = 0; k < i; k++) {
            if (p->o->groups[k] == number) {
                return fr_fail(p->err, FR_EINVAL, "row group %lld is asked for twice",
                               (long long)number);
            }
        }
    }
    pq_group *g = &p->meta.groups[at];
    int64_t most = p->o->most_rows;
    if (!pq_filter_may(&p->filter, g)) {
        return FR_OK;
    }
    p->groups[p->n_groups++] = at;
    g->first_row = p->rows;
    p->rows += g->rows;
    if (g->rows > INT64_MAX / 4 || (most > 0 && p->rows > most)) {
        return fr_fail(p->err, FR_ELIMIT, "%lld rows", (long long)g->rows);
    }
    return fr_compute_check_rows(p->rows, p->err);
}

static int choose_groups(plan *p)
{
    size_t n = p->o->groups != NULL ? p->o->n_groups : p->meta.n_groups;
    p->groups = fr_zalloc((n + 1) * sizeof *p->groups);
    int rc = FR_OK;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        rc = choose_group(p, i);
    }
    if (p->o->groups_read != NULL) {
        *p->o->groups_read = p->n_groups;
    }
    return rc;
}

// Where a chunk's pages are. Some writers leave the dictionary's header out of the size, so
// a little more is read where it is there.
static int locate(const plan *p, const pq_chunk *k, int64_t rows, size_t *at, size_t *n,
                  fr_err *err)
{
    if (k->elsewhere || !k->present) {
        return fr_fail(err, FR_EUNSUPPORTED, "its data is encrypted or in another file");
    }
    bool dictionary = k->dictionary_at > 0 && k->dictionary_at < k->data_at;
    int64_t from = dictionary ? k->dictionary_at : k->data_at;
    if (from < 0 || k->size < 0 || (uint64_t)from > p->pages_end ||
        (uint64_t)k->size > p->pages_end - (uint64_t)from) {
        return damaged(err, "pages beyond the file");
    }
    if (k->values != rows) {
        return damaged(err, "another number of values than rows");
    }
    *at = (size_t)from;
    *n = FR_MIN((size_t)k->size + SLACK, p->pages_end - (size_t)from);
    return FR_OK;
}

static int decode(plan *p, size_t job, fr_err *err)
{
    pq_part *part = &p->parts[job];
    const pq_column *c = part->column;
    const pq_group *g = &p->meta.groups[p->groups[job / p->n_columns]];
    const pq_chunk *k = &g->chunks[c->leaf];
    size_t at = 0, n = 0;
    const uint8_t *bytes;
    fr_block *block, *bits;
    if (g->rows == 0 || c->layout == PQ_AS_NULL) {
        return FR_OK;
    }
    int rc = locate(p, k, g->rows, &at, &n, err);
    if (rc == FR_OK && c->layout == PQ_AS_BOOL) {
        rc = fr_block_new_zero(fr_bits_bytes(g->rows), &bits, err);
        part->text = rc == FR_OK ? bits : NULL; // kept there, as bytes of texts are
        part->values = rc == FR_OK ? bits->data : NULL;
    }
    if (rc == FR_OK) {
        rc = read_at(p->source, at, n, &bytes, &block, err);
    }
    if (rc == FR_OK) {
        rc = pq_chunk_decode(k, bytes, n, part, err);
        fr_block_unref(block);
    }
    return rc;
}

static int decode_job(void *ctx, size_t i)
{
    plan *p = ctx;
    fr_err err = FR_ERR_INIT;
    int rc = decode(p, i, &err);
    if (rc != FR_OK) {
        rc = fr_wrap(&err, rc, "column \"%.60s\"", p->parts[i].column->name);
        if (p->meta.n_groups > 1) {
            rc = fr_wrap(&err, rc, "row group %zu", p->groups[i / p->n_columns] + 1);
        }
        p->errors[i] = fr_alloc(sizeof err);
        *p->errors[i] = err;
    }
    return rc;
}

// Arrays and parts before decoding.
static int prepare_column(plan *p, size_t i)
{
    pq_column *c = p->columns[i];
    fr_array *a = fr_zalloc(sizeof *a);
    size_t rows = (size_t)p->rows;
    int rc = FR_OK;
    fr_object_init(&a->object, &fr_array_ops);
    a->type = c->type;
    a->length = p->rows;
    p->arrays[i] = a;
    if (c->layout == PQ_AS_NULL && p->rows > NULL_ROWS_MAX) {
        rc = fr_fail(p->err, FR_ELIMIT, "%lld rows of nothing", (long long)p->rows);
    } else if (c->layout == PQ_AS_NULL) {
        rc = fr_block_new_zero((rows + 1) * sizeof(int64_t), &a->offsets, p->err);
    } else if (pq_layout_text(c->layout)) {
        rc = fr_block_new((rows + 1) * sizeof(int64_t), &a->offsets, p->err);
        if (rc == FR_OK) {
            ((int64_t *)(void *)a->offsets->data)[0] = 0;
        }
    } else if (c->layout != PQ_AS_BOOL) {
        rc = fr_block_new(rows * fr_kind_width(c->type.kind), &a->values, p->err);
    }
    for (size_t g = 0; g < p->n_groups && rc == FR_OK; g++) {
        const pq_group *group = &p->meta.groups[p->groups[g]];
        size_t first = (size_t)group->first_row;
        pq_part *part = &p->parts[g * p->n_columns + i];
        *part = (pq_part){.column = c, .rows = group->rows};
        if (a->values != NULL) {
            part->values = a->values->data + first * fr_kind_width(c->type.kind);
        } else if (a->offsets != NULL) {
            part->offsets = (int64_t *)(void *)a->offsets->data + 1 + first;
        }
    }
    return rc;
}

// And after it.
static fr_block *take(fr_block **from)
{
    fr_block *b = *from;
    *from = NULL;
    return b;
}

static int join_validity(plan *p, size_t i, fr_array *a)
{
    for (size_t g = 0; g < p->n_groups; g++) {
        a->nulls += p->parts[g * p->n_columns + i].nulls;
    }
    if (p->columns[i]->layout == PQ_AS_NULL) {
        a->nulls = p->rows;
    }
    if (a->nulls == 0) {
        return FR_OK;
    }
    if (p->n_groups == 1 && p->parts[i].validity != NULL) {
        a->validity = take(&p->parts[i].validity);
        return FR_OK;
    }
    int rc = fr_block_new_zero(fr_bits_bytes(p->rows), &a->validity, p->err);
    for (size_t g = 0; g < p->n_groups && rc == FR_OK && p->columns[i]->layout != PQ_AS_NULL; g++) {
        const pq_part *part = &p->parts[g * p->n_columns + i];
        int64_t first = p->meta.groups[p->groups[g]].first_row;
        if (part->validity == NULL) {
            fr_bits_fill(a->validity->data, first, part->rows, true);
        } else {
            fr_bits_copy(a->validity->data, first, part->validity->data, 0, part->rows);
        }
    }
    return rc;
}

static int join_bools(plan *p, size_t i, fr_array *a)
{
    int rc = fr_block_new_zero(fr_bits_bytes(p->rows), &a->values, p->err);
    for (size_t g = 0; g < p->n_groups && rc == FR_OK; g++) {
        const pq_part *part = &p->parts[g * p->n_columns + i];
        if (part->rows > 0) {
            fr_bits_copy(a->values->data, p->meta.groups[p->groups[g]].first_row, part->values, 0,
                         part->rows);
        }
    }
    return rc;
}

typedef struct joining {
    plan *p;
    size_t column;
    fr_array *a;
    size_t *before;               // bytes before each group's
} joining;

static void join_part(void *ctx, size_t g)
{
    const joining *j = ctx;
    pq_part *part = &j->p->parts[g * j->p->n_columns + j->column];
    if (part->n_text > 0) {
        memcpy(j->a->values->data + j->before[g], part->text->data, part->n_text);
    }
    for (int64_t i = 0; i < part->rows; i++) {
        part->offsets[i] += (int64_t)j->before[g];
    }
}

static int join_texts(plan *p, size_t i, fr_array *a)
{
    size_t total = 0;
    if (p->n_groups == 1 && p->parts[i].text != NULL) {
        a->values = take(&p->parts[i].text);
        return fr_block_shrink(a->values, p->parts[i].n_text, p->err);
    }
    joining j = {p, i, a, fr_alloc((p->n_groups + 1) * sizeof(size_t))};
    for (size_t g = 0; g < p->n_groups; g++) {
        j.before[g] = total;
        total += p->parts[g * p->n_columns + i].n_text;
    }
    int rc = fr_block_new(total, &a->values, p->err);
    if (rc == FR_OK && p->columns[i]->layout != PQ_AS_NULL) {
        rc = fr_compute_failed(p->err, fr_pool_run(p->n_groups, join_part, &j));
    }
    fr_free(j.before);
    return rc;
}

static int join_column(plan *p, size_t i)
{
    fr_array *a = p->arrays[i];
    int rc = join_validity(p, i, a);
    if (rc == FR_OK && p->columns[i]->layout == PQ_AS_BOOL) {
        rc = join_bools(p, i, a);
    } else if (rc == FR_OK && a->offsets != NULL) {
        rc = join_texts(p, i, a);
    } else if (rc == FR_OK && a->type.kind == FR_CATEGORY) {
        rc = pq_categories_join(&p->parts[i], p->n_groups, p->n_columns, &a->dict, p->err);
    }
    for (size_t g = 0; g < p->n_groups; g++) {
        pq_categories_fini(&p->parts[g * p->n_columns + i].categories);
        fr_block_unref(take(&p->parts[g * p->n_columns + i].text));
        fr_block_unref(take(&p->parts[g * p->n_columns + i].validity));
    }
    return rc;
}

static int decode_all(plan *p)
{
    size_t jobs = p->n_groups * p->n_columns;
    p->arrays = fr_zalloc((p->n_columns + 1) * sizeof *p->arrays);
    p->parts = fr_zalloc((jobs + 1) * sizeof *p->parts);
    p->errors = fr_zalloc((jobs + 1) * sizeof *p->errors);
    int rc = FR_OK;
    for (size_t i = 0; i < p->n_columns && rc == FR_OK; i++) {
        rc = prepare_column(p, i);
    }
    if (rc != FR_OK) {
        return rc;
    }
    rc = fr_pool_try(jobs, decode_job, p);
    for (size_t i = 0; i < jobs && rc != FR_OK; i++) {
        if (p->errors[i] != NULL) {
            return fr_fail(p->err, rc, "%s", p->errors[i]->text);
        }
    }
    rc = fr_compute_failed(p->err, rc);
    for (size_t i = 0; i < p->n_columns && rc == FR_OK; i++) {
        rc = join_column(p, i);
    }
    return rc;
}

static void plan_fini(plan *p)
{
    for (size_t i = 0; p->arrays != NULL && i < p->n_columns; i++) {
        fr_array_unref(p->arrays[i]);
    }
    for (size_t i = 0; p->parts != NULL && i < p->n_groups * p->n_columns; i++) {
        fr_block_unref(p->parts[i].text);
        fr_block_unref(p->parts[i].validity);
        pq_categories_fini(&p->parts[i].categories);
        fr_free(p->errors[i]);
    }
    pq_filter_fini(&p->filter);
    fr_free(p->columns);
    fr_free(p->groups);
    fr_free(p->arrays);
    fr_free(p->parts);
    fr_free(p->errors);
    pq_meta_fini(&p->meta);
}

static int read_source(const source *s, const fr_parquet_options *o, fr_frame **out, fr_err *err)
{
    plan p = {.source = s, .o = o, .err = err};
    fr_block *footer = NULL;
    int rc = read_footer(&p, &footer);
    if (rc == FR_OK) {
        pq_type_all(&p.meta, o);
        pq_arrow_hints(&p.meta);
        rc = pq_filter_open(&p.meta, o, &p.filter, err);
    }
    if (rc == FR_OK) {
        rc = choose_columns(&p);
    }
    if (rc == FR_OK) {
        rc = choose_groups(&p);
    }
    if (rc == FR_OK) {
        rc = decode_all(&p);
    }
    if (rc == FR_OK && p.n_columns == 0) {
        rc = fr_frame_empty(p.rows, out, err);
    } else if (rc == FR_OK) {
        const char **names = fr_alloc(p.n_columns * sizeof *names);
        for (size_t i = 0; i < p.n_columns; i++) {
            names[i] = p.columns[i]->name;
        }
        rc = fr_frame_new(p.n_columns, names, p.arrays, out, err);
        fr_free(names);
    }
    if (rc == FR_OK && o->filter != NULL) {
        rc = pq_filter_apply(o, p.n_asked, out, err);
    }
    plan_fini(&p);
    fr_block_unref(footer);
    return rc == FR_OK ? FR_OK : fr_wrap(err, rc, "%s", s->name);
}

void fr_parquet_defaults(fr_parquet_options *o)
{
    *o = (fr_parquet_options){.int96 = FR_NANO};
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int read_regular(int fd, const struct stat *before, const char *path,
                        const fr_parquet_options *o, fr_frame **out, fr_err *err)
{
    source s = {.name = path, .fd = fd, .size = (size_t)before->st_size};
    struct stat after;
    int rc = read_source(&s, o, out, err);
    if (fstat(fd, &after) != 0 || !same(before, &after)) {
        fr_frame_unref(*out);
        *out = NULL;
        return fr_fail(err, FR_EIO, "%s: the file changed while it was read: read it when its "
                                    "writer is done", path);
    }
    return rc;
}

static int read_text(const char *name, csv_text *t, const fr_parquet_options *o, fr_frame **out,
                     fr_err *err)
{
    source s = {.name = name, .fd = -1, .bytes = t->at, .size = t->size};
    int rc = read_source(&s, o, out, err);
    fr_block_unref(t->block);
    return rc;
}

int fr_parquet_read(const char *path, const fr_parquet_options *o, fr_frame **out, fr_err *err)
{
    struct stat s;
    csv_text t;
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode)) {
        int rc = read_regular(fd, &s, path, o, out, err);
        (void)close(fd);
        return rc;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    int rc = csv_load_file(path, CSV_BINARY, &t, err); // a pipe, or what cannot be opened
    return rc == FR_OK ? read_text(path, &t, o, out, err) : rc;
}

int fr_parquet_read_bytes(const char *name, const void *bytes, size_t n,
                          const fr_parquet_options *o, fr_frame **out, fr_err *err)
{
    csv_text t;
    *out = NULL;
    int rc = csv_load_bytes(name, bytes, n, CSV_BINARY, &t, err);
    return rc == FR_OK ? read_text(name, &t, o, out, err) : rc;
}
