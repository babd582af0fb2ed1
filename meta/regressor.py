"""MetaRegressor: one learner per aspect, from the bins of all base models to a score and a distribution.

Distributions and intervals around the stacked score come from the errors on clips that a learner was not fitted on; see
`meta.calibration`. The trap: splits measure, and nothing else; the learners that predict are fitted anew on all clips,
by the same procedure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from base_models.errors import DamagedArtifact, UsageError, one_of
from base_models.predictions import PredictionTable
from meta.adaptation import adapt
from meta.calibration import Calibration
from meta.features import Layout, feature_array, layout_of, refuse_leaks
from meta.judged import Judged
from meta.learner import Learner, out_of_fold
from meta.learners import LEARNERS
from meta.rows import inner_groups, labelled_rows
from meta.split import check_meta_rows, count_groups, meta_folds, meta_split
from meta.verdict import Verdict
from meta.wrapped import Wrapped, sklearn_regressor


class MetaRegressor(BaseEstimator):
    """Stacks the distributions of base models (DORA-MOS, section III.D), each aspect by itself.

    Parameters
    ----------
    learner : name in `LEARNERS`, a `Learner` (its own parameters stay as they are), or a scikit-learn regressor, by
        instance or class name (``"HuberRegressor"``); cloned per aspect. A regressor of scikit-learn cannot be saved
    random_state : int, seed of a named learner, of the meta-validation split and of the folds
    missing : what a named learner does with clips for which a base model has no prediction, see `meta.missing.MISSING`

    Attributes
    ----------
    aspects_ : tuple of str, the columns of y
    layout_ : Layout, the base models in column order
    learners_ : list of fitted learners, one per aspect
    calibrations_ : list of Calibration, one per aspect, learnt by `validate` in 5-fold cross-validation over all
        labelled clips; None after `fit` alone, where distributions are Gaussians as wide as ``residual_sigma_``
    residual_sigma_ : float64 array of shape (aspects,), in score points: the RMS error of the scores in the same
        cross-validation (at least half a bin), 0.35 (the paper's softening) where there is none
    validation_ : dict of ``"meta-training"`` and ``"meta-validation"`` to `Judged`, what the trial learner of
        `validate` and the base models said of the rows that it was fitted on and of those that it was not; not saved
    fitted_on_ : tuple of str, ids of the clips that `fit` was given
    warnings_ : list of str, for people
    """

    def __init__(self, learner="ridge", random_state: int = 0, missing: str = "refuse"):
        self.learner = learner
        self.random_state = random_state
        self.missing = missing

    @property
    def accepts_missing(self) -> bool:
        """Whether clips may lack the prediction of a base model."""
        return self.new_learner().accepts_missing

    def fit(
        self,
        tables: Sequence[PredictionTable],
        y,
        clip_ids: Sequence[str] | None = None,
        aspects: Sequence[str] | None = None,
        sample_weight=None,
        groups: Sequence[str] | None = None,
        system_ids: Sequence[str] | None = None,
    ) -> MetaRegressor:
        """Fit one learner per aspect on its labelled rows.

        Parameters
        ----------
        tables : predictions, one table per base model, none of which has seen these clips' labels
        y : array of shape (n, aspects), on the scale; NaN where unlabelled
        clip_ids : n ids, the rows of y; None takes those of the first table
        aspects : names of y's columns; None takes those of the first table
        sample_weight : array of shape (n,), or None
        groups : n names whose rows a learner keeps together in its inner folds; None takes the systems, where all clips
            name theirs
        system_ids : n system names, or None

        Raises
        ------
        UsageError
            when a clip leaks, the shapes disagree, a label is off the scale, an aspect has no label, or as in
            `meta.features.feature_table`.
        """
        layout = layout_of(tables)
        clip_ids, aspects, y = labelled_rows(tables, y, clip_ids, aspects)
        refuse_leaks(tables, clip_ids)
        given = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        weights = np.ones(len(y)) if given is None else given
        if weights.shape != (len(y),):
            raise UsageError(f"{len(y)} clips need as many sample weights; got shape {weights.shape}.")
        groups = inner_groups(groups, system_ids)
        learners = []
        for k, aspect in enumerate(aspects):
            kept = ~np.isnan(y[:, k]) & (weights > 0)
            if not kept.any():
                raise UsageError(f"No clip has a label for aspect '{aspect}'; label some, or leave the aspect out.")
            learner = self.new_learner()
            X = feature_array(tables, aspect, clip_ids, learner.accepts_missing)[kept]
            weight, together = (None if part is None else part[kept] for part in (given, groups))
            learners.append(learner.fit(X, y[kept, k], layout, weight, together))
        self.layout_, self.aspects_, self.learners_ = layout, aspects, learners
        self.fitted_on_ = tuple(clip_ids)
        self.residual_sigma_ = np.full(len(aspects), layout.bins.soften_sigma)
        self.calibrations_ = [None] * len(aspects)
        self.warnings_ = [f"{a}: {w}" for a, fitted in zip(aspects, learners, strict=True) for w in fitted.warnings_]
        return self

    def validate(
        self,
        tables: Sequence[PredictionTable],
        y,
        system_ids: Sequence[str],
        validation: float | tuple[Sequence[int], Sequence[int]] = 0.4,
        clip_ids: Sequence[str] | None = None,
        aspects: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        n_bootstrap: int = 1000,
        sample_weight=None,
    ) -> dict[str, pd.DataFrame]:
        """Measure on held-out rows, then fit on all rows.

        A trial learner fitted on the meta-training rows is judged on the meta-validation rows, and on its own: the gap
        between the two exposes over-fitting. `calibrations_` are learnt in cross-validation over all labelled rows,
        aspect by aspect, since 40 % of a small set are too few to tell the tails. The learner that stays is fitted on
        all rows, its settings chosen anew, so no point prediction depends on a split.

        Parameters
        ----------
        tables, y, clip_ids, aspects, sample_weight : see `fit`; rows without any label or weight are left out
        system_ids : n system names
        validation : share held out, see `meta.split.meta_split`, or two lists of row numbers, to fit on and to measure
        groups : n names kept together by the split and the folds, or None
        n_bootstrap : see `base_models.metrics.evaluate`

        Returns
        -------
        leaderboards : dict of ``"meta-training"`` and ``"meta-validation"`` to DataFrame, see `Judged.board`: the trial
            learner on the rows that it was fitted on, and on those that it was not

        Raises
        ------
        UsageError
            as `fit`, and when an aspect has fewer than 5 labels or labels of one system only.
        """
        clip_ids, aspects, y = labelled_rows(tables, y, clip_ids, aspects)
        weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        y = np.where(weights[:, None] > 0, y, np.nan)
        system_ids = np.array([""] * len(y) if system_ids is None else [str(s) for s in system_ids], dtype=object)
        if len(system_ids) != len(y) or (groups is not None and len(groups) != len(y)):
            raise UsageError(f"{len(y)} clips need as many system ids and groups; got another number.")
        for k, aspect in enumerate(aspects):
            check_meta_rows(system_ids[~np.isnan(y[:, k])], f"clips labelled for aspect '{aspect}'")
        rows = np.flatnonzero(~np.isnan(y).all(axis=1))
        together = None if groups is None else np.array(list(groups), dtype=object)
        if isinstance(validation, tuple):
            train, test = (np.intersect1d(rows, side) for side in validation)
        else:
            names = None if together is None else together[rows]
            held = meta_split(system_ids[rows], y[rows], validation, self.random_state, names)
            train, test = rows[~held], rows[held]
        ids, inner = np.array(clip_ids, dtype=object), inner_groups(groups, system_ids)

        def given(some_rows) -> dict[str, Any]:
            parts = {"sample_weight": None if sample_weight is None else weights, "groups": inner}
            return {name: None if part is None else part[some_rows] for name, part in parts.items()}

        trial = clone(self).fit(tables, y[train], list(ids[train]), aspects, **given(train))
        self.validation_ = {
            name: Judged.of(
                tables, y[part], ids[part], system_ids[part], aspects, trial.predict(tables, list(ids[part]))
            )
            for name, part in (("meta-training", train), ("meta-validation", test))
        }
        self.fit(tables, y[rows], list(ids[rows]), aspects, **given(rows))
        names = None if together is None else together[rows]
        self._calibrate(tables, y[rows], system_ids[rows], names, **given(rows))
        return {name: judged.board(n_bootstrap) for name, judged in self.validation_.items()}

    def adapt(self, tables: Sequence[PredictionTable], y, clip_ids=None, sample_weight=None) -> MetaRegressor:
        """A copy that has also learnt from some rated clips of another corpus, see `meta.adaptation.adapt`."""
        return adapt(self, tables, y, clip_ids, sample_weight)

    def predict(self, tables: Sequence[PredictionTable], clip_ids: Sequence[str] | None = None) -> np.ndarray:
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
            when a model, a clip or an aspect is missing, or a model's scale changed.
        """
        check_is_fitted(self, "learners_")
        if clip_ids is None:
            clip_ids = tables[0].clip_ids if len(tables) else ()
        clip_ids = list(clip_ids)
        gaps = self.accepts_missing
        aligned = self.layout_.align(tables, gaps)
        columns = [
            learner.predict(feature_array(aligned, aspect, clip_ids, gaps))
            for aspect, learner in zip(self.aspects_, self.learners_, strict=True)
        ]
        return np.clip(np.column_stack(columns), self.layout_.bins.low, self.layout_.bins.high)

    def _calibrate(self, tables, y, system_ids, together, sample_weight, groups) -> None:
        """`calibrations_` and `residual_sigma_` from scores that cross-validation gives each labelled row."""
        bins = self.layout_.bins
        for k, aspect in enumerate(self.aspects_):
            kept = ~np.isnan(y[:, k])
            weight, inner, names = (None if part is None else part[kept] for part in (sample_weight, groups, together))
            if names is not None and count_groups(names) < 2:
                wide = f"{bins.soften_sigma:g} wide by convention"
                self.warnings_.append(f"{aspect}: all labels are of one group; distributions are {wide}.")
                continue
            X = feature_array(tables, aspect, self.fitted_on_, self.learners_[k].accepts_missing)[kept]
            truth, systems = y[kept, k], system_ids[kept]
            fold = meta_folds(systems, truth, self.random_state, names)
            unseen = out_of_fold(self.new_learner, X, truth, self.layout_, fold, weight, inner)
            calibration = Calibration.fit(unseen, truth, bins, systems if (systems != "").all() else None)
            self.calibrations_[k] = calibration
            error = truth - np.clip(unseen, bins.low, bins.high)
            self.residual_sigma_[k] = max(np.sqrt(np.average(error**2, weights=weight)), bins.width / 2)
            self.warnings_ += [f"{aspect}: {warning}" for warning in calibration.warnings()]

    @property
    def verdict_(self) -> Verdict:
        """Whether the trial stack beat the best base model and the mean on the meta-validation rows of `validate`."""
        if not hasattr(self, "validation_"):
            raise AttributeError("verdict_ needs meta-validation rows: validate, or fit with a validation share.")
        return self.validation_["meta-validation"].verdict(self.validation_["meta-training"])

    def predict_distribution(
        self, tables: Sequence[PredictionTable], clip_ids: Sequence[str] | None = None
    ) -> np.ndarray:
        """Distributions around `predict`, as `Calibration.distribution` makes them.

        Returns
        -------
        distributions : float64 array of shape (n, aspects, bins), last axis sums to 1. Their plain mean is the score,
            where an end of the scale is not too near for that and scores are right on average (see
            `Calibration.expected`); without a calibration ``layout_.bins.decode(distributions[:, k],
            residual_sigma_[k])`` is the score
        """
        columns = zip(self.predict(tables, clip_ids).T, self.calibrations_, self.residual_sigma_, strict=True)
        soften = self.layout_.bins.soften
        return np.stack([soften(s, sigma) if c is None else c.distribution(s) for s, c, sigma in columns], axis=1)

    def predict_interval(
        self,
        tables: Sequence[PredictionTable],
        clip_ids: Sequence[str] | None = None,
        level: float = 0.9,
        system_ids: Sequence[str] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Interval around each score that holds a share `level` of ratings, on the scale; see `Calibration.interval`.

        The bounds are not quantiles of `predict_distribution`: a distribution over bins has no mass on an end itself,
        and ratings pile up there. After `fit` alone they are Gaussian, ``score ± z * residual_sigma_``.

        Parameters
        ----------
        tables, clip_ids : see `predict`
        level : float in (0, 1), share of ratings that the interval should hold
        system_ids : n names; systems with enough clips at `validate` get bounds of their own. None does without

        Returns
        -------
        low, high : float64 arrays of shape (n, aspects), on the scale

        Raises
        ------
        UsageError
            when `level` is not between 0 and 1, and as `predict`.
        """
        if not 0 < level < 1:
            raise UsageError(f"The interval's level must lie between 0 and 1; got {level}.")
        scores, bins = self.predict(tables, clip_ids), self.layout_.bins
        reach = stats.norm.ppf((1 + level) / 2) * self.residual_sigma_
        low, high = np.clip(scores - reach, bins.low, bins.high), np.clip(scores + reach, bins.low, bins.high)
        for k, calibration in enumerate(self.calibrations_):
            if calibration is not None:
                low[:, k], high[:, k] = calibration.interval(scores[:, k], level, system_ids)
        return low, high

    def describe(self) -> dict[str, dict[str, Any]]:
        """Facts about the learner of each aspect, for a report."""
        check_is_fitted(self, "learners_")
        return {aspect: fitted.describe() for aspect, fitted in zip(self.aspects_, self.learners_, strict=True)}

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """All that `from_state` needs: facts for JSON, and named arrays.

        Raises
        ------
        UsageError
            when the learner is a foreign scikit-learn estimator, which could be saved by pickle only.
        """
        check_is_fitted(self, "learners_")
        arrays = {
            f"a{k}.{name}": array
            for k, fitted in enumerate(self.learners_)
            for name, array in fitted.to_arrays().items()
        }
        calibrations = [None if found is None else found.to_state() for found in self.calibrations_]
        for k, state in enumerate(calibrations):
            arrays |= {} if state is None else {f"c{k}.{name}": array for name, array in state[1].items()}
        facts = {
            "learner": _registered(self.learners_[0]),
            "params": self.learners_[0].get_params(deep=False),
            "random_state": self.random_state,
            "missing": self.missing,
            "aspects": list(self.aspects_),
            "layout": self.layout_.to_json(),
            "residual_sigma": self.residual_sigma_.tolist(),
            "calibrations": [None if state is None else state[0] for state in calibrations],
            "fitted_on": list(self.fitted_on_),
            "facts": [fitted.facts_ for fitted in self.learners_],
            "warnings": list(self.warnings_),
        }
        return facts, arrays

    @classmethod
    def from_state(cls, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> MetaRegressor:
        """A fitted regressor that predicts what the saved one did, bit for bit.

        Raises
        ------
        DamagedArtifact
            when a fact or array is missing or does not fit the others.
        """
        try:
            model = cls(facts["learner"], int(facts["random_state"]), facts["missing"])
            kind = LEARNERS[facts["learner"]]
            model.layout_ = Layout.from_json(facts["layout"])
            model.aspects_ = tuple(facts["aspects"])
            model.residual_sigma_ = np.array(facts["residual_sigma"], dtype=np.float64)
            model.fitted_on_, model.warnings_ = tuple(facts["fitted_on"]), list(facts["warnings"])
            sigmas = model.residual_sigma_
            if sigmas.shape != (len(model.aspects_),) or not (np.isfinite(sigmas) & (sigmas > 0)).all():
                raise ValueError("one positive sigma per aspect is needed")
            model.calibrations_ = [
                None if found is None else Calibration.from_state(found, _under(f"c{k}.", arrays))
                for k, found in enumerate(facts["calibrations"])
            ]
            if len(model.calibrations_) != len(model.aspects_):
                raise ValueError("one calibration per aspect is needed")
            if any(found is not None and found.bins != model.layout_.bins for found in model.calibrations_):
                raise ValueError("a calibration is of another scale")
            parts = [_under(f"a{k}.", arrays) for k in range(len(model.aspects_))]
            learners = zip(parts, facts["facts"], strict=True)
            params = dict(facts["params"])
            model.learners_ = [kind.from_arrays(part, model.layout_, about, params) for part, about in learners]
            if params != model.new_learner().get_params(deep=False):
                model.learner = kind(**params)
            return model
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedArtifact(f"The stored stack is damaged ({error!r}).") from error

    def new_learner(self) -> Learner:
        """An unfitted learner, as each aspect gets one; UsageError for an unknown name."""
        if isinstance(self.learner, Learner):
            return clone(self.learner)
        if isinstance(self.learner, BaseEstimator):
            return Wrapped(self.learner, self.missing)
        if isinstance(self.learner, str) and self.learner[:1].isupper():
            return Wrapped(sklearn_regressor(self.learner), self.missing)
        learner = LEARNERS[one_of(self.learner, LEARNERS, "learner")]()
        given = {"random_state": self.random_state, "missing": self.missing}
        return learner.set_params(**{name: given[name] for name in given.keys() & learner.get_params().keys()})


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _registered(learner: Learner) -> str:
    """The name of a learner's class in `LEARNERS`."""
    return next(name for name, kind in LEARNERS.items() if type(learner) is kind)
