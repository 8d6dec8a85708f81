#pragma once
// vfs_util -- SQLite's file system with a hook before each operation that can change or fail.

#include <sqlite3.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef struct vfs_file {
    sqlite3_file base;
    sqlite3_file *real;                        // behind this struct
    const char *name;                          // SQLite's; NULL for temporary files
} vfs_file;

typedef enum vfs_operation {
    VFS_READ = 1, VFS_WRITE = 2, VFS_SYNC = 4, VFS_TRUNCATE = 8, VFS_OPEN = 16
} vfs_operation;

enum { VFS_SWALLOW = -1 };                     // not done, and reported as done

// SQLITE_OK: go on. TRUNCATE: `at` is the size. OPEN: f->real is not open yet.
typedef int (*vfs_hook)(vfs_file *f, vfs_operation op, const void *p, int n, sqlite3_int64 at);

static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    sqlite3_io_methods methods;
    vfs_hook hook;
} vfs_state;

static inline sqlite3_file *vfs_real(sqlite3_file *f) { return ((vfs_file *)f)->real; }

static inline int vfs_ask(sqlite3_file *f, vfs_operation op, const void *p, int n, sqlite3_int64 at)
{
    return vfs_state.hook != NULL ? vfs_state.hook((vfs_file *)f, op, p, n, at) : SQLITE_OK;
}

static inline int vfs_answer(int rc) { return rc == VFS_SWALLOW ? SQLITE_OK : rc; }

static int vfs_close(sqlite3_file *f) { return vfs_real(f)->pMethods->xClose(vfs_real(f)); }

static int vfs_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    int rc = vfs_ask(f, VFS_READ, p, n, at);
    return rc != SQLITE_OK ? vfs_answer(rc)
                           : vfs_real(f)->pMethods->xRead(vfs_real(f), p, n, at);
}

static int vfs_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    int rc = vfs_ask(f, VFS_WRITE, p, n, at);
    return rc != SQLITE_OK ? vfs_answer(rc)
                           : vfs_real(f)->pMethods->xWrite(vfs_real(f), p, n, at);
}

static int vfs_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    int rc = vfs_ask(f, VFS_TRUNCATE, NULL, 0, size);
    return rc != SQLITE_OK ? vfs_answer(rc)
                           : vfs_real(f)->pMethods->xTruncate(vfs_real(f), size);
}

static int vfs_sync(sqlite3_file *f, int flags)
{
    int rc = vfs_ask(f, VFS_SYNC, NULL, 0, 0);
    return rc != SQLITE_OK ? vfs_answer(rc) : vfs_real(f)->pMethods->xSync(vfs_real(f), flags);
}

static int vfs_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return vfs_real(f)->pMethods->xFileSize(vfs_real(f), size);
}

static int vfs_lock(sqlite3_file *f, int how)
{
    return vfs_real(f)->pMethods->xLock(vfs_real(f), how);
}

static int vfs_unlock(sqlite3_file *f, int how)
{
    return vfs_real(f)->pMethods->xUnlock(vfs_real(f), how);
}

static int vfs_reserved(sqlite3_file *f, int *out)
{
    return vfs_real(f)->pMethods->xCheckReservedLock(vfs_real(f), out);
}

static int vfs_control(sqlite3_file *f, int op, void *arg)
{
    return vfs_real(f)->pMethods->xFileControl(vfs_real(f), op, arg);
}

static int vfs_sector(sqlite3_file *f) { return vfs_real(f)->pMethods->xSectorSize(vfs_real(f)); }

static int vfs_device(sqlite3_file *f)
{
    return vfs_real(f)->pMethods->xDeviceCharacteristics(vfs_real(f));
}

static int vfs_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return vfs_real(f)->pMethods->xShmMap(vfs_real(f), page, size, extend, out);
}

static int vfs_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return vfs_real(f)->pMethods->xShmLock(vfs_real(f), offset, n, flags);
}

static void vfs_barrier(sqlite3_file *f) { vfs_real(f)->pMethods->xShmBarrier(vfs_real(f)); }

static int vfs_unmap(sqlite3_file *f, int delete)
{
    return vfs_real(f)->pMethods->xShmUnmap(vfs_real(f), delete);
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    (void)vfs;
    vfs_file *v = (vfs_file *)f;
    v->base.pMethods = NULL;
    v->real = (sqlite3_file *)(v + 1);
    v->name = name;
    int rc = vfs_ask(f, VFS_OPEN, NULL, 0, 0);
    if (rc == SQLITE_OK) {
        rc = vfs_state.real->xOpen(vfs_state.real, name, v->real, flags, out);
    }
    if (rc == SQLITE_OK) {
        v->base.pMethods = &vfs_state.methods;
    }
    return rc;
}

static inline void vfs_install(vfs_hook hook)
{
    vfs_state.hook = hook;
    vfs_state.real = sqlite3_vfs_find(NULL);
    vfs_state.vfs = *vfs_state.real;
    vfs_state.vfs.zName = "hooked";
    vfs_state.vfs.szOsFile += (int)sizeof(vfs_file);
    vfs_state.vfs.xOpen = vfs_open;
    vfs_state.methods = (sqlite3_io_methods){
        .iVersion = 2, .xClose = vfs_close, .xRead = vfs_read, .xWrite = vfs_write,
        .xTruncate = vfs_truncate, .xSync = vfs_sync, .xFileSize = vfs_size, .xLock = vfs_lock,
        .xUnlock = vfs_unlock, .xCheckReservedLock = vfs_reserved, .xFileControl = vfs_control,
        .xSectorSize = vfs_sector, .xDeviceCharacteristics = vfs_device, .xShmMap = vfs_map,
        .xShmLock = vfs_shm_lock, .xShmBarrier = vfs_barrier, .xShmUnmap = vfs_unmap,
    };
    (void)sqlite3_vfs_register(&vfs_state.vfs, 1);
}

// PRAGMA integrity_check of the store in a folder.
static inline bool vfs_is_sound(const char *folder)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/flowrun.db", folder);
    sqlite3 *db;
    sqlite3_stmt *st = NULL;
    bool sound = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
                 sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL) == SQLITE_OK &&
                 sqlite3_step(st) == SQLITE_ROW &&
                 strcmp((const char *)sqlite3_column_text(st, 0), "ok") == 0;
    (void)sqlite3_finalize(st);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_close(db);
    return sound;
}
