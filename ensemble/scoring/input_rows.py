"""The rows that are to be scored, as they were given: usable or not.

A table may have rows that cannot be read, and the same clip twice. These are refused
before anything is scored, and come back among the others.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from base_models.clips import musiceval
from base_models.clips.listening_tests.rating_options import (
    AS_THEY_ARE,
    RatingOptions,
)
from base_models.clips.names import comparable_ids
from base_models.clips.problems import Problem
from base_models.clips.read_clips import ReadRows, SetAside, collect_clips
from base_models.clips.tables.read_table import is_table
from base_models.errors import UsageError, nearest_name, some
from ensemble.formats import Scores
from ensemble.prediction_files.prediction_word import FileWord, PredictionFile
from ensemble.prediction_files.read_predictions import read_distributions
from ensemble.scoring.every_row import among, kept_columns, own_columns, without_repeats
from meta.score_columns import KEPT

ALL = "all"
NONE = "none"


@dataclass(frozen=True, eq=False)
class InputRows:
    """Every row of an input, and those of them that can be scored.

    Parameters
    ----------
    given : DataFrame of n rows
        ``clip_id``, ``audio``, and all other columns as text, as they were written.
    clips : DataFrame
        The usable rows, as `ensemble.scoring.score_clips.score_clips` takes them.
    refused : dict
        The number of each other row, from 0, and why it is not scored.
    problems : tuple of Problem
        What is wrong with cells of the refused rows, with their places.
    """

    given: pd.DataFrame
    clips: pd.DataFrame
    refused: dict[int, SetAside]
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of_clips(cls, clips: pd.DataFrame) -> InputRows:
        """Rows that need no reading; none is refused but repeated ones."""
        first, repeats = without_repeats(clips)
        return cls(clips, first, repeats)

    @classmethod
    def read(cls, path: str | os.PathLike[str], options: RatingOptions) -> InputRows:
        """Read a clip table that is to be scored.

        Parameters
        ----------
        path : path-like
            As `base_models.clips.read_clips.read_clips` takes it.
        options : RatingOptions
            How it is read.

        Raises
        ------
        TableProblems
            When no row can be used.
        UsageError
            When there is nothing to read, or no column says what the clips are.
        """
        rows = collect_clips(path, labels=False, options=options)
        if rows.clips.empty:
            rows.problems.raise_if_any()
        given = _as_written(rows)
        refused: dict[int, SetAside] = {}
        for row, problem in rows.problems.found:
            clip = given["clip_id"].iloc[row]
            # Of several problems of a row the first is said.
            said = SetAside(clip, str(problem), status=problem.status)
            refused.setdefault(row, said)
        return cls(given, rows.clips, refused, problems=tuple(rows.problems))

    @classmethod
    def beside(cls, clip_ids: Sequence[str], files: Sequence[FileWord]) -> InputRows:
        """Clips of files of predictions, with what else these say of them.

        Parameters
        ----------
        clip_ids : sequence of n str
            The clips, none of which is refused.
        files : sequence of FileWord
            Their predictions. Where several tables have a column, the first one that
            has something in it for a clip is heard.
        """
        given = pd.DataFrame({"clip_id": list(clip_ids), "audio": ""}, dtype=object)
        taken: dict[str, str] = {}
        for file in PredictionFile.parse_all(files):
            found = _columns_beside(file)
            if found is None:
                continue
            table, called = found
            taken = {**called, **taken}
            known, own = comparable_ids(list(clip_ids), table["clip_id"].tolist())
            # Of a clip that a file has twice, the first row is heard.
            row_of = {form: row for row, form in reversed(list(enumerate(own)))}
            rows = [row_of.get(form) for form in known]
            for name in table.columns.drop(["clip_id", "audio"], errors="ignore"):
                cells = table[name].tolist()
                before = given[name].tolist() if name in given else [""] * len(given)
                given[name] = [
                    heard or ("" if row is None else cells[row])
                    for heard, row in zip(before, rows, strict=True)
                ]
        clips = given[["clip_id", "audio"]]
        clips.attrs["taken"] = taken
        return cls(given, clips, refused={})

    def keep(self, words: Sequence[str] | None) -> dict[str, str]:
        """The columns to keep, by the names that `words` call them.

        Parameters
        ----------
        words : sequence of str, or None
            Names of columns, or `ALL` or `NONE`; None for `KEPT`, as far as there is
            something in them.

        Returns
        -------
        columns : dict
            Name of a column of `given` to the name that it was asked for by.

        Raises
        ------
        UsageError
            When there is no such column.
        """
        others = [name for name in self.given if name not in ("clip_id", "audio")]
        filled = [name for name in others if _is_filled(self.given[name])]
        if words is None:
            return {name: name for name in KEPT if name in filled}
        if list(words) == [NONE]:
            return {}
        if list(words) == [ALL]:
            # Standard columns that the file does not have are empty in `given`.
            return {name: name for name in filled}

        # A standard column may be called otherwise in the file.
        taken = self.clips.attrs.get("taken", {})
        standard_of = {name: standard for standard, name in taken.items()}
        columns = {}
        for word in words:
            name = standard_of.get(word, word)
            if name in ("clip_id", "audio"):
                continue
            if name not in others:
                known = [*others, *standard_of]
                nearest = nearest_name(word, known)
                hint = f" Did you mean '{nearest}'?" if nearest else ""
                raise UsageError(
                    f"--keep: the table has no column '{word}'.{hint} It has "
                    f"{some(known, 20)}; {ALL} keeps all, {NONE} keeps none."
                )
            columns[name] = word
        return columns

    def complete(
        self, scores: Scores, keep: Sequence[str] | None = None
    ) -> tuple[Scores, tuple[str, ...]]:
        """Scores of the usable rows, with all others and the kept columns.

        Parameters
        ----------
        scores : Scores
            Of `clips`.
        keep : sequence of str, or None
            See `keep`.

        Returns
        -------
        scores : Scores
            Of all n rows.
        notes : tuple of str
            Which columns were renamed, since scores have columns of their names.
        """
        columns = self.keep(keep)
        own = own_columns(scores)
        names = {}
        notes = []
        for name, called in columns.items():
            names[name] = called
            if called in own:
                names[name] = f"given_{called}"
                notes.append(
                    f"column {called} is kept as given_{called}: scores have a column "
                    f"{called} of their own"
                )
        given = kept_columns(self.given, list(columns)).rename(columns=names)
        kept = replace(scores, kept=tuple(names.values()))
        return among(kept, given, self.refused), tuple(notes)

    def described(self, scores: Scores) -> Scores:
        """Scores with the columns of `KEPT`, whichever were asked to be kept.

        Parameters
        ----------
        scores : Scores
            Of some of these rows.
        """
        absent = [name for name in self.keep(None) if name not in scores.frame]
        is_refused = [row in self.refused for row in range(len(self.given))]
        own = self.given[~np.array(is_refused, dtype=bool)]
        columns = {}
        for name in absent:
            cell_of = dict(zip(own["clip_id"], own[name], strict=True))
            columns[name] = [cell_of.get(clip, "") for clip in scores.frame["clip_id"]]
        return replace(scores, frame=scores.frame.assign(**columns))


def _columns_beside(file: PredictionFile) -> tuple[pd.DataFrame, dict[str, str]] | None:
    """All columns of a file of predictions as text, and what standard ones are called.

    None where it is no table that names its clips.
    """
    is_of_rows = is_table(file.path) and not musiceval.is_list(file.path)
    if file.ids is not None or not is_of_rows:
        return None
    if read_distributions(file.path) is not None:
        return None
    try:
        rows = collect_clips(file.path, labels=False, options=AS_THEY_ARE)
    except UsageError:
        # Its predictions were read all the same; there is only nothing to keep.
        return None
    return _as_written(rows), rows.clips.attrs.get("taken", {})


def _is_filled(cells: pd.Series) -> bool:
    return any(not pd.isna(cell) and str(cell) != "" for cell in cells)


def _as_written(rows: ReadRows) -> pd.DataFrame:
    """All rows of the table; their cells as the file has them, paths as they are read.

    Another spelling of a path is what the file has, and would not be found from here.
    """
    table = rows.standard.table
    columns = {}
    for name, cells in table.columns.items():
        columns[name] = list(cells)
        if name in ("clip_id", "audio"):
            continue
        written = [table.as_written(name, row, cell) for row, cell in enumerate(cells)]
        columns[name] = written
    return pd.DataFrame(columns, dtype=object)
