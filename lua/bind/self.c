#include "lua/bind/self.h"

#include "core/engine/exec_child.h"
#include "lua/bind/body.h"
#include "lua/bind/object_box.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Whether this code is in the program itself; else *library is where it is.
static int find_self(char *library, bool *inside, fr_err *err)
{
    Dl_info info;
    int (*self)(const char *) = self_worker_main;
    void *address;
    memcpy(&address, &self, sizeof address);
    char exe[4096];
    if (dladdr(address, &info) == 0 || realpath("/proc/self/exe", exe) == NULL) {
        return fr_fail(err, FR_EIO, "the program does not find its own file");
    }
    *inside = realpath(info.dli_fname, library) == NULL || strcmp(exe, library) == 0;
    return FR_OK;
}

int self_command_make(self_role role, const char *dev, self_command *out, fr_err *err)
{
    *out = (self_command){.words = {NULL}};
    char library[4096];
    bool inside = true;
    int rc = find_self(library, &inside, err);
    if (rc != FR_OK) {
        return rc;
    }
    size_t n = 0;
    out->words[n++] = "/proc/self/exe";
    if (inside && role == SELF_REAPER) {
        out->words[n++] = "--reaper";
        out->words[n++] = "%d";
    } else if (inside) {
        if (dev != NULL) {
            out->words[n++] = "--dev";
            out->words[n++] = dev;
        }
        out->words[n++] = "--worker";
    } else {
        out->words[n++] = "-e";
        (void)snprintf(out->code, sizeof out->code,
                       "package.loadlib([==[%s]==], 'luaopen_flowrun_core_reaper')()%s",
                       library,
                       role == SELF_REAPER ? ".main(%d, arg[0])" : ".worker()");
        out->words[n++] = out->code;
    }
    return FR_OK;
}

int self_worker_main(const char *dev)
{
    body_config config = {.dev = dev};
    return fr_exec_child_main(&bind_body_ops, &config, bind_object_kinds());
}
