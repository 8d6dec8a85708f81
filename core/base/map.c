#include "core/base/map.h"

#include "core/base/mem.h"

void fr_map_init(fr_map *m)
{
    *m = (fr_map){0};
}

void fr_map_fini(fr_map *m)
{
    fr_free(m->slots);
    *m = (fr_map){0};
}

static fr_map_slot *probe(fr_map_slot *slots, size_t capacity, fr_hash key)
{
    size_t mask = capacity - 1;
    for (size_t i = (size_t)key.lo & mask;; i = (i + 1) & mask) {
        if (fr_hash_is_zero(slots[i].key) || fr_hash_eq(slots[i].key, key)) {
            return &slots[i];
        }
    }
}

static void resize(fr_map *m, size_t capacity)
{
    fr_map_slot *slots = fr_zalloc(capacity * sizeof *slots);
    for (size_t i = 0; i < m->capacity; i++) {
        if (!fr_hash_is_zero(m->slots[i].key)) {
            *probe(slots, capacity, m->slots[i].key) = m->slots[i];
        }
    }
    fr_free(m->slots);
    m->slots = slots;
    m->capacity = capacity;
}

void fr_map_reserve(fr_map *m, size_t n)
{
    size_t capacity = FR_MAX(m->capacity, 16);
    while (n * 4 > capacity * 3) {
        capacity *= 2;
    }
    if (capacity != m->capacity) {
        resize(m, capacity);
    }
}

uint64_t *fr_map_find(const fr_map *m, fr_hash key)
{
    if (m->capacity == 0) {
        return NULL;
    }
    fr_map_slot *s = probe(m->slots, m->capacity, key);
    return fr_hash_is_zero(s->key) ? NULL : &s->value;
}

uint64_t *fr_map_put(fr_map *m, fr_hash key, bool *fresh)
{
    FR_ASSERT(!fr_hash_is_zero(key));
    fr_map_reserve(m, m->count + 1);
    fr_map_slot *s = probe(m->slots, m->capacity, key);
    bool added = fr_hash_is_zero(s->key);
    if (added) {
        *s = (fr_map_slot){.key = key};
        m->count++;
    }
    if (fresh != NULL) {
        *fresh = added;
    }
    return &s->value;
}

bool fr_map_remove(fr_map *m, fr_hash key)
{
    if (m->capacity == 0) {
        return false;
    }
    fr_map_slot *s = probe(m->slots, m->capacity, key);
    if (fr_hash_is_zero(s->key)) {
        return false;
    }
    // Close the gap so that probing never needs tombstones.
    size_t mask = m->capacity - 1, hole = (size_t)(s - m->slots);
    for (size_t i = (hole + 1) & mask; !fr_hash_is_zero(m->slots[i].key); i = (i + 1) & mask) {
        size_t home = (size_t)m->slots[i].key.lo & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (fr_map_slot){0};
    m->count--;
    return true;
}
