#include "core/ml/linalg.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *const files[] = {"libopenblas.so.0", "libopenblas.so"};

// Where each function of the table comes from.
static const struct {
    const char *symbol;
    size_t offset;
} symbols[] = {
    {"cblas_dgemm", offsetof(fr_linalg, dgemm)},
    {"cblas_dsyrk", offsetof(fr_linalg, dsyrk)},
    {"cblas_dgemv", offsetof(fr_linalg, dgemv)},
    {"dpotrf_", offsetof(fr_linalg, dpotrf)},
    {"dpotrs_", offsetof(fr_linalg, dpotrs)},
    {"dgeqp3_", offsetof(fr_linalg, dgeqp3)},
    {"dormqr_", offsetof(fr_linalg, dormqr)},
    {"dtrtrs_", offsetof(fr_linalg, dtrtrs)},
    {"dsyevd_", offsetof(fr_linalg, dsyevd)},
    {"openblas_get_config", offsetof(fr_linalg, config)},
};

static struct {
    pthread_once_t once;
    bool open;
    fr_linalg functions;
    char why[160]; // it could not be opened
} table = {.once = PTHREAD_ONCE_INIT};

static bool take(void *handle, const char *symbol, void *to)
{
    void *found = dlsym(handle, symbol);
    memcpy(to, &found, sizeof found); // ISO C has no cast from object to function
    if (found == NULL) {
        (void)snprintf(table.why, sizeof table.why, "it lacks %s", symbol);
    }
    return found != NULL;
}

static void open_table(void)
{
    void *handle = NULL;
    for (size_t i = 0; i < FR_COUNT(files) && handle == NULL; i++) {
        handle = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
    }
    if (handle == NULL) {
        (void)snprintf(table.why, sizeof table.why, "%s", files[0]);
        return;
    }
    for (size_t i = 0; i < FR_COUNT(symbols); i++) {
        if (!take(handle, symbols[i].symbol,
                  (char *)&table.functions + symbols[i].offset)) {
            return;
        }
    }
    void (*set_threads)(int);
    if (take(handle, "openblas_set_num_threads", &set_threads)) {
        set_threads(1);
        table.open = true;
    }
}

int fr_linalg_open(const fr_linalg **out, fr_err *err)
{
    *out = NULL;
    (void)pthread_once(&table.once, open_table);
    if (!table.open) {
        return fr_fail(err, FR_EMISSING,
                       "this needs OpenBLAS, which cannot be opened (%s): apt install "
                       "libopenblas0",
                       table.why);
    }
    *out = &table.functions;
    return FR_OK;
}
