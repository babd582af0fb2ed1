"""Tables for a report: do intervals and distributions hold what they promise?

Rows that the calibration was learnt on keep every promise; only other rows can test it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.bins import SOFTEN_SIGMA, ScoreBins
from meta.uncertainty.calibration import Calibration
from meta.uncertainty.distribution_scores import (
    coverage,
    crps,
    log_score,
    pit_histogram,
    ranked_probability_score,
)

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Levels at which coverage is reported."""
FEWEST = 30
"""Fewer clips are not divided into thirds."""
THIRDS = ("low_third", "middle_third", "high_third")
"""Names of the thirds of the clips, by their scores."""


def calibration_report(
    calibration: Calibration,
    scores: ArrayLike,
    truth: ArrayLike,
    system_ids: Sequence[str] | np.ndarray | None = None,
    others: Mapping[str, ArrayLike] | None = None,
    by_group: bool = False,
    scales: np.ndarray | None = None,
) -> dict[str, Any]:
    """Coverage, scores of distributions and PIT of one aspect.

    Parameters
    ----------
    calibration : fitted on rows other than these
    scores : array of shape (n,), the stack's
    truth : array of shape (n,), on the scale
    system_ids : n names, or None
    others : name to distributions of shape (n, bins), or None
        To compare with, e.g. the mean of the base models'; a Gaussian around the score,
        0.35 wide, is always compared.
    by_group : whether systems with enough rows get intervals of their own
    scales : array of shape (n,), or None, of the clips' errors, see
        `Calibration.scales`

    Returns
    -------
    tables : dict
        ``"coverage"``, see `coverage_table`; ``"scores"``, a DataFrame with columns
        model, crps, rps, log_score (means; smaller is better); ``"pit"``, 10 counts,
        see `pit_histogram`.

    Raises
    ------
    UsageError
        when shapes disagree, a truth is NaN or off the scale, or there is no row.
    """
    bins = calibration.bins
    distributions = calibration.distribution(scores, scales)

    # A Gaussian of fixed width is what a stack without calibration would predict.
    compared = {
        "stack": distributions,
        f"gaussian {SOFTEN_SIGMA}": bins.soften(scores, SOFTEN_SIGMA),
        **(others or {}),
    }
    rows = [
        {"model": name, **_mean_scores(predicted, truth, bins)}
        for name, predicted in compared.items()
    ]

    coverages = coverage_table(
        calibration,
        scores,
        truth,
        system_ids=system_ids,
        by_group=by_group,
        scales=scales,
    )
    pit_counts = pit_histogram(distributions, truth, bins)
    return {
        "coverage": coverages,
        "scores": pd.DataFrame(rows),
        "pit": pit_counts.tolist(),
    }


def _mean_scores(
    distributions: ArrayLike,
    truth: ArrayLike,
    bins: ScoreBins,
) -> dict[str, float]:
    """Mean of each score of distributions (n, bins) over the clips."""
    mean_crps = crps(distributions, truth, bins).mean()
    mean_rps = ranked_probability_score(distributions, truth, bins).mean()
    mean_log_score = log_score(distributions, truth, bins).mean()
    return {
        "crps": float(mean_crps),
        "rps": float(mean_rps),
        "log_score": float(mean_log_score),
    }


def coverage_table(
    calibration: Calibration,
    scores: ArrayLike,
    truth: ArrayLike,
    system_ids: Sequence[str] | np.ndarray | None = None,
    by_group: bool = False,
    scales: np.ndarray | None = None,
) -> pd.DataFrame:
    """Share of truths inside their intervals, with the worst and the best system.

    In a system of few clips any share is likely, so the worst system is the one with
    the least upper Wilson bound, and the best the one with the largest lower bound.
    Parameters as in `calibration_report`.

    Returns
    -------
    table : DataFrame, one row per level of `LEVELS`
        Columns level, share, share_low, share_high, mean_width, n; the shares in each
        third of the scores, low_third, middle_third and high_third (with `FEWEST` clips
        or more); and for two systems or more worst, worst_share, best, best_share, and
        below: in how many systems the 95 % Wilson interval of the share lies below the
        level.
    """
    # Coverage is counted per system in any case; intervals of their own are optional.
    groups = system_ids if by_group else None
    thirds = _thirds(np.asarray(scores, dtype=np.float64))
    rows = []
    for level in LEVELS:
        low, high = calibration.interval(scores, level, groups, scales)
        facts = coverage(truth, low, high, groups=system_ids)
        row = {
            "level": level,
            "share": facts["share"],
            "share_low": facts["share_low"],
            "share_high": facts["share_high"],
            "mean_width": facts["mean_width"],
            "n": facts["n"],
        }
        for name, of_third in thirds.items():
            row[name] = share_inside(truth, low, high, of_third)

        # By the bounds that are certain, not by the shares: of few clips any is likely.
        if "per_group" in facts:
            systems = facts["per_group"]
            worst = systems.loc[systems["share_high"].idxmin()]
            best = systems.loc[systems["share_low"].idxmax()]
            row["worst"] = worst["group"]
            row["worst_share"] = worst["share"]
            row["best"] = best["group"]
            row["best_share"] = best["share"]
            is_below = systems["share_high"] < level
            row["below"] = int(is_below.sum())
        rows.append(row)
    return pd.DataFrame(rows)


def share_inside(
    truth: ArrayLike,
    low: np.ndarray,
    high: np.ndarray,
    rows: np.ndarray,
) -> float:
    """Share of truths inside their intervals, bounds included, among some rows.

    Parameters
    ----------
    truth, low, high : arrays of shape (n,)
    rows : bool array of shape (n,)
    """
    truth = np.asarray(truth, dtype=np.float64)
    inside = (low <= truth) & (truth <= high)
    return float(inside[rows].mean())


def _thirds(scores: np.ndarray) -> dict[str, np.ndarray]:
    """Which rows are in each third of the scores; none of fewer than `FEWEST`."""
    n = len(scores)
    if n < FEWEST:
        return {}
    # By place in the order, so that equal scores do not make thirds unequal.
    order = np.argsort(np.argsort(scores, kind="stable"), kind="stable")
    third = order * len(THIRDS) // n
    return {name: third == number for number, name in enumerate(THIRDS)}
