"""How good predicted distributions are (CRPS, ranked probability and log score, PIT), and how much intervals hold.

A distribution is point masses at the bin centres, as `ScoreBins.expected` reads it. A truth rarely lies on a centre: it
counts partly to each of its two neighbours, in proportion to its nearness (`place`). The trap: with the whole truth in
its nearest bin, whole-number ratings on the edge between two bins would fall to either side by rounding, and ratings
of exactly 1 or 5 would have a PIT of exactly 0 or 1, however well they were predicted.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from base_models.metrics.bootstrap import bootstrap_weights


def place(truth, bins: ScoreBins) -> np.ndarray:
    """A truth as a distribution: split between the two nearest centres so that its mean is the truth.

    Truths beyond the outermost centres count wholly to those.

    Parameters
    ----------
    truth : array of shape (n,), on the scale

    Returns
    -------
    placed : float64 array of shape (n, count), rows sum to 1

    >>> place([1.0, 1.7, 2.0], ScoreBins(count=4))
    array([[1. , 0. , 0. , 0. ],
           [0.8, 0.2, 0. , 0. ],
           [0.5, 0.5, 0. , 0. ]])
    """
    along = (
        np.clip(truth, bins.centers[0], bins.centers[-1]) - bins.centers[0]
    ) / bins.width
    return np.clip(1 - np.abs(along[:, None] - np.arange(bins.count)), 0, 1)


def crps(distributions, truth, bins: ScoreBins) -> np.ndarray:
    """Continuous ranked probability score of point masses at the centres, in score points; smaller is better.

    The integral of (F(x) - [truth <= x])² over x, from its other form E|X - truth| - E|X - X'| / 2 (Gneiting and
    Raftery 2007, Eq. 21). Of a distribution in one point it is the absolute error.

    Parameters
    ----------
    distributions : array of shape (n, count)
    truth : array of shape (n,), on the scale

    Returns
    -------
    scores : float64 array of shape (n,)

    Raises
    ------
    UsageError
        when shapes disagree, a row is no distribution or a truth is off the scale.
    """
    distributions, truth = _checked(distributions, truth, bins)
    below = np.cumsum(distributions, axis=1)
    half_spread = bins.width * (below * (1 - below))[:, :-1].sum(axis=1)
    return (distributions * np.abs(truth[:, None] - bins.centers)).sum(
        axis=1
    ) - half_spread


def ranked_probability_score(distributions, truth, bins: ScoreBins) -> np.ndarray:
    """Mean squared difference between the cumulative distribution and that of the placed truth, over count - 1 steps.

    0 for certainty in the right bin, 1 for certainty at the wrong end of the scale. For a truth on a centre it is the
    `crps` in units of the distance between the outermost centres. Parameters as in `crps`.
    """
    distributions, truth = _checked(distributions, truth, bins)
    gap = np.cumsum(distributions - place(truth, bins), axis=1)
    return (gap[:, :-1] ** 2).sum(axis=1) / (bins.count - 1)


def log_score(distributions, truth, bins: ScoreBins) -> np.ndarray:
    """Minus the log of the probability of the truth's bin, in nats: infinite where that is 0. Parameters as in `crps`.

    Between two centres the probability is interpolated, so that this is a log density up to the log of the bin width.
    """
    distributions, truth = _checked(distributions, truth, bins)
    with np.errstate(divide="ignore"):
        return -np.log((distributions * place(truth, bins)).sum(axis=1))


def pit_span(distributions, truth, bins: ScoreBins) -> tuple[np.ndarray, np.ndarray]:
    """Probability below the truth's bin, and up to its end: two arrays of shape (n,). Parameters as in `crps`."""
    distributions, truth = _checked(distributions, truth, bins)
    placed = place(truth, bins)
    above = 1 - np.cumsum(
        placed, axis=1
    )  # share of the truth that lies beyond each bin
    low = (distributions * above).sum(axis=1)
    return low, low + (distributions * placed).sum(axis=1)


def pit(distributions, truth, bins: ScoreBins) -> np.ndarray:
    """Mid-PIT of each truth: probability below its bin plus half of its bin's. Parameters as in `crps`.

    Near 0.5 on average, and spread evenly over 0..1, when the distributions are calibrated.
    """
    low, high = pit_span(distributions, truth, bins)
    return (low + high) / 2


def pit_histogram(distributions, truth, bins: ScoreBins, cells: int = 10) -> np.ndarray:
    """Truths per cell of the PIT, float64 of shape (cells,), flat when the distributions are calibrated.

    Each truth is spread evenly over its `pit_span`, as is right for discrete distributions (Czado, Gneiting and Held
    2009, Eq. 2): a histogram of mid-PITs would be lumpy for calibrated ones too. Other parameters as in `crps`.
    """
    low, high = pit_span(distributions, truth, bins)
    ends = np.linspace(0, 1, cells + 1)
    ends[0], ends[-1] = -np.inf, np.inf  # whatever rounding does, no truth is lost
    share = (ends[:, None] - low) / np.maximum(high - low, 1e-9)
    return np.diff(np.clip(share, 0, 1).sum(axis=1))


def coverage(
    truth,
    low,
    high,
    groups=None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict:
    """Share of truths in their intervals, bounds included, overall and in the groups where it is least and most.

    Parameters
    ----------
    truth, low, high : arrays of shape (n,), on the scale
    groups : n names (systems), or None
    n_bootstrap, seed : resamples of groups, as clips of one are not independent; see `base_models.metrics.evaluate.evaluate`
    level : of the intervals around the shares

    Returns
    -------
    found : dict of share, share_low, share_high (bounds from resampled groups; Wilson's without groups), mean_width,
        n, and for two groups or more per_group, a DataFrame with columns group, share, share_low, share_high (Wilson),
        n, from least share to most

    Raises
    ------
    UsageError
        when shapes disagree, or there is no truth.
    """
    truth, low, high = (np.asarray(v, dtype=np.float64) for v in (truth, low, high))
    if truth.ndim != 1 or not truth.shape == low.shape == high.shape or not len(truth):
        raise UsageError(
            f"Coverage compares lists of one length; got {truth.shape}, {low.shape} and {high.shape}."
        )
    inside = (low <= truth) & (truth <= high)
    share_low, share_high = _wilson(inside.sum(), len(inside), level)
    found = {
        "share": float(inside.mean()),
        "mean_width": float(np.mean(high - low)),
        "n": len(inside),
    }
    names, code = (
        (np.empty(0), None)
        if groups is None
        else np.unique([str(g) for g in groups], return_inverse=True)
    )
    if len(names) > 1:
        if len(code) != len(truth):
            raise UsageError(
                f"{len(code)} groups for {len(truth)} truths; give one per truth."
            )
        held, size = np.bincount(code, weights=inside), np.bincount(code)
        weights = bootstrap_weights(len(names), n_bootstrap, seed)
        if n_bootstrap:
            ends = [(1 - level) / 2, (1 + level) / 2]
            share_low, share_high = np.quantile(
                (weights @ held) / (weights @ size), ends
            ).tolist()
        rows = [
            (str(g), h / n, *_wilson(h, n, level), int(n))
            for g, h, n in zip(names, held, size, strict=True)
        ]
        per_group = pd.DataFrame(
            rows, columns=["group", "share", "share_low", "share_high", "n"]
        )
        found["per_group"] = per_group.sort_values(
            ["share", "n"], ascending=[True, False], ignore_index=True
        )
    return found | {"share_low": share_low, "share_high": share_high}


def _wilson(held, n, level: float) -> tuple[float, float]:
    interval = stats.binomtest(int(held), int(n)).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def _checked(distributions, truth, bins: ScoreBins) -> tuple[np.ndarray, np.ndarray]:
    truth = np.asarray(truth, dtype=np.float64)
    distributions = bins.check(distributions, "Predicted distributions")
    if truth.ndim != 1 or distributions.shape != (len(truth), bins.count):
        raise UsageError(
            f"Expected truth (n,) and distributions (n, {bins.count}); got {truth.shape} and {distributions.shape}."
        )
    if not ((truth >= bins.low) & (truth <= bins.high)).all():
        raise UsageError(
            f"A truth is NaN or off the scale {bins.low}..{bins.high}; leave unlabelled clips out."
        )
    return distributions, truth
