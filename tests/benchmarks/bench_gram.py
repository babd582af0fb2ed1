"""Choosing a ridge penalty on a million clips, against scikit-learn: ratios of two things measured in one run.

scikit-learn runs on the first rows only, and its time is multiplied by how many times more there are: it is linear in
the rows. On those rows both must choose the same penalty.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, PredefinedSplit

from meta.gram import Gram
from meta.ridge_path import RidgePath, leave_blocks_out

ROWS, MODELS, BINS, SYSTEMS, FOLDS = 1_000_000, 9, 20, 31, 5
SUBSET, CHUNK = 10_000, 20_000
ALPHAS = np.logspace(-4, 4, 21)
FEATURES = [f"x{k}" for k in range(MODELS * BINS)]

MEASURED = """
import json, sys, time
from pathlib import Path
import numpy as np
from meta.gram import Gram
from meta.ridge_path import RidgePath, holdout_mse, leave_blocks_out
path, features, alphas = sys.argv[1], [f"x{k}" for k in range(int(sys.argv[2]))], np.logspace(-4, 4, 21)
def peak_mb():  # not ru_maxrss, which starts at the size of the process that forked this one
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
base = peak_mb()
times = {}
def timed(name, work):
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    times[name] = time.perf_counter() - wall, time.process_time() - cpu
    return found
gram = timed("one pass", lambda: Gram.from_parquet(path, features, ["mi", "ta"], "system"))
fold = [str(int(name) % 5) for name in gram.names]
held = [name for name in gram.names if int(name) % 5 > 2]
picks = {}
picks["60/40"] = timed("60/40", lambda: holdout_mse(gram.without(held), gram.select(held), alphas))
picks["5-fold"] = timed("5-fold", lambda: leave_blocks_out(gram.regrouped(fold), alphas).mse)
picks["system out"] = timed("system out", lambda: leave_blocks_out(gram, alphas).mse)
picks["gcv"] = timed("gcv", lambda: RidgePath.of(gram).gcv(alphas))
peak = peak_mb()
picks = {name: alphas[loss.argmin(axis=0)].tolist() for name, loss in picks.items()}
print(json.dumps({"times": times, "peak_mb": peak, "imports_mb": base, "picks": picks}))
"""


def seconds(work):
    """Wall time of one call, and what it returned."""
    start = time.perf_counter()
    answer = work()
    return time.perf_counter() - start, answer


def rows(n, seed):
    """Bins of nine models in float32, two targets, and the system of each row."""
    rng = np.random.default_rng(seed)
    system, truth = rng.integers(0, SYSTEMS, n), rng.normal(3, 0.8, (n, 2))
    truth += (system / SYSTEMS - 0.5)[:, None]
    scores = truth[:, :1] + rng.normal(0, np.linspace(0.3, 0.9, MODELS), (n, MODELS))
    logits = -0.5 * ((scores[:, :, None] - np.linspace(1.1, 4.9, BINS)) / 0.35) ** 2 + rng.normal(0, 0.3, (n, 1, BINS))
    p = np.exp(logits - logits.max(axis=2, keepdims=True))
    X = (p / p.sum(axis=2, keepdims=True)).reshape(n, -1).astype(np.float32)
    return X, truth + rng.normal(0, 0.4, (n, 2)), system


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A million rows in Parquet, written a chunk at a time."""
    path = tmp_path_factory.mktemp("gram") / "table.parquet"
    kinds = [(name, pa.float32()) for name in FEATURES] + [(name, pa.float64()) for name in ("mi", "ta")]
    schema = pa.schema([*kinds, ("system", pa.string())])
    with pq.ParquetWriter(
        path, schema, compression="none", use_dictionary=["system"], write_page_checksum=True
    ) as file:
        for seed in range(ROWS // CHUNK):
            X, y, system = rows(CHUNK, seed)
            file.write_table(pa.table([*X.T, y[:, 0], y[:, 1], system.astype(str)], schema=schema))
    return path


def bench_alpha_path_of_a_million_rows(table):
    """60/40 and 5 folds of systems, leave-one-system-out and GCV from one pass over a file, in a process of its own."""
    command = [sys.executable, "-c", MEASURED, str(table), str(len(FEATURES))]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    X, y, system = rows(SUBSET, 0)
    X, fold = X.astype(np.float64), system % FOLDS  # in float32, scikit-learn's solver warns at small penalties
    many = ROWS / SUBSET
    loo, best = seconds(lambda: RidgeCV(ALPHAS).fit(X, y).alpha_)
    search = GridSearchCV(Ridge(), {"alpha": ALPHAS}, scoring="neg_mean_squared_error", cv=PredefinedSplit(fold))
    grid, chosen = seconds(lambda: search.fit(X, y).best_params_["alpha"])
    gram = Gram.from_rows(X, y, None, fold)
    errors = RidgePath.of(gram).leave_one_out(X, y, ALPHAS)
    assert ALPHAS[np.square(errors).mean(axis=(0, 2)).argmin()] == pytest.approx(best)
    folds = leave_blocks_out(gram, ALPHAS)
    per_fold = (folds.squares / folds.weight[:, None, None]).mean(axis=(0, 2))  # scikit-learn averages folds equally
    assert ALPHAS[per_fold.argmin()] == pytest.approx(chosen)
    wall = {name: times[0] for name, times in found["times"].items()}
    ours, cpu = sum(wall.values()), sum(times[1] for times in found["times"].values())
    print(f"\n{ROWS:,} x {len(FEATURES)} from Parquet, all four choices: {ours:.2f} s ({cpu:.2f} s of CPU),")
    print(f"peak {found['peak_mb']:.0f} MB of which {found['imports_mb']:.0f} MB are imports; {wall}")
    print(f"chosen for the two targets: {found['picks']}")
    print(f"RidgeCV {loo * many:.0f} s extrapolated from {SUBSET:,} rows: {loo * many / ours:.0f} x as long;")
    print(f"GridSearchCV with 5 folds {grid * many:.0f} s extrapolated: {grid * many / ours:.0f} x as long")


def bench_exact_leave_one_out():
    """A second pass in memory, on the rows that RidgeCV gets."""
    X, y, _ = rows(SUBSET, 0)

    def ours():
        gram = Gram.from_rows(X, y)
        return np.square(RidgePath.of(gram).leave_one_out(X, y, ALPHAS)).mean(axis=(0, 2))

    fast, loss = seconds(ours)
    slow, best = seconds(lambda: RidgeCV(ALPHAS).fit(X, y).alpha_)
    assert ALPHAS[loss.argmin()] == pytest.approx(best)
    print(
        f"\n{SUBSET:,} x {len(FEATURES)}, exact leave-one-out of 21 penalties: {slow / fast:.0f} x as fast as RidgeCV"
    )
