#include "core/base/cancel.h"

#include <stddef.h>

static _Thread_local fr_cancel *current;

fr_cancel *fr_cancel_enter(fr_cancel *token)
{
    fr_cancel *before = current;
    current = token;
    return before;
}

fr_cancel *fr_cancel_current(void)
{
    return current;
}

int fr_cancel_code(void)
{
    return current != NULL ? atomic_load_explicit(&current->flag, memory_order_relaxed) : 0;
}

bool fr_cancelled(void)
{
    return fr_cancel_code() != 0;
}

void fr_cancel_set(fr_cancel *token, int code)
{
    int none = 0;
    (void)atomic_compare_exchange_strong(&token->flag, &none, code);
}
