"""What interval to expect of a metric, from the number of points alone.

Before a test is run there is nothing to resample. These intervals hold for points that
are independent; clips of one system err alike, so that intervals over systems (see
`intervals`) may be wider. The two scores are taken to be normal: with heavy tails an
interval of 95 % holds the correlation in about 90 % of tests of 15 to 30 points.
"""

from __future__ import annotations

import math

from base_models.errors import UsageError
from base_models.metrics.bootstrap import check_level
from base_models.metrics.intervals import (
    FEWEST_POINTS,
    Interval,
    mse_interval,
    srcc_interval,
)


def expected_srcc_interval(srcc: float, n: int, level: float = 0.95) -> Interval | None:
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
    interval : Interval or None
        None below `FEWEST_POINTS` points.

    Raises
    ------
    UsageError
        When `srcc` is no correlation, or `level` does not lie between 0 and 1.

    Notes
    -----
    As `base_models.metrics.intervals.srcc_interval`, with the Kendall correlation that
    goes with `srcc` where both scores are normal.

    Examples
    --------
    >>> interval = expected_srcc_interval(0.8, 20)
    >>> round(interval.low, 2), round(interval.high, 2)
    (0.47, 0.95)
    """
    check_level(level)
    if not -1 <= srcc <= 1:
        raise UsageError(f"A correlation lies between -1 and 1; got {srcc}.")
    if n < FEWEST_POINTS:
        return None

    # Greiner's relations between the correlations of two normal variables.
    ktau = 2 / math.pi * math.asin(2 * math.sin(math.pi / 6 * srcc))
    return srcc_interval(srcc, ktau, n, level=level)


def expected_mse_interval(n: int, level: float = 0.95) -> Interval | None:
    """The interval of a mean squared error on n points, as multiples of its value.

    Parameters
    ----------
    n : int
        Number of points.
    level : float

    Returns
    -------
    interval : Interval or None
        1 stands for the measured error. None below `FEWEST_POINTS` points.

    Raises
    ------
    UsageError
        When `level` does not lie between 0 and 1.

    Examples
    --------
    >>> interval = expected_mse_interval(20)
    >>> round(interval.low, 2), round(interval.high, 2)
    (0.59, 2.09)
    """
    check_level(level)
    if n < FEWEST_POINTS:
        return None
    return mse_interval(1.0, n, level)
