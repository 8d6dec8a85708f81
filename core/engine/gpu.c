#include "core/engine/gpu.h"

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/sys.h"

#include <fcntl.h>
#include <stdio.h>

struct fr_gpus {
    char *home;
    uint64_t mine;
    int fd[FR_GPUS];               // the locks of mine
};

fr_gpus *fr_gpus_new(const char *home)
{
    fr_gpus *g = fr_zalloc(sizeof *g);
    g->home = home != NULL ? fr_strdup(home) : NULL;
    return g;
}

void fr_gpus_free(fr_gpus *g)
{
    if (g != NULL) {
        fr_gpus_give(g, g->mine);
        fr_free(g->home);
        fr_free(g);
    }
}

static bool take(fr_gpus *g, int i)
{
    if (g->home == NULL) {
        return true;
    }
    fr_buf b;
    fr_buf_init(&b, 4096);
    fr_buf_printf(&b, "%s/gpu-%d.lock", g->home, i);
    const char *path = fr_buf_text(&b);
    bool ours = fr_sys_open(path, O_RDWR | O_CREAT, 0600, &g->fd[i], NULL) == FR_OK;
    if (ours && fr_sys_lock(g->fd[i], FR_SYS_EXCLUSIVE, false, path, NULL) != FR_OK) {
        fr_sys_close(g->fd[i]);
        ours = false;
    }
    fr_buf_fini(&b);
    return ours;
}

uint64_t fr_gpus_take(fr_gpus *g, uint32_t n)
{
    uint64_t got = 0;
    for (int i = 0; i < FR_GPUS && n > 0; i++) {
        uint64_t bit = UINT64_C(1) << i;
        if ((g->mine & bit) == 0 && take(g, i)) {
            g->mine |= bit;
            got |= bit;
            n--;
        }
    }
    return got;
}

void fr_gpus_give(fr_gpus *g, uint64_t bits)
{
    for (int i = 0; i < FR_GPUS; i++) {
        if ((g->mine & bits & UINT64_C(1) << i) != 0 && g->home != NULL) {
            fr_sys_close(g->fd[i]);
        }
    }
    g->mine &= ~bits;
}

void fr_gpus_text(uint64_t bits, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < FR_GPUS && at + 4 < size; i++) {
        if ((bits & UINT64_C(1) << i) != 0) {
            at += (size_t)FR_MAX(snprintf(out + at, size - at, "%s%d", at > 0 ? "," : "", i), 0);
        }
    }
}
