"""Ranks of systems, with intervals that hold for all systems at once.

A system ranks below all that are shown to be better, and above all that are shown to be
worse; between these every rank is possible. Where no difference is claimed falsely, all
true ranks lie in these intervals, and p-values adjusted over all pairs make a false
claim as rare as the level says.

Sources: M. Mogstad, J. Romano, A. Shaikh and D. Wilhelm, Inference for ranks with
applications to mobility across neighbourhoods and academic achievement across
countries, Review of Economic Studies 91 (2024), section 3 (stepwise tests of all
differences); D. Al Mohamad, J. Goeman and E. van Zwet, Simultaneous confidence
intervals for ranks with application to ranking institutions, Biometrics 78 (2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

RANK_COLUMNS = ("rank", "rank_low", "rank_high")


def ranks(
    means: np.ndarray, names: Sequence[str], differences: pd.DataFrame, level: float
) -> pd.DataFrame:
    """Rank systems by their means, 1 being the highest.

    Parameters
    ----------
    means : array of shape (S,), NaN where a system has none
    names : S names
    differences : DataFrame
        ``a, b, difference`` (the mean of b minus that of a) and ``p_holm`` of all pairs
        of systems with a mean.
    level : float
        A difference is shown when ``p_holm`` is at most one minus this.

    Returns
    -------
    ranked : DataFrame of S rows with `RANK_COLUMNS`
        Equal means share the smaller rank; NaN without a mean.
    """
    has_mean = np.isfinite(means)
    place = {name: k for k, name in enumerate(names)}
    better = np.zeros(len(names))
    worse = np.zeros(len(names))
    shown = differences[differences["p_holm"] <= 1 - level]
    for row in shown.to_dict("records"):
        names_of_pair = [row["a"], row["b"]]
        if row["difference"] < 0:
            names_of_pair.reverse()
        lower, higher = names_of_pair
        better[place[lower]] += 1
        worse[place[higher]] += 1

    n_higher = np.sum(means[None, :] > means[:, None], axis=1)
    values = np.column_stack([n_higher + 1, better + 1, has_mean.sum() - worse])
    return pd.DataFrame(
        np.where(has_mean[:, None], values, np.nan), columns=list(RANK_COLUMNS)
    )
