#include "core/base/rand.h"
#include "tests/unit/check.h"

static bool philox_gives(const uint32_t c[4], const uint32_t k[2], const uint32_t want[4])
{
    uint32_t got[4];
    fr_philox(c, k, got);
    return memcmp(got, want, sizeof got) == 0;
}

// Random123 1.09, kat_vectors, philox4x32 10.
static void philox_gives_the_published_blocks(void)
{
    static const uint32_t zero[4] = {0}, ones[4] = {~0U, ~0U, ~0U, ~0U};
    static const uint32_t pi[4] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344};
    static const uint32_t key[2] = {0xa4093822, 0x299f31d0};
    CHECK(philox_gives(
        zero, zero, (const uint32_t[4]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    CHECK(philox_gives(
        ones, ones, (const uint32_t[4]){0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    CHECK(philox_gives(
        pi, key, (const uint32_t[4]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

static void a_stream_is_its_blocks_in_order(void)
{
    fr_rand r;
    fr_rand_init(&r, 0x1122334455667788, 0x99);
    const uint32_t key[2] = {0x55667788, 0x11223344};
    for (uint32_t block = 0; block < 3; block++) {
        const uint32_t counter[4] = {block, 0, 0x99, 0};
        uint32_t want[4];
        fr_philox(counter, key, want);
        for (int i = 0; i < 4; i++) {
            CHECK_INT(fr_rand_u32(&r), want[i]);
        }
    }
}

static void the_counter_carries(void)
{
    fr_rand r;
    fr_rand_init(&r, 1, 2);
    r.counter[0] = UINT32_MAX;
    (void)fr_rand_u32(&r);
    CHECK_INT(r.counter[0], 0);
    CHECK_INT(r.counter[1], 1);
    CHECK_INT(r.counter[2], 2);
}

static void seeds_and_streams_differ(void)
{
    fr_rand a, b, c;
    fr_rand_init(&a, 1, 0);
    fr_rand_init(&b, 1, 1);
    fr_rand_init(&c, 2, 0);
    uint64_t x = fr_rand_u64(&a);
    CHECK(x != fr_rand_u64(&b));
    CHECK(x != fr_rand_u64(&c));
}

// Bounds of six standard deviations: wrong code fails, the fixed seed never does.
static void draws_are_uniform(void)
{
    enum { N = 60000, BINS = 6 };
    fr_rand r;
    fr_rand_init(&r, 42, 0);
    double sum = 0, low = 1, high = 0;
    int bins[BINS] = {0};
    for (int i = 0; i < N; i++) {
        double u = fr_rand_unit(&r);
        sum += u;
        low = fmin(low, u);
        high = fmax(high, u);
        bins[fr_rand_below(&r, BINS)]++;
    }
    CHECK(low >= 0 && high < 1);
    CHECK_NEAR(sum / N, 0.5, 6 / sqrt(12.0 * N));
    for (int i = 0; i < BINS; i++) {
        CHECK_NEAR(bins[i], N / BINS, 6 * sqrt(N / 6.0 * 5 / 6));
    }
}

static void below_stays_below(void)
{
    fr_rand r;
    fr_rand_init(&r, 5, 0);
    for (int i = 0; i < 1000; i++) {
        CHECK_INT(fr_rand_below(&r, 1), 0);
        CHECK(fr_rand_below(&r, 3) < 3);
        CHECK(fr_rand_below(&r, UINT64_MAX) < UINT64_MAX);
        CHECK(fr_rand_below(&r, (1ULL << 63) + 1) <= 1ULL << 63);
    }
}

int main(void)
{
    CASE(philox_gives_the_published_blocks);
    CASE(a_stream_is_its_blocks_in_order);
    CASE(the_counter_carries);
    CASE(seeds_and_streams_differ);
    CASE(draws_are_uniform);
    CASE(below_stays_below);
    return check_end();
}
