"""DBOS on SQLite: durable steps; it has no map, so a chain of steps that do nothing stands for it."""
import os
import sys
import time

sys.path.append(sys.path.pop(0))  # this file has the name of the package
from dbos import DBOS  # noqa: E402

from common import CHAIN, memory_mb, report, since_start, timed  # noqa: E402

N = 1000
DBOS(config={"name": "bench", "system_database_url": "sqlite:///dbos.sqlite", "log_level": "ERROR"})


@DBOS.step()
def nop(x):
    return x


@DBOS.step()
def ten(x):
    time.sleep(0.010)
    return x


@DBOS.workflow()
def chain(step, n):
    x = 0
    for _ in range(n):
        x = (ten if step == "ten" else nop)(x)
    return x


DBOS.launch()
chain("nop", 1)
start = since_start()
report(start_s=start, chain_s=timed(chain, "ten", CHAIN), map_n=N, map_s=timed(chain, "nop", N),
       memory_mb=memory_mb())
os._exit(0)
