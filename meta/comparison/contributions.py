"""What each base model contributes to the ridge stack: drop-one gain and Shapley value.

Every subset of the base models has its own ridge stack. It is solved in closed form
from a block of one Gram matrix and measured on held-out Gram blocks, so that the 2^m
stacks of m models need no second pass over the rows.

Of two models that predict the same, leaving out either costs nothing, so drop-one calls
both useless. The Shapley value (Shapley 1953, "A value for n-person games") shares
between them what they give together, and sums to what all models give over the training
mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

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
"""The gains of a stack: the MSE of utterances falls, the SRCC of system means rises."""


def contributions(
    train: Gram,
    held: Gram,
    layout: Layout,
    alpha: float,
    n_orders: int = 200,
    seed: int = 0,
    players: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Gains in held-out utterance MSE and system SRCC, positive where a model helps.

    Parameters
    ----------
    train : blocks of the rows that the stacks are fitted on: as many columns for each
        base model (its bins, or what `meta.columns.reductions` makes of them), and one
        target
    held : blocks of the held-out rows, one per system
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
        when the blocks do not fit the layout or hold several targets, or alpha is not
        above 0.
    """
    n_models = len(layout.models)
    _check_columns(train, train.n_features, n_models)
    _check_columns(held, train.n_features, n_models)
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
    """Refuse blocks of other columns, or of columns that the models cannot share."""
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
    train, held : blocks, see `contributions`
    player_of_model : int array of shape (models,)
        Number of the player, of m, that each model belongs to.
    alpha : the penalty
    """

    def __init__(
        self,
        train: Gram,
        held: Gram,
        player_of_model: np.ndarray,
        alpha: float,
    ) -> None:
        n_columns = train.n_features // len(player_of_model)
        self.player_of_column = np.repeat(player_of_model, n_columns)
        self.alpha = alpha
        _, mean, self.centred_moments = centred(train)

        # About the mean of the training rows the intercept of every stack is 0.
        about_mean = held.shifted(mean)
        total = about_mean.total()
        self.held_moments = total.outer[0] / total.weight[0]

        # Rounded, system means that are equal but for the last bits share a rank.
        means = about_mean.sums / about_mean.weight[:, None]
        self.system_features = means[:, :-1]
        self.system_ranks = stats.rankdata(np.round(means[:, -1], 10))
        self.known_gains: dict[bytes, np.ndarray] = {}

    def gain(self, subset: np.ndarray) -> np.ndarray:
        """Negative MSE and SRCC of the stack of some players.

        Parameters
        ----------
        subset : bool array of shape (m,), which players are in

        Returns
        -------
        gains : array of shape (2,), as in `GAINS`
        """
        key = np.packbits(subset).tobytes()
        if key not in self.known_gains:
            columns = np.flatnonzero(subset[self.player_of_column])
            self.known_gains[key] = self._solve(columns)
        return self.known_gains[key]

    def _solve(self, columns: np.ndarray) -> np.ndarray:
        """Gains of the ridge stack of some feature columns."""
        block = np.ix_(columns, columns)
        penalty = self.alpha * np.eye(len(columns))
        weights = np.linalg.solve(
            self.centred_moments[block] + penalty, self.centred_moments[columns, -1]
        )

        # The mean of (y - Xw)^2, from moments of y and X.
        mse = (
            self.held_moments[-1, -1]
            - 2 * weights @ self.held_moments[columns, -1]
            + weights @ self.held_moments[block] @ weights
        )

        # Scores that are all equal rank no system; they count as 0 rather than NaN.
        scores = np.round(self.system_features[:, columns] @ weights, 10)
        srcc = 0.0
        if len(scores) > 1 and np.ptp(scores) > 0 and np.ptp(self.system_ranks) > 0:
            srcc = np.corrcoef(stats.rankdata(scores), self.system_ranks)[0, 1]
        return np.array([-mse, srcc])


def _drop_one(stacks: _Stacks, n_models: int) -> np.ndarray:
    """What each model adds to all others, array of shape (m, 2)."""
    everyone = np.ones(n_models, dtype=bool)
    gains = []
    for k in range(n_models):
        others = everyone.copy()
        others[k] = False
        gains.append(stacks.gain(everyone) - stacks.gain(others))
    return np.array(gains)


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
    gains = np.array([stacks.gain(subset) for subset in subsets])

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
    gains = np.empty((n_orders, n_models, len(GAINS)))
    for order in range(n_orders):
        subset = np.zeros(n_models, dtype=bool)
        before = stacks.gain(subset)
        for k in rng.permutation(n_models):
            subset[k] = True
            after = stacks.gain(subset)
            gains[order, k] = after - before
            before = after
    spread = gains.std(axis=0, ddof=1)
    return gains.mean(axis=0), spread / math.sqrt(n_orders)
