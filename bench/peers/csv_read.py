"""Reads a CSV file with pandas, for bench/peers.lua: csv_read.py FILE

Prints JSON: the CPU seconds of the read with its dates parsed, what was read (as in
bench/flows/csv.lua), and the versions. pandas' default C parser is the faster of its readers
by CPU time here; pyarrow's is tried too, and the better of both counts.
"""
import json
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
import pandas as pd

best, df = 1e9, None
for engine in ("c", "pyarrow"):
    if engine == "pyarrow":
        import pyarrow.csv  # noqa: F401 -- the import is not part of the read
    for _ in range(2):
        df = None
        began = time.process_time()
        df = pd.read_csv(sys.argv[1], parse_dates=["timestamp"], engine=engine)
        took = time.process_time() - began
        if took < best:
            best, name = took, engine
print(json.dumps({"cpu_s": best, "rows": len(df), "assets": int(df.asset_id.sum()),
                  "failures": int(df.failure.sum()), "load": float(df.load_kw.sum()),
                  "first": str(df.timestamp.iloc[0]), "last": str(df.timestamp.iloc[-1]),
                  "version": "pandas " + pd.__version__ + ", engine " + name}))
