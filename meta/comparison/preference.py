"""Probability that listeners prefer one clip to another, from predicted distributions.

A clip is preferred when its mean rating is the higher one; a single listener's vote is
less sure than that. Each distribution says where the mean of its clip lies, and equal
bins count half to either side. For Gaussian distributions this is Thurstone's law of
comparative judgement (Psychological Review 34, 1927), for any others the probability of
Mann and Whitney (Ann. Math. Statist. 18, 1947).

The two errors are taken for independent. Measured on clips that no fit has seen, that
is right for clips of two systems and two prompts. It is not for two clips of one
system, between which a score tells less than between systems, nor for two clips of one
prompt, whose errors are alike: there the probit of the preference is multiplied by a
factor that is learnt from pairs, see `meta.comparison.pairs.pair_calibration`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from base_models.errors import UsageError


def preference(
    first: ArrayLike, second: ArrayLike, factor: ArrayLike = 1.0
) -> np.ndarray:
    """Probability that the first clip is preferred to the second.

    Parameters
    ----------
    first, second : arrays of shape (..., bins)
        Distributions over the same bins; those of one clip broadcast against others.
    factor : float, or array of shape (...)
        Of the probit, see `PairFactors.of`.

    Returns
    -------
    probabilities : float64 array of shape (...)
        ``preference(a, b) + preference(b, a)`` is 1, and 0.5 where both distributions
        are equal; NaN where one of them is.

    Raises
    ------
    UsageError
        when bins differ in number, or a factor is not positive.

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
            "Distributions to compare lie over the same bins; got shapes "
            f"{first.shape} and {second.shape}."
        )
    factor = np.asarray(factor, dtype=np.float64)
    if not (factor > 0).all():
        raise UsageError(f"Factors of preferences are positive; got {factor.min():g}.")

    # Probability of the bins below each bin, for either side.
    below_second = np.cumsum(second, axis=-1) - second
    below_first = np.cumsum(first, axis=-1) - first
    higher = np.sum(first * below_second, axis=-1)
    lower = np.sum(second * below_first, axis=-1)
    # Of the difference, so that the two directions sum to 1 exactly.
    independent = np.clip(0.5 + (higher - lower) / 2, 0, 1)
    if (factor == 1).all():
        return independent
    return np.asarray(special.ndtr(special.ndtri(independent) * factor))
