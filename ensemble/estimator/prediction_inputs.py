"""Predictions as all there is of the base models: tables or a frame of scores, joined with labels by clip id.

The trap: a join that loses clips loses them without a word; `Join` says which, and why.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from base_models.bins import ScoreBins
from base_models.clips.labels import as_labels
from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from ensemble.estimator.input_rows import is_clips, system_names

log = logging.getLogger(__name__)


@dataclass(frozen=True)
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


def is_tables(X) -> bool:
    """Whether X is a list of prediction tables."""
    return (
        isinstance(X, list | tuple)
        and len(X) > 0
        and all(isinstance(table, PredictionTable) for table in X)
    )


def takes_predictions(stack, X) -> bool:
    """Whether X is predictions of the base models themselves: tables, or a frame with a column of scores of any.

    A column that is missing is for `meta.columns.feature_table.Layout.align` to name or to fill, lest stored predictions stand in
    for the frame without a word. Of a `StackedMOS` that holds live base models, a frame is clips or rows for these.

    Raises
    ------
    UsageError
        when X is no predictions, and the stack holds nothing else that could make or look them up.
    """
    regressor, bases = stack.final_estimator_, [model for _, model in stack.estimators_]
    if is_tables(X):
        return True
    models = set(regressor.layout_.models)
    named = models & set(X.columns) if isinstance(X, pd.DataFrame) else set()
    if not bases and not named:
        raise UsageError(
            f"This stack holds no base models: pass what {some(regressor.layout_.models)} predict, as PredictionTables "
            "or as a DataFrame with clip_id and one column of scores each (predict_mos --predictions FILE)."
        )
    return bool(named) and all(isinstance(model, PredictionTable) for model in bases)


def own_columns(stack, X):
    """Of a frame of scores those of the stack's base models, with their clips; tables as they are."""
    if not isinstance(X, pd.DataFrame):
        return X
    wanted = {"clip_id", *stack.final_estimator_.layout_.models}
    return X[[name for name in X.columns if name in wanted]]


def as_tables(
    predictions, aspects: Sequence[str], bins: ScoreBins | None = None
) -> list[PredictionTable]:
    """Predictions as tables, one per base model.

    Parameters
    ----------
    predictions : list of tables, as they are, or a DataFrame with one column of scores per base model and clip ids in
        ``clip_id`` or the index; scores are softened (those off the scale at its nearer end), NaN is none
    aspects : names of what is predicted; a frame holds one aspect
    bins : the scale of the scores of a frame; None takes 1..5

    Raises
    ------
    UsageError
        when `predictions` is neither, holds a clip twice, or scores that are no numbers.
    """
    if is_tables(predictions):
        return list(predictions)
    if not isinstance(predictions, pd.DataFrame):
        raise UsageError(
            f"Predictions are a list of PredictionTables or a DataFrame; got {type(predictions).__name__}."
        )
    if len(aspects) != 1:
        raise UsageError(
            f"A frame of scores is of one aspect; the labels have {some(aspects)}. Pass PredictionTables."
        )
    bins, frame = bins or ScoreBins(), _by_clip(predictions, "Predictions")
    scores = as_labels(frame, len(frame))  # numbers, one named column per model
    ids, tables = frame.index.to_numpy(), []
    for model in scores:
        off_scale = ((scores[model] < bins.low) | (scores[model] > bins.high)).sum()
        if off_scale:
            log.warning(
                "%d scores of '%s' moved to the nearer end of %g..%g.",
                off_scale,
                model,
                bins.low,
                bins.high,
            )
        known = scores[model].notna().to_numpy()
        column = scores[model].to_numpy()[known]
        tables.append(
            PredictionTable.from_scores(
                str(model), ids[known].tolist(), tuple(aspects), column, bins=bins
            )
        )
    return tables


def ids_of(predictions, tables: Sequence[PredictionTable]) -> list[str]:
    """Every clip of the predictions once: the rows of a frame, or those of the tables as they first come."""
    if isinstance(predictions, pd.DataFrame):
        return _by_clip(predictions, "Predictions").index.tolist()
    return list(dict.fromkeys(clip for table in tables for clip in table.clip_ids))


def labels_of(y, predictions) -> pd.DataFrame:
    """Labels by clip id: a frame indexed by it, one column per aspect.

    Parameters
    ----------
    y : Series indexed by clip id, DataFrame (ids in ``clip_id`` or the index), or array in the order of `predictions`
    predictions : see `as_tables`

    Raises
    ------
    UsageError
        when a clip is labelled twice, or an array has another number of rows.
    """
    if isinstance(y, pd.Series | pd.DataFrame):
        frame = _by_clip(
            y.to_frame(y.name if y.name is not None else "mos")
            if isinstance(y, pd.Series)
            else y,
            "Labels",
        )
        return as_labels(
            frame.drop(columns="system_id", errors="ignore"), len(frame)
        ).set_index(frame.index)
    ids = ids_of(predictions, predictions)
    labels = as_labels(y, len(ids)).set_index(
        pd.Index(ids, name="clip_id", dtype=object)
    )
    if is_tables(predictions) and len(labels.columns) == len(predictions[0].aspects):
        labels.columns = list(predictions[0].aspects)  # an array names no aspect
    return labels


def joined(
    tables: Sequence[PredictionTable], predicted: Sequence[str], labels: pd.DataFrame
) -> Join:
    """Which clips have a label and a prediction; UsageError when none has both."""
    held = {table.model: set(table.clip_ids) for table in tables}
    anywhere, labelled = (
        set().union(*held.values()),
        labels.index[labels.notna().any(axis=1)],
    )
    known = set(labelled)
    clips = tuple(clip for clip in labelled if clip in anywhere)
    if not clips:
        raise UsageError(
            f"No clip has both a label and a prediction: labels are of {some(labels.index, 3)}, predictions of "
            f"{some(predicted, 3)}. Index both by clip id, or give both a column clip_id."
        )
    missing = {
        model: tuple(clip for clip in clips if clip not in ids)
        for model, ids in held.items()
    }
    return Join(
        clips,
        tuple(clip for clip in predicted if clip not in known),
        tuple(clip for clip in labelled if clip not in anywhere),
        {model: ids for model, ids in missing.items() if ids},
    )


def clips_of(join: Join, y: Any) -> pd.DataFrame:
    """A clip table of the joined clips, with their systems when the labels name them."""
    clips = pd.DataFrame({"clip_id": list(join.clips)})
    if isinstance(y, pd.DataFrame) and "system_id" in y:
        clips["system_id"] = system_names(
            _by_clip(y, "Labels").loc[list(join.clips), "system_id"]
        )
    return clips


def _by_clip(frame: pd.DataFrame, what: str) -> pd.DataFrame:
    ids = [str(clip) for clip in (frame["clip_id"] if is_clips(frame) else frame.index)]
    twice = pd.Index(ids)[pd.Index(ids).duplicated()]
    if len(twice):
        raise UsageError(
            f"{what} hold clip '{twice[0]}' twice; every clip needs one row."
        )
    return frame.drop(columns="clip_id", errors="ignore").set_axis(
        pd.Index(ids, name="clip_id", dtype=object)
    )
