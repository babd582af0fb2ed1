"""Prediction files as tables of text: with or without a header, ids, or a suffix.

Tools write more than tables with a header: the challenge's ``answer.txt``, lines of
JSON in a file of any name, a JSON object of clips, or scores in the order of a list of
clips that stands in another file. All become a `TextTable` here, cell by cell as they
were written, with the place of every row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from base_models.clips.columns import ID_COLUMNS, PATH_COLUMNS, fold_name
from base_models.clips.musiceval import ASPECTS
from base_models.clips.text_table import (
    READERS,
    TextTable,
    parse_number,
    read_text,
    split_lines,
)
from base_models.errors import DamagedArtifact, UsageError, some
from base_models.files import from_json, read_bytes
from ensemble.prediction_files.prediction_word import PredictionFile

_JSON = ".json"
_DELIMITED = {".csv", ".tsv", ".txt"}


def read_file_table(file: PredictionFile, aspects: Sequence[str]) -> TextTable:
    """The rows of a file, with a column of ids where a list of clips names them.

    Parameters
    ----------
    file : what is read
    aspects : the order of the scores in a file without a header

    Raises
    ------
    UsageError
        when there is no such file, it is no table, has no rows, or the list of clips is
        of another length.
    """
    table = _read_table(file.path, aspects)
    if table.n_rows == 0:
        raise UsageError(f"{file.path} holds no predictions.")
    if file.ids is None:
        return table
    return _with_ids(table, file.path, file.ids)


def is_without_header(table: TextTable) -> bool:
    """Whether a table was read from lines ``id,score,score…``."""
    return list(table.columns)[1:2] == ["field 2"]


def _read_table(path: Path, aspects: Sequence[str]) -> TextTable:
    if not path.is_file():
        if path.exists():
            raise UsageError(f"{path} is not a file.")
        raise UsageError(f"There is no file {path}.")

    suffix = path.suffix.lower()
    if suffix == _JSON:
        return _read_json(path)
    # Some tools write lines of JSON whatever the file is called.
    is_binary = suffix in READERS and suffix not in _DELIMITED
    if not is_binary and _holds_json_lines(path, suffix):
        return READERS[".jsonl"](path)
    if suffix not in {*READERS, ".txt"}:
        raise UsageError(
            f"{path}: predictions are read from {', '.join((*READERS, _JSON))}, a .txt "
            "of lines id,score, or lines of JSON."
        )
    layout = _detect_layout(path)
    if layout.has_header:
        return READERS[layout.suffix](path)
    return _read_without_header(path, layout.separator, aspects)


def _holds_json_lines(path: Path, suffix: str) -> bool:
    if suffix in {".csv", ".tsv"}:
        return False
    with path.open("rb") as file:
        # A mark of the byte order may come first.
        beginning = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    return beginning.startswith(b"{")


# ---- JSON


def _read_json(path: Path) -> TextTable:
    """Records of clips, as a list or by id, as SongEval writes them."""
    try:
        content = from_json(read_bytes(path), str(path))
    except DamagedArtifact as error:
        # PAM writes a record a line, under the name of one document.
        if "Extra data" in str(error):
            return READERS[".jsonl"](path)
        # The file is another project's, so the cure is not to restore an artefact.
        raise UsageError(f"{error} Write its records as JSON again.") from error

    records = _records_by_id(content)
    if records is None and isinstance(content, list):
        records = content
    are_records = records and all(isinstance(record, dict) for record in records)
    if not (records and are_records):
        if isinstance(content, dict) and "metrics" in content:
            raise UsageError(
                f"{path} holds means over clips, not the score of each; name the file "
                "with a row per clip (of musegauge: per_clip/METRIC.csv)."
            )
        raise UsageError(
            f'{path}: expected records of clips, {{"clip": {{"score": 3.5}}}} or a '
            f"list of such; got {json.dumps(content)[:40]}."
        )
    names = list(dict.fromkeys(name for record in records for name in record))
    rows = [[_as_text(record.get(name)) for name in names] for record in records]
    locations = [(str(path), row) for row in range(1, len(rows) + 1)]
    table = TextTable.from_rows(names, rows, locations)
    return replace(table, unit="record")


def _records_by_id(content: Any) -> list[dict[str, Any]] | None:
    """Records of an object whose keys are clips: of their scores, or single scores."""
    if not isinstance(content, dict) or not content:
        return None
    if all(isinstance(record, dict) for record in content.values()):
        return [{"clip_id": clip, **record} for clip, record in content.items()]
    if all(isinstance(score, int | float) for score in content.values()):
        return [{"clip_id": clip, "score": score} for clip, score in content.items()]
    return None


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# ---- ids from a list of clips


def _with_ids(table: TextTable, path: Path, ids: Path) -> TextTable:
    """The same rows under the ids of a list, which has one clip for each of them."""
    own = [name for name in table.columns if _is_id(name)]
    if own:
        raise UsageError(
            f"{path} names its clips itself ({some(own)}); leave '+{ids}' out."
        )
    listed = _listed_clips(ids)
    if len(listed) != table.n_rows:
        raise UsageError(
            f"{path} has {table.n_rows} rows, but {ids} lists {len(listed)} clips; "
            "name the list that these predictions were made of."
        )
    # The stem of a path is the id, as in a table of paths.
    return replace(table, columns={"path": listed, **table.columns})


def _listed_clips(path: Path) -> list[str]:
    """The clips of a list: a table, lines of JSON, or a path on each line."""
    is_table = path.suffix.lower() in READERS or (
        path.is_file() and _holds_json_lines(path, path.suffix.lower())
    )
    if not is_table:
        lines = [line.strip() for line in split_lines(read_text(path))]
        # Lists of Kaldi have the id before the path.
        return [line.split()[0] if line.split() else "" for line in lines if line]
    table = _read_table(path, ["score"])
    found = [name for name in table.columns if _is_id(name)]
    if not found:
        raise UsageError(
            f"{path} lists no clips; it has {some(table.columns, 20)}. Name their "
            "column path or clip_id."
        )
    return table.columns[found[0]]


def _is_id(name: str) -> bool:
    return fold_name(name) in {*ID_COLUMNS, *PATH_COLUMNS}


# ---- files without a header


@dataclass(frozen=True)
class _Layout:
    """How a file of lines is laid out.

    Parameters
    ----------
    has_header : whether the first line names the columns
    separator : what separates the fields of a line; "" when the file is no text table
    suffix : the key of its reader in `READERS`
    """

    has_header: bool
    separator: str
    suffix: str


def _detect_layout(path: Path) -> _Layout:
    suffix = path.suffix.lower()
    if suffix not in _DELIMITED:
        return _Layout(has_header=True, separator="", suffix=suffix)

    lines = split_lines(read_text(path))
    first_line = next(line for line in lines if line.strip())
    is_tabbed = suffix == ".tsv" or (suffix == ".txt" and "\t" in first_line)
    separator = "\t" if is_tabbed else ","
    cells = _fields(first_line, separator)

    has_id_name = any(_is_id(cell) for cell in cells)
    numbers = [parse_number(cell.strip()) for cell in cells[1:]]
    has_number = any(number is not None for number in numbers)
    # Without the name of an id, a .txt is a list as in the challenge; of any other file
    # a number in the first line shows that it is data.
    return _Layout(
        has_header=has_id_name or not (suffix == ".txt" or has_number),
        separator=separator,
        suffix=".tsv" if is_tabbed else ".csv",
    )


def _fields(line: str, separator: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.split(separator)]


def _read_without_header(
    path: Path, separator: str, aspects: Sequence[str]
) -> TextTable:
    """Lines ``id,score,score…`` as a table, its columns ``clip_id``, ``field 2`` …"""
    numbers = []
    lines = []
    for number, line in enumerate(split_lines(read_text(path)), start=1):
        if line.strip():
            numbers.append(number)
            lines.append(line)
    rows = [_fields(line, separator) for line in lines]

    order = order_of_scores(aspects, n_scores=len(rows[0]) - 1)
    for number, line, cells in zip(numbers, lines, rows, strict=True):
        if len(cells) != 1 + len(order):
            plural = "s" if len(order) > 1 else ""
            raise UsageError(
                f"{path}, line {number}: expected an id and {len(order)} score{plural} "
                f"({', '.join(order)}); got {line[:80]!r}. Without a header there must "
                "be one score per aspect."
            )

    # Numbered as in the file, where the id is field 1.
    names = [f"field {position}" for position in range(2, 2 + len(order))]
    locations = [(str(path), number) for number in numbers]
    return TextTable.from_rows(["clip_id", *names], rows, locations)


def order_of_scores(aspects: Sequence[str], n_scores: int) -> list[str]:
    """The aspects of the scores of a line without a header, in lower case.

    >>> order_of_scores(["ta"], n_scores=2), order_of_scores(["ta"], n_scores=1)
    (['mi', 'ta'], ['ta'])
    """
    order = [aspect.lower() for aspect in aspects]
    # The challenge fixes id,MI,TA, whichever of the two are asked for, in any order.
    if n_scores == len(ASPECTS) and set(order) <= set(ASPECTS):
        return list(ASPECTS)
    return order
