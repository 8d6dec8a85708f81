#include "core/ml/model_file.h"

#include "core/base/mem.h"

#include <string.h>

static const char MAGIC[8] = {'f', 'l', 'o', 'w', 'm', 'o', 'd', 'l'};

enum {
    MAGIC_SIZE = 8,
    CHECKSUM_AT = 16,
    CHECKED_FROM = 32,
    ALIGN = 64,
    DESCRIPTION_MAX = 1 << 28
};

static void put_text(fr_buf *b, const char *s, size_t n)
{
    fr_buf_put_varint(b, n);
    fr_buf_put(b, s, n);
}

static void put_double(fr_buf *b, double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    fr_buf_put_u64(b, u);
}

static void put_label(fr_buf *b, const fr_array *a, int64_t i)
{
    if (a->type.kind == FR_UTF8 || a->type.kind == FR_CATEGORY) {
        size_t n;
        const char *s = fr_array_text(a, i, &n);
        put_text(b, s, n);
    } else if (a->type.kind == FR_FLOAT64 || a->type.kind == FR_FLOAT32) {
        put_double(b, fr_array_number(a, i));
    } else {
        fr_buf_put_u64(b, (uint64_t)fr_array_int(a, i));
    }
}

static void describe(const fr_model *m, fr_buf *b)
{
    put_text(b, m->ops->name, strlen(m->ops->name));
    put_text(b, m->version, strlen(m->version));
    fr_buf_put_varint(b, m->ops->option_count);
    for (size_t i = 0; i < m->ops->option_count; i++) {
        put_text(b, m->ops->options[i].name, strlen(m->ops->options[i].name));
        put_double(b, m->option[i]);
    }
    fr_buf_put_varint(b, m->features);
    for (size_t f = 0; f < m->features; f++) {
        put_text(b, m->feature[f], strlen(m->feature[f]));
    }
    put_text(b, m->target, strlen(m->target));
    fr_buf_put_varint(b, fr_model_classes(m));
    if (m->labels != NULL) {
        fr_buf_put_u8(b, (uint8_t)m->labels->type.kind);
        fr_buf_put_u8(b, m->labels->type.ordered);
        for (int64_t i = 0; i < m->labels->length; i++) {
            put_label(b, m->labels, i);
        }
    }
    fr_buf_put_u64(b, (uint64_t)m->rows);
    uint8_t hash[16];
    fr_hash_store(m->training, hash);
    fr_buf_put(b, hash, sizeof hash);
}

int fr_model_file_write(const fr_model *m, const fr_buf *payload, fr_block **out,
                        fr_err *err)
{
    *out = NULL;
    fr_buf d;
    fr_buf_init(&d, DESCRIPTION_MAX);
    describe(m, &d);
    int rc = fr_buf_check(&d, err);
    size_t at = (FR_MODEL_HEADER + d.size + ALIGN - 1) / ALIGN * ALIGN;
    size_t size = at + payload->size;
    rc = rc != FR_OK ? rc : fr_block_new(size, out, err);
    if (rc != FR_OK) {
        fr_buf_fini(&d);
        return rc;
    }
    uint8_t *p = (*out)->data;
    fr_buf h;
    fr_buf_init(&h, FR_MODEL_HEADER);
    fr_buf_put(&h, MAGIC, MAGIC_SIZE);
    fr_buf_put_u32(&h, FR_MODEL_FORMAT);
    fr_buf_put_u32(&h, m->ops->version);
    fr_buf_put_u64(&h, 0); // the checksum comes last
    fr_buf_put_u64(&h, 0);
    fr_buf_put_u64(&h, size);
    fr_buf_put_u64(&h, at);
    memcpy(p, h.data, FR_MODEL_HEADER);
    memcpy(p + FR_MODEL_HEADER, d.data, d.size);
    memset(p + FR_MODEL_HEADER + d.size, 0, at - FR_MODEL_HEADER - d.size);
    if (payload->size > 0) {
        memcpy(p + at, payload->data, payload->size);
    }
    fr_hash_store(fr_hash_bytes(p + CHECKED_FROM, size - CHECKED_FROM), p + CHECKSUM_AT);
    fr_buf_fini(&h);
    fr_buf_fini(&d);
    return FR_OK;
}

static char *read_text(fr_reader *r) // owned by the caller; NULL on damage
{
    uint64_t n = fr_read_varint(r);
    const uint8_t *s = n <= DESCRIPTION_MAX ? fr_read_bytes(r, (size_t)n) : NULL;
    if (s == NULL || memchr(s, 0, (size_t)n) != NULL) {
        r->failed = true;
        return NULL;
    }
    return fr_strndup((const char *)s, (size_t)n);
}

static double read_double(fr_reader *r)
{
    uint64_t u = fr_read_u64(r);
    double v;
    memcpy(&v, &u, sizeof v);
    return v;
}

static int read_label(fr_reader *r, fr_kind kind, fr_builder *b, fr_err *err)
{
    if (kind == FR_UTF8 || kind == FR_CATEGORY) {
        uint64_t n = fr_read_varint(r);
        const uint8_t *s = n <= DESCRIPTION_MAX ? fr_read_bytes(r, (size_t)n) : NULL;
        if (s == NULL) {
            r->failed = true;
            return FR_OK;
        }
        return fr_builder_text(b, (const char *)s, (size_t)n, err);
    }
    if (kind == FR_FLOAT64 || kind == FR_FLOAT32) {
        return fr_builder_float(b, read_double(r), err);
    }
    int64_t v = (int64_t)fr_read_u64(r);
    return kind == FR_BOOL ? fr_builder_bool(b, v != 0, err) : fr_builder_int(b, v, err);
}

static int read_labels(fr_model *m, fr_reader *r, fr_err *err)
{
    uint64_t n = fr_read_varint(r);
    if (n == 0 || r->failed) {
        return FR_OK;
    }
    fr_type type = {.kind = (fr_kind)fr_read_u8(r)};
    type.ordered = fr_read_u8(r) == 1;
    bool known = fr_kind_number(type.kind) || type.kind == FR_BOOL ||
                 type.kind == FR_UTF8 || type.kind == FR_CATEGORY;
    if (!known || n > (uint64_t)(r->end - r->at)) {
        r->failed = true;
        return FR_OK;
    }
    fr_builder *b = fr_builder_new(type, (int64_t)n);
    int rc = FR_OK;
    for (uint64_t i = 0; i < n && rc == FR_OK && !r->failed; i++) {
        rc = read_label(r, type.kind, b, err);
    }
    rc = rc != FR_OK ? rc : fr_builder_finish(b, &m->labels, err);
    fr_builder_free(b);
    return rc;
}

// Options of this version that the file lacks keep their presets.
static void read_options(fr_model *m, fr_reader *r)
{
    fr_model_presets(m->ops, m->option);
    uint64_t n = fr_read_varint(r);
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        char *name = read_text(r);
        double v = read_double(r);
        int row = name == NULL ? -1 : fr_model_option_find(m->ops, name);
        if (row >= 0) {
            m->option[row] = v;
        }
        fr_free(name);
    }
}

static void read_features(fr_model *m, fr_reader *r)
{
    uint64_t n = fr_read_varint(r);
    if (n > (uint64_t)(r->end - r->at)) {
        r->failed = true;
        return;
    }
    m->feature = fr_zalloc((n + 1) * sizeof *m->feature);
    for (; m->features < n && !r->failed; m->features++) {
        m->feature[m->features] = read_text(r);
    }
}

static int damaged(const char *path, const char *what, fr_err *err)
{
    return fr_fail(err, FR_ECORRUPT, "%s is damaged: %s", path, what);
}

static int read_header(const fr_model *m, const char *path, uint32_t *payload_version,
                       uint64_t *payload_at, fr_err *err)
{
    const uint8_t *p = m->image->data;
    size_t size = m->image->size;
    if (size < FR_MODEL_HEADER || memcmp(p, MAGIC, MAGIC_SIZE) != 0) {
        return fr_fail(err, FR_EPARSE, "%s is not a model file", path);
    }
    fr_reader r = fr_reader_of(p + MAGIC_SIZE, FR_MODEL_HEADER - MAGIC_SIZE);
    uint32_t format = fr_read_u32(&r);
    *payload_version = fr_read_u32(&r);
    fr_hash checksum = fr_hash_load(fr_read_bytes(&r, 16));
    uint64_t file_size = fr_read_u64(&r);
    *payload_at = fr_read_u64(&r);
    if (format > FR_MODEL_FORMAT) {
        return fr_fail(
            err, FR_EVERSION,
            "%s has model format %u, this program reads up to %d: use a newer one", path,
            format, FR_MODEL_FORMAT);
    }
    if (file_size != size) {
        return fr_fail(err, FR_ECORRUPT, "%s is damaged: %zu bytes of %llu are there",
                       path, size, (unsigned long long)file_size);
    }
    if (!fr_hash_eq(checksum, fr_hash_bytes(p + CHECKED_FROM, size - CHECKED_FROM))) {
        return damaged(path, "its checksum is wrong", err);
    }
    if (*payload_at < FR_MODEL_HEADER || *payload_at > size || *payload_at % ALIGN != 0) {
        return damaged(path, "its header is wrong", err);
    }
    return FR_OK;
}

static int read_kind(fr_model *m, fr_reader *r, const char *path, uint32_t version,
                     fr_err *err)
{
    char *kind = read_text(r), *made_by = read_text(r);
    int rc = FR_OK;
    if (r->failed) {
        rc = damaged(path, "its description is cut", err);
    } else {
        (void)strncpy(m->version, made_by, sizeof m->version - 1);
        m->ops = fr_model_kind(kind);
        if (m->ops == NULL) {
            rc = fr_fail(
                err, FR_EVERSION,
                "%s is a %s, made by flowrun %s, which this program does not know", path,
                kind, m->version);
        } else if (version > m->ops->version) {
            rc = fr_fail(
                err, FR_EVERSION,
                "%s was made by flowrun %s in a newer format (%s %u, this program "
                "reads up to %u)",
                path, m->version, kind, version, m->ops->version);
        }
    }
    fr_free(kind);
    fr_free(made_by);
    return rc;
}

int fr_model_file_read(fr_model *m, const char *path, fr_err *err)
{
    uint32_t version = 0;
    uint64_t at = 0;
    int rc = read_header(m, path, &version, &at, err);
    if (rc != FR_OK) {
        return rc;
    }
    m->payload = m->image->data + at;
    m->payload_version = version;
    m->payload_size = m->image->size - (size_t)at;
    fr_reader r =
        fr_reader_of(m->image->data + FR_MODEL_HEADER, (size_t)at - FR_MODEL_HEADER);
    rc = read_kind(m, &r, path, version, err);
    if (rc != FR_OK) {
        return rc;
    }
    read_options(m, &r);
    read_features(m, &r);
    m->target = read_text(&r);
    rc = read_labels(m, &r, err);
    m->rows = (int64_t)fr_read_u64(&r);
    const uint8_t *hash = fr_read_bytes(&r, 16);
    if (rc == FR_OK && (r.failed || hash == NULL)) {
        rc = damaged(path, "its description is cut", err);
    }
    if (rc == FR_OK && m->ops->classifies != (m->labels != NULL)) {
        rc = damaged(path, "its classes are missing", err);
    }
    if (rc == FR_OK) {
        m->training = fr_hash_load(hash);
    }
    return rc;
}
