// labels: threads
#include "core/base/base.h"
#include "core/base/bigmem.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void blocks_are_aligned_and_padded_with_zeroes(void)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 100000, (5 << 20) + 3};
    for (size_t k = 0; k < FR_COUNT(sizes); k++) {
        fr_block *b;
        CHECK_INT(fr_block_new(sizes[k], &b, NULL), FR_OK);
        CHECK((uintptr_t)b->data % 64 == 0);
        CHECK_INT(b->size, sizes[k]);
        memset(b->data, 0xff, sizes[k]);
        for (size_t i = sizes[k]; i % 64 != 0; i++) {
            CHECK_INT(b->data[i], 0);
        }
        fr_block_unref(b);
    }
    fr_bigmem_trim();
}

static void big_blocks_are_reused(void)
{
    fr_block *a, *b;
    CHECK_INT(fr_block_new((size_t)8 << 20, &a, NULL), FR_OK);
    CHECK((uintptr_t)a->data % (2 << 20) == 0);
    memset(a->data, 7, a->size);
    uint8_t *place = a->data;
    fr_block_unref(a);
    CHECK_INT(fr_bigmem_kept(), 8 << 20);
    CHECK_INT(fr_block_new_zero((size_t)7 << 20, &b, NULL), FR_OK);
    CHECK(b->data == place);
    CHECK_INT(fr_bigmem_kept(), 0);
    bool zero = true;
    for (size_t i = 0; i < b->size; i++) {
        zero = zero && b->data[i] == 0;
    }
    CHECK(zero);
    fr_block_unref(b);
    // Much too large a buffer is not wasted on a small need.
    CHECK_INT(fr_block_new((size_t)4 << 20, &a, NULL), FR_OK);
    CHECK(a->data != place);
    fr_block_unref(a);
    fr_bigmem_trim();
    CHECK_INT(fr_bigmem_kept(), 0);
}

static void more_free_blocks_than_slots_go_back(void)
{
    fr_block *b[80];
    for (size_t i = 0; i < 80; i++) {
        CHECK_INT(fr_block_new((size_t)4 << 20, &b[i], NULL), FR_OK);
    }
    for (size_t i = 0; i < 80; i++) {
        fr_block_unref(b[i]);
    }
    CHECK(fr_bigmem_kept() > 0);
    CHECK(fr_bigmem_kept() <= (size_t)64 * (4 << 20));
    fr_bigmem_trim();
}

static void shrinking_keeps_the_bytes(void)
{
    for (size_t size = 1000; size < (size_t)6 << 20; size = size * 70) {
        fr_block *b;
        CHECK_INT(fr_block_new(size, &b, NULL), FR_OK);
        memset(b->data, 5, size);
        CHECK_INT(fr_block_shrink(b, 10, NULL), FR_OK);
        CHECK_INT(b->size, 10);
        CHECK_INT(b->capacity, 64);
        CHECK(b->data[9] == 5 && b->data[10] == 0 && b->data[63] == 0);
        fr_block_unref(b);
    }
    fr_bigmem_trim();
}

static void an_absurd_size_is_refused(void)
{
    fr_block *b;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_block_new(SIZE_MAX - 10, &b, &err), FR_ENOMEM);
    CHECK(b == NULL && err.text[0] != 0);
    CHECK_INT(fr_block_new((size_t)1 << 60, &b, &err), FR_ENOMEM);
    CHECK(b == NULL);
}

static void files_are_mapped(void)
{
    char path[] = "/tmp/test_bigmem_XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, "hello", 5) == 5 && close(fd) == 0);
    fr_block *b;
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_block_map_file(path, &b, &err), FR_OK);
    CHECK(b->size == 5 && memcmp(b->data, "hello\0\0", 7) == 0);
    fr_block_unref(fr_block_ref(b));
    fr_block_unref(b);
    CHECK(truncate(path, 0) == 0);
    CHECK_INT(fr_block_map_file(path, &b, &err), FR_OK);
    CHECK_INT(b->size, 0);
    fr_block_unref(b);
    (void)unlink(path);
    CHECK_INT(fr_block_map_file(path, &b, &err), FR_EIO);
    CHECK(b == NULL && strstr(err.text, path) != NULL);
    CHECK_INT(fr_block_map_file("/tmp", &b, &err), FR_EIO);
}

int main(void)
{
    CASE(blocks_are_aligned_and_padded_with_zeroes);
    CASE(big_blocks_are_reused);
    CASE(more_free_blocks_than_slots_go_back);
    CASE(shrinking_keeps_the_bytes);
    CASE(an_absurd_size_is_refused);
    CASE(files_are_mapped);
    return check_end();
}
