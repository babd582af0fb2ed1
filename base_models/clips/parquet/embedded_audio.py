"""Audio files inside a Parquet table, as data sets are published: one row at a time.

A clip of such a table names its audio as ``FILE.parquet#ROW``. Whoever reads audio gets
the bytes of that one row; a table of many gigabytes is never held in memory, and
nothing is unpacked to disk.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from base_models.clip_status import EMPTY, MISSING
from base_models.clips.columns import STANDARD_NAMES, fold_name
from base_models.errors import ClipError, machine_fault, some
from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = LazyLibrary("pyarrow")
    pq = LazyLibrary("pyarrow.parquet")

_REFERENCE = re.compile(r"(.+\.parquet)#([0-9]+)", re.IGNORECASE | re.DOTALL)
_BUFFER_BYTES = 1 << 20


def reference(file: str, row: int) -> str:
    """The name under which `row_of_reference` finds the audio of a row again."""
    return f"{file}#{row}"


def row_of_reference(name: str) -> tuple[str, int] | None:
    """File and row that a name of audio refers to; None for the name of a file.

    >>> row_of_reference("data/train-0.parquet#17")
    ('data/train-0.parquet', 17)
    >>> row_of_reference("clip.wav") is None
    True
    """
    match = _REFERENCE.fullmatch(name)
    return (match[1], int(match[2])) if match else None


@dataclass(frozen=True)
class AudioColumn:
    """The column of a Parquet table that holds audio files.

    Parameters
    ----------
    name : of the column
    bytes_path, name_path : what Parquet calls the leaf with the encoded bytes, and that
        with the names of the files; the latter is "" where there are no names
    """

    name: str
    bytes_path: str
    name_path: str


def embedded_columns(schema: pa.Schema) -> list[str]:
    """Columns that hold encoded data, which as text would be taken for names."""
    return [
        field.name
        for field in schema
        if pa.types.is_struct(field.type) or _is_bytes(field.type)
    ]


def audio_column(schema: pa.Schema) -> AudioColumn | None:
    """The column named like audio whose cells are ``{bytes, path}``, or bytes; or None.

    Raises
    ------
    ClipError
        when several columns are.
    """
    found = []
    for field in schema:
        if STANDARD_NAMES.get(fold_name(field.name)) != "audio":
            continue
        if _is_bytes(field.type):
            found.append(AudioColumn(field.name, field.name, ""))
        elif pa.types.is_struct(field.type):
            parts = {part.name: part.type for part in field.type}
            if "bytes" in parts and _is_bytes(parts["bytes"]):
                has_names = "path" in parts and pa.types.is_string(parts["path"])
                name_path = f"{field.name}.path" if has_names else ""
                found.append(AudioColumn(field.name, f"{field.name}.bytes", name_path))
    if len(found) > 1:
        names = some([column.name for column in found])
        raise ClipError(f"columns {names} all hold audio; drop all but one")
    return found[0] if found else None


def _is_bytes(type_: pa.DataType) -> bool:
    return (
        pa.types.is_binary(type_)
        or pa.types.is_large_binary(type_)
        or pa.types.is_fixed_size_binary(type_)
    )


def read_embedded(file: str, row: int) -> bytes:
    """The bytes of the audio file in a row of a table.

    Rows that are asked for in order are read in one go through the file; any other row
    costs the reading of the rows before it in its row group.

    Raises
    ------
    ClipError
        when the table cannot be read, has no such row or no audio, or the row is empty.
    """
    try:
        with _LOCK:
            return _reader_of(file, row).read(row)
    except FileNotFoundError:
        raise ClipError(f"there is no file {file!r}", status=MISSING) from None
    except (pa.ArrowException, OSError, MemoryError) as error:
        _READERS.clear()
        reason = " ".join(str(error).split()) or type(error).__name__
        raise machine_fault(error, file) or ClipError(
            f"row {row} of {file!r} cannot be read: {reason}"
        ) from error


class _RowReader:
    """Rows of the audio column of one table, from some row on, each read once."""

    def __init__(self, file: str, row: int) -> None:
        # Without a buffer, pyarrow would read a whole column chunk at once.
        self._table = pq.ParquetFile(
            file, buffer_size=_BUFFER_BYTES, page_checksum_verification=True
        )
        column = audio_column(self._table.schema_arrow)
        if column is None:
            raise ClipError(f"{file!r} has no column of audio")
        self._file = file
        group, first = self._group_of(row)
        self.next_row = first
        self._rows: Iterator[pa.RecordBatch] = self._table.iter_batches(
            batch_size=1,
            row_groups=range(group, self._table.num_row_groups),
            columns=[column.bytes_path],
            use_threads=False,
        )

    def _group_of(self, row: int) -> tuple[int, int]:
        """The row group that holds a row, and its first row."""
        first = 0
        for group in range(self._table.num_row_groups):
            n_rows = self._table.metadata.row_group(group).num_rows
            if row < first + n_rows:
                return group, first
            first += n_rows
        raise ClipError(
            f"{self._file!r} has {first} rows, and no row {row}", status=MISSING
        )

    def reaches(self, row: int) -> bool:
        """Whether going on is as short a way to a row as starting at its row group."""
        return self.next_row <= row and self._group_of(row)[1] <= self.next_row

    def read(self, row: int) -> bytes:
        """The bytes of a row that the reader `reaches`."""
        for batch in self._rows:
            self.next_row += batch.num_rows
            if self.next_row > row:
                cell = batch.column(0)[0].as_py()
                data = cell.get("bytes") if isinstance(cell, dict) else cell
                if not data:
                    raise ClipError(
                        f"row {row} of {self._file!r} holds no audio", status=EMPTY
                    )
                return bytes(data)
        raise ClipError(f"{self._file!r} ends before row {row}", status=MISSING)


_LOCK = threading.Lock()
_READERS: dict[tuple[object, ...], _RowReader] = {}
"""The reader that was used last, by what tells one state of a file from another."""


def _reader_of(file: str, row: int) -> _RowReader:
    status = Path(file).stat()
    # A forked process must not go on with its parent's reader.
    key = (os.getpid(), file, status.st_ino, status.st_size, status.st_mtime_ns)
    reader = _READERS.get(key)
    if reader is None or not reader.reaches(row):
        _READERS.clear()
        reader = _RowReader(file, row)
        _READERS[key] = reader
    return reader
