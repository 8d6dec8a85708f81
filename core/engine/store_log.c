// The log of a run: append-only segment files runs/<id>/log-<start offset> (engine.md E5).
//
// One line per record, so that a file can be read (and followed, and searched with grep)
// while it grows; a line is there when its newline is:
//   <wall us> <row> <item> <attempt> <level> <text, with \n, \r and \\ escaped>
// Offsets count through all segments of the run. Lines are buffered by whoever writes them
// and written by the store's thread; they are not synced.

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/sys.h"
#include "core/engine/store_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void segment_path(const fr_store *s, uint64_t run, uint64_t start, char out[FR_STORE_PATH])
{
    fr_store_path(s, out, "runs/%" PRIu64 "/log-%016" PRIu64, run, start);
}

static int compare_starts(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

// Starts of all segments, in order; the caller frees them.
static uint64_t *segments(const fr_store *s, uint64_t run, size_t *n)
{
    char folder[FR_STORE_PATH];
    fr_store_path(s, folder, "runs/%" PRIu64, run);
    DIR *d = opendir(folder);
    uint64_t *starts = NULL;
    size_t room = 0;
    *n = 0;
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        char *end;
        if (strncmp(e->d_name, "log-", 4) != 0) {
            continue;
        }
        uint64_t at = strtoull(e->d_name + 4, &end, 10);
        if (*end != '\0') {
            continue;
        }
        if (*n == room) {
            room = room * 2 + 8;
            starts = fr_realloc(starts, room * sizeof *starts);
        }
        starts[(*n)++] = at;
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    if (*n > 1) {
        qsort(starts, *n, sizeof *starts, compare_starts);
    }
    return starts;
}

// Where a crash left half a line, everything behind the last newline goes.
static int trim(int fd, const char *path, uint64_t *size, fr_err *err)
{
    char tail[4096];
    uint64_t end = *size;
    while (end > 0) {
        size_t n = FR_MIN(end, sizeof tail);
        if (pread(fd, tail, n, (off_t)(end - n)) != (ssize_t)n) {
            return fr_fail_errno(err, FR_EIO, "reading %s", path);
        }
        const char *newline = memrchr(tail, '\n', n);
        if (newline != NULL) {
            end = end - n + (uint64_t)(newline - tail) + 1;
            break;
        }
        end -= n;
    }
    if (end == *size) {
        return FR_OK;
    }
    *size = end;
    return fr_sys_truncate(fd, (int64_t)end, path, err);
}

int fr_log_open(fr_log *l, const fr_store *s, uint64_t run, bool fresh, fr_err *err)
{
    *l = (fr_log){.fd = -1};
    (void)pthread_mutex_init(&l->mutex, NULL);
    fr_buf_init(&l->lines, FR_STORE_LOG_BUFFER);
    fr_buf_init(&l->writing, FR_STORE_LOG_BUFFER);
    size_t n;
    int rc = FR_OK;
    char path[FR_STORE_PATH];
    uint64_t *starts = segments(s, run, &n);
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        l->segment = starts[i];
        segment_path(s, run, starts[i], path);
        rc = fresh ? fr_sys_unlink(path, err) : FR_OK;
    }
    fr_free(starts);
    if (n == 0 || fresh || rc != FR_OK) {
        l->segment = 0;
        return rc;
    }
    rc = fr_sys_open(path, O_RDWR, 0600, &l->fd, err);
    struct stat st;
    if (rc == FR_OK && fstat(l->fd, &st) != 0) {
        rc = fr_fail_errno(err, FR_EIO, "looking at %s", path);
    }
    if (rc == FR_OK) {
        uint64_t size = (uint64_t)st.st_size;
        rc = trim(l->fd, path, &size, err);
        l->written = l->end = l->segment + size;
    }
    return rc;
}

void fr_log_close(fr_log *l)
{
    fr_sys_close(l->fd);
    l->fd = -1;
    fr_buf_fini(&l->lines);
    fr_buf_fini(&l->writing);
    (void)pthread_mutex_destroy(&l->mutex);
}

static void put_text(fr_buf *b, const char *text, size_t n)
{
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r')) {
        n--;
    }
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '\n' || c == '\r' || c == '\\') {
            fr_buf_put(b, text + from, i - from);
            fr_buf_put_str(b, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\\\");
            from = i + 1;
        }
    }
    fr_buf_put(b, text + from, n - from);
    fr_buf_put_u8(b, '\n');
}

uint64_t fr_store_log(fr_store_run *r, uint32_t row, uint32_t item, uint32_t attempt, int level,
                      const char *text, size_t n)
{
    fr_log *l = &r->log;
    int64_t now_us = fr_clock_wall_ns() / 1000;
    (void)pthread_mutex_lock(&l->mutex);
    uint64_t at = l->end;
    size_t before = l->lines.size;
    if (l->dropped > 0) {
        fr_buf_printf(&l->lines, "%" PRId64 " 0 0 0 3 %" PRIu64 " lines were dropped here: "
                      "they came faster than the disk took them\n", now_us, l->dropped);
    }
    fr_buf_printf(&l->lines, "%" PRId64 " %u %u %u %d ", now_us, row, item, attempt, level);
    put_text(&l->lines, text, n);
    if (l->lines.failed) {
        l->lines.size = before;
        l->lines.failed = false;
        l->dropped++;
    } else {
        l->dropped = 0;
        l->end += l->lines.size - before;
    }
    (void)pthread_mutex_unlock(&l->mutex);
    if (!atomic_exchange_explicit(&r->store->log_dirty, true, memory_order_acq_rel)) {
        fr_store_wake(r->store);
    }
    return at;
}

static int next_segment(fr_log *l, const fr_store *s, uint64_t run, fr_err *err)
{
    char path[FR_STORE_PATH];
    fr_store_path(s, path, "runs/%" PRIu64, run);
    int rc = fr_sys_mkdir(path, 0700, err);
    int fd = -1;
    if (rc == FR_OK) {
        segment_path(s, run, l->written, path);
        rc = fr_sys_open(path, O_RDWR | O_CREAT, 0600, &fd, err);
    }
    if (rc == FR_OK) {
        fr_sys_close(l->fd);
        l->fd = fd;
        l->segment = l->written;
    }
    return rc;
}

int fr_log_write(fr_log *l, const fr_store *s, uint64_t run, fr_err *err)
{
    if (l->writing.size == 0) {
        (void)pthread_mutex_lock(&l->mutex);
        fr_buf taken = l->lines;
        l->lines = l->writing;
        l->writing = taken;
        (void)pthread_mutex_unlock(&l->mutex);
    }
    if (l->writing.size == 0) {
        return FR_OK;
    }
    int rc = FR_OK;
    if (l->fd < 0 || l->written - l->segment >= FR_STORE_LOG_SEGMENT) {
        rc = next_segment(l, s, run, err);
    }
    if (rc == FR_OK) {
        rc = fr_sys_pwrite(l->fd, l->writing.data, l->writing.size,
                           (int64_t)(l->written - l->segment), "the log of a run", err);
    }
    if (rc == FR_OK) {                         // after a failure: again, from the same place
        l->written += l->writing.size;
        fr_buf_clear(&l->writing);
    }
    return rc;
}

// --- reading ---

enum { READ_BYTES = 256 * 1024, LINE_MAX_BYTES = 64 << 20 };

static size_t unescape(char *text, size_t n)
{
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '\\' && i + 1 < n) {
            i++;
            c = text[i] == 'n' ? '\n' : text[i] == 'r' ? '\r' : text[i];
        }
        text[to++] = c;
    }
    return to;
}

// A decimal number and the space behind it.
static bool number(char **at, const char *end, int64_t *out)
{
    char *p = *at;
    bool negative = p < end && *p == '-';
    p += negative;
    int64_t v = 0;
    const char *first = p;
    while (p < end && *p >= '0' && *p <= '9' && p - first < 18) {
        v = v * 10 + (*p++ - '0');
    }
    if (p == first || p == end || *p != ' ') {
        return false;
    }
    *out = negative ? -v : v;
    *at = p + 1;
    return true;
}

// text[0 .. n) is one line without its newline; it is changed. Foreign lines are skipped.
static int give_line(char *text, size_t n, uint64_t offset, fr_log_fn fn, void *ctx, fr_err *err)
{
    char *at = text;
    const char *end = text + n;
    int64_t field[5];
    for (int i = 0; i < 5; i++) {
        if (!number(&at, end, &field[i])) {
            return FR_OK;
        }
    }
    fr_log_line line = {
        .offset = offset, .time_us = field[0], .row = (uint32_t)field[1],
        .item = (uint32_t)field[2], .attempt = (uint32_t)field[3], .level = (int)field[4],
        .text = at,
    };
    line.n = unescape(at, (size_t)(end - at));
    return fn(ctx, &line, err);
}

static int read_segment(const fr_store *s, uint64_t run, uint64_t start, uint64_t *from,
                        fr_buf *b, fr_log_fn fn, void *ctx, fr_err *err)
{
    char path[FR_STORE_PATH];
    segment_path(s, run, start, path);
    int fd;
    int rc = fr_sys_open(path, O_RDONLY, 0, &fd, err);
    fr_buf_clear(b);
    while (rc == FR_OK) {
        rc = fr_buf_reserve(b, READ_BYTES, err);
        ssize_t k = rc == FR_OK ? pread(fd, b->data + b->size, READ_BYTES,
                                        (off_t)(*from - start + b->size))
                                : -1;
        if (rc == FR_OK && k < 0) {
            rc = fr_fail_errno(err, FR_EIO, "reading %s", path);
        }
        if (k <= 0) {
            break;
        }
        b->size += (size_t)k;
        size_t done = 0;
        char *newline;
        while (rc == FR_OK && (newline = memchr(b->data + done, '\n', b->size - done)) != NULL) {
            char *line = (char *)b->data + done;
            size_t n = (size_t)(newline - line);
            rc = give_line(line, n, *from, fn, ctx, err);
            *from += rc == FR_OK ? n + 1 : 0;
            done += n + 1;
        }
        memmove(b->data, b->data + done, b->size - done);
        b->size -= done;
    }
    fr_sys_close(fd);
    return rc;
}

int fr_store_log_read(fr_store *s, uint64_t run, uint64_t *from, fr_log_fn fn, void *ctx,
                      fr_err *err)
{
    size_t n;
    uint64_t *starts = segments(s, run, &n);
    fr_buf b;
    fr_buf_init(&b, LINE_MAX_BYTES);
    int rc = FR_OK;
    for (size_t i = 0; i < n && rc == FR_OK; i++) {
        if (i + 1 < n && *from >= starts[i + 1]) {
            continue;
        }
        *from = FR_MAX(*from, starts[i]);
        rc = read_segment(s, run, starts[i], from, &b, fn, ctx, err);
    }
    fr_buf_fini(&b);
    fr_free(starts);
    return rc;
}
