"""What a linear learner sees of each base model: bins, decoded score, or moments.

A score that was softened into 20 bins is still one number, and 20 coefficients for it
are 19 too many. A distribution that a model predicts itself may say more than its mean.
Which of the two holds is decided by cross-validation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from base_models.errors import one_of
from meta.columns.feature_table import Layout

# Columns per model, fewest first; "bins" has as many as the scale.
WIDTHS = {"score": 1, "moments": 3}
REDUCTIONS = (*WIDTHS, "bins")


def columns_per_model(layout: Layout, reduction: str) -> int:
    """Return the number of columns per model; UsageError for an unknown reduction."""
    one_of(reduction, REDUCTIONS, "reduction of a distribution")
    return WIDTHS.get(reduction, layout.bins.count)


def reduced_columns(
    layout: Layout,
    X: ArrayLike,
    reduction: str,
) -> np.ndarray:
    """Return the columns of a linear learner, side by side for all models.

    Parameters
    ----------
    layout : what the columns of X are
    X : array of shape (n, models·bins)
    reduction : ``"bins"``, X itself; ``"score"``, each model's decoded score;
        ``"moments"``, decoded score, standard deviation and skew, all in score points

    Returns
    -------
    columns : float64 array of shape (n, models·columns), a model's columns adjacent;
        see `columns_per_model`

    Raises
    ------
    UsageError
        when the reduction is unknown.
    """
    one_of(reduction, REDUCTIONS, "reduction of a distribution")
    if reduction == "bins":
        return np.asarray(X, dtype=np.float64)
    if reduction == "score":
        return layout.scores(X)
    return _moments(layout, X)


def _moments(layout: Layout, X: ArrayLike) -> np.ndarray:
    """Score, standard deviation, and third central moment over variance: (n, 3·models).

    All three are in score points.
    """
    scores = layout.scores(X)
    blocks = layout.blocks(X)
    bins = layout.bins

    # About the plain mean. The decoded score differs from it near the ends of the
    # scale, where softening pulls the mean inwards.
    means = (blocks * bins.centers).sum(axis=-1, keepdims=True)
    deviations = bins.centers - means
    square_terms = blocks * deviations**2
    cube_terms = blocks * deviations**3
    variance = square_terms.sum(axis=-1)
    third_moment = cube_terms.sum(axis=-1)

    # The variance within one bin is added under the skew, so that a distribution as
    # narrow as a bin has a skew near 0 instead of a quotient of rounding errors.
    bin_variance = bins.width**2 / 12
    skew = third_moment / (variance + bin_variance)

    # Rounding may leave a variance of 0 slightly negative.
    positive_variance = np.maximum(variance, 0)
    standard_deviation = np.sqrt(positive_variance)

    # (n, models, 3), then the three columns of each model side by side.
    moments = np.stack([scores, standard_deviation, skew], axis=-1)
    n, n_models = scores.shape
    return moments.reshape(n, 3 * n_models)
