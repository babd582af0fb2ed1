"""Choosing a ridge penalty, against scikit-learn on the same rows.

Ratios are of CPU time on the same rows, with one BLAS thread on either side: wall time
of a busy machine is noise, and threads that wait for each other count as busy.
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from threadpoolctl import threadpool_limits
from timing import timed

from meta.ridge_algebra.gram import Gram
from meta.ridge_algebra.solution_path import RidgePath, leave_blocks_out

ROWS, MODELS, BINS, SYSTEMS, FOLDS = 1_000_000, 9, 20, 31, 5
SUBSET = 100_000
ALPHAS = np.logspace(-4, 4, 21)
N_FEATURES = MODELS * BINS


cpu_timed = partial(timed, clock=time.process_time)


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


def bench_the_same_penalty_as_scikit_learn():
    """The same rows in memory and the same penalty chosen; extrapolated, since scikit-
    learn is linear in the rows.
    """
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

    def left_out_folds():
        folds = leave_blocks_out(Gram.from_rows(X, y, None, fold), ALPHAS)
        return (folds.squares / folds.weight[:, None, None]).mean(
            axis=(0, 2)
        )  # scikit-learn averages folds equally

    with threadpool_limits(1, "blas"):
        gcv, picked = cpu_timed(
            lambda: RidgePath.of(Gram.from_rows(X, y)).gcv(ALPHAS).mean(axis=1)
        )
        kfold, by_fold = cpu_timed(left_out_folds)
        ridge_cv, best = cpu_timed(lambda: RidgeCV(ALPHAS).fit(X, y).alpha_)
        grid, chosen = cpu_timed(lambda: search.fit(X, y).best_params_["alpha"])
    assert ALPHAS[picked.argmin()] == pytest.approx(best)
    assert ALPHAS[by_fold.argmin()] == pytest.approx(chosen)
    many = ROWS // SUBSET
    print(
        f"\n{SUBSET:,} x {N_FEATURES} float64 in memory, {len(ALPHAS)} penalties, CPU "
        f"seconds with one BLAS thread"
    )
    print(
        f"RidgeCV (leave-one-out) {ridge_cv:.2f} s, alpha {best:.4g}; extrapolated to "
        f"{ROWS:,}: {ridge_cv * many:.0f} s"
    )
    print(f"  GCV here {gcv:.2f} s: {ridge_cv / gcv:.0f} times faster, same alpha")
    print(
        f"GridSearchCV, {FOLDS} folds {grid:.2f} s, alpha {chosen:.4g}; extrapolated "
        f"to {ROWS:,}: {grid * many:.0f} s"
    )
    print(
        f"  exact folds here {kfold:.2f} s: {grid / kfold:.0f} times faster, same alpha"
    )
