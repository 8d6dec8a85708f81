#include "core/base/decimal.h"
#include "core/base/rand.h"

#include "check.h"

#include <stdlib.h>

static uint64_t bits_of(double x)
{
    uint64_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}

static bool reads(const char *s)
{
    double x = 0;
    if (!fr_decimal_parse(s, strlen(s), &x) || bits_of(x) != bits_of(strtod(s, NULL))) {
        (void)fprintf(stderr, "%s reads as %.17g\n", s, x);
        return false;
    }
    return true;
}

static void hard_numbers_read_as_strtod(void)
{
    static const char *const hard[] = {
        "0", "-0", "1", "-1.5", ".5", "5.", "1e3", "1E+3", "1e-3", "0.1", "123456789012345678",
        "9007199254740993", "9007199254740992.9999999999999999999999", "1e22", "1e23", "8.5e23",
        "2.2250738585072011e-308", "2.2250738585072014e-308", "4.9e-324", "2.4703282292062327e-324",
        "2.4703282292062328e-324", "1.7976931348623157e308", "1.7976931348623159e308", "1e309",
        "1e-400", "0e999999999999", "1e999999999999", "1e-999999999999",
        "6.631236846766476e-316", "3.2378839133029012895883524125015321748630094236981e-319",
        "0.000000000000000000000000000000000000000000000000000000000000000001",
        "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649"
        "01797758720709633028641669288791094655554785194040263065748867150582068190890200070838",
        "7.2057594037927933e16", "89255.0e-22", "1.00000000000000011102230246251565404236316680"
        "908203125", "1.00000000000000011102230246251565404236316680908203124",
        "1.00000000000000011102230246251565404236316680908203126",
    };
    for (size_t i = 0; i < FR_COUNT(hard); i++) {
        CHECK(reads(hard[i]));
    }
}

static void nonsense_is_refused(void)
{
    static const char *const bad[] = {"",   "-",  "+",    ".",   "e5",    "1e",   "1e+",
                                      "1x", "0x1", "1.2.3", " 1", "1 ",    "1,5",  "--1",
                                      "+-1", "infi", "n",    "1e5.", "1_000"};
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        double x;
        int64_t v;
        CHECK(!fr_decimal_parse(bad[i], strlen(bad[i]), &x));
        CHECK(!fr_decimal_parse_int(bad[i], strlen(bad[i]), &v));
    }
}

static void random_doubles_survive(void)
{
    fr_rand r;
    fr_rand_init(&r, 1, 1);
    int wrong = 0, longer = 0;
    for (int i = 0; i < 200000; i++) {
        uint64_t b = fr_rand_u64(&r);
        double x;
        memcpy(&x, &b, sizeof x);
        if (i % 3 == 1) {
            x = (double)(int64_t)(b >> 34) / 1000;
        } else if (i % 3 == 2) {
            x = fr_rand_unit(&r);
        }
        if (!isfinite(x)) {
            continue;
        }
        char ours[FR_DECIMAL_MAX], theirs[40];
        size_t n = fr_decimal_print(x, ours);
        double back = 0;
        wrong += n != strlen(ours) || !fr_decimal_parse(ours, n, &back) ||
                 bits_of(back) != bits_of(x) || bits_of(strtod(ours, NULL)) != bits_of(x);
        // No shorter digit string gives the same double.
        int digits = 0, zeros = 0;
        for (const char *c = ours; *c != '\0' && *c != 'e'; c++) {
            if (*c >= '0' && *c <= '9' && (digits > 0 || *c != '0')) {
                digits++;
                zeros = *c == '0' ? zeros + 1 : 0;
            }
        }
        digits -= zeros;
        if (digits > 1) {
            (void)snprintf(theirs, sizeof theirs, "%.*e", digits - 2, x);
            longer += bits_of(strtod(theirs, NULL)) == bits_of(x);
        }
        (void)snprintf(theirs, sizeof theirs, "%.25e", x); // more digits than a uint64 holds
        wrong += !reads(theirs);
    }
    CHECK_INT(wrong, 0);
    CHECK_INT(longer, 0);
}

static void doubles_print_as_people_write_them(void)
{
    static const struct {
        double x;
        const char *text;
    } cases[] = {
        {0, "0.0"},         {-0.0, "-0.0"},       {1, "1.0"},
        {-1.5, "-1.5"},     {0.1, "0.1"},         {1e15, "1000000000000000.0"},
        {1e23, "1e+23"},    {5e-324, "5e-324"},   {0.00001, "0.00001"},
        {1e-6, "1e-06"}, {123456.789, "123456.789"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {9007199254740992, "9007199254740992.0"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {(double)INFINITY, "inf"}, {-(double)INFINITY, "-inf"}, {(double)NAN, "nan"},
    };
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        char out[FR_DECIMAL_MAX];
        (void)fr_decimal_print(cases[i].x, out);
        CHECK_STR(out, cases[i].text);
    }
}

static void integers_keep_their_range(void)
{
    int64_t v = 0;
    char out[FR_DECIMAL_MAX];
    CHECK(fr_decimal_parse_int("-9223372036854775808", 20, &v) && v == INT64_MIN);
    (void)fr_decimal_print_int(v, out);
    CHECK_STR(out, "-9223372036854775808");
    CHECK(fr_decimal_parse_int("+0009223372036854775807", 23, &v) && v == INT64_MAX);
    (void)fr_decimal_print_int(v, out);
    CHECK_STR(out, "9223372036854775807");
    CHECK(!fr_decimal_parse_int("9223372036854775808", 19, &v));
    CHECK(!fr_decimal_parse_int("-9223372036854775809", 20, &v));
    CHECK(!fr_decimal_parse_int("99999999999999999999", 20, &v));
}

// Lines "f16 f32 f64 text" of nigeltao/parse-number-fxx-test-data.
static void published_vectors_read_bit_for_bit(void)
{
    const char *base = getenv("FLOWRUN_SHARED");
    char command[512], line[4096];
    (void)snprintf(command, sizeof command, "%s/data/torture/float_parse/",
                   base != NULL ? base : "../shared");
    long seen = 0, wrong = 0;
    static const char *const files[] = {"freetype-2-7.txt", "lemire-fast-float.txt",
                                        "more-test-cases.txt", "tencent-rapidjson.txt"};
    for (size_t i = 0; i < FR_COUNT(files); i++) {
        char path[640];
        (void)snprintf(path, sizeof path, "%s%s", command, files[i]);
        FILE *f = fopen(path, "r");
        while (f != NULL && fgets(line, sizeof line, f) != NULL) {
            char want[32], text[4000];
            double x = 0;
            if (sscanf(line, "%*s %*s %31s %3999s", want, text) != 2) {
                continue;
            }
            seen++;
            wrong += !fr_decimal_parse(text, strlen(text), &x) ||
                     bits_of(x) != strtoull(want, NULL, 16);
        }
        if (f != NULL) {
            (void)fclose(f);
        }
    }
    if (seen == 0) {
        (void)printf("skip: no float_parse vectors in %s\n", command);
    }
    CHECK_INT(wrong, 0);
}

int main(void)
{
    CASE(hard_numbers_read_as_strtod);
    CASE(nonsense_is_refused);
    CASE(random_doubles_survive);
    CASE(doubles_print_as_people_write_them);
    CASE(integers_keep_their_range);
    CASE(published_vectors_read_bit_for_bit);
    return check_end();
}
