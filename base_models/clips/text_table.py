"""Tables as text: csv, tsv, jsonl and parquet files, with the place of every row.

Each cell stays the text that it was, so that a system named ``06`` or ``NA`` keeps that
name; whoever needs a number converts with `parse_number` and can name file and line
when a cell is wrong.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from base_models.clips.parquet.embedded_audio import (
    AudioColumn,
    audio_column,
    embedded_columns,
)
from base_models.errors import ClipError, DamagedArtifact, UsageError, some
from base_models.files import from_json
from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = LazyLibrary("pyarrow")
    pq = LazyLibrary("pyarrow.parquet")

MAX_ROWS = 10_000_000
"""A Parquet file that declares more rows is not read."""

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class TextTable:
    """Columns of text cells, and the location of each row.

    Parameters
    ----------
    columns : name to n cells; a missing cell is ""
    locations : n pairs (file, line number)
    unit : what the number counts: ``"line"``, or ``"row"`` in a binary file
    notes : what was chosen in reading it, for people
    embedded : the column whose cells name audio files that are in the table itself, see
        `base_models.clips.parquet.embedded_audio`; "" where none does
    """

    columns: dict[str, list[str]]
    locations: Sequence[tuple[str, int]]
    unit: str = "line"
    notes: tuple[str, ...] = ()
    embedded: str = ""

    @property
    def n_rows(self) -> int:
        """How many rows the table has."""
        return len(self.locations)

    def location(self, row: int) -> str:
        """File and line of a row, for a message."""
        file, number = self.locations[row]
        return f"{file}, {self.unit} {number}"

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
    if _CONTROL_CHARACTER.search(name):
        raise UsageError(f"{location}: {what} {name!r} holds a control character.")


def read_text(path: Path) -> str:
    """All text of a UTF-8 file, without its byte order mark.

    Raises
    ------
    UsageError
        when the file is missing, not a regular file, empty, unreadable, not UTF-8, or
        holds a NUL.
    """
    if not path.is_file():
        if path.exists():
            raise UsageError(f"{path} is not a file.")
        raise UsageError(f"There is no file or folder {path}.")

    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8."
        ) from error

    if "\0" in text:
        raise UsageError(
            f"{path} holds a NUL byte: it is not a text file, or is UTF-16; "
            "save it as UTF-8."
        )
    if not text.strip():
        raise UsageError(f"{path} is empty.")
    return text


def split_lines(text: str) -> list[str]:
    """The lines of a text, whichever system wrote it.

    ``str.splitlines`` would also cut at form feeds and Unicode line separators, which
    may stand inside a prompt.
    """
    return re.split(r"\r\n|\n|\r", text)


# ---- csv and tsv


def _read_csv(path: Path) -> TextTable:
    return _read_delimited(path, ",")


def _read_tsv(path: Path) -> TextTable:
    return _read_delimited(path, "\t")


def _read_delimited(path: Path, delimiter: str) -> TextTable:
    # newline="" leaves line ends to the csv module, as its documentation asks for.
    text = io.StringIO(read_text(path), newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)

    names: list[str] = []
    rows: list[list[str]] = []
    locations: list[tuple[str, int]] = []
    last_line = 0
    try:
        for cells in reader:
            first_line = last_line + 1
            last_line = reader.line_num

            # A stray quote swallows the rows up to the next quote. A prompt with a line
            # break looks the same, so neither is accepted.
            if last_line > first_line:
                raise UsageError(
                    f"{path}, line {first_line}: a quoted cell runs on to line "
                    f"{last_line}; close it on its own line."
                )
            if _is_blank(cells):
                continue
            if not names:
                names = _check_header(cells, path)
                _check_delimiter(names, delimiter, path)
                continue
            if len(cells) != len(names):
                raise UsageError(
                    f"{path}, line {first_line}: {len(cells)} cells; "
                    f"the header has {len(names)}."
                )
            rows.append(cells)
            locations.append((str(path), first_line))
    except csv.Error as error:
        raise UsageError(
            f"{path}, line {last_line + 1}: not a well-formed row ({error})."
        ) from error

    return TextTable.from_rows(names, rows, locations)


def _is_blank(cells: Sequence[str]) -> bool:
    # A row of several empty cells is not blank: it is a row without values.
    return len(cells) <= 1 and not any(cell.strip() for cell in cells)


def _check_header(header: Sequence[str], path: Path) -> list[str]:
    names = []
    for position, name in enumerate(header):
        names.append(name.strip() or f"unnamed_{position}")

    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UsageError(f"{path} has two columns named {some(repeated)}.")
    return names


def _check_delimiter(
    names: Sequence[str],
    delimiter: str,
    path: Path,
) -> None:
    """Refuse a header whose only name holds another separator."""
    # Several names show that the header was cut at the right separator.
    if len(names) != 1:
        return
    cure = "tabs, or as .csv" if delimiter == "\t" else "commas, or as .tsv"
    for separator, title in ((";", "';'"), ("\t", "tabs"), (",", "commas")):
        if separator != delimiter and separator in names[0]:
            raise UsageError(f"{path} is separated by {title}; save it with {cure}.")


# ---- jsonl and parquet


def _read_jsonl(path: Path) -> TextTable:
    # Only "\n" ends a line of JSON: other line separators may stand inside a text.
    records: list[dict[str, object]] = []
    locations: list[tuple[str, int]] = []
    # Records may lack keys; a dict keeps the names in order of first appearance.
    names: dict[str, None] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
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
        names.update(dict.fromkeys(record))
        records.append(record)
        locations.append((str(path), number))

    rows = [[_as_text(record.get(name)) for name in names] for record in records]
    return TextTable.from_rows(_check_header(list(names), path), rows, locations)


def _read_parquet(path: Path) -> TextTable:
    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        # A small file can declare more rows than fit in memory.
        if file.metadata.num_rows > MAX_ROWS:
            raise UsageError(
                f"{path} declares {file.metadata.num_rows:,} rows; "
                f"more than {MAX_ROWS:,} are not read."
            )
        audio = _embedded_audio(file.schema_arrow, path)
        table = _read_all_but_audio(file, audio)
    except (pa.ArrowException, OSError) as error:
        first_line = str(error).splitlines()[0]
        raise UsageError(
            f"{path} is not a readable Parquet file ({first_line})."
        ) from error

    names = _check_header(table.column_names, path)
    columns = {}
    for name, column in zip(names, table.columns, strict=True):
        try:
            columns[name] = [_as_text(value) for value in column.to_pylist()]
        # Times and durations beyond what Python's own types hold.
        except (OverflowError, ValueError) as error:
            raise UsageError(
                f"{path}: column '{name}' holds values that cannot be read "
                f"({column.type}: {error}). Save it as numbers or text."
            ) from error
    locations = [(str(path), row) for row in range(file.metadata.num_rows)]
    embedded = "" if audio is None else audio.name
    return TextTable(columns, locations, unit="row", embedded=embedded)


def _embedded_audio(schema: pa.Schema, path: Path) -> AudioColumn | None:
    """The column of audio files, where the table holds them.

    Raises
    ------
    UsageError
        when the table holds other data than text, numbers and audio.
    """
    try:
        audio = audio_column(schema)
    except ClipError as error:
        raise UsageError(f"{path}: {error}.") from error
    # As text they would be taken for names.
    others = [
        name for name in embedded_columns(schema) if audio is None or name != audio.name
    ]
    if others:
        raise UsageError(
            f"{path}: columns {some(others)} hold embedded data that is no audio; "
            "drop them, or write it to files and give their paths. (Audio files are "
            "read from a column 'audio' of bytes, or of {bytes, path}.)"
        )
    return audio


def _read_all_but_audio(file: pq.ParquetFile, audio: AudioColumn | None) -> pa.Table:
    """All columns, but of the audio files only their names.

    Their bytes may be many gigabytes, and are read when a clip is.
    """
    if audio is None:
        return file.read()
    names = [name for name in file.schema_arrow.names if name != audio.name]
    table = file.read(columns=names)
    file_names: list[str] = [""] * file.metadata.num_rows
    if audio.name_path:
        column = file.read(columns=[audio.name_path]).column(0)
        cells = column.to_pylist()
        file_names = [(cell or {}).get("path") or "" for cell in cells]
    return table.append_column(audio.name, pa.array(file_names, pa.string()))


def _as_text(value: object) -> str:
    """The text of a JSON or Parquet value; an absent value is ""."""
    if value is None:
        return ""
    if isinstance(value, float) and math.isnan(value):
        return ""
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


READERS: dict[str, Callable[[Path], TextTable]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
"""The reader of each kind of table, by the suffix of the file."""
