"""Wide tables: a column per rater, or a column per clip and a row per rater.

Read as clip tables, such columns would be taken for as many aspects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from base_models.clips.bookkeeping import cannot_be_a_rating
from base_models.clips.columns import (
    RATER_COLUMNS,
    RATING_NAMES,
    STANDARD_NAMES,
    fold_name,
)
from base_models.clips.listening_tests.audio_beside import audio_beside
from base_models.clips.listening_tests.layouts.long_table import with_usual_names
from base_models.clips.listening_tests.listening_test import RATER, ListeningTest
from base_models.clips.names import AUDIO_SUFFIXES, is_audio_name
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
    rf"(?:(?P<before>.+)_)?(?P<rater>(?:{_WORDS})(?:s?_*[0-9]+|_+[a-z](?![a-z0-9])))"
    r"(?:_(?P<after>.+))?"
)
_LETTER_COLUMN = re.compile(r"[rpsluhjae][0-9]{1,3}")

# What Qualtrics and Google Forms write beside the answers.
_SURVEY = re.compile(
    r"startdate|enddate|status|ipaddress|progress|duration.*|finished|recorded_?date"
    r"|recipient.*|external.*|location.*|distributionchannel|userlanguage|timestamp"
    r"|e?_?mail.*|consent.*|comments?.*|age.*|gender.*|name"
    # Questions on the rater: "How old are you?", "Wie alt sind Sie?".
    r"|(.*_)?(how_old|your_age|alter|(wie|wieviel)_alt|how_many|how_long|years_of"
    r"|headphones?|kopfhörer|geschlecht|experience|erfahrung|musician|training)(_.*)?"
    r"|(score|punkte|punktzahl)"
)
_TIMES = (
    "timestamp",
    "zeitstempel",
    "horodateur",
    "sygnatura_czasowa",
    "marca_temporal",
)
_RESPONSES = ("response_id", "responseid", "respondent_id", "respondent", *_TIMES)
_GRID = re.compile(r"(?P<head>.+?)\s*\[(?P<row>[^\[\]]+)\]")
_SUFFIXES = "|".join(suffix.removeprefix(".") for suffix in AUDIO_SUFFIXES)
_AUDIO_NAME = re.compile(rf"[^\s\"'<>/\\]+\.(?:{_SUFFIXES})\b", re.IGNORECASE)


def raters_in_columns(table: TextTable) -> dict[str, tuple[str, str]]:
    """Columns that hold one rater's ratings, as name to (rater, aspect).

    None are found in a table that has a column of mean ratings. Names of a letter and a
    number, as "R1", are those of raters only if nothing else can be a rating, and the
    numbers are what people give: wholes and halves, none below 0.
    """
    found: dict[str, tuple[str, str]] = {}
    letters: dict[str, tuple[str, str]] = {}
    for name, cells in table.columns.items():
        normal = fold_name(name)
        match = _RATER_COLUMN.fullmatch(normal)
        # "n_rater_2" counts something.
        if match and match["before"] != "n" and _are_numbers(cells):
            aspect = match["before"] or match["after"] or ASPECT
            found[name] = (match["rater"], aspect)
        elif _LETTER_COLUMN.fullmatch(normal) and _are_given(cells):
            letters[name] = (name.strip(), ASPECT)
    others = [name for name in table.columns if name not in (found or letters)]
    # "subject_1" beside a column "mos" is about the clip, and not a rating of it.
    has_means = any(fold_name(name) in RATING_NAMES for name in others)
    if not found and len(letters) >= _FEWEST_LETTERS and len(_initials(letters)) == 1:
        has_means = has_means or any(_may_be_rating(table, name) for name in others)
        # Who rated nothing is no rater.
        found = {
            name: pair
            for name, pair in letters.items()
            if any(cell.strip() for cell in table.columns[name])
        }
    return {} if has_means or len(found) < FEWEST_COLUMNS else found


def _initials(names: Iterable[str]) -> set[str]:
    return {name.strip()[0] for name in names}


def _may_be_rating(table: TextTable, name: str) -> bool:
    """Whether a column of numbers has a name that is on no list."""
    folded = fold_name(name)
    is_known = folded in STANDARD_NAMES or cannot_be_a_rating(folded)
    return not is_known and _are_numbers(table.columns[name])


def _are_given(cells: Sequence[str]) -> bool:
    """Whether all numbers are such as people give; none at all are."""
    if not _are_numbers(cells):
        return not any(cell.strip() for cell in cells)
    numbers = [parse_number(cell.strip()) for cell in cells]
    return all(
        number is None or (number >= 0 and float(2 * number).is_integer())
        for number in numbers
    )


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
        file = _file_in(text)
        is_answer = _are_numbers(cells, skipped=_header_rows(table))
        if file and is_answer:
            named[name] = file
        elif is_answer and not _is_about_rater(normal):
            others[name] = name.strip()
    if named:
        # "my song.wav" and "your song.wav" are two.
        if len(set(named.values())) < len(named) and all(map(is_audio_name, named)):
            named = {name: name.strip() for name in named}
        return named if len(named) >= FEWEST_COLUMNS else {}
    has_clips = any(fold_name(name) in STANDARD_NAMES for name in table.columns)
    is_rated = any(fold_name(name) in RATING_NAMES for name in table.columns)
    if has_clips or is_rated or len(others) <= FEWEST_COLUMNS:
        return {}
    return others


def _file_in(text: str) -> str:
    """The name of an audio file in a question, without brackets around it, or ""."""
    match = _AUDIO_NAME.search(text)
    if match is None:
        return ""
    file = match[0]
    is_open = file[0] in "([{" and not any(sign in file for sign in ")]}")
    return file[1:] if is_open else file


def in_grids(clip_of: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The clip and the aspect of each column, where a survey asked for both in a grid.

    Parameters
    ----------
    clip_of : column to clip

    Returns
    -------
    pairs : column to (clip, aspect). Google Forms writes the question and, in brackets,
        the row of a grid; either may be the aspect, if it is the name of a rating. A
        question of all columns is none of a clip.

    Examples
    --------
    >>> in_grids({"c1 [Quality]": "", "c2 [Quality]": ""})
    {'c1 [Quality]': ('c1', 'Quality'), 'c2 [Quality]': ('c2', 'Quality')}
    >>> in_grids({"How good? [c1]": "", "How good? [c2]": ""})
    {'How good? [c1]': ('c1', 'rating'), 'How good? [c2]': ('c2', 'rating')}
    """
    parts = {name: _GRID.fullmatch(name.strip()) for name in clip_of}
    found = {name: match for name, match in parts.items() if match is not None}
    if len(found) == len(parts) > 0:
        heads = {name: match["head"].strip() for name, match in found.items()}
        rows = {name: match["row"].strip() for name, match in found.items()}
        if all(fold_name(row) in RATING_NAMES for row in rows.values()):
            return {name: (_clip(heads[name]), rows[name]) for name in found}
        if all(fold_name(head) in RATING_NAMES for head in heads.values()):
            return {name: (_clip(rows[name]), heads[name]) for name in found}
        if len(set(heads.values())) == 1:
            return {name: (_clip(rows[name]), ASPECT) for name in found}
    return {name: (clip, ASPECT) for name, clip in clip_of.items()}


def _clip(text: str) -> str:
    """What a survey calls a clip: the file that is named, or all of the text."""
    return text if is_audio_name(text) else _file_in(text) or text


def has_raters_in_rows(table: TextTable) -> bool:
    """Whether a table has a row per rater and several columns of clips."""
    raters = _row_rater_column(table)
    if raters is None or not clips_in_columns(table):
        return False
    # Who answered twice is no reason to doubt columns that are called like files.
    if any(_AUDIO_NAME.search(name) for name in table.columns):
        return not any(fold_name(name) in STANDARD_NAMES for name in table.columns)
    cells = table.columns[raters]
    return len(set(cells)) == len(cells)


def read_raters_in_rows(table: TextTable, path: Path) -> ListeningTest:
    """A table with a row per rater and a column per clip as a listening test.

    Raises
    ------
    UsageError
        when there are no columns of clips, or two for one clip and aspect.
    """
    clip_of = clips_in_columns(table)
    if not clip_of:
        raise UsageError(
            f"{path} has no columns of clips with numbers (such as 'a.wav'); it has "
            f"{some(table.columns, 20)}."
        )
    raters = _row_rater_column(table)
    skipped = _header_rows(table)
    place_of = in_grids(clip_of)
    clips: dict[str, dict[str, str]] = {}
    for name, (clip, aspect) in place_of.items():
        other = clips.setdefault(clip, {}).setdefault(aspect, name)
        if other != name:
            raise UsageError(
                f"{path}: columns '{other}' and '{name}' are both ratings of '{clip}'; "
                "keep one, or write what was rated in brackets: 'a.wav [Quality]'."
            )
    aspects = list(dict.fromkeys(aspect for _, aspect in place_of.values()))
    columns: dict[str, list[str]] = {name: [] for name in ("clip_id", RATER, *aspects)}
    locations = []
    for row in range(table.n_rows):
        if row in skipped:
            continue
        # Times of submission tell rows apart, but name nobody.
        rater = f"row {table.locations[row][1]}"
        if raters is not None and fold_name(raters) not in _TIMES:
            rater = table.columns[raters][row].strip()
        for clip, column_of in clips.items():
            columns["clip_id"].append(_id_of(clip))
            columns[RATER].append(rater)
            for aspect in aspects:
                column = column_of.get(aspect)
                cell = "" if column is None else table.columns[column][row].strip()
                columns[aspect].append(cell)
            locations.append(table.locations[row])

    # The name in the header may have the suffix by which the file is found.
    files = {_id_of(clip): clip for clip in clips}
    beside = audio_beside(path, [files[clip] for clip in columns["clip_id"]])
    columns["audio"] = beside
    return ListeningTest(
        layout="raters-in-rows",
        table=TextTable(columns, locations, table.unit),
        aspects=tuple(aspects),
        notes=(f"columns {some(clip_of)} are read as ratings of one clip each",),
    )


def _id_of(clip: str) -> str:
    return Path(clip).stem if is_audio_name(clip) else clip


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
        or cannot_be_a_rating(normal)
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
