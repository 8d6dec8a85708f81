#pragma once
// check -- the few macros of C unit tests. A test file is a main() that calls cases:
//
//   static void empty_map_finds_nothing(void) { CHECK(fr_map_find(&m, k) == NULL); }
//   int main(void) { CASE(empty_map_finds_nothing); return check_end(); }

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int check_failures, check_count;

#define CHECK(x)                                                                         \
    do {                                                                                 \
        check_count++;                                                                   \
        if (!(x)) {                                                                      \
            check_failures++;                                                            \
            (void)fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #x);      \
        }                                                                                \
    } while (0)
#define CHECK_INT(got, want)                                                             \
    do {                                                                                 \
        long long check_a = (long long)(got), check_b = (long long)(want);               \
        check_count++;                                                                   \
        if (check_a != check_b) {                                                        \
            check_failures++;                                                            \
            (void)fprintf(stderr, "%s:%d: %s is %lld, expected %lld\n", __FILE__,        \
                          __LINE__, #got, check_a, check_b);                             \
        }                                                                                \
    } while (0)
#define CHECK_STR(got, want)                                                             \
    do {                                                                                 \
        const char *check_a = (got), *check_b = (want);                                  \
        check_count++;                                                                   \
        if (check_a == NULL || strcmp(check_a, check_b) != 0) {                          \
            check_failures++;                                                            \
            (void)fprintf(stderr, "%s:%d: %s is \"%s\", expected \"%s\"\n", __FILE__,    \
                          __LINE__, #got, check_a ? check_a : "(null)", check_b);        \
        }                                                                                \
    } while (0)
#define CHECK_NEAR(got, want, tolerance)                                                 \
    do {                                                                                 \
        double check_a = (got), check_b = (want);                                        \
        check_count++;                                                                   \
        if (!(fabs(check_a - check_b) <= (tolerance))) {                                 \
            check_failures++;                                                            \
            (void)fprintf(stderr, "%s:%d: %s is %.17g, expected %.17g\n", __FILE__,      \
                          __LINE__, #got, check_a, check_b);                             \
        }                                                                                \
    } while (0)
#define CASE(name)                                                                       \
    do {                                                                                 \
        int check_before = check_failures;                                               \
        name();                                                                          \
        (void)printf("%s %s\n", check_failures == check_before ? "ok  " : "FAIL", #name);\
    } while (0)

static inline int check_end(void)
{
    (void)printf("%d checks, %d failed\n", check_count, check_failures);
    return check_failures != 0 || check_count == 0;
}
