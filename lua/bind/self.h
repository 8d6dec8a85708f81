#pragma once
// self -- how this program starts itself in another role, and what it does then.
//
// The program: `flowrun --reaper FD LOCK`, `flowrun [--dev DIR] --worker`. In a stock lua5.4:
// `lua5.4 -e CODE …`, where CODE loads the same library.

#include "core/base/err.h"

typedef enum self_role { SELF_REAPER, SELF_WORKER } self_role;

typedef struct self_command {
    const char *words[6];        // as fr_reaper_channel and fr_child_spec.argv want them
    char code[4400];
} self_command;

// dev: see fr_vm_new; must live as long as the command. Words point into *out.
FR_NODISCARD int self_command_make(self_role role, const char *dev, self_command *out,
                                   fr_err *err);
// The worker process; see core/engine/exec_child.h. Returns its exit status.
int self_worker_main(const char *dev);
