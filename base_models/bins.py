"""A rating scale cut into bins, and the way across it in both directions: the one home of scale and sigma.

The trap: the expectation of a softened score leans inwards near the ends of the scale, since the kernel is cut off
there. `decode` inverts that monotone map; `expected` is the plain mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from base_models.errors import UsageError, one_of

TARGET_SIGMA = 0.25
"""Kernel width of training targets, in score points (published code of DORA-MOS; the paper leaves it out)."""
SOFTEN_SIGMA = 0.35
"""Kernel width that turns a scalar prediction into a distribution, in score points (same source)."""


@dataclass(frozen=True)
class ScoreBins:
    """Equal-width bins on a rating scale.

    Parameters
    ----------
    low, high : float, ends of the scale
    count : int, number of bins
    grid : ``"midpoints"``, the centres of `count` equal-width bins that span the scale (DORA-MOS, section II.C), or
        ``"endpoints"``, `count` points from `low` to `high` inclusive (its published code)

    >>> ScoreBins(count=4).centers
    array([1.5, 2.5, 3.5, 4.5])
    >>> ScoreBins(count=5, grid="endpoints").centers
    array([1., 2., 3., 4., 5.])
    """

    low: float = 1.0
    high: float = 5.0
    count: int = 20
    grid: str = "midpoints"

    def __post_init__(self):
        one_of(self.grid, ("midpoints", "endpoints"), "bin grid")
        if not self.low < self.high or self.count < 2:
            raise UsageError(
                f"A scale needs low < high and at least 2 bins; got {self.low}..{self.high}, {self.count}."
            )

    @cached_property
    def centers(self) -> np.ndarray:
        """Bin centres, shape (count,)."""
        if self.grid == "endpoints":
            return np.linspace(self.low, self.high, self.count)
        return self.low + self.width * (np.arange(self.count) + 0.5)

    @property
    def width(self) -> float:
        """Distance between neighbouring centres, in score points."""
        return (self.high - self.low) / (self.count - (self.grid == "endpoints"))

    @property
    def soften_sigma(self) -> float:
        """Kernel width that softens a scalar prediction on this scale: 0.35 on 1..5, in proportion on others."""
        return SOFTEN_SIGMA * (self.high - self.low) / 4

    def soften(self, scores, sigma: float = SOFTEN_SIGMA) -> np.ndarray:
        """Gaussian label softening (DORA-MOS, Eq. 1).

        Parameters
        ----------
        scores : array of any shape (...), on the scale; values outside are moved to its nearer end
        sigma : float, kernel width in score points

        Returns
        -------
        distributions : float64 array of shape (..., count), last axis sums to 1

        Raises
        ------
        UsageError
            when a score is NaN or infinite, or sigma is not positive.
        """
        scores = np.asarray(scores, dtype=np.float64)
        if not np.isfinite(scores).all():
            raise UsageError("Scores to soften must be finite; found NaN or infinity.")
        if not sigma > 0:
            raise UsageError(f"sigma must be positive; got {sigma}.")
        distance = np.clip(scores, self.low, self.high)[..., None] - self.centers
        exponent = -0.5 * (distance / sigma) ** 2
        weights = np.exp(exponent - exponent.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True)

    def split(self, ratings) -> np.ndarray:
        """Single ratings as bins: each is shared out between the two nearest centres, in proportion to its nearness.

        The mean is kept (but for ratings beyond the outermost centres, which go to these), and no other split that
        keeps it spreads less. A softening kernel would lean inwards at the ends, where raters like to be.

        Parameters
        ----------
        ratings : finite array of any shape (...)

        Returns
        -------
        shares : float64 array of shape (..., count), last axis sums to 1

        >>> ScoreBins(count=4).split([1.0, 2.5, 2.75])
        array([[1.  , 0.  , 0.  , 0.  ],
               [0.  , 1.  , 0.  , 0.  ],
               [0.  , 0.75, 0.25, 0.  ]])
        """
        position = np.clip(
            (np.asarray(ratings, dtype=np.float64) - self.centers[0]) / self.width,
            0,
            self.count - 1,
        )
        return np.clip(1 - np.abs(position[..., None] - np.arange(self.count)), 0, 1)

    def expected(self, distributions) -> np.ndarray:
        """Mean score of each distribution: shape (..., count) to (...); bit for bit the same in any company."""
        return (np.asarray(distributions, dtype=np.float64) * self.centers).sum(axis=-1)

    def decode(self, distributions, sigma: float = TARGET_SIGMA) -> np.ndarray:
        """Score whose softened distribution has the same mean: undoes the inward lean of `expected` at the ends.

        ``decode(soften(s, sigma), sigma) == s`` for every s on the scale. The map is monotone, so ranks are those of
        `expected`; a mean beyond what a softened score can have decodes to the end of the scale. A sigma of 0 says
        that nothing was softened: the plain mean, clipped to the scale.

        >>> bins = ScoreBins()
        >>> bins.expected(bins.soften(5.0, 0.25)).round(2), bins.decode(bins.soften(5.0, 0.25), 0.25).round(6)
        (np.float64(4.79), np.float64(5.0))
        """
        if sigma == 0:
            return np.clip(self.expected(distributions), self.low, self.high)
        return np.interp(self.expected(distributions), *_softened_means(self, sigma))

    def check(self, distributions, what: str) -> np.ndarray:
        """`distributions` as float64, or a refusal: last axis of length count, finite, not negative, sum 1 ± 1e-5."""
        distributions = np.asarray(distributions, dtype=np.float64)
        if distributions.shape[-1:] != (self.count,):
            raise UsageError(
                f"{what}: expected {self.count} bins on the last axis; got shape {distributions.shape}."
            )
        if not np.isfinite(distributions).all() or (distributions < 0).any():
            raise UsageError(
                f"{what}: a distribution holds NaN, infinity or a negative probability."
            )
        error = np.abs(distributions.sum(axis=-1) - 1).max(initial=0)
        if error > 1e-5:
            raise UsageError(
                f"{what}: probabilities must sum to 1; one is off by {error:.2g}."
            )
        return distributions


@lru_cache(maxsize=64)
def _softened_means(bins: ScoreBins, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Means of softened scores along the scale, and those scores: what `decode` inverts."""
    grid = np.linspace(bins.low, bins.high, 8001)
    return bins.expected(bins.soften(grid, sigma)), grid
