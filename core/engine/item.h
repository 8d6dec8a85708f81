#pragma once
// item -- one finished item of a mapped task, packed. The same bytes travel from the worker
// to the scheduler, into map_part rows, and back on resume; a map is never N rows.
//
//   varint index · u8 flags · varint attempt · varint start (us after the map was queued)
//   varint duration (us) · 16 bytes args hash · varint duplicate · varint log offset
//   varint length, packed value (result; error when FAILED; why when SKIPPED)
//
// Items whose result refers to objects (frames …) are not packed by workers: their map runs
// item by item and each result travels as an fr_value (fr_done.result with n_items = 1).

#include "core/base/buf.h"
#include "core/base/hash.h"

enum {
    FR_ITEM_FAILED = 1, FR_ITEM_DEGRADED = 2, FR_ITEM_CANCELLED = 4, FR_ITEM_CACHED = 8,
    FR_ITEM_SKIPPED = 16,
    FR_ITEM_OBJECT = 32,     // in memory only: its result has a record of its own; loaded from
};                           // the log: args is the item's key

typedef struct fr_item_done {
    uint32_t index;          // from 0
    uint8_t flags;
    uint32_t attempt;
    uint64_t start_us, duration_us;
    fr_hash args;
    uint32_t duplicate;      // n-th item with these arguments, from 0
    uint64_t log_offset;
    const uint8_t *value;    // packed
    size_t size;
} fr_item_done;

void fr_item_put(fr_buf *b, const fr_item_done *item);
bool fr_item_next(fr_reader *r, fr_item_done *out);   // false at the end or on damage
// Key of an item: hash of the map's key, the item's arguments and the duplicate counter.
fr_hash fr_item_key(fr_hash map, fr_hash args, uint32_t duplicate);
