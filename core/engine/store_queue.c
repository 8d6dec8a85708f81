// The queue between the engine and the store's thread: entries in one byte buffer.

#include "core/base/mem.h"
#include "core/engine/store_priv.h"

#include <string.h>

static size_t align8(size_t n) { return (n + 7) & ~(size_t)7; }

fr_queued_parts fr_queued_open(const fr_queued *q)
{
    const uint8_t *at = (const uint8_t *)(q + 1);
    fr_queued_parts p = {.label = q->has_label ? (const char *)at : NULL};
    at += q->label_size;
    p.outputs = at;
    at += (size_t)q->n_outputs * 16;
    p.result = q->result != NULL ? q->result->bytes : at;
    at += q->result != NULL ? 0 : q->result_size;
    p.error = q->error != NULL ? q->error->bytes : at;
    at += q->error != NULL ? 0 : q->error_size;
    p.data = at;
    return p;
}

void fr_queued_release(const fr_queued *q)
{
    fr_value_unref(q->result);
    fr_value_unref(q->error);
    if (q->files != NULL) {
        fr_files_done(q->files);
    }
}

// What of a value goes into the entry: a copy, or a reference when it is large.
static size_t plan_value(const fr_value *v, uint8_t *how, bool *has, const fr_value **kept,
                         size_t *size)
{
    *has = v != NULL;
    if (v == NULL) {
        return 0;
    }
    *how = fr_files_how(v);
    *size = v->size;
    if (*how == 0 && v->size <= FR_STORE_COPY) {
        return v->size;
    }
    *kept = fr_value_ref(v);
    return 0;
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t n)
{
    if (n > 0) {
        memcpy(at, bytes, n);
    }
    return at + n;
}

// Makes room for the head and `more` bytes behind it; the caller fills the bytes at *at.
static fr_queued *place(fr_store *s, const fr_queued *head, size_t more, uint8_t **at)
{
    size_t size = align8(sizeof *head + more);
    FR_ASSERT(size <= UINT32_MAX);
    FR_ASSERT(fr_buf_reserve(&s->front, size, NULL) == FR_OK);
    fr_queued *q = (fr_queued *)(void *)(s->front.data + s->front.size);
    *q = *head;
    q->size = (uint32_t)size;
    s->front.size += size;
    *at = (uint8_t *)(q + 1);
    return q;
}

static uint32_t new_name(fr_store *s, const char *name)
{
    if (s->n_names == s->name_room) {
        s->name_room = s->name_room * 2 + 64;
        s->name_texts = fr_realloc(s->name_texts, s->name_room * sizeof *s->name_texts);
    }
    size_t n = strlen(name);
    s->name_texts[s->n_names] = fr_strndup(name, n);
    fr_queued head = {.entry = FR_ENTRY_NAME, .name = s->n_names, .label_size = (uint32_t)n + 1,
                      .has_label = true};
    uint8_t *at;
    (void)place(s, &head, n + 1, &at);
    (void)put(at, name, n + 1);
    return s->n_names++;
}

// Names are few and usually come from the same pointer again.
static uint32_t name_index(fr_store *s, const char *name)
{
    if (name == NULL) {
        name = "";
    }
    fr_name_slot *slot = &s->name_slots[((uintptr_t)name >> 4) % FR_STORE_NAME_SLOTS];
    if (slot->pointer == name && strcmp(s->name_texts[slot->index], name) == 0) {
        return slot->index;
    }
    bool fresh;
    uint64_t *index = fr_map_put(&s->names, fr_hash_str(name), &fresh);
    if (fresh) {
        *index = new_name(s, name);
    }
    *slot = (fr_name_slot){.pointer = name, .index = (uint32_t)*index};
    return (uint32_t)*index;
}

void fr_store_append(fr_store_run *r, const fr_record *rec)
{
    fr_store *s = r->store;
    // Commit order is log order, without gaps.
    FR_ASSERT(rec->seq == (rec->type == FR_REC_START ? 0 : r->appended + 1));
    FR_ASSERT(rec->seq <= UINT32_MAX);
    r->appended = rec->type == FR_REC_START ? r->appended : rec->seq;
    fr_queued head = {
        .entry = FR_ENTRY_RECORD, .type = (uint8_t)rec->type, .kind = (uint8_t)rec->kind,
        .state = (uint8_t)rec->state, .reason = (uint8_t)rec->reason, .row = rec->row,
        .attempt = rec->attempt, .name = name_index(s, rec->name), .items = rec->items,
        .parent = rec->parent, .failed_items = rec->failed_items, .n_outputs = rec->n_outputs,
        .has_label = rec->label != NULL, .data_size = rec->size, .run = r, .seq = rec->seq,
        .key = rec->key, .args = rec->args, .queued = rec->queued, .started = rec->started,
        .ended = rec->ended, .due = rec->due, .log_from = rec->log_from, .log_to = rec->log_to,
        .slot = rec->slot,
    };
    head.label_size = rec->label != NULL ? (uint32_t)strlen(rec->label) + 1 : 0;
    size_t result = plan_value(rec->result, &head.result_how, &head.has_result, &head.result,
                               &head.result_size);
    size_t error = plan_value(rec->error, &head.error_how, &head.has_error, &head.error,
                              &head.error_size);
    if ((head.result_how | head.error_how) != 0) {
        head.files = fr_files_start(s->files, head.result_how != 0 ? head.result : NULL,
                                    head.error_how != 0 ? head.error : NULL);
    }
    uint8_t *at;
    (void)place(s, &head,
                head.label_size + (size_t)rec->n_outputs * 16 + result + error + rec->size, &at);
    at = put(at, rec->label, head.label_size);
    for (uint32_t i = 0; i < rec->n_outputs; i++) {
        fr_hash_store(rec->outputs[i], at);
        at += 16;
    }
    at = put(at, result > 0 ? rec->result->bytes : NULL, result);
    at = put(at, error > 0 ? rec->error->bytes : NULL, error);
    (void)put(at, rec->data, rec->size);
}

void fr_store_run_update(fr_store_run *r, const fr_run_info *info)
{
    fr_store *s = r->store;
    fr_queued head = {
        .entry = FR_ENTRY_RUN, .state = (uint8_t)info->state, .reason = (uint8_t)info->reason,
        .attempt = info->attempt, .run = r, .started = info->started, .ended = info->ended,
        .seq = r->request_seen,
    };
    size_t result = plan_value(info->result, &head.result_how, &head.has_result, &head.result,
                               &head.result_size);
    size_t error = plan_value(info->error, &head.error_how, &head.has_error, &head.error,
                              &head.error_size);
    if ((head.result_how | head.error_how) != 0) {
        head.files = fr_files_start(s->files, head.result_how != 0 ? head.result : NULL,
                                    head.error_how != 0 ? head.error : NULL);
    }
    uint8_t *at;
    (void)place(s, &head, result + error, &at);
    at = put(at, result > 0 ? info->result->bytes : NULL, result);
    (void)put(at, error > 0 ? info->error->bytes : NULL, error);
}

static fr_queued slot_entry(fr_store_run *r, uint8_t type, uint32_t ask)
{
    return (fr_queued){.entry = FR_ENTRY_SLOT, .type = type, .run = r, .slot = ask};
}

void fr_store_slot_ask(fr_store_run *r, const fr_slot_ask *a)
{
    fr_queued head = slot_entry(r, FR_SLOT_ASK, a->ask);
    FR_ASSERT(a->n_needs <= FR_LIMIT_NEEDS);
    size_t size = 0;
    for (uint32_t i = 0; i < a->n_needs; i++) {
        size += sizeof a->needs[i] + strlen(a->needs[i].name) + 1;
    }
    head.row = a->row;
    head.attempt = (uint32_t)a->priority;
    head.items = a->n_needs;
    head.queued = a->since;
    head.has_label = true;
    head.label_size = (uint32_t)strlen(a->name) + 1;
    head.data_size = size;
    uint8_t *at;
    (void)place(r->store, &head, head.label_size + size, &at);
    at = put(at, a->name, head.label_size);
    for (uint32_t i = 0; i < a->n_needs; i++) {            // each need, then its name
        at = put(at, &a->needs[i], sizeof a->needs[i]);
        at = put(at, a->needs[i].name, strlen(a->needs[i].name) + 1);
    }
}

void fr_store_slot_release(fr_store_run *r, uint32_t ask)
{
    fr_queued head = slot_entry(r, FR_SLOT_RELEASE, ask);
    uint8_t *at;
    (void)place(r->store, &head, 0, &at);
}

void fr_store_slot_look(fr_store_run *r)
{
    fr_queued head = slot_entry(r, FR_SLOT_LOOK, 0);
    uint8_t *at;
    (void)place(r->store, &head, 0, &at);
}

uint64_t fr_store_outbox_adopt(fr_store_run *r)
{
    return fr_store_outbox_set(r, &(fr_outbox_row){.id = 0});
}

uint64_t fr_store_outbox_set(fr_store_run *r, const fr_outbox_row *row)
{
    fr_queued head = {
        .entry = FR_ENTRY_OUTBOX, .run = r, .seq = row->id, .state = (uint8_t)row->state,
        .attempt = row->attempts, .due = row->due, .ended = row->changed,
        .has_label = row->error != NULL, .log_from = ++r->outbox_sent,
    };
    head.label_size = row->error != NULL ? (uint32_t)strlen(row->error) + 1 : 0;
    uint8_t *at;
    (void)place(r->store, &head, head.label_size, &at);
    (void)put(at, row->error, head.label_size);
    return r->outbox_sent;
}

int fr_store_blob_put(fr_store *s, fr_hash key, const void *bytes, size_t n, fr_err *err)
{
    if (s->env.read_only) {
        return fr_fail(err, FR_ESTATE, "the store is open for looking only");
    }
    if (n > FR_VALUE_MAX / 2) {
        return fr_fail(err, FR_ELIMIT, "a bundle of %zu bytes is too large to keep", n);
    }
    fr_queued head = {.entry = FR_ENTRY_BLOB, .key = key, .data_size = n};
    uint8_t *at;
    (void)place(s, &head, n, &at);
    (void)put(at, bytes, n);
    return FR_OK;
}

void fr_queue_cache(fr_store_run *r, const fr_kept *k, uint64_t origin)
{
    fr_store *s = r->store;
    fr_queued head = {
        .entry = FR_ENTRY_CACHE, .kind = (uint8_t)k->verdict, .name = name_index(s, k->task),
        .items = k->item, .run = r, .seq = k->seq, .key = k->key, .ended = k->at,
        .due = (int64_t)origin, .data_size = k->parts != NULL ? k->parts->size : 0,
    };
    uint8_t *at;
    (void)place(s, &head, head.data_size, &at);
    (void)put(at, k->parts != NULL ? k->parts->bytes : NULL, head.data_size);
}
