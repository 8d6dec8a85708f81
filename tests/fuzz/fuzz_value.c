// fuzz_value -- hostile bytes against the decoder of packed values. With libFuzzer:
//   clang -fsanitize=fuzzer,address,undefined -DFLOWRUN_FUZZER ...
// Without it, main() below runs over the files it is given and then over mutations of
// them.
#include "core/base/mem.h"
#include "core/base/rand.h"
#include "core/data/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *ctx, uint8_t kind, fr_hash hash)
{
    (void)kind;
    *(uint64_t *)ctx += hash.lo;
}

// Writes the value again from what the reader says; it must give the same bytes.
static void rewrite(fr_reader *r, fr_buf *out)
{
    fr_item item;
    FR_ASSERT(fr_value_next(r, &item));
    uint64_t m = 0;
    switch (item.tag) {
    case FR_NIL:
        fr_value_put_nil(out);
        break;
    case FR_FALSE:
        fr_value_put_bool(out, false);
        break;
    case FR_TRUE:
        fr_value_put_bool(out, true);
        break;
    case FR_INT:
        fr_value_put_int(out, item.integer);
        break;
    case FR_DOUBLE:
        fr_value_put_double(out, item.number);
        break;
    case FR_STRING:
        fr_value_put_string(out, item.text, item.n);
        break;
    case FR_TABLE:
        fr_buf_put_u8(out, FR_TABLE);
        fr_buf_put_varint(out, item.n);
        for (size_t i = 0; i < item.n; i++) {
            rewrite(r, out);
        }
        m = fr_read_varint(r);
        fr_buf_put_varint(out, m);
        for (; m > 0; m--) {
            rewrite(r, out);
            rewrite(r, out);
        }
        break;
    case FR_REF:
        break; // no objects are given: never accepted
    case FR_HANDLE:
        fr_buf_put_u8(out, FR_HANDLE);
        fr_buf_put_varint(out, item.n);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_err err = FR_ERR_INIT;
    fr_value *v = NULL;
    uint64_t sum = 0;
    (void)fr_value_scan_refs(data, size, ignore, &sum, &err);
    fr_reader r = fr_reader_of(data, size);
    (void)fr_value_skip(&r);
    FR_ASSERT(r.at <= r.end);
    if (fr_value_parse(data, size, NULL, 0, &v, &err) != FR_OK) {
        FR_ASSERT(v == NULL && err.text[0] != '\0');
        return 0;
    }
    fr_buf b;
    fr_buf_init(&b, FR_VALUE_MAX);
    r = fr_reader_of(v->bytes, v->size);
    rewrite(&r, &b);
    FR_ASSERT(b.size == size && memcmp(b.data, data, size) == 0); // canonical
    fr_buf_clear(&b);
    fr_value_json(v, &b, 200);
    FR_ASSERT(b.size <= 200);
    fr_value_json(v, &b, FR_VALUE_MAX / 2);
    fr_buf_fini(&b);
    fr_value_unref(v);
    return 0;
}

#ifndef FLOWRUN_FUZZER
enum { FUZZ_BYTES = 4096, FUZZ_ROUNDS = 20000 };

static void mutate(fr_rand *rand, uint8_t *bytes, size_t *size)
{
    static const uint8_t likely[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 0x7f, 0x80, 0xff};
    for (uint64_t n = 1 + fr_rand_below(rand, 4); n > 0 && *size > 0; n--) {
        size_t at = fr_rand_below(rand, *size);
        uint64_t what = fr_rand_below(rand, 4);
        if (what == 0) {
            *size = at + 1;
        } else if (what == 1 && *size < FUZZ_BYTES) {
            memmove(bytes + at + 1, bytes + at, *size - at);
            bytes[at] = likely[fr_rand_below(rand, sizeof likely)];
            *size += 1;
        } else if (what == 2) {
            bytes[at] = likely[fr_rand_below(rand, sizeof likely)];
        } else {
            bytes[at] ^= (uint8_t)(1U << fr_rand_below(rand, 8));
        }
    }
}

int main(int argc, char **argv)
{
    static const uint8_t first[] = {6,   2, 3, 20,  8,    0,    3, 4, 0, 0,
                                    0,   0, 0, 0,   0xe0, 0x3f, 3, 2, 5, 1,
                                    'a', 5, 1, 'x', 2,    6,    1, 0, 0};
    fr_rand rand;
    fr_rand_init(&rand, 1, 0);
    for (int i = 0; i < argc; i++) { // argv[0] stands for the built-in sample
        uint8_t seed[FUZZ_BYTES], bytes[FUZZ_BYTES];
        size_t n = sizeof first;
        memcpy(seed, first, sizeof first);
        FILE *f = i > 0 ? fopen(argv[i], "rb") : NULL;
        if (f != NULL) {
            n = fread(seed, 1, sizeof seed, f);
            (void)fclose(f);
        }
        (void)LLVMFuzzerTestOneInput(seed, n);
        for (int k = 0; k < FUZZ_ROUNDS; k++) {
            size_t size = n;
            memcpy(bytes, seed, n);
            mutate(&rand, bytes, &size);
            (void)LLVMFuzzerTestOneInput(bytes, size);
        }
    }
    (void)printf("fuzz_value: %d inputs, %d mutations of each\n", argc, FUZZ_ROUNDS);
    return 0;
}
#endif
