"""Labels as every estimator here takes them: one named float column per aspect, NaN where a clip is unlabelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.clips.read_clips import TEXT_ASPECTS
from base_models.errors import UsageError


def as_labels(y: Any, n: int) -> pd.DataFrame:
    """Labels as a float64 frame of n rows, one column per aspect.

    Parameters
    ----------
    y : DataFrame (columns are the aspects), Series, or array of shape (n,) or (n, aspects)
    n : rows expected

    Raises
    ------
    UsageError
        when the number of rows differs, a value is not a number, or an aspect is named twice.

    >>> as_labels([1.0, 2.0], 2).columns.tolist(), as_labels([[1, 2]], 1).columns.tolist()
    (['mos'], ['y0', 'y1'])
    """
    if isinstance(y, pd.Series):
        y = y.to_frame(y.name if y.name is not None else "mos")
    if not isinstance(y, pd.DataFrame):
        y = _columns(y)
    if len(y) != n:
        raise UsageError(f"There are {n} clips but {len(y)} rows of labels.")
    try:
        labels = y.astype(np.float64).rename(columns=str).reset_index(drop=True)
    except (TypeError, ValueError) as error:
        raise UsageError(f"Labels must be numbers: {error}.") from error
    if labels.columns.empty or labels.columns.has_duplicates:
        raise UsageError(
            f"Labels need one column per aspect, each with a name of its own; got {list(labels.columns)}."
        )
    return labels


def _columns(y: Any) -> pd.DataFrame:
    try:
        y = np.asarray(y)
    except ValueError as error:  # rows of unequal length
        raise UsageError(f"Labels must be numbers: {error}.") from error
    if y.ndim not in (1, 2):
        raise UsageError(f"Labels have the shape (n,) or (n, aspects); got {y.shape}.")
    y = y[:, None] if y.ndim == 1 else y
    return pd.DataFrame(
        y, columns=["mos"] if y.shape[1] == 1 else [f"y{k}" for k in range(y.shape[1])]
    )


def check_labels(
    labels: pd.DataFrame, bins: ScoreBins, clip_ids: Sequence[str] | None = None
) -> None:
    """Refuse labels off the scale (naming the clip where ids are given), and an aspect without any label."""
    values = labels.to_numpy()
    outside = np.isinf(values) | (values < bins.low) | (values > bins.high)
    if outside.any():
        row, column = np.argwhere(outside)[0]
        where = f"in row {row}" if clip_ids is None else f"of clip '{clip_ids[row]}'"
        raise UsageError(
            f"Label {values[row, column]:g} of aspect '{labels.columns[column]}' {where} is off the scale "
            f"{bins.low:g}..{bins.high:g}."
        )
    empty = [aspect for aspect in labels if not np.isfinite(labels[aspect]).any()]
    if empty:
        raise UsageError(f"Aspect '{empty[0]}' has no label at all.")


def judged_by_text(
    aspects: Sequence[str], text_aspects: Sequence[str] | None = None
) -> tuple[bool, ...]:
    """For each aspect, whether it is judged against the prompt: those named, or by default the known names (``ta`` …).

    >>> judged_by_text(["mi", "ta"])
    (False, True)
    """
    if text_aspects is None:
        return tuple(aspect.lower() in TEXT_ASPECTS for aspect in aspects)
    unknown = sorted(set(text_aspects) - set(aspects))
    if unknown:
        raise UsageError(
            f"text_aspects names {unknown}, but the aspects are {list(aspects)}."
        )
    return tuple(aspect in text_aspects for aspect in aspects)


def mean_label(scores: np.ndarray) -> np.ndarray:
    """Mean over the labelled aspects of each clip: shape (n, aspects) to (n,); NaN where none is labelled."""
    known = np.isfinite(scores)
    count = known.sum(1)
    return np.where(
        count, np.where(known, scores, 0).sum(1) / np.maximum(count, 1), np.nan
    )
