"""Which columns of a clip table are ratings, and on which scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from base_models.clips.columns import (
    CLIP_COLUMNS,
    RATING_NAMES,
    aspect_columns,
    fold_name,
    is_bookkeeping_of_ratings,
    without_scale,
)
from base_models.clips.labels import SCALE
from base_models.clips.listening_tests.known_scales import known_scale
from base_models.clips.text_table import TextTable, parse_number
from base_models.errors import UsageError, nearest_name, some
from base_models.scales import LabelScales, Scale


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
        when a requested column is not there.
    """
    not_rated = {*CLIP_COLUMNS, "prompt_id"}
    candidates = [name for name in table.columns if name not in not_rated]
    if requested is not None:
        return _check_requested(requested, candidates, path)

    # A known name wins over the values of a column: where a table has "mos", another
    # numeric column on the scale is some other measure.
    known = [name for name in candidates if fold_name(name) in RATING_NAMES]
    chosen = known or [
        name
        for name in candidates
        if not is_bookkeeping_of_ratings(name)
        and _is_on_scale(
            table.columns[name],
            declared.of(without_scale(name))
            or known_scale(name, table.columns[name])
            or Scale.of(SCALE),
        )
    ]
    named: dict[str, str] = {}
    for name in chosen:
        aspect = without_scale(name)
        # Two columns that differ in the scale alone keep their names in full.
        named[name if aspect in named or aspect in CLIP_COLUMNS else aspect] = name
    return named


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
        return column_of
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
        if is_bookkeeping_of_ratings(name) or not 0 < len(odd) <= len(filled) / 4:
            continue
        _, number = table.locations[odd[0]]
        notes.append(
            f"'{name}' is no rating, for {table.unit} {number} has "
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
