#include "core/data/parquet_int.h"

#include <dlfcn.h>
#include <lz4.h>
#include <lz4frame.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

// snappy and brotli are opened at first use: snappy brings the C++ runtime, which costs a
// start of the program 2 ms, and few files need either.
typedef struct library {
    const char *file, *package, *symbols[3];
    pthread_once_t once;
    bool open;
    void *functions[3];
    char why[160];
} library;

static library snappy = {
    .file = "libsnappy.so.1", .package = "libsnappy1v5",
    .symbols = {"snappy_uncompress", "snappy_compress", "snappy_max_compressed_length"},
    .once = PTHREAD_ONCE_INIT};
static library brotli = {
    .file = "libbrotlidec.so.1", .package = "libbrotli1",
    .symbols = {"BrotliDecoderDecompress", NULL, NULL}, .once = PTHREAD_ONCE_INIT};

// As the headers of libsnappy and libbrotli have them.
typedef int snappy_unpack_fn(const char *from, size_t n, char *to, size_t *size);
typedef int snappy_pack_fn(const char *from, size_t n, char *to, size_t *size);
typedef size_t snappy_most_fn(size_t n);
typedef int brotli_unpack_fn(size_t n, const uint8_t *from, size_t *size, uint8_t *to);

static void open_library(library *l)
{
    void *handle = dlopen(l->file, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        (void)snprintf(l->why, sizeof l->why, "%s is not there", l->file);
        return;
    }
    for (size_t i = 0; i < FR_COUNT(l->symbols) && l->symbols[i] != NULL; i++) {
        l->functions[i] = dlsym(handle, l->symbols[i]);
        if (l->functions[i] == NULL) {
            (void)snprintf(l->why, sizeof l->why, "it lacks %s", l->symbols[i]);
            return;
        }
    }
    l->open = true;
}

static void open_snappy(void) { open_library(&snappy); }
static void open_brotli(void) { open_library(&brotli); }

static int need(library *l, void (*open)(void), const char *what, fr_err *err)
{
    (void)pthread_once(&l->once, open);
    if (l->open) {
        return FR_OK;
    }
    return fr_fail(err, FR_EMISSING, "%s needs a library that cannot be opened (%s): apt "
                   "install %s", what, l->why, l->package);
}

static int wrong(fr_err *err, const char *codec)
{
    return fr_fail(err, FR_ECORRUPT, "damaged data: a page does not unpack with %s", codec);
}

// Several members one after the other are one page.
static bool unpack_gzip(const uint8_t *from, size_t n, uint8_t *to, size_t size)
{
    z_stream z = {0};
    if (n > UINT32_MAX || size > UINT32_MAX || inflateInit2(&z, 15 + 32) != Z_OK) {
        return false;
    }
    z.next_in = (Bytef *)(uintptr_t)from;
    z.avail_in = (uInt)n;
    z.next_out = to;
    z.avail_out = (uInt)size;
    int code = Z_OK;
    while (code == Z_OK || (code == Z_STREAM_END && z.avail_in > 0 && inflateReset(&z) == Z_OK)) {
        uInt in = z.avail_in, room = z.avail_out;
        code = inflate(&z, Z_NO_FLUSH);
        if (code == Z_OK && z.avail_in == in && z.avail_out == room) {
            break;
        }
    }
    bool good = code == Z_STREAM_END && z.avail_out == 0;
    (void)inflateEnd(&z);
    return good;
}

static bool unpack_lz4_raw(const uint8_t *from, size_t n, uint8_t *to, size_t size)
{
    return n <= INT32_MAX && size <= INT32_MAX &&
           LZ4_decompress_safe((const char *)from, (char *)to, (int)n, (int)size) == (int)size;
}

static size_t big_endian(const uint8_t *p)
{
    return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

// Hadoop's frames: the sizes of what follows, plain and packed.
static bool unpack_lz4_hadoop(const uint8_t *from, size_t n, uint8_t *to, size_t size)
{
    while (n >= 8) {
        size_t plain = big_endian(from), packed = big_endian(from + 4);
        if (packed > n - 8 || plain > size || !unpack_lz4_raw(from + 8, packed, to, plain)) {
            return false;
        }
        from += 8 + packed;
        n -= 8 + packed;
        to += plain;
        size -= plain;
    }
    return n == 0 && size == 0;
}

static bool unpack_lz4_frame(const uint8_t *from, size_t n, uint8_t *to, size_t size)
{
    LZ4F_dctx *ctx = NULL;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION))) {
        return false;
    }
    size_t done = size, used = n;
    size_t hint = LZ4F_decompress(ctx, to, &done, from, &used, NULL);
    (void)LZ4F_freeDecompressionContext(ctx);
    return hint == 0 && done == size;
}

static int unpack_snappy(const uint8_t *from, size_t n, uint8_t *to, size_t size, fr_err *err)
{
    snappy_unpack_fn *unpack;
    int rc = need(&snappy, open_snappy, "a file compressed with snappy", err);
    if (rc != FR_OK) {
        return rc;
    }
    memcpy(&unpack, &snappy.functions[0], sizeof unpack);
    size_t got = size;
    bool good = unpack((const char *)from, n, (char *)to, &got) == 0 && got == size;
    return good ? FR_OK : wrong(err, "snappy");
}

static int unpack_brotli(const uint8_t *from, size_t n, uint8_t *to, size_t size, fr_err *err)
{
    brotli_unpack_fn *unpack;
    int rc = need(&brotli, open_brotli, "a file compressed with brotli", err);
    if (rc != FR_OK) {
        return rc;
    }
    memcpy(&unpack, &brotli.functions[0], sizeof unpack);
    size_t got = size;
    return unpack(n, from, &got, to) == 1 && got == size ? FR_OK : wrong(err, "brotli");
}

static bool unpack_zstd(pq_zstd *z, const uint8_t *from, size_t n, uint8_t *to, size_t size)
{
    z->in = z->in != NULL ? z->in : ZSTD_createDCtx();
    return z->in != NULL && ZSTD_decompressDCtx(z->in, to, size, from, n) == size;
}

void pq_zstd_fini(pq_zstd *z)
{
    (void)ZSTD_freeDCtx(z->in); // NULL is fine
    (void)ZSTD_freeCCtx(z->out);
    *z = (pq_zstd){0};
}

int pq_unpack(int codec, pq_zstd *z, const uint8_t *from, size_t n, uint8_t *to, size_t size,
              fr_err *err)
{
    switch (codec) {
    case PQ_NONE:
        if (n != size) {
            return wrong(err, "no compression");
        }
        memcpy(to, from, n);
        return FR_OK;
    case PQ_SNAPPY:
        return unpack_snappy(from, n, to, size, err);
    case PQ_GZIP:
        return unpack_gzip(from, n, to, size) ? FR_OK : wrong(err, "gzip");
    case PQ_BROTLI:
        return unpack_brotli(from, n, to, size, err);
    case PQ_LZ4: // written in three ways, depending on who wrote
        return unpack_lz4_hadoop(from, n, to, size) || unpack_lz4_raw(from, n, to, size) ||
                       unpack_lz4_frame(from, n, to, size)
                   ? FR_OK
                   : wrong(err, "lz4");
    case PQ_LZ4_RAW:
        return unpack_lz4_raw(from, n, to, size) ? FR_OK : wrong(err, "lz4");
    case PQ_ZSTD:
        return unpack_zstd(z, from, n, to, size) ? FR_OK : wrong(err, "zstd");
    default:
        return fr_fail(err, FR_EUNSUPPORTED, "compressed with %s; known are snappy, gzip, zstd, "
                       "lz4 and brotli", codec == PQ_LZO ? "lzo" : "an unknown codec");
    }
}

static int pack_gzip(int level, const uint8_t *from, size_t n, fr_buf *to, fr_err *err)
{
    z_stream z = {0};
    level = level > 0 ? level : 6;
    if (deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        return fr_fail(err, FR_ENOMEM, "starting zlib");
    }
    size_t most = deflateBound(&z, n);
    int rc = fr_buf_reserve(to, most, err);
    if (rc == FR_OK) {
        z.next_in = (Bytef *)(uintptr_t)from;
        z.avail_in = (uInt)n;
        z.next_out = to->data + to->size;
        z.avail_out = (uInt)most;
        bool good = deflate(&z, Z_FINISH) == Z_STREAM_END;
        to->size += most - z.avail_out;
        rc = good ? FR_OK : fr_fail(err, FR_ENOMEM, "packing with gzip");
    }
    (void)deflateEnd(&z);
    return rc;
}

static int pack_snappy(const uint8_t *from, size_t n, fr_buf *to, fr_err *err)
{
    snappy_pack_fn *pack;
    snappy_most_fn *most_of;
    int rc = need(&snappy, open_snappy, "compression = \"snappy\"", err);
    if (rc != FR_OK) {
        return rc;
    }
    memcpy(&pack, &snappy.functions[1], sizeof pack);
    memcpy(&most_of, &snappy.functions[2], sizeof most_of);
    size_t size = most_of(n);
    rc = fr_buf_reserve(to, size, err);
    if (rc == FR_OK && pack((const char *)from, n, (char *)to->data + to->size, &size) != 0) {
        rc = fr_fail(err, FR_ENOMEM, "packing with snappy");
    }
    to->size += rc == FR_OK ? size : 0;
    return rc;
}

static int pack_zstd(int level, pq_zstd *z, const uint8_t *from, size_t n, fr_buf *to, fr_err *err)
{
    size_t most = ZSTD_compressBound(n);
    int rc = fr_buf_reserve(to, most, err);
    if (rc != FR_OK) {
        return rc;
    }
    z->out = z->out != NULL ? z->out : ZSTD_createCCtx();
    if (z->out == NULL) {
        return fr_fail(err, FR_ENOMEM, "starting zstd");
    }
    size_t size = ZSTD_compressCCtx(z->out, to->data + to->size, most, from, n,
                                    level > 0 ? level : 1);
    if (ZSTD_isError(size)) {
        return fr_fail(err, FR_ENOMEM, "packing with zstd: %s", ZSTD_getErrorName(size));
    }
    to->size += size;
    return FR_OK;
}

int pq_pack(int codec, int level, pq_zstd *z, const uint8_t *from, size_t n, fr_buf *to,
            fr_err *err)
{
    switch (codec) {
    case PQ_GZIP:
        return pack_gzip(level, from, n, to, err);
    case PQ_SNAPPY:
        return pack_snappy(from, n, to, err);
    case PQ_ZSTD:
        return pack_zstd(level, z, from, n, to, err);
    default:
        fr_buf_put(to, from, n);
        return fr_buf_check(to, err);
    }
}
