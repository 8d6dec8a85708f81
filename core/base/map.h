#pragma once
// map -- fr_hash -> uint64, open addressing. Owned by one thread; embed it in place.
// Keys are hashes already, so their low bits are the slot. The zero hash is not a key.

#include "core/base/hash.h"

typedef struct fr_map_slot {
    fr_hash key;
    uint64_t value;
} fr_map_slot;

typedef struct fr_map {
    fr_map_slot *slots;
    size_t count, capacity;  // capacity is a power of two or 0
} fr_map;

void fr_map_init(fr_map *m);
void fr_map_fini(fr_map *m);
void fr_map_reserve(fr_map *m, size_t n);
uint64_t *fr_map_find(const fr_map *m, fr_hash key);     // NULL when absent; valid until a put
// Finds the key or inserts it with value 0; *fresh tells which. Valid until the next put.
uint64_t *fr_map_put(fr_map *m, fr_hash key, bool *fresh);
bool fr_map_remove(fr_map *m, fr_hash key);
