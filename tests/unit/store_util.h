#pragma once
// store_util -- what the tests of the store share: a home of their own, records, collecting.

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/base/mem.h"
#include "core/engine/store.h"
#include "tests/unit/check.h"

#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct home {
    char path[64];
    atomic_ullong durable, calls;
    atomic_int trouble, troubles;
    fr_err err;
} home;

static inline void home_durable(void *ctx, fr_store_run *run, uint64_t seq)
{
    home *h = ctx;
    (void)run;
    atomic_store(&h->durable, seq);
    (void)atomic_fetch_add(&h->calls, 1);
}

static inline void home_trouble(void *ctx, int code, const fr_err *err)
{
    home *h = ctx;
    h->err = *err;
    (void)atomic_fetch_add(&h->troubles, 1);
    atomic_store(&h->trouble, code);
}

static inline void home_init(home *h)
{
    memset(h, 0, sizeof *h);
    // In memory where there is such a place: hundreds of syncs cost seconds on a busy disk.
    (void)snprintf(h->path, sizeof h->path, "%s/fr-store-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(h->path) == NULL) {
        abort();
    }
}

static inline int home_remove_one(const char *path, const struct stat *st, int type,
                                  struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static inline void home_fini(home *h)
{
    (void)nftw(h->path, home_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline fr_store_env home_env(home *h)
{
    return (fr_store_env){.home = h->path, .durable = home_durable, .trouble = home_trouble,
                          .ctx = h};
}

static inline fr_store *home_open(home *h)
{
    fr_store_env env = home_env(h);
    fr_err err = FR_ERR_INIT;
    fr_store *s;
    if (fr_store_open(&env, &s, &err) != FR_OK) {
        (void)fprintf(stderr, "opening: %s\n", err.text);
        abort();
    }
    return s;
}

static inline fr_store_run *home_begin(fr_store *s)
{
    fr_run_info info = {.flow = "storm", .file = "/x/storm.lua", .bundle = {7, 8}, .seed = 42,
                        .started = 1000, .options = "{}"};
    fr_err err = FR_ERR_INIT;
    fr_store_run *r;
    if (fr_store_run_begin(s, &info, &r, &err) != FR_OK) {
        (void)fprintf(stderr, "beginning: %s\n", err.text);
        abort();
    }
    return r;
}

// A finished task whose fields follow from its number.
static inline void append_task(fr_store_run *r, uint64_t seq)
{
    char label[64];
    (void)snprintf(label, sizeof label, "0/fetch#%llu", (unsigned long long)seq);
    fr_value *v = fr_value_int((int64_t)seq * 3);
    fr_record rec = {
        .type = FR_REC_TASK, .kind = FR_CALL_TASK, .seq = seq, .row = (uint32_t)seq,
        .key = fr_hash_mix((fr_hash){1, 2}, seq), .args = fr_hash_mix((fr_hash){3, 4}, seq),
        .name = "storm:fetch", .label = label, .state = FR_SUCCESS, .reason = FR_BECAUSE_RAN,
        .attempt = 1, .queued = 1000000 + (int64_t)seq, .started = 1000100 + (int64_t)seq,
        .ended = 1000200 + (int64_t)seq, .result = v,
    };
    fr_store_append(r, &rec);
    fr_value_unref(v);
}

static inline bool is_task(const fr_record *rec, uint64_t seq)
{
    char label[64];
    (void)snprintf(label, sizeof label, "0/fetch#%llu", (unsigned long long)seq);
    fr_value *v = fr_value_int((int64_t)seq * 3);
    bool same = rec->type == FR_REC_TASK && rec->kind == FR_CALL_TASK && rec->seq == seq &&
                rec->row == seq && fr_hash_eq(rec->key, fr_hash_mix((fr_hash){1, 2}, seq)) &&
                fr_hash_eq(rec->args, fr_hash_mix((fr_hash){3, 4}, seq)) &&
                strcmp(rec->name, "storm:fetch") == 0 && rec->label != NULL &&
                strcmp(rec->label, label) == 0 && rec->state == FR_SUCCESS &&
                rec->reason == FR_BECAUSE_RAN && rec->attempt == 1 &&
                rec->queued == 1000000 + (int64_t)seq &&
                rec->started == 1000100 + (int64_t)seq && rec->ended == 1000200 + (int64_t)seq &&
                rec->result != NULL && fr_hash_eq(rec->result->hash, v->hash) &&
                rec->error == NULL && rec->due == 0 && rec->size == 0;
    fr_value_unref(v);
    return same;
}

// Counts records; the log must be the tasks 1, 2, 3 ….
typedef struct counted {
    uint64_t n, wrong, starts;
} counted;

static inline int count_tasks(void *ctx, const fr_record *rec, fr_err *err)
{
    counted *c = ctx;
    (void)err;
    if (rec->type == FR_REC_START) {
        c->starts++;
        return FR_OK;
    }
    c->n++;
    c->wrong += !is_task(rec, c->n);
    return FR_OK;
}
