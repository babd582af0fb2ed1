"""Pools: learners that combine the models' distributions instead of their scores.

A linear pool (mixture) keeps what any model holds possible, a log pool (geometric mean)
what all of them do. A score decoded from a pool needs one kernel width, and models have
several. A linear pool's score is therefore the weighted mean of the models' decoded
scores, and with equal weights it is the learner `mean`. A log pool of softened scores
is a softened score again, of known width, so its own decoding is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from meta.learners.base import FitInputs
from meta.learners.convex_weights import crps_weights, log_score_weights
from meta.learners.weighted_scores import (
    ConvexWeightsLearner,
    WeightsAndFacts,
    equal_weights,
)

# Least probability in a log pool: no single zero is a veto of more than 69 nats times
# its model's weight. Softened scores (sigma 0.35) stay above it over the whole scale.
LOG_FLOOR = 1e-30


def log_pool(distributions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted geometric mean of distributions.

    Parameters
    ----------
    distributions : array of shape (n, models, bins), rows sum to 1; probabilities
        below `LOG_FLOOR` count as that
    weights : convex weights of shape (models,) or (n, models)

    Returns
    -------
    pooled : float64 array of shape (n, bins), rows sum to 1
    """
    # The mean is over the models: weights get an axis for the bins.
    floored = np.maximum(distributions, LOG_FLOOR)
    logs = np.log(floored)
    weighted_logs = logs * weights[..., None]
    pooled_logs = weighted_logs.sum(axis=-2)

    # Relative to the largest, so that not all probabilities of a row underflow.
    largest = pooled_logs.max(axis=-1, keepdims=True)
    pooled = np.exp(pooled_logs - largest)
    totals = pooled.sum(axis=-1, keepdims=True)
    return pooled / totals


def log_pool_sigma(sigmas: ArrayLike, weights: ArrayLike) -> np.ndarray:
    """Kernel width of a log pool of softened scores.

    Parameters
    ----------
    sigmas : array of shape (models,), in score points; 0 for a model without softening
    weights : convex weights of shape (models,) or (n, models)

    Returns
    -------
    sigma : array of shape () or (n,); 0, which decodes by the plain expectation, where
        a model of positive weight has a sigma of 0

    Notes
    -----
    A Gaussian softened on bins is ``exp(-(c_b - s)^2 / (2 sigma^2))`` up to a factor
    (DORA-MOS, Eq. 1). The weighted geometric mean of several has the precision-weighted
    mean score, and precisions add up: ``1 / sigma^2 = sum(w_k / sigma_k^2)``.

    Examples
    --------
    >>> log_pool_sigma([0.25, 0.25], [0.5, 0.5])
    np.float64(0.25)
    """
    weights = np.asarray(weights)
    variances = np.broadcast_to(np.square(sigmas), weights.shape)
    unsoftened = variances == 0

    # A variance of 1 stands in for 0 so as not to divide by it; where such a model has
    # weight, the result is replaced below.
    nonzero_variances = np.where(unsoftened, 1, variances)
    precisions = weights / nonzero_variances
    pooled_variance = 1 / precisions.sum(axis=-1)
    sigma = np.sqrt(pooled_variance)

    counts = weights > 0
    has_unsoftened = (unsoftened & counts).any(axis=-1)
    # The empty index turns an array of no dimensions into a number.
    return np.where(has_unsoftened, 0.0, sigma)[()]


class CRPSPool(ConvexWeightsLearner):
    """Linear pool whose weights have the least CRPS.

    See `meta.learners.convex_weights.crps_weights`.
    """

    def _find_weights(self, inputs: FitInputs) -> WeightsAndFacts:
        distributions = self.layout_.blocks(inputs.X)
        weights, gap = crps_weights(
            distributions,
            self.layout_.bins,
            inputs.y,
            sample_weight=inputs.weight,
        )
        return weights, {"gap": gap}


class LogScorePool(ConvexWeightsLearner):
    """Linear pool whose weights have the highest log score.

    See `meta.learners.convex_weights.log_score_weights`.
    """

    def _find_weights(self, inputs: FitInputs) -> WeightsAndFacts:
        distributions = self.layout_.blocks(inputs.X)
        weights, gap = log_score_weights(
            distributions,
            self.layout_.bins,
            inputs.y,
            sample_weight=inputs.weight,
        )
        return weights, {"gap": gap}


class LogPool(ConvexWeightsLearner):
    """Log pool with equal weights: sharper models count for more."""

    def _find_weights(self, inputs: FitInputs) -> WeightsAndFacts:
        return equal_weights(self.layout_), {}

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict scores of shape (n,), decoded with the width of `log_pool_sigma`.

        For softened scores, they are exactly the precision-weighted mean.
        """
        X, weights = self._features_and_weights(X)
        pooled = log_pool(self.layout_.blocks(X), weights)

        # One decoding per kernel width: there are as many widths as there are sets of
        # models present in a row. Rounding joins those that differ by summation alone.
        sigma_of_row = log_pool_sigma(self.layout_.sigmas, weights).round(12)
        sigmas, sigma_index = np.unique(sigma_of_row, return_inverse=True)
        bins = self.layout_.bins
        scores = np.empty(len(X))
        for index, sigma in enumerate(sigmas):
            rows = sigma_index == index
            scores[rows] = bins.decode(pooled[rows], sigma)
        return scores
