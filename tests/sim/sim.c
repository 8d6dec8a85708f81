// sim -- random flows against the real scheduler, in a world where everything can go
// wrong.
//
// One seed makes a flow (flows.lua), the outcomes of its bodies, the order of all events
// and up to six crashes. Flow bodies run on the shipped handle, key and replay code; only
// fr_io is fake (world.c). oracle.c judges. Every run that ends is replayed once more,
// which must execute nothing and end the same way. Usage: sim [--from N] [--seeds N]
// [--jobs N] [--seed N (one, with a trace)] [--bug N (in sim_bugs)]
//            [--expect-failure TEXT[|TEXT] (the first problem must hold one of them)]
// Without --seeds the environment variable FLOWRUN_SIM_SEEDS counts, else 10,000.
#include "core/base/clock.h"
#include "lua/bind/vm.h"
#include "tests/sim/world.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_CRASHES = 6, MAX_STEPS = 20000, MAX_RERUNS = 2, MAX_JOBS = 16 };

int fr_seeded_bug;

static const char *const event_names[] = {
#define X(name) #name,
    SIM_EVENTS(X)
#undef X
};

// Every move the scheduler makes today; another one, or one that never happens, is a
// failure.
static const struct {
    fr_state from, to;
} known_moves[] = {
    {FR_WAITING, FR_SUCCESS},
    {FR_STATE_NONE, FR_WAITING}, {FR_WAITING, FR_QUEUED},     {FR_WAITING, FR_SCHEDULED},
    {FR_WAITING, FR_SKIPPED},    {FR_RUNNING, FR_SKIPPED},   {FR_CANCELLING, FR_SKIPPED},
    {FR_WAITING, FR_DEFERRED},   {FR_WAITING, FR_FAILED},     {FR_WAITING, FR_STOPPED},
    {FR_SCHEDULED, FR_QUEUED},   {FR_SCHEDULED, FR_STOPPED}, {FR_SCHEDULED, FR_FAILED},
    {FR_QUEUED, FR_FAILED},  {FR_QUEUED, FR_RUNNING},
    {FR_QUEUED, FR_STOPPED},     {FR_RUNNING, FR_SCHEDULED},  {FR_RUNNING, FR_CANCELLING},
    {FR_RUNNING, FR_SUCCESS},    {FR_RUNNING, FR_FAILED},     {FR_RUNNING, FR_STOPPED},
    {FR_DEFERRED, FR_SUCCESS},   {FR_DEFERRED, FR_STOPPED},   {FR_CANCELLING, FR_SUCCESS},
    {FR_CANCELLING, FR_FAILED},  {FR_CANCELLING, FR_STOPPED}, {FR_QUEUED, FR_SUCCESS},
    {FR_QUEUED, FR_FAILED},      {FR_RUNNING, FR_DEFERRED},   {FR_DEFERRED, FR_SCHEDULED},
    {FR_DEFERRED, FR_FAILED},    {FR_SCHEDULED, FR_SUCCESS},
};

// --- one process life ---

static int sim_now(lua_State *L)
{
    lua_pushnumber(L, (double)world_wall() / 1e9);
    return 1;
}

static int sim_saw(lua_State *L)
{
    if (lua_isinteger(L, 1)) {
        oracle_saw(lua_tointeger(L, 1));
    } else if (lua_istable(L, 1)) {
        for (lua_Integer i = 1; lua_rawgeti(L, 1, i) != LUA_TNIL; i++) {
            if (lua_isinteger(L, -1)) {
                oracle_saw(lua_tointeger(L, -1));
            }
            lua_pop(L, 1);
        }
    }
    return 0;
}

static int sim_check(lua_State *L)
{
    if (!lua_toboolean(L, 1)) {
        sim_fail("%s", luaL_checkstring(L, 2));
    }
    return 0;
}

static void boot(bool rerun)
{
    W.code.durable = W.n_log;
    fr_sched_env env = {
        .io = &world_io, .code = &W.code, .seed = W.seed, .strict = W.strict,
        .flow = "sim:whole", .rollback = W.seed % 3 == 0,
        .max_running = world_most(),
        .flow_asks = FR_ASKS(FR_ASK_ON_START) | FR_ASKS(FR_ASK_ON_SUCCESS) |
                     FR_ASKS(FR_ASK_ON_FAILURE)};
    W.boots++;
    sim_count(boot);
    W.totals.events[EV_boot_strict] += W.strict;
    W.totals.events[EV_boot_rerun] += rerun;
    W.totals.events[EV_boot_changed] += W.change > 0;
    sim_note("boot%s%s", rerun ? ", rerun" : "", W.change > 0 ? ", changed code" : "");
    W.due = INT64_MAX;
    W.n_fly = 0;
    kept_crash(W.n_log);               // questions go with the process that asked
    W.jumped = W.drains = false;
    W.boot_wall = world_wall();
    fr_map_fini(&W.rows);
    fr_map_init(&W.rows);
    W.rows_known = 0;
    W.host = flow_host_new(W.L);
    W.host->info.seed = W.seed;
    W.s = W.host->sched = fr_sched_new(&env);
    fr_sched_now(W.s, W.now, world_wall());
    limits_boot();
    W.synced = W.n_log;
    fr_err err = FR_ERR_INIT;
    for (size_t i = 0; i < W.n_log; i++) {
        if (fr_sched_load(W.s, &W.log[i].r, &err) != FR_OK) {
            sim_fail("the log does not load: %s", err.text);
            return;
        }
    }
    for (; W.n_marks > 0; W.n_marks--) {
        const on_cpu *m = &W.marks[W.n_marks - 1];
        fr_sched_suspect(W.s, m->key, m->item, m->signal);
    }
    if (rerun) {
        fr_sched_drop_unhandled(W.s);
    }
    lua_getfield(W.L, LUA_REGISTRYINDEX, "sim.body");
    lua_pushinteger(W.L, (lua_Integer)W.seed);
    lua_pushboolean(W.L, W.pure);
    lua_pushinteger(W.L, W.change);
    lua_call(W.L, 3, 1);
    flow_host_branch(W.host, FR_ROOT_BRANCH, flow_host_thread(W.L, 0));
    outside_boot();
    fr_sched_begin(W.s);
}

static void shut_down(void)
{
    for (int from = 0; from <= FR_STOPPED; from++) {
        for (int to = 0; to <= FR_STOPPED; to++) {
            W.totals.moves[from][to] += fr_sched_moves(W.s, (fr_state)from, (fr_state)to);
        }
    }
    W.calls = FR_MAX(W.calls, fr_sched_count(W.s));
    fr_sched_free(W.s);
    flow_host_free(W.host);
    W.s = NULL;
    W.host = NULL;
    lua_settop(W.L, 0);
}

static void fire_timer(void)
{
    W.now = FR_MAX(W.now, W.due);
    sim_count(timer);
    fr_sched_now(W.s, W.now, world_wall());
    fr_sched_timer(W.s);
}

static void let_time_pass(void)
{
    W.now += (int64_t)sim_pick(2000000000);
    if (sim_pick(100) == 0) { // the wall clock is set, up to an hour
        sim_count(clock_jump);
        W.jumped = true;
        W.skew += ((int64_t)sim_pick(7200) - 3600) * 1000000000;
    }
    fr_sched_now(W.s, W.now, world_wall());
}

// One thing that happens next; false: nothing can.
static bool happen(void)
{
    fr_sched_now(W.s, W.now, world_wall());
    bool busy = fr_sched_busy(W.s);
    fr_sched_run(W.s, 1 + (uint32_t)sim_pick(8)); // as the engine does after every input
    if (busy) {
        return true;
    }
    int can[8], n = 0;
    if (sim_pick(12) == 0) {
        limits_others();
    }
    if (W.synced < W.n_log || limits_uncommitted()) {
        can[n++] = 0;
    }
    if (W.n_fly > 0) {
        can[n++] = 1;
        can[n++] = 1;
    }
    if (W.due != INT64_MAX && (W.n_fly == 0 || sim_pick(4) == 0)) {
        can[n++] = 2;
    }
    if (limits_can()) {
        can[n++] = 4;
        can[n++] = 4;
    }
    if ((n == 0 || sim_pick(10) == 0) && outside_awaited()) {
        can[n++] = 3;
    }
    if (kept_waits() && (n == 0 || sim_pick(2) == 0)) {
        kept_answer();
        return true;
    }
    if (n == 0) {
        return false;
    }
    let_time_pass();
    if (!W.pure && !W.over && sim_pick(60) == 0) {
        outside_early();
    }
    switch (can[sim_pick((uint64_t)n)]) {
    case 0:
        world_commit();
        break;
    case 1:
        world_step();
        break;
    case 3:
        outside_answer();
        break;
    case 2:
        fire_timer();
        break;
    default:
        limits_step();
        break;
    }
    return true;
}

static void ask_to_stop(void)
{
    bool timeout = sim_pick(3) == 0;
    W.cancelled = true;
    W.totals.events[timeout ? EV_flow_timeout : EV_user_cancel]++;
    sim_note("cancel asked");
    fr_sched_cancel(W.s, timeout ? FR_ETIMEOUT : FR_ECANCELLED, "simulated");
}

// Runs until the end or a crash; true when it ended and is durable.
static bool live(bool may_crash, bool may_cancel)
{
    for (int step = 0; step < MAX_STEPS && W.problem[0] == '\0'; step++) {
        if (!W.drains && fr_sched_ended(W.s) && !fr_sched_busy(W.s) && !fr_sched_closing(W.s, false)) {
            fr_sched_close_log(W.s);
            if (W.synced == W.n_log) {
                return true;
            }
        }
        if (may_crash && sim_pick(W.drains ? 10 : 50) == 0) {
            W.totals.events[W.drains ? EV_drain_stopped : EV_drain]++;
            W.drains = true;
            sim_note("drain");
            fr_sched_drain(W.s);
        }
        if (W.drains && fr_sched_drained(W.s)) {
            world_drained();
            return false;
        }
        if (may_crash && sim_pick(14) == 0) {
            world_crash();
            return false;
        }
        if (may_cancel && !W.cancelled && sim_pick(40) == 0) {
            ask_to_stop();
        }
        if (!happen()) {
            sim_fail("nothing can happen, yet the run has not ended");
        }
        if (W.dead) {
            world_crash();
            return false;
        }
    }
    sim_fail("no end after %d steps", MAX_STEPS);
    return false;
}

// How the run ended, as text. The error is left out: which of several failures comes
// first is a race.
static char *outcome_text(fr_state *state)
{
    fr_outcome o;
    fr_sched_outcome(W.s, &o);
    fr_buf b;
    fr_buf_init(&b, 1 << 20);
    fr_buf_printf(&b, "%s/%s ", fr_state_name(o.state), fr_reason_name(o.reason));
    if (o.result != NULL) {
        fr_value_json(o.result, &b, 100000);
    }
    *state = o.state;
    char *text = fr_strdup(fr_buf_text(&b));
    fr_buf_fini(&b);
    return text;
}

// What differs in how two lives of a run ended.
static void fail_ends(const char *what, const char *got, const char *want)
{
    size_t same = 0;
    while (got[same] != '\0' && got[same] == want[same]) {
        same++;
    }
    size_t from = same > 20 ? same - 20 : 0;
    sim_fail("%s: %.12s ... %.60s, expected %.12s ... %.60s", what, got, got + from, want,
             want + from);
}

// Code that changed is noticed with a clear message, or it did not matter yet.
static bool diverged(void)
{
    const char *why = fr_sched_divergence(W.s);
    if (why == NULL) {
        return false;
    }
    sim_note("%s", why);
    if (W.change == 0) {
        sim_fail("%s", why);
    } else if (strncmp(why, "diverged", 8) != 0) {
        sim_fail("a change of the code is reported as: %s", why);
    }
    sim_count(divergence);
    return true;
}

// Replaying the finished run executes nothing and ends the same way.
static void check_replay(const char *first)
{
    uint64_t before = W.executions;
    size_t records = W.n_log;
    W.over = true;
    boot(false);
    if (W.problem[0] == '\0' && live(false, false)) {
        fr_state state;
        char *again = outcome_text(&state);
        if (diverged() || strcmp(first, again) != 0) {
            fail_ends("the replay ends in another way than the run", again, first);
        }
        fr_free(again);
        size_t closing = state == FR_SUCCESS ? 0 : 1; // it names its failures once more
        if (W.executions != before || W.n_log != records + closing) {
            sim_fail("the replay of the finished run executed %" PRIu64
                     " bodies, wrote %zu records",
                     W.executions - before, W.n_log - records - closing);
        }
        sim_count(replayed_all);
    }
    W.over = false;
    shut_down();
}

static void end_life(bool rebooted)
{
    shut_down();
    if (rebooted) { // another monotonic clock, wall time goes on
        int64_t wall = world_wall() + (int64_t)sim_pick(100) * 1000000000;
        W.now = (int64_t)sim_pick(1000000) * 1000000;
        W.skew = wall - W.now;
    }
}

// Lives until the run has ended for good; returns how, or NULL when it diverged or went
// wrong.
static char *live_on(uint32_t crashes, bool may_cancel, bool may_rerun, bool may_change)
{
    for (bool rerun = false; W.problem[0] == '\0';) {
        boot(rerun);
        bool ended = W.problem[0] == '\0' && live(W.crashes < crashes, may_cancel);
        rerun = false;
        if (!ended) {
            end_life(W.problem[0] == '\0');
            if (may_change && W.change == 0 && sim_pick(2) == 0) {
                W.change = 1 + (uint32_t)sim_pick(1000);
            }
            continue;
        }
        fr_state state;
        char *text = outcome_text(&state);
        W.totals.events[state == FR_SUCCESS  ? EV_ended_success
                        : state == FR_FAILED ? EV_ended_failed
                                             : EV_ended_stopped]++;
        oracle_end();
        outside_check();
        hooks_check();
        outside_ended();
        bool off = diverged();
        sim_note("ended: %s", text);
        end_life(true);
        if (!off && W.problem[0] == '\0') {
            check_replay(text);
            rerun = may_rerun && state != FR_SUCCESS && W.reruns < MAX_RERUNS &&
                    W.change == 0;
        }
        if (off || !rerun) {
            return text;
        }
        fr_free(text);
        W.reruns++;
        W.cancelled = false;
    }
    return NULL;
}

static bool simulate(uint64_t seed, bool trace)
{
    W.seed = seed;
    world_forget();
    W.trace = trace;
    W.problem[0] = '\0';
    W.stops = false;
    W.calls = 0;
    fr_rand_init(&W.rand, seed, 77);
    uint32_t crashes = 1 + (uint32_t)sim_pick(MAX_CRASHES);
    W.pure = sim_pick(8) == 0;
    W.strict = sim_pick(6) == 0;
    W.deadly = sim_pick(6) == 0;
    bool may_cancel = !W.pure && sim_pick(8) == 0,
         may_rerun = !W.pure && sim_pick(2) == 0;
    bool may_change = !W.pure && sim_pick(25) == 0;
    char *alone = W.pure ? live_on(0, false, false, false) : NULL, *text = NULL;
    if (W.problem[0] == '\0') {
        if (W.pure) { // the same run, undisturbed, says what is right
            world_forget();
        }
        text = live_on(crashes, may_cancel, may_rerun, may_change);
    }
    if (alone != NULL && text != NULL) {
        if (strcmp(alone, text) != 0) {
            fail_ends("disturbed the run ends in another way", text, alone);
        }
        sim_count(same_result);
    }
    fr_free(alone);
    fr_free(text);
    W.totals.seeds++;
    W.totals.calls += W.calls;
    W.totals.usual += W.calls >= 5 && W.calls <= 60;
    return W.problem[0] == '\0';
}

// --- all seeds ---

static void open_lua(void)
{
    W.L = fr_vm_new(NULL);
    static const luaL_Reg functions[] = {
        {"now", sim_now}, {"saw", sim_saw}, {"check", sim_check}, {NULL, NULL}};
    int rc = luaL_loadfile(W.L, FR_SIM_FLOWS);
    if (rc == LUA_OK) {
        luaL_newlib(W.L, functions);
        rc = lua_pcall(W.L, 1, 1, 0);
    }
    if (rc != LUA_OK) {
        (void)fprintf(stderr, "sim: %s\n", lua_tostring(W.L, -1));
        exit(2);
    }
    lua_getfield(W.L, -1, "body");
    lua_setfield(W.L, LUA_REGISTRYINDEX, "sim.body");
    lua_settop(W.L, 0);
}

typedef struct job_result {
    sim_totals totals;
    uint64_t bad_seed; // 0 = none
    char problem[PROBLEM_SIZE];
} job_result;

static job_result run_job(uint64_t from, uint64_t end, uint64_t step)
{
    job_result r = {0};
    open_lua();
    for (uint64_t seed = from; seed < end && r.bad_seed == 0; seed += step) {
        if (!simulate(seed, false)) {
            r.bad_seed = seed;
            memcpy(r.problem, W.problem, sizeof r.problem);
        }
    }
    r.totals = W.totals;
    return r;
}

static void add_result(job_result *sum, const job_result *r)
{
    const uint64_t *from = (const uint64_t *)&r->totals;
    uint64_t *to = (uint64_t *)&sum->totals;
    for (size_t i = 0; i < sizeof(sim_totals) / sizeof(uint64_t); i++) {
        to[i] += from[i];
    }
    if (r->bad_seed != 0 && (sum->bad_seed == 0 || r->bad_seed < sum->bad_seed)) {
        sum->bad_seed = r->bad_seed;
        memcpy(sum->problem, r->problem, sizeof sum->problem);
    }
}

// Several processes, each with every jobs-th seed.
static job_result run_jobs(uint64_t from, uint64_t seeds, uint64_t jobs)
{
    if (jobs == 1) {
        return run_job(from, from + seeds, 1);
    }
    int pipes[MAX_JOBS][2];
    job_result sum = {0}, r;
    for (uint64_t j = 0; j < jobs; j++) {
        if (pipe(pipes[j]) != 0) {
            exit(2);
        }
        if (fork() == 0) {
            r = run_job(from + j, from + seeds, jobs);
            _exit(write(pipes[j][1], &r, sizeof r) == (ssize_t)sizeof r ? 0 : 2);
        }
        (void)close(pipes[j][1]);
    }
    for (uint64_t j = 0; j < jobs; j++) {
        size_t got = 0;
        for (ssize_t n; got < sizeof r; got += (size_t)n) {
            n = read(pipes[j][0], (char *)&r + got, sizeof r - got);
            if (n <= 0) {
                (void)printf("job %" PRIu64 " died; its seeds are %" PRIu64 ", %" PRIu64
                             " ...\n",
                             j, from + j, from + j + jobs);
                exit(1);
            }
        }
        (void)close(pipes[j][0]);
        (void)wait(NULL);
        add_result(&sum, &r);
    }
    return sum;
}

static bool report(const sim_totals *t, double seconds)
{
    double n = (double)FR_MAX(t->seeds, 1);
    bool whole = true, known[FR_STOPPED + 1][FR_STOPPED + 1] = {0};
    (void)printf("%" PRIu64
                 " seeds in %.1f s, %.0f seeds/s, per seed %.2f crashes, %.1f calls "
                 "(5 to 60 in %.1f %%)\n",
                 t->seeds, seconds, n / seconds, (double)t->events[EV_crash] / n,
                 (double)t->calls / n, 100 * (double)t->usual / n);
    for (int i = 0; i < EV_COUNT; i++) {
        (void)printf("  %-22s %12" PRIu64 "%s\n", event_names[i], t->events[i],
                     t->events[i] == 0 ? "  <- never" : "");
        whole = whole && t->events[i] > 0;
    }
    for (size_t i = 0; i < FR_COUNT(known_moves); i++) {
        fr_state from = known_moves[i].from, to = known_moves[i].to;
        known[from][to] = true;
        (void)printf("  move %-10s -> %-10s %10" PRIu64 "%s\n", fr_state_name(from),
                     fr_state_name(to), t->moves[from][to],
                     t->moves[from][to] == 0 ? "  <- never" : "");
        whole = whole && t->moves[from][to] > 0;
    }
    for (int from = 0; from <= FR_STOPPED; from++) {
        for (int to = 0; to <= FR_STOPPED; to++) {
            if (t->moves[from][to] > 0 && !known[from][to]) {
                (void)printf("  move %s -> %s is new: list it\n",
                             fr_state_name((fr_state)from), fr_state_name((fr_state)to));
                whole = false;
            }
        }
    }
    return whole && (double)t->events[EV_crash] >= 2 * n && (double)t->usual >= 0.9 * n;
}

static bool expected(const char *problem, const char *texts)
{
    for (const char *at = texts; at != NULL;) {
        const char *bar = strchr(at, '|');
        size_t n = bar != NULL ? (size_t)(bar - at) : strlen(at);
        for (const char *p = problem; *p != '\0'; p++) {
            if (strncmp(p, at, n) == 0) {
                return true;
            }
        }
        at = bar != NULL ? bar + 1 : NULL;
    }
    return false;
}

static int verdict(const job_result *r, double seconds, const char *expect,
                   const char *program)
{
    if (r->bad_seed != 0) {
        (void)printf("seed %" PRIu64 ": %s\n  replay it: %s --bug %d --seed %" PRIu64 "\n",
                     r->bad_seed, r->problem, program, fr_seeded_bug, r->bad_seed);
        if (expect != NULL && !expected(r->problem, expect)) {
            (void)printf("expected another problem: %s\n", expect);
            return 1;
        }
        return expect == NULL;
    }
    bool whole = report(&r->totals, seconds);
    if (expect != NULL) {
        (void)printf("the planted bug was not found\n");
        return 1;
    }
    if (!whole && r->totals.seeds >= 1000) {
        (void)printf("something never happened: the simulation does not test it\n");
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *expect = NULL, *env = getenv("FLOWRUN_SIM_SEEDS");
    uint64_t from = 1, jobs = 1, one = 0,
             seeds = env != NULL ? strtoull(env, NULL, 10) : 10000;
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t v = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--bug") == 0) {
            fr_seeded_bug = (int)v;
        } else if (strcmp(argv[i], "--expect-failure") == 0) {
            expect = argv[i + 1];
        } else if (strcmp(argv[i], "--from") == 0) {
            from = v;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            seeds = v;
        } else if (strcmp(argv[i], "--jobs") == 0) {
            jobs = FR_MIN(FR_MAX(v, 1), MAX_JOBS);
        } else if (strcmp(argv[i], "--seed") == 0) {
            one = v;
        } else {
            (void)fprintf(stderr, "sim: unknown option %s\n", argv[i]);
            return 2;
        }
    }
    fr_map_init(&W.keys);
    fr_map_init(&W.nonces);
    fr_map_init(&W.rows);
    fr_map_init(&W.suspects);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 28); // each boot frees what the next one takes
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 28);
    if (one != 0) {
        open_lua();
        bool ok = simulate(one, true);
        (void)printf("seed %" PRIu64 ": %s\n", one, ok ? "ok" : W.problem);
        return !ok;
    }
    int64_t start = fr_clock_mono_ns();
    job_result r = run_jobs(from, seeds, jobs);
    return verdict(&r, (double)(fr_clock_mono_ns() - start) / 1e9, expect, argv[0]);
}
