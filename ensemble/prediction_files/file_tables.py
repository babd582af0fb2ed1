"""Prediction files as tables of text: with or without a header, ids, or a suffix.

Tools write more than tables with a header: the challenge's ``answer.txt``, lines of
JSON in a file of any name, a JSON object of clips, or scores in the order of a list of
clips that stands in another file. All become a `TextTable` here, cell by cell as they
were written, with the place of every row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from base_models.clips.columns import ID_COLUMNS, PATH_COLUMNS, fold_name
from base_models.clips.musiceval import ASPECTS
from base_models.clips.tables.encoding import read_text
from base_models.clips.tables.json_tables import read_jsonl
from base_models.clips.tables.read_table import (
    TABLE_SUFFIXES,
    is_table,
    read_table,
    table_file,
)
from base_models.clips.tables.scored_rows import without_unscored
from base_models.clips.text_table import TextTable, check_is_file, split_lines
from base_models.errors import UsageError, some
from ensemble.prediction_files.prediction_word import PredictionFile


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
    table = without_unscored(table)
    if table.n_rows == 0:
        raise UsageError(f"{file.path} holds no predictions.")
    if file.ids is None:
        return table
    return _with_ids(table, file.path, file.ids)


def _read_table(path: Path, aspects: Sequence[str]) -> TextTable:
    check_is_file(table_file(path))
    # Some tools write lines of JSON whatever the file is called.
    suffix = path.suffix.lower()
    if (suffix == ".txt" or not is_table(path)) and _holds_json_lines(path, suffix):
        return read_jsonl(path)
    if not is_table(path):
        raise UsageError(
            f"{path}: predictions are read from {', '.join(TABLE_SUFFIXES)} (also of "
            "lines id,score without a header), or lines of JSON."
        )
    try:
        table = read_table(path)
    except UsageError as error:
        if suffix == ".json" and b'"metrics"' in path.read_bytes():
            raise UsageError(
                f"{path} holds means over clips, not the score of each; name the file "
                "with a row per clip (of musegauge: per_clip/METRIC.csv)."
            ) from error
        raise
    return table if table.has_header else _by_place(table, aspects)


def _holds_json_lines(path: Path, suffix: str) -> bool:
    if suffix in {".csv", ".tsv"}:
        return False
    with path.open("rb") as file:
        # A mark of the byte order may come first.
        beginning = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    return beginning.startswith(b"{")


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
    suffix = path.suffix.lower()
    holds_columns = (is_table(path) and suffix not in (".txt", ".scp")) or (
        path.is_file() and _holds_json_lines(path, suffix)
    )
    if not holds_columns:
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


def _by_place(table: TextTable, aspects: Sequence[str]) -> TextTable:
    """A table without a header, its columns ``clip_id``, ``field 2``, ``field 3`` …

    Raises
    ------
    UsageError
        when it has more or fewer scores than aspects.
    """
    columns = list(table.columns.values())
    order = order_of_scores(aspects, n_scores=len(columns) - 1)
    if len(columns) != 1 + len(order):
        plural = "s" if len(order) > 1 else ""
        first = ",".join(cells[0] for cells in columns)
        raise UsageError(
            f"{table.location(0)}: expected an id and {len(order)} score{plural} "
            f"({', '.join(order)}); got {first[:80]!r}. Without a header there must "
            "be one score per aspect."
        )
    # Numbered as in the file, where the id is field 1.
    names = ["clip_id", *(f"field {2 + place}" for place in range(len(order)))]
    # The last note says what the columns were taken as, which these are not.
    named = dict(zip(names, columns, strict=True))
    return replace(table, columns=named, notes=table.notes[:-1])


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
