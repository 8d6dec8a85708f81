// The finished items of a map in the order in which they ended: found in the log, observed, read.
//
// map_state.parts holds them one behind the other; an item whose result has a record of its own
// stands there as FR_ITEM_OBJECT. That items have ended is an observation of the flow like the
// end of a call (engine.md B2): `shown` says how far it has come. Live it moves when the loop
// hands the part over, in replay when the cursor passes its record.
#include "core/engine/sched_int.h"

#include <string.h>

void sched_items_object(map_state *m, uint32_t i, const fr_value *v)
{
    if (m->objects == NULL && v != NULL) {
        m->objects = fr_zalloc(((size_t)m->n + 1) * sizeof *m->objects);
    }
    if (m->objects != NULL) {
        fr_value_unref(m->objects[i]);
        m->objects[i] = v != NULL ? fr_value_ref(v) : NULL;
    }
}

static uint32_t duplicate_of(const map_state *m, uint32_t i)
{
    return m->duplicates != NULL ? m->duplicates[i] : 0;
}

static void add_mark(part_mark **marks, uint32_t *n, uint32_t *cap, uint64_t seq, size_t end)
{
    if (*n == *cap) {
        *cap = *cap == 0 ? 16 : *cap * 2;
        *marks = fr_realloc(*marks, *cap * sizeof **marks);
    }
    (*marks)[(*n)++] = (part_mark){.seq = seq, .end = end};
}

// --- the log ---

void sched_items_load(fr_sched *s, past *p, const void *data, size_t size, uint64_t seq)
{
    past_items *items = sched_items_of(p);
    fr_buf_put(&items->data, data, size);
    add_mark(&items->marks, &items->n_marks, &items->cap_marks, seq, items->data.size);
    (void)s;
}

bool sched_items_load_object(fr_sched *s, const fr_record *r)
{
    past *map = sched_past_of_row(s, r->parent);
    if (map == NULL || !map->began || r->state != FR_SUCCESS || r->result == NULL ||
        r->items == 0) {
        return false;
    }
    fr_item_done item = {.index = r->items - 1, .flags = FR_ITEM_OBJECT, .attempt = r->attempt,
                         .args = r->key,
                         .start_us = (uint64_t)FR_MAX(r->started - map->queued, 0) / 1000,
                         .duration_us = (uint64_t)FR_MAX(r->ended - r->started, 0) / 1000};
    fr_buf b;
    fr_buf_init(&b, SIZE_MAX / 2);
    fr_item_put(&b, &item);
    sched_items_load(s, map, b.data, b.size, r->seq);
    map->items->objects++;
    fr_buf_fini(&b);
    return true;
}

// --- items that an unfinished map has already ---

typedef struct recall {
    fr_sched *s;
    uint32_t id;
    const past_items *p;
    uint64_t rerun_seq;                // what is before it is of an earlier attempt of the flow
    fr_map places;                     // key -> index, made when items do not stand where they did
    bool indexed;
    uint8_t *newer;                    // bitmap: the latest attempt of the flow has it; or NULL
    fr_buf moved;                      // those that stand elsewhere since a rerun
    uint32_t n_moved;
    uint32_t *objects, n_objects, cap_objects;    // of them with a record of their own
} recall;

static fr_hash key_of(const node *n, const fr_item_done *item)
{
    bool object = (item->flags & FR_ITEM_OBJECT) != 0;
    return object ? item->args : fr_item_key(n->key, item->args, item->duplicate);
}

// Where an item of the log stands now: items are what they are, not where they stood.
static bool place_of(recall *c, const fr_item_done *item, uint32_t *i)
{
    const node *n = node_at(c->s, c->id);
    const map_state *m = n->map;
    fr_hash key = key_of(n, item);
    *i = item->index;
    if (*i < m->n && fr_hash_eq(fr_item_key(n->key, m->hashes[*i], duplicate_of(m, *i)), key)) {
        return true;
    }
    for (uint32_t k = 0; k < m->n && !c->indexed; k++) {
        *fr_map_put(&c->places, fr_item_key(n->key, m->hashes[k], duplicate_of(m, k)), NULL) = k;
    }
    c->indexed = true;
    uint64_t *at = fr_map_find(&c->places, key);
    *i = at != NULL ? (uint32_t)*at : 0;
    return at != NULL;
}

// The result of an item with a record of its own; NULL: a later one has replaced that.
static const fr_value *object_of(const fr_sched *s, const fr_item_done *item, uint64_t seq)
{
    const past *p = sched_past_other(s, item->args);
    return p != NULL && p->seq == seq && p->state == FR_SUCCESS ? p->result : NULL;
}

static bool usable(recall *c, const fr_item_done *item, uint64_t seq, uint32_t *i)
{
    const node *n = node_at(c->s, c->id);
    bool before = seq < c->rerun_seq;
    if ((item->flags & FR_ITEM_FAILED && before) || seq <= c->p->gone ||
        sched_outdated(c->s, n, seq) || !place_of(c, item, i) || sched_map_has(n->map, *i)) {
        return false;
    }
    return (item->flags & FR_ITEM_OBJECT) == 0 || object_of(c->s, item, seq) != NULL;
}

static void take(recall *c, fr_item_done *item, uint64_t seq, uint32_t i)
{
    node *n = node_at(c->s, c->id);
    map_state *m = n->map;
    bool object = (item->flags & FR_ITEM_OBJECT) != 0, moved = item->index != i;
    if (object) {
        sched_items_object(m, i, object_of(c->s, item, seq));
        item->args = m->hashes[i];
        item->duplicate = duplicate_of(m, i);
    }
    item->index = i;
    sched_map_set(m, i);
    m->done++;
    n->degraded |= (item->flags & FR_ITEM_DEGRADED) != 0;
    m->skipped += (item->flags & FR_ITEM_SKIPPED) != 0;
    if (item->flags & FR_ITEM_FAILED) {
        sched_map_failure(m, item);
    }
    if (!moved) {
        fr_item_put(&m->parts, item);
        add_mark(&m->marks, &m->n_marks, &m->cap_marks, seq, m->parts.size);
    } else if (!object) {
        fr_item_put(&c->moved, item);
        c->n_moved++;
    } else {
        if (c->n_objects == c->cap_objects) {
            c->cap_objects = c->cap_objects * 2 + 16;
            c->objects = fr_realloc(c->objects, c->cap_objects * sizeof *c->objects);
        }
        c->objects[c->n_objects++] = i;
    }
}

// newer: only notes what the latest attempt of the flow has, which counts more.
static void go_over(recall *c, bool newer)
{
    fr_reader r = fr_reader_of(c->p->data.data, c->p->data.size);
    fr_item_done item;
    for (uint32_t mark = 0, i; fr_item_next(&r, &item);) {
        mark += (size_t)(r.at - c->p->data.data) > c->p->marks[mark].end;
        uint64_t seq = c->p->marks[mark].seq;
        bool before = seq < c->rerun_seq;
        if ((newer && before) || !usable(c, &item, seq, &i)) {
            continue;
        }
        if (newer) {
            c->newer[i >> 3] |= (uint8_t)(1u << (i & 7));
        } else if (!before || c->newer == NULL || (c->newer[i >> 3] >> (i & 7) & 1) == 0) {
            take(c, &item, seq, i);
        }
    }
}

// A finished map is read by place, so the log says where they stand now.
static void record_moved(recall *c)
{
    fr_sched *s = c->s;
    if (c->n_moved > 0) {
        sched_items_part(s, c->id, c->moved.data, c->moved.size, c->n_moved);
    }
    for (uint32_t k = 0; k < c->n_objects; k++) {
        node *n = node_at(s, c->id);
        uint32_t i = c->objects[k];
        const past *p = sched_past_other(s, fr_item_key(n->key, n->map->hashes[i],
                                                        duplicate_of(n->map, i)));
        fr_item_done item = {.index = i, .attempt = p != NULL ? p->attempt : 1,
                             .args = n->map->hashes[i], .duplicate = duplicate_of(n->map, i)};
        sched_map_record_item(s, n, &item, n->map->objects[i], NULL);
        sched_items_object_ended(s, c->id, &item);
    }
}

void sched_items_recall(fr_sched *s, uint32_t id, const past_items *p, uint64_t rerun_seq)
{
    map_state *m = node_at(s, id)->map;
    recall c = {.s = s, .id = id, .p = p, .rerun_seq = rerun_seq};
    fr_map_init(&c.places);
    fr_buf_init(&c.moved, SIZE_MAX / 2);
    if (rerun_seq > 0) {
        c.newer = fr_zalloc((size_t)m->n / 8 + 1);
        go_over(&c, true);
    }
    go_over(&c, false);
    sched_items_show(s, id, s->cursor);
    record_moved(&c);
    fr_map_fini(&c.places);
    fr_buf_fini(&c.moved);
    fr_free(c.newer);
    fr_free(c.objects);
}

// --- a finished map ---

// It ended before all its items did: which of earlier attempts of the flow it had found follows
// from what they are, as it did then.
static bool adopt_rest(fr_sched *s, uint32_t id, const past_items *p)
{
    const node *n = node_at(s, id);
    bool whole = n->state != FR_STOPPED && n->reason != FR_BECAUSE_DEADLINE;
    if (!whole && p->opened == p->ended) {
        sched_map_reopen(s, id, p);
    }
    return !whole;
}

static void adopt_objects(fr_sched *s, map_state *m)
{
    fr_reader r = fr_reader_of(m->parts.data, m->parts.size);
    fr_item_done item;
    for (uint32_t mark = 0; fr_item_next(&r, &item);) {
        mark += (size_t)(r.at - m->parts.data) > m->marks[mark].end;
        bool object = (item.flags & FR_ITEM_OBJECT) != 0;
        const fr_value *v = object ? object_of(s, &item, m->marks[mark].seq) : NULL;
        if (item.index < m->n && (v != NULL || !object)) {
            sched_items_object(m, item.index, v);      // the latest word counts
        }
    }
}

void sched_items_adopt(fr_sched *s, uint32_t id, past *p)
{
    node *n = node_at(s, id);
    past_items *items = p->items;
    if (adopt_rest(s, id, items)) {
        return;
    }
    map_state *m = fr_zalloc(sizeof *m);
    m->n = m->done = items->n;
    m->failed = items->failed;
    m->parts = items->data;                    // moved, as are the marks
    m->marks = items->marks;
    m->n_marks = items->n_marks;
    m->replaced = true;                        // by a rerun, or by a resume with other arguments
    fr_buf_init(&items->data, SIZE_MAX / 2);
    items->marks = NULL;
    items->n_marks = items->cap_marks = 0;
    n->map = m;
    if (items->objects > 0 && !SEEDED(BUG_ITEM_OBJECTS_LOST)) {
        adopt_objects(s, m);
    }
    sched_items_show(s, id, s->cursor);
    s->stats.items += m->n;
    s->stats.items_done += m->n;
    s->tasks[n->task].stats.items += m->n;
    s->tasks[n->task].stats.items_done += m->n;
}

// --- ends ---

static void note_end(fr_sched *s, uint32_t id)
{
    if (s->divergence != NULL) {
        return;                                // it is on no record
    }
    if (s->first_end == s->n_ends) {
        s->first_end = s->n_ends = 0;
    } else if (s->first_end > 1024 && s->first_end > s->n_ends / 2) {
        s->n_ends -= s->first_end;
        memmove(s->ends, s->ends + s->first_end, s->n_ends * sizeof *s->ends);
        s->first_end = 0;
    }
    add_mark(&s->ends, &s->n_ends, &s->cap_ends, s->seq, node_at(s, id)->map->parts.size);
    queue32_push(&s->seen_queue, id | PART_MARK);
}

void sched_items_part(fr_sched *s, uint32_t id, const void *data, size_t size, uint32_t n)
{
    fr_buf_put(&node_at(s, id)->map->parts, data, size);
    fr_record r;
    sched_record_of(s, node_at(s, id), &r);
    r.type = FR_REC_MAP_PART;
    r.data = data;
    r.size = size;
    r.items = n;
    sched_record(s, &r);
    note_end(s, id);
}

void sched_items_object_ended(fr_sched *s, uint32_t id, const fr_item_done *item)
{
    fr_item_done entry = *item;
    entry.flags |= FR_ITEM_OBJECT;
    entry.value = NULL;
    entry.size = 0;
    fr_item_put(&node_at(s, id)->map->parts, &entry);
    note_end(s, id);
}

// --- observations ---

bool sched_items_wake(fr_sched *s, uint32_t id, uint64_t seq)
{
    uint32_t e = node_at(s, id)->watchers, b, serial;
    bool any = false;
    node_at(s, id)->watchers = 0;
    while (e != 0) {
        e = sched_take_edge(s, e, &b, &serial);
        branch *br = &s->branches[b];
        if (br->blocked && br->serial == serial) {
            br->newest = FR_MAX(br->newest, seq);
            sched_make_ready(s, b);
            any = true;
        }
    }
    return any;
}

uint64_t sched_items_next_seq(const fr_sched *s)
{
    return s->ends[s->first_end].seq;
}

void sched_items_seen(fr_sched *s, uint32_t id)
{
    part_mark end = s->ends[s->first_end++];
    map_state *m = node_at(s, id)->map;
    m->shown = end.end;
    m->shown_seq = end.seq;
    (void)sched_items_wake(s, id, end.seq);
}

void sched_items_show(fr_sched *s, uint32_t id, uint64_t cursor)
{
    map_state *m = node_at(s, id)->map;
    (void)s;
    cursor = SEEDED(BUG_ITEMS_AT_ONCE) ? UINT64_MAX : cursor;
    while (m->next_mark < m->n_marks && m->marks[m->next_mark].seq <= cursor) {
        m->shown = m->marks[m->next_mark].end;
        m->shown_seq = m->marks[m->next_mark].seq;
        m->next_mark++;
    }
}

bool sched_items_pass(fr_sched *s, const past *p)
{
    if (p->node == FR_NO_NODE || node_at(s, p->node)->map == NULL) {
        return false;                          // its place is found when it starts
    }
    sched_items_show(s, p->node, s->cursor);
    return sched_items_wake(s, p->node, s->cursor);
}

static bool latest(map_state *m, uint32_t index, uint64_t end)
{
    if (m->replaced && m->last == NULL) {
        m->last = fr_zalloc(((size_t)m->n + 1) * sizeof *m->last);
        fr_reader r = fr_reader_of(m->parts.data, m->parts.size);
        for (fr_item_done item; fr_item_next(&r, &item);) {
            m->last[FR_MIN(item.index, m->n)] = (uint64_t)(r.at - m->parts.data);
        }
    }
    return m->last == NULL || m->last[index] == end;
}

bool fr_sched_next_item(fr_sched *s, uint32_t id, uint64_t *at, fr_map_item *out)
{
    map_state *m = node_at(s, id)->map;
    while (m != NULL && *at < m->shown) {
        fr_reader r = fr_reader_of(m->parts.data + *at, m->shown - (size_t)*at);
        fr_item_done item;
        if (!fr_item_next(&r, &item)) {
            *at = m->shown;
            return false;
        }
        *at = (uint64_t)(r.at - m->parts.data);
        if (item.index >= m->n || !latest(m, item.index, *at)) {
            continue;
        }
        bool none = (item.flags & FR_ITEM_SKIPPED) != 0;
        const fr_value *object = m->objects != NULL ? m->objects[item.index] : NULL;
        out->index = item.index;
        out->failed = (item.flags & FR_ITEM_FAILED) != 0;
        out->value = item.flags & FR_ITEM_OBJECT && object != NULL ? fr_value_ref(object)
                     : none || item.size == 0 ? fr_value_nil()
                                              : fr_value_new(item.value, item.size, NULL, 0);
        return true;
    }
    return false;
}

bool fr_sched_items_over(const fr_sched *s, uint32_t id)
{
    const node *n = node_at(s, id);
    bool items = n->reason == FR_BECAUSE_ERROR && n->map != NULL && n->map->failed > 0;
    return n->seen && n->state != FR_STOPPED && (n->state != FR_FAILED || items);
}

// --- the whole ---

fr_value *sched_map_result(fr_sched *s, node *n, fr_err *err)
{
    map_state *m = n->map;
    const uint8_t **at = fr_zalloc(((size_t)m->n + 1) * sizeof *at);
    size_t *size = fr_zalloc(((size_t)m->n + 1) * sizeof *size);
    static const uint8_t nil[1] = {FR_NIL};
    for (uint32_t i = 0; i < m->n; i++) {
        at[i] = nil;
        size[i] = 1;
    }
    fr_reader r = fr_reader_of(m->parts.data, m->parts.size);
    fr_item_done item;
    while (fr_item_next(&r, &item)) {
        if (item.index < m->n) {               // the latest word counts, also when it is none
            bool none = (item.flags & (FR_ITEM_FAILED | FR_ITEM_SKIPPED | FR_ITEM_OBJECT)) != 0;
            at[item.index] = none ? nil : item.value;
            size[item.index] = none ? 1 : item.size;
        }
    }
    (void)s;
    fr_value *v = sched_list(at, size, m->objects, m->n, err);
    fr_free(at);
    fr_free(size);
    return v;
}
