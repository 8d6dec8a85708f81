"""Dask's distributed scheduler with two worker processes; nothing is durable."""
import sys
import time

sys.path.append(sys.path.pop(0))  # this file has the name of the package
from dask.distributed import Client  # noqa: E402

from common import CHAIN, memory_mb, report, since_start, timed  # noqa: E402

N = 10000


def nop(x):
    return x


def ten(x):
    time.sleep(0.010)
    return x


def chain(client):
    x = 0
    for _ in range(CHAIN):
        x = client.submit(ten, x, pure=False)
    return x.result()


if __name__ == "__main__":
    client = Client(n_workers=2, threads_per_worker=1, dashboard_address=None)
    client.submit(nop, 1).result()
    start = since_start()
    report(start_s=start, chain_s=timed(chain, client), map_n=N,
           map_s=timed(lambda: client.gather(client.map(nop, range(N), pure=False))), memory_mb=memory_mb())
    client.close()
