#include "core/engine/outbox.h"

#include "core/base/base.h"

#include <string.h>

static void put_text(fr_buf *b, const char *s)
{
    size_t n = strlen(s);
    fr_buf_put_varint(b, n);
    fr_buf_put(b, s, n + 1);
}

static void put_double(fr_buf *b, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    fr_buf_put_u64(b, bits);
}

static void put_plan(fr_buf *b, const fr_retry_plan *p)
{
    fr_buf_put_varint(b, p->retries);
    fr_buf_put_u8(b, (uint8_t)p->backoff);
    fr_buf_put_u64(b, (uint64_t)p->base_ns);
    fr_buf_put_u64(b, (uint64_t)p->cap_ns);
    put_double(b, p->factor);
    put_double(b, p->jitter);
    fr_buf_put_u8(b, (uint8_t)p->n_list);
    for (uint32_t i = 0; i < p->n_list; i++) {
        fr_buf_put_u64(b, (uint64_t)p->list_ns[i]);
    }
}

void fr_outbox_put(fr_buf *b, const fr_outbox_message *m)
{
    fr_buf body;
    fr_buf_init(&body, SIZE_MAX / 2);
    put_text(&body, m->task);
    put_text(&body, m->name);
    put_text(&body, m->key);
    put_plan(&body, &m->retry);
    fr_buf_put_varint(&body, m->n_args);
    fr_buf_put_varint(&body, m->args_size);
    fr_buf_put(&body, m->args, m->args_size);
    fr_buf_put_varint(b, body.size);
    fr_buf_put(b, body.data, body.size);
    fr_buf_fini(&body);
}

static const char *read_text(fr_reader *r)
{
    uint64_t n = fr_read_varint(r);
    const uint8_t *bytes = n < FR_VALUE_MAX ? fr_read_bytes(r, (size_t)n + 1) : NULL;
    if (bytes == NULL || bytes[n] != '\0' || strlen((const char *)bytes) != n) {
        r->failed = true;
        return "";
    }
    return (const char *)bytes;
}

static uint64_t read_number(fr_reader *r, uint64_t most)
{
    uint64_t v = fr_read_varint(r);
    r->failed = r->failed || v > most;
    return v <= most ? v : 0;
}

static double read_double(fr_reader *r)
{
    uint64_t bits = fr_read_u64(r);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static void read_plan(fr_reader *r, fr_retry_plan *p)
{
    *p = (fr_retry_plan){.retries = (uint32_t)read_number(r, UINT32_MAX)};
    uint8_t backoff = fr_read_u8(r);
    p->backoff = (fr_backoff)backoff;
    p->base_ns = (int64_t)fr_read_u64(r);
    p->cap_ns = (int64_t)fr_read_u64(r);
    p->factor = read_double(r);
    p->jitter = read_double(r);
    p->n_list = fr_read_u8(r);
    if (backoff > FR_BACKOFF_LIST || p->n_list > FR_RETRY_LIST) {
        r->failed = true;
        p->n_list = 0;
    }
    for (uint32_t i = 0; i < p->n_list; i++) {
        p->list_ns[i] = (int64_t)fr_read_u64(r);
    }
}

bool fr_outbox_next(fr_reader *r, fr_outbox_message *out, const void **bytes, size_t *n)
{
    *out = (fr_outbox_message){.task = ""};
    const uint8_t *whole = r->at;
    if (r->failed || r->at == r->end) {
        return false;
    }
    uint64_t size = fr_read_varint(r);
    const uint8_t *body = size < FR_VALUE_MAX ? fr_read_bytes(r, (size_t)size) : NULL;
    if (body == NULL) {
        r->failed = true;
        return false;
    }
    fr_reader m = fr_reader_of(body, (size_t)size);
    out->task = read_text(&m);
    out->name = read_text(&m);
    out->key = read_text(&m);
    read_plan(&m, &out->retry);
    out->n_args = (uint32_t)read_number(&m, UINT32_MAX);
    out->args_size = (size_t)read_number(&m, FR_VALUE_MAX);
    out->args = fr_read_bytes(&m, out->args_size);
    if (m.failed || out->args == NULL || m.at != m.end) {
        r->failed = true;
        return false;
    }
    if (bytes != NULL) {
        *bytes = whole;
        *n = (size_t)(r->at - whole);
    }
    return true;
}

const char *fr_outbox_state_name(fr_outbox_state state)
{
    static const char *const names[] = {"pending", "delivered", "dead", "dropped"};
    return (size_t)state < FR_COUNT(names) ? names[state] : "unknown";
}

fr_outbox_verdict fr_outbox_judge(const fr_outbox_message *m, uint32_t made, bool ok, bool again,
                                  int64_t now)
{
    if (ok) {
        return (fr_outbox_verdict){.state = FR_OUTBOX_DELIVERED};
    }
    if (!again || !fr_retry_allowed(&m->retry, made)) {
        return (fr_outbox_verdict){.state = FR_OUTBOX_DEAD};
    }
    int64_t delay = fr_retry_delay(&m->retry, made, 0, fr_hash_str(m->key));
    return (fr_outbox_verdict){.state = FR_OUTBOX_PENDING,
                               .due = delay < INT64_MAX - now ? now + delay : INT64_MAX};
}
