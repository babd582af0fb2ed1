"""The list of all rows of a table that cannot be used: on the screen, and in a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ensemble.screen.streams import is_verbose, write_notes

if TYPE_CHECKING:
    from base_models.clips.problems import Problem, TableProblems


@dataclass
class _State:
    """What holds for the command that is running: the file of ``--problems``."""

    file: str | None = None


_STATE = _State()


def list_problems_in(file: str | None) -> None:
    """Write all problems of this command's tables to a file; None for none."""
    _STATE.file = file


def write_listed(problems: Iterable[Problem] = ()) -> None:
    """Write problems to the file of ``--problems``, where one is named.

    An empty file says that there are none, and is no list of an earlier run.
    """
    if _STATE.file is None:
        return
    from base_models.clips.problems import write_problems

    write_problems(_STATE.file, list(problems))


def show_problems(error: TableProblems, before: str = "error: ") -> None:
    """Print what is wrong with rows: one in a line, many as a list of their kinds.

    Parameters
    ----------
    error : the problems
    before : what the first line begins with
    """
    from base_models.clips.problems import SHOWN

    n_problems = len(error.problems)
    if n_problems == 1:
        write_notes(f"{before}{error}")
        return
    where = f"{error.file}: " if error.file else ""
    write_notes(f"{before}{where}{n_problems} problems")
    shown = n_problems if is_verbose() else SHOWN
    for line in error.lines(shown):
        write_notes(f"  {line}")
    if _STATE.file is not None:
        write_notes(f"  all of them: {_STATE.file}")
    elif n_problems > shown:
        write_notes(
            f"  and {n_problems - shown} more (--problems FILE lists all, -v shows all)"
        )
