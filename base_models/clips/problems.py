"""What is wrong with the rows of a table: all of it, in one list.

A person who mends a spreadsheet wants every wrong cell at once, with its place and the
cure. Readers of rows therefore collect `Problems` and raise them together; what is
wrong with a table as a whole (no file, no columns) stays a `UsageError` at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from base_models.clip_status import BAD_ROW
from base_models.clips.text_table import TextTable
from base_models.errors import UsageError
from base_models.files import atomic_write

SHOWN = 20
"""As many problems are shown on a screen; a file takes them all."""
_MESSAGE_LENGTH = 500
_SHOWN_LETTERS = 60


@dataclass(frozen=True)
class Problem:
    """One cell, or one row, that cannot be used.

    Parameters
    ----------
    file, line : where it stands
    column : its column, "" where it is about a whole row
    value : the cell as it was read
    what : what is wrong, without the value, in words that are the same for all problems
        of a kind, as in ``"mi is no number in 1..5"``
    cure : what to do about it, a sentence
    unit : what `line` counts: ``"line"``, or ``"row"`` in a binary file
    message : what is wrong with this cell, where it says more than `what`
    status : the same in one word, of `base_models.clip_status.STATUSES`
    """

    file: str
    line: int
    column: str
    value: str
    what: str
    cure: str = ""
    unit: str = "line"
    message: str = ""
    status: str = BAD_ROW

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}, {self.unit} {self.line}"

    def __str__(self) -> str:
        text = f"{self.place}: {self.message or self.what}"
        return f"{text.rstrip('.')}. {self.cure}".rstrip()

    def to_json(self) -> dict[str, str | int]:
        """The fields of a line of a file of problems."""
        return {
            "file": self.file,
            self.unit: self.line,
            "column": self.column,
            "value": self.value,
            "problem": self.what,
            "cure": self.cure,
        }


def problem_in(
    table: TextTable,
    row: int,
    column: str,
    *,
    value: str,
    what: str,
    cure: str = "",
    message: str = "",
    status: str = BAD_ROW,
) -> Problem:
    """The problem of a cell of row `row`, from 0, with its place; see `Problem`."""
    file, number = table.locations[row]
    return Problem(
        str(file),
        number,
        column,
        value=table.as_written(column, row, value),
        what=what,
        cure=cure,
        unit=table.unit,
        message=message,
        status=status,
    )


@dataclass
class Problems:
    """The problems of one table, in the order in which they were found.

    Parameters
    ----------
    n_rows : how many rows the table has
    found : the problems, with the number of the row of each, from 0
    """

    n_rows: int
    found: list[tuple[int, Problem]] = field(default_factory=list)

    def add(self, row: int, problem: Problem) -> None:
        """Add the problem of a row."""
        self.found.append((row, problem))

    @property
    def rows(self) -> set[int]:
        """Rows that have a problem."""
        return {row for row, _ in self.found}

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[Problem]:
        return (problem for _, problem in self.found)

    def raise_if_any(self) -> None:
        """Raise the problems together.

        Raises
        ------
        TableProblems
        """
        if self.found:
            raise TableProblems(list(self), self.n_rows)


class TableProblems(UsageError):
    """Rows of a table cannot be used; `problems` has them all.

    Parameters
    ----------
    problems : at least one
    n_rows : how many rows the table has
    """

    exit_code = 3

    def __init__(self, problems: Sequence[Problem], n_rows: int) -> None:
        self.problems = list(problems)
        self.n_rows = n_rows
        super().__init__(self._message())

    def after(self, others: Problems) -> TableProblems:
        """The same together with the problems of another table, which come first."""
        # Clips may be those of the ratings themselves, whose rows are counted once.
        files = {problem.file for problem in self.problems}
        is_other = not files & {problem.file for problem in others}
        n_rows = self.n_rows + (others.n_rows if others and is_other else 0)
        return TableProblems(list(dict.fromkeys([*others, *self.problems])), n_rows)

    def groups(self) -> list[list[Problem]]:
        """The problems of each kind, in the order of the first of each."""
        by_kind: dict[tuple[str, str], list[Problem]] = {}
        for problem in self.problems:
            kind = (problem.column, problem.what)
            by_kind.setdefault(kind, []).append(problem)
        return list(by_kind.values())

    def title(self, group: Sequence[Problem]) -> str:
        """What is wrong with so many of the rows, as a line of a list."""
        # Rows are counted, of which one may have several problems of a kind.
        lines = {(problem.file, problem.line) for problem in group}
        return f"{len(lines):,} of {_rows(self.n_rows)}: {group[0].what}"

    def lines(self, limit: int = SHOWN) -> list[str]:
        """The list for a screen: each kind once, with the places of its problems.

        Parameters
        ----------
        limit : as many problems are listed: the first of each kind, and more of the
            first kinds
        """
        listed: list[str] = []
        groups = self.groups()
        # A kind without any place would be of no use.
        remaining = limit - len(groups)
        for group in groups:
            cure = f". {group[0].cure}" if group[0].cure else ""
            listed.append(f"{self.title(group)}{cure}")
            n_shown = 1 + min(max(remaining, 0), len(group) - 1)
            for problem in group[:n_shown]:
                value = f": {_quoted(problem.value)}" if problem.value else ""
                listed.append(f"  {self._place(problem)}{value}")
            remaining -= n_shown - 1
        return listed

    @property
    def file(self) -> str:
        """The file that all problems are in, or "" where they are in several."""
        files = {problem.file for problem in self.problems}
        return files.pop() if len(files) == 1 else ""

    def _place(self, problem: Problem) -> str:
        return f"{problem.unit} {problem.line}" if self.file else problem.place

    def _message(self) -> str:
        """One line, of one problem or of the kinds of many."""
        if len(self.problems) == 1:
            return str(self.problems[0])
        # The file is named once, in front, where all problems are in one.
        parts = [f"{self.file}:"] if self.file else []
        for group in self.groups():
            value = f": {_quoted(group[0].value)}" if group[0].value else ""
            cure = f" {group[0].cure}" if group[0].cure else ""
            first = f"first in {self._place(group[0])}{value}"
            parts.append(f"{self.title(group)} ({first}).{cure}")
        text = " ".join(parts)
        if len(text) > _MESSAGE_LENGTH:
            text = f"{text[: _MESSAGE_LENGTH - 2].rstrip()} …"
        return text


def _quoted(value: str) -> str:
    """A cell as a screen has it: short, and with its backslashes as they are."""
    shown = value if len(value) <= _SHOWN_LETTERS else f"{value[:_SHOWN_LETTERS]}…"
    return f"'{shown}'" if shown.isprintable() else repr(shown)


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def write_problems(path: Path | str, problems: Sequence[Problem]) -> None:
    """Write problems as jsonl, one a line; the file is whole or not there.

    Parameters
    ----------
    path : the file
    problems : none for an empty file, which says that there are none
    """
    lines = [json.dumps(one.to_json(), ensure_ascii=False) for one in problems]
    atomic_write(path, "".join(f"{line}\n" for line in lines).encode())
