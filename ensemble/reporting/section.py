"""Section: one part of a report, from which the page and the terminal both draw.

A module in `ensemble.reporting.sections` makes the sections of one kind from a
`ReportContent`; `page.py` and `terminal.py` show whatever is in them. What stands in a
cell of a table besides text, a strip or a player, has words for the terminal.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from meta.comparison.compared_rows import ComparedRows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ensemble.reporting.answers.answer_content import AnswerContent

Record = Mapping[str, Any]
"""A row of a table in report.json: column to value, None where it is undefined."""
_NUMBER = re.compile(r"[<>≈]?\s*[-+\N{MINUS SIGN}]?\d[\d.,]*")

SUMMARY = "summary"
DECIDE = "decide"
DOUBT = "doubt"
READERS = {
    SUMMARY: "Summary",
    DECIDE: "For who decides",
    DOUBT: "For who doubts",
}
"""Whom a section is for, in the order of the page, with the heading of that part."""


@dataclass(frozen=True, eq=False)
class ReportContent:
    """What sections are made from.

    Parameters
    ----------
    values : the values of report.json, see artifacts/README.md
    compared : the rows of the verdict with their scores, for the pictures that show
        single clips; None for a report that was read from its file
    judged : the clips of the verdict in the words of a report, likewise
    """

    values: Mapping[str, Any]
    compared: ComparedRows | None = None
    judged: AnswerContent | None = None


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of the page.

    Parameters
    ----------
    text : plain text
    lead : the first words of the text, which are set in bold; "" for none
    kind : its style, ``"demo"``, ``"leak"``, ``"verdict"``, ``"warning"`` or
        ``"small"``; "" for a plain paragraph
    """

    text: str
    lead: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Term:
    """A word that not every reader knows, explained where the page uses it first.

    Parameters
    ----------
    word : as it stands in texts and titles, such as ``"PIT"``; whole words are found,
        in this spelling
    meaning : a sentence without a full stop, such as ``"where a rating falls in its
        predicted distribution"``
    """

    word: str
    meaning: str


@dataclass(frozen=True)
class Strip:
    """A predicted distribution as a small picture, its mean and interval marked.

    Parameters
    ----------
    probabilities : of the bins, which are equally wide, from `scale_low` to
        `scale_high`; they sum to 1
    mean, low, high : the score and its interval, on that scale
    scale_low, scale_high : ends of the scale
    level : of the interval, such as 0.9; for the text alternative
    """

    probabilities: tuple[float, ...]
    mean: float
    low: float
    high: float
    scale_low: float = 1.0
    scale_high: float = 5.0
    level: float = 0.9

    @property
    def words(self) -> str:
        """What the picture shows, for who does not see it.

        >>> Strip((0.25, 0.5, 0.25), mean=3, low=1.5, high=4.5).words
        '3.00, 90 % interval 1.50 to 4.50, on a scale of 1 to 5'
        """
        interval = f"{self.level * 100:g} % interval {self.low:.2f} to {self.high:.2f}"
        scale = f"{self.scale_low:g} to {self.scale_high:g}"
        return f"{self.mean:.2f}, {interval}, on a scale of {scale}"


@dataclass(frozen=True)
class Player:
    """The audio of a clip; whether it is in the page is decided by who makes the page.

    Parameters
    ----------
    label : which clip it is, such as its id; read out by screen readers
    path : as `base_models.clips.audio.load_audio` reads it: a file, a segment of one
        (``song.wav#t=60,70``), or a row of a table
    """

    label: str
    path: str

    @property
    def words(self) -> str:
        """Where the audio is."""
        return self.path


Cell: TypeAlias = str | Strip | Player
"""What stands in a cell of a table."""


def cell_words(cell: Cell) -> str:
    """The text of a cell, or what stands for it where only text can be shown.

    >>> cell_words("0.871"), cell_words(Player("a", "wav/a.wav"))
    ('0.871', 'wav/a.wav')
    """
    return cell if isinstance(cell, str) else cell.words


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
    cells : as many as there are columns: texts, strips or players
    kind : its style, ``"stack"``, ``"ceiling"``, ``"constant"`` or ``"fitted"``; "" for
        a plain row. Colour is not read out, so a cell of the row says it too
    """

    cells: tuple[Cell, ...]
    kind: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """The cells as texts."""
        return tuple(map(cell_words, self.cells))


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Parameters
    ----------
    columns, rows : of the table
    title, note : what stands above and below it on the terminal; on the page, the
        section says it
    small : in small print: what is of little use to most readers
    keep : titles of the columns that a narrow terminal keeps longest, besides the first
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    title: str = ""
    note: str = ""
    small: bool = False
    keep: tuple[str, ...] = ()

    @classmethod
    def plain(cls, titles: Sequence[str], rows: Iterable[Sequence[Cell]]) -> TextTable:
        """A table in which no column and no row is special."""
        columns = tuple(Column(title) for title in titles)
        return cls(columns, tuple(Row(tuple(cells)) for cells in rows))

    @property
    def of_numbers(self) -> list[bool]:
        """Of each column, whether it holds numbers and not texts.

        At least half of what stands in it begins with a number: where one is missing, a
        word may say why.
        """
        return [
            _are_numbers([row.cells[k] for row in self.rows])
            for k in range(len(self.columns))
        ]

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


def _are_numbers(cells: Sequence[Cell]) -> bool:
    texts = [c for c in cells if isinstance(c, str) and c not in ("", "-")]
    numbers = sum(bool(_NUMBER.match(text)) for text in texts)
    return bool(texts) and 2 * numbers >= len(texts)


@dataclass(frozen=True)
class Drawing:
    """A picture that is drawn when the page is made.

    Parameters
    ----------
    title : above the picture
    draw : draws it on matplotlib's axes
    words : what it shows, for who does not see it; "" leaves the title alone
    lines : how many lines of names it has, for which it grows; 0 for a picture of the
        usual size
    """

    title: str
    draw: Callable[[Axes], None]
    words: str = ""
    lines: int = 0


@dataclass(frozen=True)
class Provenance:
    """How the numbers of a page came about; what is "" is left out.

    Parameters
    ----------
    command : as it was typed
    version : of this package
    date : of the run, such as ``"2026-03-01 12:30 UTC"``
    data, data_hash : name of what was measured or scored, and SHA-256 of it
    stack, stack_hash : name of the stack, and SHA-256 of all that decides what it
        predicts (`ensemble.hub.stack_contents.prediction_identity`)
    rows_hash : SHA-256 of the rows as they were read, for records; pages have that of
        the data
    """

    command: str = ""
    version: str = ""
    date: str = ""
    data: str = ""
    data_hash: str = ""
    stack: str = ""
    stack_hash: str = ""
    rows_hash: str = ""


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Parameters
    ----------
    title : heading on the page, or "" for a part without one
    paragraphs, points, drawings, tables : what the page shows, in this order; `points`
        are items of a list
    reader : whom it is for, one of `READERS`; the page shows the parts of each reader
        together, in the order in which they come
    terms : words in it that the page explains; each is explained once
    opening_lines : what the terminal says before any table
    screen_tables : tables of the terminal, which has less room than the page
    closing_lines : what the terminal says below the tables
    """

    title: str = ""
    paragraphs: tuple[Paragraph, ...] = ()
    points: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[TextTable, ...] = ()
    reader: str = DOUBT
    terms: tuple[Term, ...] = ()
    opening_lines: tuple[str, ...] = ()
    screen_tables: tuple[TextTable, ...] = ()
    closing_lines: tuple[str, ...] = ()
