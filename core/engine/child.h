#pragma once
// child -- processes that the run's reaper starts, served by a uv loop (engine.md A3).
//
// A fr_children is one channel to the reaper; it belongs to the thread of its loop, and so
// do its children. Output is read as it comes; `ended` is called once per started child,
// when the process has ended and its output is complete, and frees the fr_child.

#include "core/engine/reaper.h"

#include <stdbool.h>
#include <stddef.h>

struct uv_loop_s;
typedef struct fr_children fr_children;
typedef struct fr_child fr_child;

typedef struct fr_child_end {
    int start_errno;             // not 0: it could not be started; nothing else is set
    bool lost;                   // the reaper died, and the child with it
    bool timed_out, stopped;     // fr_child_stop was called, by the time limit or otherwise
    int code;                    // exit code; -1 when a signal ended it
    int signal;                  // 0 when it exited
    int64_t cpu_ns;
    int64_t max_rss_kib;
} fr_child_end;

typedef struct fr_child_spec {
    const char *const *argv;     // argv[0] is looked for in $PATH
    const char *const *env;      // "NAME=value"; NULL: the run's
    const char *dir;             // NULL: the run's
    const void *input;           // copied; then end of file
    size_t input_size;
    int socket;                  // > 0: the child's standard input instead; borrowed
    bool background;             // does not keep the loop alive
    int64_t timeout_ms;          // 0: none
    int64_t grace_ms;            // between SIGTERM and SIGKILL of a stop
    // stream: 1 or 2. Bytes as they come.
    void (*output)(void *ctx, int stream, const char *bytes, size_t n);
    void (*ended)(void *ctx, const fr_child_end *end);
    void *ctx;
} fr_child_spec;

FR_NODISCARD int fr_children_open(struct uv_loop_s *loop, fr_reaper *reaper,
                                  const char *const reaper_argv[], fr_children **out, fr_err *err);
// Children that still run are killed; no callback follows. The memory goes when the loop has
// closed the handles.
void fr_children_close(fr_children *c);
bool fr_children_lost(const fr_children *c);     // the reaper is gone: open another one
void fr_children_unref(fr_children *c);          // the channel does not keep the loop alive
// FR_ELOST: the reaper is gone, open another channel.
FR_NODISCARD int fr_child_start(fr_children *c, const fr_child_spec *spec, fr_child **out,
                                fr_err *err);
// SIGTERM to its group, SIGKILL after its grace; `ended` follows.
void fr_child_stop(fr_child *p);
// SIGKILL to its group at once; `ended` follows.
void fr_child_kill(fr_child *p);
// Kills it and forgets it: no callback follows.
void fr_child_drop(fr_child *p);
