// The step of time columns: ticks, months, ends of months, clocks of zones, what is
// refused.
#include "check.h"
#include "core/data/when.h"
#include "core/ml/spacing.h"

#include <stdlib.h>

static fr_array *times(fr_type type, const char *const *text, int64_t n)
{
    fr_builder *b = fr_builder_new(type, n);
    fr_array *a;
    for (int64_t i = 0; i < n; i++) {
        fr_when w;
        int64_t v;
        if (text[i] == NULL) {
            CHECK_INT(fr_builder_null(b, NULL), FR_OK);
            continue;
        }
        CHECK(fr_when_parse(text[i], strlen(text[i]), &w));
        CHECK(fr_when_value(&w, type.unit, &v));
        CHECK_INT(fr_builder_int(b, type.kind == FR_DATE ? v / 86400 : v, NULL), FR_OK);
    }
    CHECK_INT(fr_builder_finish(b, &a, NULL), FR_OK);
    fr_builder_free(b);
    return a;
}

static const fr_type stamp = {.kind = FR_TIMESTAMP, .unit = FR_SECOND};
static const fr_type day = {.kind = FR_DATE};

// Finds the spacing and checks that the grid's times at the places are the times
// themselves and that the time behind the last one is `next`.
static void check_grid(fr_type type, const char *const *text, int64_t n, const char *step,
                       int64_t rows, const char *next)
{
    fr_spacing s;
    int64_t at[32], found;
    char got[64];
    fr_err err = FR_ERR_INIT;
    fr_array *t = times(type, text, n), *grid, *wanted = times(type, &next, 1);
    int rc = fr_spacing_find(t, &s, at, &found, &err);
    CHECK_INT(rc, FR_OK);
    if (rc != FR_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return;
    }
    fr_spacing_text(&s, got);
    CHECK_STR(got, step);
    CHECK_INT(found, rows);
    CHECK_INT(fr_spacing_times(&s, 0, rows + 1, &grid, NULL), FR_OK);
    for (int64_t i = 0; i < n; i++) {
        CHECK_INT(fr_array_int(grid, at[i]), fr_array_int(t, i));
    }
    CHECK_INT(fr_array_int(grid, rows), fr_array_int(wanted, 0));
    CHECK(fr_type_eq(&grid->type, &type));
    fr_array_unref(t);
    fr_array_unref(grid);
    fr_array_unref(wanted);
}

static void steps_of_ticks(void)
{
    static const char *const hours[] = {"2023-01-01 00:00:00", "2023-01-01 01:00:00",
                                        "2023-01-01 04:00:00"};
    check_grid(stamp, hours, 3, "1h", 5, "2023-01-01 05:00:00");
    static const char *const quarter[] = {"2023-12-31 23:30:00", "2023-12-31 23:45:00"};
    check_grid(stamp, quarter, 2, "15m", 2, "2024-01-01 00:00:00");
    static const char *const weeks[] = {"2024-02-20", "2024-02-27", "2024-03-12"};
    check_grid(day, weeks, 3, "7d", 4, "2024-03-19");
}

static void steps_of_months(void)
{
    static const char *const firsts[] = {"2023-11-01", "2023-12-01", "2024-01-01",
                                         "2024-03-01"};
    check_grid(day, firsts, 4, "1 month", 5, "2024-04-01");
    static const char *const ends[] = {"2023-11-30", "2023-12-31", "2024-01-31",
                                       "2024-02-29"};
    check_grid(day, ends, 4, "1 month", 4, "2024-03-31");
    static const char *const quarters[] = {"2023-01-15", "2023-04-15", "2023-10-15"};
    check_grid(day, quarters, 3, "3 months", 4, "2024-01-15");
    static const char *const years[] = {"2020-01-01", "2021-01-01", "2022-01-01"};
    check_grid(day, years, 3, "12 months", 3, "2023-01-01");
    static const char *const noons[] = {"2024-01-31 12:00:00", "2024-02-29 12:00:00"};
    check_grid(stamp, noons, 2, "1 month", 2, "2024-03-31 12:00:00");
}

static void days_on_the_clock_of_a_zone(void)
{
    fr_type paris = {.kind = FR_TIMESTAMP, .unit = FR_SECOND, .zone = "Europe/Paris"};
    // Midnights around the change to summer time on 2024-03-31, and back on 2024-10-27.
    static const char *const spring[] = {"2024-03-29T23:00:00Z", "2024-03-30T23:00:00Z",
                                         "2024-03-31T22:00:00Z", "2024-04-01T22:00:00Z"};
    check_grid(paris, spring, 4, "1d", 4, "2024-04-02T22:00:00Z");
    static const char *const autumn[] = {"2024-10-25T22:00:00Z", "2024-10-26T22:00:00Z"};
    check_grid(paris, autumn, 2, "1d", 2, "2024-10-27T22:00:00Z");
    static const char *const both[] = {"2024-10-25T22:00:00Z", "2024-10-26T22:00:00Z",
                                       "2024-10-27T23:00:00Z"};
    check_grid(paris, both, 3, "1d", 3, "2024-10-28T23:00:00Z");
    static const char *const hours[] = {"2024-03-31T00:00:00Z", "2024-03-31T01:00:00Z",
                                        "2024-03-31T02:00:00Z"};
    check_grid(paris, hours, 3, "1h", 3, "2024-03-31T03:00:00Z");
    static const char *const months[] = {"2024-01-31T23:00:00Z", "2024-02-29T23:00:00Z",
                                         "2024-03-31T22:00:00Z"};
    check_grid(paris, months, 3, "1 month", 3, "2024-04-30T22:00:00Z");
}

static void refused(fr_type type, const char *const *text, int64_t n, const char *says)
{
    fr_spacing s;
    int64_t at[32], rows;
    fr_err err = FR_ERR_INIT;
    fr_array *t = times(type, text, n);
    CHECK(fr_spacing_find(t, &s, at, &rows, &err) != FR_OK);
    if (strstr(err.text, says) == NULL) {
        (void)fprintf(stderr, "\"%s\" does not say \"%s\"\n", err.text, says);
        CHECK(false);
    }
    fr_array_unref(t);
}

static void what_is_not_regular_is_refused(void)
{
    static const char *const back[] = {"2024-01-02", "2024-01-01"};
    refused(day, back, 2, "row 2 (2024-01-01) is before the row above");
    static const char *const twice[] = {"2024-01-01", "2024-01-02", "2024-01-02"};
    refused(day, twice, 3, "rows 2 and 3 have the same time 2024-01-02");
    static const char *const null[] = {"2024-01-01", NULL, "2024-01-03"};
    refused(day, null, 3, "row 2 of the time column is null");
    static const char *const odd[] = {"2024-01-01", "2024-01-03", "2024-01-06"};
    refused(day, odd, 3, "smallest step is 2d, but row 3 (2024-01-06)");
    static const char *const far[] = {"2000-01-01", "2000-01-02", "2024-01-02"};
    refused(day, far, 3, "too many gaps");
    static const char *const one[] = {"2024-01-01"};
    refused(day, one, 1, "too few");
    refused((fr_type){.kind = FR_INT64}, one, 0, "a date or a timestamp");
}

int main(void)
{
    CASE(steps_of_ticks);
    CASE(steps_of_months);
    CASE(days_on_the_clock_of_a_zone);
    CASE(what_is_not_regular_is_refused);
    return check_end();
}
