// Task bodies in Lua, on the thread executor and on the process executor: results, errors, maps, waits, hard cancel.
// labels: threads
#include "tests/bind/run_body.h"

static const char script[] =
    "local fr = require 'flowrun'\n"
    "local frame = require 'flowrun.frame'\n"
    "local t = {}\n"
    "t.add = fr.task('add', function(a, b) return a + (b or 1) end)\n"
    "fr.task('nothing', function() end)\n"
    "fr.task('two', {outputs = {'x', 'y'}}, function(a) return a, a * 2 end)\n"
    "fr.task('three', function() return 1, 2, 3 end)\n"
    "local function deep() error('boom') end\n"
    "fr.task('fails', function() deep() end)\n"
    "fr.task('coded', function() fr.fail{message = 'bad data', code = 'quality', retry = "
    "false} end)\n"
    "fr.task('odd', function(i) if i % 2 == 1 then error('odd ' .. i) end return {i = i} "
    "end)\n"
    "fr.task('bad', function() return print end)\n"
    "fr.task('frame', function(n) return frame.from{x = {n, n + 1}} end)\n"
    "fr.task('rows', function(f) return f:height() end)\n"
    "fr.task('sleep', function(s, v) fr.sleep(s) return v end)\n"
    "local function note(path, line)\n"
    "  local f <close> = assert(io.open(path, 'a'))\n"
    "  f:write(line, '\\n')\n"
    "end\n"
    "fr.task('closes', function(path)\n"
    "  local guard <close> = setmetatable({}, {__close = function(_, e)\n"
    "    note(path, 'closed: ' .. tostring(e))\n"
    "  end})\n"
    "  note(path, 'begun')\n"
    "  fr.sleep(3600)\n"
    "  note(path, 'never')\n"
    "end)\n"
    "local function begun(path) if path then note(path, 'begun') end end\n"
    "fr.task('spin', function(path) begun(path) while true do end end)\n"
    "fr.task('spin_pcall', function(path) begun(path)\n"
    "  while true do pcall(function() while true do end end) end end)\n"
    "fr.task('spin_wrap', function(path) begun(path)\n"
    "  coroutine.wrap(function() coroutine.wrap(function() while true do end end)() "
    "end)() end)\n"
    "fr.task('spin_resume', function(path) begun(path)\n"
    "  while true do coroutine.resume(coroutine.create(function() while true do end "
    "end)) end end)\n"
    "fr.task('wrapped_sleep', function()\n"
    "  local list = {}\n"
    "  for v in coroutine.wrap(function()\n"
    "    for i = 1, 3 do fr.sleep(0.001) coroutine.yield(i) end end) do list[#list + 1] "
    "= v end\n"
    "  local co = coroutine.create(function(a) fr.sleep(0) local b = coroutine.yield(a + "
    "1)\n"
    "    fr.sleep(0.001) return b * 2 end)\n"
    "  local _, x = coroutine.resume(co, 4)\n"
    "  local _, y = coroutine.resume(co, 10)\n"
    "  return {list, x, y, coroutine.status(co)}\n"
    "end)\n"
    "fr.task('sorted_sleep', function()\n"
    "  local ok, e = pcall(function() string.gsub('ab', '.', function() fr.sleep(0) end) "
    "end)\n"
    "  local ok2, e2 = pcall(function() string.gsub('ab', '.', "
    "coroutine.wrap(function()\n"
    "    fr.sleep(1) end)) end)\n"
    "  fr.sleep(0)\n"
    "  return {ok, e.code, ok2, e2.code}\n"
    "end)\n"
    "fr.task('yields', function() coroutine.yield(1) end)\n"
    "fr.task('closing', function()\n"
    "  local co = coroutine.create(function() local x <close> = setmetatable({},\n"
    "    {__close = function() error('in close') end}) coroutine.yield() end)\n"
    "  coroutine.resume(co)\n"
    "  local ok, e = coroutine.close(co)\n"
    "  return {ok, type(e), coroutine.status(co), select(2, coroutine.resume(co)),\n"
    "    select(2, pcall(coroutine.wrap(function() error({code = 7}) end))).code}\n"
    "end)\n"
    "fr.task('falls', {fallback = function(a) return 'instead of ' .. a end},\n"
    "  function() error('no') end)\n"
    "fr.task('info', function() return {fr.run.id, fr.run.flow, fr.run.seed, "
    "fr.run.params.city} end)\n"
    "fr.task('dice', function() return {fr.random(1000000), fr.random(1000000)} end)\n"
    "fr.task('global', function() _G.oops = 1 end)\n"
    "fr.task('late', function(path) note(path, 'effect') return 'done' end)\n";

// Offsets of the items in a packed list.
static fr_attempt map_attempt(const char *task, const char *list, const char *args)
{
    fr_attempt a = attempt(task, args);
    uint32_t one;
    fr_value *outer = pack(list, &one);
    CHECK(one == 1);
    // The only element of the outer list is the list itself.
    fr_reader r = fr_reader_of(outer->bytes, outer->size);
    fr_item head;
    CHECK(fr_value_next(&r, &head) && head.n == 1);
    const uint8_t *inner = r.at;
    fr_value *v =
        fr_value_new(inner, (size_t)(r.end - inner) - 1, outer->object, outer->objects);
    fr_value_unref(outer);
    r = fr_reader_of(v->bytes, v->size);
    CHECK(fr_value_next(&r, &head));
    uint64_t *offsets = fr_alloc((head.n + 1) * sizeof *offsets);
    for (size_t i = 0; i <= head.n; i++) {
        offsets[i] = (uint64_t)(r.at - v->bytes);
        if (i < head.n) {
            CHECK(fr_value_skip(&r));
        }
    }
    a.list = v;
    a.offsets = offsets;
    a.count = (uint32_t)head.n;
    return a;
}

static void run_map(fr_attempt *a)
{
    fr_buf_clear(&items);
    n_items = n_failed = n_value_items = 0;
    ops->start(exec, a);
    finish(a);
    fr_value_unref(a->list);
    fr_free((void *)(uintptr_t)a->offsets);
}

static const char *notes(void)
{
    static char text[4096];
    FILE *f = fopen(note_path, "r");
    size_t n = f != NULL ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = '\0';
    if (f != NULL) {
        (void)fclose(f);
    }
    return text;
}

static const char *new_notes(void)
{
    static char argument[160];
    (void)unlink(note_path);
    (void)snprintf(argument, sizeof argument, "'%s'", note_path);
    return argument;
}

// --- cases ---

static void results_come_back(void)
{
    CHECK_STR(call("s:add", "3, 4"), "7");
    CHECK_STR(call("s:add", "3"), "4");
    CHECK_STR(call("s:nothing", NULL), "null");
    fr_attempt two = attempt("s:two", "21");
    two.n_outputs = 2;
    CHECK_STR(call_with(two), "[21,42]");
}

static void a_wrong_number_of_results_is_an_error(void)
{
    CHECK(contains(call("s:three", NULL),
                   "returned 3 values, but the task has one result"));
    fr_attempt a = attempt("s:add", "1");
    a.n_outputs = 2;
    CHECK(contains(call_with(a), "returned 1 values, but `outputs` names 2"));
}

static void errors_say_where(void)
{
    const char *e = call("s:fails", NULL);
    CHECK(contains(e, "\"code\":\"error\""));
    CHECK(contains(e, "\"message\":\"boom\""));
    CHECK(contains(e, "\"where\":\"s:8\""));
    CHECK(contains(e, "in upvalue 'deep'"));
    e = call("s:coded", NULL);
    CHECK(contains(e, "\"code\":\"quality\""));
    CHECK(contains(e, "\"retry\":false"));
    CHECK(contains(call("s:bad", NULL), "result is a function"));
    CHECK(contains(call("s:global", NULL), "assigns the global 'oops'"));
    CHECK(contains(call("s:yields", NULL), "coroutine.yield outside a coroutine"));
    CHECK(contains(call("s:ad", "1"), "(but 's:add')"));
}

static void option_functions_run_in_workers(void)
{
    fr_attempt a = attempt("s:falls", "'x'");
    a.option = "fallback";
    CHECK_STR(call_with(a), "\"instead of x\"");
}

static void bodies_know_their_run(void)
{
    CHECK_STR(call("s:info", NULL), "[12,\"storm\",42,\"Ukiah\"]");
}

static void random_draws_depend_on_seed_and_key(void)
{
    char first[100];
    (void)snprintf(first, sizeof first, "%s", call("s:dice", NULL));
    fr_attempt again = attempt("s:dice", NULL);
    again.attempt = 5;
    CHECK_STR(call_with(again), first);
    fr_attempt other = attempt("s:dice", NULL);
    other.key = fr_hash_str("another");
    CHECK(strcmp(call_with(other), first) != 0);
    static char before[100]; // on the other executor
    CHECK(before[0] == '\0' || strcmp(before, first) == 0);
    memcpy(before, first, sizeof before);
}

static void maps_give_every_item(void)
{
    fr_attempt a = map_attempt("s:add",
                               "(function() local l = {} for i = 1, 3000 do l[i] = i end "
                               "return l end)()",
                               "100");
    run_map(&a);
    CHECK_INT(n_items, 3000);
    CHECK(contains(fr_buf_text(&items), "0=101 "));
    CHECK(contains(fr_buf_text(&items), "2999=3100 "));
}

static void items_fail_one_by_one(void)
{
    fr_attempt a = map_attempt("s:odd", "{1, 2, 3, 4, 5}", NULL);
    run_map(&a);
    CHECK_INT(n_items, 5);
    CHECK_INT(n_failed, 3);
    CHECK(contains(fr_buf_text(&items), "1={\"i\":2}"));
    CHECK(contains(fr_buf_text(&items), "\"message\":\"odd 3\""));
}

static void items_may_wait(void)
{
    fr_attempt a = map_attempt("s:sleep",
                               "(function() local l = {} for i = 1, 200 do "
                               "l[i] = i % 3 * 0.001 end return l end)()",
                               "'x'");
    run_map(&a);
    CHECK_INT(n_items, 200);
    CHECK_INT(n_failed, 0);
}

static void objects_cross(void)
{
    CHECK(contains(call("s:frame", "5"), "$frame"));
    fr_attempt a = map_attempt("s:frame", "{1, 2, 3, 4}", NULL);
    run_map(&a);
    CHECK_INT(n_value_items, 4);
}

static void waiting_does_not_hold_the_worker(void)
{
    fr_attempt a = attempt("s:sleep", "3600");
    ops->start(exec, &a);
    for (int i = 0; i < 20; i++) {
        CHECK_STR(call("s:add", "1"), "2");
    }
    ops->cancel(exec, &a, FR_ETIMEOUT);
    finish(&a);
    CHECK(contains(fr_buf_text(&answer), "\"code\":\"timeout\""));
}

static void waits_pass_through_coroutines(void)
{
    CHECK_STR(call("s:wrapped_sleep", NULL), "[[1,2,3],5,20,\"dead\"]");
    CHECK_STR(call("s:sorted_sleep", NULL), "[false,\"state\",false,\"state\"]");
}

static void coroutine_functions_are_lua_s(void)
{
    CHECK_STR(call("s:closing", NULL),
              "[false,\"string\",\"dead\",\"cannot resume dead coroutine\",7]");
}

static void a_cancelled_wait_runs_close_variables(void)
{
    fr_attempt a = attempt("s:closes", new_notes());
    ops->start(exec, &a);
    while (strcmp(notes(), "begun\n") != 0) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    ops->cancel(exec, &a, FR_ECANCELLED);
    finish(&a);
    CHECK(contains(fr_buf_text(&answer), "\"code\":\"cancelled\""));
    CHECK(contains(notes(), "closed: "));
    CHECK(strstr(notes(), "never") == NULL);
}

static void cancel_running(const char *task, int why)
{
    fr_attempt a = attempt(task, new_notes());
    ops->start(exec, &a);
    while (strcmp(notes(), "begun\n") != 0) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    ops->cancel(exec, &a, why);
    finish(&a);
    CHECK(contains(fr_buf_text(&answer), why == FR_ETIMEOUT ? "\"code\":\"timeout\""
                                                            : "\"code\":\"cancelled\""));
    CHECK_STR(call("s:add", "1"), "2"); // the worker is as good as before
}

static void a_loop_stops(void)
{
    cancel_running("s:spin", FR_ECANCELLED);
    cancel_running("s:spin_wrap", FR_ETIMEOUT);
}

static void a_loop_that_catches_errors_stops(void)
{
    cancel_running("s:spin_pcall", FR_ETIMEOUT);
}

static void a_loop_of_coroutines_stops(void)
{
    cancel_running("s:spin_resume", FR_ECANCELLED);
}

static void effects_wait_inside_the_body(void)
{
    fr_attempt a = attempt("s:late", new_notes());
    a.need = 7;
    ops->start(exec, &a);
    for (int i = 0; i < 20; i++) {
        CHECK_STR(call("s:add", "1"), "2");
    }
    CHECK_STR(notes(), "");
    atomic_store(&code.durable, 7);
    ops->durable(exec);
    finish(&a);
    CHECK_STR(fr_buf_text(&answer), "\"done\"");
    CHECK_STR(notes(), "effect\n");
}

static void open_all(void)
{
    open_script(script);
    uint32_t n;
    fr_value *list = pack("{city = 'Ukiah'}", &n);
    code.params = fr_value_new(list->bytes + 2, list->size - 3, NULL, 0);
    fr_value_unref(list);
}

static void close_everything(void)
{
    close_all();
    fr_value_unref((fr_value *)(uintptr_t)code.params);
    code.params = NULL;
}

static void run_all(void)
{
    CASE(open_all);
    CASE(results_come_back);
    CASE(a_wrong_number_of_results_is_an_error);
    CASE(errors_say_where);
    CASE(option_functions_run_in_workers);
    CASE(bodies_know_their_run);
    CASE(random_draws_depend_on_seed_and_key);
    CASE(maps_give_every_item);
    CASE(items_fail_one_by_one);
    CASE(items_may_wait);
    CASE(objects_cross);
    CASE(waiting_does_not_hold_the_worker);
    CASE(waits_pass_through_coroutines);
    CASE(coroutine_functions_are_lua_s);
    CASE(a_cancelled_wait_runs_close_variables);
    CASE(effects_wait_inside_the_body);
    CASE(a_loop_stops);
    CASE(a_loop_that_catches_errors_stops);
    CASE(a_loop_of_coroutines_stops);
    CASE(close_everything);
}

int main(int argc, char **argv)
{
    int code_of_other = be_other_process(argc, argv);
    if (code_of_other >= 0) {
        return code_of_other;
    }
    run_all();
    ops = &fr_exec_process;
    run_all();
    return check_end();
}
