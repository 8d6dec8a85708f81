// fuzz_csv -- delimited text against the reader. The first byte chooses options.
//
// Beyond not crashing: small regions must give the same frame, or the same error, as one
// region; and what is written from a frame reads back as that frame.

#include "core/base/mem.h"
#include "core/data/csv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stop(const char *what, const fr_err *a, const fr_err *b)
{
    (void)fprintf(stderr, "%s\n  %s\n  %s\n", what, a->text, b->text);
    abort();
}

// NaN is written as NaN, which reads as null: such frames do not come back.
static bool has_nan(const fr_frame *f)
{
    for (size_t i = 0; i < f->columns; i++) {
        for (int64_t k = 0; f->cols[i]->type.kind == FR_FLOAT64 && k < f->rows; k++) {
            if (fr_array_has(f->cols[i], k) && isnan(fr_array_f64(f->cols[i])[k])) {
                return true;
            }
        }
    }
    return false;
}

static void read_back(const fr_frame *f)
{
    fr_buf b;
    fr_err err = FR_ERR_INIT, none = FR_ERR_INIT;
    fr_csv_options o;
    fr_csv_write_options w;
    fr_csv_defaults(&o);
    fr_csv_write_defaults(&w);
    fr_buf_init(&b, (size_t)1 << 28);
    FR_ASSERT(fr_csv_write_buf(f, &w, &b, &err) == FR_OK);
    fr_frame *again = NULL;
    if (fr_csv_read_bytes("w", b.data, b.size, &o, &again, NULL, &err) != FR_OK) {
        stop("does not read what it wrote", &err, &none);
    }
    bool same = fr_hash_eq(fr_frame_hash(f), fr_frame_hash(again));
    if (!same && f->rows > 0) { // types of no rows cannot be known
        (void)fwrite(b.data, 1, b.size, stderr);
        stop("reads something else than it wrote", &err, &none);
    }
    fr_frame_unref(again);
    fr_buf_fini(&b);
}

// With quarantine: the same frame when nothing is bad, else the first bad record is the error.
static void sieve(const uint8_t *data, size_t size, fr_csv_options *o, const fr_frame *f)
{
    fr_frame *good = NULL, *bad = NULL;
    fr_err err = FR_ERR_INIT;
    o->bad = &bad;
    int rc = fr_csv_read_bytes("f", data, size, o, &good, NULL, &err);
    FR_ASSERT((rc == FR_OK) == (good != NULL) && (rc == FR_OK) == (bad != NULL));
    FR_ASSERT(f == NULL || (rc == FR_OK && bad->rows == 0 &&
                            fr_hash_eq(fr_frame_hash(f), fr_frame_hash(good))));
    FR_ASSERT(f != NULL || rc != FR_OK || bad->rows > 0);
    fr_frame_unref(good);
    fr_frame_unref(bad);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    static const char seps[] = {',', ';', '\t', '|'};
    static const size_t chunks[] = {1, 7, 64, 100};
    fr_csv_options o;
    fr_csv_defaults(&o);
    o.sep = seps[data[0] & 3];
    o.quote = data[0] & 4 ? '\0' : '"';
    o.header = (data[0] & 8) == 0;
    const char *const encodings[] = {"utf-8", "latin-1"};
    o.encoding = encodings[data[0] >> 4 & 1];
    static const int64_t widths[] = {3, 1, 5};
    o.escape = size % 5 == 1 ? '\\' : '\0';
    o.comment = size % 5 == 2 ? '#' : '\0';
    o.widths = size % 5 == 3 ? widths : NULL;
    o.n_widths = size % 5 == 3 ? FR_COUNT(widths) : 0;
    fr_err err = FR_ERR_INIT, err2 = FR_ERR_INIT;
    fr_frame *f = NULL, *g = NULL;
    int rc = fr_csv_read_bytes("f", data + 1, size - 1, &o, &f, NULL, &err);
    o.chunk = chunks[data[0] >> 5 & 3];
    int rc2 = fr_csv_read_bytes("f", data + 1, size - 1, &o, &g, NULL, &err2);
    if (rc != rc2 || (rc != FR_OK && strcmp(err.text, err2.text) != 0)) {
        stop("regions matter", &err, &err2);
    }
    FR_ASSERT((rc == FR_OK) == (f != NULL) && (rc == FR_OK || err.text[0] != '\0'));
    if (rc == FR_OK) {
        FR_ASSERT(fr_hash_eq(fr_frame_hash(f), fr_frame_hash(g)));
        if (!has_nan(f)) {
            read_back(f);
        }
    }
    sieve(data + 1, size - 1, &o, f);
    fr_frame_unref(f);
    fr_frame_unref(g);
    return 0;
}
