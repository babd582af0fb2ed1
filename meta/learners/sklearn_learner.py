"""A scikit-learn regressor as a learner, by instance or by class name: cloned, fitted on the bins; in memory only."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import RegressorMixin, clone
from sklearn.utils.validation import has_fit_parameter

from base_models.errors import UsageError, one_of
from meta.columns.feature_table import Layout
from meta.learners.base import Learner, checked, features


class Wrapped(Learner):
    """A scikit-learn regressor as a learner: cloned, fitted on the bins; it lives in memory only.

    Rows of weight 0 are left out. A regressor that takes no sample weights sees a row of weight k, if that is whole,
    k times.

    Parameters
    ----------
    estimator : regressor
    missing : one of `meta.columns.missing_predictions.MISSING`
    """

    def __init__(self, estimator, missing: str = "refuse"):
        self.estimator = estimator
        self.missing = missing

    def fit(self, X, y, layout: Layout, sample_weight=None, groups=None) -> Wrapped:
        """Fit a clone on (n, p) features and (n,) scores.

        Raises
        ------
        UsageError
            when there are weights that are not whole, and the regressor takes none.
        """
        X, y, weight, _ = checked(layout, X, y, sample_weight, groups, self.missing)
        self.layout_ = layout
        self.facts_, self.warnings_ = (
            {"n": len(X), "estimator": repr(self.estimator)},
            [],
        )
        options = {}
        if sample_weight is not None and has_fit_parameter(
            self.estimator, "sample_weight"
        ):
            options["sample_weight"] = weight
        elif (weight != np.round(weight)).any():
            raise UsageError(
                f"{type(self.estimator).__name__} takes no sample weights; only whole ones can stand for repeated rows."
            )
        else:
            X, y = (
                np.repeat(values, weight.astype(np.int64), axis=0) for values in (X, y)
            )
        self.estimator_ = clone(self.estimator).fit(X, y, **options)
        return self

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n,), unclipped."""
        X = features(self.layout_, X, self.missing)
        return np.asarray(self.estimator_.predict(X), dtype=np.float64).reshape(len(X))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Always refused."""
        raise UsageError(
            f"{type(self.estimator).__name__} cannot be saved: this project loads no pickle, and knows no other way "
            "for a foreign estimator. Use one of the learners that have a name."
        )


def sklearn_regressor(name: str) -> RegressorMixin:
    """A scikit-learn regressor by its class name, with default parameters.

    >>> sklearn_regressor("HuberRegressor")
    HuberRegressor()

    Raises
    ------
    UsageError
        when there is no such regressor, or it cannot be built without parameters.
    """
    from sklearn.utils.discovery import all_estimators  # imports all of scikit-learn

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of modules that are on their way out
        known = dict(all_estimators(type_filter="regressor"))
    kind = known[one_of(name, known, "scikit-learn regressor")]
    try:
        return kind()
    except TypeError as error:
        raise UsageError(
            f"{name} cannot be built by name ({error}); pass an instance."
        ) from error
