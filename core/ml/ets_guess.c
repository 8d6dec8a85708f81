// Where the search for exponential smoothing starts.
#include "core/base/mem.h"
#include "core/ml/ets_int.h"

#include <math.h>

// Centred moving average over a period at row t; NaN where it does not reach or a value
// is missing.
static double centred(const double *y, int64_t n, int m, int64_t t)
{
    int64_t half = m / 2;
    if (t - half < 0 || t + half >= n) {
        return (double)NAN;
    }
    double sum = 0;
    for (int64_t k = -half; k <= half; k++) {
        bool end = m % 2 == 0 && (k == -half || k == half);
        sum += end ? y[t + k] / 2 : y[t + k];
    }
    return sum / m;
}

static void guess_season(const fr_ets_form *form, const double *y, int64_t n,
                         double *season)
{
    int m = form->period;
    bool times = form->season == 'M';
    double total = 0;
    for (int k = 0; k < m; k++) {
        double sum = 0;
        int count = 0;
        for (int64_t t = k; t < n; t += m) {
            double trend = centred(y, n, m, t);
            double v = times ? y[t] / trend : y[t] - trend;
            if (isfinite(v)) {
                sum += v;
                count++;
            }
        }
        season[k] = count > 0 ? sum / count : times;
        total += season[k];
    }
    for (int k = 0; k < m; k++) {
        season[k] = times ? season[k] * m / total : season[k] - total / m;
        if (times && !(season[k] > 0.01)) {
            season[k] = 0.01;
        }
    }
}

// Straight line through the first rows without their season.
static void guess_line(const fr_ets_form *form, const double *y, int64_t n,
                       const double *season, double *level, double *slope)
{
    double st = 0, sv = 0, stt = 0, stv = 0, count = 0;
    for (int64_t t = 0; t < n; t++) {
        double s = form->season == 'N' ? 0 : season[t % form->period];
        double v = form->season == 'M' ? y[t] / s : y[t] - s, x = (double)t + 1;
        if (isfinite(v)) {
            st += x;
            sv += v;
            stt += x * x;
            stv += x * v;
            count++;
        }
    }
    double spread = stt - st * st / FR_MAX(count, 1.0);
    *slope = count > 1 && spread > 0 ? (stv - st * sv / count) / spread : 0;
    *level = count > 0 ? sv / count - *slope * st / count : 0;
    if (form->trend == 'N') {
        *level = count > 0 ? sv / count : 0;
        *slope = 0;
    }
}

void ets_guess(const fr_ets_form *form, const double *y, int64_t n, double *initial)
{
    int64_t rows = form->season == 'N' ? 10 : FR_MAX(4 * (int64_t)form->period, 10);
    rows = FR_MIN(rows, n);
    double *season = initial + 2;
    if (form->season != 'N') {
        guess_season(form, y, rows, season);
    }
    int64_t line = form->season == 'N' ? rows : FR_MIN(rows, 2 * (int64_t)form->period);
    guess_line(form, y, line, season, &initial[0], &initial[1]);
    bool positive = form->error == 'M' || form->season == 'M';
    double first = 0;
    for (int64_t t = 0; t < n && positive && !(first > 0); t++) {
        first = isnan(y[t]) ? 0 : y[t];
    }
    if (positive && !(initial[0] + initial[1] > 0)) {
        initial[0] = first;
        initial[1] = 0;
    }
}
