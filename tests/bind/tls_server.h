#pragma once
// tls_server -- a small HTTP server for tests, plain or TLS, with certificates made on the
// spot: one thread per connection, one request per connection.
//
// /hello · /echo (method, Idempotency-Key, body) · /big?N (N bytes, with a length) ·
// /endless (no length) · /slow (never answers) · /status/N · /redirect · /plain (redirects
// to http) · /gzip is not offered.

#include "tests/unit/check.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct tls_server {
    int socket, port;
    SSL_CTX *tls;                        // NULL: plain HTTP
    pthread_t thread;
    atomic_int requests, slow;           // seen so far; connections of /slow that are open
    atomic_bool stop;
} tls_server;

typedef struct tls_connection {
    tls_server *server;
    int fd;
    SSL *ssl;
} tls_connection;

static int tls_read(tls_connection *c, char *to, int n)
{
    return c->ssl != NULL ? SSL_read(c->ssl, to, n) : (int)read(c->fd, to, (size_t)n);
}

static bool tls_write(tls_connection *c, const char *bytes, size_t n)
{
    while (n > 0) {
        int done = c->ssl != NULL ? SSL_write(c->ssl, bytes, (int)n)
                                  : (int)send(c->fd, bytes, n, MSG_NOSIGNAL);
        if (done <= 0) {
            return false;
        }
        bytes += done;
        n -= (size_t)done;
    }
    return true;
}

static void tls_answer(tls_connection *c, int status, const char *headers, const char *body)
{
    char text[8192];
    int n = snprintf(text, sizeof text, "HTTP/1.1 %d X\r\n%sContent-Length: %zu\r\n"
                     "Connection: close\r\n\r\n%s", status, headers, strlen(body), body);
    (void)tls_write(c, text, (size_t)n);
}

static void tls_bytes(tls_connection *c, size_t n, bool length)
{
    char text[4096];
    int head = length ? snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n"
                                 "Connection: close\r\n\r\n", n)
                      : snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    bool ok = tls_write(c, text, (size_t)head);
    memset(text, 'x', sizeof text);
    for (size_t left = n; ok && left > 0;) {
        size_t part = left < sizeof text ? left : sizeof text;
        ok = tls_write(c, text, part);
        left -= part;
    }
}

static void tls_wait_closed(tls_connection *c)
{
    char byte;
    atomic_fetch_add(&c->server->slow, 1);
    (void)tls_read(c, &byte, 1);
    atomic_fetch_sub(&c->server->slow, 1);
}

static void tls_serve(tls_connection *c, char *request, size_t n)
{
    char method[16] = "", path[256] = "", text[4096];
    (void)sscanf(request, "%15s %255s", method, path);
    char *end = strstr(request, "\r\n\r\n");
    const char *length = strcasestr(request, "\r\nContent-Length:");
    size_t want = length != NULL ? (size_t)strtol(length + 17, NULL, 10) : 0;
    while (end != NULL && n < (size_t)(end + 4 - request) + want) {
        int got = tls_read(c, request + n, 1000);
        if (got <= 0) {
            return;
        }
        n += (size_t)got;
        request[n] = '\0';
    }
    atomic_fetch_add(&c->server->requests, 1);
    if (strcmp(path, "/echo") == 0) {
        const char *key = strcasestr(request, "\r\nIdempotency-Key:");
        int size = key != NULL ? (int)strcspn(key + 2, "\r") : 0;
        (void)snprintf(text, sizeof text, "%s|%.*s|%s", method, size, key != NULL ? key + 2 : "",
                       end + 4);
        tls_answer(c, 200, "X-A: 1\r\nX-A: 2\r\n", strcmp(method, "HEAD") == 0 ? "" : text);
    } else if (strncmp(path, "/big?", 5) == 0) {
        tls_bytes(c, (size_t)strtol(path + 5, NULL, 10), true);
    } else if (strcmp(path, "/endless") == 0) {
        tls_bytes(c, 50000000, false);
    } else if (strcmp(path, "/slow") == 0) {
        tls_wait_closed(c);
    } else if (strncmp(path, "/status/", 8) == 0) {
        tls_answer(c, (int)strtol(path + 8, NULL, 10), "", "the reason");
    } else if (strcmp(path, "/redirect") == 0) {
        tls_answer(c, 302, "Location: /hello\r\n", "");
    } else if (strcmp(path, "/plain") == 0) {
        tls_answer(c, 302, "Location: http://127.0.0.1:1/\r\n", "");
    } else if (strcmp(path, "/json") == 0) {
        tls_answer(c, 200, "Content-Type: application/json\r\n", "{\"a\": [1, 2.5]}");
    } else {
        tls_answer(c, 200, "", "hello");
    }
}

static void *tls_connection_main(void *arg)
{
    tls_connection *c = arg;
    static _Thread_local char request[65536];
    bool ok = true;
    if (c->server->tls != NULL) {
        c->ssl = SSL_new(c->server->tls);
        (void)SSL_set_fd(c->ssl, c->fd);
        ok = SSL_accept(c->ssl) == 1;
    }
    size_t n = 0;
    while (ok && strstr(request, "\r\n\r\n") == NULL && n < sizeof request - 2000) {
        int got = tls_read(c, request + n, 1000);
        ok = got > 0;
        n += ok ? (size_t)got : 0;
        request[n] = '\0';
    }
    if (ok) {
        tls_serve(c, request, n);
    }
    if (c->ssl != NULL) {
        (void)SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
    }
    (void)close(c->fd);
    free(c);
    return NULL;
}

static void *tls_server_main(void *arg)
{
    tls_server *s = arg;
    for (;;) {
        int fd = accept(s->socket, NULL, NULL);
        if (atomic_load(&s->stop)) {
            (void)close(fd);
            return NULL;
        }
        tls_connection *c = calloc(1, sizeof *c);
        *c = (tls_connection){.server = s, .fd = fd};
        pthread_t thread;
        if (fd < 0 || pthread_create(&thread, NULL, tls_connection_main, c) != 0) {
            free(c);
            continue;
        }
        (void)pthread_detach(thread);
    }
}

static void tls_server_start(tls_server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    s->socket = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_INT(bind(s->socket, (struct sockaddr *)&a, sizeof a), 0);
    CHECK_INT(listen(s->socket, 64), 0);
    CHECK_INT(getsockname(s->socket, (struct sockaddr *)&a, &size), 0);
    s->port = ntohs(a.sin_port);
    CHECK_INT(pthread_create(&s->thread, NULL, tls_server_main, s), 0);
}

static void tls_server_stop(tls_server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)s->port)};
    atomic_store(&s->stop, true);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    (void)connect(fd, (struct sockaddr *)&a, sizeof a);
    (void)pthread_join(s->thread, NULL);
    (void)close(fd);
    (void)close(s->socket);
    SSL_CTX_free(s->tls);
}

static X509 *tls_certificate(EVP_PKEY *key, const char *name, const char *alt, X509 *issuer,
                             EVP_PKEY *issuer_key)
{
    X509 *x = X509_new();
    (void)X509_set_version(x, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(x), issuer == NULL ? 1 : 2);
    (void)X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    (void)X509_set_pubkey(x, key);
    X509_NAME *n = X509_get_subject_name(x);
    (void)X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    (void)X509_set_issuer_name(x, issuer != NULL ? X509_get_subject_name(issuer) : n);
    const char *values[] = {alt, issuer == NULL ? "critical,CA:TRUE" : "CA:FALSE"};
    int kinds[] = {NID_subject_alt_name, NID_basic_constraints};
    for (int i = 0; i < 2; i++) {
        X509_EXTENSION *e = values[i] != NULL
                                ? X509V3_EXT_conf_nid(NULL, NULL, kinds[i], values[i]) : NULL;
        if (e != NULL) {
            (void)X509_add_ext(x, e, -1);
            X509_EXTENSION_free(e);
        }
    }
    CHECK(X509_sign(x, issuer_key, EVP_sha256()) > 0);
    return x;
}

// A TLS server for `alt` ("IP:127.0.0.1"); its authority's certificate goes to ca_path.
static void tls_server_secure(tls_server *s, const char *alt, const char *ca_path)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *ca = tls_certificate(ca_key, "test authority", NULL, NULL, ca_key);
    X509 *leaf = tls_certificate(key, "test server", alt, ca, ca_key);
    FILE *f = fopen(ca_path, "w");
    CHECK(f != NULL && PEM_write_X509(f, ca) == 1);
    (void)fclose(f);
    s->tls = SSL_CTX_new(TLS_server_method());
    CHECK_INT(SSL_CTX_use_certificate(s->tls, leaf), 1);
    CHECK_INT(SSL_CTX_use_PrivateKey(s->tls, key), 1);
    X509_free(ca);
    X509_free(leaf);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
}
