#include "core/engine/item.h"

enum { VARINT_MAX = 10, HEAD_MAX = 7 * VARINT_MAX + 1 + 16 };

static uint8_t *varint(uint8_t *p, uint64_t v)
{
    while (v >= 128) {
        *p++ = (uint8_t)(v | 128);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

void fr_item_put(fr_buf *b, const fr_item_done *item)
{
    uint8_t head[HEAD_MAX];
    uint8_t *p = varint(head, item->index);
    *p++ = item->flags;
    p = varint(p, item->attempt);
    p = varint(p, item->start_us);
    p = varint(p, item->duration_us);
    fr_hash_store(item->args, p);
    p += 16;
    p = varint(p, item->duplicate);
    p = varint(p, item->log_offset);
    p = varint(p, item->size);
    fr_buf_put(b, head, (size_t)(p - head));
    if (item->size > 0) {
        fr_buf_put(b, item->value, item->size);
    }
}

// A varint that must fit 32 bits.
static uint32_t read_u32(fr_reader *r)
{
    uint64_t v = fr_read_varint(r);
    if (v > UINT32_MAX) {
        r->failed = true;
    }
    return (uint32_t)v;
}

bool fr_item_next(fr_reader *r, fr_item_done *out)
{
    if (r->failed || r->at == r->end) {
        return false;
    }
    fr_item_done item = {0};
    item.index = read_u32(r);
    item.flags = fr_read_u8(r);
    item.attempt = read_u32(r);
    item.start_us = fr_read_varint(r);
    item.duration_us = fr_read_varint(r);
    const uint8_t *args = fr_read_bytes(r, 16);
    if (args != NULL) {
        item.args = fr_hash_load(args);
    }
    item.duplicate = read_u32(r);
    item.log_offset = fr_read_varint(r);
    uint64_t size = fr_read_varint(r);
    if (r->failed || size > (uint64_t)(r->end - r->at)) {
        r->failed = true;
        return false;
    }
    item.size = (size_t)size;
    item.value = fr_read_bytes(r, item.size);
    *out = item;
    return true;
}

fr_hash fr_item_key(fr_hash map, fr_hash args, uint32_t duplicate)
{
    return fr_hash_mix(fr_hash_pair(map, args), duplicate);
}
