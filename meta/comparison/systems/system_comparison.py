"""What is said of several systems: a table of means, and all differences in pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from base_models.files import nan_to_none

SYSTEM_COLUMNS = (
    "aspect",
    "system_id",
    "n_clips",
    "n_rated",
    "mean",
    "low",
    "high",
    "rank",
    "rank_low",
    "rank_high",
)
"""Columns of `SystemComparison.systems`."""

DIFFERENCE_COLUMNS = (
    "aspect",
    "a",
    "b",
    "paired",
    "n_pairs",
    "difference",
    "low",
    "high",
    "p",
    "p_holm",
    "preferred",
    "preferred_low",
    "preferred_high",
    "clips_needed",
    "said",
    "smallest",
    "error_clips",
    "error_systems",
)
"""Columns of `SystemComparison.differences`."""


@dataclass(frozen=True, eq=False, repr=False)
class SystemComparison:
    """Systems with their means and ranks, and their differences in pairs.

    Parameters
    ----------
    systems : DataFrame with the columns `SYSTEM_COLUMNS`
        One row per aspect and system, the best first. ``n_rated`` is the number of
        clips with human ratings. ``low`` and ``high`` hold the true mean of the system
        with probability `interval_level`, ``rank_low`` and ``rank_high`` its true rank
        (1 is best), the ranks of all systems at once. NaN where nothing is known.
    differences : DataFrame with the columns `DIFFERENCE_COLUMNS`
        One row per aspect and pair of systems. ``difference`` is the mean of `b` minus
        that of `a`; ``paired`` tells whether clips of the same prompts were compared,
        and ``n_pairs`` of how many prompts; ``p`` is that of no difference, ``p_holm``
        adjusted over all rows (Holm 1979). ``preferred`` is the share of prompts for
        which the clip of `b` is preferred to that of `a`. ``clips_needed`` is how many
        more clips of each system would show a difference of the size seen: 0 where it
        is shown, infinite where no number would. ``said`` is all of it in a sentence.
        ``smallest`` is the true difference that would have been shown four times out of
        five; ``error_clips`` and ``error_systems`` are the standard errors that clips
        and prompts bring, and the stack on systems that nobody has rated.
    notes : tuple of str
        What a reader of the numbers must know.
    interval_level : float
        Coverage of the intervals.
    """

    systems: pd.DataFrame
    differences: pd.DataFrame
    notes: tuple[str, ...]
    interval_level: float

    def __repr__(self) -> str:
        n_systems = self.systems["system_id"].nunique()
        n_shown = int((self.differences["p_holm"] <= 1 - self.interval_level).sum())
        return (
            f"<SystemComparison: {n_systems} systems in "
            f"{', '.join(self.systems['aspect'].unique())}; {n_shown} of "
            f"{len(self.differences)} differences shown>"
        )

    def __str__(self) -> str:
        """The means of the systems, and in words what may be said of them."""
        means = self.systems.round(2).to_string(index=False)
        return "\n".join([means, *self.differences["said"], *self.notes])

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values; NaN and infinity become null."""
        return {
            "interval_level": self.interval_level,
            "notes": list(self.notes),
            "systems": _json_rows(self.systems),
            "differences": _json_rows(self.differences),
        }


def _json_rows(table: pd.DataFrame) -> Any:
    # Infinity is no number of JSON, either.
    return nan_to_none(table.replace([float("inf"), -float("inf")], float("nan")))
