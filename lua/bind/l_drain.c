// flowrun.core.drain -- SIGTERM lets what runs finish (fr_run_drain); a second one ends the
// process. For the process of the command line, which has one run.

#include "core/base/mem.h"
#include "core/engine/engine.h"
#include "lua/bind/bind.h"
#include "lua/bind/engine_loop.h"

#include <signal.h>
#include <uv.h>

// Listed in tests/tidy: the handler reads them.
static volatile sig_atomic_t asked;
static uv_async_t *volatile wake_handle;
static struct sigaction before;

static void on_signal(int sig)
{
    if (++asked >= 2) {
        (void)signal(sig, SIG_DFL);
        (void)raise(sig);
    }
    uv_async_t *w = wake_handle;
    if (w != NULL) {
        (void)uv_async_send(w);
    }
}

static void on_wake(uv_async_t *w) { (void)w; }

static void on_closed(uv_handle_t *h) { fr_free(h); }

// watch(engine): SIGTERM is noted from now on, and ends a turn of the engine's loop. watch():
// it does what it did before; the loop must still be there.
static int drain_watch(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        uv_async_t *w = wake_handle;
        if (w != NULL) {
            (void)sigaction(SIGTERM, &before, NULL);
            wake_handle = NULL;
            uv_close((uv_handle_t *)w, on_closed);
        }
        return 0;
    }
    uv_loop_t *loop = bind_engine_loop(L, 1);
    if (wake_handle == NULL) {
        uv_async_t *w = fr_alloc(sizeof *w);
        (void)uv_async_init(loop, w, on_wake);
        uv_unref((uv_handle_t *)w);
        asked = 0;
        wake_handle = w;
        struct sigaction now = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        (void)sigaction(SIGTERM, &now, &before);
    }
    return 0;
}

// asked(): whether SIGTERM has come since watch.
static int drain_asked(lua_State *L)
{
    lua_pushboolean(L, asked > 0);
    return 1;
}

// run(run): see fr_run_drain.
static int drain_run(lua_State *L)
{
    fr_run_drain(bind_engine_run(L, 1));
    return 0;
}

int luaopen_flowrun_core_drain(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"watch", drain_watch},
        {"asked", drain_asked},
        {"run", drain_run},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
