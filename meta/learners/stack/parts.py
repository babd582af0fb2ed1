"""The parts of a `Stack`: unlike ways to predict a score from those of the models.

Each part is fitted on the same rows, and predicts the same level at their mean. They
differ in what they take for granted, which is why their mean errs less than each:

- ``constant`` that models say nothing;
- ``mean`` that all models are alike;
- ``skill`` that models differ in how far they err, and in nothing else;
- ``ridge`` that coefficients are small where a model alone tells little;
- ``ridge_to_mean`` that coefficients are alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from meta.learners.base import FitInputs
from meta.learners.inner_folds import MergedRows
from meta.learners.ridge_problem import RidgeProblem
from meta.learners.stack.clear_moves import CLEAR_SLOPE, clear_share
from meta.learners.stack.score_function import Bend, ScoreFunction
from meta.learners.weighted_scores import skill_weights
from meta.ridge_algebra.solution_path import RidgePath

GROUP_WEIGHT = 2.0
"""Weight of each group's mean as a row of a ridge, in clips. A mean is less noisy than
a clip, and a system with two clips matters as much as one with twenty."""
BEND_SHARE = 0.05
"""Spread of the bend's column beside that of all columns of a ridge together. So small
a column is penalised so much that only a clear bend is taken for one."""
FEWEST_CLIPS = 10
"""With fewer distinct clips, the plain mean of the models stays."""
PENALTY_SHARE = 0.5
"""Penalty of a ridge in units of the likeliest. The mean of several parts follows noise
less than each of them, so that each may follow the rows more than if it stood alone."""
FEWEST_FOR_COEF = 3
FEWEST_FOR_BEND = 5
FEWEST_FOR_SLOPE = 15
"""Clips with which something is learnt at all."""

# Relative penalties among which the evidence chooses, in units of the mean eigenvalue.
_PENALTIES = np.logspace(-6, 4, 61)

# A standard deviation of less than this, relative to the size of the values, is
# rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class ScoreRows:
    """Distinct rows as the parts see them.

    Parameters
    ----------
    scores : array of shape (n, models)
    y : array of shape (n,)
    weight : array of shape (n,), of mean 1
    group : int array of shape (n,)
    grouped : whether groups hold several rows; otherwise each row is its own
    """

    scores: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    group: np.ndarray
    grouped: bool

    @classmethod
    def of(cls, rows: MergedRows) -> ScoreRows:
        """Rows of `meta.learners.inner_folds.merged_scores`.

        Rows are sorted anew: merged ones that have equal ratings stand in an order that
        the last digits of their features decide, and folds are dealt by place.
        """
        grouped = len(np.unique(rows.group)) < len(rows)
        keys = [rows.y, rows.X.mean(axis=1), rows.X.std(axis=1)]
        if grouped:
            keys.insert(1, rows.group)
        order = np.lexsort([np.round(key, 6) for key in reversed(keys)])
        return cls(
            scores=rows.X[order],
            y=rows.y[order],
            weight=(rows.weight / rows.weight.mean())[order],
            # Without groups, the codes number the rows.
            group=rows.group[order] if grouped else np.arange(len(rows)),
            grouped=grouped,
        )

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> ScoreRows:
        """Some of the rows, by mask or by index; weights are of mean 1 again."""
        weight = self.weight[rows]
        return replace(
            self,
            scores=self.scores[rows],
            y=self.y[rows],
            weight=weight / weight.mean(),
            group=self.group[rows],
        )

    @cached_property
    def centre(self) -> np.ndarray:
        """Mean score of each model, shape (models,)."""
        return np.average(self.scores, axis=0, weights=self.weight)

    @cached_property
    def deviations(self) -> np.ndarray:
        """Scores (n, models) less their means; 0 where a model varies by rounding."""
        deviations = self.scores - self.centre
        largest = np.abs(deviations).max(axis=0, initial=0)
        size = np.abs(self.scores).max(axis=0, initial=0)
        return np.where(largest > _ROUNDING * size, deviations, 0.0)

    @cached_property
    def mean(self) -> float:
        """Mean of the scores that are learnt from."""
        return float(np.average(self.y, weights=self.weight))


def constant(rows: ScoreRows, level: float) -> ScoreFunction:
    """The mean of the scores that are learnt from, whatever the models say."""
    return ScoreFunction(np.zeros(rows.scores.shape[1]), rows.mean)


def mean(rows: ScoreRows, level: float) -> ScoreFunction:
    """The plain mean of the models, moved to the level.

    Where it clearly varies too much or too little, its slope is another than 1: models
    that say nothing end in a constant.
    """
    n_models = rows.scores.shape[1]
    of_models = rows.deviations.mean(axis=1)
    slope = 1.0
    squares = (rows.weight * of_models**2).sum()
    if len(rows) >= FEWEST_FOR_SLOPE and squares > 0:
        target = rows.y - rows.mean
        fitted = float((rows.weight * of_models * target).sum() / squares)
        terms = rows.weight * of_models * (target - fitted * of_models) / squares
        move = fitted - 1
        slope += clear_share(move, terms, rows.group, CLEAR_SLOPE) * move
    coef = np.full(n_models, slope / n_models)
    return ScoreFunction.about(rows.centre, level, coef)


def skill(rows: ScoreRows, level: float) -> ScoreFunction:
    """Models weighed by how little they err, see `skill_weights`."""
    weights, _ = skill_weights(rows.scores, rows.y, rows.weight)
    return ScoreFunction.about(rows.centre, level, weights)


def ridge(rows: ScoreRows, level: float) -> ScoreFunction:
    """Ridge on columns as wide as what each tells alone, with a bend.

    A column is scaled to the share of the variance of the scores that it explains
    alone, the squared correlation. The penalty of its coefficient is then the inverse
    square of that share: models at chance hardly count, however many they are.
    """
    centre = rows.centre
    deviations = rows.deviations
    correlation, spread = _correlations(deviations, rows)
    scale = np.zeros(len(centre))
    varies = spread > 0
    scale[varies] = correlation[varies] ** 2 / spread[varies]
    columns = deviations * scale
    if len(rows) < FEWEST_FOR_COEF or not columns.any():
        return ScoreFunction.about(centre, level, np.zeros(len(centre)))

    bend = _bend(rows, scale * np.sign(correlation))
    if bend is not None:
        variance = np.average(columns**2, axis=0, weights=rows.weight).sum()
        bend = replace(bend, size=bend.size * BEND_SHARE * np.sqrt(variance))
        columns = np.column_stack([columns, bend.predict(rows.scores)])

    coef, offset = _coefficients(rows, columns, rows.y - rows.mean)
    linear = ScoreFunction.about(centre, level + offset, scale * coef[: len(centre)])
    if bend is None:
        return linear
    return replace(linear, bend=replace(bend, size=float(bend.size * coef[-1])))


def ridge_to_mean(rows: ScoreRows, level: float) -> ScoreFunction:
    """The plain mean of the models, and a ridge on what it leaves."""
    centre = rows.centre
    n_models = len(centre)
    coef = np.full(n_models, 1 / n_models)
    deviations = rows.deviations
    offset = 0.0
    if len(rows) >= FEWEST_FOR_COEF:
        left = rows.y - rows.mean - deviations @ coef
        more, offset = _coefficients(rows, deviations, left)
        coef = coef + more
    return ScoreFunction.about(centre, level + offset, coef)


PARTS: dict[str, Callable[[ScoreRows, float], ScoreFunction]] = {
    "constant": constant,
    "mean": mean,
    "skill": skill,
    "ridge": ridge,
    "ridge_to_mean": ridge_to_mean,
}


def _correlations(
    deviations: np.ndarray, rows: ScoreRows
) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of each model with the scores, and its standard deviation.

    Both have shape (models,), and are 0 where a model, or all scores, are constant.
    """
    target = rows.y - rows.mean
    spread = np.sqrt(np.average(deviations**2, axis=0, weights=rows.weight))
    target_spread = np.sqrt(np.average(target**2, weights=rows.weight))

    products = deviations * target[:, None]
    covariance = np.average(products, axis=0, weights=rows.weight)
    scale = spread * target_spread
    correlation = np.divide(
        covariance, scale, out=np.zeros_like(scale), where=scale > 0
    )
    return np.clip(correlation, -1, 1), spread


def _bend(rows: ScoreRows, direction: np.ndarray) -> Bend | None:
    """The parabola along a direction that has a root mean square of 1 on the rows."""
    along = rows.scores @ direction
    origin = np.average(along, weights=rows.weight)
    spread = np.sqrt(np.average((along - origin) ** 2, weights=rows.weight))
    if len(rows) < FEWEST_FOR_BEND or spread <= _ROUNDING * np.abs(along).max():
        return None

    # The line nearest to t^2, for t of mean 0 and variance 1, has the slope mean(t^3).
    place = (along - origin) / spread
    slope = np.average(place**3, weights=rows.weight)
    shape = place**2 - slope * place - 1
    size = np.sqrt(np.average(shape**2, weights=rows.weight))
    # Two distinct places have no bend.
    if size < _ROUNDING**0.5:
        return None
    return Bend(
        direction=direction / spread,
        origin=float(-origin / spread),
        low=float(place.min()),
        high=float(place.max()),
        slope=float(slope),
        level=1.0,
        size=float(1 / size),
    )


def _coefficients(
    rows: ScoreRows, columns: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, float]:
    """Ridge coefficients of columns, and the prediction at their mean.

    The penalty is the one of the largest evidence on the rows alone. Means of groups,
    which count as rows in the fit, are no rows of their own there: they repeat what
    the rows say, and would pass for so many more of them.

    Parameters
    ----------
    rows : weights and groups of the n rows
    columns : array of shape (n, p), each of weighted mean 0
    target : array of shape (n,), of weighted mean 0

    Returns
    -------
    coef : array of shape (p,)
    level : float
    """
    inputs = FitInputs(
        X=columns,
        y=target,
        weight=rows.weight,
        groups=rows.group if rows.grouped else None,
    )
    no_offset = np.zeros(len(rows))
    of_rows = RidgeProblem.of(columns, no_offset, inputs)
    if not of_rows.spread > 0:
        return np.zeros(columns.shape[1]), 0.0
    path = RidgePath.of(of_rows.total)
    penalties = of_rows.unit * _PENALTIES
    likeliest = np.argmax(path.evidence(penalties)[:, 0])
    penalty = PENALTY_SHARE * penalties[[likeliest]]

    problem = of_rows
    if rows.grouped:
        problem = of_rows.with_group_means(GROUP_WEIGHT)
        path = RidgePath.of(problem.total)
    coef = problem.back @ path.coef(penalty)[0, :, 0]
    # At the columns' mean over the rows, which is 0; not that of rows and groups.
    return coef, float(path.intercept(penalty)[0, 0])
