"""Which columns of a clip table are ratings, and on which scale."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from base_models.clips.bookkeeping import cannot_be_a_rating
from base_models.clips.columns import (
    CLIP_COLUMNS,
    RATING_NAMES,
    aspect_columns,
    fold_name,
    scale_in_name,
    without_scale,
)
from base_models.clips.labels import SCALE
from base_models.clips.listening_tests.known_scales import known_scale
from base_models.clips.text_table import TextTable, parse_number
from base_models.errors import UsageError, nearest_name, some
from base_models.scales import LabelScales, Scale

MAX_ASPECTS = 100
"""Columns that are rated at once."""
_BEGINS_WITH_NUMBER = re.compile(r"[+-]?[.,]?[0-9]")
_NUMBER_AT_THE_END = re.compile(r"_?[0-9]+$")


def choose_aspects(
    table: TextTable,
    requested: Sequence[str] | None,
    *,
    declared: LabelScales,
    path: Path,
) -> dict[str, str]:
    """The column of each aspect: those requested, else those that are recognised.

    Parameters
    ----------
    table : with the columns of a clip table under their standard names
    requested : names of columns, or ``aspect=column``
    declared : scales that the user names
    path : for messages

    Returns
    -------
    rated : aspect to its column. A scale in the name of a column is no part of the name
        of the aspect

    Raises
    ------
    UsageError
        when a requested column is not there, or there are more than `MAX_ASPECTS`.
    """
    not_rated = {*CLIP_COLUMNS, "prompt_id"}
    candidates = [name for name in table.columns if name not in not_rated]
    if requested is not None:
        return _check_requested(requested, candidates, path)

    # A known name wins over the values of a column: where a table has "mos", another
    # numeric column on the scale is some other measure.
    known = [name for name in candidates if fold_name(name) in RATING_NAMES]
    # "Quality" may be a word such as "high" beside a rating, and is one alone.
    numeric = [name for name in known if _holds_a_number(table.columns[name])]
    stated = [name for name in candidates if _states_a_scale(name)]
    chosen = (
        numeric
        or known
        or stated
        or [
            name
            for name in candidates
            if not cannot_be_a_rating(name)
            and _is_on_scale(
                table.columns[name],
                declared.of(without_scale(name))
                or known_scale(name, table.columns[name])
                or Scale.of(SCALE),
            )
        ]
    )
    named: dict[str, str] = {}
    for name in chosen:
        aspect = without_scale(name)
        # Two columns that differ in the scale alone keep their names in full.
        named[name if aspect in named or aspect in CLIP_COLUMNS else aspect] = name
    return _check_number(named, path)


def _check_number(column_of: dict[str, str], path: Path) -> dict[str, str]:
    """Refuse more aspects than a listening test asks for: each has work of its own."""
    if len(column_of) > MAX_ASPECTS:
        raise UsageError(
            f"{path} has {len(column_of):,} columns that may be ratings "
            f"({some(column_of.values())}); at most {MAX_ASPECTS} are rated at once. "
            "Name those that are (--aspects); where each is one rater's, say --format "
            "raters-in-columns."
        )
    return column_of


def _holds_a_number(cells: Iterable[str]) -> bool:
    """Whether some cell begins with a number; or all are empty."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    return not filled or any(_BEGINS_WITH_NUMBER.match(cell) for cell in filled)


def _states_a_scale(name: str) -> bool:
    """Whether a name is that of a rating by its scale: in French, "Note (1-5)" is."""
    if scale_in_name(name) is None:
        return False
    return not cannot_be_a_rating(name) or fold_name(name) == "note"


def guess_notes(rated: Mapping[str, str]) -> list[str]:
    """What is to be said of ratings that are known by their numbers alone.

    Parameters
    ----------
    rated : aspect to its column, which nobody named

    Examples
    --------
    >>> guess_notes({"mos": "mos"})
    []
    >>> guess_notes({"Rating 1": "Rating 1", "Rating 2": "Rating 2"})[0][:42]
    "columns 'Rating 1', 'Rating 2' are taken f"
    """
    names = list(rated.values())
    notes = []
    unknown = [
        name
        for name in names
        if fold_name(name) not in RATING_NAMES and not _states_a_scale(name)
    ]
    without_numbers = {_NUMBER_AT_THE_END.sub("", fold_name(name)) for name in names}
    are_numbered = len(names) > 1 and without_numbers <= RATING_NAMES
    if are_numbered and len(without_numbers) == 1 and len(unknown) >= len(names) - 1:
        notes.append(
            f"columns {some(names)} are taken for as many aspects; where each is one "
            "rater's, say --format raters-in-columns"
        )
    elif len(unknown) > 1:
        notes.append(
            f"columns {some(unknown)} are taken for ratings, since their numbers lie "
            "on the scale: name those that are (--aspects); where each is one rater's, "
            "say --format raters-in-columns"
        )
    return notes


def _check_requested(
    requested: Sequence[str],
    candidates: Sequence[str],
    path: Path,
) -> dict[str, str]:
    column_of = {
        aspect: _as_spelled(column, candidates)
        for aspect, column in aspect_columns(requested, candidates).items()
    }
    absent = [name for name in column_of.values() if name not in candidates]
    if not absent:
        return _check_number(column_of, path)
    near = nearest_name(absent[0], candidates)
    hint = f" Did you mean '{near}'?" if near else ""
    raise UsageError(
        f"{path} has no rated columns {some(absent)}; it has {some(candidates, 20)}."
        f"{hint}"
    )


def _as_spelled(name: str, candidates: Sequence[str]) -> str:
    """The name as the table has it, where case and punctuation alone differ."""
    alike = [other for other in candidates if fold_name(other) == fold_name(name)]
    return alike[0] if name not in candidates and len(alike) == 1 else name


def _is_on_scale(cells: Iterable[str], scale: Scale) -> bool:
    """Whether a column has numbers, all of them on the scale."""
    has_numbers = False
    for text in cells:
        cell = text.strip()
        if not cell:
            continue
        number = parse_number(cell)
        if number is None or scale.is_off(number):
            return False
        has_numbers = True
    return has_numbers


def odd_cell_notes(table: TextTable, names: Iterable[str]) -> list[str]:
    """Columns that would be ratings but for a few cells, each with the first of these.

    Parameters
    ----------
    table : the cells
    names : columns that no rating is read from
    """
    notes = []
    for name in names:
        cells = [cell.strip() for cell in table.columns.get(name, ())]
        filled = [row for row, cell in enumerate(cells) if cell]
        odd = [row for row in filled if parse_number(cells[row]) is None]
        if cannot_be_a_rating(name) or not 0 < len(odd) <= len(filled) / 4:
            continue
        _, number = table.locations[odd[0]]
        notes.append(
            f"column '{name}' is no rating, for {table.unit} {number} has "
            f"'{cells[odd[0]]}'; --aspects takes it for one, and lists such cells"
        )
    return notes


# ---- scales


def scale_notes(rated: Mapping[str, str], scales: LabelScales) -> list[str]:
    """What columns say of their scales, where that decides or is overruled.

    Parameters
    ----------
    rated : aspect to its column
    scales : declared by the user, and known by the names of columns
    """
    notes = []
    for aspect, column in rated.items():
        known = scales.known.get(aspect)
        used = scales.of(aspect)
        if known is None or known == used == Scale.of(SCALE):
            continue
        if used == known:
            notes.append(f"the scale of '{aspect}' is {known}, as its column says")
        else:
            notes.append(
                f"'{column}' says that its scale is {known}; it is read on {used}, as "
                "named"
            )
    return notes
