"""Ratings of some clips: single ones of raters, or a mean rating of each clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.clips import musiceval
from base_models.clips.columns import RATER_COLUMNS, aspect_columns, fold_name
from base_models.clips.labels import SCALE
from base_models.clips.listening_tests.rating_options import RatingOptions
from base_models.clips.listening_tests.read_listening_test import read_listening_test
from base_models.clips.names import comparable_ids
from base_models.clips.ratings import (
    find_ratings,
    known_rating_scales,
    rated_columns,
    read_ratings,
)
from base_models.clips.read_clips import read_clips
from base_models.clips.tables.read_table import is_table, read_table, table_file
from base_models.errors import UsageError
from base_models.scales import LabelScales, Scale


def read_some_ratings(
    ratings: str,
    aspects: Sequence[str] | None,
    declared: LabelScales,
    *,
    options: RatingOptions,
) -> tuple[pd.DataFrame, tuple[str, ...], LabelScales]:
    """Read single ratings, or mean ratings without raters.

    Parameters
    ----------
    ratings : single ratings as `read_ratings` takes them, or a table with a mean rating
        per clip as `read_clips` takes it
    aspects : names, or ``aspect=column``; by default the rated columns
    declared : the scales that are declared
    options : how they are read

    Returns
    -------
    rated : DataFrame
        ``clip_id``, ``rater_id`` where raters are known, and one column per aspect.
    names : tuple of str
        The aspects.
    declared : LabelScales
        With those that single ratings say themselves.

    Raises
    ------
    UsageError
        When they cannot be read, or a rating is off its scale.
    """
    source = _single_ratings(ratings, options)
    if source is not None:
        known = _known_scales(source, aspects, options)
        declared = replace(declared, known=known)
    rated, names = _read_ratings(
        ratings, aspects, declared, source=source, options=options
    )
    return rated, names, declared


def with_ids_of(
    table: pd.DataFrame, rated: pd.DataFrame
) -> tuple[pd.DataFrame, list[str]]:
    """The ratings of predicted clips under their ids, and the other rated clips.

    Parameters
    ----------
    table, rated : DataFrames with ``clip_id``
    """
    known, given = comparable_ids(
        table["clip_id"].tolist(), rated["clip_id"].astype(str).tolist()
    )
    id_of = dict(zip(known, table["clip_id"], strict=True))
    ids = [id_of.get(form) for form in given]
    is_known = np.array([clip is not None for clip in ids], dtype=bool)
    strangers = rated["clip_id"][~is_known].unique().tolist()
    return rated.assign(clip_id=ids)[is_known], strangers


def _read_ratings(
    ratings: str,
    aspects: Sequence[str] | None,
    declared: LabelScales,
    *,
    source: Path | None,
    options: RatingOptions,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Single ratings, or mean ratings without raters, and their aspects."""
    if source is not None:
        columns = _rated_columns(source, aspects, options)
        # Before a rating is refused for being off a scale that was meant for it.
        declared.check_aspects(list(columns))
        # Ratings stay on their own scale, on which their means are then said.
        scales = {name: declared.of(name) or Scale.of(SCALE) for name in columns}
        single = read_ratings(
            source,
            columns,
            scale=scales,
            bins=scales,
            columns=columns,
            options=options,
        )
        return single, tuple(columns)

    table = read_clips(ratings, aspects=aspects, scales=declared, options=options)
    names = tuple(table.attrs["aspects"])
    is_rated = table[list(names)].notna().any(axis=1)
    if not is_rated.any():
        raise UsageError(f"{ratings} rates no clip; fill in some ratings.")
    return table.loc[is_rated, ["clip_id", *names]], names


def _rated_columns(
    source: Path, aspects: Sequence[str] | None, options: RatingOptions
) -> dict[str, str]:
    """The aspects of single ratings, and the column of each."""
    return aspect_columns(aspects) if aspects else rated_columns(source, options)


def _known_scales(
    source: Path, aspects: Sequence[str] | None, options: RatingOptions
) -> dict[str, Scale]:
    """The scales that single ratings say themselves."""
    columns = _rated_columns(source, aspects, options)
    return known_rating_scales(source, columns, columns, options=options)


def _single_ratings(ratings: str, options: RatingOptions) -> Path | None:
    """Where single ratings are: a table that names raters, or the lists of a tree."""
    path = Path(ratings)
    test = read_listening_test(path, options)
    # Scores out of votes on pairs are labels, and not ratings of single clips.
    if test is not None:
        return None if test.has_labels else path
    if path.is_dir() or musiceval.is_list(path):
        return find_ratings(path)
    if is_table(path) and table_file(path).is_file():
        names = read_table(path).columns
        has_raters = any(fold_name(name) in RATER_COLUMNS for name in names)
        return path if has_raters else None
    return None
