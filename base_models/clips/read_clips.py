"""The clip table: one row per clip, read from a MusicEval tree, a table or a folder.

Everything is read as text, then checked, then converted. A reader that guesses types,
skips odd rows or accepts ``3,5`` would change labels unnoticed; here each such cell is
a problem that names file, line, value and what is legal, and all problems of a table
are raised together.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.clip_status import BAD_ROW, DUPLICATE, UNREADABLE
from base_models.clips import musiceval
from base_models.clips.columns import (
    CLIP_COLUMNS,
    RATING_NAMES,
    fold_name,
)
from base_models.clips.labels import FEWEST_LABELLED, label_scales
from base_models.clips.listening_tests.listening_test import ListeningTest
from base_models.clips.listening_tests.rating_options import (
    AS_THEY_ARE,
    RatingOptions,
)
from base_models.clips.listening_tests.read_listening_test import read_listening_test
from base_models.clips.parquet.published_tables import as_published, find_shards, joined
from base_models.clips.problems import (
    Problem,
    Problems,
    TableProblems,
    problem_in,
)
from base_models.clips.rating_tables import one_row_per_clip
from base_models.clips.rows.audio_tables import table_of_audio
from base_models.clips.rows.cell_checks import (
    check_audio,
    check_labelled,
    check_names,
    check_repeats,
    read_splits,
)
from base_models.clips.rows.rated_columns import odd_cell_notes
from base_models.clips.rows.read_labels import Labels, LabelSource, read_labels
from base_models.clips.rows.reading import Reading
from base_models.clips.rows.standard_columns import (
    StandardTable,
    columns_note,
    with_standard_columns,
)
from base_models.clips.rows.validate import validate_clips
from base_models.clips.segments.table_times import check_times, with_segments
from base_models.clips.tables.read_table import TABLE_SUFFIXES, is_table, read_table
from base_models.clips.tables.scored_rows import without_unscored
from base_models.clips.text_table import TextTable
from base_models.errors import ClipError, UsageError, some
from base_models.processes.garbage import collection_paused
from base_models.scales import Ends, LabelScales


@dataclass(frozen=True)
class SetAside:
    """A clip that cannot be used, and why.

    Parameters
    ----------
    clip_id : str
    reason : str
        A sentence, or as much of one as stands behind a colon.
    status : str
        The same in one word, of `base_models.clip_status.STATUSES`.
    """

    clip_id: str
    reason: str
    status: str = UNREADABLE

    @classmethod
    def of(cls, clip_id: str, error: ClipError) -> SetAside:
        """The clip that an error is about."""
        return cls(clip_id, str(error), status=error.status)

    def to_json(self) -> dict[str, str]:
        """As lists for programs have it."""
        return {"clip_id": self.clip_id, "status": self.status, "reason": self.reason}


@dataclass(frozen=True)
class ReadRows:
    """The rows of a table that can be used, and what is wrong with the others.

    Parameters
    ----------
    clips : as `read_clips` returns them, without the rows that have a problem
    problems : all of them
    standard : the table that was read
    rows : the row of `standard` that each clip was read from
    """

    clips: pd.DataFrame
    problems: Problems
    standard: StandardTable
    rows: tuple[int, ...]

    def problem(
        self, clip: int, column: str, *, what: str, message: str, cure: str = ""
    ) -> Problem:
        """A problem of one of the clips, found later, with its place."""
        row = self.rows[clip]
        audio = self.standard.audio
        value = audio[row].cell if audio else str(self.clips[column].iloc[clip])
        return problem_in(
            self.standard.table,
            row,
            self.standard.column(column),
            value=value,
            what=what,
            message=message,
            cure=cure,
        )


def read_clips(
    path: str | os.PathLike,
    aspects: Iterable[str] | None = None,
    labels: bool = True,
    ratings: str | os.PathLike | None = None,
    rating_scale: Sequence[float] | None = None,
    scales: LabelScales | Ends | Mapping[str, Ends] | None = None,
    columns: Mapping[str, str] | None = None,
    options: RatingOptions | None = None,
) -> pd.DataFrame:
    """Read a clip table.

    Parameters
    ----------
    path : a MusicEval / AudioMOS 2025 track 1 folder, its eval-phase package or one of
        its label lists (.txt); a folder of Parquet files named after splits, or its
        ``data`` (see `base_models.clips.parquet.published_tables`); or a table of any
        kind in `TABLE_SUFFIXES` with columns ``clip_id, audio, prompt, system_id,
        split`` (or their usual other names, see `base_models.clips.columns.ALIASES`)
        and one column per rated aspect. ``audio`` is relative to the table's folder; a
        Parquet table may hold the audio files themselves. An export of a listening test
        (`base_models.clips.listening_tests`) is read as the means of its clips, and
        votes on pairs as Bradley–Terry scores. A folder without any of these has a clip
        per audio file in it.
    aspects : the rated columns, or ``aspect=column``, as in ``mi=naturalness``. By
        default those with a known name of a rating; if there is none, all numeric
        columns that lie on the scale and do not look like counts or bookkeeping; if
        there is none, the table is unlabelled.
    labels : False for a table that is to be scored: no column is read as a rating, and
        none is required
    ratings : single ratings, see `base_models.clips.ratings.read_ratings`, whose means
        are the labels where `path` has none; None takes those of a MusicEval tree
    rating_scale : lowest and highest of the single ratings, where they are not those of
        the labels
    scales : lowest and highest label, as ``(0, 100)``, or those of single aspects, as
        ``{"pq": (1, 10)}``. Labels are returned as they stand in the table. A scale in
        the name of a column, as in ``Rating (0-100)``, is declared by it
    columns : which column is what, as ``{"audio": "File name", "mi": "Rating (1-5)"}``,
        where names do not say it
    options : the layout of a listening test, which conditions and raters are left out
        (by default reference and anchor conditions of a table with single ratings,
        where labels are read), and more that can be said of columns and cells

    Returns
    -------
    clips : DataFrame with text columns ``clip_id, system_id, prompt, audio, split`` (""
        where the data has none), one float64 column per aspect (NaN where unlabelled),
        and the other columns as text; ``attrs["aspects"]`` lists the aspects, and
        ``attrs["notes"]``, if it is there, says what was chosen where the table left a
        choice; ``attrs["columns"]`` which column an aspect of another name is read
        from; ``attrs["taken"]`` which column of the file each standard one is that it
        calls otherwise; ``attrs["scales"]`` the ends of each scale that `scales` or the
        data names (see `base_models.clips.labels.labels_onto`);
        ``attrs["rating_options"]`` the `options`, where it is a listening test; and
        ``attrs["means_of"]`` of which single ratings the labels are the means, with
        ``<aspect>_n``, ``<aspect>_low`` and ``<aspect>_high`` beside them (see
        `base_models.clips.ratings.mean_ratings`). Audio files need not exist: see
        `base_models.clips.check`.

    Raises
    ------
    TableProblems
        when rows cannot be used: ids are empty or repeat, a clip is in two splits or of
        train or dev without a label, a label is off the scale, a path fits two files;
        all of them, each with file and line.
    UsageError
        when there is nothing to read, or no column says what the clips are.
    """
    rows = collect_clips(
        path,
        aspects=aspects,
        labels=labels,
        ratings=ratings,
        rating_scale=rating_scale,
        scales=scales,
        columns=columns,
        options=options,
    )
    rows.problems.raise_if_any()
    return rows.clips


@collection_paused()
def collect_clips(
    path: str | os.PathLike,
    aspects: Iterable[str] | None = None,
    labels: bool = True,
    ratings: str | os.PathLike | None = None,
    rating_scale: Sequence[float] | None = None,
    scales: LabelScales | Ends | Mapping[str, Ends] | None = None,
    columns: Mapping[str, str] | None = None,
    options: RatingOptions | None = None,
) -> ReadRows:
    """Read the rows of a clip table that can be used, and list what the others lack.

    Parameters
    ----------
    path, aspects, labels, ratings : as `read_clips` takes them
    rating_scale, scales, columns, options : likewise

    Raises
    ------
    TableProblems
        when labels are the means of single ratings, and rows of these cannot be used:
        of these and of the clips.
    UsageError
        as `read_clips`, except for problems of rows.
    """
    path = Path(path)
    options = options or (RatingOptions() if labels else AS_THEY_ARE)
    if columns is not None:
        options = replace(options, reading=Reading.of_any(columns))
    words = _aspect_words(aspects, options.reading)
    problems = Problems(0)
    standard, test, given = _read_table(path, options, problems)
    table = standard.table
    if table.n_rows == 0:
        raise UsageError(f"{path} holds no clips.")
    problems.n_rows = table.n_rows
    check_names(standard, problems)
    check_audio(standard, problems)
    # Times beside single ratings are of when somebody rated.
    if test is None:
        check_times(standard, options.reading, problems)

    labelled = Labels()
    of_ratings: TableProblems | None = None
    if labels:
        try:
            labelled = read_labels(
                standard.table,
                words,
                source=LabelSource(path, test, ratings, rating_scale=rating_scale),
                declared=LabelScales.of_any(scales),
                options=options,
                problems=problems,
            )
        except TableProblems as error:
            of_ratings = error
    splits = read_splits(standard, problems)
    check_repeats(standard, splits, problems)
    # Without labels there is nothing to return; all files are mended at once.
    if of_ratings is not None:
        raise of_ratings.after(problems)
    if labelled.arrays:
        scores = np.stack(
            [labelled.arrays[aspect] for aspect in labelled.rated], axis=1
        )
        check_labelled(standard, splits, scores, problems=problems)

    wrong = problems.rows
    kept = [row for row in range(table.n_rows) if row not in wrong]
    frame = _frame(table, splits, labelled, rows=kept)
    frame.attrs = _attributes(standard, labelled, given, is_rated=labels)
    _note_narrow_labels(frame)
    # The table is checked as one that was made by hand: ids, splits and scale.
    validate_clips(frame, labels=labels)
    return ReadRows(frame, problems, standard, rows=tuple(kept))


def _aspect_words(
    aspects: str | Iterable[str] | None, reading: Reading
) -> list[str] | None:
    """The aspects that are named, in either way."""
    named = [f"{aspect}={column}" for aspect, column in reading.aspects.items()]
    if aspects is None:
        return named or None
    return [*([aspects] if isinstance(aspects, str) else aspects), *named]


def _frame(
    table: TextTable, splits: Sequence[str], labelled: Labels, rows: Sequence[int]
) -> pd.DataFrame:
    """The clip table of some rows; others may hold what no frame can."""
    columns: dict[str, Sequence[str] | np.ndarray] = {}
    for name in CLIP_COLUMNS:
        columns[name] = table.columns[name]
    columns["split"] = splits
    columns |= labelled.arrays
    for name, cells in table.columns.items():
        if name not in labelled.rated.values():
            columns.setdefault(name, cells)

    chosen: dict[str, list[str] | np.ndarray] = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray):
            chosen[name] = values[rows]
        else:
            chosen[name] = [values[row] for row in rows]
    return pd.DataFrame(chosen)


def _attributes(
    standard: StandardTable,
    labelled: Labels,
    given: Sequence[str],
    is_rated: bool,
) -> dict[str, object]:
    """What is said of a clip table: see `read_clips`."""
    rated = labelled.rated
    attributes: dict[str, object] = {"aspects": list(rated)}
    in_table = {aspect: column for aspect, column in rated.items() if column in given}
    used = {*standard.taken.values(), *in_table.values()}
    # Where no label is read, nobody asks which columns might have been labels.
    ignored = [
        name
        for name in given
        if name not in used and (is_rated or fold_name(name) not in RATING_NAMES)
    ]
    about_columns = columns_note(standard, in_table, ignored=ignored)
    notes = [*standard.table.notes, *labelled.notes]
    if about_columns:
        notes.insert(len(standard.table.notes), about_columns)
    if is_rated:
        notes += odd_cell_notes(standard.table, ignored)
    if notes:
        attributes["notes"] = notes
    if any(aspect != column for aspect, column in rated.items()):
        attributes["columns"] = rated
    otherwise = {own: of for own, of in standard.taken.items() if own != of}
    if otherwise:
        attributes["taken"] = otherwise
    if labelled.source is not None:
        attributes["means_of"] = str(labelled.source)
    if labelled.rating_options is not None:
        attributes["rating_options"] = labelled.rating_options.to_json()
    # As lists, since attributes are written with a table as JSON.
    known = {aspect: labelled.scales.of(aspect) for aspect in rated}
    ends = {aspect: scale.to_json() for aspect, scale in known.items() if scale}
    if ends:
        attributes["scales"] = ends
    return attributes


def _note_narrow_labels(frame: pd.DataFrame) -> None:
    """Note labels that use so little of their declared scale that it may be another."""
    if "scales" not in frame.attrs:
        return
    for aspect, scale in label_scales(frame).items():
        low = frame[aspect].min()
        high = frame[aspect].max()
        if len(frame) >= FEWEST_LABELLED and high - low < scale.width / 10:
            notes = frame.attrs.setdefault("notes", [])
            notes.append(
                f"all labels of '{aspect}' lie in {low:g}..{high:g}, which is little "
                f"of the declared scale {scale}: is it theirs?"
            )


# ---- cells


def _read_table(
    path: Path, options: RatingOptions, problems: Problems
) -> tuple[StandardTable, ListeningTest | None, list[str]]:
    """The cells of a tree or table, under the standard names of columns.

    The second is the listening test whose clips these are, where it is one. The third
    are the columns of a table with a row per clip, which were chosen from. Lines of a
    list that are no rows are added to `problems`.
    """
    reading = options.reading
    # What is no listening test is read once nevertheless.
    read = cache(read_table)
    test = read_listening_test(path, options, read)
    if test is not None:
        cells = test.clips or one_row_per_clip(test.table)
        _check_columns_are_there(path, test.table, reading)
        # What is named has its standard name already.
        standard = with_standard_columns(cells, path, replace(reading, columns={}))
        # What was guessed of the file is known to both.
        notes = tuple(dict.fromkeys((*test.notes, *standard.table.notes)))
        table = replace(standard.table, notes=notes)
        return replace(standard, table=table), test, []
    if path.is_dir() and musiceval.find_tree(path) is None:
        shards = find_shards(path)
        if shards:
            return _read_shards(shards, reading), None, []
        tables = sorted(file for file in path.iterdir() if _is_table(file))
        if len(tables) == 1:
            standard, test, given = _read_table(tables[0], options, problems)
            note = f"clips are read from {tables[0].name} in {path}"
            return _noted(standard, note), test, given
        if len(tables) > 1:
            raise UsageError(
                f"{path} holds several tables: {some(file.name for file in tables)}; "
                "name the one that lists the clips."
            )
        of_audio = table_of_audio(path)
        if of_audio is None:
            raise UsageError(
                f"{path} holds no clips: looked for sets/train_mos_list.txt and its "
                "kin (MusicEval), for one table (.csv and others), and for audio files."
            )
        return of_audio, None, []
    if path.is_dir() or musiceval.is_list(path):
        return StandardTable(musiceval.read_tree(path, problems), {}), None, []
    if is_table(path):
        # Of scores, rows that repeat another or hold a bad cell were refused before.
        cells = without_unscored(read(path), (DUPLICATE, BAD_ROW))
        given = list(cells.columns)
        standard = with_segments(cells, path, reading)
        if standard.table.embedded:
            published = as_published(standard.table, [path])
            standard = replace(standard, table=published)
        return standard, None, given
    of_audio = table_of_audio(path) if path.is_file() else None
    if of_audio is not None:
        return of_audio, None, []
    if path.exists():
        raise UsageError(
            f"{path}: clips are read from a folder of audio, a MusicEval folder, "
            f"or {', '.join(TABLE_SUFFIXES)}."
        )
    raise UsageError(f"There is no file or folder {path}.")


def _check_columns_are_there(path: Path, table: TextTable, reading: Reading) -> None:
    """Refuse columns of a listening test that the user names and it does not have."""
    for standard, column in reading.columns.items():
        if column and standard not in table.columns:
            raise UsageError(
                f"{path} has no column '{column}' (--columns); it has "
                f"{some(table.columns, 20)}."
            )


def _is_table(file: Path) -> bool:
    """Whether a file of a folder is one that may list its clips.

    Notes and settings lie beside tables, too.
    """
    is_other = file.suffix.lower() in (".txt", ".scp", ".json")
    return is_table(file) and not is_other and not file.name.startswith(".")


def _read_shards(shards: Sequence[Path], reading: Reading) -> StandardTable:
    tables = [with_segments(read_table(shard), shard, reading) for shard in shards]
    table = as_published(joined([one.table for one in tables], shards), shards)
    audio = tuple(found for one in tables for found in one.audio)
    return StandardTable(table, tables[0].taken, audio)


def _noted(standard: StandardTable, note: str) -> StandardTable:
    notes = (note, *standard.table.notes)
    return replace(standard, table=replace(standard.table, notes=notes))
