"""Clips for which a base model has no prediction: filled from other models, or refused.

A missing prediction is a block of NaN. It is never replaced by zeros: a row of zeros
is no distribution, and a learner would read it as a very odd clip.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from base_models.errors import UsageError, one_of, some
from meta.columns.feature_table import Layout

# What a learner may do with a block of NaN: refuse it, or fill it with the pool (mean)
# of the models that are present.
MISSING = ("refuse", "pool")


def present_models(layout: Layout, X: ArrayLike) -> np.ndarray:
    """Return which models have a prediction for which row.

    Parameters
    ----------
    layout : the columns of X
    X : float array of shape (n, models·bins)

    Returns
    -------
    present : bool array of shape (n, models), False where a whole block is NaN
    """
    is_nan = np.isnan(layout.blocks(X))
    return ~is_nan.all(axis=2)


def fill_missing(
    layout: Layout,
    X: np.ndarray,
    missing: str = "refuse",
) -> np.ndarray:
    """Return features in which every model has a prediction.

    Parameters
    ----------
    layout : the columns of X
    X : float64 array of shape (n, models·bins); a model's block may be NaN
    missing : one of `MISSING`

    Returns
    -------
    X : the same array when no block is NaN, else a copy in which each such block is
        the mean of that row's other blocks

    Raises
    ------
    UsageError
        when `missing` is ``"refuse"`` and there are gaps, naming the models and how
        many rows they miss; or when a row has no model at all, naming the rows.
    """
    one_of(missing, MISSING, "treatment of missing predictions")
    present = present_models(layout, X)
    # The usual case returns the array itself: features are large.
    if present.all():
        return X

    if missing == "refuse":
        raise UsageError(_message_of_gaps(layout, present))

    has_model = present.any(axis=1)
    without_model = np.flatnonzero(~has_model)
    if len(without_model):
        raise UsageError(
            f"Rows {some(map(str, without_model))} have no prediction of any model; "
            "leave them out."
        )

    # The mean of distributions is a distribution again: its bins sum to 1.
    blocks = layout.blocks(X)
    is_present = present[:, :, None]
    without_gaps = np.where(is_present, blocks, 0)
    totals = without_gaps.sum(axis=1)
    n_present = present.sum(axis=1)
    pool = totals / n_present[:, None]

    # (n, bins) pools beside (n, models, bins) blocks.
    filled = np.where(is_present, blocks, pool[:, None])
    return filled.reshape(len(X), -1)


def _message_of_gaps(layout: Layout, present: np.ndarray) -> str:
    """Which models lack predictions of how many rows, and what to do about it."""
    absent = ~present
    n_missing = absent.sum(axis=0)
    counts = [
        f"{model}: {count}"
        for model, count in zip(layout.models, n_missing, strict=True)
        if count
    ]
    return (
        f"Predictions are missing: {some(counts)} of {len(present)} rows. Predict "
        "them, leave the models or the rows out, or use missing='pool', which fills "
        "them from the other models."
    )


def present_weights(weights: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Share convex weights out anew among the models that are present, row by row.

    The result is exactly the combination that only has these models. A row whose
    present models all have weight 0 weighs them equally.

    Parameters
    ----------
    weights : array of shape (models,)
    present : bool array of shape (n, models), with a True in each row

    Returns
    -------
    weights : array of shape (n, models), 0 where absent, rows sum to 1
    """
    # Rows of which no present model has a weight would divide by 0.
    kept = np.where(present, weights, 0)
    has_weight = kept.any(axis=1, keepdims=True)
    kept = np.where(has_weight, kept, present)
    totals = kept.sum(axis=1, keepdims=True)
    return kept / totals
