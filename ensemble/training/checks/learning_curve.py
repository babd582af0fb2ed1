"""What the next ratings would buy, from repeated subsets of the clips at hand.

The support vector regression of the model `pooled_svr` stands for base models, since it
is fitted in no time: on nested subsets, and measured on clips left out. Clips of the
test split take no part.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from base_models.clips.labels import SCALE, judged_by_text, prompt_gaps
from base_models.clips.names import names_or_blank
from base_models.clips.read_clips import SetAside
from base_models.clips.splits import folds as split_folds
from base_models.clips.splits import stratified_holdout
from base_models.errors import UsageError, one_of
from base_models.files import nan_to_none
from base_models.metrics.evaluate import mse, srcc
from base_models.metrics.learning_curve import CurveDraws, Forecast, MeanOfDraws
from base_models.pooled.pooled_features import ClipStatistics, Pooling
from base_models.pooled.regressors import fit_regressor
from base_models.pooled_config import PooledConfig

if TYPE_CHECKING:
    from base_models.encoders.filling.fill_store import Progress

Encoding = Callable[[], contextlib.AbstractContextManager["Progress | None"]]

DRAWS = 12
JUDGING_SHARE = 0.25
"""Share of the clips that each draw leaves out."""
SUBSETS = (0.25, 0.5, 0.75, 1.0)
"""Shares of the other clips that are learnt from."""
MORE = 50
"""Number of ratings to come."""
MODEL = PooledConfig.preset("pooled_svr")
"""The model that stands for others."""
FEWEST_CLIPS = 20
FEWEST_UNITS = 8
"""Groups (or clips, without groups) that nested subsets of different sizes need."""


@dataclass(frozen=True, eq=False)
class AspectCurve:
    """The learning curve of one aspect.

    Parameters
    ----------
    aspect : str
    clips : int
        Rated clips at hand.
    counts : tuple of int
        Clips of each subset, the mean over the draws.
    measured : mapping of str to tuple of MeanOfDraws
        By metric, on each subset.
    constant : MeanOfDraws
        MSE of the mean label of the largest subset, a predictor that hears nothing.
    forecasts : mapping of str to Forecast
        By metric.
    """

    aspect: str
    clips: int
    counts: tuple[int, ...]
    measured: Mapping[str, tuple[MeanOfDraws, ...]]
    constant: MeanOfDraws
    forecasts: Mapping[str, Forecast]

    @property
    def sentence(self) -> str:
        """What the next ratings would buy, for people."""
        parts = "; ".join(forecast.sentence for forecast in self.forecasts.values())
        return (
            f"{self.aspect}, the next {MORE} ratings ({self.clips} to "
            f"{self.clips + MORE} clips): {parts}"
        )

    def to_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        measured = {
            metric: [[mean.mean, mean.low, mean.high] for mean in means]
            for metric, means in self.measured.items()
        }
        constant = self.constant
        values = {
            "aspect": self.aspect,
            "clips": self.clips,
            "counts": list(self.counts),
            "measured": measured,
            "constant_mse": [constant.mean, constant.low, constant.high],
            "next_ratings": [one.to_json() for one in self.forecasts.values()],
        }
        plain: dict[str, Any] = nan_to_none(values)
        return plain


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """The curves of a listening test.

    Parameters
    ----------
    aspects : tuple of AspectCurve
    set_aside : tuple of SetAside
        The clips that cannot be used.
    """

    aspects: tuple[AspectCurve, ...]
    set_aside: tuple[SetAside, ...] = ()


@dataclass(frozen=True)
class CurveSetup:
    """How a curve is measured.

    Parameters
    ----------
    audio_encoder, text_encoder : str
        Registered names, or ``"name=folder"``; the latter for aspects judged by text.
    group : str or None
        Column whose clips are left out, and learnt from, together.
    draws, seed : int
    encoding : callable
        Makes a context manager that shows the progress of embedding; what it yields is
        called as ``on_embed(encoder, done, total)``.
    track : callable
        Wraps the numbers of the draws of an aspect, for instance to show progress.
    """

    audio_encoder: str = "logmel"
    text_encoder: str = "hashed_text"
    group: str | None = None
    draws: int = DRAWS
    seed: int = 0
    encoding: Encoding = field(default=contextlib.nullcontext, compare=False)
    track: Callable[[Sequence[int]], Iterable[int]] = field(default=iter, compare=False)


def learning_curve(frame: pd.DataFrame, setup: CurveSetup) -> LearningCurve:
    """Measure how the error falls with the number of rated clips.

    Parameters
    ----------
    frame : DataFrame
        Clip table with its aspects, of `read_clips`.
    setup : CurveSetup

    Raises
    ------
    UsageError
        When an encoder or column is unknown, there are too few rated clips or groups,
        or all labels of an aspect are equal.
    """
    aspects = frame.attrs["aspects"]
    if setup.group is not None:
        one_of(setup.group, frame.columns, "column for --group")
    needs_text = judged_by_text(aspects)
    clips = frame[frame["split"] != "test"]
    # The draws hang on the clips, not on the order in which they are listed.
    clips = clips.sort_values("clip_id", ignore_index=True)
    # A clip without a prompt has no label of what is judged by it.
    clips[aspects] = clips[aspects].mask(prompt_gaps(clips, needs_text))
    # What cannot be measured is refused before anything is embedded.
    for aspect in aspects:
        _check_labels(clips[clips[aspect].notna()], aspect, setup.group)

    embedded = _embed(clips, setup, needs_text)
    curves = []
    for aspect, with_text in zip(aspects, needs_text, strict=True):
        is_rated = embedded.clips[aspect].notna().to_numpy()
        rated = embedded.clips[is_rated].reset_index(drop=True)
        # Once more, without the clips that could not be embedded.
        _check_labels(rated, aspect, setup.group)
        rated_clips = _RatedAspect(
            aspect,
            rated,
            embedded.statistics.take(np.flatnonzero(is_rated)),
            units=_units(rated, setup.group),
            with_text=with_text,
            shares_space=embedded.shares_space,
        )
        curves.append(_curve_of_aspect(rated_clips, setup))
    return LearningCurve(tuple(curves), embedded.set_aside)


def _check_labels(rated: pd.DataFrame, aspect: str, group: str | None) -> None:
    """Refuse rated clips that no curve can be drawn from."""
    if len(rated) < FEWEST_CLIPS:
        raise UsageError(
            f"--curve needs at least {FEWEST_CLIPS} clips rated for {aspect}, to learn "
            f"from some and judge by others; {len(rated)} can be used, without test "
            "clips and, where prompts count, clips without one. Rate more, or leave "
            "--curve out."
        )
    if group is not None and rated[group].nunique() < FEWEST_UNITS:
        raise UsageError(
            f"--curve needs at least {FEWEST_UNITS} groups, which it keeps whole; "
            f"'{group}' has {rated[group].nunique()} among the clips rated for "
            f"{aspect}. Name another column with --group, or leave --curve out."
        )
    if rated[aspect].nunique() == 1:
        raise UsageError(
            f"Every label of {aspect} is {rated[aspect].iloc[0]:g}: there is nothing "
            "to learn. Name other aspects with --aspects, or leave --curve out."
        )


@dataclass(frozen=True, eq=False)
class _Embedded:
    """The clips that can be used, what their embeddings are like, and the others."""

    clips: pd.DataFrame
    statistics: ClipStatistics
    set_aside: tuple[SetAside, ...]
    shares_space: bool


def _embed(
    clips: pd.DataFrame, setup: CurveSetup, needs_text: Sequence[bool]
) -> _Embedded:
    from base_models.encoders import load_encoder
    from base_models.encoders.embed import fill_clips, load_clips, placeholder_for
    from base_models.encoders.store import EmbeddingStore

    audio = load_encoder(setup.audio_encoder, device="cpu")
    text = None
    if any(needs_text):
        text = load_encoder(setup.text_encoder, device="cpu")
    store = EmbeddingStore()
    with setup.encoding() as on_embed:
        filled = fill_clips(
            clips,
            store,
            audio,
            text,
            on_progress=on_embed,
            placeholder=placeholder_for(needs_text),
        )
    return _Embedded(
        clips.iloc[list(filled.kept)].reset_index(drop=True),
        ClipStatistics.of(load_clips(filled, store, audio, text)),
        filled.set_aside,
        shares_space=text is not None and audio.space == text.space != "",
    )


@dataclass(frozen=True, eq=False)
class _RatedAspect:
    """The clips that are rated for an aspect.

    Parameters
    ----------
    aspect : str
    clips : DataFrame
        n rows.
    statistics : ClipStatistics
        Of their embeddings.
    units : array of shape (n,)
        Codes of the groups that are kept whole.
    with_text, shares_space : bool
        Whether the prompt counts, and whether it lies in the space of the audio.
    """

    aspect: str
    clips: pd.DataFrame
    statistics: ClipStatistics
    units: np.ndarray
    with_text: bool
    shares_space: bool

    @property
    def labels(self) -> np.ndarray:
        """Labels, shape (n,)."""
        return self.clips[self.aspect].to_numpy(dtype=np.float64)

    def learnt_scores(self, rows: np.ndarray, judges: np.ndarray) -> np.ndarray:
        """Scores of the clips `judges` by the model, fitted on the clips `rows`."""
        training = self.statistics.take(rows)
        pooling = Pooling.fit(training, self.with_text, self.shares_space)
        fold_of_clip = split_folds(
            self.clips["system_id"].iloc[rows],
            self.labels[rows],
            min(MODEL.inner_folds, len(np.unique(self.units[rows]))),
            seed=0,
            groups=self.units[rows],
        )
        folds = [
            (np.flatnonzero(fold_of_clip != fold), np.flatnonzero(fold_of_clip == fold))
            for fold in np.unique(fold_of_clip)
        ]
        fitted = fit_regressor(
            MODEL.regressor,
            _side_by_side(pooling, training),
            self.labels[rows],
            weights=np.ones(len(rows)),
            folds=folds,
            seed=0,
        )
        held_out = self.statistics.take(judges)
        scores = fitted.estimator.predict(_side_by_side(pooling, held_out))
        # As distributions on the scale are.
        return np.clip(scores, SCALE.low, SCALE.high)


def _side_by_side(pooling: Pooling, clips: ClipStatistics) -> np.ndarray:
    return np.concatenate(list(pooling.blocks(clips).values()), axis=1)


def _units(clips: pd.DataFrame, group: str | None) -> np.ndarray:
    """Code of the group of each clip; the clips themselves without groups."""
    if group is None:
        return np.arange(len(clips))
    names = names_or_blank(clips[group])
    codes, known = pd.factorize(names)
    # Each clip of an unknown group is a unit by itself.
    unknown = names == ""
    codes[unknown] = len(known) + np.arange(unknown.sum())
    return codes


def _curve_of_aspect(rated: _RatedAspect, setup: CurveSetup) -> AspectCurve:
    """Measure all draws of one aspect."""
    labels = rated.labels
    counts = []
    judged = []
    values: dict[str, list[list[float]]] = {"mse": [], "srcc": []}
    constants = []
    for draw in setup.track(range(setup.draws)):
        # Not the seed alone, or curves of neighbouring seeds would share draws.
        rng = np.random.default_rng([setup.seed, draw])
        is_judge = stratified_holdout(
            rated.clips["system_id"],
            labels,
            JUDGING_SHARE,
            seed=int(rng.integers(2**31)),
            groups=rated.units,
        )
        judges = np.flatnonzero(is_judge)
        truth = labels[judges]
        subsets = _nested_subsets(np.flatnonzero(~is_judge), rated.units, rng)
        scores = [rated.learnt_scores(rows, judges) for rows in subsets]

        counts.append([len(rows) for rows in subsets])
        judged.append(len(judges))
        values["mse"].append([mse(truth, of_subset) for of_subset in scores])
        values["srcc"].append([srcc(truth, of_subset) for of_subset in scores])
        mean_label = labels[subsets[-1]].mean()
        constants.append([mse(truth, np.full(len(truth), mean_label))])

    n_judged = float(np.mean(judged))
    shared = {"judged": n_judged, "learnt": len(labels) - n_judged}
    draws = {
        metric: CurveDraws(metric, np.array(counts), np.array(of_draws), **shared)
        for metric, of_draws in values.items()
    }
    largest = np.array(counts)[:, -1:]
    constant = CurveDraws("mse", largest, np.array(constants), **shared)
    return AspectCurve(
        aspect=rated.aspect,
        clips=len(labels),
        counts=tuple(np.rint(np.mean(counts, axis=0)).astype(int).tolist()),
        measured={
            metric: tuple(one.at(subset) for subset in range(len(SUBSETS)))
            for metric, one in draws.items()
        },
        constant=constant.at(0),
        forecasts={
            metric: one.forecast(len(labels), MORE) for metric, one in draws.items()
        },
    )


def _nested_subsets(
    rows: np.ndarray, units: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Subsets of rows that hold units whole, each within the next.

    Parameters
    ----------
    rows : int array
        Rows to learn from.
    units : array of shape (n,)
        Unit of each of all rows.
    rng : Generator

    Returns
    -------
    subsets : list of int arrays, one for each of `SUBSETS`
    """
    order = rng.permutation(np.unique(units[rows]))
    sizes = np.array([np.count_nonzero(units[rows] == unit) for unit in order])
    reached = np.cumsum(sizes)
    subsets = []
    for share in SUBSETS:
        # As many units as come nearest to the share of the clips.
        n_units = int(np.argmin(np.abs(reached - share * len(rows)))) + 1
        subsets.append(rows[np.isin(units[rows], order[:n_units])])
    return subsets
