#pragma once
// embed -- files inside the program: lua/flowrun/, stdlib/, web/. Read-only, any thread.

#include <stdbool.h>
#include <stddef.h>

typedef struct fr_embedded {
    const char *name;        // path in the source tree: "lua/flowrun/cli/init.lua"
    const char *bytes;       // followed by a NUL that does not count
    size_t size;
    const char *code;        // the same compiled, with line numbers; NULL when it is no Lua
    size_t code_size;
} fr_embedded;

const fr_embedded *fr_embed_find(const char *name);    // NULL when absent
const fr_embedded *fr_embed_at(size_t i);              // sorted by name; NULL beyond the end
// The source of a Lua module "flowrun.report.svg": lua/flowrun/<path>.lua or .../init.lua,
// then the same under stdlib/. NULL when absent.
const fr_embedded *fr_embed_module(const char *module);
