"""What a comparison could have shown, and how many clips it would have taken.

A difference is shown when it lies beyond the quantile that Holm asks of the first of m
comparisons; one that lies further beyond, by the quantile of the power, is shown so
often. More clips make the part of the error smaller that clips bring, and no other.

Source: J. Cohen, Statistical Power Analysis (1988), section 2.4, with t quantiles.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri, stdtrit

from meta.comparison.systems.mean_scores import Part
from meta.powered_means.system_estimates import Estimate

POWER = 0.8
"""How often a difference should be shown that is there."""


def smallest_shown(difference: Estimate, n_comparisons: int, level: float) -> float:
    """The true difference that is shown in 80 % of such comparisons; NaN if unknown.

    Parameters
    ----------
    difference : Estimate
    n_comparisons : int
        Among which p-values are adjusted.
    level : float
        One minus the chance of any false claim.
    """
    if not np.isfinite(difference.deviation):
        return np.nan
    freedom = max(difference.freedom, 1.0)
    tail = (1 - level) / 2 / n_comparisons
    return float(
        (stdtrit(freedom, 1 - tail) + stdtrit(freedom, POWER)) * difference.deviation
    )


def clips_needed(
    value: float, clips: Part, others: float, *, size: float, counts: tuple[int, float]
) -> float:
    """How many more prompts (or clips) of each system would show a difference.

    Parameters
    ----------
    value : float
        The difference, taken for the true one.
    clips : Part
        Its variance over clips and prompts.
    others : float
        Its other variance, which more clips leave as it is.
    size : float
        Prompts of each system now.
    counts : (number of comparisons, level), as in `smallest_shown`

    Returns
    -------
    more : float
        A whole number, infinite where no number would do; NaN where it is not known.
    """
    if not np.isfinite(clips.variance):
        return np.nan
    n_comparisons, level = counts
    # With the many clips that it takes, Student's t is the normal distribution.
    quantiles = ndtri(1 - (1 - level) / 2 / n_comparisons) + ndtri(POWER)
    bearable = (value / quantiles) ** 2 - others
    if bearable <= 0:
        return math.inf
    return float(max(math.ceil(size * (clips.variance / bearable - 1)), 1))
