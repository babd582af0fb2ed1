"""Base models of any kind fitted: once per split for unseen predictions, and once for the rows to come.

The trap: what a model says of a row that it was fitted on tells nothing; the meta level must never be shown it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_method_params

from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from ensemble.estimator.input_rows import FitRows, take
from ensemble.estimator.predict_base_models import is_neural, predict_bases


def default_estimators(X, with_text: bool = True) -> list[tuple[str, Any]]:
    """The paper's level 0 for clips (`ensemble.training.train_base_models.plan_models`); for a matrix, a ridge and a tree.

    Both of the latter take a row of weight 2 for two rows, which forests, for one, do not.
    """
    if not (isinstance(X, pd.DataFrame) and "audio" in X):
        from sklearn.linear_model import Ridge
        from sklearn.tree import DecisionTreeRegressor

        return [
            ("ridge", Ridge()),
            ("tree", DecisionTreeRegressor(max_depth=4, random_state=0)),
        ]
    from base_models.training.neural_mos import NeuralMOS
    from ensemble.training.train_base_models import plan_models

    planned = plan_models(None, 5, with_text)
    return [
        (f"{preset}-s{seed}", NeuralMOS(preset, random_state=seed))
        for preset, seed in planned
    ]


class PerAspect(MetaEstimatorMixin, BaseEstimator):
    """One clone of an estimator per aspect, each fitted on the rows that are labelled for it.

    For estimators that know a single target, and for labels with gaps, which scikit-learn refuses.
    """

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y, **params) -> PerAspect:
        """Fit on labels of shape (n, aspects), NaN where unlabelled."""
        rows = [np.flatnonzero(np.isfinite(column)) for column in y.T]
        self.estimators_ = [
            clone(self.estimator).fit(
                take(X, r), y[r, k], **_check_method_params(X, params, indices=r)
            )
            for k, r in enumerate(rows)
        ]
        return self

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n, aspects)."""
        return np.column_stack([model.predict(X) for model in self.estimators_])

    @available_if(lambda self: hasattr(self.estimator, "predict_proba"))
    def predict_proba(self, X) -> list[np.ndarray]:
        """Of a classifier: one array of shape (n, classes) per aspect."""
        return [model.predict_proba(X) for model in self.estimators_]

    @property
    def classes_(self) -> list[np.ndarray]:
        """Of a classifier: the classes of each aspect."""
        return [model.classes_ for model in self.estimators_]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = get_tags(self.estimator).estimator_type
        return tags

    def get_metadata_routing(self):
        """That of the estimator: metadata goes to every clone."""
        return get_routing_for_object(self.estimator)


def fit_bases(
    named,
    rows: FitRows,
    splits,
    params: Mapping[str, Mapping[str, Any]],
    keep: bool = False,
    n_jobs: int | None = None,
    memory: EmbeddingStore | None = None,
    **options,
) -> tuple[list[tuple[str, Any]], list[PredictionTable]]:
    """Base models for new rows, and tables of what their like said of the test rows of each split.

    Parameters
    ----------
    named : (name, base model) pairs; a table stands as it is
    splits : (train, test) row numbers
    params : arguments of each base model's ``fit``, as long as `rows` where they belong to rows
    keep : whether the models of the first split stay, instead of being fitted on all rows
    n_jobs : processes, see joblib
    memory : embeddings of neural models that have no store; None keeps them for these fits alone
    options : see `predict_bases`

    Returns
    -------
    fitted : (name, fitted model) pairs
    tables : one per base model, over the test rows of all splits
    """
    memory, parallel = (
        EmbeddingStore() if memory is None else memory,
        Parallel(n_jobs=n_jobs),
    )
    live = [
        (name, model) for name, model in named if not isinstance(model, PredictionTable)
    ]
    done = parallel(
        delayed(_fit_fold)(
            name, model, rows, split, params[name], memory, keep, options
        )
        for name, model in live
        for split in splits
    )
    folds = {
        name: done[k * len(splits) : (k + 1) * len(splits)]
        for k, (name, _) in enumerate(live)
    }
    if keep:
        fitted = {name: parts[0][0] for name, parts in folds.items()}
    else:
        all_rows = parallel(
            delayed(_fit_base)(name, model, rows, params[name], memory)
            for name, model in live
        )
        fitted = {name: model for (name, _), model in zip(live, all_rows, strict=True)}
    for name, given in live:
        if is_neural(given):
            fitted[name].store = given.store  # the shared memory ends here
    asked = rows.take(np.concatenate([test for _, test in splits]))
    tables = [
        PredictionTable.join([table for _, table in folds[name]])
        if name in folds
        else predict_bases([(name, model)], asked, tuple(rows.labels), **options)[0]
        for name, model in named
    ]
    return [(name, fitted.get(name, model)) for name, model in named], tables


def _fit_fold(
    name,
    model,
    rows: FitRows,
    split,
    params,
    memory: EmbeddingStore,
    keep: bool,
    options,
):
    """Fit on one side of a split and predict the other: the fitted model (None unless kept) and its table."""
    train, test = split
    inside = _check_method_params(rows.X, params, indices=train)
    fitted = _fit_base(name, model, rows.take(train), inside, memory)
    (table,) = predict_bases(
        [(name, fitted)], rows.take(test), tuple(rows.labels), **options
    )
    return (fitted if keep else None), table


def _fit_base(
    name: str, model, rows: FitRows, params: Mapping[str, Any], memory: EmbeddingStore
):
    """A clone fitted on all rows; neural models that have no store keep embeddings in `memory`."""
    fitted, y = clone(model), rows.labels.to_numpy()
    if is_neural(model):
        if (
            model.store is None
        ):  # one memory for all folds, so that no clip is encoded twice
            fitted.store = memory
        return fitted.fit(rows.X, rows.labels, **params)
    if is_classifier(fitted):
        y = np.floor(y + 0.5)  # its classes are whole ratings
    known = np.isfinite(y)
    if not known.any(0).all():
        empty = some(rows.labels.columns[~known.any(0)])
        raise UsageError(
            f"A split of cv leaves no label of aspect {empty} to fit '{name}' on; use fewer folds."
        )
    if y.shape[1] == 1:
        there = np.flatnonzero(known)
        return fitted.fit(
            take(rows.X, there),
            y[there, 0],
            **_check_method_params(rows.X, params, indices=there),
        )
    at_once = known.all() and get_tags(fitted).target_tags.multi_output
    return (fitted if at_once else PerAspect(fitted)).fit(rows.X, y, **params)
