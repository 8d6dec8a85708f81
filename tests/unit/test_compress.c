// compress against loops, for every length around words and vectors, with what lies behind
// the result untouched.

#include "core/base/rand.h"
#include "core/data/compress.h"
#include "tests/unit/check.h"

#include <math.h>
#include <string.h>

typedef struct functions {
    size_t (*wide)(const uint64_t *, const uint64_t *, size_t, uint64_t *);
    size_t (*narrow)(const uint32_t *, const uint64_t *, size_t, uint32_t *);
    size_t (*bits)(const uint64_t *, const uint64_t *, size_t, uint64_t *, size_t);
    void (*zero)(const double *, const uint64_t *, size_t, double *);
    size_t (*far)(const uint64_t *, const uint64_t *, size_t, uint64_t *);
    void (*flags)(const uint64_t *, size_t, uint16_t *);
    void (*divert)(const uint32_t *, const uint64_t *, size_t, uint32_t, uint32_t, uint32_t *);
} functions;

static const functions ours = {fr_compress_64,   fr_compress_32,    fr_compress_bits,
                               fr_compress_zero, fr_compress_64_far, fr_compress_flags,
                               fr_compress_divert};

// The same source as a processor without AVX-512 runs it.
#define fr_compress_64   plain_64
#define fr_compress_32   plain_32
#define fr_compress_bits plain_bits_of
#define fr_compress_zero plain_zero
#define fr_compress_64_far plain_64_far
#define fr_compress_flags plain_flags
#define fr_compress_divert plain_divert
#define __builtin_cpu_supports(name) false
size_t plain_64(const uint64_t *x, const uint64_t *words, size_t n, uint64_t *to);
size_t plain_32(const uint32_t *x, const uint64_t *words, size_t n, uint32_t *to);
size_t plain_bits_of(const uint64_t *x, const uint64_t *words, size_t n, uint64_t *to, size_t at);
void plain_zero(const double *x, const uint64_t *words, size_t n, double *to);
size_t plain_64_far(const uint64_t *x, const uint64_t *words, size_t n, uint64_t *to);
void plain_flags(const uint64_t *words, size_t n, uint16_t *to);
void plain_divert(const uint32_t *x, const uint64_t *words, size_t n, uint32_t keep, uint32_t add,
                  uint32_t *to);
#include "core/data/compress.c"

static const functions plain = {plain_64,   plain_32,    plain_bits_of,
                                plain_zero, plain_64_far, plain_flags,
                                plain_divert};

enum { MOST = 300, WORDS = MOST / 64 + 2 };

typedef struct rows {
    uint64_t words[WORDS], other[WORDS];
    uint64_t wide[MOST];
    uint32_t narrow[MOST];
    double number[MOST];
    size_t n, ones;
} rows;

static bool bit(const uint64_t *words, size_t i) { return words[i / 64] >> (i % 64) & 1; }

static void make(rows *r, fr_rand *rand, size_t n, unsigned of_ten)
{
    *r = (rows){.n = n};
    for (size_t i = 0; i < n; i++) {
        bool one = fr_rand_below(rand, 10) < of_ten;
        r->words[i / 64] |= (uint64_t)one << (i % 64);
        r->other[i / 64] |= (uint64_t)(fr_rand_below(rand, 2) != 0) << (i % 64);
        r->wide[i] = i * 0x9e3779b97f4a7c15U;
        r->narrow[i] = (uint32_t)i * 0x9e3779b9U;
        r->number[i] = one ? (double)i + .5 : (double)NAN; // a null's slot may hold anything
        r->ones += one;
    }
}

static void check_rows(const rows *r, const functions *f)
{
    uint64_t wide[MOST + 1], bits[2 * WORDS];
    uint32_t narrow[MOST + 1];
    double number[MOST + 1];
    memset(wide, 0xaa, sizeof wide);
    memset(narrow, 0xaa, sizeof narrow);
    memset(bits, 0, sizeof bits);
    number[r->n] = 7;
    CHECK_INT((int64_t)f->wide(r->wide, r->words, r->n, wide), (int64_t)r->ones);
    CHECK_INT((int64_t)f->narrow(r->narrow, r->words, r->n, narrow), (int64_t)r->ones);
    CHECK_INT((int64_t)f->bits(r->other, r->words, r->n, bits, 61), (int64_t)r->ones);
    f->zero(r->number, r->words, r->n, number);
    size_t k = 0;
    for (size_t i = 0; i < r->n; i++) {
        CHECK(number[i] == (bit(r->words, i) ? (double)i + .5 : 0));
        if (bit(r->words, i)) {
            CHECK(wide[k] == r->wide[i] && narrow[k] == r->narrow[i]);
            CHECK(bit(bits, 61 + k) == bit(r->other, i));
            k++;
        }
    }
    CHECK(wide[k] == 0xaaaaaaaaaaaaaaaaU && narrow[k] == 0xaaaaaaaaU && !bit(bits, 61 + k));
    CHECK(number[r->n] == 7 && bits[0] << 3 == 0);
}

// What is as long as the input, and nothing behind it.
static void check_all(const rows *r, const functions *f)
{
    uint16_t flags[MOST + 1];
    uint32_t one[MOST + 1], each[MOST + 1];
    flags[r->n] = 7;
    one[r->n] = each[r->n] = 7;
    f->flags(r->words, r->n, flags);
    f->divert(r->narrow, r->words, r->n, 0, 5, one);
    f->divert(r->narrow, r->words, r->n, UINT32_MAX, 5, each);
    for (size_t i = 0; i < r->n; i++) {
        bool there = bit(r->words, i);
        CHECK(flags[i] == there);
        CHECK(one[i] == (there ? r->narrow[i] : 5));
        CHECK(each[i] == r->narrow[i] + (there ? 0 : 5));
    }
    CHECK(flags[r->n] == 7 && one[r->n] == 7 && each[r->n] == 7);
}

static void agree_with_loops(void)
{
    fr_rand rand;
    fr_rand_init(&rand, 7, 0);
    for (size_t n = 0; n <= MOST; n++) {
        for (unsigned of_ten = 0; of_ten <= 10; of_ten += 5) {
            rows r;
            make(&r, &rand, n, of_ten);
            check_rows(&r, &ours);
            check_rows(&r, &plain);
            check_all(&r, &ours);
            check_all(&r, &plain);
        }
    }
}

// Around its stages and lines, from every place in a line.
static void go_far(void)
{
    enum { ROWS = 5000 };
    static uint64_t x[ROWS], words[ROWS / 64 + 1], near[ROWS], far[ROWS + 16];
    fr_rand rand;
    fr_rand_init(&rand, 8, 0);
    for (size_t n = 0; n <= ROWS; n += n < 40 ? 1 : 311) {
        for (size_t at = 0; at < 8; at++) {
            memset(words, 0, sizeof words);
            unsigned of_ten = (unsigned)fr_rand_below(&rand, 11);
            for (size_t i = 0; i < n; i++) {
                x[i] = i * 0x9e3779b97f4a7c15U;
                words[i / 64] |= (uint64_t)(fr_rand_below(&rand, 10) < of_ten) << (i % 64);
            }
            size_t ones = fr_compress_64(x, words, n, near);
            const functions *both[] = {&ours, &plain};
            for (size_t k = 0; k < 2; k++) {
                memset(far, 0xaa, sizeof far);
                CHECK_INT((int64_t)both[k]->far(x, words, n, far + 1 + at), (int64_t)ones);
                CHECK(memcmp(far + 1 + at, near, ones * sizeof *far) == 0);
                CHECK(far[at] == 0xaaaaaaaaaaaaaaaaU && far[1 + at + ones] == far[at]);
            }
        }
    }
}

int main(void)
{
    CASE(go_far);
    CASE(agree_with_loops);
    return check_end();
}
