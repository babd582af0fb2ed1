"""What a linear learner sees of each base model: all its bins, its decoded score, or its moments.

The trap: a score that was softened into 20 bins is still one number, and 20 coefficients for it are 19 too many; a
distribution that a model emits itself may say more than its mean. Which holds is for cross-validation to say.
"""

from __future__ import annotations

import numpy as np

from base_models.errors import one_of
from meta.columns.feature_table import Layout

WIDTHS = {"score": 1, "moments": 3}
"""Columns per model, fewest first; ``"bins"`` has as many as the scale."""
REDUCTIONS = (*WIDTHS, "bins")


def width(layout: Layout, reduction: str) -> int:
    """Columns per model; UsageError for an unknown reduction."""
    return WIDTHS.get(
        one_of(reduction, REDUCTIONS, "reduction of a distribution"), layout.bins.count
    )


def reduce(layout: Layout, X, reduction: str) -> np.ndarray:
    """Columns of a linear learner, side by side for all models.

    Parameters
    ----------
    layout : what the columns of X are
    X : array of shape (n, models·bins)
    reduction : ``"bins"``, X itself; ``"score"``, each model's decoded score; ``"moments"``, decoded score, standard
        deviation and skew, all in score points

    Returns
    -------
    columns : float64 array of shape (n, models·width), a model's columns beside each other
    """
    if one_of(reduction, REDUCTIONS, "reduction of a distribution") == "bins":
        return np.asarray(X, dtype=np.float64)
    scores = layout.scores(X)
    return scores if reduction == "score" else _moments(layout, X, scores)


def _moments(layout: Layout, X, scores) -> np.ndarray:
    """Score, deviation, and third central moment over variance; a width within one bin is not told apart from 0."""
    blocks, bins = layout.blocks(X), layout.bins
    away = bins.centers - (blocks * bins.centers).sum(axis=-1, keepdims=True)
    variance, third = ((blocks * away**k).sum(axis=-1) for k in (2, 3))
    skew = third / (variance + bins.width**2 / 12)
    return np.stack([scores, np.sqrt(np.maximum(variance, 0)), skew], axis=-1).reshape(
        len(scores), 3 * scores.shape[1]
    )
