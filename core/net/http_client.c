#include "core/net/http_client.h"

#include "core/base/clock.h"
#include "core/base/mem.h"

#include <curl/curl.h>
#include <uv.h>

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

enum { HEADERS_MAX = 256 * 1024, CONNECTIONS = 16 };

// The functions of libcurl that are used. X(name)
#define CURL_FUNCTIONS(X)                                                                \
    X(curl_global_init)                                                                  \
    X(curl_easy_init)                                                                    \
    X(curl_easy_setopt)                                                                  \
    X(curl_easy_getinfo)                                                                 \
    X(curl_easy_cleanup)                                                                 \
    X(curl_easy_strerror)                                                                \
    X(curl_slist_append)                                                                 \
    X(curl_slist_free_all)                                                               \
    X(curl_multi_init)                                                                   \
    X(curl_multi_setopt)                                                                 \
    X(curl_multi_add_handle)                                                             \
    X(curl_multi_remove_handle)                                                          \
    X(curl_multi_socket_action)                                                          \
    X(curl_multi_info_read)                                                              \
    X(curl_multi_assign)                                                                 \
    X(curl_multi_cleanup)

// Written once, by whoever makes the first request. Listed in tests/tidy.
static struct {
    pthread_once_t once;
    bool ready;
    char problem[FR_ERR_MAX];
#define X(name) __typeof__(&(name)) name;
    CURL_FUNCTIONS(X)
#undef X
} lib = {.once = PTHREAD_ONCE_INIT};

// curl.h wraps these in type-checking macros, which would not reach the table.
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

struct fr_http_client {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    fr_http_call *calls;
    unsigned handles; // not yet closed
    bool closing;
};

struct fr_http_call {
    fr_http_client *client;
    fr_http_call *prev, *next;
    CURL *easy;
    struct curl_slist *headers;
    fr_buf body, head;
    void (*done)(void *ctx, const fr_http_response *r);
    void *ctx;
    int64_t started;
    int64_t timeout_ms;
    bool too_large;
    char message[CURL_ERROR_SIZE];
};

typedef struct watched { // a socket of libcurl
    uv_poll_t poll;
    fr_http_client *client;
    curl_socket_t fd;
} watched;

// --- the library ---

static void load(void)
{
    void *handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        (void)snprintf(lib.problem, sizeof lib.problem,
                       "libcurl is not installed (%s); on Debian: apt install libcurl4",
                       dlerror());
        return;
    }
    const char *missing = NULL;
#define X(name)                                                                          \
    void *p_##name = dlsym(handle, #name);                                               \
    memcpy(&lib.name, &p_##name, sizeof lib.name);                                       \
    missing = p_##name == NULL ? #name : missing;
    CURL_FUNCTIONS(X)
#undef X
    if (missing != NULL || lib.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)snprintf(lib.problem, sizeof lib.problem, "libcurl does not start%s%s",
                       missing != NULL ? ": it lacks " : "",
                       missing != NULL ? missing : "");
        return;
    }
    lib.ready = true;
}

// --- calls ---

static void unlink_call(fr_http_call *call)
{
    *(call->prev != NULL ? &call->prev->next : &call->client->calls) = call->next;
    if (call->next != NULL) {
        call->next->prev = call->prev;
    }
}

static void free_call(fr_http_call *call)
{
    if (call->easy != NULL) {
        (void)lib.curl_multi_remove_handle(call->client->multi, call->easy);
        lib.curl_easy_cleanup(call->easy);
    }
    lib.curl_slist_free_all(call->headers);
    fr_buf_fini(&call->body);
    fr_buf_fini(&call->head);
    fr_free(call);
}

void fr_http_cancel(fr_http_call *call)
{
    unlink_call(call);
    free_call(call);
}

static int code_of(const fr_http_call *call, CURLcode rc)
{
    switch ((int)rc) {
    case CURLE_OK:
        return FR_OK;
    case CURLE_OPERATION_TIMEDOUT:
        return FR_ETIMEOUT;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_SSL_CACERT_BADFILE:
        return FR_EINVAL;
    default:
        return call->too_large || rc == CURLE_FILESIZE_EXCEEDED ? FR_ELIMIT : FR_ENETWORK;
    }
}

static const char *describe(fr_http_call *call, CURLcode rc, char *text, size_t size)
{
    const char *why =
        call->message[0] != '\0' ? call->message : lib.curl_easy_strerror(rc);
    if (call->too_large || rc == CURLE_FILESIZE_EXCEEDED) {
        (void)snprintf(text, size, "the response is larger than max_bytes = %zu",
                       call->body.max);
    } else if (rc == CURLE_PEER_FAILED_VERIFICATION) {
        (void)snprintf(text, size,
                       "%s; if the server's authority is your own, pass ca = \"its.pem\"",
                       why);
    } else {
        (void)snprintf(text, size, "%s", why);
    }
    return text;
}

static void finish(fr_http_call *call, CURLcode rc)
{
    char text[CURL_ERROR_SIZE + 100];
    long status = 0;
    char *url = NULL;
    (void)lib.curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)lib.curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &url);
    fr_http_response r = {
        .code = code_of(call, rc),
        .message = rc != CURLE_OK ? describe(call, rc, text, sizeof text) : NULL,
        .status = (int)status,
        .url = url,
        .headers = fr_buf_text(&call->head),
        .body = call->body.data,
        .size = call->body.size,
        .took_ns = fr_clock_mono_ns() - call->started,
    };
    unlink_call(call);
    call->done(call->ctx, &r);
    free_call(call);
}

static void read_news(fr_http_client *c)
{
    const CURLMsg *m;
    int left;
    while (!c->closing && (m = lib.curl_multi_info_read(c->multi, &left)) != NULL) {
        fr_http_call *call = c->calls;
        while (call != NULL && call->easy != m->easy_handle) {
            call = call->next;
        }
        if (m->msg == CURLMSG_DONE && call != NULL) {
            finish(call, m->data.result);
        }
    }
}

static size_t on_body(char *bytes, size_t one, size_t n, void *ctx)
{
    (void)one;
    fr_http_call *call = ctx;
    fr_buf_put(&call->body, bytes, n);
    call->too_large = call->body.failed;
    return call->too_large ? 0 : n;
}

static size_t on_header(char *bytes, size_t one, size_t n, void *ctx)
{
    (void)one;
    fr_http_call *call = ctx;
    if (n > 5 && memcmp(bytes, "HTTP/", 5) == 0) {
        fr_buf_clear(&call->head); // a redirect's or an interim response's
    } else {
        size_t end = n;
        while (end > 0 && (bytes[end - 1] == '\r' || bytes[end - 1] == '\n')) {
            end--;
        }
        if (end > 0) {
            fr_buf_put(&call->head, bytes, end);
            fr_buf_put_u8(&call->head, '\n');
        }
    }
    return call->head.failed ? 0 : n;
}

// --- sockets and time ---

static void on_timeout(uv_timer_t *t)
{
    fr_http_client *c = t->data;
    int running;
    (void)lib.curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    read_news(c);
}

static int set_timer(CURLM *multi, long ms, void *ctx)
{
    (void)multi;
    fr_http_client *c = ctx;
    if (c->closing || ms < 0) {
        (void)uv_timer_stop(&c->timer);
    } else {
        uv_update_time(c->loop);
        (void)uv_timer_start(&c->timer, on_timeout, (uint64_t)ms, 0);
    }
    return 0;
}

static void on_socket(uv_poll_t *h, int status, int events)
{
    watched *w = h->data;
    fr_http_client *c = w->client;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    flags |= (events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0;
    flags |= (events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0;
    int running;
    (void)lib.curl_multi_socket_action(c->multi, w->fd, flags, &running);
    read_news(c);
}

static void free_client_once(fr_http_client *c)
{
    if (--c->handles == 0) {
        fr_free(c);
    }
}

static void on_watched_closed(uv_handle_t *h)
{
    watched *w = h->data;
    free_client_once(w->client);
    fr_free(w);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *mine)
{
    (void)easy;
    fr_http_client *c = ctx;
    watched *w = mine;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL) {
            (void)lib.curl_multi_assign(c->multi, fd, NULL);
            uv_close((uv_handle_t *)&w->poll, on_watched_closed);
        }
        return 0;
    }
    if (w == NULL) {
        w = fr_zalloc(sizeof *w);
        w->client = c;
        w->fd = fd;
        w->poll.data = w;
        if (uv_poll_init(c->loop, &w->poll, fd) != 0) {
            fr_free(w);
            return -1;
        }
        c->handles++;
        (void)lib.curl_multi_assign(c->multi, fd, w);
    }
    int events = (what & CURL_POLL_IN) != 0 ? UV_READABLE : 0;
    events |= (what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0;
    return uv_poll_start(&w->poll, events, on_socket) == 0 ? 0 : -1;
}

// --- open, start, close ---

int fr_http_client_open(uv_loop_t *loop, fr_http_client **out, fr_err *err)
{
    *out = NULL;
    (void)pthread_once(&lib.once, load);
    if (!lib.ready) {
        return fr_fail(err, FR_EMISSING, "%s", lib.problem);
    }
    fr_http_client *c = fr_zalloc(sizeof *c);
    c->loop = loop;
    c->multi = lib.curl_multi_init();
    if (c->multi == NULL) {
        fr_free(c);
        return fr_fail(err, FR_ENOMEM, "libcurl has no memory");
    }
    (void)lib.curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    (void)lib.curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    (void)lib.curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    (void)lib.curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    (void)lib.curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS);
    (void)uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    c->handles = 1;
    *out = c;
    return FR_OK;
}

static void on_timer_closed(uv_handle_t *h) { free_client_once(h->data); }

void fr_http_client_close(fr_http_client *c)
{
    if (c == NULL) {
        return;
    }
    c->closing = true;
    while (c->calls != NULL) {
        fr_http_cancel(c->calls);
    }
    (void)lib.curl_multi_cleanup(c->multi); // closes kept connections: set_socket
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

static void set_method(CURL *e, const fr_http_request *q)
{
    if (strcmp(q->method, "HEAD") == 0) {
        (void)lib.curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    } else if (q->body != NULL || strcmp(q->method, "POST") == 0) {
        (void)lib.curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->size);
        (void)lib.curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS,
                                   q->body != NULL ? q->body : "");
    }
    if (strcmp(q->method, "GET") != 0 || q->body != NULL) {
        if (strcmp(q->method, "HEAD") != 0 && strcmp(q->method, "POST") != 0) {
            (void)lib.curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, q->method);
        }
    }
}

static void set_options(fr_http_call *call, const fr_http_request *q)
{
    CURL *e = call->easy;
    bool tls = strncasecmp(q->url, "https:", 6) == 0;
    (void)lib.curl_easy_setopt(e, CURLOPT_URL, q->url);
    (void)lib.curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void)lib.curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    // What was asked for over TLS must not come without it.
    (void)lib.curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR,
                               tls ? "https" : "http,https");
    (void)lib.curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, q->redirects > 0 ? 1L : 0L);
    (void)lib.curl_easy_setopt(e, CURLOPT_MAXREDIRS, (long)q->redirects);
    (void)lib.curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)lib.curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    if (q->ca_file != NULL) {
        (void)lib.curl_easy_setopt(e, CURLOPT_CAINFO, q->ca_file);
    }
    (void)lib.curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "");
    (void)lib.curl_easy_setopt(e, CURLOPT_USERAGENT, "flowrun/" FLOWRUN_VERSION);
    (void)lib.curl_easy_setopt(e, CURLOPT_HTTPHEADER, call->headers);
    (void)lib.curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
    (void)lib.curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)q->connect_timeout_ms);
    (void)lib.curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    (void)lib.curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
    (void)lib.curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    (void)lib.curl_easy_setopt(e, CURLOPT_HEADERDATA, call);
    (void)lib.curl_easy_setopt(e, CURLOPT_ERRORBUFFER, call->message);
    (void)lib.curl_easy_setopt(e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)q->max_bytes);
    set_method(e, q);
}

int fr_http_start(fr_http_client *c, const fr_http_request *q, fr_http_call **out,
                  fr_err *err)
{
    *out = NULL;
    fr_http_call *call = fr_zalloc(sizeof *call);
    call->client = c;
    call->done = q->done;
    call->ctx = q->ctx;
    call->started = fr_clock_mono_ns();
    fr_buf_init(&call->body, q->max_bytes);
    fr_buf_init(&call->head, HEADERS_MAX);
    call->easy = lib.curl_easy_init();
    for (size_t i = 0; q->headers != NULL && q->headers[i] != NULL; i++) {
        struct curl_slist *more = lib.curl_slist_append(call->headers, q->headers[i]);
        call->headers = more != NULL ? more : call->headers;
    }
    bool ok = call->easy != NULL;
    if (ok) {
        set_options(call, q);
        ok = lib.curl_multi_add_handle(c->multi, call->easy) == CURLM_OK;
    }
    call->next = c->calls;
    if (call->next != NULL) {
        call->next->prev = call;
    }
    c->calls = call;
    if (!ok) {
        fr_http_cancel(call);
        return fr_fail(err, FR_ENOMEM, "libcurl has no memory for a request");
    }
    *out = call;
    return FR_OK;
}
