"""Parquet with pyarrow and polars, for bench/parquet.lua:

parquet.py make CSV FILE     the file that all read: pyarrow's, zstd
parquet.py read FILE         the faster of both, each twice
parquet.py write FILE OUT    likewise, zstd

Prints JSON: the CPU seconds, what was read (as in bench/flows/parquet.lua) or how many bytes were
written, and the version of the faster one.
"""
import json
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = os.environ["POLARS_MAX_THREADS"] = "1"
import polars as pl
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

pa.set_cpu_count(1)
pa.set_io_thread_count(1)


def best(ways):
    least, name, value = 1e9, None, None
    for way, work in ways.items():
        for _ in range(2):
            out = None
            began = time.process_time()
            out = work()
            took = time.process_time() - began
            if took < least:
                least, name, value = took, way, out
    return least, name, value


def main(what, path, out=None):
    if what == "make":
        table = pc.read_csv(path)
        at = table.column_names.index("timestamp")
        table = table.set_column(at, "timestamp", table["timestamp"].cast(pa.timestamp("us")))
        pq.write_table(table, out, compression="zstd")
        return {}
    versions = {"pyarrow": "pyarrow " + pa.__version__, "polars": "polars " + pl.__version__}
    if what == "read":
        took, name, df = best({"pyarrow": lambda: pq.read_table(path, use_threads=False),
                               "polars": lambda: pl.read_parquet(path)})
        df = df if isinstance(df, pl.DataFrame) else pl.from_arrow(df)
        return {"cpu_s": took, "rows": df.height, "assets": df["asset_id"].sum(),
                "failures": df["failure"].sum(), "load": df["load_kw"].sum(), "version": versions[name]}
    table = pq.read_table(path)
    frame = pl.from_arrow(table)
    took, name, _ = best({"pyarrow": lambda: pq.write_table(table, out + ".pyarrow", compression="zstd"),
                          "polars": lambda: frame.write_parquet(out + ".polars", compression="zstd")})
    return {"cpu_s": took, "bytes": os.path.getsize(out + "." + name), "version": versions[name]}


print(json.dumps(main(*sys.argv[1:])))
