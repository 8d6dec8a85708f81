#pragma once
// object -- what frames, arrays, models and other shared things have in common.
//
// An object is immutable once published and shared between threads by reference: embed
// fr_object as the first member. Values (core/data/value.h) carry objects by reference and
// name them by content hash; the store keeps them as content-addressed files made by
// ops->save. Engine code knows objects only through these operations.

#include "core/base/err.h"
#include "core/base/hash.h"

#include <stdatomic.h>

// Stored in values and file names: append only.
enum {
    FR_KIND_FRAME = 1,
    FR_KIND_ARRAY = 2,
    FR_KIND_MODEL = 3,
    FR_KIND_FILE = 4,
    FR_KIND_SECRET = 5,
    FR_KIND_FORECASTER = 6,
};

typedef struct fr_object fr_object;

typedef struct fr_object_ops {
    const char *name;                                    // "frame", as people read it
    uint8_t kind;                                        // FR_KIND_*
    void (*destroy)(fr_object *o);                       // last reference is gone
    fr_hash (*hash)(const fr_object *o);                 // of logical content; cached by the object
    size_t (*size)(const fr_object *o);                  // bytes of memory, roughly
    int (*save)(const fr_object *o, const char *path, fr_err *err);  // writes a new file; no fsync
    int (*load)(const char *path, fr_object **out, fr_err *err);     // one reference to the caller
    fr_object *(*compact)(const fr_object *o);           // (optional) see fr_object_compact
} fr_object_ops;

struct fr_object {
    const fr_object_ops *ops;
    atomic_uint refs;
};

static inline void fr_object_init(fr_object *o, const fr_object_ops *ops)   // refs = 1
{
    o->ops = ops;
    atomic_init(&o->refs, 1);
}
fr_object *fr_object_ref(const fr_object *o);            // any thread; returns o
void fr_object_unref(const fr_object *o);                // NULL is fine; any thread
// A reference to o, or to an equal object that does not keep much more memory alive than it
// needs: for what outlives the task that made it (frames.md B1).
fr_object *fr_object_compact(const fr_object *o);

// The kinds a process knows, handed to whoever must load objects (NULL-terminated).
typedef const fr_object_ops *const *fr_object_kinds;
const fr_object_ops *fr_object_kind(fr_object_kinds kinds, uint8_t kind);   // NULL if unknown
