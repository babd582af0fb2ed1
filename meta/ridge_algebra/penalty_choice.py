"""Which penalty: folds of groups, losses along the grid, and the rule that picks from them.

The trap: folds that depend on the number of rows break what weights mean, a row of weight 2 being two rows. Folds here
are dealt by groups and their weights; without groups there are none, and generalised cross-validation judges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from base_models.metrics.bootstrap import resample
from base_models.metrics.evaluate import METRICS
from meta.ridge_algebra.gram import Gram
from meta.ridge_algebra.solution_path import RidgePath, leave_blocks_out

FOLDS = 10
FULL_BUDGET = 1e9
"""Groups times columns cubed up to which each group is a fold of its own: about a second."""
SELECT = ("mse", "srcc", "ktau")
RULES = ("min", "1se")


@dataclass(frozen=True, eq=False)
class Losses:
    """Loss of each penalty, ascending, and how sure one may be of their differences.

    Parameters
    ----------
    loss : array (A,), less is better
    parts : array (parts, A): losses of the folds, or of the table without one group; None when there are none
    jackknife : whether `parts` are leave-one-out values of the whole, not parts of a mean
    """

    loss: np.ndarray
    parts: np.ndarray | None = None
    jackknife: bool = False

    def best(self, rule: str = "min") -> int:
        """Index of the chosen penalty: of the least loss (the larger penalty on a tie), or by ``"1se"`` of the largest
        penalty that is worse by no more than one standard error of that very difference.
        """
        loss = np.where(np.isnan(self.loss), np.inf, self.loss)
        best = int(
            np.flatnonzero(
                loss <= loss.min() + 1e-12 * np.nan_to_num(np.abs(loss.min()))
            )[-1]
        )
        if rule == "min" or self.parts is None:
            return best
        return int(
            np.flatnonzero(loss - loss[best] <= self.error_beside(self.parts[:, best]))[
                -1
            ]
        )

    def error_beside(self, reference) -> np.ndarray:
        """Standard error of each loss minus a reference loss, given by its parts (parts,): shape (A,)."""
        difference = self.parts - reference[:, None]
        spread, n = np.nanstd(difference, axis=0), len(difference)
        return (
            spread * np.sqrt(n - 1)
            if self.jackknife
            else spread / np.sqrt(max(n - 1, 1))
        )


def fold_of_groups(
    groups, weight, columns: int, seed: int, most: int | None = None
) -> np.ndarray:
    """Fold of each row, as text: whole groups, dealt so that folds weigh about the same.

    Parameters
    ----------
    groups, weight : (n,) names and weights
    columns : of the features, for what leaving out every group would cost
    seed : int, order of groups that weigh the same
    most : folds at most; None lets each group be a fold while `FULL_BUDGET` allows, else makes 10
    """
    names, code = np.unique(groups, return_inverse=True)
    if most is None:
        most = len(names) if len(names) * float(columns) ** 3 <= FULL_BUDGET else FOLDS
    total = np.round(np.bincount(code, weights=weight), 9)
    order = np.random.default_rng(seed).permutation(len(names))
    load, fold = np.zeros(min(most, len(names))), np.empty(len(names), dtype=np.int64)
    for group in order[np.argsort(-total[order], kind="stable")]:
        fold[group] = np.argmin(np.round(load, 9))
        load[fold[group]] += total[group]
    return fold[code].astype(str)


def gcv_losses(gram: Gram, alphas, intercept_penalty: float = 0.0) -> Losses:
    """Generalised cross-validation of the first target."""
    return Losses(RidgePath.of(gram, intercept_penalty).gcv(alphas)[:, 0])


def fold_losses(gram: Gram, alphas, intercept_penalty: float = 0.0) -> Losses:
    """Mean squared error of the first target, each block of `gram` predicted without it."""
    left = leave_blocks_out(gram, alphas, intercept_penalty)
    return Losses(left.mse[:, 0], left.squares[:, :, 0] / left.weight[:, None])


def rank_losses(table, fold, alphas, metric: str, jackknife: bool) -> Losses:
    """Negative rank correlation of group means, each group predicted without its fold.

    Parameters
    ----------
    table : `meta.learners.linear_table.LinearTable` with groups
    fold : (m,) fold of each row
    metric : ``"srcc"`` or ``"ktau"``
    jackknife : whether to measure how sure the differences are, which takes as many correlations as groups
    """
    gram, fold_of = table.gram(fold), dict(zip(table.groups, fold, strict=True))
    left = leave_blocks_out(gram, alphas, table.level_penalty)
    fold_of_name = np.array([fold_of[name] for name in table.names])
    predicted = np.empty((len(table.names), len(alphas)))
    for name, path in zip(gram.names, left.paths, strict=True):
        held = fold_of_name == name
        predicted[held] = (
            path.predict(table.means[held], alphas)[:, :, 0]
            + table.mean_offset[held, None]
        )
    predicted, truth = (
        np.round(predicted, 10),
        np.round(table.mean_score, 10),
    )  # as system_means: ties stay ties
    loss = np.array([-METRICS[metric](truth, scores) for scores in predicted.T])
    if not jackknife:
        return Losses(loss)
    without = 1.0 - np.eye(len(truth))
    parts = np.array(
        [-resample(truth, scores, without)[metric] for scores in predicted.T]
    ).T
    return Losses(loss, parts, jackknife=True)


def clearly_better(losses: Losses, than: Losses) -> bool:
    """Whether the best of some losses is below the best of others by more than one standard error of the difference."""
    mine, theirs = losses.best(), than.best()
    gain = than.loss[theirs] - losses.loss[mine]
    return bool(gain > losses.error_beside(than.parts[:, theirs])[mine])
