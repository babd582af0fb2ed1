"""The rows that a stack is fitted on: clips of a listening test, which have names, or anonymous rows of a matrix.

The trap: a row of weight 0, or without any label, must not be there at all: left in, it would move folds, shares and
the scale, and so every prediction, without a word.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.errors import UsageError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitRows:
    """Rows of X with all that belongs to them.

    Parameters
    ----------
    X : clip table, other DataFrame, or matrix, of n rows
    labels : DataFrame of shape (n, aspects), NaN where unlabelled
    ids, systems : object arrays of shape (n,), names of each row and of its system ("" where there is none)
    weights : float64 array of shape (n,), or None
    groups : object array of shape (n,), or None
    """

    X: Any
    labels: pd.DataFrame
    ids: np.ndarray
    systems: np.ndarray
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None

    @classmethod
    def of(cls, X, labels: pd.DataFrame, weights=None, groups=None) -> FitRows:
        """Rows named by X; UsageError when there are not as many groups."""
        systems = (
            X["system_id"] if is_clips(X) and "system_id" in X else [""] * len(labels)
        )
        if groups is not None and len(groups) != len(labels):
            raise UsageError(f"There are {len(labels)} rows but {len(groups)} groups.")
        return cls(
            X,
            labels,
            _names(row_ids(X)),
            system_names(systems),
            weights,
            None if groups is None else _objects(groups),
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def used(self) -> np.ndarray:
        """Numbers of the rows that count: those with a label and a positive weight."""
        labelled = self.labels.notna().to_numpy().any(axis=1)
        return np.flatnonzero(
            labelled if self.weights is None else labelled & (self.weights > 0)
        )

    def take(self, rows) -> FitRows:
        """These rows, in this order; they keep their names."""
        picked = [
            None if part is None else part[rows]
            for part in (self.ids, self.systems, self.weights, self.groups)
        ]
        return FitRows(
            take(self.X, rows), self.labels.iloc[rows].reset_index(drop=True), *picked
        )


def is_clips(X) -> bool:
    """Whether X is a table of clips: a DataFrame with ``audio`` or ``clip_id``."""
    return isinstance(X, pd.DataFrame) and not {"audio", "clip_id"}.isdisjoint(
        X.columns
    )


def row_ids(X) -> list[str]:
    """``clip_id`` of a clip table, else the number of each row."""
    return [str(clip) for clip in (X["clip_id"] if is_clips(X) else range(len(X)))]


def system_names(values) -> np.ndarray:
    """Names of systems, "" where one is missing."""
    return _names(pd.Series(list(values), dtype=object).fillna(""))


def take(X, rows):
    """Rows of a DataFrame or matrix."""
    return (
        X.iloc[rows].reset_index(drop=True) if isinstance(X, pd.DataFrame) else X[rows]
    )


def _names(values) -> np.ndarray:
    return _objects([str(value) for value in values])


def _objects(values) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = list(values)
    return array


def rating_scale(labels: pd.DataFrame, clips: bool) -> ScoreBins:
    """The scale of ratings that nobody named: 1..5, unless anonymous rows have labels off it.

    Clips come from a listening test, whose scale is known: a label off it is a mistake, for `check_labels` to refuse.
    A matrix may be anything; its scale spans its labels, and the log says so.
    """
    values = labels.to_numpy()
    known, bins = values[np.isfinite(values)], ScoreBins()
    if (
        clips
        or not known.size
        or (known.min() >= bins.low and known.max() <= bins.high)
    ):
        return bins
    low, high = float(known.min()), float(known.max())
    spread = (low, high) if low < high else (low - 0.5, high + 0.5)
    log.warning(
        "Labels lie off the scale 1..5; taking %g..%g, which they span. Pass bins=ScoreBins(low, high) for the scale "
        "of the listening test: nothing outside of it is ever predicted.",
        *spread,
    )
    return ScoreBins(*spread)
