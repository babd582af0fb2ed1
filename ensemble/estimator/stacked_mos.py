"""StackedMOS: base models and a meta-learner as one scikit-learn estimator.

Base models predict clips that they were not trained on, and the meta-learner is fitted
on those predictions; ``cv`` says how they are made. Of prefit models, `NeuralMOS` and
prediction tables alone carry the ids of their training clips, which are refused in a
fit; others cannot be checked, and the log names them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import MultiOutputMixin, RegressorMixin, TransformerMixin
from sklearn.utils.metadata_routing import MetadataRouter
from sklearn.utils.validation import check_is_fitted

from base_models.bins import ScoreBins
from base_models.clips.labels import as_labels, check_labels, text_gaps
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError
from base_models.scales import Ends, Scale
from ensemble.estimator.base_model_list import (
    all_take_nan,
    diagram_of,
    named_base_models,
    stack_scale,
)
from ensemble.estimator.comparison import ComparisonMixin
from ensemble.estimator.fit_base_models import BaseModelFits
from ensemble.estimator.input_rows import (
    Input,
    is_clips,
    rows_of,
    validated_input,
)
from ensemble.estimator.leaks.base_models import check_fitted, check_no_labels
from ensemble.estimator.measure_stack import (
    learn_disagreement,
    report_of,
    trial_with_base_models,
)
from ensemble.estimator.metadata_routing import metadata_of, router_of
from ensemble.estimator.predict_base_models import judged_by_prompt
from ensemble.estimator.predicting.prediction_mixin import PredictionMixin
from ensemble.estimator.prediction_inputs import Labels, Predictions, joined_inputs
from ensemble.estimator.row_splits import check_validation, is_prefit, plan_splits
from ensemble.estimator.rows_to_predict import rows_to_adapt, tables_and_ids
from ensemble.estimator.sklearn_compat import (
    BaseComposition,
    VisualBlock,
    check_feature_names_in,
)
from ensemble.estimator.stored_stack import StoredStackMixin
from ensemble.prediction_files.stack_scales import StackScales
from meta.adaptation import adapt
from meta.assessment import INTERVAL_LEVEL, RIVALS
from meta.columns.feature_table import feature_table
from meta.comparison.held_out_trial import HeldOutTrial
from meta.learners import USUAL_LEARNER
from meta.predicted_rows import PredictedRows
from meta.regressor import MetaRegressor
from meta.splits.meta_split import VALIDATION_SHARE

if TYPE_CHECKING:
    from ensemble.reporting.report import Report


class StackedMOS(
    ComparisonMixin,
    PredictionMixin,
    StoredStackMixin,
    MultiOutputMixin,
    RegressorMixin,
    TransformerMixin,
    BaseComposition,
):
    """Stack of base models that predicts mean opinion scores (DORA-MOS, section III.D).

    Parameters
    ----------
    estimators : list of (name, base model), each a `NeuralMOS` or `PooledMOS`; any
        scikit-learn regressor, whose scores are softened; a classifier of whole
        ratings, to which labels are rounded; a `PredictionTable`, looked up by clip id;
        or ``"drop"``. None takes the paper's nine for a clip table, and a ridge and a
        tree for a matrix; ``"small"`` those for less than 500 rated clips, over every
        encoder at hand (`ensemble.model_set` names encoders)
    final_estimator : name of a learner (``"ridge"``, ``"lightgbm"``, ``"mean"`` …), a
        `meta.learners.base.Learner`, or a scikit-learn regressor; None is ``"stack"``
    cv : how base predictions for the meta level are made: int folds, one hold-out
        fraction (base models stay as fitted on the rest), a splitter, an iterable of
        (train, test) rows, or ``"prefit"``, for base models that have not seen the rows
        of `fit` (verified where they list their clips; the log names those taken on
        trust). Rows that no split predicts are left out of the meta level
    validation : how a first fit is measured, before all rows are fitted on: share of
        the rows, stratified by system and score, or a splitter, whose last split
        counts; None measures nothing. Base models are fitted once more without these
        rows, but not where `cv` is an iterable of splits, whose leaderboard is
        therefore optimistic: folds may have seen labels of the rows that measure
    bins : ScoreBins, the rating scale; None takes that of prefit base models, else
        1..5, or what the labels span where X is a matrix with labels off it (logged)
    n_jobs, random_state : processes that fit base models (see joblib), and the seed of
        folds, hold-outs and the learner
    missing : where a base model has no prediction for a clip, ``"refuse"`` it or fill
        it from the others, ``"pool"``; a `Learner` as `final_estimator` has its own

    Attributes
    ----------
    aspects_ : tuple of str
    bins_ : ScoreBins, the scale; nothing outside of it is predicted
    scales_ : StackScales, of base models that predict on scales of their own, and of
        the labels where ``fit_meta`` mapped them onto `bins_`
    estimators_ : list of (name, fitted estimator)
    final_estimator_ : MetaRegressor
    trial_ : HeldOutTrial, a stack compared on rows held out of it, or None
    validation_scores_, verdict_ : its leaderboard on the held-out rows, or None, and
        whether the stack beat the best base model and the mean on them
    meta_rows_ : PredictedRows, what the meta level was fitted on; not saved
    report_ : `ensemble.reporting.report.Report`, after `assess`
    join_ : `ensemble.estimator.prediction_inputs.Join`, after `from_predictions`

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
        estimators: list[tuple[str, Any]] | str | None = None,
        final_estimator: Any = None,
        cv: Any = 5,
        validation: Any = VALIDATION_SHARE,
        bins: ScoreBins | None = None,
        n_jobs: int | None = None,
        random_state: int = 0,
        missing: str = "refuse",
    ) -> None:
        self.estimators = estimators
        self.final_estimator = final_estimator
        self.cv = cv
        self.validation = validation
        self.bins = bins
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.missing = missing

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, with those of the base models as ``name__parameter``."""
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> StackedMOS:
        """Set parameters; ``name=model`` replaces a base model, ``name__x`` its x."""
        return self._set_params("estimators", **params)

    def get_metadata_routing(self) -> MetadataRouter:
        """Who may ask for metadata of `fit`."""
        return router_of(self)

    def fit(
        self,
        X: Input,
        y: ArrayLike | pd.DataFrame,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        **fit_params: Any,
    ) -> StackedMOS:
        """Fit base models and the meta-learner.

        Parameters
        ----------
        X : clip table (a DataFrame with ``audio`` or ``clip_id``), or matrix
        y : array or DataFrame of shape (n,) or (n, aspects), on the scale; NaN is
            unlabelled, as are clips without a prompt for aspects judged against it
        sample_weight : array of shape (n,) for base models and the final estimator, or
            None; weight 0 leaves a row out. A base model without weights is refused
        groups : array of shape (n,), kept together in folds and in the meta-validation
            split, or None
        fit_params : other metadata, with scikit-learn's metadata routing enabled

        Raises
        ------
        UsageError
            when labels are off the scale, rows leak, or there are too few of them.
        """
        # A fit that fails leaves nothing to predict with, and nothing of an older one.
        for name in ("final_estimator_", "join_", "report_", "stored_"):
            self.__dict__.pop(name, None)
        self._check_parameters()
        if y is None:
            raise UsageError(
                "StackedMOS requires y to be passed, but the target y is None."
            )

        # The rows, their scale, and who gets which metadata.
        X = validated_input(self, X, reset=True)
        labels = as_labels(y, len(X))
        self.aspects_ = tuple(labels.columns)
        self._flat = np.asarray(y).ndim == 1
        named = named_base_models(
            self.estimators, X, self.aspects_, check_names=self._validate_names
        )
        # Nothing may learn or be judged by what a clip without a prompt was given.
        models = [model for _, model in named]
        labels = labels.mask(text_gaps(X, judged_by_prompt(models, self.aspects_)))
        rows = rows_of(X, labels, sample_weight, groups)
        usable = rows.usable()
        self.bins_ = stack_scale(self.bins, named, usable.labels, is_clips(X))
        names = [name for name, _ in named]
        scales = StackScales(Scale.of(self.bins_))
        self.scales_ = scales.for_models(names, self.aspects_)
        check_labels(labels, self.bins_, rows.ids.tolist() if is_clips(X) else None)
        metadata = metadata_of(self, named, rows, fit_params)
        splits = plan_splits(
            rows, self.cv, self.validation, metadata, self.random_state
        )

        # Base models, and their predictions for rows that they have not seen.
        regressor = self._new_regressor()
        fits = BaseModelFits(
            named=named,
            X=X,
            rows=usable,
            metadata=metadata,
            bins=self.bins_,
            missing=regressor.accepts_missing,
            memory=EmbeddingStore(),
            n_jobs=self.n_jobs,
        )
        check_fitted(named, self.cv, rows)
        if is_prefit(self.cv):
            self.estimators_ = named
            tables = fits.predictions(named, splits.meta_places)
        else:
            self.estimators_, tables = fits.unseen_predictions(
                splits.folds, splits.keeps_first
            )

        # The meta level: measured on rows held out of it, then fitted on all.
        if "sample_weight" not in metadata["final_estimator"]:
            usable = usable.without_weights()
        meta_rows = usable.take(splits.meta_places)
        check_no_labels(named, tables, meta_rows)
        self.trial_: HeldOutTrial | None = None
        if splits.trial is not None:
            self.trial_ = trial_with_base_models(
                fits, self._new_regressor(), splits.trial, usable
            )
        elif splits.validation is not None:
            self.trial_ = regressor.held_out_trial(tables, meta_rows, splits.validation)
        regressor.fit(tables, meta_rows)
        if self.trial_ is not None:
            regressor.calibrate(tables, meta_rows)
        self.meta_rows_ = PredictedRows(meta_rows, tuple(tables))
        self.final_estimator_ = regressor
        return self

    @classmethod
    def from_predictions(
        cls,
        predictions: Predictions,
        y: Labels,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        scales: Mapping[str, Ends] | None = None,
        **parameters: Any,
    ) -> StackedMOS:
        """A stack fitted on predictions alone, which predicts from new ones.

        Parameters
        ----------
        predictions : list of PredictionTables, or a DataFrame of scores, one column per
            base model, with clip ids in ``clip_id`` or the index. No base model may
            have seen the labels of these clips
        y : labels by clip id: a Series, a DataFrame with one column per aspect (and
            ``system_id``, if known), or an array in the order of `predictions`
        sample_weight, groups : arrays, rows as in `y`, see `fit`
        scales : lowest and highest score of base models in a frame that predict on
            another scale than ``bins``, as ``{"audiobox": (1, 10)}``; scores are mapped
            by a straight line, and those of new clips as well
        parameters : of `StackedMOS`, but for ``estimators`` and ``cv``

        Raises
        ------
        UsageError
            when no clip joins, a base model has no prediction for one that does and the
            final estimator needs it, or most scores of one lie off its scale.

        Examples
        --------
        >>> clips = list("uvwxyz")
        >>> a = [1.0, 2, 3, 4, 5, 4]
        >>> b = [1.5, 2, 2.5, 4, 4.5, 3]
        >>> scores = pd.DataFrame({"a": a, "b": b}, index=clips)
        >>> mos = pd.Series([1, 2, 3, 4, 5, 3.0], index=clips[::-1])
        >>> stack = StackedMOS.from_predictions(scores, mos)
        >>> stack.predict(scores[:2]).shape, stack.join_.without_label
        ((2,), ())
        """
        inputs = joined_inputs(
            predictions,
            y,
            sample_weight=sample_weight,
            groups=groups,
            bins=parameters.get("bins"),
            scales=scales,
        )
        stack = cls(inputs.estimators, cv="prefit", **parameters)
        stack.fit(
            inputs.clips,
            inputs.labels,
            sample_weight=inputs.rows.weights,
            groups=inputs.rows.groups,
        )
        stack.join_ = inputs.join
        stack.scales_ = StackScales(Scale.of(stack.bins_), predictors=inputs.predictors)
        return stack

    def learn_disagreement(self, ratings: pd.DataFrame) -> StackedMOS:
        """Calibrate the predicted disagreement of raters by single ratings.

        The clips are those that the meta level was fitted on; a base model must learn
        from single ratings.

        Parameters
        ----------
        ratings : see `base_models.clips.ratings.read_ratings`; ratings of other clips
            are not read

        Raises
        ------
        UsageError
            when a rating is off the scale, or the stack was loaded from a folder.
        """
        check_is_fitted(self, "final_estimator_")
        learn_disagreement(self, ratings)
        return self

    def transform(self, X: Input | Predictions) -> np.ndarray | pd.DataFrame:
        """The feature table: what the meta-learner sees, all aspects side by side.

        One row per clip, columns such as ``mi__dora_s0__b07``. `fit_transform` is
        `fit`, then this: as in scikit-learn's stacks it holds what the base models that
        stay predict for the rows that they were fitted on, not the unseen predictions
        that the meta-learner was fitted on. Of a clip without a prompt, the columns of
        the aspects that need one are about a placeholder.

        Returns
        -------
        features : DataFrame indexed by ``clip_id`` where the rows are clips; for a
            matrix an array, or what `set_output` asks for
        """
        tables, ids = tables_and_ids(self, X)
        gaps = self.final_estimator_.accepts_missing
        # A matrix has no clip ids to index by, and scikit-learn expects an array.
        features = pd.concat(
            [feature_table(tables, aspect, ids, gaps) for aspect in self.aspects_],
            axis=1,
        )
        return features.to_numpy() if hasattr(self, "n_features_in_") else features

    def get_feature_names_out(
        self, input_features: Sequence[str] | None = None
    ) -> np.ndarray:
        """Names of the columns of `transform`."""
        check_is_fitted(self, "final_estimator_")
        if hasattr(self, "n_features_in_"):
            check_feature_names_in(self, input_features, generate_names=False)
        no_clips = self.final_estimator_.layout_.empty(self.aspects_)
        names = [feature_table(no_clips, aspect).columns for aspect in self.aspects_]
        return np.concatenate(names).astype(object)

    @property
    def validation_scores_(self) -> pd.DataFrame | None:
        """Leaderboard on the rows held out of the trial, or None without a trial."""
        check_is_fitted(self, "final_estimator_")
        return None if self.trial_ is None else self.trial_.board

    @property
    def verdict_(self) -> str:
        """Whether the stack beat its base models, their mean and a constant.

        What can be said comes first, then what these rows cannot show.

        Raises
        ------
        AttributeError
            when nothing was held out to compare on.
        """
        check_is_fitted(self, "final_estimator_")
        if self.trial_ is None:
            raise AttributeError(
                "verdict_ needs meta-validation rows: fit with a validation share."
            )
        return self.trial_.verdict.text

    def assess(
        self,
        judges: Mapping[str, Any] | None = None,
        *,
        ratings: pd.DataFrame | None = None,
        contents: Mapping[str, str] | None = None,
        level: float = INTERVAL_LEVEL,
        rivals: Sequence[str] = RIVALS,
    ) -> Report:
        """Measure the stack on every row that it was not fitted on, for a report.

        Parameters
        ----------
        judges : name to labelled rows that no fit has seen, ``(X, y)`` as in `predict`
            and `fit`, or `PredictedRows`. The verdict is about the first of them, or
            about the held-out rows of the fit; ``"test"`` is listed clip by clip
        ratings : single ratings of these clips, for the noise ceiling, see
            `base_models.clips.ratings.read_ratings`
        contents : clip id to a name of its recording, see `Recordings.contents`
        level : nominal coverage of the predicted intervals
        rivals : names of learners to put beside the stack's

        Returns
        -------
        report : also ``report_``; ``assessment`` has the tables, ``write`` makes files

        Raises
        ------
        UsageError
            when the stack was not measured at `fit`, or was loaded from a folder.
        """
        check_is_fitted(self, "final_estimator_")
        self.report_ = report_of(
            self,
            judges or {},
            ratings=ratings,
            contents=contents,
            level=level,
            rivals=rivals,
        )
        return self.report_

    def adapt(
        self,
        X: Input | Predictions,
        y: Labels,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        safe: bool = True,
    ) -> StackedMOS:
        """A stack whose meta level has also learnt from rated clips of a new corpus.

        The clips are of a new corpus; this stack stays as it is, and base models are
        shared. What is kept is decided per aspect (`meta.adaptation.adapt`), and told
        by ``final_estimator_.adaptation_``. Nothing was held out of the new stack, so
        it has no ``validation_scores_`` and no verdict.

        Parameters
        ----------
        X : as in `predict`
        y : labels on the scale, NaN where unlabelled, as in `fit`; of predictions by
            clip id, as in `from_predictions`
        sample_weight, groups, safe : see `meta.adaptation.adapt`; rows as in `y`

        Raises
        ------
        UsageError
            when the labels are of other aspects, or as in `meta.adaptation.adapt`.
        """
        check_is_fitted(self, "final_estimator_")
        new = rows_to_adapt(self, X, y, sample_weight, groups=groups)

        # A shallow copy shares the base models; what belongs to the old fit goes.
        adapted = copy.copy(self)
        for name in ("join_", "meta_rows_", "report_", "stored_"):
            adapted.__dict__.pop(name, None)
        adapted.trial_ = None
        old = self.final_estimator_
        adapted.final_estimator_ = adapt(old, new.tables, new.rows, safe=safe)
        return adapted

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "final_estimator_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = all_take_nan(self.estimators)
        return tags

    def _sk_visual_block_(self) -> VisualBlock:
        return diagram_of(self.estimators, self.final_estimator)

    def _new_regressor(self) -> MetaRegressor:
        given = self.final_estimator
        learner = USUAL_LEARNER if given is None else given
        return MetaRegressor(learner, self.random_state, self.missing)

    def _check_parameters(self) -> None:
        """Refuse what would fail only after base models were fitted for hours."""
        if self.final_estimator is not None:
            self._new_regressor().new_learner()
        check_validation(self.validation)
