"""Intervals of metrics that hold for few systems.

With few points the percentile bootstrap is too narrow, and on points in perfect order
it has no width at all. What is printed is therefore the hull of two kinds of interval:

- percentiles of the resampled values, moved outwards as a normal quantile is to
  Student's t (`expanded_percentiles`);
- intervals that follow from the number of points (`srcc_interval`, `lcc_interval`,
  `ktau_interval`, `mse_interval`), which have a width for any value.

Notes
-----
`tests/benchmarks/bench_intervals.py` measures how often the truth lies inside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from base_models.metrics.bootstrap import check_level, percentiles

FEWEST_POINTS = 5
"""Of fewer points (systems, or clips where these are resampled) there is no interval:
every one that is wide enough to be true says nothing."""


@dataclass(frozen=True)
class Interval:
    """Both ends of an interval; NaN where there is none."""

    low: float
    high: float

    @classmethod
    def hull(cls, *intervals: Interval) -> Interval:
        """The least interval that holds all those given; NaN where one is."""
        return cls(
            low=float(np.min([one.low for one in intervals])),
            high=float(np.max([one.high for one in intervals])),
        )

    @classmethod
    def undefined(cls) -> Interval:
        """No interval."""
        return cls(low=math.nan, high=math.nan)

    @property
    def half_width(self) -> float:
        """Half of the distance between the ends."""
        return (self.high - self.low) / 2


def metric_interval(
    metric: str,
    values: Mapping[str, float],
    resampled: np.ndarray,
    *,
    n_points: int,
    n_units: int,
    level: float,
) -> Interval:
    """The interval of a metric that was measured and resampled.

    Parameters
    ----------
    metric : ``"mse"``, ``"lcc"``, ``"srcc"`` or ``"ktau"``
    values : metric to its measured value; that of ``"ktau"`` is needed for any
        correlation
    resampled : array of shape (resamples,), NaN where undefined
    n_points : int
        What is compared: clips or systems.
    n_units : int
        What was resampled; fewer than points where whole systems of clips were.
    level : float

    Returns
    -------
    interval : Interval
        NaN below `FEWEST_POINTS` units, for an undefined value, and where nothing was
        resampled or more than half of the resamples are undefined.

    Raises
    ------
    UsageError
        when `level` does not lie between 0 and 1.
    """
    expanded = expanded_percentiles(resampled, level, n_units)
    has_values = math.isfinite(values[metric]) and math.isfinite(expanded.low)
    if n_points < FEWEST_POINTS or not has_values:
        return Interval.undefined()

    if metric == "mse":
        error = values["mse"]
        freedom = mse_freedom(error, resampled, n_units)
        # Points that err alike have fewer degrees of freedom than they are.
        freedom = min(freedom, n_points)
        return Interval.hull(expanded, mse_interval(error, freedom, level))
    if metric == "lcc":
        analytic = lcc_interval(values["lcc"], values["ktau"], n_points, level=level)
    elif metric == "srcc":
        analytic = srcc_interval(values["srcc"], values["ktau"], n_points, level=level)
    else:
        analytic = ktau_interval(values["ktau"], n_points, level)
    return Interval.hull(expanded, analytic)


def expanded_percentiles(values: np.ndarray, level: float, n_units: int) -> Interval:
    """Percentiles of resampled values that allow for few resampled units.

    Parameters
    ----------
    values : array of shape (resamples,), NaN where undefined
    level : float, coverage
    n_units : int, what was resampled: systems, or clips

    Returns
    -------
    interval : Interval
        NaN below `FEWEST_POINTS` units, and when all resamples are undefined, or more
        than half.

    Raises
    ------
    UsageError
        when `level` does not lie between 0 and 1.

    Notes
    -----
    Of n units the resampled values spread by a factor ``sqrt((n - 1) / n)`` too little,
    and a normal quantile is too small where the spread is estimated. The tail beyond
    each end is Phi(-t sqrt(n / (n - 1))), with the quantile t of Student's distribution
    with n - 1 degrees of freedom: Hesterberg 2015, "What teachers should know about the
    bootstrap", The American Statistician 69, section 4.2.
    """
    check_level(level)
    if n_units < FEWEST_POINTS:
        return Interval.undefined()
    quantile = special.stdtrit(n_units - 1, (1 + level) / 2)
    tail = special.ndtr(-quantile * math.sqrt(n_units / (n_units - 1)))
    low, high = percentiles(values, 1 - 2 * float(tail))
    return Interval(low=low, high=high)


def mse_freedom(mse: float, resampled: np.ndarray, n_units: int) -> float:
    """Degrees of freedom of a mean squared error, from how its resamples spread.

    Parameters
    ----------
    mse : float, measured
    resampled : array of shape (resamples,)
    n_units : int, at least `FEWEST_POINTS`: what was resampled

    Returns
    -------
    freedom : float
        No fewer than units, which is the number where all clips of a system err alike.

    Notes
    -----
    A mean of squares with the variance v has about 2 mse² / v degrees of freedom
    (Satterthwaite 1946, "An approximate distribution of estimates of variance
    components", Biometrics Bulletin 2). Of few units v is underestimated wherever a
    large error is not among them, so that they count as (n - 1) / (n + 3) of that.
    """
    # Resampled values spread too little by this factor, see `expanded_percentiles`.
    variance = np.nanvar(resampled) * n_units / (n_units - 1)
    if variance <= 0:
        return n_units
    freedom = 2 * mse**2 / variance * (n_units - 1) / (n_units + 3)
    return max(float(freedom), n_units)


# ---- from the number of points alone


def srcc_interval(srcc: float, ktau: float, n: int, *, level: float) -> Interval:
    """The interval of a Spearman correlation of n points.

    Parameters
    ----------
    srcc, ktau : float
        Measured on the points.
    n : int, at least `FEWEST_POINTS`
    level : float

    Notes
    -----
    The hull of two intervals on Fisher's z with the variance (1 + srcc² / 2) / (n - 3)
    of Bonett and Wright 2000 ("Sample size requirements for estimating Pearson, Kendall
    and Spearman correlations", Psychometrika 65), and the quantile of t with n - 3
    degrees of freedom:

    - of the measured correlation, which expects too little where it is high;
    - of the estimate ((n + 1) srcc - 3 ktau) / (n - 2), which does not: Hoeffding 1948,
      "A class of statistics with asymptotically normal distribution", section 9e.

    A correlation of 1 would have no width, so it counts as no more than
    1 - 3 / (n (n² - 1)), a quarter of the way to the next lower value of n points.
    """
    limit = 1 - 3 / (n * (n**2 - 1))
    unbiased = ((n + 1) * srcc - 3 * ktau) / (n - 2)
    intervals = []
    for estimate in (srcc, unbiased):
        capped = min(max(estimate, -limit), limit)
        error = math.sqrt((1 + capped**2 / 2) / (n - 3))
        intervals.append(_on_fisher_z(capped, error, n - 3, level=level))
    return Interval.hull(*intervals)


def lcc_interval(lcc: float, ktau: float, n: int, *, level: float) -> Interval:
    """The interval of a linear correlation of n points.

    Parameters
    ----------
    lcc, ktau : float
        Measured on the points.
    n : int, at least `FEWEST_POINTS`
    level : float

    Notes
    -----
    The hull of two intervals on Fisher's z with the variance 1 / (n - 3) and the
    quantile of t with n - 3 degrees of freedom: of the measured correlation, and of
    sin(pi ktau / 2), which is the same number in a large sample of any elliptical
    distribution (Lindskog, McNeil and Schmock 2003, "Kendall's tau for elliptical
    distributions") and is not carried off by one system that is far from the others.
    """
    limit = math.sin(math.pi / 2 * _ktau_limit(n))
    intervals = []
    for estimate in (lcc, math.sin(math.pi / 2 * ktau)):
        capped = min(max(estimate, -limit), limit)
        error = math.sqrt(1 / (n - 3))
        intervals.append(_on_fisher_z(capped, error, n - 3, level=level))
    # The cap may lie below the measured value itself.
    return Interval.hull(*intervals, Interval(low=lcc, high=lcc))


def ktau_interval(ktau: float, n: int, level: float) -> Interval:
    """The interval of Kendall's tau-b of n points.

    Parameters
    ----------
    ktau : float
        Measured on the points.
    n : int, at least `FEWEST_POINTS`
    level : float

    Notes
    -----
    The hull of two intervals: on Fisher's z with the variance 0.437 / (n - 4) (Fieller,
    Hartley and Pearson 1957, "Tests for rank correlation coefficients", Biometrika 44)
    and the quantile of t with n - 3 degrees of freedom; and of the share of pairs in
    the wrong order, after Clopper and Pearson 1934, which is wider where next to none
    is.
    """
    limit = _ktau_limit(n)
    capped = min(max(ktau, -limit), limit)
    on_z = _on_fisher_z(capped, math.sqrt(0.437 / (n - 4)), n - 3, level=level)

    # Pairs in the wrong order, of all pairs; ties make it a fraction.
    n_pairs = n * (n - 1) / 2
    wrong = (1 - ktau) * n_pairs / 2
    right = n_pairs - wrong
    share_low = special.betaincinv(wrong, right + 1, (1 - level) / 2) if wrong else 0.0
    share_high = special.betaincinv(wrong + 1, right, (1 + level) / 2) if right else 1.0
    of_pairs = Interval(low=float(1 - 2 * share_high), high=float(1 - 2 * share_low))
    return Interval.hull(on_z, of_pairs)


def mse_interval(mse: float, n: float, level: float) -> Interval:
    """The interval of a mean squared error of n points.

    Parameters
    ----------
    mse : float
        Measured on the points.
    n : float, number of points, or degrees of freedom
    level : float

    Notes
    -----
    n times the mean of squared errors that are normally distributed about 0 is their
    variance times chi-square with n degrees of freedom. With a bias in the errors it is
    wider than it must be; errors with heavier tails need a wider one.
    """
    upper_quantile = 2 * special.gammaincinv(n / 2, (1 + level) / 2)
    lower_quantile = 2 * special.gammaincinv(n / 2, (1 - level) / 2)
    return Interval(
        low=float(mse * n / upper_quantile), high=float(mse * n / lower_quantile)
    )


def _ktau_limit(n: int) -> float:
    """A quarter of the way from 1 to the next lower tau of n points."""
    return 1 - 1 / (n * (n - 1))


def _on_fisher_z(
    correlation: float, error: float, freedom: int, *, level: float
) -> Interval:
    """The interval on the scale of Fisher's z, brought back to correlations."""
    z = math.atanh(correlation)
    reach = float(special.stdtrit(freedom, (1 + level) / 2)) * error
    return Interval(low=math.tanh(z - reach), high=math.tanh(z + reach))
