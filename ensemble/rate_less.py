"""Predictions of all clips and ratings of some, out of files, for powered means."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import ndtri

from base_models.bins import ScoreBins
from base_models.clips.columns import (
    RATING_NAMES,
    aspect_columns,
    fold_name,
)
from base_models.clips.labels import SCALE
from base_models.clips.listening_tests.rating_options import (
    AS_THEY_ARE,
    RatingOptions,
)
from base_models.clips.names import comparable_ids
from base_models.clips.rows.reading import Reading
from base_models.clips.tables.read_table import is_table, read_table, table_file
from base_models.errors import UsageError, one_of, some
from base_models.scales import LabelScales, Scale
from ensemble.prediction_files.join_models import scales_of_file
from ensemble.prediction_files.prediction_word import PredictionFile
from ensemble.prediction_files.predictor_scales import (
    CURE_OF_ONE_FILE,
    OF_LABELS,
    check_on_scale,
    range_remark,
)
from ensemble.prediction_files.read_predictions import (
    read_distributions,
    read_predictions,
)
from ensemble.rated_systems import (
    described_clips,
    reading_beside,
    systems_elsewhere,
)
from ensemble.some_ratings import read_some_ratings, with_ids_of
from meta.powered_means.rated_sample import RatedSample

_SAME_SCORE = 2.5e-6
"""Greatest difference of equal scores, as a share of the scale: files have six
decimals."""


@dataclass(frozen=True, eq=False)
class SeenClips:
    """What the predictor has learnt from.

    Parameters
    ----------
    clips : frozenset of str
    out_of_fold : DataFrame indexed by clip id, one column per aspect
        What learners without the systems of these clips predict of them, on the scale
        of the predictions; NaN where there is no such score.
    """

    clips: frozenset[str] = frozenset()
    out_of_fold: pd.DataFrame = field(default_factory=pd.DataFrame)


NOTHING_SEEN = SeenClips()


@dataclass(frozen=True, eq=False)
class RateLessData:
    """Clips with predictions of every aspect, and ratings of some of them.

    Parameters
    ----------
    clips : DataFrame of n rows
        ``clip_id, system_id, prompt, audio`` and per aspect ``pred_<aspect>``, NaN
        where a clip has none; where the file has intervals also
        ``pred_<aspect>_low`` and ``_high``.
    ratings : DataFrame
        ``clip_id`` as in `clips`, ``rater_id`` where raters are known, and one column
        per aspect; empty without ratings.
    aspects : tuple of str
    scales : dict
        Of the ratings of each aspect. Predictions are on it too, where their own scale
        is known.
    columns : dict
        Of the file of predictions, the column that each aspect was read from.
    not_predicted : list of str
        Clips of the table that have no prediction.
    rated_without_prediction : list of str
        Rated clips that have no prediction: their ratings are left out.
    learnt_from : list of str
        Clips whose labels the predictor has seen, rated or not: they are left out,
        since what is predicted of them is not what would be predicted of others.
    cross_fitted : list of str
        Clips that the predictor was fitted on and that stay, since they are predicted
        by learners that had not seen their system.
    notes : tuple of str
        What a reader of the numbers must know.
    """

    clips: pd.DataFrame
    ratings: pd.DataFrame
    aspects: tuple[str, ...]
    scales: dict[str, Scale]
    columns: dict[str, str]
    not_predicted: list[str]
    rated_without_prediction: list[str]
    learnt_from: list[str]
    cross_fitted: list[str]
    notes: tuple[str, ...]

    def bins(self, aspect: str) -> ScoreBins:
        """The scale of the ratings of an aspect, as bins with its ends."""
        scale = self.scales[aspect]
        return ScoreBins(scale.low, scale.high)

    def predicted(self, aspect: str) -> pd.DataFrame:
        """The clips that have a prediction of an aspect, with it as ``prediction``."""
        clips = self.clips.assign(prediction=self.clips[f"pred_{aspect}"])
        return clips[clips["prediction"].notna()].reset_index(drop=True)

    def sample(self, aspect: str) -> RatedSample:
        """The clips that have a prediction of an aspect, with its ratings."""
        clips = self.predicted(aspect)
        is_known = self.ratings["clip_id"].isin(clips["clip_id"])
        return RatedSample.from_tables(clips, self.ratings[is_known], aspect)

    def for_plan(self) -> pd.DataFrame:
        """The clips with the mean of their predictions over aspects.

        Raises
        ------
        UsageError
            When the aspects are on several scales.
        """
        if len(set(self.scales.values())) > 1:
            raise UsageError(
                f"A plan is for one scale, and {some(self.aspects)} are on several; "
                f"name one aspect to plan for (--aspects {self.aspects[0]})."
            )
        columns = [f"pred_{aspect}" for aspect in self.aspects]
        return self.clips.assign(prediction=self.clips[columns].mean(axis=1))

    def residual_deviation(self, interval_level: float) -> np.ndarray | None:
        """How far true scores lie from predictions, as their intervals tell.

        Parameters
        ----------
        interval_level : float
            Coverage of the intervals in the file of predictions.

        Returns
        -------
        deviation : array of shape (n,), or None where the file has no intervals
        """
        widths = []
        for aspect in self.aspects:
            if f"pred_{aspect}_low" in self.clips:
                high = self.clips[f"pred_{aspect}_high"]
                widths.append(high - self.clips[f"pred_{aspect}_low"])
        if not widths:
            return None
        mean_width = pd.concat(widths, axis=1).mean(axis=1)
        # Clips without an interval would get none of the ratings of a plan.
        if mean_width.isna().any() or (mean_width < 0).any():
            return None
        # An interval reaches this many deviations to either side of a score.
        quantile = float(ndtri((1 + interval_level) / 2))
        return mean_width.to_numpy() / (2 * quantile)

    def only_aspects(self, names: Sequence[str]) -> RateLessData:
        """The same with some aspects alone.

        Raises
        ------
        UsageError
            When a name is unknown.
        """
        for name in names:
            one_of(name, self.aspects, "aspect")
        return replace(self, aspects=tuple(dict.fromkeys(names)))

    def only_systems(self, names: Sequence[str]) -> RateLessData:
        """The same with the clips of some systems alone.

        Raises
        ------
        UsageError
            When a name is unknown.
        """
        known = self.clips["system_id"].unique()
        unknown = [name for name in names if name not in known]
        if unknown:
            raise UsageError(f"No clip is by {some(unknown)}; there are {some(known)}.")
        clips = self.clips[self.clips["system_id"].isin(names)].reset_index(drop=True)
        is_known = self.ratings["clip_id"].isin(clips["clip_id"])
        return replace(self, clips=clips, ratings=self.ratings[is_known])


def read_rate_less(
    predictions: str,
    ratings: str | None = None,
    clips: str | None = None,
    aspects: Sequence[str] | None = None,
    rating_scale: LabelScales | Sequence[float] | None = None,
    seen: SeenClips = NOTHING_SEEN,
    options: RatingOptions = AS_THEY_ARE,
) -> RateLessData:
    """Read predictions of all clips and ratings of some.

    Parameters
    ----------
    predictions : as `read_predictions` takes them; ``FILE:0-100`` names their scale
    ratings : single ratings as `read_ratings` takes them, or a table with a mean rating
        per clip as `read_clips` takes it; None for a plan without a pilot
    clips : a table that names the system of every clip, perhaps its prompt, as
        `read_clips` takes it; None takes `predictions` itself, or the system in names
        such as MusicEval's, or that of every clip in `ratings`, or one for all
    aspects : names, or ``aspect=column`` of the ratings; by default the rated columns
    rating_scale : lowest and highest rating, where it is not 1 and 5, or the scales of
        single aspects. Ratings, and so
        their means, stay on it; predictions are mapped onto it, where their own scale
        is declared or known
    seen : clips that the predictor has learnt from; those that a file of distributions
        names are known without. They are left out, unless `predictions` has their
        out-of-fold scores, see `meta.cross_fit`
    options : the layout of the ratings, whose ratings of what are left out, and how
        these and the table of clips are read

    Raises
    ------
    UsageError
        When a file cannot be read, no clip or no rated clip is predicted, all of them
        were learnt from, a rating is off its scale, or, without ratings, most
        predictions are.
    """
    file = PredictionFile.parse(predictions)
    # Both tables are read as the user says, and each may have columns of its own.
    of_clips = options.reading
    if clips is not None and ratings is not None:
        of_clips = reading_beside(options.reading, clips, other=ratings)
        own = reading_beside(options.reading, ratings, other=clips)
        options = replace(options, reading=own)
    declared = LabelScales.of_any(rating_scale).or_else(Scale.of(SCALE))
    if ratings is None:
        rated = pd.DataFrame({"clip_id": pd.Series(dtype=object)})
        names = _planned_aspects(file.path, aspects)
    else:
        rated, names, declared = read_some_ratings(
            ratings, aspects, declared, options=options
        )
    declared.check_aspects(names)
    scales = {name: declared.of(name) or Scale.of(SCALE) for name in names}
    scores, scale_notes = _on_scale_of_ratings(
        file, scales, has_ratings=ratings is not None
    )
    table, notes, not_predicted = _with_systems(
        scores, file.path, clips, rated=(ratings, options), reading=of_clips
    )
    notes = (*rated.attrs.get("notes", ()), *notes)

    rated, strangers = _of_predicted(table, rated, ratings)
    data = RateLessData(
        clips=table,
        ratings=rated.reset_index(drop=True),
        aspects=names,
        scales=scales,
        columns=scores.attrs["columns"],
        not_predicted=not_predicted,
        rated_without_prediction=strangers,
        learnt_from=[],
        cross_fitted=[],
        notes=(*notes, *scale_notes),
    )
    # Out-of-fold scores are on the scale of the file, as `predict_mos` writes both.
    of_file = scores.attrs["scales"]
    out_of_fold = seen.out_of_fold.copy()
    for aspect in out_of_fold.columns.intersection(list(of_file)):
        values = out_of_fold[aspect]
        out_of_fold[aspect] = of_file[aspect].map(values, scales[aspect])
    seen = replace(seen, out_of_fold=out_of_fold)
    return _without_seen(data, seen, by_bases=_seen_by(file.path))


def join_ratings(
    table: pd.DataFrame,
    own_scales: Mapping[str, Scale],
    ratings: str,
    aspects: Sequence[str] | None = None,
    rating_scale: LabelScales | Sequence[float] | None = None,
    seen: SeenClips = NOTHING_SEEN,
    options: RatingOptions = AS_THEY_ARE,
) -> RateLessData:
    """Put ratings of some clips beside scores that a stack has just made.

    Parameters
    ----------
    table : DataFrame of n rows
        As `RateLessData.clips`, on the scales of the stack.
    own_scales : mapping of str to Scale
        Of the scores of each aspect of the stack.
    ratings, aspects, rating_scale, seen, options : see `read_rate_less`; without
        another, the scale of ratings is that of the scores

    Raises
    ------
    UsageError
        As `read_rate_less`, and when an aspect is rated that the stack does not score.
    """
    declared = LabelScales.of_any(rating_scale)
    if len(set(own_scales.values())) == 1:
        declared = declared.or_else(next(iter(own_scales.values())))
    rated, names, declared = read_some_ratings(
        ratings, aspects, declared, options=options
    )
    unknown = [name for name in names if name not in own_scales]
    if unknown:
        raise UsageError(
            f"{ratings} rates {some(unknown)}, and the stack scores "
            f"{some(own_scales)}; say which column is which (--aspects "
            f"{next(iter(own_scales))}=COLUMN)."
        )
    scales = {name: declared.of(name) or own_scales[name] for name in names}
    table = table.copy()
    for name in names:
        for column in (f"pred_{name}", f"pred_{name}_low", f"pred_{name}_high"):
            if column in table:
                table[column] = own_scales[name].map(table[column], scales[name])
    rated, strangers = _of_predicted(table, rated, ratings)
    data = RateLessData(
        clips=table,
        ratings=rated.reset_index(drop=True),
        aspects=names,
        scales=scales,
        columns={},
        not_predicted=[],
        rated_without_prediction=strangers,
        learnt_from=[],
        cross_fitted=[],
        notes=tuple(rated.attrs.get("notes", ())),
    )
    return _without_seen(data, seen, by_bases=())


def _of_predicted(
    table: pd.DataFrame, rated: pd.DataFrame, ratings: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """The ratings of predicted clips, and the other rated clips."""
    kept, strangers = with_ids_of(table, rated)
    if ratings is not None and kept.empty:
        raise UsageError(
            f"No rated clip of {ratings} is predicted: a rating is for "
            f"{some(strangers, 1)}, a prediction for '{table['clip_id'].iloc[0]}'. "
            "Give both the same ids."
        )
    return kept, strangers


def _without_seen(
    data: RateLessData, seen: SeenClips, by_bases: Collection[str]
) -> RateLessData:
    """The same without the clips that the predictor has learnt from."""
    ids = data.clips["clip_id"].tolist()
    is_seen = _is_seen(ids, {*seen.clips, *by_bases})
    # Base models that were trained on a clip cannot be refitted here.
    is_crossed = _is_seen(ids, seen.out_of_fold.index) & ~_is_seen(ids, by_bases)
    notes = data.notes
    cross_fitted: list[str] = []
    way = ""
    if is_crossed.any():
        way = " (predict_mos --cross-fit)"
        if _are_out_of_fold(data, seen.out_of_fold):
            is_seen &= ~is_crossed
            cross_fitted = data.clips["clip_id"][is_crossed].tolist()
        else:
            notes = (
                *notes,
                f"{int(is_crossed.sum())} of the clips that were learnt from could "
                "stay: predict all clips anew by predict_mos --cross-fit.",
            )
    learnt_from = data.clips["clip_id"][is_seen].tolist()
    is_kept = ~data.ratings["clip_id"].isin(learnt_from)
    if is_seen.all():
        raise UsageError(
            f"The predictor has learnt from every clip ({some(learnt_from, 3)}): what "
            "it predicts of them is no guide to others. Predict other clips, or give "
            f"out-of-fold predictions of these{way}."
        )
    if len(is_kept) and not is_kept.any():
        raise UsageError(
            f"The predictor has learnt from every rated clip ({some(learnt_from, 3)}): "
            "its predictions know these ratings, and every interval would be too "
            "narrow. Rate other clips, or give out-of-fold predictions of "
            f"these{way}."
        )
    return replace(
        data,
        clips=data.clips[~is_seen].reset_index(drop=True),
        ratings=data.ratings[is_kept].reset_index(drop=True),
        learnt_from=learnt_from,
        cross_fitted=cross_fitted,
        notes=notes,
    )


def _are_out_of_fold(data: RateLessData, out_of_fold: pd.DataFrame) -> bool:
    """Whether the clips that a stack was fitted on have their out-of-fold scores.

    It takes all of them: a file in which some are in-sample is not of one kind.
    """
    aspects = [name for name in data.aspects if name in out_of_fold]
    known, given = comparable_ids(
        data.clips["clip_id"].tolist(), out_of_fold.index.tolist()
    )
    forms = out_of_fold[aspects].set_axis(given)
    expected = forms.reindex(known).to_numpy(dtype=float)
    found = data.clips[[f"pred_{name}" for name in aspects]].to_numpy(dtype=float)
    distance = np.abs(found - expected)
    is_compared = np.isfinite(distance)
    widths = np.array([data.scales[name].width for name in aspects])
    is_same = distance <= _SAME_SCORE * widths
    return bool(is_compared.any() and is_same[is_compared].all())


def _planned_aspects(
    predictions: Path, aspects: Sequence[str] | None
) -> tuple[str, ...]:
    """The aspects that are named, or else those that a file predicts."""
    if aspects:
        return tuple(aspect_columns(aspects))
    if not predictions.exists():
        raise UsageError(f"There is no file {predictions}; name one of predictions.")
    distributions = read_distributions(predictions)
    if distributions is not None:
        return tuple(distributions.aspects)
    if is_table(predictions) and table_file(predictions).is_file():
        table = read_table(predictions)
        # By name alone, since predictions may be on any scale.
        columns = table.columns if table.has_header else ()
        names = [_named_aspect(name) for name in columns]
        found = dict.fromkeys(name for name in names if name)
        if found:
            return tuple(found)
    raise UsageError(f"Name what {predictions} predicts (--aspects mi ta).")


def _named_aspect(column: str) -> str | None:
    """The aspect that a column says it predicts or rates, if it is known as one."""
    name = fold_name(column)
    for affix in ("predicted_", "pred_"):
        name = name.removeprefix(affix)
    name = name.removesuffix("_pred")
    return name if name in RATING_NAMES else None


def _on_scale_of_ratings(
    file: PredictionFile,
    scales: Mapping[str, Scale],
    *,
    has_ratings: bool,
) -> tuple[pd.DataFrame, list[str]]:
    """Predictions and their intervals on the scale of the ratings, and notes.

    Ratings tell by how much they differ where predictions do (the slope), whatever
    these are in. Without them, predictions are taken for ratings, and must be on their
    scale.
    """
    predicted = read_predictions(file, scales)
    found = scales_of_file(predicted, file, scales)
    intervals = _intervals(file.path, list(scales))
    columns: dict[str, ArrayLike] = {"clip_id": predicted["clip_id"].to_numpy()}
    notes = []
    for aspect, known in found.predictors[file.called].items():
        values = predicted[aspect].to_numpy(dtype=np.float64)
        finite = values[np.isfinite(values)]
        if not has_ratings:
            check_on_scale(file.called, finite, known, cure=CURE_OF_ONE_FILE)
            notes.append(range_remark(file.called, finite, known))
        ends = {f"{aspect}_{end}": f"pred_{aspect}_{end}" for end in ("low", "high")}
        columns[f"pred_{aspect}"] = known.scale.map(values, scales[aspect])
        for name, column in ends.items():
            if name in intervals:
                columns[column] = known.scale.map(intervals[name], scales[aspect])
    # That a scale is assumed matters to a plan without ratings alone.
    reasons = {known.why for known in found.predictors[file.called].values()}
    if not has_ratings or reasons != {OF_LABELS}:
        notes += found.predictor_notes()
    frame = pd.DataFrame(columns)
    frame.attrs["columns"] = predicted.attrs["columns"]
    predictors = found.predictors[file.called]
    frame.attrs["scales"] = {aspect: predictors[aspect].scale for aspect in predictors}
    return frame, [note for note in notes if note]


def _with_systems(
    predicted: pd.DataFrame,
    source: Path,
    clips: str | None,
    *,
    rated: tuple[str | None, RatingOptions],
    reading: Reading,
) -> tuple[pd.DataFrame, tuple[str, ...], list[str]]:
    """The predicted clips with their systems, what was chosen, and who lacks one."""
    described, notes = described_clips(predicted, source, clips, reading=reading)
    wanted, given = comparable_ids(
        described["clip_id"].tolist(), predicted["clip_id"].tolist()
    )
    row_of = {form: row for row, form in enumerate(given)}
    if len(row_of) < len(given):
        twice = pd.Series(given)[pd.Series(given).duplicated()]
        raise UsageError(f"{some(twice)}: predicted twice in {source}; keep one.")
    rows = np.array([row_of.get(form, -1) for form in wanted], dtype=np.intp)
    if not (rows >= 0).any():
        raise UsageError(
            f"No clip of {clips} is predicted: it has '{described['clip_id'].iloc[0]}',"
            f" a prediction is for '{predicted['clip_id'].iloc[0]}'. Give both the "
            "same ids."
        )
    not_predicted = described["clip_id"][rows < 0].tolist()
    table = described[rows >= 0].reset_index(drop=True)
    for name in predicted.columns.drop("clip_id"):
        table[name] = predicted[name].to_numpy()[rows[rows >= 0]]

    without = table["clip_id"][table["system_id"] == ""].tolist()
    if without and len(without) < len(table):
        raise UsageError(
            f"{len(without)} clips have no system ({some(without)}); name the system "
            "of every clip, or of none."
        )
    if without:
        found, note = systems_elsewhere(table["clip_id"].tolist(), *rated)
        table["system_id"] = found
        notes = (*notes, note)
    return table, notes, not_predicted


def _intervals(path: Path, aspects: Sequence[str]) -> dict[str, np.ndarray]:
    """Ends of the intervals beside predictions, as ``predict_mos`` writes them."""
    if not is_table(path) or read_distributions(path) is not None:
        return {}
    columns = read_table(path).columns
    found = {}
    for aspect in aspects:
        ends = [f"{aspect}_low", f"{aspect}_high"]
        if all(end in columns for end in ends):
            for end in ends:
                cells = pd.Series(pd.to_numeric(columns[end], errors="coerce"))
                found[end] = cells.to_numpy(dtype=float)
    return found


def _seen_by(predictions: Path) -> frozenset[str]:
    """Clips whose labels a base model has seen, as its file says."""
    distributions = read_distributions(predictions)
    if distributions is None:
        return frozenset()
    return distributions.trained_on | distributions.selected_on


def _is_seen(clip_ids: list[str], seen: Collection[str]) -> np.ndarray:
    """Whether each clip is among those that were seen, however ids are written."""
    forms, seen_forms = comparable_ids(clip_ids, sorted(seen))
    known = set(seen_forms)
    return np.array([form in known for form in forms], dtype=bool)
