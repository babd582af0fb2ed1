"""What the exchanges of `meta.comparison.sign_flip` replace, for the benches.

Flips of influences about the difference itself: the influence of a system that
determines the difference is then near 0, as if it told of no chance at all.
"""

from __future__ import annotations

import numpy as np

from base_models.metrics.bootstrap import resample, system_means

STEP = 0.5
EXACT_UNITS = 13
DRAWN_SUBSETS = 2000


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
