"""The rows that a stack is fitted on: names, labels, weights and groups, checked against each other and the scale.

The trap: splits, folds and resamples are dealt by row number, so the same clips in another order would be split, judged
and calibrated otherwise. Here rows stand in the order of their clip ids, whatever order they came in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd

from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from meta.columns.feature_table import layout_of
from meta.splits.meta_split import meta_split


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """n clips in the order of their ids; made by `of`.

    Parameters
    ----------
    clip_ids : object array (n,)
    aspects : names of the columns of y
    y : float64 array (n, aspects), on the scale; NaN where unlabelled, or of weight 0
    weight : float64 array (n,), or None
    groups : object array of n names, or None
    systems : object array of n names, "" where a clip has none
    number : int array (n,), the row that each was given as
    """

    clip_ids: np.ndarray
    aspects: tuple[str, ...]
    y: np.ndarray
    weight: np.ndarray | None
    groups: np.ndarray | None
    systems: np.ndarray
    number: np.ndarray

    @classmethod
    def of(
        cls,
        tables: Sequence[PredictionTable],
        y,
        clip_ids: Sequence[str] | None,
        aspects: Sequence[str] | None,
        sample_weight=None,
        groups: Sequence[str] | None = None,
        system_ids: Sequence[str] | None = None,
    ) -> LabelledRows:
        """Check what `meta.regressor.MetaRegressor.fit` was given.

        Raises
        ------
        UsageError
            when lengths disagree, a label is off the scale, or a weight is negative or not finite.
        """
        clip_ids, aspects, y = _labels(tables, y, clip_ids, aspects)
        n, weight = len(clip_ids), _weights(sample_weight, clip_ids)
        y = y if weight is None else np.where(weight[:, None] > 0, y, np.nan)
        groups = None if groups is None else _names(groups, n, "groups")
        systems = _names(
            [""] * n if system_ids is None else system_ids, n, "system ids"
        )
        ids = np.array(clip_ids, dtype=object)
        return cls(ids, aspects, y, weight, groups, systems, np.arange(n)).take(
            id_order(ids)
        )

    def take(self, rows) -> LabelledRows:
        """Some of the rows, by place or by a mask."""
        parts = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != "aspects"
        }
        return replace(
            self,
            **{
                name: part if part is None else part[rows]
                for name, part in parts.items()
            },
        )

    @property
    def labelled(self) -> np.ndarray:
        """Which rows have a label of any aspect, bool array (n,)."""
        return ~np.isnan(self.y).all(axis=1)

    @property
    def together(self) -> np.ndarray | None:
        """What folds keep together: the groups, else the systems where every clip names one."""
        return (
            self.groups
            if self.groups is not None
            else self.systems
            if (self.systems != "").all()
            else None
        )

    def refuse_unnamed(self) -> None:
        """Refuse labelled clips without a system among others that name theirs."""
        unnamed = (self.systems == "") & self.labelled
        if 0 < unnamed.sum() < self.labelled.sum():
            raise UsageError(
                f"Clips {some(self.clip_ids[unnamed])} have no system id, others have; name all systems or none."
            )

    def split(self, validation, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Places of the labelled rows to fit on and of those to measure on.

        Parameters
        ----------
        validation : share held out, or two lists of row numbers, as the rows were given
        seed : int

        Raises
        ------
        UsageError
            when the lists overlap, leave the rows, or hold no labelled row; or as in `meta.splits.meta_split.meta_split`.
        """
        rows = np.flatnonzero(self.labelled)
        if not isinstance(validation, tuple | list):
            groups = None if self.groups is None else self.groups[rows]
            held = meta_split(
                self.systems[rows], self.y[rows], validation, seed, groups
            )
            return rows[~held], rows[held]
        if len(validation) != 2:
            raise UsageError(
                f"validation takes two lists of row numbers, to fit and to measure; got {len(validation)}."
            )
        sides = [_row_numbers(side, len(self.y)) for side in validation]
        both = np.intersect1d(*sides)
        if len(both):
            raise UsageError(
                f"Rows {some(both)} are on both sides of validation; a row that fits cannot measure."
            )
        train, test = (rows[np.isin(self.number[rows], side)] for side in sides)
        for part, what in ((train, "fit on"), (test, "measure on")):
            if not len(part):
                raise UsageError(
                    f"validation has no labelled row to {what}; give each side some."
                )
        return train, test


def id_order(clip_ids: Sequence[str]) -> np.ndarray:
    """Places of n ids, shorter ones first, in the order of the alphabet among those of a length.

    Numbers thus stand in their own order, which a number left out does not change.

    >>> id_order(["clip10", "clip9", "clip11"]).tolist()
    [1, 0, 2]
    """
    ids = [str(clip) for clip in clip_ids]
    return np.array(
        sorted(range(len(ids)), key=lambda row: (len(ids[row]), ids[row])),
        dtype=np.int64,
    )


def _labels(
    tables, y, clip_ids, aspects
) -> tuple[list[str], tuple[str, ...], np.ndarray]:
    """Row ids, column names and labels, checked against each other and against the scale."""
    bins = layout_of(tables).bins
    clip_ids = list(tables[0].clip_ids if clip_ids is None else clip_ids)
    aspects = tuple(tables[0].aspects if aspects is None else aspects)
    y = np.asarray(y, dtype=np.float64)
    y = y[:, None] if y.ndim == 1 and len(aspects) == 1 else y
    if y.shape != (len(clip_ids), len(aspects)):
        raise UsageError(
            f"Labels have shape {y.shape}; expected ({len(clip_ids)}, {len(aspects)}): clips by aspects."
        )
    off = ~np.isnan(y) & ~((y >= bins.low) & (y <= bins.high))
    if off.any():
        row, column = np.argwhere(off)[0]
        raise UsageError(
            f"Label of clip '{clip_ids[row]}', aspect '{aspects[column]}' is {y[row, column]}; "
            f"the scale is {bins.low:g}..{bins.high:g}."
        )
    return clip_ids, aspects, y


def _weights(sample_weight, clip_ids) -> np.ndarray | None:
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (len(clip_ids),):
        raise UsageError(
            f"{len(clip_ids)} clips need as many sample weights; got shape {weight.shape}."
        )
    wrong = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if len(wrong):
        clip, value = clip_ids[wrong[0]], weight[wrong[0]]
        raise UsageError(
            f"Sample weights must be finite and not negative; that of clip '{clip}' is {value}."
        )
    return weight


def _names(values, n: int, what: str) -> np.ndarray:
    """n names as text, "" for None and NaN."""
    given = np.array(list(values), dtype=object)
    if given.shape != (n,):
        raise UsageError(f"{n} clips need as many {what}; got shape {given.shape}.")
    return np.array(
        [
            "" if lacks else str(name)
            for name, lacks in zip(given, pd.isna(given), strict=True)
        ],
        object,
    )


def _row_numbers(side, n: int) -> np.ndarray:
    """One side of a given split; UsageError unless it is a list of whole numbers 0..n - 1."""
    numbers = np.asarray(side)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise UsageError(
            f"A side of validation is a list of row numbers; got {numbers.dtype} of shape {numbers.shape}."
        )
    off = numbers[(numbers < 0) | (numbers >= n)]
    if len(off):
        raise UsageError(
            f"Row {some(off)} of validation is not among the {n} rows 0..{n - 1}."
        )
    return numbers


def equal_labels(aspect: str, y) -> list[str]:
    """The one warning of labels that are all equal; nothing for others."""
    if len(y) < 2 or (y != y[0]).any():
        return []
    return [
        f"all {len(y)} labels of '{aspect}' are {y[0]:g}: nothing can be learnt or compared."
    ]
