"""Scores of predicted distributions (CRPS, RPS, log score, PIT), and coverage.

A distribution is point masses at the bin centres, as `ScoreBins.expected` reads it. A
true rating rarely lies on a centre, so it is split between its two neighbours
(`ScoreBins.split`). With the whole rating in its nearest bin, ratings of exactly 1 or 5
would have a PIT of exactly 0 or 1, however well they were predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from base_models.metrics.bootstrap import bootstrap_weights
from base_models.metrics.intervals import Interval, expanded_percentiles


def crps(
    distributions: ArrayLike,
    truth: ArrayLike,
    bins: ScoreBins,
) -> np.ndarray:
    """Continuous ranked probability score, in score points; smaller is better.

    For a distribution in one point it is the absolute error.

    Parameters
    ----------
    distributions : array of shape (n, count)
    truth : array of shape (n,), on the scale
    bins : the scale

    Returns
    -------
    scores : float64 array of shape (n,)

    Raises
    ------
    UsageError
        when shapes disagree, a row is no distribution or a truth is off the scale.

    Notes
    -----
    The integral of (F(x) - [truth <= x])² over x for point masses at the centres, from
    its other form E|X - truth| - E|X - X'| / 2 (Gneiting and Raftery 2007, Eq. 21).
    """
    distributions, truth = _checked(distributions, truth, bins)
    # Distance of each truth to each centre (n, count).
    distance = np.abs(truth[:, None] - bins.centers)
    weighted_distance = distributions * distance
    expected_error = weighted_distance.sum(axis=1)

    # E|X - X'| / 2 on ordered points: the integral of F (1 - F), constant from one
    # centre to the next and 0 beyond the last.
    cumulative = np.cumsum(distributions, axis=1)
    height_of_step = cumulative * (1 - cumulative)
    heights = height_of_step[:, :-1].sum(axis=1)
    half_spread = bins.width * heights
    return expected_error - half_spread


def ranked_probability_score(
    distributions: ArrayLike,
    truth: ArrayLike,
    bins: ScoreBins,
) -> np.ndarray:
    """Mean squared difference of cumulative probabilities, over count - 1 steps.

    0 for certainty in the right bin, 1 for certainty at the wrong end of the scale. For
    a truth on a centre it is the `crps` in units of the distance between the outermost
    centres. Parameters as in `crps`.

    Notes
    -----
    Epstein (1969), "A scoring system for probability forecasts of ranked categories",
    as a loss.
    """
    distributions, truth = _checked(distributions, truth, bins)
    error = distributions - bins.split(truth)
    cumulative_error = np.cumsum(error, axis=1)

    # Both reach 1 in the last bin, which is therefore no step.
    squares = cumulative_error[:, :-1] ** 2
    n_steps = bins.count - 1
    return squares.sum(axis=1) / n_steps


def log_score(
    distributions: ArrayLike,
    truth: ArrayLike,
    bins: ScoreBins,
) -> np.ndarray:
    """Minus the log of the probability of the truth's bin, in nats.

    Infinite where that probability is 0. Between two centres the probability is
    interpolated, so that this is a log density up to the log of the bin width.
    Parameters as in `crps`.
    """
    distributions, truth = _checked(distributions, truth, bins)
    shared = distributions * bins.split(truth)
    probability = shared.sum(axis=1)

    # Infinity is the intended score of a truth without probability.
    with np.errstate(divide="ignore"):
        return -np.log(probability)


def pit_span(
    distributions: ArrayLike,
    truth: ArrayLike,
    bins: ScoreBins,
) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative probability at the lower and at the upper end of the truth's bin.

    Two arrays of shape (n,). Parameters as in `crps`.
    """
    distributions, truth = _checked(distributions, truth, bins)
    shares = bins.split(truth)

    # A mass lies below the truth as far as the truth lies beyond its bin.
    share_beyond = 1 - np.cumsum(shares, axis=1)
    mass_below = distributions * share_beyond
    mass_at_truth = distributions * shares
    low = mass_below.sum(axis=1)
    probability = mass_at_truth.sum(axis=1)
    return low, low + probability


def pit_histogram(
    distributions: ArrayLike,
    truth: ArrayLike,
    bins: ScoreBins,
    cells: int = 10,
) -> np.ndarray:
    """Histogram of the probability integral transform (PIT) of the truths.

    Parameters
    ----------
    distributions, truth, bins : as in `crps`
    cells : int, number of equal cells from 0 to 1

    Returns
    -------
    counts : float64 array of shape (cells,), flat when distributions are calibrated

    Notes
    -----
    Each truth is spread evenly over its `pit_span`, as is right for discrete
    distributions (Czado, Gneiting and Held 2009, Eq. 2). A histogram of the middles of
    the spans would be uneven for calibrated distributions too.
    """
    low, high = pit_span(distributions, truth, bins)

    # Rounding may put an end of a span just outside 0..1.
    ends = np.linspace(0, 1, cells + 1)
    ends[0] = -np.inf
    ends[-1] = np.inf

    # Which share of each span lies below each end (cells + 1, n). A truth without
    # probability has a span of length 0.
    length = np.maximum(high - low, 1e-9)
    distance = ends[:, None] - low
    share_below = np.clip(distance / length, 0, 1)

    count_below = share_below.sum(axis=1)
    return np.diff(count_below)


def coverage(
    truth: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    groups: Sequence[str] | np.ndarray | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Any]:
    """Share of truths inside their intervals, bounds included, overall and per group.

    Parameters
    ----------
    truth, low, high : arrays of shape (n,), on the scale
    groups : n names (systems), or None
    n_bootstrap, seed : int
        Resamples of groups, as clips of one are not independent; see
        `base_models.metrics.evaluate.evaluate`.
    level : float, of the intervals around the shares

    Returns
    -------
    facts : dict
        share, share_low, share_high (bounds that hold those from resampled groups and
        Wilson's; Wilson's alone without groups; NaN with fewer than 5 groups),
        mean_width, n; and for two groups or more per_group, a DataFrame with columns
        group, share, share_low, share_high (Wilson), n, from least share to most.

    Raises
    ------
    UsageError
        when shapes disagree, or there is no truth.
    """
    truth, low, high = _checked_bounds(truth, low, high)
    inside = (low <= truth) & (truth <= high)
    n = len(inside)
    share_low, share_high = _wilson(inside.sum(), n, level)
    facts: dict[str, Any] = {
        "share": float(inside.mean()),
        "mean_width": float(np.mean(high - low)),
        "n": n,
    }

    # A single group is all clips once more.
    names = [] if groups is None else [str(group) for group in groups]
    if len(set(names)) > 1:
        counts = _GroupCounts.of(names, inside)
        facts["per_group"] = counts.table(level)

        # Clips of one group are not independent; Wilson's interval takes them so. But
        # resamples of a share of 1 are all 1, which is not as sure as that.
        if n_bootstrap:
            weights = bootstrap_weights(len(counts.names), n_bootstrap, seed)
            resampled = counts.resampled_interval(weights, level)
            interval = Interval.hull(resampled, Interval(share_low, share_high))
            share_low = interval.low
            share_high = interval.high

    facts["share_low"] = share_low
    facts["share_high"] = share_high
    return facts


@dataclass(frozen=True)
class _GroupCounts:
    """How many truths of each group lie inside their interval.

    Parameters
    ----------
    names : (groups,) in order
    inside : (groups,) truths inside their interval
    size : (groups,) truths
    """

    names: np.ndarray
    inside: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, name_of_truth: list[str], inside: np.ndarray) -> _GroupCounts:
        """Count per group, from each truth's group and whether its interval holds."""
        n_names = len(name_of_truth)
        if n_names != len(inside):
            raise UsageError(
                f"{n_names} groups for {len(inside)} truths; give one per truth."
            )
        names, code = np.unique(name_of_truth, return_inverse=True)
        return cls(
            names=names,
            inside=np.bincount(code, weights=inside),
            size=np.bincount(code),
        )

    def table(self, level: float) -> pd.DataFrame:
        """Share of each group with its Wilson interval, from least share to most."""
        rows = []
        for name, inside, n in zip(self.names, self.inside, self.size, strict=True):
            share_low, share_high = _wilson(inside, n, level)
            row = {
                "group": str(name),
                "share": inside / n,
                "share_low": share_low,
                "share_high": share_high,
                "n": int(n),
            }
            rows.append(row)

        # Of equal shares, that of more clips says more.
        table = pd.DataFrame(rows)
        return table.sort_values(
            ["share", "n"],
            ascending=[True, False],
            ignore_index=True,
        )

    def resampled_interval(self, weights: np.ndarray, level: float) -> Interval:
        """Interval of the share over resamples of groups; NaN of fewer than 5 groups.

        Parameters
        ----------
        weights : array of shape (resamples, groups), how often each group is drawn
        level : float, of the interval
        """
        # A share of clips, not a mean of groups' shares: larger groups weigh more.
        shares = (weights @ self.inside) / (weights @ self.size)
        return expanded_percentiles(shares, level, len(self.names))


def _checked_bounds(
    truth: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth = np.asarray(truth, dtype=np.float64)
    low = np.asarray(low, dtype=np.float64)
    high = np.asarray(high, dtype=np.float64)
    is_list = truth.ndim == 1 and len(truth) > 0
    same_shape = truth.shape == low.shape == high.shape
    if not (is_list and same_shape):
        raise UsageError(
            "Coverage compares lists of one length; "
            f"got {truth.shape}, {low.shape} and {high.shape}."
        )
    return truth, low, high


def _wilson(
    inside: float,
    n: int,
    level: float,
) -> tuple[float, float]:
    """Wilson's interval (1927) of the share of `inside` among n."""
    test = stats.binomtest(int(inside), int(n))
    interval = test.proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def _checked(
    distributions: ArrayLike,
    truth: ArrayLike,
    bins: ScoreBins,
) -> tuple[np.ndarray, np.ndarray]:
    truth = np.asarray(truth, dtype=np.float64)
    distributions = bins.check(distributions, "Predicted distributions")
    is_list = truth.ndim == 1
    one_row_each = is_list and distributions.shape == (len(truth), bins.count)
    if not one_row_each:
        raise UsageError(
            f"Expected truth (n,) and distributions (n, {bins.count}); "
            f"got {truth.shape} and {distributions.shape}."
        )
    refuse_off_scale(truth, bins)
    return distributions, truth


def refuse_off_scale(truth: np.ndarray, bins: ScoreBins) -> None:
    """Refuse truths (n,) that are NaN or off the scale, with a UsageError."""
    # Comparisons with NaN are false.
    above_low_end = truth >= bins.low
    below_high_end = truth <= bins.high
    on_scale = above_low_end & below_high_end
    if not on_scale.all():
        raise UsageError(
            f"A truth is NaN or off the scale {bins.low}..{bins.high}; "
            "leave unlabelled clips out."
        )
