#include "core/base/mem.h"
#include "core/data/arrow.h"
#include "core/data/csv.h"

#include "check.h"
#include "data_make.h"

#include <stdlib.h>
#include <unistd.h>

static fr_err err;

static const char *fixture(const char *name)
{
    static char path[8][512]; // a few at a time
    static int next;
    next = (next + 1) % 8;
    (void)snprintf(path[next], sizeof path[next], FLOWRUN_SOURCE "/tests/fixtures/arrow/%s", name);
    return path[next];
}

static const char *temp(const char *name)
{
    static char path[4][200];
    static int next;
    next = (next + 1) % 4;
    (void)snprintf(path[next], sizeof path[next], "/tmp/flowrun-test-%ld-%s", (long)getpid(), name);
    return path[next];
}

static char *file_bytes(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    *n = 0;
    if (f == NULL) {
        (void)fprintf(stderr, "cannot open %s\n", path);
        return fr_strdup("");
    }
    char *s = fr_alloc(1 << 20);
    *n = fread(s, 1, (1 << 20) - 1, f);
    s[*n] = '\0';
    (void)fclose(f);
    return s;
}

// "name:type|value|~|" and a newline per column.
static char *shown(const fr_frame *f)
{
    fr_buf b;
    fr_buf_init(&b, 1 << 22);
    for (size_t i = 0; i < f->columns; i++) {
        char type[64];
        const char *name = f->names[i];
        fr_frame *one = NULL;
        fr_csv_write_options w;
        fr_csv_write_defaults(&w);
        w.header = false;
        w.null = "~";
        fr_buf_printf(&b, "%s:%s|", name,
                      f->cols[i]->type.kind == FR_CATEGORY ? "category"
                                                           : fr_type_name(&f->cols[i]->type, type));
        if (fr_frame_new(1, &name, &f->cols[i], &one, &err) == FR_OK) {
            size_t from = b.size;
            CHECK_INT(fr_csv_write_buf(one, &w, &b, &err), FR_OK);
            bool quoted = false;
            for (size_t k = from; k < b.size; k++) {
                quoted ^= b.data[k] == '"';
                b.data[k] = b.data[k] == '\n' && !quoted ? '|' : b.data[k];
            }
        }
        fr_frame_unref(one);
        fr_buf_put_u8(&b, '\n');
    }
    char *s = fr_strdup(fr_buf_text(&b));
    fr_buf_fini(&b);
    return s;
}

static void foreign_files_are_read_value_for_value(void)
{
    static const struct {
        const char *file, *expect;
    } cases[] = {
        {"types.arrow", "types.expect"},         {"types_lz4.arrow", "types.expect"},
        {"types_zstd.arrow", "types.expect"},    {"types.arrows", "types.expect"},
        {"empty.arrow", "empty.expect"},         {"delta.arrows", "delta.expect"},
        {"replaced.arrows", "replaced.expect"},  {"odd_dictionary.arrow", "odd_dictionary.expect"},
        {"polars.arrow", "polars.expect"},       {"polars_zstd.arrow", "polars.expect"},
    };
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        fr_frame *f = NULL;
        size_t n;
        if (fr_arrow_read(fixture(cases[i].file), NULL, 0, &f, &err) != FR_OK) {
            CHECK_STR(err.text, "");
            continue;
        }
        char *want = file_bytes(fixture(cases[i].expect), &n), *got = shown(f);
        CHECK(n > 0);
        CHECK_STR(got, want);
        fr_free(got);
        fr_free(want);
        fr_frame_unref(f);
    }
}

static void what_frames_do_not_have_is_named_and_can_be_left_out(void)
{
    static const char *const some[] = {"after", "before"}, *const bad[] = {"afte"},
                            *const twice[] = {"after", "after"};
    fr_frame *f = NULL;
    CHECK_INT(fr_arrow_read(fixture("nested.arrow"), NULL, 0, &f, &err), FR_EUNSUPPORTED);
    CHECK(strstr(err.text, "column \"list\" is a list that frames do not have") != NULL);
    CHECK_INT(fr_arrow_read(fixture("nested.arrow"), some, 2, &f, &err), FR_OK);
    size_t n;
    char *want = file_bytes(fixture("nested.expect"), &n), *got = shown(f);
    CHECK_STR(got, want);
    fr_free(got);
    fr_free(want);
    fr_frame_unref(f);
    CHECK_INT(fr_arrow_read(fixture("nested.arrow"), bad, 1, &f, &err), FR_ENOTFOUND);
    CHECK(strstr(err.text, "did you mean \"after\"") != NULL);
    CHECK_INT(fr_arrow_read(fixture("nested.arrow"), twice, 2, &f, &err), FR_EINVAL);
    CHECK_INT(fr_arrow_read("/tmp/flowrun-none.arrow", NULL, 0, &f, &err), FR_ENOTFOUND);
    CHECK_INT(fr_arrow_read_bytes("x", "hello, world!", 13, NULL, 0, &f, &err), FR_ECORRUPT);
    CHECK_INT(fr_arrow_read_bytes("x", "", 0, NULL, 0, &f, &err), FR_ECORRUPT);
}

static void all_kinds_survive_saving(void)
{
    fr_rand r;
    fr_rand_init(&r, 5, 5);
    static const int64_t lengths[] = {0, 1, 63, 64, 65, 1000, 7000};
    for (size_t k = 0; k < FR_COUNT(lengths); k++) {
        for (uint64_t nulls = 0; nulls < 6; nulls += 3) {
            fr_array *cols[FR_COUNT(make_kinds)];
            const char *names[FR_COUNT(make_kinds)];
            char text[FR_COUNT(make_kinds)][16];
            for (size_t i = 0; i < FR_COUNT(make_kinds); i++) {
                (void)snprintf(text[i], sizeof text[i], "c%zu", i);
                names[i] = text[i];
                cols[i] = make_random(&r, make_kinds[i], lengths[k], 1 + (uint64_t)lengths[k] / 3,
                                      nulls);
            }
            fr_frame *f = NULL, *g = NULL;
            CHECK_INT(fr_frame_new(FR_COUNT(make_kinds), names, cols, &f, &err), FR_OK);
            CHECK_INT(fr_arrow_save(f, temp("all.arrow"), &err), FR_OK);
            CHECK_INT(fr_arrow_load(temp("all.arrow"), &g, &err), FR_OK);
            (void)unlink(temp("all.arrow")); // the mapping stays
            CHECK(g != NULL && fr_hash_eq(fr_frame_hash(f), fr_frame_hash(g)));
            for (size_t i = 0; g != NULL && i < f->columns; i++) {
                CHECK(fr_type_eq(&f->cols[i]->type, &g->cols[i]->type) &&
                      f->cols[i]->nulls == g->cols[i]->nulls);
                CHECK(((uintptr_t)g->cols[i]->values->data & 63) == 0 || g->rows == 0);
            }
            fr_frame_unref(g);
            g = NULL;
            CHECK_INT(fr_arrow_write(f, temp("all.arrow"), &err), FR_OK);
            CHECK_INT(fr_arrow_read(temp("all.arrow"), NULL, 0, &g, &err), FR_OK);
            CHECK(g != NULL && fr_hash_eq(fr_frame_hash(f), fr_frame_hash(g)));
            (void)unlink(temp("all.arrow"));
            fr_frame_unref(g);
            fr_frame_unref(f);
            for (size_t i = 0; i < FR_COUNT(make_kinds); i++) {
                fr_array_unref(cols[i]);
            }
        }
    }
    fr_frame *none = NULL, *back = NULL;
    CHECK_INT(fr_frame_empty(7, &none, &err), FR_OK);
    CHECK_INT(fr_arrow_save(none, temp("none.arrow"), &err), FR_OK);
    CHECK_INT(fr_arrow_load(temp("none.arrow"), &back, &err), FR_OK);
    CHECK(back != NULL && back->rows == 7 && back->columns == 0);
    (void)unlink(temp("none.arrow"));
    fr_frame_unref(none);
    fr_frame_unref(back);
}

static void objects_save_and_load_through_their_operations(void)
{
    fr_rand r;
    fr_rand_init(&r, 6, 6);
    fr_array *a = make_random(&r, FR_UTF8, 500, 90, 4);
    fr_object *o = NULL;
    CHECK_INT(fr_array_ops.save(&a->object, temp("array"), &err), FR_OK);
    CHECK_INT(fr_array_ops.load(temp("array"), &o, &err), FR_OK);
    CHECK(o != NULL && fr_hash_eq(fr_array_hash(a), fr_array_hash((fr_array *)o)));
    fr_object_unref(o);
    CHECK_INT(fr_frame_ops.load(temp("array"), &o, &err), FR_OK); // a frame of one column
    fr_object_unref(o);
    (void)unlink(temp("array"));
    CHECK_INT(fr_frame_ops.load(temp("array"), &o, &err), FR_EIO);
    CHECK(o == NULL);
    fr_array_unref(a);
}

// What make_arrow.py had pyarrow and polars read, value for value.
static fr_frame *ours_frame(void)
{
    static const fr_csv_type types[] = {
        {"b", {.kind = FR_BOOL}},    {"c", {.kind = FR_CATEGORY}}, {"ordered", {.kind = FR_CATEGORY}},
        {"t", {.kind = FR_TIMESTAMP, .unit = FR_SECOND}},
        {"z", {.kind = FR_TIMESTAMP, .unit = FR_MILLI, .zone = "Europe/Paris"}},
        {"i8", {.kind = FR_INT8}},   {"u64", {.kind = FR_UINT64}}, {"f32", {.kind = FR_FLOAT32}},
        {"h", {.kind = FR_TIME}},    {"u", {.kind = FR_DURATION, .unit = FR_SECOND}}};
    const char *text =
        "b,i64,f64,s,c,ordered,d,t,z,i8,u64,f32,h,u,full\n"
        "true,1,0.1,Alpha,N,L,2024-01-31,2024-01-31 10:30:15,2024-01-31T10:30:15Z,-128,0,0.5,10:30,1h,1\n"
        ",,,,,,,,,,,,,,2\n"
        "false,-9223372036854775808,-0.0,\xc3\x84pfel,S,H,1969-12-31,1969-12-31 23:59:59,"
        "1969-12-31T23:59:59Z,127,9223372036854775807,-2,23:59:59,-1s,3\n";
    fr_csv_options o;
    fr_csv_defaults(&o);
    o.types = types;
    o.n_types = FR_COUNT(types);
    fr_frame *f = NULL, *g = NULL;
    CHECK_INT(fr_csv_read_bytes("t", text, strlen(text), &o, &f, NULL, &err), FR_OK);
    ptrdiff_t at = fr_frame_find(f, "ordered");
    fr_array *cols[20], *codes = fr_array_slice(f->cols[at], 0, 3);
    memcpy(cols, f->cols, f->columns * sizeof *cols);
    codes->type.ordered = true;
    cols[at] = codes;
    CHECK_INT(fr_frame_new(f->columns, (const char *const *)f->names, cols, &g, &err), FR_OK);
    fr_array_unref(codes);
    fr_frame_unref(f);
    return g;
}

static void peers_read_what_we_write(void)
{
    size_t n, m;
    fr_frame *f = ours_frame(), *g = NULL;
    CHECK_INT(fr_arrow_save(f, temp("ours.arrow"), &err), FR_OK);
    char *now = file_bytes(temp("ours.arrow"), &n), *seen = file_bytes(fixture("ours.arrow"), &m);
    CHECK_INT(n, m);
    CHECK(m > 0 && n == m && memcmp(now, seen, n) == 0); // else run make_arrow.py again
    CHECK_INT(fr_arrow_load(temp("ours.arrow"), &g, &err), FR_OK);
    CHECK(g != NULL && fr_hash_eq(fr_frame_hash(f), fr_frame_hash(g)));
    CHECK(g != NULL && g->cols[fr_frame_find(g, "ordered")]->type.ordered);
    (void)unlink(temp("ours.arrow"));
    fr_free(now);
    fr_free(seen);
    fr_frame_unref(g);
    fr_frame_unref(f);
}

// Every truncation and many changed bytes: an error or a frame, never a crash.
static void damaged_bytes_are_errors(void)
{
    static const char *const files[] = {"types.arrow", "types_lz4.arrow", "types_zstd.arrow",
                                        "types.arrows", "polars.arrow", "nested.arrow",
                                        "delta.arrows", "ours.arrow"};
    fr_rand r;
    fr_rand_init(&r, 7, 7);
    for (size_t i = 0; i < FR_COUNT(files); i++) {
        size_t n;
        char *s = file_bytes(fixture(files[i]), &n);
        int whole = 0, refused = 0;
        for (size_t k = 0; k < n; k += 1 + k / 31) {
            fr_frame *f = NULL;
            (void)(fr_arrow_read_bytes("cut", s, k, NULL, 0, &f, &err) == FR_OK && ++whole);
            fr_frame_unref(f);
        }
        CHECK(whole <= 3); // a stream may be cut between two messages
        for (int k = 0; k < 300; k++) {
            fr_frame *f = NULL;
            size_t at = (size_t)fr_rand_below(&r, n);
            char before = s[at];
            s[at] = (char)fr_rand_u32(&r);
            int rc = fr_arrow_read_bytes("bad", s, n, NULL, 0, &f, &err);
            refused += rc != FR_OK;
            if (rc == FR_OK) { // what is accepted can be used
                CHECK_INT(fr_arrow_save(f, temp("fuzz"), &err), FR_OK);
                (void)fr_frame_hash(f);
            }
            fr_frame_unref(f);
            s[at] = before;
        }
        CHECK(refused > 20);
        fr_free(s);
    }
    (void)unlink(temp("fuzz"));
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--write") == 0) {
        fr_frame *f = ours_frame();
        int rc = fr_arrow_save(f, argv[2], &err);
        fr_frame_unref(f);
        return rc;
    }
    CASE(foreign_files_are_read_value_for_value);
    CASE(what_frames_do_not_have_is_named_and_can_be_left_out);
    CASE(all_kinds_survive_saving);
    CASE(objects_save_and_load_through_their_operations);
    CASE(peers_read_what_we_write);
    CASE(damaged_bytes_are_errors);
    return check_end();
}
