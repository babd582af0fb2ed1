"""Choosing a ridge penalty on a million clips, and against scikit-learn on the first rows.

Ratios are of CPU time on the same rows, with one BLAS thread on either side: wall time of a busy machine is noise, and
threads that wait for each other count as busy.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from threadpoolctl import threadpool_limits

from meta.ridge_algebra.gram import Gram
from meta.ridge_algebra.solution_path import RidgePath, leave_blocks_out

ROWS, MODELS, BINS, SYSTEMS, FOLDS = 1_000_000, 9, 20, 31, 5
SUBSET, CHUNK = 100_000, 20_000
ALPHAS = np.logspace(-4, 4, 21)
FEATURES = [f"x{k}" for k in range(MODELS * BINS)]

MEASURED = """
import json, sys, time
from pathlib import Path
import numpy as np
import pyarrow.parquet as pq
from meta.ridge_algebra.gram import CHUNK_ROWS, Gram
from meta.ridge_algebra.solution_path import RidgePath, holdout_mse, leave_blocks_out
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
def read():
    with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
        for _ in file.iter_batches(CHUNK_ROWS):
            pass
timed("reading alone, which the pass does too", read)
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
    """CPU time of one call, and what it returned."""
    start = time.process_time()
    answer = work()
    return time.process_time() - start, answer


def rows(n, seed):
    """Bins of nine models in float32, two targets, and the system of each row."""
    rng = np.random.default_rng(seed)
    system, truth = rng.integers(0, SYSTEMS, n), rng.normal(3, 0.8, (n, 2))
    truth += (system / SYSTEMS - 0.5)[:, None]
    scores = truth[:, :1] + rng.normal(0, np.linspace(0.3, 0.9, MODELS), (n, MODELS))
    logits = -0.5 * (
        (scores[:, :, None] - np.linspace(1.1, 4.9, BINS)) / 0.35
    ) ** 2 + rng.normal(0, 0.3, (n, 1, BINS))
    p = np.exp(logits - logits.max(axis=2, keepdims=True))
    X = (p / p.sum(axis=2, keepdims=True)).reshape(n, -1).astype(np.float32)
    return X, truth + rng.normal(0, 0.4, (n, 2)), system


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A million rows in Parquet, written a chunk at a time."""
    path = tmp_path_factory.mktemp("gram") / "table.parquet"
    kinds = [(name, pa.float32()) for name in FEATURES] + [
        (name, pa.float64()) for name in ("mi", "ta")
    ]
    schema = pa.schema([*kinds, ("system", pa.string())])
    with pq.ParquetWriter(
        path,
        schema,
        compression="none",
        use_dictionary=["system"],
        write_page_checksum=True,
    ) as file:
        for seed in range(ROWS // CHUNK):
            X, y, system = rows(CHUNK, seed)
            file.write_table(
                pa.table([*X.T, y[:, 0], y[:, 1], system.astype(str)], schema=schema)
            )
    return path


def bench_alpha_path_of_a_million_rows(table):
    """60/40 and 5 folds of systems, leave-one-system-out and GCV from one pass over a file, in a process of its own."""
    command = [sys.executable, "-c", MEASURED, str(table), str(len(FEATURES))]
    alone = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }  # the other core reads
    found = json.loads(
        subprocess.run(
            command, check=True, capture_output=True, text=True, env=alone
        ).stdout
    )
    read, *spent = found["times"].values()
    wall, cpu = np.sum(spent, axis=0)
    print(
        f"\n{ROWS:,} x {len(FEATURES)} float32 from Parquet, all four choices: {wall:.2f} s, {cpu:.2f} s of CPU,"
    )
    print(f"of which {cpu - read[1]:.2f} s are not reading:")
    for name, times in found["times"].items():
        print(f"  {name}: {times[0]:.2f} s, {times[1]:.2f} s of CPU")
    print(
        f"peak {found['peak_mb']:.0f} MB, of which {found['imports_mb']:.0f} MB are imports"
    )
    print(f"chosen for the two targets: {found['picks']}")
    assert found["peak_mb"] < 300


def bench_the_same_penalty_as_scikit_learn():
    """The same rows in memory and the same penalty chosen; extrapolated, since scikit-learn is linear in the rows."""
    X, y, system = rows(SUBSET, 0)
    X, fold = (
        X.astype(np.float64),
        system % FOLDS,
    )  # in float32, scikit-learn's solver warns at small penalties
    search = GridSearchCV(
        Ridge(),
        {"alpha": ALPHAS},
        scoring="neg_mean_squared_error",
        cv=PredefinedSplit(fold),
    )

    def left_out_rows():
        errors = RidgePath.of(Gram.from_rows(X, y)).leave_one_out(X, y, ALPHAS)
        return np.square(errors).mean(axis=(0, 2))

    def left_out_folds():
        folds = leave_blocks_out(Gram.from_rows(X, y, None, fold), ALPHAS)
        return (folds.squares / folds.weight[:, None, None]).mean(
            axis=(0, 2)
        )  # scikit-learn averages folds equally

    with threadpool_limits(1, "blas"):
        gcv, picked = seconds(
            lambda: RidgePath.of(Gram.from_rows(X, y)).gcv(ALPHAS).mean(axis=1)
        )
        loo, by_row = seconds(left_out_rows)
        kfold, by_fold = seconds(left_out_folds)
        ridge_cv, best = seconds(lambda: RidgeCV(ALPHAS).fit(X, y).alpha_)
        grid, chosen = seconds(lambda: search.fit(X, y).best_params_["alpha"])
    assert ALPHAS[by_row.argmin()] == ALPHAS[picked.argmin()] == pytest.approx(best)
    assert ALPHAS[by_fold.argmin()] == pytest.approx(chosen)
    many = ROWS // SUBSET
    print(
        f"\n{SUBSET:,} x {len(FEATURES)} float64 in memory, {len(ALPHAS)} penalties, CPU seconds with one BLAS thread"
    )
    print(
        f"RidgeCV (leave-one-out) {ridge_cv:.2f} s, alpha {best:.4g}; extrapolated to {ROWS:,}: {ridge_cv * many:.0f} s"
    )
    print(
        f"  exact leave-one-out here {loo:.2f} s: {ridge_cv / loo:.0f} times faster, same alpha"
    )
    print(f"  GCV here {gcv:.2f} s: {ridge_cv / gcv:.0f} times faster, same alpha")
    print(
        f"GridSearchCV, {FOLDS} folds {grid:.2f} s, alpha {chosen:.4g}; extrapolated to {ROWS:,}: {grid * many:.0f} s"
    )
    print(
        f"  exact folds here {kfold:.2f} s: {grid / kfold:.0f} times faster, same alpha"
    )
