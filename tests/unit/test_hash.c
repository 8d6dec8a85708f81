#include "core/base/hash.h"
#include "tests/unit/check.h"

static const char *text_of(fr_hash h)
{
    static char text[FR_HASH_TEXT];
    fr_hash_text(h, text);
    return text;
}

// xxHash's own command says the same: xxhsum -H2.
static void xxh3_gives_the_published_sums(void)
{
    CHECK_STR(text_of(fr_hash_bytes(NULL, 0)), "99aa06d3014798d86001c324468d497f");
    CHECK_STR(text_of(fr_hash_str("abc")), "06b05ab6733a618578af5f94892f3950");
}

static void streaming_gives_the_same_sum(void)
{
    char bytes[5000];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 7);
    }
    fr_hasher *h = fr_hasher_new();
    for (size_t at = 0, n = 1; at < sizeof bytes; at += n, n = n * 2 + 1) {
        fr_hasher_put(h, bytes + at, at + n < sizeof bytes ? n : sizeof bytes - at);
    }
    CHECK(fr_hash_eq(fr_hasher_end(h), fr_hash_bytes(bytes, sizeof bytes)));
    fr_hasher_put(h, "x", 1);
    CHECK(!fr_hash_eq(fr_hasher_end(h), fr_hash_bytes(bytes, sizeof bytes)));
    fr_hasher_free(h);
    fr_hasher_free(NULL);
}

static void pairs_depend_on_order(void)
{
    fr_hash a = fr_hash_str("a"), b = fr_hash_str("b");
    CHECK(!fr_hash_eq(fr_hash_pair(a, b), fr_hash_pair(b, a)));
    CHECK(!fr_hash_eq(fr_hash_mix(a, 1), fr_hash_mix(a, 2)));
    CHECK(fr_hash_eq(fr_hash_mix(a, 1), fr_hash_mix(a, 1)));
    CHECK(fr_hash_is_zero((fr_hash){0}) && !fr_hash_is_zero(a));
}

static void text_and_bytes_come_back(void)
{
    fr_hash h = fr_hash_str("flow"), back = {0};
    CHECK(fr_hash_parse(text_of(h), 32, &back) && fr_hash_eq(h, back));
    uint8_t bytes[16];
    fr_hash_store(h, bytes);
    CHECK(fr_hash_eq(fr_hash_load(bytes), h));
    CHECK_INT(bytes[0], (int)(h.hi >> 56));
    CHECK(!fr_hash_parse(text_of(h), 31, &back));
    CHECK(!fr_hash_parse("06B05AB6733A618578AF5F94892F3950", 32, &back));
    CHECK(!fr_hash_parse("06b05ab6733a618578af5f94892f395g", 32, &back));
}

static void sha256_gives_the_sums_of_fips_180(void)
{
    uint8_t sum[FR_SHA256_SIZE];
    char text[FR_SHA256_TEXT];
    fr_sha256("abc", 3, sum);
    fr_sha256_text(sum, text);
    CHECK_STR(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    fr_sha256_state state;
    fr_sha256_begin(&state);
    fr_sha256_put(&state, "a", 1);
    fr_sha256_put(&state, "bc", 2);
    fr_sha256_end(&state, sum);
    fr_sha256_text(sum, text);
    CHECK_STR(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    fr_sha256("", 0, sum);
    fr_sha256_text(sum, text);
    CHECK_STR(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

int main(void)
{
    CASE(xxh3_gives_the_published_sums);
    CASE(streaming_gives_the_same_sum);
    CASE(pairs_depend_on_order);
    CASE(text_and_bytes_come_back);
    CASE(sha256_gives_the_sums_of_fips_180);
    return check_end();
}
