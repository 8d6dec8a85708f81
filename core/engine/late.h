#pragma once
// late -- modules that task bodies required after loading (engine.md C1).
//
// The first text of a module that a run saw is the run's: it is recorded as an addendum (name,
// bundle, file hash, path; the text is a blob) in the log before the result of the body that
// asked, and later requires, on any worker and after a resume, get that text. A rerun with
// other code starts anew. One fr_late per run. find and put: any thread; the rest belongs to
// the engine's. Modules live as long as the fr_late.

#include "core/engine/sched.h"
#include "core/engine/store.h"

typedef struct fr_late fr_late;

typedef struct fr_late_module {
    const char *name, *path;
    const void *text;
    size_t size;
    fr_hash hash;                        // of the text
} fr_late_module;

fr_late *fr_late_new(void);
void fr_late_free(fr_late *l);           // NULL is fine
const fr_late_module *fr_late_find(fr_late *l, const char *name);      // NULL: not yet required
// The module as it counts: this one, or the one that another worker was first with.
const fr_late_module *fr_late_put(fr_late *l, const char *name, const char *path,
                                  const void *text, size_t size);
// Records what is new. Before the end of the attempt that required it is given to the scheduler.
void fr_late_record(fr_late *l, fr_sched *s, fr_store *store, fr_hash bundle);
// Of a resumed run: notes a record of the log that is an addendum of this bundle …
void fr_late_load(fr_late *l, const fr_record *r, fr_hash bundle);
// … and fetches the texts when all are read.
FR_NODISCARD int fr_late_fetch(fr_late *l, fr_store *store, fr_err *err);
