"""One preference of several aspects, and the chance of being the best of many.

Overall, a clip is preferred when the weighted mean of its aspects' ratings is the
higher one. The difference of an aspect is taken for Gaussian, with the spread that both
distributions give it, and with the mean under which its own preference is what it is;
that of a single aspect stays as it was. Errors of aspects are correlated as those of
the stack were on clips that it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special

from base_models.bins import ScoreBins

FEWEST_ROWS = 30
"""Rows that are rated for both aspects, to tell how their errors are correlated."""
POINTS = 401
"""Points of the scale at which `chances_of_best` compares clips."""

# A probability of 0 has no probit.
_CERTAIN = 1e-12


def error_correlations(
    errors_of_aspects: Sequence[Mapping[str, float] | None],
) -> np.ndarray:
    """How the errors of aspects are correlated within clips.

    Parameters
    ----------
    errors_of_aspects : for each aspect the error of each clip on which the learner was
        not fitted, by clip id; None where they are not known

    Returns
    -------
    correlations : float64 array of shape (aspects, aspects), from 0 to 1; 1 where it
        cannot be told, which leaves an overall preference least sure
    """
    known = list(errors_of_aspects)
    correlations = np.ones((len(known), len(known)))
    for k, first in enumerate(known):
        for j, second in enumerate(known[:k]):
            if first is None or second is None:
                continue
            shared = [clip for clip in first if clip in second]
            if len(shared) < FEWEST_ROWS:
                continue
            pairs = np.array([[first[clip], second[clip]] for clip in shared])
            # Errors that never differ are correlated with nothing.
            if (pairs.std(axis=0) > 0).all():
                found = np.corrcoef(pairs, rowvar=False)[0, 1]
                correlations[k, j] = correlations[j, k] = np.clip(found, 0, 1)
    return correlations


def overall_preference(
    preferences: np.ndarray,
    spreads: np.ndarray,
    weights: np.ndarray,
    correlations: np.ndarray,
) -> np.ndarray:
    """Probability that the first clip of each pair is preferred overall.

    Parameters
    ----------
    preferences : array of shape (n, aspects)
        For the first clip; NaN where an aspect is not known, which then does not count.
    spreads : array of shape (n, aspects)
        Standard deviation of the difference of both clips.
    weights : array of shape (aspects,), not negative
    correlations : array of shape (aspects, aspects), see `error_correlations`

    Returns
    -------
    probabilities : float64 array of shape (n,)
        NaN where no aspect of positive weight is known.
    """
    is_known = np.isfinite(preferences) & (weights > 0)
    shares = np.where(is_known, weights, 0.0)
    likely = np.clip(np.where(is_known, preferences, 0.5), _CERTAIN, 1 - _CERTAIN)
    widths = np.where(is_known, spreads, 0.0)
    means = special.ndtri(likely) * widths

    difference = np.sum(shares * means, axis=1)
    parts = shares * widths
    variance = np.einsum("nk,kj,nj->n", parts, correlations, parts)
    is_wide = variance > 0
    probit = np.divide(
        difference, np.sqrt(variance), out=np.zeros(len(parts)), where=is_wide
    )
    found = special.ndtr(probit)
    return np.where(is_known.any(axis=1), found, np.nan)


def overall_moments(
    distributions: np.ndarray,
    weights: np.ndarray,
    correlations: np.ndarray,
    bins: ScoreBins,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the weighted mean of each clip's aspects.

    Parameters
    ----------
    distributions : array of shape (n, aspects, bins), NaN where an aspect is not known
    weights, correlations : see `overall_preference`
    bins : of the distributions

    Returns
    -------
    means, spreads : float64 arrays of shape (n,), in score points; NaN where no aspect
        of positive weight is known
    """
    means, widths = moments(distributions, bins)
    is_known = np.isfinite(means) & (weights > 0)
    shares = np.where(is_known, weights, 0.0)
    totals = shares.sum(axis=1, keepdims=True)
    shares = np.divide(
        shares, totals, out=np.full_like(shares, np.nan), where=totals > 0
    )
    parts = shares * np.where(is_known, widths, 0.0)
    overall = np.sum(shares * np.where(is_known, means, 0.0), axis=1)
    variance = np.einsum("nk,kj,nj->n", parts, correlations, parts)
    return overall, np.sqrt(variance)


def moments(distributions: np.ndarray, bins: ScoreBins) -> tuple[np.ndarray, ...]:
    """Mean and standard deviation of distributions (..., bins), in score points."""
    means = bins.expected(distributions)
    from_mean = bins.centers - means[..., None]
    variances = np.sum(distributions * from_mean**2, axis=-1)
    return means, np.sqrt(np.maximum(variances, 0))


def chances_of_best(
    means: np.ndarray, spreads: np.ndarray, factor: float = 1.0
) -> np.ndarray:
    """Probability of each clip of a group to be rated highest of them.

    Parameters
    ----------
    means, spreads : arrays of shape (n,), in score points
    factor : of the differences of means, as `PairFactors` has for a pair

    Returns
    -------
    chances : float64 array of shape (n,), sum to 1

    Notes
    -----
    For each clip the probability that all others lie below it, averaged over where it
    may lie itself; errors are Gaussian and independent.

    Examples
    --------
    >>> chances_of_best(np.array([3.0, 3.0, 2.0]), np.full(3, 0.3)).round(2)
    array([0.5, 0.5, 0. ])
    """
    drawn = means.mean() + factor * (means - means.mean())
    # A clip whose error is 0 would have no density.
    widths = np.maximum(spreads, 1e-3 * max(float(spreads.max()), 1e-6))
    low = (drawn - 6 * widths).min()
    high = (drawn + 6 * widths).max()
    edges = np.linspace(low, high, POINTS)

    # Chance of lying within each piece of the line, and below its middle.
    within = np.diff(special.ndtr((edges - drawn[:, None]) / widths[:, None]), axis=1)
    middles = (edges[1:] + edges[:-1]) / 2
    below = special.log_ndtr((middles - drawn[:, None]) / widths[:, None])
    all_others = np.exp(below.sum(axis=0) - below)
    chances = np.sum(within * all_others, axis=1)
    return np.asarray(chances / chances.sum())
