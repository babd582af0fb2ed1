"""Rows of a fitted stack with what its base models predict for them.

X is what `StackedMOS.predict` takes: clips, rows of a frame or a matrix, or predictions
of the base models themselves.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from base_models.clips.labels import text_gaps
from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from ensemble.estimator.input_rows import (
    Input,
    checked_weights,
    is_clips,
    row_ids,
    systems_and_prompts,
    validated_input,
)
from ensemble.estimator.predict_base_models import (
    judged_by_prompt,
    predict_base_models,
)
from ensemble.estimator.prediction_inputs import (
    Labels,
    Predictions,
    as_tables,
    ids_of,
    labelled_places,
    labels_of_aspects,
    own_columns,
    systems_of,
    takes_predictions,
)
from ensemble.estimator.sklearn_compat import take_rows_of_anything
from meta.predicted_rows import PredictedRows
from meta.rows import Rows


def tables_and_ids(
    stack: BaseEstimator, X: Input | Predictions, prefix: str = ""
) -> tuple[list[PredictionTable], list[str]]:
    """Tables of the base models, and the ids of the rows of X.

    Parameters
    ----------
    stack : fitted
    X : as in `StackedMOS.predict`
    prefix : before the number that names a row which is no clip
    """
    check_is_fitted(stack, "final_estimator_")
    regressor = stack.final_estimator_
    if takes_predictions(stack, X):
        tables = as_tables(
            own_columns(stack, X),
            stack.aspects_,
            stack.bins_,
            stack.scales_.predictors,
        )
        aligned = regressor.layout_.align(tables, regressor.accepts_missing)
        return aligned, ids_of(X, tables)

    X = validated_input(stack, X, reset=False)
    ids = row_ids(X)
    if not is_clips(X):
        ids = [f"{prefix}{number}" for number in ids]
    tables = predict_base_models(
        stack.estimators_,
        X,
        ids,
        aspects=stack.aspects_,
        bins=stack.bins_,
        missing=regressor.accepts_missing,
    )
    return tables, ids


def gaps_of_prompts(
    stack: BaseEstimator, X: Input | Predictions, n_rows: int
) -> np.ndarray:
    """Aspects of a clip for which its prompt is missing.

    The tables of the base models are dense: what they say there is about a placeholder.

    Parameters
    ----------
    stack : fitted
    X : as in `StackedMOS.predict`; predictions were made elsewhere and have no gaps
    n_rows : number of rows of X

    Returns
    -------
    gaps : bool array of shape (n_rows, aspects)
    """
    models = [model for _, model in stack.estimators_]
    needs_text = judged_by_prompt(models, stack.aspects_)
    if not any(needs_text) or takes_predictions(stack, X):
        return np.zeros((n_rows, len(needs_text)), dtype=bool)
    return text_gaps(X, needs_text)


def rows_to_judge(
    stack: BaseEstimator,
    name: str,
    X: Input | Predictions,
    y: Labels,
) -> PredictedRows:
    """Labelled rows that no fit has seen, to measure the stack on.

    Parameters
    ----------
    stack : fitted
    name : of these rows
    X, y : as in `StackedMOS.predict` and `StackedMOS.fit`

    Raises
    ------
    UsageError
        when the labels are of other aspects or off the scale.
    """
    # Row 3 of a test matrix is not row 3 of the matrix that was fitted on.
    tables, ids = tables_and_ids(stack, X, prefix=f"{name}-")
    by_clip = takes_predictions(stack, X)
    labels = labels_of_aspects(stack, X, y, by_clip)
    labels = stack.scales_.from_labels(labels)
    gaps = gaps_of_prompts(stack, X, len(ids))
    if by_clip:
        labels = labels.reindex(ids)
        systems = systems_of(y, ids)
        prompts = None
    else:
        labels = labels.mask(gaps)
        systems, prompts = systems_and_prompts(X)
    rows = Rows.of(ids, labels, stack.aspects_, systems=systems, prompts=prompts)
    rows.check_scale(stack.bins_)
    return PredictedRows(rows, tuple(tables), gaps=gaps)


def rows_to_adapt(
    stack: BaseEstimator,
    X: Input | Predictions,
    y: Labels,
    sample_weight: ArrayLike | None,
    groups: ArrayLike | None = None,
) -> PredictedRows:
    """The labelled rows of a new corpus, to adapt the stack to.

    Parameters
    ----------
    stack : fitted
    X, y, sample_weight, groups : as in `StackedMOS.adapt`

    Raises
    ------
    UsageError
        when the labels are of other aspects, or a labelled clip has no prediction.
    """
    by_clip = len(X) > 0 and takes_predictions(stack, X)
    labels = labels_of_aspects(stack, X, y, by_clip)
    labels = stack.scales_.from_labels(labels)
    if not by_clip:
        labels = labels.mask(gaps_of_prompts(stack, X, len(labels)))
    weights = checked_weights(sample_weight, labels) if len(labels) else None
    usable = labelled_places(labels, weights)

    # Every one of a handful of clips counts: a label without a prediction is an error,
    # so only labelled clips are predicted.
    if not len(usable):
        tables = stack.final_estimator_.layout_.empty(stack.aspects_)
        ids: list[str] = []
        systems = None
    elif by_clip:
        tables = stack.prediction_tables(X)
        ids = labels.index[usable].tolist()
        systems = systems_of(y, ids)
    else:
        labelled = take_rows_of_anything(X, usable)
        tables, ids = tables_and_ids(stack, labelled)
        systems, _ = systems_and_prompts(labelled)
    rows = Rows.of(
        ids,
        labels.to_numpy()[usable],
        stack.aspects_,
        systems=systems,
        groups=None if groups is None else _groups_of(groups, labels)[usable],
        weights=None if weights is None else weights[usable],
    )
    return PredictedRows(rows, tuple(tables))


def _groups_of(groups: ArrayLike, labels: pd.DataFrame) -> np.ndarray:
    """Groups as an array of objects, one per row of labels."""
    given = np.array(list(np.asarray(groups)), dtype=object)
    if given.shape != (len(labels),):
        raise UsageError(
            f"{len(labels)} rows of labels need as many groups; got shape "
            f"{given.shape}."
        )
    return given
