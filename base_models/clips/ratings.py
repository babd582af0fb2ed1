"""Single ratings: one row per clip and rater, one column per aspect.

A mean opinion score hides whether raters agreed; their ratings do not. A rating that is
read on the wrong scale, or twice, would change what is learnt unnoticed, so each is
refused.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from base_models.clips import musiceval
from base_models.clips.columns import (
    ALIASES,
    RATER_COLUMNS,
    RATING_COLUMNS,
    STANDARD_NAMES,
    fold_name,
    only_column,
)
from base_models.clips.labels import SCALE, read_scores
from base_models.clips.listening_tests.known_scales import known_scales
from base_models.clips.listening_tests.listening_test import ListeningTest
from base_models.clips.listening_tests.rating_options import (
    AS_THEY_ARE,
    RatingOptions,
)
from base_models.clips.listening_tests.read_listening_test import read_listening_test
from base_models.clips.problems import Problem, Problems
from base_models.clips.rating_tables import (
    holds_lists,
    one_row_per_rating,
    rated_columns_of,
)
from base_models.clips.tables.read_table import (
    TABLE_SUFFIXES,
    is_table,
    read_table,
    table_file,
)
from base_models.clips.text_table import TextTable, check_name
from base_models.errors import UsageError, some
from base_models.scales import Scale, as_scale

MAX_DISTANCE_FROM_LABELS = 1.0
"""Mean distance of labels from mean ratings that is refused, in points of 1..5."""

MEAN_LEVEL = 0.95
"""Coverage of the interval of a mean rating."""

_ANY_SCALE = ScoreBins(-math.inf, math.inf)


def read_ratings(
    path: str | os.PathLike,
    aspects: Iterable[str] = musiceval.ASPECTS,
    scale: Sequence[float] | Mapping[str, Scale] | None = None,
    bins: ScoreBins | Mapping[str, Scale] | None = SCALE,
    columns: Mapping[str, str] | None = None,
    options: RatingOptions = AS_THEY_ARE,
) -> pd.DataFrame:
    """Read single ratings.

    Parameters
    ----------
    path : a MusicEval tree (its ``person_mos`` lists) or one such list (.txt); or a
        table, see `read_table`, with a column of clip ids or audio files,
        one of raters and one per aspect; for a single aspect also one of the usual
        names of ratings, or the only column left. The names that are recognised are
        listed in `base_models.clips.columns`. Or a table with a row per clip, in which
        each aspect is a list of ratings, see `base_models.clips.rating_tables`. Or any
        other export of `base_models.clips.listening_tests`.
    aspects : names
    scale : lowest and highest rating of a table, or the scale of each aspect, mapped
        onto `bins` by a straight line; None when they are the same, or the export says
        what they are
    bins : the scale of the labels, or that of each aspect; None takes ratings as they
        are, on any scale
    columns : aspect to the name of its column, where it may be another
    options : the layout, and whose ratings of what are left out

    Returns
    -------
    ratings : DataFrame with columns ``clip_id, rater_id`` (text) and one float64 column
        per aspect, NaN where the rater left it out; ``attrs["notes"]`` says what was
        read and left out, where it is an export of a listening test

    Raises
    ------
    TableProblems
        when rows cannot be used, such as ratings off the scale, or a rater rates a clip
        twice; all of them.
    UsageError
        when there is nothing to read, or a column is missing.
    """
    path = Path(path)
    aspects = [aspects] if isinstance(aspects, str) else list(aspects)
    test = read_listening_test(path, options)
    problems = Problems(0)
    table, column_of = _read_table(
        path, aspects, columns or {}, test=test, problems=problems
    )
    problems.n_rows = table.n_rows

    ratings = pd.DataFrame(
        {name: table.columns[name] for name in ("clip_id", "rater_id")}
    )
    _add_repeats(ratings, table, problems)
    if ratings.empty:
        raise UsageError(f"{path} holds no ratings.")

    known = _scales_said(test, table)
    for aspect, column in column_of.items():
        cells = options.reading.without_codes(table.columns[column])
        codeless = replace(table, columns={**table.columns, column: cells})
        given = bins if scale is None else scale
        if scale is None and bins is not None and column in known:
            given = {aspect: known[column]}
        if given is None:
            cure = (
                f"If '{column}' is not a rating, name the rated columns with aspects."
            )
            ratings[aspect] = read_scores(
                codeless, column, _ANY_SCALE, cure=cure, problems=problems
            )
            continue
        own = _scale_of(aspect, given)
        of_labels = own if bins is None else _scale_of(aspect, bins)
        cure = "Ratings on another scale need its ends (--rating-scale LOW HIGH)."
        values = read_scores(codeless, column, own, cure=cure, problems=problems)
        ratings[aspect] = own.map(values, of_labels)
    problems.raise_if_any()
    if test is not None:
        ratings.attrs["notes"] = list(test.notes)
    return ratings


def _add_repeats(ratings: pd.DataFrame, table: TextTable, problems: Problems) -> None:
    """Add rows in which a rater rates a clip once more."""
    has_problem = problems.rows
    for row in np.flatnonzero(ratings.duplicated().to_numpy()).tolist():
        # Lines without a rater are alike, and were named for that.
        if row in has_problem:
            continue
        clip = table.columns["clip_id"][row]
        rater = table.columns["rater_id"][row]
        file, number = table.locations[row]
        problem = Problem(
            str(file),
            number,
            column="rater_id",
            value=f"{rater}, {clip}",
            what="a rater rates a clip twice",
            message=f"rater '{rater}' rates '{clip}' twice",
            cure="Keep one of the rows, or give each session a rater id of its own.",
            unit=table.unit,
        )
        problems.add(row, problem)


def _scale_of(
    aspect: str, scale: ScoreBins | Sequence[float] | Mapping[str, Scale]
) -> Scale:
    """The scale of one aspect."""
    if isinstance(scale, ScoreBins):
        return Scale.of(scale)
    return scale[aspect] if isinstance(scale, Mapping) else as_scale(scale)


def find_ratings(data: str | os.PathLike) -> Path | None:
    """Where the single ratings are that clips come with, or None.

    Parameters
    ----------
    data : a folder that holds a MusicEval tree, or one of its label lists; or a table,
        which may be one of single ratings itself

    Returns
    -------
    source : the tree that holds ``person_mos``, or the table
    """
    data = Path(data)
    test = read_listening_test(data)
    if test is not None:
        return None if test.has_labels else data
    if _is_table(data) and table_file(data).is_file():
        return None
    # A list stands in the root of its tree, or in its folder "sets".
    if data.is_dir():
        roots = [musiceval.find_tree(data)]
    else:
        roots = [data.parent, data.parent.parent]
    for root in roots:
        if root is not None and (root / "person_mos").is_dir():
            return root
    return None


# ---- checks


def check_ratings(
    ratings: pd.DataFrame,
    aspects: Sequence[str],
    bins: ScoreBins = SCALE,
) -> None:
    """Check that `ratings` is a table of single ratings, wherever it came from.

    Raises
    ------
    UsageError
        when a column is missing or not numeric, a rating is off the scale, or a rater
        rates a clip twice.
    """
    required = ("clip_id", "rater_id", *aspects)
    missing = [name for name in required if name not in ratings]
    if missing:
        raise UsageError(
            f"Ratings lack the columns {some(missing)}; they have "
            f"{some(ratings.columns, 20)}."
        )

    is_repeated = ratings.duplicated(["clip_id", "rater_id"])
    if is_repeated.any():
        clip, rater = ratings.loc[is_repeated, ["clip_id", "rater_id"]].iloc[0]
        raise UsageError(f"Rater '{rater}' rates '{clip}' twice.")

    for aspect in aspects:
        values = ratings[aspect]
        if values.dtype.kind not in "fiu":
            raise UsageError(f"Ratings of '{aspect}' are not numbers.")
        is_off_scale = values.notna() & ~values.between(bins.low, bins.high)
        if is_off_scale.any():
            clip, value = ratings.loc[is_off_scale, ["clip_id", aspect]].iloc[0]
            raise UsageError(
                f"Rating {value:g} of '{clip}', '{aspect}' is off the scale "
                f"{bins.low:g}..{bins.high:g}."
            )


def check_against_labels(
    ratings: pd.DataFrame,
    labels: pd.DataFrame,
    aspects: Sequence[str],
    bins: ScoreBins | Mapping[str, Scale] = SCALE,
) -> float:
    """Check that the means of single ratings lie near the labels.

    Labels are such means, of all raters or of those that were kept, so a large distance
    shows that the ratings were read on a wrong scale.

    Parameters
    ----------
    ratings : see `read_ratings`
    labels : table with ``clip_id`` and one column per aspect, NaN where unlabelled
    aspects : names
    bins : the scale of both, or that of each aspect

    Returns
    -------
    distance : mean distance in points of 1..5, of the aspect where it is largest; 0
        where no clip has both

    Raises
    ------
    UsageError
        when the distance is above `MAX_DISTANCE_FROM_LABELS`.
    """
    mean_labels = labels.set_index("clip_id")[list(aspects)]
    mean_ratings = ratings.groupby("clip_id")[list(aspects)].mean()
    # Clips without ratings become NaN, which the mean leaves out.
    differences = mean_labels - mean_ratings.reindex(mean_labels.index)
    gaps = differences.abs().mean()
    for aspect in aspects:
        gaps[aspect] *= Scale.of(SCALE).width / _scale_of(aspect, bins).width
    if not gaps.notna().any():
        return 0.0

    largest = float(gaps.max())
    if largest > MAX_DISTANCE_FROM_LABELS:
        raise UsageError(
            f"The mean ratings of '{gaps.idxmax()}' lie {largest:.2f} points from its "
            "labels on average, and labels are such means: were they read on their own "
            "scale? Name its ends (--rating-scale LOW HIGH)."
        )
    return largest


# ---- means


def mean_ratings(
    ratings: pd.DataFrame,
    aspects: Sequence[str],
    bins: ScoreBins | Mapping[str, Scale] = SCALE,
) -> pd.DataFrame:
    """The mean of each clip's ratings, and how sure it is.

    Parameters
    ----------
    ratings : see `read_ratings`
    aspects : names
    bins : the scale, or that of each aspect, beyond which no interval goes

    Returns
    -------
    means : DataFrame indexed by clip id, one row per clip with a rating; per aspect
        ``<aspect>``, ``<aspect>_n`` (ratings), ``<aspect>_low`` and ``<aspect>_high``,
        Student's t interval of `MEAN_LEVEL`. Of one rating there is no interval (NaN),
        and without any there is no mean. Nothing depends on the order of the ratings,
        to the last bit.

    Notes
    -----
    The interval takes raters for a sample of many, each clip by itself. With few whole
    numbers it is rough: raters who agree by chance leave it without a width.
    """
    # Imported here, since it takes long and most tables need no means.
    from scipy.special import stdtrit

    columns = {}
    for aspect in aspects:
        # Sums in floating point depend on the order of their terms.
        values = ratings[["clip_id", aspect]].sort_values(["clip_id", aspect])
        of_clips = values.groupby("clip_id")[aspect]
        counts = of_clips.count()
        means = of_clips.mean()
        # Of one rating the deviation is NaN, and so is all that follows from it.
        deviation = of_clips.std(ddof=1)
        quantile = stdtrit(np.maximum(counts - 1, 1), (1 + MEAN_LEVEL) / 2)
        half_width = quantile * deviation / np.sqrt(np.maximum(counts, 1))

        scale = _scale_of(aspect, bins)
        columns[aspect] = means
        columns[f"{aspect}_n"] = counts
        columns[f"{aspect}_low"] = (means - half_width).clip(lower=scale.low)
        columns[f"{aspect}_high"] = (means + half_width).clip(upper=scale.high)
    return pd.DataFrame(columns)


def rated_columns(
    path: str | os.PathLike, options: RatingOptions = AS_THEY_ARE
) -> dict[str, str]:
    """The aspects that a file of single ratings rates, where nobody names them.

    Returns
    -------
    columns : aspect to its column, of the same name

    Raises
    ------
    UsageError
        when no column is known to hold ratings, and more than one may.
    """
    path = Path(path)
    test = read_listening_test(path, options)
    if test is not None:
        if test.aspects:
            return {aspect: aspect for aspect in test.aspects}
        return rated_columns_of(test.table, str(path))
    if not _is_table(path):
        return {aspect: aspect for aspect in musiceval.ASPECTS}

    table = read_table(path)
    return rated_columns_of(table, str(path))


def known_rating_scales(
    path: str | os.PathLike,
    aspects: Iterable[str],
    columns: Mapping[str, str] | None = None,
    options: RatingOptions = AS_THEY_ARE,
) -> dict[str, Scale]:
    """The scales that an export of a listening test says of some aspects.

    Parameters
    ----------
    path, aspects, columns, options : as `read_ratings` takes them
    """
    test = read_listening_test(Path(path), options)
    # Lists of a MusicEval tree say no scale.
    if test is None and not _is_table(Path(path)):
        return {}
    names = list(aspects)
    table, column_of = _read_table(
        Path(path), names, columns or {}, test=test, problems=Problems(0)
    )
    known = _scales_said(test, table)
    return {
        aspect: known[column] for aspect, column in column_of.items() if column in known
    }


def _scales_said(test: ListeningTest | None, table: TextTable) -> dict[str, Scale]:
    """The scales of columns, as the layout of an export or their names say them."""
    # A table in which no clip has two raters is no layout of its own.
    return known_scales(table.columns, {}) if test is None else dict(test.scales)


def check_has_columns(
    path: str | os.PathLike,
    columns: Mapping[str, str],
    options: RatingOptions = AS_THEY_ARE,
) -> None:
    """Refuse columns of other names than their aspects that a table does not have.

    Parameters
    ----------
    path : single ratings, as `read_ratings` takes them
    columns : aspect to its column

    Raises
    ------
    UsageError
        when one is missing.
    """
    path = Path(path)
    named = [column for aspect, column in columns.items() if column != aspect]
    if not named:
        return
    known: Collection[str] = musiceval.ASPECTS
    test = read_listening_test(path, options)
    if test is not None:
        known = test.table.columns
    elif _is_table(path):
        known = read_table(path).columns
    absent = [column for column in named if column not in known]
    if absent:
        raise UsageError(
            f"{path} has no ratings in columns {some(absent)}; it has "
            f"{some(known, 20)}."
        )


# ---- tables


def _is_table(path: Path) -> bool:
    """Whether ratings stand in a table, and not in the lists of a MusicEval tree."""
    return is_table(path) and not musiceval.is_list(path)


def _read_table(
    path: Path,
    aspects: Sequence[str],
    columns: Mapping[str, str],
    test: ListeningTest | None,
    problems: Problems,
) -> tuple[TextTable, dict[str, str]]:
    """The cells with ``clip_id`` and ``rater_id``, and the column of each aspect.

    Lines of a list that are no rows are added to `problems`.
    """
    if test is not None and test.has_labels:
        raise UsageError(
            f"{path} holds votes on pairs and no ratings; as clips (--data, or in "
            "place of a clip table) it gives a score for each."
        )
    if test is None and (path.is_dir() or musiceval.is_list(path)):
        table = musiceval.read_rating_lists(path, problems)
        column_of = {name: columns.get(name, name).lower() for name in aspects}
        unknown = [name for name in aspects if column_of[name] not in musiceval.ASPECTS]
        if unknown:
            raise UsageError(
                f"{path} rates {some(musiceval.ASPECTS)}, not {some(unknown)}."
            )
        return table, column_of

    if test is not None or is_table(path):
        table = read_table(path) if test is None else test.table
        named = {columns.get(aspect, aspect) for aspect in aspects}
        if holds_lists(table, named):
            table = one_row_per_rating(table, named)
        is_only = len(aspects) == 1
        column_of = {
            aspect: _named_column(table, columns.get(aspect))
            or _rating_column(table, aspect, is_only=is_only, path=path)
            for aspect in aspects
        }
        return _with_ids(table, path), column_of

    if path.exists():
        raise UsageError(
            f"{path}: ratings are read from a MusicEval folder, or "
            f"{', '.join(TABLE_SUFFIXES)}."
        )
    raise UsageError(f"There is no file or folder {path}.")


def _with_ids(table: TextTable, path: Path) -> TextTable:
    """The same table with checked ``clip_id`` and ``rater_id``."""
    # Audio files are looked at only where there are no ids, as in a clip table.
    clip_column = only_column(
        table.columns, ALIASES["clip_id"], what="clip id", path=path
    )
    audio_column = None
    if clip_column is None:
        audio_column = only_column(
            table.columns, ALIASES["audio"], what="audio file", path=path
        )
    rater_column = only_column(table.columns, RATER_COLUMNS, what="rater", path=path)

    if rater_column is None:
        raise UsageError(
            f"{path} has no column of raters ({', '.join(RATER_COLUMNS[:4])} …); "
            f"it has {some(table.columns, 20)}."
        )
    if clip_column is not None:
        clip_ids = [cell.strip() for cell in table.columns[clip_column]]
    elif audio_column is not None:
        files = [cell.strip() for cell in table.columns[audio_column]]
        clip_ids = [Path(file).stem for file in files]
    else:
        raise UsageError(
            f"{path} has no column of clip ids (clip_id, or audio); "
            f"it has {some(table.columns, 20)}."
        )
    rater_ids = [cell.strip() for cell in table.columns[rater_column]]

    for what, cells in (("clip id", clip_ids), ("rater", rater_ids)):
        for row, cell in enumerate(cells):
            check_name(cell, table.location(row), what)
            if not cell:
                raise UsageError(f"{table.location(row)}: the {what} is empty.")

    columns = {**table.columns, "clip_id": clip_ids, "rater_id": rater_ids}
    return TextTable(columns, table.locations, table.unit)


def _named_column(table: TextTable, name: str | None) -> str | None:
    """The column of that very name, if the table has it."""
    return name if name in table.columns else None


def _rating_column(
    table: TextTable,
    aspect: str,
    *,
    is_only: bool,
    path: Path,
) -> str:
    """The column that rates `aspect`.

    It has the aspect's name; for a single aspect also a usual name of ratings, or it is
    the only column that is not known to hold something else.
    """
    what = f"ratings of '{aspect}'"
    column = only_column(table.columns, (fold_name(aspect),), what=what, path=path)
    if column is not None:
        return column

    if is_only:
        column = only_column(table.columns, RATING_COLUMNS, what=what, path=path)
        if column is not None:
            return column
        described = {*RATER_COLUMNS, *STANDARD_NAMES}
        remaining = [name for name in table.columns if fold_name(name) not in described]
        if len(remaining) == 1:
            return remaining[0]

    raise UsageError(
        f"{path} has no ratings of '{aspect}': no column of that name; "
        f"it has {some(table.columns, 20)}."
    )
