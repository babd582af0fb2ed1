"""Pools of distributions: several models' distributions for a clip become one.

A linear pool (mixture) keeps what any model holds possible, a log pool (geometric mean) what all do. The trap: a score
decoded from a pool needs one kernel width, and models have several. A linear pool's score is therefore the weighted
mean of the models' decoded scores. A log pool of softened scores is a softened score again, of known width, so its own
decoding is exact.
"""

from __future__ import annotations

import numpy as np

from meta.learners.convex_weights import crps_weights, log_score_weights
from meta.learners.weighted_scores import Combiner

LOG_FLOOR = 1e-30
"""Least probability in a log pool: no single zero is a veto of more than 69 nats times its model's weight. Softened
scores (sigma 0.35) stay above it over the whole scale."""


def linear_pool(distributions, weights) -> np.ndarray:
    """Weighted arithmetic mean of distributions.

    Parameters
    ----------
    distributions : array of shape (n, models, bins), rows sum to 1
    weights : convex weights of shape (models,) or (n, models)

    Returns
    -------
    pooled : float64 array of shape (n, bins), rows sum to 1
    """
    pooled = (np.asarray(distributions) * np.asarray(weights)[..., None]).sum(axis=-2)
    return pooled / pooled.sum(axis=-1, keepdims=True)


def log_pool(distributions, weights) -> np.ndarray:
    """Weighted geometric mean of distributions, probabilities below `LOG_FLOOR` counting as that; see `linear_pool`."""
    logs = np.log(np.maximum(distributions, LOG_FLOOR))
    pooled = (logs * np.asarray(weights)[..., None]).sum(axis=-2)
    pooled = np.exp(pooled - pooled.max(axis=-1, keepdims=True))
    return pooled / pooled.sum(axis=-1, keepdims=True)


def log_pool_sigma(sigmas, weights) -> np.ndarray:
    """Kernel width of a log pool of softened scores: precisions add up, ``1 / sigma^2 = sum(w_k / sigma_k^2)``.

    A Gaussian softened on bins is ``exp(-(c_b - s)^2 / (2 sigma^2))`` up to a factor, whose weighted geometric mean has
    that width and the precision-weighted mean score. 0, plain expectation, when a model with weight has a sigma of 0.

    >>> log_pool_sigma([0.25, 0.25], [0.5, 0.5])
    np.float64(0.25)
    """
    weights = np.asarray(weights)
    variances = np.broadcast_to(np.square(sigmas), weights.shape)
    sharp = ((variances == 0) & (weights > 0)).any(axis=-1)
    precision = (weights / np.where(variances == 0, 1, variances)).sum(axis=-1)
    return np.where(sharp, 0.0, np.sqrt(1 / precision))[()]


class LinearPool(Combiner):
    """Linear pool with equal weights; its score is the plain mean of decoded scores."""

    def _weigh(self, X, y, weight, groups):
        return np.full(len(self.layout_.models), 1 / len(self.layout_.models)), {}

    def predict_distribution(self, X) -> np.ndarray:
        """Pooled distributions: (n, models·bins) to (n, bins), rows sum to 1."""
        X, weights = self._complete(X)
        return linear_pool(self.layout_.blocks(X), weights)


class CRPSPool(LinearPool):
    """Linear pool whose weights have the least CRPS, see `meta.learners.convex_weights.crps_weights`."""

    def _weigh(self, X, y, weight, groups):
        weights, gap = crps_weights(
            self.layout_.blocks(X), self.layout_.bins, y, weight
        )
        return weights, {"gap": gap}


class LogScorePool(LinearPool):
    """Linear pool whose weights have the highest log score, see `meta.learners.convex_weights.log_score_weights`."""

    def _weigh(self, X, y, weight, groups):
        weights, gap = log_score_weights(
            self.layout_.blocks(X), self.layout_.bins, y, weight
        )
        return weights, {"gap": gap}


class LogPool(LinearPool):
    """Log pool with equal weights, decoded with the width of `log_pool_sigma`; sharper models count for more."""

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n,): for softened scores, exactly their precision-weighted mean."""
        X, weights = self._complete(X)
        pooled, bins = log_pool(self.layout_.blocks(X), weights), self.layout_.bins
        widths, width = np.unique(
            log_pool_sigma(self.layout_.sigmas, weights).round(12), return_inverse=True
        )
        scores = np.empty(len(X))
        for k, sigma in enumerate(
            widths
        ):  # one, or one per set of models that are there
            scores[width == k] = bins.decode(pooled[width == k], sigma)
        return scores

    def predict_distribution(self, X) -> np.ndarray:
        """Pooled distributions: (n, models·bins) to (n, bins), rows sum to 1."""
        X, weights = self._complete(X)
        return log_pool(self.layout_.blocks(X), weights)
