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
from base_models.clips.text_table import TextTable, as_text
from base_models.errors import ClipError, UsageError, machine_fault, some
from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = LazyLibrary("pyarrow")
    pq = LazyLibrary("pyarrow.parquet")

MAX_ROWS = 10_000_000
"""A Parquet file that declares more rows is not read."""


def read_parquet(path: Path) -> TextTable:
    """Read a Parquet file.

    Columns of classes, which the library ``datasets`` stores as numbers beside a list
    of names, have the names.

    Raises
    ------
    UsageError
        when it is no readable Parquet file, declares more than `MAX_ROWS` rows, or
        holds values that have no text.
    """
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
        raise machine_fault(error, path) or UsageError(
            f"{path} is not a readable Parquet file ({first_line})."
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
