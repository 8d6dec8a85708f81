#include "core/engine/state.h"

#define BIT(s) (1u << (s))

enum {
    FINAL = BIT(FR_SUCCESS) | BIT(FR_SKIPPED) | BIT(FR_FAILED) | BIT(FR_STOPPED),
    AGAIN = BIT(FR_WAITING) | BIT(FR_SCHEDULED),   // an explicit rerun: a new attempt
};

// From state (the index) to states (bits).
static const uint16_t moves[] = {
    [FR_STATE_NONE] = BIT(FR_WAITING) | BIT(FR_SCHEDULED),
    [FR_WAITING] = BIT(FR_SCHEDULED) | BIT(FR_QUEUED) | BIT(FR_DEFERRED) | FINAL,
    [FR_SCHEDULED] = BIT(FR_QUEUED) | FINAL,
    [FR_QUEUED] = BIT(FR_STARTING) | BIT(FR_RUNNING) | BIT(FR_PAUSED) | FINAL,
    [FR_STARTING] = BIT(FR_SCHEDULED) | BIT(FR_RUNNING) | BIT(FR_CANCELLING) |
                    BIT(FR_FAILED) | BIT(FR_STOPPED),
    [FR_RUNNING] = BIT(FR_SCHEDULED) | BIT(FR_DEFERRED) | BIT(FR_PAUSED) |
                   BIT(FR_CANCELLING) | FINAL,
    [FR_DEFERRED] = BIT(FR_SCHEDULED) | BIT(FR_RUNNING) | BIT(FR_PAUSED) |
                    BIT(FR_CANCELLING) | FINAL,
    [FR_PAUSED] = BIT(FR_SCHEDULED) | BIT(FR_RUNNING) | BIT(FR_CANCELLING) |
                  BIT(FR_FAILED) | BIT(FR_STOPPED),
    // Only by the observed end of the work; a body that ended first keeps its own outcome.
    [FR_CANCELLING] = FINAL,
    [FR_SUCCESS] = AGAIN,
    [FR_SKIPPED] = AGAIN,
    [FR_FAILED] = AGAIN,
    [FR_STOPPED] = AGAIN,
};

static const char *const state_names[] = {
    [FR_STATE_NONE] = "NONE",
#define X(name, number) [number] = #name,
    FR_STATE_LIST(X)
#undef X
};

static const char *const reason_names[] = {
#define X(name, number, shown) [number] = (shown),
    FR_REASON_LIST(X)
#undef X
};

const char *fr_state_name(fr_state s)
{
    return (size_t)s < FR_COUNT(state_names) ? state_names[s] : "?";
}

const char *fr_reason_name(fr_reason r)
{
    return (size_t)r < FR_COUNT(reason_names) ? reason_names[r] : "?";
}

bool fr_state_is_final(fr_state s)
{
    return (size_t)s < FR_COUNT(moves) && (BIT(s) & FINAL) != 0;
}

bool fr_state_can(fr_state from, fr_state to)
{
    return (size_t)from < FR_COUNT(moves) && (size_t)to < FR_COUNT(moves) &&
           (moves[from] & BIT(to)) != 0;
}

int fr_state_check(fr_state from, fr_state to, fr_err *err)
{
    if (fr_state_can(from, to)) {
        return FR_OK;
    }
    return fr_fail(err, FR_ESTATE, "a move from %s to %s is not allowed", fr_state_name(from),
                   fr_state_name(to));
}
