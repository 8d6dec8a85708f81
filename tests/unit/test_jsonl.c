// labels: threads
// JSON lines: random frames come back, with the same bytes at any size of region and any
// number of threads.

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/jsonl.h"
#include "tests/unit/check.h"
#include "tests/unit/data_make.h"

#define OK(x) CHECK_INT((x), FR_OK)

// Kinds that JSON lines keep when their types are told.
static const fr_kind kinds[] = {FR_BOOL, FR_INT64, FR_UTF8, FR_DATE, FR_INT8, FR_UINT32, FR_INT32,
                                FR_INT16};
static const char *const names[] = {"a", "b \"q\"", "c\n", "d", "e", "f", "\xc3\xa4", "g"};

static fr_frame *random_frame(fr_rand *r, int64_t rows)
{
    fr_array *cols[FR_COUNT(kinds)];
    fr_frame *f;
    for (size_t i = 0; i < FR_COUNT(kinds); i++) {
        cols[i] = make_random(r, kinds[i], rows, 100, fr_rand_below(r, 4));
    }
    OK(fr_frame_new(FR_COUNT(kinds), names, cols, &f, NULL));
    for (size_t i = 0; i < FR_COUNT(kinds); i++) {
        fr_array_unref(cols[i]);
    }
    return f;
}

static void check_text(const fr_frame *f, const fr_buf *text)
{
    fr_csv_type types[FR_COUNT(kinds)];
    for (size_t i = 0; i < FR_COUNT(kinds); i++) {
        types[i] = (fr_csv_type){names[i], f->cols[i]->type};
    }
    for (size_t chunk = 1; chunk < 5000; chunk = chunk * 7 + 13) {
        for (unsigned threads = 1; threads <= 3; threads += 2) {
            fr_jsonl_options o = {.types = types, .n_types = FR_COUNT(kinds), .columns = names,
                                  .n_columns = FR_COUNT(kinds), .chunk = chunk};
            fr_frame *back = NULL;
            fr_err err = FR_ERR_INIT;
            unsigned before = fr_pool_limit(threads);
            OK(fr_jsonl_read_bytes("t", text->data, text->size, &o, &back, &err));
            (void)fr_pool_limit(before);
            CHECK_STR(err.text, "");
            CHECK(back != NULL && fr_hash_eq(fr_frame_hash(back), fr_frame_hash(f)));
            fr_frame_unref(back);
        }
    }
}

static void frames_come_back_at_any_size_of_region(void)
{
    fr_rand r;
    fr_rand_init(&r, 9, 1);
    for (int round = 0; round < 12; round++) {
        fr_frame *f = random_frame(&r, 1 + (int64_t)fr_rand_below(&r, 200));
        fr_jsonl_write_options w = {0};
        fr_buf text;
        fr_buf_init(&text, 1 << 24);
        OK(fr_jsonl_write_buf(f, &w, &text, NULL));
        check_text(f, &text);
        fr_buf_fini(&text);
        fr_frame_unref(f);
    }
}

static void the_first_wrong_line_is_told_at_any_number_of_threads(void)
{
    static const char text[] = "{\"a\":1}\n{\"a\":2}\n{\"a\":x}\n{\"a\":3}\n{\"a\":}\n";
    for (unsigned threads = 1; threads <= 3; threads += 2) {
        fr_jsonl_options o = {.chunk = 1};
        fr_frame *f = NULL;
        fr_err err = FR_ERR_INIT;
        unsigned before = fr_pool_limit(threads);
        CHECK_INT(fr_jsonl_read_bytes("t", text, sizeof text - 1, &o, &f, &err), FR_EPARSE);
        (void)fr_pool_limit(before);
        CHECK_STR(err.text, "t: line 3, column 6: expected a value, found x");
        CHECK(f == NULL);
    }
}

int main(void)
{
    fr_pool_setup(3);
    CASE(frames_come_back_at_any_size_of_region);
    CASE(the_first_wrong_line_is_told_at_any_number_of_threads);
    fr_pool_shutdown();
    return check_end();
}
