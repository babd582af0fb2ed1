"""MetaRegressor: one learner per aspect, from the bins of all base models to a score and a distribution.

Distributions and intervals around the stacked score come from the errors on clips that a learner was not fitted on; see
`meta.uncertainty.calibration`. The trap: splits measure, and nothing else; the learners that predict are fitted anew on all clips,
by the same procedure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from base_models.errors import DamagedArtifact, UsageError, one_of, some
from base_models.predictions import PredictionTable
from meta.adaptation import adapt
from meta.columns.feature_table import Layout, feature_array, layout_of, refuse_leaks
from meta.comparison.compared_rows import Judged
from meta.comparison.verdict import Verdict
from meta.learners import LEARNERS
from meta.learners.base import Learner, out_of_fold
from meta.learners.sklearn_learner import Wrapped, sklearn_regressor
from meta.rows import LabelledRows, equal_labels
from meta.splits.meta_split import check_meta_rows, count_groups, meta_folds
from meta.uncertainty.calibration import Calibration


class MetaRegressor(BaseEstimator):
    """Stacks the distributions of base models (DORA-MOS, section III.D), each aspect by itself.

    Parameters
    ----------
    learner : name in `LEARNERS`, a `Learner` (its own parameters stay as they are), or a scikit-learn regressor, by
        instance or class name (``"HuberRegressor"``); cloned per aspect. A regressor of scikit-learn cannot be saved
    random_state : int, seed of a named learner, of the meta-validation split and of the folds
    missing : what a named learner does with clips for which a base model has no prediction, see `meta.columns.missing_predictions.MISSING`

    Attributes
    ----------
    aspects_ : tuple of str, the columns of y
    layout_ : Layout, the base models in column order
    learners_ : list of fitted learners, one per aspect
    calibrations_ : list of Calibration, one per aspect, learnt by `validate` in 5-fold cross-validation over all
        labelled clips, which leaves whole groups out, else whole systems where clips name theirs; None after `fit`
        alone, where distributions are Gaussians as wide as ``residual_sigma_``
    residual_sigma_ : float64 array of shape (aspects,), in score points: the RMS error of the scores in the same
        cross-validation (at least half a bin), 0.35 (the paper's softening) where there is none
    validation_ : dict of ``"meta-training"`` and ``"meta-validation"`` to `Judged`, what the trial learner of
        `validate` and the base models said of the rows that it was fitted on and of those that it was not; not saved
    fitted_on_ : tuple of str, ids of the clips that `fit` was given, in that order
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
        sample_weight : array of shape (n,), or None. Weights count in what learners fit and choose, and nowhere else:
            boards, calibrations and ``residual_sigma_`` count each clip of positive weight once
        groups : n names whose rows a learner keeps together in its inner folds; None takes the systems, where all clips
            name theirs
        system_ids : n system names, or None; None and NaN name no system

        Raises
        ------
        UsageError
            when a clip leaks, the lengths disagree, a label is off the scale, a weight is negative or not finite, an
            aspect has no label, or as in `meta.columns.feature_table.feature_table`.
        """
        return self._fit(
            tables,
            LabelledRows.of(
                tables, y, clip_ids, aspects, sample_weight, groups, system_ids
            ),
        )

    def _fit(
        self, tables: Sequence[PredictionTable], rows: LabelledRows
    ) -> MetaRegressor:
        for name in ("validation_", "verdict_"):  # of the fit before
            vars(self).pop(name, None)
        layout, ids = layout_of(tables), list(rows.clip_ids)
        refuse_leaks(tables, ids)
        learners, warnings = [], []
        for k, aspect in enumerate(rows.aspects):
            kept = ~np.isnan(rows.y[:, k])
            if not kept.any():
                raise UsageError(
                    f"No clip has a label for aspect '{aspect}'; label some, or leave the aspect out."
                )
            learner = self.new_learner()
            X, y = (
                feature_array(tables, aspect, ids, learner.accepts_missing)[kept],
                rows.y[kept, k],
            )
            weight, together = (
                None if part is None else part[kept]
                for part in (rows.weight, rows.together)
            )
            learners.append(learner.fit(X, y, layout, weight, together))
            warnings += equal_labels(aspect, y) or [
                f"{aspect}: {warning}" for warning in learner.warnings_
            ]
        self.layout_, self.aspects_, self.learners_ = layout, rows.aspects, learners
        self.fitted_on_, self.warnings_ = (
            tuple(rows.clip_ids[np.argsort(rows.number)]),
            warnings,
        )
        self.residual_sigma_ = np.full(len(learners), layout.bins.soften_sigma)
        self.calibrations_ = [None] * len(learners)
        return self

    def validate(
        self,
        tables: Sequence[PredictionTable],
        y,
        system_ids: Sequence[str],
        validation: float
        | tuple[Sequence[int], Sequence[int]]
        | Mapping[str, Judged] = 0.4,
        clip_ids: Sequence[str] | None = None,
        aspects: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        n_bootstrap: int = 1000,
        sample_weight=None,
    ) -> dict[str, pd.DataFrame]:
        """Measure on held-out rows, then fit on all rows.

        A trial learner fitted on the meta-training rows is judged on the meta-validation rows, and on its own: the gap
        between the two exposes over-fitting. `calibrations_` are learnt in cross-validation over all labelled rows,
        aspect by aspect, since 40 % of a small set are too few to tell the tails; its folds keep whole what learners
        keep together, so that intervals are about systems that nobody has rated. The learner that stays is fitted on
        all rows, its settings chosen anew, so no point prediction depends on a split.

        Parameters
        ----------
        tables, y, clip_ids, aspects, sample_weight : see `fit`; rows without any label or weight are left out
        system_ids : n system names
        validation : share held out, see `meta.splits.meta_split.meta_split`; two lists of row numbers; or a trial's `validation_`
        groups : n names kept together by the split and the folds; None lets systems lie on both sides of the split,
            and keeps them whole in the folds
        n_bootstrap : see `base_models.metrics.evaluate.evaluate`

        Returns
        -------
        leaderboards : dict of ``"meta-training"`` and ``"meta-validation"`` to DataFrame, see `Judged.board`: the trial
            learner on the rows that it was fitted on, and on those that it was not

        Raises
        ------
        UsageError
            as `fit`, and when an aspect has fewer than 5 labels or labels of one system only, some clips name a system
            and others none, or the lists of `validation` overlap, leave the rows or are empty.
        """
        rows = LabelledRows.of(
            tables, y, clip_ids, aspects, sample_weight, groups, system_ids
        )
        rows.refuse_unnamed()
        for k, aspect in enumerate(rows.aspects):
            check_meta_rows(
                rows.systems[~np.isnan(rows.y[:, k])],
                f"clips labelled for aspect '{aspect}'",
            )
        judged = dict(validation) if isinstance(validation, Mapping) else {}
        if not judged:
            train, test = (
                rows.take(side) for side in rows.split(validation, self.random_state)
            )
            trial = clone(self)._fit(tables, train)
            for name, side in (("meta-training", train), ("meta-validation", test)):
                said = trial.predict(tables, side.clip_ids)
                judged[name] = Judged.of(
                    tables, side.y, side.clip_ids, side.systems, side.aspects, said
                )
        whole = rows.take(rows.labelled)
        self._fit(tables, whole)._calibrate(tables, whole)
        self.validation_ = judged
        return {name: side.board(n_bootstrap) for name, side in judged.items()}

    def adapt(
        self, tables: Sequence[PredictionTable], y, clip_ids=None, sample_weight=None
    ) -> MetaRegressor:
        """A copy that has also learnt from some rated clips of another corpus, see `meta.adaptation.adapt`."""
        return adapt(self, tables, y, clip_ids, sample_weight)

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
        return np.clip(
            np.column_stack(columns), self.layout_.bins.low, self.layout_.bins.high
        )

    def _calibrate(self, tables, rows: LabelledRows) -> None:
        """`calibrations_` and `residual_sigma_` from scores that cross-validation gives each labelled row."""
        bins = self.layout_.bins
        for k, aspect in enumerate(self.aspects_):
            kept = ~np.isnan(rows.y[:, k])
            part, truth = rows.take(kept), rows.y[kept, k]
            together, systems = part.together, part.systems
            if together is not None and count_groups(together) < 2:
                wide = f"{bins.soften_sigma:g} wide by convention"
                self.warnings_.append(
                    f"{aspect}: all labels are of one group; distributions are {wide}."
                )
                continue
            X = feature_array(
                tables, aspect, part.clip_ids, self.learners_[k].accepts_missing
            )
            fold = meta_folds(systems, truth, self.random_state, together)
            unseen = out_of_fold(
                self.new_learner, X, truth, self.layout_, fold, part.weight, together
            )
            calibration = Calibration.fit(
                unseen, truth, bins, systems if (systems != "").all() else None
            )
            self.calibrations_[k] = calibration
            error = truth - np.clip(unseen, bins.low, bins.high)
            self.residual_sigma_[k] = max(np.sqrt(np.mean(error**2)), bins.width / 2)
            if not equal_labels(aspect, truth):
                self.warnings_ += [
                    f"{aspect}: {warning}" for warning in calibration.warnings()
                ]

    @cached_property
    def verdict_(self) -> Verdict:
        """Whether the trial stack beat the best base model and the mean on the meta-validation rows of `validate`."""
        if not hasattr(self, "validation_"):
            raise AttributeError(
                "verdict_ needs meta-validation rows: validate, or fit with a validation share."
            )
        return self.validation_["meta-validation"].verdict(
            self.validation_["meta-training"]
        )

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
        columns = zip(
            self.predict(tables, clip_ids).T,
            self.calibrations_,
            self.residual_sigma_,
            strict=True,
        )
        soften = self.layout_.bins.soften
        return np.stack(
            [
                soften(s, sigma) if c is None else c.distribution(s)
                for s, c, sigma in columns
            ],
            axis=1,
        )

    def predict_interval(
        self,
        tables: Sequence[PredictionTable],
        clip_ids: Sequence[str] | None = None,
        level: float = 0.9,
        system_ids: Sequence[str] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Interval around each score that holds a share `level` of ratings, on the scale; see `Calibration.interval`.

        It holds the score itself too, which a low level's alone need not when scores are off on average. The bounds are
        not quantiles of `predict_distribution`: a distribution over bins has no mass on an end itself,
        and ratings pile up there. After `fit` alone they are Gaussian, ``score ± z * residual_sigma_``. After
        `validate` they follow errors on systems (or groups) left out, where clips name theirs: the share holds for
        systems that nobody has rated as far as those at hand stand for them, and is exceeded for systems among them.

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
            raise UsageError(
                f"The interval's level must lie between 0 and 1; got {level}."
            )
        scores, bins = self.predict(tables, clip_ids), self.layout_.bins
        reach = stats.norm.ppf((1 + level) / 2) * self.residual_sigma_
        low, high = (
            np.clip(scores - reach, bins.low, bins.high),
            np.clip(scores + reach, bins.low, bins.high),
        )
        for k, calibration in enumerate(self.calibrations_):
            if calibration is not None:
                low[:, k], high[:, k] = calibration.interval(
                    scores[:, k], level, system_ids
                )
        return np.minimum(low, scores), np.maximum(high, scores)

    def describe(self) -> dict[str, dict[str, Any]]:
        """Facts about the learner of each aspect, for a report."""
        check_is_fitted(self, "learners_")
        return {
            aspect: fitted.describe()
            for aspect, fitted in zip(self.aspects_, self.learners_, strict=True)
        }

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
        calibrations = [
            None if found is None else found.to_state() for found in self.calibrations_
        ]
        for k, state in enumerate(calibrations):
            arrays |= (
                {}
                if state is None
                else {f"c{k}.{name}": array for name, array in state[1].items()}
            )
        facts = {
            "learner": _registered(self.learners_[0]),
            "params": self.learners_[0].get_params(deep=False),
            "random_state": self.random_state,
            "missing": self.missing,
            "aspects": list(self.aspects_),
            "layout": self.layout_.to_json(),
            "residual_sigma": self.residual_sigma_.tolist(),
            "calibrations": [
                None if state is None else state[0] for state in calibrations
            ],
            "fitted_on": list(self.fitted_on_),
            "facts": [fitted.facts_ for fitted in self.learners_],
            "warnings": list(self.warnings_),
        }
        return facts, arrays

    @classmethod
    def from_state(
        cls, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> MetaRegressor:
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
            model.fitted_on_, model.warnings_ = (
                tuple(facts["fitted_on"]),
                list(facts["warnings"]),
            )
            sigmas = model.residual_sigma_
            if (
                sigmas.shape != (len(model.aspects_),)
                or not (np.isfinite(sigmas) & (sigmas > 0)).all()
            ):
                raise ValueError("one positive sigma per aspect is needed")
            model.calibrations_ = [
                None
                if found is None
                else Calibration.from_state(found, _under(f"c{k}.", arrays))
                for k, found in enumerate(facts["calibrations"])
            ]
            if len(model.calibrations_) != len(model.aspects_):
                raise ValueError("one calibration per aspect is needed")
            if any(
                found is not None and found.bins != model.layout_.bins
                for found in model.calibrations_
            ):
                raise ValueError("a calibration is of another scale")
            parts = [_under(f"a{k}.", arrays) for k in range(len(model.aspects_))]
            learners = zip(parts, facts["facts"], strict=True)
            params = dict(facts["params"])
            model.learners_ = [
                kind.from_arrays(part, model.layout_, about, params)
                for part, about in learners
            ]
            if params != model.new_learner().get_params(deep=False):
                model.learner = kind(**params)
            return model
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedArtifact(
                f"The stored stack is damaged ({error!r})."
            ) from error

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
        return learner.set_params(
            **{name: given[name] for name in given.keys() & learner.get_params().keys()}
        )


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _registered(learner: Learner) -> str:
    """The name of a learner's class in `LEARNERS`; UsageError for any other class, which could not be made again."""
    found = [name for name, kind in LEARNERS.items() if type(learner) is kind]
    if not found:
        raise UsageError(
            f"A learner of class '{type(learner).__name__}' cannot be saved; those that can are {some(LEARNERS, 20)}."
        )
    return found[0]
