#pragma once
// split -- rows drawn at random, without replacement: test shares and samples. The draw
// depends on (seed, number of rows, classes) only. Rows keep their order. Any thread.

#include "core/data/frame.h"

typedef struct fr_split {
    fr_block *train, *test; // uint32 row numbers, ascending
    int64_t ntrain, ntest;
} fr_split;

// test: a share in (0, 1), rounded up as scikit-learn does, or a number of rows from 1
// up. stratify (or NULL): every class is represented as nearly as possible in both parts,
// with the counts of scikit-learn's _approximate_mode; ties are drawn from the seed.
FR_NODISCARD int fr_split_rows(int64_t rows, const fr_array *stratify, double test,
                               uint64_t seed, fr_split *out, fr_err *err);
void fr_split_fini(fr_split *s);
// n rows out of `rows`, ascending.
FR_NODISCARD int fr_split_sample(int64_t rows, int64_t n, uint64_t seed, fr_block **out,
                                 fr_err *err);
