"""Prefect: its first flow starts a server of its own."""
import os
import sys
import time

sys.path.append(sys.path.pop(0))  # this file has the name of the package
os.environ.update(PREFECT_HOME=os.getcwd(), PREFECT_LOGGING_LEVEL="CRITICAL")
from prefect import flow, task  # noqa: E402

from common import CHAIN, memory_mb, report, since_start, timed  # noqa: E402

N = 1000


@task
def nop(x):
    return x


@task
def ten(x):
    time.sleep(0.010)
    return x


@flow
def hello():
    return nop(1)


@flow
def chain(n):
    x = 0
    for _ in range(n):
        x = ten(x)
    return x


@flow
def fan(n):
    return [f.result() for f in nop.map(list(range(n)))]


hello()
start = since_start()
report(start_s=start, chain_s=timed(chain, CHAIN), map_n=N, map_s=timed(fan, N), memory_mb=memory_mb())
