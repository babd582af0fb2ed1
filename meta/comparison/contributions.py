"""What each base model contributes to the ridge stack: drop-one gain and Shapley value.

Every subset of the base models has its own ridge stack. It is solved in closed form
from a block of one Gram matrix and measured on another one and on means of systems, so
that the 2^m stacks of m models need no second pass over the rows.

Of two models that predict the same, leaving out either costs nothing, so drop-one calls
both useless. The Shapley value (Shapley 1953, "A value for n-person games") shares
between them what they give together, and sums to what all models give over the training
mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from base_models.errors import UsageError
from meta.columns.feature_table import Layout
from meta.ridge_algebra.gram import Gram
from meta.ridge_algebra.solution_path import centred

# Numbers of the matrices that are solved together.
_SOLVED_NUMBERS = 2_000_000
EXACT_MODELS = 12
"""With more models, subsets along random orders stand for all."""
GAINS = ("mse", "srcc")
"""The gains of a stack: the MSE of utterances falls, the SRCC of system means rises."""


@dataclass(frozen=True, eq=False)
class HeldOutRows:
    """What the gains of all stacks are measured on.

    Parameters
    ----------
    gram : sums over all rows, with one target
    of_systems : array of shape (systems, p + 1), the mean features and the mean target
        of each system. Sums of products for each system would be as many numbers as a
        hundred rows of it
    """

    gram: Gram
    of_systems: np.ndarray

    @classmethod
    def of(cls, X: ArrayLike, y: ArrayLike, systems: ArrayLike) -> HeldOutRows:
        """Sum up rows.

        Parameters
        ----------
        X : array of shape (n, p)
        y : array of shape (n,)
        systems : n names
        """
        _, code, n_rows = np.unique(systems, return_inverse=True, return_counts=True)
        in_order = np.argsort(code, kind="stable")
        values = np.column_stack([X, y]).astype(np.float64)
        firsts = np.cumsum(n_rows) - n_rows
        sums = np.add.reduceat(values[in_order], firsts, axis=0)
        return cls(Gram.from_rows(X, y), sums / n_rows[:, None])


def contributions(
    train: Gram,
    held: HeldOutRows,
    layout: Layout,
    alpha: float,
    n_orders: int = 200,
    seed: int = 0,
    players: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Gains in held-out utterance MSE and system SRCC, positive where a model helps.

    Parameters
    ----------
    train : sums of the rows that the stacks are fitted on: as many columns for each
        base model (its bins, or what `meta.columns.reductions` makes of them), and one
        target
    held : the held-out rows
    layout : the base models
    alpha : float above 0, absolute ridge penalty of every stack (that of the full one);
        the intercept is free
    n_orders : int, random orders of the models, drawn where there are more than 12
    seed : of those orders
    players : for each model the name of what joins or leaves as a whole, such as its
        encoder; None takes every model by itself

    Returns
    -------
    table : DataFrame with the columns model, metric, drop_one, shapley, standard_error,
        exact: per model, or per player of that name, by how much the MSE falls
        (``"mse"``) and the SRCC of system means rises (``"srcc"``) through it, when it
        joins all others and on average over all orders of joining. ``standard_error``
        is that of drawn orders, 0 where all subsets were solved (``exact``). The stack
        of no model predicts the training mean, whose SRCC counts as 0

    Raises
    ------
    UsageError
        when the sums do not fit the layout or hold several targets, or alpha is not
        above 0.
    """
    n_models = len(layout.models)
    _check_columns(train, train.n_features, n_models)
    _check_columns(held.gram, train.n_features, n_models)
    if not alpha > 0 or not np.isfinite(alpha):
        raise UsageError(f"The penalty alpha must be above 0; got {alpha}.")

    player_of_model = list(players or layout.models)
    names = list(dict.fromkeys(player_of_model))
    numbers = np.array([names.index(name) for name in player_of_model])
    stacks = _Stacks(train, held, numbers, alpha=alpha)
    n_players = len(names)
    exact = n_players <= EXACT_MODELS
    if exact:
        shapley, standard_error = _all_subsets(stacks, n_players)
    else:
        shapley, standard_error = _drawn_orders(stacks, n_players, n_orders, seed=seed)
    drop_one = _drop_one(stacks, n_players)

    rows = [
        {
            "model": model,
            "metric": metric,
            "drop_one": drop_one[k, g],
            "shapley": shapley[k, g],
            "standard_error": standard_error[k, g],
            "exact": exact,
        }
        for k, model in enumerate(names)
        for g, metric in enumerate(GAINS)
    ]
    return pd.DataFrame(rows)


def _check_columns(
    gram: Gram,
    n_features: int,
    n_models: int,
) -> None:
    """Refuse sums of other columns, or of columns that the models cannot share."""
    shared_evenly = gram.n_features % n_models == 0
    if not shared_evenly or gram.n_features != n_features or gram.n_targets != 1:
        raise UsageError(
            "Contributions need as many features for each of the "
            f"{n_models} models and 1 target; got {gram.n_features} features and "
            f"{gram.n_targets} targets."
        )


class _Stacks:
    """The ridge stack of any subset of players, and its gains; each is solved once.

    Parameters
    ----------
    train, held : see `contributions`
    player_of_model : int array of shape (models,)
        Number of the player, of m, that each model belongs to.
    alpha : the penalty
    """

    def __init__(
        self,
        train: Gram,
        held: HeldOutRows,
        player_of_model: np.ndarray,
        alpha: float,
    ) -> None:
        n_columns = train.n_features // len(player_of_model)
        self.player_of_column = np.repeat(player_of_model, n_columns)
        self.alpha = alpha
        _, mean, self.centred_moments = centred(train)

        # About the mean of the training rows the intercept of every stack is 0.
        about_mean = held.gram.total().shifted(mean)
        self.held_moments = about_mean.outer[0] / about_mean.weight[0]

        # Rounded, system means that are equal but for the last bits share a rank.
        means = held.of_systems - mean
        self.system_features = means[:, :-1]
        self.system_ranks = stats.rankdata(np.round(means[:, -1], 10))

    def gains(self, subsets: np.ndarray) -> np.ndarray:
        """Negative MSE and SRCC of the stacks of some players.

        Parameters
        ----------
        subsets : bool array of shape (k, m), which players are in

        Returns
        -------
        gains : array of shape (k, 2), as in `GAINS`
        """
        distinct, place = np.unique(subsets, axis=0, return_inverse=True)
        chosen = distinct[:, self.player_of_column]
        sizes = chosen.sum(axis=1)
        mse = np.empty(len(distinct))
        scores = np.empty((len(distinct), len(self.system_ranks)))
        # Stacks of equally many columns are solved together.
        for size in np.unique(sizes):
            of_size = np.flatnonzero(sizes == size)
            step = max(1, _SOLVED_NUMBERS // max(1, size) ** 2)
            for first in range(0, len(of_size), step):
                some = of_size[first : first + step]
                columns = np.nonzero(chosen[some])[1].reshape(len(some), size)
                mse[some], scores[some] = self._solve(columns)

        gains = np.column_stack([-mse, self._rank_correlations(scores)])
        return gains[place.reshape(-1)]

    def _solve(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """MSE and scores of systems of k ridge stacks.

        Parameters
        ----------
        columns : int array of shape (k, p), the features of each

        Returns
        -------
        mse : array of shape (k,)
        scores : array of shape (k, systems)
        """
        rows = columns[:, :, None]
        others = columns[:, None, :]
        penalty = self.alpha * np.eye(columns.shape[1])
        with_truth = self.centred_moments[columns, -1]
        weights = np.linalg.solve(
            self.centred_moments[rows, others] + penalty, with_truth[:, :, None]
        )[:, :, 0]

        # The mean of (y - Xw)^2, from moments of y and X.
        fitted = np.einsum(
            "kp,kpq,kq->k", weights, self.held_moments[rows, others], weights
        )
        shared = np.einsum("kp,kp->k", weights, self.held_moments[columns, -1])
        mse = self.held_moments[-1, -1] - 2 * shared + fitted

        full = np.zeros((len(columns), self.system_features.shape[1]))
        np.put_along_axis(full, columns, weights, axis=1)
        return mse, np.round(full @ self.system_features.T, 10)

    def _rank_correlations(self, scores: np.ndarray) -> np.ndarray:
        """SRCC of scores (k, systems) with those of the truth, shape (k,)."""
        truth = self.system_ranks - self.system_ranks.mean()
        ranks = stats.rankdata(scores, axis=1)
        ranks -= ranks.mean(axis=1, keepdims=True)
        scale = np.sqrt((ranks**2).sum(axis=1) * (truth**2).sum())
        # Scores that are all equal rank no system; they count as 0 rather than NaN.
        return np.divide(
            ranks @ truth, scale, out=np.zeros(len(scores)), where=scale > 0
        )


def _drop_one(stacks: _Stacks, n_models: int) -> np.ndarray:
    """What each model adds to all others, array of shape (m, 2)."""
    everyone = np.ones((1, n_models), dtype=bool)
    without_one = ~np.eye(n_models, dtype=bool)
    return stacks.gains(everyone) - stacks.gains(without_one)


def _all_subsets(stacks: _Stacks, n_models: int) -> tuple[np.ndarray, np.ndarray]:
    """Shapley values by their definition.

    Returns
    -------
    values : array of shape (m, 2)
    standard_error : array of shape (m, 2) of zeros
    """
    # The bits of a subset's code say which models are in.
    codes = np.arange(2**n_models)
    subsets = (codes[:, None] >> np.arange(n_models) & 1).astype(bool)
    gains = stacks.gains(subsets)

    # The share of all orders in which exactly these models come before the next one.
    share_of_size = np.array(
        [1 / (n_models * math.comb(n_models - 1, size)) for size in range(n_models)]
    )

    values = np.empty((n_models, len(GAINS)))
    for k in range(n_models):
        without = codes[~subsets[:, k]]
        joined = without | 1 << k
        shares = share_of_size[subsets[without].sum(axis=1)]
        values[k] = shares @ (gains[joined] - gains[without])
    return values, np.zeros_like(values)


def _drawn_orders(
    stacks: _Stacks,
    n_models: int,
    n_orders: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean gain of each model when the models join in random orders.

    Returns
    -------
    values : array of shape (m, 2)
    standard_error : array of shape (m, 2), of the mean over orders
    """
    if n_orders < 2:
        raise UsageError(
            f"The error of drawn orders needs at least 2 of them; got {n_orders}."
        )
    rng = np.random.default_rng(seed)
    orders = np.array([rng.permutation(n_models) for _ in range(n_orders)])
    # Where each model stands in each order: it is in every later subset.
    place = np.argsort(orders, axis=1)
    sizes = np.arange(n_models + 1)
    subsets = place[:, None, :] < sizes[:, None]
    found = stacks.gains(subsets.reshape(-1, n_models))
    steps = np.diff(found.reshape(n_orders, n_models + 1, len(GAINS)), axis=1)
    gains = np.take_along_axis(steps, place[:, :, None], axis=1)
    spread = gains.std(axis=0, ddof=1)
    return gains.mean(axis=0), spread / math.sqrt(n_orders)
