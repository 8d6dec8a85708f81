#include "core/base/hash.h"

// The plain functions need no set-up; SHA256() first reads openssl.cnf and loads providers,
// a third of a cold start.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <string.h>
#include <xxhash.h>

static fr_hash from_xxh(XXH128_hash_t h)
{
    return (fr_hash){.lo = h.low64, .hi = h.high64};
}

fr_hash fr_hash_bytes(const void *bytes, size_t n)
{
    return from_xxh(XXH3_128bits(n > 0 ? bytes : "", n));
}

fr_hash fr_hash_str(const char *s)
{
    return fr_hash_bytes(s, strlen(s));
}

fr_hash fr_hash_pair(fr_hash a, fr_hash b)
{
    uint8_t x[32];
    fr_hash_store(a, x);
    fr_hash_store(b, x + 16);
    return fr_hash_bytes(x, sizeof x);
}

fr_hash fr_hash_mix(fr_hash a, uint64_t n)
{
    return fr_hash_pair(a, (fr_hash){.lo = n, .hi = 0x666c6f7772756eULL});
}

void fr_hash_store(fr_hash h, uint8_t out[16])
{
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)(h.hi >> (56 - 8 * i));
        out[8 + i] = (uint8_t)(h.lo >> (56 - 8 * i));
    }
}

fr_hash fr_hash_load(const uint8_t in[16])
{
    fr_hash h = {0};
    for (int i = 0; i < 8; i++) {
        h.hi = h.hi << 8 | in[i];
        h.lo = h.lo << 8 | in[8 + i];
    }
    return h;
}

static void hex(const uint8_t *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

void fr_hash_text(fr_hash h, char out[FR_HASH_TEXT])
{
    uint8_t b[16];
    fr_hash_store(h, b);
    hex(b, sizeof b, out);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool fr_hash_parse(const char *text, size_t n, fr_hash *out)
{
    uint8_t b[16];
    if (n != 32) {
        return false;
    }
    for (size_t i = 0; i < 16; i++) {
        int hi = digit(text[2 * i]), lo = digit(text[2 * i + 1]);
        if (hi < 0 || lo < 0) {
            return false;
        }
        b[i] = (uint8_t)(hi << 4 | lo);
    }
    *out = fr_hash_load(b);
    return true;
}

fr_hasher *fr_hasher_new(void)
{
    XXH3_state_t *s = XXH3_createState();
    FR_ASSERT(s != NULL);
    (void)XXH3_128bits_reset(s);
    return (fr_hasher *)s;
}

void fr_hasher_free(fr_hasher *h)
{
    if (h != NULL) {
        (void)XXH3_freeState((XXH3_state_t *)h);
    }
}

void fr_hasher_put(fr_hasher *h, const void *bytes, size_t n)
{
    (void)XXH3_128bits_update((XXH3_state_t *)h, bytes, n);
}

fr_hash fr_hasher_end(fr_hasher *h)
{
    return from_xxh(XXH3_128bits_digest((const XXH3_state_t *)h));
}

_Static_assert(sizeof(SHA256_CTX) <= sizeof(fr_sha256_state), "room for libcrypto's state");

void fr_sha256_begin(fr_sha256_state *s) { (void)SHA256_Init((SHA256_CTX *)(void *)s); }

void fr_sha256_put(fr_sha256_state *s, const void *bytes, size_t n)
{
    (void)SHA256_Update((SHA256_CTX *)(void *)s, bytes, n);
}

void fr_sha256_end(fr_sha256_state *s, uint8_t out[FR_SHA256_SIZE])
{
    (void)SHA256_Final(out, (SHA256_CTX *)(void *)s);
}

void fr_sha256(const void *bytes, size_t n, uint8_t out[FR_SHA256_SIZE])
{
    fr_sha256_state s;
    fr_sha256_begin(&s);
    fr_sha256_put(&s, bytes, n);
    fr_sha256_end(&s, out);
}

void fr_sha256_text(const uint8_t sum[FR_SHA256_SIZE], char out[FR_SHA256_TEXT])
{
    hex(sum, FR_SHA256_SIZE, out);
}
