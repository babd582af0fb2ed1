"""Rated clips of a new corpus for a stack that is fitted: the rows of `StackedMOS.adapt`.

The trap: of a handful of clips each one counts, so a label that finds no prediction is an error and never lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.utils import _safe_indexing

from base_models.clips.labels import as_labels
from base_models.errors import UsageError, some
from ensemble.estimator.metadata_routing import checked_weights
from ensemble.estimator.prediction_inputs import labels_of, takes_predictions
from meta.regressor import MetaRegressor


def adapted_level1(stack, X, y, sample_weight=None) -> MetaRegressor:
    """The meta level of a fitted `StackedMOS`, adapted to the labelled rows of a positive weight.

    Parameters
    ----------
    stack, X, y, sample_weight : as for `StackedMOS.adapt`

    Raises
    ------
    UsageError
        when the labels are of other aspects, or as in `meta.adaptation.adapt`.
    """
    by_clip = len(X) > 0 and takes_predictions(stack, X)
    labels = labels_of(y, X) if by_clip else as_labels(y, len(X))
    values = _of_aspects(labels, stack.aspects_, isinstance(y, pd.DataFrame)).to_numpy()
    weights = (
        None
        if sample_weight is None or not len(labels)
        else checked_weights(sample_weight, labels)
    )
    counted = np.flatnonzero(
        ~np.isnan(values).all(axis=1) & (True if weights is None else weights > 0)
    )
    weights = None if weights is None else weights[counted]
    if not len(counted):
        tables, ids = stack.final_estimator_.layout_.empty(stack.aspects_), []
    elif by_clip:
        tables, ids = stack.prediction_tables(X), labels.index[counted].tolist()
    else:
        tables, ids = stack._predicted(_safe_indexing(X, counted))
    return stack.final_estimator_.adapt(tables, values[counted], ids, weights)


def _of_aspects(
    labels: pd.DataFrame, aspects: Sequence[str], named: bool
) -> pd.DataFrame:
    """The stack's aspects: by name, or in their order where `y` names none."""
    if set(aspects) <= set(labels.columns):
        return labels[list(aspects)]
    if named or len(labels.columns) != len(aspects):
        raise UsageError(
            f"The labels are of {some(labels.columns)}; the stack predicts {some(aspects)}. Name one column for each, "
            "NaN where a clip has no label."
        )
    return labels
