"""Rows of a file of scores that have none: whoever reads the scores leaves them out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from base_models.clip_status import OK, STATUSES
from base_models.clips.text_table import TextTable
from base_models.errors import some

_MARKS = ("status", "reason", "flags")


def without_unscored(
    table: TextTable, statuses: Collection[str] = tuple(STATUSES)
) -> TextTable:
    """The table without the rows that its own column of statuses says to be of no use.

    Parameters
    ----------
    table : of any kind; only one that this product wrote as scores loses rows
    statuses : which to leave out; "ok" is none of them
    """
    own = table.columns
    # Others have a column of this name too, of which nothing is known.
    if not all(name in own for name in _MARKS) or not set(own["status"]) <= set(
        STATUSES
    ):
        return table
    left_out = set(statuses) - {OK}
    kept = [row for row, status in enumerate(own["status"]) if status not in left_out]
    if len(kept) == table.n_rows:
        return table
    named = own.get("clip_id", [""] * table.n_rows)
    gone = sorted(set(range(table.n_rows)) - set(kept))
    plural = "s" if len(gone) > 1 else ""
    note = (
        f"{len(gone)} row{plural} without scores left out "
        f"({some([named[row] for row in gone], 3)}; column status says why)"
    )
    columns = {name: [cells[row] for row in kept] for name, cells in own.items()}
    written = {
        name: [cells[row] for row in kept] for name, cells in table.written.items()
    }
    return replace(
        table,
        columns=columns,
        locations=[table.locations[row] for row in kept],
        notes=(note, *table.notes),
        written=written,
    )
