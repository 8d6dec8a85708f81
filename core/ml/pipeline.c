#include "core/ml/pipeline.h"

#include "core/base/mem.h"

#include <string.h>

enum { ALIGN = 64 };

static const size_t PAYLOAD_MAX = (size_t)1 << 40;

static size_t aligned(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

static int check_steps(const fr_model *const *step, size_t count, fr_err *err)
{
    if (count == 0 || count > FR_PIPELINE_STEPS) {
        return fr_fail(err, FR_EINVAL, "a pipeline has 1 to %d steps, not %zu",
                       FR_PIPELINE_STEPS, count);
    }
    for (size_t i = 0; i < count; i++) {
        if (step[i]->ops == &fr_pipeline_ops) {
            return fr_fail(err, FR_EUNSUPPORTED, "step %zu is a pipeline: name its steps",
                           i + 1);
        }
        if (i + 1 < count && step[i]->ops->transform == NULL) {
            return fr_fail(err, FR_EINVAL, "step %zu, a %s, does not transform: only the "
                           "last one may predict", i + 1, step[i]->ops->title);
        }
    }
    return FR_OK;
}

int fr_pipeline_new(const fr_model *const *step, size_t count, const char *const *feature,
                    size_t features, fr_model **out, fr_err *err)
{
    *out = NULL;
    int rc = check_steps(step, count, err);
    if (rc != FR_OK) {
        return rc;
    }
    static const uint8_t zero[ALIGN] = {0};
    fr_buf payload;
    fr_buf_init(&payload, PAYLOAD_MAX);
    fr_buf_put_u64(&payload, count);
    for (size_t i = 0; i < count; i++) {
        fr_buf_put_u64(&payload, step[i]->image->size);
    }
    for (size_t i = 0; i < count; i++) {
        fr_buf_put(&payload, zero, aligned(payload.size) - payload.size);
        fr_buf_put(&payload, step[i]->image->data, step[i]->image->size);
    }
    double option[FR_MODEL_OPTIONS] = {0};
    rc = fr_model_make(&fr_pipeline_ops, option, feature, features,
                       step[count - 1]->rows, &payload, out, err);
    fr_buf_fini(&payload);
    return rc;
}

static void pipeline_close(void *state)
{
    fr_pipeline *p = state;
    for (size_t i = 0; i < p->count; i++) {
        fr_model_unref(p->step[i]);
    }
    fr_free(p);
}

static int open_step(fr_pipeline *p, const uint8_t *data, size_t size, fr_err *err)
{
    fr_block *image;
    int rc = fr_block_new(size, &image, err);
    if (rc != FR_OK) {
        return rc;
    }
    memcpy(image->data, data, size);
    rc = fr_model_open(image, "a step of the pipeline", &p->step[p->count], err);
    p->count += rc == FR_OK;
    return rc;
}

static int pipeline_open(const fr_model *m, void **state, fr_err *err)
{
    *state = NULL;
    fr_reader in = fr_reader_of(m->payload, m->payload_size);
    uint64_t count = fr_read_u64(&in), size[FR_PIPELINE_STEPS];
    if (in.failed || count == 0 || count > FR_PIPELINE_STEPS) {
        return fr_fail(err, FR_ECORRUPT, "the pipeline's steps are cut");
    }
    for (size_t i = 0; i < count; i++) {
        size[i] = fr_read_u64(&in);
    }
    fr_pipeline *p = fr_zalloc(sizeof *p);
    size_t at = 8 * (1 + (size_t)count);
    int rc = FR_OK;
    for (size_t i = 0; i < count && rc == FR_OK; i++) {
        at = aligned(at);
        // A nested pipeline would let a file nest without end.
        if (in.failed || at > m->payload_size || size[i] > m->payload_size - at) {
            rc = fr_fail(err, FR_ECORRUPT, "the pipeline's steps are cut");
        } else {
            rc = open_step(p, m->payload + at, (size_t)size[i], err);
            at += (size_t)size[i];
        }
    }
    if (rc == FR_OK) {
        const fr_model *const *step = (const fr_model *const *)p->step;
        rc = at == m->payload_size ? check_steps(step, p->count, err) : FR_ECORRUPT;
        rc = rc == FR_OK ? rc : fr_fail(err, FR_ECORRUPT, "the steps do not fit together");
    }
    if (rc != FR_OK) {
        pipeline_close(p);
        return rc;
    }
    *state = p;
    return FR_OK;
}

const fr_pipeline *fr_pipeline_of(const fr_model *m)
{
    return m->ops == &fr_pipeline_ops ? m->state : NULL;
}

const fr_model_ops fr_pipeline_ops = {
    .name = "pipeline",
    .title = "pipeline",
    .version = 1,
    .alone = true,
    .open = pipeline_open,
    .close = pipeline_close,
};
