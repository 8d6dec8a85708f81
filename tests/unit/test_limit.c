// Who gets a slot: the rules of core/engine/limit.h over the table in memory.
#include "core/base/mem.h"
#include "core/base/rand.h"
#include "core/engine/limit.h"
#include "tests/unit/check.h"

#include <stdlib.h>

#define SECOND INT64_C(1000000000)

static bool dead[64];

static bool lives(void *ctx, uint64_t run)
{
    (void)ctx;
    return !dead[run];
}

static fr_limits *fresh(void)
{
    memset(dead, 0, sizeof dead);
    return fr_limits_new(lives, NULL);
}

static void set(fr_limits *l, const char *name, int64_t capacity, uint32_t rate, int64_t period_ns)
{
    fr_limit *what = fr_zalloc(sizeof *what);
    (void)snprintf(what->name, sizeof what->name, "%s", name);
    what->capacity = capacity;
    what->rate = rate;
    what->period_ns = period_ns;
    what->source = FR_LIMIT_COMMAND;
    fr_limits_set(l, what, 0);
    fr_free(what);
}

static void ask2(fr_limits *l, uint64_t run, uint32_t ask, const char *a, uint32_t na,
                 const char *b, uint32_t nb, int priority, int64_t now)
{
    fr_limit_need needs[] = {{.name = a, .n = na}, {.name = b, .n = nb}};
    fr_slot_ask what = {.ask = ask, .name = "t", .priority = priority, .since = now,
                        .needs = needs, .n_needs = b != NULL ? 2 : 1};
    fr_limits_ask(l, run, &what, now);
}

static void ask(fr_limits *l, uint64_t run, uint32_t n, const char *name, int64_t now)
{
    ask2(l, run, n, name, 1, NULL, 0, 0, now);
}

// The answers so far, as text: "1.2" = ask 2 of run 1 has its slots, "1.2!" = never.
static const char *answers(fr_limits *l)
{
    static char text[512];                     // of this test only
    uint64_t run;
    uint32_t n;
    char why[FR_ERR_MAX];
    size_t at = 0;
    text[0] = '\0';
    while (fr_limits_answer(l, &run, &n, why)) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%d.%u%s", at > 0 ? " " : "",
                               (int)run, n, why[0] != '\0' ? "!" : "");
    }
    return text;
}

static void a_limit_nobody_set_has_one_slot(void)
{
    fr_limits *l = fresh();
    ask(l, 1, 1, "oms", 0);
    ask(l, 2, 1, "oms", 1);
    CHECK_STR(answers(l), "1.1");
    fr_limits_release(l, 1, 1, 2);
    CHECK_STR(answers(l), "2.1");
    fr_limits_free(l);
}

static void priority_goes_first_and_waiting_makes_old(void)
{
    fr_limits *l = fresh();
    ask(l, 1, 1, "oms", 0);
    ask(l, 1, 2, "oms", 1 * SECOND);
    ask2(l, 2, 1, "oms", 1, NULL, 0, 5, 2 * SECOND);           // 5 points: 5 minutes
    fr_limits_release(l, 1, 1, 3 * SECOND);
    CHECK_STR(answers(l), "1.1 2.1");
    ask2(l, 2, 2, "oms", 1, NULL, 0, 5, 302 * SECOND);         // 1.2 has waited longer than that
    fr_limits_release(l, 2, 1, 303 * SECOND);
    CHECK_STR(answers(l), "1.2");
    fr_limits_free(l);
}

static void who_wants_many_is_not_overtaken_for_ever(void)
{
    fr_limits *l = fresh();
    set(l, "oms", 3, 0, 0);
    ask(l, 1, 1, "oms", 0);
    ask2(l, 2, 1, "oms", 3, NULL, 0, 0, 1);
    ask(l, 1, 2, "oms", 2);
    CHECK_STR(answers(l), "1.1");              // two slots are free, and kept for 2.1
    fr_limits_release(l, 1, 1, 3);
    CHECK_STR(answers(l), "2.1");
    fr_limits_release(l, 2, 1, 4);
    CHECK_STR(answers(l), "1.2");
    fr_limits_free(l);
}

static void all_limits_at_once_or_none(void)
{
    fr_limits *l = fresh();
    ask(l, 1, 1, "a", 0);
    ask2(l, 2, 1, "b", 1, "a", 1, 0, 1);       // waits for a and holds no slot of b
    CHECK_STR(answers(l), "1.1");
    ask(l, 3, 1, "b", 2);                      // behind 2.1, which would be overtaken
    CHECK_STR(answers(l), "");
    fr_limits_release(l, 1, 1, 3);
    CHECK_STR(answers(l), "2.1");
    fr_limits_release(l, 2, 1, 4);
    CHECK_STR(answers(l), "3.1");
    fr_limits_free(l);
}

static void a_closed_limit_holds_up_only_its_own(void)
{
    fr_limits *l = fresh();
    set(l, "maintenance", 0, 0, 0);
    ask2(l, 1, 1, "a", 1, "maintenance", 1, 0, 0);
    ask(l, 2, 1, "a", 1);
    CHECK_STR(answers(l), "2.1");
    set(l, "maintenance", 1, 0, 0);
    CHECK_STR(answers(l), "");
    fr_limits_release(l, 2, 1, 2);
    CHECK_STR(answers(l), "1.1");
    fr_limits_free(l);
}

static void what_can_never_be_had_is_refused(void)
{
    fr_limits *l = fresh();
    set(l, "oms", 2, 0, 0);
    ask2(l, 1, 1, "oms", 3, NULL, 0, 0, 0);
    uint64_t run;
    uint32_t n;
    char why[FR_ERR_MAX];
    CHECK(fr_limits_answer(l, &run, &n, why));
    CHECK_STR(why, "it wants 3 slots of limit \"oms\", which has 2; raise it (flowrun limits set "
                   "oms 3) or ask for less");
    ask2(l, 1, 2, "oms", 2, NULL, 0, 0, 0);
    ask2(l, 1, 3, "oms", 2, NULL, 0, 0, 0);
    CHECK_STR(answers(l), "1.2");
    set(l, "oms", 1, 0, 0);                    // lowered meanwhile: who waits learns it
    CHECK_STR(answers(l), "1.3!");
    fr_limits_free(l);
}

static void the_dead_make_room(void)
{
    fr_limits *l = fresh();
    ask(l, 1, 1, "oms", 0);
    ask(l, 2, 1, "oms", 1);
    ask(l, 3, 1, "oms", 2);
    CHECK_STR(answers(l), "1.1");
    dead[1] = dead[2] = true;
    fr_limits_look(l, 3);
    CHECK_STR(answers(l), "3.1");
    fr_limits_free(l);
}

static void a_rate_counts_every_window(void)
{
    fr_limits *l = fresh();
    set(l, "api", -1, 3, 60 * SECOND);
    int64_t starts[40];
    uint32_t n = 0, made = 0;
    for (int64_t now = 0; now < 600 * SECOND && n < 30; now += 7 * SECOND) {
        ask(l, 1, ++made, "api", now);
        fr_limits_look(l, now);
        uint64_t run;
        uint32_t which;
        char why[FR_ERR_MAX];
        while (fr_limits_answer(l, &run, &which, why)) {
            fr_limits_release(l, run, which, now);
            starts[n++] = now;
        }
    }
    CHECK(n >= 20);
    for (uint32_t i = 3; i < n; i++) {
        CHECK(starts[i] - starts[i - 3] >= 60 * SECOND);
    }
    CHECK(fr_limits_next(l, 0) > 0);
    fr_limits_free(l);
}

static void a_clock_set_back_delays_one_period_at_most(void)
{
    fr_limit *l = fr_zalloc(sizeof *l);
    l->rate = 1;
    l->period_ns = 60 * SECOND;
    fr_limit_note_start(l, 86400 * SECOND);
    CHECK_INT(fr_limit_next_start(l, 10 * SECOND), 70 * SECOND);
    fr_limit_note_start(l, 70 * SECOND);
    CHECK_INT(fr_limit_next_start(l, 80 * SECOND), 130 * SECOND);
    fr_free(l);
}

static void a_command_outranks_a_script(void)
{
    fr_limits *l = fresh();
    fr_limit *got = fr_zalloc(sizeof *got);
    (void)snprintf(got->name, sizeof got->name, "oms");
    got->capacity = 4;
    got->source = FR_LIMIT_SCRIPT;
    fr_limits_set(l, got, 0);
    set(l, "oms", 2, 0, 0);
    fr_limits_set(l, got, 0);
    CHECK(fr_limits_at(l, 0, got));
    CHECK_INT(got->capacity, 2);
    fr_free(got);
    fr_limits_free(l);
}

int main(void)
{
    CASE(a_limit_nobody_set_has_one_slot);
    CASE(priority_goes_first_and_waiting_makes_old);
    CASE(who_wants_many_is_not_overtaken_for_ever);
    CASE(all_limits_at_once_or_none);
    CASE(a_closed_limit_holds_up_only_its_own);
    CASE(what_can_never_be_had_is_refused);
    CASE(the_dead_make_room);
    CASE(a_rate_counts_every_window);
    CASE(a_clock_set_back_delays_one_period_at_most);
    CASE(a_command_outranks_a_script);
    return check_end();
}
