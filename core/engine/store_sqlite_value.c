// Recorded values and their objects, from rows and from files.

#include "core/base/mem.h"
#include "core/base/sys.h"
#include "core/engine/store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void fr_loader_fini(fr_loader *l)
{
    for (size_t i = 0; i < l->n; i++) {
        fr_object_unref(l->objects[i]);
    }
    fr_free(l->objects);
    fr_free(l->found);
    fr_map_fini(&l->known);
}

// Out of the way, so that the same content can be written there again.
static int set_aside(const fr_loader *l, const char *path, fr_err *err)
{
    char aside[FR_STORE_PATH + 16];
    (void)snprintf(aside, sizeof aside, "%s.damaged", path);
    if (!l->store->env.read_only) {
        (void)!fr_sys_rename(path, aside, NULL);
    }
    return fr_fail(err, FR_ECORRUPT, "%s is damaged: its content has another hash", path);
}

static int load_object(fr_loader *l, uint8_t kind, fr_hash hash, fr_object **out)
{
    bool fresh;
    uint64_t *at = fr_map_put(&l->known, fr_hash_mix(hash, kind), &fresh);
    if (!fresh) {
        *out = l->objects[*at - 1];
        return FR_OK;
    }
    char path[FR_STORE_PATH];
    fr_store_object_path(l->store, kind, hash, path);
    const fr_object_ops *ops = fr_object_kind(l->store->env.kinds, kind);
    int rc = ops == NULL || ops->load == NULL
                 ? fr_fail(&l->err, FR_EUNSUPPORTED, "values of kind %u cannot be read back", kind)
                 : ops->load(path, out, &l->err);
    if (rc == FR_OK && !fr_hash_eq(ops->hash(*out), hash)) {
        fr_object_unref(*out);
        rc = set_aside(l, path, &l->err);
    }
    if (rc != FR_OK) {
        (void)fr_map_remove(&l->known, fr_hash_mix(hash, kind));
        return rc;
    }
    if (l->n == l->room) {
        l->room = l->room * 2 + 16;
        l->objects = fr_realloc(l->objects, l->room * sizeof *l->objects);
    }
    l->objects[l->n++] = *out;
    *at = l->n;
    return FR_OK;
}

static void found_ref(void *ctx, uint8_t kind, fr_hash hash)
{
    fr_loader *l = ctx;
    if (l->rc != FR_OK) {
        return;
    }
    fr_object *o = NULL;
    l->rc = load_object(l, kind, hash, &o);
    for (uint32_t i = 0; i < l->n_found && l->rc == FR_OK; i++) {
        if (l->found[i] == o) {
            return;
        }
    }
    if (l->n_found == l->found_room) {
        l->found_room = l->found_room * 2 + 8;
        l->found = fr_realloc(l->found, l->found_room * sizeof(fr_object *));
    }
    if (l->rc == FR_OK) {
        l->found[l->n_found++] = o;
    }
}

static int value_of(fr_loader *l, const uint8_t *bytes, size_t n, uint8_t how, fr_value **out,
                    fr_err *err)
{
    l->n_found = 0;
    l->rc = FR_OK;
    if (FR_UNLIKELY((how & FR_STORED_OBJECTS) != 0)) {
        int rc = fr_value_scan_refs(bytes, n, found_ref, l, err);
        if (rc == FR_OK && l->rc != FR_OK) {
            rc = fr_fail(err, l->rc, "%s", l->err.text);
        }
        if (rc != FR_OK) {
            return rc;
        }
    }
    *out = fr_value_new(bytes, n, l->found, l->n_found);
    return FR_OK;
}

int fr_read_file(const char *path, size_t max, fr_buf *out, fr_err *err)
{
    int fd;
    struct stat st;
    int rc = fr_sys_open(path, O_RDONLY, 0, &fd, err);
    if (rc != FR_OK) {
        return rc;
    }
    size_t size = fstat(fd, &st) == 0 ? (size_t)st.st_size : 0;
    if (size > max) {
        rc = fr_fail(err, FR_ELIMIT, "%s is too large to read (%zu bytes)", path, size);
    } else {
        rc = fr_buf_reserve(out, size + 1, err);
    }
    while (rc == FR_OK && out->size < size) {
        ssize_t k = read(fd, out->data + out->size, size - out->size);
        if (k <= 0) {
            rc = fr_fail_errno(err, FR_EIO, "reading %s", path);
        } else {
            out->size += (size_t)k;
        }
    }
    fr_sys_close(fd);
    return rc;
}

static int value_file(fr_loader *l, fr_hash hash, uint8_t how, fr_value **out, fr_err *err)
{
    char path[FR_STORE_PATH];
    fr_store_object_path(l->store, 0, hash, path);
    fr_buf bytes;
    fr_buf_init(&bytes, FR_VALUE_MAX);
    int rc = fr_read_file(path, FR_VALUE_MAX - 1, &bytes, err);
    if (rc != FR_OK) {
        (void)fr_wrap(err, rc, "a recorded value");
    } else {
        rc = value_of(l, bytes.data, bytes.size, how, out, err);
    }
    fr_buf_fini(&bytes);
    if (rc == FR_OK && !fr_hash_eq((*out)->hash, hash)) {
        fr_value_unref(*out);
        *out = NULL;
        rc = set_aside(l, path, err);
    }
    return rc;
}

int fr_loader_value(fr_loader *l, const uint8_t *bytes, size_t n, uint8_t how, fr_value **out,
                        fr_err *err)
{
    *out = NULL;
    if ((how & FR_STORED_FILE) == 0) {
        return value_of(l, bytes, n, how, out, err);
    }
    if (n != 16) {
        return fr_fail(err, FR_ECORRUPT, "%s is damaged (a hash of %zu bytes)", l->store->path, n);
    }
    return value_file(l, fr_hash_load(bytes), how, out, err);
}
