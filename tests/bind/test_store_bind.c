// What flowrun.store shows of a store that C code wrote.
#include "core/engine/item.h"
#include "lua/bind/vm.h"
#include "tests/unit/store_util.h"

#include <lauxlib.h>
#include <lua.h>

enum { TASKS = 2500, ITEMS = 5 };

static void write_items(fr_store_run *r, uint64_t seq)
{
    fr_buf b;
    fr_buf_init(&b, 4096);
    for (uint32_t i = 0; i < ITEMS; i++) {
        uint8_t value[2] = {3, (uint8_t)(i * 2)};
        fr_item_done d = {.index = i, .flags = i == 3 ? FR_ITEM_FAILED : 0, .attempt = 1 + i,
                          .start_us = i * 10, .duration_us = 7, .args = {i, 1}, .value = value,
                          .size = 2};
        fr_item_put(&b, &d);
    }
    fr_record rec = {.type = FR_REC_MAP_PART, .kind = FR_CALL_MAP, .seq = seq, .row = 9000,
                     .data = b.data, .size = b.size, .items = ITEMS};
    fr_store_append(r, &rec);
    fr_record map = {.type = FR_REC_TASK, .kind = FR_CALL_MAP, .seq = seq + 1, .row = 9000,
                     .name = "storm:fan", .state = FR_FAILED, .key = {4, 4}, .queued = 1000,
                     .ended = 9000, .items = ITEMS, .failed_items = 1};
    fr_store_append(r, &map);
    fr_buf_fini(&b);
}

static void write_store(home *h)
{
    fr_store *s = home_open(h);
    CHECK_INT(fr_store_blob_put(s, (fr_hash){7, 8}, "bundle", 6, NULL), FR_OK);
    fr_store_run *r = home_begin(s);
    for (uint64_t seq = 1; seq <= TASKS; seq++) {
        append_task(r, seq);
    }
    write_items(r, TASKS + 1);
    fr_value *now = fr_value_int(5);
    fr_record rec = {.type = FR_REC_VALUE, .seq = TASKS + 3, .name = "now", .result = now};
    fr_store_append(r, &rec);
    fr_value_unref(now);
    for (uint32_t i = 0; i < 1500; i++) {
        (void)fr_store_log(r, i % 3, 0, 1, 2, "one\ntwo \\ three\n", 16);
    }
    fr_run_info end = {.state = FR_FAILED, .reason = FR_BECAUSE_ERROR, .ended = 9};
    fr_store_run_update(r, &end);
    fr_store_run_close(r);
    fr_store_run_close(home_begin(s));
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
}

static const char script[] =
    "local path = ...\n"
    "local store = require 'flowrun.store'\n"
    "local home <close> = store.open(path, {read_only = true})\n"
    "local runs = home:runs()\n"
    "assert(#runs == 2 and runs[1].id == 2 and runs[2].flow == 'storm')\n"
    "assert(runs[2].state == 'FAILED' and runs[2].reason == 'error' and runs[2].ended == 9)\n"
    "assert(not runs[2].alive and runs[2].seed == 42 and home:run(1).id == 1)\n"
    "assert(home:run(3) == nil and home:alive(1) == nil)\n"
    "assert(home:bundle(runs[2].bundle) == 'bundle')\n"
    "local n, map = 0, nil\n"
    "for task in home:tasks(1) do\n"
    "  n = n + 1\n"
    "  assert(task.type == 'task' and task.seq == n + (task.kind == 'map' and 1 or 0))\n"
    "  if task.kind == 'map' then map = task else\n"
    "    assert(task.label == '0/fetch#' .. n and task.state == 'SUCCESS')\n"
    "    assert(task.result:unpack() == n * 3 and task.started - task.queued == 100)\n"
    "  end\n"
    "end\n"
    "assert(n == 2501 and map.items == 5 and map.failed_items == 1)\n"
    "n = 0\n"
    "for item in home:items(1, map) do\n"
    "  n = n + 1\n"
    "  assert(item.index == n and item.attempt == n and #item.key == 32)\n"
    "  assert(item.started == 1000 + (n - 1) * 10000 and item.ended == item.started + 7000)\n"
    "  assert(item.state == (n == 4 and 'FAILED' or 'SUCCESS'))\n"
    "  assert((item.result or item.error):unpack() == n - 1)\n"
    "end\n"
    "assert(n == 5)\n"
    "n = 0\n"
    "for entry in home:journal(1) do n = n + 1; assert(entry.name == 'now') end\n"
    "assert(n == 1)\n"
    "local lines, next, more = home:logs(1)\n"
    "assert(#lines == 1000 and more and lines[1].offset == 0 and lines[2].row == 1)\n"
    "assert(lines[7].text == 'one\\ntwo \\\\ three', lines[7].text)\n"
    "lines, next, more = home:logs(1, {from = next})\n"
    "assert(#lines == 500 and not more)\n"
    "lines, next, more = home:logs(1, {from = next})\n"
    "assert(#lines == 0 and not more)\n"
    "assert(#home:logs(1, {row = 1, limit = 6}) == 2)\n"
    "assert(home:stats().tasks == 2501)\n"
    "home:audit(1)\n"
    "local ok, problem = pcall(home.request, home, 1, 'cancel')\n"
    "assert(not ok and problem.code == 'state')\n"
    "ok, problem = pcall(home.records, home, 1, 'tusk')\n"
    "assert(not ok and problem:find('tusk'))\n"
    "ok, problem = pcall(store.open, path .. '/absent', {read_only = true})\n"
    "assert(not ok and problem.code == 'not_found')\n"
    "local writer <close> = store.open(path)\n"
    "writer:request(1, 'cancel', '{}')\n"
    "assert(writer:stats().requests == 1 and writer:gc().files == 0)\n";

static void lua_sees_what_was_recorded(void)
{
    home h;
    home_init(&h);
    write_store(&h);
    lua_State *L = fr_vm_new(NULL);
    lua_pushcfunction(L, fr_vm_traceback);
    int loaded = luaL_loadbuffer(L, script, sizeof script - 1, "=script");
    CHECK_INT(loaded, LUA_OK);
    lua_pushstring(L, h.path);
    if (lua_pcall(L, 1, 0, 1) != LUA_OK) {
        CHECK_STR(luaL_tolstring(L, -1, NULL), "no error");
    }
    lua_close(L);
    home_fini(&h);
}

int main(void)
{
    CASE(lua_sees_what_was_recorded);
    return check_end();
}
