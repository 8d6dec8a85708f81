#pragma once
// numpy -- numpy's legacy random stream (np.random.seed, np.random.RandomState), so that
// a migrated script draws the same data.
//
// MT19937 with numpy's way of turning bits into doubles, the polar normal with its cached
// second value, masked rejection for bounded integers, inversion and BTPE for binomial.
// Equal bit for bit; values that pass through the C library's log and exp may differ in
// the last bit where numpy was built against another one. A generator belongs to one
// thread.

#include "core/ml/random.h"

#include <stdbool.h>

enum { FR_NUMPY_WORDS = 624 };

typedef struct fr_numpy {
    uint32_t words[FR_NUMPY_WORDS];
    unsigned at; // next word; FR_NUMPY_WORDS = make new ones
    bool has_normal;
    double normal; // the polar method makes two at a time
} fr_numpy;

void fr_numpy_init(fr_numpy *r, uint32_t seed); // np.random.seed(seed)
void fr_numpy_init_list(fr_numpy *r, const uint32_t *seeds,
                        size_t n); // seed([..]), n > 0

uint32_t fr_numpy_u32(fr_numpy *r);
double fr_numpy_unit(fr_numpy *r); // random_sample()

FR_NODISCARD int fr_numpy_uniform(fr_numpy *r, fr_random_arg lo, fr_random_arg hi,
                                  double *out, size_t n, fr_err *err);
FR_NODISCARD int fr_numpy_normal(fr_numpy *r, fr_random_arg mean, fr_random_arg sd,
                                 double *out, size_t n, fr_err *err);
FR_NODISCARD int fr_numpy_exponential(fr_numpy *r, fr_random_arg scale, double *out,
                                      size_t n, fr_err *err);
// randint: lo <= out[i] < hi.
FR_NODISCARD int fr_numpy_integers(fr_numpy *r, int64_t lo, int64_t hi, int64_t *out,
                                   size_t n, fr_err *err);
FR_NODISCARD int fr_numpy_binomial(fr_numpy *r, fr_random_arg trials, fr_random_arg p,
                                   int64_t *out, size_t n, fr_err *err);
FR_NODISCARD int fr_numpy_poisson(fr_numpy *r, fr_random_arg mean, int64_t *out, size_t n,
                                  fr_err *err);
void fr_numpy_shuffle(fr_numpy *r, int64_t *out, size_t n); // permutation(n) of 0..n-1
