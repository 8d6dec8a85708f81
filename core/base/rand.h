#pragma once
// rand -- Philox4x32-10 (Salmon et al., SC 2011): counter-based, so that a stream depends
// on (seed, stream) only and never on scheduling. Values are equal on every machine.
// One fr_rand belongs to one thread.

#include <stdint.h>

typedef struct fr_rand {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4];
    unsigned used;           // words of block already handed out; 4 = make a new one
} fr_rand;

void fr_rand_init(fr_rand *r, uint64_t seed, uint64_t stream);
uint32_t fr_rand_u32(fr_rand *r);
uint64_t fr_rand_u64(fr_rand *r);
double fr_rand_unit(fr_rand *r);                  // uniform in [0, 1), 53 bits
uint64_t fr_rand_below(fr_rand *r, uint64_t n);   // uniform in [0, n), unbiased (Lemire); n > 0
void fr_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
