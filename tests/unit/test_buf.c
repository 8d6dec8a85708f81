#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/rand.h"
#include "tests/unit/check.h"

static void what_is_put_is_read(void)
{
    static const uint64_t varints[] = {0,     1,          127,        128,       16383,
                                       16384, UINT32_MAX, 1ULL << 62, UINT64_MAX};
    fr_buf b;
    fr_buf_init(&b, 1000);
    fr_buf_put_u8(&b, 200);
    fr_buf_put_u32(&b, 0xdeadbeef);
    fr_buf_put_u64(&b, 0x0123456789abcdef);
    for (size_t i = 0; i < FR_COUNT(varints); i++) {
        fr_buf_put_varint(&b, varints[i]);
    }
    fr_buf_put_str(&b, "storm");
    CHECK_INT(fr_buf_check(&b, NULL), FR_OK);
    fr_reader r = fr_reader_of(b.data, b.size);
    CHECK_INT(fr_read_u8(&r), 200);
    CHECK_INT(fr_read_u32(&r), 0xdeadbeef);
    CHECK(fr_read_u64(&r) == 0x0123456789abcdef);
    for (size_t i = 0; i < FR_COUNT(varints); i++) {
        CHECK(fr_read_varint(&r) == varints[i]);
    }
    const uint8_t *s = fr_read_bytes(&r, 5);
    CHECK(s != NULL && memcmp(s, "storm", 5) == 0);
    CHECK(r.at == r.end && !r.failed);
    fr_buf_fini(&b);
}

static void numbers_are_little_endian(void)
{
    fr_buf b;
    fr_buf_init(&b, 100);
    fr_buf_put_u32(&b, 1);
    fr_buf_put_u64(&b, 2);
    fr_buf_put_varint(&b, 300);
    static const uint8_t want[] = {1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xac, 2};
    CHECK_INT(b.size, sizeof want);
    CHECK(memcmp(b.data, want, sizeof want) == 0);
    fr_buf_fini(&b);
}

static void the_maximum_holds_and_failure_is_sticky(void)
{
    fr_buf b;
    fr_buf_init(&b, 8);
    fr_buf_put_u64(&b, 1);
    CHECK_INT(fr_buf_check(&b, NULL), FR_OK);           // exactly full is fine
    fr_buf_put_u8(&b, 1);
    fr_err e = FR_ERR_INIT;
    CHECK_INT(fr_buf_check(&b, &e), FR_ELIMIT);
    CHECK_STR(e.text, "more than 8 bytes");
    CHECK_INT(b.size, 8);
    fr_buf_clear(&b);
    CHECK_INT(fr_buf_check(&b, NULL), FR_OK);
    fr_buf_put_u32(&b, 1);
    fr_buf_put_u64(&b, 1);                              // does not fit
    fr_buf_put_u8(&b, 1);                               // would fit, but comes too late
    CHECK_INT(b.size, 4);
    CHECK_INT(fr_buf_reserve(&b, SIZE_MAX, NULL), FR_ELIMIT);
    fr_buf_fini(&b);
}

static void a_varint_may_fill_the_last_byte(void)
{
    fr_buf b;
    fr_buf_init(&b, 3);
    fr_buf_put_varint(&b, 1);
    fr_buf_put_varint(&b, 300);
    CHECK_INT(fr_buf_check(&b, NULL), FR_OK);
    CHECK_INT(b.size, 3);
    fr_buf_put_varint(&b, 1);
    CHECK_INT(fr_buf_check(&b, NULL), FR_ELIMIT);
    fr_buf_fini(&b);
}

static void text_is_terminated_also_when_full(void)
{
    fr_buf b;
    fr_buf_init(&b, 5);
    CHECK_STR(fr_buf_text(&b), "");
    fr_buf_put_str(&b, "12345");
    CHECK_STR(fr_buf_text(&b), "12345");
    fr_buf_fini(&b);
    fr_buf_init(&b, 100);
    fr_buf_printf(&b, "%d of %s", 3, "four");
    fr_buf_printf(&b, "%s", "");
    CHECK_STR(fr_buf_text(&b), "3 of four");
    size_t n;
    uint8_t *taken = fr_buf_take(&b, &n);
    CHECK_INT(n, 9);
    CHECK(b.data == NULL && b.size == 0);
    fr_free(taken);
    fr_buf_fini(&b);
}

static void a_reader_never_passes_the_end(void)
{
    static const uint8_t bytes[] = {1, 2, 3};
    fr_reader r = fr_reader_of(bytes, sizeof bytes);
    CHECK_INT(fr_read_u32(&r), 0);
    CHECK(r.failed);
    CHECK_INT(fr_read_u8(&r), 0);                       // sticky, though bytes are left
    r = fr_reader_of(bytes, sizeof bytes);
    CHECK(fr_read_bytes(&r, SIZE_MAX) == NULL);
    r = fr_reader_of(bytes, sizeof bytes);
    CHECK(fr_read_bytes(&r, 3) == bytes && !r.failed);
    CHECK(fr_read_bytes(&r, 0) != NULL && !r.failed);   // nothing is always there
    r = fr_reader_of(NULL, 0);
    CHECK_INT(fr_read_u8(&r), 0);
    CHECK(r.failed);
}

static bool varint_fails(const char *bytes, size_t n)
{
    fr_reader r = fr_reader_of(bytes, n);
    return fr_read_varint(&r) == 0 && r.failed;
}

static void only_the_shortest_varints_are_read(void)
{
    CHECK(varint_fails("", 0));
    CHECK(varint_fails("\x80", 1));                     // goes on beyond the end
    CHECK(varint_fails("\x80\x00", 2));                 // 0 in two bytes
    CHECK(varint_fails("\xff\x80\x00", 3));
    CHECK(varint_fails("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10));   // 65 bits
    CHECK(varint_fails("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11));
    CHECK(!varint_fails("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10));
}

static void random_bytes_are_survived(void)
{
    fr_rand rand;
    fr_rand_init(&rand, 7, 0);
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[24];
        size_t n = fr_rand_below(&rand, sizeof bytes + 1);
        for (size_t i = 0; i < n; i++) {
            bytes[i] = (uint8_t)fr_rand_u32(&rand);
        }
        fr_reader r = fr_reader_of(bytes, n);
        while (!r.failed) {
            const uint8_t *before = r.at;
            switch (fr_rand_below(&rand, 4)) {
            case 0:
                (void)fr_read_varint(&r);
                break;
            case 1:
                (void)fr_read_u32(&r);
                break;
            case 2:
                (void)fr_read_u64(&r);
                break;
            default:
                (void)fr_read_bytes(&r, fr_rand_u64(&rand) >> fr_rand_below(&rand, 64));
            }
            FR_ASSERT(r.at >= before && r.at <= r.end);
        }
        CHECK(r.at <= bytes + n);
    }
}

int main(void)
{
    CASE(what_is_put_is_read);
    CASE(numbers_are_little_endian);
    CASE(the_maximum_holds_and_failure_is_sticky);
    CASE(a_varint_may_fill_the_last_byte);
    CASE(text_is_terminated_also_when_full);
    CASE(a_reader_never_passes_the_end);
    CASE(only_the_shortest_varints_are_read);
    CASE(random_bytes_are_survived);
    return check_end();
}
