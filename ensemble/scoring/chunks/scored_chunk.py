"""What becomes of the clips of a chunk, and the same as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from base_models.clips.read_clips import SetAside
from meta.uncertainty.clip_range import RangeCheck


@dataclass(frozen=True)
class ScoredChunk:
    """What becomes of the clips of a chunk.

    Parameters
    ----------
    frame : DataFrame
        Scores of the clips that can be used.
    distributions : DataFrame
        Around these scores, as of `meta.score_columns.distribution_table`.
    set_aside : list of SetAside
        The clips that cannot be used.
    check : RangeCheck, or None
        How far the others lie from the clips that the stack has learnt from.
    """

    frame: pd.DataFrame
    distributions: pd.DataFrame
    set_aside: list[SetAside]
    check: RangeCheck | None = None

    def to_json(self) -> dict[str, Any]:
        """As values of JSON, which keep every digit."""
        check = None
        if self.check is not None:
            check = {
                "distances": _cells(self.check.distances),
                "reference": _cells(self.check.reference),
            }
        return {
            "scores": _columns(self.frame),
            "distributions": _columns(self.distributions),
            "set_aside": [clip.to_json() for clip in self.set_aside],
            "check": check,
        }

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> ScoredChunk:
        """What `to_json` made."""
        check = values["check"]
        if check is not None:
            check = RangeCheck(
                _numbers(check["distances"]), _numbers(check["reference"])
            )
        return cls(
            frame=_table(values["scores"]),
            distributions=_table(values["distributions"]),
            set_aside=[SetAside(**clip) for clip in values["set_aside"]],
            check=check,
        )


def _columns(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The columns of a table in their order, each with the type of its cells."""
    return [
        {"name": name, "type": str(frame[name].dtype), "cells": _cells(frame[name])}
        for name in frame.columns
    ]


def _cells(values: Sequence[Any] | pd.Series | np.ndarray) -> list[Any]:
    """Cells of a column: null where one is not known, and words for infinity."""
    cells = np.asarray(values)
    # Nothing but usual numbers: there may be hundreds of columns of them.
    if cells.dtype.kind == "f" and np.isfinite(cells).all():
        listed: list[Any] = cells.tolist()
        return listed
    return [_cell(value) for value in np.asarray(values, dtype=object).tolist()]


def _cell(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is pd.NA:
        return None
    # Of floats Python writes as many digits as tell them apart.
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _table(columns: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    read = {}
    for column in columns:
        cells = column["cells"]
        if column["type"].startswith("float"):
            read[column["name"]] = pd.Series(_numbers(cells), dtype=column["type"])
        else:
            read[column["name"]] = pd.Series(cells, dtype=column["type"])
    return pd.DataFrame(read)


def _numbers(cells: Sequence[Any]) -> np.ndarray:
    numbers = [math.nan if cell is None else float(cell) for cell in cells]
    return np.array(numbers, dtype=np.float64)
