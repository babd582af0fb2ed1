"""A clip table written anew, so that nothing in it has to be guessed or left out."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.clips.bookkeeping import is_bookkeeping_of_ratings
from base_models.clips.columns import CLIP_COLUMNS
from base_models.clips.labels import SCALE, label_scales
from base_models.clips.read_clips import ReadRows
from base_models.clips.tables.formulas import safe_cell
from base_models.errors import UsageError
from base_models.files import atomic_write
from base_models.scales import Scale

_LINE_BREAK = re.compile(r"\s*[\r\n]+\s*")


@dataclass(frozen=True)
class CleanedTable:
    """What was written.

    Parameters
    ----------
    n_rows : rows of the new table
    left_out : ids of clips that were left out though their rows are sound, for their
        audio
    columns_left_out : columns of which nothing is read
    n_joined : cells that had line breaks, which are blanks now
    """

    n_rows: int
    left_out: tuple[str, ...]
    columns_left_out: tuple[str, ...]
    n_joined: int


def write_cleaned_table(
    file: Path | str, rows: ReadRows, without_audio: Collection[str] = ()
) -> CleanedTable:
    """Write the sound rows of a table as csv.

    Columns have their standard names, numbers a decimal point, and audio files their
    paths from the folder of the new table. What is bookkeeping is kept as it was, any
    other column that nothing is read from is left out.

    Parameters
    ----------
    file : the new table
    rows : of `base_models.clips.read_clips.collect_clips`
    without_audio : ids of clips that are left out, as their audio cannot be read

    Raises
    ------
    UsageError
        when the table holds its audio files itself, or no row is left.
    """
    file = Path(file)
    if rows.standard.table.embedded:
        raise UsageError(
            "The table holds its audio files itself, and a csv table cannot; write "
            "them to files, and name these in a table."
        )
    clips = rows.clips[~rows.clips["clip_id"].isin(without_audio)]
    if clips.empty:
        raise UsageError("No row is left to write: each has a problem.")

    columns, others = _columns(clips, file)
    names = list(columns)
    n_joined = 0
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([safe_cell(name) for name in names])
    for cells in zip(*columns.values(), strict=True):
        joined = [_LINE_BREAK.sub(" ", cell) for cell in cells]
        n_joined += sum(one != other for one, other in zip(joined, cells, strict=True))
        writer.writerow([safe_cell(cell) for cell in joined])
    atomic_write(file, text.getvalue().encode())
    left_out = [clip for clip in rows.clips["clip_id"] if clip in set(without_audio)]
    return CleanedTable(len(clips), tuple(left_out), tuple(others), n_joined=n_joined)


def _columns(clips: pd.DataFrame, file: Path) -> tuple[dict[str, list[str]], list[str]]:
    """The columns of the new table as text, and those that are left out."""
    scales = label_scales(clips)
    columns: dict[str, list[str]] = {}
    left_out = []
    for name in clips.columns:
        values = clips[name]
        if name == "audio":
            columns[name] = [_relative(path, file) for path in values]
        elif name in CLIP_COLUMNS:
            columns[name] = values.tolist()
        elif name in scales:
            columns[_header(name, scales[name])] = _numbers(values.to_numpy(float))
        elif not is_bookkeeping_of_ratings(name):
            left_out.append(name)
        elif values.dtype.kind == "f":
            columns[name] = _numbers(values.to_numpy(float))
        else:
            columns[name] = [str(cell) for cell in values]
    # A column without a cell says nothing.
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    return kept, left_out


def _header(aspect: str, scale: Scale) -> str:
    """The name of a column of labels; a scale that is not the usual is part of it."""
    is_usual = scale == Scale.of(SCALE)
    return aspect if is_usual else f"{aspect} ({scale.option})"


def _numbers(values: np.ndarray) -> list[str]:
    return ["" if np.isnan(value) else repr(float(value)) for value in values]


def _relative(path: str, file: Path) -> str:
    if not path:
        return ""
    return Path(os.path.relpath(path, file.parent)).as_posix()
