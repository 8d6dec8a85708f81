"""One fit of a peer, for bench/peers.lua:  ml.py CASE ROUND ROWS  ->  JSON

The data are numpy's legacy stream, which flowrun.random draws too: RandomState(100 + round) to train on,
RandomState(900 + round), 40,000 rows, to score on (the chapter's transformers).
"""
import json
import os
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
import numpy as np
import sklearn
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import f1_score, roc_auc_score


def transformers(seed, n):
    r = np.random.RandomState(seed)
    t, v, q, g = r.normal(60, 5, n), r.normal(0.2, 0.05, n), r.normal(70, 10, n), r.randint(1, 30, n)
    p = 1 / (1 + np.exp(-(0.05 * (t - 65) + 8 * (v - 0.25))))
    return np.column_stack([t, v, q, g]), r.binomial(1, p)


case, k, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
X, y = transformers(100 + k, rows)
T, u = transformers(900 + k, 40000)
model = (RandomForestClassifier(100, random_state=k, n_jobs=1) if case == "forest"
         else GradientBoostingClassifier(random_state=k))
cpu = time.process_time()
model.fit(X, y)
cpu = time.process_time() - cpu
start = time.process_time()
p = model.predict_proba(T)[:, 1]
predict = time.process_time() - start
print(json.dumps({"cpu_s": cpu, "predict_s": predict, "auc": roc_auc_score(u, p),
                  "f1": f1_score(u, p > 0.5), "version": "scikit-learn " + sklearn.__version__}))
