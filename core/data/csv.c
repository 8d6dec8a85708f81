#include "core/data/csv.h"

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/csv_plan.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS_MAX = 8, SHOWN = 40, SCRATCH_MAX = 64, WIDE = 512 };

void fr_csv_defaults(fr_csv_options *o)
{
    *o = (fr_csv_options){.sep = ',', .quote = '"', .header = true};
}

int csv_fail_cell(const csv_plan *p, const csv_region *r, size_t at, size_t column,
                  const uint8_t *s, size_t n, fr_err *err)
{
    const csv_column *c = &p->columns[column];
    char type[64];
    int shown = (int)FR_MIN(n, (size_t)SHOWN);
    if (c->kind == CSV_TEXT) {
        return fr_fail(err, FR_EPARSE,
                       "%s: line %lld, column \"%.60s\": text behind a closing quote: %.*s%s; "
                       "quotes inside a field are doubled (quote = \"\" takes them as they are)",
                       r->file->name, (long long)csv_line(r->file, r->from + at), c->name,
                       shown, (const char *)s, n > SHOWN ? "..." : "");
    }
    return fr_fail(err, FR_EPARSE, "%s: line %lld, column \"%.60s\": expected %s%s%s, got %s%.*s%s",
                   r->file->name, (long long)csv_line(r->file, r->from + at), c->name,
                   fr_type_name(&c->type, type), c->format != NULL ? " as " : "",
                   c->format != NULL ? c->format : "", n == 0 ? "nothing" : "", shown,
                   (const char *)s, n > SHOWN ? "..." : "");
}

static int fail_ragged(const csv_file *f, size_t at, size_t fields, fr_err *err)
{
    return fr_fail(err, FR_EPARSE, "%s: line %lld: %zu fields, expected %zu", f->name,
                   (long long)csv_line(f, at), fields, f->fields);
}

// Regions by surveys: raw chunks in parallel, then the true state at each chunk's start.
typedef struct chunk {
    const csv_file *file;
    size_t from, to;
    csv_survey survey;
} chunk;

static void survey_chunk(void *ctx, size_t i)
{
    chunk *c = &((chunk *)ctx)[i];
    csv_scan_survey(c->file->text.at + c->from, c->to - c->from, &c->file->dialect,
                    &c->survey);
}

static size_t chunk_size(const csv_plan *p, const csv_file *f)
{
    return p->options->chunk != 0 ? p->options->chunk : CSV_CHUNK + f->fields * WIDE;
}

static bool is_blank_end(const csv_file *f, size_t at)
{
    const uint8_t *s = f->text.at + at;
    uint8_t newline = f->dialect.newline;
    return s[-1] == newline || (s[-1] == '\r' && s[-2] == newline);
}

static void add_region(csv_plan *p, csv_region r)
{
    if (r.rows == 0) {
        return;
    }
    if ((p->n_regions & (p->n_regions + 1)) == 0) { // grows at 0, 1, 3, 7 …
        p->regions = fr_realloc(p->regions, (p->n_regions * 2 + 1) * sizeof r);
    }
    r.first_row = p->rows;
    p->rows += r.rows;
    p->regions[p->n_regions++] = r;
}

// Cuts one file behind the first record end of each chunk. False: odd quotes.
static bool cut_file(csv_plan *p, const csv_file *f, const chunk *chunks, size_t n)
{
    size_t state = 0, before = 0, from = f->body, from_rows = 0;
    bool high = false, quotes = false;
    for (size_t k = 0; k < n; k++) {
        const csv_survey *s = &chunks[k].survey;
        if (s->lone_cr) {
            return false;
        }
        size_t first = s->first[state];
        if (k > 0 && first != SIZE_MAX) {
            size_t end = chunks[k].from + first;
            size_t rows = before + !is_blank_end(f, end);
            // The last record of a region reaches into the next chunk.
            add_region(p, (csv_region){.file = f,
                                       .from = from,
                                       .to = end + 1,
                                       .rows = rows - from_rows,
                                       .high = high || s->high,
                                       .quotes = quotes || s->quotes > 0});
            from = end + 1;
            from_rows = rows;
            high = quotes = false;
        }
        before += s->rows[state];
        state ^= s->quotes & 1;
        high = high || s->high;
        quotes = quotes || s->quotes > 0;
    }
    add_region(p, (csv_region){.file = f,
                               .from = from,
                               .to = f->text.size,
                               .rows = before - from_rows,
                               .high = high,
                               .quotes = quotes});
    return state == 0;
}

static int plan_fast(csv_plan *p, fr_err *err)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < p->n_files; i++) {
        const csv_file *f = &p->files[i];
        n += (f->text.size - f->body) / chunk_size(p, f) + 1;
    }
    chunk *chunks = fr_zalloc(n * sizeof *chunks);
    for (size_t i = 0; i < p->n_files; i++) {
        const csv_file *f = &p->files[i];
        for (size_t from = f->body; from < f->text.size; from += chunk_size(p, f)) {
            size_t to = FR_MIN(from + chunk_size(p, f), f->text.size);
            chunks[at++] = (chunk){.file = f, .from = from, .to = to};
        }
    }
    int rc = fr_pool_run(at, survey_chunk, chunks);
    if (rc != FR_OK) {
        rc = fr_fail(err, rc, "reading stopped");
    }
    for (size_t i = 0, k = 0; i < p->n_files && rc == FR_OK && !p->exact; i++) {
        size_t from = k;
        while (k < at && chunks[k].file == &p->files[i]) {
            k++;
        }
        p->exact = k > from && !cut_file(p, &p->files[i], chunks + from, k - from);
    }
    fr_free(chunks);
    return rc;
}

// Regions by the book, record by record: for odd quotes, \r inside lines, wrong lengths.
static int plan_exact(csv_plan *p, fr_err *err)
{
    p->exact = true;
    p->n_regions = 0;
    p->rows = 0;
    for (size_t i = 0; i < p->n_files; i++) {
        const csv_file *f = &p->files[i];
        const uint8_t *s = f->text.at;
        csv_region r = {.file = f, .from = f->body, .high = true, .quotes = true};
        size_t at = f->body;
        for (;;) {
            at += csv_scan_blank(s + at, f->text.size - at);
            if (at == f->text.size || at - r.from >= chunk_size(p, f)) {
                r.to = at;
                add_region(p, r);
                r.from = at;
                r.rows = 0;
            }
            if (at == f->text.size) {
                break;
            }
            size_t fields;
            bool closed;
            size_t next = csv_scan_record(s + at, f->text.size - at, &f->dialect, NULL, 0,
                                          &fields, &closed);
            if (!closed) {
                return fr_fail(err, FR_EPARSE,
                               "%s: line %lld: a quote is opened and never closed", f->name,
                               (long long)csv_line(f, at));
            }
            if (fields != f->fields) {
                return fail_ragged(f, at, fields, err);
            }
            if (next > CSV_RECORD_MAX) {
                return fr_fail(err, FR_ELIMIT, "%s: line %lld: a record of %zu bytes", f->name,
                               (long long)csv_line(f, at), next);
            }
            r.rows++;
            at += next;
        }
    }
    return FR_OK;
}

// Types from the first records.
static void guess_types(csv_plan *p)
{
    const csv_file *f = &p->files[0];
    const uint8_t *s = f->text.at;
    uint32_t *pos = fr_alloc(FR_MAX(f->fields, 1) * sizeof *pos);
    size_t at = f->body;
    for (int row = 0; row < CSV_SAMPLE && at < f->text.size; row++) {
        at += csv_scan_blank(s + at, f->text.size - at);
        size_t fields, left = FR_MIN(f->text.size - at, (size_t)CSV_RECORD_MAX);
        bool closed;
        size_t next = csv_scan_record(s + at, left, &f->dialect, pos, f->fields, &fields,
                                      &closed);
        for (size_t i = 0; i < FR_MIN(fields, f->fields); i++) {
            size_t from = i == 0 ? 0 : pos[i - 1] + 1, n = pos[i] - from;
            const uint8_t *cell = s + at + from;
            csv_column *c = f->column_of[i] >= 0 ? &p->columns[f->column_of[i]] : NULL;
            if (c == NULL || (c->saw & CSV_SAW_TEXT)) {
                continue;
            }
            c->saw |= csv_infer_cell(&f->dialect, &p->nulls, cell, n);
        }
        at += next;
    }
    fr_free(pos);
    for (size_t i = 0; i < p->n_columns; i++) {
        csv_column *c = &p->columns[i];
        if (!c->fixed) {
            c->kind = csv_infer_resolve(c->saw, &c->type);
        }
    }
}

// One run over all regions for the pending columns.
typedef struct scratch {
    uint32_t *pos;
    size_t capacity;
} scratch;

typedef struct run {
    csv_plan *p;
    fr_err **errors;              // per region
    atomic_bool irregular;
    pthread_mutex_t lock;         // of the free scratch
    scratch free[SCRATCH_MAX];
    size_t n_free;
} run;

static scratch take_scratch(run *r)
{
    scratch s = {0};
    (void)pthread_mutex_lock(&r->lock);
    if (r->n_free > 0) {
        s = r->free[--r->n_free];
    }
    (void)pthread_mutex_unlock(&r->lock);
    return s;
}

static void give_scratch(run *r, scratch s)
{
    (void)pthread_mutex_lock(&r->lock);
    if (r->n_free < SCRATCH_MAX) {
        r->free[r->n_free++] = s;
        s.pos = NULL;
    }
    (void)pthread_mutex_unlock(&r->lock);
    fr_free(s.pos);
}

static void scan_exact(const csv_region *r, uint32_t *pos)
{
    const csv_file *f = r->file;
    const uint8_t *s = f->text.at + r->from;
    size_t n = r->to - r->from, at = 0;
    *pos++ = UINT32_MAX;
    for (size_t row = 0; row < r->rows; row++) {
        at += csv_scan_blank(s + at, n - at);
        size_t fields;
        bool closed;
        size_t next = csv_scan_record(s + at, n - at, &f->dialect, pos, f->fields, &fields,
                                      &closed);
        for (size_t i = 0; i < f->fields; i++) {
            pos[i] += (uint32_t)at;
        }
        pos += f->fields;
        at += next;
    }
}

static int fail_utf8(const csv_region *r, size_t at, fr_err *err)
{
    return fr_fail(err, FR_EPARSE,
                   "%s: line %lld: byte 0x%02x is not UTF-8: try encoding = \"latin-1\" or "
                   "\"windows-1252\"",
                   r->file->name, (long long)csv_line(r->file, r->from + at),
                   r->file->text.at[r->from + at]);
}

static csv_cells cells_of(const csv_plan *p, const csv_region *r, size_t field,
                          const uint32_t *pos)
{
    const csv_column *c = &p->columns[r->file->column_of[field]];
    return (csv_cells){.text = r->file->text.at + r->from,
                       .pos = pos,
                       .column = field,
                       .stride = r->file->fields,
                       .rows = r->rows,
                       .dialect = &r->file->dialect,
                       .nulls = &p->nulls,
                       .kind = c->kind,
                       .type = &c->type,
                       .format = c->format};
}

// What is wrong in a region: the place nearest to its start, so that messages do not depend
// on where regions end.
typedef struct wrong {
    size_t at;                    // SIZE_MAX: nothing
    size_t field;                 // SIZE_MAX: a byte that is not UTF-8
} wrong;

static int parse_cells(run *u, size_t region, size_t field, const uint32_t *pos, wrong *w,
                       fr_err *err)
{
    csv_plan *p = u->p;
    const csv_region *r = &p->regions[region];
    size_t column = (size_t)r->file->column_of[field];
    const csv_column *c = &p->columns[column];
    csv_part *part = &p->parts[region * p->n_columns + column];
    csv_cells cells = cells_of(p, r, field, pos);
    if (c->kind == CSV_TEXT) {
        part->values = (int64_t *)(void *)c->values->data + 1 + r->first_row;
    } else if (c->values != NULL) {
        part->values = c->values->data + r->first_row * fr_kind_width(c->type.kind);
    }
    int rc = csv_parse_column(&cells, part, err);
    if (rc == FR_OK && part->misfit != SIZE_MAX && (c->fixed || c->kind == CSV_TEXT)) {
        size_t n, at = (size_t)(csv_cell(&cells, part->misfit, &n) - cells.text);
        *w = at < w->at ? (wrong){at, field} : *w;
    }
    return rc;
}

static int tell_wrong(const csv_plan *p, const csv_region *r, const uint32_t *pos,
                      const wrong *w, const csv_part *parts, fr_err *err)
{
    if (w->field == SIZE_MAX) {
        return fail_utf8(r, w->at, err);
    }
    size_t n, column = (size_t)r->file->column_of[w->field];
    csv_cells cells = cells_of(p, r, w->field, pos);
    const uint8_t *s = csv_cell(&cells, parts[column].misfit, &n);
    return csv_fail_cell(p, r, w->at, column, s, n, err);
}

static int parse_region(run *u, size_t i, scratch *s, fr_err *err)
{
    csv_plan *p = u->p;
    const csv_region *r = &p->regions[i];
    size_t fields = r->rows * r->file->fields, need = fields + 1 + CSV_PAD;
    if (s->capacity < need) {
        fr_free(s->pos);
        s->capacity = need + need / 4;
        s->pos = fr_try_alloc(s->capacity * sizeof *s->pos);
        if (s->pos == NULL) {
            s->capacity = 0;
            return fr_fail(err, FR_ENOMEM, "no memory for %zu fields", need);
        }
    }
    if (p->exact) {
        scan_exact(r, s->pos);
    } else if (!csv_scan_fields(r->file->text.at + r->from, r->to - r->from,
                                &r->file->dialect, r->quotes, s->pos, fields, r->rows)) {
        atomic_store(&u->irregular, true);
        return FR_OK;
    }
    wrong w = {SIZE_MAX, SIZE_MAX};
    if (r->high) {
        w.at = csv_utf8_bad(r->file->text.at + r->from, r->to - r->from);
    }
    int rc = FR_OK;
    for (size_t f = 0; f < r->file->fields && rc == FR_OK; f++) {
        int32_t column = r->file->column_of[f];
        if (column >= 0 && p->columns[column].pending) {
            rc = parse_cells(u, i, f, s->pos, &w, err);
        }
    }
    if (rc == FR_OK && w.at != SIZE_MAX) {
        rc = tell_wrong(p, r, s->pos, &w, &p->parts[i * p->n_columns], err);
    }
    return rc;
}

static int region_job(void *ctx, size_t i)
{
    run *u = ctx;
    if (atomic_load(&u->irregular)) {
        return FR_OK;
    }
    fr_err err = FR_ERR_INIT;
    scratch s = take_scratch(u);
    int rc = parse_region(u, i, &s, &err);
    give_scratch(u, s);
    if (rc != FR_OK) {
        u->errors[i] = fr_alloc(sizeof err);
        *u->errors[i] = err;
    }
    return rc;
}

static int alloc_columns(csv_plan *p, fr_err *err)
{
    for (size_t i = 0; i < p->n_columns; i++) {
        csv_column *c = &p->columns[i];
        if (!c->pending) {
            continue;
        }
        fr_block_unref(c->values);
        c->values = NULL;
        size_t width = c->kind == CSV_TEXT ? sizeof(int64_t) : fr_kind_width(c->type.kind);
        if (c->kind == CSV_EMPTY || c->kind == CSV_BOOL) {
            continue;
        }
        int rc = fr_block_new((p->rows + (c->kind == CSV_TEXT)) * width, &c->values, err);
        if (rc != FR_OK) {
            return rc;
        }
    }
    return FR_OK;
}

static void free_parts(csv_plan *p)
{
    for (size_t i = 0; p->parts != NULL && i < p->n_regions * p->n_columns; i++) {
        csv_part_fini(&p->parts[i]);
    }
    fr_free(p->parts);
    p->parts = NULL;
}

static int run_regions(csv_plan *p, bool *irregular, fr_err *err)
{
    run u = {.p = p, .lock = PTHREAD_MUTEX_INITIALIZER};
    int rc = alloc_columns(p, err);
    if (rc != FR_OK) {
        return rc;
    }
    u.errors = fr_zalloc((p->n_regions + 1) * sizeof *u.errors);
    rc = fr_pool_try(p->n_regions, region_job, &u);
    bool told = false;
    for (size_t i = 0; i < p->n_regions; i++) {
        if (u.errors[i] != NULL && !told && err != NULL) {
            *err = *u.errors[i];
            rc = err->code;
            told = true;
        }
        fr_free(u.errors[i]);
    }
    if (rc != FR_OK && !told) {
        rc = fr_fail(err, rc, "reading stopped");
    }
    for (size_t i = 0; i < u.n_free; i++) {
        fr_free(u.free[i].pos);
    }
    fr_free(u.errors);
    *irregular = atomic_load(&u.irregular);
    return rc;
}

// Columns with a misfit get the type that holds all their values and another run.
static bool widen(csv_plan *p)
{
    bool again = false;
    for (size_t i = 0; i < p->n_columns; i++) {
        csv_column *c = &p->columns[i];
        if (!c->pending) {
            continue;
        }
        bool misfit = false;
        c->saw = 0;
        for (size_t k = 0; k < p->n_regions; k++) {
            const csv_part *part = &p->parts[k * p->n_columns + i];
            misfit = misfit || part->misfit != SIZE_MAX;
            c->saw |= part->saw;
        }
        c->pending = misfit;
        if (misfit) {
            again = true;
            c->kind = csv_infer_resolve(c->saw, &c->type);
            for (size_t k = 0; k < p->n_regions; k++) {
                csv_part_fini(&p->parts[k * p->n_columns + i]);
            }
        }
    }
    return again;
}

static int parse_all(csv_plan *p, fr_err *err)
{
    int rc = plan_fast(p, err);
    if (rc == FR_OK && p->exact) {
        rc = plan_exact(p, err);
    }
    for (int runs = 0; rc == FR_OK; runs++) {
        FR_ASSERT(runs < RUNS_MAX); // classify() saw every value: few wider runs are enough
        if (p->parts == NULL) {
            p->parts = fr_zalloc((p->n_regions * p->n_columns + 1) * sizeof *p->parts);
        }
        bool irregular;
        rc = run_regions(p, &irregular, err);
        // A damaged cell may be the trace of records that were cut wrongly: look by the book.
        if ((rc == FR_OK && irregular) || (rc == FR_EPARSE && !p->exact)) {
            free_parts(p);
            rc = plan_exact(p, err);
        } else if (rc == FR_OK && !widen(p)) {
            break;
        }
    }
    return rc;
}

static int to_frame(csv_plan *p, fr_frame **out, fr_err *err)
{
    size_t n = p->n_columns;
    if (n == 0) {
        return fr_frame_empty((int64_t)p->rows, out, err);
    }
    fr_array **arrays = fr_zalloc(n * sizeof *arrays);
    const char **names = fr_alloc(n * sizeof *names);
    int rc = FR_OK;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        names[i] = p->columns[i].name;
        rc = csv_build(p, i, &arrays[i], err);
    }
    if (rc == FR_OK) {
        rc = fr_frame_new(n, names, arrays, out, err);
    }
    for (size_t i = 0; i < n; i++) {
        fr_array_unref(arrays[i]);
    }
    fr_free(arrays);
    fr_free(names);
    return rc;
}

static void plan_fini(csv_plan *p)
{
    free_parts(p);
    for (size_t i = 0; i < p->n_columns; i++) {
        fr_free(p->columns[i].name);
        fr_block_unref(p->columns[i].values);
    }
    for (size_t i = 0; i < p->n_files; i++) {
        fr_block_unref(p->files[i].text.block);
        fr_free(p->files[i].column_of);
    }
    fr_free(p->columns);
    fr_free(p->files);
    fr_free(p->regions);
}

static int check_options(const fr_csv_options *o, fr_err *err)
{
    if (o->sep == '\0' || o->sep == '\n' || o->sep == '\r' || (uint8_t)o->sep >= 0x80) {
        return fr_fail(err, FR_EINVAL, "sep: expected one ASCII character, not a line end");
    }
    if (o->quote == o->sep || o->quote == '\n' || o->quote == '\r' ||
        (uint8_t)o->quote >= 0x80) {
        return fr_fail(err, FR_EINVAL,
                       "quote: expected one ASCII character other than sep, or \"\" for none");
    }
    if ((o->escape != '\0' && (o->escape == o->sep || (uint8_t)o->escape >= 0x80)) ||
        (o->comment != '\0' && (o->comment == o->sep || (uint8_t)o->comment >= 0x80 ||
                                o->comment == '\n' || o->comment == '\r'))) {
        return fr_fail(err, FR_EINVAL, "escape and comment: expected one ASCII character each, "
                                       "other than sep");
    }
    for (size_t i = 0; i < o->n_widths; i++) {
        if (o->widths[i] < 1) {
            return fr_fail(err, FR_EINVAL, "widths: item %zu: expected a number of characters, "
                                           "got %lld", i + 1, (long long)o->widths[i]);
        }
    }
    if (o->skip < 0) {
        return fr_fail(err, FR_EINVAL, "skip: expected a number of lines, got %lld",
                       (long long)o->skip);
    }
    return FR_OK;
}

// From the beginning, after bad records were taken out.
static int parse_again(csv_plan *p, fr_err *err)
{
    free_parts(p);
    p->n_regions = 0;
    p->rows = 0;
    p->exact = false;
    for (size_t i = 0; i < p->n_columns; i++) {
        csv_column *c = &p->columns[i];
        c->saw = 0;
        c->pending = true;
    }
    guess_types(p);
    return parse_all(p, err);
}

static int read_plan(csv_plan *p, fr_frame **out, fr_err *err)
{
    const fr_csv_options *o = p->options;
    bool own = o->nulls != NULL;
    csv_nulls_init(&p->nulls, own ? o->nulls : fr_csv_nulls,
                   own ? o->n_nulls : FR_COUNT(fr_csv_nulls));
    int rc = FR_OK;
    for (size_t i = 0; i < p->n_files && rc == FR_OK; i++) {
        rc = csv_recast(&p->files[i].text, o, err);
        rc = rc == FR_OK ? rc : fr_wrap(err, rc, "%s", p->files[i].name);
    }
    if (rc == FR_OK) {
        rc = csv_head(p, err);
    }
    csv_sieve *sieve = rc == FR_OK && o->bad != NULL ? csv_sieve_new() : NULL;
    if (rc == FR_OK) {
        guess_types(p);
        rc = parse_all(p, err);
    }
    if (rc == FR_EPARSE && sieve != NULL) {
        rc = csv_sieve_run(sieve, p, err);
        rc = rc == FR_OK ? parse_again(p, err) : rc;
    }
    if (rc == FR_OK) {
        rc = to_frame(p, out, err);
    }
    if (rc == FR_OK && sieve != NULL) {
        rc = csv_sieve_finish(sieve, o->bad, err);
    }
    csv_sieve_free(sieve);
    return rc;
}

int fr_csv_read(const char *const *paths, size_t n, const fr_csv_options *o, fr_frame **out,
                fr_buf *notes, fr_err *err)
{
    *out = NULL;
    if (o->bad != NULL) {
        *o->bad = NULL;
    }
    csv_plan p = {.options = o, .notes = notes};
    int rc = check_options(o, err);
    if (rc == FR_OK && n == 0) {
        rc = fr_fail(err, FR_EINVAL, "no files to read");
    }
    p.files = fr_zalloc(FR_MAX(n, 1) * sizeof *p.files);
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        p.files[i].name = paths[i];
        rc = csv_load_file(paths[i], o->encoding, &p.files[i].text, err);
        p.n_files++;
    }
    if (rc == FR_OK) {
        rc = read_plan(&p, out, err);
    }
    plan_fini(&p);
    return rc;
}

int fr_csv_read_bytes(const char *name, const void *bytes, size_t n, const fr_csv_options *o,
                      fr_frame **out, fr_buf *notes, fr_err *err)
{
    *out = NULL;
    if (o->bad != NULL) {
        *o->bad = NULL;
    }
    csv_plan p = {.options = o, .notes = notes};
    int rc = check_options(o, err);
    p.files = fr_zalloc(sizeof *p.files);
    p.n_files = 1;
    p.files[0].name = name;
    if (rc == FR_OK) {
        rc = csv_load_bytes(name, bytes, n, o->encoding, &p.files[0].text, err);
    }
    if (rc == FR_OK) {
        rc = read_plan(&p, out, err);
    }
    plan_fini(&p);
    return rc;
}
