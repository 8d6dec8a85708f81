#include "lua/bind/embed.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// From the generated embed.S, sorted by name.
extern const uint64_t fr_embed_count;
extern const fr_embedded fr_embed_table[];

static int compare(const void *name, const void *entry)
{
    return strcmp(name, ((const fr_embedded *)entry)->name);
}

const fr_embedded *fr_embed_find(const char *name)
{
    return bsearch(name, fr_embed_table, fr_embed_count, sizeof *fr_embed_table, compare);
}

const fr_embedded *fr_embed_at(size_t i)
{
    return i < fr_embed_count ? &fr_embed_table[i] : NULL;
}

const fr_embedded *fr_embed_module(const char *module)
{
    enum { ROOT = 7 };       // strlen("flowrun")
    if (strncmp(module, "flowrun", ROOT) != 0 || strlen(module) > 200 ||
        (module[ROOT] != '\0' && module[ROOT] != '.')) {
        return NULL;
    }
    char path[256], name[320];
    (void)snprintf(path, sizeof path, "%s", module + ROOT);
    for (char *c = path; *c != '\0'; c++) {
        if (*c == '.') {
            *c = '/';
        }
    }
    static const char *const roots[] = {"lua/flowrun", "stdlib"};
    static const char *const ends[] = {".lua", "/init.lua"};
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof name, "%s%s%s", roots[i / 2], path, ends[i % 2]);
        const fr_embedded *file = fr_embed_find(name);
        if (file != NULL) {
            return file;
        }
    }
    return NULL;
}
