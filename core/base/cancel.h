#pragma once
// cancel -- how long-running kernels learn that their result is no longer wanted.
//
// The worker sets the token of the attempt it runs with fr_cancel_enter; kernels (and the
// compute pool's helpers, which inherit it) poll fr_cancelled() at least every 5 ms of
// work and return FR_ECANCELLED. The flag may be set from any thread or a signal handler.

#include <stdatomic.h>
#include <stdbool.h>

typedef struct fr_cancel {
    atomic_int flag;                          // 0, or the FR_E* code to stop with
} fr_cancel;

fr_cancel *fr_cancel_enter(fr_cancel *token); // makes it this thread's; returns the previous
bool fr_cancelled(void);                      // cheap: one relaxed load
int fr_cancel_code(void);                     // FR_ECANCELLED or FR_ETIMEOUT; 0 when not set
void fr_cancel_set(fr_cancel *token, int code);
fr_cancel *fr_cancel_current(void);
