"""A report on the terminal: lines, and tables that fit a screen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from ensemble.reporting.section import Section, TextTable


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


def screen_tables(sections: Sequence[Section]) -> Iterator[Table]:
    """The tables of all sections."""
    for section in sections:
        for table in section.screen_tables:
            yield _rich_table(table)


def _rich_table(table: TextTable) -> Table:
    # Names are passed as Text: brackets in them are no markup of rich's.
    shown = Table(
        title=Text(table.title, style="italic"),
        title_justify="left",
        caption=Text(table.note) if table.note else None,
        caption_justify="left",
        # A terminal has no smaller print than fainter one.
        style="dim" if table.small else "none",
    )
    for column in table.columns:
        if column.level:
            title = f"{column.level[:3]} {column.title}"
            shown.add_column(title, justify="right", overflow="fold")
        else:
            shown.add_column(column.title, no_wrap=True)

    # A line parts the aspects, which stand in the first column.
    for _, rows in itertools.groupby(table.rows, key=lambda row: row.cells[0]):
        for row in rows:
            style = "bold" if row.kind == "stack" else None
            shown.add_row(*(Text(cell) for cell in row.cells), style=style)
        shown.add_section()
    return shown
