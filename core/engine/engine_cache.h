#pragma once
// engine_cache -- the questions of one run's scheduler to the store, waiting for their answer.
// Owned by the run; everything on the engine's thread.

#include "core/engine/sched.h"
#include "core/engine/store.h"

typedef struct fr_lookups fr_lookups;

fr_lookups *fr_lookups_new(void);
void fr_lookups_free(fr_lookups *q);
void fr_lookups_put(fr_lookups *q, const fr_lookup *l);
bool fr_lookups_waiting(const fr_lookups *q);
// Answers all of them by fr_sched_found. store may be NULL; what cannot be read is computed,
// and a line of the log says why.
void fr_lookups_answer(fr_lookups *q, fr_store *store, fr_store_run *log, fr_sched *s);
