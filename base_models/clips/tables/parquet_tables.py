"""Parquet files as text cells, with the audio that they may hold left in place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_models.clips.parquet.embedded_audio import (
    AudioColumn,
    audio_column,
    embedded_columns,
)
from base_models.clips.tables.header import column_names
from base_models.clips.tables.limits import check_bytes, check_extent
from base_models.clips.text_table import TextTable, as_text
from base_models.errors import (
    ClipError,
    UsageError,
    in_one_line,
    machine_fault,
    some,
)
from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
else:
    pa = LazyLibrary("pyarrow")
    pc = LazyLibrary("pyarrow.compute")
    pq = LazyLibrary("pyarrow.parquet")

_ROWS_AT_ONCE = 64
"""Rows of lists and the like that are read before their size is known."""


def read_parquet(path: Path) -> TextTable:
    """Read a Parquet file.

    Columns of classes, which the library ``datasets`` stores as numbers beside a list
    of names, have the names.

    Raises
    ------
    UsageError
        when it is no readable Parquet file, is larger than
        `base_models.clips.tables.limits` allow, or holds values that have no text.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        # A small file can declare more rows than fit in memory.
        check_extent(path, file.metadata.num_rows, file.metadata.num_columns)
        audio = _embedded_audio(file.schema_arrow, path)
        table = _read_all_but_audio(path, audio)
    except (pa.ArrowException, OSError) as error:
        raise machine_fault(error, path) or UsageError(
            f"{path} is not a readable Parquet file ({in_one_line(error)})."
        ) from error

    names = column_names(table.column_names, path)
    columns = {}
    for name, column in zip(names, table.columns, strict=True):
        try:
            columns[name] = [as_text(value) for value in column.to_pylist()]
        # Times and durations beyond what Python's own types hold.
        except (OverflowError, ValueError) as error:
            raise UsageError(
                f"{path}: column '{name}' holds values that cannot be read "
                f"({column.type}: {error}). Save it as numbers or text."
            ) from error

    named = _name_classes(columns, file.schema_arrow.metadata)
    notes: tuple[str, ...] = ()
    if named:
        notes = (f"{path.name}: the classes in {some(named)} are read by name",)
    locations = [(str(path), row) for row in range(file.metadata.num_rows)]
    embedded = "" if audio is None else audio.name
    return TextTable(columns, locations, unit="row", notes=notes, embedded=embedded)


def _name_classes(
    columns: dict[str, list[str]], metadata: dict[bytes, bytes] | None
) -> list[str]:
    """Put names for the numbers of classes; returns the columns that have some.

    The features of a data set stand as JSON in the metadata of its schema, those of a
    column of classes as ``{"_type": "ClassLabel", "names": […]}``.
    """
    try:
        features: Any = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        classes = {
            name: feature["names"]
            for name, feature in features.items()
            if name in columns and feature.get("_type") == "ClassLabel"
        }
    # Metadata is for whoever understands it.
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return []

    named = []
    for name, words in classes.items():
        if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
            continue
        word_of = {str(number): word for number, word in enumerate(words)} | {
            "": "",
            "-1": "",
        }
        if all(cell in word_of for cell in columns[name]):
            columns[name] = [word_of[cell] for cell in columns[name]]
            named.append(name)
    return named


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


def _read_all_but_audio(path: Path, audio: AudioColumn | None) -> pa.Table:
    """All columns, but of the audio files only their names.

    Their bytes may be many gigabytes, and are read when a clip is.

    Raises
    ------
    UsageError
        when the text of all cells is larger than `limits.MAX_BYTES`.
    """
    schema = pq.read_schema(path)
    column_names(schema.names, path)
    # A word of these is held once, in however many rows it stands.
    words = [field.name for field in schema if _is_text(field.type)]
    file = pq.ParquetFile(path, read_dictionary=words, page_checksum_verification=True)
    nested = [field.name for field in schema if pa.types.is_nested(field.type)]
    flat = [name for name in schema.names if name not in nested]
    if audio is not None:
        nested = [name for name in nested if name != audio.name]
        flat = [name for name in flat if name != audio.name]

    everything = len(flat) == len(schema.names)
    table = file.read(columns=None if everything else flat)
    check_bytes(path, sum(map(_n_bytes, table.columns)))
    for name in nested:
        column = _read_in_parts(file, name, path)
        table = table.append_column(name, column)
    if audio is None:
        return table.select(schema.names)

    file_names: list[str] = [""] * file.metadata.num_rows
    if audio.name_path:
        cells = _read_in_parts(file, audio.name_path, path).to_pylist()
        file_names = [(cell or {}).get("path") or "" for cell in cells]
    kept = [name for name in schema.names if name != audio.name]
    table = table.select(kept)
    return table.append_column(audio.name, pa.array(file_names, pa.string()))


def _read_in_parts(file: pq.ParquetFile, name: str, path: Path) -> pa.ChunkedArray:
    """A column of lists and the like, a few rows of which may already be large."""
    parts = []
    n_bytes = 0
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[name]):
        n_bytes += batch.nbytes
        check_bytes(path, n_bytes)
        parts.append(batch.column(0))
    return pa.chunked_array(parts) if parts else file.read(columns=[name]).column(0)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _n_bytes(column: pa.ChunkedArray) -> int:
    """How many bytes the cells of a column have, a word as often as it stands there."""
    if not pa.types.is_dictionary(column.type) or not _is_text(column.type.value_type):
        return int(column.nbytes)
    n_bytes = 0
    for cells in column.chunks:
        lengths = pc.binary_length(cells.dictionary)
        n_bytes += pc.sum(lengths.take(cells.indices)).as_py() or 0
    return n_bytes
