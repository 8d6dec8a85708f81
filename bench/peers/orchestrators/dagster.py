"""Dagster in process, on a store of its own; a map is left out."""
import os
import sys
import time

sys.path.append(sys.path.pop(0))  # this file has the name of the package
import dagster as dg  # noqa: E402

from common import CHAIN, memory_mb, report, since_start, timed  # noqa: E402


@dg.op
def begin() -> int:
    return 0


@dg.op
def ten(x: int) -> int:
    time.sleep(0.010)
    return x


@dg.job
def hello():
    begin()


@dg.job
def chain():
    x = begin()
    for i in range(CHAIN):
        x = ten.alias(f"t{i}")(x)


os.makedirs("home", exist_ok=True)
instance = dg.DagsterInstance.local_temp("home")
hello.execute_in_process(instance=instance)
start = since_start()
report(start_s=start, chain_s=timed(lambda: chain.execute_in_process(instance=instance)),
       memory_mb=memory_mb())
