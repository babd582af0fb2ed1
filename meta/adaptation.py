"""A fitted meta level adapted to a few rated clips of another listening test.

Learners that have an ``adapt`` method shrink towards what they learnt before. How far
off the adapted scores are is estimated on the new clips, each scored by a learner that
was adapted to the others: residuals on clips that were adapted to are too small. A
handful of clips says nothing about the tails of the errors. With fewer than `MIN_ROWS`
clips the shape of the old residuals therefore stays and only their spread follows the
new ones; with more, the new residuals stand by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

import numpy as np
from sklearn.utils.validation import check_is_fitted

from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from meta.columns.feature_table import feature_array
from meta.learners import LEARNERS
from meta.learners.base import Learner
from meta.regressor import MetaRegressor
from meta.rows import Rows
from meta.splits.leak_audit import refuse_leaks
from meta.uncertainty.calibration import MIN_ROWS, Calibration

FOLDS = 20
"""Parts in which the new clips are left out; up to so many clips, each by itself."""
SPREAD_CLIPS = 2.0
"""Clips that the old spread is worth beside the new errors. A few lucky clips must not
promise precision, and a stack that is far off on the first few must say so at once."""


def adapt(
    regressor: MetaRegressor,
    tables: Sequence[PredictionTable],
    rows: Rows,
) -> MetaRegressor:
    """A `MetaRegressor` that has also learnt from some rated clips of another corpus.

    The given regressor stays as it is. Each aspect learns from its own labels. Without
    any it predicts as before, bit for bit; with ever more, as a learner of the same
    columns that was fitted on them alone. Intervals and distributions follow the errors
    on new clips that are left out in turn, in at most `FOLDS` parts: with `MIN_ROWS`
    labels or more they are learnt from these errors alone; with fewer, the old
    residuals are stretched so that their mean square is that of the new errors and of
    `SPREAD_CLIPS` old ones together. Clips are left out whatever their system, so
    systems of which no clip was rated may be further off.

    Parameters
    ----------
    regressor : fitted
    tables : predictions of at least the models present at `fit`, none of which has seen
        the labels of these clips
    rows : clips with the aspects ``regressor.aspects_``; a row without a label, or of
        weight 0, is left out

    Raises
    ------
    UsageError
        when the learner cannot adapt, a clip leaks, a label is off the scale, or a
        model or a clip is missing.
    """
    check_is_fitted(regressor, "learners_")
    _check_learners(regressor.learners_)
    gaps = regressor.accepts_missing
    tables = regressor.layout_.align(tables, gaps)
    rows.check_scale(regressor.layout_.bins)
    usable = rows.in_id_order().usable()
    refuse_leaks(tables, usable.ids.tolist())

    # Lists are copied, what is in them is replaced, never changed.
    adapted = copy(regressor)
    adapted.learners_ = list(regressor.learners_)
    adapted.calibrations_ = list(regressor.calibrations_)
    adapted.residual_sigma_ = regressor.residual_sigma_.copy()
    adapted.warnings_ = list(regressor.warnings_)
    seen = dict.fromkeys((*regressor.fitted_on_, *usable.ids))
    adapted.fitted_on_ = tuple(seen)

    for k, aspect in enumerate(regressor.aspects_):
        labelled = usable.of_aspect(k)
        if len(labelled):
            features = feature_array(tables, aspect, labelled.ids.tolist(), gaps=gaps)
            weights = labelled.weights
            if weights is None:
                weights = np.ones(len(labelled))
            _adapt_aspect(adapted, k, features, labelled.labels[:, 0], weights)
    return adapted


def _check_learners(learners: Sequence[Learner]) -> None:
    fixed = [learner for learner in learners if not hasattr(learner, "adapt")]
    if fixed:
        able = [name for name, kind in LEARNERS.items() if hasattr(kind, "adapt")]
        raise UsageError(
            f"{type(fixed[0]).__name__} cannot be adapted; of the learners, "
            f"{some(able)} can. Fit the stack with that, or fit it anew on the new "
            "clips."
        )


def _adapt_aspect(
    adapted: MetaRegressor,
    k: int,
    X: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Adapt learner, calibration and width of one aspect to n >= 1 labelled rows."""
    learner = adapted.learners_[k]
    old_calibration = adapted.calibrations_[k]
    bins = adapted.layout_.bins
    adapted.learners_[k] = learner.adapt(X, y, weights)

    # Scores of the new clips by learners that were not adapted to them.
    unseen_scores = np.empty(len(y))
    fold = np.arange(len(y)) % FOLDS
    for number in np.unique(fold):
        test = fold == number
        of_others = learner.adapt(X[~test], y[~test], weights[~test])
        unseen_scores[test] = of_others.predict(X[test])
    unseen_scores = np.clip(unseen_scores, bins.low, bins.high)

    if len(y) >= MIN_ROWS:
        adapted.calibrations_[k] = Calibration.fit(unseen_scores, y, bins)
        spread = np.sqrt(np.mean((y - unseen_scores) ** 2))
    elif old_calibration is None:
        spread = _pooled_spread(y - unseen_scores, adapted.residual_sigma_[k])
    else:
        # Errors are measured from what the old calibration expects at a score.
        errors = y - old_calibration.expected(unseen_scores)
        spread = _pooled_spread(errors, old_calibration.rms)
        adapted.calibrations_[k] = _stretched(old_calibration, spread)
    adapted.residual_sigma_[k] = max(spread, bins.width / 2)


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
