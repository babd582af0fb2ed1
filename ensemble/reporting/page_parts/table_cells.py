"""Cells, columns and names of tables as a page shows them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from ensemble.reporting.section import Cell, Player, Section, Strip, TextTable
from ensemble.screen.literal import literal

_BRACKETS = re.compile(r"\[[^\]]*\]")
_NO_BREAK = "\N{NO-BREAK SPACE}"
_SHORT = 28
"""Characters of a name that stands in one line, however narrow its column is."""
_NAME = 60
"""Characters from which on a text is prose, such as a prompt."""
_LONG_WORD = re.compile(rf"\S{{{_SHORT + 1},}}")
_PART = re.compile(rf"[^_\-./]{{1,{_SHORT}}}[_\-./]*|[_\-./]+")
_BREAK = Markup("<wbr>")
_LONG = Markup('<span class="{}">{}</span>')


@dataclass(frozen=True)
class PageColumn:
    """How a column of a table is shown.

    Parameters
    ----------
    is_text : whether its cells are texts, which begin at the left, and not numbers
    is_head : whether its cells name their rows
    is_sortable : whether rows have an order by it
    """

    is_text: bool
    is_head: bool
    is_sortable: bool

    @property
    def css(self) -> str:
        """The attribute of its cells: none for numbers, for most are."""
        return Markup(' class="t"') if self.is_text else ""


def shown(text: str) -> str:
    """A text in which characters that turn its direction are written out.

    An interval is never broken in the middle.

    >>> shown("0.871 [0.80, 0.92]") == "0.871 [0.80,\N{NO-BREAK SPACE}0.92]"
    True
    """
    return _BRACKETS.sub(
        lambda found: found.group().replace(" ", _NO_BREAK), literal(text)
    )


def cell_text(text: str) -> Markup:
    """The text of a cell; a long one has a width of its own, and breaks in it.

    >>> cell_text("a <b>")
    Markup('a &lt;b&gt;')
    >>> cell_text("x" * 29)
    Markup('<span class="long">xxxxxxxxxxxxxxxxxxxxxxxxxxxx<wbr>x</span>')
    """
    words = shown(text)
    if len(words) <= _SHORT:
        return escape(words)
    parts = []
    done = 0
    for found in _LONG_WORD.finditer(words):
        parts.append(escape(words[done : found.start()]))
        parts.append(_BREAK.join(_PART.findall(found.group())))
        done = found.end()
    parts.append(escape(words[done:]))
    kind = "long" if len(words) <= _NAME else "long prose"
    return _LONG.format(kind, Markup("").join(parts))


def columns_of(table: TextTable) -> list[PageColumn]:
    """How each column is shown."""
    columns = [[row.cells[k] for row in table.rows] for k in range(len(table.columns))]
    # Strips are aligned and sorted as the numbers that they show.
    is_text = [
        not (numbers or any(isinstance(cell, Strip) for cell in cells))
        for numbers, cells in zip(table.of_numbers, columns, strict=True)
    ]
    head = _head(columns, is_text)
    return [
        PageColumn(
            is_text=is_text[k],
            is_head=k == head,
            is_sortable=not any(isinstance(cell, Player) for cell in cells),
        )
        for k, cells in enumerate(columns)
    ]


def _head(columns: Sequence[Sequence[Cell]], is_text: Sequence[bool]) -> int:
    """The number of the column that names the rows: the one that tells most apart.

    Of the columns of text at the left, as the aspect alone names no row of a board.
    They may follow one of numbers, such as ranks.
    """
    first = 0 if is_text[:1] == [True] else 1
    numbers = range(first, len(columns))
    names = list(itertools.takewhile(lambda k: is_text[k], numbers))
    n_names = [len({c for c in columns[k] if isinstance(c, str)}) for k in names]
    return names[n_names.index(max(n_names))] if names else 0


def level_places(table: TextTable) -> list[tuple[str, int, list[str]]]:
    """`TextTable.levels`, each with the number of its first column."""
    widths = [len(titles) for _, titles in table.levels]
    firsts = itertools.accumulate(widths, initial=0)
    return [
        (level, first, titles)
        for (level, titles), first in zip(table.levels, firsts, strict=False)
    ]


def sort_key(cell: Cell) -> str:
    """What a strip is sorted by, as an attribute; texts are sorted by themselves."""
    if isinstance(cell, Strip):
        return Markup(f' data-sort="{cell.mean:.6g}"')
    return ""


def table_name(section: Section, number: int) -> str:
    """What a screen reader calls the `number`-th table of a section."""
    title = literal(section.title) or "Table"
    return f"{title}, table {number}" if len(section.tables) > 1 else f"{title}, table"
