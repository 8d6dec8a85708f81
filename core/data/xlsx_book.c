#include "core/base/mem.h"
#include "core/data/xlsx_int.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHEETS_MAX = 4096, STYLES_MAX = 1 << 20, CODE_MAX = 512, CUSTOM_MAX = 1 << 16 };

static const size_t TEXTS_MAX = (size_t)1 << 33;

// Texts.
int xlsx_texts_add(xlsx_texts *t, const char *s, size_t n, bool more, fr_err *err)
{
    if (!more) {
        if (t->n == t->capacity) {
            size_t capacity = t->capacity * 2 + 64;
            size_t *ends = fr_try_realloc(t->ends, capacity * sizeof *ends);
            if (ends == NULL) {
                return fr_fail(err, FR_ENOMEM, "no memory for %zu texts", capacity);
            }
            t->ends = ends;
            t->capacity = capacity;
        }
        t->ends[t->n++] = t->bytes.size;
    }
    int rc = fr_buf_reserve(&t->bytes, n, err);
    if (rc == FR_OK && n > 0) {
        fr_buf_put(&t->bytes, s, n);
        t->ends[t->n - 1] = t->bytes.size;
    }
    return rc;
}

static int hex_at(const char *s)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int c = tolower((unsigned char)s[i]);
        if (!isxdigit(c)) {
            return -1;
        }
        v = v * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return v;
}

// Escapes of single-byte characters are undone (ECMA-376, ST_Xstring); others stay.
void xlsx_texts_end(xlsx_texts *t)
{
    size_t n, to = 0;
    if (t->n == 0 || t->bytes.data == NULL) {
        return;
    }
    (void)xlsx_text(t, t->n - 1, &n);
    char *s = (char *)t->bytes.data + (t->ends[t->n - 1] - n);
    for (size_t i = 0; i < n; i++) {
        int c = n - i >= 7 && s[i] == '_' && s[i + 1] == 'x' && s[i + 6] == '_' ? hex_at(s + i + 2)
                                                                                : -1;
        i += c >= 0 && c < 0x80 ? 6 : 0;
        s[to++] = c >= 0 && c < 0x80 ? (char)c : s[i];
    }
    t->bytes.size -= n - to;
    t->ends[t->n - 1] -= n - to;
}

const char *xlsx_text(const xlsx_texts *t, size_t i, size_t *n)
{
    size_t from = i == 0 ? 0 : t->ends[i - 1];
    *n = t->ends[i] - from;
    return t->bytes.data == NULL ? "" : (const char *)t->bytes.data + from;
}

// xl/sharedStrings.xml: <si> with <t>, or runs <r><t>; <rPh> is how it is pronounced.
typedef struct shared {
    xlsx_texts *texts;
    int text, spoken;
} shared;

static int shared_start(void *ctx, const char *name, const char *const *attributes, fr_err *err)
{
    (void)attributes;
    shared *s = ctx;
    if (strcmp(name, "si") == 0) {
        return xlsx_texts_add(s->texts, "", 0, false, err);
    }
    s->text += strcmp(name, "t") == 0;
    s->spoken += strcmp(name, "rPh") == 0;
    return FR_OK;
}

static int shared_end(void *ctx, const char *name, fr_err *err)
{
    (void)err;
    shared *s = ctx;
    s->text -= strcmp(name, "t") == 0;
    s->spoken -= strcmp(name, "rPh") == 0;
    if (strcmp(name, "si") == 0) {
        xlsx_texts_end(s->texts);
    }
    return FR_OK;
}

static int shared_text(void *ctx, const char *s, size_t n, fr_err *err)
{
    shared *sh = ctx;
    bool counts = sh->text > 0 && sh->spoken == 0 && sh->texts->n > 0;
    return counts ? xlsx_texts_add(sh->texts, s, n, true, err) : FR_OK;
}

// Number formats: letters outside of quotes, brackets and escapes tell.
static size_t skip_mark(const char *code, size_t n, size_t i, bool *elapsed)
{
    if (code[i] == '"') {
        for (i++; i < n && code[i] != '"'; i++) {
        }
        return i + 1;
    }
    if (code[i] == '[') {
        int c = i + 1 < n ? tolower((unsigned char)code[i + 1]) : 0;
        size_t from = i + 1, to = from;
        while (to < n && code[to] != ']') {
            to++;
        }
        bool same = to > from;
        for (size_t k = from; k < to; k++) {
            same = same && tolower((unsigned char)code[k]) == c;
        }
        *elapsed = *elapsed || (same && (c == 'h' || c == 'm' || c == 's'));
        return to + 1;
    }
    if (code[i] == '\\' || code[i] == '_' || code[i] == '*') {
        return i + 2;
    }
    if (n - i >= 5 && strncasecmp(code + i, "am/pm", 5) == 0) {
        return i + 5;
    }
    return n - i >= 3 && strncasecmp(code + i, "a/p", 3) == 0 ? i + 3 : i;
}

xlsx_style xlsx_style_of(const char *code, size_t n)
{
    bool elapsed = false, date = false, clock = false, month = false;
    if (n == 7 && strncasecmp(code, "general", 7) == 0) {
        return XLSX_PLAIN;
    }
    for (size_t i = 0; i < n && code[i] != ';';) {
        size_t next = skip_mark(code, n, i, &elapsed);
        if (next != i) {
            i = next;
            continue;
        }
        int c = tolower((unsigned char)code[i++]);
        date = date || c == 'y' || c == 'd';
        clock = clock || c == 'h' || c == 's';
        month = month || c == 'm';
    }
    if (elapsed) {
        return XLSX_ELAPSED;
    }
    date = date || (month && !clock);
    return date && clock ? XLSX_STAMP : date ? XLSX_DATE : clock ? XLSX_TIME : XLSX_PLAIN;
}

static xlsx_style builtin_style(long id)
{
    if (id == 22) {
        return XLSX_STAMP;
    }
    if (id == 46) {
        return XLSX_ELAPSED;
    }
    if ((id >= 18 && id <= 21) || id == 45 || id == 47 || (id >= 32 && id <= 35)) {
        return XLSX_TIME;
    }
    bool date = (id >= 14 && id <= 17) || (id >= 27 && id <= 36) || (id >= 50 && id <= 58);
    return date ? XLSX_DATE : XLSX_PLAIN;
}

// xl/styles.xml: <numFmts><numFmt numFmtId formatCode>, <cellXfs><xf numFmtId>.
typedef struct styles {
    xlsx_book *book;
    struct {
        long id;
        xlsx_style style;
    } *custom;
    size_t n_custom;
    bool formats;
} styles;

static int add_custom(styles *s, const char *id, const char *code, fr_err *err)
{
    if (s->n_custom >= CUSTOM_MAX) {
        return fr_fail(err, FR_ELIMIT, "more than %d number formats", CUSTOM_MAX);
    }
    if ((s->n_custom & (s->n_custom + 1)) == 0) {
        s->custom = fr_realloc(s->custom, (s->n_custom * 2 + 1) * sizeof *s->custom);
    }
    s->custom[s->n_custom].id = strtol(id, NULL, 10);
    s->custom[s->n_custom++].style = xlsx_style_of(code, strnlen(code, CODE_MAX));
    return FR_OK;
}

static int add_style(styles *s, const char *id, fr_err *err)
{
    xlsx_book *b = s->book;
    long number = id != NULL ? strtol(id, NULL, 10) : 0;
    xlsx_style style = builtin_style(number);
    for (size_t i = 0; i < s->n_custom; i++) {
        style = s->custom[i].id == number ? s->custom[i].style : style;
    }
    if (b->n_styles >= STYLES_MAX) {
        return fr_fail(err, FR_ELIMIT, "more than %d cell formats", STYLES_MAX);
    }
    if ((b->n_styles & (b->n_styles + 1)) == 0) {
        b->styles = fr_realloc(b->styles, b->n_styles * 2 + 1);
    }
    b->styles[b->n_styles++] = (uint8_t)style;
    return FR_OK;
}

static int styles_start(void *ctx, const char *name, const char *const *attributes, fr_err *err)
{
    styles *s = ctx;
    if (strcmp(name, "numFmt") == 0) {
        const char *id = xlsx_attribute(attributes, "numFmtId");
        const char *code = xlsx_attribute(attributes, "formatCode");
        return id != NULL && code != NULL ? add_custom(s, id, code, err) : FR_OK;
    }
    if (strcmp(name, "cellXfs") == 0) {
        s->formats = true;
    } else if (strcmp(name, "xf") == 0 && s->formats) {
        return add_style(s, xlsx_attribute(attributes, "numFmtId"), err);
    }
    return FR_OK;
}

static int styles_end(void *ctx, const char *name, fr_err *err)
{
    (void)err;
    styles *s = ctx;
    s->formats = s->formats && strcmp(name, "cellXfs") != 0;
    return FR_OK;
}

// xl/workbook.xml and its relations.
static int workbook_start(void *ctx, const char *name, const char *const *attributes,
                          fr_err *err)
{
    xlsx_book *b = ctx;
    if (strcmp(name, "workbookPr") == 0) {
        const char *v = xlsx_attribute(attributes, "date1904");
        b->from_1904 = v != NULL && (strcmp(v, "1") == 0 || strcmp(v, "true") == 0);
    }
    if (strcmp(name, "sheet") != 0) {
        return FR_OK;
    }
    const char *title = xlsx_attribute(attributes, "name");
    const char *id = xlsx_attribute(attributes, "id");
    if (title == NULL || id == NULL) {
        return fr_fail(err, FR_ECORRUPT, "a sheet without a name");
    }
    if (b->n_sheets >= SHEETS_MAX) {
        return fr_fail(err, FR_ELIMIT, "more than %d sheets", SHEETS_MAX);
    }
    b->sheets = fr_realloc(b->sheets, (b->n_sheets + 1) * sizeof *b->sheets);
    b->sheets[b->n_sheets++] = (struct xlsx_listed){fr_strdup(title), fr_strdup(id), NULL};
    return FR_OK;
}

static int relations_start(void *ctx, const char *name, const char *const *attributes,
                           fr_err *err)
{
    (void)err;
    xlsx_book *b = ctx;
    const char *id = xlsx_attribute(attributes, "Id");
    const char *target = xlsx_attribute(attributes, "Target");
    if (strcmp(name, "Relationship") != 0 || id == NULL || target == NULL) {
        return FR_OK;
    }
    for (size_t i = 0; i < b->n_sheets; i++) {
        if (strcmp(b->sheets[i].id, id) == 0 && b->sheets[i].part == NULL) {
            size_t room = strlen(target) + 4;
            b->sheets[i].part = fr_alloc(room);
            (void)snprintf(b->sheets[i].part, room, "%s%s", target[0] == '/' ? "" : "xl/",
                           target + (target[0] == '/'));
        }
    }
    return FR_OK;
}

int xlsx_book_open(const char *path, xlsx_book *out, fr_err *err)
{
    static const xlsx_sink workbook = {.start = workbook_start};
    static const xlsx_sink relations = {.start = relations_start};
    bool found = false;
    *out = (xlsx_book){.n_sheets = 0};
    fr_buf_init(&out->texts.bytes, TEXTS_MAX);
    int rc = xlsx_zip_open(path, &out->zip, err);
    if (rc == FR_OK) {
        rc = xlsx_parse(&out->zip, "xl/workbook.xml", &workbook, out, &found, err);
    }
    if (rc == FR_OK && (!found || out->n_sheets == 0)) {
        rc = fr_fail(err, FR_ECORRUPT, "not an .xlsx file: a zip archive without sheets");
    }
    if (rc == FR_OK) {
        rc = xlsx_parse(&out->zip, "xl/_rels/workbook.xml.rels", &relations, out, &found, err);
    }
    return rc;
}

int xlsx_book_read(xlsx_book *b, fr_err *err)
{
    static const xlsx_sink texts = {shared_start, shared_end, shared_text};
    static const xlsx_sink formats = {styles_start, styles_end, NULL};
    bool found;
    shared sh = {.texts = &b->texts};
    int rc = xlsx_parse(&b->zip, "xl/sharedStrings.xml", &texts, &sh, &found, err);
    b->n_shared = b->texts.n;
    styles st = {.book = b};
    if (rc == FR_OK) {
        rc = xlsx_parse(&b->zip, "xl/styles.xml", &formats, &st, &found, err);
    }
    fr_free(st.custom);
    return rc;
}

void xlsx_book_close(xlsx_book *b)
{
    for (size_t i = 0; i < b->n_sheets; i++) {
        fr_free(b->sheets[i].name);
        fr_free(b->sheets[i].id);
        fr_free(b->sheets[i].part);
    }
    fr_free(b->sheets);
    fr_free(b->styles);
    fr_free(b->texts.ends);
    fr_buf_fini(&b->texts.bytes);
    xlsx_zip_close(&b->zip);
}
