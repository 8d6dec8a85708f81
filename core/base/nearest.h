#pragma once
// nearest -- "did you mean": the closest name by edit distance. Pure, any thread.

#include "core/base/base.h"

// Edits (insert, delete, replace, swap of neighbours; case does not count) from a to b, or
// `most` + 1 when there are more.
size_t fr_nearest_distance(const char *a, const char *b, size_t most);
// The name nearest to `name` within a third of its length, or NULL.
const char *fr_nearest(const char *name, const char *const *names, size_t n);
