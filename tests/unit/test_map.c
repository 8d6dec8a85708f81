#include "core/base/map.h"
#include "core/base/rand.h"
#include "tests/unit/check.h"

static void an_empty_map_finds_nothing(void)
{
    fr_map m;
    fr_map_init(&m);
    CHECK(fr_map_find(&m, fr_hash_str("a")) == NULL);
    CHECK(!fr_map_remove(&m, fr_hash_str("a")));
    CHECK_INT(m.count, 0);
    fr_map_fini(&m);
}

static void a_put_is_found_and_counted_once(void)
{
    fr_map m;
    fr_map_init(&m);
    bool fresh = false;
    uint64_t *v = fr_map_put(&m, fr_hash_str("a"), &fresh);
    CHECK(fresh && *v == 0);
    *v = 42;
    v = fr_map_put(&m, fr_hash_str("a"), &fresh);
    CHECK(!fresh && *v == 42);
    CHECK_INT(m.count, 1);
    CHECK(fr_map_find(&m, fr_hash_str("a")) == v);
    CHECK(fr_map_find(&m, fr_hash_str("b")) == NULL);
    fr_map_fini(&m);
}

static void reserving_keeps_the_slots_in_place(void)
{
    fr_map m;
    fr_map_init(&m);
    fr_map_reserve(&m, 1000);
    const fr_map_slot *slots = m.slots;
    for (uint64_t i = 0; i < 1000; i++) {
        *fr_map_put(&m, fr_hash_mix(fr_hash_str("k"), i), NULL) = i;
    }
    CHECK(m.slots == slots);
    CHECK_INT(m.count, 1000);
    fr_map_fini(&m);
}

// Keys with few low bits collide on purpose; a plain array says what must be there.
static void random_puts_and_removes_agree_with_an_array(void)
{
    enum { KEYS = 400, STEPS = 50000 };
    uint64_t want[KEYS] = {0};
    size_t count = 0;
    fr_rand r;
    fr_rand_init(&r, 3, 0);
    fr_map m;
    fr_map_init(&m);
    for (uint64_t step = 1; step <= STEPS; step++) {
        size_t k = fr_rand_below(&r, KEYS);
        fr_hash key = {.lo = k % 5 * 13, .hi = k + 1};
        if (fr_rand_below(&r, 2) == 0) {
            *fr_map_put(&m, key, NULL) = step;
            count += want[k] == 0;
            want[k] = step;
        } else {
            CHECK(fr_map_remove(&m, key) == (want[k] != 0));
            count -= want[k] != 0;
            want[k] = 0;
        }
        if (step % 100 == 0) {
            CHECK_INT(m.count, count);
            for (size_t i = 0; i < KEYS; i++) {
                uint64_t *v = fr_map_find(&m, (fr_hash){.lo = i % 5 * 13, .hi = i + 1});
                CHECK(want[i] == 0 ? v == NULL : v != NULL && *v == want[i]);
            }
        }
    }
    fr_map_fini(&m);
}

int main(void)
{
    CASE(an_empty_map_finds_nothing);
    CASE(a_put_is_found_and_counted_once);
    CASE(reserving_keeps_the_slots_in_place);
    CASE(random_puts_and_removes_agree_with_an_array);
    return check_end();
}
