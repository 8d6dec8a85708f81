"""One case on the rows of bench/flows/frames.lua with pandas, polars and DuckDB on one thread.

usage: frames.py FILE CASE ROUNDS

Prints JSON: per library the CPU and wall seconds of each round (after one to warm up), what came
out, and the versions.
"""
import gc
import json
import os
import sys
import time

os.environ["POLARS_MAX_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa

path, case, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])


def read(name):
    with pa.OSFile(name) as file:
        return pa.ipc.open_file(file).read_all()


t, t2 = read(path), read(path + ".small")
d, d2 = pl.from_arrow(t).rechunk(), pl.from_arrow(t2).rechunk()
p, p2 = d.to_pandas(), d2.to_pandas()
con = duckdb.connect()
con.execute("SET threads=1")
con.execute("create table t as from t")
con.execute("create table t2 as from t2")


def polars_group():
    g = d.group_by("k").agg(pl.col("a").mean().alias("am"), pl.col("a").sum().alias("as"),
                            pl.col("b").min().alias("bm"), pl.col("b").max().alias("bx"),
                            pl.col("b").std().alias("bs"))
    return g


def pandas_group():
    return p.groupby("k").agg({"a": ["mean", "sum"], "b": ["min", "max", "std"]})


def arrow(query):
    return con.execute(query).to_arrow_table()


cases = {
    "group": {"polars": polars_group, "pandas": pandas_group,
              "duckdb": lambda: arrow("select k, avg(a), sum(a), min(b), max(b), stddev(b) from t group by k")},
    "sort": {"polars": lambda: d.sort("c"), "pandas": lambda: p.sort_values("c"),
             "duckdb": lambda: arrow("select * from t order by c")},
    "join": {"polars": lambda: d.join(d2, on="c", how="inner"), "pandas": lambda: p.merge(p2, on="c"),
             "duckdb": lambda: arrow("select * from t join t2 using(c)")},
    "filter": {"polars": lambda: d.filter((pl.col("a") > -1) & (pl.col("b") < 1)),
               "pandas": lambda: p[(p.a > -1) & (p.b < 1)],
               "duckdb": lambda: arrow("select * from t where a > -1 and b < 1")},
    "quantile": {"polars": lambda: d.select(pl.col("a").quantile(.01, "linear").alias("x"),
                                            pl.col("a").quantile(.99, "linear").alias("y")),
                 "pandas": lambda: p.a.quantile([.01, .99]),
                 "duckdb": lambda: arrow("select quantile_cont(a, [.01, .99]) from t")},
    "rolling": {"polars": lambda: d.select(pl.col("a").rolling_mean(24)),
                "pandas": lambda: p.a.rolling(24).mean()},
}


def value(r):
    """What ours prints too, of a polars result."""
    if case == "group":
        r = r.sort("k")
        return r.height + r["am"][0] + r["bs"][-1]
    if case == "sort":
        return r["c"][r.height // 2 - 1]
    if case == "quantile":
        return r["x"][0] + r["y"][0]
    return 0.0 if case == "rolling" else r.height


out = {"version": f"pandas {pd.__version__}, polars {pl.__version__}, DuckDB {duckdb.__version__}",
       "value": value(cases[case]["polars"]())}
for name, f in cases[case].items():
    cpu, wall = [], []
    for i in range(rounds + 1):
        gc.collect()
        c, w = time.process_time(), time.perf_counter()
        r = f()
        if i > 0:
            cpu.append(time.process_time() - c)
            wall.append(time.perf_counter() - w)
        del r
    out[name] = {"cpu": cpu, "wall": wall}
print(json.dumps(out))
