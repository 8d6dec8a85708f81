"""One fit by statsmodels for bench/peers.lua and ts.lua: arima.py SERIES N [best] p d q P D Q s,
or arima.py load N holt_winters PERIOD

Prints as JSON the process CPU seconds of the fastest of some fits and the log-likelihood of the
parameters it found, with the differences taken beforehand (its own default starts the levels
with an approximate diffuse prior, which shifts the value).
"""
import json
import sys
import time
import warnings

import numpy as np
import statsmodels
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.holtwinters import ExponentialSmoothing
from statsmodels.tsa.statespace.sarimax import SARIMAX

warnings.simplefilter("ignore")


def load(n, seed):
    noise = np.random.RandomState(seed).normal(0, 30, n)
    return 900 + 100 * np.sin(2 * np.pi * (np.arange(n) % 24) / 24) + noise


def sload(n, seed):
    e = np.random.RandomState(seed).normal(0, 10, n + 200)
    x = np.zeros(n + 200)
    for t in range(26, n + 200):
        x[t] = 0.6 * x[t - 1] + 0.5 * x[t - 24] - 0.3 * x[t - 25] + e[t] + 0.3 * e[t - 1]
    return 900 + x[200:]


def best_path(y, order, season):
    """statsmodels' fastest way to the maximum: the innovations algorithm without a season, else
    Chandrasekhar recursions on the demeaned series, without standard errors."""
    if season[3] == 0:
        return ARIMA(y, order=order).fit(method="innovations_mle", cov_type="none")
    m = SARIMAX(y - y.mean(), order=order, seasonal_order=season, simple_differencing=True)
    m.ssm.filter_chandrasekhar = True
    return m.fit(disp=0, cov_type="none")


def holt_winters(y, period):
    began = time.process_time()
    fit = ExponentialSmoothing(y, trend="add", seasonal="add", seasonal_periods=period).fit()
    print(json.dumps({"cpu_s": time.process_time() - began, "sse": float(fit.sse),
                      "version": "statsmodels " + statsmodels.__version__}))


def main():
    name, n, *rest = sys.argv[1:]
    if rest[0] == "holt_winters":
        return holt_winters(load(int(n), 42), int(rest[1]))
    best_wanted = rest[0] == "best"
    p, d, q, P, D, Q, s = map(int, rest[best_wanted:])
    y = {"load": load, "sload": sload}[name](int(n), 42)
    best, budget, fit = 1e9, time.process_time() + 2, None
    while True:
        began = time.process_time()
        if best_wanted:
            fit = best_path(y, (p, d, q), (P, D, Q, s))
        else:
            fit = ARIMA(y, order=(p, d, q), seasonal_order=(P, D, Q, s)).fit()
        best = min(best, time.process_time() - began)
        if time.process_time() > budget:
            break
    if best_wanted:
        return print(json.dumps({"cpu_s": best,
                                 "version": "statsmodels " + statsmodels.__version__}))
    exact = SARIMAX(y, np.ones(len(y)) if d + D == 0 else None, order=(p, d, q),
                    seasonal_order=(P, D, Q, s), trend="n", simple_differencing=True)
    print(json.dumps({"cpu_s": best, "llf": exact.loglike(fit.params),
                      "version": "statsmodels " + statsmodels.__version__}))


main()
