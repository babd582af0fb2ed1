"""Cells of text that a spreadsheet would run as formulas, and how they are written.

A clip called ``=HYPERLINK(…)`` is a name here and a command in a spreadsheet. Such
cells are written with an apostrophe in front, which spreadsheets take for a mark of
text, and are read without it. Cells that begin with apostrophes before such a character
get another one, so that every cell is read as it was before it was written.

Sources: OWASP, "CSV Injection"; the characters are those that it names.
"""

from __future__ import annotations

import re

from base_models.clips.text_table import parse_number

# Those of full width are read as their usual kin in some languages.
_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")  # noqa: RUF001
_WRITTEN = re.compile("'+[=+\\-@\t\r\n＝＋－＠]")  # noqa: RUF001


def safe_cell(cell: str) -> str:
    """A cell of text as a file for spreadsheets has it; numbers stay as they are.

    >>> safe_cell("=1+1"), safe_cell("-3.5"), safe_cell("a-b"), safe_cell("'=x")
    ("'=1+1", '-3.5', 'a-b', "''=x")
    """
    is_formula = _FORMULA.match(cell) is not None
    return f"'{cell}" if is_formula and parse_number(cell) is None else cell


def original_cell(cell: str) -> str:
    """The cell that `safe_cell` was given.

    >>> original_cell("'=1+1"), original_cell("-3.5"), original_cell("'90s")
    ('=1+1', '-3.5', "'90s")
    """
    return cell[1:] if _WRITTEN.match(cell) else cell
