#pragma once
// exec_wire -- what the process executor (exec_process.c) and its worker processes
// (exec_child.c) say to each other, and how.
//
// A message is one packet of a SOCK_SEQPACKET socket: a head, then at most WIRE_INLINE bytes;
// a longer body travels as a sealed memfd, and so does every object (frame, model …), saved
// by its own operations, so that a large frame is shared pages, not a copy. Both ends are the
// same program. The worker trusts its engine; the engine checks what a worker says, because
// code in it may have gone wild. Packets belong to one thread at a time.

#include "core/engine/exec.h"

enum { WIRE_INLINE = 32 * 1024, WIRE_MOST = 1 << 30 };

typedef enum wire_type {
    // to the worker
    WIRE_CODE = 1,               // bundle, names, seed, sources; once; attached: reaper channel
    WIRE_OBJECT,                 // kind, hash; attached: its file. Both ways
    WIRE_CALL,                   // an attempt; of a map: with its list
    WIRE_START,                  // run it; of a map: this item
    WIRE_CANCEL,                 // code
    WIRE_DURABLE,                // place in the log
    WIRE_FORGET,                 // the objects it was given
    // from the worker
    WIRE_STARTED,                // wall time
    WIRE_LINE,                   // of the log
    WIRE_DONE,                   // outcome, and how much memory the process has
    WIRE_KEEP,                   // what the body keeps for its next attempt
} wire_type;

typedef struct wire_packet {
    struct wire_packet *next;
    uint32_t type;
    size_t size;                 // of the body
    int body_fd, fd;             // -1: none; fd: attached
    uint8_t bytes[];             // the body, when body_fd < 0
} wire_packet;

// Takes fd (-1: none), also when it fails.
FR_NODISCARD int fr_wire_packet(uint32_t type, const void *bytes, size_t size, int fd,
                                wire_packet **out, fr_err *err);
void fr_wire_packet_free(wire_packet *p);
// 0 or errno (EAGAIN with MSG_DONTWAIT). Any thread: packets do not mix.
int fr_wire_send(int socket, const wire_packet *p, int flags);

typedef struct wire_in {         // one received packet
    uint32_t type;
    const uint8_t *bytes;
    size_t size;
    int fd;                      // attached; the receiver may take it and set it to -1
    void *owned;                 // a long body
    uint8_t room[WIRE_INLINE + 64];
} wire_in;
// 1: a packet is in `in`; 0: none now (MSG_DONTWAIT); -1: the other end is gone or odd.
int fr_wire_receive(int socket, wire_in *in, int flags);
void fr_wire_in_fini(wire_in *in);

// Values: length, bytes, handles, objects as (kind, hash).
void fr_wire_put_value(fr_buf *b, const fr_value *v);          // NULL is fine
void fr_wire_put_text(fr_buf *b, const char *text);            // NULL is fine
const char *fr_wire_read_text(fr_reader *r);                   // into the body; NULL
// Objects by hash, as received. Returns a new reference or NULL.
typedef fr_object *(*wire_find_fn)(void *ctx, fr_hash hash);
// check: the bytes are checked completely. *out NULL when there was none.
FR_NODISCARD int fr_wire_read_value(fr_reader *r, wire_find_fn find, void *ctx, bool check,
                                    fr_value **out, fr_err *err);
// An object as a packet of its own; and back: loads what a WIRE_OBJECT brought.
FR_NODISCARD int fr_wire_object(const fr_object *o, wire_packet **out, fr_err *err);
FR_NODISCARD int fr_wire_load(const wire_in *in, fr_object_kinds kinds, fr_hash *hash,
                              fr_object **out, fr_err *err);
