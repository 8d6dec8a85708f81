#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/data/csv_int.h"
#include "core/data/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { PIECE = 4 << 20, GROW_FIRST = 1 << 20 };

static const size_t TEXT_MAX = (size_t)1 << 40;
const char CSV_BINARY[] = "binary";

int csv_text_new(size_t capacity, csv_text *out, fr_err *err)
{
    int rc = fr_block_new(capacity + 2 * CSV_PAD, &out->block, err);
    if (rc == FR_OK) {
        memset(out->block->data, 0, CSV_PAD);
        out->at = out->block->data + CSV_PAD;
        out->size = 0;
    }
    return rc;
}

static size_t text_capacity(const csv_text *t) { return t->block->size - 2 * CSV_PAD; }

// More room, keeping what is there.
static int text_grow(csv_text *t, fr_err *err)
{
    size_t capacity = text_capacity(t);
    if (capacity > TEXT_MAX / 2) {
        return fr_fail(err, FR_ELIMIT, "more than %zu bytes of text", TEXT_MAX);
    }
    csv_text bigger;
    int rc = csv_text_new(capacity * 2, &bigger, err);
    if (rc == FR_OK) {
        memcpy(bigger.at, t->at, t->size);
        bigger.size = t->size;
        fr_block_unref(t->block);
        *t = bigger;
    }
    return rc;
}

static void text_end(csv_text *t) { memset(t->at + t->size, 0, CSV_PAD); }

void csv_text_free(csv_text *t)
{
    fr_block_unref(t->block);
    *t = (csv_text){0};
}

// Regular files: pieces by pread on all cores.
typedef struct reading {
    int fd;
    uint8_t *at;
    size_t size;
} reading;

static int read_piece(void *ctx, size_t i)
{
    reading *r = ctx;
    size_t from = i * PIECE, to = FR_MIN(from + PIECE, r->size);
    while (from < to) {
        ssize_t n = pread(r->fd, r->at + from, to - from, (off_t)from);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return FR_EIO;
        }
        if (n == 0) {
            return FR_ESTATE; // shorter than it was
        }
        from += (size_t)n;
    }
    return FR_OK;
}

static int changed(fr_err *err)
{
    return fr_fail(err, FR_EIO,
                   "the file changed while it was read: read it when its writer is done");
}

static int read_regular(int fd, const struct stat *before, csv_text *out, fr_err *err)
{
    size_t size = (size_t)before->st_size;
    if (size > TEXT_MAX) {
        return fr_fail(err, FR_ELIMIT, "a file of %zu bytes", size);
    }
    int rc = csv_text_new(size, out, err);
    if (rc != FR_OK) {
        return rc;
    }
    reading r = {fd, out->at, size};
    rc = fr_pool_try((size + PIECE - 1) / PIECE, read_piece, &r);
    struct stat after;
    if (rc == FR_EIO) {
        return fr_fail_errno(err, rc, "reading");
    }
    if (rc == FR_ESTATE) {
        return changed(err);
    }
    if (rc != FR_OK) {
        return fr_fail(err, rc, "reading stopped");
    }
    if (fstat(fd, &after) != 0 || after.st_size != before->st_size ||
        after.st_mtim.tv_sec != before->st_mtim.tv_sec ||
        after.st_mtim.tv_nsec != before->st_mtim.tv_nsec) {
        return changed(err);
    }
    out->size = size;
    return FR_OK;
}

static int read_stream(int fd, csv_text *out, fr_err *err)
{
    int rc = csv_text_new(GROW_FIRST, out, err);
    while (rc == FR_OK) {
        if (out->size == text_capacity(out)) {
            rc = text_grow(out, err);
            continue;
        }
        ssize_t n = read(fd, out->at + out->size, text_capacity(out) - out->size);
        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EINTR) {
            rc = fr_fail_errno(err, FR_EIO, "reading");
        } else if (n > 0) {
            out->size += (size_t)n;
        }
        if (rc == FR_OK && fr_cancelled()) {
            rc = fr_fail(err, fr_cancel_code(), "reading stopped");
        }
    }
    return rc;
}

// Compressed content, several members one after the other included.
static int inflate_text(csv_text *t, fr_err *err)
{
    csv_text plain = {0};
    z_stream z = {0};
    int rc = csv_text_new(FR_MAX(t->size * 4, GROW_FIRST), &plain, err);
    if (rc != FR_OK) {
        return rc;
    }
    if (inflateInit2(&z, 15 + 32) != Z_OK) {
        csv_text_free(&plain);
        return fr_fail(err, FR_ENOMEM, "starting zlib");
    }
    const uint8_t *at = t->at;
    size_t left = t->size;
    for (;;) {
        if (plain.size == text_capacity(&plain)) {
            rc = text_grow(&plain, err);
        }
        if (rc == FR_OK && fr_cancelled()) {
            rc = fr_fail(err, fr_cancel_code(), "reading stopped");
        }
        if (rc != FR_OK) {
            break;
        }
        size_t room = FR_MIN(text_capacity(&plain) - plain.size, (size_t)PIECE);
        size_t give = FR_MIN(left, (size_t)1 << 30);
        z.next_in = (Bytef *)(uintptr_t)at;
        z.avail_in = (uInt)give;
        z.next_out = plain.at + plain.size;
        z.avail_out = (uInt)room;
        int code = inflate(&z, Z_NO_FLUSH);
        at += give - z.avail_in;
        left -= give - z.avail_in;
        plain.size += room - z.avail_out;
        if (code == Z_STREAM_END) {
            if (left < 2 || at[0] != 0x1f || at[1] != 0x8b) {
                break; // padding behind the last member is allowed, as gzip does
            }
            (void)inflateReset(&z);
        } else if (code != Z_OK && !(code == Z_BUF_ERROR && left > 0)) {
            rc = fr_fail(err, FR_ECORRUPT, "damaged gzip data at byte %zu: %s",
                         t->size - left, left == 0 ? "it ends too early"
                                         : z.msg != NULL ? z.msg : "not gzip");
            break;
        }
    }
    (void)inflateEnd(&z);
    csv_text_free(rc == FR_OK ? t : &plain);
    if (rc == FR_OK) {
        *t = plain;
    }
    return rc;
}

static int unzstd_text(csv_text *t, fr_err *err)
{
    csv_text plain = {0};
    ZSTD_DStream *z = ZSTD_createDStream();
    int rc = z == NULL ? fr_fail(err, FR_ENOMEM, "starting zstd")
                       : csv_text_new(FR_MAX(t->size * 4, GROW_FIRST), &plain, err);
    ZSTD_inBuffer in = {t->at, t->size, 0};
    size_t code = 1;
    while (rc == FR_OK && (in.pos < in.size || code != 0)) {
        if (plain.size == text_capacity(&plain)) {
            rc = text_grow(&plain, err);
            continue;
        }
        size_t room = FR_MIN(text_capacity(&plain) - plain.size, (size_t)PIECE);
        ZSTD_outBuffer to = {plain.at + plain.size, room, 0};
        size_t before = in.pos;
        code = ZSTD_decompressStream(z, &to, &in);
        plain.size += to.pos;
        if (ZSTD_isError(code)) {
            rc = fr_fail(err, FR_ECORRUPT, "damaged zstd data: %s", ZSTD_getErrorName(code));
        } else if (in.pos == before && to.pos == 0 && code != 0) {
            rc = fr_fail(err, FR_ECORRUPT, "damaged zstd data: it ends too early");
        } else if (fr_cancelled()) {
            rc = fr_fail(err, fr_cancel_code(), "reading stopped");
        }
    }
    (void)ZSTD_freeDStream(z);
    csv_text_free(rc == FR_OK ? t : &plain);
    if (rc == FR_OK) {
        *t = plain;
    }
    return rc;
}

// Encodings.
static size_t put_utf8(uint8_t *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (uint8_t)(0xc0 | c >> 6);
        to[1] = (uint8_t)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (uint8_t)(0xe0 | c >> 12);
        to[1] = (uint8_t)(0x80 | (c >> 6 & 63));
        to[2] = (uint8_t)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (uint8_t)(0xf0 | c >> 18);
    to[1] = (uint8_t)(0x80 | (c >> 12 & 63));
    to[2] = (uint8_t)(0x80 | (c >> 6 & 63));
    to[3] = (uint8_t)(0x80 | (c & 63));
    return 4;
}

static const uint16_t windows_1252[32] = {
    0x20ac, 0x81,   0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x8d,   0x017d, 0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d,   0x017e, 0x0178};

static int from_bytes(csv_text *t, bool windows, fr_err *err)
{
    size_t more = 0;
    for (size_t i = 0; i < t->size; i++) {
        more += t->at[i] >= 0x80;
    }
    if (more == 0) {
        return FR_OK;
    }
    csv_text u;
    int rc = csv_text_new(t->size + 2 * more, &u, err);
    if (rc != FR_OK) {
        return rc;
    }
    for (size_t i = 0; i < t->size; i++) {
        uint32_t c = t->at[i];
        if (windows && c >= 0x80 && c < 0xa0) {
            c = windows_1252[c - 0x80];
        }
        u.size += put_utf8(u.at + u.size, c);
    }
    csv_text_free(t);
    *t = u;
    return FR_OK;
}

static int from_utf16(csv_text *t, size_t skip, bool big, fr_err *err)
{
    if ((t->size - skip) % 2 != 0) {
        return fr_fail(err, FR_EPARSE, "UTF-16 text with an odd number of bytes");
    }
    csv_text u;
    int rc = csv_text_new((t->size - skip) / 2 * 3, &u, err);
    if (rc != FR_OK) {
        return rc;
    }
    for (size_t i = skip; i < t->size; i += 2) {
        uint32_t c = (uint32_t)(big ? t->at[i] << 8 | t->at[i + 1]
                                    : t->at[i + 1] << 8 | t->at[i]);
        if (c >= 0xd800 && c < 0xdc00 && i + 3 < t->size) {
            uint32_t low = (uint32_t)(big ? t->at[i + 2] << 8 | t->at[i + 3]
                                          : t->at[i + 3] << 8 | t->at[i + 2]);
            if (low >= 0xdc00 && low < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                i += 2;
            }
        }
        if (c >= 0xd800 && c < 0xe000) {
            csv_text_free(&u);
            return fr_fail(err, FR_EPARSE, "byte %zu: half of a UTF-16 pair", i);
        }
        u.size += put_utf8(u.at + u.size, c);
    }
    csv_text_free(t);
    *t = u;
    return FR_OK;
}

static bool spelled(const char *encoding, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(encoding, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int to_utf8(csv_text *t, const char *encoding, fr_err *err)
{
    static const char *const utf8[] = {"utf-8", "utf8", "utf-8-sig", "ascii"};
    static const char *const latin1[] = {"latin-1", "latin1", "iso-8859-1", "iso8859-1"};
    static const char *const windows[] = {"windows-1252", "cp1252"};
    static const char *const utf16[] = {"utf-16", "utf16", "utf-16le", "utf-16-le"};
    static const char *const utf16be[] = {"utf-16be", "utf-16-be"};
    const char *e = encoding != NULL ? encoding : "utf-8";
    bool le_mark = t->size >= 2 && t->at[0] == 0xff && t->at[1] == 0xfe;
    bool be_mark = t->size >= 2 && t->at[0] == 0xfe && t->at[1] == 0xff;
    if (spelled(e, utf8, FR_COUNT(utf8))) {
        return le_mark || be_mark ? from_utf16(t, 2, be_mark, err) : FR_OK;
    }
    if (spelled(e, latin1, FR_COUNT(latin1))) {
        return from_bytes(t, false, err);
    }
    if (spelled(e, windows, FR_COUNT(windows))) {
        return from_bytes(t, true, err);
    }
    if (spelled(e, utf16, FR_COUNT(utf16)) || spelled(e, utf16be, FR_COUNT(utf16be))) {
        bool big = be_mark || (!le_mark && spelled(e, utf16be, FR_COUNT(utf16be)));
        return from_utf16(t, le_mark || be_mark ? 2 : 0, big, err);
    }
    return fr_fail(err, FR_EINVAL,
                   "unknown encoding \"%s\": expected utf-8, latin-1, windows-1252, utf-16 "
                   "or utf-16be",
                   e);
}

static int decode(csv_text *t, const char *encoding, fr_err *err)
{
    static const uint8_t gzip[] = {0x1f, 0x8b}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    int rc = FR_OK;
    if (encoding == CSV_BINARY) {
        text_end(t);
        return FR_OK;
    }
    if (t->size >= 2 && memcmp(t->at, gzip, 2) == 0) {
        rc = inflate_text(t, err);
    } else if (t->size >= 4 && memcmp(t->at, zstd, 4) == 0) {
        rc = unzstd_text(t, err);
    }
    if (rc == FR_OK) {
        rc = to_utf8(t, encoding, err);
    }
    if (rc == FR_OK && t->size >= 3 && memcmp(t->at, "\xef\xbb\xbf", 3) == 0) {
        t->at += 3; // the mark was never text
        t->size -= 3;
    }
    if (rc == FR_OK) {
        text_end(t);
    }
    return rc;
}

int csv_load_file(const char *path, const char *encoding, csv_text *out, fr_err *err)
{
    *out = (csv_text){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int rc = fr_fail_errno(err, errno == ENOENT ? FR_ENOTFOUND : FR_EIO, "%s", path);
        return rc;
    }
    struct stat s;
    int rc;
    if (fstat(fd, &s) != 0) {
        rc = fr_fail_errno(err, FR_EIO, "reading");
    } else if (S_ISDIR(s.st_mode)) {
        rc = fr_fail(err, FR_EINVAL, "a directory: name a file, or files as in \"dir/*.csv\"");
    } else if (S_ISREG(s.st_mode)) {
        rc = read_regular(fd, &s, out, err);
    } else {
        rc = read_stream(fd, out, err);
    }
    (void)close(fd);
    if (rc == FR_OK) {
        rc = decode(out, encoding, err);
    }
    if (rc != FR_OK) {
        csv_text_free(out);
        return fr_wrap(err, rc, "%s", path);
    }
    return FR_OK;
}

int csv_load_bytes(const char *name, const void *bytes, size_t n, const char *encoding,
                   csv_text *out, fr_err *err)
{
    *out = (csv_text){0};
    int rc = csv_text_new(n, out, err);
    if (rc == FR_OK) {
        if (n > 0) {
            memcpy(out->at, bytes, n);
        }
        out->size = n;
        rc = decode(out, encoding, err);
    }
    if (rc != FR_OK) {
        csv_text_free(out);
        return fr_wrap(err, rc, "%s", name);
    }
    return FR_OK;
}

size_t csv_utf8_bad(const uint8_t *s, size_t n)
{
    size_t bad;
    return fr_utf8_valid((const char *)s, n, &bad) ? SIZE_MAX : bad;
}
