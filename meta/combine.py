"""Combiners of the base models' decoded scores."""

from __future__ import annotations

import numpy as np

from meta.features import Layout
from meta.learner import Learner, checked, features


class Mean(Learner):
    """Plain mean of the models' decoded scores: nothing is fitted, and it is the bar to beat."""

    def fit(self, X, y, layout: Layout, sample_weight=None, groups=None) -> Mean:
        """Check the rows; nothing is learnt from them."""
        X, *_ = checked(layout, X, y, sample_weight, groups)
        self.layout_ = layout
        self.facts_, self.warnings_ = {"n": len(X)}, []
        return self

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n,)."""
        return self.layout_.scores(features(self.layout_, X)).mean(axis=1)
