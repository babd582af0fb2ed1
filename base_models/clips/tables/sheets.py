"""Spreadsheets (.xlsx, .xlsm, .ods) as text cells.

The cells are read by calamine, after checks of what it is given: an archive is
unpacked under a limit and passed on without compression, and a sheet whose last cell
makes it larger than memory is refused, for which calamine would end the process.
Formulas give the values that were stored with them.
"""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import python_calamine as calamine

from base_models.clips.tables import limits
from base_models.clips.tables.grid import Grid, counted
from base_models.clips.tables.header import identifies_clips, is_known_name
from base_models.clips.text_table import TextTable
from base_models.errors import UsageError, machine_fault, some

MAX_UNPACKED = 1 << 29
"""A spreadsheet that unpacks to more bytes is not read."""
"""A sheet with more cells, empty ones included, is not read."""

_CHUNK = 1 << 20
_FIRST_ROWS = 10
_CELL = re.compile(rb"\sr\s*=\s*[\"']([A-Za-z]{1,7})(\d{1,9})[\"']")
_ERROR_CELL = re.compile(rb"<(?:\w+:)?c\b[^>]*\bt=[\"']e[\"']")
_ODS_ERROR = re.compile(rb"calcext:value-type=[\"']error[\"']")
# Tags whose attributes may hold ">", as in formulas.
_ODS_TAG = re.compile(
    rb"<(?:\w+:)?(table|table-row|(?:covered-)?table-cell)(?=[\s/>])"
    rb"((?:[^>\"']|\"[^\"]*\"|'[^']*')*)>"
)
_ODS_REPEATED = re.compile(rb"number-(?:rows|columns)-repeated=[\"'](\d{1,9})[\"']")
_ODS_MERGED = re.compile(rb"number-rows-spanned=[\"'](?!1[\"'])\d")
# A formula (without the type of texts, which may be empty) and no value after it.
_NO_VALUE = re.compile(
    rb"<(?:\w+:)?c\b(?![^>]*\bt=[\"']str[\"'])[^>]*\br=[\"'](\w+)[\"'][^>]*>\s*"
    rb"<(?:\w+:)?f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_OLD_FORMAT = b"\xd0\xcf\x11\xe0"


def read_sheet(path: Path, sheet: str | None) -> TextTable:
    """Read one sheet of a spreadsheet.

    Parameters
    ----------
    path : .xlsx, .xlsm or .ods
    sheet : its name; None for the first that is visible and names columns, or else the
        first that holds cells

    Raises
    ------
    UsageError
        when the file is no such spreadsheet, protected by a password, too large, holds
        no such sheet, or formulas whose values were not stored.
    """
    members = _unpack(path)
    for name, data in members.items():
        _check_member(path, name, data)
    try:
        book = _book(members)
        name, others = _choose(book, sheet, path)
        page = book.get_sheet_by_name(name)
        rows = page.to_python(skip_empty_area=False)
        merged = page.merged_cell_ranges or []
    except (calamine.CalamineError, ValueError, OverflowError) as error:
        raise UsageError(
            f"{path} is not a readable spreadsheet ({error}); save it anew as .xlsx."
        ) from error

    cells = [[_as_text(value) for value in row] for row in rows]
    numbers = list(range(1, len(cells) + 1))
    grid = Grid(path, cells, numbers, unit="row")
    if others:
        grid.notes.append(
            f"sheet '{name}' is read, not {some(others)} (name one as "
            f"{path.name}:SHEET)"
        )
    _note_and_fill(grid, merged)
    _check_formulas(path, _member_of_sheet(members, name), grid)
    return grid.to_table()


def sheet_names(path: Path) -> list[str]:
    """The names of all sheets of a spreadsheet; none where it cannot be read."""
    try:
        members = _unpack(path)
        for name, data in members.items():
            _check_member(path, name, data)
        return list(_book(members).sheet_names)
    except (UsageError, calamine.CalamineError, ValueError):
        # Who reads a sheet of it says what is wrong.
        return []


def _book(members: dict[str, bytes]) -> calamine.CalamineWorkbook:
    return calamine.CalamineWorkbook.from_filelike(io.BytesIO(_packed(members)))


def _choose(
    book: calamine.CalamineWorkbook, sheet: str | None, path: Path
) -> tuple[str, list[str]]:
    """The name of the sheet to read, and of others that it was chosen from."""
    if sheet is not None:
        if sheet not in book.sheet_names:
            raise UsageError(
                f"{path} has no sheet '{sheet}'; it has {some(book.sheet_names, 20)}."
            )
        return sheet, []
    visible = [
        one.name
        for one in book.sheets_metadata
        if one.visible == calamine.SheetVisibleEnum.Visible
        and one.typ == calamine.SheetTypeEnum.WorkSheet
    ]
    filled = [name for name in visible if book.get_sheet_by_name(name).start]
    if not filled:
        raise UsageError(f"{path} is empty.")
    # A first sheet often says what the others are.
    of_clips = [name for name in filled if _names_columns(book, name, identifies_clips)]
    named = [name for name in filled if _names_columns(book, name, is_known_name)]
    chosen = (of_clips or named or filled)[0]
    return chosen, [name for name in filled if name != chosen]


def _names_columns(
    book: calamine.CalamineWorkbook, name: str, is_looked_for: Callable[[str], bool]
) -> bool:
    """Whether the name of such a column stands in the first rows of a sheet."""
    rows = book.get_sheet_by_name(name).to_python(nrows=_FIRST_ROWS)
    return any(is_looked_for(_as_text(value)) for row in rows for value in row)


def _as_text(value: object) -> str:
    """The text of a cell; whole numbers without a point, dates as ISO 8601."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value)


def _note_and_fill(
    grid: Grid, merged: Sequence[tuple[tuple[int, int], tuple[int, int]]]
) -> None:
    """Give each row of a merged cell its value, which stands in the first alone."""
    filled = []
    for (top, left), (bottom, right) in merged:
        if left != right or bottom == top or top >= len(grid.rows):
            continue
        value = grid.rows[top][left] if left < len(grid.rows[top]) else ""
        for row in grid.rows[top + 1 : bottom + 1]:
            if left < len(row):
                row[left] = value
        filled.append(top + 1)
    if filled:
        grid.notes.append(
            f"{counted(sorted(filled), 'merged cell', 'row')} read for all of its rows"
        )


# ---- what is looked at before calamine is


def _unpack(path: Path) -> dict[str, bytes]:
    """The parts of a spreadsheet that hold text, unpacked under the limit."""
    with path.open("rb") as file:
        if file.read(4) == _OLD_FORMAT:
            raise UsageError(
                f"{path} is protected by a password, or an old .xls; save it as .xlsx "
                "without a password."
            )
    members = {}
    remaining = MAX_UNPACKED
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                # Pictures and macros are not needed.
                if not info.filename.endswith((".xml", ".rels", "mimetype")):
                    continue
                data = _unpack_one(archive, info, remaining, path=path)
                remaining -= len(data)
                members[info.filename] = data
    # zipfile raises several types for archives that are damaged or encrypted.
    except (zipfile.BadZipFile, OSError, RuntimeError, ValueError, EOFError) as error:
        if isinstance(error, UsageError):
            raise
        raise machine_fault(error, path) or UsageError(
            f"{path} is not a readable spreadsheet ({error})."
        ) from error
    return members


def _unpack_one(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int, *, path: Path
) -> bytes:
    chunks = []
    size = 0
    with archive.open(info) as file:
        while chunk := file.read(_CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise UsageError(
                    f"{path} unpacks to more than {MAX_UNPACKED >> 20} MiB, which are "
                    "not read; save it as .csv."
                )
    return b"".join(chunks)


def _packed(members: dict[str, bytes]) -> bytes:
    """An archive of the parts, whose sizes are what it declares."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _check_member(path: Path, name: str, data: bytes) -> None:
    """Refuse a part that defines entities, hides its text, or spans too many cells."""
    head = data[:4096]
    if b"<!DOCTYPE" in head or b"<!ENTITY" in data or b"\0" in data:
        raise UsageError(
            f"{path} is no spreadsheet that an office program writes ({name} defines "
            "entities or is no UTF-8); save it anew as .xlsx."
        )
    last_row = 0
    last_column = 0
    if name == "content.xml":
        last_row, last_column = _extent_of_ods(data)
    elif b"sheetData" in data:
        for letters, digits in set(_CELL.findall(data)):
            last_row = max(last_row, int(digits))
            last_column = max(last_column, _column_number(letters))
    if last_row * last_column > limits.MAX_CELLS:
        raise UsageError(
            f"{path}: a sheet has {last_row:,} rows and {last_column:,} columns, more "
            f"than {limits.MAX_CELLS:,} cells; delete the cells far from the table."
        )


def _extent_of_ods(data: bytes) -> tuple[int, int]:
    """The last row and column that hold a value, of the largest extents of all sheets.

    Cells and rows may be repeated: the empty ones at the end of a sheet, which are no
    part of it, and any others.
    """
    last_row = 0
    last_column = 0
    row = 0
    column = 0
    for tag, attributes in _ODS_TAG.findall(data):
        match = _ODS_REPEATED.search(attributes)
        times = int(match[1]) if match else 1
        if tag == b"table":
            row = 0
        elif tag == b"table-row":
            row += times
            column = 0
        else:
            column += times
            if b"value-type" in attributes:
                last_row = max(last_row, row)
                last_column = max(last_column, column)
    return last_row, last_column


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - ord("A") + 1
    return number


def _member_of_sheet(members: dict[str, bytes], sheet: str) -> bytes:
    """The part that a sheet of .xlsx is stored in, or all content of .ods."""
    if "content.xml" in members:
        return members["content.xml"]
    try:
        book = ElementTree.fromstring(members["xl/workbook.xml"])
        links = ElementTree.fromstring(members["xl/_rels/workbook.xml.rels"])
    except (KeyError, ElementTree.ParseError):
        return b""
    target_of = {link.get("Id"): link.get("Target", "") for link in links}
    for element in book.iter():
        if element.get("name") == sheet and element.get(_RELATION):
            target = target_of.get(element.get(_RELATION), "")
            return members.get(f"xl/{target}", members.get(target.lstrip("/"), b""))
    return b""


def _check_formulas(path: Path, data: bytes, grid: Grid) -> None:
    """Refuse formulas without stored values; note those that give errors.

    Both would be read as empty cells.
    """
    without_value = _NO_VALUE.search(data)
    if without_value is not None:
        cell = without_value[1].decode(errors="replace")
        raise UsageError(
            f"{path}: cell {cell} holds a formula whose value was not stored; open the "
            "file in a spreadsheet program and save it."
        )
    n_errors = len(_ERROR_CELL.findall(data)) + len(_ODS_ERROR.findall(data))
    if n_errors:
        cells = (
            "1 cell with an error" if n_errors == 1 else f"{n_errors} cells with errors"
        )
        grid.notes.append(f"{cells} (as #N/A) read as empty")
    if _ODS_MERGED.search(data):
        grid.notes.append("merged cells are read in their first row only")
