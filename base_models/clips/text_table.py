"""Tables as text, with the place of every row; `tables/read_table.py` reads them.

Each cell stays the text that it was, so that a system named ``06`` or ``NA`` keeps that
name; whoever needs a number converts with `parse_number` and can name file and line
when a cell is wrong.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from base_models.errors import UsageError

_NUMBER = re.compile(r"[+-]?([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""A NUL, a control character, a line separator, or half a surrogate pair."""


@dataclass(frozen=True)
class TextTable:
    """Columns of text cells, and the location of each row.

    Parameters
    ----------
    columns : name to n cells; a missing cell is ""
    locations : n pairs (file, line number)
    unit : what the number counts: ``"line"``, or ``"row"`` in a binary file
    notes : what was chosen in reading it, for people; without a header the last says
        what the columns are taken as
    embedded : the column whose cells name audio files that are in the table itself, see
        `base_models.clips.parquet.embedded_audio`; "" where none does
    has_header : False where the file does not name its columns, and their names here
        are those of `base_models.clips.tables.header.names_without_header`
    written : the cells of rewritten columns as the file has them, for messages: people
        search for what they wrote
    """

    columns: dict[str, list[str]]
    locations: Sequence[tuple[str, int]]
    unit: str = "line"
    notes: tuple[str, ...] = ()
    embedded: str = ""
    has_header: bool = True
    written: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        """How many rows the table has."""
        return len(self.locations)

    def location(self, row: int) -> str:
        """File and line of a row, for a message."""
        file, number = self.locations[row]
        return f"{file}, {self.unit} {number}"

    def as_written(self, column: str, row: int, cell: str) -> str:
        """A cell that was read from a column, as the file has it.

        Parameters
        ----------
        column, row : where it is from
        cell : as it was read; returned where it is not known to be written otherwise
        """
        cells = self.written.get(column, ())
        read = self.columns.get(column, ())
        # A table of which rows were left out since has other rows.
        if len(cells) != self.n_rows or len(read) != self.n_rows:
            return cell
        return cells[row].strip() if read[row].strip() == cell.strip() else cell

    @classmethod
    def from_rows(
        cls,
        names: Sequence[str],
        rows: Sequence[Sequence[str]],
        locations: Sequence[tuple[str, int]],
    ) -> TextTable:
        """Make a table from n rows of ``len(names)`` cells."""
        if not rows:
            return cls({name: [] for name in names}, locations)
        cells_of_columns = zip(*rows, strict=True)
        columns = {}
        for name, cells in zip(names, cells_of_columns, strict=True):
            columns[name] = list(cells)
        return cls(columns, locations)


# ---- cells and lines


def parse_number(cell: str) -> float | None:
    """The finite number that a cell writes in plain ASCII, or None.

    Unlike ``float``, it takes no ``nan`` or ``inf``, no ``1_0``, no other script's
    digits, and no number too large for a float.

    >>> parse_number("3.5"), parse_number("3,5"), parse_number("nan")
    (3.5, None, None)
    """
    if not _NUMBER.fullmatch(cell):
        return None
    number = float(cell)
    return number if math.isfinite(number) else None


def check_name(
    name: str,
    location: str,
    what: str,
) -> None:
    """Refuse a name with a NUL, a control character or a line separator.

    A file system or a log would mangle such a name.
    """
    if CONTROL_CHARACTER.search(name):
        raise UsageError(f"{location}: {what} {name!r} holds a control character.")


def check_is_file(path: Path) -> None:
    """Refuse a path where there is nothing, or no regular file.

    Raises
    ------
    UsageError
    """
    if path.is_file():
        return
    if path.exists():
        raise UsageError(f"{path} is not a file.")
    raise UsageError(f"There is no file or folder {path}.")


def split_lines(text: str) -> list[str]:
    """The lines of a text, whichever system wrote it.

    ``str.splitlines`` would also cut at form feeds and Unicode line separators, which
    may stand inside a prompt.
    """
    return re.split(r"\r\n|\n|\r", text)


def as_text(value: object) -> str:
    """The text of a JSON or Parquet value; an absent value is ""."""
    if value is None:
        return ""
    if isinstance(value, float) and math.isnan(value):
        return ""
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
