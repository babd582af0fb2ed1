"""Probability that listeners prefer one clip to another, from predicted distributions.

A clip is preferred when its mean rating is the higher one. Each distribution says where
that of its clip lies; equal bins count half to either side (Thurstone 1927 for Gaussian
distributions of one width; the same of any distribution, with ties split, is the area
under the ROC curve of Mann and Whitney 1947).

The errors of two scores may agree: a stack that is wrong about a system is wrong about
both of its clips, and their difference is known better than each. `correlation` is that
agreement. Where two distributions are Gaussian the difference is as well, and what it
narrows multiplies the probit of the preference; that factor is taken for any others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from base_models.errors import UsageError

LARGEST_CORRELATION = 0.95
"""Errors that agreed fully would make every preference certain."""


def preference(
    first: ArrayLike, second: ArrayLike, correlation: ArrayLike = 0.0
) -> np.ndarray:
    """Probability that the first clip is preferred to the second.

    Parameters
    ----------
    first, second : arrays of shape (..., bins)
        Distributions over the same bins; those of one clip broadcast against others.
    correlation : float, or array of shape (...)
        Of the errors of the two scores, from -1 to `LARGEST_CORRELATION`.

    Returns
    -------
    probabilities : float64 array of shape (...)
        ``preference(a, b) + preference(b, a)`` is 1, and 0.5 where both distributions
        are equal; NaN where one of them is.

    Raises
    ------
    UsageError
        when bins differ in number, or a correlation is out of range.

    Examples
    --------
    >>> preference([0.0, 0.5, 0.5], [0.5, 0.5, 0.0])
    np.float64(0.875)
    >>> preference([0.5, 0.5], [0.5, 0.5])
    np.float64(0.5)
    """
    first = np.asarray(first, dtype=np.float64)
    second = np.asarray(second, dtype=np.float64)
    if first.shape[-1:] != second.shape[-1:]:
        raise UsageError(
            f"Distributions to compare lie over the same bins; got {first.shape[-1]} "
            f"and {second.shape[-1]}."
        )
    rho = np.asarray(correlation, dtype=np.float64)
    if not ((rho >= -1) & (rho <= LARGEST_CORRELATION)).all():
        raise UsageError(f"Errors correlate by -1 to {LARGEST_CORRELATION}; got {rho}.")

    # Probability of the bins below each bin, for either side.
    below_second = np.cumsum(second, axis=-1) - second
    below_first = np.cumsum(first, axis=-1) - first
    higher = np.sum(first * below_second, axis=-1)
    lower = np.sum(second * below_first, axis=-1)
    # Of the difference, so that the two directions sum to 1 exactly.
    independent = np.clip(0.5 + (higher - lower) / 2, 0, 1)
    if not rho.any():
        return independent
    return sharpened(independent, _narrowing(first, second, rho))


def sharpened(probabilities: ArrayLike, factor: ArrayLike) -> np.ndarray:
    """Probabilities with their probit multiplied: away from 0.5 where factor > 1.

    Parameters
    ----------
    probabilities, factor : arrays of shapes that broadcast

    Examples
    --------
    >>> sharpened([0.5, 0.8], 2.0).round(3)
    array([0.5  , 0.954])
    """
    probits = special.ndtri(np.asarray(probabilities, dtype=np.float64))
    return np.asarray(special.ndtr(probits * factor))


def _narrowing(first: np.ndarray, second: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """How many times narrower the difference is than that of independent errors.

    Parameters
    ----------
    first, second : arrays of shape (..., bins)
    rho : array of shape (...), correlation of the errors

    Returns
    -------
    factor : array of shape (...); 1 where both distributions are points
    """
    of_first = _variance(first)
    of_second = _variance(second)
    independent = of_first + of_second
    correlated = independent - 2 * rho * np.sqrt(of_first * of_second)
    is_wide = independent > 0
    shares = np.divide(
        correlated, independent, out=np.ones_like(correlated), where=is_wide
    )
    return 1 / np.sqrt(shares)


def _variance(distributions: np.ndarray) -> np.ndarray:
    """Variance of each distribution, in squared bins: (..., bins) to (...)."""
    bin_numbers = np.arange(distributions.shape[-1])
    means = np.sum(distributions * bin_numbers, axis=-1)
    squares = np.sum(distributions * bin_numbers**2, axis=-1)
    return np.maximum(squares - means**2, 0)
