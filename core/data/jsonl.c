#include "core/data/jsonl.h"

#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/nearest.h"
#include "core/base/pool.h"
#include "core/data/compute.h"
#include "core/data/jsonl_int.h"

#include <string.h>

enum { CHUNK = 1 << 20 };

typedef struct file {
    const char *name;
    csv_text text;
} file;

typedef struct reading {
    jsonl_table table;
    file *files;
    size_t n_files;
    char **names;                     // columns as they first appear, or as asked for
    size_t n_names;
    fr_type *types;
    fr_array **arrays;
    fr_err **errors;                  // per region, then per column
    fr_err *err;
} reading;

// Regions end behind a newline, which no string of JSON holds.
static void cut(reading *r)
{
    size_t chunk = r->table.o->chunk != 0 ? r->table.o->chunk : CHUNK, n = 0;
    for (size_t i = 0; i < r->n_files; i++) {
        n += r->files[i].text.size / chunk + 1;
    }
    r->table.regions = fr_zalloc(n * sizeof *r->table.regions);
    for (size_t i = 0; i < r->n_files; i++) {
        const csv_text *t = &r->files[i].text;
        for (size_t from = 0; from < t->size;) {
            size_t to = FR_MIN(from + chunk, t->size);
            const uint8_t *end = memchr(t->at + to - 1, '\n', t->size - to + 1);
            to = end != NULL ? (size_t)(end - t->at) + 1 : t->size;
            r->table.regions[r->table.n_regions++] = (jsonl_region){
                .file = r->files[i].name, .text = t->at, .from = from, .to = to};
            from = to;
        }
    }
}

static int scan_job(void *ctx, size_t i)
{
    reading *r = ctx;
    jsonl_region *g = &r->table.regions[i];
    fr_err err = FR_ERR_INIT;
    int rc = g->to - g->from > UINT32_MAX
                 ? fr_fail(&err, FR_ELIMIT, "%s: a line of over 4 GiB", g->file)
                 : jsonl_scan(&r->table, g, &err);
    if (rc != FR_OK) {
        r->errors[i] = fr_alloc(sizeof err);
        *r->errors[i] = err;
    }
    return rc;
}

static int run(reading *r, size_t n, fr_pool_try_fn job)
{
    r->errors = fr_zalloc((n + 1) * sizeof *r->errors);
    int rc = fr_compute_failed(r->err, fr_pool_try(n, job, r));
    for (size_t i = 0; i < n; i++) {
        if (r->errors[i] != NULL && rc != FR_OK) {
            rc = fr_fail(r->err, r->errors[i]->code, "%s", r->errors[i]->text);
            break;
        }
    }
    for (size_t i = 0; i < n; i++) {
        fr_free(r->errors[i]);
    }
    fr_free(r->errors);
    r->errors = NULL;
    return rc;
}

// The table's columns, and where each region has them.
static void unite(reading *r)
{
    fr_map *index = &r->table.wanted;
    bool fresh;
    size_t capacity = 0;
    r->n_names = r->table.o->n_columns;
    capacity = r->n_names + 1;
    r->names = fr_zalloc(capacity * sizeof *r->names);
    for (size_t i = 0; i < r->n_names; i++) {
        r->names[i] = fr_strdup(r->table.o->columns[i]);
    }
    for (size_t g = 0; g < r->table.n_regions; g++) {
        jsonl_region *region = &r->table.regions[g];
        for (size_t k = 0; k < region->n_columns; k++) {
            jsonl_column *c = &region->columns[k];
            fr_hash key = fr_hash_bytes(c->name, strlen(c->name));
            if (!c->wanted || fr_map_find(index, key) != NULL) {
                continue;
            }
            *fr_map_put(index, key, &fresh) = r->n_names;
            if (r->n_names == capacity) {
                capacity *= 2;
                r->names = fr_realloc(r->names, capacity * sizeof *r->names);
            }
            r->names[r->n_names++] = fr_strdup(c->name);
        }
    }
    for (size_t g = 0; g < r->table.n_regions; g++) {
        jsonl_region *region = &r->table.regions[g];
        region->first_row = r->table.rows;
        r->table.rows += region->rows;
        region->column_of = fr_alloc((r->n_names + 1) * sizeof *region->column_of);
        memset(region->column_of, 0xff, (r->n_names + 1) * sizeof *region->column_of);
        for (size_t k = 0; k < region->n_columns; k++) {
            const char *name = region->columns[k].name;
            if (region->columns[k].wanted) {
                uint64_t *at = fr_map_find(index, fr_hash_bytes(name, strlen(name)));
                region->column_of[*at] = (uint32_t)k;
            }
        }
    }
}

static const jsonl_column *column_in(const jsonl_region *g, size_t column)
{
    return g->column_of[column] != UINT32_MAX ? &g->columns[g->column_of[column]] : NULL;
}

// What holds all values without loss: whole numbers that doubles would round become text.
static fr_type resolve(unsigned saw)
{
    const unsigned whole = JSONL_SAW_INT | JSONL_SAW_BIG, exact = JSONL_SAW_INT | JSONL_SAW_FLOAT;
    if (saw != 0 && (saw & ~whole) == 0) {
        return fr_type_of(FR_INT64);
    }
    if (saw != 0 && (saw & ~exact) == 0) {
        return fr_type_of(FR_FLOAT64);
    }
    return fr_type_of(saw == JSONL_SAW_BOOL ? FR_BOOL : FR_UTF8);
}

static int find_type(reading *r, size_t i)
{
    const fr_jsonl_options *o = r->table.o;
    unsigned saw = 0;
    for (size_t k = 0; k < o->n_types; k++) {
        if (strcmp(o->types[k].column, r->names[i]) == 0) {
            r->types[i] = o->types[k].type;
            return FR_OK;
        }
    }
    for (size_t g = 0; g < r->table.n_regions; g++) {
        const jsonl_column *c = column_in(&r->table.regions[g], i);
        saw |= c != NULL ? c->saw : 0;
        if (c != NULL && (c->saw & JSONL_SAW_NESTED) != 0 && !o->nested) {
            return jsonl_fail(&r->table.regions[g], c->nested.at, r->err, FR_EUNSUPPORTED,
                              "key \"%.60s\" holds an object or a list, which frames do not have: "
                              "nested = \"text\" keeps its JSON, columns = {...} leaves it out",
                              r->names[i]);
        }
    }
    r->types[i] = resolve(saw);
    return FR_OK;
}

static int missing(reading *r, const char *name, const char *what)
{
    const jsonl_region *g = r->table.n_regions > 0 ? &r->table.regions[0] : NULL;
    size_t n = g != NULL ? g->n_columns : 0; // keys of the first lines
    const char **names = fr_alloc((n + 1) * sizeof *names);
    for (size_t i = 0; i < n; i++) {
        names[i] = g->columns[i].name;
    }
    const char *near = fr_nearest(name, names, n);
    fr_free(names);
    return fr_fail(r->err, FR_ENOTFOUND, "%s: %s: no column \"%.60s\"%s%.60s%s", r->files[0].name,
                   what, name, near != NULL ? ": did you mean \"" : "", near != NULL ? near : "",
                   near != NULL ? "\"?" : "");
}

static int find_types(reading *r)
{
    const fr_jsonl_options *o = r->table.o;
    r->types = fr_zalloc((r->n_names + 1) * sizeof *r->types);
    for (size_t k = 0; k < o->n_types; k++) {
        size_t i = 0;
        while (i < r->n_names && strcmp(r->names[i], o->types[k].column) != 0) {
            i++;
        }
        if (i == r->n_names) {
            return missing(r, o->types[k].column, "types");
        }
    }
    int rc = fr_compute_check_rows((int64_t)r->table.rows, r->err);
    for (size_t i = 0; i < r->n_names && rc == FR_OK; i++) {
        bool there = r->table.rows == 0;
        for (size_t g = 0; g < r->table.n_regions && !there; g++) {
            there = column_in(&r->table.regions[g], i) != NULL;
        }
        rc = there ? find_type(r, i) : missing(r, r->names[i], "columns");
    }
    return rc;
}

static int build_job(void *ctx, size_t i)
{
    reading *r = ctx;
    fr_err err = FR_ERR_INIT;
    int rc = jsonl_build(&r->table, i, r->names[i], &r->types[i], &r->arrays[i], &err);
    if (rc != FR_OK) {
        r->errors[i] = fr_alloc(sizeof err);
        *r->errors[i] = err;
    }
    return rc;
}

static void reading_fini(reading *r)
{
    for (size_t g = 0; g < r->table.n_regions; g++) {
        jsonl_region *region = &r->table.regions[g];
        for (size_t k = 0; k < region->n_columns; k++) {
            fr_free(region->columns[k].name);
            fr_free(region->columns[k].cells);
        }
        fr_free(region->columns);
        fr_free(region->column_of);
        fr_map_fini(&region->names);
    }
    for (size_t i = 0; i < r->n_names; i++) {
        fr_free(r->names[i]);
        fr_array_unref(r->arrays != NULL ? r->arrays[i] : NULL);
    }
    for (size_t i = 0; i < r->n_files; i++) {
        fr_block_unref(r->files[i].text.block);
    }
    fr_map_fini(&r->table.wanted);
    fr_free(r->table.regions);
    fr_free(r->names);
    fr_free(r->types);
    fr_free(r->arrays);
    fr_free(r->files);
}

static int ask_for(reading *r)
{
    const fr_jsonl_options *o = r->table.o;
    for (size_t i = 0; i < o->n_columns; i++) {
        bool fresh;
        uint64_t *at = fr_map_put(&r->table.wanted,
                                  fr_hash_bytes(o->columns[i], strlen(o->columns[i])), &fresh);
        if (!fresh) {
            return fr_fail(r->err, FR_EINVAL, "columns: \"%.60s\" is named twice", o->columns[i]);
        }
        *at = i;
    }
    return FR_OK;
}

static int read_files(reading *r, fr_frame **out)
{
    cut(r);
    int rc = ask_for(r);
    if (rc == FR_OK) {
        rc = run(r, r->table.n_regions, scan_job);
    }
    if (rc == FR_OK) {
        unite(r);
        rc = find_types(r);
    }
    if (rc == FR_OK) {
        r->arrays = fr_zalloc((r->n_names + 1) * sizeof *r->arrays);
        rc = run(r, r->n_names, build_job);
    }
    if (rc == FR_OK && r->n_names == 0) {
        return fr_frame_empty((int64_t)r->table.rows, out, r->err);
    }
    return rc == FR_OK ? fr_frame_new(r->n_names, (const char *const *)r->names, r->arrays, out,
                                      r->err)
                       : rc;
}

int fr_jsonl_read(const char *const *paths, size_t n, const fr_jsonl_options *o, fr_frame **out,
                  fr_err *err)
{
    reading r = {.table = {.o = o}, .err = err};
    int rc = FR_OK;
    *out = NULL;
    r.files = fr_zalloc((n + 1) * sizeof *r.files);
    for (; r.n_files < n && rc == FR_OK; r.n_files++) {
        r.files[r.n_files].name = paths[r.n_files];
        rc = csv_load_file(paths[r.n_files], NULL, &r.files[r.n_files].text, err);
    }
    if (rc == FR_OK) {
        rc = read_files(&r, out);
    }
    reading_fini(&r);
    return rc;
}

int fr_jsonl_read_bytes(const char *name, const void *bytes, size_t n, const fr_jsonl_options *o,
                        fr_frame **out, fr_err *err)
{
    reading r = {.table = {.o = o}, .n_files = 1, .err = err};
    *out = NULL;
    r.files = fr_zalloc(sizeof *r.files);
    r.files[0].name = name;
    int rc = csv_load_bytes(name, bytes, n, NULL, &r.files[0].text, err);
    if (rc == FR_OK) {
        rc = read_files(&r, out);
    }
    reading_fini(&r);
    return rc;
}
