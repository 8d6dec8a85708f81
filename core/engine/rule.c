#include "core/engine/rule.h"

#include "core/base/base.h"

#include <string.h>

static const char *const names[] = {
#define X(id, name) [FR_RULE_##id] = (name),
    FR_RULE_LIST(X)
#undef X
};

const char *fr_rule_name(fr_rule rule)
{
    return (size_t)rule < FR_COUNT(names) ? names[rule] : "?";
}

fr_rule fr_rule_from_name(const char *name)
{
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) {
            return (fr_rule)i;
        }
    }
    return FR_RULE_COUNT;
}

static uint32_t done_of(const fr_before *b)
{
    return b->success + b->failed + b->upstream + b->skipped + b->removed;
}

// What forbids it to run, even before all have ended; WAIT: nothing yet.
static fr_ruling refusal(fr_rule rule, const fr_before *b, bool all_done)
{
    uint32_t bad = b->failed + b->upstream;
    switch (rule) {
    case FR_RULE_ALL_SUCCESS:
        return bad > 0 ? FR_RULE_UPSTREAM : b->skipped > 0 ? FR_RULE_SKIP : FR_RULE_WAIT;
    case FR_RULE_ALL_FAILED:
        return b->success + b->skipped > 0 ? FR_RULE_SKIP : FR_RULE_WAIT;
    case FR_RULE_ALL_SKIPPED:
        return b->success + bad > 0 ? FR_RULE_SKIP : FR_RULE_WAIT;
    case FR_RULE_NONE_FAILED:
        return bad > 0 ? FR_RULE_UPSTREAM : FR_RULE_WAIT;
    case FR_RULE_NONE_FAILED_MIN_ONE_SUCCESS:
        return bad > 0 ? FR_RULE_UPSTREAM : b->skipped == b->all ? FR_RULE_SKIP : FR_RULE_WAIT;
    case FR_RULE_NONE_SKIPPED:
        return b->skipped > 0 ? FR_RULE_SKIP : FR_RULE_WAIT;
    case FR_RULE_ALL_DONE_MIN_ONE_SUCCESS:
        return b->skipped > 0                    ? FR_RULE_SKIP
               : all_done && b->success == 0 ? FR_RULE_UPSTREAM
                                             : FR_RULE_WAIT;
    case FR_RULE_ONE_SUCCESS:
        return !all_done || b->success > 0 ? FR_RULE_WAIT
               : b->skipped == b->all      ? FR_RULE_SKIP
                                           : FR_RULE_UPSTREAM;
    case FR_RULE_ALL_DONE:
    case FR_RULE_ONE_FAILED:
    case FR_RULE_ONE_DONE:
    case FR_RULE_ALWAYS:
    case FR_RULE_COUNT:
        return FR_RULE_WAIT;
    }
    return FR_RULE_WAIT;
}

static bool allowed(fr_rule rule, const fr_before *b, bool all_done)
{
    uint32_t bad = b->failed + b->upstream;
    switch (rule) {
    case FR_RULE_ALL_SUCCESS:
        return b->success == b->all;
    case FR_RULE_ALL_FAILED:
        return bad == b->all;
    case FR_RULE_ALL_SKIPPED:
        return b->skipped == b->all;
    case FR_RULE_ALL_DONE:
    case FR_RULE_ALL_DONE_MIN_ONE_SUCCESS:
    case FR_RULE_NONE_SKIPPED:
        return all_done;
    case FR_RULE_NONE_FAILED:
    case FR_RULE_NONE_FAILED_MIN_ONE_SUCCESS:
        return b->success + b->skipped == b->all;
    case FR_RULE_ONE_FAILED:
        return bad > 0;
    case FR_RULE_ONE_SUCCESS:
        return b->success > 0;
    case FR_RULE_ONE_DONE:
        return b->success + b->failed > 0;
    case FR_RULE_ALWAYS:
    case FR_RULE_COUNT:
        return true;
    }
    return true;
}

fr_ruling fr_rule_judge(fr_rule rule, const fr_before *b)
{
    bool all_done = done_of(b) == b->all;
    if (b->all == 0) {
        return FR_RULE_RUN;
    }
    fr_ruling no = refusal(rule, b, all_done);
    if (no != FR_RULE_WAIT) {
        return no;
    }
    if (allowed(rule, b, all_done)) {
        return FR_RULE_RUN;
    }
    return all_done ? FR_RULE_SKIP : FR_RULE_WAIT;
}
