"""Single ratings as distributions over the bins of a scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins


def histograms(
    ratings: pd.DataFrame,
    clip_ids: Sequence[str],
    aspect: str,
    bins: ScoreBins,
) -> np.ndarray:
    """The ratings of each clip as a distribution over bins.

    Parameters
    ----------
    ratings : a table that `check_ratings` accepts; ratings of other clips are not used
    clip_ids : n unique ids
    aspect : the rated column
    bins : the scale; a rating is split between the two nearest bins

    Returns
    -------
    histograms : float64 array of shape (n, bins.count), rows sum to 1; NaN where a clip
        has no rating of the aspect. It does not depend on the order of the rows or the
        names of the raters, to the last bit.
    """
    counts, sums = count_ratings(ratings, clip_ids, aspect, bins=bins)
    # A clip without ratings is divided by 1, then set to NaN.
    divisors = np.maximum(counts, 1)[:, None]
    has_ratings = counts[:, None] > 0
    return np.where(has_ratings, sums / divisors, np.nan)


def count_ratings(
    ratings: pd.DataFrame,
    clip_ids: Sequence[str],
    aspect: str,
    bins: ScoreBins,
) -> tuple[np.ndarray, np.ndarray]:
    """Count the ratings of each clip, in all and by bin.

    Parameters
    ----------
    ratings, clip_ids, aspect, bins : see `histograms`

    Returns
    -------
    counts : int64 array of shape (n,), the number of ratings of each clip
    sums : float64 array of shape (n, bins.count), the ratings in each bin; a rating is
        split between the two nearest bins, so rows sum to `counts`
    """
    row_of = {clip: row for row, clip in enumerate(clip_ids)}
    rows = ratings["clip_id"].map(row_of).to_numpy(dtype=np.float64)
    values = ratings[aspect].to_numpy(dtype=np.float64)

    # Clips that are not asked for map to NaN.
    is_used = np.isfinite(rows) & np.isfinite(values)
    rows = rows[is_used].astype(np.int64)
    values = values[is_used]

    # Sums in floating point depend on the order of their terms: sort, so that they do
    # not depend on the order of the table.
    order = np.lexsort((values, rows))
    sums = np.zeros((len(row_of), bins.count))
    np.add.at(sums, rows[order], bins.split(values[order]))
    counts = np.bincount(rows, minlength=len(row_of))
    return counts, sums
