"""StackedMOS: base models and a meta-learner as one scikit-learn estimator.

Base models predict clips that they were not trained on; the meta-learner is fitted on those predictions. The trap is
to fit it on rows that a base model has seen: `cv` says how unseen predictions are made. Of prefit models, `NeuralMOS`
and prediction tables alone carry the ids of their training clips, which are refused; others cannot be checked, and the
log names them.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import MultiOutputMixin, RegressorMixin, TransformerMixin
from sklearn.utils import get_tags
from sklearn.utils._repr_html.estimator import _VisualBlock
from sklearn.utils.metadata_routing import MetadataRouter
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import (
    _check_feature_names_in,
    _check_method_params,
    check_is_fitted,
    validate_data,
)

from base_models.bins import ScoreBins
from base_models.clips.labels import as_labels, check_labels, judged_by_text
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from ensemble.estimator.adapt_stack import adapted_level1
from ensemble.estimator.base_model_files import base_from, files_of
from ensemble.estimator.fit_base_models import default_estimators, fit_bases
from ensemble.estimator.held_out_trial import judged_trial
from ensemble.estimator.input_rows import FitRows, is_clips, rating_scale
from ensemble.estimator.metadata_routing import checked_weights, metadata_of, router_of
from ensemble.estimator.predict_base_models import (
    log_unchecked,
    predict_bases,
    scale_of,
)
from ensemble.estimator.prediction_inputs import (
    as_tables,
    clips_of,
    ids_of,
    joined,
    labels_of,
    own_columns,
    takes_predictions,
)
from ensemble.estimator.row_splits import (
    is_share,
    makes_folds,
    unseen_splits,
    validation_split,
)
from ensemble.estimator.save_and_load import read_stack, write_stack
from meta.columns.feature_table import feature_table
from meta.comparison.compared_rows import MEAN, STACK
from meta.regressor import MetaRegressor


class StackedMOS(MultiOutputMixin, RegressorMixin, TransformerMixin, _BaseComposition):
    """Stack of base models that predicts mean opinion scores (DORA-MOS, section III.D).

    Parameters
    ----------
    estimators : list of (name, base model), each a `NeuralMOS`; any scikit-learn regressor, whose scalars are softened;
        a classifier of whole ratings, to which labels are rounded; a `PredictionTable`, looked up by clip id; or
        ``"drop"``. None takes the paper's nine for a clip table, and a ridge and a tree for a matrix
    final_estimator : name of a learner (``"ridge"``, ``"lightgbm"``, ``"mean"`` …), a `meta.learners.base.Learner`, or a
        scikit-learn regressor (which cannot be saved)
    cv : how base predictions for the meta level are made: int folds, one hold-out fraction (base models stay as
        fitted on the rest), a splitter, an iterable of (train, test) rows, or ``"prefit"``, for base models that
        have not seen the rows of `fit` (verified where they list their clips; the log names those taken on trust).
        Rows that no split predicts are left out of the meta level
    validation : how a first fit is measured: share of the rows, in proportion within systems and score bands, or a
        splitter, whose last split counts. Where `cv` is folds or a splitter, base models are fitted once more without
        these rows (without encoding any clip again); None, which measures nothing, halves the work. Splits given as
        row numbers stay as they are: the board of such a fit shares their folds. What stays is fitted on all rows
    bins : ScoreBins, the rating scale; None takes that of prefit base models, else 1..5, unless X is a matrix with
        labels off it: then the scale is what they span, and the log says so
    n_jobs : processes that fit base models, see joblib
    random_state : int, of folds, hold-outs and the learner

    Attributes
    ----------
    aspects_ : tuple of str
    bins_ : ScoreBins, the scale; nothing outside of it is predicted
    estimators_ : list of (name, fitted estimator)
    final_estimator_ : MetaRegressor
    validation_scores_ : DataFrame, the leaderboard on the meta-validation rows, or None
    verdict_ : str, whether the stack beat the best base model and the mean on those rows
    join_ : `ensemble.estimator.prediction_inputs.Join`, what joined and what did not (after `from_predictions` only)

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

    def __init__(
        self,
        estimators=None,
        final_estimator="ridge",
        cv=5,
        validation=0.4,
        bins=None,
        n_jobs=None,
        random_state=0,
    ):
        self.estimators = estimators
        self.final_estimator = final_estimator
        self.cv = cv
        self.validation = validation
        self.bins = bins
        self.n_jobs = n_jobs
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, with those of the base models as ``name__parameter``."""
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> StackedMOS:
        """Set parameters; ``name=estimator`` replaces a base model, ``name__parameter`` one of its own."""
        return self._set_params("estimators", **params)

    def get_metadata_routing(self) -> MetadataRouter:
        """Who may ask for metadata of `fit`: see `ensemble.estimator.metadata_routing.router_of`."""
        return router_of(self)

    def fit(self, X, y, sample_weight=None, groups=None, **fit_params) -> StackedMOS:
        """Fit base models and the meta-learner.

        Parameters
        ----------
        X : clip table (a DataFrame with ``audio`` or ``clip_id``), or matrix of shape (n, features)
        y : array or DataFrame of shape (n,) or (n, aspects), on the scale; NaN is unlabelled
        sample_weight : array of shape (n,) for base models and the final estimator, or None; a row of weight 0 is a
            row left out. A base model that takes no weights is refused
        groups : array of shape (n,), kept together in folds and in the meta-validation split, or None
        fit_params : other metadata, for those who requested it (with scikit-learn's metadata routing enabled only)

        Raises
        ------
        UsageError
            when labels are off the scale, rows leak, or there are too few of them.
        """
        vars(self).pop(
            "final_estimator_", None
        )  # a fit that fails leaves nothing to predict with
        self._check_parameters()
        if y is None:
            raise UsageError(
                "StackedMOS requires y to be passed, but the target y is None."
            )
        X = self._validated(X, reset=True)
        labels = as_labels(y, len(X))
        rows = FitRows.of(X, labels, checked_weights(sample_weight, labels), groups)
        used = rows.used
        self.aspects_, self._flat = tuple(labels.columns), np.asarray(y).ndim == 1
        named = self._named(X)
        self.bins_ = self._scale(named, rows.take(used))
        check_labels(rows.labels, self.bins_, rows.ids if is_clips(X) else None)
        metadata = metadata_of(self, named, rows.weights, rows.groups, fit_params)
        asked = metadata["final_estimator"]
        if set(asked) - {"sample_weight", "groups"}:
            raise UsageError(
                f"Only sample_weight can reach the final estimator; got {some(asked)}."
            )
        memory = EmbeddingStore()  # no clip is encoded twice, be it for the trial
        self.estimators_, tables, meta = self._level0(
            named, rows, used, metadata, memory
        )
        validation = self._measured(named, rows, used, meta, metadata, memory)
        return self._level1(tables, rows, used, meta, metadata, validation)

    @classmethod
    def from_predictions(
        cls, predictions, y, sample_weight=None, groups=None, **parameters: Any
    ) -> StackedMOS:
        """A stack fitted on predictions alone; it predicts from new ones of the same base models.

        Parameters
        ----------
        predictions : list of PredictionTables, or a DataFrame of scores, one column per base model, with clip ids in
            ``clip_id`` or the index. No base model may have seen the labels of these clips
        y : labels by clip id: a Series, a DataFrame with one column per aspect (and ``system_id``, if known), or an
            array in the order of `predictions`
        sample_weight, groups : arrays, rows as in `y`, see `fit`
        parameters : of `StackedMOS`, but for ``estimators`` and ``cv``

        Raises
        ------
        UsageError
            when no clip joins, or a base model has no prediction for one that does and the final estimator needs it.

        Examples
        --------
        >>> scores = pd.DataFrame({"a": [1.0, 2, 3, 4, 5, 4], "b": [1.5, 2, 2.5, 4, 4.5, 3]}, index=list("uvwxyz"))
        >>> stack = StackedMOS.from_predictions(scores, pd.Series([1, 2, 3, 4, 5, 3.0], index=list("zyxwvu")))
        >>> stack.predict(scores[:2]).shape, stack.join_.without_label
        ((2,), ())
        """
        labels = labels_of(y, predictions)
        tables = as_tables(predictions, labels.columns, parameters.get("bins"))
        join = joined(tables, ids_of(predictions, tables), labels)
        weights = checked_weights(sample_weight, labels)
        groups = FitRows.of(labels, labels, groups=groups).groups
        place = labels.index.get_indexer(list(join.clips))
        weights, groups = (
            None if part is None else part[place] for part in (weights, groups)
        )
        known = labels.iloc[place].reset_index(drop=True)
        stack = cls(
            [(table.model, table) for table in tables], cv="prefit", **parameters
        )
        stack.fit(
            clips_of(join, y),
            known.iloc[:, 0] if np.ndim(y) == 1 else known,
            weights,
            groups,
        )
        stack.join_ = join
        return stack

    def _level0(
        self, named, rows: FitRows, used: np.ndarray, metadata, memory: EmbeddingStore
    ):
        """Base models for new rows, tables of what they (or their like) say of unseen rows, and which of `used`."""
        counted = rows.take(used)
        options = {
            "bins": self.bins_,
            "missing": MetaRegressor(self.final_estimator).accepts_missing,
        }
        if isinstance(self.cv, str) and self.cv == "prefit":
            log_unchecked(named)
            return (
                named,
                predict_bases(named, counted, self.aspects_, **options),
                np.arange(len(used)),
            )
        splits = unseen_splits(self.cv, rows, used, self.random_state, metadata["cv"])
        params = {
            name: _check_method_params(rows.labels, metadata[name], indices=used)
            for name, _ in named
        }
        fitted, tables = fit_bases(
            named,
            counted,
            splits,
            params,
            is_share(self.cv),
            self.n_jobs,
            memory,
            **options,
        )
        return fitted, tables, np.concatenate([test for _, test in splits])

    def _measured(
        self, named, rows: FitRows, used: np.ndarray, meta: np.ndarray, metadata, memory
    ):
        """What `MetaRegressor.validate` takes: a share or a split of the meta rows, what a trial said, or None."""
        drawn = self.validation, rows, metadata["validation"], self.random_state
        if self.validation is not None and makes_folds(self.cv):
            return judged_trial(
                self,
                named,
                rows,
                used,
                validation_split(*drawn, among=used),
                metadata,
                memory,
            )
        is_splitter = self.validation is not None and not is_share(self.validation)
        return (
            validation_split(*drawn, among=used[meta])
            if is_splitter
            else self.validation
        )

    def _level1(
        self,
        tables,
        rows: FitRows,
        used: np.ndarray,
        meta: np.ndarray,
        metadata,
        validation,
    ) -> StackedMOS:
        """The meta-learner, measured as `validation` says and fitted on all meta rows."""
        asked = metadata["final_estimator"]
        level1, regressor, board = (
            rows.take(used[meta]),
            MetaRegressor(self.final_estimator, self.random_state),
            None,
        )
        weights = level1.weights if "sample_weight" in asked else None
        options = {
            "clip_ids": level1.ids,
            "aspects": self.aspects_,
            "sample_weight": weights,
            "groups": level1.groups,
        }
        y = level1.labels.to_numpy()
        if validation is None:
            regressor.fit(tables, y, system_ids=level1.systems, **options)
        else:
            board = regressor.validate(
                tables, y, level1.systems, validation, **options
            )["meta-validation"]
        self.final_estimator_, self.validation_scores_ = regressor, board
        return self

    def predict(self, X) -> np.ndarray:
        """Scores on the scale: shape (n, aspects), or (n,) when y was one-dimensional.

        Parameters
        ----------
        X : as in `fit`. After `from_predictions`, predictions of new clips: a list of tables or a frame of scores
        """
        asked = self._predicted(X)
        scores = self.final_estimator_.predict(*asked)
        return scores[:, 0] if self._flat else scores

    def adapt(self, X, y, sample_weight=None) -> StackedMOS:
        """A stack whose meta level has also learnt from a few rated clips of a new corpus; this one stays as it is.

        Base models are shared. Nothing was held out of it, so ``validation_scores_`` is None and there is no verdict.
        Without a label it predicts what this one does, bit for bit; see `meta.adaptation.adapt` for all else.

        Parameters
        ----------
        X : as in `predict`
        y : labels on the scale, NaN where unlabelled, as in `fit`; of predictions by clip id, as in `from_predictions`
        sample_weight : array, rows as in `y`, or None
        """
        check_is_fitted(self, "final_estimator_")
        adapted = copy.copy(self)
        vars(adapted).pop("join_", None)
        adapted.validation_scores_, adapted.final_estimator_ = (
            None,
            adapted_level1(self, X, y, sample_weight),
        )
        return adapted

    @property
    def verdict_(self) -> str:
        """One sentence: whether the stack beat the best base model and the mean on the meta-validation rows."""
        check_is_fitted(self, "final_estimator_")
        return self.final_estimator_.verdict_.sentence

    def predict_distribution(self, X) -> np.ndarray:
        """Distribution over the score bins around each prediction, shape (n, aspects, bins), last axis sums to 1."""
        asked = self._predicted(X)
        return self.final_estimator_.predict_distribution(*asked)

    def transform(self, X) -> np.ndarray | pd.DataFrame:
        """The feature table: one row per clip, columns such as ``mi__dora_s0__b07`` for every aspect side by side.

        A DataFrame indexed by ``clip_id`` where the rows are clips; for a matrix an array, or what `set_output` asks
        for. `fit_transform` is `fit`, then this: what the base models that stay say of the rows that they were fitted
        on, as in scikit-learn's stacks, and not the unseen predictions that the meta-learner was fitted on.
        """
        tables, ids = self._predicted(X)
        gaps = self.final_estimator_.accepts_missing
        features = pd.concat(
            [feature_table(tables, aspect, ids, gaps) for aspect in self.aspects_],
            axis=1,
        )
        return features.to_numpy() if hasattr(self, "n_features_in_") else features

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names of the columns of `transform`."""
        check_is_fitted(self, "final_estimator_")
        if hasattr(self, "n_features_in_"):
            _check_feature_names_in(self, input_features, generate_names=False)
        empty = self.final_estimator_.layout_.empty(self.aspects_)
        return np.concatenate(
            [feature_table(empty, aspect).columns for aspect in self.aspects_]
        ).astype(object)

    def prediction_tables(self, X) -> list[PredictionTable]:
        """What each fitted base model predicts for `X`, one table per model."""
        return self._predicted(X)[0]

    def save(self, folder: Path | str) -> None:
        """Write the stack and its base models to `folder`; no pickle.

        Raises
        ------
        UsageError
            when a base model or the final estimator is a scikit-learn estimator, which only pickle could store.
        """
        check_is_fitted(self, "final_estimator_")
        bases = {name: files_of(name, model) for name, model in self.estimators_}
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
        artifact, facts, regressor = read_stack(folder)
        bases = [
            (name, base_from(artifact, name, **overrides)) for name in facts["bases"]
        ]
        bins = regressor.layout_.bins
        learner, seed = regressor.new_learner(), regressor.random_state
        named = MetaRegressor(
            regressor.learner, seed
        ).new_learner()  # what its name alone would give
        final = (
            regressor.learner if named.get_params() == learner.get_params() else learner
        )
        self = cls(bases, final, "prefit", bins=bins, random_state=seed)
        self.estimators_, self.final_estimator_, self.bins_ = bases, regressor, bins
        self.aspects_, self._flat = regressor.aspects_, bool(facts.get("flat", False))
        self.validation_scores_, self.demo_ = None, bool(facts.get("demo", False))
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "final_estimator_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        given = self.estimators if isinstance(self.estimators, list) else []
        live = [m for _, m in given if not isinstance(m, str | PredictionTable)]
        tags.input_tags.allow_nan = bool(live) and all(
            get_tags(model).input_tags.allow_nan for model in live
        )
        return tags

    def _sk_visual_block_(self) -> _VisualBlock:
        given = self.estimators or []
        models = [
            f"{len(m)} predictions" if isinstance(m, PredictionTable) else m
            for _, m in given
        ]
        bases = _VisualBlock(
            "parallel", models, names=[name for name, _ in given], dash_wrapped=False
        )
        final = _VisualBlock(
            "parallel",
            [self.final_estimator],
            names=["final_estimator"],
            dash_wrapped=False,
        )
        return _VisualBlock(
            "serial", (bases, final) if given else (final,), dash_wrapped=False
        )

    def _predicted(self, X) -> tuple[list[PredictionTable], list[str]]:
        """Tables of the base models, and the ids of the rows of X."""
        check_is_fitted(self, "final_estimator_")
        if takes_predictions(self, X):
            tables = as_tables(own_columns(self, X), self.aspects_, self.bins_)
            return self.final_estimator_.layout_.align(
                tables, self.final_estimator_.accepts_missing
            ), ids_of(X, tables)
        X = self._validated(X, reset=False)
        rows = FitRows.of(X, pd.DataFrame(index=range(len(X))))
        missing = self.final_estimator_.accepts_missing
        tables = predict_bases(
            self.estimators_, rows, self.aspects_, self.bins_, missing
        )
        return tables, list(rows.ids)

    def _check_parameters(self) -> None:
        """Refuse what would only fail once the base models are fitted, which may take hours."""
        MetaRegressor(self.final_estimator).new_learner()
        is_split = self.validation is None or hasattr(self.validation, "split")
        if not is_split and not (is_share(self.validation) and 0 < self.validation < 1):
            raise UsageError(
                f"validation is a share between 0 and 1, a splitter, or None; got {self.validation}."
            )

    def _validated(self, X, reset: bool):
        if is_clips(X):
            if reset:  # an earlier fit may have been on a matrix
                for name in ("n_features_in_", "feature_names_in_"):
                    vars(self).pop(name, None)
            X = X if "clip_id" in X else X.assign(clip_id=X.index.astype(str))
            return X.reset_index(drop=True)
        if isinstance(
            X, pd.DataFrame
        ):  # stays one: base models may pick columns by name
            return validate_data(
                self, X, reset=reset, skip_check_array=True
            ).reset_index(drop=True)
        finite = "allow-nan" if get_tags(self).input_tags.allow_nan else True
        return validate_data(
            self,
            X,
            reset=reset,
            ensure_all_finite=finite,
            ensure_min_samples=2 if reset else 1,
        )

    def _named(self, X) -> list[tuple[str, Any]]:
        if self.estimators is None:
            return default_estimators(X, any(judged_by_text(self.aspects_)))
        named = [
            (name, model)
            for name, model in self.estimators
            if not (isinstance(model, str) and model == "drop")
        ]
        if not named:
            raise UsageError(
                "estimators is empty; a stack needs at least one base model."
            )
        names = [name for name, _ in named]
        self._validate_names(names)
        if {STACK, MEAN} & set(names):
            raise UsageError(
                f"No base model may be called '{STACK}' or '{MEAN}': both are rows of the leaderboard."
            )
        return [
            (name, replace(m, model=name) if isinstance(m, PredictionTable) else m)
            for name, m in named
        ]

    def _scale(self, named, rows: FitRows) -> ScoreBins:
        """The scale: that of `bins`, of the base models that have one, or of the labels."""
        if self.bins is not None:
            return self.bins
        given = [bins for _, model in named if (bins := scale_of(model)) is not None]
        return given[0] if given else rating_scale(rows.labels, is_clips(rows.X))
