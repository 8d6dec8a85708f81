#pragma once
// boost_bucket -- shallow boosted trees as boost_exact grows them, node for node, without
// visiting most values. Private to boost_exact.c.
//
// A feature's sorted rows are cut into at most 256 buckets between different values. A node
// counts its rows by bucket (of two children the smaller, the other is the difference); how
// far the gradients of a bucket can carry a sum bounds the score of the cuts inside it, and
// only buckets that may hold a better cut than the best known are visited row by row.

#include "core/ml/boost_grow.h"

typedef struct fr_boost_bucket fr_boost_bucket;

// sorted: by feature, entries rank << 32 | row in order of rank; borrowed, as the ranks.
// NULL when trees of that depth on these rows are better grown from lists, or without
// memory.
fr_boost_bucket *fr_boost_bucket_new(const fr_ranks *ranks, uint64_t *const *sorted,
                                     uint32_t depth);
void fr_boost_bucket_free(fr_boost_bucket *g); // NULL is fine
// As fr_boost_exact_grow.
FR_NODISCARD int fr_boost_bucket_grow(fr_boost_bucket *g, fr_boost_rows *rows,
                                      const fr_boost_options *o, fr_tree *tree,
                                      double *importance);
