"""Tables whose rows are parts of files: columns of times make clips of their own.

A row with a start and an end, in seconds, is the segment between them; with a start
alone, all from there on; with an end alone, all up to it; with neither, the whole file.
In the place of an end there may be a duration.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from base_models.clips.columns import (
    DURATION_NAMES,
    END_NAMES,
    SEGMENT_COLUMNS,
    START_NAMES,
    fold_name,
)
from base_models.clips.problems import Problems, problem_in
from base_models.clips.rows.reading import Reading
from base_models.clips.rows.standard_columns import (
    StandardTable,
    with_standard_columns,
)
from base_models.clips.segments.reference import Segment, segment_of
from base_models.clips.text_table import TextTable, parse_number
from base_models.errors import UsageError

_START, _END = SEGMENT_COLUMNS
# In lists of events it is the end of an onset, in lists of utterances the start of a
# duration.
_OFFSET = "offset"

# A time of the day or a date, of when somebody rated.
_DATE = re.compile(r"\d{4}[-/.]\d\d?[-/.]\d\d?.*|\d\d?[-/.]\d\d?[-/.]\d{2,4}.*")
_LATEST_SECONDS = 1e8


@dataclass(frozen=True)
class TimeColumns:
    """The columns of a table that have times; "" where there is none.

    Parameters
    ----------
    start, end, duration : str
        Names of the columns. Where there is an end, there is no duration.
    """

    start: str = ""
    end: str = ""
    duration: str = ""

    @classmethod
    def of(cls, table: TextTable, reading: Reading) -> TimeColumns | None:
        """The columns by their names, or as the user names them; None without any.

        A duration alone is what tools write beside a whole file. Dates are of when
        somebody rated.

        Raises
        ------
        UsageError
            When several could be one thing.
        """

        def find(names: Sequence[str], standard: str) -> str:
            # The user says that no column is this.
            if reading.columns.get(standard) == "":
                return ""
            fits = [name for name in table.columns if fold_name(name) in names]
            return _one(table, fits, standard)

        start = find(START_NAMES, _START)
        end = find(END_NAMES, _END)
        duration = find(DURATION_NAMES, "duration")
        offset = find((_OFFSET,), _OFFSET)
        if offset and start and not end:
            end = offset
        elif offset and duration and not start:
            start = offset
        if end or not start:
            duration = ""

        chosen = [name for name in (start, end, duration) if name]
        if not chosen or any(_holds_dates(table.columns[name]) for name in chosen):
            return None
        if not any(cell.strip() for name in chosen for cell in table.columns[name]):
            return None
        return cls(start, end, duration)

    def written(self, table: TextTable, row: int) -> str:
        """The times of a row as they stand in the table."""
        columns = (self.start, self.end, self.duration)
        cells = [table.columns[name][row].strip() for name in columns if name]
        return "-".join(cells) if any(cells) else ""

    def __str__(self) -> str:
        named = [name for name in (self.start, self.end, self.duration) if name]
        return " and ".join(f"'{name}'" for name in named)


def _one(table: TextTable, fits: Sequence[str], standard: str) -> str:
    """The one of some columns that is meant; "" of none."""
    if not fits:
        return ""
    by_name = [name for name in fits if fold_name(name) == standard]
    if len(by_name) == 1:
        return by_name[0]
    if all(table.columns[name] == table.columns[fits[0]] for name in fits):
        return fits[0]
    raise UsageError(
        f"Columns {' and '.join(repr(name) for name in fits)} both mean {standard}; "
        f"name the right one with --columns {standard}={fits[0]!r}, or drop the other."
    )


def _holds_dates(cells: Sequence[str]) -> bool:
    """Whether all cells are dates, or seconds since 1970."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    numbers = [parse_number(cell) for cell in filled]
    are_dates = all(_DATE.fullmatch(cell) for cell in filled)
    are_stamps = all(
        number is not None and number > _LATEST_SECONDS for number in numbers
    )
    return bool(filled) and (are_dates or are_stamps)


def with_segments(table: TextTable, path: Path, reading: Reading) -> StandardTable:
    """A table under standard names, with the audio of each row cut to its times.

    Rows whose times cannot be used keep their whole file: `check_times` makes them
    problems. Ids that were made of names of files get the times, as in ``song#60-70``.

    Parameters
    ----------
    table, path, reading
        As `base_models.clips.rows.standard_columns.with_standard_columns` takes them.
    """
    standard = with_standard_columns(table, path, reading)
    table = standard.table
    times = TimeColumns.of(table, reading)
    if times is None:
        return standard

    audio = list(table.columns["audio"])
    ids = list(table.columns["clip_id"])
    n_segments = 0
    for row, segment in enumerate(_segments(table, times, _ignore)):
        written = times.written(table, row)
        label = written if segment is None else segment.label
        # Also where they are refused: the row then has this problem alone.
        if "clip_id" not in standard.taken and label:
            ids[row] = f"{ids[row]}#{label}"
        if segment is not None and audio[row]:
            audio[row] = segment.reference
            n_segments += 1

    note = f"segments: {n_segments:,} of {table.n_rows:,} clips are parts of files"
    note += f", in seconds by {times}"
    if "clip_id" not in standard.taken:
        note += "; their ids are FILE#START-END"
    columns = {**table.columns, "audio": audio, "clip_id": ids}
    cut = replace(table, columns=columns, notes=(*table.notes, note))
    taken = {**standard.taken, **_taken(times)}
    return replace(standard, table=cut, taken=taken)


def check_times(standard: StandardTable, reading: Reading, problems: Problems) -> None:
    """Add times that are no numbers, are negative, or end before they start."""
    table = standard.table
    times = TimeColumns.of(table, reading)
    if times is None:
        return

    def add(row: int, column: str, what: str) -> None:
        named = next(name for name in (column, times.start, times.end) if name)
        cure = (
            "Times are seconds from the start of the file, as 62.5; if the column is "
            f"of something else: --columns {_meaning(times, named)}="
        )
        problem = problem_in(
            table,
            row,
            named,
            value=table.columns[named][row],
            what=what,
            cure=cure,
        )
        problems.add(row, problem)

    for _ in _segments(table, times, add):
        pass


_Complain = Callable[[int, str, str], None]


def _ignore(row: int, column: str, what: str) -> None:
    """Complaints are made by `check_times`."""


def _segments(
    table: TextTable, times: TimeColumns, complain: _Complain
) -> list[Segment | None]:
    """The segment of each row; None where it has no times, or such as are refused."""
    segments: list[Segment | None] = []
    for row in range(table.n_rows):
        segments.append(None)
        start = _seconds(table, row, times.start, complain=complain)
        end = _seconds(table, row, times.end, complain=complain)
        duration = _seconds(table, row, times.duration, complain=complain)
        given = [time for time in (start, end, duration) if time is not None]
        has_times = start is not None or end is not None
        if not has_times or any(math.isnan(time) for time in given):
            continue
        first = start or 0.0
        last = math.inf
        if end is not None:
            last = end
        elif duration is not None:
            last = first + duration
        if last <= first:
            of_end = times.end or times.duration
            complain(row, of_end, "the segment ends where it starts, or before")
            continue
        written = table.columns["audio"][row]
        # A table that was written by this product has the times in the path too.
        known = segment_of(written)
        made = Segment(written if known is None else known.source, first, last)
        if known is not None and known != made:
            complain(row, times.start or times.end, "the path has other times")
            continue
        segments[-1] = made
    return segments


def _seconds(
    table: TextTable, row: int, column: str, complain: _Complain
) -> float | None:
    """The time in a cell: None of an empty one, NaN of one that is refused."""
    cell = table.columns[column][row].strip() if column else ""
    if not cell:
        return None
    number = parse_number(cell)
    if number is None:
        complain(row, column, f"'{column}' is no time in seconds")
        return math.nan
    if number < 0:
        complain(row, column, f"'{column}' is negative")
        return math.nan
    return number


def _taken(times: TimeColumns) -> Mapping[str, str]:
    named = {_START: times.start, _END: times.end, "duration": times.duration}
    return {standard: name for standard, name in named.items() if name}


def _meaning(times: TimeColumns, column: str) -> str:
    """What the user says of a column that has no times."""
    return _START if column == times.start else _END
