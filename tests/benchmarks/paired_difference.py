"""Intervals of the difference of two models' metrics, for the benches."""

from __future__ import annotations

import pandas as pd

from base_models.metrics.bootstrap import percentiles
from base_models.metrics.evaluate import measure


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
