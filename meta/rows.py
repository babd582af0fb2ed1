"""The rows that a stack is fitted on: their names, labels and groups, checked against each other and the scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from meta.features import layout_of


def labelled_rows(
    tables: Sequence[PredictionTable], y, clip_ids: Sequence[str] | None, aspects: Sequence[str] | None
) -> tuple[list[str], tuple[str, ...], np.ndarray]:
    """Row ids, column names and labels, checked against each other and against the scale."""
    bins = layout_of(tables).bins
    clip_ids = list(tables[0].clip_ids if clip_ids is None else clip_ids)
    aspects = tuple(tables[0].aspects if aspects is None else aspects)
    y = np.asarray(y, dtype=np.float64)
    y = y[:, None] if y.ndim == 1 and len(aspects) == 1 else y
    if y.shape != (len(clip_ids), len(aspects)):
        raise UsageError(f"Labels have shape {y.shape}; expected ({len(clip_ids)}, {len(aspects)}): clips by aspects.")
    off = ~np.isnan(y) & ~((y >= bins.low) & (y <= bins.high))
    if off.any():
        row, column = np.argwhere(off)[0]
        raise UsageError(
            f"Label of clip '{clip_ids[row]}', aspect '{aspects[column]}' is {y[row, column]}; "
            f"the scale is {bins.low:g}..{bins.high:g}."
        )
    return clip_ids, aspects, y


def inner_groups(groups, system_ids) -> np.ndarray | None:
    """What learners keep together: the groups, else the systems where every clip names one."""
    if groups is None and (system_ids is None or not all(map(str, system_ids))):
        return None
    return np.array([str(name) for name in (system_ids if groups is None else groups)], dtype=object)
