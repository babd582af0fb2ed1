"""How large a table may be, looked at before memory is taken for it.

A file of a few bytes can stand for gigabytes: a word that a Parquet file holds once and
names in every row, or a header with a hundred thousand names. A table beyond these
limits is refused, whoever wrote it; none that people rated comes near.
"""

from __future__ import annotations

from pathlib import Path

from base_models.errors import UsageError

MAX_BYTES = 1 << 28
"""Largest size of a file of text, and of the text that any other table holds."""
MAX_ROWS = 2_000_000
MAX_COLUMNS = 10_000
MAX_CELLS = 20_000_000


def check_bytes(path: Path, n_bytes: int) -> None:
    """Refuse a table whose text is too large.

    Parameters
    ----------
    path : of the file, for the message
    n_bytes : of its text; of a part of it where more follows

    Raises
    ------
    UsageError
    """
    if n_bytes > MAX_BYTES:
        raise UsageError(
            f"{path} holds {n_bytes:,} bytes of text or more; at most "
            f"{MAX_BYTES >> 20} MiB are read. Is it a table? If so, split it."
        )


def check_extent(path: Path, n_rows: int, n_columns: int) -> None:
    """Refuse a table of too many rows, columns or cells.

    Parameters
    ----------
    path : of the file, for the message
    n_rows, n_columns : that the table declares, or so far has

    Raises
    ------
    UsageError
    """
    if n_columns > MAX_COLUMNS:
        raise UsageError(
            f"{path} has {n_columns:,} columns; at most {MAX_COLUMNS:,} are read. "
            "Write a row per clip, or leave columns out."
        )
    if n_rows > MAX_ROWS or n_rows * n_columns > MAX_CELLS:
        raise UsageError(
            f"{path} has {n_rows:,} rows of {n_columns:,} columns, or more; at most "
            f"{MAX_ROWS:,} rows and {MAX_CELLS:,} cells are read. Split it."
        )
