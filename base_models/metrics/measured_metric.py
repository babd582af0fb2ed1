"""A measured metric: its value, its interval, or in words why it has none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from base_models.metrics.intervals import FEWEST_POINTS, Interval, metric_interval

TOO_FEW_SYSTEMS = "too few systems"
"""Why there is no interval, or no metric, over systems."""
TOO_FEW_CLIPS = "too few clips"
"""Why there is no interval, or no metric, over clips."""


@dataclass(frozen=True)
class MeasuredMetric:
    """One metric of one aspect at one level.

    Parameters
    ----------
    aspect, level, metric : str
    values : every metric of the level to its value, on all labelled clips
    resampled : array of shape (resamples,), empty where nothing can be resampled
    n : int, clips or systems counted
    units : int, systems or clips that were resampled
    of_systems : bool, whether these were systems
    """

    aspect: str
    level: str
    metric: str
    values: Mapping[str, float]
    resampled: np.ndarray
    n: int
    units: int
    of_systems: bool

    @property
    def value(self) -> float:
        """The metric, on all labelled clips; NaN where undefined."""
        return self.values[self.metric]

    def interval(self, level: float) -> Interval:
        """Its interval; see `base_models.metrics.intervals.metric_interval`."""
        return metric_interval(
            self.metric,
            self.values,
            self.resampled,
            n_points=self.n,
            n_units=self.units,
            level=level,
        )

    def note(self, interval: Interval) -> str:
        """Why the value or its interval is NaN, in words; "" where neither is."""
        if self.n < 2:
            return TOO_FEW_SYSTEMS if self.level == "system" else TOO_FEW_CLIPS
        if not math.isfinite(self.value):
            return "all equal"
        if math.isfinite(interval.low) or not len(self.resampled):
            return ""
        return too_few(self.units, self.of_systems) or "equal in most resamples"


def too_few(units: int, of_systems: bool) -> str:
    """Why there is no interval of so many resampled systems or clips, or "".

    >>> too_few(4, of_systems=True), too_few(5, of_systems=True)
    ('too few systems', '')
    """
    if units >= FEWEST_POINTS:
        return ""
    return TOO_FEW_SYSTEMS if of_systems else TOO_FEW_CLIPS
