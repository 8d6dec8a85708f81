#include "core/engine/option.h"

#include "core/base/base.h"
#include "core/engine/rule.h"

#include <stdint.h>
#include <string.h>

enum {
    TASK = FR_OPTION_TASK,
    FLOW = FR_OPTION_FLOW,
    BOTH = FR_OPTION_TASK | FR_OPTION_FLOW,
    CALL = FR_OPTION_TASK | FR_OPTION_WITH,
    ALL = FR_OPTION_TASK | FR_OPTION_FLOW | FR_OPTION_WITH,
    WITH = FR_OPTION_WITH,
    GROUP = FR_OPTION_GROUP,
    SCOPE = FR_OPTION_FLOW | FR_OPTION_GROUP,
};

#define X(id, name) "|" name
static const char rules[] = FR_RULE_LIST(X);           // its first byte is not looked at
#undef X

// clang-format off
static const fr_option options[] = {
    // what it is
    {"description", NULL, BOTH, FR_OPTION_TEXT, 0, 0, NULL, NULL, true,
     "What it does, in one line; shown wherever it is listed."},
    {"tags", NULL, ALL, FR_OPTION_NAMES, 0, 0, NULL, NULL, true,
     "Names to find and filter runs and tasks by."},
    {"outputs", NULL, TASK, FR_OPTION_NAMES, 0, 0, NULL, NULL, true,
     "Names of its results: a call gives one handle for each."},
    {"params", NULL, FLOW, FR_OPTION_TABLE, 0, 0, NULL, NULL, true,
     "Typed parameters of the flow: name = default, or {type=, default=, min=, max=, choices=}."},
    {"defaults", NULL, SCOPE, FR_OPTION_TABLE, 0, 0, NULL, NULL, true,
     "Options of the tasks called in it, where they do not say otherwise themselves."},
    // trying again
    {"retries", NULL, ALL | GROUP, FR_OPTION_COUNT, 0, 1000, NULL, "0", true,
     "How often a failed attempt is tried again."},
    {"delay", NULL, ALL | GROUP, FR_OPTION_DELAY, 0, 0, NULL, "1s", true,
     "Wait before a retry: a duration, a list (its last repeats), or function(attempt, err)."},
    {"backoff", NULL, ALL | GROUP, FR_OPTION_BACKOFF, 0, 0, "fixed|linear|exponential|decorrelated",
     "fixed", true, "How the delay grows from retry to retry."},
    {"jitter", NULL, ALL | GROUP, FR_OPTION_NUMBER, 0, 1, NULL, "0", true,
     "Spreads each delay by up to this share, so that retries do not come in step."},
    {"retry_if", NULL, CALL | GROUP, FR_OPTION_CODES, 0, 0, NULL, NULL, true,
     "Which failures are worth another attempt: error codes, or function(err, attempt, ...)."},
    {"infra_retries", NULL, CALL, FR_OPTION_COUNT, 0, 1000, NULL, "3", true,
     "Attempts that may be lost to a dead process or machine, counted apart from retries."},
    {"fallback", NULL, CALL, FR_OPTION_FALLBACK, 0, 0, NULL, NULL, true,
     "The result when all attempts failed: a value, function(err, ...), a task, \"last_good\", or "
     "a list of these that are tried in turn: {\"last_good\", backup, 0, max_age = \"7d\"}."},
    // time
    {"timeout", NULL, ALL | GROUP, FR_OPTION_DURATION, 1e-6, 1e10, NULL, NULL, true,
     "Most time that one attempt may take; it is stopped then."},
    {"deadline", NULL, ALL | GROUP, FR_OPTION_DURATION, 1e-6, 1e10, NULL, NULL, true,
     "Most time from the call to its end, waits and retries included."},
    {"fail_fast", NULL, SCOPE, FR_OPTION_FLAG, 0, 0, NULL, "false", true,
     "The first call of it that fails for good stops the others at once."},
    {"queue_timeout", NULL, CALL, FR_OPTION_DURATION, 1e-6, 1e10, NULL, NULL, true,
     "Most time to wait for a worker or a limit; it fails then without having started."},
    // when and in what order
    {"after", NULL, WITH, FR_OPTION_HANDLES, 0, 0, NULL, NULL, true,
     "Handles that must succeed first although their values are not needed."},
    {"when", NULL, CALL, FR_OPTION_CONDITION, 0, 0, NULL, NULL, true,
     "A handle or function(...) of its arguments that says whether it runs or is skipped."},
    {"skip_if", NULL, TASK, FR_OPTION_FUNCTION, 0, 0, NULL, NULL, true,
     "function(...) of its arguments that returns true, or the reason, to be skipped."},
    {"teardown", NULL, WITH, FR_OPTION_HANDLES, 0, 0, NULL, NULL, true,
     "Handles of what this call tears down: it runs if they succeeded, whatever else failed."},
    {"trigger_rule", NULL, CALL, FR_OPTION_ENUM, 0, 0, rules + 1, "all_success", true,
     "Which ends of what it depends on let it run."},
    {"priority", NULL, CALL, FR_OPTION_COUNT, -1000, 1000, NULL, "0", true,
     "Larger starts first when limits or workers are short; a point is worth a minute of waiting."},
    {"limit", NULL, CALL, FR_OPTION_LIMITS, 0, 0, NULL, NULL, true,
     "Slots that it holds while it runs: \"oms\", {\"oms\", db = 2}, {rate = \"100/min\"}."},
    {"concurrency", NULL, FLOW, FR_OPTION_CONCURRENCY, 0, 0, NULL, NULL, true,
     "Runs of this flow at once in the whole store: 1, or {max = 1, full = \"skip\"}."},
    {"max", "concurrency", FLOW, FR_OPTION_COUNT, 1, 1000000000, NULL, "1", true,
     "Runs of this flow at once; flowrun limits set flow:NAME N goes before it."},
    {"full", "concurrency", FLOW, FR_OPTION_ENUM, 0, 0, "queue|skip|cancel_new|cancel_old",
     "queue", true,
     "What a run does when there are that many: wait, end as skipped, end as stopped, or ask the "
     "oldest to stop and take its place."},
    {"max_running", NULL, FLOW, FR_OPTION_COUNT, 1, 1000000, NULL, NULL, true,
     "Bodies of a run that are executed at once, in threads and processes together."},
    {"schedule", NULL, FLOW, FR_OPTION_TABLE, 0, 0, NULL, NULL, true,
     "When `flowrun serve` starts it: {cron=, every=, rrule=, tz=, missed=, params=}, or a list."},
    {"on", NULL, FLOW, FR_OPTION_TABLE, 0, 0, NULL, NULL, false,
     "Events that start it: files, signals, other flows."},
    // where and how it runs
    {"resources", NULL, CALL, FR_OPTION_TABLE, 0, 0, NULL, NULL, true,
     "What an attempt needs: {cpu = 2}."},
    {"cpu", "resources", CALL, FR_OPTION_COUNT, 1, 1024, NULL, "1", true,
     "Cores that it may use while it runs."},
    {"memory", "resources", CALL, FR_OPTION_SIZE, 0, 0, NULL, NULL, true,
     "Memory that it needs: \"4GB\"; it waits until that is free. An isolated attempt gets no "
     "more."},
    {"gpu", "resources", CALL, FR_OPTION_COUNT, 0, 64, NULL, "0", true,
     "Graphics processors that it has to itself; fr.sh and isolated tasks see only these."},
    {"executor", NULL, CALL, FR_OPTION_ENUM, 0, 0, "thread|process", "thread", true,
     "Where attempts run: threads of the run, or processes of their own."},
    {"isolate", NULL, CALL, FR_OPTION_FLAG, 0, 0, NULL, "false", true,
     "Runs each attempt in a process of its own, as executor = \"process\" does."},
    // what is kept
    {"key", NULL, CALL, FR_OPTION_FUNCTION_OR_TEXT, 0, 0, NULL, NULL, true,
     "Names this call across runs of the flow body: text, or function(...) of the arguments."},
    {"cache", NULL, CALL, FR_OPTION_CACHE, 0, 0, NULL, NULL, true,
     "Uses results of earlier calls with the same arguments and code: true, how long they are "
     "good (\"1h\"), or {expires=, key=, version=, scope=, refresh=, files=}."},
    {"expires", "cache", CALL, FR_OPTION_DURATION, 1e-6, 1e10, NULL, NULL, true,
     "How long a cached result is good; for ever when not set."},
    {"key", "cache", TASK, FR_OPTION_FUNCTION, 0, 0, NULL, NULL, true,
     "function(...) of the arguments whose answer counts in their place."},
    {"version", "cache", CALL, FR_OPTION_VALUE, 0, 0, NULL, NULL, true,
     "Text or number that counts besides code and arguments: change it to compute anew."},
    {"scope", "cache", CALL, FR_OPTION_ENUM, 0, 0, "run|flow|global", "flow", true,
     "Whose results count: those of this run, of runs of this flow, or of all runs of the store."},
    {"refresh", "cache", CALL, FR_OPTION_FLAG, 0, 0, NULL, "false", true,
     "Computes anew, and keeps that for later calls."},
    {"files", "cache", CALL, FR_OPTION_NAMES, 0, 0, NULL, NULL, true,
     "Files that it reads (relative to the script): their content counts."},
    {"store", NULL, CALL, FR_OPTION_FLAG, 0, 0, NULL, "true", true,
     "false keeps no result: it is computed again on resume."},
    {"durable", NULL, BOTH, FR_OPTION_ENUM, 0, 0, "pipelined|strict", "pipelined", true,
     "strict waits until a result is on disk before anything uses it."},
    {"effect", NULL, CALL, FR_OPTION_FLAG, 0, 0, NULL, "false", true,
     "It acts on the world: it starts only when all that it uses is on disk."},
    {"undo", NULL, TASK, FR_OPTION_FUNCTION, 0, 0, NULL, NULL, true,
     "function(result, ...) that takes back what it did; see fr.rollback and the flow's rollback."},
    {"rollback", NULL, FLOW, FR_OPTION_FLAG, 0, 0, NULL, "false", true,
     "Runs the undo of every task that succeeded, latest first, when the run does not succeed."},
    {"outbox_wait", NULL, FLOW, FR_OPTION_DURATION, 0, 0, NULL, "10s", true,
     "How long its end waits for deliveries of fr.outbox; the next run makes the others."},
    // hooks
    {"on_start", NULL, BOTH, FR_OPTION_FUNCTION, 0, 0, NULL, NULL, true,
     "function(...) that runs when the first attempt starts."},
    {"on_success", NULL, BOTH, FR_OPTION_FUNCTION, 0, 0, NULL, NULL, true,
     "function(result, ...) that runs when it has succeeded."},
    {"on_failure", NULL, BOTH, FR_OPTION_FUNCTION, 0, 0, NULL, NULL, true,
     "function(err, ...) that runs when it has failed for good."},
    {"on_retry", NULL, BOTH, FR_OPTION_FUNCTION, 0, 0, NULL, NULL, true,
     "function(err, ...) that runs before each further attempt."},
    {"on_skip", NULL, TASK, FR_OPTION_FUNCTION, 0, 0, NULL, NULL, true,
     "function(...) that runs when it is skipped."},
    {"on_cancel", NULL, BOTH, FR_OPTION_FUNCTION, 0, 0, NULL, NULL, true,
     "function(err, ...) that runs when it was cancelled."},
};
// clang-format on

size_t fr_option_count(void) { return FR_COUNT(options); }

const fr_option *fr_option_at(size_t i)
{
    return i < FR_COUNT(options) ? &options[i] : NULL;
}

const fr_option *fr_option_find(const char *within, const char *name)
{
    for (size_t i = 0; i < FR_COUNT(options); i++) {
        const fr_option *o = &options[i];
        bool place = within == NULL || o->within == NULL
                         ? within == NULL && o->within == NULL
                         : strcmp(within, o->within) == 0;
        if (place && strcmp(o->name, name) == 0) {
            return o;
        }
    }
    return NULL;
}

const char *fr_option_type_name(fr_option_type type)
{
    static const char *const names[] = {
        [FR_OPTION_FLAG] = "flag",
        [FR_OPTION_COUNT] = "count",
        [FR_OPTION_NUMBER] = "number",
        [FR_OPTION_TEXT] = "text",
        [FR_OPTION_NAMES] = "names",
        [FR_OPTION_DURATION] = "duration",
        [FR_OPTION_DELAY] = "delay",
        [FR_OPTION_BACKOFF] = "backoff",
        [FR_OPTION_ENUM] = "enum",
        [FR_OPTION_FUNCTION] = "function",
        [FR_OPTION_CODES] = "codes",
        [FR_OPTION_FUNCTION_OR_TEXT] = "function_or_text",
        [FR_OPTION_VALUE] = "value",
        [FR_OPTION_HANDLES] = "handles",
        [FR_OPTION_LIMITS] = "limits",
        [FR_OPTION_FALLBACK] = "fallback",
        [FR_OPTION_CACHE] = "cache",
        [FR_OPTION_CONCURRENCY] = "concurrency",
        [FR_OPTION_SIZE] = "size",
        [FR_OPTION_CONDITION] = "condition",
        [FR_OPTION_TABLE] = "table",
    };
    return (size_t)type < FR_COUNT(names) ? names[type] : "?";
}
