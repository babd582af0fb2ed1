"""Sums that give the metrics of resampled means of systems.

Other than clips, the means themselves differ from resample to resample, so that nothing
can be sorted once. Where systems are few all their pairs are looked at, in all
resamples at once; where they are many, every resample is sorted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from base_models.metrics.resampling.drawn_weights import ClusterWeights, as_counts
from base_models.metrics.resampling.pair_sums import pair_sums
from base_models.metrics.resampling.rank_sums import SortedValues

FEW_POINTS = 128
"""Up to so many points all pairs are looked at in all resamples at once."""


def metrics_of_columns(
    truth: np.ndarray, predictions: Sequence[np.ndarray], weights: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Sums of resamples that each have points and weights of their own.

    Parameters
    ----------
    truth : array of shape (points, resamples), rounded to ten decimals
    predictions : arrays of that shape, one per model
    weights : array of that shape, >= 0

    Yields
    ------
    mean_squared_error : array of shape (resamples,), NaN where nothing is drawn
    sums : array of shape (9, resamples): the cross product and the two squares of the
        values, the same of the ranks, and the three sums over pairs of tau-b
    """
    total = weights.sum(axis=0)
    total = np.where(total > 0, total, np.nan)
    rank = _pairwise if len(truth) <= FEW_POINTS else _sorted
    ranked = rank(truth, predictions, weights)
    for prediction, rank_sums in zip(predictions, ranked, strict=True):
        centred_x = truth - (weights * truth).sum(axis=0) / total
        centred_y = prediction - (weights * prediction).sum(axis=0) / total
        value_sums = _moments(weights, centred_x, centred_y)
        squares = (truth - prediction) ** 2
        mean_squared_error = _column_sums(weights, squares) / total
        yield mean_squared_error, np.concatenate([value_sums, rank_sums])


def _sorted(
    truth: np.ndarray, predictions: Sequence[np.ndarray], weights: np.ndarray
) -> Iterator[np.ndarray]:
    """The six sums of ranks and pairs, (6, resamples), of one resample at a time."""
    points = np.arange(len(truth))
    counts = as_counts(weights)
    sums = np.zeros((len(predictions), 6, weights.shape[1]))
    for column in range(weights.shape[1]):
        drawn = ClusterWeights(counts[None, :, column], points)
        x = SortedValues.of(truth[:, column])
        of_truth = x.ranked(drawn.weights)
        for of_model, prediction in zip(sums, predictions, strict=True):
            y = SortedValues.of(prediction[:, column])
            ranked = y.ranked(drawn.weights)
            product = (drawn.weights * of_truth.ranks * ranked.ranks).sum()
            of_model[:3, column] = product, of_truth.squares[0], ranked.squares[0]
            of_model[3, column] = pair_sums(x, y, drawn)[0]
            of_model[4, column] = of_truth.differing[0]
            of_model[5, column] = ranked.differing[0]
    yield from sums


def _pairwise(
    truth: np.ndarray, predictions: Sequence[np.ndarray], weights: np.ndarray
) -> Iterator[np.ndarray]:
    """The same, of all pairs of points in all resamples at once."""
    pairs = _Pairs.of(weights)
    of_truth = pairs.signs(truth)
    rank_x = pairs.ranks(of_truth)
    differing_x = pairs.sums(of_truth * of_truth)
    for prediction in predictions:
        signs = pairs.signs(prediction)
        rank_y = pairs.ranks(signs)
        of_pairs = [
            pairs.sums(of_truth * signs),
            differing_x,
            pairs.sums(signs * signs),
        ]
        yield np.concatenate([_moments(weights, rank_x, rank_y), of_pairs])


@dataclass(frozen=True, eq=False)
class _Pairs:
    """All pairs of some points.

    Parameters
    ----------
    lower, upper : int arrays of shape (pairs,), the two points of each
    of_lower, of_upper : arrays of shape (pairs, resamples), weights of these points; of
        float32, if that holds them and their sums exactly
    begins, ends : arrays of shape (points, pairs), 1 for the lower and the upper point
    """

    lower: np.ndarray
    upper: np.ndarray
    of_lower: np.ndarray
    of_upper: np.ndarray
    begins: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, weights: np.ndarray) -> _Pairs:
        """The pairs of points with weights of shape (points, resamples)."""
        points = np.arange(len(weights))
        lower, upper = np.triu_indices(len(weights), 1)
        is_whole = (weights == np.floor(weights)).all()
        largest = weights.sum(axis=0).max(initial=0) ** 2
        dtype = np.float32 if is_whole and largest < 2**24 else np.float64
        exact = weights.astype(dtype)
        return cls(
            lower=lower,
            upper=upper,
            of_lower=exact[lower],
            of_upper=exact[upper],
            begins=(points[:, None] == lower).astype(dtype),
            ends=(points[:, None] == upper).astype(dtype),
        )

    def signs(self, values: np.ndarray) -> np.ndarray:
        """The sign of upper less lower of each pair, shape (pairs, resamples)."""
        upper = values[self.upper]
        lower = values[self.lower]
        signs = (upper > lower).view(np.int8) - (upper < lower).view(np.int8)
        return signs.astype(self.of_lower.dtype)

    def ranks(self, signs: np.ndarray) -> np.ndarray:
        """Twice the centred mid-rank of each point, shape (points, resamples)."""
        below = self.ends @ (signs * self.of_lower)
        above = self.begins @ (signs * self.of_upper)
        return (below - above).astype(np.float64)

    def sums(self, products: np.ndarray) -> np.ndarray:
        """Products of all ordered pairs, weighted: (resamples,)."""
        # Each pair in both orders.
        weighted = products * self.of_lower * self.of_upper
        return 2 * weighted.sum(axis=0).astype(np.float64)


def _moments(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The weighted cross product and the two squares: (3, resamples)."""
    weighted = weights * x
    cross = _column_sums(weighted, y)
    square_x = _column_sums(weighted, x)
    square_y = _column_sums(weights * y, y)
    return np.array([cross, square_x, square_y])


def _column_sums(weights: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """Weighted sum of each column: (points, columns) to (columns,)."""
    return np.einsum("ij,ij->j", weights, terms)
