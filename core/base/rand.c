#include "core/base/rand.h"

#include <string.h>

void fr_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4], k0 = key[0], k1 = key[1];
    memcpy(c, counter, sizeof c);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53 * c[0], p1 = (uint64_t)0xCD9E8D57 * c[2];
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
        c[0] = n0;
        c[1] = (uint32_t)p1;
        c[2] = n2;
        c[3] = (uint32_t)p0;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    memcpy(out, c, sizeof c);
}

void fr_rand_init(fr_rand *r, uint64_t seed, uint64_t stream)
{
    *r = (fr_rand){.key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
                   .counter = {0, 0, (uint32_t)stream, (uint32_t)(stream >> 32)},
                   .used = 4};
}

uint32_t fr_rand_u32(fr_rand *r)
{
    if (r->used == 4) {
        fr_philox(r->counter, r->key, r->block);
        if (++r->counter[0] == 0) {
            r->counter[1]++;
        }
        r->used = 0;
    }
    return r->block[r->used++];
}

uint64_t fr_rand_u64(fr_rand *r)
{
    uint64_t lo = fr_rand_u32(r);
    return lo | (uint64_t)fr_rand_u32(r) << 32;
}

double fr_rand_unit(fr_rand *r)
{
    return (double)(fr_rand_u64(r) >> 11) * 0x1p-53;
}

uint64_t fr_rand_below(fr_rand *r, uint64_t n)
{
    uint64_t x = fr_rand_u64(r);
    __uint128_t m = (__uint128_t)x * n;
    if ((uint64_t)m < n) {
        uint64_t floor = (0 - n) % n;
        while ((uint64_t)m < floor) {
            x = fr_rand_u64(r);
            m = (__uint128_t)x * n;
        }
    }
    return (uint64_t)(m >> 64);
}
