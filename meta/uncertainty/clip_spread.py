"""How the size of errors differs from clip to clip.

Errors of one size for all clips would make intervals too narrow where raters or models
disagree, and too wide where they do not. A clip's scale is an exponential of a few
features, shrunk towards no difference, and learnt from the same errors on clips left
out as intervals are (normalised conformal prediction, Papadopoulos et al. 2002).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.linear_model import GammaRegressor

from base_models.bins import ScoreBins

FEATURES = ("score", "room", "disagreement", "distance")
"""What the scale of a clip follows, see `spread_features`."""
FEWEST_ROWS = 50
"""With fewer errors all clips have one scale: a slope would be mostly luck."""
PRIOR = 0.25
"""Standard deviation of the weights before anything is seen, per standard deviation of
a feature: errors then differ by a quarter."""
LARGEST = 4.0
"""Scales lie between its inverse and this."""

_ARRAYS = ("center", "factor", "weights", "low", "high")


def spread_features(
    scores: np.ndarray,
    base_scores: np.ndarray,
    distances: np.ndarray | None,
    bins: ScoreBins,
) -> np.ndarray:
    """What the spread of errors may follow, clip by clip.

    Parameters
    ----------
    scores : array of shape (n,), the stack's, on the scale
    base_scores : array of shape (n, models), of the base models
    distances : array of shape (n,), how far each clip lies from those learnt from;
        NaN, or None for all of them, where that is not known
    bins : the scale

    Returns
    -------
    features : float64 array of shape (n, len(FEATURES))
        The score; the logarithm of its distances from both ends of the scale, where
        ratings have no room to differ; the logarithm of the mean absolute difference
        between base models and their median; and the logarithm of the distance, 0 where
        it is not known.
    """
    # Nothing is known more finely than a bin, which also keeps logarithms finite.
    below = scores - bins.low + bins.width
    above = bins.high - scores + bins.width
    room = np.log(below * above)

    median = np.median(base_scores, axis=1, keepdims=True)
    disagreement = np.abs(base_scores - median).mean(axis=1)
    farness = np.zeros(len(scores))
    if distances is not None:
        known = np.isfinite(distances)
        farness[known] = np.log(np.maximum(distances[known], 1e-3))
    return np.column_stack(
        [scores, room, np.log(disagreement + bins.width / 4), farness]
    )


@dataclass(frozen=True, eq=False)
class ClipSpread:
    """Scale of the error of a clip, relative to that of a typical clip.

    Parameters
    ----------
    center, factor : float64 arrays of shape (features,)
        Mean and spread of the features; a feature that did not vary has a weight of 0.
    weights : float64 array of shape (features,)
        Of the standardised features, for the logarithm of the scale.
    low, high : float64 arrays of shape (features,)
        Least and largest feature seen; beyond them the scale stays as it is there.
    """

    center: np.ndarray
    factor: np.ndarray
    weights: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def scales(self, features: np.ndarray) -> np.ndarray:
        """Scale of each clip, 1 for one that is typical in every feature.

        Parameters
        ----------
        features : array of shape (n, len(FEATURES)), see `spread_features`

        Returns
        -------
        scales : float64 array of shape (n,), from 1 / `LARGEST` to `LARGEST`
        """
        within = np.clip(features, self.low, self.high)
        logarithm = ((within - self.center) / self.factor) @ self.weights
        return np.exp(np.clip(logarithm, -np.log(LARGEST), np.log(LARGEST)))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Named arrays that `from_arrays` reads back."""
        return {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Restore what `to_arrays` returned.

        Raises
        ------
        KeyError, ValueError
            when an array is missing or cannot have been learnt.
        """
        own = {name: np.asarray(arrays[name]) for name in _ARRAYS}
        for name, array in own.items():
            is_legal = array.shape == (len(FEATURES),) and array.dtype == np.float64
            if not is_legal or not np.isfinite(array).all():
                raise ValueError(f"'{name}' is {array.dtype} of shape {array.shape}")
        if not ((own["factor"] > 0).all() and (own["low"] <= own["high"]).all()):
            raise ValueError("the spread is of impossible features")
        return cls(**own)


@dataclass(frozen=True)
class LearntSpread:
    """A spread, and the scales of the rows that it was learnt from.

    Parameters
    ----------
    spread : ClipSpread
    left_out_scales : array of shape (n,)
        For each row, its scale by a spread that was learnt without its fold.
    """

    spread: ClipSpread
    left_out_scales: np.ndarray


def worthwhile_spread(
    features: np.ndarray,
    errors: np.ndarray,
    fold: np.ndarray,
) -> LearntSpread | None:
    """Learn how errors follow the features; None where one scale does as well.

    Parameters
    ----------
    features : array of shape (n, len(FEATURES))
    errors : array of shape (n,), of rows on which nothing was fitted
    fold : int array of shape (n,), rows of which are left out together

    Notes
    -----
    The size of an error is taken for an exponential variable with the clip's scale as
    its mean (a gamma regression with a logarithmic link and a Gaussian prior). A spread
    is kept when its likelihood on the folds left out is larger than that of one scale,
    by more than a standard error.
    """
    n = len(errors)
    sizes = np.abs(errors)
    numbers = np.unique(fold)
    if n < FEWEST_ROWS or len(numbers) < 2 or not sizes.any():
        return None

    # An error of 0 is a tie of rounded numbers, and has no logarithm.
    sizes = np.maximum(sizes, 1e-3 * sizes.mean())
    center = features.mean(axis=0)
    factor = features.std(axis=0)
    # What differs by rounding alone would be blown up.
    is_constant = factor <= 1e-9 * (1 + np.abs(center))
    factor = np.where(is_constant, 1.0, factor)
    standardised = np.where(is_constant, 0.0, (features - center) / factor)

    def spread_of(rows: np.ndarray) -> tuple[ClipSpread, float]:
        model = GammaRegressor(alpha=1 / (rows.sum() * PRIOR**2), max_iter=1000)
        model.fit(standardised[rows], sizes[rows])
        spread = ClipSpread(
            center=center,
            factor=factor,
            weights=np.where(is_constant, 0.0, model.coef_),
            low=features[rows].min(axis=0),
            high=features[rows].max(axis=0),
        )
        return spread, float(np.exp(model.intercept_))

    scales = np.empty(n)
    gain = np.empty(n)
    for number in numbers:
        test = fold == number
        spread, typical = spread_of(~test)
        scales[test] = spread.scales(features[test])
        by_clip = typical * scales[test]
        by_all = np.full(len(by_clip), sizes[~test].mean())
        gain[test] = _loss(by_all, sizes[test]) - _loss(by_clip, sizes[test])
    if gain.mean() <= gain.std() / np.sqrt(n):
        return None
    spread, _ = spread_of(np.ones(n, dtype=bool))
    return LearntSpread(spread, scales)


def _loss(mean: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Minus the log likelihood of exponential variables with these means."""
    return np.log(mean) + size / mean
