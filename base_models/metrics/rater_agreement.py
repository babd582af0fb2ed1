"""How far raters agree, and how each of them uses the scale.

Agreement is Krippendorff's alpha for interval data (K. Krippendorff, "Content
Analysis", 2004, chapter 11): 1 minus the ratio of the disagreement within clips to that
among all ratings. It is 1 where raters of a clip always agree and 0 where they agree as
by chance; it takes any number of ratings per clip and does not need to know who rated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from base_models.clips.rating_tables import are_nameless
from base_models.files import nan_to_none

LEVEL = 0.95
"""Coverage of the interval of alpha."""

_FEWEST_RATINGS = 6


@dataclass(frozen=True)
class RaterAgreement:
    """What is to be known of the raters of one aspect.

    Parameters
    ----------
    aspect : name
    n_ratings : how many
    alpha : Krippendorff's alpha, NaN where no clip has two ratings
    low, high : its percentile bootstrap interval over clips
    at_low, at_high : share of ratings at each end of the scale
    raters : DataFrame indexed by rater, in order of first appearance: ``n`` ratings,
        ``mean``, ``at_ends`` (share at the ends), ``offset`` (mean distance from the
        mean of the others on the same clips) and ``correlation`` (with that mean; NaN
        of fewer than 6 ratings or a constant one); empty where raters have no names
    """

    aspect: str
    n_ratings: int
    alpha: float
    low: float
    high: float
    at_low: float
    at_high: float
    raters: pd.DataFrame

    @property
    def constant(self) -> list[str]:
        """Raters with several ratings, all of them equal."""
        is_constant = (self.raters["n"] >= _FEWEST_RATINGS) & ~self.raters["varies"]
        return [str(rater) for rater in self.raters.index[is_constant]]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values; NaN becomes null."""
        return {
            "aspect": self.aspect,
            "ratings": self.n_ratings,
            "alpha": _number(self.alpha),
            "alpha_low": _number(self.low),
            "alpha_high": _number(self.high),
            "at_low": self.at_low,
            "at_high": self.at_high,
            "raters": nan_to_none(self.raters.reset_index()),
        }


def rater_agreement(
    ratings: pd.DataFrame,
    aspect: str,
    ends: tuple[float, float],
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> RaterAgreement:
    """Measure how the raters of one aspect agree.

    Parameters
    ----------
    ratings : see `base_models.clips.ratings.read_ratings`
    aspect : its rated column
    ends : lowest and highest rating of the scale
    n_bootstrap : resamples of the clips
    seed : of the resamples
    """
    known = ratings.dropna(subset=[aspect])
    values = known[aspect]
    by_clip = known.groupby("clip_id", sort=False)[aspect]
    alpha, low, high = _alpha(by_clip, n_bootstrap=n_bootstrap, seed=seed)
    return RaterAgreement(
        aspect=aspect,
        n_ratings=len(known),
        alpha=alpha,
        low=low,
        high=high,
        at_low=float((values == ends[0]).mean()),
        at_high=float((values == ends[1]).mean()),
        raters=_raters(known, aspect, ends),
    )


def _alpha(by_clip: Any, n_bootstrap: int, seed: int) -> tuple[float, float, float]:
    """Alpha and the ends of its interval."""
    sums = by_clip.agg(["count", "sum", lambda x: (x**2).sum()])
    moments = sums.to_numpy(dtype=np.float64)
    # A single rating of a clip agrees or disagrees with nothing.
    moments = moments[moments[:, 0] > 1]
    if not len(moments):
        return np.nan, np.nan, np.nan
    count, total, squares = moments.T
    # Pairs of ratings of a clip, each rating with the weight 1 in all.
    within = 2 * (count * squares - total**2) / (count - 1)
    terms = np.column_stack([count, total, squares, within])

    alpha = float(_alpha_of_sums(terms.sum(axis=0)))
    random = np.random.default_rng(seed)
    n = len(terms)
    draws = random.multinomial(n, np.full(n, 1 / n), size=n_bootstrap)
    resampled = _alpha_of_sums((draws @ terms).T)
    resampled = resampled[np.isfinite(resampled)]
    if not len(resampled):
        return alpha, np.nan, np.nan
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return alpha, float(low), float(high)


def _alpha_of_sums(sums: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Alpha of summed counts, ratings, squares and disagreements within clips."""
    count, total, squares, within = sums
    observed = within / count
    expected = 2 * (count * squares - total**2) / (count * (count - 1))
    # Where all ratings are equal there is nothing to agree about.
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - observed / np.where(expected > 1e-12, expected, np.nan))


def _raters(
    known: pd.DataFrame, aspect: str, ends: tuple[float, float]
) -> pd.DataFrame:
    """How each rater uses the scale."""
    names = ["n", "mean", "at_ends", "varies", "offset", "correlation"]
    if are_nameless(known["rater_id"]):
        return pd.DataFrame(columns=names, index=pd.Index([], name="rater_id"))
    by_clip = known.groupby("clip_id")[aspect]
    n_others = by_clip.transform("count") - 1
    # Means of the others only: a rater's own rating would pull them along.
    others = (by_clip.transform("sum") - known[aspect]) / n_others.where(n_others > 0)
    rows = {}
    for rater, own in known.groupby("rater_id", sort=False)[aspect]:
        theirs = others[own.index]
        is_paired = theirs.notna()
        correlation = np.nan
        varies = bool(own.nunique() > 1)
        if is_paired.sum() >= _FEWEST_RATINGS and varies:
            pairs = np.corrcoef(own[is_paired], theirs[is_paired])
            correlation = float(pairs[0, 1])
        rows[rater] = {
            "n": len(own),
            "mean": float(own.mean()),
            "at_ends": float(own.isin(ends).mean()),
            "varies": varies,
            "offset": float((own - theirs).mean()),
            "correlation": correlation,
        }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=names)
    return table.rename_axis("rater_id")


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
