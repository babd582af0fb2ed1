"""What base models of any kind say of some rows, as prediction tables.

Neural models give distributions, regressors scalars, which are softened, classifiers probabilities of whole ratings,
and a stored table what it holds. The trap: a clip without a prediction must stay a gap, never become a row of zeros.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from base_models.bins import ScoreBins
from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from ensemble.estimator.input_rows import FitRows

log = logging.getLogger(__name__)


def is_neural(model) -> bool:
    """Whether a base model is a `NeuralMOS`, told without importing torch."""
    return hasattr(model, "predict_embedded")


def scale_of(model) -> ScoreBins | None:
    """The scale that a stored table or a fitted neural model already has, or None."""
    if isinstance(model, PredictionTable):
        return model.bins
    return (
        getattr(getattr(model, "config_", None), "bins", None)
        if is_neural(model)
        else None
    )


def log_unchecked(named) -> None:
    """Name the prefit models that list no training clips, for which `meta.columns.feature_table.refuse_leaks` is blind."""
    unchecked = [
        name
        for name, model in named
        if not hasattr(model, "trained_on_") and scale_of(model) is None
    ]
    if unchecked:
        log.warning(
            "Prefit base models %s carry no ids of their training clips and cannot be checked for leaks; "
            "fit the stack on rows that they have not seen.",
            some(unchecked, 20),
        )


def predict_bases(
    named, rows: FitRows, aspects: Sequence[str], bins: ScoreBins, missing: bool = False
) -> list[PredictionTable]:
    """Every base model's predictions; neural models of the same encoders share one embedding of the clips.

    Parameters
    ----------
    named : (name, fitted model) pairs
    rows : what to predict; their labels are not looked at
    aspects : names of the predicted columns
    bins : the scale
    missing : whether a model may have no prediction for some rows; its table then lacks them

    Raises
    ------
    UsageError
        when a model predicts NaN, another shape, or classes that are no ratings.
    """
    embedded: dict[tuple, Any] = {}
    asked = rows.X, list(rows.ids), tuple(aspects)
    return [
        _table(name, model, *asked, bins, missing, embedded) for name, model in named
    ]


def _table(
    name, model, X, ids, aspects, bins, missing: bool, embedded: dict[tuple, Any]
) -> PredictionTable:
    if isinstance(model, PredictionTable):
        held = set(model.clip_ids)
        return model.take([clip for clip in ids if clip in held or not missing])
    if is_neural(model):
        key = (
            str(model.audio_encoder),
            str(model.text_encoder),
            any(model.needs_text_),
            str(model.store),
        )
        if key not in embedded:
            embedded[key] = model.embed(X)[1]
        return model.prediction_table(name, ids, embedded[key])
    if is_classifier(model):
        return _of_classes(name, model, X, ids, aspects, bins)
    scores = np.asarray(model.predict(X), dtype=np.float64)
    if scores.shape not in {
        (len(ids), len(aspects)),
        *([(len(ids),)] if len(aspects) == 1 else []),
    }:
        raise UsageError(
            f"Base model '{name}' predicts shape {scores.shape}; expected {(len(ids), len(aspects))}: rows by aspects."
        )
    known = np.isfinite(scores.reshape(len(ids), len(aspects))).all(axis=1)
    if not (missing or known.all()):
        raise UsageError(f"Base model '{name}' predicted NaN or infinity.")
    there = [clip for clip, is_known in zip(ids, known, strict=True) if is_known]
    return PredictionTable.from_scores(name, there, aspects, scores[known], bins=bins)


def _of_classes(name, model, X, ids, aspects, bins: ScoreBins) -> PredictionTable:
    """A classifier of ratings: each class softened, in proportion to its probability."""
    if not hasattr(model, "predict_proba"):
        labels = np.asarray(model.predict(X), dtype=np.float64)
        return PredictionTable.from_scores(name, ids, aspects, labels, bins=bins)
    shares, classes = model.predict_proba(X), model.classes_
    shares, classes = (
        (shares, classes) if isinstance(shares, list) else ([shares], [classes])
    )
    if len(shares) != len(aspects):
        raise UsageError(
            f"Base model '{name}' predicts {len(shares)} aspects; expected {len(aspects)}."
        )
    try:
        ratings = [np.asarray(of_one, dtype=np.float64) for of_one in classes]
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"The classes of base model '{name}' must be ratings (numbers); {error}."
        ) from error
    sigma = bins.soften_sigma
    distributions = [
        share @ bins.soften(rating, sigma)
        for share, rating in zip(shares, ratings, strict=True)
    ]
    return PredictionTable(
        name, tuple(ids), aspects, np.stack(distributions, axis=1), bins, sigma
    )
