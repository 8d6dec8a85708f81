#pragma once
// failing -- a Lua allocator whose n-th allocation fails. Lua collects garbage and tries once
// more, so that the try after it fails too; later ones succeed. One state, one thread.

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

typedef struct failing {
    long left;               // allocations before the failing one; LONG_MAX: never
    long count;              // allocations asked for
    size_t bytes;            // in use
    bool failed;
} failing;

static inline void *failing_alloc(void *ud, void *p, size_t old, size_t size)
{
    failing *f = ud;
    if (p == NULL) {
        old = 0;             // then it is the kind of object
    }
    if (size == 0) {
        f->bytes -= old;
        free(p);
        return NULL;
    }
    if (size > old) {
        f->count++;
        f->left--;
        if (f->left == -1 || f->left == -2) {
            f->failed = true;
            return NULL;
        }
    }
    void *q = realloc(p, size);
    if (q != NULL) {
        f->bytes = f->bytes - old + size;
    }
    return q;
}
