#pragma once
// mailbox -- how other threads reach a thread that runs a uv loop.
//
// A mailbox belongs to the thread of its loop; fr_mailbox_post and fr_mailbox_wake may be
// called from any thread. A wake makes `fn` run once on the loop's thread; wakes coalesce, so
// fn must drain everything it knows of. Producers pay a system call only when the consumer
// really sleeps, and a consumer that was busy a moment ago and expects an answer spins a
// little before it sleeps: waking an idle virtual CPU costs about 40 us.
// Lifetime: from open to close; the memory goes when the loop has closed the handles, so the
// loop must turn once more after fr_mailbox_close.

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct uv_loop_s;
typedef struct fr_mailbox fr_mailbox;
// Returns whether to go on spinning for more; false lets the loop turn at once.
typedef bool (*fr_mailbox_fn)(void *ctx);

typedef struct fr_mail {         // first member of a message; owned by the queue until taken
    struct fr_mail *next;
} fr_mail;

FR_NODISCARD int fr_mailbox_open(struct uv_loop_s *loop, fr_mailbox_fn fn, void *ctx,
                                 fr_mailbox **out, fr_err *err);
void fr_mailbox_close(fr_mailbox *m);
// Another function that every wake runs, so that one mailbox serves a whole loop: two would
// not see each other's messages while they spin. At most 8.
void fr_mailbox_listen(fr_mailbox *m, fr_mailbox_fn fn, void *ctx);
void fr_mailbox_unlisten(fr_mailbox *m, void *ctx);
// One that belongs to no loop and lets wakes pass: for threads that outlive their consumer.
fr_mailbox *fr_mailbox_deaf(void);
void fr_mailbox_post(fr_mailbox *m, fr_mail *mail);   // queues and wakes
fr_mail *fr_mailbox_take(fr_mailbox *m);              // everything queued, oldest first
void fr_mailbox_wake(fr_mailbox *m);                  // fn will run
// Consumer: `change` more (or fewer) answers are awaited. While the sum is positive the
// mailbox keeps its loop alive and may spin; at zero it does neither.
void fr_mailbox_expect(fr_mailbox *m, int change);
void fr_mailbox_keep(fr_mailbox *m, int change);      // keeps the loop alive, without spinning
// Consumer, outside uv_run: spins as the loop would; true when a wake came (fn has run).
bool fr_mailbox_spin(fr_mailbox *m);
