"""What interval to expect of a metric, from the number of points alone.

Before a test is run there is nothing to resample. These intervals hold for points that
are independent; clips of one system err alike, so that intervals over systems (see
`bootstrap`) may be wider.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from base_models.errors import UsageError

FEWEST_POINTS = 5
"""Below so many points no interval of a rank correlation is given: every one that is
wide enough to be true says nothing."""


@dataclass(frozen=True)
class ExpectedInterval:
    """Both ends of an interval."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the distance between the ends."""
        return (self.high - self.low) / 2


def expected_srcc_interval(
    srcc: float, n: int, level: float = 0.95
) -> ExpectedInterval | None:
    """The interval of a Spearman correlation that is measured on n points.

    Parameters
    ----------
    srcc : float
        The measured correlation, between -1 and 1.
    n : int
        Number of points: clips, or systems.
    level : float

    Returns
    -------
    interval : ExpectedInterval or None
        None below `FEWEST_POINTS` points.

    Raises
    ------
    UsageError
        When `srcc` is no correlation, or `level` does not lie between 0 and 1.

    Notes
    -----
    The variance of Fisher's z is (1 + srcc² / 2) / (n - 3): Bonett and Wright 2000,
    "Sample size requirements for estimating Pearson, Kendall and Spearman
    correlations", Psychometrika 65. With the quantile of t with n - 3 degrees of
    freedom instead of the normal one, since few systems are the rule. A correlation of
    1 would have no width, so it counts as no more than 1 - 3 / (n (n² - 1)), a quarter
    of the way to the next lower value that n points can have.

    Examples
    --------
    >>> interval = expected_srcc_interval(0.8, 20)
    >>> round(interval.low, 2), round(interval.high, 2)
    (0.47, 0.93)
    """
    _check_level(level)
    if not -1 <= srcc <= 1:
        raise UsageError(f"A correlation lies between -1 and 1; got {srcc}.")
    if n < FEWEST_POINTS:
        return None

    limit = 1 - 3 / (n * (n**2 - 1))
    capped = min(max(srcc, -limit), limit)
    z = math.atanh(capped)
    error = math.sqrt((1 + capped**2 / 2) / (n - 3))
    reach = float(stats.t.ppf((1 + level) / 2, n - 3)) * error
    return ExpectedInterval(low=math.tanh(z - reach), high=math.tanh(z + reach))


def expected_mse_interval(n: int, level: float = 0.95) -> ExpectedInterval | None:
    """The interval of a mean squared error on n points, as multiples of its value.

    Parameters
    ----------
    n : int
        Number of points.
    level : float

    Returns
    -------
    interval : ExpectedInterval or None
        1 stands for the measured error. None below 2 points.

    Raises
    ------
    UsageError
        When `level` does not lie between 0 and 1.

    Notes
    -----
    n times the mean of squared errors that are normally distributed about 0 is their
    variance times chi-square with n degrees of freedom. Errors with heavier tails have
    a wider interval.

    Examples
    --------
    >>> interval = expected_mse_interval(20)
    >>> round(interval.low, 2), round(interval.high, 2)
    (0.59, 2.09)
    """
    _check_level(level)
    if n < 2:
        return None
    upper_quantile = float(stats.chi2.ppf((1 + level) / 2, n))
    lower_quantile = float(stats.chi2.ppf((1 - level) / 2, n))
    return ExpectedInterval(low=n / upper_quantile, high=n / lower_quantile)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise UsageError(f"The level of an interval lies between 0 and 1; got {level}.")
