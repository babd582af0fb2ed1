"""Tables with a list of annotations per clip, each of one rater on several aspects.

Such is the json of SongEval: a record per song with a list of
``{"Coherence": 4, "Musicality": 3, …}``, one per annotator.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from base_models.clips.columns import RATER_COLUMNS, fold_name
from base_models.clips.listening_tests.listening_test import RATER, ListeningTest
from base_models.clips.rating_tables import nameless_rater
from base_models.clips.text_table import TextTable
from base_models.errors import UsageError


def annotation_column(table: TextTable) -> str | None:
    """The column whose cells list objects with numbers, or None."""
    for name, cells in table.columns.items():
        first = next((cell for cell in cells if cell), "")
        if first.startswith("[") and _annotations(first):
            return name
    return None


def read_annotations(table: TextTable, path: Path) -> ListeningTest:
    """A table with a list of annotations per clip as a listening test.

    Raises
    ------
    UsageError
        when no column lists annotations, or a cell of it is no such list.
    """
    column = annotation_column(table)
    if column is None:
        raise UsageError(
            f'{path} has no column of lists such as [{{"Coherence": 4, …}}, …].'
        )
    kept = [name for name in table.columns if name != column]
    aspects: dict[str, None] = {}
    rows: list[tuple[int, str, dict[str, Any]]] = []
    for row, cell in enumerate(table.columns[column]):
        found = _annotations(cell) if cell.strip() else []
        if found is None:
            raise UsageError(
                f"{table.location(row)}: {column} is {cell[:40]!r}; expected a list of "
                'annotations such as [{"Coherence": 4}], as in other rows.'
            )
        for place, one in enumerate(found, start=1):
            keys = [key for key in one if _is_rater(key)]
            rater = str(one[keys[0]]) if keys else ""
            rater = rater or nameless_rater(place, table.locations[row][1])
            numbers = {key: x for key, x in one.items() if _is_number(x)}
            numbers = {key: x for key, x in numbers.items() if not _is_rater(key)}
            aspects.update(dict.fromkeys(numbers))
            rows.append((row, rater, numbers))
    columns = {name: [table.columns[name][row] for row, _, _ in rows] for name in kept}
    columns[RATER] = [rater for _, rater, _ in rows]
    for aspect in aspects:
        columns[aspect] = [str(numbers.get(aspect, "")) for _, _, numbers in rows]
    locations = [table.locations[row] for row, _, _ in rows]
    return ListeningTest(
        layout="annotations",
        table=TextTable(columns, locations, table.unit),
        aspects=tuple(aspects),
    )


def _annotations(cell: str) -> list[dict[str, Any]] | None:
    """The objects with numbers that a cell lists; None where it lists others."""
    try:
        values = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list):
        return None
    if not all(
        isinstance(x, dict) and any(map(_is_number, x.values())) for x in values
    ):
        return None
    return values


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_rater(key: str) -> bool:
    return fold_name(key) in {*RATER_COLUMNS, "id"}
