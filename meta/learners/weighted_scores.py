"""Combiners of the base models' decoded scores: one convex weight per model, and nothing else is learnt.

The trap: without an intercept these cannot mend a bias that all models share; they cannot make up a score outside the
models' range either, which is why broken, constant and opposed models do little harm.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from base_models.errors import DamagedArtifact
from meta.columns.feature_table import Layout
from meta.columns.missing_predictions import present_models, present_weights
from meta.learners.base import Learner, checked, features, stored
from meta.learners.convex_weights import greedy_weights, least_squares_weights


class Combiner(Learner):
    """Weighted mean of decoded scores.

    Parameters
    ----------
    missing : one of `meta.columns.missing_predictions.MISSING`. With ``"pool"``, gaps are filled to find the weights; a prediction is the
        exact sub-stack, the weights of the models that are there shared out anew.

    Attributes
    ----------
    weights_ : array of shape (models,), not negative, sum 1
    """

    def __init__(self, missing: str = "refuse"):
        self.missing = missing

    def fit(self, X, y, layout: Layout, sample_weight=None, groups=None) -> Combiner:
        """Find the weights; see `Learner.fit`."""
        X, y, weight, groups = checked(
            layout, X, y, sample_weight, groups, self.missing
        )
        self.layout_, self.warnings_ = layout, []
        self.weights_, facts = self._weigh(X, y, weight, groups)
        self.facts_ = {"n": len(X)} | facts
        return self

    @abstractmethod
    def _weigh(self, X, y, weight, groups) -> tuple[np.ndarray, dict[str, Any]]:
        """Weights of shape (models,), and what there is to say about them."""

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n,), on the scale."""
        X, weights = self._complete(X)
        return (self.layout_.scores(X) * weights).sum(axis=1)

    def _complete(self, X) -> tuple[np.ndarray, np.ndarray]:
        """Features without gaps, and the weights of each row, 0 for models that were missing."""
        whole = features(self.layout_, X, self.missing)
        return whole, present_weights(
            self.weights_, present_models(self.layout_, np.asarray(X, dtype=np.float64))
        )

    def describe(self) -> dict[str, Any]:
        """Facts about the fit, and the weight of each model."""
        return self.facts_ | {
            "weight_of": dict(
                zip(self.layout_.models, self.weights_.tolist(), strict=True)
            )
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The weights."""
        return {"weights": self.weights_}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.weights_ = stored(arrays, "weights", (len(self.layout_.models),))
        if (self.weights_ < 0).any() or abs(self.weights_.sum() - 1) > 1e-9:
            raise DamagedArtifact(
                "The stored learner is damaged: 'weights' are negative or do not sum to 1."
            )


class Mean(Combiner):
    """Plain mean of the models' decoded scores: nothing is fitted, and it is the bar to beat."""

    def _weigh(self, X, y, weight, groups):
        return np.full(len(self.layout_.models), 1 / len(self.layout_.models)), {}


class Best(Combiner):
    """The single base model with the least squared error on the rows to learn from.

    With groups (systems, say), each group's mean squared error counts alike, however many clips it has; without, each
    clip does. Of equally good models the first is taken.
    """

    def _weigh(self, X, y, weight, groups):
        squares = (self.layout_.scores(X) - y[:, None]) ** 2
        errors = np.average(squares, axis=0, weights=weight)
        if groups is not None:
            _, code = np.unique(groups, return_inverse=True)
            errors = np.average(
                squares,
                axis=0,
                weights=weight / np.bincount(code, weights=weight)[code],
            )
        chosen = int(np.argmin(np.round(errors, 12)))
        facts = {"model": self.layout_.models[chosen], "error": float(errors[chosen])}
        return np.eye(len(errors))[chosen], facts | {
            "counted_by": "clip" if groups is None else "group"
        }


class Simplex(Combiner):
    """Convex weights with the least squared error, see `meta.learners.convex_weights.least_squares_weights`."""

    def _weigh(self, X, y, weight, groups):
        weights, gap = least_squares_weights(self.layout_.scores(X), y, weight)
        return weights, {"gap": gap}


class Greedy(Combiner):
    """Greedy ensemble selection, see `meta.learners.convex_weights.greedy_weights`.

    Parameters
    ----------
    rounds : int, models added after the sorted start
    missing : see `Combiner`
    """

    def __init__(self, rounds: int = 100, missing: str = "refuse"):
        self.rounds = rounds
        self.missing = missing

    def _weigh(self, X, y, weight, groups):
        weights, gap = greedy_weights(self.layout_.scores(X), y, weight, self.rounds)
        return weights, {"gap": gap}
