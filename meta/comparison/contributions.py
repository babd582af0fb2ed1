"""What each base model gives to the ridge stack: the loss without it, and its exact Shapley value.

Every subset of base models has its own ridge stack, solved in closed form from a block of one Gram matrix and measured
on held-out Gram blocks, so that 2^m stacks of m models need no second look at the rows.

The trap: of two models that say the same, leaving out either costs nothing, so drop-one calls both useless; the Shapley
value (1953) shares between them what they give together. It sums to what all models give over the training mean.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from base_models.errors import UsageError
from meta.columns.feature_table import Layout
from meta.ridge_algebra.gram import Gram
from meta.ridge_algebra.solution_path import centred

EXACT_MODELS = 12
"""With more models, subsets along random orders stand for all."""
GAINS = ("mse", "srcc")


def contributions(
    train: Gram,
    held: Gram,
    layout: Layout,
    alpha: float,
    n_orders: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Gains in held-out utterance MSE and system SRCC, positive where a model helps.

    Parameters
    ----------
    train : blocks of the rows that the stacks are fitted on: as many columns for each base model (its bins, or what
        `meta.columns.reductions` makes of them), and one target
    held : blocks of the held-out rows, one per system
    layout : the base models
    alpha : float above 0, absolute ridge penalty of every stack (that of the full one); the intercept is free
    n_orders : int, random orders of the models, drawn where there are more than 12
    seed : of those orders

    Returns
    -------
    table : DataFrame with columns model, metric, drop_one, shapley, standard_error, exact: per model, by how much the
        MSE falls (``"mse"``) and the SRCC of system means rises (``"srcc"``) through it, when it joins all others and
        on average over all orders of joining. ``standard_error`` is that of drawn orders, 0 where all subsets were
        solved (``exact``). No model answers the training mean, whose SRCC counts as 0.

    Raises
    ------
    UsageError
        when the blocks do not fit the layout or hold several targets, or alpha is not above 0.
    """
    for gram in (train, held):
        if (
            gram.n_features % len(layout.models)
            or gram.n_features != train.n_features
            or gram.n_targets != 1
        ):
            raise UsageError(
                f"Contributions need as many features for each of the {len(layout.models)} models and 1 target; got "
                f"{gram.n_features} features and {gram.n_targets} targets."
            )
    if not alpha > 0 or not np.isfinite(alpha):
        raise UsageError(f"The penalty alpha must be above 0; got {alpha}.")
    m, stacks = len(layout.models), _Stacks(train, held, layout, alpha)
    exact = m <= EXACT_MODELS
    shapley, error = (
        _all_subsets(stacks, m) if exact else _drawn_orders(stacks, m, n_orders, seed)
    )
    full = np.ones(m, dtype=bool)
    drop_one = np.array(
        [stacks.gain(full) - stacks.gain(full & (np.arange(m) != k)) for k in range(m)]
    )
    rows = [
        (model, metric, drop_one[k, g], shapley[k, g], error[k, g], exact)
        for k, model in enumerate(layout.models)
        for g, metric in enumerate(GAINS)
    ]
    return pd.DataFrame(
        rows,
        columns=["model", "metric", "drop_one", "shapley", "standard_error", "exact"],
    )


class _Stacks:
    """The ridge stack of any subset of models, and its gains; each is solved once."""

    def __init__(self, train: Gram, held: Gram, layout: Layout, alpha: float):
        self.width, self.alpha = train.n_features // len(layout.models), alpha
        _, mean, self.C = centred(train)
        about = held.shifted(mean)  # where every stack's intercept is 0
        total = about.total()
        self.moments = total.outer[0] / total.weight[0]
        means = about.sums / about.weight[:, None]
        self.systems, self.ranks = (
            means[:, :-1],
            stats.rankdata(np.round(means[:, -1], 10)),
        )
        self.known: dict[bytes, np.ndarray] = {}

    def gain(self, subset) -> np.ndarray:
        """Negative MSE and SRCC, shape (2,), of the stack of the models in `subset`, a bool array (m,)."""
        key = np.packbits(subset).tobytes()
        if key not in self.known:
            self.known[key] = self._solve(np.flatnonzero(np.repeat(subset, self.width)))
        return self.known[key]

    def _solve(self, columns) -> np.ndarray:
        block = np.ix_(columns, columns)
        w = np.linalg.solve(
            self.C[block] + self.alpha * np.eye(len(columns)), self.C[columns, -1]
        )
        error = (
            self.moments[-1, -1]
            - 2 * w @ self.moments[columns, -1]
            + w @ self.moments[block] @ w
        )
        scores = np.round(self.systems[:, columns] @ w, 10)
        ranked = len(scores) > 1 and np.ptp(scores) > 0 and np.ptp(self.ranks) > 0
        srcc = np.corrcoef(stats.rankdata(scores), self.ranks)[0, 1] if ranked else 0.0
        return np.array([-error, srcc])


def _all_subsets(stacks: _Stacks, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Shapley values of the definition, (m, 2), and their error, 0."""
    codes = np.arange(2**m)
    subsets = (codes[:, None] >> np.arange(m) & 1).astype(bool)
    gains = np.array([stacks.gain(subset) for subset in subsets])
    share = np.array([1 / (m * math.comb(m - 1, size)) for size in range(m)])
    values = np.empty((m, len(GAINS)))
    for k in range(m):
        without = codes[~subsets[:, k]]
        values[k] = share[subsets[without].sum(axis=1)] @ (
            gains[without | 1 << k] - gains[without]
        )
    return values, np.zeros_like(values)


def _drawn_orders(
    stacks: _Stacks, m: int, n_orders: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean gain of each model when it joins in random orders, (m, 2), and the standard error of that mean."""
    if n_orders < 2:
        raise UsageError(
            f"The error of drawn orders needs at least 2 of them; got {n_orders}."
        )
    rng, joined = np.random.default_rng(seed), np.empty((n_orders, m, len(GAINS)))
    for order in joined:
        subset = np.zeros(m, dtype=bool)
        before = stacks.gain(subset)
        for k in rng.permutation(m):
            subset[k] = True
            order[k], before = stacks.gain(subset) - before, stacks.gain(subset)
    return joined.mean(axis=0), joined.std(axis=0, ddof=1) / math.sqrt(n_orders)
