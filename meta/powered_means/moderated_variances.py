"""Variances of few values each, steadied by one another.

Three ratings of a system tell next to nothing of their variance: by itself, its
interval needs the t quantile 4.3. All systems together tell what variances are usual,
and how much they differ; each system's own is then drawn towards the usual one, the
more the fewer values it has and the less systems differ.

Source: G. K. Smyth, Linear models and empirical Bayes methods, Statistical Applications
in Genetics and Molecular Biology 3 (2004), section 3, with moments of the variances
instead of their logarithms: equal ratings have a variance of 0.
"""

from __future__ import annotations

import numpy as np

ENOUGH_FREEDOM = 12.0
"""Beyond which a system borrows nothing: its t quantile is 2.2 then, and what it would
gain is little beside what it would risk where it differs from the others."""

_NO_VARIANCE = 1e-12
"""In squared score points: what rounding leaves of equal values."""


def moderated(
    sums_of_squares: np.ndarray, freedom: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw variances towards their mean.

    Intervals from them hold on average over systems. That of a system whose clips
    scatter far more than the others' holds less often while it has few ratings: 85 %
    instead of 95 % with three clips of each, 93 % with ten
    (`tests/benchmarks/bench_rate_less.py`, uneven systems).

    Parameters
    ----------
    sums_of_squares : array of shape (S,)
        Of residuals.
    freedom : array of shape (S,)
        Their degrees of freedom, 0 where there is nothing to tell a variance from.

    Returns
    -------
    variances : array of shape (S,)
        NaN where there is nothing to tell one from, and where all residuals are 0: a
        few values that happen to be equal do not show that all are.
    freedom : array of shape (S,)
        Their degrees of freedom with what the other systems lend; at most those of all
        systems together.
    """
    total = freedom.sum()
    if total <= 0:
        return np.full(len(freedom), np.nan), np.zeros(len(freedom))
    usual = sums_of_squares.sum() / total
    if usual <= _NO_VARIANCE:
        return np.full(len(freedom), np.nan), np.zeros(len(freedom))
    worth = _lent_freedom(sums_of_squares, freedom, usual)

    lent = np.minimum(worth, np.maximum(ENOUGH_FREEDOM - freedom, 0.0))
    known = lent + freedom
    variances = (lent * usual + sums_of_squares) / np.where(known > 0, known, np.nan)
    return variances, np.minimum(known, total)


def _lent_freedom(
    sums_of_squares: np.ndarray, freedom: np.ndarray, usual: float
) -> float:
    """How many values the usual variance is worth, infinite where all are alike.

    The logarithm of a variance that d values tell has the variance 2 / d, roughly. So
    many lend as much as the logarithms of the true variances differ by, for which
    their squared coefficient of variation v stands as log(1 + v).
    """
    has_freedom = freedom > 0
    n = int(has_freedom.sum())
    if n < 2:
        return 0.0
    own = sums_of_squares[has_freedom] / freedom[has_freedom]
    total = freedom[has_freedom].sum()
    deviations = freedom[has_freedom] * (own / usual - 1) ** 2
    spread = deviations.sum() / total * n / (n - 1)

    # What the estimates of equal normal variances would spread by themselves.
    chance = 2 * n / total
    variation = (spread - chance) / (1 + chance)
    return 2 / np.log1p(variation) if variation > 0 else np.inf
