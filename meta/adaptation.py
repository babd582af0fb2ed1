"""A fitted meta level adapted to a few rated clips of another listening test.

Learners that have an ``adapt`` method shrink towards what they learnt before. Where
there is nothing new to learn, a handful of clips still moves them, and mostly to the
worse. So each aspect is tried on the new clips first: some are left out in turn and
scored by a learner that was adapted to the others, and by the learner as it was. The
adaptation is kept only where the first is nearer to the ratings.

How far off the scores are is estimated on the same clips left out: residuals on clips
that were adapted to are too small. A handful of clips says nothing about the tails of
the errors. With fewer than `MIN_ROWS` clips the shape of the old residuals therefore
stays and only their spread follows the new ones; with more, the new residuals stand by
themselves. Clips that were adapted to are in range from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from base_models.bins import ScoreBins
from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from meta.columns.feature_table import feature_array
from meta.learners import LEARNERS
from meta.learners.base import Learner
from meta.regressor import MetaRegressor
from meta.rows import Rows
from meta.splits.leak_audit import refuse_leaks
from meta.uncertainty.calibration import MIN_ROWS, Calibration
from meta.uncertainty.clip_range import ClipRange

FOLDS = 20
"""Parts in which the new clips are left out; up to so many clips, each by itself."""
SPREAD_CLIPS = 2.0
"""Clips that the old spread is worth beside the new errors. A few lucky clips must not
promise precision, and a stack that is far off on the first few must say so at once."""


class Adaptable(Protocol):
    """A fitted learner that can also learn from clips of another corpus."""

    def adapt(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike) -> Learner:
        """Return a copy that has learnt from these rows too."""


@dataclass(frozen=True)
class AspectAdaptation:
    """What became of the adaptation of one aspect.

    Parameters
    ----------
    aspect : name
    clips : number of labelled clips
    kept : whether the learner was adapted
    error_adapted, error_none : mean squared errors on the clips left out, by learners
        that were adapted to the others and by the learner as it was; None where no clip
        could be left out
    left_out : what was left out together: ``"clip"``, or ``"group"`` where groups or
        systems are known
    reason : why it was kept or not, for people
    """

    aspect: str
    clips: int
    kept: bool
    error_adapted: float | None
    error_none: float | None
    left_out: str
    reason: str

    @property
    def sentence(self) -> str:
        """What became of it, in one line."""
        what = "adapted" if self.kept else "not adapted"
        return f"{self.aspect}: {what}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "aspect": self.aspect,
            "clips": self.clips,
            "kept": self.kept,
            "error_adapted": self.error_adapted,
            "error_none": self.error_none,
            "left_out": self.left_out,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, eq=False)
class RatedFeatures:
    """The labelled rows of one aspect, as its learner sees them.

    Parameters
    ----------
    X : array of shape (n, models·bins)
    y : labels of shape (n,)
    weights : array of shape (n,)
    together : names of shape (n,) of what is left out together, or None
    """

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    together: np.ndarray | None

    @classmethod
    def of(
        cls, tables: Sequence[PredictionTable], labelled: Rows, gaps: bool
    ) -> RatedFeatures:
        """The features of rows with a single aspect, all of them labelled."""
        weights = labelled.weights
        return cls(
            X=feature_array(
                tables, labelled.aspects[0], labelled.ids.tolist(), gaps=gaps
            ),
            y=labelled.labels[:, 0],
            weights=np.ones(len(labelled)) if weights is None else weights,
            together=labelled.together,
        )

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> RatedFeatures:
        """Some of the rows, by place or mask."""
        together = self.together
        return RatedFeatures(
            X=self.X[rows],
            y=self.y[rows],
            weights=self.weights[rows],
            together=None if together is None else together[rows],
        )

    @property
    def left_out(self) -> str:
        """What is left out at once: a clip, or a group of them."""
        return "clip" if self.together is None else "group"

    @property
    def n_units(self) -> int:
        """Number of clips, or of groups, that are left out together."""
        return len(self) if self.together is None else len(set(self.together))

    @property
    def fold(self) -> np.ndarray:
        """Which part each row is left out with, int array of shape (n,)."""
        code = np.arange(len(self))
        if self.together is not None:
            _, code = np.unique(self.together, return_inverse=True)
        return code % FOLDS


def adapt(
    regressor: MetaRegressor,
    tables: Sequence[PredictionTable],
    rows: Rows,
    safe: bool = True,
) -> MetaRegressor:
    """A `MetaRegressor` that has also learnt from some rated clips of another corpus.

    The given regressor stays as it is. Each aspect learns from its own labels, and
    keeps what it learnt only where the mean squared error on new clips left out is
    smaller than without: ``adaptation_`` says which, and with what errors. Clips are
    left out one by one, or by `Rows.together` where groups or systems are known, in at
    most `FOLDS` parts; a single clip or group cannot be, and then adapts nothing. An
    aspect that is not adapted predicts as before, bit for bit.

    Intervals and distributions of an adapted aspect follow the errors on the new clips
    left out: with `MIN_ROWS` labels or more they are learnt from these errors alone;
    with fewer, the old residuals are stretched so that their mean square
    is that of the new errors and of `SPREAD_CLIPS` old ones together. Where clips are
    left out one by one, systems of which no clip was rated may be further off.

    Parameters
    ----------
    regressor : fitted
    tables : predictions of at least the models present at `fit`, none of which has seen
        the labels of these clips
    rows : clips with the aspects ``regressor.aspects_``; a row without a label, or of
        weight 0, is left out
    safe : False keeps every adaptation, whatever the clips left out say

    Raises
    ------
    UsageError
        when the learner cannot adapt, a clip leaks, a label is off the scale, two or
        more labels of an aspect are all equal, or a model or a clip is missing.
    """
    check_is_fitted(regressor, "learners_")
    check_learners(regressor.learners_)
    gaps = regressor.accepts_missing
    tables = regressor.layout_.align(tables, gaps)
    rows.check_scale(regressor.layout_.bins)
    usable = rows.in_id_order().usable()
    check_labels_differ(usable)
    refuse_leaks(tables, usable.ids.tolist())

    # Lists are copied, what is in them is replaced, never changed.
    adapted = copy(regressor)
    adapted.learners_ = list(regressor.learners_)
    adapted.calibrations_ = list(regressor.calibrations_)
    # The learners of the old folds are not those of the adapted one.
    adapted.cross_fits_ = [None] * len(regressor.learners_)
    adapted.system_errors_ = list(regressor.system_errors_)
    adapted.residual_sigma_ = regressor.residual_sigma_.copy()
    adapted.warnings_ = list(regressor.warnings_)
    seen = dict.fromkeys((*regressor.fitted_on_, *usable.ids))
    adapted.fitted_on_ = tuple(seen)

    found = []
    for k in range(len(regressor.aspects_)):
        labelled = usable.of_aspect(k)
        rated = RatedFeatures.of(tables, labelled, gaps)
        features_of = partial(
            regressor.spread_features, tables, labelled.ids.tolist(), k
        )
        found.append(_adapt_aspect(adapted, k, rated, features_of, safe=safe))
    if any(one.kept for one in found):
        adapted.range_ = _extended_range(regressor, tables, usable.ids.tolist())
    adapted.adaptation_ = tuple(found)
    adapted.warnings_ += [one.sentence for one in found if one.clips and not one.kept]
    return adapted


def check_learners(learners: Sequence[Learner]) -> None:
    """Refuse learners that cannot adapt, with the names of those that can.

    Raises
    ------
    UsageError
    """
    fixed = [learner for learner in learners if not hasattr(learner, "adapt")]
    if fixed:
        able = [name for name, kind in LEARNERS.items() if hasattr(kind, "adapt")]
        raise UsageError(
            f"{type(fixed[0]).__name__} cannot be adapted; of the learners, "
            f"{some(able)} can. Fit the stack with that, or fit it anew on the new "
            "clips."
        )


def check_labels_differ(usable: Rows) -> None:
    """Refuse two or more labels of an aspect that are all equal.

    Whatever the clips, a learner would be drawn towards that one rating.

    Raises
    ------
    UsageError
    """
    for k, aspect in enumerate(usable.aspects):
        labels = usable.of_aspect(k).labels[:, 0]
        if len(labels) > 1 and (labels == labels[0]).all():
            raise UsageError(
                f"All {len(labels)} labels of '{aspect}' are {labels[0]:g}, which says "
                "nothing about which clips are better; rate clips that differ, or "
                f"leave '{aspect}' unlabelled."
            )


def _extended_range(
    regressor: MetaRegressor, tables: Sequence[PredictionTable], ids: list[str]
) -> ClipRange | None:
    """The range of the clips that were fitted on and of those adapted to."""
    check = regressor.check_range(tables, ids)
    if check is None or regressor.range_ is None:
        return None
    return regressor.range_.extended(check)


def _adapt_aspect(
    adapted: MetaRegressor,
    k: int,
    rated: RatedFeatures,
    features_of: Callable[[np.ndarray], np.ndarray],
    *,
    safe: bool,
) -> AspectAdaptation:
    """Adapt learner, calibration and width of one aspect to its labelled rows.

    `features_of` takes scores of these rows, and gives what their spread may follow.
    """
    aspect = adapted.aspects_[k]
    bins = adapted.layout_.bins
    learner, unseen_scores, found = adapted_learner(
        adapted.learners_[k], rated, bins, aspect=aspect, safe=safe
    )
    adapted.learners_[k] = learner
    # An aspect that is not adapted stays as it was, its intervals too: those of the old
    # errors hold more ratings than intervals stretched by a few new ones.
    if unseen_scores is None:
        return found
    # A few clips of a new corpus do not tell how systems of it err.
    adapted.system_errors_[k] = None

    old_calibration = adapted.calibrations_[k]
    if len(rated) >= MIN_ROWS:
        adapted.calibrations_[k] = Calibration.fit(
            unseen_scores,
            rated.y,
            bins,
            features=features_of(unseen_scores),
            fold=rated.fold,
        )
        spread = np.sqrt(np.mean((rated.y - unseen_scores) ** 2))
    elif old_calibration is None:
        errors = rated.y - unseen_scores
        spread = _pooled_spread(errors, adapted.residual_sigma_[k])
    else:
        # Errors are measured from what the old calibration expects at a score, in
        # units of the scale that it expects.
        errors = rated.y - old_calibration.expected(unseen_scores)
        errors = errors / old_calibration.scales(features_of(unseen_scores))
        spread = _pooled_spread(errors, old_calibration.rms)
        adapted.calibrations_[k] = _stretched(old_calibration, spread)
    adapted.residual_sigma_[k] = max(spread, bins.width / 2)
    return found


def adapted_learner(
    learner: Learner,
    rated: RatedFeatures,
    bins: ScoreBins,
    *,
    aspect: str = "",
    safe: bool = True,
) -> tuple[Learner, np.ndarray | None, AspectAdaptation]:
    """The learner adapted to n rows, or as it was where that is as good.

    Returns
    -------
    learner : the one that is kept
    unseen_scores : array of shape (n,), scores of each row by an adapted learner that
        has not learnt from it, on the scale; None where it stays as it was, or nothing
        could be left out
    found : what became of the adaptation
    """
    able = cast(Adaptable, learner)
    n = len(rated)
    if n == 0 or (safe and rated.n_units < 2):
        reason = _reason_untried(rated)
        found = AspectAdaptation(
            aspect, n, False, None, None, rated.left_out, reason=reason
        )
        return learner, None, found

    scores_adapted = np.clip(_left_out_scores(able, rated), bins.low, bins.high)
    scores_none = np.clip(learner.predict(rated.X), bins.low, bins.high)
    error_adapted = _weighted_mse(scores_adapted, rated)
    error_none = _weighted_mse(scores_none, rated)
    found = AspectAdaptation(
        aspect=aspect,
        clips=n,
        kept=error_adapted < error_none or not safe,
        error_adapted=error_adapted,
        error_none=error_none,
        left_out=rated.left_out,
        reason=(
            f"on {n} clips, {_parts(rated)}, MSE {error_adapted:.4f} with and "
            f"{error_none:.4f} without"
        ),
    )
    if not found.kept:
        return learner, None, found
    return able.adapt(rated.X, rated.y, rated.weights), scores_adapted, found


def _left_out_scores(learner: Adaptable, rated: RatedFeatures) -> np.ndarray:
    """Scores of the rows by learners that were adapted to the others, unclipped."""
    scores = np.empty(len(rated))
    fold = rated.fold
    for number in np.unique(fold):
        test = fold == number
        train = rated.take(~test)
        of_others = learner.adapt(train.X, train.y, train.weights)
        scores[test] = of_others.predict(rated.X[test])
    return scores


def _reason_untried(rated: RatedFeatures) -> str:
    """Why no clip could be left out."""
    n = len(rated)
    if n == 0:
        return "no clip is labelled"
    if n == 1:
        return "1 labelled clip leaves none to try it on; 2 are the fewest"
    return (
        f"all {n} labelled clips are of one system or group, which leaves none to try "
        "it on; rate clips of others too"
    )


def _parts(rated: RatedFeatures) -> str:
    """What was left out at once, in words."""
    if rated.n_units > FOLDS:
        return f"{rated.left_out}s left out in {FOLDS} parts"
    return f"each {rated.left_out} left out"


def _weighted_mse(scores: np.ndarray, rated: RatedFeatures) -> float:
    return float(np.average((scores - rated.y) ** 2, weights=rated.weights))


def _pooled_spread(errors: np.ndarray, old_rms: float) -> float:
    """Root mean square of the new errors and of `SPREAD_CLIPS` old ones together."""
    squares = SPREAD_CLIPS * old_rms**2 + np.sum(errors**2)
    return np.sqrt(squares / (SPREAD_CLIPS + len(errors)))


def _stretched(old: Calibration, rms: float) -> Calibration:
    """Residuals of the same shape with another root mean square, in score points."""
    reach = old.bins.high - old.bins.low
    # Errors of a perfect stack cannot be stretched.
    factor = rms / old.rms if old.rms > 0 else 1.0
    return replace(old, residuals=np.clip(factor * old.residuals, -reach, reach))
