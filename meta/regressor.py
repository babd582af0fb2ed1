"""MetaRegressor: one learner per aspect, from all base models' bins to a score.

Distributions and intervals around the score come from errors on clips that a learner
was not fitted on, see `meta.uncertainty.calibration`. The 60/40 only measures: the
learners that predict are fitted on all clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from base_models.errors import MISFITS, DamagedArtifact, UsageError, in_short, one_of
from base_models.predictions import PredictionTable
from meta.columns.feature_table import feature_array, layout_of
from meta.columns.missing_predictions import fill_missing
from meta.comparison.compared_rows import ComparedRows
from meta.comparison.held_out_trial import HeldOutTrial
from meta.comparison.pairs.overall_preference import error_correlations
from meta.cross_fit import CrossFit, out_of_fold_table
from meta.learners import LEARNERS
from meta.learners.base import Learner
from meta.learners.sklearn_learner import SklearnLearner, sklearn_regressor
from meta.regressor_calibration import calibrate_aspect
from meta.regressor_state import restore, restore_range, state_of
from meta.rows import Rows, equal_labels_warning
from meta.splits.held_out_rows import split_rows
from meta.splits.leak_audit import refuse_leaks
from meta.splits.meta_split import VALIDATION_SHARE, check_meta_rows
from meta.uncertainty.calibration import Calibration
from meta.uncertainty.clip_range import ClipRange, RangeCheck, mean_distances
from meta.uncertainty.clip_spread import spread_features
from meta.uncertainty.disagreement import Disagreement
from meta.uncertainty.system_error import SystemLevelError


class MetaRegressor(BaseEstimator):
    """Stacks the distributions of base models (DORA-MOS, section III.D).

    Each aspect is learnt by itself. `fit` fits the learners; `calibrate` learns how far
    off their scores are; `held_out_trial` measures such a stack on rows held out of it.

    Parameters
    ----------
    learner : name in `LEARNERS`, a `Learner` (whose own parameters stay), or a
        scikit-learn regressor or its class name (``"HuberRegressor"``); one per aspect
    random_state : int, seed of a named learner, of splits and of folds
    missing : what a named learner does with clips for which a base model has no
        prediction, see `meta.columns.missing_predictions.MISSING`

    Attributes
    ----------
    aspects_ : tuple of str
    layout_ : Layout, the base models in column order
    learners_ : list of fitted learners, one per aspect
    calibrations_ : list of Calibration, one per aspect, from `calibrate`; None before
        it, when distributions are Gaussians as wide as ``residual_sigma_``
    residual_sigma_ : float64 array of shape (aspects,), in score points: the RMS error
        of the scores in the cross-validation of `calibrate` (at least half a bin);
        before it, 0.35, as in DORA-MOS' code
    cross_fits_ : list of CrossFit, one per aspect: the learners of that
        cross-validation, and their scores of the rows left out; None before it
    system_errors_ : list of SystemLevelError, one per aspect, or None where unknown
    error_correlations_ : float64 array of shape (aspects, aspects), of the errors of
        aspects within clips, see `error_correlations`; from `calibrate`
    disagreements_ : list of Disagreement, one per aspect, see `learn_disagreement`
    range_ : ClipRange, how the clips of `fit` lie; None in stacks stored without
    fitted_on_ : tuple of str, ids of the clips that `fit` was given, in that order
    warnings_ : list of str, for people
    adaptation_ : tuple of `meta.adaptation.AspectAdaptation`, one per aspect; empty
        before `meta.adaptation.adapt`, and not saved
    """

    adaptation_: tuple[Any, ...] = ()

    def __init__(
        self,
        learner: str | Learner | BaseEstimator = "ridge",
        random_state: int = 0,
        missing: str = "refuse",
    ) -> None:
        self.learner = learner
        self.random_state = random_state
        self.missing = missing

    @property
    def accepts_missing(self) -> bool:
        """Whether clips may lack the prediction of a base model."""
        return self.new_learner().accepts_missing

    def fit(self, tables: Sequence[PredictionTable], rows: Rows) -> MetaRegressor:
        """Fit one learner per aspect on the rows that are labelled for it.

        Parameters
        ----------
        tables : predictions, one table per base model, none of which has seen the
            labels of these clips
        rows : the clips. Weights count in what learners fit and choose, and nowhere
            else: boards, calibrations and ``residual_sigma_`` count each clip of
            positive weight once. Learners keep `Rows.together` together in their inner
            folds

        Raises
        ------
        UsageError
            when a clip leaks, a label is off the scale, an aspect has no label, or as
            in `meta.columns.feature_table.feature_table`.
        """
        layout = layout_of(tables)
        rows.check_scale(layout.bins)
        # Inner folds are dealt by place: in id order they do not depend on the table.
        ordered = rows.in_id_order()
        refuse_leaks(tables, ordered.ids.tolist())

        learners = []
        warnings = []
        for k, aspect in enumerate(ordered.aspects):
            labelled = ordered.of_aspect(k)
            if not len(labelled):
                raise UsageError(
                    f"No clip has a label for aspect '{aspect}'; label some, or leave "
                    "the aspect out."
                )
            learner = self.new_learner()
            learner.fit(
                self._features(tables, labelled),
                labelled.labels[:, 0],
                layout,
                sample_weight=labelled.weights,
                groups=labelled.together,
            )
            learners.append(learner)
            # Where labels are all equal, what a learner warns of follows from that.
            equal_labels = equal_labels_warning(aspect, labelled.labels[:, 0])
            warnings += equal_labels or [
                f"{aspect}: {warning}" for warning in learner.warnings_
            ]

        # Set together at the end: a fit that fails leaves the regressor as it was.
        self.layout_ = layout
        self.aspects_ = rows.aspects
        self.learners_ = learners
        self.fitted_on_ = tuple(rows.ids)
        self.warnings_ = warnings
        self.residual_sigma_ = np.full(len(learners), layout.bins.soften_sigma)
        self.calibrations_: list[Calibration | None] = [None] * len(learners)
        self.cross_fits_: list[CrossFit | None] = [None] * len(learners)
        self.system_errors_: list[SystemLevelError | None] = [None] * len(learners)
        # Until they are known: what leaves an overall preference least sure.
        self.error_correlations_ = np.ones((len(learners), len(learners)))
        self.disagreements_ = [Disagreement.of(tables)] * len(learners)
        self.range_: ClipRange | None = ClipRange.fit(
            layout, tables, rows.aspects, ordered.usable().ids.tolist()
        )
        return self

    def calibrate(self, tables: Sequence[PredictionTable], rows: Rows) -> MetaRegressor:
        """Learn how far off the scores are, by cross-validation over labelled rows.

        All rows take part, aspect by aspect, since a held-out share of a small set is
        too few to tell the tails. Folds keep `Rows.together` together, so that
        intervals are about systems that nobody has rated, where clips name theirs.

        Parameters
        ----------
        tables, rows : those of `fit`

        Raises
        ------
        UsageError
            as in `check_rows`.
        """
        check_is_fitted(self, "learners_")
        self.check_rows(rows)
        ordered = rows.in_id_order()
        errors = [
            calibrate_aspect(self, tables, ordered.of_aspect(k), k)
            for k in range(len(self.aspects_))
        ]
        self.error_correlations_ = error_correlations(errors)
        return self

    def learn_disagreement(
        self,
        tables: Sequence[PredictionTable],
        rows: Rows,
        ratings: pd.DataFrame,
    ) -> MetaRegressor:
        """Calibrate how far single ratings lie apart on clips with single ratings.

        Nothing happens where no base model predicts single ratings, or too few clips
        have two of them; see `meta.uncertainty.disagreement.Disagreement.calibrated`.

        Parameters
        ----------
        tables, rows : those of `fit`
        ratings : see `base_models.clips.ratings.read_ratings`
        """
        check_is_fitted(self, "learners_")
        ids = rows.ids.tolist()
        self.disagreements_ = [
            known and known.calibrated(tables, ids, aspect, ratings)
            for aspect, known in zip(self.aspects_, self.disagreements_, strict=True)
        ]
        return self

    def check_rows(self, rows: Rows) -> None:
        """Refuse rows on which a stack cannot be measured.

        Raises
        ------
        UsageError
            when an aspect has fewer than 5 labels, or some labelled clips name a system
            and others none.
        """
        rows.check_systems()
        for k, aspect in enumerate(rows.aspects):
            check_meta_rows(rows.of_aspect(k), f"clips labelled for aspect '{aspect}'")

    def held_out_trial(
        self,
        tables: Sequence[PredictionTable],
        rows: Rows,
        validation: float | tuple[np.ndarray, np.ndarray] = VALIDATION_SHARE,
    ) -> HeldOutTrial:
        """Fit a clone on some of the rows and compare it on both sides of the split.

        This regressor stays as it is.

        Parameters
        ----------
        tables, rows : see `fit`; rows without any label are left out
        validation : share of the rows held out, or two arrays of places in `rows`, to
            fit on and to measure on, see `meta.splits.held_out_rows.split_rows`. Groups
            stay on one side; without groups, systems may lie on both

        Raises
        ------
        UsageError
            as `fit` and `check_rows`, or when one side is empty.
        """
        rows.check_scale(layout_of(tables).bins)
        self.check_rows(rows)
        training, held_out = split_rows(rows, validation, self.random_state)

        # Settings are chosen anew on the training side, as they will be on all rows.
        trial: MetaRegressor = clone(self)
        trial.fit(tables, training)
        compared = []
        for side in (training, held_out):
            stack_scores = trial.predict(tables, side.ids.tolist())
            compared.append(
                ComparedRows.of(
                    tables, side, stack_scores, constant=training.mean_labels
                )
            )
        return HeldOutTrial(
            regressor=trial,
            training=compared[0],
            validation=compared[1],
            tables=tuple(tables),
        )

    def predict(
        self, tables: Sequence[PredictionTable], clip_ids: Sequence[str] | None = None
    ) -> np.ndarray:
        """Stacked scores, clipped to the scale.

        Parameters
        ----------
        tables : predictions of at least the models present at `fit`, in any order
        clip_ids : n ids, the row order; None takes that of the first table

        Returns
        -------
        scores : float64 array of shape (n, aspects), columns as in ``aspects_``

        Raises
        ------
        UsageError
            when a model, a clip or an aspect is missing, a model's scale changed, or
            the learner gives a score that is not finite.
        """
        check_is_fitted(self, "learners_")
        clip_ids = _order_of(tables, clip_ids)
        gaps = self.accepts_missing
        aligned = self.layout_.align(tables, gaps)
        columns = []
        for k, aspect in enumerate(self.aspects_):
            features = feature_array(aligned, aspect, clip_ids, gaps=gaps)
            columns.append(self._predict_aspect(k, features, clip_ids))
        # A linear learner may leave the scale, on which no rating ever lies.
        scores = np.column_stack(columns)
        # Infinity, cut to the scale, would be its best or its worst score.
        if not np.isfinite(scores).all():
            row, k = np.argwhere(~np.isfinite(scores))[0]
            raise UsageError(
                f"The learner gave NaN or infinity as {self.aspects_[k]} of clip "
                f"'{clip_ids[row]}'; fit the stack again, or with another learner."
            )
        return np.clip(scores, self.layout_.bins.low, self.layout_.bins.high)

    def predict_distribution(
        self, tables: Sequence[PredictionTable], clip_ids: Sequence[str] | None = None
    ) -> np.ndarray:
        """Distributions around `predict`, as `Calibration.distribution` makes them.

        Returns
        -------
        distributions : float64 array of shape (n, aspects, bins), last axis sums to 1.
            Their plain mean is the score, where an end of the scale is not too near for
            that and scores are right on average (see `Calibration.expected`); without a
            calibration ``layout_.bins.decode(distributions[:, k], residual_sigma_[k])``
            is the score
        """
        scores = self.predict(tables, clip_ids)
        scales = self.error_scales(tables, clip_ids, scores)
        bins = self.layout_.bins
        columns = []
        for k, calibration in enumerate(self.calibrations_):
            if calibration is None:
                # The kernel with which these are decoded is one for all clips.
                columns.append(bins.soften(scores[:, k], self.residual_sigma_[k]))
            else:
                columns.append(calibration.distribution(scores[:, k], scales[:, k]))
        return np.stack(columns, axis=1)

    def predict_interval(
        self,
        tables: Sequence[PredictionTable],
        clip_ids: Sequence[str] | None = None,
        level: float = 0.9,
        system_ids: Sequence[str] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Interval around each score that holds a share `level` of ratings.

        It holds the score itself too, which a low level's alone need not when scores
        are off on average. The bounds are not quantiles of `predict_distribution`: a
        distribution over bins has no mass on an end of the scale itself, and ratings
        pile up there. Before `calibrate` they are Gaussian, ``score ± z *
        residual_sigma_``. After it they follow errors on systems (or groups) left out,
        where clips name theirs: the share holds for systems that nobody has rated as
        far as those at hand stand for them, and is exceeded for systems among them.
        Their width follows the clip, see `error_scales`.

        Parameters
        ----------
        tables, clip_ids : see `predict`
        level : float in (0, 1), share of ratings that the interval should hold
        system_ids : n names; systems with enough clips at `calibrate` get bounds of
            their own. None does without

        Returns
        -------
        low, high : float64 arrays of shape (n, aspects), on the scale

        Raises
        ------
        UsageError
            when `level` is not between 0 and 1, and as `predict`.
        """
        if not 0 < level < 1:
            raise UsageError(
                f"The interval's level must lie between 0 and 1; got {level}."
            )
        scores = self.predict(tables, clip_ids)
        bins = self.layout_.bins
        # Gaussian bounds first, replaced aspect by aspect where there is more to know.
        scales = self.error_scales(tables, clip_ids, scores)
        reach = stats.norm.ppf((1 + level) / 2) * self.residual_sigma_ * scales
        low = np.clip(scores - reach, bins.low, bins.high)
        high = np.clip(scores + reach, bins.low, bins.high)
        for k, calibration in enumerate(self.calibrations_):
            if calibration is not None:
                low[:, k], high[:, k] = calibration.interval(
                    scores[:, k], level, system_ids, scales[:, k]
                )
        return np.minimum(low, scores), np.maximum(high, scores)

    def check_range(
        self, tables: Sequence[PredictionTable], clip_ids: Sequence[str] | None = None
    ) -> RangeCheck | None:
        """Whether clips lie outside of what the stack has learnt from.

        Parameters
        ----------
        tables, clip_ids : see `predict`

        Returns
        -------
        check : RangeCheck, or None where nothing tells: the stack was stored before
            there was such a check, or has one base model that reads no clips
        """
        check_is_fitted(self, "learners_")
        if self.range_ is None:
            return None
        clip_ids = _order_of(tables, clip_ids)
        return self.range_.check(self.layout_, tables, self.aspects_, clip_ids)

    def error_scales(
        self,
        tables: Sequence[PredictionTable],
        clip_ids: Sequence[str] | None = None,
        scores: np.ndarray | None = None,
    ) -> np.ndarray:
        """How far off each score may be, relative to that of a typical clip.

        Parameters
        ----------
        tables, clip_ids : see `predict`
        scores : array of shape (n, aspects), what `predict` returned, or None

        Returns
        -------
        scales : float64 array of shape (n, aspects). After `calibrate` they follow the
            features of `meta.uncertainty.clip_spread`, where that was found to hold on
            clips left out; those of clips that are out of range are larger than
            that of a typical clip by at least `RangeCheck.widening`
        """
        clip_ids = _order_of(tables, clip_ids)
        if scores is None:
            scores = self.predict(tables, clip_ids)
        check = self.check_range(tables, clip_ids)
        scales = np.ones_like(scores)
        for k, calibration in enumerate(self.calibrations_):
            if calibration is not None and calibration.spread is not None:
                features = self.spread_features(tables, clip_ids, k, scores[:, k])
                scales[:, k] = calibration.scales(features)
        if check is not None:
            # What the scale follows was learnt on other clips: it may widen the
            # interval of a marked one, but must not make up for the widening.
            marked = check.out_of_range[:, None]
            scales = np.where(marked, np.maximum(scales, 1), scales)
            scales *= check.widening[:, None]
        return scales

    def spread_features(
        self,
        tables: Sequence[PredictionTable],
        clip_ids: Sequence[str],
        k: int,
        scores: np.ndarray,
    ) -> np.ndarray:
        """What the spread of errors of aspect `k` may follow, clip by clip.

        Parameters
        ----------
        tables : see `predict`
        clip_ids : n ids
        k : number of the aspect
        scores : array of shape (n,), of these clips

        Returns
        -------
        features : see `meta.uncertainty.clip_spread.spread_features`. The distance is
            that of embeddings: how predictions differ is told by the disagreement
        """
        aligned = self.layout_.align(tables, gaps=True)
        X = feature_array(aligned, self.aspects_[k], clip_ids, gaps=True)
        return spread_features(
            np.clip(scores, self.layout_.bins.low, self.layout_.bins.high),
            self.layout_.scores(fill_missing(self.layout_, X, "pool")),
            mean_distances(aligned, clip_ids),
            self.layout_.bins,
        )

    def predict_disagreement(
        self, tables: Sequence[PredictionTable], clip_ids: Sequence[str] | None = None
    ) -> np.ndarray:
        """Standard deviation of the single ratings of each clip, in score points.

        Returns
        -------
        deviations : float64 array of shape (n, aspects), NaN where no base model
            predicts the single ratings of the aspect or of the clip

        Raises
        ------
        UsageError
            when no base model learns from single ratings.
        """
        check_is_fitted(self, "learners_")
        if not any(self.disagreements_):
            raise UsageError(
                "No base model of this stack learns from single ratings, so none "
                "predicts their disagreement; add dora_raters or dora_beta."
            )
        clip_ids = _order_of(tables, clip_ids)
        deviations = np.full((len(clip_ids), len(self.aspects_)), np.nan)
        for k, known in enumerate(self.disagreements_):
            if known is not None:
                deviations[:, k] = known.predict(tables, clip_ids, self.aspects_[k])
        return deviations

    def describe(self) -> dict[str, dict[str, Any]]:
        """Facts about the learner of each aspect, for a report."""
        check_is_fitted(self, "learners_")
        return {
            aspect: learner.describe()
            for aspect, learner in zip(self.aspects_, self.learners_, strict=True)
        }

    @property
    def out_of_fold_(self) -> pd.DataFrame:
        """Scores of the rows of `calibrate` by learners that had not seen their group.

        Returns
        -------
        scores : DataFrame indexed by clip id (``clip_id``), one column per aspect, on
            the scale of the bins; NaN where a row is not labelled for an aspect. Empty
            before `calibrate`
        """
        check_is_fitted(self, "learners_")
        known = dict(zip(self.aspects_, self.cross_fits_, strict=True))
        return out_of_fold_table(known, self.fitted_on_, self.layout_.bins)

    @property
    def sklearn_estimators(self) -> list[Any]:
        """The fitted scikit-learn regressor of each aspect; empty for own learners."""
        return [
            learner.estimator_
            for learner in self.learners_
            if isinstance(learner, SklearnLearner)
        ]

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What `from_state` needs: facts for JSON, and named arrays.

        It needs `sklearn_estimators` too, which the caller stores.

        Raises
        ------
        UsageError
            when the learner is of a class that is not in `LEARNERS`.
        """
        check_is_fitted(self, "learners_")
        return state_of(self)

    @classmethod
    def from_state(
        cls,
        facts: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        estimators: Sequence[Any] = (),
    ) -> MetaRegressor:
        """A fitted regressor that predicts what the saved one did, bit for bit.

        Parameters
        ----------
        facts, arrays : what `state` returned
        estimators : `sklearn_estimators` of the saved one

        Raises
        ------
        DamagedArtifact
            when a fact or array is missing or does not fit the others.
        """
        # Whatever is wrong inside, a reader needs to know one thing: it is damaged.
        try:
            model = cls(facts["learner"], int(facts["random_state"]), facts["missing"])
            restore(model, facts, arrays, estimators)
            restore_range(model, facts, arrays)
            return model
        except MISFITS as error:
            raise DamagedArtifact(
                f"The stored stack is damaged ({in_short(error)})."
            ) from error

    def new_learner(self) -> Learner:
        """An unfitted learner, as each aspect gets one.

        Raises
        ------
        UsageError
            when the name is unknown.
        """
        if isinstance(self.learner, Learner):
            return clone(self.learner)
        if isinstance(self.learner, BaseEstimator):
            return SklearnLearner(self.learner, self.missing)
        # Class names of scikit-learn start with a capital, names of learners do not.
        if isinstance(self.learner, str) and self.learner[:1].isupper():
            return SklearnLearner(sklearn_regressor(self.learner), self.missing)

        learner = LEARNERS[one_of(self.learner, LEARNERS, "learner")]()
        given = {"random_state": self.random_state, "missing": self.missing}
        known = learner.get_params().keys()
        return learner.set_params(
            **{name: value for name, value in given.items() if name in known}
        )

    def _predict_aspect(
        self, k: int, features: np.ndarray, clip_ids: Sequence[str]
    ) -> np.ndarray:
        """Unclipped scores of one aspect."""
        return self.learners_[k].predict(features)

    def _features(self, tables: Sequence[PredictionTable], rows: Rows) -> np.ndarray:
        """Feature array of the rows of a single aspect."""
        return feature_array(
            tables, rows.aspects[0], rows.ids.tolist(), gaps=self.accepts_missing
        )


def _order_of(
    tables: Sequence[PredictionTable], clip_ids: Sequence[str] | None
) -> list[str]:
    """The ids that are asked for, or those of the first table."""
    if clip_ids is None:
        clip_ids = tables[0].clip_ids if len(tables) else ()
    return list(clip_ids)
