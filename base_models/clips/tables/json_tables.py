"""JSON and JSON Lines: records, or columns, in the layouts that programs write.

Notes
-----
Besides a list of records, data frames and evaluation scripts write an object with a
record, or a number, per clip; an object with a list, or an object of rows or clips, per
column; and any of these inside an object that describes it, as ``{"data": […]}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from base_models.clips.tables.encoding import read_any_text
from base_models.clips.tables.grid import Grid
from base_models.clips.tables.header import (
    column_names,
    identifies_clips,
    is_known_name,
)
from base_models.clips.tables.limits import check_extent
from base_models.clips.text_table import TextTable, as_text
from base_models.errors import DamagedArtifact, UsageError, some
from base_models.files import from_json

_LAYOUTS = (
    'a list of records [{"clip_id": …}, …], records by clip {"a": {…}, …}, or lists by '
    'column {"clip_id": […], …}'
)


def read_json(path: Path) -> TextTable:
    """Read a .json, which may hold JSON Lines.

    Raises
    ------
    UsageError
        when it is not strict JSON (a key twice, nesting or a number beyond limits), or
        in none of the layouts.
    """
    text, _ = read_any_text(path)
    try:
        value = from_json(text.encode(), str(path))
    except DamagedArtifact as error:
        # One record a line, under the name of one document.
        if "Extra data" in str(error) and text.lstrip().startswith("{"):
            return _read_lines(text, path)
        raise UsageError(str(error)) from error
    return _of_document(value, path)


def read_jsonl(path: Path) -> TextTable:
    """Read a .jsonl, which may hold one document, a list of records.

    Raises
    ------
    UsageError
        when a line is not strict JSON or no object (naming the line).
    """
    text, _ = read_any_text(path)
    if text.lstrip().startswith("[") and text.rstrip().endswith("]"):
        try:
            value = from_json(text.encode(), str(path))
        except DamagedArtifact:
            value = None
        if _are_records(value):
            return _of_document(value, path)
    return _read_lines(text, path)


def _read_lines(text: str, path: Path) -> TextTable:
    # Only "\n" ends a line of JSON: other line separators may stand inside a text.
    records: list[Mapping[str, object]] = []
    numbers: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = from_json(line.encode(), f"{path}, line {number}")
        except DamagedArtifact as error:
            raise UsageError(str(error)) from error
        if not isinstance(record, dict):
            raise UsageError(
                f'{path}, line {number}: expected an object like {{"clip_id": …}}; '
                f"got {line[:40]!r}."
            )
        records.append(record)
        numbers.append(number)
    return _of_records(records, path, numbers=numbers, unit="line")


def _of_records(
    records: Sequence[Mapping[str, object]],
    path: Path,
    *,
    numbers: Sequence[int] | None = None,
    unit: str = "record",
    note: str = "",
) -> TextTable:
    """The table of records, which may lack keys."""
    if numbers is None:
        numbers = range(1, len(records) + 1)
    # A dict keeps the names in order of first appearance.
    names: dict[str, None] = {}
    for record in records:
        names.update(dict.fromkeys(record))
    check_extent(path, len(records), len(names))

    cells = [[as_text(record.get(name)) for record in records] for name in names]
    columns = dict(zip(column_names(list(names), path), cells, strict=True))
    locations = [(str(path), number) for number in numbers]
    notes = (f"{path.name}: {note}",) if note else ()
    return TextTable(columns, locations, unit=unit, notes=notes)


# ---- layouts of a document


def _of_document(value: Any, path: Path, note: str = "") -> TextTable:
    """The table in a JSON document.

    Raises
    ------
    UsageError
        when it is in none of the layouts, or in several.
    """
    if _are_records(value):
        return _of_records(value, path, note=note)
    if isinstance(value, list) and value:
        if all(isinstance(one, str) for one in value):
            return _of_records([{"audio": file} for file in value], path, note=note)
        if all(isinstance(one, list) and one for one in value):
            rows = [[as_text(cell) for cell in row] for row in value]
            numbers = list(range(1, len(rows) + 1))
            notes = [note] if note else []
            return Grid(path, rows, numbers, unit="row", notes=notes).to_table()
    if isinstance(value, dict) and value:
        table = _of_object(value, path, note)
        if table is not None:
            return table
    raise UsageError(f"{path}: expected {_LAYOUTS}; got {_outline(value)}.")


def _of_object(value: dict[str, Any], path: Path, note: str) -> TextTable | None:
    """The table in an object, or None where it has none."""
    values = list(value.values())
    if {"columns", "data"} <= set(value) and _is_split(value):
        records = [dict(zip(value["columns"], r, strict=True)) for r in value["data"]]
        return _of_records(records, path, note=note)
    if all(isinstance(one, dict) for one in values):
        if _are_columns_of_rows(value):
            return _of_columns({k: list(v.values()) for k, v in value.items()}, path)
        if _are_columns_of_clips(value):
            return _of_columns_of_clips(value, path, note)
        return _of_records_by_clip(value, path, note)
    if all(_is_number(one) for one in values) and not any(map(is_known_name, value)):
        records = [{"clip_id": clip, "score": one} for clip, one in value.items()]
        return _of_records(records, path, note=note or "read as a score per clip")
    if any(map(identifies_clips, value)) and not any(
        isinstance(one, (list, dict)) for one in values
    ):
        return _of_records([value], path, note=note)
    lists = {key: one for key, one in value.items() if isinstance(one, list)}
    if len(lists) == len(value) and not any(map(_are_records, values)):
        return _of_columns(value, path)

    # What describes a table stands beside it.
    tables = [key for key, one in lists.items() if _are_records(one)]
    if len(tables) > 1:
        raise UsageError(
            f"{path} holds several tables ({some(tables)}); save one of them alone."
        )
    if tables:
        return _of_records(
            value[tables[0]], path, note=f"the records under '{tables[0]}'"
        )
    inner = [key for key, one in value.items() if _are_records_by_clip(one)]
    if len(inner) == 1:
        note = f"the records under '{inner[0]}'"
        return _of_records_by_clip(value[inner[0]], path, note)
    return None


def _of_records_by_clip(
    value: dict[str, dict[str, object]], path: Path, note: str
) -> TextTable:
    inner = {name for record in value.values() for name in record}
    # Where records name their clips, their keys are something else.
    key = "key_of_record" if any(map(identifies_clips, inner)) else "clip_id"
    records = [{key: clip, **record} for clip, record in value.items()]
    return _of_records(records, path, note=note)


def _of_columns_of_clips(
    value: dict[str, dict[str, object]], path: Path, note: str
) -> TextTable:
    clips = next(iter(value.values()))
    records = [{name: cells[clip] for name, cells in value.items()} for clip in clips]
    note = note or "read as columns, each with a value per clip"
    return _of_records_by_clip(dict(zip(clips, records, strict=True)), path, note)


def _of_columns(value: dict[str, list[object]], path: Path) -> TextTable:
    lengths = {name: len(cells) for name, cells in value.items()}
    if len(set(lengths.values())) > 1:
        longest = max(lengths, key=lambda name: lengths[name])
        shortest = min(lengths, key=lambda name: lengths[name])
        raise UsageError(
            f"{path}: the columns differ in length: '{longest}' has "
            f"{lengths[longest]} values, '{shortest}' {lengths[shortest]}."
        )
    check_extent(path, max(lengths.values()), len(lengths))
    names = column_names(list(value), path)
    columns = {
        name: [as_text(cell) for cell in cells]
        for name, cells in zip(names, value.values(), strict=True)
    }
    n_rows = next(iter(lengths.values()))
    locations = [(str(path), number) for number in range(1, n_rows + 1)]
    return TextTable(columns, locations, unit="record")


def _is_split(value: Mapping[str, Any]) -> bool:
    """Whether names of columns stand beside rows, as data frames write them."""
    names = value["columns"]
    rows = value["data"]
    return (
        isinstance(names, list)
        and isinstance(rows, list)
        and all(isinstance(name, str) for name in names)
        and all(isinstance(row, list) and len(row) == len(names) for row in rows)
    )


def _are_columns_of_rows(value: Mapping[str, Mapping[str, object]]) -> bool:
    """Whether each column is an object of rows 0, 1, 2 …, as data frames write it."""
    first = list(next(iter(value.values())))
    is_counted = first == [str(row) for row in range(len(first))]
    return bool(first) and is_counted and all(list(v) == first for v in value.values())


def _are_columns_of_clips(value: Mapping[str, Mapping[str, object]]) -> bool:
    """Whether each column is an object of the same clips, which index a data frame.

    A name that is known for a column tells it from a record per clip.
    """
    first = list(next(iter(value.values())))
    return (
        bool(first)
        and any(map(is_known_name, value))
        and not any(map(is_known_name, first))
        and all(list(cells) == first for cells in value.values())
        and not any(
            isinstance(cell, dict)
            for cells in value.values()
            for cell in cells.values()
        )
    )


def _are_records(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(one, dict) for one in value)


def _are_records_by_clip(value: Any) -> bool:
    if not isinstance(value, dict) or not value:
        return False
    return all(isinstance(one, dict) for one in value.values())


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _outline(value: object) -> str:
    if isinstance(value, dict):
        return f"an object with {some(value, 5)}" if value else "an empty object"
    if isinstance(value, list):
        return "a list of other values" if value else "an empty list"
    return repr(value)[:40]
