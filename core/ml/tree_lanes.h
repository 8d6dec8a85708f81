#pragma once
// tree_lanes -- the vector steps of growing trees, per instruction set. Private to
// core/ml/tree_*.c. Pure functions.
//
// A node of up to 128 samples is a set of lanes of 16 bits, in `parts` vectors of 32;
// arrays of lanes are 64-byte aligned and have 32 * parts elements.

#include "core/base/base.h"

#include <stdbool.h>
#include <stdint.h>

enum { FR_LANES_PART = 32, FR_LANES_PARTS = 4, FR_LANES_MOST = 128 };

typedef struct fr_lanes_set {
    uint32_t part[FR_LANES_PARTS]; // bit l of part i: lane 32 * i + l
} fr_lanes_set;

typedef struct fr_lanes_kernel {
    int most_parts; // beyond, histograms are faster
    // sum[l] = sum of what[q] over the lanes q of `in` with x[q] <= x[l].
    void (*below)(const uint16_t *x, const uint16_t *what, const fr_lanes_set *in,
                  int parts, uint16_t *sum);
    // The lanes of `in` whose left side is not everything; sum = weight << 8 | positives.
    void (*parting)(const uint16_t *sum, const fr_lanes_set *in, int parts,
                    uint32_t weight, fr_lanes_set *out);
    // Lanes of `in` whose cut scores within rounding errors of the best of them:
    // sum over both sides of positives^2 / weight.
    void (*shortlist)(const uint16_t *sum, const fr_lanes_set *in, int parts,
                      uint32_t weight, uint32_t positive, fr_lanes_set *out);
    // The same for a node of many samples and weight below 65,536: below[i] = positives
    // << 16 | weight of the left side of cut i. Writes the cuts to list in order, returns
    // how many; score is scratch. Arrays may be read and written up to the next multiple
    // of 16.
    uint32_t (*peaks)(const uint32_t *below, uint32_t n, uint32_t weight,
                      uint32_t positive, float *score, uint32_t *list);
    // The lanes of `in` with x <= limit, and the least x of the others.
    uint16_t (*divide)(const uint16_t *x, const fr_lanes_set *in, int parts,
                       uint16_t limit, fr_lanes_set *left);
} fr_lanes_kernel;

typedef enum fr_lanes_isa { FR_LANES_PLAIN, FR_LANES_AVX2, FR_LANES_AVX512 } fr_lanes_isa;

// The kernel of an instruction set; NULL when this machine lacks it.
const fr_lanes_kernel *fr_lanes_kernel_of(fr_lanes_isa isa);
const fr_lanes_kernel *fr_lanes_kernel_best(void);
