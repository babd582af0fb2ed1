"""Single ratings: one row per clip and rater, one column per aspect; read, checked, and counted into histograms.

A mean opinion score hides whether raters agreed; their ratings do not. The trap: a rating that is read on the wrong
scale, twice, or for a clip that nobody knows changes what is learnt without a word, so each is refused or counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.clips import musiceval
from base_models.clips.musiceval import TextTable, check_name
from base_models.clips.read_clips import ALIASES, READERS, SCALE, read_scores
from base_models.errors import UsageError, some

_RATERS = (
    "rater",
    "listener",
    "annotator",
    "judge",
    "subject",
    "participant",
    "worker",
    "assessor",
    "user",
)
RATER_COLUMNS = (*(f"{name}_id" for name in _RATERS), *_RATERS)
RATING_COLUMNS = (
    "rating",
    "ratings",
    "score",
    "scores",
    "mos",
    "opinion_score",
    "vote",
    "votes",
    "mushra",
)
"""What the column of ratings may also be called when there is one aspect."""
FARTHEST = 1.0
"""Mean distance of labels from mean ratings that is refused, in score points."""


def read_ratings(
    path: str | os.PathLike,
    aspects: Iterable[str] = musiceval.ASPECTS,
    scale: Sequence[float] | None = None,
    bins: ScoreBins = SCALE,
) -> pd.DataFrame:
    """Read single ratings.

    Parameters
    ----------
    path : a MusicEval tree (its ``person_mos`` lists) or one such list (.txt); or a table (.csv, .tsv, .jsonl,
        .parquet) with a column of clip ids or audio files (`ALIASES`), one of raters (`RATER_COLUMNS`) and one per
        aspect; for a single aspect also one of `RATING_COLUMNS`, or the only column left
    aspects : names
    scale : lowest and highest rating of a table, mapped onto `bins` by a straight line; None when they are the same
    bins : the scale of the labels

    Returns
    -------
    ratings : DataFrame with columns ``clip_id, rater_id`` (text) and one float64 column per aspect, NaN where the rater
        left it out

    Raises
    ------
    UsageError
        when there is nothing to read, a column is missing, a row cannot be used, or a rater rates a clip twice.
    """
    path, aspects = Path(path), [aspects] if isinstance(aspects, str) else list(aspects)
    if path.is_dir() or path.suffix.lower() == ".txt":
        table = musiceval.read_rating_lists(path)
        columns = {aspect: aspect.lower() for aspect in aspects}
        foreign = [
            aspect for aspect in aspects if aspect.lower() not in musiceval.ASPECTS
        ]
        if foreign:
            raise UsageError(
                f"{path} rates {some(musiceval.ASPECTS)}, not {some(foreign)}."
            )
    elif path.suffix.lower() in READERS:
        table = READERS[path.suffix.lower()](path)
        columns = {
            aspect: _rating_column(table, aspect, len(aspects) == 1, path)
            for aspect in aspects
        }
        table = _with_ids(table, path)
    elif path.exists():
        raise UsageError(
            f"{path}: ratings are read from a MusicEval folder, a .txt list, or {', '.join(READERS)}."
        )
    else:
        raise UsageError(f"There is no file or folder {path}.")
    frame = pd.DataFrame(
        {name: table.columns[name] for name in ("clip_id", "rater_id")}
    )
    twice = frame.duplicated()
    if twice.any():
        row = int(twice.to_numpy().argmax())
        raise UsageError(
            f"{table.place(row)}: rater '{frame['rater_id'][row]}' rates '{frame['clip_id'][row]}' twice."
        )
    if frame.empty:
        raise UsageError(f"{path} holds no ratings.")
    given = bins if scale is None else _scale(scale)
    cure = "Ratings on another scale need its ends (--rating-scale LOW HIGH)."
    values = {
        aspect: read_scores(table, column, given, cure)
        for aspect, column in columns.items()
    }
    if scale is None:
        return frame.assign(**values)
    share = {
        aspect: (column - given.low) / (given.high - given.low)
        for aspect, column in values.items()
    }
    return frame.assign(
        **{
            aspect: bins.low + (bins.high - bins.low) * column
            for aspect, column in share.items()
        }
    )


def find_ratings(data: str | os.PathLike) -> Path | None:
    """The MusicEval tree of `data` (a folder, or one of its label lists) that holds single ratings too, or None."""
    data = Path(data)
    roots = (
        [musiceval.find_tree(data)]
        if data.is_dir()
        else [data.parent, data.parent.parent]
    )
    return next(
        (root for root in roots if root and (root / "person_mos").is_dir()), None
    )


def check_ratings(
    ratings: pd.DataFrame, aspects: Sequence[str], bins: ScoreBins = SCALE
) -> None:
    """Check that `ratings` is a table of single ratings of these aspects, wherever it came from.

    Raises
    ------
    UsageError
        when a column is missing or not numeric, a rating is off the scale, or a rater rates a clip twice.
    """
    missing = [
        name for name in ("clip_id", "rater_id", *aspects) if name not in ratings
    ]
    if missing:
        raise UsageError(
            f"Ratings lack the columns {some(missing)}; they have {some(ratings.columns, 20)}."
        )
    twice = ratings.duplicated(["clip_id", "rater_id"])
    if twice.any():
        clip, rater = ratings.loc[twice, ["clip_id", "rater_id"]].iloc[0]
        raise UsageError(f"Rater '{rater}' rates '{clip}' twice.")
    for aspect in aspects:
        if ratings[aspect].dtype.kind not in "fiu":
            raise UsageError(f"Ratings of '{aspect}' are not numbers.")
        off = ratings[aspect].notna() & ~ratings[aspect].between(bins.low, bins.high)
        if off.any():
            clip, value = ratings.loc[off, ["clip_id", aspect]].iloc[0]
            raise UsageError(
                f"Rating {value:g} of '{clip}', '{aspect}' is off the scale {bins.low:g}..{bins.high:g}."
            )


def histograms(
    ratings: pd.DataFrame, clip_ids: Sequence[str], aspect: str, bins: ScoreBins
) -> np.ndarray:
    """The raters of each clip as a distribution over bins: the mean of their ratings, each split between two bins.

    Parameters
    ----------
    ratings : as `check_ratings` takes them; those of other clips are not read
    clip_ids : n unique ids

    Returns
    -------
    histograms : float64 array of shape (n, bins.count), rows sum to 1; NaN where a clip has no rating of the aspect.
        Neither the order of the rows nor the names of the raters change a bit of it.
    """
    counts, sums = count_ratings(ratings, clip_ids, aspect, bins)
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], np.nan)


def count_ratings(
    ratings: pd.DataFrame, clip_ids: Sequence[str], aspect: str, bins: ScoreBins
):
    """How many ratings each clip has, (n,), and what falls into its bins, (n, bins.count): not yet divided."""
    row_of = {clip: row for row, clip in enumerate(clip_ids)}
    rows = ratings["clip_id"].map(row_of).to_numpy(dtype=np.float64)
    values = ratings[aspect].to_numpy(dtype=np.float64)
    used = np.isfinite(rows) & np.isfinite(values)
    rows, values = rows[used].astype(np.int64), values[used]
    order = np.lexsort((values, rows))  # sums of one order, whatever that of the table
    sums = np.zeros((len(row_of), bins.count))
    np.add.at(sums, rows[order], bins.split(values[order]))
    return np.bincount(rows, minlength=len(row_of)), sums


# ---- columns


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _one_column(
    table: TextTable, legal: Sequence[str], what: str, path: Path
) -> str | None:
    found = [name for name in table.columns if _plain(name) in legal]
    if len(found) > 1:
        raise UsageError(
            f"{path}: columns {some(found)} may all be the {what}; drop or rename all but one."
        )
    return found[0] if found else None


def _with_ids(table: TextTable, path: Path) -> TextTable:
    """The same table with checked ``clip_id`` and ``rater_id``."""
    clip = _one_column(table, ALIASES["clip_id"].split(), "clip id", path)
    audio = (
        None
        if clip
        else _one_column(table, ALIASES["audio"].split(), "audio file", path)
    )
    rater = _one_column(table, RATER_COLUMNS, "rater", path)
    if not (clip or audio) or not rater:
        what = (
            "clip ids (clip_id, or audio)"
            if rater
            else f"raters ({', '.join(RATER_COLUMNS[:4])} …)"
        )
        raise UsageError(
            f"{path} has no column of {what}; it has {some(table.columns, 20)}."
        )
    ids = [cell.strip() for cell in table.columns[clip or audio]]
    named = {"clip_id": ids if clip else [Path(cell).stem for cell in ids]}
    named["rater_id"] = [cell.strip() for cell in table.columns[rater]]
    for what, cells in (("clip id", named["clip_id"]), ("rater", named["rater_id"])):
        for row, cell in enumerate(cells):
            check_name(cell, table.place(row), what)
            if not cell:
                raise UsageError(f"{table.place(row)}: the {what} is empty.")
    return TextTable(table.columns | named, table.places, table.unit)


def _rating_column(table: TextTable, aspect: str, alone: bool, path: Path) -> str:
    """The column that rates `aspect`: of its name, or, of a single aspect, of a usual name, or the only one left."""
    about = {
        *RATER_COLUMNS,
        *(name for names in ALIASES.values() for name in names.split()),
    }
    free = [name for name in table.columns if _plain(name) not in about]
    for legal in ((_plain(aspect),), RATING_COLUMNS if alone else ()):
        found = _one_column(table, legal, f"ratings of '{aspect}'", path)
        if found:
            return found
    if alone and len(free) == 1:
        return free[0]
    raise UsageError(
        f"{path} has no ratings of '{aspect}': no column of that name; it has {some(table.columns, 20)}."
    )


def _scale(scale: Sequence[float]) -> ScoreBins:
    low, high = scale
    if not (np.isfinite([low, high]).all() and low < high):
        raise UsageError(
            f"A rating scale has a lowest and a higher highest rating; got {low:g} {high:g}."
        )
    return ScoreBins(low, high)


def check_against_labels(
    ratings: pd.DataFrame, labels: pd.DataFrame, aspects: Sequence[str]
) -> float:
    """How far the means of single ratings lie from the labels: the mean distance in score points, of the worst aspect.

    Labels are such means, of all raters or of those that were kept, so a large distance means that the ratings were
    read on a wrong scale.

    Parameters
    ----------
    ratings : see `read_ratings`
    labels : table with ``clip_id`` and one column per aspect, NaN where unlabelled
    aspects : names

    Raises
    ------
    UsageError
        when the distance is above `FARTHEST`.
    """
    both = (
        labels.set_index("clip_id")[list(aspects)],
        ratings.groupby("clip_id")[list(aspects)].mean(),
    )
    gaps = (both[0] - both[1].reindex(both[0].index)).abs().mean()
    gap = float(gaps.max()) if gaps.notna().any() else 0.0
    if gap > FARTHEST:
        aspect = gaps.idxmax()
        raise UsageError(
            f"The mean ratings of '{aspect}' lie {gap:.2f} points from its labels on average, and labels are such "
            "means: were they read on their own scale? Name its ends (--rating-scale LOW HIGH)."
        )
    return gap
