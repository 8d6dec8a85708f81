#include "core/data/csv_source.h"

#include "core/base/cancel.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { IN = 1 << 20 };

struct csv_source {
    const char *path;
    int fd;
    struct stat before;
    uint8_t *in;                      // what was read and not used
    size_t at, n;
    bool end;                         // of the file
    bool open_member;                 // compressed data is not complete yet
    enum { PLAIN, GZIP, ZSTD } kind;
    z_stream gzip;
    ZSTD_DStream *zstd;
};

static int refill(csv_source *s, fr_err *err)
{
    memmove(s->in, s->in + s->at, s->n - s->at);
    s->n -= s->at;
    s->at = 0;
    while (!s->end && s->n < IN) {
        ssize_t got = read(s->fd, s->in + s->n, IN - s->n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fr_fail_errno(err, FR_EIO, "reading %s", s->path);
        }
        s->end = got == 0;
        s->n += (size_t)got;
        if (got > 0) {
            break;
        }
    }
    struct stat now;
    if (s->end && S_ISREG(s->before.st_mode) &&
        (fstat(s->fd, &now) != 0 || now.st_size != s->before.st_size ||
         now.st_mtim.tv_sec != s->before.st_mtim.tv_sec ||
         now.st_mtim.tv_nsec != s->before.st_mtim.tv_nsec)) {
        return fr_fail(err, FR_EIO,
                       "%s: the file changed while it was read: read it when its writer is done",
                       s->path);
    }
    return fr_cancelled() ? fr_fail(err, fr_cancel_code(), "reading stopped") : FR_OK;
}

static int start(csv_source *s, fr_err *err)
{
    static const uint8_t gzip[] = {0x1f, 0x8b}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    int rc = FR_OK;
    while (rc == FR_OK && !s->end && s->n < sizeof zstd) {
        rc = refill(s, err);
    }
    if (rc != FR_OK) {
        return rc;
    }
    if (s->n >= 2 && memcmp(s->in, gzip, 2) == 0) {
        s->kind = GZIP;
        if (inflateInit2(&s->gzip, 15 + 32) != Z_OK) {
            s->kind = PLAIN;
            return fr_fail(err, FR_ENOMEM, "starting zlib");
        }
        s->open_member = true;
    } else if (s->n >= 4 && memcmp(s->in, zstd, 4) == 0) {
        s->kind = ZSTD;
        s->zstd = ZSTD_createDStream();
        s->open_member = true;
        if (s->zstd == NULL) {
            return fr_fail(err, FR_ENOMEM, "starting zstd");
        }
    }
    return FR_OK;
}

int csv_source_open(const char *path, csv_source **out, fr_err *err)
{
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fr_fail_errno(err, errno == ENOENT ? FR_ENOTFOUND : FR_EIO, "%s", path);
    }
    csv_source *s = fr_zalloc(sizeof *s);
    s->path = path;
    s->fd = fd;
    s->in = fr_alloc(IN);
    int rc = FR_OK;
    if (fstat(fd, &s->before) != 0) {
        rc = fr_fail_errno(err, FR_EIO, "reading %s", path);
    } else if (S_ISDIR(s->before.st_mode)) {
        rc = fr_fail(err, FR_EINVAL, "%s: a directory: name a file, or files as in \"dir/*.csv\"",
                     path);
    }
    rc = rc == FR_OK ? start(s, err) : rc;
    if (rc != FR_OK) {
        csv_source_close(s);
        return rc;
    }
    *out = s;
    return FR_OK;
}

void csv_source_close(csv_source *s)
{
    if (s == NULL) {
        return;
    }
    if (s->kind == GZIP) {
        (void)inflateEnd(&s->gzip);
    }
    (void)ZSTD_freeDStream(s->zstd);
    (void)close(s->fd);
    fr_free(s->in);
    fr_free(s);
}

static int damaged(const csv_source *s, const char *kind, const char *how, fr_err *err)
{
    return fr_fail(err, FR_ECORRUPT, "%s: damaged %s data: %s", s->path, kind, how);
}

// One step of a decoder; *got may stay 0 while it needs more.
static int step_gzip(csv_source *s, uint8_t *to, size_t n, size_t *got, fr_err *err)
{
    s->gzip.next_in = s->in + s->at;
    s->gzip.avail_in = (uInt)(s->n - s->at);
    s->gzip.next_out = to;
    s->gzip.avail_out = (uInt)n;
    int code = inflate(&s->gzip, Z_NO_FLUSH);
    s->at = s->n - s->gzip.avail_in;
    *got = n - s->gzip.avail_out;
    if (code == Z_STREAM_END) {
        s->open_member = false;
        return FR_OK;
    }
    return code == Z_OK || code == Z_BUF_ERROR
               ? FR_OK
               : damaged(s, "gzip", s->gzip.msg != NULL ? s->gzip.msg : "not gzip", err);
}

static int step_zstd(csv_source *s, uint8_t *to, size_t n, size_t *got, fr_err *err)
{
    ZSTD_inBuffer in = {s->in, s->n, s->at};
    ZSTD_outBuffer out = {to, n, 0};
    size_t code = ZSTD_decompressStream(s->zstd, &out, &in);
    s->at = in.pos;
    *got = out.pos;
    if (ZSTD_isError(code)) {
        return damaged(s, "zstd", ZSTD_getErrorName(code), err);
    }
    s->open_member = code != 0;
    return FR_OK;
}

// Behind a member: another one, or padding, which is passed over as gzip does.
static bool next_member(csv_source *s)
{
    if (s->kind == ZSTD) {
        s->open_member = s->n > s->at;
    } else {
        s->open_member = s->n - s->at >= 2 && s->in[s->at] == 0x1f && s->in[s->at + 1] == 0x8b;
        if (s->open_member) {
            (void)inflateReset(&s->gzip);
        }
    }
    return s->open_member;
}

static int read_packed(csv_source *s, uint8_t *to, size_t n, size_t *got, fr_err *err)
{
    n = n < ((size_t)1 << 30) ? n : (size_t)1 << 30;
    for (;;) {
        int rc = s->n - s->at < 2 && !s->end ? refill(s, err) : FR_OK;
        if (rc != FR_OK) {
            return rc;
        }
        if (!s->open_member && !next_member(s)) {
            *got = 0;
            return FR_OK;
        }
        size_t before = s->at;
        rc = s->kind == GZIP ? step_gzip(s, to, n, got, err) : step_zstd(s, to, n, got, err);
        if (rc != FR_OK || *got > 0) {
            return rc;
        }
        if (s->open_member && s->at == before && s->end) {
            return damaged(s, s->kind == GZIP ? "gzip" : "zstd", "it ends too early", err);
        }
    }
}

int csv_source_read(csv_source *s, uint8_t *to, size_t n, size_t *got, fr_err *err)
{
    *got = 0;
    if (s->kind != PLAIN) {
        return read_packed(s, to, n, got, err);
    }
    if (s->at == s->n && !s->end) {
        int rc = refill(s, err);
        if (rc != FR_OK) {
            return rc;
        }
    }
    *got = s->n - s->at < n ? s->n - s->at : n;
    memcpy(to, s->in + s->at, *got);
    s->at += *got;
    return FR_OK;
}
