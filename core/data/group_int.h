#pragma once
// group_int -- inside of group: the numbers of rows and the lanes that accumulate per
// group. Not for other files.

#include "core/data/factor.h"
#include "core/data/group.h"

#include <stdatomic.h>

__extension__ typedef __int128 fr_i128;

enum {
    MORSEL = 4096, // rows whose group numbers and values stay in cache
    STAT_COUNT = 1,
    STAT_SUM = 2,
    STAT_MOMENTS = 4,
    STAT_MIN = 8,
    STAT_MAX = 16,
};

struct fr_group {
    const fr_array **keys;       // a copy of the list; the columns are referenced
    size_t nkeys;
    int64_t rows;
    // Either the number of a row's group is its key minus `low` (direct), or it is in the
    // factor. A direct number is a slot: slots without rows are left out of the results.
    bool direct, counted;
    bool checked;        // the direct range is known to hold all keys, not only guessed
    atomic_bool escaped; // a key was found outside of the guessed range
    int64_t low;
    size_t slots;
    fr_factor factor;
    int64_t *sizes; // rows per slot, once counted
    uint32_t *used; // slots with rows, in order
    size_t groups;
};

// fr_group_aggregate behind the durations that go through numbers (duration.c).
FR_NODISCARD int fr_group_aggregate_numbers(fr_group *g, const fr_group_call *calls, size_t n,
                                            fr_array **results, fr_err *err);
// Group numbers of rows [at, at + n), n <= MORSEL: in `buffer` or where they are already.
const uint32_t *fr_group_ids(const fr_group *g, int64_t at, int64_t n, uint32_t *buffer);
// How many parts the rows are cut into, by size only; each has its own accumulators.
size_t fr_group_segments(const fr_group *g);
FR_NODISCARD int fr_group_count_slots(fr_group *g, fr_err *err);

// One input column with all that is wanted of it. Made by fr_lane_new, filled by
// fr_lane_run (segment by segment, any thread), folded together by fr_lane_merge.
typedef struct fr_lane fr_lane;
// With `rows` it also counts the rows whose value is null, when it can.
FR_NODISCARD int fr_lane_new(const fr_group *g, const fr_array *input, unsigned stats, bool rows,
                             fr_lane **out, fr_err *err); // FLOAT64 or int64-like kinds
void fr_lane_free(fr_lane *l);
void fr_lane_run(fr_lane *l, size_t segment, int64_t at, int64_t n, const uint32_t *ids);
void fr_lane_fold(fr_lane *l, size_t segment); // after every fold interval
void fr_lane_merge(fr_lane *l, size_t segments);
// True when the lane must run over all rows again because of NaN; it is empty then.
bool fr_lane_again(fr_lane *l);
bool fr_lane_counts_rows(const fr_lane *l);
int64_t fr_lane_rows(const fr_lane *l, size_t slot); // null or not; when it counts rows
size_t fr_lane_fold_rows(const fr_group *g);
// Writes the result of slot s at row i of `to`; returns false for null.
typedef struct fr_lane_value {
    int64_t count;
    double sum, var, min, max;
    fr_i128 whole;
    int64_t least, most;
} fr_lane_value;
void fr_lane_get(const fr_lane *l, size_t slot, fr_lane_value *out);
