// labels: threads
#include "core/engine/item.h"
#include "tests/unit/store_util.h"

#include <poll.h>

static fr_err err;

static void records_come_back_in_log_order(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    uint64_t id = fr_store_run_id(r);
    CHECK_INT(id, 1);
    for (uint64_t seq = 1; seq <= 9000; seq++) {
        append_task(r, seq);
        if (seq % 100 == 0) {
            fr_store_flush(s);
        }
    }
    fr_store_run_close(r);
    CHECK_INT(atomic_load(&h.durable), 9000);
    counted c = {0};
    CHECK_INT(fr_store_records(s, id, count_tasks, &c, &err), FR_OK);
    CHECK_STR(err.text, "");
    CHECK_INT(c.n, 9000);
    CHECK_INT(c.wrong, 0);
    CHECK_INT(fr_store_backlog(s), 0);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);

    s = home_open(&h);                         // another process, later
    CHECK_INT(fr_store_run_resume(s, id, &r, &err), FR_OK);
    CHECK_INT(fr_store_durable(r), 9000);
    append_task(r, 9001);
    fr_store_run_close(r);
    c = (counted){0};
    CHECK_INT(fr_store_records(s, id, count_tasks, &c, &err), FR_OK);
    CHECK_INT(c.n, 9001);
    CHECK_INT(c.wrong, 0);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    CHECK_INT(atomic_load(&h.troubles), 0);
    home_fini(&h);
}

// --- every field of every kind of record ---

enum { SAMPLES = 9 };

static fr_value *sample_result, *sample_error;
static const fr_hash sample_outputs[2] = {{11, 12}, {13, 14}};

static fr_record sample(int i)
{
    static const fr_record list[SAMPLES] = {
        {.type = FR_REC_TASK, .kind = FR_CALL_TASK, .row = 5, .name = "m:split", .attempt = 3,
         .label = "0.12/split#2", .state = FR_FAILED, .reason = FR_BECAUSE_TIMEOUT,
         .queued = 1, .started = 2, .ended = 9, .log_from = 100, .log_to = 250,
         .parent = 4},
        {.type = FR_REC_TASK, .kind = FR_CALL_MAP, .row = 6, .name = "m:fan", .label = "my key",
         .state = FR_SUCCESS, .reason = FR_BECAUSE_RAN, .queued = INT64_C(1800000000000000001),
         .ended = INT64_C(1800000000000000003), .items = 12, .failed_items = 1},
        {.type = FR_REC_RETRY, .kind = FR_CALL_TASK, .row = 7, .name = "m:split", .attempt = 1,
         .state = FR_FAILED, .reason = FR_BECAUSE_ERROR, .queued = 5, .started = 6, .ended = 7,
         .due = INT64_C(1800000000000000000), .label = "0/split#01"},
        {.type = FR_REC_VALUE, .name = "now", .row = 8},
        {.type = FR_REC_TIMER, .kind = FR_CALL_SLEEP, .name = "", .row = 9, .due = -5, .queued = 3},
        {.type = FR_REC_MAP_PART, .kind = FR_CALL_MAP, .row = 6, .name = "", .items = 3,
         .data = "items", .size = 5},
        {.type = FR_REC_REQUEST, .name = "cancel", .data = "{\"x\":1}", .size = 7},
        {.type = FR_REC_ADDENDUM, .name = "helper", .data = "\0\1\2", .size = 3,
         .label = "0/helper#18446744073709551615"},
        {.type = FR_REC_TASK, .kind = FR_CALL_TASK, .row = UINT32_MAX, .name = "m:split",
         .state = FR_SUCCESS, .label = "/split#0"},
    };
    fr_record rec = list[i];
    rec.seq = (uint64_t)i + 1;
    if (rec.type != FR_REC_MAP_PART) {
        rec.key = fr_hash_mix((fr_hash){5, 6}, rec.seq);
        rec.args = fr_hash_mix((fr_hash){7, 8}, rec.seq);
    }
    if (i == 3 || i == 8) {
        rec.result = sample_result;
    }
    if (i == 0 || i == 2) {
        rec.error = sample_error;
    }
    if (i == 8) {
        rec.outputs = sample_outputs;
        rec.n_outputs = 2;
    }
    return rec;
}

static bool same_text(const char *a, const char *b)
{
    return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static bool same_value(const fr_value *a, const fr_value *b)
{
    return (a == NULL) == (b == NULL) &&
           (a == NULL || (a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0));
}

static int compare_sample(void *ctx, const fr_record *got, fr_err *e)
{
    int *i = ctx;
    (void)e;
    fr_record want = sample((*i)++);
    CHECK_INT(got->type, want.type);
    CHECK_INT(got->kind, want.kind);
    CHECK_INT(got->seq, want.seq);
    CHECK_INT(got->row, want.row);
    CHECK_INT(got->parent, want.parent);
    CHECK(fr_hash_eq(got->key, want.key) && fr_hash_eq(got->args, want.args));
    CHECK_STR(got->name, want.name);
    CHECK(same_text(got->label, want.label));
    CHECK(got->state == want.state && got->reason == want.reason);
    CHECK_INT(got->attempt, want.attempt);
    CHECK(got->queued == want.queued && got->started == want.started && got->ended == want.ended);
    CHECK_INT(got->due, want.due);
    CHECK(same_value(got->result, want.result) && same_value(got->error, want.error));
    CHECK_INT(got->size, want.size);
    CHECK(got->size != want.size || want.size == 0 || memcmp(got->data, want.data, want.size) == 0);
    CHECK(got->items == want.items && got->failed_items == want.failed_items);
    CHECK(got->log_from == want.log_from && got->log_to == want.log_to);
    CHECK_INT(got->n_outputs, want.n_outputs);
    for (uint32_t k = 0; k < got->n_outputs; k++) {
        CHECK(fr_hash_eq(got->outputs[k], want.outputs[k]));
    }
    return FR_OK;
}

static int count_types(void *ctx, const fr_record *rec, fr_err *e)
{
    (void)e;
    ((int *)ctx)[rec->type]++;
    return FR_OK;
}

static int stop_at_two(void *ctx, const fr_record *rec, fr_err *e)
{
    (void)rec;
    return ++*(int *)ctx == 2 ? fr_fail(e, FR_ECANCELLED, "enough") : FR_OK;
}

static void every_field_survives(void)
{
    home h;
    home_init(&h);
    sample_result = fr_value_text("hällo", 6);
    sample_error = fr_value_text("it failed", 9);
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    for (int i = 0; i < SAMPLES; i++) {
        fr_record rec = sample(i);
        fr_store_append(r, &rec);
    }
    fr_store_run_close(r);
    int n = 0;
    CHECK_INT(fr_store_records(s, 1, compare_sample, &n, &err), FR_OK);
    CHECK_INT(n, SAMPLES);

    int types[16] = {0};
    CHECK_INT(fr_store_scan(s, 1, 1u << FR_REC_RETRY | 1u << FR_REC_TASK, 3, count_types, types,
                            &err), FR_OK);
    CHECK_INT(types[FR_REC_TASK], 1);          // only the last one is at 3 or later
    CHECK_INT(types[FR_REC_RETRY], 1);
    CHECK_INT(types[FR_REC_VALUE] + types[FR_REC_TIMER] + types[FR_REC_MAP_PART], 0);
    n = 0;
    CHECK_INT(fr_store_records(s, 1, stop_at_two, &n, &err), FR_ECANCELLED);
    CHECK_INT(n, 2);
    n = 0;
    CHECK_INT(fr_store_records(s, 99, stop_at_two, &n, &err), FR_OK);
    CHECK_INT(n, 0);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    fr_value_unref(sample_result);
    fr_value_unref(sample_error);
    home_fini(&h);
}

// --- START ---

static void append_start(fr_store_run *r, uint32_t row)
{
    fr_record rec = {.type = FR_REC_START, .kind = FR_CALL_TASK, .row = row, .name = "storm:fetch",
                     .state = FR_RUNNING, .attempt = 1, .queued = 5, .started = 6,
                     .key = {row, 1}};
    fr_store_append(r, &rec);
}

static void wait_durable(fr_store *s, fr_store_run *r, uint64_t seq)
{
    fr_store_flush(s);
    while (fr_store_durable(r) < seq) {
        (void)usleep(200);
    }
}

static void starts_are_seen_until_the_task_ends(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    append_start(r, 1);                        // begins and ends in one window
    append_task(r, 1);
    append_start(r, 2);
    append_start(r, 3);
    wait_durable(s, r, 1);
    int types[16] = {0};
    CHECK_INT(fr_store_records(s, 1, count_types, types, &err), FR_OK);
    CHECK_INT(types[FR_REC_TASK], 1);
    CHECK_INT(types[FR_REC_START], 2);
    append_task(r, 2);
    append_start(r, 3);                        // another attempt
    wait_durable(s, r, 2);
    memset(types, 0, sizeof types);
    CHECK_INT(fr_store_records(s, 1, count_types, types, &err), FR_OK);
    CHECK_INT(types[FR_REC_START], 1);
    fr_record retry = {.type = FR_REC_RETRY, .seq = 3, .row = 3, .name = "storm:fetch"};
    fr_store_append(r, &retry);
    append_start(r, 4);
    wait_durable(s, r, 3);
    memset(types, 0, sizeof types);
    CHECK_INT(fr_store_records(s, 1, count_types, types, &err), FR_OK);
    CHECK_INT(types[FR_REC_START], 1);         // row 4 alone
    fr_store_run_close(r);
    CHECK_INT(fr_store_run_resume(s, 1, &r, &err), FR_OK);
    memset(types, 0, sizeof types);
    CHECK_INT(fr_store_records(s, 1, count_types, types, &err), FR_OK);
    CHECK_INT(types[FR_REC_START], 0);         // of a dead attempt
    fr_store_run_close(r);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

// --- runs ---

typedef struct seen {
    int n;
    uint64_t ids[8];
    fr_run_info last;
    char flow[32];
    int64_t params;
    bool result, error;
} seen;

static int see_run(void *ctx, const fr_run_info *info, fr_err *e)
{
    seen *x = ctx;
    (void)e;
    x->ids[x->n++ % 8] = info->id;
    x->last = *info;
    (void)snprintf(x->flow, sizeof x->flow, "%s", info->flow);
    x->result = info->result != NULL;
    x->error = info->error != NULL;
    if (info->params != NULL) {
        fr_reader r = fr_reader_of(info->params->bytes, info->params->size);
        fr_item item;
        CHECK(fr_value_next(&r, &item));
        x->params = item.integer;
    }
    return FR_OK;
}

static void runs_are_numbered_listed_and_updated(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_value *params = fr_value_int(77), *result = fr_value_text("done", 4);
    fr_run_info info = {.flow = "storm", .file = "/x.lua", .bundle = {1, 2}, .params = params,
                        .seed = UINT64_MAX, .started = 5, .options = "{\"tags\":[]}"};
    fr_store_run *a, *b;
    CHECK_INT(fr_store_run_begin(s, &info, &a, &err), FR_OK);
    CHECK_INT(fr_store_run_begin(s, &info, &b, &err), FR_OK);
    CHECK_INT(fr_store_run_id(b), 2);
    append_task(b, 1);
    fr_run_info end = {.state = FR_SUCCESS, .reason = FR_BECAUSE_RAN, .ended = 99,
                       .result = result};
    fr_store_run_update(b, &end);
    fr_store_run_close(b);
    seen x = {0};
    CHECK_INT(fr_store_runs(s, 0, 10, see_run, &x, &err), FR_OK);
    CHECK_INT(x.n, 2);
    CHECK(x.ids[0] == 2 && x.ids[1] == 1);     // newest first
    CHECK_INT(x.last.state, FR_RUNNING);
    CHECK_STR(x.flow, "storm");
    CHECK(x.last.seed == UINT64_MAX && x.params == 77 && !x.result);
    CHECK(fr_hash_eq(x.last.bundle, info.bundle));
    x = (seen){0};
    CHECK_INT(fr_store_runs(s, 2, 10, see_run, &x, &err), FR_OK);
    CHECK_INT(x.n, 1);
    CHECK(x.last.state == FR_SUCCESS && x.last.ended == 99 && x.last.started == 5);
    CHECK(x.result && !x.error && x.last.attempt == 1);
    CHECK(fr_store_run_alive(s, 1, NULL) && !fr_store_run_alive(s, 2, NULL));
    CHECK_INT(fr_store_run_resume(s, 2, &b, &err), FR_OK);
    x = (seen){0};
    CHECK_INT(fr_store_runs(s, 2, 10, see_run, &x, &err), FR_OK);
    CHECK(x.last.state == FR_RUNNING && x.last.attempt == 2 && x.last.ended == 0 && !x.result);
    fr_store_run_close(a);
    fr_store_run_close(b);
    fr_store_stats stats;
    CHECK_INT(fr_store_stat(s, &stats, &err), FR_OK);
    CHECK(stats.runs == 2 && stats.tasks == 1 && stats.database_bytes >= 4096);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    fr_value_unref(params);
    fr_value_unref(result);
    home_fini(&h);
}

static void a_run_has_one_owner(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h), *other = home_open(&h);
    fr_store_run *r = home_begin(s), *second;
    int pid = 0;
    CHECK(fr_store_run_alive(other, 1, &pid));
    CHECK_INT(pid, getpid());
    CHECK_INT(fr_store_run_resume(other, 1, &second, &err), FR_EBUSY);
    char text[32];
    (void)snprintf(text, sizeof text, "process %d", (int)getpid());
    CHECK(strstr(err.text, text) != NULL && second == NULL);
    fr_store_run_close(r);
    CHECK(!fr_store_run_alive(other, 1, &pid));
    CHECK_INT(fr_store_run_resume(other, 1, &second, &err), FR_OK);
    fr_store_run_close(second);
    CHECK_INT(fr_store_run_resume(other, 7, &second, &err), FR_ENOTFOUND);
    CHECK(strstr(err.text, "no run 7") != NULL);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    CHECK_INT(fr_store_close(other, NULL), FR_OK);
    home_fini(&h);
}

// --- bundles and requests ---

static void bundles_are_kept_by_their_hash(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_hash key = {UINT64_MAX - 3, 9}, near = {UINT64_MAX - 3, 8};
    CHECK_INT(fr_store_blob_put(s, key, "return 1", 8, &err), FR_OK);
    CHECK_INT(fr_store_blob_put(s, key, "return 1", 8, &err), FR_OK);
    fr_store_run_close(home_begin(s));         // in the same commit
    fr_buf b;
    fr_buf_init(&b, 1000);
    CHECK_INT(fr_store_blob_get(s, key, &b, &err), FR_OK);
    CHECK(b.size == 8 && memcmp(b.data, "return 1", 8) == 0);
    CHECK_INT(fr_store_blob_get(s, near, &b, &err), FR_ENOTFOUND);
    fr_buf_fini(&b);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

typedef struct taken {
    int n;
    uint64_t id;
    char kind[32], json[64];
} taken;

static void take_request(void *ctx, uint64_t id, const char *kind, const char *json)
{
    taken *t = ctx;
    t->n++;
    t->id = id;
    (void)snprintf(t->kind, sizeof t->kind, "%s", kind);
    (void)snprintf(t->json, sizeof t->json, "%s", json);
}

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void requests_wake_the_run_and_are_taken_once(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h), *other = home_open(&h);
    fr_store_run *r = home_begin(s);
    taken t = {0};
    CHECK(!readable(fr_store_run_wakeup_fd(r)));
    CHECK_INT(fr_store_request_put(other, 1, "cancel", "{\"why\":\"x\"}", &err), FR_OK);
    CHECK(readable(fr_store_run_wakeup_fd(r)));
    CHECK_INT(fr_store_requests(r, take_request, &t, &err), FR_OK);
    CHECK(t.n == 1 && strcmp(t.kind, "cancel") == 0 && strcmp(t.json, "{\"why\":\"x\"}") == 0);
    CHECK(!readable(fr_store_run_wakeup_fd(r)));
    CHECK_INT(fr_store_requests(r, take_request, &t, &err), FR_OK);
    CHECK_INT(t.n, 1);                         // this process has it
    fr_store_run_close(r);
    CHECK_INT(fr_store_request_put(other, 1, "signal", NULL, &err), FR_OK);   // nobody there
    CHECK_INT(fr_store_request_put(other, 5, "signal", NULL, &err), FR_ENOTFOUND);
    CHECK_INT(fr_store_run_resume(s, 1, &r, &err), FR_OK);
    t = (taken){0};
    CHECK_INT(fr_store_requests(r, take_request, &t, &err), FR_OK);
    CHECK_INT(t.n, 2);                         // the first was never recorded as taken
    for (uint32_t id = 1; id <= 2; id++) {
        fr_record rec = {.type = FR_REC_REQUEST, .seq = id, .row = id, .name = "cancel"};
        fr_store_append(r, &rec);
    }
    fr_store_run_close(r);
    CHECK_INT(fr_store_run_resume(s, 1, &r, &err), FR_OK);
    t = (taken){0};
    CHECK_INT(fr_store_requests(r, take_request, &t, &err), FR_OK);
    CHECK_INT(t.n, 0);
    CHECK_INT(fr_store_request_put(s, 1, "cancel", NULL, &err), FR_OK);
    CHECK_INT(fr_store_requests(r, take_request, &t, &err), FR_OK);
    fr_run_info end = {.state = FR_STOPPED, .reason = FR_BECAUSE_CANCELLED, .ended = 5};
    fr_store_run_update(r, &end);              // it was heard
    fr_store_run_close(r);
    CHECK_INT(fr_store_run_resume(s, 1, &r, &err), FR_OK);
    CHECK_INT(fr_store_requests(r, take_request, &t, &err), FR_OK);
    CHECK_INT(t.n, 1);
    fr_store_run_close(r);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    CHECK_INT(fr_store_close(other, NULL), FR_OK);
    home_fini(&h);
}

// --- opening ---

static void looking_needs_a_store_and_changes_nothing(void)
{
    home h;
    home_init(&h);
    fr_store *s;
    fr_store_env env = home_env(&h);
    env.read_only = true;
    CHECK_INT(fr_store_open(&env, &s, &err), FR_ENOTFOUND);
    CHECK_INT(fr_store_close(home_open(&h), NULL), FR_OK);
    CHECK_INT(fr_store_open(&env, &s, &err), FR_OK);
    fr_run_info info = {.flow = "x"};
    fr_store_run *r;
    CHECK_INT(fr_store_run_begin(s, &info, &r, &err), FR_ESTATE);
    CHECK_INT(fr_store_run_resume(s, 1, &r, &err), FR_ESTATE);
    CHECK_INT(fr_store_request_put(s, 1, "x", NULL, &err), FR_ESTATE);
    fr_store_gc_result gc;
    CHECK_INT(fr_store_gc(s, 0, &gc, &err), FR_OK);   // nothing to remove
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

static void pausing_stops_commits(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    fr_store_pause(s, true);
    append_task(r, 1);
    fr_store_flush(s);
    fr_store *other = home_open(&h);           // the lock is free
    fr_store_run_close(home_begin(other));
    CHECK_INT(fr_store_close(other, NULL), FR_OK);
    CHECK_INT(fr_store_durable(r), 0);
    fr_store_pause(s, false);
    fr_store_run_close(r);
    CHECK_INT(atomic_load(&h.durable), 1);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

int main(void)
{
    CASE(records_come_back_in_log_order);
    CASE(every_field_survives);
    CASE(starts_are_seen_until_the_task_ends);
    CASE(runs_are_numbered_listed_and_updated);
    CASE(a_run_has_one_owner);
    CASE(bundles_are_kept_by_their_hash);
    CASE(requests_wake_the_run_and_are_taken_once);
    CASE(looking_needs_a_store_and_changes_nothing);
    CASE(pausing_stops_commits);
    return check_end();
}
