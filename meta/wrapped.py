"""A scikit-learn regressor as a learner: cloned, fitted on the bins; it lives in memory only."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone

from base_models.errors import UsageError
from meta.features import Layout
from meta.learner import Learner, checked, features


class Wrapped(Learner):
    """A scikit-learn regressor as a learner: cloned, fitted on the bins; it lives in memory only."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y, layout: Layout, sample_weight=None, groups=None) -> Wrapped:
        """Fit a clone on (n, p) features and (n,) scores."""
        X, y, weight, _ = checked(layout, X, y, sample_weight, groups)
        self.layout_ = layout
        options = {} if sample_weight is None else {"sample_weight": weight}
        self.estimator_ = clone(self.estimator).fit(X, y, **options)
        self.facts_, self.warnings_ = {"n": len(X), "estimator": repr(self.estimator)}, []
        return self

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n,), unclipped."""
        return np.asarray(self.estimator_.predict(features(self.layout_, X)), dtype=np.float64).reshape(len(X))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Always refused."""
        raise UsageError(
            f"{type(self.estimator).__name__} cannot be saved: this project loads no pickle, and knows no other way "
            "for a foreign estimator. Use one of the learners that have a name."
        )
