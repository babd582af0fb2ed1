"""Cells, columns and names of tables as a page shows them."""

from __future__ import annotations

import itertools
import re

from markupsafe import Markup

from ensemble.reporting.section import Cell, Player, Section, Strip, TextTable
from ensemble.screen.literal import literal

_NUMBER = re.compile(r"[<>≈]?\s*[-+\N{MINUS SIGN}]?\d[\d.,]*")
_BRACKETS = re.compile(r"\[[^\]]*\]")
_NO_BREAK = "\N{NO-BREAK SPACE}"
_TEXT = Markup(' class="t"')


def shown(text: str) -> str:
    """A text in which characters that turn its direction are written out.

    An interval is never broken in the middle.

    >>> shown("0.871 [0.80, 0.92]") == "0.871 [0.80,\N{NO-BREAK SPACE}0.92]"
    True
    """
    return _BRACKETS.sub(
        lambda found: found.group().replace(" ", _NO_BREAK), literal(text)
    )


def column_kinds(table: TextTable) -> list[str]:
    """The class of each column's cells: none for numbers, or that of text."""
    return [
        "" if _has_numbers([row.cells[k] for row in table.rows]) else _TEXT
        for k in range(len(table.columns))
    ]


def level_places(table: TextTable) -> list[tuple[str, int, list[str]]]:
    """`TextTable.levels`, each with the number of its first column."""
    widths = [len(titles) for _, titles in table.levels]
    firsts = itertools.accumulate(widths, initial=0)
    return [
        (level, first, titles)
        for (level, titles), first in zip(table.levels, firsts, strict=False)
    ]


def sort_key(cell: Cell) -> str:
    """What a cell is sorted by where that is not its text, as an attribute."""
    if isinstance(cell, Strip):
        return Markup(f' data-sort="{cell.mean:.6g}"')
    if isinstance(cell, Player):
        return Markup(' data-sort="{}"').format(cell.label)
    return ""


def table_name(section: Section, number: int) -> str:
    """What a screen reader calls the `number`-th table of a section."""
    title = literal(section.title) or "Table"
    return f"{title}, table {number}" if len(section.tables) > 1 else f"{title}, table"


def _has_numbers(cells: list[Cell]) -> bool:
    """Whether at least half of what stands in a column begins with a number."""
    texts = [c for c in cells if isinstance(c, str) and c not in ("", "-")]
    numbers = sum(bool(_NUMBER.match(text)) for text in texts)
    return bool(texts) and 2 * numbers >= len(texts)
