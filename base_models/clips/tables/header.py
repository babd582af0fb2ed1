"""Which row of a table names its columns, and what they are called where none does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from base_models.clips.columns import (
    ID_COLUMNS,
    PATH_COLUMNS,
    PREDICTION_COLUMNS,
    RATER_COLUMNS,
    RATING_COLUMNS,
    RATING_NAMES,
    SCORE_COLUMNS,
    STANDARD_NAMES,
    fold_name,
    scale_in_name,
)
from base_models.clips.names import AUDIO_SUFFIXES, is_audio_name
from base_models.clips.tables.notation import readings
from base_models.errors import UsageError, some

_TEXTUAL = frozenset(
    fold_name(name)
    for name in (*STANDARD_NAMES, *RATER_COLUMNS, *ID_COLUMNS, *PATH_COLUMNS)
)
_KNOWN = _TEXTUAL | frozenset(
    fold_name(name)
    for name in (*RATING_NAMES, *RATING_COLUMNS, *PREDICTION_COLUMNS, *SCORE_COLUMNS)
)
_IDENTIFYING = frozenset(fold_name(name) for name in ID_COLUMNS + PATH_COLUMNS)
_SUFFIXES = "|".join(map(re.escape, AUDIO_SUFFIXES))
_FILE_IN = re.compile(rf"\S({_SUFFIXES})\b", re.IGNORECASE)
_MUSICEVAL_ID = re.compile(r"(audiomos2025-track1-)?S[0-9]+_P[0-9]+(\.wav)?\s*")
_LEADING_ROWS = 10
"""How many rows may stand above a header."""


def is_known_name(cell: str) -> bool:
    """Whether a cell is a name that some reader of tables knows.

    >>> is_known_name("Clip ID"), is_known_name("a.wav")
    (True, False)
    """
    return fold_name(cell) in _KNOWN


def is_textual_name(name: str) -> bool:
    """Whether a column of this name holds text, even if all of it looks like numbers.

    >>> is_textual_name("prompt"), is_textual_name("mos")
    (True, False)
    """
    return fold_name(name) in _TEXTUAL


def is_rated_name(name: str) -> bool:
    """Whether a column of this name is known to hold ratings: by a name of them, by the
    scale that it states, or by the audio file that a question is on.

    >>> is_rated_name("MOS"), is_rated_name("How is a.wav?"), is_rated_name("genre")
    (True, True, False)
    """
    is_known = fold_name(name) in RATING_NAMES or fold_name(name) in RATING_COLUMNS
    return is_known or scale_in_name(name) is not None or bool(_FILE_IN.search(name))


def identifies_clips(name: str) -> bool:
    """Whether a column of this name holds ids of clips or their files."""
    return fold_name(name) in _IDENTIFYING


def header_position(rows: Sequence[Sequence[str]], is_list: bool = False) -> int | None:
    """Which row names the columns, or None where the first one is data already.

    Parameters
    ----------
    rows : none of them blank, at least one
    is_list : whether the file is of a kind that usually has no header (.txt)

    Notes
    -----
    The first row is data if it holds no name that is known, but the name of an audio
    file or a number beside what looks like an id. A later row is the header if it has a
    known name, and all above it have one cell at most, as titles have. Names of several
    audio files with none below them head the columns of clips, as in a table with a row
    per rater.
    """
    if any(is_known_name(cell) for cell in rows[0]):
        return 0
    files = [place for place, cell in enumerate(rows[0]) if is_audio_name(cell)]
    if files:
        return 0 if _are_above_answers(rows, files) else None
    if is_list and all(len(row) == 1 for row in rows):
        return None
    if _n_filled(rows[0]) <= 1:
        for position, row in enumerate(rows[1:_LEADING_ROWS], start=1):
            if _n_filled(row) > 1:
                has_name = any(is_known_name(cell) for cell in row)
                return position if has_name else _first_or_none(rows, is_list)
    return _first_or_none(rows, is_list)


def has_second_row(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the row below a header belongs to it, as below merged cells.

    Parameters
    ----------
    header : the row that names columns
    rows : those below

    Notes
    -----
    The second row has a known name and no number, the first leaves cells empty or says
    the same twice where the second has names, and numbers are below some of these.
    """
    if len(rows) < 2:
        return False
    second = rows[0]
    filled = [place for place, cell in enumerate(second) if cell.strip()]
    if any(readings(second[place]) or is_audio_name(second[place]) for place in filled):
        return False
    names = [cell.strip() for cell in header]
    is_merged = any(
        place < len(names) and (not names[place] or names.count(names[place]) > 1)
        for place in filled
    )
    are_names = any(is_known_name(second[place]) for place in filled)
    has_numbers = any(
        place < len(rows[1]) and readings(rows[1][place]) for place in filled
    )
    return is_merged and are_names and has_numbers


def names_of_two_rows(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """The names of columns whose header has two rows, the first with merged cells.

    A name in the second row is taken; with the one above it where others are called the
    same.

    >>> names_of_two_rows(["File", "Scores", ""], ["", "Quality", "Groove"])
    ['File', 'Quality', 'Groove']
    >>> names_of_two_rows(["Rater 1", "", "Rater 2"], ["MI", "TA", "MI"])
    ['Rater 1 MI', 'TA', 'Rater 2 MI']
    """
    names = []
    group = ""
    lower = [cell.strip() for cell in second]
    for place, name in enumerate(lower):
        upper = first[place].strip() if place < len(first) else ""
        group = upper or group
        if not name or name == upper:
            names.append(upper)
        else:
            is_shared = lower.count(name) > 1 and group
            names.append(f"{group} {name}" if is_shared else name)
    return names


def _are_above_answers(rows: Sequence[Sequence[str]], files: Sequence[int]) -> bool:
    """Whether several files are named in the first row, and none in the next ones."""
    below = [
        row[place]
        for row in rows[1:_LEADING_ROWS]
        for place in files
        if place < len(row)
    ]
    return len(files) > 1 and bool(below) and not any(map(is_audio_name, below))


def _first_or_none(rows: Sequence[Sequence[str]], is_list: bool) -> int | None:
    first = rows[0]
    numbers = [cell.strip() for cell in first[1:] if readings(cell)]
    # Raters are numbered so, and few systems have such scores.
    counted = [str(place) for place in range(1, len(numbers) + 1)]
    if not is_list and len(numbers) > 2 and numbers == counted:
        return 0
    # Ids have digits or are paths, and look like each other; names of columns are
    # words, and none is a fraction or stands twice.
    is_data = (
        is_list
        or re.search(r"[0-9/\\]", first[0]) is not None
        or not all(number.isdecimal() for number in numbers)
        or len(set(numbers)) < len(numbers)
        or any(_shape(row[0]) == _shape(first[0]) for row in rows[1:_LEADING_ROWS])
    )
    return None if numbers and is_data else 0


def _shape(cell: str) -> str:
    """A text with each letter and digit replaced by one of its kind."""
    small = re.sub(r"[^\W\d_]", "a", cell.strip().lower())
    return re.sub(r"\d", "0", small)


def _n_filled(row: Sequence[str]) -> int:
    return sum(1 for cell in row if cell.strip())


def names_without_header(rows: Sequence[Sequence[str]]) -> list[str]:
    """Names for the columns of a list, by what stands in them.

    The names of audio files are ``audio``, else the first column is ``clip_id``; a
    column of what those names begin with is ``system_id``; the only column of numbers
    is ``mos``, and two of them beside clips of MusicEval are ``mi`` and ``ta``. Others
    are called by their place, as ``field 3``.
    """
    width = len(rows[0])
    columns = [[row[k] for row in rows if k < len(row)] for k in range(width)]
    names = [f"field {k + 1}" for k in range(width)]

    files = [k for k in range(width) if all(map(is_audio_name, columns[k]))]
    clips = files[0] if files else 0
    names[clips] = "audio" if files else "clip_id"

    numbers = []
    for k in range(width):
        if k == clips:
            continue
        filled = [cell for cell in columns[k] if cell.strip()]
        if filled and all(readings(cell) for cell in filled):
            numbers.append(k)
        elif k < clips and _begins_all(columns[k], columns[clips]):
            names[k] = "system_id"
    are_of_musiceval = all(map(_MUSICEVAL_ID.fullmatch, columns[clips]))
    if len(numbers) == 1:
        names[numbers[0]] = "mos"
    elif len(numbers) == 2 and are_of_musiceval:
        names[numbers[0]] = "mi"
        names[numbers[1]] = "ta"
    return names


def _begins_all(systems: Sequence[str], files: Sequence[str]) -> bool:
    file_names = (re.split(r"[/\\]", file)[-1] for file in files)
    return all(
        system.strip() and name.startswith(system.strip())
        for system, name in zip(systems, file_names, strict=False)
    )


def column_names(header: Sequence[str], path: Path) -> list[str]:
    """The names in a header, ``unnamed_<place>`` for those that are empty.

    Raises
    ------
    UsageError
        when a name stands twice.
    """
    names = []
    for position, name in enumerate(header):
        names.append(name.strip() or f"unnamed_{position}")

    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise UsageError(f"{path} has two columns named {some(repeated)}.")
    return names
