#include "core/data/parquet_int.h"

#include <string.h>

static void set(pq_column *c, pq_layout layout, fr_kind kind)
{
    c->layout = layout;
    c->type = fr_type_of(kind);
}

static void refuse(pq_column *c, const char *problem)
{
    c->layout = PQ_AS_NOTHING;
    c->problem = problem;
}

static void set_bytes(pq_column *c, bool hex)
{
    set(c, hex ? PQ_AS_HEX : PQ_AS_BINARY, FR_UTF8);
}

static void set_stamp(pq_column *c)
{
    set(c, PQ_AS_IS, FR_TIMESTAMP);
    c->type.unit = c->unit;
    if (c->adjusted) {
        memcpy(c->type.zone, "UTC", 4);
    }
}

static void set_integer(pq_column *c)
{
    static const fr_kind kinds[2][4] = {{FR_UINT8, FR_UINT16, FR_UINT32, FR_UINT64},
                                        {FR_INT8, FR_INT16, FR_INT32, FR_INT64}};
    int size = c->bits == 8 ? 0 : c->bits == 16 ? 1 : c->bits == 32 ? 2 : c->bits == 64 ? 3 : -1;
    if (size < 0 || (size == 3) != (c->physical == PQ_INT64)) {
        refuse(c, "an integer of an odd size");
        return;
    }
    set(c, size < 2 ? PQ_AS_NARROW : PQ_AS_IS, kinds[c->is_signed][size]);
}

static void set_decimal(pq_column *c, bool scaled)
{
    if (c->scale < 0 || c->scale > PQ_SCALE_MAX) {
        refuse(c, "a decimal with an odd scale");
        return;
    }
    set(c, scaled ? PQ_AS_SCALED : PQ_AS_DECIMAL, scaled ? FR_INT64 : FR_UTF8);
}

// Annotations of old writers, in terms of the new ones.
static void modernise(pq_column *c)
{
    static const struct {
        int converted, logical, bits;
        bool is_signed;
        fr_unit unit;
    } rows[] = {
        {PQ_C_UTF8, PQ_L_STRING, 0, false, 0},       {PQ_C_ENUM, PQ_L_ENUM, 0, false, 0},
        {PQ_C_DECIMAL, PQ_L_DECIMAL, 0, false, 0},   {PQ_C_DATE, PQ_L_DATE, 0, false, 0},
        {PQ_C_TIME_MILLIS, PQ_L_TIME, 0, false, 1},  {PQ_C_TIME_MICROS, PQ_L_TIME, 0, false, 2},
        {PQ_C_STAMP_MILLIS, PQ_L_STAMP, 0, true, 1}, {PQ_C_STAMP_MICROS, PQ_L_STAMP, 0, true, 2},
        {PQ_C_UINT8, PQ_L_INTEGER, 8, false, 0},     {PQ_C_UINT16, PQ_L_INTEGER, 16, false, 0},
        {PQ_C_UINT32, PQ_L_INTEGER, 32, false, 0},   {PQ_C_UINT64, PQ_L_INTEGER, 64, false, 0},
        {PQ_C_INT8, PQ_L_INTEGER, 8, true, 0},       {PQ_C_INT16, PQ_L_INTEGER, 16, true, 0},
        {PQ_C_INT32, PQ_L_INTEGER, 32, true, 0},     {PQ_C_INT64, PQ_L_INTEGER, 64, true, 0},
        {PQ_C_JSON, PQ_L_JSON, 0, false, 0},         {PQ_C_BSON, PQ_L_BSON, 0, false, 0},
    };
    for (size_t i = 0; i < FR_COUNT(rows) && c->logical == 0; i++) {
        if (rows[i].converted == c->converted) {
            c->logical = rows[i].logical;
            c->bits = rows[i].bits;
            c->is_signed = rows[i].is_signed;
            c->adjusted = rows[i].is_signed; // the old timestamps are UTC
            c->unit = rows[i].unit;
        }
    }
}

static void type_plain(pq_column *c, const fr_parquet_options *o)
{
    switch (c->physical) {
    case PQ_BOOLEAN:
        set(c, PQ_AS_BOOL, FR_BOOL);
        break;
    case PQ_INT32:
        set(c, PQ_AS_IS, FR_INT32);
        break;
    case PQ_INT64:
        set(c, PQ_AS_IS, FR_INT64);
        break;
    case PQ_INT96:
        set(c, PQ_AS_INT96, FR_TIMESTAMP);
        c->type.unit = o->int96;
        break;
    case PQ_FLOAT:
        set(c, PQ_AS_IS, FR_FLOAT32);
        break;
    case PQ_DOUBLE:
        set(c, PQ_AS_IS, FR_FLOAT64);
        break;
    case PQ_BYTES:
    case PQ_FIXED:
        set_bytes(c, o->hex);
        break;
    }
}

// Annotations that do not go with the physical type are as if they were not there, which is
// what the format asks of readers that do not know an annotation.
static void type_one(pq_column *c, const fr_parquet_options *o)
{
    bool whole = c->physical == PQ_INT32 || c->physical == PQ_INT64;
    bool bytes = c->physical == PQ_BYTES, any = bytes || c->physical == PQ_FIXED;
    type_plain(c, o);
    if (c->physical == PQ_FIXED && c->width == 0) {
        refuse(c, "bytes of length 0");
    } else if (c->converted == PQ_C_INTERVAL && c->logical == 0) {
        refuse(c, "an interval of months, days and milliseconds");
    } else if (c->logical == PQ_L_UNKNOWN) {
        set(c, PQ_AS_NULL, FR_UTF8);
    } else if (c->logical == PQ_L_DECIMAL && (whole || any)) {
        set_decimal(c, o->scaled);
    } else if (c->logical == PQ_L_DATE && c->physical == PQ_INT32) {
        set(c, PQ_AS_IS, FR_DATE);
    } else if (c->logical == PQ_L_TIME && whole) {
        set(c, PQ_AS_TIME, FR_TIME);
    } else if (c->logical == PQ_L_STAMP && c->physical == PQ_INT64) {
        set_stamp(c);
    } else if (c->logical == PQ_L_INTEGER && whole) {
        set_integer(c);
    } else if (c->logical == PQ_L_HALF && c->physical == PQ_FIXED && c->width == 2) {
        set(c, PQ_AS_HALF, FR_FLOAT32);
    } else if (c->logical == PQ_L_UUID && c->physical == PQ_FIXED && c->width == 16) {
        set(c, PQ_AS_UUID, FR_UTF8);
    } else if (bytes && (c->logical == PQ_L_STRING || c->logical == PQ_L_ENUM ||
                         c->logical == PQ_L_JSON)) {
        set(c, PQ_AS_TEXT, FR_UTF8);
    }
}

void pq_type_all(pq_meta *m, const fr_parquet_options *o)
{
    for (size_t i = 0; i < m->n_columns; i++) {
        pq_column *c = &m->columns[i];
        if (c->problem == NULL) {
            modernise(c);
            type_one(c, o);
        }
    }
}
