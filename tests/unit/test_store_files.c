// labels: threads
// Large values, objects, their files and their collection; logs.
#include "tests/unit/store_util.h"

#include <dirent.h>
#include <fcntl.h>
#include <utime.h>

static fr_err err;

// --- an object: a number; saving one waits while the gate is shut ---

enum { KIND = 77 };

typedef struct thing {
    fr_object base;
    int64_t number;
} thing;

static atomic_bool shut;
static atomic_int saved, alive;

static void thing_destroy(fr_object *o)
{
    (void)atomic_fetch_sub(&alive, 1);
    free(o);
}

static fr_hash thing_hash(const fr_object *o)
{
    return fr_hash_mix((fr_hash){9, 9}, (uint64_t)((const thing *)o)->number);
}

static size_t thing_size(const fr_object *o)
{
    (void)o;
    return sizeof(thing);
}

static int thing_save(const fr_object *o, const char *path, fr_err *e)
{
    while (atomic_load(&shut)) {
        (void)usleep(200);
    }
    FILE *f = fopen(path, "w");
    if (f == NULL) {
        return fr_fail_errno(e, FR_EIO, "%s", path);
    }
    (void)fprintf(f, "%lld\n", (long long)((const thing *)o)->number);
    (void)fclose(f);
    (void)atomic_fetch_add(&saved, 1);
    return FR_OK;
}

static fr_object *thing_new(int64_t number);

static int thing_load(const char *path, fr_object **out, fr_err *e)
{
    FILE *f = fopen(path, "r");
    char text[32] = "";
    if (f == NULL || fgets(text, sizeof text, f) == NULL) {
        if (f != NULL) {
            (void)fclose(f);
        }
        return fr_fail_errno(e, FR_EIO, "%s", path);
    }
    (void)fclose(f);
    *out = thing_new(strtoll(text, NULL, 10));
    return FR_OK;
}

static const fr_object_ops thing_ops = {.name = "thing", .kind = KIND, .destroy = thing_destroy,
                                        .hash = thing_hash, .size = thing_size,
                                        .save = thing_save, .load = thing_load};
static const fr_object_ops *const kinds[] = {&thing_ops, NULL};

static fr_object *thing_new(int64_t number)
{
    thing *t = calloc(1, sizeof *t);
    if (t == NULL) {
        abort();
    }
    fr_object_init(&t->base, &thing_ops);
    t->number = number;
    (void)atomic_fetch_add(&alive, 1);
    return &t->base;
}

// {thing, thing} of the same object, or a string of n bytes.
static fr_value *value_with_thing(int64_t number)
{
    fr_object *o = thing_new(number);
    fr_buf b;
    fr_buf_init(&b, 1000);
    fr_buf_put_u8(&b, FR_TABLE);
    fr_buf_put_varint(&b, 2);
    for (int i = 0; i < 2; i++) {
        uint8_t hash[16];
        fr_hash_store(thing_hash(o), hash);
        fr_buf_put_u8(&b, FR_REF);
        fr_buf_put_u8(&b, KIND);
        fr_buf_put(&b, hash, 16);
        fr_buf_put_varint(&b, 0);
    }
    fr_buf_put_varint(&b, 0);
    fr_value *v = fr_value_new(b.data, b.size, &o, 1);
    fr_buf_fini(&b);
    fr_object_unref(o);
    return v;
}

static fr_value *large_value(size_t n, char c)
{
    char *text = malloc(n);
    if (text == NULL) {
        abort();
    }
    memset(text, c, n);
    fr_value *v = fr_value_text(text, n);
    free(text);
    return v;
}

static fr_store *open_things(home *h)
{
    fr_store_env env = home_env(h);
    env.kinds = kinds;
    fr_store *s = NULL;
    CHECK_INT(fr_store_open(&env, &s, &err), FR_OK);
    return s;
}

static void append_value(fr_store_run *r, uint64_t seq, const fr_value *v)
{
    fr_record rec = {.type = FR_REC_TASK, .kind = FR_CALL_TASK, .seq = seq, .row = (uint32_t)seq,
                     .name = "m:t", .state = FR_SUCCESS, .result = v, .key = {seq, 1}};
    fr_store_append(r, &rec);
}

typedef struct results {
    int n;
    fr_value *value[8];
} results;

static int keep_results(void *ctx, const fr_record *rec, fr_err *e)
{
    results *x = ctx;
    (void)e;
    x->value[x->n++] = rec->result != NULL ? fr_value_ref(rec->result) : NULL;
    return FR_OK;
}

static void drop_results(results *x)
{
    for (int i = 0; i < x->n; i++) {
        fr_value_unref(x->value[i]);
    }
    *x = (results){0};
}

static void object_path(const home *h, fr_hash hash, const char *kind, char out[256])
{
    char hex[FR_HASH_TEXT];
    fr_hash_text(hash, hex);
    (void)snprintf(out, 256, "%s/objects/%.2s/%s.%s", h->path, hex, hex, kind);
}

// How many files lie under objects/.
static int file_count;

static int count_file(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)path;
    (void)st;
    (void)where;
    file_count += type == FTW_F;
    return 0;
}

static int files_of(const home *h)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/objects", h->path);
    file_count = 0;
    (void)nftw(path, count_file, 16, FTW_PHYS);
    return file_count;
}

static void large_values_and_objects_become_files(void)
{
    home h;
    home_init(&h);
    fr_store *s = open_things(&h);
    fr_store_run *r = home_begin(s);
    fr_value *small = large_value(3000, 's'), *large = large_value(70000, 'l');
    fr_value *object = value_with_thing(5), *same = value_with_thing(5);
    append_value(r, 1, small);
    append_value(r, 2, large);
    append_value(r, 3, object);
    append_value(r, 4, same);
    fr_run_info end = {.state = FR_SUCCESS, .result = object, .error = large};
    fr_store_run_update(r, &end);
    fr_store_run_close(r);
    char path[256];
    struct stat st;
    object_path(&h, large->hash, "value", path);
    CHECK(stat(path, &st) == 0 && (size_t)st.st_size == large->size);
    object_path(&h, thing_hash(object->object[0]), "thing", path);
    CHECK(stat(path, &st) == 0);
    CHECK_INT(files_of(&h), 2);                // no temporary ones
    results x = {0};
    CHECK_INT(fr_store_records(s, 1, keep_results, &x, &err), FR_OK);
    CHECK_INT(x.n, 4);
    CHECK(fr_hash_eq(x.value[0]->hash, small->hash) && fr_hash_eq(x.value[1]->hash, large->hash));
    CHECK(x.value[2]->objects == 1 && ((thing *)x.value[2]->object[0])->number == 5);
    CHECK(x.value[2]->object[0] == x.value[3]->object[0]);   // loaded once
    drop_results(&x);

    CHECK_INT(truncate(path, 0), 0);           // damage and loss are said, by path
    CHECK_INT(fr_store_records(s, 1, keep_results, &x, &err), FR_EIO);
    CHECK(strstr(err.text, "thing") != NULL && strstr(err.text, "record 3") != NULL);
    drop_results(&x);
    object_path(&h, large->hash, "value", path);
    int fd = open(path, O_WRONLY);
    CHECK_INT(pwrite(fd, "X", 1, 100), 1);
    (void)close(fd);
    CHECK_INT(fr_store_records(s, 1, keep_results, &x, &err), FR_ECORRUPT);
    CHECK(strstr(err.text, "record 2") != NULL);
    drop_results(&x);
    CHECK(stat(path, &st) != 0);               // it was set aside: nothing takes it for whole
    CHECK_INT(fr_store_records(s, 1, keep_results, &x, &err), FR_ENOTFOUND);
    drop_results(&x);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    fr_value_unref(small);
    fr_value_unref(large);
    fr_value_unref(object);
    fr_value_unref(same);
    CHECK_INT(atomic_load(&alive), 0);
    home_fini(&h);
}

static void a_slow_file_holds_back_all_later_records(void)
{
    home h;
    home_init(&h);
    fr_store *s = open_things(&h);
    fr_store_run *r = home_begin(s);
    fr_value *slow = value_with_thing(6), *quick = fr_value_int(1);
    atomic_store(&shut, true);
    append_value(r, 1, quick);
    append_value(r, 2, slow);
    append_value(r, 3, quick);
    append_value(r, 4, quick);
    fr_store_flush(s);
    while (fr_store_durable(r) < 1) {
        (void)usleep(200);
    }
    fr_store *other = open_things(&h);         // the store itself is not held up
    fr_store_run_close(home_begin(other));
    results x = {0};
    CHECK_INT(fr_store_records(other, 1, keep_results, &x, &err), FR_OK);
    CHECK_INT(x.n, 1);
    CHECK_INT(fr_store_durable(r), 1);
    drop_results(&x);
    atomic_store(&shut, false);
    while (fr_store_durable(r) < 4) {
        (void)usleep(200);
    }
    CHECK_INT(fr_store_records(other, 1, keep_results, &x, &err), FR_OK);
    CHECK_INT(x.n, 4);
    drop_results(&x);
    fr_store_run_close(r);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    CHECK_INT(fr_store_close(other, NULL), FR_OK);
    fr_value_unref(slow);
    fr_value_unref(quick);
    home_fini(&h);
}

static void make_old(const char *path)
{
    struct utimbuf t = {.actime = 1000, .modtime = 1000};
    CHECK_INT(utime(path, &t), 0);
}

static void only_old_unnamed_files_are_collected(void)
{
    home h;
    home_init(&h);
    fr_store *s = open_things(&h);
    fr_store_run *r = home_begin(s);
    fr_value *large = large_value(70000, 'k'), *object = value_with_thing(8);
    append_value(r, 1, large);
    append_value(r, 2, object);
    fr_store_run_close(r);
    char named[256], thing_file[256], orphan[256], young[256], half[256];
    object_path(&h, large->hash, "value", named);
    object_path(&h, thing_hash(object->object[0]), "thing", thing_file);
    (void)snprintf(orphan, sizeof orphan, "%s", named);
    memcpy(strrchr(orphan, '.') - 4, "0000", 4);
    (void)snprintf(young, sizeof young, "%s", named);
    memcpy(strrchr(young, '.') - 4, "1111", 4);
    (void)snprintf(half, sizeof half, "%s.123-4.tmp", orphan);
    const char *const made[] = {orphan, young, half};
    for (size_t i = 0; i < FR_COUNT(made); i++) {
        int fd = open(made[i], O_WRONLY | O_CREAT, 0600);
        CHECK(fd >= 0 && write(fd, "12345", 5) == 5);
        (void)close(fd);
    }
    make_old(named);
    make_old(thing_file);
    make_old(orphan);
    make_old(half);
    fr_store_gc_result got;
    CHECK_INT(fr_store_gc(s, FR_STORE_GC_AGE_S, &got, &err), FR_OK);
    CHECK_INT(got.files, 2);
    CHECK_INT(got.bytes, 10);
    CHECK_INT(got.kept, 3);
    CHECK(access(named, F_OK) == 0 && access(thing_file, F_OK) == 0 && access(young, F_OK) == 0);
    CHECK(access(orphan, F_OK) != 0 && access(half, F_OK) != 0);

    // A file that is gone is written again by the next record that names it; one that is
    // there gets a new time.
    CHECK_INT(unlink(named), 0);
    int before = atomic_load(&saved);
    r = home_begin(s);
    append_value(r, 1, large);
    append_value(r, 2, object);
    fr_store_run_close(r);
    struct stat st;
    CHECK(stat(named, &st) == 0 && (size_t)st.st_size == large->size);
    CHECK(stat(thing_file, &st) == 0 && st.st_mtime > 1000);
    CHECK_INT(atomic_load(&saved), before);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    fr_value_unref(large);
    fr_value_unref(object);
    home_fini(&h);
}

// --- logs ---

typedef struct lines {
    int n, stop;
    uint64_t offset[8];
    char text[8][64];
} lines;

static int keep_line(void *ctx, const fr_log_line *line, fr_err *e)
{
    lines *x = ctx;
    if (x->stop > 0 && x->n == x->stop) {
        return fr_fail(e, FR_ECANCELLED, "enough");
    }
    x->offset[x->n] = line->offset;
    (void)snprintf(x->text[x->n++], 64, "%u/%u/%u/%d %.*s", line->row, line->item, line->attempt,
                   line->level, (int)line->n, line->text);
    return FR_OK;
}

static void lines_can_be_followed_and_survive_half_a_line(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    CHECK_INT(fr_store_log(r, 1, 2, 3, 4, "plain", 5), 0);
    uint64_t second = fr_store_log(r, 5, 0, 1, -1, "two\nlines \\n\r\n", 14);
    CHECK(second > 5);
    lines x = {0};
    uint64_t from = 0;
    while (from == 0 || x.n < 2) {             // while it grows
        CHECK_INT(fr_store_log_read(s, 1, &from, keep_line, &x, &err), FR_OK);
    }
    CHECK_STR(x.text[0], "1/2/3/4 plain");
    CHECK_STR(x.text[1], "5/0/1/-1 two\nlines \\n");
    CHECK(x.offset[0] == 0 && x.offset[1] == second);
    uint64_t third = fr_store_log(r, 6, 0, 1, 2, "", 0);
    CHECK_INT(third, from);
    fr_store_run_close(r);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/runs/1/log-%016d", h.path, 0);
    struct stat st;
    CHECK_INT(stat(path, &st), 0);
    int fd = open(path, O_WRONLY | O_APPEND);
    CHECK_INT(write(fd, "123 4 5 6 7 half", 16), 16);
    (void)close(fd);
    CHECK_INT(fr_store_run_resume(s, 1, &r, &err), FR_OK);
    CHECK_INT(fr_store_log(r, 7, 0, 2, 2, "after", 5), st.st_size);
    fr_store_run_close(r);
    x = (lines){0};
    CHECK_INT(fr_store_log_read(s, 1, &from, keep_line, &x, &err), FR_OK);
    CHECK_INT(x.n, 2);
    CHECK_STR(x.text[0], "6/0/1/2 ");
    CHECK_STR(x.text[1], "7/0/2/2 after");
    x = (lines){.stop = 1};
    from = 0;
    CHECK_INT(fr_store_log_read(s, 1, &from, keep_line, &x, &err), FR_ECANCELLED);
    CHECK_INT(from, second);                   // the one that was refused is next
    from = 0;
    CHECK_INT(fr_store_log_read(s, 99, &from, keep_line, &x, &err), FR_OK);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

enum { WRITERS = 4, LINES = 2000 };

static void *write_lines(void *arg)
{
    fr_store_run *r = arg;
    for (int i = 0; i < LINES; i++) {
        (void)fr_store_log(r, 1, 2, 3, 4, "0123456789", 10);
    }
    return NULL;
}

static int check_line(void *ctx, const fr_log_line *line, fr_err *e)
{
    (void)e;
    *(int *)ctx += line->n == 10 && line->row == 1 && memcmp(line->text, "0123456789", 10) == 0;
    return FR_OK;
}

static void any_thread_may_log(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, write_lines, r), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    }
    fr_store_run_close(r);
    uint64_t from = 0;
    int good = 0;
    CHECK_INT(fr_store_log_read(s, 1, &from, check_line, &good, &err), FR_OK);
    CHECK_INT(good, WRITERS * LINES);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    home_fini(&h);
}

int main(void)
{
    CASE(large_values_and_objects_become_files);
    CASE(a_slow_file_holds_back_all_later_records);
    CASE(only_old_unnamed_files_are_collected);
    CASE(lines_can_be_followed_and_survive_half_a_line);
    CASE(any_thread_may_log);
    return check_end();
}
