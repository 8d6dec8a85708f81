"""What the scripts share: time since the process began, memory of a process and its children."""
import json
import os
import time

CHAIN = 40


def since_start():
    """Seconds since this process was started."""
    with open("/proc/self/stat") as f:
        ticks = int(f.read().rsplit(")", 1)[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def timed(fn, *args):
    """Wall seconds of fn(*args)."""
    begin = time.perf_counter()
    fn(*args)
    return time.perf_counter() - begin


def memory_mb(root=None):
    """Resident memory of a process and all that it started, in MB."""
    parents, sizes = {}, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                parents[int(pid)] = int(f.read().rsplit(")", 1)[1].split()[1])
            with open(f"/proc/{pid}/statm") as f:
                sizes[int(pid)] = int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue
    mine, grew = {root or os.getpid()}, True
    while grew:
        more = {p for p, parent in parents.items() if parent in mine} - mine
        mine, grew = mine | more, bool(more)
    return sum(sizes.get(p, 0) for p in mine) / 1e6


def report(**row):
    print(json.dumps(row), flush=True)
