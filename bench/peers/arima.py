"""One fit by statsmodels for bench/peers.lua and ts.lua: arima.py SERIES N p d q P D Q s

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


def main():
    name, n, *rest = sys.argv[1:]
    p, d, q, P, D, Q, s = map(int, rest)
    y = {"load": load, "sload": sload}[name](int(n), 42)
    best, budget, fit = 1e9, time.process_time() + 2, None
    while True:
        began = time.process_time()
        fit = ARIMA(y, order=(p, d, q), seasonal_order=(P, D, Q, s)).fit()
        best = min(best, time.process_time() - began)
        if time.process_time() > budget:
            break
    exact = SARIMAX(y, np.ones(len(y)) if d + D == 0 else None, order=(p, d, q),
                    seasonal_order=(P, D, Q, s), trend="n", simple_differencing=True)
    print(json.dumps({"cpu_s": best, "llf": exact.loglike(fit.params),
                      "version": "statsmodels " + statsmodels.__version__}))


main()
