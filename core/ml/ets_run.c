// The recursions of exponential smoothing and their derivatives.
//
// For both kinds of error the states move in the same way, by e = y - mean (of a
// multiplicative error r, e = mean r); the kinds differ in the likelihood alone.
#include "core/ml/ets_int.h"
#include "core/ml/special.h"

#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

INLINE double mean_of(char season, double base, double s)
{
    return season == 'N' ? base : season == 'A' ? base + s : base * s;
}

// The states after an error e = y - mean.
INLINE void move(char season, bool trend, ets_state *s, double base, double used,
                 double e)
{
    double to_level = season == 'M' ? e / used : e;
    s->level = base + s->alpha * to_level;
    if (trend) {
        s->slope = s->phi * s->slope + s->beta * to_level;
    }
    if (season != 'N') {
        s->season[s->at] = used + s->gamma * (season == 'M' ? e / base : e);
    }
}

INLINE ets_sums forward(char error, char season, bool trend, int period, const double *y,
                        int64_t n, ets_state *s, const ets_path *path)
{
    ets_sums sums = {.valid = true};
    for (int64_t t = 0; t < n; t++) {
        double base = trend ? s->level + s->phi * s->slope : s->level;
        double used = season == 'N' ? 0 : s->season[s->at];
        double mean = mean_of(season, base, used);
        bool positive = (season != 'M' || (base > 0 && used > 0)) &&
                        (error != 'M' || mean > 0);
        if (!positive || !isfinite(mean)) {
            sums.valid = false;
            return sums;
        }
        double e = isnan(y[t]) ? 0 : y[t] - mean;
        path->error[t] = e;
        path->base[t] = base;
        path->season[t] = used;
        path->slope[t] = s->slope;
        sums.absolute += e * e;
        if (error == 'M' && !isnan(y[t])) {
            sums.squares += e / mean * (e / mean);
            sums.logs += fr_special_log(mean);
        }
        move(season, trend, s, base, used, e);
        s->at = s->at + 1 == period ? 0 : s->at + 1;
    }
    sums.squares = error == 'M' ? sums.squares : sums.absolute;
    return sums;
}

// Adjoints of the states behind row t become those before it; gm is what the likelihood
// says of the mean of row t.
INLINE void back_step(char season, bool trend, const ets_state *p, const ets_path *path,
                      int64_t t, double gm, double *as, ets_gradient *g)
{
    double e = path->error[t], base = path->base[t], used = path->season[t];
    double al = g->level, ab = g->slope, asv = season == 'N' ? 0 : *as;
    double to_level = season == 'M' ? e / used : e;
    double to_season = season == 'M' ? e / base : e;
    double down = p->alpha * al + (trend ? p->beta * ab : 0);
    double ge = season == 'M' ? down / used + p->gamma * asv / base
                              : down + (season == 'A' ? p->gamma * asv : 0);
    g->alpha += al * to_level;
    g->beta += trend ? ab * to_level : 0;
    g->gamma += season == 'N' ? 0 : asv * to_season;
    gm -= ge; // e = y - mean
    double gq = al + (season == 'M' ? gm * used - p->gamma * asv * to_season / base : gm);
    if (season != 'N') {
        *as = asv + (season == 'M' ? gm * base - down * to_level / used : gm);
    }
    g->level = gq;
    if (trend) {
        g->phi += path->slope[t] * (ab + gq);
        g->slope = p->phi * (ab + gq);
    }
}

INLINE void backward(char error, char season, bool trend, const fr_ets_form *form,
                     const double *y, int64_t n, const ets_state *p, const ets_path *path,
                     const ets_sums *sums, int64_t observed, ets_gradient *g)
{
    int at = (int)((p->at + n) % form->period);
    double weight = 1 / sums->squares, each = 1 / (double)observed;
    for (int64_t t = n - 1; t >= 0; t--) {
        at = at == 0 ? form->period - 1 : at - 1;
        double e = path->error[t], gm = 0;
        if (!isnan(y[t]) && error == 'A') {
            gm = -e * weight;
        } else if (!isnan(y[t])) {
            double mean = mean_of(season, path->base[t], path->season[t]);
            gm = -e / mean * weight * y[t] / (mean * mean) + each / mean;
        }
        if (isnan(y[t])) { // e is 0 whatever the mean: the states just go on
            double gq = g->level;
            if (trend) {
                g->phi += path->slope[t] * (g->slope + gq);
                g->slope = p->phi * (g->slope + gq);
            }
            continue;
        }
        back_step(season, trend, p, path, t, gm, &g->season[at], g);
    }
}

#define EACH_FORM(call)                                                                  \
    do {                                                                                 \
        bool trend = form->trend == 'A';                                                 \
        if (form->error == 'A') {                                                        \
            switch (form->season) {                                                      \
            case 'N': trend ? call('A', 'N', true) : call('A', 'N', false); break;       \
            case 'A': trend ? call('A', 'A', true) : call('A', 'A', false); break;       \
            default: trend ? call('A', 'M', true) : call('A', 'M', false); break;        \
            }                                                                            \
        } else {                                                                         \
            switch (form->season) {                                                      \
            case 'N': trend ? call('M', 'N', true) : call('M', 'N', false); break;       \
            case 'A': trend ? call('M', 'A', true) : call('M', 'A', false); break;       \
            default: trend ? call('M', 'M', true) : call('M', 'M', false); break;        \
            }                                                                            \
        }                                                                                \
    } while (0)

ets_sums ets_forward(const fr_ets_form *form, const double *y, int64_t n, ets_state *s,
                     const ets_path *path)
{
    ets_sums sums = {0};
#define RUN(e, k, t) (void)(sums = forward(e, k, t, form->period, y, n, s, path))
    EACH_FORM(RUN);
#undef RUN
    return sums;
}

void ets_backward(const fr_ets_form *form, const double *y, int64_t n,
                  const ets_state *first, const ets_path *path, const ets_sums *sums,
                  int64_t observed, ets_gradient *out)
{
    double *season = out->season;
    *out = (ets_gradient){.season = season};
    memset(season, 0, (size_t)form->period * sizeof *season);
#define RUN(e, k, t) backward(e, k, t, form, y, n, first, path, sums, observed, out)
    EACH_FORM(RUN);
#undef RUN
}

double ets_step(const fr_ets_form *form, ets_state *s, double e)
{
    bool trend = form->trend == 'A';
    double base = trend ? s->level + s->phi * s->slope : s->level;
    double used = form->season == 'N' ? 0 : s->season[s->at];
    double mean = mean_of(form->season, base, used);
    double absolute = form->error == 'M' ? mean * e : e;
    if (form->season == 'M' && (base == 0 || used == 0)) {
        absolute = 0; // a simulated path that ran into zero stays there
        s->slope = trend ? s->phi * s->slope : 0;
        s->level = base;
    } else {
        move(form->season, trend, s, base, used, absolute);
    }
    s->at = s->at + 1 == form->period ? 0 : s->at + 1;
    return mean + absolute;
}
