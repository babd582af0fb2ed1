"""Whether few clips say clearly enough that the plain mean of the models is off."""

from __future__ import annotations

import numpy as np

CLEAR_SHIFT = 1.5
CLEAR_SLOPE = 2.0
"""Standard errors below which nothing is moved; that of a slope is known less well."""


def clear_share(
    move: float, terms: np.ndarray, group: np.ndarray, clear: float
) -> float:
    """The share of an estimated move that is to be made, from 0 to 1.

    A move that may be chance costs more with few clips than it gives, so that it is
    not made; of one that is clear, hardly anything is held back.

    Parameters
    ----------
    move : the estimate
    terms : array of shape (n,), what each row adds to the estimate's error
    group : int array of shape (n,), rows that err together
    clear : standard errors below which nothing is moved

    Notes
    -----
    With a move d of variance v, the share is ``1 - (k^2 v / d^2)^2``, or 0 where that
    is negative, for k standard errors that are clear. The variance is over groups, but
    at least that over rows: few groups may lie close by chance.
    """
    if move == 0:
        return 0.0
    _, code = np.unique(group, return_inverse=True)
    group_sums = np.bincount(code, weights=terms)
    variance = max(_variance_of_sum(group_sums), _variance_of_sum(terms))
    unclear = clear**2 * variance / move**2
    return max(0.0, 1 - unclear**2)


def _variance_of_sum(terms: np.ndarray) -> float:
    """Variance of a sum of independent terms of mean 0; infinite for a single one."""
    if len(terms) < 2:
        return np.inf
    return float((terms**2).sum() * len(terms) / (len(terms) - 1))
