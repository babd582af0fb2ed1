"""A fitted meta level taught by a few rated clips of another listening test: how far it moves, and how sure it stays.

Learners that have `adapt` shrink towards what they learnt before. How far off the adapted scores are is told by the
new clips, each scored by a learner adapted to the others: residuals on clips that were adapted to are too small. The
trap: a handful of clips tells nothing of the tails. With fewer than `MIN_ROWS` the old residuals stay and only their
spread follows the new ones; from there on the new ones stand by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

import numpy as np
from sklearn.utils.validation import check_is_fitted

from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from meta.columns.feature_table import feature_array, refuse_leaks
from meta.learners import LEARNERS
from meta.learners.base import Learner
from meta.rows import LabelledRows
from meta.uncertainty.calibration import MIN_ROWS, Calibration

FOLDS = 20
"""Parts that the new clips are left out in; up to so many clips, each by itself."""
SPREAD_CLIPS = 2.0
"""Clips that the old spread is worth beside the new errors: a few lucky clips shall not promise precision, and a stack
that is far off on the first few shall say so at once."""


def adapt(
    regressor,
    tables: Sequence[PredictionTable],
    y,
    clip_ids: Sequence[str] | None = None,
    sample_weight=None,
):
    """A `MetaRegressor` that has also learnt from some rated clips of another corpus; the given one stays as it is.

    Each aspect learns from its own labels. Without any (or with weights of 0 alone) it predicts as before, bit for bit;
    with ever more, as a learner of the same columns that was fitted on them alone. Intervals and distributions follow
    the errors on new clips left out one after the other, in `FOLDS` parts at most: with `MIN_ROWS` labels or more they
    are learnt from these anew; with fewer, the old residuals are stretched so that their mean square is that of the new
    errors and of `SPREAD_CLIPS` old ones together. Clips are left out whatever their system, so systems that sent no
    clip may be further off.

    Parameters
    ----------
    tables : predictions of at least the models present at `fit`, none of which has seen these clips' labels
    y : array of shape (n, aspects), on the scale, columns as in ``aspects_``; NaN where unlabelled
    clip_ids : n ids, the rows of y; None takes those of the first table
    sample_weight : array of shape (n,), or None; a row of weight 0 is a row left out

    Raises
    ------
    UsageError
        when the learner cannot adapt, a clip leaks, the shapes disagree, a label is off the scale, or a model or a clip
        is missing.
    """
    check_is_fitted(regressor, "learners_")
    _check_learners(regressor.learners_)
    gaps, aspects = regressor.accepts_missing, regressor.aspects_
    tables = regressor.layout_.align(tables, gaps)
    rows = LabelledRows.of(tables, y, clip_ids, aspects, sample_weight)
    rows = rows.take(rows.labelled)
    refuse_leaks(tables, rows.clip_ids)
    adapted = copy(regressor)
    for name in ("validation_", "verdict_"):  # of the learner of before
        vars(adapted).pop(name, None)
    adapted.learners_, adapted.calibrations_ = (
        list(regressor.learners_),
        list(regressor.calibrations_),
    )
    adapted.residual_sigma_, adapted.warnings_ = (
        regressor.residual_sigma_.copy(),
        list(regressor.warnings_),
    )
    adapted.fitted_on_ = tuple(dict.fromkeys((*regressor.fitted_on_, *rows.clip_ids)))
    for k, aspect in enumerate(aspects):
        part = rows.take(~np.isnan(rows.y[:, k]))
        if len(part.y):
            weight = np.ones(len(part.y)) if part.weight is None else part.weight
            _adapt_aspect(
                adapted,
                k,
                feature_array(tables, aspect, part.clip_ids, gaps),
                part.y[:, k],
                weight,
            )
    return adapted


def _check_learners(learners: Sequence[Learner]) -> None:
    stiff = [learner for learner in learners if not hasattr(learner, "adapt")]
    if stiff:
        able = [name for name, kind in LEARNERS.items() if hasattr(kind, "adapt")]
        raise UsageError(
            f"{type(stiff[0]).__name__} cannot be adapted; of the learners, {some(able)} can. Fit the stack with that, "
            "or fit it anew on the new clips."
        )


def _adapt_aspect(adapted, k: int, X, y, weight) -> None:
    """One aspect's learner, calibration and width, learnt from n >= 1 labelled rows."""
    before, old, bins = (
        adapted.learners_[k],
        adapted.calibrations_[k],
        adapted.layout_.bins,
    )
    adapted.learners_[k] = before.adapt(X, y, weight)
    fold, unseen = np.arange(len(y)) % FOLDS, np.empty(len(y))
    for test in (fold == number for number in np.unique(fold)):
        unseen[test] = before.adapt(X[~test], y[~test], weight[~test]).predict(X[test])
    unseen = np.clip(unseen, bins.low, bins.high)
    if len(y) >= MIN_ROWS:
        adapted.calibrations_[k] = Calibration.fit(unseen, y, bins)
        spread = np.sqrt(np.mean((y - unseen) ** 2))
    else:
        error = y - (unseen if old is None else old.expected(unseen))
        rms = adapted.residual_sigma_[k] if old is None else old.rms
        squares = SPREAD_CLIPS * rms**2 + np.sum(error**2)
        spread = np.sqrt(squares / (SPREAD_CLIPS + len(y)))
        if old is not None:
            adapted.calibrations_[k] = _stretched(old, spread)
    adapted.residual_sigma_[k] = max(spread, bins.width / 2)


def _stretched(old: Calibration, rms: float) -> Calibration:
    """Residuals of the same shape with another root mean square, in score points."""
    reach = old.bins.high - old.bins.low
    factor = rms / old.rms if old.rms > 0 else 1.0
    return replace(old, residuals=np.clip(factor * old.residuals, -reach, reach))
