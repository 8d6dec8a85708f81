"""One fit of scikit-learn, for bench/dense.lua:  dense.py CASE  ->  JSON

The data are numpy's legacy stream, as in bench/flows/dense.lua.
"""
import json
import os
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
import numpy as np
import sklearn
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler

n = 1000000
r = np.random.RandomState(100)
X = np.column_stack([r.normal(0, 1, n) for _ in range(20)])
t = 1.2 * X[:, 0] + 0.8 * X[:, 1] - 0.5 * X[:, 2] + 0.3 * X[:, 3] + 0.1 * X[:, 4] + r.normal(0, 1, n)
y = (t > 0).astype(int)
cases = {
    "pca": (lambda: PCA(5).fit(X), lambda m: m.explained_variance_.sum()),
    "linear": (lambda: LinearRegression().fit(X, t), lambda m: m.coef_[0]),
    "scaler": (lambda: StandardScaler().fit_transform(X), lambda m: m[0, 3]),
    "kmeans": (lambda: KMeans(8, random_state=0, n_init=1).fit(X), lambda m: m.inertia_),
    "logistic": (lambda: LogisticRegression().fit(X, y), lambda m: m.coef_[0, 0]),
}
fit, value = cases[sys.argv[1]]
cpu = time.process_time()
model = fit()
cpu = time.process_time() - cpu
print(json.dumps({"cpu_s": cpu, "value": float(value(model)), "version": "scikit-learn " + sklearn.__version__}))
