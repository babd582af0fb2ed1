"""From rows of cells to a table: its header, its columns, and what is left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from base_models.clips.problems import Problem, Problems
from base_models.clips.tables.header import (
    column_names,
    has_second_row,
    header_position,
    identifies_clips,
    is_rated_name,
    is_textual_name,
    names_of_two_rows,
    names_without_header,
)
from base_models.clips.tables.limits import check_extent
from base_models.clips.tables.notation import (
    answers_in_plain_form,
    in_plain_form,
    is_doubtful,
    readings,
)
from base_models.clips.text_table import TextTable
from base_models.errors import some

_SUMMARY = re.compile(
    "mean|average|avg|median|total|sum|std|stdev|n|count|mittelwert|durchschnitt|summe"
    "|gesamt|gesamtergebnis|moyenne|średnia|suma|promedio|ø",
    re.IGNORECASE,
)
_FEWEST_ROWS = 3
_UNNAMED = re.compile(r"\s*|unnamed[:_ ]+\d+(\.\d+)?", re.IGNORECASE)


@dataclass
class Grid:
    """Rows of cells as they stand in a file, before it is known what they mean.

    Parameters
    ----------
    path : of the file, for messages
    rows : m lists of cells, of any lengths
    numbers : m numbers of lines or rows in the file
    unit : what is counted, see `TextTable`
    notes : what was guessed so far, in fragments of a sentence
    is_list : whether the file is of a kind that usually has no header
    has_header : whether a row names the columns, as soon as that is known
    written : columns whose numbers are rewritten, as they stand in the file
    """

    path: Path
    rows: list[list[str]]
    numbers: list[int]
    unit: str = "line"
    notes: list[str] = field(default_factory=list)
    is_list: bool = False
    has_header: bool = True
    written: dict[str, list[str]] = field(default_factory=dict)

    def to_table(self) -> TextTable:
        """The table that the rows make.

        Blank rows, columns without name and cells, and the index that data frames write
        are left out, and said in the notes; rows keep their line numbers. Numbers in
        another notation are rewritten, see `base_models.clips.tables.notation`.

        Raises
        ------
        UsageError
            when a name stands twice, rows have more or fewer cells than the header, or
        the table is too large.
        """
        self._drop_blank_rows()
        if not self.rows:
            return TextTable({}, [], unit=self.unit)
        check_extent(self.path, len(self.rows), max(map(len, self.rows)))
        names = self._take_header()
        names = self._fit_widths(names)

        if self.rows:
            columns = [list(cells) for cells in zip(*self.rows, strict=True)]
        else:
            columns = [[] for _ in names]
        kept = self._kept_columns(names, columns)
        final = column_names([names[k] for k in kept], self.path)
        self._drop_summaries(final)
        # Those are the last rows.
        n_rows = len(self.rows)
        cells = {name: columns[k][:n_rows] for name, k in zip(final, kept, strict=True)}
        self._rewrite_numbers(cells)

        locations = [(str(self.path), number) for number in self.numbers]
        return TextTable(
            cells,
            locations,
            unit=self.unit,
            notes=self._sentences(final),
            has_header=self.has_header,
            written=self.written,
        )

    # ---- rows

    def _drop_blank_rows(self) -> None:
        # Most rows begin with a letter or digit.
        is_blank = [
            not (row and row[0].strip()) and not "".join(row).strip()
            for row in self.rows
        ]
        if not any(is_blank):
            return
        with_cells = [
            number
            for row, number, blank in zip(
                self.rows, self.numbers, is_blank, strict=True
            )
            if blank and len(row) > 1
        ]
        self.rows = [
            row for row, blank in zip(self.rows, is_blank, strict=True) if not blank
        ]
        self.numbers = [
            number
            for number, blank in zip(self.numbers, is_blank, strict=True)
            if not blank
        ]
        # Empty lines are no rows to anyone, and a sheet may end with any number.
        if with_cells and self.unit == "line":
            self.notes.append(f"{counted(with_cells, 'blank row')} left out")

    def _drop_summaries(self, names: Sequence[str]) -> None:
        """Leave out last rows such as "Mean", which sum up a table of clips.

        They hold no text but that word: a clip may be called so, or a system of one.
        """
        textual = [k for k, name in enumerate(names) if is_textual_name(name)]
        is_of_clips = any(map(identifies_clips, names))
        while is_of_clips and len(self.rows) > _FEWEST_ROWS:
            row = [cell.strip() for cell in self.rows[-1]]
            first = next(filter(None, row), "")
            texts = {row[k] for k in textual} - {""}
            has_numbers = any(map(readings, row))
            is_summary = _SUMMARY.fullmatch(first.rstrip(":")) and has_numbers
            if not is_summary or texts - {first}:
                return
            self.notes.append(
                f"{self.unit} {self.numbers[-1]} ('{first}') sums up others, and is "
                "left out"
            )
            del self.rows[-1]
            del self.numbers[-1]

    def _take_header(self) -> list[str]:
        """The names in the header, which is taken from the rows."""
        position = header_position(self.rows, self.is_list)
        if position is None:
            self.has_header = False
            names = names_without_header(self.rows)
            return names

        if position > 0:
            self.notes.append(
                f"the header is in {self.unit} {self.numbers[position]}, below "
                f"{some(self.rows[0][:1], 1)}"
            )
        header = self.rows[position]
        del self.rows[: position + 1]
        del self.numbers[: position + 1]
        if has_second_row(header, self.rows):
            self.notes.append(
                f"{self.unit}s {self.numbers[0] - 1} and {self.numbers[0]} name the "
                "columns together"
            )
            header = names_of_two_rows(header, self.rows[0])
            del self.rows[0]
            del self.numbers[0]
        return [name.strip() for name in header]

    def _fit_widths(self, names: list[str]) -> list[str]:
        """Names and rows of one width; cells beyond are empty, or an error."""
        width = len(names)
        if all(len(row) == width for row in self.rows):
            return names
        if self._has_index_beside_header(width):
            return ["", *names]

        problems = Problems(len(self.rows))
        standard = "the header" if self.has_header else "the first row"
        n_named = max((k + 1 for k, name in enumerate(names) if name), default=0)
        for k, (row, number) in enumerate(zip(self.rows, self.numbers, strict=True)):
            n_cells = len(row)
            # What lies beyond the header is nobody's, so it must be empty.
            if n_cells > width:
                row = row[:width] + [cell for cell in row[width:] if cell.strip()]
            if len(row) < n_named or len(row) > width:
                problem = Problem(
                    str(self.path),
                    line=number,
                    column="",
                    value="",
                    what="a row has more or fewer cells than the header",
                    unit=self.unit,
                    message=f"{n_cells} cells; {standard} has {width}",
                )
                problems.add(k, problem)
            self.rows[k] = row + [""] * (width - len(row))
        problems.raise_if_any()
        return names

    def _has_index_beside_header(self, width: int) -> bool:
        """Whether each row begins with its number, which the header leaves unnamed."""
        if any(len(row) != width + 1 for row in self.rows):
            return False
        return _counts_rows([row[0] for row in self.rows])

    # ---- columns

    def _kept_columns(
        self, names: Sequence[str], columns: Sequence[Sequence[str]]
    ) -> list[int]:
        """Which columns are none of the index of a data frame and not void."""
        kept = [
            k
            for k, (name, cells) in enumerate(zip(names, columns, strict=True))
            if name or any(cell.strip() for cell in cells)
        ]
        # A table without rows says nothing of its columns.
        if not self.rows:
            return [k for k, name in enumerate(names) if name]
        if len(kept) < len(names):
            n_void = len(names) - len(kept)
            self.notes.append(
                f"{n_void} empty column{'s' if n_void > 1 else ''} left out"
            )

        has_ids = any(identifies_clips(names[k]) for k in kept)
        n_index = 0
        while len(kept) > 1 and _UNNAMED.fullmatch(names[kept[0]]):
            cells = columns[kept[0]]
            is_index = _counts_rows(cells) or (has_ids and _numbers_rows(cells))
            if not is_index:
                break
            n_index += 1
            kept = kept[1:]
        if n_index == 1:
            self.notes.append("the first column, which numbers the rows, left out")
        elif n_index:
            self.notes.append(
                f"the first {n_index} columns, which number the rows, left out"
            )
        return kept

    def _rewrite_numbers(self, columns: dict[str, list[str]]) -> None:
        rewritten = []
        doubtful = []
        for name, cells in columns.items():
            if is_textual_name(name):
                continue
            plain = in_plain_form(cells)
            if plain is None and is_rated_name(name):
                plain = answers_in_plain_form(cells)
            if plain is not None:
                self.written[name] = cells
                columns[name] = plain
                example = next(
                    (old, new)
                    for old, new in zip(cells, plain, strict=True)
                    if old != new
                )
                rewritten.append(f"'{name}' ({example[0].strip()!r} is {example[1]})")
            elif is_doubtful(cells):
                doubtful.append(name)
        if rewritten:
            self.notes.append(f"numbers rewritten in {', '.join(rewritten[:5])}")
        if doubtful:
            self.notes.append(
                f"numbers in {some(doubtful)} can be read in two ways, as long as no "
                "scale tells"
            )

    def _sentences(self, names: Sequence[str]) -> tuple[str, ...]:
        notes = []
        if self.notes:
            notes.append(f"{self.path.name}: {'; '.join(self.notes)}")
        if not self.has_header:
            notes.append(
                f"{self.path.name} has no header; columns are taken as {some(names)}"
            )
        return tuple(notes)


def counted(numbers: Sequence[int], what: str, unit: str = "line") -> str:
    """How many of something there are, and where the first of them is.

    >>> counted([3, 8], "blank row")
    '2 blank rows (first in line 3)'
    """
    if len(numbers) == 1:
        return f"1 {what} ({unit} {numbers[0]})"
    return f"{len(numbers)} {what}s (first in {unit} {numbers[0]})"


def _counts_rows(cells: Sequence[str]) -> bool:
    """Whether cells are 0, 1, 2 … or 1, 2, 3 …"""
    n_rows = len(cells)
    return n_rows > 0 and any(
        all(cell.strip() == str(k) for k, cell in enumerate(cells, start))
        for start in (0, 1)
    )


def _numbers_rows(cells: Sequence[str]) -> bool:
    """Whether cells are whole numbers, all different, as of a data frame's part."""
    return all(cell.isdecimal() for cell in cells) and len(set(cells)) == len(cells)
