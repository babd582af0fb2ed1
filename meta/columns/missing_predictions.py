"""Clips for which a base model has no prediction: a block of NaN, filled from the other models, or refused.

The trap: a row of zeros is no distribution, and a learner reads it as a very odd clip. What stands in for a model is
the mean of the distributions of those that are there.
"""

from __future__ import annotations

import numpy as np

from base_models.errors import UsageError, one_of, some
from meta.columns.feature_table import Layout

MISSING = ("refuse", "pool")
"""What a learner may do with a block of NaN: refuse it, or fill it with the pool (mean) of the present models."""


def present_models(layout: Layout, X) -> np.ndarray:
    """Which models have a prediction: (n, models·bins) to bool (n, models), False where a whole block is NaN."""
    return ~np.isnan(layout.blocks(X)).all(axis=2)


def fill_missing(layout: Layout, X, missing: str = "refuse") -> np.ndarray:
    """Features in which every model has a prediction.

    Parameters
    ----------
    layout : the columns
    X : float64 array of shape (n, models·bins); a model's block may be NaN
    missing : one of `MISSING`

    Returns
    -------
    X : the same array when no block is NaN, else a copy in which each such block is the mean of that row's others

    Raises
    ------
    UsageError
        naming the models and how many rows they miss, when `missing` is ``"refuse"``; or the rows without any model.
    """
    one_of(missing, MISSING, "way with missing predictions")
    present = present_models(layout, X)
    if present.all():
        return X
    if missing == "refuse":
        gaps = (~present).sum(axis=0)
        named = [
            f"{model}: {count}"
            for model, count in zip(layout.models, gaps, strict=True)
            if count
        ]
        raise UsageError(
            f"Predictions are missing: {some(named)} of {len(X)} rows. Predict them, leave the models or the rows out, "
            "or use missing='pool', which fills them from the other models."
        )
    empty = np.flatnonzero(~present.any(axis=1))
    if len(empty):
        raise UsageError(
            f"Rows {some(map(str, empty))} have no prediction of any model; leave them out."
        )
    blocks = layout.blocks(X)
    pool = (
        np.where(present[:, :, None], blocks, 0).sum(axis=1)
        / present.sum(axis=1)[:, None]
    )
    return np.where(present[:, :, None], blocks, pool[:, None]).reshape(len(X), -1)


def present_weights(weights: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The exact sub-stack of convex weights: shared out anew among the models that are there, row by row.

    A row whose models all have weight 0 weighs them equally.

    Parameters
    ----------
    weights : array of shape (models,)
    present : bool array of shape (n, models), with a True in each row

    Returns
    -------
    weights : array of shape (n, models), 0 where absent, rows sum to 1
    """
    kept = np.where(present, weights, 0)
    kept = np.where(kept.any(axis=1, keepdims=True), kept, present)
    return kept / kept.sum(axis=1, keepdims=True)
