"""Votes on pairs: two columns of clips or systems, and which of both was preferred."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from base_models.clips.columns import ALIASES, RATING_NAMES, fold_name
from base_models.clips.listening_tests.bradley_terry import BradleyTerry, encode
from base_models.clips.listening_tests.listening_test import (
    ListeningTest,
    rows_where,
)
from base_models.clips.names import AUDIO_SUFFIXES, is_audio_name
from base_models.clips.rows.pair_columns import (
    CLIP_WORDS,
    SYSTEM_WORDS,
    pair_of_columns,
)
from base_models.clips.text_table import TextTable, parse_number
from base_models.errors import UsageError, some
from base_models.scales import Scale

ASPECT = "preference"
"""The label: probability of being preferred to a clip of average score."""

_VERDICTS = (
    "winner",
    "preferred",
    "preference",
    "chosen",
    "choice",
    "vote",
    "better",
    "result",
    "outcome",
    "label",
    "answer",
)
_TIES = frozenset(
    ("tie", "ties", "tied", "draw", "equal", "same", "both", "neither", "none")
) | {"nopreference", "bothbad", "tiebothbad", "="}


@dataclass(frozen=True)
class _Columns:
    """The columns of a table of votes.

    Parameters
    ----------
    first, second : of the two clips of a vote, or of their systems
    verdict : which of both won
    side : what the names of the columns call both, as ``("a", "b")``
    systems : columns of the systems of both clips, where there are some
    are_systems : whether `first` and `second` name systems, so that no clip is known
    has_loser : whether the first always won
    """

    first: str
    second: str
    verdict: str
    side: tuple[str, str]
    systems: tuple[str, str] | None = None
    are_systems: bool = False
    has_loser: bool = False


def are_votes(table: TextTable) -> bool:
    """Whether a table has two columns of items and one of which won.

    A clip table with its own ratings may have columns called so, too.
    """
    if _columns(table) is None:
        return False
    names = {fold_name(name) for name in table.columns}
    describes_clips = bool(names & {*ALIASES["clip_id"], *ALIASES["audio"]})
    return not (describes_clips and names & RATING_NAMES)


def read_votes(table: TextTable, path: Path) -> ListeningTest:
    """Votes as a clip table, whose labels are Bradley-Terry scores.

    Raises
    ------
    UsageError
        when columns are missing, a verdict is none of the two or a tie, or a clip is of
        two systems.
    """
    columns = _columns(table)
    if columns is None:
        raise UsageError(
            f"{path} has no votes: two columns of clips (a and b; or winner and loser) "
            "and one with the winner (winner, preference: a, b or tie); it has "
            f"{some(table.columns, 20)}."
        )
    verdicts = [cell.strip() for cell in table.columns[columns.verdict]]
    # Without a verdict nobody voted.
    n_open = verdicts.count("")
    table = rows_where(table, [bool(verdict) for verdict in verdicts])
    if not table.n_rows:
        raise UsageError(f"{path} holds no votes.")

    first, second = _pairs_of_clips(table, columns)
    outcomes = [1] * table.n_rows if columns.has_loser else _outcomes(table, columns)

    votes, items = encode(first, second, outcomes)
    fitted = BradleyTerry.fit(votes)
    counts = np.bincount(
        np.concatenate([votes.first, votes.second]), minlength=len(items)
    )
    clips = _clips(items, fitted, counts)
    if columns.are_systems:
        clips["system_id"] = items
    elif columns.systems is not None:
        clips["system_id"] = _systems(table, columns, items)

    # Problems of a clip are told with the first vote on it.
    row_of: dict[str, int] = {}
    for row, pair in enumerate(zip(first, second, strict=True)):
        for item in pair:
            row_of.setdefault(item, row)
    locations = [table.locations[row_of[item]] for item in items]
    return ListeningTest(
        layout="votes",
        table=table,
        aspects=(ASPECT,),
        scales={ASPECT: Scale(0, 1)},
        clips=TextTable(clips, locations, table.unit),
        has_labels=True,
        notes=_notes(fitted, outcomes, columns, n_open=n_open, n_items=len(items)),
    )


def _pairs_of_clips(table: TextTable, columns: _Columns) -> tuple[list[str], list[str]]:
    """The two clips of each vote."""
    first = [cell.strip() for cell in table.columns[columns.first]]
    second = [cell.strip() for cell in table.columns[columns.second]]
    for row, (one, other) in enumerate(zip(first, second, strict=True)):
        if not one or not other or one == other:
            raise UsageError(
                f"{table.location(row)}: a vote is on two different clips; got "
                f"{one!r} and {other!r}."
            )
    return first, second


def _clips(
    items: list[str], fitted: BradleyTerry, counts: np.ndarray
) -> dict[str, list[str]]:
    """The columns of a clip table: names, scores, their intervals and votes."""
    low, high = fitted.interval()
    are_files = all(map(is_audio_name, items))
    return {
        ("audio" if are_files else "clip_id"): items,
        ASPECT: [f"{value:.6f}" for value in fitted.scores],
        f"{ASPECT}_n": [str(count) for count in counts],
        f"{ASPECT}_low": [f"{value:.6f}" for value in low],
        f"{ASPECT}_high": [f"{value:.6f}" for value in high],
    }


def _notes(
    fitted: BradleyTerry,
    outcomes: Sequence[int],
    columns: _Columns,
    n_open: int,
    n_items: int,
) -> tuple[str, ...]:
    """What is to be said of such labels."""
    n_ties = outcomes.count(0)
    what = "systems" if columns.are_systems else "clips"
    ties = ""
    if n_ties:
        many = "1 tie" if n_ties == 1 else f"{n_ties} ties"
        ties = f" ({many}, by Davidson's model)"
    notes = [
        f"'{ASPECT}' is a Bradley-Terry score of {n_items} {what}{ties}: the "
        "probability of winning against one of average score, which is learnt as a "
        "rating on 0..1",
        f"'{ASPECT}_low' and '{ASPECT}_high' are its 95 % interval, which takes votes "
        "as independent of one another",
    ]
    if columns.are_systems:
        notes.append(
            "the votes name systems and no clips: they can be compared with, and base "
            "models cannot learn from them"
        )
    if n_open:
        many = "1 row" if n_open == 1 else f"{n_open} rows"
        notes.append(f"{many} without a verdict left out")
    n_groups = int(fitted.groups.max()) + 1
    if n_groups > 1:
        notes.append(
            f"the votes fall into {n_groups} groups of {what} that were never compared "
            "with one another: the average of each group counts as equal"
        )
    elif fitted.is_regularised:
        notes.append(
            f"some {what} won or lost all their votes against the others, so that "
            "their scores would be infinite"
        )
    if fitted.is_regularised:
        notes.append(
            f"each of the {what} was given half a win and half a loss against the "
            "average, which draws scores of few votes towards it"
        )
    return tuple(notes)


def _systems(table: TextTable, columns: _Columns, items: Sequence[str]) -> list[str]:
    """The system of each item."""
    assert columns.systems is not None
    system_of: dict[str, str] = {}
    for item, system in zip(
        (columns.first, columns.second), columns.systems, strict=True
    ):
        cells = zip(table.columns[item], table.columns[system], strict=True)
        for row, (name, own) in enumerate(cells):
            known = system_of.setdefault(name.strip(), own.strip())
            if known != own.strip():
                raise UsageError(
                    f"{table.location(row)}: clip '{name.strip()}' is of system "
                    f"'{own.strip()}'; an earlier row has '{known}'."
                )
    return [system_of[item] for item in items]


def _outcomes(table: TextTable, columns: _Columns) -> list[int]:
    """1, -1 or 0 per vote."""
    cells = [_folded(cell) for cell in table.columns[columns.verdict]]
    # The pair 0 and 1 can stand for both sides, or for a tie and the first.
    if "0" in cells and "2" not in cells and columns.side != ("0", "1"):
        row = cells.index("0")
        raise UsageError(
            f"{table.location(row)}: {columns.verdict} is '0', which may mean a tie or "
            "the first of both; write a, b or tie."
        )
    by_side = _signs_by_side(cells, columns)
    by_name = _signs_by_name(table, cells, columns)
    for reading in (by_side, by_name):
        # A clip may be called "b"; then all verdicts are of one kind or the other.
        other = by_name if reading is by_side else by_side
        if None not in reading and None in other:
            return [sign for sign in reading if sign is not None]

    outcomes = []
    for row, signs in enumerate(zip(by_side, by_name, strict=True)):
        meant = {sign for sign in signs if sign is not None}
        if len(meant) != 1:
            verdict = table.columns[columns.verdict][row]
            problem = f"{columns.verdict} is {verdict!r}"
            if meant:
                problem += ", which is the name of the one and the side of the other"
            raise UsageError(
                f"{table.location(row)}: {problem}; legal are the name of one of both, "
                "a, b, left, right, 1, 2, or tie (empty: no vote)."
            )
        outcomes.append(meant.pop())
    return outcomes


def _signs_by_side(cells: Sequence[str], columns: _Columns) -> list[int | None]:
    """1, -1 or 0 per verdict that names a side or a tie; None of others."""
    if columns.side == ("0", "1"):
        sign_of = {"0": 1, "a": 1, "1": -1, "b": -1}
    else:
        sign_of = {"a": 1, "left": 1, "first": 1, "1": 1, columns.side[0]: 1}
        sign_of |= {"b": -1, "right": -1, "second": -1, "2": -1, columns.side[1]: -1}
        sign_of["0"] = 0
    pairs = [(columns.first, columns.second), columns.systems or ("", "")]
    for first, second in pairs:
        sign_of |= {_folded(first): 1, _folded(second): -1} if first else {}
    sign_of |= dict.fromkeys(_TIES, 0)
    return [sign_of.get(cell) for cell in cells]


def _signs_by_name(
    table: TextTable, cells: Sequence[str], columns: _Columns
) -> list[int | None]:
    """1, -1 or 0 per verdict that names a clip, its system or a tie; None of others."""
    named = [(columns.first, 1), (columns.second, -1)]
    if columns.systems is not None:
        named += [(columns.systems[0], 1), (columns.systems[1], -1)]
    signs: list[int | None] = []
    for row, cell in enumerate(cells):
        found = {s for name, s in named if _folded(table.columns[name][row]) == cell}
        # Of two clips by one system its name says nothing.
        sign = found.pop() if len(found) == 1 else None
        signs.append(0 if sign is None and cell in _TIES else sign)
    return signs


def _columns(table: TextTable) -> _Columns | None:
    """The columns of votes, or None."""
    names = {fold_name(name): name for name in table.columns}
    winner = names.get("winner")
    loser = names.get("loser")
    if winner and loser:
        return _Columns(winner, loser, winner, side=("a", "b"), has_loser=True)
    verdict = next((names[word] for word in _VERDICTS if word in names), None)
    if verdict is None:
        return None
    # Where both are named, clips are voted on, and systems are what is known of them.
    clips = pair_of_columns(names, CLIP_WORDS)
    systems = pair_of_columns(names, SYSTEM_WORDS)
    if clips is not None:
        own = None if systems is None else (systems[0], systems[1])
        return _Columns(clips[0], clips[1], verdict, side=clips[2], systems=own)
    if systems is not None:
        first, second, side = systems
        return _Columns(first, second, verdict, side=side, are_systems=True)
    return None


def _folded(cell: str) -> str:
    """A name of a clip, system or side as votes may spell it."""
    text = cell.strip().lower()
    number = parse_number(text)
    # Not "2" for "-2", which is how much the first is better; but "1" for "1.0".
    if number is not None:
        return f"{number:g}"
    suffix = Path(text).suffix
    if suffix in AUDIO_SUFFIXES:
        text = text.removesuffix(suffix)
    return re.sub(r"[\s_\-()]+", "", text) or text
