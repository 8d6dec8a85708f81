// tree_coarse -- the best cut of a feature with many values, without visiting most of
// them. The node's rows are counted in at most 256 buckets of neighbouring ranks; the
// impurity left by a cut inside a bucket has a bound from the bucket's sums alone, so only
// buckets that may hold a better cut than the best known are counted value by value.
//
// The score of a cut, positives^2 / weight of both sides, is convex in (positives,
// negatives) of the left side: inside a bucket it is greatest at a corner, where all of
// the bucket's rows of one class have passed and none of the other. Buckets are few and
// their cells stay in L1; the cells of all values do not. What is found is what weighing
// every cut finds.

#include "core/ml/tree_grow.h"

#include <string.h>

enum { BUCKETS = FR_COARSE_BUCKETS, MANY = FR_PACKED_ROWS };

// Rounding of a score, with room: bounds that come this close are looked into.
static const double WITHIN = 1 + 1e-12;

typedef struct coarse {
    const fr_open_node *node;
    const fr_sample *sample;
    const uint16_t *at; // the rank of each sample's value
    size_t rows;
    uint32_t low, shift, buckets;
    uint64_t below[BUCKETS + 1]; // positives << 32 | weight left of each bucket
    double score[BUCKETS];       // of the cut after each bucket
} coarse;

static inline double score_of(const fr_open_node *n, uint64_t left)
{
    return fr_cut_score((double)(uint32_t)left, (double)(left >> 32), (double)n->weight,
                        (double)n->positive);
}

// positives << 16 | weight, as a sample holds them; sums in a node of weight below 65,536
// fit too.
static inline uint32_t packed(const fr_sample *s)
{
    return (uint32_t)s->positive << 16 | s->weight;
}

// The same with 32 bits for each.
static inline uint64_t spread(uint32_t v) { return (uint64_t)(v >> 16) << 32 | (v & 0xffff); }

static bool varies(const coarse *c)
{
    uint32_t other = 0;
    for (size_t i = 0; i < c->rows; i++) {
        other |= (uint32_t)(c->at[i] ^ c->at[0]);
    }
    return other != 0;
}

static inline uint32_t bucket_of(const coarse *c, size_t i)
{
    return (c->at[i] - c->low) >> c->shift;
}

// Buckets of all ranks of the feature, or for few rows of those in the node.
static void choose_buckets(coarse *c, uint32_t low, uint32_t high)
{
    // About eight rows per bucket: then its overhead and that of looking into it balance.
    uint32_t most = c->rows >= 8 * BUCKETS ? BUCKETS : BUCKETS / 4;
    c->low = low;
    c->shift = 0;
    while ((high - low) >> c->shift >= most) {
        c->shift++;
    }
    c->buckets = ((high - low) >> c->shift) + 1;
}

// One pass gathers and counts: rows of many have most of the ranks.
static void count_many(const fr_grower *g, const uint16_t *rank, bool light, coarse *c,
                       uint64_t *cell)
{
    uint16_t *restrict at = g->at;
    const fr_sample *s = c->sample;
    uint32_t shift = c->shift;
    for (size_t i = 0; i < c->rows && light; i++) {
        uint32_t r = rank[s[i].row];
        at[i] = (uint16_t)r;
        cell[r >> shift] += packed(&s[i]);
    }
    for (size_t i = 0; i < c->rows && !light; i++) {
        uint32_t r = rank[s[i].row];
        at[i] = (uint16_t)r;
        cell[r >> shift] += spread(packed(&s[i]));
    }
}

static void count_few(const fr_grower *g, const uint16_t *rank, coarse *c, uint64_t *cell)
{
    uint16_t *restrict at = g->at;
    const fr_sample *s = c->sample;
    uint32_t low = UINT16_MAX, high = 0;
    for (size_t i = 0; i < c->rows; i++) {
        uint32_t r = rank[s[i].row];
        at[i] = (uint16_t)r;
        low = FR_MIN(low, r);
        high = FR_MAX(high, r);
    }
    choose_buckets(c, low, high);
    for (size_t i = 0; i < c->rows; i++) {
        cell[bucket_of(c, i)] += packed(&s[i]);
    }
}

// Gathers ranks, counts rows by bucket. False when the feature is constant in the node.
static bool count(const fr_grower *g, uint32_t feature, coarse *c)
{
    uint64_t cell[BUCKETS] = {0}, sum = 0;
    bool light = c->node->weight < 65536;
    c->at = g->at;
    if (c->rows > MANY || !light) {
        choose_buckets(c, 0, g->data->ranks->bins[feature] - 1);
        count_many(g, g->rank[feature], light, c, cell);
    } else {
        count_few(g, g->rank[feature], c, cell);
    }
    c->below[0] = 0;
    uint32_t filled = 0;
    for (uint32_t b = 0; b < c->buckets; b++) {
        sum += light ? spread((uint32_t)cell[b]) : cell[b];
        filled += cell[b] != 0;
        c->below[b + 1] = sum;
    }
    return filled > 1 || c->at[0] != c->at[c->rows - 1] || varies(c);
}

static inline void keep(double v, uint64_t left, uint32_t last, uint32_t feature,
                        fr_cut *best)
{
    *best = (fr_cut){v, feature, last, 0, (uint32_t)left, (uint32_t)(left >> 32)};
}

// Cuts between buckets; those that part nothing divide 0 by 0 and compare as false.
static void weigh_buckets(coarse *c, uint32_t feature, fr_cut *best)
{
    for (uint32_t b = 0; b + 1 < c->buckets; b++) {
        c->score[b] = score_of(c->node, c->below[b + 1]);
    }
    for (uint32_t b = 0; b + 1 < c->buckets; b++) {
        if (c->score[b] > best->score) {
            keep(c->score[b], c->below[b + 1], c->low + ((b + 1) << c->shift) - 1,
                 feature, best);
        }
    }
}

// Marks the buckets with a cut that may be as good as the best; list gets them in order.
static uint32_t list_promising(const coarse *c, double best, uint16_t *slot,
                               uint16_t *list)
{
    uint32_t n = 0;
    memset(slot, 0, c->buckets * sizeof *slot);
    for (uint32_t b = 0; b < c->buckets; b++) {
        uint64_t from = c->below[b], cell = c->below[b + 1] - from;
        uint32_t positive = (uint32_t)(cell >> 32), weight = (uint32_t)cell;
        if (weight < 2) {
            continue;
        }
        uint64_t ones = (uint64_t)positive << 32 | positive;
        // 0 / 0, at either end of the node, is no bound and compares as false.
        double a = score_of(c->node, from + ones);
        double z = score_of(c->node, from + weight - positive);
        if (a * WITHIN >= best || z * WITHIN >= best) {
            list[n++] = (uint16_t)b;
            slot[b] = (uint16_t)n;
        }
    }
    return n;
}

// Counts the rows of the marked buckets by value, and weighs the cuts between values.
static void weigh_values(fr_grower *g, const coarse *c, const uint16_t *slot,
                         const uint16_t *list, uint32_t marked, uint32_t feature,
                         fr_cut *best)
{
    uint64_t *cell = g->fine, *used = g->used;
    uint32_t mask = (1U << c->shift) - 1;
    uint32_t *kept = g->list;
    size_t n = 0;
    for (size_t i = 0; i < c->rows; i++) {
        kept[n] = (uint32_t)i;
        n += slot[bucket_of(c, i)] != 0;
    }
    for (size_t k = 0; k < n; k++) {
        size_t i = kept[k];
        uint32_t local = c->at[i] - c->low;
        uint32_t v = (uint32_t)(slot[local >> c->shift] - 1) << c->shift | (local & mask);
        cell[v] += spread(packed(&c->sample[i]));
        used[v >> 6] |= 1ULL << (v & 63);
    }
    uint32_t at = UINT32_MAX;
    uint64_t left = 0;
    for (uint32_t w = 0; w <= ((marked << c->shift) - 1) >> 6; w++) {
        uint64_t word = used[w];
        used[w] = 0;
        for (; word != 0; word &= word - 1) {
            uint32_t v = w << 6 | (uint32_t)__builtin_ctzll(word);
            uint32_t b = list[v >> c->shift];
            left = (b == at ? left : c->below[b]) + cell[v];
            at = b;
            cell[v] = 0;
            double s = score_of(c->node, left);
            // Of equal cuts of a feature the first wins, as in a sweep over all values.
            if (s > best->score || (s == best->score && best->feature == feature &&
                                    (uint32_t)left < best->weight)) {
                keep(s, left, c->low + (b << c->shift) + (v & mask), feature, best);
            }
        }
    }
}

bool fr_grower_coarse(fr_grower *g, uint32_t feature, const fr_open_node *n, fr_cut *best)
{
    coarse c = {.node = n, .sample = g->samples + n->begin, .rows = n->end - n->begin};
    if (!count(g, feature, &c)) {
        return false;
    }
    weigh_buckets(&c, feature, best);
    if (c.shift > 0) {
        uint16_t slot[BUCKETS], list[BUCKETS];
        uint32_t marked = list_promising(&c, best->score, slot, list);
        if (marked > 0) {
            weigh_values(g, &c, slot, list, marked, feature, best);
        }
    }
    return true;
}
