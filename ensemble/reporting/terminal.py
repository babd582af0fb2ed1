"""A report on the terminal: lines, and tables that fit a screen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from ensemble.reporting.section import Section, TextTable

_UNBOUND = 10_000


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


def screen_tables(sections: Sequence[Section]) -> Iterator[ScreenTable]:
    """The tables of all sections."""
    for section in sections:
        for table in section.screen_tables:
            yield ScreenTable(table)


@dataclass(frozen=True)
class ScreenTable:
    """A table for rich to print: side by side, or its levels below each other.

    Parameters
    ----------
    table : what is shown
    """

    table: TextTable

    @property
    def whole(self) -> Table:
        """All columns side by side."""
        return _rich_table(self.table)

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """Yield one table where the terminal is wide enough, else one per level."""
        whole = self.whole
        # A measure is cut to the width of the options, so these must not bind.
        unbound = options.update(max_width=_UNBOUND)
        width = console.measure(whole, options=unbound).maximum
        parts = list(self._parts())
        if width <= options.max_width or len(parts) < 2:
            yield whole
            return
        for part in parts:
            yield _rich_table(part)

    def _parts(self) -> Iterator[TextTable]:
        """The columns of each level beside those of none, under one title."""
        columns = self.table.columns
        levels = list(dict.fromkeys(c.level for c in columns if c.level))
        for level in levels:
            kept = [k for k, c in enumerate(columns) if c.level in ("", level)]
            rows = [
                replace(row, cells=tuple(row.cells[k] for k in kept))
                for row in self.table.rows
            ]
            yield replace(
                self.table,
                columns=tuple(columns[k] for k in kept),
                rows=tuple(rows),
                title=self.table.title if level == levels[0] else "",
                note=self.table.note if level == levels[-1] else "",
            )


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
