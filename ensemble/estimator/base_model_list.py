"""The base models of a stack as they are given: checked, named, and drawn.

None of this fits or predicts anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import get_tags

from base_models.bins import ScoreBins
from base_models.clips.labels import judged_by_text
from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from ensemble.estimator.input_rows import rating_scale
from ensemble.estimator.predict_base_models import NamedModels, reads_clips, scale_of
from ensemble.estimator.sklearn_compat import VisualBlock
from ensemble.training.estimators_by_name import model_set
from meta.comparison.compared_rows import NOT_BASES


def default_estimators(X: Any, with_text: bool = True) -> list[tuple[str, Any]]:
    """The base models of a stack that names none.

    For clips those of the paper (`with_text` tells whether an aspect is judged by the
    prompt); for a matrix a ridge and a tree, which both take a row of weight 2 for two
    rows, unlike forests.
    """
    if isinstance(X, pd.DataFrame) and "audio" in X:
        return model_set(with_text=with_text)
    from sklearn.linear_model import Ridge
    from sklearn.tree import DecisionTreeRegressor

    return [
        ("ridge", Ridge()),
        ("tree", DecisionTreeRegressor(max_depth=4, random_state=0)),
    ]


def named_base_models(
    estimators: NamedModels | str | None,
    X: Any,
    aspects: Sequence[str],
    check_names: Callable[[list[str]], None],
) -> list[tuple[str, Any]]:
    """(name, base model) pairs without those dropped; tables bear their name.

    Parameters
    ----------
    estimators : as given to `StackedMOS`
    X : clip table or matrix, which decides what None stands for
    aspects : their names say whether one is judged by the prompt
    check_names : scikit-learn's check of names that are parameters as well

    Raises
    ------
    UsageError
        when there is no base model, or a name is taken.
    """
    with_text = any(judged_by_text(aspects))
    if estimators is None:
        return default_estimators(X, with_text)
    if isinstance(estimators, str):
        return model_set(estimators, with_text=with_text)

    named = [
        (name, model)
        for name, model in estimators
        if not (isinstance(model, str) and model == "drop")
    ]
    if not named:
        raise UsageError("estimators is empty; a stack needs at least one base model.")
    names = [name for name, _ in named]
    if len(set(names)) != len(names):
        raise UsageError(f"Names of base models are not unique: {some(names, 20)}.")
    # Tables have no parameters, so they may be called almost anything.
    check_names(
        [name for name, model in named if not isinstance(model, PredictionTable)]
    )
    taken = sorted(set(NOT_BASES) & set(names))
    if taken:
        raise UsageError(
            f"No base model may be called {some(taken)}, which names a row of every "
            "leaderboard; rename the model."
        )
    return [
        (name, replace(model, model=name))
        if isinstance(model, PredictionTable)
        else (name, model)
        for name, model in named
    ]


def stack_scale(
    bins: ScoreBins | None,
    named: NamedModels,
    labels: np.ndarray,
    clips: bool,
) -> ScoreBins:
    """The scale that is given, that of the base models that have one, or the labels'.

    Parameters
    ----------
    bins : as given to `StackedMOS`
    named : (name, base model) pairs
    labels : array of shape (n, aspects), NaN where unlabelled
    clips : whether the rows are clips
    """
    if bins is not None:
        return bins
    for _, model in named:
        known = scale_of(model)
        if known is not None:
            return known
    return rating_scale(labels, clips)


def all_take_nan(estimators: object) -> bool:
    """Whether all given base models that read X take NaN in it, and there are some."""
    # Checked before `fit`, so that anything may stand there.
    given = estimators if isinstance(estimators, list) else []
    live = [model for _, model in given if not isinstance(model, str | PredictionTable)]
    return bool(live) and all(get_tags(model).input_tags.allow_nan for model in live)


def diagram_of(estimators: object, final: Any) -> VisualBlock:
    """The diagram of a stack in a notebook: base models side by side, then the last."""
    last = VisualBlock(
        "parallel", [final], names=["final_estimator"], dash_wrapped=False
    )
    # The models of a set are not made before `fit`.
    if not (isinstance(estimators, list) and estimators):
        return VisualBlock("serial", (last,), dash_wrapped=False)
    shown = [_in_diagram(model) for _, model in estimators]
    bases = VisualBlock(
        "parallel", shown, names=[name for name, _ in estimators], dash_wrapped=False
    )
    return VisualBlock("serial", (bases, last), dash_wrapped=False)


def _in_diagram(model: Any) -> Any:
    """What stands in the box of a base model: itself, or text where that is too much.

    A table would fill the page, and nine networks with 30 parameters each do as well.
    """
    if isinstance(model, PredictionTable):
        return f"{len(model)} predictions"
    if reads_clips(model):
        preset = getattr(model.preset, "name", model.preset)
        return f"{type(model).__name__}: {preset} on {model.audio_encoder}"
    return model
