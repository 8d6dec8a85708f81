#pragma once
// run_body -- runs tasks of a script (`script`, a text) from a C test: on one worker thread,
// or in worker processes (`ops`). The test's main calls be_other_process first.

#include "core/base/mem.h"
#include "lua/bind/bind.h"
#include "lua/bind/body.h"
#include "core/engine/reaper.h"
#include "lua/bind/marshal.h"
#include "lua/bind/object_box.h"
#include "lua/bind/self.h"
#include "lua/bind/vm.h"
#include "tests/unit/check.h"

#include <uv.h>

#include <stdlib.h>
#include <unistd.h>

static lua_State *L;
static uv_loop_t loop;
static fr_exec *exec;
static const fr_exec_ops *ops = &fr_exec_thread;
static const char *const reaper_argv[] = {"/proc/self/exe", "--reaper", "%d", NULL};
static const char *const worker_argv[] = {"/proc/self/exe", "--worker", NULL};
static fr_code code = {.name = "storm", .run = 12, .seed = 42};
static fr_buf answer, items;
static int n_done, n_items, n_failed, n_value_items;
static marshal m;
#define FOLDER "/tmp/flowrun-test-XXXXXX"
static char folder[] = FOLDER;
static char note_path[128];

static void on_done(void *ctx, fr_attempt *a, const fr_done *d)
{
    (void)ctx;
    n_done += d->last;
    if (a->list != NULL && d->items == NULL && d->n_items == 1) {
        n_value_items++;
        CHECK(d->code == FR_OK ? d->result != NULL : d->error != NULL);
        return;
    }
    if (a->list != NULL) {
        fr_reader r = fr_reader_of(d->items, d->size);
        fr_item_done item;
        while (d->items != NULL && fr_item_next(&r, &item)) {
            n_items++;
            n_failed += (item.flags & FR_ITEM_FAILED) != 0;
            fr_value *v = fr_value_new(item.value, item.size, NULL, 0);
            fr_buf_printf(&items, "%u=", item.index);
            fr_value_json(v, &items, 500);
            fr_buf_put_u8(&items, ' ');
            fr_value_unref(v);
        }
        return;
    }
    fr_buf_clear(&answer);
    CHECK_INT(d->code != FR_OK, d->error != NULL);
    fr_value_json(d->code == FR_OK ? d->result : d->error, &answer, 5000);
}

// Packs the values of a Lua expression list.
static fr_value *pack(const char *expression, uint32_t *n)
{
    char text[512];
    (void)snprintf(text, sizeof text, "return %s", expression);
    int top = lua_gettop(L);
    fr_err err = FR_ERR_INIT;
    CHECK(luaL_dostring(L, text) == LUA_OK);
    *n = (uint32_t)(lua_gettop(L) - top);
    marshal_clear(&m);
    CHECK_INT(marshal_pack_list(L, top + 1, (int)*n, "argument", &m, &err), FR_OK);
    lua_settop(L, top);
    return marshal_take(&m);
}

static fr_attempt attempt(const char *task, const char *args)
{
    fr_attempt a = {.code = &code, .task = task, .cpu = 1, .n_outputs = 1, .attempt = 1};
    a.key = fr_hash_str(task);
    if (args != NULL) {
        a.args = pack(args, &a.n_args);
    }
    return a;
}

static void finish(fr_attempt *a)
{
    int before = n_done;
    while (n_done == before) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    fr_value_unref(a->args);
}

static const char *call_with(fr_attempt a)
{
    ops->start(exec, &a);
    finish(&a);
    return fr_buf_text(&answer);
}

static const char *call(const char *task, const char *args)
{
    return call_with(attempt(task, args));
}

static bool contains(const char *text, const char *part)
{
    bool found = strstr(text, part) != NULL;
    if (!found) {
        (void)fprintf(stderr, "not in it: %s\n  %s\n", part, text);
    }
    return found;
}

// In a process that another one of this test started: does its work, -1 otherwise.
static int be_other_process(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--reaper") == 0) {
        return fr_reaper_main((int)strtol(argv[2], NULL, 10), argv[3]);
    }
    return argc == 2 && strcmp(argv[1], "--worker") == 0 ? self_worker_main(NULL) : -1;
}

static void open_script(const char *script)
{
    static fr_value *sources;
    L = fr_vm_new(NULL);
    marshal_init(&m, 1 << 26);
    fr_buf_init(&answer, 1 << 20);
    fr_buf_init(&items, 1 << 24);
    memcpy(folder, FOLDER, sizeof folder);
    CHECK(mkdtemp(folder) != NULL);
    atomic_store(&code.durable, 0);
    (void)snprintf(note_path, sizeof note_path, "%s/notes", folder);
    lua_pushstring(L, script);
    lua_setglobal(L, "script");
    int rc =
        luaL_dostring(L, "local b = require('flowrun.bundle').load_text(script, 's') "
                         "return b.sources, b.hash");
    if (rc != LUA_OK) {
        (void)fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
        exit(1);
    }
    size_t n;
    const char *text = lua_tolstring(L, -2, &n);
    fr_value_unref(sources);
    sources = fr_value_text(text, n);
    code.sources = sources->bytes + (sources->size - n);
    code.size = n;
    CHECK(fr_hash_parse(lua_tostring(L, -1), 32, &code.bundle));
    lua_settop(L, 0);
    (void)uv_loop_init(&loop);
    // A body that waits holds its process, but not its thread.
    fr_exec_env env = {.loop = &loop, .bodies = &bind_body_ops, .done = on_done,
                       .workers = ops == &fr_exec_thread ? 1 : 2,
                       .kinds = bind_object_kinds(), .reaper_argv = reaper_argv,
                       .worker_argv = worker_argv};
    fr_err err = FR_ERR_INIT;
    code.reaper = fr_reaper_new(NULL);
    CHECK_INT(ops->open(&exec, &env, &err), FR_OK);
    if (ops->watch != NULL) {
        ops->watch(exec, true);
    }
}

static void close_all(void)
{
    ops->close(exec);
    fr_reaper_free(code.reaper);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&loop), 0);
    marshal_fini(&m);
    fr_buf_fini(&answer);
    fr_buf_fini(&items);
    lua_close(L);
    (void)unlink(note_path);
    CHECK_INT(rmdir(folder), 0);
}
