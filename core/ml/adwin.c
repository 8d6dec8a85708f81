#include "core/ml/adwin.h"

#include "core/ml/special.h"

#include <math.h>
#include <string.h>

enum { DELTA, CLOCK, LEAST_PART, GRACE, RESET };

const fr_model_option fr_adwin_options[FR_ADWIN_OPTIONS] = {
    [DELTA] = {"delta", NULL, FR_MODEL_NUMBER, 0.002, 1e-300, 1, NULL,
               "probability of an alarm without a change; smaller: fewer, later alarms"},
    [CLOCK] = {"clock", NULL, FR_MODEL_INT, 32, 1, 1e9, NULL,
               "numbers between two looks for a change"},
    [LEAST_PART] = {"min_window_length", "min_window", FR_MODEL_INT, 5, 1, 1e9, NULL,
                    "fewest numbers of a part that is compared"},
    [GRACE] = {"grace_period", NULL, FR_MODEL_INT, 10, 0, 1e9, NULL,
               "no look for a change before the window holds more numbers"},
    [RESET] = {"reset", NULL, FR_MODEL_BOOL, 0, 0, 1, NULL,
               "an alarm drops the whole window, not only its older part"},
};

// Numbers of a window; far from filling the last level.
static const double most_width = 0x1p46;

enum { WIDTH, SUM, SPREAD, SEEN, LEVELS };

static double *level_of(double *state, size_t k)
{
    return state + FR_ADWIN_HEAD + k * FR_ADWIN_LEVEL;
}

static size_t count_of(const double *level) { return (size_t)level[0]; }

// Squared deviations that appear when parts of n and m numbers with these means join.
static double between(double n, double mean_n, double m, double mean_m)
{
    double off = mean_n - mean_m;
    return n * m * off * off / (n + m);
}

static void put(double *level, double sum, double spread)
{
    size_t n = count_of(level);
    level[1 + 2 * n] = sum;
    level[2 + 2 * n] = spread;
    level[0]++;
}

static void drop(double *level, size_t n)
{
    size_t left = count_of(level) - n;
    memmove(level + 1, level + 1 + 2 * n, 2 * left * sizeof *level);
    memset(level + 1 + 2 * left, 0, 2 * n * sizeof *level);
    level[0] = (double)left;
}

// A level that is full hands its two oldest buckets to the next, as one.
static void carry(double *state)
{
    double size = 1;
    for (size_t k = 0; k < (size_t)state[LEVELS]; k++, size *= 2) {
        double *level = level_of(state, k);
        if (count_of(level) < FR_ADWIN_BUCKETS) {
            return; // always so at the last level: see fr_adwin_sound
        }
        const double *b = level + 1;
        double sum = b[0] + b[2];
        double spread = b[1] + b[3] + between(size, b[0] / size, size, b[2] / size);
        if (k + 1 == (size_t)state[LEVELS]) {
            state[LEVELS]++;
        }
        put(level_of(state, k + 1), sum, spread);
        drop(level, 2);
    }
}

static void insert(double *state, double x)
{
    double n = state[WIDTH];
    if (n > 0) {
        state[SPREAD] += between(n, state[SUM] / n, 1, x);
    }
    state[WIDTH]++;
    state[SUM] += x;
    put(level_of(state, 0), x, 0);
    carry(state);
}

static void drop_oldest(double *state)
{
    size_t last = (size_t)state[LEVELS] - 1;
    double *level = level_of(state, last), size = ldexp(1, (int)last);
    double sum = level[1], spread = level[2];
    state[WIDTH] -= size;
    state[SUM] -= sum;
    state[SPREAD] -=
        spread + between(size, sum / size, state[WIDTH], state[SUM] / state[WIDTH]);
    state[SPREAD] = fmax(0, state[SPREAD]); // rounding
    drop(level, 1);
    if (count_of(level) == 0 && last > 0) {
        state[LEVELS]--;
    }
}

// Whether parts of n0 old and n1 new numbers have means too far apart for chance: the
// bound of the paper's section 4.2, with the window's variance.
static bool differ(const double *option, const double *state, double n0, double n1,
                   double off)
{
    double least = option[LEAST_PART];
    if (n0 < least || n1 < least) {
        return false;
    }
    double variance = state[SPREAD] / state[WIDTH];
    double m = 1 / (n0 - least + 1) + 1 / (n1 - least + 1);
    double sure = fr_special_log(2 * fr_special_log(state[WIDTH]) / option[DELTA]);
    return fabs(off) > sqrt(2 * m * variance * sure) + 2.0 / 3 * sure * m;
}

// Looks at all cuts between buckets, oldest first.
static bool has_changed(const double *option, double *state)
{
    double n0 = 0, u0 = 0, n1 = state[WIDTH], u1 = state[SUM];
    for (size_t k = (size_t)state[LEVELS]; k-- > 0;) {
        const double *level = level_of(state, k);
        double size = ldexp(1, (int)k);
        for (size_t b = 0; b < count_of(level); b++) {
            n0 += size;
            n1 -= size;
            u0 += level[1 + 2 * b];
            u1 -= level[1 + 2 * b];
            if (n1 > 0 && differ(option, state, n0, n1, u0 / n0 - u1 / n1)) {
                return true;
            }
        }
    }
    return false;
}

void fr_adwin_start(const double *option, const fr_monitor_base *base, double *state)
{
    (void)option;
    (void)base;
    memset(state, 0, FR_ADWIN_SIZE * sizeof *state);
    state[LEVELS] = 1;
}

void fr_adwin_step(const double *option, const fr_monitor_base *base, double *state,
                   double x, double *out)
{
    insert(state, x);
    state[SEEN]++;
    bool alarm = false;
    if (fmod(state[SEEN], option[CLOCK]) == 0 && state[WIDTH] > option[GRACE]) {
        while (has_changed(option, state)) {
            alarm = true;
            drop_oldest(state);
        }
    }
    out[0] = state[SUM] / state[WIDTH];
    out[1] = state[WIDTH];
    out[2] = alarm;
    if (alarm && option[RESET] != 0) {
        fr_adwin_start(option, base, state);
    }
}

bool fr_adwin_sound(const double *state)
{
    double width = 0;
    if (!(state[LEVELS] >= 1 && state[LEVELS] <= FR_ADWIN_LEVELS) ||
        state[LEVELS] != floor(state[LEVELS])) {
        return false;
    }
    for (size_t k = 0; k < FR_ADWIN_LEVELS; k++) {
        double n = state[FR_ADWIN_HEAD + k * FR_ADWIN_LEVEL];
        bool in_use = (double)k < state[LEVELS];
        if (!(n >= 0 && n < FR_ADWIN_BUCKETS) || n != floor(n) || (n > 0 && !in_use)) {
            return false;
        }
        width += n * ldexp(1, (int)k);
    }
    double last = state[FR_ADWIN_HEAD + ((size_t)state[LEVELS] - 1) * FR_ADWIN_LEVEL];
    return width == state[WIDTH] && width < most_width &&
           (state[LEVELS] == 1 || last >= 1);
}
