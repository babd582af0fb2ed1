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
_LONGEST_WORD = 28
"""Characters that stand in one line of a cell, however narrow its column is."""
_LONG_WORD = re.compile(rf"\S{{{_LONGEST_WORD + 1},}}")
_PART = re.compile(rf"[^_\-./]{{1,{_LONGEST_WORD}}}[_\-./]*|[_\-./]+")
_BREAK = Markup("<wbr>")
_LONG = Markup('<span class="long">{}</span>')


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
    """The text of a cell, in which only words may break that are longer than a line.

    >>> cell_text("a <b>")
    Markup('a &lt;b&gt;')
    >>> cell_text("x" * 29)
    Markup('<span class="long">xxxxxxxxxxxxxxxxxxxxxxxxxxxx<wbr>x</span>')
    """
    parts = []
    done = 0
    words = shown(text)
    for found in _LONG_WORD.finditer(words):
        parts.append(escape(words[done : found.start()]))
        broken = _BREAK.join(_PART.findall(found.group()))
        parts.append(_LONG.format(broken))
        done = found.end()
    parts.append(escape(words[done:]))
    return Markup("").join(parts)


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
    """
    leading = list(itertools.takewhile(lambda k: is_text[k], range(len(columns))))
    n_names = [len({c for c in columns[k] if isinstance(c, str)}) for k in leading]
    return n_names.index(max(n_names)) if n_names else 0


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
