#pragma once
// hash -- XXH3-128 for keys, caches and replay; SHA-256 for files and audit. Any thread.

#include "core/base/base.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct fr_hash {
    uint64_t lo, hi;         // all zero means "none"
} fr_hash;

typedef struct fr_hasher fr_hasher;   // streaming state, owned by one thread

fr_hash fr_hash_bytes(const void *bytes, size_t n);
fr_hash fr_hash_str(const char *s);
fr_hash fr_hash_pair(fr_hash a, fr_hash b);              // order matters
fr_hash fr_hash_mix(fr_hash a, uint64_t n);
static inline bool fr_hash_eq(fr_hash a, fr_hash b)
{
    return a.lo == b.lo && a.hi == b.hi;
}
static inline bool fr_hash_is_zero(fr_hash a)
{
    return (a.lo | a.hi) == 0;
}
enum { FR_HASH_TEXT = 33 };                              // 32 hex digits and a NUL
void fr_hash_text(fr_hash h, char out[FR_HASH_TEXT]);
bool fr_hash_parse(const char *text, size_t n, fr_hash *out);
void fr_hash_store(fr_hash h, uint8_t out[16]);          // canonical 16 bytes
fr_hash fr_hash_load(const uint8_t in[16]);

fr_hasher *fr_hasher_new(void);
void fr_hasher_free(fr_hasher *h);
void fr_hasher_put(fr_hasher *h, const void *bytes, size_t n);
fr_hash fr_hasher_end(fr_hasher *h);                     // may go on putting afterwards

enum { FR_SHA256_SIZE = 32, FR_SHA256_TEXT = 65 };
void fr_sha256(const void *bytes, size_t n, uint8_t out[FR_SHA256_SIZE]);
typedef struct fr_sha256_state {
    uint64_t opaque[16];
} fr_sha256_state;
void fr_sha256_begin(fr_sha256_state *s);
void fr_sha256_put(fr_sha256_state *s, const void *bytes, size_t n);
void fr_sha256_end(fr_sha256_state *s, uint8_t out[FR_SHA256_SIZE]);
void fr_sha256_text(const uint8_t sum[FR_SHA256_SIZE], char out[FR_SHA256_TEXT]);
