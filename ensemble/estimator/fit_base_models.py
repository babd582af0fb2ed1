"""Base models of any kind fitted: per split for unseen predictions, and on all rows.

The meta level only ever sees predictions for rows that a base model was not fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed

from base_models.bins import ScoreBins
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from ensemble.estimator.input_rows import take_rows
from ensemble.estimator.predict_base_models import (
    NamedModels,
    predict_base_models,
    reads_clips,
)
from ensemble.estimator.row_splits import Split
from ensemble.estimator.sklearn_compat import params_of_rows
from meta.rows import Rows


class PerAspect(MetaEstimatorMixin, BaseEstimator):
    """One clone of an estimator per aspect, fitted on the rows labelled for it.

    For estimators that know a single target, and for labels with gaps, which
    scikit-learn refuses.

    Parameters
    ----------
    estimator : regressor or classifier
    """

    def __init__(self, estimator: BaseEstimator) -> None:
        self.estimator = estimator

    def fit(
        self, X: pd.DataFrame | np.ndarray, y: np.ndarray, **params: Any
    ) -> PerAspect:
        """Fit on labels of shape (n, aspects), NaN where unlabelled."""
        self.estimators_ = []
        for column in y.T:
            labelled = np.flatnonzero(np.isfinite(column))
            own_params = params_of_rows(X, params, indices=labelled)
            fitted = clone(self.estimator).fit(
                take_rows(X, labelled), column[labelled], **own_params
            )
            self.estimators_.append(fitted)
        return self

    def predict(self, X: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Scores of shape (n, aspects)."""
        return np.column_stack([model.predict(X) for model in self.estimators_])

    @available_if(lambda self: hasattr(self.estimator, "predict_proba"))
    def predict_proba(self, X: pd.DataFrame | np.ndarray) -> list[np.ndarray]:
        """Of a classifier: one array of shape (n, classes) per aspect."""
        return [model.predict_proba(X) for model in self.estimators_]

    @property
    def classes_(self) -> list[np.ndarray]:
        """Of a classifier: the classes of each aspect."""
        return [model.classes_ for model in self.estimators_]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type = get_tags(self.estimator).estimator_type
        return tags

    def get_metadata_routing(self) -> Any:
        """That of the estimator: metadata goes to every clone."""
        return get_routing_for_object(self.estimator)


@dataclass(frozen=True, eq=False)
class BaseModelFits:
    """The rows and options with which base models are fitted, whatever the splits.

    Parameters
    ----------
    named : (name, base model) pairs; a `PredictionTable` is looked up, not fitted
    X : what all rows of the fit were given as
    rows : the n usable rows; `Rows.number` says where they stand in `X`
    metadata : further arguments of each base model's ``fit``, as long as `X` where they
        belong to rows, see `ensemble.estimator.metadata_routing.metadata_of`
    bins : the rating scale
    missing : whether a model may have no prediction for some rows
    memory : embeddings of models over encoders that have no store, so that no clip is
        encoded twice
    n_jobs : processes, see joblib
    """

    named: NamedModels
    X: pd.DataFrame | np.ndarray
    rows: Rows
    metadata: Mapping[str, Mapping[str, Any]]
    bins: ScoreBins
    missing: bool
    memory: EmbeddingStore
    n_jobs: int | None = None

    def unseen_predictions(
        self, splits: Sequence[Split], keep_first: bool
    ) -> tuple[list[tuple[str, Any]], list[PredictionTable]]:
        """Fit base models on one side of each split and predict the other.

        Parameters
        ----------
        splits : (train, test) places within `rows`
        keep_first : whether the models of the first split stay, instead of being fitted
            on all rows

        Returns
        -------
        fitted : (name, fitted model) pairs, for new rows
        tables : one per base model, over the test rows of all splits
        """
        live = [
            (name, model)
            for name, model in self.named
            if not isinstance(model, PredictionTable)
        ]
        # One job per model and split, so that a slow model does not hold up the others.
        parallel = Parallel(n_jobs=self.n_jobs)
        done = parallel(
            delayed(_fit_and_predict)(self, name, model, split, keep_first)
            for name, model in live
            for split in splits
        )

        # Results come in the order of the jobs: all splits of a model, then the next.
        fitted: dict[str, Any] = {}
        of_splits: dict[str, list[PredictionTable]] = {}
        for k, (name, _) in enumerate(live):
            results = done[k * len(splits) : (k + 1) * len(splits)]
            fitted[name] = results[0][0]
            of_splits[name] = [table for _, table in results]
        # For new rows, a model of all rows is better than one of a part of them.
        if not keep_first:
            everywhere = np.arange(len(self.rows))
            of_all_rows = parallel(
                delayed(_fit_base_model)(self, name, model, everywhere)
                for name, model in live
            )
            fitted = {
                name: model for (name, _), model in zip(live, of_all_rows, strict=True)
            }

        # The shared memory belongs to this fit; models keep the store they were given.
        for name, model in live:
            if reads_clips(model):
                fitted[name].store = model.store

        # Stored tables have nothing to fit: they are looked up for the same rows.
        tested = np.concatenate([test for _, test in splits])
        tables = []
        for name, model in self.named:
            if name in of_splits:
                tables.append(PredictionTable.join(of_splits[name]))
            else:
                tables += self.predictions([(name, model)], tested)
        return [(name, fitted.get(name, model)) for name, model in self.named], tables

    def predictions(
        self, fitted: NamedModels, places: np.ndarray
    ) -> list[PredictionTable]:
        """Predictions of fitted base models for some of the rows."""
        rows = self.rows.take(places)
        return predict_base_models(
            fitted,
            take_rows(self.X, rows.number),
            rows.ids.tolist(),
            aspects=rows.aspects,
            bins=self.bins,
            missing=self.missing,
        )


def _fit_and_predict(
    fits: BaseModelFits, name: str, model: Any, split: Split, keep: bool
) -> tuple[Any, PredictionTable]:
    """The model fitted on one side of a split (None unless kept), and its table."""
    train, test = split
    fitted = _fit_base_model(fits, name, model, train)
    (table,) = fits.predictions([(name, fitted)], test)
    return (fitted if keep else None), table


def _fit_base_model(
    fits: BaseModelFits, name: str, model: Any, places: np.ndarray
) -> Any:
    """A clone of a base model, fitted on some of the rows."""
    rows = fits.rows.take(places)
    X = take_rows(fits.X, rows.number)
    params = params_of_rows(fits.X, fits.metadata[name], indices=rows.number)
    fitted = clone(model)

    # Models over encoders take clips, labels with gaps, and a shared memory of
    # embeddings.
    if reads_clips(model):
        if model.store is None:
            fitted.store = fits.memory
        return fitted.fit(X, rows.label_frame, **params)

    y = rows.labels
    if is_classifier(fitted):
        y = np.floor(y + 0.5)  # its classes are whole ratings
    known = np.isfinite(y)
    labelled_aspects = known.any(axis=0)
    if not labelled_aspects.all():
        empty = [
            aspect
            for aspect, has_label in zip(rows.aspects, labelled_aspects, strict=True)
            if not has_label
        ]
        raise UsageError(
            f"A split of cv leaves no label of aspect {some(empty)} to fit '{name}' "
            "on; use fewer folds."
        )
    # Scikit-learn refuses NaN labels: unlabelled rows are left out, per aspect.
    if y.shape[1] == 1:
        labelled = np.flatnonzero(known)
        own_params = params_of_rows(X, params, indices=labelled)
        return fitted.fit(take_rows(X, labelled), y[labelled, 0], **own_params)
    if known.all() and get_tags(fitted).target_tags.multi_output:
        return fitted.fit(X, y, **params)
    return PerAspect(fitted).fit(X, y, **params)
