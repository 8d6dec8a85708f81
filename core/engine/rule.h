#pragma once
// rule -- whether a call may run, given how the calls before it ended. Pure; any thread.
//
// The names and outcomes are Airflow's trigger rules (tests/fixtures/trigger_rules.tsv holds
// all of them for up to three calls before), with one difference: where Airflow waits for ever
// although everything has ended, the call is skipped.

#include <stdbool.h>
#include <stdint.h>

// X(id, option's choice); all_success first: the preset.
#define FR_RULE_LIST(X)                                                                  \
    X(ALL_SUCCESS, "all_success")                                                        \
    X(ALL_FAILED, "all_failed")                                                          \
    X(ALL_DONE, "all_done")                                                              \
    X(ALL_DONE_MIN_ONE_SUCCESS, "all_done_min_one_success")                              \
    X(ALL_SKIPPED, "all_skipped")                                                        \
    X(ONE_FAILED, "one_failed")                                                          \
    X(ONE_SUCCESS, "one_success")                                                        \
    X(ONE_DONE, "one_done")                                                              \
    X(NONE_FAILED, "none_failed")                                                        \
    X(NONE_FAILED_MIN_ONE_SUCCESS, "none_failed_min_one_success")                        \
    X(NONE_SKIPPED, "none_skipped")                                                      \
    X(ALWAYS, "always")

typedef enum fr_rule {
#define X(id, name) FR_RULE_##id,
    FR_RULE_LIST(X)
#undef X
    FR_RULE_COUNT
} fr_rule;

typedef enum fr_ruling {
    FR_RULE_WAIT,
    FR_RULE_RUN,
    FR_RULE_SKIP,
    FR_RULE_UPSTREAM,             // fails because of what it depends on
} fr_ruling;

typedef struct fr_before {        // how many of the calls before ended how
    uint32_t all, success, failed, upstream, skipped;
    uint32_t removed;             // gone from newer code: neither a success nor a skip
} fr_before;

fr_ruling fr_rule_judge(fr_rule rule, const fr_before *b);
fr_rule fr_rule_from_name(const char *name);   // FR_RULE_COUNT when there is none
const char *fr_rule_name(fr_rule rule);        // "all_success"
