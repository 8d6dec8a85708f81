// Mapped tasks: one node for N items. Items travel in chunks, finished ones stay packed.
#include "core/engine/sched_int.h"

#include <string.h>

enum { MAP_WINDOW = 1024 };            // items out at once when each has its own attempt

static bool have(const map_state *m, uint32_t i) { return sched_map_has(m, i); }

void sched_map_free(map_state *m)
{
    fr_value_unref(m->list);
    fr_value_unref(m->first_error);
    fr_value_unref(m->parts_of_key);
    fr_free(m->cache_keys);
    for (uint32_t i = 0; m->objects != NULL && i < m->n; i++) {
        fr_value_unref(m->objects[i]);
    }
    fr_free(m->objects);
    fr_free(m->offsets);
    fr_free(m->hashes);
    fr_free(m->duplicates);
    fr_free(m->have);
    fr_free(m->todo);
    fr_free(m->marks);
    fr_free(m->last);
    fr_buf_fini(&m->parts);
    fr_map_fini(&m->attempts);
    fr_map_fini(&m->dues);
    fr_free(m);
}

// Finds the items of the packed list. NULL and a message when it is not a list.
static map_state *open_list(fr_value *list, const char **wrong)
{
    fr_reader r = fr_reader_of(list->bytes, list->size);
    fr_item head;
    *wrong = "a value that is not a list";
    if (!fr_value_next(&r, &head) || head.tag != FR_TABLE) {
        return NULL;
    }
    map_state *m = fr_zalloc(sizeof *m);
    m->n = (uint32_t)head.n;
    m->list = fr_value_ref(list);
    m->offsets = fr_alloc(((size_t)m->n + 1) * sizeof *m->offsets);
    m->hashes = fr_alloc(((size_t)m->n + 1) * sizeof *m->hashes);
    m->have = fr_zalloc((size_t)m->n / 8 + 1);
    fr_buf_init(&m->parts, SIZE_MAX / 2);
    m->offsets[0] = (uint64_t)(r.at - list->bytes);
    for (uint32_t i = 0; i < m->n; i++) {
        (void)fr_value_skip(&r);
        m->offsets[i + 1] = (uint64_t)(r.at - list->bytes);
    }
    if (r.failed || fr_read_varint(&r) != 0) {
        *wrong = "a table with other keys than 1, 2, 3 ...";
        sched_map_free(m);
        return NULL;
    }
    return m;
}

static fr_hash item_hash(const map_state *m, uint32_t i, fr_hash deps)
{
    size_t from = m->offsets[i], size = m->offsets[i + 1] - from;
    fr_hash h;
    if (m->list->objects == 0) {
        h = fr_hash_bytes(m->list->bytes + from, size);
    } else {
        fr_value *v = sched_slice(m->list, from, size);
        h = v->hash;
        fr_value_unref(v);
    }
    return fr_hash_is_zero(deps) ? h : fr_hash_pair(h, deps);
}

// Args hash of every item and, among equal ones, which it is.
static void name_items(fr_sched *s, const node *n, map_state *m)
{
    fr_hash deps = n->argv != NULL ? n->argv->hash : (fr_hash){0};   // the constants
    for (uint32_t i = 0; i < n->n_deps; i++) {
        deps = fr_hash_pair(deps, node_at(s, n->deps[i].node)->key);
    }
    fr_map seen;
    fr_map_init(&seen);
    fr_map_reserve(&seen, m->n);
    for (uint32_t i = 0; i < m->n; i++) {
        m->hashes[i] = item_hash(m, i, deps);
        uint64_t before = (*fr_map_put(&seen, m->hashes[i], NULL))++;
        if (before > 0) {
            if (m->duplicates == NULL) {
                m->duplicates = fr_zalloc((size_t)m->n * sizeof *m->duplicates);
            }
            m->duplicates[i] = (uint32_t)before;
        }
    }
    fr_map_fini(&seen);
}

void sched_map_failure(map_state *m, const fr_item_done *item)
{
    m->failed++;
    if (m->first_error == NULL || item->index < m->first_failed) {
        fr_value_unref(m->first_error);
        m->first_error = fr_value_new(item->value, item->size, NULL, 0);
        m->first_failed = item->index;
    }
}

static void item_final(fr_sched *s, uint32_t id, const fr_item_done *item);

static fr_hash item_slot(uint32_t item)
{
    return fr_hash_mix((fr_hash){.lo = 1, .hi = 1}, item);
}

// Attempts that were made, and above 32 bits those that were lost with their process.
static uint64_t *attempts_of(map_state *m, uint32_t item)
{
    return fr_map_put(&m->attempts, item_slot(item), NULL);
}

// Attempts that were made of items that have not ended.
static void recall_attempts(fr_sched *s, const node *n, map_state *m, uint64_t gone)
{
    for (uint32_t i = 0; i < m->n; i++) {
        uint32_t dup = m->duplicates != NULL ? m->duplicates[i] : 0;
        past *p = have(m, i) ? NULL
                             : sched_past_other(s, fr_item_key(n->key, m->hashes[i], dup));
        if (p == NULL || (p->seq != 0 && p->seq <= gone)) {
            continue;
        }
        if (p->attempt + p->lost > 0 && p->seq == 0 && p->retry_seq > s->rerun_seq) {
            *attempts_of(m, i) = p->attempt | (uint64_t)p->lost << 32;
            int64_t left = FR_MIN(p->due - s->wall, p->delay);
            if (left > 0 && !SEEDED(BUG_DELAY_FORGOTTEN)) {
                *fr_map_put(&m->dues, item_slot(i), NULL) = (uint64_t)(s->mono + left);
            }
        }
    }
}

// The deadline is over: items that have no result get the fallback.
static void fill_rest(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    map_state *m = n->map;
    uint32_t filled = 0;
    fr_buf b;
    fr_buf_init(&b, SIZE_MAX / 2);
    for (uint32_t i = 0; i < m->n; i++) {
        if (have(m, i)) {
            continue;
        }
        fr_item_done item = {.index = i, .flags = FR_ITEM_DEGRADED, .args = m->hashes[i],
                             .duplicate = m->duplicates != NULL ? m->duplicates[i] : 0,
                             .value = n->opts->fallback->bytes, .size = n->opts->fallback->size};
        fr_item_put(&b, &item);
        item_final(s, id, &item);
        filled++;
    }
    sched_items_part(s, id, b.data, b.size, filled);
    n->degraded = true;
    fr_buf_fini(&b);
}

static void end_map(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    map_state *m = n->map;
    n->ended = s->wall;
    if (m->done < m->n && n->expired && n->opts->fallback != NULL && !sched_stopped(s, n)) {
        fill_rest(s, id);
    }
    if (m->done < m->n && n->expired) {
        sched_finish(s, id, FR_FAILED, FR_BECAUSE_DEADLINE, NULL, sched_stop_error(s, n));
        return;
    }
    if (m->done < m->n) {
        sched_finish(s, id, FR_STOPPED, FR_BECAUSE_CANCELLED, NULL,
                     sched_error("cancelled", "cancelled with %u of %u items done", m->done, m->n));
        return;
    }
    if (n->state == FR_QUEUED) {
        sched_move(s, n, FR_RUNNING, FR_BECAUSE_FIRST);
    }
    if (m->skipped == m->n) {
        bool empty = m->n == 0;
        sched_skip(s, id, empty ? FR_BECAUSE_EMPTY_MAP : FR_BECAUSE_ITSELF,
                   sched_skip_note(empty ? "the list is empty" : "every item was skipped"));
        return;
    }
    n->attempt = 1;
    if (m->failed == 0) {
        sched_finish(s, id, FR_SUCCESS, n->degraded ? FR_BECAUSE_DEGRADED : FR_BECAUSE_RAN, NULL,
                     NULL);
        return;
    }
    char why[600];
    sched_error_text(m->first_error, why, sizeof why);
    int code = sched_error_code(m->first_error);
    sched_finish(s, id, FR_FAILED, FR_BECAUSE_ERROR, NULL,
                 sched_error(fr_err_name(code), "%u of %u items failed; item %u: %s", m->failed,
                             m->n, m->first_failed + 1, why));
}

static run_attempt *new_items(fr_sched *s, uint32_t id, const uint32_t *indexes, uint32_t first,
                        uint32_t count, uint32_t attempt)
{
    node *n = node_at(s, id);
    map_state *m = n->map;
    run_attempt *ra = sched_attempt_new(s, id);
    ra->a.list = m->list;
    ra->a.tuples = n->tuples;
    ra->a.offsets = m->offsets;
    ra->a.item_args = m->hashes;
    ra->a.duplicates = m->duplicates;
    ra->a.first = first;
    ra->a.count = count;
    ra->a.indexes = indexes;
    ra->a.attempt = attempt;
    ra->single_item = count == 1;
    ra->item = count == 1 ? (indexes != NULL ? indexes[first] : first) : 0;
    if (ra->single_item) {
        sched_give_checkpoint(s, ra, ra->item);
    }
    m->out++;
    return ra;
}

static void start_items(fr_sched *s, uint32_t id, const uint32_t *indexes, uint32_t first,
                        uint32_t count, uint32_t attempt)
{
    sched_send(s, new_items(s, id, indexes, first, count, attempt));
}

static void ask_item(fr_sched *s, uint32_t id, const fr_item_done *item, fr_ask ask,
                     const fr_value *error)
{
    run_attempt *ra = new_items(s, id, NULL, item->index, 1, item->attempt);
    sched_ask(s, ra, ask, error);
    sched_send(s, ra);
}

void sched_map_record_item(fr_sched *s, const node *n, const fr_item_done *item,
                           const fr_value *result, const fr_value *error)
{
    fr_record r;
    sched_record_of(s, n, &r);
    r.type = FR_REC_TASK;
    r.kind = FR_CALL_ITEM;
    r.parent = n->row;
    r.row = s->next_row++;
    r.key = fr_item_key(n->key, item->args, item->duplicate);
    r.args = item->args;
    r.label = NULL;
    r.state = error != NULL ? FR_FAILED : FR_SUCCESS;
    bool poison = error != NULL && sched_error_code(error) == FR_EPOISON;
    r.reason = poison ? FR_BECAUSE_QUARANTINED
               : error != NULL                ? FR_BECAUSE_ERROR
               : item->flags & FR_ITEM_CACHED ? FR_BECAUSE_CACHED
                                              : FR_BECAUSE_RAN;
    r.attempt = item->attempt;
    r.items = item->index + 1;
    r.started = n->queued + (int64_t)item->start_us * 1000;
    r.ended = r.started + (int64_t)item->duration_us * 1000;
    r.result = result;
    r.error = error;
    sched_take_outbox(s, &r);
    sched_record(s, &r);
}

static void item_final(fr_sched *s, uint32_t id, const fr_item_done *item)
{
    map_state *m = node_at(s, id)->map;
    sched_map_set(m, item->index);
    m->done++;
    s->stats.items_done++;
    s->tasks[node_at(s, id)->task].stats.items_done++;
    m->skipped += (item->flags & FR_ITEM_SKIPPED) != 0;
    if (item->flags & FR_ITEM_FAILED) {
        s->stats.items_failed++;
        sched_map_failure(m, item);
    }
}

// What took its process down too often fails without being run.
static bool quarantined(fr_sched *s, uint32_t id, uint32_t index, uint32_t attempt)
{
    node *n = node_at(s, id);
    fr_value *error = sched_quarantine(s, n->key, index);
    if (error == NULL) {
        return false;
    }
    fr_item_done item = {.index = index, .flags = FR_ITEM_FAILED, .attempt = attempt,
                         .args = n->map->hashes[index],
                         .duplicate = n->map->duplicates != NULL ? n->map->duplicates[index] : 0,
                         .value = error->bytes, .size = error->size};
    fr_buf b;
    fr_buf_init(&b, SIZE_MAX / 2);
    fr_item_put(&b, &item);
    sched_items_part(s, id, b.data, b.size, 1);
    sched_map_record_item(s, n, &item, NULL, error);
    item_final(s, id, &item);
    fr_buf_fini(&b);
    fr_value_unref(error);
    return true;
}

static void fill_window(fr_sched *s, uint32_t id)
{
    map_state *m = node_at(s, id)->map;
    uint32_t n = m->todo != NULL ? m->n_todo : m->n;
    while (m->out < MAP_WINDOW && m->next < n) {
        uint32_t i = m->todo != NULL ? m->todo[m->next] : m->next;
        m->next++;
        uint64_t *made = m->attempts.count > 0 ? attempts_of(m, i) : NULL;
        uint32_t attempt = (uint32_t)(made != NULL ? *made : 0) + 1;
        const uint64_t *due = m->dues.count > 0 ? fr_map_find(&m->dues, item_slot(i)) : NULL;
        if (due != NULL) {
            sched_timer_add(s, TIMER_ITEM, (int64_t)*due, id, 0, i);
        } else if (!quarantined(s, id, i, attempt)) {
            start_items(s, id, NULL, i, 1, attempt);
        }
    }
}

static void go_on(fr_sched *s, uint32_t id);

// Items that kept something need an attempt of their own, which brings it.
static bool any_checkpoint(fr_sched *s, const node *n, const map_state *m)
{
    bool any = false;
    for (uint32_t i = 0; i < m->n && !any && s->n_checkpoints > 0; i++) {
        any = !have(m, i) && sched_has_checkpoint(s, n, i);
    }
    return any;
}

static bool find_list(fr_sched *s, uint32_t id, const char **wrong)
{
    node *n = node_at(s, id);
    fr_value *list = n->list != NULL ? fr_value_ref(n->list) : sched_dep_value(s, n->list_dep);
    n->map = open_list(list, wrong);
    fr_value_unref(list);
    if (n->map == NULL) {
        return false;
    }
    name_items(s, n, n->map);
    return true;
}

static void count_items(fr_sched *s, const node *n)
{
    s->stats.items += n->map->n;
    s->stats.items_done += n->map->done;
    s->tasks[n->task].stats.items += n->map->n;
    s->tasks[n->task].stats.items_done += n->map->done;
}

// Finds the items, and what the log has of them. false: there is no list; *wrong says what is.
static bool open_map(fr_sched *s, uint32_t id, const char **wrong)
{
    node *n = node_at(s, id);
    if (!find_list(s, id, wrong)) {
        return false;
    }
    past *p = n->known ? sched_past(s, n->key) : NULL;
    n->queued = p != NULL && p->queued != 0 ? p->queued : s->wall;
    // Parts name the map by its row, which must stay; a rerun says that it has found items.
    bool said = p != NULL && p->began && p->row == n->row && p->items->opened == s->rerun_seq;
    if (!said && s->divergence == NULL) {
        fr_record r;
        sched_record_of(s, n, &r);
        r.type = FR_REC_TIMER;
        sched_record(s, &r);
    }
    if (p != NULL && p->items != NULL) {
        sched_items_recall(s, id, p->items, s->rerun_seq);
    }
    if (s->pasts.n > 0) {
        recall_attempts(s, n, n->map, p != NULL && p->items != NULL ? p->items->gone : 0);
    }
    count_items(s, n);
    return true;
}

void sched_map_recall(fr_sched *s, uint32_t id)
{
    const past *p = sched_past(s, node_at(s, id)->key);
    const char *wrong;
    if (p != NULL && p->items != NULL && node_at(s, id)->map == NULL) {
        (void)open_map(s, id, &wrong);
    }
}

void sched_map_reopen(fr_sched *s, uint32_t id, const past_items *p)
{
    const char *wrong;
    if (find_list(s, id, &wrong)) {
        sched_items_recall(s, id, p, p->ended);
        count_items(s, node_at(s, id));
    }
}

void sched_map_start(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    const char *wrong = NULL;
    if (n->map == NULL && !open_map(s, id, &wrong)) {
        sched_move(s, n, FR_RUNNING, FR_BECAUSE_FIRST);
        sched_finish(s, id, FR_FAILED, FR_BECAUSE_ERROR, NULL,
                     sched_error("type", "%s:map needs a list of items, got %s",
                                 s->tasks[n->task].name, wrong));
        return;
    }
    const map_state *m = n->map;
    if (sched_stopping(s, n)) {                // it had begun when the run was cancelled
        end_map(s, id);
    } else if (m->done == m->n || !sched_cache_items(s, id)) {
        go_on(s, id);
    }
}

// Starts the items that are still to be made.
static void go_on(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    map_state *m = n->map;
    if (m->done == m->n) {
        end_map(s, id);
        return;
    }
    if (m->done > 0) {
        m->todo = fr_alloc((size_t)(m->n - m->done) * sizeof *m->todo);
        for (uint32_t i = 0; i < m->n; i++) {
            if (!have(m, i)) {
                m->todo[m->n_todo++] = i;
            }
        }
    }
    m->windowed = n->opts->timeout_ns > 0 || n->opts->queue_timeout_ns > 0 ||
                  n->opts->n_limits > 0 || m->attempts.count > 0 || s->env.max_running > 0 ||
                  sched_is_suspect(s, n->key, FR_ANY_ITEM) || any_checkpoint(s, n, m);
    if (m->windowed) {
        fill_window(s, id);
        if (m->done == m->n) {
            end_map(s, id);                    // all that was left is quarantined
        }
    } else {
        start_items(s, id, m->todo, 0, m->todo != NULL ? m->n_todo : m->n, 1);
    }
}

// --- what the cache has ---

static void found_object(fr_sched *s, uint32_t id, fr_item_done *item, const fr_found *f)
{
    node *n = node_at(s, id);
    map_state *m = n->map;
    sched_items_object(m, item->index, f->result);
    sched_map_record_item(s, n, item, f->result, NULL);
    sched_items_object_ended(s, id, item);
    sched_cache_keep_item(s, id, item, s->seq, f);
    item_final(s, id, item);
}

void sched_map_found(fr_sched *s, uint32_t id, fr_found *found, const fr_hash *files)
{
    node *n = node_at(s, id);
    map_state *m = n->map;
    bool use = m->cache_verdict == FR_CACHE_NONE;
    uint32_t kept = 0;
    fr_buf b;
    fr_buf_init(&b, SIZE_MAX / 2);
    sched_cache_files(s, id, files);
    for (uint32_t i = 0; i < m->n; i++) {
        if (found[i].result == NULL || !use || have(m, i)) {
            continue;
        }
        fr_item_done item = {.index = i, .flags = FR_ITEM_CACHED, .args = m->hashes[i],
                             .duplicate = m->duplicates != NULL ? m->duplicates[i] : 0,
                             .value = found[i].result->bytes, .size = found[i].result->size};
        if (found[i].result->objects > 0) {
            found_object(s, id, &item, &found[i]);
        } else {
            fr_item_put(&b, &item);
            kept++;
        }
    }
    if (kept > 0) {
        sched_items_part(s, id, b.data, b.size, kept);
    }
    fr_reader r = fr_reader_of(b.data, b.size);
    for (fr_item_done item; fr_item_next(&r, &item);) {
        sched_cache_keep_item(s, id, &item, s->seq, &found[item.index]);
        item_final(s, id, &item);
    }
    for (uint32_t i = 0; i < m->n; i++) {
        fr_value_unref(found[i].result);
    }
    fr_buf_fini(&b);
    sched_event(s, FR_MOMENT_ITEMS, id);
    go_on(s, id);
}

// --- replies ---

static void retry_item(fr_sched *s, uint32_t id, const fr_item_done *item, const fr_value *error,
                       int64_t delay, bool lost)
{
    node *n = node_at(s, id);
    uint64_t *made = attempts_of(n->map, item->index);
    *made = (*made >> 32 << 32) + ((uint64_t)lost << 32) + item->attempt - lost;
    s->stats.retries++;
    s->tasks[n->task].stats.retries++;
    fr_record r;
    sched_record_of(s, n, &r);
    r.type = FR_REC_RETRY;
    r.reason = lost ? FR_BECAUSE_INTERRUPTED : FR_BECAUSE_RETRY;
    r.parent = n->row;
    r.key = fr_item_key(n->key, item->args, item->duplicate);
    r.args = item->args;
    r.attempt = item->attempt - lost;
    r.ended = s->wall;
    r.due = s->wall + delay;
    r.error = error;
    sched_record(s, &r);
    sched_timer_add(s, TIMER_ITEM, s->mono + delay, id, 0, item->index);
    sched_event(s, FR_MOMENT_RETRY, id);
}

static void retry_after_curve(fr_sched *s, uint32_t id, const fr_item_done *item,
                              const fr_value *error, bool lost)
{
    node *n = node_at(s, id);
    fr_hash key = fr_item_key(n->key, item->args, item->duplicate);
    uint32_t times = lost ? 1 + (uint32_t)(*attempts_of(n->map, item->index) >> 32) : item->attempt;
    int64_t delay = fr_retry_delay(&n->opts->retry, times, s->env.seed, key);
    retry_item(s, id, item, error, delay, lost);
}

void sched_map_retry(fr_sched *s, uint32_t id, uint32_t item)
{
    node *n = node_at(s, id);
    if (node_final(n) || n->map == NULL || have(n->map, item) || sched_stopping(s, n)) {
        return;
    }
    start_items(s, id, NULL, item, 1, (uint32_t)*attempts_of(n->map, item) + 1);
}

// No further attempt of an item: its fallback, or final as it stands (true).
static bool item_given_up(fr_sched *s, uint32_t id, const fr_item_done *item, const fr_value *error,
                          fr_buf *kept, uint32_t *n_kept)
{
    node *n = node_at(s, id);
    if ((n->opts->asks & FR_ASKS(FR_ASK_FALLBACK)) != 0) {
        ask_item(s, id, item, FR_ASK_FALLBACK, error);
        return false;
    }
    if (n->opts->fallback == NULL) {
        return true;
    }
    fr_item_done degraded = *item;
    degraded.flags = FR_ITEM_DEGRADED;
    degraded.value = n->opts->fallback->bytes;
    degraded.size = n->opts->fallback->size;
    fr_item_put(kept, &degraded);
    ++*n_kept;
    item_final(s, id, &degraded);
    n->degraded = true;
    return false;
}

// A failed item: tried again, asked about, replaced by its fallback, or final (true).
static bool item_failed(fr_sched *s, uint32_t id, const fr_item_done *item, const fr_value *error,
                        fr_buf *kept, uint32_t *n_kept)
{
    node *n = node_at(s, id);
    if (sched_stopping(s, n)) {
        return (item->flags & FR_ITEM_CANCELLED) == 0;
    }
    uint64_t *made = n->map->attempts.count > 0 ? attempts_of(n->map, item->index) : NULL;
    uint32_t gone = made != NULL ? (uint32_t)(*made >> 32) : 0;
    bool lost;
    if (!sched_may_retry(s, n, item->attempt, gone, error, sched_error_code(error), &lost)) {
        return item_given_up(s, id, item, error, kept, n_kept);
    }
    if (!lost && (n->opts->asks & FR_ASKS(FR_ASK_RETRY_IF)) != 0) {
        ask_item(s, id, item, FR_ASK_RETRY_IF, error);
    } else if (!lost && (n->opts->asks & FR_ASKS(FR_ASK_DELAY)) != 0) {
        ask_item(s, id, item, FR_ASK_DELAY, error);
    } else {
        retry_after_curve(s, id, item, error, lost);
    }
    return false;
}

// The answer to a question about a failed item. True: item is final, and *error its failure.
static bool item_answered(fr_sched *s, uint32_t id, const run_attempt *ra, fr_item_done *item,
                          fr_value **error, fr_buf *kept, uint32_t *n_kept)
{
    const node *n = node_at(s, id);
    fr_value *answer = fr_value_new(item->value, item->size, NULL, 0);
    bool failed = (item->flags & FR_ITEM_FAILED) != 0, final = false, more = false;
    if (failed && (item->flags & FR_ITEM_CANCELLED) != 0 && sched_stopping(s, n)) {
        fr_value_unref(answer);
        return false;
    }
    const fr_value *about = sched_asked_about(ra);
    int64_t delay = 0;
    if (failed || (ra->ask == FR_ASK_DELAY && !sched_answer_delay(answer, &delay))) {
        *error = sched_bad_answer(s, id, ra, failed ? answer : NULL);
        final = true;
    } else if (ra->ask == FR_ASK_DELAY) {
        retry_item(s, id, item, about, delay, false);
    } else if (!sched_answer_yes(answer)) {
        *error = fr_value_ref(about);
        more = true;
    } else if ((n->opts->asks & FR_ASKS(FR_ASK_DELAY)) != 0) {
        ask_item(s, id, item, FR_ASK_DELAY, about);
    } else {
        retry_after_curve(s, id, item, about, false);
    }
    fr_value_unref(answer);
    if (*error != NULL) {
        item->flags = FR_ITEM_FAILED;
        item->value = (*error)->bytes;
        item->size = (*error)->size;
    }
    return more ? item_given_up(s, id, item, about, kept, n_kept) : final;
}

// Judges one item of a reply. True: it is final and to be kept.
static bool take_item(fr_sched *s, const run_attempt *ra, fr_item_done *item, fr_value **error,
                      fr_buf *kept, uint32_t *n_kept)
{
    node *n = node_at(s, ra->node);
    bool failed = item->flags & (FR_ITEM_FAILED | FR_ITEM_CANCELLED);
    if (s->draining && (item->flags & FR_ITEM_CANCELLED) != 0) {
        return false;                          // a resume makes it
    }
    if (ra->ask == FR_ASK_RETRY_IF || ra->ask == FR_ASK_DELAY) {
        return item_answered(s, ra->node, ra, item, error, kept, n_kept);
    }
    if (ra->ask == FR_ASK_FALLBACK) {
        if (!failed && (item->flags & FR_ITEM_SKIPPED) == 0) {
            item->flags |= FR_ITEM_DEGRADED;
            n->degraded = true;
        }
        return !failed || !sched_stopping(s, n) || (item->flags & FR_ITEM_CANCELLED) == 0;
    }
    if (!failed) {
        return true;
    }
    fr_value *why = fr_value_new(item->value, item->size, NULL, 0);
    bool final = item_failed(s, ra->node, item, why, kept, n_kept);
    fr_value_unref(why);
    return final;
}

// The part just recorded has them: later runs may find them there.
static void keep_items(fr_sched *s, uint32_t id, const void *items, size_t size)
{
    if (node_at(s, id)->map->cache_keys == NULL) {
        return;
    }
    fr_reader r = fr_reader_of(items, size);
    for (fr_item_done item; fr_item_next(&r, &item);) {
        sched_cache_keep_item(s, id, &item, s->seq, NULL);
    }
}

static void take_items(fr_sched *s, run_attempt *ra, const fr_done *d)
{
    uint32_t id = ra->node, plain = 0, n_kept = 0;
    node *n = node_at(s, id);
    map_state *m = n->map;
    fr_reader r = fr_reader_of(d->items, d->size);
    fr_item_done item;
    bool all = ra->ask == FR_ASK_NOTHING;
    while (all && fr_item_next(&r, &item)) {
        all = item.flags == 0 && !have(m, item.index);
        plain += all;
    }
    r = fr_reader_of(d->items, d->size);
    if (all) {                                 // the common case: the bytes go on as they are
        while (fr_item_next(&r, &item)) {
            item_final(s, id, &item);
        }
        sched_items_part(s, id, d->items, d->size, plain);
        keep_items(s, id, d->items, d->size);
        return;
    }
    fr_buf kept;
    fr_buf_init(&kept, SIZE_MAX / 2);
    while (fr_item_next(&r, &item)) {
        item.flags &= (uint8_t)~FR_ITEM_OBJECT;    // a process may say anything
        if (have(m, item.index)) {
            continue;                          // a late or repeated reply
        }
        fr_value *error = NULL;
        if (take_item(s, ra, &item, &error, &kept, &n_kept)) {
            fr_item_put(&kept, &item);
            n_kept++;
            item_final(s, id, &item);
        }
        fr_value_unref(error);
    }
    if (n_kept > 0) {
        sched_items_part(s, id, kept.data, kept.size, n_kept);
        keep_items(s, id, kept.data, kept.size);
    }
    r = fr_reader_of(kept.data, kept.size);    // behind their part: a crash between is harmless
    while (fr_item_next(&r, &item)) {
        if (item.flags & FR_ITEM_FAILED) {
            fr_value *error = fr_value_new(item.value, item.size, NULL, 0);
            sched_map_record_item(s, n, &item, NULL, error);
            fr_value_unref(error);
        }
    }
    fr_buf_fini(&kept);
}

static void take_object(fr_sched *s, run_attempt *ra, const fr_done *d)
{
    node *n = node_at(s, ra->node);
    map_state *m = n->map;
    uint32_t i = d->index;
    if (have(m, i)) {
        s->outbox = NULL;
        return;
    }
    sched_items_object(m, i, d->result);
    fr_item_done item = {.index = i, .attempt = ra->a.attempt, .args = m->hashes[i],
                         .duplicate = m->duplicates != NULL ? m->duplicates[i] : 0,
                         .start_us = (uint64_t)FR_MAX(d->started - n->queued, 0) / 1000,
                         .duration_us = (uint64_t)FR_MAX(d->ended - d->started, 0) / 1000};
    sched_map_record_item(s, n, &item, d->result, NULL);
    sched_items_object_ended(s, ra->node, &item);
    sched_cache_keep_item(s, ra->node, &item, s->seq, NULL);
    item_final(s, ra->node, &item);
}

// An item that came by itself, as a value: its worker died, or never had a body to run.
static void take_value(fr_sched *s, run_attempt *ra, const fr_done *d)
{
    const node *n = node_at(s, ra->node);
    const map_state *m = n->map;
    bool failed = d->code != FR_OK;
    bool stopped = d->code == FR_ECANCELLED || d->code == FR_ETIMEOUT;
    fr_value *made = failed && d->error == NULL
                         ? sched_error(fr_err_name(d->code), "%s", fr_err_text(d->code))
                         : NULL;
    const fr_value *v = made != NULL ? made : failed ? d->error : d->result;
    fr_item_done item = {.index = d->index, .attempt = ra->a.attempt, .args = m->hashes[d->index],
                         .duplicate = m->duplicates != NULL ? m->duplicates[d->index] : 0,
                         .flags = (uint8_t)((failed ? FR_ITEM_FAILED : 0) |
                                            (stopped ? FR_ITEM_CANCELLED : 0)),
                         .start_us = (uint64_t)FR_MAX(d->started - n->queued, 0) / 1000,
                         .duration_us = (uint64_t)FR_MAX(d->ended - d->started, 0) / 1000,
                         .log_offset = d->log_from, .value = v->bytes, .size = v->size};
    fr_buf b;
    fr_buf_init(&b, SIZE_MAX / 2);
    fr_item_put(&b, &item);
    fr_done one = {.items = b.data, .size = b.size, .n_items = 1};
    take_items(s, ra, &one);
    fr_buf_fini(&b);
    fr_value_unref(made);
}

void sched_map_done(fr_sched *s, run_attempt *ra, const fr_done *d)
{
    uint32_t id = ra->node;
    node *n = node_at(s, id);
    map_state *m = n->map;
    if (n->state == FR_QUEUED && (d->n_items > 0 || d->result != NULL)) {
        sched_move(s, n, FR_RUNNING, FR_BECAUSE_FIRST);
        n->started = d->started != 0 ? d->started : s->wall;
    }
    if (d->result != NULL && (d->result->objects > 0 || s->outbox != NULL)) {
        take_object(s, ra, d);
    } else if (d->size > 0) {
        take_items(s, ra, d);
    } else if (d->n_items == 1) {
        take_value(s, ra, d);
    }
    sched_event(s, FR_MOMENT_ITEMS, id);
    if (!d->last) {
        return;
    }
    m->out--;
    sched_attempt_free(s, ra);
    if (m->windowed && !sched_stopping(s, n) && !s->draining) {
        fill_window(s, id);
    }
    // The last item may be known before the worker has let go of the attempt it came in.
    if (m->out == 0 && (m->done == m->n || sched_stopping(s, n))) {
        end_map(s, id);
    }
}

void sched_map_unstarted(fr_sched *s, run_attempt *ra, const fr_value *error)
{
    const map_state *m = node_at(s, ra->node)->map;
    uint32_t i = ra->item;
    fr_item_done item = {.index = i, .flags = FR_ITEM_FAILED, .attempt = ra->a.attempt,
                         .args = m->hashes[i],
                         .duplicate = m->duplicates != NULL ? m->duplicates[i] : 0,
                         .value = error->bytes, .size = error->size};
    fr_buf b;
    fr_buf_init(&b, SIZE_MAX / 2);
    fr_item_put(&b, &item);
    fr_done d = {.items = b.data, .size = b.size, .n_items = 1, .last = true};
    sched_map_done(s, ra, &d);
    fr_buf_fini(&b);
}

void sched_map_stop(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    if (n->map->out == 0) {                    // only delays were pending
        end_map(s, id);
        return;
    }
    if (n->state == FR_RUNNING) {
        sched_move(s, n, FR_CANCELLING, FR_BECAUSE_USER);
    }
    for (uint32_t i = 0; i < s->n_slots; i++) {
        run_attempt *ra = s->slots[i];
        if (ra != NULL && ra->node == id) {
            sched_cancel_attempt(s, ra, sched_stop_code(s, n));
        }
    }
}
