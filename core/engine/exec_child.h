#pragma once
// exec_child -- the inside of a worker process of the executor "process".
//
// It serves one run, one attempt at a time, on an executor "thread" with one worker, so that
// bodies behave as they do in the engine's own process: cancel, waits, effects and logs are
// the same code. Its engine speaks to it through descriptor 0; when that closes, it ends.

#include "core/engine/exec.h"

// Returns the exit status. bodies_config, kinds: as in fr_exec_env.
int fr_exec_child_main(const struct fr_body_ops *bodies, const void *bodies_config,
                       fr_object_kinds kinds);
