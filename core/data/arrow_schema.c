#include "core/data/arrow_int.h"

#include "core/base/mem.h"
#include "core/data/csv_int.h"

#include <string.h>

enum { DEPTH_MAX = 64, FIELDS_MAX = 1 << 20 };

// Writing.
static flat_ref write_int(flat_writer *w, int bits, bool is_signed)
{
    flat_table(w, 2);
    flat_put(w, 0, (uint64_t)bits, 4);
    flat_put(w, 1, is_signed, 1);
    return flat_end(w);
}

static flat_ref write_unit(flat_writer *w, fr_unit unit)
{
    flat_table(w, 1);
    flat_put(w, 0, (uint64_t)unit, 2);
    return flat_end(w);
}

static flat_ref write_type(flat_writer *w, const fr_type *t, int *kind)
{
    flat_ref zone = 0;
    int bits = (int)fr_kind_width(t->kind) * 8;
    switch (t->kind) {
    case FR_BOOL:
        *kind = ARROW_BOOL;
        break;
    case FR_INT8:
    case FR_INT16:
    case FR_INT32:
    case FR_INT64:
        *kind = ARROW_INT;
        return write_int(w, bits, true);
    case FR_UINT8:
    case FR_UINT16:
    case FR_UINT32:
    case FR_UINT64:
        *kind = ARROW_INT;
        return write_int(w, bits, false);
    case FR_FLOAT32:
    case FR_FLOAT64:
        *kind = ARROW_FLOAT;
        flat_table(w, 1);
        flat_put(w, 0, t->kind == FR_FLOAT32 ? 1 : 2, 2);
        return flat_end(w);
    case FR_UTF8:
    case FR_CATEGORY:
        *kind = ARROW_LARGE_UTF8;
        break;
    case FR_DATE:
        *kind = ARROW_DATE;
        return write_unit(w, (fr_unit)0); // days
    case FR_TIME:
        *kind = ARROW_TIME;
        flat_table(w, 2);
        flat_put(w, 0, FR_NANO, 2);
        flat_put(w, 1, 64, 4);
        return flat_end(w);
    case FR_TIMESTAMP:
        *kind = ARROW_TIMESTAMP;
        if (t->zone[0] != '\0') {
            zone = flat_string(w, t->zone, strlen(t->zone));
        }
        flat_table(w, 2);
        flat_put(w, 0, (uint64_t)t->unit, 2);
        if (zone != 0) {
            flat_put_ref(w, 1, zone);
        }
        return flat_end(w);
    case FR_DURATION:
        *kind = ARROW_DURATION;
        return write_unit(w, t->unit);
    }
    flat_table(w, 0);
    return flat_end(w);
}

static flat_ref write_field(flat_writer *w, const fr_frame *f, size_t i)
{
    const fr_type *t = &f->cols[i]->type;
    int kind = 0;
    flat_ref name = flat_string(w, f->names[i], strlen(f->names[i]));
    flat_ref type = write_type(w, t, &kind), dictionary = 0;
    if (t->kind == FR_CATEGORY) {
        flat_ref index = write_int(w, 32, true);
        flat_table(w, 3);
        flat_put(w, 0, i, 8);
        flat_put_ref(w, 1, index);
        flat_put(w, 2, t->ordered, 1);
        dictionary = flat_end(w);
    }
    flat_ref children = flat_refs(w, NULL, 0); // readers of old want the vector
    flat_table(w, 6);
    flat_put_ref(w, 0, name);
    flat_put_ref(w, 3, type);
    flat_put_ref(w, 5, children);
    if (dictionary != 0) {
        flat_put_ref(w, 4, dictionary);
    }
    flat_put(w, 1, 1, 1);
    flat_put(w, 2, (uint64_t)kind, 1);
    return flat_end(w);
}

flat_ref arrow_schema_write(flat_writer *w, const fr_frame *f)
{
    flat_ref *fields = fr_alloc((f->columns + 1) * sizeof *fields);
    for (size_t i = 0; i < f->columns; i++) {
        fields[i] = write_field(w, f, i);
    }
    flat_ref vector = flat_refs(w, fields, f->columns);
    fr_free(fields);
    flat_table(w, 2);
    flat_put_ref(w, 1, vector);
    flat_put(w, 0, 0, 2); // little endian
    return flat_end(w);
}

// Reading.
static void no_type(arrow_field *f, const char *problem)
{
    f->layout = ARROW_L_NONE;
    f->problem = problem;
}

static void read_int(flat_reader *r, size_t type, arrow_field *f)
{
    static const fr_kind kinds[2][4] = {{FR_UINT8, FR_UINT16, FR_UINT32, FR_UINT64},
                                        {FR_INT8, FR_INT16, FR_INT32, FR_INT64}};
    uint64_t bits = flat_get(r, type, 0, 4, 0);
    int size = bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : bits == 64 ? 3 : -1;
    if (size < 0) {
        no_type(f, "an integer of odd width");
        return;
    }
    f->type = fr_type_of(kinds[flat_get(r, type, 1, 1, 0) != 0][size]);
    f->layout = ARROW_L_FIXED;
}

static void read_float(flat_reader *r, size_t type, arrow_field *f)
{
    uint64_t precision = flat_get(r, type, 0, 2, 0);
    f->layout = precision == 0 ? ARROW_L_HALF : ARROW_L_FIXED;
    f->type = fr_type_of(precision == 2 ? FR_FLOAT64 : FR_FLOAT32);
    if (precision > 2) {
        no_type(f, "a float of unknown precision");
    }
}

static bool read_unit(flat_reader *r, size_t type, uint64_t standard, fr_unit *out)
{
    uint64_t unit = flat_get(r, type, 0, 2, standard);
    *out = (fr_unit)(unit & 3);
    return unit <= 3;
}

static void read_time(flat_reader *r, size_t type, arrow_field *f)
{
    uint64_t bits = flat_get(r, type, 1, 4, 32);
    f->type = fr_type_of(FR_TIME);
    f->layout = bits == 32 ? ARROW_L_TIME32 : ARROW_L_TIME64;
    if (!read_unit(r, type, 1, &f->time_unit) || (bits != 32 && bits != 64)) {
        no_type(f, "a time of odd width");
    }
}

static void read_timestamp(flat_reader *r, size_t type, arrow_field *f)
{
    size_t n;
    f->type = fr_type_of(FR_TIMESTAMP);
    f->layout = ARROW_L_FIXED;
    const char *zone = flat_text(r, type, 1, &n);
    if (!read_unit(r, type, 0, &f->type.unit)) {
        no_type(f, "a timestamp of unknown unit");
    } else if (n >= FR_ZONE_MAX || (n > 0 && memchr(zone, '\0', n) != NULL)) {
        no_type(f, "a time zone with too long a name");
    } else if (n > 0) {
        memcpy(f->type.zone, zone, n);
    }
}

static void read_type(flat_reader *r, size_t field, arrow_field *f)
{
    size_t type = flat_child(r, field, 3);
    switch (flat_get(r, field, 2, 1, 0)) {
    case ARROW_NULL:
        f->type = fr_type_of(FR_UTF8);
        f->layout = ARROW_L_NULL;
        break;
    case ARROW_INT:
        read_int(r, type, f);
        break;
    case ARROW_FLOAT:
        read_float(r, type, f);
        break;
    case ARROW_BOOL:
        f->type = fr_type_of(FR_BOOL);
        f->layout = ARROW_L_BOOL;
        break;
    case ARROW_UTF8:
        f->type = fr_type_of(FR_UTF8);
        f->layout = ARROW_L_UTF8;
        break;
    case ARROW_LARGE_UTF8:
        f->type = fr_type_of(FR_UTF8);
        f->layout = ARROW_L_LARGE_UTF8;
        break;
    case ARROW_UTF8_VIEW:
        f->type = fr_type_of(FR_UTF8);
        f->layout = ARROW_L_UTF8_VIEW;
        break;
    case ARROW_DATE:
        f->type = fr_type_of(FR_DATE);
        f->layout = flat_get(r, type, 0, 2, 1) == 0 ? ARROW_L_FIXED : ARROW_L_DATE64;
        break;
    case ARROW_TIME:
        read_time(r, type, f);
        break;
    case ARROW_TIMESTAMP:
        read_timestamp(r, type, f);
        break;
    case ARROW_DURATION:
        f->type = fr_type_of(FR_DURATION);
        f->layout = ARROW_L_FIXED;
        if (!read_unit(r, type, 1, &f->type.unit)) {
            no_type(f, "a duration of unknown unit");
        }
        break;
    case ARROW_BINARY:
    case ARROW_LARGE_BINARY:
    case ARROW_BINARY_VIEW:
    case ARROW_FIXED_BINARY:
        no_type(f, "binary");
        break;
    case ARROW_DECIMAL:
        no_type(f, "a decimal (cast it to float64 where it was written)");
        break;
    case ARROW_LIST:
    case ARROW_LARGE_LIST:
    case ARROW_FIXED_LIST:
    case ARROW_LIST_VIEW:
    case ARROW_LARGE_LIST_VIEW:
        no_type(f, "a list");
        break;
    case ARROW_STRUCT:
        no_type(f, "a struct");
        break;
    case ARROW_MAP:
        no_type(f, "a map");
        break;
    default:
        no_type(f, "of a type");
    }
}

// What a field takes of a batch, so that columns behind one that we skip are found.
static bool count_parts(flat_reader *r, size_t field, arrow_field *f, int depth, int64_t *budget)
{
    if (depth > DEPTH_MAX || (*budget)-- <= 0) {
        return false;
    }
    bool coded = flat_child(r, field, 4) != 0;
    size_t own = 2; // validity and one more
    size_t type = flat_child(r, field, 3);
    f->nodes++;
    switch (coded ? ARROW_INT : flat_get(r, field, 2, 1, 0)) {
    case ARROW_NULL:
    case ARROW_RUNS:
        own = 0;
        break;
    case ARROW_STRUCT:
    case ARROW_FIXED_LIST:
        own = 1;
        break;
    case ARROW_UNION:
        own = flat_get(r, type, 0, 2, 0) == 0 ? 1 : 2;
        break;
    case ARROW_UTF8:
    case ARROW_LARGE_UTF8:
    case ARROW_BINARY:
    case ARROW_LARGE_BINARY:
    case ARROW_LIST_VIEW:
    case ARROW_LARGE_LIST_VIEW:
        own = 3;
        break;
    case ARROW_UTF8_VIEW:
    case ARROW_BINARY_VIEW:
        f->views++;
        break;
    default:
        break;
    }
    f->buffers += own;
    size_t n, children = coded ? 0 : flat_vector(r, field, 5, 4, &n);
    for (size_t i = 0; children != 0 && i < n; i++) {
        if (!count_parts(r, flat_item(r, children, i), f, depth + 1, budget)) {
            return false;
        }
    }
    return !r->bad;
}

static void read_dictionary(flat_reader *r, size_t field, arrow_field *f)
{
    size_t dictionary = flat_child(r, field, 4);
    if (dictionary == 0) {
        return;
    }
    f->dictionary = true;
    f->dictionary_id = (int64_t)flat_get(r, dictionary, 0, 8, 0);
    f->ordered = flat_get(r, dictionary, 2, 1, 0) != 0;
    size_t index = flat_child(r, dictionary, 1);
    uint64_t bits = index != 0 ? flat_get(r, index, 0, 4, 0) : 32;
    f->index_signed = index == 0 || flat_get(r, index, 1, 1, 0) != 0;
    f->index_bits = (uint8_t)bits;
    if (bits != 8 && bits != 16 && bits != 32 && bits != 64) {
        no_type(f, "a dictionary with indexes of odd width");
    }
}

int arrow_schema_read(flat_reader *r, size_t schema, arrow_schema *out, fr_err *err)
{
    size_t n, fields = flat_vector(r, schema, 1, 4, &n);
    int64_t budget = FIELDS_MAX;
    if (flat_get(r, schema, 0, 2, 0) != 0) {
        return fr_fail(err, FR_EUNSUPPORTED, "big-endian data");
    }
    if (n > FIELDS_MAX) {
        return fr_fail(err, FR_ELIMIT, "%zu columns", n);
    }
    out->fields = fr_zalloc((n + 1) * sizeof *out->fields);
    for (size_t i = 0; i < n; i++) {
        arrow_field *f = &out->fields[i];
        size_t field = flat_item(r, fields, i), size;
        const char *name = flat_text(r, field, 0, &size);
        if (r->bad) {
            break;
        }
        if (size > 0 && (memchr(name, '\0', size) != NULL ||
                         csv_utf8_bad((const uint8_t *)name, size) != SIZE_MAX)) {
            return fr_fail(err, FR_ECORRUPT, "the name of column %zu is not UTF-8 text", i + 1);
        }
        f->name = fr_strndup(name != NULL ? name : "", size);
        out->n++;
        read_type(r, field, f);
        read_dictionary(r, field, f);
        if (!count_parts(r, field, f, 0, &budget)) {
            r->bad = true;
        }
    }
    return r->bad ? fr_fail(err, FR_ECORRUPT, "damaged schema") : FR_OK;
}

void arrow_schema_fini(arrow_schema *s)
{
    for (size_t i = 0; i < s->n; i++) {
        fr_free(s->fields[i].name);
    }
    fr_free(s->fields);
    *s = (arrow_schema){0};
}
