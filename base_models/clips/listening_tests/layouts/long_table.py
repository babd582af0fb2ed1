"""Tables with a row per rating, under the names that survey tools and labs give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from base_models.clips.columns import ALIASES, RATER_COLUMNS, first_column, fold_name
from base_models.clips.listening_tests.listening_test import (
    EXPECTED,
    RATER,
    SECONDS,
    ListeningTest,
    rater_column,
)
from base_models.clips.rating_tables import holds_repeated_clips, nameless_rater
from base_models.clips.text_table import TextTable
from base_models.errors import UsageError, some

_CLIPS = (
    "song_id",
    "stimulus_id",
    "item_id",
    "track_id",
    "sound_id",
    "excerpt_id",
    "song",
    "stimulus",
    "item",
    "track",
    "sound",
    "excerpt",
    "clip",
    "sample",
    "trial_id",
    "trial",
)
"""Names of the column of clips where none of the usual ones is there, best first."""

_CONDITIONS = ("condition", "condition_id", "method", "model", "codec", "algorithm")
_SECONDS = ("rating_time", "response_time", "reaction_time", "time_spent")
_EXPECTED = (
    "gold",
    "gold_answer",
    "expected",
    "expected_answer",
    "expected_rating",
    "correct_answer",
    "trap_answer",
)


def is_long(table: TextTable) -> bool:
    """Whether a table names raters, and a clip or item repeatedly."""
    return rater_column(table) is not None and holds_repeated_clips(
        with_usual_names(table)
    )


def read_long(table: TextTable, path: Path) -> ListeningTest:
    """A table with a row per rating as a listening test.

    Where a rater rates an item in several conditions, the pair of both is the clip.
    Without a column of raters each row counts as a rater of its own.

    Raises
    ------
    UsageError
        when there is no column of clips.
    """
    given = table
    table = with_usual_names(table)
    clips = first_column(table.columns, ALIASES["clip_id"])
    if clips is None and first_column(table.columns, ALIASES["audio"]) is None:
        raise UsageError(
            f"{path} has no column of clips (clip_id, audio; also "
            f"{', '.join(_CLIPS[:4])} …); it has {some(given.columns, 20)}."
        )

    notes = []
    raters = rater_column(table)
    if raters is None:
        raters = RATER
        numbers = [number for _, number in table.locations]
        cells = [nameless_rater(1, number) for number in numbers]
        table = replace(table, columns={**table.columns, RATER: cells})
        notes.append(
            "no column names raters, so that each row counts as a rater of its own"
        )

    systems = first_column(table.columns, ALIASES["system_id"])
    if clips is not None and systems is not None:
        crossed = _crossed(table, clips, systems, raters=raters)
        if crossed is not table:
            names = [_name_in(given, table.columns[name]) for name in (clips, systems)]
            notes.append(
                f"raters rate each '{names[0]}' in several conditions: a clip is the "
                f"pair <{names[0]}>__<{names[1]}>"
            )
            table = crossed
    return ListeningTest("long", table, notes=tuple(notes))


def with_usual_names(table: TextTable) -> TextTable:
    """The same table with less usual names replaced, where no usual one is there."""
    names = {name: name for name in table.columns}
    # "song" beside "clip_id" is something else, and stays.
    has_clips = any(
        first_column(table.columns, ALIASES[kind]) for kind in ("clip_id", "audio")
    )
    if not has_clips:
        _rename_first(names, _CLIPS, "clip_id")
    if first_column(table.columns, ALIASES["system_id"]) is None:
        _rename_first(names, _CONDITIONS, "system_id")
    _rename_first(names, _SECONDS, SECONDS)
    _rename_first(names, _EXPECTED, EXPECTED)
    columns = {names[name]: cells for name, cells in table.columns.items()}
    return replace(table, columns=columns)


def _rename_first(names: dict[str, str], legal: Sequence[str], new: str) -> None:
    """Rename the column whose name comes first among the legal ones."""
    if new in names:
        return
    for word in legal:
        for name in names:
            if fold_name(name) == word and fold_name(name) not in RATER_COLUMNS:
                names[name] = new
                return


def _name_in(table: TextTable, cells: list[str]) -> str:
    """The name that a column has there."""
    return next(name for name, own in table.columns.items() if own is cells)


def _crossed(table: TextTable, clips: str, systems: str, raters: str) -> TextTable:
    """The table with ids of item and system, where the items alone are no clips."""
    items = [cell.strip() for cell in table.columns[clips]]
    conditions = [cell.strip() for cell in table.columns[systems]]
    people = [cell.strip() for cell in table.columns[raters]]
    # An item may be a clip of its own (each rated once by a rater), or the same in
    # several conditions; only then do conditions tell ratings of a rater apart.
    n_by_item = len(set(zip(items, people, strict=True)))
    n_by_both = len(set(zip(items, conditions, people, strict=True)))
    if n_by_item == table.n_rows or n_by_both <= n_by_item:
        return table
    ids = [f"{a}__{b}" for a, b in zip(items, conditions, strict=True)]
    others = {name: cells for name, cells in table.columns.items() if name != clips}
    columns = {"clip_id": ids, "content_id": items, **others}
    return replace(table, columns=columns)
