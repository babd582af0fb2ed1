"""Tables for a terminal that show names as they are, and fit its width."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from base_models.errors import in_the_middle
from ensemble.screen.literal import literal

_NO_LIMIT = 10_000
_SHORTEST_NAME = 12
"""Names are not cut to fewer characters than these."""


class LiteralTable(Table):
    """A table whose cells mean nothing but themselves, of the columns that fit.

    Parameters
    ----------
    names : how many columns at the left name a row, and always stay
    together : how many of the other columns belong together and stay or go as one
    importance : headers of the other columns, the one to keep longest first; those that
        are not listed follow from left to right
    parts : tables with some of the columns each, which are shown below each other where
        there is no room for all of them
    elsewhere : where columns that do not fit can be found, for the line that says so
    options : of `rich.table.Table`
    """

    def __init__(
        self,
        *,
        names: int = 1,
        together: int = 1,
        importance: Sequence[str] = (),
        parts: Sequence[LiteralTable] = (),
        elsewhere: str = "a wider terminal or a pipe shows them",
        **options: Any,
    ) -> None:
        self.names = names
        self._together = together
        self._importance = tuple(" ".join(name.split()) for name in importance)
        self._elsewhere = elsewhere
        self.parts = tuple(parts)
        self._options = {"title_justify": "left", "caption_justify": "left", **options}
        self._columns_added: list[tuple[str, dict[str, Any]]] = []
        self._rows_added: list[tuple[tuple[Text, ...], dict[str, Any]] | None] = []
        super().__init__(**self._options)

    def add_column(self, header: Any = "", *args: Any, **options: Any) -> None:
        """Add a column."""
        self._columns_added.append((str(header), options))
        super().add_column(Text(str(header)), *args, **options)

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row of texts, in which nothing is markup."""
        shown = tuple(_shown(cell) for cell in cells)
        self._rows_added.append((shown, options))
        super().add_row(*shown, **options)

    def add_section(self) -> None:
        """Draw a line below the last row."""
        self._rows_added.append(None)
        super().add_section()

    def fitted(self, console: Console, width: int) -> Table:
        """The table with the columns that fit; no cell of numbers is ever cut.

        Parameters
        ----------
        console : measures texts
        width : in characters
        """
        natural = console.options.update(max_width=_NO_LIMIT)
        if Measurement.get(console, natural, self).maximum <= width:
            return self

        order = self._by_importance()
        # The least important column goes first; a row of names alone says nothing.
        while len(order) > self.names + self._together:
            if least_width(console, self._of_columns(order)) <= width:
                break
            del order[-self._together :]
        fitted = self._of_columns(order, note=self._note(order))
        widths = fitted._name_widths(console, width)
        return fitted._with_names_of(widths)

    def _name_widths(self, console: Console, width: int) -> list[int]:
        """How wide names may be where all other columns are whole."""
        spare = width - least_width(console, self)
        widths = []
        for left, column in enumerate(self.columns[: self.names]):
            # Set by `least_width`, to what is needed or what is legible.
            assert column.width is not None
            share = spare // (self.names - left)
            more = max(0, min(share, _longest(console, column) - column.width))
            widths.append(column.width + more)
            spare -= more
        return widths

    def _by_importance(self) -> list[int]:
        """Numbers of all columns, the one to keep longest first."""
        headers = [" ".join(header.split()) for header, _ in self._columns_added]
        rank = {name: place for place, name in enumerate(self._importance)}
        # What belongs together is as important as its first column.
        groups = [
            range(first, first + self._together)
            for first in range(self.names, len(headers), self._together)
        ]
        groups.sort(key=lambda group: rank.get(headers[group[0]], len(rank)))
        return [*range(self.names), *itertools.chain.from_iterable(groups)]

    def _note(self, kept: Sequence[int]) -> str:
        hidden = [
            " ".join(header.split())
            for k, (header, _) in enumerate(self._columns_added)
            if k not in kept
        ]
        if not hidden:
            return ""
        return f"not shown at this width: {', '.join(hidden)}; {self._elsewhere}"

    def _with_names_of(self, widths: Sequence[int]) -> LiteralTable:
        """The same with names of these widths, cut where they still differ."""
        rows: list[tuple[tuple[Text, ...], dict[str, Any]] | None] = []
        for row in self._rows_added:
            if row is None:
                rows.append(None)
                continue
            cells, options = row
            names = zip(cells, widths, strict=False)
            short = [_cut(cell, longest) for cell, longest in names]
            rows.append(((*short, *cells[self.names :]), options))

        before = {_key(row, self.names) for row in self._rows_added}
        if len({_key(row, self.names) for row in rows}) < len(before):
            rows = self._rows_added
        table = self._copy(self._columns_added, rows)
        for column, width in zip(table.columns, widths, strict=False):
            column.width = width
        return table

    def _of_columns(self, kept: Iterable[int], note: str = "") -> LiteralTable:
        columns = [self._columns_added[k] for k in sorted(kept)]
        rows = [
            row and (tuple(row[0][k] for k in sorted(kept) if k < len(row[0])), row[1])
            for row in self._rows_added
        ]
        return self._copy(columns, rows, note)

    def _copy(
        self,
        columns: Iterable[tuple[str, dict[str, Any]]],
        rows: Iterable[tuple[tuple[Text, ...], dict[str, Any]] | None],
        note: str = "",
    ) -> LiteralTable:
        # What was set after the table was made counts, too.
        options = {**self._options, "title": self.title, "caption": self.caption}
        if note:
            above = [str(self.caption)] if self.caption else []
            options["caption"] = Text("\n".join([*above, note]))
        table = LiteralTable(
            names=self.names,
            together=self._together,
            importance=self._importance,
            elsewhere=self._elsewhere,
            **options,
        )
        for header, settings in columns:
            table.add_column(header, **settings)
        for row in rows:
            if row is None:
                table.add_section()
            else:
                table.add_row(*row[0], **row[1])
        return table


def _shown(cell: Any) -> Text:
    if isinstance(cell, Text):
        return Text(literal(cell.plain), style=cell.style)
    return Text(literal(str(cell)))


def _cut(cell: Text, longest: int) -> Text:
    return Text(in_the_middle(cell.plain, longest), style=cell.style)


def _key(row: tuple[tuple[Text, ...], Any] | None, names: int) -> tuple[str, ...]:
    return () if row is None else tuple(cell.plain for cell in row[0][:names])


def least_width(console: Console, table: Table) -> int:
    """The width at which no column is narrower than what may not wrap in it."""
    shortest = max(_SHORTEST_NAME, console.width // 5)
    for column in table.columns:
        # rich itself shortens such cells where columns do not fit.
        if column.no_wrap:
            column.min_width = _longest(console, column)
    # Names wrap, but not to slivers. A width that is set is left as it is by rich.
    names = table.columns[: table.names] if isinstance(table, LiteralTable) else []
    for column in names:
        if column.width is None:
            column.width = min(_longest(console, column), shortest)
    unlimited = console.options.update(max_width=_NO_LIMIT)
    return Measurement.get(console, unlimited, table).minimum


def _longest(console: Console, column: Column) -> int:
    """The width that the longest cell of a column has in one line."""
    unlimited = console.options.update(max_width=_NO_LIMIT)
    cells = [column.header, *column.cells]
    return max(Measurement.get(console, unlimited, cell).maximum for cell in cells)
