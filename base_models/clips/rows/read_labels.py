"""Labels of a clip table: ratings that stand in it, or means of single ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.clips import musiceval
from base_models.clips.columns import aspect_columns
from base_models.clips.labels import SCALE, read_scores
from base_models.clips.listening_tests.known_scales import known_scales
from base_models.clips.listening_tests.listening_test import ListeningTest
from base_models.clips.listening_tests.rating_options import RatingOptions
from base_models.clips.listening_tests.read_listening_test import read_listening_test
from base_models.clips.problems import Problems
from base_models.clips.ratings import (
    check_has_columns,
    find_ratings,
    mean_ratings,
    rated_columns,
    read_ratings,
)
from base_models.clips.rows.rated_columns import (
    choose_aspects,
    guess_notes,
    scale_notes,
)
from base_models.clips.rows.reading import Reading
from base_models.clips.tables.notation import settled_by_scale
from base_models.clips.tables.read_table import is_table
from base_models.clips.text_table import TextTable
from base_models.scales import LabelScales, Scale


@dataclass(frozen=True)
class LabelSource:
    """Where labels may be: the table, and single ratings with their scale.

    Parameters
    ----------
    path : the table
    test : the listening test that it is, if any
    ratings : single ratings of its clips, elsewhere
    rating_scale : of these
    """

    path: Path
    test: ListeningTest | None
    ratings: str | os.PathLike | None
    rating_scale: Sequence[float] | None

    @property
    def own_ratings(self) -> Path | None:
        """The table itself, where it holds single ratings."""
        is_own = self.test is not None and not self.test.has_labels
        return self.path if is_own else None

    def ratings_of_tree(self) -> Path | None:
        """The single ratings of a MusicEval tree, whose place is known."""
        is_tree = musiceval.is_list(self.path) or not is_table(self.path)
        return find_ratings(self.path) if is_tree else None


@dataclass(frozen=True)
class Labels:
    """Labels of a table.

    Parameters
    ----------
    rated : aspect to its column
    arrays : aspect to its n labels; of means, ``<aspect>_n``, ``<aspect>_low`` and
        ``<aspect>_high`` too
    source : the single ratings whose means they are; None where they stand in the table
    scales : those that are declared, by the user or by the data
    rating_options : how the listening test was read, where labels are its means
    notes : what was chosen
    """

    rated: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    source: str | os.PathLike | None = None
    scales: LabelScales = field(default_factory=LabelScales)
    rating_options: RatingOptions | None = None
    notes: tuple[str, ...] = ()


def read_labels(
    table: TextTable,
    words: Sequence[str] | None,
    *,
    source: LabelSource,
    declared: LabelScales,
    options: RatingOptions,
    problems: Problems,
) -> Labels:
    """Labels that stand in the table, or else the means of single ratings.

    Parameters
    ----------
    table : of n clips
    words : aspects that are named; None takes those that are recognised
    source : where labels may be
    declared : scales that the user names
    options : how ratings and cells are read
    problems : takes the cells that are no labels

    Raises
    ------
    UsageError
        when an aspect is in neither, or single ratings cannot be read.
    """
    test = source.test
    ratings = source.own_ratings or source.ratings
    if test is not None and test.has_labels and words is None:
        words = list(test.aspects)
    if source.own_ratings is None and ratings is not None:
        test = read_listening_test(Path(ratings), options)

    # Labels in the table come before the means of ratings elsewhere.
    rated: dict[str, str] = {}
    if source.own_ratings is None and not _are_all_absent(words, table, ratings):
        rated = choose_aspects(table, words, declared=declared, path=source.path)
    # Before a label is refused for being off a scale that was meant for it.
    if rated:
        declared.check_aspects(list(rated))
    # Where the scale of the ratings is named, their means are on that of labels.
    if source.rating_scale is None:
        named = [f"{aspect}={column}" for aspect, column in rated.items()]
        declared = _with_known_scales(declared, table, test, words=named or words)
    scales = declared.or_else(Scale.of(SCALE))
    n_problems = len(problems)
    table, settled = _settled(table, rated, scales)
    scores = _scores(
        table, rated, scales=scales, reading=options.reading, problems=problems
    )
    # A cell that is no label was meant to be one.
    has_labels = len(problems) > n_problems or any(
        np.isfinite(values).any() for values in scores.values()
    )
    if ratings is None:
        ratings = source.ratings_of_tree()

    if has_labels or ratings is None:
        # What a layout fixes is said with the layout.
        is_fixed = source.test is not None and source.test.has_labels
        notes = settled if is_fixed else [*settled, *scale_notes(rated, declared)]
        if words is None:
            notes += guess_notes(rated)
        return Labels(rated, scores, scales=declared, notes=tuple(notes))

    if words is not None or not rated:
        rated = aspect_columns(words) if words else rated_columns(ratings, options)
    labels = _labels_of_ratings(
        table.columns["clip_id"],
        ratings,
        rated,
        declared=declared,
        options=options,
        rating_scale=source.rating_scale,
    )
    if test is None:
        return labels
    # What is said of the table itself is said with the table.
    said = test.notes if source.own_ratings is None else ()
    return replace(labels, rating_options=options, notes=said)


def _labels_of_ratings(
    clip_ids: Sequence[str],
    ratings: str | os.PathLike,
    rated: dict[str, str],
    *,
    declared: LabelScales,
    options: RatingOptions,
    rating_scale: Sequence[float] | None,
) -> Labels:
    """The means of single ratings as labels of these clips, in their order."""
    check_has_columns(ratings, rated, options)
    declared.check_aspects(list(rated))
    declared = _with_scales_of_columns(declared, rated)
    means = _means(
        ratings, rated, declared=declared, options=options, rating_scale=rating_scale
    )
    arrays = _arrays(means.reindex(clip_ids), rated)
    return Labels(rated, arrays, source=ratings, scales=declared)


def _with_known_scales(
    declared: LabelScales,
    table: TextTable,
    test: ListeningTest | None,
    *,
    words: Sequence[str] | None,
) -> LabelScales:
    """The same scales, and those that the table or the listening test states."""
    of_test = {} if test is None else test.scales
    known = known_scales(table.columns, of_test, words=words)
    return replace(declared, known=known)


def _with_scales_of_columns(
    declared: LabelScales, rated: Mapping[str, str]
) -> LabelScales:
    """Scales of aspects too, where those of their columns are known."""
    of_columns = declared.known
    known = {
        aspect: of_columns[column]
        for aspect, column in rated.items()
        if column in of_columns
    }
    return replace(declared, known={**of_columns, **known})


def _arrays(means: pd.DataFrame, rated: Iterable[str]) -> dict[str, np.ndarray]:
    """Means and their statistics, by the name of the column."""
    arrays = {name: means[name].to_numpy(np.float64) for name in means}
    for aspect in rated:
        # A clip that nobody rated has no ratings, and not an unknown number of them.
        arrays[f"{aspect}_n"] = np.nan_to_num(arrays[f"{aspect}_n"])
    return arrays


def _settled(
    table: TextTable, rated: Mapping[str, str], scales: LabelScales
) -> tuple[TextTable, list[str]]:
    """The table with numbers such as 2,125 as their scale says; and what to say."""
    columns = dict(table.columns)
    notes = []
    for aspect, column in rated.items():
        scale = scales.of(aspect) or Scale.of(SCALE)
        old = columns[column]
        plain = settled_by_scale(old, scale.low, scale.high)
        if plain is not None:
            columns[column] = plain
            row = next(row for row, cell in enumerate(old) if cell != plain[row])
            notes.append(
                f"numbers of '{column}' are read as its scale {scale} says: "
                f"'{old[row].strip()}' is {plain[row]}"
            )
    return replace(table, columns=columns), notes


def _scores(
    table: TextTable,
    rated: Mapping[str, str],
    *,
    scales: LabelScales,
    reading: Reading,
    problems: Problems,
) -> dict[str, np.ndarray]:
    """The labels of each aspect that stand in the table."""
    scores = {}
    for aspect, column in rated.items():
        cells = reading.without_codes(table.columns[column])
        codeless = replace(table, columns={**table.columns, column: cells})
        scale = scales.of(aspect) or Scale.of(SCALE)
        scores[aspect] = read_scores(codeless, column, scale, problems=problems)
    return scores


def _means(
    ratings: str | os.PathLike,
    rated: Mapping[str, str],
    *,
    declared: LabelScales,
    options: RatingOptions,
    rating_scale: Sequence[float] | None,
) -> pd.DataFrame:
    """The means of single ratings, by clip."""
    scales = declared.or_else(Scale.of(SCALE))
    bins = {aspect: scales.of(aspect) or Scale.of(SCALE) for aspect in rated}
    # Means are on the scale of the ratings, unless another one is named.
    single = read_ratings(
        ratings,
        rated,
        rating_scale or bins,
        bins=bins,
        columns=rated,
        options=options,
    )
    return mean_ratings(single, list(rated), bins)


def _are_all_absent(
    words: Sequence[str] | None,
    table: TextTable,
    ratings: str | os.PathLike | None,
) -> bool:
    """Whether the named aspects are in the single ratings and not in the table."""
    if words is None or ratings is None:
        return False
    return not set(aspect_columns(words, table.columns).values()) & set(table.columns)
