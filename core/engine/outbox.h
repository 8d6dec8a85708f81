#pragma once
// outbox -- messages to other systems that a task leaves behind with its result (engine.md D7):
// how they are packed, and what becomes of one after an attempt to deliver it.
//
// Pure. The store keeps the rows (store_sqlite_outbox.c), run_outbox.c delivers them.

#include "core/base/buf.h"
#include "core/data/value.h"
#include "core/engine/retry.h"

#define FR_OUTBOX_HTTP "flowrun:outbox"        // the task that makes HTTP requests

enum { FR_OUTBOX_TEXT = 1024, FR_OUTBOX_MOST = 1000 };   // bytes of a name; messages of an attempt

typedef struct fr_outbox_message {
    const char *task;                          // who delivers: "module:sender"
    const char *name, *key;                    // for people; the idempotency key
    fr_retry_plan retry;
    uint32_t n_args;
    const void *args;                          // a packed list
    size_t args_size;
} fr_outbox_message;

// Appends a message.
void fr_outbox_put(fr_buf *b, const fr_outbox_message *m);
// The next of the messages in r. Texts and args point into its bytes; *bytes, *n (may be NULL)
// is the message as it can be read again. false at the end or on damage (r->failed).
bool fr_outbox_next(fr_reader *r, fr_outbox_message *out, const void **bytes, size_t *n);

// Stored: append only.
typedef enum fr_outbox_state {
    FR_OUTBOX_PENDING = 0,
    FR_OUTBOX_DELIVERED = 1,
    FR_OUTBOX_DEAD = 2,                        // given up; a person decides
    FR_OUTBOX_DROPPED = 3,                     // by a person
    FR_OUTBOX_STATES,
} fr_outbox_state;
const char *fr_outbox_state_name(fr_outbox_state state);

typedef struct fr_outbox_verdict {
    fr_outbox_state state;
    int64_t due;                               // PENDING: wall ns of the next attempt
} fr_outbox_verdict;

// After attempt `made` (from 1) ended at `now`: delivered, tried again later, or dead because it
// can never succeed (!again) or because no retries are left. Deterministic from the key.
fr_outbox_verdict fr_outbox_judge(const fr_outbox_message *m, uint32_t made, bool ok, bool again,
                                  int64_t now);
