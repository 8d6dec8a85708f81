"""One fit of a peer, for bench/trees.lua:  trees.py MODEL ROUND ROWS TREES THREADS  ->  JSON

The data are numpy's legacy stream, as in bench/flows/trees.lua: RandomState(100 + round) to train on,
RandomState(900 + round), 20,000 rows, to score on; an isolation forest scores the rows it was fitted on.
"""
import json
import os
import sys
import time

model, k, rows, trees, threads = sys.argv[1], *map(int, sys.argv[2:6])
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = str(threads)
import numpy as np
from sklearn.metrics import roc_auc_score


def data(seed, n):
    r = np.random.RandomState(seed)
    x = [r.normal(0, 1, n) for _ in range(20)]
    u = r.uniform(0, 1, n)
    z = 1.2 * x[0] * x[1] + np.where(x[2] > 0, 1.5, -1.5) * x[2] * x[3] + np.where(x[4] > 0.3, 2 * x[5], 0)
    z = z + 0.7 * x[6] * x[6] - 0.9 * np.abs(x[7]) + 0.3 * x[8] - 0.4 * x[9]
    y = (z > 0).astype(int)
    return np.column_stack(x), np.where(u < 0.05, 1 - y, y)


def make():
    if model in ("forest", "compat", "isolation", "hist"):
        import sklearn
        from sklearn import ensemble
        version = "scikit-learn " + sklearn.__version__
        return version, {
            "forest": lambda: ensemble.RandomForestClassifier(trees, random_state=k, n_jobs=threads),
            "compat": lambda: ensemble.GradientBoostingClassifier(random_state=k),
            "isolation": lambda: ensemble.IsolationForest(random_state=k, n_jobs=threads),
            "hist": lambda: ensemble.HistGradientBoostingClassifier(early_stopping=False, random_state=k),
        }[model]()
    if model == "lightgbm":
        import lightgbm
        return "LightGBM " + lightgbm.__version__, lightgbm.LGBMClassifier(n_jobs=threads, verbose=-1)
    import xgboost
    return "XGBoost " + xgboost.__version__, xgboost.XGBClassifier(n_jobs=threads, grow_policy="lossguide", max_leaves=31, max_depth=0, learning_rate=0.1)


X, y = data(100 + k, rows)
T, u = (X, y) if model == "isolation" else data(900 + k, 20000)
version, m = make()
cpu, wall = time.process_time(), time.perf_counter()
m.fit(X) if model == "isolation" else m.fit(X, y)
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
start = time.process_time()
p = -m.score_samples(T) if model == "isolation" else m.predict_proba(T)[:, 1]
predict = time.process_time() - start
print(json.dumps({"cpu_s": cpu, "wall_s": wall, "predict_s": predict, "auc": float(roc_auc_score(u, p)),
                  "mean": float(p.mean()), "version": version}))
