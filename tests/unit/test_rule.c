// Every row of Airflow's trigger rules (tests/fixtures/trigger_rules.tsv).
#include "core/engine/rule.h"
#include "tests/unit/check.h"

#include <stdlib.h>

static const char *const outcomes[] = {[FR_RULE_WAIT] = "wait",
                                       [FR_RULE_RUN] = "run",
                                       [FR_RULE_SKIP] = "skipped",
                                       [FR_RULE_UPSTREAM] = "upstream_failed"};

static bool count_state(fr_before *b, const char *state)
{
    uint32_t *to = strcmp(state, "success") == 0           ? &b->success
                   : strcmp(state, "failed") == 0          ? &b->failed
                   : strcmp(state, "upstream_failed") == 0 ? &b->upstream
                   : strcmp(state, "skipped") == 0         ? &b->skipped
                   : strcmp(state, "removed") == 0         ? &b->removed
                                                           : NULL;
    b->all++;
    if (to != NULL) {
        ++*to;
    }
    return to != NULL || strcmp(state, "running") == 0;
}

static void every_row_of_the_table_holds(void)
{
    FILE *f = fopen(FLOWRUN_SOURCE "/tests/fixtures/trigger_rules.tsv", "r");
    CHECK(f != NULL);
    char line[1000];
    int rows = 0, stuck = 0, rules[FR_RULE_COUNT] = {0};
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        char id[16], rule[64], states[128], outcome[32], note[16];
        if (line[0] == '#' || sscanf(line, "%15s %63s %127s %31s %15s", id, rule, states, outcome,
                                     note) != 5 || strcmp(id, "id") == 0) {
            continue;
        }
        fr_before b = {0};
        char *at = states;
        for (char *end = at; at != NULL; at = end) {
            end = strchr(at, '|');
            if (end != NULL) {
                *end++ = '\0';
            }
            CHECK(count_state(&b, at));
        }
        fr_rule which = fr_rule_from_name(rule);
        CHECK(which != FR_RULE_COUNT);
        rules[which]++;
        // Where all have ended and Airflow still waits, we skip.
        bool trap = strcmp(note, "stuck") == 0;
        const char *want = trap ? "skipped" : outcome, *got = outcomes[fr_rule_judge(which, &b)];
        if (strcmp(got, want) != 0) {
            (void)fprintf(stderr, "%s %s %s: %s, expected %s\n", id, rule, states, got, want);
        }
        CHECK_STR(got, want);
        stuck += trap;
        rows++;
    }
    (void)fclose(f);
    CHECK_INT(rows, 996);
    CHECK_INT(stuck, 42);
    for (int i = 0; i < FR_RULE_COUNT; i++) {
        CHECK_INT(rules[i], 83);
    }
}

static void names_are_those_of_the_option(void)
{
    CHECK_STR(fr_rule_name(FR_RULE_NONE_FAILED_MIN_ONE_SUCCESS), "none_failed_min_one_success");
    CHECK_INT(fr_rule_from_name("all_success"), 0);
    CHECK_INT(fr_rule_from_name("all"), FR_RULE_COUNT);
    CHECK_STR(fr_rule_name(FR_RULE_COUNT), "?");
}

static void without_calls_before_it_runs(void)
{
    for (int i = 0; i < FR_RULE_COUNT; i++) {
        CHECK_INT(fr_rule_judge((fr_rule)i, &(fr_before){0}), FR_RULE_RUN);
    }
}

int main(void)
{
    CASE(every_row_of_the_table_holds);
    CASE(names_are_those_of_the_option);
    CASE(without_calls_before_it_runs);
    return check_end();
}
