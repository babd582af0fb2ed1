"""A scikit-learn regressor as a learner, by instance or by class name.

It is cloned and fitted on the bins. What it learnt is in the fitted clone, which has no
arrays of ours: who saves a stack stores that clone itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import has_fit_parameter

from base_models.errors import UsageError, one_of
from meta.columns.feature_table import Layout
from meta.learners.base import GroupNames, Learner, check_features, check_fit_inputs


class SklearnLearner(Learner):
    """A scikit-learn regressor as a learner.

    Rows of weight 0 are left out. A regressor that takes no sample weights sees a row
    of weight k, for a whole k, k times.

    Parameters
    ----------
    estimator : regressor, stays as it is; a clone is fitted
    missing : one of `meta.columns.missing_predictions.MISSING`

    Attributes
    ----------
    estimator_ : the fitted clone
    """

    estimator_: Any

    def __init__(self, estimator: BaseEstimator, missing: str = "refuse"):
        self.estimator = estimator
        self.missing = missing

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        layout: Layout,
        sample_weight: ArrayLike | None = None,
        groups: GroupNames | None = None,
    ) -> SklearnLearner:
        """Fit a clone of the regressor; see `Learner.fit`.

        Raises
        ------
        UsageError
            when there are weights that are not whole, and the regressor takes none.
        """
        inputs = check_fit_inputs(
            layout,
            X,
            y,
            sample_weight=sample_weight,
            groups=groups,
            missing=self.missing,
        )
        self.layout_ = layout
        self.facts_ = {"n": len(inputs.X), "estimator": repr(self.estimator)}
        self.warnings_ = []

        # Regressors that take no weights see repeated rows instead.
        takes_weights = has_fit_parameter(self.estimator, "sample_weight")
        estimator = clone(self.estimator)
        if sample_weight is not None and takes_weights:
            estimator.fit(inputs.X, inputs.y, sample_weight=inputs.weight)
        else:
            repeats = _whole_weights(inputs.weight, estimator)
            rows = np.repeat(np.arange(len(inputs.y)), repeats)
            estimator.fit(inputs.X[rows], inputs.y[rows])
        self.estimator_ = estimator
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict scores of shape (n,), unclipped."""
        X = check_features(self.layout_, X, self.missing)
        scores = np.asarray(self.estimator_.predict(X), dtype=np.float64)
        return scores.reshape(len(X))

    @classmethod
    def from_fitted(
        cls,
        estimator: BaseEstimator,
        layout: Layout,
        facts: Mapping[str, Any],
        missing: str,
    ) -> SklearnLearner:
        """A learner that predicts by a regressor that was fitted before.

        Parameters
        ----------
        estimator : fitted regressor
        layout, facts : those of the learner that fitted it
        missing : see the class
        """
        learner = cls(clone(estimator), missing)
        learner.layout_ = layout
        learner.facts_ = dict(facts)
        learner.warnings_ = []
        learner.estimator_ = estimator
        return learner


def _whole_weights(weight: np.ndarray, estimator: BaseEstimator) -> np.ndarray:
    """Weights as how often each row is repeated; UsageError unless they are whole."""
    # Repeating rows can only stand for a count.
    if (weight != np.round(weight)).any():
        raise UsageError(
            f"{type(estimator).__name__} takes no sample weights; only whole ones can "
            "stand for repeated rows."
        )
    return weight.astype(np.int64)


def sklearn_regressor(name: str) -> RegressorMixin:
    """Return a scikit-learn regressor with default parameters, by its class name.

    >>> sklearn_regressor("HuberRegressor")
    HuberRegressor()

    Raises
    ------
    UsageError
        when there is no such regressor, or it cannot be built without parameters.
    """
    regressors = _regressors()
    regressor_class = regressors[one_of(name, regressors, "scikit-learn regressor")]
    try:
        return regressor_class()
    except TypeError as error:
        raise UsageError(
            f"{name} cannot be built by name ({error}); pass an instance."
        ) from error


@cache
def _regressors() -> dict[str, type[RegressorMixin]]:
    """All regressors of scikit-learn by their class names, looked for once."""
    # Imported here because the listing below imports all of scikit-learn.
    from sklearn.utils.discovery import all_estimators

    with warnings.catch_warnings():
        # Deprecated modules of scikit-learn warn when they are imported.
        warnings.simplefilter("ignore")
        return dict(all_estimators(type_filter="regressor"))
