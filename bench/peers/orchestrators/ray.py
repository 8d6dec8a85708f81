"""Ray with two worker processes; nothing is durable."""
import sys
import time

sys.path.append(sys.path.pop(0))  # this file has the name of the package
import ray  # noqa: E402

from common import CHAIN, memory_mb, report, since_start, timed  # noqa: E402

N = 10000
ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")


@ray.remote
def nop(x):
    return x


@ray.remote
def ten(x):
    time.sleep(0.010)
    return x


def chain():
    x = 0
    for _ in range(CHAIN):
        x = ten.remote(x)
    return ray.get(x)


ray.get(nop.remote(1))
start = since_start()
report(start_s=start, chain_s=timed(chain), map_n=N,
       map_s=timed(lambda: ray.get([nop.remote(i) for i in range(N)])), memory_mb=memory_mb())
