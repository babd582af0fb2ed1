"""Wide tables: a column per rater, or a column per clip and a row per rater.

Read as clip tables, such columns would be taken for as many aspects.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from base_models.clips.columns import (
    RATER_COLUMNS,
    RATING_NAMES,
    STANDARD_NAMES,
    fold_name,
    is_bookkeeping_of_ratings,
)
from base_models.clips.listening_tests.audio_beside import audio_beside
from base_models.clips.listening_tests.layouts.long_table import with_usual_names
from base_models.clips.listening_tests.listening_test import RATER, ListeningTest
from base_models.clips.names import AUDIO_SUFFIXES
from base_models.clips.rows.reading import USUAL_MISSING, fold_code
from base_models.clips.text_table import TextTable, parse_number
from base_models.errors import UsageError, some

ASPECT = "rating"
"""The aspect of a wide table whose columns name none."""

FEWEST_COLUMNS = 2
_FEWEST_LETTERS = 3

_WORDS = (
    "rater|listener|annotator|judge|subject|participant|worker|assessor|user|evaluator"
    "|expert|respondent|panelist|person|tester|annot|subj"
)
# A word for people with a number or letter, and perhaps an aspect before or after it.
_RATER_COLUMN = re.compile(
    rf"(?:(?P<before>.+)_)?(?P<rater>(?:{_WORDS})s?_*(?:[0-9]+|[a-z](?![a-z0-9])))"
    r"(?:_(?P<after>.+))?"
)
_LETTER_COLUMN = re.compile(r"[rpsluhjae][0-9]{1,3}")

# What Qualtrics and Google Forms write beside the answers.
_SURVEY = re.compile(
    r"startdate|enddate|status|ipaddress|progress|duration.*|finished|recorded_?date"
    r"|recipient.*|external.*|location.*|distributionchannel|userlanguage|timestamp"
    r"|e?_?mail.*|consent.*|comments?.*|age.*|gender.*|name"
)
_RESPONSES = ("response_id", "responseid", "respondent_id", "respondent", "timestamp")
_SUFFIXES = "|".join(suffix.removeprefix(".") for suffix in AUDIO_SUFFIXES)
_AUDIO_NAME = re.compile(rf"[^\s\"'<>/\\]+\.(?:{_SUFFIXES})\b", re.IGNORECASE)


def raters_in_columns(table: TextTable) -> dict[str, tuple[str, str]]:
    """Columns that hold one rater's ratings, as name to (rater, aspect).

    None are found in a table that has a column of mean ratings.
    """
    found: dict[str, tuple[str, str]] = {}
    letters: dict[str, tuple[str, str]] = {}
    for name, cells in table.columns.items():
        normal = fold_name(name)
        match = _RATER_COLUMN.fullmatch(normal)
        if match and _are_numbers(cells):
            aspect = match["before"] or match["after"] or ASPECT
            found[name] = (match["rater"], aspect)
        elif _LETTER_COLUMN.fullmatch(normal) and _are_numbers(cells):
            letters[name] = (name.strip(), ASPECT)
    # A letter and a number ("p1") can be anything; several of them are raters.
    if not found and len(letters) >= _FEWEST_LETTERS:
        found = letters
    others = [name for name in table.columns if name not in found]
    # "subject_1" beside a column "mos" is about the clip, and not a rating of it.
    has_means = any(fold_name(name) in RATING_NAMES for name in others)
    return {} if has_means or len(found) < FEWEST_COLUMNS else found


def has_raters_in_columns(table: TextTable) -> bool:
    """Whether a table has a row per clip and several columns of raters."""
    table = with_usual_names(table)
    has_clips = any(fold_name(name) in STANDARD_NAMES for name in table.columns)
    return has_clips and bool(raters_in_columns(table))


def read_raters_in_columns(table: TextTable, path: Path) -> ListeningTest:
    """A table with a row per clip and a column per rater as a listening test.

    Where no column looks like one of a rater, all unknown columns of numbers are taken.

    Raises
    ------
    UsageError
        when there are no such columns.
    """
    table = with_usual_names(table)
    found = raters_in_columns(table)
    if not found:
        found = {
            name: (name, ASPECT)
            for name, cells in table.columns.items()
            if fold_name(name) not in STANDARD_NAMES and _are_numbers(cells)
        }
    if len(found) < FEWEST_COLUMNS:
        raise UsageError(
            f"{path} has no columns of raters (rater_1, rater_2 …, with numbers); it "
            f"has {some(table.columns, 20)}."
        )
    aspects = list(dict.fromkeys(aspect for _, aspect in found.values()))
    raters = list(dict.fromkeys(rater for rater, _ in found.values()))
    column_of = {pair: name for name, pair in found.items()}
    kept = [name for name in table.columns if name not in found]
    columns: dict[str, list[str]] = {name: [] for name in (*kept, RATER, *aspects)}
    locations = []
    for row in range(table.n_rows):
        for rater in raters:
            cells = {}
            for aspect in aspects:
                name = column_of.get((rater, aspect))
                cells[aspect] = "" if name is None else table.columns[name][row].strip()
            # A clip that nobody rated keeps a row, so that it stays a clip.
            if not any(cells.values()) and rater != raters[0]:
                continue
            for name in kept:
                columns[name].append(table.columns[name][row])
            columns[RATER].append(rater)
            for aspect in aspects:
                columns[aspect].append(cells[aspect])
            locations.append(table.locations[row])
    return ListeningTest(
        layout="raters-in-columns",
        table=TextTable(columns, locations, table.unit),
        aspects=tuple(aspects),
        notes=(f"columns {some(found)} are read as ratings by one rater each",),
    )


def clips_in_columns(table: TextTable) -> dict[str, str]:
    """Columns that hold the ratings of one clip, as name to clip.

    A name with an audio suffix, in the header or in the question that a survey tool
    writes below it, names the clip. Else the name of the column does, in a table with a
    column of raters and none of clips or of a known rating.
    """
    questions = _question_row(table)
    named = {}
    others = {}
    for name, cells in table.columns.items():
        normal = fold_name(name)
        text = name if questions is None else f"{name} {cells[questions]}"
        match = _AUDIO_NAME.search(text)
        is_answer = _are_numbers(cells, skipped=_header_rows(table))
        if match and is_answer:
            named[name] = match[0]
        elif is_answer and not _is_about_rater(normal):
            others[name] = name.strip()
    if named:
        return named if len(named) >= FEWEST_COLUMNS else {}
    has_clips = any(fold_name(name) in STANDARD_NAMES for name in table.columns)
    is_rated = any(fold_name(name) in RATING_NAMES for name in table.columns)
    if has_clips or is_rated or len(others) <= FEWEST_COLUMNS:
        return {}
    return others


def has_raters_in_rows(table: TextTable) -> bool:
    """Whether a table has a row per rater and several columns of clips."""
    raters = _row_rater_column(table)
    if raters is None or not clips_in_columns(table):
        return False
    cells = table.columns[raters]
    return len(set(cells)) == len(cells)


def read_raters_in_rows(table: TextTable, path: Path) -> ListeningTest:
    """A table with a row per rater and a column per clip as a listening test.

    Raises
    ------
    UsageError
        when there are no columns of clips.
    """
    clip_of = clips_in_columns(table)
    if not clip_of:
        raise UsageError(
            f"{path} has no columns of clips with numbers (such as 'a.wav'); it has "
            f"{some(table.columns, 20)}."
        )
    raters = _row_rater_column(table)
    skipped = _header_rows(table)
    columns: dict[str, list[str]] = {"clip_id": [], RATER: [], ASPECT: []}
    locations = []
    for row in range(table.n_rows):
        if row in skipped:
            continue
        # Times of submission tell rows apart, but name nobody.
        rater = f"row {table.locations[row][1]}"
        if raters is not None and fold_name(raters) != "timestamp":
            rater = table.columns[raters][row].strip()
        for name, clip in clip_of.items():
            columns["clip_id"].append(Path(clip).stem if "." in clip else clip)
            columns[RATER].append(rater)
            columns[ASPECT].append(table.columns[name][row].strip())
            locations.append(table.locations[row])

    # The name in the header may have the suffix by which the file is found.
    files = {Path(c).stem if "." in c else c: c for c in clip_of.values()}
    beside = audio_beside(path, [files[clip] for clip in columns["clip_id"]])
    columns["audio"] = beside
    return ListeningTest(
        layout="raters-in-rows",
        table=TextTable(columns, locations, table.unit),
        aspects=(ASPECT,),
        notes=(f"columns {some(clip_of)} are read as ratings of one clip each",),
    )


def _row_rater_column(table: TextTable) -> str | None:
    """The column whose rows are raters."""
    for legal in (RATER_COLUMNS, _RESPONSES):
        for name in table.columns:
            if fold_name(name) in legal:
                return name
    return None


def _is_about_rater(normal: str) -> bool:
    return (
        normal in RATER_COLUMNS
        or normal in _RESPONSES
        or _SURVEY.fullmatch(normal.replace(" ", "_")) is not None
        or is_bookkeeping_of_ratings(normal)
    )


def _header_rows(table: TextTable) -> set[int]:
    """Rows of Qualtrics that repeat the header as questions and as import ids."""
    if not any('{"ImportId"' in cell for cell in _cells_of_row(table, 1)):
        return set()
    return {0, 1}


def _question_row(table: TextTable) -> int | None:
    return 0 if _header_rows(table) else None


def _cells_of_row(table: TextTable, row: int) -> list[str]:
    if row >= table.n_rows:
        return []
    return [cells[row] for cells in table.columns.values()]


def _are_numbers(cells: Sequence[str], skipped: set[int] | None = None) -> bool:
    """Whether there are numbers, and nothing else but blanks and words for none.

    The latter are left to whoever reads the numbers, with their places.
    """
    texts = [
        cell.strip()
        for row, cell in enumerate(cells)
        if row not in (skipped or ())
        and cell.strip()
        and fold_code(cell) not in USUAL_MISSING
    ]
    return bool(texts) and all(parse_number(text) is not None for text in texts)
