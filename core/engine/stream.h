#pragma once
// stream -- an unbounded queue of bytes from one thread to one other thread, without locks.
//
// The writer reserves room, fills it and commits a record; the reader sees committed records
// at once. Memory is blocks of 64 KiB that the reader frees or hands back for reuse.
// Lifetime: embedded; init before both threads use it, fini when neither does any more.

#include "core/base/base.h"

#include <stdatomic.h>
#include <stdint.h>

typedef struct fr_stream_block fr_stream_block;
typedef struct fr_stream {
    fr_stream_block *tail;                     // the writer's
    size_t written;                            // bytes used in tail
    _Atomic(fr_stream_block *) spare;          // an empty block on its way back
    fr_stream_block *head;                     // the reader's
    size_t read;                               // bytes consumed in head
} fr_stream;

void fr_stream_init(fr_stream *s);
void fr_stream_fini(fr_stream *s);             // what is still inside is dropped
void *fr_stream_reserve(fr_stream *s, size_t n);     // writer: room for n bytes, 8-byte aligned
void fr_stream_commit(fr_stream *s, size_t n);       // writer: n bytes of it are a record
// Reader: the record at the front (its bytes say where it ends), or NULL.
const void *fr_stream_peek(fr_stream *s);
void fr_stream_drop(fr_stream *s, size_t n);         // reader: done with it; n as committed
