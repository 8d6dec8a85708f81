#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/base/rand.h"
#include "core/data/csv.h"

#include "check.h"

#include <stdlib.h>
#include <unistd.h>

static fr_err err;

static fr_frame *read_with(const char *text, const fr_csv_options *o)
{
    fr_frame *f = NULL;
    err = (fr_err)FR_ERR_INIT;
    if (fr_csv_read_bytes("t.csv", text, strlen(text), o, &f, NULL, &err) != FR_OK) {
        return NULL;
    }
    return f;
}

static fr_frame *read_text(const char *text)
{
    fr_csv_options o;
    fr_csv_defaults(&o);
    return read_with(text, &o);
}

// The frame as CSV with types, "a:int64,b:utf8|1,x|" so that one string shows everything.
static char *shown(fr_frame *f)
{
    fr_buf b;
    fr_buf_init(&b, 1 << 20);
    if (f == NULL) {
        fr_buf_printf(&b, "error: %s", err.text);
    } else {
        for (size_t i = 0; i < f->columns; i++) {
            char name[64];
            fr_buf_printf(&b, "%s%s:%s", i > 0 ? "," : "", f->names[i],
                          fr_type_name(&f->cols[i]->type, name));
        }
        fr_buf_put_str(&b, "|");
        fr_csv_write_options w;
        fr_csv_write_defaults(&w);
        w.header = false;
        w.null = "~";
        size_t from = b.size;
        if (fr_csv_write_buf(f, &w, &b, &err) != FR_OK) {
            fr_buf_printf(&b, "error: %s", err.text);
        }
        for (size_t i = from; i < b.size; i++) {
            b.data[i] = b.data[i] == '\n' ? '|' : b.data[i];
        }
        fr_frame_unref(f);
    }
    char *s = fr_strdup(fr_buf_text(&b));
    fr_buf_fini(&b);
    return s;
}

#define CHECK_READS(text, want)                                                          \
    do {                                                                                 \
        char *got_ = shown(read_text(text));                                             \
        CHECK_STR(got_, want);                                                           \
        fr_free(got_);                                                                   \
    } while (0)

static void types_are_the_narrowest_that_hold_everything(void)
{
    CHECK_READS("a,b,c,d,e\n1,1.5,x,true,2024-01-31\n2,2,y,False,2024-02-01\n",
                "a:int64,b:float64,c:utf8,d:bool,e:date|1,1.5,x,true,2024-01-31|"
                "2,2.0,y,false,2024-02-01|");
    CHECK_READS("t\n2024-01-31 10:00:00\n2024-01-31T10:00:00.5\n2024-02-01\n",
                "t:timestamp[us]|2024-01-31 10:00:00|2024-01-31 10:00:00.500|"
                "2024-02-01 00:00:00|");
    CHECK_READS("t\n2024-01-31T10:00:00Z\n2024-01-31T10:00:00+02:00\n",
                "t:timestamp[us, UTC]|2024-01-31 10:00:00Z|2024-01-31 08:00:00Z|");
    CHECK_READS("t\n2024-01-31 10:00:00.123456789\n2024-01-31 10:00:00\n",
                "t:timestamp[ns]|2024-01-31 10:00:00.123456789|2024-01-31 10:00:00|");
    CHECK_READS("t\n2024-01-31T10:00:00Z\n2024-01-31\n",
                "t:utf8|2024-01-31T10:00:00Z|2024-01-31|");
    CHECK_READS("a\n1\nx\n", "a:utf8|1|x|");
    CHECK_READS("a\ntrue\n1\n", "a:utf8|true|1|");
    CHECK_READS("a,b\n,1\n,2\n", "a:utf8,b:int64|~,1|~,2|");
    CHECK_READS("a\n9223372036854775807\n-9223372036854775808\n",
                "a:int64|9223372036854775807|-9223372036854775808|");
    CHECK_READS("a\n9223372036854775808\n1\n", "a:utf8|9223372036854775808|1|");
    CHECK_READS("a\n1e3\n-.5\n+7\n1.\ninf\n-Infinity\n",
                "a:float64|1000.0|-0.5|7.0|1.0|inf|-inf|");
}

static void identifiers_keep_their_zeros(void)
{
    CHECK_READS("fips,n\n01001,0\n36061,10\n", "fips:utf8,n:int64|01001,0|36061,10|");
    CHECK_READS("a\n-07\n", "a:utf8|-07|");
    CHECK_READS("a\n\"00\"\n", "a:utf8|00|");
    CHECK_READS("a\n007.5\n0.5\n", "a:float64|7.5|0.5|");
}

static void nulls_and_quotes(void)
{
    CHECK_READS("a,b,c\n,NA,x\n1,NaN,\n2,3,\"\"\n",
                "a:int64,b:int64,c:utf8|~,~,x|1,~,~|2,3,\"\"|");
    CHECK_READS("a,b\n\"\",\"NA\"\n\"1\",\"y\"\n", "a:int64,b:utf8|~,\"NA\"|1,y|");
    CHECK_READS("a,b\n\"x,\"\"y\"\"\",\"two\nlines\"\n", "a:utf8,b:utf8|\"x,\"\"y\"\"\",\"two|lines\"|");
    CHECK_READS("a\nx\"y\n5\"\n", "a:utf8|\"x\"\"y\"|\"5\"\"\"|"); // literal in the middle
    CHECK_READS("a,b\n1, 2 \n 3,4\n", "a:int64,b:int64|1,2|3,4|");
    CHECK_READS("a,b\n1, x \n", "a:int64,b:utf8|1,\" x \"|");
    CHECK_READS("a,b\n1, \n2,3\n", "a:int64,b:int64|1,~|2,3|");
    CHECK_READS("a\n\"x\" y\n", "error: t.csv: line 2, column \"a\": text behind a closing quote: "
                                "\"x\" y; quotes inside a field are doubled (quote = \"\" takes "
                                "them as they are)");
    CHECK_READS("a,b\n1,\"x\n2,y\n", "error: t.csv: line 2: a quote is opened and never closed");
}

static void lines_end_in_many_ways(void)
{
    CHECK_READS("a,b\r\n1,x\r\n\r\n2,y", "a:int64,b:utf8|1,x|2,y|");
    CHECK_READS("a,b\r1,x\r2,y\r", "a:int64,b:utf8|1,x|2,y|");
    CHECK_READS("\n\na,b\n\n1,x\n2,y\n\n\n", "a:int64,b:utf8|1,x|2,y|");
    CHECK_READS("a,b\n1,x\r2,y\n3,z\r\n", "a:int64,b:utf8|1,x|2,y|3,z|");
    CHECK_READS("\xef\xbb\xbf" "a,b\n1,2\n", "a:int64,b:int64|1,2|");
    CHECK_READS("a\n", "a:utf8|");
    CHECK_READS("a,b", "a:utf8,b:utf8|");
    CHECK_READS("", "error: t.csv: no columns: the file is empty");
    CHECK_READS("a,b\n1,2\n3\n", "error: t.csv: line 3: 1 fields, expected 2");
    CHECK_READS("a,b\n1,2\n\"q\nr\",4\n3,4,5\n", "error: t.csv: line 5: 3 fields, expected 2");
    CHECK_READS("a,b\n1,\xff\n", "error: t.csv: line 2: byte 0xff is not UTF-8: try encoding = "
                                 "\"latin-1\" or \"windows-1252\"");
}

static void headers_become_unique(void)
{
    fr_csv_options o;
    fr_csv_defaults(&o);
    fr_frame *f = NULL;
    fr_buf notes;
    fr_buf_init(&notes, 10000);
    const char *text = "kw,kw,,kw_2,U.S._STATE\n1,2,3,4,5\n";
    CHECK_INT(fr_csv_read_bytes("t.csv", text, strlen(text), &o, &f, &notes, &err), FR_OK);
    CHECK_STR(fr_buf_text(&notes), "t.csv: column 2: another \"kw\" is named \"kw_2\"\n"
                                   "t.csv: column 4: another \"kw_2\" is named \"kw_2_2\"\n");
    fr_buf_fini(&notes);
    char *got = shown(f);
    CHECK_STR(got, "kw:int64,kw_2:int64,column_3:int64,kw_2_2:int64,U.S._STATE:int64|1,2,3,4,5|");
    fr_free(got);
}

static char *with_options(const char *text, const fr_csv_options *o)
{
    return shown(read_with(text, o));
}

#define CHECK_WITH(text, want)                                                           \
    do {                                                                                 \
        char *got_ = with_options(text, &o);                                             \
        CHECK_STR(got_, want);                                                           \
        fr_free(got_);                                                                   \
        fr_csv_defaults(&o);                                                             \
    } while (0)

static void options_are_obeyed(void)
{
    fr_csv_options o;
    fr_csv_defaults(&o);
    o.sep = ';';
    CHECK_WITH("a;b\n1,5;2\n", "a:utf8,b:int64|\"1,5\",2|");
    o.header = false;
    CHECK_WITH("1,x\n", "column_1:int64,column_2:utf8|1,x|");
    o.header = false;
    o.names = (const char *const[]){"p", "q"};
    o.n_names = 2;
    CHECK_WITH("1,x\n", "p:int64,q:utf8|1,x|");
    o.names = (const char *const[]){"p", "q"};
    o.n_names = 2;
    CHECK_WITH("", "p:utf8,q:utf8|");
    o.names = (const char *const[]){"p"};
    o.n_names = 1;
    CHECK_WITH("a,b\n1,x\n", "error: t.csv: 1 names for 2 columns");
    o.skip = 2;
    CHECK_WITH("junk \"\nmore\na\n1\n", "a:int64|1|");
    o.nulls = (const char *const[]){"-999", "none"};
    o.n_nulls = 2;
    CHECK_WITH("a,b\n-999,none\n1,x\n", "a:int64,b:utf8|~,~|1,x|");
    o.columns = (const char *const[]){"c", "a"};
    o.n_columns = 2;
    CHECK_WITH("a,b,c\n1,x,2\n3,y,4\n", "c:int64,a:int64|2,1|4,3|");
    o.columns = (const char *const[]){"cc"};
    o.n_columns = 1;
    CHECK_WITH("aa,bb\n1,2\n", "error: t.csv: columns: no column \"cc\"; the first of 2 is \"aa\"");
    o.quote = '\0';
    CHECK_WITH("a,b\n\"x,y\"\n", "a:utf8,b:utf8|\"\"\"x\",\"y\"\"\"|");
    o.encoding = "latin-1";
    CHECK_WITH("a\nZ\xfcrich\n", "a:utf8|Z\xc3\xbcrich|");
    o.encoding = "windows-1252";
    CHECK_WITH("a\n\x80\x96\n", "a:utf8|\xe2\x82\xac\xe2\x80\x93|");
    o.encoding = "klingon";
    CHECK_WITH("a\n", "error: t.csv: unknown encoding \"klingon\": expected utf-8, latin-1, "
                      "windows-1252, utf-16 or utf-16be");
}

static void types_and_formats_by_column(void)
{
    fr_csv_options o;
    fr_csv_defaults(&o);
    o.formats = (const fr_csv_format[]){{"when", "%m/%d/%y %H:%M"}, {"day", "%d.%m.%Y"}};
    o.n_formats = 2;
    CHECK_WITH("when,day\n1/1/17 0:00,31.12.2020\n,\n",
               "when:timestamp[us],day:date|2017-01-01 00:00:00,2020-12-31|~,~|");
    o.formats = (const fr_csv_format[]){{"when", "%d/%m/%Y"}};
    o.n_formats = 1;
    CHECK_WITH("when\n31/12/2020\n12/31/2020\n",
               "error: t.csv: line 3, column \"when\": expected date as %d/%m/%Y, got 12/31/2020");
    const fr_csv_type types[] = {{"a", {.kind = FR_UTF8}},  {"b", {.kind = FR_INT8}},
                                 {"c", {.kind = FR_FLOAT32}}, {"d", {.kind = FR_CATEGORY}},
                                 {"e", {.kind = FR_TIME}},  {"f", {.kind = FR_DURATION, .unit = FR_MILLI}}};
    o.types = types;
    o.n_types = 6;
    CHECK_WITH("a,b,c,d,e,f\n1,2,.5,x,10:30:00,1h\n2,-3,1,y,23:59:59.5,250ms\n",
               "a:utf8,b:int8,c:float32,d:category,e:time,f:duration[ms]|"
               "1,2,0.5,x,10:30:00,1h|2,-3,1.0,y,23:59:59.500,250ms|");
    o.types = &types[1];
    o.n_types = 1;
    CHECK_WITH("b\n1\n128\n", "error: t.csv: line 3, column \"b\": expected int8, got 128");
    o.types = &types[0];
    o.n_types = 1;
    CHECK_WITH("aa\n1\n", "error: t.csv: types: no column \"a\": did you mean \"aa\"?");
}

// A table larger than several regions, its text and its values, with odd rows here and there.
static fr_buf big_table(int rows, unsigned flavour)
{
    fr_buf b;
    fr_buf_init(&b, 1 << 28);
    fr_rand r;
    fr_rand_init(&r, flavour, 0);
    fr_buf_put_str(&b, "i,x,t,when,s\n");
    for (int i = 0; i < rows; i++) {
        uint64_t odd = fr_rand_below(&r, 50);
        fr_buf_printf(&b, "%d,%.3f,", i, fr_rand_unit(&r) * 1000);
        if ((flavour & 1) && odd == 0) {
            fr_buf_printf(&b, "\"line %d\nof \"\"two\"\", see\"", i);
        } else if ((flavour & 2) && odd == 1) {
            fr_buf_printf(&b, "5\" pipe");
        } else {
            fr_buf_printf(&b, "F%d", (int)fr_rand_below(&r, 300));
        }
        fr_buf_printf(&b, ",2024-%02d-%02d %02d:00:00,", i % 12 + 1, i % 28 + 1, i % 24);
        if ((flavour & 4) && i == rows - 3) {
            fr_buf_put_str(&b, "text");
        } else if (odd != 2) {
            fr_buf_printf(&b, "%d", (int)odd);
        }
        fr_buf_put_str(&b, (flavour & 8) ? "\r\n" : "\n");
        if ((flavour & 16) && odd == 3) {
            fr_buf_put_str(&b, "\n\r\n");
        }
    }
    return b;
}

static void any_number_of_threads_reads_the_same(void)
{
    for (unsigned flavour = 0; flavour < 32; flavour += flavour < 3 ? 1 : 4) {
        fr_buf b = big_table(15000 + 20000 * (flavour % 5 == 0), flavour);
        fr_csv_options o;
        fr_csv_defaults(&o);
        fr_hash first = {0, 0};
        static const unsigned threads[] = {1, 2, 3, 8};
        for (size_t i = 0; i < FR_COUNT(threads); i++) {
            unsigned before = fr_pool_limit(threads[i]);
            fr_frame *f = NULL;
            CHECK_INT(fr_csv_read_bytes("big", b.data, b.size, &o, &f, NULL, &err), FR_OK);
            if (f == NULL) {
                (void)fprintf(stderr, "flavour %u: %s\n", flavour, err.text);
                break;
            }
            if (i == 0) {
                first = fr_frame_hash(f);
                CHECK_INT(f->rows, 15000 + 20000 * (flavour % 5 == 0));
                CHECK_INT(f->cols[4]->type.kind, flavour & 4 ? FR_UTF8 : FR_INT64);
                int wrong = 0;
                for (int64_t k = 0; k < f->rows; k++) {
                    wrong += fr_array_i64(f->cols[0])[k] != k;
                }
                CHECK_INT(wrong, 0);
            }
            CHECK(fr_hash_eq(fr_frame_hash(f), first));
            fr_frame_unref(f);
            (void)fr_pool_limit(before);
        }
        fr_buf_fini(&b);
    }
}

static void what_is_written_reads_back(void)
{
    fr_buf b = big_table(20000, 1 | 8);
    fr_csv_options o;
    fr_csv_defaults(&o);
    fr_frame *f = NULL, *g = NULL;
    CHECK_INT(fr_csv_read_bytes("big", b.data, b.size, &o, &f, NULL, &err), FR_OK);
    static const char *const names[] = {"out.csv", "out.csv.gz"};
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        char path[200];
        (void)snprintf(path, sizeof path, "/tmp/flowrun-test-%ld-%s", (long)getpid(), names[i]);
        fr_csv_write_options w;
        fr_csv_write_defaults(&w);
        w.crlf = i == 1;
        w.bom = i == 1;
        CHECK_INT(fr_csv_write(f, path, &w, &err), FR_OK);
        const char *p = path;
        CHECK_INT(fr_csv_read(&p, 1, &o, &g, NULL, &err), FR_OK);
        CHECK(g != NULL && fr_hash_eq(fr_frame_hash(f), fr_frame_hash(g)));
        fr_frame_unref(g);
        (void)unlink(path);
    }
    fr_frame_unref(f);
    fr_buf_fini(&b);
}

static void several_files_are_one_table(void)
{
    char paths[2][100];
    const char *texts[] = {"a,b\n1,x\n", "b,a\ny,2.5\n"}, *list[2];
    for (int i = 0; i < 2; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "/tmp/flowrun-test-%ld-%d.csv", (long)getpid(), i);
        list[i] = paths[i];
        FILE *f = fopen(paths[i], "w");
        CHECK(f != NULL && fputs(texts[i], f) >= 0 && fclose(f) == 0);
    }
    fr_csv_options o;
    fr_csv_defaults(&o);
    fr_frame *f = NULL;
    CHECK_INT(fr_csv_read(list, 2, &o, &f, NULL, &err), FR_OK);
    char *got = shown(f);
    CHECK_STR(got, "a:float64,b:utf8|1.0,x|2.5,y|");
    fr_free(got);
    FILE *h = fopen(paths[1], "w");
    CHECK(h != NULL && fputs("c,a\n1,2\n", h) >= 0 && fclose(h) == 0);
    CHECK_INT(fr_csv_read(list, 2, &o, &f, NULL, &err), FR_EINVAL);
    CHECK(strstr(err.text, "column \"c\" is not in ") != NULL);
    for (int i = 0; i < 2; i++) {
        (void)unlink(paths[i]);
    }
    const char *absent = "/tmp/flowrun-no-such.csv";
    CHECK_INT(fr_csv_read(&absent, 1, &o, &f, NULL, &err), FR_ENOTFOUND);
}

int main(void)
{
    CASE(types_are_the_narrowest_that_hold_everything);
    CASE(identifiers_keep_their_zeros);
    CASE(nulls_and_quotes);
    CASE(lines_end_in_many_ways);
    CASE(headers_become_unique);
    CASE(options_are_obeyed);
    CASE(types_and_formats_by_column);
    CASE(any_number_of_threads_reads_the_same);
    CASE(what_is_written_reads_back);
    CASE(several_files_are_one_table);
    fr_pool_shutdown();
    return check_end();
}
