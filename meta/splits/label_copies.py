"""Predictors that are the labels themselves, in whatever form.

A table of ratings often has columns that were computed from them: the mean rating, the
mean of the system, a rank. As a base model such a column makes a perfect stack.

The rule: a rating is heard with noise, so that no honest predictor comes closer to the
labels than that noise lets it. Labels that are means of k whole ratings have the step
1/k, and as raters differ by half a point at the least, a standard error of at least
½·√(1/k). What comes within half a step of the labels, and nearer than such noise would
allow once in a million tables, is a copy of them. Labels without a step are taken to
have at least a tenth of their own standard deviation as noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln
from scipy.stats import chi2

from base_models.clips.check import score_step
from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from meta.rows import Rows

# Chance that honest predictions of the least noise are taken for a copy.
_ALPHA = 1e-6
# Chance that scores in a random order would follow the labels as well, above which
# nothing is said: so it is with a few rows, or a few values.
_LUCK = 1e-5
_MIN_SYSTEMS = 3
# How many rows must repeat a value of the label before a predictor that repeats its own
# with it is said to be computed from the labels.
_MIN_REPEATS = 10

# Standard deviation of single ratings of a clip, in steps of a rating.
_RATER_SPREAD = 0.5
# Below, a step is that of decimal places and not of ratings.
_LEAST_STEP = 0.05
# Of labels without a step: nearness of a copy and least noise, relative to their
# standard deviation.
_NEAR = 0.03
_NOISE = 0.1
# Relative rounding error of what passed through a table.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class LabelCopy:
    """A predictor that is computed from the labels.

    Parameters
    ----------
    model, aspect : names of the predictor, and of the rated quality
    kind : what it is, for people, e.g. ``"the labels"``
    difference : root mean square of what is left between the two
    """

    model: str
    aspect: str
    kind: str
    difference: float

    @property
    def is_exact(self) -> bool:
        """Whether nothing is left between the two."""
        return self.difference <= _ROUNDING

    def __str__(self) -> str:
        nearness = "to the last digit"
        if not self.is_exact:
            nearness = f"to {self.difference:.2g}"
        return (
            f"'{self.model}' predicts {self.kind} of '{self.aspect}' {nearness}, "
            "nearer than the noise of ratings lets any predictor come"
        )


def label_copies(tables: Iterable[PredictionTable], rows: Rows) -> list[LabelCopy]:
    """Predictors that are the labels, scaled labels or means of systems.

    Also found are labels with noise below half a step of the ratings, a value for each
    value of the labels (such as a rank), and the mean of the other clips of a system.

    Parameters
    ----------
    tables : predictions; a clip that a table lacks is left out for it
    rows : clips with labels

    Returns
    -------
    copies : at most one per table and aspect
    """
    found = []
    for table in tables:
        place = table.place_of(rows.ids)
        predicted = rows.take(place >= 0)
        scores = table.scores[place[place >= 0]]
        for k, aspect in enumerate(rows.aspects):
            if aspect not in table.aspects:
                continue
            labels = predicted.labels[:, k]
            labelled = np.isfinite(labels)
            column = scores[labelled, table.aspects.index(aspect)]
            copied = copied_labels(
                column, labels[labelled], predicted.systems[labelled].tolist()
            )
            if copied is not None:
                kind, difference = copied
                found.append(LabelCopy(table.model, aspect, kind, difference))
    return found


def refuse_label_copies(tables: Iterable[PredictionTable], rows: Rows) -> None:
    """Refuse predictors that are the labels in some form, see `label_copies`.

    Raises
    ------
    UsageError
        naming the predictor, and what it is.
    """
    copies = label_copies(tables, rows)
    if copies:
        more = f" ({len(copies) - 1} more such.)" if len(copies) > 1 else ""
        raise UsageError(
            f"{copies[0]}: it is no prediction, and would make a perfect stack of "
            "nothing. Leave that column out, or name the others (--models). Clips that "
            f"are listed twice, under two ids, look the same: list them once.{more}"
        )


def copied_labels(
    scores: np.ndarray, labels: np.ndarray, systems: Sequence[str]
) -> tuple[str, float] | None:
    """What scores are that are computed from the labels; None for predictions.

    Parameters
    ----------
    scores, labels : finite, of shape (n,)
    systems : n names, "" where unknown

    Returns
    -------
    kind : what they are, for people
    difference : root mean square of what is left between the two
    """
    if len(labels) == 0 or np.ptp(scores) == 0 or _luck(labels) > _LUCK:
        return None
    noise = _Noise.of(labels)
    equal = _rms(scores - labels)
    if equal < noise.least_difference(len(labels), len(labels)):
        return "the labels", equal
    scaled = _rms(_left_of_line(scores, labels))
    if scaled < noise.least_difference(len(labels), len(labels) - 2):
        return "the scaled labels", scaled
    if _repeats_with(scores, labels):
        return "one value for each label", 0.0
    return _copied_by_system(scores, labels, systems, noise=noise)


def _copied_by_system(
    scores: np.ndarray,
    labels: np.ndarray,
    systems: Sequence[str],
    noise: _Noise,
) -> tuple[str, float] | None:
    """As `copied_labels`, for what is computed system by system."""
    names, system = np.unique(np.array(systems, dtype=object), return_inverse=True)
    counts = np.bincount(system)
    n_systems = len(names)
    # A single clip is its system's mean.
    if "" in names or n_systems < _MIN_SYSTEMS or len(labels) < 2 * n_systems:
        return None
    label_means = np.bincount(system, labels) / counts
    score_means = np.bincount(system, scores) / counts
    label_parts = labels - label_means[system]
    score_parts = scores - score_means[system]

    # Means of systems: hardly any difference within one, and those of the labels.
    is_flat = _rms(score_parts) <= min(noise.near, _rms(label_parts) / 2)
    difference = _rms(score_means - label_means)
    if is_flat and difference <= _ROUNDING and not _is_coarse(label_means):
        return "the system means of the labels", difference
    is_flat &= _luck(label_means) <= _LUCK
    of_means = _Noise(
        near=noise.near / np.sqrt(counts.mean()),
        least=noise.least / np.sqrt(counts.mean()),
    )
    if is_flat and np.ptp(score_means) > 0:
        left = _rms(_left_of_line(score_means, label_means))
        if left < of_means.least_difference(n_systems, n_systems - 2):
            return "the system means of the labels", left

    # The mean of the other clips of a system gives a label away as well: it falls where
    # the label rises.
    of_several = counts[system] > 1
    others = (counts[system] - 1) * score_parts
    left = _rms((label_parts + others)[of_several])
    n_known = int(of_several.sum())
    n_free = n_known - int((counts > 1).sum())
    if left < noise.least_difference(n_known, n_free):
        return "the mean label of the other clips of the system", left
    return None


@dataclass(frozen=True)
class _Noise:
    """How near to labels a copy is, and how much noise they have at least."""

    near: float
    least: float

    @classmethod
    def of(cls, labels: np.ndarray) -> _Noise:
        spread = float(np.std(labels))
        near = _NEAR * spread
        least = _NOISE * spread
        step = score_step(labels)
        if step is not None and step >= _LEAST_STEP:
            near = max(near, step / 2)
            least = max(least, _RATER_SPREAD * np.sqrt(step))
        return cls(near, least)

    def least_difference(self, n: int, n_free: int) -> float:
        """Root mean square difference of n rows below which they are a copy.

        `n_free` is n less the number of parameters that were fitted to the rows.
        """
        if n_free < 1:
            return 0.0
        by_chance = self.least * np.sqrt(chi2.ppf(_ALPHA, n_free) / n)
        return float(max(min(self.near, by_chance), _ROUNDING))


def _is_coarse(means: np.ndarray) -> bool:
    """Whether means have so few digits that they may be met by accident."""
    return (score_step(means) or 0.0) >= _LEAST_STEP


def _luck(labels: np.ndarray) -> float:
    """Chance that a random order of the labels is their own."""
    _, counts = np.unique(labels, return_counts=True)
    log_orders = gammaln(len(labels) + 1) - gammaln(counts + 1).sum()
    return float(np.exp(-log_orders))


def _repeats_with(scores: np.ndarray, labels: np.ndarray) -> bool:
    """Whether each value of the labels has one score of its own."""
    values, value = np.unique(labels, return_inverse=True)
    if len(values) < 3 or len(labels) - len(values) < _MIN_REPEATS:
        return False
    rounding = _ROUNDING * np.ptp(scores)
    counts = np.bincount(value)
    means = np.bincount(value, scores) / counts
    is_one_each = np.abs(scores - means[value]).max() <= rounding
    return bool(is_one_each and np.diff(np.sort(means)).min() > rounding)


def _left_of_line(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Residuals of the labels from the line through them over the scores."""
    deviations = scores - scores.mean()
    slope = (deviations @ (labels - labels.mean())) / (deviations @ deviations)
    return labels - labels.mean() - slope * deviations


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
