"""Several predictors against the same labels: a board, and their differences in pairs.

All are measured on the clips that each of them predicts, since a predictor that leaves
the hard clips out would look better than it is; who left out how many is said. What is
shown of a pair, and what could have been, is that of
`meta.comparison.predictor_differences`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from base_models.clips.labels import label_scales, labels_onto
from base_models.clips.ratings import check_against_labels
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError
from base_models.files import nan_to_none
from base_models.metrics.evaluate import Truth, evaluate
from base_models.scales import Scale
from ensemble.evaluate_predictions import (
    FileScales,
    Resampling,
    ceiling_of_clips,
    ratings_of,
    single_ratings,
)
from ensemble.prediction_files.join_models import (
    ScoresBesideLabels,
    Target,
    scores_beside_labels,
)
from ensemble.prediction_files.prediction_word import FileWord
from ensemble.prediction_files.read_model import Origin
from ensemble.prediction_files.read_predictions import (
    clips_of_split,
    remarks,
)
from ensemble.prediction_files.read_system_truth import (
    MEANS,
    SystemTruth,
    truth_of_clips,
)
from ensemble.prediction_files.stack_inputs import (
    bins_of_labels,
    notes_of,
    read_models,
)
from ensemble.prediction_files.stack_scales import StackScales
from meta.comparison.predictor_differences import (
    Differences,
    pairs_of,
    predictor_differences,
)
from meta.rows import Rows

_DIFFERENCES_OF_MEANS = (
    "The differences are tested against the means of the clips, not against the file "
    "of system scores."
)


@dataclass(frozen=True)
class Asked:
    """What is asked of several predictors.

    Parameters
    ----------
    aspects : rated columns as `read_clips` takes them, or None
    split : only clips of train, dev or test
    ratings : single ratings, as `read_ratings` takes them
    scales : of labels and ratings
    resampling : how intervals are made
    system_truth : true scores of systems, as `read_system_truth` takes them
    against : the predictor that all others are compared with, see `pairs_of`
    """

    aspects: Sequence[str] | None = None
    split: str | None = None
    ratings: str | None = None
    scales: FileScales = field(default_factory=FileScales)
    resampling: Resampling = field(default_factory=Resampling)
    system_truth: str | None = None
    against: str | None = None


@dataclass(frozen=True)
class ComparedPredictions:
    """A board of several predictors, and their differences.

    Parameters
    ----------
    aspects : names
    predictors : names, in the order of the files
    clips : table of the clips that are measured
    board : metrics as of `base_models.metrics.evaluate.evaluate`, with the name of the
        predictor in a first column ``model``
    differences : of the pairs
    ceiling : see `base_models.metrics.noise_ceiling.noise_ceiling`; empty without
        single ratings
    not_predicted : predictor to the labelled clips that it leaves out; those of any are
        measured of none
    not_labelled : predictor to the number of its other clips
    notes : what a reader of the metrics must know
    origins : which columns of each file became which predictors
    system_truth : what systems are measured against, in words
    """

    aspects: tuple[str, ...]
    predictors: tuple[str, ...]
    clips: pd.DataFrame
    board: pd.DataFrame
    differences: Differences
    ceiling: pd.DataFrame
    not_predicted: dict[str, list[str]]
    not_labelled: dict[str, int]
    notes: tuple[str, ...]
    origins: tuple[Origin, ...]
    system_truth: str = MEANS

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values; NaN becomes null."""
        return {
            "aspects": list(self.aspects),
            "predictors": list(self.predictors),
            "clips": len(self.clips),
            "read": [origin.text for origin in self.origins],
            "notes": list(self.notes),
            "not_predicted": self.not_predicted,
            "not_labelled": self.not_labelled,
            "system_truth": self.system_truth,
            "metrics": nan_to_none(self.board),
            **self.differences.to_json(),
            "noise_ceiling": nan_to_none(self.ceiling),
        }


def compare_files(
    predictions: Sequence[FileWord], labels: str, asked: Asked
) -> ComparedPredictions:
    """Measure the predictors of files, and compare them in pairs.

    Parameters
    ----------
    predictions : files, see `ensemble.prediction_files.prediction_word`
    labels : as `read_clips` takes it; of single ratings their means are the labels
    asked : what is asked

    Raises
    ------
    UsageError
        when a file cannot be read, there is a single predictor, no clip is predicted by
        all of them, or most scores of one are off its scale.
    """
    all_clips = read_clips(
        labels,
        aspects=asked.aspects,
        ratings=asked.ratings,
        rating_scale=asked.scales.ratings,
        scales=asked.scales.labels,
        options=asked.scales.options,
    )

    # Everything is measured on the scales of the labels.
    own_scales = label_scales(all_clips)
    aspects = list(all_clips.attrs["aspects"])
    labelled = _labelled(clips_of_split(all_clips, asked.split), labels)
    beside, origins = _scores(predictions, labelled, labels, own_scales=own_scales)
    # A predictor that leaves hard clips out must not look better for it.
    common, not_predicted = _common_clips(beside.scores, labelled["clip_id"].tolist())
    kept = labelled[common].reset_index(drop=True)
    kept.attrs = dict(labelled.attrs)
    scores = {name: values[common] for name, values in beside.scores.items()}
    pairs = pairs_of(list(scores), asked.against)

    # A note of several readers is said once.
    said = (*all_clips.attrs.get("notes", ()), *notes_of(origins), *beside.notes)
    notes = list(dict.fromkeys(said))
    notes += _remarks(kept, scores, own_scales)
    systems = kept["system_id"].tolist()
    truth = truth_of_clips(
        asked.system_truth,
        labels,
        scales=own_scales,
        systems=systems,
        split=asked.split,
    )
    if truth is not None:
        notes += [*truth.remarks(systems), _DIFFERENCES_OF_MEANS]
    ratings = asked.ratings or all_clips.attrs.get("means_of")
    ceiling = pd.DataFrame()
    if ratings:
        ceiling = _ceiling(kept, ratings, asked, own_scales=own_scales)

    rows = Rows.from_clips(kept, aspects)
    return ComparedPredictions(
        aspects=tuple(aspects),
        predictors=tuple(scores),
        clips=kept,
        board=_board(scores, rows, asked.resampling, truth=truth),
        differences=predictor_differences(
            rows, scores, pairs, seed=asked.resampling.seed
        ),
        ceiling=ceiling,
        not_predicted=not_predicted,
        not_labelled=beside.not_labelled,
        notes=tuple(notes),
        origins=tuple(origins),
        system_truth=MEANS if truth is None else truth.title,
    )


def _labelled(clips: pd.DataFrame, labels: str) -> pd.DataFrame:
    """The clips that are rated for any aspect."""
    is_labelled = clips[list(clips.attrs["aspects"])].notna().any(axis=1)
    labelled = clips[is_labelled].reset_index(drop=True)
    labelled.attrs = dict(clips.attrs)
    if labelled.empty:
        raise UsageError(f"{labels} rates no clip of those that are asked for.")
    return labelled


def _scores(
    predictions: Sequence[FileWord],
    labelled: pd.DataFrame,
    labels: str,
    own_scales: Mapping[str, Scale],
) -> tuple[ScoresBesideLabels, list[Origin]]:
    """The scores of every predictor for the labelled clips, on the labels' scales."""
    aspects = list(labelled.attrs["aspects"])
    bins = bins_of_labels(own_scales)
    scales = StackScales(Scale.of(bins), own_scales)
    models, origins = read_models(
        predictions, labels_onto(labelled, bins), aspects, source=labels, scales=scales
    )
    # Of a single file with one column there is nothing to compare.
    if len(models) < 2:
        raise UsageError(
            f"Only one predictor is read, {models[0].name}; name a second file, or "
            "further columns as FILE:FIRST,SECOND."
        )
    ids = labelled["clip_id"].tolist()
    target = Target(ids=ids, aspects=aspects, bins=bins, scales=scales)
    return scores_beside_labels(models, target), origins


def _ceiling(
    clips: pd.DataFrame,
    ratings: str,
    asked: Asked,
    own_scales: Mapping[str, Scale],
) -> pd.DataFrame:
    """The noise ceiling of the single ratings of some clips."""
    aspects = list(own_scales)
    single = single_ratings(
        ratings, own_scales, clips.attrs, rating_scale=asked.scales.ratings
    )
    rated = ratings_of(clips, single, ratings)
    check_against_labels(rated, clips, aspects, bins=own_scales)
    return ceiling_of_clips(rated, clips, aspects, resampling=asked.resampling)


def _remarks(
    clips: pd.DataFrame,
    scores: Mapping[str, np.ndarray],
    own_scales: Mapping[str, Scale],
) -> list[str]:
    """What makes the metrics of a predictor mislead, and those of all."""
    aspects = list(own_scales)
    of_all: dict[str, list[str]] = {}
    for name, values in scores.items():
        columns = {f"pred_{aspect}": values[:, k] for k, aspect in enumerate(aspects)}
        for remark in remarks(clips.assign(**columns), aspects, own_scales):
            of_all.setdefault(remark, []).append(name)
    # What is said of all predictors is about the clips.
    return [
        remark if len(names) == len(scores) else f"{', '.join(names)}: {remark}"
        for remark, names in of_all.items()
    ]


def _common_clips(
    scores: Mapping[str, np.ndarray], ids: Sequence[str]
) -> tuple[np.ndarray, dict[str, list[str]]]:
    """Which clips every predictor has, and those that each of them lacks."""
    has_score = {name: np.isfinite(of).all(axis=1) for name, of in scores.items()}
    common = np.logical_and.reduce(list(has_score.values()))
    if not common.any():
        counts = ", ".join(f"{name} {has.sum()}" for name, has in has_score.items())
        raise UsageError(
            f"No labelled clip is predicted by all predictors (of {len(ids)}: {counts})"
            "; compare those that predict the same clips."
        )
    lacking = {
        name: [clip for clip, has in zip(ids, of, strict=True) if not has]
        for name, of in has_score.items()
    }
    return common, {name: clips for name, clips in lacking.items() if clips}


def _board(
    scores: Mapping[str, np.ndarray],
    rows: Rows,
    resampling: Resampling,
    truth: SystemTruth | None,
) -> pd.DataFrame:
    """The metrics of every predictor on the same clips and the same resamples."""
    parts = []
    for name, of_model in scores.items():
        part = evaluate(
            rows.labels if truth is None else Truth(rows.labels, truth.scores),
            of_model,
            rows.systems,
            aspects=rows.aspects,
            n_bootstrap=resampling.n_bootstrap,
            seed=resampling.seed,
            level=resampling.level,
            prompt_ids=rows.prompts,
        )
        part.insert(0, "model", name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
