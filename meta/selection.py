"""The stack beside what it has to beat: each base model alone, and their plain mean, on the same rows.

The trap: the published stack was chosen over its bases on the rows it was built from, and lost to the best one on the
test set. A verdict needs rows that nothing was fitted on, and one seed, so that every row resamples the same systems;
`base_models.metrics.evaluate_difference` says whether one beats another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from base_models.errors import UsageError, some
from base_models.metrics import evaluate
from base_models.predictions import PredictionTable
from meta.features import feature_array, layout_of

STACK, MEAN = "stack", "mean"


def compare(
    tables: Sequence[PredictionTable],
    y,
    system_ids,
    clip_ids: Sequence[str] | None = None,
    aspects: Sequence[str] | None = None,
    stack=None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Leaderboard of the stack, each base model and the mean of the base models.

    Parameters
    ----------
    tables : predictions of the base models, which hold every clip
    y : array of shape (n, aspects), NaN where unlabelled
    system_ids : n system names, or None
    clip_ids : n ids, the row order; None takes that of the first table
    aspects : names of y's columns; None takes those of the first table
    stack : array of shape (n, aspects) of stacked scores, or None to leave the stack out
    n_bootstrap, seed : see `base_models.metrics.evaluate`

    Returns
    -------
    leaderboard : DataFrame with columns model, aspect, level, metric, value, low, high, n; ``"stack"`` first, then
        ``"mean"``, then the base models in the order given

    Raises
    ------
    UsageError
        when a base model is itself called ``"stack"`` or ``"mean"``, or as in `evaluate` and `feature_table`.
    """
    tables = list(tables)
    layout = layout_of(tables)
    taken = sorted({STACK, MEAN} & set(layout.models))
    if taken:
        raise UsageError(f"A base model is called {some(taken)}, which names a row of its own here; rename the model.")
    aspects = list(tables[0].aspects if aspects is None else aspects)
    scores = np.stack([layout.scores(feature_array(tables, aspect, clip_ids)) for aspect in aspects], axis=1)
    predictions = {} if stack is None else {STACK: np.asarray(stack)}
    predictions[MEAN] = scores.mean(axis=2)
    predictions |= {model: scores[:, :, k] for k, model in enumerate(layout.models)}
    return leaderboard(predictions, y, system_ids, aspects, n_bootstrap, seed)


def leaderboard(
    predictions: Mapping[str, np.ndarray], y, system_ids, aspects: Sequence[str], n_bootstrap: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """`evaluate` for several predictions of the same rows, with the name of each in a first column ``model``."""
    parts = []
    for model, scores in predictions.items():
        part = evaluate(y, scores, system_ids, aspects, n_bootstrap, seed)
        part.insert(0, "model", model)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
