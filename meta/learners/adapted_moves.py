"""How far a linear learner moves towards some rated clips of another corpus."""

from __future__ import annotations

from copy import copy
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from meta.learners.base import FitInputs, Learner, check_fit_inputs
from meta.learners.ridge_problem import RidgeProblem
from meta.ridge_algebra.solution_path import RidgePath

# Clips that the fitted coefficients, and the fitted level, are worth when they are
# adapted.
ADAPT_CLIPS = 10.0
LEVEL_CLIPS = 5.0


L = TypeVar("L", bound=Learner)


def begin_adaptation(
    learner: L,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
) -> tuple[L, FitInputs | None]:
    """Copy a learner that is to be adapted, and check what it is adapted to.

    Parameters
    ----------
    learner : fitted
    X, y, sample_weight : as for its `fit`, n >= 0 rows

    Returns
    -------
    adapted : a shallow copy, whose facts count the new rows; what changes is to be
        replaced in it, never written to
    inputs : the rows; None where there are none, or only rows of weight 0
    """
    adapted = copy(learner)
    adapted.facts_ = dict(learner.facts_)
    adapted.warnings_ = list(learner.warnings_)

    has_rows = len(np.asarray(X)) > 0
    has_weight = sample_weight is None or np.any(sample_weight)
    if not (has_rows and has_weight):
        return adapted, None

    inputs = check_fit_inputs(
        learner.layout_,
        X,
        y,
        sample_weight=sample_weight,
        missing=getattr(learner, "missing", "refuse"),
    )
    n_before = learner.facts_.get("adapted_to", 0)
    adapted.facts_["adapted_to"] = n_before + len(inputs.X)
    return adapted, inputs


def moves_towards(
    inputs: FitInputs,
    columns: np.ndarray,
    predicted: np.ndarray,
    spread: float,
) -> tuple[np.ndarray, float]:
    """What is added to coefficients and intercept.

    It minimises the weighted squares on the new rows, plus squares of how far the
    coefficients move, worth `ADAPT_CLIPS` clips of the variance of all fitted columns
    together, and of how far the prediction at the new rows' mean moves, worth
    `LEVEL_CLIPS`. A handful of clips moves the level, dozens the weights of models,
    and hundreds make a fresh fit that owes nothing to the old one.

    Parameters
    ----------
    inputs : the n new rows
    columns : array of shape (n, p), what the coefficients are of
    predicted : array of shape (n,), predictions of the learner as it is
    spread : mean variance of the columns on the rows of the fit

    Returns
    -------
    coef : array of shape (p,); 0 where the columns of the fit were constant
    intercept : float
    """
    # What moves is fitted to what the old predictions leave of the new scores.
    problem = RidgeProblem.of(columns, predicted, inputs)

    # The sum of the columns' variances, not their mean: models that agree vary
    # together, and one clip of fifty such models would outweigh the old fit.
    n_columns = columns.shape[1]
    has_spread = spread > 0
    penalty = ADAPT_CLIPS * spread * n_columns
    # In units of the coefficients' penalty, hence the quotient.
    level_penalty = LEVEL_CLIPS / penalty if has_spread else 0.0
    path = RidgePath.of(problem.total, level_penalty)

    alpha = np.array([penalty])
    coef = np.zeros(n_columns)
    if has_spread:
        coef = problem.back @ path.coef(alpha)[0, :, 0]
    return coef, float(path.intercept(alpha)[0, 0])
