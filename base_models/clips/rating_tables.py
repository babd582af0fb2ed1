"""Tables of single ratings as text: a row per rating, or lists of ratings per clip.

Lists are how the ratings of AudioMOS 2025 track 2 are published (Audiobox Aesthetics):
ten ratings per clip and axis, without a word on who gave them. A place in a list is not
taken for a rater: in that data what a place has in common on all clips explains 3 to
6 % of the variance within clips, where one person's habits would explain several times
that; lists sorted by the ids of many raters look like this. Where a column lists the
raters too, they are read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import replace

from base_models.clips.bookkeeping import cannot_be_a_rating
from base_models.clips.columns import (
    ALIASES,
    RATER_COLUMNS,
    RATING_COLUMNS,
    RATING_NAMES,
    STANDARD_NAMES,
    fold_name,
    without_scale,
)
from base_models.clips.text_table import TextTable
from base_models.errors import UsageError, some

_NAMELESS = "nameless rater"


def nameless_rater(place: int, row: int) -> str:
    """What stands for the id of a rater whom the data does not name: one of that row.

    >>> nameless_rater(3, 17)
    'nameless rater 3 of row 17'
    """
    return f"{_NAMELESS} {place} of row {row}"


def are_nameless(rater_ids: Iterable[str]) -> bool:
    """Whether some raters are without a name, so that nobody knows what they rated."""
    return any(rater_id.startswith(_NAMELESS) for rater_id in rater_ids)


def list_columns(table: TextTable, named: Collection[str] = ()) -> list[str]:
    """Columns that list the ratings of each clip, as ``[3.0, 4.0]``, or its raters.

    Parameters
    ----------
    table : of any kind
    named : columns that are known to hold ratings; others are taken for ratings where
        they have a known name of them, since a list of numbers may be an embedding
    """
    raters = []
    ratings = []
    for name, cells in table.columns.items():
        first = next((cell for cell in cells if cell), "")
        values = _json(first) if first.startswith("[") else None
        if not isinstance(values, list):
            continue
        is_known = (
            name in named
            or fold_name(name) in RATING_NAMES
            or fold_name(name) in RATING_COLUMNS
        )
        if _names_raters(name):
            raters.append(name)
        elif is_known and any(isinstance(value, (int, float)) for value in values):
            ratings.append(name)
    return [*raters, *ratings] if ratings else []


def holds_lists(table: TextTable, named: Collection[str] = ()) -> bool:
    """Whether some column lists the ratings of each clip, see `list_columns`."""
    return bool(list_columns(table, named))


def one_row_per_rating(table: TextTable, named: Collection[str] = ()) -> TextTable:
    """The same ratings with a row for each; other columns are repeated.

    Parameters
    ----------
    table, named : see `list_columns`

    Returns
    -------
    table : TextTable
        With a column of raters: those listed, or else one name per rating.

    Raises
    ------
    UsageError
        when a cell of a list column is no list of numbers (null for no rating), or a
        row lists more or fewer raters than ratings.
    """
    names = list_columns(table, named)
    listed_raters = [name for name in names if _names_raters(name)]
    rater_column = listed_raters[0] if listed_raters else RATER_COLUMNS[0]

    columns: dict[str, list[str]] = {name: [] for name in table.columns}
    columns.setdefault(rater_column, [])
    locations = []
    for row in range(table.n_rows):
        lists = {name: _cells(table, name, row) for name in names}
        n_ratings = max(len(cells) for cells in lists.values())
        if not listed_raters:
            number = table.locations[row][1]
            places = range(1, n_ratings + 1)
            lists[rater_column] = [nameless_rater(place, number) for place in places]
        elif any(len(cells) != n_ratings for cells in lists.values()):
            counts = {name: len(cells) for name, cells in lists.items()}
            raise UsageError(
                f"{table.location(row)}: as many raters as ratings are needed in every "
                f"list; got {counts}."
            )

        for name, cells in columns.items():
            if name in lists:
                gap = n_ratings - len(lists[name])
                cells += [*lists[name], *[""] * gap]
            else:
                cells += [table.columns[name][row]] * n_ratings
        locations += [table.locations[row]] * n_ratings
    # Under its usual name, as "raters" is none of a single rater.
    columns[RATER_COLUMNS[0]] = columns.pop(rater_column)
    return replace(table, columns=columns, locations=locations)


def holds_repeated_clips(table: TextTable) -> bool:
    """Whether some clip is in several rows."""
    clip_ids = clip_names(table)
    return len(set(clip_ids)) < len(clip_ids)


def one_row_per_clip(table: TextTable) -> TextTable:
    """What a table with a row per rating says of the clips themselves.

    Columns of raters, and those that differ between the rows of a clip, are left out.

    Raises
    ------
    UsageError
        when a clip has several audio files, systems, splits or prompts.
    """
    if holds_lists(table):
        lists = list_columns(table)
        kept = {name: x for name, x in table.columns.items() if name not in lists}
        return replace(table, columns=kept)
    first_row: dict[str, int] = {}
    first_of_row = []
    for row, clip in enumerate(clip_names(table)):
        first_of_row.append(first_row.setdefault(clip, row))

    columns = {}
    for name, cells in table.columns.items():
        if fold_name(name) in RATER_COLUMNS:
            continue
        differing = [
            row for row, first in enumerate(first_of_row) if cells[row] != cells[first]
        ]
        if not differing:
            columns[name] = [cells[row] for row in first_row.values()]
        elif STANDARD_NAMES.get(fold_name(name)) in {"audio", "system_id", "split"} or (
            fold_name(name) == "prompt"
        ):
            row = differing[0]
            raise UsageError(
                f"{table.location(row)}: {name} is {cells[row]!r}; an earlier row of "
                f"the same clip has {cells[first_of_row[row]]!r}. Ratings of one clip "
                "agree in what describes it."
            )
    locations = [table.locations[row] for row in first_row.values()]
    return replace(table, columns=columns, locations=locations)


def rated_columns_of(table: TextTable, source: str) -> dict[str, str]:
    """The aspects that a table of single ratings rates, where nobody names them.

    Parameters
    ----------
    table : of single ratings
    source : its file, for a message

    Raises
    ------
    UsageError
        when no column is known to hold ratings, and more than one may.
    """
    described = {*RATER_COLUMNS, *STANDARD_NAMES}
    lists = list_columns(table)
    candidates = [
        name
        for name in lists or table.columns
        if fold_name(name) not in described and not cannot_be_a_rating(name)
    ]
    known = [
        name
        for name in candidates
        if fold_name(name) in RATING_NAMES or fold_name(name) in RATING_COLUMNS
    ]
    chosen = known or candidates
    if not known and len(candidates) != 1:
        raise UsageError(
            f"{source}: no column is known to hold ratings; it has "
            f"{some(table.columns, 20)}. Name the rated columns with aspects."
        )
    # A scale is no part of an aspect's name, unless nothing else tells two apart.
    aspects = [without_scale(name) for name in chosen]
    if len(set(aspects)) < len(aspects):
        aspects = chosen
    return dict(zip(aspects, chosen, strict=True))


def clip_names(table: TextTable) -> list[str]:
    """What names the clip of each row: the id, else the audio file; [] without any."""
    for legal in (ALIASES["clip_id"], ALIASES["audio"]):
        for name, cells in table.columns.items():
            if fold_name(name) in legal:
                return [cell.strip() for cell in cells]
    return []


def _names_raters(name: str) -> bool:
    """Whether a column is one of raters, in the singular or plural."""
    normal = fold_name(name)
    return normal in RATER_COLUMNS or normal.removesuffix("s") in RATER_COLUMNS


def _cells(table: TextTable, name: str, row: int) -> list[str]:
    """The cells of one list as text; an empty cell is an empty list."""
    text = table.columns[name][row].strip()
    values = _json(text) if text else []
    nested = (list, dict, bool)
    if not isinstance(values, list) or any(isinstance(one, nested) for one in values):
        raise UsageError(
            f"{table.location(row)}: {name} is {text[:40]!r}; expected a list such as "
            "[3, 4, null], as in other rows."
        )
    return ["" if value is None else str(value) for value in values]


def _json(text: str) -> object:
    """The value that a text writes; None where it writes none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
