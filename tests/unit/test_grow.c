#include "core/base/grow.h"
#include "tests/unit/check.h"

typedef struct thing {
    uint64_t a, b, c;
} thing;

static void elements_stay_where_they_are(void)
{
    enum { N = 5 * FR_GROW_CHUNK + 3 };
    static thing *at[N];
    fr_grow g = {0};
    for (uint32_t i = 0; i < N; i++) {
        at[i] = fr_grow_add(&g, sizeof(thing));
        *at[i] = (thing){i, ~(uint64_t)i, i * 7};
    }
    CHECK_INT(g.n, N);
    bool same = true;
    for (uint32_t i = 0; i < N; i++) {
        thing *t = fr_grow_at(&g, i, sizeof(thing));
        same = same && t == at[i] && t->a == i && t->b == ~(uint64_t)i && t->c == i * 7;
    }
    CHECK(same);
    fr_grow_fini(&g);
}

static void an_empty_one_owns_nothing(void)
{
    fr_grow g = {0};
    fr_grow_fini(&g);
    CHECK(g.chunk == NULL && g.n == 0);
}

int main(void)
{
    CASE(elements_stay_where_they_are);
    CASE(an_empty_one_owns_nothing);
    return check_end();
}
