"""A report on the terminal: lines, and tables that fit a screen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.text import Text

from ensemble.reporting.section import Player, Section, Strip, TextTable
from ensemble.screen.tables import LiteralTable

_IMPORTANCE = ("SRCC", "MSE", "LCC", "KTAU")
"""Which metrics stay longest on a narrow screen."""


def opening_lines(sections: Sequence[Section]) -> Iterator[str]:
    """What is said before any number."""
    for section in sections:
        yield from section.opening_lines


def closing_lines(sections: Sequence[Section]) -> Iterator[str]:
    """What is said below the tables.

    The page begins with what matters most; on a terminal that is the last line. So the
    sections speak in the opposite order here.
    """
    for section in reversed(sections):
        yield from section.closing_lines


def screen_tables(sections: Sequence[Section]) -> Iterator[LiteralTable]:
    """The tables of all sections.

    One whose metrics are at two levels needs some 200 columns; with fewer, its levels
    stand below each other.
    """
    for section in sections:
        for table in section.screen_tables:
            yield literal_table(table, elsewhere="the report has them")


def literal_table(table: TextTable, elsewhere: str) -> LiteralTable:
    """A table for a screen, with one for each of two levels where it is too wide.

    Parameters
    ----------
    table : what is shown
    elsewhere : where columns that do not fit can be found
    """
    table = _of_texts(table)
    parts = [_literal_table(part, elsewhere) for part in _parts(table)]
    if len(parts) == 1:
        return parts[0]
    return _literal_table(table, elsewhere, parts)


def _of_texts(table: TextTable) -> TextTable:
    """The table without columns of pictures and sounds, which a terminal has not."""
    kept = [
        k
        for k in range(len(table.columns))
        if not any(isinstance(row.cells[k], Strip | Player) for row in table.rows)
    ]
    return _with_columns(table, kept)


def _with_columns(table: TextTable, kept: Sequence[int]) -> TextTable:
    """These columns of a table, by number."""
    rows = [replace(row, cells=tuple(row.cells[k] for k in kept)) for row in table.rows]
    columns = tuple(table.columns[k] for k in kept)
    return replace(table, columns=columns, rows=tuple(rows))


def _parts(table: TextTable) -> Iterator[TextTable]:
    """The columns of each level beside those of none, under one title."""
    levels = list(dict.fromkeys(c.level for c in table.columns if c.level))
    if not levels:
        yield table
    for level in levels:
        kept = [k for k, c in enumerate(table.columns) if c.level in ("", level)]
        yield replace(
            _with_columns(table, kept),
            title=table.title if level == levels[0] else "",
            note=table.note if level == levels[-1] else "",
        )


def _literal_table(
    table: TextTable, elsewhere: str, parts: Sequence[LiteralTable] = ()
) -> LiteralTable:
    levels = {column.level[:3] for column in table.columns if column.level}
    metrics = [f"{level} {name}" for level in levels for name in _IMPORTANCE]
    shown = LiteralTable(
        names=sum(not column.level for column in table.columns) if levels else 1,
        importance=[*table.keep, *metrics],
        parts=parts,
        elsewhere=elsewhere,
        title=Text(table.title, style="italic"),
        caption=Text(table.note) if table.note else None,
        # A terminal has no smaller print than fainter one.
        style="dim" if table.small else "none",
    )
    for column, is_number in zip(table.columns, table.of_numbers, strict=True):
        if column.level:
            title = f"{column.level[:3]} {column.title}"
            shown.add_column(title, justify="right", no_wrap=True)
        elif is_number:
            # A number that is broken reads as two; rather its column goes.
            shown.add_column(column.title, justify="right", no_wrap=True)
        else:
            shown.add_column(column.title, overflow="fold")

    # A line parts the aspects, which stand in the first column. Where every row has a
    # first cell of its own, there is nothing to part.
    names = [row.words[0] for row in table.rows]
    has_groups = len(set(names)) < len(names)
    for _, rows in itertools.groupby(table.rows, key=lambda row: row.words[0]):
        for row in rows:
            style = "bold" if row.kind == "stack" else None
            shown.add_row(*row.words, style=style)
        if has_groups:
            shown.add_section()
    return shown
