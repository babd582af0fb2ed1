"""Weighted means of the base models' decoded scores: one convex weight per model.

Without an intercept, these learners cannot correct a bias that all models share. Nor
can they predict a score outside the models' range, so that broken, constant and opposed
models do little harm. `Skill` has one, and weighs how far each model's score lies from
that model's mean.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from base_models.errors import DamagedArtifact, UsageError
from meta.columns.feature_table import Layout
from meta.columns.missing_predictions import present_models, present_weights
from meta.learners.base import (
    FitInputs,
    GroupNames,
    Learner,
    check_features,
    check_fit_inputs,
    read_stored_array,
)
from meta.learners.convex_weights import greedy_weights, least_squares_weights

# Share of the largest error below which no error counts as smaller.
_LEAST_ERROR = 1e-3

# Weights of shape (models,), and facts about them for a report.
WeightsAndFacts = tuple[np.ndarray, dict[str, Any]]


class ConvexWeightsLearner(Learner):
    """Base of the learners that weigh the models' decoded scores.

    Parameters
    ----------
    missing : one of `meta.columns.missing_predictions.MISSING`. With ``"pool"``, gaps
        are filled to find the weights; a prediction takes the models that are present,
        with the weights shared out anew among them

    Attributes
    ----------
    weights_ : array of shape (models,), not negative, sum 1
    """

    weights_: np.ndarray

    def __init__(self, missing: str = "refuse"):
        self.missing = missing

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        layout: Layout,
        sample_weight: ArrayLike | None = None,
        groups: GroupNames | None = None,
    ) -> ConvexWeightsLearner:
        """Find the weights; see `Learner.fit`."""
        inputs = check_fit_inputs(
            layout,
            X,
            y,
            sample_weight=sample_weight,
            groups=groups,
            missing=self.missing,
        )
        self.layout_ = layout
        self.warnings_ = []
        self.weights_, facts = self._find_weights(inputs)
        self.facts_ = {"n": len(inputs.X), **facts}
        return self

    @abstractmethod
    def _find_weights(self, inputs: FitInputs) -> WeightsAndFacts:
        """Return weights of shape (models,), and facts about them for a report."""

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict scores of shape (n,), on the scale."""
        X, weights = self._features_and_weights(X)
        # Not a matrix product, whose summation order depends on the number of rows.
        weighted_scores = self.layout_.scores(X) * weights
        return weighted_scores.sum(axis=1)

    def _features_and_weights(self, X: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Features without gaps, and weights (n, models), 0 for models not present."""
        complete = check_features(self.layout_, X, self.missing)
        # Which models are present is read from X itself, before gaps are filled.
        given = np.asarray(X, dtype=np.float64)
        present = present_models(self.layout_, given)
        return complete, present_weights(self.weights_, present)

    def describe(self) -> dict[str, Any]:
        """Return facts about the fit, and the weight of each model."""
        weights = self.weights_.tolist()
        weight_of = dict(zip(self.layout_.models, weights, strict=True))
        return {**self.facts_, "weight_of": weight_of}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the weights."""
        return {"weights": self.weights_}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Set the weights; see `Learner.restore`."""
        n_models = len(self.layout_.models)
        weights = read_stored_array(arrays, "weights", (n_models,))
        # Stored weights sum to 1 up to rounding.
        has_negative = (weights < 0).any()
        sum_error = abs(weights.sum() - 1)
        if has_negative or sum_error > 1e-9:
            raise DamagedArtifact(
                "The stored learner is damaged: 'weights' are negative or do not sum "
                "to 1."
            )
        self.weights_ = weights


def equal_weights(layout: Layout) -> np.ndarray:
    """Return the same weight for every model of a layout: shape (models,)."""
    n_models = len(layout.models)
    return np.full(n_models, 1 / n_models)


class Mean(ConvexWeightsLearner):
    """Plain mean of the models' decoded scores: the baseline, nothing is fitted."""

    def _find_weights(self, inputs: FitInputs) -> WeightsAndFacts:
        return equal_weights(self.layout_), {}


class Best(ConvexWeightsLearner):
    """The single base model with the least squared error on the rows of the fit.

    With groups (such as systems), each group's mean squared error counts the same,
    however many clips it has; without groups, each clip does. Of equally good models
    the first is taken.
    """

    def _find_weights(self, inputs: FitInputs) -> WeightsAndFacts:
        # Weights that sum to 1 within each group.
        row_weight = inputs.weight
        if inputs.groups is not None:
            _, code = np.unique(inputs.groups, return_inverse=True)
            group_weight = np.bincount(code, weights=row_weight)
            row_weight = row_weight / group_weight[code]

        # Mean squared error of each model (models,).
        scores = self.layout_.scores(inputs.X)
        residuals = scores - inputs.y[:, None]
        errors = np.average(residuals**2, axis=0, weights=row_weight)

        # Rounded, so that summation order does not choose between equal models.
        rounded_errors = np.round(errors, 12)
        chosen = int(np.argmin(rounded_errors))
        facts = {
            "model": self.layout_.models[chosen],
            "error": float(errors[chosen]),
            "counted_by": "clip" if inputs.groups is None else "group",
        }
        return np.eye(len(errors))[chosen], facts


class Skill(ConvexWeightsLearner):
    """Mean of the models, each weighed by how little it errs, without any bias.

    A model counts with the inverse of a power of its mean squared error, once its mean
    is that of the scores. So little is fitted that some fifty rows are enough, where
    least squares alone would follow their noise. The weights are then moved towards the
    convex ones of least squares, which know that similar models need not all count:
    since the squared error is convex, half of each errs at most as much as their mean.

    Parameters
    ----------
    power : float
        Weights are mean squared errors to the power of minus this; 0 is the plain mean
        of the unbiased models.
    least_squares : float
        Share of the convex weights of least squares, from 0 to 1.
    missing : see `ConvexWeightsLearner`

    Attributes
    ----------
    weights_ : array of shape (models,)
    model_means_ : array of shape (models,)
        Mean score of each model on the rows of the fit.
    mean_ : float
        Mean of the scores that were learnt from.
    """

    model_means_: np.ndarray
    mean_: float

    def __init__(
        self,
        power: float = 4.0,
        least_squares: float = 0.5,
        missing: str = "refuse",
    ):
        self.power = power
        self.least_squares = least_squares
        self.missing = missing

    def _find_weights(self, inputs: FitInputs) -> WeightsAndFacts:
        # Negated, so that NaN is refused.
        if not self.power >= 0:
            raise UsageError(f"power must not be negative; got {self.power}.")
        if not 0 <= self.least_squares <= 1:
            raise UsageError(
                f"least_squares must lie in 0..1; got {self.least_squares}."
            )
        scores = self.layout_.scores(inputs.X)
        self.mean_ = float(np.average(inputs.y, weights=inputs.weight))
        self.model_means_ = np.average(scores, axis=0, weights=inputs.weight)

        weights, errors = skill_weights(
            scores,
            inputs.y,
            inputs.weight,
            power=self.power,
            least_squares=self.least_squares,
        )
        return weights, {"errors": errors.tolist()}

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict scores of shape (n,)."""
        X, weights = self._features_and_weights(X)
        deviations = (self.layout_.scores(X) - self.model_means_) * weights
        return self.mean_ + deviations.sum(axis=1)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the weights and means."""
        return {
            **super().to_arrays(),
            "model_means": self.model_means_,
            "mean": np.array([self.mean_]),
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Set weights and means; see `Learner.restore`."""
        super().restore(arrays)
        n_models = len(self.layout_.models)
        self.model_means_ = read_stored_array(arrays, "model_means", (n_models,))
        self.mean_ = float(read_stored_array(arrays, "mean", (1,))[0])


def skill_weights(
    scores: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray,
    power: float = 4.0,
    least_squares: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of `Skill`, and the errors they are from.

    Parameters
    ----------
    scores : array of shape (n, models)
    y, sample_weight : arrays of shape (n,)
    power, least_squares : see `Skill`

    Returns
    -------
    weights : array of shape (models,), not negative, sum 1
    errors : array of shape (models,), mean squared error of each model once its mean is
        that of `y`
    """
    deviations = scores - np.average(scores, axis=0, weights=sample_weight)
    target = y - np.average(y, weights=sample_weight)
    residuals = deviations - target[:, None]
    errors = np.average(residuals**2, axis=0, weights=sample_weight)
    # A model that is right on every row must not take all the others' weight to 0.
    floor = max(errors.max() * _LEAST_ERROR, np.finfo(float).tiny)
    floored = np.maximum(errors, floor)
    skill = (floored / floored.min()) ** -power
    by_skill = skill / skill.sum()
    by_least_squares, _ = least_squares_weights(deviations, target, sample_weight)

    weights = (1 - least_squares) * by_skill + least_squares * by_least_squares
    return weights / weights.sum(), errors


class Simplex(ConvexWeightsLearner):
    """Convex weights with the least squared error.

    See `meta.learners.convex_weights.least_squares_weights`.
    """

    def _find_weights(self, inputs: FitInputs) -> WeightsAndFacts:
        scores = self.layout_.scores(inputs.X)
        weights, gap = least_squares_weights(scores, inputs.y, inputs.weight)
        return weights, {"gap": gap}


class Greedy(ConvexWeightsLearner):
    """Greedy ensemble selection, see `meta.learners.convex_weights.greedy_weights`.

    Parameters
    ----------
    rounds : int, models added after the sorted start
    missing : see `ConvexWeightsLearner`
    """

    def __init__(self, rounds: int = 100, missing: str = "refuse"):
        self.rounds = rounds
        self.missing = missing

    def _find_weights(self, inputs: FitInputs) -> WeightsAndFacts:
        scores = self.layout_.scores(inputs.X)
        weights, gap = greedy_weights(
            scores,
            inputs.y,
            inputs.weight,
            rounds=self.rounds,
        )
        return weights, {"gap": gap}
