// fr.http against local servers: TLS checked, limits, timeouts, effects, cancel.
// labels: threads
#include "tests/bind/run_body.h"
#include "tests/bind/tls_server.h"

#include <sched.h>
#include <signal.h>

static const char script[] =
    "local fr = require 'flowrun'\n"
    "fr.task('get', function(o) local r = fr.http(o) return {r.status, r.body} end)\n"
    "fr.task('post', function(o) return {fr.http(o).body, fr.http(o).body} end)\n"
    "fr.task('add', function(a) return a + 1 end)\n";

static tls_server plain, secure, wrong;
static char ca[128], wrong_ca[128];

// Runs Lua on the main state, where fr.http blocks, and returns its result as text.
static const char *lua(const char *format, ...) FR_PRINTF(1, 2);
static const char *lua(const char *format, ...)
{
    static char text[2048], result[4096];
    va_list args;
    va_start(args, format);
    int n = snprintf(
        text, sizeof text,
        "local http, plain, secure, wrong, ca, wrong_ca = ... "
        "local function e(o) local ok, e = pcall(http, o) return e.code .. ': ' .. "
        "e.message end ");
    (void)vsnprintf(text + n, sizeof text - (size_t)n, format, args);
    va_end(args);
    lua_settop(L, 0);
    CHECK_INT(luaL_loadstring(L, text), LUA_OK);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "flowrun.http");
    lua_call(L, 1, 1);
    lua_pushfstring(L, "http://127.0.0.1:%d", plain.port);
    lua_pushfstring(L, "https://127.0.0.1:%d", secure.port);
    lua_pushfstring(L, "https://127.0.0.1:%d", wrong.port);
    lua_pushstring(L, ca);
    lua_pushstring(L, wrong_ca);
    (void)lua_pcall(L, 6, 1, 0);
    (void)snprintf(result, sizeof result, "%s", luaL_tolstring(L, -1, NULL));
    return result;
}

static void a_plain_request_works(void)
{
    CHECK_STR(lua("local r = http(plain .. '/hello') return r.status .. r.body .. "
                  "tostring(r.ok)"),
              "200hellotrue");
    CHECK_STR(lua("return http(plain .. '/json'):json().a[2]"), "2.5");
    CHECK_STR(lua("return http{url = plain .. '/echo', method = 'HEAD'}.headers['x-a']"),
              "1, 2");
    CHECK_STR(lua("return http{url = plain .. '/echo', json = {b = 1}}.body"),
              "POST||{\"b\":1}");
    CHECK_STR(lua("return http{url = plain .. '/echo', method = 'put', body = 'x'}.body"),
              "PUT||x");
    CHECK_STR(lua("return http{url = plain .. '/echo', method = 'DELETE'}.body"),
              "DELETE||");
    CHECK_STR(lua("return http(plain .. '/redirect').url:match('/hello')"), "/hello");
    CHECK_STR(lua("return http{url = plain .. '/redirect', follow = false}.status"),
              "302");
}

static void only_known_authorities_are_accepted(void)
{
    int before = atomic_load(&secure.requests);
    CHECK(contains(lua("return e{url = secure .. '/hello'}"), "network: "));
    CHECK(contains(lua("return e{url = secure .. '/hello'}"), "pass ca = "));
    CHECK(
        contains(lua("return e{url = secure .. '/hello', ca = wrong_ca}"), "network: "));
    CHECK_INT(atomic_load(&secure.requests), before);
    CHECK_STR(lua("return http{url = secure .. '/hello', ca = ca}.body"), "hello");
    CHECK_INT(atomic_load(&secure.requests), before + 1);
    CHECK(contains(lua("return e{url = wrong .. '/hello', ca = wrong_ca}"), "network: "));
    CHECK_INT(atomic_load(&wrong.requests), 0); // known authority, another name
    CHECK(contains(lua("return e{url = secure, ca = '/no/such.pem'}"), "invalid: "));
    CHECK(contains(lua("return e{url = secure .. '/plain', ca = ca}"), "invalid: "));
}

static void bodies_over_the_limit_are_refused(void)
{
    CHECK_STR(lua("return #http{url = plain .. '/big?100000', max_bytes = 100000}.body"),
              "100000");
    CHECK(contains(lua("return e{url = plain .. '/big?100001', max_bytes = 100000}"),
                   "too_large: "));
    CHECK(contains(lua("return e{url = plain .. '/endless', max_bytes = 100000}"),
                   "larger than max_bytes = 100000"));
    CHECK(contains(lua("return e{url = secure .. '/endless', ca = ca, max_bytes = 5000}"),
                   "too_large: "));
}

static void failures_have_codes(void)
{
    CHECK(contains(lua("return e{url = plain .. '/slow', timeout = 0.02}"), "timeout: "));
    CHECK(contains(lua("return e{url = 'http://127.0.0.1:1/'}"), "network: "));
    CHECK_STR(lua("return http(plain .. '/status/404').status"), "404");
    CHECK(contains(lua("return e{url = plain .. '/status/404', check = true}"),
                   "HTTP 404: the reason"));
    CHECK_STR(
        lua("local _, e = pcall(http, {url = plain .. '/status/404', check = true}) "
            "return tostring(e.retry) .. e.status"),
        "false404");
    CHECK_STR(
        lua("local _, e = pcall(http, {url = plain .. '/status/503', check = true}) "
            "return tostring(e.retry) .. e.status"),
        "nil503");
}

static void wrong_options_are_refused(void)
{
    CHECK(contains(lua("return e{link = 'x'}"), "unknown option 'link'"));
    CHECK(contains(lua("return e{}"), "option 'url' is missing"));
    CHECK(contains(lua("return e('ftp://x/y')"), "expected http://"));
    CHECK(contains(lua("return e('file:///etc/passwd')"), "expected http://"));
    CHECK(contains(lua("return e('http://x/a b')"), "expected http://"));
    CHECK(contains(lua("return e{url = 'http://x', headers = {A = 'b\\nc: d'}}"),
                   "line break"));
    CHECK(contains(lua("return e{url = 'http://x', headers = {['A b'] = 'c'}}"),
                   "no name"));
    CHECK(contains(lua("return e{url = 'http://x', body = 'a', json = 1}"), "not both"));
    CHECK(contains(lua("return e{url = 'http://x', methd = 'GET'}"),
                   "did you mean 'method'"));
    CHECK(contains(lua("return e{url = 'http://x', method = 'A B'}"), "option 'method'"));
}

static char *options(const char *path)
{
    static char text[300];
    (void)snprintf(text, sizeof text, "{url = 'http://127.0.0.1:%d%s', body = %s}",
                   plain.port, path, strcmp(path, "/echo") == 0 ? "'b'" : "nil");
    return text;
}

static void bodies_wait_without_holding_the_worker(void)
{
    CHECK_STR(call("s:get", options("/hello")), "[200,\"hello\"]");
    fr_attempt slow = attempt("s:get", options("/slow"));
    ops->start(exec, &slow);
    while (atomic_load(&plain.slow) == 0) {
        CHECK_STR(call("s:add", "1"), "2");
        (void)sched_yield();
    }
    ops->cancel(exec, &slow, FR_ECANCELLED);
    finish(&slow);
    CHECK(contains(fr_buf_text(&answer), "\"code\":\"cancelled\""));
    while (atomic_load(&plain.slow) != 0) { // its connection is closed
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    char secured[400];
    (void)snprintf(secured, sizeof secured,
                   "{url = 'https://127.0.0.1:%d/hello', ca = '%s'}", secure.port, ca);
    CHECK_STR(call("s:get", secured), "[200,\"hello\"]");
}

static void effects_have_stable_keys_and_wait(void)
{
    char first[500];
    (void)snprintf(first, sizeof first, "%s", call("s:post", options("/echo")));
    CHECK(contains(first, "POST|Idempotency-Key: "));
    CHECK(contains(first, "-1|b"));
    CHECK(contains(first, "-2|b"));
    int before = atomic_load(&plain.requests);
    fr_attempt again = attempt("s:post", options("/echo"));
    again.attempt = 2;
    again.need = 9;
    ops->start(exec, &again);
    for (int i = 0; i < 20; i++) {
        CHECK_STR(call("s:add", "1"), "2");
    }
    CHECK_INT(atomic_load(&plain.requests), before); // it waits at the barrier
    atomic_store(&code.durable, 9);
    ops->durable(exec);
    finish(&again);
    CHECK_STR(fr_buf_text(&answer), first);
}

static void open_everything(void)
{
    (void)signal(SIGPIPE, SIG_IGN); // of the servers' threads
    open_script(script);
    (void)snprintf(ca, sizeof ca, "%s/ca.pem", folder);
    (void)snprintf(wrong_ca, sizeof wrong_ca, "%s/wrong.pem", folder);
    tls_server_secure(&secure, "IP:127.0.0.1", ca);
    tls_server_secure(&wrong, "DNS:elsewhere.example", wrong_ca);
    tls_server_start(&plain);
    tls_server_start(&secure);
    tls_server_start(&wrong);
}

static void close_everything(void)
{
    tls_server_stop(&plain);
    tls_server_stop(&secure);
    tls_server_stop(&wrong);
    (void)unlink(ca);
    (void)unlink(wrong_ca);
    close_all();
}

static void run_all(void)
{
    CASE(open_everything);
    CASE(a_plain_request_works);
    CASE(only_known_authorities_are_accepted);
    CASE(bodies_over_the_limit_are_refused);
    CASE(failures_have_codes);
    CASE(wrong_options_are_refused);
    CASE(bodies_wait_without_holding_the_worker);
    CASE(effects_have_stable_keys_and_wait);
    CASE(close_everything);
}

int main(int argc, char **argv)
{
    int code_of_other = be_other_process(argc, argv);
    if (code_of_other >= 0) {
        return code_of_other;
    }
    run_all();
    return check_end();
}
