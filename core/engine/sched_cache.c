// Results used again: what identifies a call, the question to the store before its first
// attempt, equal calls of one run that wait for the first of them, and what is kept.
#include "core/engine/sched_int.h"

struct cache_state {
    fr_hash key;                      // without the content of files
    fr_hash asked;                    // what the user's key function said; zero = none
    fr_hash full;                     // with it: by which others find the result
    fr_value *parts;
    uint32_t followers, next;         // equal calls that wait for this one; FR_NO_NODE ends
    bool leads;
    fr_cache_verdict verdict;
    uint64_t run, origin;             // where the result came from
    int64_t at;
};

void sched_cache_free(cache_state *c)
{
    if (c != NULL) {
        fr_value_unref(c->parts);
        fr_free(c);
    }
}

// --- what identifies a call ---

typedef struct rules {
    fr_cache_scope scope;
    const fr_cache_opts *opts;        // NULL: of a task without the option, in `flowrun watch`
} rules;

static bool rules_of(const fr_sched *s, const node *n, rules *out)
{
    bool all = !fr_hash_is_zero(s->env.cache_session);
    bool kind = n->kind == FR_CALL_TASK || n->kind == FR_CALL_MAP;
    if (!kind || n->opts == NULL || s->env.cache == FR_CACHE_OFF ||
        fr_hash_is_zero(n->opts->source)) {
        return false;
    }
    out->opts = n->opts->cache;
    out->scope = out->opts != NULL ? out->opts->scope : FR_CACHE_SESSION;
    return out->opts != NULL || all;
}

static fr_hash scope_hash(const fr_sched *s, fr_cache_scope scope)
{
    fr_hash kind = {.lo = (uint64_t)scope, .hi = 1};
    switch (scope) {
    case FR_CACHE_RUN:
        return fr_hash_mix(kind, s->env.code->run);
    case FR_CACHE_FLOW:
        return fr_hash_pair(kind, fr_hash_str(s->env.code->name != NULL ? s->env.code->name : ""));
    case FR_CACHE_SESSION:
        return fr_hash_pair(kind, s->env.cache_session);
    case FR_CACHE_GLOBAL:
        break;
    }
    return kind;
}

static fr_hash seed_of(const fr_sched *s, const node *n, const rules *r)
{
    fr_hash h = fr_hash_pair(s->tasks[n->task].hash, n->opts->source);
    h = fr_hash_pair(h, scope_hash(s, r->scope));
    return r->opts != NULL ? fr_hash_pair(h, r->opts->version) : h;
}

// What each handle of the call stands for, by content. The caller frees the list.
static fr_hash *dep_hashes(fr_sched *s, const node *n)
{
    fr_hash *h = fr_alloc(((size_t)n->n_deps + 1) * sizeof *h);
    for (uint32_t i = 0; i < n->n_deps; i++) {
        fr_value *v = sched_dep_value(s, n->deps[i]);
        h[i] = SEEDED(BUG_CACHE_BLIND) ? (fr_hash){.lo = 1} : v->hash;
        fr_value_unref(v);
    }
    return h;
}

// Adds what the handles in one packed value stand for.
static bool mix_handles(fr_reader *r, const fr_hash *deps, fr_hash *h)
{
    fr_item item;
    if (!fr_value_next(r, &item)) {
        return false;
    }
    if (item.tag == FR_HANDLE) {
        *h = fr_hash_pair(*h, deps[item.n]);
    }
    if (item.tag != FR_TABLE) {
        return true;
    }
    for (size_t i = 0; i < item.n; i++) {
        if (!mix_handles(r, deps, h)) {
            return false;
        }
    }
    for (uint64_t left = 2 * fr_read_varint(r); left > 0; left--) {
        if (!mix_handles(r, deps, h)) {
            return false;
        }
    }
    return true;
}

// The content hash of a part of a packed value whose handles stand for `deps`.
static fr_hash part_hash(const fr_value *whole, size_t from, size_t size, const fr_hash *deps)
{
    fr_hash h;
    if (whole->objects == 0) {
        h = fr_hash_bytes(whole->bytes + from, size);
    } else {
        fr_value *part = sched_slice(whole, from, size);
        h = part->hash;
        fr_value_unref(part);
    }
    if (whole->handles > 0) {
        fr_reader r = fr_reader_of(whole->bytes + from, size);
        (void)mix_handles(&r, deps, &h);
    }
    return h;
}

// --- the parts of a key, for people who ask why it was not found ---

static void put_hash(fr_buf *b, fr_hash h)
{
    uint8_t bytes[16];
    fr_hash_store(h, bytes);
    fr_value_put_string(b, (const char *)bytes, sizeof bytes);
}

static void put_args(fr_buf *b, const node *n, const fr_hash *deps)
{
    fr_reader r;
    fr_item head;
    fr_buf_put_u8(b, FR_TABLE);
    if (n->argv == NULL) {
        fr_buf_put_varint(b, 0);
        fr_buf_put_varint(b, 0);
        return;
    }
    r = fr_reader_of(n->argv->bytes, n->argv->size);
    (void)fr_value_next(&r, &head);
    fr_buf_put_varint(b, head.n);
    for (size_t i = 0; i < head.n; i++) {
        size_t from = (size_t)(r.at - n->argv->bytes);
        (void)fr_value_skip(&r);
        put_hash(b, part_hash(n->argv, from, (size_t)(r.at - n->argv->bytes) - from, deps));
    }
    fr_buf_put_varint(b, 0);
}

// {args = {hash, …}, code = hash, files = {hash, …}, key = hash, scope = number, version = hash};
// key: what the user's function said in place of the arguments.
static fr_value *parts_of(const node *n, const rules *r, const fr_hash *deps, const fr_hash *files)
{
    fr_hash key = n->cache != NULL ? n->cache->asked : (fr_hash){0};
    bool asked = !fr_hash_is_zero(key);
    fr_buf b;
    fr_buf_init(&b, FR_VALUE_MAX);
    bool version = r->opts != NULL && !fr_hash_is_zero(r->opts->version);
    uint32_t n_files = r->opts != NULL && files != NULL ? r->opts->n_files : 0;
    fr_buf_put_u8(&b, FR_TABLE);
    fr_buf_put_varint(&b, 0);
    fr_buf_put_varint(&b, 3 + (uint64_t)version + (n_files > 0) + asked);
    fr_value_put_string(&b, "args", 4);
    if (asked) {
        fr_buf_put_u8(&b, FR_TABLE);
        fr_buf_put_varint(&b, 0);
        fr_buf_put_varint(&b, 0);
    } else {
        put_args(&b, n, deps);
    }
    fr_value_put_string(&b, "code", 4);
    put_hash(&b, n->opts->source);
    if (n_files > 0) {
        fr_value_put_string(&b, "files", 5);
        fr_buf_put_u8(&b, FR_TABLE);
        fr_buf_put_varint(&b, n_files);
        for (uint32_t i = 0; i < n_files; i++) {
            put_hash(&b, files[i]);
        }
        fr_buf_put_varint(&b, 0);
    }
    if (asked) {
        fr_value_put_string(&b, "key", 3);
        put_hash(&b, key);
    }
    fr_value_put_string(&b, "scope", 5);
    fr_value_put_int(&b, (int64_t)r->scope);
    if (version) {
        fr_value_put_string(&b, "version", 7);
        put_hash(&b, r->opts->version);
    }
    fr_value *v = b.failed ? NULL : fr_value_new(b.data, b.size, NULL, 0);
    fr_buf_fini(&b);
    return v;
}

void sched_keep(fr_sched *s, const fr_kept *k)
{
    if (s->io.keep != NULL && s->divergence == NULL) {
        s->io.keep(s->io.ctx, k);
    }
}

// --- one call ---

static void ask_store(fr_sched *s, uint32_t id, const rules *r, const fr_hash *keys, uint32_t n)
{
    const fr_cache_opts *o = r->opts;
    fr_lookup l = {.node = id, .task = s->tasks[node_at(s, id)->task].name, .keys = keys, .n = n,
                   .files = o != NULL ? o->files : NULL, .n_files = o != NULL ? o->n_files : 0,
                   .oldest = o != NULL && o->expires_ns > 0 ? s->wall - o->expires_ns : 0};
    s->io.lookup(s->io.ctx, &l);
}

static bool refreshes(const fr_sched *s, const rules *r)
{
    return s->env.cache == FR_CACHE_REFRESH || (r->opts != NULL && r->opts->refresh);
}

static void take_result(fr_sched *s, uint32_t id, fr_value *result, fr_cache_verdict verdict,
                        uint64_t run, uint64_t origin, int64_t at)
{
    cache_state *c = node_at(s, id)->cache;
    c->verdict = verdict;
    c->run = run;
    c->origin = origin;
    c->at = at;
    sched_finish(s, id, FR_SUCCESS, FR_BECAUSE_CACHED, result, NULL);
}

// An equal call of this run has ended well, or is under way. true: this one need not run.
static bool same_call(fr_sched *s, uint32_t id, const rules *r)
{
    cache_state *c = node_at(s, id)->cache;
    bool fresh;
    uint64_t *at = fr_map_put(&s->same_calls, c->key, &fresh);
    if (fresh) {
        *at = id;
        c->leads = true;
        return false;
    }
    const node *first = node_at(s, (uint32_t)*at);
    cache_state *lead = first->cache;
    if (!node_final(first)) {
        c->next = lead->followers;
        lead->followers = id;
        return true;
    }
    const fr_cache_opts *o = r->opts;
    bool expired = o != NULL && o->expires_ns > 0 && lead->at + o->expires_ns < s->wall;
    bool files = o != NULL && o->n_files > 0;  // they may have changed since
    bool good = first->state == FR_SUCCESS && first->reason != FR_BECAUSE_DEGRADED;
    if (!good || expired || files) {
        *at = id;
        c->leads = true;
        return false;
    }
    take_result(s, id, fr_value_ref(first->result), FR_CACHE_SAME, s->env.code->run, first->seq,
                lead->at);
    return true;
}

// Makes the key. true: the call waits for the store or for an equal one, or has ended.
static bool open_call(fr_sched *s, uint32_t id, const rules *rules_in, fr_hash asked)
{
    node *n = node_at(s, id);
    rules r = *rules_in;
    fr_hash *deps = dep_hashes(s, n);
    fr_hash inputs = {.lo = n->n_args, .hi = 1};
    if (n->argv != NULL) {
        inputs = fr_hash_pair(inputs, fr_value_hash_with(n->argv, deps));
    }
    if (!fr_hash_is_zero(asked)) {
        inputs = fr_hash_mix(asked, 2);
    }
    cache_state *c = n->cache = fr_zalloc(sizeof *c);
    c->asked = asked;
    c->key = c->full = fr_hash_pair(seed_of(s, n, &r), inputs);
    c->followers = c->next = FR_NO_NODE;
    c->parts = parts_of(n, &r, deps, NULL);
    fr_free(deps);
    if (refreshes(s, &r)) {
        c->verdict = FR_CACHE_REFRESHED;
    }
    if (same_call(s, id, &r)) {
        return true;
    }
    bool files = r.opts != NULL && r.opts->n_files > 0;
    bool ask = s->io.lookup != NULL && (files || (n->attempt == 0 && c->verdict == FR_CACHE_NONE));
    if (!ask) {
        return false;
    }
    ask_store(s, id, &r, &c->key, 1);
    return true;
}

bool sched_cache_first(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    rules r;
    if (n->cache != NULL || n->kind != FR_CALL_TASK || !rules_of(s, n, &r)) {
        return false;
    }
    if (r.opts == NULL || (n->opts->asks & FR_ASKS(FR_ASK_CACHE_KEY)) == 0) {
        return open_call(s, id, &r, (fr_hash){0});
    }
    sched_move(s, n, FR_QUEUED, FR_BECAUSE_WORKER);
    run_attempt *ra = sched_attempt_new(s, id);
    sched_ask(s, ra, FR_ASK_CACHE_KEY, NULL);
    n->slot = ra->slot;
    sched_send(s, ra);
    return true;
}

// The question is over; the call itself has not begun.
static void back_to_waiting(fr_sched *s, node *n)
{
    uint32_t *from = n->state == FR_QUEUED ? &s->stats.queued : &s->stats.running;
    --*from;
    s->stats.waiting++;
    s->tasks[n->task].stats.running -= n->counted;
    n->counted = n->timed_out = false;
    n->started = n->ended = 0;
    n->state = FR_WAITING;
}

void sched_cache_key(fr_sched *s, uint32_t id, const fr_done *d)
{
    node *n = node_at(s, id);
    rules r;
    char why[600] = "it failed";
    if (d->code != FR_OK) {
        if (d->error != NULL) {
            sched_error_text(d->error, why, sizeof why);
        }
        sched_finish(s, id, FR_FAILED, FR_BECAUSE_ERROR, NULL,
                     sched_error(fr_err_name(d->code), "option 'cache.key' of %s: %s",
                                 s->tasks[n->task].name, why));
        return;
    }
    if (sched_stopping(s, node_at(s, id))) {
        sched_finish(s, id, FR_STOPPED, FR_BECAUSE_CANCELLED, NULL,
                     sched_error("cancelled", "the run was cancelled"));
        return;
    }
    back_to_waiting(s, n);
    fr_value *answer = d->result != NULL ? fr_value_ref(d->result) : fr_value_nil();
    fr_hash asked = fr_hash_mix(answer->hash, 1);
    fr_value_unref(answer);
    (void)rules_of(s, n, &r);
    if (!open_call(s, id, &r, asked)) {
        sched_dispatch(s, id);
    }
}

// Completes a key by the content of the files.
static fr_hash with_files(fr_hash key, const fr_hash *files, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        key = fr_hash_pair(key, files[i]);
    }
    return key;
}

static void found_one(fr_sched *s, uint32_t id, fr_found *f, const fr_hash *files)
{
    node *n = node_at(s, id);
    cache_state *c = n->cache;
    rules r;
    (void)rules_of(s, n, &r);
    if (files != NULL) {
        c->full = with_files(c->key, files, r.opts->n_files);
        fr_hash *deps = dep_hashes(s, n);
        fr_value_unref(c->parts);
        c->parts = parts_of(n, &r, deps, files);
        fr_free(deps);
    }
    bool use = f->result != NULL && c->verdict == FR_CACHE_NONE && n->attempt == 0;
    if (use) {
        take_result(s, id, f->result, FR_CACHE_HIT, f->run, f->seq, f->at);
        return;
    }
    fr_value_unref(f->result);
    if (c->verdict == FR_CACHE_NONE) {
        c->verdict = f->verdict;
    }
    sched_dispatch(s, id);
}

void fr_sched_found(fr_sched *s, uint32_t id, fr_found *found, uint32_t n, const fr_hash *files)
{
    node *d = node_at(s, id);
    if (node_final(d) || (d->looks ? sched_stopped(s, d) : sched_stopping(s, d))) {
        for (uint32_t i = 0; i < n; i++) {
            fr_value_unref(found[i].result);
        }
    } else if (d->looks) {
        sched_good_found(s, id, found);
    } else if (d->kind == FR_CALL_MAP) {
        sched_map_found(s, id, found, files);
    } else {
        found_one(s, id, found, files);
    }
}

// The followers of a call that ended: they have its result, or the next of them tries.
static void pass_on(fr_sched *s, uint32_t id)
{
    const node *n = node_at(s, id);
    cache_state *c = n->cache;
    uint32_t f = c->followers, next;
    bool good = n->state == FR_SUCCESS &&
                (n->reason != FR_BECAUSE_DEGRADED || SEEDED(BUG_CACHE_DEGRADED));
    c->followers = FR_NO_NODE;
    for (; f != FR_NO_NODE; f = next) {
        node *follower = node_at(s, f);
        next = follower->cache->next;
        follower->cache->next = FR_NO_NODE;
        if (node_final(follower)) {
            continue;
        }
        if (good) {
            take_result(s, f, fr_value_ref(n->result), FR_CACHE_SAME, s->env.code->run, n->seq,
                        c->at);
            continue;
        }
        follower->cache->leads = true;
        follower->cache->followers = next;
        *fr_map_put(&s->same_calls, c->key, NULL) = f;
        if (!sched_stopping(s, follower)) {
            follower->cache->verdict = c->verdict;
            follower->cache->full = c->full;
            sched_dispatch(s, f);
        }
        return;
    }
}

void sched_cache_ended(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    cache_state *c = n->cache;
    if (c == NULL) {
        return;
    }
    bool found = n->reason == FR_BECAUSE_CACHED, ran = n->reason == FR_BECAUSE_RAN;
    if (n->state == FR_SUCCESS && (found || ran)) {
        if (ran) {
            c->at = n->ended;
        }
        s->stats.cached += found;
        s->tasks[n->task].stats.cached += found;
        fr_kept k = {.seq = n->seq, .task = s->tasks[n->task].name, .parts = c->parts, .at = c->at,
                     .verdict = c->verdict != FR_CACHE_NONE ? c->verdict : FR_CACHE_MISS,
                     .key = ran ? c->full : (fr_hash){0}, .run = c->run, .origin = c->origin};
        sched_keep(s, &k);
    }
    if (c->leads) {
        pass_on(s, id);
    }
}

// --- the items of a map ---

bool sched_cache_items(fr_sched *s, uint32_t id)
{
    node *n = node_at(s, id);
    map_state *m = n->map;
    rules r;
    if (m->cache_keys != NULL || !rules_of(s, n, &r)) {
        return false;
    }
    fr_hash *deps = dep_hashes(s, n);
    fr_hash same = seed_of(s, n, &r);          // what all items have: the constants
    same = fr_hash_mix(same, n->n_args);
    if (n->argv != NULL) {
        same = fr_hash_pair(same, part_hash(n->argv, 0, n->argv->size, deps));
    }
    m->cache_keys = fr_zalloc(((size_t)m->n + 1) * sizeof *m->cache_keys);
    for (uint32_t i = 0; i < m->n; i++) {
        if (!sched_map_has(m, i)) {
            size_t from = m->offsets[i], size = m->offsets[i + 1] - from;
            fr_hash own = part_hash(m->list, from, size, deps);
            m->cache_keys[i] = SEEDED(BUG_ITEMS_ALIKE) ? same : fr_hash_pair(same, own);
        }
    }
    m->parts_of_key = parts_of(n, &r, deps, NULL);
    fr_free(deps);
    bool files = r.opts != NULL && r.opts->n_files > 0;
    m->cache_verdict = refreshes(s, &r) ? FR_CACHE_REFRESHED : FR_CACHE_NONE;
    if (s->io.lookup == NULL || (m->cache_verdict != FR_CACHE_NONE && !files)) {
        return false;
    }
    ask_store(s, id, &r, m->cache_keys, m->n);
    return true;
}

void sched_cache_files(fr_sched *s, uint32_t id, const fr_hash *files)
{
    node *n = node_at(s, id);
    rules r;
    if (files == NULL || !rules_of(s, n, &r)) {
        return;
    }
    for (uint32_t i = 0; i < n->map->n; i++) {
        n->map->cache_keys[i] = with_files(n->map->cache_keys[i], files, r.opts->n_files);
    }
    fr_hash *deps = dep_hashes(s, n);
    fr_value_unref(n->map->parts_of_key);
    n->map->parts_of_key = parts_of(n, &r, deps, files);
    fr_free(deps);
}

void sched_cache_keep_item(fr_sched *s, uint32_t id, const fr_item_done *item, uint64_t seq,
                           const fr_found *found)
{
    const node *n = node_at(s, id);
    const map_state *m = n->map;
    if (m->cache_keys == NULL || item->flags & (FR_ITEM_FAILED | FR_ITEM_DEGRADED)) {
        return;
    }
    fr_kept k = {.seq = seq, .item = item->index + 1, .task = s->tasks[n->task].name,
                 .parts = m->parts_of_key, .verdict = m->cache_verdict};
    if (found != NULL) {
        k.verdict = FR_CACHE_HIT;
        k.run = found->run;
        k.origin = found->seq;
        k.at = found->at;
        s->stats.cached++;
        s->tasks[n->task].stats.cached++;
    } else {
        k.key = m->cache_keys[item->index];
        k.at = n->queued + (int64_t)(item->start_us + item->duration_us) * 1000;
        k.verdict = k.verdict != FR_CACHE_NONE ? k.verdict : FR_CACHE_MISS;
    }
    sched_keep(s, &k);
}
