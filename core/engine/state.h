#pragma once
// state -- the twelve states of a task or run and the one table of legal moves (engine.md F).
// Pure; any thread. The reason is for people; orchestration reads only the state.

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

// Stored: append only. X(name, number)
#define FR_STATE_LIST(X)                                                                 \
    X(WAITING, 1)                                                                        \
    X(SCHEDULED, 2)                                                                      \
    X(QUEUED, 3)                                                                         \
    X(STARTING, 4)                                                                       \
    X(RUNNING, 5)                                                                        \
    X(DEFERRED, 6)                                                                       \
    X(PAUSED, 7)                                                                         \
    X(CANCELLING, 8)                                                                     \
    X(SUCCESS, 9)                                                                        \
    X(SKIPPED, 10)                                                                       \
    X(FAILED, 11)                                                                        \
    X(STOPPED, 12)

typedef enum fr_state {
    FR_STATE_NONE = 0,           // not created yet
#define X(name, number) FR_##name = (number),
    FR_STATE_LIST(X)
#undef X
} fr_state;

// Stored: append only. X(name, number, shown)
#define FR_REASON_LIST(X)                                                                \
    X(NONE, 0, "")                                                                       \
    X(DEPS, 1, "deps")                                                                   \
    X(DURABLE, 2, "durable")                                                             \
    X(RETRY, 3, "retry")                                                                 \
    X(RESUME, 4, "resume")                                                               \
    X(RERUN, 5, "rerun")                                                                 \
    X(WORKER, 6, "worker")                                                               \
    X(FIRST, 7, "first")                                                                 \
    X(TIMER, 8, "timer")                                                                 \
    X(USER, 9, "user")                                                                   \
    X(TIMEOUT, 10, "timeout")                                                            \
    X(PARENT, 11, "parent")                                                              \
    X(RAN, 12, "ran")                                                                    \
    X(CACHED, 13, "cached")                                                              \
    X(DEGRADED, 14, "degraded")                                                          \
    X(ERROR, 15, "error")                                                                \
    X(UPSTREAM, 16, "upstream")                                                          \
    X(CANCELLED, 17, "cancelled")                                                        \
    X(CRASHED, 18, "crashed")                                                            \
    X(DIVERGED, 19, "diverged")                                                          \
    X(QUALITY, 20, "quality")                                                            \
    X(EMPTY_MAP, 21, "empty_map")                                                        \
    X(QUARANTINED, 22, "quarantined")                                                    \
    X(INTERRUPTED, 23, "interrupted")                                                    \
    X(SIGNAL, 24, "signal")                                                              \
    X(HUMAN, 25, "approval")                                                             \
    X(POKE, 26, "sensor")                                                                \
    X(LIMIT, 27, "limit")                                                                \
    X(QUEUE_TIMEOUT, 28, "queue_timeout")                                                \
    X(CONDITION, 29, "condition")                                                        \
    X(UPSTREAM_SKIPPED, 30, "upstream_skipped")                                          \
    X(RULE, 31, "trigger_rule")                                                          \
    X(ITSELF, 32, "itself")                                                              \
    X(DEADLINE, 33, "deadline")                                                          \
    X(FAIL_FAST, 34, "fail_fast")                                                        \
    X(DRAINED, 35, "drained")                                                            \
    X(MAX_RUNNING, 36, "max_running")                                                    \
    X(ALONE, 37, "alone")

typedef enum fr_reason {
#define X(name, number, shown) FR_BECAUSE_##name = (number),
    FR_REASON_LIST(X)
#undef X
} fr_reason;

const char *fr_state_name(fr_state s);      // "SUCCESS"
const char *fr_reason_name(fr_reason r);    // "cached"
bool fr_state_is_final(fr_state s);
bool fr_state_can(fr_state from, fr_state to);
// FR_ESTATE naming both states when the move is illegal.
FR_NODISCARD int fr_state_check(fr_state from, fr_state to, fr_err *err);
