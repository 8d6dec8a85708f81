// Messages of fr.outbox: packed and read back, damaged bytes, when one is tried again, delivered
// or dead.
#include "core/engine/outbox.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

static fr_outbox_message message(const char *key)
{
    static const uint8_t args[] = {6, 1, 3, 2, 0};         // {1}
    return (fr_outbox_message){
        .task = FR_OUTBOX_HTTP, .name = "order", .key = key, .n_args = 1, .args = args,
        .args_size = sizeof args,
        .retry = {.retries = 2, .backoff = FR_BACKOFF_EXPONENTIAL, .base_ns = 1000,
                  .cap_ns = 1500, .factor = 2, .jitter = 0}};
}

static void what_is_put_is_read(void)
{
    fr_buf b;
    fr_buf_init(&b, 1 << 20);
    fr_outbox_message one = message("k-o1"), two = message("k-o2");
    two.retry = (fr_retry_plan){.retries = 7, .backoff = FR_BACKOFF_LIST, .n_list = 2,
                                .list_ns = {5, 60}, .jitter = 0.25};
    fr_outbox_put(&b, &one);
    size_t first = b.size, n = 0;
    fr_outbox_put(&b, &two);
    fr_reader r = fr_reader_of(b.data, b.size);
    fr_outbox_message m;
    const void *bytes = NULL;
    CHECK(fr_outbox_next(&r, &m, &bytes, &n));
    CHECK(bytes == b.data);
    CHECK_INT(n, first);
    CHECK(strcmp(m.task, FR_OUTBOX_HTTP) == 0 && strcmp(m.name, "order") == 0 &&
          strcmp(m.key, "k-o1") == 0);
    CHECK_INT(m.n_args, 1);
    CHECK(m.args_size == one.args_size && memcmp(m.args, one.args, m.args_size) == 0);
    CHECK_INT(m.retry.retries, 2);
    CHECK_INT(m.retry.cap_ns, 1500);
    CHECK(fr_outbox_next(&r, &m, NULL, NULL));
    CHECK(strcmp(m.key, "k-o2") == 0);
    CHECK_INT(m.retry.n_list, 2);
    CHECK_INT(m.retry.list_ns[1], 60);
    CHECK(m.retry.jitter == 0.25);
    CHECK(!fr_outbox_next(&r, &m, NULL, NULL));
    CHECK(!r.failed);
    fr_buf_fini(&b);
}

// Cut anywhere, and with any one byte changed: it is refused or read, never beyond its end.
static void damaged_bytes_are_refused(void)
{
    fr_buf b;
    fr_buf_init(&b, 1 << 20);
    fr_outbox_message one = message("k"), m;
    fr_outbox_put(&b, &one);
    for (size_t cut = 1; cut < b.size; cut++) {
        uint8_t *exact = malloc(cut);
        memcpy(exact, b.data, cut);
        fr_reader r = fr_reader_of(exact, cut);
        CHECK(!fr_outbox_next(&r, &m, NULL, NULL));
        CHECK(r.failed);
        free(exact);
    }
    for (size_t at = 0; at < b.size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            uint8_t *changed = malloc(b.size);
            memcpy(changed, b.data, b.size);
            changed[at] ^= (uint8_t)(1 << bit);
            fr_reader r = fr_reader_of(changed, b.size);
            if (fr_outbox_next(&r, &m, NULL, NULL)) {
                CHECK(m.retry.n_list <= FR_RETRY_LIST);
                CHECK((const uint8_t *)m.args + m.args_size <= changed + b.size);
            }
            free(changed);
        }
    }
    fr_buf_fini(&b);
}

static void failures_are_tried_again_until_none_is_left(void)
{
    fr_outbox_message m = message("k");
    fr_outbox_verdict v = fr_outbox_judge(&m, 1, false, true, 10000);
    CHECK_INT(v.state, FR_OUTBOX_PENDING);
    CHECK_INT(v.due, 11000);
    v = fr_outbox_judge(&m, 2, false, true, 20000);
    CHECK_INT(v.state, FR_OUTBOX_PENDING);
    CHECK_INT(v.due, 21500);                               // the cap
    v = fr_outbox_judge(&m, 3, false, true, 30000);        // 1 + retries
    CHECK_INT(v.state, FR_OUTBOX_DEAD);
    CHECK_INT(fr_outbox_judge(&m, 3, true, true, 30000).state, FR_OUTBOX_DELIVERED);
    CHECK_INT(fr_outbox_judge(&m, 1, false, false, 30000).state, FR_OUTBOX_DEAD);
}

static void jitter_depends_on_the_key_alone(void)
{
    fr_outbox_message m = message("k"), other = message("other");
    m.retry.jitter = other.retry.jitter = 0.5;
    int64_t due = fr_outbox_judge(&m, 1, false, true, 0).due;
    CHECK(due >= 500 && due <= 1500);
    CHECK_INT(fr_outbox_judge(&m, 1, false, true, 0).due, due);
    CHECK(fr_outbox_judge(&other, 1, false, true, 0).due != due);
    m.retry = (fr_retry_plan){.retries = 1, .base_ns = INT64_MAX};
    CHECK(fr_outbox_judge(&m, 1, false, true, INT64_MAX - 5).due > 0);   // no overflow
}

int main(void)
{
    CASE(what_is_put_is_read);
    CASE(damaged_bytes_are_refused);
    CASE(failures_are_tried_again_until_none_is_left);
    CASE(jitter_depends_on_the_key_alone);
    return check_end();
}
