"""A rating scale cut into bins, and the conversions between scores and distributions.

`ScoreBins` is the only place that defines the scale, the bin grid and the widths of
the softening kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from base_models.errors import UsageError, one_of
from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike
else:
    np = LazyLibrary("numpy")

# The paper of DORA-MOS states neither width; both are those of its published code.
TARGET_SIGMA = 0.25
"""Kernel width of training targets, in score points."""
SOFTEN_SIGMA = 0.35
"""Kernel width that turns a scalar prediction into a distribution, in score points."""

MOST_BINS = 1_000
"""A number of bins may come from a file, and every distribution has as many numbers."""

# Halvings of the scale that leave no more than rounding.
_BISECTIONS = 50


@dataclass(frozen=True)
class ScoreBins:
    """Equal-width bins on a rating scale.

    Parameters
    ----------
    low, high : float, ends of the scale
    count : int, number of bins
    grid : ``"midpoints"`` or ``"endpoints"``
        ``"midpoints"`` are the centres of `count` equal-width bins that span the scale
        (DORA-MOS, section II.C); ``"endpoints"`` are `count` points from `low` to
        `high` inclusive (its published code).

    Examples
    --------
    >>> ScoreBins(count=4).centers
    array([1.5, 2.5, 3.5, 4.5])
    >>> ScoreBins(count=5, grid="endpoints").centers
    array([1., 2., 3., 4., 5.])
    """

    low: float = 1.0
    high: float = 5.0
    count: int = 20
    grid: str = "midpoints"

    def __post_init__(self) -> None:
        one_of(self.grid, ("midpoints", "endpoints"), "bin grid")
        # Comparisons with NaN are false, so that it is refused as well.
        ascends = self.low < self.high
        if not ascends or self.count < 2:
            raise UsageError(
                "A scale needs low < high and at least 2 bins; "
                f"got {self.low}..{self.high}, {self.count}."
            )
        if self.count > MOST_BINS:
            raise UsageError(
                f"A scale has at most {MOST_BINS:,} bins; got {self.count:,}."
            )

    @cached_property
    def centers(self) -> np.ndarray:
        """Bin centres, shape (count,)."""
        if self.grid == "endpoints":
            return np.linspace(self.low, self.high, self.count)
        steps_from_low = np.arange(self.count) + 0.5
        return self.low + self.width * steps_from_low

    @property
    def width(self) -> float:
        """Distance between neighbouring centres, in score points."""
        # With endpoints, half a bin at each end lies beyond the scale.
        steps = self.count
        if self.grid == "endpoints":
            steps = self.count - 1
        return (self.high - self.low) / steps

    @property
    def soften_sigma(self) -> float:
        """Kernel width for scalar predictions: 0.35 on 1..5, proportional elsewhere."""
        return SOFTEN_SIGMA * (self.high - self.low) / 4

    def soften(self, scores: ArrayLike, sigma: ArrayLike = SOFTEN_SIGMA) -> np.ndarray:
        """Gaussian label softening (DORA-MOS, Eq. 1).

        Parameters
        ----------
        scores : array of any shape (...)
            Scores on the scale; those outside are moved to its nearer end.
        sigma : float, or array of the shape of `scores`
            Kernel width in score points.

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
        widths = np.asarray(sigma, dtype=np.float64)
        if not (widths > 0).all():
            raise UsageError(f"sigma must be positive; got {widths.min():g}.")

        # Distance of each score to each centre: (..., count).
        clipped = np.clip(scores, self.low, self.high)
        distance = clipped[..., None] - self.centers
        standardised = distance / widths[..., None]
        exponent = -0.5 * standardised**2

        # With the largest exponent moved to 0, a tiny sigma cannot turn all weights
        # of a row into 0.
        largest = exponent.max(axis=-1, keepdims=True)
        weights = np.exp(exponent - largest)
        totals = weights.sum(axis=-1, keepdims=True)
        return weights / totals

    def gaussians(self, means: ArrayLike, sigma: ArrayLike) -> np.ndarray:
        """Gaussian distributions, cut off at the ends of the scale, of given means.

        Parameters
        ----------
        means : array of any shape (...)
            Scores on the scale.
        sigma : float, or array of the shape of `means`
            Width in score points, before the cut.

        Returns
        -------
        distributions : float64 array of shape (..., count)
            `expected` gives `means` back, or the nearest mean that a distribution of
            that width, with its peak on the scale, can have.

        Examples
        --------
        >>> bins = ScoreBins()
        >>> float(bins.expected(bins.gaussians(4.5, 0.5)).round(6))
        4.5
        """
        means = np.asarray(means, dtype=np.float64)
        # The cut moves the mean inwards, so the centre is sought by bisection: the mean
        # grows with it.
        lowest = np.full(means.shape, self.low)
        highest = np.full(means.shape, self.high)
        for _ in range(_BISECTIONS):
            middle = (lowest + highest) / 2
            is_below = self.expected(self.soften(middle, sigma)) < means
            lowest = np.where(is_below, middle, lowest)
            highest = np.where(is_below, highest, middle)
        return self.soften((lowest + highest) / 2, sigma)

    def split(self, ratings: ArrayLike) -> np.ndarray:
        """Share each rating out between its two nearest bin centres.

        The shares are in proportion to nearness, so that the mean of each row is the
        rating itself. Ratings beyond the outermost centres go wholly to those.

        Parameters
        ----------
        ratings : finite array of any shape (...)

        Returns
        -------
        shares : float64 array of shape (..., count), last axis sums to 1

        Notes
        -----
        No other split that keeps the mean spreads less. A softening kernel would lean
        inwards at the ends of the scale, where many ratings lie; and with the whole
        rating in its nearest bin, whole-number ratings on the edge between two bins
        would fall to either side by rounding.

        Examples
        --------
        >>> ScoreBins(count=4).split([1.0, 2.5, 2.75])
        array([[1.  , 0.  , 0.  , 0.  ],
               [0.  , 1.  , 0.  , 0.  ],
               [0.  , 0.75, 0.25, 0.  ]])
        """
        ratings = np.asarray(ratings, dtype=np.float64)
        first_center = self.centers[0]
        offset = ratings - first_center

        # In bins from the first centre; beyond the outermost ones nothing is nearer.
        last_bin = self.count - 1
        position = np.clip(offset / self.width, 0, last_bin)

        # A rating gives to the centres that are less than one bin away (..., count).
        bin_numbers = np.arange(self.count)
        distance = np.abs(position[..., None] - bin_numbers)
        return np.clip(1 - distance, 0, 1)

    def expected(self, distributions: ArrayLike) -> np.ndarray:
        """Mean score of each distribution: shape (..., count) to (...)."""
        distributions = np.asarray(distributions, dtype=np.float64)

        # Not a matrix product: its order of summation depends on the number of rows,
        # while this gives a row the same bits whatever rows stand beside it.
        weighted_centers = distributions * self.centers
        return weighted_centers.sum(axis=-1)

    def decode(
        self,
        distributions: ArrayLike,
        sigma: float = TARGET_SIGMA,
    ) -> np.ndarray:
        """Score whose softened distribution has the same mean.

        This inverts `soften`: ``decode(soften(s, sigma), sigma) == s`` for every s on
        the scale. The map is monotone, so ranks are those of `expected`.

        Parameters
        ----------
        distributions : array of shape (..., count)
        sigma : float
            Width of the kernel that softened the scores. 0 means that nothing was
            softened: the result is the plain mean, clipped to the scale.

        Returns
        -------
        scores : float64 array of shape (...)
            A mean beyond what a softened score can have decodes to the end of the
            scale.

        Notes
        -----
        The kernel is cut off at the ends of the scale, so `expected` of a softened
        score leans inwards there.

        Examples
        --------
        >>> bins = ScoreBins()
        >>> bins.expected(bins.soften(5.0, 0.25)).round(2)
        np.float64(4.79)
        >>> bins.decode(bins.soften(5.0, 0.25), 0.25).round(6)
        np.float64(5.0)
        """
        mean = self.expected(distributions)
        if sigma == 0:
            return np.clip(mean, self.low, self.high)

        # The map from score to mean rises, so that interpolation inverts it.
        softened_means, scores = _softened_means(self, sigma)
        return np.interp(mean, softened_means, scores)

    def check(self, distributions: ArrayLike, what: str) -> np.ndarray:
        """Validate distributions and return them as float64.

        Parameters
        ----------
        distributions : array of shape (..., count)
        what : str, how a message calls them

        Raises
        ------
        UsageError
            when the last axis has another length, a value is not finite or is
            negative, or a sum is further from 1 than 1e-5.
        """
        distributions = np.asarray(distributions, dtype=np.float64)
        # A slice, because a single number has no last axis.
        last_axis = distributions.shape[-1:]
        if last_axis != (self.count,):
            raise UsageError(
                f"{what}: expected {self.count} bins on the last axis; "
                f"got shape {distributions.shape}."
            )
        is_finite = np.isfinite(distributions).all()
        has_negative = (distributions < 0).any()
        if not is_finite or has_negative:
            raise UsageError(
                f"{what}: a distribution holds NaN, infinity or a negative probability."
            )

        # `initial` because there may be no distribution at all.
        sums = distributions.sum(axis=-1)
        sum_errors = np.abs(sums - 1)
        largest_error = sum_errors.max(initial=0)
        if largest_error > 1e-5:
            raise UsageError(
                f"{what}: probabilities must sum to 1; one is off by "
                f"{largest_error:.2g}."
            )
        return distributions


@lru_cache(maxsize=64)
def _softened_means(
    bins: ScoreBins,
    sigma: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Tabulate the means of softened scores, and those scores, for `decode`."""
    # Half a thousandth of a score point apart on 1..5.
    scores = np.linspace(bins.low, bins.high, 8001)
    softened = bins.soften(scores, sigma)
    return bins.expected(softened), scores
