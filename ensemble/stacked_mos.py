"""StackedMOS: base models and a meta-learner as one scikit-learn estimator.

Base models predict clips that they were not trained on; the meta-learner is fitted on those predictions. The trap is
to fit it on rows that a base model has seen: `cv` says how unseen predictions are made. Of prefit models, `NeuralMOS`
alone carries the ids of its training clips, which are refused; others cannot be checked, and the log names them.
"""

from __future__ import annotations

import logging
import numbers
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import check_cv
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_is_fitted, validate_data

from base_models.bins import ScoreBins
from base_models.embeddings import EmbeddingStore
from base_models.errors import UsageError, one_of, some
from base_models.labels import as_labels, check_labels, judged_by_text, mean_label
from base_models.predictions import PredictionTable
from base_models.splits import stratified_holdout
from ensemble.stack_folder import read_stack, write_stack
from meta.features import feature_table
from meta.learners import LEARNERS
from meta.regressor import MetaRegressor
from meta.selection import MEAN, STACK

log = logging.getLogger(__name__)


class StackedMOS(RegressorMixin, _BaseComposition):
    """Stack of base models that predicts mean opinion scores (DORA-MOS, section III.D).

    Parameters
    ----------
    estimators : list of (name, estimator): `NeuralMOS`, or any scikit-learn regressor, whose scalars are softened.
        None takes the paper's nine for a clip table, and a ridge and a forest for a matrix
    final_estimator : ``"ridge"``, ``"lightgbm"``, ``"mean"``, or a scikit-learn regressor (which cannot be saved)
    cv : how base predictions for the meta level are made: int folds, one hold-out fraction (base models stay as
        fitted on the rest), a splitter, an iterable of (train, test) rows, or ``"prefit"``, for base models that
        have not seen the rows of `fit` (verified for `NeuralMOS` only; the log names those that are taken on trust)
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
        y : array or DataFrame of shape (n,) or (n, aspects), on the scale; NaN is unlabelled
        groups : array of shape (n,), kept together in folds and in the meta-validation split, or None

        Raises
        ------
        UsageError
            when labels are off the scale, rows leak, or there are too few of them.
        """
        vars(self).pop("final_estimator_", None)  # a fit that fails leaves nothing to predict with
        self._check_parameters()
        X = self._validated(X, reset=True)
        labels = as_labels(y, len(X))
        check_labels(labels, ScoreBins())
        if groups is not None and len(groups) != len(X):
            raise UsageError(f"There are {len(X)} rows but {len(groups)} groups.")
        self.aspects_, self._flat = tuple(labels.columns), np.ndim(y) == 1
        ids, systems = _ids(X), _systems(X)
        named = self._named(X)
        if isinstance(self.cv, str) and self.cv == "prefit":
            self.estimators_ = named
            tables = _tables(named, X, ids, self.aspects_)
            _log_unchecked(named)
            return self._fit_tables(tables, labels, ids, systems, groups)
        splits = self._splits(labels, systems, groups)
        self.estimators_, tables = self._fit_bases(named, X, labels, splits)
        rows = np.concatenate([test for _, test in splits])
        picked = None if groups is None else np.asarray(groups)[rows]
        return self._fit_tables(tables, labels.iloc[rows], [ids[r] for r in rows], [systems[r] for r in rows], picked)

    def _fit_bases(self, named, X, labels: pd.DataFrame, splits) -> tuple[list[tuple[str, Any]], list[PredictionTable]]:
        """Base models for new rows, and tables of what their like said of the test rows of each split."""
        ids, memory, parts = _ids(X), EmbeddingStore(), []
        for train, test in splits:
            X_train, y_train = _take(X, train), labels.iloc[train]
            fitted = [(name, _fit(name, model, X_train, y_train, memory)) for name, model in named]
            parts.append(_tables(fitted, _take(X, test), [ids[row] for row in test], self.aspects_))
        if not _is_share(self.cv):
            fitted = [(name, _fit(name, model, X, labels, memory)) for name, model in named]
        for (_, model), (_, given) in zip(fitted, named, strict=True):
            if _is_neural(model):
                model.store = given.store  # the shared memory ends here
        return fitted, [_join(tables) for tables in zip(*parts, strict=True)]

    def _fit_tables(self, tables, labels: pd.DataFrame, ids, systems, groups) -> StackedMOS:
        regressor, board = MetaRegressor(self.final_estimator, self.random_state), None
        y, aspects = labels.to_numpy(), list(self.aspects_)
        if self.validation is None:
            regressor.fit(tables, y, ids, aspects)
        else:
            boards = regressor.validate(tables, y, systems, self.validation, ids, aspects, groups)
            board = boards["meta-validation"]
        self.final_estimator_, self.validation_scores_ = regressor, board
        return self

    def predict(self, X) -> np.ndarray:
        """Scores on the scale: shape (n, aspects), or (n,) when y was one-dimensional."""
        tables = self.prediction_tables(X)
        scores = self.final_estimator_.predict(tables)
        return scores[:, 0] if self._flat else scores

    def predict_distribution(self, X) -> np.ndarray:
        """Distribution over the score bins around each prediction, shape (n, aspects, bins), last axis sums to 1."""
        tables = self.prediction_tables(X)
        return self.final_estimator_.predict_distribution(tables)

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
        self.validation_scores_, self.demo_ = None, bool(facts.get("demo", False))
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "final_estimator_")

    def prediction_tables(self, X) -> list[PredictionTable]:
        """What each fitted base model predicts for `X`, one table per model."""
        check_is_fitted(self, "final_estimator_")
        X = self._validated(X, reset=False)
        return _tables(self.estimators_, X, _ids(X), self.aspects_)

    def _check_parameters(self) -> None:
        """Refuse what would only fail once the base models are fitted, which may take hours."""
        if not isinstance(self.final_estimator, BaseEstimator):
            one_of(self.final_estimator, LEARNERS, "learner")
        if self.validation is not None and not 0 < self.validation < 1:
            raise UsageError(f"validation is a share between 0 and 1, or None; got {self.validation}.")

    def _validated(self, X, reset: bool):
        if _is_clips(X):
            X = X if "clip_id" in X else X.assign(clip_id=X.index.astype(str))
            return X.reset_index(drop=True)
        if isinstance(X, pd.DataFrame):  # stays one: base models may pick columns by name
            return validate_data(self, X, reset=reset, skip_check_array=True).reset_index(drop=True)
        return validate_data(self, X, reset=reset, ensure_all_finite="allow-nan")

    def _named(self, X) -> list[tuple[str, Any]]:
        if self.estimators is None:
            return default_estimators(X, any(judged_by_text(self.aspects_)))
        named = [(name, model) for name, model in self.estimators if not (isinstance(model, str) and model == "drop")]
        if not named:
            raise UsageError("estimators is empty; a stack needs at least one base model.")
        names = [name for name, _ in named]
        self._validate_names(names)
        if {STACK, MEAN} & set(names):
            raise UsageError(f"No base model may be called '{STACK}' or '{MEAN}': both are rows of the leaderboard.")
        return named

    def _splits(self, labels: pd.DataFrame, systems, groups) -> list[tuple[np.ndarray, np.ndarray]]:
        """Row numbers to fit on and to predict, for each split; every row is predicted at most once, and unseen."""
        rows, target = np.arange(len(labels)), mean_label(labels.to_numpy())
        if _is_share(self.cv):
            held = stratified_holdout(systems, target, float(self.cv), self.random_state, groups=groups)
            return [(rows[~held], rows[held])]
        splits = _splitter(self.cv, self.random_state, groups).split(rows[:, None], target, groups)
        splits = [(rows[np.asarray(train)], rows[np.asarray(test)]) for train, test in splits]
        for train, test in splits:
            both = np.intersect1d(train, test)
            if len(both):
                raise UsageError(
                    f"Row {both[0]} is in both sides of a split of cv; every row needs an unseen prediction."
                )
        tested = [row for _, test in splits for row in test.tolist()]
        if not tested or len(set(tested)) != len(tested):
            how = "predicts a row twice" if tested else "predicts no row"
            raise UsageError(f"cv {how}; the meta level needs one prediction per row, as from KFold.")
        return splits


def default_estimators(X, with_text: bool = True) -> list[tuple[str, Any]]:
    """The paper's level 0 for a clip table (`ensemble.level0.plan_models`); a ridge and a forest for a matrix."""
    if not _is_clips(X):
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.linear_model import Ridge

        return [("ridge", Ridge()), ("forest", RandomForestRegressor(random_state=0))]
    from base_models.neural_mos import NeuralMOS
    from ensemble.level0 import plan_models

    planned = plan_models(None, 5, with_text)
    return [(f"{preset}-s{seed}", NeuralMOS(preset, random_state=seed)) for preset, seed in planned]


class PerAspect(RegressorMixin, BaseEstimator):
    """One clone of a regressor per aspect, each fitted on the rows that are labelled for it.

    For regressors that know a single target, and for labels with gaps, which scikit-learn refuses.
    """

    def __init__(self, regressor):
        self.regressor = regressor

    def fit(self, X, y) -> PerAspect:
        """Fit on labels of shape (n, aspects), NaN where unlabelled."""
        rows = [np.flatnonzero(np.isfinite(column)) for column in y.T]
        self.estimators_ = [clone(self.regressor).fit(_take(X, r), y[r, k]) for k, r in enumerate(rows)]
        return self

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n, aspects)."""
        return np.column_stack([model.predict(X) for model in self.estimators_])


def _is_share(cv) -> bool:
    return isinstance(cv, numbers.Real) and not isinstance(cv, numbers.Integral)


def _splitter(cv, random_state, groups):
    cv = 5 if cv is None else cv
    if isinstance(cv, bool | str) or (isinstance(cv, numbers.Integral) and cv < 2):
        raise UsageError(
            f"cv is a number of folds (at least 2), a share to hold out, a splitter, splits, or 'prefit'; got {cv!r}."
        )
    if not isinstance(cv, numbers.Integral):
        return check_cv(cv)
    from sklearn.model_selection import GroupKFold, KFold

    return (KFold if groups is None else GroupKFold)(int(cv), shuffle=True, random_state=random_state)


def _is_clips(X) -> bool:
    return isinstance(X, pd.DataFrame) and "audio" in X.columns


def _ids(X) -> list[str]:
    return [str(clip) for clip in (X["clip_id"] if _is_clips(X) else range(len(X)))]


def _systems(X) -> list[str]:
    return [str(s) for s in X["system_id"]] if _is_clips(X) and "system_id" in X else [""] * len(X)


def _take(X, rows):
    return X.iloc[rows].reset_index(drop=True) if isinstance(X, pd.DataFrame) else X[rows]


def _is_neural(model) -> bool:
    return hasattr(model, "predict_embedded")


def _log_unchecked(named) -> None:
    """Name the prefit models that list no training clips, for which `meta.features.refuse_leaks` is blind."""
    unchecked = [name for name, model in named if not hasattr(model, "trained_on_")]
    if unchecked:
        log.warning(
            "Prefit base models %s carry no ids of their training clips and cannot be checked for leaks; "
            "fit the stack on rows that they have not seen.",
            some(unchecked, 20),
        )


def _fit(name: str, model, X, labels: pd.DataFrame, memory: EmbeddingStore):
    fitted, y = clone(model), labels.to_numpy()
    if _is_neural(model):
        if model.store is None:  # one memory for all folds, so that no clip is encoded twice
            fitted.store = memory
        return fitted.fit(X, labels)
    known = np.isfinite(y)
    if not known.any(0).all():
        empty = some(labels.columns[~known.any(0)])
        raise UsageError(f"A split of cv leaves no label of aspect {empty} to fit '{name}' on; use fewer folds.")
    if y.shape[1] == 1:
        rows = np.flatnonzero(known)
        return fitted.fit(_take(X, rows), y[rows, 0])
    return (fitted if known.all() and get_tags(fitted).target_tags.multi_output else PerAspect(fitted)).fit(X, y)


def _tables(named, X, ids: Sequence[str], aspects: Sequence[str]) -> list[PredictionTable]:
    """Every base model's predictions; models of the same encoders share one embedding of the clips."""
    embedded: dict[tuple, Any] = {}
    return [_table(name, model, X, ids, aspects, embedded) for name, model in named]


def _table(name, model, X, ids, aspects, embedded: dict[tuple, Any]) -> PredictionTable:
    if _is_neural(model):
        key = (str(model.audio_encoder), str(model.text_encoder), any(model.needs_text_), str(model.store))
        if key not in embedded:
            embedded[key] = model.embed(X)[1]
        return model.prediction_table(name, ids, embedded[key])
    scores = np.asarray(model.predict(X), dtype=np.float64)
    if scores.shape not in {(len(ids), len(aspects)), *([(len(ids),)] if len(aspects) == 1 else [])}:
        raise UsageError(
            f"Base model '{name}' predicts shape {scores.shape}; expected {(len(ids), len(aspects))}: rows by aspects."
        )
    if not np.isfinite(scores).all():
        raise UsageError(f"Base model '{name}' predicted NaN or infinity.")
    return PredictionTable.from_scores(name, ids, aspects, scores)


def _join(tables: Iterable[PredictionTable]) -> PredictionTable:
    """Several folds as one table: each row is by a model that did not see it, so nothing is listed as seen."""
    tables = list(tables)
    first = tables[0]
    ids = tuple(clip for table in tables for clip in table.clip_ids)
    values = np.concatenate([table.distributions for table in tables])
    return PredictionTable(first.model, ids, first.aspects, values, first.bins, first.sigma)
