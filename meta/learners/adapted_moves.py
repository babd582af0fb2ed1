"""How far a linear learner moves towards some rated clips of another corpus."""

from __future__ import annotations

import numpy as np

from meta.learners.base import FitInputs
from meta.learners.ridge_problem import RidgeProblem
from meta.ridge_algebra.solution_path import RidgePath

# Clips that the fitted coefficients, and the fitted level, are worth when they are
# adapted.
ADAPT_CLIPS = 10.0
LEVEL_CLIPS = 5.0


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
    path = RidgePath.of(problem.gram(), level_penalty)

    alpha = np.array([penalty])
    coef = np.zeros(n_columns)
    if has_spread:
        coef = problem.back @ path.coef(alpha)[0, :, 0]
    return coef, float(path.intercept(alpha)[0, 0])
