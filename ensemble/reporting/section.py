"""Section: one part of a report, from which the page and the terminal both draw.

A module in `ensemble.reporting.sections` makes the sections of one kind from a
`ReportContent`; `page.py` and `terminal.py` show whatever is in them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meta.comparison.compared_rows import ComparedRows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Record = Mapping[str, Any]
"""A row of a table in report.json: column to value, None where it is undefined."""


@dataclass(frozen=True, eq=False)
class ReportContent:
    """What sections are made from.

    Parameters
    ----------
    values : the values of report.json, see artifacts/README.md
    compared : the rows of the verdict with their scores, for the pictures that show
        single clips; None for a report that was read from its file
    """

    values: Mapping[str, Any]
    compared: ComparedRows | None = None


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of the page.

    Parameters
    ----------
    text : plain text
    lead : the first words of the text, which are set in bold; "" for none
    kind : its style, ``"demo"``, ``"leak"``, ``"verdict"`` or ``"small"``; "" for a
        plain paragraph
    """

    text: str
    lead: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    title : of the column
    level : ``"utterance"`` or ``"system"`` for a metric, which stands below the level's
        name; "" for any other column
    """

    title: str
    level: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Parameters
    ----------
    cells : as many texts as there are columns
    kind : its style, ``"stack"`` or ``"ceiling"``; "" for a plain row
    """

    cells: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Parameters
    ----------
    columns, rows : of the table
    title, note : what stands above and below it on the terminal; on the page, the
        section says it
    small : in small print: what is of little use to most readers
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    title: str = ""
    note: str = ""
    small: bool = False

    @classmethod
    def plain(cls, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> TextTable:
        """A table in which no column and no row is special."""
        columns = tuple(Column(title) for title in titles)
        return cls(columns, tuple(Row(tuple(cells)) for cells in rows))

    @property
    def levels(self) -> list[tuple[str, list[str]]]:
        """Each level with its titles, from left to right; other columns singly."""
        parts: list[tuple[str, list[str]]] = []
        for level, columns in itertools.groupby(self.columns, lambda c: c.level):
            titles = [column.title for column in columns]
            if level:
                parts.append((level, titles))
            else:
                parts.extend(("", [title]) for title in titles)
        return parts


@dataclass(frozen=True)
class Drawing:
    """A picture that is drawn when the page is made.

    Parameters
    ----------
    title : above the picture
    draw : draws it on matplotlib's axes
    """

    title: str
    draw: Callable[[Axes], None]


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Parameters
    ----------
    title : heading on the page, or "" for a part without one
    paragraphs, drawings, tables : what the page shows, in this order
    opening_lines : what the terminal says before any table
    screen_tables : tables of the terminal, which has less room than the page
    closing_lines : what the terminal says below the tables
    """

    title: str = ""
    paragraphs: tuple[Paragraph, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[TextTable, ...] = ()
    opening_lines: tuple[str, ...] = ()
    screen_tables: tuple[TextTable, ...] = ()
    closing_lines: tuple[str, ...] = ()
