"""Measure anybody's predictions against labels, every number with its interval.

The noise ceiling can be had without predictions (`ceiling_of_ratings`).

Labels are means of a few raters, so that no predictor reaches a correlation of 1. Where
single ratings are known, the noise ceiling says what the true scores would reach, and
the likelihood how probable the ratings are under predicted distributions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from base_models.bins import ScoreBins
from base_models.clips.columns import aspect_columns
from base_models.clips.labels import SCALE, label_scales
from base_models.clips.listening_tests.rating_options import (
    AS_THEY_ARE,
    RatingOptions,
)
from base_models.clips.rating_tables import are_nameless
from base_models.clips.ratings import (
    check_against_labels,
    rated_columns,
    read_ratings,
)
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError
from base_models.files import nan_to_none
from base_models.metrics.bootstrap import crossed, prompt_codes
from base_models.metrics.evaluate import Truth, evaluate
from base_models.metrics.likelihood import likelihood
from base_models.metrics.noise_ceiling import noise_ceiling
from base_models.predictions import PredictionTable
from base_models.scales import LabelScales, Scale
from ensemble.prediction_files.join_models import onto_labels
from ensemble.prediction_files.prediction_word import PredictionFile
from ensemble.prediction_files.read_predictions import (
    clips_of_split,
    join_predictions,
    read_distributions,
    read_predictions,
    remarks,
)
from ensemble.prediction_files.read_system_truth import (
    MEANS,
    SystemTruth,
    truth_of_clips,
)

_NO_DISTRIBUTIONS = (
    "The file holds scores: the probability of a rating needs distributions."
)

_NO_SYSTEMS = (
    "Not every rated clip has the name of a system (column system_id), so there is no "
    "system level; a table that names them can be given with --clips."
)

_NO_RATERS = (
    "The file does not say which ratings are of one rater (a place in its lists is not "
    "taken for one): each clip is taken to have raters of its own. If panels rated "
    "whole systems, ceilings of systems are lower than said here; if the same raters "
    "rated all clips, those of utterances are higher."
)

_CEILING_OF_MEANS = (
    "The noise ceiling at system level is that of the means of the clips, not of the "
    "file of system scores."
)


@dataclass(frozen=True)
class Resampling:
    """How intervals are made.

    Systems are resampled, and prompts too where systems share them.

    Parameters
    ----------
    n_bootstrap : resamples; 0 for no intervals
    seed : of the resamples
    level : coverage of the intervals
    """

    n_bootstrap: int = 1000
    seed: int = 0
    level: float = 0.95


@dataclass(frozen=True)
class FileScales:
    """How labels and ratings are read: what scales are declared, what is left out.

    Parameters
    ----------
    labels : of the mean labels, on whose scales everything is measured
    ratings : lowest and highest of the single ratings; None takes those of the labels
    options : the layout of a listening test, and whose ratings of what are left out
    """

    labels: LabelScales = field(default_factory=LabelScales)
    ratings: Sequence[float] | None = None
    options: RatingOptions = field(default_factory=RatingOptions)


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a file of predictions.

    Parameters
    ----------
    aspects : names
    columns : aspect to the column of the file that predicts it
    joined : labelled and predicted clips, see `join_predictions`
    metrics : see `base_models.metrics.evaluate.evaluate`
    ceiling : see `base_models.metrics.noise_ceiling.noise_ceiling`; empty without
        single ratings
    likely : see `base_models.metrics.likelihood.likelihood`; empty without single
        ratings or distributions
    not_predicted : ids that are labelled but not predicted
    without_score : per aspect that some predicted clips have no score of, as for want
        of a prompt: the ids of those that are labelled for it
    not_labelled : ids that are predicted but not labelled
    notes : what a reader of the metrics must know
    system_truth : what systems are measured against, in words
    without_truth : systems of the clips whose true score is not known
    """

    aspects: tuple[str, ...]
    columns: dict[str, str]
    joined: pd.DataFrame
    metrics: pd.DataFrame
    ceiling: pd.DataFrame
    likely: pd.DataFrame
    not_predicted: list[str]
    without_score: dict[str, list[str]]
    not_labelled: list[str]
    notes: tuple[str, ...]
    system_truth: str = MEANS
    without_truth: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values; NaN becomes null."""
        return {
            "aspects": list(self.aspects),
            "columns": self.columns,
            "clips": len(self.joined),
            "notes": list(self.notes),
            "not_predicted": self.not_predicted,
            "without_score": self.without_score,
            "not_labelled": self.not_labelled,
            "system_truth": self.system_truth,
            "systems_without_truth": list(self.without_truth),
            "metrics": nan_to_none(self.metrics),
            "noise_ceiling": nan_to_none(self.ceiling),
            "likelihood": nan_to_none(self.likely),
        }


def evaluate_file(
    predictions: str,
    labels: str,
    aspects: Sequence[str] | None = None,
    split: str | None = None,
    ratings: str | None = None,
    scales: FileScales | None = None,
    resampling: Resampling | None = None,
    system_truth: str | None = None,
) -> Evaluation:
    """Measure a file of predictions.

    Parameters
    ----------
    predictions : as `read_predictions` takes it; ``FILE:0-100`` names its scale
    labels : as `read_clips` takes it; of single ratings their means are the labels
    aspects : rated columns as `read_clips` takes them, and the order of scores in a
        file without a header
    split : only clips of train, dev or test
    ratings : single ratings, as `read_ratings` takes them
    scales : of labels, ratings and predictions; predictions on another scale than the
        labels are mapped onto theirs
    resampling : how intervals are made; None takes the defaults
    system_truth : true scores of systems, as `read_system_truth` takes them; None takes
        the means of the clips

    Raises
    ------
    UsageError
        when a file cannot be read, no clip is in both, none of these is rated, or most
        predictions are off their scale.
    """
    resampling = resampling or Resampling()
    scales = scales or FileScales()
    all_clips = read_clips(
        labels,
        aspects=aspects,
        ratings=ratings,
        rating_scale=scales.ratings,
        scales=scales.labels,
        options=scales.options,
    )

    # Everything is measured on the scales of the labels; predictions come to them.
    own_scales = label_scales(all_clips)
    ratings = ratings or all_clips.attrs.get("means_of")
    clips = clips_of_split(all_clips, split)
    names = clips.attrs["aspects"]
    file = PredictionFile.parse(predictions)
    predicted = read_predictions(file, names)
    joined, not_predicted, not_labelled = join_predictions(predicted, clips)
    joined, without_score = _without_unscored_labels(joined, names)
    joined, scale_notes = onto_labels(joined, predicted, file, labels=own_scales)
    systems = joined["system_id"].tolist()

    truth = truth_of_clips(
        system_truth, labels, scales=own_scales, systems=systems, split=split
    )
    metrics = _metrics(joined, names, resampling, system_truth=truth)
    notes = [
        *all_clips.attrs.get("notes", ()),
        *predicted.attrs.get("notes", ()),
        *scale_notes,
        *remarks(joined, names, own_scales),
    ]
    if _share_prompts(joined):
        notes.append("Systems share prompts: intervals resample both.")

    if truth is not None:
        notes += truth.remarks(systems)

    ceiling = pd.DataFrame()
    likely = pd.DataFrame()
    if ratings:
        all_ratings = single_ratings(
            ratings, own_scales, all_clips.attrs, rating_scale=scales.ratings
        )
        rated = ratings_of(joined, all_ratings, ratings)
        rated = _without_ratings_of(rated, without_score)
        check_against_labels(rated, joined, names, bins=own_scales)
        ceiling = ceiling_of_clips(rated, joined, names, resampling=resampling)
        if truth is not None:
            notes.append(_CEILING_OF_MEANS)
        # Any table has scores; only that of one of our base models has distributions.
        distributions = read_distributions(file.path)
        if distributions is None:
            notes.append(_NO_DISTRIBUTIONS)
        else:
            on_bins = _ratings_onto(distributions.bins, all_ratings, own_scales)
            likely = _likelihood(distributions, joined, on_bins, resampling=resampling)

    return Evaluation(
        aspects=tuple(names),
        columns=predicted.attrs["columns"],
        joined=joined,
        metrics=metrics,
        ceiling=ceiling,
        likely=likely,
        not_predicted=not_predicted,
        without_score=without_score,
        not_labelled=not_labelled,
        notes=tuple(notes),
        system_truth=MEANS if truth is None else truth.title,
        without_truth=() if truth is None else tuple(truth.unknown(systems)),
    )


@dataclass(frozen=True)
class RatedCeiling:
    """The noise ceiling of single ratings, without any predictions.

    Parameters
    ----------
    ceiling : see `base_models.metrics.noise_ceiling.noise_ceiling`
    ratings : single ratings, see `base_models.clips.ratings.read_ratings`
    n_clips, n_systems : int
        That were rated; 0 systems where none are named.
    notes : what a reader of the numbers must know
    """

    ceiling: pd.DataFrame
    ratings: pd.DataFrame
    n_clips: int
    n_systems: int
    notes: tuple[str, ...]

    @property
    def aspects(self) -> list[str]:
        """Names of the rated columns."""
        return [name for name in self.ratings if name not in ("clip_id", "rater_id")]

    def to_json(self) -> dict[str, Any]:
        """All but the ratings as JSON values; NaN becomes null."""
        return {
            "aspects": self.aspects,
            "clips": self.n_clips,
            "systems": self.n_systems,
            "notes": list(self.notes),
            "noise_ceiling": nan_to_none(self.ceiling),
        }


def ceiling_of_ratings(
    ratings: str,
    clips: str | None = None,
    aspects: Sequence[str] | None = None,
    rating_scale: Sequence[float] | None = None,
    resampling: Resampling | None = None,
    options: RatingOptions = AS_THEY_ARE,
) -> RatedCeiling:
    """The noise ceiling of a file of single ratings, on whatever scale they are.

    Parameters
    ----------
    ratings : as `read_ratings` takes it
    clips : a table that names the system of each clip, as `read_clips` takes it; None
        where the ratings say so themselves
    aspects : rated columns, or ``aspect=column``; None takes those that are recognised
    rating_scale : lowest and highest rating that is legal; None takes any number
    resampling : how intervals are made; None takes the defaults
    options : the layout of the ratings, and whose ratings of what are left out

    Raises
    ------
    UsageError
        when a file cannot be read, or as in `noise_ceiling`.
    """
    resampling = resampling or Resampling()
    if aspects is None:
        columns = rated_columns(ratings, options)
    else:
        columns = aspect_columns(aspects)
    single = read_ratings(
        ratings, columns, rating_scale, bins=None, columns=columns, options=options
    )
    table = read_clips(
        clips or ratings,
        labels=False,
        options=replace(AS_THEY_ARE, reading=options.reading) if clips else options,
    )
    if clips is not None:
        single = ratings_of(table, single, ratings)

    # The table may have clips that nobody rated.
    rated = table[table["clip_id"].isin(single["clip_id"])]
    names = _systems_if_all_are_named(rated)
    notes = list(single.attrs.get("notes", ()))
    system_of = None
    if names is None:
        notes.append(_NO_SYSTEMS)
    else:
        system_of = dict(zip(rated["clip_id"], names, strict=True))
    if are_nameless(single["rater_id"]):
        notes.append(_NO_RATERS)
    else:
        notes.append(_raters_text(single, system_of))
    ceiling = noise_ceiling(
        single,
        list(columns),
        system_of,
        n_bootstrap=resampling.n_bootstrap,
        seed=resampling.seed,
        level=resampling.level,
    )
    return RatedCeiling(
        ceiling=ceiling,
        ratings=single,
        n_clips=single["clip_id"].nunique(),
        n_systems=0 if names is None else len(set(names)),
        notes=tuple(notes),
    )


def _raters_text(ratings: pd.DataFrame, system_of: Mapping[str, str] | None) -> str:
    """How raters are shared by clips and systems, in words."""
    by_rater = ratings.groupby("rater_id")["clip_id"]
    n_clips = by_rater.nunique()
    text = f"{len(n_clips)} raters of {_span(n_clips, 'clip')} each"
    if system_of is None:
        return text
    n_systems = by_rater.agg(lambda clips: clips.map(system_of).nunique())
    return f"{text}, of {_span(n_systems, 'system')}"


def _span(counts: pd.Series, unit: str) -> str:
    """The least and the largest count in words, such as ``"3 to 8 clips"``."""
    least = int(counts.min())
    most = int(counts.max())
    numbers = f"{most}" if least == most else f"{least} to {most}"
    return f"{numbers} {unit}" if most == 1 else f"{numbers} {unit}s"


def _without_unscored_labels(
    joined: pd.DataFrame, aspects: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """The same table without labels that have no score beside them, and their clips.

    Raises
    ------
    UsageError
        when that leaves an aspect without labels.
    """
    joined = joined.copy()
    without_score = {}
    for aspect in aspects:
        is_unscored = joined[f"pred_{aspect}"].isna() & joined[aspect].notna()
        if not is_unscored.any():
            continue
        if is_unscored.sum() == joined[aspect].notna().sum():
            raise UsageError(
                f"No clip that is rated for '{aspect}' has a score of it; name only "
                "the aspects that are predicted (--aspects)."
            )
        without_score[aspect] = joined["clip_id"][is_unscored].tolist()
        joined[aspect] = joined[aspect].mask(is_unscored)
    return joined, without_score


def _without_ratings_of(
    ratings: pd.DataFrame, without_score: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """The same ratings without those of clips whose aspect has no score.

    The noise ceiling is that of the clips that were measured.
    """
    for aspect, unscored in without_score.items():
        is_unscored = ratings["clip_id"].isin(unscored)
        ratings = ratings.assign(**{aspect: ratings[aspect].mask(is_unscored)})
    return ratings


def _metrics(
    joined: pd.DataFrame,
    aspects: list[str],
    resampling: Resampling,
    system_truth: SystemTruth | None,
) -> pd.DataFrame:
    labels = joined[aspects]
    # Where a score is missing so is the label: any number stands for it.
    predicted = joined[[f"pred_{aspect}" for aspect in aspects]].fillna(SCALE.low)
    return evaluate(
        labels if system_truth is None else Truth(labels, system_truth.scores),
        predicted,
        joined["system_id"].tolist(),
        aspects=aspects,
        n_bootstrap=resampling.n_bootstrap,
        seed=resampling.seed,
        level=resampling.level,
        prompt_ids=joined["prompt"],
    )


def _share_prompts(joined: pd.DataFrame) -> bool:
    """Whether systems were given the same prompts."""
    systems, _ = pd.factorize(joined["system_id"])
    return crossed(systems, prompt_codes(joined["prompt"], len(joined)))


def single_ratings(
    source: str | os.PathLike,
    scales: Mapping[str, Scale],
    attributes: Mapping[str, Any],
    *,
    rating_scale: Sequence[float] | None = None,
) -> pd.DataFrame:
    """The single ratings beside a clip table, of its aspects and read in its way.

    Parameters
    ----------
    source : as `read_ratings` takes it
    scales : aspect to the scale of its labels, onto which the ratings are mapped
    attributes : ``attrs`` of the clip table, see `read_clips`
    rating_scale : of the ratings, where it is not that of the labels
    """
    return read_ratings(
        source,
        list(scales),
        rating_scale,
        bins=scales,
        columns=attributes.get("columns"),
        options=RatingOptions.of_attributes(attributes),
    )


def _ratings_onto(
    bins: ScoreBins, ratings: pd.DataFrame, scales: Mapping[str, Scale]
) -> pd.DataFrame:
    """The same ratings on the scale of a model's bins."""
    on_bins = ratings.copy()
    for aspect, scale in scales.items():
        on_bins[aspect] = scale.map(on_bins[aspect], bins)
    return on_bins


def ratings_of(
    joined: pd.DataFrame, all_ratings: pd.DataFrame, source: str
) -> pd.DataFrame:
    """The single ratings of the joined clips."""
    ratings = all_ratings[all_ratings["clip_id"].isin(joined["clip_id"])]
    if ratings.empty:
        raise UsageError(
            f"{source} rates none of the {len(joined)} clips; give both the same ids."
        )
    return ratings


def ceiling_of_clips(
    ratings: pd.DataFrame,
    joined: pd.DataFrame,
    aspects: Sequence[str],
    resampling: Resampling,
) -> pd.DataFrame:
    """The noise ceiling of single ratings of some clips, by their systems."""
    systems = _systems_if_all_are_named(joined)
    system_of = None
    if systems is not None:
        system_of = dict(zip(joined["clip_id"], systems, strict=True))
    return noise_ceiling(
        ratings,
        aspects,
        system_of,
        n_bootstrap=resampling.n_bootstrap,
        seed=resampling.seed,
        level=resampling.level,
    )


def _likelihood(
    distributions: PredictionTable,
    joined: pd.DataFrame,
    all_ratings: pd.DataFrame,
    resampling: Resampling,
) -> pd.DataFrame:
    return likelihood(
        distributions.take(joined["clip_id"].tolist()),
        all_ratings,
        system_ids=_systems_if_all_are_named(joined),
        n_bootstrap=resampling.n_bootstrap,
        seed=resampling.seed,
        level=resampling.level,
    )


def _systems_if_all_are_named(joined: pd.DataFrame) -> list[str] | None:
    # Clips without a system would be taken for one more system; without any systems
    # clips are resampled instead.
    systems = joined["system_id"].tolist()
    return systems if all(systems) else None


def describe_clips(joined: pd.DataFrame, split: str | None) -> str:
    """Describe which clips were measured.

    Parameters
    ----------
    joined : labelled and predicted clips, see `join_predictions`
    split : the only split that was measured, or None
    """
    counts = joined["split"].value_counts()
    named = [f"{count} {name}" for name, count in counts.items() if name]
    if split:
        measured = f"the split {split}"
    elif named:
        measured = f"all splits ({', '.join(named)})"
    else:
        measured = "the whole table"
    return f"{len(joined)} labelled clips of {measured}"
