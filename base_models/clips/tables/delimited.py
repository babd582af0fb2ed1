"""Text whose cells are separated by commas, semicolons, tabs or bars."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from base_models.clips.tables.encoding import read_any_text
from base_models.clips.tables.grid import Grid, counted
from base_models.clips.tables.header import is_known_name
from base_models.clips.tables.separators import rows_of, separator_of
from base_models.clips.text_table import TextTable, parse_number, split_lines
from base_models.errors import UsageError

_TITLES = {",": "','", ";": "';'", "\t": "tabs", "|": "'|'", " ": "blanks"}
_DECLARATION = re.compile(r'"?sep=(.)"?[ ,;\t]*(\r\n|\n|\r)', re.IGNORECASE)
_COMMENT = re.compile(r"(?:\A|[\r\n])#")


def read_delimited(path: Path) -> TextTable:
    """Read a .csv, .tsv or .txt.

    Raises
    ------
    UsageError
        when the file is no text, a row is not well formed or too short or long, or a
        quoted cell swallows rows (naming the line).
    """
    text, encoding = read_any_text(path)
    suffix = path.suffix.lower()
    grid = Grid(path, [], [], is_list=suffix == ".txt")
    if encoding not in ("UTF-8", "UTF-16"):
        grid.notes.append(f"read as {encoding}")

    # The line by which Excel is told the separator.
    n_before = 0
    declared = _DECLARATION.match(text)
    if declared is not None:
        text = text[declared.end() :]
        n_before = 1
    comments = _Comments.of(text)
    if declared is not None:
        separator = declared[1]
    else:
        sample = comments.removed_from(text) if comments else text
        separator = separator_of(sample, suffix)
    is_usual = separator == ("\t" if suffix == ".tsv" else ",")
    if not is_usual and (suffix != ".txt" or separator in ";|"):
        title = _TITLES.get(separator, repr(separator))
        grid.notes.append(f"separated by {title}")

    _Reading(grid, text, separator, n_before=n_before, comments=comments).run()
    return grid.to_table()
