#include "core/engine/state.h"
#include "tests/unit/check.h"

enum { N = 13 };

// Rows are "from", columns "to", in the order of the enum: NONE WAITING SCHEDULED QUEUED
// STARTING RUNNING DEFERRED PAUSED CANCELLING SUCCESS SKIPPED FAILED STOPPED.
static const char *const want[N] = {
    "011000000" "0000",   // NONE
    "001100100" "1111",   // WAITING
    "000100000" "1111",   // SCHEDULED
    "000011010" "1111",   // QUEUED
    "001001001" "0011",   // STARTING
    "001000111" "1111",   // RUNNING
    "001001011" "1111",   // DEFERRED
    "001001001" "0011",   // PAUSED
    "000000000" "1111",   // CANCELLING
    "011000000" "0000",   // SUCCESS: only an explicit rerun
    "011000000" "0000",   // SKIPPED
    "011000000" "0000",   // FAILED
    "011000000" "0000",   // STOPPED
};

static void every_move_is_as_listed(void)
{
    for (int from = 0; from < N; from++) {
        for (int to = 0; to < N; to++) {
            CHECK_INT(fr_state_can((fr_state)from, (fr_state)to), want[from][to] == '1');
        }
    }
}

static void an_illegal_move_names_both_states(void)
{
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_state_check(FR_SUCCESS, FR_RUNNING, &err), FR_ESTATE);
    CHECK(strstr(err.text, "SUCCESS") != NULL && strstr(err.text, "RUNNING") != NULL);
    CHECK_INT(fr_state_check(FR_QUEUED, FR_RUNNING, &err), FR_OK);
}

static void numbers_outside_the_enum_are_refused(void)
{
    CHECK(!fr_state_can((fr_state)200, FR_RUNNING));
    CHECK(!fr_state_can(FR_RUNNING, (fr_state)31));
    CHECK(!fr_state_is_final((fr_state)200));
    CHECK_STR(fr_state_name((fr_state)99), "?");
    CHECK_STR(fr_reason_name((fr_reason)99), "?");
}

static void final_states_are_four(void)
{
    int n = 0;
    for (int s = 0; s < N; s++) {
        n += fr_state_is_final((fr_state)s);
    }
    CHECK_INT(n, 4);
    CHECK(fr_state_is_final(FR_SUCCESS) && fr_state_is_final(FR_STOPPED));
    CHECK_STR(fr_state_name(FR_CANCELLING), "CANCELLING");
    CHECK_STR(fr_reason_name(FR_BECAUSE_EMPTY_MAP), "empty_map");
    CHECK_STR(fr_reason_name(FR_BECAUSE_NONE), "");
}

int main(void)
{
    CASE(every_move_is_as_listed);
    CASE(an_illegal_move_names_both_states);
    CASE(numbers_outside_the_enum_are_refused);
    CASE(final_states_are_four);
    return check_end();
}
