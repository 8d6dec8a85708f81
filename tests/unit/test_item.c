#include "core/engine/item.h"
#include "tests/unit/check.h"

static const fr_item_done samples[] = {
    {.index = 0, .attempt = 1, .value = (const uint8_t *)"\3\2", .size = 2},
    {.index = 4294967295u, .flags = FR_ITEM_FAILED, .attempt = 7, .start_us = UINT64_MAX,
     .duration_us = 1ULL << 40, .args = {1, 2}, .duplicate = 4294967295u,
     .log_offset = 1ULL << 63, .value = (const uint8_t *)"", .size = 0},
    {.index = 128, .flags = FR_ITEM_DEGRADED, .attempt = 2, .start_us = 127,
     .duration_us = 128, .args = {UINT64_MAX, 0}, .duplicate = 1, .log_offset = 300,
     .value = (const uint8_t *)"abc", .size = 3},
};

static void pack(fr_buf *b)
{
    fr_buf_init(b, 1 << 20);
    for (size_t i = 0; i < FR_COUNT(samples); i++) {
        fr_item_put(b, &samples[i]);
    }
}

static void items_read_back_as_written(void)
{
    fr_buf b;
    pack(&b);
    fr_reader r = fr_reader_of(b.data, b.size);
    fr_item_done got;
    for (size_t i = 0; i < FR_COUNT(samples); i++) {
        const fr_item_done *s = &samples[i];
        CHECK(fr_item_next(&r, &got));
        CHECK(got.index == s->index && got.flags == s->flags && got.attempt == s->attempt);
        CHECK(got.start_us == s->start_us && got.duration_us == s->duration_us);
        CHECK(fr_hash_eq(got.args, s->args) && got.duplicate == s->duplicate);
        CHECK(got.log_offset == s->log_offset && got.size == s->size);
        CHECK(got.size == s->size && memcmp(got.value, s->value, s->size) == 0);
    }
    CHECK(!fr_item_next(&r, &got));
    CHECK(!r.failed);
    fr_buf_fini(&b);
}

static void cut_bytes_are_damage_not_a_crash(void)
{
    fr_buf b;
    pack(&b);
    size_t boundaries = 0;
    for (size_t n = 0; n < b.size; n++) {
        fr_reader r = fr_reader_of(b.data, n);
        fr_item_done got;
        while (fr_item_next(&r, &got)) {
            CHECK(got.size <= n);
        }
        boundaries += !r.failed;
    }
    CHECK_INT(boundaries, FR_COUNT(samples));   // empty, and after each item but the last
    fr_buf_fini(&b);
}

static void an_index_over_32_bits_is_damage(void)
{
    static const uint8_t bytes[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    fr_reader r = fr_reader_of(bytes, sizeof bytes);
    fr_item_done got;
    CHECK(!fr_item_next(&r, &got));
    CHECK(r.failed);
}

static void keys_differ_by_map_arguments_and_duplicate(void)
{
    fr_hash m = {1, 2}, a = {3, 4};
    fr_hash k = fr_item_key(m, a, 0);
    CHECK(fr_hash_eq(k, fr_item_key(m, a, 0)));
    CHECK(!fr_hash_eq(k, fr_item_key(m, a, 1)));
    CHECK(!fr_hash_eq(k, fr_item_key(a, m, 0)));
}

int main(void)
{
    CASE(items_read_back_as_written);
    CASE(cut_bytes_are_damage_not_a_crash);
    CASE(an_index_over_32_bits_is_damage);
    CASE(keys_differ_by_map_arguments_and_duplicate);
    return check_end();
}
