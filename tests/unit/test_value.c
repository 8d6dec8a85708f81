#include "check.h"
#include "core/base/mem.h"
#include "core/data/value.h"

#include <stdlib.h>

// A fake object: its content is one byte.
typedef struct thing {
    fr_object object;
    uint8_t content;
    int *alive;
} thing;

static void thing_destroy(fr_object *o)
{
    thing *t = (thing *)(void *)o;
    --*t->alive;
    fr_free(t);
}
static fr_hash thing_hash(const fr_object *o)
{
    return fr_hash_bytes(&((const thing *)(const void *)o)->content, 1);
}
static size_t thing_size(const fr_object *o)
{
    (void)o;
    return 1;
}
static const fr_object_ops thing_ops = {.name = "thing",
                                        .kind = 9,
                                        .destroy = thing_destroy,
                                        .hash = thing_hash,
                                        .size = thing_size};

static fr_object *thing_new(uint8_t content, int *alive)
{
    thing *t = fr_alloc(sizeof *t);
    fr_object_init(&t->object, &thing_ops);
    t->content = content;
    t->alive = alive;
    ++*alive;
    return &t->object;
}

static void put_ref(fr_buf *b, fr_object *o, uint64_t index)
{
    uint8_t hash[16];
    fr_hash_store(o->ops->hash(o), hash);
    fr_buf_put_u8(b, FR_REF);
    fr_buf_put_u8(b, o->ops->kind);
    fr_buf_put(b, hash, sizeof hash);
    fr_buf_put_varint(b, index);
}

static void scalars_have_golden_bytes(void)
{
    fr_buf b;
    fr_buf_init(&b, 1 << 16);
    fr_value_put_nil(&b);
    fr_value_put_bool(&b, false);
    fr_value_put_bool(&b, true);
    fr_value_put_int(&b, 0);
    fr_value_put_int(&b, -1);
    fr_value_put_int(&b, 64);
    fr_value_put_int(&b, INT64_MIN);
    fr_value_put_int(&b, INT64_MAX);
    fr_value_put_double(&b, 1.0);
    fr_value_put_double(&b, -NAN);
    fr_value_put_string(&b, "ab", 2);
    static const uint8_t want[] = {0,    1,    2,    3,    0,    3,    1,    3,    0x80,
                                   1,    3,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 1,    3,    0xfe, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 0xff, 0xff, 1,    4,    0,    0,    0,
                                   0,    0,    0,    0xf0, 0x3f, 4,    0,    0,    0,
                                   0,    0,    0,    0xf8, 0x7f, 5,    2,    'a',  'b'};
    CHECK_INT(b.size, sizeof want);
    CHECK(memcmp(b.data, want, sizeof want) == 0);
    fr_buf_fini(&b);
}

static void numbers_come_back_exactly(void)
{
    static const int64_t ints[] = {
        0, 1, -1, 63, 64, -64, -65, 1LL << 53, (1LL << 53) + 1, INT64_MIN, INT64_MAX};
    static const double doubles[] = {0.0,      -0.0,     0.1,       1e308,
                                     4.9e-324, INFINITY, -INFINITY, 2.0};
    fr_buf b;
    fr_buf_init(&b, 1 << 16);
    for (size_t i = 0; i < FR_COUNT(ints); i++) {
        fr_value_put_int(&b, ints[i]);
    }
    for (size_t i = 0; i < FR_COUNT(doubles); i++) {
        fr_value_put_double(&b, doubles[i]);
    }
    fr_value_put_double(&b, NAN);
    fr_reader r = fr_reader_of(b.data, b.size);
    fr_item item;
    for (size_t i = 0; i < FR_COUNT(ints); i++) {
        CHECK(fr_value_next(&r, &item) && item.tag == FR_INT);
        CHECK(item.integer == ints[i]);
    }
    for (size_t i = 0; i < FR_COUNT(doubles); i++) {
        CHECK(fr_value_next(&r, &item) && item.tag == FR_DOUBLE);
        CHECK(memcmp(&item.number, &doubles[i], sizeof(double)) == 0);
    }
    CHECK(fr_value_next(&r, &item) && isnan(item.number));
    CHECK(!fr_value_next(&r, &item) && !r.failed);
    fr_buf_fini(&b);
}

// {10, 20, [-3] = true, [0.5] = 1, a = "x", ab = nil-free, [false] = 2, [true] = 3}
static const uint8_t sample[] = {6, 2,   3,   20,   3,    40, 6, 3, 5, 2,   4, 0, 0,   0,
                                 0, 0,   0,   0xe0, 0x3f, 3,  2, 5, 1, 'a', 5, 1, 'x', 5,
                                 2, 'a', 'b', 6,    0,    0,  1, 3, 4, 2,   3, 6};

static void a_table_parses_walks_and_prints(void)
{
    fr_value *v = NULL;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_value_parse(sample, sizeof sample, NULL, 0, &v, &err), FR_OK);
    CHECK_STR(err.text, "");
    if (v == NULL) {
        return;
    }
    CHECK(fr_hash_eq(v->hash, fr_hash_bytes(sample, sizeof sample)));
    fr_reader r = fr_reader_of(v->bytes, v->size);
    CHECK(fr_value_skip(&r) && r.at == r.end);
    fr_buf b;
    fr_buf_init(&b, 1 << 16);
    fr_value_json(v, &b, 1000);
    CHECK_STR(fr_buf_text(&b),
              "{\"1\":10,\"2\":20,\"-3\":true,\"0.5\":1,\"a\":\"x\",\"ab\":[],"
              "\"false\":2,\"true\":3}");
    fr_buf_clear(&b);
    fr_value_json(v, &b, 10);
    CHECK_STR(fr_buf_text(&b), "{\"1\":10...");
    fr_value *again = fr_value_ref(v);
    fr_value_unref(v);
    CHECK_INT(again->size, sizeof sample);
    fr_value_unref(again);
    fr_value_unref(NULL);
    fr_buf_fini(&b);
}

static void json_is_exact_and_valid(void)
{
    static const struct {
        double x;
        const char *want;
    } cases[] = {{0.1, "0.1"},    {1.0, "1.0"},
                 {1e21, "1e+21"}, {0.30000000000000004, "0.30000000000000004"},
                 {-0.0, "-0.0"},  {1.0 / 3.0, "0.3333333333333333"}};
    fr_buf b;
    fr_buf_init(&b, 1 << 16);
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        fr_buf_clear(&b);
        fr_value_put_double(&b, cases[i].x);
        fr_value *v = fr_value_new(b.data, b.size, NULL, 0);
        fr_buf_clear(&b);
        fr_value_json(v, &b, 100);
        CHECK_STR(fr_buf_text(&b), cases[i].want);
        fr_value_unref(v);
    }
    fr_value *v = fr_value_text("a\"\\\n\x01\xff\xc3\xa9\xed\xa0\x80", 11);
    fr_buf_clear(&b);
    fr_value_json(v, &b, 100);
    CHECK_STR(fr_buf_text(&b),
              "\"a\\\"\\\\\\n\\u0001\\ufffd\xc3\xa9\\ufffd\\ufffd\\ufffd\"");
    fr_value_unref(v);
    fr_buf_fini(&b);
}

static void constants_are_values(void)
{
    fr_value *nil = fr_value_nil(), *seven = fr_value_int(7),
             *text = fr_value_text("", 0);
    CHECK_INT(nil->size, 1);
    CHECK_INT(seven->bytes[1], 14);
    CHECK_INT(text->size, 2);
    CHECK(!fr_hash_eq(nil->hash, text->hash));
    fr_value_unref(nil);
    fr_value_unref(seven);
    fr_value_unref(text);
}

// --- hostile bytes ---

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static void hostile_bytes_are_refused_with_the_place(void)
{
    const struct {
        const uint8_t *bytes;
        size_t size;
        const char *says;
    } cases[] = {
        {BYTES(10), "unknown tag, wrong number or too few bytes at byte 0"},
        {BYTES(255), "unknown tag"},
        {BYTES(3), "too few bytes at byte 0"},
        {BYTES(3, 0x80), "too few bytes"},
        {BYTES(3, 0x80, 0), "wrong number"},
        {BYTES(3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2),
         "wrong number"},
        {BYTES(4, 0, 0, 0), "too few bytes"},
        {BYTES(4, 1, 0, 0, 0, 0, 0, 0xf8, 0x7f), "wrong number"},
        {BYTES(4, 0, 0, 0, 0, 0, 0, 0xf8, 0xff), "wrong number"},
        {BYTES(5, 3, 'a', 'b'), "too few bytes"},
        {BYTES(5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), "too few"},
        {BYTES(6, 0xff, 0xff, 0xff, 0x7f), "too few bytes at byte 0"},
        {BYTES(6, 1, 2), "a count of pairs is wrong at byte 3"},
        {BYTES(6, 0, 0xff, 0xff, 0x7f), "a count of pairs is wrong"},
        {BYTES(6, 0, 1, 5, 1, 'a', 0), "a nil inside a table at byte 6"},
        {BYTES(6, 1, 6, 1, 0, 0, 0), "a nil inside a table at byte 4"},
        {BYTES(6, 0, 2, 5, 1, 'b', 1, 5, 1, 'a', 1), "keys are not in order at byte 7"},
        {BYTES(6, 0, 2, 5, 1, 'a', 1, 5, 1, 'a', 1), "keys are not in order"},
        {BYTES(6, 0, 2, 2, 1, 1, 1), "keys are not in order"},
        {BYTES(6, 0, 2, 5, 1, 'a', 1, 3, 9, 1), "keys are not in order"},
        {BYTES(6, 0, 1, 3, 2, 1), "a key belongs into the array part at byte 3"},
        {BYTES(6, 1, 1, 1, 3, 4, 1), "a key belongs into the array part"},
        {BYTES(6, 0, 1, 4, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 1), "NaN or a whole number"},
        {BYTES(6, 0, 1, 4, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f, 1), "NaN or a whole number"},
        {BYTES(6, 0, 1, 6, 0, 0, 1), "neither number, string nor boolean"},
        {BYTES(6, 0, 1, 0, 1), "neither number"},
        {BYTES(6, 0, 1, 8, 0, 1), "neither number"},
        {BYTES(7, 1), "too few bytes"},
        {BYTES(7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), "object index"},
        {BYTES(8, 1), "a handle index is out of order"},
        {BYTES(1, 1), "more bytes than the value at byte 1"},
    };
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        fr_value *v = NULL;
        fr_err err = FR_ERR_INIT;
        int rc = fr_value_parse(cases[i].bytes, cases[i].size, NULL, 0, &v, &err);
        CHECK_INT(rc, FR_ECORRUPT);
        CHECK(v == NULL);
        if (strstr(err.text, cases[i].says) == NULL) {
            CHECK_STR(err.text, cases[i].says);
        }
    }
    fr_value *v = NULL;
    CHECK_INT(fr_value_parse("", 0, NULL, 0, &v, NULL), FR_ECORRUPT);
}

static void an_argument_list_may_hold_nils(void)
{
    static const uint8_t bytes[] = {6, 3, 0, 3, 2, 0, 0};
    fr_value *v = NULL;
    CHECK_INT(fr_value_parse(bytes, sizeof bytes, NULL, 0, &v, NULL), FR_OK);
    fr_value_unref(v);
}

static void depth_is_limited(void)
{
    for (int depth = FR_VALUE_DEPTH; depth <= FR_VALUE_DEPTH + 1; depth++) {
        fr_buf b;
        fr_buf_init(&b, 1 << 16);
        for (int i = 1; i < depth; i++) {
            fr_buf_put(&b, "\6\1", 2);
        }
        fr_buf_put(&b, "\6\0", 2);
        for (int i = 0; i < depth; i++) {
            fr_buf_put_u8(&b, 0);
        }
        fr_value *v = NULL;
        fr_err err = FR_ERR_INIT;
        int rc = fr_value_parse(b.data, b.size, NULL, 0, &v, &err);
        CHECK_INT(rc, depth <= FR_VALUE_DEPTH ? FR_OK : FR_ECORRUPT);
        fr_value_unref(v);
        fr_reader r = fr_reader_of(b.data, b.size);
        CHECK(fr_value_skip(&r) == (depth <= FR_VALUE_DEPTH));
        fr_buf_fini(&b);
    }
}

// Every single-byte change and every cut of a good value is refused or again canonical.
static void damage_never_crashes(void)
{
    uint8_t bytes[sizeof sample];
    int refused = 0;
    for (size_t i = 0; i < sizeof sample; i++) {
        for (int c = 0; c < 256; c++) {
            memcpy(bytes, sample, sizeof bytes);
            bytes[i] = (uint8_t)c;
            fr_value *v = NULL;
            refused += fr_value_parse(bytes, sizeof bytes, NULL, 0, &v, NULL) != FR_OK;
            fr_value_unref(v);
        }
        fr_value *v = NULL;
        CHECK_INT(fr_value_parse(sample, i, NULL, 0, &v, NULL), FR_ECORRUPT);
    }
    CHECK(refused > 1000);
}

// --- objects and handles ---

static void count_ref(void *ctx, uint8_t kind, fr_hash hash)
{
    (void)hash;
    *(int *)ctx += kind == 9;
}

static void objects_are_held_and_checked(void)
{
    int alive = 0;
    fr_object *a = thing_new(1, &alive), *b = thing_new(2, &alive);
    fr_object *both[] = {a, b}, *swapped[] = {b, a};
    fr_buf buf;
    fr_buf_init(&buf, 1 << 16);
    fr_buf_put(&buf, "\6\3", 2);
    put_ref(&buf, a, 0);
    put_ref(&buf, b, 1);
    put_ref(&buf, a, 0);
    fr_buf_put_u8(&buf, 0);
    fr_value *v = NULL;
    CHECK_INT(fr_value_parse(buf.data, buf.size, swapped, 2, &v, NULL), FR_ECORRUPT);
    CHECK_INT(fr_value_parse(buf.data, buf.size, both, 1, &v, NULL), FR_ECORRUPT);
    fr_object *extra[] = {a, b, b};
    CHECK_INT(fr_value_parse(buf.data, buf.size, extra, 3, &v, NULL), FR_ECORRUPT);
    CHECK_INT(fr_value_parse(buf.data, buf.size, both, 2, &v, NULL), FR_OK);
    int found = 0;
    CHECK_INT(fr_value_scan_refs(buf.data, buf.size, count_ref, &found, NULL), FR_OK);
    CHECK_INT(found, 3);
    CHECK_INT(fr_value_scan_refs(buf.data, buf.size - 1, count_ref, &found, NULL),
              FR_ECORRUPT);
    fr_object_unref(a);
    fr_object_unref(b);
    CHECK_INT(alive, 2);
    fr_value_unref(v);
    CHECK_INT(alive, 0);
    fr_buf_fini(&buf);
}

static void handles_count_and_hash_by_what_they_stand_for(void)
{
    static const uint8_t bytes[] = {6, 3, 8, 0, 8, 1, 8, 0, 0};
    fr_value *v = fr_value_new(bytes, sizeof bytes, NULL, 0), *plain = fr_value_int(4);
    CHECK_INT(v->handles, 2);
    CHECK_INT(plain->handles, 0); // its bytes hold an 8 that is no tag
    fr_hash deps[] = {fr_hash_str("a"), fr_hash_str("b")};
    fr_hash other[] = {fr_hash_str("a"), fr_hash_str("c")};
    CHECK(!fr_hash_eq(fr_value_hash_with(v, deps), fr_value_hash_with(v, other)));
    CHECK(fr_hash_eq(fr_value_hash_with(v, deps), fr_value_hash_with(v, deps)));
    CHECK(fr_hash_eq(fr_value_hash_with(plain, deps), plain->hash));
    fr_value_unref(v);
    fr_value_unref(plain);
}

int main(void)
{
    CASE(scalars_have_golden_bytes);
    CASE(numbers_come_back_exactly);
    CASE(a_table_parses_walks_and_prints);
    CASE(json_is_exact_and_valid);
    CASE(constants_are_values);
    CASE(hostile_bytes_are_refused_with_the_place);
    CASE(an_argument_list_may_hold_nils);
    CASE(depth_is_limited);
    CASE(damage_never_crashes);
    CASE(objects_are_held_and_checked);
    CASE(handles_count_and_hash_by_what_they_stand_for);
    return check_end();
}
