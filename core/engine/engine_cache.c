// What the scheduler asks the store for: results by key, and the content of the files that
// count. Questions are answered together, in one snapshot, before flow code goes on.
#include "core/engine/engine_cache.h"

#include "core/base/clock.h"
#include "core/base/map.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 16, WARN = 30 };

typedef struct known_file {
    int64_t size, changed_ns, inode;
    fr_hash hash;
} known_file;

struct fr_lookups {
    fr_lookup *list;
    uint32_t n, room;
    fr_map files;                     // path -> index into known
    known_file *known;
    uint32_t n_known;
};

fr_lookups *fr_lookups_new(void)
{
    fr_lookups *q = fr_zalloc(sizeof *q);
    fr_map_init(&q->files);
    return q;
}

void fr_lookups_free(fr_lookups *q)
{
    if (q != NULL) {
        fr_map_fini(&q->files);
        fr_free(q->known);
        fr_free(q->list);
        fr_free(q);
    }
}

void fr_lookups_put(fr_lookups *q, const fr_lookup *l)
{
    if (q->n == q->room) {
        q->room = q->room * 2 + 16;
        q->list = fr_realloc(q->list, q->room * sizeof *q->list);
    }
    q->list[q->n++] = *l;
}

bool fr_lookups_waiting(const fr_lookups *q) { return q->n > 0; }

// --- files ---

static bool hash_content(int fd, fr_hash *out)
{
    uint8_t *bytes = fr_alloc(READ_BYTES);
    fr_hasher *h = fr_hasher_new();
    ssize_t n;
    do {
        n = read(fd, bytes, READ_BYTES);
        if (n > 0) {
            fr_hasher_put(h, bytes, (size_t)n);
        }
    } while (n > 0 || (n < 0 && errno == EINTR));
    *out = fr_hasher_end(h);
    fr_hasher_free(h);
    fr_free(bytes);
    return n == 0;
}

// A file that is not there counts as such. Content is read again when the file has changed.
static fr_hash hash_file(fr_lookups *q, const char *path)
{
    struct stat st;
    fr_hash absent = {.lo = 1, .hi = 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return absent;
    }
    bool fresh;
    uint64_t *at = fr_map_put(&q->files, fr_hash_str(path), &fresh);
    if (fresh) {
        *at = q->n_known++;
        q->known = fr_realloc(q->known, q->n_known * sizeof *q->known);
        q->known[*at] = (known_file){.inode = -1};
    }
    known_file *k = &q->known[*at];
    int64_t changed = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    bool same = k->size == st.st_size && k->changed_ns == changed && k->inode == (int64_t)st.st_ino;
    // Within the clock's grain a change may leave the time as it was.
    bool settled = changed + INT64_C(2000000000) < fr_clock_wall_ns();
    if (!same || !settled) {
        fr_hash h;
        bool ok = hash_content(fd, &h);
        *k = (known_file){st.st_size, changed, ok ? (int64_t)st.st_ino : -1, ok ? h : absent};
    }
    (void)close(fd);
    return k->hash;
}

// --- answers ---

static void warn(fr_store_run *log, const fr_lookup *l, const fr_err *err)
{
    char text[FR_ERR_MAX + 200];
    int n = snprintf(text, sizeof text, "the cached result of %s cannot be used, it is computed "
                     "anew: %s", l->task, err->text);
    if (log != NULL) {
        (void)fr_store_log(log, 0, 0, 0, WARN, text, FR_MIN((size_t)n, sizeof text - 1));
    }
}

static void answer(fr_lookups *q, const fr_lookup *l, fr_store *store, fr_store_run *log,
                   fr_sched *s)
{
    fr_hash *files = l->n_files > 0 ? fr_alloc(l->n_files * sizeof *files) : NULL;
    for (uint32_t i = 0; i < l->n_files; i++) {
        files[i] = hash_file(q, l->files[i]);
    }
    fr_hash *keys = fr_alloc(((size_t)l->n + 1) * sizeof *keys);
    fr_found *found = fr_alloc(((size_t)l->n + 1) * sizeof *found);
    for (uint32_t i = 0; i < l->n; i++) {
        keys[i] = l->keys[i];
        for (uint32_t k = 0; k < l->n_files && !fr_hash_is_zero(keys[i]); k++) {
            keys[i] = fr_hash_pair(keys[i], files[k]);
        }
        found[i] = (fr_found){.verdict = FR_CACHE_MISS};
    }
    fr_err err = FR_ERR_INIT;
    if (store != NULL && fr_store_find(store, l, keys, found, &err) != FR_OK) {
        warn(log, l, &err);
    }
    fr_sched_found(s, l->node, found, l->n, files);
    fr_free(found);
    fr_free(keys);
    fr_free(files);
}

void fr_lookups_answer(fr_lookups *q, fr_store *store, fr_store_run *log, fr_sched *s)
{
    for (uint32_t i = 0; i < q->n; i++) {      // an answer may ask again: the list grows
        fr_lookup l = q->list[i];
        answer(q, &l, store, log, s);
    }
    q->n = 0;
}
