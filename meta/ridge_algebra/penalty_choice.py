"""Which penalty: folds of groups, losses along the grid, and the rule that picks one.

Folds that depended on the number of rows would break what weights mean, a row of weight
2 being two rows. Here they are made of whole groups and their weights. Without groups
there are no folds, and generalised cross-validation takes their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from base_models.metrics.bootstrap import resample
from base_models.metrics.evaluate import METRICS
from meta.ridge_algebra.gram import Gram
from meta.ridge_algebra.solution_path import RidgePath, leave_blocks_out

# Folds of groups, where leaving out each group would take too long.
FOLDS = 10
# Groups times columns cubed up to which each group is a fold of its own: that many
# operations take about a second.
FULL_BUDGET = 1e9
SELECT = ("mse", "srcc", "ktau")
RULES = ("min", "1se")


def _no_parts() -> np.ndarray:
    return np.empty((0, 0))


@dataclass(frozen=True, eq=False)
class Losses:
    """Loss of each penalty, ascending, and what tells how sure the differences are.

    Parameters
    ----------
    loss : array (A,), less is better; NaN where there is none
    parts : array (parts, A): losses of the folds, or of the table without one group;
        empty when there are none
    jackknife : whether `parts` are leave-one-out values of the whole, not parts of a
        mean
    """

    loss: np.ndarray
    parts: np.ndarray = field(default_factory=_no_parts)
    jackknife: bool = False

    def best(self, rule: str = "min") -> int:
        """Return the index of the chosen penalty.

        Parameters
        ----------
        rule : ``"min"``, the penalty of the least loss, the larger one on a tie;
            ``"1se"``, the largest penalty that is worse by no more than one standard
            error of that difference (as ``"min"`` when there are no parts)
        """
        # A penalty without a loss (NaN) is never chosen.
        undefined = np.isnan(self.loss)
        loss = np.where(undefined, np.inf, self.loss)

        # Losses that differ by rounding are a tie. The tolerance is finite even when
        # no penalty has a loss.
        least = loss.min()
        tolerance = 1e-12 * np.nan_to_num(np.abs(least))
        ties = np.flatnonzero(loss <= least + tolerance)
        best = int(ties[-1])
        has_parts = len(self.parts) > 0
        if rule == "min" or not has_parts:
            return best

        # Penalties ascend: the last one is the largest.
        loss_above_best = loss - loss[best]
        standard_errors = self.error_beside(self.parts[:, best])
        not_worse = np.flatnonzero(loss_above_best <= standard_errors)
        return int(not_worse[-1])

    def error_beside(self, reference: np.ndarray) -> np.ndarray:
        """Return the standard error of each loss minus a reference loss.

        Parameters
        ----------
        reference : array (parts,), the parts of the reference loss

        Returns
        -------
        standard_errors : array (A,)

        Notes
        -----
        With K parts of standard deviation s about their mean, the standard error of a
        mean is ``s / sqrt(K - 1)``, and that of the jackknife ``s sqrt(K - 1)`` (Efron
        and Tibshirani 1993, chapter 11).
        """
        differences = self.parts - reference[:, None]
        spread = np.nanstd(differences, axis=0)
        n_parts = len(differences)
        # A jackknife's parts differ little, since each has nearly all of the table.
        if self.jackknife:
            return spread * np.sqrt(n_parts - 1)

        # A single part has no spread; its error of 0 needs no division by 0.
        degrees_of_freedom = max(n_parts - 1, 1)
        return spread / np.sqrt(degrees_of_freedom)


@dataclass(frozen=True, eq=False)
class GroupMeans:
    """Mean of each group's rows.

    Parameters
    ----------
    names : array of S names, sorted
    columns : array (S, r), of the columns of a linear model
    offset : array (S,), of what predictions are without coefficients
    score : array (S,)
    """

    names: np.ndarray
    columns: np.ndarray
    offset: np.ndarray
    score: np.ndarray


def fold_of_groups(
    groups: np.ndarray,
    weight: np.ndarray,
    n_columns: int,
    seed: int,
    most: int | None = None,
) -> np.ndarray:
    """Deal whole groups to folds that weigh about the same.

    Parameters
    ----------
    groups, weight : arrays (n,) of names and of weights
    n_columns : of the features; leaving out every group costs its cube per group
    seed : int, order of groups that weigh the same
    most : folds at most; None lets each group be a fold while `FULL_BUDGET` allows,
        else makes `FOLDS`

    Returns
    -------
    fold : array of n texts, the fold of each row
    """
    names, code = np.unique(groups, return_inverse=True)
    n_groups = len(names)
    if most is None:
        # In floats: the cube of many columns is beyond the integers of numpy.
        operations = n_groups * float(n_columns) ** 3
        affordable = operations <= FULL_BUDGET
        most = n_groups if affordable else FOLDS

    # Rounded weights, so that how they were summed does not decide between equals.
    summed_weight = np.bincount(code, weights=weight)
    group_weight = np.round(summed_weight, 9)

    # Sorting is stable: groups of equal weight stay in random order.
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(n_groups)
    by_weight = np.argsort(-group_weight[shuffled], kind="stable")
    heaviest_first = shuffled[by_weight]

    # Each group goes to the fold that weighs least so far.
    n_folds = min(most, n_groups)
    load = np.zeros(n_folds)
    fold_of_group = np.empty(n_groups, dtype=np.int64)
    for group in heaviest_first:
        lightest = np.argmin(np.round(load, 9))
        fold_of_group[group] = lightest
        load[lightest] += group_weight[group]
    return fold_of_group[code].astype(str)


def gcv_losses(
    gram: Gram,
    alphas: np.ndarray,
    intercept_penalty: float = 0.0,
) -> Losses:
    """Generalised cross-validation of the first target."""
    path = RidgePath.of(gram, intercept_penalty)
    mean_squares = path.gcv(alphas)
    return Losses(mean_squares[:, 0])


def fold_losses(
    gram: Gram,
    alphas: np.ndarray,
    intercept_penalty: float = 0.0,
) -> Losses:
    """Mean squared error of the first target, each block predicted without it."""
    left_out = leave_blocks_out(gram, alphas, intercept_penalty)
    # Of the first target: (blocks, A) squares, beside (blocks, 1) weights.
    squares = left_out.squares[:, :, 0]
    block_weight = left_out.weight[:, None]
    return Losses(
        loss=left_out.mse[:, 0],
        parts=squares / block_weight,
    )


def rank_losses(
    gram: Gram,
    alphas: np.ndarray,
    means: GroupMeans,
    fold_of_group: Mapping[str, str],
    metric: str,
    jackknife: bool,
    intercept_penalty: float = 0.0,
) -> Losses:
    """Negative rank correlation of group means, each predicted without its fold.

    Parameters
    ----------
    gram : blocks of the rows, one per fold
    alphas : array (A,), absolute penalties
    means : means of the S groups
    fold_of_group : name of each group to name of its fold
    metric : ``"srcc"`` or ``"ktau"``
    jackknife : whether to measure how sure the differences are, which takes as many
        correlations as groups
    intercept_penalty : see `RidgePath.of`
    """
    left_out = leave_blocks_out(gram, alphas, intercept_penalty)
    n_groups = len(means.names)
    folds = np.array([fold_of_group[name] for name in means.names])

    # Scores of the group means under each penalty: (S, A).
    predicted = np.empty((n_groups, len(alphas)))
    for fold, path in zip(gram.names, left_out.paths, strict=True):
        held_out = folds == fold
        slopes = path.predict(means.columns[held_out], alphas)
        offset = means.offset[held_out]
        predicted[held_out] = slopes[:, :, 0] + offset[:, None]

    # Rounded as in `base_models.metrics.bootstrap.system_means`, so that ties stay
    # ties.
    predicted = np.round(predicted, 10)
    truth = np.round(means.score, 10)
    correlation = METRICS[metric]
    losses = [-correlation(truth, scores) for scores in predicted.T]
    if not jackknife:
        return Losses(np.array(losses))

    # Row k of the resampling weights leaves out group k.
    without_one = 1.0 - np.eye(n_groups)
    parts = []
    for scores in predicted.T:
        correlations = resample(truth, scores, without_one)
        parts.append(-correlations[metric])
    return Losses(
        loss=np.array(losses),
        parts=np.array(parts).T,
        jackknife=True,
    )


def clearly_better(losses: Losses, others: Losses) -> bool:
    """Whether the best loss is clearly below the best of others.

    Clearly is by more than one standard error of the difference.
    """
    best = losses.best()
    best_other = others.best()
    gain = others.loss[best_other] - losses.loss[best]

    # The error is that of the difference, on the same folds, not of either loss.
    other_parts = others.parts[:, best_other]
    standard_errors = losses.error_beside(other_parts)
    return bool(gain > standard_errors[best])
