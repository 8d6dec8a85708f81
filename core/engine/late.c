#include "core/engine/late.h"

#include "core/base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

typedef struct late {
    fr_late_module m;                    // owns all it points to
    bool recorded;
    struct late *next;
} late;

struct fr_late {
    pthread_mutex_t lock;                // guards the list
    late *first;                         // latest first
    atomic_bool fresh;                   // some are not recorded
};

enum { HEAD = 32 };                      // of an addendum's data: bundle, file hash; then the path

fr_late *fr_late_new(void)
{
    fr_late *l = fr_zalloc(sizeof *l);
    (void)pthread_mutex_init(&l->lock, NULL);
    return l;
}

void fr_late_free(fr_late *l)
{
    if (l == NULL) {
        return;
    }
    for (late *e = l->first, *next; e != NULL; e = next) {
        next = e->next;
        fr_free((void *)(uintptr_t)e->m.name);
        fr_free((void *)(uintptr_t)e->m.path);
        fr_free((void *)(uintptr_t)e->m.text);
        fr_free(e);
    }
    (void)pthread_mutex_destroy(&l->lock);
    fr_free(l);
}

static late *find(const fr_late *l, const char *name)
{
    late *e = l->first;
    while (e != NULL && strcmp(e->m.name, name) != 0) {
        e = e->next;
    }
    return e;
}

static late *add(fr_late *l, const char *name, const char *path, fr_hash hash)
{
    late *e = fr_zalloc(sizeof *e);
    e->m = (fr_late_module){.name = fr_strdup(name), .path = fr_strdup(path), .hash = hash};
    e->next = l->first;
    l->first = e;
    return e;
}

static void set_text(late *e, const void *text, size_t size)
{
    void *copy = fr_alloc(size + 1);
    if (size > 0) {
        memcpy(copy, text, size);
    }
    e->m.text = copy;
    e->m.size = size;
}

const fr_late_module *fr_late_find(fr_late *l, const char *name)
{
    (void)pthread_mutex_lock(&l->lock);
    const late *e = find(l, name);
    (void)pthread_mutex_unlock(&l->lock);
    return e != NULL ? &e->m : NULL;
}

const fr_late_module *fr_late_put(fr_late *l, const char *name, const char *path, const void *text,
                                  size_t size)
{
    (void)pthread_mutex_lock(&l->lock);
    late *e = find(l, name);
    if (e == NULL) {
        e = add(l, name, path, fr_hash_bytes(text, size));
        set_text(e, text, size);
        atomic_store(&l->fresh, true);
    }
    (void)pthread_mutex_unlock(&l->lock);
    return &e->m;
}

static void record(const fr_late_module *m, fr_sched *s, fr_store *store, fr_hash bundle)
{
    // A text that cannot be kept (too large) is required from its file again after a crash.
    if (store == NULL || fr_store_blob_put(store, m->hash, m->text, m->size, NULL) != FR_OK) {
        return;
    }
    uint8_t head[HEAD];
    fr_hash_store(bundle, head);
    fr_hash_store(m->hash, head + 16);
    fr_buf data;
    fr_buf_init(&data, SIZE_MAX / 2);
    fr_buf_put(&data, head, sizeof head);
    fr_buf_put_str(&data, m->path);
    fr_sched_addendum(s, m->name, data.data, data.size);
    fr_buf_fini(&data);
}

void fr_late_record(fr_late *l, fr_sched *s, fr_store *store, fr_hash bundle)
{
    if (!atomic_load_explicit(&l->fresh, memory_order_acquire)) {
        return;
    }
    (void)pthread_mutex_lock(&l->lock);
    atomic_store(&l->fresh, false);
    for (late *e = l->first; e != NULL; e = e->next) {
        if (!e->recorded) {
            e->recorded = true;
            record(&e->m, s, store, bundle);
        }
    }
    (void)pthread_mutex_unlock(&l->lock);
}

void fr_late_load(fr_late *l, const fr_record *r, fr_hash bundle)
{
    const uint8_t *data = r->data;
    if (r->type != FR_REC_ADDENDUM || r->size < HEAD || find(l, r->name) != NULL ||
        !fr_hash_eq(fr_hash_load(data), bundle)) {
        return;
    }
    char *path = fr_strndup((const char *)data + HEAD, r->size - HEAD);
    add(l, r->name, path, fr_hash_load(data + 16))->recorded = true;
    fr_free(path);
}

int fr_late_fetch(fr_late *l, fr_store *store, fr_err *err)
{
    int rc = FR_OK;
    for (late *e = l->first; e != NULL && rc == FR_OK; e = e->next) {
        fr_buf text;
        fr_buf_init(&text, SIZE_MAX / 2);
        rc = fr_store_blob_get(store, e->m.hash, &text, err);
        if (rc == FR_OK) {
            set_text(e, text.data, text.size);
        } else {
            rc = fr_wrap(err, rc, "the module %s that the run required late", e->m.name);
        }
        fr_buf_fini(&text);
    }
    return rc;
}
