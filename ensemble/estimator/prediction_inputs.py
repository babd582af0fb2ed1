"""Predictions in place of base models: tables or a frame of scores, joined by clip id.

A join that loses clips says which, and why, in a `Join`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from base_models.bins import ScoreBins
from base_models.clips.labels import as_labels
from base_models.errors import UsageError, one_of, some
from base_models.predictions import PredictionTable
from base_models.scales import Ends, Scale, as_scale
from ensemble.estimator.input_rows import checked_weights, is_clips
from ensemble.prediction_files.predictor_scales import (
    DECLARED,
    PredictorScale,
    check_on_scale,
)
from meta.rows import Rows

log = logging.getLogger(__name__)

Predictions: TypeAlias = Sequence[PredictionTable] | pd.DataFrame
"""Prediction tables, one per base model, or a frame with one column of scores each."""
PredictorScales: TypeAlias = Mapping[str, Mapping[str, PredictorScale]]
"""Base model to aspect to the scale of its scores."""
_CURE = "Name its scale with scales={{'{model}': (LOW, HIGH)}}{example}."
Labels: TypeAlias = pd.Series | pd.DataFrame | ArrayLike


@dataclass(frozen=True, repr=False)
class Join:
    """What became of the clips when predictions met labels.

    Parameters
    ----------
    clips : ids with a label and a prediction, in the order of the labels
    without_label : ids that are predicted, but not labelled
    without_prediction : ids that are labelled, but predicted by no base model
    missing : base model to the joined ids that it has no prediction for
    """

    clips: tuple[str, ...]
    without_label: tuple[str, ...]
    without_prediction: tuple[str, ...]
    missing: dict[str, tuple[str, ...]]

    def __repr__(self) -> str:
        # Numbers: a corpus has thousands of ids, which the attributes hold.
        numbers = [f"{len(self.clips)} clips"]
        if self.without_label:
            numbers.append(f"{len(self.without_label)} without_label")
        if self.without_prediction:
            numbers.append(f"{len(self.without_prediction)} without_prediction")
        if self.missing:
            numbers.append(f"missing in {some(self.missing)}")
        return f"Join({', '.join(numbers)})"


def is_tables(X: Any) -> bool:
    """Whether X is a list of prediction tables."""
    if not isinstance(X, list | tuple) or not X:
        return False
    return all(isinstance(table, PredictionTable) for table in X)


def takes_predictions(stack: BaseEstimator, X: Any) -> bool:
    """Whether X is predictions of the base models themselves.

    These are tables, or a frame with a column of scores of any base model: a column
    that is missing is for `meta.columns.feature_table.Layout.align` to name or to fill,
    so that stored predictions never stand in for the frame. Of a stack that holds live
    base models, a frame is clips or rows for these.

    Raises
    ------
    UsageError
        when X is no predictions, and the stack holds nothing else that could make or
        look them up.
    """
    if is_tables(X):
        return True
    # A stack that fit_meta made of files holds no base models at all.
    base_models = [model for _, model in stack.estimators_]
    names = stack.final_estimator_.layout_.models
    has_scores = isinstance(X, pd.DataFrame) and not set(names).isdisjoint(X.columns)
    if not base_models and not has_scores:
        raise UsageError(
            f"This stack holds no base models: pass what {some(names)} predict, as "
            "PredictionTables or as a DataFrame with clip_id and one column of scores "
            "each (predict_mos --predictions FILE)."
        )
    only_tables = all(isinstance(model, PredictionTable) for model in base_models)
    return has_scores and only_tables


def own_columns(stack: BaseEstimator, X: Predictions) -> Predictions:
    """Of a frame the clip ids and the scores of the stack's models; else X itself."""
    if not isinstance(X, pd.DataFrame):
        return X
    wanted = {"clip_id", *stack.final_estimator_.layout_.models}
    return X[[name for name in X.columns if name in wanted]]


def as_tables(
    predictions: Predictions,
    aspects: Sequence[str],
    bins: ScoreBins | None = None,
    predictors: PredictorScales | None = None,
) -> list[PredictionTable]:
    """Predictions as tables, one per base model.

    Parameters
    ----------
    predictions : list of tables, as they are, or a DataFrame with one column of scores
        per base model and clip ids in ``clip_id`` or the index; scores are softened
        (those off the scale at its nearer end), NaN is no prediction
    aspects : names of what is predicted; a frame holds one aspect
    bins : the scale of the tables; None takes 1..5
    predictors : base model to aspect to the scale of its scores in a frame, which are
        mapped onto `bins`; of the others it is that of `bins`

    Raises
    ------
    UsageError
        when `predictions` is neither, holds a clip twice, or scores that are no
        numbers, or are on another scale.
    """
    if is_tables(predictions):
        return list(predictions)
    if not isinstance(predictions, pd.DataFrame):
        raise UsageError(
            "Predictions are a list of PredictionTables or a DataFrame; got "
            f"{type(predictions).__name__}."
        )
    if len(aspects) != 1:
        raise UsageError(
            f"A frame of scores is of one aspect; the labels have {some(aspects)}. "
            "Pass PredictionTables."
        )

    if bins is None:
        bins = ScoreBins()
    frame = _by_clip(predictions, "Predictions")
    ids = frame.index.to_numpy()
    scores = as_labels(frame, len(frame))  # numbers, one named column per model
    # Clipping is for the table to do; people hear how many scores it concerns.
    tables = []
    for model in scores:
        column = scores[model].to_numpy()
        known = ~np.isnan(column)
        given = (predictors or {}).get(str(model), {}).get(aspects[0])
        own = given or PredictorScale(Scale.of(bins))
        off_scale = check_on_scale(str(model), column[known], own, _CURE)
        if off_scale:
            log.warning(
                "%d scores of '%s' moved to the nearer end of %s.",
                off_scale,
                model,
                own.scale,
            )
        table = PredictionTable.from_scores(
            str(model),
            ids[known].tolist(),
            tuple(aspects),
            own.scale.map(column[known], bins),
            bins=bins,
        )
        tables.append(table)
    return tables


def ids_of(predictions: Predictions, tables: Sequence[PredictionTable]) -> list[str]:
    """Every predicted clip once, in the order of the frame, or as tables name them."""
    if isinstance(predictions, pd.DataFrame):
        return _by_clip(predictions, "Predictions").index.tolist()
    return list(dict.fromkeys(clip for table in tables for clip in table.clip_ids))


def labels_of(y: Labels, predictions: Predictions) -> pd.DataFrame:
    """Labels by clip id: a frame indexed by it, one column per aspect.

    Parameters
    ----------
    y : Series indexed by clip id, DataFrame (ids in ``clip_id`` or the index), or array
        in the order of `predictions`
    predictions : see `as_tables`

    Raises
    ------
    UsageError
        when a clip is labelled twice, or an array has another number of rows.
    """
    if isinstance(y, pd.Series):
        y = y.to_frame("mos" if y.name is None else y.name)
    if isinstance(y, pd.DataFrame):
        frame = _by_clip(y, "Labels")
        rated = frame.drop(columns="system_id", errors="ignore")
        return as_labels(rated, len(frame)).set_index(frame.index)

    ids = ids_of(predictions, predictions)
    index = pd.Index(ids, name="clip_id", dtype=object)
    labels = as_labels(y, len(ids)).set_index(index)
    if is_tables(predictions) and len(labels.columns) == len(predictions[0].aspects):
        # An array names no aspect; the tables do.
        labels.columns = list(predictions[0].aspects)
    return labels


def joined(
    tables: Sequence[PredictionTable], predicted: Sequence[str], labels: pd.DataFrame
) -> Join:
    """Which clips have a label and a prediction.

    Parameters
    ----------
    tables : predictions
    predicted : ids of all clips of the predictions, see `ids_of`
    labels : see `labels_of`

    Raises
    ------
    UsageError
        when no clip has both.
    """
    ids_of_model = {table.model: set(table.clip_ids) for table in tables}
    anywhere: set[str] = set().union(*ids_of_model.values())
    labelled = labels.index[labels.notna().any(axis=1)]
    clips = tuple(clip for clip in labelled if clip in anywhere)
    if not clips:
        raise UsageError(
            "No clip has both a label and a prediction: labels are of "
            f"{some(labels.index, 3)}, predictions of {some(predicted, 3)}. Index both "
            "by clip id, or give both a column clip_id."
        )

    # What is joined may still lack single models, which the learner may not accept.
    missing = {}
    for model, ids in ids_of_model.items():
        without = tuple(clip for clip in clips if clip not in ids)
        if without:
            missing[model] = without
    known = set(labelled)
    return Join(
        clips=clips,
        without_label=tuple(clip for clip in predicted if clip not in known),
        without_prediction=tuple(clip for clip in labelled if clip not in anywhere),
        missing=missing,
    )


def systems_of(y: Labels, clip_ids: Sequence[str]) -> list[Any] | None:
    """Systems of some clips, where the labels are a frame that names them."""
    if not isinstance(y, pd.DataFrame) or "system_id" not in y:
        return None
    return _by_clip(y, "Labels")["system_id"].reindex(list(clip_ids)).tolist()


def labels_of_aspects(
    stack: BaseEstimator, X: Any, y: Labels, by_clip: bool
) -> pd.DataFrame:
    """Labels of new clips, one column for each aspect of the stack, in its order.

    Parameters
    ----------
    X : what `StackedMOS.adapt` or `StackedMOS.assess` was given
    y : labels, rows as in `X`; or by clip id
    by_clip : whether `X` is predictions

    Raises
    ------
    UsageError
        when the labels are of other aspects.
    """
    labels = labels_of(y, X) if by_clip else as_labels(y, len(X))
    aspects = list(stack.aspects_)
    if set(aspects) <= set(labels.columns):
        return labels[aspects]
    # An array names no aspects: its columns are those of the stack, in order.
    if isinstance(y, pd.DataFrame) or len(labels.columns) != len(aspects):
        raise UsageError(
            f"The labels are of {some(labels.columns)}; the stack predicts "
            f"{some(aspects)}. Name one column for each, NaN where a clip has no label."
        )
    return labels


def _by_clip(frame: pd.DataFrame, what: str) -> pd.DataFrame:
    """The frame indexed by clip id as text, each clip once."""
    given = frame["clip_id"] if is_clips(frame) else frame.index
    ids = pd.Index([str(clip) for clip in given], name="clip_id", dtype=object)
    twice = ids[ids.duplicated()]
    if len(twice):
        raise UsageError(
            f"{what} hold clip '{twice[0]}' twice; every clip needs one row."
        )
    return frame.drop(columns="clip_id", errors="ignore").set_axis(ids)


def labelled_places(labels: pd.DataFrame, weights: np.ndarray | None) -> np.ndarray:
    """Places of the rows with a label of any aspect and a positive weight."""
    labelled = labels.notna().to_numpy().any(axis=1)
    if weights is not None:
        labelled = labelled & (weights > 0)
    return np.flatnonzero(labelled)


@dataclass(frozen=True)
class JoinedInputs:
    """What a stack is fitted on where only predictions are known.

    Parameters
    ----------
    estimators : (name, prediction table) pairs
    clips : ids of the joined clips, and their systems where these are known
    labels : of these clips, one-dimensional where they were given so
    rows : the same clips with their weights and groups
    join : what became of all clips
    predictors : base model to aspect to the scale of its scores, where it is declared
    """

    estimators: list[tuple[str, PredictionTable]]
    clips: pd.DataFrame
    labels: pd.Series | pd.DataFrame
    rows: Rows
    join: Join
    predictors: PredictorScales


def joined_inputs(
    predictions: Predictions,
    y: Labels,
    *,
    sample_weight: ArrayLike | None,
    groups: ArrayLike | None,
    bins: ScoreBins | None,
    scales: Mapping[str, Ends] | None = None,
) -> JoinedInputs:
    """Join predictions to labels; parameters as of `StackedMOS.from_predictions`.

    Raises
    ------
    UsageError
        when no clip joins.
    """
    # Labels come first: they name the aspects that the predictions are of.
    labels = labels_of(y, predictions)
    predictors = _declared(predictions, labels.columns, scales)
    tables = as_tables(predictions, labels.columns, bins, predictors)
    join = joined(tables, ids_of(predictions, tables), labels)

    # Weights and groups are rows of y, of which only the joined ones stay.
    given = Rows.of(
        labels.index.tolist(),
        labels,
        tuple(labels.columns),
        groups=groups,
        weights=checked_weights(sample_weight, labels),
    )
    places = labels.index.get_indexer(list(join.clips))
    joined_labels = labels.iloc[places].reset_index(drop=True)

    clips = pd.DataFrame({"clip_id": list(join.clips)})
    systems = systems_of(y, join.clips)
    if systems is not None:
        clips["system_id"] = systems
    return JoinedInputs(
        estimators=[(table.model, table) for table in tables],
        clips=clips,
        labels=joined_labels.iloc[:, 0] if np.ndim(y) == 1 else joined_labels,
        rows=given.take(places),
        join=join,
        predictors=predictors,
    )


def _declared(
    predictions: Predictions,
    aspects: Sequence[str],
    scales: Mapping[str, Ends] | None,
) -> PredictorScales:
    """The scales that are declared for the columns of a frame of scores."""
    declared = {str(model): as_scale(ends) for model, ends in (scales or {}).items()}
    if not declared:
        return {}
    if not isinstance(predictions, pd.DataFrame):
        raise UsageError(
            "scales are of a frame of scores; map those of a PredictionTable before it "
            "is made (base_models.scales.Scale.map)."
        )
    frame = as_labels(_by_clip(predictions, "Predictions"), len(predictions))
    found = {}
    for model, scale in declared.items():
        one_of(model, frame.columns, "column of scores in scales")
        values = frame[model].to_numpy()
        ends = (float(np.nanmin(values)), float(np.nanmax(values)))
        found[model] = {
            aspect: PredictorScale(scale, DECLARED, ends) for aspect in aspects
        }
    return found
