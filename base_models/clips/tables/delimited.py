"""Text whose cells are separated by commas, semicolons, tabs or bars."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from base_models.clips.tables.encoding import read_any_text
from base_models.clips.tables.formulas import original_cell
from base_models.clips.tables.grid import Grid, counted
from base_models.clips.tables.header import is_known_name
from base_models.clips.tables.limits import MAX_CELLS, MAX_ROWS, check_extent
from base_models.clips.tables.notation import MISSING
from base_models.clips.tables.separators import (
    rows_of,
    sample_of,
    separator_of,
    without_comments,
)
from base_models.clips.text_table import TextTable, parse_number, split_lines
from base_models.errors import UsageError

_TITLES = {",": "','", ";": "';'", "\t": "tabs", "|": "'|'", " ": "blanks"}
_DECLARATION = re.compile(r'"?sep=(.)"?[ ,;\t]*(\r\n|\n|\r)', re.IGNORECASE)
_COMMENT = re.compile(r"(?:\A|[\r\n])#")
_COMMENTED_HEADER = re.compile(r"\A((?:#[^\r\n]*[\r\n]+)*)#+[ \t]*([^\r\n]+)")


def read_delimited(path: Path) -> TextTable:
    """Read a .csv, .tsv or .txt.

    Raises
    ------
    UsageError
        when the file is no text, a row is not well formed or too short or long, or a
        quoted cell swallows rows (naming the line).
    """
    text, encoding = read_any_text(path)
    # DOS ended texts so.
    text = text.removesuffix("\x1a")
    suffix = path.suffix.lower()
    grid = Grid(path, [], [], is_list=suffix == ".txt")
    if encoding == "Windows-1252":
        grid.notes.append("read as Windows-1252 text, for it is not UTF-8")

    # The line by which Excel is told the separator; an empty one keeps the numbers.
    declared = _DECLARATION.match(text)
    if declared is not None:
        text = declared[2] + text[declared.end() :]
        separator = declared[1]
    else:
        separator = separator_of(text, suffix)
    usual = {".csv": ",", ".tsv": "\t"}.get(suffix)
    if separator != usual and not (usual is None and separator in ",\t "):
        title = _TITLES.get(separator, repr(separator))
        grid.notes.append(f"separated by {title}")

    if separator == " ":
        lines = split_lines(text)
        grid.rows = [line.split() for line in lines]
        grid.numbers = list(range(1, len(lines) + 1))
    else:
        _read_rows(grid, text, separator)
    # Only a file that was written so has any.
    if "'" in text:
        grid.rows = [[original_cell(cell) for cell in row] for row in grid.rows]
    return grid.to_table()


def _read_rows(grid: Grid, text: str, separator: str) -> None:
    """Put the rows of a text into a grid, read as it is most likely meant."""
    comments = None
    if "#" in text and _COMMENT.search(text):
        text = _with_bare_header(text, separator)
        comments = _Comments(text, separator)

    dialect: dict[str, Any] = {"delimiter": separator, "strict": True}
    sample = sample_of(text)
    # Blanks before a quote: 'a, "x, y", 3' has three cells.
    is_spaced = f'{separator} "' in sample
    is_spaced = is_spaced and not _are_equal(rows_of(sample, separator))
    if is_spaced and _are_equal(rows_of(sample, separator, skipinitialspace=True)):
        dialect["skipinitialspace"] = True
    if _is_quoted_singly(text, separator):
        dialect["quotechar"] = "'"
    try:
        _parse(grid, text, comments, dialect=dialect)
        return
    except csv.Error as error:
        failure = error
        line = grid.numbers[-1] + 1 if grid.numbers else 1

    # Other programs write \" for a quote within quotes, or know no quotes between tabs.
    if '\\"' in text:
        retried = _retry(grid, text.replace('\\"', '""'), comments, dialect=dialect)
        if retried:
            grid.notes.append('\\" read as a quote')
            return
    if separator == "\t":
        plain = {"delimiter": separator, "quoting": csv.QUOTE_NONE}
        if _retry(grid, text, comments, dialect=plain):
            grid.notes.append("quotes read as they stand")
            return
    reason = str(failure)
    if "field limit" in reason:
        reason = (
            f"a cell has more than {csv.field_size_limit():,} characters: is a quote "
            "not closed?"
        )
    raise UsageError(
        f"{grid.path}, line {line}: not a well-formed row ({reason})."
    ) from failure


def _is_quoted_singly(text: str, separator: str) -> bool:
    """Whether all names in the first line stand in single quotes."""
    first_line = re.match(r"\s*([^\r\n]*)", text)
    names = first_line[1].strip().split(separator) if first_line else []
    return all(re.fullmatch(r"'[^']+'", name.strip()) for name in names)


def _retry(
    grid: Grid,
    text: str,
    comments: _Comments | None,
    dialect: Mapping[str, Any],
) -> bool:
    """Whether a text is well formed in another dialect, in which the grid then is."""
    attempt = Grid(grid.path, [], [], notes=list(grid.notes))
    if comments is not None:
        comments.dropped.clear()
    try:
        _parse(attempt, text, comments, dialect=dialect)
    except (csv.Error, UsageError):
        return False
    if not _are_equal([row for row in attempt.rows if any(row)]):
        return False
    grid.rows = attempt.rows
    grid.numbers = attempt.numbers
    grid.notes = attempt.notes
    return True


def _parse(
    grid: Grid,
    text: str,
    comments: _Comments | None,
    dialect: Mapping[str, Any],
) -> None:
    """Read the rows of a text in one dialect.

    Raises
    ------
    csv.Error
        when a row is not well formed; the rows before it are in the grid.
    UsageError
        when a quoted cell swallows rows.
    """
    # newline="" leaves line ends to the csv module, as its documentation asks for.
    lines: Iterator[str] = io.StringIO(text, newline="")
    if comments is not None:
        lines = comments.blanked(lines)
    reader = csv.reader(lines, **dialect)

    grid.rows = []
    grid.numbers = []
    # The lines of rows that have several.
    broken: list[tuple[int, int]] = []
    last_line = 0
    n_cells = 0
    for cells in reader:
        first_line = last_line + 1
        last_line = reader.line_num
        grid.rows.append(cells)
        n_cells += len(cells)
        # Here, as a file that cannot be read should not be read to its end.
        if n_cells > MAX_CELLS or len(grid.rows) > MAX_ROWS:
            check_extent(grid.path, len(grid.rows), max(map(len, grid.rows)))
        grid.numbers.append(first_line)
        if last_line > first_line:
            broken.append((first_line, last_line))
        if comments is not None:
            comments.at_start = True

    if broken:
        _check_broken(grid, text, broken, separator=dialect["delimiter"])
    if comments is not None and comments.dropped:
        grid.notes.append(f"{counted(comments.dropped, 'comment')} left out")


def _check_broken(
    grid: Grid,
    text: str,
    broken: Sequence[tuple[int, int]],
    separator: str,
) -> None:
    """Refuse rows whose quoted cell may have swallowed others, and note the rest.

    A stray quote swallows all up to the next one, and a prompt with a line break looks
    the same to a reader. Swallowed rows show in their lines: each is as wide as a row,
    with a number in the same column, where the other rows have none but numbers.
    """
    lines = split_lines(text)
    width = Counter(map(len, grid.rows)).most_common(1)[0][0]
    suspects = []
    for first, last in broken:
        rows = [line.split(separator) for line in lines[first - 1 : last]]
        if all(len(row) == width > 1 for row in rows):
            suspects.append((first, last, rows))
    of_numbers = _columns_of_numbers(grid, broken, width) if suspects else []
    for first, last, rows in suspects:
        if any(all(_is_number(row[column]) for row in rows) for column in of_numbers):
            raise UsageError(
                f"{grid.path}, line {first}: a quoted cell runs on to line {last} and "
                "holds what looks like rows; close it on its own line."
            )
    starts = [first for first, _ in broken]
    grid.notes.append(f"line breaks kept within {counted(starts, 'row')}")


def _columns_of_numbers(
    grid: Grid, broken: Sequence[tuple[int, int]], width: int
) -> list[int]:
    """Columns in which whole rows have numbers alone, but for what is missing."""
    first_lines = {first for first, _ in broken}
    whole = [
        row
        for row, number in zip(grid.rows, grid.numbers, strict=True)
        if number not in first_lines and len(row) == width
    ]
    # The first of them may be the header.
    return [
        column
        for column in range(width)
        if all(
            _is_number(row[column])
            for row in whole[1:]
            if row[column].strip().lower() not in MISSING
        )
    ]


def _is_number(cell: str) -> bool:
    """Whether a cell is a number, in quotes or without; half a pair belongs to text."""
    bare = cell.strip()
    if len(bare) > 1 and bare[0] == bare[-1] == '"':
        bare = bare[1:-1]
    return parse_number(bare) is not None


def _are_equal(rows: Sequence[Sequence[str]]) -> bool:
    """Whether all rows have one number of cells."""
    return len(set(map(len, rows))) == 1


# ---- comments


def _with_bare_header(text: str, separator: str) -> str:
    """The text without the sign before its header, as in ``# id,mos``."""
    match = _COMMENTED_HEADER.match(text)
    if match is None:
        return text
    names = match[2].split(separator)
    next_line = re.match(r"[\r\n]*([^\r\n]*)", text[match.end() :])
    assert next_line is not None
    following = next_line[1].split(separator)
    is_header = (
        len(names) == len(following) > 1
        and any(map(is_known_name, names))
        and not any(map(is_known_name, following))
    )
    if not is_header:
        return text
    return text[: match.end(1)] + match[2] + text[match.end() :]


class _Comments:
    """Lines that begin with ``#``, unless that is the beginning of a row.

    Ids such as ``#3`` and prompts such as ``#chill`` begin so too. A comment has fewer
    cells than a row; or it has a blank after the sign, and other than a row's number of
    cells, or all of them empty but the first.

    Parameters
    ----------
    text : the whole text
    separator : of its cells
    """

    def __init__(self, text: str, separator: str) -> None:
        bare = without_comments(sample_of(text))
        rows = rows_of(bare, separator)
        widths = Counter(map(len, rows)).most_common(1)
        self.separator = separator
        self.width = widths[0][0] if widths else 1
        self.has_header = bool(rows) and any(map(is_known_name, rows[0]))
        self.at_start = True
        self.dropped: list[int] = []

    def blanked(self, lines: Iterator[str]) -> Iterator[str]:
        """The same lines with an empty one for each comment, so that numbers hold.

        Whoever reads them sets `at_start` when a row is complete: a line within a
        quoted cell is no comment.
        """
        is_above_all = True
        for number, line in enumerate(lines, start=1):
            if self.at_start and self._is_comment(line, is_above_all):
                self.dropped.append(number)
                yield "\n"
                continue
            if line.strip():
                is_above_all = False
            self.at_start = False
            yield line

    def _is_comment(self, line: str, is_above_all: bool) -> bool:
        if not line.startswith("#"):
            return False
        is_spaced = line[1:2] in " \t#!\r\n"
        # A row may begin so whose next cell has a line break.
        if line.count('"') % 2:
            return False
        if is_above_all and self.has_header:
            return True
        cells = line.split(self.separator)
        if self.width == 1:
            return is_spaced
        is_alone = not "".join(cells[1:]).strip()
        is_other = len(cells) != self.width or is_alone or is_above_all
        return len(cells) < self.width or (is_spaced and is_other)
