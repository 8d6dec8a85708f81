#include "core/base/cancel.h"
#include "core/base/mem.h"
#include "core/data/xlsx_int.h"

#include <expat.h>
#include <minizip/unzip.h>

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 64 << 10, DEPTH_MAX = 256 };

static const uint64_t UNPACKED_MAX = UINT64_C(1) << 33;

#define ZIP_FUNCTIONS(X)                                                                 \
    X(unzOpen64) X(unzClose) X(unzLocateFile) X(unzOpenCurrentFile) X(unzReadCurrentFile)  \
    X(unzCloseCurrentFile)
#define XML_FUNCTIONS(X)                                                                 \
    X(XML_ParserCreateNS) X(XML_ParserFree) X(XML_SetUserData) X(XML_SetElementHandler)    \
    X(XML_SetCharacterDataHandler) X(XML_SetStartDoctypeDeclHandler) X(XML_GetBuffer)      \
    X(XML_ParseBuffer) X(XML_StopParser) X(XML_GetErrorCode) X(XML_ErrorString)            \
    X(XML_GetCurrentLineNumber)

static struct {
    pthread_once_t once;
    bool open;
#define X(name) __typeof__(name) *name;
    ZIP_FUNCTIONS(X) XML_FUNCTIONS(X)
#undef X
    char why[160]; // it could not be opened
} lib = {.once = PTHREAD_ONCE_INIT};

static void *library(const char *file)
{
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        (void)snprintf(lib.why, sizeof lib.why, "%s is not there", file);
    }
    return handle;
}

static void open_libraries(void)
{
    void *zip = library("libminizip.so.1");
    void *xml = zip != NULL ? library("libexpat.so.1") : NULL;
    if (xml == NULL) {
        return;
    }
    const char *missing = NULL;
#define TAKE(handle, name)                                                               \
    void *p_##name = dlsym(handle, #name);                                               \
    memcpy(&lib.name, &p_##name, sizeof lib.name);                                       \
    missing = p_##name == NULL ? #name : missing;
#define X(name) TAKE(zip, name)
    ZIP_FUNCTIONS(X)
#undef X
#define X(name) TAKE(xml, name)
    XML_FUNCTIONS(X)
#undef X
    if (missing != NULL) {
        (void)snprintf(lib.why, sizeof lib.why, "they lack %s", missing);
    }
    lib.open = missing == NULL;
}

int xlsx_zip_open(const char *path, xlsx_zip *out, fr_err *err)
{
    *out = (xlsx_zip){.left = UNPACKED_MAX};
    (void)pthread_once(&lib.once, open_libraries);
    if (!lib.open) {
        return fr_fail(err, FR_EMISSING,
                       "reading Excel files needs minizip and expat (%s): apt install "
                       "libminizip1 libexpat1",
                       lib.why);
    }
    if (access(path, R_OK) != 0) {
        return fr_fail_errno(err, errno == ENOENT ? FR_ENOTFOUND : FR_EIO, "opening it");
    }
    out->file = lib.unzOpen64(path);
    if (out->file == NULL) {
        return fr_fail(err, FR_ECORRUPT,
                       "not an .xlsx file: it is no zip archive (.xls and .xlsb are others: save "
                       "it as .xlsx)");
    }
    return FR_OK;
}

void xlsx_zip_close(xlsx_zip *z)
{
    if (z->file != NULL) {
        (void)lib.unzClose(z->file);
    }
    z->file = NULL;
}

// One part on its way through the parser.
typedef struct passing {
    XML_Parser parser;
    const xlsx_sink *sink;
    void *ctx;
    int depth, rc;
    fr_err *err;
} passing;

// The name behind "namespace|".
static const char *local(const char *name)
{
    const char *bar = strrchr(name, '|');
    return bar != NULL ? bar + 1 : name;
}

const char *xlsx_attribute(const char *const *attributes, const char *name)
{
    for (size_t i = 0; attributes[i] != NULL; i += 2) {
        if (strcmp(local(attributes[i]), name) == 0) {
            return attributes[i + 1];
        }
    }
    return NULL;
}

static void stop(passing *p, int rc)
{
    if (rc != FR_OK && p->rc == FR_OK) {
        p->rc = rc;
        (void)lib.XML_StopParser(p->parser, XML_FALSE);
    }
}

static void XMLCALL on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
    passing *p = user;
    if (p->rc != FR_OK) {
        return;
    }
    if (++p->depth > DEPTH_MAX) {
        stop(p, fr_fail(p->err, FR_ECORRUPT, "elements nested deeper than %d", DEPTH_MAX));
        return;
    }
    stop(p, p->sink->start(p->ctx, local(name), (const char *const *)attributes, p->err));
}

static void XMLCALL on_end(void *user, const XML_Char *name)
{
    passing *p = user;
    p->depth--;
    if (p->rc == FR_OK && p->sink->end != NULL) {
        stop(p, p->sink->end(p->ctx, local(name), p->err));
    }
}

static void XMLCALL on_text(void *user, const XML_Char *s, int n)
{
    passing *p = user;
    if (p->rc == FR_OK && p->sink->text != NULL) {
        stop(p, p->sink->text(p->ctx, s, (size_t)n, p->err));
    }
}

static void XMLCALL on_doctype(void *user, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int subset)
{
    (void)name, (void)system, (void)public, (void)subset;
    passing *p = user;
    stop(p, fr_fail(p->err, FR_ECORRUPT, "a document type declaration"));
}

static int feed(xlsx_zip *z, passing *p)
{
    for (;;) {
        void *room = lib.XML_GetBuffer(p->parser, PIECE);
        if (room == NULL) {
            return fr_fail(p->err, FR_ENOMEM, "no memory for a piece of XML");
        }
        int n = lib.unzReadCurrentFile(z->file, room, PIECE);
        if (n < 0) {
            return fr_fail(p->err, FR_ECORRUPT, "it does not unpack (%d)", n);
        }
        if ((uint64_t)n > z->left) {
            return fr_fail(p->err, FR_ELIMIT, "more than %llu bytes unpacked",
                           (unsigned long long)UNPACKED_MAX);
        }
        z->left -= (uint64_t)n;
        if (fr_cancelled()) {
            return fr_fail(p->err, fr_cancel_code(), "reading stopped");
        }
        enum XML_Status status = lib.XML_ParseBuffer(p->parser, n, n == 0);
        if (p->rc != FR_OK) {
            return p->rc;
        }
        if (status != XML_STATUS_OK) {
            return fr_fail(p->err, FR_ECORRUPT, "line %lu: %s",
                           (unsigned long)lib.XML_GetCurrentLineNumber(p->parser),
                           lib.XML_ErrorString(lib.XML_GetErrorCode(p->parser)));
        }
        if (n == 0) {
            return FR_OK;
        }
    }
}

int xlsx_parse(xlsx_zip *z, const char *part, const xlsx_sink *sink, void *ctx, bool *found,
               fr_err *err)
{
    *found = lib.unzLocateFile(z->file, part, 2) == UNZ_OK; // 2: case does not matter
    if (!*found) {
        return FR_OK;
    }
    if (lib.unzOpenCurrentFile(z->file) != UNZ_OK) {
        return fr_fail(err, FR_ECORRUPT, "%s: it does not unpack", part);
    }
    passing p = {.parser = lib.XML_ParserCreateNS(NULL, '|'), .sink = sink, .ctx = ctx,
                 .err = err};
    int rc = p.parser == NULL ? fr_fail(err, FR_ENOMEM, "starting expat") : FR_OK;
    if (rc == FR_OK) {
        lib.XML_SetUserData(p.parser, &p);
        lib.XML_SetElementHandler(p.parser, on_start, on_end);
        lib.XML_SetCharacterDataHandler(p.parser, on_text);
        lib.XML_SetStartDoctypeDeclHandler(p.parser, on_doctype);
        rc = feed(z, &p);
        lib.XML_ParserFree(p.parser);
        // Elements may be refused with a place of their own; what is damaged names the part.
        rc = rc == FR_ECORRUPT || rc == FR_ELIMIT ? fr_wrap(err, rc, "%s", part) : rc;
    }
    int closed = lib.unzCloseCurrentFile(z->file);
    if (rc == FR_OK && closed == UNZ_CRCERROR) {
        rc = fr_fail(err, FR_ECORRUPT, "%s: its checksum is wrong", part);
    }
    return rc;
}
