"""Predictions of base models of any kind, as prediction tables.

Models over encoders give distributions, regressors scores, which are softened,
classifiers probabilities of whole ratings, and a stored table what it holds. A clip
without a prediction is missing from the table; it is never a row of zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from sklearn.base import is_classifier

from base_models.bins import ScoreBins
from base_models.clips.labels import judged_by_text
from base_models.errors import UsageError
from base_models.pooled_config import PooledConfig
from base_models.predictions import PredictionTable

NamedModels: TypeAlias = Sequence[tuple[str, Any]]
"""(name, base model) pairs."""


def reads_clips(model: Any) -> bool:
    """Whether a base model is a `ClipModel`, told without importing torch."""
    return hasattr(model, "predict_embedded")


def is_pooled(model: Any) -> bool:
    """Whether a base model is a `PooledMOS`, told without importing torch."""
    return getattr(model, "CONFIG_TYPE", None) is PooledConfig


def stored_dtype(models: Iterable[Any]) -> str:
    """Type of stored embeddings that base models of a stack read.

    Parameters
    ----------
    models : base models, fitted
        Those that read no clips have none. Where others differ, the wider type loses
        nothing of either.
    """
    dtypes = {model.store_dtype_ for model in models if reads_clips(model)}
    return "float32" if "float32" in dtypes else "float16"


def judged_by_prompt(models: Iterable[Any], aspects: Sequence[str]) -> tuple[bool, ...]:
    """Whether a base model over encoders judges each aspect against the prompt.

    Parameters
    ----------
    models : base models, fitted or not; those that read no clips judge by no prompt
    aspects : names
    """
    judged: set[str] = set()
    for model in models:
        if not reads_clips(model):
            continue
        if hasattr(model, "needs_text_"):
            pairs = zip(model.aspects_, model.needs_text_, strict=True)
        else:
            needs_text = judged_by_text(aspects, model.text_aspects)
            pairs = zip(aspects, needs_text, strict=True)
        judged |= {aspect for aspect, needs_text in pairs if needs_text}
    return tuple(aspect in judged for aspect in aspects)


def scale_of(model: Any) -> ScoreBins | None:
    """The scale that a stored table or a fitted model already has, or None."""
    if isinstance(model, PredictionTable):
        return model.bins
    if not reads_clips(model):
        return None
    return getattr(getattr(model, "config_", None), "bins", None)


def unchecked_models(named: NamedModels) -> list[str]:
    """Names of the prefit models that do not list their training clips.

    `meta.splits.leak_audit.refuse_leaks` cannot check these.
    """
    return [
        name
        for name, model in named
        if not hasattr(model, "trained_on_") and scale_of(model) is None
    ]


def predict_base_models(
    named: NamedModels,
    X: pd.DataFrame | np.ndarray,
    ids: Sequence[str],
    *,
    aspects: Sequence[str],
    bins: ScoreBins,
    missing: bool = False,
) -> list[PredictionTable]:
    """Every base model's predictions.

    Models of the same encoders share one embedding of the clips.

    Parameters
    ----------
    named : (name, fitted model) pairs
    X : clip table, other frame or matrix of n rows
    ids : n names of the rows
    aspects : names of the predicted columns
    bins : the scale
    missing : whether a model may have no prediction for some rows; its table then lacks
        them

    Raises
    ------
    UsageError
        when a model predicts NaN, another shape, or classes that are no ratings.
    """
    # Embeddings by what decides them: the two encoders, their use, and the store.
    embedded: dict[tuple[Any, ...], Any] = {}
    tables = []
    for name, model in named:
        # A table without a clip raises in `take`, unless clips may be missing.
        if isinstance(model, PredictionTable):
            held = set(model.clip_ids)
            table = model.take([clip for clip in ids if clip in held or not missing])
        elif reads_clips(model):
            key = (
                *model.encoder_words(),
                tuple(model.needs_text_),
                str(model.store),
                # `embed` refuses an encoder that is another one than in training, and
                # would not for models that share an encoder's name alone.
                *(facts["signature"] for facts in model.encoders_.values()),
            )
            if key not in embedded:
                _, embedded[key] = model.embed(X)
            table = model.prediction_table(name, list(ids), embedded[key])
        elif is_classifier(model):
            table = _table_of_classes(
                name, model, X, ids=ids, aspects=aspects, bins=bins
            )
        else:
            scores = _checked_scores(name, model.predict(X), (len(ids), len(aspects)))
            known = np.isfinite(scores).all(axis=1)
            if not (missing or known.all()):
                raise UsageError(f"Base model '{name}' predicted NaN or infinity.")
            predicted = [
                clip for clip, is_known in zip(ids, known, strict=True) if is_known
            ]
            table = PredictionTable.from_scores(
                name, predicted, tuple(aspects), scores[known], bins=bins
            )
        tables.append(table)
    return tables


def _checked_scores(name: str, predicted: Any, shape: tuple[int, int]) -> np.ndarray:
    """Predicted scores as float64 array of that shape, (rows, aspects)."""
    scores = np.asarray(predicted, dtype=np.float64)
    flat = shape[1] == 1 and scores.shape == (shape[0],)
    if scores.shape != shape and not flat:
        raise UsageError(
            f"Base model '{name}' predicts shape {scores.shape}; expected {shape}: "
            "rows by aspects."
        )
    return scores.reshape(shape)


def _table_of_classes(
    name: str,
    model: Any,
    X: pd.DataFrame | np.ndarray,
    *,
    ids: Sequence[str],
    aspects: Sequence[str],
    bins: ScoreBins,
) -> PredictionTable:
    """Predictions of a classifier of whole ratings.

    Each class is softened and weighs as much as its probability.
    """
    if not hasattr(model, "predict_proba"):
        labels = np.asarray(model.predict(X), dtype=np.float64)
        return PredictionTable.from_scores(name, ids, aspects, labels, bins=bins)

    # A classifier of several aspects gives lists, of one aspect an array.
    probabilities = model.predict_proba(X)
    classes = model.classes_
    if not isinstance(probabilities, list):
        probabilities = [probabilities]
        classes = [classes]
    if len(probabilities) != len(aspects):
        raise UsageError(
            f"Base model '{name}' predicts {len(probabilities)} aspects; expected "
            f"{len(aspects)}."
        )
    try:
        ratings = [np.asarray(of_aspect, dtype=np.float64) for of_aspect in classes]
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"The classes of base model '{name}' must be ratings (numbers); {error}."
        ) from error

    # (rows, classes) @ (classes, bins): a mixture of softened ratings for each row.
    sigma = bins.soften_sigma
    distributions = [
        share @ bins.soften(rating, sigma)
        for share, rating in zip(probabilities, ratings, strict=True)
    ]
    return PredictionTable(
        model=name,
        clip_ids=tuple(ids),
        aspects=tuple(aspects),
        distributions=np.stack(distributions, axis=1),
        bins=bins,
        sigma=sigma,
    )
