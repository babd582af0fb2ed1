"""Whether predicted intervals and distributions keep their word, as tables for a report.

The trap: rows that the calibration was learnt on keep every promise; only others can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from base_models.bins import SOFTEN_SIGMA
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


def calibration_report(
    calibration: Calibration,
    scores,
    truth,
    system_ids: Sequence[str] | None = None,
    others: Mapping[str, Any] | None = None,
    by_group: bool = False,
) -> dict[str, Any]:
    """Coverage, scores of distributions and PIT of one aspect.

    Parameters
    ----------
    calibration : fitted on rows other than these
    scores : array of shape (n,), the stack's
    truth : array of shape (n,), on the scale
    system_ids : n names, or None
    others : distributions (n, bins) to compare with by name, e.g. the mean of the base models'; a Gaussian around the
        score, 0.35 wide, is always there
    by_group : whether systems with enough rows get intervals of their own

    Returns
    -------
    tables : dict of ``"coverage"``, see `coverage_table`; ``"scores"``, a DataFrame with columns model, crps, rps,
        log_score (means; smaller is better); ``"pit"``, 10 counts, see `pit_histogram`

    Raises
    ------
    UsageError
        when shapes disagree, a truth is NaN or off the scale, or there is no row.
    """
    bins, rows = calibration.bins, calibration.distribution(scores)
    fixed = bins.soften(scores, SOFTEN_SIGMA)
    compared = {"stack": rows, f"gaussian {SOFTEN_SIGMA}": fixed} | dict(others or {})
    measures = {"crps": crps, "rps": ranked_probability_score, "log_score": log_score}
    lines = [
        {"model": name}
        | {
            measure: float(function(given, truth, bins).mean())
            for measure, function in measures.items()
        }
        for name, given in compared.items()
    ]
    return {
        "coverage": coverage_table(calibration, scores, truth, system_ids, by_group),
        "scores": pd.DataFrame(lines),
        "pit": pit_histogram(rows, truth, bins).tolist(),
    }


def coverage_table(
    calibration: Calibration,
    scores,
    truth,
    system_ids: Sequence[str] | None = None,
    by_group: bool = False,
) -> pd.DataFrame:
    """Share of truths that intervals hold, promised and kept, with the systems that fare worst and best.

    In a system of few clips any share is likely: the worst is the one whose share is surely lowest (least upper Wilson
    bound), the best the one whose share is surely highest. Parameters as in `calibration_report`.

    Returns
    -------
    table : DataFrame with a row per level of `LEVELS` and columns level, share, share_low, share_high, mean_width, n,
        and for two systems or more worst, worst_share, best, best_share, and below: in how many systems the share is
        surely lower than promised (its 95 % Wilson interval lies below the level)
    """
    lines = []
    for level in LEVELS:
        bounds = calibration.interval(scores, level, system_ids if by_group else None)
        line = {"level": level} | coverage(truth, *bounds, system_ids)
        systems = line.pop("per_group", None)
        if systems is not None:
            worst, best = (
                systems.loc[systems["share_high"].idxmin()],
                systems.loc[systems["share_low"].idxmax()],
            )
            line |= {
                "worst": worst["group"],
                "worst_share": worst["share"],
                "best": best["group"],
            }
            line |= {
                "best_share": best["share"],
                "below": int((systems["share_high"] < level).sum()),
            }
        lines.append(line)
    order = ["level", "share", "share_low", "share_high", "mean_width", "n"]
    table = pd.DataFrame(lines)
    return table[order + [name for name in table if name not in order]]
