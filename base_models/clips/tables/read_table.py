"""Any table as text cells: the one door through which the readers of tables go."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from base_models.clips.tables.delimited import read_delimited
from base_models.clips.tables.json_tables import read_json, read_jsonl
from base_models.clips.tables.kaldi import read_scp
from base_models.clips.tables.parquet_tables import read_parquet
from base_models.clips.tables.sheets import read_sheet
from base_models.clips.text_table import TextTable, check_is_file
from base_models.errors import UsageError

_READERS: dict[str, Callable[[Path], TextTable]] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".txt": read_delimited,
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
    ".scp": read_scp,
}
_SPREADSHEETS = (".xlsx", ".xlsm", ".ods")
TABLE_SUFFIXES = (*_READERS, *_SPREADSHEETS)
"""The suffixes of files that `read_table` reads."""

_SHEET = re.compile(r"(.+\.(?:xlsx|xlsm|ods)):([^/\\:]+)", re.IGNORECASE | re.DOTALL)


def is_table(path: str | os.PathLike) -> bool:
    """Whether a path is called as a table is, a sheet of a spreadsheet included.

    >>> is_table("a.csv"), is_table("book.xlsx:Sheet 2"), is_table("a.wav")
    (True, True, False)
    """
    return table_file(path).suffix.lower() in TABLE_SUFFIXES


def table_file(path: str | os.PathLike) -> Path:
    """The file of a table, without the name of a sheet.

    >>> print(table_file("book.xlsx:Sheet 2"), table_file("a.csv"))
    book.xlsx a.csv
    """
    return _file_and_sheet(path)[0]


def read_table(path: str | os.PathLike, sheet: str | None = None) -> TextTable:
    """Read a table of any kind.

    Parameters
    ----------
    path : .csv, .tsv or .txt in any common dialect (see `TextTable.notes` for what was
        guessed); .json, .jsonl; .parquet; ``wav.scp``; .xlsx or .ods, of which
        ``FILE.xlsx:SHEET`` names a sheet
    sheet : the sheet of a spreadsheet, where `path` does not name it

    Returns
    -------
    table : TextTable
        A file without a header has the columns that
        `base_models.clips.tables.header.names_without_header` gives it.

    Raises
    ------
    UsageError
        when the file is missing, of another kind, or cannot be read for certain.
    """
    file, named_sheet = _file_and_sheet(path)
    check_is_file(file)
    suffix = file.suffix.lower()
    if suffix in _SPREADSHEETS:
        return read_sheet(file, sheet or named_sheet)
    if sheet is not None:
        raise UsageError(f"{file} has no sheets; leave '{sheet}' out.")
    if suffix in _READERS:
        return _READERS[suffix](file)
    raise UsageError(f"{file}: tables are read from {', '.join(TABLE_SUFFIXES)}.")


def _file_and_sheet(path: str | os.PathLike) -> tuple[Path, str | None]:
    match = _SHEET.fullmatch(str(path))
    if match is None or Path(path).exists():
        return Path(path), None
    return Path(match[1]), match[2]
