#pragma once
// http_client -- HTTP requests on a uv loop, by libcurl (opened at first use, engine.md A4).
//
// A client keeps connections for reuse; it belongs to the thread of its loop, and so do its
// calls. Certificates are always verified.

#include "core/base/buf.h"

struct uv_loop_s;
typedef struct fr_http_client fr_http_client;
typedef struct fr_http_call fr_http_call;

typedef struct fr_http_response {
    int code;                    // FR_OK; FR_ENETWORK, FR_ETIMEOUT, FR_ELIMIT, FR_EINVAL
    const char *message;         // of a failure
    int status;                  // 200
    const char *url;             // after redirects
    const char *headers;         // "Name: value\n" of the last response
    const void *body;
    size_t size;
    int64_t took_ns;
} fr_http_response;

typedef struct fr_http_request {
    const char *method, *url;
    const char *const *headers;  // "Name: value", NULL-terminated; NULL: none
    const void *body;            // copied; NULL: none
    size_t size;
    int64_t timeout_ms;          // of the whole call
    int64_t connect_timeout_ms;
    size_t max_bytes;            // of the body, after decompression
    const char *ca_file;         // PEM of trusted certificates; NULL: the system's
    unsigned redirects;          // followed at most
    // Called once; the response lives during the call.
    void (*done)(void *ctx, const fr_http_response *r);
    void *ctx;
} fr_http_request;

// FR_EMISSING names the package when libcurl is not installed.
FR_NODISCARD int fr_http_client_open(struct uv_loop_s *loop, fr_http_client **out, fr_err *err);
// Ends all calls without calling done. The memory goes when the loop has closed the handles.
void fr_http_client_close(fr_http_client *c);
FR_NODISCARD int fr_http_start(fr_http_client *c, const fr_http_request *request,
                               fr_http_call **out, fr_err *err);
void fr_http_cancel(fr_http_call *call);         // done is not called
