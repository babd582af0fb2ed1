"""ListeningTest: what every layout is turned into, a row per rating."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from base_models.clips.columns import RATER_COLUMNS, first_column
from base_models.clips.text_table import TextTable
from base_models.scales import Scale

RATER = "rater_id"
SECONDS = "rating_seconds"
"""Column of how long a rating took."""
CONTENT = "content_id"
"""Column of what a clip is a version of: the item of a test."""
EXPECTED = "expected_rating"
"""Column of the answer that a control question asks for."""


@dataclass(frozen=True)
class ListeningTest:
    """An export as a table with a row per rating.

    Parameters
    ----------
    layout : a key of `base_models.clips.listening_tests.rating_options.LAYOUTS`
    table : columns ``clip_id`` or of audio files, `RATER`, one per aspect; where they
        are known ``system_id``, ``audio``, `CONTENT`, `SECONDS` and `EXPECTED`
    aspects : the rated columns; none where their names say so
    scales : of the columns whose scale the layout fixes
    clips : the table with a row per clip, where it is not made of `table`
    has_labels : whether `clips` holds the labels, so that there are no single ratings
    notes : what was chosen in reading it
    """

    layout: str
    table: TextTable
    aspects: tuple[str, ...] = ()
    scales: Mapping[str, Scale] = field(default_factory=dict)
    clips: TextTable | None = None
    has_labels: bool = False
    notes: tuple[str, ...] = ()

    def saying(self, *notes: str) -> ListeningTest:
        """The same test with more notes."""
        return replace(self, notes=(*self.notes, *(note for note in notes if note)))


def rows_where(
    table: TextTable, is_kept: Callable[[int], bool] | Sequence[bool]
) -> TextTable:
    """The rows of a table that are kept, in their order."""
    keeps = is_kept if callable(is_kept) else is_kept.__getitem__
    rows = [row for row in range(table.n_rows) if keeps(row)]
    columns = {
        name: [cells[row] for row in rows] for name, cells in table.columns.items()
    }
    locations = [table.locations[row] for row in rows]
    return replace(table, columns=columns, locations=locations)


def rater_column(table: TextTable) -> str | None:
    """The column of raters, or None."""
    return first_column(table.columns, RATER_COLUMNS)
