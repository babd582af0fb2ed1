"""Points of two scores with a known correlation, for coverage of intervals."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import stats

LAWS = ("normal", "t3", "linear t3")
"""Laws of both scores: normal; bivariate Student t with 3 degrees of freedom; and one
score a sum of two independent such variables."""


def draw(rng, law, rho, *, tests, n):
    """Two arrays of shape (tests, n)."""
    shape = (tests, n)
    if law == "linear t3":
        x, e = rng.standard_t(3, size=(2, *shape))
    else:
        x, e = rng.normal(size=(2, *shape))
    y = rho * x + np.sqrt(1 - rho**2) * e
    if law != "t3":
        return x, y
    # Both are divided by one root of chi-square: few points lie far out together.
    spread = np.sqrt(3 / rng.chisquare(3, size=shape))
    return x * spread, y * spread


@cache
def truths(law, rho):
    """Metric to its value in a very large sample."""
    x, y = draw(np.random.default_rng(9), law, rho, tests=1, n=400_000)
    variance = 1 if law == "normal" else 3
    squared = 2 - 2 * rho
    return {
        "lcc": rho,
        "srcc": stats.spearmanr(x[0], y[0]).statistic,
        "ktau": stats.kendalltau(x[0], y[0]).statistic,
        "mse": variance * squared,
    }
