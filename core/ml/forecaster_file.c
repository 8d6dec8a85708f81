#include "core/ml/forecaster_file.h"

#include "core/base/mem.h"
#include "core/base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORMAT = 2, HEADER = 32, TEXT_MAX = 1 << 20, NAMES_MAX = 1 << 20 };

static const size_t FILE_MAX = (size_t)1 << 34;
static const char magic[8] = {'f', 'l', 'o', 'w', 'f', 'c', 's', 't'};

static void put_text(fr_buf *b, const char *s)
{
    size_t n = strlen(s);
    fr_buf_put_varint(b, n);
    fr_buf_put(b, s, n);
}

static void put_hash(fr_buf *b, fr_hash h)
{
    uint8_t bytes[16];
    fr_hash_store(h, bytes);
    fr_buf_put(b, bytes, sizeof bytes);
}

static void put_body(fr_buf *b, const fr_forecaster *f)
{
    put_text(b, f->title);
    put_text(b, f->target);
    put_text(b, f->time);
    if (f->time[0] != 0) {
        const fr_spacing *s = &f->spacing;
        fr_buf_put_u8(b, (uint8_t)s->type.kind);
        fr_buf_put_u8(b, (uint8_t)s->type.unit);
        put_text(b, s->type.zone);
        fr_buf_put_u64(b, (uint64_t)s->first);
        fr_buf_put_u64(b, (uint64_t)s->step);
        fr_buf_put_varint(b, (uint64_t)s->months);
        fr_buf_put_u8(b, (uint8_t)(s->month_end | s->local << 1));
    }
    fr_buf_put_varint(b, f->exogs);
    for (size_t i = 0; i < f->exogs; i++) {
        put_text(b, f->exog[i]);
    }
    put_hash(b, f->training);
    put_text(b, f->version);
    fr_buf_put_u8(b, f->ops->tag);
    f->ops->put(b, f->model);
}

static int encode(const fr_forecaster *f, fr_buf *b, fr_err *err)
{
    fr_buf_put(b, magic, sizeof magic);
    fr_buf_put_u32(b, FORMAT);
    fr_buf_put_u32(b, 0);
    put_hash(b, (fr_hash){0, 0});
    put_body(b, f);
    int rc = fr_buf_check(b, err);
    if (rc == FR_OK) {
        fr_hash_store(fr_hash_bytes(b->data + HEADER, b->size - HEADER), b->data + 16);
    }
    return rc;
}

int fr_forecaster_seal(fr_forecaster *f, fr_err *err)
{
    fr_buf b;
    fr_buf_init(&b, FILE_MAX);
    int rc = encode(f, &b, err);
    if (rc == FR_OK) {
        f->hash = fr_hash_load(b.data + 16);
    }
    fr_buf_fini(&b);
    return rc;
}

int fr_forecaster_write(const fr_forecaster *f, const char *path, fr_err *err)
{
    fr_buf b;
    int fd;
    fr_buf_init(&b, FILE_MAX);
    int rc = encode(f, &b, err);
    if (rc == FR_OK) {
        rc = fr_sys_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, err);
    }
    if (rc == FR_OK) {
        rc = fr_sys_write(fd, b.data, b.size, path, err);
        fr_sys_close(fd);
    }
    fr_buf_fini(&b);
    return rc;
}

int fr_forecaster_save(const fr_forecaster *f, const char *path, fr_err *err)
{
    fr_buf part;
    fr_buf_init(&part, 1 << 16);
    fr_buf_printf(&part, "%s.part", path);
    int rc = fr_buf_check(&part, err);
    rc = rc == FR_OK ? fr_forecaster_write(f, fr_buf_text(&part), err) : rc;
    rc = rc == FR_OK ? fr_sys_rename(fr_buf_text(&part), path, err) : rc;
    if (rc != FR_OK) {
        int left = fr_sys_unlink(fr_buf_text(&part), NULL);
        (void)left; // the first failure is the one to tell
    }
    fr_buf_fini(&part);
    return rc;
}

// --- reading ---

static char *read_text(fr_reader *r) // never NULL; "" on damage
{
    uint64_t n = fr_read_varint(r);
    const uint8_t *s = n <= TEXT_MAX ? fr_read_bytes(r, (size_t)n) : NULL;
    if (s == NULL || memchr(s, 0, (size_t)n) != NULL) {
        r->failed = true;
        return fr_strdup("");
    }
    return fr_strndup((const char *)s, (size_t)n);
}

static void read_short(fr_reader *r, char *out, size_t size)
{
    char *s = read_text(r);
    size_t n = strlen(s);
    r->failed = r->failed || n >= size;
    memcpy(out, s, r->failed ? 0 : n);
    fr_free(s);
}

static void read_spacing(fr_reader *r, fr_spacing *s)
{
    uint8_t kind = fr_read_u8(r), unit = fr_read_u8(r);
    s->type.kind = kind == FR_DATE ? FR_DATE : FR_TIMESTAMP;
    s->type.unit = (fr_unit)(unit & 3);
    read_short(r, s->type.zone, sizeof s->type.zone);
    s->first = (int64_t)fr_read_u64(r);
    s->step = (int64_t)fr_read_u64(r);
    uint64_t months = fr_read_varint(r);
    uint8_t flags = fr_read_u8(r);
    s->months = months <= 12000 ? (int32_t)months : 0;
    s->month_end = flags & 1;
    s->local = flags >> 1 & 1;
    bool known = (kind == FR_DATE || kind == FR_TIMESTAMP) && unit <= FR_NANO;
    bool steps = (s->step > 0 && s->step < INT64_MAX >> 24 && months == 0) ||
                 (s->step == 0 && months > 0 && months <= 12000);
    r->failed = r->failed || !known || !steps || (s->local && s->type.zone[0] == 0);
}

static void read_names(fr_reader *r, fr_forecaster *f)
{
    uint64_t n = fr_read_varint(r);
    if (n > NAMES_MAX || n > (uint64_t)(r->end - r->at)) {
        r->failed = true;
        return;
    }
    f->exog = fr_zalloc(((size_t)n + 1) * sizeof *f->exog);
    while (f->exogs < n) {
        f->exog[f->exogs++] = read_text(r);
    }
}

// Format 1 knew ARIMA models only.
static int decode(fr_reader *r, uint32_t format, fr_forecaster *f, fr_err *err)
{
    f->title = read_text(r);
    f->target = read_text(r);
    f->time = read_text(r);
    if (f->time[0] != 0) {
        read_spacing(r, &f->spacing);
    }
    read_names(r, f);
    const uint8_t *hash = fr_read_bytes(r, 16);
    if (hash != NULL) {
        f->training = fr_hash_load(hash);
    }
    read_short(r, f->version, sizeof f->version);
    if (r->failed) {
        return fr_fail(err, FR_ECORRUPT, "the names around the model are damaged");
    }
    uint8_t tag = format == 1 ? fr_series_arima.tag : fr_read_u8(r);
    f->ops = fr_forecaster_kind(NULL, tag);
    if (r->failed || f->ops == NULL) {
        return fr_fail(err, FR_ECORRUPT, "unknown kind of model %d", tag);
    }
    int rc = f->ops->get(r, &f->model, err);
    if (rc == FR_OK) {
        f->ops->facts(f->model, &f->facts);
    }
    if (rc == FR_OK && (r->at != r->end || f->facts.exogs != f->exogs)) {
        rc = fr_fail(err, FR_ECORRUPT, "the file does not end where the model does");
    }
    return rc;
}

int fr_forecaster_parse(const void *bytes, size_t n, fr_forecaster **out, fr_err *err)
{
    *out = NULL;
    const uint8_t *p = bytes;
    bool ours = n >= HEADER && memcmp(p, magic, sizeof magic) == 0;
    if (!ours || memcmp(p + 12, "\0\0\0\0", 4) != 0) {
        return fr_fail(err, FR_ECORRUPT, "not a fitted time-series model");
    }
    fr_reader r = fr_reader_of(p + 8, n - 8);
    uint32_t format = fr_read_u32(&r);
    if (format < 1 || format > FORMAT) {
        return fr_fail(err, FR_EVERSION, "written in format %u, this version reads %d",
                       format, FORMAT);
    }
    fr_hash sum = fr_hash_load(p + 16);
    if (!fr_hash_eq(sum, fr_hash_bytes(p + HEADER, n - HEADER))) {
        return fr_fail(err, FR_ECORRUPT, "damaged: the checksum does not match");
    }
    fr_forecaster *f = fr_forecaster_new();
    r = fr_reader_of(p + HEADER, n - HEADER);
    int rc = decode(&r, format, f, err);
    if (rc != FR_OK) {
        fr_forecaster_unref(f);
        return rc;
    }
    f->hash = sum;
    *out = f;
    return FR_OK;
}

static int read_file(const char *path, uint8_t **bytes, size_t *size, fr_err *err)
{
    int fd;
    struct stat st;
    int rc = fr_sys_open(path, O_RDONLY, 0, &fd, err);
    if (rc != FR_OK) {
        return rc;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > FILE_MAX) {
        fr_sys_close(fd);
        return fr_fail(err, FR_EIO, "not a regular file of at most 16 GiB");
    }
    *size = (size_t)st.st_size;
    *bytes = fr_try_alloc(*size + 1);
    size_t got = 0;
    while (*bytes != NULL && got < *size) {
        ssize_t k = read(fd, *bytes + got, *size - got);
        if (k < 0 && errno == EINTR) {
            continue;
        }
        if (k <= 0) {
            rc = k < 0 ? fr_fail_errno(err, FR_EIO, "reading")
                       : fr_fail(err, FR_EIO, "it became shorter while it was read");
            break;
        }
        got += (size_t)k;
    }
    fr_sys_close(fd);
    return *bytes == NULL ? fr_fail(err, FR_ENOMEM, "no memory for %zu bytes", *size)
                          : rc;
}

int fr_forecaster_load(const char *path, fr_forecaster **out, fr_err *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    *out = NULL;
    int rc = read_file(path, &bytes, &size, err);
    rc = rc == FR_OK ? fr_forecaster_parse(bytes, size, out, err) : rc;
    fr_free(bytes);
    return rc == FR_OK ? rc : fr_wrap(err, rc, "%s", path);
}
