#pragma once
// reaper -- the small process that starts the children of a run and ends them (engine.md A3).
//
// It is this very program, started by posix_spawn at the first child, in a session of its
// own, with no descriptor but its control socket and its lock file; a subreaper, so that
// what its children leave behind becomes its child. When the control socket closes -- the
// run ended, or was killed -- it kills all groups, then every process that has become its
// child, until none is left. core/engine/child.h talks to it.
//
// A fr_reaper belongs to a run; fr_reaper_channel may be called from any thread.
#include "core/base/err.h"

#include <stdint.h>

typedef struct fr_reaper fr_reaper;

fr_reaper *fr_reaper_new(const char *lock);      // starts nothing; lock: path or NULL
// One whose first channel is `fd`, which another process got for us: what is started through
// it dies with this process. Takes the descriptor.
fr_reaper *fr_reaper_adopt(int fd);
// Ends the process, if it was started, and waits (a little) until all its children are gone.
void fr_reaper_free(fr_reaper *r);
// A new channel to the process, which is started when there is none: argv is how to call
// fr_reaper_main, "%d" in it becomes the descriptor. Children of a channel are killed when
// it is closed. The caller owns *fd (SOCK_SEQPACKET, non-blocking, close-on-exec).
FR_NODISCARD int fr_reaper_channel(fr_reaper *r, const char *const argv[], int *fd,
                                   fr_err *err);
// The process itself: returns its exit status. lock: path, "" for none.
int fr_reaper_main(int fd, const char *lock);

// --- messages on a channel; each is one packet ---

typedef enum fr_reaper_op {
    FR_REAPER_START = 1,     // descriptors: specification, stdout, stderr [, stdin]
    FR_REAPER_KILL = 2,      // value: signal for the child's group
} fr_reaper_op;
typedef struct fr_reaper_request {
    uint32_t op, id;         // id: the caller's name of the child
    int32_t value;
} fr_reaper_request;
// A specification is a file: u32 n, n strings with NUL: argv; u32 n, n strings: environment
// (none: the run's); u32 n (0 or 1), n strings: working directory.

typedef enum fr_reaper_news {
    FR_REAPER_STARTED = 1,   // value: pid
    FR_REAPER_FAILED = 2,    // value: errno
    FR_REAPER_ENDED = 3,     // value: wait status
} fr_reaper_news;
typedef struct fr_reaper_reply {
    uint32_t news, id;
    int32_t value;
    int32_t max_rss_kib;     // ENDED
    int64_t cpu_ns;
} fr_reaper_reply;
