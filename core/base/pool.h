#pragma once
// pool -- the compute pool: chunks of ML and frame kernels on all cores.
//
// A kernel calls fr_pool_run(n, fn, ctx): fn(ctx, i) runs once for each i in [0, n), on the
// calling thread and on idle helpers; the call returns when all are done. Chunk boundaries
// must depend on the data only, never on the number of threads, so that results have the
// same bits at any thread count. Helpers inherit the caller's cancel token; after a cancel
// remaining chunks are skipped and the call returns FR_ECANCELLED (or FR_ETIMEOUT).
// Nested calls are fine: the caller always works too, so nothing can deadlock.
// Helper threads start at the first call that wants them and never touch a Lua state.

#include "core/base/base.h"

typedef void (*fr_pool_fn)(void *ctx, size_t i);

int fr_pool_run(size_t n, fr_pool_fn fn, void *ctx);   // FR_OK or the cancel code
// As above; fn returns FR_OK or a code: the code of the lowest failing chunk is returned.
typedef int (*fr_pool_try_fn)(void *ctx, size_t i);
int fr_pool_try(size_t n, fr_pool_try_fn fn, void *ctx);
// Most threads (caller included) that calls from this thread may use; 0 = all cores.
// Set by the worker from the task's resources.cpu. Returns the value before.
unsigned fr_pool_limit(unsigned threads);
unsigned fr_pool_threads(void);                        // what a call from here may use now
void fr_pool_setup(unsigned threads);                  // size of the pool; before first use
void fr_pool_shutdown(void);                           // joins helpers; tests and module unload
