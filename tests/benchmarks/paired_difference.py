"""Tests and intervals of two models' difference that others replaced, for the benches.

The exchanges of `meta.comparison.sign_flip` replace flips of influences about the
difference itself: the influence of a system that determines the difference is near 0,
as if it told of no chance at all.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from base_models.metrics.bootstrap import percentiles, resample, system_means
from base_models.metrics.evaluate import measure

STEP = 0.5
EXACT_UNITS = 13
DRAWN_SUBSETS = 2000


def evaluate_difference(y_true, first, second, level=0.95, **options) -> pd.DataFrame:
    """Metric of `first` minus metric of `second`, from the same resamples for both.

    Two intervals of `evaluate` may overlap although one model is better on nearly
    every resample; the interval of the difference shows whether it is.

    Parameters
    ----------
    y_true : array of shape (n, aspects), NaN where unlabelled
    first, second : arrays of shape (n, aspects)
    level : float, coverage of the intervals
    options : of `base_models.metrics.evaluate.measure`

    Returns
    -------
    table : DataFrame with columns aspect, level, metric, value, low, high, n
    """
    rows = []
    both = zip(
        measure(y_true, first, **options),
        measure(y_true, second, **options),
        strict=True,
    )
    for one, other in both:
        low, high = percentiles(one.resampled - other.resampled, level)
        rows.append(
            {
                "aspect": one.aspect,
                "level": one.level,
                "metric": one.metric,
                "value": one.value - other.value,
                "low": low,
                "high": high,
                "n": one.n,
            }
        )
    return pd.DataFrame(rows)


def influence_p(truth, first, second, *, unit, metric):
    """Two-sided p-value of a difference of a metric of points in units.

    Parameters
    ----------
    truth, first, second : arrays of shape (points,)
    unit : int array of shape (points,), codes from 0
    metric : name
    """
    n_units = int(unit.max()) + 1
    moves = STEP * np.eye(n_units)
    weights = np.vstack([np.ones(n_units), 1 + moves, 1 - moves])
    if metric == "mse":
        # Without the sums over pairs that only correlations need.
        sums = np.bincount(unit, weights=(first - truth) ** 2 - (second - truth) ** 2)
        found = weights @ sums / (weights @ np.bincount(unit))
    else:
        found = (
            resample(truth, first, weights, cluster=unit)[metric]
            - resample(truth, second, weights, cluster=unit)[metric]
        )
    influence = (found[1 : n_units + 1] - found[n_units + 1 :]) / (2 * STEP)
    centred = influence - influence.mean()
    sums = _subsets(n_units) @ (found[0] + n_units * centred)
    return min(1.0, 2 * min((sums <= 1e-9).mean(), (sums >= -1e-9).mean()))


def influence_p_of_pair(pair, level, metric):
    """The larger p-value of systems and, for clips, of prompts that they share."""
    if level == "system":
        means = [
            system_means(values, pair.system)
            for values in (pair.truth, pair.first, pair.second)
        ]
        unit = np.arange(len(means[0]))
        return influence_p(*means, unit=unit, metric=metric)
    points = (pair.truth, pair.first, pair.second)
    units = [kind.unit_of_clip for kind in pair.units]
    return max(influence_p(*points, unit=unit, metric=metric) for unit in units)


def _subsets(n_units):
    if n_units <= EXACT_UNITS:
        return np.arange(2**n_units)[:, None] >> np.arange(n_units) & 1
    drawn = np.random.default_rng(0).integers(0, 2, size=(DRAWN_SUBSETS, n_units))
    drawn[0] = 0
    return drawn
