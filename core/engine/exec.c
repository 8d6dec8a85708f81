// The table of executors.
#include "core/engine/exec.h"

#include <string.h>

static const fr_exec_ops *const table[FR_EXEC_KINDS] = {
    [FR_EXEC_THREAD] = &fr_exec_thread,
    [FR_EXEC_PROCESS] = &fr_exec_process,
};

const fr_exec_ops *fr_exec_at(fr_exec_kind kind)
{
    FR_ASSERT((unsigned)kind < FR_EXEC_KINDS);
    return table[kind];
}

int fr_exec_find(const char *name)
{
    for (int i = 0; i < FR_EXEC_KINDS; i++) {
        if (strcmp(table[i]->name, name) == 0) {
            return i;
        }
    }
    return -1;
}

fr_value *fr_exec_error(int code, const char *message)
{
    fr_buf b;
    fr_buf_init(&b, 4096);
    const char *name = fr_err_name(code);
    fr_buf_put_u8(&b, FR_TABLE);
    fr_buf_put_varint(&b, 0);
    fr_buf_put_varint(&b, 2);
    fr_value_put_string(&b, "code", 4);
    fr_value_put_string(&b, name, strlen(name));
    fr_value_put_string(&b, "message", 7);
    fr_value_put_string(&b, message, strlen(message));
    fr_value *v = fr_value_new(b.data, b.size, NULL, 0);
    fr_buf_fini(&b);
    return v;
}

fr_item_done fr_exec_item_cancelled(const fr_attempt *a, uint32_t at)
{
    uint32_t i = a->indexes != NULL ? a->indexes[at] : at;
    return (fr_item_done){
        .index = i,
        .flags = FR_ITEM_CANCELLED,
        .attempt = a->attempt,
        .args = a->item_args != NULL ? a->item_args[i] : (fr_hash){0, 0},
        .duplicate = a->duplicates != NULL ? a->duplicates[i] : 0,
        .value = (const uint8_t *)"", // packed nil
        .size = 1,
    };
}
