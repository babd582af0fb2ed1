"""The columns of a table of predictions: which are scores, and their numbers.

What a column is decides whether a model is there at all. So a cell that is no number
among numbers is an error with its place, never a reason to take the column for text;
and a table of a tool that is known gives the columns that its entry in `known_tools`
names, not whatever else is a number.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from base_models.clip_status import OK, STATUSES
from base_models.clips.bookkeeping import is_bookkeeping_of_models
from base_models.clips.columns import (
    ID_COLUMNS,
    PATH_COLUMNS,
    PREDICTION_COLUMNS,
    SCORE_COLUMNS,
    STANDARD_NAMES,
    fold_name,
    only_column,
)
from base_models.clips.names import short_id
from base_models.clips.problems import Problems, problem_in
from base_models.clips.tables.notation import two_readings
from base_models.clips.tables.read_table import SPREADSHEETS
from base_models.clips.tables.sheets import sheet_names
from base_models.clips.text_table import TextTable, check_name, parse_number
from base_models.errors import UsageError, nearest_name, some
from ensemble.prediction_files.known_tools import (
    PATHS_OF_TOOLS,
    Layout,
    known_layout,
)
from ensemble.prediction_files.prediction_word import PredictionFile
from meta.score_columns import STATUS

MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "inf", "-inf"})
"""Cells, in lower case, that say that a table of models has no score there."""
_MOST_NAMED = 5


class NoPredictionColumn(UsageError):
    """A table has no column that is known to predict an aspect."""


# ---- columns by name


def chosen_columns(table: TextTable, file: PredictionFile) -> list[str]:
    """The columns of a table that a word names, see `prediction_word`.

    Raises
    ------
    UsageError
        when the table has no such column, or one is named twice.
    """
    # A single column may have commas in its name.
    together = ",".join(file.columns)
    if together in table.columns:
        return [together]

    found = [_column_called(table, name, file.path) for name in file.columns]
    repeated = sorted({name for name in found if found.count(name) > 1})
    if repeated:
        raise UsageError(f"{file.path}: column {some(repeated)} is named twice.")
    return found


def _column_called(table: TextTable, wanted: str, path: Path) -> str:
    """A column by its name, whatever its case and spaces."""
    if wanted in table.columns:
        return wanted
    loosely = fold_name(wanted)
    similar = [name for name in table.columns if fold_name(name) == loosely]
    if len(similar) == 1:
        return similar[0]
    close = nearest_name(wanted, table.columns, cutoff=0.6)
    hint = f" Did you mean '{close}'?" if close else ""
    sheets = sheet_names(path) if path.suffix.lower() in SPREADSHEETS else []
    if sheets:
        hint += f" Its sheets are {some(sheets)}."
    raise UsageError(
        f"{path} has no column '{wanted}'; it has {some(table.columns, 12)}.{hint} "
        f"After FILE: stand columns, or the lowest and highest score as {path}:0-100."
    )


def score_column(table: TextTable, aspect: str, *, is_only: bool, path: Path) -> str:
    """The column that predicts `aspect`.

    Names are tried in groups, from those that say they are predictions to those that
    may be labels; the first group of which the table has any name decides.

    Parameters
    ----------
    table, path : of the predictions
    aspect : its name
    is_only : whether it is the only aspect

    Raises
    ------
    NoPredictionColumn
        when no name fits.
    UsageError
        when several do.
    """
    own_name = fold_name(aspect)
    predicted_names = (f"pred_{own_name}", f"{own_name}_pred", f"predicted_{own_name}")
    groups: list[tuple[str, ...]] = [predicted_names, (own_name,)]
    # A name such as "score" does not say which of several aspects it is of.
    if is_only:
        groups = [predicted_names, PREDICTION_COLUMNS, (own_name,), SCORE_COLUMNS]

    describes_clips = {*STANDARD_NAMES, *ID_COLUMNS, *PATH_COLUMNS, *PATHS_OF_TOOLS}
    candidates = [
        name for name in table.columns if fold_name(name) not in describes_clips
    ]
    for group in groups:
        matches = [name for name in candidates if fold_name(name) in group]
        if len(matches) > 1:
            raise UsageError(
                f"{path}: columns {some(matches)} may all be the predictions of "
                f"'{aspect}'; name one, as {path}:{matches[0]}."
            )
        if matches:
            return matches[0]

    # The only column left needs no known name.
    if is_only and len(candidates) == 1:
        return candidates[0]
    cure = "Name the column, as FILE:COLUMN" if is_only else "Rename the column"
    raise NoPredictionColumn(
        f"{path} has no predictions of '{aspect}': no column '{own_name}', "
        f"{some(predicted_names)}; it has {some(table.columns, 20)}. {cure}, or name "
        "the aspects that it does have."
    )


def clip_ids(table: TextTable, path: Path) -> list[str]:
    """One id per row, each once: as written, or the stem where there are only paths.

    Raises
    ------
    UsageError
        when there is no such column or more than one, an id is empty, or repeats.
    """
    column = only_column(table.columns, ID_COLUMNS, what="clip id", path=path)
    is_path = column is None
    # A table may have both; its paths are then of no interest.
    if column is None:
        column = only_column(
            table.columns, (*PATH_COLUMNS, *PATHS_OF_TOOLS), what="clip id", path=path
        )
    if column is None:
        raise UsageError(
            f"{path} has no clip ids; it has {some(table.columns, 20)}. Name their "
            f"column clip_id or path, or the list of clips that the file was made of, "
            f"as {path.name}+LIST."
        )

    first_row: dict[str, int] = {}
    for row, cell in enumerate(table.columns[column]):
        clip = cell.strip()
        if is_path:
            clip = short_id(clip, without_folder=True)
        check_name(clip, table.location(row), "clip id")
        if not clip:
            raise UsageError(f"{table.location(row)}: the clip id is empty.")
        if clip in first_row:
            _, number = table.locations[first_row[clip]]
            raise UsageError(
                f"{table.location(row)}: '{clip}' is predicted twice, first in "
                f"{table.unit} {number}."
            )
        first_row[clip] = row
    return list(first_row)


def may_be_models(
    table: TextTable, aspects: Sequence[str], label_columns: Collection[str]
) -> list[str]:
    """The columns that no list says are something else than scores of a model.

    Parameters
    ----------
    table : of the predictions
    aspects : names
    label_columns : those that hold labels under another name than the aspect's
    """
    describes_clips = {*STANDARD_NAMES, *ID_COLUMNS, *PATH_COLUMNS, *PATHS_OF_TOOLS}
    about = [*aspects, *label_columns]
    return [
        name
        for name in table.columns
        if name not in about
        and fold_name(name) not in describes_clips
        and not is_bookkeeping_of_models(name, about)
    ]


def numeric_columns(
    table: TextTable, aspects: Sequence[str], label_columns: Collection[str] = ()
) -> list[str]:
    """Those of `may_be_models` in which any cell is a number."""
    return [
        name
        for name in may_be_models(table, aspects, label_columns)
        if any(parse_number(cell.strip()) is not None for cell in table.columns[name])
    ]


def file_layout(
    table: TextTable, aspects: Sequence[str], label_columns: Collection[str] = ()
) -> Layout | None:
    """The layout of a known tool, where the file is one and rates one quality.

    Of a tool with a column that is called like the aspect, that column is meant.
    """
    if len(aspects) != 1 or not table.has_header:
        return None
    numbers = numeric_columns(table, aspects, label_columns)
    layout = known_layout(list(table.columns), numbers)
    if layout is None:
        return None
    own = fold_name(aspects[0])
    scores = {fold_name(name) for name in (*layout.taken, *layout.others)}
    return None if own in scores else layout


# ---- numbers of columns


def scores_of_tool(table: TextTable, column: str) -> np.ndarray:
    """Scores of the one column of a tool, shape (n,); an empty cell is NaN.

    Raises
    ------
    UsageError
        when another cell is not a finite number, naming the first of them.
    """
    scores, odd = _numbers(table, column, missing=("",))
    _refuse_odd_cells(table, odd)
    return scores


def _numbers(
    table: TextTable, column: str, missing: Collection[str]
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """The numbers of a column, and the cells that are neither numbers nor missing."""
    scores = np.full(table.n_rows, np.nan)
    odd = []
    for row, cell in enumerate(table.columns[column]):
        text = cell.strip()
        number = parse_number(text)
        if number is not None:
            scores[row] = number
        elif text.lower() not in missing:
            odd.append((row, column))
    return scores, odd


def refuse_rows_without_score(
    table: TextTable, scores: Mapping[str, np.ndarray]
) -> None:
    """Refuse rows without any score, of these aspects or of another.

    Raises
    ------
    UsageError
        naming the places of the first of them, and how many there are.
    """
    is_empty = np.isnan(list(scores.values())).all(axis=0)
    bare = []
    for row in np.flatnonzero(is_empty).tolist():
        cells = [column[row].strip() for column in table.columns.values()]
        has_number = any(parse_number(cell) is not None for cell in cells)
        if not has_number and not _says_why(table, row):
            bare.append(row)
    if not bare:
        return
    more = ""
    if len(bare) > 1:
        others = [str(table.locations[row][1]) for row in bare[1 : 1 + _MOST_NAMED]]
        rest = len(bare) - 1 - len(others)
        more = f" (and in {table.unit} {', '.join(others)}"
        more += f" and {rest} more)" if rest else ")"
    raise UsageError(
        f"{table.location(bare[0])}: {' and '.join(scores)} is missing{more}; a "
        "prediction is a finite number. Leave a row without one out: its clip is then "
        "named as not predicted."
    )


def _says_why(table: TextTable, row: int) -> bool:
    """Whether a row says itself why it has no score, as ``predict_mos`` writes."""
    status = table.columns.get(STATUS)
    return status is not None and status[row] in STATUSES and status[row] != OK


def numbers_of_models(
    table: TextTable, columns: Sequence[str], *, named: bool
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Scores of columns that are a model each, and the columns that are text.

    Parameters
    ----------
    table : of the predictions
    columns : that may be models
    named : whether somebody named them; then none of them can be text

    Returns
    -------
    values : column to float64 array of shape (n,), NaN where a cell is one of `MISSING`
    others : columns without a number, or mostly of words

    Raises
    ------
    UsageError
        when a cell is no number in a column of numbers. All columns are looked at
        before, so that every such cell is counted.
    """
    values: dict[str, np.ndarray] = {}
    others = []
    odd: list[tuple[int, str]] = []
    for column in columns:
        scores, words = _numbers(table, column, missing=MISSING)
        n_numbers = int(np.isfinite(scores).sum())
        if named or 0 < len(words) <= n_numbers:
            odd += words
        if n_numbers >= max(1, len(words)):
            values[column] = scores
        elif not named:
            others.append(column)
        elif not words:
            raise UsageError(f"{table.locations[0][0]}: '{column}' holds no number.")
    _refuse_odd_cells(table, odd)
    return values, others


def _refuse_odd_cells(table: TextTable, odd: Sequence[tuple[int, str]]) -> None:
    """Refuse cells that are no numbers, all together.

    Raises
    ------
    TableProblems
    """
    problems = Problems(table.n_rows)
    for row, column in odd:
        cell = table.columns[column][row]
        mend = "Mend the cell, or leave it empty where there is no score."
        problem = problem_in(
            table,
            row,
            column,
            value=cell,
            what=f"{column} is no finite number",
            cure=two_readings(cell) or mend,
            message=f"{column} is {cell[:40]!r}; a prediction is a finite number",
        )
        problems.add(row, problem)
    problems.raise_if_any()
