#include "core/data/object.h"

fr_object *fr_object_ref(const fr_object *o)
{
    fr_object *mine = (fr_object *)(uintptr_t)o; // const means shared, not unowned
    (void)atomic_fetch_add_explicit(&mine->refs, 1, memory_order_relaxed);
    return mine;
}

void fr_object_unref(const fr_object *o)
{
    if (o == NULL) {
        return;
    }
    fr_object *mine = (fr_object *)(uintptr_t)o;
    if (atomic_fetch_sub_explicit(&mine->refs, 1, memory_order_acq_rel) == 1) {
        mine->ops->destroy(mine);
    }
}

fr_object *fr_object_compact(const fr_object *o)
{
    return o->ops->compact != NULL ? o->ops->compact(o) : fr_object_ref(o);
}

const fr_object_ops *fr_object_kind(fr_object_kinds kinds, uint8_t kind)
{
    for (; kinds != NULL && *kinds != NULL; kinds++) {
        if ((*kinds)->kind == kind) {
            return *kinds;
        }
    }
    return NULL;
}
