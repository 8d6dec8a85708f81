#pragma once
// fault -- named points where tests make the process die or a call fail.
//
//   int e = FR_FAULT("sys.write.before");     // 0, or the errno to pretend
//
// Costs one load while no plan is set. The plan is set once, before other threads start
// (main passes $FLOWRUN_FAULT), and lives until the process ends or another one is set.
//   plan   = point ("," point)*
//   point  = NAME [":" N ["+"]] "=" ("kill" | "stop" | "error=" ERRNO)
// The N-th hit of the point (default the first) acts; with "+" each later one too. "kill" is
// SIGKILL to ourselves: no handler, no flush; "stop" is SIGTSTP, as Ctrl-Z sends it. ERRNO is
// a name such as EIO or ENOSPC.

#include "core/base/err.h"

#include <stdatomic.h>
#include <stdbool.h>

// Every point there is, so that tests can visit them all. A point before a call may fail it
// without it having happened, one after a call pretends that it failed although it happened.
#define FR_FAULT_LIST(X)                                                                 \
    X("sys.open.before")                                                                 \
    X("sys.open.after")                                                                  \
    X("sys.write.before")                                                                \
    X("sys.write.after")                                                                 \
    X("sys.sync.before")                                                                 \
    X("sys.sync.after")                                                                  \
    X("sys.rename.before")                                                               \
    X("sys.rename.after")                                                                \
    X("sys.unlink.before")                                                               \
    X("sys.unlink.after")                                                                \
    X("sys.mkdir.before")                                                                \
    X("sys.mkdir.after")                                                                 \
    X("sys.truncate.before")                                                             \
    X("sys.truncate.after")                                                              \
    X("sys.lock.before")                                                                 \
    X("sys.lock.after")                                                                  \
    X("sys.spawn.before")                                                                \
    X("sys.spawn.after")                                                                 \
    X("sys.exec.before")                                                                 \
    X("store.begin.before")                                                              \
    X("store.begin.after")                                                               \
    X("store.commit.before")                                                             \
    X("store.commit.after")                                                              \
    X("store.durable.before")                                                            \
    X("store.checkpoint.before")                                                         \
    X("store.checkpoint.after")

#define FR_FAULT(name)                                                                   \
    (FR_UNLIKELY(atomic_load_explicit(&fr_fault_armed, memory_order_relaxed))            \
         ? fr_fault_hit(name)                                                            \
         : 0)

extern atomic_bool fr_fault_armed;               // private to the macro

// Replaces the plan; NULL or "" clears it. FR_EINVAL says what is wrong with it.
FR_NODISCARD int fr_fault_set(const char *plan, fr_err *err);
int fr_fault_hit(const char *name);              // through FR_FAULT only
const char *const *fr_fault_names(size_t *n);    // all points
unsigned long fr_fault_hits(const char *name);   // while a plan is set
