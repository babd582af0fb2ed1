"""StackedMOS: base models and a meta-learner as one scikit-learn estimator.

Base models predict clips that they were not trained on; the meta-learner is fitted on those predictions. The trap is
to fit it on rows that a base model has seen: `cv` says how unseen predictions are made, and prefit models carry the
ids of their training clips, which are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin, clone
from sklearn.model_selection import check_cv
from sklearn.multioutput import MultiOutputRegressor
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_is_fitted, validate_data

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from base_models.labels import as_labels, check_labels, mean_label
from base_models.predictions import PredictionTable
from base_models.splits import stratified_holdout
from ensemble.stack_folder import read_stack, write_stack
from meta.features import feature_table
from meta.regressor import MetaRegressor


class StackedMOS(RegressorMixin, _BaseComposition):
    """Stack of base models that predicts mean opinion scores (DORA-MOS, section III.D).

    Parameters
    ----------
    estimators : list of (name, estimator): `NeuralMOS`, or any scikit-learn regressor, whose scalars are softened.
        None takes the paper's nine for a clip table, and a ridge and a forest for a matrix
    final_estimator : ``"ridge"``, ``"lightgbm"``, ``"mean"``, or a scikit-learn regressor (which cannot be saved)
    cv : how base predictions for the meta level are made: int folds, one hold-out fraction (base models stay as
        fitted on the rest), a splitter, an iterable of (train, test) rows, or ``"prefit"``
    validation : share of the meta rows on which a first fit is measured; the learner that stays is fitted on all.
        None skips it
    random_state : int, of folds, hold-outs and the learner

    Attributes
    ----------
    aspects_ : tuple of str
    estimators_ : list of (name, fitted estimator)
    final_estimator_ : MetaRegressor
    validation_scores_ : DataFrame, the leaderboard on the meta-validation rows, or None

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> y = np.clip(3 + X[:, 0], 1, 5)
    >>> stack = StackedMOS([("a", Ridge()), ("b", Ridge(alpha=100))]).fit(X, y)
    >>> stack.predict(X[:2]).shape, stack.predict_distribution(X[:2]).shape
    ((2,), (2, 1, 20))
    """

    def __init__(self, estimators=None, final_estimator="ridge", cv=5, validation=0.4, random_state=0):
        self.estimators = estimators
        self.final_estimator = final_estimator
        self.cv = cv
        self.validation = validation
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, with those of the base models as ``name__parameter``."""
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> StackedMOS:
        """Set parameters; ``name=estimator`` replaces a base model, ``name__parameter`` one of its own."""
        return self._set_params("estimators", **params)

    def fit(self, X, y, groups=None) -> StackedMOS:
        """Fit base models and the meta-learner.

        Parameters
        ----------
        X : clip table (a DataFrame with ``audio``), or matrix of shape (n, features)
        y : array or DataFrame of shape (n,) or (n, aspects), on the scale
        groups : array of shape (n,), kept together in folds and in the meta-validation split, or None

        Raises
        ------
        UsageError
            when labels are off the scale, rows leak, or there are too few of them.
        """
        labels = as_labels(y, len(X))
        check_labels(labels, ScoreBins())
        X = self._validated(X, reset=True)
        self.aspects_, self._flat = tuple(labels.columns), np.ndim(y) == 1
        ids, systems = _ids(X), _systems(X)
        named = self._named(X)
        if isinstance(self.cv, str) and self.cv == "prefit":
            self.estimators_ = named
            return self._fit_tables(self._tables(X), labels, ids, systems, groups)
        splits = self._splits(X, labels, systems, groups)
        rows = np.concatenate([test for _, test in splits])
        if len(set(rows.tolist())) != len(rows):
            raise UsageError("cv predicts a row twice; the meta level needs one prediction per row, as from KFold.")
        parts = []
        for train, test in splits:
            fold = StackedMOS([(name, _fit(model, _take(X, train), labels.iloc[train])) for name, model in named])
            fold.estimators_, fold.aspects_ = fold.estimators, self.aspects_
            parts.append(fold._tables(_take(X, test), [ids[row] for row in test]))
        one_holdout = isinstance(self.cv, float)
        self.estimators_ = fold.estimators_ if one_holdout else [(name, _fit(m, X, labels)) for name, m in named]
        tables = [_join(tables) for tables in zip(*parts, strict=True)]
        picked = None if groups is None else np.asarray(groups)[rows]
        return self._fit_tables(tables, labels.iloc[rows], [ids[r] for r in rows], [systems[r] for r in rows], picked)

    def _fit_tables(self, tables, labels: pd.DataFrame, ids, systems, groups) -> StackedMOS:
        self.final_estimator_ = MetaRegressor(self.final_estimator, self.random_state)
        y, aspects = labels.to_numpy(), list(self.aspects_)
        self.validation_scores_ = None
        if self.validation is None:
            self.final_estimator_.fit(tables, y, ids, aspects)
        else:
            self.validation_scores_ = self.final_estimator_.validate(
                tables, y, systems, self.validation, ids, aspects, groups
            )
        return self

    def predict(self, X) -> np.ndarray:
        """Scores on the scale: shape (n, aspects), or (n,) when y was one-dimensional."""
        scores = self.final_estimator_.predict(self.prediction_tables(X))
        return scores[:, 0] if self._flat else scores

    def predict_distribution(self, X) -> np.ndarray:
        """Distribution over the score bins around each prediction, shape (n, aspects, bins), last axis sums to 1."""
        return self.final_estimator_.predict_distribution(self.prediction_tables(X))

    def transform(self, X) -> pd.DataFrame:
        """The feature table: one row per clip, columns such as ``mi__dora_s0__b07`` for every aspect side by side."""
        tables = self.prediction_tables(X)
        return pd.concat([feature_table(tables, aspect) for aspect in self.aspects_], axis=1)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names of the columns of `transform`."""
        check_is_fitted(self, "final_estimator_")
        layout = self.final_estimator_.layout_
        empty = [
            PredictionTable(model, (), self.aspects_, np.zeros((0, len(self.aspects_), layout.bins.count)), layout.bins)
            for model in layout.models
        ]
        return np.concatenate([feature_table(empty, aspect).columns for aspect in self.aspects_]).astype(object)

    def save(self, folder: Path | str) -> None:
        """Write the stack and its base models to `folder`; no pickle.

        Raises
        ------
        UsageError
            when a base model or the final estimator is a scikit-learn estimator, which only pickle could store.
        """
        check_is_fitted(self, "final_estimator_")
        foreign = [name for name, model in self.estimators_ if not hasattr(model, "to_files")]
        if foreign:
            raise UsageError(
                f"Base model '{foreign[0]}' is a scikit-learn estimator, which could only be stored as a pickle; "
                "save its predictions as a PredictionTable instead."
            )
        bases = {name: model.to_files() for name, model in self.estimators_}
        write_stack(folder, self.final_estimator_, bases, {"flat": self._flat})

    @classmethod
    def load(cls, folder: Path | str, **overrides: Any) -> StackedMOS:
        """Read a stack that `save` or ``fit_meta`` wrote; every file is verified first.

        Parameters
        ----------
        overrides : parameters of the base models to change: ``device``, ``store``, ``audio_encoder`` …

        Raises
        ------
        DamagedArtifact
            when a file changed.
        """
        from base_models.neural_mos import NeuralMOS

        artifact, facts, regressor = read_stack(folder)
        bases = [(name, NeuralMOS.from_artifact(artifact, f"base/{name}/", **overrides)) for name in facts["bases"]]
        self = cls(bases, regressor.learner, "prefit", random_state=regressor.random_state)
        self.estimators_, self.final_estimator_ = bases, regressor
        self.aspects_, self._flat = regressor.aspects_, bool(facts.get("flat", False))
        self.validation_scores_ = None
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "final_estimator_")

    def prediction_tables(self, X) -> list[PredictionTable]:
        """What each fitted base model predicts for `X`, one table per model."""
        check_is_fitted(self, "final_estimator_")
        return self._tables(self._validated(X, reset=False))

    def _validated(self, X, reset: bool):
        return X.reset_index(drop=True) if _is_clips(X) else validate_data(self, X, reset=reset)

    def _named(self, X) -> list[tuple[str, Any]]:
        if self.estimators is None:
            return default_estimators(X)
        named = [(name, model) for name, model in self.estimators if not (isinstance(model, str) and model == "drop")]
        if not named:
            raise UsageError("estimators is empty; a stack needs at least one base model.")
        self._validate_names([name for name, _ in named])
        return named

    def _splits(self, X, labels, systems, groups) -> list[tuple[np.ndarray, np.ndarray]]:
        rows, target = np.arange(len(labels)), mean_label(labels.to_numpy())
        if isinstance(self.cv, float):
            held = stratified_holdout(systems, target, self.cv, self.random_state, groups=groups)
            return [(rows[~held], rows[held])]
        if isinstance(self.cv, int):
            from sklearn.model_selection import GroupKFold, KFold

            kind = KFold if groups is None else GroupKFold
            splitter = kind(self.cv, shuffle=True, random_state=self.random_state)
        else:
            splitter = check_cv(self.cv)
        return [(np.asarray(a), np.asarray(b)) for a, b in splitter.split(rows[:, None], target, groups)]

    def _tables(self, X, ids: Sequence[str] | None = None) -> list[PredictionTable]:
        """Every base model's predictions; models of the same encoders share one embedding of the clips."""
        ids = _ids(X) if ids is None else ids
        embedded: dict[tuple, Any] = {}
        return [_table(name, model, X, ids, self.aspects_, embedded) for name, model in self.estimators_]


def default_estimators(X) -> list[tuple[str, Any]]:
    """The paper's level 0 for a clip table; a ridge and a forest for a matrix."""
    if not _is_clips(X):
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.linear_model import Ridge

        return [("ridge", Ridge()), ("forest", RandomForestRegressor(random_state=0))]
    from base_models.neural_mos import NeuralMOS
    from ensemble.level0 import plan_models

    return [(f"{preset}-s{seed}", NeuralMOS(preset, random_state=seed)) for preset, seed in plan_models(None, 5)]


def _is_clips(X) -> bool:
    return isinstance(X, pd.DataFrame) and "audio" in X.columns


def _ids(X) -> list[str]:
    return [str(clip) for clip in (X["clip_id"] if _is_clips(X) and "clip_id" in X else range(len(X)))]


def _systems(X) -> list[str]:
    return [str(s) for s in X["system_id"]] if _is_clips(X) and "system_id" in X else [""] * len(X)


def _take(X, rows):
    return X.iloc[rows].reset_index(drop=True) if isinstance(X, pd.DataFrame) else X[rows]


def _is_neural(model) -> bool:
    return hasattr(model, "predict_embedded")


def _fit(model, X, labels: pd.DataFrame):
    model = clone(model)
    if _is_neural(model):
        return model.fit(X, labels)
    if labels.shape[1] == 1:
        return model.fit(X, labels.to_numpy()[:, 0])
    if not get_tags(model).target_tags.multi_output:
        model = MultiOutputRegressor(model)
    return model.fit(X, labels.to_numpy())


def _table(name, model, X, ids, aspects, embedded: dict[tuple, Any]) -> PredictionTable:
    if _is_neural(model):
        key = (str(model.audio_encoder), str(model.text_encoder), any(model.needs_text_), str(model.store))
        if key not in embedded:
            embedded[key] = model.embed(X)[1]
        return model.prediction_table(name, ids, embedded[key])
    scores = np.asarray(model.predict(X), dtype=np.float64)
    if not np.isfinite(scores).all():
        raise UsageError(f"Base model '{name}' predicted NaN or infinity.")
    return PredictionTable.from_scores(name, ids, aspects, scores)


def _join(tables: Iterable[PredictionTable]) -> PredictionTable:
    """Several folds as one table: each row is by a model that did not see it, so nothing is listed as seen."""
    tables = list(tables)
    for table in tables:
        seen = (table.trained_on | table.selected_on) & set(table.clip_ids)
        if seen:
            raise UsageError(
                f"Clip '{min(seen)}' is in both sides of a split of cv; every row needs an unseen prediction."
            )
    first = tables[0]
    ids = tuple(clip for table in tables for clip in table.clip_ids)
    values = np.concatenate([table.distributions for table in tables])
    return PredictionTable(first.model, ids, first.aspects, values, first.bins, first.sigma)
