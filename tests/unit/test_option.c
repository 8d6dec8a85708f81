#include "core/engine/option.h"
#include "tests/unit/check.h"

#include <ctype.h>
#include <stdlib.h>

// The options that users are promised, with what is built of them.
static const struct {
    const char *within, *name;
    bool built;
} promised[] = {
    {NULL, "retries", true},       {NULL, "delay", true},      {NULL, "backoff", true},
    {NULL, "jitter", true},        {NULL, "timeout", true},    {NULL, "outputs", true},
    {NULL, "after", true},         {NULL, "key", true},        {NULL, "tags", true},
    {NULL, "effect", true},        {NULL, "durable", true},    {NULL, "fallback", true},
    {"resources", "cpu", true},    {NULL, "description", true},
};
static const char *const listed[] = {
    "cache", "when", "trigger_rule", "limit", "priority", "isolate", "deadline",
    "queue_timeout", "retry_if", "infra_retries", "undo", "store", "executor", "schedule", "on",
    "on_start", "on_success", "on_failure", "on_retry", "on_skip", "on_cancel",
};

static void every_promised_option_is_there(void)
{
    for (size_t i = 0; i < sizeof promised / sizeof promised[0]; i++) {
        const fr_option *o = fr_option_find(promised[i].within, promised[i].name);
        CHECK(o != NULL && o->built == promised[i].built);
    }
    for (size_t i = 0; i < sizeof listed / sizeof listed[0]; i++) {
        CHECK(fr_option_find(NULL, listed[i]) != NULL);
    }
}

static void sub_options_belong_to_a_table_of_the_same_scopes(void)
{
    for (size_t i = 0; i < fr_option_count(); i++) {
        const fr_option *o = fr_option_at(i);
        if (o->within != NULL) {
            const fr_option *table = fr_option_find(NULL, o->within);
            CHECK(table != NULL && (o->scopes & ~table->scopes) == 0);
        }
    }
}

static void find_gives_the_row_itself(void)
{
    for (size_t i = 0; i < fr_option_count(); i++) {
        const fr_option *o = fr_option_at(i);
        CHECK(fr_option_find(o->within, o->name) == o);      // also: no name twice
    }
    CHECK(fr_option_find(NULL, "cpu") == NULL);              // only inside of resources
    CHECK(fr_option_find("resources", "retries") == NULL);
    CHECK(fr_option_find("nothing", "cpu") == NULL);
    CHECK(fr_option_find(NULL, "retires") == NULL);
    CHECK(fr_option_find(NULL, "key") != fr_option_find("cache", "key"));
    CHECK(fr_option_at(fr_option_count()) == NULL);
}

static bool is_choice(const char *choices, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = choices; at != NULL; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
        if (strncmp(at, word, n) == 0 && (at[n] == '|' || at[n] == '\0')) {
            return true;
        }
    }
    return false;
}

static void presets_are_values_of_their_type(void)
{
    for (size_t i = 0; i < fr_option_count(); i++) {
        const fr_option *o = fr_option_at(i);
        CHECK((o->choices != NULL) == (o->type == FR_OPTION_ENUM || o->type == FR_OPTION_BACKOFF));
        if (o->preset == NULL) {
            continue;
        }
        if (o->choices != NULL) {
            CHECK(is_choice(o->choices, o->preset));
        } else if (o->type == FR_OPTION_COUNT || o->type == FR_OPTION_NUMBER) {
            char *end;
            double v = strtod(o->preset, &end);
            CHECK(*end == '\0' && v >= o->min && v <= o->max);
        } else if (o->type == FR_OPTION_FLAG) {
            CHECK(strcmp(o->preset, "true") == 0 || strcmp(o->preset, "false") == 0);
        }
    }
}

// docs/reference and the completion print them as they are.
static void rows_are_fit_for_print(void)
{
    for (size_t i = 0; i < fr_option_count(); i++) {
        const fr_option *o = fr_option_at(i);
        CHECK(o->scopes != 0);
        CHECK(o->doc != NULL && o->doc[strlen(o->doc) - 1] == '.');
        CHECK(strcmp(fr_option_type_name(o->type), "?") != 0);
        for (const char *c = o->name; *c != '\0'; c++) {
            CHECK(islower((unsigned char)*c) || *c == '_');
        }
    }
    CHECK_STR(fr_option_type_name((fr_option_type)99), "?");
}

int main(void)
{
    CASE(every_promised_option_is_there);
    CASE(sub_options_belong_to_a_table_of_the_same_scopes);
    CASE(find_gives_the_row_itself);
    CASE(presets_are_values_of_their_type);
    CASE(rows_are_fit_for_print);
    return check_end();
}
